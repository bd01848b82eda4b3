"""Fleiss' kappa with its test, overall and by value, and the kappas of Conger and Light."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from lgpi_research.methods.agreement import chance_corrected
from lgpi_research.methods.kappa import cohen_kappa, complete_ratings, fleiss_kappa
from tests.adapters._ratings import read_ratings


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    ratings, labels = read_ratings(load(case["data"][0]), inputs["raters"])
    ratings = complete_ratings(ratings)
    found = fleiss_kappa(ratings)
    pairs = combinations(range(ratings.shape[1]), 2)
    z = found.by_value / found.by_value_null_std_error
    return {
        "kappa": found.estimate,
        "z": found.z,
        "p": found.p_value,
        "by_category_rounded3": {
            "rows": [labels[value] for value in found.values],
            "cols": ["kappa", "z", "p"],
            "values": np.column_stack([found.by_value, z, 2 * stats.norm.sf(abs(z))]),
        },
        "conger_exact": chance_corrected(ratings, "conger").estimate,
        "light": np.mean([cohen_kappa(ratings[:, list(pair)]).estimate for pair in pairs]),
        "percent_agreement": 100 * (np.ptp(ratings, axis=1) == 0).mean(),
    }
