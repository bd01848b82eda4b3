"""Variance decomposed as a researcher asks for it: tables and surveys in, components out."""

from __future__ import annotations

import json

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.decomposition import VarianceDecomposition, decompose_variance
from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.methods.facets import parse_design
from lgpi_research.methods.generalisability import variance_components
from lgpi_research.results import load_result
from lgpi_research.survey import Survey, SurveyDesign

mpl.use("agg")

CODERS = ["anna", "ben", "cleo", "dora"]
RATINGS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


@pytest.fixture
def wide():
    return pd.DataFrame(RATINGS, columns=CODERS, dtype=float).assign(town=list("abcdef"))


@pytest.fixture
def long(wide):
    return wide.melt("town", CODERS, var_name="coder", value_name="rating")


def make_survey(rng, *, places=8, psus=3, persons=4, items=3, drop=0.0, weight=False):
    place, psu, _ = (a.ravel() for a in np.indices((places, psus, persons)))
    n = len(place)
    base = rng.normal(size=places)[place] + 0.5 * rng.normal(size=(places, psus))[place, psu]
    base = base + rng.normal(size=n)
    answers = np.clip(
        np.round(4 + base[:, None] + np.linspace(-1, 1, items) + rng.normal(size=(n, items))), 1, 7
    )
    answers[rng.uniform(size=answers.shape) < drop] = np.nan
    names = [f"q{k}" for k in range(1, items + 1)]
    frame = pd.DataFrame(answers, columns=names)
    frame["q1"] = 8 - frame["q1"]
    frame["district"], frame["village"] = place, place * 100 + psu
    if weight:
        frame["w"] = 1.0
    book = Codebook(
        tuple(
            Indicator(name, scale=(1, 7), direction="negative" if name == "q1" else "positive")
            for name in names
        )
    )
    design = SurveyDesign(psu="village", place="district", weight="w" if weight else None)
    return Survey(frame, book, design)


def test_long_and_wide_tables_give_the_same(wide, long):
    options = {"design": "town x coder", "object": "town"}
    one = decompose_variance(wide, value=CODERS, **options)
    other = decompose_variance(long.sample(frac=1, random_state=1), value="rating", **options)
    pd.testing.assert_frame_equal(one.frame, other.frame)
    assert one.frame["component"].tolist() == ["town", "coder", "town x coder, error"]
    assert_allclose(one.frame["share"].sum(), 1)
    assert one.frame["role"].tolist() == ["universe", "absolute", "relative"]
    relative, absolute = one.details["coefficients"].values()
    assert round(relative["estimate"], 3) == 0.909
    assert round(absolute["estimate"], 3) == 0.620
    assert one.details["sizes"] == {"coder": 4.0}


def test_each_row_is_what_the_method_gives(long):
    found = decompose_variance(
        long, design="town x coder", object="town", value="rating", level=0.9
    )
    exact = variance_components(
        long["rating"], [long["town"], long["coder"]], parse_design("town x coder"), level=0.9
    )
    assert found.frame["estimate"].tolist() == pytest.approx(exact.estimates)
    assert found.frame["std_error"].tolist() == pytest.approx(exact.std_errors)
    assert found.frame["ci_high"].tolist() == pytest.approx(exact.ci_high)
    assert found.frame["mean_square"].tolist() == pytest.approx(exact.squares)
    assert found.frame["n_levels"].tolist() == [6, 4, 24]


def test_missing_scores_are_counted_and_estimated_by_restricted_likelihood(wide):
    wide.loc[0, "anna"] = np.nan
    wide.loc[5, "town"] = None
    found = decompose_variance(wide, value=CODERS, design="town x coder", object="town")
    assert found.details["method"] == "reml"
    assert "4 rows set aside because the level of a facet is missing." in found.notes
    assert "1 missing scores set aside." in found.notes
    assert any("Unbalanced: 19 scores" in note and "20 cells, 1 of which" in note
               for note in found.notes)  # fmt: skip
    assert found.details["n_dropped"] == 5
    assert found.frame["mean_square"].isna().all()
    assert "restricted maximum likelihood" in found.methods_text()
    with pytest.raises(DataError, match="analysis of variance needs a score in every cell"):
        decompose_variance(wide, value=CODERS, design="town x coder", object="town", method="anova")


def test_negative_estimates_are_reported_and_count_as_nothing():
    table = pd.DataFrame({"town": list("abc"), "x1": [1.0, 2, 1], "x2": [2.0, 1, 2]})
    found = decompose_variance(table, value=["x1", "x2"], design="town x coder", object="town")
    first = found.frame.iloc[0]
    assert first["estimate"] < 0
    assert first["negative"]
    assert (first["variance"], first["share"]) == (0, 0)
    assert any("Negative estimates, set to 0" in note and "town (-" in note for note in found.notes)
    assert found.details["coefficients"]["generalisability"]["estimate"] == 0
    likely = decompose_variance(
        table, value=["x1", "x2"], design="town x coder", object="town", method="reml"
    )
    assert any("Estimated as 0: town" in note for note in likely.notes)


