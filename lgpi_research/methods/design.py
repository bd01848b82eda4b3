"""Complex samples: strata, stages and finite populations, and the linearised covariance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import DataError, MethodError, Problems, SpecError, listing, nearest
from lgpi_research.methods.sums import one_hot

__all__ = ["LONELY_LINEAR", "Design", "Stage", "linearised_covariance"]

LONELY_LINEAR = ("fail", "certainty", "adjust", "average")
"""What may be done with a stratum of one PSU when errors are linearised."""

_WHOLE = 1e-7  # a cell whose units were drawn but for this share was drawn as a whole

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage of a sample: units drawn within cells.

    The cells of the first stage are the strata, those of a later stage the units of the
    stage before it.

    Attributes
    ----------
    unit : ndarray of int of shape (n,)
        Unit of each row, from 0.
    cell : ndarray of int of shape (n_units,)
        Cell of each unit, from 0.
    sampled : ndarray of shape (n_cells,)
        Units drawn in each cell.
    fraction : ndarray of shape (n_cells,)
        Share of the units of the cell in the population that were drawn; 0 where the
        number in the population is not known or infinite.
    factor : ndarray of shape (n_cells,)
        Product of the fractions of the cells above: 1 in the first stage.
    """

    unit: Ints
    cell: Ints
    sampled: Floats
    fraction: Floats
    factor: Floats


