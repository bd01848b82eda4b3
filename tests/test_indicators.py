"""Indicators: what a table of units must be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.errors import DataError
from lgpi_research.indicators import Indicators

BOOK = Codebook((Indicator("a"), Indicator("b")))


def table(**columns):
    frame = {"place": ["p", "q", "r"], "a": [1.0, 2.0, 3.0], "b": [3.0, 1.0, 2.0]}
    return pd.DataFrame({**frame, **columns})


def test_unknown_columns_get_the_nearest_spelling_all_at_once():
    with pytest.raises(DataError) as error:
        Indicators.from_table(table(), BOOK, unit="plce", group="oblast")
    assert "plce: there is no such column. Did you mean 'place'?" in str(error.value)
    assert "oblast: there is no such column." in str(error.value)


def test_duplicated_and_missing_units_and_constant_indicators_are_named():
    frame = table(place=["p", "p", None], b=[2.0, 2.0, 2.0])
    with pytest.raises(DataError) as error:
        Indicators.from_table(frame, BOOK, unit="place")
    text = str(error.value)
    assert "1 units stand in more than one row (p)" in text
    assert "1 rows have no unit (rows 3)" in text
    assert "b: every value is 2" in text


def test_one_unit_makes_no_index():
    with pytest.raises(DataError, match="one unit; an index needs 2"):
        Indicators.from_table(table().head(1), BOOK, unit="place")


def test_negative_standard_errors_are_counted():
    with pytest.raises(DataError, match="a: 2 standard errors are negative"):
        Indicators.from_table(
            table(se=[-1.0, -0.5, 1.0]), BOOK, unit="place", std_errors={"a": "se"}
        )


def test_incomplete_units_are_set_aside_and_counted():
    found = Indicators.from_table(table(a=[1.0, np.nan, 3.0]), BOOK, unit="place", group="place")
    kept, notes = found.complete()
    assert list(kept.units) == ["p", "r"]
    assert list(kept.groups) == ["p", "r"]
    assert notes == ("1 of 3 units set aside for missing values (a 1).",)
    assert kept.complete() == (kept, ())


def test_the_digest_sees_values_units_and_errors():
    first = Indicators.from_table(table(), BOOK, unit="place")
    assert first.digest == Indicators.from_table(table(), BOOK, unit="place").digest
    others = [
        Indicators.from_table(table(a=[1.0, 2.0, 3.5]), BOOK, unit="place"),
        Indicators.from_table(table(place=["p", "q", "s"]), BOOK, unit="place"),
        Indicators.from_table(table(se=[1.0] * 3), BOOK, unit="place", std_errors={"a": "se"}),
    ]
    assert len({first.digest, *(other.digest for other in others)}) == 4


def panel(**columns):
    frame = {
        "place": ["p", "q", "r"] * 2,
        "year": [2020] * 3 + [2021] * 3,
        "a": [1.0, 2.0, 3.0, 4.0, 6.0, 5.0],
        "b": [3.0, 1.0, 2.0, 1.0, np.nan, 5.0],
    }
    return pd.DataFrame({**frame, **columns})


def test_a_unit_may_stand_in_each_period_once():
    data = Indicators.from_table(panel(), BOOK, unit="place", period="year")
    assert list(data.periods) == [2020, 2020, 2020, 2021, 2021, 2021]
    with pytest.raises(DataError, match=r"1 units stand in more than one row of one year \(q\)"):
        Indicators.from_table(
            panel(place=["p", "q", "q", "p", "q", "r"]), BOOK, unit="place", period="year"
        )
    with pytest.raises(DataError, match="year: 1 rows have no period"):
        Indicators.from_table(panel(year=[1, 1, 1, 2, 2, None]), BOOK, unit="place", period="year")
    with pytest.raises(DataError, match="3 units stand in more than one row"):
        Indicators.from_table(panel(), BOOK, unit="place")


def test_one_period_and_complete_rows_are_taken():
    data = Indicators.from_table(panel(), BOOK, unit="place", period="year")
    late = data.at(2021)
    assert late.periods is None
    assert list(late.values["a"]) == [4.0, 6.0, 5.0]
    whole, (note,) = data.complete()
    assert list(whole.periods) == [2020, 2020, 2020, 2021, 2021]
    assert note == "1 of 6 units in a period set aside for missing values (b 1)."
    with pytest.raises(DataError, match="period 2019: no row; there are 2020, 2021"):
        data.at(2019)


def test_periods_are_part_of_the_digest():
    first = Indicators.from_table(panel(), BOOK, unit="place", period="year")
    other = Indicators.from_table(
        panel(year=[2020] * 3 + [2022] * 3), BOOK, unit="place", period="year"
    )
    assert first.digest != other.digest
