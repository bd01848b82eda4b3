"""Settings side by side: what each link shows, what it hangs on, and what cannot be said."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lgpi_research import plots
from lgpi_research.errors import Problems, SpecError, listing, nearest
from lgpi_research.findings import count_intervals, findings_of, native_unit, short_name
from lgpi_research.links import FEW_DF, LinkResult
from lgpi_research.results import Result, provenance
from lgpi_research.spec import ROLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Comparison", "compare_settings"]

_TOLD = (
    "role",
    "because",
    "outcome_label",
    "outcome_unit",
    "measure",
    "measure_label",
    "measure_unit",
    "estimand_group",
    "within",
    "basis",
    "per",
    "per_label",
    "slope",
    "slope_low",
    "slope_high",
    "slope_sd",
    "slope_sd_low",
    "slope_sd_high",
    "clustered",
    "n_clusters",
    "level",
    "detectable",
    "smallest_slope",
    "equivalence",
    "equivalence_p",
    "robustness_value",
    "robustness_value_alpha",
    "sd_score",
    "sd_measure",
)
_TERM = ("estimate", "std_error", "ci_low", "ci_high", "df", "p_value", "n_used")
_NUMBERS = ("smallest_slope", "equivalence_p", "robustness_value", "robustness_value_alpha")


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Result, kind="comparison"):
    """Links of several settings, each on its own terms; nothing is pooled.

    `frame` has one row a link: ``setting``, ``title``, ``link``, ``role`` and ``because``;
    what is linked (``outcome_label``, ``outcome_unit``, ``measure``, ``measure_label``,
    ``measure_unit``, ``estimand_group``, ``within``, ``basis``, ``controls``, ``absorb``);
    the coefficient in native units with its inference (``estimate``, ``std_error``,
    ``ci_low``, ``ci_high``, ``df``, ``p_value``, ``n_used``, ``n_clusters``,
    ``clustered``); ``slope`` in SD of score per ``per`` units and ``slope_sd`` in SD of
    score per SD of the measure, each with ``…_low`` and ``…_high``; ``detectable`` and
    ``detectable_sd``, the slopes found in four of five such samples; ``smallest_slope``,
    ``equivalence`` and ``equivalence_p``; ``without_sd_low`` and ``without_sd_high``, the
    range of ``slope_sd`` when each cluster is left out, and which; ``robustness_value``
    and ``robustness_value_alpha``. Settings stand in the order given, and in each the
    main links come first.
    """

    def headline(self) -> str:
        """Return how many main links have which sign, in one sentence."""
        main = self.frame[self.frame["role"] == "main"]
        if main.empty:
            return f"No main link among the {len(self.frame)} that are shown."
        settings = main["setting"].nunique()
        span = f"{main['slope_sd'].min():.2f} to {main['slope_sd'].max():.2f}"
        links = f"{len(main)} main link{'s' * (len(main) > 1)}"
        return (
            f"Of {links} in {settings} setting{'s' * (settings > 1)}, {count_intervals(main)}; "
            f"slopes run from {span} SD of score per SD of the measure and are not pooled."
        )

    def summary(self) -> pd.DataFrame:
        """Return slopes in native units: settings in order, main links first."""
        rows = self.frame
        return pd.DataFrame(
            {
                "setting": rows["title"],
                "link": rows["link"],
                "role": rows["role"],
                "slope": rows["estimate"] * rows["per"],
                "low": rows["ci_low"] * rows["per"],
                "high": rows["ci_high"] * rows["per"],
                "unit": [native_unit(row) for _, row in rows.iterrows()],
                "sd_per_sd": rows["slope_sd"],
                "p_value": rows["p_value"],
                "df": rows["df"],
                "n_used": rows["n_used"],
                "n_clusters": rows["n_clusters"],
                "equivalence": rows["equivalence"].fillna("–"),
            }
        )

    def methods_text(self) -> str:
        """Return one paragraph that says what was done, with citation keys."""
        rows = self.frame
        equivalent = (
            " Where a smallest slope of interest was stated, two one-sided tests say whether "
            "slopes of that size are ruled out [@Schuirmann1987]."
            if rows["smallest_slope"].notna().any()
            else ""
        )
        robust = (
            " Robustness values give the share of the residual variance of both measure and score "
            "that an omitted variable would have to explain to take the estimate, or its "
            "interval, to zero [@CinelliHazlett2020]; they rest on the classical t statistic and "
            "do not know of clusters."
            if rows["robustness_value"].notna().any()
            else ""
        )
        return (
            f"{len(rows)} links of {rows['setting'].nunique()} settings were estimated apart, "
            "each with the measure, controls, fixed effects and clusters of its setting; standard "
            "errors are CR2 and intervals use Satterthwaite degrees of freedom, unless a link says "
            "otherwise "
            "[@BellMcCaffrey2002; @PustejovskyTipton2018]. To be seen side by side they are "
            "given in standard deviations of the score per standard deviation of the measure, "
            "both of the sample of estimation, that of the score corrected for error where its "
            "reliability is known; these differ between settings, so that sizes are not comparable "
            f"as signs and intervals are.{equivalent}{robust} Intervals stand alone, without "
            "correction for the number of links. No slope is pooled. All are associations between "
            "the units observed."
        )

    def findings(self) -> list[str]:
        """Return what the links show, sentence by sentence, computed from the frame.

        Returns
        -------
        list of str
            The count over settings; each main link, with what a null can rule out; second
            and robustness rows that are compatible with zero; rows of one setting that
            disagree; what hangs on one cluster; what an omitted variable would need; what
            cannot be told apart; what warnings would have shown; why nothing is pooled.
        """
        return findings_of(self.frame)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw each link in SD of score per SD of the measure, and return the axes."""
        rows = self.frame
        n_lines = len(rows) + rows["setting"].nunique()
        ax = plots.new_axes(ax, (9.0, 1.3 + 0.27 * n_lines))
        with plots.styled():
            _draw_forest(ax, rows)
        return ax

    def _with(self, *roles: str) -> pd.DataFrame:
        return self.frame[self.frame["role"].isin(roles)]


