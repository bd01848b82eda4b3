"""Studies: the two settings by an independent route, and recipes of a user's own."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research.datasets import load_eu_regions, load_ukraine_hromadas
from lgpi_research.errors import DataError, SpecError
from lgpi_research.loading import load_study, study_from_table
from lgpi_research.methods.places import unit_reliability
from lgpi_research.results import load_result
from lgpi_research.study import _stability, compare_studies


def by_hand(y: np.ndarray, X: np.ndarray, clusters: np.ndarray) -> tuple[float, float, float]:
    """Slope, CR2 standard error and Satterthwaite df of the first column, from the formulas.

    Dense: full dummies, a pseudo-inverse square root for each cluster, an n by n projection.
    """
    n = len(y)
    bread = np.linalg.pinv(X.T @ X)
    coef = bread @ X.T @ y
    residuals = y - X @ coef
    hat = np.eye(n) - X @ bread @ X.T
    rows, scores = [], []
    for cluster in np.unique(clusters):
        inside = clusters == cluster
        values, vectors = np.linalg.eigh(hat[np.ix_(inside, inside)])
        root = np.where(values > 1e-10, 1 / np.sqrt(np.maximum(values, 1e-300)), 0.0)
        part = (bread @ X[inside].T)[0] @ (vectors * root) @ vectors.T
        scores.append(part @ residuals[inside])
        rows.append(part @ hat[inside])
    rows = np.array(rows)
    cross = rows @ rows.T
    return coef[0], np.sqrt(np.sum(np.square(scores))), np.trace(cross) ** 2 / np.sum(cross**2)


def dummies(values: pd.Series) -> np.ndarray:
    return pd.get_dummies(values, drop_first=True).to_numpy(dtype=float)


def z(values: pd.DataFrame) -> pd.DataFrame:
    return (values - values.mean()) / values.std()


def test_ukraines_slope_and_standard_error_by_an_independent_route():
    import statsmodels.api as sm

    frame = load_ukraine_hromadas().frame
    frame = frame[frame["occupied_before_2022"] == 0].dropna()
    tools = [
        "e_petitions",
        "e_consultations",
        "participatory_budget",
        "open_hromada",
        "youth_council",
    ]
    exams = ["exam_ukrainian", "exam_uml", "exam_mathematics", "exam_history"]
    score = (z(frame[tools]).mean(axis=1) + z(frame[exams]).mean(axis=1)) / 2
    controls = [
        np.log(frame["population"]),
        frame["urban_share"],
        frame["travel_time"],
        np.log(frame["area"]),
    ]
    X = np.column_stack(
        [
            frame["own_revenue_share"],
            *controls,
            np.ones(len(frame)),
            dummies(frame["oblast"]),
            dummies(frame["type"]),
        ]
    )
    slope, error, df = by_hand(score.to_numpy(), X, frame["oblast"].to_numpy())
    link = load_study("ukraine").run(stages=("link",))["link"]
    row = link.measure
    assert_allclose([row["estimate"], row["std_error"], row["df"]], [slope, error, df], rtol=1e-8)
    assert (row["n_used"], row["n_clusters"]) == (1428, 24)
    oblasts = frame["oblast"].to_numpy()
    left = [np.linalg.lstsq(X[oblasts != o], score[oblasts != o])[0][0] for o in set(oblasts)]
    assert_allclose(
        [link.details["without_low"], link.details["without_high"]], [min(left), max(left)]
    )
    assert any(note.startswith("Left out one at a time, clusters move") for note in link.notes)
    peer = sm.OLS(score.to_numpy(), X).fit()
    assert_allclose(peer.params[0], row["estimate"], rtol=1e-9)
    assert_allclose(peer.tvalues[0], link.details["t_classical"], rtol=1e-9)


@pytest.mark.parametrize("measure", ["local_autonomy", "tax_share"])
def test_the_eus_slopes_by_an_independent_route(measure):
    frame = load_eu_regions().frame
    score = z(frame[["quality", "impartiality", "corruption"]]).mean(axis=1)
    used = frame["gdp_per_head"].notna()
    X = np.column_stack([frame[measure], np.log(frame["gdp_per_head"]), np.ones(len(frame))])[used]
    slope, error, df = by_hand(score[used].to_numpy(), X, frame["country"][used].to_numpy())
    results = load_study("eu").run(stages=("link",))
    row = results.links[measure.replace("_", " ")].measure
    assert_allclose([row["estimate"], row["std_error"], row["df"]], [slope, error, df], rtol=1e-8)


def test_the_reliability_of_published_scores_among_the_units_used_reaches_the_link():
    study = load_study("eu")
    results = study.run(stages=("reliability", "link"))
    used = study.table["gdp_per_head"].notna()
    assert used.sum() == 231
    found = unit_reliability(study.table["eqi"][used], study.table["eqi_std_error"][used])
    link = results["link"].details
    assert_allclose(link["score_reliability"], found.squared_correlation, rtol=1e-12)
    assert link["score_reliability"] != results["reliability of eqi"].details["reliability"]
    assert_allclose(
        link["sd_score"], np.sqrt(link["score_reliability"]) * link["sd_score_observed"]
    )
    alone = load_study("eu").run(stages=("link",))["link"]
    assert alone.digest() == results["link"].digest()


def test_occupied_communities_are_left_out_and_said():
    study = load_study("ukraine")
    assert len(study.table) == 1438
    assert study.notes[0].startswith("31 of 1469 rows left out: occupied before 2022")
    assert any("0 means that a community was not on the list" in note for note in study.notes)
    assert any("five monthly shares" in note for note in study.notes)


def test_what_is_made_from_the_measure_is_refused_through_the_lineage_of_the_data(tmp_path):
    from lgpi_research.datasets import recipe_path

    text = recipe_path("ukraine").read_text("utf-8")
    text = text.replace('name = "youth_council"', 'name = "total_revenue"')
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match="total_revenue: shares total_revenue with the measure"):
        load_study(tmp_path / "own.toml").run(stages=("link",))


def test_every_result_of_a_study_is_saved_and_loaded(tmp_path):
    results = load_study("eu").run(n_draws=1024, seed=0)
    for number, result in enumerate(results.values()):
        again = load_result(result.save(tmp_path / f"{number}.parquet"))
        assert type(again) is type(result)
        assert again.digest() == result.digest()
        assert again.headline() == result.headline()
        assert again.methods_text() == result.methods_text()
        assert again.references == result.references


SURVEY = """
[study]
title = "A survey and its places"
unit = "town"
sources = ["answers.csv", "budgets.csv"]

