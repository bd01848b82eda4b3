"""Read a table from a file: CSV, Parquet, Excel, Stata and SPSS to frame and labels.

What a file says is kept, what it does not say is not guessed. Only a blank is a missing
value; a declared missing code stays a code; whatever is set aside is counted in the notes.
No format that can run code when it is opened is read.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import itertools
import os
import re
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from lgpi_research.columns import check_totals_row, numerals, total_label, trimmed
from lgpi_research.errors import DataError, Problems, SpecError, listing, nearest

__all__ = ["Table", "read_table"]

Value = int | float | str

KINDS = {
    ".csv": "text",
    ".tsv": "text",
    ".tab": "text",
    ".txt": "text",
    ".parquet": "Parquet",
    ".xlsx": "Excel",
    ".dta": "Stata",
    ".sav": "SPSS",
    ".zsav": "SPSS",
}
"""What is read, by the extension of the file."""

OPTIONS = {
    "text": ("delimiter", "decimal", "thousands", "encoding"),
    "Parquet": (),
    "Excel": ("decimal", "thousands", "sheet"),
    "Stata": ("encoding",),
    "SPSS": ("encoding",),
}
"""Options that mean something for each kind of file."""

REFUSED = {
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), "a pickle can run any code when it is opened"),
    **dict.fromkeys((".rds", ".rda", ".rdata"), "an R data file can run code when it is opened"),
    ".xls": "the old Excel format is not read",
    ".gz": "compressed text is not read before it is unpacked",
    ".zip": "an archive is not read before it is unpacked",
}
"""Why some extensions are not read."""

MAGIC = (
    (b"PAR1", "Parquet", "Rename it to .parquet"),
    (b"PK\x03\x04", "Excel", "Rename it to .xlsx, or unpack it if it is an archive"),
    (b"<stata_dta>", "Stata", "Rename it to .dta"),
    (b"$FL2", "SPSS", "Rename it to .sav"),
    (b"$FL3", "SPSS", "Rename it to .zsav"),
    (b"\xd0\xcf\x11\xe0", "old or password-protected Excel", "Save it as .xlsx or .csv"),
    (b"\x1f\x8b", "gzip-compressed", "Unpack it"),
)
"""First bytes that give a format away, its kind, and what to do when the name says another."""

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, with whose mark it begins
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
DELIMITERS = (",", ";", "\t", "|")
DECIMALS = (".", ",")
THOUSANDS = (" ", ",", ".", "'", "_")
CHUNK = 16_384  # records held as Python text at a time
EXACT = 2**53  # up to here a float holds every whole number

TEXT_TYPES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
READABLE_TYPES = (
    *TEXT_TYPES,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_boolean,
    pa.types.is_date,
    pa.types.is_timestamp,
    pa.types.is_null,
)
"""Tests of the Arrow types that a column of numbers, text or dates can have."""


@dataclass(frozen=True, eq=False)
class Table:
    """A table as its file holds it.

    Parameters
    ----------
    frame : DataFrame
        Rows and columns. Columns are int64, float64, bool, str or datetime64; blanks are NaN.
    labels : mapping of str to str
        Column to what it means, where the file says so.
    value_labels : mapping of str to mapping
        Column to value to label. Extended missing values of Stata are ``".a"`` to ``".z"``.
    missing_codes : mapping of str to tuple
        Column to the codes that the file declares missing. In SPSS these values are still in
        `frame`, and a declared range is given by its codes that occur or carry a label. In
        Stata they are letters, ``".a"`` to ``".z"``, and NaN in `frame`.
    notes : tuple of str
        How the file was read and what was set aside, with counts.
    source : str
        Name of the file, without its folder.
    digest : str
        SHA-256 of the bytes of the file.
    lines : sequence of int, optional
        Line of the file (row of the sheet) on which each row of `frame` begins; None for
        formats without lines.
    """

    frame: pd.DataFrame = field(repr=False)
    labels: Mapping[str, str] = field(default_factory=dict, repr=False)
    value_labels: Mapping[str, Mapping[Value, str]] = field(default_factory=dict, repr=False)
    missing_codes: Mapping[str, tuple[Value, ...]] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()
    source: str = ""
    digest: str = ""
    lines: Sequence[int] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class _Options:
    """The options of `read_table`, as given."""

    delimiter: str | None
    decimal: str
    thousands: str | None
    encoding: str | None
    sheet: str | None


@dataclass
class _Log:
    """What is learnt while a file is read: facts to note, problems to raise together."""

    problems: Problems
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Cells:
    """Rows and columns before their types are known."""

    header: Sequence[Any]
    columns: Sequence[Any]
    lines: Sequence[int]
    blank: Sequence[int]


def read_table(
    path: str | os.PathLike[str],
    *,
    delimiter: str | None = None,
    decimal: str = ".",
    thousands: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
) -> Table:
    r"""Read a table from a file.

    Parameters
    ----------
    path : str or path
        A file named ``.csv``, ``.tsv``, ``.tab``, ``.txt``, ``.parquet``, ``.xlsx``, ``.dta``,
        ``.sav`` or ``.zsav``. Text and sheets have the column names in their first row.
    delimiter : str, optional
        What separates the columns of a text file. None is a tab for ``.tsv`` and ``.tab``, else
        a comma: nothing is guessed, but a delimiter that would fit better is named.
    decimal : {".", ","}, default "."
        Decimal mark of numbers written as text.
    thousands : {None, " ", ",", ".", "'", "_"}, default None
        What groups the digits of numbers written as text; ``" "`` stands for every kind of space.
    encoding : str, optional
        Encoding of a text, Stata or SPSS file. None is what the byte-order mark says or UTF-8
        for text, and what the file declares for the others.
    sheet : str, optional
        Sheet of an Excel file; None is the first.

    Returns
    -------
    Table
        The frame with labels, value labels, declared missing codes, notes and digest.

    Raises
    ------
    DataError
        If the file is missing, empty, unreadable, of a kind that is not read, or not of the
        kind its name says; if rows are ragged, the delimiter is wrong, the text is not in its
        encoding, column names are blank or duplicated, there is no row, or the last row is a
        row of totals.
    SpecError
        If an option has a value that is not allowed, or means nothing for this kind of file.

    Notes
    -----
    Only a blank cell is missing; "NA" and the like are text, because a code that nobody
    declared could hide an answer. In text and sheets a column is numeric if every cell is a
    number that is held exactly and has no leading zero ("0412" is a key, not 412); spaces
    around cells are removed and blank rows set aside, with a note. In Stata and SPSS files,
    whole numbers without gaps become int64. The file is read as a whole; a survey that
    exceeds the memory comes in as an Arrow or Dask table instead.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "places.csv"
    ...     _ = path.write_text("code;share\n0412;0,5\n0513;\n", encoding="utf-8")
    ...     table = read_table(path, delimiter=";", decimal=",")
    >>> table.frame
       code  share
    0  0412    0.5
    1  0513    NaN
    """
    path = Path(path)
    where = path.name
    kind = _kind(path)
    options = _Options(delimiter, decimal, thousands, encoding, sheet)
    _check_options(options, kind, where)
    data = _content(path, kind)
    if kind == "text" and delimiter is None:
        tabbed = path.suffix.lower() in (".tsv", ".tab")
        options = replace(options, delimiter="\t" if tabbed else ",")
    log = _Log(Problems(where))
    table = _READERS[kind](data, where, options, log)
    if table.frame.empty:
        raise DataError(f"{where}: the table has {len(table.frame.columns)} columns and no rows.")
    check_totals_row(table.frame, where, lines=table.lines)
    total = total_label(table.frame)
    if total is not None:
        log.notes.append(
            f"The last row is labelled {total!r} but holds no column sum; it was kept as a row."
        )
    digest = hashlib.sha256(data).hexdigest()
    return replace(table, notes=tuple(log.notes), source=where, digest=digest)


def _kind(path: Path) -> str:
    """Return the kind of a file by its extension, or refuse it with the reason."""
    extension = path.suffix.lower()
    if extension in KINDS:
        return KINDS[extension]
    reason = REFUSED.get(extension, f"files named {extension!r} are not read")
    if not extension:
        reason = "the name has no extension to say what the file holds"
    raise DataError(f"{path.name}: {reason}. Save the table as one of {listing(KINDS, most=9)}.")


def _check_options(options: _Options, kind: str, where: str) -> None:
    """Refuse values that are not allowed, and options that mean nothing for this kind."""
    problems = Problems(f"the options for {where}")
    unset = _Options(None, ".", None, None, None)
    for name, value in vars(options).items():
        if value != getattr(unset, name) and name not in OPTIONS[kind]:
            allowed = ", ".join(OPTIONS[kind]) or "none"
            problems.add(f"{name} means nothing for a file of kind {kind}. Options: {allowed}.")
    mark = options.delimiter
    if mark is not None and (len(mark) != 1 or mark.isalnum() or mark in '"\r\n\ufeff'):
        problems.add(
            "delimiter must be one character that is no letter, digit or quote, such as "
            f"{listing(map(repr, DELIMITERS))}; got {mark!r}."
        )
    if options.decimal not in DECIMALS:
        problems.add(f"decimal must be '.' or ',', got {options.decimal!r}.")
    if options.thousands is not None and options.thousands not in THOUSANDS:
        problems.add(
            f"thousands must be None or one of {listing(map(repr, THOUSANDS))}, "
            f"got {options.thousands!r}."
        )
    if options.thousands == options.decimal:
        problems.add(f"decimal and thousands are both {options.decimal!r}; they must differ.")
    if options.encoding is not None:
        try:
            bytes(4).decode(options.encoding, "ignore")
        except (LookupError, ValueError):
            problems.add(
                f"{options.encoding!r} is not an encoding of text. Examples: utf-8, utf-16, "
                "windows-1251, windows-1252, koi8-u."
            )
    problems.raise_any(SpecError)


def _content(path: Path, kind: str) -> bytes:
    """Return the bytes of a file that holds what its name says."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.{_neighbour(path)}") from None
    except IsADirectoryError:
        raise DataError(f"{path}: this is a folder; name a file in it.") from None
    except OSError as error:
        raise DataError(
            f"{path}: the file cannot be read ({error.strerror or error}). Check its permissions "
            "and its folder, and that no other program holds it open."
        ) from None
    if not data or data.isspace():
        raise DataError(f"{path.name}: the file is empty ({len(data)} bytes).")
    for magic, found, advice in MAGIC:
        if data.startswith(magic) and found != kind:
            raise DataError(f"{path.name}: the file holds {found} data, not {kind}. {advice}.")
    return data


