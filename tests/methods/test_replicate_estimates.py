from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.design import Design
from lgpi_research.methods.estimates import means
from lgpi_research.methods.points import point_means, point_ratios, point_totals
from lgpi_research.methods.replicate_estimates import (
    replicate_covariance,
    replicate_means,
    replicate_ratios,
    replicate_regression,
    replicate_sums,
    replicate_totals,
)
from lgpi_research.methods.replication import ReplicateWeights, replicate_weights


@pytest.fixture
def design():
    rng = np.random.default_rng(4)
    psu = np.repeat(np.arange(10), rng.integers(2, 6, 10))
    return Design.from_labels(
        len(psu), weights=rng.uniform(1, 4, len(psu)), strata=psu // 4, stages=[psu]
    )


@pytest.fixture
def reps(design):
    return replicate_weights(design, "jkn")


@pytest.fixture
def table(design):
    rng = np.random.default_rng(5)
    y = rng.normal(5, 2, (len(design.weights), 3))
    y[rng.random(y.shape) < 0.1] = np.nan
    return y


def each_weight(design: Design, reps: ReplicateWeights) -> np.ndarray:
    return design.weights * reps.multipliers[:, reps.psu]


def by_hand(each: np.ndarray, full: np.ndarray, reps: ReplicateWeights) -> np.ndarray:
    left = each - full
    return sum(c * np.outer(d, d) for c, d in zip(reps.rscales, left, strict=True)) * reps.scale


@pytest.mark.parametrize("complete", [False, True])
def test_means_totals_and_ratios_are_those_of_each_set_of_weights(design, reps, table, complete):
    table = np.nan_to_num(table, nan=3.0) if complete else table
    w, every = design.weights, each_weight(design, reps)
    for found, full, each in (
        (replicate_means(table, w, reps), point_means(w, table), point_means(every, table)),
        (replicate_totals(table, w, reps), point_totals(w, table), point_totals(every, table)),
        (
            replicate_ratios(table, table[:, ::-1] + 9, w, reps),
            point_ratios(w, table, table[:, ::-1] + 9),
            point_ratios(every, table, table[:, ::-1] + 9),
        ),
    ):
        assert_allclose(found.estimate, full, rtol=1e-12)
        assert_allclose(found.replicates, each, rtol=1e-12)
        assert_allclose(found.covariance, by_hand(each, full, reps), rtol=1e-9)
        assert found.df == design.df
    used = ~np.isnan(table)
    assert_array_equal(replicate_means(table, w, reps).n_used, used.sum(axis=0))


