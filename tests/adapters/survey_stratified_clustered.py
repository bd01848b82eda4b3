"""Designs with several stages, nested units, domains and subsets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from tests.adapters._survey import (
    as_list,
    coefficients,
    leaf,
    read_design,
    regression,
    rows_of,
    statistic,
)
from tests.adapters.survey_descriptives import domain_leaf


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    table = load(case["data"][0])
    design = read_design(inputs["design"], table)
    found: dict[str, Any] = {"degf": design.df, "sum_weights": float(design.weights.sum())}
    for kind in ("total", "mean"):
        if inputs.get(kind):
            found[kind] = leaf(*statistic(kind, inputs[kind], table, design))
    for name, told in (inputs.get("domains") or {}).items():
        if isinstance(told, Mapping):
            variable, domain = told["variable"], told["domain"]
        else:
            variable, domain = as_list(inputs["mean"])[0], told
        found[name] = domain_leaf(variable, domain, table, design)
    for family in ("linear", "logistic"):
        if inputs.get(family):
            fit = regression(
                inputs[family], table, design, family=family,
                categorical=inputs.get("categorical"),
            )  # fmt: skip
            found[family] = coefficients(fit, inputs.get("terms"))
    for name, told in (inputs.get("subset") or {}).items():
        rows = rows_of(table, told["rows"])
        found[name] = leaf(*statistic("mean", told["mean"], table, design, rows))
        found[name]["degf"] = design.domain_df(rows)
    return found
