from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.coefficients import INTERVALS, replicate_coefficients
from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.indicators import Indicators
from lgpi_research.methods.consistency import Spread, alpha, feldt_interval
from lgpi_research.methods.guttman import lambda4
from lgpi_research.methods.ordinal import ordinal_alpha
from lgpi_research.methods.polychoric import PairCounts, polychoric
from lgpi_research.methods.replicates import jackknife, rao_wu
from lgpi_research.moments import Moments, Scale
from lgpi_research.registry import resolve, use
from lgpi_research.reliability import Reliability, assess_reliability
from lgpi_research.results import load_result
from lgpi_research.simulate import simulate_survey
from lgpi_research.streams import stream
from lgpi_research.survey import Survey, SurveyDesign
from lgpi_research.units import MEAN, SHARE, SQUARED


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


def consistency(result: Reliability) -> pd.DataFrame:
    """The rows of the frame that are no reliability of units."""
    units = (MEAN, SQUARED, SHARE)
    return result.frame[~result.frame["coefficient"].isin(units)]


def row(result: Reliability, coefficient: str, kind: str) -> pd.Series:
    table = result.frame
    chosen = table[(table["coefficient"] == coefficient) & (table["interval"] == INTERVALS[kind])]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_every_coefficient_with_every_interval(found):
    inner = consistency(found)
    assert inner[["coefficient", "interval"]].to_numpy().tolist() == [
        *(["alpha", INTERVALS[kind]] for kind in ("jackknife", "rao_wu", "bootstrap", "feldt")),
        *(["omega", INTERVALS[kind]] for kind in ("jackknife", "rao_wu", "bootstrap")),
    ]
    assert set(inner["n_used"]) == {480}
    assert set(inner["n_clusters"]) == {40}
    assert set(found.frame["measurement"]) == {"reflective"}


def test_jackknife_t_by_hand(survey, found):
    moments = survey.moments()
    multipliers, shrink = jackknife(moments.strata)
    replicates = alpha(moments.spread("scale", moments.replicate(multipliers)))
    estimate = float(alpha(moments.spread("scale")))
    moved = np.log(1 - replicates) - np.log(1 - estimate)
    squares = shrink * moved**2
    df = min(38, (3.16 - 2.77 / np.sqrt(40)) * squares.sum() ** 2 / (squares**2).sum())
    middle = np.log(1 - estimate) - (shrink * moved).sum()
    reach = stats.t.ppf(0.975, df) * np.sqrt(squares.sum())
    told = row(found, "alpha", "jackknife")
    assert_allclose(told["df"], df, rtol=1e-6)
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


def test_maxima_have_the_directional_interval_by_hand(survey):
    found = assess_reliability(survey, coefficients=["lambda4", "alpha"], n_draws=300, seed=0)
    kinds = consistency(found).groupby("coefficient")["interval"].agg(list)
    assert kinds["lambda4"] == [INTERVALS[k] for k in ("directional", "rao_wu", "bootstrap")]
    assert INTERVALS["directional"] not in kinds["alpha"]
    assert found.summary()["interval"].tolist()[:2] == [
        INTERVALS["directional"],
        INTERVALS["jackknife"],
    ]
    assert "numerical delta method" in found.methods_text()
    moments = survey.moments()
    rng = stream(0, "bootstrap", 0)
    draws = np.concatenate([rao_wu(rng, moments.strata, 128) for _ in range(3)])[:300]
    stretch = (480 / 20) ** 0.25
    sums = moments.replicate(1 + stretch * (draws - 1))
    estimate = float(lambda4(moments.spread("scale")))
    replicates = lambda4(moments.spread("scale", sums))
    moved = (np.log(1 - replicates) - np.log(1 - estimate)) / stretch
    low, high = np.quantile(moved, [0.025, 0.975])
    told = row(found, "lambda4", "directional")
    multipliers, shrink = jackknife(moments.strata)
    squares = shrink * np.square(
        np.log(1 - lambda4(moments.spread("scale", moments.replicate(multipliers))))
        - np.log(1 - estimate)
    )
    df = min(38, (3.16 - 2.77 / np.sqrt(40)) * squares.sum() ** 2 / (squares**2).sum())
    assert_allclose(told["df"], df, rtol=1e-6)
    wider = stats.t.ppf(0.975, df) / stats.norm.ppf(0.975)
    assert_allclose(told["ci_low"], 1 - (1 - estimate) * np.exp(-wider * low), rtol=1e-9)
    assert_allclose(told["ci_high"], 1 - (1 - estimate) * np.exp(-wider * high), rtol=1e-9)
    assert_allclose(told["std_error"], replicates.std(ddof=1) / stretch, rtol=1e-9)
    # A chosen split is smooth: the estimate of the best of several lies above the middle.
    assert told["ci_high"] - told["estimate"] < told["estimate"] - told["ci_low"]


