from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import optimize

from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.methods.latent.alignment import _Problem, align_groups
from lgpi_research.methods.latent.configural import configural_one_factor


def truth(seed: int, groups: int = 10, k: int = 6, differ: float = 0.1) -> tuple[np.ndarray, ...]:
    """Return loadings and intercepts of every group, means, deviations, and what differs."""
    rng = np.random.default_rng(seed)
    load = np.tile(rng.uniform(0.6, 1.0, k), (groups, 1))
    cut = np.tile(rng.uniform(-0.5, 0.5, k), (groups, 1))
    apart = np.zeros((2, groups, k), dtype=bool)
    for kind, values in enumerate((load, cut)):
        chosen = rng.random((groups, k)) < differ
        values[chosen] += np.where(rng.random(chosen.sum()) < 0.5, -0.4, 0.4)
        apart[kind] = chosen
    mean = rng.normal(0, 0.5, groups)
    deviation = np.exp(rng.normal(0, 0.2, groups))
    mean[0], deviation[0] = 0.0, 1.0
    return load, cut, mean, deviation, apart


def drawn(seed: int, n: int, *given: np.ndarray):
    load, cut, mean, deviation = given
    rng = np.random.default_rng(seed)
    groups, k = load.shape
    means, covs = np.empty((groups, k)), np.empty((groups, k, k))
    for g in range(groups):
        factor = mean[g] + deviation[g] * rng.normal(size=(n, 1))
        x = cut[g] + factor * load[g] + 0.7 * rng.normal(size=(n, k))
        means[g], covs[g] = x.mean(axis=0), np.cov(x.T, ddof=0)
    return configural_one_factor(means, covs, np.full(groups, n))


def align(found, **options):
    return align_groups(found.loadings, found.intercepts, found.cov, found.n, **options)


def test_the_slope_is_that_of_the_loss():
    load, cut, *_ = truth(1, 4)
    problem = _Problem(load, cut, np.array([100.0, 200, 300, 50]), False, 0)
    at = np.random.default_rng(1).normal(size=7) * 0.3
    numeric = optimize.approx_fprime(at, lambda a: problem.loss(a, 0.01)[0], 1e-7)
    assert_allclose(problem.loss(at, 0.01)[1], numeric, atol=1e-6)


def test_partial_invariance_is_recovered():
    load, cut, mean, deviation, apart = truth(2)
    found = align(drawn(2, 4000, load, cut, mean, deviation))
    assert_allclose(found.means, mean, atol=0.12)
    assert_allclose(np.sqrt(found.variances), deviation, atol=0.12)
    flagged = ~np.stack([found.loadings_invariant, found.intercepts_invariant])
    assert (flagged == apart).mean() > 0.95
    assert abs(found.noninvariant_share - apart.mean()) < 0.05


def test_standard_errors_are_those_of_repeated_samples():
    load, cut, mean, deviation, _ = truth(3, 4, 5, 0.0)
    load[1, 0] += 0.4
    cut[2, 1] -= 0.5
    runs = [align(drawn(s, 1000, load, cut, mean, deviation), smoothing=0.01) for s in range(80)]
    means = np.array([run.means for run in runs])[:, 1:]
    told = np.mean([np.sqrt(np.diag(run.cov))[1:4] for run in runs], axis=0)
    assert_allclose(means.std(axis=0, ddof=1), told, rtol=0.3)
    deviations = np.array([run.variances for run in runs])[:, 1:]
    told = np.mean([np.sqrt(np.diag(run.cov))[5:] for run in runs], axis=0)
    assert_allclose(deviations.std(axis=0, ddof=1), told, rtol=0.3)


