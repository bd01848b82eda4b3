"""Countries: one list of names for all providers, and national measures that settings share."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lgpi_research.errors import DataError, listing
from makers.common import read, translate

NAMES = {
    "AFG": "Afghanistan",
    "ALB": "Albania",
    "ARE": "United Arab Emirates",
    "ARM": "Armenia",
    "AUS": "Australia",
    "AUT": "Austria",
    "AZE": "Azerbaijan",
    "BEL": "Belgium",
    "BGR": "Bulgaria",
    "BIH": "Bosnia and Herzegovina",
    "BLR": "Belarus",
    "BRA": "Brazil",
    "CAN": "Canada",
    "CHE": "Switzerland",
    "CHL": "Chile",
    "CHN": "China",
    "COL": "Colombia",
    "CRI": "Costa Rica",
    "CYP": "Cyprus",
    "CZE": "Czech Republic",
    "DEU": "Germany",
    "DNK": "Denmark",
    "ESP": "Spain",
    "EST": "Estonia",
    "FIN": "Finland",
    "FRA": "France",
    "GBR": "United Kingdom",
    "GEO": "Georgia",
    "GRC": "Greece",
    "HND": "Honduras",
    "HRV": "Croatia",
    "HUN": "Hungary",
    "IDN": "Indonesia",
    "IRL": "Ireland",
    "IRN": "Iran",
    "ISL": "Iceland",
    "ISR": "Israel",
    "ITA": "Italy",
    "JPN": "Japan",
    "KAZ": "Kazakhstan",
    "KEN": "Kenya",
    "KGZ": "Kyrgyzstan",
    "KIR": "Kiribati",
    "KOR": "South Korea",
    "LTU": "Lithuania",
    "LUX": "Luxembourg",
    "LVA": "Latvia",
    "MDA": "Moldova",
    "MKD": "North Macedonia",
    "MLT": "Malta",
    "MMR": "Myanmar",
    "MNG": "Mongolia",
    "MUS": "Mauritius",
    "NLD": "Netherlands",
    "NOR": "Norway",
    "NZL": "New Zealand",
    "PER": "Peru",
    "POL": "Poland",
    "PRT": "Portugal",
    "PRY": "Paraguay",
    "ROU": "Romania",
    "RUS": "Russia",
    "SLV": "El Salvador",
    "SRB": "Serbia",
    "SVK": "Slovakia",
    "SVN": "Slovenia",
    "SWE": "Sweden",
    "THA": "Thailand",
    "TJK": "Tajikistan",
    "TKM": "Turkmenistan",
    "TUN": "Tunisia",
    "TUR": "Turkey",
    "UGA": "Uganda",
    "UKR": "Ukraine",
    "USA": "United States",
    "UZB": "Uzbekistan",
    "ZAF": "South Africa",
}

# What some providers write instead.
SPELLINGS = {
    "Afghanistan, Islamic Republic of": "AFG",
    "Armenia, Republic of": "ARM",
    "Azerbaijan, Republic of": "AZE",
    "China, P.R.: Mainland": "CHN",
    "Iran, Islamic Republic of": "IRN",
    "Korea, Republic of": "KOR",
    "Kyrgyz Republic": "KGZ",
    "Luxemburg": "LUX",
    "Macedonia": "MKD",
    "Macedonia, FYR": "MKD",
    "Russian Federation": "RUS",
    "Serbia, Republic of": "SRB",
    "Slovak Republic": "SVK",
}

ISO3 = {name: iso3 for iso3, name in NAMES.items()} | SPELLINGS

EU27 = frozenset(
    ["AUT", "BEL", "BGR", "CYP", "CZE", "DEU", "DNK", "ESP", "EST", "FIN", "FRA", "GRC", "HRV",
     "HUN", "IRL", "ITA", "LTU", "LUX", "LVA", "MLT", "NLD", "POL", "PRT", "ROU", "SVK", "SVN",
     "SWE"]
)  # fmt: skip

POST_SOVIET = frozenset(
    ["ARM", "AZE", "BLR", "EST", "GEO", "KAZ", "KGZ", "LTU", "LVA", "MDA", "RUS", "TJK", "TKM",
     "UKR", "UZB"]
)  # fmt: skip


def subnational(raw: Path, codes: Sequence[str], years: range) -> pd.DataFrame:
    """Return fiscal indicators of all subnational government, by iso3 and year."""
    wanted = [str(year) for year in years]
    table = read(
        raw / "imf-fiscal-decentralization" / "time_series.csv",
        ["Country Name", "Indicator Code", "Sector Code"],
        wanted,
    )
    table = table[(table["Sector Code"] == "SNG") & table["Indicator Code"].isin(codes)]
    table = table.assign(iso3=translate(table["Country Name"], ISO3, "Country Name"))
    if table.duplicated(["iso3", "Indicator Code"]).any():
        raise DataError("A country has two series of one fiscal indicator.")
    long = table.melt(["iso3", "Indicator Code"], wanted, "year").astype({"year": "int64"})
    return long.pivot(index=["iso3", "year"], columns="Indicator Code", values="value")[[*codes]]


def local_autonomy(raw: Path) -> pd.Series:
    """Return the Local Autonomy Index of 2014 by iso3, for the countries of the list."""
    table = read(raw / "local-autonomy-index" / "LAI_2014.csv", ["country_name"], ["D_LAI_2014"])
    return _by_country(table, "country_name", "D_LAI_2014")


def regional_authority(raw: Path) -> pd.Series:
    """Return the Regional Authority Index of 2010 by iso3, for the countries of the list."""
    with warnings.catch_warnings():  # an extension of the workbook that holds no cells
        warnings.filterwarnings("ignore", message="Unknown extension is not supported")
        table = pd.read_excel(
            raw / "regional-authority-index" / "RAI_country_scores_1950_2010.xlsx",
            usecols=["country_name", "year", "n_RAI"],
        )
    return _by_country(table[table["year"] == 2010], "country_name", "n_RAI")


def _by_country(table: pd.DataFrame, name: str, value: str) -> pd.Series:
    """Index a column by iso3, without the countries that are not on the list."""
    iso3 = table[name].map(ISO3)
    twice = sorted(iso3[iso3.notna() & iso3.duplicated()])
    if twice:
        raise DataError(f"{value}: countries listed twice: {listing(twice)}.")
    return table.loc[iso3.notna()].set_index(iso3[iso3.notna()])[value]