def test_stretched_draws_without_an_answer_are_counted(survey):
    small = survey.moments().among(np.arange(40) < 4)
    found = assess_reliability(small, coefficients=["glb", "lambda5"], n_draws=200, seed=0)
    told = [note for note in found.notes if "stretched bootstrap draws" in note]
    assert len(told) == 1
    assert "glb has no proper solution in" in told[0]


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
    share = full.frame[full.frame["coefficient"] == SHARE].iloc[0]
    assert (share["n_used"], share["n_dropped"]) == (411, 69)
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
    places = found.frame[found.frame["coefficient"] == SQUARED].set_index("scope")["estimate"]
    assert found.headline() == (
        f"scale: alpha is {told['estimate']:.2f} (95 % interval {told['ci_low']:.2f} to "
        f"{told['ci_high']:.2f}, jackknife-t). scale: reliability of the units' scores is "
        f"{places['overall']:.2f}, {places['within groups']:.2f} within groups."
    )
    assert found.summary()["interval"].tolist()[:2] == [INTERVALS["jackknife"]] * 2
    assert set(found.summary()["evidence"]) == {"yes"}
    text = found.methods_text()
    for key in ("Cronbach1951", "McDonald1999", "RaoWu1988", "Feldt1987"):
        assert f"@{key}" in text
        assert key in found.references
    ax = found.plot()
    drawn = [t.get_text().replace("\n", " ") for t in ax.get_yticklabels()]
    assert drawn[:2] == ["scale: alpha", "scale: omega"]
    back = load_result(found.save(tmp_path / "r.parquet"))
    assert isinstance(back, Reliability)
    pd.testing.assert_frame_equal(back.frame, found.frame)
    assert repr(back) == repr(found)
    pd.testing.assert_frame_equal(back.items(), found.items())


def test_the_summary_shows_the_interval_that_was_asked_for(survey):
    told = assess_reliability(survey, interval="feldt", n_draws=50, seed=0)
    # Omega has no such interval, and shows its first.
    shown = told.summary()["interval"].tolist()
    assert shown[:2] == [INTERVALS["feldt"], INTERVALS["jackknife"]]


def test_other_coefficients_by_name_and_function(survey):
    names = ["lambda6", "average_r", "standardised_alpha", "omega_total"]
    told = assess_reliability(survey, coefficients=names, n_draws=20, seed=0)
    assert told.summary()["coefficient"].tolist()[:4] == names
    assert told.frame["ci_low"].notna().all()
    own = assess_reliability(survey, coefficients=[alpha, use("alpha")], n_draws=20, seed=0)
    assert consistency(own)["coefficient"].unique().tolist() == ["alpha"]


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
    assert row(told, "alpha", "rao_wu")["df"] == 37


def test_clusters_without_answers_are_not_counted(survey):
    frame = survey.frame.copy()
    frame.loc[frame["psu"] == "psu 07", "q1"] = np.nan
    told = assess_reliability(Survey(frame, survey.codebook, survey.design), n_draws=50, seed=0)
    assert row(told, "alpha", "rao_wu")["df"] == 37
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
    with pytest.raises(SpecError, match="not of list"):
        assess_reliability([[1, 2], [2, 1]])


def test_a_plain_table_must_say_what_its_items_are(survey):
    table = survey.frame[list(survey.codebook.names)]
    with pytest.raises(SpecError, match="say 'reflective' if the items are consequences"):
        assess_reliability(table)
    told = assess_reliability(table, measurement="reflective", n_draws=50, seed=0)
    moments = Moments.from_answers(table, psu=np.arange(len(table)))
    assert_allclose(row(told, "alpha", "jackknife")["estimate"], alpha(moments.spread()))
    assert row(told, "alpha", "jackknife")["n_clusters"] == len(table)
    with pytest.raises(SpecError, match="the codebook says it"):
        assess_reliability(survey, measurement="reflective")


