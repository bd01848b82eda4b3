"""Codebook: what is checked of indicators and their values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lgpi_research.codebook import CELLS, Codebook, Indicator
from lgpi_research.errors import DataError, SpecError

WAIT = Indicator("q14_wait", scale=(1, 5))


def test_every_field_that_is_wrong_is_named_at_once():
    with pytest.raises(SpecError) as error:
        Indicator("x", direction="postive", measurement="formativ", scale=(5, 1))
    text = str(error.value)
    assert text.startswith("3 problems in indicator 'x'")
    assert "Did you mean 'positive'?" in text
    assert "Did you mean 'formative'?" in text
    assert "the lower first" in text


def test_a_name_described_twice_is_refused():
    with pytest.raises(SpecError, match="a: described 2 times"):
        Codebook((Indicator("a"), Indicator("a"), Indicator("b")))


def test_an_unknown_name_gets_the_nearest_spelling():
    with pytest.raises(SpecError, match="Did you mean 'q14_wait'"):
        Codebook((WAIT,))["q14_wiat"]


def test_an_undeclared_missing_code_is_outside_the_scale():
    frame = pd.DataFrame({"q14_wait": [1, 2, -99, 8, 5, -99]})
    with pytest.raises(DataError) as error:
        Codebook((WAIT,)).read(frame, "round1.csv")
    text = str(error.value)
    assert "1 problem in round1.csv" in text
    assert "3 of 6 values lie outside 1..5 (-99, 8; rows 3, 4, 6)" in text
    assert "missing_codes" in text


def test_declared_missing_codes_become_missing_and_are_counted():
    book = Codebook((Indicator("q", scale=(1, 5), missing_codes=(-99, "refused")),))
    values, notes = book.read(pd.DataFrame({"q": ["1", "-99", "refused", "-99", "4"]}), "t")
    assert values["q"].isna().sum() == 3
    assert notes == ("q: missing codes set aside: -99 (2), refused (1).",)


def test_text_infinity_absence_and_duplicates_are_reported_together():
    book = Codebook((Indicator("a"), Indicator("b"), Indicator("c")))
    frame = pd.DataFrame([[1.0, 2.0, 3.0]], columns=["a", "a", "bb"])
    with pytest.raises(DataError) as error:
        book.read(frame, "t.csv")
    assert "a: 2 columns have this name" in str(error.value)
    assert "b: there is no such column. Did you mean 'bb'?" in str(error.value)
    frame = pd.DataFrame({"a": ["1", "x"], "b": [1.0, np.inf], "c": [1.0, 2.0]})
    with pytest.raises(DataError) as error:
        book.read(frame, "t.csv")
    assert "- a: " in str(error.value)
    assert "- b: " in str(error.value)


def test_an_indicator_without_any_value_is_refused():
    with pytest.raises(DataError, match="q14_wait: all 2 values are missing"):
        Codebook((WAIT,)).read(pd.DataFrame({"q14_wait": [np.nan, np.nan]}), "t")


def test_dimensions_keep_the_order_of_appearance():
    book = Codebook(
        (
            Indicator("b", dimension="y"),
            Indicator("a", dimension="x"),
            Indicator("c", dimension="y"),
        )
    )
    assert book.dimensions == {"y": ("b", "c"), "x": ("a",)}
    assert book.select(("c", "a")).names == ("c", "a")


def test_text_and_values_outside_the_scale_are_reported_together():
    book = Codebook((Indicator("a", scale=(1, 5)), Indicator("b", scale=(1, 5))))
    with pytest.raises(DataError) as error:
        book.read(pd.DataFrame({"a": ["1", "x"], "b": [1, 9]}), "t.csv")
    assert len(error.value.problems) == 2
    assert str(error.value).startswith("2 problems in t.csv")


CODES = {"8": "don't know", 9: "refused", -1.0: "not asked", "n/a": "other"}


def test_kinds_of_missing_codes_are_kept_and_hashable():
    item = Indicator("q", scale=(1, 5), missing_codes=CODES)
    assert item.missing_codes == (8, 9, -1, "n/a")
    assert item.missing_kinds == ("don't know", "refused", "not asked", "other")
    assert item.kinds == {8: "don't know", 9: "refused", -1: "not asked", "n/a": "other"}
    assert hash(item) == hash(Indicator("q", scale=(1, 5), missing_codes=dict(CODES)))
    assert replace(item, label="Wait").kinds == item.kinds


def test_a_plain_tuple_tells_no_kinds():
    item = Indicator("q", missing_codes=(-99, 8.0))
    assert item.missing_codes == (-99, 8)
    assert item.missing_kinds == ()
    assert item.kinds == {-99: "other", 8: "other"}
    assert item == Indicator("q", missing_codes={-99: "other", 8: "other"})
    assert replace(item, missing_codes=(7,)).missing_codes == (7,)


@pytest.mark.parametrize(
    ("codes", "kinds", "said"),
    [
        ({9: "refuse"}, (), "the kind of 9 must be one of .* Did you mean 'refused'?"),
        ({9: "dont know"}, (), 'Did you mean "don\'t know"?'),
        ({9: "refused", "9": "not asked"}, (), "9 is both 'refused' and 'not asked'; keep one"),
        ((8, 8), ("refused", "other"), "8 is both"),
        ((8, 9), ("refused",), "1 kinds for 2 missing codes"),
        ("refused", (), "needs a tuple or a mapping"),
    ],
)
def test_wrong_kinds_are_refused(codes, kinds, said):
    with pytest.raises(SpecError, match=said):
        Indicator("q", missing_codes=codes, missing_kinds=kinds)


def test_every_cell_has_its_kind():
    book = Codebook((Indicator("q", scale=(1, 5), missing_codes=CODES), Indicator("r")))
    frame = pd.DataFrame(
        {"q": ["1", " 8 ", "9.0", "-1", "n/a", "", None], "r": [1.5, np.nan] + [2] * 5}
    )
    kinds = book.kinds(frame)
    told = ["answered", "don't know", "refused", "not asked", "other", "blank", "blank"]
    assert kinds["q"].tolist() == told
    assert kinds["r"].tolist() == ["answered", "blank"] + ["answered"] * 5
    assert list(kinds["r"].cat.categories) == list(CELLS)
    values, notes = book.read(frame, "t")
    assert notes == ("q: missing codes set aside: 8 (1), 9 (1), -1 (1), n/a (1).",)
    assert ((kinds == "answered") == values.notna()).all(axis=None)
    with pytest.raises(DataError, match="r: there is no such column"):
        book.kinds(frame[["q"]])


def test_kinds_of_numbers_match_numbers():
    book = Codebook((Indicator("q", scale=(1, 5), missing_codes=CODES),))
    for dtype in ("int64", "float64", "Int64", "object"):
        frame = pd.DataFrame({"q": pd.Series([1, 8, 9, -1], dtype=dtype)})
        assert book.kinds(frame)["q"].tolist() == ["answered", "don't know", "refused", "not asked"]
        assert book.read(frame, "t")[0]["q"].notna().tolist() == [True, False, False, False]
