"""Specification curves: one link under every combination of outcomes and designs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lgpi_research import plots
from lgpi_research.blocks import digest
from lgpi_research.errors import LGPIError, Problems, SpecError, listing
from lgpi_research.formula import Factor, Formula, Term, parse_formula
from lgpi_research.links import LinkResult, link_autonomy
from lgpi_research.results import Result, provenance
from lgpi_research.spec import LinkDesign
from lgpi_research.tables import cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SpecificationCurve", "compare_specifications", "control_subsets"]

STATED = "as stated"
"""Name of the design that the others are made from."""

MOST_LABELS = 40
"""Choices from which the dashboard of the picture would be unreadable, and is left out."""

_ENDS = ("", "_low", "_high")


@dataclass(frozen=True, eq=False, repr=False)
class SpecificationCurve(Result, kind="specifications"):
    """One link under many specifications: a description, not a test.

    `frame` has one row a specification that could be estimated, in the order given:
    ``outcome`` and ``design`` (its name), ``preferred`` (the first of each),
    ``measure_label``, ``measure_unit``, ``per``, ``per_label``, ``estimand_group``; ``slope`` in
    SD of score per ``per`` units of the measure and ``slope_sd`` in SD of score per SD of the
    measure, each with ``…_low`` and ``…_high``; ``p_value``, ``df``, ``n_used``,
    ``n_clusters``. ``details["refused"]`` names those that could not, with the reason.
    """

    @property
    def _column(self) -> str:
        """The slope that all rows can be compared by."""
        return "slope" if self.details["one_measure"] else "slope_sd"

    def _measures(self) -> str:
        """Name the measure, or the first one and how many others there are."""
        others = self.frame["measure_label"].nunique() - 1
        more = f" (or {others} other measure{'s' * (others > 1)})" if others else ""
        return f"{self.details['measure_label']}{more}"

    @property
    def _unit(self) -> str:
        if not self.details["one_measure"]:
            return "SD of score per SD of the measure"
        first = self.frame.iloc[0]
        return f"SD of score per {first['per_label']}"

    def headline(self) -> str:
        """Return how many specifications have which sign, in one sentence."""
        value, low, high = (self.frame[self._column + end] for end in _ENDS)
        n, level = len(self.frame), f"{100 * self.details['level']:g} %"
        return (
            f"Of {_count(n)} of the link with {self._measures()}, "
            f"{int((value > 0).sum())} have a positive slope, {int((low > 0).sum())} with a "
            f"{level} interval above 0, and {int((high < 0).sum())} an interval below 0; the "
            f"median slope is {cell(float(value.median()))} {self._unit}, the range "
            f"{cell(float(value.min()))} to {cell(float(value.max()))}."
        )

    def summary(self) -> pd.DataFrame:
        """Return for each outcome and each design the slopes over all the others."""
        column = self._column
        rows = []
        for kind in ("outcome", "design"):
            for name, part in self.frame.groupby(kind, sort=False):
                rows.append(
                    {
                        "choice": kind,
                        "name": name,
                        "specifications": len(part),
                        "positive": int((part[column] > 0).sum()),
                        "above_0": int((part[f"{column}_low"] > 0).sum()),
                        "below_0": int((part[f"{column}_high"] < 0).sum()),
                        "lowest": part[column].min(),
                        "median": part[column].median(),
                        "highest": part[column].max(),
                    }
                )
        return pd.DataFrame(rows)

    def methods_text(self) -> str:
        """Return one paragraph that says what was done, with citation keys."""
        told = self.details
        refused = f" {len(told['refused'])} could not be estimated." if told["refused"] else ""
        return (
            f"The link was estimated under every combination of {told['n_outcomes']} constructions "
            f"of the outcome and {told['n_designs']} designs [@Simonsohn2020]: {len(self.frame)} "
            f"specifications.{refused} Each slope has its own interval with the inference of its "
            "design. The curve describes what the slope hangs on: the specifications share their "
            "data, so counts of intervals are no test. A joint test resamples clusters with the "
            "null imposed on all specifications together; it is not made here."
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw sorted slopes above a dashboard of their choices; return the upper axes.

        The dashboard is left out, and this is said below the slopes, if there are more than
        `MOST_LABELS` choices, or if `ax` is no part of a grid that could hold it.
        """
        ordered = self.frame.sort_values(self._column, kind="stable").reset_index(drop=True)
        choices = [
            (kind, name)
            for kind in ("outcome", "design")
            for name in self.frame[kind].unique()
            if self.frame[kind].nunique() > 1
        ]
        shown = choices if len(choices) <= MOST_LABELS else []
        heights = [0.3 + 0.7 * len(textwrap.wrap(name, plots.WRAP)) for _, name in shown]
        upper, lower = 2.6, 0.3 + 0.19 * sum(heights)
        ax = plots.new_axes(ax, (6.4, upper + (lower + 0.5 if shown else 0.9)))
        place = ax.get_subplotspec()
        self._draw_slopes(ax, ordered)
        title = textwrap.wrap(f"{_count(len(ordered))} of the link with {self._measures()}", 46)
        unit = textwrap.wrap(self._unit, 26)
        plots.describe(ax, "\n".join(title), y="\n".join(unit))
        if place is None or not shown:
            left_out = " (choices: see the summary)" if choices else ""
            return plots.describe(ax, x=f"specifications, by slope{left_out}")
        with plots.styled():
            grid = place.subgridspec(2, 1, height_ratios=(upper, lower), hspace=0.02)
            ax.set_subplotspec(grid[0])
            below = ax.figure.add_subplot(grid[1], sharex=ax)
            _draw_choices(below, ordered, shown, heights)
            ax.tick_params(labelbottom=False, bottom=False)
        plots.describe(below, x="specifications, by slope")
        return ax

    def _draw_slopes(self, ax: Axes, ordered: pd.DataFrame) -> None:
        """Draw each slope with its interval; the preferred one stands out."""
        value, low, high = (ordered[self._column + end].to_numpy() for end in _ENDS)
        at, preferred = np.arange(len(ordered)), ordered["preferred"].to_numpy()
        clear = (low > 0) | (high < 0)
        width = float(np.clip(160 / len(ordered), 0.8, 3.0))
        with plots.styled():
            for chosen, colour, label in (
                (clear & ~preferred, "main", "interval without 0"),
                (~clear & ~preferred, "quiet", "interval with 0"),
                (preferred, "second", "preferred"),
            ):
                if not chosen.any():
                    continue
                paint = plots.COLOURS[colour]
                ax.vlines(
                    at[chosen], low[chosen], high[chosen], color=paint, linewidth=width, alpha=0.5
                )
                marks = ax.scatter(
                    at[chosen], value[chosen], color=paint, linewidths=0, label=label
                )
                marks.set(sizes=[4 * width**1.5 + 22 * (colour == "second")])
                marks.set_zorder(4 if colour == "second" else 3)
            ax.axhline(0.0, color=plots.COLOURS["text"], linewidth=0.8)
            ax.set_xlim(-0.8, len(ordered) - 0.2)
            ax.set_xticks([])
            ax.grid(visible=False, axis="x")
            bottom, top = ax.get_ylim()
            ax.set_ylim(bottom - 0.16 * (top - bottom), top)  # room for the legend
            ax.legend(
                loc="lower right", fontsize=8.5, ncols=3, handletextpad=0.2, columnspacing=1.0
            )


