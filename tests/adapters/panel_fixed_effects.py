"""Within estimators, unit intercepts and F tests of the effects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from lgpi_research.formula import design
from lgpi_research.methods.regression import (
    Fit,
    TestResult,
    compare_nested,
    fixed_effects,
    least_squares,
)

WAYS = {"individual": ("unit",), "time": ("time",), "twoways": ("unit", "time")}


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    frame = load(case["data"][0])
    for name, expression in inputs["derive"].items():
        frame[name] = frame.eval(expression, engine="python")
    terms = " + ".join(f"`{name}`" for name in inputs["regressors"])
    text = f"`{inputs['outcome']}` ~ {terms} | `{inputs['unit']}` + `{inputs['time']}`"
    made = design(text, frame)
    codes = dict(zip(("unit", "time"), made.absorb, strict=True))
    pooled = least_squares(made.y, np.column_stack([np.ones(made.n_used), made.X]))
    fits = {
        name: least_squares(made.y, made.X, [codes[way] for way in WAYS[name]])
        for name in inputs["effects"]
    }
    found: dict[str, Any] = {"n": made.n_used}
    found |= {name: _table(fit, inputs["regressors"]) for name, fit in fits.items()}
    found |= {f"pFtest_{name}": _f_test(compare_nested(pooled, fit)) for name, fit in fits.items()}
    (intercepts,) = fixed_effects(fits["individual"], made.y, made.X)
    labels = made.levels[made.absorb_names[0]]
    found["fixef_individual"] = dict(zip(labels, intercepts, strict=True))
    found["within_intercept"] = float(np.mean(intercepts[codes["unit"]]))
    return found


def _table(fit: Fit, names: list[str]) -> dict[str, Any]:
    error = np.sqrt(np.diag(fit.cov))
    t = fit.coef / error
    columns = {
        "coef": fit.coef,
        "se": error,
        "stat": t,
        "p": 2 * stats.t.sf(np.abs(t), fit.df_resid),
    }
    table: dict[str, Any] = {
        key: dict(zip(names, values, strict=True)) for key, values in columns.items()
    }
    return table | {
        "r2": [fit.r2, fit.r2_adjusted],
        "rss": fit.rss,
        "df_resid": fit.df_resid,
    }


def _f_test(test: TestResult) -> dict[str, Any]:
    return {
        "stat": test.statistic,
        "df": [test.df_num, test.df_denom],
        "p": test.p_value,
    }
