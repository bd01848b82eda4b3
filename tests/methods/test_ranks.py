"""Ranks: ties, the fast path against the plain one, and exact winning shares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_array_equal
from scipy import stats

from lgpi_research.methods.ranks import TIE, count_ranks, rank_scores


def counted(ranks: np.ndarray) -> np.ndarray:
    """Count ranks one by one."""
    draws, n = ranks.shape
    counts = np.zeros((n, 2 * n - 1), dtype=np.int64)
    for draw in range(draws):
        for unit in range(n):
            counts[unit, int(2 * ranks[draw, unit] - 2)] += 1
    return counts


def test_ranks_without_ties_are_those_of_scipy():
    scores = np.random.default_rng(0).normal(size=(50, 17))
    assert_array_equal(rank_scores(scores), stats.rankdata(-scores, axis=1))


@given(arrays(float, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 4)))
def test_exact_ties_share_the_mean_rank(scores):
    assert_array_equal(rank_scores(scores), stats.rankdata(-scores, axis=1))
    assert_array_equal(count_ranks(scores), counted(rank_scores(scores)))


@pytest.mark.parametrize("n", [2, 3, 200, 257, 1469])
@pytest.mark.parametrize("offset", [0.0, -5.0, 1e6])
def test_counted_ranks_are_those_of_plain_ranking(n, offset):
    scores = offset + np.random.default_rng(n).normal(size=(40, n))
    assert_array_equal(count_ranks(scores), counted(rank_scores(scores)))


def test_scores_closer_than_the_tolerance_tie_and_others_do_not():
    close, apart = 0.5 + 0.5 * TIE, 0.5 + 4 * TIE
    assert_array_equal(rank_scores(np.array([0.0, 0.5, close, 1.0])), [4, 2.5, 2.5, 1])
    assert_array_equal(rank_scores(np.array([0.0, 0.5, apart, 1.0])), [4, 3, 2, 1])
    for value in (close, apart):
        scores = np.array([[0.0, 0.5, value, 1.0]])
        assert_array_equal(count_ranks(scores), counted(rank_scores(scores)))


def test_a_draw_in_which_all_tie_gives_all_the_middle_rank():
    assert_array_equal(rank_scores(np.full(5, 0.3)), np.full(5, 3.0))
    assert count_ranks(np.full((7, 5), 0.3))[:, 4].tolist() == [7] * 5


def test_each_unit_is_counted_once_a_draw():
    counts = count_ranks(np.random.default_rng(3).normal(size=(1024, 30)))
    assert_array_equal(counts.sum(axis=1), np.full(30, 1024))
    assert_array_equal(counts[:, ::2].sum(axis=0), np.full(30, 1024))