def _neighbour(path: Path) -> str:
    """Name the nearest file of the same folder, or say that there is no such folder."""
    try:
        present = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return f" There is no folder {str(path.parent)!r} either."
    return nearest(path.name, present)


def _damaged(where: str, kind: str, error: Exception) -> DataError:
    reason = f"{error}".strip().rstrip(".") or type(error).__name__
    return DataError(
        f"{where}: the file cannot be read as {kind} ({reason}). It is damaged, incomplete or "
        "not what its name says; download or export it again."
    )


# Text


def _read_text(data: bytes, where: str, options: _Options, log: _Log) -> Table:
    delimiter = options.delimiter or ","
    text = _decode(data, options.encoding, where, log)
    cells = _split_regular(text, delimiter) or _split(text, delimiter, where)
    return _assemble(cells, _text_column, options, log)


def _split_regular(text: str, delimiter: str) -> _Cells | None:
    """Split a text in which every line is a row of two cells or more, or return None.

    This is the fast way. Whatever is odd is left to `_split`, which knows the lines.
    """
    first = next(csv.reader(io.StringIO(text[:65_536], newline=""), delimiter=delimiter), [])
    if len(first) < 2 or not delimiter.isascii():
        return None
    quoted = f'(^|{re.escape(delimiter)})"(?:[^"\r\n]|"")*"(?=$|\r|{re.escape(delimiter)})'
    if '"' in text and '"' in re.sub(quoted, r"\1", text, flags=re.MULTILINE):
        return None
    names = [f"f{place}" for place in range(len(first))]
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(text.encode()),
            pa_csv.ReadOptions(column_names=names),
            pa_csv.ParseOptions(delimiter=delimiter, ignore_empty_lines=False),
            pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowInvalid:
        return None
    if len(table) != text.count("\n") + (not text.endswith("\n")):
        return None
    blank = pc.equal(pc.utf8_trim_whitespace(table.column(0)), "")
    for column in table.columns[1:]:
        if not pc.any(blank).as_py():
            break
        blank = pc.and_(blank, pc.equal(pc.utf8_trim_whitespace(column), ""))
    else:
        if pc.any(blank).as_py():
            return None
    header = [column[0].as_py() for column in table.columns]
    return _Cells(header, table.slice(1).columns, range(2, len(table) + 1), [])


