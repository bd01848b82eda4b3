"""Answers to ordered items, checked and collapsed to patterns that differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError, Problems, listing

__all__ = ["Patterns", "read_patterns"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

MISSING = -1
"""Code of an answer that was not given."""
_MOST_CATEGORIES = 60


@dataclass(frozen=True, eq=False)
class Patterns:
    """Distinct patterns of answers, and who gave them.

    Attributes
    ----------
    codes : ndarray of int of shape (p, k)
        Answers as 0, 1, …; -1 where there is none.
    group : ndarray of int of shape (p,)
        Group of each pattern, from 0.
    weights, squares : ndarray of shape (p,)
        Sums of weights, and of their squares, over the respondents of a pattern.
    place : ndarray of int of shape (n,)
        Pattern of each respondent; -1 for those set aside, who answered nothing.
    respondent_weights : ndarray of shape (n,)
        Weights as they were given.
    categories : ndarray of int of shape (k,)
        Number of answers of each item.
    lowest : ndarray of shape (k,)
        Lowest answer of each item.
    groups : tuple
        Names of the groups, in rising order.
    """

    codes: Codes
    group: Codes
    weights: Floats
    squares: Floats
    place: Codes
    respondent_weights: Floats
    categories: Codes
    lowest: Floats
    groups: tuple[object, ...]

    @property
    def n_items(self) -> int:
        """Number of items."""
        return int(self.codes.shape[1])

    @property
    def n_used(self) -> int:
        """Respondents who answered something."""
        return int((self.place >= 0).sum())

    @property
    def n_dropped(self) -> int:
        """Respondents who answered nothing, or weigh nothing."""
        return int((self.place < 0).sum())

    def expand(self, values: Floats) -> Floats:
        """Return what belongs to patterns for each respondent; NaN for those set aside."""
        found = np.full((len(self.place), *values.shape[1:]), np.nan)
        used = self.place >= 0
        found[used] = values[self.place[used]]
        return found


def read_patterns(
    answers: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    groups: Sequence[object] | npt.NDArray[np.generic] | None = None,
    own: Sequence[int] = (),
) -> Patterns:
    """Check answers and collapse equal patterns.

    Parameters
    ----------
    answers : array_like of shape (n, k)
        Whole numbers; NaN is a missing answer.
    weights : array_like of shape (n,), optional
        Weights of at least 0.
    groups : sequence of length n, optional
        Group of each respondent; one group if it is not given.
    own : sequence of int, default ()
        Items, from 0, of which every group must have all answers, because their parameters
        are the group's own.

    Returns
    -------
    Patterns

    Raises
    ------
    MethodError
        With every problem: answers that are no whole numbers, items that nobody answered or
        that do not vary, answers between the lowest and the highest that nobody gave (empty
        categories), weights that are negative or missing, groups without answers.

    Examples
    --------
    >>> found = read_patterns([[1, 2], [2, 1], [1, 2], [np.nan, 2]])
    >>> found.codes.tolist(), found.weights.tolist()
    ([[-1, 1], [0, 1], [1, 0]], [1.0, 2.0, 1.0])
    """
    given = np.asarray(answers, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] < 1:
        raise MethodError(f"answers need shape (respondents, items), got {given.shape}.")
    n, k = given.shape
    problems = Problems("the answers")
    weight = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != (n,):
        raise MethodError(f"{n} respondents need {n} weights, got shape {weight.shape}.")
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        problems.add(f"{int(bad.sum())} weights are negative or missing; use 0 to leave out.")
    known = ~np.isnan(given)
    names, group = _group_codes(groups, n, problems)
    used = known.any(axis=1) & (weight > 0)
    lowest, categories = np.zeros(k), np.full(k, 2, dtype=np.intp)
    for item in range(k):
        inside = known[:, item] & used
        column = given[inside, item]
        problem = _problem_of(column)
        if problem is None:
            lowest[item] = column.min()
            counts = np.bincount((column - lowest[item]).astype(np.intp))
            categories[item] = len(counts)
            if item in own:
                table = np.zeros((len(names), len(counts)))
                np.add.at(table, (group[inside], (column - lowest[item]).astype(int)), 1.0)
                poor = np.flatnonzero((table == 0).any(axis=1))
                if len(poor):
                    told = (
                        f"{names[g]} ({_answers(np.flatnonzero(table[g] == 0) + lowest[item])})"
                        for g in poor
                    )
                    problem = (
                        f"{len(poor)} of {len(names)} groups have empty categories, so no "
                        f"parameters of their own: {listing(told)}. Merge answers, leave groups "
                        "out, or hold the item equal over groups."
                    )
        if problem is not None:
            problems.add(f"item {item + 1}: {problem}")
    lacking_groups = [str(names[g]) for g in range(len(names)) if not (used & (group == g)).any()]
    if lacking_groups:
        problems.add(f"groups without answers: {listing(lacking_groups)}.")
    problems.raise_any(MethodError)
    codes = np.where(known, given - lowest, float(MISSING)).astype(np.int16)[used]
    keyed = np.ascontiguousarray(np.column_stack([group[used].astype(np.int16), codes]))
    # Big-endian and shifted, so that bytes sort as numbers do.
    whole = np.ascontiguousarray((keyed + 1).astype(">u2")).view(f"V{2 * (k + 1)}").ravel()
    _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
    place = np.full(n, -1, dtype=np.intp)
    place[used] = inverse.ravel()
    return Patterns(
        codes=codes[first].astype(np.intp),
        group=group[used][first],
        weights=np.asarray(np.bincount(inverse.ravel(), weights=weight[used]), np.float64),
        squares=np.asarray(
            np.bincount(inverse.ravel(), weights=np.square(weight[used])), np.float64
        ),
        place=place,
        respondent_weights=weight,
        categories=categories,
        lowest=lowest,
        groups=names,
    )


def _group_codes(
    groups: Sequence[object] | npt.NDArray[np.generic] | None, n: int, problems: Problems
) -> tuple[tuple[object, ...], Codes]:
    if groups is None:
        return ("all",), np.zeros(n, dtype=np.intp)
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise MethodError(f"{n} respondents need {n} groups, got shape {labels.shape}.")
    lacking = labels != labels if labels.dtype.kind in "fO" else np.zeros(n, dtype=bool)
    lacking = np.asarray(lacking, dtype=bool)
    if lacking.any():
        problems.add(f"{int(lacking.sum())} respondents have no group; leave them out.")
        return ("all",), np.zeros(n, dtype=np.intp)
    names, codes = np.unique(labels, return_inverse=True)
    return tuple(names.tolist()), np.asarray(codes.ravel(), dtype=np.intp)


def _problem_of(column: Floats) -> str | None:
    """Return what is wrong with the answers to an item, or None."""
    if not len(column):
        return "nobody answered it; leave it out."
    odd = ~(np.isfinite(column) & (column == np.round(column)))
    if odd.any():
        return (
            f"{int(odd.sum())} answers are no whole numbers ({listing(np.unique(column[odd]))}). "
            "Code ordered answers as 1, 2, …."
        )
    low, high = column.min(), column.max()
    if low == high:
        return f"it never varies, all {len(column)} answers are {low:g}; leave it out."
    if high - low >= _MOST_CATEGORIES:
        return (
            f"answers run from {low:g} to {high:g}; at most {_MOST_CATEGORIES} categories can be "
            "fitted. Look for missing codes, or merge answers."
        )
    counts = np.bincount((column - low).astype(np.intp))
    empty = np.flatnonzero(counts == 0) + low
    if len(empty):
        return (
            f"nobody gave {_answers(empty)} between {low:g} and {high:g} (empty categories), "
            "so their intercepts have no estimate. Recode the answers without the gap."
        )
    return None


def _answers(values: npt.NDArray[np.generic]) -> str:
    shown = listing(f"{value:g}" for value in values.tolist())
    return f"answer{'s' if len(values) > 1 else ''} {shown}"
