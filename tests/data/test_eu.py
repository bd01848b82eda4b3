"""Regions of the European Union: joined as counted, cell by cell from the published files."""

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


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("eu_regions")


@pytest.fixture(scope="module")
def index() -> pd.DataFrame:
    return pd.read_csv(RAW / "eqi-2021-regions" / "EQI_goth.csv").set_index("region_code")


@pytest.fixture(scope="module")
def controls() -> pd.DataFrame:
    return pd.read_csv(RAW / "eqi-2021-regions" / "data_TER.csv").set_index("geo")


def test_ties_within_one_country_are_three_pairs(data):
    regions = data.frame
    tied = regions[regions.duplicated(["country", "eqi"], keep=False)]
    assert tied.groupby(["country", "eqi"]).size().to_list() == [2, 2, 2]
    assert tied["country"].value_counts().to_dict() == {"Germany": 4, "Finland": 2}


def test_margins_exist_for_the_index_and_for_no_pillar(data):
    margins = [name for name in data.columns if name.endswith(("_low", "_high", "_std_error"))]
    assert margins == ["eqi_low", "eqi_high", "eqi_std_error"]
    assert sum("for the index only" in caveat for caveat in data.caveats) == 1


def test_pillars_are_refused_beside_the_index_and_not_beside_national_autonomy(data):
    lineage = {name: column.made_from for name, column in data.columns.items()}
    pillars = ["quality", "impartiality", "corruption"]
    for measure in ("local_autonomy", "tax_share", "regional_authority"):
        claim = LinkDesign(f"score ~ {measure}", cluster="country", lineage=lineage)
        check_mechanical(claim, [*pillars, "eqi"])
    with pytest.raises(SpecError, match="3 problems"):
        check_mechanical(LinkDesign("score ~ eqi", cluster="country", lineage=lineage), pillars)


@needs_raw
def test_the_index_joins_its_controls_in_238_regions(data, index, controls):
    ours = ["pib_par_reg", "nbPop_1erJanv", "popNivParEtude25_64", "tauxChomage"]
    joined = index.join(controls[ours], how="inner")
    assert len(index) == len(controls) == len(joined) == 238
    income = joined[ours[:2]].notna().all(axis=1)
    assert (income.sum(), joined[ours].notna().all(axis=1).sum()) == (231, 228)
    assert data.frame["gdp_per_head"].notna().sum() == 231


@needs_raw
def test_every_region_joins_three_national_measures_by_name_and_231_have_income(index, controls):
    local = pd.read_csv(RAW / "local-autonomy-index" / "lai_tidy.csv")
    codes = local.set_index("country_name")["iso3"]
    iso3 = index["cname"].replace({"Slovakia": "Slovak Republic"}).map(codes)
    regional = pd.read_csv(RAW / "regional-authority-index" / "rai_country_scores.csv")
    regional = regional.loc[regional["year"] == 2010].dropna(subset=["n_RAI"])
    taxes = pd.read_csv(RAW / "imf-fiscal-decentralization" / "imf_fd_subnational_wide.csv")
    taxes = taxes[(taxes["sector"] == "SNG") & taxes["year"].between(2012, 2016)]
    taxes = taxes.dropna(subset=["taxd"])
    found = {name: set(table["iso3"]) for name, table in
             {"local": local, "regional": regional, "taxes": taxes}.items()}  # fmt: skip
    joined = pd.DataFrame({name: iso3.isin(there) for name, there in found.items()})
    assert joined.sum().to_dict() == {"local": 238, "regional": 238, "taxes": 238}
    assert iso3.nunique() == 27
    income = controls.loc[index.index, ["pib_par_reg", "nbPop_1erJanv"]].notna().all(axis=1)
    assert (joined.all(axis=1) & income).sum() == 231


@needs_raw
def test_every_figure_of_a_region_is_that_of_the_published_files(data, index, controls):
    regions = data.frame.set_index("region_code")
    index, controls = index.loc[regions.index], controls.loc[regions.index]
    for ours, theirs in {
        "eqi": "eqi21_n2",
        "eqi_low": "eqi21_n2_lowME",
        "eqi_high": "eqi21_n2_highME",
        "quality": "qualityp21_n2",
        "impartiality": "impartialityp21_n2",
        "corruption": "corruptionp21_n2",
    }.items():
        assert_allclose(regions[ours], index[theirs], rtol=0, atol=1e-9)
    assert regions["region"].tolist() == index["name"].tolist()
    assert regions["country"].tolist() == index["cname"].tolist()
    people = controls["nbPop_1erJanv"]
    assert_allclose(regions["gdp_per_head"] * people / 1e6, controls["pib_par_reg"])
    assert not np.allclose(regions["gdp_per_head"], controls["pib_hab"], equal_nan=True)
