"""Measures of fit by name, as results of latent variable models hold them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lgpi_research.methods.latent.fit_measures import FitMeasures

__all__ = ["best_measure", "measures_of"]


def measures_of(measures: FitMeasures) -> dict[str, float]:
    """Return measures of fit by name; corrected ones have an ending."""
    found: dict[str, float] = {
        "chi_squared": measures.test.statistic,
        "df": measures.test.df,
        "p_value": measures.test.p_value,
        "cfi": measures.cfi,
        "tli": measures.tli,
        "rmsea": measures.rmsea,
        "rmsea_low": measures.rmsea_low,
        "rmsea_high": measures.rmsea_high,
        "srmr": measures.srmr,
        "log_likelihood": measures.log_likelihood,
        "aic": measures.aic,
        "bic": measures.bic,
        "n_free": measures.n_free,
    }
    if measures.scaled is not None:
        more = measures.scaled
        found |= {
            "chi_squared_scaled": more.test.statistic,
            "p_value_scaled": more.test.p_value,
            "cfi_scaled": more.cfi,
            "tli_scaled": more.tli,
            "rmsea_scaled": more.rmsea,
            "cfi_robust": more.cfi_robust,
            "tli_robust": more.tli_robust,
            "rmsea_robust": more.rmsea_robust,
        }
    return {name: value for name, value in found.items() if np.isfinite(value)}


def best_measure(measures: Mapping[str, float], name: str) -> float:
    """Return a measure of fit in its robust form, else scaled, else as it is.

    Examples
    --------
    >>> best_measure({"cfi": 0.95, "cfi_scaled": 0.94}, "cfi")
    0.94
    """
    for ending in ("_robust", "_scaled", ""):
        if name + ending in measures:
            return measures[name + ending]
    return float("nan")
