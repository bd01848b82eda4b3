import csv
import datetime as dt
import errno
import hashlib
import io
import pathlib
import string
import warnings
import zipfile
from decimal import Decimal

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyreadstat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal

from lgpi_research import readers
from lgpi_research.columns import check_totals_row, to_numeric
from lgpi_research.errors import DataError, SpecError
from lgpi_research.readers import read_table


@pytest.fixture
def write(tmp_path):
    """Return a function that writes text or bytes to a file and returns its path."""

    def to_file(name, content):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return to_file


@pytest.fixture
def read(write):
    """Return a function that writes a file and reads it back as a table."""
    return lambda name, content, **options: read_table(write(name, content), **options)


@pytest.fixture
def sheet(tmp_path):
    """Return a function that writes rows to an Excel file and returns its path."""

    def to_file(rows, name="table.xlsx", **more):
        book = openpyxl.Workbook()
        book.active.title = "data"
        for row in rows:
            book.active.append(row)
        for title, others in more.items():
            page = book.create_sheet(title)
            for row in others:
                page.append(row)
        book.save(tmp_path / name)
        return tmp_path / name

    return to_file


def refusal(kind, call, *args, **options):
    """Return the message of the error that a call raises."""
    with pytest.raises(kind) as caught:
        call(*args, **options)
    return str(caught.value)


# Text: what is read


def test_text_is_typed_by_all_its_cells(read):
    table = read(
        "t.csv",
        "key,whole,gap,real,word,none,sign,long\n"
        "0412,1,1,1.5,a,,+1,99999999999999999999\n"
        "9000,-2,,2,NA,,-0,1\n",
    )
    frame = table.frame
    assert frame.dtypes.astype(str).to_dict() == {
        "key": "str",
        "whole": "int64",
        "gap": "float64",
        "real": "float64",
        "word": "str",
        "none": "float64",
        "sign": "int64",
        "long": "str",
    }
    assert list(frame["key"]) == ["0412", "9000"]
    assert list(frame["word"]) == ["a", "NA"]  # not missing: nobody declared it
    assert list(frame["sign"]) == [1, 0]
    assert np.isnan(frame["gap"][1])
    assert frame["none"].isna().all()
    assert table.notes == ("long: whole numbers too long to be held exactly are text.",)


def test_whole_numbers_with_gaps_stay_exact(read):
    for key in ("9007199254740993", "-9007199254740993"):
        table = read("t.csv", f"a,b\n{key},1\n,2\n")
        assert table.frame["a"][0] == key  # a float would hold ...992
        assert "too long" in table.notes[0]


def test_numbers_are_read_to_the_last_bit(read):
    values = ["0.1", "1e-320", "2.2250738585072014e-308", ".5", "5.", "1E+5", "8.41"]
    table = read("t.csv", "a,b\n" + "".join(f"{value},x\n" for value in values))
    assert list(table.frame["a"]) == [float(value) for value in values]


@pytest.mark.parametrize("text", ["0x1F", "1_000", "1f", "٣", "--1", "1e", "inf", "nan", "1 000"])
def test_only_plain_decimal_notation_is_a_number(read, text):
    assert list(read("t.csv", f"a,b\n{text},1\n1,2\n").frame["a"]) == [text, "1"]


def test_provenance_of_a_table(write):
    content = "a,b\n1,2\n3,4\n"
    path = write("places.csv", content)
    table = read_table(str(path))
    assert table.source == "places.csv"
    assert table.digest == hashlib.sha256(content.encode()).hexdigest()
    assert list(table.lines) == [2, 3]
    assert table.notes == ()
    assert table.labels == {}
    table.frame.loc[0, "a"] = 9  # the frame is the caller's to change


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_endings_do_not_matter(read, ending, last):
    table = read("t.csv", ending.join(["a,b", "1,x", "2,y"]) + ending * last)
    assert_frame_equal(table.frame, pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))
    assert list(table.lines) == [2, 3]


def test_quotes_protect_delimiters_lines_and_quotes(read):
    table = read("t.csv", 'a,b\n"x, ""y""",1\n"two\nlines",2\nz,3\n')
    assert list(table.frame["a"]) == ['x, "y"', "two\nlines", "z"]
    assert list(table.lines) == [2, 3, 5]


def test_blank_rows_and_columns_are_set_aside_and_counted(read):
    table = read("t.csv", "a,b,,\n\n1,x,,\n , ,,\n,,,\n2,y,,\n")
    assert_frame_equal(table.frame, pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))
    assert list(table.lines) == [3, 6]
    assert table.notes == (
        "Columns without name and content, set aside: 2.",
        "Blank rows, set aside: 3 (lines 2, 4, 5).",
    )


def test_blank_rows_of_a_regular_text_are_set_aside_too(read):
    assert "1 (lines 3)" in read("t.csv", "a,b\n1,x\n,\n2,y\n").notes[0]


def test_a_row_with_one_value_is_kept(read):
    table = read("t.csv", "a,b\n,x\n2,\n")
    assert table.frame.isna().to_numpy().tolist() == [[True, False], [False, True]]


def test_one_column_is_a_table(read):
    for name in ("place", "place; kind"):
        table = read("t.csv", f"{name}\nKyiv; city\nLviv\nOdesa\n")
        assert list(table.frame[name]) == ["Kyiv; city", "Lviv", "Odesa"]


def test_spaces_around_names_and_cells_are_removed_with_a_note(read):
    table = read("t.csv", "a , b\n north, 1 \nsouth,\u00a02\n  ,3\n")
    assert_frame_equal(table.frame, pd.DataFrame({"a": ["north", "south", None], "b": [1, 2, 3]}))
    assert table.notes == (
        "a: values whose surrounding spaces were removed: 1.",
        "Spaces around column names were removed: a, b.",
    )


