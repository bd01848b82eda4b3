"""Tables of answers: read as numbers, and what they are squared about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research.columns import to_numeric
from lgpi_research.errors import DataError, Problems, nearest
from lgpi_research.scales import Scale

__all__ = ["answer_table", "centres", "infinite_answers"]

Floats = npt.NDArray[np.float64]

_HEAD = 255  # answers of which one in the middle is the centre


def answer_table(
    answers: npt.ArrayLike | pd.DataFrame, items: Sequence[str] | None, where: str
) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Return answers as an array, and the names of its columns."""
    if isinstance(answers, pd.DataFrame):
        columns = [str(name) for name in answers.columns]
        names = tuple(columns if items is None else items)
        problems = Problems(where)
        for name in dict.fromkeys(names):
            if columns.count(name) != 1:
                found = columns.count(name)
                hint = nearest(name, columns) if not found else ""
                problems.add(f"{name}: {found or 'no'} columns have this name.{hint}")
        problems.raise_any(DataError)
        chosen = [columns.index(name) for name in names]
        whole = chosen == list(range(len(columns)))
        frame = answers if whole else answers.iloc[:, chosen]
        try:
            return frame.to_numpy(dtype=np.float64, na_value=np.nan), names
        except (TypeError, ValueError):  # text, dates: said, or read as the numbers they are
            return to_numeric(frame, names, where).to_numpy(), names
    table = np.asarray(answers)
    if table.ndim != 2 or table.dtype.kind not in "fiub":
        raise DataError(
            f"answers must be numbers in a table of respondents by items, got {table.dtype} of "
            f"shape {table.shape}."
        )
    names = tuple(items or (f"item {i + 1}" for i in range(table.shape[1])))
    if len(names) != table.shape[1]:
        raise DataError(f"{len(names)} items are named, and the table has {table.shape[1]}.")
    return table, names


def infinite_answers(
    table: npt.NDArray[Any], names: tuple[str, ...], columns: list[list[int]]
) -> list[str]:
    """Say which items have infinite answers; one sum tells if there can be any."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(table.sum(dtype=np.float64)):
            return []
    odd = np.isinf(table).sum(axis=0)
    used = sorted({column for chosen in columns for column in chosen if odd[column]})
    return [f"{names[i]}: {odd[i]} of {len(table)} answers are infinite." for i in used]


def centres(table: npt.NDArray[Any], scales: Sequence[Scale], columns: list[list[int]]) -> Floats:
    """Return a middling answer to each item of each scale among the first, 0 if there is none.

    An answer that was given keeps whole numbers whole, so that their sums are exact. Pair
    counts depend on no centre.
    """
    found = []
    for scale, chosen in zip(scales, columns, strict=True):
        head = np.sort(table[:_HEAD, chosen].astype(np.float64), axis=0)  # NaN go last
        known = (~np.isnan(head)).sum(axis=0)
        if len(head) and scale.needs != "pair counts":
            middle = head[np.maximum(known - 1, 0) // 2, np.arange(len(chosen))]
            found.append(np.where(known > 0, middle, 0.0) * scale.signs)
        else:
            found.append(np.zeros(len(chosen)))
    return np.concatenate(found)
