"""Russia: what municipal institutions of large cities disclose, and transfers, 2012-2018."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lgpi_research.errors import DataError, listing
from makers.common import Made, printed, read, translate, whole

REGIONS = {
    "Алтайский край": "Altai Krai",
    "Амурская область": "Amur",
    "Архангельская область": "Arkhangelsk",
    "Астраханская область": "Astrakhan",
    "Белгородская область": "Belgorod",
    "Брянская область": "Bryansk",
    "Владимирская область": "Vladimir",
    "Волгоградская область": "Volgograd",
    "Вологодская область": "Vologda",
    "Воронежская область": "Voronezh",
    "Еврейская автономная область": "Jewish Autonomous Oblast",
    "Забайкальский край": "Zabaykalsky Krai",
    "Ивановская область": "Ivanovo",
    "Иркутская область": "Irkutsk",
    "Кабардино-Балкарская Республика": "Kabardino-Balkaria",
    "Калужская область": "Kaluga",
    "Камчатский край": "Kamchatka Krai",
    "Карачаево-Черкесская Республика": "Karachay-Cherkessia",
    "Кемеровская область — Кузбасс": "Kemerovo",
    "Кировская область": "Kirov",
    "Костромская область": "Kostroma",
    "Краснодарский край": "Krasnodar Krai",
    "Красноярский край": "Krasnoyarsk Krai",
    "Курганская область": "Kurgan",
    "Курская область": "Kursk",
    "Липецкая область": "Lipetsk",
    "Магаданская область": "Magadan",
    "Московская область": "Moscow Oblast",
    "Нижегородская область": "Nizhny Novgorod",
    "Новгородская область": "Novgorod",
    "Новосибирская область": "Novosibirsk",
    "Омская область": "Omsk",
    "Оренбургская область": "Orenburg",
    "Орловская область": "Oryol",
    "Пензенская область": "Penza",
    "Пермский край": "Perm Krai",
    "Приморский край": "Primorsky Krai",
    "Псковская область": "Pskov",
    "Республика Адыгея": "Adygea",
    "Республика Алтай": "Altai Republic",
    "Республика Башкортостан": "Bashkortostan",
    "Республика Бурятия": "Buryatia",
    "Республика Дагестан": "Dagestan",
    "Республика Ингушетия": "Ingushetia",
    "Республика Калмыкия": "Kalmykia",
    "Республика Карелия": "Karelia",
    "Республика Коми": "Komi",
    "Республика Марий Эл": "Mari El",
    "Республика Мордовия": "Mordovia",
    "Республика Саха (Якутия)": "Sakha",
    "Республика Северная Осетия — Алания": "North Ossetia-Alania",
    "Республика Татарстан": "Tatarstan",
    "Республика Тыва": "Tuva",
    "Республика Хакасия": "Khakassia",
    "Ростовская область": "Rostov",
    "Рязанская область": "Ryazan",
    "Самарская область": "Samara",
    "Саратовская область": "Saratov",
    "Сахалинская область": "Sakhalin",
    "Свердловская область": "Sverdlovsk",
    "Смоленская область": "Smolensk",
    "Ставропольский край": "Stavropol Krai",
    "Тамбовская область": "Tambov",
    "Тверская область": "Tver",
    "Томская область": "Tomsk",
    "Тульская область": "Tula",
    "Тюменская область": "Tyumen",
    "Удмуртская Республика": "Udmurtia",
    "Ульяновская область": "Ulyanovsk",
    "Хабаровский край": "Khabarovsk Krai",
    "Челябинская область": "Chelyabinsk",
    "Чеченская Республика": "Chechnya",
    "Чувашская Республика": "Chuvashia",
    "Ярославская область": "Yaroslavl",
}

# The source calls the counts of institutions that disclose a kind of document disclose_….
KINDS = ["general", "state_assignment", "service_quality", "service_volume", "budget_plan"]


def russia_cities(raw: Path) -> Made:
    """Turn counts of disclosing institutions into shares, beside the city's share of transfers."""
    folder = raw / "russia-cities-openness"
    source = read(
        folder / "russia_cities_openness_budget.csv",
        ["oktmo", "region"],
        ["year", "institutions_total", *(f"disclose_{kind}" for kind in KINDS),
         "openness_rating", "transfer_share"],
    )  # fmt: skip
    names = read(folder / "big_cities_with_openness.csv", ["oktmo", "settlement"], [])
    names = names.drop_duplicates()
    if names["oktmo"].duplicated().any() or set(names["oktmo"]) != set(source["oktmo"]):
        raise DataError("Cities and their names do not match one to one.")

    counts = source[[f"disclose_{kind}" for kind in KINDS]].set_axis(KINDS, axis=1)
    institutions = whole(source["institutions_total"])
    if (counts.gt(institutions, axis=0) | counts.lt(0)).any(axis=None):
        raise DataError("More institutions disclose a document than there are.")
    shares = counts.div(institutions.where(institutions > 0), axis=0)
    transfers = source["transfer_share"]
    inside = transfers.between(0, 1)
    rating = printed(source["openness_rating"], 4)

    frame = pd.DataFrame(
        {
            "oktmo": source["oktmo"].str.zfill(8),
            "city": source["oktmo"].map(names.set_index("oktmo")["settlement"]),
            "region": translate(source["region"], REGIONS, "region"),
            "year": whole(source["year"]),
            "institutions": institutions,
            **{f"disclosing_{kind}": whole(counts[kind]) for kind in KINDS},
            **{f"share_{kind}": shares[kind] for kind in KINDS},
            "rating": rating,
            "zero_rating": (rating == 0).astype("int64"),
            "transfer_share": transfers,
            "own_share": printed((1 - transfers).where(inside), 5),
        }
    ).sort_values(["oktmo", "year"], kind="stable")
    city_year = frame.groupby(["oktmo", "year"])
    frame.insert(4, "row_of_city_year", city_year.cumcount() + 1)
    frame.insert(5, "duplicated", (city_year["year"].transform("size") > 1).astype("int64"))

    double = frame[frame["duplicated"] == 1]
    beyond = frame[frame["transfer_share"].notna() & frame["own_share"].isna()]
    return frame, [
        f"{len(frame):,} rows of {city_year.ngroups:,} city-years, {frame['oktmo'].nunique()} "
        "cities.",
        f"{len(double)} rows of {len(double.drop_duplicates(['oktmo', 'year']))} city-years are "
        f"duplicated: {listing(sorted(set(double['city'])))}.",
        f"{int((frame['institutions'] == 0).sum())} rows without institutions have a rating of 0 "
        "and no shares.",
        f"{int(frame['transfer_share'].notna().sum())} rows with a share of transfers; beyond 0 to "
        f"1: {listing([f'{row.city} {row.year}' for row in beyond.itertuples()])}.",
    ]
