"""Autonomy: ratios that are what they are called, tiers and bases that are never mixed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import PathCollection
from numpy.testing import assert_allclose

from lgpi_research import plots
from lgpi_research.autonomy import ROLES, assess_budgets
from lgpi_research.datasets import load_dataset
from lgpi_research.errors import DataError, SpecError
from lgpi_research.methods.ratios import (
    RATIOS,
    own_revenue_share,
    self_financing,
    transfer_dependence,
    vertical_gap,
)
from lgpi_research.results import load_result

LABELS = {"unit": "place", "tier": "level", "basis": "kind"}
COLUMNS = {
    "own_tax": "taxes",
    "own_nontax": "fees",
    "capital_sales": "sales",
    "transfers": "grants",
    "revenue_total": "total",
    "expenditure": "spent",
}
KAZAKHSTAN = {
    "own_tax": "tax_revenue",
    "own_nontax": "nontax_revenue",
    "capital_sales": "capital_sales",
    "transfers": "transfers_received",
    "other": "special_receipts",
    "revenue_total": "revenue_total",
    "expenditure": "expenditure",
}


def some_budgets(**changes: list) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "place": ["A", "B", "C", "D"],
            "level": ["region", "region", "district", "district"],
            "kind": "plan",
            "taxes": [20.0, 30.0, 5.0, 60.0],
            "fees": [4.0, 10.0, 1.0, 10.0],
            "sales": [1.0, 0.0, 0.0, 10.0],
            "grants": [75.0, 40.0, 4.0, 20.0],
            "total": [100.0, 80.0, 10.0, 100.0],
            "spent": [125.0, 80.0, 12.0, 64.0],
        }
    )
    return table.assign(**changes)


def kazakhstan(**options):
    table = load_dataset("kazakhstan_budgets").frame
    labels = {"unit": "budget", "tier": "tier", "basis": "basis", "period": "budget_year"}
    return assess_budgets(table, KAZAKHSTAN, **labels, **options)


# Ratios -------------------------------------------------------------------------------------


def test_ratios_are_those_worked_by_hand():
    found = assess_budgets(some_budgets(), COLUMNS, **LABELS).frame.set_index("unit")
    assert_allclose(found["transfer_dependence"], [0.75, 0.5, 0.4, 0.2])
    assert_allclose(found["own_revenue_share"], [0.25, 0.5, 0.6, 0.8])
    assert_allclose(found["tax_share"], [0.2, 0.375, 0.5, 0.6])
    assert_allclose(found["self_financing"], [0.2, 0.5, 0.5, 1.25])
    assert_allclose(found["vertical_gap"], [0.8, 0.5, 0.5, -0.25])


@given(st.lists(st.floats(0.01, 1e9), min_size=3, max_size=3), st.floats(1e-6, 1e6))
def test_ratios_do_not_depend_on_the_currency_and_the_two_shares_are_one(parts, factor):
    tax, grant, spent = (np.array([part]) for part in parts)
    total = tax + grant
    for function, part, whole in (
        (transfer_dependence, grant, total),
        (own_revenue_share, tax, total),
        (vertical_gap, tax, spent),
    ):
        assert_allclose(function(factor * part, factor * whole), function(part, whole), atol=1e-12)
    assert_allclose(transfer_dependence(grant, total) + own_revenue_share(tax, total), 1.0)
    assert_allclose(vertical_gap(tax, spent) + self_financing(tax, spent), 1.0)


def test_the_order_of_the_budgets_does_not_matter():
    table = some_budgets()
    mixed = table.iloc[[2, 0, 3, 1]]
    one = assess_budgets(table, COLUMNS, **LABELS).summary().set_index(["tier", "measure"])
    two = assess_budgets(mixed, COLUMNS, **LABELS).summary().set_index(["tier", "measure"])
    pd.testing.assert_frame_equal(one, two.loc[one.index])


def test_every_ratio_names_two_amounts_that_are_roles_or_own_revenue():
    for told in RATIOS.values():
        assert {told.part, told.whole} <= {*ROLES, "own_revenue"}
        assert told.definition
        assert told.label


# Missing and impossible amounts -------------------------------------------------------------


def test_a_missing_amount_is_never_taken_as_zero():
    table = some_budgets(fees=[np.nan, 10.0, 1.0, 10.0], spent=[np.nan, 80.0, 12.0, 64.0])
    found = assess_budgets(table, COLUMNS, **LABELS)
    first = found.frame.iloc[0]
    assert first["transfer_dependence"] == 0.75
    assert first[["own_revenue", "own_revenue_share", "self_financing"]].isna().all()
    text = " ".join(found.notes)
    assert "own_nontax is missing in 1 of 4 budgets (A)" in text
    assert "In 1 of 4 budgets a part of revenue or the total is missing" in text
    counts = found.summary().set_index(["tier", "measure"])
    assert counts.loc[("region", "own_revenue_share"), ["n_used", "n_missing"]].tolist() == [1, 1]


def test_a_ratio_by_nothing_is_missing_and_said_to_be():
    found = assess_budgets(some_budgets(spent=[0.0, 80.0, 12.0, 64.0]), COLUMNS, **LABELS)
    assert np.isnan(found.frame["vertical_gap"].iloc[0])
    assert any("expenditure is not positive in 1 budgets (A)" in note for note in found.notes)


def test_a_role_that_is_not_given_gives_no_ratio_that_needs_it():
    roles = {role: COLUMNS[role] for role in ("own_tax", "transfers", "revenue_total")}
    found = assess_budgets(some_budgets(), roles, **LABELS)
    assert found.ratios == ["transfer_dependence", "own_revenue_share", "tax_share"]
    assert "vertical_gap" not in found.frame


def test_budgets_that_do_not_add_up_are_named_with_the_difference():
    table = some_budgets(total=[110.0, 80.0, 10.0, 100.0])
    notes = " ".join(assess_budgets(table, COLUMNS, **LABELS).notes)
    assert "not the sum of its parts in 1 of 4 budgets: A by +10." in notes
    notes = " ".join(assess_budgets(table, COLUMNS, **LABELS, tolerance=10).notes)
    assert "not the sum of its parts" not in notes


def test_a_negative_transfer_is_refused_and_told_to_be_a_withdrawal():
    table = some_budgets(grants=[-75.0, 40.0, 4.0, 20.0])
    with pytest.raises(DataError, match=r"transfers: 1 of 4 amounts are negative \(A\).*withdraw"):
        assess_budgets(table, COLUMNS, **LABELS)


def test_what_a_donor_pays_changes_no_ratio():
    table = some_budgets(paid=[50.0, 0.0, 0.0, 0.0])
    plain = assess_budgets(table, COLUMNS, **LABELS)
    donor = assess_budgets(table, {**COLUMNS, "withdrawals": "paid"}, **LABELS)
    pd.testing.assert_frame_equal(plain.frame[plain.ratios], donor.frame[donor.ratios])
    assert any("1 of 4 budgets pay withdrawals upwards" in note for note in donor.notes)


# Refusals -----------------------------------------------------------------------------------


def test_one_number_over_tiers_is_refused_with_the_reason():
    with pytest.raises(SpecError, match=r"2 tiers \(region 2, district 2\).*counted twice"):
        assess_budgets(some_budgets(), COLUMNS, **LABELS, by="all")


def test_one_tier_can_be_pooled_when_it_is_named():
    found = assess_budgets(some_budgets(), COLUMNS, **LABELS, by="all", tiers=["district"])
    table = found.summary().set_index("measure")
    assert table.loc["transfer_dependence", "mean"] == pytest.approx(0.3)
    assert set(table["tier"]) == {"district"}
    assert any("2 of 4 budgets are of other tiers" in note for note in found.notes)


def test_plans_and_outturns_are_never_mixed():
    table = some_budgets(kind=["plan", "plan", "plan", "outturn"])
    with pytest.raises(SpecError, match=r"bases are mixed \(plan 3, outturn 1\)"):
        assess_budgets(table, COLUMNS, **LABELS)
    with pytest.raises(SpecError, match="bases are mixed"):
        assess_budgets(table, COLUMNS, **LABELS, tiers=["district"])
    assert assess_budgets(table, COLUMNS, **LABELS, tiers=["region"]).details["basis"] == "plan"


def test_all_slips_of_the_choices_are_told_at_once():
    roles = {"own_taxes": "taxes", "transfers": "grant", "revenue_total": "total"}
    with pytest.raises(SpecError, match="4 problems") as caught:
        assess_budgets(some_budgets(), roles, unit="place", tier="tier", basis="kind")
    text = str(caught.value)
    assert "unknown role 'own_taxes'. Did you mean 'own_tax'?" in text
    assert "the role own_tax (tax revenue, shared taxes included) is needed" in text
    assert "no column 'grant'. Did you mean 'grants'?" in text
    assert "no column 'tier'" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"place": ["A", "A", "C", "D"]}, "1 rows repeat unit, tier of another row"),
        ({"level": ["region", None, "district", "district"]}, "level: blank in 1 of 4 rows"),
        ({"taxes": [-1.0, 30.0, 5.0, 60.0]}, "own_tax: 1 of 4 amounts are negative"),
        ({"total": ["many", "80", "10", "100"]}, "total: text in 1 of 4 values"),
    ],
)
def test_budgets_that_cannot_be_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        assess_budgets(some_budgets(**changes), COLUMNS, **LABELS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tiers": ["districts"]}, "Did you mean 'district'?"),
        ({"by": "country"}, "by must be 'tier' or 'all'"),
        ({"tolerance": -1}, "tolerance must be 0 or more"),
        ({"period": "kind"}, "the column 'kind' is named 2 times"),
    ],
)
def test_options_that_do_not_exist_are_refused(options, message):
    with pytest.raises(SpecError) as caught:
        assess_budgets(some_budgets(), COLUMNS, **LABELS, **options)
    assert message in str(caught.value)


# Kazakhstan ---------------------------------------------------------------------------------


def test_the_means_of_kazakhstans_tiers_are_those_of_the_amounts():
    table = kazakhstan().summary().set_index(["measure", "tier"])["mean"]
    source = load_dataset("kazakhstan_budgets").frame
    share = source["transfers_received"] / source["revenue_total"]
    expected = share.groupby(source["tier"]).mean()
    found = table["transfer_dependence"]
    assert_allclose(found, expected[found.index])
    assert [round(value, 2) for value in found] == [0.84, 0.28, 0.73, 0.74]


def test_notes_on_kazakhstan_name_alatau_and_the_special_receipts():
    notes = " ".join(kazakhstan().notes)
    assert "in 1 of 27 budgets: Alatau city by +10." in notes
    assert "neither own revenue nor transfers (North Kazakhstan region)" in notes
    assert "expenditure is missing in 1 of 27 budgets" in notes
    assert "from 2008 to 2026" in notes


def test_a_profile_is_saved_loaded_and_says_what_it_did(tmp_path):
    found = kazakhstan()
    again = load_result(found.save(tmp_path / "a.parquet"))
    pd.testing.assert_frame_equal(again.frame, found.frame)
    assert again.headline() == found.headline()
    assert "not estimated" in found.headline()
    assert "transfer dependence = transfers received / total revenue" in found.methods_text()
    for word in ("effect", "impact", "leads to"):
        assert word not in found.headline() + found.methods_text() + " ".join(found.notes)


@pytest.mark.parametrize("measure", list(RATIOS))
def test_the_picture_shows_every_budget_that_has_the_ratio(measure):
    found = kazakhstan()
    ax = found.plot(measure=measure)
    dots = [points for points in ax.collections if isinstance(points, PathCollection)]
    shown = np.concatenate([points.get_offsets()[:, 0] for points in dots])
    assert sorted(np.round(shown, 12)) == sorted(np.round(found.frame[measure].dropna(), 12))
    assert RATIOS[measure].definition in ax.get_xlabel()
    plots.close(ax)


def test_many_budgets_are_drawn_without_names():
    rng = np.random.default_rng(3)
    taxes = rng.uniform(1, 99, 200)
    table = pd.DataFrame(
        {"place": np.arange(200), "level": "commune", "kind": "outturn", "taxes": taxes,
         "grants": 100 - taxes, "total": 100.0}
    )  # fmt: skip
    roles = {"own_tax": "taxes", "transfers": "grants", "revenue_total": "total"}
    ax = assess_budgets(table, roles, **LABELS).plot()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["commune (200)"]
    plots.close(ax)
    with pytest.raises(SpecError, match=r"'tax_shares' is no ratio.*Did you mean 'tax_share'"):
        assess_budgets(table, roles, **LABELS).plot(measure="tax_shares")
