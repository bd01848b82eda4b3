"""Sums over the answers of clusters: their columns, and what can be had from them.

A layout says which sums of a table of answers are kept for each cluster, how they are
made, how they move with the centre of the answers, and how many respondents they rest
on. Sums of clusters add up, so everything here works on any weighted sum of rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from lgpi_research.methods.consistency import Spread
from lgpi_research.methods.polychoric import PairCounts

__all__ = ["LAYOUTS", "Layout", "add_rows", "one_hot", "pair_counts_layout", "pair_counts_of"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

_ROWS = 2048  # answers read at a time: they stay in the processor's cache


@dataclass(frozen=True)
class Layout:
    """The sums that are kept of k items.

    Attributes
    ----------
    width : callable
        ``width(k)``: how many columns there are.
    n_counts : callable
        ``n_counts(k)``: how many of them, the first, count respondents: those that are
        used, then those of each item or pair of items if they may differ, then those of
        each answer if answers are counted.
    add : callable
        ``add(block, x, weights, codes)`` adds answers x (n, k), of which NaN are
        missing, to the sums (n_clusters, width) of their clusters, in place.
    shift : callable
        ``shift(block, by)`` turns the sums of x into those of ``x - by``, in place.
    spread : callable or None
        ``spread(sums, k)`` returns the `Spread` of the items from sums (…, width), NaN
        where fewer than two respondents are left; None if only means were kept.
    by_cluster : bool
        Whether `add` wants the rows of a cluster beside each other.
    n_sets : callable
        ``n_sets(k)``: how many columns, the first, count the respondents behind a
        statistic: `n_counts` without those of each answer.
    """

    width: Callable[[int], int]
    n_counts: Callable[[int], int]
    add: Callable[[Floats, Floats, Floats, Ints], None]
    shift: Callable[[Floats, Floats], None]
    spread: Callable[[Floats, int], Spread] | None
    by_cluster: bool
    n_sets: Callable[[int], int]


def add_rows(
    layout: Layout,
    block: Floats,
    table: npt.NDArray[Any],
    columns: list[int],
    sign: Floats,
    centre: Floats,
    weights: Floats,
    codes: Ints,
) -> None:
    """Add the answers ``sign * table[:, columns] - centre`` to the sums of their clusters.

    Parameters
    ----------
    layout : Layout
        Which sums.
    block : ndarray of shape (n_clusters, width)
        Changed in place.
    table : ndarray of shape (n, …)
        Answers of any numeric type; they are read in chunks that fit the cache.
    columns : list of int
        The k items.
    sign, centre : ndarray of shape (k,)
        What answers are multiplied with, and what is then subtracted.
    weights : ndarray of shape (n,)
    codes : ndarray of shape (n,)
        Cluster of each row.
    """
    whole = columns == list(range(table.shape[1]))
    turned = bool((sign < 0).any())
    order = np.argsort(codes, kind="stable") if layout.by_cluster else None
    for start in range(0, len(codes), _ROWS):
        chunk = slice(start, start + _ROWS)
        rows = chunk if order is None else order[chunk]
        answers = table[rows] if whole else table[rows][:, columns]
        x = (answers * sign if turned else answers) - centre
        layout.add(block, x, weights[rows], codes[rows])


def one_hot(codes: Ints, n_groups: int, weights: Floats | None = None) -> sparse.csr_array:
    """Return the matrix (n_groups, n) whose product with a table adds up its rows by group."""
    values = np.ones(len(codes)) if weights is None else weights
    return sparse.csr_array((values, (codes, np.arange(len(codes)))), (n_groups, len(codes)))


def _square(upper: Floats, k: int) -> Floats:
    """Return symmetric matrices (…, k, k) from their upper triangles (…, k(k + 1)/2)."""
    number = np.zeros((k, k), dtype=np.intp)
    rows, columns = np.triu_indices(k)
    number[rows, columns] = number[columns, rows] = np.arange(len(rows))
    return np.asarray(upper[..., number])


def _pairs(k: int) -> int:
    return k * (k + 1) // 2


def _count_complete(_: int) -> int:
    return 1


def _count_items(k: int) -> int:
    return 1 + k


def _count_pairs(k: int) -> int:
    return 1 + _pairs(k)


# Means: respondents with an answer; of each item its answers, their weights, their sums.


def _add_means(block: Floats, x: Floats, w: Floats, codes: Ints) -> None:
    k = x.shape[1]
    seen = ~np.isnan(x)
    counts = np.column_stack([seen.any(axis=1), seen]).astype(float)
    block[:, : 1 + k] += np.asarray(one_hot(codes, len(block)) @ counts)
    gather = one_hot(codes, len(block), w)
    block[:, 1 + k : 1 + 2 * k] += np.asarray(gather @ counts[:, 1:])
    block[:, 1 + 2 * k :] += np.asarray(gather @ np.where(seen, x, 0.0))


def _shift_means(block: Floats, by: Floats) -> None:
    k = len(by)
    block[:, 1 + 2 * k :] -= block[:, 1 + k : 1 + 2 * k] * by


# Variances: complete respondents, weight, sums, squares, squares of the sum score.


def _add_variances(block: Floats, x: Floats, w: Floats, codes: Ints) -> None:
    k = x.shape[1]
    score = x.sum(axis=1)
    complete = ~np.isnan(score)
    if not complete.all():
        x, w, codes, score = x[complete], w[complete], codes[complete], score[complete]
    gather = one_hot(codes, len(block), w)
    block[:, 0] += np.bincount(codes, minlength=len(block))
    block[:, 1] += np.bincount(codes, w, len(block))
    block[:, 2 : 2 + k] += np.asarray(gather @ x)
    block[:, 2 + k : 2 + 2 * k] += np.asarray(gather @ np.square(x))
    block[:, -1] += np.bincount(codes, w * np.square(score), len(block))


def _shift_variances(block: Floats, by: Floats) -> None:
    k, move = len(by), by.sum()
    weight, sums = block[:, 1:2], block[:, 2 : 2 + k].copy()
    block[:, 2 : 2 + k] -= weight * by
    block[:, 2 + k : 2 + 2 * k] += weight * by**2 - 2 * sums * by
    block[:, -1] += weight[:, 0] * move**2 - 2 * move * sums.sum(axis=1)


def _divisor(weight: Floats, n: Floats) -> Floats:
    """Return what sums of squares are divided by: NaN unless two respondents are left."""
    return np.where(n > 1, weight * (n - 1) / n, np.nan)


def _variances(sums: Floats, k: int) -> Spread:
    """Return the spread of items from sums of the layout "variances", shape (…, 2k + 3)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        n, weight, first = sums[..., 0], sums[..., 1], sums[..., 2 : 2 + k]
        divisor = _divisor(weight, n)
        items = sums[..., 2 + k : 2 + 2 * k] - np.square(first) / weight[..., None]
        total = sums[..., -1] - np.square(first.sum(axis=-1)) / weight
        return Spread(items / divisor[..., None], total / divisor)


