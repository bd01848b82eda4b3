from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.indicators import Indicators
from lgpi_research.methods.consistency import alpha, feldt_interval
from lgpi_research.methods.replicates import jackknife, rao_wu
from lgpi_research.moments import Moments, Scale
from lgpi_research.registry import use
from lgpi_research.reliability import (
    INTERVALS,
    Reliability,
    assess_reliability,
    replicate_coefficients,
)
from lgpi_research.results import load_result
from lgpi_research.simulate import simulate_survey
from lgpi_research.streams import stream
from lgpi_research.survey import Survey, SurveyDesign


@pytest.fixture(scope="module")
def survey() -> Survey:
    return simulate_survey(10, 4, 12, 5, n_strata=2, unequal_weights=True, seed=1).survey


@pytest.fixture(scope="module")
def found(survey: Survey) -> Reliability:
    return assess_reliability(survey, n_draws=300, seed=0)


def two_dimensions(survey: Survey) -> Survey:
    items = (
        Indicator("q1", dimension="voice", measurement="reflective"),
        Indicator("q2", dimension="voice", measurement="reflective"),
        Indicator("q3", dimension="services", measurement="formative"),
        Indicator("q4", dimension="services", measurement="formative"),
        Indicator("q5", dimension="services", measurement="formative"),
    )
    return Survey(survey.frame, Codebook(items), survey.design)


def row(result: Reliability, coefficient: str, kind: str) -> pd.Series:
    table = result.frame
    chosen = table[(table["coefficient"] == coefficient) & (table["interval"] == INTERVALS[kind])]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_every_coefficient_with_every_interval(found):
    assert found.frame[["coefficient", "interval"]].to_numpy().tolist() == [
        ["alpha", INTERVALS["jackknife"]],
        ["alpha", INTERVALS["bootstrap"]],
        ["alpha", INTERVALS["feldt"]],
        ["omega", INTERVALS["jackknife"]],
        ["omega", INTERVALS["bootstrap"]],
    ]
    assert set(found.frame["n_used"]) == {480}
    assert set(found.frame["n_clusters"]) == {40}
    assert set(found.frame["measurement"]) == {"reflective"}


def test_jackknife_t_by_hand(survey, found):
    moments = survey.moments()
    multipliers, shrink = jackknife(moments.strata)
    replicates = alpha(moments.spread("scale", moments.replicate(multipliers)))
    estimate = float(alpha(moments.spread("scale")))
    logs, middle = np.log(1 - replicates), np.log(1 - estimate)
    reach = stats.t.ppf(0.975, 38) * np.sqrt((shrink * (logs - middle) ** 2).sum())
    told = row(found, "alpha", "jackknife")
    assert told["df"] == 38
    assert_allclose(told["estimate"], estimate, rtol=1e-12)
    assert_allclose(told["ci_low"], 1 - np.exp(middle + reach), rtol=1e-9)
    assert_allclose(told["ci_high"], 1 - np.exp(middle - reach), rtol=1e-9)
    error = np.sqrt((shrink * (replicates - estimate) ** 2).sum())
    assert_allclose(told["std_error"], error, rtol=1e-9)


def test_percentiles_by_hand(survey, found):
    moments = survey.moments()
    rng = stream(0, "bootstrap", 0)
    draws = np.concatenate([rao_wu(rng, moments.strata, 128) for _ in range(3)])[:300]
    replicates = alpha(moments.spread("scale", moments.replicate(draws)))
    told = row(found, "alpha", "bootstrap")
    assert_allclose(told["ci_low"], np.quantile(replicates, 0.025), rtol=1e-9)
    assert_allclose(told["ci_high"], np.quantile(replicates, 0.975), rtol=1e-9)
    assert_allclose(told["std_error"], replicates.std(ddof=1), rtol=1e-9)


def test_feldt_by_hand(found):
    told = row(found, "alpha", "feldt")
    low, high = feldt_interval(told["estimate"], 480, 5)
    assert (told["ci_low"], told["ci_high"]) == (low, high)


def test_survey_moments_and_file_agree(survey, found, tmp_path):
    moments = survey.moments()
    path = moments.save(tmp_path / "m.parquet")
    for data in (moments, Moments.load(path)):
        other = assess_reliability(data, n_draws=300, seed=0)
        pd.testing.assert_frame_equal(other.frame, found.frame, check_exact=True)


