"""Dimensions: how many things the items of a scale measure, and which item measures which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research import plots
from lgpi_research.answers import ALL, group_moments, plain_survey, reason_of, scale_moments
from lgpi_research.coefficients import (
    Coefficient,
    consistent_scales,
    dimension_of,
    item_problems,
    named_coefficients,
)
from lgpi_research.errors import (
    DataError,
    LGPIError,
    MethodError,
    Problems,
    SpecError,
    listing,
    nearest,
)
from lgpi_research.methods.latent.dimensions import (
    bartlett_sphericity,
    minimum_average_partial,
    sampling_adequacy,
    scree_acceleration,
)
from lgpi_research.methods.latent.efa import degrees_of_freedom, extract_factors, factor_fit
from lgpi_research.methods.latent.hierarchical import hierarchical_omega
from lgpi_research.methods.latent.parallel import parallel_normal
from lgpi_research.methods.latent.rotation import rotate_factors
from lgpi_research.methods.polychoric import PairCounts, polychoric
from lgpi_research.moments import Moments, Scale
from lgpi_research.results import Result, provenance
from lgpi_research.streams import root_seed, stream
from lgpi_research.survey import Survey

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Dimensionality", "assess_dimensions"]

Floats = npt.NDArray[np.float64]

CORRELATIONS = {"pearson": "covariance", "polychoric": "pair counts"}
"""Correlations, and what must have been kept of the answers for them."""

METHODS = ("minres", "ml", "principal_axis")
ROTATIONS = ("oblimin", "varimax", "promax", "none")
KINDS = ("scree", "loadings")
"""Pictures by name."""

MIDDLING = 0.7
"""Sampling adequacy below which correlations have little in common."""

_DRAWS = 200  # of uncorrelated answers
_FEWEST = 3  # items that a factor needs


@dataclass(frozen=True, eq=False, repr=False)
class Dimensionality(Result, kind="dimensionality"):
    """How many factors each scale has, and their loadings.

    ``frame`` has one row for each scale and group: ``dimension``, ``group`` ("all", or one of
    the groups asked for), ``n_used``, ``items``, ``kmo`` (sampling adequacy), ``chi_square``,
    ``df`` and ``p_value`` (Bartlett's test that nothing correlates), ``root_1`` and
    ``root_2``, how many dimensions ``parallel`` analysis, ``map`` (Velicer) and the ``scree``
    show, ``factors`` (extracted), and of these ``rmsr``, ``rmsea`` and ``tli``;
    ``omega_total``, ``omega_hierarchical`` and ``ecv`` where there are two factors or more.
    """

    def headline(self) -> str:
        """Return how many dimensions each scale has, in a sentence."""
        said = []
        for row in self.frame[self.frame["group"] == ALL].to_dict("records"):
            said.append(
                f"{row['dimension']}: parallel analysis finds {row['parallel']} "
                f"{'dimension' if row['parallel'] == 1 else 'dimensions'} in {row['items']} items "
                f"(roots {row['root_1']:.2f}, {row['root_2']:.2f}), MAP {row['map']}."
            )
        groups = self.frame[self.frame["group"] != ALL]
        for dimension, rows in groups.groupby("dimension", sort=False):
            one = int((rows["parallel"] == 1).sum())
            said.append(f"{dimension}: one dimension in {one} of {len(rows)} groups.")
        return " ".join(said)

    def summary(self) -> pd.DataFrame:
        """Return how many dimensions the criteria show, and how well the factors fit."""
        columns = ["dimension", "group", "n_used", "items", "kmo", "root_1", "root_2", "parallel"]
        return self.frame[[*columns, "map", "factors", "rmsr", "omega_hierarchical"]]

    def loadings(self) -> pd.DataFrame:
        """Return the rotated loadings of the items of each scale, over all respondents.

        Returns
        -------
        DataFrame
            ``dimension``, ``item``, ``factor_1``, … and ``uniqueness``; NaN for factors that a
            scale has not. Scales whose factors are no valid solution have no rows.
        """
        rows = [
            {
                "dimension": dimension,
                "item": item,
                **{f"factor_{j + 1}": value for j, value in enumerate(loads)},
                "uniqueness": unique,
            }
            for dimension, told in self.details["solutions"].items()
            for item, loads, unique in zip(
                told["items"], told["loadings"], told["uniquenesses"], strict=True
            )
        ]
        table = pd.DataFrame(rows, columns=None if rows else ["dimension", "item", "uniqueness"])
        return table[[*(c for c in table.columns if c != "uniqueness"), "uniqueness"]]

    def methods_text(self) -> str:
        """Return what was estimated and how, with citation keys."""
        told = self.details
        how = {
            "minres": "minimum residuals [@HarmanJones1966]",
            "ml": "maximum likelihood",
            "principal_axis": "principal axes",
        }[told["method"]]
        kind = "Pearson" if told["correlation"] == "pearson" else "polychoric [@Olsson1979]"
        text = (
            f"Dimensions of each scale were told from {kind} correlations of {told['missing']} "
            "answers: parallel analysis [@Horn1965] with the 95 % quantile of "
            f"{told['draws']} draws of uncorrelated answers [@Glorfeld1995], the minimum average "
            "partial [@Velicer1976] "
            f"and sampling adequacy [@Kaiser1974]. Factors were extracted by {how}"
        )
        rotated = "" if told["rotation"] == "none" else f" and rotated by {told['rotation']}"
        return text + rotated + "."

    def plot(
        self, ax: Axes | None = None, *, kind: str = "scree", dimension: str | None = None
    ) -> Axes:
        """Draw the result, and return the axes.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; a new figure if None.
        kind : {"scree", "loadings"}
            The roots beside those of uncorrelated answers, or the loadings.
        dimension : str, optional
            Which scale; not needed if there is one.

        Raises
        ------
        SpecError
            If the kind or the scale is unknown, or the scale has no factors.
        """
        if kind not in KINDS:
            raise SpecError(
                f"kind must be one of {', '.join(KINDS)}, got {kind!r}.{nearest(kind, KINDS)}"
            )
        known = self.details["roots" if kind == "scree" else "solutions"]
        name = next(iter(known)) if dimension is None and len(known) == 1 else dimension
        if name not in known:
            hint = nearest(str(name), known) if name else ""
            raise SpecError(f"Name a scale: {listing(known, 20) or 'none has factors'}.{hint}")
        told = known[name]
        if kind == "loadings":
            matrix = np.array(told["loadings"], dtype=float)
            columns = [str(j + 1) for j in range(matrix.shape[1])]
            ax = plots.new_axes(ax, (5.4 + 0.5 * len(columns), 1.4 + 0.34 * len(matrix)))
            plots.correlations(ax, matrix, told["items"], columns)
            return plots.describe(ax, f"Loadings: {name}", "factor")
        ax = plots.new_axes(ax)
        roots, reference = (np.array(told[key]) for key in ("roots", "reference"))
        order = np.arange(1, len(roots) + 1)
        plots.curve(ax, order, reference, colour="second", label="uncorrelated answers, 95 %")
        plots.curve(ax, order, roots, label="answers")
        plots.scatter(ax, order, roots)
        plots.legend(ax)
        ax.set_xticks(order)
        return plots.describe(ax, f"Roots of Pearson correlations: {name}", "root", "size")


def assess_dimensions(
    data: Survey | Moments | pd.DataFrame,
    *,
    by: str | pd.Series | None = None,
    correlation: str = "pearson",
    factors: int | None = None,
    method: str = "minres",
    rotation: str = "oblimin",
    missing: str = "listwise",
    draws: int = _DRAWS,
    seed: int | None = None,
) -> Dimensionality:
    r"""Ask how many things the items of each reflective scale measure.

    Parameters
    ----------
    data : Survey, Moments or DataFrame
        Answers, their sums, or a plain table whose columns are the items of one scale. Scales
        of three items or more are examined one by one.
    by : str or Series, optional
        Groups to examine beside the whole, as in
        `lgpi_research.reliability.assess_reliability`.
    correlation : {"pearson", "polychoric"}, default "pearson"
        What is factored. Moments must hold covariances or pair counts for it.
    factors : int, optional
        How many to extract; by default what parallel analysis finds, at least one.
    method : {"minres", "ml", "principal_axis"}, default "minres"
        How (`lgpi_research.methods.latent.efa.extract_factors`).
    rotation : {"oblimin", "varimax", "promax", "none"}, default "oblimin"
        Of two factors or more (`lgpi_research.methods.latent.rotation.rotate_factors`).
    missing : {"listwise", "pairwise"}, default "listwise"
        Which answers count; of Moments it is what they were taken with.
    draws : int, default 200
        Draws of uncorrelated answers.
    seed : int or None
        Their seed; a fresh one is drawn and recorded if None.

    Returns
    -------
    Dimensionality

    Raises
    ------
    SpecError
        If an option is unknown, or there is no reflective scale of three items.
    DataError
        With every problem of the scales: items that never vary, copies, scales that nobody
        answered, correlations that are not positive definite.

    Notes
    -----
    Parallel analysis compares roots of Pearson correlations with those of as many independent
    respondents, also where polychoric ones are factored, whose own roots vary more
    (`lgpi_research.methods.latent.parallel.parallel_answers` shuffles answers for them).
    Clustered respondents are worth fewer independent ones, so that references are then rather
    low. Bartlett's test and the fit suppose independent, normal answers. Where the factors
    are no valid solution (a Heywood case) the notes say so and there are no loadings.

    Examples
    --------
    >>> from lgpi_research.simulate import simulate_survey
    >>> survey = simulate_survey(n_places=20, seed=0).survey
    >>> found = assess_dimensions(survey, seed=0)
    >>> found.frame[["dimension", "items", "parallel", "map"]]
      dimension  items  parallel  map
    0     scale      5         1    1
    """
    options = _checked(correlation, factors, method, rotation, missing, draws)
    root = root_seed(seed)
    wanted = named_coefficients(["omega" if correlation == "pearson" else "ordinal_alpha"])
    if isinstance(data, pd.DataFrame):
        data = plain_survey(data, "reflective", by)
    if not isinstance(data, Survey | Moments):
        raise SpecError(
            f"dimensions are of a Survey, Moments or a table, not of {type(data).__name__}."
        )
    moments, notes = scale_moments(data, wanted, missing)
    scales = [] if moments is None else _scales(moments, CORRELATIONS[correlation])
    if moments is None or not scales:
        raise SpecError(_nothing(moments, CORRELATIONS[correlation]))
    problems = Problems("the scales")
    for scale in scales:
        problems.extend(item_problems(moments, scale))
    problems.raise_any(DataError)
    found = [_examined(moments, scale, options, root, i) for i, scale in enumerate(scales)]
    rows = [{"group": ALL, **one.row} for one in found]
    notes = (*notes, *(note for one in found for note in one.notes))
    if by is not None:
        more, remarks = _by_group(data, by, wanted, options, root)
        rows, notes = [*rows, *more], (*notes, *remarks)
    frame = pd.DataFrame(rows)
    frame.insert(0, "dimension", frame.pop("dimension"))
    told = {**options, "by": None if by is None else by if isinstance(by, str) else str(by.name)}
    names = [dimension_of(scale.name) for scale in scales]
    return Dimensionality(
        frame,
        provenance(seed=root, specification=told, data={type(data).__name__.lower(): data.digest}),
        tuple(dict.fromkeys(notes)),
        details={
            **told,
            "roots": {name: one.roots for name, one in zip(names, found, strict=True)},
            "solutions": {
                name: one.solution
                for name, one in zip(names, found, strict=True)
                if one.solution is not None
            },
        },
    )


def _checked(
    correlation: str, factors: int | None, method: str, rotation: str, missing: str, draws: int
) -> dict[str, Any]:
    """Return the options, or raise all that is wrong with them."""
    problems = Problems("the options")
    for name, value, allowed in (
        ("correlation", correlation, tuple(CORRELATIONS)),
        ("method", method, METHODS),
        ("rotation", rotation, ROTATIONS),
        ("missing", missing, ("listwise", "pairwise")),
    ):
        if value not in allowed:
            hint = nearest(str(value), allowed)
            problems.add(f"{name}: must be one of {', '.join(allowed)}, got {value!r}.{hint}")
    for name, count, least in (("factors", factors, 1), ("draws", draws, 20)):
        whole = isinstance(count, int | np.integer) and not isinstance(count, bool)
        if count is not None and not (whole and count >= least):
            problems.add(f"{name}: must be a whole number >= {least}, got {count!r}.")
    problems.raise_any(SpecError)
    return {
        "correlation": correlation,
        "factors": factors,
        "method": method,
        "rotation": rotation,
        "missing": missing,
        "draws": int(draws),
    }


def _scales(moments: Moments, needs: str) -> list[Scale]:
    return [
        scale
        for scale in consistent_scales(moments)
        if scale.needs == needs
        and len(scale.items) >= _FEWEST
        and scale.measurement == "reflective"
    ]


def _nothing(moments: Moments | None, needs: str) -> str:
    held = sorted({scale.needs for scale in consistent_scales(moments)}) if moments else []
    return (
        f"there is no reflective scale of {_FEWEST} items or more that holds {needs}"
        f"{f'; there are {listing(held)}' if held else ''}. Formative dimensions have no factors."
    )


@dataclass(frozen=True, eq=False)
class _Found:
    """What was found of one scale: its row, its roots, its factors if valid, and notes."""

    row: dict[str, Any]
    roots: dict[str, list[float]]
    solution: dict[str, Any] | None
    notes: list[str]


def _examined(
    moments: Moments, scale: Scale, options: Mapping[str, Any], root: int, number: int
) -> _Found:
    """Examine one scale, with the draws of its number."""
    name, k, n = dimension_of(scale.name), len(scale.items), moments.n_least(scale.name)
    plain, matrix = _correlations(moments, scale)
    try:
        parallel = parallel_normal(
            plain, n, stream(root, "parallel", number), draws=options["draws"]
        )
        adequacy, sphere = sampling_adequacy(matrix), bartlett_sphericity(matrix, n)
        partial = minimum_average_partial(matrix)
    except LGPIError as error:
        problems = Problems("the scales")
        problems.add(f"{name}, correlations: {reason_of(error)}")
        problems.raise_any(DataError)
        raise
    roots = np.linalg.eigvalsh(matrix)[::-1]
    notes = []
    if adequacy.overall < MIDDLING:
        notes.append(f"{name}: sampling adequacy is {adequacy.overall:.2f}: little is shared.")
    chosen = options["factors"] or max(1, parallel.dimensions)
    most = max(m for m in range(1, k) if degrees_of_freedom(k, m) >= 0)
    if chosen > most:
        notes.append(f"{name}: {k} items have {most} factors at most; {chosen} were wanted.")
        chosen = most
    row: dict[str, Any] = {
        "dimension": name,
        "n_used": n,
        "items": k,
        "kmo": adequacy.overall,
        "chi_square": sphere.chi_square,
        "df": sphere.df,
        "p_value": sphere.p_value,
        "root_1": float(roots[0]),
        "root_2": float(roots[1]),
        "parallel": parallel.dimensions,
        "map": int(partial.argmin()),
        "scree": scree_acceleration(roots),
        "factors": chosen,
        **dict.fromkeys(
            ("rmsr", "rmsea", "tli", "omega_total", "omega_hierarchical", "ecv"), np.nan
        ),
    }
    told = {"roots": parallel.roots.tolist(), "reference": parallel.reference.tolist()}
    try:
        solution = _solution(matrix, scale, chosen, n, options, row)
    except MethodError as error:
        notes.append(f"{name}: no loadings of {chosen} factors. {error}")
        solution = None
    return _Found(row, told, solution, notes)


def _solution(
    matrix: Floats,
    scale: Scale,
    chosen: int,
    n: int,
    options: Mapping[str, Any],
    row: dict[str, Any],
) -> dict[str, Any]:
    """Return the factors of a scale, and write their fit in its row."""
    extraction = extract_factors(matrix, chosen, method=options["method"])
    rotated = rotate_factors(extraction.loadings, options["rotation"] if chosen > 1 else "none")
    if degrees_of_freedom(len(matrix), chosen) > 0:
        fit = factor_fit(matrix, extraction, n)
        row.update(rmsr=fit.rmsr, rmsea=fit.rmsea, tli=fit.tli)
    if chosen > 1:
        general = hierarchical_omega(matrix, chosen, method=options["method"])
        row.update(
            omega_total=general.omega_total,
            omega_hierarchical=general.omega_hierarchical,
            ecv=general.explained_common,
        )
    return {
        "items": list(scale.items),
        "loadings": rotated.loadings.tolist(),
        "uniquenesses": extraction.uniquenesses.tolist(),
        "correlation": rotated.correlation.tolist(),
    }


def _correlations(moments: Moments, scale: Scale) -> tuple[Floats, Floats]:
    """Return the Pearson correlations of a scale, and those that are factored."""
    if scale.needs == "pair counts":
        counts = moments.pair_counts(scale.name)
        return _scored(counts, np.array(scale.categories)), polychoric(counts).correlation
    covariance = moments.spread(scale.name).covariance
    assert covariance is not None  # noqa: S101 - the scale holds covariances
    size = np.sqrt(np.diagonal(covariance))
    matrix = covariance / np.outer(size, size)
    return matrix, matrix


def _scored(counts: PairCounts, scores: Floats) -> Floats:
    """Return the Pearson correlations of answers whose pairs were counted."""
    tables = counts.tables()
    total = tables.sum(axis=(-2, -1))
    first, second = tables.sum(axis=-1) @ scores / total, tables.sum(axis=-2) @ scores / total
    left = scores - first[:, None]
    right = scores - second[:, None]
    product = np.einsum("pab,pa,pb->p", tables, left, right)
    square = np.einsum("pa,pa->p", tables.sum(axis=-1), left**2) * np.einsum(
        "pb,pb->p", tables.sum(axis=-2), right**2
    )
    k = counts.n_items
    matrix = np.eye(k)
    rows, columns = np.triu_indices(k, 1)
    matrix[rows, columns] = matrix[columns, rows] = product / np.sqrt(square)
    return matrix


def _by_group(
    data: Survey | Moments,
    by: str | pd.Series,
    wanted: list[Coefficient],
    options: Mapping[str, Any],
    root: int,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of each group, and notes on those that cannot be examined."""
    parts, notes, refused = group_moments(data, by, wanted, options["missing"])
    rows: list[dict[str, Any]] = []
    said: dict[str, list[str]] = {}
    number = len(consistent_scales(data)) if isinstance(data, Moments) else len(data.codebook.names)
    for label, part in parts.items():
        for scale in _scales(part, CORRELATIONS[options["correlation"]]):
            number += 1
            try:
                flaws = item_problems(part, scale)
                if flaws:
                    raise DataError(" ".join(flaws))
                found = _examined(part, scale, options, root, number)
            except LGPIError as error:
                refused.append(f"{label}: {reason_of(error)}")
                continue
            rows.append({"group": label, **found.row})
            for note in found.notes:
                said.setdefault(note, []).append(label)
    notes.extend(f"{listing(labels, most=20)}: {note}" for note, labels in said.items())
    notes.extend(f"Left out, {reason}" for reason in refused)
    return rows, notes
