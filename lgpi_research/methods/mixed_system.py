r"""Likelihood, score and predictions of a mixed model, by eliminating its random effects.

With relative covariance :math:`V = I + \sum_t Z_t (I \otimes \Lambda_t\Lambda_t') Z_t'` of the
rows and D the columns of fixed effects and outcome, everything needed is
:math:`\log|V|`, :math:`D'V^{-1}D`, and for each group :math:`Z_g'V^{-1}D` and
:math:`Z_g'V^{-1}Z_g`. Blocks of random effects (`mixed_plan`) are eliminated one after the
other; of the data only cross-products within groups are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lgpi_research.methods.mixed_plan import Block, plan_blocks
from lgpi_research.methods.sums import one_hot

__all__ = ["Elimination", "Predictions", "System", "make_system"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

_SLICE = 4_000_000  # cells of a temporary array


@dataclass(frozen=True, eq=False)
class System:
    """Cross-products of a mixed model.

    Attributes
    ----------
    blocks : tuple of Block
        In the order of elimination.
    rows : tuple of ndarray of shape (size, width, m)
        For each block and group the cross-products of its columns with: themselves, those of
        the later blocks that the group lies in, and D.
    products : ndarray of shape (p + 1, p + 1)
        ``D'D``.
    """

    blocks: tuple[Block, ...]
    rows: tuple[Floats, ...]
    products: Floats

    def starts(self, k: int) -> list[int]:
        """Return the first column of each block from the k-th on, and of D, in ``rows[k]``."""
        return [0, *np.cumsum([block.width for block in self.blocks[k:]]).tolist()]

    def ancestors(self, k: int) -> Iterator[tuple[int, Codes]]:
        """Yield each later block's number, and the group in it of each group of block k."""
        at = np.arange(self.blocks[k].size)
        for later in range(k + 1, len(self.blocks)):
            at = self.blocks[later - 1].up[at]
            yield later, at


@dataclass(frozen=True, eq=False)
class Elimination:
    r"""The blocks eliminated at given relative covariances.

    Attributes
    ----------
    log_det : float
        log of the determinant of V.
    products : ndarray of shape (p + 1, p + 1)
        ``D'V⁻¹D``.
    rows : list of ndarray
        As in `System`, each block's after those before it were eliminated.
    halves : list of ndarray of shape (size, width, width)
        For each group H with :math:`HH' = N = \Lambda(I + \Lambda'S\Lambda)^{-1}\Lambda'`, where
        S is the group's own part of `rows`.
    """

    log_det: float
    products: Floats
    rows: list[Floats]
    halves: list[Floats]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What each group's rows say, given everything.

    Attributes
    ----------
    effects : list of ndarray of shape (size, width, p + 1)
        For each block the predicted random effects of each column of D.
    cross : list of ndarray of shape (size, width, p + 1)
        ``Z_g'V⁻¹D``.
    information : list of ndarray of shape (size, width, width)
        ``Z_g'V⁻¹Z_g``.
    covariance : list of ndarray of shape (size, width, width)
        Conditional covariance of the random effects relative to the residual variance.
    """

    effects: list[Floats]
    cross: list[Floats]
    information: list[Floats]
    covariance: list[Floats]


def make_system(
    codes: Sequence[Codes], effects: Sequence[Floats], names: Sequence[str], columns: Floats
) -> System:
    """Return the cross-products that a mixed model needs.

    Parameters
    ----------
    codes : sequence of ndarray of shape (n,)
        For each term the group of each row, numbered from 0 without gaps.
    effects : sequence of ndarray of shape (n, q)
        For each term the columns whose coefficients vary.
    names : sequence of str
        Names of the terms.
    columns : ndarray of shape (n, p + 1)
        Fixed effects and outcome, D.

    Returns
    -------
    System
    """
    d = columns.shape[1]
    blocks = plan_blocks(codes, [part.shape[1] for part in effects], names, d)
    rows = []
    for k, block in enumerate(blocks):
        length = block.size * block.width
        tables = [np.zeros((length, later.width)) for later in blocks[k:]]
        fixed = np.zeros((length, d))
        for part in block.parts:
            base = block.codes * block.width + part.offset + part.slot * part.width
            for i in range(part.width):
                value = effects[part.term][:, i]
                fixed += one_hot(base + i, length, value) @ columns
                for later, table in zip(blocks[k:], tables, strict=True):
                    for other in later.parts:
                        column = other.offset + other.slot * other.width
                        flat = (base + i) * later.width + column
                        for j in range(other.width):
                            weight = value * effects[other.term][:, j]
                            found = np.bincount(flat + j, weight, table.size)
                            table += found.reshape(table.shape)
        rows.append(np.hstack([*tables, fixed]).reshape(block.size, block.width, -1))
    return System(blocks, tuple(rows), columns.T @ columns)


def block_factor(block: Block, factors: Sequence[Floats]) -> Floats:
    """Return the relative covariance factor of a block's columns from those of the terms."""
    made = np.zeros((block.width, block.width))
    for part in block.parts:
        for copy in range(part.copies):
            at = part.offset + copy * part.width
            made[at : at + part.width, at : at + part.width] = factors[part.term]
    return made


