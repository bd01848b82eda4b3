from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.links import link_autonomy
from lgpi_research.plots import save_figure
from lgpi_research.results import load_result
from lgpi_research.spec import LinkDesign
from lgpi_research.specifications import (
    MOST_LABELS,
    SpecificationCurve,
    compare_specifications,
    control_subsets,
)

DESIGN = LinkDesign(
    "score ~ own_share + log(people) + area | oblast",
    cluster="oblast",
    measure_label="the own share",
    measure_unit="share",
)


@pytest.fixture(autouse=True)
def no_figures_left() -> Iterator[None]:
    yield
    plt.close("all")


def places(slope: float = 1.0, seed: int = 0, n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    oblast = rng.integers(0, 10, n)
    share = rng.uniform(0.1, 0.9, n)
    return pd.DataFrame(
        {
            "oblast": np.array(list("abcdefghij"))[oblast],
            "own_share": share,
            "per_head": rng.lognormal(5, 0.5, n),
            "people": rng.lognormal(9, 1, n) * (1 + share),
            "area": rng.gamma(2, 50, n),
            "score": slope * share + rng.normal(size=n) + rng.normal(0, 0.3, 10)[oblast],
        }
    )


def constructions() -> dict[str, pd.DataFrame]:
    return {f"slope {slope:g}": places(slope, seed) for seed, slope in enumerate((3, 0, -3))}


@pytest.fixture
def curve() -> SpecificationCurve:
    return compare_specifications(constructions(), control_subsets(DESIGN))


# Subsets of the controls


def test_each_control_is_left_out_in_turn_and_then_all():
    found = {name: other.formula for name, other in control_subsets(DESIGN).items()}
    assert found == {
        "as stated": "score ~ own_share + log(people) + area | oblast",
        "without log(people)": "score ~ own_share + area | oblast",
        "without area": "score ~ own_share + log(people) | oblast",
        "without controls": "score ~ own_share | oblast",
    }


def test_one_control_is_left_out_once_and_none_leaves_the_design_alone():
    one = DESIGN.change(formula="score ~ own_share + area | oblast")
    assert list(control_subsets(one)) == ["as stated", "without area"]
    none = DESIGN.change(formula="score ~ own_share | oblast")
    assert list(control_subsets(none)) == ["as stated"]


def test_the_measure_stays_wherever_it_stands_in_the_formula():
    design = DESIGN.change(formula="score ~ area + own_share", measure="own_share")
    subsets = control_subsets(design)
    assert subsets["without area"].formula == "score ~ own_share"
    assert {other.measure for other in subsets.values()} == {"own_share"}


def test_a_control_takes_its_interactions_with_it():
    design = DESIGN.change(formula="score ~ own_share*log(people) + C(kind)*area | oblast^kind")
    found = {name: other.formula for name, other in control_subsets(design).items()}
    assert found[
        "without log(people)"
    ] == "score ~ own_share + C(kind) + area + C(kind):area | " + ("oblast^kind")
    assert found["without area"].startswith(
        "score ~ own_share + log(people) + own_share:log(people) + C(kind) |"
    )
    assert "own_share + log(people) + C(kind)" in found["without own_share:log(people)"]


def test_columns_with_unusual_names_survive_the_rewriting():
    design = LinkDesign("`the score` ~ `own share` + log(`n people`) | `rayon no.`", cluster="c")
    without = control_subsets(design)["without log(`n people`)"]
    assert without.formula == "`the score` ~ `own share` | `rayon no.`"


def test_all_that_is_not_the_formula_is_kept():
    stated = DESIGN.change(smallest_slope=0.05, per=0.2, estimand_group="g", score_columns=("e",))
    for other in control_subsets(stated).values():
        kept = stated.describe() | {"formula": other.formula}
        assert other.describe() == kept


def test_other_measures_come_with_their_subsets():
    other = DESIGN.change(formula="score ~ log(per_head) + area | oblast", measure="log(per_head)")
    names = list(control_subsets(DESIGN, measures={"own revenue per head": other}))
    assert names[4:] == ["own revenue per head", "own revenue per head, without area"]


def test_a_measure_may_not_take_the_name_of_a_subset():
    with pytest.raises(SpecError, match="'without area' is the name of another design"):
        control_subsets(DESIGN, measures={"without area": DESIGN})


# The curve


def test_every_combination_is_the_link_estimated_alone(curve):
    assert len(curve.frame) == 12
    for _, row in curve.frame.iterrows():
        table = constructions()[row["outcome"]]
        told = link_autonomy(table, control_subsets(DESIGN)[row["design"]]).details
        for name in ("slope", "slope_low", "slope_sd_high", "n_clusters"):
            assert row[name] == told[name]


def test_the_first_of_each_is_preferred(curve):
    (row,) = curve.frame[curve.frame["preferred"]].itertuples()
    assert (row.outcome, row.design) == ("slope 3", "as stated")


def test_the_headline_counts_signs_and_intervals(curve):
    slope = curve.frame["slope"]
    above, below = (curve.frame["slope_low"] > 0).sum(), (curve.frame["slope_high"] < 0).sum()
    assert (above, below) == (4, 4)
    assert curve.headline() == (
        "Of 12 specifications of the link with the own share, "
        f"{(slope > 0).sum()} have a positive slope, 4 with a 95 % interval above 0, and 4 an "
        f"interval below 0; the median slope is {slope.median():.3f} SD of score per 0.1 (share), "
        f"the range {slope.min():.3f} to {slope.max():.3f}."
    )


def test_the_summary_has_a_row_for_each_choice(curve):
    table = curve.summary()
    assert list(table["specifications"]) == [4, 4, 4, 3, 3, 3, 3]
    one = curve.frame[curve.frame["design"] == "without area"]["slope"]
    row = table[table["name"] == "without area"].iloc[0]
    assert_allclose([row["lowest"], row["median"], row["highest"]], np.sort(one))


def test_a_specification_that_cannot_be_estimated_is_named_with_its_reason():
    tables = constructions()
    tables["slope 0"]["area"] = tables["slope 0"]["own_share"] * 2
    tables["slope -3"]["people"] = 1.0
    curve = compare_specifications(tables, control_subsets(DESIGN))
    refused = [(item["outcome"], item["design"]) for item in curve.details["refused"]]
    assert refused == [
        ("slope 0", "as stated"),
        ("slope 0", "without log(people)"),
        ("slope -3", "as stated"),
        ("slope -3", "without area"),
    ]
    assert len(curve.frame) == 8
    assert curve.notes[0] == "4 of 12 specifications could not be estimated:"
    assert curve.notes[1].startswith("slope 0, as stated: area is determined by own_share")
    assert "log(people) does not vary" in curve.notes[3]
    assert "4 could not be estimated" in curve.methods_text()


def test_a_preferred_specification_that_cannot_be_estimated_is_an_error():
    tables = constructions()
    tables["slope 3"]["area"] = tables["slope 3"]["own_share"] * 2
    with pytest.raises(MethodError, match="area is determined by own_share"):
        compare_specifications(tables, control_subsets(DESIGN))


def test_several_measures_are_shown_in_standard_deviations_and_said_to_be_several():
    other = DESIGN.change(
        formula="score ~ log(per_head) | oblast",
        measure="log(per_head)",
        measure_label="revenue per head",
        per=1,
    )
    curve = compare_specifications(
        {"one": places()}, control_subsets(DESIGN, measures={"x": other})
    )
    assert "(or 1 other measure)" in curve.headline()
    assert f"the range {curve.frame['slope_sd'].min():.3f} to" in curve.headline()
    assert any("several estimands" in note for note in curve.notes)


def test_units_that_differ_between_specifications_are_counted():
    table = places()
    table.loc[:19, "area"] = np.nan
    curve = compare_specifications({"one": table}, control_subsets(DESIGN))
    assert "(180 to 200)" in curve.notes[-1]


def test_the_curve_is_called_a_description_and_no_test(curve):
    text = curve.methods_text()
    assert "[@Simonsohn2020]" in text
    assert "counts of intervals are no test" in text
    assert "A joint test resamples clusters with the null imposed" in text
    for word in ("impact", "leads to", "effect of"):
        assert word not in text + curve.headline()


def test_the_cited_work_is_in_the_bibliography(curve):
    assert "{Simonsohn2020," in curve.references


def test_order_of_rows_of_a_table_does_not_matter(curve):
    shuffled = {name: t.sample(frac=1, random_state=1) for name, t in constructions().items()}
    again = compare_specifications(shuffled, control_subsets(DESIGN))
    columns = ["slope", "slope_low", "slope_sd", "p_value", "df"]
    assert_allclose(again.frame[columns], curve.frame[columns], rtol=1e-7)


def test_a_saved_curve_reads_back_the_same(curve, tmp_path):
    back = load_result(curve.save(tmp_path / "curve.parquet"))
    assert isinstance(back, SpecificationCurve)
    pd.testing.assert_frame_equal(back.frame, curve.frame)
    assert (back.headline(), back.methods_text()) == (curve.headline(), curve.methods_text())


@pytest.mark.parametrize(
    ("tables", "designs", "message"),
    [
        ({}, {}, "2 problems in the specification curve"),
        ({}, {"a": DESIGN}, "tables: none is given"),
        ({"one": places()}, {}, "designs: none is given"),
        (
            {"one": places()},
            {"a": DESIGN, "b": DESIGN.change(formula="area ~ own_share", measure="own_share")},
            r"designs: have 2 outcomes \(area, score\)",
        ),
    ],
)
def test_a_curve_without_a_common_outcome_is_refused(tables, designs, message):
    with pytest.raises(SpecError, match=message):
        compare_specifications(tables, designs)


# The picture


def test_the_picture_shows_the_slopes_in_order_with_their_choices(curve):
    ax = curve.plot()
    below = ax.figure.axes[1]
    drawn = np.concatenate([part.get_offsets() for part in ax.collections[1::2]])
    assert_allclose(drawn[np.argsort(drawn[:, 0]), 1], np.sort(curve.frame["slope"]))
    labels = [label.get_text() for label in below.get_yticklabels()]
    assert labels == [*constructions(), *control_subsets(DESIGN)]
    dots = sum(len(part.get_offsets()) for part in below.collections)
    assert dots == 2 * len(curve.frame)  # each specification makes two choices


@pytest.mark.parametrize("n", [1, 3, 200])
def test_the_picture_fits_its_page_from_one_to_200_specifications(n):
    one = compare_specifications({"one": places()}, {"as stated": DESIGN})
    frame = pd.concat([one.frame] * n, ignore_index=True)
    frame["outcome"] = [f"construction number {i % 20} of the score" for i in range(n)]
    frame["design"] = [f"design {i // 20}" for i in range(n)]
    frame["preferred"] = np.arange(n) == 0
    ax = SpecificationCurve(frame, {}, (), {}, one.details).plot()
    ax.figure.draw_without_rendering()
    width, height = ax.figure.get_size_inches() * ax.figure.dpi
    box = ax.figure.get_tightbbox().extents * ax.figure.dpi
    assert box[0] >= -1
    assert box[2] <= width + 1
    assert box[3] <= height + 1


def test_too_many_choices_are_left_to_the_summary_and_this_is_said(curve):
    frame = pd.concat([curve.frame] * 5, ignore_index=True)
    frame["design"] = [f"design {i}" for i in range(len(frame))]
    assert len(frame) > MOST_LABELS
    ax = SpecificationCurve(frame, {}, (), {}, curve.details).plot()
    assert len(ax.figure.axes) == 1
    assert "see the summary" in ax.get_xlabel()


def test_axes_outside_a_grid_hold_the_slopes_alone(curve):
    ax = curve.plot(plt.figure().add_axes((0.1, 0.1, 0.8, 0.8)))
    assert len(ax.figure.axes) == 1
    assert "see the summary" in ax.get_xlabel()


def test_the_picture_has_the_same_bytes_each_time(curve, tmp_path):
    first = save_figure(curve.plot(), tmp_path / "a.png").read_bytes()
    assert save_figure(curve.plot(), tmp_path / "b.png").read_bytes() == first


def test_columns_that_no_design_names_are_no_part_of_a_curve():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"score": rng.normal(size=60), "share": rng.uniform(size=60), "group": list("abcdef") * 10}
    )
    designs = control_subsets(LinkDesign("score ~ share", cluster="group"))
    beside = table.assign(founded=[date(1999, 1, 1)] * 60)
    plain, more = (compare_specifications({"one": t}, designs) for t in (table, beside))
    assert more.digest() == plain.digest()
