from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.errors import DataError, SpecError
from lgpi_research.methods.consistency import alpha
from lgpi_research.survey import Survey, SurveyDesign, scale_of, scales_of

BOOK = Codebook(
    (
        Indicator("trust", dimension="voice", scale=(1, 5), missing_codes=(-99,)),
        Indicator("wait", dimension="voice", direction="negative", scale=(1, 5)),
        Indicator("bribe", dimension="voice", measurement="reflective", scale=(1, 5)),
        Indicator("water", dimension="services", measurement="reflective"),
        Indicator("roads", dimension="services", measurement="reflective"),
        Indicator("tax", dimension="money"),
    )
)
DESIGN = SurveyDesign(psu="village", stratum="region", weight="w", place="district")


def table(n: int = 80) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    village = np.arange(n) % 16
    trait = rng.normal(size=16)[village] + rng.normal(size=n)
    item = np.clip(np.rint(3 + trait[:, None] + rng.normal(size=(n, 6))), 1, 5)
    item[:, 1] = 6 - item[:, 1]
    frame = pd.DataFrame(item, columns=list(BOOK.names))
    return frame.assign(
        village=village + 1,
        district=np.array(["a", "b", "c", "d"])[village // 4],
        region=np.array(["north", "south"])[village // 8],
        w=rng.uniform(0.5, 2, n),
    )


def test_a_sound_survey():
    frame = table()
    frame.loc[[3, 9], "trust"] = -99
    survey = Survey(frame, BOOK, DESIGN)
    assert repr(survey) == "Survey of 80 respondents in 16 PSUs, 2 strata, 4 places, 6 items"
    assert len(survey) == 80
    assert survey.notes == ("trust: missing codes set aside: -99 (2).",)
    assert survey.values["trust"].isna().sum() == 2
    found = survey.moments()
    assert [scale.name for scale in found.scales] == ["voice", "services", "means"]
    assert found.scale("voice").reverse == ("wait",)
    assert found.scale("voice").measurement == "formative"
    assert found.scale("services").measurement == "reflective"
    assert found.n_used("voice") == 78
    assert found.notes == survey.notes


def test_moments_of_chosen_items():
    survey = Survey(table(), BOOK, DESIGN)
    found = survey.moments(["wait", "trust"], needs="variances")
    frame = table().assign(wait=-table()["wait"])
    w = frame["w"] / frame["w"].sum()
    x = frame[["wait", "trust"]]
    centred = x - (x.T @ w)
    expected = 2 * (1 - (w @ centred**2).sum() / (w @ centred.sum(axis=1) ** 2))
    assert_allclose(alpha(found.spread()), expected, rtol=1e-10)
    with pytest.raises(SpecError, match="Did you mean 'trust'"):
        survey.moments(["trsut"])
    only = survey.moments(needs="means")
    assert [scale.name for scale in only.scales] == ["means"]


def test_a_scale_for_each_dimension_of_two_items():
    assert [scale.items for scale in scales_of(BOOK)] == [
        ("trust", "wait", "bribe"),
        ("water", "roads"),
    ]
    plain = Codebook((Indicator("a"), Indicator("b")))
    assert scales_of(plain)[0].name == "all items"
    scale = scale_of(plain, "x", ("b",), "means", "listwise")
    assert (scale.items, scale.reverse) == (("b",), ())


def test_indicators_are_place_means_with_errors():
    frame = table()
    survey = Survey(frame, BOOK, DESIGN)
    found = survey.indicators()
    assert found.codebook == BOOK
    for place, part in frame.groupby("district"):
        expected = np.average(part["wait"], weights=part["w"])
        assert_allclose(found.values.loc[place, "wait"], expected, rtol=1e-12)
        mean_w = part["w"].sum()
        z = (part["w"] * (part["wait"] - expected)).groupby(part["village"]).sum() / mean_w
        error = np.sqrt(len(z) / (len(z) - 1) * ((z - z.mean()) ** 2).sum())
        assert_allclose(found.std_errors.loc[place, "wait"], error, rtol=1e-10)


def test_indicators_need_places():
    design = SurveyDesign(psu="village")
    with pytest.raises(SpecError, match="names no places"):
        Survey(table(), BOOK, design).indicators()


def test_places_of_one_psu_have_no_error_and_are_counted():
    frame = table()
    frame.loc[frame["village"] == 16, "district"] = "e"
    found = Survey(frame, BOOK, DESIGN).indicators()
    assert found.std_errors.loc["e"].isna().all()
    assert found.values.loc["e"].notna().all()
    assert any("trust 1" in note and "of 5 places" in note for note in found.notes)


def test_every_problem_at_once():
    frame = table().astype({"water": object})
    frame.loc[0, "trust"] = 8
    frame.loc[1, "water"] = "often"
    frame.loc[frame.index[frame["village"] == 3][0], "region"] = "south"
    frame.loc[frame.index[frame["village"] == 5][0], "district"] = "a"
    frame.loc[2, "w"] = -1.0
    frame.loc[4, "w"] = np.nan
    with pytest.raises(DataError) as caught:
        Survey(frame, BOOK, DESIGN, where="wave1.csv")
    text = str(caught.value)
    assert "problems in wave1.csv\n- " in text
    assert "1 of 16 clusters found in more than one stratum (3 in 'south', 'north')" in text
    assert "village: 1 of 16 clusters found in more than one place (5 in 'a', 'b')" in text
    assert "w: 1 of 80 weights are missing (rows 5)." in text
    assert "w: 1 of 80 weights are negative (rows 3)." in text
    assert "water: " in text


def test_values_outside_their_scale():
    frame = table()
    frame.loc[[0, 5], "trust"] = [8, 9]
    with pytest.raises(DataError, match=r"trust: 2 of 80 values lie outside 1\.\.5"):
        Survey(frame, BOOK, DESIGN)


def test_columns_that_are_not_there():
    frame = table().rename(columns={"village": "vilage", "trust": "trsut"})
    with pytest.raises(DataError) as caught:
        Survey(frame, BOOK, DESIGN)
    text = str(caught.value)
    assert "village (psu): there is no such column. Did you mean 'vilage'?" in text
    assert "trust: there is no such column. Did you mean 'trsut'?" in text


def test_columns_that_are_there_twice():
    frame = table()
    frame = pd.concat([frame, frame[["village", "trust"]]], axis=1)
    with pytest.raises(DataError) as caught:
        Survey(frame, BOOK, DESIGN)
    assert "village (psu): 2 columns have this name" in str(caught.value)
    assert "trust: 2 columns have this name" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"village": None}, r"village: 80 of 80 respondents have none"),
        ({"w": 0.0}, "w: all weights are 0"),
        ({"w": np.inf}, "w: "),
        ({"w": "heavy"}, "w: "),
        ({"trust": np.nan}, "trust: all 80 values are missing"),
        ({"trust": np.inf}, "trust: "),
    ],
)
def test_bad_columns(change, message):
    with pytest.raises(DataError, match=message):
        Survey(table().assign(**change), BOOK, DESIGN)


