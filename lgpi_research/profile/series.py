"""Series of a unit among its peers over time."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from lgpi_research import plots
from lgpi_research.columns import to_numeric
from lgpi_research.errors import DataError, Problems, SpecError, listing, nearest
from lgpi_research.methods.ranks import rank_scores
from lgpi_research.profile.common import Tables, check_key, take
from lgpi_research.results import Result, provenance
from lgpi_research.tables import cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Series", "describe_series"]

LEVEL = 0.95
"""Level of the bands around a series that has standard errors."""


@dataclass(frozen=True, eq=False, repr=False)
class Series(Result, kind="profile_series"):
    """Measures of one unit over periods, among its peers.

    ``frame`` has one row for each measure, unit and period with a value: ``measure``,
    ``unit``, ``label``, ``period``, ``value``, ``std_error`` (NaN where there is none) and
    ``highlighted``. ``details["labels"]`` says what each measure is.
    """

    def headline(self) -> str:
        """Return the last value of each measure and its rank among the peers."""
        told = self.details
        parts = [_last_text(row) for row in self.summary().to_dict("records")]
        return (
            f"{told['name']} among {told['n_peers']} {told['peers_label']}, 1 being the highest "
            f"value: {'; '.join(parts)}."
        )

    def summary(self) -> pd.DataFrame:
        """Return, for each measure, the last value, its rank, and the median of the peers."""
        rows = []
        for measure, label in self.details["labels"].items():
            whole = self.frame[self.frame["measure"] == measure]
            own = whole[whole["highlighted"]].sort_values("period")
            row: dict[str, Any] = {"measure": measure, "label": label, "n_periods": len(own)}
            if len(own):
                last = own.iloc[-1]
                year = whole[whole["period"] == last["period"]]
                others = year.loc[~year["highlighted"], "value"]
                ranks = rank_scores(year["value"].to_numpy())
                row |= {
                    "first_period": str(own["period"].iloc[0]),
                    "period": str(last["period"]),
                    "value": last["value"],
                    "std_error": last["std_error"],
                    "rank": float(ranks[year["highlighted"].to_numpy()][0]),
                    "n_ranked": len(year),
                    "peer_median": others.median(),
                }
            rows.append(row)
        columns = ["measure", "label", "n_periods", "first_period", "period", "value",
                   "std_error", "rank", "n_ranked", "peer_median"]  # fmt: skip
        return pd.DataFrame(rows).reindex(columns=columns)

    def methods_text(self) -> str:
        """Return what is shown and how the rank is taken."""
        told = self.details
        bands = (
            f" Bands are {100 * LEVEL:g} % intervals from the standard errors that come with the "
            "values."
            if self.frame["std_error"].notna().any()
            else ""
        )
        return (
            f"{len(told['labels'])} measures of {told['name']} are shown beside those of "
            f"{told['n_peers']} {told['peers_label']}. The rank is that of the last period with a "
            "value, among the peers that have a value in the same period; 1 is the highest value, "
            "which is not always the best. Periods without a value stay gaps: nothing is carried "
            f"forward or interpolated.{bands} The series are described; no relation between them "
            "is estimated."
        )

    def plot(self, ax: Axes | None = None, *, measure: str | None = None) -> Axes:
        """Draw all measures as small multiples, or one on `ax`, and return the first axes."""
        names = list(self.details["labels"])
        if measure is not None and measure not in names:
            raise SpecError(f"{measure!r} is no measure.{nearest(measure, names)}")
        if ax is not None or measure is not None or len(names) == 1:
            ax = plots.new_axes(ax, (5.0, 3.4))
            self._panel(ax, measure or names[0])
            return ax
        import matplotlib.pyplot as plt

        wide = 2 if len(names) in (2, 4) else 3
        high = -(-len(names) // wide)
        with plots.styled():
            figure, grid = plt.subplots(
                high, wide, figsize=(3.5 * wide, 0.5 + 2.6 * high), squeeze=False, sharex=True
            )
        for place, panel in enumerate(grid.flat):
            if place < len(names):
                self._panel(panel, names[place])
                panel.tick_params(labelbottom=place + wide >= len(names))
            else:
                panel.set_visible(False)
        with plots.styled():
            figure.suptitle(
                f"{self.details['name']} (blue) among {self.details['n_peers']} "
                f"{self.details['peers_label']} (grey)",
                x=0.01, ha="left", fontsize=11,
            )  # fmt: skip
        first: Axes = grid[0, 0]
        return first

    def _panel(self, ax: Axes, measure: str) -> None:
        """Draw one measure: peers grey, the unit bold with its band, gaps left open."""
        told = self.frame[self.frame["measure"] == measure]
        periods = np.sort(self.frame["period"].unique())
        every = np.arange(periods[0], periods[-1] + 1) if len(periods) else periods
        ends = []
        with plots.styled():
            for unit, rows in told.groupby("unit", sort=False):
                line = rows.set_index("period").reindex(every)
                y, own = line["value"].to_numpy(), bool(rows["highlighted"].iloc[0])
                colour = plots.COLOURS["main"] if own else "#B9BEC5"
                _draw_gappy(ax, every, y, colour, 2.2 if own else 0.9, 3 if own else 1)
                held = np.flatnonzero(np.isfinite(y))
                ends.append((own, str(unit), every[held[-1]], y[held[-1]]))
                if own and line["std_error"].notna().any():
                    half = stats.norm.isf((1 - LEVEL) / 2) * line["std_error"].to_numpy()
                    ax.fill_between(every, y - half, y + half, color=colour, alpha=0.18,
                                    linewidth=0, zorder=2)  # fmt: skip
            ax.set_title(self.details["labels"][measure], fontsize=9.5)
            _label_ends(ax, ends, every)
            ax.locator_params(axis="x", integer=True, nbins=5)
            ax.ticklabel_format(axis="x", style="plain", useOffset=False)


def _last_text(row: Mapping[Hashable, Any]) -> str:
    """Say what the last value of a measure is and which rank it has."""
    if not row["n_periods"]:
        return f"{row['label']}: no data"
    rank = "no peer has data"
    if row["n_ranked"] > 1:
        rank = f"rank {cell(row['rank'], 'rank')} of {row['n_ranked']:.0f}"
    return f"{row['label']} {cell(row['value'], digits=2)} in {row['period']} ({rank})"


def _draw_gappy(
    ax: Axes, x: np.ndarray, y: np.ndarray, colour: str, width: float, order: int
) -> None:
    """Draw a line that breaks where values are missing, and a dot where one stands alone."""
    ax.plot(x, y, color=colour, linewidth=width, zorder=order)
    held = np.isfinite(y)
    near = np.zeros(len(y), dtype=bool)
    near[1:] |= held[:-1]
    near[:-1] |= held[1:]
    alone = held & ~near
    ax.scatter(x[alone], y[alone], s=5 * width, color=colour, zorder=order, linewidths=0)


def _label_ends(ax: Axes, ends: list[tuple[bool, str, Any, float]], every: np.ndarray) -> None:
    """Name the lines at their ends where labels do not run into one another."""
    if not ends:
        return
    low, high = ax.get_ylim()
    gap = 0.075 * (high - low)
    reach = every[-1] - 0.06 * (every[-1] - every[0])
    used: list[float] = []
    for own, name, x, y in sorted(ends, key=lambda end: (not end[0], -end[2], end[1])):
        if not own and (x < reach or any(abs(y - other) < gap for other in used)):
            continue
        ax.annotate(
            name, (x, y), xytext=(3, 0), textcoords="offset points", va="center",
            fontsize=8 if own else 7, fontweight="bold" if own else "normal",
            color=plots.COLOURS["main" if own else "quiet"], annotation_clip=False, zorder=4,
        )  # fmt: skip
        if x >= reach:
            used.append(y)
    ax.set_xlim(every[0] - max(0.02 * len(every), 0.3), every[-1] + 0.13 * max(len(every), 8))


def describe_series(
    tables: Tables,
    *,
    table: str,
    unit: str,
    period: str,
    columns: Mapping[str, str],
    highlight: str,
    peers: str,
    peers_table: str = "",
    peers_label: str = "peers",
    name_column: str = "",
    std_error_suffix: str = "_std_error",
) -> Series:
    """Describe measures of one unit over periods, among its peers.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Tables by name.
    table : str
        One row a unit and period.
    unit, period : str
        Columns that name the unit and the period (whole numbers).
    columns : mapping of str to str
        Measures to what a reader calls them. A column named like a measure with
        `std_error_suffix` holds its standard errors.
    highlight : str
        The unit described.
    peers : str
        Column that is 1 for the peers, 0 or missing for others.
    peers_table : str, optional
        Table, one row a unit, that holds `peers` and `name_column`; `table` itself if empty.
    peers_label : str, default "peers"
        What the peers are called.
    name_column : str, optional
        Column with the name of a unit; its code is used if empty.

    Returns
    -------
    Series

    Raises
    ------
    SpecError
        If a table or column is missing, or no unit is a peer.
    DataError
        If a unit and period stand twice, or measures are no numbers.

    Examples
    --------
    >>> panel = pd.DataFrame({
    ...     "iso3": ["A", "B", "A", "B"], "year": [2015, 2015, 2016, 2016],
    ...     "share": [0.2, 0.3, 0.4, 0.1], "near": [0, 1, 0, 1],
    ... })
    >>> found = describe_series({"panel": panel}, table="panel", unit="iso3", period="year",
    ...     columns={"share": "Own revenue"}, highlight="A", peers="near")
    >>> found.headline()
    'A among 1 peers, 1 being the highest value: Own revenue 0.40 in 2016 (rank 1 of 2).'
    """
    problems = Problems("the description 'series'")
    panel = take(tables, table, [unit, period, *columns], problems)
    wanted = [unit, peers, *([name_column] if name_column else [])]
    flags = take(tables, peers_table or table, wanted, problems)
    if not columns:
        problems.add("columns: name at least one measure.")
    problems.raise_any(SpecError)
    check_key(panel, (unit, period), table)
    units = flags.drop_duplicates([unit, *wanted[1:]])[wanted]
    check_key(units, (unit,), peers_table or table)
    units = units.set_index(unit)
    if highlight not in set(panel[unit]):
        problems.add(f"{table} has no unit {highlight!r}.{nearest(highlight, set(panel[unit]))}")
    chosen = set(units.index[units[peers] == 1]) & set(panel[unit]) - {highlight}
    if not chosen:
        problems.add(f"{peers}: no unit of {table} has the value 1.")
    problems.raise_any(SpecError)

    errors = [f"{measure}{std_error_suffix}" for measure in columns]
    known = [column for column in errors if column in panel]
    numbers = to_numeric(panel, [period, *columns, *known], table)
    if (numbers[period] % 1 != 0).any():
        raise DataError(f"{table}: {period} holds missing or broken numbers; years are needed.")
    keep = panel[unit].isin([*chosen, highlight])
    parts = []
    for measure, error in zip(columns, errors, strict=True):
        codes = panel.loc[keep, unit]
        part = pd.DataFrame(
            {
                "measure": measure,
                "unit": codes,
                "label": codes.map(units[name_column]) if name_column else codes,
                "period": numbers.loc[keep, period].astype("int64"),
                "value": numbers.loc[keep, measure],
                "std_error": numbers.loc[keep, error] if error in known else np.nan,
                "highlighted": codes == highlight,
            }
        )
        parts.append(part.dropna(subset=["value"]))
    frame = pd.concat(parts, ignore_index=True)
    notes = []
    for measure, label in columns.items():
        rows = frame[frame["measure"] == measure]
        told, every = set(rows.loc[rows["highlighted"], "period"]), set(rows["period"])
        if every - told:
            notes.append(
                f"{label}: {highlight} has a value in {len(told)} of the {len(every)} periods in "
                f"which it or a peer has one; none in {_spans(sorted(every - told))}."
            )
        silent = sorted(chosen - set(rows["unit"]))
        if silent:
            notes.append(f"{label}: {len(silent)} peers have no value ({listing(silent)}).")
    label = str(units[name_column].get(highlight, highlight)) if name_column else highlight
    details = {
        "highlight": highlight,
        "name": label,
        "labels": dict(columns),
        "n_peers": len(chosen),
        "peers_label": peers_label,
    }
    options = {
        "table": table, "unit": unit, "period": period, "columns": dict(columns),
        "highlight": highlight, "peers": peers, "peers_table": peers_table,
    }  # fmt: skip
    return Series(frame, provenance(specification=options), tuple(notes), details=details)


def _spans(years: Sequence[int]) -> str:
    """Write whole numbers as runs: 2000-2002, 2005."""
    runs: list[list[int]] = []
    for year in years:
        if runs and year == runs[-1][-1] + 1:
            runs[-1].append(year)
        else:
            runs.append([year])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
