from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.jackknife import jackknife_interval
from lgpi_research.methods.replicates import delete_one, strata_sizes


def left_out(y: np.ndarray) -> np.ndarray:
    """Means without one value each."""
    return (y.sum() - y) / (len(y) - 1)


def test_a_mean_has_its_usual_error_and_no_bias():
    y = np.random.default_rng(0).normal(size=30)
    error, low, high, df = jackknife_interval(y.mean(), left_out(y), np.full(30, 29 / 30), 29)
    assert_allclose(error, y.std(ddof=1) / np.sqrt(30))
    assert_allclose((low + high) / 2, y.mean())
    assert_allclose(high - low, 2 * stats.t.ppf(0.975, df) * error)
    assert df <= 29


def test_the_bias_of_a_variance_with_divisor_n_is_taken_off():
    y = np.random.default_rng(1).normal(size=25)
    replicates = np.array([np.delete(y, i).var() for i in range(25)])
    _, low, high, _ = jackknife_interval(y.var(), replicates, np.full(25, 24 / 25), 24)
    assert_allclose((low + high) / 2, y.var(ddof=1))


def test_one_dominating_psu_leaves_hardly_a_degree_of_freedom():
    y = np.zeros(20)
    y[3] = 1.0
    *_, df = jackknife_interval(y.mean(), left_out(y), np.full(20, 19 / 20), 19)
    assert 1 <= df < 5
    even = np.tile([-1.0, 1.0], 10)
    *_, df = jackknife_interval(even.mean(), left_out(even), np.full(20, 19 / 20), 19)
    assert df == 19


@given(st.integers(0, 10_000), st.floats(0.01, 100), st.floats(-10, 10))
def test_it_moves_and_stretches_with_the_scale(seed, scale, move):
    y = np.random.default_rng(seed).normal(size=12)
    plain = jackknife_interval(y.mean(), left_out(y), np.full(12, 11 / 12), 11)
    z = scale * y + move
    other = jackknife_interval(z.mean(), left_out(z), np.full(12, 11 / 12), 11)
    assert_allclose(other[1], scale * plain[1] + move, rtol=1e-6, atol=1e-8 * scale)
    assert_allclose(other[3], plain[3], rtol=1e-5)


def test_strata_count_by_their_size():
    rng = np.random.default_rng(2)
    strata = np.repeat(["a", "b"], [3, 5])
    y = rng.normal(size=8)[:, None]
    replicates, shrink = delete_one(y, strata)
    error, *_ = jackknife_interval(y.sum(), replicates.ravel(), shrink, 6)
    codes, sizes = strata_sizes(strata)
    expected = sum(n * y[codes == h].var(ddof=1) for h, n in enumerate(sizes))
    assert_allclose(error**2, expected)


def test_it_covers_with_few_values():
    rng = np.random.default_rng(3)
    hits, runs = 0, 400
    for _ in range(runs):
        y = rng.exponential(size=15)
        logs, many = np.log(y.mean()), np.log(left_out(y))
        _, low, high, _ = jackknife_interval(logs, many, np.full(15, 14 / 15), 14)
        hits += low <= 0 <= high
    assert abs(hits / runs - 0.95) < 3 * np.sqrt(0.95 * 0.05 / runs) + 0.01


def test_what_has_no_interval():
    with pytest.raises(MethodError, match="needs two replicates"):
        jackknife_interval(0.0, [1.0], [0.5], 1)
    with pytest.raises(MethodError, match="1 of 2 replicates have no answer"):
        jackknife_interval(0.0, [1.0, np.nan], [0.5, 0.5], 1)
    with pytest.raises(SpecError, match="level must lie"):
        jackknife_interval(0.0, [1.0, 2.0], [0.5, 0.5], 1, level=95)
    assert jackknife_interval(2.0, [2.0, 2.0], [0.5, 0.5], 1) == (0.0, 2.0, 2.0, 1.0)
