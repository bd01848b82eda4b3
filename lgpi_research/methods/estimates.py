"""Estimates of a complex sample, with linearised errors and design effects.

A missing value drops its row out of that statistic alone: the row stays in the design,
as rows outside a domain do, so that errors know how many units were drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.design import Design, linearised_covariance
from lgpi_research.methods.points import (
    as_columns,
    category_indicators,
    paired,
    point_means,
    point_quantiles,
    point_ratios,
    point_totals,
    point_variances,
)

__all__ = [
    "Quantiles",
    "SurveyEstimate",
    "covariance_matrix",
    "domain_means",
    "logit_interval",
    "means",
    "proportions",
    "quantiles",
    "ratios",
    "rows_used",
    "t_limits",
    "totals",
    "variances",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SurveyEstimate:
    """Estimates of k quantities, and their covariance over samples of the design.

    Attributes
    ----------
    estimate : ndarray of shape (k,)
        NaN where no row has a value.
    cov : ndarray of shape (k, k)
        Linearised covariance.
    df : ndarray of int of shape (k,)
        PSUs less strata, among the rows used.
    deff, deff_replace : ndarray of shape (k,)
        Variance over that of a simple random sample of as many rows, drawn without or with
        replacement; NaN if the variable does not vary, or, for the first, if weights sum to
        less than the number of rows, so that they cannot count a population.
    n_used, n_dropped : ndarray of int of shape (k,)
        Rows with a positive weight that were used; that were set aside for a missing value.
    """

    estimate: Floats
    cov: Floats
    df: Ints
    deff: Floats
    deff_replace: Floats
    n_used: Ints
    n_dropped: Ints

    @property
    def std_error(self) -> Floats:
        """Standard errors, shape (k,)."""
        errors: Floats = np.sqrt(np.diagonal(self.cov))
        return errors

    def interval(
        self, level: float = 0.95, df: npt.ArrayLike | None = None
    ) -> tuple[Floats, Floats]:
        """Return the limits of t intervals, each of shape (k,).

        Parameters
        ----------
        level : float, default 0.95
            Level of the intervals.
        df : array_like, optional
            Degrees of freedom; those of the estimates by default.
        """
        return t_limits(self.estimate, self.std_error, self.df if df is None else df, level)


@dataclass(frozen=True, eq=False)
class Quantiles:
    """Quantiles of one variable with Woodruff's intervals.

    Attributes
    ----------
    probs : ndarray of shape (p,)
        Shares of the population at or below each quantile.
    estimate, std_error, ci_low, ci_high : ndarray of shape (p,)
        The standard error is the length of the interval over twice the t quantile; a limit
        that lies beyond the sample is NaN, and then so is the error.
    df, n_used, n_dropped : int
        As in `SurveyEstimate`.
    """

    probs: Floats
    estimate: Floats
    std_error: Floats
    ci_low: Floats
    ci_high: Floats
    df: int
    n_used: int
    n_dropped: int


def t_limits(
    estimate: npt.ArrayLike, std_error: npt.ArrayLike, df: npt.ArrayLike, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Return ``estimate ∓ t · std_error``; NaN where there is no degree of freedom.

    Raises
    ------
    SpecError
        If the level does not lie between 0 and 1.

    Examples
    --------
    >>> [float(end.round(2)) for end in t_limits(5.0, 1.0, 10)]
    [2.77, 7.23]
    """
    middle, reach = np.asarray(estimate, dtype=float), _t(df, level) * np.asarray(std_error)
    return np.asarray(middle - reach), np.asarray(middle + reach)


