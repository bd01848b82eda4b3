from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize, stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.polychoric import (
    PairCounts,
    fit_pair,
    polychoric,
    thresholds_of,
)

CUTS = np.array([-1.2, -0.4, 0.5, 1.3])


def hidden(seed: int, n: int = 400, k: int = 4, load: float = 0.7) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return load * rng.normal(size=(n, 1)) + np.sqrt(1 - load**2) * rng.normal(size=(n, k))


def sample(seed: int, n: int = 400, k: int = 4, load: float = 0.7) -> np.ndarray:
    return np.digitize(hidden(seed, n, k, load), CUTS).astype(float)


def loss(rho: float, table: np.ndarray, h: np.ndarray, k: np.ndarray) -> float:
    """Minus the log-likelihood of a table, from SciPy's bivariate normal distribution."""
    ends = [np.concatenate([[-9.0], cuts, [9.0]]) for cuts in (h, k)]
    points = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1)
    normal = stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]], abseps=1e-11, releps=1e-11)
    cells = np.diff(np.diff(normal.cdf(points), axis=0), axis=1)
    return -float((table * np.log(np.fmax(cells, 1e-12))).sum())


def test_counts_are_those_of_each_table():
    x = sample(0)
    x[::7, 0] = np.nan
    counts = PairCounts.from_answers(x)
    assert counts.sizes == (5, 5, 5, 5)
    first, second = np.triu_indices(4, 1)
    for table, i, j in zip(counts.tables(), first, second, strict=True):
        for a in range(5):
            for b in range(5):
                assert table[a, b] == ((x[:, i] == a) & (x[:, j] == b)).sum()
    for item, margin in enumerate(counts.margins()):
        assert_array_equal(margin, [(x[:, item] == a).sum() for a in range(5)])


def test_counts_of_groups_add_up_to_those_of_all():
    x = sample(1)
    parts = [PairCounts.from_answers(part, categories=range(5)) for part in np.split(x, 4)]
    whole = PairCounts.from_answers(x, categories=range(5))
    assert_array_equal(sum(part.counts for part in parts), whole.counts)


def test_a_whole_weight_counts_a_respondent_so_often():
    x = sample(2, n=60)
    weights = np.random.default_rng(0).integers(0, 4, size=(3, 60))
    weighted = PairCounts.from_answers(x, weights=weights)
    for row, found in zip(weights, weighted.counts, strict=True):
        repeated = PairCounts.from_answers(np.repeat(x, row, axis=0), categories=np.unique(x))
        assert_allclose(found, repeated.counts, rtol=1e-12)


@given(p=st.floats(0.02, 0.48), n=st.integers(10, 10**6))
def test_halved_items_have_the_closed_form(p, n):
    table = n * np.array([[p, 0.5 - p], [0.5 - p, p]])
    counts = np.block([[np.eye(2) * n / 2, table], [table.T, np.eye(2) * n / 2]])
    found = polychoric(PairCounts(counts, (2, 2))).correlation[0, 1]
    assert_allclose(found, np.sin(2 * np.pi * (p - 0.25)), rtol=0, atol=1e-9)


def test_thresholds_cut_off_the_shares_of_the_answers():
    assert_allclose(stats.norm.cdf(thresholds_of([1, 2, 3, 4])), [0.1, 0.3, 0.6], rtol=1e-12)
    far = thresholds_of([1, 1e14, 1])  # the last share is exact, not 1 less a sum near 1
    assert_allclose(far[0], -far[1], rtol=1e-12)
    assert_array_equal(thresholds_of([0, 5, 5, 0]), [-np.inf, 0, np.inf])


@pytest.mark.parametrize("load", [0.3, 0.7, 0.97])
def test_two_steps_reach_the_maximum_of_an_independent_likelihood(load):
    counts = PairCounts.from_answers(sample(3, n=500, k=2, load=load))
    found = polychoric(counts)
    table, (h, k) = counts.tables()[0], found.thresholds
    other = optimize.minimize_scalar(
        loss, bounds=(-0.999, 0.999), args=(table, h, k), method="bounded", options={"xatol": 1e-8}
    )
    rho = found.correlation[0, 1]
    assert_allclose(rho, other.x, atol=2e-6)
    assert loss(rho, table, h, k) <= other.fun + 1e-7


@given(seed=st.integers(0, 200))
def test_reversing_an_item_turns_its_signs_and_the_order_does_not_matter(seed):
    x = sample(seed, n=150)
    plain = polychoric(PairCounts.from_answers(x)).correlation
    turned = x.copy()
    turned[:, 1] = 4 - turned[:, 1]
    signs = np.array([1, -1, 1, 1])
    found = polychoric(PairCounts.from_answers(turned)).correlation
    assert_allclose(found, plain * np.outer(signs, signs), rtol=0, atol=1e-9)
    order = np.array([2, 0, 3, 1])
    mixed = polychoric(PairCounts.from_answers(x[:, order])).correlation
    assert_allclose(mixed, plain[np.ix_(order, order)], rtol=0, atol=1e-9)


