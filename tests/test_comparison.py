from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose

from lgpi_research.comparison import Comparison, compare_settings
from lgpi_research.errors import SpecError
from lgpi_research.findings import ENOUGH
from lgpi_research.links import LinkResult, link_autonomy
from lgpi_research.plots import COLOURS, save_figure
from lgpi_research.results import load_result
from lgpi_research.spec import LinkDesign

UNIT = {
    "role": "main",
    "because": "",
    "outcome_unit": "points",
    "within": False,
    "basis": "",
    "equivalence": None,
    "equivalence_p": None,
    "robustness_value": None,
    "robustness_value_alpha": None,
}


@pytest.fixture(autouse=True)
def no_figures_left() -> Iterator[None]:
    yield
    plt.close("all")


@cache
def estimated(cluster: str = "oblast", measure: str = "own_share", per: float = 0.1) -> LinkResult:
    rng = np.random.default_rng(0)
    oblast = rng.integers(0, 12, 240)
    share = rng.uniform(0.1, 0.9, 240)
    table = pd.DataFrame(
        {
            "oblast": np.array(list("abcdefghijkl"))[oblast],
            measure: share,
            "people": rng.lognormal(9, 1, 240),
            "score": share + 2 * rng.normal(size=240) + rng.normal(0, 0.2, 12)[oblast],
        }
    )
    design = LinkDesign(
        f"score ~ {measure} + log(people)",
        cluster=cluster,
        measure_label=measure.replace("_", " "),
        measure_unit="share",
        outcome_label="the score",
        per=per,
        estimand_group="own / total, municipal, between",
    )
    return link_autonomy(table, design)


def link(
    slope: float = 0.3,
    half: float = 0.1,
    *,
    cluster: str = "oblast",
    measure: str = "own_share",
    df: float = 11.0,
    without: tuple[float, float] | None = None,
    **told: Any,
) -> LinkResult:
    """A link with a slope in SD per SD and half the length of its interval."""
    base = estimated(cluster, measure)
    to_native = base.details["sd_score"] / base.details["sd_measure"]
    to_step = base.details["per"] / base.details["sd_measure"]
    frame = base.frame.copy()
    row = frame["role"] == "measure"
    ends = {"": slope, "_low": slope - half, "_high": slope + half}
    for end, name in (("", "estimate"), ("_low", "ci_low"), ("_high", "ci_high")):
        frame.loc[row, name] = ends[end] * to_native
        frame.loc[row, f"standardised{end}"] = ends[end]
    frame.loc[row, "df"] = df
    details = base.details | UNIT | {f"slope_sd{end}": value for end, value in ends.items()}
    details |= {f"slope{end}": value * to_step for end, value in ends.items()}
    low, high = without or (slope - half / 2, slope + half / 2)
    details |= {"without_low": low * to_native, "without_high": high * to_native}
    return replace(base, frame=frame, details=details | told)


def compare(**settings: dict[str, LinkResult]) -> Comparison:
    return compare_settings(settings, titles={name: name.title() for name in settings})


def about(found: Comparison, *words: str) -> list[str]:
    return [text for text in found.findings() if all(word in text for word in words)]


@pytest.fixture
def six() -> Comparison:
    return compare(
        ukraine={
            "fund projects": link(-0.5, role="warning", because="a transfer", mechanical=True),
            "per head": link(0.4, measure="per_head", role="second", because="they move together"),
            "share": link(0.3, smallest_slope=0.05, equivalence="larger", equivalence_p=0.9),
        },
        vietnam={
            "within": link(-0.1, 0.2, within=True, basis="plan"),
            "between": link(0.2, 0.1, cluster="none", role="second", basis="plan"),
            "final": link(0.1, 0.2, role="robustness", within=True, basis="final"),
        },
        burkina={"taxes": link(0.25, within=False), "total": link(0.8, role="warning")},
        eu={"autonomy": link(0.2, 0.9, df=2.1)},
        russia={"share": link(-0.3, within=True, estimand_group="1 - transfers, within")},
        world={"share": link(0.2, cluster="none", estimand_group="1 - transfers, within")},
    )


# The frame


