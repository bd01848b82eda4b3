"""The settings of the comparative study: each slope by an independent route, dense and by hand."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research.datasets import load_dataset, recipe_path
from lgpi_research.errors import DataError, SpecError
from lgpi_research.loading import load_study
from lgpi_research.methods.places import unit_reliability
from lgpi_research.study import StudyResults
from lgpi_research.synthesis import synthesise
from tests.test_study import by_hand, dummies

SETTINGS = ("ukraine", "vietnam", "burkina_faso", "eu", "russia", "world")


@functools.cache
def run(name: str) -> StudyResults:
    return load_study(name).run(stages=("link",), seed=0)


def agree(name: str, link: str, y, columns: list, clusters) -> None:
    """Compare slope, standard error, degrees of freedom and count with the dense formulas."""
    X = np.column_stack([np.asarray(column, dtype=float) for column in columns])
    found = by_hand(np.asarray(y, dtype=float), X, np.asarray(clusters))
    row = run(name).links[link].measure
    assert row["n_used"] == len(X)
    assert_allclose([row["estimate"], row["std_error"], row["df"]], found, rtol=1e-7)


# World

DIMENSIONS = ["voice", "effectiveness", "regulation", "rule_of_law", "corruption_control"]


def world() -> pd.DataFrame:
    panel = load_dataset("world_panel").frame
    facts = load_dataset("world_countries").frame.drop(columns="country")
    frame = panel.merge(facts, on="iso3", validate="m:1")
    frame["score"] = frame[DIMENSIONS].mean(axis=1, skipna=False)
    errors = [f"{name}_std_error" for name in DIMENSIONS]
    frame["error"] = frame[errors].mean(axis=1, skipna=False)
    return frame[frame["eu27"] == 0]


def means_of_countries() -> pd.DataFrame:
    frame = world()
    years = frame[frame["year"].between(2012, 2016)]
    return years.groupby("iso3").mean(numeric_only=True)


@pytest.mark.parametrize(
    ("link", "measure"),
    [
        ("own revenue share, means 2012-2016", "own_revenue_share"),
        ("tax share, means 2012-2016", "tax_share"),
        ("transfer dependence as the measure", "transfer_dependence"),
    ],
)
def test_the_worlds_slopes_between_countries(link, measure):
    frame = means_of_countries()
    used = frame[["score", measure, "gdp_per_head", "population"]].dropna()
    controls = [np.log(used["gdp_per_head"]), np.log(used["population"]), np.ones(len(used))]
    agree("world", link, used["score"], [used[measure], *controls], np.arange(len(used)))


def test_the_worlds_slope_within_countries():
    used = world()[["iso3", "year", "score", "own_revenue_share"]].dropna()
    columns = [used["own_revenue_share"], np.ones(len(used))]
    X = np.column_stack([*columns, dummies(used["iso3"]), dummies(used["year"])])
    agree("world", "within countries, 1996-2017", used["score"], list(X.T), used["iso3"])


def test_the_noise_of_the_worlds_score_is_taken_out_between_and_refused_within():
    main = run("world")["link"].details
    used = means_of_countries()[["score", "error", "own_revenue_share"]].dropna()
    known = unit_reliability(used["score"].to_numpy(), used["error"].to_numpy())
    assert_allclose(main["score_reliability"], known.squared_correlation)
    assert_allclose(main["sd_score"], used["score"].std() * np.sqrt(known.squared_correlation))

    within = run("world").links["within countries, 1996-2017"]
    assert within.details["score_reliability"] is None
    rows = world().dropna(subset=["score", "own_revenue_share"])
    waves = rows.pivot(index="iso3", columns="year", values="score").corr(min_periods=3)
    stability = np.nanmean(waves.to_numpy()[np.triu_indices(len(waves), 1)])
    over_all = unit_reliability(rows["score"].to_numpy(), rows["error"].to_numpy())
    share = (over_all.squared_correlation - stability) / (1 - stability)
    assert share < 0
    assert f"so {share:.2f} within" in " ".join(within.notes)


def test_one_country_carries_much_of_the_worlds_slope():
    told = run("world")["link"].details
    assert told["without_high_cluster"] == "United Arab Emirates"
    frame = means_of_countries().drop(index="ARE")
    used = frame[["score", "own_revenue_share", "gdp_per_head", "population"]].dropna()
    X = np.column_stack(
        [
            used["own_revenue_share"],
            np.log(used[["gdp_per_head", "population"]]),
            np.ones(len(used)),
        ]
    )
    assert_allclose(told["without_high"], np.linalg.lstsq(X, used["score"])[0][0])


# Ukraine and the EU: what stands beside the main links


def test_ukraines_share_says_nothing_beside_revenue_per_head():
    links = run("ukraine").links
    main, wealth = links["own revenue share"].details, links["own revenue per head"].details
    both = links["own revenue share, at equal revenue per head"]
    assert main["slope_low"] > 0
    assert wealth["slope_low"] > 0
    assert both.details["role"] == "warning"
    assert both.measure["std_error"] > 3 * links["own revenue share"].measure["std_error"]


def test_the_eus_regional_authority_by_hand():
    frame = load_dataset("eu_regions").frame.dropna(subset="gdp_per_head")
    pillars = load_dataset("eu_regions").frame[["quality", "impartiality", "corruption"]]
    score = ((pillars - pillars.mean()) / pillars.std()).mean(axis=1)[frame.index]
    columns = [frame["regional_authority"], np.log(frame["gdp_per_head"]), np.ones(len(frame))]
    agree("eu", "regional authority", score, columns, frame["country"])


# Viet Nam

PAPI = ["participation", "transparency", "corruption_control", "procedures", "services"]


def vietnam() -> pd.DataFrame:
    frame = load_dataset("vietnam_provinces").frame
    parts = [name for name in frame if name.startswith(tuple(f"{kind}_" for kind in PAPI))]
    assert len(parts) == 19
    return frame.assign(score=frame[parts].sum(axis=1, skipna=False))


@pytest.mark.parametrize(
    ("link", "measure", "years"),
    [
        ("planned share, within provinces", "own_share_plan", (2011, 2016)),
        ("planned share, within provinces to 2014", "own_share_plan", (2011, 2014)),
        ("final share, within provinces", "own_share_final", (2011, 2014)),
    ],
)
def test_viet_nams_slopes_within_provinces(link, measure, years):
    frame = vietnam()
    used = frame[frame["year"].between(*years)].dropna(subset=["score", measure])
    columns = [used[measure], np.ones(len(used))]
    X = np.column_stack([*columns, dummies(used["province"]), dummies(used["year"])])
    agree("vietnam", link, used["score"], list(X.T), used["province"])


def test_viet_nams_slope_between_provinces():
    means = vietnam().groupby("province")[["score", "own_share_plan"]].mean()
    columns = [means["own_share_plan"], np.ones(len(means))]
    agree(
        "vietnam", "planned share, between provinces", means["score"], columns,
        np.arange(len(means)),
    )  # fmt: skip


def test_viet_nams_index_is_the_sum_of_the_parts_of_five_dimensions():
    study = load_study("vietnam")
    scores = study.scores().frame.set_index(["unit", "period"])["score"]
    frame = load_dataset("vietnam_provinces").frame.set_index(["province", "year"])
    parts = frame[list(study.spec.indicators)].sum(axis=1)[scores.index]
    assert_allclose(scores, (parts - 5) / 45, rtol=1e-12)
    linked = study.link_table(study.scores()).set_index(["province", "year"])["score"]
    assert_allclose(linked[scores.index], parts, rtol=1e-12)  # in points, as published
    published = frame[PAPI].sum(axis=1)[scores.index]
    assert np.abs(parts - published).max() < 0.01
    assert len(scores) == 376


def test_planned_and_final_budgets_point_different_ways_within_provinces():
    links = run("vietnam").links
    plan, final = (links[f"{kind} share, within provinces"] for kind in ("planned", "final"))
    same_years = links["planned share, within provinces to 2014"]
    assert plan.details["slope"] > 0 > final.details["slope"]
    assert same_years.details["slope"] > 0  # so it is the kind of budget, not the years
    assert (plan.details["basis"], final.details["basis"]) == ("plan", "outturn")
    assert all(link.details["within"] for link in (plan, final))


# Burkina Faso


def communes() -> pd.DataFrame:
    frame = load_dataset("burkina_faso_communes").frame
    frame = frame[frame["taxes_per_head"] != 0]
    book = load_study("burkina_faso").recipe.codebook
    services = [item.name for item in book if item.dimension == "services"]
    council = [item.name for item in book if item.dimension == "council"]
    most = {item.name: item.goalposts[1] for item in book}
    assert sum(most[name] for name in services) == 140
    clipped = frame[[*services, *council]].clip(upper=pd.Series(most), axis=1)
    return frame.assign(
        score=clipped.sum(axis=1, skipna=False),
        services=clipped[services].sum(axis=1, skipna=False),
    )


@pytest.mark.parametrize(
    ("link", "outcome"),
    [
        ("local taxes per head", "score"),
        ("services, 2017", "services"),
        ("points without the population, 2017", "points_without_population"),
        ("the published total", "published_total"),
    ],
)
def test_burkina_fasos_slopes_within_regions(link, outcome):
    frame = communes()
    used = frame[frame["year"] == 2017].dropna(subset=[outcome, "score", "taxes_per_head"])
    used = used if outcome != "published_total" else used.dropna(subset=["institutional_total"])
    columns = [np.log(used["taxes_per_head"]), np.ones(len(used))]
    X = np.column_stack([*columns, dummies(used["region"])])
    agree("burkina_faso", link, used[outcome], list(X.T), used["province"])
    assert used["province"].nunique() == 45


def test_burkina_fasos_slope_within_communes():
    used = communes().dropna(subset=["score", "taxes_per_head"])
    columns = [np.log(used["taxes_per_head"]), np.ones(len(used))]
    X = np.column_stack([*columns, dummies(used["commune_id"]), dummies(used["year"])])
    agree(
        "burkina_faso", "services, within communes", used["services"], list(X.T), used["province"]
    )


def test_the_published_total_is_mechanical_and_would_have_shown_a_clear_link():
    links = run("burkina_faso").links
    total, main = links["the published total"].details, links["local taxes per head"].details
    assert total["mechanical"]
    assert "shares local taxes with the measure" in total["because"]
    assert total["slope_low"] > main["slope_high"]


def test_alpha_of_the_nine_service_points_is_that_of_a_formative_index():
    found = load_study("burkina_faso").run(stages=("reliability",), seed=0)["reliability"]
    table = found.summary()
    row = table[(table["dimension"] == "services") & (table["coefficient"] == "alpha")].iloc[0]
    assert round(row["estimate"], 2) == 0.17
    assert row["measurement"] == "formative"


# Russia


def cities() -> pd.DataFrame:
    frame = load_dataset("russia_cities").frame
    frame = frame[(frame["duplicated"] == 0) & (frame["institutions"] > 0)]
    kinds = ["state_assignment", "service_quality", "service_volume", "budget_plan"]
    counts = frame[[f"disclosing_{kind}" for kind in kinds]]
    return frame.assign(score=counts.div(frame["institutions"], axis=0).mean(axis=1))


@pytest.mark.parametrize(
    ("link", "outcome"),
    [("own share, within cities", "score"), ("published rating, within cities", "rating")],
)
def test_russias_slopes_within_cities(link, outcome):
    used = cities().dropna(subset=["own_share"])
    columns = [used["own_share"], np.ones(len(used))]
    X = np.column_stack([*columns, dummies(used["oktmo"]), dummies(used["year"])])
    agree("russia", link, used[outcome], list(X.T), used["region"])
    assert used["region"].nunique() == 67


def test_russias_slope_between_cities():
    frame = cities()
    means = frame.groupby("oktmo")[["score", "own_share"]].mean()
    means["region"] = frame.groupby("oktmo")["region"].first()
    used = means.dropna()
    columns = [used["own_share"], np.ones(len(used))]
    agree("russia", "own share, between cities", used["score"], columns, used["region"])


# What a recipe may not do


def changed(tmp_path, name: str, old: str, new: str):
    text = recipe_path(name).read_text("utf-8")
    assert old in text
    path = tmp_path / f"{name}.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_a_plan_and_an_outturn_do_not_mix_in_one_link(tmp_path):
    path = changed(
        tmp_path, "vietnam", "score ~ own_share_plan | province + year",
        "score ~ own_share_plan + own_ratio_final | province + year",
    )  # fmt: skip
    with pytest.raises(SpecError, match=r"plan: own_share_plan; outturn: own_ratio_final"):
        load_study(path)


def test_a_year_that_the_table_misses_is_named(tmp_path):
    path = changed(tmp_path, "vietnam", "periods = [2011,", "periods = [2010, 2011,")
    with pytest.raises(DataError, match=r"year: no row of 2010; there are 2011, 2012"):
        load_study(path)
    path = changed(tmp_path, "russia", "periods = [2012, 2013,", "periods = [2013,")
    with pytest.raises(DataError, match="year: 2012 are not declared; add them, or exclude them"):
        load_study(path)


def test_points_for_taxes_are_refused_as_part_of_the_score(tmp_path):
    path = changed(
        tmp_path, "burkina_faso", 'name = "points_council_attendance"',
        'name = "points_tax_recovery_rate"',
    )  # fmt: skip
    with pytest.raises(SpecError, match="points_tax_recovery_rate: shares local_taxes with"):
        load_study(path).run(stages=("link",))


def test_settings_of_different_questions_are_not_pooled():
    mains = {name: run(name)["link"] for name in SETTINGS}
    with pytest.raises(SpecError, match=r"6 estimand groups(.|\n)*have no common value"):
        synthesise(mains, sources={name: name for name in SETTINGS})