def test_an_item_is_no_column_of_the_design():
    with pytest.raises(DataError, match="tax: is both an item of the codebook and a column"):
        Survey(table(), BOOK, SurveyDesign(psu="village", weight="tax"))


def test_no_respondents():
    with pytest.raises(DataError, match="no respondents"):
        Survey(table().iloc[:0], BOOK, DESIGN)


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"psu": ""}, "name the column of the clusters"),
        ({"psu": "v", "weight": "v"}, "column 'v' is also the psu"),
        ({"psu": "v", "stratum": "v"}, "a stratum of its own"),
        ({"psu": "v", "lonely": "certain"}, "Did you mean 'certainty'"),
    ],
)
def test_bad_designs(roles, message):
    with pytest.raises(SpecError, match=message):
        SurveyDesign(**roles)


def test_the_same_survey_has_the_same_digest():
    one, two = (Survey(table(), BOOK, DESIGN) for _ in range(2))
    assert one.digest == two.digest
    other = table()
    other.loc[0, "tax"] += 1
    assert Survey(other, BOOK, DESIGN).digest != one.digest


def test_row_labels_of_the_table_do_not_matter():
    frame = table()
    moved = frame.set_index(np.arange(len(frame))[::-1] + 1000)
    one, two = (Survey(part, BOOK, DESIGN).moments() for part in (frame, moved))
    assert_array_equal(one.sums, two.sums)


