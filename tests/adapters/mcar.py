"""Little's test that answers are missing completely at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from lgpi_research.methods.mcar import fit_normal, little_test


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    items = case["inputs"]["items"]
    answers = load(case["data"][0])[items].astype(float).to_numpy()
    fit, test = fit_normal(answers), little_test(answers)
    return {
        "mean": fit.mean,
        "covariance": {"rows": items, "cols": items, "values": fit.covariance},
        "statistic": test.statistic,
        "df": test.df,
        "p_value": test.p_value,
        "n_patterns": test.n_patterns,
        "n": test.n_used,
    }
