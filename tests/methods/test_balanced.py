from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.balanced import balanced_halves, hadamard, hadamard_order

MISSED = {52, 92, 100, 116, 156, 172, 184, 188}


@pytest.mark.parametrize("order", [1, 2, *(n for n in range(4, 201, 4) if n not in MISSED)])
def test_rows_are_orthogonal_and_the_first_ones(order):
    matrix = hadamard(order)
    assert_array_equal(matrix @ matrix.T, order * np.eye(order))
    assert set(np.unique(matrix)) <= {-1, 1}
    assert (matrix[0] == 1).all()
    assert (matrix[:, 0] == 1).all()


@pytest.mark.parametrize("order", [0, -4, 3, 6, 10, *sorted(MISSED)])
def test_orders_without_a_construction_name_the_next_one(order):
    following = hadamard_order(max(order, 1))
    assert following > order
    with pytest.raises(MethodError, match=f"next one up has order {following}"):
        hadamard(order)


def test_the_smallest_order_is_taken():
    assert [hadamard_order(n) for n in (1, 2, 3, 5, 12, 13, 50, 90)] == [1, 2, 4, 8, 12, 16, 56, 96]


@pytest.mark.parametrize("strata", [1, 2, 3, 4, 11, 12, 27])
@pytest.mark.parametrize("rho", [0.0, 0.3])
def test_variance_of_a_total_is_exact_and_replicates_are_balanced(strata, rho):
    rng = np.random.default_rng(strata)
    cell = rng.permutation(np.repeat(np.arange(strata), 2))
    z = rng.normal(10, 3, len(cell))
    made = balanced_halves(cell, rho=rho)
    each = made @ z
    expected = sum((z[cell == h][0] - z[cell == h][1]) ** 2 for h in range(strata))
    assert_allclose(((each - z.sum()) ** 2).sum() / len(made) / (1 - rho) ** 2, expected)
    assert_allclose(each.mean(), z.sum())
    assert_allclose(np.unique(made), [rho, 2 - rho])
    assert len(made) == hadamard_order(strata + 1)


def test_units_that_always_count_do():
    made = balanced_halves([0, -1, 0, 1, 1])
    assert_array_equal(made[:, 1], 1.0)
    assert_array_equal(made[:, 0] + made[:, 2], 2.0)


def test_a_matrix_of_ones_own_is_used():
    matrix = (hadamard(4) + 1) // 2  # 0 and 1, as agencies publish them
    made = balanced_halves([0, 0, 1, 1], matrix=matrix)
    assert_array_equal(made[:, 0], 2 * matrix[:, 1])
    assert_array_equal(made[:, 2], 2 * matrix[:, 2])


@pytest.mark.parametrize(
    ("matrix", "told"),
    [
        (hadamard(2), "must have 3 columns or more"),
        (np.arange(12).reshape(4, 3), "must hold two values, got 12"),
        ([[1, 1, 1], [1, -1, -1]], "not orthogonal"),
    ],
)
def test_matrices_that_do_not_balance(matrix, told):
    with pytest.raises(SpecError, match=told):
        balanced_halves([0, 0, 1, 1], matrix=matrix)


def test_strata_of_other_than_two_are_named_with_the_ways_out():
    with pytest.raises(
        MethodError, match=r"2 of 3 strata .* \(east with 3, west with 1\)"
    ) as caught:
        balanced_halves([0, 0, 0, 1, 1, 2], names=["east", "north", "west"])
    assert "jkn" in str(caught.value)
    assert "Pair the PSUs" in str(caught.value)


@pytest.mark.parametrize("rho", [-0.1, 1.0, np.nan])
def test_coefficients_of_fay_out_of_range(rho):
    with pytest.raises(SpecError, match="rho must be at least 0 and below 1"):
        balanced_halves([0, 0], rho=rho)