def test_each_row_is_its_link():
    real = replace(estimated(), details=estimated().details | UNIT)
    found = compare_settings({"one": {"share": real}}, titles={"one": "One"})
    (_, row), told = next(found.frame.iterrows()), real.details
    for name in ("estimate", "std_error", "ci_low", "ci_high", "df", "p_value", "n_used"):
        assert row[name] == real.measure[name]
    for name in ("slope", "slope_low", "slope_sd", "slope_sd_high", "detectable", "n_clusters"):
        assert row[name] == told[name]
    for name in ("without_sd_low", "without_sd_high"):
        native = told[name.replace("_sd", "")]
        assert_allclose(row[name] / row["slope_sd"], native / row["estimate"])
    assert_allclose(row["detectable_sd"] / row["slope_sd"], row["detectable"] / row["slope"])
    assert row["controls"] == "log(people)"


def test_settings_keep_their_order_and_main_links_come_first(six):
    assert list(six.frame["setting"].unique()) == [
        "ukraine", "vietnam", "burkina", "eu", "russia", "world",
    ]  # fmt: skip
    ukraine = six.frame[six.frame["setting"] == "ukraine"]
    assert list(ukraine["link"]) == ["share", "per head", "fund projects"]
    assert list(ukraine["role"]) == ["main", "second", "warning"]


def test_the_summary_is_in_native_units_for_the_step_of_each_link(six):
    table = six.summary()
    assert table["unit"][0] == "points per 0.1 (share)"
    assert_allclose(table["slope"], six.frame["estimate"] * 0.1)
    assert list(table["setting"].unique()) == [
        "Ukraine", "Vietnam", "Burkina", "Eu", "Russia", "World",
    ]  # fmt: skip


def test_the_unit_of_a_measure_changes_no_finding():
    def in_unit(measure: str, per: float) -> Comparison:
        real = estimated(measure=measure, per=per)
        return compare(a={"x": replace(real, details=real.details | UNIT)})

    a, b = in_unit("own_share", 0.1), in_unit("own_share", 0.2)
    assert_allclose(a.frame["slope_sd"], b.frame["slope_sd"])
    assert_allclose(a.frame["detectable_sd"], b.frame["detectable_sd"])
    assert_allclose(2 * a.summary()["slope"], b.summary()["slope"])


def test_warnings_and_what_is_unknown_are_noted(six):
    assert six.notes[0] == (
        "Warnings, part of no count: 2 of 11 links (Ukraine (fund projects); Burkina (total))."
    )
    assert any("smallest slope of interest" in note and "10 of 11" in note for note in six.notes)
    assert six.notes[-1] == "Links with fewer than 4 degrees of freedom: Eu (autonomy)."


def test_a_setting_without_a_main_link_is_noted():
    found = compare(a={"x": link()}, b={"y": link(role="second")})
    assert "Settings without a main link: B." in found.notes
    only = compare(b={"y": link(role="second")})
    assert only.headline() == "No main link among the 1 that are shown."
    assert not about(only, "pooled")


def test_a_saved_comparison_says_the_same(six, tmp_path):
    back = load_result(six.save(tmp_path / "comparison.parquet"))
    assert isinstance(back, Comparison)
    assert back.findings() == six.findings()
    assert back.methods_text() == six.methods_text()


# What is said


def test_the_headline_counts_main_links_alone(six):
    assert six.headline() == (
        "Of 6 main links in 6 settings, the 95 % interval lies above zero in 3, below zero in 1, "
        "and contains zero in 2; slopes run from -0.30 to 0.30 SD of score per SD of the measure "
        "and are not pooled."
    )
    assert "(Ukraine; Burkina; World)" in six.findings()[0]


def test_warnings_do_not_change_what_is_found_of_other_links():
    links = {"share": link(0.3), "final": link(-0.2, role="robustness", basis="final")}
    bare = compare(a=links)
    warned = compare(a=links | {"wrong": link(-2.0, role="warning", because="grants in it")})
    (extra,) = set(warned.findings()) - set(bare.findings())
    assert "“wrong” would have shown a clear link, -2.00 SD per SD" in extra
    assert "no count includes it. Stated reason: grants in it." in extra
    assert warned.headline() == bare.headline()


