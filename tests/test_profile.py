"""Profiles: what is told is in the tables, gaps stay gaps, and nothing is estimated."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.patches import PathPatch
from numpy.testing import assert_allclose
from scipy import stats

from lgpi_research import plots
from lgpi_research.alignment import assess_alignment
from lgpi_research.autonomy import assess_budgets
from lgpi_research.datasets import load_dataset, load_moments, recipe_path
from lgpi_research.dimensions import assess_dimensions
from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.profile import (
    DESCRIBERS,
    check_options,
    describe_alignment,
    describe_dimensions,
    describe_map,
    describe_missing,
    describe_rankings,
    describe_reliability,
    describe_series,
)
from lgpi_research.reliability import assess_reliability
from lgpi_research.results import load_result

SERIES = {
    "table": "panel",
    "unit": "iso3",
    "period": "year",
    "columns": {"share": "Own revenue share", "voice": "Voice"},
    "highlight": "KAZ",
    "peers": "near",
    "peers_table": "countries",
    "peers_label": "neighbours",
    "name_column": "country",
}
MAP = {
    "table": "places",
    "unit": "code",
    "column": "x",
    "outlines": "outlines",
    "title": "A map",
    "name_column": "name",
}


@pytest.fixture(autouse=True)
def no_figures_left() -> Iterator[None]:
    yield
    plt.close("all")


def world() -> dict[str, pd.DataFrame]:
    """Four countries and six years; Kazakhstan misses one year and has no last share."""
    years = np.arange(2010, 2016)
    rows = [
        {
            "iso3": code,
            "year": year,
            "share": level + 0.01 * (year - 2010),
            "voice": -level,
            "voice_std_error": 0.1,
        }
        for code, level in (("KAZ", 0.3), ("KGZ", 0.2), ("UZB", 0.4), ("FRA", 0.9))
        for year in years
    ]
    panel = pd.DataFrame(rows)
    gone = (panel["iso3"] == "KAZ") & panel["year"].isin([2012, 2015])
    panel.loc[gone, "share"] = np.nan
    countries = pd.DataFrame(
        {
            "iso3": ["FRA", "KAZ", "KGZ", "UZB", "XXX"],
            "country": ["France", "Kazakhstan", "Kyrgyzstan", "Uzbekistan", "Nowhere"],
            "near": [0, 1, 1, 1, 1],
        }
    )
    return {"panel": panel, "countries": countries}


def ranked(n: int = 30, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Units scored by two known sets of weights."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(n, 4))
    first, second = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.1, 0.2, 0.3, 0.4])
    table = pd.DataFrame(x, columns=list("pqrs"))
    table.insert(0, "place", [f"unit {i}" for i in range(n)])
    return table.assign(one=x @ first, two=x @ second, bad=0), first, second


RANKINGS = {
    "table": "t",
    "unit": "place",
    "scores": {"one": "first weights", "two": "second weights"},
    "dimensions": {"early": ["p", "q"], "late": ["r", "s"]},
}


def squares(**values: float) -> dict[str, pd.DataFrame]:
    """A row of unit squares on the equator's side, one a unit; b has a hole."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    rows = []
    for place, code in enumerate("abc"):
        rings = [np.add(corners, [place, 60.0])]
        if code == "b":
            rings.append(np.add(corners[::-1] / 4, [place + 0.1, 60.3]))
        for ring, points in enumerate(rings, 1):
            rows += [(code, ring, vertex, *xy) for vertex, xy in enumerate(points.tolist(), 1)]
    outlines = pd.DataFrame(rows, columns=["code", "ring", "vertex", "longitude", "latitude"])
    places = pd.DataFrame({"code": list(values), "x": list(values.values())})
    return {"places": places.assign(name="Place " + places["code"]), "outlines": outlines}


# Series -------------------------------------------------------------------------------------


def test_the_headline_gives_last_year_value_and_rank_among_peers_with_data():
    found = describe_series(world(), **SERIES)
    table = found.summary().set_index("measure")
    assert table.loc["share", ["period", "n_periods"]].tolist() == ["2014", 4]
    assert table.loc["share", "value"] == pytest.approx(0.34)
    assert table.loc["share", ["rank", "n_ranked"]].tolist() == [2, 3]
    assert table.loc["share", "peer_median"] == pytest.approx((0.24 + 0.44) / 2)
    assert found.headline() == (
        "Kazakhstan among 2 neighbours, 1 being the highest value: Own revenue share 0.34 in "
        "2014 (rank 2 of 3); Voice -0.30 in 2015 (rank 2 of 3)."
    )


