from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lgpi_research.errors import MethodError
from lgpi_research.methods.latent.irt_fit import fit_item_response
from lgpi_research.methods.latent.irt_itemfit import item_fit
from lgpi_research.methods.latent.irt_limited import limited_information
from tests.methods.latent.irt_population import SLOPES, draw_answers, sample

EASY = np.linspace(-1.5, 1.5, 6)[:, None]


def test_statistics_of_a_true_model_have_their_degrees_of_freedom_as_mean():
    graded, limited, single = [], [], []
    for seed in range(40):
        found = limited_information(fit_item_response(sample(seed, n=500)))
        graded.append(found.statistic / found.df)
        rng = np.random.default_rng([74, seed])
        answers = draw_answers(rng, rng.normal(size=800), SLOPES, EASY)
        fit = fit_item_response(answers, model="2pl")
        limited.append(limited_information(fit).statistic / limited_information(fit).df)
        single.append(item_fit(fit).statistic.sum() / item_fit(fit).df.sum())
    assert abs(np.mean(graded) - 1) < 0.25
    assert abs(np.mean(limited) - 1) < 0.25
    assert abs(np.mean(single) - 1) < 0.25


def test_two_dimensions_are_rejected():
    rng = np.random.default_rng(75)
    traits = rng.normal(size=(2, 600))
    cuts = np.linspace(-1, 1, 3) * np.ones((3, 1))
    answers = np.hstack([draw_answers(rng, theta, np.full(3, 2.0), cuts) for theta in traits])
    found = limited_information(fit_item_response(answers))
    assert found.p_value < 1e-6
    assert found.rmsea_low < found.rmsea < found.rmsea_high
    assert found.cfi < 0.9


def test_the_statistic_does_not_depend_on_the_direction_of_an_item():
    answers = sample(1, n=400)
    turned = answers.copy()
    turned[:, 2] = 3 - turned[:, 2]
    one, other = (limited_information(fit_item_response(x)) for x in (answers, turned))
    assert_allclose(other.statistic, one.statistic, rtol=1e-4)
    assert_allclose(other.srmsr, one.srmsr, rtol=1e-3)


def test_incomplete_answers_are_refused():
    answers = sample(1, n=400)
    answers[0, 0] = np.nan
    fit = fit_item_response(answers)
    with pytest.raises(MethodError, match="complete answers"):
        limited_information(fit)
    with pytest.raises(MethodError, match="S-X2 is for"):
        item_fit(fit)
    with pytest.raises(MethodError, match="no degree of freedom"):
        limited_information(fit_item_response(sample(1)[:, :3]))
