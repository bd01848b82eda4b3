from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.latent.irt_fit import fit_item_response
from lgpi_research.methods.latent.irt_plausible import latent_regression, plausible_values
from lgpi_research.methods.latent.irt_scores import eap_scores
from lgpi_research.streams import stream
from tests.methods.latent.irt_population import sample

SLOPE = 0.5


def population(seed, n=1000, slope=SLOPE):
    """Return a regressor of variance 1 and answers of a trait of variance 1."""
    rng = np.random.default_rng([73, seed])
    x = rng.normal(size=n)
    theta = slope * x + rng.normal(0, np.sqrt(1 - slope**2), n)
    return x, sample(seed, theta=theta)


def pooled(values, x):
    """Return slope and its standard error by Rubin's rules."""
    away = x - x.mean()
    slopes = values @ away / (away @ away)
    rest = values - values.mean(axis=1, keepdims=True) - slopes[:, None] * away
    within = np.square(rest).sum(axis=1) / (len(x) - 2) / (away @ away)
    total = within.mean() + (1 + 1 / len(slopes)) * slopes.var(ddof=1)
    return slopes.mean(), np.sqrt(total)


def test_a_constant_alone_gives_back_the_fitted_trait():
    fit = fit_item_response(sample(n=500))
    found = latent_regression(fit)
    assert_allclose([found.coef[0], found.sd], [0, 1], atol=1e-4)
    assert_allclose(found.log_likelihood, fit.log_likelihood, rtol=1e-8)


def test_unconditional_draws_attenuate_and_conditional_ones_do_not():
    x, answers = population(0, n=2000)
    fit = fit_item_response(answers)
    found = latent_regression(fit, x)
    assert abs(found.coef[1] - SLOPE) < 3 * found.std_error[1]
    blind, _ = pooled(plausible_values(fit, stream(0, "simulate", 0)), x)
    seen, error = pooled(plausible_values(fit, stream(0, "simulate", 0), regressors=x), x)
    reliability = eap_scores(fit).estimate.var()
    assert abs(seen - SLOPE) < 3 * error
    assert_allclose(blind, SLOPE * reliability, atol=0.06)
    assert blind < SLOPE - 4 * error


def test_draws_have_the_moments_of_the_posterior():
    fit = fit_item_response(sample(n=1000))
    values = plausible_values(fit, stream(1, "simulate", 0), draws=80)
    scores = eap_scores(fit)
    assert_allclose(values.mean(axis=0), scores.estimate, atol=5 * 0.6 / np.sqrt(80))
    assert_allclose(values.std(axis=0).mean(), scores.std_error.mean(), rtol=0.02)


def test_draws_extend_and_repeat():
    x, answers = population(2, n=300)
    answers[5] = np.nan
    fit = fit_item_response(answers)
    few, many = (
        plausible_values(fit, stream(0, "simulate", 0), regressors=x, draws=d) for d in (2, 5)
    )
    assert_array_equal(few, many[:2])
    assert np.isnan(few[:, 5]).all()
    assert np.isnan(few).sum() == 2


def test_scale_of_a_regressor_and_information():
    x, answers = population(3, n=800)
    fit = fit_item_response(answers)
    one, other = latent_regression(fit, x), latent_regression(fit, np.column_stack([3 * x + 1]))
    assert_allclose(other.coef[1], one.coef[1] / 3, rtol=1e-5)
    assert_allclose(other.std_error[1], one.std_error[1] / 3, rtol=1e-4)


@pytest.mark.slow
def test_pooled_intervals_cover():
    # A small slope: the unit is the sample's spread, which steadies larger ones.
    slope, inside, blind = 0.2, [], []
    for seed in range(150):
        x, answers = population(seed, n=600, slope=slope)
        fit = fit_item_response(answers)
        values = plausible_values(fit, stream(seed, "simulate", 0), regressors=x, draws=15)
        estimate, error = pooled(values, x)
        inside.append(abs(estimate - slope) < 1.98 * error)
        blind.append(pooled(plausible_values(fit, stream(seed, "simulate", 1)), x)[0])
    assert 0.90 < np.mean(inside) < 0.99
    assert np.mean(blind) < 0.85 * slope


def test_bad_regressors_are_named():
    x, answers = population(4, n=200)
    fit = fit_item_response(answers)
    with pytest.raises(MethodError, match="200 rows of regressors"):
        latent_regression(fit, x[:10])
    with pytest.raises(MethodError, match="depend on each other"):
        latent_regression(fit, np.column_stack([x, 2 * x]))
    with pytest.raises(MethodError, match="missing values in columns 1"):
        latent_regression(fit, np.where(x > 1, np.nan, x))
    with pytest.raises(SpecError, match="draws must be"):
        plausible_values(fit, np.random.default_rng(0), draws=0)
