"""Tests on complex samples: Rao and Scott's, and the difference of means."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from lgpi_research.errors import MethodError
from lgpi_research.methods.design import Design, linearised_covariance
from lgpi_research.methods.estimates import domain_means
from lgpi_research.methods.survey_regression import weighted_regression
from lgpi_research.methods.survey_tests import mean_difference, table_test


def draw(seed, n=120, psus=20):
    rng = np.random.default_rng(seed)
    psu = rng.permutation(np.arange(n) % psus)
    u = rng.normal(size=psus)[psu]
    rows = np.where(rng.normal(size=n) + u > 0, "yes", "no").astype(object)
    columns = rng.integers(1, 4, n).astype(float)
    y = rng.normal(size=n) + u
    design = Design.from_labels(n, weights=rng.uniform(1, 3, n), stages=[psu])
    return rng, design, rows, columns, y


def test_a_simple_random_sample_gives_pearsons_test():
    _, _, rows, columns, _ = draw(0)
    found = table_test(rows, columns, Design.from_labels(120))
    table = np.array(
        [[np.sum((rows == r) & (columns == c)) for c in (1, 2, 3)] for r in ("no", "yes")]
    )
    assert_allclose(found.pearson, stats.chi2_contingency(table, correction=False).statistic)
    # The sample covariance of indicators is that of a multinomial but for n/(n - 1).
    assert_allclose(found.deff, 120 / 119)
    assert_allclose(found.df_num, 2.0)
    assert_allclose(found.statistic, found.pearson / 2 * 119 / 120)
    assert_allclose(found.df_denom, 2 * 119)
    assert_allclose(found.shares, table / 120)


def test_clusters_of_copies_multiply_pearsons_statistic_and_leave_f():
    _, _, rows, columns, _ = draw(1)
    one = table_test(rows, columns, Design.from_labels(120))
    copied = Design.from_labels(480, stages=[np.repeat(np.arange(120), 4)])
    four = table_test(np.repeat(rows, 4), np.repeat(columns, 4), copied)
    assert_allclose(four.pearson, 4 * one.pearson)
    assert_allclose(four.deff, 4 * one.deff)
    assert_allclose(
        [four.statistic, four.df_num, four.df_denom, four.p_value],
        [one.statistic, one.df_num, one.df_denom, one.p_value],
    )


def test_design_effects_are_those_of_log_odds_ratios():
    """A logistic regression on the columns has the same odds ratios, with their covariance."""
    _, design, rows, columns, _ = draw(6)
    found = table_test(rows, columns, design)
    x = np.column_stack([np.ones(120), columns == 2, columns == 3]).astype(float)
    fit = weighted_regression((rows == "yes").astype(float), x, design, family="logistic")
    ratios = np.array([[1, -1, 0, -1, 1, 0], [1, 0, -1, -1, 0, 1]])
    simple = (ratios / found.shares.ravel()) @ ratios.T / 120
    delta = np.linalg.solve(simple, fit.cov[1:, 1:])
    assert_allclose(found.deff, np.trace(delta) / 2, rtol=1e-7)
    assert_allclose(found.statistic, found.pearson / np.trace(delta), rtol=1e-7)
    assert_allclose(found.df_num, np.trace(delta) ** 2 / np.trace(delta @ delta), rtol=1e-7)
    assert found.df_num < 1.99
    assert_allclose(found.df_denom, found.df_num * 19)
    assert_allclose(found.p_value, stats.f.sf(found.statistic, found.df_num, found.df_denom))
    assert_allclose(table_test(rows, columns, design, df=7).df_denom, found.df_num * 7)


def test_rows_and_columns_change_places():
    _, design, rows, columns, _ = draw(2)
    rows[:3], columns[5] = None, np.nan
    one, other = table_test(rows, columns, design), table_test(columns, rows, design)
    assert_allclose(
        [one.statistic, one.df_num, one.df_denom], [other.statistic, other.df_num, other.df_denom]
    )
    assert (one.n_used, one.n_dropped) == (116, 4)
    assert_allclose(one.shares, other.shares.T)
    assert_allclose(one.shares.sum(), 1.0)


def test_an_empty_cell_and_a_category_outside_the_domain():
    _, design, rows, columns, _ = draw(3)
    columns[rows == "yes"] = np.where(columns[rows == "yes"] == 3, 1, columns[rows == "yes"])
    assert table_test(rows, columns, design).shares[1, 2] == 0
    inside = columns != 3
    found = table_test(rows, columns, design, domain=inside)
    assert found.shares.shape == (2, 2)
    assert found.n_dropped == 0


def test_a_table_that_cannot_be_tested():
    _, design, rows, columns, _ = draw(4)
    with pytest.raises(
        MethodError, match="two categories of each variable, got 2 of the rows and 1"
    ):
        table_test(rows, np.ones(120), design)
    with pytest.raises(MethodError, match="PSUs less strata are 0"):
        table_test(
            rows, columns, Design.from_labels(120, stages=[np.zeros(120)], lonely="certainty")
        )
    strata = Design.from_labels(120, strata=[f"{r}{c}" for r, c in zip(rows, columns, strict=True)])
    with pytest.raises(MethodError, match="no sampling error"):
        table_test(rows, columns, strata)


def rejections(runs, seed):
    rng = np.random.default_rng(seed)
    scott, pearson = 0, 0
    psu = np.repeat(np.arange(30), 10)
    design = Design.from_labels(300, stages=[psu])
    for _ in range(runs):
        rows = rng.normal(size=300) + 0.8 * rng.normal(size=30)[psu] > 0
        columns = np.digitize(rng.normal(size=300) + 0.8 * rng.normal(size=30)[psu], [-0.5, 0.5])
        found = table_test(rows, columns, design)
        scott += found.p_value < 0.05
        pearson += stats.chi2.sf(found.pearson, 2) < 0.05
    return scott / runs, pearson / runs


def test_pearsons_test_rejects_too_often_in_clusters_and_rao_and_scotts_does_not():
    scott, pearson = rejections(400, 0)
    assert scott < 0.09
    assert pearson > 0.15


@pytest.mark.slow
def test_the_size_of_the_test():
    scott, _ = rejections(4000, 1)
    assert 0.035 <= scott <= 0.065


def test_the_difference_of_means_is_the_slope_on_the_group():
    rng, design, rows, _, y = draw(5)
    y[rng.choice(120, 7, replace=False)] = np.nan
    second = (rows == "yes").astype(float)
    second[:2] = np.nan
    found = mean_difference(y, second, design)
    fit = weighted_regression(y, np.column_stack([np.ones(120), second]), design)
    assert_allclose(
        [found.estimate, found.std_error, found.t, found.df, found.p_value],
        [fit.coef[1], fit.std_error[1], fit.t[1], fit.df_resid, fit.p_value[1]],
    )
    assert (found.n_used, found.n_dropped) == (fit.n_used, fit.n_dropped)
    parts = domain_means(y, second, design, domain=~np.isnan(second))[1]
    contrast = np.array([-1.0, 1.0])
    assert_allclose(found.estimate, contrast @ parts.estimate)
    assert_allclose(found.std_error, np.sqrt(contrast @ parts.cov @ contrast))
    half = np.arange(120) < 60
    within = mean_difference(y, second, design, domain=half)
    part = weighted_regression(y, np.column_stack([np.ones(120), second]), design, domain=half)
    assert_allclose(within.std_error, part.std_error[1])


def test_both_groups_share_the_mean_of_other_strata():
    """Strata 1 and 4 hold one group each; 3 and 4 have one PSU."""
    rng, psu = np.random.default_rng(0), np.arange(60) // 6
    strata = np.array([0, 0, 0, 1, 1, 1, 2, 2, 3, 4])[psu]
    second = np.where(strata == 1, 1.0, np.where(strata == 4, 0.0, rng.random(60) < 0.5))
    design = Design.from_labels(60, strata=strata, stages=[psu], lonely="average")
    whole = np.isin(strata, [0, 1, 2])
    y = rng.normal(size=60)
    found = mean_difference(y, second, design)
    mean = [np.mean(y[second == g]) for g in (0, 1)]
    score = np.where(second == 1, (y - mean[1]) / second.sum(), (mean[0] - y) / (1 - second).sum())
    known = Design.from_labels(int(whole.sum()), strata=strata[whole], stages=[psu[whole]])
    by_hand = linearised_covariance(score[whole], known)[0, 0] * 5 / 3
    assert_allclose(found.std_error, np.sqrt(by_hand))


def test_a_simple_random_sample_gives_welchs_standard_error_but_for_divisors():
    y = np.array([1.0, 2.0, 4.0, 7.0, 8.0, 9.0])
    found = mean_difference(y, [0, 0, 0, 1, 1, 1], Design.from_labels(6))
    s = y[:3].var(ddof=0) / 3 + y[3:].var(ddof=0) / 3
    assert_allclose(found.std_error, np.sqrt(s * 6 / 5))


def test_differences_that_cannot_be_tested():
    design = Design.from_labels(4)
    with pytest.raises(MethodError, match="values in both groups"):
        mean_difference([1, 2, 3, 4], [0, 0, 0, 0], design)
    with pytest.raises(MethodError, match="0, 1 or missing"):
        mean_difference([1, 2, 3, 4], [0, 1, 2, 1], design)
    two = Design.from_labels(4, stages=[[1, 1, 2, 2]])
    with pytest.raises(MethodError, match="two degrees of freedom; PSUs less strata are 1"):
        mean_difference([1, 2, 3, 4], [0, 1, 0, 1], two)
