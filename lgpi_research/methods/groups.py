"""Agreement within groups: intraclass correlations of groups, r_wg, average deviation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.errors import MethodError
from lgpi_research.methods.icc import variance_ratios

__all__ = [
    "GroupReliability",
    "OneWay",
    "average_deviation",
    "group_reliability",
    "one_way",
    "r_wg",
    "uniform_variance",
]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OneWay:
    """Analysis of variance of groups.

    Attributes
    ----------
    groups : ndarray of shape (n_groups,)
        Their names, sorted.
    sizes : ndarray of shape (n_groups,)
        Members with an answer.
    between, within : float
        Mean squares.
    icc1, icc2 : float
        Share of variance between groups, and reliability of the mean of a group of average
        size.
    f, p_value : float
        Test that groups do not differ.
    n_dropped : int
        Answers that were missing.
    """

    groups: npt.NDArray[np.generic]
    sizes: Floats
    between: float
    within: float
    icc1: float
    icc2: float
    f: float
    p_value: float
    n_dropped: int


def one_way(values: npt.ArrayLike, groups: npt.ArrayLike, *, size: str = "mean") -> OneWay:
    r"""Return ICC(1) and ICC(2) of groups.

    Parameters
    ----------
    values : array_like of shape (n,)
        NaN is a missing answer; such members are set aside and counted.
    groups : array_like of shape (n,)
        Group of each member.
    size : {"mean", "unbiased"}, default "mean"
        The size of an average group: the plain mean m, or
        :math:`(N - \sum m_j^2/N)/(J-1)`, which makes the variance between groups unbiased
        when sizes differ.

    Returns
    -------
    OneWay

    Raises
    ------
    MethodError
        If there are fewer than two groups, no group has two members, or values do not vary.

    Notes
    -----
    With mean squares B between and W within groups, ICC(1) is :math:`(B-W)/(B+(m-1)W)` and
    ICC(2) is :math:`(B-W)/B`. Both may be negative: then members of a group differ more than
    members of different groups. ICC(2) is the reliability of one mean only if groups are of
    equal size; otherwise see `group_reliability`.

    Examples
    --------
    >>> found = one_way([1, 2, 2, 3, 4, 5], ["a", "a", "b", "b", "c", "c"])
    >>> round(found.icc1, 3), round(found.icc2, 3)
    (0.806, 0.893)
    """
    if size not in ("mean", "unbiased"):
        raise MethodError(f"size must be mean or unbiased, got {size!r}.")
    y, names, codes, dropped = _grouped(values, groups)
    y = y - y.mean()
    sizes = np.bincount(codes).astype(float)
    means = np.bincount(codes, y) / sizes
    n, j = len(y), len(sizes)
    if n == j:
        raise MethodError(f"{j} groups of one member each: nothing varies within groups.")
    between = float((sizes * means**2).sum() / (j - 1))
    within = float(((y - means[codes]) ** 2).sum() / (n - j))
    if between == 0 and within == 0:
        raise MethodError("an intraclass correlation is undefined: the values do not vary.")
    m = n / j if size == "mean" else (n - (sizes**2).sum() / n) / (j - 1)
    f = between / within if within > 0 else np.inf
    return OneWay(
        names,
        sizes,
        between,
        within,
        float((between - within) / (between + (m - 1) * within)),
        1 - within / between if between > 0 else -np.inf,
        f,
        float(stats.f.sf(f, j - 1, n - j)),
        dropped,
    )


@dataclass(frozen=True, eq=False)
class GroupReliability:
    """Reliability of each group's mean.

    Attributes
    ----------
    groups : ndarray of shape (n_groups,)
        Their names, sorted.
    sizes, reliability : ndarray of shape (n_groups,)
        Members with an answer, and the reliability of their mean.
    icc : float
        Share of variance between groups.
    between, within : float
        Variances.
    """

    groups: npt.NDArray[np.generic]
    sizes: Floats
    reliability: Floats
    icc: float
    between: float
    within: float


def group_reliability(values: npt.ArrayLike, groups: npt.ArrayLike) -> GroupReliability:
    r"""Return the reliability of each group's mean, from variances by REML.

    Parameters
    ----------
    values : array_like of shape (n,)
        NaN is a missing answer; such members are set aside.
    groups : array_like of shape (n,)
        Group of each member.

    Returns
    -------
    GroupReliability
        With variances :math:`\tau^2` between and :math:`\sigma^2` within groups, the mean of
        :math:`m_j` members has reliability :math:`\tau^2/(\tau^2 + \sigma^2/m_j)`.

    Raises
    ------
    MethodError
        If there are fewer than two groups, no group has two members, or values do not vary.

    Examples
    --------
    >>> found = group_reliability([1, 2, 2, 3, 4, 5], ["a", "a", "b", "b", "c", "c"])
    >>> found.reliability.round(3)
    array([0.893, 0.893, 0.893])
    """
    y, names, codes, _ = _grouped(values, groups)
    if len(y) == len(names):
        raise MethodError(f"{len(y)} groups of one member each: nothing varies within groups.")
    if np.ptp(y) == 0:
        raise MethodError("an intraclass correlation is undefined: the values do not vary.")
    y = y - y.mean()
    sizes = np.bincount(codes).astype(float)
    sums = np.column_stack([sizes, np.bincount(codes, y)])
    products = np.array([[len(y), y.sum()], [y.sum(), y @ y]])
    ratios, within = variance_ratios(sums, products)
    ratio = float(ratios[0])
    return GroupReliability(
        names, sizes, ratio * sizes / (1 + ratio * sizes), ratio / (1 + ratio),
        ratio * within, within,
    )  # fmt: skip


def uniform_variance(options: int) -> float:
    """Return the variance of answers spread evenly over so many neighbouring whole numbers.

    Examples
    --------
    >>> uniform_variance(5)
    2.0
    """
    if options < 2:
        raise MethodError(f"a scale needs at least 2 options, got {options}.")
    return (options**2 - 1) / 12


def r_wg(values: npt.ArrayLike, groups: npt.ArrayLike, *, null_variance: float) -> Floats:
    r"""Return the within-group agreement of each group.

    Parameters
    ----------
    values : array_like of shape (n,) or (n, n_items)
        Answers to one item, or to several; members with a missing one are set aside.
    groups : array_like of shape (n,)
        Group of each member.
    null_variance : float
        Variance of an answer if members did not agree at all; `uniform_variance` is a common
        choice, and too large if answers are known to lean to one side.

    Returns
    -------
    ndarray of shape (n_groups,)
        In the order of the sorted names of groups. NaN for a group of one member; 0 where
        answers vary more than `null_variance`.

    Raises
    ------
    MethodError
        If the null variance is not above 0, or shapes do not fit.

    Notes
    -----
    With the mean variance :math:`s^2` of J items in a group, and :math:`x = 1 - s^2/\sigma_0^2`
    set to 0 if it is negative, agreement is :math:`Jx/(Jx + 1 - x)` [1]_; for one item it is
    x. It says how alike answers are, not how well groups can be told apart.

    References
    ----------
    .. [1] James, L. R., Demaree, R. G., and Wolf, G. (1984). Estimating within-group interrater
       reliability with and without response bias. *Journal of Applied Psychology*, 69, 85-98.

    Examples
    --------
    >>> r_wg([4, 4, 5, 1, 3, 5], ["a", "a", "a", "b", "b", "b"], null_variance=2.0).round(3)
    array([0.833, 0.   ])
    """
    if not null_variance > 0:
        raise MethodError(f"null_variance must be above 0, got {null_variance!r}.")
    items = np.asarray(values, dtype=np.float64)
    items = items[:, None] if items.ndim == 1 else items
    complete = ~np.isnan(items).any(axis=1)
    names, codes = _codes(groups, len(items))
    codes, items, count = codes[complete], items[complete], items.shape[1]
    sizes = np.bincount(codes, minlength=len(names)).astype(float)
    safe = np.fmax(sizes, 1)
    squares = np.zeros(len(names))
    for item in items.T:
        apart = item - (np.bincount(codes, item, len(names)) / safe)[codes]
        squares += np.bincount(codes, apart**2, len(names))
    share = np.fmax(1 - squares / count / np.fmax(sizes - 1, 1) / null_variance, 0.0)
    return np.where(sizes > 1, count * share / (count * share + 1 - share), np.nan)


def average_deviation(
    values: npt.ArrayLike, groups: npt.ArrayLike, *, centre: str = "mean"
) -> Floats:
    r"""Return the mean absolute deviation of each group's answers from their centre.

    Parameters
    ----------
    values : array_like of shape (n,) or (n, n_items)
        Answers; with several items, the mean of their deviations. Members with a missing
        answer are set aside.
    groups : array_like of shape (n,)
        Group of each member.
    centre : {"mean", "median"}, default "mean"
        What deviations are taken from.

    Returns
    -------
    ndarray of shape (n_groups,)
        In units of the answers and the order of the sorted names; NaN for a group of one
        member. A value of at most a sixth of the number of options is commonly called
        agreement [1]_.

    References
    ----------
    .. [1] Burke, M. J., and Dunlap, W. P. (2002). Estimating interrater agreement with the
       average deviation index: a user's guide. *Organizational Research Methods*, 5, 159-172.

    Examples
    --------
    >>> average_deviation([4, 4, 5, 1, 3, 5], ["a", "a", "a", "b", "b", "b"], centre="median")
    array([0.33333333, 1.33333333])
    """
    if centre not in ("mean", "median"):
        raise MethodError(f"centre must be mean or median, got {centre!r}.")
    items = np.asarray(values, dtype=np.float64)
    items = items[:, None] if items.ndim == 1 else items
    complete = ~np.isnan(items).any(axis=1)
    names, codes = _codes(groups, len(items))
    middle = np.mean if centre == "mean" else np.median
    found = np.full(len(names), np.nan)
    for j in range(len(names)):
        part = items[complete & (codes == j)]
        if len(part) > 1:
            found[j] = np.abs(part - middle(part, axis=0)).mean()
    return found


def _codes(groups: npt.ArrayLike, n: int) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.intp]]:
    """Return the sorted names of groups and the place of each member's in them."""
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise MethodError(f"groups must name a group for each of {n} rows, got {labels.shape}.")
    names, codes = np.unique(labels, return_inverse=True)
    return names, codes


def _grouped(
    values: npt.ArrayLike, groups: npt.ArrayLike
) -> tuple[Floats, npt.NDArray[np.generic], npt.NDArray[np.intp], int]:
    """Return answers that were given, with their groups, and how many were not."""
    y = np.asarray(values, dtype=np.float64)
    if y.ndim != 1:
        raise MethodError(f"values must be one column, got shape {y.shape}.")
    given = ~np.isnan(y)
    _codes(groups, len(y))
    names, codes = _codes(np.asarray(groups)[given], int(given.sum()))
    if len(names) < 2:
        raise MethodError(f"groups are compared, and there is {len(names)} with an answer.")
    return y[given], names, codes, int((~given).sum())