def test_a_survey_is_persons_in_psus_in_places_by_items():
    survey = make_survey(np.random.default_rng(2), weight=True)
    found = decompose_variance(survey)
    assert found.details["design"] == "(person : psu : place) x item"
    assert found.details["object"] == "place"
    assert found.details["sizes"] == {"person": 4, "psu": 3, "item": 3}
    assert found.frame["n_levels"].tolist() == [8, 3, 24, 24, 96, 72, 288]
    assert any("Weights of the survey are not used" in note for note in found.notes)
    assert found.provenance["data"] == decompose_variance(survey, level=0.9).provenance["data"]
    answers = survey.frame.assign(person=range(96))
    answers["q1"] = 8 - answers["q1"]  # runs the other way
    by_hand = decompose_variance(
        answers, value=["q1", "q2", "q3"], design="(person : village : district) x item",
        object="district",
    )  # fmt: skip
    assert_allclose(by_hand.frame["estimate"], found.frame["estimate"])


def test_a_survey_takes_other_designs_items_and_fixed_facets():
    survey = make_survey(np.random.default_rng(3), drop=0.05)
    found = decompose_variance(
        survey, design="(person : place) x item", value=["q2", "q3"], fixed="item", cut=4.0
    )
    assert found.details["method"] == "reml"
    assert found.frame["role"].tolist() == [
        "universe", "constant", "relative", "universe", "relative"
    ]  # fmt: skip
    assert 0 < found.details["cut_dependability"] <= 1
    assert not any("another universe" in note for note in found.notes)
    more = decompose_variance(
        survey, design="(person : place) x item", value=["q2", "q3"], fixed="item",
        sizes={"item": 5},
    )  # fmt: skip
    assert any("item (5 for " in note and "another universe" in note for note in more.notes)
    single = decompose_variance(survey, design="person : place", value="q2")
    assert single.details["sizes"]["person"] == pytest.approx(12, abs=1.5)
    with pytest.raises(SpecError, match=r"no such facet.*Did you mean 'place'"):
        decompose_variance(survey, design="(person : plaze) x item")
    with pytest.raises(SpecError, match="no item 'q9'"):
        decompose_variance(survey, value=["q1", "q9"])


def test_items_of_several_dimensions_or_scales_are_not_mixed():
    rng = np.random.default_rng(4)
    n = 40
    frame = pd.DataFrame(rng.integers(1, 6, size=(n, 4)), columns=["a1", "a2", "b1", "b2"])
    frame["place"], frame["person"] = np.arange(n) // 10, np.arange(n)
    book = Codebook(tuple(Indicator(q, dimension=q[0], scale=(1, 5)) for q in frame.columns[:4]))
    survey = Survey(frame, book, SurveyDesign(psu="person", place="place"))
    with pytest.raises(SpecError, match="the codebook has 2 dimensions"):
        decompose_variance(survey)
    found = decompose_variance(survey, design="(person : place) x (item : dimension)",
                               fixed=["dimension"])  # fmt: skip
    assert found.details["sizes"] == {"person": 10, "item": 2, "dimension": 2}
    assert decompose_variance(survey, value=["a1", "a2"]).details["design"] == (
        "(person : place) x item"
    )
    mixed = Codebook((*book.indicators[:3], Indicator("b2", dimension="b", scale=(0, 10))))
    with pytest.raises(SpecError, match="the items have 2 scales"):
        decompose_variance(Survey(frame, mixed, survey.design), value=["a1", "b2"])
    turned = Codebook((Indicator("a1", direction="negative"), Indicator("a2")))
    with pytest.raises(SpecError, match="a1: runs the other way"):
        decompose_variance(Survey(frame, turned, survey.design))


def test_a_decision_study_is_a_grid_with_targets_and_costs():
    survey = make_survey(np.random.default_rng(5))
    found = decompose_variance(survey, design="(person : place) x item")
    table = found.decision(
        {"person": range(5, 41, 5), "item": [1, 2, 4, 8]},
        target=0.85,
        costs={"person": 10, "person x item": 1},
    )
    assert len(table) == 32
    person, item = table["person"], table["item"]
    v = dict(zip(found.frame["component"], found.frame["variance"], strict=True))
    relative = (
        v["person : place"] / person
        + v["place x item"] / item
        + v["(person x item) : place, error"] / (person * item)
    )
    assert_allclose(table["relative_error"], relative)
    assert_allclose(table["relative_sem"] ** 2, relative)
    assert_allclose(table["generalisability"], v["place"] / (v["place"] + relative))
    assert_allclose(table["cost"], 10 * person + person * item)
    assert (table["reached"] == (table["generalisability"] >= 0.85)).all()
    assert table["reached"].any()
    assert not table["reached"].all()
    cheapest = table[table["cheapest"]]
    assert cheapest["cost"].nunique() == 1
    assert cheapest["cost"].iloc[0] == table.loc[table["reached"], "cost"].min()
    for row in table[table["smallest"]].itertuples():
        below = table[(person <= row.person) & (item <= row.item) & table["reached"]]
        assert len(below) == 1
    assert found.decision()["generalisability"].iloc[0] == pytest.approx(
        found.details["coefficients"]["generalisability"]["estimate"]
    )
    never = found.decision({"person": [2, 3]}, target=0.999, costs={"person": 1})
    assert not never[["reached", "smallest", "cheapest"]].any().any()