def test_countries_that_are_no_peers_are_not_ranked():
    assert set(describe_series(world(), **SERIES).frame["unit"]) == {"KAZ", "KGZ", "UZB"}


def test_a_peer_without_a_value_in_that_year_is_not_counted():
    tables = world()
    panel = tables["panel"]
    panel.loc[(panel["iso3"] == "UZB") & (panel["year"] == 2014), "share"] = np.nan
    row = describe_series(tables, **SERIES).summary().iloc[0]
    assert (row["rank"], row["n_ranked"]) == (1, 2)


def test_gaps_are_told_and_stay_gaps_in_the_picture():
    found = describe_series(world(), **SERIES)
    assert any("in 4 of the 6 periods" in n and "none in 2012, 2015" in n for n in found.notes)
    ax = found.plot(measure="share")
    bold = max(ax.lines, key=lambda line: line.get_linewidth())
    assert np.isnan(bold.get_ydata()).tolist() == [False, False, True, False, False, True]


def test_standard_errors_are_drawn_as_intervals_where_there_are_any():
    found = describe_series(world(), **SERIES)
    assert not found.frame.loc[found.frame["measure"] == "share", "std_error"].notna().any()
    parts = found.plot(measure="voice").collections
    (band,) = [part for part in parts if isinstance(part, PolyCollection)]
    edges = band.get_paths()[0].vertices[:, 1]
    assert_allclose([edges.min(), edges.max()], [-0.3 - 0.196, -0.3 + 0.196], atol=1e-4)
    parts = found.plot(measure="share").collections
    assert not any(isinstance(part, PolyCollection) for part in parts)
    assert "95 % intervals" in found.methods_text()


def test_small_multiples_have_a_panel_for_each_measure():
    axes = describe_series(world(), **SERIES).plot()
    titles = [panel.get_title(loc="left") for panel in axes.figure.axes if panel.get_visible()]
    assert titles == ["Own revenue share", "Voice"]


def test_a_measure_without_data_says_so():
    tables = world()
    tables["panel"].loc[tables["panel"]["iso3"] == "KAZ", "voice"] = np.nan
    found = describe_series(tables, **SERIES)
    assert "Voice: no data" in found.headline()
    assert np.isnan(found.summary()["value"].iloc[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"table": "panels"}, "there is no table 'panels'. Did you mean 'panel'?"),
        ({"columns": {"shares": "x"}}, "panel has no column 'shares'. Did you mean 'share'?"),
        ({"highlight": "KAX"}, "panel has no unit 'KAX'. Did you mean 'KAZ'?"),
        ({"columns": {}}, "name at least one measure"),
    ],
)
def test_slips_of_a_series_are_told(changes, message):
    with pytest.raises(SpecError) as caught:
        describe_series(world(), **{**SERIES, **changes})
    assert message in str(caught.value)


def test_a_country_that_stands_twice_in_a_year_is_refused():
    tables = world()
    tables["panel"] = pd.concat([tables["panel"], tables["panel"].head(1)])
    with pytest.raises(DataError, match="iso3, year is not unique: 1 rows repeat"):
        describe_series(tables, **SERIES)


# Rankings -----------------------------------------------------------------------------------


def test_known_weights_are_recovered_and_the_shifts_add_up():
    table, first, second = ranked()
    found = describe_rankings({"t": table}, **RANKINGS)
    assert_allclose(list(found.details["weights"].values()), np.column_stack([first, second]))
    change = table["two"] - table["one"]
    assert_allclose(found.frame["shift"], change - change.mean(), atol=1e-12)
    assert_allclose(found.frame["shift_early"] + found.frame["shift_late"], found.frame["shift"])
    early = (table[["p", "q"]] - table[["p", "q"]].mean()) @ (second - first)[:2]
    assert_allclose(found.frame["shift_early"], early, atol=1e-12)


def test_agreement_is_that_of_scipy_and_of_counted_pairs():
    table, *_ = ranked(12)
    found = describe_rankings({"t": table}, **RANKINGS)
    same = [
        np.sign(a["one"] - b["one"]) * np.sign(a["two"] - b["two"])
        for (_, a), (_, b) in itertools.combinations(table.iterrows(), 2)
    ]
    assert found.details["kendall"] == pytest.approx(np.mean(same))
    ranks = table[["one", "two"]].rank()
    assert found.details["spearman"] == pytest.approx(np.corrcoef(ranks.T)[0, 1])
    assert_allclose(found.frame["rank_first"], len(table) + 1 - ranks["one"])