@pytest.mark.parametrize(
    ("decimal", "thousands", "cells", "values"),
    [
        (",", None, ["1,5", "-2", ",5"], [1.5, -2, 0.5]),
        (".", ",", ["1,234.5", "12", "1,234,567"], [1234.5, 12, 1234567]),
        (",", ".", ["1.234,5", "12"], [1234.5, 12]),
        (",", " ", ["1 234,5", "1\u00a0234", "1\u202f234"], [1234.5, 1234, 1234]),
        (".", "'", ["1'234", "1’234.5"], [1234, 1234.5]),
        (".", "_", ["1_234"], [1234]),
    ],
)
def test_declared_marks_of_numbers(read, decimal, thousands, cells, values):
    text = "a;b\n" + "".join(f"{cell};x\n" for cell in cells)
    table = read("t.csv", text, delimiter=";", decimal=decimal, thousands=thousands)
    assert list(table.frame["a"]) == values


def test_a_group_of_digits_has_three(read):
    table = read("t.csv", "a;b\n1,23;1\n1,234;2\n", delimiter=";", thousands=",")
    assert table.frame["a"].tolist() == ["1,23", "1234"]
    assert "1 of 2 values are no numbers" in table.notes[0]


def test_numbers_beside_undeclared_codes_stay_readable(read):
    """With a decimal comma declared at reading, a code declared later must be enough."""
    table = read("t.csv", "a;b\n1,5;1\nNA;2\n2;3\n", delimiter=";", decimal=",")
    frame = table.frame.mask(table.frame == "NA")
    assert_array_equal(to_numeric(frame, ["a"], "t.csv")["a"], [1.5, np.nan, 2])
    assert "rewritten as 1234.5" in table.notes[0]


def test_two_notations_in_one_column_are_refused(read):
    told = refusal(
        DataError, read, "t.csv", "a;b\n1,5;1\n1.5;2\n2,5;3\n", delimiter=";", decimal=","
    )
    assert "a: some values are written as 1234.5" in told


def test_text_columns_keep_their_commas(read):
    table = read("t.csv", "a;b\nx 1,5;1\ny;2\n1,5;3\n", delimiter=";", decimal=",")
    assert list(table.frame["a"]) == ["x 1,5", "y", "1,5"]


def test_keys_are_left_alone_whatever_the_decimal_mark(read):
    table = read("t.csv", "a;b\n0412;1\n0513;2\n", delimiter=";", decimal=",")
    assert list(table.frame["a"]) == ["0412", "0513"]
    assert table.notes == ()


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("t.tsv", "a\tb\n1\tx\n", {}),
        ("t.tab", "a\tb\n1\tx\n", {}),
        ("t.txt", "a,b\n1,x\n", {}),
        ("T.CSV", "a,b\n1,x\n", {}),
        ("t.csv", "a|b\n1|x\n", {"delimiter": "|"}),
        ("t.csv", "a¦b\n1¦x\n", {"delimiter": "¦"}),
    ],
)
def test_delimiters(read, name, content, options):
    assert_frame_equal(read(name, content, **options).frame, pd.DataFrame({"a": [1], "b": ["x"]}))


# Text: encodings


@pytest.mark.parametrize(
    ("mark", "encoding", "note"),
    [
        ("\ufeff", "utf-8", None),
        ("", "utf-8", None),
        ("\ufeff", "utf-16-le", "The text was read as utf-16-le."),
        ("\ufeff", "utf-16-be", "The text was read as utf-16-be."),
        ("\ufeff", "utf-32-le", "The text was read as utf-32-le."),
    ],
)
def test_byte_order_marks_are_read_and_noted(read, mark, encoding, note):
    table = read("t.csv", f"{mark}місто,b\nКиїв,1\n".encode(encoding))
    assert list(table.frame.columns) == ["місто", "b"]
    assert list(table.frame["місто"]) == ["Київ"]
    assert table.notes == ((note,) if note else ())


@pytest.mark.parametrize("encoding", ["windows-1251", "koi8-u", "utf-16", "utf-16-le", "utf-8-sig"])
def test_declared_encodings(read, encoding):
    table = read("t.csv", "місто,b\nКиїв,1\n".encode(encoding), encoding=encoding)
    assert list(table.frame["місто"]) == ["Київ"]
    assert table.notes == (
        (f"The text was read as {encoding}.",) if "8-sig" not in encoding else ()
    )


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-8", "utf-8-sig", "utf-16"])
def test_declared_encodings_with_a_mark(read, encoding):
    mark = "" if encoding in ("utf-16", "utf-8-sig") else "\ufeff"  # some write it themselves
    table = read("t.csv", f"{mark}a,b\n\n1,2\n".encode(encoding), encoding=encoding)
    assert list(table.frame) == ["a", "b"]


def test_text_in_another_encoding_is_refused_with_the_place(read):
    told = refusal(DataError, read, "t.csv", "place,b\nLviv,1\nКиїв,1\n".encode("windows-1251"))
    assert "t.csv: the text is not utf-8: byte 0xca at offset 15, on line 3." in told
    assert "encoding='windows-1251'" in told


def test_offset_counts_the_byte_order_mark(read):
    told = refusal(DataError, read, "t.csv", b"\xef\xbb\xbfa,b\n\xff,1\n")
    assert "byte 0xff at offset 7, on line 2" in told


def test_wrong_declared_encoding(read):
    told = refusal(DataError, read, "t.csv", "a,b\nй,1\n", encoding="ascii")
    assert "the text is not ascii" in told


def test_encoding_against_the_byte_order_mark(read):
    told = refusal(SpecError, read, "t.csv", "\ufeffa,b\n1,2\n", encoding="windows-1251")
    assert "byte-order mark of utf-8, so it is not windows-1251" in told


def test_null_characters_are_no_text(read):
    told = refusal(DataError, read, "t.csv", "a,b\n1,2\n".encode("utf-16-le"))
    assert "null characters, the first on line 1" in told
    assert "encoding='utf-16-le'" in told


# Text: what is refused


@pytest.mark.parametrize(("mark", "shown"), [(";", "';'"), ("\t", "'\\t'"), ("|", "'|'")])
def test_wrong_delimiter_is_named(read, mark, shown):
    text = "".join(mark.join(row) + "\n" for row in (["a", "b", "c"], ["1,5", "2", "3,7"]))
    told = refusal(DataError, read, "t.csv", text)
    assert told == (
        f"t.csv: the delimiter ',' gives one column; {shown} would give 3 columns. "
        f"Pass delimiter={shown}."
    )