def test_groups_are_assessed_one_by_one(survey):
    frame = survey.frame.assign(sex=np.where(np.arange(len(survey)) % 3 == 0, "f", "m"))
    data = Survey(frame, survey.codebook, survey.design)
    told = assess_reliability(data, by="sex", n_draws=50, seed=0)
    assert told.frame["group"].unique().tolist() == ["all", "f", "m"]
    alone = Survey(frame[frame["sex"] == "f"], survey.codebook, survey.design)
    women = assess_reliability(alone, n_draws=50, seed=0)
    mine = told.frame[(told.frame["group"] == "f") & (told.frame["coefficient"] == "alpha")]
    mine = mine[mine["interval"] == INTERVALS["jackknife"]].iloc[0]
    for column in ("estimate", "ci_low", "ci_high", "df", "n_used"):
        assert_allclose(mine[column], row(women, "alpha", "jackknife")[column], rtol=1e-9)
    assert "By sex, alpha of scale ranges from" in told.headline()
    labels = [t.get_text() for t in told.plot().get_yticklabels()]
    assert labels == ["all", "f", "m"]


def test_groups_of_moments_are_groups_of_clusters(survey):
    moments = survey.moments()
    told = assess_reliability(moments, by="stratum", n_draws=50, seed=0)
    one = told.frame[told.frame["group"] == "stratum 1"]
    part = survey.frame[survey.frame["stratum"] == "stratum 1"]
    alone = assess_reliability(
        Survey(part, survey.codebook, survey.design), n_draws=50, seed=0
    ).frame
    columns = ["estimate", "std_error", "ci_low", "ci_high"]
    assert_allclose(one[columns].to_numpy()[:5], alone[columns].to_numpy()[:5], rtol=1e-9)


def test_groups_without_an_answer_are_left_out_by_name(survey):
    frame = survey.frame.assign(part="most")
    frame.loc[frame.index[:3], "part"] = "few"
    frame.loc[frame.index[3:6], "part"] = [None, "", " "]
    frame.loc[frame["part"] == "few", "q1"] = 3
    data = Survey(frame, survey.codebook, survey.design)
    told = assess_reliability(data, by="part", n_draws=50, seed=0)
    assert told.frame["group"].unique().tolist() == ["all", "most"]
    assert any(note.startswith("Left out, few: ") and "q1 never varies" in note
               for note in told.notes)  # fmt: skip
    assert any("3 of 480 respondents have no group" in note for note in told.notes)
    with pytest.raises(SpecError, match=r"there is no column 'prat'\. Did you mean 'part'"):
        assess_reliability(data, by="prat", seed=0)
    with pytest.raises(SpecError, match="3 labels for 480 rows"):
        assess_reliability(data, by=pd.Series(["a", "b", "c"]), seed=0)


def test_words_name_every_coefficient_and_its_source(survey):
    names = ["standardised_alpha", "omega_total", "average_r", "lambda4", "ten_berge", "glb"]
    told = assess_reliability(survey, coefficients=names, n_draws=30, seed=0)
    text = told.methods_text()
    assert not [name for name in names if name in text]
    assert "polychoric" not in text
    for key in ("McDonald1999", "Guttman1945", "TenBergeZegers1978", "JacksonAgunwamba1977"):
        assert f"@{key}" in text
        assert key in told.references


def test_ordered_answers_come_from_pair_counts(survey, tmp_path):
    told = assess_reliability(
        survey, coefficients=["alpha", "ordinal_alpha", "omega_categorical"], n_draws=30, seed=0
    )
    assert consistency(told)["coefficient"].unique().tolist() == [
        "alpha",
        "ordinal_alpha",
        "omega_categorical",
    ]
    weights = survey.roles["weight"].to_numpy()
    counts = PairCounts.from_answers(survey.values, weights=weights, categories=range(1, 6))
    estimate = row(told, "ordinal_alpha", "jackknife")["estimate"]
    assert_allclose(estimate, float(ordinal_alpha(counts)), rtol=1e-9)
    assert (consistency(told)[["ci_low", "ci_high"]].notna()).all(axis=None)
    shown = np.array(told.details["polychoric"]["scale"]["correlation"])
    assert_allclose(shown, polychoric(counts).correlation, rtol=1e-9)
    assert "correlations of ordered answers are polychoric [@Olsson1979]" in told.methods_text()
    ax = told.plot(kind="polychoric")
    assert len(ax.texts) == 25
    pairs = survey.moments(list(survey.codebook.names), needs="pair counts")
    path = pairs.save(tmp_path / "pairs.parquet", min_respondents=1)
    again = assess_reliability(
        Moments.load(path), coefficients=["ordinal_alpha"], n_draws=30, seed=0
    )
    assert_array_equal(
        consistency(again)[["estimate", "ci_low", "ci_high"]],
        consistency(told)[consistency(told)["coefficient"] == "ordinal_alpha"][
            ["estimate", "ci_low", "ci_high"]
        ],
    )
    with pytest.raises(SpecError, match="the moments hold pair counts, and alpha"):
        assess_reliability(pairs, coefficients=["alpha"], seed=0)


