from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.invariance import Invariance, assess_invariance
from lgpi_research.invariance_steps import verdict
from lgpi_research.methods.latent.fit import fit_model
from lgpi_research.methods.latent.solution import compare_fits
from lgpi_research.results import load_result
from lgpi_research.survey import Survey, SurveyDesign

NAMES = ["q1", "q2", "q3", "q4", "q5"]
MODEL = "voice =~ q1 + q2 + q3 + q4 + q5"
LOADINGS = np.array([0.9, 0.8, 0.7, 0.8, 0.9])


def answers(
    means: tuple[float, ...] = (0.0, 0.4),
    n: int = 500,
    *,
    shift: float = 0.0,
    turn: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Groups whose factor has these means and variance 1.

    In the last group, the intercept of q2 is `shift` higher and the loading of q4 `turn`.
    """
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(len(means)), n)
    last = group == len(means) - 1
    trait = np.array(means)[group] + rng.normal(size=len(group))
    loadings = LOADINGS + turn * np.outer(last, np.arange(5) == 3)
    values = trait[:, None] * loadings + 0.7 * rng.normal(size=(len(group), 5))
    values[:, 1] += shift * last
    table = pd.DataFrame(values, columns=NAMES)
    return table.assign(land=[f"g{i:02d}" for i in group], v=np.arange(len(group)) // 10)


@pytest.fixture(scope="module")
def alike() -> Invariance:
    return assess_invariance(answers(), "land", MODEL)


@pytest.fixture(scope="module")
def shifted() -> Invariance:
    return assess_invariance(answers(shift=0.6), "land", MODEL)


def test_groups_that_are_alike_may_be_compared(alike):
    assert alike.frame["step"].tolist() == ["configural", "metric", "scalar", "residual"]
    assert alike.frame["df"].tolist() == [10, 14, 18, 23]
    assert set(alike.frame["verdict"]) == {"holds"}
    assert alike.headline() == (
        "The 2 groups may be compared on means of voice: equal loadings and intercepts fit by "
        "the guides."
    )


def test_latent_means_are_in_deviations_of_the_first_group(alike):
    table = alike.latent_means().set_index("group")
    assert table.loc["g00", "estimate"] == 0
    assert np.isnan(table.loc["g00", "std_error"])
    assert abs(table.loc["g01", "estimate"] - 0.4) < 3 * table.loc["g01", "std_error"]
    assert table.loc["g01", "ci_low"] < 0.4 < table.loc["g01", "ci_high"]
    assert_allclose(table["std_deviation"], 1, atol=0.15)


@pytest.mark.parametrize("estimator", ["ML", "MLR"])
def test_steps_are_the_models_with_a_marker(estimator):
    table = answers()
    found = assess_invariance(table, "land", MODEL, estimator=estimator)
    fits = [
        fit_model(
            MODEL,
            table[NAMES],
            NAMES,
            groups=table["land"],
            estimator=estimator,
            equal=("loadings", "intercepts", "residuals")[:count],
        )
        for count in range(4)
    ]
    robust = estimator == "MLR"
    for row, fit in zip(found.frame.to_dict("records"), fits, strict=True):
        test = fit.measures.scaled.test if robust else fit.measures.test
        assert_allclose(row["chi_squared"], test.statistic, rtol=1e-5)
        cfi = fit.measures.scaled.cfi_robust if robust else fit.measures.cfi
        assert_allclose(row["cfi"], cfi, atol=1e-6)
        assert_allclose(row["srmr"], fit.measures.srmr, rtol=1e-5)
    for number in (1, 2, 3):
        test = compare_fits(fits[number - 1], fits[number])
        row = found.frame.iloc[number]
        assert_allclose(row["difference"], test.statistic, rtol=1e-4)
        assert_allclose(row["difference_p"], test.p_value, rtol=1e-3)
    mean = fits[2].value("voice ~1", 2) / np.sqrt(fits[2].value("voice ~~ voice", 1))
    assert_allclose(found.latent_means()["estimate"].iloc[1], mean, rtol=1e-5)


def test_it_agrees_with_lavaan():
    """lavaan 0.6-14: cfa(…, std.lv = TRUE, group.equal = …), lavTestLRT, lavTestScore."""
    table = pd.read_csv(Path(__file__).parent / "reference" / "data" / "latent.csv")
    model = "f =~ x1 + x2 + x3 + x4\ng =~ x5 + x6 + x7"
    found = assess_invariance(table, "region", model, steps=("loadings", "intercepts"))
    metric, scalar = found.frame.iloc[1], found.frame.iloc[2]
    assert_allclose(metric[["cfi", "rmsea"]].to_list(), [0.977871176, 0.0528728102], atol=1e-6)
    assert_allclose(scalar[["cfi", "rmsea"]].to_list(), [0.975818959, 0.0503689341], atol=1e-6)
    assert_allclose([metric["srmr"], scalar["srmr"]], [0.0544266639, 0.0588181708], rtol=1e-4)
    assert_allclose(scalar["difference"], 11.78057, rtol=1e-4)
    assert_allclose(scalar["difference_p"], 0.30001, rtol=1e-3)
    means = found.latent_means()
    later = means[means["group"] != "north"]
    truth = [0.0894844178, -0.149988293, 0.298157664, 0.325297994]
    errors = [0.131773857, 0.132726086, 0.138291502, 0.141437978]
    assert_allclose(later["estimate"], truth, atol=1e-5)
    assert_allclose(later["std_error"], errors, rtol=1e-4)
    top = found.releases("scalar").head(2)
    assert (top["parameter"] + " " + top["group"]).tolist() == ["x7 ~1 west", "x7 ~1 south"]
    assert_allclose(top["index"], [4.994, 4.036], atol=1e-3)


@pytest.mark.slow
def test_intervals_of_latent_means_hold_the_truth_under_partial_invariance():
    hits = 0
    for seed in range(200):
        table = answers(n=200, shift=0.6, seed=seed)
        found = assess_invariance(
            table, "land", MODEL, steps=("loadings", "intercepts"), partial=["q2 ~1"]
        )
        mean = found.latent_means().iloc[1]
        hits += mean["ci_low"] < 0.4 < mean["ci_high"]
    assert 0.91 <= hits / 200 <= 0.985


def test_an_intercept_that_differs_is_found_and_may_be_released(shifted):
    assert shifted.frame["verdict"].tolist()[:3] == ["holds", "holds", "fails"]
    assert shifted.headline().startswith("The 2 groups may not be compared on means of voice")
    top = shifted.releases("scalar").iloc[0]
    assert (top["parameter"], top["group"]) == ("q2 ~1", "g01")
    assert abs(top["change"] - 0.6) < 0.2
    freed = assess_invariance(answers(shift=0.6), "land", MODEL, partial=[top["parameter"]])
    assert set(freed.frame["verdict"]) == {"holds"}
    assert "under partial invariance (free: q2 ~1); not on sums" in freed.headline()
    mean = freed.latent_means().iloc[1]
    assert mean["ci_low"] < 0.4 < mean["ci_high"]
    assert abs(shifted.latent_means().iloc[1]["estimate"] - 0.4) > abs(mean["estimate"] - 0.4)
    assert "Byrne1989" in freed.references


def test_one_equal_item_is_not_enough():
    partial = ["q1 ~1", "q2 ~1", "voice =~ q3", "q4 ~1"]
    found = assess_invariance(answers(), "land", MODEL, partial=partial)
    assert found.headline().startswith(
        "The 2 groups may not be compared on means of voice: fewer than two items of each are held"
    )


def test_a_loading_that_differs_ends_all_comparison():
    found = assess_invariance(answers(turn=-0.8), "land", MODEL, steps=["loadings"])
    assert found.frame["verdict"].tolist() == ["holds", "fails"]
    assert "neither in means nor in relations" in found.headline()
    assert found.releases().iloc[0]["parameter"] == "voice =~ q4"
    assert found.latent_means().empty
    assert found.plot().get_title(loc="left") == "What equality costs"
    with pytest.raises(SpecError, match="latent means need the step 'intercepts'"):
        found.plot(kind="means")


def test_without_intercepts_nothing_is_known_of_means():
    found = assess_invariance(answers(), "land", MODEL, steps=["loadings"])
    assert "equal intercepts were not tried" in found.headline()


def test_a_model_that_does_not_fit_ends_all_comparison():
    table = answers()
    rng = np.random.default_rng(1)
    other = rng.normal(size=len(table))
    for name in ("q1", "q2", "q3"):
        table[name] = table[name] + 0.9 * other
    table["q6"] = other + rng.normal(size=len(table))
    found = assess_invariance(table, "land", MODEL + " + q6", steps=["loadings"])
    assert found.frame["verdict"].iloc[0] == "fails"
    assert "does not fit even where nothing is held equal" in found.headline()


def test_three_items_leave_the_first_step_without_a_verdict():
    found = assess_invariance(answers(n=2000), "land", "voice =~ q1 + q2 + q3")
    assert found.frame["df"].tolist() == [0, 2, 4, 7]
    assert found.frame["verdict"].tolist() == ["cannot be judged", *["holds"] * 3]
    assert any("fits whatever the answers are" in note for note in found.notes)


def test_many_groups_have_guides_of_their_own():
    found = assess_invariance(
        answers(tuple(np.linspace(-0.5, 0.5, 10)), n=120),
        "land",
        MODEL,
        steps=("loadings", "intercepts"),
        estimator="ML",
    )
    assert found.details["guides"] == "many"
    assert "RutkowskiSvetina2014" in found.references
    assert found.frame["verdict"].tolist() == ["holds"] * 3
    means = found.latent_means()["estimate"].to_numpy()
    assert_allclose(means, np.linspace(0, 1, 10), atol=0.45)
    assert len(found.plot(kind="changes").get_yticks()) == 4  # none of SRMR


def test_verdicts():
    rules = [
        ((False, False, False), 0.0, "holds"),
        ((True, True, False), 0.01, "fails"),
        ((True, False, True), 0.01, "fails"),
        ((True, True, True), 0.2, "in doubt"),
        ((True, False, False), 0.01, "in doubt"),
        ((False, True, False), 0.01, "in doubt"),
        ((False, True, True), 0.2, "holds"),
        ((True, True, False), np.nan, "fails"),
    ]
    for beyond, p_value, wanted in rules:
        told = dict(zip(("cfi", "rmsea", "srmr"), beyond, strict=True))
        assert verdict(told, p_value) == wanted


def test_clusters_of_a_survey_and_missing_answers():
    table = answers().assign(q3=lambda frame: -frame["q3"])
    table.loc[::20, "q1"] = np.nan
    items = tuple(
        Indicator(
            name,
            dimension="voice",
            measurement="reflective",
            direction="negative" if name == "q3" else "positive",
        )
        for name in NAMES
    )
    survey = Survey(table, Codebook(items), SurveyDesign(psu="v"))
    found = assess_invariance(survey, "land", steps=("loadings", "intercepts"))
    same = assess_invariance(
        answers().assign(q1=table["q1"]),
        "land",
        MODEL,
        steps=("loadings", "intercepts"),
        clusters="v",
    )
    pd.testing.assert_frame_equal(found.frame, same.frame)
    assert found.details["n_dropped"] == 50
    assert "50 of 1000 respondents left out because an answer is missing." in found.notes
    every = assess_invariance(survey, "land", steps=["loadings"], missing="fiml", estimator="ML")
    assert every.details["n_used"] == 1000
    assert every.releases().empty
    assert any("drawn in clusters" in note for note in every.notes)


def test_words_file_and_pictures(alike, tmp_path):
    for key in ("Meredith1993", "SatorraBentler2001", "Chen2007"):
        assert key in alike.references
    assert alike.summary()["verdict"].tolist() == ["holds"] * 4
    assert alike.plot().get_title(loc="left") == "Latent means: voice"
    assert alike.plot(factor="voice").get_xlabel().startswith("standard deviations of g00")
    assert len(alike.plot(kind="changes").get_yticks()) == 9
    back = load_result(alike.save(tmp_path / "i.parquet"))
    assert isinstance(back, Invariance)
    assert repr(back) == repr(alike)
    pd.testing.assert_frame_equal(back.latent_means(), alike.latent_means())
    pd.testing.assert_frame_equal(back.releases(), alike.releases())
    assert assess_invariance(answers(), "land", MODEL).digest() == alike.digest()


def test_bad_input(alike):
    table = answers(n=60)
    with pytest.raises(MethodError, match="equal thresholds of ordered items"):
        assess_invariance(table, "land", MODEL, ordered=True)
    with pytest.raises(SpecError, match=r"steps: must be the first of .* got \['intercepts'\]"):
        assess_invariance(table, "land", MODEL, steps=["intercepts"])
    with pytest.raises(SpecError, match="all respondents are of the group 'x'"):
        assess_invariance(table.assign(land="x"), "land", MODEL)
    with pytest.raises(SpecError, match="leave regressions"):
        assess_invariance(table, "land", f"{MODEL}\nvoice ~ v")
    with pytest.raises(SpecError, match="by: no columns have the name 'lnad'"):
        assess_invariance(table, "lnad", MODEL)
    with pytest.raises(SpecError, match="estimator: must be ML or MLR, got 'WLSMV'"):
        assess_invariance(table, "land", MODEL, estimator="WLSMV")
    with pytest.raises(SpecError, match="'q2 ~ 1' is no parameter"):
        assess_invariance(table, "land", MODEL, partial=["q2 ~ 1"])
    with pytest.raises(SpecError, match="clusters need estimator='MLR'"):
        assess_invariance(table, "land", MODEL, clusters="v", estimator="ML")
    with pytest.raises(SpecError, match="level must lie between 0 and 1"):
        assess_invariance(table, "land", MODEL, level=95)
    with pytest.raises(DataError, match="no respondent has a group"):
        assess_invariance(table.assign(land=None), "land", MODEL)
    few = table.assign(land=np.where(table.index < 2, "tiny", table["land"]))
    with pytest.raises(MethodError, match=r"1 of 3 groups have no more .* \(5\): tiny \(2\)\."):
        assess_invariance(few, "land", MODEL)
    with pytest.raises(SpecError, match=r"step: no 'scaler'\. Did you mean 'scalar'"):
        alike.releases("scaler")
    with pytest.raises(SpecError, match="kind: must be changes or means"):
        alike.plot(kind="mean values")
    with pytest.raises(SpecError, match="factor: no 'vice'"):
        alike.plot(kind="means", factor="vice")
