from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods import consistency as c
from lgpi_research.methods.consistency import Spread


def random_covariance(seed: int, k: int = 5, n: int = 60) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1)) + rng.normal(size=(n, k)) * rng.uniform(0.5, 2, k)
    return np.cov(x.T)


def test_alpha_of_parallel_items_is_the_spearman_brown_value():
    matrix = np.full((4, 4), 0.3) + np.diag([0.7] * 4)
    assert_allclose(c.alpha(Spread.from_covariance(matrix)), 4 * 0.3 / (1 + 3 * 0.3))


def test_alpha_is_the_textbook_formula_on_answers():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 1)) + rng.normal(size=(30, 6))
    expected = 6 / 5 * (1 - x.var(axis=0, ddof=1).sum() / x.sum(axis=1).var(ddof=1))
    assert_allclose(c.alpha(Spread.from_covariance(np.cov(x.T))), expected, rtol=1e-12)


@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3))
def test_coefficients_do_not_depend_on_unit_or_order(seed, scale):
    matrix = random_covariance(seed)
    order = np.random.default_rng(seed).permutation(5)
    one = Spread.from_covariance(matrix)
    other = Spread.from_covariance(scale**2 * matrix[np.ix_(order, order)])
    for function in (c.alpha, c.standardised_alpha, c.lambda6, c.average_r):
        assert_allclose(function(one), function(other), rtol=1e-9)
    assert_allclose(c.alpha_std_error(one, 50), c.alpha_std_error(other, 50), rtol=1e-9)
    assert_allclose(c.item_rest_r(matrix)[order], c.item_rest_r(other.covariance), rtol=1e-9)


@given(seed=st.integers(0, 1000))
def test_bounds_are_in_their_order(seed):
    matrix = c.correlation(random_covariance(seed))
    spread = Spread.from_covariance(matrix)
    lambda1 = 1 - 5 / spread.total
    assert lambda1 <= c.alpha(spread) <= 1
    assert_allclose(c.alpha(spread), c.standardised_alpha(spread), rtol=1e-12)


def test_many_matrices_at_once_are_each_alone():
    many = np.stack([random_covariance(seed) for seed in range(6)]).reshape(2, 3, 5, 5)
    for function in (c.alpha, c.standardised_alpha, c.lambda6, c.average_r):
        together = function(Spread.from_covariance(many))
        alone = [[function(Spread.from_covariance(m)) for m in row] for row in many]
        assert together.shape == (2, 3)
        assert_allclose(together, np.array(alone, dtype=float), rtol=1e-12)
    assert c.drop_one(many).shape == (2, 3, 5, 4, 4)
    assert_array_equal(c.drop_one(many)[1, 2, 0], many[1, 2][1:, 1:])


def test_lambda6_uses_squared_multiple_correlations():
    matrix = c.correlation(random_covariance(4))
    smc = []
    for i in range(5):
        others = [j for j in range(5) if j != i]
        r = matrix[i, others]
        smc.append(r @ np.linalg.solve(matrix[np.ix_(others, others)], r))
    expected = 1 - (1 - np.array(smc)).sum() / matrix.sum()
    assert_allclose(c.lambda6(Spread.from_covariance(matrix)), expected, rtol=1e-10)


def test_feldt_limits_invert_the_f_distribution():
    low, high = c.feldt_interval(0.7, 40, 6, level=0.9)
    assert_allclose(stats.f.sf((1 - low) / (1 - 0.7), 39, 195), 0.05, rtol=1e-9)
    assert_allclose(stats.f.cdf((1 - high) / (1 - 0.7), 39, 195), 0.05, rtol=1e-9)


def test_feldt_interval_covers_true_alpha_of_parallel_items():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(2000, 50, 1)) + rng.normal(size=(2000, 50, 5))
    centred = x - x.mean(axis=1, keepdims=True)
    estimates = c.alpha(Spread.from_covariance(np.swapaxes(centred, 1, 2) @ centred / 49))
    low, high = c.feldt_interval(estimates, 50, 5)
    share = ((low <= 5 / 6) & (high >= 5 / 6)).mean()
    assert abs(share - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 2000)


