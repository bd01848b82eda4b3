"""Normalisers: exact values, invariances, and the contract for every registered name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from lgpi_research.errors import MethodError
from lgpi_research.methods.normalise import minmax, rank, zscore
from lgpi_research.registry import entry, names
from lgpi_research.testing import check_normaliser

VALUES = arrays(float, st.integers(3, 30), elements=st.floats(-1e3, 1e3), unique=True)


@pytest.mark.parametrize("name", names("normaliser"))
def test_every_registered_normaliser_keeps_its_contract(name):
    found = entry("normaliser", name)
    check_normaliser(found.function, batched=found.facts["batched"])


def test_minmax_puts_goalposts_at_the_floor_and_at_one():
    found = minmax(np.array([0.0, 1.0, 3.0, 5.0, 9.0]), np.array([1.0, 5.0]), floor=0.1)
    assert_allclose(found, [0.1, 0.1, 0.55, 1.0, 1.0])


def test_minmax_without_clip_goes_on_beyond_the_reference():
    assert_allclose(minmax(np.array([9.0]), np.array([1.0, 5.0]), clip=False), [2.0])


def test_zscore_has_mean_zero_and_sample_sd_one():
    x = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    assert_allclose(zscore(x, x), stats.zscore(x, ddof=1))


def test_rank_gives_the_mean_rank_to_ties():
    x = np.array([2.0, np.nan, 1.0, 2.0])
    assert_array_equal(rank(x, x), [2.5, np.nan, 1.0, 2.5])


@given(VALUES, st.floats(0.1, 100), st.floats(-1e3, 1e3))
def test_affine_changes_of_raw_data_do_not_matter(x, slope, shift):
    moved = slope * x + shift
    if np.unique(moved).size < x.size or np.ptp(x) < 1e-3:
        return
    assert_allclose(minmax(moved, moved), minmax(x, x), atol=1e-6)
    assert_allclose(zscore(moved, moved), zscore(x, x), atol=1e-6)
    assert_array_equal(rank(moved, moved), rank(x, x))


@pytest.mark.parametrize("function", [minmax, zscore])
def test_a_reference_that_does_not_vary_is_refused(function):
    with pytest.raises(MethodError, match="does not vary"):
        function(np.ones(3), np.full(5, 0.1) * 3)


def test_a_floor_of_one_is_refused():
    with pytest.raises(MethodError, match="floor"):
        minmax(np.arange(3.0), np.arange(3.0), floor=1.0)
