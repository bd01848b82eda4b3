"""Krippendorff's alpha at each level of measurement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from lgpi_research.methods.agreement import krippendorff_alpha, tally
from tests.adapters._ratings import read_ratings


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    ratings, _ = read_ratings(load(case["data"][0]), inputs["raters"], inputs.get("missing"))
    return {
        level: {
            "alpha": krippendorff_alpha(ratings, level),
            "units": len(ratings),
            "raters": ratings.shape[1],
            "n_pairable": int(tally(ratings, least=2).sizes.sum()),
        }
        for level in inputs["levels"]
    }
