"""Normalisers: one indicator onto a scale that can be compared with others.

``x`` has shape (…, n): leading axes are draws. ``reference`` has shape (…, m) and sets
the scale: the sample itself, a base period, or two goalposts. More is better on both
sides; indicators whose high values are bad are turned round before.
"""

from __future__ import annotations

import numpy as np

from lgpi_research.errors import MethodError
from lgpi_research.registry import normaliser

__all__ = ["minmax", "rank", "zscore"]


@normaliser("minmax", bases=("sample", "goalposts"))
def minmax(
    x: np.ndarray, reference: np.ndarray, *, floor: float = 0.0, clip: bool = True
) -> np.ndarray:
    r"""Scale to [floor, 1] between the lowest and highest value of the reference.

    Parameters
    ----------
    x : ndarray of shape (…, n)
        Values of one indicator.
    reference : ndarray of shape (…, m)
        The sample, or the two goalposts.
    floor : float, default 0
        Lowest normalised value; above 0 for a geometric mean.
    clip : bool, default True
        Whether values beyond the reference are set to its ends.

    Returns
    -------
    ndarray of shape (…, n)
        NaN where `x` is.

    Raises
    ------
    MethodError
        If the reference does not vary, or the floor is not in [0, 1).

    Notes
    -----
    :math:`f + (1 - f)(x - \min r)/(\max r - \min r)` [1]_. On the sample, a new unit
    beyond the ends moves every score; on goalposts it does not.

    References
    ----------
    .. [1] OECD and Joint Research Centre (2008). *Handbook on Constructing Composite
       Indicators: Methodology and User Guide*, p. 85. OECD Publishing.

    Examples
    --------
    >>> minmax(np.array([2.0, 4.0, 9.0]), np.array([1.0, 5.0]))
    array([0.25, 0.75, 1.  ])
    """
    if not 0 <= floor < 1:
        raise MethodError(f"minmax: floor must be in [0, 1), got {floor!r}.")
    low = np.nanmin(reference, axis=-1, keepdims=True)
    high = np.nanmax(reference, axis=-1, keepdims=True)
    if np.any(high <= low):
        raise MethodError("minmax is undefined: the reference does not vary.")
    share = (x - low) / (high - low)
    if clip:
        share = np.clip(share, 0.0, 1.0)
    return np.asarray(floor + (1.0 - floor) * share)


@normaliser("zscore")
def zscore(x: np.ndarray, reference: np.ndarray) -> np.ndarray:
    r"""Scale to mean 0 and standard deviation 1 of the reference.

    Parameters
    ----------
    x : ndarray of shape (…, n)
        Values of one indicator.
    reference : ndarray of shape (…, m)
        Values whose mean and standard deviation (divisor m − 1) set the scale.

    Returns
    -------
    ndarray of shape (…, n)
        NaN where `x` is.

    Raises
    ------
    MethodError
        If the reference does not vary.

    Notes
    -----
    :math:`(x - \bar r)/s_r` [1]_. Extreme values keep their distance, so an indicator
    with heavy tails counts more than its weight says.

    References
    ----------
    .. [1] OECD and Joint Research Centre (2008). *Handbook on Constructing Composite
       Indicators: Methodology and User Guide*, p. 84. OECD Publishing.

    Examples
    --------
    >>> zscore(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]))
    array([-1.,  0.,  1.])
    """
    centre = np.nanmean(reference, axis=-1, keepdims=True)
    spread = np.nanstd(reference, axis=-1, keepdims=True, ddof=1)
    size = np.nanmax(np.abs(reference), axis=-1, keepdims=True)
    if np.any(~(spread > 1e-14 * size)):
        raise MethodError("zscore is undefined: the reference does not vary.")
    return np.asarray((x - centre) / spread)


@normaliser("rank")
def rank(x: np.ndarray, reference: np.ndarray) -> np.ndarray:
    r"""Replace values by their rank among the reference, 1 the worst; ties share the mean.

    Parameters
    ----------
    x : ndarray of shape (…, n)
        Values of one indicator.
    reference : ndarray of shape (…, m)
        Values to be ranked among; NaN is not counted.

    Returns
    -------
    ndarray of shape (…, n)
        From 1 to m if `x` is the reference; NaN where `x` is.

    Notes
    -----
    :math:`\#\{r < x\} + (\#\{r = x\} + 1)/2` [1]_: outliers and units of measurement do
    not matter, and neither do distances.

    References
    ----------
    .. [1] OECD and Joint Research Centre (2008). *Handbook on Constructing Composite
       Indicators: Methodology and User Guide*, p. 83. OECD Publishing.

    Examples
    --------
    >>> rank(np.array([3.0, 1.0, 3.0]), np.array([3.0, 1.0, 3.0]))
    array([2.5, 1. , 2.5])
    """
    lead = np.broadcast_shapes(x.shape[:-1], reference.shape[:-1])
    values = np.broadcast_to(x, (*lead, x.shape[-1])).reshape(-1, x.shape[-1])
    others = np.broadcast_to(reference, (*lead, reference.shape[-1]))
    ranks = np.empty(values.shape)
    for row, (value, other) in enumerate(
        zip(values, others.reshape(-1, reference.shape[-1]), strict=True)
    ):
        ordered = np.sort(other[~np.isnan(other)])
        below = np.searchsorted(ordered, value, "left")
        upto = np.searchsorted(ordered, value, "right")
        ranks[row] = below + (upto - below + 1) / 2
        ranks[row, np.isnan(value)] = np.nan
    return ranks.reshape(*lead, x.shape[-1])
