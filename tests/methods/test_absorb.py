from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.errors import MethodError
from lgpi_research.methods import absorb
from lgpi_research.methods.absorb import (
    absorb_effects,
    compact,
    effect_levels,
    is_nested,
    project,
)


def dummies(ways) -> np.ndarray:
    return np.hstack([(np.asarray(c)[:, None] == np.unique(c)).astype(float) for c in ways])


def residuals(ways, x, weights=None) -> np.ndarray:
    """Residuals of least squares on all dummies, written out."""
    root = np.ones(len(x)) if weights is None else np.sqrt(weights)
    design = dummies(ways)
    fitted = design @ np.linalg.lstsq(design * root[:, None], (x.T * root).T, rcond=None)[0]
    return x - fitted


def panel(seed: int, n: int = 300):
    rng = np.random.default_rng(seed)
    ways = [rng.integers(0, 40, n), rng.integers(0, 9, n), rng.integers(0, 5, n)]
    return ways, rng.normal(5, 2, (n, 3)), rng.uniform(0.2, 3.0, n)


# Direct and iterative routes must give the same numbers.
ROUTES = {
    "dense": {},
    "sparse table": {"DENSE_CELLS": 0},
    "conjugate gradients": {"DENSE_LEVELS": 0},
}


@pytest.fixture(params=ROUTES)
def route(request, monkeypatch):
    for name, value in ROUTES[request.param].items():
        monkeypatch.setattr(absorb, name, value)
    return request.param


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_projection_is_least_squares_on_the_dummies(route, count, weighted):
    ways, x, w = panel(count)
    ways, weights = ways[:count], w if weighted else None
    if route == "conjugate gradients" and count == 3:
        with pytest.raises(MethodError, match="3 ways of effects have 14 levels beside"):
            absorb_effects(ways)
        return
    effects = absorb_effects(ways, weights)
    assert effects.rank == np.linalg.matrix_rank(dummies(ways))
    assert_allclose(project(effects, x), residuals(ways, x, weights), atol=1e-11)
    assert_allclose(project(effects, x[:, 0]), residuals(ways, x[:, 0], weights), atol=1e-11)


@pytest.mark.parametrize("weighted", [False, True])
def test_disconnected_effects(route, weighted):
    # Three islands: units 0-3 with years 0-1, units 4-6 with years 2-4, unit 7 with year 5.
    rng = np.random.default_rng(1)
    unit = np.concatenate([rng.integers(0, 4, 30), rng.integers(4, 7, 30), [7, 7]])
    year = np.concatenate([rng.integers(0, 2, 30), rng.integers(2, 5, 30), [5, 5]])
    x, w = rng.normal(size=(62, 2)), rng.uniform(0.5, 2, 62) if weighted else None
    effects = absorb_effects([unit, year], w)
    assert effects.rank == 8 + 6 - 3
    assert_allclose(project(effects, x), residuals([unit, year], x, w), atol=1e-11)