def _split(text: str, delimiter: str, where: str) -> _Cells:
    """Split a text record by record, setting blank ones aside and refusing ragged ones."""
    records = _records(text, delimiter, where)
    header = next((row for _, row in records if any(map(str.strip, row))), [])
    width = len(header)
    if width == 1:
        _check_delimiter(text, delimiter, where, "one column")
    chunks: list[list[Any]] = [[pa.array([], pa.string())] for _ in header]
    lines: list[int] = []
    blank: list[int] = []
    ragged: list[str] = []
    while batch := list(itertools.islice(records, CHUNK)):
        rows = []
        for line, row in batch:
            if not any(map(str.strip, row)):
                blank.append(line)
            elif len(row) == width:
                rows.append(row)
                lines.append(line)
            else:
                ragged.append(f"line {line} has {len(row)}")
        for chunk, cells in zip(chunks, zip(*rows, strict=True), strict=False):
            chunk.append(pa.array(cells, pa.string()))
    if ragged:
        _check_delimiter(text, delimiter, where, f"{len(ragged)} ragged rows")
        raise DataError(
            f"{where}: {len(ragged)} of {len(ragged) + len(lines)} rows do not have as many cells "
            f"as the header, which has {width}: {listing(ragged)}. Put quotes around cells that "
            f"hold the delimiter {delimiter!r}; the first row must hold the column names and "
            "nothing else."
        )
    return _Cells(header, [pa.chunked_array(chunk) for chunk in chunks], lines, blank)


