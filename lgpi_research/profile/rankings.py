"""Two published rankings of the same units, and why they differ."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from lgpi_research import plots
from lgpi_research.columns import to_numeric
from lgpi_research.errors import MethodError, Problems, SpecError, listing, nearest
from lgpi_research.methods.ranks import rank_scores
from lgpi_research.profile.common import Tables, check_key, take
from lgpi_research.results import Result, provenance
from lgpi_research.tables import cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Rankings", "describe_rankings"]

EXACT = 1e-9
"""Largest misfit at which weights recovered from published scores count as theirs."""


@dataclass(frozen=True, eq=False, repr=False)
class Rankings(Result, kind="profile_rankings"):
    """Two published rankings of the same units, and where they part.

    ``frame`` has one row a unit with both scores: ``unit``, ``label``, ``score_first``,
    ``score_second``, ``rank_first``, ``rank_second`` (1 highest) and ``change`` (places
    gained from the first to the second). Where the scores are reproduced as weighted sums,
    ``shift_…`` holds, for each dimension, what the change of its weights adds to the score
    of the unit beyond what it adds to the mean unit, and ``shift`` their sum. Where cells
    are flagged as wrong, ``rank_first_best`` to ``rank_second_worst`` bound the ranks.
    """

    def headline(self) -> str:
        """Return how far the rankings agree and who moves most."""
        told = self.details
        movers = self.summary().head(2)
        text = "; ".join(_move_text(row) for row in movers.to_dict("records") if row["change"])
        return (
            f"{len(self.frame)} units in two published rankings ({told['first']}; "
            f"{told['second']}): Kendall's tau {told['kendall']:.2f}, Spearman "
            f"{told['spearman']:.2f}. {text or 'No unit moves'}.{self._doubt()}"
        )

    def _doubt(self) -> str:
        """Say what the lead of the first ranking hangs on, if it rests on flagged cells."""
        if "flagged" not in self.frame:
            return ""
        leaders = self.frame[(self.frame["rank_first"] == 1) & self.frame["flagged"]]
        return "".join(
            f" The first place of {row['label']} rests on cells known to be wrong or implausible: "
            f"its rank could be {_range_text(row, 'first')}."
            for row in leaders.to_dict("records")
        )

    def summary(self) -> pd.DataFrame:
        """Return units by how far they move, with the dimension that moves each most."""
        size = self.frame["change"].abs()
        table = self.frame.assign(size=size).sort_values(
            ["size", "rank_first"], ascending=[False, True], kind="stable"
        )
        columns = ["label", "rank_first", "rank_second", "change"]
        dimensions = self.details["dimensions"]
        if dimensions:
            shifts = table[[f"shift_{name}" for name in dimensions]].to_numpy()
            pushed = shifts * np.sign(table["change"].to_numpy())[:, None]
            best = pushed.argmax(axis=1)
            moved = pushed.max(axis=1) > 0
            names = np.asarray(dimensions, dtype=object)[best]
            table = table.assign(main_reason=np.where(moved, names, ""))
            columns += ["main_reason"]
        columns += [
            str(name)
            for name in self.frame
            if str(name).startswith(("rank_first_", "rank_second_"))
        ]
        return table[columns].reset_index(drop=True)

    def methods_text(self) -> str:
        """Return how the rankings were compared and their scores reproduced."""
        told = self.details
        text = (
            f"The published scores ({told['first']}; {told['second']}) rank {len(self.frame)} "
            "units, 1 being the highest score. Agreement is Kendall's tau-b and Spearman's rank "
            "correlation. "
        )
        if told["dimensions"]:
            text += (
                f"Both scores are weighted sums of {len(told['weights'])} scaled indicators: the "
                "weights were recovered by least squares and reproduce them to "
                f"{told['misfit']:.0e}. The change of a score, less the mean change, is then "
                "exactly the sum over indicators of the change of weight times the distance of "
                "the unit from the mean indicator; it is given by dimension. "
            )
        else:
            text += "The scores could not be reproduced from the indicators; no reason is given. "
        if told["n_flagged"]:
            text += (
                f"Best and worst ranks let each of {told['n_flagged']} cells known to be wrong or "
                "implausible take any scaled value from 0 to 1, and hold all other cells. "
            )
        return text + "This compares choices of weights; it says nothing of fiscal autonomy."

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw a line for each unit from its first to its second rank; return the axes."""
        frame = self.frame
        ax = plots.new_axes(ax, (6.8, 1.3 + 0.235 * len(frame)))
        least = frame["change"].abs().nlargest(6).min()
        marked = "rank_first_best" in frame and frame["flagged"].any()
        sides = [("rank_first", 0.0, "right"), ("rank_second", 1.0, "left")]
        with plots.styled():
            for side, x, align in sides:
                spots = _spread(frame[side].to_numpy())
                for (_, row), y in zip(frame.iterrows(), spots, strict=True):
                    moves = abs(row["change"]) >= max(least, 1)
                    star = "*" if marked and row["flagged"] else ""
                    rank, label = cell(row[side], "rank"), f"{row['label']}{star}"
                    ax.text(
                        x + (-0.03 if align == "right" else 0.03), y,
                        f"{label}  {rank}" if align == "right" else f"{rank}  {label}",
                        ha=align, va="center", fontsize=8.5,
                        color=plots.COLOURS["text" if moves else "quiet"],
                    )  # fmt: skip
            first, second = (_spread(frame[side].to_numpy()) for side, *_ in sides)
            for a, b, change in zip(first, second, frame["change"], strict=True):
                moves = abs(change) >= max(least, 1)
                name = ("main" if change > 0 else "second") if moves else "quiet"
                ax.plot([0, 1], [a, b], color=plots.COLOURS[name], marker="o", markersize=3.5,
                        linewidth=1.8 if moves else 0.8, alpha=1.0 if moves else 0.6)  # fmt: skip
            ax.set_xlim(-0.75, 1.75)
            ax.set_ylim(max(first.max(), second.max()) + 0.8, 0.2)
            ax.set_xticks([0, 1], [self.details["first"], self.details["second"]])
            ax.xaxis.tick_top()
            ax.tick_params(axis="x", length=0)
            ax.set_yticks([])
            ax.grid(visible=False)
            for spine in ax.spines.values():
                spine.set_visible(False)
        foot = ["blue rises, orange falls: the units that move most"] * bool(frame["change"].any())
        foot += ["* the score rests on cells known to be wrong or implausible"] * bool(marked)
        return plots.describe(ax, "Rank under two published weightings", "\n".join(foot))


