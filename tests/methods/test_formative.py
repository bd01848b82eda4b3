from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from lgpi_research.errors import MethodError
from lgpi_research.methods.formative import variance_inflation, variance_shares


def covariance(seed: int, k: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.cov(rng.normal(size=(40, k)) @ rng.normal(size=(k, k)), rowvar=False)


def test_shares_by_hand():
    # Correlations .5, 0, 0: each row sums to 1.5, 1.5, 1; the sum has variance 4.
    matrix = np.diag([2.0, 3.0, 5.0]) @ [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]] @ np.diag([2, 3, 5])
    assert_allclose(variance_shares(matrix), [0.375, 0.375, 0.25])


def test_shares_are_squared_correlations_with_the_sum_only_by_weight():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 3))
    z = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    total = z.sum(axis=1)
    expected = [np.cov(column, total)[0, 1] / total.var(ddof=1) for column in z.T]
    assert_allclose(variance_shares(np.cov(x, rowvar=False)), expected)


@given(st.integers(0, 1000), st.integers(2, 6), st.floats(0.01, 100))
def test_units_of_measurement_do_not_matter(seed, k, scale):
    matrix = covariance(seed, k)
    scales = np.ones(k)
    scales[0] = scale
    changed = matrix * np.outer(scales, scales)
    assert_allclose(variance_shares(changed), variance_shares(matrix), rtol=1e-6, atol=1e-9)
    assert_allclose(variance_inflation(changed), variance_inflation(matrix), rtol=1e-6)


def test_inflation_is_that_of_regressions():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4))
    found = variance_inflation(np.cov(x, rowvar=False))
    centred = x - x.mean(axis=0)
    for i in range(4):
        others = np.delete(centred, i, axis=1)
        fit = others @ np.linalg.lstsq(others, centred[:, i], rcond=None)[0]
        share = 1 - ((centred[:, i] - fit) ** 2).sum() / (centred[:, i] ** 2).sum()
        assert_allclose(found[i], 1 / (1 - share))


def test_replicates_are_leading_axes():
    many = np.stack([covariance(seed, 3) for seed in range(5)])
    assert_allclose(variance_shares(many), [variance_shares(one) for one in many])


def test_what_has_no_answer():
    assert np.isnan(variance_shares([[1.0, -1.0], [-1.0, 1.0]])).all()
    with pytest.raises(MethodError, match=r"indicators \[2\] do not vary"):
        variance_inflation([[1.0, 0.0], [0.0, 0.0]])
    with pytest.raises(MethodError, match="a combination of the others"):
        variance_inflation([[1.0, 1.0], [1.0, 1.0]])
    with pytest.raises(MethodError, match="some covariances are unknown"):
        variance_inflation([[1.0, np.nan], [np.nan, 1.0]])
