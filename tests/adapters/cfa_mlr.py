"""Robust maximum likelihood: sandwich standard errors and the scaled test."""

from __future__ import annotations

from typing import Any

from tests.adapters._latent import Load, estimates_of, fitted, measures_of


def compute(case: dict[str, Any], load: Load) -> dict[str, Any]:
    fit = fitted(case, load, estimator="MLR")
    return {"nobs": sum(fit.n), "fit": measures_of(fit), "estimates": estimates_of(fit)}
