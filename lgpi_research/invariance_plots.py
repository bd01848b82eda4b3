"""Pictures of measurement invariance: what equality costs, and latent means of groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lgpi_research import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_changes", "draw_means"]

_COLOURS = ("main", "second", "third", "quiet")  # of factors; they come round again
_NAMES = {"cfi": "CFI", "rmsea": "RMSEA", "srmr": "SRMR"}


def draw_means(ax: Axes | None, table: pd.DataFrame, factors: Sequence[str], level: float) -> Axes:
    """Draw means of factors with their intervals, a row a group and a colour a factor."""
    groups = list(dict.fromkeys(table["group"]))
    rows = min(len(groups), plots.MANY)
    ax = plots.new_axes(ax, (6.4, 1.6 + (0.2 + 0.1 * len(factors)) * rows))
    for number, name in enumerate(factors):
        own = table[table["factor"] == name]
        ends = (own[column].to_numpy(float) for column in ("estimate", "ci_low", "ci_high"))
        shift = 0.6 * ((number + 0.5) / len(factors) - 0.5)
        colour = _COLOURS[number % len(_COLOURS)]
        plots.intervals(ax, groups, *ends, colour=colour, label=name, shift=shift)
    if len(factors) > 1:
        plots.legend(ax)
    title = "Latent means" if len(factors) > 1 else f"Latent means: {factors[0]}"
    share = f"{100 * level:g} % interval"
    return plots.describe(ax, title, f"standard deviations of {groups[0]}, {share}")


def draw_changes(
    ax: Axes | None, steps: pd.DataFrame, limits: Mapping[str, Mapping[str, float]]
) -> Axes:
    """Draw each change of fit as a share of what its guide allows; beyond 1 it is too large."""
    labels, shares = [], []
    for row in steps.iloc[1:].to_dict("records"):
        for name, limit in limits[row["step"]].items():
            labels.append(f"{row['step']}: {_NAMES[name]}")
            shares.append(row[f"change_{name}"] / limit)
    shown = np.array(shares)
    ax = plots.new_axes(ax, (6.4, 1.4 + 0.3 * len(labels)))
    plots.intervals(ax, labels, shown, np.fmin(shown, 0.0), np.fmax(shown, 0.0))
    ends = np.array([-0.6, len(labels) - 0.4])
    plots.curve(ax, np.zeros(2), ends, colour="quiet")
    plots.curve(ax, np.ones(2), ends, colour="second")
    return plots.describe(
        ax, "What equality costs", "worsening of fit, as a share of what the guide allows"
    )
