"""Scales with missing answers: pairwise matrices that are none, alpha over stated fillings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research.errors import MethodError
from lgpi_research.methods.consistency import Spread, alpha
from lgpi_research.methods.incomplete import (
    FILLINGS,
    alphas,
    pairwise_covariance,
    pairwise_problem,
)

NAN = np.nan


def answers(n=120, k=4, share=0.15, seed=1):
    rng = np.random.default_rng(seed)
    x = np.clip(np.rint(3 + rng.normal(size=(n, 1)) + rng.normal(size=(n, k))), 1, 5)
    return np.where(rng.random(x.shape) < share, NAN, x)


def test_pairwise_covariances_are_those_of_pandas():
    x = answers()
    assert_allclose(pairwise_covariance(x, np.ones(len(x))), pd.DataFrame(x).cov(), rtol=1e-10)


def test_a_sound_matrix_has_no_problem():
    assert pairwise_problem(pairwise_covariance(answers(), np.ones(120)), list("abcd")) is None
    assert pairwise_problem([[2.0, -1.9], [-1.9, 2.0]], ["a", "b"]) is None


def test_the_item_that_breaks_the_matrix_is_named_and_units_do_not_matter():
    r = np.full((5, 5), 0.8)
    r[4, :4] = r[:4, 4] = [0.9, -0.9, 0.9, -0.9]
    np.fill_diagonal(r, 1)
    smallest = np.linalg.eigvalsh(r)[0]
    said = pairwise_problem(r, list("abcde"))
    assert f"is {smallest:.2g}," in said
    assert "it is without e. Leave items out" in said
    assert "missing='listwise'" in said
    size = np.array([1, 100, 0.01, 5, 1e4])
    assert pairwise_problem(r * np.outer(size, size), list("abcde")) == said


def test_other_faults_are_told_apart():
    assert "c follows" in pairwise_problem(
        [[1, 0.2, 1], [0.2, 1, 0.2], [1, 0.2, 1.0]], ["c", "b", "a"]
    )
    assert "b never varies" in pairwise_problem([[1, 0], [0, 0.0]], ["a", "b"])
    x = np.array([[1, 2, NAN], [2, 3, NAN], [3, NAN, 1], [4, NAN, 5]])
    said = pairwise_problem(pairwise_covariance(x, np.ones(4)), ["a", "b", "c"])
    assert said.startswith("1 entries")
    assert "b and c" in said


def test_complete_answers_have_one_alpha():
    x = answers(share=0)
    found = alphas(x, np.ones(len(x)), np.ones(4), np.full(4, 5.0))
    expected = float(alpha(Spread.from_covariance(np.cov(x.T))))
    assert list(found) == ["listwise", "pairwise", *FILLINGS]
    assert_allclose(list(found.values()), expected)


def test_each_filling_by_hand():
    x = answers()
    x[5] = NAN  # nobody is made up from nothing
    low, high = np.array([1.0, 1, 0, 1]), np.array([5.0, 6, 5, 5])
    found = alphas(x, np.ones(len(x)), low, high)
    rows = x[~np.isnan(x).all(axis=1)]
    gap = np.isnan(rows)
    mean = np.nanmean(rows, axis=0)
    side = np.nansum((rows - mean) / (high - low), axis=1, keepdims=True) >= 0
    by_hand = {
        "lowest answer": low,
        "highest answer": high,
        "item mean": mean,
        "person mean": low
        + (high - low) * np.nanmean((rows - low) / (high - low), axis=1, keepdims=True),
        "with the person": np.where(side, high, low),
        "against the person": np.where(side, low, high),
    }
    for name, filling in by_hand.items():
        filled = np.where(gap, filling, rows)
        assert_allclose(found[name], alpha(Spread.from_covariance(np.cov(filled.T))), err_msg=name)
    complete = rows[~gap.any(axis=1)]
    assert_allclose(found["listwise"], alpha(Spread.from_covariance(np.cov(complete.T))))
    assert found["against the person"] < found["listwise"] < found["with the person"]


def test_the_side_of_a_person_is_judged_in_shares_of_the_scales():
    # The first answers are 0.4 of a scale above the mean of 0.5 and 0.1 below that of 5.
    x = np.array([[0.9, 4.0, np.nan], [0.1, 6.0, 1.0], [0.5, 5.0, 5.0], [0.5, 5.0, 2.0]])
    low, high = np.array([0.0, 0.0, 1.0]), np.array([1.0, 10.0, 5.0])
    found = alphas(x, np.ones(4), low, high)
    for name, end in (("with the person", 5.0), ("against the person", 1.0)):
        filled = np.where(np.isnan(x), end, x)
        expected = alpha(Spread.from_covariance(np.cov(filled, rowvar=False)))
        assert_allclose(found[name], expected)


def test_items_may_be_turned_and_moved():
    x = answers()
    ends = np.ones(4), np.full(4, 5.0)
    plain = alphas(x, np.ones(len(x)), *ends)
    low, high = np.array([-5.0, 1, -5, 1]), np.array([-1.0, 5, -1, 5])
    turned = np.where([True, False, True, False], x - 6, x)
    assert_allclose(list(alphas(turned, np.ones(len(x)), low, high).values()), list(plain.values()))


def test_whole_weights_count_rows():
    x, times = answers(40), np.arange(40) % 3
    ends = np.ones(4), np.full(4, 5.0)
    weighted = alphas(x, times, *ends)
    # Alpha is a ratio, so the divisor of the covariances does not matter.
    repeated = alphas(np.repeat(x, times, axis=0), np.ones(times.sum()), *ends)
    for name in ("listwise", *FILLINGS):
        assert_allclose(weighted[name], repeated[name])


def test_alpha_without_an_answer_is_missing():
    x = np.array([[1, NAN], [2, NAN], [NAN, 3], [NAN, 5.0]])
    found = alphas(x, np.ones(4), [NAN, NAN], [NAN, NAN])
    assert np.isnan([found[name] for name in ("listwise", "pairwise", "lowest answer")]).all()
    assert np.isnan(found["with the person"])
    assert np.isnan(found["person mean"])
    assert np.isfinite(found["item mean"])
    with pytest.raises(MethodError, match="2 items"):
        alphas(x[:, :1], np.ones(4), [1], [5])