# Listwise covariances: complete respondents, weight, sums, products of pairs.


def _by_cluster(codes: Ints) -> list[tuple[int, slice]]:
    """Return the clusters of sorted codes and where their rows are."""
    edges = [*np.flatnonzero(np.diff(codes, prepend=-1)).tolist(), len(codes)]
    return [(int(codes[s]), slice(s, e)) for s, e in itertools.pairwise(edges)]


def _add_products(block: Floats, x: Floats, w: Floats, codes: Ints) -> None:
    k = x.shape[1]
    complete = ~np.isnan(x.sum(axis=1))
    if not complete.all():
        x, w, codes = x[complete], w[complete], codes[complete]
    gather = one_hot(codes, len(block), w)
    block[:, 0] += np.bincount(codes, minlength=len(block))
    block[:, 1] += np.bincount(codes, w, len(block))
    block[:, 2 : 2 + k] += np.asarray(gather @ x)
    weighted, upper = w[:, None] * x, np.triu_indices(k)
    for cluster, rows in _by_cluster(codes):
        block[cluster, 2 + k :] += (weighted[rows].T @ x[rows])[upper]


def _shift_products(block: Floats, by: Floats) -> None:
    k = len(by)
    weight, sums = block[:, 1:2], block[:, 2 : 2 + k].copy()
    block[:, 2 : 2 + k] -= weight * by
    rows, columns = np.triu_indices(k)
    block[:, 2 + k :] += (
        weight * by[rows] * by[columns] - sums[:, rows] * by[columns] - sums[:, columns] * by[rows]
    )


