"""Ratios of single budgets, tier by tier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from lgpi_research.autonomy import BudgetProfile, assess_budgets
from lgpi_research.columns import to_numeric
from lgpi_research.errors import DataError, Problems, SpecError, listing
from lgpi_research.profile.common import Tables, take

if TYPE_CHECKING:
    pass

__all__ = ["describe_budgets"]


def describe_budgets(
    tables: Tables,
    *,
    table: str,
    roles: Mapping[str, str],
    unit: str,
    tier: str,
    basis: str,
    period: str = "",
    tiers: Sequence[str] = (),
    donors: Mapping[str, str] | None = None,
    currency: str = "",
) -> BudgetProfile:
    """Describe ratios of fiscal autonomy of single budgets, tier by tier.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Tables by name.
    table : str
        One row a budget.
    roles, unit, tier, basis, period, tiers
        As in `lgpi_research.autonomy.assess_budgets`.
    donors : mapping of str to str, optional
        ``table``, ``unit``, ``amount`` and ``period`` of a table of what donors pay upwards.
        It is told in a note and enters no ratio.
    currency : str, optional
        Unit of the amounts, for text.

    Returns
    -------
    BudgetProfile

    Raises
    ------
    SpecError, DataError
        As `assess_budgets`, and if a table or a column is missing.
    """
    problems = Problems("the description 'budgets'")
    frame = take(tables, table, [], problems)
    paid = pd.DataFrame()
    if donors is not None:
        problems.extend(
            f"donors: {key} is missing."
            for key in ("table", "unit", "amount", "period")
            if key not in donors
        )
        problems.raise_any(SpecError)
        keys = ("unit", "amount", "period")
        paid = take(tables, donors["table"], [donors[key] for key in keys], problems)
    problems.raise_any(SpecError)
    found = assess_budgets(
        frame, roles, unit=unit, tier=tier, basis=basis, period=period or None, tiers=tiers
    )
    if donors is None:
        return found
    amounts = to_numeric(paid, [donors["amount"]], donors["table"])[donors["amount"]]
    if amounts.isna().any() or (amounts < 0).any():
        raise DataError(f"{donors['table']}: {donors['amount']} has missing or negative amounts.")
    notes = []
    for year, group in amounts.groupby(paid[donors["period"]]):
        shown = listing(
            f"{name} {amount:,.0f}"
            for name, amount in zip(paid.loc[group.index, donors["unit"]], group, strict=True)
        )
        notes.append(
            f"In {year}, {len(group)} donors pay {group.sum():,.0f} {currency} upwards ({shown}). "
            "A withdrawal is no transfer received and enters no ratio."
        )
    return replace(found, notes=(*found.notes, *notes))