def test_a_clear_link_is_an_association_with_its_interval():
    (text,) = about(compare(a={"x": link(0.3, 0.1)}), "tends to be")
    assert text.startswith(
        "A. Where own share is higher, the score tends to be higher: 0.30 SD per SD, "
        "95 % interval 0.20 to 0.40;"
    )
    assert "240 units, 12 clusters" in text
    (turned,) = about(compare(a={"x": link(-0.3, 0.1, within=True)}), "tends to be")
    assert (
        "At times when own share is higher than usual in the same unit, the score tends to be "
        + ("lower")
        in turned
    )


def test_a_null_stands_beside_its_detectable_slope_and_what_is_ruled_out():
    told = {"smallest_slope": 0.05, "equivalence_p": 0.2, "equivalence": "undecided"}
    found = compare(a={"x": link(0.0, 0.2, **told)})
    (text,) = about(found, "do not tell")
    detectable = found.frame["detectable_sd"][0]
    assert f"A slope of {detectable:.2f} SD per SD (" in text
    assert "would be found in four of five such samples" in text
    assert text.endswith("A slope as small as 0.05 SD per 0.1 (share) cannot be ruled out.")


def test_an_equivalent_slope_is_said_to_be_ruled_out():
    told = {"smallest_slope": 0.05, "equivalence_p": 1e-6, "equivalence": "equivalent"}
    (text,) = about(compare(a={"x": link(0.0, 0.2, **told)}), "do not tell")
    assert "Slopes of 0.05 SD per 0.1 (share) or more, up or down, are ruled out" in text
    assert "(two one-sided tests, p < 0.001)" in text


def test_without_a_smallest_slope_nothing_is_said_to_be_ruled_out():
    (text,) = about(compare(a={"x": link(0.0, 0.2)}), "do not tell")
    assert text.endswith("so nothing is said to be ruled out.")


def test_a_clear_slope_says_whether_it_matters():
    for verdict, words in (
        ("larger", "The slope is further from zero than the smallest one of interest"),
        ("undecided", "Whether it reaches the smallest slope of interest"),
        ("equivalent", "are ruled out"),
    ):
        told = {"smallest_slope": 0.05, "equivalence_p": 0.01, "equivalence": verdict}
        assert about(compare(a={"x": link(0.3, **told)}), "tends to be", words)


def test_a_slope_that_is_large_and_compatible_with_zero_is_called_neither():
    told = {"smallest_slope": 0.05, "equivalence_p": 0.9, "equivalence": "larger"}
    (text,) = about(compare(a={"x": link(0.3, 0.31, **told)}), "do not tell")
    assert "The 90 % interval of the one-sided tests lies beyond" in text
    assert "although the 95 % interval contains zero" in text


def test_nulls_among_other_links_are_said_with_what_could_be_found():
    others = {name: link(0.0, 0.2, role="robustness") for name in "yz"}
    found = compare(a={"x": link(0.3), **others, "w": link(0.4, role="second")})
    (text,) = about(found, "A. Other links compatible with zero, 2 of 3, in SD per SD")
    assert "“z” " in text
    assert "“w” " not in text
    detectable = found.frame.loc[found.frame["link"] == "y", "detectable_sd"].iloc[0]
    assert f"“y” 0.00 (-0.20 to 0.20; {detectable:.2f}), " in text


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            {"within": True},
            "“y” follows units over time, “x” compares units: not the same question",
        ),
        ({"basis": "final"}, "They rest on different accounts (not stated; final): not the same"),
        ({"measure": "tax_share"}, "different measures (own share; tax share): not the same"),
        ({"terms": ["own_share"]}, "“y” leaves out the control log(people): what is found hangs"),
        (
            {"terms": ["own_share", "log(people)", "wealth"], "absorb": ["oblast"]},
            "“y” adds the control wealth, and adds fixed levels of oblast: what is found hangs",
        ),
        ({"outcome_label": "the rating"}, "different outcomes (the score; the rating): not the"),
        ({}, "“y” differs in its rows, clusters or construction alone: what is found hangs on it"),
    ],
)
def test_links_that_differ_in_sign_say_whether_the_question_is_the_same(other, words):
    found = compare(a={"x": link(0.3), "y": link(-0.2, role="robustness", **other)})
    (text,) = about(found, "differ in sign")
    assert words in text
    assert "Both intervals exclude zero." in text