def _listwise(sums: Floats, k: int) -> Spread:
    """Return the spread of items from sums of the layout "listwise"."""
    with np.errstate(divide="ignore", invalid="ignore"):
        n, weight, first = sums[..., 0], sums[..., 1], sums[..., 2 : 2 + k]
        divisor = _divisor(weight, n)
        outer = first[..., :, None] * first[..., None, :]
        product = _square(sums[..., 2 + k :], k) - outer / weight[..., None, None]
        return Spread.from_covariance(product / divisor[..., None, None])


# Pairwise covariances: respondents with an answer; of each pair its respondents, weight and
# product; of each ordered pair the sum of the first over those who answered both.


def _add_pairwise(block: Floats, x: Floats, w: Floats, codes: Ints) -> None:
    k, upper, pairs = x.shape[1], np.triu_indices(x.shape[1]), _pairs(x.shape[1])
    seen = ~np.isnan(x)
    mask, values = seen.astype(float), np.where(seen, x, 0.0)
    weighted, product = w[:, None] * mask, w[:, None] * values
    block[:, 0] += np.bincount(codes, seen.any(axis=1), len(block))
    for cluster, rows in _by_cluster(codes):
        sums, m, v = block[cluster], mask[rows], values[rows]
        sums[1 : 1 + pairs] += (m.T @ m)[upper]
        sums[1 + pairs : 1 + 2 * pairs] += (weighted[rows].T @ m)[upper]
        sums[1 + 2 * pairs : 1 + 3 * pairs] += (product[rows].T @ v)[upper]
        sums[1 + 3 * pairs :] += (v.T @ weighted[rows]).reshape(k * k)