def compare_settings(
    links: Mapping[str, Mapping[str, LinkResult]], *, titles: Mapping[str, str]
) -> Comparison:
    """Put the links of several settings side by side, without pooling them.

    Parameters
    ----------
    links : mapping of str to mapping of str to LinkResult
        Links by setting and by name. Their ``details`` say ``role`` (main, second,
        robustness, warning), ``because``, whether they follow units ``within`` themselves
        over time, the ``basis`` of the accounts, equivalence and robustness values.
    titles : mapping of str to str
        What each setting is called.

    Returns
    -------
    Comparison

    Raises
    ------
    SpecError
        With every setting without a link or a title, every link that is no `LinkResult`,
        lacks a detail, has an unknown role, or another level than the first.

    Notes
    -----
    A slope in SD of score per SD of the measure has the spread of the sample in it: two
    settings can share a slope in native units and differ in it. It serves to show signs
    and intervals in one picture, not to compare sizes, and no average is formed.

    Examples
    --------
    >>> compare_settings({}, titles={})
    Traceback (most recent call last):
    lgpi_research.errors.SpecError: 1 problem in the comparison
    - links: no setting is given.
    """
    _check(links, titles)
    rows = []
    for setting, named in links.items():
        ordered = sorted(named, key=lambda name: ROLES.index(named[name].details["role"]))
        rows += [_row(setting, titles[setting], name, named[name]) for name in ordered]
    frame = pd.DataFrame(rows)
    frame[list(_NUMBERS)] = frame[list(_NUMBERS)].astype("float64")
    told = provenance(
        specification={"titles": {setting: titles[setting] for setting in links}},
        data={
            f"{setting}: {name}": link.digest()
            for setting, named in links.items()
            for name, link in named.items()
        },
    )
    return Comparison(frame, told, tuple(_notes(frame)))


def _check(links: Mapping[str, Mapping[str, LinkResult]], titles: Mapping[str, str]) -> None:
    """Refuse what cannot be compared, all at once."""
    problems = Problems("the comparison")
    if not links:
        problems.add("links: no setting is given.")
    levels = dict[float, str]()
    for setting, named in links.items():
        if setting not in titles:
            problems.add(f"titles: {setting!r} has none.{nearest(setting, titles)}")
        if not named:
            problems.add(f"{setting}: has no link; leave the setting out.")
        for name, link in named.items():
            where = f"{setting}, {name}"
            if not isinstance(link, LinkResult):
                problems.add(f"{where}: must be a LinkResult, got {type(link).__name__}.")
                continue
            absent = [key for key in _TOLD if key not in link.details]
            if absent:
                problems.add(f"{where}: its details lack {listing(absent, 8)}.")
                continue
            role = link.details["role"]
            if role not in ROLES:
                hint = nearest(str(role), ROLES)
                problems.add(f"{where}: role must be {' or '.join(ROLES)}, got {role!r}.{hint}")
            levels.setdefault(link.details["level"], where)
    if len(levels) > 1:
        told = "; ".join(f"{level:g} first in {where}" for level, where in levels.items())
        problems.add(f"level: the links have {len(levels)} levels ({told}). Use one for all.")
    problems.raise_any(SpecError)