def test_signs_need_not_differ_where_an_interval_contains_zero():
    one = compare(a={"x": link(0.3), "y": link(-0.1, 0.2, role="second", basis="final")})
    assert about(one, "The interval of “y” contains zero, so the signs need not differ.")
    two = compare(a={"x": link(0.1, 0.2), "y": link(-0.1, 0.2, role="second")})
    assert about(two, "Both intervals contain zero, so the signs need not differ.")


def test_a_control_that_takes_a_clear_slope_to_zero_is_named():
    terms = ["own_share", "log(people)", "log(wealth)"]
    found = compare(a={"x": link(0.3), "y": link(0.01, 0.2, role="second", terms=terms)})
    (text,) = about(found, "and the other is not")
    assert "“y” is compatible with zero" in text
    assert text.endswith("“y” adds the control log(wealth): what is found hangs on it.")
    named = link(0.01, 0.2, role="second", terms=terms, measure_label="share at equal wealth")
    assert about(compare(a={"x": link(0.3), "y": named}), "adds the control log(wealth)")
    clear = compare(a={"x": link(0.3), "y": link(0.2, role="second", terms=terms)})
    assert not about(clear, "hangs on it")
    other = compare(a={"x": link(0.3), "y": link(0.01, 0.2, role="second", within=True)})
    assert not about(other, "and the other is not")


def test_links_with_one_sign_and_links_of_different_settings_do_not_disagree():
    found = compare(a={"x": link(0.3), "y": link(0.1, role="second")}, b={"x": link(-0.3)})
    assert not about(found, "differ in sign")


def test_agreement_with_the_main_link_is_counted():
    found = compare(
        a={
            "x": link(0.3),
            "y": link(0.1, 0.2, role="second"),
            "z": link(0.4, role="robustness"),
            "v": link(-0.4, role="robustness"),
            "w": link(0.9, role="warning"),
        }
    )
    assert about(found, "A: 2 of 3, 1 of them with an interval without zero.")


@pytest.mark.parametrize(
    ("slope", "words"),
    [
        (0.1, "A: 1 of 1, none of them with an interval without zero."),
        (-0.1, "A: 0 of 1."),
    ],
)
def test_agreement_that_no_interval_shows_is_said_in_words(slope, words):
    found = compare(a={"x": link(0.3), "y": link(slope, 0.2, role="second")})
    (sentence,) = about(found, "with the sign of the (first) main link")
    assert sentence.endswith(words)


def test_a_sign_that_turns_without_one_cluster_is_said():
    told = {"without_low_cluster": "Kyiv", "without_high_cluster": "Lviv"}
    found = compare(a={"x": link(0.3, 0.1, without=(-0.05, 0.33), **told)})
    (text,) = about(found, "hangs on single clusters")
    assert text.endswith("without Kyiv its sign turns (-0.05 SD per SD).")
    assert not about(found, "no cluster takes")


def test_a_link_without_clusters_hangs_on_units():
    found = compare(a={"x": link(0.3, 0.1, cluster="none", without=(-0.05, 0.33))})
    (text,) = about(found, "hangs on single units")
    assert re.search(r"without row \d+ its sign turns", text)


def test_a_slope_that_leaves_its_interval_without_one_cluster_is_said():
    told = {"without_low_cluster": "Kyiv", "without_high_cluster": "Lviv"}
    found = compare(a={"x": link(0.1, 0.2, without=(0.0, 0.5), **told)})
    (text,) = about(found, "hangs on single clusters")
    assert text.endswith("without Lviv it leaves its own interval (0.50 SD per SD).")


def test_a_null_has_no_sign_that_could_turn():
    found = compare(a={"x": link(0.05, 0.2, without=(-0.1, 0.15))})
    assert not about(found, "single clusters")


