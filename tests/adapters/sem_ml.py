"""A structural equation model by maximum likelihood."""

from __future__ import annotations

from typing import Any

from lgpi_research.methods.latent.scores import factor_scores
from lgpi_research.methods.latent.standardise import explained_variance
from tests.adapters._latent import Load, estimates_of, fitted, frame_of, measures_of, table_of


def compute(case: dict[str, Any], load: Load) -> dict[str, Any]:
    fit = fitted(case, load)
    head = frame_of(case, load)[list(fit.table.observed)].to_numpy(dtype=float)
    scores = factor_scores(fit, head[: case["inputs"]["head_rows"]])
    return {
        "nobs": sum(fit.n),
        "fit": measures_of(fit),
        "estimates": estimates_of(fit),
        "R2": explained_variance(fit.table, fit.states[0]),
        "scores_regression_head": table_of(scores, fit.table.latent),
    }
