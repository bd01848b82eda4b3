"""Bounds of means under non-response, and who does not answer: exact cases and coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods import nonresponse
from lgpi_research.methods.design import Design
from lgpi_research.methods.estimates import means
from lgpi_research.methods.nonresponse import (
    contrast,
    imbens_manski,
    mean_bounds,
    pair_rates,
    rest_scores,
)

NAN = np.nan


def clustered(n_psu=12, per=10, k=3, seed=1):
    rng = np.random.default_rng(seed)
    psu = np.repeat(np.arange(n_psu), per)
    x = np.clip(
        np.rint(3 + rng.normal(size=(n_psu, k))[psu] + rng.normal(size=(len(psu), k))), 1, 5
    )
    x[rng.random(x.shape) < 0.2] = NAN
    asked = rng.random(x.shape) < 0.9
    weights = rng.uniform(0.5, 2, len(psu))
    design = Design.from_labels(len(psu), weights=weights, strata=psu % 2, stages=[psu])
    return np.where(asked, x, NAN), asked, design


def test_bounds_of_a_mean_by_hand():
    # Weights 1, 1, 2, 4; the last was not asked, the third did not answer.
    design = Design.from_labels(4, weights=[1, 1, 2, 4])
    x = np.array([[2.0], [4.0], [NAN], [NAN]])
    asked = np.array([[True], [True], [True], [False]])
    found = mean_bounds(x, asked, [1], [5], design)
    assert_allclose(found.rate, 0.5)
    assert_allclose(found.mean, 3)
    assert_allclose(found.low, 0.5 * 3 + 0.5 * 1)
    assert_allclose(found.high, 0.5 * 3 + 0.5 * 5)


def test_errors_of_the_bounds_are_those_of_means_of_filled_answers():
    x, asked, design = clustered()
    found = mean_bounds(x, asked, [1, 1, 1], [5, 5, 5], design)
    for end, bound, error in ((1, found.low, found.low_error), (5, found.high, found.high_error)):
        filled = means(np.where(asked, np.nan_to_num(x, nan=end), NAN), design)
        assert_allclose(bound, filled.estimate)
        assert_allclose(error, filled.std_error)
    assert_allclose(found.high - found.low, (1 - found.rate) * 4)


def test_intervals_end_where_the_scale_does():
    design = Design.from_labels(6)
    x = np.array([[1.0], [1], [1], [2], [NAN], [NAN]])
    found = mean_bounds(x, np.ones((6, 1)), [1], [2], design)
    assert_allclose(found.ci_low, 1)
    assert 1.5 < found.ci_high[0] <= 2
    x = 3 - x
    assert_allclose(mean_bounds(x, np.ones((6, 1)), [1], [2], design).ci_high, 2)


def test_bounds_hold_whatever_was_not_said():
    x, asked, design = clustered()
    found = mean_bounds(x, asked, [1, 1, 1], [5, 5, 5], design)
    rng = np.random.default_rng(0)
    for _ in range(20):
        whole = np.where(np.isnan(x), rng.integers(1, 6, x.shape), x)
        truth = means(np.where(asked, whole, NAN), design).estimate
        assert (found.low <= truth).all()
        assert (truth <= found.high).all()


def test_a_domain_has_the_numbers_of_its_own_rows_and_the_design_of_all():
    x, asked, design = clustered()
    inside = np.arange(len(x)) % 3 == 0
    found = mean_bounds(x, asked, [1, 1, 1], [5, 5, 5], design, domain=inside)
    assert_allclose(found.mean, means(np.where(asked, x, NAN), design, domain=inside).estimate)
    outside = np.where(inside[:, None], x, 1.0)
    again = mean_bounds(outside, asked, [1, 1, 1], [5, 5, 5], design, domain=inside)
    assert_allclose(again.ci_low, found.ci_low)


def test_order_of_items_and_number_held_at_a_time_do_not_matter(monkeypatch):
    x, asked, design = clustered(k=5)
    ends = [1.0] * 5, [5.0] * 5
    whole = mean_bounds(x, asked, *ends, design)
    monkeypatch.setattr(nonresponse, "_ITEMS", 2)
    parts = mean_bounds(x[:, ::-1], asked[:, ::-1], *ends, design)
    for name in ("rate", "mean", "std_error", "low", "ci_low", "ci_high"):
        assert_allclose(getattr(parts, name)[::-1], getattr(whole, name))


def test_items_without_a_scale_or_an_answer_have_no_bounds():
    design = Design.from_labels(3)
    x = np.array([[1.0, NAN, NAN], [2.0, NAN, NAN], [NAN, NAN, NAN]])
    asked = np.array([[True, True, False]] * 3)
    found = mean_bounds(x, asked, [NAN, 1, 1], [NAN, 5, 5], design)
    assert_allclose(found.rate, [2 / 3, 0, NAN])
    assert_allclose(found.mean, [1.5, NAN, NAN])
    assert_allclose(found.low, [NAN, 1, NAN])
    assert_allclose(found.ci_high, [NAN, 5, NAN])


@given(
    st.floats(0, 50), st.floats(0.01, 10), st.floats(0.01, 10), st.floats(0.5, 0.99),
    st.one_of(st.none(), st.integers(1, 200)),
)  # fmt: skip
def test_the_interval_solves_its_equation(distance, low_error, high_error, level, df):
    low, high = imbens_manski(1.0, 1.0 + distance, low_error, high_error, level=level, df=df)
    c = (1.0 - low) / low_error
    assert_allclose((high - 1.0 - distance) / high_error, c, rtol=1e-6, atol=1e-9)
    curve = stats.norm if df is None else stats.t(df)
    reached = curve.cdf(c + distance / max(low_error, high_error)) - curve.cdf(-c)
    assert_allclose(reached, level, atol=1e-9)


def test_the_interval_goes_from_two_sided_to_one_sided():
    low, high = imbens_manski([0.0, 0.0], [0.0, 100.0], [1.0, 1.0], [1.0, 1.0])
    assert_allclose(-low, stats.norm.isf([0.025, 0.05]))
    assert_allclose(high - [0, 100], stats.norm.isf([0.025, 0.05]))
    assert_allclose(imbens_manski(1.0, 2.0, 0.0, 0.0), [1, 2])
    assert np.isnan(imbens_manski(1.0, 2.0, 0.1, 0.1, df=0)).all()
    assert np.isnan(imbens_manski(NAN, 2.0, 0.1, 0.1)[0])


def test_bounds_that_cross_are_refused():
    with pytest.raises(MethodError, match="lies below"):
        imbens_manski([1.0, 2.0], [1.0, 1.5], 0.1, 0.1)
    with pytest.raises(SpecError, match="level"):
        imbens_manski(1.0, 2.0, 0.1, 0.1, level=95)


def test_pairs_count_only_those_who_were_asked_both():
    answered = np.array([[1, 1], [1, 0], [0, 0], [1, 0]], dtype=bool)
    asked = np.array([[1, 1], [1, 1], [1, 1], [1, 0]], dtype=bool)
    found = pair_rates(answered, asked, [1, 1, 2, 5])
    assert_allclose(found, [[7 / 9, 1 / 4], [1 / 4, 1 / 4]])
    answered[3, 1] = True  # what was not asked is no answer
    assert_allclose(pair_rates(answered, asked, [1, 1, 2, 5]), found)


def test_rest_scores_leave_their_own_item_out():
    x, _, design = clustered(k=4)
    found = rest_scores(x, design.weights)
    changed = x.copy()
    changed[:, 2] = np.where(np.isnan(x[:, 2]), 1, NAN)
    assert_allclose(rest_scores(changed, design.weights)[:, 2], found[:, 2])
    # A respondent of weight 2 is two respondents.
    whole = np.where(np.arange(len(x)) % 3 == 0, 2, 1)
    twice = rest_scores(np.repeat(x, whole, axis=0), np.ones(whole.sum()))
    first = np.cumsum(whole) - whole
    assert_allclose(rest_scores(x, whole), twice[first])
    rescaled = x * [1, 10, 0.1, 3] + [0, 5, 1, -2]
    assert_allclose(rest_scores(rescaled, design.weights), found)
    still = np.where(np.arange(4) == 1, 2.0, x)
    assert_allclose(
        rest_scores(still, design.weights)[:, 0],
        rest_scores(np.where(np.arange(4) == 1, NAN, x), design.weights)[:, 0],
    )


def test_a_contrast_is_that_of_a_weighted_regression():
    from statsmodels.regression.linear_model import WLS

    x, _, design = clustered(seed=3)
    score, second = np.nan_to_num(x[:, 0], nan=2.0), np.isnan(x[:, 1])
    found = contrast(score, ~second, second, design)
    spread = np.sqrt(np.cov(score, aweights=design.weights, ddof=0))
    fit = WLS(score, np.column_stack([np.ones(len(score)), second]), design.weights).fit()
    assert_allclose(found.difference, fit.params[1] / spread)
    # Linearised: bread · meat of PSU totals within strata · bread.
    bread = np.linalg.inv(fit.model.wexog.T @ fit.model.wexog)
    rows = fit.model.exog * (design.weights * fit.resid)[:, None]
    meat = np.zeros((2, 2))
    for stratum in (0, 1):
        psus = np.unique(design.stages[0][design.strata == stratum])
        totals = np.array([rows[design.stages[0] == p].sum(axis=0) for p in psus])
        away = totals - totals.mean(axis=0)
        meat += len(psus) / (len(psus) - 1) * away.T @ away
    error = np.sqrt((bread @ meat @ bread)[1, 1]) / spread
    assert_allclose(found.std_error, error)
    assert_allclose(found.p_value, 2 * stats.t.sf(abs(found.difference) / error, 10))
    assert_allclose(found.ci_high - found.difference, stats.t.isf(0.025, 10) * error)
    assert (found.n_first, found.n_second) == ((~second).sum(), second.sum())


def test_a_contrast_needs_two_on_each_side_and_a_score_that_varies():
    design = Design.from_labels(4)
    with pytest.raises(MethodError, match="got 3 and 1"):
        contrast([1, 2, 3, 4], [True, True, True, False], [False, False, False, True], design)
    half = np.array([True, True, False, False])
    with pytest.raises(MethodError, match="does not vary"):
        contrast([2.0] * 4, half, ~half, design)
    with pytest.raises(MethodError, match="two PSUs"):
        contrast(
            [1, 2, 3, 4], half, ~half,
            Design.from_labels(4, stages=[["a"] * 4], lonely="certainty"),
        )  # fmt: skip


def coverage(runs, n_psu, silent, seed):
    """Return the shares of intervals that hold the true mean: bounds, and mean of answers."""
    rng = np.random.default_rng(seed)
    cuts = np.array([-1.2, -0.4, 0.4, 1.2])
    truth = np.diff([0, *stats.norm.cdf(cuts), 1]) @ np.arange(1, 6)
    psu = np.repeat(np.arange(n_psu), 15)
    design = Design.from_labels(len(psu), weights=np.ones(len(psu)), stages=[psu])
    between = rng.normal(size=(n_psu, runs))[psu] * np.sqrt(0.1)
    trait = between + rng.normal(size=(len(psu), runs)) * np.sqrt(0.9)
    y = 1.0 + (trait[:, :, None] > cuts).sum(axis=2)
    x = np.where(rng.random(y.shape) < silent(y), NAN, y)
    found = mean_bounds(x, np.ones_like(x), np.ones(runs), np.full(runs, 5.0), design)
    reach = stats.t.isf(0.025, n_psu - 1) * found.std_error
    return (
        np.mean((found.ci_low <= truth) & (truth <= found.ci_high)),
        np.mean(np.abs(found.mean - truth) <= reach),
    )


def most_of_the_lowest(y):
    return np.where(y == 1, 0.6, 0.0)


def the_lower_the_more(y):
    return 0.5 / (1 + np.exp(1.2 * (y - 2.5)))


def test_the_interval_holds_the_mean_where_that_of_the_answers_does_not():
    bounds, naive = coverage(400, 20, most_of_the_lowest, 11)
    assert 0.92 < bounds < 0.98
    assert naive < 0.8
    assert coverage(100, 20, the_lower_the_more, 12)[0] > 0.97
    assert 0.92 < coverage(400, 20, lambda y: np.zeros(y.shape), 13)[0] < 0.98


@pytest.mark.slow
@pytest.mark.parametrize("n_psu", [20, 200])
def test_coverage_of_the_interval_at_length(n_psu):
    for number, silent in enumerate((most_of_the_lowest, lambda y: np.zeros(y.shape))):
        parts = [coverage(250, n_psu, silent, [number, part])[0] for part in range(12)]
        assert 0.935 < np.mean(parts) < 0.967
    assert coverage(250, n_psu, the_lower_the_more, 3)[0] > 0.99
