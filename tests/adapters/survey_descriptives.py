"""Means, totals, ratios, proportions, domains, quantiles and tests of a complex sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods.design import Design
from lgpi_research.methods.estimates import (
    domain_means,
    logit_interval,
    means,
    quantiles,
    ratios,
    t_limits,
    variances,
)
from lgpi_research.methods.survey_tests import mean_difference, table_test
from tests.adapters._survey import as_list, complete, leaf, numbers, read_design, statistic


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    table = load(case["data"][0])
    design = read_design(inputs["design"], table)
    level = inputs.get("confidence", 0.95)
    found: dict[str, Any] = {"degf": design.df, "sum_weights": float(design.weights.sum())}
    if inputs.get("mean"):
        labels, mean = statistic("mean", inputs["mean"], table, design)
        low, high = t_limits(mean.estimate, mean.std_error, design.df, level)
        tails = (f"{50 * (1 - level):.3g} %", f"{50 * (1 + level):.3g} %")
        found["mean"] = leaf(labels, mean)
        found["mean_deff_replace"] = mean.deff_replace
        found["mean_ci_t"] = {
            "rows": labels, "cols": list(tails), "values": np.column_stack([low, high]),
        }  # fmt: skip
    if inputs.get("total"):
        found["total"] = leaf(*statistic("total", inputs["total"], table, design))
    if inputs.get("variance"):
        found |= _variance(as_list(inputs["variance"]), table, design)
    if inputs.get("ratio"):
        top, bottom = (
            numbers(table, as_list(inputs["ratio"][part])) for part in ("numerator", "denominator")
        )
        ratio = ratios(top, bottom, design)
        found["ratio"] = {"est": ratio.estimate, "se": ratio.std_error}
    for name in as_list(inputs.get("proportions")):
        levels = [_text(value) for value in np.sort(table[name].dropna().unique())]
        text = pd.Categorical(table[name].map(_text, na_action="ignore"), levels)
        chosen = table.assign(**{name: text})
        found[f"prop_{name}"] = leaf(*statistic("mean", name, chosen, design))
    if inputs.get("by"):
        found |= by_domain(inputs["by"], table, design)
    if inputs.get("quantiles"):
        told = inputs["quantiles"]
        y = numbers(table, [told["variable"]])[:, 0]
        quantile = quantiles(y, np.atleast_1d(told["probs"]), design, level=level)
        found["quantiles"] = {
            "probs": told["probs"], "est": quantile.estimate, "se": quantile.std_error,
        }  # fmt: skip
    if inputs.get("chisq"):
        told = inputs["chisq"]
        # The reference counts PSUs without a weight here, and only here.
        df = len(np.unique(design.stages[0])) - len(np.unique(design.strata))
        test = table_test(table[told["rows"]], table[told["columns"]], design, df=df)
        found["chisq"] = {
            "F": test.statistic, "df": [test.df_num, test.df_denom], "p": test.p_value,
        }  # fmt: skip
    if inputs.get("proportion"):
        told = inputs["proportion"]
        given = table[told["variable"]]
        event = _equals(given, told["value"])
        share = means(event, design)
        ends = logit_interval(share.estimate, share.std_error, design.df, level)
        found["ciprop_logit"] = {
            "est": share.estimate, "ci": np.concatenate(ends), "se": share.std_error,
        }  # fmt: skip
    if inputs.get("ttest"):
        told = inputs["ttest"]
        given = table[told["groups"]]
        second = _equals(given, sorted(given.dropna().unique())[1])
        y = numbers(table, [told["variable"]])[:, 0]
        test_t = mean_difference(y, second, design)
        found["ttest"] = {
            "t": test_t.t, "df": test_t.df, "p": test_t.p_value, "diff": test_t.estimate,
        }  # fmt: skip
    return found


def by_domain(told: Mapping[str, Any], table: pd.DataFrame, design: Design) -> dict[str, Any]:
    """Return the means of a variable in each domain, under ``by_<domain>``."""
    return {f"by_{told['domain']}": domain_leaf(told["variable"], told["domain"], table, design)}


def domain_leaf(variable: str, domain: str, table: pd.DataFrame, design: Design) -> dict[str, Any]:
    """Return the means of a variable in each domain that occurs."""
    y = numbers(table, [variable])[:, 0]
    levels, mean = domain_means(y, table[domain].to_numpy(), design)
    return {"levels": levels.tolist(), "mean": mean.estimate, "se": mean.std_error}


def _variance(names: list[str], table: pd.DataFrame, design: Design) -> dict[str, Any]:
    kept = complete(table, names)
    y = np.where(kept[:, None], numbers(table, names), np.nan)
    variance = variances(y, design)
    # The reference's n/(n - 1) counts rows without a value, too.
    weighed = design.weights != 0
    n, rows = (kept & weighed).sum(), weighed.sum()
    factor = rows / (rows - 1) * (n - 1) / n
    return {"var": factor * variance.estimate, "var_se": factor * variance.std_error}


def _equals(given: pd.Series, value: Any) -> np.ndarray:
    """Return 1 where the value occurs, 0 elsewhere, NaN where it is missing."""
    same = given.map(_text, na_action="ignore") == _text(value)
    return np.where(given.notna(), same.astype(float), np.nan)


def _text(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)
