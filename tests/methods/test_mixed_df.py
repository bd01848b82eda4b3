"""Tests of fixed effects with few groups: exact cases, invariances, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods import mixed_df
from lgpi_research.methods.mixed import RandomTerm, fit_mixed
from lgpi_research.methods.mixed_df import fixed_tests
from tests.methods.test_mixed import NAMES, dense, designs, messy, ones  # noqa: F401  a fixture

METHODS = ("satterthwaite", "kenward_roger")


@pytest.mark.parametrize("method", METHODS)
def test_a_balanced_split_plot_has_the_degrees_of_freedom_of_its_strata(method):
    rng = np.random.default_rng(1)
    groups, size = 11, 6
    group = np.repeat(np.arange(groups), size)
    between = np.repeat(rng.normal(size=groups), size)  # of the group
    within = np.tile(np.arange(size) - 2.5, groups)  # of the row, alike in all groups
    X = np.column_stack([np.ones(len(group)), between, within])
    y = X @ [1, 0.5, 0.3] + rng.normal(size=groups)[group] + rng.normal(size=len(group))
    found = fixed_tests(fit_mixed(y, X, [RandomTerm(group)]), method=method)
    assert_allclose(found.df, [groups - 2, groups - 2, groups * (size - 1) - 1], rtol=1e-5)
    # The test of the group's characteristic is that of a regression of the group means.
    means = y.reshape(groups, size).mean(axis=1)
    told = stats.linregress(between[::size], means)
    assert_allclose([found.coef[1], found.std_error[1]], [told.slope, told.stderr], rtol=1e-8)
    assert_allclose(found.p_value[1], told.pvalue, rtol=1e-5)
    ends = found.interval(0.9)[1]
    half = stats.t.isf(0.05, groups - 2) * told.stderr
    assert_allclose(ends, [told.slope - half, told.slope + half], rtol=1e-5)


def kenward_roger_by_rows(y, X, V, changes):
    """Return the adjusted covariance and degrees of freedom, with matrices of all rows."""
    inner = np.linalg.inv(V)
    phi = np.linalg.inv(X.T @ inner @ X)
    moved = [inner @ G for G in changes]
    P = [-X.T @ m @ inner @ X for m in moved]
    size = len(changes)
    Q = [[X.T @ a @ b @ inner @ X for b in moved] for a in moved]
    information = np.array(
        [
            [
                np.sum(moved[i] * moved[j].T)
                - 2 * np.trace(phi @ Q[i][j])
                + np.trace(phi @ P[i] @ phi @ P[j])
                for j in range(size)
            ]
            for i in range(size)
        ]
    )
    W = 2 * np.linalg.inv(information)
    change = sum(W[i, j] * (Q[i][j] - P[i] @ phi @ P[j]) for i in range(size) for j in range(size))
    slopes = np.array([np.diag(phi @ p @ phi) for p in P])
    below = np.einsum("ip,ij,jp->p", slopes, W, slopes)
    return phi + 2 * phi @ change @ phi, 2 * np.diag(phi) ** 2 / below


@pytest.mark.parametrize("name", NAMES)
def test_pieces_add_up_to_kenward_and_rogers_formula(messy, name):  # noqa: F811
    terms = designs(messy)[name]
    fit = fit_mixed(messy["y"], messy["X"], terms, weights=messy["weights"])
    V, columns = dense(messy, terms, fit)
    changes = [np.diag(1 / messy["weights"])]
    for groups, term in zip(columns, terms, strict=True):
        q = groups[0].shape[1]
        for a in range(q):
            for b in range(a + 1 if term.correlated else a, a - 1, -1):
                if b < q and (term.correlated or a == b):
                    E = np.zeros((q, q))
                    E[a, b] = E[b, a] = 1
                    changes.append(sum(Z @ E @ Z.T for Z in groups))
    cov, df = kenward_roger_by_rows(messy["y"], messy["X"], V, changes)
    found = fixed_tests(fit, method="kenward_roger")
    assert_allclose(found.cov, cov, rtol=1e-7)
    assert_allclose(found.df, df, rtol=1e-7)


def test_satterthwaite_is_the_delta_method_on_the_variances(messy):  # noqa: F811
    """Derivatives with respect to the variances themselves, by differences, of all rows."""
    terms = designs(messy)["one"]
    fit = fit_mixed(messy["y"], messy["X"], terms, weights=messy["weights"])
    assert not fit.singular
    V, columns = dense(messy, terms, fit)
    X, y = messy["X"], messy["y"]
    shapes = [[[1, 0], [0, 0]], [[0, 1], [1, 0]], [[0, 0], [0, 1]]]
    changes = [sum(Z @ np.array(E) @ Z.T for Z in columns[0]) for E in shapes]
    changes.append(np.diag(1 / messy["weights"]))

    def deviance(step):
        inner = np.linalg.inv(V + np.tensordot(step, changes, axes=1))
        information = X.T @ inner @ X
        residual = y - X @ np.linalg.solve(information, X.T @ inner @ y)
        return (
            -np.linalg.slogdet(inner)[1]
            + np.linalg.slogdet(information)[1]
            + residual @ inner @ residual
        )

    width, unit = 3e-4, np.eye(4)
    curvature = np.array(
        [
            [
                sum(
                    s * t * deviance(width * (s * unit[i] + t * unit[j]))
                    for s in (1, -1)
                    for t in (1, -1)
                )
                / (4 * width**2)
                for j in range(4)
            ]
            for i in range(4)
        ]
    )
    inner = np.linalg.inv(V)
    phi = np.linalg.inv(X.T @ inner @ X)
    slopes = np.array([np.diag(phi @ X.T @ inner @ G @ inner @ X @ phi) for G in changes])
    below = np.einsum("ip,ij,jp->p", slopes, 2 * np.linalg.inv(curvature), slopes)
    assert_allclose(fixed_tests(fit).df, 2 * np.diag(phi) ** 2 / below, rtol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_units_of_outcome_and_columns_do_not_matter(messy, method):  # noqa: F811
    fit = fit_mixed(messy["y"], messy["X"], designs(messy)["nested and crossed"])
    base = fixed_tests(fit, method=method)
    scaled = messy["X"] * [1.0, 1000.0]
    other = fixed_tests(
        fit_mixed(50 * messy["y"], scaled, designs(messy)["nested and crossed"]), method=method
    )
    assert_allclose(other.df, base.df, rtol=1e-5)
    assert_allclose(other.p_value, base.p_value, rtol=1e-4)


def test_a_variance_of_zero_leaves_the_residual_degrees_of_freedom():
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(9), 8)
    y = rng.normal(size=72)
    y = y - (np.bincount(group, y) / 8)[group]
    fit = fit_mixed(y, ones(72), [RandomTerm(group)])
    assert fit.singular
    assert_allclose(fixed_tests(fit).df, 71, rtol=1e-6)
    assert fixed_tests(fit, method="kenward_roger").df[0] < 71


@pytest.mark.parametrize("method", METHODS)
def test_variances_of_very_different_size_are_no_obstacle(method):
    rng = np.random.default_rng(4)
    group = np.repeat(np.arange(9), 8)
    y = 3000 * rng.normal(size=9)[group] + rng.normal(size=72)
    found = fixed_tests(fit_mixed(y, ones(72), [RandomTerm(group)]), method=method)
    assert_allclose(found.df, 8, rtol=1e-4)


def test_what_cannot_be_had_is_said(messy, monkeypatch):  # noqa: F811
    terms = designs(messy)["crossed slope"]
    fit = fit_mixed(messy["y"], messy["X"], terms, reml=False)
    with pytest.raises(SpecError, match="REML"):
        fixed_tests(fit, method="kenward_roger")
    with pytest.raises(SpecError, match="Did you mean 'satterthwaite'"):
        fixed_tests(fit, method="satterthwait")
    with pytest.raises(SpecError, match="between 0 and 1, got 95"):
        fixed_tests(fit).interval(95)
    monkeypatch.setattr(mixed_df, "MOST_COLUMNS", 20)
    with pytest.raises(MethodError, match="at most 20"):
        fixed_tests(fit_mixed(messy["y"], messy["X"], terms), method="kenward_roger")


def test_an_adjusted_variance_that_is_not_positive_is_refused():
    rng = np.random.default_rng([7, 1])  # a slope so steep that little else is left
    group, _, x = rng.integers(0, 9, 100), rng.integers(0, 7, 100), rng.normal(size=100)
    X = np.column_stack([np.ones(100), 2000 + 5 * x])
    y = 4000 * rng.normal(size=9)[group] * x + rng.normal(size=100)
    fit = fit_mixed(y, X, [RandomTerm(group, X, name="region")])
    with pytest.raises(MethodError, match="region is singular"):
        fixed_tests(fit, method="kenward_roger")


def coverage(runs, groups, method):
    """Return how often intervals of a characteristic of groups hold the truth."""
    hits = 0
    for run in range(runs):
        rng = np.random.default_rng([3, run])
        sizes = rng.integers(4, 20, groups)
        group = np.repeat(np.arange(groups), sizes)
        x = rng.normal(size=groups)[group]
        y = 0.5 * x + 0.7 * rng.normal(size=groups)[group] + rng.normal(size=len(group))
        fit = fit_mixed(y, np.column_stack([np.ones(len(x)), x]), [RandomTerm(group)])
        low, high = fixed_tests(fit, method=method).interval()[1]
        hits += low <= 0.5 <= high
    return hits / runs


def test_intervals_with_eight_groups_hold_the_truth():
    assert 0.87 <= coverage(120, 8, "satterthwaite") <= 1  # 0.95 within four errors


@pytest.mark.slow
@pytest.mark.parametrize("groups", [8, 20])
@pytest.mark.parametrize("method", METHODS)
def test_coverage_with_few_groups(groups, method):
    assert 0.935 <= coverage(2500, groups, method) <= 0.965
