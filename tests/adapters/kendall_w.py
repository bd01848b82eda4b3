"""Kendall's W, the mean rank correlation, and intraclass correlations of the same table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from lgpi_research.errors import MethodError
from lgpi_research.methods.icc import (
    Squares,
    agreement_df,
    agreement_interval,
    intraclass,
    mean_squares,
    spearman_brown,
)
from lgpi_research.methods.kappa import kendall_w, rank_correlations


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    ratings = load(case["data"][0])[inputs["raters"]].to_numpy(float)
    corrected, plain = kendall_w(ratings), kendall_w(ratings, ties=False)
    squares = mean_squares(ratings)
    return {
        "W_ties": corrected.estimate,
        "chisq_ties": corrected.chi_square,
        "p_ties": corrected.p_value,
        "W": plain.estimate,
        "chisq": plain.chi_square,
        "p": plain.p_value,
        "mean_spearman": _mean_correlation(ratings),
        **{
            key: _icc(squares, inputs["confidence"], **form)
            for key, form in inputs.get("iccs", {}).items()
        },
    }


def _mean_correlation(ratings: np.ndarray) -> float | None:
    """Return the mean of the rank correlations on Fisher's scale, None if one does not exist."""
    try:
        pairs = rank_correlations(ratings)[np.triu_indices(ratings.shape[1], 1)]
    except MethodError:  # a rater ranked nothing
        return None
    pairs = pairs[np.abs(pairs) < 1 - 1e-12]  # Fisher's z of a perfect correlation is infinite
    return float(np.tanh(np.arctanh(pairs).mean())) if len(pairs) else None


def _icc(squares: Squares, level: float, model: str, type: str, unit: str) -> dict[str, Any]:  # noqa: A002
    size = "1" if unit == "single" else "k"
    letter = {"agreement": "A", "consistency": "C"}[type]
    name = f"ICC({size})" if model == "oneway" else f"ICC({letter},{size})"
    form = next(form for form in intraclass(squares, level=level) if form.name == name)
    told = {
        "value": form.estimate,
        "F": form.f,
        "df1": form.df1,
        "df2": form.df2,
        "p": form.p_value,
        "lower": form.ci_low,
        "upper": form.ci_high,
    }
    if name.startswith("ICC(A"):
        # The program takes the degrees of freedom at the estimate of the form itself, also for
        # the mean of k ratings, where that of one is what McGraw and Wong's formula calls for.
        df2 = agreement_df(squares, form.estimate)
        ends = np.array(agreement_interval(squares, level=level, at=form.estimate))
        low, high = ends if unit == "single" else spearman_brown(ends, squares.n_coders)
        told |= {"df2": df2, "p": stats.f.sf(form.f, form.df1, df2), "lower": low, "upper": high}
    return told
