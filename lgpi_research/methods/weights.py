"""Weighers: data into the weights of the children of one node, summing to 1."""

from __future__ import annotations

import numpy as np

from lgpi_research.registry import weigher

__all__ = ["draw_dirichlet", "equal"]


@weigher("equal")
def equal(data: np.ndarray) -> np.ndarray:
    """Return the same weight for each child.

    Parameters
    ----------
    data : ndarray of shape (n, k)
        Normalised values of the k children; only their number matters.

    Returns
    -------
    ndarray of shape (k,)

    Examples
    --------
    >>> equal(np.zeros((10, 4)))
    array([0.25, 0.25, 0.25, 0.25])
    """
    k = data.shape[-1]
    return np.full(k, 1.0 / k)


def draw_dirichlet(
    rng: np.random.Generator, weights: np.ndarray, concentration: float, size: int
) -> np.ndarray:
    r"""Draw weights around given weights from Dirichlet(κ·w).

    Parameters
    ----------
    rng : Generator
        The block's generator.
    weights : ndarray of shape (k,)
        Centre of the distribution, summing to 1; a weight of 0 stays 0.
    concentration : float
        κ > 0: the larger, the closer to the centre.
    size : int
        Number of draws.

    Returns
    -------
    ndarray of shape (size, k)
        Rows sum to 1.

    Notes
    -----
    :math:`E\,w_i = w^0_i` and :math:`Var\,w_i = w^0_i(1 - w^0_i)/(\kappa + 1)`.

    Examples
    --------
    >>> draw_dirichlet(np.random.default_rng(0), np.array([0.5, 0.5, 0.0]), 50, 4)[:, 2]
    array([0., 0., 0., 0.])
    """
    drawn = np.zeros((size, len(weights)))
    kept = weights > 0
    drawn[:, kept] = rng.dirichlet(concentration * weights[kept], size=size)
    return drawn
