"""Means of places with their standard errors, where a stratum has one PSU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods.places import place_means


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    frame = load(case["data"][0])
    frame = frame[frame[inputs["value"]].notna()]
    place, psu = (frame[inputs[name]].astype(str) for name in ("place", "psu"))
    stratum = frame[inputs["stratum"]].astype(str) if inputs.get("stratum") else place
    weight = frame[inputs["weight"]] if inputs.get("weight") else pd.Series(1.0, frame.index)
    sums = pd.DataFrame(
        {
            "place": place,
            "stratum": stratum,
            "psu": psu,
            "count": 1.0,
            "weight": weight,
            "sum": weight * frame[inputs["value"]],
        }
    )
    cells = sums.groupby(["place", "stratum", "psu"], as_index=False).sum()
    counts, weights, totals = (cells[[name]].to_numpy() for name in ("count", "weight", "sum"))
    means, errors, _ = place_means(
        counts, weights, totals, cells["place"], cells["stratum"], lonely=inputs["lonely"]
    )
    return {
        "place": np.unique(cells["place"]),
        "mean": means[:, 0],
        "std_error": errors[:, 0],
    }
