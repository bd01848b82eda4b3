from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods import guttman as g
from lgpi_research.methods.consistency import Spread, alpha, correlation, lambda6
from lgpi_research.methods.onefactor import omega

BOUNDS = (g.lambda1, g.lambda2, g.lambda4, g.lambda5, g.ten_berge, g.glb)


def random_covariance(seed: int, k: int = 6, n: int = 80, factors: int = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, factors)) @ rng.uniform(0.2, 1, (factors, k)) + rng.normal(size=(n, k))
    return np.cov((x * rng.uniform(0.5, 2, k)).T)


def one_factor(load: np.ndarray) -> Spread:
    return Spread.from_covariance(np.outer(load, load) + np.diag(1 - load**2))


def test_all_bounds_of_parallel_items_but_the_first_are_their_reliability():
    spread = Spread.from_covariance(np.full((6, 6), 0.4) + 0.6 * np.eye(6))
    expected = 6 * 0.4 / (1 + 5 * 0.4)
    for bound in (g.lambda2, g.lambda4, g.ten_berge, g.glb):
        assert_allclose(bound(spread), expected, rtol=1e-8)
    assert_allclose(g.lambda1(spread), expected * 5 / 6, rtol=1e-12)


def test_lambda2_and_5_are_their_formulas_in_loops():
    matrix = random_covariance(0)
    k, total = 6, matrix.sum()
    pairs = sum(matrix[i, j] ** 2 for i in range(k) for j in range(k) if i != j)
    per_item = [sum(matrix[i, j] ** 2 for i in range(k) if i != j) for j in range(k)]
    first = 1 - np.trace(matrix) / total
    spread = Spread.from_covariance(matrix)
    two = first + np.sqrt(k / (k - 1) * pairs) / total
    assert_allclose(g.lambda1(spread, standardise=False), first, rtol=1e-12)
    assert_allclose(g.lambda2(spread, standardise=False), two, rtol=1e-12)
    five = first + 2 * np.sqrt(max(per_item)) / total
    assert_allclose(g.lambda5(spread, standardise=False), five, rtol=1e-12)


