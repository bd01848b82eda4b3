"""Maps of one column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lgpi_research import plots
from lgpi_research.columns import to_numeric
from lgpi_research.errors import DataError, Problems, SpecError, listing
from lgpi_research.profile.common import Tables, check_key, take
from lgpi_research.results import Result, provenance
from lgpi_research.tables import cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Choropleth", "describe_map"]

HATCHED: Any = {"facecolor": "#F1F2F4", "edgecolor": "#8A8F98", "hatch": "////"}
"""How a unit without a value is drawn."""


@dataclass(frozen=True, eq=False, repr=False)
class Choropleth(Result, kind="profile_map"):
    """One column on a map.

    ``frame`` has one row a unit of the outlines: ``unit``, ``label``, ``value`` (NaN where
    missing); ``arrays["outline"]`` of shape (n, corners, 2) its longitudes and latitudes,
    rings parted and filled up by NaN.
    """

    def headline(self) -> str:
        """Return the highest and lowest unit and how many have no value."""
        told, held = self.details, self.frame.dropna(subset=["value"])
        high, low = (held.loc[held["value"].sort_values().index[end]] for end in (-1, 0))
        missing = len(self.frame) - len(held)
        none = f"; {missing} without a value" if missing else ""
        return (
            f"{told['title']}: from {cell(low['value'], digits=told['digits'])} in {low['label']} "
            f"to {cell(high['value'], digits=told['digits'])} in {high['label']}, "
            f"{len(held)} of {len(self.frame)} units{none}."
        )

    def summary(self) -> pd.DataFrame:
        """Return the units by value, the highest first, those without a value last."""
        return self.frame.sort_values("value", ascending=False, kind="stable")[
            ["label", "value"]
        ].reset_index(drop=True)

    def methods_text(self) -> str:
        """Return the projection and the source of the outlines."""
        credit = f" Outlines: {self.details['credit']}." if self.details["credit"] else ""
        return (
            "The map is equirectangular, its aspect that of the middle latitude. Units without a "
            f"value are hatched. The colour scale is even in the values.{credit} A map shows where "
            "values lie; neighbours are not compared by any test."
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the map and return the axes."""
        from matplotlib import colormaps
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize
        from matplotlib.patches import Patch, PathPatch
        from matplotlib.path import Path

        outlines = self.arrays["outline"]
        low, high = (
            np.nanmin(outlines, axis=(0, 1)),
            np.nanmax(outlines, axis=(0, 1)),
        )
        aspect = 1.0 / np.cos(np.radians((low[1] + high[1]) / 2))
        width = 8.0
        height = width * (high[1] - low[1]) / (high[0] - low[0]) * aspect
        ax = plots.new_axes(ax, (width, height + 1.0))
        values = self.frame["value"].to_numpy()
        scale = Normalize(np.nanmin(values), np.nanmax(values))
        colours = colormaps["cividis" if self.details["dark_is_low"] else "cividis_r"]
        with plots.styled():
            size = np.nanmax(outlines, axis=1) - np.nanmin(outlines, axis=1)
            for place in np.argsort(-size.prod(axis=1), kind="stable"):  # cities over regions
                rings = _rings(outlines[place])
                path = Path.make_compound_path(*(Path(ring, closed=True) for ring in rings))
                style = HATCHED
                if np.isfinite(values[place]):
                    style = {"facecolor": colours(scale(values[place])), "edgecolor": "white"}
                ax.add_patch(PathPatch(path, linewidth=0.6, **style))
            ax.set_xlim(low[0] - 0.3, high[0] + 0.3)
            ax.set_ylim(low[1] - 0.3, high[1] + 0.3)
            ax.set_aspect(aspect)
            ax.set_axis_off()
            _name_units(ax, outlines, self.frame["label"].tolist(), width * 0.95 * 72)
            mappable = ScalarMappable(scale, colours)
            bar = ax.figure.colorbar(
                mappable, ax=ax, location="bottom", shrink=0.45, aspect=32, pad=0.01
            )
            bar.set_label(self.details["unit_label"], fontsize=8.5)
            if (values[np.isfinite(values)] % 1 == 0).all():
                bar.ax.locator_params(axis="x", integer=True)
            if np.isnan(values).any():
                ax.legend(
                    handles=[Patch(label="no value", **HATCHED)], loc="lower left", fontsize=8.5
                )
            if self.details["credit"]:
                ax.text(0.995, 0.0, f"Outlines: {self.details['credit']}", fontsize=7, ha="right",
                        transform=ax.transAxes, color=plots.COLOURS["quiet"])  # fmt: skip
        return plots.describe(ax, self.details["title"])


def _rings(outline: np.ndarray) -> list[np.ndarray]:
    """Return the closed rings of an outline whose rings are parted by NaN."""
    gone = np.isnan(outline[:, 0])
    parts = np.split(outline, np.flatnonzero(gone))
    rings = [part[~np.isnan(part[:, 0])] for part in parts]
    return [np.vstack([ring, ring[:1]]) for ring in rings if len(ring) >= 3]


