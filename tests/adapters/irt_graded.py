"""The graded response model: items, scores, reliability, information."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods.latent.irt_fit import fit_item_response
from lgpi_research.methods.latent.irt_limited import limited_information
from lgpi_research.methods.latent.irt_scores import (
    eap_scores,
    empirical_reliability,
    information_of_test,
    marginal_reliability,
)
from tests.adapters._responses import head_of, read_answers, table_of


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    names = inputs["items"]
    fit = fit_item_response(read_answers(case, load)[names].to_numpy(float))
    items = fit.items[0]
    limited = limited_information(fit)
    # The reference divides the estimate by n - 1, and its limits by n.
    by_n = np.sqrt((fit.n_used - 1) / fit.n_used)
    cuts = [f"d{i + 1}" for i in range(items.intercepts.shape[1])]
    return {
        "n": fit.n_used,
        "mirt_ab": table_of(items, names),
        "mirt_slope_intercept": {
            "rows": names,
            "cols": ["a1", *cuts],
            "values": np.column_stack([items.slopes, items.intercepts]),
        },
        "mirt_loglik": fit.log_likelihood,
        "mirt_aic": fit.aic,
        "mirt_bic": fit.bic,
        "C2": {
            "M2": limited.statistic,
            "df": limited.df,
            "p": limited.p_value,
            "RMSEA": limited.rmsea,
            "RMSEA_5": limited.rmsea_low * by_n,
            "RMSEA_95": limited.rmsea_high * by_n,
            "SRMSR": limited.srmsr,
            "TLI": limited.tli,
            "CFI": limited.cfi,
        },
        "eap_head": head_of(fit, inputs["head_rows"]),
        "empirical_rxx": empirical_reliability(eap_scores(fit)),
        "marginal_rxx": marginal_reliability(items),
        "theta": inputs["theta"],
        "test_information": information_of_test(items, inputs["theta"]),
        "factor_loadings": dict(zip(names, items.loadings, strict=True)),
    }
