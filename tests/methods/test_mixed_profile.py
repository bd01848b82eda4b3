"""Intervals of standard deviations: lme4's numbers, invariances, coverage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import optimize, stats

from lgpi_research.errors import SpecError
from lgpi_research.methods.mixed import RandomTerm, fit_mixed
from lgpi_research.methods.mixed_profile import variance_interval

DATA = Path(__file__).parents[1] / "reference" / "data"


def told(model):
    """Return lme4's intervals of a model, by parameter."""
    table = pd.read_csv(DATA / "mixed_profiles.csv").query("model == @model")
    return table.set_index("parameter")[["low", "high"]]


def simulate(rng, groups=12, size=6, between=1.0):
    group = np.repeat(np.arange(groups), size)
    return between * rng.normal(size=groups)[group] + rng.normal(size=len(group)), group


def test_intervals_agree_with_lme4():
    # lme4 interpolates the profile, so that its fourth digit is not exact.
    close = {"rtol": 1e-3, "atol": 1e-3}
    wards = pd.read_csv(DATA / "wards.csv")
    X = np.column_stack([np.ones(len(wards)), wards["tax"]])
    fit = fit_mixed(wards["score"], X, [RandomTerm(wards["district"], X)], reml=False)
    found = [variance_interval(fit, 0, effect=e) for e in (0, 1)]
    names = ["sd_(Intercept)|district", "sd_tax|district", "sigma"]
    expected = told("slope").loc[names]
    # On the way down the correlation reaches 1, where the interpolation is off by a fifth.
    expected.iloc[0, 0] = told("slope minimised")["low"].iloc[0]
    assert_allclose([*found, variance_interval(fit, None)], expected, **close)
    assert_allclose(found[0][0], expected.iloc[0, 0], rtol=1e-6)

    rows = pd.read_csv(DATA / "place_items.csv")
    items = pd.get_dummies(rows["item"]).to_numpy(float)
    terms = [RandomTerm(rows["place"] * 100 + rows["person"]), RandomTerm(rows["place"])]
    fit = fit_mixed(rows["answer"], items, terms, reml=False)
    found = [variance_interval(fit, term) for term in (0, 1, None)]
    names = ["sd_(Intercept)|place:person", "sd_(Intercept)|place", "sigma"]
    assert_allclose(found, told("nested").loc[names], **close)
    assert found[1][0] == 0

    grid = pd.read_csv(DATA / "unit_ratings.csv")
    terms = [RandomTerm(grid["unit"]), RandomTerm(grid["coder"])]
    fit = fit_mixed(grid["rating"], np.ones((len(grid), 1)), terms, reml=False)
    found = [variance_interval(fit, term) for term in (0, 1, None)]
    names = ["sd_(Intercept)|unit", "sd_(Intercept)|coder", "sigma"]
    assert_allclose(found, told("crossed").loc[names], **close)


def test_balanced_groups_have_the_profile_of_two_independent_sums_of_squares():
    rng = np.random.default_rng(1)
    groups, size = 12, 6
    y, group = simulate(rng, groups, size, between=2)
    table = y.reshape(groups, size)
    ssb = size * ((table.mean(axis=1) - table.mean()) ** 2).sum()
    ssw = ((table - table.mean(axis=1, keepdims=True)) ** 2).sum()

    def deviance(between, within):
        top, df = within + size * between, groups * (size - 1)
        return (groups - 1) * np.log(top) + ssb / top + df * np.log(within) + ssw / within

    def profile(sd):
        return optimize.minimize_scalar(
            lambda log: deviance(sd**2, np.exp(log)), bounds=(-5, 5), method="bounded",
            options={"xatol": 1e-12},
        ).fun  # fmt: skip

    fit = fit_mixed(y, np.ones((len(y), 1)), [RandomTerm(group)])
    lowest = deviance(fit.covariances[0][0, 0], fit.residual_variance)
    for level in (0.5, 0.95):
        low, high = variance_interval(fit, level=level)
        gap = [profile(low) - lowest, profile(high) - lowest]
        assert_allclose(gap, stats.chi2.ppf(level, 1), rtol=1e-6)
        assert low < fit.covariances[0][0, 0] ** 0.5 < high


def test_the_interval_of_an_effect_does_not_depend_on_its_place_among_them():
    rng = np.random.default_rng(2)
    _, group = simulate(rng, 20)
    x, z = rng.normal(size=(2, len(group)))
    F = np.column_stack([np.ones(len(x)), x, z])
    effects = rng.normal(size=(20, 3)) @ [[1.0, 0.3, 0.1], [0, 0.8, 0.2], [0, 0, 0.9]]
    y = (effects[group] * F).sum(axis=1) + 0.7 * rng.normal(size=len(x))
    fit = fit_mixed(y, F, [RandomTerm(group, F)])
    turned = fit_mixed(10 * y, F, [RandomTerm(group, F[:, [2, 0, 1]])])
    for effect, other in ((0, 1), (1, 2), (2, 0)):
        assert_allclose(
            10 * np.array(variance_interval(fit, effect=effect)),
            variance_interval(turned, effect=other),
            rtol=1e-5,
        )


def test_a_variance_of_zero_has_an_upper_end():
    rng = np.random.default_rng(3)
    y, group = simulate(rng, between=0)
    y = y - (np.bincount(group, y) / 6)[group]
    fit = fit_mixed(y, np.ones((72, 1)), [RandomTerm(group)])
    low, high = variance_interval(fit)
    assert low == 0
    assert 0.01 < high < 0.5


