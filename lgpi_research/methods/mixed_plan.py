"""The order in which the random effects of a mixed model are eliminated.

Grouping factors that lie inside each other (persons in places in regions) form a chain: given
the coarser ones, the groups of the finest are independent of each other, so they are
eliminated first, each by itself. A factor that is not part of the chain, but lies inside one
of its groups, widens that group's block by one column for each of its levels. What crosses
everything lies in the group of all rows, which ends the chain.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError
from lgpi_research.methods.absorb import compact, is_nested

__all__ = ["MOST_CELLS", "Block", "Part", "plan_blocks"]

Codes = npt.NDArray[np.intp]

MOST_CELLS = 60_000_000
"""Cells of all blocks together, half a gigabyte; beyond it a design is refused."""
MOST_FACTORS = 10  # every subset is looked at


@dataclass(frozen=True, eq=False)
class Part:
    """The columns of one random term in a block.

    Attributes
    ----------
    term : int
        Which term.
    slot : ndarray of shape (n,)
        For each row, which of the term's groups inside the block's group it belongs to.
    copies : int
        Most groups of the term inside one group of the block; 1 in a chain.
    width : int
        Effects of the term.
    offset : int
        First column in the block; column ``offset + slot * width + effect``.
    home : ndarray of shape (n_groups,)
        For each group of the term its place among ``group of block * copies + slot``.
    """

    term: int
    slot: Codes
    copies: int
    width: int
    offset: int
    home: Codes

    @property
    def columns(self) -> slice:
        """Its columns in the block."""
        return slice(self.offset, self.offset + self.copies * self.width)


@dataclass(frozen=True, eq=False)
class Block:
    """Groups that are eliminated together, each independently of the others.

    Attributes
    ----------
    codes : ndarray of shape (n,)
        Group of each row; groups with the same parent are neighbours.
    size : int
        Number of groups.
    parts : tuple of Part
        Its terms.
    up : ndarray of shape (size,)
        Each group's group in the next block; empty in the last one.
    """

    codes: Codes
    size: int
    parts: tuple[Part, ...]
    up: Codes

    @property
    def width(self) -> int:
        """Columns of one group."""
        return sum(part.copies * part.width for part in self.parts)


def _most_inside(fine: Codes, size: int, coarse: Codes) -> int:
    """Return the most groups of a factor inside one group of another that contains them."""
    home = np.empty(size, dtype=np.intp)
    home[fine] = coarse
    return int(np.bincount(home).max())


def plan_blocks(
    codes: Sequence[Codes], widths: Sequence[int], names: Sequence[str], n_columns: int
) -> tuple[Block, ...]:
    """Return the blocks in which the random effects are eliminated, the first one first.

    Parameters
    ----------
    codes : sequence of ndarray of shape (n,)
        For each term the group of each row, numbered from 0 without gaps.
    widths : sequence of int
        Effects of each term.
    names : sequence of str
        Names of the terms, for messages.
    n_columns : int
        Columns of fixed effects and outcome that go along.

    Returns
    -------
    tuple of Block

    Raises
    ------
    MethodError
        If even the cheapest order needs more than `MOST_CELLS`, or there are more than ten
        different grouping factors.

    Examples
    --------
    Persons in places, crossed with items:

    >>> persons, places = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 0, 1, 1])
    >>> items = np.array([0, 1, 0, 1, 0, 1])
    >>> blocks = plan_blocks([places, persons, items], [1, 1, 1], ["", "", ""], 2)
    >>> [(block.size, block.width) for block in blocks]
    [(3, 1), (2, 1), (1, 2)]
    """
    sizes = [int(code.max()) + 1 for code in codes]
    factor_of, factors = list[int](), list[int]()  # terms with the same groups share a factor
    for t, code in enumerate(codes):
        same = [
            f
            for f, first in enumerate(factors)
            if sizes[first] == sizes[t] and is_nested(code, codes[first])
        ]
        factor_of.append(same[0] if same else len(factors))
        if not same:
            factors.append(t)
    count = len(factors)
    if count > MOST_FACTORS:
        raise MethodError(
            f"{count} different grouping factors are too many; at most {MOST_FACTORS} are allowed."
        )
    n = len(codes[0])
    whole = np.zeros(n, dtype=np.intp)
    labels = [*(codes[first] for first in factors), whole]
    groups = [*(sizes[first] for first in factors), 1]
    columns = [
        sum(w for w, f in zip(widths, factor_of, strict=True) if f == g) for g in range(count)
    ]
    inside = {
        (f, g): _most_inside(labels[f], groups[f], labels[g])
        for f in range(count)
        for g in range(count + 1)
        if f == g or (groups[f] > groups[g] and is_nested(labels[f], labels[g]))
    }
    best: tuple[float, int, list[int], list[int]] | None = None
    for size in range(count + 1):
        for chosen in itertools.combinations(range(count), size):
            chain = sorted(chosen, key=lambda f: -groups[f])
            if any(pair not in inside for pair in itertools.pairwise(chain)):
                continue
            steps = [*chain, count]
            homes = [next(g for g in steps if (f, g) in inside) for f in range(count)]
            if count not in homes:
                steps = chain
            width = [
                sum(columns[f] * inside[f, g] for f in range(count) if homes[f] == g) for g in steps
            ]
            right = np.cumsum(width[::-1])[::-1] + n_columns
            work = float(
                sum(
                    groups[g] * float(w) * (w + sum(width[k + 1 :])) * r
                    for k, (g, w, r) in enumerate(zip(steps, width, right, strict=True))
                )
            )
            cells = sum(groups[g] * w * int(r) for g, w, r in zip(steps, width, right, strict=True))
            found = (work, cells, steps, homes)
            if cells <= MOST_CELLS and (best is None or work < best[0]):
                best = found
    if best is None:
        sorts = ", ".join(f"{name} ({size})" for name, size in zip(names, sizes, strict=True))
        raise MethodError(
            "the grouping factors cross in too many groups to be eliminated in memory: "
            f"{sorts}. Make one of them fixed or coarser, or fit parts of the data."
        )
    _, _, steps, homes = best

    nested = list[tuple[Codes, int]]()
    for g in reversed(steps):
        code, size = labels[g], groups[g]
        if nested:
            code, size = compact(nested[-1][0] * size + code)
        nested.append((code, size))
    nested.reverse()
    blocks = list[Block]()
    for k, (g, (code, size)) in enumerate(zip(steps, nested, strict=True)):
        parts, offset = list[Part](), 0
        for t, f in enumerate(factor_of):
            if homes[f] != g:
                continue
            part = _part(t, codes[t], sizes[t], code, size, widths[t], offset)
            parts.append(part)
            offset += part.copies * part.width
        up = np.empty(size if k + 1 < len(steps) else 0, dtype=np.intp)
        if up.size:
            up[code] = nested[k + 1][0]
        blocks.append(Block(code, size, tuple(parts), up))
    return tuple(blocks)


def _part(
    term: int, fine: Codes, n_fine: int, coarse: Codes, n_coarse: int, width: int, offset: int
) -> Part:
    """Return the columns of a term whose groups lie inside those of a block."""
    parent = np.empty(n_fine, dtype=np.intp)
    parent[fine] = coarse
    order = np.argsort(parent, kind="stable")
    counts = np.bincount(parent, minlength=n_coarse)
    slots = np.empty(n_fine, dtype=np.intp)
    slots[order] = np.arange(n_fine) - np.repeat(np.cumsum(counts) - counts, counts)
    copies = int(counts.max())
    return Part(term, slots[fine], copies, width, offset, parent * copies + slots)
