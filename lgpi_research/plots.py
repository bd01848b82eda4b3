"""Style and the few drawing primitives: every picture of the package is made of these."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lgpi_research.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "close",
    "correlations",
    "curve",
    "heat",
    "histogram",
    "intervals",
    "legend",
    "new_axes",
    "save_figure",
    "scatter",
    "stacked",
    "styled",
    "threshold",
]

# Okabe and Ito's palette, told apart with any kind of colour vision.
COLOURS = {
    "main": "#0072B2",
    "second": "#D55E00",
    "third": "#009E73",
    "quiet": "#8A8F98",
    "text": "#22262B",
}

CROWDED = 12  # rows or columns of a matrix above which their labels are set smaller

MANY = 60
"""Rows from which labels would be unreadable, and are left out."""

WRAP = 34  # letters of a row's label before it is broken

_STYLE: Any = {
    "axes.edgecolor": COLOURS["quiet"],
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": COLOURS["text"],
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.labelsize": 9.5,
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "grid.color": "#E4E7EB",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "savefig.dpi": 160,
    "svg.hashsalt": "lgpi",
    "text.color": COLOURS["text"],
    "xtick.color": COLOURS["text"],
    "ytick.color": COLOURS["text"],
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the package's style, leaving the user's settings as they were.

    Only the settings of the style are put back: a notebook's backend sets others when the
    first figure is made, and must keep them.
    """
    import matplotlib as mpl

    before = {name: mpl.rcParams[name] for name in _STYLE}
    mpl.rcParams.update(_STYLE)
    try:
        yield
    finally:
        mpl.rcParams.update(before)


