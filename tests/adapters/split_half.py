"""The distribution of all split halves, and the bounds beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods import consistency, guttman
from tests.adapters.guttman_lambdas import answers_of, bounds, spread_of


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    spread = spread_of(answers_of(case, load), case["inputs"])
    standardise = case["inputs"]["matrix"] == "correlation"
    matrix = consistency.correlation(spread.covariance) if standardise else spread.covariance
    splits = guttman.split_halves(matrix)
    found = bounds(spread, standardise)
    return found | {
        "max": splits.best,
        "min": splits.values[0],
        "mean": splits.values.mean(),
        "median": np.median(splits.values),
        "quantiles_05_95": np.quantile(splits.values, [0.05, 0.95]),
        "n_splits": splits.n_splits,
        "alpha": found["lambda3"],
    }