def test_covariances_are_those_of_small_changes():
    load, cut, mean, deviation, _ = truth(4, 3, 4)
    base = drawn(4, 500, load, cut, mean, deviation)

    def solve(values):
        half = values.reshape(3, 8)
        run = align_groups(half[:, :4], half[:, 4:], base.cov, base.n, smoothing=0.01)
        return np.concatenate([run.means, run.variances])

    at = np.hstack([base.loadings, base.intercepts]).ravel()
    step = 1e-4
    slopes = np.array([(solve(at + e) - solve(at - e)) / (2 * step) for e in np.eye(24) * step])
    whole = np.zeros((24, 24))
    for g in range(3):
        whole[8 * g : 8 * g + 8, 8 * g : 8 * g + 8] = base.cov[g]
    expected = slopes.T @ whole @ slopes
    assert_allclose(align(base, smoothing=0.01).cov, expected, atol=0.01 * expected.max())


def test_the_reference_only_sets_the_units():
    load, cut, mean, deviation, _ = truth(5)
    found = drawn(5, 1000, load, cut, mean, deviation)
    first, other = align(found, fixed=False), align(found, fixed=False, reference=3)
    unit = np.sqrt(first.variances[3])
    assert_allclose(other.means, first.means / unit, atol=1e-5)
    assert_allclose(other.variances, first.variances / unit**2, atol=1e-5)
    assert (other.loadings_invariant == first.loadings_invariant).all()


def test_configural_errors_are_those_of_repeated_samples():
    load, cut, mean, deviation, _ = truth(6, 200, 5, 0.0)
    mean[:], deviation[:] = 0, 1
    found = drawn(6, 400, load, cut, mean, deviation)
    spread = found.loadings.var(axis=0, ddof=1)
    assert_allclose(np.diagonal(found.cov[:, :5, :5].mean(axis=0)), spread, rtol=0.35)
    assert_allclose(np.diagonal(found.cov[0, 5:, 5:]), found.intercepts.var(axis=0), rtol=0.35)


def test_twenty_groups_of_twelve_items_take_less_than_ten_seconds():
    load, cut, mean, deviation, _ = truth(7, 20, 12)
    found = drawn(7, 1000, load, cut, mean, deviation)
    began = time.perf_counter()
    align(found)
    assert time.perf_counter() - began < 10


def test_bad_input_is_named():
    ones = np.ones((2, 3))
    cov = np.tile(np.eye(6), (2, 1, 1))
    with pytest.raises(DataError, match="2 problems") as told:
        align_groups(ones, ones[:, :2], cov, [10, 0])
    assert "every group needs respondents" in str(told.value)
    with pytest.raises(DataError, match="at least 2 groups"):
        align_groups(ones[:1], ones[:1], cov[:1], [10])
    with pytest.raises(SpecError, match="reference"):
        align_groups(ones, ones, cov, [10, 10], reference=2)
    with pytest.raises(SpecError, match="smoothing"):
        align_groups(ones, ones, cov, [10, 10], smoothing=0)


def test_groups_without_a_factor_are_named():
    load = np.array([1.05, 0.7, 0.6, 0.5])
    heywood = np.outer(load, load)
    np.fill_diagonal(heywood, 1)
    with pytest.raises(MethodError, match="group 2: Heywood case"):
        configural_one_factor(np.zeros((2, 4)), [np.eye(4) * 0.5 + 0.5, heywood], [99, 99])
    bad = np.ones((4, 4))
    with pytest.raises(DataError, match="group 1: it is not positive definite"):
        configural_one_factor(np.zeros((2, 4)), [bad, np.eye(4)], [99, 3])
    with pytest.raises(DataError, match="shapes"):
        configural_one_factor(np.zeros((2, 4)), np.eye(4), [99, 99])


def test_a_free_mean_of_equal_loadings_is_not_identified():
    load = np.array([0.8, 0.7, 0.6, 0.7])
    matrix = np.outer(load, load) + np.diag(1 - load**2)
    found = configural_one_factor(np.zeros((3, 4)), [matrix] * 3, [500] * 3)
    with pytest.raises(MethodError, match="not identified"):
        align(found, fixed=False)
    assert align(found).noninvariant_share == 0
