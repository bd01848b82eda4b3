r"""Thresholds and polychoric correlations with the covariances of their errors.

Estimates in two steps solve :math:`\sum_r s_r = 0`, with the slopes of each respondent's
answers in the thresholds (item by item) and the correlations (pair by pair). With H the
block triangular matrix of expected slopes of s, they vary by
:math:`H^{-1} \sum s s' H^{-1\prime}` (Muthén 1984).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from lgpi_research.errors import MethodError, Problems
from lgpi_research.methods.bivariate import bivariate_cdf
from lgpi_research.methods.polychoric import PairCounts, polychoric

__all__ = ["OrderedMoments", "ordered_moments"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

_LEAST = 1e-18


@dataclass(frozen=True, eq=False)
class OrderedMoments:
    """What ordered answers of k items tell, with its precision.

    Attributes
    ----------
    n : int
        Respondents.
    thresholds : ndarray of shape (t,)
        Item after item.
    item : ndarray of int of shape (t,)
        The item of each threshold.
    correlation : ndarray of shape (k, k)
        Polychoric.
    asymptotic : ndarray of shape (t + k(k − 1)/2,) * 2
        Covariances of thresholds and correlations (pairs in the order of the rows above
        the diagonal), times n.
    """

    n: int
    thresholds: Floats
    item: Ints
    correlation: Floats
    asymptotic: Floats


def ordered_moments(answers: npt.ArrayLike) -> OrderedMoments:
    """Return thresholds, polychoric correlations and the covariances of their errors.

    Parameters
    ----------
    answers : array_like of shape (n, k)
        Ordered answers without missing ones; values are categories in rising order.

    Returns
    -------
    OrderedMoments

    Raises
    ------
    MethodError
        If answers are missing or too few, an item has one answer, a correlation is at the
        limit, or the correlations are not positive definite.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> trait = rng.normal(size=(2000, 1))
    >>> answers = np.digitize(trait + rng.normal(size=(2000, 3)), [-1, 1])
    >>> found = ordered_moments(answers)
    >>> found.thresholds.round(1).tolist()[:2], round(float(found.correlation[0, 1]), 1)
    ([-0.7, 0.7], 0.5)
    """
    table = np.asarray(answers, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all():
        raise MethodError("ordered answers must form a table without missing values.")
    n, k = table.shape
    if n <= k:
        raise MethodError(f"{n} respondents for {k} items: more respondents than items are needed.")
    counts = PairCounts.from_answers(table)
    found = polychoric(counts)
    _refuse(found.at_limit, found.converged, found.positive_definite, found.smallest_root)
    codes = np.column_stack([np.unique(column, return_inverse=True)[1] for column in table.T])
    sizes = np.array(counts.sizes)
    cuts = found.thresholds
    item = np.repeat(np.arange(k), sizes - 1)
    begins = np.concatenate([[0], np.cumsum(sizes - 1)])
    t = int(begins[-1])
    first, second = np.triu_indices(k, 1)
    scores = np.zeros((n, t + len(first)))
    hessian = np.zeros((t + len(first), t + len(first)))
    density = [
        np.exp(-np.square(cuts[i, : sizes[i] - 1]) / 2) / np.sqrt(2 * np.pi) for i in range(k)
    ]
    for i in range(k):
        share = np.bincount(codes[:, i], minlength=sizes[i]) / n
        slope = np.zeros((sizes[i], sizes[i] - 1))
        at = np.arange(sizes[i] - 1)
        slope[at, at], slope[at + 1, at] = density[i] / share[:-1], -density[i] / share[1:]
        own = slice(begins[i], begins[i + 1])
        scores[:, own] = slope[codes[:, i]]
        hessian[own, own] = (slope.T * share * n) @ slope
    for pair, (i, j) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        h, g = cuts[i, : sizes[i] - 1], cuts[j, : sizes[j] - 1]
        rho = float(found.correlation[i, j])
        cells, in_rho, in_h, in_g = _pair_slopes(h, g, rho)
        in_rho, in_h, in_g = in_rho / cells, in_h / cells, in_g / cells
        number = t + pair
        scores[:, number] = in_rho[codes[:, i], codes[:, j]]
        seen = np.bincount(codes[:, i] * sizes[j] + codes[:, j], minlength=sizes[i] * sizes[j])
        weighted = seen.reshape(sizes[i], sizes[j]) * in_rho
        hessian[number, number] = (weighted * in_rho).sum()
        hessian[number, begins[i] : begins[i + 1]] = np.einsum("ab,tab->t", weighted, in_h)
        hessian[number, begins[j] : begins[j + 1]] = np.einsum("ab,tab->t", weighted, in_g)
    half = np.linalg.solve(hessian, scores.T)
    asymptotic = n * (half @ half.T)
    flat = np.concatenate([cuts[i, : sizes[i] - 1] for i in range(k)])
    return OrderedMoments(n, flat, item, found.correlation, np.asarray(asymptotic))


def _refuse(
    at_limit: npt.NDArray[np.bool_],
    converged: npt.NDArray[np.bool_],
    definite: npt.NDArray[np.bool_],
    root: Floats,
) -> None:
    problems = Problems("the polychoric correlations")
    for i, j in np.argwhere(np.triu(at_limit, 1)):
        problems.add(
            f"that of items {i + 1} and {j + 1} is at ±1: merge rare answers, or leave one out."
        )
    for i, j in np.argwhere(np.triu(~converged & ~at_limit, 1)):
        problems.add(f"that of items {i + 1} and {j + 1} did not converge.")
    if not problems and not definite:
        problems.add(
            f"they are not positive definite (smallest root {float(root):.3g}): merge rare "
            "answers, or leave out items that nearly repeat another."
        )
    problems.raise_any(MethodError)


def _pair_slopes(h: Floats, g: Floats, rho: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Return probabilities of the cells of a pair and slopes in ρ and in both thresholds."""
    rows, columns = len(h) + 1, len(g) + 1
    below = np.zeros((rows + 1, columns + 1))
    below[1:-1, 1:-1] = bivariate_cdf(h[:, None], g[None, :], rho)
    below[1:-1, -1], below[-1, 1:-1], below[-1, -1] = special.ndtr(h), special.ndtr(g), 1.0
    cells = np.fmax(np.diff(np.diff(below, axis=0), axis=1), _LEAST)
    inner = np.zeros_like(below)
    root = np.sqrt(1 - rho * rho)
    quad = (h[:, None] ** 2 + g**2 - 2 * rho * h[:, None] * g) / (1 - rho * rho)
    inner[1:-1, 1:-1] = np.exp(-quad / 2) / (2 * np.pi * root)
    in_rho = np.diff(np.diff(inner, axis=0), axis=1)
    slopes = []
    for one, other in ((h, g), (g, h)):
        share = special.ndtr((other - rho * one[:, None]) / root)
        edges = np.pad(share, ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1)))
        strip = np.exp(-np.square(one)[:, None] / 2) / np.sqrt(2 * np.pi) * np.diff(edges, axis=1)
        slope = np.zeros((len(one), len(one) + 1, len(other) + 1))
        at = np.arange(len(one))
        slope[at, at], slope[at, at + 1] = strip, -strip
        slopes.append(slope)
    return cells, in_rho, slopes[0], slopes[1].transpose(0, 2, 1)