def test_places_by_their_mean_scores(survey, found):
    table = found.places()
    assert table["unit"].nunique() == 10
    assert table["n_used"].sum() == 480
    frame, weight = survey.frame, survey.roles["weight"]
    score = survey.values.mean(axis=1)
    of_place = frame["place"] == table["unit"].iloc[0]
    expected = np.average(score[of_place], weights=weight[of_place])
    assert_allclose(table["score"].iloc[0], expected, rtol=1e-12)
    # The mean of a score that is one item is that of the indicators, with its error.
    single = Survey(
        frame.assign(score=score), Codebook((Indicator("score"),)), survey.design
    ).indicators(pooled=True)
    assert_allclose(single.values["score"], table["score"], rtol=1e-12)
    assert_allclose(single.std_errors["score"], table["std_error"], rtol=1e-9)
    shares = found.frame[found.frame["coefficient"] == SHARE].iloc[0]
    told = found.details["places"]["scale"]
    expected = told["true_variance"] / (told["true_variance"] + told["within_variance"])
    assert_allclose(shares["estimate"], expected)
    parts = [(score[rows], weight[rows]) for rows in frame.groupby("place").groups.values()]
    squares = [len(x) * np.cov(x, aweights=w, ddof=0) for x, w in parts]
    assert_allclose(told["within_variance"], np.sum(squares) / (480 - len(parts)))
    assert_allclose(told["answer_variance"], (table["std_error"] ** 2 * table["n_used"]).mean())
    assert found.plot(kind="places").get_xlabel() == "answers in the place"


def test_answers_needed_follow_from_the_errors(found):
    told = found.details["places"]["scale"]
    needed = found.answers_needed(0.8)
    ratio = told["answer_variance"] / told["true_variance"]
    assert needed["answers"].tolist() == [np.ceil(4 * ratio)]
    assert needed["answers_now"].tolist() == [48]
    with pytest.raises(SpecError, match="target"):
        found.answers_needed(1.0)


def test_formative_dimensions_show_what_is_evidence(survey):
    told = assess_reliability(two_dimensions(survey), n_draws=20, seed=0)
    table = told.formative()
    assert table["indicator"].tolist() == ["q3", "q4", "q5"]
    assert_allclose(table["variance_share"].sum(), 1)
    weights = survey.roles["weight"].to_numpy()
    matrix = np.cov(survey.values[["q3", "q4", "q5"]].T, aweights=weights)
    matrix /= np.sqrt(np.outer(np.diag(matrix), np.diag(matrix)))
    assert_allclose(table["variance_inflation"], np.diag(np.linalg.inv(matrix)), rtol=1e-9)
    by_dimension = told.summary().set_index(["dimension", "coefficient", "scope"])["evidence"]
    assert by_dimension["services", "alpha", "overall"] == "no: formative"
    assert by_dimension["services", SQUARED, "overall"] == "yes"
    assert by_dimension["voice", "alpha", "overall"] == "yes"


def test_indicators_that_repeat_others_or_add_nothing_are_named(survey):
    frame = survey.frame.assign(q4=survey.frame["q3"] + 0.1 * survey.frame["q4"])
    frame["q5"] = -0.8 * (frame["q3"] + frame["q4"]) + 0.1 * frame["q5"]
    changed = Survey(frame, two_dimensions(survey).codebook, survey.design)
    told = assess_reliability(changed, coefficients=["alpha"], n_draws=20, seed=0)
    table = told.formative().set_index("indicator")
    assert (table["variance_inflation"] > 5).all()
    assert table["variance_share"]["q5"] < 0
    text = " ".join(told.notes)
    assert "have a variance inflation above 5: they count what other indicators count" in text
    assert f"q5 ({table['variance_share']['q5']:.2f}) take no part in the variance" in text