def test_the_delimiter_of_most_columns_is_named(read):
    told = refusal(DataError, read, "t.csv", "a;b|c;d\n1;2|3;4\n")
    assert "';' would give 3 columns" in told


def test_wrong_delimiter_of_a_long_text_is_named(read):
    told = refusal(DataError, read, "t.csv", "a;b\n" + f"{'x' * 900};1\n" * 90)
    assert "';' would give 2 columns" in told


def test_a_cell_without_end_is_refused(read):
    told = refusal(DataError, read, "t.csv", 'a,b\n1,2\n3,"' + "x" * 200_000)
    assert "the record that begins on line 3 cannot be split into cells (field larger" in told


def test_wrong_given_delimiter_is_named(read):
    told = refusal(DataError, read, "t.csv", "a,b\n1,2\n", delimiter=";")
    assert "Pass delimiter=','" in told


def test_wrong_delimiter_behind_ragged_rows_is_named(read):
    text = "income, total;b;c\n1,5;2;3\n2;3;4\n2,5;3,5;4\n"
    told = refusal(DataError, read, "t.csv", text)
    assert "2 ragged rows; ';' would give 3 columns" in told


def test_ragged_rows_are_refused_by_line(read):
    text = "a,b\n1,2\n1,2,3\n\n4\n5,6\n" + "7\n" * 6
    told = refusal(DataError, read, "t.csv", text)
    assert "t.csv: 8 of 10 rows do not have as many cells as the header, which has 2" in told
    assert "line 3 has 3, line 5 has 1, line 7 has 1" in told
    assert "and 3 more" in told


def test_ragged_rows_after_a_cell_of_two_lines(read):
    told = refusal(DataError, read, "t.csv", 'a,b\n"x\ny",2\n1\n')
    assert "line 4 has 1" in told


@pytest.mark.parametrize("text", ['a,b\n1,2\n"3,4\n5,6\n', 'a,b\n1,2\n"3"x,4\n'])
def test_broken_quotes_are_refused_by_line(read, text):
    told = refusal(DataError, read, "t.csv", text)
    assert "the record that begins on line 3 cannot be split" in told
    assert "quotes" in told


def test_every_problem_of_the_names_is_told_at_once(read):
    told = refusal(DataError, read, "t.csv", ",score,gdp, score,gdp,x,\n1,2,3,4,5,6,7\n")
    assert told.startswith("3 problems in t.csv\n")
    assert "- 2 of 7 column names are blank (columns 1, 7)." in told
    assert "row index" in told
    assert "- score: 2 columns have this name (columns 2, 4)." in told
    assert "- gdp: 2 columns have this name (columns 3, 5)." in told


def test_row_index_is_suspected_in_the_first_column_only(read):
    assert "row index" not in refusal(DataError, read, "t.csv", "a,\n1,2\n")


@pytest.mark.parametrize("text", ["a,b\n", "a,b", "a,b\n\n , \n"])
def test_header_without_rows(read, text):
    assert "t.csv: the table has 2 columns and no rows." in refusal(DataError, read, "t.csv", text)


# Files


def test_missing_file_and_its_neighbour(write, tmp_path):
    write("round1.csv", "a,b\n1,2\n")
    told = refusal(DataError, read_table, tmp_path / "rond1.csv")
    assert "there is no such file. Did you mean 'round1.csv'?" in told


def test_missing_folder(tmp_path):
    told = refusal(DataError, read_table, tmp_path / "nowhere" / "round1.csv")
    assert "there is no such file. There is no folder" in told


def test_folder_in_place_of_a_file(tmp_path):
    (tmp_path / "t.csv").mkdir()
    assert "this is a folder" in refusal(DataError, read_table, tmp_path / "t.csv")


def test_unreadable_file(write, monkeypatch):
    def deny(self):
        raise PermissionError(errno.EACCES, "Permission denied")

    path = write("t.csv", "a,b\n1,2\n")
    monkeypatch.setattr(pathlib.Path, "read_bytes", deny)
    told = refusal(DataError, read_table, path)
    assert "cannot be read (Permission denied). Check its permissions" in told


@pytest.mark.parametrize("content", ["", " \n\n"])
@pytest.mark.parametrize("name", ["t.csv", "t.xlsx", "t.parquet", "t.dta", "t.sav"])
def test_empty_file(read, name, content):
    told = refusal(DataError, read, name, content)
    assert f"{name}: the file is empty ({len(content)} bytes)." in told


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("t.pkl", "a pickle can run any code"),
        ("t.rds", "an R data file can run code"),
        ("t.RData", "an R data file can run code"),
        ("t.xls", "the old Excel format"),
        ("t.csv.gz", "compressed text"),
        ("t.ods", "files named '.ods' are not read"),
        ("table", "no extension"),
    ],
)
def test_other_extensions_are_refused_with_the_reason(read, name, reason):
    told = refusal(DataError, read, name, b"\x80\x04")
    assert reason in told
    assert ".csv, .tsv, .tab, .txt, .parquet, .xlsx, .dta, .sav, .zsav" in told


def test_every_extension_is_listed():
    assert len(readers.KINDS) == 9
    assert set(readers.KINDS.values()) == set(readers.OPTIONS) == set(readers._READERS)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.csv", b"PK\x03\x04...", "holds Excel data, not text. Rename it to .xlsx"),
        ("t.csv", b"PAR1...", "holds Parquet data, not text. Rename it to .parquet."),
        ("t.xlsx", b"PAR1...", "holds Parquet data, not Excel. Rename it to .parquet."),
        ("t.csv", b"<stata_dta><header>", "holds Stata data, not text. Rename it to .dta."),
        ("t.dta", b"$FL2@(#)", "holds SPSS data, not Stata. Rename it to .sav."),
        ("t.xlsx", b"\xd0\xcf\x11\xe0...", "old or password-protected Excel data"),
        ("t.csv", b"\x1f\x8b\x08", "gzip-compressed data, not text. Unpack it."),
    ],
)
def test_content_against_the_name(read, name, content, told):
    assert told in refusal(DataError, read, name, content)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("t.xlsx", "Excel"), ("t.parquet", "Parquet"), ("t.dta", "Stata"), ("t.sav", "SPSS")],
)
def test_text_under_another_name(read, name, kind):
    told = refusal(DataError, read, name, "a,b\n1,2\n")
    assert f"{name}: the file cannot be read as {kind} (" in told
    assert "download or export it again" in told


