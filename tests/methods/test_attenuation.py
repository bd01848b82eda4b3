from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.errors import MethodError
from lgpi_research.methods.attenuation import correlation_of_sums, disattenuate
from lgpi_research.methods.consistency import Spread, alpha


def test_correlations_of_sums_are_those_of_the_added_items():
    x = np.random.default_rng(0).normal(size=(50, 5)) @ (np.eye(5) + 0.4)
    members = np.array([[1, 0], [1, 0], [-1, 0], [0, 1], [0, 1]])
    expected = np.corrcoef((x @ members).T)
    assert_allclose(correlation_of_sums(np.cov(x.T), members), expected, rtol=1e-12)
    many = np.stack([np.cov(x.T), np.eye(5)])
    assert_allclose(correlation_of_sums(many, members)[0], expected, rtol=1e-12)
    assert_allclose(correlation_of_sums(many, members)[1], np.eye(2), atol=1e-15)


def test_the_true_correlation_of_noisy_scores_is_recovered():
    rng = np.random.default_rng(1)
    true = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 200_000)
    items = np.repeat(true, 3, axis=1) + rng.normal(size=(200_000, 6))  # reliability 3/4
    matrix = np.cov(items.T)
    members = np.repeat(np.eye(2), 3, axis=0)
    shares = [
        float(alpha(Spread.from_covariance(matrix[part, part])))
        for part in (slice(0, 3), slice(3, 6))
    ]
    observed = correlation_of_sums(matrix, members)
    assert_allclose(observed[0, 1], 0.5 * 0.75, atol=0.01)
    assert_allclose(disattenuate(observed, shares)[0, 1], 0.5, atol=0.01)


def test_perfect_scores_stay_as_they_are_and_values_above_1_are_not_cut():
    matrix = np.array([[1.0, 0.9], [0.9, 1.0]])
    assert_array_equal(disattenuate(matrix, [1.0, 1.0]), matrix)
    assert_allclose(disattenuate(matrix, [0.6, 0.7])[0, 1], 0.9 / np.sqrt(0.42))


def test_a_replicate_without_reliability_is_nan():
    matrix = np.array([[1.0, 0.3], [0.3, 1.0]])
    found = disattenuate(np.stack([matrix, matrix]), [[0.5, -0.1], [0.5, 0.5]])
    assert np.isnan(found[0, 0, 1])
    assert_allclose(found[1, 0, 1], 0.6)
    assert_array_equal(found[0, 0, 0], 1.0)


def test_reliabilities_that_cannot_be_are_all_named():
    matrix = np.eye(3)
    with pytest.raises(MethodError) as caught:
        disattenuate(matrix, [0.0, 1.2, 0.5])
    assert "score 1: 0 is not positive" in str(caught.value)
    assert "score 2: 1.2 is above 1" in str(caught.value)
    with pytest.raises(MethodError, match=r"got \(3, 3\) and \(2,\)"):
        disattenuate(matrix, [0.5, 0.5])
    with pytest.raises(MethodError, match=r"got \(3, 3\) and \(2, 1\)"):
        correlation_of_sums(matrix, [[1], [1]])
