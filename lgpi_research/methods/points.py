"""Point estimates under weights, or under many sets of them at once.

Replicates of a sample are such sets, so what is estimated here can be replicated.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import SpecError, listing

__all__ = [
    "as_columns",
    "category_indicators",
    "paired",
    "point_means",
    "point_quantiles",
    "point_ratios",
    "point_totals",
    "point_variances",
]

Floats = npt.NDArray[np.float64]

_TIE = 1e-12  # shares of weight that differ by less are equal but for rounding


def point_means(weights: npt.ArrayLike, values: npt.ArrayLike) -> Floats:
    """Return weighted means.

    Parameters
    ----------
    weights : array_like of shape (…, n)
        Weights, also many sets of them; rows outside a domain have 0.
    values : array_like of shape (n, k)
        Variables; NaN is a missing value.

    Returns
    -------
    ndarray of shape (…, k)
        NaN where no row with a weight has a value.

    Examples
    --------
    >>> point_means([[1, 1, 2], [1, 0, 1]], [[1.0], [2.0], [np.nan]])
    array([[1.5],
           [1. ]])
    """
    w, (y, used) = np.asarray(weights, dtype=float), _filled(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((w @ y) / (w @ used))


def point_totals(weights: npt.ArrayLike, values: npt.ArrayLike) -> Floats:
    """Return weighted totals of the rows with a value; arguments as in `point_means`.

    Examples
    --------
    >>> point_totals([1, 1, 2], [[1.0], [2.0], [np.nan]])
    array([3.])
    """
    w, (y, used) = np.asarray(weights, dtype=float), _filled(values)
    return np.where(w @ used > 0, w @ y, np.nan)


def point_ratios(
    weights: npt.ArrayLike, numerators: npt.ArrayLike, denominators: npt.ArrayLike
) -> Floats:
    """Return ratios of weighted totals over the rows that have both values.

    Parameters
    ----------
    weights : array_like of shape (…, n)
        As in `point_means`.
    numerators, denominators : array_like of shape (n, k)
        Variables, pairwise.

    Returns
    -------
    ndarray of shape (…, k)

    Examples
    --------
    >>> point_ratios([1, 1, 2], [[1.0], [2.0], [3.0]], [[2.0], [2.0], [4.0]])
    array([0.75])
    """
    w = np.asarray(weights, dtype=float)
    top, bottom = paired(numerators, denominators)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((w @ np.nan_to_num(top)) / (w @ np.nan_to_num(bottom)))


def point_variances(weights: npt.ArrayLike, values: npt.ArrayLike) -> Floats:
    r"""Return estimates of population variances; arguments as in `point_means`.

    Notes
    -----
    :math:`\frac{n}{n-1} \sum w (y - \bar y)^2 / \sum w`, with n the rows that have a weight
    and a value.

    Examples
    --------
    >>> point_variances([1, 1, 1], [[1.0], [2.0], [6.0]])
    array([7.])
    """
    w, (y, used) = np.asarray(weights, dtype=float), _filled(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Numbers are centred before they are squared, so that no digits are lost.
        y = np.where(used, y - y.sum(axis=0) / used.sum(axis=0), 0.0)
        total, n = w @ used, (w > 0).astype(float) @ used
        spread = (w @ np.square(y)) / total - np.square((w @ y) / total)
        return np.asarray(np.fmax(spread, 0.0) * n / np.where(n > 1, n - 1, np.nan))


def point_quantiles(weights: npt.ArrayLike, values: npt.ArrayLike, probs: npt.ArrayLike) -> Floats:
    r"""Return quantiles of one variable: the smallest y with :math:`F(y) \ge p`.

    Parameters
    ----------
    weights : array_like of shape (…, n)
        As in `point_means`.
    values : array_like of shape (n,)
        The variable; NaN is a missing value.
    probs : array_like of shape (p,)
        Each above 0 and at most 1.

    Returns
    -------
    ndarray of shape (…, p)

    Raises
    ------
    SpecError
        If a probability lies elsewhere.

    Examples
    --------
    >>> point_quantiles([1, 1, 2], [3.0, 1.0, 2.0], [0.25, 0.5])
    array([1., 2.])
    """
    p = np.asarray(probs, dtype=float)
    if p.ndim != 1 or not ((p > 0) & (p <= 1)).all():
        raise SpecError(f"probs must lie above 0 and at most at 1, got {listing(p.ravel())}.")
    y = np.asarray(values, dtype=float)
    order = np.argsort(y, kind="stable")
    order = order[~np.isnan(y[order])]
    w = np.asarray(weights, dtype=float)[..., order]
    sets = w.reshape(-1, len(order))
    found = np.full((len(sets), len(p)), np.nan)
    for row, below in zip(found, np.cumsum(sets, axis=1), strict=True):
        if len(below) and below[-1] > 0:
            # A share that rounding puts a hair below p has reached it.
            at = np.searchsorted(below, p * below[-1] * (1 - _TIE))
            row[:] = y[order][at]
    return found.reshape(*w.shape[:-1], len(p))


def category_indicators(labels: npt.ArrayLike) -> tuple[npt.NDArray[np.str_], Floats]:
    """Return sorted categories, and a column of 0 and 1 for each; NaN where one is missing.

    Numbers keep their order. Labels are text, whole numbers without decimals.

    Examples
    --------
    >>> levels, indicators = category_indicators([10.0, 9.0, np.nan])
    >>> levels.tolist(), indicators.tolist()
    (['9', '10'], [[0.0, 1.0], [1.0, 0.0], [nan, nan]])
    """
    given = np.asarray(labels)
    missing = np.isnan(given) if given.dtype.kind == "f" else np.zeros(len(given), dtype=bool)
    if given.dtype.kind == "O":
        missing = np.array([value is None or value != value for value in given], dtype=bool)
    known = given[~missing]
    if given.dtype.kind == "O":
        numbers = all(isinstance(value, int | float | np.number) for value in known)
        known = np.array(known.tolist()) if numbers else known.astype(str)
    levels, codes = np.unique(known, return_inverse=True)
    indicators = np.full((len(given), len(levels)), np.nan)
    indicators[~missing] = codes[:, None] == np.arange(len(levels))
    if levels.dtype.kind == "f" and (levels == np.rint(levels)).all():
        levels = levels.astype(np.int64)
    return levels.astype(str), indicators


def as_columns(values: npt.ArrayLike) -> Floats:
    """Return a variable as a table of one column, and variables as they are."""
    y = np.asarray(values, dtype=float)
    return y[:, None] if y.ndim == 1 else y


def _filled(values: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Return values with 0 for missing ones, and 1.0 where there is one."""
    y = as_columns(values)
    used = ~np.isnan(y)
    return np.where(used, y, 0.0), used.astype(float)


def paired(numerators: npt.ArrayLike, denominators: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Return both variables, NaN in rows that lack one."""
    y, x = as_columns(numerators), as_columns(denominators)
    gap = np.isnan(y) | np.isnan(x)
    return np.where(gap, np.nan, y), np.where(gap, np.nan, x)
