"""The six intraclass correlations, from analysis of variance or restricted likelihood."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from lgpi_research.methods.icc import intraclass, mean_squares, mixed_squares


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    table = load(case["data"][0])
    if inputs.get("layout", "wide") == "long":
        table = table.pivot(
            index=inputs["subjects"], columns=inputs["raters"], values=inputs["values"]
        )
        ratings = table.to_numpy(float)
    else:
        ratings = table[inputs["raters"]].to_numpy(float)
    squares = mixed_squares(ratings) if inputs["method"] == "reml" else mean_squares(ratings)
    forms = intraclass(squares, level=inputs["confidence"])
    return {
        "results": {
            "type": [_name(form.alias) for form in forms],
            "ICC": [form.estimate for form in forms],
            "F": [form.f for form in forms],
            "df1": [form.df1 for form in forms],
            "df2": [form.df2 for form in forms],
            "p": [form.p_value for form in forms],
            "lower bound": [form.ci_low for form in forms],
            "upper bound": [form.ci_high for form in forms],
        }
    }


def _name(alias: str) -> str:
    """Return ICC(2,1) as ICC2, and ICC(2,k) as ICC2k."""
    model, unit = alias.removeprefix("ICC(").removesuffix(")").split(",")
    return f"ICC{model}{'k' if unit == 'k' else ''}"
