"""Agreement corrected for chance, by several coefficients and weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from lgpi_research.methods.agreement import chance_corrected
from tests.adapters._ratings import read_ratings

NAMES = {
    "ac": "gwet",
    "fleiss": "fleiss",
    "conger": "conger",
    "bp": "brennan_prediger",
    "krippen": "krippendorff",
    "pa": "percent",
}


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    ratings, _ = read_ratings(load(case["data"][0]), inputs["raters"], inputs.get("missing"))
    level = inputs.get("confidence", 0.95)
    found: dict[str, Any] = {}
    for weights in inputs["weights"]:
        for key in inputs["coefficients"]:
            kind = "identity" if weights == "unweighted" else weights
            one = chance_corrected(ratings, NAMES[key], weights=kind)
            low, high = one.interval(level)
            found.setdefault(weights, {})[key] = {
                "coeff": one.estimate,
                "coeff_rounded": round(one.estimate, 5),
                "se_rounded": one.std_error,
                "pa": one.observed,
                "pe": one.expected,
                "ci": f"({low:.3g},{high:.3g})",
                "p": one.p_value,
            }
    return found