def test_standard_error_is_the_spread_of_alpha_over_samples():
    rng = np.random.default_rng(8)
    load = np.array([1.0, 0.8, 0.6, 0.5])
    x = rng.normal(size=(4000, 200, 1)) * load + rng.normal(size=(4000, 200, 4))
    centred = x - x.mean(axis=1, keepdims=True)
    estimates = c.alpha(Spread.from_covariance(np.swapaxes(centred, 1, 2) @ centred / 199))
    truth = Spread.from_covariance(np.outer(load, load) + np.eye(4))
    assert_allclose(c.alpha_std_error(truth, 200), estimates.std(), rtol=0.05)


def test_item_correlations_are_those_of_the_sums():
    rng = np.random.default_rng(9)
    x = rng.normal(size=(40, 1)) + rng.normal(size=(40, 4))
    total = x.sum(axis=1)
    rest = [np.corrcoef(x[:, i], total - x[:, i])[0, 1] for i in range(4)]
    whole = [np.corrcoef(x[:, i], total)[0, 1] for i in range(4)]
    assert_allclose(c.item_rest_r(np.cov(x.T)), rest, rtol=1e-10)
    assert_allclose(c.item_total_r(np.cov(x.T)), whole, rtol=1e-10)
    assert_allclose(c.item_mean_r(x), whole, rtol=1e-10)


def test_item_mean_correlation_uses_what_a_person_answered():
    rng = np.random.default_rng(10)
    x = rng.normal(size=(40, 1)) + rng.normal(size=(40, 4))
    x[rng.random(x.shape) < 0.2] = np.nan
    means = np.nanmean(x, axis=1)
    for i, found in enumerate(c.item_mean_r(x)):
        seen = ~np.isnan(x[:, i])
        assert_allclose(found, np.corrcoef(x[seen, i], means[seen])[0, 1], rtol=1e-10)


def test_one_item():
    with pytest.raises(MethodError, match="at least 2 items are needed, got 1"):
        c.alpha(Spread.from_covariance([[1.0]]))


def test_a_sum_score_that_does_not_vary_is_an_error_alone_and_nan_among_many():
    still = np.array([[1.0, -1.0], [-1.0, 1.0]])
    with pytest.raises(MethodError, match="sum score does not vary"):
        c.alpha(Spread.from_covariance(still))
    with pytest.raises(MethodError, match="sum score does not vary"):
        c.standardised_alpha(Spread.from_covariance(still))
    many = np.stack([still, np.eye(2)])
    for function in (c.alpha, c.standardised_alpha):
        assert_array_equal(np.isnan(function(Spread.from_covariance(many))), [True, False])
    errors = c.alpha_std_error(Spread.from_covariance(many), 10)
    assert_array_equal(np.isnan(errors), [True, False])


def test_an_item_that_does_not_vary_has_no_correlation():
    still = np.diag([1.0, 0.0, 1.0])
    assert np.isnan(c.correlation(still)[1]).all()
    assert np.isnan(c.item_rest_r(still)[1])
    for function in (c.average_r, c.standardised_alpha, c.lambda6):
        with pytest.raises(MethodError, match="does not vary"):
            function(Spread.from_covariance(still))
        found = function(Spread.from_covariance(np.stack([still, np.eye(3)])))
        assert_array_equal(np.isnan(found), [True, False])


def test_lambda6_of_dependent_items():
    x = np.random.default_rng(0).normal(size=(20, 2))
    matrix = np.cov(np.column_stack([x, x.sum(axis=1)]).T)
    with pytest.raises(MethodError, match="linearly dependent"):
        c.lambda6(Spread.from_covariance(matrix))


def test_covariances_that_were_not_kept():
    with pytest.raises(MethodError, match="needs='covariance'"):
        c.average_r(Spread(np.ones(3), np.array(5.0)))


@pytest.mark.parametrize(("n", "k"), [(1, 5), (10, 1)])
def test_feldt_needs_two_of_each(n, k):
    with pytest.raises(MethodError, match="two items and two respondents"):
        c.feldt_interval(0.5, n, k)


def test_level_of_an_interval():
    with pytest.raises(SpecError, match="between 0 and 1"):
        c.feldt_interval(0.5, 10, 5, level=95)