def test_only_the_order_of_the_answers_matters():
    x = sample(4)
    named = np.array([-3.0, 0.5, 2.0, 8.0, 900.0])[x.astype(int)]
    one, other = (polychoric(PairCounts.from_answers(answers)) for answers in (x, named))
    assert_array_equal(one.correlation, other.correlation)


def test_items_with_different_numbers_of_answers_are_each_pair_alone():
    x = hidden(5, n=600)
    cut = [np.digitize(x[:, i], CUTS[: i + 1]) for i in range(4)]
    answers = np.column_stack(cut).astype(float)
    whole = polychoric(PairCounts.from_answers(answers))
    assert_array_equal(np.isnan(whole.thresholds).sum(axis=1), [3, 2, 1, 0])
    for i in range(4):
        for j in range(i):
            pair = polychoric(PairCounts.from_answers(answers[:, [i, j]]))
            assert_allclose(whole.correlation[i, j], pair.correlation[0, 1], rtol=0, atol=1e-12)


def test_an_answer_that_nobody_gave_changes_nothing():
    x = sample(6)
    plain = polychoric(PairCounts.from_answers(x))
    wide = polychoric(PairCounts.from_answers(x, categories=np.arange(-1, 8)))
    assert_allclose(wide.correlation, plain.correlation, rtol=0, atol=1e-12)
    assert_array_equal(wide.empty_cells, plain.empty_cells)


def test_replicates_are_each_alone():
    x = sample(7, n=200)
    weights = np.random.default_rng(1).multinomial(200, np.full(200, 1 / 200), size=(2, 3))
    counts = PairCounts.from_answers(x, weights=weights)
    together = polychoric(counts)
    assert together.correlation.shape == (2, 3, 4, 4)
    assert together.converged.all()
    for place in np.ndindex(2, 3):
        alone = polychoric(PairCounts(counts.counts[place], counts.sizes))
        assert_allclose(together.correlation[place], alone.correlation, rtol=0, atol=1e-9)
        assert_allclose(together.smallest_root[place], alone.smallest_root, rtol=0, atol=1e-9)


def test_more_pairs_than_are_computed_at_once():
    x = np.column_stack([sample(seed, n=120, k=6) for seed in range(8)])  # 1,128 pairs
    whole = polychoric(PairCounts.from_answers(x))
    part = polychoric(PairCounts.from_answers(x[:, [3, 47]]))
    assert whole.converged.all()
    assert_allclose(whole.correlation[3, 47], part.correlation[0, 1], rtol=0, atol=1e-9)


def test_correlations_recover_the_truth():
    found = polychoric(PairCounts.from_answers(sample(8, n=100_000)))
    off = found.correlation[np.triu_indices(4, 1)]
    assert np.abs(off - 0.49).max() < 4 * 0.003  # four standard errors
    assert np.abs(found.thresholds - CUTS).max() < 4 * 0.008
    assert found.positive_definite


@pytest.mark.slow
def test_correlations_are_unbiased_and_their_standard_error_is_their_spread():
    fits = [
        fit_pair(PairCounts.from_answers(sample(seed, n=300, k=2)).tables()[0])
        for seed in range(1500)
    ]
    found = np.array([fit.correlation for fit in fits])
    errors = np.array([fit.std_error for fit in fits])
    assert abs(found.mean() - 0.49) < 3 * found.std() / np.sqrt(1500) + 0.002
    assert_allclose(errors.mean(), found.std(), rtol=0.06)
    rejected = np.mean([fit.p_value < 0.05 for fit in fits])
    assert 0.03 < rejected < 0.08  # sparse cells make the test approximate


def test_empty_cells_are_counted_where_both_answers_occur():
    x = np.array([[0, 0], [0, 1], [1, 1], [1, 2], [2, 2], [2, 1], [2, np.nan]])
    found = polychoric(PairCounts.from_answers(x, categories=range(5)))
    assert_array_equal(found.empty_cells, [[0, 3], [3, 0]])
    assert_array_equal(found.n, [[7, 6], [6, 6]])


def test_one_empty_cell_of_four_puts_the_correlation_at_the_limit():
    x = np.repeat([[0, 0], [1, 0], [1, 1]], [30, 20, 50], axis=0)
    found = polychoric(PairCounts.from_answers(x))
    assert found.at_limit[0, 1]
    assert not found.converged[0, 1]
    assert found.correlation[0, 1] == 1.0
    assert not found.positive_definite
    turned = polychoric(PairCounts.from_answers(x * [1, -1]))
    assert turned.correlation[0, 1] == -1.0
    filled = polychoric(PairCounts.from_answers(x), empty_cell=0.5)
    assert filled.converged[0, 1]
    assert 0.7 < filled.correlation[0, 1] < 0.99


def test_copies_are_at_the_limit():
    x = sample(9)[:, [0, 0, 1]]
    found = polychoric(PairCounts.from_answers(x))
    assert_array_equal(np.argwhere(found.at_limit), [[0, 1], [1, 0]])
    assert found.correlation[0, 1] == 1.0


