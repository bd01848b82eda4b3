"""Countries: joins as counted, measures that are recognised, and every number of the caveats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research.datasets import load_dataset, load_eu_regions, load_ukraine_hromadas
from lgpi_research.errors import SpecError
from lgpi_research.mechanical import check_mechanical
from lgpi_research.spec import LinkDesign

RAW = Path(__file__).resolve().parents[3] / "shared" / "data" / "raw"
needs_raw = pytest.mark.skipif(not RAW.is_dir(), reason="the published source files are not here")

FISCAL = [
    "own_revenue_share",
    "tax_share",
    "expenditure_share",
    "transfer_dependence",
    "vertical_gap",
]
GOVERNANCE = [
    "voice",
    "stability",
    "effectiveness",
    "regulation",
    "rule_of_law",
    "corruption_control",
]


@pytest.fixture(scope="module")
def panel() -> pd.DataFrame:
    return load_dataset("world_panel").frame


@pytest.fixture(scope="module")
def countries() -> pd.DataFrame:
    return load_dataset("world_countries").frame


@pytest.fixture(scope="module")
def means(panel: pd.DataFrame, countries: pd.DataFrame) -> pd.DataFrame:
    """Return means of 2012-2016 by country, with what is known of the country."""
    years = panel[panel["year"].between(2012, 2016)]
    found = years.groupby("iso3")[[*FISCAL, *GOVERNANCE]].mean()
    found["years"] = years.groupby("iso3")["own_revenue_share"].count()
    return found.join(countries.set_index("iso3"))


@pytest.fixture(scope="module")
def main(means: pd.DataFrame) -> pd.DataFrame:
    """Return the countries outside the EU-27 with a mean of the own-revenue share."""
    return means[(means["eu27"] == 0) & means["own_revenue_share"].notna()]


def within_reliability(rows: pd.DataFrame, name: str, *, years: bool = False) -> float:
    """Return the share of the variance within countries that is not error, from dummies."""
    effects = [pd.get_dummies(rows["iso3"], dtype="float64")]
    effects += [pd.get_dummies(rows["year"], dtype="float64")] if years else []
    dummies = np.hstack([table.to_numpy() for table in effects])
    values = rows[name].to_numpy()
    fitted, _, rank, _ = np.linalg.lstsq(dummies, values, rcond=None)
    variance = ((values - dummies @ fitted) ** 2).sum() / (len(values) - rank)
    return 1 - (rows[f"{name}_std_error"] ** 2).mean() / variance


# The panel ----------------------------------------------------------------------------------


def test_rows_hold_a_fiscal_measure_or_the_governance_of_a_post_soviet_country(panel, countries):
    fiscal, governed = panel[FISCAL].notna().any(axis=1), panel["effectiveness"].notna()
    east = panel["iso3"].isin(countries.loc[countries["post_soviet"] == 1, "iso3"])
    assert (fiscal | (governed & east)).all()
    assert (fiscal.sum(), panel.loc[fiscal, "iso3"].nunique()) == (1223, 75)
    assert (~fiscal).sum() == 166
    assert panel.loc[fiscal, "year"].max() == 2017
    assert (panel[east & governed].groupby("iso3")["year"].max() == 2021).all()
    blank = panel.loc[~governed, "year"]
    assert (len(blank), set(blank)) == (124, {1997, 1999, 2001})
    assert (fiscal & governed).sum() == 1099


@pytest.mark.parametrize(
    ("measure", "rows", "reporting"),
    [
        ("tax_share", 1049, 75),
        ("own_revenue_share", 837, 65),
        ("expenditure_share", 744, 60),
        ("transfer_dependence", 794, 61),
        ("vertical_gap", 794, 61),
    ],
)
def test_each_measure_joins_with_governance_as_counted(panel, measure, rows, reporting):
    both = panel[panel[measure].notna() & panel["effectiveness"].notna()]
    assert (len(both), both["iso3"].nunique()) == (rows, reporting)


def test_governance_is_whole_or_blank_with_its_standard_errors(panel):
    errors = [f"{name}_std_error" for name in GOVERNANCE]
    there = panel[[*GOVERNANCE, *errors]].notna()
    assert (there.all(axis=1) == there.any(axis=1)).all()
    assert (panel[errors].min() > 0).all()


def test_values_beyond_the_goalposts_are_those_of_the_caveat(panel):
    columns = load_dataset("world_panel").columns
    assert all(columns[name].goalposts == (-2.5, 2.5) for name in GOVERNANCE)
    beyond = panel[GOVERNANCE].abs() > 2.5
    assert beyond.sum().to_dict() == {name: 6 * (name == "stability") for name in GOVERNANCE}
    assert set(panel.loc[beyond["stability"], "iso3"]) == {"AFG"}


def test_none_of_the_three_shares_lies_beyond_0_to_1(panel):
    shares = panel[["own_revenue_share", "tax_share", "expenditure_share"]].stack().dropna()
    assert shares.between(0, 1).all()
    caveats = load_dataset("world_panel").caveats
    assert sum("of the three shares here none does" in caveat for caveat in caveats) == 1


def test_own_revenue_and_net_transfers_pay_for_own_spending(panel):
    paid = (1 - panel["vertical_gap"] + panel["transfer_dependence"]).dropna()
    assert_allclose(paid.quantile([0.05, 0.5, 0.95]), [0.90, 0.99, 1.12], atol=0.005)
    assert (panel["transfer_dependence"] < 0).sum() == 15
    assert (panel["transfer_dependence"] > 1).sum() == 4
    assert (panel["vertical_gap"] < 0).sum() == 33


def test_the_other_sides_of_the_measure_are_refused_and_governance_is_not():
    lineage = {name: c.made_from for name, c in load_dataset("world_panel").columns.items()}
    claim = LinkDesign("score ~ own_revenue_share", cluster="none", lineage=lineage)
    for name in FISCAL[1:]:
        with pytest.raises(SpecError, match=f"{name}: shares .* with the measure own_rev"):
            check_mechanical(claim, [name])
    check_mechanical(claim, GOVERNANCE)
    taxes = LinkDesign("score ~ tax_share", cluster="none", lineage=lineage)
    with pytest.raises(SpecError, match="shares subnational_taxes"):
        check_mechanical(taxes, ["own_revenue_share"])


def test_kazakhstan_has_the_years_of_the_caveat_and_all_of_governance(panel):
    own = panel[panel["iso3"] == "KAZ"].set_index("year")
    shares = own[FISCAL[:3]].dropna()
    assert shares.index.tolist() == [*range(2000, 2005), *range(2010, 2017)]
    assert own[FISCAL[3:]].dropna().index.tolist() == list(range(2000, 2017))
    governed = own["effectiveness"].dropna().index.tolist()
    assert governed == [1996, 1998, 2000, *range(2002, 2022)]
    told = shares["own_revenue_share"][[2000, 2004, 2010, 2016]]
    assert_allclose(told, [0.47, 0.30, 0.16, 0.22], atol=0.005)
    assert set(own.index[own["transfer_dependence"] < 0]) == {2000, 2001}
    assert_allclose(
        own.loc[2016, ["own_revenue_share", "tax_share", *FISCAL[2:]]].astype(float),
        [0.22, 0.27, 0.42, 0.57, 0.54],
        atol=0.005,
    )
    assert own.loc[2021, "effectiveness"] == pytest.approx(0.064, abs=5e-4)
    assert own.loc[2021, "effectiveness_std_error"] == pytest.approx(0.23, abs=0.005)
    assert own.loc[2021, "corruption_control"] == pytest.approx(-0.237, abs=5e-4)


def test_breaks_of_the_own_revenue_share_are_those_of_the_caveat(panel):
    share = panel.pivot(index="iso3", columns="year", values="own_revenue_share")
    moved = share.diff(axis=1).abs().stack()
    assert moved[moved > 0.1].index.tolist() == [
        ("CHN", 2007),
        ("CHN", 2014),
        ("GEO", 2008),
        ("KAZ", 2002),
        ("MNG", 2003),
    ]


def test_within_countries_governance_varies_by_less_than_its_errors(panel):
    rows = panel[panel["own_revenue_share"].notna() & panel["effectiveness"].notna()]
    within = {name: within_reliability(rows, name) for name in GOVERNANCE}
    assert max(within, key=within.get) == "stability"
    assert min(within, key=within.get) == "regulation"
    assert within["stability"] == pytest.approx(-0.03, abs=0.005)
    assert within["regulation"] == pytest.approx(-0.54, abs=0.005)
    both = {name: within_reliability(rows, name, years=True) for name in GOVERNANCE}
    assert all(both[name] < within[name] + 0.005 for name in GOVERNANCE)
    noise = (rows[[f"{name}_std_error" for name in GOVERNANCE]] ** 2).mean().to_numpy()
    between = 1 - noise / rows[GOVERNANCE].var().to_numpy()
    assert_allclose([between.min(), between.max()], [0.91, 0.98], atol=0.005)


def test_over_all_years_of_post_soviet_countries_governance_moves_by_more_than_its_errors(
    panel, countries
):
    east = countries.loc[countries["post_soviet"] == 1, "iso3"]
    rows = panel[panel["iso3"].isin(east) & panel["effectiveness"].notna()]
    within = [within_reliability(rows, name) for name in GOVERNANCE]
    assert_allclose([min(within), max(within)], [0.34, 0.59], atol=0.005)
    ends = rows[(rows["iso3"] == "KAZ") & rows["year"].isin([1996, 2021])]
    assert_allclose(ends["effectiveness"], [-0.96, 0.06], atol=0.005)
    assert_allclose(ends["effectiveness_std_error"], 0.2, atol=0.05)


def test_within_reliability_of_a_known_panel_is_the_known_one():
    rng = np.random.default_rng([5, 1])
    groups, years = 400, 20
    true = rng.normal(size=(groups, 1)) * 2 + rng.normal(size=(groups, years)) * 0.3
    rows = pd.DataFrame(
        {
            "iso3": np.repeat(np.arange(groups), years),
            "year": np.tile(np.arange(years), groups),
            "x": (true + rng.normal(size=true.shape) * 0.4).ravel(),
            "x_std_error": 0.4,
        }
    )
    assert within_reliability(rows, "x") == pytest.approx(0.09 / 0.25, abs=0.03)


# Means and countries ------------------------------------------------------------------------


def test_the_main_sample_of_the_study_is_47_countries_with_everything(means, main):
    held = means[means["own_revenue_share"].notna()]
    assert (len(held), (held["years"] < 5).sum()) == (64, 16)
    assert len(main) == 47
    assert main[[*GOVERNANCE, "gdp_per_head", "population"]].notna().all(axis=None)
    assert "KAZ" in main.index


def test_means_named_in_the_caveats_are_those_of_the_table(main):
    share = main["own_revenue_share"]
    assert_allclose(share[["CHN", "RUS", "KAZ"]], [0.51, 0.34, 0.18], atol=0.005)
    first = share.nlargest(2)
    assert first.index.tolist() == ["ARE", "CAN"]
    assert_allclose(first, [0.87, 0.56], atol=0.005)


def test_correlations_named_in_the_caveats_are_those_of_the_table(main):
    score = main[[name for name in GOVERNANCE if name != "stability"]].mean(axis=1)
    income = np.corrcoef(score, np.log(main["gdp_per_head"]))[0, 1]
    assert income == pytest.approx(0.77, abs=0.005)
    between = main[GOVERNANCE].corr().to_numpy()
    assert between[~np.eye(6, dtype=bool)].max() == pytest.approx(0.97, abs=0.005)


def test_every_country_of_the_panel_has_one_row_and_one_name(panel, countries):
    names = countries.set_index("iso3")["country"]
    assert set(panel["iso3"]) == set(countries["iso3"])
    assert (panel["country"] == panel["iso3"].map(names)).all()
    assert names.is_unique
    assert len(countries) == 77


def test_groups_are_the_27_and_the_15_and_overlap_in_the_baltic(panel, countries):
    union, east = countries["eu27"] == 1, countries["post_soviet"] == 1
    assert (union.sum(), east.sum()) == (27, 15)
    assert set(countries.loc[union & east, "country"]) == {"Estonia", "Latvia", "Lithuania"}
    regions = load_eu_regions().frame
    assert set(countries.loc[union, "iso3"]) == set(regions["iso3"])
    assert countries.set_index("iso3").loc["GBR", "eu27"] == 0
    fiscal = panel.dropna(subset=FISCAL, how="all")["iso3"]
    assert set(countries["iso3"]) - set(fiscal) == {"TJK", "TKM"}


def test_indices_of_autonomy_cover_what_the_caveats_say(countries):
    outside = countries["eu27"] == 0
    local, regional = (countries[name].notna() for name in ("local_autonomy", "regional_authority"))
    assert (local.sum(), (local & outside).sum()) == (38, 11)
    assert (regional.sum(), (regional & outside).sum()) == (54, 27)
    east = countries[(countries["post_soviet"] == 1) & regional]
    assert set(east["iso3"]) == {"RUS", "EST", "LVA", "LTU"}
    assert (countries["regional_authority"] == 0).sum() == 6
    own = countries[countries["iso3"] == "KAZ"]
    assert own[["local_autonomy", "regional_authority"]].isna().all(axis=None)
    known = countries.set_index("country")["regional_authority"]
    assert_allclose(
        known[["Germany", "Spain", "Belgium", "Italy"]], [37, 33.6, 33.1, 27.3], atol=0.1
    )


@needs_raw
def test_the_panel_is_what_the_sources_say_when_read_in_another_way(panel):
    folder = RAW / "imf-fiscal-decentralization"
    wide = pd.read_csv(folder / "imf_fd_subnational_wide.csv").set_index(["iso3", "year"])
    wide = wide[wide["sector"] == "SNG"].reindex(pd.MultiIndex.from_frame(panel[["iso3", "year"]]))
    codes = ["rd", "taxd", "sd", "transferDep1", "vfi"]
    assert_allclose(panel[FISCAL], wide[codes], atol=6e-7)

    table = pd.read_csv(RAW / "worldwide-governance-indicators" / "wgi_1996_2021.csv")
    table = table.set_index(["iso3", "year"])
    table = table.reindex(pd.MultiIndex.from_frame(panel[["iso3", "year"]]))
    for prefix, name in zip(("va", "pv", "ge", "rq", "rl", "cc"), GOVERNANCE, strict=True):
        assert_allclose(panel[name], table[f"{prefix}e"], atol=1e-6)
        assert_allclose(panel[f"{name}_std_error"], table[f"{prefix}s"], atol=1e-6)


@needs_raw
def test_two_of_the_1101_joined_rows_hold_none_of_the_five_measures(panel):
    wide = pd.read_csv(RAW / "imf-fiscal-decentralization" / "imf_fd_subnational_wide.csv")
    table = pd.read_csv(RAW / "worldwide-governance-indicators" / "wgi_1996_2021.csv")
    joined = wide[wide["sector"] == "SNG"].merge(table, on=["iso3", "year"])
    assert len(joined) == 1101
    held = panel.dropna(subset=FISCAL, how="all").set_index(["iso3", "year"]).index
    joined = joined.set_index(["iso3", "year"])
    assert set(joined.index.difference(held)) == {("GEO", 2017), ("USA", 2017)}


@needs_raw
def test_country_measures_join_governance_and_local_corruption_as_counted():
    wide = pd.read_csv(RAW / "imf-fiscal-decentralization" / "imf_fd_subnational_wide.csv")
    governed = pd.read_csv(RAW / "worldwide-governance-indicators" / "wgi_1996_2021.csv")
    facts = pd.read_csv(RAW / "qog-standard-cs-jan23" / "qog_cs_extract.csv")
    local = set(pd.read_csv(RAW / "local-autonomy-index" / "lai_tidy.csv")["iso3"])
    regional = pd.read_csv(RAW / "regional-authority-index" / "rai_country_scores.csv")
    recent = wide[(wide["sector"] == "SNG") & wide["year"].between(2012, 2016)]
    fiscal = set(recent.dropna(subset=["rd", "taxd", "sd", "transferDep1", "vfi"], how="all").iso3)
    of_year = governed.groupby("year")["iso3"].agg(set)
    corrupt = set(facts.dropna(subset=["gcb_pclgcmost"])["ccodealp"])
    assert [len(fiscal & there) for there in (of_year[2016], {*facts["ccodealp"]}, corrupt)] == [
        74,
        74,
        59,
    ]
    assert "KAZ" in fiscal & corrupt
    assert [len(local & there) for there in (of_year[2014], {*wide["iso3"]}, corrupt)] == [
        39,
        38,
        30,
    ]
    both = regional.merge(governed.dropna(subset=["gee"]), on=["iso3", "year"])
    assert (len(both), both["iso3"].nunique(), (both["year"] == 2010).sum()) == (932, 80, 80)


@needs_raw
def test_local_government_differs_from_all_subnational_in_17_countries_and_not_in_kazakhstan():
    wide = pd.read_csv(RAW / "imf-fiscal-decentralization" / "imf_fd_subnational_wide.csv")
    wide = wide[wide["year"].between(1996, 2017)]
    shares = wide.pivot(index=["iso3", "year"], columns="sector", values="rd")
    shares = shares.dropna(subset=["LG", "SNG"])
    apart = (shares["LG"] - shares["SNG"]).abs().groupby("iso3").max() > 1e-6
    assert (len(apart), apart.sum()) == (63, 17)
    assert not apart["KAZ"]


@needs_raw
def test_governance_has_mean_0_and_standard_deviation_1_in_every_year():
    table = pd.read_csv(RAW / "worldwide-governance-indicators" / "wgi_1996_2021.csv")
    by_year = table.groupby("year")[["vae", "pve", "gee", "rqe", "rle", "cce"]]
    assert_allclose(by_year.mean(), 0, atol=1e-3)
    assert_allclose(by_year.std(), 1, atol=1e-3)


@needs_raw
def test_income_population_and_indices_agree_with_extracts_of_the_sources(countries):
    table = pd.read_csv(RAW / "qog-standard-cs-jan23" / "qog_cs_extract.csv")
    table = table.set_index("ccodealp").loc[countries["iso3"]]
    assert_allclose(countries["gdp_per_head"], table["wdi_gdpcappppcon2017"], rtol=1e-6)
    assert_allclose(countries["population"], table["wdi_pop"], rtol=1e-6)
    local = pd.read_csv(RAW / "local-autonomy-index" / "lai_tidy.csv").set_index("iso3")
    assert_allclose(countries["local_autonomy"], countries["iso3"].map(local["D_LAI_2014"]))
    regional = pd.read_csv(RAW / "regional-authority-index" / "rai_country_scores.csv")
    regional = regional[regional["year"] == 2010].set_index("iso3")["n_RAI"]
    assert_allclose(countries["regional_authority"], countries["iso3"].map(regional))


# Columns added to other tables --------------------------------------------------------------


def test_regional_authority_of_a_region_is_that_of_its_country(countries):
    regions = load_eu_regions().frame
    index = countries.set_index("iso3")["regional_authority"]
    assert (regions["regional_authority"] == regions["iso3"].map(index)).all()
    national = regions.drop_duplicates("iso3").set_index("country")
    assert set(national.index[national["regional_authority"] == 0]) == {
        "Cyprus",
        "Estonia",
        "Luxembourg",
        "Malta",
    }
    found = national[["local_autonomy", "tax_share", "regional_authority"]].corr()
    assert_allclose(found["regional_authority"].iloc[:2], [0.32, 0.57], atol=0.005)


def test_own_revenue_per_head_is_its_quotient_and_missing_where_revenue_is_negative():
    hromadas = load_ukraine_hromadas().frame
    head = hromadas["own_revenue_per_head"]
    assert_allclose(head * hromadas["population"], hromadas["own_revenue"].where(head.notna()))
    assert (head.isna() == (hromadas["own_revenue"] < 0)).all()
    assert head.isna().sum() == 2
    assert head.min() > 0
    occupied = hromadas["occupied_before_2022"] == 1
    assert (round(head[occupied].max()), round(head[~occupied].min())) == (148, 1209)
    free = hromadas[~occupied]
    both = np.corrcoef(free["own_revenue_share"], np.log(free["own_revenue_per_head"]))[0, 1]
    assert (len(free), round(both, 2)) == (1438, 0.92)
    lineage = {name: c.made_from for name, c in load_ukraine_hromadas().columns.items()}
    claim = LinkDesign("score ~ own_revenue_share", cluster="oblast", lineage=lineage)
    with pytest.raises(SpecError, match="shares own_revenue with the measure"):
        check_mechanical(claim, ["own_revenue_per_head"])
