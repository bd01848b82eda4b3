"""Weighers and drawn weights."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lgpi_research.methods.weights import draw_dirichlet
from lgpi_research.registry import entry, names
from lgpi_research.testing import check_weigher


@pytest.mark.parametrize("name", names("weigher"))
def test_every_registered_weigher_keeps_its_contract(name):
    check_weigher(entry("weigher", name).function)


def test_drawn_weights_have_the_stated_mean_and_variance():
    w0, kappa, n = np.array([0.5, 0.3, 0.2]), 50.0, 200_000
    drawn = draw_dirichlet(np.random.default_rng(0), w0, kappa, n)
    sd = np.sqrt(w0 * (1 - w0) / (kappa + 1))
    assert_allclose(drawn.sum(axis=1), 1.0)
    assert_allclose(drawn.mean(axis=0), w0, atol=5 * sd.max() / np.sqrt(n))
    assert_allclose(drawn.std(axis=0), sd, rtol=0.01)