def test_ties_of_cost_are_all_the_cheapest(wide):
    found = decompose_variance(wide, value=CODERS, design="town x coder", object="town")
    table = found.decision({"coder": [8, 9, 10]}, target=0.9, costs={"coder": 0})
    assert table["cheapest"].tolist() == [True, True, True]
    assert table["smallest"].tolist() == [True, False, False]


def test_a_target_that_is_just_met_is_met(wide):
    found = decompose_variance(wide, value=CODERS, design="town x coder", object="town")
    exact = found.decision({"coder": 4})["dependability"].iloc[0]
    table = found.decision(
        {"coder": [3, 4]}, target=np.nextafter(exact, 1), coefficient="dependability"
    )
    assert table["reached"].tolist() == [False, True]


def test_decision_studies_that_make_no_sense_are_refused(wide):
    found = decompose_variance(wide, value=CODERS, design="town x coder", object="town")
    with pytest.raises(SpecError) as caught:
        found.decision({"coders": [1], "coder": []}, target=80, coefficient="alpha")
    assert len(caught.value.problems) == 4
    with pytest.raises(SpecError, match="coder must have numbers, got 'many'"):
        found.decision({"coder": ["many"]})
    with pytest.raises(SpecError, match="designs are more than"):
        found.decision({"coder": np.arange(1, 1_000_003)})
    with pytest.raises(SpecError, match="0 facets have several sizes"):
        found.plot_decision({"coder": 3})


def test_all_that_is_wrong_with_a_table_is_said(wide, long):
    with pytest.raises(SpecError, match="a table needs design="):
        decompose_variance(wide)
    with pytest.raises(DataError) as caught:
        decompose_variance(long, design="twon x coder", object="coder", value="ratings")
    assert len(caught.value.problems) == 2
    assert "Did you mean 'town'" in str(caught.value)
    with pytest.raises(DataError, match="levels of the one facet that is no column, and 2"):
        decompose_variance(wide, value=CODERS, design="place x coder", object="place")
    with pytest.raises(DataError, match="rating: text in 24 of 24 values"):
        decompose_variance(
            long.assign(rating="good"), design="town x coder", object="town", value="rating"
        )
    with pytest.raises(DataError, match="2 of 24 cells hold several scores"):
        decompose_variance(
            pd.concat([long, long.head(2)]), design="town x coder", object="town", value="rating"
        )
    with pytest.raises(MethodError, match="do not vary"):
        decompose_variance(
            long.assign(rating=1), design="town x coder", object="town", value="rating"
        )
    with pytest.raises(DataError, match="0 of 24 rows have a score"):
        decompose_variance(
            long.assign(rating=np.nan), design="town x coder", object="town", value="rating"
        )


def test_a_study_takes_one_size_of_a_facet_and_a_cut_that_is_a_number(wide):
    asked = {"value": CODERS, "design": "town x coder", "object": "town"}
    with pytest.raises(SpecError) as caught:
        decompose_variance(wide, **asked, sizes={"coder": [2, 3]}, cut=np.nan)
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["sizes", "cut"]
    with pytest.raises(SpecError, match="cut: must be a number, got '7'"):
        decompose_variance(wide, **asked, cut="7")


def test_a_result_is_loaded_as_it_was_saved_and_still_decides(tmp_path, wide):
    found = decompose_variance(wide, value=CODERS, design="town x coder", object="town")
    again = load_result(found.save(tmp_path / "found.parquet"))
    assert isinstance(again, VarianceDecomposition)
    pd.testing.assert_frame_equal(again.frame, found.frame)
    assert again.digest() == found.digest()
    pd.testing.assert_frame_equal(again.decision({"coder": 3}), found.decision({"coder": 3}))
    assert json.loads(found.to_json())["details"]["object"] == "town"


def test_texts_name_what_was_done(wide):
    found = decompose_variance(
        wide, value=CODERS, design="town x coder", object="town", sizes={"coder": 2.5}
    )
    assert "29 % of the variance of a single score is of town" in found.headline()
    assert "means over 2.5 × coder" in found.headline()
    for key in ("Brennan2001", "ShavelsonWebb1991", "Cronbach1972", "Cardinet1976", "Ting1990"):
        assert f"{{{key}," in found.references
    assert any("Few levels of a random facet: coder (4)" in note for note in found.notes)


def test_pictures_show_shares_and_coefficients(wide):
    found = decompose_variance(wide, value=CODERS, design="town x coder", object="town")
    widths = [bar.get_width() for bar in found.plot().patches]
    assert_allclose(sorted(widths), sorted(100 * found.frame["share"]))
    ax = found.plot_decision({"coder": range(1, 9)}, target=0.8)
    assert_allclose(ax.lines[0].get_ydata()[3], found.decision()["generalisability"])
    survey = decompose_variance(make_survey(np.random.default_rng(1)))
    ax = survey.plot_decision({"person": [5, 10, 20], "item": range(1, 21)})
    assert len(ax.lines) == 6
    mpl.pyplot.close("all")
