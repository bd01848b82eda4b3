"""Polychoric correlations, thresholds, and the ordinal alpha and omega that follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods.consistency import Spread, standardised_alpha
from lgpi_research.methods.onefactor import omega_total
from lgpi_research.methods.polychoric import PairCounts, polychoric
from tests.adapters.guttman_lambdas import answers_of


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    items = inputs["items"]
    counts = PairCounts.from_answers(answers_of(case, load), categories=inputs["categories"])
    fit = polychoric(counts)
    rho = fit.correlation
    if inputs["empty_cell_value"]:
        rho = _corrected(counts, inputs["empty_cell_value"])
    spread = Spread.from_covariance(rho)
    return {
        "rho": {"rows": items, "cols": items, "values": rho},
        "tau": {
            "rows": items,
            "cols": [str(i + 1) for i in range(fit.thresholds.shape[-1])],
            "values": fit.thresholds,
        },
        "ordinal_alpha": standardised_alpha(spread),
        "ordinal_omega_total": omega_total(spread),
    }


def _corrected(counts: PairCounts, value: float) -> np.ndarray:
    """Return correlations as the reference corrects them for empty cells.

    It takes the thresholds of a pair from the margins of the corrected table, too, over the
    sum of the table before, so that the last answer makes up for what was added. The package
    leaves the thresholds of an item alone, whatever the other one is.
    """
    rho = np.eye(counts.n_items)
    for i, j, given in zip(*np.triu_indices(counts.n_items, 1), counts.tables(), strict=True):
        table = given[given.sum(axis=1) > 0][:, given.sum(axis=0) > 0]
        total = table.sum()
        table = np.where(table == 0, value, table)
        margins = np.concatenate([table.sum(axis=1), table.sum(axis=0)])
        rows, columns = table.shape
        for last, part in ((rows - 1, slice(rows - 1)), (-1, slice(rows, -1))):
            margins[last] = total - margins[part].sum()
        whole = np.diag(margins)
        whole[:rows, rows:], whole[rows:, :rows] = table, table.T
        rho[i, j] = rho[j, i] = polychoric(PairCounts(whole, (rows, columns))).correlation[0, 1]
    return rho
