from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.latent.irt_errors import response_errors
from lgpi_research.methods.latent.irt_fit import fit_item_response
from lgpi_research.methods.latent.irt_model import (
    GradedItems,
    expected_scores,
    item_information,
    response_probabilities,
)
from lgpi_research.methods.latent.irt_scores import (
    conditional_reliability,
    eap_scores,
    empirical_reliability,
    information_of_test,
    marginal_reliability,
)
from tests.methods.latent.irt_population import DIFFICULTIES, SLOPES, draw_answers, sample


def test_two_items_are_reproduced_exactly():
    # Symmetric, so Rasch's two parameters reproduce the table: the multinomial maximum.
    answers = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], [40, 10, 10, 40], axis=0)
    fit = fit_item_response(answers, model="rasch")
    assert_allclose(fit.log_likelihood, 80 * np.log(0.4) + 20 * np.log(0.1), rtol=1e-9)
    assert_allclose(fit.items[0].intercepts, 0, atol=1e-6)


def test_log_likelihood_is_the_integral():
    answers = sample(n=40)
    fit = fit_item_response(answers)

    def likelihood(row):
        def inner(theta):
            chance = response_probabilities(fit.items[0], theta)[0]
            picked = chance[np.arange(6), (row - fit.items[0].lowest).astype(int)]
            return picked.prod() * stats.norm.pdf(theta)

        return integrate.quad(inner, -9, 9, epsabs=1e-13, limit=200)[0]

    total = sum(np.log(likelihood(row)) for row in answers)
    assert_allclose(fit.log_likelihood, total, rtol=1e-8)


def test_gradient_and_information_are_derivatives():
    marginal = (fit := fit_item_response(sample(n=150))).marginal
    at = fit.free + 0.05 * np.cos(np.arange(len(fit.free)))
    steps = np.eye(len(at)) * 1e-5
    sides = [(marginal.evaluate(at + s), marginal.evaluate(at - s)) for s in steps]
    slopes = [(up[0] - down[0]) / 2e-5 for up, down in sides]
    bends = [(up[1] - down[1]) / 2e-5 for up, down in sides]
    assert_allclose(marginal.evaluate(at)[1], slopes, atol=1e-5)
    assert_allclose(marginal.scores(at).T @ marginal.patterns.weights, slopes, atol=1e-5)
    assert_allclose(-marginal.information(at), bends, atol=1e-5)


def test_weights_are_repeated_respondents():
    answers = sample(n=200)
    weights = np.tile([1.0, 2.0, 0.0, 3.0], 50)
    one = fit_item_response(answers, weights=weights)
    other = fit_item_response(np.repeat(answers, weights.astype(int), axis=0))
    assert_allclose(one.log_likelihood, other.log_likelihood, rtol=1e-10)
    assert_allclose(one.free, other.free, rtol=1e-5)
    assert_allclose(one.bic, other.bic, rtol=1e-10)
    assert one.n_dropped == 50


def test_respondents_who_answered_nothing_count_as_never_asked():
    answers = sample(n=200)
    more = np.vstack([answers, np.full((7, 6), np.nan)])
    one, other = fit_item_response(answers), fit_item_response(more)
    assert_array_equal(one.free, other.free)
    assert (other.n_used, other.n_dropped) == (200, 7)
    scores = eap_scores(other)
    assert np.isnan(scores.estimate[200:]).all()
    assert_array_equal(scores.estimate[:200], eap_scores(one).estimate)


def test_codes_and_reversed_items():
    answers = sample(n=400)
    turned = answers + 5
    turned[:, 1] = 8 - answers[:, 1]
    one, other = fit_item_response(answers).items[0], fit_item_response(turned).items[0]
    signs = np.array([1, -1, 1, 1, 1, 1])
    assert_allclose(other.slopes, one.slopes * signs, rtol=1e-4)
    assert_allclose(other.intercepts[1], -one.intercepts[1, ::-1], rtol=1e-4, atol=1e-5)
    assert_array_equal(other.lowest, 5)


def test_a_spread_beyond_the_grid_widens_it():
    rng = np.random.default_rng(4)
    theta = rng.normal(0, 4, 800)
    answers = draw_answers(rng, theta, np.ones(10), np.linspace(-4, 4, 10)[:, None])
    fit = fit_item_response(answers, model="rasch")
    assert fit.grid[-1] >= 5 * fit.sds[0]
    assert abs(fit.sds[0] - 4) < 0.4


def test_many_items_refine_the_grid():
    rng = np.random.default_rng(5)
    answers = draw_answers(rng, rng.normal(size=300), np.full(30, 3.0), DIFFICULTIES[[0] * 30])
    coarse, fine = fit_item_response(answers, n_points=31), fit_item_response(answers, n_points=201)
    assert len(coarse.grid) > 31
    assert_allclose(coarse.log_likelihood, fine.log_likelihood, rtol=1e-6)


def test_missing_at_random_is_skipped_without_bias():
    rng = np.random.default_rng(6)
    answers = sample(6, n=3000)
    answers[
        (answers[:, 0] <= 1)[:, None] & (np.arange(6) > 3) & (rng.uniform(size=(3000, 6)) < 0.6)
    ] = np.nan
    fit = fit_item_response(answers)
    errors = response_errors(fit)
    assert (np.abs(fit.items[0].slopes - SLOPES) < 3.5 * errors.slopes[0]).all()
    far = np.abs(fit.items[0].difficulties - DIFFICULTIES) / errors.difficulties[0]
    assert far.max() < 3.5


