from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.methods.design import Design, linearised_covariance
from lgpi_research.methods.replicate_estimates import replicate_totals
from lgpi_research.methods.replication import (
    REPLICATIONS,
    given_replicates,
    replicate_weights,
)
from tests.adapters._survey import read_design

REFERENCE = Path(__file__).parents[1] / "reference"
RANDOM = ("subbootstrap", "bootstrap")


def paired(seed: int = 0, strata: int = 5, population: float | None = None) -> Design:
    """Strata of two PSUs, of 1 to 4 rows each, in any order of rows."""
    rng = np.random.default_rng(seed)
    psu = np.repeat(np.arange(2 * strata), rng.integers(1, 5, 2 * strata))
    psu = rng.permutation(psu)
    n = len(psu)
    return Design.from_labels(
        n,
        weights=rng.uniform(1, 4, n),
        strata=psu // 2,
        stages=[psu],
        populations=[] if population is None else [np.full(n, population)],
    )


def uneven(seed: int = 0, *, finite: bool = False) -> Design:
    """Strata of 2, 3 and 6 PSUs, some of which are half of the population."""
    rng = np.random.default_rng(seed)
    psu = np.repeat(np.arange(11), rng.integers(1, 4, 11))
    stratum = np.digitize(psu, [2, 5])
    sizes = np.array([4.0, 30.0, 12.0])[stratum]
    return Design.from_labels(
        len(psu),
        weights=rng.uniform(1, 4, len(psu)),
        strata=np.array(["small", "middle", "large"])[stratum],
        stages=[psu],
        populations=[sizes] if finite else [],
    )