def _row(setting: str, title: str, name: str, link: LinkResult) -> dict[str, Any]:
    """Return the row of one link."""
    told, measure = link.details, link.measure
    to_sd = told["sd_measure"] / told["sd_score"]
    found = {key: told[key] for key in _TOLD}
    found |= {key: measure[key] for key in _TERM}
    for key in ("because", "basis"):
        found[key] = told[key] or ""
    for end in ("low", "high"):
        slope = told.get(f"without_{end}")
        found[f"without_sd_{end}"] = np.nan if slope is None else slope * to_sd
        found[f"without_{end}_cluster"] = told.get(f"without_{end}_cluster", "")
    return {
        "setting": setting,
        "title": title,
        "link": name,
        **found,
        "mechanical": bool(told.get("mechanical", False)),
        "controls": ", ".join(term for term in told["terms"] if term != told["measure"]),
        "absorb": ", ".join(told["absorb"]),
        "detectable_sd": told["detectable"] * told["sd_measure"] / told["per"],
    }


def _notes(frame: pd.DataFrame) -> Iterator[str]:
    """Return what is set aside, and what is unknown of which links."""
    warned = frame[frame["role"] == "warning"]
    if len(warned):
        names = "; ".join(short_name(row) for _, row in warned.iterrows())
        yield f"Warnings, part of no count: {len(warned)} of {len(frame)} links ({names})."
    without = [
        str(title)
        for title, rows in frame.groupby("title", sort=False)
        if not (rows["role"] == "main").any()
    ]
    if without:
        yield f"Settings without a main link: {'; '.join(without)}."
    for column, text in (
        ("smallest_slope", "without a smallest slope of interest, so not tested for equivalence"),
        ("robustness_value", "without a robustness value"),
        ("without_sd_low", "without a range over left-out clusters"),
    ):
        count = int(frame[column].isna().sum())
        if count:
            yield f"Links {text}: {count} of {len(frame)}."
    few = frame[frame["df"] < FEW_DF]
    if len(few):
        names = "; ".join(short_name(row) for _, row in few.iterrows())
        yield f"Links with fewer than {FEW_DF:g} degrees of freedom: {names}."


# The picture

_FONT = 8.5  # points
_NAME = 48  # letters of a link before its name is broken off
_PAD = 8.0  # points between columns
MARKS = ("o", "s")  # of other links, and of main ones


def _width(texts: list[str], weight: str = "normal") -> float:
    """Return the width of the widest text in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(family="DejaVu Sans", weight=weight)
    paths = [TextPath((0, 0), text, size=_FONT, prop=font) for text in texts if text]
    return max((path.get_extents().width for path in paths), default=0.0)


def _name(row: pd.Series[Any]) -> str:
    mark = " (mechanical)" if row["mechanical"] else " (warning)"
    suffix = mark if row["role"] == "warning" else ""
    name = str(row["link"])
    return (name if len(name) <= _NAME else f"{name[: _NAME - 1].rstrip()}…") + suffix


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the axis: intervals of few degrees of freedom may reach beyond."""
    usual = rows[rows["df"] >= FEW_DF]
    usual = rows if usual.empty else usual
    low = min(0.0, usual["slope_sd_low"].min(), rows["slope_sd"].min())
    high = max(0.0, usual["slope_sd_high"].max(), rows["slope_sd"].max())
    margin = 0.06 * (high - low)
    return low - margin, high + margin