def test_scores_that_are_no_weighted_sum_get_no_reasons():
    table, *_ = ranked()
    table["two"] += 0.01 * np.sin(7 * np.arange(len(table)))
    found = describe_rankings({"t": table}, **RANKINGS)
    assert found.details["weights"] == {}
    assert "main_reason" not in found.summary()
    assert any("not reproduced" in note for note in found.notes)
    assert "could not be reproduced" in found.methods_text()
    found.plot()


def test_a_perfect_fit_that_any_scores_would_have_is_no_reproduction():
    table, *_ = ranked(4)
    assert describe_rankings({"t": table}, **RANKINGS).details["weights"] == {}


def test_rank_bounds_are_the_extremes_over_all_corners_of_the_flagged_cells():
    table, first, _ = ranked(8, seed=4)
    table.loc[[1, 5], "bad"] = 1
    table.loc[[1, 3], "worse"] = 1
    table["worse"] = table["worse"].fillna(0)
    found = describe_rankings({"t": table}, **RANKINGS, flagged={"p": "bad", "r": "worse"})
    x = table[list("pqrs")].to_numpy()
    cells = [(1, 0), (5, 0), (1, 2), (3, 2)]
    ranks = []
    for corner in itertools.product([0.0, 1.0], repeat=len(cells)):
        moved = x.copy()
        for (row, column), value in zip(cells, corner, strict=True):
            moved[row, column] = value
        ranks.append(stats.rankdata(-(moved @ first)))
    assert_allclose(found.frame["rank_first_best"], np.min(ranks, axis=0))
    assert_allclose(found.frame["rank_first_worst"], np.max(ranks, axis=0))
    assert found.details["n_flagged"] == 4


def test_the_slope_chart_names_every_unit_on_both_sides_without_overlap():
    table, *_ = ranked(20)
    table.loc[3, ["one", "two"]] = table.loc[4, ["one", "two"]]  # a tie in both
    table.loc[3, list("pqrs")] = table.loc[4, list("pqrs")]
    ax = describe_rankings({"t": table}, **RANKINGS).plot()
    ax.figure.canvas.draw()
    assert len(ax.texts) == 40
    for side in (ax.texts[:20], ax.texts[20:]):
        boxes = sorted((text.get_window_extent() for text in side), key=lambda box: box.y0)
        assert all(a.y1 <= b.y0 + 0.5 for a, b in itertools.pairwise(boxes))


def test_rankings_need_two_scores_three_units_and_known_indicators():
    table, *_ = ranked()
    with pytest.raises(SpecError, match="two columns are compared, got 1"):
        describe_rankings({"t": table}, **{**RANKINGS, "scores": {"one": "x"}})
    with pytest.raises(SpecError, match="'o' is in no dimension"):
        describe_rankings({"t": table}, **RANKINGS, flagged={"o": "bad"})
    table.loc[2:, "two"] = np.nan
    with pytest.raises(MethodError, match="2 units have both scores; 3 are needed"):
        describe_rankings({"t": table}, **RANKINGS)


# Maps ---------------------------------------------------------------------------------------


def test_a_map_draws_each_unit_and_hatches_those_without_a_value():
    found = describe_map(squares(a=1.0, b=2.0), **MAP)
    assert found.notes == ("1 of 3 units have no value (c).",)
    assert found.headline() == (
        "A map: from 1.00 in Place a to 2.00 in Place b, 2 of 3 units; 1 without a value."
    )
    ax = found.plot()
    patches = [patch for patch in ax.patches if isinstance(patch, PathPatch)]
    assert [patch.get_hatch() for patch in patches].count("////") == 1
    assert ax.get_aspect() == pytest.approx(1 / np.cos(np.radians(60.5)))
    assert ax.get_legend() is not None


def test_equal_values_have_equal_colours_and_the_ends_of_the_scale_differ():
    ax = describe_map(squares(a=1.0, b=2.0, c=1.0), **MAP).plot()
    faces = [patch.get_facecolor() for patch in ax.patches if isinstance(patch, PathPatch)]
    assert len(set(faces)) == 2
    assert ax.get_legend() is None


