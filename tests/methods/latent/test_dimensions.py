from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.methods.latent.dimensions import (
    bartlett_sphericity,
    minimum_average_partial,
    sampling_adequacy,
    scree_acceleration,
)
from lgpi_research.methods.latent.parallel import parallel_answers, parallel_normal

PATTERN = np.kron(np.eye(2), np.full((5, 1), 0.7))
TWO = PATTERN @ np.array([[1, 0.3], [0.3, 1]]) @ PATTERN.T
np.fill_diagonal(TWO, 1)


def answers(seed: int, n: int = 400, matrix: np.ndarray = TWO) -> np.ndarray:
    rng = np.random.default_rng(seed)
    hidden = rng.multivariate_normal(np.zeros(len(matrix)), matrix, n)
    return np.digitize(hidden, [-0.5, 0.5, 1.5]).astype(float)


def test_every_rule_finds_two_dimensions():
    assert minimum_average_partial(TWO).argmin() == 2
    assert scree_acceleration(np.linalg.eigvalsh(TWO)[::-1]) == 2
    assert parallel_normal(TWO, 400, np.random.default_rng(0)).dimensions == 2


@pytest.mark.parametrize("correlation", ["polychoric", "pearson"])
def test_shuffled_answers_find_two_dimensions(correlation):
    rng = np.random.default_rng(1)
    found = parallel_answers(answers(1), rng, correlation=correlation, draws=20)
    assert found.dimensions == 2
    assert found.draws.shape == (20, 10)


def test_shuffled_answers_with_gaps_keep_them():
    given = answers(2)
    given[::7, 3] = np.nan
    found = parallel_answers(given, np.random.default_rng(1), draws=10)
    assert found.dimensions == 2


def test_drawn_matrices_are_those_of_normal_answers():
    rng = np.random.default_rng(3)
    direct = [
        np.linalg.eigvalsh(np.corrcoef(rng.normal(size=(60, 6)).T))[::-1] for _ in range(2000)
    ]
    found = parallel_normal(np.eye(6) * 2, 60, rng, draws=2000)
    assert_allclose(found.reference, np.quantile(direct, 0.95, axis=0), rtol=0.015)
    assert_allclose(found.draws.mean(axis=0), np.mean(direct, axis=0), rtol=0.01)


def test_uncorrelated_items_have_no_dimension_as_often_as_said():
    rng = np.random.default_rng(4)
    found = [
        parallel_normal(np.corrcoef(rng.normal(size=(100, 5)).T), 100, rng, draws=99).dimensions
        for _ in range(300)
    ]
    assert abs(np.mean(np.array(found) > 0) - 0.05) < 0.04


def test_roots_of_factors_are_those_of_the_reduced_matrix():
    found = parallel_normal(TWO, 400, np.random.default_rng(0), of="factors", draws=20)
    reduced = TWO - np.diag(1 / np.diag(np.linalg.inv(TWO)))
    assert_allclose(found.roots, np.linalg.eigvalsh(reduced)[::-1])


def test_adequacy_is_a_half_for_two_items_and_sphericity_holds_its_size():
    assert_allclose(sampling_adequacy([[1, 0.6], [0.6, 1]]).overall, 0.5)
    rng = np.random.default_rng(5)
    p = [bartlett_sphericity(np.cov(rng.normal(size=(4, 50))), 50).p_value for _ in range(400)]
    assert abs(np.mean(np.array(p) < 0.1) - 0.1) < 0.045


def test_bad_requests_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(MethodError, match="correlate with no other"):
        sampling_adequacy(np.eye(3))
    with pytest.raises(MethodError, match="too few"):
        bartlett_sphericity(TWO, 4)
    with pytest.raises(SpecError, match="between 0 and 8"):
        minimum_average_partial(TWO, 9)
    with pytest.raises(DataError, match="largest first"):
        scree_acceleration([1.0, 2.0, 3.0])
    with pytest.raises(SpecError, match=r"draws must be at least 1.*quantile"):
        parallel_normal(TWO, 100, rng, draws=0, quantile=95)
    with pytest.raises(SpecError, match="too few"):
        parallel_normal(TWO, 10, rng)
    with pytest.raises(SpecError, match="'components' or 'factors'"):
        parallel_normal(TWO, 100, rng, of="roots")
    with pytest.raises(SpecError, match="Did you mean 'pearson'"):
        parallel_answers(answers(1), rng, correlation="person")
    with pytest.raises(DataError, match="gaps"):
        parallel_answers([[1, np.nan], [2, 1]], rng, correlation="pearson")
    with pytest.raises(DataError, match="table"):
        parallel_answers([1, 2], rng)
