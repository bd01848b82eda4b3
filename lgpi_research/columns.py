"""Columns as numbers: what text a number can be written as, and what keeps a column from it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lgpi_research.errors import DataError, Problems, listing, nearest

__all__ = ["check_totals_row", "numerals", "to_numeric", "total_label", "trimmed"]

SPACES = "[ \u00a0\u2009\u202f]"  # plain, no-break, thin, narrow no-break

STYLES = ((",", None), (".", ","), (".", " "), (",", "."), (",", " "), (".", "'"))
"""Decimal and thousands marks that are recognised in messages when they were not declared."""

MISSING_LIKE = re.compile(
    r"#?n/?a|n\.a\.|nan|null|none|nil|missing|н/?д|\.[a-z]?|\.\.+|…|-+|–|—|\?+|\*+"
    r"|#(?:null|div/0|value|ref|name|num)[!?]"
    r"|.*(?:don.?t know|do not know|\bdk\b|refus|no (?:answer|data|opinion|response)"
    r"|not (?:asked|available|applicable|stated)|нет (?:данных|ответа)|затрудн|немає даних"
    r"|деректер жоқ|жауап жоқ).*",
    re.IGNORECASE,
)
"""What missing codes that nobody declared look like."""

TOTALS = re.compile(
    r"totals?|totale|totaal|sum|summe|suma|summa|gesamt|insgesamt|ensemble|together|overall"
    r"|всего|итого?|сумма|разом|усього|всього|сума|барлығы|жиыны|razem|łącznie|celkem"
    r"|összesen|toplam|jami|жами|kokku|viso|kopā|ukupno",
    re.IGNORECASE,
)
"""Words that label a row of totals."""


def trimmed(cells: Any) -> Any:
    """Return text cells without the spaces around them, and null for blanks."""
    bare = pc.utf8_trim_whitespace(cells)
    return pc.if_else(pc.equal(bare, ""), None, bare)


def numerals(cells: Any, decimal: str = ".", thousands: str | None = None) -> Any:
    """Return text cells that are numbers, written as 1234.5, and null for all others."""
    if decimal == "." and not thousands and _all_finite(cells):
        return cells
    point = re.escape(decimal)
    digits, group = "[0-9]+", ""
    if thousands:
        group = {" ": SPACES, "'": "['’]"}.get(thousands, re.escape(thousands))
        digits = f"(?:[0-9]+|[0-9]{{1,3}}(?:{group}[0-9]{{3}})+)"
    pattern = f"^[+-]?(?:{digits}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?$"
    numbers = pc.if_else(pc.match_substring_regex(cells, pattern), cells, None)
    if thousands:
        numbers = pc.replace_substring_regex(numbers, group, "")
    return numbers if decimal == "." else pc.replace_substring(numbers, decimal, ".")


def _all_finite(cells: Any) -> bool:
    """Say whether every text cell is a finite number as it stands: a fast way to know."""
    try:
        return pc.all(pc.is_finite(cells.cast(pa.float64()))).as_py() is not False
    except pa.ArrowInvalid:
        return False


def check_totals_row(
    frame: pd.DataFrame, where: str = "the table", *, lines: Sequence[int] | None = None
) -> None:
    """Refuse a table whose last row holds the column sums.

    A row counts as totals if the first or last word of its first text cell is "total" or the
    like (in fifteen languages) and a numeric column holds there the sum of the rows above, up
    to a rounding of 0.5 % of the sum of their absolute values.

    Parameters
    ----------
    frame : DataFrame
        The table.
    where : str
        What is being checked, for the message.
    lines : sequence of int, optional
        Line of the file on which each row begins.

    Raises
    ------
    DataError
        If the last row is a row of totals; it would count as one more unit.

    Examples
    --------
    >>> places = pd.DataFrame({"place": ["North", "South", "Total"], "people": [10, 20, 30]})
    >>> check_totals_row(places, "places.csv")
    Traceback (most recent call last):
    lgpi_research.errors.DataError: places.csv: the last row, 3, is a row of totals: it is
    labelled 'Total' and holds the column sum of people. Delete it.
    """
    label = total_label(frame)
    if label is None:
        return
    sums = []
    for position, name in enumerate(frame.columns):
        series = frame.iloc[:, position]
        if pd.api.types.is_bool_dtype(series) or not pd.api.types.is_numeric_dtype(series):
            continue
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        size = np.nansum(np.abs(values[:-1]))
        if size > 0 and abs(values[-1] - np.nansum(values[:-1])) <= 0.005 * size:
            sums.append(name)
    if sums:
        line = f" (line {lines[-1]})" if lines is not None else ""
        raise DataError(
            f"{where}: the last row, {len(frame)}{line}, is a row of totals: it is labelled "
            f"{label!r} and holds the column sum of {listing(sums)}. Delete it."
        )


def total_label(frame: pd.DataFrame) -> str | None:
    """Return the first text of the last row if it names a total and two rows stand above."""
    if len(frame) < 3:
        return None
    last = (frame.iloc[-1, place] for place in range(frame.shape[1]))
    label = next((cell for cell in last if isinstance(cell, str) and cell.strip()), "")
    words = re.findall(r"\w+", label)
    named = any(TOTALS.fullmatch(word) for word in (*words[:1], *words[-1:]))
    return label if named else None


def to_numeric(
    frame: pd.DataFrame,
    columns: Iterable[str],
    where: str,
    *,
    lines: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Return columns as numbers, or say everything that keeps them from being numbers.

    Parameters
    ----------
    frame : DataFrame
        The table. Declared missing codes that are text must have been made missing before.
    columns : iterable of str
        Names of the columns; a name that comes twice is taken once.
    where : str
        What is being read, for the message.
    lines : sequence of int, optional
        Line of the file on which each row begins (`Table.lines`).

    Returns
    -------
    DataFrame
        The columns as float64, in the order of `columns`, with the index of `frame`. Blanks
        are NaN; true and false, also when written as text, are 1 and 0.

    Raises
    ------
    DataError
        With one line for each problem of each column: unknown or ambiguous name, dates, text
        in place of numbers, text that looks like a missing code that nobody declared, numbers
        written with other decimal or thousands marks, infinite values.

    Examples
    --------
    >>> answers = pd.DataFrame({"trust": ["3", "99 (don't know)", "4"], "gdp": ["1,5", "2", None]})
    >>> to_numeric(answers, ["trust", "gdp"], "round1.csv")
    Traceback (most recent call last):
    lgpi_research.errors.DataError: 2 problems in round1.csv
    - trust: text like a missing code in 1 of 3 values ("99 (don't know)"; first rows 2).
      Declare it as a missing code in the codebook, or leave the cells blank.
    - gdp: numbers in another notation in 1 of 2 values ('1,5'; first rows 1).
      Read the file with decimal=',', or write the numbers as 1234.5.
    """
    problems = Problems(where)
    numbers: dict[str, npt.NDArray[np.float64]] = {}
    present = [str(name) for name in frame.columns]
    for name in dict.fromkeys(columns):
        if present.count(name) == 1:
            numbers[name] = _as_numbers(name, frame.iloc[:, present.index(name)], lines, problems)
        elif name in present:
            problems.add(f"{name}: {present.count(name)} columns have this name.")
        else:
            problems.add(
                f"{name}: there is no such column.{nearest(name, present)} "
                f"Columns: {listing(present, most=12)}."
            )
    problems.raise_any(DataError)
    return pd.DataFrame(numbers, index=frame.index, dtype=np.float64)