@dataclass(frozen=True, eq=False)
class Design:
    """How the rows of a sample were drawn.

    Attributes
    ----------
    weights : ndarray of shape (n,)
        Analysis weights, 0 or above.
    strata : ndarray of int of shape (n,)
        Stratum of each row: 0, 1, …; all 0 in a sample without strata.
    stages : tuple of ndarray of int of shape (n,)
        Unit of each row, one array a stage. Codes are unique over the whole sample, so
        that a unit lies in one unit of the stage before it.
    populations : tuple of (ndarray of shape (n,) or None)
        For each stage, the number of units that the population has in the stratum or in
        the unit of the stage before. None: no finite-population correction from this
        stage on.
    lonely : {"fail", "certainty", "adjust", "average"}
        What to do with a stratum of one PSU (`linearised_covariance`).
    names : tuple of str
        Labels of the strata, for messages.

    Examples
    --------
    Two strata of two clusters each:

    >>> design = Design.from_labels(
    ...     5, strata=["n", "n", "n", "s", "s"], stages=[["a", "a", "b", "c", "d"]]
    ... )
    >>> design.n_psu, design.n_strata, design.df
    (4, 2, 2)
    """

    weights: Floats
    strata: Ints
    stages: tuple[Ints, ...]
    populations: tuple[Floats | None, ...]
    lonely: str = "fail"
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.weights)
        problems = Problems("the sample design")
        if self.lonely not in LONELY_LINEAR:
            raise SpecError(
                f"lonely must be one of {', '.join(LONELY_LINEAR)}, got {self.lonely!r}."
                f"{nearest(str(self.lonely), LONELY_LINEAR)}"
            )
        if not self.stages or len(self.populations) != len(self.stages):
            problems.add("stages and populations: one entry for each stage, and at least one.")
        parts = [self.strata, *self.stages, *(p for p in self.populations if p is not None)]
        if any(part.shape != (n,) for part in parts) or n == 0:
            problems.add(f"strata, stages and populations: one entry for each of the {n} weights.")
        wrong = int((~np.isfinite(self.weights) | (self.weights < 0)).sum())
        if wrong:
            problems.add(f"weights: {wrong} of {n} are missing, infinite or negative.")
        elif not (self.weights > 0).any():
            problems.add("weights: all are 0.")
        problems.raise_any(DataError)

    @classmethod
    def from_labels(
        cls,
        n: int,
        *,
        weights: npt.ArrayLike | None = None,
        strata: npt.ArrayLike | None = None,
        stages: Sequence[npt.ArrayLike | None] = (),
        populations: Sequence[npt.ArrayLike | None] = (),
        nested: bool = False,
        lonely: str = "fail",
        called: Sequence[str] = (),
    ) -> Design:
        """Return the design that labels of strata and units describe.

        Parameters
        ----------
        n : int
            Rows of the sample.
        weights : array_like of shape (n,), optional
            Analysis weights. If None, the product over stages of the number of units in
            the population over the number drawn: inverse probabilities of inclusion
            under simple random sampling at each stage; a stage without `populations`
            counts 1.
        strata : array_like of shape (n,), optional
            Labels of the strata that first-stage units were drawn within.
        stages : sequence of (array_like of shape (n,) or None)
            Labels of the units of each stage, the first stage first; None, or no stage
            at all: each row is a unit. Labels of the second and later stages count
            within the unit of the stage before, so they may repeat between such units.
        populations : sequence of (array_like of shape (n,) or None)
            See `Design`; stages without an entry have None.
        nested : bool, default False
            Whether labels of first-stage units repeat between strata.
        lonely : {"fail", "certainty", "adjust", "average"}, default "fail"
            See `linearised_covariance`.
        called : sequence of str, optional
            What the stages are called in messages; stage 1, stage 2, … by default.

        Returns
        -------
        Design

        Raises
        ------
        SpecError
            If `lonely` is none of the options, or there are more populations than stages.
        DataError
            With every problem: labels or populations that are missing, a first-stage
            unit in two strata although not `nested`, a population that is not positive,
            varies within its stratum or parent, or is smaller than the sample; weights
            that are missing, infinite, negative or all 0.

        Examples
        --------
        Weights follow from the numbers in the population:

        >>> Design.from_labels(3, populations=[[30, 30, 30]]).weights
        array([10., 10., 10.])
        """
        problems = Problems("the sample design")
        labels = list(stages) or [None]
        counts = [*populations, *([None] * (len(labels) - len(populations)))]
        if len(counts) > len(labels):
            raise SpecError(
                f"{len(counts)} populations for {len(labels)} stages: give one a stage."
            )
        names, parent = (np.array([""]), np.zeros(n, dtype=np.int64))
        if strata is not None:
            names, parent = _codes(strata, n, "strata", problems)
        stratum, inverse = parent, np.ones(n)
        units, sizes = [], list[Floats | None]()
        for depth, (label, count) in enumerate(zip(labels, counts, strict=True), start=1):
            what = called[depth - 1] if called else f"stage {depth}"
            if label is None:
                found, own = np.arange(n).astype(str), np.arange(n)
            else:
                found, own = _codes(label, n, what, problems)
            joint = _joined(parent, own)
            if depth == 1 and not nested and joint.max(initial=-1) + 1 > len(found):
                pairs = np.unique(np.column_stack([own, parent]), axis=0)[:, 0]
                twice = found[np.flatnonzero(np.bincount(pairs) > 1)]
                problems.add(
                    f"{what}: {listing(twice)} in more than one stratum. A first-stage unit lies "
                    "in one stratum; say nested=True if labels repeat between strata."
                )
            if count is None:
                sizes.append(None)
            else:
                size = np.asarray(count, dtype=np.float64)
                _check_population(size, parent, joint, n, what, problems)
                sizes.append(size)
                if weights is None and not problems:
                    inverse = inverse * size / _sampled(parent, joint)[parent]
            units.append(joint)
            parent = joint
        problems.raise_any(DataError)
        return cls(
            inverse if weights is None else np.array(weights, dtype=np.float64),
            stratum,
            tuple(units),
            tuple(sizes),
            lonely,
            tuple(str(name) for name in names),
        )

    @cached_property
    def levels(self) -> tuple[Stage, ...]:
        """The stages with what their units and cells are: see `Stage`."""
        found = []
        cells = np.unique(self.strata, return_inverse=True)[1].astype(np.int64)
        factor = np.ones(int(cells.max()) + 1)
        for labels, population in zip(self.stages, self.populations, strict=True):
            _, first, unit = np.unique(labels, return_index=True, return_inverse=True)
            cell = cells[first]
            sampled = np.bincount(cell, minlength=len(factor)).astype(np.float64)
            fraction = np.zeros(len(factor))
            if population is not None:
                size = np.empty(len(factor))
                size[cells] = population
                fraction = sampled / size
            found.append(Stage(unit.astype(np.int64), cell, sampled, fraction, factor))
            cells, factor = unit.astype(np.int64), (factor * fraction)[cell]
        return tuple(found)

    @property
    def n_psu(self) -> int:
        """First-stage units with a positive weight."""
        return len(np.unique(self.stages[0][self.weights > 0]))

    @property
    def n_strata(self) -> int:
        """Strata with a positive weight."""
        return len(np.unique(self.strata[self.weights > 0]))

    @property
    def df(self) -> int:
        """Degrees of freedom: first-stage units less strata."""
        return self.n_psu - self.n_strata

    def domain_df(self, domain: npt.ArrayLike) -> int:
        """Return the degrees of freedom of a domain: its PSUs less its strata.

        Parameters
        ----------
        domain : array_like of bool of shape (n,), or of int
            The rows in the domain, or their numbers; only PSUs and strata that have one count.
        """
        first, given = self.levels[0], np.asarray(domain)
        rows = np.flatnonzero(given) if given.dtype == bool else given
        drawn = np.zeros(len(first.cell), dtype=bool)
        drawn[first.unit[rows[self.weights[rows] > 0]]] = True
        strata = np.zeros(len(first.sampled), dtype=bool)
        strata[first.cell[drawn]] = True
        return int(drawn.sum()) - int(strata.sum())