def variance(design: Design, reps: object, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Covariances of two totals by replicates and by linearisation."""
    y = np.random.default_rng(seed).normal(5, 2, (len(design.weights), 2))
    return (
        replicate_totals(y, design.weights, reps).covariance,
        linearised_covariance(design.weights[:, None] * y, design),
    )


@pytest.mark.parametrize("finite", [False, True])
@pytest.mark.parametrize("centre", ["estimate", "mean"])
def test_jackknife_is_exact_for_totals(finite, centre):
    design = uneven(finite=finite)
    found, expected = variance(design, replicate_weights(design, "jkn", centre=centre))
    assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("population", [None, 2.0, 5.0])
def test_jackknife_without_strata_is_exact_for_totals(population):
    psu = np.array([3, 3, 1, 1, 1, 2])
    design = Design.from_labels(
        6, stages=[psu], populations=[] if population is None else [np.full(6, population + 2)]
    )
    reps = replicate_weights(design, "jk1")
    found, expected = variance(design, reps)
    assert_allclose(found, expected, rtol=1e-10)
    assert_array_equal(reps.rscales, 1.0)
    assert reps.df == 2
    assert_allclose(found, variance(design, replicate_weights(design, "jkn"))[0])


@pytest.mark.parametrize(("method", "rho"), [("brr", None), ("fay", 0.3), ("fay", None)])
@pytest.mark.parametrize("population", [None, 2.5, 8.0])
def test_balanced_replicates_are_exact_for_totals_with_finite_populations_too(
    method, rho, population
):
    design = paired(population=population)
    found, expected = variance(design, replicate_weights(design, method, rho=rho))
    assert_allclose(found, expected, rtol=1e-10)
    whole = replicate_weights(design, method, rho=rho, fpc=False)
    assert_allclose(variance(design, whole)[0], variance(paired(), whole)[1], rtol=1e-10)


@pytest.mark.parametrize("finite", [False, True])
@pytest.mark.parametrize("centre", ["estimate", "mean"])
def test_subbootstrap_is_right_on_average(finite, centre):
    design = uneven(finite=finite)
    reps = replicate_weights(
        design, "subbootstrap", rng=np.random.default_rng(0), size=40_000, centre=centre
    )
    found, expected = variance(design, reps)
    assert_allclose(np.diag(found), np.diag(expected), rtol=0.04)
    assert_allclose(reps.scale, 1 / (40_000 - (centre == "mean")))


@pytest.mark.parametrize("n", [2, 3, 6])
def test_bootstrap_is_right_on_average_if_strata_have_equally_many_psus(n):
    design = Design.from_labels(4 * n, strata=np.repeat(np.arange(4), n))
    reps = replicate_weights(design, "bootstrap", rng=np.random.default_rng(0), size=40_000)
    found, expected = variance(design, reps)
    assert_allclose(np.diag(found), np.diag(expected), rtol=0.04)


def test_bootstrap_knows_of_finite_populations():
    design = Design.from_labels(12, strata=np.repeat([0, 1], 6), populations=[np.full(12, 18.0)])
    reps = replicate_weights(design, "bootstrap", rng=np.random.default_rng(0), size=40_000)
    found, expected = variance(design, reps)
    assert_allclose(np.diag(found), np.diag(expected) * 18 / 17, rtol=0.04)
    whole = replicate_weights(
        design, "bootstrap", rng=np.random.default_rng(0), size=9_000, fpc=False
    )
    assert_allclose(np.diag(variance(design, whole)[0]), np.diag(expected) * 1.5, rtol=0.06)


def test_bootstrap_errs_where_strata_differ_as_its_docstring_says():
    sizes = np.array([2] * 5 + [20] * 5)
    strata = np.repeat(np.arange(10), sizes)
    design = Design.from_labels(len(strata), strata=strata)
    reps = replicate_weights(design, "bootstrap", rng=np.random.default_rng(0), size=20_000)
    for n, ratio in ((2, 0.69), (20, 1.31)):
        y = np.random.default_rng(1).normal(size=(len(strata), 1)) * (sizes[strata] == n)[:, None]
        found = replicate_totals(y, design.weights, reps).covariance
        assert_allclose(found / linearised_covariance(y, design), ratio, atol=0.03)


def rebuilt(case: str, method: str, **options: object) -> tuple[np.ndarray, np.ndarray, dict]:
    """Replicate weights of a reference case, made from its design, and those of its file.

    The file has PSUs and strata in the order in which they come, ours are sorted.
    """
    told = json.loads((REFERENCE / "cases" / f"{case}.json").read_text("utf-8"))
    table, given = (
        pd.read_csv(REFERENCE / "data" / name, keep_default_na=False, na_values=[""])
        for name in told["data"]
    )
    design = read_design(told["inputs"]["design"], table)
    reps = replicate_weights(design, method, **options)
    made = design.weights[:, None] * reps.multipliers.T[reps.psu]
    if method in ("jk1", "jkn"):
        first = np.unique(reps.psu, return_index=True)[1]
        order = np.argsort(first) if method == "jk1" else _by_stratum(design, first)
        made = made[:, order]
        told["ours"] = reps.scale, reps.rscales[order]
    else:
        told["ours"] = reps.scale, reps.rscales
    return made, given.to_numpy(float), told


def _by_stratum(design: Design, first: np.ndarray) -> np.ndarray:
    """PSUs by the strata as they come, and as they come within strata."""
    strata = design.strata[first]
    seen = {h: first[strata == h].min() for h in np.unique(strata)}
    return np.lexsort([first, [seen[h] for h in strata]])


@pytest.mark.parametrize(
    ("case", "method"),
    [("replicates-jk1", "jk1"), ("replicates-jkn", "jkn"), ("replicates-jkn-mean", "jkn")],
)
def test_jackknife_weights_made_from_the_design_are_those_of_r(case, method):
    made, given, told = rebuilt(case, method)
    assert_allclose(made, given, rtol=1e-9)
    scale, rscales = told["ours"]
    assert_allclose(scale, told["expected"]["scale"], rtol=1e-12)
    assert_allclose(rscales, told["expected"]["rscales"], rtol=1e-12)


@pytest.mark.parametrize(
    ("case", "options"),
    [("replicates-brr", {"method": "brr"}), ("replicates-fay", {"method": "fay", "rho": 0.3})],
)
def test_balanced_weights_made_with_its_matrix_are_those_of_r(case, options):
    matrix = pd.read_csv(REFERENCE / "data" / "replicate_hadamard.csv").to_numpy(float)
    made, given, told = rebuilt(case, **options, matrix=matrix)
    weights = (made.max(axis=1) + made.min(axis=1))[:, None] / 2
    ours, theirs = made / weights - 1, given / weights - 1
    # Which PSU of a stratum comes first may differ; then replicates take the other one.
    assert_allclose(ours, np.sign(ours[:, :1] * theirs[:, :1]) * theirs, atol=1e-8)
    assert_allclose(told["ours"][0], told["expected"]["scale"], rtol=1e-12)


@pytest.mark.parametrize("method", REPLICATIONS[1:])
def test_psus_taken_for_certain_always_count_once(method):
    design = Design.from_labels(
        6, strata=[1, 1, 2, 3, 3, 3], stages=[[1, 2, 3, 4, 4, 5]], lonely="certainty"
    )
    options = {"rng": np.random.default_rng(0), "size": 8} if method in RANDOM else {}
    reps = replicate_weights(design, method, **options)
    assert_array_equal(reps.multipliers[:, reps.psu[2]], 1.0)
    assert reps.df == 2
    found, expected = variance(design, reps)
    if method not in RANDOM:
        assert_allclose(found, expected, rtol=1e-10)


def test_strata_taken_as_a_whole_add_nothing():
    design = Design.from_labels(
        5, strata=["all", "one", "n", "n", "n"], populations=[[1, 1 + 1e-9, 9, 9, 9]]
    )
    for method in ("jkn", "subbootstrap", "bootstrap"):
        options = {"rng": np.random.default_rng(0), "size": 8} if method in RANDOM else {}
        reps = replicate_weights(design, method, **options)
        assert_array_equal(reps.multipliers[:, reps.psu[:2]], 1.0)
    found, expected = variance(design, replicate_weights(design, "jkn"))
    assert_allclose(found, expected, rtol=1e-10)


def test_several_stages_replicate_the_first():
    rng = np.random.default_rng(0)
    psu = np.repeat(np.arange(6), 4)
    household = np.tile([0, 0, 1, 1], 6)
    sizes = [np.full(24, 20.0), np.full(24, 5.0)]
    both = Design.from_labels(24, stages=[psu, household], populations=sizes)
    one = Design.from_labels(24, weights=both.weights, stages=[psu], populations=sizes[:1])
    y = rng.normal(size=(24, 1))
    found = replicate_totals(y, both.weights, replicate_weights(both, "jk1")).covariance
    assert_allclose(found, linearised_covariance(one.weights[:, None] * y, one))
    assert found < linearised_covariance(both.weights[:, None] * y, both)


@pytest.mark.parametrize("method", RANDOM)
def test_the_same_generator_gives_the_same_bytes(method):
    first, second, other = (
        replicate_weights(uneven(), method, rng=np.random.default_rng(seed), size=30).multipliers
        for seed in (0, 0, 1)
    )
    assert_array_equal(first, second)
    assert (first != other).any()


@pytest.mark.parametrize(
    ("method", "options", "told"),
    [
        ("JKN", {}, "Did you mean 'jkn'"),
        ("jackknife", {}, "must be one of jk1, jkn, brr"),
        ("jk1", {}, "'jk1' is for a sample without strata, and there are 3; use 'jkn'"),
        ("jkn", {"size": 5}, "the design says how many"),
        ("subbootstrap", {}, "it needs a generator"),
        ("subbootstrap", {"size": 1}, "at least 2, got 1"),
        ("jkn", {"rho": 0.5}, "for 'fay' only, got 0.5"),
        ("fay", {"rho": 1.0}, "for 'fay' only, got 1.0"),
        ("jkn", {"matrix": [[1]]}, "it belongs to 'brr' and 'fay'"),
        ("jkn", {"centre": "median"}, "centre must be 'estimate' or 'mean'"),
    ],
)
def test_options_that_do_not_fit(method, options, told):
    with pytest.raises(SpecError, match=told):
        replicate_weights(uneven(), method, **options)


@pytest.mark.parametrize("lonely", ["adjust", "average"])
def test_lonely_psus_of_linearisation_have_no_replicates(lonely):
    with pytest.raises(SpecError, match="has no meaning for replicates") as caught:
        replicate_weights(replace(uneven(), lonely=lonely), "jkn")
    assert "collapse" in str(caught.value)


def test_a_stratum_of_one_psu_is_refused():
    design = Design.from_labels(5, strata=["a", "a", "b", "b", "alone"])
    with pytest.raises(MethodError, match=r"1 of 3 strata have one PSU \(alone\)"):
        replicate_weights(design, "jkn")


def test_nothing_to_replicate():
    whole = Design.from_labels(3, populations=[[3, 3, 3]])
    with pytest.raises(MethodError, match="taken as a whole"):
        replicate_weights(whole, "jk1")
    singles = Design.from_labels(3, strata=[1, 2, 3], lonely="certainty")
    with pytest.raises(MethodError, match="no stratum has two PSUs"):
        replicate_weights(singles, "jkn")


def test_too_many_replicates_are_refused_before_they_are_made():
    design = Design.from_labels(20_000)
    with pytest.raises(MethodError, match="20,000 replicates of 20,000 PSUs, more than 1 GiB"):
        replicate_weights(design, "jk1")


def test_given_weights_are_those_that_made_them():
    design = uneven()
    made = replicate_weights(design, "jkn")
    table = design.weights[:, None] * made.multipliers.T[made.psu]
    for given, combined in ((table, True), (made.multipliers.T[made.psu], False)):
        found = given_replicates(
            given, design.weights, scale=1.0, rscales=made.rscales, combined=combined
        )
        assert found.df == made.df == 8
        assert found.multipliers.shape == made.multipliers.shape
        assert_allclose(variance(design, found)[0], variance(design, made)[0], rtol=1e-10)


def test_given_weights_of_single_rows_stay_apart():
    rng = np.random.default_rng(0)
    table = rng.uniform(0, 2, (30, 6))
    found = given_replicates(table, np.ones(30), scale=1 / 6)
    assert found.multipliers.shape == (6, 30)
    assert_allclose(found.multipliers.T[found.psu], table, rtol=1e-9)
    assert found.df == 5
    assert given_replicates(table, np.ones(30), scale=1 / 6, df=3).df == 3


def test_everything_wrong_with_given_weights_is_said_at_once():
    with pytest.raises(DataError) as caught:
        given_replicates([[1, np.nan], [2, -1], [1, 1]], [1, np.inf, 0], scale=1.0)
    told = str(caught.value)
    assert "3 problems" in told
    assert "weights: 1 of 3 are missing, infinite or negative" in told
    assert "replicates: 2 of 6 are missing" in told
    assert "1 rows have weight 0 but positive replicate weights" in told
    with pytest.raises(DataError, match=r"shapes \(2, 2\) and \(3,\) do not fit"):
        given_replicates([[1, 2], [1, 2]], [1, 1, 1], scale=1.0)
    with pytest.raises(DataError, match="rscales: one for each of 2 replicates"):
        given_replicates([[1, 2], [1, 2]], [1, 1], scale=1.0, rscales=[1, 1, 1])
    with pytest.raises(DataError, match="scale: must be a number of at least 0"):
        given_replicates([[1, 2], [1, 2]], [1, 1], scale=-1.0)
