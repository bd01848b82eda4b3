r"""Sandwich standard errors and the scaled test of maximum likelihood, from rows.

Scores of each respondent, summed within clusters, give :math:`J`; with the observed
information :math:`H` the estimates vary by :math:`H^{-1} J H^{-1} / n` (Huber 1967; White
1982). The test is divided by
:math:`(\operatorname{tr} H_1^{-1}J_1 - \operatorname{tr} H^{-1}J) / d`, index 1 being the
model without restrictions (Yuan and Bentler 2000).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lgpi_research.methods.latent.model import GroupModel
from lgpi_research.methods.latent.patterns import Sample, likelihood

__all__ = ["baseline_trace", "group_scores", "meat", "saturated_trace"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

_ROWS = 2000  # rows at a time: bounds memory


def _pulled(sample: Sample, covariance: Floats, mean: Floats) -> tuple[Floats, Floats]:
    """Return Σ⁻¹(y − μ) of every row, and the inverses by pattern."""
    rows = sample.rows
    if rows is None:
        raise ValueError("scores need rows")
    inverses = likelihood(sample, covariance, mean).inverses
    apart = np.where(np.isnan(rows), 0.0, rows - mean)
    found = np.empty_like(apart)
    for number, inverse in enumerate(inverses):
        own = sample.pattern == number
        found[own] = apart[own] @ inverse
    return found, inverses


def _outer_scores(sample: Sample, pulled: Floats, inverses: Floats, covariance: Floats) -> Floats:
    """Return ½ tr(∂Σ (uu' − P)) of every row, for slopes of shape (q, p, p)."""
    q, p = covariance.shape[:2]
    flat = covariance.reshape(q, p * p).T
    level = inverses.reshape(len(inverses), p * p) @ flat
    found = np.empty((len(pulled), q))
    for begin in range(0, len(pulled), _ROWS):
        part = pulled[begin : begin + _ROWS]
        found[begin : begin + _ROWS] = (part[:, :, None] * part[:, None, :]).reshape(
            len(part), p * p
        ) @ flat
    return np.asarray((found - level[sample.pattern]) / 2)


def group_scores(model: GroupModel, sample: Sample, theta: Floats, *, means: bool) -> Floats:
    """Return slopes of each respondent's log-likelihood, shape (n, q), in one group."""
    state = model.state(theta)
    mean = state.mean if means else sample.means[0]
    covariance, shift = model.jacobian(state)
    pulled, inverses = _pulled(sample, state.covariance, mean)
    scores = _outer_scores(sample, pulled, inverses, covariance)
    return scores + pulled @ shift.T if means else scores


def meat(scores: Floats, clusters: Ints | None) -> Floats:
    """Return the sum of squared scores.

    With clusters, scores are summed within them first, and the result is multiplied by
    G/(G − 1) for G clusters.
    """
    if clusters is not None:
        _, code = np.unique(clusters, return_inverse=True)
        summed = np.zeros((code.max() + 1, scores.shape[1]))
        np.add.at(summed, code.reshape(-1), scores)
        scores = summed * np.sqrt(len(summed) / (len(summed) - 1))
    return np.asarray(scores.T @ scores)


def saturated_trace(sample: Sample, moments: tuple[Floats, Floats], clusters: Ints | None) -> float:
    """Return tr H₁⁻¹J₁ of the model without restrictions, means among its parameters."""
    covariance, mean = moments
    p = len(mean)
    i, j = np.tril_indices(p)
    unit = np.zeros((len(i), p, p))
    unit[np.arange(len(i)), i, j] = unit[np.arange(len(i)), j, i] = 1.0
    pulled, inverses = _pulled(sample, covariance, mean)
    double = np.where(i == j, 0.5, 1.0)
    level = inverses[:, i, j][sample.pattern]
    scores = np.hstack([pulled, double * (pulled[:, i] * pulled[:, j] - level)])
    share = sample.counts / sample.n
    apart = np.where(sample.seen, sample.means - mean, 0.0)
    spread = sample.covariances + apart[:, :, None] * apart[:, None, :]
    middle = inverses @ spread @ inverses
    shift = (inverses @ apart[:, :, None])[:, :, 0]
    flat = inverses.reshape(len(share), p * p)
    kernel = ((2 * middle - inverses).reshape(len(share), p * p).T * share) @ flat
    kernel = kernel.reshape(p, p, p, p).transpose(1, 2, 0, 3).reshape(p * p, p * p)
    wide = unit.reshape(len(i), p * p)
    bend = (wide @ kernel) @ wide.T / 2
    cross = ((shift.T * share) @ flat).reshape(p, p, p)  # over a, then (k, i): shift_a P_ki
    mixed = np.einsum("akm,cma->ck", cross, unit)
    information = np.block(
        [[np.einsum("p,pij->ij", share, inverses), mixed.T], [mixed, (bend + bend.T) / 2]]
    )
    return float(np.trace(np.linalg.solve(information, meat(scores, clusters))) / sample.n)


def baseline_trace(sample: Sample, clusters: Ints | None) -> float:
    """Return tr H⁻¹J of the model without relations, means among its parameters."""
    rows = sample.rows
    if rows is None:
        raise ValueError("scores need rows")
    total = 0.0
    for column in rows.T:
        seen = ~np.isnan(column)
        apart = np.where(seen, column - column[seen].mean(), 0.0)
        variance = np.square(apart).sum() / seen.sum()
        scores = np.column_stack(
            [apart / variance, np.where(seen, np.square(apart) / variance - 1, 0) / (2 * variance)]
        )
        information = np.array([1 / variance, 0.5 / variance**2]) * seen.sum()
        total += float((np.diag(meat(scores, clusters)) / information).sum())
    return total


def stacked(parts: Sequence[Floats], models: Sequence[GroupModel], n_free: int) -> Floats:
    """Return scores of all groups, group after group, over all free parameters."""
    whole = np.zeros((sum(len(part) for part in parts), n_free))
    begin = 0
    for part, model in zip(parts, models, strict=True):
        whole[begin : begin + len(part), model.which] = part
        begin += len(part)
    return whole
