from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import optimize, stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.heterogeneity import (
    METHODS,
    between_variance,
    check_effects,
    tau2_interval,
)
from lgpi_research.methods.places import unit_reliability
from lgpi_research.methods.roots import falling_root

SAME_IF_EQUAL = ("DL", "HE", "PM", "EB", "REML")  # where all error variances are equal


def sample(seed: int, k: int = 12, tau2: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effects, error variances, and moderators with a constant."""
    rng = np.random.default_rng([20, seed])
    v = np.exp(rng.normal(-1.5, 1, k))
    X = np.column_stack([np.ones(k), rng.normal(size=k)])
    return 0.4 + 0.3 * X[:, 1] + rng.normal(0, np.sqrt(v + tau2)), v, X


def projector(v: np.ndarray, X: np.ndarray, tau2: float) -> np.ndarray:
    """The matrix P of the literature, from inverses of k × k matrices."""
    W = np.diag(1 / (v + tau2))
    return W - W @ X @ np.linalg.inv(X.T @ W @ X) @ X.T @ W


# Exact cases


@pytest.mark.parametrize("method", SAME_IF_EQUAL)
def test_equal_errors_leave_the_variance_of_effects_less_theirs(method):
    y = np.array([0.1, 0.9, 2.0, 1.2, 3.1])
    assert_allclose(between_variance(y, np.full(5, 0.4), method=method).tau2, y.var(ddof=1) - 0.4)


def test_equal_errors_have_closed_forms_for_ml_hs_and_sj():
    y, v = np.array([0.1, 0.9, 2.0, 1.2, 3.1]), np.full(5, 0.4)
    spread, start = np.square(y - y.mean()).sum(), y.var()
    assert_allclose(between_variance(y, v, method="ML").tau2, spread / 5 - 0.4)
    assert_allclose(between_variance(y, v, method="HS").tau2, spread / 5 - 0.4)
    assert_allclose(between_variance(y, v, method="SJ").tau2, start * spread / (0.4 + start) / 4)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "SJ"])
def test_effects_closer_than_their_errors_leave_no_variance(method):
    found = between_variance([1.0, 1.1, 0.9, 1.05], [1.0, 2.0, 0.5, 1.5], method=method)
    assert found.tau2 == 0
    assert found.std_error > 0


@pytest.mark.parametrize("method", METHODS)
def test_two_effects_are_enough(method):
    # With v equal, all but ML, HS and SJ are (y1 - y2)²/2 - v.
    found = between_variance([0.0, 2.0], [0.5, 0.5], method=method).tau2
    expected = {"ML": 0.5, "HS": 0.5, "SJ": 1.0 * 2 / 1.5}
    assert_allclose(found, expected.get(method, 1.5))


def test_one_effect_of_nearly_all_weight_keeps_contrasts_exact():
    # Differences from an effect without error have variances 1 + 2·tau2 each, so Q is their
    # sum of squares, and the trace of P is 2·4.
    y, v = np.array([0.0, 1.0, -2.0, 1.5, 0.5]), np.array([1e-14, 1.0, 1.0, 1.0, 1.0])
    found = between_variance(y, v, method="DL")
    assert_allclose(found.q, np.square(y).sum(), rtol=1e-9)
    assert_allclose(found.tau2, (np.square(y).sum() - 4) / 8, rtol=1e-9)


# References written in another way


@pytest.mark.parametrize("seed", range(6))
def test_moment_estimators_are_those_of_the_matrices(seed):
    y, v, X = sample(seed)
    k, p = X.shape
    P = projector(v, X, 0.0)
    dl = (y @ P @ y - (k - p)) / np.trace(P)
    hs = (y @ P @ y - k) / (1 / v).sum()
    flat = np.eye(k) - X @ np.linalg.inv(X.T @ X) @ X.T
    he = (y @ flat @ y - np.trace(flat * v)) / (k - p)
    start = y.var()
    sj = start * (y @ projector(v, X, start) @ y) / (k - p)
    for method, expected in {"DL": dl, "HS": hs, "HE": he, "SJ": sj}.items():
        found = between_variance(y, v, X, method=method).tau2
        assert_allclose(found, max(0.0, expected), rtol=1e-9)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("restricted", [True, False])
def test_likelihood_estimators_are_the_highest_points_of_the_textbook_likelihood(seed, restricted):
    y, v, X = sample(seed, tau2=0.2)

    def deviance(tau2: float) -> float:
        W = np.diag(1 / (v + tau2))
        value = np.log(v + tau2).sum() + y @ projector(v, X, tau2) @ y
        return value + restricted * np.linalg.slogdet(X.T @ W @ X)[1]

    found = between_variance(y, v, X, method="REML" if restricted else "ML").tau2
    grid = np.concatenate([[0.0], np.geomspace(1e-4, 20, 400)])
    assert deviance(found) <= min(deviance(point) for point in grid) + 1e-12
    if found > 0:
        best = optimize.minimize_scalar(
            deviance, bounds=(0.5 * found, 2 * found), options={"xatol": 1e-10}
        )
        assert_allclose(found, best.x, rtol=1e-6)


def test_the_higher_of_two_maxima_is_found():
    y = np.array([-0.07, 3.46, 0.05, 0.01, -3.25, -0.05, 0.0, 0.01])
    v = np.array([0.0007, 0.9599, 0.0009, 0.0016, 1.0282, 0.4794, 0.0014, 1.659])

    def deviance(tau2: float) -> float:
        w = 1 / (v + tau2)
        mean = (w * y).sum() / w.sum()
        return float(-np.log(w).sum() + np.log(w.sum()) + (w * np.square(y - mean)).sum())

    grid = np.concatenate([[0.0], np.geomspace(1e-5, 10, 2000)])
    values = np.array([deviance(t) for t in grid])
    inner = np.flatnonzero((values[1:-1] < values[:-2]) & (values[1:-1] < values[2:])) + 1
    minima = [*inner, 0] if values[0] < values[1] else [*inner]
    assert len(minima) == 2
    found = between_variance(y, v).tau2
    assert_allclose(found, grid[min(minima, key=values.__getitem__)], rtol=0.01)


@pytest.mark.parametrize("method", ["PM", "EB"])
def test_paule_and_mandel_make_the_sum_of_squares_its_expectation(method):
    y, v, X = sample(1)
    found = between_variance(y, v, X, method=method)
    assert_allclose(y @ projector(v, X, found.tau2) @ y, 10, rtol=1e-10)
    assert_allclose(found.residual, found.df, rtol=1e-10)


def test_paule_and_mandel_agree_with_the_reliability_of_units():
    y, v, _ = sample(2)
    units = unit_reliability(y, np.sqrt(v))
    assert_allclose(between_variance(y, v, method="PM").tau2, units.true_variance, rtol=1e-9)
    assert_allclose(tau2_interval(y, v), units.true_variance_ci, rtol=1e-9)


def test_agrees_with_statsmodels():
    meta = pytest.importorskip("statsmodels.stats.meta_analysis")
    y, v, _ = sample(3)
    for ours, theirs in {"PM": "iterated", "DL": "dl"}.items():
        # Their iterations stop at 1e-5 unless told otherwise.
        found = meta.combine_effects(y, v, method_re=theirs, atol=1e-13)
        assert_allclose(between_variance(y, v, method=ours).tau2, found.tau2, rtol=1e-6)


def test_standard_errors_of_moment_estimators_follow_from_the_variance_of_a_quadratic_form():
    y, v, X = sample(4)
    k, p = X.shape
    start = y.var()
    flat = np.eye(k) - X @ np.linalg.inv(X.T @ X) @ X.T
    P = projector(v, X, 0.0)
    forms = {
        "DL": P / np.trace(P),
        "HS": P / (1 / v).sum(),
        "HE": flat / (k - p),
        "SJ": projector(v, X, start) * start / (k - p),
    }
    for method, form in forms.items():
        found = between_variance(y, v, X, method=method)
        spread = form @ np.diag(v + found.tau2)
        assert_allclose(found.std_error, np.sqrt(2 * np.trace(spread @ spread)), rtol=1e-9)


def test_standard_errors_of_likelihood_estimators_are_the_expected_information():
    y, v, X = sample(5)
    ml, reml = (between_variance(y, v, X, method=method) for method in ("ML", "REML"))
    P = projector(v, X, reml.tau2)
    assert_allclose(reml.std_error, np.sqrt(2 / np.trace(P @ P)), rtol=1e-9)
    assert_allclose(ml.std_error, np.sqrt(2 / np.square(1 / (v + ml.tau2)).sum()), rtol=1e-9)


def test_ends_of_the_interval_are_quantiles_of_the_sum_of_squares():
    y, v, X = sample(0, tau2=1.0)
    low, high = tau2_interval(y, v, X, level=0.9)
    ends = [y @ projector(v, X, end) @ y for end in (low, high)]
    assert_allclose(stats.chi2.sf(ends, 10), [0.05, 0.95], rtol=1e-8)


def test_interval_of_effects_that_agree_too_well_is_zero():
    assert tau2_interval([1.0, 1.0001, 1.0, 0.9999], [1.0] * 4) == (0.0, 0.0)


# Invariance


@given(
    seed=st.integers(0, 50),
    unit=st.sampled_from([1e-6, 0.3, 1e5]),
    shift=st.sampled_from([-100.0, 0.0, 3.0]),
    method=st.sampled_from(METHODS),
)
def test_order_shift_and_unit_do_not_matter(seed, unit, shift, method):
    y, v, X = sample(seed, k=9)
    there = np.random.default_rng(seed).permutation(9)
    plain = between_variance(y, v, X, method=method)
    moved = between_variance(
        (unit * (y + shift))[there], (unit**2 * v)[there], X[there], method=method
    )
    size = unit**2 * (plain.tau2 + v.mean())
    assert_allclose(moved.tau2, unit**2 * plain.tau2, rtol=1e-7, atol=1e-9 * size)
    assert_allclose(moved.std_error, unit**2 * plain.std_error, rtol=1e-7)
    assert_allclose(moved.q, plain.q, rtol=1e-7)


def test_moderators_may_be_in_any_units():
    y, v, X = sample(7)
    plain = between_variance(y, v, X)
    other = between_variance(y, v, np.column_stack([X[:, 0] * 3, 2000 + 1e-3 * X[:, 1]]))
    assert_allclose(other.tau2, plain.tau2, rtol=1e-6)


# Refusals


def test_every_wrong_number_is_named_at_once():
    with pytest.raises(MethodError) as told:
        between_variance([1.0, np.nan, 2.0, 3.0], [1.0, 1.0, 0.0, -1.0])
    text = str(told.value)
    assert "1 missing or infinite effects (at 2)" in text
    assert "2 error variances that are not positive numbers (at 3, 4)" in text


@pytest.mark.parametrize(
    ("y", "v", "X", "said"),
    [
        ([], [], None, "one shape"),
        ([1.0, 2.0], [1.0], None, "one shape"),
        ([1.0], [1.0], None, "at least 2"),
        ([1.0, 2.0], [1.0, 1.0], [[1, 2], [1, 3]], "at least 3"),
        ([1.0, 2.0, 3.0], [1.0] * 3, [[1, 2], [1, 2], [1, 2]], "combination of others"),
        ([1.0, 2.0, 3.0], [1.0] * 3, [1, 2, 3], "shape (3, p)"),
        ([1.0, 2.0, 3.0], [1.0] * 3, [[1], [np.inf], [1]], "rows of moderators"),
    ],
)
def test_what_cannot_be_pooled_is_refused(y, v, X, said):
    with pytest.raises(MethodError) as told:
        between_variance(y, v, X)
    assert said in str(told.value)


def test_equal_effects_have_no_sidik_jonkman_estimate():
    with pytest.raises(MethodError, match="SJ needs effects that differ"):
        between_variance([2.0, 2.0, 2.0], [1.0, 2.0, 3.0], method="SJ")


def test_options_that_do_not_exist_are_refused():
    with pytest.raises(SpecError, match="Did you mean 'REML'"):
        between_variance([1.0, 2.0], [1.0, 1.0], method="reml")
    with pytest.raises(SpecError, match="tau2"):
        between_variance([1.0, 2.0], [1.0, 1.0], tau2=-0.1)
    with pytest.raises(SpecError, match="level"):
        tau2_interval([1.0, 2.0], [1.0, 1.0], level=95)


def test_a_variance_may_be_given():
    y, v, _ = sample(8)
    found = between_variance(y, v, tau2=0.7)
    assert found.tau2 == pytest.approx(0.7)
    assert np.isnan(found.std_error)
    assert_allclose(found.residual, y @ projector(v, np.ones((12, 1)), 0.7) @ y)


def test_arrays_come_back_with_a_constant_where_none_is_given():
    assert_allclose(check_effects([1, 2], [3, 4], None)[2], [[1.0], [1.0]])


def test_root_of_a_falling_function():
    assert_allclose(falling_root(lambda x: 100 / (1 + x) ** 2, 1.0), 9.0)
    assert falling_root(lambda x: 1 / (1 + x), 1.0) == 0.0


# Known truth


@pytest.mark.slow
def test_q_profile_interval_covers_the_true_variance():
    hits = 0
    for task in range(1000):
        rng = np.random.default_rng([21, task])
        v = np.exp(rng.normal(-1.5, 0.8, 8))
        low, high = tau2_interval(rng.normal(0, np.sqrt(v + 0.3)), v)
        hits += low <= 0.3 <= high
    assert abs(hits / 1000 - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 1000)


@pytest.mark.slow
def test_unweighted_and_paule_mandel_estimates_are_nearly_unbiased():
    found = {"HE": [], "PM": [], "REML": []}
    for task in range(1000):
        rng = np.random.default_rng([22, task])
        v = np.exp(rng.normal(-2, 0.5, 20))
        y = rng.normal(0, np.sqrt(v + 1.0))
        for method, values in found.items():
            values.append(between_variance(y, v, method=method).tau2)
    for values in found.values():
        assert abs(np.mean(values) - 1.0) < 3 * np.std(values) / np.sqrt(1000) + 0.01
