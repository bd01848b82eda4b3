"""Intervals of maxima: exact cases, invariances, and coverage where the jackknife fails."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.directional import directional_interval, stretch_of


def test_of_a_mean_the_stretch_changes_nothing():
    rng = np.random.default_rng(0)
    drawn = 3 + 0.2 * rng.standard_normal(500)
    plain = directional_interval(3.0, drawn, 1.0, 19)
    wide = directional_interval(3.0, 3 + 2.5 * (drawn - 3), 2.5, 19)
    assert_allclose(plain, wide, rtol=1e-12)
    low, high = np.quantile(drawn, [0.025, 0.975])
    t = stats.t.isf(0.025, 19) / stats.norm.isf(0.025)
    assert_allclose(plain[1:], [3 - t * (high - 3), 3 + t * (3 - low)])
    assert_allclose(plain[0], drawn.std(ddof=1))


def test_of_two_equal_means_the_ends_are_those_of_the_larger_of_two_normals():
    # The larger of two independent normals has distribution function Φ(x)².
    p = (np.arange(100_000) + 0.5) / 100_000
    law = stats.norm.ppf(np.sqrt(p))
    _, low, high = directional_interval(0.0, 2 * law, 2.0, np.inf)
    expected = [-stats.norm.ppf(np.sqrt(0.975)), -stats.norm.ppf(np.sqrt(0.025))]
    assert_allclose([low, high], expected, atol=1e-4)


def test_ends_move_and_stretch_with_the_scale():
    rng = np.random.default_rng(1)
    drawn = np.fmax(rng.standard_normal(300), rng.standard_normal(300))
    error, low, high = directional_interval(0.1, drawn, 1.5, 9)
    moved = directional_interval(5 + 3 * 0.1, 5 + 3 * drawn, 1.5, 9)
    assert_allclose(moved, [3 * error, 5 + 3 * low, 5 + 3 * high])
    _, less, more = directional_interval(0.1, drawn, 1.5, 9, level=0.5)
    assert low < less < more < high
    gaps = np.insert(drawn, 7, np.nan)
    assert_allclose(directional_interval(0.1, gaps, 1.5, 9), [error, low, high])


@pytest.mark.parametrize("apart", [0.0, 9.0])
def test_covers_the_largest_of_five_means(apart):
    # Equal, and far apart. Means are linear, so that draws may be stretched far.
    rng, n, runs, stretch = np.random.default_rng(2), 50, 400, 20.0
    truth = apart * np.arange(5)
    covered = {"stretched": 0, "basic": 0, "percentile": 0}
    for _ in range(runs):
        x = truth + rng.standard_normal((n, 5))
        mean = x.mean(axis=0)
        weights = rng.multinomial(n, np.full(n, 1 / n), size=400) / n  # a plain bootstrap
        moved = weights @ x - mean
        for kind, factor in (("stretched", stretch), ("basic", 1.0)):
            draws = (mean + factor * moved).max(axis=1)
            _, low, high = directional_interval(mean.max(), draws, factor, n - 1)
            covered[kind] += low <= truth.max() <= high
        low, high = np.quantile((mean + moved).max(axis=1), [0.025, 0.975])
        covered["percentile"] += low <= truth.max() <= high
    assert 0.93 < covered["stretched"] / runs < 0.97
    for kind in ("basic", "percentile"):
        assert (covered[kind] / runs > 0.92) == (apart > 0)


def test_stretch_grows_as_the_fourth_root():
    assert_allclose(stretch_of(16 * 40) / stretch_of(40), 2)
    assert stretch_of(2) == 1


def test_what_has_no_interval_is_refused():
    with pytest.raises(SpecError, match="stretch be at least 1"):
        directional_interval(0.0, [1.0, 2.0], 0.5, 3)
    with pytest.raises(SpecError, match="level must lie between 0 and 1"):
        directional_interval(0.0, [1.0, 2.0], 2.0, 3, level=95)
    with pytest.raises(MethodError, match=r"got 1 of shape \(3,\)"):
        directional_interval(0.0, [1.0, np.nan, np.nan], 2.0, 3)
    with pytest.raises(MethodError, match=r"and 0\."):
        directional_interval(0.0, [1.0, 2.0], 2.0, 0)
