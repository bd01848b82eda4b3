"""What cannot be said for lack of data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lgpi_research import plots
from lgpi_research.errors import DataError, Problems, SpecError, nearest
from lgpi_research.profile.common import Tables, take
from lgpi_research.results import Result, provenance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Gaps", "describe_missing"]


@dataclass(frozen=True, eq=False, repr=False)
class Gaps(Result, kind="profile_missing"):
    """Questions that the data cannot answer, why, and what would answer them.

    ``frame`` has one row a question: ``question``, ``why``, ``data_needed``, ``n_have`` and
    ``n_all`` (NaN where nothing was counted).
    """

    def headline(self) -> str:
        """Return how many questions stay open, and the first."""
        first = self.frame.iloc[0]
        return (
            f"{len(self.frame)} questions cannot be answered from these data; the first: "
            f"{first['question']} {first['why']}"
        )

    def summary(self) -> pd.DataFrame:
        """Return question, reason and what is needed."""
        return self.frame[["question", "why", "data_needed"]]

    def methods_text(self) -> str:
        """Return where the counts come from."""
        counted = int(self.frame["n_all"].notna().sum())
        return (
            f"Of {len(self.frame)} open questions, {counted} rest on counts of units in the tables "
            "of this study. A question without data is left open: no figure is put in its place."
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw, where it was counted, how many units have data out of how many."""
        held = self.frame.dropna(subset=["n_all"])
        if held.empty:
            raise DataError("Nothing was counted, so there is no picture; see the summary().")
        import textwrap

        ax = plots.new_axes(ax, (7.2, 1.2 + 0.5 * len(held)))
        with plots.styled():
            rows = np.arange(len(held))
            share = (held["n_have"] / held["n_all"]).to_numpy()
            ax.barh(rows, 1.0, height=0.5, color="#E4E7EB")
            ax.barh(rows, share, height=0.5, color=plots.COLOURS["main"])
            for y, row in zip(rows, held.itertuples(), strict=True):
                ax.text(1.02, float(y), f"{row.n_have:.0f} of {row.n_all:.0f}", va="center")
            labels = ["\n".join(textwrap.wrap(text, 44)) for text in held["question"]]
            ax.set_yticks(rows, labels, fontsize=8.5)
            ax.set_ylim(len(held) - 0.4, -0.6)
            ax.set_xlim(0, 1.14)
            ax.set_xticks([])
            ax.grid(visible=False)
            ax.spines["bottom"].set_visible(False)
        return plots.describe(ax, "Units with the data a question needs")


def describe_missing(tables: Tables, *, items: Sequence[Mapping[str, Any]]) -> Gaps:
    """List questions that the data cannot answer, with the reasons and counts behind them.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Tables by name.
    items : sequence of mappings
        Each has ``question``, ``why`` and ``data_needed``. With ``have`` and ``all``, each
        ``{table, column}`` and, if wished, ``where`` (column to a value or a list of
        values), distinct values are counted; ``{have}`` and ``{all}`` in ``why`` become the counts.

    Returns
    -------
    Gaps

    Raises
    ------
    SpecError
        With every item that lacks a part, or names a table or column that is not there.

    Examples
    --------
    >>> tables = {"budgets": pd.DataFrame({"region": ["a", "a"]}),
    ...           "regions": pd.DataFrame({"region": ["a", "b", "c"]})}
    >>> item = {"question": "Who raises more?", "why": "{have} of {all} regions have a budget.",
    ...         "data_needed": "All budgets.", "have": {"table": "budgets", "column": "region"},
    ...         "all": {"table": "regions", "column": "region"}}
    >>> describe_missing(tables, items=[item]).frame.loc[0, "why"]
    '1 of 3 regions have a budget.'
    """
    problems = Problems("the description 'missing'")
    if not items:
        problems.add("items: name at least one question.")
    rows = []
    for place, item in enumerate(items, 1):
        gone = [key for key in ("question", "why", "data_needed") if not item.get(key)]
        known = {"question", "why", "data_needed", "have", "all"}
        problems.extend(f"item {place}: {key} is missing." for key in gone)
        problems.extend(
            f"item {place}: unknown entry {key!r}.{nearest(key, known)}"
            for key in item
            if key not in known
        )
        counts = {}
        for key in ("have", "all"):
            counts[key] = np.nan
            if key in item:
                counts[key] = _count(tables, item[key], f"item {place}, {key}", problems)
        if ("have" in item) != ("all" in item):
            problems.add(f"item {place}: 'have' and 'all' go together.")
        why = str(item.get("why", ""))
        for key, count in counts.items():
            if f"{{{key}}}" in why and key not in item:
                problems.add(f"item {place}: why names {{{key}}}, which is not counted.")
            elif np.isfinite(count):
                why = why.replace(f"{{{key}}}", f"{count:.0f}")
        rows.append(
            {
                "question": str(item.get("question", "")),
                "why": why,
                "data_needed": str(item.get("data_needed", "")),
                "n_have": counts["have"],
                "n_all": counts["all"],
            }
        )
    problems.raise_any(SpecError)
    options = {"items": [dict(item) for item in items]}
    return Gaps(pd.DataFrame(rows), provenance(specification=options))


def _count(tables: Tables, told: Any, where: str, problems: Problems) -> float:
    """Count distinct values of a column where others have given values."""
    if not isinstance(told, Mapping) or not {"table", "column"} <= set(told):
        problems.add(f"{where}: give table and column.")
        return np.nan
    found = Problems(where)
    conditions = told.get("where", {})
    frame = take(tables, told["table"], [told["column"], *conditions], found)
    problems.extend(f"{where}: {item}" for item in found.items)
    if found:
        return np.nan
    keep = pd.Series(True, index=frame.index)
    for column, value in conditions.items():
        keep &= frame[column].isin(value if isinstance(value, list) else [value])
    return float(frame.loc[keep, told["column"]].nunique())