[survey]
psu = "village"
weight = "w"

[[indicator]]
name = "q1"
dimension = "trust"
measurement = "reflective"
scale = { low = 1, high = 5 }

[[indicator]]
name = "q2"
dimension = "trust"
measurement = "reflective"
scale = { low = 1, high = 5 }

[index]
normalise = { method = "minmax", basis = "sample" }

[[link]]
formula = "score ~ own_share"
cluster = "none"
"""


def survey_folder(folder):
    rng = np.random.default_rng(5)
    town = np.repeat(np.arange(12), 20)
    trait = rng.normal(size=12)[town] + rng.normal(size=240)
    items = {f"q{i}": np.clip(np.round(3 + trait + rng.normal(size=240)), 1, 5) for i in (1, 2)}
    answers = {"town": town, "village": np.arange(240) // 5, "w": rng.uniform(1, 2, 240), **items}
    pd.DataFrame(answers).to_csv(folder / "answers.csv", index=False)
    budgets = pd.DataFrame({"town": np.arange(14), "own_share": rng.uniform(size=14)})
    budgets.to_csv(folder / "budgets.csv", index=False)
    (folder / "survey.toml").write_text(SURVEY)
    return folder / "survey.toml"


def test_a_survey_runs_from_answers_to_the_link(tmp_path):
    study = load_study(survey_folder(tmp_path))
    results = study.run(n_draws=1024, seed=0)
    assert list(results) == ["reliability", "scores", "sensitivity", "link", "specifications"]
    assert results["reliability"].frame["n_clusters"].iloc[0] == 48
    answers = pd.read_csv(tmp_path / "answers.csv")
    means = answers.groupby("town")[["q1", "q2"]].apply(
        lambda t: t.mul(answers.loc[t.index, "w"], axis=0).sum() / answers.loc[t.index, "w"].sum()
    )
    scaled = ((means - means.min()) / (means.max() - means.min())).mean(axis=1)
    score = results["scores"].frame.set_index("unit")["score"]
    assert_allclose(score[scaled.index.astype("str")], scaled)
    assert any("12 of 12 rows joined by town; 2 rows not used" in note for note in study.notes)


def test_places_that_are_numbers_with_a_point_find_their_scores(tmp_path):
    """Statistics programs keep codes as floats: place 3 is then 3.0, and its scores are of '3'."""
    path = survey_folder(tmp_path)
    whole = load_study(path).run(stages=("link",))["link"]
    answers = pd.read_csv(tmp_path / "answers.csv").astype({"town": float})
    answers.to_parquet(tmp_path / "answers.parquet", index=False)
    path.write_text(SURVEY.replace("answers.csv", "answers.parquet"))
    found = load_study(path).run(stages=("link",))["link"]
    assert found.measure["n_used"] == whole.measure["n_used"] == 12
    assert_allclose(found.measure["estimate"], whole.measure["estimate"], rtol=1e-12)


def test_tables_that_cannot_be_joined_are_refused(tmp_path):
    path = survey_folder(tmp_path)
    budgets = pd.read_csv(tmp_path / "budgets.csv")
    pd.concat([budgets, budgets.head(1)]).to_csv(tmp_path / "budgets.csv", index=False)
    with pytest.raises(DataError, match=r"1 units stand in two rows \(0\)"):
        load_study(path)


def test_tables_whose_units_are_numbers_and_text_are_refused(tmp_path):
    path = survey_folder(tmp_path)
    budgets = pd.read_csv(tmp_path / "budgets.csv")
    budgets["town"] = [f"town {number}" for number in budgets["town"]]
    budgets.to_csv(tmp_path / "budgets.csv", index=False)
    with pytest.raises(DataError, match=r"town holds text, and numbers in the first table"):
        load_study(path)


def test_a_study_of_a_table_without_an_index_links_columns(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"y": rng.normal(size=40), "x": rng.normal(size=40), "g": np.arange(40) % 8}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    study = study_from_table(tmp_path / "t.csv", dimensions={}, formula="y ~ x", cluster="g")
    assert study.run(stages=("link",))["link"].measure["term"] == "x"
    with pytest.raises(SpecError, match="no dimension is named"):
        study.run(stages=("scores",))


NATIVE = """
[study]
title = "Marks out of ten"
unit = "place"
sources = ["marks.csv"]

