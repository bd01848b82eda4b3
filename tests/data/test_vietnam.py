"""Provinces of Viet Nam: sums, breaks, budgets, and every number of the caveats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research.datasets import Dataset, load_dataset
from lgpi_research.errors import SpecError
from lgpi_research.mechanical import check_mechanical
from lgpi_research.spec import LinkDesign

RAW = Path(__file__).resolve().parents[3] / "shared" / "data" / "raw"
needs_raw = pytest.mark.skipif(not RAW.is_dir(), reason="the published source files are not here")

DIMENSIONS = [
    "participation",
    "transparency",
    "accountability",
    "corruption_control",
    "procedures",
    "services",
]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("vietnam_provinces")


@pytest.fixture(scope="module")
def provinces(data: Dataset) -> pd.DataFrame:
    return data.frame


@pytest.fixture(scope="module")
def parts(data: Dataset) -> dict[str, list[str]]:
    """Return the parts of each dimension, as the lineage has them."""
    return {name: list(data.columns[name].made_from) for name in DIMENSIONS}


def told(data: Dataset, fact: str) -> bool:
    """Return whether exactly one caveat holds a fact."""
    return sum(fact in caveat for caveat in data.caveats) == 1


def test_63_provinces_in_six_years_all_with_a_planned_budget(provinces):
    assert provinces.shape == (378, 44)
    assert provinces["province"].nunique() == 63
    assert provinces.groupby("province")["year"].agg(list).map(tuple).unique().tolist() == [
        tuple(range(2011, 2017))
    ]
    plan = [f"{name}_plan" for name in ("own_revenue", "expenditure", "own_share")]
    assert provinces[plan].notna().all(axis=None)
    assert {"Ba Ria-Vung Tau", "Ho Chi Minh City"} <= set(provinces["province"])
    assert not provinces["province"].isin(["BRVT", "TP HCM", "Ha Tay"]).any()


def test_totals_of_zero_are_missing_with_all_their_parts(data, provinces, parts):
    scores = [*DIMENSIONS, *(part for names in parts.values() for part in names), "papi_total"]
    blank = provinces[provinces["papi_total"].isna()]
    assert blank[["province", "year"]].to_numpy().tolist() == [
        ["Bac Giang", 2014],
        ["Dong Thap", 2014],
    ]
    assert blank[scores].isna().all(axis=None)
    assert provinces["papi_total"].min() > 30
    assert told(data, "missing for Bac Giang and Dong Thap in 2014")


def test_each_dimension_is_the_sum_of_its_parts_and_the_total_of_the_dimensions(provinces, parts):
    scored = provinces[provinces["papi_total"].notna()]
    assert len(scored) == 376
    for dimension, names in parts.items():
        assert_allclose(scored[names].sum(axis=1), scored[dimension], rtol=0, atol=3e-6)
    assert_allclose(scored[DIMENSIONS].sum(axis=1), scored["papi_total"], rtol=0, atol=1e-9)


def test_there_are_22_parts_a_year_and_their_ends_add_up_to_those_of_a_dimension(data, parts):
    yearly = {name: [p for p in names if p != "accountability_responsive"]
              for name, names in parts.items()}  # fmt: skip
    assert [len(names) for names in yearly.values()] == [4, 3, 3, 4, 4, 4]
    for dimension, names in yearly.items():
        ends = np.array([data.columns[name].goalposts for name in names])
        assert_allclose(ends.sum(axis=0), data.columns[dimension].goalposts)
        assert (ends == ends[0]).all()
        for name in [dimension, *names]:
            assert data.columns[name].goalposts == (data.columns[name].low, data.columns[name].high)
    assert data.columns["accountability_responsive"].goalposts == pytest.approx((1 / 3, 10 / 3))


def test_parts_need_their_range_and_not_that_of_four(provinces):
    thirds = provinces[["transparency_poverty_lists", "accountability_interaction"]]
    assert (thirds.max() > 2.5).all()


def test_accountability_is_another_dimension_from_2016(data, provinces):
    filled = provinces.groupby("year")[
        ["accountability_investment", "accountability_responsive"]
    ].count()
    assert filled["accountability_investment"].tolist() == [63, 63, 63, 61, 63, 0]
    assert filled["accountability_responsive"].tolist() == [0, 0, 0, 0, 0, 63]
    assert filled.sum().tolist() == [313, 63]
    means = provinces.groupby("year")[
        ["accountability", "accountability_inspection", "accountability_interaction"]
    ].mean()
    assert_allclose(means.loc[2015], [5.62, 1.86, 1.85], atol=0.005)
    assert_allclose(means.loc[2016], [4.95, 1.26, 2.19], atol=0.005)
    assert told(data, "313 values")


def test_participation_and_procedures_jump_in_2016_as_in_no_other_year(provinces):
    changes = provinces.groupby("year")[["participation", "procedures"]].mean().diff().dropna()
    assert_allclose(changes.loc[2016], [0.55, 0.29], atol=0.005)
    assert (changes.drop(index=2016).abs().max() < changes.loc[2016] / 2).all()


def test_scores_of_neighbouring_years_correlate_as_told(provinces, parts):
    found = []
    for name in (part for names in parts.values() for part in names):
        wide = provinces.pivot(index="province", columns="year", values=name)
        found += [wide[year].corr(wide[year + 1]) for year in range(2011, 2016)
                  if wide[[year, year + 1]].notna().any().all()]  # fmt: skip
    assert (round(min(found), 2), round(max(found), 2)) == (0.06, 0.94)


def test_figures_of_ha_tinh_and_quang_nam_are_those_published(provinces):
    rows = provinces[provinces["year"] == 2015].set_index("province")
    published = {
        "participation": 6.44,
        "participation_knowledge": 1.48,
        "participation_opportunities": 1.84,
        "participation_elections": 1.77,
        "participation_contributions": 1.35,
        "transparency": 7.24,
        "transparency_poverty_lists": 2.89,
        "transparency_budgets": 2.26,
        "transparency_land_use": 2.09,
        "accountability": 7.51,
        "accountability_interaction": 2.11,
        "accountability_inspection": 2.66,
        "accountability_investment": 2.74,
        "corruption_control": 6.67,
        "procedures": 7.3,
        "services": 7.17,
    }
    assert rows.loc["Ha Tinh", list(published)].astype(float).round(2).to_dict() == published
    assert rows.loc["Quang Nam", "papi_total"] == pytest.approx(36.52, abs=0.01)


@pytest.mark.parametrize(("basis", "rows", "above"), [("plan", 378, 108), ("final", 252, 64)])
def test_shares_and_net_transfers_follow_from_revenue_and_expenditure(
    provinces, basis, rows, above
):
    budget = provinces.filter(regex=f"_{basis}$").dropna()
    own, spent = budget[f"own_revenue_{basis}"], budget[f"expenditure_{basis}"]
    assert len(budget) == rows
    assert_allclose(budget[f"net_transfers_{basis}"], spent - own, atol=1e-6)
    assert_allclose(budget[f"own_ratio_{basis}"], own / spent)
    assert_allclose(budget[f"own_share_{basis}"], np.minimum(1, own / spent))
    assert (budget[f"own_ratio_{basis}"] > 1).sum() == above
    assert (budget[f"net_transfers_{basis}"] < 0).sum() == above


def test_rich_provinces_are_told_with_their_ratio(data, provinces):
    ratio = provinces["own_ratio_plan"]
    top = provinces.loc[ratio.idxmax()]
    assert (top["province"], top["year"]) == ("Ba Ria-Vung Tau", 2011)
    assert ratio.max() == pytest.approx(16.0, abs=0.05)
    assert (ratio > 2).sum() == 54
    assert (provinces.groupby("province")["own_share_plan"].min() == 1).sum() == 15
    assert told(data, "in all six years in 15 provinces")


def test_plan_and_final_budgets_are_two_bases(data, provinces):
    both = provinces[provinces["own_share_final"].notna()]
    assert both["year"].max() == 2014
    assert len(provinces) - len(both) == 126
    assert (both["own_revenue_final"] / both["own_revenue_plan"]).median() == pytest.approx(
        1.80, abs=0.005
    )
    assert (both["expenditure_final"] / both["expenditure_plan"]).median() == pytest.approx(
        1.77, abs=0.005
    )
    shares = both[["own_share_plan", "own_share_final"]]
    assert shares.corr().iloc[0, 1] == pytest.approx(0.957, abs=5e-4)
    means = [shares.groupby(both[key]).transform("mean") for key in ("province", "year")]
    within = shares - means[0] - means[1] + shares.mean()
    assert within.corr().iloc[0, 1] == pytest.approx(0.28, abs=0.005)
    for name, column in data.columns.items():
        if name.endswith(("_plan", "_final")):
            assert column.unit.endswith(name.rsplit("_", 1)[1])


def test_the_competitiveness_index_is_missing_where_provinces_lost_their_names(provinces):
    missing = provinces[provinces["pci"].isna()]
    assert len(missing) == 50
    assert set(missing["year"]) == {2013}
    assert provinces["pci"].notna().sum() == 328


def test_the_compilers_south_is_incomplete_and_odd(provinces):
    south = provinces.drop_duplicates("province").set_index("province")["south"]
    assert set(south[south.isna()].index) == {
        "Ba Ria-Vung Tau",
        "Ho Chi Minh City",
        "Thua Thien Hue",
    }
    assert provinces["south"].isna().sum() == 18
    assert (south[["Da Nang", "Phu Yen"]] == 0).all()
    assert set(south.dropna()) == {0, 1}
    assert (provinces.groupby("province")["south"].nunique() <= 1).all()


def test_the_other_side_of_the_budget_is_refused_beside_the_share(data):
    lineage = {name: column.made_from for name, column in data.columns.items()}
    claim = LinkDesign(
        "score ~ own_share_plan | province + year", cluster="province", lineage=lineage
    )
    check_mechanical(claim, ["participation", "services", "papi_total", "pci"])
    related = ["net_transfers_plan", "own_ratio_plan", "expenditure_final", "own_share_final"]
    with pytest.raises(SpecError, match="4 problems") as caught:
        check_mechanical(claim, related)
    assert all(name in str(caught.value) for name in related)


@needs_raw
def test_the_source_has_the_zeros_the_lost_names_and_a_constant_sharing_ratio():
    folder = RAW / "vietnam-provinces"
    papi = pd.read_csv(folder / "papi.csv")
    zeros = papi[papi["papi_unweighted"] == 0]
    assert len(zeros) == 2
    assert zeros.drop(columns=["prov", "year", "papi_unweighted"]).isna().all(axis=None)
    pci = pd.read_csv(folder / "pci.csv")
    assert pci.loc[pci["prov"].isna(), "year"].tolist() == [2013] * 50
    plan = pd.read_csv(folder / "vnbudget_plan.csv")
    plan = plan[plan["year"].between(2011, 2016)]
    assert (plan.groupby("prov")["ratio"].nunique() == 1).all()
    assert set(plan["prov"]) == set(papi["prov"])
    assert not plan.duplicated(["prov", "year"]).any()
    final = pd.read_csv(folder / "vnbudget_final.csv")
    final = final[final["year"].between(2011, 2014)]
    assert set(final["prov"]) == set(papi["prov"])
    assert not final.duplicated(["prov", "year"]).any()


@needs_raw
def test_the_table_holds_the_figures_of_the_source(provinces):
    papi = pd.read_csv(RAW / "vietnam-provinces" / "papi.csv")
    papi["prov"] = papi["prov"].replace({"BRVT": "Ba Ria-Vung Tau", "TP HCM": "Ho Chi Minh City"})
    source = papi.set_index(["prov", "year"]).sort_index()
    table = provinces.set_index(["province", "year"]).sort_index()
    assert_allclose(table["corruption_control"], source["papi_corruption"])
    assert_allclose(table["services_law_and_order"], source["papi_service_law"])
    assert_allclose(table["transparency_budgets"], source["papi_transparency_budgetexpenditure"])
