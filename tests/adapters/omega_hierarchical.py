"""Omega hierarchical and total by Schmid and Leiman's solution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods.consistency import Spread, correlation, lambda6, standardised_alpha
from lgpi_research.methods.latent.hierarchical import hierarchical_omega
from tests.adapters.guttman_lambdas import answers_of, covariance_of


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    items, m = inputs["items"], inputs["factors"]
    if inputs["input"] == "correlation":
        table = load(case["data"][0])
        matrix = table.set_index(table.columns[0]).loc[items, items].to_numpy(float)
    else:
        matrix = correlation(covariance_of(answers_of(case, load), inputs["missing"]).covariance)
    found = hierarchical_omega(
        matrix, m, method=inputs["extraction"], rotation=inputs["rotation"], tolerance=1e-5
    )
    # The reference lists groups in the order of their first items.
    order = np.argsort([np.flatnonzero(found.group_of == j)[0] for j in range(m)])
    if m == 2:  # ... but two of them by their strength
        order = np.arange(m)
    groups = found.groups[:, order]
    unique = found.uniquenesses
    parts = [found.general, *groups.T, 1 - unique, unique, found.general_share]
    names = [f"F{j + 1}*" for j in range(m)]
    general, own = found.group_general[order], found.group_own[order]
    oblique = [name[:-1] for name in names]
    spread = Spread.from_covariance(matrix)
    return {
        "omega_h": found.omega_hierarchical,
        "omega_total": found.omega_total,
        "alpha": standardised_alpha(spread),
        "G6": lambda6(spread),
        "ECV": {"g": found.explained_common},
        "schmid_sl": {
            "rows": items,
            "cols": ["g", *names, "h2", "u2", "p2"],
            "values": np.column_stack(parts),
        },
        "omega_group": {
            "_row": ["g", *names],
            "total": [found.omega_total, *(general + own)],
            "general": [found.omega_hierarchical, *general],
            "group": [found.groups_share, *own],
        },
        "phi": {
            "rows": oblique,
            "cols": oblique,
            "values": found.correlation[np.ix_(order, order)],
        },
    }
