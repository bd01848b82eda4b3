"""Effects nested in studies by REML, with CR2 inference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from lgpi_research.methods.multilevel import nested_covariance, nested_effects
from tests.adapters.meta_analysis import effects


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    frame = load(case["data"][0])
    y, v = effects(inputs, frame)
    outer, inner = (frame[name] for name in inputs["levels"])
    fit = nested_effects(y, v, outer, inner)
    robust = nested_covariance(fit)
    error = np.sqrt(np.diag(robust.cov))
    t = fit.coef / error
    return {
        "b": fit.coef,
        "se": fit.std_error,
        "sigma2": [fit.outer_variance, fit.inner_variance],
        "loglik": fit.log_likelihood,
        "QE": fit.q,
        "cr2": {
            "Coef": "intrcpt",
            "beta": fit.coef,
            "SE": error,
            "tstat": t,
            "df_Satt": robust.df,
            "p_Satt": 2 * stats.t.sf(np.abs(t), robust.df),
        },
    }
