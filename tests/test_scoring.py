"""Scores: the handbook's example, published indices, and what must not matter."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.datasets import load_eu_regions, load_tai
from lgpi_research.errors import MethodError, SpecError
from lgpi_research.indicators import Indicators
from lgpi_research.registry import aggregator, use
from lgpi_research.results import load_result
from lgpi_research.scoring import make_plan, score_index
from lgpi_research.spec import IndexSpec


def tai_indicators() -> Indicators:
    data = load_tai()
    book = Codebook(
        tuple(
            Indicator(name, dimension="achievement", goalposts=column.goalposts)
            for name, column in data.columns.items()
            if name != "country"
        )
    )
    return Indicators.from_table(data.frame, book, unit="country")


def simulated(seed: int = 0, n: int = 25, k: int = 6) -> Indicators:
    rng = np.random.default_rng(seed)
    names = [f"x{number}" for number in range(k)]
    frame = pd.DataFrame(rng.gamma(2.0, size=(n, k)), columns=names)
    book = Codebook(tuple(Indicator(name, dimension="ab"[i % 2]) for i, name in enumerate(names)))
    return Indicators.from_table(frame.assign(unit=np.arange(n)), book, unit="unit")


def test_equal_weights_with_the_72_country_goalposts_give_the_handbooks_ranks():
    data = tai_indicators()
    spec = IndexSpec.from_codebook("tai", data.codebook, normalise=use("minmax", basis="goalposts"))
    ranks = score_index(data, spec).frame.set_index("unit")["rank"]
    printed = pd.Series(np.arange(1.0, 24.0), index=data.units)
    printed[["Singapore", "Canada", "Australia"]] = [8.0, 9.0, 10.0]
    pd.testing.assert_series_equal(ranks, printed, check_names=False)


def test_with_the_sample_as_basis_norway_is_fourth():
    data = tai_indicators()
    spec = IndexSpec.from_codebook("tai", data.codebook, normalise=use("minmax", basis="sample"))
    assert score_index(data, spec).frame.set_index("unit")["rank"]["Norway"] == 4.0


def test_geometric_mean_of_raw_columns_gives_the_handbooks_ranks():
    data = load_tai().frame.set_index("country")
    spec = IndexSpec("tai", {"raw": tuple(data.columns)}, aggregate="geometric")
    plan, _ = make_plan(tai_indicators(), spec.change(aggregate="arithmetic"))
    raw = type(plan)(spec, data.to_numpy(dtype=float), plan.weights)
    order = np.argsort(-raw.score(raw.weights))
    printed = (
        "United States, Finland, Sweden, Japan, Netherlands, United Kingdom, Ireland, Germany, "
        "Belgium, France, Norway, Austria, Canada, Australia, Israel, Korea, New Zealand, "
        "Singapore, Spain, Slovenia, Italy, Hungary, Czech Republic"
    )
    assert data.index[order].tolist() == printed.split(", ")


def test_the_published_eqi_is_reproduced_from_its_pillars():
    frame = load_eu_regions().frame
    names = ("quality", "impartiality", "corruption")
    book = Codebook(tuple(Indicator(name, dimension="eqi") for name in names))
    data = Indicators.from_table(frame, book, unit="region_code")
    score = score_index(data, IndexSpec.from_codebook("rebuilt", book)).frame["score"]
    assert np.corrcoef(score, frame["eqi"])[0, 1] > 0.9999999


def test_given_weights_multiply_down_the_hierarchy():
    data = simulated()
    weights = {"a": 0.7, "b": 0.3, "x0": 0.5, "x2": 0.2, "x4": 0.3, "x1": 1.0, "x3": 0.0, "x5": 0.0}
    spec = IndexSpec.from_codebook("index", data.codebook, weights=weights)
    found = score_index(data, spec)
    z = (data.values - data.values.mean()) / data.values.std()
    a = 0.5 * z["x0"] + 0.2 * z["x2"] + 0.3 * z["x4"]
    assert_allclose(found.frame["dimension_a"], a, atol=1e-12)
    assert_allclose(found.frame["score"], 0.7 * a + 0.3 * z["x1"], atol=1e-12)
    assert found.details["leaf_weights"] == pytest.approx(
        {"x0": 0.35, "x2": 0.14, "x4": 0.21, "x1": 0.3, "x3": 0.0, "x5": 0.0}
    )


def test_three_levels_score_as_the_flat_index_with_the_same_leaf_weights():
    data = simulated()
    deep = {"top": {"left": ("x0", "x1"), "right": ("x2", "x3", "x4")}, "other": ("x5",)}
    found = score_index(data, IndexSpec("deep", deep))
    flat = {"all": 1.0, **found.details["leaf_weights"]}
    same = IndexSpec("flat", {"all": tuple(found.details["leaf_weights"])}, weights=flat)
    assert_allclose(score_index(data, same).frame["score"], found.frame["score"], atol=1e-12)


def test_a_negative_indicator_is_turned_round_on_both_bases():
    frame = pd.DataFrame({"unit": list("abc"), "wait": [1.0, 3.0, 5.0]})
    for basis in ("sample", "goalposts"):
        book = Codebook(
            (Indicator("wait", dimension="d", direction="negative", goalposts=(1.0, 5.0)),)
        )
        data = Indicators.from_table(frame, book, unit="unit")
        spec = IndexSpec.from_codebook("i", book, normalise=use("minmax", basis=basis))
        assert_allclose(score_index(data, spec).frame["score"], [1.0, 0.5, 0.0])


def test_goalposts_keep_old_scores_when_a_unit_is_added_and_the_sample_does_not():
    data = simulated(n=10)
    book = Codebook(
        tuple(
            Indicator(i.name, dimension=i.dimension, goalposts=(0.0, 20.0)) for i in data.codebook
        )
    )
    grown = pd.concat([data.values, pd.DataFrame({c: [15.0] for c in data.values}, index=[99])])
    for basis, holds in (("goalposts", True), ("sample", False)):
        spec = IndexSpec.from_codebook("i", book, normalise=use("minmax", basis=basis))
        before = score_index(Indicators(data.values, book), spec).frame["score"]
        after = score_index(Indicators(grown, book), spec).frame["score"].iloc[:10]
        assert np.allclose(before, after) is holds


def test_missing_goalposts_and_values_beyond_them_are_said():
    data = simulated()
    spec = IndexSpec.from_codebook("i", data.codebook, normalise=use("minmax", basis="goalposts"))
    with pytest.raises(MethodError, match="x0: has no goalposts"):
        score_index(data, spec)
    tai = tai_indicators()
    spec = IndexSpec.from_codebook("i", tai.codebook, normalise=use("minmax", basis="goalposts"))
    narrow = Codebook(
        tuple(
            Indicator(i.name, dimension=i.dimension, goalposts=(i.goalposts or (0, 1)))
            if i.name != "patents"
            else Indicator(i.name, dimension=i.dimension, goalposts=(0.0, 100.0))
            for i in tai.codebook
        )
    )
    notes = score_index(Indicators(tai.values, narrow), spec).notes
    assert any(note.startswith("patents: 13 values lie beyond") for note in notes)


@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-100, 100))
def test_unit_order_indicator_order_and_affine_changes_do_not_matter(seed, slope, shift):
    data = simulated(seed)
    spec = IndexSpec.from_codebook("i", data.codebook)
    score = score_index(data, spec).frame.set_index("unit")["score"]
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(data.units), list(rng.permutation(data.codebook.names))
    book = data.codebook.select(tuple(columns))
    moved = Indicators(slope * data.values.loc[rows, columns] + shift, book)
    again = score_index(moved, IndexSpec.from_codebook("i", book)).frame.set_index("unit")["score"]
    assert_allclose(again[score.index], score, atol=1e-9)


def test_a_duplicated_indicator_at_half_weight_each_changes_nothing():
    data = simulated(k=2)
    double = data.values.assign(copy=data.values["x0"])
    book = Codebook((*data.codebook, Indicator("copy", dimension="a")))
    spec = IndexSpec("i", {"all": ("x0", "x1")})
    weights = {"all": 1.0, "x0": 0.25, "copy": 0.25, "x1": 0.5}
    twice = IndexSpec("i", {"all": ("x0", "copy", "x1")}, weights=weights)
    first = score_index(data, spec).frame["score"]
    assert_allclose(score_index(Indicators(double, book), twice).frame["score"], first)


def test_an_aggregator_of_ones_own_works_by_name_and_one_by_one():
    @aggregator("lowest", batched=False)
    def lowest(x, weights):
        return x.min(axis=-1)

    data = simulated(k=3)
    spec = IndexSpec("i", {"all": ("x0", "x1", "x2")}, aggregate="lowest", normalise="rank")
    found = score_index(data, spec)
    assert_allclose(found.frame["score"], found.normalised.min(axis=1))
    plan, _ = make_plan(data, spec)
    many = {node: np.tile(value, (4, 1)) for node, value in plan.weights.items()}
    assert_allclose(plan.score(many), np.tile(found.frame["score"], (4, 1)))


def test_refusals_name_what_is_wrong():
    data = simulated()
    with pytest.raises(SpecError, match="'x9' is no indicator of the table"):
        score_index(data, IndexSpec("i", {"d": ("x0", "x9")}))
    spec = IndexSpec.from_codebook("i", data.codebook)
    holes = data.values.where(np.arange(6) != np.arange(25)[:, None] % 6)
    with pytest.raises(MethodError, match="0 of 25 units have every"):
        score_index(Indicators(holes, data.codebook), spec)
    flat = Indicators(data.values.assign(x0=1.0), data.codebook)
    with pytest.raises(MethodError, match="x0: zscore is undefined"):
        score_index(flat, spec)
    with pytest.raises(MethodError, match="geometric mean needs positive"):
        score_index(data, spec.change(aggregate="geometric"))


def test_scores_are_saved_and_loaded_whole(tmp_path):
    from lgpi_research.results import load_result

    found = score_index(simulated(), IndexSpec.from_codebook("i", simulated().codebook))
    again = load_result(found.save(tmp_path / "scores.parquet"))
    pd.testing.assert_frame_equal(again.frame, found.frame)
    pd.testing.assert_frame_equal(again.normalised, found.normalised)
    assert (again.notes, again.provenance, again.details) == (
        found.notes,
        found.provenance,
        found.details,
    )
    assert again.headline() == found.headline()


def panel(seed: int = 0, n: int = 12, years: tuple[int, ...] = (2020, 2021, 2022)) -> Indicators:
    """Units seen in several years, with goalposts 0 and 10 or 0 and 5."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "place": np.tile([f"p{i:02d}" for i in range(n)], len(years)),
            "year": np.repeat(years, n),
            "x": rng.uniform(1, 9, n * len(years)),
            "y": rng.uniform(1, 4, n * len(years)),
            "z": rng.uniform(1, 9, n * len(years)),
        }
    )
    ends = {"x": (0, 10), "y": (0, 5), "z": (0, 10)}
    book = Codebook(
        tuple(Indicator(q, dimension="ab"[q == "z"], goalposts=e) for q, e in ends.items())
    )
    return Indicators.from_table(frame, book, unit="place", period="year")


