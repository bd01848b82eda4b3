"""Fixed effects of any number of ways, projected out of a regression exactly.

Effects are dummies, one a level and way. They are never formed. Of the normal
equations the way with most levels is eliminated by its means; what remains is a
system in the levels of the other ways alone (the Schur complement), which is solved
by a factorisation if it is small and by conjugate gradients if it is large.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse
from scipy.sparse import csgraph

from lgpi_research.errors import MethodError

__all__ = ["Effects", "absorb_effects", "compact", "effect_levels", "is_nested", "project"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
Solver = Callable[[Floats], Floats]

DENSE_LEVELS = 2_000  # beyond this, factoring the Schur complement takes seconds
DENSE_CELLS = 20_000_000
DENSE_WORK = 5e9
RANK_TOLERANCE = 1e-9
MOST_STEPS = 5_000


@dataclass(frozen=True, eq=False)
class Effects:
    """Fixed effects made ready to be projected out.

    Attributes
    ----------
    codes : tuple of ndarray of shape (n,)
        For each way the level of each row, numbered from 0 without gaps.
    sizes : tuple of int
        Number of levels of each way.
    weights : ndarray of shape (n,) or None
        Weights of the rows; None are equal weights.
    rank : int
        Dimension of the space spanned by all dummies together.
    """

    codes: tuple[Codes, ...]
    sizes: tuple[int, ...]
    weights: Floats | None
    rank: int
    _first: int
    _totals: Floats
    _table: Floats | sparse.csr_array | None
    _solve: Solver | None

    @property
    def singletons(self) -> int:
        """Number of rows that are alone in a level, and so say nothing about a slope."""
        alone = [
            np.bincount(c, minlength=size)[c] == 1
            for c, size in zip(self.codes, self.sizes, strict=True)
        ]
        return int(np.logical_or.reduce(alone).sum()) if alone else 0


def compact(codes: npt.ArrayLike) -> tuple[Codes, int]:
    """Return groups as numbers from 0 without gaps, in their sorted order.

    Parameters
    ----------
    codes : array_like of shape (n,)
        Groups: whole numbers or anything else that can be sorted.

    Returns
    -------
    codes : ndarray of shape (n,)
    size : int
        Number of groups.

    Raises
    ------
    MethodError
        If there are none, or some are missing or cannot be sorted.

    Examples
    --------
    >>> compact([7, 3, 7])
    (array([1, 0, 1]), 2)
    """
    values = np.asarray(codes)
    if values.ndim != 1 or values.size == 0:
        raise MethodError(f"groups must be a list of n > 0 values, got shape {values.shape}.")
    if values.dtype.kind in "iu" and values.min() >= 0 and values.max() < 4 * values.size + 64:
        seen = np.bincount(values) > 0
        number = values.astype(np.intp)
        if not seen.all():
            number = (np.cumsum(seen) - 1)[number]
        return number, int(seen.sum())
    try:
        missing = int((values != values).sum()) if values.dtype.kind in "fO" else 0
        found, number = np.unique(values, return_inverse=True)
    except TypeError:  # of None, pandas' NA, or numbers beside texts
        raise MethodError("groups are missing, or of kinds that cannot be sorted.") from None
    if missing:
        raise MethodError(f"groups are missing in {missing} of {values.size} rows.")
    return number.astype(np.intp), found.size


def is_nested(codes: Codes, groups: Codes) -> bool:
    """Say whether every level lies in one group.

    Examples
    --------
    >>> is_nested(np.array([0, 0, 1]), np.array([1, 1, 1]))
    True
    """
    home = np.empty(int(codes.max()) + 1, dtype=np.intp)
    home[codes] = groups
    return bool((home[codes] == groups).all())


def absorb_effects(
    ways: Sequence[npt.ArrayLike], weights: npt.NDArray[np.float64] | None = None
) -> Effects:
    r"""Make fixed effects ready to be projected out of any number of columns.

    Parameters
    ----------
    ways : sequence of array_like of shape (n,)
        For each way of effects the level of each row.
    weights : ndarray of shape (n,), optional
        Positive weights of the rows.

    Returns
    -------
    Effects

    Raises
    ------
    MethodError
        If there is no way, lengths differ, a level is missing, a weight is not positive,
        or there are three or more ways of which all but the largest have more than
        2,000 levels together, so that their rank cannot be told.

    Notes
    -----
    With the dummies :math:`D_1` of the way with most levels and :math:`D_2` of all
    others, and :math:`N_1 = D_1'WD_1`, the levels of the others solve

    .. math::

        (D_2'WD_2 - D_2'WD_1 N_1^{-1} D_1'WD_2)\,a_2
            = D_2'Wx - D_2'WD_1 N_1^{-1} D_1'Wx.

    The rank of two ways is the number of levels less the number of connected
    components of the graph that joins levels which share a row [1]_. For more ways it is
    the number of eigenvalues of the scaled matrix above 1e-9.

    References
    ----------
    .. [1] Abowd, J. M., Creecy, R. H., and Kramarz, F. (2002). *Computing person and firm
       effects using linked longitudinal employer-employee data*. Technical paper
       2002-06, U.S. Census Bureau.

    Examples
    --------
    >>> effects = absorb_effects([[0, 0, 1, 1], [0, 1, 0, 1]])
    >>> effects.rank
    3
    >>> project(effects, np.array([1.0, 2.0, 3.0, 6.0])).round(2)
    array([ 0.5, -0.5, -0.5,  0.5])
    """
    made = [compact(way) for way in ways]
    if not made:
        raise MethodError("there are no effects to absorb.")
    codes, sizes = tuple(c for c, _ in made), tuple(int(size) for _, size in made)
    n = len(codes[0])
    if any(len(c) != n for c in codes):
        raise MethodError(f"effects have {', '.join(str(len(c)) for c in codes)} rows.")
    if weights is not None:
        check_weights(weights, n)
    first = int(np.argmax(sizes))
    totals = np.bincount(codes[first], weights).astype(np.float64)
    if len(codes) == 1:
        return Effects(codes, sizes, weights, sizes[0], first, totals, None, None)
    rest = [i for i in range(len(codes)) if i != first]
    levels = sum(sizes[i] for i in rest)
    if levels <= DENSE_LEVELS:
        table = _dense_or_sparse(codes, sizes, weights, first, rest)
        schur = _schur(codes, sizes, weights, rest, totals, table)
        if len(rest) == 1:
            own = np.bincount(codes[rest[0]], weights).astype(np.float64)
            solve, rank = _two_way(schur, own)
        else:
            solve, rank = _many_way(schur)
    elif len(rest) == 1:
        table = _sparse_table(codes, sizes, weights, first, rest)
        solve, rank = _gradients(codes[rest[0]], weights, totals, table)
    else:
        raise MethodError(
            f"{len(codes)} ways of effects have {levels:,} levels beside the largest way; "
            f"with three or more ways at most {DENSE_LEVELS:,} are possible, because the degrees "
            "of freedom cannot be told beyond. Combine effects, or absorb fewer."
        )
    return Effects(codes, sizes, weights, sizes[first] + rank, first, totals, table, solve)


def check_weights(weights: npt.NDArray[np.float64], n: int) -> None:
    """Raise MethodError unless there are `n` finite, positive weights."""
    if weights.shape != (n,):
        raise MethodError(f"weights must have shape ({n},), got {weights.shape}.")
    wrong = ~(np.isfinite(weights) & (weights > 0))
    if wrong.any():
        raise MethodError(
            f"{wrong.sum()} of {n} weights are not positive and finite (first at row "
            f"{np.flatnonzero(wrong)[0] + 1}); leave such rows out."
        )


def _stacked(codes: Sequence[Codes], sizes: Sequence[int], rest: Sequence[int]) -> list[Codes]:
    """Return the levels of several ways, those of each numbered after those before it."""
    starts = np.cumsum([0, *(sizes[i] for i in rest)])
    return [codes[i] + start for i, start in zip(rest, starts, strict=False)]


def _sparse_table(
    codes: Sequence[Codes],
    sizes: Sequence[int],
    weights: Floats | None,
    first: int,
    rest: Sequence[int],
) -> sparse.csr_array:
    """Return the weight of each pair of levels, the first way by all others."""
    w = np.ones(len(codes[0])) if weights is None else weights
    columns = np.concatenate(_stacked(codes, sizes, rest))
    rows = np.tile(codes[first], len(rest))
    shape = (sizes[first], sum(sizes[i] for i in rest))
    return sparse.coo_array((np.tile(w, len(rest)), (rows, columns)), shape=shape).tocsr()


def _dense_or_sparse(
    codes: Sequence[Codes],
    sizes: Sequence[int],
    weights: Floats | None,
    first: int,
    rest: Sequence[int],
) -> Floats | sparse.csr_array:
    rows, columns = sizes[first], sum(sizes[i] for i in rest)
    if rows * columns > DENSE_CELLS or rows * columns**2 > DENSE_WORK:
        return _sparse_table(codes, sizes, weights, first, rest)
    parts = [
        np.bincount(codes[first] * sizes[i] + codes[i], weights, rows * sizes[i]) for i in rest
    ]
    return np.hstack([p.reshape(rows, -1) for p in parts]).astype(np.float64)


def _schur(
    codes: Sequence[Codes],
    sizes: Sequence[int],
    weights: Floats | None,
    rest: Sequence[int],
    totals: Floats,
    table: Floats | sparse.csr_array,
) -> Floats:
    """Return the normal equations of the other ways after eliminating the first."""
    levels = table.shape[1]
    if isinstance(table, np.ndarray):
        scaled = table / np.sqrt(totals)[:, None]
        schur = -(scaled.T @ scaled)
    else:
        scaled = sparse.diags_array(1 / np.sqrt(totals)) @ table
        schur = -(scaled.T @ scaled).toarray()
    stacked = _stacked(codes, sizes, rest)
    for a in stacked:
        for b in stacked:
            schur += np.bincount(a * levels + b, weights, levels**2).reshape(levels, levels)
    return np.asarray(schur, dtype=np.float64)


def _two_way(schur: Floats, own: Floats) -> tuple[Solver, int]:
    """Factor a connected graph's equations, with one level of each component held at 0."""
    graph = sparse.csr_array((schur != 0).astype(np.float64))
    components, label = csgraph.connected_components(graph, directed=False)
    last = np.empty(components, dtype=np.intp)
    last[label] = np.arange(len(label))
    kept = np.delete(np.arange(len(label)), last)
    if not kept.size:
        return functools.partial(np.zeros_like), 0
    try:
        factor = linalg.cho_factor(schur[np.ix_(kept, kept)], check_finite=False)
        exact = bool((np.diag(factor[0]) ** 2 > 1e-12 * own[kept]).all())
    except linalg.LinAlgError:
        exact = False
    if not exact:
        raise MethodError(
            "the effects cannot be told apart numerically: their levels are joined by rows of "
            "vanishing weight only. Leave such rows out, or absorb one effect less."
        )
    return functools.partial(_solve_kept, factor, kept), len(kept)


def _solve_kept(factor: tuple[Floats, bool], kept: Codes, rhs: Floats) -> Floats:
    levels = np.zeros_like(rhs)
    levels[kept] = linalg.cho_solve(factor, rhs[kept], check_finite=False)
    return levels


def _many_way(schur: Floats) -> tuple[Solver, int]:
    """Factor equations of any rank through the eigenvalues of their scaled matrix."""
    diagonal = np.diag(schur)
    # A level that the first way determines has a diagonal of rounding noise.
    scale = np.where(diagonal > RANK_TOLERANCE, 1 / np.sqrt(np.abs(diagonal) + 1e-300), 0.0)
    values, vectors = linalg.eigh(schur * np.outer(scale, scale), check_finite=False)
    kept = values > RANK_TOLERANCE
    half = scale[:, None] * vectors[:, kept] / np.sqrt(values[kept])
    return functools.partial(_solve_half, half), int(kept.sum())


def _solve_half(half: Floats, rhs: Floats) -> Floats:
    levels: Floats = half @ (half.T @ rhs)
    return levels


def _gradients(
    codes: Codes, weights: Floats | None, totals: Floats, table: sparse.csr_array
) -> tuple[Solver, int]:
    """Prepare conjugate gradients on the levels of the smaller of two large ways."""
    pairs, rows = table.tocoo(), table.shape[0]
    edges = (np.ones(pairs.nnz), (pairs.row, pairs.col + rows))
    bipartite = sparse.csr_array(edges, shape=(sum(table.shape), sum(table.shape)))
    components, label = csgraph.connected_components(bipartite, directed=False)
    own = np.bincount(codes, weights).astype(np.float64)
    member = label[rows:].astype(np.intp)
    solve = functools.partial(_conjugate_gradients, table, table.T.tocsr(), totals, own, member)
    return solve, table.shape[1] - int(components)


def _conjugate_gradients(
    table: sparse.csr_array,
    other: sparse.csr_array,
    totals: Floats,
    own: Floats,
    component: Codes,
    rhs: Floats,
) -> Floats:
    """Solve the reduced equations for all columns at once, scaled by their diagonal."""
    diagonal = own - (other.multiply(other) @ (1 / totals))
    inverse = np.where(diagonal > RANK_TOLERANCE * own, 1 / np.maximum(diagonal, 1e-300), 0.0)
    # The right side sums to zero in each component, but for rounding, which would stay for ever.
    count = np.bincount(component)[:, None]
    excess = np.stack([np.bincount(component, column) for column in rhs.T], axis=1) / count
    x = np.zeros_like(rhs)
    residual = rhs - excess[component]
    direction = scaled = inverse[:, None] * residual
    size = np.einsum("ij,ij->j", residual, scaled)
    goal = 1e-26 * size  # squared: thirteen digits
    for _ in range(MOST_STEPS):
        active = size > goal
        if not active.any():
            return x
        image = own[:, None] * direction - other @ ((table @ direction) / totals[:, None])
        curve = np.einsum("ij,ij->j", direction, image)
        step = np.divide(size, curve, out=np.zeros_like(size), where=active & (curve > 0))
        x += step * direction
        residual -= step * image
        scaled = inverse[:, None] * residual
        before, size = size, np.einsum("ij,ij->j", residual, scaled)
        turn = np.divide(size, before, out=np.zeros_like(size), where=active & (before > 0))
        direction = scaled + turn * direction
    raise MethodError(
        "projecting out the effects did not converge: their levels are too weakly connected. "
        "Combine small levels, or absorb one effect less."
    )


def _sums(effects: Effects, way: int, columns: Floats) -> Floats:
    """Return weighted sums by level, shape (levels, c), of columns of shape (c, n)."""
    w, codes, size = effects.weights, effects.codes[way], effects.sizes[way]
    parts = [np.bincount(codes, x if w is None else w * x, size) for x in columns]
    return np.stack(parts, axis=1)


def _levels(effects: Effects, columns: Floats) -> list[Floats]:
    """Return least-squares levels of each way, each of shape (levels, c)."""
    first = effects._first
    sums, totals = _sums(effects, first, columns), effects._totals[:, None]
    if effects._table is None or effects._solve is None:
        return [sums / totals]
    rest = [i for i in range(len(effects.codes)) if i != first]
    right = np.vstack([_sums(effects, i, columns) for i in rest])
    solved = effects._solve(right - effects._table.T @ (sums / totals))
    levels = {first: (sums - effects._table @ solved) / totals}
    cuts = np.cumsum([effects.sizes[i] for i in rest])[:-1]
    levels.update(zip(rest, np.split(solved, cuts), strict=True))
    return [levels[i] for i in range(len(effects.codes))]


def project(effects: Effects, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Take out of each column what the effects explain.

    Parameters
    ----------
    effects : Effects
        From `absorb_effects`.
    x : ndarray of shape (n,) or (n, c)
        Columns.

    Returns
    -------
    ndarray of the shape of `x`
        Residuals of the (weighted) least-squares fit on all dummies.

    Examples
    --------
    >>> project(absorb_effects([[0, 0, 1]]), np.array([1.0, 3.0, 5.0]))
    array([-1.,  1.,  0.])
    """
    columns = np.array(x.T if x.ndim == 2 else x[None, :], dtype=np.float64, order="C")
    if not columns.size:
        return x.astype(np.float64)
    # The constant is in the span; without it fewer digits are lost to large means.
    columns -= columns.mean(axis=1, keepdims=True)
    for codes, levels in zip(effects.codes, _levels(effects, columns), strict=True):
        for column, values in zip(columns, np.ascontiguousarray(levels.T), strict=True):
            column -= values[codes]
    return columns.T if x.ndim == 2 else columns[0]


def effect_levels(effects: Effects, x: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    """Estimate the levels of the effects themselves.

    Parameters
    ----------
    effects : Effects
        From `absorb_effects`.
    x : ndarray of shape (n,)
        Outcome less what the regressors explain, ``y - X @ coef``.

    Returns
    -------
    list of ndarray of shape (levels,)
        One array a way. The first way carries the level; each other way has mean zero
        over the rows, by weight. Levels in different connected components of the data
        cannot be compared.

    Examples
    --------
    >>> effect_levels(absorb_effects([[0, 0, 1]]), np.array([1.0, 3.0, 5.0]))
    [array([2., 5.])]
    """
    found = [levels[:, 0] for levels in _levels(effects, x[None, :].astype(np.float64))]
    for way in range(1, len(found)):
        mean = np.average(found[way][effects.codes[way]], weights=effects.weights)
        found[way] = found[way] - mean
        found[0] = found[0] + mean
    return found
