"""Seeds and generators: one stream for each purpose and block, whatever the workers.

Block *b* of purpose *p* draws from ``SeedSequence(seed, spawn_key=(p, b))``, so a
result depends on the seed alone, and more draws extend fewer.
"""

from __future__ import annotations

import numpy as np

from lgpi_research.errors import SpecError

__all__ = ["BLOCK", "STREAMS", "root_seed", "stream"]

BLOCK = 1024
"""Draws in a block: the unit of randomness, arithmetic and checkpoint."""

STREAMS = {"bootstrap": 1, "weights": 2, "choices": 3, "simulate": 4, "splits": 5, "parallel": 6}


def root_seed(seed: int | None) -> int:
    """Return the seed to use and to record; None draws a fresh one.

    Raises
    ------
    SpecError
        If the seed is not None and not a whole number of at least 0.

    Examples
    --------
    >>> root_seed(0)
    0
    """
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise SpecError(f"seed must be a whole number >= 0 or None, got {seed!r}.")
    return int(seed)


def stream(seed: int, purpose: str, block: int) -> np.random.Generator:
    """Return the generator of one block, fixed by (seed, purpose, block) and nothing else."""
    key = (STREAMS[purpose], block)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