def test_scores_of_a_panel_are_ranked_within_each_period():
    data = panel()
    spec = IndexSpec.from_codebook("i", data.codebook, normalise=use("minmax", basis="goalposts"))
    scores = score_index(data, spec)
    for year, rows in scores.frame.groupby("period"):
        alone = score_index(data.at(year), spec).frame
        assert_allclose(rows["score"], alone["score"])
        assert_allclose(rows["rank"], alone["rank"])
    assert set(scores.summary()["period"]) == {2022}
    assert set(score_index(data, spec, period=2020).summary()["period"]) == {2020}
    with pytest.raises(SpecError, match="period 2019: no unit is scored in it; there are 2020"):
        score_index(data, spec, period=2019)
    assert "12 units in 3 periods" in scores.headline()
    assert "the highest in 2022 are" in scores.headline()
    axes = scores.plot()
    assert axes.get_title(loc="left").endswith(", 2022")


def test_weights_by_range_make_the_sum_of_points():
    data = panel()
    spec = IndexSpec.from_codebook(
        "i", data.codebook, weights="range", normalise=use("minmax", basis="goalposts")
    )
    total = data.values.sum(axis=1).to_numpy()
    assert_allclose(score_index(data, spec).frame["score"], total / (10 + 5 + 10), rtol=1e-12)
    assert spec.weights["a"] == pytest.approx(15 / 25)


