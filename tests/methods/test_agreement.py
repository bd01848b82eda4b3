"""Krippendorff's alpha, kappas, Gwet's AC and Kendall's W: published values, exact cases."""

from __future__ import annotations

import tracemalloc
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose
from scipy import stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.agreement import (
    CHANCE,
    MEASUREMENTS,
    WEIGHTS,
    agreement_weights,
    chance_corrected,
    krippendorff_alpha,
    krippendorff_replicates,
    tally,
)
from lgpi_research.methods.kappa import (
    cohen_kappa,
    fleiss_kappa,
    kendall_w,
    rank_correlations,
)

NA = np.nan

# Krippendorff (2011): four observers, twelve units.
PUBLISHED = np.array(
    [
        [1, 1, NA, 1],
        [2, 2, 3, 2],
        [3, 3, 3, 3],
        [3, 3, 3, 3],
        [2, 2, 2, 2],
        [1, 2, 3, 4],
        [4, 4, 4, 4],
        [1, 1, 2, 1],
        [2, 2, 2, 2],
        [NA, 5, 5, 5],
        [NA, NA, 1, 1],
        [NA, NA, 3, NA],
    ]
)

# The textbook table of Fleiss' kappa: 10 units, 14 raters, counts of 5 values.
TEXTBOOK = np.array(
    [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
)


def ratings_of(counts):
    return np.array([np.repeat(np.arange(len(row)), row) for row in counts], dtype=float)


@pytest.fixture
def gaps():
    rng = np.random.default_rng(5)
    truth = rng.integers(1, 6, size=60)
    table = np.clip(truth[:, None] + rng.integers(-1, 2, size=(60, 5)), 1, 6).astype(float)
    table[rng.uniform(size=table.shape) < 0.3] = NA
    return table


@pytest.fixture
def full():
    rng = np.random.default_rng(6)
    truth = rng.integers(1, 5, size=40)
    return np.clip(truth[:, None] + rng.integers(-1, 2, size=(40, 4)), 1, 4).astype(float)


def coincidence_alpha(table, measurement):
    """Alpha from the coincidence matrix and a table of differences, pair by pair."""
    rows = [row[~np.isnan(row)] for row in table]
    rows = [row for row in rows if len(row) > 1]
    values = np.unique(np.concatenate(rows))
    place = {value: i for i, value in enumerate(values)}
    together = np.zeros((len(values), len(values)))
    for row in rows:
        for a, b in permutations(row, 2):
            together[place[a], place[b]] += 1 / (len(row) - 1)
    margin = together.sum(axis=1)
    n = margin.sum()

    def difference(i, j):
        low, high = min(i, j), max(i, j)
        if measurement == "nominal":
            return float(i != j)
        if measurement == "ordinal":
            return (margin[low : high + 1].sum() - (margin[low] + margin[high]) / 2) ** 2
        if measurement == "interval":
            return (values[i] - values[j]) ** 2
        return 0.0 if i == j else ((values[i] - values[j]) / (values[i] + values[j])) ** 2

    apart = np.array([[difference(i, j) for j in place.values()] for i in place.values()])
    expected = (np.outer(margin, margin) - np.diag(margin)) / (n - 1)
    return 1 - (together * apart).sum() / (expected * apart).sum()


@pytest.mark.parametrize(
    ("measurement", "published"),
    [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)],
)
def test_alpha_is_what_krippendorff_published(measurement, published):
    assert round(krippendorff_alpha(PUBLISHED, measurement), 3) == published


@pytest.mark.parametrize("measurement", MEASUREMENTS)
def test_sums_of_squares_give_what_the_coincidence_matrix_gives(measurement, gaps):
    many = gaps * 7.3 + np.random.default_rng(1).uniform(size=gaps.shape).round(2)
    for table in (gaps, many):
        assert_allclose(
            krippendorff_alpha(table, measurement), coincidence_alpha(table, measurement)
        )


@given(
    hnp.arrays(
        float,
        st.tuples(st.integers(2, 7), st.integers(2, 5)),
        elements=st.sampled_from([0, 1, 2, 5, NA]),
    ),
    st.sampled_from(MEASUREMENTS),
)
@settings(deadline=None, max_examples=80)
def test_any_small_table_gives_what_the_coincidence_matrix_gives(table, measurement):
    paired = table[(~np.isnan(table)).sum(axis=1) > 1]
    if len(np.unique(paired[~np.isnan(paired)])) < 2:
        with pytest.raises(MethodError, match=r"do not vary|no unit has"):
            krippendorff_alpha(table, measurement)
    else:
        found = krippendorff_alpha(table, measurement)
        assert_allclose(found, coincidence_alpha(table, measurement), atol=1e-12)


