"""Aggregators: exact values, refusals, and the contract for every registered name."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from lgpi_research.errors import MethodError
from lgpi_research.methods.aggregate import arithmetic, geometric
from lgpi_research.registry import entry, names
from lgpi_research.testing import check_aggregator


@pytest.mark.parametrize("name", names("aggregator"))
def test_every_registered_aggregator_keeps_its_contract(name):
    found = entry("aggregator", name)
    check_aggregator(found.function, batched=found.facts["batched"])


@pytest.mark.parametrize("name", names("aggregator"))
def test_the_stated_link_gives_the_function_itself(name):
    found = entry("aggregator", name)
    if found.facts["link"] is None:
        pytest.skip("not a quasi-arithmetic mean")
    forward, inverse = found.facts["link"]
    rng = np.random.default_rng(1)
    x, w = rng.uniform(0.1, 3, size=(20, 4)), rng.dirichlet(np.ones(4))
    assert_allclose(inverse(forward(x) @ w), found.function(x, w))


def test_means_agree_with_scipy():
    rng = np.random.default_rng(2)
    x, w = rng.uniform(0.1, 3, size=(20, 4)), rng.dirichlet(np.ones(4))
    assert_allclose(arithmetic(x, w), np.average(x, axis=1, weights=w))
    assert_allclose(geometric(x, w), stats.gmean(x, axis=1, weights=w))


def test_the_handbook_shows_what_one_more_unit_is_worth():
    # OECD/JRC (2008): one unit more on the second indicator of (21,1,1,1) and (6,6,6,6)
    quarter = np.full(4, 0.25)
    after = geometric(np.array([[21.0, 2, 1, 1], [6.0, 7, 6, 6]]), quarter)
    assert_allclose(after, [2.54, 6.23], atol=0.006)


def test_values_that_a_geometric_mean_cannot_take_are_counted():
    with pytest.raises(MethodError, match="2 of 6 normalised"):
        geometric(np.array([[1.0, 0.0, 2.0], [-1.0, 1.0, 1.0]]), np.full(3, 1 / 3))
