"""European Union: the regional index of 2021 with national measures of autonomy."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lgpi_research.errors import DataError, listing
from makers.common import Made, printed, read, translate
from makers.countries import EU27, ISO3, local_autonomy, regional_authority, subnational

TAX_YEARS = range(2012, 2017)


def eu_regions(raw: Path) -> Made:
    """Join the regional index with income per head and three national measures."""
    source = read(
        raw / "eqi-2021-regions" / "EQI_goth.csv",
        ["region_code", "name", "cname"],
        ["eqi21_n2", "eqi21_n2_lowME", "eqi21_n2_highME",
         "qualityp21_n2", "impartialityp21_n2", "corruptionp21_n2"],
    )  # fmt: skip
    controls = read(
        raw / "eqi-2021-regions" / "data_TER.csv", ["geo"], ["pib_par_reg", "nbPop_1erJanv"]
    )
    joined = source.merge(
        controls,
        left_on="region_code", right_on="geo", how="left", validate="one_to_one", indicator=True,
    )  # fmt: skip
    if not (joined["_merge"] == "both").all():
        raise DataError("Regions of the index and of the controls do not match one to one.")

    iso3 = translate(source["cname"], ISO3, "cname")
    autonomy, authority = local_autonomy(raw), regional_authority(raw)
    years = subnational(raw, ["taxd"], TAX_YEARS)["taxd"].unstack("year")
    if set(iso3) != EU27:
        raise DataError(f"Not the 27 member states: {listing(sorted(set(iso3) ^ EU27))}.")
    national = {"Local Autonomy Index": autonomy, "Regional Authority Index": authority}
    for what, table in (national | {"tax share": years}).items():
        absent = sorted(EU27 - set(table.index))
        if absent:
            raise DataError(f"{what}: countries missing: {listing(absent)}.")

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
            "local_autonomy": iso3.map(autonomy),
            "tax_share": iso3.map(years.mean(axis=1)),
            "tax_share_years": iso3.map(years.notna().sum(axis=1)),
            "regional_authority": iso3.map(authority),
        }
    ).sort_values("region_code")
    poor = frame.loc[frame["gdp_per_head"].isna(), "region_code"]
    short = frame.loc[frame["tax_share_years"] < len(TAX_YEARS), "country"]
    return frame, [
        f"{len(frame)} regions of {iso3.nunique()} countries, all with three national measures.",
        f"GDP per head for {len(frame) - len(poor)}; missing for {listing(poor, 10)}.",
        f"Tax share over fewer than {len(TAX_YEARS)} years: {listing(sorted(set(short)))}.",
    ]
