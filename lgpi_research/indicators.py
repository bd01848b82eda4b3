"""Indicators: the waist of the package, a table of units by indicators with their errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.blocks import digest
from lgpi_research.codebook import Codebook
from lgpi_research.columns import to_numeric
from lgpi_research.errors import DataError, Problems, listing, nearest

__all__ = ["SMOOTHED", "Indicators"]

SMOOTHED = "smoothed"
"""Key of the ``attrs`` of a table that lists its columns made of smoothed indicators."""


@dataclass(frozen=True, eq=False)
class Indicators:
    """Units by indicators, with what is known of their errors.

    Make one with `from_table`, or from a survey with `Survey.indicators`.

    Attributes
    ----------
    values : DataFrame of shape (n_units, n_indicators)
        float64, NaN where missing; the index is the unit.
    codebook : Codebook
        Of the columns of `values`, in their order.
    std_errors : DataFrame of shape (n_units, n_indicators) or None
        Standard errors in the units of the indicators; NaN where unknown.
    groups : Series of length n_units or None
        Group (country, oblast) that each unit lies in; the cluster of intervals.
    labels : Series of length n_units or None
        What a reader calls each unit.
    periods : Series of length n_units or None
        Period of each row, where units are seen more than once; a row is then a unit in
        a period.
    notes : tuple of str
        What was set aside on the way here.
    smoothed : tuple of str
        Indicators that are predictions drawn towards a mean or a regression
        (`lgpi_research.smoothing.smooth_places`), and so no outcome of a regression.
    """

    values: pd.DataFrame
    codebook: Codebook
    std_errors: pd.DataFrame | None = None
    groups: pd.Series | None = None
    labels: pd.Series | None = None
    notes: tuple[str, ...] = ()
    periods: pd.Series | None = None
    smoothed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = Problems("the indicators")
        units = self.values.index
        if tuple(self.values.columns) != self.codebook.names:
            problems.add("the columns are not those of the codebook, in its order.")
        for name in ("std_errors", "groups", "labels", "periods"):
            other = getattr(self, name)
            if other is not None and not other.index.equals(units):
                problems.add(f"{name}: the units are not those of the values.")
        for name in self.smoothed:
            if name not in self.codebook.names:
                hint = nearest(name, self.codebook.names)
                problems.add(f"smoothed: {name} is no indicator of the codebook.{hint}")
        problems.raise_any(DataError)
        rows = pd.DataFrame({"unit": units, "period": 0 if self.periods is None else self.periods})
        if rows.duplicated().any():
            twice = listing(units[rows.duplicated().to_numpy()].unique())
            within = "" if self.periods is None else " in a period"
            raise DataError(
                f"the indicators: {rows.duplicated().sum()} units occur more than once{within}: "
                f"{twice}."
            )

    @property
    def units(self) -> pd.Index:
        """The units, in order."""
        return self.values.index

    @property
    def digest(self) -> str:
        """SHA-256 of units, periods, values, standard errors and what is smoothed."""
        parts = [[str(unit) for unit in self.units], self.values, self.std_errors]
        if self.periods is not None:
            parts.append([str(period) for period in self.periods])
        if self.smoothed:
            parts.append({SMOOTHED: list(self.smoothed)})
        return digest(*parts)

    @classmethod
    def from_table(
        cls,
        frame: pd.DataFrame,
        codebook: Codebook,
        *,
        unit: str,
        std_errors: Mapping[str, str] | None = None,
        group: str | None = None,
        label: str | None = None,
        period: str | None = None,
        where: str = "the table",
    ) -> Indicators:
        """Check a table and take its indicators.

        Parameters
        ----------
        frame : DataFrame of shape (n_units, …)
            One row a unit.
        codebook : Codebook
            Which columns are indicators, and what values they may have.
        unit : str
            Column that names the units; no two rows (of a period) may share a name.
        std_errors : mapping of str to str, optional
            Indicator to the column of its standard errors, in the same unit.
        group : str, optional
            Column of the group that each unit lies in.
        label : str, optional
            Column of what a reader calls each unit.
        period : str, optional
            Column of the period of each row, if units are seen more than once.
        where : str, default "the table"
            What the table is called in messages.

        Returns
        -------
        Indicators

        Raises
        ------
        DataError
            With every problem: unknown columns (and the nearest spelling), missing or
            duplicated unit names, fewer than two units, text among numbers, infinite
            values, values outside their scale, indicators that do not vary or have no
            value, standard errors that are negative.

        Examples
        --------
        >>> from lgpi_research.codebook import Indicator
        >>> table = pd.DataFrame({"place": ["a", "b"], "voice": [0.2, 0.6]})
        >>> Indicators.from_table(table, Codebook((Indicator("voice"),)), unit="place").values
               voice
        place
        a        0.2
        b        0.6
        """
        columns = [str(name) for name in frame.columns]
        wanted = [unit, *(std_errors or {}).values(), *filter(None, (group, label, period))]
        problems = Problems(where)
        for name in wanted:
            if name not in columns:
                problems.add(f"{name}: there is no such column.{nearest(name, columns)}")
            elif columns.count(name) > 1:
                problems.add(f"{name}: {columns.count(name)} columns have this name; keep one.")
        for name in std_errors or {}:
            if name not in codebook.names:
                hint = nearest(name, codebook.names)
                problems.add(f"std_errors: {name} is no indicator of the codebook.{hint}")
        problems.raise_any(DataError)
        key = frame[unit]
        problems.extend(_key_problems(unit, key, None if period is None else frame[period]))
        try:
            values, notes = codebook.read(frame, where)
            problems.extend(_constant(values))
        except DataError as error:
            problems.extend(error.problems)
        errors = None
        if std_errors:
            try:
                errors = _errors(frame, codebook, std_errors, where)
                problems.extend(_negative(errors))
            except DataError as error:
                problems.extend(error.problems)
        problems.raise_any(DataError)
        index = pd.Index(key.to_numpy(), name=unit)
        return cls(
            values.set_axis(index),
            codebook,
            None if errors is None else errors.set_axis(index),
            None if group is None else frame[group].set_axis(index),
            None if label is None else frame[label].astype("str").set_axis(index),
            notes,
            None if period is None else frame[period].set_axis(index),
        )

    def select(self, names: tuple[str, ...]) -> Indicators:
        """Return some of the indicators, in the order of `names`."""
        errors = None if self.std_errors is None else self.std_errors[list(names)]
        return replace(
            self,
            values=self.values[list(names)],
            codebook=self.codebook.select(names),
            std_errors=errors,
            smoothed=tuple(name for name in names if name in self.smoothed),
        )

    def at(self, period: Any) -> Indicators:
        """Return the units in one period.

        Raises
        ------
        DataError
            If no row is of that period.
        """
        if self.periods is None:
            return self
        there = self.periods == period
        if not there.any():
            known = listing(sorted(self.periods.unique()))
            raise DataError(f"period {period!r}: no row; there are {known}.")
        return replace(self._rows(there), periods=None)

    def _rows(self, kept: pd.Series) -> Indicators:
        """Return some of the rows."""
        parts: dict[str, Any] = {
            name: None if part is None else part[kept.to_numpy()]
            for name in ("values", "std_errors", "groups", "labels", "periods")
            for part in [getattr(self, name)]
        }
        return replace(self, **parts)

    def complete(self) -> tuple[Indicators, tuple[str, ...]]:
        """Return the units that have every indicator, and a note on those set aside."""
        missing = self.values.isna()
        whole = ~missing.any(axis=1)
        if whole.all():
            return self, ()
        per = missing.sum()
        told = ", ".join(f"{name} {n}" for name, n in per[per > 0].items())
        what = "units" if self.periods is None else "units in a period"
        note = (
            f"{int((~whole).sum())} of {len(whole)} {what} set aside for missing values ({told})."
        )
        return self._rows(whole), (note,)


def _key_problems(unit: str, key: pd.Series, period: pd.Series | None) -> list[str]:
    problems = []
    if len(key) < 2:
        problems.append(f"there {'is one unit' if len(key) else 'are no units'}; an index needs 2.")
    blank = key.isna()
    if blank.any():
        rows = listing(np.flatnonzero(blank) + 1, most=3)
        problems.append(f"{unit}: {blank.sum()} rows have no unit (rows {rows}).")
    together = key.to_frame() if period is None else pd.concat([key, period], axis=1)
    twice = together.duplicated(keep=False) & ~blank
    if twice.any():
        names = listing(key[twice].unique())
        within = "" if period is None else f" of one {period.name}"
        problems.append(
            f"{unit}: {key[twice].nunique()} units stand in more than one row{within} ({names}). "
            "Keep one row a unit, or name a column that tells them apart."
        )
    if period is not None and period.isna().any():
        problems.append(f"{period.name}: {period.isna().sum()} rows have no period.")
    return problems


def _constant(values: pd.DataFrame) -> list[str]:
    spread = values.nunique()
    return [
        f"{name}: every value is {values[name].dropna().iloc[0]:g}; an indicator that does not "
        "vary tells nothing. Leave it out."
        for name in spread.index[spread == 1]
        if len(values) > 1
    ]


def _errors(
    frame: pd.DataFrame, codebook: Codebook, std_errors: Mapping[str, str], where: str
) -> pd.DataFrame:
    read = to_numeric(frame, std_errors.values(), where)
    blank = pd.Series(np.nan, index=frame.index)
    return pd.DataFrame(
        {name: read[std_errors[name]] if name in std_errors else blank for name in codebook.names},
        index=frame.index,
    )


def _negative(errors: pd.DataFrame) -> list[str]:
    counts = (errors < 0).sum()
    return [f"{name}: {n} standard errors are negative." for name, n in counts[counts > 0].items()]
