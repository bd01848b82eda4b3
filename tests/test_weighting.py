"""Weighting as a researcher asks for it: a survey and known totals in, new weights out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.methods.calibration import calibrate, calibrated_covariance, kish_effect, rake
from lgpi_research.methods.margins import read_margins
from lgpi_research.results import load_result
from lgpi_research.survey import Survey, SurveyDesign
from lgpi_research.weighting import METHODS, calibrate_survey

SEX = {"f": 520.0, "m": 480.0}
SIZE = {1: 300.0, 2: 450.0, 3: 250.0}
BOTH = {
    ("f", 1): 160.0, ("m", 1): 140.0, ("f", 2): 230.0,
    ("m", 2): 220.0, ("f", 3): 130.0, ("m", 3): 120.0,
}  # fmt: skip


@pytest.fixture
def table():
    rng = np.random.default_rng(8)
    n = 90
    frame = pd.DataFrame(
        {
            "village": np.repeat(np.arange(18), 5),
            "region": np.repeat(["n", "s"], 45),
            "w": rng.uniform(1, 4, n).round(2),
            "sex": rng.choice(["f", "m"], n, p=[0.65, 0.35]),
            "size": rng.integers(1, 4, n),
            "age": rng.integers(18, 80, n),
            "q1": rng.integers(1, 6, n),
            "q2": rng.integers(1, 6, n),
        }
    )
    frame.loc[3, "q1"] = 9
    return frame


def made(table: pd.DataFrame, weight: str | None = "w") -> Survey:
    items = (Indicator("q1", scale=(1, 5), missing_codes=(9,)), Indicator("q2", scale=(1, 5)))
    return Survey(
        table, Codebook(items), SurveyDesign(psu="village", stratum="region", weight=weight)
    )


@pytest.fixture
def survey(table):
    return made(table)


def test_the_new_survey_meets_the_margins_and_keeps_everything_else(survey, table):
    found = calibrate_survey(survey, {"sex": SEX, "size": SIZE})
    after = found.survey
    assert after.design.weight == "calibrated_weight"
    pd.testing.assert_frame_equal(after.frame.drop(columns="calibrated_weight"), survey.frame)
    for column, known in (("sex", SEX), ("size", SIZE)):
        sums = found.weights.groupby(table[column]).sum()
        assert_allclose(sums[list(known)], list(known.values()))
    margins = read_margins({"sex": (table["sex"], SEX), "size": (table["size"], SIZE)})
    assert_allclose(found.weights, rake(table["w"], margins).weights, rtol=1e-9)
    assert_array_equal(after.roles["weight"], found.weights)


def test_the_frame_shows_each_margin_before_and_after(survey, table):
    frame = calibrate_survey(survey, {"sex": SEX, "size": SIZE}).frame
    assert frame["margin"].tolist() == ["sex"] * 2 + ["size"] * 3
    assert frame["category"].tolist() == ["f", "m", "1", "2", "3"]
    assert frame["n"].sum() == 2 * len(table)
    assert_allclose(frame["after"], frame["population"])
    before = table.groupby("sex")["w"].sum()
    assert_allclose(frame["before"][:2], before)
    assert_allclose(frame["share_before"][:2], before / before.sum())
    assert_allclose(frame["share_after"], frame["share_population"])


def test_weights_and_what_they_cost_are_told(survey, table):
    found = calibrate_survey(survey, {"sex": SEX})
    told = found.details
    assert_allclose(told["kish_before"], kish_effect(table["w"]))
    assert_allclose(told["kish_after"], kish_effect(found.weights))
    scaled = table["w"] * 1000 / table["w"].sum()
    assert_allclose(told["factor_max"], (found.weights / scaled).max())
    assert_allclose(told["weight_min"], found.weights.min())
    assert f"{told['kish_after']:.2f}" in found.headline()


def test_a_survey_without_weights_starts_from_equal_ones(table):
    found = calibrate_survey(made(table, None), {"sex": SEX}, method="poststratify")
    counts = table["sex"].value_counts()
    expected = table["sex"].map(lambda s: SEX[s] / counts[s])
    assert_allclose(found.weights, expected)
    assert found.details["kish_before"] == 1.0


def test_combinations_are_named_by_tuples(survey, table):
    found = calibrate_survey(survey, {("sex", "size"): BOTH}, method="poststratify")
    sums = found.weights.groupby([table["sex"], table["size"]]).sum()
    assert_allclose(sums[list(BOTH)], list(BOTH.values()))
    assert found.frame["margin"].unique().tolist() == ["sex by size"]
    assert found.frame["category"][0] == "f × 1"


@pytest.mark.parametrize("method", ["linear", "raking", "logit"])
def test_numbers_have_totals(survey, table, method):
    total = 1000 * (table["age"] * table["w"]).sum() / table["w"].sum() * 1.03
    bounds = (0.4, 2.5) if method == "logit" else None
    found = calibrate_survey(survey, {"sex": SEX, "age": total}, method=method, bounds=bounds)
    assert_allclose((found.weights * table["age"]).sum(), total)
    last = found.frame.iloc[-1]
    assert (last["margin"], last["category"]) == ("age", "")
    assert_allclose(last["after"], total)
    assert np.isnan(last["share_population"])


def test_means_have_errors_that_know_of_the_calibration(survey, table):
    found = calibrate_survey(survey, {"sex": SEX, "size": SIZE}, method="linear")
    means = found.means()
    y = survey.values["q1"].to_numpy(float)
    seen = ~np.isnan(y)
    columns = np.column_stack(
        [table["sex"] == s for s in SEX] + [table["size"] == s for s in SIZE]
    ).astype(float)
    same = calibrate(table["w"], columns, [*SEX.values(), *SIZE.values()])
    w = same.weights
    mean = np.average(y[seen], weights=w[seen])
    scores = np.where(seen, w * (y - mean), 0.0) / w[seen].sum()
    cov = calibrated_covariance(scores, survey.linear_design(), same)
    row = means.set_index("item").loc["q1"]
    assert_allclose(row["estimate"], mean)
    assert_allclose(row["std_error"], np.sqrt(cov[0, 0]))
    assert_allclose(row["before"], np.average(y[seen], weights=table["w"][seen]))
    assert (row["n_used"], row["n_dropped"], row["df"]) == (89, 1, 16)
    assert found.means(["q2"])["item"].tolist() == ["q2"]
    with pytest.raises(SpecError, match=r"no qq1\. Did you mean"):
        found.means(["qq1"])


def test_an_item_that_few_psus_answered_has_their_degrees_of_freedom(table):
    table["q1"] = table["q1"].where(table["village"].isin([0, 1, 2, 9, 10, 11]))
    found = calibrate_survey(made(table), {"sex": SEX}).means()
    assert found["df"].tolist() == [6 - 2, 18 - 2]
    reach = stats.t.ppf(0.975, found["df"]) * found["std_error"]
    assert_allclose(found["ci_high"] - found["estimate"], reach)


def test_a_result_is_loaded_without_anybody(survey, tmp_path):
    found = calibrate_survey(survey, {"sex": SEX})
    loaded = load_result(found.save(tmp_path / "weights.parquet"))
    pd.testing.assert_frame_equal(loaded.frame, found.frame)
    assert loaded.headline() == found.headline()
    assert loaded.details == found.details
    for asked in (lambda: loaded.survey, lambda: loaded.weights, lambda: loaded.means()):
        with pytest.raises(DataError, match="holds its table, and no respondent's weight"):
            asked()


def test_negative_weights_are_counted_and_make_no_survey(table):
    survey = made(table)
    total = 1000 * table["age"].max() * 0.97
    found = calibrate_survey(survey, {"sex": SEX, "age": total}, method="linear")
    negative = int((found.weights < 0).sum())
    assert negative > 0
    assert found.details["n_negative"] == negative
    assert any(note.startswith(f"{negative} of 90 calibrated weights") for note in found.notes)
    with pytest.raises(MethodError, match=f"{negative} of 90 calibrated weights are negative"):
        _ = found.survey
    assert np.isfinite(found.means()["std_error"]).all()


def test_respondents_of_weight_0_need_no_number(table):
    table.loc[table.index[:2], "w"] = 0.0
    known = {"age": 1.02 * (table["age"] * table["w"]).sum()}
    expected = calibrate_survey(made(table), known, method="linear").weights
    table["age"] = table["age"].astype(float)
    table.loc[table.index[:2], "age"] = np.nan
    assert_allclose(calibrate_survey(made(table), known, method="linear").weights, expected)


def test_costly_weights_and_respondents_of_weight_0_are_noted(table):
    table.loc[table.index[:2], "w"] = 0.0
    found = calibrate_survey(made(table), {"sex": {"f": 20.0, "m": 980.0}})
    notes = " ".join(found.notes)
    assert "2 respondents of weight 0 keep it" in notes
    assert found.weights[:2].tolist() == [0.0, 0.0]
    rare = table.assign(sex=["m", "m"] + ["f"] * 88, w=1.0)
    notes = " ".join(calibrate_survey(made(rare), {"sex": {"f": 100.0, "m": 900.0}}).notes)
    assert "The largest factor of a weight is 40.5" in notes
    assert "inflate variances by about" in notes
    assert "q1: missing codes set aside: 9 (1)." in notes


@pytest.mark.parametrize("method", METHODS)
def test_methods_are_told_with_works_that_exist(survey, method):
    bounds = (0.2, 4.0) if method == "logit" else None
    found = calibrate_survey(survey, {"sex": SEX}, method=method, bounds=bounds)
    assert "@" in found.methods_text()
    assert "Kish" in found.references
    assert "Calibration" not in repr(found)
    assert found.provenance["specification"]["margins"] == {"sex": SEX}
    ax = found.plot()
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["sex: f", "sex: m"]


def test_a_picture_needs_categories(survey, table):
    total = (table["age"] * table["w"]).sum() * 1.01
    found = calibrate_survey(survey, {"age": total}, method="linear")
    with pytest.raises(DataError, match="no categories to draw"):
        found.plot()


@pytest.mark.parametrize(
    ("margins", "options", "told"),
    [
        ({"sex": SEX}, {"method": "raked"}, "Did you mean 'rake'"),
        ({}, {}, "name at least one"),
        ({"sex": SEX}, {"bounds": (0.5, 2)}, "method 'logit' needs them"),
        ({"sex": SEX}, {"method": "logit"}, "method 'logit' needs them"),
        ({"sex": SEX}, {"column": "w"}, "the survey already has 'w'"),
        ({"age": 5.0}, {}, "age are totals of numbers, and 'rake' needs categories"),
        ({"sex": SEX, "size": SIZE}, {"method": "poststratify"}, "takes one, got 2"),
        ({("sex", "age"): 5.0}, {"method": "linear"}, "name several columns for one total"),
    ],
)
def test_options_that_do_not_fit(survey, margins, options, told):
    with pytest.raises(SpecError, match=told):
        calibrate_survey(survey, margins, **options)


def test_every_problem_of_the_data_is_said_at_once(table):
    table["sex"] = table["sex"].astype(object).mask(table.index == 4)
    table["age"] = table["age"].astype(float).mask(table.index == 5)
    with pytest.raises(DataError) as caught:
        calibrate_survey(
            made(table),
            {"sex": {"f": 500.0, "x": 10.0}, "size": {1: 300.0, 2: 450.0}, "age": 100.0},
            method="linear",
        )
    told = str(caught.value)
    assert "age: 1 respondents have no value" in told
    assert "sex: 1 of 90 rows have no category (first rows 5)" in told
    assert "categories without a population (m)" in told
    assert "categories without a respondent (x 10)" in told
    assert "size: " in told
    assert "margins add up to different populations" in told
    with pytest.raises(DataError, match=r"sexx \(margin\): there is no such column. Did you mean"):
        calibrate_survey(made(table), {"sexx": SEX})
