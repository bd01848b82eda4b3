"""The sample of each main link, counted again from the published files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from lgpi_research.loading import load_study

RAW = Path(__file__).resolve().parents[3] / "shared" / "data" / "raw"
needs_raw = pytest.mark.skipif(not RAW.is_dir(), reason="the published source files are not here")

Count = tuple[int, int]  # rows, clusters


def ukraine() -> Count:
    folder = RAW / "ukraine-hromadas-kse"
    budgets = pd.read_csv(folder / "hromada_budget_2020_2022.csv")
    budgets = budgets[(budgets["year"] == 2021) & (budgets["income_total"] > 0)]
    exams = pd.read_csv(folder / "zno-2022-aggragated.csv")
    exams = exams.pivot(index="hromada_code", columns="subject", values="mean_score")
    tested = exams[["Ukr", "UML", "Math", "Hist"]].dropna().index
    rows = pd.read_csv(folder / "full_dataset.csv").set_index("hromada_code")
    controls = ["total_popultaion_2022", "urban_pct", "travel_time", "square"]
    rows = rows[rows.index.isin(budgets["hromada_code"]) & rows.index.isin(tested)]
    rows = rows.dropna(subset=controls)
    return len(rows), rows["oblast_name_en"].nunique()


def vietnam() -> Count:
    scores = pd.read_csv(RAW / "vietnam-provinces" / "papi.csv")
    scores = scores[scores["papi_unweighted"] > 0]
    plans = pd.read_csv(RAW / "vietnam-provinces" / "vnbudget_plan.csv")
    plans = plans.dropna(subset=["total.rev", "total.exp"])
    rows = scores.merge(plans, on=["prov", "year"])
    return len(rows), rows["prov"].nunique()


def burkina_faso() -> Count:
    rows = pd.read_csv(RAW / "supermun-burkina-faso" / "supermun_panel.csv")
    rows = rows[(rows["year"] == 2017) & (rows["taxes_per_capita"] > 0)]
    rows = rows.dropna(subset=["services_total", "points_council_attendance"])
    return len(rows), rows["province"].nunique()


def eu() -> Count:
    index = pd.read_csv(RAW / "eqi-2021-regions" / "EQI_goth.csv")
    facts = pd.read_csv(RAW / "eqi-2021-regions" / "data_TER.csv")
    facts = facts.dropna(subset=["pib_par_reg", "nbPop_1erJanv"])
    rows = index[index["region_code"].isin(facts["geo"])]
    return len(rows), rows["cname"].nunique()


def russia() -> Count:
    rows = pd.read_csv(RAW / "russia-cities-openness" / "russia_cities_openness_budget.csv")
    rows = rows[~rows.duplicated(["oktmo", "year"], keep=False)]
    rows = rows[(rows["openness_rating"] > 0) & rows["transfer_share"].between(0, 1)]
    return len(rows), rows["region"].nunique()


def world() -> Count:
    union = set(pd.read_csv(RAW / "eqi-2021-regions" / "EQI_goth.csv")["cname"])
    union = {{"Slovakia": "Slovak Republic"}.get(name, name) for name in union}
    fiscal = pd.read_csv(RAW / "imf-fiscal-decentralization" / "imf_fd_subnational_wide.csv")
    fiscal = fiscal[(fiscal["sector"] == "SNG") & fiscal["year"].between(2012, 2016)]
    governed = pd.read_csv(RAW / "worldwide-governance-indicators" / "wgi_1996_2021.csv")
    governed = governed[governed["year"].between(2012, 2016)]
    governed = governed.dropna(subset=["vae", "gee", "rqe", "rle", "cce"])
    facts = pd.read_csv(RAW / "qog-standard-cs-jan23" / "qog_cs_extract.csv")
    facts = facts.dropna(subset=["wdi_gdpcappppcon2017", "wdi_pop"])
    known = set(governed["iso3"]) & set(facts["ccodealp"])
    rows = fiscal[fiscal["iso3"].isin(known) & fiscal["rd"].notna()]
    local = pd.read_csv(RAW / "local-autonomy-index" / "lai_tidy.csv")
    inside = set(local.loc[local["country_name"].isin(union), "iso3"])
    assert len(inside) == 27
    found = rows.loc[~rows["iso3"].isin(inside), "iso3"].nunique()
    return found, found


SAMPLES = {
    ukraine: (1428, 24),
    vietnam: (376, 63),
    burkina_faso: (343, 45),
    eu: (231, 22),
    russia: (871, 67),
    world: (47, 47),
}


@needs_raw
@pytest.mark.parametrize("count", SAMPLES, ids=lambda count: count.__name__)
def test_a_main_link_rests_on_the_rows_and_clusters_of_the_sources(count):
    link = load_study(count.__name__).run(stages=("link",), seed=0)["link"]
    assert count() == SAMPLES[count]
    assert (link.measure["n_used"], link.details["n_clusters"]) == SAMPLES[count]