def test_slopes_that_no_cluster_carries_are_named_once():
    found = compare(a={"x": link()}, b={"x": link()}, c={"x": link(cluster="none")})
    (text,) = about(found, "no cluster takes the slope across zero")
    assert text.endswith("in: A (x); B (x).")


def test_few_degrees_of_freedom_are_said_beside_the_number_of_clusters(six):
    (text,) = about(six, "degrees of freedom")
    assert text.startswith("Eu. The main link “autonomy” rests on 2.1 degrees of freedom though it")
    assert "12 clusters" in text


def test_what_an_omitted_variable_needs_is_said_of_clear_main_links():
    told = {"robustness_value": 0.139, "robustness_value_alpha": 0.076}
    found = compare(a={"x": link(0.3, **told), "y": link(0.3, role="second", **told)})
    (text,) = about(found, "omitted variable")
    assert "explains 14 % of what is left of both measure and score would account for all" in text
    assert "one that explains 8 % would take its interval to zero" in text
    assert not about(compare(a={"x": link(0.0, **told)}), "omitted variable")


def test_two_measures_that_point_the_same_way_are_not_told_apart():
    told = {"measure": "per_head", "role": "second", "because": "the two are nearly one variable."}
    (text,) = about(compare(a={"x": link(0.3), "y": link(0.2, **told)}), "point the same way")
    assert "Each row has one of them only, so the rows do not tell with which of the two" in text
    assert text.endswith("Stated of the second: the two are nearly one variable.")


@pytest.mark.parametrize(
    "other",
    [
        {"slope": -0.2, "measure": "per_head", "because": "why"},
        {"measure": "own_share", "because": "why"},
        {"measure": "per_head", "because": ""},
        {"measure": "per_head", "because": "why", "terms": ["per_head", "own_share"]},
    ],
)
def test_other_pairs_are_not_said_to_be_inseparable(other):
    found = compare(a={"x": link(0.3), "y": link(role="second", **other)})
    assert not about(found, "point the same way")


def test_slopes_are_not_pooled_and_the_reason_is_counted(six):
    (text,) = about(six, "Slopes are not pooled.")
    assert "The main links, 6, belong to 2 estimand groups (measure, level, contrast)" in text
    assert "of which the largest has 4 settings" in text


def test_enough_settings_of_one_group_are_named_and_still_not_pooled():
    few = compare(**{f"s{i}": {"x": link(estimand_group="g")} for i in range(ENOUGH - 1)})
    (text,) = about(few, "Slopes are not pooled.")
    assert f"the largest has {ENOUGH - 1} settings" in text
    assert f"at least {ENOUGH} independent settings" in text
    enough = compare(**{f"s{i}": {"x": link(estimand_group="g")} for i in range(ENOUGH)})
    (text,) = about(enough, "“g”")
    assert f"has {ENOUGH} settings, enough for a pooled slope if they are independent" in text
    unnamed = compare(**{f"s{i}": {"x": link(estimand_group="")} for i in range(ENOUGH)})
    assert about(unnamed, "Slopes are not pooled.", f"belong to {ENOUGH} estimand groups")


def test_no_causal_words_are_used(six):
    whole = " ".join([*six.findings(), six.headline(), six.methods_text(), *six.notes])
    for word in ("impact", "leads to", "causes", "increases", "raising", "effect"):
        assert not re.search(rf"\b{word}\b", whole), word
    assert "associations" in whole


def test_methods_cite_only_what_was_used(six):
    assert "[@Schuirmann1987]" in six.methods_text()
    assert "CinelliHazlett2020" not in six.methods_text()
    text = compare(a={"x": link(robustness_value=0.2, robustness_value_alpha=0.1)}).methods_text()
    assert "[@CinelliHazlett2020]" in text
    assert "Schuirmann1987" not in text


def test_the_cited_works_are_in_the_bibliography():
    told = {"robustness_value": 0.2, "smallest_slope": 0.05, "equivalence": "larger"}
    entries = compare(a={"x": link(**told)}).references
    for key in ("BellMcCaffrey2002", "PustejovskyTipton2018", "Schuirmann1987"):
        assert f"{{{key}," in entries
    assert "{CinelliHazlett2020," in entries


# What is refused