def eliminate(system: System, factors: Sequence[Floats]) -> Elimination:
    r"""Eliminate all random effects at given relative covariance factors.

    Parameters
    ----------
    system : System
    factors : sequence of ndarray of shape (q, q)
        Lower triangular factor of each term's relative covariance.

    Returns
    -------
    Elimination

    Notes
    -----
    A group with cross-products S and factor :math:`\Lambda` takes
    :math:`S_{\cdot g} N S_{g\cdot}` from the cross-products of everything that remains, and
    adds :math:`\log|I + \Lambda'S_{gg}\Lambda|` to the determinant. Nothing is divided by a
    variance, so any of them may be 0. N is never formed: where a variance is large its error
    would swamp what is small, so the product is taken as that of :math:`H'S_{g\cdot}` with
    itself.
    """
    log_det = 0.0
    products = system.products.copy()
    rows, halves, pulled = list[Floats](), list[Floats](), list[Floats]()
    for k, block in enumerate(system.blocks):
        table = system.rows[k].copy()
        for j in range(k):
            _take(system, j, k, pulled[j], table)
        factor = block_factor(block, factors)
        own = table[:, :, : block.width]
        if (factor == np.diag(np.diag(factor))).all():
            scale = np.diag(factor)
            core = own * scale[:, None] * scale
        else:
            core = factor.T @ own @ factor
        core.reshape(block.size, -1)[:, :: block.width + 1] += 1.0
        root = np.linalg.cholesky(core)
        log_det += 2 * float(np.log(np.diagonal(root, axis1=1, axis2=2)).sum())
        half = factor @ np.linalg.inv(root).transpose(0, 2, 1)
        right = half.transpose(0, 2, 1) @ table
        d = system.starts(k)[-1]
        products -= np.tensordot(right[:, :, d:], right[:, :, d:], axes=((0, 1), (0, 1)))
        rows.append(table)
        halves.append(half)
        pulled.append(right)
    return Elimination(log_det, products, rows, halves)