def test_jackknife_of_a_mean_of_equal_psus_is_its_linearised_variance():
    """Means of equally weighted PSUs of equal size are linear: then both are the same."""
    psu = np.repeat(np.arange(12), 3)
    design = Design.from_labels(36, strata=psu // 4, stages=[psu])
    y = np.random.default_rng(0).normal(size=(36, 2))
    found = replicate_means(y, design.weights, replicate_weights(design, "jkn"))
    assert_allclose(found.covariance, means(y, design).cov, rtol=1e-10)
    limits = np.column_stack(means(y, design).interval())
    assert_allclose(found.interval(), limits, rtol=1e-10)


@given(
    shift=st.floats(-1e6, 1e6), factor=st.floats(1e-3, 1e3), scale=st.floats(1e-3, 1e3),
    seed=st.integers(0, 9),
)  # fmt: skip
@settings(max_examples=30)
def test_units_of_values_and_weights_and_order_of_rows_do_not_matter(shift, factor, scale, seed):
    rng = np.random.default_rng(seed)
    psu = np.repeat(np.arange(8), 3)
    design = Design.from_labels(24, weights=rng.uniform(1, 3, 24), strata=psu // 4, stages=[psu])
    reps = replicate_weights(design, "brr" if seed > 20 else "jkn")
    y = rng.normal(size=(24, 1))
    found = replicate_means(y, design.weights, reps)
    moved = replicate_means(shift + factor * y, scale * design.weights, reps)
    assert_allclose(moved.estimate, shift + factor * found.estimate, rtol=1e-9, atol=1e-9)
    assert_allclose(moved.std_error, factor * found.std_error, rtol=1e-6 + 1e-9 * abs(shift))
    order = rng.permutation(24)
    mixed = replicate_means(y[order], design.weights[order], replace(reps, psu=reps.psu[order]))
    assert_allclose(mixed.covariance, found.covariance, rtol=1e-10)


def test_a_domain_is_the_rows_that_have_a_value(design, reps, table):
    inside = np.arange(len(table)) % 3 > 0
    y = np.where(inside[:, None], table, np.nan)
    found = replicate_means(y, design.weights, reps)
    every = each_weight(design, reps) * inside
    assert_allclose(found.replicates, point_means(every, table), rtol=1e-12)


def test_regression_is_that_of_each_set_of_weights(design, reps, table):
    y, x = table[:, 0], np.column_stack([np.ones(len(table)), table[:, 1:] + 1000])
    found = replicate_regression(y, x, design.weights, reps)
    kept = ~np.isnan(table).any(axis=1)

    def fit(w):
        root = np.sqrt(w[kept])
        return np.linalg.lstsq(x[kept] * root[:, None], y[kept] * root, rcond=None)[0]

    each = np.array([fit(w) for w in each_weight(design, reps)])
    full = fit(design.weights)
    assert_allclose(found.estimate, full, rtol=1e-8)
    assert_allclose(found.replicates, each, rtol=1e-7)
    assert_allclose(found.covariance, by_hand(each, full, reps), rtol=1e-6)
    assert_array_equal(found.n_used, kept.sum())


def test_dependent_columns_are_named(design, reps):
    x = np.random.default_rng(0).normal(size=(len(design.weights), 2))
    table = np.column_stack([x, x.sum(axis=1), np.zeros(len(x))])
    with pytest.raises(MethodError, match="columns 3, 4 of X are sums of the columns before"):
        replicate_regression(x[:, 0], table, design.weights, reps)


def test_columns_that_depend_in_a_replicate_leave_it_without_an_estimate(design, reps):
    only = (design.stages[0] == 3).astype(float)
    x = np.column_stack([np.ones(len(only)), only])
    y = np.random.default_rng(0).normal(size=len(only))
    with pytest.raises(MethodError, match="1 of 10 replicates have no estimate of number 1, 2"):
        replicate_regression(y, x, design.weights, reps)
    found = replicate_regression(y, x, design.weights, reps, undefined="drop")
    assert np.isnan(found.replicates).all(axis=1).sum() == 1
    assert np.isfinite(found.std_error).all()


def test_replicates_without_an_estimate_are_refused_or_left_out(design, reps):
    y = np.where(design.stages[0] == 3, 1.0, np.nan)[:, None]
    with pytest.raises(MethodError, match="1 of 10 replicates have no estimate") as caught:
        replicate_means(y, design.weights, reps)
    assert "'fay'" in str(caught.value)
    dropped = replicate_means(y, design.weights, reps, undefined="drop")
    assert_allclose(dropped.covariance, 0.0, atol=1e-20)
    with pytest.raises(SpecError, match="undefined must be 'fail' or 'drop'"):
        replicate_means(y, design.weights, reps, undefined="ignore")


def test_rows_without_a_weight_are_behind_no_estimate(design, reps):
    y = np.ones((len(design.weights), 2))
    y[0, 1] = np.nan
    base = np.where(np.arange(len(y)) < 2, 0.0, design.weights)
    for found in (
        replicate_means(y, base, reps),
        replicate_totals(y, base, reps),
        replicate_ratios(y, y, base, reps),
        replicate_regression(y[:, 0], y[:, :1], base, reps),
    ):
        assert_array_equal(found.n_used, len(y) - 2)


def test_nothing_to_divide_by(design, reps):
    empty = np.full((len(design.weights), 2), np.nan)
    empty[:, 0] = 1.0
    with pytest.raises(MethodError, match="estimate 2: no row that has the value"):
        replicate_means(empty, design.weights, reps)
    with pytest.raises(MethodError, match="estimate 1: "):
        replicate_ratios(empty[:, :1], np.zeros((len(empty), 1)), design.weights, reps)


def test_replicates_are_compared_with_the_estimate_or_with_their_mean(reps):
    rng = np.random.default_rng(0)
    each, full = rng.normal(size=(10, 2)), np.array([0.5, 0.0])
    found = replicate_covariance(each, full, reps)
    assert_allclose(found, by_hand(each, full, reps))
    centred = replace(reps, centre="mean")
    assert_allclose(
        replicate_covariance(each, full, centred), by_hand(each, each.mean(axis=0), reps)
    )
    # Replicates that do not count have no part in the mean.
    some = replace(centred, rscales=np.r_[0.0, reps.rscales[1:]])
    assert_allclose(
        replicate_covariance(each, full, some), by_hand(each, each[1:].mean(axis=0), some)
    )


def test_shapes_that_do_not_fit(design, reps):
    n = len(design.weights)
    with pytest.raises(MethodError, match=f"replicates are of {n} rows"):
        replicate_sums(np.ones((n - 1, 1)), np.ones(n - 1), reps)
    for values, weights in ((n - 1, n), (n, n - 1)):
        with pytest.raises(MethodError, match=f"replicates are of {n} rows"):
            replicate_means(np.ones((values, 1)), np.ones(weights), reps)
    with pytest.raises(MethodError, match="values must be rows by columns"):
        replicate_means(np.ones(n), design.weights, reps)
    with pytest.raises(MethodError, match="10 replicates of 2 estimates"):
        replicate_covariance(np.ones((9, 2)), np.ones(2), reps)
    with pytest.raises(MethodError, match="do not fit"):
        replicate_ratios(np.ones((n, 1)), np.ones((n, 2)), design.weights, reps)
    with pytest.raises(MethodError, match="do not fit"):
        replicate_regression(np.ones(n - 1), np.ones((n, 1)), design.weights, reps)


def test_intervals_use_t_and_check_the_level(design, reps, table):
    found = replicate_means(table, design.weights, reps)
    reach = stats.t.isf(0.05, design.df) * found.std_error
    assert_allclose(np.diff(found.interval(0.9), axis=1)[:, 0], 2 * reach)
    with pytest.raises(SpecError, match="level must lie between 0 and 1"):
        found.interval(95)


# Known truth: samples of PSUs from a population of strata of unequal PSUs -------------------

METHODS = ("jkn", "brr", "fay", "subbootstrap")


def simulate(runs: int, strata: int = 12) -> dict[str, tuple[float, float]]:
    """Mean variance over the true one, and coverage of 95 % intervals, by method."""
    rng = np.random.default_rng(20)
    psus, size = 60, 12
    shape = (strata, psus, size)
    level = rng.normal(size=(strata, 1, 1)) + rng.normal(0, 0.5, (strata, psus, 1))
    values = level + rng.normal(size=shape)
    asked = rng.integers(4, size + 1, (strata, psus))  # members differ in number
    present = np.arange(size) < asked[..., None]
    truth = values[present].mean()
    at = np.repeat(np.arange(strata), 2)
    found = {name: ([], []) for name in METHODS}
    estimates = []
    for run in range(runs):
        drawn = np.argsort(rng.random((strata, psus)), axis=1)[:, :2].ravel()
        here = present[at, drawn]
        psu = np.broadcast_to(np.arange(2 * strata)[:, None], here.shape)[here]
        y = values[at, drawn][here][:, None]
        design = Design.from_labels(len(y), strata=psu // 2, stages=[psu])
        for name in METHODS:
            options = (
                {"rng": np.random.default_rng([1, run]), "size": 200}
                if name == "subbootstrap"
                else {}
            )
            mean = replicate_means(y, design.weights, replicate_weights(design, name, **options))
            (low, high) = mean.interval()[0]
            found[name][0].append(mean.covariance[0, 0])
            found[name][1].append(low <= truth <= high)
        estimates.append(mean.estimate[0])
    true = np.var(estimates) / (1 - 2 / psus)  # replicates know of no finite population here
    return {name: (np.mean(v) / true, float(np.mean(c))) for name, (v, c) in found.items()}


def test_variances_are_unbiased_and_intervals_cover():
    for name, (ratio, coverage) in simulate(300).items():
        assert abs(ratio - 1) < 0.25, name  # 0.08 is the simulation error of the true variance
        assert 0.91 <= coverage <= 0.99, name


@pytest.mark.slow
def test_variances_are_unbiased_and_intervals_cover_in_many_samples():
    for name, (ratio, coverage) in simulate(4000).items():
        assert abs(ratio - 1) < 0.07, name
        assert 0.94 <= coverage <= 0.965, name