def new_axes(ax: Axes | None = None, size: tuple[float, float] = (6.4, 4.0)) -> Axes:
    """Return `ax`, or axes on a new pyplot figure of `size` inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    with styled():
        return plt.subplots(figsize=size)[1]


def describe(ax: Axes, title: str = "", x: str = "", y: str = "") -> Axes:
    """Set the title and the labels of the axes, where they are not empty."""
    with styled():
        for text, put in ((title, ax.set_title), (x, ax.set_xlabel), (y, ax.set_ylabel)):
            if text:
                put(text, wrap=True)
    return ax


def close(ax: Axes) -> None:
    """Forget the figure of `ax`, for whoever makes many."""
    import matplotlib.pyplot as plt

    plt.close(ax.figure)  # type: ignore[arg-type]


def intervals(
    ax: Axes,
    labels: Sequence[str],
    middle: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    colour: str = "main",
    label: str | None = None,
    shift: float = 0.0,
) -> Axes:
    """Draw one horizontal interval with its point for each label, the first on top.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    labels : sequence of str, length n
        One a row; shown if there are at most `MANY`.
    middle, low, high : ndarray of shape (n,)
        Point and ends of each interval, in the units of the horizontal axis.
    colour : str
        A key of `COLOURS`.
    label : str or None
        Entry of the legend.
    shift : float, default 0
        How far below its row each is drawn, in rows, so that several stand side by side.
    """
    with styled():
        rows = np.arange(len(labels))
        many = len(labels) > MANY
        thick, alpha = (0.6, 0.45) if many else (2.0, 0.7)
        drawn = rows + shift
        ax.hlines(drawn, low, high, color=COLOURS[colour], linewidth=thick, alpha=alpha)
        size, dot = (1.5, COLOURS["text"]) if many else (18.0, COLOURS[colour])
        ax.scatter(middle, drawn, s=size, color=dot, zorder=3, linewidths=0, label=label)
        if many:
            ax.set_yticks([])
        else:
            ax.set_yticks(rows, ["\n".join(textwrap.wrap(text, WRAP)) for text in labels])
        ax.set_ylim(len(labels) - 0.4, -0.6)
        ax.grid(visible=False, axis="y")
    return ax


def stacked(ax: Axes, labels: Sequence[str], shares: np.ndarray, names: Sequence[str]) -> Axes:
    """Draw a bar of stacked shares for each label, the first on top, with a legend.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    labels : sequence of str, length n
        One a row; shown if there are at most `MANY`.
    shares : ndarray of shape (n, k)
        Parts of each bar, from the left.
    names : sequence of str, length k
        Entries of the legend; at most six parts have a shade of their own.
    """
    shades = (COLOURS["main"], COLOURS["second"], COLOURS["third"], "#CC79A7", "#E69F00", "#C9CDD3")
    with styled():
        rows = np.arange(len(labels))
        left = np.zeros(len(labels))
        for part, name, shade in zip(shares.T, names, shades, strict=False):
            ax.barh(rows, part, left=left, height=0.75, color=shade, label=name, linewidth=0)
            left = left + part
        if len(labels) > MANY:
            ax.set_yticks([])
        else:
            ax.set_yticks(rows, ["\n".join(textwrap.wrap(text, WRAP)) for text in labels])
        ax.set_ylim(len(labels) - 0.4, -0.6)
        ax.set_xlim(0, 1)
        ax.grid(visible=False, axis="y")
    return legend(ax)


def scatter(ax: Axes, x: np.ndarray, y: np.ndarray, *, colour: str = "main") -> Axes:
    """Draw points, fainter the more there are."""
    with styled():
        alpha = float(np.clip(30.0 / np.sqrt(max(len(x), 1)), 0.25, 0.9))
        ax.scatter(x, y, s=14, color=COLOURS[colour], alpha=alpha, linewidths=0)
    return ax


def curve(
    ax: Axes, x: np.ndarray, y: np.ndarray, *, colour: str = "main", label: str | None = None
) -> Axes:
    """Draw a line through points in the order of `x`."""
    with styled():
        order = np.argsort(x, kind="stable")
        ax.plot(x[order], y[order], color=COLOURS[colour], linewidth=1.6, label=label)
    return ax


def heat(ax: Axes, values: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> Axes:
    """Draw a matrix of shares in [0, 1], rows downwards."""
    with styled():
        image = ax.imshow(values, aspect="auto", cmap="Blues", vmin=0.0, vmax=1.0)
        ax.set_yticks(np.arange(len(rows)), ["\n".join(textwrap.wrap(row, WRAP)) for row in rows])
        ax.set_xticks(np.arange(len(columns)), columns)
        for axis, labels in ((ax.xaxis, columns), (ax.yaxis, rows)):
            if len(labels) > CROWDED:
                axis.set_tick_params(labelsize=7.5)
        ax.grid(visible=False)
        ax.figure.colorbar(image, ax=ax, shrink=0.8, label="share of draws")
    return ax


def counts(
    ax: Axes, values: np.ndarray, rows: Sequence[str], columns: Sequence[str], *, most: int
) -> Axes:
    """Draw a matrix of whole numbers from 0 to `most`, rows downwards."""
    import matplotlib as mpl

    with styled():
        shades = mpl.colormaps["Blues"].resampled(most + 1)
        image = ax.imshow(values, aspect="auto", cmap=shades, vmin=-0.5, vmax=most + 0.5)
        ax.set_yticks(np.arange(len(rows)), ["\n".join(textwrap.wrap(row, WRAP)) for row in rows])
        ax.set_xticks(np.arange(len(columns)), columns, rotation=45, ha="right")
        for axis, labels in ((ax.xaxis, columns), (ax.yaxis, rows)):
            if len(labels) > CROWDED:
                axis.set_tick_params(labelsize=7.5)
        ax.grid(visible=False)
        ax.figure.colorbar(image, ax=ax, shrink=0.6, ticks=range(most + 1))
    return ax


def threshold(ax: Axes, y: float) -> Axes:
    """Draw a horizontal line at a value that matters."""
    with styled():
        ax.axhline(y, color=COLOURS["second"], linewidth=1.2, linestyle="--")
    return ax


def legend(ax: Axes) -> Axes:
    """Name the colours, below the picture."""
    with styled():
        handles, labels = ax.get_legend_handles_labels()
        ax.figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4))
    return ax


def histogram(ax: Axes, values: np.ndarray) -> Axes:
    """Draw how values are distributed, and a line at their mean."""
    with styled():
        bins = int(np.clip(np.sqrt(len(values)), 5, 40))
        ax.hist(values, bins=bins, color=COLOURS["main"], alpha=0.8, linewidth=0)
        ax.axvline(float(values.mean()), color=COLOURS["second"], linewidth=1.2, linestyle="--")
        ax.locator_params(axis="y", integer=True)
        ax.grid(visible=False, axis="x")
    return ax


def correlations(
    ax: Axes, matrix: np.ndarray, names: Sequence[str], columns: Sequence[str] | None = None
) -> Axes:
    """Draw numbers from -1 to 1, each cell with its own: correlations, or loadings in columns."""
    with styled():
        image = ax.imshow(matrix, cmap="RdBu", vmin=-1.0, vmax=1.0, aspect="auto")
        labels = ["\n".join(textwrap.wrap(name, WRAP)) for name in names]
        ax.set_yticks(np.arange(len(names)), labels)
        if columns is None:
            ax.set_aspect("equal")
            ax.set_xticks(np.arange(len(names)), names, rotation=45, ha="right")
        else:
            ax.set_xticks(np.arange(len(columns)), columns)
        small = len(names) > CROWDED
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_tick_params(labelsize=7.5 if small else 9.5)
        for row, column in np.ndindex(matrix.shape):
            value = matrix[row, column]
            if np.isfinite(value):
                colour = "white" if abs(value) > 0.6 else COLOURS["text"]
                text = f"{value:.2f}".replace("0.", ".")
                ax.text(
                    column, row, text, ha="center", va="center", color=colour,
                    fontsize=6.5 if small else 8.5,
                )  # fmt: skip
        ax.grid(visible=False)
        name = "correlation" if columns is None else "loading"
        ax.figure.colorbar(image, ax=ax, shrink=0.8, label=name)
    return ax


def save_figure(ax: Axes, path: str | Path) -> Path:
    """Write the figure of `ax` as PNG or PDF, with the same bytes each time.

    Raises
    ------
    DataError
        If the ending is another one, or the file cannot be written.
    """
    target = Path(path)
    dates: dict[str, dict[str, None]] = {
        ".png": {"Software": None},
        ".pdf": {"CreationDate": None},
        ".svg": {"Date": None},
    }
    if target.suffix not in dates:
        raise DataError(f"{target.name}: figures are written as {', '.join(dates)}.")
    figure: Figure = ax.figure  # type: ignore[assignment]
    try:
        with styled():
            figure.savefig(target, metadata=dates[target.suffix])
    except OSError as error:
        raise DataError(f"Cannot write {target.name}: {error.strerror or error}.") from error
    return target