def linearised_covariance(
    scores: npt.ArrayLike,
    design: Design,
    *,
    domain: npt.ArrayLike | None = None,
    rows: npt.ArrayLike | None = None,
) -> Floats:
    r"""Return the design-based covariance of totals of scores, over all stages.

    Parameters
    ----------
    scores : array_like of shape (n,) or (n, p)
        What each row adds to each estimate: the values of a variable, or the linearised
        values of an estimator, times the weight of the row. Rows outside a domain have 0.
    design : Design
        How rows were drawn.
    domain : array_like of bool of shape (n,) or (n, p), optional
        The rows that scores, or each column of them, are of. Strata without one of them add
        nothing, so that one PSU in a stratum is no failure there.
    rows : array_like of int of shape (m,), optional
        The rows of the design that `scores` and `domain` hold, if not all; others have 0.

    Returns
    -------
    ndarray of shape (p, p)

    Raises
    ------
    MethodError
        If a stratum, or a unit of an earlier stage, has one unit that is not the only one
        in the population, and ``design.lonely`` is "fail"; or if it is "average" and
        there is no other to average.

    Notes
    -----
    Of :math:`N_h` first-stage units in stratum h, :math:`n_h` with totals
    :math:`z_{hi}` of the scores were drawn, a share :math:`f_h = n_h/N_h`. Then

    .. math::

        V = \sum_h \Big\{(1 - f_h) \frac{n_h}{n_h - 1}
            \sum_i (z_{hi} - \bar z_h)(z_{hi} - \bar z_h)' + f_h \sum_i V_{hi} \Big\},

    where :math:`V_{hi}` is the same expression for the units drawn within the
    first-stage unit, and so on [1]_. Without a finite-population correction
    :math:`f_h = 0`, and first-stage units alone say how large the error is: they count
    as drawn with replacement.

    A stratum with one unit says nothing about the spread in it, unless that unit is all
    there is, which adds 0. With ``lonely="certainty"`` (R's *remove* and *certainty*,
    Stata's *certainty*) it adds nothing; with "adjust" (Stata's *centered*) its total is
    centred at the mean over all units of the stage; with "average" (Stata's *scaled*) it
    adds the mean of what the other strata add. R's survey centres "adjust" at 0 instead,
    which is the same for every estimator but a total, whose scores do not sum to 0.

    References
    ----------
    .. [1] Särndal, C.-E., Swensson, B., and Wretman, J. (1992). *Model Assisted Survey
       Sampling*, section 4.3. Springer.

    Examples
    --------
    A simple random sample of 2 out of 10: :math:`N^2 (1 - f) s^2/n`.

    >>> design = Design.from_labels(2, populations=[[10, 10]])
    >>> linearised_covariance(design.weights * [1.0, 3.0], design)
    array([[80.]])
    """
    z = np.asarray(scores, dtype=np.float64)
    z = z[:, None] if z.ndim == 1 else z
    inside = np.ones((len(z), 1)) if domain is None else np.asarray(domain, dtype=np.float64)
    inside = inside[:, None] if inside.ndim == 1 else inside
    at = slice(None) if rows is None else np.asarray(rows)
    covariance = np.zeros((z.shape[1], z.shape[1]))
    for depth, stage in enumerate(design.levels):
        if not (stage.factor > 0).any():
            break
        covariance += _stage_covariance(z, inside, stage.unit[at], depth, design)
    return covariance


def _stage_covariance(
    scores: Floats, inside: Floats, unit: Ints, depth: int, design: Design
) -> Floats:
    """Return what one stage adds to the covariance; `unit` is that of each row of scores."""
    stage = design.levels[depth]
    size = stage.sampled
    totals = np.asarray(one_hot(unit, len(stage.cell)) @ scores)
    centre = np.asarray(one_hot(stage.cell, len(size)) @ totals) / size[:, None]
    known = (stage.factor > 0) & (1.0 - stage.fraction > _WHOLE)
    factor = np.where(known, stage.factor * (1.0 - stage.fraction), 0.0)[:, None]
    factor = factor * np.where(size > 1, size / np.fmax(size - 1, 1), 1.0)[:, None]
    alone = known & (size == 1)
    if alone.any():
        touched = np.asarray(one_hot(stage.cell[unit], len(size)) @ inside) > 0
        lonely = alone[:, None] & touched
        if lonely.any() and design.lonely == "fail":
            raise MethodError(_alone(lonely, depth, design))
        if design.lonely == "adjust":
            centre = np.where(lonely, totals.mean(axis=0), centre)
        if design.lonely == "average":
            factor = factor * _scale_up(stage.factor[:, None] * touched, lonely, depth, design)
    centred = (totals - centre[stage.cell]) * np.sqrt(factor)[stage.cell]
    return np.asarray(centred.T @ centred)


