"""Polychoric correlations: of normal variables that are imagined behind ordered answers.

They are functions of how often each pair of answers to each pair of items was given
(`PairCounts`), whose leading axes are replicates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from lgpi_research.errors import MethodError, Problems, SpecError
from lgpi_research.methods.bivariate import bivariate_cdf, bivariate_density

__all__ = ["PairCounts", "PairFit", "Polychoric", "fit_pair", "polychoric", "thresholds_of"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_FAR = 38.0  # a threshold beyond which no probability is left
_LIMIT = 0.9999  # correlations beyond it are said to be at the limit
_MOST = 50  # iterations; regular pairs take three to five
_NEAR = 1e-6  # a Newton step below this leaves an error at the limit of precision
_STEEP = 1.0  # angle, a correlation of 0.84, beyond which a maximum is compared with the limit
_SAME = 1e-7  # difference of log-likelihoods that tells nothing
_POINTS = 12_000  # corners of cells at a time: bounds memory and stays in the cache
_SINGULAR = 1e-10  # a root below it is 0
_LEAST = 1e-18  # probability of a cell that rounding made 0


_CONVERGED, _AT_LIMIT = 1, 2  # how the iterations ended; 0: they did not


@dataclass(frozen=True, eq=False)
class PairCounts:
    """How often each pair of answers to each pair of items was given.

    Counts of groups of respondents add up, if their categories are the same. Leading axes
    are replicates.

    Attributes
    ----------
    counts : ndarray of shape (…, c, c)
        Over the categories of all items, one item after another. The block of an item
        with itself holds the counts of its answers on its diagonal.
    sizes : tuple of int
        Number of categories of each item; they sum to c.
    """

    counts: Floats
    sizes: tuple[int, ...]

    @cached_property
    def fits(self) -> dict[float, Polychoric]:
        """Correlations that were found, by what stood in for empty cells."""
        return {}

    @classmethod
    def from_answers(
        cls,
        answers: npt.ArrayLike,
        *,
        weights: npt.ArrayLike | None = None,
        categories: npt.ArrayLike | None = None,
    ) -> PairCounts:
        """Count answers.

        Parameters
        ----------
        answers : array_like of shape (n, k)
            Answers of n respondents to k items. NaN is a missing one: a pair counts
            where both were given.
        weights : array_like of shape (…, n), optional
            Weights of the respondents; leading axes are replicates.
        categories : array_like of shape (c,), optional
            The ordered answers that every item allows. By default those that occur, item
            by item; give them where counts are to be added.

        Returns
        -------
        PairCounts

        Raises
        ------
        MethodError
            If answers do not form a table, are infinite, are none of the categories, or
            weights are negative, missing or of another length.

        Examples
        --------
        >>> PairCounts.from_answers([[1, 2], [2, 2], [2, 5]]).counts
        array([[1., 0., 1., 0.],
               [0., 2., 1., 1.],
               [1., 1., 2., 0.],
               [0., 1., 0., 1.]])
        """
        table = np.asarray(answers, dtype=np.float64)
        if table.ndim != 2:
            raise MethodError(f"answers must have shape (n, k), got {table.shape}.")
        problems = Problems("the answers")
        if np.isinf(table).any():
            problems.add(f"{int(np.isinf(table).sum())} answers are infinite.")
        given = ~np.isnan(table)
        if categories is None:
            allowed = [np.unique(table[seen, item]) for item, seen in enumerate(given.T)]
        else:
            allowed = [np.unique(np.asarray(categories, dtype=np.float64))] * table.shape[1]
            for item, seen in enumerate(given.T):
                outside = ~np.isin(table[seen, item], allowed[item])
                if outside.any():
                    problems.add(
                        f"{int(outside.sum())} of {int(seen.sum())} answers to item {item + 1} "
                        "are none of the categories."
                    )
        weighing = None if weights is None else np.asarray(weights, dtype=np.float64)
        if weighing is not None and (
            weighing.ndim < 1 or weighing.shape[-1] != len(table) or not (weighing >= 0).all()
        ):
            problems.add(
                f"weights must be {len(table)} numbers >= 0, one a respondent; got shape "
                f"{weighing.shape}."
            )
        problems.raise_any(MethodError)
        marks = np.concatenate(
            [table[:, [i]] == values for i, values in enumerate(allowed)], axis=1, dtype=float
        )
        sizes = tuple(len(values) for values in allowed)
        if weighing is None:
            return cls(marks.T @ marks, sizes)
        many = [marks.T @ (w[:, None] * marks) for w in weighing.reshape(-1, len(table))]
        shape = (*weighing.shape[:-1], marks.shape[1], marks.shape[1])
        return cls(np.array(many).reshape(shape), sizes)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.sizes)

    def _places(self) -> npt.NDArray[np.intp]:
        """Return where the categories of each item stand; −1 where it has fewer."""
        starts = np.cumsum((0, *self.sizes[:-1]))
        within = np.arange(max(self.sizes, default=0))
        inside = within < np.array(self.sizes)[:, None]
        return np.where(inside, starts[:, None] + within, -1)

    def margins(self) -> Floats:
        """Return how often each answer to each item was given, shape (…, k, most categories)."""
        diagonal = np.diagonal(self.counts, axis1=-2, axis2=-1)
        places = self._places()
        return np.where(places >= 0, diagonal[..., places], 0.0)

    def tables(self) -> Floats:
        """Return the table of each pair of items, shape (…, k(k − 1)/2, most, most).

        Pairs are in the order of the rows above the diagonal; categories that an item
        does not have are empty.
        """
        places = self._places()
        first, second = np.triu_indices(self.n_items, 1)
        rows, columns = places[first][:, :, None], places[second][:, None, :]
        found = self.counts[..., rows, columns]
        if places.size and places.min() < 0:
            found = np.where((rows >= 0) & (columns >= 0), found, 0.0)
        return np.asarray(found)


@dataclass(frozen=True, eq=False)
class Polychoric:
    """Polychoric correlations of k items. Leading axes are replicates.

    Attributes
    ----------
    correlation : ndarray of shape (…, k, k)
        NaN for a pair that has no answer: nobody answered both, an item has one answer, or
        the iterations did not end.
    thresholds : ndarray of shape (…, k, c − 1)
        Where the imagined variables are cut, c being the largest number of categories;
        NaN where an item has fewer, infinite beyond answers that nobody gave.
    n : ndarray of shape (…, k, k)
        Respondents who answered both, or the sum of their weights.
    empty_cells : ndarray of int of shape (…, k, k)
        Pairs of answers, both of which occur, that nobody gave together. In tables of two
        by two one empty cell puts the correlation at the limit.
    at_limit : ndarray of bool of shape (…, k, k)
        Whether the likelihood rises beyond ±0.9999: the correlation is given as ±1.
    converged : ndarray of bool of shape (…, k, k)
        Whether the iterations ended inside the limits.
    smallest_root : ndarray of shape (…)
        Smallest eigenvalue of the correlations. Not above 0: they are no correlation
        matrix of any variables, and a model of them has no answer.
    """

    correlation: Floats
    thresholds: Floats
    n: Floats
    empty_cells: Ints
    at_limit: Bools
    converged: Bools
    smallest_root: Floats

    @property
    def positive_definite(self) -> Bools:
        """Whether the correlations are those of some variables, shape (…)."""
        return np.asarray(self.smallest_root > _SINGULAR)


def thresholds_of(margins: npt.ArrayLike) -> Floats:
    """Return where a normal variable is cut by answers that were given so often.

    Parameters
    ----------
    margins : array_like of shape (…, c)
        Counts of c ordered answers.

    Returns
    -------
    ndarray of shape (…, c − 1)
        Infinite beyond answers that nobody gave.

    Examples
    --------
    >>> thresholds_of([10, 10, 20]).round(3)
    array([-0.674,  0.   ])
    """
    counts = np.asarray(margins, dtype=np.float64)
    total = counts.sum(axis=-1, keepdims=True)
    below = np.cumsum(counts, axis=-1)[..., :-1]
    above = np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1][..., 1:]  # exact at the last answer
    share = np.where(below <= above, below, above) / np.where(total > 0, total, np.nan)
    cuts = special.ndtri(share)
    return np.asarray(np.where(below <= above, cuts, -cuts))


def bounded(cuts: Floats) -> Floats:
    """Return finite thresholds; those that do not exist lie beyond all probability."""
    return np.clip(np.where(np.isnan(cuts), _FAR, cuts), -_FAR, _FAR)


def polychoric(counts: PairCounts, *, empty_cell: float = 0.0) -> Polychoric:
    r"""Return the polychoric correlations of all pairs of items, in two steps.

    Parameters
    ----------
    counts : PairCounts
        Of k ≥ 2 items; leading axes are replicates.
    empty_cell : float, default 0
        Count that stands in for each empty cell, where both answers occur; 0.5 is a usual
        choice for tables of two by two.

    Returns
    -------
    Polychoric
        With the empty cells counted, and what did not converge or reached ±1 marked.

    Raises
    ------
    MethodError
        If there are fewer than two items; if, in a single set, an item has fewer than two
        answers, or nobody answered both items of a pair.
    SpecError
        If `empty_cell` is negative.

    Notes
    -----
    The answers to items i and j are taken to cut two normal variables of correlation
    :math:`\rho` at thresholds. First the thresholds :math:`\tau` follow from the margins
    of each item over all who answered it; then :math:`\rho` maximises
    :math:`\sum_{ab} n_{ab} \log \pi_{ab}(\tau_i, \tau_j, \rho)` with the probabilities
    :math:`\pi_{ab}` of rectangles [1]_, by Newton steps in :math:`\arcsin\rho` for all
    pairs at once, with the expected for the observed information where the likelihood is
    not concave. The limits :math:`\pm 1` are approached up to 0.9999.

    The normal variables are an assumption, which `fit_pair` tests for a pair.

    References
    ----------
    .. [1] Olsson, U. (1979). Maximum likelihood estimation of the polychoric correlation
       coefficient. *Psychometrika*, 44, 443-460.

    Examples
    --------
    For two questions that halve the respondents it is :math:`\sin(2\pi(p - 1/4))`, where p
    is the share of those who are low in both:

    >>> counts = PairCounts(np.array([[60, 0, 40, 20], [0, 60, 20, 40],
    ...                               [40, 20, 60, 0], [20, 40, 0, 60]]), (2, 2))
    >>> round(float(polychoric(counts).correlation[0, 1]), 12)
    0.5
    """
    k = counts.n_items
    if k < 2:
        raise MethodError(f"at least 2 items are needed, got {k}.")
    if not empty_cell >= 0:
        raise SpecError(f"empty_cell must be a number >= 0, got {empty_cell!r}.")
    margins, tables = counts.margins(), counts.tables()
    shape, most = margins.shape[:-2], margins.shape[-1]
    first, second = np.triu_indices(k, 1)
    n_pairs = len(first)
    occurring = (tables.sum(axis=-1) > 0)[..., :, None] & (tables.sum(axis=-2) > 0)[..., None, :]
    empty = occurring & (tables == 0)
    varied = (margins > 0).sum(axis=-1) > 1
    totals = tables.sum(axis=(-2, -1))
    usable = varied[..., first] & varied[..., second] & (totals > 0)
    if not shape:
        _explain(varied, totals, first, second)
    cuts = thresholds_of(margins)
    ends = bounded(cuts)
    good = usable.reshape(-1)
    filled = np.where(empty, empty_cell, tables).reshape(len(good), most, most)
    rows, columns = (
        ends[..., side, :].reshape(len(good), ends.shape[-1]) for side in (first, second)
    )
    rho, state = np.full(len(good), np.nan), np.zeros(len(good), dtype=np.int64)
    slices = max(1, _POINTS // max(1, most - 1) ** 2)
    wanted = np.flatnonzero(good)
    for begin in range(0, len(wanted), slices):
        part = wanted[begin : begin + slices]
        rho[part], state[part] = _maximise(filled[part], rows[part], columns[part])

    def square(values: npt.NDArray[np.generic], diagonal: object) -> npt.NDArray[np.generic]:
        whole = np.empty((*shape, k, k), dtype=values.dtype)
        pairs = values.reshape(*shape, n_pairs)
        whole[..., first, second] = whole[..., second, first] = pairs
        whole[..., np.arange(k), np.arange(k)] = diagonal
        return whole

    correlation = np.asarray(square(rho, np.where(varied, 1.0, np.nan)), dtype=np.float64)
    whole = np.asarray(np.isfinite(correlation).all(axis=(-2, -1)))
    roots = np.linalg.eigvalsh(np.where(whole[..., None, None], correlation, np.eye(k)))
    sizes = np.array(counts.sizes)[:, None]
    return Polychoric(
        correlation=correlation,
        thresholds=np.where(np.arange(1, most) < sizes, cuts, np.nan),
        n=np.asarray(square(totals, margins.sum(axis=-1)), dtype=np.float64),
        empty_cells=np.asarray(square(empty.sum(axis=(-2, -1)), 0), dtype=np.int64),
        at_limit=np.asarray(square(state == _AT_LIMIT, False), dtype=bool),
        converged=np.asarray(square(state == _CONVERGED, varied), dtype=bool),
        smallest_root=np.where(whole, roots[..., 0], np.nan),
    )


def _explain(
    varied: Bools, totals: Floats, first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]
) -> None:
    """Raise all that leaves a single set of items without correlations."""
    problems = Problems("the items")
    for item in np.flatnonzero(~varied):
        problems.add(f"item {item + 1} has fewer than two different answers. Leave it out.")
    for pair in np.flatnonzero(totals <= 0):
        problems.add(
            f"nobody answered both item {first[pair] + 1} and item {second[pair] + 1}: their "
            "correlation cannot be known."
        )
    problems.raise_any(MethodError)


def _cells(inner: Floats, rows: Floats, columns: Floats) -> Floats:
    """Return probabilities of cells from those below their corners, shape (m, c, c)."""
    m, c = rows.shape[0], rows.shape[1] + 1
    whole = np.zeros((m, c + 1, c + 1))
    whole[:, 1:-1, 1:-1] = inner
    whole[:, 1:-1, -1], whole[:, -1, 1:-1] = special.ndtr(rows), special.ndtr(columns)
    whole[:, -1, -1] = 1.0
    return np.diff(np.diff(whole, axis=1), axis=2)


def _differences(inner: Floats) -> Floats:
    """Return derivatives of cells from those at their corners, shape (m, c, c)."""
    m, c = inner.shape[0], inner.shape[1] + 1
    whole = np.zeros((m, c + 1, c + 1))
    whole[:, 1:-1, 1:-1] = inner
    return np.diff(np.diff(whole, axis=1), axis=2)


def _start(tables: Floats) -> Floats:
    """Return product-moment correlations of tables, answers being whole numbers."""
    scores = np.arange(tables.shape[-1], dtype=np.float64)
    n = tables.sum(axis=(1, 2))
    one, two = tables.sum(axis=2), tables.sum(axis=1)
    a, b = one @ scores / n, two @ scores / n
    product = (tables @ scores) @ scores / n - a * b
    size = (one @ scores**2 / n - a**2) * (two @ scores**2 / n - b**2)
    return np.asarray(np.clip(product / np.sqrt(np.where(size > 0, size, 1.0)), -0.95, 0.95))


def _maximise(tables: Floats, rows: Floats, columns: Floats) -> tuple[Floats, Ints]:
    """Maximise the likelihood of each table in its correlation; say how each ended."""
    limit = np.arcsin(_LIMIT)
    angle = np.arcsin(_start(tables))
    state = np.zeros(len(tables), dtype=np.int64)
    before, best = angle.copy(), np.full(len(tables), -np.inf)
    moving = np.arange(len(tables))
    for _ in range(_MOST):
        if not len(moving):
            break
        here = angle[moving]
        level, slope, bend = _likelihood(tables[moving], rows[moving], columns[moving], here)
        worse = level < best[moving] - 1e-12 * np.abs(level)
        step = np.where(worse, (before[moving] - here) / 2, np.clip(slope / bend, -0.4, 0.4))
        before[moving] = np.where(worse, before[moving], here)
        best[moving] = np.where(worse, best[moving], level)
        there = np.clip(here + step, -limit, limit)
        angle[moving] = there
        state[moving[np.abs(step) < _NEAR]] = _CONVERGED
        state[moving[~worse & (np.abs(here) == limit) & (there == here)]] = _AT_LIMIT
        moving = moving[state[moving] == 0]
    high = np.flatnonzero((np.abs(angle) > _STEEP) & (state != _AT_LIMIT))
    if len(high):  # where rare cells have no chance left, the likelihood is flat up to the limit
        ends = np.copysign(limit, angle[high])
        level = _likelihood(tables[high], rows[high], columns[high], ends)[0]
        state[high[level >= best[high] - _SAME]] = _AT_LIMIT
    found = np.sin(angle)
    found[state == 0] = np.nan
    at_limit = state == _AT_LIMIT
    found[at_limit] = np.sign(found[at_limit])
    return found, state


def _likelihood(
    tables: Floats, rows: Floats, columns: Floats, angle: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return log-likelihoods, their slopes in the angle, and how they bend down, all (m,)."""
    h, k, rho = rows[:, :, None], columns[:, None, :], np.sin(angle)[:, None, None]
    chance = np.fmax(_cells(bivariate_cdf(h, k, rho), rows, columns), _LEAST)
    density, change = bivariate_density(h, k, rho)
    first, second = _differences(density), _differences(change)
    level = special.xlogy(tables, chance).sum(axis=(1, 2))
    ratio = tables / chance
    slope = (ratio * first).sum(axis=(1, 2))
    observed = (ratio * (np.square(first) / chance - second)).sum(axis=(1, 2))
    likely = chance > 1e-12
    expected = tables.sum(axis=(1, 2)) * (
        np.where(likely, np.square(first), 0.0) / np.where(likely, chance, 1.0)
    ).sum(axis=(1, 2))
    return level, slope, np.where(observed > 0.1 * expected, observed, np.fmax(expected, _LEAST))


