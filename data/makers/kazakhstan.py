"""Kazakhstan: a published ranking of regions, a sample of local budgets, and the map."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from lgpi_research.errors import DataError, listing
from makers.common import Made, read, translate, whole

# The name in the ranking: code, English name, kind of unit.
REGIONS = {
    "Abai Region": ("KZ-10", "Abai", "region"),
    "Akmola Region": ("KZ-11", "Akmola", "region"),
    "Aktobe Region": ("KZ-15", "Aktobe", "region"),
    "Almaty Region": ("KZ-19", "Almaty region", "region"),
    "Atyrau Region": ("KZ-23", "Atyrau", "region"),
    "West Kazakhstan Region": ("KZ-27", "West Kazakhstan", "region"),
    "Jambyl Region": ("KZ-31", "Jambyl", "region"),
    "Jetisu Region": ("KZ-33", "Jetisu", "region"),
    "Karaganda Region": ("KZ-35", "Karaganda", "region"),
    "Kostanay Region": ("KZ-39", "Kostanay", "region"),
    "Kyzylorda Region": ("KZ-43", "Kyzylorda", "region"),
    "Mangystau Region": ("KZ-47", "Mangystau", "region"),
    "Pavlodar Region": ("KZ-55", "Pavlodar", "region"),
    "North Kazakhstan Region": ("KZ-59", "North Kazakhstan", "region"),
    "Turkistan Region": ("KZ-61", "Turkistan", "region"),
    "Ulytau Region": ("KZ-62", "Ulytau", "region"),
    "East Kazakhstan Region": ("KZ-63", "East Kazakhstan", "region"),
    "Astana city": ("KZ-71", "Astana city", "city"),
    "Almaty city": ("KZ-75", "Almaty city", "city"),
    "Shymkent city": ("KZ-79", "Shymkent city", "city"),
}

INDICATORS = {
    "air_pollution": "air_pollution_index",
    "salary": "avg_salary",
    "population": "Total_city_population",
    "crimes": "crime_amount",
    "crimes_cleared": "clearance_rate",
    "life_expectancy": "life_expectancy",
    "entertainment_places": "number of entertainment places",
    "gdp_per_head": "gdp_per_capita_tenge",
    "postgraduate": "Postgraduate_Education",
    "higher_education": "Higher_Education",
    "household_spending": "household_spending_per_month",
    "medical_institutions": "med_institutions_amount",
    "cars": "number_of_cars",
    "schools": "number_of_schools",
    "public_transport": "public_transport_quantity",
    "unemployment": "unemployment_rate",
}

SCALED = {
    "scaled_air_pollution": "air_pollution",
    "scaled_salary": "avg_salary",
    "scaled_population": "population",
    "scaled_crimes": "crime_rate",
    "scaled_clearance": "clearance_rate",
    "scaled_life_expectancy": "life_expectancy",
    "scaled_entertainment": "entertainment_places_rate",
    "scaled_gdp": "gdp",
    "scaled_postgraduate": "postgraduate_education",
    "scaled_higher_education": "higher_education",
    "scaled_household_spending": "household_spending",
    "scaled_medical": "med_institution_rate",
    "scaled_cars": "car_amount_rate",
    "scaled_schools": "school_number_rate",
    "scaled_transport": "transport_quanity_rate",
    "scaled_unemployment": "unemployment_rate",
}

# Cells known to be wrong, by indicator; they are kept and flagged.
WRONG = {
    "crimes_error": {"KZ-27"},
    "cars_error": {"KZ-10", "KZ-33", "KZ-62"},
    "transport_error": {"KZ-10", "KZ-33", "KZ-63"},
    "scaled_cars_error": {"KZ-10", "KZ-27", "KZ-33", "KZ-59", "KZ-62"},
}

TIERS = {
    "oblast": "region",
    "city": "city",
    "district": "district",
    "town_or_rural_okrug": "town or rural district",
}

MONEY = ["revenue_total", "tax_revenue", "nontax_revenue", "capital_sales",
         "transfers_received", "special_receipts", "expenditure"]  # fmt: skip

SMALL = 10
"""Rings that enclose no more than 10 squares of 0.01 degrees (about 8 km²) are left out."""


def kazakhstan_regions(raw: Path) -> Made:
    """Join the indicators of a ranking with its scaled values and both published scores."""
    folder = raw / "kazakhstan-region-ranking"
    told = read(folder / "merged_to_normalize.csv", ["Region"], list(INDICATORS.values()))
    equal, green = (
        read(
            folder / f"weight_with_sustainability_score_{name}.csv",
            ["region"],
            [*SCALED.values(), "sustainability_score"],
        ).set_index("region")
        for name in ("equal_weight", "environment")
    )
    scaled = list(SCALED.values())
    if not equal[scaled].equals(green.loc[equal.index, scaled]):
        raise DataError("The two published scores do not rest on the same scaled indicators.")
    known = {name: " / ".join(facts) for name, facts in REGIONS.items()}
    facts = translate(told["Region"], known, "Region").str.split(" / ", expand=True)
    frame = pd.DataFrame({"iso_3166_2": facts[0], "region": facts[1], "type": facts[2]})
    for name, column in INDICATORS.items():
        counted = name in ("population", "crimes", "crimes_cleared", "schools", "public_transport",
                           "medical_institutions", "entertainment_places")  # fmt: skip
        frame[name] = whole(told[column]) if counted else told[column]
    for name, column in SCALED.items():
        frame[name] = equal[column].reindex(told["Region"]).to_numpy()
    for name, published in (("equal", equal), ("environment", green)):
        score = published["sustainability_score"].reindex(told["Region"])
        frame[f"score_{name}"] = score.to_numpy()
        frame[f"rank_{name}"] = score.rank(ascending=False).to_numpy()
    for name, codes in WRONG.items():
        frame[name] = frame["iso_3166_2"].isin(codes).astype("int64")
    frame["gdp_imputed"] = (frame["gdp_per_head"].isna() & frame["scaled_gdp"].notna()).astype(int)
    lost = listing(frame.loc[frame["score_equal"].isna(), "region"])
    return frame.sort_values("iso_3166_2"), [
        f"{len(frame)} units; {len(equal)} have published scores, not {lost}.",
        f"{int(frame[list(WRONG)].to_numpy().sum())} flags of wrong cells set; nothing corrected.",
    ]


def kazakhstan_budgets(raw: Path) -> Made:
    """Give the approved budgets English names of kinds of revenue, and what does not add up."""
    source = read(
        raw / "kazakhstan-local-budgets-sample" / "kz_local_budgets_sample.csv",
        ["unit", "iso_3166_2", "tier", "act_id", "source_url", "amount_unit", "status"],
        ["budget_year", *MONEY],
    )
    if set(source["amount_unit"]) != {"thousand KZT"}:
        raise DataError("Amounts of the budgets are not all in thousand tenge.")
    status = translate(
        source["status"], {"approved or amended plan (not outturn)": "plan"}, "status"
    )
    year = whole(source["budget_year"])
    act_year = 2000 + source["act_id"].str.extract(r"^[GV](\d\d)", expand=False).astype("int64")
    if not (year - act_year).isin([0, 1]).all():
        raise DataError("An act is neither of the budget year nor of the year before.")
    parts = source[["tax_revenue", "nontax_revenue", "capital_sales",
                    "transfers_received", "special_receipts"]].sum(axis=1)  # fmt: skip
    frame = pd.DataFrame(
        {
            "budget": source["unit"].str.replace("okrug", "district"),
            "iso_3166_2": source["iso_3166_2"],
            "tier": translate(source["tier"], TIERS, "tier"),
            "budget_year": year,
            "tax_revenue": source["tax_revenue"],
            "nontax_revenue": source["nontax_revenue"],
            "capital_sales": source["capital_sales"],
            "transfers_received": source["transfers_received"],
            "special_receipts": source["special_receipts"],
            "revenue_total": source["revenue_total"],
            "revenue_difference": (source["revenue_total"] - parts).round(1) + 0.0,
            "expenditure": source["expenditure"],
            "basis": status,
            "act_in_budget_year": (act_year == year).astype("int64"),
            "act_id": source["act_id"],
            "source_url": source["source_url"],
        }
    )
    off = frame.loc[frame["revenue_difference"] != 0, "budget"]
    order = frame["tier"].map({tier: place for place, tier in enumerate(TIERS.values())})
    frame = frame.iloc[np.lexsort((year, frame["budget"], order))]
    return frame, [
        f"{len(frame)} plans; parts and total of revenue differ in {listing(off)} only.",
        f"{int(frame['act_in_budget_year'].sum())} acts are numbered in the budget year itself.",
    ]


def kazakhstan_withdrawals(raw: Path) -> Made:
    """Give what the donor regions pay to the republican budget in 2026."""
    amount = "withdrawal_to_republican_budget_thousand_kzt"
    source = read(
        raw / "kazakhstan-local-budgets-sample" / "kz_budget_withdrawals_2026.csv",
        ["iso_3166_2"],
        ["year", amount],
    )
    names = {code: name for code, name, _ in REGIONS.values()}
    frame = pd.DataFrame(
        {
            "iso_3166_2": source["iso_3166_2"],
            "region": translate(source["iso_3166_2"], names, "iso_3166_2"),
            "year": whole(source["year"]),
            "withdrawal": whole(source[amount]),
        }
    ).sort_values("iso_3166_2")
    return frame, [f"{len(frame)} donors pay {frame['withdrawal'].sum():,} thousand tenge."]


def kazakhstan_map(raw: Path) -> Made:
    """List the outlines of the regions, vertex by vertex, to a hundredth of a degree."""
    path = raw / "kazakhstan-regions-map" / "kazakhstan_regions_20.geojson"
    rows: list[tuple[str, int, int, float, float]] = []
    left = 0
    features = json.loads(path.read_text("utf-8"))["features"]
    for feature in sorted(features, key=lambda item: item["properties"]["iso_3166_2"]):
        code, shape = feature["properties"]["iso_3166_2"], feature["geometry"]
        parts = shape["coordinates"] if shape["type"] == "MultiPolygon" else [shape["coordinates"]]
        ring = 0
        for line in (line for part in parts for line in part):
            # In whole hundredths of a degree, areas are exact: some rings lie on the limit.
            points = np.rint(np.asarray(line, dtype=float)[:, :2] * 100).astype("int64")
            points = points[:-1][(points[:-1] != points[1:]).any(axis=1)]  # ends where it began
            if area(points) <= SMALL:
                left += 1
                continue
            ring += 1
            rows += [
                (code, ring, vertex, *xy) for vertex, xy in enumerate((points / 100).tolist(), 1)
            ]
    columns = ["iso_3166_2", "ring", "vertex", "longitude", "latitude"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame, [
        f"{frame['iso_3166_2'].nunique()} regions, {len(frame):,} vertices; {left} rings of no "
        f"more than {SMALL / 1e4:g} square degrees left out."
    ]


def area(points: np.ndarray) -> float:
    """Return the area that a ring encloses, in the square of its unit."""
    x, y = points.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)