def _decode(data: bytes, encoding: str | None, where: str, log: _Log) -> str:
    """Return the text of a file without its byte-order mark."""
    mark, name = next(((m, n) for m, n in MARKS if data.startswith(m)), (b"", "utf-8"))
    if encoding is not None:
        if mark and not codecs.lookup(encoding).name.startswith("utf"):
            raise SpecError(
                f"{where} begins with the byte-order mark of {name}, so it is not {encoding}. "
                "Leave encoding out."
            )
        mark, name = b"", encoding
    try:
        text = data[len(mark) :].decode(name)
    except UnicodeDecodeError as error:
        start = len(mark) + error.start
        line = data.count(b"\n", 0, start) + 1
        raise DataError(
            f"{where}: the text is not {name}: byte {data[start]:#04x} at offset {start}, on line "
            f"{line}. Save the file as UTF-8, or pass its encoding, for example "
            "encoding='windows-1251' (Cyrillic) or 'windows-1252' (Western)."
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"{where}: this is not text in {name}: it holds null characters, the first on line "
            f"{line}. If it is UTF-16 without a byte-order mark, pass encoding='utf-16-le'."
        )
    if codecs.lookup(name).name not in ("utf-8", "utf-8-sig", "ascii"):
        log.notes.append(f"The text was read as {name}.")
    return text.removeprefix("\ufeff")