@dataclass(frozen=True, eq=False)
class PairFit:
    """Thresholds and correlation of two items, estimated together.

    Attributes
    ----------
    correlation, std_error : float
        Estimate, and its standard error from the expected information.
    row_thresholds, column_thresholds : ndarray
        Where the two variables are cut; answers that nobody gave are left out.
    log_likelihood : float
        Of the table, without its constant.
    statistic, df, p_value : float
        Likelihood-ratio test of the normal variables against any table; NaN p-value
        without degrees of freedom.
    empty_cells : int
        Pairs of answers that nobody gave; with many, the test does not hold.
    """

    correlation: float
    std_error: float
    row_thresholds: Floats
    column_thresholds: Floats
    log_likelihood: float
    statistic: float
    df: int
    p_value: float
    empty_cells: int


def fit_pair(table: npt.ArrayLike) -> PairFit:
    r"""Fit thresholds and polychoric correlation of one pair by full maximum likelihood.

    Parameters
    ----------
    table : array_like of shape (r, c)
        Counts of independent respondents by their ordered answers to two items.

    Returns
    -------
    PairFit

    Raises
    ------
    MethodError
        If the table has negative or missing counts, fewer than two answers to an item,
        or no maximum inside ±0.9999.

    Notes
    -----
    Fisher scoring from the two-step solution [1]_; the correlation differs little from
    that of `polychoric`. The test has :math:`rc - r - c` degrees of freedom; where it
    rejects, two normal variables do not describe the answers.

    References
    ----------
    .. [1] Olsson, U. (1979). Maximum likelihood estimation of the polychoric correlation
       coefficient. *Psychometrika*, 44, 443-460.

    Examples
    --------
    >>> fit = fit_pair([[30, 10, 5], [15, 25, 10], [5, 10, 40]])
    >>> round(fit.correlation, 3), round(fit.std_error, 3), fit.df
    (0.708, 0.059, 3)
    """
    whole = np.asarray(table, dtype=np.float64)
    if whole.ndim != 2 or not (np.isfinite(whole).all() and (whole >= 0).all()):
        raise MethodError("a table of two items needs counts >= 0 in two dimensions.")
    counts = whole[whole.sum(axis=1) > 0][:, whole.sum(axis=0) > 0]
    rows, columns = counts.shape
    if rows < 2 or columns < 2:
        raise MethodError(
            f"both items need two different answers, got {rows} in rows and {columns} in columns."
        )
    cuts = thresholds_of(counts.sum(axis=1)), thresholds_of(counts.sum(axis=0))
    side = max(rows, columns)
    square = np.zeros((1, side, side))
    square[0, :rows, :columns] = counts
    padded = (np.pad(c, (0, side - 1 - len(c)), constant_values=_FAR)[None] for c in cuts)
    start, state = _maximise(square, *padded)
    if state[0] != _CONVERGED:
        raise MethodError(
            "the likelihood has no maximum inside ±0.9999: the table has too many empty cells "
            f"({int((counts == 0).sum())} of {counts.size}). Merge answers, or use polychoric "
            "with empty_cell=0.5."
        )
    here = np.concatenate([*cuts, np.arcsin(start)])
    level, score, information = _pair_terms(counts, here)
    for _ in range(_MOST):
        step = np.linalg.solve(information, score)
        for _ in range(40):
            there = here + step
            found = _pair_terms(counts, there)
            if found[0] >= level - 1e-12 * abs(level):
                break
            step /= 2
        here, (level, score, information) = there, found
        if np.abs(step).max() < 1e-10:
            break
    else:
        raise MethodError("the full likelihood of the pair did not converge.")
    angle = here[-1]
    error = np.sqrt(np.linalg.inv(information)[-1, -1]) * np.cos(angle)
    likeliest = float(special.xlogy(counts, counts / counts.sum()).sum())
    statistic, df = max(2 * (likeliest - level), 0.0), rows * columns - rows - columns
    return PairFit(
        correlation=float(np.sin(angle)),
        std_error=float(error),
        row_thresholds=here[: rows - 1],
        column_thresholds=here[rows - 1 : -1],
        log_likelihood=level,
        statistic=statistic,
        df=df,
        p_value=float(stats.chi2.sf(statistic, df)) if df > 0 else float("nan"),
        empty_cells=int((counts == 0).sum()),
    )