def test_every_problem_of_a_comparison_is_named_at_once():
    known = estimated().details | UNIT
    bare = replace(
        estimated(), details={k: known[k] for k in known if k not in ("within", "basis")}
    )
    with pytest.raises(SpecError, match="6 problems in the comparison") as caught:
        compare_settings(
            {
                "ukraine": {"share": link(), "other": link(role="mian"), "bare": bare},
                "eu": {},
                "world": {"share": link(level=0.9), "text": "no link"},
            },
            titles={"ukraine": "Ukraine", "eu": "EU", "wrld": "World"},
        )
    message = str(caught.value)
    for part in (
        "role must be main or second or robustness or warning, got 'mian'. Did you mean 'main'?",
        "ukraine, bare: its details lack within, basis.",
        "eu: has no link",
        "titles: 'world' has none. Did you mean 'wrld'?",
        "world, text: must be a LinkResult, got str",
        "2 levels (0.95 first in ukraine, share; 0.9 first in world, share)",
    ):
        assert part in message


# The picture


def test_the_forest_draws_every_slope_with_its_interval(six):
    ax = six.plot()
    points = [c for c in ax.collections if isinstance(c, PathCollection)]
    middles = [c.get_offsets()[0][0] for c in points if len(c.get_offsets()) == 1]
    assert_allclose([x for x in middles if x in set(six.frame["slope_sd"])], six.frame["slope_sd"])
    lines = [c for c in ax.collections if isinstance(c, LineCollection)]
    ends = np.array([c.get_segments()[0][:, 0] for c in lines])
    inside = six.frame["df"] >= 4
    assert_allclose(ends[inside], six.frame.loc[inside, ["slope_sd_low", "slope_sd_high"]])


def test_main_links_are_filled_and_warnings_have_their_own_colour(six):
    ax = six.plot()
    points = {}
    for c in ax.collections:
        if isinstance(c, PathCollection):
            points[round(float(c.get_offsets()[0][0]), 6)] = c
    main, warning = points[0.3], points[0.8]
    assert to_hex(main.get_facecolor()[0]) == COLOURS["main"].lower()
    assert to_hex(warning.get_facecolor()[0]) == "#ffffff"
    assert to_hex(warning.get_edgecolor()[0]) == COLOURS["second"].lower()
    texts = [text.get_text() for text in ax.texts]
    assert "fund projects (mechanical)" in texts
    assert "total (warning)" in texts
    assert "0.30 [0.20, 0.40]" in texts
    assert texts.count("12") + texts.count("–") == len(six.frame)


def test_an_interval_of_few_degrees_of_freedom_is_dashed_and_does_not_set_the_axis():
    found = compare(a={"x": link(0.3)}, b={"y": link(0.2, 9.0, df=2.0)})
    ax = found.plot()
    low, high = ax.get_xlim()
    assert -1 < low < high < 1
    dashed = [c for c in ax.collections if isinstance(c, LineCollection) if c.get_linestyle()[0][1]]
    assert len(dashed) == 1
    (legend,) = ax.figure.legends
    assert "fewer than 4 degrees of freedom, arrow: goes on" in [
        text.get_text() for text in legend.get_texts()
    ]
    arrows = [c for c in ax.collections if isinstance(c, PathCollection) and not c.get_clip_on()]
    assert_allclose(sorted(c.get_offsets()[0][0] for c in arrows), [low, high])


def test_nothing_of_the_forest_is_clipped_or_overlaps(six):
    ax = six.plot()
    figure = ax.figure
    figure.draw_without_rendering()
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [text.get_window_extent() for text in ax.texts]
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= width
        assert 0 <= box.y0 <= box.y1 <= height
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            apart = one.x1 <= other.x0 or other.x1 <= one.x0 or one.y1 <= other.y0 or (
                other.y1 <= one.y0
            )  # fmt: skip
            assert apart


def test_the_forest_has_the_same_bytes_each_time(six, tmp_path):
    for ending in ("png", "pdf"):
        first = save_figure(six.plot(), tmp_path / f"a.{ending}").read_bytes()
        assert save_figure(six.plot(), tmp_path / f"b.{ending}").read_bytes() == first
