"""Coefficient alpha, its standard error and interval, and how each item fits the scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods import consistency
from lgpi_research.methods.consistency import Spread
from lgpi_research.moments import Moments


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    items = inputs["items"]
    answers = load(case["data"][0])[items].astype(float)
    for item, (low, high) in inputs["reverse"].items():
        answers[item] = low + high - answers[item]
    if inputs["complete_on"]:
        answers = answers.dropna(subset=inputs["complete_on"])
    n, k = answers.shape
    respondents = np.arange(n)
    moments = Moments.from_answers(answers, psu=respondents, missing=inputs["missing"])
    spread = moments.spread()
    covariance = spread.covariance
    dropped = Spread.from_covariance(consistency.drop_one(covariance))
    pairs = consistency.inter_item(covariance)
    pairs_left = consistency.inter_item(dropped.covariance)
    means = answers.mean(axis=1)
    low, high = consistency.feldt_interval(
        consistency.alpha(spread), n, k, level=inputs["confidence"]
    )
    return {
        "total": {
            "raw_alpha": consistency.alpha(spread),
            "std.alpha": consistency.standardised_alpha(spread),
            "G6(smc)": consistency.lambda6(spread),
            "average_r": consistency.average_r(spread),
            "median_r": np.median(pairs),
            "ase": consistency.alpha_std_error(spread, n),
            "mean": means.mean(),
            "sd": means.std(ddof=1),
        },
        "feldt": {"lower": low, "alpha": consistency.alpha(spread), "upper": high},
        "alpha_drop": {
            "_row": items,
            "raw_alpha": consistency.alpha(dropped),
            "std.alpha": consistency.standardised_alpha(dropped),
            "G6(smc)": consistency.lambda6(dropped),
            "average_r": consistency.average_r(dropped),
            "alpha se": consistency.alpha_std_error(dropped, n),
            "var.r": pairs_left.var(axis=-1, ddof=1),
            "med.r": np.median(pairs_left, axis=-1),
        },
        "item_stats": {
            "_row": items,
            "n": answers.notna().sum().to_numpy(),
            "raw.r": consistency.item_mean_r(answers),
            "std.r": consistency.item_total_r(consistency.correlation(covariance)),
            "r.drop": consistency.item_rest_r(covariance),
            "mean": answers.mean().to_numpy(),
            "sd": np.sqrt(spread.variances),
        },
        "n": n,
    }