[[indicator]]
name = "a"
dimension = "one"
goalposts = { low = 2, high = 10 }
std_error = "se"

[[indicator]]
name = "b"
dimension = "two"
goalposts = { low = 2, high = 10 }
std_error = "se"

[index]
normalise = { method = "minmax", basis = "goalposts" }

[reliability]
error_correlation = 1

[[link]]
formula = "score ~ x"
cluster = "none"
"""


def test_links_see_scores_and_their_errors_in_the_unit_of_the_indicators(tmp_path):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"place": range(30), "x": rng.normal(size=30), "se": 0.5})
    frame = frame.assign(a=rng.uniform(3, 9, 30), b=rng.uniform(3, 9, 30))
    frame.to_csv(tmp_path / "marks.csv", index=False)
    (tmp_path / "marks.toml").write_text(NATIVE)
    study = load_study(tmp_path / "marks.toml")
    table = study.link_table(study.scores())
    assert_allclose(table["score"], frame[["a", "b"]].mean(axis=1), rtol=1e-12)
    assert_allclose(table["dimension_two"], frame["b"], rtol=1e-12)
    assert_allclose(table["score_std_error"], 0.5, rtol=1e-12)  # of errors that are all one
    assert_allclose(study.scores().frame["std_error"], 0.5 / 8, rtol=1e-12)


def test_stability_skips_pairs_of_periods_that_share_no_three_units():
    score = [1.0, 2.0, 3.0, 4.0, 2.0, 4.0, 6.0, 8.5, 1.0, 2.0]
    rows = pd.DataFrame(
        {"u": [*"abcd", *"abcd", *"ab"], "t": [1] * 4 + [2] * 4 + [3] * 2, "score": score}
    )
    expected = np.corrcoef(score[:4], score[4:8])[0, 1]
    assert_allclose(_stability(rows, "u", "t"), expected, rtol=1e-12)
    assert np.isnan(_stability(rows[rows["t"] == 3], "u", "t"))


def test_an_unknown_result_lists_those_there_are():
    results = load_study("eu").run(stages=("scores",))
    with pytest.raises(KeyError, match="there are scores"):
        results["score"]
    assert "238 units scored" in repr(results)


def test_an_unknown_stage_is_refused_with_the_nearest_spelling():
    with pytest.raises(SpecError, match="Did you mean 'sensitivity'"):
        load_study("eu").run(stages=("sensitvity",))


PANEL = """
[study]
title = "A panel of scores with errors"
unit = "place"
period = "year"
sources = ["panel.csv"]

[[indicator]]
name = "a"
dimension = "all"
std_error = "a_error"

[[indicator]]
name = "b"
dimension = "all"
std_error = "b_error"

[index]
normalise = "zscore"

[reliability]
error_correlation = 0

[[link]]
name = "between"
formula = "score ~ share"
cluster = "place"