def test_the_credit_of_the_outlines_stands_beside_the_map():
    found = describe_map(squares(a=1.0, b=2.0, c=1.0), **MAP, credit="maps of somebody")
    assert any("maps of somebody" in text.get_text() for text in found.plot().texts)
    assert "maps of somebody" in found.methods_text()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a": 1.0, "z": 2.0}, r"1 units of places have no outline \(z\)"),
        ({"a": np.nan}, "places: x has no value"),
    ],
)
def test_what_cannot_be_drawn_is_refused(values, message):
    with pytest.raises(DataError, match=message):
        describe_map(squares(**values), **MAP)


def test_a_saved_map_is_drawn_again(tmp_path):
    found = describe_map(squares(a=1.0, b=2.0), **MAP)
    again = load_result(found.save(tmp_path / "map.parquet"))
    one = plots.save_figure(found.plot(), tmp_path / "one.png").read_bytes()
    assert plots.save_figure(again.plot(), tmp_path / "two.png").read_bytes() == one


# What cannot be said ------------------------------------------------------------------------


def test_counts_are_computed_from_the_tables_and_put_into_the_reason():
    tables = {
        "b": pd.DataFrame({"r": ["x", "x", "y"], "tier": ["top", "low", "low"]}),
        "r": pd.DataFrame({"r": ["x", "y", "z"]}),
    }
    item = {
        "question": "Who?",
        "why": "{have} of {all} have one.",
        "data_needed": "All.",
        "have": {"table": "b", "column": "r", "where": {"tier": "top"}},
        "all": {"table": "r", "column": "r"},
    }
    two = {**item, "have": {"table": "b", "column": "r", "where": {"tier": ["top", "low"]}}}
    plain = {"question": "Why?", "why": "Nobody asked.", "data_needed": "A survey."}
    found = describe_missing(tables, items=[item, two, plain])
    assert found.frame["why"].tolist() == [
        "1 of 3 have one.",
        "2 of 3 have one.",
        "Nobody asked.",
    ]
    assert found.frame[["n_have", "n_all"]].iloc[:2].to_numpy().tolist() == [[1, 3], [2, 3]]
    assert [text.get_text() for text in found.plot().texts] == ["1 of 3", "2 of 3"]
    with pytest.raises(DataError, match="Nothing was counted"):
        describe_missing(tables, items=[plain]).plot()


def test_all_slips_of_the_questions_are_told_at_once():
    items = [
        {"question": "Who?", "why": "{have}.", "data_needed": "All.", "al": 1},
        {"question": "", "why": "x", "data_needed": "y", "have": {"table": "q", "column": "r"}},
    ]
    with pytest.raises(SpecError, match="5 problems") as caught:
        describe_missing({}, items=items)
    text = str(caught.value)
    assert "item 1: unknown entry 'al'. Did you mean 'all'?" in text
    assert "item 1: why names {have}, which is not counted" in text
    assert "item 2: question is missing" in text
    assert "item 2, have: there is no table 'q'" in text
    assert "item 2: 'have' and 'all' go together" in text


# The recipe of Kazakhstan -------------------------------------------------------------------


@pytest.fixture(scope="module")
def kazakhstan() -> dict:
    """Results of the shipped descriptions that rest on Kazakhstan's own tables."""
    names = ["regions", "budgets", "withdrawals", "map"]
    tables = {f"kazakhstan_{name}": load_dataset(f"kazakhstan_{name}").frame for name in names}
    told = tomllib.loads(recipe_path("kazakhstan").read_text("utf-8"))["describe"]
    found = {}
    for item in told:
        options = {key: value for key, value in item.items() if key not in ("name", "method")}
        assert check_options(item["method"], options) == []
        if item["method"] != "series":
            found[item["name"]] = DESCRIBERS[item["method"]](tables, **options)
    return found


def test_every_shipped_description_is_drawn_saved_and_cited(kazakhstan, tmp_path):
    assert {result.kind for result in kazakhstan.values()} == {
        "budget_profile",
        "profile_rankings",
        "profile_map",
        "profile_missing",
    }
    for result in kazakhstan.values():
        plots.close(result.plot())
        again = load_result(result.save(tmp_path / "a.parquet"))
        assert again.headline() == result.headline()
        assert again.digest() == result.digest()
        assert result.references == ""


def test_no_description_speaks_of_effects(kazakhstan):
    for result in kazakhstan.values():
        text = " ".join([result.headline(), result.methods_text(), *result.notes])
        assert not re.search(r"\b(effects?|impacts?|leads? to|causes?|estimates?)\b", text)


