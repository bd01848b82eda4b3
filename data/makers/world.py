"""World: subnational finance and governance of countries, by year and by country."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lgpi_research.errors import DataError, listing
from makers.common import Made, whole
from makers.countries import (
    EU27,
    NAMES,
    POST_SOVIET,
    local_autonomy,
    regional_authority,
    subnational,
)

YEARS = range(1996, 2018)  # of the fiscal measures: governance begins in 1996, they end in 2017

MEASURES = {
    "rd": "own_revenue_share",
    "taxd": "tax_share",
    "sd": "expenditure_share",
    "transferDep1": "transfer_dependence",
    "vfi": "vertical_gap",
}

GOVERNANCE = {
    "va": "voice",
    "pv": "stability",
    "ge": "effectiveness",
    "rq": "regulation",
    "rl": "rule_of_law",
    "cc": "corruption_control",
}

OLD_CODES = {"ROM": "ROU"}


def world_panel(raw: Path) -> Made:
    """Join fiscal measures with governance, by country and year."""
    fiscal = subnational(raw, list(MEASURES), YEARS).dropna(how="all").rename(columns=MEASURES)
    governance = _governance(raw)
    east = governance.index.get_level_values("iso3").isin(POST_SOVIET)
    rows = fiscal.index.union(governance.index[east])
    frame = fiscal.reindex(rows).join(governance).reset_index()
    _refuse_absent(frame["iso3"], "fiscal measures and governance")
    frame.insert(1, "country", frame["iso3"].map(NAMES))

    both = frame[list(MEASURES.values())].notna().any(axis=1) & frame["effectiveness"].notna()
    return frame, [
        f"{len(fiscal):,} country-years with a fiscal measure, of "
        f"{fiscal.index.get_level_values('iso3').nunique()} countries; governance as well in "
        f"{int(both.sum()):,}.",
        f"{len(frame) - len(fiscal)} more of post-Soviet countries, with governance alone.",
    ]


def world_countries(raw: Path) -> Made:
    """Describe the countries of the panel, one row each."""
    facts = _stata(
        raw / "qog-standard-cs-jan23" / "qog_std_cs_jan23_stata14.dta",
        ["ccodealp"],
        ["wdi_gdpcappppcon2017", "wdi_pop"],
    ).set_index("ccodealp")
    iso3 = pd.Series(sorted(NAMES), name="iso3")
    _refuse_absent(facts.index, "income and population")
    found = facts.loc[iso3.to_list()].reset_index(drop=True)
    frame = pd.DataFrame(
        {
            "iso3": iso3,
            "country": iso3.map(NAMES),
            "eu27": iso3.isin(EU27).astype("int64"),
            "post_soviet": iso3.isin(POST_SOVIET).astype("int64"),
            "gdp_per_head": found["wdi_gdpcappppcon2017"],
            "population": whole(found["wdi_pop"]),
            "local_autonomy": iso3.map(local_autonomy(raw)),
            "regional_authority": iso3.map(regional_authority(raw)),
        }
    )
    counts = frame[["local_autonomy", "regional_authority"]].notna().sum()
    return frame, [
        f"{len(frame)} countries, {int(frame['eu27'].sum())} in the EU, "
        f"{int(frame['post_soviet'].sum())} post-Soviet.",
        f"Local autonomy of {counts.iloc[0]}, regional authority of {counts.iloc[1]}.",
    ]


def _governance(raw: Path) -> pd.DataFrame:
    """Return estimates and standard errors of governance by iso3 and year."""
    columns = {f"{code}e": name for code, name in GOVERNANCE.items()}
    columns |= {f"{code}s": f"{name}_std_error" for code, name in GOVERNANCE.items()}
    table = _stata(
        raw / "worldwide-governance-indicators" / "wgidataset_1996_2021.dta",
        ["code", "year"],
        list(columns),
    )
    table = table.assign(iso3=table["code"].replace(OLD_CODES)).astype({"year": "int64"})
    table = table[table["iso3"].isin(NAMES)]
    _refuse_absent(table["iso3"], "governance")
    if table.duplicated(["iso3", "year"]).any():
        raise DataError("Governance: a country has two rows of one year.")
    table = table.set_index(["iso3", "year"])[list(columns)].rename(columns=columns)
    for name in GOVERNANCE.values():
        if (table[name].isna() != table[f"{name}_std_error"].isna()).any():
            raise DataError(f"{name}: an estimate without its standard error, or the reverse.")
    return table


def _stata(path: Path, keys: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """Read columns of a Stata file; single-precision numbers as the shortest decimals."""
    table = pd.read_stata(path, columns=[*keys, *numbers], convert_categoricals=False)
    for name in numbers:
        if table[name].dtype == np.float32:
            table[name] = [float(str(value)) for value in table[name].to_numpy()]
    return table


def _refuse_absent(there: Iterable[str], what: str) -> None:
    """Refuse a source that lacks a country of the list."""
    absent = sorted(set(NAMES) - set(there))
    if absent:
        raise DataError(f"{what}: countries missing: {listing(absent)}.")
