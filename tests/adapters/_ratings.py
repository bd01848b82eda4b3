"""What the agreement capabilities share: reading ratings, which may be text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd


def read_ratings(
    table: pd.DataFrame, raters: Sequence[str], missing: str | None = None
) -> tuple[npt.NDArray[np.float64], dict[float, str]]:
    """Return the ratings as numbers, NaN where there is none, and what the numbers stand for.

    Categories of text become their places in rising order, from 1.
    """
    given = table[list(raters)]
    if missing == "listwise":
        given = given.dropna()
    if all(pd.api.types.is_numeric_dtype(given[name]) for name in given):
        ratings = given.to_numpy(float)
        found = np.unique(ratings[~np.isnan(ratings)])
        return ratings, {value: f"{value:.15g}" for value in found.tolist()}
    text = given.map(_text, na_action="ignore").astype(object).to_numpy()
    known = ~pd.isna(text)
    labels, places = np.unique(text[known].astype(str), return_inverse=True)
    ratings = np.full(text.shape, np.nan)
    ratings[known] = places + 1.0
    return ratings, dict(enumerate(labels.tolist(), start=1))


def _text(value: object) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)