def _take(system: System, j: int, k: int, pulled: Floats, into: Floats) -> None:
    """Take what groups of block j explain out of the rows of the block-k groups they lie in."""
    starts = system.starts(j)
    first, after = starts[k - j], starts[k - j + 1]
    left, right = pulled[:, :, first:after], pulled[:, :, first:]
    size, width, m = into.shape
    if size == 1:
        into[0] -= np.tensordot(left, right, axes=((0, 1), (0, 1)))
        return
    at = next(groups for later, groups in system.ancestors(j) if later == k)
    begins = np.searchsorted(at, np.arange(size + 1))  # children of a group are neighbours
    low = 0
    while low < size:
        most = begins[low] + max(_SLICE // (width * m), 1)
        high = max(int(np.searchsorted(begins, most, side="right")) - 1, low + 1)
        part = slice(begins[low], begins[high])
        shares = left[part].transpose(0, 2, 1) @ right[part]
        into[low:high] -= np.add.reduceat(shares, begins[low:high] - begins[low], axis=0)
        low = high


def predict(system: System, done: Elimination) -> Predictions:
    r"""Return predictions, scores and information of each group, from the last block back.

    Notes
    -----
    For a group with rows S after the blocks before it were eliminated, and N of
    `Elimination`; b and C are the predictions and conditional covariance of the later groups
    that it lies in:

    .. math::

        b_g = N(S_{gD} - S_{g>} b), \quad Z_g'V^{-1}D = S_{gD} - S_{g>}b - S_{gg}b_g,

    with :math:`Y = S_{g>} C S_{g>}'` and :math:`B = I - S_{gg}N`,
    :math:`Z_g'V^{-1}Z_g = B S_{gg} - B Y B'` and :math:`C_{gg} = N + NYN`.
    """
    count = len(system.blocks)
    effects, cross, information = ([np.empty(0)] * count for _ in range(3))
    covariance = dict[tuple[int, int], Floats]()  # of each block with later ones
    for k in reversed(range(count)):
        table, half, starts = done.rows[k], done.halves[k], system.starts(k)
        turned = half.transpose(0, 2, 1)
        own = table[:, :, : starts[1]]
        up = list(system.ancestors(k))
        rest = table[:, :, starts[-1] :].copy()
        spans = {later: slice(starts[later - k], starts[later - k + 1]) for later, _ in up}
        for later, at in up:
            rest -= _times(table[:, :, spans[later]], effects[later], at)
        pulled = dict[int, Floats]()
        for later, at in up:
            parts = []
            for other, there in up:
                if other <= later:
                    inner, where = covariance[other, later], there
                else:
                    inner, where = covariance[later, other].transpose(0, 2, 1), at
                parts.append(_times(table[:, :, spans[other]], inner, where))
            pulled[later] = np.sum(parts, axis=0) if len(parts) > 1 else parts[0]
        effects[k] = half @ (turned @ rest)
        cross[k] = rest - own @ effects[k]
        less = np.eye(starts[1]) - (own @ half) @ turned
        information[k] = less @ own
        covariance[k, k] = half @ turned
        if up:
            spread = sum(
                (pulled[later] @ table[:, :, spans[later]].transpose(0, 2, 1) for later, _ in up),
                start=np.zeros(1),
            )
            information[k] = information[k] - less @ spread @ less.transpose(0, 2, 1)
            covariance[k, k] = half @ (np.eye(starts[1]) + turned @ spread @ half) @ turned
            if k:
                for later, _ in up:
                    covariance[k, later] = -half @ (turned @ pulled[later])
    return Predictions(effects, cross, information, [covariance[k, k] for k in range(count)])


def _times(table: Floats, groups: Floats, at: Codes) -> Floats:
    """Return each group's table times its ancestor's matrix."""
    if len(groups) == 1:
        flat = table.reshape(-1, table.shape[2]) @ groups[0]
        return np.asarray(flat.reshape(*table.shape[:2], -1))
    return np.asarray(table @ groups[at])


def term_blocks(system: System, term: int) -> tuple[int, int]:
    """Return which block, and which part of it, holds a term."""
    return next(
        (k, i)
        for k, block in enumerate(system.blocks)
        for i, part in enumerate(block.parts)
        if part.term == term
    )


def of_term(system: System, term: int, tables: Sequence[Floats]) -> Floats:
    """Return a term's share of tables of blocks (size, width, …), as (groups, q, …).

    Rows that belong to no group (a block has as many as its fullest group needs) are among
    them; they are 0. The groups are in the order of `Part.home`.
    """
    k, i = term_blocks(system, term)
    part = system.blocks[k].parts[i]
    chosen = tables[k][:, part.columns]
    return chosen.reshape(-1, part.width, *chosen.shape[2:])


def square_of_term(system: System, term: int, tables: Sequence[Floats]) -> Floats:
    """Return a term's share of square tables of blocks, as (groups, q, q)."""
    k, i = term_blocks(system, term)
    part = system.blocks[k].parts[i]
    chosen = tables[k][:, part.columns, part.columns]
    split = chosen.reshape(-1, part.copies, part.width, part.copies, part.width)
    diagonal = np.einsum("gsasb->gsab", split)
    return np.asarray(diagonal.reshape(-1, part.width, part.width))
