"""The notation of designs, and scores placed in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lgpi_research.errors import DataError, SpecError
from lgpi_research.methods.facets import arrange, parse_design


def labels(text):
    return [effect.label for effect in parse_design(text).effects]


@pytest.mark.parametrize(
    ("text", "effects"),
    [
        ("place x item", ["place", "item", "place x item"]),
        ("item : coder", ["coder", "item : coder"]),
        (
            "(person : place) x item",
            ["place", "item", "person : place", "place x item", "(person x item) : place"],
        ),
        (
            "p*(i:d)×c",
            ["p", "d", "c", "p x d", "p x c", "i : d", "d x c", "(p x i) : d", "p x d x c",
             "(i x c) : d", "(p x i x c) : d"],
        ),
        ("a : b : c", ["c", "b : c", "a : b : c"]),
        (
            "i : (o x h)",
            ["o", "h", "o x h", "i : (o x h)"],
        ),
        (
            "(a x b) : c",
            ["c", "a : c", "b : c", "(a x b) : c"],
        ),
        ("`my place` x `x`", ["`my place`", "`x`", "`my place` x `x`"]),
    ],
)  # fmt: skip
def test_effects_are_those_of_the_design(text, effects):
    assert labels(text) == effects


def test_crossed_facets_have_every_interaction():
    assert len(labels("a x b x c x d")) == 15


def test_space_and_brackets_that_change_nothing_change_nothing():
    assert labels("( ( person:place ) x item )") == labels("person : place x item")
    assert labels("a : (b : c)") == labels("a : b : c")


NAMES = st.sampled_from(["place", "item", "coder", "person", "área", "q_1", "a.b", "my item", "X"])


@given(st.lists(NAMES, min_size=2, max_size=4, unique=True), st.data())
def test_a_label_is_read_as_the_effect_it_names(names, data):
    quoted = [f"`{name}`" if name in ("my item", "X") else name for name in names]
    signs = data.draw(st.lists(st.sampled_from([" x ", " : "]), min_size=3, max_size=3))
    text = quoted[0] + "".join(s + name for s, name in zip(signs, quoted[1:], strict=False))
    design = parse_design(text)
    assert design.effects[-1].facets == set(names)
    for effect in design.effects:
        if len(effect.facets) > 1:
            assert parse_design(effect.label).effects[-1].facets == effect.facets
            outer = design.closure(effect.facets)
            assert outer == effect.facets


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text ends where a facet or"),
        ("place x", "the text ends where a facet"),
        ("place item", "'item' stands at position 7 where x, : or the end"),
        ("(place x item", "the text ends where x, : or \\)"),
        ("place x item)", "'\\)' stands at position 13"),
        ("place + item", "'\\+' at position 7 has no meaning"),
        ("place x `item", "'`' at position 9"),
        ("place x (item : place)", "place: named more than once"),
        ("place", "1 facets; there must be 2 to 6"),
        ("a x b x c x d x e x f x g", "7 facets"),
        ("x x item", "'x' stands at position 1"),
    ],
)
def test_what_is_no_design_is_refused_with_its_place(text, message):
    with pytest.raises(SpecError, match=message):
        parse_design(text)


def cells(*sizes):
    return [axis.ravel() for axis in np.indices(sizes)]


def test_levels_of_a_nested_facet_may_be_labelled_within_or_throughout():
    design = parse_design("(person : place) x item")
    person, place, item = cells(3, 4, 2)
    for named in (person, person + 10 * place):
        layout = arrange([named, place, item], design)
        assert layout.sizes == (3, 4, 2)
        assert layout.levels == (4, 2, 12, 8, 24)
        assert layout.balanced
    assert not arrange([named[1:], place[1:], item[1:]], design).balanced


def test_typical_sizes_are_harmonic_means_of_what_an_object_meets():
    person, place, item = cells(6, 3, 2)
    kept = person < np.array([6, 3, 2])[place]
    layout = arrange(
        [person[kept], place[kept], item[kept]], parse_design("(person : place) x item")
    )
    assert layout.typical_sizes("place") == {"person": pytest.approx(3), "place": 1, "item": 2}
    assert layout.typical_sizes("person") == {"person": 1, "place": 1, "item": 2}
    assert layout.typical_sizes("item") == {"person": pytest.approx(3), "place": 3, "item": 1}


def test_several_scores_in_a_cell_are_refused():
    unit, coder = cells(3, 2)
    with pytest.raises(DataError, match=r"1 of 6 cells hold several scores \(7 in all\)"):
        arrange([np.append(unit, 0), np.append(coder, 0)], parse_design("unit x coder"))


def test_facets_of_one_level_and_facets_that_nest_unsaid_are_refused_together():
    unit = np.arange(6)
    with pytest.raises(DataError) as caught:
        arrange([unit, unit // 3, np.zeros(6)], parse_design("person x place x item"))
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["item", "person"]
    assert "Write 'person : place'" in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([[1, 1, 2, 2]], "1 columns of labels for 2 facets"),
        ([[1, 1, 2, 2], [1, 2, 1, 2], [1, 2, 1, 2]], "3 columns of labels for 2 facets"),
        ([[1, 1, 2, 2], [1, 2, 1]], r"labels must have shape \(n,\), n > 0.*\(4,\) and \(3,\)"),
        ([[], []], r"n > 0.*\(0,\) and \(0,\)"),
        ([[1, 1, 2, np.nan], [1, 2, 1, 2]], "a: 1 of 4 labels are missing"),
        ([[1, 1, 2, 2], np.array([1, 2, 1, np.nan], dtype=object)], "b: 1 of 4 labels are missing"),
        ([["u", "u", None, "v"], [1, 2, 1, 2]], "a: labels are missing or of kinds"),
        ([np.array([1, "u", 1, "u"], dtype=object), [1, 2, 1, 2]], "a: labels are missing or of"),
    ],
)
def test_labels_that_are_missing_or_too_few_are_refused(columns, message):
    with pytest.raises(DataError, match=message):
        arrange(columns, parse_design("a x b"))


def test_effects_with_the_same_scores_are_refused():
    unit = np.arange(6)
    design = parse_design("person : place : region")
    with pytest.raises(DataError, match="place: one level within each region"):
        arrange([unit, unit // 3, unit // 3], design)
    # In a Latin square two facets tell the third.
    one, other = cells(3, 3)
    with pytest.raises(DataError, match="a x b and a x b x c: the scores that share one"):
        arrange([one, other, (one + other) % 3], parse_design("a x b x c"))
