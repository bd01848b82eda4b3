"""What every maker of tables uses: reading, and conversions that refuse surprises."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lgpi_research.errors import DataError, listing
from lgpi_research.moments import Moments

Made = tuple[pd.DataFrame, list[str]]
"""A table, and what the maker should know of how it came about."""


class MadeMoments(NamedTuple):
    """Moments, notes for the maker, and how many respondents must stand behind each sum."""

    moments: Moments
    notes: list[str]
    min_respondents: int = 5
    min_answers: int | None = None


def read(path: Path, texts: list[str], numbers: list[str]) -> pd.DataFrame:
    """Read columns of a source table; in numbers, "NA" and blanks are missing."""
    frame = pd.read_csv(
        path,
        usecols=[*texts, *numbers],
        dtype="str",
        encoding="utf-8-sig",
        keep_default_na=False,
    )
    for name in numbers:  # Python parses every decimal exactly, as not all pandas do
        values = frame[name].replace({"": "nan", "NA": "nan"})
        frame[name] = values.to_numpy("object").astype("float64")
    return frame


def whole(values: pd.Series) -> pd.Series:
    """Return counts and flags as integers."""
    if (values % 1 != 0).any():
        raise DataError(f"{values.name} holds missing or broken numbers; whole ones are needed.")
    return values.astype("int64")


def translate(values: pd.Series, words: Mapping[str, str], what: str) -> pd.Series:
    """Map values by an explicit list, and refuse those that are not on it."""
    found = values.map(words)
    if found.isna().any():
        unknown = listing(sorted(set(values[found.isna()].astype(str))))
        raise DataError(f"{what}: {int(found.isna().sum())} values are not on the list: {unknown}.")
    return found


def printed(values: pd.Series, decimals: int) -> pd.Series:
    """Return decimals as the provider printed them, without the noise of binary sums."""
    rounded = values.round(decimals)
    if ((values - rounded).abs() > 10.0 ** -(decimals + 2)).any():
        raise DataError(f"{values.name} has more than {decimals} decimals; nothing was rounded.")
    return rounded
