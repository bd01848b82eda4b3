"""Pictures of measurement models: loadings with intervals, and the path diagram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from lgpi_research import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_loadings", "draw_paths"]

_COLOURS = ("main", "second", "third", "quiet")  # of factors; they come round again

_GAP, _INNER = 0.035, 0.06  # from where a name begins to the end, or the start, of a line

Point = tuple[float, float]


def draw_loadings(ax: Axes | None, table: pd.DataFrame, level: float, group: str) -> Axes:
    """Draw standardised loadings of one group with their intervals, a colour a factor."""
    loadings = table[table["op"] == "=~"]
    factors = list(dict.fromkeys(loadings["lhs"]))
    many = min(len(loadings), plots.MANY)
    ax = plots.new_axes(ax, (6.4, 1.4 + 0.3 * many))
    reach = float(stats.norm.isf((1 - level) / 2))
    names = (loadings["rhs"] + (" on " + loadings["lhs"] if len(factors) > 1 else "")).tolist()
    middle = loadings["std_all"].to_numpy(float)
    error = loadings["std_all_error"].to_numpy(float)
    for number, factor in enumerate(factors):
        own = np.where((loadings["lhs"] == factor).to_numpy(), middle, np.nan)
        plots.intervals(
            ax,
            names,
            own,
            own - reach * error,
            own + reach * error,
            colour=_COLOURS[number % len(_COLOURS)],
            label=factor,
        )
    if len(factors) > 1:
        plots.legend(ax)
    plots.curve(ax, np.zeros(2), np.array([-0.6, len(names) - 0.4]), colour="quiet")
    title = "Loadings" + (f": {group}" if group else "")
    return plots.describe(ax, title, f"standardised loading, {100 * level:g} % interval")


def draw_paths(ax: Axes | None, table: pd.DataFrame, factors: Sequence[str], group: str) -> Axes:
    """Draw the model of one group with standardised values.

    What items measure stands on the left and the items on the right; straight arrows are
    loadings and regressions, bent lines correlations.
    """
    measured = table[(table["op"] == "=~") & ~table["rhs"].isin(factors)]
    items = list(dict.fromkeys(measured["rhs"]))
    others = _others(table, items, factors)
    left = [*factors, *others]
    ax = plots.new_axes(ax, (7.2, 1.0 + 0.42 * max(len(items), 2 * len(left))))
    height = float(max(len(items), 2 * len(left)))
    at: dict[str, Point] = {}
    for number, item in enumerate(items):
        at[item] = (1.0, height * (number + 0.5) / len(items))
    for number, name in enumerate(left):
        own = [at[item][1] for item in measured.loc[measured["lhs"] == name, "rhs"]]
        even = height * (number + 0.5) / len(left)
        apart = len(set(measured["lhs"])) == len(left) and not measured["rhs"].duplicated().any()
        at[name] = (0.0, float(np.mean(own)) if own and apart else even)
    between = table[(table["op"] == "~~") & (table["lhs"] != table["rhs"])]
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(left)}
    with plots.styled():
        for row in table.to_dict("records"):
            one, other, value = row["lhs"], row["rhs"], row["std_all"]
            if one == other or one not in at or other not in at:
                continue
            colour = colours.get(other if row["op"] == "~" else one, "text")
            if row["op"] == "=~" and other in items:
                _arrow(ax, at[one], at[other], value, colour)
            elif row["op"] == "=~":
                _bow(ax, at[one], at[other], value, height, colour=colour, arrow=True)
            elif row["op"] == "~":
                _bow(ax, at[other], at[one], value, height, colour=colour, arrow=True)
            elif row["op"] == "~~":
                _bow(ax, at[one], at[other], value, height, colour="quiet", arrow=False)
        for name, (x, y) in at.items():
            _box(ax, x, y, name, round_=name in factors, colour=colours.get(name, "quiet"))
        bent = between["lhs"].isin(items) & between["rhs"].isin(items)
        ax.set_xlim(-0.6, 1.75 if bent.any() else 1.4)
        ax.set_ylim(height, 0.0)
        ax.set_axis_off()
    return plots.describe(ax, "Standardised solution" + (f": {group}" if group else ""))


def _others(table: pd.DataFrame, items: Sequence[str], factors: Sequence[str]) -> list[str]:
    """Return observed variables that are no items of a factor."""
    paths = table[table["op"] == "~"]
    said = dict.fromkeys([*paths["lhs"], *paths["rhs"]])
    return [name for name in said if name not in items and name not in factors]


def _arrow(ax: Axes, start: Point, end: Point, value: float, colour: str) -> None:
    """Draw the arrow of a loading, with its value."""
    first = (start[0] + _INNER, start[1])
    _head(ax, first, (end[0] - _GAP, end[1]), value, colour)
    _value(ax, (0.68, start[1] + 0.68 * (end[1] - start[1])), value)


def _bow(
    ax: Axes, one: Point, other: Point, value: float, height: float, *, colour: str, arrow: bool
) -> None:
    """Draw a bent line between two variables, away from the middle, with its value."""
    side = 1.0 if one[0] > 0 and other[0] > 0 else -1.0
    bulge = side * (0.06 + 0.5 * abs(one[1] - other[1]) / height)
    t = np.linspace(0.0, 1.0, 60)
    starts = np.array([x + (_INNER if side > 0 else -_GAP) for x, _ in (one, other)])
    x = starts[0] + (starts[1] - starts[0]) * t + bulge * 4 * t * (1 - t)
    y = one[1] + (other[1] - one[1]) * t
    width = _width(value) if arrow else 1.0
    ax.plot(x, y, color=plots.COLOURS[colour], linewidth=width, alpha=0.85, zorder=1)
    if arrow:
        _head(ax, (x[-4], y[-4]), (x[-1], y[-1]), value, colour)
    _value(ax, (float(starts.mean()) + bulge, (one[1] + other[1]) / 2), value)


def _head(ax: Axes, start: Point, end: Point, value: float, colour: str) -> None:
    """Draw a straight arrow."""
    style = {"arrowstyle": "-|>", "linewidth": _width(value), "shrinkA": 0, "shrinkB": 0}
    style |= {"color": plots.COLOURS[colour], "alpha": 0.85}
    ax.annotate("", end, start, arrowprops=style, zorder=1)


def _width(value: float) -> float:
    return 0.6 + 1.6 * min(abs(value), 1.0) if np.isfinite(value) else 0.6


def _value(ax: Axes, at: Point, value: float) -> None:
    if np.isfinite(value):
        text = f"{value:.2f}".replace("0.", ".", 1)
        ax.text(
            *at, text, ha="center", va="center", fontsize=7.5, zorder=2,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip


def _box(ax: Axes, x: float, y: float, name: str, *, round_: bool, colour: str) -> None:
    shown = name if len(name) <= 18 else f"{name[:17]}…"
    ax.text(
        x, y, shown, ha="left", va="center", fontsize=8.5, zorder=4,
        bbox={
            "boxstyle": "round,pad=0.7,rounding_size=1.2" if round_ else "square,pad=0.45",
            "facecolor": "white", "edgecolor": plots.COLOURS[colour], "linewidth": 1.3,
        },
    )  # fmt: skip