def _records(text: str, delimiter: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with the line on which it begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for row in reader:
            yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{where}: the record that begins on line {line} cannot be split into cells ({error}). "
            'Check its quotes: one is not closed, or stands inside a quoted cell without being "".'
        ) from None


def _check_delimiter(text: str, delimiter: str, where: str, trouble: str) -> None:
    """Name the delimiter that makes a regular table of the first records, if there is one."""
    sample = text[:65_536]
    if len(sample) < len(text):
        sample = sample[: sample.rfind("\n") + 1]
    fits: list[tuple[int, str]] = []
    for other in DELIMITERS:
        reader = csv.reader(io.StringIO(sample, newline=""), delimiter=other)
        widths = [len(row) for row in itertools.islice(reader, 100) if row]
        regular = bool(widths) and 2 * widths.count(widths[0]) > len(widths)
        if other != delimiter and regular and widths[0] > 1:
            fits.append((widths[0], other))
    if fits:
        width, better = max(fits)
        raise DataError(
            f"{where}: the delimiter {delimiter!r} gives {trouble}; {better!r} would give {width} "
            f"columns. Pass delimiter={better!r}."
        )


def _assemble(
    cells: _Cells,
    typed: Callable[[str, Any, _Options, _Log], pd.Series],
    options: _Options,
    log: _Log,
) -> Table:
    """Make a table of untyped cells."""
    grid: list[tuple[str, pd.Series]] = []
    empty = 0
    for head, column in zip(cells.header, cells.columns, strict=True):
        name = "" if head is None else str(head)
        series = typed(name.strip(), column, options, log)
        if name.strip() or not series.isna().all():
            grid.append((name, series))
        else:
            empty += 1
    if empty:
        log.notes.append(f"Columns without name and content, set aside: {empty}.")
    if cells.blank:
        log.notes.append(
            f"Blank rows, set aside: {len(cells.blank)} (lines {listing(cells.blank)})."
        )
    return Table(_frame(grid, log), lines=cells.lines)


def _frame(grid: list[tuple[str, pd.Series]], log: _Log) -> pd.DataFrame:
    """Join columns, their names freed of the spaces around them and checked."""
    names = [name.strip() for name, _ in grid]
    spaced = [name for (old, _), name in zip(grid, names, strict=True) if name and old != name]
    if spaced:
        log.notes.append(f"Spaces around column names were removed: {listing(spaced)}.")
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names, start=1):
        places.setdefault(name, []).append(place)
    unnamed = places.pop("", [])
    if unnamed:
        index = " If column 1 is a row index, write the table without it." * (1 in unnamed)
        log.problems.add(
            f"{len(unnamed)} of {len(names)} column names are blank (columns {listing(unnamed)}). "
            f"The first row must name each column.{index}"
        )
    for name, found in places.items():
        if len(found) > 1:
            log.problems.add(
                f"{name}: {len(found)} columns have this name (columns {listing(found)}). "
                "Each column needs its own."
            )
    log.problems.raise_any(DataError)
    return pd.DataFrame({name: series for name, (_, series) in zip(names, grid, strict=True)})


def _text_column(name: str, raw: Any, options: _Options, log: _Log) -> pd.Series:
    """Type a column of text cells: numbers if every cell is one, else text."""
    cells = trimmed(raw)
    present = len(cells) - cells.null_count
    if not present:
        return pd.Series(np.full(len(cells), np.nan))
    numbers = numerals(cells, options.decimal, options.thousands)
    words = numbers.null_count - cells.null_count
    if not words and not pc.any(pc.match_substring_regex(cells, "^[+-]?0[0-9]")).as_py():
        try:
            whole = pc.utf8_ltrim(numbers, "+").cast(pa.int64())
        except pa.ArrowInvalid:
            if not pc.all(pc.match_substring_regex(numbers, "^[+-]?[0-9]+$")).as_py():
                return _column(name, numbers.cast(pa.float64()), log)
            log.notes.append(f"{name}: whole numbers too long to be held exactly are text.")
        else:
            return _column(name, whole, log)
    if 0 < 2 * words <= present and (options.decimal, options.thousands) != (".", None):
        if pc.any(pc.and_(pc.is_null(numbers), pc.is_valid(numerals(cells)))).as_py():
            log.problems.add(
                f"{name}: some values are written as 1234.5, the others with decimal="
                f"{options.decimal!r} and thousands={options.thousands!r}. Write all in one way."
            )
        cells = pc.coalesce(numbers, cells)
        log.notes.append(
            f"{name}: {words} of {present} values are no numbers, so the column is text; the "
            "numbers in it were rewritten as 1234.5."
        )
    bare = pc.utf8_trim_whitespace(raw)
    spaced = pc.sum(pc.and_(pc.not_equal(raw, bare), pc.not_equal(bare, ""))).as_py()
    if spaced:
        log.notes.append(f"{name}: values whose surrounding spaces were removed: {spaced}.")
    return _column(name, cells, log)