def _count(n: int) -> str:
    return f"{n:,} specification{'s' * (n != 1)}"


def _draw_choices(
    ax: Axes, ordered: pd.DataFrame, choices: list[tuple[str, str]], heights: list[float]
) -> None:
    """Draw a dot in the row of each choice that a specification makes."""
    edges = np.concatenate([[0.0], np.cumsum(heights)])
    gap = 0.6  # between outcomes and designs
    middles = (edges[:-1] + edges[1:]) / 2
    kinds = np.array([kind for kind, _ in choices])
    middles = middles + gap * (kinds != kinds[0])
    size = float(np.clip(1800 / len(ordered), 3, 22))
    for number, ((kind, name), middle) in enumerate(zip(choices, middles, strict=True)):
        at = np.flatnonzero(ordered[kind] == name)
        picked = ordered["preferred"].to_numpy()[at]
        if number % 2:
            half = heights[number] / 2
            ax.axhspan(middle - half, middle + half, color="#F3F5F7", linewidth=0, zorder=0)
        for rows, colour in ((at[~picked], "text"), (at[picked], "second")):
            paint = plots.COLOURS[colour]
            at_middle = np.full(len(rows), middle)
            ax.scatter(rows, at_middle, s=size, marker="s", color=paint, linewidths=0, zorder=3)
    names = ["\n".join(textwrap.wrap(name, plots.WRAP)) for _, name in choices]
    ax.set_yticks(middles, names, fontsize=8.5, linespacing=1.0)
    ax.set_ylim(middles[-1] + heights[-1] / 2 + 0.2, -0.2)
    ax.set_xticks([])
    ax.tick_params(left=False)
    ax.grid(visible=False)
    for side in ax.spines.values():
        side.set_visible(False)


