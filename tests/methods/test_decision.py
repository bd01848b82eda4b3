"""Decision studies: coefficients that are known by other names, grids, costs, intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods import icc
from lgpi_research.methods.decision import (
    coefficient_interval,
    costs_of,
    cut_score_dependability,
    decide,
    roles,
    smallest,
)
from lgpi_research.methods.facets import parse_design
from tests.methods.test_generalisability import PUBLISHED, simulate, study

NESTED = parse_design("(person : place) x item")  # effects place, item, person, place x item, rest


def test_intraclass_correlations_are_coefficients_of_one_facet():
    found = study(PUBLISHED, "target x judge")
    forms = {form.name: form.estimate for form in icc.intraclass(icc.mean_squares(PUBLISHED))}
    decision = decide(found.design, found.variances, {"judge": [1, 4]}, "target")
    assert_allclose(decision.generalisability, [forms["ICC(C,1)"], forms["ICC(C,k)"]])
    assert_allclose(decision.dependability, [forms["ICC(A,1)"], forms["ICC(A,k)"]])
    assert decision.generalisability.round(3).tolist() == [0.715, 0.909]  # as published
    assert decision.dependability.round(3).tolist() == [0.290, 0.620]


def test_generalisability_over_the_items_of_a_test_is_alpha():
    table = simulate(np.random.default_rng(3), "person x item", (40, 7), [1, 0.5, 2])
    found = study(table, "person x item")
    alpha = 7 / 6 * (1 - table.var(axis=0, ddof=1).sum() / table.sum(axis=1).var(ddof=1))
    decision = decide(found.design, found.variances, {"item": 7}, "person")
    assert_allclose(decision.generalisability, alpha)


def test_more_conditions_follow_spearman_and_brown():
    sizes = np.arange(1, 30)
    found = decide(parse_design("p x i"), [1.0, 0.4, 2.0], {"i": sizes}, "p")
    for name, one in (("generalisability", 1 / 3), ("dependability", 1 / 3.4)):
        by_hand = [float(icc.spearman_brown(one, k)) for k in sizes]
        assert_allclose(getattr(found, name), by_hand)


def test_errors_of_a_nested_design_by_hand():
    variances = [0.4, 0.3, 0.8, 0.2, 1.0]
    found = decide(NESTED, variances, {"person": 10, "item": 5}, "place")
    relative = 0.8 / 10 + 0.2 / 5 + 1.0 / 50
    assert_allclose(found.universe_variance, 0.4)
    assert_allclose(found.relative_error, relative)
    assert_allclose(found.absolute_error, relative + 0.3 / 5)
    fixed = decide(NESTED, variances, {"person": 10, "item": 5}, "place", ["item"])
    assert_allclose(fixed.universe_variance, 0.4 + 0.2 / 5)
    assert_allclose(fixed.relative_error, 0.8 / 10 + 1.0 / 50)
    assert_allclose(fixed.absolute_error, fixed.relative_error)


def test_an_object_that_is_nested_is_compared_across_what_nests_it():
    found = decide(NESTED, [0.4, 0.3, 0.8, 0.2, 1.0], {"item": 5}, "person")
    assert_allclose(found.universe_variance, 0.4 + 0.8)
    assert_allclose(found.relative_error, (0.2 + 1.0) / 5)
    assert_allclose(found.absolute_error, (0.3 + 0.2 + 1.0) / 5)


@given(
    st.lists(st.floats(0, 5), min_size=5, max_size=5),
    st.integers(1, 50),
    st.integers(1, 20),
)
def test_coefficients_rise_with_random_conditions_and_are_ordered(variances, person, item):
    variances[0] += 0.1
    sizes = {"person": np.array([[person], [person + 1]]), "item": np.array([item, item + 1])}
    found = decide(NESTED, variances, sizes, "place")
    for name in ("generalisability", "dependability"):
        table = getattr(found, name)
        assert (np.diff(table, axis=0) >= -1e-12).all()
        assert (np.diff(table, axis=1) >= -1e-12).all()
        assert ((table > 0) & (table <= 1)).all()
    assert (found.dependability <= found.generalisability).all()


@pytest.mark.parametrize(
    ("object_", "fixed", "message"),
    [
        ("plaice", (), "object: no facet 'plaice'.* Did you mean 'place'"),
        ("place", ["place"], "is the object of measurement"),
        ("person", ["place"], "place nests the object"),
        ("place", ["person"], "person is nested in place, which is not fixed"),
        ("person", ["item"], "no facet is left to generalise over"),
        ("place", ["tiem"], "fixed: no facet 'tiem'"),
    ],
)
def test_roles_that_facets_cannot_have_are_refused(object_, fixed, message):
    with pytest.raises(SpecError, match=message):
        roles(NESTED, object_, fixed)


def test_roles_of_effects():
    design = parse_design("place x (item : dimension)")
    assert [e.label for e in design.effects] == [
        "place", "dimension", "place x dimension", "item : dimension",
        "(place x item) : dimension",
    ]  # fmt: skip
    assert roles(design, "place", ["dimension"]) == (
        "universe", "constant", "universe", "absolute", "relative"
    )  # fmt: skip


def test_sizes_that_are_missing_or_too_small_are_refused_together():
    with pytest.raises(SpecError) as caught:
        decide(NESTED, np.ones(5), {"item": [0.5, 3], "rater": 2, "place": 4}, "place")
    assert len(caught.value.problems) == 4
    with pytest.raises(SpecError, match="item: sizes must be numbers of at least 1, got many"):
        decide(NESTED, np.ones(5), {"item": "many", "person": 2}, "place")
    with pytest.raises(MethodError, match="do not differ"):
        decide(NESTED, [0, 1, 0, 0, 0], {"item": 2, "person": 2}, "place")
    with pytest.raises(MethodError, match="not negative"):
        decide(NESTED, [1, 1, 0, 0, -1], {"item": 2, "person": 2}, "place")


def test_intervals_are_those_of_the_intraclass_correlations():
    found = study(PUBLISHED, "target x judge")
    forms = {form.name: form for form in icc.intraclass(icc.mean_squares(PUBLISHED), level=0.9)}
    kinds = {"C": "generalisability", "A": "dependability"}
    for letter, kind in kinds.items():
        for judges, form in ((1, forms[f"ICC({letter},1)"]), (4, forms[f"ICC({letter},k)"])):
            ends = coefficient_interval(found, {"judge": judges}, "target", kind=kind, level=0.9)
            assert_allclose(ends, [form.ci_low, form.ci_high])


def test_an_interval_holds_its_estimate_also_at_the_edges():
    rng = np.random.default_rng(4)
    for run in range(60):
        variances = [[1, 0.3, 1], [0.02, 0, 1], [0, 1, 1], [1, 1, 1e-12]][run % 4]
        found = study(simulate(rng, "p x i", (6, 3), variances), "p x i")
        for kind in ("generalisability", "dependability"):
            low, high = coefficient_interval(found, {"i": 5}, "p", kind=kind)
            estimate = getattr(decide(found.design, found.variances, {"i": 5}, "p"), kind)
            assert 0 <= low <= estimate + 1e-12
            assert estimate <= high + 1e-12
            assert high <= 1
    perfect = study(np.add.outer([1.0, 2.0, 4.0], [0.0, 0.0]), "p x i")
    assert coefficient_interval(perfect, {"i": 2}, "p") == (1.0, 1.0)


def test_intervals_with_fixed_facets_rest_on_one_ratio_of_mean_squares():
    variances = [1, 0.2, 0.2, 0.3, 1]
    table = simulate(np.random.default_rng(7), "p x (i : d)", (20, 4, 3), variances)
    found = study(table, "p x (i : d)")
    assert (found.estimates > 0).all()
    ends = coefficient_interval(found, {"i": 4, "d": 3}, "p", ["d"])
    ratio = found.squares[0] / found.squares[4] / stats.f.isf([0.025, 0.975], 19, 19 * 9)
    assert_allclose(ends, 1 - 1 / ratio)


def test_components_set_to_0_are_no_error_in_an_interval():
    table = PUBLISHED - PUBLISHED.mean(axis=0)  # judges of one mean
    found = study(table, "target x judge")
    assert found.estimates[1] < 0
    one, other = (
        coefficient_interval(found, {"judge": 4}, "target", kind=kind)
        for kind in ("generalisability", "dependability")
    )
    assert one == other


def test_the_interval_of_a_nested_object_is_the_delta_method():
    table = simulate(np.random.default_rng(6), "(q : p) x i", (8, 10, 4), [0.5, 0.3, 0.5, 0.2, 1])
    found = study(table, "(q : p) x i")

    def coefficient(estimates):
        return decide(found.design, estimates, {"i": 4}, "q").generalisability

    step = 1e-6 * np.eye(5)
    logs = [
        (
            np.log(1 - coefficient(found.estimates + s))
            - np.log(1 - coefficient(found.estimates - s))
        )
        / 2e-6
        for s in step
    ]
    reach = 1.959964 * np.sqrt(logs @ found.covariance @ np.array(logs))
    ends = 1 - (1 - coefficient(found.estimates)) * np.exp([reach, -reach])
    assert_allclose(coefficient_interval(found, {"i": 4}, "q"), ends, rtol=1e-5)
    alike = table - table.mean(axis=2, keepdims=True)  # persons of one mean
    alike += 0.1 * np.random.default_rng(1).normal(size=table.shape)
    none = study(alike, "(q : p) x i")
    assert decide(none.design, none.variances, {"i": 4}, "q").generalisability == 0
    low, high = coefficient_interval(none, {"i": 4}, "q")
    assert low == 0
    assert 0 < high < 1
    with pytest.raises(SpecError, match="kind must be"):
        coefficient_interval(found, {"i": 4}, "q", kind="dependable")


def test_a_cut_score_far_from_the_mean_is_easier_to_decide():
    found = study(PUBLISHED, "target x judge")
    plain = decide(found.design, found.variances, {"judge": 4}, "target")
    at = cut_score_dependability(found, {"judge": 4}, "target", found.mean)
    assert_allclose(at, plain.dependability)
    universe, relative, absolute = (
        float(v) for v in (plain.universe_variance, plain.relative_error, plain.absolute_error)
    )
    squared = 3.0**2 - ((universe + relative) / 6 + absolute - relative)
    assert_allclose(
        cut_score_dependability(found, {"judge": 4}, "target", found.mean - 3),
        (universe + squared) / (universe + squared + absolute),
    )


def test_the_mean_of_nested_objects_varies_with_what_nests_them():
    table = simulate(np.random.default_rng(9), "(q : p) x i", (10, 5, 3), [2, 0.5, 0.5, 0.4, 1])
    found = study(table, "(q : p) x i")
    place, item, person, both, rest = found.variances
    # Of the 5 places and 50 persons of the study, and 4 items.
    of_mean = place / 5 + item / 4 + person / 50 + both / (5 * 4) + rest / (50 * 4)
    squared = 3.0**2 - of_mean
    universe, absolute = place + person, (item + both + rest) / 4
    assert_allclose(
        cut_score_dependability(found, {"i": 4}, "q", found.mean - 3),
        (universe + squared) / (universe + squared + absolute),
    )
    fixed = place / 5 + person / 50 + both / (5 * 4) + rest / (50 * 4)  # 10 q a p, all 4 items
    squared, universe = 3.0**2 - fixed, place + both / 4
    error = person / 10 + rest / 40
    assert_allclose(
        cut_score_dependability(found, {"i": 4, "q": 10}, "p", found.mean + 3, ["i"]),
        (universe + squared) / (universe + squared + error),
    )


def test_costs_count_what_one_object_meets():
    sizes = {"person": np.array([[5], [10]]), "item": np.array([2, 4])}
    found = costs_of(NESTED, {"place": 100, "person": 7, "item x person": 0.5}, sizes, "place")
    assert found.tolist() == [[100 + 35 + 5, 100 + 35 + 10], [100 + 70 + 10, 100 + 70 + 20]]
    tests = parse_design("place x (item : dimension)")
    assert costs_of(tests, {"item": 2}, {"item": 4, "dimension": 3}, "place") == 24
    with pytest.raises(SpecError) as caught:
        costs_of(NESTED, {"coder": 1, "item": -1, "person x": 2, "item x coder": 1}, sizes, "place")
    assert len(caught.value.problems) == 4
    with pytest.raises(SpecError, match=r"persn: is no facet.*Did you mean 'person'"):
        costs_of(NESTED, {"persn": 10}, sizes, "place")


@given(st.lists(st.booleans(), min_size=24, max_size=24))
def test_smallest_designs_are_those_that_no_reaching_one_lies_below(flags):
    reached = np.array(flags).reshape(4, 3, 2)
    places = np.argwhere(reached)
    expected = np.zeros_like(reached)
    for place in places:
        below = [(other <= place).all() and (other != place).any() for other in places]
        expected[tuple(place)] = not any(below)
    assert (smallest(reached) == expected).all()


def covered(text, sizes, variances, object_, fixed, runs, seed):
    rng, design = np.random.default_rng(seed), parse_design(text)
    chosen = {f: n for f, n in zip(design.facets, sizes, strict=True) if f != object_}
    true, hits = decide(design, variances, chosen, object_, fixed), {}
    for _ in range(runs):
        found = study(simulate(rng, text, sizes, variances), text)
        for kind in ("generalisability", "dependability"):
            low, high = coefficient_interval(found, chosen, object_, fixed, kind=kind)
            hits[kind] = hits.get(kind, 0) + (low <= getattr(true, kind) <= high) / runs
    return hits


def test_intervals_cover():
    found = covered("p x (i : d)", (25, 4, 3), [1, 0.2, 0.2, 0.3, 1], "p", ["d"], 250, 1)
    assert all(0.91 < share < 0.99 for share in found.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "sizes", "variances", "object_", "fixed"),
    [
        ("p x i", (50, 6), [1, 0.3, 2], "p", ()),
        ("(q : p) x i", (10, 40, 6), [0.2, 0.3, 0.5, 0.1, 1], "p", ()),
        ("(q : p) x i", (10, 40, 6), [0.2, 0.3, 0.5, 0.1, 1], "p", ["i"]),
        ("p x i x o", (30, 4, 3), [1, 0.2, 0.2, 0.4, 0.3, 0.1, 1], "p", ()),
        ("p x (i : d)", (30, 4, 3), [1, 0.2, 0.2, 0.4, 1], "p", ["d"]),
    ],
)
def test_intervals_cover_in_many_studies(text, sizes, variances, object_, fixed):
    found = covered(text, sizes, variances, object_, fixed, 2500, 2)
    assert all(0.93 < share < 0.97 for share in found.values())
