from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.consensus import Consensus, assess_consensus
from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.methods.groups import one_way, r_wg
from lgpi_research.results import load_result
from lgpi_research.simulate import simulate_survey
from lgpi_research.survey import Survey, SurveyDesign


def of_table(frame: pd.DataFrame, **fields: object) -> Survey:
    items = tuple(
        Indicator(name, dimension="voice", scale=(1, 5), **fields)
        for name in frame.columns
        if name.startswith("q")
    )
    table = frame.assign(psu=np.arange(len(frame)))
    return Survey(table, Codebook(items), SurveyDesign(psu="psu", place="place"))


@pytest.fixture(scope="module")
def found() -> Consensus:
    frame = pd.DataFrame(
        {
            "place": ["a"] * 3 + ["b"] * 3,
            "q1": [4, 4, 5, 1, 3, 5],
            "q2": [4, 5, 5, 1, 2, 4],
        }
    )
    return assess_consensus(of_table(frame))


def test_two_places_by_hand(found):
    first = found.frame.set_index("item").loc["q1"]
    # Variances 1/3 and 4 against 2: r_wg 5/6 and 0. Means 13/3 and 3, mean squares 8/3 and 13/6.
    assert_allclose(first["r_wg"], 5 / 12)
    assert first["share_agreed"] == 0.5
    assert_allclose(first["icc1"], (8 / 3 - 13 / 6) / (8 / 3 + 2 * 13 / 6))
    assert_allclose(first["icc2"], 1 - 13 / 6 / (8 / 3))
    assert_allclose(first["average_deviation"], (4 / 9 + 4 / 3) / 2)
    assert_allclose(first["deviation_limit"], 5 / 6)


def test_the_dimension_is_the_mean_of_its_items(found):
    whole = found.frame.set_index("item").loc[""]
    frame = pd.DataFrame({"q1": [4, 4, 5, 1, 3, 5], "q2": [4, 5, 5, 1, 2, 4]})
    groups = np.array(["a"] * 3 + ["b"] * 3)
    expected = one_way(frame.mean(axis=1), groups)
    assert_allclose(whole[["icc1", "icc2", "f"]].astype(float), [expected.icc1, expected.icc2,
                    expected.f])  # fmt: skip
    assert_allclose(whole["r_wg"], r_wg(frame, groups, null_variance=2.0).mean())
    assert found.details["places"]["voice"]["n_used"] == [3, 3]


def test_reversed_items_are_turned():
    frame = pd.DataFrame(
        {"place": list("aaabbb"), "q1": [4, 4, 5, 1, 3, 5], "q2": [2, 1, 1, 5, 4, 2]}
    )
    items = (
        Indicator("q1", dimension="voice", scale=(1, 5)),
        Indicator("q2", dimension="voice", scale=(1, 5), direction="negative"),
    )
    design = SurveyDesign(psu="psu", place="place")
    turned = assess_consensus(Survey(frame.assign(psu=range(6)), Codebook(items), design))
    straight = assess_consensus(of_table(frame.assign(q2=6 - frame["q2"])))
    columns = ["r_wg", "icc1", "icc2", "f"]
    assert_allclose(turned.frame[columns], straight.frame[columns])


def test_missing_answers_are_counted():
    frame = pd.DataFrame(
        {"place": list("aaabbb"), "q1": [4, 4, 5, 1, 3, 5], "q2": [2, np.nan, 1, 5, 4, 2]}
    )
    table = assess_consensus(of_table(frame)).frame.set_index("item")
    assert table["n_dropped"].to_dict() == {"q1": 0, "q2": 1, "": 1}
    assert table["n_used"].to_dict() == {"q1": 6, "q2": 5, "": 5}


def test_words_file_and_picture(found, tmp_path):
    assert found.headline().startswith("voice: within places, agreement (r_wg) is ")
    for key in ("James1984", "Bliese2000", "BurkeDunlap2002"):
        assert key in found.references
    labels = [text.get_text() for text in found.plot().get_yticklabels()]
    assert labels == ["q1", "q2", "voice (all)"]
    back = load_result(found.save(tmp_path / "c.parquet"))
    assert isinstance(back, Consensus)
    assert repr(back) == repr(found)


def test_places_of_one_mind_have_no_error():
    row = assess_consensus(of_table(pd.DataFrame({"place": list("aabb"), "q": [2, 2, 4, 4]}))).frame
    assert row[["icc1", "ci_low", "ci_high", "icc2", "r_wg"]].to_numpy().tolist() == [[1.0] * 5]


def test_interval_of_icc1_covers():
    rng = np.random.default_rng(0)
    hits, runs = 0, 150
    for _ in range(runs):
        place = np.repeat(np.arange(30), 8)
        y = rng.normal(size=30)[place] * 0.5 + rng.normal(size=240)
        frame = pd.DataFrame({"place": place, "q": y})
        book = Codebook((Indicator("q", dimension="d"),))
        data = Survey(frame.assign(psu=range(240)), book, SurveyDesign(psu="psu", place="place"))
        row = assess_consensus(data, null_variance=2.0).frame.iloc[0]
        hits += row["ci_low"] <= 0.2 <= row["ci_high"]
    assert abs(hits / runs - 0.95) < 3 * np.sqrt(0.95 * 0.05 / runs)


def test_bad_input():
    frame = pd.DataFrame({"place": list("aabb"), "q1": [1, 2, 3, 4]})
    made = of_table(frame)
    nowhere = Survey(made.frame, made.codebook, SurveyDesign(psu="psu"))
    with pytest.raises(SpecError, match="the design names no places"):
        assess_consensus(nowhere)
    with pytest.raises(SpecError, match="null_variance: must be above 0"):
        assess_consensus(made, null_variance=0.0)
    scaleless = Survey(made.frame, Codebook((Indicator("q1"),)), made.design)
    with pytest.raises(DataError, match="q1: no scale is stated"):
        assess_consensus(scaleless)
    with pytest.raises(MethodError, match="groups of one member each"):
        assess_consensus(of_table(frame.assign(place=list("abcd"))))


def test_unequal_weights_are_said_not_to_count():
    survey = simulate_survey(6, 3, 5, 3, unequal_weights=True, seed=0).survey
    told = assess_consensus(survey, null_variance=2.0)
    assert any("not weighted here" in note for note in told.notes)