def _scale_up(share: Floats, lonely: Mask, depth: int, design: Design) -> Floats:
    """Return by what other strata count more, so that lonely ones count as their mean."""
    total, others = share.sum(axis=0), np.where(lonely, 0.0, share).sum(axis=0)
    if ((total > 0) & (others == 0)).any():
        raise MethodError(
            f"{_alone(lonely, depth, design)} Here there is no other to average over."
        )
    scale: Floats = np.divide(total, others, out=np.ones_like(total), where=others > 0)
    return scale


def _alone(cells: Mask, depth: int, design: Design) -> str:
    """Say which strata, or units of the stage before, have one unit: cells (n_cells, p)."""
    lonely = np.asarray(cells.any(axis=1))
    if depth == 0 and len(lonely) == 1:
        return "the sample has one PSU, so its sampling error is unknown."
    if depth == 0:
        codes = np.unique(design.strata)[lonely]
        names = [design.names[code] if code < len(design.names) else code for code in codes]
        told = f"{len(names)} of {len(lonely)} strata have one PSU ({listing(names)})"
    else:
        told = (
            f"{int(lonely.sum())} of {len(lonely)} units of stage {depth} have one unit of stage "
            f"{depth + 1}"
        )
    return (
        f"{told}, so the spread within them is unknown. Join each to the one most like it "
        "(collapse), or set lonely to 'certainty' (they add nothing; R remove or certainty, "
        "Stata certainty), 'adjust' (centred at the mean of all; R adjust, Stata centered) or "
        "'average' (the mean of what the others add; R average, Stata scaled)."
    )


def _codes(
    labels: npt.ArrayLike, n: int, what: str, problems: Problems
) -> tuple[npt.NDArray[np.str_], Ints]:
    """Return sorted labels and the number of each row's label; note what is wrong."""
    values = np.asarray(labels)
    if values.shape != (n,):
        problems.add(f"{what}: {len(values)} labels for {n} rows.")
        return np.array([""]), np.zeros(n, dtype=np.int64)
    missing = values != values if values.dtype.kind in "fcO" else np.zeros(n, dtype=bool)
    if values.dtype.kind == "O":
        missing = missing.astype(bool) | np.array([value is None for value in values])
        values = values.astype(str)
    if missing.any():
        problems.add(
            f"{what}: {int(missing.sum())} of {n} rows have none "
            f"(first rows {listing(np.flatnonzero(missing) + 1, 3)})."
        )
    found, codes = np.unique(values, return_inverse=True)
    return found.astype(str), codes.astype(np.int64)


def _joined(parent: Ints, own: Ints) -> Ints:
    """Return codes of units that count within their parents."""
    joint = parent * (int(own.max(initial=0)) + 1) + own
    codes: Ints = np.unique(joint, return_inverse=True)[1].astype(np.int64)
    return codes


def _sampled(parent: Ints, unit: Ints) -> Ints:
    """Return how many units were drawn in each parent."""
    _, first = np.unique(unit, return_index=True)
    drawn: Ints = np.bincount(parent[first]).astype(np.int64)
    return drawn


def _check_population(
    size: Floats, parent: Ints, unit: Ints, n: int, what: str, problems: Problems
) -> None:
    """Note what is wrong with the numbers of units in the population."""
    if size.shape != (n,):
        problems.add(f"{what}: {len(size)} populations for {n} rows.")
        return
    wrong = ~(size > 0)
    if wrong.any():
        problems.add(
            f"{what}: the population is missing or not positive in {int(wrong.sum())} of {n} rows "
            f"(first rows {listing(np.flatnonzero(wrong) + 1, 3)})."
        )
        return
    cells = parent.max(initial=-1) + 1
    low, high = np.full(cells, np.inf), np.zeros(cells)
    np.minimum.at(low, parent, size)
    np.maximum.at(high, parent, size)
    varies = low < high
    if varies.any():
        rows = np.flatnonzero(varies[parent]) + 1
        problems.add(
            f"{what}: the population differs within {int(varies.sum())} of {len(low)} strata or "
            f"parent units (first rows {listing(rows, 3)}); each has one number."
        )
    short = ~varies & (high < _sampled(parent, unit) * (1 - 1e-12))
    if short.any():
        rows = np.flatnonzero(short[parent]) + 1
        problems.add(
            f"{what}: the population is smaller than the number of units drawn in "
            f"{int(short.sum())} of {len(low)} strata or parent units (first rows "
            f"{listing(rows, 3)}). It counts the units of this stage in the population, not the "
            "people; leave it out if it is not known."
        )
