from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.consistency import Spread, alpha, correlation
from lgpi_research.methods.onefactor import (
    average_variance_extracted,
    omega,
    omega_total,
    one_factor,
)

METHODS = ("ml", "minres")


def sample(seed: int, k: int = 6, n: int = 300) -> np.ndarray:
    rng = np.random.default_rng(seed)
    load = rng.uniform(0.4, 0.8, k)
    x = rng.normal(size=(n, 1)) * load + rng.normal(size=(n, k)) * np.sqrt(1 - load**2)
    return np.cov((x * rng.uniform(0.5, 3, k)).T)


@pytest.mark.parametrize("method", METHODS)
def test_a_matrix_of_one_factor_is_recovered(method):
    load = np.array([0.9, -0.7, 0.6, 0.3, 0.5])
    size = np.array([1.0, 2.0, 5.0, 0.1, 1.0])
    matrix = (np.outer(load, load) + np.diag(1 - load**2)) * np.outer(size, size)
    fit = one_factor(matrix, method=method)
    assert_allclose(fit.loadings, load * size, rtol=1e-8)
    assert_allclose(fit.uniquenesses, (1 - load**2) * size**2, rtol=1e-8)
    assert fit.converged
    assert fit.proper


@pytest.mark.parametrize("method", METHODS)
def test_three_items_are_solved_exactly(method):
    matrix = correlation(sample(1, k=3))
    r, fit = matrix, one_factor(matrix, method=method)
    expected = np.sqrt(r[0, 1] * r[0, 2] / r[1, 2])
    assert_allclose(fit.loadings[0], expected, rtol=1e-9)


def likelihood(parameters: np.ndarray, matrix: np.ndarray) -> float:
    k = len(matrix)
    implied = np.outer(parameters[:k], parameters[:k]) + np.diag(np.exp(parameters[k:]))
    return np.linalg.slogdet(implied)[1] + np.trace(np.linalg.solve(implied, matrix))


@pytest.mark.parametrize("seed", range(4))
def test_maximum_likelihood_is_the_optimum_of_a_general_optimiser(seed):
    matrix = sample(seed, k=5)
    fit = one_factor(matrix)
    here = np.concatenate([fit.loadings, np.log(fit.uniquenesses)])
    scale = np.sqrt(np.diag(matrix))
    start = np.concatenate([0.6 * scale, np.log(0.6 * scale**2)])
    other = optimize.minimize(likelihood, start, args=(matrix,), method="BFGS", tol=1e-9)
    assert likelihood(here, matrix) <= other.fun + 1e-9
    found = other.x[:5] * np.sign(other.x[:5].sum())
    assert_allclose(fit.loadings, found, rtol=2e-4)


@pytest.mark.parametrize("seed", range(4))
def test_minres_is_the_optimum_of_a_general_optimiser(seed):
    matrix = correlation(sample(seed, k=5))
    upper = np.triu_indices(5, 1)

    def residual(loadings):
        return (matrix - np.outer(loadings, loadings))[upper]

    other = optimize.least_squares(residual, np.full(5, 0.6), xtol=1e-15, ftol=1e-15, gtol=1e-15)
    found = other.x * np.sign(other.x.sum())
    assert_allclose(one_factor(matrix, method="minres").loadings, found, rtol=1e-6)


