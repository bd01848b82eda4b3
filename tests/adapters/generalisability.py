"""Variance components of a generalisability study, and coefficients of scores of given sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from lgpi_research.decomposition import decompose_variance


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    found = decompose_variance(
        load(case["data"][0]),
        design=inputs["design"],
        object=inputs["object"],
        value=inputs["value"],
        fixed=inputs.get("fixed") or (),
        sizes=inputs.get("sizes"),
        method=inputs.get("method") or "auto",
        cut=inputs.get("cut"),
    )
    frame = found.frame
    named = frame["component"].str.removesuffix(", error")
    told = found.details
    return {
        "components": {
            "component": named.tolist(),
            **{
                name: frame[name].tolist() for name in ("df", "mean_square", "estimate", "variance")
            },
        },
        "generalisability": told["coefficients"]["generalisability"]["estimate"],
        "dependability": told["coefficients"]["dependability"]["estimate"],
        "relative_error": told["relative_error"],
        "absolute_error": told["absolute_error"],
        "cut_dependability": told.get("cut_dependability"),
    }