def stages(**told) -> Survey:
    frame = table().assign(
        house=np.arange(80) // 16, villages=np.array([30, 20])[np.arange(80) % 16 // 8], houses=12.0
    )
    design = {"psu": "village", "stratum": "region", "place": "district", "ssu": "house",
              "population": ("villages", "houses")}  # fmt: skip
    changed = {key: told.pop(key) for key in list(told) if key in frame or key == "extra"}
    return Survey(frame.assign(**changed), BOOK, SurveyDesign(**{**design, **told}))


def test_a_design_of_several_stages_with_finite_populations():
    survey = stages()
    assert survey.design.stages == ("village", "house")
    assert survey.design.columns["population 2"] == "houses"
    made = survey.linear_design()
    weights = np.array([30, 20])[np.arange(80) % 16 // 8] / 8 * 12 / 5
    assert_allclose(made.weights, weights)
    assert (made.df, len(made.stages), made.names) == (14, 2, ("north", "south"))
    # Weights that follow from the populations count everywhere, and are said.
    assert_allclose(survey.roles["weight"], weights)
    assert survey.notes == ("Weights: units in the population over units drawn, by stage.",)
    given = stages(weight="w")
    assert_allclose(given.linear_design().weights, given.frame["w"])
    assert given.notes == ()
    assert given.digest != stages(weight="w", houses=13.0).digest


def test_a_plain_design_is_linear_too():
    made = Survey(table(), BOOK, DESIGN).linear_design()
    assert (made.n_psu, made.n_strata, len(made.stages)) == (16, 2, 1)
    assert made.populations == (None,)
    alone = Survey(table(), BOOK, SurveyDesign(psu="village")).linear_design()
    assert (alone.weights == 1).all()


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (
            {"villages": 7},
            r"village \(population in villages\): .* smaller than the number .* 2 of 2",
        ),
        ({"villages": np.arange(20, 100)}, "differs within 2 of 2 strata"),
        (
            {"houses": [0.0] + [9.0] * 79},
            r"house \(population in houses\): .* not positive in 1 of 80",
        ),
        ({"houses": [np.nan] + [9.0] * 79}, "missing or not positive in 1 of 80"),
        ({"houses": ["many"] + ["9"] * 79}, "houses"),
        ({"house": [None] + [1.0] * 79}, r"house.*: 1 of 80 rows have none"),
        ({"ssu": "hoouse"}, r"hoouse \(stage 2\): there is no such column. Did you mean 'house'"),
        ({"population": "nn"}, r"nn \(population 1\): there is no such column"),
    ],
)
def test_stages_and_populations_that_cannot_be(told, message):
    with pytest.raises(DataError, match=message):
        stages(**told)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"ssu": "village"}, "stage 2: column 'village' is also the psu"),
        ({"population": ("n", "m", "k")}, "3 columns for 2 stages"),
        ({"population": ("n", "n")}, "population 2: column 'n' is also the population 1"),
        ({"population": "w", "weight": "w"}, "population 1: column 'w' is also the weight"),
        ({"lonely": "averaged"}, "Did you mean 'average'"),
    ],
)
def test_designs_that_contradict_themselves(told, message):
    with pytest.raises(SpecError, match=message):
        SurveyDesign(**{"psu": "village", "ssu": "house", **told})


@pytest.mark.parametrize("lonely", ["adjust", "average"])
def test_sums_refuse_what_only_linearised_errors_know(lonely):
    survey = stages(lonely=lonely)
    assert survey.linear_design().lonely == lonely
    with pytest.raises(SpecError, match=f"lonely='{lonely}' is for linearised errors alone"):
        survey.moments()
    with pytest.raises(SpecError, match="linearised errors alone"):
        survey.indicators()
