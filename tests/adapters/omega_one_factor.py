"""One factor by minres and maximum likelihood, and the omegas that follow from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods.consistency import Spread, correlation
from lgpi_research.methods.onefactor import (
    OneFactor,
    average_variance_extracted,
    omega,
    omega_total,
    one_factor,
)
from lgpi_research.moments import Moments
from tests.adapters.guttman_lambdas import answers_of


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    items = inputs["items"]
    answers = answers_of(case, load)
    n = len(answers)
    moments = Moments.from_answers(answers, psu=np.arange(n), missing=inputs["missing"])
    covariance = moments.spread().covariance
    if inputs["cfa"]["divisor"] == "n":
        covariance = covariance * (n - 1) / n
    spread = Spread.from_covariance(covariance)
    found: dict[str, Any] = {
        leaf: dict(
            zip(items, one_factor(correlation(covariance), method=method).loadings, strict=True)
        )
        for leaf, method in inputs["extraction"].items()
    }
    model = one_factor(covariance, method=inputs["cfa"]["estimator"].lower())
    return {
        **found,
        "omega_total": _omega_total(spread, inputs["omega_total_from"]),
        "omega_cfa_raw": omega(spread),
        "cfa_loadings": dict(zip(items, model.loadings, strict=True)),
        "cfa_residual_var": dict(zip(items, model.uniquenesses, strict=True)),
        "AVE_std": average_variance_extracted(model),
    }


def _omega_total(spread: Spread, method: str) -> float:
    if method == "minres":
        return float(omega_total(spread))
    matrix = correlation(spread.covariance)
    fit: OneFactor = one_factor(matrix, method=method)
    return float(1 - fit.uniquenesses.sum() / matrix.sum())