@pytest.fixture
def whole_files(tmp_path, sheet):
    frame = pd.DataFrame({"a": np.arange(500.0), "b": ["x"] * 500})
    frame.to_parquet(tmp_path / "t.parquet")
    pyreadstat.write_dta(frame, tmp_path / "t.dta")
    pyreadstat.write_sav(frame, tmp_path / "t.sav")
    sheet([["a", "b"], *frame.to_numpy().tolist()], "t.xlsx")
    return tmp_path


@pytest.mark.parametrize("name", ["t.xlsx", "t.parquet", "t.dta", "t.sav"])
def test_truncated_files(whole_files, name):
    path = whole_files / name
    assert len(read_table(path).frame) == 500
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert f"{name}: the file cannot be read as" in refusal(DataError, read_table, path)


# Options


def test_every_bad_option_is_told_at_once(write):
    told = refusal(
        SpecError,
        read_table,
        write("t.csv", "a,b\n1,2\n"),
        delimiter=",,",
        decimal="·",
        thousands="x",
        encoding="utf-9",
        sheet="data",
    )
    assert told.startswith("5 problems in the options for t.csv\n")
    assert "sheet means nothing for a file of kind text" in told
    assert "delimiter must be one character" in told
    assert "decimal must be '.' or ','" in told
    assert "thousands must be None or one of ' ', ',', '.'" in told
    assert "'utf-9' is not an encoding of text" in told


@pytest.mark.parametrize("encoding", ["rot13", "base64", "idna", "a\0b"])
def test_codecs_that_are_no_encodings_of_text(write, encoding):
    told = refusal(SpecError, read_table, write("t.csv", "a,b\n1,2\n"), encoding=encoding)
    assert "is not an encoding of text" in told


@pytest.mark.parametrize("mark", ["a", "1", '"', "\n", ""])
def test_delimiters_that_cannot_be(write, mark):
    assert "delimiter must be" in refusal(
        SpecError, read_table, write("t.csv", "a"), delimiter=mark
    )


def test_equal_marks(write):
    path = write("t.csv", "a,b\n1,2\n")
    told = refusal(SpecError, read_table, path, decimal=",", thousands=",")
    assert "decimal and thousands are both ','" in told


def test_options_of_typed_formats(write):
    told = refusal(SpecError, read_table, write("t.parquet", "x"), decimal=",", encoding="utf-8")
    assert "decimal means nothing for a file of kind Parquet. Options: none." in told
    assert "encoding means nothing" in told


# Parquet


def parquet(path, columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_types(tmp_path):
    moment = dt.datetime(2021, 5, 1, 12)
    table = read_table(
        parquet(
            tmp_path / "t.parquet",
            {
                "small": pa.array([1, 2], pa.int8()),
                "gap": pa.array([1, None], pa.int64()),
                "single": pa.array([0.5, None], pa.float32()),
                "flag": [True, False],
                "flag_gap": [True, None],
                "text": ["x", ""],
                "big_text": pa.array(["x", None], pa.large_string()),
                "view": pa.array(["x", "y"], pa.string_view()),
                "coded": pa.array(["u", "v"]).dictionary_encode(),
                "money": pa.array([Decimal("1.25"), None]),
                "day": [moment.date(), None],
                "time": [moment, moment],
                "empty": pa.nulls(2),
                "wide": pa.array([2**64 - 1, 1], pa.uint64()),
                "key": pa.array([-(2**53) - 1, None], pa.int64()),
                "parts": [[1], [2]],
                "blob": [b"1", b"2"],
            },
        )
    )
    frame = table.frame
    assert frame.dtypes.astype(str).to_dict() == {
        "small": "int64",
        "gap": "float64",
        "single": "float64",
        "flag": "bool",
        "flag_gap": "float64",
        "text": "str",
        "big_text": "str",
        "view": "str",
        "coded": "str",
        "money": "float64",
        "day": "datetime64[us]",
        "time": "datetime64[us]",
        "empty": "float64",
        "wide": "str",
        "key": "str",
    }
    assert frame["text"].isna().tolist() == [False, True]
    assert frame["wide"][0] == "18446744073709551615"
    assert frame["key"][0] == "-9007199254740993"
    assert frame["flag_gap"][0] == 1
    assert frame["time"][0] == pd.Timestamp(moment)
    assert frame["money"][0] == 1.25
    assert table.lines is None
    assert "2 columns were set aside" in table.notes[-1]
    assert "parts (list<" in table.notes[-1]
    assert sum("too long" in note for note in table.notes) == 2


def test_parquet_index_of_pandas(tmp_path):
    frame = pd.DataFrame({"score": [1.5, 2.5]}, index=pd.Index(["u", "v"], name="unit"))
    frame.to_parquet(tmp_path / "named.parquet")
    assert set(read_table(tmp_path / "named.parquet").frame) == {"score", "unit"}
    frame.rename_axis(None).to_parquet(tmp_path / "nameless.parquet")
    table = read_table(tmp_path / "nameless.parquet")
    assert list(table.frame) == ["score"]
    assert "row index without a name" in table.notes[0]


def test_parquet_names_are_checked(tmp_path):
    table = pa.Table.from_arrays([pa.array([1])] * 3, names=["a", " a", ""])
    pq.write_table(table, tmp_path / "t.parquet")
    told = refusal(DataError, read_table, tmp_path / "t.parquet")
    assert told.startswith("2 problems in t.parquet")


def test_parquet_without_rows(tmp_path):
    path = parquet(tmp_path / "t.parquet", {"a": pa.array([], pa.int64())})
    assert "1 columns and no rows" in refusal(DataError, read_table, path)


# Excel


def test_excel_types(sheet):
    day = dt.datetime(2021, 5, 1)
    rows = [
        ["key ", "whole", "gap", "real", "flag", "flag_gap", "day", "mixed", 2021, "digits"],
        ["0412", 1, 1, 1.5, True, True, day, 99, 1, "7"],
        [" 0513", 2, None, 2, False, None, None, "NA", 2, "8"],
        ["0614", 3, 3, 2, False, None, None, 1.5, 3, "9"],
    ]
    table = read_table(sheet(rows))
    frame = table.frame
    assert frame.dtypes.astype(str).to_dict() == {
        "key": "str",
        "whole": "int64",
        "gap": "float64",
        "real": "float64",
        "flag": "bool",
        "flag_gap": "float64",
        "day": "datetime64[us]",
        "mixed": "str",
        "2021": "int64",
        "digits": "int64",
    }
    assert list(frame["key"]) == ["0412", "0513", "0614"]
    assert list(frame["mixed"]) == ["99", "NA", "1.5"]
    assert list(table.lines) == [2, 3, 4]


def test_excel_blank_rows_and_columns(sheet):
    rows = [[], ["a", "b", None], [1, "x", None], [None, " "], [], [2, "y", None]]
    table = read_table(sheet(rows))
    assert_frame_equal(table.frame, pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))
    assert list(table.lines) == [3, 6]
    assert "Blank rows, set aside: 2 (lines 4, 5)." in table.notes


