"""What every describer does first: take its tables, and check their keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from lgpi_research.errors import DataError, Problems, SpecError, listing, nearest
from lgpi_research.moments import Moments

__all__ = ["Tables", "check_key", "take", "take_moments"]

Tables = Mapping[str, pd.DataFrame | Moments]
"""Tables and moments by name."""


def take(tables: Tables, name: str, columns: Iterable[str], problems: Problems) -> pd.DataFrame:
    """Return a table by name; add to the problems what it lacks."""
    if name not in tables:
        known = listing(tables, most=12) or "none"
        problems.add(f"there is no table {name!r}.{nearest(name, tables)} Tables: {known}.")
        return pd.DataFrame()
    frame = tables[name]
    if isinstance(frame, Moments):
        problems.add(f"{name} holds moments, and a table is needed.")
        return pd.DataFrame()
    present = [str(column) for column in frame.columns]
    for column in dict.fromkeys(columns):
        if column not in present:
            problems.add(f"{name} has no column {column!r}.{nearest(column, present)}")
    return frame


def take_moments(tables: Tables, name: str, description: str) -> Moments:
    """Return moments by name, for a description.

    Raises
    ------
    SpecError
        If there are none of that name.
    """
    data = tables.get(name)
    if isinstance(data, Moments):
        return data
    known = [key for key, one in tables.items() if isinstance(one, Moments)]
    what = "holds no moments" if name in tables else "is not among the sources"
    raise SpecError(
        f"the description {description!r}: {name!r} {what}.{nearest(name, known)} Moments: "
        f"{listing(known) or 'none'}."
    )


def check_key(frame: pd.DataFrame, key: Sequence[str], name: str) -> None:
    """Refuse a table in which a key is blank or stands twice."""
    problems = Problems(name)
    keys = frame[list(key)]
    if keys.isna().any(axis=None):
        problems.add(f"{', '.join(key)}: blank in {int(keys.isna().any(axis=1).sum())} rows.")
    if (twice := keys.duplicated()).any():
        shown = listing(" ".join(map(str, row)) for row in keys[twice].to_numpy())
        problems.add(f"{', '.join(key)} is not unique: {int(twice.sum())} rows repeat ({shown}).")
    problems.raise_any(DataError)