def logit_interval(
    share: npt.ArrayLike, std_error: npt.ArrayLike, df: npt.ArrayLike, level: float = 0.95
) -> tuple[Floats, Floats]:
    r"""Return the limits of intervals of proportions that are symmetric on the logit scale.

    Parameters
    ----------
    share, std_error : array_like
        Proportions and their standard errors.
    df : array_like
        Degrees of freedom of t.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    low, high : ndarray
        Within 0 and 1. A proportion with no error, such as that of a stratum, has itself as
        limits. One of 0 or 1 has NaN: that nobody in the sample is in a category does not
        say how many in the population are.

    Raises
    ------
    SpecError
        If the level does not lie between 0 and 1.

    Notes
    -----
    :math:`\operatorname{logit}^{-1}\{\operatorname{logit} p \pm t\, s/(p(1-p))\}` [1]_.

    References
    ----------
    .. [1] Korn, E. L., and Graubard, B. I. (1998). Confidence intervals for proportions
       with small expected number of positive counts estimated from survey data. *Survey
       Methodology*, 24, 193-201.

    Examples
    --------
    >>> [float(end.round(3)) for end in logit_interval(0.9, 0.05, 20)]
    [0.739, 0.966]
    """
    p, s = np.asarray(share, dtype=float), np.asarray(std_error, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = np.log(p) - np.log1p(-p)
        reach = _t(df, level) * s / (p * (1 - p))
        ends = [np.exp(-np.logaddexp(0.0, -(centre + side * reach))) for side in (-1, 1)]
    inner = (p > 0) & (p < 1)
    low, high = (np.where(inner, np.where(s == 0, p, end), np.nan) for end in ends)
    return low, high


def _t(df: npt.ArrayLike, level: float) -> Floats:
    if not 0 < level < 1:
        raise SpecError(f"level must lie between 0 and 1, got {level!r}.")
    freedom = np.asarray(df, dtype=float)
    return np.asarray(stats.t.isf((1 - level) / 2, np.where(freedom > 0, freedom, np.nan)))


def means(
    values: npt.ArrayLike, design: Design, *, domain: npt.ArrayLike | None = None
) -> SurveyEstimate:
    r"""Estimate means of variables.

    Parameters
    ----------
    values : array_like of shape (n,) or (n, k)
        Variables; NaN is a missing value, and each mean is that of its own values.
    design : Design
        How rows were drawn.
    domain : array_like of bool of shape (n,), optional
        Rows that the means are of; the others stay in the design.

    Returns
    -------
    SurveyEstimate

    Raises
    ------
    MethodError
        If a stratum has one PSU and the design says to fail.

    Notes
    -----
    :math:`\bar y = \sum w y/\sum w` has the linearised scores
    :math:`w (y - \bar y)/\sum w` [1]_, 0 in rows without a value or outside the domain,
    whose covariance is that of `linearised_covariance`. The design effect is its ratio to
    :math:`(1 - n/\sum w)\, s^2/n`, without the bracket for sampling with replacement, with
    :math:`s^2` as in `variances`.

    References
    ----------
    .. [1] Binder, D. A. (1983). On the variances of asymptotically normal estimators from
       complex surveys. *International Statistical Review*, 51, 279-292.

    Examples
    --------
    Two clusters whose means are 2 and 6:

    >>> design = Design.from_labels(4, stages=[[1, 1, 2, 2]])
    >>> found = means([1.0, 3.0, 5.0, 7.0], design)
    >>> found.estimate, found.std_error, found.df
    (array([4.]), array([2.]), array([1]))
    """
    at, (y,) = _domain(design, domain, as_columns(values))
    w, used = design.weights[at], ~np.isnan(y)
    mean = point_means(w, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(used, y - mean, 0.0) / (w @ used.astype(float))
    return _estimate(mean, score, used, at, design)


def totals(
    values: npt.ArrayLike, design: Design, *, domain: npt.ArrayLike | None = None
) -> SurveyEstimate:
    r"""Estimate totals of variables: :math:`\sum w y`, whose scores are its terms.

    Rows without a value add nothing: the total is that of the part of the population that
    would have one. Arguments, result and errors are those of `means`; so is the design
    effect, over :math:`(\sum w)^2 (1 - n/\sum w)\, s^2/n`.

    Examples
    --------
    All of a population has no error:

    >>> design = Design.from_labels(3, populations=[[3, 3, 3]])
    >>> found = totals([1.0, 2.0, 6.0], design)
    >>> found.estimate, found.std_error
    (array([9.]), array([0.]))
    """
    at, (y,) = _domain(design, domain, as_columns(values))
    total, used = point_totals(design.weights[at], y), ~np.isnan(y)
    return _estimate(total, np.where(used, y, 0.0), used, at, design)


def ratios(
    numerators: npt.ArrayLike,
    denominators: npt.ArrayLike,
    design: Design,
    *,
    domain: npt.ArrayLike | None = None,
) -> SurveyEstimate:
    r"""Estimate ratios of totals.

    Parameters
    ----------
    numerators, denominators : array_like of shape (n,) or (n, k)
        Variables, pairwise; a row counts where it has both.
    design, domain
        As in `means`.

    Returns
    -------
    SurveyEstimate
        The design effect is that of the total of the scores.

    Raises
    ------
    MethodError
        If a denominator is 0, or a stratum has one PSU and the design says to fail.

    Notes
    -----
    :math:`R = \sum w y/\sum w x` has scores :math:`w (y - R x)/\sum w x`.

    Examples
    --------
    >>> design = Design.from_labels(3)
    >>> ratios([1.0, 2.0, 3.0], [2.0, 4.0, 6.0], design).estimate
    array([0.5])
    """
    both = paired(as_columns(numerators), as_columns(denominators))
    at, (y, x) = _domain(design, domain, *both)
    w, used = design.weights[at], ~np.isnan(y)
    base = w @ np.nan_to_num(x)
    if (base[used.any(axis=0)] == 0).any():
        raise MethodError("a ratio is undefined: the total of its denominator is 0.")
    ratio = point_ratios(w, y, x)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(used, y - ratio * x, 0.0) / base
    return _estimate(ratio, score, used, at, design)


def variances(
    values: npt.ArrayLike, design: Design, *, domain: npt.ArrayLike | None = None
) -> SurveyEstimate:
    r"""Estimate variances of variables in the population, with errors.

    Arguments, result and errors are those of `means`.

    Notes
    -----
    :math:`s^2 = \frac{n}{n-1} \sum w (y - \bar y)^2/\sum w` is the mean of
    :math:`\frac{n}{n-1}(y - \bar y)^2`, and its scores are those of such a mean: the
    estimated :math:`\bar y` adds nothing, because the derivative by it is 0. The number n
    is that of the values used; R's survey counts rows without a value too.

    Examples
    --------
    >>> variances([1.0, 2.0, 6.0], Design.from_labels(3)).estimate
    array([7.])
    """
    at, (y,) = _domain(design, domain, as_columns(values))
    w, used = design.weights[at], ~np.isnan(y)
    n, total = used.sum(axis=0), w @ used.astype(float)
    variance, mean = point_variances(w, y), point_means(w, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        square = np.square(y - mean) * (n / (n - 1))
        score = np.where(used, square - variance, 0.0) / total
    return _estimate(variance, score, used, at, design)


def domain_means(
    values: npt.ArrayLike,
    labels: npt.ArrayLike,
    design: Design,
    *,
    domain: npt.ArrayLike | None = None,
) -> tuple[npt.NDArray[np.str_], SurveyEstimate]:
    """Estimate the mean of one variable in each part of a population.

    Parameters
    ----------
    values : array_like of shape (n,)
        The variable; NaN is a missing value.
    labels : array_like of shape (n,)
        Part of each row; rows with a missing one are in none.
    design, domain
        As in `means`.

    Returns
    -------
    levels : ndarray of shape (k,)
        Labels in sorted order.
    estimate : SurveyEstimate
        With the covariances between parts, which share PSUs.

    Raises
    ------
    MethodError
        If a stratum has one PSU and the design says to fail.

    Examples
    --------
    >>> design = Design.from_labels(4, stages=[[1, 1, 2, 2]])
    >>> levels, found = domain_means([1.0, 3.0, 5.0, 7.0], ["a", "b", "a", "b"], design)
    >>> found.estimate
    array([3., 5.])
    """
    levels, parts = category_indicators(labels)
    y = np.asarray(values, dtype=float)[:, None]
    at, (y, parts) = _domain(design, domain, y, parts)
    inside = parts == 1
    used = inside & ~np.isnan(y)
    mean = point_means(design.weights[at], np.where(used, y, np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(used, y - mean, 0.0) / (design.weights[at] @ used.astype(float))
    found = _estimate(mean, score, used, at, design)
    # A row of another part lacks nothing.
    return levels, replace(found, n_dropped=inside.sum(axis=0) - found.n_used)


def proportions(
    labels: npt.ArrayLike, design: Design, *, domain: npt.ArrayLike | None = None
) -> tuple[npt.NDArray[np.str_], SurveyEstimate]:
    """Estimate the share of each category.

    Parameters
    ----------
    labels : array_like of shape (n,)
        Category of each row; None or NaN is a missing one.
    design, domain
        As in `means`.

    Returns
    -------
    levels : ndarray of shape (k,)
        Categories in sorted order, also those that no row of the domain has.
    estimate : SurveyEstimate
        Shares, which sum to 1. `logit_interval` makes intervals that stay within 0 and 1.

    Raises
    ------
    MethodError
        If a stratum has one PSU and the design says to fail.

    Examples
    --------
    >>> levels, found = proportions(["a", "b", "b", None], Design.from_labels(4))
    >>> levels.tolist(), found.estimate.round(3), found.n_dropped
    (['a', 'b'], array([0.333, 0.667]), array([1, 1]))
    """
    levels, indicators = category_indicators(labels)
    return levels, means(indicators, design, domain=domain)


def quantiles(
    values: npt.ArrayLike,
    probs: npt.ArrayLike,
    design: Design,
    *,
    domain: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Quantiles:
    r"""Estimate quantiles of a variable, with Woodruff's intervals.

    Parameters
    ----------
    values : array_like of shape (n,)
        The variable; NaN is a missing value.
    probs : array_like of shape (p,)
        Each above 0 and at most 1.
    design, domain
        As in `means`.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    Quantiles

    Raises
    ------
    SpecError
        If a probability or the level lies outside its range.
    MethodError
        If no row has a value, or a stratum has one PSU and the design says to fail.

    Notes
    -----
    The quantile is the smallest y with :math:`\hat F(y) \ge p`, and its interval the
    quantiles at :math:`p \pm t\, s`, with s the standard error of :math:`\hat F` at the
    quantile [1]_. At the largest value :math:`\hat F` is 1 in every sample, which says
    nothing; there s is that of the share below it. R's survey puts the middle at
    :math:`\hat F(\hat y)` instead of p, which moves the interval upwards where many answers
    are tied.

    References
    ----------
    .. [1] Woodruff, R. S. (1952). Confidence intervals for medians and other position
       measures. *Journal of the American Statistical Association*, 47, 635-646.

    Examples
    --------
    >>> found = quantiles(np.arange(1.0, 41.0), [0.5], Design.from_labels(40))
    >>> found.estimate, found.ci_low, found.ci_high
    (array([20.]), array([14.]), array([27.]))
    """
    p = np.asarray(probs, dtype=float)
    y = np.asarray(values, dtype=float)
    _, used = rows_used(~np.isnan(y)[:, None], design, domain)
    if not used.any():
        raise MethodError("a quantile is undefined: no row of the domain has a value.")
    w = np.where(used[:, 0], design.weights, 0.0)
    found = point_quantiles(w, y, p)
    values = y[:, None]
    largest = ~(values[used[:, 0]] > found).any(axis=0)
    below = np.where(largest, values < found, values <= found)
    share = means(np.where(np.isnan(values), np.nan, below), design, domain=domain)
    t = float(_t(share.df[0], level))
    ends = []
    for side in (-1, 1):
        at = p + side * t * share.std_error
        inner = (at > 0) & (at <= 1)
        end = np.full(len(p), np.nan)
        end[inner] = point_quantiles(w, y, at[inner])
        ends.append(end)
    return Quantiles(
        p, found, (ends[1] - ends[0]) / (2 * t), ends[0], ends[1],
        int(share.df[0]), int(share.n_used[0]), int(share.n_dropped[0]),
    )  # fmt: skip


def covariance_matrix(
    values: npt.ArrayLike, design: Design, *, domain: npt.ArrayLike | None = None
) -> Floats:
    r"""Estimate the covariance matrix of items in the population.

    Parameters
    ----------
    values : array_like of shape (n, k)
        Items; rows with a missing one are left out.
    design, domain
        As in `means`.

    Returns
    -------
    ndarray of shape (k, k)
        :math:`\frac{n}{n-1} \sum w (x - \bar x)(x - \bar x)'/\sum w`, from which
        `lgpi_research.methods.consistency.Spread` makes coefficients such as alpha.

    Raises
    ------
    MethodError
        If fewer than two rows are complete.

    Examples
    --------
    >>> covariance_matrix([[1.0, 2.0], [3.0, 6.0]], Design.from_labels(2))
    array([[2., 4.],
           [4., 8.]])
    """
    x = np.asarray(values, dtype=float)
    _, used = rows_used(~np.isnan(x).any(axis=1, keepdims=True), design, domain)
    n = int(used.sum())
    if n < 2:
        raise MethodError(f"a covariance needs two complete rows, got {n}.")
    w, x = design.weights[used[:, 0]], x[used[:, 0]]
    centred = x - w @ x / w.sum()
    return np.asarray((centred.T * w) @ centred / w.sum() * n / (n - 1))


def rows_used(present: Mask, design: Design, domain: npt.ArrayLike | None) -> tuple[Mask, Mask]:
    """Return the rows in the domain, shape (n,), and those used by each variable, (n, k)."""
    n = len(design.weights)
    inside = np.ones(n, dtype=bool) if domain is None else np.asarray(domain, dtype=bool)
    if len(present) != n or inside.shape != (n,):
        raise MethodError(
            f"the design has {n} rows, the variables {len(present)} and the domain {len(inside)}."
        )
    inside = inside & (design.weights > 0)
    return inside, present & inside[:, None]


def _domain(
    design: Design, domain: npt.ArrayLike | None, *tables: Floats
) -> tuple[Ints, tuple[Floats, ...]]:
    """Return the numbers of the rows with a weight in the domain, and those rows of tables."""
    inside, _ = rows_used(np.ones((len(tables[0]), 1), dtype=bool), design, domain)
    at = np.flatnonzero(inside)
    return at, tuple(table[at] for table in tables)


def _estimate(
    estimate: Floats, score: Floats, used: Mask, at: Ints, design: Design
) -> SurveyEstimate:
    """Return estimates whose linearised values, before weights, are `score` (m, k).

    `at` are the numbers of the m rows of the domain; `used` is whether each has a value.
    """
    w, present = design.weights[at], used.astype(float)
    known = used.any(axis=0)
    score = np.where(known, score, 0.0)
    cov = linearised_covariance(score * w[:, None], design, domain=present, rows=at)
    cov[~known] = np.nan
    cov[:, ~known] = np.nan
    n, total = used.sum(axis=0), w @ present
    squares = np.square(total) * point_variances(w, np.where(used, score, np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        with_ = np.where(squares > 0, squares / n, np.nan)
        correction = np.where(total >= n, 1.0 - n / total, np.nan)
        without = np.where(correction > 0, with_ * correction, np.nan)
        variance = np.diagonal(cov)
        deff, deff_replace = variance / without, variance / with_
    return SurveyEstimate(
        estimate,
        cov,
        np.array(_freedom(used, at, design), dtype=np.int64),
        deff,
        deff_replace,
        n.astype(np.int64),
        (len(at) - n).astype(np.int64),
    )


def _freedom(used: Mask, at: Ints, design: Design) -> Sequence[int]:
    """Return the degrees of freedom of each column; equal columns are counted once."""
    found: dict[bytes, int] = {}
    keys = [np.packbits(column).tobytes() for column in used.T]
    for key, column in zip(keys, used.T, strict=True):
        if key not in found:
            found[key] = design.domain_df(at[column])
    return [found[key] for key in keys]