def test_excel_decimal_comma_in_text_cells(sheet):
    path = sheet([["a", "b"], ["1,5", 1], [2.25, 2], [3, 3]])
    assert list(read_table(path).frame["a"]) == ["1,5", "2.25", "3"]
    assert list(read_table(path, decimal=",").frame["a"]) == [1.5, 2.25, 3]


def test_whole_floats_of_mixed_columns_are_written_short():
    assert readers._as_text(3.0, ",") == "3"  # a sheet may hold 3 as 3.0


def test_excel_dimensions_are_not_trusted(sheet):
    path = sheet([["a", "b"], [1, 2], [3, 4]])
    parts = {}
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    name = "xl/worksheets/sheet1.xml"
    assert b"A1:B3" in parts[name]
    parts[name] = parts[name].replace(b"A1:B3", b"A1:A1")
    with zipfile.ZipFile(path, "w") as book:
        for part, content in parts.items():
            book.writestr(part, content)
    assert_frame_equal(read_table(path).frame, pd.DataFrame({"a": [1, 3], "b": [2, 4]}))


def test_excel_sheets(sheet):
    path = sheet([["a"], [1]], other=[["b"], [2]])
    table = read_table(path)
    assert list(table.frame) == ["a"]
    assert table.notes == ("Sheet 'data' was read; name another by sheet= ('other').",)
    named = read_table(path, sheet="other")
    assert list(named.frame) == ["b"]
    assert named.notes == ()
    told = refusal(SpecError, read_table, path, sheet="othr")
    assert "has no sheet 'othr'. Did you mean 'other'? Sheets: data, other." in told
    assert "Sheets: data, other." in refusal(SpecError, read_table, path, sheet=0)


def test_excel_title_above_the_header(sheet):
    told = refusal(DataError, read_table, sheet([["Table 1"], ["a", "b"], [1, 2]]))
    assert "1 of 2 column names are blank (columns 2)" in told


def test_excel_empty_sheet_and_header_only(sheet):
    assert "sheet 'data' is empty" in refusal(DataError, read_table, sheet([]))
    assert "2 columns and no rows" in refusal(DataError, read_table, sheet([["a", "b"]]))


def test_excel_formulas_without_results_are_not_blanks(sheet):
    told = refusal(DataError, read_table, sheet([["a", "b"], [1, "=A2*2"], [2, "=A3*2"]]))
    assert "holds 2 formulas (B2, B3) and no result of any" in told


def test_excel_formula_may_result_in_a_blank(sheet, monkeypatch):
    real = readers._sheet

    def calculated(*args, formulas=False):
        names, name, rows = real(*args, formulas=formulas)
        return names, name, rows if formulas else [rows[0], (1, 2), rows[2]]

    path = sheet([["a", "b"], [1, "=A2*2"], [2, '=""']])
    monkeypatch.setattr(readers, "_sheet", calculated)
    assert read_table(path).frame["b"].isna().tolist() == [False, True]


def test_excel_error_cells_are_text(sheet):
    table = read_table(sheet([["a", "b"], [1, 1], ["#N/A", 2]]))
    assert "text like a missing code" in refusal(DataError, to_numeric, table.frame, ["a"], "t")


def test_excel_warnings_become_notes(sheet, monkeypatch):
    real = openpyxl.load_workbook

    def noisy(*args, **options):
        warnings.warn("Unknown extension is not supported", UserWarning, stacklevel=1)
        return real(*args, **options)

    monkeypatch.setattr(openpyxl, "load_workbook", noisy)
    table = read_table(sheet([["a"], [1]]))
    assert table.notes == ("openpyxl: Unknown extension is not supported",)


# Stata and SPSS