[[link]]
name = "within"
role = "second"
formula = "score ~ share | place + year"
cluster = "place"
"""


def panel_study(folder, error=0.1, seen=None):
    """Load a panel of places; `seen` holds the years in which each place is seen."""
    rng = np.random.default_rng(3)
    seen = [(2001, 2002, 2003)] * 20 if seen is None else seen
    traits = rng.normal(size=len(seen))
    rows = [(f"p{i}", year, traits[i]) for i, years in enumerate(seen) for year in years]
    table = pd.DataFrame(rows, columns=["place", "year", "trait"])
    for name in "ab":
        table[name] = table["trait"] + rng.normal(size=len(table))
        table[f"{name}_error"] = error
    table.assign(share=rng.uniform(size=len(table))).to_csv(folder / "panel.csv", index=False)
    (folder / "panel.toml").write_text(PANEL)
    return load_study(folder / "panel.toml")


def test_errors_that_are_independent_correct_the_sd_of_the_score(tmp_path):
    study = panel_study(tmp_path)
    link = study.run(stages=("link",))["link"]
    scores = study.scores().frame
    expected = unit_reliability(scores["score"], scores["std_error"]).squared_correlation
    assert_allclose(link.details["score_reliability"], expected, rtol=1e-12)
    assert 0.9 < expected < 1


def test_scores_that_are_all_error_refuse_the_correction_and_not_the_link(tmp_path):
    links = panel_study(tmp_path, error=5.0).run(stages=("link",)).links
    for link in links.values():
        assert link.details["score_reliability"] is None
        assert "the scores of the 60 rows differ no more than their errors do" in " ".join(
            link.notes
        )


def test_movements_without_units_in_common_refuse_the_correction(tmp_path):
    pairs = [*combinations((2001, 2002, 2003, 2004, 2005), 2)] * 2  # each two years share two
    within = panel_study(tmp_path, seen=pairs).run(stages=("link",)).links["within"]
    assert within.details["score_reliability"] is None
    assert "no two periods share three place" in within.details["score_unreliable"]


def test_a_curve_says_that_its_scores_are_not_corrected_for_error(tmp_path):
    results = panel_study(tmp_path).run(stages=("link", "specifications"))
    curve, link = results["specifications"], results["link"].details
    stated = curve.frame[curve.frame["preferred"]].iloc[0]
    factor = link["slope"] / stated["slope"]
    assert_allclose(factor, link["score_reliability"] ** -0.5, rtol=1e-10)
    assert any(f"its slope in SD is {factor:.3g} times" in note for note in curve.notes)


def test_studies_of_one_name_are_not_compared():
    found = load_study("eu").run(stages=("link",))
    with pytest.raises(SpecError, match="eu: several studies have this name"):
        compare_studies([found, found])


def test_a_score_of_the_tables_own_is_not_overwritten(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.uniform(size=(40, 3)), columns=["a", "share", "score"])
    table.assign(place=range(40), cluster=np.repeat(range(8), 5)).to_csv(
        tmp_path / "t.csv", index=False
    )
    options = {"unit": "place", "formula": "score ~ share", "cluster": "cluster"}
    study = study_from_table(tmp_path / "t.csv", dimensions={"all": ("a",)}, **options)
    with pytest.raises(DataError, match=r"has a column score of its own.*Rename it"):
        study.run(stages=("link",), seed=0)
    alone = study_from_table(tmp_path / "t.csv", dimensions={}, **options)
    assert alone.run(stages=("link",), seed=0)["link"].details["outcome"] == "score"


def test_a_name_in_two_tables_is_kept_once_if_they_agree_and_refused_if_not(tmp_path):
    places = pd.DataFrame({"place": list("abcd"), "x": [1.0, 2.0, 4.0, 3.0], "name": list("ABCD")})
    places.to_csv(tmp_path / "lead.csv", index=False)
    (tmp_path / "r.toml").write_text(
        '[study]\ntitle = "t"\nunit = "place"\nsources = ["lead.csv", "more.csv"]\n'
        '[[indicator]]\nname = "x"\ndimension = "d"\n[index]\nnormalise = "zscore"\n'
    )
    more = places[["place", "name"]].assign(y=[5, 6, 7, 8])
    more.to_csv(tmp_path / "more.csv", index=False)
    table = load_study(tmp_path / "r.toml").table
    assert list(table.columns) == ["place", "x", "name", "y"]
    more.assign(name=list("ABCX")).to_csv(tmp_path / "more.csv", index=False)
    with pytest.raises(DataError, match=r"more.csv: name stands in another table too, with other"):
        load_study(tmp_path / "r.toml")