def _pair_terms(counts: Floats, at: Floats) -> tuple[float, Floats, Floats]:
    """Return log-likelihood, its slopes and expected information in thresholds and angle."""
    rows, columns = counts.shape
    h, k, angle = at[: rows - 1], at[rows - 1 : -1], at[-1]
    inside = (np.diff(h) > 0).all() and (np.diff(k) > 0).all()
    if not (inside and abs(angle) < np.arcsin(_LIMIT)):
        return -np.inf, at, np.eye(len(at))
    rho, scale = np.sin(angle), np.cos(angle)
    below = bivariate_cdf(h[:, None], k, rho)[None]
    chance = np.fmax(_cells(below, h[None], k[None])[0], _LEAST)
    slopes = np.zeros((len(at), rows, columns))
    for number, (one, other) in enumerate(((h, k), (k, h))):
        share = special.ndtr((other - rho * one[:, None]) / scale)
        density = np.exp(-np.square(one) / 2)[:, None] / np.sqrt(2 * np.pi)
        edges = np.pad(share, ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1)))
        strip = density * np.diff(edges, axis=1)
        for cut in range(len(one)):
            place = slopes[cut] if number == 0 else slopes[rows - 1 + cut].T
            place[cut], place[cut + 1] = strip[cut], -strip[cut]
    slopes[-1] = _differences(bivariate_density(h[:, None], k, rho)[0][None])[0]
    flat = slopes.reshape(len(at), -1)
    score = flat @ (counts / chance).ravel()
    information = counts.sum() * (flat / chance.ravel()) @ flat.T
    return float(special.xlogy(counts, chance).sum()), score, information
