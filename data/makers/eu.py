"""European Union: the regional index of 2021 with national measures of autonomy."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lgpi_research.errors import DataError, listing
from makers.common import Made, printed, read, translate

# Member states as the three providers write them.
ISO3 = {
    "Austria": "AUT",
    "Belgium": "BEL",
    "Bulgaria": "BGR",
    "Croatia": "HRV",
    "Cyprus": "CYP",
    "Czech Republic": "CZE",
    "Denmark": "DNK",
    "Estonia": "EST",
    "Finland": "FIN",
    "France": "FRA",
    "Germany": "DEU",
    "Greece": "GRC",
    "Hungary": "HUN",
    "Ireland": "IRL",
    "Italy": "ITA",
    "Latvia": "LVA",
    "Lithuania": "LTU",
    "Luxembourg": "LUX",
    "Malta": "MLT",
    "Netherlands": "NLD",
    "Poland": "POL",
    "Portugal": "PRT",
    "Romania": "ROU",
    "Slovak Republic": "SVK",
    "Slovakia": "SVK",
    "Slovenia": "SVN",
    "Spain": "ESP",
    "Sweden": "SWE",
}

TAX_YEARS = ["2012", "2013", "2014", "2015", "2016"]


def eu_regions(raw: Path) -> Made:
    """Join the regional index with income per head and two national measures."""
    source = read(
        raw / "eqi-2021-regions" / "EQI_goth.csv",
        ["region_code", "name", "cname"],
        ["eqi21_n2", "eqi21_n2_lowME", "eqi21_n2_highME",
         "qualityp21_n2", "impartialityp21_n2", "corruptionp21_n2"],
    )  # fmt: skip
    controls = read(
        raw / "eqi-2021-regions" / "data_TER.csv", ["geo"], ["pib_par_reg", "nbPop_1erJanv"]
    )
    autonomy = read(raw / "local-autonomy-index" / "LAI_2014.csv", ["country_name"], ["D_LAI_2014"])
    taxes = read(
        raw / "imf-fiscal-decentralization" / "time_series.csv",
        ["Country Name", "Indicator Code", "Sector Code"],
        TAX_YEARS,
    )

    joined = source.merge(
        controls,
        left_on="region_code", right_on="geo", how="left", validate="one_to_one", indicator=True,
    )  # fmt: skip
    if not (joined["_merge"] == "both").all():
        raise DataError("Regions of the index and of the controls do not match one to one.")

    autonomy = autonomy[autonomy["country_name"].isin(ISO3)]
    index = autonomy.set_index(autonomy["country_name"].map(ISO3))["D_LAI_2014"]
    taxes = taxes[
        (taxes["Indicator Code"] == "taxd")
        & (taxes["Sector Code"] == "SNG")
        & taxes["Country Name"].isin(ISO3)
    ]
    years = taxes.set_index(taxes["Country Name"].map(ISO3))[TAX_YEARS]
    iso3 = translate(source["cname"], ISO3, "cname")
    for what, table in (("Local Autonomy Index", index), ("tax share", years)):
        absent = sorted(set(iso3) - set(table.index))
        if absent or not table.index.is_unique:
            raise DataError(f"{what}: countries missing or listed twice: {listing(absent)}.")

    low, high = printed(source["eqi21_n2_lowME"], 6), printed(source["eqi21_n2_highME"], 6)
    frame = pd.DataFrame(
        {
            "region_code": source["region_code"],
            "region": source["name"],
            "country": source["cname"],
            "iso3": iso3,
            "eqi": printed(source["eqi21_n2"], 3),
            "eqi_low": low,
            "eqi_high": high,
            "eqi_std_error": (high - low) / 2 / 1.96,
            "quality": printed(source["qualityp21_n2"], 3),
            "impartiality": printed(source["impartialityp21_n2"], 3),
            "corruption": printed(source["corruptionp21_n2"], 3),
            "gdp_per_head": joined["pib_par_reg"] * 1e6 / joined["nbPop_1erJanv"],
            "local_autonomy": iso3.map(index),
            "tax_share": iso3.map(years.mean(axis=1)),
            "tax_share_years": iso3.map(years.notna().sum(axis=1)),
        }
    ).sort_values("region_code")
    poor = frame.loc[frame["gdp_per_head"].isna(), "region_code"]
    short = frame.loc[frame["tax_share_years"] < len(TAX_YEARS), "country"]
    return frame, [
        f"{len(frame)} regions of {iso3.nunique()} countries, all with both national measures.",
        f"GDP per head for {len(frame) - len(poor)}; missing for {listing(poor, 10)}.",
        f"Tax share over fewer than {len(TAX_YEARS)} years: {listing(sorted(set(short)))}.",
    ]
