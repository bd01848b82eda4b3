"""Findings in words: what links of several settings show, sentence by sentence.

Every sentence is computed from the frame of a comparison; none is typed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from lgpi_research.links import FEW_DF
from lgpi_research.spec import ROLES
from lgpi_research.tables import cell

__all__ = ["count_intervals", "findings_of", "is_null", "native_unit", "short_name"]

ENOUGH = 5
"""Independent settings of one estimand group that a pooled slope would need."""

NOT_SAME = "not the same question"


def findings_of(frame: pd.DataFrame) -> list[str]:
    """Return what the links of a comparison show.

    Parameters
    ----------
    frame : DataFrame
        Of a `Comparison`, one row a link.

    Returns
    -------
    list of str
        The count over settings; each main link, with what a null can rule out; second
        and robustness rows that are compatible with zero; rows of one setting that
        disagree; what hangs on one cluster; what an omitted variable would need; what
        cannot be told apart; what warnings would have shown; why nothing is pooled.
    """
    return [
        *_overview(frame),
        *(_main_finding(row) for _, row in _with(frame, "main").iterrows()),
        *_agreement(frame),
        *_other_nulls(frame),
        *_disagreements(frame),
        *_one_cluster(frame),
        *_inseparable(frame),
        *(_warning(row) for _, row in _with(frame, "warning").iterrows()),
        *_not_pooled(frame),
    ]


def _with(frame: pd.DataFrame, *roles: str) -> pd.DataFrame:
    return frame[frame["role"].isin(roles)]


def _overview(frame: pd.DataFrame) -> Iterator[str]:
    """Count the intervals of the main links."""
    main = _with(frame, "main")
    if not main.empty:
        settings = main["setting"].nunique()
        yield (
            f"Main links, {len(main)} in {settings} setting{'s' * (settings > 1)}: "
            f"{count_intervals(main, named=True)}. Each interval stands alone; nothing corrects "
            "for their number. All slopes are associations between the units observed; none says "
            "what a change of the measure would bring."
        )


def _agreement(frame: pd.DataFrame) -> Iterator[str]:
    """Count the other links that share the sign of the main one."""
    parts = []
    for _, rows in _with(frame, *ROLES[:3]).groupby("setting", sort=False):
        main, others = rows.iloc[0], rows[rows["role"] != "main"]
        if main["role"] == "main" and len(others):
            alike = others[others["slope_sd"] * main["slope_sd"] > 0]
            clear = int((~is_null(alike)).sum())
            parts.append(
                f"{main['title']}: {len(alike)} of {len(others)}"
                + f", {clear or 'none'} of them with an interval without zero" * (len(alike) > 0)
            )
    if parts:
        yield (
            "Second and robustness links with the sign of the (first) main link of their "
            f"setting. {'; '.join(parts)}."
        )


def _other_nulls(frame: pd.DataFrame) -> Iterator[str]:
    """Name, setting by setting, the other links that are compatible with zero."""
    others = _with(frame, "second", "robustness")
    for title, rows in others[is_null(others)].groupby("title", sort=False):
        told = [f"“{row['link']}” {_short_null(row)}" for _, row in rows.iterrows()]
        yield (
            f"{title}. Other links compatible with zero, {len(rows)} of "
            f"{int((others['title'] == title).sum())}, in SD per SD with their interval and the "
            f"slope that four of five such samples would find: {'; '.join(told)}."
        )


def _disagreements(frame: pd.DataFrame) -> Iterator[str]:
    """Say where links of one setting disagree."""
    for _, rows in _with(frame, *ROLES[:3]).groupby("setting", sort=False):
        main = rows[rows["role"] == "main"]
        others = rows[rows["role"] != "main"]
        seen = [row for _, row in main.iterrows()]
        rest = [row for _, row in others.iterrows()]
        for number, first in enumerate(seen):
            for second in [*seen[number + 1 :], *rest]:
                yield from _disagreement(first, second)


def _one_cluster(frame: pd.DataFrame) -> Iterator[str]:
    """Say which links hang on single clusters or on few degrees of freedom."""
    rows = _with(frame, "main", "second")
    firm = []
    for _, row in rows[rows["without_sd_low"].notna()].iterrows():
        turning = list(_turning(row))
        if turning:
            what = "clusters" if row["clustered"] else "units"
            yield f"{_opening(row)} hangs on single {what}: {'; '.join(turning)}."
        elif not is_null(row) and row["clustered"]:
            firm.append(short_name(row))
    if firm:
        yield (
            "Left out one at a time, no cluster takes the slope across zero or out of its "
            f"interval in: {'; '.join(firm)}."
        )
    for _, row in rows[rows["df"] < FEW_DF].iterrows():
        carried = f"{row['n_clusters']} clusters" if row["clustered"] else "units"
        yield (
            f"{_opening(row)} rests on {row['df']:.3g} degrees of freedom though it has "
            f"{carried}: few of them carry the slope, and the interval is rough."
        )


def _inseparable(frame: pd.DataFrame) -> Iterator[str]:
    """Say which measures point the same way and cannot be told apart."""
    for _, rows in _with(frame, "main", "second").groupby("setting", sort=False):
        for _, main in rows[rows["role"] == "main"].iterrows():
            for _, other in rows[rows["role"] == "second"].iterrows():
                apart = (
                    other["measure"] != main["measure"]
                    and other["measure"] not in _parts(main["controls"])
                    and main["measure"] not in _parts(other["controls"])
                )
                alike = other["slope_sd"] * main["slope_sd"] > 0
                if apart and alike and other["because"]:
                    yield (
                        f"{main['title']}. {_upper(main['measure_label'])} and "
                        f"{other['measure_label']} point the same way ({_estimate(main)} and "
                        f"{_estimate(other)}). Each row has one of them only, so the rows do "
                        f"not tell with which of the two {main['outcome_label']} goes. "
                        f"Stated of the second: {_reason(other)}."
                    )


def _not_pooled(frame: pd.DataFrame) -> Iterator[str]:
    """Say why no pooled slope is given."""
    main = _with(frame, "main")
    if main.empty:
        return
    alone = main["setting"] + ": " + main["link"]  # a link without a group shares none
    group = main["estimand_group"].where(main["estimand_group"] != "", alone)
    settings = main["setting"].groupby(group, sort=False).nunique()
    most = int(settings.max())
    groups = f"{len(settings)} estimand group{'s' * (len(settings) > 1)}"
    counts = f"The main links, {len(main)}, belong to {groups} (measure, level, contrast)"
    if most >= ENOUGH:
        yield (
            f"{counts}. The group “{settings.idxmax()}” has {most} settings, enough for a "
            "pooled slope if they are independent; none is given here."
        )
        return
    yield (
        f"Slopes are not pooled. {counts}, of which the largest "
        f"has {most} setting{'s' * (most > 1)}; a pooled slope needs at least {ENOUGH} "
        "independent settings of one group. An average over different questions has no unit "
        "and answers none."
    )


def is_null(rows: Any) -> Any:
    """Return whether the interval contains zero."""
    return (rows["slope_sd_low"] <= 0) & (rows["slope_sd_high"] >= 0)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def short_name(row: pd.Series[Any]) -> str:
    """Return setting and link."""
    return f"{row['title']} ({row['link']})"


def _opening(row: pd.Series[Any]) -> str:
    return f"{row['title']}. The {row['role']} link “{row['link']}”"


def _reason(row: pd.Series[Any]) -> str:
    return str(row["because"]).rstrip(". ") or "no reason is stated"


def _step(row: pd.Series[Any]) -> str:
    return f"per {row['per_label']}"


def native_unit(row: pd.Series[Any]) -> str:
    """Return the unit of a slope that is not standardised."""
    return f"{row['outcome_unit'] or 'units of the score'} {_step(row)}"


def _estimate(row: pd.Series[Any]) -> str:
    value, low, high = (row[f"slope_sd{end}"] for end in ("", "_low", "_high"))
    text = f"{100 * row['level']:g} % interval {low:z.2f} to {high:z.2f}"
    return f"{value:z.2f} SD per SD, {text}"


def _numbers(row: pd.Series[Any]) -> str:
    """Return slope, interval and what they rest on."""
    groups = f", {row['n_clusters']} clusters" if row["clustered"] else ""
    native = (
        f"; {cell(row['slope'])} SD {_step(row)}; {row['n_used']:,} "
        f"{'rows' if row['within'] else 'units'}{groups}"
    )
    return _estimate(row) + native


def _reach(row: pd.Series[Any]) -> str:
    """Say what could have been found, and what is ruled out."""
    found = (
        f"A slope of {row['detectable_sd']:.2f} SD per SD "
        f"({cell(row['detectable'])} SD {_step(row)}) would be found in four of five such samples."
    )
    return f"{found} {_equivalence(row)}"


def _short_null(row: pd.Series[Any]) -> str:
    """Return slope, interval, what would be found, and what is ruled out, in one line."""
    value, low, high = (row[f"slope_sd{end}"] for end in ("", "_low", "_high"))
    numbers = f"{value:z.2f} ({low:z.2f} to {high:z.2f}; {row['detectable_sd']:.2f})"
    if pd.isna(row["smallest_slope"]) or pd.isna(row["equivalence"]):
        return f"{numbers}, without a smallest slope of interest"
    ruled = "ruled out" if row["equivalence"] == "equivalent" else "not ruled out"
    return f"{numbers}, {row['smallest_slope']:g} SD {_step(row)} {ruled}"


def _equivalence(row: pd.Series[Any]) -> str:
    """Say in words what the equivalence test gave."""
    if pd.isna(row["smallest_slope"]) or pd.isna(row["equivalence"]):
        return "No smallest slope of interest is stated, so nothing is said to be ruled out."
    size = f"{row['smallest_slope']:g} SD {_step(row)}"
    if row["equivalence"] == "equivalent":
        p_value = cell(row["equivalence_p"], "p_value")
        told = f"p {p_value[0]} {p_value[1:]}" if p_value.startswith("<") else f"p = {p_value}"
        return f"Slopes of {size} or more, up or down, are ruled out (two one-sided tests, {told})."
    if row["equivalence"] == "larger" and is_null(row):
        one_sided = f"{100 * (2 * row['level'] - 1):g} %"
        return (
            f"The {one_sided} interval of the one-sided tests lies beyond the smallest slope of "
            f"interest, {size}, although the {100 * row['level']:g} % interval contains zero: "
            "the data are too few to rely on either."
        )
    if row["equivalence"] == "larger":
        return f"The slope is further from zero than the smallest one of interest, {size}."
    if is_null(row):
        return f"A slope as small as {size} cannot be ruled out."
    return f"Whether it reaches the smallest slope of interest, {size}, stays open."


def count_intervals(main: pd.DataFrame, *, named: bool = False) -> str:
    """Count intervals above, below and around zero, and name the settings if asked."""
    above, below = main["slope_sd_low"] > 0, main["slope_sd_high"] < 0
    level = f"{100 * main['level'].iloc[0]:g} %"
    parts = []
    for chosen, text in (
        (above, f"the {level} interval lies above zero in"),
        (below, "below zero in"),
        (~above & ~below, "and contains zero in"),
    ):
        names = list(dict.fromkeys(main.loc[chosen, "title"]))
        parts.append(
            f"{text} {chosen.sum()}" + (f" ({'; '.join(names)})" if names and named else "")
        )
    return ", ".join(parts)


def _main_finding(row: pd.Series[Any]) -> str:
    """Say the sign and interval of a main link, and what a null can rule out."""
    measure, outcome = row["measure_label"], row["outcome_label"]
    where = (
        f"at times when {measure} is higher than usual in the same unit"
        if row["within"]
        else f"where {measure} is higher"
    )
    if is_null(row):
        return (
            f"{row['title']}. The data do not tell whether {outcome} is higher or lower {where}: "
            f"{_numbers(row)}. {_reach(row)}"
        )
    word = "higher" if row["slope_sd"] > 0 else "lower"
    parts = [f"{row['title']}. {_upper(where)}, {outcome} tends to be {word}: {_numbers(row)}."]
    if not pd.isna(row["smallest_slope"]) and not pd.isna(row["equivalence"]):
        parts.append(_equivalence(row))
    if not pd.isna(row["robustness_value"]):
        parts.append(_robustness(row))
    return " ".join(parts)


def _robustness(row: pd.Series[Any]) -> str:
    """Say how strong an omitted variable would have to be."""
    whole, alpha = row["robustness_value"], row["robustness_value_alpha"]
    text = (
        f"An omitted variable that explains {100 * whole:.0f} % of what is left of both measure "
        "and score would account for all of it"
    )
    if pd.isna(alpha):
        return f"{text}."
    if alpha == 0:
        return f"{text}; by the classical test its interval contains zero as it is."
    return f"{text}, one that explains {100 * alpha:.0f} % would take its interval to zero."


def _questions(first: pd.Series[Any], second: pd.Series[Any]) -> list[str]:
    """Say in what two links of a setting ask different questions, if they do."""
    parts = []
    if first["within"] != second["within"]:
        time, place = (first, second) if first["within"] else (second, first)
        parts.append(f"“{time['link']}” follows units over time, “{place['link']}” compares units")
    for column, label, text in (
        ("basis", "basis", "they rest on different accounts"),
        ("measure", "measure_label", "they use different measures"),
        ("outcome_label", "outcome_label", "they have different outcomes"),
    ):
        if first[column] != second[column]:
            both = "; ".join(row[label] or "not stated" for row in (first, second))
            parts.append(f"{text} ({both})")
    return parts


def _parts(names: str) -> list[str]:
    return [name for name in names.split(", ") if name]


def _changes(first: pd.Series[Any], second: pd.Series[Any]) -> str:
    """Say what the second of two links that ask one question does otherwise."""
    parts = []
    for column, adds, leaves in (
        ("controls", "adds the control", "leaves out the control"),
        ("absorb", "adds fixed levels of", "leaves out fixed levels of"),
    ):
        before, after = _parts(first[column]), _parts(second[column])
        for text, names in (
            (adds, [name for name in after if name not in before]),
            (leaves, [name for name in before if name not in after]),
        ):
            if names:
                parts.append(f"{text} {' and '.join(names)}")
    if not parts and second["n_used"] != first["n_used"]:
        parts.append(f"uses other rows ({second['n_used']:,} rather than {first['n_used']:,})")
    elif not parts:
        parts.append("differs in its rows, clusters or construction alone")
    return f"“{second['link']}” {', and '.join(parts)}: what is found hangs on it."


def _disagreement(first: pd.Series[Any], second: pd.Series[Any]) -> Iterator[str]:
    """Say where two links of a setting differ in sign, or one question has two answers."""
    questions = _questions(first, second)
    unclear = [f"“{row['link']}”" for row in (first, second) if is_null(row)]
    both = f"“{first['link']}” and “{second['link']}”"
    numbers = f"({_estimate(first)}; {_estimate(second)})"
    if not questions and len(unclear) == 1:
        yield (
            f"{first['title']}. Of {both} {numbers} {unclear[0]} is compatible with zero and the "
            f"other is not. {_changes(first, second)}"
        )
    elif first["slope_sd"] * second["slope_sd"] < 0:
        doubt = {
            0: "Both intervals exclude zero.",
            1: f"The interval of {''.join(unclear)} contains zero, so the signs need not differ.",
            2: "Both intervals contain zero, so the signs need not differ.",
        }[len(unclear)]
        end = (
            f"{_upper(', and '.join(questions))}: {NOT_SAME}."
            if questions
            else _changes(first, second)
        )
        yield f"{first['title']}. {both} differ in sign {numbers}. {doubt} {end}"


def _turning(row: pd.Series[Any]) -> Iterator[str]:
    """Yield each end of the range over left-out clusters that changes what is said."""
    for end, outside in (
        ("low", row["without_sd_low"] < row["slope_sd_low"]),
        ("high", row["without_sd_high"] > row["slope_sd_high"]),
    ):
        value = row[f"without_sd_{end}"]
        turned = not is_null(row) and value * row["slope_sd"] <= 0
        if turned or outside:
            what = "its sign turns" if turned else "it leaves its own interval"
            name = row[f"without_{end}_cluster"]
            yield f"without {name} {what} ({value:.2f} SD per SD)"


def _warning(row: pd.Series[Any]) -> str:
    """Say what a warning would have claimed, and why it is no finding."""
    word = "no clear link" if is_null(row) else "a clear link"
    return (
        f"{row['title']}. “{row['link']}” would have shown {word}, {_estimate(row)}. It is no "
        f"finding, and no count includes it. Stated reason: {_reason(row)}."
    )
