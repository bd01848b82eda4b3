"""What keeps a file of sums from telling one person's answers: merging of small clusters."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research.clusters import sorted_clusters
from lgpi_research.errors import DataError, listing

__all__ = ["merge_small_clusters", "small_differences"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


def merge_small_clusters(
    psus: pd.DataFrame, counts: Floats, minimum: npt.NDArray[np.int64]
) -> tuple[Ints, pd.DataFrame, list[str]]:
    """Join clusters within stratum and place until every count is 0 or at least a minimum.

    Parameters
    ----------
    psus : DataFrame of shape (n_psu, 3)
        ``psu``, ``stratum`` and ``place``, sorted by stratum and PSU.
    counts : ndarray of shape (n_psu, n_counts)
        Respondents behind each stored sum.
    minimum : ndarray of int of shape (n_counts,)
        What each count must reach, if it is not 0.

    Returns
    -------
    codes : ndarray of int of shape (n_psu,)
        Row of the merged PSUs that each PSU went to.
    merged : DataFrame of shape (n_merged, 3)
        The PSUs that are left, sorted; a merged one bears the names of its parts.
    names : list of str
        The names of those that were merged.

    Raises
    ------
    DataError
        If a PSU is too small and has no neighbour to be merged with, or merged ones would
        bear the name of another.
    """
    groups: list[list[int]] = []
    refused: list[str] = []
    for _, rows in psus.groupby(["stratum", "place"], sort=True).indices.items():
        found = _merge(counts, np.asarray(rows), minimum)
        groups.extend(found)
        if _small(counts[found[-1]].sum(axis=0), minimum):
            refused.extend(psus["psu"].iloc[found[-1]])
    if refused:
        raise DataError(
            f"{len(refused)} of {len(psus)} PSUs are too small to be written "
            f"({listing(refused)}): fewer than {minimum.max()} respondents stand behind some sum, "
            "and there is no neighbour in the same stratum and place to merge with. "
            "Join strata or places, keep fewer items or sums, or lower min_respondents."
        )
    labels = psus["psu"].to_numpy()
    merged = [" + ".join(labels[rows]) for rows in groups]
    twice = [name for name, times in Counter(merged).items() if times > 1]
    if twice:
        raise DataError(
            f"{len(twice)} merged PSUs would bear the name of another: {listing(twice)}. Rename it."
        )
    codes = np.empty(len(psus), dtype=np.intp)
    for number, members in enumerate(groups):
        codes[members] = number
    left = psus.iloc[[members[0] for members in groups]].assign(psu=merged)
    order = sorted_clusters(left)
    place_of = np.empty_like(order)
    place_of[order] = np.arange(len(order))
    names = [name for name, members in zip(merged, groups, strict=True) if len(members) > 1]
    return place_of[codes], left.iloc[order].reset_index(drop=True), names


def small_differences(answered: Sequence[tuple[str, ...]], counts: Floats, minimum: int) -> int:
    """Count the groups of a few respondents whose sums can be had by subtraction.

    Who answered items a and b also answered a. So the sums over those who answered a, less
    the sums over those who answered a and b, are sums over the others.

    Parameters
    ----------
    answered : sequence of tuple of str
        Items that the respondents behind each statistic answered.
    counts : ndarray of shape (n_psu, n_statistics)
        How many there are.
    minimum : int
        How many are enough.

    Returns
    -------
    int
        Clusters and pairs of nested statistics that differ by some respondents, but fewer
        than the minimum.

    Examples
    --------
    >>> small_differences([("a",), ("a", "b")], np.array([[9.0, 8.0], [9.0, 9.0], [9.0, 4.0]]), 5)
    1
    """
    sets = [frozenset(items) for items in answered]
    found = 0
    for one, within in itertools.permutations(range(len(sets)), 2):
        if sets[one] < sets[within]:
            differ = counts[:, one] - counts[:, within]
            found += int(((differ > 0) & (differ < minimum)).sum())
    return found


def _small(counts: Floats, minimum: npt.NDArray[np.int64]) -> bool:
    return bool(((counts > 0) & (counts < minimum)).any())


def _merge(counts: Floats, rows: Ints, minimum: npt.NDArray[np.int64]) -> list[list[int]]:
    """Join neighbouring rows until none of their counts is small; the last may stay small."""
    groups: list[list[int]] = []
    current: list[int] = []
    total = np.zeros(counts.shape[1])
    for row in rows.tolist():
        current.append(row)
        total += counts[row]
        if not _small(total, minimum):
            groups.append(current)
            current, total = [], np.zeros(counts.shape[1])
    if current:
        groups.append(current)
    while len(groups) > 1 and _small(counts[groups[-1]].sum(axis=0), minimum):
        last = groups.pop()
        groups[-1] = groups[-1] + last
    return groups
