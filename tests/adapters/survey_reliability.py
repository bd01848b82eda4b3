"""Coefficient alpha and principal components under design weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods.consistency import Spread, alpha
from lgpi_research.methods.estimates import covariance_matrix
from tests.adapters._survey import complete, numbers, read_design


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    table = load(case["data"][0])
    design = read_design(inputs["design"], table)
    domain = complete(table, inputs.get("alpha_complete_on") or [])
    items = numbers(table, inputs["alpha_items"])
    spread = Spread.from_covariance(covariance_matrix(items, design, domain=domain))
    found: dict[str, Any] = {"alpha": float(alpha(spread))}
    if inputs.get("pca_items"):
        found |= _components(inputs, table, design.weights)
    return found


def _components(inputs: dict[str, Any], table: pd.DataFrame, weights: np.ndarray) -> dict[str, Any]:
    """Return what the package calls components: see the notes of the capability."""
    names = inputs["pca_items"]
    kept = complete(table, names) & (weights > 0)
    w = weights[kept]
    x = numbers(table, names)[kept] * np.sqrt(w / w.mean())[:, None]
    matrix = np.cov(x, rowvar=False)
    if inputs.get("pca_matrix", "correlation") == "correlation":
        matrix = np.corrcoef(x, rowvar=False)
    values, vectors = np.linalg.eigh(matrix)
    vectors = vectors[:, ::-1]
    return {
        "pca_sdev": np.sqrt(np.fmax(values[::-1], 0)),
        "pca_rotation": {
            "rows": names,
            "cols": [f"PC{i + 1}" for i in range(len(names))],
            "values": vectors * np.where(vectors[0] < 0, -1, 1),
        },
    }