@pytest.mark.parametrize("k", [2, 3, 6, 7])
def test_lambda4_is_the_largest_of_all_splits_of_sums(k):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 1)) + rng.normal(size=(50, k))
    total = x.sum(axis=1).var(ddof=1)
    values = []
    for half in combinations(range(k), k // 2):
        a = x[:, list(half)].sum(axis=1)
        values.append(4 * np.cov(a, x.sum(axis=1) - a)[0, 1] / total)
    found = g.split_halves(np.cov(x.T))
    every = np.sort(values) if k % 2 else np.sort(values)[::2]  # both halves of an even number
    assert_allclose(found.values, every, rtol=1e-10)
    assert found.exact
    assert found.n_splits == len(every)
    assert_allclose(found.best, max(values), rtol=1e-10)
    lambda4 = g.lambda4(Spread.from_covariance(np.cov(x.T)), standardise=False)
    assert_allclose(lambda4, max(values), rtol=1e-10)
    a = x[:, list(found.best_half)].sum(axis=1)
    assert_allclose(4 * np.cov(a, x.sum(axis=1) - a)[0, 1] / total, found.best, rtol=1e-10)


@pytest.mark.parametrize("k", [4, 5, 10, 11])
def test_the_mean_of_all_split_halves_is_alpha(k):
    matrix = random_covariance(2, k=k)
    share = 1 - 1 / k**2 if k % 2 else 1.0
    mean = g.split_halves(matrix).values.mean()
    assert_allclose(mean, share * alpha(Spread.from_covariance(matrix)), rtol=1e-10)


@pytest.mark.parametrize("k", [12, 13])
def test_exchanges_of_items_nearly_always_find_the_best_split(k):
    many = np.stack([correlation(random_covariance(seed, k=k)) for seed in range(60)])
    found, halves = g._least_found(many)
    exact = g._least_exact(many)
    assert (found >= exact - 1e-9).all()
    assert (found < exact + 1e-9).mean() > 0.9
    assert_array_equal((halves > 0).sum(axis=1), k // 2)
    assert_allclose(found, np.einsum("mi,mij,mj->m", halves, many, halves), rtol=1e-10)


def test_beyond_twenty_items_splits_are_drawn_and_said_to_be():
    matrix = correlation(random_covariance(3, k=24, n=400))
    found = g.split_halves(matrix, rng=np.random.default_rng(0), draws=5000)
    assert not found.exact
    assert found.n_splits == 1_352_078
    assert len(found.values) == 5000
    standard = alpha(Spread.from_covariance(matrix))
    error = found.values.std() / np.sqrt(5000)
    assert abs(found.values.mean() - standard) < 4 * error
    assert found.best >= found.values.max()
    assert len(found.best_half) == 12
    assert_allclose(found.best, g.lambda4(Spread.from_covariance(matrix)), rtol=1e-10)
    again = g.split_halves(matrix, rng=np.random.default_rng(0), draws=5000)
    assert_array_equal(found.values, again.values)


def test_twenty_items_are_split_in_every_way():
    matrix = random_covariance(4, k=20)
    found = g.split_halves(matrix)
    assert found.exact
    assert len(found.values) == found.n_splits == 92_378


@given(seed=st.integers(0, 300))
def test_bounds_are_in_their_order(seed):
    spread = Spread.from_covariance(random_covariance(seed))
    series = [float(g.ten_berge(spread, order=order)) for order in range(5)]
    standard = Spread.from_covariance(correlation(spread.covariance))
    assert_allclose(series[0], alpha(standard), rtol=1e-12)
    assert_allclose(series[1], g.lambda2(spread), rtol=1e-12)
    assert (np.diff(series) >= -1e-12).all()
    highest = g.glb(spread)
    assert highest <= 1
    for bound in (g.lambda1, g.lambda2, g.lambda4, g.lambda5, g.ten_berge, lambda6):
        assert bound(spread) <= highest + 1e-9


@given(seed=st.integers(0, 300), scale=st.floats(1e-3, 1e3))
def test_bounds_do_not_depend_on_unit_or_order(seed, scale):
    matrix = random_covariance(seed)
    order = np.random.default_rng(seed).permutation(6)
    mixed = Spread.from_covariance(scale**2 * matrix[np.ix_(order, order)])
    for bound in BOUNDS:
        for standardise in (True, False):
            one = bound(Spread.from_covariance(matrix), standardise=standardise)
            assert_allclose(bound(mixed, standardise=standardise), one, rtol=1e-8)


def test_standardised_bounds_do_not_depend_on_the_unit_of_an_item():
    matrix = random_covariance(5)
    size = np.array([0.01, 3.0, 1.0, 50.0, 1.0, 1.0])
    one, other = (Spread.from_covariance(m) for m in (matrix, matrix * np.outer(size, size)))
    for bound in BOUNDS:
        assert_allclose(bound(one), bound(other), rtol=1e-8)
        plain = bound(Spread.from_covariance(correlation(matrix)), standardise=False)
        assert_allclose(bound(one), plain, rtol=1e-10)


def test_many_matrices_at_once_are_each_alone():
    many = np.stack([random_covariance(seed) for seed in range(6)]).reshape(2, 3, 6, 6)
    for bound in BOUNDS:
        together = bound(Spread.from_covariance(many))
        alone = [[float(bound(Spread.from_covariance(m))) for m in row] for row in many]
        assert together.shape == (2, 3)
        assert_allclose(together, alone, rtol=1e-8)


def test_greatest_lower_bound_of_one_factor_is_omega():
    spread = one_factor(np.array([0.9, 0.7, 0.6, 0.5, 0.4]))
    assert_allclose(g.glb(spread), omega(spread), rtol=1e-8)


@given(seed=st.integers(0, 50))
def test_no_error_variances_give_a_greater_bound_than_the_greatest(seed):
    """For every semidefinite W with a diagonal of 1 or more, tr(WS) is above any sum of errors."""
    matrix = correlation(random_covariance(seed))
    errors = g._largest_errors(matrix[None])[0]
    left = matrix - np.diag(errors)
    assert np.linalg.eigvalsh(left)[0] > 0
    assert (errors > 0).all()
    inverse = np.linalg.inv(left)
    above = (inverse / np.diag(inverse).min() * matrix).sum()
    assert -1e-9 < above - errors.sum() < 1e-3


def test_a_heywood_item_has_no_error_variance_in_the_greatest_bound():
    matrix = np.array([[1.0, 0.9, 0.9], [0.9, 1.0, 0.7], [0.9, 0.7, 1.0]])
    errors = g._largest_errors(matrix[None])[0]
    assert errors[0] < 1e-8
    assert np.linalg.eigvalsh(matrix - np.diag(errors))[0] > -1e-9


def test_what_does_not_vary_is_an_error_alone_and_nan_among_many():
    still = np.diag([1.0, 0.0, 1.0])
    many = Spread.from_covariance(np.stack([still, 0.5 * np.eye(3) + 0.5]))
    for bound in BOUNDS:
        with pytest.raises(MethodError, match=r"does not vary|not positive definite"):
            bound(Spread.from_covariance(still))
        assert_array_equal(np.isnan(bound(many)), [True, False])
        with pytest.raises(MethodError, match="at least 2 items are needed, got 1"):
            bound(Spread.from_covariance([[1.0]]))


def test_copies_have_no_greatest_lower_bound():
    matrix = np.full((3, 3), 0.5) + 0.5 * np.eye(3)
    matrix[0, 1] = matrix[1, 0] = 1.0
    with pytest.raises(MethodError, match="not positive definite"):
        g.glb(Spread.from_covariance(matrix))


def test_bad_options():
    matrix = random_covariance(6, k=21)
    with pytest.raises(SpecError, match="21 items have 352,716 split halves"):
        g.split_halves(matrix)
    with pytest.raises(SpecError, match="draws must be at least 1"):
        g.split_halves(matrix, rng=np.random.default_rng(0), draws=0)
    with pytest.raises(MethodError, match="at least 2 items is needed"):
        g.split_halves([[1.0]])
    with pytest.raises(MethodError, match="does not vary"):
        g.split_halves(np.diag([1.0, 0.0]))
    for order in (-1, 9, 1.5, True):
        with pytest.raises(SpecError, match="whole number from 0 to 8"):
            g.ten_berge(Spread.from_covariance(random_covariance(0)), order=order)


@pytest.mark.slow
def test_best_split_of_a_sample_lies_above_the_reliability_it_bounds():
    load = np.full(10, 0.5)
    truth = one_factor(load)
    rng = np.random.default_rng(7)
    x = rng.normal(size=(500, 100, 1)) * load + rng.normal(size=(500, 100, 10)) * np.sqrt(0.75)
    centred = x - x.mean(axis=1, keepdims=True)
    spread = Spread.from_covariance(np.swapaxes(centred, 1, 2) @ centred / 99)
    reliability = omega(truth)
    assert g.lambda4(spread).mean() > reliability + 0.05
    assert g.glb(spread).mean() > reliability + 0.05
    assert abs(g.lambda2(spread).mean() - reliability) < 0.02
