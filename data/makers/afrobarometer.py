"""Afrobarometer: sums over the answers on local government, and who gave none. No answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from lgpi_research.errors import DataError, listing
from lgpi_research.moments import Moments, Scale
from makers.common import Made, MadeMoments, read, translate

R4 = Path("afrobarometer-r4") / "afrobarometer_r4_local_government.csv.gz"
R3 = Path("afrobarometer-r3") / "afrobarometer_r3_local_government.csv.gz"
TUNISIA = Path("afrobarometer-tunisia") / "tunisia_local_government_r5_r9.csv"

WELL, STRENGTH = (1, 4), (0, 3)  # from very badly to very well; from nothing to all

# Our name of each item, the source's, and its answers. Higher is as the question says.
SERVICES_R4 = {
    "roads": ("Q59A", WELL),
    "markets": ("Q59B", WELL),
    "restaurant_hygiene": ("Q59C", WELL),
    "cleanliness": ("Q59D", WELL),
    "licence_fees": ("Q59E", WELL),
    "house_rates": ("Q59F", WELL),
}
COUNCIL_R4 = {
    "work_known": ("Q60A", WELL),
    "budget_information": ("Q60B", WELL),
    "participation": ("Q60C", WELL),
    "consulting": ("Q60D", WELL),
    "complaints": ("Q60E", WELL),
    "use_of_revenue": ("Q60F", WELL),
}
STANDING_R4 = {
    "trust": ("Q49D", STRENGTH),
    "corruption": ("Q50C", STRENGTH),
    "listening": ("Q54B", STRENGTH),
    "performance": ("Q70C", WELL),
}
SERVICES_R3 = {
    "roads": ("q67a", WELL),
    "cleanliness": ("q67b", WELL),
    "local_taxes": ("q67c", WELL),
    "spending": ("q67d", WELL),
}
STANDING_R3 = {
    "trust": ("q55d", STRENGTH),
    "corruption": ("q56c", STRENGTH),
    "officials_corruption": ("q56e", STRENGTH),
    "listening": ("q62b", STRENGTH),
    "performance": ("q68c", WELL),
}

# Answers of the source that are none, by kind.
MISSING = {-1: "missing", 7: "not_asked", 9: "dont_know", 98: "refused", 99: "refused"}
MISSING |= {998: "refused"}

# Regions with too few respondents to be written, joined with a neighbour.
JOINED_R4 = {
    "Botswana / Jwaneng": "Botswana / Jwaneng + Ngwaketse West",
    "Botswana / Ngwaketse West": "Botswana / Jwaneng + Ngwaketse West",
}
JOINED_R3 = {
    "Tanzania / North Pemba": "Tanzania / North Pemba + South Pemba",
    "Tanzania / South Pemba": "Tanzania / North Pemba + South Pemba",
}

PAIRS = " (pair counts)"  # what follows the name of a scale that holds them
TABLE = 30  # respondents behind each table of pairs

Items = Mapping[str, tuple[str, tuple[int, int]]]


def afrobarometer_r4(raw: Path) -> MadeMoments:
    """Sum two batteries and the means of other items over districts, weighted by country."""
    frame, place = _round_4(raw)
    return _by_district(frame, place, (*_batteries_r4(), _means(STANDING_R4)), weighted=True)


def afrobarometer_r4_unweighted(raw: Path) -> MadeMoments:
    """Sum the same, each respondent counted once.

    The same scales lead to the same merged districts: others could be subtracted from them.
    """
    frame, place = _round_4(raw)
    return _by_district(frame, place, (*_batteries_r4(), _means(STANDING_R4)), weighted=False)


def afrobarometer_r4_pairs(raw: Path) -> MadeMoments:
    """Count pairs of answers to the two batteries by region."""
    frame, _ = _round_4(raw)
    return _by_region(frame, _batteries_r4())


def afrobarometer_r3(raw: Path) -> MadeMoments:
    """Sum the services and the means of the other items over districts, weighted by country."""
    frame, place = _round_3(raw)
    return _by_district(frame, place, (_services_r3(), _means(STANDING_R3)), weighted=True)


def afrobarometer_r3_pairs(raw: Path) -> MadeMoments:
    """Count pairs of answers to the services by region."""
    frame, _ = _round_3(raw)
    return _by_region(frame, (_services_r3(),))


def afrobarometer_nonresponse(raw: Path) -> Made:
    """Count who gave which kind of no answer to each item of round 4, by country."""
    items = {**SERVICES_R4, **COUNCIL_R4, **STANDING_R4}
    codes = [code for code, _ in items.values()]
    frame = read(raw / R4, ["country_name"], codes)
    rows = []
    for country, part in frame.groupby("country_name", sort=True):
        for name, (code, ends) in items.items():
            counts = part[code].map(MISSING).value_counts()
            answered = int(_answers(part[code], ends).notna().sum())
            rows.append(
                {
                    "country": country,
                    "item": name,
                    "respondents": len(part),
                    "answered": answered,
                    **{
                        kind: int(counts.get(kind, 0))
                        for kind in ("dont_know", "refused", "not_asked", "missing")
                    },
                }
            )
    table = pd.DataFrame(rows)
    kinds = ["answered", "dont_know", "refused", "not_asked", "missing"]
    if not table[kinds].sum(axis="columns").equals(table["respondents"]):
        raise DataError("Some respondents of round 4 gave an answer of no known kind.")
    return table, [f"{kind}: {int(table[kind].sum()):,}" for kind in kinds]


# Round 5 to 9 of Tunisia: the governorates of rounds 5 and 6 by the regions of 7 to 9.
REGIONS = {
    "Great Tunis": ("Tunis", "Ariana", "Ben Arous", "Manouba"),
    "North East": ("Nabeul", "Zaghouan", "Bizerte"),
    "North West": ("Beja", "Jendouba", "Le Kef", "Siliana"),
    "Center East": ("Sousse", "Monastir", "Mahdia", "Sfax"),
    "Center West": ("Kairouan", "Kasserine", "Sidi Bouzid"),
    "South East": ("Gabes", "Medenine", "Tataouine"),
    "South West": ("Gafsa", "Tozeur", "Kebili"),
}
SPELLINGS = {"Bèja": "Beja", "Gabès": "Gabes", "Kébili": "Kebili", "Mednine": "Medenine"}
YEARS = {5: 2013, 6: 2015, 7: 2018, 8: 2020, 9: 2022}
TUNISIAN = {
    "trust": ("trust_local", STRENGTH),
    "corruption": ("corrupt_local", STRENGTH),
    "listening": ("listen_local", STRENGTH),
    "performance": ("perform_local", WELL),
    "contact": ("contact_local", STRENGTH),
    "roads": ("lg_roads", WELL),
    "markets": ("lg_markets", WELL),
    "restaurant_hygiene": ("lg_restaurant_health", WELL),
    "cleanliness": ("lg_clean", WELL),
    "land_use": ("lg_land", WELL),
    "budget_access": ("access_lg_budget", STRENGTH),
}
TUNISIAN_SERVICES = ("roads", "markets", "restaurant_hygiene", "cleanliness", "land_use")


def afrobarometer_tunisia(raw: Path) -> MadeMoments:
    """Sum answers of five rounds over town and country of governorates or regions."""
    codes = [code for code, _ in TUNISIAN.values()]
    frame = read(raw / TUNISIA, ["region_name"], ["round", "urbrur", "withinwt", *codes])
    weight = frame["withinwt"]
    lacking = weight.isna()
    if set(frame.loc[lacking, "round"]) != {8.0, 9.0} or not lacking[frame["round"] > 7].all():
        raise DataError("Weights of Tunisia are missing elsewhere than in rounds 8 and 9.")
    number = frame["round"].astype(int)
    wave = "round " + number.astype("str") + " (" + number.map(YEARS).astype("str") + ")"
    area = frame["region_name"].str.strip().replace(SPELLINGS)
    region_of = {area: region for region, areas in REGIONS.items() for area in areas}
    region = translate(area, region_of | {name: name for name in REGIONS}, "Regions of Tunisia")
    town = translate(frame["urbrur"].astype("str"), {"1.0": "urban", "2.0": "rural"}, "urbrur")
    answers = _table(frame, TUNISIAN)
    scales = (
        Scale("standing", tuple(TUNISIAN)[:4], reverse=("corruption",)),
        Scale("services", TUNISIAN_SERVICES),
        _means(("contact", "budget_access")),
    )
    moments = Moments.from_answers(
        answers,
        psu=wave + " / " + area + " / " + town,
        stratum=wave,
        place=wave + " / " + region,
        weight=weight.fillna(1.0),
        scales=scales,
        where="the rounds of Tunisia",
    )
    used = ", ".join(f"{s.name} {moments.n_used(s.name):,}" for s in scales)
    return MadeMoments(moments, [f"Respondents used: {used}."])


def _round_4(raw: Path) -> tuple[pd.DataFrame, pd.Series]:
    items = {**SERVICES_R4, **COUNCIL_R4, **STANDING_R4}
    texts = ["country_name", "region_name", "DISTRICT"]
    return _read_round(raw / R4, texts, "Withinwt", items, JOINED_R4)


def _round_3(raw: Path) -> tuple[pd.DataFrame, pd.Series]:
    texts = ["country_name", "region_name", "district"]
    items = {**SERVICES_R3, **STANDING_R3}
    return _read_round(raw / R3, texts, "withinwt", items, JOINED_R3)


def _read_round(
    path: Path, texts: list[str], weight: str, items: Items, joined: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.Series]:
    """Return answers with their design (country, region, district, weight), and the places."""
    source = read(path, texts, [weight, *(code for code, _ in items.values())])
    design = source[texts].set_axis(["country", "region", "district"], axis=1)
    # Lesotho has no districts in round 4: its regions stand for them.
    design["district"] = design["district"].replace("", "(whole region)")
    frame = pd.concat([design, source[weight].rename("weight"), _table(source, items)], axis=1)
    places = design["country"] + " / " + design["region"]
    return frame, places.replace(dict(joined))


def _table(source: pd.DataFrame, items: Items) -> pd.DataFrame:
    return pd.DataFrame(
        {name: _answers(source[code], ends) for name, (code, ends) in items.items()}
    )


def _answers(values: pd.Series, ends: tuple[int, int]) -> pd.Series:
    """Return answers, and NaN for the known codes of none; refuse anything else."""
    answered = values.between(*ends) & (values % 1 == 0)
    odd = values[~answered & values.notna() & ~values.isin(list(MISSING))]
    if len(odd):
        raise DataError(f"{values.name}: unknown answers {listing(sorted(set(odd)))}.")
    return values.where(answered)


def _batteries_r4() -> tuple[Scale, Scale]:
    return Scale("services", tuple(SERVICES_R4)), Scale("council practice", tuple(COUNCIL_R4))


def _services_r3() -> Scale:
    return Scale("services", tuple(SERVICES_R3))


def _means(items: Iterable[str]) -> Scale:
    """Return a scale of items that are in no other.

    Means of the items of a battery rest on a few more respondents than its covariances: their
    difference would tell the answers of those few.
    """
    return Scale("means", tuple(items), "means")


def _by_district(
    frame: pd.DataFrame, place: pd.Series, scales: tuple[Scale, ...], *, weighted: bool
) -> MadeMoments:
    moments = Moments.from_answers(
        frame,
        psu=frame["country"] + " / " + frame["region"] + " / " + frame["district"],
        stratum=frame["country"],
        place=place,
        weight=frame["weight"] if weighted else None,
        items=list(frame.columns[4:]),
        scales=scales,
        where="Afrobarometer",
    )
    used = ", ".join(f"{s.name} {moments.n_used(s.name):,}" for s in scales)
    return MadeMoments(moments, [f"{moments.n_psu:,} districts; respondents used: {used}."])


def _by_region(frame: pd.DataFrame, scales: tuple[Scale, ...]) -> MadeMoments:
    pairs = [
        Scale(f"{scale.name}{PAIRS}", scale.items, "pair counts", categories=(1, 2, 3, 4))
        for scale in scales
    ]
    moments = Moments.from_answers(
        frame,
        psu=frame["country"] + " / " + frame["region"],
        stratum=frame["country"],
        place=frame["country"],
        weight=frame["weight"],
        items=list(frame.columns[4:]),
        scales=pairs,
        where="Afrobarometer",
    )
    return MadeMoments(moments, [f"{moments.n_psu:,} regions."], TABLE, 1)
