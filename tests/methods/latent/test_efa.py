from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import optimize

from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.methods.latent.efa import extract_factors, factor_fit
from lgpi_research.methods.latent.principal import principal_components
from lgpi_research.methods.onefactor import one_factor

METHODS = ("minres", "ml", "principal_axis")


def population(seed: int, k: int = 9, m: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    load = rng.uniform(-0.2, 0.2, (k, m))
    load[np.arange(k), np.arange(k) * m // k] = rng.uniform(0.5, 0.8, k)
    matrix = load @ load.T
    unique = 1 - np.diag(matrix)
    return matrix + np.diag(unique), unique


def sample(seed: int, n: int = 300) -> np.ndarray:
    matrix, _ = population(seed)
    x = np.random.default_rng(seed).multivariate_normal(np.zeros(len(matrix)), matrix, n)
    return np.corrcoef(x.T)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(3))
def test_an_exact_matrix_is_recovered(method, seed):
    matrix, unique = population(seed)
    tight = 1e-13 if method == "principal_axis" else None
    fit = extract_factors(matrix, 3, method=method, tolerance=tight)
    assert_allclose(fit.uniquenesses, unique, atol=1e-6)
    assert_allclose(fit.loadings @ fit.loadings.T + np.diag(fit.uniquenesses), matrix, atol=1e-6)


@pytest.mark.parametrize("method", ["minres", "ml"])
def test_one_factor_is_that_of_the_one_factor_model(method):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 1)) * 0.8 + rng.normal(size=(200, 5))
    matrix = np.corrcoef(x.T)
    fit = extract_factors(matrix, 1, method=method)
    assert_allclose(fit.loadings[:, 0], one_factor(matrix, method=method).loadings, rtol=1e-7)


def discrepancy(load: np.ndarray, matrix: np.ndarray, m: int, method: str) -> float:
    pattern = load.reshape(-1, m)
    model = pattern @ pattern.T
    if method == "minres":
        return float(np.square((matrix - model)[np.triu_indices(len(matrix), 1)]).sum())
    np.fill_diagonal(model, 1.0)
    sign, logs = np.linalg.slogdet(model)
    return logs + np.trace(np.linalg.solve(model, matrix)) if sign > 0 else 1e3


@pytest.mark.parametrize("method", ["minres", "ml"])
def test_no_general_optimiser_finds_a_better_solution(method):
    matrix = sample(1)
    fit = extract_factors(matrix, 2, method=method)
    start = principal_components(matrix, 2) * 0.8
    other = optimize.minimize(
        discrepancy, start.ravel(), args=(matrix, 2, method), method="L-BFGS-B", tol=1e-14
    )
    found = discrepancy(fit.loadings.ravel(), matrix, 2, method)
    assert found <= other.fun + 1e-9
    assert_allclose(found, other.fun, rtol=1e-5)


def test_principal_axes_lead_to_minres():
    matrix = sample(2)
    axes = extract_factors(matrix, 3, method="principal_axis", tolerance=1e-13)
    assert_allclose(axes.uniquenesses, extract_factors(matrix, 3).uniquenesses, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_units_and_order_of_items_do_not_matter(method):
    matrix, _ = population(4)
    fit = extract_factors(sample(4), 3, method=method)
    order = np.random.default_rng(0).permutation(len(matrix))
    size = np.linspace(0.5, 4, len(matrix))
    turned = (sample(4) * np.outer(size, size))[np.ix_(order, order)]
    other = extract_factors(turned, 3, method=method)
    assert_allclose(other.uniquenesses, fit.uniquenesses[order], atol=1e-7)


def test_heywood_cases_are_named():
    load = np.array([1.02, 0.7, 0.6, 0.5, 0.4])
    matrix = np.outer(load, load)
    np.fill_diagonal(matrix, 1)
    for method in METHODS:
        with pytest.raises(MethodError, match="Heywood case: no positive uniqueness of item 1"):
            extract_factors(matrix, 1, method=method)


def test_bad_matrices_are_named():
    bad = np.array([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]])
    with pytest.raises(DataError, match=r"not positive definite: its smallest root is -0\.8"):
        extract_factors(bad, 1)
    with pytest.raises(DataError, match="items 2 do not vary"):
        extract_factors(np.diag([1.0, 0, 1]), 1)
    with pytest.raises(DataError, match="missing or infinite"):
        extract_factors(np.where(np.eye(3) > 0, 1, np.nan), 1)
    with pytest.raises(DataError, match="square"):
        extract_factors(np.ones((2, 3)), 1)
    with pytest.raises(DataError, match="symmetric"):
        extract_factors(np.array([[1, 0.2, 0], [0.3, 1, 0], [0, 0, 1]]), 1)


def test_more_factors_than_items_show_and_unknown_methods_are_refused():
    with pytest.raises(SpecError, match="9 items can show 1 to 5 factors, got 6"):
        extract_factors(sample(1), 6)
    with pytest.raises(SpecError, match="Did you mean 'minres'"):
        extract_factors(sample(1), 2, method="minre")


def test_the_test_of_fit_has_its_distribution():
    matrix, _ = population(5)
    rng = np.random.default_rng(5)
    chi = []
    for _ in range(200):
        drawn = np.corrcoef(rng.multivariate_normal(np.zeros(9), matrix, 400).T)
        fit = factor_fit(drawn, extract_factors(drawn, 3, method="ml"), 400)
        chi.append(fit.chi_square)
        assert fit.rmsea_low <= fit.rmsea <= fit.rmsea_high
    # Mean 12 with a standard error of sqrt(24 / 200) = 0.35.
    assert abs(np.mean(chi) - fit.df) < 1.05


def test_fit_needs_degrees_of_freedom_and_respondents():
    matrix = sample(1)[:3, :3]
    fit = extract_factors(matrix, 1)
    with pytest.raises(MethodError, match="no degrees of freedom"):
        factor_fit(matrix, fit, 100)
    with pytest.raises(MethodError, match="too few"):
        factor_fit(sample(1), extract_factors(sample(1), 2), 5)
    with pytest.raises(SpecError, match="level"):
        factor_fit(sample(1), extract_factors(sample(1), 2), 500, level=90)


def test_components_restore_the_matrix():
    matrix = sample(1)
    found = principal_components(matrix, 9)
    assert_allclose(found @ found.T, matrix, atol=1e-12)
    with pytest.raises(SpecError, match="between 1 and 9"):
        principal_components(matrix, 10)


def test_small_samples_end_at_a_solution_or_a_heywood_case():
    rng = np.random.default_rng(0)
    for _ in range(60):
        k, m = int(rng.integers(6, 12)), int(rng.integers(1, 4))
        x = rng.normal(size=(60, m)) @ rng.normal(size=(m, k)) * 0.6 + rng.normal(size=(60, k))
        for method in ("ml", "minres"):
            try:
                fit = extract_factors(np.corrcoef(x.T), m, method=method)
            except MethodError as error:
                assert "Heywood" in str(error)  # noqa: PT017
            else:
                assert (fit.uniquenesses > 0).all()