def test_weights_by_range_need_goalposts_and_a_scale_that_keeps_them():
    data = panel()
    with pytest.raises(SpecError, match="makes a sum of points, so it needs normalise"):
        IndexSpec.from_codebook("i", data.codebook, weights="range", normalise="zscore")
    bare = Codebook((Indicator("x", dimension="a"), Indicator("y", dimension="a")))
    with pytest.raises(SpecError, match="2 problems"):
        IndexSpec.from_codebook(
            "i", bare, weights="range", normalise=use("minmax", basis="goalposts")
        )


def with_errors(correlation: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(30, 2)), columns=["x", "y"]).assign(
        place=np.arange(30), x_se=rng.uniform(0.1, 0.3, 30), y_se=rng.uniform(0.1, 0.3, 30)
    )
    book = Codebook((Indicator("x", goalposts=(-5, 5)), Indicator("y", goalposts=(-5, 5))))
    data = Indicators.from_table(frame, book, unit="place", std_errors={"x": "x_se", "y": "y_se"})
    spec = IndexSpec("i", {"all": ("x", "y")}, normalise=use("minmax", basis="goalposts"))
    scores = score_index(data, spec, error_correlation=correlation)
    a, b = (frame[name].to_numpy() / 10 / 2 for name in ("x_se", "y_se"))
    by_hand = np.sqrt(a**2 + b**2 + 2 * correlation * a * b)
    assert_allclose(scores.frame["std_error"], by_hand, rtol=1e-12)
    return by_hand


