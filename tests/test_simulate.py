from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.errors import SpecError
from lgpi_research.methods.consistency import alpha
from lgpi_research.methods.onefactor import omega
from lgpi_research.simulate import simulate_survey


def test_continuous_items_have_closed_form_truth():
    load = [0.8, 0.7, 0.6, 0.5]
    found = simulate_survey(5, n_items=4, loadings=load, points=None, seed=0)
    total = sum(load)
    error = 4 - sum(x * x for x in load)
    assert_allclose(found.omega, total**2 / (total**2 + error), rtol=1e-8)
    assert_allclose(found.alpha, 4 / 3 * (1 - 4 / (total**2 + error)), rtol=1e-12)


@pytest.mark.parametrize("points", [None, 2, 5])
def test_answers_come_from_the_population_they_are_said_to(points):
    found = simulate_survey(
        4000, 2, 5, 4, loadings=[0.9, 0.7, 0.5, -0.4], points=points, psu_share=0.1, seed=1
    )
    answers = found.survey.values.to_numpy()
    # 40,000 respondents in 4,000 places: correlations are known to about 0.01.
    assert_allclose(np.cov(answers.T), found.covariance, atol=0.035)
    if points:
        assert set(np.unique(answers)) == set(range(1, points + 1))


@pytest.mark.parametrize("points", [None, 4])
def test_true_place_means_are_the_mean_answers_of_a_place(points):
    found = simulate_survey(
        3, 3000, 5, 3, points=points, loadings=0.9, place_share=0.6, psu_share=0.05, seed=2
    )
    means = found.survey.frame.groupby("place")[["q1", "q2", "q3"]].mean()
    assert_allclose(means, found.place_means, atol=0.025)


def test_shares_of_places_and_clusters():
    found = simulate_survey(
        300, 10, 10, 3, points=None, place_share=0.2, psu_share=0.1, loadings=0.99, seed=3
    )
    frame = found.survey.frame
    by_psu = frame.groupby(["place", "psu"])["q1"].mean()
    by_place = by_psu.groupby("place").mean()
    inside = (by_psu - by_place.reindex(by_psu.index, level="place")).var(ddof=0) * 10 / 9
    within = frame.groupby("psu")["q1"].var().mean()
    assert_allclose(inside - within / 10, 0.1, atol=0.02)
    assert_allclose(by_place.var() - inside / 10, 0.2, atol=0.06)


def test_two_items_have_no_omega():
    found = simulate_survey(3, n_items=2, seed=0)
    assert np.isnan(found.omega)
    assert 0 < found.alpha < 1


def test_estimates_are_near_the_truth():
    found = simulate_survey(200, 4, 20, 6, loadings=[0.8, 0.7, 0.7, 0.6, 0.6, 0.5], seed=4)
    spread = found.survey.moments(list(found.survey.codebook.names)).spread()
    assert_allclose(alpha(spread), found.alpha, atol=0.01)
    assert_allclose(omega(spread), found.omega, atol=0.01)


def test_the_design_is_as_asked():
    found = simulate_survey(7, 3, (4, 9), 3, n_strata=2, unequal_weights=True, missing=0.1, seed=5)
    frame = found.survey.frame
    assert frame["psu"].nunique() == 21
    sizes = frame.groupby("psu").size()
    assert sizes.min() >= 4
    assert sizes.max() <= 9
    assert frame["stratum"].nunique() == 2
    assert frame.groupby("psu")["place"].nunique().max() == 1
    assert frame["weight"].nunique() == len(frame)
    assert 0.05 < frame[["q1", "q2", "q3"]].isna().mean().mean() < 0.15


def test_the_seed_fixes_everything():
    one, two, other = (simulate_survey(3, seed=seed) for seed in (0, 0, 1))
    assert one.survey.digest == two.survey.digest != other.survey.digest
    assert_array_equal(one.place_means, two.place_means)
    fresh = simulate_survey(3)
    assert simulate_survey(3, seed=fresh.seed).survey.digest == fresh.survey.digest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_places": 0}, "n_places: must be a whole number >= 1"),
        ({"n_items": 1}, "n_items: must be a whole number >= 2"),
        ({"n_items": "5"}, "n_items: must be a whole number"),
        ({"points": 1}, "points: must be a whole number >= 2"),
        ({"persons_per_psu": (9, 4)}, "the smaller number first"),
        ({"place_share": 0.6, "psu_share": 0.5}, "must leave a part to persons"),
        ({"missing": 1.0}, r"missing: must lie in \[0, 1\)"),
        ({"loadings": 1.0}, "between -1 and 1"),
        ({"loadings": [0.5, 0.5]}, "one for each item"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(SpecError, match=message):
        simulate_survey(**options)