def _column(name: str, column: Any, log: _Log) -> pd.Series:
    """Return an Arrow column of a readable type as int64, float64, bool, str or datetime64."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_integer(column.type):
        low, high = (bound or 0 for bound in pc.min_max(column).as_py().values())
        if not column.null_count and high < 2**63:
            return pd.Series(column.cast(pa.int64()).to_numpy())
        if max(-low, high) > EXACT:
            log.notes.append(f"{name}: whole numbers too long to be held exactly are text.")
            column = column.cast(pa.string())
    if any(test(column.type) for test in TEXT_TYPES):
        column = column.cast(pa.large_string())
        filled = pc.if_else(pc.equal(column, ""), None, column)
        return pd.Series(filled.to_pandas(), dtype="str")
    if pa.types.is_boolean(column.type):
        if not column.null_count:
            return pd.Series(column.to_pandas())
        log.notes.append(f"{name}: true and false are 1 and 0, because values are missing.")
        column = column.cast(pa.int8())
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    if pa.types.is_timestamp(column.type):
        return pd.Series(column.to_pandas())
    return pd.Series(column.cast(pa.float64()).fill_null(np.nan).to_numpy())


# Sheets


def _read_excel(data: bytes, where: str, options: _Options, log: _Log) -> Table:
    names, sheet, values = _sheet(data, where, options.sheet, log)
    if len(names) > 1 and options.sheet is None:
        others = listing(map(repr, names[1:]))
        log.notes.append(f"Sheet {sheet!r} was read; name another by sheet= ({others}).")
    rows = [
        (line, row)
        for line, row in enumerate(values, start=1)
        if any(cell is not None and str(cell).strip() for cell in row)
    ]
    if not rows:
        raise DataError(f"{where}: sheet {sheet!r} is empty.")
    width = max(len(row) for _, row in rows)
    first, *body = ((line, (*row, *[None] * (width - len(row)))) for line, row in rows)
    lines = [line for line, _ in body]
    if any(cell is None for _, row in body for cell in row):
        _check_formulas(data, where, sheet, values)
    blank = sorted(set(range(first[0] + 1, rows[-1][0])).difference(lines))
    columns = list(zip(*(row for _, row in body), strict=True)) or [()] * width
    return _assemble(_Cells(first[1], columns, lines, blank), _sheet_column, options, log)


def _sheet(
    data: bytes, where: str, sheet: str | None, log: _Log, *, formulas: bool = False
) -> tuple[list[str], str, list[tuple[Any, ...]]]:
    """Return the names of all sheets, the name of the one that is read, and its rows."""
    import openpyxl

    rows: list[tuple[Any, ...]] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=not formulas)
            pages = {page.title: page for page in book.worksheets}
            chosen = sheet if sheet is not None else next(iter(pages))
            if chosen in pages:
                pages[chosen].reset_dimensions()  # some programs store wrong ones
                rows = [tuple(row) for row in pages[chosen].iter_rows(values_only=True)]
        except (
            zipfile.BadZipFile,
            zlib.error,
            ParseError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            raise _damaged(where, "Excel", error) from None
    log.notes.extend(sorted({f"openpyxl: {warning.message}" for warning in caught}))
    if chosen not in pages:
        raise SpecError(
            f"{where} has no sheet {chosen!r}.{nearest(str(chosen), pages)} "
            f"Sheets: {listing(pages)}."
        )
    return list(pages), chosen, rows


def _check_formulas(data: bytes, where: str, sheet: str, values: list[tuple[Any, ...]]) -> None:
    """Refuse a sheet whose formulas were never calculated: they would be taken for blanks.

    A formula may well result in a blank, so only a sheet without one result is refused.
    """
    from openpyxl.utils import get_column_letter

    _, _, formulas = _sheet(data, where, sheet, _Log(Problems(where)), formulas=True)
    results = {
        f"{get_column_letter(place)}{line}": value
        for line, (row, formula_row) in enumerate(zip(values, formulas, strict=True), start=1)
        for place, (value, formula) in enumerate(zip(row, formula_row, strict=True), start=1)
        if value != formula
    }
    if results and all(value is None for value in results.values()):
        raise DataError(
            f"{where}: sheet {sheet!r} holds {len(results)} formulas ({listing(results)}) and no "
            "result of any. Open the file in a spreadsheet program and save it again."
        )


def _sheet_column(name: str, raw: Sequence[Any], options: _Options, log: _Log) -> pd.Series:
    """Type a column of a sheet by its cells; a mixed one as if it came from a text file."""
    cells = [None if isinstance(cell, str) and not cell.strip() else cell for cell in raw]
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds == {int} and max(abs(cell) for cell in cells if cell is not None) < EXACT:
        return _column(name, pa.array(cells, pa.int64()), log)
    for allowed, arrow in (
        ({int, float}, pa.float64()),
        ({bool}, pa.bool_()),
        ({datetime}, pa.timestamp("us")),
    ):
        if kinds <= allowed:
            return _column(name, pa.array(cells, arrow), log)
    texts = pa.array([_as_text(cell, options.decimal) for cell in cells], pa.string())
    return _text_column(name, texts, options, log)


def _as_text(cell: Any, decimal: str) -> str | None:
    """Write one cell of a mixed column as a text file would hold it."""
    if isinstance(cell, float):
        return repr(cell).removesuffix(".0").replace(".", decimal)
    return None if cell is None else str(cell)


# Typed formats


def _read_parquet(data: bytes, where: str, _options: _Options, log: _Log) -> Table:
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise _damaged(where, "Parquet", error) from None
    grid: list[tuple[str, pd.Series]] = []
    aside: list[str] = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if name != "__index_level_0__" and any(test(kind) for test in READABLE_TYPES):
            grid.append((name, _column(name, column, log)))
        else:
            aside.append(f"{name} ({kind})")
    if aside:
        log.notes.append(
            f"{len(aside)} columns were set aside, a row index without a name or neither numbers, "
            f"text nor dates: {listing(aside)}."
        )
    return Table(_frame(grid, log))


def _read_stata(data: bytes, where: str, options: _Options, log: _Log) -> Table:
    import pyreadstat

    raw, meta = _labelled(pyreadstat.read_dta, data, where, "Stata", options, log)
    grid: list[tuple[str, pd.Series]] = []
    codes: dict[str, tuple[Value, ...]] = {}
    found: list[str] = []
    total = 0
    for name, series in raw:
        text = meta.readstat_variable_types[name] == "string"
        if not text and not pd.api.types.is_numeric_dtype(series):
            lettered = series.map(lambda value: isinstance(value, str)).astype(bool)
            counts = sorted(Counter(series[lettered]).items())
            if counts:
                codes[name.strip()] = tuple(f".{letter}" for letter, _ in counts)
                found.append(f"{name}: {listing(f'.{letter} {n}' for letter, n in counts)}")
                total += sum(n for _, n in counts)
            series = series.astype(object).mask(lettered, np.nan).infer_objects()
        grid.append((name, _settled(series)))
    if found:
        log.notes.append(
            f"{total} extended missing values in {len(found)} columns are missing here "
            f"({listing(found)})."
        )
    labels = {
        name: {f".{key}" if isinstance(key, str) else key: text for key, text in texts.items()}
        for name, texts in _value_labels(meta).items()
    }
    return Table(_frame(grid, log), _labels(meta), labels, codes)


def _read_spss(data: bytes, where: str, options: _Options, log: _Log) -> Table:
    import pyreadstat

    raw, meta = _labelled(pyreadstat.read_sav, data, where, "SPSS", options, log)
    frame = _frame([(name, _settled(series)) for name, series in raw], log)
    labels = _value_labels(meta)
    codes: dict[str, tuple[Value, ...]] = {}
    found: list[str] = []
    total = 0
    for raw_name, spans in meta.missing_ranges.items():
        name = raw_name.strip()
        if pd.api.types.is_datetime64_any_dtype(frame[name]):
            log.notes.append(f"{name}: missing codes declared for a column of dates are not used.")
            continue
        known = {*map(_plain, frame[name].dropna().unique().tolist()), *labels.get(name, ())}
        inside: set[Value] = set()
        for low, high in ((_plain(span["lo"]), _plain(span["hi"])) for span in spans):
            inside |= {low} if low == high else {code for code in known if low <= code <= high}
        codes[name] = tuple(sorted(inside))
        times = int(frame[name].isin(inside).sum())
        if times:
            found.append(f"{name}: {times} of {listing(codes[name])}")
            total += times
    if found:
        log.notes.append(
            f"{total} values in {len(found)} columns are codes that the file declares missing; "
            f"they are kept as codes ({listing(found)})."
        )
    return Table(frame, _labels(meta), labels, codes)


def _labelled(
    read: Callable[..., Any], data: bytes, where: str, kind: str, options: _Options, log: _Log
) -> tuple[list[tuple[str, pd.Series]], Any]:
    """Return the columns and the description that pyreadstat makes of a file."""
    import pyreadstat

    try:
        frame, meta = read(io.BytesIO(data), encoding=options.encoding, user_missing=True)
    except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError, OverflowError) as error:
        raise DataError(
            f"{_damaged(where, kind, error)} If it names an encoding or characters, pass "
            "encoding=, for example 'windows-1251'."
        ) from None
    if options.encoding is not None:
        log.notes.append(f"The text was read as {options.encoding}.")
    return [(str(name), frame[name]) for name in frame.columns], meta


def _labels(meta: Any) -> dict[str, str]:
    return {name.strip(): text for name, text in meta.column_names_to_labels.items() if text}


def _value_labels(meta: Any) -> dict[str, dict[Value, str]]:
    return {
        name.strip(): {_plain(value): text for value, text in texts.items()}
        for name, texts in meta.variable_value_labels.items()
    }


def _plain(value: Any) -> Any:
    """Write a whole number as int, so that code 99 is 99 in files that know only floats."""
    return int(value) if isinstance(value, int | float) and float(value).is_integer() else value


def _settled(series: pd.Series) -> pd.Series:
    """Return whole numbers without gaps as int64, dates as datetime64, other objects as text."""
    if pd.api.types.is_float_dtype(series):
        values = series.to_numpy(dtype=np.float64)
        if ((np.abs(values) <= EXACT) & (values == np.round(values))).all():
            return series.astype(np.int64)
        return series.astype(np.float64)
    if series.dtype == object and all(isinstance(value, date) for value in series.dropna()):
        return pd.to_datetime(series).astype("datetime64[us]")
    if series.dtype == object or pd.api.types.is_string_dtype(series):
        text = series.map(str, na_action="ignore").astype("str")
        return text.mask(text == "")
    if pd.api.types.is_integer_dtype(series):
        return series.astype(np.int64)
    return series


_READERS: dict[str, Callable[[bytes, str, _Options, _Log], Table]] = {
    "text": _read_text,
    "Parquet": _read_parquet,
    "Excel": _read_excel,
    "Stata": _read_stata,
    "SPSS": _read_spss,
}
