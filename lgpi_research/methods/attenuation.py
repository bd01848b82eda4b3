"""Correlations of scores, and of what the scores measure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError, Problems
from lgpi_research.methods.consistency import correlation

__all__ = ["correlation_of_sums", "disattenuate"]

Floats = npt.NDArray[np.float64]


def correlation_of_sums(covariance: npt.ArrayLike, members: npt.ArrayLike) -> Floats:
    """Return the correlations of sums of items from the covariances of the items.

    Parameters
    ----------
    covariance : array_like of shape (…, k, k)
        Of k items; leading axes are replicates. Pairwise covariances are allowed: then
        these are not quite the correlations of scores made from the answers that exist.
    members : array_like of shape (k, s)
        Weight of each item in each of s sums; −1 turns an item round.

    Returns
    -------
    ndarray of shape (…, s, s)
        NaN for a sum that does not vary.

    Raises
    ------
    MethodError
        If the shapes do not agree.

    Examples
    --------
    >>> matrix = np.full((4, 4), 0.3) + 0.7 * np.eye(4)
    >>> correlation_of_sums(matrix, [[1, 0], [1, 0], [0, 1], [0, 1]]).round(6)
    array([[1.      , 0.461538],
           [0.461538, 1.      ]])
    """
    matrix = np.asarray(covariance, dtype=np.float64)
    keys = np.asarray(members, dtype=np.float64)
    if matrix.ndim < 2 or keys.ndim != 2 or matrix.shape[-2:] != keys.shape[:1] * 2:
        raise MethodError(
            "covariances must have shape (…, k, k) and members (k, s), got "
            f"{matrix.shape} and {keys.shape}."
        )
    return correlation(keys.T @ matrix @ keys)


def disattenuate(observed: npt.ArrayLike, reliability: npt.ArrayLike) -> Floats:
    r"""Return correlations of true scores from those of observed ones.

    Parameters
    ----------
    observed : array_like of shape (…, s, s)
        Correlations of s scores; leading axes are replicates.
    reliability : array_like of shape (…, s)
        Reliability of each score.

    Returns
    -------
    ndarray of shape (…, s, s)
        With 1 on the diagonal. A value beyond ±1 is not cut off: it says that a
        reliability is too low, errors are correlated, or the sample is small. NaN in a
        replicate where a reliability is not positive.

    Raises
    ------
    MethodError
        If the shapes do not agree, a reliability is above 1, or, in a single set, one is
        not positive: then the score cannot be corrected.

    Notes
    -----
    :math:`\rho_{ij} = r_{ij}/\sqrt{\lambda_i\lambda_j}` [1]_. The errors of two scores
    must be uncorrelated: scores that share items, respondents' moods or raters have more
    in common than this supposes. Alpha in place of the reliability corrects too much
    where it is below it.

    References
    ----------
    .. [1] Spearman, C. (1904). The proof and measurement of association between two
       things. *American Journal of Psychology*, 15, 72-101.

    Examples
    --------
    >>> disattenuate([[1.0, 0.42], [0.42, 1.0]], [0.7, 0.63]).round(3)
    array([[1.   , 0.632],
           [0.632, 1.   ]])
    """
    matrix = np.asarray(observed, dtype=np.float64)
    shares = np.asarray(reliability, dtype=np.float64)
    if matrix.ndim < 2 or matrix.shape[-2:] != (shares.shape[-1:] * 2):
        raise MethodError(
            "correlations must have shape (…, s, s) and reliabilities (…, s), got "
            f"{matrix.shape} and {shares.shape}."
        )
    problems = Problems("the reliabilities")
    for place in np.argwhere(shares > 1):
        problems.add(f"score {place[-1] + 1}: {shares[tuple(place)]:.6g} is above 1.")
    if shares.ndim == 1:
        for score in np.flatnonzero(~(shares > 0)):
            problems.add(
                f"score {score + 1}: {shares[score]:.6g} is not positive, so its correlations "
                "cannot be corrected. Leave it out."
            )
    problems.raise_any(MethodError)
    scale = np.sqrt(np.where(shares > 0, shares, np.nan))
    found = np.asarray(matrix / scale[..., :, None] / scale[..., None, :])
    own = np.arange(shares.shape[-1])
    found[..., own, own] = np.where(np.isnan(scale), np.nan, 1.0)
    return found