@given(seed=st.integers(0, 500), size=st.floats(0.01, 100))
def test_omega_does_not_depend_on_unit_or_order(seed, size):
    matrix = sample(seed)
    order = np.random.default_rng(seed).permutation(6)
    one = Spread.from_covariance(matrix)
    other = Spread.from_covariance(size**2 * matrix[np.ix_(order, order)])
    for function in (omega, omega_total):
        assert_allclose(function(one), function(other), rtol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_many_matrices_at_once_are_each_alone(method):
    many = np.stack([sample(seed) for seed in range(12)]).reshape(3, 4, 6, 6)
    together = one_factor(many, method=method)
    assert together.loadings.shape == (3, 4, 6)
    assert together.proper.all()
    for i in range(3):
        for j in range(4):
            alone = one_factor(many[i, j], method=method)
            assert_allclose(together.loadings[i, j], alone.loadings, rtol=1e-9)
            assert_allclose(together.uniquenesses[i, j], alone.uniquenesses, rtol=1e-9)


def test_omega_is_alpha_for_equal_loadings_and_above_it_for_unequal_ones():
    equal = Spread.from_covariance(np.full((4, 4), 0.5) + 0.5 * np.eye(4))
    assert_allclose(omega(equal), alpha(equal), rtol=1e-9)
    assert_allclose(omega_total(equal), alpha(equal), rtol=1e-9)
    load = np.array([0.9, 0.3, 0.5, 0.7])
    unequal = Spread.from_covariance(np.outer(load, load) + np.diag(1 - load**2))
    assert omega(unequal) > alpha(unequal)
    assert_allclose(omega(unequal), load.sum() ** 2 / unequal.total, rtol=1e-9)


def test_average_variance_extracted_is_the_mean_squared_standardised_loading():
    matrix = sample(3)
    fit = one_factor(matrix)
    expected = np.mean(fit.loadings**2 / np.diag(matrix))
    assert_allclose(average_variance_extracted(fit), expected, rtol=1e-9)


HEYWOOD = np.array([[1.0, 0.9, 0.9], [0.9, 1.0, 0.5], [0.9, 0.5, 1.0]])  # r12 r13 / r23 = 1.62


@pytest.mark.parametrize("method", METHODS)
def test_heywood_case_is_named_alone_and_marked_among_many(method):
    with pytest.raises(MethodError, match=r"Heywood case: the uniqueness of item 1 is -0\.62"):
        one_factor(HEYWOOD, method=method)
    good = correlation(sample(1, k=3))
    fit = one_factor(np.stack([HEYWOOD, good]), method=method)
    assert_array_equal(fit.proper, [False, True])
    assert np.isnan(fit.loadings[0]).all()
    for function in (omega, omega_total):
        found = function(Spread.from_covariance(np.stack([HEYWOOD, good])))
        assert_array_equal(np.isnan(found), [True, False])


@pytest.mark.parametrize("method", METHODS)
def test_items_that_share_no_factor_do_not_converge(method):
    signs = np.array([[1.0, 0.5, 0.5], [0.5, 1.0, -0.5], [0.5, -0.5, 1.0]])  # r12 r13 r23 < 0
    with pytest.raises(MethodError):
        one_factor(signs, method=method)


def test_copies_have_no_solution_of_maximum_likelihood():
    matrix = np.full((4, 4), 0.4) + 0.6 * np.eye(4)
    matrix[0, 1] = matrix[1, 0] = 1.0
    with pytest.raises(MethodError, match="nearly repeats another"):
        one_factor(matrix)


def gradient(matrix: np.ndarray, loadings: np.ndarray, unique: np.ndarray) -> np.ndarray:
    """Slopes of the likelihood in loadings and uniquenesses."""
    inverse = np.linalg.inv(np.outer(loadings, loadings) + np.diag(unique))
    core = inverse - inverse @ matrix @ inverse
    return np.concatenate([core @ loadings, np.diag(core)])


def test_a_maximum_that_newton_steps_from_minres_miss():
    upper = [0.54, 0.08, 0.55, 0.44, 0.29, 0.76, 0.37, 0.1, 0.08, 0.3]
    matrix = np.eye(5)
    matrix[np.triu_indices(5, 1)] = upper
    matrix = matrix + matrix.T - np.eye(5)
    fit = one_factor(matrix)
    assert_allclose(gradient(matrix, fit.loadings, fit.uniquenesses), 0, atol=1e-9)
    assert_allclose(fit.loadings, [0.6294, 0.9028, 0.2392, 0.8359, 0.4188], atol=1e-4)


def test_small_samples_have_solutions_that_are_stationary():
    rng = np.random.default_rng(5)
    load = rng.uniform(0.1, 0.95, (300, 1, 6))
    x = rng.normal(size=(300, 40, 1)) * load + rng.normal(size=(300, 40, 6)) * np.sqrt(1 - load**2)
    many = np.stack([correlation(np.cov(part.T)) for part in x])
    fit = one_factor(many)
    assert 0.75 < fit.proper.mean() < 0.95
    for matrix, loadings, unique in zip(
        many[fit.proper], fit.loadings[fit.proper], fit.uniquenesses[fit.proper], strict=True
    ):
        assert np.abs(gradient(matrix, loadings, unique)).max() * unique.min() < 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_the_sum_of_the_loadings_is_positive(method):
    load = np.array([-0.9, 0.6, 0.5, 0.4])
    matrix = np.outer(load, load) + np.diag(1 - load**2)
    assert_allclose(one_factor(matrix, method=method).loadings, load, rtol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_an_item_that_does_not_vary(method):
    matrix = sample(0)
    matrix[2, :] = matrix[:, 2] = 0.0
    with pytest.raises(MethodError, match="does not vary"):
        one_factor(matrix, method=method)
    fit = one_factor(np.stack([matrix, sample(0)]), method=method)
    assert_array_equal(fit.proper, [False, True])


def test_two_items():
    with pytest.raises(MethodError, match="at least 3 items"):
        one_factor(np.eye(2))
    with pytest.raises(MethodError, match="at least 3 items"):
        omega(Spread.from_covariance(np.eye(2)))


def test_unknown_method():
    with pytest.raises(SpecError, match="'ml' or 'minres'"):
        one_factor(np.eye(3), method="paf")


def test_agrees_with_statsmodels():
    factor = pytest.importorskip("statsmodels.multivariate.factor")
    matrix = correlation(sample(5, k=7))
    fitted = factor.Factor(corr=matrix, n_factor=1, method="ml", nobs=300).fit()
    assert_allclose(one_factor(matrix).uniquenesses, fitted.uniqueness, rtol=1e-4)
