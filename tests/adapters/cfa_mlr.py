"""Robust maximum likelihood: sandwich standard errors and the scaled test."""

from __future__ import annotations

from typing import Any

from tests.adapters._latent import Load, estimates_of, fitted, frame_of, measures_of


def compute(case: dict[str, Any], load: Load) -> dict[str, Any]:
    cluster = case["inputs"].get("cluster")
    clusters = None if cluster is None else frame_of(case, load)[cluster].to_numpy()
    fit = fitted(case, load, estimator="MLR", clusters=clusters)
    return {"nobs": sum(fit.n), "fit": measures_of(fit), "estimates": estimates_of(fit)}
