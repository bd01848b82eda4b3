"""Little's test and the normal distribution behind it: exact cases, invariances, size."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import optimize, stats

from lgpi_research.errors import MethodError
from lgpi_research.methods import mcar
from lgpi_research.methods.mcar import fit_normal, little_test

LOADINGS = np.array([0.8, 0.7, 0.6, 0.5, 0.7])


def answers(rng, n, *, share=0.1, points=True, dependent=False):
    trait = rng.normal(size=(n, 1))
    x = trait * LOADINGS + rng.normal(size=(n, 5)) * np.sqrt(1 - LOADINGS**2)
    if points:
        x = np.clip(np.rint(3 + 1.1 * x), 1, 5)
    chance = np.full(x.shape, share)
    if dependent:
        chance[:, 1:] = 2 * share / (1 + np.exp(-0.6 * (x[:, :1] - x[:, :1].mean())))
        chance[:, 0] = 0
    return np.where(rng.random(x.shape) < chance, np.nan, x)


def log_likelihood(x, mean, covariance):
    total = 0.0
    for row in x:
        seen = ~np.isnan(row)
        if seen.any():
            total += stats.multivariate_normal.logpdf(
                row[seen], mean[seen], covariance[np.ix_(seen, seen)]
            )
    return total


def test_complete_answers_have_their_own_mean_and_covariance():
    x = answers(np.random.default_rng(1), 40, share=0.0)
    found = fit_normal(x)
    assert_allclose(found.mean, x.mean(axis=0))
    assert_allclose(found.covariance, np.cov(x.T, bias=True))
    assert found.n_used == 40


def test_one_incomplete_item_has_the_closed_form_of_a_regression():
    # Anderson (1957): the second item is seen for some; its mean follows from the regression.
    rng = np.random.default_rng(2)
    one = rng.normal(size=60)
    two = 1 + 2 * one + rng.normal(size=60)
    seen = one > -0.2
    found = fit_normal(np.column_stack([one, np.where(seen, two, np.nan)]))
    covariance = np.cov(one[seen], two[seen], bias=True)
    slope = covariance[0, 1] / covariance[0, 0]
    residual = covariance[1, 1] - slope * covariance[0, 1]
    assert_allclose(
        found.mean, [one.mean(), two[seen].mean() + slope * (one.mean() - one[seen].mean())]
    )
    assert_allclose(found.covariance[0], [one.var(), slope * one.var()])
    assert_allclose(found.covariance[1, 1], residual + slope**2 * one.var())


def test_no_other_distribution_is_more_likely():
    x = answers(np.random.default_rng(3), 60, share=0.25)[:, :3]
    found = fit_normal(x)
    root = np.linalg.cholesky(found.covariance)
    lower = np.tril_indices(3)

    def worse(parameters):
        other = np.zeros((3, 3))
        other[lower] = parameters[3:]
        return -log_likelihood(x, parameters[:3], other @ other.T)

    at = np.concatenate([found.mean, root[lower]])
    slope = optimize.approx_fprime(at, worse, 1e-6)
    assert_allclose(slope, 0, atol=2e-3)
    rng = np.random.default_rng(0)
    assert all(worse(at + 0.05 * rng.normal(size=9)) > worse(at) for _ in range(20))


def test_the_statistic_is_a_sum_over_patterns():
    x = answers(np.random.default_rng(4), 80, share=0.2)
    x[:2] = np.nan
    fit, found = fit_normal(x), little_test(x)
    statistic, df = 0.0, -5
    seen = ~np.isnan(x)
    for pattern in np.unique(seen[2:], axis=0):
        rows = x[(seen == pattern).all(axis=1)][:, pattern]
        away = rows.mean(axis=0) - fit.mean[pattern]
        inverse = np.linalg.inv(fit.covariance[np.ix_(pattern, pattern)])
        statistic += len(rows) * away @ inverse @ away
        df += pattern.sum()
    assert_allclose(found.statistic, statistic, rtol=1e-9)
    assert found.df == df
    assert_allclose(found.p_value, stats.chi2.sf(statistic, df))
    assert (found.n_used, found.n_dropped) == (78, 2)


def test_units_orders_and_chunks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(5)
    x = answers(rng, 150, share=0.2)
    plain = little_test(x)
    mixed = rng.permutation(x)[:, ::-1] * [1, 1e6, 0.01, -3, 1] + [0, 1e7, 0, 2, 5]
    assert_allclose(little_test(mixed).statistic, plain.statistic, rtol=1e-7)
    monkeypatch.setattr(mcar, "_CELLS", 50)
    assert_allclose(little_test(x).statistic, plain.statistic, rtol=1e-10)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x[:, :1], "two items"),
        (lambda x: np.where(np.arange(5) == 2, np.nan, x), r"two answers to 1 items \(columns 3"),
        (lambda x: np.where(np.arange(5) == 1, 4.0, x), r"1 items never vary \(columns 2"),
        (lambda x: np.column_stack([x, x[:, 0]]), "linearly dependent"),
        (lambda x: np.nan_to_num(x, nan=3.0), "no patterns"),
    ],
)  # fmt: skip
def test_what_has_no_answer_is_refused(change, said):
    x = answers(np.random.default_rng(6), 60)
    with pytest.raises(MethodError, match=said):
        little_test(change(x))


def test_patterns_that_share_no_item_have_nothing_to_compare():
    with pytest.raises(MethodError, match="no item was answered in two patterns"):
        little_test([[1, np.nan], [2, np.nan], [np.nan, 1], [np.nan, 3]])


def test_an_algorithm_that_does_not_end_is_named():
    with pytest.raises(MethodError, match="did not converge in 2 steps"):
        fit_normal(answers(np.random.default_rng(7), 60, share=0.3), max_steps=2)


def rejections(runs, n, seed, **options):
    rng = np.random.default_rng(seed)
    return np.mean([little_test(answers(rng, n, **options)).p_value < 0.05 for _ in range(runs)])


def test_the_test_has_its_level_and_some_power():
    assert 0.02 < rejections(400, 300, 8, points=False) < 0.09
    assert rejections(60, 1000, 9, dependent=True) > 0.75


@pytest.mark.slow
def test_the_test_has_its_level_at_length():
    assert 0.045 < rejections(4000, 1000, 10, points=False) < 0.065
    assert 0.025 < rejections(4000, 300, 11) < 0.055
    assert rejections(500, 1000, 12, dependent=True) > 0.9