def _move_text(row: Mapping[Hashable, Any]) -> str:
    """Say from which rank a unit moves to which, and which dimension moves it."""
    first, second = (cell(row[name], "rank") for name in ("rank_first", "rank_second"))
    reason = f", mainly by {row['main_reason']}" if row.get("main_reason") else ""
    verb = "rises" if row["change"] > 0 else "falls"
    return f"{row['label']} {verb} from {first} to {second}{reason}"


def _spread(places: np.ndarray, gap: float = 1.0) -> np.ndarray:
    """Return heights for labels at these places, pushed down where they would overlap."""
    spots = np.empty(len(places))
    last = -np.inf
    for index in np.argsort(places, kind="stable"):
        last = max(float(places[index]), last + gap)
        spots[index] = last
    return np.asarray(spots - np.mean(spots - places))


def describe_rankings(
    tables: Tables,
    *,
    table: str,
    unit: str,
    scores: Mapping[str, str],
    dimensions: Mapping[str, Sequence[str]],
    name_column: str = "",
    flagged: Mapping[str, str] | None = None,
) -> Rankings:
    r"""Compare two published rankings of the same units and say why units move.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Tables by name.
    table : str
        One row a unit.
    unit : str
        Column that names the unit.
    scores : mapping of str to str
        The two columns of published scores, higher is better, to what they are called.
    dimensions : mapping of str to sequence of str
        Dimensions and their columns of scaled indicators, 0 to 1.
    name_column : str, optional
        Column with what a reader calls the unit.
    flagged : mapping of str to str, optional
        Indicator to the column that is 1 where its cell is known to be wrong.

    Returns
    -------
    Rankings

    Raises
    ------
    SpecError
        If a table, column or indicator is missing, or there are not two scores.
    DataError
        If a unit stands twice or columns are no numbers.
    MethodError
        If fewer than three units have both scores.

    Notes
    -----
    With indicators :math:`x_{ij}` and recovered weights :math:`w_j` and :math:`v_j`, unit
    i's score changes by :math:`\\sum_j (v_j - w_j) x_{ij}`. Since ranks do not change when
    all scores move alike, a dimension D is given
    :math:`\\sum_{j \\in D} (v_j - w_j)(x_{ij} - \bar x_j)`; over dimensions these add up to
    the change of the score less its mean.

    Examples
    --------
    >>> x, y = np.array([0, 1, 0.5, 0.2, 0.9]), np.array([1, 0, 0.7, 0.4, 0.3])
    >>> places = pd.DataFrame({"place": list("abcde"), "x": x, "y": y,
    ...                        "one": 0.8 * x + 0.2 * y, "two": 0.3 * x + 0.7 * y})
    >>> found = describe_rankings({"t": places}, table="t", unit="place",
    ...     scores={"one": "x first", "two": "y first"}, dimensions={"X": ["x"], "Y": ["y"]})
    >>> found.summary().values.tolist()[0]
    ['b', 1.0, 5.0, -4.0, 'X']
    """
    problems = Problems("the description 'rankings'")
    wrong = dict(flagged or {})
    indicators = [column for columns in dimensions.values() for column in columns]
    labels = [unit, *([name_column] if name_column else [])]
    needed = [*labels, *scores, *indicators, *wrong.values()]
    source = take(tables, table, needed, problems)
    if len(scores) != 2:
        problems.add(f"scores: two columns are compared, got {len(scores)}.")
    if len(set(indicators)) != len(indicators):
        problems.add("dimensions: an indicator stands in two of them.")
    problems.extend(
        f"flagged: {column!r} is in no dimension.{nearest(column, indicators)}"
        for column in wrong
        if column not in indicators
    )
    problems.raise_any(SpecError)
    check_key(source, (unit,), table)
    columns = list(dict.fromkeys([*scores, *indicators, *wrong.values()]))
    numbers = to_numeric(source, columns, table)
    held = numbers[[*scores, *indicators]].notna().all(axis=1)
    if held.sum() < 3:
        raise MethodError(f"{table}: {int(held.sum())} units have both scores; 3 are needed.")
    numbers, rows = numbers[held], source[held]
    x = numbers[indicators].to_numpy()
    published = numbers[list(scores)].to_numpy()
    names = rows[name_column or unit].astype("str")
    ranks = rank_scores(published.T)
    frame = pd.DataFrame(
        {
            "unit": rows[unit].to_numpy(),
            "label": names.to_numpy(),
            "score_first": published[:, 0],
            "score_second": published[:, 1],
            "rank_first": ranks[0],
            "rank_second": ranks[1],
            "change": ranks[0] - ranks[1],
        }
    )
    notes = []
    if not held.all():
        lost = source.loc[~held, name_column or unit]
        notes.append(
            f"{len(lost)} of {len(source)} units lack a score or an indicator and are left out "
            f"({listing(lost)})."
        )
    flags = np.column_stack(
        [numbers[wrong[column]] == 1 if column in wrong else np.zeros(len(x), dtype=bool)
         for column in indicators]
    )  # fmt: skip
    weights, misfit = _recover_weights(x, published)
    shown = list(dimensions) if weights is not None else []
    if weights is None:
        notes.append(
            f"The published scores are not reproduced as weighted sums of the {len(indicators)} "
            f"indicators (largest misfit {misfit:.2g}), so no reason for a move can be computed."
        )
    else:
        gains = (weights[:, 1] - weights[:, 0]) * (x - x.mean(axis=0))
        for dimension, members in dimensions.items():
            chosen = [indicators.index(column) for column in members]
            frame[f"shift_{dimension}"] = gains[:, chosen].sum(axis=1)
            first, second = weights[chosen].sum(axis=0)
            notes.append(f"Weight of {dimension}: {first:.3f}, then {second:.3f}.")
        frame["shift"] = gains.sum(axis=1)
    if wrong and weights is not None:
        frame["flagged"] = np.asarray(flags.any(axis=1))
        for column, side in enumerate(("first", "second")):
            bounds = _rank_bounds(x, flags, weights[:, column])
            frame[f"rank_{side}_best"], frame[f"rank_{side}_worst"] = bounds
        notes += _flag_notes(frame, flags, x, indicators)
    first_name, second_name = scores.values()
    details = {
        "first": first_name,
        "second": second_name,
        "kendall": float(stats.kendalltau(*published.T).statistic),
        "spearman": float(stats.spearmanr(*published.T).statistic),
        "dimensions": shown,
        "misfit": misfit,
        "weights": {} if weights is None else dict(zip(indicators, weights.tolist(), strict=True)),
        "n_flagged": int(flags.sum()) if weights is not None else 0,
    }
    options = {
        "table": table, "unit": unit, "scores": dict(scores),
        "dimensions": {key: list(value) for key, value in dimensions.items()}, "flagged": wrong,
    }  # fmt: skip
    return Rankings(frame, provenance(specification=options), tuple(notes), details=details)


