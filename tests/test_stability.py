"""Stability of indicators over time: tables in, agreement, shifts and changes out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.datasets import load_dataset
from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.indicators import Indicators
from lgpi_research.methods.retest import changes_beyond_error, compare_occasions
from lgpi_research.results import load_result
from lgpi_research.stability import assess_stability

BOOK = Codebook((Indicator("voice", dimension="process"), Indicator("roads")))


def wave(seed: int, shift: float, n: int = 40) -> pd.DataFrame:
    truth = np.random.default_rng(31).normal(size=(n, 2))
    rng = np.random.default_rng([32, seed])
    frame = pd.DataFrame({"place": [f"p{i:02d}" for i in range(n)], "se": rng.uniform(0.2, 0.5, n)})
    for column, name in enumerate(BOOK.names):
        frame[name] = truth[:, column] + shift + frame["se"] * rng.normal(size=n)
    return frame


def taken(frame, book=BOOK, errors=True, **more):
    named = dict.fromkeys(book.names, "se") if errors else None
    return Indicators.from_table(frame, book, unit="place", std_errors=named, **more)


@pytest.fixture
def panel():
    return pd.concat([wave(year, year / 2).assign(year=2019 + year) for year in range(3)])


def test_two_tables_are_what_the_methods_give():
    one, two = wave(0, 0.0), wave(1, 0.5)
    found = assess_stability(taken(one), taken(two.sample(frac=1, random_state=3)))
    for row in found.frame.itertuples():
        scores = np.column_stack([one[row.indicator], two[row.indicator]])
        told = compare_occasions(scores)
        assert row.icc_agreement == told.agreement.estimate
        assert (row.icc_consistency_low, row.icc_consistency_high) == (
            told.consistency.ci_low,
            told.consistency.ci_high,
        )
        assert (row.shift, row.shift_low, row.shift_high) == (told.shift, *told.shift_ci)
        assert row.sem_agreement == told.sem_agreement
        assert row.smallest_detectable_change == told.smallest_detectable_change()
        assert (row.n_used, row.n_dropped, row.n_occasions) == (40, 0, 2)
        changes = changes_beyond_error(scores[:, 0], scores[:, 1], one["se"], two["se"])
        part = found.changes[found.changes["indicator"] == row.indicator]
        assert_array_equal(part["change"], scores[:, 1] - scores[:, 0])
        assert_array_equal(part["std_error"], changes.std_error)
        assert_array_equal(part["beyond_error"].astype(bool), changes.beyond)
        assert row.n_beyond == changes.beyond.sum() > 0
        assert row.change_reliability == changes.reliability.mean
    assert found.frame["dimension"].tolist() == ["process", ""]
    assert_allclose(found.frame["shift"], 0.5, atol=0.3)


def test_a_panel_is_its_periods(panel):
    found = assess_stability(taken(panel, period="year"))
    assert found.details["occasions"] == [2019, 2020, 2021]
    assert (found.frame["n_occasions"] == 3).all()
    pair = assess_stability(taken(panel, period="year"), periods=[2019, 2021])
    years = [panel[panel["year"] == year].drop(columns="year") for year in (2019, 2021)]
    two = assess_stability(*(taken(part) for part in years))
    pd.testing.assert_frame_equal(pair.frame, two.frame)
    pd.testing.assert_frame_equal(pair.changes, two.changes)
    # The shift and the changes are from the first to the last occasion.
    assert_array_equal(found.frame["shift"], pair.frame["shift"])
    assert_array_equal(found.changes["change"], pair.changes["change"])
    assert_array_equal(found.changes["std_error"], pair.changes["std_error"])
    assert (found.frame["sem_agreement"] != pair.frame["sem_agreement"]).all()


def test_units_and_indicators_of_one_occasion_only_are_counted():
    one, two = wave(0, 0.0), wave(1, 0.0)
    one.loc[4, "voice"] = np.nan
    wider = Codebook((*BOOK, Indicator("courts")))
    found = assess_stability(
        taken(one.assign(courts=one["voice"].fillna(0)), wider), taken(two.iloc[2:])
    )
    row = found.frame.set_index("indicator")
    assert row["n_used"].to_dict() == {"voice": 37, "roads": 38}
    assert (row["n_pairs"] >= row["n_used"]).all()
    assert row["n_dropped"].to_dict() == {"voice": 3, "roads": 2}
    text = " ".join(found.notes)
    assert "Not asked on every occasion and left out: courts." in text
    assert "second: 2 of 40 units absent (p00, p01)." in text
    assert "voice: 3 of 40 units lack an occasion and are set aside." in text
    assert "voice: changes of 37 of 40 units are judged" in text
    lost = found.changes.query("unit == 'p00' and indicator == 'voice'").iloc[0]
    assert pd.isna(lost["change"])
    assert pd.isna(lost["beyond_error"])


def test_without_standard_errors_no_unit_is_judged():
    found = assess_stability(taken(wave(0, 0.0), errors=False), taken(wave(1, 0.0)))
    assert found.frame[["change_reliability", "n_beyond"]].isna().all(axis=None)
    assert found.changes["beyond_error"].isna().all()
    assert found.changes["change"].notna().all()
    assert "No sampling errors are known of both occasions" in found.notes[-1]
    assert "n_beyond" not in found.summary()
    assert "sampling errors" not in found.methods_text()


def test_errors_that_go_together_make_changes_surer():
    one, two = taken(wave(0, 0.0)), taken(wave(1, 0.0))
    apart, together = (
        assess_stability(one, two, error_correlation=r).changes["std_error"] for r in (0.0, 0.5)
    )
    assert (together < apart).all()
    first, second = wave(0, 0.0)["se"], wave(1, 0.0)["se"]
    expected = np.sqrt(first**2 + second**2 - first * second)
    assert_allclose(together[:40], expected, rtol=1e-12)


def test_many_changes_may_be_judged_together():
    one, two = taken(wave(0, 0.0)), taken(wave(1, 0.4))
    alone, many = (assess_stability(one, two, adjust=adjust) for adjust in ("none", "bh"))
    assert (many.frame["n_beyond"] < alone.frame["n_beyond"]).all()
    assert "BenjaminiHochberg1995" in many.references
    assert "BenjaminiHochberg1995" not in alone.references


def test_provinces_of_viet_nam():
    frame = load_dataset("vietnam_provinces").frame
    names = ("transparency", "participation", "corruption_control")
    book = Codebook(tuple(Indicator(name) for name in names))
    data = Indicators.from_table(frame, book, unit="province", period="year")
    found = assess_stability(data)
    assert found.frame["n_occasions"].tolist() == [6, 6, 6]
    scores = frame.pivot(index="province", columns="year", values="transparency").dropna()
    told = compare_occasions(scores)
    row = found.frame.iloc[0]
    assert row["icc_agreement"] == told.agreement.estimate
    assert row["n_used"] == len(scores)
    assert ((found.frame["icc_agreement"] > 0) & (found.frame["icc_agreement"] < 1)).all()
    assert found.headline().startswith(f"Scores of {found.frame['n_used'].max()} units agree from")


def test_bad_input_is_refused(panel):
    one, two = taken(wave(0, 0.0)), taken(wave(1, 0.0))
    with pytest.raises(SpecError) as caught:
        assess_stability(one, two, level=95, adjust="fdr", error_correlation=1.0)
    assert len(caught.value.problems) == 3
    with pytest.raises(SpecError, match="one occasion has no stability"):
        assess_stability(one)
    with pytest.raises(SpecError, match="not both"):
        assess_stability(taken(panel, period="year"), two)
    with pytest.raises(SpecError, match="no row is of 2030; there are 2019, 2020, 2021"):
        assess_stability(taken(panel, period="year"), periods=[2019, 2030])
    with pytest.raises(SpecError, match="needs two or more different ones, got 2019"):
        assess_stability(taken(panel, period="year"), periods=[2019])
    courts = wave(1, 0.0).rename(columns={"voice": "courts"})
    with pytest.raises(DataError, match="share no indicator"):
        assess_stability(one, taken(courts, Codebook((Indicator("courts"),))))
    with pytest.raises(DataError, match="no unit is there on every occasion"):
        assess_stability(one, taken(wave(1, 0.0).assign(place=[f"q{i}" for i in range(40)])))
    holed = wave(1, 0.0)
    holed.loc[1:, "voice"] = np.nan
    holed.loc[1, "roads"] = np.nan
    with pytest.raises(MethodError) as failed:
        assess_stability(one, Indicators(holed.set_index("place")[list(BOOK.names)], BOOK))
    assert len(failed.value.problems) == 1
    assert failed.value.problems[0].startswith("voice: ")
    marked = Indicators(one.values, BOOK, one.std_errors, smoothed=("roads",))
    with pytest.raises(SpecError, match=r"roads: smoothed scores.*compare the direct estimates"):
        assess_stability(marked, two)


def test_the_result_tells_saves_and_draws(tmp_path):
    found = assess_stability(taken(wave(0, 0.0)), taken(wave(1, 0.4)))
    text = found.methods_text()
    for key in ("McGrawWong1996", "Weir2005", "deVet2006", "BlandAltman1986", "PauleMandel1982"):
        assert f"@{key}" in text
        assert key in found.references
    copy = load_result(found.save(tmp_path / "stability.parquet"))
    pd.testing.assert_frame_equal(copy.frame, found.frame)
    pd.testing.assert_frame_equal(copy.changes, found.changes)
    assert copy.to_json() == found.to_json()
    first, last = found.arrays["first"][1], found.arrays["last"][1]
    ax = found.plot(indicator="roads")
    assert_array_equal(ax.collections[0].get_offsets(), np.column_stack([first, last]))
    identity, moved = (line.get_ydata() - line.get_xdata() for line in ax.lines)
    assert_allclose(identity, 0.0)
    assert_allclose(moved, found.frame["shift"][1])
    both = found.plot()
    assert [text.get_text() for text in both.get_yticklabels()] == found.frame["indicator"].tolist()
    dots = [found for found in both.collections if isinstance(found, PathCollection)]
    drawn = [points.get_offsets()[:, 0] for points in dots]
    assert_allclose(drawn[0], found.frame["icc_agreement"])
    assert_allclose(drawn[1], found.frame["icc_consistency"])
    ax = found.plot(kind="bland_altman")
    heights = [line.get_ydata()[0] for line in ax.lines]
    row = found.frame.iloc[0]
    assert_allclose(heights, [0.0, row["shift"], row["limit_low"], row["limit_high"]])
    with pytest.raises(SpecError, match="Did you mean 'scatter'"):
        found.plot(kind="scater")
    with pytest.raises(SpecError, match="Did you mean 'roads'"):
        found.plot(indicator="road")
