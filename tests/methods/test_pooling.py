"""Pooled errors of places: by hand, against analysis of variance, and with known truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from lgpi_research.errors import SpecError
from lgpi_research.methods.places import place_means, unit_reliability
from lgpi_research.methods.pooling import pooled_errors

FIRST = 100  # so that the order of labels as text is that of numbers


def places_of(n_places, psus, rng, low=1, high=16):
    """Return answers in each PSU, and the place of each."""
    counts = rng.integers(low, high, n_places * psus).astype(float)
    return counts, np.repeat(np.arange(n_places), psus)


def test_errors_that_the_variances_give_stay_as_they_are():
    counts, place = places_of(30, 4, np.random.default_rng(0))
    shares = counts / np.bincount(place, counts)[place]
    own = np.sqrt(np.bincount(place, shares**2 * (4.0 + 9.0 / counts)))
    found, df = pooled_errors(own, counts, counts, FIRST + place, np.zeros(120), 9.0)
    assert_allclose(found, own, rtol=1e-12)
    assert df == 90
    more, _ = pooled_errors(own, counts, counts, FIRST + place, np.zeros(120), 12.0)
    assert (np.abs(more / own - 1) > 1e-3).any()


def test_the_variance_of_psus_solves_its_equation():
    counts, place = places_of(12, 4, np.random.default_rng(3))
    stratum = np.where(place % 3 == 0, np.arange(48) % 2, 0)
    own = np.random.default_rng(4).uniform(0.5, 2.0, 12)
    found, _ = pooled_errors(own, counts, counts, FIRST + place, stratum, 2.0)
    squares = (counts / np.bincount(place, counts)[place]) ** 2
    psus, people = np.bincount(place, squares), np.bincount(place, squares / counts)
    between = (found**2 - 2.0 * people) / psus
    assert_allclose(between, between[0])
    assert between[0] > 0
    weight = np.where(np.arange(12) % 3 == 0, 2, 3) * (psus / found**2) ** 2
    assert_allclose((weight * own**2 / psus).sum(), (weight * found**2 / psus).sum(), rtol=1e-9)


def test_people_drawn_singly_have_one_variance():
    x = np.array([1.0, 3.0, 2.0, 6.0, 4.0, 9.0])
    ones, place, stratum = np.ones(6), ["a", "a", "b", "b", "b", "c"], [""] * 6
    columns = (ones[:, None], ones[:, None], x[:, None], place, stratum)
    own = place_means(*columns)[1][:, 0]
    found, df = pooled_errors(own, ones, ones, place, stratum, None)
    pooled = (x[:2].var(ddof=1) + 2 * x[2:5].var(ddof=1)) / 3
    assert_allclose(found, np.sqrt(pooled / np.array([2, 3, 1])), rtol=1e-12)
    assert df == 3
    assert_allclose(found, place_means(*columns, pooled=True)[1][:, 0], rtol=1e-12)


def test_balanced_places_have_the_intervals_of_analysis_of_variance():
    rng = np.random.default_rng(1)
    n, m = 30, 5
    x = rng.normal(size=(n, 1)) + 1.5 * rng.normal(size=(n, m))
    ones, place, stratum = np.ones(n * m), np.repeat(FIRST + np.arange(n), m), np.zeros(n * m)
    means, own, _ = place_means(ones[:, None], ones[:, None], x.reshape(-1, 1), place, stratum)
    errors, df = pooled_errors(own[:, 0], ones, ones, place, stratum, None)
    assert_allclose(means[:, 0], x.mean(axis=1))
    found = unit_reliability(means[:, 0], errors, error_df=df)
    ratio = m * x.mean(axis=1).var(ddof=1) / x.var(axis=1, ddof=1).mean()
    law = stats.f(n - 1, n * (m - 1))
    assert_allclose(found.mean, 1 - 1 / ratio)
    assert_allclose(found.mean_ci, (1 - law.isf(0.025) / ratio, 1 - law.ppf(0.025) / ratio))
    assert_allclose(found.squared_correlation_ci, found.mean_ci)
    known = unit_reliability(means[:, 0], errors)
    assert known.mean_ci[0] > found.mean_ci[0]
    assert known.mean_ci[1] < found.mean_ci[1]
    assert known.true_variance_ci == found.true_variance_ci
    with pytest.raises(SpecError, match="error_df must be at least 1, got 0"):
        unit_reliability(means[:, 0], errors, error_df=0)


def test_order_units_and_psus_without_answers_do_not_matter():
    rng = np.random.default_rng(2)
    counts, place = places_of(12, 3, rng)
    stratum = np.tile([0, 0, 1], 12)
    weights, own = counts * rng.uniform(1, 2, 36), rng.uniform(1, 3, 12)
    own[3] = np.nan
    names = np.array([f"p{i:02}" for i in range(12)])[place]
    found, df = pooled_errors(own, counts, weights, names, stratum, 2.0)
    assert np.isfinite(found).all()
    assert df == 11
    order = rng.permutation(36)
    again = pooled_errors(
        5 * own, counts[order], 7 * weights[order], names[order], stratum[order], 50.0
    )
    assert_allclose(again[0], 5 * found, rtol=1e-12)
    more = (np.append(part, 0.0) for part in (counts, weights))
    empty = pooled_errors(own, *more, np.append(names, "p05"), np.append(stratum, 2), 2.0)
    assert_allclose(empty[0], found, rtol=1e-12)
    assert empty[1] == df


def test_between_is_never_negative_and_nothing_known_is_said():
    counts, place = np.array([2.0, 2.0, 8.0, 8.0]), np.array([0, 0, 1, 1])
    found, _ = pooled_errors([0.01, 0.01], counts, counts, place, np.zeros(4), 4.0)
    assert_allclose(found, np.sqrt(4.0 / np.array([4, 16])))
    lone, df = pooled_errors([np.nan, np.nan], counts[::2], counts[::2], [0, 1], [0, 0], 4.0)
    assert np.isnan(lone).all()
    assert df == 0
    alike, _ = pooled_errors([0.0, 0.0], counts, counts, place, np.zeros(4), None)
    assert_array_equal(alike, 0.0)


def simulated(seed, n_places=200, psus=4):
    """Return pooled errors of each kind over the true ones, in small and large places."""
    rng = np.random.default_rng(seed)
    people = np.where(np.arange(n_places) % 2, 15.0, 2.0)
    size, place = np.repeat(people, psus), np.repeat(FIRST + np.arange(n_places), psus)
    means = rng.normal(size=n_places * psus) + 3.0 * rng.normal(size=n_places * psus) / size**0.5
    stratum = np.zeros(n_places * psus)
    columns = (size[:, None], size[:, None], (means * size)[:, None], place, stratum)
    own, one = (place_means(*columns, pooled=pooled)[1][:, 0] for pooled in (False, True))
    two, _ = pooled_errors(own, size, size, place, stratum, 9.0)
    true = np.sqrt((1 + 9 / people) / psus)
    return [[(part / true)[people == n].mean() for n in (2, 15)] for part in (one, two)]


def test_errors_are_right_on_average_where_places_differ_in_size():
    found = np.array([simulated(seed) for seed in range(60)]).mean(axis=0)
    assert_allclose(found[1], 1.0, atol=0.03)
    assert found[0, 0] < 0.85  # one variance for all PSUs: too small where they are small
    assert found[0, 1] > 1.3
