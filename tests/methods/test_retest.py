"""Test and retest: shifts, errors of measurement, limits of agreement, changes of places."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.places import unit_reliability
from lgpi_research.methods.retest import (
    bland_altman,
    changes_beyond_error,
    compare_occasions,
    detectable_change,
)

NA = float("nan")


def waves(seed: int, n: int = 25, k: int = 2, shift: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng([8, seed])
    return rng.normal(size=(n, 1)) + shift * np.arange(k) + 0.4 * rng.normal(size=(n, k))


def test_two_occasions_by_hand():
    table = waves(0)
    n, change = len(table), table[:, 1] - table[:, 0]
    found = compare_occasions(table)
    assert_allclose(found.shift, change.mean(), rtol=1e-12)
    paired = stats.ttest_1samp(change, 0.0)
    assert_allclose(found.shift_ci, paired.confidence_interval(0.95), rtol=1e-12)
    assert_allclose(found.shift_p, paired.pvalue, rtol=1e-9)  # F is t² with two occasions
    # Half the variance of differences is the error; half the squared shift, less its error,
    # is the variance of occasions.
    residual = change.var(ddof=1) / 2
    shared = change.mean() ** 2 / 2 - residual / n
    assert_allclose(found.sem_consistency**2, residual, rtol=1e-9)
    assert_allclose(found.occasion_variance, shared, rtol=1e-9)
    assert_allclose(found.sem_agreement**2, residual + shared, rtol=1e-9)
    assert_allclose(found.shift_share, shared / (residual + shared), rtol=1e-9)
    assert_allclose(found.smallest_detectable_change(), 1.959964 * 2**0.5 * found.sem_agreement)
    assert found.agreement.estimate < found.consistency.estimate


@pytest.mark.parametrize("k", [2, 4])
def test_a_shift_of_all_units_leaves_consistency_alone(k):
    table = waves(1, k=k, shift=0.0)
    moved = table + np.arange(k)
    one, other = compare_occasions(table), compare_occasions(moved)
    assert_allclose(other.consistency.estimate, one.consistency.estimate, rtol=1e-9)
    assert_allclose(other.sem_consistency, one.sem_consistency, rtol=1e-9)
    assert_allclose(other.sem_consistency_ci, one.sem_consistency_ci, rtol=1e-9)
    assert_allclose(other.shift, one.shift + k - 1, rtol=1e-9)
    assert other.agreement.estimate < one.agreement.estimate
    assert other.sem_agreement > one.sem_agreement


@given(seed=st.integers(0, 300), size=st.floats(0.01, 100), shift=st.floats(-100, 100))
def test_units_of_measurement_and_order_do_not_matter(seed, size, shift):
    table = waves(seed, k=3)
    order = np.random.default_rng(seed).permutation(len(table))
    one, other = compare_occasions(table), compare_occasions(shift + size * table[order])
    assert_allclose(other.agreement.estimate, one.agreement.estimate, rtol=1e-6)
    assert_allclose(other.shift_ci, size * np.array(one.shift_ci), rtol=1e-6, atol=1e-9 * size)
    assert_allclose(other.sem_agreement, size * one.sem_agreement, rtol=1e-6)
    assert_allclose(other.shift_share, one.shift_share, rtol=1e-5, atol=1e-9)


def test_units_that_lack_an_occasion_count_as_never_seen():
    table = waves(2, k=3)
    holed = np.vstack([table, [[1.0, NA, 9.0], [NA, NA, 3.0]]])
    one, other = compare_occasions(table), compare_occasions(holed)
    assert (other.squares.n_units, other.squares.n_dropped) == (25, 2)
    assert one.sem_agreement == other.sem_agreement
    assert one.shift_ci == other.shift_ci
    pair, pair_holed = (bland_altman(t[:, 0], t[:, 1]) for t in (table, holed))
    assert (pair_holed.n_used, pair_holed.n_dropped) == (25, 2)
    assert pair_holed.low_ci == pair.low_ci


def test_occasions_that_differ_less_than_chance_lets_them():
    table = np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 4.0], [4.0, 3.0]])
    found = compare_occasions(table)
    assert found.occasion_variance < 0
    assert found.shift == found.shift_share == 0.0
    assert found.sem_agreement == found.sem_consistency
    assert found.shift_p == 1.0


def test_a_shift_does_not_average_out_over_units():
    found = compare_occasions(waves(3, shift=2.0))
    many = found.smallest_detectable_change(group=10**9)
    assert_allclose(many, 1.959964 * (2 * found.occasion_variance) ** 0.5, rtol=1e-6)
    alike = found.smallest_detectable_change(definition="consistency", group=25)
    single = found.smallest_detectable_change(definition="consistency")
    assert_allclose(alike, single / 5, rtol=1e-12)


def test_detectable_change_is_what_error_rarely_exceeds():
    rng = np.random.default_rng(9)
    change = np.diff(0.7 * rng.normal(size=(200_000, 2)), axis=1)
    assert_allclose((np.abs(change) > detectable_change(0.7, level=0.9)).mean(), 0.1, atol=0.003)


def test_limits_of_agreement_and_their_intervals():
    table = waves(4, n=12)
    change = table[:, 1] - table[:, 0]
    found = bland_altman(table[:, 0], table[:, 1])
    z, s = stats.norm.isf(0.025), change.std(ddof=1)
    assert_allclose([found.low, found.high], change.mean() + np.array([-z, z]) * s, rtol=1e-12)
    # At the ends of the exact interval the observed limit has a tail of 2.5 %.
    for end, tail in zip(found.high_ci, (0.975, 0.025), strict=True):
        pivot = (end - change.mean()) / s * np.sqrt(12)
        assert_allclose(stats.nct.sf(pivot, 11, z * np.sqrt(12)), tail, rtol=1e-6)
    assert_allclose(found.low_ci[0] + found.high_ci[1], 2 * change.mean(), atol=1e-12)
    rough = bland_altman(table[:, 0], table[:, 1], interval="approximate")
    reach = stats.t.isf(0.025, 11) * s * np.sqrt(1 / 12 + z**2 / 22)
    assert_allclose(rough.high_ci, [found.high - reach, found.high + reach], rtol=1e-12)
    assert rough.high_ci[1] < found.high_ci[1]
    many = waves(4, n=4000)
    exact, rough = (
        bland_altman(many[:, 0], many[:, 1], interval=kind) for kind in ("exact", "approximate")
    )
    assert_allclose(exact.high_ci, rough.high_ci, rtol=2e-3)


def limits_cover(n: int, interval: str, n_samples: int) -> float:
    rng = np.random.default_rng([10, n])
    zero, hits = np.zeros(n), 0
    for _ in range(n_samples):
        low, high = bland_altman(zero, rng.normal(size=n), interval=interval).high_ci
        hits += low <= 1.959964 <= high
    return hits / n_samples


def test_exact_interval_of_a_limit_covers():
    assert abs(limits_cover(10, "exact", 1500) - 0.95) < 0.018


@pytest.mark.slow
def test_intervals_of_limits_cover_at_length():
    assert abs(limits_cover(10, "exact", 10_000) - 0.95) < 0.007
    assert 0.90 < limits_cover(10, "approximate", 10_000) < 0.943


def test_interval_of_the_error_of_measurement_covers():
    hits = 0
    for seed in range(500):
        low, high = compare_occasions(waves(seed, n=10, k=3)).sem_consistency_ci
        hits += low <= 0.4 <= high
    assert abs(hits / 500 - 0.95) < 0.03


def test_changes_of_places_by_hand():
    first, second = np.array([1.0, 2.0, NA, 4.0]), np.array([2.0, 2.1, 3.0, 4.5])
    found = changes_beyond_error(
        first, second, [0.3, 0.3, 0.3, 0.3], [0.4, 0.4, 0.4, NA], covariance=0.06
    )
    error = (0.09 + 0.16 - 0.12) ** 0.5
    assert_allclose(found.std_error[:2], error, rtol=1e-12)
    assert_allclose(found.smallest_detectable[:2], 1.959964 * error, rtol=1e-6)
    assert_allclose(found.p_value[0], 2 * stats.norm.sf(1 / error), rtol=1e-12)
    assert_array_equal(found.beyond, [True, False, False, False])
    assert np.isnan(found.change[2:]).all()
    assert np.isnan(found.std_error[2:]).all()
    assert (found.n_used, found.n_dropped) == (2, 2)
    beyond = np.abs(found.change) > found.smallest_detectable
    assert_array_equal(found.beyond, beyond)


def test_reliability_of_change_is_that_of_the_changes():
    rng = np.random.default_rng(12)
    n, errors = 3000, rng.uniform(0.3, 1.0, (2, 3000))
    place = rng.normal(size=n)
    first = place + errors[0] * rng.normal(size=n)
    second = place + 0.5 + 0.8 * rng.normal(size=n) + errors[1] * rng.normal(size=n)
    found = changes_beyond_error(first, second, *errors)
    assert found.reliability is not None
    variance = (errors**2).sum(axis=0)
    assert_allclose(found.reliability.mean, (0.64 / (0.64 + variance)).mean(), atol=0.04)
    expected = unit_reliability(second - first, np.sqrt(variance))
    assert found.reliability.mean == expected.mean
    same = changes_beyond_error([0.0, 0.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0])
    assert same.reliability is None


@pytest.mark.parametrize(("adjust", "wrong"), [("none", 0.05), ("bh", 0.0)])
def test_places_without_change_are_rarely_found(adjust, wrong):
    rng = np.random.default_rng(13)
    one, two = rng.normal(size=(2, 4000))
    found = changes_beyond_error(one, two, np.ones(4000), np.ones(4000), adjust=adjust)
    assert abs(found.beyond.mean() - wrong) < 0.012


def test_false_discoveries_are_held_at_their_rate():
    rng = np.random.default_rng(14)
    shares, changed = [], np.arange(200) < 60
    for _ in range(200):
        second = 4.0 * changed + rng.normal(size=200)
        found = changes_beyond_error(
            rng.normal(size=200), second, np.ones(200), np.ones(200), adjust="bh"
        )
        shares.append(found.beyond[~changed].sum() / max(found.beyond.sum(), 1))
    assert abs(np.mean(shares) - 0.05 * 140 / 200) < 0.006


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: compare_occasions([[1.0], [2.0]]), MethodError, r"got shape \(2, 1\)"),
        (lambda: compare_occasions([[1.0, np.inf], [2, 1]]), MethodError, r"1 units .* \(at 1\)"),
        (lambda: compare_occasions([[1.0, NA], [2, 1]]), MethodError, "1 units have a score on ev"),
        (lambda: compare_occasions([[1.0, 1.0]] * 3), MethodError, "every score is the same"),
        (lambda: compare_occasions([[1.0, 2.0]] * 3, level=95), SpecError, "level"),
        (lambda: bland_altman([1.0, NA], [NA, 2.0]), MethodError, "0 of 2 units have both"),
        (lambda: bland_altman([1.0], [1.0, 2.0]), MethodError, "one score a unit"),
        (lambda: bland_altman([1.0, 2], [1.0, 2], interval="exct"), SpecError, "mean 'exact'"),
        (
            lambda: changes_beyond_error([1.0], [2.0], [0.0], [1.0]),
            MethodError,
            "1 standard errors of the first occasion are 0",
        ),
        (
            lambda: changes_beyond_error([1.0], [2.0], [1.0], [1.0], covariance=1.0),
            MethodError,
            "correlate fully",
        ),
        (
            lambda: changes_beyond_error([1.0], [2.0], [1.0], [1.0], adjust="fdr"),
            SpecError,
            "adjust: must be none or bh",
        ),
        (lambda: changes_beyond_error([1.0], [2.0], [1.0, 1], [1.0]), MethodError, "two standard"),
        (lambda: detectable_change(-1.0, group=0), SpecError, "2 problems"),
        (
            lambda: compare_occasions(waves(0)).smallest_detectable_change(definition="agree"),
            SpecError,
            "Did you mean 'agreement'",
        ),
    ],
)
def test_bad_input_is_refused_with_what_to_do(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