def test_incomplete_respondents_count_as_never_asked(survey):
    frame = survey.frame.copy()
    frame.loc[frame.index[::7], "q2"] = np.nan
    book, design = survey.codebook, survey.design
    full, complete = (
        assess_reliability(Survey(part, book, design), n_draws=200, seed=0)
        for part in (frame, frame.dropna(subset=["q2"]))
    )
    columns = ["estimate", "std_error", "ci_low", "ci_high", "df", "n_used"]
    assert_allclose(full.frame[columns], complete.frame[columns], rtol=1e-9)
    assert full.frame["n_dropped"].iloc[0] == 69
    assert any("69 of 480 respondents set aside" in note for note in full.notes)


def test_pairwise_uses_every_answer(survey):
    frame = survey.frame.copy()
    frame.loc[frame.index[::7], "q2"] = np.nan
    data = Survey(frame, survey.codebook, survey.design)
    told = assess_reliability(data, missing="pairwise", n_draws=100, seed=0)
    assert set(told.frame["n_used"]) == {480}
    assert row(told, "alpha", "feldt")["df"] == 480 - 69 - 1


def test_more_draws_extend_fewer_and_workers_do_not_matter(survey):
    moments = survey.moments()
    wanted = {("scale", "alpha"): alpha}
    few, many, shared = (
        replicate_coefficients(moments, wanted, kind="bootstrap", n_draws=n, seed=0, n_jobs=jobs)
        for n, jobs in ((300, 1), (2500, 1), (2500, 2))
    )
    key = ("scale", "alpha")
    assert_array_equal(many[key][:300], few[key])
    assert_array_equal(many[key], shared[key])
    other = replicate_coefficients(moments, wanted, kind="bootstrap", n_draws=300, seed=1)
    assert (other[key] != few[key]).all()


def test_jackknife_has_one_replicate_for_each_cluster(survey):
    moments = survey.moments()
    found = replicate_coefficients(moments, {("scale", "alpha"): alpha}, kind="jackknife")
    multipliers, _ = jackknife(moments.strata)
    expected = alpha(moments.spread("scale", moments.replicate(multipliers)))
    assert_allclose(found["scale", "alpha"], expected, rtol=1e-10)


def test_the_same_seed_gives_the_same_result_with_one_worker_and_two(survey):
    results = [
        assess_reliability(survey, n_draws=1500, seed=0, n_jobs=jobs).digest() for jobs in (1, 2, 1)
    ]
    assert len(set(results)) == 1


def test_a_fresh_seed_is_recorded(survey):
    first = assess_reliability(survey, coefficients=["alpha"], n_draws=50)
    again = assess_reliability(
        survey, coefficients=["alpha"], n_draws=50, seed=first.provenance["seed"]
    )
    assert first.digest() == again.digest()


def test_answers_scored_the_other_way_are_reversed(survey, found):
    frame = survey.frame.assign(q3=6 - survey.frame["q3"])
    items = tuple(
        Indicator(
            item.name,
            dimension="scale",
            direction="negative" if item.name == "q3" else "positive",
            measurement="reflective",
        )
        for item in survey.codebook
    )
    turned = Survey(frame, Codebook(items), survey.design)
    right = assess_reliability(turned, n_draws=100, seed=0)
    assert_allclose(
        row(right, "alpha", "jackknife")[["estimate", "ci_low"]].astype(float),
        row(found, "alpha", "jackknife")[["estimate", "ci_low"]].astype(float),
        rtol=1e-9,
    )
    wrong = assess_reliability(Survey(frame, survey.codebook, survey.design), n_draws=100, seed=0)
    assert any("q3 (-0." in note and "negatively" in note for note in wrong.notes)


def test_a_scale_for_each_dimension(survey):
    told = assess_reliability(two_dimensions(survey), n_draws=100, seed=0)
    assert told.frame["dimension"].unique().tolist() == ["voice", "services"]
    assert any(n.startswith("voice: omega is left out: at least 3 items") for n in told.notes)
    assert any("services is formative" in note for note in told.notes)
    assert not any("voice is formative" in note for note in told.notes)
    # Only voice is reflective, so only its consistency is evidence.
    assert told.headline().startswith("voice: alpha is 0.")
    first = two_dimensions(survey)
    agree = Codebook(tuple(replace(item, measurement="reflective") for item in first.codebook))
    both = assess_reliability(Survey(first.frame, agree, first.design), n_draws=100, seed=0)
    assert both.headline().startswith("Alpha ranges from 0.")
    assert "over 2 dimensions" in both.headline()


