"""Communes of Burkina Faso: points, totals, and every number of the caveats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research.datasets import Dataset, load_dataset
from lgpi_research.errors import SpecError
from lgpi_research.mechanical import check_mechanical
from lgpi_research.spec import LinkDesign

RAW = Path(__file__).resolve().parents[3] / "shared" / "data" / "raw" / "supermun-burkina-faso"
needs_raw = pytest.mark.skipif(not RAW.is_dir(), reason="the published source files are not here")

SERVICES = [
    "passing_exam_gap",
    "school_supplies_delay",
    "schools_with_well",
    "schools_with_latrines",
    "assisted_births",
    "infants_vaccinated",
    "clinics_gas_stock",
    "water_access",
    "birth_certificates",
]
INSTITUTIONS = [
    "council_attendance",
    "taxes_per_head",
    "tax_recovery_rate",
    "procurement_execution",
    "personnel",
    "council_sessions",
    "consultation_meetings",
]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("burkina_faso_communes")


@pytest.fixture(scope="module")
def communes(data: Dataset) -> pd.DataFrame:
    return data.frame


def points(names: list[str]) -> list[str]:
    return [f"points_{name}" for name in names]


def of_year(communes: pd.DataFrame, year: int) -> pd.DataFrame:
    return communes[communes["year"] == year]


def test_communes_are_counted_by_year_and_the_first_are_all_among_the_last(communes):
    assert communes.shape == (629, 38)
    assert communes.groupby("year").size().to_dict() == {2015: 140, 2016: 140, 2017: 349}
    named = {year: set(rows["commune_id"]) for year, rows in communes.groupby("year")}
    assert named[2015] == named[2016] < named[2017]
    places = communes.groupby("year")[["region", "province"]].nunique()
    assert places.to_numpy().tolist() == [[6, 18], [6, 18], [13, 45]]


def test_two_names_are_borne_by_two_communes_and_the_id_tells_them_apart(communes):
    twice = communes[communes.duplicated(["year", "commune"])]
    assert twice[["year", "commune"]].to_numpy().tolist() == [
        [2015, "BOUSSOUMA"],
        [2016, "BOUSSOUMA"],
        [2017, "BOUSSOUMA"],
        [2017, "NAMISSIGUIMA"],
    ]
    assert not communes.duplicated(["year", "commune_id"]).any()
    joined = communes["region"] + " / " + communes["province"] + " / " + communes["commune"]
    assert (communes["commune_id"] == joined).all()


def test_services_totals_are_the_sums_of_nine_points(communes):
    sums = communes[points(SERVICES)].sum(axis=1)
    away = (sums - communes["services_total"]).abs().round(6)
    assert away.isna().sum() == 1
    assert away.max() == pytest.approx(0.1)
    assert (away == 0).sum() == 590
    missing = communes[communes["services_total"].isna()]
    assert missing["commune_id"].tolist() == ["SAHEL / SENO / SEYTENGA"]
    assert missing["year"].tolist() == [2015]
    assert sums[missing.index].item() == pytest.approx(53.2)
    assert communes["services_total"].min() > 0


def test_institutional_totals_are_the_sums_of_seven_points_but_for_2016(communes):
    away = (communes[points(INSTITUTIONS)].sum(axis=1) - communes["institutional_total"]).round(6)
    for year in (2015, 2017):
        assert away[communes["year"] == year].abs().max() <= 0.1
    odd = away[(communes["year"] == 2016) & (away.abs() > 0.1)]
    assert odd.value_counts().to_dict() == {-1.0: 75, 1.0: 5, -2.0: 1, 3.0: 1}
    assert len(odd) == 82


def test_the_total_of_2016_counts_five_points_for_four_sessions(communes):
    rows = of_year(communes, 2016)
    rest = [name for name in INSTITUTIONS if name != "council_sessions"]
    counted = (rows["institutional_total"] - rows[points(rest)].sum(axis=1)).round(6)
    four = rows["points_council_sessions"] == 4
    assert four.sum() == 75
    assert (counted[four] == 5).sum() == 74


def test_points_lie_between_0_and_the_official_maximum_but_for_sessions(data, communes):
    for name in points([*SERVICES, *INSTITUTIONS]):
        low, high = data.columns[name].goalposts
        assert communes[name].min() >= low
        above = communes[communes[name] > high]
        if name == "points_council_sessions":
            assert sorted(above[name]) == [6, 6, 6, 6, 6, 8]
            assert set(above["year"]) == {2016}
        else:
            assert above.empty
            assert communes[name].max() == high


def test_maximum_points_add_up_to_the_official_140_and_86(data):
    def most(names: list[str]) -> float:
        return sum(data.columns[name].goalposts[1] for name in points(names))

    assert most(SERVICES) == data.columns["services_total"].goalposts[1] == 140
    assert most(INSTITUTIONS) == data.columns["institutional_total"].goalposts[1] == 86
    assert set(data.columns["services_total"].made_from) == set(points(SERVICES))
    assert set(data.columns["institutional_total"].made_from) == set(points(INSTITUTIONS))


@pytest.mark.parametrize(
    ("name", "count", "highest"),
    [
        ("assisted_births", 94, 314.5),
        ("infants_vaccinated", 200, 634.2),
        ("birth_certificates", 42, 595.7),
        ("tax_recovery_rate", 237, 5025),
        ("council_attendance", 1, 102.2),
    ],
)
def test_rates_above_100_are_kept_and_told(data, communes, name, count, highest):
    assert (communes[name] > 100).sum() == count
    assert communes[name].max() == highest
    caveat = next(text for text in data.caveats if text.startswith("Rates above 100"))
    assert f"{count} (" in caveat or f"{count} rows (" in caveat
    assert f"({highest:,})" in caveat or f"(up to {highest:,})" in caveat


def test_no_other_rate_is_above_100(data, communes):
    beyond = ["assisted_births", "infants_vaccinated", "birth_certificates", "tax_recovery_rate",
              "council_attendance"]  # fmt: skip
    rates = [name for name, column in data.columns.items() if column.unit == "per cent"]
    rest = [name for name in rates if name not in beyond]
    assert len(rest) == 5
    assert (communes[rest].max() == 100).all()


def test_a_delay_of_school_supplies_is_bad(communes):
    delay = communes["school_supplies_delay"]
    assert delay.max() == 364
    assert (delay > 50).sum() == 172
    assert delay.corr(communes["points_school_supplies_delay"], method="spearman") < -0.99


def test_points_are_steps_of_their_indicator(communes):
    curved = ["school_supplies_delay", "council_attendance"]
    proportional = "clinics_gas_stock"
    levels = []
    for name in [*SERVICES, *INSTITUTIONS[:4]]:
        for _, rows in communes.groupby("year"):
            found = rows[name].corr(rows[f"points_{name}"], method="spearman")
            assert abs(found) >= 0.95, name
            if name not in [*curved, proportional]:
                assert (rows[f"points_{name}"].dropna() % 1 == 0).all()
                levels.append(rows[f"points_{name}"].nunique())
    assert (len(levels) / 3, min(levels), max(levels)) == (10, 9, 22)
    away = communes[f"points_{proportional}"] - communes[proportional] / 10
    assert away.abs().max() <= 0.05 + 1e-9


def test_consultation_points_have_another_scale_each_year(communes):
    found = {
        year: sorted(set(rows["points_consultation_meetings"]))
        for year, rows in communes.groupby("year")
    }
    assert found == {2015: [0, 1, 2, 3, 5], 2016: [0, 1, 2, 4], 2017: [0, 2, 4, 6, 8]}


def test_missing_and_zero_figures_are_told(communes):
    year = communes["year"]
    assert communes["institutional_total"].isna().groupby(year).sum().tolist() == [0, 0, 6]
    assert communes["taxes_per_head"].isna().groupby(year).sum().tolist() == [0, 0, 2]
    assert communes["council_attendance"].isna().groupby(year).sum().tolist() == [0, 0, 4]
    last = of_year(communes, 2017)
    assert last.drop(columns="services_total").notna().all(axis=1).sum() == 343
    assert set(last.loc[last["taxes_per_head"].isna(), "commune"]) == {"SILLY", "GOURCY"}
    zero = communes[communes["taxes_per_head"] == 0]
    assert zero[["year", "commune"]].to_numpy().tolist() == [[2015, "YONDÉ"]]
    absent = communes["council_attendance"] == 0
    assert absent.groupby(year).sum().tolist() == [1, 8, 1]


def test_taxes_per_head_are_skewed(communes):
    taxes = of_year(communes, 2017)["taxes_per_head"]
    assert (taxes.min(), taxes.median(), taxes.max()) == (84.3, 675, 61225.8)
    assert taxes.skew() > 5
    assert abs(np.log(taxes).skew()) < 1.5


def test_alpha_of_the_services_points_is_low(communes):
    items = of_year(communes, 2017)[points(SERVICES)]
    k = len(SERVICES)
    alpha = k / (k - 1) * (1 - items.var().sum() / items.sum(axis=1).var())
    assert alpha == pytest.approx(0.17, abs=0.005)


def test_services_totals_of_the_same_communes_correlate_over_years(communes):
    wide = communes.pivot(index="commune_id", columns="year", values="services_total").corr()
    pairs = [wide.loc[2015, 2016], wide.loc[2015, 2017], wide.loc[2016, 2017]]
    assert_allclose(pairs, [0.501, 0.443, 0.402], atol=5e-4)


def test_what_is_made_from_or_paid_by_local_taxes_is_refused_beside_them(data):
    lineage = {name: column.made_from for name, column in data.columns.items()}
    claim = LinkDesign("score ~ log(taxes_per_head) | region", cluster="province", lineage=lineage)
    kept = [*SERVICES, "council_sessions", "consultation_meetings", "council_attendance"]
    check_mechanical(claim, [*points(kept), "services_total"])
    tied = points(["taxes_per_head", "tax_recovery_rate", "procurement_execution", "personnel"])
    with pytest.raises(SpecError, match="5 problems") as caught:
        check_mechanical(claim, [*tied, "institutional_total"])
    assert all(name in str(caught.value) for name in tied)


@needs_raw
def test_bounds_and_maximum_points_are_the_official_ones(data):
    official = pd.read_csv(RAW / "indicator_weights.csv").set_index("name")
    official = official.rename(index={"taxes_per_capita": "taxes_per_head"})
    assert set(official.index) == {*SERVICES, *INSTITUTIONS}
    for name, row in official.iterrows():
        assert data.columns[f"points_{name}"].goalposts == (0, row["max_points"])
        if name in data.columns:
            bounds = sorted([row["bound_worst"], row["bound_best"]])
            assert list(data.columns[name].goalposts) == bounds
    falling = official["bound_worst"] > official["bound_best"]
    assert list(official.index[falling]) == ["school_supplies_delay"]


# What the headings of the published workbooks begin with, and the name here.
HEADINGS = {
    "Ecart entre le taux": "passing_exam_gap",
    "Retard moyen": "school_supplies_delay",
    "Taux d'écoles avec un forage": "schools_with_well",
    "Taux d'écoles ayant": "schools_with_latrines",
    "Taux d'accouchements": "assisted_births",
    "Taux de nourrissons": "infants_vaccinated",
    "Taux de CSPS": "clinics_gas_stock",
    "Taux de la population": "water_access",
    "Taux d'actes": "birth_certificates",
    "Taux de participation": "council_attendance",
    "Recettes fiscales": "taxes_per_head",
    "Taux de recouvrement": "tax_recovery_rate",
    "Taux d'exécution": "procurement_execution",
}
POINTS = {f"Points-{heading}": f"points_{name}" for heading, name in HEADINGS.items()} | {
    "Points-Personnel": "points_personnel",
    "Points-Nombre de sessions": "points_council_sessions",
    "Points-Nombre de cadres": "points_consultation_meetings",
}


def workbooks(kind: str) -> pd.DataFrame:
    """Return the published workbooks of one kind, the three years below each other."""
    found = []
    for year in (2015, 2016, 2017):
        table = pd.read_excel(RAW / "original" / f"{kind}_{year}.xlsx")
        table.columns = table.columns.str.replace("\u2019", "'")
        found.append(table.assign(year=year))
    table = pd.concat(found).rename(
        columns={"Région": "region", "Province": "province", "Commune": "commune"}
    )
    for name in ("region", "province", "commune"):
        table[name] = table[name].str.replace("\xa0", " ").str.strip()
    return table.set_index(["year", "region", "province", "commune"])


@needs_raw
def test_services_and_institutions_join_in_every_commune_and_give_every_figure(communes):
    services, institutions = workbooks("public_services"), workbooks("institutional_capacity")
    assert services.index.is_unique
    assert institutions.index.is_unique
    joined = services.add_suffix("_s").join(institutions.add_suffix("_i"), how="inner")
    years = joined.groupby("year").size().to_dict()
    assert years == {2015: 140, 2016: 140, 2017: 349}
    assert len(joined) == len(services) == len(institutions)
    ours = communes.set_index(["year", "region", "province", "commune"])
    joined = joined.loc[ours.index]
    for heading, name in (HEADINGS | POINTS).items():
        (column,) = [column for column in joined if column.startswith(heading)]
        assert_allclose(ours[name], joined[column], rtol=1e-6, atol=1e-6, err_msg=name)
    for name, column in (("services", "globale_s"), ("institutional", "globale_i")):
        published = joined[f"Performance {column}"]
        known = ours[f"{name}_total"].notna()
        assert_allclose(ours.loc[known, f"{name}_total"], published[known], rtol=1e-6)
        assert published[~known].fillna(0).eq(0).all()


@needs_raw
def test_figures_are_those_of_the_source_in_single_precision(communes):
    source = pd.read_csv(RAW / "supermun_panel.csv").sort_values(
        ["year", "region", "province", "commune"]
    )
    for ours, theirs in (
        ("taxes_per_head", "taxes_per_capita"),
        ("infants_vaccinated", "infants_vaccinated"),
        ("points_school_supplies_delay", "points_school_supplies_delay"),
    ):
        known = communes[ours].dropna().to_numpy()
        assert_allclose(known, source[theirs].dropna(), rtol=1e-7, atol=1e-7)
        assert_allclose(known * 10, np.round(known * 10), rtol=0, atol=1e-8)


@needs_raw
def test_the_yes_or_no_columns_of_the_source_are_mislabelled():
    source = pd.read_csv(RAW / "supermun_panel.csv")
    year = source["year"]
    meetings = source[[f"consult_q{i}" for i in (1, 2, 3, 4)]].sum(axis=1)
    unpaid = (meetings > 0) & (source["points_consultation_meetings"] == 0)
    assert unpaid.groupby(year).sum().tolist()[:2] == [102, 116]
    last = source[year == 2017]
    scale = {0: 0, 1: 1, 2: 2, 3: 3, 4: 5}
    labelled = last[[f"session_{i}" for i in (1, 2, 3, 4)]].sum(axis=1).map(scale)
    assert (labelled == last["points_council_sessions"]).sum() == 3
    sessions = last[["consult_q1", "consult_q3", "session_1", "session_3"]].sum(axis=1)
    assert (sessions.map(scale) == last["points_council_sessions"]).all()
    others = last[["consult_q2", "consult_q4", "session_2", "session_4"]].sum(axis=1)
    assert (2 * others == last["points_consultation_meetings"]).all()


def test_sums_made_here_are_sums_of_the_published_points(communes):
    free = [
        "passing_exam_gap", "school_supplies_delay", "schools_with_well", "schools_with_latrines",
        "clinics_gas_stock", "council_sessions", "consultation_meetings", "council_attendance",
    ]  # fmt: skip
    points = communes[[f"points_{name}" for name in free]]
    whole = points.notna().all(axis=1)
    assert_allclose(communes["points_without_population"][whole], points[whole].sum(axis=1))
    assert communes["points_without_population"][~whole].isna().all()
    told = load_dataset("burkina_faso_communes").columns
    assert not any("population" in told[name].made_from for name in free if name in told)
    assert told["points_without_population"].unit.endswith(
        f"0 to {sum(told[f'points_{name}'].goalposts[1] for name in free):g}"
    )
    most = {name: column.goalposts[1] for name, column in told.items() if column.goalposts}
    assert most["points_without_population"] == sum(most[name] for name in points.columns)
    assert most["published_total"] == most["services_total"] + most["institutional_total"]
    totals = communes[["services_total", "institutional_total"]]
    both = totals.notna().all(axis=1)
    assert_allclose(communes["published_total"][both], totals[both].sum(axis=1))
