"""A factor model by maximum likelihood, with scores, modification indices and reliability."""

from __future__ import annotations

from typing import Any

import numpy as np

from lgpi_research.methods.consistency import Spread, alpha
from lgpi_research.methods.latent.modification import modification_indices
from lgpi_research.methods.latent.scores import factor_scores
from lgpi_research.methods.latent.solution import LatentFit
from tests.adapters._latent import Load, estimates_of, fitted, frame_of, measures_of, table_of


def compute(case: dict[str, Any], load: Load) -> dict[str, Any]:
    inputs = case["inputs"]
    fit = fitted(case, load)
    head = frame_of(case, load)[list(fit.table.observed)].to_numpy(float)[: inputs["head_rows"]]
    fixed = [one for one in modification_indices(fit) if not one.equality]
    top = fixed[: inputs["modification_indices"]]
    return {
        "nobs": sum(fit.n),
        "fit": measures_of(fit),
        "estimates": estimates_of(fit),
        "scores_regression_head": table_of(factor_scores(fit, head), fit.table.latent),
        "scores_bartlett_head": table_of(
            factor_scores(fit, head, method="bartlett"), fit.table.latent
        ),
        "modindices_top": {
            "lhs": [one.lhs for one in top],
            "op": [one.op for one in top],
            "rhs": [one.rhs for one in top],
            "mi": [one.index for one in top],
            "epc": [one.change for one in top],
        },
        **_reliability(fit),
    }


def _reliability(fit: LatentFit) -> dict[str, Any]:
    state, (covariance, _) = fit.states[0], fit.moments[0]
    p = len(fit.table.observed)
    found: dict[str, dict[str, float]] = {"reliability": {}, "alpha_semTools": {}, "AVE": {}}
    for number, factor in enumerate(fit.table.latent, p):
        loadings = state.paths[:p, number] * np.sqrt(state.everywhere[number, number])
        items = np.flatnonzero(loadings)
        unique = np.diag(state.residuals)[items]
        common = loadings.sum() ** 2
        explained = np.square(loadings[items]).sum()
        own = covariance[np.ix_(items, items)]
        found["reliability"][factor] = common / own.sum()
        found["AVE"][factor] = explained / (explained + unique.sum())
        found["alpha_semTools"][factor] = float(alpha(Spread.from_covariance(own)))
    return found