def test_stata_labels_and_extended_missing_values(tmp_path):
    frame = pd.DataFrame(
        {
            "trust": [1, 2, "a", "b", "a"],
            "wait": [1.0, 2.0, np.nan, 3.0, 3.5],
            "whole": [1.0, 2.0, 3.0, 4.0, 5.0],
            "short": np.array([1, 2, 3, 4, 5], dtype=np.int8),
            "place": ["Київ", "", "Lviv", "x", "y"],
            "day": pd.to_datetime(["2021-05-01"] * 5),
        }
    )
    path = tmp_path / "round1.dta"
    pyreadstat.write_dta(
        frame,
        path,
        column_labels={"trust": "Trust in the council", "wait": "Days of waiting"},
        variable_value_labels={"trust": {1: "None", 2: "Some", "a": "Refused"}},
        missing_user_values={"trust": ["a", "b"]},
    )
    table = read_table(path)
    assert table.frame.dtypes.astype(str).to_dict() == {
        "trust": "float64",
        "wait": "float64",
        "whole": "int64",
        "short": "int64",
        "place": "str",
        "day": "datetime64[us]",
    }
    assert_array_equal(table.frame["trust"], [1, 2, np.nan, np.nan, np.nan])
    assert table.frame["place"].isna().tolist() == [False, True, False, False, False]
    assert table.frame["day"][0] == pd.Timestamp("2021-05-01")
    assert table.labels == {"trust": "Trust in the council", "wait": "Days of waiting"}
    assert table.value_labels == {"trust": {1: "None", 2: "Some", ".a": "Refused"}}
    assert table.missing_codes == {"trust": (".a", ".b")}
    assert table.notes == (
        "3 extended missing values in 1 columns are missing here (trust: .a 2, .b 1).",
    )


def test_stata_extended_missing_dates(tmp_path):
    frame = pd.DataFrame({"a": [1.0, 2.0], "day": [dt.date(2021, 5, 1), "a"]})
    path = tmp_path / "t.dta"
    pyreadstat.write_dta(
        frame, path, missing_user_values={"day": ["a"]}, variable_format={"day": "%td"}
    )
    table = read_table(path)
    assert str(table.frame["day"].dtype) == "datetime64[us]"
    assert table.frame["day"].isna().tolist() == [False, True]
    assert table.missing_codes == {"day": (".a",)}


def test_stata_column_of_nothing_but_extended_missing_values(tmp_path):
    frame = pd.DataFrame({"a": [1.0, 2.0], "trust": np.array(["a", "z"], dtype=object)})
    path = tmp_path / "t.dta"
    pyreadstat.write_dta(frame, path, missing_user_values={"trust": ["a", "z"]})
    table = read_table(path)
    assert table.frame["trust"].dtype == np.float64
    assert table.frame["trust"].isna().all()
    assert table.missing_codes == {"trust": (".a", ".z")}


def test_spss_labels_and_declared_missing_codes(tmp_path):
    frame = pd.DataFrame(
        {
            "trust": [1.0, 2.0, 99.0, 97.0, 1.0],
            "wait": [0.5, np.nan, 2.0, 998.0, 999.0],
            "place": ["north", "NA", "", "south", "x"],
            "clock": [dt.time(9, 30)] * 5,
            "never": [1.5, 2, 3, 4, 5],
            "huge": [1e300, 1, 2, 3, 4],
        }
    )
    path = tmp_path / "round1.sav"
    pyreadstat.write_sav(
        frame,
        path,
        column_labels={"trust": "Trust in the council"},
        variable_value_labels={"trust": {1: "None", 98: "No answer", 99: "Refused"}},
        missing_ranges={
            "trust": [{"lo": 97, "hi": 98}, 99],
            "wait": [999],
            "place": ["NA"],
            "never": [9],
        },
    )
    table = read_table(path)
    frame = table.frame
    assert frame["trust"].dtype == np.int64
    assert frame["huge"][0] == 1e300
    assert frame["trust"].tolist() == [1, 2, 99, 97, 1]  # codes stay: the codebook decides
    assert table.missing_codes == {
        "trust": (97, 98, 99),
        "wait": (999,),
        "place": ("NA",),
        "never": (9,),
    }
    assert all(type(code) is int for code in table.missing_codes["trust"])
    assert table.value_labels == {"trust": {1: "None", 98: "No answer", 99: "Refused"}}
    assert table.labels == {"trust": "Trust in the council"}
    assert frame["place"].isna().tolist() == [False, False, True, False, False]
    assert list(frame["clock"]) == ["09:30:00"] * 5
    assert table.notes == (
        "4 values in 3 columns are codes that the file declares missing; they are kept as codes "
        "(trust: 2 of 97, 98, 99, wait: 1 of 999, place: 1 of NA).",
    )


def test_spss_missing_codes_of_dates_are_noted(tmp_path):
    frame = pd.DataFrame({"a": [1.0], "day": pd.to_datetime(["2021-05-01"])})
    path = tmp_path / "t.sav"
    pyreadstat.write_sav(frame, path, missing_ranges={"day": [99]})
    table = read_table(path)
    assert table.missing_codes == {}
    assert table.notes == ("day: missing codes declared for a column of dates are not used.",)


def test_compressed_spss(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "ї"]})
    pyreadstat.write_sav(frame, tmp_path / "t.zsav", compress=True)
    assert_frame_equal(read_table(tmp_path / "t.zsav").frame, frame)


def test_declared_encoding_of_a_labelled_file(tmp_path):
    pyreadstat.write_sav(pd.DataFrame({"a": ["x", "y"]}), tmp_path / "t.sav")
    assert read_table(tmp_path / "t.sav", encoding="utf-8").notes == (
        "The text was read as utf-8.",
    )


def test_old_stata_text_needs_its_encoding(tmp_path):
    """Files before Stata 14 do not say how their letters are coded."""
    path = tmp_path / "t.dta"
    pyreadstat.write_dta(pd.DataFrame({"place": ["Kyiv", "Lviv"]}), path, version=12)
    path.write_bytes(path.read_bytes().replace(b"Kyiv", "Київ".encode("windows-1251")))
    assert read_table(path, encoding="windows-1251").frame["place"].tolist() == ["Київ", "Lviv"]


@pytest.mark.parametrize("name", ["t.dta", "t.sav"])
def test_labelled_files_without_rows(tmp_path, name):
    write = pyreadstat.write_dta if name.endswith("dta") else pyreadstat.write_sav
    write(pd.DataFrame({"a": pd.Series([], dtype=float)}), tmp_path / name)
    assert "no rows" in refusal(DataError, read_table, tmp_path / name)


# A row of totals


