"""Scores of scales, their reliability, and their correlations with errors taken out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods.attenuation import correlation_of_sums, disattenuate
from lgpi_research.methods.consistency import Spread, alpha
from lgpi_research.moments import Moments


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    table = load(case["data"][0])
    for item, (low, high) in inputs["reverse"].items():
        table[item] = low + high - table[item]
    scales: dict[str, list[str]] = inputs["scales"]
    names = list(scales)
    scores = pd.DataFrame({name: table[items].mean(axis=1) for name, items in scales.items()})
    every = list(dict.fromkeys(item for items in scales.values() for item in items))
    answers = table[every].astype(float)
    moments = Moments.from_answers(answers, psu=np.arange(len(answers)), missing=inputs["missing"])
    covariance = moments.spread().covariance
    members = np.array([[item in items for items in scales.values()] for item in every], float)
    shares = {}
    for name, column in zip(names, members.T, strict=True):
        own = np.flatnonzero(column)
        shares[name] = float(alpha(Spread.from_covariance(covariance[np.ix_(own, own)])))
    observed = correlation_of_sums(covariance, members)
    true = disattenuate(observed, [shares[name] for name in names])
    whole = np.tril(observed, -1) + np.triu(true, 1) + np.diag([shares[name] for name in names])
    head = scores.head(inputs["head_rows"])
    return {
        "alpha": shares,
        "cor": {"rows": names, "cols": names, "values": observed},
        "corrected": {"rows": names, "cols": names, "values": whole},
        "av_r": {
            name: shares[name] / (len(items) - (len(items) - 1) * shares[name])
            for name, items in scales.items()
        },
        "scores_head": {
            "rows": [str(row + 1) for row in range(len(head))],
            "cols": names,
            "values": head.to_numpy(),
        },
    }
