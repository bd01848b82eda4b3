"""Guttman's lambdas, ten Berge's series, the greatest lower bound and all split halves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods import consistency, guttman
from lgpi_research.methods.consistency import Spread
from lgpi_research.moments import Moments


def answers_of(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> pd.DataFrame:
    """Return the answers of a case, turned and chosen as it says."""
    inputs = case["inputs"]
    answers = load(case["data"][0]).dropna(subset=inputs["complete_on"] or [])
    answers = answers[inputs["items"]].astype(float)
    for item in set(inputs["reverse"]).intersection(answers):
        answers[item] = sum(inputs["reverse"][item]) - answers[item]
    return answers


def covariance_of(answers: pd.DataFrame, missing: str) -> Spread:
    """Return how items vary."""
    return Moments.from_answers(answers, psu=np.arange(len(answers)), missing=missing).spread()


def spread_of(answers: pd.DataFrame, inputs: dict[str, Any]) -> Spread:
    """Return how the items of a case vary, in the matrix that it takes the bounds from."""
    if inputs["matrix"] == "correlation" and inputs["missing"] == "pairwise":
        # The reference takes both variances, too, over the rows that have the two items.
        return Spread.from_covariance(answers.corr().to_numpy())
    return covariance_of(answers, inputs["missing"])


def bounds(spread: Spread, standardise: bool) -> dict[str, Any]:
    """Return the lambdas and the series of a set of items."""
    whole = spread.covariance
    used = Spread.from_covariance(consistency.correlation(whole)) if standardise else spread
    return {
        "lambda1": guttman.lambda1(spread, standardise=standardise),
        "lambda2": guttman.lambda2(spread, standardise=standardise),
        "lambda3": consistency.alpha(used),
        "lambda4": guttman.lambda4(spread, standardise=standardise),
        "lambda5": guttman.lambda5(spread, standardise=standardise),
        "lambda6": consistency.lambda6(spread, standardise=standardise),
        "tenberge": {
            f"mu{order}": guttman.ten_berge(spread, order=order, standardise=standardise)
            for order in range(4)
        },
        "average_item_r": consistency.average_r(spread),
        "median_item_r": np.median(consistency.inter_item(whole)),
    }


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    answers = answers_of(case, load)
    spread = spread_of(answers, inputs)
    standardise = inputs["matrix"] == "correlation"
    matrix = consistency.correlation(spread.covariance) if standardise else spread.covariance
    splits = guttman.split_halves(matrix)
    given = covariance_of(answers, inputs["missing"])
    glb = guttman.glb(given, standardise=inputs.get("glb_matrix") == "correlation")
    return bounds(spread, standardise) | {
        "split_max": splits.best,
        "split_min": splits.values[0],
        "split_mean": splits.values.mean(),
        "split_median": np.median(splits.values),
        "split_all_sorted": splits.values,
        "split_n": splits.n_splits,
        "glb_cov": glb,
    }