def _as_numbers(
    name: str, series: pd.Series, lines: Sequence[int] | None, problems: Problems
) -> npt.NDArray[np.float64]:
    """Return one column as numbers, and add to the problems what keeps it from being that."""
    if pd.api.types.is_datetime64_any_dtype(series):
        problems.add(f"{name}: the column holds dates, not numbers. Choose a numeric column.")
        return np.full(len(series), np.nan)
    if pd.api.types.is_numeric_dtype(series):
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        present = int(series.notna().sum())
    else:
        texts = [None if pd.isna(value) else str(value) for value in series]
        cells = trimmed(pa.array(texts, pa.string()))
        present = len(cells) - cells.null_count
        lower = pc.utf8_lower(cells)
        if pc.all(pc.is_in(lower.drop_null(), pa.array(["true", "false"]))).as_py():
            numbers = pc.equal(lower, "true").cast(pa.int8())
        else:
            endless = pc.is_in(pc.utf8_ltrim(lower, "+-"), pa.array(["inf", "infinity", "∞"]))
            numbers = pc.if_else(endless, "inf", numerals(cells))
            bad = np.flatnonzero(pc.and_(pc.is_null(numbers), pc.is_valid(cells)))
            problems.extend(_complaints(name, cells.to_pylist(), bad.tolist(), present, lines))
        values = numbers.cast(pa.float64()).fill_null(np.nan).to_numpy()
    infinite = np.flatnonzero(np.isinf(values)).tolist()
    if infinite:
        problems.add(
            f"{name}: {len(infinite)} of {present} values are infinite "
            f"({_places(infinite, lines)}). Correct them, or leave the cells blank."
        )
    return values


