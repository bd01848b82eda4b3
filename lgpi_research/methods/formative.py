"""Formative dimensions: what each indicator adds to the whole, and what it shares with others."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError
from lgpi_research.methods.consistency import correlation

__all__ = ["variance_inflation", "variance_shares"]

Floats = npt.NDArray[np.float64]

_SINGULAR = 1e-10  # a root of a correlation matrix below it is 0


def variance_shares(covariance: npt.ArrayLike) -> Floats:
    r"""Return the share of each indicator in the variance of their standardised sum.

    Parameters
    ----------
    covariance : array_like of shape (…, k, k)
        Covariance matrices of the indicators, all scored in one direction.

    Returns
    -------
    ndarray of shape (…, k)
        Sums to 1; NaN where an indicator or the sum does not vary.

    Notes
    -----
    With correlations :math:`r_{ij}`, :math:`\sum_j r_{ij} / \sum_{ij} r_{ij}`: the
    covariance of the standardised indicator with the sum of all, over the variance of the
    sum. Indicators of equal weight have shares of :math:`1/k` only if they go equally well
    with the others; a share near or below 0 says that the indicator has a weight in name
    only [1]_.

    References
    ----------
    .. [1] Paruolo, P., Saisana, M., and Saltelli, A. (2013). Ratings and rankings: voodoo
       or science? *Journal of the Royal Statistical Society: Series A*, 176, 609-634.

    Examples
    --------
    >>> variance_shares([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 4.0]])
    array([0.375, 0.375, 0.25 ])
    """
    matrix = correlation(covariance)
    with_sum = matrix.sum(axis=-1)
    total = with_sum.sum(axis=-1)[..., None]
    shares = np.full_like(with_sum, np.nan)
    np.divide(with_sum, total, out=shares, where=total > 0)
    return np.asarray(shares)


def variance_inflation(covariance: npt.ArrayLike) -> Floats:
    r"""Return the variance inflation factor of each indicator among the others.

    Parameters
    ----------
    covariance : array_like of shape (k, k)
        Covariance matrix of the indicators.

    Returns
    -------
    ndarray of shape (k,)
        At least 1.

    Raises
    ------
    MethodError
        If an indicator does not vary or is a combination of the others, or if a covariance is
        unknown.

    Notes
    -----
    :math:`1/(1 - R_i^2)`, with :math:`R_i^2` the squared multiple correlation of indicator
    i with the others: the diagonal of the inverse of the correlation matrix. In a formative
    dimension high ones (3.3 and 5 are used as limits) say that indicators count the same
    thing twice, and that their separate weights cannot be told from data [1]_.

    References
    ----------
    .. [1] Diamantopoulos, A., and Winklhofer, H. M. (2001). Index construction with
       formative indicators: an alternative to scale development. *Journal of Marketing
       Research*, 38, 269-277.

    Examples
    --------
    >>> variance_inflation([[1.0, 0.6], [0.6, 1.0]])
    array([1.5625, 1.5625])
    """
    matrix = correlation(covariance)
    if not np.isfinite(matrix).all():
        still = np.flatnonzero(np.isnan(np.diagonal(matrix))) + 1
        if not len(still):
            raise MethodError(
                "some covariances are unknown, because too few respondents have both indicators."
            )
        raise MethodError(f"indicators {still.tolist()} do not vary: leave them out.")
    roots, vectors = np.linalg.eigh(matrix)
    if roots[0] < _SINGULAR * roots[-1]:
        raise MethodError(
            "the indicators are linearly dependent, so variance inflation has no limit: one of "
            "them is a combination of the others. Leave one out."
        )
    return np.asarray(np.square(vectors / np.sqrt(roots)).sum(axis=-1))