def test_an_upper_end_far_below_the_residual_is_found():
    # 2,000 groups of 100: even a variance of a thousandth of the residual one is refuted.
    group = np.repeat(np.arange(2000), 100)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2000, 100))
    noise -= noise.mean(axis=1, keepdims=True)
    means = rng.normal(size=2000)
    means = (means - means.mean()) / means.std(ddof=1)
    for excess in (0.0, 0.01):
        # Means vary by residual variance / size, as if groups did not differ, and a bit more.
        within = (noise**2).sum() / (2000 * 99)
        spread = np.sqrt(within / 100) * (1 + excess)
        y = (noise + spread * means[:, None]).ravel()
        fit = fit_mixed(y, np.ones((len(y), 1)), [RandomTerm(group)])
        low, high = variance_interval(fit)
        ssb, ssw = 100 * 1999 * spread**2, 2000 * 99 * within

        def deviance(between, log_within, ssb=ssb, ssw=ssw):
            inner = np.exp(log_within)
            top = inner + 100 * between
            return 1999 * np.log(top) + ssb / top + 2000 * 99 * log_within + ssw / inner

        def profile(sd, deviance=deviance):
            return optimize.minimize_scalar(
                lambda log: deviance(sd**2, log), bounds=(-0.5, 0.5), method="bounded",
                options={"xatol": 1e-12},
            ).fun  # fmt: skip

        lowest = profile(np.sqrt(fit.covariances[0][0, 0]))
        assert low == 0
        assert np.sqrt(fit.covariances[0][0, 0]) < high < 0.05
        assert_allclose(profile(high) - lowest, stats.chi2.ppf(0.95, 1), rtol=1e-4)


def dense_profile(y, X, design, size, pinned):
    """Return the restricted deviance with one variance given, minimised over the others.

    The variances themselves are searched, of which 0 is an ordinary bound.
    """

    def deviance(free):
        variances = np.insert(free, *pinned) if pinned else free
        V = sum(v * Z @ Z.T for v, Z in zip(variances, design, strict=True))
        inverse = np.linalg.inv(V)
        inner = X.T @ inverse @ X
        left = y - X @ np.linalg.solve(inner, X.T @ inverse @ y)
        return np.linalg.slogdet(V)[1] + np.linalg.slogdet(inner)[1] + left @ inverse @ left

    k = size - (pinned is not None)
    lower = np.zeros(k)
    lower[-1] = 1e-6
    if pinned is not None and pinned[0] == size - 1:
        lower[-1] = 0
    return min(
        optimize.minimize(
            deviance, np.full(k, start), method="L-BFGS-B",
            bounds=[(b, None) for b in lower], options={"ftol": 1e-14, "gtol": 1e-7},
        ).fun
        for start in (0.2, 0.7)
    )  # fmt: skip


def test_other_variances_at_0_grow_where_the_given_one_leaves_them_room():
    rng = np.random.default_rng(0)
    place, person = np.repeat(np.arange(8), 12), np.repeat(np.arange(32), 3)
    y = rng.normal(size=96) + 0.8 * rng.normal(size=32)[person]
    X = np.ones((96, 1))
    fit = fit_mixed(y, X, [RandomTerm(place, name="place"), RandomTerm(person)])
    assert fit.singular == ("place",)
    design = [np.eye(8)[place], np.eye(32)[person], np.eye(96)]
    lowest = dense_profile(y, X, design, 3, None)
    for term, at in ((1, 1), (None, 2)):
        for end in variance_interval(fit, term):
            gap = dense_profile(y, X, design, 3, (at, end**2)) - lowest
            assert_allclose(gap, stats.chi2.ppf(0.95, 1), atol=1e-3)


def test_a_search_that_goes_far_comes_back():
    # Beside the value 0 of a standard deviation the next one's search set out far away.
    rng = np.random.default_rng(8)
    rows, columns = rng.integers(0, 5, 20), rng.integers(0, 4, 20)
    y = 5 * rng.normal(size=5)[rows] + rng.normal(size=4)[columns] + rng.normal(size=20)
    X = np.ones((20, 1))
    fit = fit_mixed(y, X, [RandomTerm(rows), RandomTerm(columns)])
    design = [np.eye(5)[rows], np.eye(4)[columns], np.eye(20)]
    lowest = dense_profile(y, X, design, 3, None)
    for end in variance_interval(fit):
        gap = dense_profile(y, X, design, 3, (0, end**2)) - lowest
        assert_allclose(gap, stats.chi2.ppf(0.95, 1), atol=1e-3)


def test_what_does_not_exist_is_said():
    y, group = simulate(np.random.default_rng(4))
    fit = fit_mixed(y, np.ones((72, 1)), [RandomTerm(group)])
    with pytest.raises(SpecError, match="no term 1; the fit has 1"):
        variance_interval(fit, 1)
    with pytest.raises(SpecError, match="no effect 1"):
        variance_interval(fit, effect=1)
    with pytest.raises(SpecError, match="between 0 and 1"):
        variance_interval(fit, level=95)


def coverage(runs, groups):
    """Return how often the restricted and the unrestricted interval hold the truth."""
    hits = np.zeros(2)
    for run in range(runs):
        rng = np.random.default_rng([6, run])
        group = np.repeat(np.arange(groups), rng.integers(4, 12, groups))
        y = 0.8 * rng.normal(size=groups)[group] + rng.normal(size=len(group))
        for i, reml in enumerate((True, False)):
            fit = fit_mixed(y, np.ones((len(y), 1)), [RandomTerm(group)], reml=reml)
            low, high = variance_interval(fit)
            hits[i] += low <= 0.8 <= high
    return hits / runs


def test_intervals_with_ten_groups_hold_the_truth():
    assert 0.75 <= coverage(15, 10)[0] <= 1  # 0.95 within three errors


@pytest.mark.slow
@pytest.mark.parametrize("groups", [10, 20])
def test_coverage_with_few_groups(groups):
    assert 0.935 <= coverage(2500, groups)[0] <= 0.965
