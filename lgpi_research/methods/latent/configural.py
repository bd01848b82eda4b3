"""One factor in every group, apart: the estimates that alignment starts from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import DataError, MethodError, Problems, listing
from lgpi_research.methods.latent.checks import usable_correlation
from lgpi_research.methods.onefactor import one_factor

__all__ = ["Configural", "configural_one_factor"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Configural:
    """One factor with mean 0 and variance 1 in each of G groups of k items.

    Attributes
    ----------
    loadings, intercepts, uniquenesses : ndarray of shape (G, k)
        In the units of the items.
    cov : ndarray of shape (G, 2k, 2k)
        Of the loadings, then the intercepts, of each group.
    n : ndarray of shape (G,)
        Respondents.
    """

    loadings: Floats
    intercepts: Floats
    uniquenesses: Floats
    cov: Floats
    n: Floats


def configural_one_factor(
    means: npt.ArrayLike, covariances: npt.ArrayLike, n: npt.ArrayLike
) -> Configural:
    r"""Fit one factor by maximum likelihood in every group.

    Parameters
    ----------
    means : array_like of shape (G, k)
        Of the items.
    covariances : array_like of shape (G, k, k)
        Of the items, with divisor n.
    n : array_like of shape (G,)
        Respondents.

    Returns
    -------
    Configural

    Raises
    ------
    DataError
        If shapes do not agree, or a matrix is not positive definite; every group is named.
    MethodError
        If a group has no proper solution; all are named, with Heywood cases.

    Notes
    -----
    Intercepts are the means. The covariance of the estimates is the inverse of the expected
    information of normal answers, so that loadings and intercepts do not covary:
    :math:`(\Delta'(\Sigma^{-1}\otimes\Sigma^{-1})\Delta/2)^{-1}/n` and :math:`\Sigma/n` at
    the fitted :math:`\Sigma`.

    Examples
    --------
    >>> load = np.array([0.8, 0.7, 0.6, 0.5])
    >>> matrix = np.outer(load, load) + np.diag(1 - load**2)
    >>> found = configural_one_factor(np.zeros((2, 4)), [matrix, 4 * matrix], [100, 100])
    >>> found.loadings.round(6)
    array([[0.8, 0.7, 0.6, 0.5],
           [1.6, 1.4, 1.2, 1. ]])
    """
    centre = np.asarray(means, dtype=np.float64)
    spread = np.asarray(covariances, dtype=np.float64)
    size = np.asarray(n, dtype=np.float64)
    groups, k = centre.shape if centre.ndim == 2 else (0, 0)
    if spread.shape != (groups, k, k) or size.shape != (groups,) or not groups:
        raise DataError(
            f"means, covariances and n must have shapes (G, k), (G, k, k) and (G,), got "
            f"{centre.shape}, {spread.shape} and {size.shape}."
        )
    problems = Problems("the groups")
    if not np.isfinite(centre).all():
        problems.add("means are missing: leave out items that a group was not asked.")
    for g in range(groups):
        try:
            usable_correlation(spread[g], least=3)
        except DataError as error:
            problems.extend(f"group {g + 1}: {problem}" for problem in error.problems)
    few = np.flatnonzero(~(size > k))
    if len(few):
        problems.add(f"groups {listing(few + 1)} have no more respondents than items.")
    problems.raise_any(DataError)
    fit = one_factor(spread)
    failed = Problems("the one-factor models")
    for g in np.flatnonzero(~fit.proper).tolist():
        try:
            one_factor(spread[g])
        except MethodError as error:
            failed.add(f"group {g + 1}: {error}")
    failed.raise_any(MethodError)
    cov = np.zeros((groups, 2 * k, 2 * k))
    for g in range(groups):
        load, unique = fit.loadings[g], fit.uniquenesses[g]
        implied = np.outer(load, load) + np.diag(unique)
        cov[g, :k, :k] = _loadings_cov(load, implied) / size[g]
        cov[g, k:, k:] = implied / size[g]
    return Configural(fit.loadings, centre, fit.uniquenesses, cov, size)


def _loadings_cov(load: Floats, implied: Floats) -> Floats:
    """Return the covariance of the loadings for one respondent, of loadings and errors."""
    w = np.linalg.inv(implied)
    wl = w @ load
    k = len(load)
    information = np.empty((2 * k, 2 * k))
    information[:k, :k] = w * (load @ wl) + np.outer(wl, wl)
    information[:k, k:] = w * wl[:, None]
    information[k:, :k] = information[:k, k:].T
    information[k:, k:] = np.square(w) / 2
    return np.asarray(np.linalg.inv(information)[:k, :k])
