"""Designs of complex samples and the linearised covariance: textbook figures, invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.methods.design import Design, linearised_covariance


def variance(z, design, **options):
    return float(linearised_covariance(z, design, **options)[0, 0])


def two_stage(rng, lonely="fail"):
    """Return a stratified sample of villages in districts, whose labels repeat."""
    stratum = np.repeat([0, 1, 2], [12, 18, 24])
    psu = np.concatenate([np.arange(12) // 4, np.arange(18) // 6, np.arange(24) // 6])
    ssu = np.arange(54) % 6 // 2
    numbers = np.array([10, 7, 30])[stratum], np.where(psu > 1, 9, 5)
    return stratum, psu, ssu, numbers, rng.normal(size=(54, 2))


def test_a_simple_random_sample_has_the_variance_of_textbooks():
    y = np.array([3.0, 5.0, 9.0, 12.0])
    for size, left in ((None, 1.0), (20, 1 - 4 / 20), (4, 0.0)):
        population = None if size is None else np.full(4, size)
        design = Design.from_labels(4, weights=np.ones(4), populations=[population])
        assert_allclose(variance(y, design), left * 4 * y.var(ddof=1), atol=1e-12)


def test_two_stages_by_hand():
    """Särndal, Swensson and Wretman, section 4.3, written out for two of five clusters."""
    cluster = np.array([0, 0, 0, 1, 1])
    size = np.array([6, 6, 6, 8, 8])
    y = np.array([1.0, 4.0, 7.0, 2.0, 10.0])
    design = Design.from_labels(5, stages=[cluster, None], populations=[np.full(5, 5), size])
    assert_allclose(design.weights, [5, 5, 5, 10, 10])
    total = np.array([6 / 3 * 12, 8 / 2 * 12])
    between = 5**2 * (1 / 2 - 1 / 5) * total.var(ddof=1)
    spread = [y[:3].var(ddof=1), y[3:].var(ddof=1)]
    within = 6**2 * (1 / 3 - 1 / 6) * spread[0] + 8**2 * (1 / 2 - 1 / 8) * spread[1]
    assert_allclose(variance(design.weights * y, design), between + 5 / 2 * within)


def test_strata_add_up_and_the_first_stage_hides_the_rest_without_a_correction():
    rng = np.random.default_rng(0)
    stratum, psu, ssu, _, z = two_stage(rng)
    whole = Design.from_labels(54, strata=stratum, stages=[psu, ssu], nested=True)
    parts = [
        linearised_covariance(
            z[stratum == h],
            Design.from_labels(int((stratum == h).sum()), stages=[psu[stratum == h]]),
        )
        for h in range(3)
    ]
    assert_allclose(linearised_covariance(z, whole), sum(parts))


def test_all_of_a_population_has_no_error():
    rng = np.random.default_rng(1)
    stratum, psu, ssu, _, z = two_stage(rng)
    sizes = [np.array([3, 3, 4])[stratum], np.array([2, 3, 3])[stratum]]
    design = Design.from_labels(
        54,
        strata=stratum,
        stages=[psu, ssu, None],
        nested=True,
        populations=[*sizes, np.full(54, 2)],
    )
    assert_allclose(linearised_covariance(z, design), 0.0, atol=1e-12)
    assert (design.weights == 1).all()
    for size in (1, 1 + 1e-9):  # one unit that is all there is, but for rounding, is no failure
        one = Design.from_labels(2, strata=["a", "b"], populations=[[size, size]])
        assert variance([3.0, 4.0], one) == 0.0


@given(st.integers(0, 2**32 - 1))
def test_order_and_names_of_rows_and_units_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    stratum, psu, ssu, sizes, z = two_stage(rng)
    told = {"nested": True, "populations": sizes}
    found = linearised_covariance(
        z, Design.from_labels(54, strata=stratum, stages=[psu, ssu], **told)
    )
    order = rng.permutation(54)
    names = rng.permutation(["x", "Ж", "9", "a b", "c", "d"])
    mixed = Design.from_labels(
        54, strata=names[stratum[order]], stages=[names[psu[order]], names[ssu[order]]],
        nested=True, populations=[size[order] for size in sizes],
    )  # fmt: skip
    assert_allclose(linearised_covariance(z[order], mixed), found, atol=1e-9)


def test_a_stage_of_one_unit_each_changes_nothing():
    rng = np.random.default_rng(2)
    stratum, psu, ssu, (first, second), z = two_stage(rng)
    plain = Design.from_labels(
        54, strata=stratum, stages=[psu, ssu], nested=True, populations=[first, second]
    )
    between = Design.from_labels(
        54, strata=stratum, stages=[psu, np.zeros(54), ssu], nested=True,
        populations=[first, np.ones(54), second],
    )  # fmt: skip
    assert_allclose(linearised_covariance(z, between), linearised_covariance(z, plain))
    assert_allclose(between.weights, plain.weights)


def test_labels_of_later_stages_count_within_their_parents():
    repeated = Design.from_labels(4, stages=[[1, 1, 2, 2], ["a", "b", "a", "b"]])
    unique = Design.from_labels(4, stages=[[1, 1, 2, 2], ["a", "b", "c", "d"]])
    assert [stage.tolist() for stage in repeated.stages] == [s.tolist() for s in unique.stages]


def test_the_population_stops_at_the_first_stage_without_one():
    rng = np.random.default_rng(3)
    z, psu, ssu = rng.normal(size=12), np.arange(12) // 4, np.arange(12) // 2
    told = {"stages": [psu, ssu, None]}
    some = Design.from_labels(12, populations=[np.full(12, 6), None, np.full(12, 3)], **told)
    known = Design.from_labels(12, populations=[np.full(12, 6), np.full(12, 1e12)], **told)
    assert_allclose(variance(z, some), variance(z, known))
    none = Design.from_labels(12, populations=[None, np.full(12, 2)], **told)
    assert_allclose(variance(z, none), variance(z, Design.from_labels(12, stages=[psu])))


LONELY = {"strata": [0, 0, 0, 1, 1, 2], "stages": [[1, 2, 3, 4, 5, 6]]}
Z = np.array([1.0, 2.0, 6.0, 3.0, 5.0, 7.0])


def test_what_each_option_does_with_a_lonely_psu():
    others = 3 * Z[:3].var(ddof=1) + 2 * Z[3:5].var(ddof=1)
    expected = {
        "certainty": others,
        "adjust": others + (7 - Z.mean()) ** 2,
        "average": others * 3 / 2,
    }
    for option, value in expected.items():
        design = Design.from_labels(6, lonely=option, **LONELY)
        assert_allclose(variance(Z, design), value)
    with pytest.raises(MethodError, match=r"1 of 3 strata have one PSU \(2\).*R remove.*centered"):
        variance(Z, Design.from_labels(6, **LONELY))


def test_a_lonely_psu_outside_the_domain_is_no_failure():
    design = Design.from_labels(6, **LONELY)
    inside = np.arange(6) < 5
    expected = 3 * Z[:3].var(ddof=1) + 2 * Z[3:5].var(ddof=1)
    assert_allclose(variance(Z * inside, design, domain=inside), expected)
    average = Design.from_labels(6, lonely="average", **LONELY)
    both = np.column_stack([Z, Z * inside])
    found = linearised_covariance(both, average, domain=np.column_stack([inside | True, inside]))
    assert_allclose(np.diag(found), [expected * 3 / 2, expected])


def test_an_average_is_that_of_the_strata_of_the_domain():
    strata, stages = [0, 0, 1, 1, 2], [[1, 2, 3, 4, 5]]
    design = Design.from_labels(5, strata=strata, stages=stages, lonely="average")
    inside = np.array([True, True, False, False, True])
    found = variance(Z[:5] * inside, design, domain=inside)
    assert_allclose(found, 2 * 2 * Z[:2].var(ddof=1))  # the mean of one other, twice


def test_lonely_units_of_a_later_stage():
    told = {"stages": [[1, 1, 2, 2, 3], None], "populations": [np.full(5, 9), [4, 4, 4, 4, 4]]}
    with pytest.raises(MethodError, match="1 of 3 units of stage 1 have one unit of stage 2"):
        variance(Z[:5], Design.from_labels(5, **told))
    certain = variance(Z[:5], Design.from_labels(5, lonely="certainty", **told))
    average = variance(Z[:5], Design.from_labels(5, lonely="average", **told))
    second = 3 / 9 * (1 - 2 / 4) * 2 * (Z[:2].var(ddof=1) + Z[2:4].var(ddof=1))
    assert_allclose(average - certain, second / 2)


def test_an_average_needs_another_stratum():
    design = Design.from_labels(2, strata=[0, 1], lonely="average")
    with pytest.raises(MethodError, match="no other to average"):
        variance([1.0, 2.0], design)


def test_degrees_of_freedom_count_what_has_a_weight_and_is_in_the_domain():
    design = Design.from_labels(
        6, weights=[1, 1, 1, 1, 1, 0], strata=[0, 0, 0, 1, 1, 1], stages=[[1, 1, 2, 3, 4, 5]]
    )
    assert (design.n_psu, design.n_strata, design.df) == (4, 2, 2)
    assert design.domain_df([True, True, True, False, False, True]) == 1
    assert design.domain_df([True, True, True, True, False, True]) == 1
    assert design.domain_df([0, 1, 2, 3, 5]) == 1
    idle = Design.from_labels(4, weights=[1, 1, 0, 0], strata=[0, 0, 1, 1])
    assert (idle.n_psu, idle.n_strata, idle.df) == (2, 1, 1)
    assert design.domain_df(np.zeros(6, dtype=bool)) == 0


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"strata": [1, 1, 2, 2], "stages": [[1, 2, 2, 3]]}, "2 in more than one stratum.*nested"),
        ({"strata": ["a", None, "b", "b"]}, r"strata: 1 of 4 rows have none \(first rows 2\)"),
        ({"stages": [[1.0, np.nan, 2.0, 2.0]]}, "stage 1: 1 of 4 rows have none"),
        ({"stages": [[1, 2, 3]]}, "stage 1: 3 labels for 4 rows"),
        ({"populations": [[9, 9, np.nan, 9]]}, "missing or not positive in 1 of 4 rows"),
        ({"populations": [[9, 9, 0, 9]]}, "missing or not positive in 1 of 4 rows"),
        ({"populations": [[9, 9, 8, 9]]}, "differs within 1 of 1 strata"),
        ({"populations": [[3, 3, 3, 3]]}, "smaller than the number of units drawn in 1 of 1"),
        ({"populations": [[3, 3]]}, "2 populations for 4 rows"),
        ({"weights": [1, 2, -1, np.nan]}, "weights: 2 of 4 are missing, infinite or negative"),
        ({"weights": np.zeros(4)}, "all are 0"),
        ({"weights": [1, 2]}, "one entry for each"),
    ],
)  # fmt: skip
def test_what_no_design_can_have(told, message):
    with pytest.raises(DataError, match=message):
        Design.from_labels(4, **told)


def test_one_psu_or_none_has_no_error():
    with pytest.raises(MethodError, match="the sample has one PSU, so its sampling error is"):
        variance([1.0, 2.0], Design.from_labels(2, stages=[["a", "a"]]))
    with pytest.raises(DataError, match="0 weights"):
        Design.from_labels(0, populations=[[]])


def test_all_problems_are_told_at_once():
    with pytest.raises(DataError, match="2 problems"):
        Design.from_labels(4, strata=[1, 1, 2, np.nan], populations=[[3, 3, 3, 0]])


def test_options_that_do_not_exist():
    with pytest.raises(SpecError, match="Did you mean 'adjust'"):
        Design.from_labels(4, lonely="adjusted")
    with pytest.raises(SpecError, match="2 populations for 1 stages"):
        Design.from_labels(4, populations=[None, None])


def test_the_linearised_variance_of_a_total_is_unbiased():
    """Every sample of two of four clusters, and two of three units in each."""
    from itertools import combinations, product

    y = np.array([[1.0, 4.0, 2.0], [8.0, 3.0, 5.0], [2.0, 2.0, 9.0], [6.0, 0.0, 1.0]])
    pairs = list(combinations(range(3), 2))
    totals, variances = [], []
    for clusters in combinations(range(4), 2):
        for units in product(pairs, repeat=2):
            z = np.concatenate([y[c, list(u)] for c, u in zip(clusters, units, strict=True)])
            design = Design.from_labels(
                4, stages=[[0, 0, 1, 1], None], populations=[np.full(4, 4), np.full(4, 3)]
            )
            totals.append(design.weights @ z)
            variances.append(variance(design.weights * z, design))
    assert_allclose(np.mean(totals), y.sum())
    assert_allclose(np.mean(variances), np.var(totals))