@pytest.mark.parametrize("measurement", MEASUREMENTS)
def test_alpha_of_perfect_agreement_is_one(measurement):
    table = np.repeat([[1.0], [2.0], [4.0], [1.0]], 3, axis=1)
    assert krippendorff_alpha(table, measurement) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("measurement", MEASUREMENTS)
def test_the_order_of_units_and_coders_does_not_matter(measurement, gaps):
    rng = np.random.default_rng(2)
    shuffled = np.array([rng.permutation(row) for row in rng.permutation(gaps)])
    before, after = (krippendorff_alpha(table, measurement) for table in (gaps, shuffled))
    assert_allclose(before, after, rtol=1e-12)


def test_alpha_is_invariant_as_its_measurement_says(gaps):
    relabelled = np.select([gaps == v for v in range(1, 7)], [9.0, -2, 5, 0, 1, 7], NA)
    for measurement, changed in (
        ("nominal", relabelled),
        ("ordinal", np.exp(gaps)),
        ("interval", 1e6 - 3 * gaps),
        ("ratio", 3 * gaps),
    ):
        assert_allclose(
            krippendorff_alpha(gaps, measurement), krippendorff_alpha(changed, measurement)
        )


def test_units_with_one_rating_do_not_change_alpha():
    lonely = np.vstack([PUBLISHED, [[9, NA, NA, NA], [NA, NA, NA, NA]]])
    for measurement in MEASUREMENTS:
        assert krippendorff_alpha(lonely, measurement) == krippendorff_alpha(PUBLISHED, measurement)


@pytest.mark.parametrize("measurement", MEASUREMENTS)
@pytest.mark.parametrize("values", [5, 40])
def test_a_replicate_is_alpha_of_the_units_repeated(measurement, values):
    rng = np.random.default_rng(3)
    table = rng.integers(1, values, size=(25, 4)).astype(float)
    table[rng.uniform(size=table.shape) < 0.2] = NA
    table = table[(~np.isnan(table)).sum(axis=1) > 1]
    times = rng.multinomial(len(table), np.full(len(table), 1 / len(table)), size=6)
    found = krippendorff_replicates(tally(table), measurement, times)
    by_hand = [krippendorff_alpha(np.repeat(table, row, axis=0), measurement) for row in times]
    assert_allclose(found, by_hand, rtol=1e-10)


@pytest.mark.parametrize("measurement", MEASUREMENTS)
def test_a_thousand_distinct_values_need_little_memory(measurement):
    table = np.random.default_rng(4).integers(1, 1001, size=(10_000, 20)).astype(float)
    tracemalloc.start()
    krippendorff_alpha(table, measurement)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * table.nbytes


def test_fleiss_kappa_of_the_textbook_table():
    table = ratings_of(TEXTBOOK)
    assert round(fleiss_kappa(table).estimate, 3) == 0.210
    assert_allclose(chance_corrected(table, "fleiss").estimate, fleiss_kappa(table).estimate)


def test_kappas_are_those_of_statsmodels(full):
    from statsmodels.stats import inter_rater

    counts, _ = inter_rater.aggregate_raters(full.astype(int))
    assert_allclose(fleiss_kappa(full).estimate, inter_rater.fleiss_kappa(counts))
    square = np.zeros((4, 4))
    for a, b in full[:, :2].astype(int):
        square[a - 1, b - 1] += 1
    for ours, theirs in (("identity", None), ("linear", "linear"), ("quadratic", "quadratic")):
        mine, other = cohen_kappa(full[:, :2], ours), inter_rater.cohens_kappa(square, wt=theirs)
        assert_allclose(mine.estimate, other.kappa)
        assert_allclose(mine.std_error, other.std_kappa)
        assert_allclose(mine.null_std_error, other.std_kappa0)


def test_full_agreement_has_no_error_and_cannot_be_chance():
    found = chance_corrected([[1, 1], [2, 2], [1, 1]], "gwet")
    assert (found.estimate, found.std_error, found.p_value) == (1, 0, 0)
    assert found.interval() == (1, 1)


