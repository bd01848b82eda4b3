"""How many factors: sampling adequacy, sphericity, MAP and the scree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.errors import DataError, MethodError, SpecError, listing
from lgpi_research.methods.latent.checks import usable_correlation

__all__ = [
    "Adequacy",
    "Sphericity",
    "bartlett_sphericity",
    "minimum_average_partial",
    "sampling_adequacy",
    "scree_acceleration",
]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Adequacy:
    """Kaiser, Meyer and Olkin's measure, overall and of each item, shape (k,)."""

    overall: float
    items: Floats


@dataclass(frozen=True)
class Sphericity:
    """Bartlett's test that no items correlate."""

    chi_square: float
    df: int
    p_value: float


def sampling_adequacy(matrix: npt.ArrayLike) -> Adequacy:
    r"""Return how far correlations between items are shared with further items.

    Parameters
    ----------
    matrix : array_like of shape (k, k)
        Correlations or covariances.

    Returns
    -------
    Adequacy

    Raises
    ------
    DataError
        If the matrix is not a positive definite correlation matrix.
    MethodError
        If an item correlates with no other.

    Notes
    -----
    :math:`\sum r_{ij}^2 / (\sum r_{ij}^2 + \sum q_{ij}^2)` over :math:`i \ne j`, with
    :math:`q` the correlations given all other items [1]_. Below 0.5 factors explain little.

    References
    ----------
    .. [1] Kaiser, H. F. (1974). An index of factorial simplicity. *Psychometrika*, 39, 31-36.

    Examples
    --------
    >>> round(sampling_adequacy([[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 1]]).overall, 6)
    0.692308
    """
    whole = usable_correlation(matrix)
    inverse = np.linalg.inv(whole)
    scale = np.sqrt(np.diag(inverse))
    own = np.square(whole) - np.eye(len(whole))
    partial = np.square(inverse / np.outer(scale, scale)) - np.eye(len(whole))
    alone = np.flatnonzero(own.sum(axis=1) <= 1e-24)
    if len(alone):
        raise MethodError(
            f"items {listing(alone + 1)} correlate with no other: the measure is undefined."
        )
    own, partial = own.sum(axis=1), partial.sum(axis=1)
    return Adequacy(float(own.sum() / (own.sum() + partial.sum())), own / (own + partial))


def bartlett_sphericity(matrix: npt.ArrayLike, n: int) -> Sphericity:
    r"""Test that no items correlate, from correlations of n respondents.

    Parameters
    ----------
    matrix : array_like of shape (k, k)
        Pearson correlations or covariances.
    n : int
        Respondents.

    Returns
    -------
    Sphericity

    Raises
    ------
    DataError
        If the matrix is not a positive definite correlation matrix.
    MethodError
        If there are too few respondents.

    Notes
    -----
    :math:`\chi^2 = -(n - 1 - (2k + 5)/6)\log|R|` with :math:`k(k-1)/2` degrees of freedom
    [1]_. Assumes normal answers of independent respondents.

    References
    ----------
    .. [1] Bartlett, M. S. (1951). The effect of standardization on a χ² approximation in
       factor analysis. *Biometrika*, 38, 337-344.

    Examples
    --------
    >>> bartlett_sphericity([[1, 0.5], [0.5, 1]], 101).df
    1
    """
    whole = usable_correlation(matrix)
    k = len(whole)
    scale = n - 1 - (2 * k + 5) / 6
    if scale <= 0:
        raise MethodError(f"{n} respondents are too few to test {k} items.")
    chi = float(-scale * np.linalg.slogdet(whole)[1])
    df = k * (k - 1) // 2
    return Sphericity(chi, df, float(stats.chi2.sf(chi, df)))


def minimum_average_partial(matrix: npt.ArrayLike, most: int | None = None) -> Floats:
    r"""Return Velicer's mean squared partial correlations after 0, 1, … components.

    Parameters
    ----------
    matrix : array_like of shape (k, k)
        Correlations or covariances.
    most : int, optional
        Largest number of components, up to k - 2, the default.

    Returns
    -------
    ndarray of shape (most + 1,)
        The place of the smallest is the number of components to keep.

    Raises
    ------
    DataError
        If the matrix is not a positive definite correlation matrix.
    SpecError
        If `most` is negative or above k - 2.

    Notes
    -----
    The mean over pairs of the squared correlations of what m components leave of the items
    [1]_. As components take more than what is shared, the mean rises again.

    References
    ----------
    .. [1] Velicer, W. F. (1976). Determining the number of components from the matrix of
       partial correlations. *Psychometrika*, 41, 321-327.

    Examples
    --------
    >>> truth = np.full((6, 1), 0.7)
    >>> matrix = truth @ truth.T
    >>> np.fill_diagonal(matrix, 1)
    >>> int(minimum_average_partial(matrix).argmin())
    1
    """
    whole = usable_correlation(matrix, least=3)
    k = len(whole)
    most = k - 2 if most is None else most
    if not 0 <= most <= k - 2:
        raise SpecError(f"most must lie between 0 and {k - 2}, got {most}.")
    roots, axes = np.linalg.eigh(whole)
    loadings = (axes * np.sqrt(roots))[:, ::-1]
    found = np.empty(most + 1)
    for m in range(most + 1):
        left = whole - loadings[:, :m] @ loadings[:, :m].T
        size = np.sqrt(np.diag(left))
        found[m] = (np.square(left / np.outer(size, size)).sum() - k) / (k * (k - 1))
    return found


def scree_acceleration(roots: npt.ArrayLike) -> int:
    r"""Return how many roots stand before the bend of the scree.

    Parameters
    ----------
    roots : array_like of shape (k,)
        Of a correlation matrix, the largest first.

    Returns
    -------
    int

    Raises
    ------
    DataError
        If there are fewer than three roots or they do not fall.

    Notes
    -----
    The bend is where :math:`\lambda_{j-1} - 2\lambda_j + \lambda_{j+1}` is largest, and
    the roots before it count [1]_. Never more than k - 2; look at the plot as well.

    References
    ----------
    .. [1] Raîche, G., Walls, T. A., Magis, D., Riopel, M., and Blais, J.-G. (2013).
       Non-graphical solutions for Cattell's scree test. *Methodology*, 9, 23-29.

    Examples
    --------
    >>> scree_acceleration([3.0, 1.8, 0.5, 0.4, 0.3])
    2
    """
    given = np.asarray(roots, dtype=np.float64)
    if given.ndim != 1 or len(given) < 3 or not (np.diff(given) <= 0).all():
        raise DataError("the scree needs at least 3 roots, the largest first.")
    return int(np.diff(given, 2).argmax()) + 1