def test_effects_within_effects_add_no_rank(route):
    ways, x, _ = panel(4)
    ways = [ways[0], ways[0] // 4]
    effects = absorb_effects(ways)
    assert effects.rank == len(np.unique(ways[0]))
    assert_allclose(project(effects, x), residuals(ways[:1], x), atol=1e-12)


def test_three_ways_one_nested_in_another():
    ways, x, w = panel(5)
    ways = [ways[0], ways[1], ways[0] // 4]
    effects = absorb_effects(ways, w)
    assert effects.rank == np.linalg.matrix_rank(dummies(ways)) == 40 + 9 - 1
    assert_allclose(project(effects, x), residuals(ways, x, w), atol=1e-11)


def test_projecting_twice_changes_nothing(route):
    ways, x, _ = panel(6)
    effects = absorb_effects(ways[:2])
    once = project(effects, x)
    assert_allclose(project(effects, once), once, atol=1e-12)


def test_a_large_mean_costs_no_digits():
    # On a long path rounding errors add up; adding 1e8 itself costs about 7e-9.
    unit, year = np.repeat(np.arange(300), 2), np.repeat(np.arange(301), 2)[1:-1]
    ways = [np.r_[unit, unit[:50]], np.r_[year, year[50:100]]]
    x = np.random.default_rng(7).normal(size=650)
    effects = absorb_effects(ways)
    assert_allclose(project(effects, x + 1e8), project(effects, x), atol=3e-8)


def test_weakly_connected_effects_are_exact():
    # A long path: each unit shares one year with the next, the hardest graph for iteration.
    unit = np.repeat(np.arange(300), 2)
    year = np.repeat(np.arange(301), 2)[1:-1]
    rng = np.random.default_rng(8)
    x = rng.normal(size=(600, 1))
    effects = absorb_effects([unit, year])
    assert effects.rank == 600
    assert_allclose(project(effects, x), 0, atol=1e-9)


@settings(max_examples=30)
@given(st.permutations(range(12)), st.integers(0, 10**6))
def test_rows_may_stand_in_any_order(order, seed):
    rng = np.random.default_rng(seed)
    ways, x = [rng.integers(0, 4, 12), rng.integers(0, 3, 12)], rng.normal(size=12)
    order = np.array(order)
    straight = project(absorb_effects(ways), x)
    shuffled = project(absorb_effects([c[order] for c in ways]), x[order])
    assert_allclose(shuffled, straight[order], atol=1e-12)


def test_levels_reproduce_the_fit():
    ways, x, w = panel(9)
    for weights in (None, w):
        effects = absorb_effects(ways[:2], weights)
        levels = effect_levels(effects, x[:, 0])
        fitted = sum(level[c] for level, c in zip(levels, effects.codes, strict=True))
        assert_allclose(x[:, 0] - fitted, project(effects, x[:, 0]), atol=1e-11)
        assert_allclose(np.average(levels[1][effects.codes[1]], weights=weights), 0, atol=1e-12)


def test_singletons_are_counted():
    assert absorb_effects([[0, 0, 1, 2]]).singletons == 2
    assert absorb_effects([[0, 0, 1, 1], [0, 1, 1, 1]]).singletons == 1


def test_effects_can_be_sent_to_workers():
    ways, x, _ = panel(10)
    effects = absorb_effects(ways[:2])
    copy = pickle.loads(pickle.dumps(effects))  # noqa: S301
    assert_array_equal(project(copy, x), project(effects, x))


@pytest.mark.parametrize(
    ("codes", "expected", "size"),
    [
        ([3, 1, 3], [1, 0, 1], 2),
        ([-1, 5, -1], [0, 1, 0], 2),
        ([10**12, 1], [1, 0], 2),
        (["b", "a"], [1, 0], 2),
        ([1.5, 0.5], [1, 0], 2),
        ([0, 1, 2], [0, 1, 2], 3),
    ],
)
def test_groups_are_numbered_without_gaps(codes, expected, size):
    found, count = compact(codes)
    assert_array_equal(found, expected)
    assert count == size


def test_nesting():
    assert is_nested(np.array([0, 0, 1, 2]), np.array([5, 5, 5, 1]))
    assert not is_nested(np.array([0, 0, 1, 2]), np.array([5, 4, 5, 1]))


@pytest.mark.parametrize(
    ("ways", "weights", "message"),
    [
        ([], None, "no effects"),
        ([[0, 1], [0, 1, 1]], None, "effects have 2, 3 rows"),
        ([[]], None, r"n > 0 values, got shape \(0,\)"),
        ([[0.0, np.nan]], None, "groups are missing in 1 of 2 rows"),
        ([[0, 1]], np.array([1.0, 0.0]), "1 of 2 weights are not positive.*row 2"),
        ([[0, 1]], np.array([1.0, np.inf]), "1 of 2 weights"),
        ([[0, 1]], np.ones(3), r"weights must have shape \(2,\)"),
    ],
)
def test_bad_effects_are_refused(ways, weights, message):
    with pytest.raises(MethodError, match=message):
        absorb_effects(ways, weights)


def test_no_convergence_is_an_error(monkeypatch):
    monkeypatch.setattr(absorb, "DENSE_LEVELS", 0)
    monkeypatch.setattr(absorb, "MOST_STEPS", 2)
    ways, x, _ = panel(11)
    with pytest.raises(MethodError, match="did not converge"):
        project(absorb_effects(ways[:2]), x)


def test_levels_joined_by_vanishing_weight_are_refused():
    unit, year = np.array([0, 0, 1, 1, 0]), np.array([0, 0, 1, 1, 1])
    weights = np.array([1.0, 1.0, 1.0, 1.0, 1e-17])
    with pytest.raises(MethodError, match="vanishing weight"):
        absorb_effects([unit, year], weights)


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        (["a", None], "missing, or of kinds that cannot be sorted"),
        ([1, "a"], None),
        (np.array([1, "a"], dtype=object), "cannot be sorted"),
        (np.array([1.0, np.nan, np.nan], dtype=object), "missing in 2 of 3 rows"),
        ([1.0, np.nan], "missing in 1 of 2 rows"),
        ([[1, 2]], "shape"),
    ],
)
def test_groups_that_are_missing_or_mixed_are_refused(groups, told):
    if told is None:  # NumPy makes texts of both
        assert compact(groups)[1] == 2
        return
    with pytest.raises(MethodError, match=told):
        compact(groups)
