"""Regression on complex samples: known fits, invariances, what has no answer."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.design import Design
from lgpi_research.methods.estimates import means
from lgpi_research.methods.survey_regression import weighted_regression


def draw(seed, n=200, psus=25):
    rng = np.random.default_rng(seed)
    psu = rng.permutation(np.arange(n) % psus)
    x = np.column_stack([np.ones(n), rng.normal(size=n), rng.integers(0, 2, n)])
    eta = x @ [0.2, 0.8, -0.5] + 0.5 * rng.normal(size=psus)[psu]
    design = Design.from_labels(n, weights=rng.uniform(1, 4, n), strata=psu % 3, stages=[psu])
    event = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float)
    return rng, design, x, eta + rng.normal(size=n), event


def test_least_squares_has_the_sandwich_of_its_textbook():
    from statsmodels.regression.linear_model import WLS

    _, design, x, y, _ = draw(0)
    whole = Design(design.weights, np.zeros(200, dtype=np.int64), design.stages, (None,))
    fit = weighted_regression(y, x, whole, names=["one", "x", "z"])
    plain = WLS(y, x, weights=design.weights).fit(
        cov_type="cluster", cov_kwds={"groups": design.stages[0], "use_correction": False}
    )
    assert_allclose(fit.coef, plain.params)
    assert_allclose(fit.cov, plain.cov_params() * 25 / 24)
    assert fit.df_resid == 25 - 1 + 1 - 3
    assert_allclose(fit.p_value, 2 * stats.t.sf(abs(fit.t), fit.df_resid))
    low, high = fit.interval(0.9)
    assert_allclose((high - low) / 2, stats.t.ppf(0.95, fit.df_resid) * fit.std_error)


def test_logistic_regression_has_the_sandwich_of_its_textbook():
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    _, design, x, _, event = draw(1)
    whole = Design(design.weights, np.zeros(200, dtype=np.int64), design.stages, (None,))
    fit = weighted_regression(event, x, whole, family="logistic")
    repeated = np.repeat(np.arange(200), 2)
    plain = GLM(event, x, family=Binomial(), freq_weights=design.weights).fit(
        tol=1e-13, maxiter=100
    )
    assert_allclose(fit.coef, plain.params, rtol=1e-8)
    share = 1 / (1 + np.exp(-x @ fit.coef))
    bread = np.linalg.inv((x.T * (design.weights * share * (1 - share))) @ x)
    score = x * (design.weights * (event - share))[:, None]
    sums = np.zeros((25, 3))
    np.add.at(sums, design.stages[0], score)
    assert_allclose(fit.cov, bread @ (sums.T @ sums) @ bread * 25 / 24, rtol=1e-8)
    # Shares are outcomes too: half an event is two rows of half the weight.
    half = np.where(np.arange(200) < 20, 0.5, event)
    both = Design.from_labels(
        400, weights=design.weights[repeated] / 2, stages=[design.stages[0][repeated]]
    )
    pairs = np.where(np.arange(400) < 40, np.arange(400) % 2, event[repeated])
    one = weighted_regression(half, x, whole, family="logistic")
    two = weighted_regression(pairs, x[repeated], both, family="logistic")
    assert_allclose(one.coef, two.coef)
    assert_allclose(one.cov, two.cov)


def test_an_intercept_alone_is_the_mean_or_its_log_odds():
    _, design, x, y, event = draw(2)
    mean, fit = means(y, design), weighted_regression(y, x[:, :1], design)
    assert_allclose([fit.coef[0], fit.std_error[0]], [mean.estimate[0], mean.std_error[0]])
    assert fit.df_resid == design.df
    share = means(event, design)
    logit = weighted_regression(event, x[:, :1], design, family="logistic")
    p = share.estimate[0]
    assert_allclose(logit.coef[0], np.log(p / (1 - p)))
    assert_allclose(logit.std_error[0], share.std_error[0] / (p * (1 - p)))


@pytest.mark.parametrize("family", ["linear", "logistic"])
def test_weights_units_and_order_do_not_matter(family):
    rng, design, x, y, event = draw(3)
    outcome = y if family == "linear" else event
    fit = weighted_regression(outcome, x, design, family=family)
    order = rng.permutation(200)
    other = Design(
        7.5 * design.weights[order], design.strata[order], (design.stages[0][order],), (None,)
    )
    again = weighted_regression(outcome[order], x[order], other, family=family)
    assert_allclose(fit.coef, again.coef)
    assert_allclose(fit.cov, again.cov)
    scale = np.array([1.0, 1e5, 1e-4])
    scaled = weighted_regression(outcome, x * scale, design, family=family)
    assert_allclose(scaled.coef * scale, fit.coef, rtol=1e-6)
    assert_allclose(scaled.cov * np.outer(scale, scale), fit.cov, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("family", ["linear", "logistic"])
def test_rows_without_a_value_are_outside_the_domain(family):
    rng, design, x, y, event = draw(4)
    outcome = y if family == "linear" else event
    gone = rng.random(200) < 0.2
    holes, gaps = outcome.copy(), x.copy()
    holes[gone] = np.nan
    gaps[gone, 1] = np.nan
    domain = weighted_regression(outcome, x, design, family=family, domain=~gone)
    for fit in (
        weighted_regression(holes, x, design, family=family),
        weighted_regression(outcome, gaps, design, family=family),
    ):
        assert_allclose(fit.coef, domain.coef)
        assert_allclose(fit.cov, domain.cov)
        assert (fit.n_dropped, domain.n_dropped) == (gone.sum(), 0)
        assert fit.df_resid == domain.df_resid


def test_a_lonely_psu_outside_the_domain_is_no_failure():
    _, _, x, y, _ = draw(10)
    psu = np.arange(200) % 25
    design = Design.from_labels(200, strata=np.where(psu == 0, 1, 0), stages=[psu])
    with pytest.raises(MethodError, match="1 of 2 strata have one PSU"):
        weighted_regression(y, x, design)
    rest = Design.from_labels(192, stages=[psu[psu > 0]])
    found = weighted_regression(y, x, design, domain=psu > 0)
    assert_allclose(found.cov, weighted_regression(y[psu > 0], x[psu > 0], rest).cov)


def test_a_joint_test_of_one_coefficient_is_the_square_of_its_t():
    _, design, x, y, _ = draw(5)
    fit = weighted_regression(y, x, design, names=["one", "x", "z"])
    single = fit.wald(["x"])
    assert_allclose([single.statistic, single.p_value], [fit.t[1] ** 2, fit.p_value[1]])
    both = fit.wald(["x", "z"])
    assert_allclose(
        both.statistic, fit.coef[1:] @ np.linalg.inv(fit.cov[1:, 1:]) @ fit.coef[1:] / 2
    )
    assert (both.df_num, both.df_denom) == (2, fit.df_resid)
    assert_allclose(both.p_value, stats.f.sf(both.statistic, 2, fit.df_resid))
    with pytest.raises(SpecError, match="no coefficient y"):
        fit.wald(["x", "y"])
    with pytest.raises(SpecError, match="no coefficient is named"):
        fit.wald([])


def test_separation_is_named_and_never_a_number():
    rng, design, x, _, event = draw(6)
    perfect = np.column_stack([x, event])
    with pytest.raises(MethodError, match="guilty predict some outcomes perfectly"):
        weighted_regression(
            event, perfect, design, family="logistic", names=["one", "x", "z", "guilty"]
        )
    # One category in which everybody has the event: quasi-separation.
    some = np.where((event == 1) & (rng.random(200) < 0.3), 1.0, 0.0)
    with pytest.raises(MethodError, match=r"answer: some predict .*separation"):
        weighted_regression(
            event, np.column_stack([x[:, :2], some]), design, family="logistic",
            names=["one", "x", "some"],
        )  # fmt: skip


def test_large_slopes_are_no_separation():
    rng = np.random.default_rng(7)
    x = rng.normal(size=3000)
    event = (rng.random(3000) < 1 / (1 + np.exp(-8 * x))).astype(float)
    fit = weighted_regression(
        event, np.column_stack([np.ones(3000), x]), Design.from_labels(3000), family="logistic"
    )
    assert abs(fit.coef[1] - 8) < 3 * fit.std_error[1]


def test_what_cannot_be_regressed():
    _, design, x, y, event = draw(8)
    with pytest.raises(SpecError, match="Did you mean 'logistic'"):
        weighted_regression(event, x, design, family="logit")
    with pytest.raises(MethodError, match=r"outcomes from 0 to 1; .* lie outside"):
        weighted_regression(y, x, design, family="logistic")
    with pytest.raises(MethodError, match="both outcomes; all 200 are 1"):
        weighted_regression(np.ones(200), x, design, family="logistic")
    with pytest.raises(MethodError, match="copy"):
        weighted_regression(
            y, np.column_stack([x, 2 * x[:, 1]]), design, names=["one", "x", "z", "copy"]
        )
    with pytest.raises(MethodError, match="no row of the domain has the outcome and every"):
        weighted_regression(y, x, design, domain=np.zeros(200, dtype=bool))
    with pytest.raises(MethodError, match="do not match"):
        weighted_regression(y[:10], x, design)


def test_too_few_psus_have_no_test():
    _, _, x, y, _ = draw(9)
    few = Design.from_labels(200, stages=[np.arange(200) % 3])
    fit = weighted_regression(y, np.column_stack([x, x[:, 1] ** 2]), few)
    assert fit.df_resid == -1
    assert np.isnan(fit.p_value).all()
    assert np.isnan(fit.interval()).all()
    with pytest.raises(MethodError, match="too few PSUs"):
        fit.wald(["x1", "x2"])
