"""Scores on several occasions: agreement, shift, error, limits, and changes of single places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from lgpi_research.methods.retest import bland_altman, changes_beyond_error, compare_occasions


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    frame = load(case["data"][0])
    scores = frame[inputs["occasions"]].to_numpy(float)
    level = inputs.get("confidence") or 0.95
    found = compare_occasions(scores, level=level)
    limits = bland_altman(scores[:, 0], scores[:, -1], level=level)
    told = {
        "icc_agreement": found.agreement.estimate,
        "icc_consistency": found.consistency.estimate,
        "icc_agreement_ci": [found.agreement.ci_low, found.agreement.ci_high],
        "icc_consistency_ci": [found.consistency.ci_low, found.consistency.ci_high],
        "shift": found.shift,
        "shift_ci": list(found.shift_ci),
        "shift_p": found.shift_p,
        "sem_consistency": found.sem_consistency,
        "sem_agreement": found.sem_agreement,
        "sem_consistency_ci": list(found.sem_consistency_ci),
        "detectable_agreement": found.smallest_detectable_change(),
        "detectable_consistency": found.smallest_detectable_change(definition="consistency"),
        "limits": [limits.low, limits.high],
        "lower_limit_ci": list(limits.low_ci),
        "upper_limit_ci": list(limits.high_ci),
        "n_used": found.squares.n_units,
        "n_dropped": found.squares.n_dropped,
    }
    if not inputs.get("std_errors"):
        return told
    errors = (frame[name].to_numpy(float) for name in inputs["std_errors"])
    changes = changes_beyond_error(
        scores[:, 0], scores[:, -1], *errors, level=level, adjust=inputs.get("adjust") or "none"
    )
    judged = changes.p_value == changes.p_value
    reliability = None if changes.reliability is None else changes.reliability.mean
    return told | {
        "changes": {
            "p_value": changes.p_value[judged],
            "beyond": changes.beyond[judged],
            "reliability": reliability,
        }
    }