def _text(formula: Formula, terms: list[Term]) -> str:
    """Write a formula with other terms, its outcome and effects kept."""
    effects = ("^".join(str(Factor(c)) for c in columns) for columns in formula.absorb_columns)
    text = f"{formula.outcome} ~ {' + '.join(map(str, terms))}"
    return f"{text} | {' + '.join(effects)}" if formula.absorb else text


def control_subsets(
    design: LinkDesign, *, measures: Mapping[str, LinkDesign] | None = None
) -> dict[str, LinkDesign]:
    """Return a design, the same without each control, and without any.

    Parameters
    ----------
    design : LinkDesign
        What is claimed. Its absorbed effects, clusters and all else are kept.
    measures : mapping of str to LinkDesign, optional
        Designs of other measures by name; each comes with its subsets too.

    Returns
    -------
    dict of str to LinkDesign
        By a name that says what differs, the design itself first. A control goes together
        with every interaction that holds it.

    Raises
    ------
    SpecError
        If an alternative has the name of a subset.

    Examples
    --------
    >>> claim = LinkDesign("score ~ own_share + log(people) + area | oblast", cluster="oblast")
    >>> for name, other in control_subsets(claim).items():
    ...     print(f"{name}: {other.formula}")
    as stated: score ~ own_share + log(people) + area | oblast
    without log(people): score ~ own_share + area | oblast
    without area: score ~ own_share + log(people) | oblast
    without controls: score ~ own_share | oblast
    """
    formula = parse_formula(design.formula)
    measure = next(term for term in formula.terms if str(term) == design.measure)
    controls = [term for term in formula.terms if term != measure]
    found = {STATED: design}
    kept = {
        f"without {control}": [
            term
            for term in formula.terms
            if term == measure or not set(control.factors) <= set(term.factors)
        ]
        for control in controls
    }
    if len(controls) > 1:
        kept["without controls"] = [measure]
    for name, terms in kept.items():
        found[name] = design.change(formula=_text(formula, terms), measure=design.measure)
    for label, other in (measures or {}).items():
        for name, subset in control_subsets(other).items():
            key = label if name == STATED else f"{label}, {name}"
            if key in found:
                raise SpecError(f"measures: {key!r} is the name of another design already.")
            found[key] = subset
    return found


