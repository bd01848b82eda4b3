"""Streams: a draw is fixed by seed, purpose and block, and by nothing else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lgpi_research.errors import SpecError
from lgpi_research.streams import BLOCK, STREAMS, root_seed, stream


def first_draws(seed: int, purpose: str, block: int) -> bytes:
    return stream(seed, purpose, block).random(8).tobytes()


def test_the_same_key_gives_the_same_draws() -> None:
    for seed in (0, 7, 2**63):
        assert first_draws(seed, "weights", 3) == first_draws(seed, "weights", 3)


def test_other_keys_give_other_draws() -> None:
    keys = itertools.product((0, 1, 2**64 - 1), STREAMS, range(4))
    draws = [first_draws(*key) for key in keys]
    assert len(set(draws)) == len(draws)


def test_streams_are_the_documented_ones() -> None:
    made = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(STREAMS["weights"], 2)))
    assert made.random(8).tobytes() == first_draws(5, "weights", 2)
    assert len(set(STREAMS.values())) == len(STREAMS)
    assert BLOCK == 1024


def test_streams_are_unrelated() -> None:
    draws = np.stack([stream(0, "bootstrap", block).normal(size=4000) for block in range(12)])
    between = np.corrcoef(draws)[np.triu_indices(12, k=1)]
    assert np.abs(between).max() < 4.5 / np.sqrt(4000)


@pytest.mark.parametrize("seed", [0, 1, 2**70, np.int64(3), np.uint32(4)])
def test_a_given_seed_is_kept_as_a_plain_number(seed: int) -> None:
    kept = root_seed(seed)
    assert kept == seed
    assert type(kept) is int


def test_no_seed_draws_a_fresh_one_that_can_be_recorded() -> None:
    seeds = {root_seed(None) for _ in range(5)}
    assert len(seeds) == 5
    assert all(type(seed) is int and 0 <= seed < 2**64 for seed in seeds)


@pytest.mark.parametrize("seed", [-1, 1.0, "1", True, np.float64(2), np.bool_(1), [1], np.nan])
def test_anything_else_is_refused(seed: object) -> None:
    with pytest.raises(SpecError, match="seed must be a whole number >= 0 or None, got"):
        root_seed(seed)
