"""Cluster-robust covariances, Satterthwaite degrees of freedom and HTZ tests of slopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from lgpi_research.errors import MethodError
from lgpi_research.formula import design
from lgpi_research.methods.regression import cluster_covariance, least_squares, wald_test


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    frame = load(case["data"][0])
    for name, expression in inputs["derive"].items():
        frame[name] = frame.eval(expression, engine="python")
    effects = [f"`{inputs[role]}`" for role in inputs["dummies"]]
    text = f"`{inputs['outcome']}` ~ " + " + ".join(f"`{name}`" for name in inputs["regressors"])
    made = design(
        text + (" | " + " + ".join(effects) if effects else ""), frame, also=[inputs["cluster"]]
    )
    clusters = made.codes[inputs["cluster"]]
    fit = least_squares(made.y, made.X, made.absorb)
    slopes = slice(len(made.names) - len(inputs["regressors"]), None)

    tests = {}
    for kind in inputs["types"]:
        try:
            robust = cluster_covariance(fit, clusters, kind)
        except MethodError:
            continue  # CR3 is undefined where a coefficient needs one of the clusters
        beta, df = fit.coef[slopes], robust.df[slopes]
        error = np.sqrt(np.diag(robust.cov))[slopes]
        tests[kind] = {
            "term": inputs["regressors"],
            "beta": beta,
            "se": error,
            "t": beta / error,
            "df": df,
            "p": 2 * stats.t.sf(np.abs(beta / error), df),
        }
    joint = {}
    for kind in inputs["wald_types"]:
        found = wald_test(fit, clusters, kind, np.eye(len(made.names))[slopes])
        joint[kind] = {
            "Fstat": found.statistic,
            "df_num": found.df_num,
            "df_denom": found.df_denom,
            "p_val": found.p_value,
        }
    return {"coef_tests": tests, "wald_htz": joint}
