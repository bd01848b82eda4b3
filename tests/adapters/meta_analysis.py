"""Pooled effects, their heterogeneity, meta-regression, asymmetry and predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research.formula import design
from lgpi_research.methods.asymmetry import egger_regression, trim_and_fill
from lgpi_research.methods.heterogeneity import between_variance, tau2_interval
from lgpi_research.methods.meta import (
    blups,
    explained_heterogeneity,
    moderator_test,
    prediction_interval,
    random_effects,
)

STOP = 1e-5  # the step at which the reference's REML stops, unless the case says otherwise


def effects(inputs: dict[str, Any], frame: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return effects and variances as the case measures them."""
    measure, columns = inputs["effect"]["measure"], inputs["effect"]["columns"]
    at = {role: frame[name].astype(float) for role, name in columns.items()}
    if measure == "log_risk_ratio":
        n1, n2 = (at[f"events_{arm}"] + at[f"nonevents_{arm}"] for arm in (1, 2))
        y = np.log(at["events_1"] / n1) - np.log(at["events_2"] / n2)
        return y, 1 / at["events_1"] - 1 / n1 + 1 / at["events_2"] - 1 / n2
    if measure == "fisher_z":
        return np.arctanh(at["r"]), 1 / (at["n"] - 3)
    return at["effect"], at["variance"]


def stopped(
    y: npt.ArrayLike, v: npt.ArrayLike, X: np.ndarray, exact: float, threshold: float
) -> float:
    """Return the REML variance where the reference's scoring stops, near the exact one.

    The reference starts from Hedges' estimate and stops at a step below the threshold, so
    its p-values differ from those at the maximum by up to 1e-3. A value that lies farther
    from the maximum than the threshold is not used.
    """
    tau2, step = between_variance(y, v, X, method="HE").tau2, np.inf
    outcome, errors = np.asarray(y), np.asarray(v)
    while abs(step) >= threshold:
        W = np.diag(1 / (errors + tau2))
        P = W - W @ X @ np.linalg.solve(X.T @ W @ X, X.T @ W)
        step = (outcome @ P @ P @ outcome - np.trace(P)) / np.trace(P @ P)
        while tau2 + step < 0:
            step /= 2
        tau2 += step
    return tau2 if abs(tau2 - exact) < threshold else exact


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    level, threshold = inputs["confidence"], inputs.get("threshold", STOP)
    frame = load(case["data"][0])
    y, v = effects(inputs, frame)
    random = {}
    for method in inputs["methods"]:
        fit = random_effects(y, v, method=method, test="normal", level=level)
        random[method] = {
            "b": fit.coef[0],
            "se": fit.std_error[0],
            "ci": fit.ci[0],
            "tau2": fit.tau2,
            "se_tau2": fit.between.std_error,
            "I2": 100 * fit.i2,
            "H2": fit.h2,
            "QE": fit.between.q,
            "QEp": fit.q_p,
        }
    tests = inputs["tests"]
    fixed = random_effects(y, v, method="FE", test="normal")
    knapp = random_effects(y, v, method=tests["knapp_hartung"], test="plain", level=level)
    normal = random_effects(y, v, method=tests["prediction"], test="normal", level=level)
    profile = np.array(tau2_interval(y, v, level=level))
    predicted, error = blups(normal)
    asymmetry = egger_regression(y, v, method="REML", test="normal")
    egger = random_effects(
        y, v, asymmetry.X, test="normal", tau2=stopped(y, v, asymmetry.X, asymmetry.tau2, threshold)
    )
    filled = trim_and_fill(y, v, method="REML", test="normal")
    return {
        "yi": y,
        "vi": v,
        "random": random,
        "fixed": {"b": fixed.coef[0], "se": fixed.std_error[0], "QE": fixed.between.q},
        "knapp_hartung": {
            "se": knapp.std_error[0],
            "t": knapp.statistic[0],
            "p": knapp.p_value[0],
            "ci": knapp.ci[0],
        },
        "q_profile_tau2": profile,
        "q_profile_I2": 100 * profile / (profile + normal.between.typical),
        "prediction_interval": prediction_interval(normal, df=np.inf),
        **_regression(inputs, frame, y, v),
        "egger": {"z": egger.statistic[1], "p": egger.p_value[1]},
        "trimfill": {
            "k0": filled.filled,
            "b": filled.fit.coef[0],
            "se": filled.fit.std_error[0],
            "side": filled.side,
        },
        "blup": {"pred": predicted, "se": error},
    }


def _regression(
    inputs: dict[str, Any], frame: pd.DataFrame, y: pd.Series, v: pd.Series
) -> dict[str, Any]:
    made = design(f"y_ {inputs['moderators']}", frame.assign(y_=y))
    slopes = np.arange(1, len(made.names))
    errors = v.to_numpy()[made.used]
    method = inputs["tests"]["metareg"]
    exact = random_effects(made.y, errors, made.X, method=method).tau2
    tau2 = (
        stopped(made.y, errors, made.X, exact, inputs.get("threshold", STOP))
        if method == "REML"
        else exact
    )
    fit, knapp = (
        random_effects(made.y, errors, made.X, method=method, test=test, tau2=tau2)
        for test in ("normal", "plain")
    )
    wald, f_test = moderator_test(fit, slopes), moderator_test(knapp, slopes)
    told = {label.lower(): term for term, label in inputs["terms"].items()}
    return {
        "metareg": {
            "terms": [told.get(name.lower(), name) for name in made.names],
            "b": fit.coef,
            "se": fit.std_error,
            "p": fit.p_value,
            "tau2": fit.tau2,
            "QM": wald.df_num * wald.statistic,
            "QMp": wald.p_value,
            "QE": fit.between.q,
            "R2": 100 * explained_heterogeneity(fit),
        },
        "metareg_knha": {
            "se": knapp.std_error,
            "p": knapp.p_value,
            "QM": f_test.statistic,
            "QMp": f_test.p_value,
        },
    }
