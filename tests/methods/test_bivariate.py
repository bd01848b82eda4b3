from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import special, stats

from lgpi_research.methods.bivariate import bivariate_cdf, bivariate_density


def by_owen(h: np.ndarray, k: np.ndarray, rho: float) -> np.ndarray:
    """The same chance from Owen's T function; limits are not 0."""
    scale = np.sqrt(1 - rho**2)
    one, two = (special.owens_t(a, (b / a - rho) / scale) for a, b in ((h, k), (k, h)))
    return (special.ndtr(h) + special.ndtr(k)) / 2 - one - two - np.where(h * k < 0, 0.5, 0.0)


@pytest.mark.parametrize(
    ("rho", "error"), [(0.3, 1e-15), (0.9, 1e-14), (0.99, 1e-14), (0.9999, 1e-10), (0.99999, 1e-6)]
)
def test_chances_agree_with_owens_t_function(rho, error):
    rng = np.random.default_rng(0)
    h, k = rng.uniform(-4, 4, size=(2, 2000))
    k[:300] = h[:300] + rng.normal(size=300) * 0.01  # where the integrand is steepest
    for value in (rho, -rho):
        assert_allclose(bivariate_cdf(h, k, value), by_owen(h, k, value), rtol=0, atol=error)


def test_chances_agree_with_scipy():
    for h, k, rho in [(0.5, -0.3, 0.7), (-1.2, -2.0, -0.4), (2.0, 1.0, 0.95)]:
        expected = stats.multivariate_normal.cdf([h, k], cov=[[1, rho], [rho, 1]], abseps=1e-12)
        assert_allclose(bivariate_cdf(h, k, rho), expected, rtol=1e-9)


@given(rho=st.floats(-0.9999, 0.9999))
def test_at_the_origin_the_chance_is_a_known_angle(rho):
    expected = 0.25 + np.arcsin(rho) / (2 * np.pi)
    assert_allclose(bivariate_cdf(0.0, 0.0, rho), expected, rtol=0, atol=1e-13)


@given(h=st.floats(-5, 5), k=st.floats(-5, 5), rho=st.floats(-0.99, 0.99))
def test_turning_one_variable_round_takes_the_rest_of_the_other(h, k, rho):
    rest = special.ndtr(h) - bivariate_cdf(h, -k, -rho)
    assert_allclose(bivariate_cdf(h, k, rho), rest, rtol=0, atol=1e-13)
    assert_allclose(bivariate_cdf(h, k, rho), bivariate_cdf(k, h, rho), rtol=0, atol=1e-15)


def test_derivatives_are_those_of_the_chance():
    rng = np.random.default_rng(1)
    h, k, angle = *rng.normal(size=(2, 50)), rng.uniform(-1.2, 1.2, 50)
    first, second = bivariate_density(h, k, np.sin(angle))
    small = 1e-4
    up, middle, down = (bivariate_cdf(h, k, np.sin(angle + d)) for d in (small, 0, -small))
    assert_allclose(first, (up - down) / (2 * small), rtol=1e-5, atol=1e-8)
    assert_allclose(second, (up - 2 * middle + down) / small**2, atol=1e-6)
    density = [
        stats.multivariate_normal.pdf(pair, cov=[[1, r], [r, 1]])
        for *pair, r in zip(h, k, np.sin(angle), strict=True)
    ]
    assert_allclose(first, np.array(density) * np.cos(angle), rtol=1e-12)


def test_limits_and_correlations_broadcast():
    h, k, rho = np.linspace(-1, 1, 3)[:, None], np.linspace(-2, 2, 5), np.array([0.2, -0.6])
    together = bivariate_cdf(h, k, rho[:, None, None])
    assert together.shape == (2, 3, 5)
    assert_allclose(together[1], bivariate_cdf(h, k, -0.6), rtol=1e-14)
