from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.asymmetry import egger_regression, trim_and_fill
from lgpi_research.methods.meta import random_effects

# Mirror images around 1, and one far on the right without its image.
V = np.array([0.01, 0.04, 0.04, 0.09, 0.09, 0.16, 0.16, 0.3, 0.3])
Y = 1 + np.array([0.0, -0.2, 0.2, -0.3, 0.3, -0.5, 0.5, -0.8, 0.8])


def test_a_funnel_with_its_mirror_images_lacks_nothing_and_has_no_slope():
    assert_allclose(egger_regression(Y, V).coef, [1.0, 0.0], atol=1e-9)
    for side in ("left", "right"):
        found = trim_and_fill(Y, V, side=side)
        assert found.filled == 0
        assert_allclose(found.fit.coef, random_effects(Y, V).coef)


def test_effects_that_grow_with_their_error_have_that_slope():
    assert_allclose(egger_regression(0.3 + 2 * np.sqrt(V), V).coef, [0.3, 2.0])


def test_mirror_images_are_put_back():
    low = Y < 0.6
    found = trim_and_fill(Y[~low], V[~low], method="FE", test="normal")
    assert (found.side, found.filled) == ("left", low.sum())
    centre = random_effects(
        Y[(Y > 0.6) & (Y < 1.4)], V[(Y > 0.6) & (Y < 1.4)], method="FE", test="normal"
    ).coef[0]
    assert_allclose(np.sort(found.fit.y[-2:]), np.sort(2 * centre - Y[Y > 1.4]))
    assert_allclose(found.fit.v[-2:].sum(), V[Y > 1.4].sum())
    assert abs(found.fit.coef[0] - 1) < abs(random_effects(Y[~low], V[~low]).coef[0] - 1)


def test_turning_the_effects_turns_the_side():
    kept = Y > 0.6
    one = trim_and_fill(Y[kept], V[kept])
    other = trim_and_fill(-Y[kept], V[kept])
    assert (one.side, other.side) == ("left", "right")
    assert one.filled == other.filled > 0
    assert_allclose(other.fit.coef, -one.fit.coef)


def test_order_does_not_matter():
    there = np.random.default_rng(0).permutation(7)
    kept = Y > 0.6
    one, other = trim_and_fill(Y[kept], V[kept]), trim_and_fill(Y[kept][there], V[kept][there])
    assert one.filled == other.filled
    assert_allclose(other.fit.coef, one.fit.coef, rtol=1e-9)


def test_equal_errors_have_no_small_studies():
    with pytest.raises(MethodError, match="same error variance"):
        egger_regression([1.0, 2.0, 3.0], [0.5] * 3)


def test_a_side_that_does_not_exist_is_refused():
    with pytest.raises(SpecError, match="side must be"):
        trim_and_fill(Y, V, side="top")
