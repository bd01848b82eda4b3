"""Large cities of Russia: duplicates, shares, the rating, and every number of the caveats."""

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

RAW = Path(__file__).resolve().parents[3] / "shared" / "data" / "raw" / "russia-cities-openness"
needs_raw = pytest.mark.skipif(not RAW.is_dir(), reason="the published source files are not here")

KINDS = ["general", "state_assignment", "service_quality", "service_volume", "budget_plan"]
COUNTS = [f"disclosing_{kind}" for kind in KINDS]
SHARES = [f"share_{kind}" for kind in KINDS]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("russia_cities")


@pytest.fixture(scope="module")
def cities(data: Dataset) -> pd.DataFrame:
    return data.frame


@pytest.fixture(scope="module")
def single(cities: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that are the only one of their city and year."""
    return cities[cities["duplicated"] == 0]


def test_rows_cities_and_years_are_as_counted(cities):
    assert cities.shape == (1114, 21)
    assert cities["oktmo"].nunique() == cities["city"].nunique() == 156
    assert set(cities["year"]) == set(range(2012, 2019))
    city_years = cities.drop_duplicates(["oktmo", "year"])
    assert len(city_years) == 1079
    assert 156 * 7 == 1092
    years = city_years.groupby("city").size()
    assert years[years < 7].to_dict() == {
        "Железногорск": 3,
        "Долгопрудный": 4,
        "Междуреченск": 4,
        "Реутов": 4,
    }


def test_every_row_of_a_duplicated_city_year_is_flagged(cities, single):
    double = cities[cities["duplicated"] == 1]
    assert len(double) == 63
    assert len(double.drop_duplicates(["oktmo", "year"])) == 28
    assert double.groupby("city")["row_of_city_year"].max().to_dict() == {
        "Артем": 2,
        "Белово": 2,
        "Дзержинск": 2,
        "Октябрьский": 3,
    }
    assert (double.groupby(["oktmo", "year"])["transfer_share"].nunique() <= 1).all()
    assert double.groupby(["oktmo", "year"])["institutions"].nunique().gt(1).any()
    assert len(single) == 1051
    assert not single.duplicated(["oktmo", "year"]).any()
    assert (single["row_of_city_year"] == 1).all()


def test_shares_are_counts_by_institutions(cities):
    held = cities["institutions"] > 0
    assert held.sum() == 1111
    assert cities[COUNTS].max().max() == cities["institutions"].max() == 710
    counts = cities.loc[held, COUNTS].to_numpy()
    institutions = cities.loc[held, ["institutions"]].to_numpy()
    assert_allclose(cities.loc[held, SHARES], counts / institutions)
    assert cities.loc[~held, SHARES].isna().all(axis=None)
    assert cities.loc[held, SHARES].stack().between(0, 1).all()


def test_general_information_is_disclosed_by_all(cities):
    assert (cities["disclosing_general"] == cities["institutions"]).all()
    assert (cities["share_general"].dropna() == 1).all()
    assert (cities[SHARES[1:]].std() > 0.1).all()


def test_the_published_rating_is_a_weighted_sum_of_the_shares(cities):
    held = cities["institutions"] > 0
    made = cities.loc[held, SHARES].to_numpy() @ np.array([0.1, 0.1, 0.2, 0.2, 0.4])
    assert_allclose(made, cities.loc[held, "rating"], rtol=0, atol=5.1e-5)


def test_a_rating_of_zero_is_a_city_without_institutions(cities):
    zero = cities[cities["zero_rating"] == 1]
    assert set(zero["city"]) == {"Брянск", "Елец", "Салават"}
    assert zero["year"].tolist() == [2017] * 3
    assert (zero["institutions"] == 0).all()
    assert ((cities["rating"] == 0) == (cities["institutions"] == 0)).all()


def test_low_ratings_and_few_institutions_are_told(cities):
    rating = cities["rating"]
    assert rating.median() == pytest.approx(0.937, abs=5e-4)
    low = cities[(rating > 0) & (rating < 0.5)]
    assert len(low) == 28
    named = low["city"].value_counts()
    assert named[["Нарьян-Мар", "Магас", "Серпухов"]].tolist() == [7, 7, 5]
    assert (cities["city"].isin(["Нарьян-Мар", "Магас"])).sum() == 14
    assert named["Махачкала"] == 3
    assert sorted(named)[:-4] == [1] * 6
    tiny = cities[cities["city"].isin(["Нарьян-Мар", "Магас"])]["institutions"]
    assert (tiny.min(), tiny.max()) == (1, 3)
    kazan = cities[(cities["city"] == "Казань") & (cities["year"] == 2017)].iloc[0]
    assert kazan["rating"] == 0.1074
    assert (kazan["disclosing_state_assignment"], kazan["institutions"]) == (9, 526)
    found = [(cities["institutions"] < most).sum() for most in (20, 10, 1)]
    assert found == [45, 29, 3]
    assert set(cities.loc[cities["city"] == "Назрань", "institutions"]) == {1}


def test_jumps_of_institutions_and_transfers_are_told(single):
    ordered = single.sort_values(["oktmo", "year"])
    number = np.log(ordered["institutions"].where(ordered["institutions"] > 0))
    jumps = ordered[number.groupby(ordered["oktmo"]).diff().abs() > 0.5]
    assert len(jumps) == 9
    named = set(zip(jumps["city"], jumps["year"], strict=True))
    assert {("Липецк", 2017), ("Тюмень", 2016), ("Горно-Алтайск", 2014)} <= named

    own = ordered[ordered["own_share"].notna()]
    moves = own[own.groupby("oktmo")["transfer_share"].diff().abs() > 0.3]
    assert set(zip(moves["city"], moves["year"], strict=True)) == {
        ("Нарьян-Мар", 2016),
        ("Назрань", 2015),
        ("Тобольск", 2018),
    }
    assert moves["transfer_share"].min() == pytest.approx(0.0009, abs=5e-5)


def test_the_own_share_is_missing_where_transfers_lie_outside_0_to_1(cities):
    transfers, own = cities["transfer_share"], cities["own_share"]
    assert transfers.notna().sum() == 925
    assert own.notna().sum() == 923
    outside = cities[transfers.notna() & own.isna()]
    assert outside[["city", "year", "transfer_share"]].to_numpy().tolist() == [
        ["Брянск", 2015, 1.17571],
        ["Магас", 2015, -0.0025],
    ]
    assert_allclose(own.dropna(), 1 - transfers[own.notna()], atol=1e-12)
    assert (cities.groupby("oktmo")["transfer_share"].count() == 0).sum() == 21


def test_a_region_is_a_prefix_of_the_code_and_the_sample_of_the_link_has_67(cities, single):
    pairs = cities.assign(prefix=cities["oktmo"].str[:2])[["prefix", "region"]].drop_duplicates()
    assert len(pairs) == pairs["prefix"].nunique() == pairs["region"].nunique() == 74
    assert (cities["oktmo"].str.len() == 8).all()
    assert set(cities.loc[cities["city"] == "Нарьян-Мар", "region"]) == {"Arkhangelsk"}
    assert cities["region"].str.isascii().all()
    sample = single[single["own_share"].notna() & single["share_budget_plan"].notna()]
    found = (len(sample), sample["oktmo"].nunique(), sample["region"].nunique())
    assert found == (871, 132, 67)


def test_the_share_of_transfers_is_refused_as_an_outcome_and_the_rating_is_not(data):
    lineage = {name: column.made_from for name, column in data.columns.items()}
    claim = LinkDesign("score ~ own_share | oktmo + year", cluster="region", lineage=lineage)
    check_mechanical(claim, [*SHARES, "rating"])
    with pytest.raises(SpecError, match="transfer_share"):
        check_mechanical(claim, ["transfer_share"])


@needs_raw
def test_own_incomes_in_law_contain_grants():
    source = pd.read_csv(RAW / "russia_cities_openness_budget.csv")
    both = source.dropna(subset=["own_incomes_legal_definition", "subventions"])
    rest = both["budget_revenue"] - both["subventions"] - both["own_incomes_legal_definition"]
    assert len(both) == 924
    assert (rest.abs() < 1e-4 * both["budget_revenue"]).sum() == 921
    share = both["gratuitous_receipts"] / both["budget_revenue"]
    assert_allclose(share, both["transfer_share"], atol=5.1e-6)


@needs_raw
def test_cities_keep_their_codes_names_and_figures(cities):
    source = pd.read_csv(RAW / "russia_cities_openness_budget.csv", dtype={"oktmo": "str"})
    assert (source["oktmo"].str.len() == 7).sum() == 154
    assert source.loc[source["municipality"] == "Назрань", "population_thousand"].min() > 100
    names = pd.read_csv(RAW / "big_cities_with_openness.csv", dtype={"oktmo": "str"})
    told = dict(zip(names["oktmo"].str.zfill(8), names["settlement"], strict=True))
    assert cities["oktmo"].map(told).equals(cities["city"])
    ordered = source.assign(oktmo=source["oktmo"].str.zfill(8)).sort_values(
        ["oktmo", "year"], kind="stable"
    )
    assert (ordered["oktmo"].to_numpy() == cities["oktmo"].to_numpy()).all()
    assert_allclose(ordered["openness_rating"], cities["rating"], atol=1e-7)
    assert (ordered["disclose_budget_plan"].to_numpy() == cities["disclosing_budget_plan"]).all()


@needs_raw
def test_budgets_are_outturns_by_the_code_list_of_the_source(data):
    codes = pd.read_csv(RAW / "BDMO_id_name.csv", index_col=0).set_axis(["code", "name"], axis=1)
    wide = pd.read_csv(
        RAW / "big_cities_with_openness.csv",
        usecols=["oktmo", "year", "t8013001_1", "t8013001_34"],
        dtype={"oktmo": "str"},
    )
    names = codes.set_index("code")["name"].loc[["t8013001_1", "t8013001_34"]]
    assert names.str.startswith("Доходы местного бюджета, фактически исполненные").all()
    assert names.str.endswith(("Всего", "Безвозмездные поступления")).all()
    share = wide["t8013001_34"] / wide["t8013001_1"]
    wide = wide.assign(oktmo=wide["oktmo"].str.zfill(8), share=share)
    wide = wide.sort_values(["oktmo", "year"], kind="stable")
    assert_allclose(data.frame["transfer_share"], wide["share"], rtol=0, atol=5.1e-6)
    assert {data.columns[name].basis for name in ("transfer_share", "own_share")} == {"outturn"}
    assert sum("Budgets are outturns" in caveat for caveat in data.caveats) == 1


@needs_raw
def test_every_count_is_that_of_the_published_table(cities):
    source = pd.read_csv(RAW / "big_cities_with_openness.csv", dtype={"oktmo": "str"})
    source["oktmo"] = source["oktmo"].str.zfill(8)
    source = source.sort_values(["oktmo", "year"], kind="stable")
    published = source.columns[1:8]  # institutions, five counts, the rating
    ours = ["institutions", *COUNTS, "rating"]
    assert_allclose(cities[ours], source[published], rtol=0, atol=1e-7)
    pairs = pd.DataFrame(
        {"ours": cities["region"].to_numpy(), "theirs": source["region_matched"].to_numpy()}
    ).drop_duplicates()
    assert len(pairs) == pairs["ours"].nunique() == pairs["theirs"].nunique() == 74
