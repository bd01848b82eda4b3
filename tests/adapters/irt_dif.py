"""Differential item functioning by likelihood ratios of models of groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods.latent.irt_dif import item_differences
from tests.adapters._responses import read_answers


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    table = read_answers(case, load)
    names = inputs["items"]
    groups = table[inputs["group"]].astype(int).astype(str).to_numpy()
    found = item_differences(table[names].to_numpy(float), groups, model=inputs["model"])
    base = found.equal
    n = float(base.marginal.patterns.weights.sum())
    return {
        "groups": list(base.groups),
        "loglik_constrained": base.log_likelihood,
        "group2_mean": base.means[1],
        "group2_var": base.sds[1] ** 2,
        "dif": {
            "_row": names,
            "X2": found.statistic,
            "df": found.df,
            "p": found.p_value,
            "AIC": 2 * found.df - found.statistic,
            "BIC": np.log(n) * found.df - found.statistic,
        },
    }
