from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.latent_answers import default_model
from lgpi_research.measurement import MeasurementModel, fit_measurement_model
from lgpi_research.methods.latent.composite import composites
from lgpi_research.methods.latent.fit import fit_model
from lgpi_research.methods.latent.standard_errors import standardised_errors
from lgpi_research.methods.onefactor import average_variance_extracted, one_factor
from lgpi_research.results import load_result
from lgpi_research.survey import Survey, SurveyDesign

NAMES = [f"q{i}" for i in range(1, 8)]
MODEL = "voice =~ q1 + q2 + q3 + q4\ntrust =~ q5 + q6 + q7"
LOADINGS = np.array([0.8, 0.7, 0.6, 0.7, 0.8, 0.7, 0.6])


TWO = "f =~ x1 + x2 + x3 + x4\ng =~ x5 + x6 + x7"
DATA = Path(__file__).parent / "reference" / "data"


def answers(n: int = 400, seed: int = 0) -> pd.DataFrame:
    """Two factors that correlate by 0.5; standardised loadings are those above."""
    rng = np.random.default_rng(seed)
    voice = rng.normal(size=n)
    trust = 0.5 * voice + np.sqrt(0.75) * rng.normal(size=n)
    traits = np.column_stack([voice] * 4 + [trust] * 3)
    noise = np.sqrt(1 - LOADINGS**2) * rng.normal(size=(n, 7))
    table = pd.DataFrame(traits * LOADINGS + noise, columns=NAMES)
    return table.assign(side=np.where(np.arange(n) % 2, "east", "west"), v=np.arange(n) // 8)


def book(**changes: str) -> Codebook:
    return Codebook(
        tuple(
            Indicator(
                name,
                dimension="voice" if i < 4 else "trust in council",
                measurement="reflective",
                direction=changes.get(name, "positive"),
            )
            for i, name in enumerate(NAMES)
        )
    )


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return answers()


@pytest.fixture(scope="module")
def found(table) -> MeasurementModel:
    return fit_measurement_model(table, MODEL)


def test_it_is_the_model_of_the_method(table, found):
    fit = fit_model(MODEL, table[NAMES], NAMES, estimator="MLR")
    assert_allclose(found.frame["estimate"], fit.estimates)
    free = fit.std_errors > 0
    assert_allclose(found.frame["std_error"][free], fit.std_errors[free])
    assert found.frame["ci_low"].isna().tolist() == (~free).tolist()
    assert_allclose(found.frame["z"][free], fit.z[free])
    measures = found.fit_measures().set_index("measure")["value"]
    assert_allclose(measures["chi_squared_scaled"], fit.measures.scaled.test.statistic)
    assert (found.details["n_used"], found.details["n_dropped"]) == (400, 0)


def test_standardised_loadings_hold_the_truth(found):
    loadings = found.frame[found.frame["op"] == "=~"]
    assert_allclose(loadings["std_all"], LOADINGS, atol=0.12)
    assert (abs(loadings["std_all"] - LOADINGS) < 3 * loadings["std_all_error"]).all()
    between = found.summary().iloc[-1]
    assert (between["lhs"], between["rhs"]) == ("voice", "trust")
    assert abs(between["std_all"] - 0.5) < 0.15


@pytest.mark.parametrize(
    ("table", "estimator", "errors"),
    [  # lavaan 0.6-14: standardizedSolution(cfa(TWO, data, estimator = "MLR" or ordered = …))
        (
            "latent.csv",
            "MLR",
            [
                [0.0288642548, 0.0357655027, 0.0288934366, 0.0360420603],
                [0.034410853, 0.0342926552, 0.0542489812, 0.048791234],
            ],
        ),
        (
            "latent_ordered.csv",
            "WLSMV",
            [
                [0.0488750753, 0.0487596334, 0.0400304768, 0.0473742989],
                [0.0543180179, 0.053945314, 0.0546058406, 0.0577193754],
            ],
        ),
    ],
)
def test_errors_of_standardised_values_agree_with_lavaan(table, estimator, errors):
    found = fit_measurement_model(pd.read_csv(DATA / table), TWO, estimator=estimator).frame
    between = (found["op"] == "~~") & (found["lhs"] != found["rhs"])
    shown = found.loc[(found["op"] == "=~") | between, "std_all_error"]
    assert_allclose(shown, np.ravel(errors), rtol=1e-5)


@pytest.mark.slow
def test_intervals_of_standardised_loadings_hold_the_truth():
    hits = np.zeros(7)
    for seed in range(200):
        frame = fit_measurement_model(answers(seed=seed), MODEL).frame
        loadings = frame[frame["op"] == "=~"]
        hits += (abs(loadings["std_all"] - LOADINGS) < 1.96 * loadings["std_all_error"]).to_numpy()
    assert (hits / 200 >= 0.90).all()
    assert 0.93 <= hits.mean() / 200 <= 0.97


def test_errors_of_standardised_values_do_not_depend_on_the_unit(table):
    one, other = (
        fit_model(MODEL, table[NAMES], NAMES, groups=table["side"], unit_factors=unit)
        for unit in (False, True)
    )
    for op in ("=~", "~~"):
        errors = [
            standardised_errors(fit)[[row.op == op for row in fit.table.rows]]
            for fit in (one, other)
        ]
        assert_allclose(errors[0], errors[1], rtol=2e-5, atol=1e-7)


def test_error_of_a_correlation_of_factors_is_its_own_with_unit_factors(table):
    fit = fit_model(MODEL, table[NAMES], NAMES, unit_factors=True)
    at = [row.name for row in fit.table.rows].index("voice ~~ trust")
    assert_allclose(standardised_errors(fit)[at], fit.std_errors[at], rtol=1e-6)


def test_composites_are_those_of_one_factor(table):
    items = NAMES[:4]
    fit = fit_model("f =~ q1 + q2 + q3 + q4", table[NAMES], NAMES)
    one = one_factor(np.cov(table[items], rowvar=False, ddof=0))
    found = composites(fit)[0]
    common = one.loadings.sum() ** 2
    assert_allclose(found.reliability, common / (common + one.uniquenesses.sum()), rtol=1e-5)
    assert_allclose(found.average_variance, average_variance_extracted(one), rtol=1e-5)
    assert found.items == tuple(items)


def test_items_of_a_survey_are_turned_and_its_clusters_used(table):
    frame = table.assign(q2=-table["q2"])
    survey = Survey(frame, book(q2="negative"), SurveyDesign(psu="v"))
    found = fit_measurement_model(survey)
    assert found.details["model"] == (
        "voice =~ q1 + q2 + q3 + q4\ntrust_in_council =~ q5 + q6 + q7"
    )
    fit = fit_model(MODEL, table[NAMES], NAMES, estimator="MLR", clusters=table["v"])
    assert_allclose(found.frame["estimate"], fit.estimates)
    assert_allclose(found.frame["std_error"].fillna(0), fit.std_errors)
    assert found.details["clusters"] == 50
    same = fit_measurement_model(table, MODEL, clusters="v")
    assert_allclose(same.frame["std_error"], found.frame["std_error"])
    assert "50 clusters" in found.methods_text()
    plain = fit_measurement_model(survey, estimator="ML")
    assert any("drawn in clusters" in note for note in plain.notes)


def test_turning_within_a_scale_moves_intercepts_only(table):
    cut = {name: np.clip(np.round(2 * table[name] + 3), 1, 5) for name in NAMES}
    frame = table.assign(**cut)
    items = [
        Indicator(name, dimension="voice", measurement="reflective", scale=(1, 5))
        for name in NAMES[1:4]
    ]
    turned = Indicator(
        "q1", dimension="voice", measurement="reflective", scale=(1, 5), direction="negative"
    )
    base = fit_measurement_model(frame, "voice =~ q1 + q2 + q3 + q4", clusters="v")
    survey = Survey(
        frame.assign(q1=6 - frame["q1"]), Codebook((turned, *items)), SurveyDesign(psu="v")
    )
    found = fit_measurement_model(survey)
    assert_allclose(found.frame["estimate"], base.frame["estimate"], rtol=1e-6, atol=1e-8)


def test_groups_are_named_and_those_without_one_set_aside(table):
    frame = table.assign(side=table["side"].where(table.index > 9))
    found = fit_measurement_model(frame, MODEL, by="side", equal=["loadings"])
    assert found.details["groups"] == ["east", "west"]
    assert found.frame["group"].unique().tolist() == ["east", "west"]
    assert found.details["n_groups"] == {"east": 195, "west": 195}
    assert found.details["n_dropped"] == 10
    assert "10 respondents set aside because they have no group." in found.notes
    loadings = found.frame[found.frame["op"] == "=~"].pivot(
        index="rhs", columns="group", values="estimate"
    )
    assert_allclose(loadings["east"], loadings["west"])
    assert found.plot(group="west").get_title(loc="left") == "Loadings: west"


def test_missing_answers(table):
    frame = table.copy()
    frame.loc[::8, "q2"] = np.nan
    found = fit_measurement_model(frame, MODEL)
    assert found.details["n_dropped"] == 50
    assert any("missing='fiml' would use" in note for note in found.notes)
    every = fit_measurement_model(frame, MODEL, missing="fiml")
    assert every.details["n_dropped"] == 0
    assert every.modifications().empty
    assert "missing at random" in every.methods_text()


def test_ordered_answers_have_thresholds(table):
    frame = pd.DataFrame(np.digitize(table[NAMES[:4]], [-0.5, 0.7]), columns=NAMES[:4])
    found = fit_measurement_model(frame, "voice =~ q1 + q2 + q3 + q4", estimator="WLSMV")
    cuts = found.frame[found.frame["op"] == "|"]
    assert cuts["rhs"].tolist() == ["t1", "t2"] * 4
    assert_allclose(cuts["estimate"], [-0.5, 0.7] * 4, atol=0.2)
    loadings = found.frame[found.frame["op"] == "=~"]
    assert (abs(loadings["std_all"] - LOADINGS[:4]) < 3 * loadings["std_all_error"]).all()
    left = found.frame[(found.frame["op"] == "~~") & (found.frame["lhs"] == "q1")]
    assert_allclose(left["estimate"], 1 - loadings["std_all"].iloc[0] ** 2)
    assert "AsparouhovMuthen2010" in found.references


def test_a_missing_path_leads_the_modification_indices(table):
    found = fit_measurement_model(
        table.assign(q4=table["q4"] + 0.7 * table["q6"]), MODEL, estimator="ML"
    )
    top = found.modifications().iloc[0]
    assert {top["lhs"], top["rhs"]} & {"q4"}
    assert top["p_value"] < 1e-6


def test_words_file_and_pictures(found, tmp_path):
    assert found.headline().startswith(
        "A model of 2 factors (voice, trust), fitted to 400 respondents by MLR: χ²(13) = "
    )
    assert "HuBentler1999" in found.references
    assert found.reliability()["factor"].tolist() == ["voice", "trust"]
    assert len(found.plot().get_yticks()) == 7
    drawn = {text.get_text() for text in found.plot(kind="path").texts}
    assert {*NAMES, "voice", "trust"} <= drawn
    back = load_result(found.save(tmp_path / "m.parquet"))
    assert isinstance(back, MeasurementModel)
    assert repr(back) == repr(found)
    pd.testing.assert_frame_equal(back.reliability(), found.reliability())
    again = fit_measurement_model(answers(), MODEL)
    assert again.digest() == found.digest()


def test_a_path_diagram_of_regressions_and_defined_parameters(table):
    model = f"{MODEL}\ntrust ~ a*voice + b*v\ntwice := a + a\nq1 ~~ q2"
    found = fit_measurement_model(table, model, estimator="ML")
    row = found.frame[found.frame["lhs"] == "twice"].iloc[0]
    path = found.frame[(found.frame["op"] == "~") & (found.frame["rhs"] == "voice")].iloc[0]
    assert_allclose([row["estimate"], row["ci_low"]], [2 * path["estimate"], 2 * path["ci_low"]])
    assert "v" in {text.get_text() for text in found.plot(kind="path").texts}


def test_notes_name_what_is_wrong_with_a_solution(table):
    opposed = fit_measurement_model(table.assign(q3=-table["q3"]), MODEL)
    assert any("voice: q3 loads against the other items" in note for note in opposed.notes)
    few = fit_measurement_model(table.assign(v=table["v"] // 5), MODEL, clusters="v")
    assert any("10 clusters are few" in note for note in few.notes)
    exact = fit_measurement_model(table, "f =~ q1 + q2 + q3")
    assert any("no degrees of freedom" in note for note in exact.notes)
    load = np.array([1.02, 0.7, 0.6, 0.5])
    wanted = np.outer(load, load)
    np.fill_diagonal(wanted, 1.0)
    root = np.linalg.cholesky(wanted)
    rows = np.random.default_rng(0).normal(size=(300, 4))
    rows -= rows.mean(axis=0)
    rows = rows @ np.linalg.inv(np.linalg.cholesky(rows.T @ rows / 300).T) @ root.T
    heywood = fit_measurement_model(pd.DataFrame(rows, columns=list("abcd")), "f =~ a + b + c + d")
    assert any(note.startswith("Heywood case: the variance a ~~ a") for note in heywood.notes)
    assert heywood.headline().endswith("should not be interpreted.")


def test_bad_input(table):
    with pytest.raises(SpecError, match=r"estimator: must be .* got 'MRL'\. Did you mean"):
        fit_measurement_model(table, MODEL, estimator="MRL")
    with pytest.raises(SpecError, match="a table needs a model"):
        fit_measurement_model(table)
    with pytest.raises(SpecError, match="'q9' is neither a variable of the data"):
        fit_measurement_model(table, "f =~ q1 + q2 + q9")
    with pytest.raises(SpecError, match=r"by: no columns have the name 'sied'.* 'side'"):
        fit_measurement_model(table, MODEL, by="sied")
    with pytest.raises(SpecError, match="clusters need estimator='MLR'"):
        fit_measurement_model(table, MODEL, clusters="v", estimator="ML")
    with pytest.raises(SpecError, match="WLSMV takes complete respondents"):
        fit_measurement_model(table, MODEL, estimator="WLSMV", missing="fiml")
    with pytest.raises(SpecError, match="level must lie between 0 and 1"):
        fit_measurement_model(table, MODEL, level=95)
    with pytest.raises(DataError, match="clusters: 1 of 400 respondents have none"):
        fit_measurement_model(
            table.assign(v=table["v"].where(table.index > 0)), MODEL, clusters="v"
        )
    with pytest.raises(DataError, match="q1: 1 of 400 answers are infinite"):
        fit_measurement_model(table.assign(q1=table["q1"].where(table.index > 0, np.inf)), MODEL)
    with pytest.raises(DataError, match="there are no respondents"):
        fit_measurement_model(table.head(0), MODEL)
    with pytest.raises(MethodError, match=r"200 of 200 groups have no more .* \(2\), .* 195 more"):
        fit_measurement_model(table, MODEL, by=pd.Series(np.arange(400) // 2))
    with pytest.raises(DataError, match="q1"):
        fit_measurement_model(table.assign(q1="often"), MODEL)
    with pytest.raises(MethodError, match="f"):
        fit_measurement_model(table, "f =~ q1 + q2")
    with pytest.raises(SpecError, match="must be a Survey or a DataFrame, not ndarray"):
        fit_measurement_model(table[NAMES].to_numpy(), MODEL)
    survey = Survey(table, book(), SurveyDesign(psu="v"))
    with pytest.raises(SpecError, match="those of a Survey are the PSUs"):
        fit_measurement_model(survey, clusters="v")
    found = fit_measurement_model(table, MODEL)
    with pytest.raises(SpecError, match="kind: must be loadings or path"):
        found.plot(kind="paths")


def test_the_model_of_a_codebook():
    formative = Codebook(tuple(Indicator(name, dimension="d") for name in NAMES))
    with pytest.raises(SpecError, match="no dimension of the codebook has three items"):
        default_model(formative)
    odd = ("q 1", "q2", "q3")
    items = tuple(Indicator(name, dimension="d", measurement="reflective") for name in odd)
    with pytest.raises(SpecError, match="items 'q 1' cannot be named in a model"):
        default_model(Codebook(items))