def test_kinds_of_standard_errors_agree_where_the_model_holds():
    fit = fit_item_response(sample(7, n=3000))
    told = {
        kind: response_errors(fit, kind=kind) for kind in ("observed", "crossproduct", "sandwich")
    }
    for kind in ("crossproduct", "sandwich"):
        assert_allclose(told[kind].slopes, told["observed"].slopes, rtol=0.15)
        assert_allclose(told[kind].difficulties, told["observed"].difficulties, rtol=0.2)
    alone = response_errors(fit, kind="sandwich", clusters=np.arange(3000))
    assert_allclose(alone.slopes, told["sandwich"].slopes * np.sqrt(3000 / 2999), rtol=1e-8)


@pytest.mark.slow
def test_recovery_and_coverage():
    inside, slopes = [], []
    for seed in range(200):
        fit = fit_item_response(sample(seed, n=800))
        errors = response_errors(fit)
        slopes.append(fit.items[0].slopes)
        inside.append(
            np.abs(fit.items[0].intercepts + SLOPES[:, None] * DIFFICULTIES)
            < 1.96 * errors.intercepts[0]
        )
        inside.append(
            np.abs(fit.items[0].slopes - SLOPES)[:, None] < 1.96 * errors.slopes[0][:, None]
        )
    assert 0.93 < np.mean(np.concatenate([part.ravel() for part in inside])) < 0.97
    assert_allclose(np.mean(slopes, axis=0), SLOPES, rtol=0.03)


def test_information_is_the_expected_squared_slope():
    items = GradedItems(SLOPES, -SLOPES[:, None] * DIFFICULTIES)
    points, step = np.array([-3.0, 0.2, 2.0]), 1e-5
    chance = response_probabilities(items, points)
    slope = (
        response_probabilities(items, points + step) - response_probabilities(items, points - step)
    ) / (2 * step)
    assert_allclose(item_information(items, points), (slope**2 / chance).sum(axis=2), rtol=1e-6)
    assert_allclose(chance.sum(axis=2), 1)
    assert_allclose(information_of_test(items, points), item_information(items, points).sum(axis=1))
    assert (expected_scores(items, points) < 3).all()


def test_tails_lose_no_digits():
    chance = response_probabilities(
        GradedItems(np.array([2.0]), np.array([[1.0, 0.5]])), [30.0, -30.0]
    )
    assert (chance > 0).all()
    assert_allclose(chance[0, 0, 0], np.exp(-61.0), rtol=1e-12)


def test_reliability_is_what_scores_show():
    rng = np.random.default_rng(8)
    theta = rng.normal(size=4000)
    fit = fit_item_response(sample(8, theta=theta))
    scores = eap_scores(fit)
    found = empirical_reliability(scores)
    assert abs(found - np.corrcoef(scores.estimate, theta)[0, 1] ** 2) < 0.02
    assert abs(found - marginal_reliability(fit.items[0])) < 0.05
    assert_allclose(empirical_reliability(scores, weights=np.ones(4000)), found, rtol=1e-3)
    assert (
        conditional_reliability(fit.items[0], [0.0])[0]
        > conditional_reliability(fit.items[0], [4.0])[0]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: np.where(x == 1, 2, x),
            r"nobody gave answer 1 between 0 and 3 \(empty categories\)",
        ),
        (lambda x: x + 0.5 * (x == 1), "no whole numbers"),
        (lambda x: x * [1, 1, 0, 1, 1, 1], "item 3: it never varies, all 200 answers are 0"),
        (lambda x: np.where(np.arange(6) == 2, np.nan, x), "item 3: nobody answered it"),
        (lambda x: np.where(x == 3, 99, x), "at most 60 categories"),
        (lambda x: x[:, :1], "at least 2 items"),
        (lambda x: x[:, :2], "two items cannot tell their slopes apart"),
        (lambda x: x[:, 0], "answers need shape"),
    ],
)
def test_bad_answers_are_named(change, message):
    with pytest.raises(MethodError, match=message):
        fit_item_response(change(sample(n=200)))


def test_all_problems_are_told_at_once():
    answers = sample(n=200)
    answers[:, 2] = 1
    answers[answers[:, 4] == 1, 4] = 2
    with pytest.raises(MethodError, match="3 problems in the answers") as told:
        fit_item_response(answers, weights=np.full(200, -1.0) ** np.arange(200))
    assert len(told.value.problems) == 3


def test_other_bad_input():
    answers = sample(n=200)
    with pytest.raises(SpecError, match="Did you mean 'graded'"):
        fit_item_response(answers, model="grade")
    with pytest.raises(MethodError, match="Use model='graded'"):
        fit_item_response(answers, model="2pl")
    with pytest.raises(SpecError, match="n_points"):
        fit_item_response(answers, n_points=3)
    with pytest.raises(SpecError, match="kind must be one of"):
        response_errors(fit_item_response(answers), kind="oakes")
    with pytest.raises(SpecError, match="clusters need"):
        response_errors(fit_item_response(answers), clusters=np.arange(200))
    with pytest.raises(MethodError, match="must fall"):
        GradedItems(np.array([1.0]), np.array([[0.0, 1.0]]))


def test_a_copy_of_an_item_has_no_maximum():
    answers = (sample(n=300) > 1).astype(float)[:, :3]
    answers[:, 1] = answers[:, 0]
    with pytest.raises(MethodError, match=r"grows without end|did not converge|exactly"):
        fit_item_response(answers, model="2pl")


def test_same_input_same_bytes():
    one, other = fit_item_response(sample()), fit_item_response(sample())
    assert one.free.tobytes() == other.free.tobytes()
