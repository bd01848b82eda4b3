"""Viet Nam: governance and competitiveness of provinces, and their budgets, 2011-2016."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lgpi_research.errors import DataError, listing
from makers.common import Made, read, whole

YEARS = range(2011, 2017)

PROVINCES = {"BRVT": "Ba Ria-Vung Tau", "TP HCM": "Ho Chi Minh City"}  # the source's abbreviations

# The source's name of each dimension and part, and ours.
DIMENSIONS = {
    "participation": "participation",
    "transparency": "transparency",
    "accountability": "accountability",
    "corruption": "corruption_control",
    "procedures": "procedures",
    "service": "services",
}
PARTS = {
    "participation_knowledge": "participation_knowledge",
    "participation_opportunities": "participation_opportunities",
    "participation_elections": "participation_elections",
    "participation_contributions": "participation_contributions",
    "transparency_povertylists": "transparency_poverty_lists",
    "transparency_budgetexpenditure": "transparency_budgets",
    "transparency_landuse": "transparency_land_use",
    "accountability_interaction": "accountability_interaction",
    "accountability_inspection": "accountability_inspection",
    "accountability_investment": "accountability_investment",
    "accountability_responsive": "accountability_responsive",
    "corruption_public": "corruption_control_public",
    "corruption_service": "corruption_control_service",
    "corruption_employment": "corruption_control_employment",
    "corruption_willingness": "corruption_control_willingness",
    "procedures_certification": "procedures_certification",
    "procedures_construction": "procedures_construction",
    "procedures_landuse": "procedures_land_use",
    "procedures_personal": "procedures_personal",
    "service_health": "services_health",
    "service_primary": "services_primary_schools",
    "service_infrastructure": "services_infrastructure",
    "service_law": "services_law_and_order",
}


def vietnam_provinces(raw: Path) -> Made:
    """Join governance by province and year with competitiveness and two kinds of budget."""
    folder = raw / "vietnam-provinces"
    names = {f"papi_{name}": ours for name, ours in {**DIMENSIONS, **PARTS}.items()}
    papi = _years(read(folder / "papi.csv", ["prov"], ["year", "papi_unweighted", *names]))
    papi = papi.rename(columns={**names, "papi_unweighted": "papi_total"})
    unscored = papi["papi_total"] == 0
    if papi.loc[unscored, list(names.values())].notna().any(axis=None):
        raise DataError("A total of 0 stands beside parts that are not missing.")
    papi["papi_total"] = papi["papi_total"].mask(unscored)

    pci = _years(read(folder / "pci.csv", ["prov"], ["year", "pci_weighted"]))
    nameless = pci["prov"].isin(["", "NA"])
    pci = pci[~nameless].rename(columns={"pci_weighted": "pci"})
    plan = _budget(folder / "vnbudget_plan.csv", "plan")
    final = _budget(folder / "vnbudget_final.csv", "final")
    if plan.groupby("prov")["south"].nunique(dropna=False).max() != 1:
        raise DataError("A province is south in one year and not in another.")

    frame = papi
    for table in (pci, plan, final.drop(columns="south")):
        frame = frame.merge(table, on=["prov", "year"], how="left", validate="one_to_one")
    if frame["own_revenue_plan"].isna().any():
        raise DataError("Governance and planned budgets do not match for every province and year.")
    frame = frame.assign(province=frame["prov"].replace(PROVINCES), year=whole(frame["year"]))

    order = ["province", "year", "south"]
    for dimension in DIMENSIONS.values():
        order += [dimension, *(part for part in PARTS.values() if _belongs(part, dimension))]
    budget = ["own_revenue", "expenditure", "net_transfers", "own_ratio", "own_share"]
    order += ["papi_total", "pci"]
    order += [f"{name}_{basis}" for basis in ("plan", "final") for name in budget]
    frame = frame[order].sort_values(["province", "year"])
    poor = frame.loc[frame["papi_total"].isna(), "province"]
    return frame, [
        f"{len(frame)} rows: {frame['province'].nunique()} provinces in {frame['year'].nunique()} "
        f"years, all with a planned budget; {int(frame['own_share_final'].notna().sum())} with a "
        "final one.",
        f"Published totals of 0 set to missing, their parts being blank: {listing(poor)}.",
        f"{int(nameless.sum())} rows of the competitiveness index name no province and were set "
        f"aside; {int(frame['pci'].notna().sum())} of {len(frame)} have it.",
        f"Own revenue is above expenditure in {int((frame['own_ratio_plan'] > 1).sum())} planned "
        f"and {int((frame['own_ratio_final'] > 1).sum())} final budgets; the share is 1 there.",
    ]


def _belongs(part: str, dimension: str) -> bool:
    return part.startswith(f"{dimension}_")


def _years(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the years of the table."""
    return frame[frame["year"].isin(YEARS)]


def _budget(path: Path, basis: str) -> pd.DataFrame:
    """Return own revenue, expenditure and what follows from them, on one accounting basis."""
    frame = _years(read(path, ["prov"], ["year", "total.rev", "total.exp", "net.trans", "south"]))
    own, spent, net = frame["total.rev"], frame["total.exp"], frame["net.trans"]
    if ((spent - own - net).abs() > 1e-6 * spent).any():
        raise DataError(f"{path.name}: net transfers are not expenditure less own revenue.")
    return pd.DataFrame(
        {
            "prov": frame["prov"],
            "year": frame["year"],
            "south": frame["south"],
            f"own_revenue_{basis}": own,
            f"expenditure_{basis}": spent,
            f"net_transfers_{basis}": net,
            f"own_ratio_{basis}": own / spent,
            f"own_share_{basis}": (own / spent).clip(upper=1.0),
        }
    )
