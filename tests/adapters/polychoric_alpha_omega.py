"""Polychoric correlations, thresholds, and the ordinal alpha and omega that follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from lgpi_research.methods.consistency import Spread, standardised_alpha
from lgpi_research.methods.onefactor import omega_total
from lgpi_research.methods.polychoric import PairCounts, polychoric
from tests.adapters.guttman_lambdas import answers_of


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    items = inputs["items"]
    answers = answers_of(case, load)
    counts = PairCounts.from_answers(answers, categories=inputs["categories"])
    fit = polychoric(counts, empty_cell=inputs["empty_cell_value"] or 0.0)
    rho = fit.correlation
    spread = Spread.from_covariance(rho)
    return {
        "rho": {"rows": items, "cols": items, "values": rho},
        "tau": {"rows": items, "cols": sorted(inputs["categories"])[:-1], "values": fit.thresholds},
        "ordinal_alpha": standardised_alpha(spread),
        "ordinal_omega_total": omega_total(spread),
    }