def test_items_table(survey, found):
    table = found.items()
    assert table["indicator"].tolist() == list(survey.codebook.names)
    without = assess_reliability(
        survey.moments(["q2", "q3", "q4", "q5"]), coefficients=["alpha"], n_draws=10, seed=0
    )
    assert_allclose(table["alpha_if_dropped"][0], without.frame["estimate"][0], rtol=1e-10)
    assert (table["item_rest_r"] > 0.3).all()


def test_words_tables_and_pictures(found, tmp_path):
    told = row(found, "alpha", "jackknife")
    assert found.headline() == (
        f"scale: alpha is {told['estimate']:.2f} (95 % interval {told['ci_low']:.2f} to "
        f"{told['ci_high']:.2f}, jackknife-t)."
    )
    assert found.summary()["interval"].tolist() == [INTERVALS["jackknife"]] * 2
    text = found.methods_text()
    for key in ("Cronbach1951", "McDonald1999", "RaoWu1988", "Feldt1987"):
        assert f"@{key}" in text
        assert key in found.references
    ax = found.plot()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["scale: alpha", "scale: omega"]
    back = load_result(found.save(tmp_path / "r.parquet"))
    assert isinstance(back, Reliability)
    pd.testing.assert_frame_equal(back.frame, found.frame)
    assert repr(back) == repr(found)
    pd.testing.assert_frame_equal(back.items(), found.items())


def test_the_summary_shows_the_interval_that_was_asked_for(survey):
    told = assess_reliability(survey, interval="feldt", n_draws=50, seed=0)
    # Omega has no such interval, and shows its first.
    assert told.summary()["interval"].tolist() == [INTERVALS["feldt"], INTERVALS["jackknife"]]


def test_other_coefficients_by_name_and_function(survey):
    names = ["lambda6", "average_r", "standardised_alpha", "omega_total"]
    told = assess_reliability(survey, coefficients=names, n_draws=20, seed=0)
    assert told.summary()["coefficient"].tolist() == names
    assert told.frame["ci_low"].notna().all()
    own = assess_reliability(survey, coefficients=[alpha, use("alpha")], n_draws=20, seed=0)
    assert own.summary()["coefficient"].unique().tolist() == ["alpha"]


def indicator_table() -> Indicators:
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(12), 8)
    true = rng.normal(size=12)[group] * 2 + rng.normal(size=96)
    errors = rng.uniform(0.3, 0.8, 96)
    frame = pd.DataFrame(
        {
            "place": [f"p{i}" for i in range(96)],
            "country": group,
            "score": true + errors * rng.normal(size=96),
            "error": errors,
            "a": true + rng.normal(size=96),
            "b": true + rng.normal(size=96),
            "c": 50 * (true + rng.normal(size=96)),
        }
    )
    book = Codebook(
        (
            Indicator("score"),
            Indicator("a", dimension="d"),
            Indicator("b", dimension="d"),
            Indicator("c", dimension="d"),
        )
    )
    return Indicators.from_table(
        frame, book, unit="place", group="country", std_errors={"score": "error"}
    )


def test_units_stand_for_respondents_and_groups_for_clusters():
    data = indicator_table()
    told = assess_reliability(data, n_draws=100, seed=0)
    inner = told.frame[told.frame["dimension"] == "d"]
    assert set(inner["n_used"]) == {96}
    assert set(inner["n_clusters"]) == {12}
    assert any("the 12 groups are the clusters" in note for note in told.notes)
    assert any("differ by a factor of" in note for note in told.notes)
    alone = Indicators(data.values, data.codebook)
    other = assess_reliability(alone, coefficients=["alpha"], n_draws=100, seed=0)
    assert set(other.frame["n_clusters"]) == {96}
    assert any("each unit is a cluster" in note for note in other.notes)


