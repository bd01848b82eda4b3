"""Weighted linear and logistic regression with linearised errors, and their Wald test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from tests.adapters._survey import coefficients, read_design, regression, rows_of, wald


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    table = load(case["data"][0])
    design = read_design(inputs["design"], table)
    domain = rows_of(table, inputs.get("rows"))
    terms = inputs.get("terms")
    found: dict[str, Any] = {"degf": design.df}
    for family in ("linear", "logistic"):
        if not inputs.get(family):
            continue
        fit = regression(
            inputs[family], table, design, family=family,
            categorical=inputs.get("categorical"), domain=domain,
        )  # fmt: skip
        found[family] = coefficients(fit, terms)
        key = f"wald_{'_'.join(inputs.get('wald') or [])}"
        if inputs.get("wald") and key not in found:
            found[key] = wald(fit, inputs["wald"], terms)
    return found
