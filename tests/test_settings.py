"""The settings of the comparative study: each slope by an independent route, dense and by hand."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research.datasets import load_dataset
from lgpi_research.methods.places import unit_reliability
from lgpi_research.study import StudyResults, load_study
from tests.test_study import by_hand, dummies


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
    frame["score"] = (frame[DIMENSIONS].mean(axis=1, skipna=False) + 2.5) / 5
    errors = [f"{name}_std_error" for name in DIMENSIONS]
    frame["error"] = frame[errors].mean(axis=1, skipna=False) / 5
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
