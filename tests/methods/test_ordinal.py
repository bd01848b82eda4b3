from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.errors import MethodError
from lgpi_research.methods.consistency import Spread, alpha, standardised_alpha
from lgpi_research.methods.onefactor import omega_total
from lgpi_research.methods.ordinal import omega_categorical, ordinal_alpha, ordinal_omega
from lgpi_research.methods.polychoric import PairCounts, polychoric

COEFFICIENTS = (ordinal_alpha, ordinal_omega, omega_categorical)
LOAD = np.array([0.8, 0.7, 0.6, 0.5])


def answers(rng: np.random.Generator, trait: np.ndarray, cuts: list[float]) -> np.ndarray:
    noise = rng.normal(size=(len(trait), 4)) * np.sqrt(1 - LOAD**2)
    return np.digitize(trait[:, None] * LOAD + noise, cuts).astype(float)


def test_ordinal_coefficients_are_those_of_the_polychoric_correlations():
    rng = np.random.default_rng(0)
    counts = PairCounts.from_answers(answers(rng, rng.normal(size=500), [-1, 0.2, 1]))
    spread = Spread.from_covariance(polychoric(counts).correlation)
    assert ordinal_alpha(counts) == standardised_alpha(spread)
    assert ordinal_omega(counts) == omega_total(spread)


def test_ordinal_omega_recovers_the_reliability_behind_the_answers():
    rng = np.random.default_rng(1)
    counts = PairCounts.from_answers(answers(rng, rng.normal(size=100_000), [-0.5, 1.0]))
    truth = LOAD.sum() ** 2 / (LOAD.sum() ** 2 + (1 - LOAD**2).sum())
    assert_allclose(ordinal_omega(counts), truth, atol=0.005)


@pytest.mark.parametrize("cuts", [[0.0], [0.7], [-1, 0, 1], [0.5, 1.2, 1.6]])
def test_categorical_omega_is_the_correlation_of_sums_that_share_the_trait(cuts):
    rng = np.random.default_rng(2)
    trait = rng.normal(size=200_000)
    one, other = (answers(rng, trait, cuts) for _ in range(2))
    parallel = np.corrcoef(one.sum(axis=1), other.sum(axis=1))[0, 1]
    found = omega_categorical(PairCounts.from_answers(one))
    assert_allclose(found, parallel, atol=0.006)
    assert found < ordinal_omega(PairCounts.from_answers(one))


def test_categorical_omega_of_items_alike_is_alpha_of_their_answers():
    rng = np.random.default_rng(3)
    trait = rng.normal(size=300_000)
    noise = rng.normal(size=(300_000, 4)) * np.sqrt(0.5)
    same = np.digitize(trait[:, None] * np.sqrt(0.5) + noise, [-1, 0, 1]).astype(float)
    equal = alpha(Spread.from_covariance(np.cov(same.T)))
    assert_allclose(omega_categorical(PairCounts.from_answers(same)), equal, atol=0.004)


def test_many_answers_make_the_sum_as_reliable_as_what_is_behind_them():
    rng = np.random.default_rng(4)
    counts = PairCounts.from_answers(
        answers(rng, rng.normal(size=20_000), list(np.linspace(-3, 3, 25)))
    )
    assert_allclose(omega_categorical(counts), ordinal_omega(counts), atol=0.01)


def test_replicates_are_each_alone_and_the_order_of_the_items_does_not_matter():
    rng = np.random.default_rng(5)
    x = answers(rng, rng.normal(size=300), [-1, 0, 1])
    weights = rng.multinomial(300, np.full(300, 1 / 300), size=(2, 2))
    counts = PairCounts.from_answers(x, weights=weights)
    mixed = PairCounts.from_answers(x[:, [2, 0, 3, 1]], weights=weights)
    for coefficient in COEFFICIENTS:
        together = coefficient(counts)
        assert together.shape == (2, 2)
        assert_allclose(coefficient(mixed), together, rtol=1e-8)
        for place in np.ndindex(2, 2):
            alone = coefficient(PairCounts(counts.counts[place], counts.sizes))
            assert_allclose(together[place], alone, rtol=1e-8)


def test_correlations_of_no_variables_are_refused_alone_and_nan_among_many():
    rng = np.random.default_rng(6)
    x = answers(rng, rng.normal(size=300), [-1, 0, 1])
    x[:, 1] = x[:, 0]
    with pytest.raises(MethodError, match=r"not positive definite \(smallest root"):
        ordinal_alpha(PairCounts.from_answers(x))
    good = PairCounts.from_answers(answers(rng, rng.normal(size=300), [-1, 0, 1]))
    bad = PairCounts.from_answers(x)
    both = PairCounts(np.stack([bad.counts, good.counts]), good.sizes)
    for coefficient in COEFFICIENTS:
        assert_array_equal(np.isnan(coefficient(both)), [True, False])


def test_moments_do_not_hold_what_is_needed():
    spread = Spread.from_covariance(np.eye(4) + 0.5)
    for coefficient in COEFFICIENTS:
        with pytest.raises(MethodError, match=r"PairCounts\.from_answers"):
            coefficient(spread)
