"""Ranks under many weights, against the bare product and sort of the same scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from lgpi_research.methods.ranks import count_ranks
from lgpi_research.methods.weights import draw_dirichlet
from lgpi_research.streams import BLOCK

DRAWS, UNITS, INDICATORS = 100_000, 200, 30
Timed = tuple[str, Callable[[], object], Callable[[], object], str]


def benchmarks() -> Iterator[Timed]:
    """Yield (name, ours, floor, what the floor is)."""
    rng = np.random.default_rng(0)
    table = rng.uniform(size=(UNITS, INDICATORS)).T.copy()
    weights = rng.dirichlet(np.ones(INDICATORS), size=DRAWS)

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, DRAWS, BLOCK):
            yield weights[start : start + BLOCK] @ table

    def counts() -> np.ndarray:
        total = np.zeros((UNITS, 2 * UNITS - 1), dtype=np.int64)
        for scores in blocks():
            total += count_ranks(scores)
        return total

    def product_and_argsort() -> None:
        for scores in blocks():
            np.argsort(scores, axis=1)

    def product_and_sort() -> None:
        for scores in blocks():
            np.sort(scores, axis=1)

    size = f"{DRAWS:,} draws × {UNITS} units × {INDICATORS} indicators"
    yield f"rank counts, {size}, weights given", counts, product_and_argsort, "product + argsort"
    yield f"rank counts, {size}, weights given", counts, product_and_sort, "product + sort"

    def drawn() -> None:
        for _ in range(0, DRAWS, BLOCK):
            draw_dirichlet(rng, np.full(INDICATORS, 1 / INDICATORS), INDICATORS, BLOCK)

    def gammas() -> None:
        for _ in range(0, DRAWS, BLOCK):
            rng.standard_gamma(1.0, size=(BLOCK, INDICATORS))

    yield f"Dirichlet weights, {DRAWS:,} × {INDICATORS}", drawn, gammas, "the gamma draws alone"
