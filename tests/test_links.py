from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from lgpi_research import registry
from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.links import LinkResult, link_autonomy
from lgpi_research.mechanical import check_mechanical
from lgpi_research.methods.regression import Estimate, cluster_covariance, least_squares
from lgpi_research.registry import use
from lgpi_research.results import load_result
from lgpi_research.spec import LinkDesign

FORMULA = "score ~ own_share + log(people) | oblast + kind"
DESIGN = LinkDesign(FORMULA, cluster="oblast")


def places(seed: int = 0, n: int = 240, slope: float = 1.5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    oblast = rng.integers(0, 12, n)
    share = rng.uniform(0.1, 0.9, n) + rng.normal(0, 0.1, 12)[oblast]
    people = rng.lognormal(9, 1, n)
    noise = rng.normal(size=n) + rng.normal(0, 0.7, 12)[oblast]
    return pd.DataFrame(
        {
            "place": [f"p{i:03d}" for i in range(n)],
            "oblast": np.array(list("abcdefghijkl"))[oblast],
            "kind": rng.choice(["city", "town", "village"], n),
            "own_share": share,
            "people": people,
            "score": slope * share + 0.2 * np.log(people) + noise,
        }
    )


@pytest.fixture
def table() -> pd.DataFrame:
    return places()


# What is found


def test_agrees_with_dummies_written_out(table):
    smf = pytest.importorskip("statsmodels.formula.api")
    link = link_autonomy(table, DESIGN)
    theirs = smf.ols("score ~ own_share + np.log(people) + C(oblast) + C(kind)", table).fit()
    row = link.measure
    assert_allclose(row["estimate"], theirs.params["own_share"])
    assert_allclose(link.details["t_classical"], theirs.tvalues["own_share"])
    assert link.details["df_classical"] == theirs.df_resid

    # CR2 and Satterthwaite from the n × n matrices of the full design.
    W = theirs.model.exog
    j = theirs.model.exog_names.index("own_share")
    inverse = np.linalg.inv(W.T @ W)
    maker = np.eye(len(W)) - W @ inverse @ W.T
    variance, turns = 0.0, []
    for name in np.unique(table["oblast"]):
        inside = (table["oblast"] == name).to_numpy()
        values, vectors = np.linalg.eigh(maker[np.ix_(inside, inside)])
        kept = values > 1e-10
        adjust = (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T
        turn = inverse[j] @ W[inside].T @ adjust
        variance += (turn @ theirs.resid.to_numpy()[inside]) ** 2
        turns.append(turn @ maker[inside])
    omega = np.array(turns) @ np.array(turns).T
    df = np.trace(omega) ** 2 / (omega**2).sum()
    assert_allclose(row["std_error"], np.sqrt(variance))
    assert_allclose(row["df"], df)
    t = row["estimate"] / row["std_error"]
    assert_allclose(row["p_value"], 2 * stats.t.sf(t, df))
    assert_allclose(row["ci_high"], row["estimate"] + stats.t.isf(0.025, df) * row["std_error"])


def test_a_known_slope_is_covered():
    covered = [
        row["ci_low"] < 1.5 < row["ci_high"]
        for row in (link_autonomy(places(seed), DESIGN).measure for seed in range(60))
    ]
    assert 0.83 <= np.mean(covered) <= 1.0


@pytest.mark.slow
def test_a_known_slope_is_covered_at_length():
    covered = [
        row["ci_low"] < 1.5 < row["ci_high"]
        for row in (link_autonomy(places(seed), DESIGN).measure for seed in range(600))
    ]
    assert 0.92 <= np.mean(covered) <= 0.98


def test_the_frame_names_every_coefficient(table):
    link = link_autonomy(table, LinkDesign("score ~ own_share + C(kind)", cluster="oblast"))
    assert list(link.frame["term"]) == [
        "intercept",
        "own_share",
        "C(kind)[town]",
        "C(kind)[village]",
    ]
    assert list(link.frame["role"]) == ["intercept", "measure", "control", "control"]
    assert (link.frame["n_used"] == 240).all()
    assert (link.frame["n_clusters"] == 12).all()
    assert np.isnan(link.frame["standardised"][0])
    assert list(link.summary()["term"]) == ["own_share", "C(kind)[town]", "C(kind)[village]"]


def test_readable_slopes(table):
    link = link_autonomy(table, DESIGN.change(per=0.2, score_reliability=0.81))
    told, row = link.details, link.measure
    spread = 0.9 * table["score"].std()
    assert_allclose(told["sd_score"], spread)
    assert_allclose(told["slope"], 0.2 * row["estimate"] / spread)
    assert_allclose(told["slope_low"], 0.2 * row["ci_low"] / spread)
    assert_allclose(told["slope_sd"], row["estimate"] * table["own_share"].std() / spread)
    reach = stats.t.isf(0.025, row["df"]) + stats.t.isf(0.2, row["df"])
    assert_allclose(told["detectable"], reach * row["std_error"] * 0.2 / spread)
    assert any("its SD without error" in note for note in link.notes)


def test_the_detectable_slope_is_found_in_four_of_five_samples():
    rng = np.random.default_rng(5)
    codes = np.repeat(np.arange(20), 12)
    x = rng.normal(size=240)
    within = x - (np.bincount(codes, x) / 12)[codes]
    true_se, df = 1 / np.linalg.norm(within), 17.0
    slope = (stats.t.isf(0.025, df) + stats.t.isf(0.2, df)) * true_se
    found = 0
    for _ in range(400):
        y = slope * x + rng.normal(size=240)
        fit = least_squares(y, x[:, None], [codes])
        robust = cluster_covariance(fit, codes)
        t = abs(fit.coef[0]) / np.sqrt(robust.cov[0, 0])
        found += t > stats.t.isf(0.025, robust.df[0])
    assert 0.73 <= found / 400 <= 0.87


def test_the_range_over_left_out_clusters(table):
    told = link_autonomy(table, DESIGN).details
    slopes = {
        name: link_autonomy(table[table["oblast"] != name], DESIGN).measure["estimate"]
        for name in np.unique(table["oblast"])
    }
    low, high = min(slopes, key=slopes.get), max(slopes, key=slopes.get)
    assert_allclose([told["without_low"], told["without_high"]], [slopes[low], slopes[high]])
    assert (told["without_low_cluster"], told["without_high_cluster"]) == (low, high)


def test_independent_units_are_hc2_and_said_so(table):
    link = link_autonomy(table, LinkDesign("score ~ own_share", cluster="none"))
    X = np.column_stack([np.ones(240), table["own_share"]])
    hat = np.einsum("ij,jk,ik->i", X, np.linalg.inv(X.T @ X), X)
    fit = least_squares(table["score"].to_numpy(), X)
    meat = (X.T * (fit.residuals**2 / (1 - hat))) @ X
    assert_allclose(link.measure["std_error"], np.sqrt((fit.bread @ meat @ fit.bread)[1, 1]))
    assert any("Units are taken as independent" in note for note in link.notes)
    assert "clusters)" not in link.headline()
    assert link.details["without_low_cluster"].startswith("row ")


def test_rows_set_aside_are_counted(table):
    table.loc[:4, "own_share"] = np.nan
    table.loc[3:6, "oblast"] = None
    link = link_autonomy(table, DESIGN)
    assert (link.measure["n_used"], link.measure["n_dropped"]) == (233, 7)
    assert link.notes[0] == (
        "7 of 240 units were left out because a value is missing (by column: own_share 5, "
        "oblast 4); 233 were used."
    )
    complete = link_autonomy(table.dropna(), DESIGN)
    pd.testing.assert_frame_equal(
        link.frame.drop(columns="n_dropped"), complete.frame.drop(columns="n_dropped")
    )


# Invariances


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_order_of_rows_and_names_of_clusters_do_not_matter(seed):
    table, rng = places(1, 150), np.random.default_rng(seed)
    names = dict(zip("abcdefghijkl", rng.permutation(12), strict=True))
    moved = table.assign(oblast=table["oblast"].map(names)).sample(frac=1, random_state=seed)
    columns = ["estimate", "std_error", "df", "p_value", "standardised"]
    a, b = link_autonomy(table, DESIGN).frame, link_autonomy(moved, DESIGN).frame
    assert_allclose(b[columns], a[columns], rtol=1e-7)


@settings(max_examples=15)
@given(st.floats(0.01, 100), st.floats(-10, 10), st.floats(0.01, 100))
def test_units_of_measure_and_score_do_not_matter(scale, shift, spread):
    table = places(2, 150)
    moved = table.assign(
        own_share=scale * table["own_share"] + shift, score=spread * table["score"] - shift
    )
    a = link_autonomy(table, DESIGN)
    b = link_autonomy(moved, DESIGN.change(per=0.1 * scale))
    for name in ("slope", "slope_low", "slope_high", "slope_sd", "detectable", "t_classical"):
        assert_allclose(b.details[name], a.details[name], rtol=1e-6)
    assert_allclose(b.measure["p_value"], a.measure["p_value"], rtol=1e-5)
    assert_allclose(b.measure["estimate"], a.measure["estimate"] * spread / scale, rtol=1e-6)


def test_the_same_table_gives_the_same_bytes(table):
    a, b = link_autonomy(table, DESIGN), link_autonomy(table.copy(), DESIGN)
    assert a.digest() == b.digest()


# What is said


def test_an_association_is_called_an_association(table):
    link = link_autonomy(table, DESIGN.change(measure_label="own revenue", measure_unit="share"))
    head = link.headline()
    assert head.startswith("Where own revenue is higher, score tends to be higher: ")
    assert "SD per 0.1 (share) (95 % interval " in head
    assert "240 units, 12 clusters). This is an association." in head
    negative = link_autonomy(table.assign(score=-table["score"]), DESIGN)
    assert "score tends to be lower" in negative.headline()


def test_an_unclear_link_is_shown_with_what_could_have_been_found():
    link = link_autonomy(places(3, slope=0.0), DESIGN)
    assert link.details["slope_low"] < 0 < link.details["slope_high"]
    assert "do not tell whether score is higher or lower" in link.headline()
    assert "would be found in four of five such samples" in link.headline()


@pytest.mark.parametrize("word", ["impact", "leads to", "causes", "increases", "raising"])
def test_no_causal_words(table, word):
    for slope in (0.0, 1.5, -1.5):
        link = link_autonomy(places(4, slope=slope), DESIGN)
        assert word not in link.headline()
        assert word not in link.methods_text()
        assert "effect" not in link.headline()


def test_methods_text_says_what_was_done(table):
    text = link_autonomy(table, DESIGN.change(score_reliability=0.9)).methods_text()
    assert (
        "The outcome, score, was regressed on own_share, log(people), with oblast and kind" in text
    )
    assert "clustered by oblast (12 clusters)" in text
    assert "[@BellMcCaffrey2002; @PustejovskyTipton2018]" in text
    assert "reliability 0.9" in text
    alone = link_autonomy(table, LinkDesign("score ~ own_share", cluster="none"))
    assert "HC2" in alone.methods_text()


def test_the_cited_works_are_in_the_bibliography(table):
    entries = link_autonomy(table, DESIGN).references
    for key in ("BellMcCaffrey2002", "PustejovskyTipton2018", "CameronMiller2015"):
        assert f"{{{key}," in entries


def test_notes_on_the_design(table):
    table.loc[0, "kind"] = "island"
    notes = link_autonomy(table, DESIGN.change(smallest_slope=0.001)).notes
    assert any(note.startswith("Effects of kind reach over several clusters") for note in notes)
    assert any("Alone in a level of oblast or kind: 1 of " in note for note in notes)
    assert any(
        note.startswith(
            "The slope is further from zero than the smallest of interest, 0.001 SD per 0.1"
        )
        for note in notes
    )


@pytest.mark.parametrize(
    ("slope", "smallest", "words"),
    [
        (0.0, 0.2, "are ruled out"),
        (0.0, 0.01, "cannot be ruled out"),
        (3.0, 0.01, "is further from zero than"),
    ],
)
def test_a_link_says_what_of_the_smallest_slope_is_ruled_out(slope, smallest, words):
    link = link_autonomy(places(n=960, slope=slope), DESIGN.change(smallest_slope=smallest))
    told, row = link.details, link.measure
    step = told["per"] / told["sd_score"]
    t = [(abs(row["estimate"]) * step - smallest) / (row["std_error"] * step)]
    assert_allclose(told["equivalence_p"], stats.t.cdf(t[0], row["df"]), rtol=1e-9)
    assert sum(words in note for note in link.notes) == 1


def test_a_measure_that_stands_in_other_terms(table):
    design = LinkDesign("score ~ own_share*log(people) + square(own_share)", cluster="oblast")
    (note,) = [n for n in link_autonomy(table, design).notes if "also stands in" in n]
    assert "own_share also stands in own_share:log(people) and square(own_share)" in note


def test_few_degrees_of_freedom_are_said(table):
    table["own_share"] = np.where(table["oblast"].isin(["a", "b"]), table["own_share"], 0.5)
    notes = link_autonomy(table, LinkDesign("score ~ own_share | oblast", cluster="oblast")).notes
    assert any("few clusters carry it" in note for note in notes)


def test_a_slope_that_rests_on_one_cluster_is_said(table):
    table["extra"] = np.where(table["oblast"] == "c", table["people"], 0.0)
    design = LinkDesign("score ~ own_share + extra | oblast", cluster="oblast")
    link = link_autonomy(table, design)
    assert any(note.startswith("Without c the coefficients cannot") for note in link.notes)
    assert link.details["without_low"] < link.details["without_high"]


def test_a_result_survives_its_file(table, tmp_path):
    link = link_autonomy(table, DESIGN)
    back = load_result(link.save(tmp_path / "link.parquet"))
    assert isinstance(back, LinkResult)
    assert back.headline() == link.headline()
    assert back.methods_text() == link.methods_text()
    pd.testing.assert_frame_equal(back.frame, link.frame)
    assert json.loads(link.to_json())["details"]["measure"] == "own_share"


def test_the_picture_shows_every_slope(table):
    link = link_autonomy(table, DESIGN.change(measure_label="own revenue"))
    axes = link.plot()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["own revenue", "log(people)"]
    assert axes.get_xlabel() == "SD of score per SD of the term"
    shown = axes.collections[1].get_offsets()[:, 0]
    assert_allclose(shown, link.frame["standardised"])


# Mechanical relations

LINEAGE = {
    "own_share": ("own_revenue", "total_revenue"),
    "total_revenue": ("own_revenue", "transfers"),
    "tax_points": ("taxes_per_head",),
    "taxes_per_head": ("own_revenue", "people"),
    "projects": ("transfers",),
    "exam": ("ministry_test",),
    "loop": ("pool",),
    "pool": ("loop",),
}


@pytest.mark.parametrize(
    ("indicator", "message"),
    [
        ("own_share", "own_share: is the measure itself"),
        ("own_revenue", "own_revenue: shares own_revenue with the measure own_share"),
        (
            "tax_points",
            "shares own_revenue with the measure own_share (own_revenue → taxes_per_head → "
            "tax_points; own_revenue → own_share)",
        ),
        (
            "projects",
            "shares transfers with the measure own_share (transfers → projects; transfers → "
            "total_revenue → own_share)",
        ),
        ("grants", "grants: a transfer, the other side of the budget. The link would hold"),
    ],
)
def test_an_outcome_tied_to_the_measure_is_refused_by_name(indicator, message):
    design = DESIGN.change(
        lineage=LINEAGE, mechanical={"grants": "a transfer, the other side of the budget."}
    )
    with pytest.raises(SpecError, match="1 problem in the link of own_share") as caught:
        check_mechanical(design, ["exam", indicator, "petitions", "loop"])
    assert message in str(caught.value)
    assert "leave it out, or choose another measure" in str(caught.value)


def test_all_mechanical_indicators_are_named_at_once():
    with pytest.raises(SpecError, match="3 problems"):
        check_mechanical(DESIGN.change(lineage=LINEAGE), ["tax_points", "own_share", "projects"])


def test_the_column_behind_a_transformed_measure_counts():
    design = LinkDesign("score ~ log(taxes_per_head)", cluster="none", lineage=LINEAGE)
    with pytest.raises(SpecError, match="tax_points: shares taxes_per_head"):
        check_mechanical(design, ["tax_points"])


def test_a_measure_made_from_an_indicator_is_refused():
    design = DESIGN.change(lineage={"own_share": ("petitions",)})
    with pytest.raises(SpecError, match="petitions: shares petitions with the measure"):
        check_mechanical(design, ["petitions"])


def test_free_indicators_pass():
    check_mechanical(DESIGN.change(lineage=LINEAGE), ["exam", "petitions", "loop"])


def test_a_link_checks_its_score_columns_and_its_outcome(table):
    design = DESIGN.change(lineage=LINEAGE, score_columns=("exam", "tax_points"))
    with pytest.raises(SpecError, match="tax_points: shares own_revenue"):
        link_autonomy(table, design)
    with pytest.raises(SpecError, match="score: shares own_revenue"):
        link_autonomy(table, DESIGN.change(lineage={**LINEAGE, "score": ("own_revenue",)}))


# What is refused


@pytest.mark.parametrize(
    ("formula", "cluster", "message"),
    [
        ("score ~ own_share", None, r"no clusters are named.*Candidates: oblast, kind\..*\"none\""),
        ("score ~ own_share | oblast", None, r"absorbs oblast, so the units are grouped"),
        ("score ~ own_share | oblast", "none", r"absorbs oblast, so the units are grouped"),
        ("score ~ own_share", "oblats", r"no column 'oblats'. Did you mean 'oblast'\?"),
        ("score ~ C(kind) + own_share", "oblast", r"C\(kind\) stands for categories"),
        ("score ~ own_shar", "oblast", "own_shar: there is no such column"),
    ],
)
def test_bad_designs_are_refused(table, formula, cluster, message):
    with pytest.raises(SpecError, match=message):
        link_autonomy(table, LinkDesign(formula, cluster=cluster))


@pytest.mark.parametrize("level", [0, 1, 95])
def test_levels_lie_between_0_and_1(table, level):
    with pytest.raises(SpecError, match="level must lie between 0 and 1"):
        link_autonomy(table, DESIGN, level=level)


def test_a_measure_without_variation_within_the_effects(table):
    table["own_share"] = table["oblast"].map(dict(zip("abcdefghijkl", range(12), strict=True)))
    with pytest.raises(MethodError, match="own_share does not vary within oblast"):
        link_autonomy(table, DESIGN)


def test_collinear_controls_are_named(table):
    table["half"] = table["own_share"] / 2 + 1
    with pytest.raises(MethodError, match="half is determined by intercept and own_share"):
        link_autonomy(table, LinkDesign("score ~ own_share + half", cluster="oblast"))


def test_too_few_clusters(table):
    one, two = table[table["oblast"] == "a"], table[table["oblast"].isin(["a", "b"])]
    design = LinkDesign("score ~ own_share", cluster="oblast")
    with pytest.raises(MethodError, match="oblast: 1 cluster cannot carry"):
        link_autonomy(one, design)
    with pytest.raises(MethodError, match="oblast: 2 clusters cannot carry"):
        link_autonomy(two, design)
    three = table[table["oblast"].isin(["a", "b", "c"])]
    with pytest.raises(MethodError, match=r"3 clusters cannot .* on 4 coefficients; at least 4"):
        link_autonomy(three, LinkDesign("score ~ own_share*log(people)", cluster="oblast"))


def test_a_standard_error_of_zero_is_refused(table):
    @registry.estimator("certain")
    def certain(y, X, *, clusters, absorb, weights):
        k = X.shape[1]
        return Estimate(np.ones(k), np.zeros((k, k)), np.full(k, 5.0))

    try:
        with pytest.raises(MethodError, match=r"the standard error of own_share, log\(people\) is"):
            link_autonomy(table, DESIGN.change(estimator="certain"))
    finally:
        del registry._entries["estimator"]["certain"]


def test_a_fit_without_error_is_refused(table):
    table["score"] = 2 * table["own_share"] + 1
    with pytest.raises(MethodError, match="the terms determine score without error"):
        link_autonomy(table, LinkDesign("score ~ own_share", cluster="oblast"))


def test_text_among_numbers(table):
    table["own_share"] = table["own_share"].astype(str)
    with pytest.raises(DataError, match="own_share: holds text"):
        link_autonomy(table, DESIGN)


# Other estimators


def test_an_estimator_of_ones_own(table):
    @registry.estimator("median_split")
    def median_split(y, X, *, clusters, absorb, weights):
        fit = least_squares(np.sign(y - np.median(y)), X, absorb, weights)
        return Estimate(fit.coef, fit.cov, np.full(len(fit.coef), 30.0))

    try:
        link = link_autonomy(table, DESIGN.change(estimator="median_split"))
    finally:
        del registry._entries["estimator"]["median_split"]
    assert (link.frame["df"] == 30).all()
    assert "without_low" not in link.details
    assert "CR2" not in link.methods_text()


def test_an_option_of_the_estimator(table):
    link = link_autonomy(table, DESIGN.change(estimator=use("ols", kind="CR0")))
    assert link.measure["std_error"] < link_autonomy(table, DESIGN).measure["std_error"]
    assert "without_low" in link.details
    assert "CR2" not in link.methods_text()


# Rows: chosen, averaged, and warnings


def panel(seed: int = 0) -> pd.DataFrame:
    rows = [places(seed + year).assign(year=2000 + year) for year in range(4)]
    first = rows[0]
    return pd.concat([row.assign(oblast=first["oblast"], kind=first["kind"]) for row in rows])


def test_a_link_uses_the_rows_that_it_is_about():
    table = panel()
    chosen = link_autonomy(table, DESIGN.change(where={"year": (2001, 2003)}))
    cut = link_autonomy(table[table["year"].isin([2001, 2003])], DESIGN)
    assert_allclose(chosen.measure["estimate"], cut.measure["estimate"])
    assert "Only rows with year 2001, 2003 are used: 480 of 960." in chosen.notes
    with pytest.raises(DataError, match=r"year: no row has 1999; there are 2000, 2001, 2002, 2003"):
        link_autonomy(table, DESIGN.change(where={"year": (1999, 2001)}))
    with pytest.raises(DataError, match=r"there is no column 'yaer'\. Did you mean 'year'"):
        link_autonomy(table, DESIGN.change(where={"yaer": 2001}))
    alone = table[(table["year"] != 2001) | (table["kind"] != "city")]
    with pytest.raises(DataError, match="no row has all of the wanted values"):
        link_autonomy(alone, DESIGN.change(where={"year": 2001, "kind": "city"}))


def test_a_link_between_units_is_that_of_their_means():
    table = panel()
    table.loc[table["year"] == 2001, "own_share"] = np.nan
    found = link_autonomy(table, DESIGN.change(average="place"))
    means = table.groupby("place", as_index=False)[["own_share", "people", "score"]].mean()
    means = means.merge(table.drop_duplicates("place")[["place", "oblast", "kind"]], on="place")
    by_hand = link_autonomy(means, DESIGN)
    assert_allclose(found.measure["estimate"], by_hand.measure["estimate"], rtol=1e-10)
    assert found.measure["n_used"] == 240
    assert "960 rows were averaged to 240 units of place (4 rows each)" in " ".join(found.notes)


def test_averaging_refuses_text_that_changes_within_a_unit():
    table = panel()
    table.loc[(table["year"] == 2001) & (table["place"] == "p003"), "oblast"] = "z"
    with pytest.raises(DataError, match=r"oblast: several values within 1 unit \(p003\)"):
        link_autonomy(table, DESIGN.change(average="place"))
    with pytest.raises(SpecError, match="average: there is no column 'plac'"):
        link_autonomy(table, DESIGN.change(average="plac"))


def test_a_warning_may_be_mechanical_and_says_why(table):
    tied = DESIGN.change(mechanical={"score": "is paid from own revenue"})
    with pytest.raises(SpecError, match="is paid from own revenue"):
        link_autonomy(table, tied)
    shown = link_autonomy(table, tied.change(role="warning", because="What one would see."))
    assert shown.details["role"] == "warning"
    assert shown.details["because"] == "What one would see. Score: is paid from own revenue."
    assert_allclose(shown.measure["estimate"], link_autonomy(table, DESIGN).measure["estimate"])


def test_a_role_that_does_not_exist_is_refused():
    with pytest.raises(SpecError, match="role: must be main or second or robustness or warning"):
        DESIGN.change(role="mein")


def test_a_score_that_moves_no_more_than_its_errors_is_said_to(table):
    link = link_autonomy(table, DESIGN.change(score_unreliable="it is all noise."))
    assert "No slope corrected for error: it is all noise." in link.notes


def test_a_warning_never_reads_like_a_finding(table):
    link = link_autonomy(table, DESIGN.change(role="warning", because="The two are one thing."))
    assert link.headline().startswith("A warning, not a finding: score on own_share would give ")
    assert link.headline().endswith("The two are one thing.")
    assert "tends to be" not in link.headline()


@pytest.mark.parametrize(
    ("formula", "cluster", "code"),
    [
        ("score ~ own_share | year", "oblast", "year"),
        ("score ~ own_share + C(year)", "oblast", "year"),
        ("score ~ own_share", "year", "year"),
    ],
)
def test_averaging_refuses_codes_that_change_within_a_unit(formula, cluster, code):
    design = LinkDesign(formula, cluster=cluster, average="place")
    with pytest.raises(DataError, match=rf"{code}: several values within 240 units \(p000"):
        link_autonomy(panel(), design)


def test_codes_of_groups_that_are_numbers_average_as_their_names_would():
    table = panel()
    numbered = table.assign(oblast=table["oblast"].map(ord))
    named, coded = (link_autonomy(t, DESIGN.change(average="place")) for t in (table, numbered))
    assert_allclose(coded.measure["std_error"], named.measure["std_error"], rtol=1e-12)


def test_rows_without_a_unit_to_average_over_are_counted():
    table = panel()
    table.loc[table["place"] == "p003", "place"] = None
    found = link_autonomy(table, DESIGN.change(average="place"))
    notes = " ".join(found.notes)
    assert "956 rows were averaged to 239 units of place (4 rows each)" in notes
    assert "4 of 960 rows name no place and were left out." in notes


def test_averaging_a_category_makes_no_units_that_have_no_rows():
    table = panel()
    chosen = DESIGN.change(average="place", where={"oblast": tuple("abcdef")})
    notes = link_autonomy(table.astype({"place": "category"}), chosen).notes
    assert notes == link_autonomy(table, chosen).notes


@pytest.mark.parametrize("years", [range(2001, 2003), np.array([2001, 2002]), {2001, 2002}])
def test_wanted_values_may_come_as_any_collection(years):
    wanted = link_autonomy(panel(), DESIGN.change(where={"year": (2001, 2002)}))
    assert link_autonomy(panel(), DESIGN.change(where={"year": years})).notes == wanted.notes


def test_a_value_that_no_row_has_is_told_from_a_number_of_the_same_spelling():
    table = panel()
    with pytest.raises(DataError, match="year: no row has '2001'; there are 2000, 2001"):
        link_autonomy(table, DESIGN.change(where={"year": "2001"}))
    mixed = table.assign(year=[2001, "old"] * 480)
    with pytest.raises(DataError, match="year: no row has 'new'; there are 2001, 'old'"):
        link_autonomy(mixed, DESIGN.change(where={"year": "new"}))


def test_a_left_out_unit_is_named_by_its_row_in_the_table_given(table):
    far = table["place"] == "p200"
    table.loc[far, ["own_share", "score"]] = 9.0, -99.0
    design = LinkDesign("score ~ own_share", cluster="none", where={"kind": ("city", "town")})
    table.loc[far, "kind"] = "city"
    assert link_autonomy(table, design).details["without_high_cluster"] == "row 201"


def test_one_residual_degree_of_freedom_leaves_a_link_without_robustness_value():
    table = pd.DataFrame({"own_share": [0.1, 0.4, 0.8], "score": [1.0, 3.0, 2.0]})
    link = link_autonomy(table, LinkDesign("score ~ own_share", cluster="none"))
    assert link.details["robustness_value"] is None
    assert "No robustness value: the classical fit leaves one degree of freedom." in link.notes


def test_a_slope_beyond_what_matters_is_told_with_the_interval_that_shows_it():
    found = link_autonomy(places(slope=-3.0, n=600), DESIGN.change(smallest_slope=0.001))
    assert found.details["equivalence"] == "larger"
    (note,) = (note for note in found.notes if "smallest of interest" in note)
    assert note.startswith(
        "The slope is further from zero than the smallest of interest, 0.001 SD per 0.1 (its 90 % "
        "interval lies beyond);"
    )


def test_a_p_value_near_zero_is_not_said_to_be_zero():
    found = link_autonomy(places(slope=0.0, n=2000), DESIGN.change(smallest_slope=5.0))
    assert any("are ruled out (two one-sided tests, p <0.001)" in note for note in found.notes)


def test_the_methods_say_what_was_averaged(table):
    text = link_autonomy(panel(), DESIGN.change(average="place")).methods_text()
    assert text.startswith("Rows of each place were averaged first. The outcome, score,")
    assert "averaged" not in link_autonomy(table, DESIGN).methods_text()


def test_rows_of_a_panel_are_not_called_units():
    within = DESIGN.change(formula="score ~ own_share | place + year", within=True)
    link = link_autonomy(panel(), within)
    assert "960 units in a period" in link.headline()
    assert "960 units in a period" in link.methods_text()


def test_a_variable_as_strong_as_the_robustness_value_takes_the_slope_to_zero(table):
    # Build what was left out: explains a share rv of both residuals, given the other terms.
    design = LinkDesign("score ~ own_share + log(people)", cluster="oblast")
    told = link_autonomy(table, design).details
    X = np.column_stack([np.ones(len(table)), np.log(table["people"])])

    def rest(y, X):
        return y - X @ np.linalg.lstsq(X, y)[0]

    share = rest(table["own_share"].to_numpy(), X)
    full = np.column_stack([X, table["own_share"]])
    left = rest(table["score"].to_numpy(), full)
    noise = rest(np.random.default_rng(0).normal(size=len(table)), np.column_stack([full, left]))
    rv = told["robustness_value"]
    # Of the confounder's variance, rv along the measure; rv of what is then left along the score.
    unit = [part / np.linalg.norm(part) for part in (share, left, noise)]
    hidden = (
        np.sqrt(rv) * unit[0] + np.sqrt((1 - rv) * rv) * unit[1] + (1 - rv) * unit[2]
    ) * np.sign(told["t_classical"])
    fuller = table.assign(hidden=hidden)
    after = link_autonomy(fuller, design.change(formula="score ~ own_share + log(people) + hidden"))
    assert abs(after.measure["estimate"]) < 1e-9
    assert told["robustness_value_alpha"] < rv
