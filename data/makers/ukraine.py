"""Ukraine: hromadas, their budgets of 2021, e-democracy tools and exams."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lgpi_research.errors import DataError, listing
from makers.common import Made, printed, read, translate, whole

TYPES = {"міська": "city", "селищна": "settlement", "сільська": "rural"}

# The source's English names hold misspellings and blanks; its codes are complete.
OBLASTS = {
    "UA05": "Vinnytsia",
    "UA07": "Volyn",
    "UA12": "Dnipropetrovsk",
    "UA14": "Donetsk",
    "UA18": "Zhytomyr",
    "UA21": "Zakarpattia",
    "UA23": "Zaporizhzhia",
    "UA26": "Ivano-Frankivsk",
    "UA32": "Kyiv",
    "UA35": "Kirovohrad",
    "UA44": "Luhansk",
    "UA46": "Lviv",
    "UA48": "Mykolaiv",
    "UA51": "Odesa",
    "UA53": "Poltava",
    "UA56": "Rivne",
    "UA59": "Sumy",
    "UA61": "Ternopil",
    "UA63": "Kharkiv",
    "UA65": "Kherson",
    "UA68": "Khmelnytskyi",
    "UA71": "Cherkasy",
    "UA73": "Chernivtsi",
    "UA74": "Chernihiv",
}

EXAMS = {
    "Ukr": "exam_ukrainian",
    "UML": "exam_uml",
    "Math": "exam_mathematics",
    "Hist": "exam_history",
}


def ukraine_hromadas(raw: Path) -> Made:
    """Join hromadas with their full-year budgets of 2021 and exam means."""
    folder = raw / "ukraine-hromadas-kse"
    flags = ["occipied_before_2022", "edem_petitions", "edem_consultations",
             "edem_participatory_budget", "edem_open_hromada"]  # fmt: skip
    source = read(
        folder / "full_dataset.csv",
        ["hromada_code", "hromada_name", "oblast_code", "oblast_name_en", "type"],
        ["total_popultaion_2022", "urban_pct", "travel_time", "square", "youth_councils", *flags],
    )
    budgets = read(
        folder / "hromada_budget_2020_2022.csv",
        ["hromada_code", "year"],
        ["income_own", "income_transfert", "income_total", "own_income_prop_full_year"],
    )
    exams = read(folder / "zno-2022-aggragated.csv", ["hromada_code", "subject"], ["mean_score"])

    budgets = budgets[budgets["year"] == "2021"]
    joined = source.merge(
        budgets, on="hromada_code", how="left", validate="one_to_one", indicator=True
    )
    if not (joined["_merge"] == "both").all() or len(budgets) != len(source):
        raise DataError("Budgets of 2021 and hromadas do not match one to one.")
    own, total = printed(joined["income_own"], 2), printed(joined["income_total"], 2)
    if ((own + joined["income_transfert"] - total).abs() > 0.005).any():
        raise DataError("Own revenue and transfers of 2021 do not add up to total revenue.")
    share = (own / total).where(total > 0)
    if ((share - joined["own_income_prop_full_year"]).abs() > 1e-9).any():
        raise DataError("The provider's full-year share is not own by total revenue.")

    people = whole(source["total_popultaion_2022"])

    wide = exams.pivot(index="hromada_code", columns="subject", values="mean_score")
    homeless = sorted(set(wide.index) - set(source["hromada_code"]))
    means = wide[list(EXAMS)].rename(columns=EXAMS).reindex(source["hromada_code"])

    frame = pd.DataFrame(
        {
            "hromada_code": source["hromada_code"],
            "hromada": source["hromada_name"],
            "oblast": translate(source["oblast_code"].str[:4], OBLASTS, "oblast_code"),
            "type": translate(source["type"], TYPES, "type"),
            "occupied_before_2022": whole(source["occipied_before_2022"]),
            "own_revenue_share": share,
            "own_revenue": own,
            "total_revenue": total,
            "population": people,
            "own_revenue_per_head": (own / people).where((people > 0) & (own >= 0)),
            "urban_share": source["urban_pct"],
            "travel_time": source["travel_time"],
            "area": source["square"],
            "e_petitions": whole(source["edem_petitions"]),
            "e_consultations": whole(source["edem_consultations"]),
            "participatory_budget": whole(source["edem_participatory_budget"]),
            "open_hromada": whole(source["edem_open_hromada"]),
            "youth_council": (whole(source["youth_councils"]) > 0).astype("int64"),
            **{name: means[name].to_numpy() for name in EXAMS.values()},
        }
    ).sort_values("hromada_code")
    blank = source["oblast_name_en"] == "NA"
    held = source["occipied_before_2022"] == 0
    return frame, [
        f"{len(frame):,} hromadas, all with a budget of 2021; total revenue is positive in "
        f"{int((total > 0).sum()):,}, elsewhere the share is missing.",
        f"{int(blank.sum())} blank English oblast names resolved from the oblast code, all in "
        f"{listing(sorted(set(frame.loc[blank, 'oblast'])))}; misspelt ones replaced.",
        f"{int((~held).sum())} communities occupied before 2022 kept and flagged.",
        f"All four exam means in {int(means.notna().all(axis=1).sum()):,} hromadas; exams of "
        f"{listing(homeless)} (the city of Kyiv, no hromada) set aside; English not taken.",
        f"{int((source['youth_councils'] > 1).sum())} hromadas with more than one youth council "
        "count as having one.",
    ]
