"""Means, totals, ratios, domains and regressions under replicate weights of a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from lgpi_research.formula import design as design_table
from lgpi_research.methods.points import point_variances
from lgpi_research.methods.replicate_estimates import (
    Replicated,
    replicate_means,
    replicate_ratios,
    replicate_regression,
    replicate_totals,
)
from lgpi_research.methods.replication import ReplicateWeights, given_replicates
from tests.adapters._survey import (
    as_list,
    complete,
    formula_of,
    matrix,
    name_of,
    numbers,
    read_design,
)

CENTRES = {"mean_of_replicates": "mean", "full_sample_estimate": "estimate"}

Floats = np.ndarray


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    table, given = load(case["data"][0]), load(inputs["replicate_file"])
    if inputs.get("replicate_columns", "all") != "all":
        given = given[as_list(inputs["replicate_columns"])]
    weights = (
        read_design(inputs["design"], table).weights
        if inputs.get("weights") is None
        else table[inputs["weights"]].to_numpy(float)
    )
    reps = given_replicates(
        given.to_numpy(float),
        weights,
        scale=inputs["scale"],
        rscales=inputs["rscales"],
        centre=CENTRES[inputs["centre"]],
    )
    found: dict[str, Any] = {
        "scale": reps.scale,
        "rscales": reps.rscales,
        "mse": reps.centre == "estimate",
        "degf": reps.df,
    }
    if inputs.get("mean"):
        names = as_list(inputs["mean"])
        y = _values(table, names)
        mean = replicate_means(y, weights, reps, undefined="drop")
        found["mean"] = _leaf(names, mean) | {"deff": _effect(mean, y, weights)}
    if inputs.get("total"):
        names = as_list(inputs["total"])
        total = replicate_totals(_values(table, names), weights, reps, undefined="drop")
        found["total"] = _leaf(names, total)
    if inputs.get("ratio"):
        top, bottom = (
            numbers(table, as_list(inputs["ratio"][part])) for part in ("numerator", "denominator")
        )
        ratio = replicate_ratios(top, bottom, weights, reps, undefined="drop")
        found["ratio"] = {"est": ratio.estimate, "se": ratio.std_error}
    if inputs.get("regression"):
        found["glm"] = _regression(inputs["regression"], inputs["terms"], table, weights, reps)
    if inputs.get("by"):
        found["by"] = _domains(inputs["by"], table, weights, reps)
    return found


def _values(table: pd.DataFrame, names: list[str]) -> Floats:
    """Return variables, missing in rows that lack any of them: they are one statistic."""
    return np.where(complete(table, names)[:, None], numbers(table, names), np.nan)


def _leaf(names: list[str], found: Replicated) -> dict[str, Any]:
    return {
        "est": dict(zip(names, found.estimate, strict=True)),
        "se": dict(zip(names, found.std_error, strict=True)),
        "vcov": matrix(found.covariance),
    }


def _effect(mean: Replicated, y: Floats, weights: Floats) -> Floats:
    """Return the variance over that of a simple random sample without replacement."""
    used = ~np.isnan(y)
    n, population = used.sum(axis=0), weights @ used
    return np.diag(mean.covariance) / ((1 - n / population) * point_variances(weights, y) / n)


def _regression(
    text: str,
    terms: Mapping[str, str],
    table: pd.DataFrame,
    weights: Floats,
    reps: ReplicateWeights,
) -> dict[str, Any]:
    left, _, right = text.partition("~")
    rhs, wide = formula_of(right, table)
    made = design_table(f"{formula_of(left, table)[0]} ~ {rhs}", wide)
    y, x = np.full(len(table), np.nan), np.full((len(table), len(made.names)), np.nan)
    y[made.used], x[made.used] = made.y, made.X
    names = [name_of(name) for name in made.names]
    at = [names.index(name_of(own)) for own in terms.values()]
    fit = replicate_regression(y, x[:, at], weights, reps, undefined="drop")
    t, df = fit.estimate / fit.std_error, fit.df + 1 - len(at)
    columns = {
        "coef": fit.estimate,
        "se": fit.std_error,
        "t": t,
        "p": 2 * stats.t.sf(np.abs(t), df),
    }
    shown: dict[str, Any] = {
        key: dict(zip(terms, values, strict=True)) for key, values in columns.items()
    }
    return shown | {"df_resid": df, "vcov": matrix(fit.covariance)}


def _domains(
    told: Mapping[str, str], table: pd.DataFrame, weights: Floats, reps: ReplicateWeights
) -> dict[str, Any]:
    """Return the mean of a variable in each category; each is a statistic of its own."""
    y, domain = numbers(table, [told["variable"]]), table[told["domain"]]
    levels = sorted(domain.dropna().unique())
    found = [
        replicate_means(
            np.where((domain == level).to_numpy()[:, None], y, np.nan),
            weights,
            reps,
            undefined="drop",
        )
        for level in levels
    ]
    return {
        "levels": [str(level) for level in levels],
        "mean": [one.estimate[0] for one in found],
        "se": [one.std_error[0] for one in found],
    }