def test_the_error_of_a_score_is_that_of_a_weighted_mean_of_correlated_errors():
    together, half, apart = (with_errors(r) for r in (1.0, 0.5, 0.0))
    assert (together > half).all()
    assert (half > apart).all()


def test_no_error_of_a_score_without_those_of_its_indicators_or_a_linear_scale():
    data = panel()
    spec = IndexSpec.from_codebook("i", data.codebook, normalise=use("minmax", basis="goalposts"))
    with pytest.raises(MethodError, match="needs those of every indicator"):
        score_index(data, spec, error_correlation=1.0)
    with pytest.raises(MethodError, match="geometric mean is not linear"):
        score_index(data, spec.change(aggregate="geometric"), error_correlation=1.0)
    with pytest.raises(SpecError, match=r"must be in \[0, 1\], got 2"):
        score_index(data, spec, error_correlation=2)


def test_the_shown_period_survives_a_file_when_periods_are_dates(tmp_path):
    dates = [date(2020, 1, 1), date(2021, 1, 1)]
    rows = pd.DataFrame({"place": list("aabb"), "at": dates * 2, "x": [1.0, 4.0, 2.0, 3.0]})
    data = Indicators.from_table(rows, Codebook((Indicator("x"),)), unit="place", period="at")
    scores = score_index(data, IndexSpec("i", {"d": ("x",)}))
    scores.save(tmp_path / "scores.parquet")
    again = load_result(tmp_path / "scores.parquet")
    assert again.summary()["unit"].tolist() == ["a", "b"]
    assert again.headline() == scores.headline()
