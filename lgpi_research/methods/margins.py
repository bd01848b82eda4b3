"""Margins: categories of respondents, and how many there are of each in the population."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import DataError, Problems, listing

__all__ = ["Margin", "margin_columns", "read_margins"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_TOLERANCE = 1e-10  # relative difference between sums of margins that is rounding


@dataclass(frozen=True, eq=False)
class Margin:
    """The categories of the respondents, and how many there are of each in the population.

    Attributes
    ----------
    name : str
    labels : tuple of str
        Names of the categories.
    codes : ndarray of int of shape (n,)
        Category of each row.
    totals : ndarray of shape (n_categories,)
        Population of each category.
    """

    name: str
    labels: tuple[str, ...]
    codes: Ints
    totals: Floats


def read_margins(
    margins: Mapping[str, tuple[Iterable[object], Mapping[object, float]]],
    weights: npt.ArrayLike | None = None,
) -> tuple[Margin, ...]:
    """Match the categories of respondents with those of the population.

    Parameters
    ----------
    margins : mapping of str to (iterable of length n, mapping)
        For each variable, the category of each row, and the population of each category.
        Categories are the same if they read the same: 1, 1.0 and "1" are.
    weights : array_like of shape (n,), optional
        Rows of weight 0 are not asked for a category; all rows are if None.

    Returns
    -------
    tuple of Margin

    Raises
    ------
    DataError
        With every problem: rows without a category, categories without a population,
        populations without a respondent, populations that are not positive, categories
        named twice, and margins that add up to different populations.

    Examples
    --------
    >>> kind, size = read_margins({
    ...     "kind": (["a", "b", "a"], {"a": 30, "b": 10}), "size": ([1, 1, 2], {1: 15, 2: 25})
    ... })
    >>> kind.codes, size.labels
    (array([0, 1, 0]), ('1', '2'))
    """
    problems = Problems("the margins")
    found = []
    for name, (categories, population) in margins.items():
        rows = [_label(value) for value in categories]
        asked = (
            np.ones(len(rows), dtype=bool) if weights is None else np.asarray(weights, float) > 0
        )
        if len(asked) != len(rows):
            problems.add(f"{name}: {len(rows)} categories for {len(asked)} weights.")
            continue
        labels = [_label(value) or "" for value in population]
        twice = [label for label in dict.fromkeys(labels) if labels.count(label) > 1]
        if twice:
            problems.add(f"{name}: the population names {listing(twice)} more than once.")
            continue
        totals = np.array([float(count) for count in population.values()])
        where = {label: code for code, label in enumerate(labels)}
        codes = np.array([where.get(row or "", -1) for row in rows], dtype=np.int64)
        blank = asked & np.array([row is None for row in rows], dtype=bool)
        if blank.any():
            problems.add(
                f"{name}: {int(blank.sum())} of {int(asked.sum())} rows have no category (first "
                f"rows {listing(np.flatnonzero(blank) + 1, 3)}). Impute them, or make them a "
                "category with a population of its own."
            )
        strange = asked & (codes < 0) & ~blank
        if strange.any():
            some = listing(dict.fromkeys(rows[i] for i in np.flatnonzero(strange)))
            problems.add(
                f"{name}: {int(strange.sum())} rows are in categories without a population "
                f"({some}); there are {listing(labels, 10)}. Add their totals, or recode them."
            )
        bad = ~(np.isfinite(totals) & (totals > 0))
        if bad.any():
            shown = listing([f"{labels[i]} {totals[i]:g}" for i in np.flatnonzero(bad)])
            problems.add(f"{name}: populations must be positive, got {shown}.")
        empty = np.bincount(codes[asked & (codes >= 0)], minlength=len(labels)) == 0
        if empty.any():
            shown = listing([f"{labels[i]} {totals[i]:g}" for i in np.flatnonzero(empty)])
            problems.add(
                f"{name}: the population has categories without a respondent ({shown}). Join each "
                "to the one most like it, in both."
            )
        found.append(Margin(name, tuple(labels), np.where(codes < 0, 0, codes), totals))
    sums = [float(one.totals.sum()) for one in found]
    if len(sums) == len(margins) and sums and max(sums) - min(sums) > _TOLERANCE * max(sums):
        told = ", ".join(f"{one.name} {total:.12g}" for one, total in zip(found, sums, strict=True))
        problems.add(
            f"margins add up to different populations ({told}), and no weights can meet them all. "
            "Take them from one source, or scale them to one sum."
        )
    problems.raise_any(DataError)
    return tuple(found)


def _label(value: object) -> str | None:
    """Return how a category reads, None if it is missing."""
    if value is None or value != value:
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def margin_columns(margins: Sequence[Margin]) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Return margins as calibration variables: a column of 0 and 1 for each category.

    Returns
    -------
    columns : ndarray of shape (n, k)
    totals : ndarray of shape (k,)
    names : tuple of str
        ``"margin: category"``.

    Examples
    --------
    >>> margins = read_margins({"kind": (["a", "b", "a"], {"a": 30, "b": 10})})
    >>> margin_columns(margins)[0]
    array([[1., 0.],
           [0., 1.],
           [1., 0.]])
    """
    blocks = [(m.codes[:, None] == np.arange(len(m.labels))).astype(np.float64) for m in margins]
    names = tuple(f"{m.name}: {label}" for m in margins for label in m.labels)
    return np.hstack(blocks), np.concatenate([m.totals for m in margins]), names
