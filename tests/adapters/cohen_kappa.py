"""Cohen's kappa, unweighted and weighted, with the test of agreement by chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods.kappa import cohen_kappa, complete_ratings
from tests.adapters._ratings import read_ratings

WEIGHTS = {"none": "identity", "linear": "linear", "quadratic": "quadratic"}


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    ratings = complete_ratings(read_ratings(load(case["data"][0]), inputs["raters"])[0])
    # The programs weigh values by their place among those given.
    places = np.unique(ratings, return_inverse=True)[1].reshape(ratings.shape)
    found: dict[str, Any] = {}
    for key, weights in inputs["weights"].items():
        one = cohen_kappa(places, WEIGHTS[weights])
        found[key] = {"kappa": one.estimate, "z": one.z, "p": one.p_value}
    plain, squared = cohen_kappa(places), cohen_kappa(places, "quadratic")
    level = inputs.get("confidence", 0.95)
    ends = [[k.interval(level)[0], k.estimate, k.interval(level)[1]] for k in (plain, squared)]
    return {
        **found,
        "psych_kappa": plain.estimate,
        "psych_wkappa_quadratic": squared.estimate,
        "psych_var": plain.std_error**2,
        "psych_var_weighted": squared.std_error**2,
        "psych_conf": {
            "rows": ["unweighted kappa", "weighted kappa"],
            "cols": ["lower", "estimate", "upper"],
            "values": ends,
        },
    }