@pytest.mark.parametrize(
    "label", ["Total", "TOTAL:", "Grand total", "Всего", "Итого по области", "Барлығы", "Разом"]
)
def test_totals_row_is_refused(read, label):
    text = f"place,share,people\nNorth,0.2,10\nSouth,0.4,20.04\n{label},0.3,30\n"  # rounded
    told = refusal(DataError, read, "t.csv", text)
    assert told == (
        "t.csv: the last row, 3 (line 4), is a row of totals: it is labelled "
        f"{label!r} and holds the column sum of people. Delete it."
    )


def test_totals_row_in_a_sheet(sheet):
    rows = [["place", "people"], ["North", 10], ["South", 20], [], ["Всього", 30]]
    assert "the last row, 3 (line 5)" in refusal(DataError, read_table, sheet(rows))


@pytest.mark.parametrize(
    ("last", "noted"),
    [
        ("Total,99", True),  # labelled, but no sum
        ("West,30", False),  # a sum, but no label
        ("Totalville,30", False),
        ("Upper Total Creek,30", False),
        ("Total,31", True),  # more than rounding
        ("Total,", True),
    ],
)
def test_other_last_rows_are_kept(read, last, noted):
    table = read("t.csv", f"place,people\nNorth,10\nSouth,20\n{last}\n")
    assert len(table.frame) == 3
    assert any("holds no column sum" in note for note in table.notes) == noted


def test_totals_ignore_text_flags_and_zeros():
    frame = pd.DataFrame(
        {"code": [1, 2, 3], "place": ["a", "b", "total"], "zero": [0, 0, 0], "flag": True}
    )
    told = refusal(DataError, check_totals_row, frame)
    assert "the table: the last row, 3, is" in told
    assert "the column sum of code." in told
    check_totals_row(frame.drop(columns="code"))
    twice = pd.DataFrame({"place": ["a", "total"], "people": [10, 10]})
    check_totals_row(twice)  # one row above says nothing: any copy of it is its sum


# Numbers


def test_numbers_of_every_type():
    frame = pd.DataFrame(
        {
            "whole": [1, 2, 3],
            "real": [1.5, np.nan, 2],
            "flag": [True, False, True],
            "text": ["1", None, " 2.5 "],
            "truth": ["TRUE", None, "false"],
            "coded": pd.Categorical(["3", "4", "3"]),
            "masked": pd.array([1, None, 3], dtype="Int64"),
            "mixed": np.array([1, "2", None], dtype=object),
            "padded": ["01", "02", "99"],
            "empty": pd.Series([None, None, None], dtype="str"),
        },
        index=["u", "v", "w"],
    )
    numbers = to_numeric(frame, frame.columns, "t.csv")
    expected = pd.DataFrame(
        {
            "whole": [1.0, 2, 3],
            "real": [1.5, np.nan, 2],
            "flag": [1.0, 0, 1],
            "text": [1, np.nan, 2.5],
            "truth": [1, np.nan, 0],
            "coded": [3.0, 4, 3],
            "masked": [1, np.nan, 3],
            "mixed": [1, 2, np.nan],
            "padded": [1.0, 2, 99],
            "empty": [np.nan] * 3,
        },
        index=["u", "v", "w"],
    )
    assert_frame_equal(numbers, expected.set_axis(frame.index))


def test_order_and_repetition_of_columns():
    frame = pd.DataFrame({"a": [1], "b": [2]})
    assert list(to_numeric(frame, ["b", "a", "b"], "t")) == ["b", "a"]
    assert to_numeric(frame, [], "t").shape == (1, 0)


def test_every_problem_of_the_columns_is_told_at_once():
    frame = pd.DataFrame(
        {
            "income": ["1", "NA", "2", "n/a", "NA"],
            "trust": ["1", "99 (don't know)", "3", "abc", "x1"],
            "gdp": ["1,5", "2", "3", "4", "5"],
            "place": ["north", "south", "east", "west", "5"],
            "day": pd.to_datetime(["2021-05-01"] * 5),
            "rate": [1.0, np.inf, 2.0, -np.inf, 3.0],
            "share": ["12%", "13 %", "14%", None, "5%"],
            "endless": ["1", "-Infinity", "2", "∞", "1e999"],
        }
    )
    names = ["incme", *frame.columns]
    told = refusal(DataError, to_numeric, frame, names, "round1.csv", lines=[2, 3, 5, 6, 9])
    assert told.splitlines() == [
        "10 problems in round1.csv",
        "- incme: there is no such column. Did you mean 'income'? Columns: income, trust, gdp, "
        "place, day, rate, share, endless.",
        "- income: text like a missing code in 3 of 5 values ('NA' 2 times, 'n/a'; first rows 2, "
        "4, 5, on lines 3, 6, 9). Declare it as a missing code in the codebook, or leave the "
        "cells blank.",
        '- trust: text like a missing code in 1 of 5 values ("99 (don\'t know)"; first rows 2, on '
        "lines 3). Declare it as a missing code in the codebook, or leave the cells blank.",
        "- trust: text in 2 of 5 values ('abc', 'x1'; first rows 4, 5, on lines 6, 9). Correct "
        "it, leave the cells blank, or declare it as a missing code.",
        "- gdp: numbers in another notation in 1 of 5 values ('1,5'; first rows 1, on lines 2). "
        "Read the file with decimal=',', or write the numbers as 1234.5.",
        "- place: text in 4 of 5 values ('north', 'south', 'east', 'west'; first rows 1, 2, 3, "
        "on lines 2, 3, 5). Choose a numeric column, or code its values as numbers.",
        "- day: the column holds dates, not numbers. Choose a numeric column.",
        "- rate: 2 of 5 values are infinite (first rows 2, 4, on lines 3, 6). Correct them, or "
        "leave the cells blank.",
        "- share: percent signs in 4 of 4 values ('12%', '13 %', '14%', '5%'; first rows 1, 2, "
        "3, on lines 2, 3, 5). Write 12% as 12 in every cell.",
        "- endless: 3 of 5 values are infinite (first rows 2, 4, 5, on lines 3, 6, 9). Correct "
        "them, or leave the cells blank.",
    ]


