"""Ecometrics: mean squares of a balanced study, gaps, known truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.ecometrics import ecometrics, planned_reliability
from lgpi_research.methods.mixed import RandomTerm, fit_mixed

SEVERITY = np.array([0.4, 0.1, -0.1, -0.4])
TAU, PERSON, ERROR = 0.4, 0.8, 1.0


def simulate(rng, places=30, persons=(4, 20), gaps=0.2):
    sizes = rng.integers(*persons, places)
    place = np.repeat(np.arange(places), sizes)
    truth = 3 + TAU * rng.normal(size=places)
    person = PERSON * rng.normal(size=len(place))
    answers = (truth[place] + person)[:, None] + SEVERITY + ERROR * rng.normal(size=(len(place), 4))
    answers[rng.random(answers.shape) < gaps] = np.nan
    return answers, place, truth


@pytest.fixture(scope="module")
def study():
    return simulate(np.random.default_rng(1))


def test_a_balanced_study_has_the_variances_of_its_mean_squares():
    rng = np.random.default_rng(2)
    places, persons, items = 12, 7, 4
    cube = 2 * rng.normal(size=(places, 1, 1)) + rng.normal(size=(places, persons, 1)) + SEVERITY
    cube = cube + rng.normal(size=(places, persons, items))
    found = ecometrics(cube.reshape(-1, items), np.repeat(np.arange(places), persons))
    person = cube.mean(axis=2)
    residual = cube - person[:, :, None] - cube.mean(axis=(0, 1)) + cube.mean()
    error = (residual**2).sum() / ((places * persons - 1) * (items - 1))
    middle = items * person.var(axis=1, ddof=1).mean()
    top = items * persons * person.mean(axis=1).var(ddof=1)
    expected = [(top - middle) / (items * persons), (middle - error) / items, error]
    variances = [found.place_variance, found.person_variance, found.item_variance]
    assert_allclose(variances, expected, rtol=1e-8)
    assert_allclose(found.shares, np.array(expected) / sum(expected), rtol=1e-8)
    # Reliability is 1 - 1/F of places, and the score the mean of all answers.
    assert_allclose(found.place_reliability, 1 - middle / top, rtol=1e-8)
    assert_allclose(found.place_squared_correlation, found.place_mean, rtol=1e-10)
    assert_allclose(found.person_reliability, 1 - error / middle, rtol=1e-8)
    assert_allclose(found.score, person.mean(axis=1), rtol=1e-10)
    assert_allclose(found.score_error**2, middle / (items * persons), rtol=1e-8)
    assert_allclose(found.item_effects, cube.mean(axis=(0, 1)) - cube.mean(), rtol=1e-8)
    root = np.sqrt(error * (1 - 1 / items) / (places * persons))
    assert_allclose(found.item_errors, root, rtol=1e-8)
    assert_allclose(planned_reliability(found, persons, items), found.place_mean, rtol=1e-10)


def test_scores_and_reliabilities_are_those_of_the_mixed_model(study):
    answers, place, _ = study
    found = ecometrics(answers, place)
    modes, spread = found.fit.random_effects(0)
    assert_allclose(found.predicted - found.mean, modes[:, 0], atol=1e-10)
    # One less the conditional over the unconditional variance.
    assert_allclose(found.place_reliability, 1 - spread[:, 0, 0] / found.place_variance, rtol=1e-9)
    drawn = found.mean + found.place_reliability * (found.score - found.mean)
    assert_allclose(found.predicted, drawn, rtol=1e-12)
    m = (~np.isnan(answers)).sum(axis=1)
    weight = 1 / (found.person_variance + found.item_variance / m[m > 0])
    error = 1 / np.bincount(place[m > 0], weight)
    assert_allclose(found.score_error**2, error, rtol=1e-10)
    summary = found.place_variance / (found.place_variance + error.mean())
    assert_allclose(found.place_squared_correlation, summary, rtol=1e-10)
    assert_allclose(found.place_mean, found.place_reliability.mean())
    assert found.place_squared_correlation != found.place_mean


def test_persons_without_answers_are_counted_and_change_nothing(study):
    answers, place, _ = study
    base = ecometrics(answers, place)
    silent = np.vstack([answers, np.full((3, 4), np.nan)])
    more = ecometrics(silent, np.append(place, [0, 1, 99]))
    empty = int(np.isnan(answers).all(axis=1).sum())
    assert (base.n_dropped, more.n_dropped) == (empty, empty + 3)
    assert_allclose(more.score, base.score)
    assert_allclose(more.n_persons, base.n_persons)
    assert_allclose(more.person_reliability[-3:], 0)
    assert base.n_answers.sum() == (~np.isnan(answers)).sum()
    assert_allclose(more.person_mean, base.person_mean)


def test_orders_names_and_units_do_not_matter(study):
    answers, place, _ = study
    base = ecometrics(answers, place)
    rng = np.random.default_rng(3)
    rows, items = rng.permutation(len(place)), np.array([2, 0, 3, 1])
    names = np.array([f"p{i:02d}" for i in range(30)])
    moved = ecometrics(5 - 10 * answers[rows][:, items], names[place][rows])
    assert moved.places.tolist() == names.tolist()
    assert_allclose(moved.place_variance, 100 * base.place_variance, rtol=1e-6)
    assert_allclose(moved.place_reliability, base.place_reliability, rtol=1e-6)
    assert_allclose(moved.score, 5 - 10 * base.score, rtol=1e-7)
    assert_allclose(moved.item_effects, -10 * base.item_effects[items], atol=1e-6)
    assert_allclose(moved.person_reliability, base.person_reliability[rows], rtol=1e-6)


def test_covariates_take_composition_out_of_scores():
    rng = np.random.default_rng(4)
    answers, place, truth = simulate(rng, 40, (30, 31), 0.1)
    share = rng.random(40)
    old = (rng.random(len(place)) < share[place]).astype(float)
    answers = answers + 2 * old[:, None]
    plain, adjusted = ecometrics(answers, place), ecometrics(answers, place, covariates=old)
    assert abs(adjusted.covariate_effects[0] - 2) < 4 * adjusted.covariate_errors[0]
    assert adjusted.place_variance < 0.7 * plain.place_variance
    assert np.corrcoef(adjusted.score, truth)[0, 1] > np.corrcoef(plain.score, truth)[0, 1] + 0.1
    assert abs(np.corrcoef(adjusted.score - truth, share)[0, 1]) < 0.4
    constant = ecometrics(answers, place, covariates=old + 7)
    assert_allclose(constant.score, adjusted.score, rtol=1e-8)


def test_scores_are_those_at_the_average_covariate_of_the_answers(study):
    answers, place, _ = study
    age = 40 + 10 * np.random.default_rng(7).normal(size=len(place))
    found = ecometrics(answers, place, covariates=age)
    persons, items = np.nonzero(~np.isnan(answers))
    X = np.column_stack([items[:, None] == np.arange(4), age[persons]]).astype(float)
    terms = [RandomTerm(place[persons]), RandomTerm(persons)]
    fit = fit_mixed(answers[persons, items], X, terms)
    at = fit.coef[:4].mean() + fit.coef[4] * age[persons].mean()
    assert_allclose(found.mean, at, rtol=1e-9)
    assert_allclose(found.covariate_effects, fit.coef[4:], rtol=1e-6)


def test_unrestricted_likelihood_is_offered(study):
    answers, place, _ = study
    rows, items = np.nonzero(~np.isnan(answers))
    fit = fit_mixed(
        answers[rows, items],
        (items[:, None] == np.arange(4)).astype(float),
        [RandomTerm(rows), RandomTerm(place[rows])],
        reml=False,
    )
    found = ecometrics(answers, place, reml=False)
    assert_allclose(found.place_variance, fit.covariances[1][0, 0], rtol=1e-6)
    assert_allclose(found.fit.log_likelihood, fit.log_likelihood, rtol=1e-10)


def bad_inputs():
    answers, place, _ = simulate(np.random.default_rng(5))
    one_each = np.full_like(answers, np.nan)
    one_each[np.arange(len(place)), np.arange(len(place)) % 4] = 1.0
    unasked = answers.copy()
    unasked[:, 2] = np.nan
    old = np.ones(len(place))
    old[3] = np.nan
    known = answers.copy()
    known[3] = 1
    huge = answers.copy()
    huge[0, 0] = np.inf
    nameless = np.array([f"p{i}" for i in place], dtype=object)
    nameless[3] = None
    return {
        "there is 1 item": (answers[:, :1], place, {}),
        "nobody answered item 3": (unasked, place, {}),
        "nobody answered two items": (one_each, place, {}),
        "lack a covariate .first at row 4": (known, place, {"covariates": old}),
        "1 place has answers": (answers, place * 0, {}),
        "each place has one person": (answers, np.arange(len(place)), {}),
        "must have shape": (answers, place[1:], {}),
        "covariates must have a row": (answers, place, {"covariates": old[1:]}),
        r"covariates must have shape .*, 1, 1\)": (
            answers,
            place,
            {"covariates": old[:, None, None]},
        ),
        "answers are infinite": (huge, place, {}),
        "places: groups are missing, or of kinds": (answers, nameless, {}),
        "0 place has answers": (answers * np.nan, place, {}),
    }


@pytest.mark.parametrize("message", bad_inputs())
def test_what_has_no_answer_is_said(message):
    answers, place, options = bad_inputs()[message]
    with pytest.raises(MethodError, match=message):
        ecometrics(answers, place, **options)


@pytest.mark.parametrize(("persons", "items"), [(0, 4), (10, 0), (-3, 4), (np.nan, 4)])
def test_plans_without_persons_or_items_are_refused(study, persons, items):
    answers, place, _ = study
    with pytest.raises(SpecError, match="numbers of persons and items must be at least 1"):
        planned_reliability(ecometrics(answers, place), persons, items)


def recovered(runs, places):
    """Return variances, and estimated less attained summaries of reliability, of each run."""
    found = []
    for run in range(runs):
        answers, place, truth = simulate(np.random.default_rng([6, run]), places)
        fit = ecometrics(answers, place)
        attained = np.corrcoef(fit.score, truth)[0, 1] ** 2
        expected = TAU**2 / (TAU**2 + true_errors(answers, place))
        found.append(
            [
                fit.place_variance,
                fit.person_variance,
                fit.item_variance,
                *fit.item_effects,
                fit.place_squared_correlation - attained,
                fit.place_mean - expected.mean(),
            ]
        )
    return np.array(found)


def true_errors(answers, place):
    """Return the error variance of each score if all variances are the true ones."""
    m = (~np.isnan(answers)).sum(axis=1)
    weight = np.where(m > 0, 1 / (PERSON**2 + ERROR**2 / np.maximum(m, 1)), 0)
    return 1 / np.bincount(place, weight)


EXPECTED = [TAU**2, PERSON**2, ERROR**2, *SEVERITY]


def test_variances_and_reliability_are_near_the_truth():
    found = recovered(6, 150)
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert_allclose(found.mean(axis=0)[:7], EXPECTED, atol=0.05)
    assert (np.abs(found.mean(axis=0)[7:]) < 5 * error[7:] + 0.02).all()


@pytest.mark.slow
def test_reliability_has_little_bias():
    found = recovered(600, 100)
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0)[:7] - EXPECTED) < 4 * error[:7]).all()
    assert (np.abs(found.mean(axis=0)[7:]) < 0.01).all()
