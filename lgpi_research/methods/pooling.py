"""Errors of the scores of places, pooled over places whose clusters vary alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["pooled_errors"]

Floats = npt.NDArray[np.float64]

_ROUNDS = 20  # of reweighting; three are enough for four digits


def pooled_errors(
    std_errors: npt.ArrayLike,
    counts: npt.ArrayLike,
    weights: npt.ArrayLike,
    place: npt.ArrayLike,
    stratum: npt.ArrayLike,
    within: float | None,
) -> tuple[Floats, int]:
    r"""Return standard errors of places' means from variances that all places share.

    Parameters
    ----------
    std_errors : array_like of shape (n_places,)
        Of the places by themselves (`lgpi_research.methods.places.place_means`), in the
        sorted order of their labels; NaN where unknown.
    counts, weights : array_like of shape (n_psu,)
        Answers in each PSU, and the sum of their weights.
    place, stratum : array_like of shape (n_psu,)
        Labels of each PSU.
    within : float or None
        Variance of people within PSUs; None if no PSU has two people.

    Returns
    -------
    std_errors : ndarray of shape (n_places,)
        Known wherever anybody answered; all NaN if none was.
    df : int
        Degrees of freedom they rest on: PSUs less strata, over the places known.

    Notes
    -----
    With shares :math:`a_p` of the weights of a place that lie in its PSU p, which has
    :math:`n_p` answers, the squared error of its mean is

    .. math::

        v_j = \sum_p a_p^2 \left(\sigma_b^2 + \sigma_w^2 / n_p\right)

    with variances of PSUs and of people within them that all places share. The second is
    given. The first makes :math:`m_j \hat v_j`, with the squared errors
    :math:`\hat v_j` of the places by themselves and :math:`m_j = 1/\sum_p a_p^2`, right on
    average, weighted by :math:`d_j/(m_j v_j)^2` with their degrees of freedom :math:`d_j` and
    :math:`v_j` of the round before; it is 0 if that asks for less. So a place with many
    answers in its PSUs has a smaller error than one with few answers in as many, which an
    error that goes with :math:`m_j` alone would miss. Weights that vary within PSUs add to
    the first variance.

    Examples
    --------
    Two places of two PSUs, in which people do not vary: the variance of PSUs is 2.

    >>> place, stratum = ["x", "x", "y", "y"], [1, 1, 1, 1]
    >>> pooled_errors([1.0, 1.0], [3, 3, 9, 9], [3, 3, 9, 9], place, stratum, 0.0)
    (array([1., 1.]), 2)
    """
    own = np.asarray(std_errors, dtype=np.float64)
    n, w = np.asarray(counts, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    _, at = np.unique(np.asarray(place).astype(str), return_inverse=True)
    _, layer = np.unique(np.asarray(stratum).astype(str), return_inverse=True)
    answering = n > 0
    at, layer, n, w = at[answering], layer[answering], n[answering], w[answering]
    size = len(own)
    squares = np.square(w / np.bincount(at, w, size)[at])
    of_psus, of_people = np.bincount(at, squares, size), np.bincount(at, squares / n, size)
    cells = np.unique(at * (layer.max(initial=0) + 1) + layer) // (layer.max(initial=0) + 1)
    df = np.bincount(at, minlength=size) - np.bincount(cells, minlength=size)
    known = np.isfinite(own) & (df > 0)
    total = int(df[known].sum())
    if not total:
        return np.full(size, np.nan), 0
    found = np.square(own[known]) / of_psus[known]
    people = 0.0 if within is None else within * of_people[known] / of_psus[known]
    between = float((df[known] * found).sum() / total)
    for _ in range(_ROUNDS):
        expected = np.broadcast_to(between + people, found.shape)
        weight = df[known] / np.square(np.where(expected > 0, expected, 1.0))
        between = max(0.0, float((weight * (found - people)).sum() / weight.sum()))
    errors = np.sqrt(between * of_psus + (within or 0.0) * of_people)
    return np.where(of_psus > 0, errors, np.nan), total