def test_the_published_rankings_are_reproduced_and_turkistan_moves_most(kazakhstan):
    found = kazakhstan["two published rankings of regions"]
    assert found.details["misfit"] < 1e-12
    assert len(found.frame) == 19
    assert found.summary().iloc[0][["label", "change", "main_reason"]].tolist() == [
        "Turkistan",
        10,
        "environment",
    ]
    assert "Turkistan rises from 15 to 5, mainly by environment" in found.headline()
    assert "first place of West Kazakhstan rests on cells known to be wrong" in found.headline()
    published = load_dataset("kazakhstan_regions").frame.dropna(subset=["rank_equal"])
    assert_allclose(found.frame["rank_first"], published["rank_equal"])
    assert_allclose(found.frame["rank_second"], published["rank_environment"])


def test_budgets_in_the_profile_are_those_of_the_stage_and_donors_change_nothing(kazakhstan):
    found = kazakhstan["local budgets"]
    source = load_dataset("kazakhstan_budgets").frame
    roles = found.details["roles"]
    plain = assess_budgets(
        source, roles, unit="budget", tier="tier", basis="basis", period="budget_year"
    )
    pd.testing.assert_frame_equal(found.frame, plain.frame)
    assert any("3 donors pay 879,947,069 thousand tenge" in note for note in found.notes)


def test_counts_behind_the_open_questions_are_true(kazakhstan):
    found = kazakhstan["what cannot be said for lack of data"].frame
    budgets = load_dataset("kazakhstan_budgets").frame
    top = budgets[budgets["tier"] == "region"]
    assert found["n_have"].tolist() == [
        top["iso_3166_2"].nunique(),
        (top["budget_year"] == 2024).sum(),
        0,
        0,
        14,
    ]
    assert top["budget_year"].value_counts().max() == 2
    assert "largest number of region-tier budgets of one year is two" in found["why"][1]


def test_a_describer_that_does_not_exist_gets_the_nearest_spelling():
    (told,) = check_options("serie", {})
    assert told.startswith("unknown description 'serie'. Did you mean 'series'?")
    assert check_options("missing", {"items": [], "item": []}) == [
        "missing: unknown option 'item'. Did you mean 'items'?"
    ]


def test_reliability_of_shared_moments_is_that_of_the_stage():
    moments = load_moments("afrobarometer_r3")
    tables = {"answers": moments, "panel": pd.DataFrame({"a": [1]})}
    told = describe_reliability(tables, table="answers", by="stratum", seed=0)
    direct = assess_reliability(moments, by="stratum", seed=0)
    pd.testing.assert_frame_equal(told.frame, direct.frame)
    with pytest.raises(SpecError, match=r"'panel' holds no moments\. Moments: answers"):
        describe_reliability(tables, table="panel")
    with pytest.raises(SpecError, match=r"'answer' is not among the sources\. Did you mean"):
        describe_reliability(tables, table="answer")
    with pytest.raises(SpecError, match="answers holds moments, and a table is needed"):
        describe_series(tables | world(), **(SERIES | {"table": "answers"}))
    assert check_options("reliability", {"table": "answers", "seed": 1}) == [
        "reliability: unknown option 'seed'."
    ]


def test_dimensions_of_shared_moments_are_those_of_the_stage():
    moments = load_moments("afrobarometer_r4_pairs")
    tables = {"answers": moments, "panel": pd.DataFrame()}
    told = describe_dimensions(tables, table="answers", correlation="polychoric", seed=0)
    direct = assess_dimensions(moments, correlation="polychoric", seed=0)
    assert told.digest() == direct.digest()
    assert told.frame["parallel"].tolist() == [1, 1]
    assert (told.loadings()["factor_1"] > 0.65).all()
    with pytest.raises(SpecError, match="'dimensions': 'panel' holds no moments"):
        describe_dimensions(tables, table="panel")
    assert check_options("dimensions", {"table": "answers", "by": "stratum"}) == []


def test_alignment_of_shared_moments_is_that_of_the_stage():
    moments = load_moments("afrobarometer_r4")
    told = describe_alignment({"answers": moments}, table="answers")
    assert told.digest() == assess_alignment(moments, "stratum").digest()
    assert told.frame.groupby("dimension").size().to_dict() == {
        "council practice": 20,
        "services": 20,
    }
    # Independent answers are supposed to tell more than clustered ones do.
    normal = assess_alignment(moments, "stratum", errors="normal")
    for name, share in told.details["noninvariant_share"].items():
        assert share < normal.details["noninvariant_share"][name] < 0.4
    with pytest.raises(SpecError, match="'alignment': 'answer' is not among the sources"):
        describe_alignment({"answers": moments}, table="answer")