def _parts(sums: Floats, k: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return counts, weights, products and sums, each as matrices (…, k, k)."""
    pairs = _pairs(k)
    n, weight, product = (
        _square(sums[..., 1 + i * pairs : 1 + (i + 1) * pairs], k) for i in range(3)
    )
    return n, weight, product, sums[..., 1 + 3 * pairs :].reshape(*sums.shape[:-1], k, k)


def _shift_pairwise(block: Floats, by: Floats) -> None:
    k, upper, pairs = len(by), np.triu_indices(len(by)), _pairs(len(by))
    _, weight, _, first = _parts(block, k)
    change = weight * np.outer(by, by) - by[:, None] * np.swapaxes(first, 1, 2) - first * by
    block[:, 1 + 2 * pairs : 1 + 3 * pairs] += change[:, upper[0], upper[1]]
    block[:, 1 + 3 * pairs :] -= (weight * by[:, None]).reshape(-1, k * k)


def _pairwise(sums: Floats, k: int) -> Spread:
    """Return the spread of items from sums of the layout "pairwise"."""
    with np.errstate(divide="ignore", invalid="ignore"):
        n, weight, product, first = _parts(sums, k)
        centred = product - first * np.swapaxes(first, -1, -2) / weight
        return Spread.from_covariance(centred / _divisor(weight, n))


# Pair counts: respondents used; if pairwise, those of each pair; those of each answer to each
# item; then the weights of each answer, and of each pair of answers to each pair of items.


def pair_counts_layout(categories: Floats, *, listwise: bool) -> Layout:
    """Return the layout of counts of pairs of answers.

    Such counts do not depend on the centre: add answers about 0.

    Parameters
    ----------
    categories : ndarray of shape (k, m)
        The m answers that each item allows, in order; other answers count nowhere.
    listwise : bool
        Whether only respondents count who answered every item.

    Returns
    -------
    Layout
        Its columns are read with `pair_counts_of`.
    """
    most = categories.shape[1]
    n_sets = _count_complete if listwise else _count_pairs
    return Layout(
        lambda k: n_sets(k) + k * most + len(_cells(k, most)[0]),
        lambda k: n_sets(k) + k * most,
        partial(_add_pair_counts, categories, listwise),
        _stay,
        None,
        by_cluster=True,
        n_sets=n_sets,
    )


def pair_counts_of(sums: Floats, k: int, most: int) -> PairCounts:
    """Return the counts of pairs of answers from sums of their layout, shape (…, width).

    Parameters
    ----------
    sums : ndarray of shape (…, width)
        Leading axes are replicates.
    k, most : int
        Items, and answers that each allows.

    Returns
    -------
    PairCounts
        Weighted, with leading axes (…).
    """
    rows, columns = _cells(k, most)
    cells = sums[..., sums.shape[-1] - len(rows) :]
    counts = np.zeros((*sums.shape[:-1], k * most, k * most))
    counts[..., rows, columns] = cells
    counts[..., columns, rows] = cells
    return PairCounts(counts, (most,) * k)


@lru_cache(maxsize=32)
def _cells(k: int, most: int) -> tuple[Ints, Ints]:
    """Return which entries of the matrix of counts are kept: the rest repeat them or are 0."""
    item = np.arange(k * most) // most
    rows, columns = np.triu_indices(k * most)
    kept = (rows == columns) | (item[rows] != item[columns])
    return rows[kept], columns[kept]


def _add_pair_counts(
    categories: Floats, listwise: bool, block: Floats, x: Floats, w: Floats, codes: Ints
) -> None:
    k, most = categories.shape
    seen = ~np.isnan(x)
    used = seen.all(axis=1) if listwise else seen.any(axis=1)
    if not used.all():
        x, w, codes, seen = x[used], w[used], codes[used], seen[used]
    marks = (x[:, :, None] == categories).reshape(len(x), k * most).astype(float)
    mask, upper, (rows, columns) = seen.astype(float), np.triu_indices(k), _cells(k, most)
    sets = (_count_complete if listwise else _count_pairs)(k)
    gather = one_hot(codes, len(block))
    block[:, 0] += np.bincount(codes, minlength=len(block))
    block[:, sets : sets + k * most] += np.asarray(gather @ marks)
    weighted = w[:, None] * marks
    for cluster, within in _by_cluster(codes):
        if not listwise:
            block[cluster, 1:sets] += (mask[within].T @ mask[within])[upper]
        counted = weighted[within].T @ marks[within]
        block[cluster, sets + k * most :] += counted[rows, columns]


def _stay(block: Floats, by: Floats) -> None:
    """Leave sums as they are: they do not depend on the centre."""


LAYOUTS = {
    "means": Layout(
        lambda k: 1 + 3 * k,
        _count_items,
        _add_means,
        _shift_means,
        None,
        by_cluster=False,
        n_sets=_count_items,
    ),
    "variances": Layout(
        lambda k: 3 + 2 * k,
        _count_complete,
        _add_variances,
        _shift_variances,
        _variances,
        by_cluster=False,
        n_sets=_count_complete,
    ),
    "listwise": Layout(
        lambda k: 2 + k + _pairs(k),
        _count_complete,
        _add_products,
        _shift_products,
        _listwise,
        by_cluster=True,
        n_sets=_count_complete,
    ),
    "pairwise": Layout(
        lambda k: 1 + 3 * _pairs(k) + k * k,
        _count_pairs,
        _add_pairwise,
        _shift_pairwise,
        _pairwise,
        by_cluster=True,
        n_sets=_count_pairs,
    ),
}
"""Layouts by name; that of pair counts depends on the answers (`pair_counts_layout`)."""
