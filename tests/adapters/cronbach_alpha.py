"""Coefficient alpha, its standard error and interval, and how each item fits the scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods import consistency
from lgpi_research.methods.consistency import Spread
from lgpi_research.moments import Moments
from tests.adapters.guttman_lambdas import answers_of


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    items = inputs["items"]
    answers = answers_of(case, load)
    n, k = answers.shape
    respondents = np.arange(n)
    moments = Moments.from_answers(answers, psu=respondents, missing=inputs["missing"])
    spread = moments.spread()
    covariance = spread.covariance
    pairs = consistency.inter_item(covariance)
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
        "alpha_drop": {"_row": items, **(_without_each(covariance, n) if k > 2 else {})},
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


def _without_each(covariance: np.ndarray, n: int) -> dict[str, Any]:
    """Return the coefficients of all items but one, for each item that is left out."""
    dropped = Spread.from_covariance(consistency.drop_one(covariance))
    pairs = consistency.inter_item(dropped.covariance)
    return {
        "raw_alpha": consistency.alpha(dropped),
        "std.alpha": consistency.standardised_alpha(dropped),
        "G6(smc)": consistency.lambda6(dropped),
        "average_r": consistency.average_r(dropped),
        "alpha se": consistency.alpha_std_error(dropped, n),
        # Two items that are left have one correlation, which has no variance.
        "var.r": pairs.var(axis=-1, ddof=1) if pairs.shape[-1] > 1 else [None] * len(pairs),
        "med.r": np.median(pairs, axis=-1),
    }
