"""The same model in several groups, with more and more held equal."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from lgpi_research.methods.latent.fit import fit_model
from lgpi_research.methods.latent.solution import compare_fits
from tests.adapters._latent import Load, estimates_of, frame_of, measures_of


def compute(case: dict[str, Any], load: Load) -> dict[str, Any]:
    inputs = case["inputs"]
    frame = frame_of(case, load)
    order = inputs["group_order"]
    code = frame[inputs["group"]].astype(str).map(order.index).to_numpy()
    answers = frame[inputs["items"]].to_numpy(dtype=float)
    fits = {
        step["name"]: fit_model(
            inputs["model"], answers, inputs["items"], groups=code, equal=step["equal"]
        )
        for step in inputs["steps"]
    }
    every = list(fits.values())
    tests = [compare_fits(one, other) for one, other in pairwise(every)]
    scalar = fits["scalar"]
    rows = scalar.table.rows
    return {
        "group_order": order,
        "fits": {name: measures_of(fit) for name, fit in fits.items()},
        "lrt": {
            "Df": [fit.measures.test.df for fit in every],
            "AIC": [fit.measures.aic for fit in every],
            "BIC": [fit.measures.bic for fit in every],
            "Chisq": [fit.measures.test.statistic for fit in every],
            "Chisq diff": [np.nan, *(test.statistic for test in tests)],
            "Df diff": [np.nan, *(test.df for test in tests)],
            "Pr(>Chisq)": [np.nan, *(test.p_value for test in tests)],
        },
        "scalar_estimates": {
            **estimates_of(scalar),
            "group": [row.group for row in rows],
            "block": [row.group for row in rows],
            "label": _labels(scalar.table.free_rows()),
        },
        "scalar_latent_means": {
            name: {factor: scalar.value(f"{factor} ~1", number) for factor in scalar.table.latent}
            for number, name in enumerate(order, 1)
        },
    }


def _labels(free: np.ndarray) -> list[str]:
    """Return a label for rows that are equal to others, as the reference names them."""
    rows = list(free)
    return [
        f".p{rows.index(number) + 1}." if number >= 0 and rows.count(number) > 1 else ""
        for number in rows
    ]
