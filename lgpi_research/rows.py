"""Rows of a link: which ones it is about, and whether they are averaged by unit."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from lgpi_research.errors import DataError, Problems, SpecError, listing, nearest
from lgpi_research.formula import parse_formula
from lgpi_research.spec import LinkDesign

__all__ = ["average_rows", "choose_rows"]


def choose_rows(table: pd.DataFrame, claim: LinkDesign) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows that a link is about, with their index, and a note on the others."""
    problems = Problems("where")
    kept = pd.Series(True, index=table.index)
    columns = [str(name) for name in table.columns]
    for name, values in claim.where.items():
        if name not in columns:
            problems.add(f"there is no column {name!r}.{nearest(name, columns)}")
            continue
        absent = [value for value in values if not (table[name] == value).any()]
        if absent:
            there = table[name].dropna().unique().tolist()
            there.sort(key=lambda value: (type(value).__name__, value))
            problems.add(
                f"{name}: no row has {listing(map(_quoted, absent))}; there are "
                f"{listing(map(_quoted, there), 12)}."
            )
        kept &= table[name].isin(values)
    problems.raise_any(DataError)
    if not claim.where:
        return table, []
    if not kept.any():
        raise DataError("where: no row has all of the wanted values.")
    told = " and ".join(f"{name} {listing(v, 12)}" for name, v in claim.where.items())
    note = f"Only rows with {told} are used: {int(kept.sum()):,} of {len(kept):,}."
    return table[kept], [note]


def _quoted(value: object) -> object:
    """Return a value as a message shows it, text apart from numbers."""
    return repr(value) if isinstance(value, str) else value


def average_rows(
    table: pd.DataFrame, claim: LinkDesign, columns: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Return one row a unit: means of numbers over the rows that have them.

    Text, and the codes of groups (clusters, absorbed effects, categories), stay as they are
    and must be the same in all rows of a unit.
    """
    unit = claim.average
    if not unit:
        return table, []
    known = [str(name) for name in table.columns]
    if unit not in known:
        raise SpecError(f"average: there is no column {unit!r}.{nearest(unit, known)}")
    present = [name for name in dict.fromkeys(columns) if name in known and name != unit]
    codes = _codes(claim)
    numbers = [n for n in present if n not in codes and pd.api.types.is_numeric_dtype(table[n])]
    texts = [name for name in present if name not in numbers]
    groups = table.groupby(unit, sort=True, observed=True)
    problems = Problems("average")
    for name in texts:
        several = groups[name].nunique() > 1
        if several.any():
            units = listing(several.index[several])
            problems.add(f"{name}: several values within {_units(int(several.sum()))} ({units}).")
    problems.raise_any(DataError)
    means = groups[numbers].mean().join(groups[texts].first()).reset_index()
    counts = groups.size()
    text = f"{int(counts.min())} to {int(counts.max())}"
    each = str(int(counts.max())) if counts.min() == counts.max() else text
    notes = [
        f"{int(counts.sum()):,} rows were averaged to {len(means):,} units of {unit} ({each} rows "
        "each); every column over the rows that have it."
    ]
    nameless = int(table[unit].isna().sum())
    if nameless:
        notes.append(f"{nameless:,} of {len(table):,} rows name no {unit} and were left out.")
    return means, notes


def _codes(claim: LinkDesign) -> set[str]:
    """Return the columns whose values name groups, whether they are text or numbers."""
    formula = parse_formula(claim.formula)
    absorbed = {name for names in formula.absorb_columns for name in names}
    factors = [factor for term in formula.terms for factor in term.factors]
    return absorbed | {f.column for f in factors if f.categorical} | {str(claim.cluster)}


def _units(count: int) -> str:
    return f"{count:,} unit{'s' * (count != 1)}"
