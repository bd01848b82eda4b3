from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.replicates import (
    canty_davison,
    delete_one,
    design_df,
    jackknife,
    rao_wu,
    strata_sizes,
)

STRATA = np.array(["b", "a", "a", "b", "b", "a", "c", "c"])


def stratified_variance(totals: np.ndarray, strata: np.ndarray) -> float:
    """Variance of a total under sampling of PSUs with replacement, from the textbook."""
    found = 0.0
    for stratum in np.unique(strata):
        part = totals[strata == stratum]
        found += len(part) * part.var(ddof=1)
    return found


def test_jackknife_variance_of_a_total_is_the_textbook_one():
    totals = np.random.default_rng(1).normal(10, 3, len(STRATA))
    multipliers, coefficients = jackknife(STRATA)
    squared = (coefficients * (multipliers @ totals - totals.sum()) ** 2).sum()
    assert_allclose(squared, stratified_variance(totals, STRATA), rtol=1e-12)


def test_bootstrap_variance_of_a_total_is_the_textbook_one():
    totals = np.random.default_rng(2).normal(10, 3, len(STRATA))
    draws = rao_wu(np.random.default_rng(0), STRATA, 40_000) @ totals
    expected = stratified_variance(totals, STRATA)
    # The variance of a variance of 40,000 draws with tails no heavier than these is under 1 %.
    assert_allclose(draws.var(), expected, rtol=0.03)
    assert_allclose(draws.mean(), totals.sum(), atol=4 * np.sqrt(expected / 40_000))


def test_bootstrap_multipliers_add_up_to_the_number_of_psus_in_each_stratum():
    multipliers = rao_wu(np.random.default_rng(0), STRATA, 50)
    for stratum in "abc":
        inside = stratum == STRATA
        assert_allclose(multipliers[:, inside].sum(axis=1), inside.sum())
        step = inside.sum() / (inside.sum() - 1)
        assert_allclose(multipliers[:, inside] / step, np.rint(multipliers[:, inside] / step))


def test_bootstrap_gives_the_same_bytes_for_the_same_generator():
    first, second = (rao_wu(np.random.default_rng(0), STRATA, 20) for _ in range(2))
    assert_array_equal(first, second)


def test_jackknife_of_one_stratum_leaves_out_each_psu():
    multipliers, coefficients = jackknife(np.zeros(3))
    assert_array_equal(multipliers, [[0, 1.5, 1.5], [1.5, 0, 1.5], [1.5, 1.5, 0]])
    assert_allclose(coefficients, 2 / 3)


def test_leaving_out_without_multipliers_is_the_same():
    sums = np.random.default_rng(3).normal(size=(len(STRATA), 4))
    multipliers, coefficients = jackknife(STRATA)
    found, same = delete_one(sums, STRATA)
    assert_allclose(found, multipliers @ sums, rtol=1e-12)
    assert_array_equal(same, coefficients)
    part, few = delete_one(sums, STRATA, rows=slice(2, 5))
    assert_allclose(part, found[2:5], rtol=1e-12)
    assert_array_equal(few, coefficients[2:5])


def test_a_stratum_of_one_psu_is_refused_with_the_ways_out():
    with pytest.raises(MethodError, match=r"1 of 2 strata have one PSU \(north\)") as caught:
        rao_wu(np.random.default_rng(0), ["south", "south", "north"], 3)
    assert "collapse" in str(caught.value)
    assert "lonely='certainty'" in str(caught.value)


def test_a_psu_taken_with_certainty_always_counts_once():
    strata = ["south", "north", "south"]
    drawn = rao_wu(np.random.default_rng(0), strata, 10, lonely="certainty")
    assert_array_equal(drawn[:, 1], 1.0)
    multipliers, _ = jackknife(strata, lonely="certainty")
    assert_array_equal(multipliers, [[0, 1, 2], [2, 1, 0]])
    assert design_df(strata, lonely="certainty") == 1


@pytest.mark.parametrize("strata", [["only"], ["a", "b", "c"]])
def test_no_two_psus_in_any_stratum(strata):
    with pytest.raises(MethodError, match="needs two PSUs in a stratum"):
        strata_sizes(strata, lonely="certainty")


def test_unknown_treatment_of_lonely_psus():
    with pytest.raises(SpecError, match="Did you mean 'certainty'"):
        strata_sizes(["a", "a"], lonely="certanty")


def test_canty_davison_draws_as_many_as_there_are():
    drawn = canty_davison(np.random.default_rng(0), STRATA, 200)
    for stratum in "abc":
        assert_array_equal(drawn[:, stratum == STRATA].sum(axis=1), (stratum == STRATA).sum())
    assert_array_equal(drawn, np.rint(drawn))


@pytest.mark.parametrize("population", [3, 4, 7, 9, 30])
def test_canty_davison_variance_with_a_finite_population(population):
    totals = np.array([1.0, 4.0, 10.0])
    drawn = canty_davison(np.random.default_rng(0), [1, 1, 1], 40_000, populations=[population] * 3)
    assert drawn.max() == min(3, -(-population // 3))  # the most copies that there are
    assert_allclose(drawn.mean(axis=0), 1.0, atol=0.02)
    each = drawn @ totals
    if population == 3:
        assert_array_equal(each, totals.sum())
        return
    usual = 3 * totals.var(ddof=1)
    if population % 3 == 0:
        expected = (1 - 3 / population) * usual * (2 / 3) * population / (population - 1)
        assert_allclose(each.var(), expected, rtol=0.03)
    else:
        assert each.var() < usual


def test_canty_davison_refuses_a_population_smaller_than_the_sample():
    with pytest.raises(MethodError, match="3 PSUs in the sample and 2 in the population"):
        canty_davison(np.random.default_rng(0), [1, 1, 1], 3, populations=[2, 2, 2])
