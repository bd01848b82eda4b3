"""Principal components of correlations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import SpecError
from lgpi_research.methods.latent.checks import usable_correlation

__all__ = ["principal_components"]

Floats = npt.NDArray[np.float64]


def principal_components(matrix: npt.ArrayLike, components: int) -> Floats:
    r"""Return the loadings of the first principal components of correlations.

    Parameters
    ----------
    matrix : array_like of shape (k, k)
        Correlations, or covariances, which are standardised.
    components : int
        How many, from 1 to k.

    Returns
    -------
    ndarray of shape (k, components)
        Correlations of the items with the components; the sum of each column is positive.
        `rotate_factors` rotates them.

    Raises
    ------
    DataError
        If the matrix is not a positive definite correlation matrix.
    SpecError
        If there are fewer components than 1 or more than items.

    Notes
    -----
    The loadings are :math:`v_j\sqrt{\lambda_j}` with the roots and unit axes of the
    matrix [1]_. Components are sums of the items, with their errors, and no factors.

    References
    ----------
    .. [1] Hotelling, H. (1933). Analysis of a complex of statistical variables into
       principal components. *Journal of Educational Psychology*, 24, 417-441.

    Examples
    --------
    >>> principal_components([[1.0, 0.62], [0.62, 1.0]], 1).round(6)
    array([[0.9],
           [0.9]])
    """
    whole = usable_correlation(matrix)
    if not 1 <= components <= len(whole):
        raise SpecError(f"components must lie between 1 and {len(whole)}, got {components}.")
    roots, axes = np.linalg.eigh(whole)
    loadings = (axes * np.sqrt(roots))[:, ::-1][:, :components]
    return np.asarray(loadings * np.where(loadings.sum(axis=0) < 0, -1.0, 1.0))