def _complaints(
    name: str,
    cells: list[str | None],
    bad: list[int],
    present: int,
    lines: Sequence[int] | None,
) -> Iterator[str]:
    """Say of cells that are no numbers what they look like and what to do about them."""
    unsaid = {place for place in bad if _is_missing_like(cells[place])}
    other = [place for place in bad if place not in unsaid]
    if unsaid:
        yield (
            f"{name}: text like a missing code in {len(unsaid)} of {present} values "
            f"({_shown(cells, sorted(unsaid), lines)}). Declare it as a missing code in the "
            "codebook, or leave the cells blank."
        )
    if other:
        rest = [
            cell for place, cell in enumerate(cells) if cell is not None and place not in unsaid
        ]
        style = _style(rest)
        if style:
            what, advice = "numbers in another notation", style
        elif all(cell.endswith("%") for cell in rest):
            what, advice = "percent signs", "Write 12% as 12 in every cell."
        elif 2 * len(other) > present:
            what, advice = "text", "Choose a numeric column, or code its values as numbers."
        else:
            what = "text"
            advice = "Correct it, leave the cells blank, or declare it as a missing code."
        yield (
            f"{name}: {what} in {len(other)} of {present} values "
            f"({_shown(cells, other, lines)}). {advice}"
        )


def _is_missing_like(cell: str | None) -> bool:
    return cell is not None and MISSING_LIKE.fullmatch(cell) is not None


def _style(cells: list[str]) -> str:
    """Name the options that read every cell as a number, or return an empty string."""
    array = pa.array(cells, pa.string())
    found: list[tuple[Any, str]] = []
    for decimal, thousands in STYLES:
        numbers = numerals(array, decimal, thousands)
        if numbers.null_count == 0:
            options = [f"decimal={decimal!r}"] if decimal != "." else []
            options += [f"thousands={thousands!r}"] if thousands else []
            found.append((numbers.cast(pa.float64()), ", ".join(options)))
    if not found:
        return ""
    values, options_text = found[0]
    for rival, rival_text in found[1:]:
        if not rival.equals(values):
            place = int(np.flatnonzero(pc.not_equal(rival, values))[0])
            return (
                f"Read the file with {options_text} if {cells[place]!r} is {values[place]}, or "
                f"with {rival_text} if it is {rival[place]}."
            )
    return f"Read the file with {options_text}, or write the numbers as 1234.5."


def _shown(cells: list[str | None], places: list[int], lines: Sequence[int] | None) -> str:
    """Show the commonest of some cells and where the first of them stand."""
    counts = Counter(str(cells[place]) for place in places).most_common()
    values = listing(
        f"{text[:40]!r}{f' {times} times' if times > 1 else ''}" for text, times in counts
    )
    return f"{values}; {_places(places, lines)}"


def _places(places: list[int], lines: Sequence[int] | None) -> str:
    """Name rows, counted from 1, and their lines in the file."""
    rows = f"first rows {', '.join(str(place + 1) for place in places[:3])}"
    if lines is None:
        return rows
    return f"{rows}, on lines {', '.join(str(lines[place]) for place in places[:3])}"
