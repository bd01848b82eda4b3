"""Pictures of reliability: coefficients, places, pairs of items, split halves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research import plots
from lgpi_research.errors import SpecError, listing, nearest
from lgpi_research.methods.guttman import Splits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["KINDS", "draw_coefficients", "draw_pairs", "draw_places", "draw_splits"]

KINDS = ("coefficients", "places", "polychoric", "split halves")
"""Pictures by name."""

_COLOURS = ("main", "second", "third", "quiet")  # of dimensions; they come round again


def draw_coefficients(
    ax: Axes | None, table: pd.DataFrame, level: float, dimension: str | None
) -> Axes:
    """Draw coefficients with their intervals; of groups, the first coefficient of each."""
    if dimension is not None:
        known = list(dict.fromkeys(table["dimension"]))
        table = table[table["dimension"] == dimension]
        if table.empty:
            hint = nearest(dimension, known)
            raise SpecError(f"No dimension {dimension!r}.{hint} Known: {listing(known, 20)}.")
    if table["group"].nunique() > 1:
        return _draw_groups(ax, table, level)
    ax = plots.new_axes(ax, (6.8, 1.2 + 0.3 * min(len(table), plots.MANY)))
    scope = np.where(table["scope"] == "overall", "", ", within groups")
    labels = (table["dimension"] + ": " + table["coefficient"] + scope).tolist()
    plots.intervals(ax, labels, *_ends(table))
    return plots.describe(ax, "Reliability", f"reliability, {100 * level:.0f} % interval")


def _ends(table: pd.DataFrame) -> tuple[npt.NDArray[np.float64], ...]:
    return tuple(table[column].to_numpy(float) for column in ("estimate", "ci_low", "ci_high"))


def _draw_groups(ax: Axes | None, table: pd.DataFrame, level: float) -> Axes:
    """Draw the first coefficient of each group, a row a group and a colour a dimension."""
    coefficient = table["coefficient"].iloc[0]
    table = table[table["coefficient"] == coefficient]
    dimensions = list(dict.fromkeys(table["dimension"]))
    wide = table.set_index(["group", "dimension"]).sort_index()
    whole = table["group"].iloc[0]
    first = table[(table["dimension"] == dimensions[0]) & (table["group"] != whole)]
    ranked = first.sort_values("estimate", ascending=False, kind="stable")["group"].tolist()
    others = [g for g in dict.fromkeys(table["group"]) if g not in (whole, *ranked)]
    groups = [whole, *ranked, *others]
    rows = min(len(groups), plots.MANY)
    step = 0.6 / max(len(dimensions), 2)
    ax = plots.new_axes(ax, (6.8, 1.4 + rows * max(0.26, 0.13 * len(dimensions))))
    for number, dimension in enumerate(dimensions):
        colour = _COLOURS[number % len(_COLOURS)]
        index = pd.MultiIndex.from_product([groups, [dimension]])
        shift = step * (number - (len(dimensions) - 1) / 2)
        ends = _ends(wide.reindex(index))
        plots.intervals(ax, groups, *ends, colour=colour, label=dimension, shift=shift)
    if len(dimensions) > 1:
        plots.legend(ax)
    title = "Reliability" if len(dimensions) > 1 else f"Reliability: {dimensions[0]}"
    return plots.describe(ax, title, f"{coefficient}, {100 * level:.0f} % interval")


def draw_places(ax: Axes | None, name: str, table: pd.DataFrame, enough: float) -> Axes:
    """Draw the reliability of each place's score against its answers, and a line at enough."""
    known = table.dropna(subset=["reliability"])
    ax = plots.new_axes(ax)
    plots.scatter(ax, known["n_used"].to_numpy(float), known["reliability"].to_numpy())
    plots.threshold(ax, enough)
    ax.set_ylim(0, 1.02)
    ax.set_xlim(left=0)
    below = int((known["reliability"] < enough).sum())
    title = f"Places: {name}, {below} of {len(known)} below {enough:g}"
    return plots.describe(ax, title, "answers in the place", "reliability of its score")


def draw_pairs(
    ax: Axes | None, name: str, items: Sequence[str], matrix: npt.NDArray[np.float64]
) -> Axes:
    """Draw the polychoric correlations of items."""
    size = 2.2 + 0.5 * len(items)
    ax = plots.new_axes(ax, (size + 1.4, size))
    plots.correlations(ax, matrix, items)
    return plots.describe(ax, f"Polychoric correlations: {name}")


def draw_splits(ax: Axes | None, name: str, found: Splits) -> Axes:
    """Draw how the reliabilities of split halves are distributed."""
    ax = plots.new_axes(ax)
    plots.histogram(ax, found.values)
    which = f"all {found.n_splits:,}" if found.exact else f"{len(found.values):,} drawn"
    return plots.describe(
        ax,
        f"Split halves of {name}: {which}, best {found.best:.2f}",
        "reliability of the sum by a split half",
        "splits",
    )
