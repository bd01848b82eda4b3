"""Tables: rounded only when shown, and safe whatever the labels hold."""

from __future__ import annotations

import html.parser
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from lgpi_research.tables import cell, to_csv, to_html, to_latex, to_text

NASTY = "<script>alert(\"1\")</script> & 'x'"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.12345, "0.123"),
        (-0.12345, "-0.123"),
        (0.0, "0.000"),
        (1.0, "1.000"),
        (999.9994, "999.999"),
        (1234.56, "1,234.6"),
        (28499.97, "28,500"),
        (0.00012, "1.20e-04"),
        (-0.00012, "-1.20e-04"),
        (3, "3"),
        (12345, "12,345"),
        (np.int32(7), "7"),
        (np.float32(0.5), "0.500"),
        (True, "yes"),
        (np.False_, "no"),
        ("a_b", "a_b"),
        (None, "–"),
        (pd.NA, "–"),
        (float("nan"), "–"),
        (np.float32("nan"), "–"),
        (pd.NaT, "–"),
        (float("inf"), "∞"),
        (-np.inf, "−∞"),
    ],
)
def test_cells(value: object, shown: str) -> None:
    assert cell(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(1e-30, "<0.001"), (0.0, "<0.001"), (0.0011, "0.001"), (0.04, "0.040")]
)
def test_small_p_values_are_bounds(value: float, shown: str) -> None:
    assert cell(value, "p_value") == shown


def test_more_digits_are_shown_on_request() -> None:
    assert cell(0.123456, digits=5) == "0.12346"
    assert cell(1e-7, "p_value", digits=5) == "<0.00001"


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "unit": [NASTY, "Гостомель_1 50% #2 ~ ^ $x$ \\y {z}"],
            "std_error": [0.5, np.nan],
            "n_used": [1200, 3],
        }
    )


class Reader(html.parser.HTMLParser):
    """Collect tags and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_html_shows_labels_as_they_are_and_runs_none(frame: pd.DataFrame) -> None:
    frame = frame.rename(columns={"n_used": "<b>n</b>"})
    page = Reader(to_html(frame, caption="a < b <i>c</i>"))
    assert set(page.tags) == {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert NASTY in page.texts
    assert "<b>n</b>" in page.texts
    assert "a < b <i>c</i>" in page.texts
    assert "std error" in page.texts
    assert (page.tags.count("th"), page.tags.count("td"), page.tags.count("tr")) == (3, 6, 3)


def test_html_without_caption_has_none(frame: pd.DataFrame) -> None:
    assert "caption" not in to_html(frame)


def test_latex_escapes_every_special_letter(frame: pd.DataFrame) -> None:
    text = to_latex(frame.rename(columns={"n_used": "n & <m>"}))
    row = text.splitlines()[5]
    assert row == (
        r"Гостомель\_1 50\% \#2 \textasciitilde{} \textasciicircum{} \$x\$ "
        r"\textbackslash{}y \{z\} & -- & 3 \\"
    )
    assert text.splitlines()[4].startswith(r"\textless{}script\textgreater{}")
    assert text.startswith("\\begin{tabular}{lrr}\n\\toprule\n")
    assert text.splitlines()[2] == r"unit & std error & n \& \textless{}m\textgreater{} \\"
    assert text.endswith("\\bottomrule\n\\end{tabular}\n")


@given(st.text(max_size=30))
def test_latex_leaves_no_bare_special_letter(label: str) -> None:
    text = to_latex(pd.DataFrame({"x": [label]})).split("\\midrule\n")[1]
    cell_of = text.rpartition("\n\\bottomrule")[0].removesuffix(r" \\")
    commands = ["textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater"]
    for command in commands:
        cell_of = cell_of.replace(f"\\{command}{{}}", "")
    for letter in "&%$#_{}":
        cell_of = cell_of.replace("\\" + letter, "")
    assert not set(cell_of) & set("&%$#_{}~^<>\\")


def test_text_is_aligned(frame: pd.DataFrame) -> None:
    lines = to_text(frame).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("unit ")
    assert lines[1].endswith("1,200")
    assert lines[2].endswith("–       3")
    assert len({len(line) for line in lines}) == 1


def test_csv_is_not_rounded_and_comes_back(frame: pd.DataFrame) -> None:
    frame["std_error"] = [0.1 + 0.2, np.nan]
    text = to_csv(frame)
    assert "\r" not in text
    again = pd.read_csv(io.StringIO(text), keep_default_na=False, na_values={"std_error": [""]})
    assert_frame_equal(again, frame, check_exact=True)


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
            st.floats(allow_nan=False, allow_infinity=False),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_csv_keeps_every_number_and_label(rows: list[tuple[str, float]]) -> None:
    frame = pd.DataFrame(rows, columns=["unit", "score"])
    again = pd.read_csv(
        io.StringIO(to_csv(frame), newline=""),
        keep_default_na=False,
        dtype={"unit": "str"},
        lineterminator="\n",
    )
    assert again["score"].tolist() == frame["score"].tolist()
    assert again["unit"].tolist() == frame["unit"].tolist()


@pytest.mark.parametrize("write", [to_text, to_html, to_latex, to_csv])
def test_a_table_without_rows_keeps_its_head(write: object) -> None:
    text = write(pd.DataFrame({"unit": [], "std_error": []}))
    assert "unit" in text
    assert "std" in text
