from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lgpi_research.errors import DataError, SpecError
from lgpi_research.methods.latent.rotation import rotate_factors

SIMPLE = np.kron(np.diag([0.8, 0.7, 0.6]), np.array([[1.0], [0.8], [0.7]]))


def loadings(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (SIMPLE + rng.uniform(-0.1, 0.1, SIMPLE.shape)) @ turn(seed)


def turn(seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]


@pytest.mark.parametrize("method", ["varimax", "oblimin", "promax"])
def test_simple_structure_is_found_again(method):
    found = rotate_factors(SIMPLE @ turn(1), method)
    assert_allclose(found.loadings, SIMPLE, atol=1e-7)
    assert_allclose(found.correlation, np.eye(3), atol=1e-7)


def test_oblique_simple_structure_is_found_again():
    phi = np.array([[1, 0.4, 0.2], [0.4, 1, 0.3], [0.2, 0.3, 1]])
    found = rotate_factors(SIMPLE @ np.linalg.cholesky(phi), "oblimin")
    assert_allclose(found.loadings, SIMPLE, atol=1e-6)
    assert_allclose(found.correlation, phi, atol=1e-6)


@pytest.mark.parametrize("method", ["varimax", "oblimin", "promax", "none"])
def test_rotation_keeps_what_the_factors_explain(method):
    given = loadings()
    found = rotate_factors(given, method)
    explained = found.loadings @ found.correlation @ found.loadings.T
    assert_allclose(explained, given @ given.T, atol=1e-10)
    assert_allclose(found.structure, found.loadings @ found.correlation)
    assert_allclose(np.diag(found.correlation), 1)
    assert (found.loadings.sum(axis=0) >= 0).all()


@pytest.mark.parametrize("method", ["varimax", "oblimin"])
@pytest.mark.parametrize("seed", range(4))
def test_the_given_axes_do_not_matter(method, seed):
    first = rotate_factors(loadings(3), method)
    other = rotate_factors(loadings(3) @ turn(seed), method)
    assert_allclose(other.loadings, first.loadings, atol=1e-6)


def test_two_factors_have_the_varimax_angle_of_kaiser():
    given = loadings()[:, :2]
    h = given / np.sqrt(np.square(given).sum(axis=1, keepdims=True))
    u, v = h[:, 0] ** 2 - h[:, 1] ** 2, 2 * h[:, 0] * h[:, 1]
    top = 2 * (u * v).mean() - 2 * u.mean() * v.mean()
    low = (u**2 - v**2).mean() - (u.mean() ** 2 - v.mean() ** 2)
    angle = np.arctan2(top, low) / 4
    plane = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = np.sort(np.abs(given @ plane), axis=1)
    found = rotate_factors(given, "varimax")
    assert_allclose(np.sort(np.abs(found.loadings), axis=1), expected, atol=1e-7)


def test_random_starts_never_make_it_worse_and_repeat():
    rng = np.random.default_rng(8)
    given = rng.normal(size=(12, 4)) * 0.4
    one = rotate_factors(given, "oblimin")
    many = [rotate_factors(given, "oblimin", starts=10, rng=np.random.default_rng(1)) for _ in "ab"]
    assert many[0].criterion <= one.criterion + 1e-10
    assert many[0].loadings.tobytes() == many[1].loadings.tobytes()


def test_bad_requests_are_refused():
    with pytest.raises(SpecError, match="Did you mean 'varimax'"):
        rotate_factors(SIMPLE, "varimx")
    with pytest.raises(SpecError, match="generator"):
        rotate_factors(SIMPLE, starts=3)
    with pytest.raises(DataError, match="items 2 load on no factor"):
        rotate_factors(np.array([[0.5, 0.1], [0, 0], [0.2, 0.6]]), "varimax")
    with pytest.raises(DataError, match="without gaps"):
        rotate_factors([[np.nan, 0.1]])