def test_reliability_of_unit_scores_overall_and_within_groups():
    told = assess_reliability(indicator_table(), coefficients=(), seed=0)
    assert (
        told.frame["coefficient"].tolist()
        == [
            "unit reliability (mean)",
            "unit reliability (squared correlation)",
        ]
        * 2
    )
    assert told.frame["scope"].tolist() == ["overall"] * 2 + ["within groups"] * 2
    overall, within = told.frame["estimate"].to_numpy()[[1, 3]]
    # True variance 4 + 1 overall and 1 within, mean squared error about 0.32.
    assert_allclose(overall, 5 / 5.32, atol=0.05)
    assert_allclose(within, 1 / 1.32, atol=0.12)
    assert told.details["reliability"] == overall
    assert told.headline() == (
        f"score: reliability of the units' scores is {overall:.2f}, {within:.2f} within groups."
    )
    assert "RaudenbushSampson1999" in told.references
    assert any("of the true variance lies between groups" in note for note in told.notes)
    assert told.provenance["seed"] is None


def test_units_without_errors_are_set_aside_and_counted():
    data = indicator_table()
    errors = data.std_errors.copy()
    errors.iloc[0, 0] = np.nan
    errors.iloc[1, 0] = 0.0
    changed = Indicators(data.values, data.codebook, errors)
    told = assess_reliability(changed, coefficients=(), seed=0)
    assert told.frame["n_used"].tolist() == [94, 94]
    assert told.frame["n_dropped"].tolist() == [2, 2]
    assert any("2 of 96 units set aside" in n and "1 of 0" in n for n in told.notes)


def test_scores_that_are_all_error():
    rng = np.random.default_rng(3)
    index = pd.Index(range(30), name="place")
    values = pd.DataFrame({"s": rng.normal(size=30) * 0.1}, index)
    errors = pd.DataFrame({"s": np.ones(30)}, index)
    told = assess_reliability(Indicators(values, Codebook((Indicator("s"),)), errors), seed=0)
    assert (told.frame["estimate"] == 0).all()
    assert any("the reliability is set to 0" in note for note in told.notes)


def answers(columns: dict[str, object], psu: object = None) -> Moments:
    frame = pd.DataFrame(columns)
    return Moments.from_answers(frame, psu=np.arange(len(frame)) if psu is None else psu)


def test_bad_items_are_all_named():
    rng = np.random.default_rng(0)
    x = rng.normal(size=30)
    frame = pd.DataFrame({"a": x, "b": x * 2, "c": rng.normal(size=30), "d": 3.0})
    moments = Moments.from_answers(
        frame.assign(e=np.nan),
        psu=np.arange(30),
        scales=[
            Scale("copies", ("a", "b", "c")),
            Scale("still", ("c", "d")),
            Scale("unanswered", ("a", "e")),
        ],
    )
    with pytest.raises(DataError) as caught:
        assess_reliability(moments, seed=0)
    text = str(caught.value)
    assert text.startswith("3 problems in the scales")
    assert "copies: a and b correlate perfectly" in text
    assert "still: d never varies" in text
    assert "unanswered: 0 respondents answered every item" in text


def test_one_item_is_nothing_to_assess():
    with pytest.raises(SpecError, match="nothing to assess"):
        assess_reliability(answers({"a": [1.0, 2.0, 3.0]}))
    book = Codebook((Indicator("a"),))
    values = pd.DataFrame({"a": [1.0, 2.0]}, pd.Index(["x", "y"], name="place"))
    with pytest.raises(SpecError, match="nothing to assess"):
        assess_reliability(Indicators(values, book))


def test_too_few_clusters():
    moments = answers({"a": [1.0, 2.0, 4.0], "b": [2.0, 2.0, 3.0]}, psu=["one"] * 3)
    with pytest.raises(MethodError, match="needs two PSUs in a stratum; there is one PSU"):
        assess_reliability(moments, coefficients=["alpha"], seed=0)


def test_a_stratum_of_one_cluster(survey):
    frame = survey.frame.copy()
    frame.loc[frame["psu"] == "psu 07", "stratum"] = "island"
    with pytest.raises(MethodError, match=r"1 of 3 strata have one PSU \(island\)"):
        assess_reliability(Survey(frame, survey.codebook, survey.design), seed=0)
    design = SurveyDesign(psu="psu", stratum="stratum", weight="weight", lonely="certainty")
    told = assess_reliability(Survey(frame, survey.codebook, design), n_draws=50, seed=0)
    assert row(told, "alpha", "jackknife")["df"] == 37


def test_clusters_without_answers_are_not_counted(survey):
    frame = survey.frame.copy()
    frame.loc[frame["psu"] == "psu 07", "q1"] = np.nan
    told = assess_reliability(Survey(frame, survey.codebook, survey.design), n_draws=50, seed=0)
    assert row(told, "alpha", "jackknife")["df"] == 37
    assert row(told, "alpha", "jackknife")["n_clusters"] == 39


