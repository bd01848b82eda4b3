"""Burkina Faso: the municipal scorecard of communes, 2015 to 2017."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lgpi_research.errors import DataError, listing
from makers.common import Made, read, whole

KEY = ["year", "region", "province", "commune"]

# The source's name of each indicator that is a number, and ours.
RAW = {
    "passing_exam_gap": "passing_exam_gap",
    "school_supplies_delay": "school_supplies_delay",
    "schools_with_well": "schools_with_well",
    "schools_with_latrines": "schools_with_latrines",
    "assisted_births": "assisted_births",
    "infants_vaccinated": "infants_vaccinated",
    "clinics_gas_stock": "clinics_gas_stock",
    "water_access": "water_access",
    "birth_certificates": "birth_certificates",
    "council_attendance": "council_attendance",
    "taxes_per_capita": "taxes_per_head",
    "tax_recovery_rate": "tax_recovery_rate",
    "procurement_execution": "procurement_execution",
}
# Their columns of yes and no are left out: in two of the three years they are mislabelled.
YES_NO = {
    "personnel": "personnel",
    "council_sessions": "council_sessions",
    "consultation_meetings": "consultation_meetings",
}
TOTALS = ["services_total", "institutional_total"]

# Points of the study's outcome whose indicator is not divided by the projected population, as
# taxes per head are.
WITHOUT_POPULATION = [
    "passing_exam_gap",
    "school_supplies_delay",
    "schools_with_well",
    "schools_with_latrines",
    "clinics_gas_stock",
    "council_sessions",
    "consultation_meetings",
    "council_attendance",
]


def burkina_faso_communes(raw: Path) -> Made:
    """Take indicators, points and totals of the scorecard, a row for each commune and year."""
    names = RAW | {f"points_{name}": f"points_{ours}" for name, ours in (RAW | YES_NO).items()}
    source = read(
        raw / "supermun-burkina-faso" / "supermun_panel.csv", KEY[1:], ["year", *names, *TOTALS]
    ).rename(columns=names)
    figures = source[[*names.values(), *TOTALS]].apply(_one_decimal)

    services = [f"points_{name}" for name in list(RAW.values())[:9]]
    unscored = (figures["services_total"] == 0) & (figures[services].sum(axis=1) > 0)
    figures["services_total"] = figures["services_total"].mask(unscored)
    free = [f"points_{name}" for name in WITHOUT_POPULATION]
    figures["points_without_population"] = figures[free].sum(axis=1, skipna=False).round(1)
    figures["published_total"] = (figures[TOTALS].sum(axis=1, skipna=False)).round(1)
    places = source[KEY[1:]]
    frame = pd.concat(
        [
            whole(source["year"]),
            places,
            places.agg(" / ".join, axis=1).rename("commune_id"),
            figures,
        ],
        axis=1,
    ).sort_values(KEY)
    if frame.duplicated(["year", "commune_id"]).any():
        raise DataError("A commune has two rows in one year.")
    twice = frame.loc[frame.duplicated(["year", "commune"], keep=False), "commune"]
    return frame, [
        f"{len(frame)} rows: communes by year "
        f"{', '.join(f'{year}: {n}' for year, n in frame.groupby('year').size().items())}.",
        f"Names borne by two communes: {listing(sorted(set(twice)))}; commune_id tells them apart.",
        f"{int(unscored.sum())} published services totals of 0 beside points that add up to more "
        f"set to missing: {listing(frame.loc[unscored, 'commune_id'])}.",
    ]


def _one_decimal(values: pd.Series) -> pd.Series:
    """Return the one decimal that was published of figures stored in single precision."""
    rounded = values.round(1)
    known = values.notna()
    if (rounded[known].astype("float32") != values[known].astype("float32")).any():
        raise DataError(f"{values.name} has more than one decimal; nothing was rounded.")
    return rounded