def _widest_chord(rings: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """Return middle, height and length of the longest horizontal line inside the rings."""
    corners = np.vstack(list(rings))
    low, high = corners[:, 1].min(), corners[:, 1].max()
    middle = corners[:, 1].mean()
    best = (0.0, float(middle), 0.0)
    reward = 0.0
    for y in np.linspace(low, high, 41)[3:-3] + 1e-7:
        crossings: list[float] = []
        for ring in rings:
            (x0, y0), (x1, y1) = ring[:-1].T, ring[1:].T
            cut = (y0 > y) != (y1 > y)
            crossings += (x0 + (y - y0) / np.where(cut, y1 - y0, 1.0) * (x1 - x0))[cut].tolist()
        ends = np.sort(np.array(crossings)).reshape(-1, 2)
        if not len(ends):
            continue
        left, right = ends[np.argmax(ends[:, 1] - ends[:, 0])]
        value = (right - left) * (1.0 - 0.6 * abs(2 * (y - low) / (high - low) - 1.0))
        if value > reward:
            reward, best = value, ((left + right) / 2, float(y), right - left)
    return best


def _name_units(ax: Axes, outlines: np.ndarray, labels: Sequence[str], width: float) -> None:
    """Write the name of each unit inside it where it fits; `width` is that of the map in points."""
    from matplotlib.patheffects import withStroke

    left, right = ax.get_xlim()
    per_degree, letter = width / (right - left), 4.7  # points; at the size of the font below
    for outline, label in zip(outlines, labels, strict=True):
        x, y, length = _widest_chord(_rings(outline))
        for text in (label, label.replace(" ", "\n")):
            if max(map(len, text.split("\n"))) * letter < length * per_degree:
                halo = [withStroke(linewidth=2.0, foreground="white")]
                ax.text(x, y, text, ha="center", va="center", fontsize=7.5, path_effects=halo,
                        linespacing=0.95)  # fmt: skip
                break


def describe_map(
    tables: Tables,
    *,
    table: str,
    unit: str,
    column: str,
    outlines: str,
    title: str,
    unit_label: str = "",
    name_column: str = "",
    digits: int = 2,
    dark_is_low: bool = False,
    credit: str = "",
) -> Choropleth:
    """Draw one column of a table on the outlines of its units.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Tables by name.
    table : str
        One row a unit.
    unit : str
        Column with the code of the unit, in both tables.
    column : str
        What is drawn. Missing values are hatched.
    outlines : str
        Table with the columns `unit`, ``ring``, ``vertex``, ``longitude``, ``latitude``.
    title, unit_label : str
        What is shown, and the unit of the colour scale.
    name_column : str, optional
        Column with the name of a unit.
    digits : int, default 2
        Digits of values in text.
    dark_is_low : bool, default False
        Low values dark and on top, as ranks want it.
    credit : str, optional
        Source of the outlines; it stands beside the map.

    Returns
    -------
    Choropleth

    Raises
    ------
    SpecError
        If a table or column is missing.
    DataError
        If a unit stands twice or has no outline, or the column is no number or has no
        value at all.
    """
    problems = Problems("the description 'map'")
    source = take(tables, table, [unit, column, *([name_column] if name_column else [])], problems)
    places = ["ring", "vertex", "longitude", "latitude"]
    shapes = take(tables, outlines, [unit, *places], problems)
    problems.raise_any(SpecError)
    check_key(source, (unit,), table)
    check_key(shapes, (unit, "ring", "vertex"), outlines)
    numbers = to_numeric(source, [column], table)[column]
    corners = to_numeric(shapes, places, outlines)
    lost = sorted(set(source[unit]) - set(shapes[unit]))
    if lost:
        problems.add(f"{len(lost)} units of {table} have no outline ({listing(lost)}).")
    if numbers.isna().all():
        problems.add(f"{table}: {column} has no value.")
    if corners.isna().any(axis=None):
        problems.add(f"{outlines}: {int(corners.isna().any(axis=1).sum())} corners are missing.")
    problems.raise_any(DataError)
    ordered = corners.assign(unit=shapes[unit]).sort_values(["unit", "ring", "vertex"])
    codes, lines = [], []
    for code, group in ordered.groupby("unit"):
        gap = np.full((1, 2), np.nan)
        rings = [part[["longitude", "latitude"]].to_numpy() for _, part in group.groupby("ring")]
        codes.append(code)
        lines.append(np.vstack([piece for ring in rings for piece in (ring, gap)]))
    packed = np.full((len(codes), max(map(len, lines)), 2), np.nan)
    for place, line in enumerate(lines):
        packed[place, : len(line)] = line
    values = numbers.set_axis(source[unit]).reindex(codes)
    labels = (
        source.set_index(unit)[name_column].reindex(codes)
        if name_column
        else pd.Series(codes, index=codes)
    )
    labels = labels.where(labels.notna(), pd.Series(codes, index=codes)).astype("str")
    frame = pd.DataFrame(
        {"unit": codes, "label": labels.to_numpy(), "value": values.to_numpy(dtype=float)}
    )
    gone = frame.loc[frame["value"].isna(), "label"]
    notes = []
    if len(gone):
        notes.append(f"{len(gone)} of {len(frame)} units have no value ({listing(gone)}).")
    details = {
        "title": title,
        "unit_label": unit_label or column,
        "digits": digits,
        "dark_is_low": dark_is_low,
        "credit": credit,
    }
    options = {"table": table, "unit": unit, "column": column, "outlines": outlines}
    origin = provenance(specification=options)
    return Choropleth(frame, origin, tuple(notes), {"outline": packed}, details)