def compare_specifications(
    tables: Mapping[str, pd.DataFrame],
    designs: Mapping[str, LinkDesign],
    *,
    level: float = 0.95,
) -> SpecificationCurve:
    """Estimate a link under every combination of outcomes and designs.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Constructions of the outcome by name, the preferred one first: each the whole table
        of the link, with the outcome that the designs name (``score``).
    designs : mapping of str to LinkDesign
        Designs by name, the preferred one first; see `control_subsets`.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    SpecificationCurve

    Raises
    ------
    SpecError
        If there is no table or no design, or the designs have different outcomes.
    DataError, SpecError, MethodError
        If the preferred specification, the first of each, cannot be estimated. Others that
        cannot are left out, named and counted in the notes.

    Notes
    -----
    A specification curve [1]_ describes. Its slopes share one set of units, so they are
    not independent, and the share that is positive has no error rate. Designs of several
    measures have several estimands, which is said.

    References
    ----------
    .. [1] Simonsohn, U., Simmons, J. P., and Nelson, L. D. (2020). Specification curve
       analysis. *Nature Human Behaviour*, 4, 1208-1214.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> places = pd.DataFrame({"oblast": np.repeat(list("abcdefgh"), 20),
    ...                        "own_share": rng.uniform(0.1, 0.9, 160),
    ...                        "people": rng.lognormal(9, 1, 160)})
    >>> places["score"] = 2 * places["own_share"] + rng.normal(0, 1, 160)
    >>> claim = LinkDesign("score ~ own_share + log(people) | oblast", cluster="oblast")
    >>> curve = compare_specifications({"equal weights": places}, control_subsets(claim))
    >>> curve.frame[["design", "preferred", "n_used"]]
                    design  preferred  n_used
    0            as stated       True     160
    1  without log(people)      False     160
    """
    _check(tables, designs)
    rows, refused = list[dict[str, Any]](), list[dict[str, str]]()
    for outcome, table in tables.items():
        for name, design in designs.items():
            preferred = not rows and not refused
            try:
                link = link_autonomy(table, design, level=level)
            except LGPIError as error:
                if preferred:
                    raise
                reason = "; ".join(" ".join(str(problem).split()) for problem in error.problems)
                refused.append({"outcome": outcome, "design": name, "reason": reason})
                continue
            rows.append({"outcome": outcome, "design": name, "preferred": preferred} | _row(link))
    frame = pd.DataFrame(rows)
    details = {
        "measure_label": frame["measure_label"].iloc[0],
        "one_measure": len(frame[["measure_label", "measure_unit", "per"]].drop_duplicates()) == 1,
        "level": level,
        "n_outcomes": len(tables),
        "n_designs": len(designs),
        "refused": refused,
    }
    told = provenance(
        specification={name: design.describe() for name, design in designs.items()},
        data={name: digest(_used(table, designs)) for name, table in tables.items()},
        level=level,
    )
    return SpecificationCurve(frame, told, tuple(_notes(frame, details)), {}, details)


def _used(table: pd.DataFrame, designs: Mapping[str, LinkDesign]) -> pd.DataFrame:
    """Return the columns of a table that some design names."""
    named = {
        name
        for design in designs.values()
        for name in (
            *parse_formula(design.formula).columns,
            design.cluster,
            design.average,
            *design.where,
        )
    }
    return table[[name for name in table.columns if name in named]]


def _row(link: LinkResult) -> dict[str, Any]:
    """Return the measure and its slope of one specification."""
    told, row = link.details, link.measure
    named = ("measure_label", "measure_unit", "per", "per_label", "estimand_group")
    slopes = [f"{slope}{end}" for slope in ("slope", "slope_sd") for end in _ENDS]
    return {
        **{key: told[key] for key in (*named, *slopes)},
        "p_value": float(row["p_value"]),
        "df": float(row["df"]),
        "n_used": int(row["n_used"]),
        "n_clusters": told["n_clusters"],
    }


def _check(tables: Mapping[str, pd.DataFrame], designs: Mapping[str, LinkDesign]) -> None:
    problems = Problems("the specification curve")
    for kind, given in (("tables", tables), ("designs", designs)):
        if not given:
            problems.add(f"{kind}: none is given; name at least one, the preferred one first.")
    outcomes = {str(parse_formula(design.formula).outcome) for design in designs.values()}
    if len(outcomes) > 1:
        problems.add(
            f"designs: have {len(outcomes)} outcomes ({listing(sorted(outcomes))}); name them all "
            "alike, and give each construction of the outcome as a table."
        )
    problems.raise_any(SpecError)


def _notes(frame: pd.DataFrame, told: Mapping[str, Any]) -> list[str]:
    """Return what was left out, and what keeps the rows from being compared."""
    notes = []
    total = told["n_outcomes"] * told["n_designs"]
    if told["refused"]:
        notes.append(f"{len(told['refused'])} of {total} specifications could not be estimated:")
        notes.extend(
            f"{item['outcome']}, {item['design']}: {item['reason']}" for item in told["refused"]
        )
    if not told["one_measure"]:
        labels = listing(frame["measure_label"].drop_duplicates(), 8)
        notes.append(
            f"The designs have several measures or steps ({labels}), so several estimands; their "
            "slopes are shown in SD of score per SD of the measure."
        )
    if frame["n_used"].nunique() > 1:
        notes.append(
            f"The units used differ between specifications ({frame['n_used'].min():,} to "
            f"{frame['n_used'].max():,}), so part of the differences is one of units."
        )
    return notes