def _recover_weights(x: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray | None, float]:
    """Return weights (k, 2) that reproduce both scores, or None, and the largest misfit.

    More units than indicators are needed: otherwise some weights would fit any scores.
    """
    weights, _, rank, _ = np.linalg.lstsq(x, scores, rcond=None)
    misfit = float(np.abs(x @ weights - scores).max())
    known = rank == x.shape[1] and len(x) > x.shape[1] and misfit <= EXACT
    return (weights if known else None), misfit


def _rank_bounds(
    x: np.ndarray, flags: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best and worst rank of each unit if flagged cells may lie anywhere in 0..1."""
    sure = np.where(flags, 0.0, x) @ weights
    low = sure + flags @ np.minimum(weights, 0.0)
    high = sure + flags @ np.maximum(weights, 0.0)
    slack = EXACT * max(float(np.ptp(sure)), 1.0)
    others = ~np.eye(len(x), dtype=bool)
    best = 1 + ((low[None, :] > high[:, None] + slack) & others).sum(axis=1)
    worst = 1 + ((high[None, :] > low[:, None] + slack) & others).sum(axis=1)
    return best.astype(float), worst.astype(float)


def _flag_notes(
    frame: pd.DataFrame, flags: np.ndarray, x: np.ndarray, indicators: Sequence[str]
) -> list[str]:
    """Say which flagged cells stand at the top of the scale, and how far ranks could move."""
    notes = []
    for place in np.flatnonzero(flags.any(axis=1)):
        row = frame.iloc[place].to_dict()
        cells = ", ".join(
            f"{name} {value:.2f}"
            for name, value, wrong in zip(indicators, x[place], flags[place], strict=True)
            if wrong
        )
        notes.append(
            f"{row['label']}: cells known to be wrong or implausible ({cells}). Were these cells "
            f"of all units anything from 0 to 1, its rank would be {_range_text(row, 'first')} "
            f"in the first ranking and {_range_text(row, 'second')} in the second."
        )
    return notes


def _range_text(row: Mapping[Any, Any], side: str) -> str:
    """Write the best and worst rank of a unit."""
    best, worst = row[f"rank_{side}_best"], row[f"rank_{side}_worst"]
    return f"{best:.0f}" if best == worst else f"{best:.0f} to {worst:.0f}"
