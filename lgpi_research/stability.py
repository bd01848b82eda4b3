"""Stability: whether scores of the same units agree over time, and which changes are real."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research import plots
from lgpi_research.errors import DataError, MethodError, Problems, SpecError, listing, nearest
from lgpi_research.indicators import Indicators
from lgpi_research.methods.retest import (
    ADJUSTMENTS,
    Changes,
    Retest,
    bland_altman,
    changes_beyond_error,
    compare_occasions,
)
from lgpi_research.results import Result, provenance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Stability", "assess_stability"]

Floats = npt.NDArray[np.float64]

PLOTS = ("agreement", "scatter", "bland_altman")


@dataclass(frozen=True, eq=False, repr=False)
class Stability(Result, kind="stability"):
    """How far indicators agree between occasions, and which units have changed.

    ``frame`` has one row an indicator: ``indicator``, ``dimension``, ``n_occasions``;
    ``icc_agreement`` and ``icc_consistency``, each with ``_low`` and ``_high``; ``shift``
    (mean of the last occasion less that of the first) with its interval, ``shift_p`` and
    ``shift_share`` (share of the variance within units that is a shift of all);
    ``sem_agreement``, ``sem_consistency`` and the ``smallest_detectable_change`` of one unit by
    each; ``limit_low`` and ``limit_high`` of agreement between first and last occasion, of
    ``n_pairs`` units that were there on both (the others of those there on all, ``n_used``);
    ``change_reliability`` (share of the variance of changes that is true) with its interval and
    ``n_beyond`` (units whose change is beyond its error), unknown without standard errors;
    ``n_used``, ``n_dropped``. `changes` has the units.
    """

    @property
    def changes(self) -> pd.DataFrame:
        """Change of each unit from the first to the last occasion, one row a unit and indicator.

        Columns ``unit``, ``indicator``, ``first``, ``last``, ``change``, ``std_error``,
        ``smallest_detectable``, ``p_value`` and ``beyond_error``; missing where a score or its
        standard error is.
        """
        units, names = self.details["units"], self.frame["indicator"]
        columns: dict[str, Any] = {
            "unit": np.tile(np.array(units, dtype=object), len(names)),
            "indicator": np.repeat(names.to_numpy(), len(units)),
        }
        columns |= {name: self.arrays[name].ravel() for name in _ARRAYS}
        table = pd.DataFrame(columns)
        known = table["std_error"].notna()
        return table.assign(beyond_error=table["beyond_error"].astype("boolean").where(known))

    def headline(self) -> str:
        """Return the range of agreement in a sentence."""
        low, high = self.frame["icc_agreement"].min(), self.frame["icc_agreement"].max()
        first, *_, last = self.details["occasions"]
        told = f"{low:.2f}" if len(self.frame) == 1 else f"{low:.2f} to {high:.2f}"
        n = int(self.frame["n_used"].max())
        return (
            f"Scores of {n:,} units agree from {first} to {last} with ICC(A,1) {told} "
            f"on {len(self.frame)} indicator{'s' * (len(self.frame) != 1)}."
        )

    def summary(self) -> pd.DataFrame:
        """Return agreement, shift and error of each indicator."""
        columns = [
            "indicator", "icc_agreement", "icc_consistency", "shift", "shift_low", "shift_high",
            "sem_agreement", "smallest_detectable_change", "n_used",
        ]  # fmt: skip
        more = ["change_reliability", "n_beyond"] if self.details["errors_known"] else []
        return self.frame[[*columns, *more]]

    def methods_text(self) -> str:
        """Return what was estimated and how, with citation keys."""
        told = self.details
        text = (
            f"Stability over {len(told['occasions'])} occasions was described by the intraclass "
            "correlations ICC(A,1), which counts a shift of all units as disagreement, and "
            "ICC(C,1), which does not [@McGrawWong1996], the standard error of measurement by both "
            "definitions [@Weir2005; @deVet2006], the smallest detectable change, and limits of "
            f"agreement [@BlandAltman1986], with {100 * told['level']:g} % intervals. True change "
            "between occasions counts as error in all of these."
        )
        if told["errors_known"]:
            many = (
                ", with the false discovery rate held [@BenjaminiHochberg1995]"
                if told["adjust"] == "bh"
                else ", each unit judged as if it were alone"
            )
            text += (
                " Changes of units were compared with the sampling errors of their scores"
                f"{many}, and the part of their variance that is true was estimated from the same "
                "errors [@PauleMandel1982]."
            )
        return text

    def plot(
        self, ax: Axes | None = None, *, indicator: str | None = None, kind: str | None = None
    ) -> Axes:
        """Draw how far occasions agree, or the last against the first, and return the axes.

        Parameters
        ----------
        ax : Axes or None
            Where to draw; new axes if None.
        indicator : str or None
            Which indicator, for the pictures of one; the first if None.
        kind : {"agreement", "scatter", "bland_altman"}, optional
            ICC(A,1) and ICC(C,1) of every indicator; one occasion against the other, with the
            line of no change and that of the mean change; or change against the mean of both,
            with limits of agreement. None: the first, or the second if there is one indicator
            or one is named.

        Raises
        ------
        SpecError
            If there is no such indicator or kind.
        """
        names = self.frame["indicator"].tolist()
        chosen = names[0] if indicator is None else indicator
        if chosen not in names:
            raise SpecError(f"indicator: no {chosen!r}.{nearest(chosen, names)}")
        if kind is None:
            kind = "agreement" if indicator is None and len(names) > 1 else "scatter"
        if kind not in PLOTS:
            raise SpecError(
                f"kind: must be {' or '.join(PLOTS)}, got {kind!r}.{nearest(kind, PLOTS)}"
            )
        if kind == "agreement":
            return self._plot_agreement(ax)
        at = names.index(chosen)
        row, first, last = self.frame.iloc[at], self.arrays["first"][at], self.arrays["last"][at]
        both = ~(np.isnan(first) | np.isnan(last))
        first, last = first[both], last[both]
        before, *_, after = self.details["occasions"]
        ax = plots.new_axes(ax, (5.4, 4.6))
        if kind == "scatter":
            ends = np.array([min(first.min(), last.min()), max(first.max(), last.max())])
            plots.curve(ax, ends, ends, colour="quiet")
            plots.curve(ax, ends, ends + (last - first).mean(), colour="second")
            plots.scatter(ax, first, last)
            title = f"{chosen}: {both.sum():,} units on two occasions"
            return plots.describe(
                ax, title, f"{before} (grey: no change; orange: mean change)", str(after)
            )
        middle = (first + last) / 2
        ends = np.array([middle.min(), middle.max()])
        for height, colour in (
            (0.0, "quiet"),
            (float((last - first).mean()), "second"),
            (row["limit_low"], "third"),
            (row["limit_high"], "third"),
        ):
            plots.curve(ax, ends, np.repeat(height, 2), colour=colour)
        plots.scatter(ax, middle, last - first)
        share = f"{100 * self.details['level']:g} %"
        return plots.describe(
            ax,
            f"{chosen}: change of {both.sum():,} units",
            f"mean of {before} and {after} (orange: mean change; green: {share} limits)",
            f"{after} less {before}",
        )

    def _plot_agreement(self, ax: Axes | None) -> Axes:
        """Draw both intraclass correlations of each indicator, with their intervals."""
        names = self.frame["indicator"].tolist()
        ax = plots.new_axes(ax, (6.8, 1.6 + 0.3 * min(len(names), plots.MANY)))
        for form, label, colour, shift in (
            ("icc_agreement", "ICC(A,1): shifts count as error", "main", -0.15),
            ("icc_consistency", "ICC(C,1): shifts of all do not", "second", 0.15),
        ):
            ends = (self.frame[form + end].to_numpy(float) for end in ("", "_low", "_high"))
            plots.intervals(ax, names, *ends, colour=colour, label=label, shift=shift)
        plots.legend(ax)
        first, *_, last = self.details["occasions"]
        level = f"{100 * self.details['level']:g} % interval"
        return plots.describe(ax, f"Agreement from {first} to {last}", f"correlation, {level}")


_ARRAYS = ("first", "last", "change", "std_error", "smallest_detectable", "p_value", "beyond_error")


def assess_stability(
    first: Indicators,
    second: Indicators | None = None,
    *,
    periods: Sequence[Any] | None = None,
    level: float = 0.95,
    adjust: str = "none",
    error_correlation: float = 0.0,
) -> Stability:
    r"""Compare the scores of the same units on two or more occasions.

    Parameters
    ----------
    first : Indicators
        The first occasion; or units in several periods, which are then the occasions.
    second : Indicators or None
        The second occasion, if `first` is one. Units and indicators are matched by name.
    periods : sequence or None
        Periods to compare, in order of time; all if None.
    level : float, default 0.95
        Level of the intervals, and one less it the error of judging a change.
    adjust : {"none", "bh"}, default "none"
        Whether changes of single units are judged as if each were alone, or with Benjamini and
        Hochberg's false discovery rate.
    error_correlation : float, default 0
        Correlation between the sampling errors of a unit on the first and last occasion: above
        0 if the same clusters or people were asked again.

    Returns
    -------
    Stability

    Raises
    ------
    SpecError
        If an option does not exist, it is unclear what the occasions are, or indicators are
        smoothed.
    DataError
        If the occasions share no indicator, or no units.
    MethodError
        If an indicator has fewer than two units with all occasions, or does not vary.

    Notes
    -----
    Formulas are those of `lgpi_research.methods.retest`. Without sampling errors, true change
    cannot be told from error: coefficients and the smallest detectable change then take all
    movement as error, and are right if nothing has changed but by a shift of all units. With
    them, the change of each unit is judged by its own error, and ``change_reliability`` says how
    much of the differences between changes is true.

    Examples
    --------
    >>> from lgpi_research.codebook import Codebook, Indicator
    >>> book = Codebook((Indicator("voice"),))
    >>> table = pd.DataFrame({"place": list("abcd"), "voice": [1.0, 2, 3, 4], "se": 0.3})
    >>> later = table.assign(voice=[2.0, 3.5, 4, 4.5])
    >>> before, after = (
    ...     Indicators.from_table(part, book, unit="place", std_errors={"voice": "se"})
    ...     for part in (table, later)
    ... )
    >>> found = assess_stability(before, after)
    >>> found.frame[["indicator", "icc_agreement", "icc_consistency", "shift"]].round(2)
      indicator  icc_agreement  icc_consistency  shift
    0     voice            0.7             0.94    1.0
    >>> found.changes["beyond_error"].tolist()
    [True, True, True, False]
    """
    _check_options(level, adjust, error_correlation)
    smoothed = {*first.smoothed, *(() if second is None else second.smoothed)}
    if smoothed:
        raise SpecError(
            f"{listing(sorted(smoothed))}: smoothed scores are drawn together, so they seem more "
            "stable than places are; compare the direct estimates."
        )
    names, parts, remarks = _occasions(first, second, periods)
    shared, units, notes = _matched(parts, names)
    errors_known = all(part.std_errors is not None for part in (parts[0], parts[-1]))
    book = parts[0].codebook.select(shared)
    problems = Problems("the occasions")
    rows: list[dict[str, Any]] = []
    held: dict[str, list[Floats]] = {name: [] for name in _ARRAYS}
    for item in book:
        scores = np.column_stack([_column(part.values, item.name, units) for part in parts])
        errors = [_errors(part, item.name, units) for part in (parts[0], parts[-1])]
        covariance = error_correlation * errors[0] * errors[1]
        try:
            found = compare_occasions(scores, level=level)
            limits = bland_altman(scores[:, 0], scores[:, -1], level=level)
            changes = changes_beyond_error(
                scores[:, 0],
                scores[:, -1],
                *errors,
                covariance=covariance,
                level=level,
                adjust=adjust,
            )
        except MethodError as failed:
            problems.add(f"{item.name}: {failed}")
            continue
        told = {"indicator": item.name, "dimension": item.dimension, "n_occasions": len(parts)}
        pairs = int(np.isfinite(scores[:, 0] + scores[:, -1]).sum())
        ends = {"limit_low": limits.low, "limit_high": limits.high, "n_pairs": pairs}
        rows.append(told | _retested(found) | ends | _changed(changes))
        for name, column in {
            "first": scores[:, 0],
            "last": scores[:, -1],
            "change": scores[:, -1] - scores[:, 0],
            "std_error": changes.std_error,
            "smallest_detectable": changes.smallest_detectable,
            "p_value": changes.p_value,
            "beyond_error": changes.beyond.astype(np.float64),
        }.items():
            held[name].append(column)
    problems.raise_any(MethodError)
    frame = pd.DataFrame(rows)
    counts = [frame.pop(name) for name in ("n_used", "n_dropped")]
    frame = pd.concat([frame, *counts], axis=1)
    specification = {
        "occasions": [_plain(name) for name in names],
        "level": level,
        "adjust": adjust,
        "error_correlation": error_correlation,
    }
    data = (
        {"indicators": first.digest}
        if second is None
        else {"first": first.digest, "second": second.digest}
    )
    return Stability(
        frame,
        provenance(specification=specification, data=data),
        (*dict.fromkeys([*remarks, *notes]), *_notes(frame, len(units), errors_known)),
        {name: np.stack(columns) for name, columns in held.items()},
        {**specification, "units": [_plain(unit) for unit in units], "errors_known": errors_known},
    )


def _plain(value: Any) -> Any:
    """Return a label as a plain value."""
    plain = value.item() if isinstance(value, np.generic) else value
    return plain if isinstance(plain, str | int | float) else str(plain)


def _check_options(level: float, adjust: str, error_correlation: float) -> None:
    problems = Problems("the options")
    if not 0 < level < 1:
        problems.add(f"level: must lie between 0 and 1, got {level!r}.")
    if adjust not in ADJUSTMENTS:
        problems.add(
            f"adjust: must be {' or '.join(ADJUSTMENTS)}, got {adjust!r}."
            f"{nearest(str(adjust), ADJUSTMENTS)}"
        )
    if not -1 < error_correlation < 1:
        problems.add(f"error_correlation: must lie between -1 and 1, got {error_correlation!r}.")
    problems.raise_any(SpecError)


def _occasions(
    first: Indicators, second: Indicators | None, periods: Sequence[Any] | None
) -> tuple[list[Any], list[Indicators], list[str]]:
    """Return names and data of the occasions, in order of time, and what their makers said."""
    if second is not None:
        if periods is not None or first.periods is not None or second.periods is not None:
            raise SpecError(
                "give two occasions, or one table of several periods, not both; take one period of "
                "a table with indicators.at(period)."
            )
        return ["first", "second"], [first, second], [*first.notes, *second.notes]
    if first.periods is None:
        raise SpecError(
            "one occasion has no stability: give a second one, or indicators with a column of "
            "periods (Indicators.from_table(…, period='<column>'))."
        )
    there = sorted(first.periods.unique().tolist())
    wanted = there if periods is None else list(periods)
    unknown = [period for period in wanted if period not in there]
    if unknown:
        raise SpecError(f"periods: no row is of {listing(unknown)}; there are {listing(there)}.")
    if len(wanted) < 2 or len(set(wanted)) < len(wanted):
        raise SpecError(f"periods: needs two or more different ones, got {listing(wanted)}.")
    return wanted, [first.at(period) for period in wanted], list(first.notes)


def _matched(
    parts: Sequence[Indicators], names: Sequence[Any]
) -> tuple[tuple[str, ...], pd.Index, list[str]]:
    """Return indicators and units of the occasions, and notes on what only some have."""
    shared = tuple(
        name for name in parts[0].codebook.names if all(name in p.codebook.names for p in parts)
    )
    if not shared:
        raise DataError(
            "the occasions share no indicator: the first has "
            f"{listing(parts[0].codebook.names)}, the last {listing(parts[-1].codebook.names)}."
        )
    every = dict.fromkeys(name for part in parts for name in part.codebook.names)
    left = [name for name in every if name not in shared]
    notes = [f"Not asked on every occasion and left out: {listing(left)}."] if left else []
    units = parts[0].units
    for part in parts[1:]:
        units = units.union(part.units, sort=False)
    if not any(all(unit in part.units for part in parts) for unit in units):
        raise DataError(
            f"no unit is there on every occasion ({names[0]}: {listing(parts[0].units, 3)}; "
            f"{names[-1]}: {listing(parts[-1].units, 3)}). Units are matched by name."
        )
    for name, part in zip(names, parts, strict=True):
        absent = units[~units.isin(part.units)]
        if len(absent):
            notes.append(f"{name}: {len(absent)} of {len(units)} units absent ({listing(absent)}).")
    return shared, units, notes


def _column(table: pd.DataFrame, name: str, units: pd.Index) -> Floats:
    return np.asarray(table[name].reindex(units).to_numpy(dtype=float))


def _errors(part: Indicators, name: str, units: pd.Index) -> Floats:
    """Return standard errors; those of 0, where nobody differed, are unknown."""
    if part.std_errors is None:
        return np.full(len(units), np.nan)
    found = _column(part.std_errors, name, units)
    return np.where(found > 0, found, np.nan)


def _retested(found: Retest) -> dict[str, Any]:
    return {
        "icc_agreement": found.agreement.estimate,
        "icc_agreement_low": found.agreement.ci_low,
        "icc_agreement_high": found.agreement.ci_high,
        "icc_consistency": found.consistency.estimate,
        "icc_consistency_low": found.consistency.ci_low,
        "icc_consistency_high": found.consistency.ci_high,
        "shift": found.shift,
        "shift_low": found.shift_ci[0],
        "shift_high": found.shift_ci[1],
        "shift_p": found.shift_p,
        "shift_share": found.shift_share,
        "sem_agreement": found.sem_agreement,
        "sem_consistency": found.sem_consistency,
        "sem_consistency_low": found.sem_consistency_ci[0],
        "sem_consistency_high": found.sem_consistency_ci[1],
        "smallest_detectable_change": found.smallest_detectable_change(),
        "smallest_detectable_change_consistency": found.smallest_detectable_change(
            definition="consistency"
        ),
        "n_used": found.squares.n_units,
        "n_dropped": found.squares.n_dropped,
    }


def _changed(changes: Changes) -> dict[str, Any]:
    nothing = float("nan")
    true = changes.reliability
    low, high = (nothing, nothing) if true is None else true.mean_ci
    return {
        "change_reliability": nothing if true is None else true.mean,
        "change_reliability_low": low,
        "change_reliability_high": high,
        "n_judged": changes.n_used,
        "n_beyond": float(changes.beyond.sum()) if changes.n_used else nothing,
    }


def _notes(frame: pd.DataFrame, n_units: int, errors_known: bool) -> Iterator[str]:
    """Yield what was set aside, with counts, and how to read the numbers."""
    lost = frame[frame["n_dropped"] > 0]
    for _, rows in lost.groupby(["n_used", "n_dropped"], sort=False):
        used, dropped = int(rows["n_used"].iloc[0]), int(rows["n_dropped"].iloc[0])
        names = listing(rows["indicator"], most=3)
        yield f"{names}: {dropped} of {used + dropped} units lack an occasion and are set aside."
    if not errors_known:
        yield (
            "No sampling errors are known of both occasions, so true change counts as error: "
            "where units have truly changed, the smallest detectable change is too large. No "
            "single unit's change is judged."
        )
        return
    for name, judged in zip(frame["indicator"], frame["n_judged"], strict=True):
        if judged < n_units:
            yield (
                f"{name}: changes of {judged} of {n_units} units are judged; the others lack a "
                "score, or a standard error above 0, on the first or last occasion."
            )
