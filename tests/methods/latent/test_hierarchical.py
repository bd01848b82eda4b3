from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.latent.hierarchical import hierarchical_omega


def second_order(gamma: list[float]) -> tuple[np.ndarray, np.ndarray]:
    upper = np.array(gamma)
    load = np.tile([0.8, 0.7, 0.6, 0.75], len(upper))
    pattern = np.kron(np.eye(len(upper)), np.ones((4, 1))) * load[:, None]
    phi = np.outer(upper, upper)
    np.fill_diagonal(phi, 1)
    matrix = pattern @ phi @ pattern.T
    np.fill_diagonal(matrix, 1)
    return matrix, pattern


@pytest.mark.parametrize("rotation", ["oblimin", "promax"])
def test_a_second_order_model_is_recovered(rotation):
    matrix, pattern = second_order([0.8, 0.7, 0.6])
    found = hierarchical_omega(matrix, 3, rotation=rotation)
    general = pattern @ [0.8, 0.7, 0.6]
    allowed = 1e-6 if rotation == "oblimin" else 0.05  # promax only comes near
    assert_allclose(found.general, general, atol=allowed)
    assert_allclose(found.omega_hierarchical, general.sum() ** 2 / matrix.sum(), atol=allowed)
    unique = 1 - np.square(pattern).sum() / 12
    assert_allclose(found.omega_total, 1 - 12 * unique / matrix.sum(), atol=1e-6)
    ecv = np.square(general).sum() / np.square(pattern).sum()
    assert_allclose(found.explained_common, ecv, atol=allowed)
    assert_allclose(np.sort(np.bincount(found.group_of)), [4, 4, 4])


def test_two_groups_share_the_general_factor_alike():
    matrix, pattern = second_order([0.7, 0.7])
    found = hierarchical_omega(matrix, 2)
    assert_allclose(found.general, pattern @ [0.7, 0.7], atol=1e-6)


def test_groups_that_oppose_each_other_have_no_general_factor():
    matrix, _ = second_order([0.6, 0.6])
    matrix[:4, 4:] *= -1
    matrix[4:, :4] *= -1
    with pytest.raises(MethodError, match="no general factor"):
        hierarchical_omega(matrix, 2)


def test_bad_requests_are_named_together():
    with pytest.raises(SpecError, match="at least 2 group factors") as told:
        hierarchical_omega(np.eye(4), 1, rotation="varimax")
    assert len(told.value.problems) == 2


def test_a_heywood_case_of_the_second_level_is_named():
    phi = np.array([[1, 0.9, 0.9], [0.9, 1, 0.6], [0.9, 0.6, 1]])
    _, pattern = second_order([0.9, 0.9, 0.9])
    matrix = pattern @ phi @ pattern.T
    np.fill_diagonal(matrix, 1)
    with pytest.raises(MethodError, match="Heywood case"):
        hierarchical_omega(matrix, 3)