def test_a_coder_of_one_value_agrees_as_chance_does():
    ratings = np.column_stack([np.tile([1.0, 2, 3, 4, 5, 3, 2], 9), np.full(63, 2.0)])
    for weights in ("identity", "linear"):
        one = chance_corrected(ratings, "conger", weights=weights)
        assert (one.estimate, one.std_error, one.p_value) == (0.0, 0.0, 1.0)


def test_congers_kappa_of_two_coders_is_cohens(full):
    for weights in WEIGHTS:
        conger = chance_corrected(full[:, :2], "conger", weights=weights)
        cohen = cohen_kappa(full[:, :2], weights)
        assert_allclose(conger.estimate, cohen.estimate)
        n = cohen.n_units
        assert_allclose(conger.std_error, cohen.std_error * np.sqrt(n / (n - 1)))


@pytest.mark.parametrize("coefficient", [c for c in CHANCE if c != "krippendorff"])
def test_standard_errors_are_near_those_of_the_jackknife(coefficient):
    rng = np.random.default_rng(8)
    truth = rng.integers(1, 5, size=400)
    table = np.clip(truth[:, None] + rng.integers(-1, 2, size=(400, 4)), 1, 4).astype(float)
    table[rng.uniform(size=table.shape) < 0.2] = NA
    table = table[(~np.isnan(table)).sum(axis=1) > 1]
    n = len(table)
    for weights in ("identity", "linear"):
        found = chance_corrected(table, coefficient, weights=weights)
        left = [
            chance_corrected(np.delete(table, i, axis=0), coefficient, weights=weights).estimate
            for i in range(n)
        ]
        jackknife = np.sqrt((n - 1) * np.var(left))
        assert_allclose(found.std_error, jackknife, rtol=0.02)


@pytest.mark.parametrize(
    ("weights", "measurement"),
    [("identity", "nominal"), ("quadratic", "interval"), ("ratio", "ratio")],
)
def test_alpha_with_weights_is_alpha_of_the_measurement(weights, measurement):
    found = chance_corrected(PUBLISHED, "krippendorff", weights=weights)
    assert_allclose(found.estimate, krippendorff_alpha(PUBLISHED, measurement))


@pytest.mark.parametrize("coefficient", CHANCE)
def test_full_and_sparse_counts_give_the_same(coefficient):
    rng = np.random.default_rng(9)
    few = rng.integers(0, 12, size=(30, 3)).astype(float)
    spare = np.arange(40.0)  # categories that nobody gave make the counts sparse
    dense = chance_corrected(few, coefficient, categories=np.arange(12.0))
    thin = chance_corrected(few, coefficient, categories=spare)
    assert_allclose(dense.observed, thin.observed)
    if coefficient not in ("gwet", "brennan_prediger"):  # they depend on what could be given
        assert_allclose([dense.estimate, dense.std_error], [thin.estimate, thin.std_error])


def test_brennan_and_prediger_count_what_could_be_given():
    table = [[1, 1], [2, 2], [1, 2], [2, 2]]
    found = chance_corrected(table, "brennan_prediger", categories=[1, 2, 3, 4])
    assert found.expected == pytest.approx(1 / 4)
    assert found.estimate == pytest.approx((3 / 4 - 1 / 4) / (1 - 1 / 4))


@pytest.mark.parametrize("weights", WEIGHTS)
def test_weights_are_one_for_the_same_value_and_zero_for_the_farthest(weights):
    table = agreement_weights([0.0, 1.0, 4.0, 9.0], weights)
    assert_allclose(np.diag(table), 1)
    assert_allclose(table, table.T)
    assert table.min() == table[0, -1] == 0


def test_w_of_equal_rankings_is_one_and_of_opposite_ones_zero():
    order = np.arange(1.0, 8)
    assert kendall_w(np.column_stack([order, order**2, np.exp(order)])).estimate == pytest.approx(1)
    assert kendall_w(np.column_stack([order, -order])).estimate == 0
    tied = np.array([1.0, 1, 2, 3, 3])
    assert kendall_w(np.column_stack([tied, tied])).estimate == pytest.approx(1)
    assert kendall_w(np.column_stack([tied, tied]), ties=False).estimate < 1