def test_correlations_of_different_respondents_may_be_of_no_variables():
    rng = np.random.default_rng(0)
    x = np.full((600, 3), np.nan)
    for rows, pair, rho in (
        (slice(0, 200), [0, 1], 0.9),
        (slice(200, 400), [0, 2], 0.9),
        (slice(400, 600), [1, 2], -0.9),
    ):
        cov = [[1, rho], [rho, 1]]
        x[rows, pair] = np.digitize(rng.multivariate_normal([0, 0], cov, 200), CUTS)
    found = polychoric(PairCounts.from_answers(x))
    assert found.smallest_root < 0
    assert not found.positive_definite
    assert found.converged.all()


def test_full_likelihood_is_the_optimum_of_a_general_optimiser():
    table = PairCounts.from_answers(sample(10, n=300, k=2)).tables()[0]
    fit = fit_pair(table)
    here = np.concatenate([fit.row_thresholds, fit.column_thresholds, [fit.correlation]])

    def of_all(at: np.ndarray) -> float:
        return loss(at[-1], table, at[:4], at[4:8])

    assert_allclose(of_all(here), -fit.log_likelihood, rtol=1e-9)
    small = 1e-3
    for i in range(9):
        step = small * np.eye(9)[i]
        up, down = of_all(here + step), of_all(here - step)
        assert abs(up - down) / (2 * small) < 1e-2  # flat in every direction ...
        assert min(up, down) > of_all(here)  # ... and lower beside it
    two_step = polychoric(PairCounts.from_answers(sample(10, n=300, k=2))).correlation[0, 1]
    assert abs(fit.correlation - two_step) < 0.1 * fit.std_error


def test_a_table_of_two_by_two_is_fitted_exactly():
    table = np.array([[40.0, 15.0], [20.0, 25.0]])
    fit = fit_pair(table)
    counts = np.block([[np.diag(table.sum(axis=1)), table], [table.T, np.diag(table.sum(axis=0))]])
    assert_allclose(fit.correlation, polychoric(PairCounts(counts, (2, 2))).correlation[0, 1])
    assert_allclose(fit.statistic, 0, atol=1e-8)
    assert fit.df == 0
    assert np.isnan(fit.p_value)


def test_a_likelihood_ratio_test_finds_what_is_not_normal():
    rng = np.random.default_rng(11)
    value = rng.normal(size=3000)
    curved = value**2 - 1 + 0.3 * rng.normal(size=3000)
    table = PairCounts.from_answers(np.digitize(np.column_stack([value, curved]), CUTS)).tables()[0]
    assert fit_pair(table).p_value < 1e-6


def test_all_that_is_wrong_with_the_items_is_said_at_once():
    x = np.array([[1, 2, np.nan, 1], [2, 2, np.nan, 2], [np.nan, 2, 1, 3], [np.nan, 2, 3, 3]])
    with pytest.raises(MethodError) as caught:
        polychoric(PairCounts.from_answers(x))
    message = str(caught.value)
    assert "item 2 has fewer than two different answers" in message
    assert "nobody answered both item 1 and item 3" in message


def test_among_replicates_what_has_no_answer_is_missing():
    x = sample(12, n=300, k=3)
    weights = np.ones((2, 300))
    weights[1, x[:, 0] > 0] = 0
    found = polychoric(PairCounts.from_answers(x, weights=weights))
    assert np.isfinite(found.correlation[0]).all()
    assert_array_equal(np.isnan(found.correlation[1, 0]), [True, True, True])
    assert np.isfinite(found.correlation[1, 1, 2])
    assert np.isnan(found.smallest_root[1])
    assert not found.positive_definite[1]


def test_replicates_in_which_every_answer_is_the_same_have_no_correlation():
    counts = PairCounts.from_answers(np.ones((5, 2)), weights=np.ones((2, 5)))
    assert np.isnan(polychoric(counts).correlation).all()


def test_answers_that_cannot_be_counted():
    with pytest.raises(MethodError, match=r"shape \(n, k\), got \(3,\)"):
        PairCounts.from_answers([1, 2, 3])
    with pytest.raises(MethodError) as caught:
        PairCounts.from_answers([[1, np.inf], [2, 3]], categories=[1, 2], weights=[1.0, -1.0, 2.0])
    message = str(caught.value)
    assert "1 answers are infinite" in message
    assert "2 of 2 answers to item 2 are none of the categories" in message
    assert "weights must be 2 numbers >= 0" in message


def test_bad_options():
    with pytest.raises(MethodError, match="at least 2 items are needed, got 1"):
        polychoric(PairCounts.from_answers([[1], [2]]))
    with pytest.raises(SpecError, match="empty_cell must be a number >= 0"):
        polychoric(PairCounts.from_answers(sample(0)), empty_cell=-1)


def test_tables_that_have_no_fit():
    with pytest.raises(MethodError, match="counts >= 0 in two dimensions"):
        fit_pair([[1.0, -1.0], [2.0, 3.0]])
    with pytest.raises(MethodError, match="two different answers, got 2 in rows and 1 in columns"):
        fit_pair([[1.0, 0.0], [2.0, 0.0]])
    with pytest.raises(MethodError, match=r"no maximum inside ±0\.9999"):
        fit_pair([[10.0, 0.0], [0.0, 10.0]])