def _draw_forest(ax: Axes, rows: pd.DataFrame) -> None:
    """Draw the rows of the forest, its columns of text, and the legend."""
    names = [_name(row) for _, row in rows.iterrows()]
    numbers = [_interval_text(row) for _, row in rows.iterrows()]
    groups = [f"{row['n_clusters']:,}" if row["clustered"] else "–" for _, row in rows.iterrows()]
    left = -(_PAD + max(_width(names, "bold") + 10, _width(list(rows["title"]), "bold")))
    second = _PAD + _width([*numbers, "SD per SD [interval]"], "bold") + 2 * _PAD
    third = second + _width([*groups, "clusters"], "bold")
    low, high = _limits(rows)

    def write(text: str, line: float, at: float, **style: Any) -> None:
        side = 1.0 if at > 0 else 0.0
        ax.annotate(
            text,
            (side, line),
            (at, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=_FONT,
            va="center",
            annotation_clip=False,
            **style,
        )

    line, previous = -1, None
    for (_, row), name, number, group in zip(rows.iterrows(), names, numbers, groups, strict=True):
        if row["setting"] != previous:
            line, previous = line + 1, row["setting"]
            write(str(row["title"]), line, left, fontweight="bold")
            ax.axhline(line - 0.5, color="#E4E7EB", linewidth=0.8)
        line += 1
        weight = "bold" if row["role"] == "main" else "normal"
        colour = plots.COLOURS["second" if row["role"] == "warning" else "text"]
        write(name, line, left + 10, fontweight=weight, color=colour)
        write(number, line, _PAD, fontweight=weight, color=colour)
        write(group, line, third, fontweight=weight, color=colour, ha="right")
        _draw_row(ax, row, line, (low, high))
    write("SD per SD [interval]", -1.1, _PAD, color=plots.COLOURS["quiet"])
    write("clusters", -1.1, third, color=plots.COLOURS["quiet"], ha="right")
    ax.axvline(0.0, color=plots.COLOURS["text"], linewidth=0.9, zorder=1)
    ax.set_xlim(low, high)
    ax.set_ylim(line + 0.7, -0.6)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False, axis="y")
    level = f"{100 * rows['level'].iloc[0]:g} %"
    ax.set_xlabel(f"SD of score per SD of the measure, {level} interval; slopes are not pooled")
    _legend(ax, rows, (low, high))


def _interval_text(row: pd.Series[Any]) -> str:
    value, low, high = (row[f"slope_sd{end}"] for end in ("", "_low", "_high"))
    return f"{value:z.2f} [{low:z.2f}, {high:z.2f}]".replace("-", "−")


def _look(role: str) -> tuple[str, bool, float, float]:
    """Return colour, whether the point is filled, its size and the width of the line."""
    return {
        "main": (plots.COLOURS["main"], True, 42.0, 2.4),
        "second": (plots.COLOURS["main"], False, 26.0, 1.3),
        "robustness": (plots.COLOURS["quiet"], False, 22.0, 1.3),
        "warning": (plots.COLOURS["second"], False, 26.0, 1.3),
    }[role]


def _style(df: float) -> tuple[float, tuple[float, ...]]:
    return (0, (3, 2)) if df < FEW_DF else (0, ())


def _draw_row(ax: Axes, row: pd.Series[Any], line: float, limits: tuple[float, float]) -> None:
    """Draw one interval; an arrow where it goes on beyond the axis."""
    colour, filled, size, width = _look(row["role"])
    low, high = (float(np.clip(row[f"slope_sd_{end}"], *limits)) for end in ("low", "high"))
    ax.hlines(line, low, high, color=colour, linewidth=width, linestyle=_style(row["df"]))
    for end, mark, limit in (("low", "<", limits[0]), ("high", ">", limits[1])):
        if row[f"slope_sd_{end}"] * math.copysign(1, limit) > abs(limit):
            ax.scatter(limit, line, marker=mark, s=26, color=colour, clip_on=False, zorder=3)
    ax.scatter(
        row["slope_sd"],
        line,
        s=size,
        marker=MARKS[row["role"] == "main"],
        facecolor=colour if filled else "white",
        edgecolor=colour,
        linewidth=1.3,
        zorder=4,
    )


def _legend(ax: Axes, rows: pd.DataFrame, limits: tuple[float, float]) -> None:
    """Explain the roles that are shown, below the axis."""
    from matplotlib.lines import Line2D

    handles = []
    for role in ROLES:
        if (rows["role"] == role).any():
            colour, filled, size, width = _look(role)
            handles.append(
                Line2D(
                    [],
                    [],
                    color=colour,
                    linewidth=width,
                    marker=MARKS[role == "main"],
                    markersize=math.sqrt(size),
                    markerfacecolor=colour if filled else "white",
                    label=f"{role} (no finding)" if role == "warning" else role,
                )
            )
    if (rows["df"] < FEW_DF).any():
        label = f"fewer than {FEW_DF:g} degrees of freedom"
        beyond = (rows["slope_sd_low"] < limits[0]) | (rows["slope_sd_high"] > limits[1])
        label += ", arrow: goes on" if beyond.any() else ""
        quiet = plots.COLOURS["text"]
        handles.append(Line2D([], [], color=quiet, linewidth=1.3, linestyle=_style(0), label=label))
    ax.figure.legend(
        handles=handles, loc="outside lower center", ncols=5, fontsize=_FONT, columnspacing=1.4
    )