def test_dimensions_correlate_free_of_error(survey):
    told = assess_reliability(two_dimensions(survey), n_draws=20, seed=0)
    found = told.correlations().iloc[0]
    weights = survey.roles["weight"].to_numpy()
    first, second = survey.values[["q1", "q2"]], survey.values[["q3", "q4", "q5"]]
    r = np.cov(first.sum(axis=1), second.sum(axis=1), aweights=weights)
    r = r[0, 1] / np.sqrt(r[0, 0] * r[1, 1])
    assert_allclose(found["observed"], r, rtol=1e-9)
    alphas = [
        alpha(Spread.from_covariance(np.cov(part.T, aweights=weights))) for part in (first, second)
    ]
    assert_allclose(found["corrected"], r / np.sqrt(np.prod(alphas)), rtol=1e-9)
    assert found["corrected_ci_low"] < 1 < found["corrected_ci_high"]  # one trait made both
    assert "Spearman1904" in told.references


def test_split_halves_of_a_result(found):
    splits = found.split_halves()
    assert splits.n_splits == 10
    k = 5
    told = row(found, "alpha", "jackknife")
    assert_allclose(splits.values.mean(), (1 - 1 / k**2) * told["estimate"], rtol=1e-9)
    assert found.plot(kind="split halves").get_ylabel() == "splits"


def test_pictures_that_there_are_not(survey, found):
    with pytest.raises(SpecError, match="kind must be one of coefficients, places"):
        found.plot(kind="place")
    with pytest.raises(SpecError, match="no coefficient of pair counts was asked for"):
        found.plot(kind="polychoric")
    with pytest.raises(SpecError, match="Name a dimension: scale"):
        found.split_halves("sclae")
    with pytest.raises(SpecError, match=r"No dimension 'sclae'\. Did you mean 'scale'"):
        found.plot(dimension="sclae")


def test_rao_wu_interval_by_hand(survey, found):
    moments = survey.moments()
    rng = stream(0, "bootstrap", 0)
    draws = np.concatenate([rao_wu(rng, moments.strata, 128) for _ in range(3)])[:300]
    logs = np.log(1 - alpha(moments.spread("scale", moments.replicate(draws))))
    told = row(found, "alpha", "rao_wu")
    reach = stats.t.ppf(0.975, 38) * logs.std(ddof=1)
    assert_allclose(told["ci_low"], 1 - (1 - told["estimate"]) * np.exp(reach), rtol=1e-9)
    assert told["df"] == 38


def coverage(n_psu: int, n_samples: int, n_draws: int = 1000) -> dict[str, float]:
    """Share of 95 % intervals that hold the true alpha of a clustered population."""
    kinds = [kind for kind in INTERVALS if kind != "directional"]
    hits = dict.fromkeys(kinds, 0)
    for seed in range(n_samples):
        made = simulate_survey(n_psu, 1, 15, 6, place_share=0.2, psu_share=0.0, seed=seed)
        moments = made.survey.moments(list(made.survey.codebook.names))
        told = assess_reliability(
            moments, coefficients=["alpha"], n_draws=n_draws, seed=seed, n_jobs=1
        )
        for kind in kinds:
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


def test_coefficients_of_pair_counts_share_the_correlations(survey, monkeypatch):
    found = []

    def counted(counts, **options):
        found.append(counts.counts.shape[0] if counts.counts.ndim == 3 else 1)
        return polychoric(counts, **options)

    monkeypatch.setattr("lgpi_research.methods.ordinal.polychoric", counted)
    moments = survey.moments(list(survey.codebook.names), needs="pair counts")
    functions = {
        ("all items", name): resolve("coefficient", name)
        for name in ("ordinal_alpha", "ordinal_omega", "omega_categorical")
    }
    made = replicate_coefficients(moments, functions, kind="jackknife", n_jobs=1)
    assert sum(found) == 40
    monkeypatch.undo()
    for key, function in functions.items():
        alone = replicate_coefficients(moments, {key: function}, kind="jackknife", n_jobs=1)
        assert_array_equal(alone[key], made[key])