@pytest.mark.parametrize(
    ("cells", "advice"),
    [
        (["1,5", "2"], "Read the file with decimal=',', or"),
        (["1,5", "NA", "2,5"], "Read the file with decimal=',', or"),
        (["1,234.5", "2"], "Read the file with thousands=',', or"),
        (["1 234", "5.5"], "Read the file with thousands=' ', or"),
        (["1\u00a0234,5", "5"], "Read the file with decimal=',', thousands=' ', or"),
        (["1.234,5", "1.000"], "Read the file with decimal=',', thousands='.', or"),
        (["1'234", "5.5"], 'Read the file with thousands="\'", or'),
        (
            ["1,234", "2,000"],
            "Read the file with decimal=',' if '1,234' is 1.234, or with thousands=',' if it is "
            "1234.",
        ),
        (["1,5", "1.5", "2,5"], "Choose a numeric column"),
        (["north", None, None], "Choose a numeric column"),
    ],
)
def test_other_notations_are_recognised(cells, advice):
    told = refusal(DataError, to_numeric, pd.DataFrame({"a": cells}), ["a"], "t.csv")
    assert advice in told


LIKE_MISSING = """
NA n/a NaN null #N/A #DIV/0! . .. .a - — ? * н/д Refused Don’t_know 99_-_no_answer нет_данных
Затрудняюсь_ответить
"""


@pytest.mark.parametrize("text", [word.replace("_", " ") for word in LIKE_MISSING.split()])
def test_what_looks_like_a_missing_code(text):
    told = refusal(DataError, to_numeric, pd.DataFrame({"a": ["1", text]}), ["a"], "t")
    assert "text like a missing code in 1 of 2 values" in told


@pytest.mark.parametrize("text", ["north", "a", "-x", "nano", "1-2", "1.2.3"])
def test_what_does_not_look_like_a_missing_code(text):
    told = refusal(DataError, to_numeric, pd.DataFrame({"a": ["1", "2", text]}), ["a"], "t")
    assert "- a: text in 1 of 3 values" in told


def test_duplicated_columns_of_a_frame_are_refused():
    frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
    assert "- a: 2 columns have this name." in refusal(DataError, to_numeric, frame, ["a"], "t")


def test_the_advice_of_to_numeric_works(write):
    """What the message says to pass makes the column a number."""
    path = write("t.csv", 'place,gdp\nu,"1.234,5"\nv,"2,5"\n')
    told = refusal(DataError, to_numeric, read_table(path).frame, ["gdp"], "t.csv")
    assert "decimal=',', thousands='.'" in told
    table = read_table(path, decimal=",", thousands=".")
    assert_array_equal(to_numeric(table.frame, ["gdp"], "t.csv")["gdp"], [1234.5, 2.5])


# Any table


WORDS = st.text(string.ascii_letters + "їқ ,;\"'\n#%", max_size=6).map(lambda word: f"w{word}w")
COLUMNS = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=4, max_size=4).map(pd.Series),
    st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=4, max_size=4).map(
        lambda values: pd.Series(values, dtype=float)
    ),
    st.lists(st.one_of(WORDS, st.none()), min_size=4, max_size=4).map(
        lambda words: pd.Series(words, dtype="str")
    ),
    st.lists(st.integers(0, 9999).map(lambda number: f"0{number}"), min_size=4, max_size=4).map(
        lambda words: pd.Series(words, dtype="str")
    ),
)


@settings(max_examples=60, deadline=None)
@given(
    columns=st.dictionaries(WORDS, COLUMNS, min_size=1, max_size=4),
    delimiter=st.sampled_from(",;\t|"),
    decimal=st.sampled_from(".,"),
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_written_text_comes_back(tmp_path_factory, columns, delimiter, decimal, encoding, quoting):
    frame = pd.DataFrame({"unit": ["u1", "u2", "u3", "u4"], **columns})
    path = tmp_path_factory.mktemp("text") / "t.csv"
    frame.to_csv(
        path, index=False, sep=delimiter, decimal=decimal, encoding=encoding, quoting=quoting
    )
    table = read_table(
        path, delimiter=delimiter, decimal=decimal, encoding=None if "16" in encoding else encoding
    )
    for name in frame:
        if frame[name].isna().all():
            assert table.frame[name].isna().all()
        elif frame[name].dtype == float:  # 1.0 may come back as the float 1.0 or stay exact
            assert_array_equal(table.frame[name].to_numpy(dtype=float), frame[name])
        else:
            assert table.frame[name].dtype == frame[name].dtype
            assert table.frame[name].isna().equals(frame[name].isna())
            assert table.frame[name].dropna().equals(frame[name].dropna())


@settings(max_examples=400, deadline=None)
@given(text=st.text('ab1 ,;"\n\r\u00a0', max_size=40), delimiter=st.sampled_from(",;"))
def test_the_fast_way_of_splitting_is_the_careful_way(text, delimiter):
    fast = readers._split_regular(text, delimiter)
    if fast is not None:
        careful = readers._split(text, delimiter, "t.csv")
        assert fast.header == careful.header
        assert [column.to_pylist() for column in fast.columns] == [
            column.to_pylist() for column in careful.columns
        ]
        assert list(fast.lines) == list(careful.lines)
        assert careful.blank == []


def test_the_fast_way_is_taken_by_regular_texts():
    for text in ("a,b\n1,x\n2,y", '"a","b"\r\n1,"x, ""y"""\r\n', "a,b\n,x\n1,\n"):
        assert readers._split_regular(text, ",") is not None
    for text in ("a\n1\n", 'a,b\n"x\ny",1\n', "a,b\n,\n", "a,b\n1\n", "a,b\n\n1,2\n"):
        assert readers._split_regular(text, ",") is None


def test_many_records_and_both_ways_agree():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=40_000), "b": rng.integers(0, 9, 40_000)})
    text = io.StringIO()
    frame.to_csv(text, index=False)
    fast = readers._split_regular(text.getvalue(), ",")
    careful = readers._split(text.getvalue(), ",", "t.csv")
    for left, right in zip(fast.columns, careful.columns, strict=True):
        assert left.equals(right)
    assert list(fast.lines) == careful.lines
