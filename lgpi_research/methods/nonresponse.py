"""Item non-response: response rates, worst-case bounds of means, and who does not answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.design import Design
from lgpi_research.methods.estimates import means, t_limits

__all__ = [
    "Contrast",
    "MeanBounds",
    "contrast",
    "imbens_manski",
    "mean_bounds",
    "pair_rates",
    "rest_scores",
]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_ITEMS = 8  # items whose linearised values are held at a time: bounds memory


@dataclass(frozen=True, eq=False)
class MeanBounds:
    """Means of items, and between what they lie whatever the missing answers were.

    Attributes
    ----------
    rate : ndarray of shape (k,)
        Weighted share of those asked who answered; NaN where nobody was asked.
    mean, std_error : ndarray of shape (k,)
        Weighted mean of those who answered, and its design-based standard error; NaN where
        nobody did.
    low, high : ndarray of shape (k,)
        Bounds of the mean of all who were asked; NaN without ends of the scale.
    low_error, high_error : ndarray of shape (k,)
        Design-based standard errors of the bounds.
    ci_low, ci_high : ndarray of shape (k,)
        Interval of the mean of all who were asked (`imbens_manski`), cut at the ends of the
        scale.
    """

    rate: Floats
    mean: Floats
    std_error: Floats
    low: Floats
    high: Floats
    low_error: Floats
    high_error: Floats
    ci_low: Floats
    ci_high: Floats


@dataclass(frozen=True)
class Contrast:
    """The difference of a score between two sets of respondents.

    Attributes
    ----------
    difference : float
        Weighted mean of the second set less that of the first, in standard deviations of
        the score over both.
    std_error : float
        Design-based.
    ci_low, ci_high : float
    p_value : float
        Two-sided, that there is no difference.
    n_first, n_second : int
        Respondents with a score in each set.
    """

    difference: float
    std_error: float
    ci_low: float
    ci_high: float
    p_value: float
    n_first: int
    n_second: int


def mean_bounds(
    x: npt.ArrayLike,
    asked: npt.ArrayLike,
    low: npt.ArrayLike,
    high: npt.ArrayLike,
    design: Design,
    *,
    domain: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> MeanBounds:
    r"""Return means of items and their worst-case bounds.

    Parameters
    ----------
    x : array_like of shape (n, k)
        Answers; NaN is a missing one.
    asked : array_like of bool of shape (n, k)
        Who was asked: all but those whom a filter spared the question.
    low, high : array_like of shape (k,)
        Smallest and largest possible answer to each item; NaN where there is none, and then
        no bounds.
    design : Design
        How respondents were drawn.
    domain : array_like of bool of shape (n,), optional
        The respondents that the means are of; all if None.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    MeanBounds

    Raises
    ------
    MethodError
        If the design has a stratum of one PSU and refuses it.

    Notes
    -----
    With the share p of those asked who answered, and their mean :math:`\bar y`, the mean of
    all who were asked lies in [1]_

    .. math::

        [p\bar y + (1 - p)\,l,\; p\bar y + (1 - p)\,h],

    whatever those who did not answer would have said. Nothing narrower holds without an
    assumption on them. Each bound is the mean of the answers with missing ones replaced by
    an end of the scale, so that its standard error is that of a mean, and covers the error
    of p.

    A question that was filtered out has no answer to be missing: means and bounds are
    of those who were asked, a part of the population that the filter defines. They say
    nothing of those who were not.

    References
    ----------
    .. [1] Manski, C. F. (1989). Anatomy of the selection problem. *Journal of Human
       Resources*, 24, 343-360.

    Examples
    --------
    Three of four answer on a scale from 1 to 5, with mean 3:

    >>> design = Design.from_labels(4)
    >>> found = mean_bounds([[2], [3], [4], [np.nan]], np.ones((4, 1)), [1], [5], design)
    >>> found.low, found.high
    (array([2.5]), array([3.5]))
    """
    answers, asked = np.asarray(x, dtype=np.float64), np.asarray(asked, dtype=bool)
    ends = [np.asarray(end, dtype=np.float64) for end in (low, high)]
    parts = []
    for start in range(0, answers.shape[1], _ITEMS):
        part = slice(start, start + _ITEMS)
        own = [end[part] for end in ends]
        parts.append(_bounds(answers[:, part], asked[:, part], own, design, domain))
    rate, mean, error, lower, low_error, upper, high_error, df = np.hstack(parts)
    ci_low, ci_high = imbens_manski(lower, upper, low_error, high_error, level=level, df=df)
    return MeanBounds(
        rate, mean, error, lower, upper, low_error, high_error,
        np.maximum(ci_low, ends[0]), np.minimum(ci_high, ends[1]),
    )  # fmt: skip


def _bounds(
    x: Floats, asked: Mask, ends: list[Floats], design: Design, domain: npt.ArrayLike | None
) -> Floats:
    """Return rate, mean and bounds with their errors and df, rows of a matrix (8, k)."""
    answered = ~np.isnan(x)
    shown = np.where(asked, x, np.nan)
    filled = [np.where(asked, np.where(answered, x, end), np.nan) for end in ends]
    rate = means(np.where(asked, answered, np.nan), design, domain=domain)
    mean, low, high = (means(table, design, domain=domain) for table in (shown, *filled))
    bounds = [low.estimate, low.std_error, high.estimate, high.std_error]
    # Without an end, missing answers were left out above, and that is no bound.
    known = np.isfinite(ends).all(axis=0)
    return np.vstack(
        [
            rate.estimate,
            mean.estimate,
            mean.std_error,
            np.where(known, bounds, np.nan),
            low.df,
        ]
    )


def imbens_manski(
    lower: npt.ArrayLike,
    upper: npt.ArrayLike,
    lower_error: npt.ArrayLike,
    upper_error: npt.ArrayLike,
    *,
    level: float = 0.95,
    df: npt.ArrayLike | None = None,
) -> tuple[Floats, Floats]:
    r"""Return Imbens and Manski's interval for a parameter that lies between two bounds.

    Parameters
    ----------
    lower, upper : array_like of shape (…)
        Estimated bounds, the upper one not below the lower one by construction.
    lower_error, upper_error : array_like of shape (…)
        Their standard errors.
    level : float, default 0.95
        Least probability that the interval holds the parameter, wherever between the
        bounds it lies.
    df : array_like, optional
        Degrees of freedom of the standard errors: t in place of the normal distribution.

    Returns
    -------
    ci_low, ci_high : ndarray of shape (…)
        NaN where something is NaN or there is no degree of freedom.

    Raises
    ------
    SpecError
        If the level does not lie between 0 and 1.
    MethodError
        If an upper bound lies below the lower one, or a standard error is negative.

    Notes
    -----
    The interval is :math:`[\hat\theta_l - c\,s_l,\; \hat\theta_u + c\,s_u]` with c from

    .. math::

        \Phi\Big(c + \frac{\hat\theta_u - \hat\theta_l}{\max(s_l, s_u)}\Big) - \Phi(-c)
        = \text{level}

    [1]_. A parameter cannot lie near both ends of a wide interval, so that c is the
    one-sided quantile there, 1.645 for 95 %, and the two-sided one, 1.960, if the bounds
    coincide. It is valid even near that point, because the distance of the bounds is known
    to vanish with the share of missing answers [2]_. It covers the parameter, not the whole
    set between the bounds, which would need the two-sided quantile.

    References
    ----------
    .. [1] Imbens, G. W., and Manski, C. F. (2004). Confidence intervals for partially
       identified parameters. *Econometrica*, 72, 1845-1857.
    .. [2] Stoye, J. (2009). More on confidence intervals for partially identified
       parameters. *Econometrica*, 77, 1299-1315.

    Examples
    --------
    >>> low, high = imbens_manski([2.0, 3.0], [4.0, 3.0], [0.1, 0.1], [0.1, 0.1])
    >>> low.round(3), high.round(3)
    (array([1.836, 2.804]), array([4.164, 3.196]))
    """
    if not 0 < level < 1:
        raise SpecError(f"level must lie between 0 and 1, got {level!r}.")
    low, high, low_error, high_error = np.broadcast_arrays(
        *(np.asarray(part, dtype=np.float64) for part in (lower, upper, lower_error, upper_error))
    )
    # Equal bounds may differ in their last bits.
    slack = 1e-12 * np.fmax(np.abs(low), np.abs(high))
    if (high < low - slack).any() or (low_error < 0).any() or (high_error < 0).any():
        raise MethodError("an upper bound lies below the lower one, or an error is negative.")
    freedom = np.asarray(np.inf if df is None else df, dtype=np.float64)
    curve = stats.t(np.broadcast_to(np.where(freedom > 0, freedom, np.nan), low.shape))
    error = np.fmax(low_error, high_error)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.fmax(high - low, 0.0) / error  # NaN only where both are 0: any c will do
    # The left side rises with c, and its root lies between the two quantiles.
    left, right = curve.isf(1 - level), curve.isf((1 - level) / 2)
    for _ in range(60):
        middle = (left + right) / 2
        reached = curve.cdf(middle + distance) - curve.cdf(-middle) >= level
        left, right = np.where(reached, left, middle), np.where(reached, middle, right)
    return low - right * low_error, high + right * high_error


def pair_rates(answered: npt.ArrayLike, asked: npt.ArrayLike, weights: npt.ArrayLike) -> Floats:
    """Return the weighted share of those asked both items of a pair who answered both.

    Parameters
    ----------
    answered, asked : array_like of bool of shape (n, k)
    weights : array_like of shape (n,)

    Returns
    -------
    ndarray of shape (k, k)
        Rates of the items themselves on the diagonal; NaN where nobody was asked both.

    Examples
    --------
    >>> pair_rates([[1, 1], [1, 0], [0, 1], [1, 1]], np.ones((4, 2)), np.ones(4))
    array([[0.75, 0.5 ],
           [0.5 , 0.75]])
    """
    put, got = (np.asarray(part, dtype=np.float64) for part in (asked, answered))
    weight = np.asarray(weights, dtype=np.float64)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(((got * put).T @ (weight * got * put)) / (put.T @ (weight * put)))


def rest_scores(x: npt.ArrayLike, weights: npt.ArrayLike) -> Floats:
    """Return, for each item, each respondent's mean of the other items, standardised.

    Parameters
    ----------
    x : array_like of shape (n, k)
        Answers, all scored in the same direction; NaN is a missing one.
    weights : array_like of shape (n,)
        Weights by which items are standardised.

    Returns
    -------
    ndarray of shape (n, k)
        Means of the other items that the respondent answered, each item in standard
        deviations from its mean; NaN where none was answered. An item that never varies
        counts as unanswered.

    Examples
    --------
    >>> rest_scores([[1, 1, 9], [3, 5, np.nan]], [1, 1])
    array([[-1., -1., -1.],
           [ 1.,  1.,  1.]])
    """
    answers, weight = np.asarray(x, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    given = ~np.isnan(answers)
    known = np.where(given, answers, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = weight @ given
        mean = (weight @ known) / total
        away = np.where(given, answers - mean, 0.0)
        spread = np.sqrt((weight @ np.square(away)) / total)
        varies = spread > 1e-12 * np.abs(known).max(axis=0, initial=0.0)
        z = np.where(given & varies, away / spread, 0.0)
        counts = (given & varies).astype(np.float64)
        others = counts.sum(axis=1, keepdims=True) - counts
        return np.asarray((z.sum(axis=1, keepdims=True) - z) / np.where(others > 0, others, np.nan))


def contrast(
    score: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    design: Design,
    *,
    level: float = 0.95,
) -> Contrast:
    r"""Compare the mean of a score between two sets of respondents.

    Parameters
    ----------
    score : array_like of shape (n,)
        NaN where there is none.
    first, second : array_like of bool of shape (n,)
        The two sets, such as those who answered an item and those who refused.
    design : Design
        How respondents were drawn.
    level : float, default 0.95
        Level of the interval.

    Returns
    -------
    Contrast

    Raises
    ------
    MethodError
        If a set has fewer than two respondents with a score, the score does not vary, or
        the design has no degrees of freedom.

    Notes
    -----
    The difference of the weighted means has the linearised variance of the scores
    :math:`w_i(y_i-\bar y_2)/W_2` in the second set and :math:`-w_i(y_i-\bar y_1)/W_1` in the
    first, with t on PSUs less strata. It is reported in weighted standard deviations of the
    score over both sets, which are taken as known. With few PSUs that have anybody in the
    second set the standard error is too small.

    Examples
    --------
    >>> design = Design.from_labels(6)
    >>> answered = np.array([True, True, True, True, False, False])
    >>> found = contrast([1, 2, 3, 4, 5, 6], answered, ~answered, design)
    >>> round(found.difference, 3)
    1.757
    """
    values, weights = np.asarray(score, dtype=np.float64), design.weights
    known = ~np.isnan(values) & (weights > 0)
    one, two = (np.asarray(part, dtype=bool) & known for part in (first, second))
    sizes = int(one.sum()), int(two.sum())
    if min(sizes) < 2:
        raise MethodError(
            f"a comparison needs two respondents with a score on each side, got {sizes[0]} and "
            f"{sizes[1]}."
        )
    both = one | two
    middle = np.average(values[both], weights=weights[both])
    spread = float(np.sqrt(np.average(np.square(values[both] - middle), weights=weights[both])))
    if spread <= 1e-12 * np.abs(values[both]).max():
        raise MethodError("the score does not vary.")
    sets = np.column_stack([np.where(part, values, np.nan) for part in (one, two)])
    found = means(sets, design)
    turn = np.array([-1.0, 1.0])
    difference = float(turn @ found.estimate) / spread
    error = float(np.sqrt(turn @ found.cov @ turn)) / spread
    df = design.domain_df(both)
    if df < 1:
        raise MethodError("a comparison needs two PSUs in a stratum, and there are fewer.")
    low, high = t_limits(difference, error, df, level)
    p_value = 2 * float(stats.t.sf(abs(difference) / error, df)) if error > 0 else float("nan")
    return Contrast(difference, error, float(low), float(high), p_value, *sizes)