def test_a_heywood_case_is_left_out_by_name():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 200))
    # What the last two share with the first, they do not share with one another.
    x = np.column_stack([first + second, first, second]) + 0.3 * rng.normal(size=(200, 3))
    moments = answers({f"q{i}": x[:, i] for i in range(3)})
    told = assess_reliability(moments, n_draws=50, seed=0)
    assert set(told.frame["coefficient"]) == {"alpha"}
    note = next(note for note in told.notes if "omega is left out" in note)
    assert "Heywood case: the uniqueness of item 1" in note
    assert note.endswith("Items in order: q0, q1, q2.")
    with pytest.raises(MethodError, match="Heywood case"):
        assess_reliability(moments, coefficients=["omega"], n_draws=50, seed=0)


def test_items_that_are_nearly_one_have_an_alpha_but_no_jackknife_interval():
    # Without the last cluster the two items are copies, so that log(1 - alpha) is lost.
    x = np.arange(12.0)
    moments = answers({"a": x, "b": np.where(x == 11, 10.0, x)}, psu=np.arange(12))
    told = assess_reliability(moments, coefficients=["alpha"], n_draws=50, seed=0)
    assert np.isnan(row(told, "alpha", "jackknife")["ci_low"])
    assert any("has no jackknife interval: 1 of 12" in note for note in told.notes)
    assert told.headline() == "all items: alpha is 1.00."


def test_items_of_two_item_scales_survive_a_file(tmp_path, survey):
    told = assess_reliability(two_dimensions(survey), n_draws=20, seed=0)
    back = load_result(told.save(tmp_path / "r.parquet"))
    assert isinstance(back, Reliability)
    pd.testing.assert_frame_equal(back.items(), told.items())


def test_replicates_without_a_solution_are_counted():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 1)) * [0.8, 0.6, 0.5] + rng.normal(size=(80, 3)) * [0.6, 0.8, 0.9]
    told = assess_reliability(
        answers({f"q{i}": x[:, i] for i in range(3)}), coefficients=["omega"], n_draws=200, seed=0
    )
    note = next(note for note in told.notes if "no proper solution in" in note)
    assert "of 200 bootstrap draws" in note


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": "jacknife"}, "Did you mean 'jackknife'"),
        ({"level": 95}, "level: must lie between 0 and 1"),
        ({"coefficients": ["alfa"]}, "Did you mean 'alpha'"),
        ({"n_draws": 0}, "whole number >= 1"),
        ({"seed": -1}, "seed must be"),
        ({"missing": "casewise"}, "missing: must be one of"),
    ],
)
def test_bad_options(survey, options, message):
    with pytest.raises(SpecError, match=message):
        assess_reliability(survey, **options)


def test_bad_data():
    with pytest.raises(SpecError, match="not of DataFrame"):
        assess_reliability(pd.DataFrame({"a": [1, 2]}))


def coverage(n_psu: int, n_samples: int, n_draws: int = 1000) -> dict[str, float]:
    """Share of 95 % intervals that hold the true alpha of a clustered population."""
    hits = dict.fromkeys(INTERVALS, 0)
    for seed in range(n_samples):
        made = simulate_survey(n_psu, 1, 15, 6, place_share=0.2, psu_share=0.0, seed=seed)
        moments = made.survey.moments(list(made.survey.codebook.names))
        told = assess_reliability(
            moments, coefficients=["alpha"], n_draws=n_draws, seed=seed, n_jobs=1
        )
        for kind in INTERVALS:
            ends = row(told, "alpha", kind)
            hits[kind] += bool(ends["ci_low"] <= made.alpha <= ends["ci_high"])
    return {kind: count / n_samples for kind, count in hits.items()}


def test_jackknife_t_covers_where_others_fall_short():
    found = coverage(20, 60, n_draws=50)
    assert abs(found["jackknife"] - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 60)
    assert found["feldt"] <= found["jackknife"]


@pytest.mark.slow
@pytest.mark.parametrize("n_psu", [20, 200])
def test_jackknife_t_covers_at_length(n_psu):
    found = coverage(n_psu, 2000)
    assert 0.93 <= found["jackknife"] <= 0.97
    assert found["feldt"] < 0.93
    assert found["bootstrap"] < found["jackknife"]
