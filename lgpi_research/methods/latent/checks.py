"""What every analysis of a correlation matrix asks of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import DataError, Problems, listing
from lgpi_research.methods.consistency import correlation

__all__ = ["usable_correlation"]

Floats = npt.NDArray[np.float64]

_ROUNDING = 1e-8  # a difference of this size between two halves of a matrix is none
_LEAST_ROOT = 1e-10  # of a correlation matrix; below it the inverse is noise


def usable_correlation(matrix: npt.ArrayLike, *, least: int = 2) -> Floats:
    """Return the correlations of a covariance or correlation matrix, or say what is wrong.

    Parameters
    ----------
    matrix : array_like of shape (k, k)
        Covariances or correlations.
    least : int, default 2
        Fewest items.

    Returns
    -------
    ndarray of shape (k, k)

    Raises
    ------
    DataError
        If the matrix is not square, finite, symmetric and positive definite, an item does
        not vary or there are too few items. The smallest root is named.

    Examples
    --------
    >>> usable_correlation([[4.0, 1.0], [1.0, 1.0]])
    array([[1. , 0.5],
           [0.5, 1. ]])
    """
    given = np.asarray(matrix, dtype=np.float64)
    if given.ndim != 2 or given.shape[0] != given.shape[1]:
        raise DataError(f"the matrix must be square, got shape {given.shape}.")
    problems = Problems("the correlation matrix")
    if len(given) < least:
        problems.add(f"it has {len(given)} items, and at least {least} are needed.")
    absent = np.flatnonzero(~np.isfinite(given).all(axis=1))
    if len(absent):
        problems.add(
            f"items {listing(absent + 1)} have missing or infinite correlations: leave out items "
            "that no respondent answered together."
        )
        problems.raise_any(DataError)
    flat = np.flatnonzero(np.diag(given) <= 0)
    if len(flat):
        problems.add(f"items {listing(flat + 1)} do not vary: leave them out.")
    if np.abs(given - given.T).max(initial=0.0) > _ROUNDING * np.abs(given).max(initial=1.0):
        problems.add("it is not symmetric.")
    problems.raise_any(DataError)
    whole = correlation((given + given.T) / 2)
    root = float(np.linalg.eigvalsh(whole)[0])
    if root < _LEAST_ROOT:
        problems.add(
            f"it is not positive definite: its smallest root is {root:.3g}. Use complete rows, "
            "leave out an item that is a sum of others, or smooth the matrix first."
        )
    problems.raise_any(DataError)
    return whole
