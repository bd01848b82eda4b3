from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.meta import (
    blups,
    explained_heterogeneity,
    moderator_test,
    prediction_interval,
    random_effects,
)


def sample(seed: int, k: int = 12, tau2: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effects, error variances, and moderators with a constant."""
    rng = np.random.default_rng([30, seed])
    v = np.exp(rng.normal(-1.5, 1, k))
    X = np.column_stack([np.ones(k), rng.normal(size=(k, 2))])
    return 0.4 + 0.3 * X[:, 1] + rng.normal(0, np.sqrt(v + tau2)), v, X


# Exact cases


def test_equal_errors_give_the_t_test_of_the_mean():
    y = np.array([0.1, 0.9, 2.0, 1.2, 3.1])
    fit = random_effects(y, np.full(5, 0.4))
    theirs = stats.ttest_1samp(y, 0.0)
    assert_allclose(fit.statistic[0], theirs.statistic)
    assert_allclose(fit.p_value[0], theirs.pvalue)
    assert_allclose(fit.ci[0], theirs.confidence_interval())
    assert_allclose(fit.scale, 1.0)
    assert_allclose(fit.i2, 1 - 0.4 / y.var(ddof=1))


def test_one_effect_is_its_own_common_effect():
    fit = random_effects([1.2], [0.25], method="FE", test="normal")
    assert (fit.coef[0], fit.std_error[0]) == pytest.approx((1.2, 0.5))
    assert fit.between.df == 0
    assert np.isnan([fit.i2, fit.h2, fit.q_p]).all()


def test_two_effects_leave_one_degree_of_freedom():
    fit = random_effects([0.0, 2.0], [0.5, 0.5])
    assert fit.df == 1
    assert_allclose(fit.ci[0], 1 + np.array([-1, 1]) * stats.t.isf(0.025, 1))
    with pytest.raises(MethodError, match="at least 3"):
        prediction_interval(fit)


def test_one_effect_of_nearly_all_weight_decides_the_common_effect():
    y, v = np.array([5.0, 1.0, -2.0, 1.5]), np.array([1e-12, 1.0, 1.0, 1.0])
    fit = random_effects(y, v, method="FE", test="normal")
    assert_allclose(fit.coef[0], 5.0, rtol=1e-10)
    assert_allclose(fit.std_error[0], 1e-6, rtol=1e-9)
    assert np.isfinite(random_effects(y, v).coef).all()


def test_effects_without_variance_between_are_pooled_as_common():
    y, v = np.array([1.0, 1.1, 0.9, 1.05]), np.array([1.0, 2.0, 0.5, 1.5])
    free = random_effects(y, v, test="normal")
    common = random_effects(y, v, method="FE", test="normal")
    assert free.tau2 == 0
    assert_allclose(free.coef, common.coef)
    assert_allclose(free.ci, common.ci)
    assert (free.i2, free.h2) == (0.0, 1.0)


def test_blups_are_means_where_nothing_differs_and_effects_where_all_does():
    y, v, _ = sample(0)
    same = random_effects(y, v, tau2=0.0, test="normal")
    assert_allclose(blups(same)[0], same.coef[0])
    assert_allclose(blups(same)[1], same.std_error[0])
    other = random_effects(y, v, tau2=1e9, test="normal")
    assert_allclose(blups(other)[0], y, atol=1e-6)
    assert_allclose(blups(other)[1], np.sqrt(v), rtol=1e-6)


# References written in another way


@pytest.mark.parametrize("seed", range(4))
def test_coefficients_are_generalised_least_squares(seed):
    y, v, X = sample(seed)
    fit = random_effects(y, v, X, test="normal")
    W = np.diag(1 / (v + fit.tau2))
    cov = np.linalg.inv(X.T @ W @ X)
    assert_allclose(fit.coef, cov @ X.T @ W @ y)
    assert_allclose(fit.cov, cov)
    assert_allclose(fit.weights, np.diag(W) / np.trace(W))
    assert_allclose(fit.p_value, 2 * stats.norm.sf(np.abs(fit.coef) / np.sqrt(np.diag(cov))))
    knapp = random_effects(y, v, X, test="plain")
    residual = y - X @ knapp.coef
    factor = residual @ W @ residual / 9
    assert_allclose(knapp.scale, factor)
    assert_allclose(knapp.cov, factor * cov)
    assert random_effects(y, v, X).scale == pytest.approx(max(1.0, factor))


def test_fixed_and_random_effects_agree_with_statsmodels():
    meta = pytest.importorskip("statsmodels.stats.meta_analysis")
    y, v, _ = sample(5)
    for ours, theirs in {"PM": "iterated", "DL": "dl"}.items():
        their = meta.combine_effects(y, v, method_re=theirs, use_t=True, atol=1e-13)
        fit = random_effects(y, v, method=ours, test="plain")
        assert_allclose(fit.coef[0], their.mean_effect_re, rtol=1e-7)
        assert_allclose(fit.std_error[0], their.sd_eff_w_re_hksj, rtol=1e-7)
        normal = random_effects(y, v, method=ours, test="normal")
        assert_allclose(normal.std_error[0], their.sd_eff_w_re, rtol=1e-7)
    common = random_effects(y, v, method="FE", test="normal")
    assert_allclose(common.coef[0], their.mean_effect_fe)
    assert_allclose(common.std_error[0], their.sd_eff_w_fe)
    assert_allclose(common.between.q, their.q)
    assert_allclose(common.i2, their.i2)
    assert_allclose(common.h2, their.h2)


def test_meta_regression_of_known_variances_agrees_with_weighted_least_squares():
    sm = pytest.importorskip("statsmodels.api")
    y, v, X = sample(6)
    fit = random_effects(y, v, X, method="PM", test="plain")
    their = sm.WLS(y, X, weights=1 / (v + fit.tau2)).fit()
    assert_allclose(fit.coef, their.params)
    assert_allclose(fit.std_error, their.bse)
    assert_allclose(fit.p_value, their.pvalues)
    assert_allclose(fit.ci, their.conf_int())
    joint = moderator_test(fit, [1, 2])
    assert_allclose(joint.statistic, their.fvalue)
    assert_allclose(joint.p_value, their.f_pvalue)


def test_paule_and_mandel_have_a_factor_of_one():
    y, v, X = sample(7, tau2=2.0)
    assert_allclose(random_effects(y, v, X, method="PM", test="plain").scale, 1.0, rtol=1e-10)


def test_joint_normal_test_is_chi_squared():
    y, v, X = sample(8)
    fit = random_effects(y, v, X, test="normal")
    found = moderator_test(fit, [2, 1])
    b = fit.coef[1:]
    expected = b @ np.linalg.inv(fit.cov[1:, 1:]) @ b
    assert_allclose(2 * found.statistic, expected)
    assert_allclose(found.p_value, stats.chi2.sf(expected, 2))
    assert found.df_denom == np.inf


def test_blups_are_the_conditional_means_of_the_joint_normal_model():
    y, v, X = sample(9)
    fit = random_effects(y, v, X, test="normal")
    # Coefficients that are normal of huge variance give both value and error.
    prior = 1e5 * X @ X.T + fit.tau2 * np.eye(12)
    posterior = np.linalg.inv(np.linalg.inv(prior) + np.diag(1 / v))
    predicted, error = blups(fit)
    assert_allclose(predicted, posterior @ (y / v), rtol=1e-3, atol=1e-4)
    assert_allclose(error, np.sqrt(np.diag(posterior)), rtol=1e-3)


def test_prediction_interval_uses_two_fewer_degrees_of_freedom_than_effects():
    y, v, _ = sample(10)
    fit = random_effects(y, v, test="normal")
    reach = np.sqrt(fit.tau2 + fit.std_error[0] ** 2)
    for df, quantile in ((None, stats.t.isf(0.025, 10)), (np.inf, stats.norm.isf(0.025))):
        assert_allclose(
            prediction_interval(fit, df=df), fit.coef[0] + np.array([-1, 1]) * quantile * reach
        )
    assert prediction_interval(fit, level=0.5)[0] > prediction_interval(fit)[0]


def test_heterogeneity_explained_compares_with_no_moderators():
    y, v, X = sample(11)
    fit, plain = random_effects(y, v, X), random_effects(y, v)
    assert_allclose(explained_heterogeneity(fit), max(0.0, 1 - fit.tau2 / plain.tau2))
    nothing = random_effects([1.0, 1.1, 0.9, 1.0], np.ones(4), X[:4, :2])
    assert np.isnan(explained_heterogeneity(nothing))


# Invariance


@given(
    seed=st.integers(0, 50),
    unit=st.sampled_from([-2.0, 1e-5, 1e4]),
    shift=st.sampled_from([-50.0, 0.0, 3.0]),
    test=st.sampled_from(["normal", "plain", "modified"]),
)
def test_order_shift_and_unit_do_not_matter(seed, unit, shift, test):
    y, v, _ = sample(seed, k=9)
    there = np.random.default_rng(seed).permutation(9)
    plain = random_effects(y, v, test=test)
    moved = random_effects((unit * y + shift)[there], (unit**2 * v)[there], test=test)
    size = abs(unit) * plain.std_error[0] + 1e-9 * abs(shift)
    assert_allclose(moved.coef, unit * plain.coef + shift, atol=1e-6 * size)
    assert_allclose(moved.std_error, abs(unit) * plain.std_error, rtol=1e-6)
    assert_allclose(moved.i2, plain.i2, rtol=1e-6, atol=1e-9)
    assert_allclose(moved.weights, plain.weights[there], rtol=1e-6)


def test_modified_intervals_are_never_shorter_than_plain_ones_or_those_of_known_variance():
    for seed in range(30):
        y, v, _ = sample(seed, k=6, tau2=0.05)
        length = {
            test: np.ptp(random_effects(y, v, test=test).ci)
            for test in ("normal", "plain", "modified")
        }
        assert length["modified"] >= max(length["plain"], length["normal"])


# Refusals


def test_plain_factor_of_equal_effects_is_refused_and_the_modified_one_is_not():
    with pytest.raises(MethodError, match="modified"):
        random_effects([1.0, 1.0, 1.0], [0.5, 1.0, 2.0], test="plain")
    assert random_effects([1.0, 1.0, 1.0], [0.5, 1.0, 2.0]).scale == 1.0


def test_one_effect_has_no_small_sample_test():
    with pytest.raises(MethodError, match="no degree of freedom"):
        random_effects([1.0], [0.5], method="FE")


def test_options_that_do_not_exist_are_refused():
    with pytest.raises(SpecError, match="Did you mean 'plain'"):
        random_effects([1.0, 2.0], [1.0, 1.0], test="plane")
    with pytest.raises(SpecError, match="level"):
        random_effects([1.0, 2.0], [1.0, 1.0], level=1.0)
    with pytest.raises(SpecError, match="level"):
        prediction_interval(random_effects([1.0, 2.0, 4.0], [1.0] * 3), level=0)


def test_predictions_and_joint_tests_say_what_they_need():
    y, v, X = sample(0)
    fit = random_effects(y, v, X)
    with pytest.raises(MethodError, match="without moderators"):
        prediction_interval(fit)
    for terms in ([], [3], [1, 1], [-1]):
        with pytest.raises(MethodError, match="each once"):
            moderator_test(fit, terms)


# Known truth


@pytest.mark.slow
def test_modified_intervals_cover_where_normal_ones_fall_short():
    # Few settings with errors of very different size, as slopes of countries have.
    draws = 1500
    for k in (5, 10):
        hits = dict.fromkeys(("normal", "plain", "modified"), 0)
        for task in range(draws):
            rng = np.random.default_rng([31, k, task])
            v = np.exp(rng.normal(-2, 1, k))
            y = 0.5 + rng.normal(0, np.sqrt(v + 0.2))
            for test in hits:
                low, high = random_effects(y, v, method="DL", test=test).ci[0]
                hits[test] += low <= 0.5 <= high
        noise = 3 * np.sqrt(0.95 * 0.05 / draws)
        assert hits["normal"] / draws < 0.95 - noise
        assert hits["modified"] / draws > 0.95 - noise
        assert hits["modified"] >= hits["plain"] > hits["normal"]


@pytest.mark.slow
def test_predictions_cover_where_errors_are_negligible_and_somewhat_less_where_they_are_not():
    draws = 1500
    shares = []
    for size in (1e-6, 1.0):
        hits = 0
        for task in range(draws):
            rng = np.random.default_rng([32, task])
            v = size * np.exp(rng.normal(-2, 0.5, 10))
            fit = random_effects(rng.normal(0, np.sqrt(v + 0.5)), v, test="plain")
            low, high = prediction_interval(fit, df=fit.df)
            hits += low <= rng.normal(0, np.sqrt(0.5)) <= high
        shares.append(hits / draws)
    assert abs(shares[0] - 0.95) < 3 * np.sqrt(0.95 * 0.05 / draws)
    assert 0.88 < shares[1] < shares[0]
