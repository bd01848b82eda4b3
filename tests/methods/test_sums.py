from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.methods.polychoric import PairCounts
from lgpi_research.methods.sums import (
    LAYOUTS,
    Layout,
    add_rows,
    one_hot,
    pair_counts_layout,
    pair_counts_of,
)

K = 3


def filled(name: str, table: np.ndarray, codes: np.ndarray, **given: np.ndarray) -> np.ndarray:
    layout = LAYOUTS[name]
    block = np.zeros((int(codes.max()) + 1, layout.width(K)))
    sign = given.get("sign", np.ones(K))
    centre = given.get("centre", np.zeros(K))
    weights = given.get("weights", np.ones(len(table)))
    add_rows(layout, block, table, [0, 1, 2], sign, centre, weights, codes)
    return block


def answers(n: int = 5000, missing: float = 0.1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    table = rng.integers(1, 6, size=(n, K)).astype(float)
    table[rng.random(table.shape) < missing] = np.nan
    return table, rng.integers(0, 7, n), rng.uniform(0.5, 2, n)


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_cluster_has_the_sums_of_its_own_rows(name):
    table, codes, weights = answers()
    together = filled(name, table, codes, weights=weights)
    for cluster in range(7):
        rows = codes == cluster
        alone = filled(name, table[rows], np.zeros(rows.sum(), int), weights=weights[rows])
        assert_allclose(together[cluster], alone[0], rtol=1e-11)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_centre_can_be_moved_afterwards(name):
    table, codes, weights = answers()
    block = filled(name, table, codes, weights=weights, centre=np.array([3.0, 2.0, -1.0]))
    LAYOUTS[name].shift(block, np.array([0.5, -2.0, 4.0]))
    expected = filled(name, table, codes, weights=weights, centre=np.array([3.5, 0.0, 3.0]))
    assert_allclose(block, expected, rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("name", LAYOUTS)
def test_chunks_in_which_nobody_answered(name):
    table, codes, _ = answers()
    table[:3000] = np.nan
    assert_array_equal(filled(name, table, codes), filled(name, table[3000:], codes[3000:]))


@pytest.mark.parametrize("name", LAYOUTS)
def test_signs_turn_items(name):
    table, codes, _ = answers()
    sign = np.array([1.0, -1.0, 1.0])
    turned = filled(name, table, codes, sign=sign, centre=np.full(K, 2.0) * sign)
    assert_array_equal(turned, filled(name, table * sign, codes, centre=np.full(K, 2.0) * sign))


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_first_columns_count_respondents(name):
    table, codes, weights = answers()
    block = filled(name, table, codes, weights=weights)
    counts = block[:, : LAYOUTS[name].n_counts(K)]
    assert_array_equal(counts, np.rint(counts))
    assert counts[:, 0].sum() <= len(table)
    assert (counts[:, 1:] <= counts[:, :1]).all()


def counted(layout: Layout, table: np.ndarray, codes: np.ndarray, **given: np.ndarray):
    block = np.zeros((7, layout.width(K)))
    sign, weights = given.get("sign", np.ones(K)), given.get("weights", np.ones(len(table)))
    add_rows(layout, block, table, [0, 1, 2], sign, np.zeros(K), weights, codes)
    return block


@pytest.mark.parametrize("listwise", [True, False])
def test_pairs_of_answers_are_counted_by_cluster(listwise):
    table, codes, weights = answers()
    layout = pair_counts_layout(np.tile(np.arange(1.0, 6.0), (K, 1)), listwise=listwise)
    block = counted(layout, table, codes, weights=weights)
    found = pair_counts_of(block, K, 5)
    assert found.sizes == (5, 5, 5)
    for cluster in range(7):
        rows = codes == cluster
        if listwise:
            rows &= ~np.isnan(table).any(axis=1)
        expected = PairCounts.from_answers(
            table[rows], weights=weights[rows], categories=np.arange(1.0, 6.0)
        )
        assert_allclose(found.counts[cluster], expected.counts, rtol=1e-11)
        seen = (~np.isnan(table[rows])).astype(float)
        assert block[cluster, 0] == seen.any(axis=1).sum()
        if not listwise:
            assert_array_equal(block[cluster, 1:7], (seen.T @ seen)[np.triu_indices(K)])
        each = [(table[rows, item] == answer).sum() for item in range(K) for answer in range(1, 6)]
        assert_array_equal(block[cluster, layout.n_sets(K) : layout.n_counts(K)], each)
    layout.shift(block, np.ones(K))
    assert_array_equal(pair_counts_of(block, K, 5).counts, found.counts)


def test_reversed_items_are_counted_the_other_way():
    table, codes, _ = answers()
    sign = np.array([1.0, -1.0, 1.0])
    ordered = np.sort(sign[:, None] * np.arange(1.0, 6.0))
    turned = counted(pair_counts_layout(ordered, listwise=True), table, codes, sign=sign)
    other = table.copy()
    other[:, 1] = 6 - other[:, 1]
    plain = pair_counts_layout(np.tile(np.arange(1.0, 6.0), (K, 1)), listwise=True)
    assert_array_equal(turned, counted(plain, other, codes))


def test_one_hot_adds_up_groups():
    found = one_hot(np.array([0, 2, 2]), 3, np.array([1.0, 2.0, 3.0])) @ np.ones((3, 1))
    assert_array_equal(found, [[1.0], [0.0], [5.0]])
