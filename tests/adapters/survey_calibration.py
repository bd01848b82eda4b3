"""Means and totals under post-stratified, raked and calibrated weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.formula import design as design_table
from lgpi_research.methods.calibration import (
    Calibrated,
    calibrate,
    calibrated_covariance,
    poststratify,
    rake,
)
from lgpi_research.methods.design import Design
from lgpi_research.methods.margins import Margin, read_margins
from lgpi_research.methods.points import point_means, point_totals
from tests.adapters._survey import (
    as_list,
    complete,
    formula_of,
    matrix,
    name_of,
    numbers,
    read_design,
)

POPULATION = {"1", "Intercept", "(Intercept)", "intercept"}


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    table = load(case["data"][0])
    design = read_design(inputs["design"], table)
    base = design.weights
    rows = inputs.get("head_rows", 15)
    made: dict[str, tuple[Calibrated, str]] = {}
    if inputs.get("poststratify"):
        (strata,) = _margins([inputs["poststratify"]], table)
        made["poststratify"] = poststratify(base, strata), "regression"
    if inputs.get("rake"):
        # What R's survey does; calibrated_covariance says where that differs from ours, and why.
        made["rake"] = rake(base, _margins(inputs["rake"], table)), "margin_means"
    if inputs.get("calibrate"):
        columns, wanted, names = _columns(inputs["calibrate"], table)
        for name, distance in inputs["distance"].items():
            bounds = inputs["bounds"] if distance == "logit" else None
            fit = calibrate(base, columns, wanted, distance=distance, bounds=bounds, names=names)
            made[name] = fit, "regression"
    found: dict[str, Any] = {}
    for name, (fit, method) in made.items():
        found[name] = {
            kind: _estimate(kind, as_list(inputs[kind]), table, design, fit, method)
            for kind in ("mean", "total")
            if inputs.get(kind)
        }
        found[name]["weights_head"] = fit.weights[:rows]
    return found


def _margins(told: list[Mapping[str, Any]], table: pd.DataFrame) -> tuple[Margin, ...]:
    """Return margins, each of one variable, from {variable: {category: count}}."""
    pairs = [pair for one in told for pair in one.items()]
    return read_margins({name: (table[name], counts) for name, counts in pairs})


def _columns(
    told: Mapping[str, Any], table: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the calibration variables of a formula, their totals and names."""
    text, wide = formula_of(told["formula"], table)
    wide = wide.assign(**{"calibration outcome": 0.0})
    if text:
        made = design_table(f"`calibration outcome` ~ {text}", wide)
        columns, names = made.X, [name_of(name) for name in made.names]
    else:
        columns, names = np.ones((len(table), 1)), ["(Intercept)"]
    totals_of = {
        "(Intercept)" if name in POPULATION else name_of(name): float(total)
        for name, total in told["totals"].items()
    }
    at = [names.index(name) for name in totals_of]
    return columns[:, at], np.array(list(totals_of.values())), list(totals_of)


def _estimate(
    kind: str,
    names: list[str],
    table: pd.DataFrame,
    design: Design,
    fit: Calibrated,
    method: str,
) -> dict[str, Any]:
    """Return means or totals over the rows that have all variables."""
    kept = complete(table, names)
    y = np.where(kept[:, None], numbers(table, names), np.nan)
    w = fit.weights
    estimate = (point_means if kind == "mean" else point_totals)(w, y)
    linear = (y - estimate) / w[kept].sum() if kind == "mean" else y
    scores = np.where(kept[:, None], w[:, None] * linear, 0.0)
    cov = calibrated_covariance(scores, design, fit, method=method)
    return {
        "est": dict(zip(names, estimate, strict=True)),
        "se": dict(zip(names, np.sqrt(np.diag(cov)), strict=True)),
        "vcov": matrix(cov),
    }
