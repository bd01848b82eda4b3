"""The six intraclass correlations, from analysis of variance or restricted likelihood."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods.icc import Squares, intraclass, mean_squares, mixed_squares


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    table = load(case["data"][0])
    if inputs.get("layout", "wide") == "long":
        table = table.pivot(
            index=inputs["subjects"], columns=inputs["raters"], values=inputs["values"]
        )
        ratings = table.to_numpy(float)
    else:
        ratings = table[inputs["raters"]].to_numpy(float)
    missing = inputs.get("missing", "none")
    if missing == "listwise":
        ratings = ratings[~np.isnan(ratings).any(axis=1)]
    if inputs["method"] == "reml":
        squares = mixed_squares(ratings)
    elif missing == "available" and np.isnan(ratings).any():
        squares = _sequential_squares(ratings)
    else:
        squares = mean_squares(ratings)
    forms = intraclass(squares, level=inputs["confidence"])
    return {
        "results": {
            "type": [_name(form.alias) for form in forms],
            "ICC": [form.estimate for form in forms],
            "F": [form.f for form in forms],
            "df1": [form.df1 for form in forms],
            "df2": [form.df2 for form in forms],
            "p": [form.p_value for form in forms],
            "lower bound": [form.ci_low for form in forms],
            "upper bound": [form.ci_high for form in forms],
        }
    }


def _sequential_squares(ratings: np.ndarray) -> Squares:
    """Return the mean squares of a table with gaps: of subjects, then of raters given them.

    The reference puts these, with the size of the whole table, into the formulas of tables
    without gaps. The package offers REML instead, which needs no such stand-in.
    """
    n, k = ratings.shape
    subject, rater = np.nonzero(~np.isnan(ratings))
    y = ratings[subject, rater]
    sizes = np.bincount(subject, minlength=n)
    means = np.bincount(subject, y, n) / np.fmax(sizes, 1)
    units = (sizes * (means - y.mean()) ** 2).sum()
    within = ((y - means[subject]) ** 2).sum()
    design = np.column_stack([subject[:, None] == np.arange(n), rater[:, None] == np.arange(1, k)])
    coefficients, _, rank, _ = np.linalg.lstsq(design.astype(float), y, rcond=None)
    residual = ((y - design @ coefficients) ** 2).sum()
    seen = int((sizes > 0).sum())
    return Squares(
        units=units / (seen - 1),
        coders=(within - residual) / (rank - seen),
        residual=residual / (len(y) - rank),
        within=within / (len(y) - seen),
        n_units=n,
        n_coders=k,
    )


def _name(alias: str) -> str:
    """Return ICC(2,1) as ICC2, and ICC(2,k) as ICC2k."""
    model, unit = alias.removeprefix("ICC(").removesuffix(")").split(",")
    return f"ICC{model}{'k' if unit == 'k' else ''}"
