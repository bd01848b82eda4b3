"""Area-level predictions and their errors, to first and second order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods.meta import blups, random_effects
from lgpi_research.methods.smallarea import METHODS, fay_herriot

NAMES = {told: name for name, told in METHODS.items()}


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    frame = load(case["data"][0])
    y, v = (frame[inputs[name]].to_numpy(float) for name in ("estimate", "variance"))
    covariates = frame[inputs.get("covariates") or []].to_numpy(float)
    X = np.column_stack([np.ones(len(frame)), covariates])
    method = inputs.get("method") or "REML"
    found = fay_herriot(y, v, X, method=NAMES.get(method, method))
    direct = ~found.synthetic
    known = random_effects(
        y[direct], v[direct], X[direct], method=METHODS[found.method], test="normal"
    )
    return {
        "coef": found.coef,
        "se": found.std_error,
        "variance": found.variance,
        "variance_se": found.variance_std_error,
        "eblup": found.eblup,
        "first_order_se": blups(known)[1],
        "mse": found.mse,
    }
