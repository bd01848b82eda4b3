"""Regressions of a population, from formulas and surveys."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.survey_regression import weighted_regression
from lgpi_research.results import load_result
from lgpi_research.survey import Survey, SurveyDesign
from lgpi_research.survey_models import regress_survey

BOOK = Codebook((Indicator("trust", missing_codes=(9,)), Indicator("bribe", scale=(0, 1))))


@pytest.fixture
def survey():
    rng = np.random.default_rng(3)
    n, village = 160, np.arange(160) % 16
    age = rng.integers(18, 80, n)
    u = rng.normal(size=16)[village]
    frame = pd.DataFrame(
        {
            "trust": np.rint(3 + 0.02 * age + u + rng.normal(size=n)),
            "bribe": (rng.random(n) < 1 / (1 + np.exp(0.5 - u))).astype(float),
            "age": age.astype(float),
            "sex": np.where(rng.random(n) < 0.5, "f", "m"),
            "village": village,
            "region": village // 4,
            "w": rng.uniform(1, 3, n),
        }
    )
    frame.loc[:2, "trust"] = 9
    frame.loc[7, "age"] = np.nan
    return Survey(frame, BOOK, SurveyDesign(psu="village", stratum="region", weight="w"))


@pytest.mark.parametrize(("family", "outcome"), [("linear", "trust"), ("logistic", "bribe")])
def test_it_is_the_methods_regression(survey, family, outcome):
    found = regress_survey(survey, f"{outcome} ~ age + C(sex)", family, level=0.9)
    x = np.column_stack(
        [np.ones(160), survey.frame["age"], (survey.frame["sex"] == "m").astype(float)]
    )
    fit = weighted_regression(survey.values[outcome], x, survey.linear_design(), family=family)
    frame = found.frame
    assert frame["term"].tolist() == ["intercept", "age", "C(sex)[m]"]
    for column, value in (
        ("estimate", fit.coef), ("std_error", fit.std_error), ("t", fit.t),
        ("p_value", fit.p_value), ("ci_low", fit.interval(0.9)[0]), ("df", fit.df_resid),
        ("n_used", fit.n_used), ("n_dropped", fit.n_dropped),
    ):  # fmt: skip
        assert_allclose(frame[column], value)
    assert "age: 1 respondents lack it." in found.notes
    assert found.headline().startswith(f"{family.capitalize()} regression {outcome} ~ age")


def test_a_domain_keeps_the_design(survey):
    old = (survey.frame["age"] > 40).to_numpy()
    found = regress_survey(survey, "trust ~ age", domain=old)
    x = np.column_stack([np.ones(160), survey.frame["age"]])
    fit = weighted_regression(survey.values["trust"], x, survey.linear_design(), domain=old)
    assert_allclose(found.frame["std_error"], fit.std_error)
    whole = regress_survey(survey, "trust ~ age")
    assert whole.provenance["data"]["table"] != found.provenance["data"]["table"]
    with pytest.raises(SpecError, match="one entry for each of 160 respondents"):
        regress_survey(survey, "trust ~ age", domain=old[:9])


def test_a_domain_has_its_own_categories_and_gaps(survey):
    """The first region, or the last, is not in the domain."""
    for gone, terms in (
        (0, ["C(region)[2]", "C(region)[3]"]),
        (3, ["C(region)[1]", "C(region)[2]"]),
    ):
        inside = (survey.frame["region"] != gone).to_numpy()
        found = regress_survey(survey, "trust ~ age + C(region)", domain=inside)
        assert found.frame["term"].tolist() == ["intercept", "age", *terms]
        lost = survey.frame["age"].isna() & inside
        assert (f"age: {lost.sum()} respondents lack it." in found.notes) == lost.any()
    idle = survey.frame.assign(w=survey.frame["w"] * (survey.frame["region"] != 3))
    found = regress_survey(Survey(idle, BOOK, survey.design), "trust ~ C(region)")
    assert found.frame["term"].tolist() == ["intercept", "C(region)[1]", "C(region)[2]"]


def test_words_files_and_pictures(survey, tmp_path):
    found = regress_survey(survey, "trust ~ age + C(sex)")
    assert "10 degrees of freedom" in found.methods_text()
    assert "Binder1983" in found.references
    assert found.summary().columns[-1] == "p_value"
    loaded = load_result(found.save(tmp_path / "model.parquet"))
    pd.testing.assert_frame_equal(loaded.frame, found.frame)
    labels = [label.get_text() for label in found.plot().get_yticklabels()]
    assert labels == ["age", "C(sex)[m]"]


def test_what_cannot_be_asked(survey):
    with pytest.raises(SpecError, match="Did you mean 'linear'"):
        regress_survey(survey, "trust ~ age", "lineal")
    with pytest.raises(SpecError, match=r"effects to absorb \(region\)"):
        regress_survey(survey, "trust ~ age | region")
    with pytest.raises(SpecError, match="Did you mean 'age'"):
        regress_survey(survey, "trust ~ aeg")
    few = survey.frame[survey.frame["village"].isin([0, 1, 4, 5])]
    small = Survey(few, BOOK, survey.design)
    with pytest.raises(MethodError, match="PSUs less strata are 2"):
        regress_survey(small, "trust ~ age + C(sex)")
