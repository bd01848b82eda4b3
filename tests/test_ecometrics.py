from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.ecometrics import EcometricScores, assess_ecometrics
from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.methods.ecometrics import ecometrics
from lgpi_research.results import load_result
from lgpi_research.survey import Survey, SurveyDesign


def made(n_places: int = 40, persons: int = 12, seed: int = 0) -> Survey:
    """Variances of 0.3 between places, 0.6 between persons and 1 between answers."""
    rng = np.random.default_rng(seed)
    place = np.repeat(np.arange(n_places), persons)
    age = rng.normal(40, 10, len(place))
    trait = rng.normal(scale=0.3**0.5, size=n_places)[place]
    trait = trait + rng.normal(scale=0.6**0.5, size=len(place)) + 0.05 * (age - 40)
    answers = trait[:, None] + [0.5, 0.0, -0.5] + rng.normal(size=(len(place), 3))
    frame = pd.DataFrame(answers, columns=["q1", "q2", "q3"])
    frame["q3"] = -frame["q3"]
    frame.loc[::5, "q2"] = np.nan
    items = (
        Indicator("q1", dimension="voice"),
        Indicator("q2", dimension="voice"),
        Indicator("q3", dimension="voice", direction="negative"),
    )
    frame = frame.assign(place=[f"p{i:02d}" for i in place], age=age, person=np.arange(len(place)))
    return Survey(frame, Codebook(items), SurveyDesign(psu="person", place="place"))


@pytest.fixture(scope="module")
def survey() -> Survey:
    return made()


@pytest.fixture(scope="module")
def found(survey) -> EcometricScores:
    return assess_ecometrics(survey, covariates=["age"])


def test_it_is_the_model_of_the_answers_turned_one_way(survey, found):
    answers = survey.values.to_numpy() * [1, 1, -1]
    model = ecometrics(answers, survey.frame["place"], covariates=survey.frame["age"])
    assert_allclose(found.frame["score"], model.score)
    assert_allclose(found.frame["reliability"], model.place_reliability)
    assert found.frame["n_used"].sum() == 480
    assert found.frame["n_answers"].sum() == 480 * 3 - 96
    assert_allclose(found.items()["effect"], model.item_effects)
    assert_allclose(found.details["squared_correlation"], model.place_squared_correlation)
    slope = found.details["covariate_effects"][0]
    assert abs(slope["effect"] - 0.05) < 3 * slope["std_error"]


def test_items_are_turned_within_their_scale(survey):
    frame = survey.frame.copy()
    ends = {"scale": (-20.0, 30.0)}
    frame["q3"] = 10 + frame["q3"]  # -20 + 30 less what it measures
    turned = Codebook(
        (
            Indicator("q1", dimension="voice", **ends),
            Indicator("q2", dimension="voice", **ends),
            Indicator("q3", dimension="voice", direction="negative", **ends),
        )
    )
    base = assess_ecometrics(survey)
    found = assess_ecometrics(Survey(frame, turned, survey.design))
    assert_allclose(found.frame["score"], base.frame["score"], rtol=1e-6)
    assert_allclose(found.items()["effect"], base.items()["effect"], rtol=1e-6)
    assert_allclose(found.items()["effect"], [0.5, 0.0, -0.5], atol=0.3)


def test_items_of_several_scales_are_refused(survey):
    items = (
        Indicator("q1", dimension="voice", scale=(-20, 20)),
        Indicator("q2", dimension="voice", scale=(-30, 30)),
    )
    with pytest.raises(SpecError, match=r"voice: .* 2 scales \(-30 to 30, -20 to 20\)"):
        assess_ecometrics(Survey(survey.frame, Codebook(items), survey.design))


def test_variances_have_intervals_that_hold_the_truth(survey):
    found = assess_ecometrics(survey, covariates=["age"], level=0.99)
    table = found.summary().set_index("level")
    assert_allclose(table["share"].sum(), 1)
    for level, truth in (("place", 0.3), ("person", 0.6), ("answer", 1.0)):
        assert table.loc[level, "ci_low"] < truth < table.loc[level, "ci_high"]


def test_words_file_and_picture(found, tmp_path):
    assert found.headline().startswith("voice: scores of 40 places have a reliability of 0.")
    assert "RaudenbushSampson1999" in found.references
    assert "adjusted for age" in found.methods_text()
    assert found.plot().get_xlabel() == "persons in the place"
    back = load_result(found.save(tmp_path / "e.parquet"))
    assert isinstance(back, EcometricScores)
    pd.testing.assert_frame_equal(back.items(), found.items())
    assert repr(back) == repr(found)


def test_notes_say_what_the_model_passes_over(survey):
    frame = survey.frame.assign(village=np.arange(480) // 4, w=np.linspace(1, 2, 480))
    frame.loc[7, ["q1", "q2", "q3"]] = np.nan
    design = SurveyDesign(psu="village", place="place", weight="w")
    told = assess_ecometrics(Survey(frame, survey.codebook, design)).notes
    assert "voice: 1 persons set aside because they answered nothing." in told
    assert any("drawn in clusters, so the reliability is too high" in note for note in told)
    assert "Answers are not weighted in this model." in told


def test_places_that_do_not_differ(survey):
    rng = np.random.default_rng(1)
    order = rng.permutation(len(survey))
    frame = survey.frame.assign(place=survey.frame["place"].to_numpy()[order])
    told = assess_ecometrics(Survey(frame, survey.codebook, survey.design))
    assert told.details["squared_correlation"] < 0.35


def test_bad_input(survey):
    nowhere = Survey(survey.frame, survey.codebook, SurveyDesign(psu="person"))
    with pytest.raises(SpecError, match="the design names no places"):
        assess_ecometrics(nowhere)
    with pytest.raises(SpecError, match=r"name a dimension .*: voice\. Did you mean 'voice'"):
        assess_ecometrics(survey, "voce")
    with pytest.raises(SpecError, match="level must lie between 0 and 1"):
        assess_ecometrics(survey, level=95)
    with pytest.raises(DataError, match=r"aeg: there is no such column\. Did you mean 'age'"):
        assess_ecometrics(survey, covariates=["aeg"])
    one = Survey(survey.frame, Codebook((Indicator("q1"),)), survey.design)
    with pytest.raises(SpecError, match="no dimension of the codebook has two items"):
        assess_ecometrics(one)
    alone = Survey(survey.frame.assign(place="p"), survey.codebook, survey.design)
    with pytest.raises(MethodError, match="1 place has answers"):
        assess_ecometrics(alone)