def test_w_is_friedmans_test_and_the_mean_rank_correlation(full):
    found = kendall_w(full)
    friedman = stats.friedmanchisquare(*full)
    assert_allclose([found.chi_square, found.p_value], [friedman.statistic, friedman.pvalue])
    distinct = np.random.default_rng(0).normal(size=(12, 4))
    pairs = rank_correlations(distinct)[np.triu_indices(4, 1)]
    assert_allclose((4 * kendall_w(distinct).estimate - 1) / 3, pairs.mean())
    assert_allclose(pairs[0], stats.spearmanr(distinct[:, 0], distinct[:, 1]).statistic, rtol=1e-12)


def test_kappa_by_value_is_kappa_of_that_value_against_the_rest(full):
    found = fleiss_kappa(full)
    for value, kappa in zip(found.values, found.by_value, strict=True):
        assert_allclose(kappa, fleiss_kappa((full == value).astype(float)).estimate)


def test_what_has_no_answer_says_why():
    with pytest.raises(MethodError, match="do not vary"):
        krippendorff_alpha([[1, 1], [1, 1]])
    with pytest.raises(MethodError, match="no unit has 2"):
        krippendorff_alpha([[1, NA], [NA, 2]])
    with pytest.raises(MethodError, match="negative"):
        krippendorff_alpha([[-1, 1], [2, 2]], "ratio")
    with pytest.raises(MethodError, match="infinite"):
        krippendorff_alpha([[1, np.inf], [2, 2]])
    with pytest.raises(SpecError, match="Did you mean 'ordinal'"):
        krippendorff_alpha(PUBLISHED, "ordnal")
    with pytest.raises(SpecError, match="Did you mean 'fleiss'"):
        chance_corrected(PUBLISHED, "fleis")
    for coefficient in ("fleiss", "gwet", "conger", "krippendorff"):
        with pytest.raises(MethodError, match="undefined"):
            chance_corrected([[1, 1], [1, 1], [1, 1]], coefficient)
    with pytest.raises(MethodError, match=r"not among the categories: 5\.0"):
        chance_corrected(PUBLISHED, categories=[1, 2, 3, 4])
    with pytest.raises(MethodError, match="too many for a table of weights"):
        chance_corrected(np.arange(12_000.0).reshape(-1, 2))
    with pytest.raises(MethodError, match="undefined"):
        fleiss_kappa([[1, 1], [1, 1]])
    with pytest.raises(MethodError, match="undefined"):
        cohen_kappa([[1, 1], [1, 1]])
    with pytest.raises(MethodError, match="two coders, got 3"):
        cohen_kappa([[1, 1, 2], [1, 2, 2]])
    with pytest.raises(MethodError, match="1 of 2 units were rated by every coder"):
        cohen_kappa([[1, 1], [1, NA]])
    with pytest.raises(MethodError, match="every coder gave all units the same value"):
        kendall_w([[1, 2], [1, 2]])
    with pytest.raises(MethodError, match="2 coders are needed"):
        kendall_w([[1], [2]])


@pytest.mark.slow
def test_chance_corrected_intervals_cover_their_true_values():
    """Coverage at 50 units of 3 coders, missing at random, of what 200,000 units have."""

    def draw(rng, n):
        truth = rng.integers(0, 4, size=n)
        right = rng.uniform(size=(n, 3)) < 0.7
        table = np.where(right, truth[:, None], rng.integers(0, 4, size=(n, 3))).astype(float)
        table[rng.uniform(size=table.shape) < 0.1] = NA
        return table

    big = draw(np.random.default_rng(0), 200_000)
    names = [name for name in CHANCE if name != "krippendorff"]
    true = {name: chance_corrected(big, name).estimate for name in names}
    hits = dict.fromkeys(names, 0)
    runs = 1000
    for task in range(runs):
        table = draw(np.random.default_rng([7, task]), 50)
        for name in names:
            low, high = chance_corrected(table, name).interval()
            hits[name] += low <= true[name] <= high
    for name, count in hits.items():
        assert 0.92 <= count / runs <= 0.985, name


def test_lights_kappa_pairs_are_symmetric(full):
    for i, j in combinations(range(4), 2):
        one, other = (cohen_kappa(full[:, [a, b]]).estimate for a, b in ((i, j), (j, i)))
        assert_allclose(one, other)
