from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lgpi_research.errors import MethodError
from lgpi_research.methods.meta import random_effects
from lgpi_research.methods.multilevel import nested_covariance, nested_effects


def sample(
    seed: int, groups: int = 8, outer: float = 0.3, inner: float = 0.1
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Effects, error variances, outer groups and moderators with a constant."""
    rng = np.random.default_rng([40, seed])
    study = np.repeat(np.arange(groups), rng.integers(1, 6, groups))
    v = np.exp(rng.normal(-2, 0.5, len(study)))
    y = 0.3 + rng.normal(0, np.sqrt(outer), groups)[study] + rng.normal(0, np.sqrt(v + inner))
    return y, v, study, np.column_stack([np.ones(len(y)), rng.normal(size=len(y))])


def textbook(y, v, study, X, outer, inner):
    """The restricted log-likelihood from determinants and inverses of n × n matrices."""
    n, p = X.shape
    V = np.diag(v + inner) + outer * (study[:, None] == study[None, :])
    W = np.linalg.inv(V)
    A = X.T @ W @ X
    residual = y - X @ np.linalg.solve(A, X.T @ W @ y)
    logs = [np.linalg.slogdet(part)[1] for part in (V, A, X.T @ X)]
    return -0.5 * (
        (n - p) * np.log(2 * np.pi) + logs[0] + logs[1] - logs[2] + residual @ W @ residual
    )


# Exact cases


def test_balanced_effects_have_the_variances_of_the_analysis_of_variance():
    rng = np.random.default_rng(3)
    y = rng.normal(size=(7, 1)) + rng.normal(size=(7, 4)) * 0.6
    fit = nested_effects(y.ravel(), np.full(28, 0.05), np.repeat(np.arange(7), 4))
    within, between = y.var(axis=1, ddof=1).mean(), 4 * y.mean(axis=1).var(ddof=1)
    assert_allclose(fit.inner_variance, within - 0.05, rtol=1e-9)
    assert_allclose(fit.outer_variance, (between - within) / 4, rtol=1e-9)
    assert_allclose(fit.coef[0], y.mean())
    assert_allclose(fit.std_error[0], np.sqrt(between / 28), rtol=1e-9)
    robust = nested_covariance(fit)
    assert_allclose(robust.df, 6.0)
    assert_allclose(np.sqrt(robust.cov[0, 0]), y.mean(axis=1).std(ddof=1) / np.sqrt(7))


def test_without_outer_variance_effects_are_pooled_as_independent():
    # Means of groups that are equal leave nothing between them.
    y = np.tile([-1.0, 0.0, 1.0, 0.5, -0.5], 4)
    v = np.full(20, 0.1)
    fit, flat = nested_effects(y, v, np.repeat(np.arange(4), 5)), random_effects(y, v)
    assert fit.outer_variance == 0
    assert_allclose(fit.inner_variance, flat.tau2, rtol=1e-9)


# References written in another way


@pytest.mark.parametrize("seed", range(6))
def test_likelihood_is_that_of_the_textbook_and_highest(seed):
    y, v, study, X = sample(seed, inner=0.1 * (seed % 2))
    fit = nested_effects(y, v, study, X=X)
    best = (fit.outer_variance, fit.inner_variance)
    assert_allclose(fit.log_likelihood, textbook(y, v, study, X, *best), rtol=1e-10)
    grid = np.concatenate([[0.0], np.geomspace(1e-4, 3, 25)])
    others = max(textbook(y, v, study, X, a, b) for a in grid for b in grid)
    assert fit.log_likelihood >= others - 1e-12


@pytest.mark.parametrize("seed", range(4))
def test_score_vanishes_at_variances_above_zero(seed):
    y, v, study, X = sample(seed)
    fit = nested_effects(y, v, study, X=X)
    W = np.linalg.inv(fit.covariance)
    P = W - W @ X @ np.linalg.inv(X.T @ W @ X) @ X.T @ W
    groups = ((study[:, None] == study[None, :]).astype(float), np.eye(len(y)))
    for variance, group in zip((fit.outer_variance, fit.inner_variance), groups, strict=True):
        score = y @ P @ group @ P @ y - np.trace(P @ group)
        if variance > 0:
            assert abs(score) < 1e-8 * np.trace(P @ group)
        else:
            assert score <= 0


def test_robust_covariance_is_unbiased_and_its_df_are_satterthwaites_under_the_model():
    y, v, study, X = sample(1)
    fit = nested_effects(y, v, study, X=X)
    found = nested_covariance(fit)
    # The quadratic forms e'(...)e of each coefficient, one group at a time, as matrices.
    W = np.linalg.inv(fit.covariance)
    hat = X @ fit.cov @ X.T @ W
    maker = np.eye(len(y)) - hat
    rows = []
    for group in np.unique(study):
        inside = study == group
        phi = fit.covariance[np.ix_(inside, inside)]
        left = (maker @ fit.covariance @ maker.T)[np.ix_(inside, inside)]
        # The symmetric solution of A·left·A = phi, by the geometric mean of matrices.
        values, vectors = np.linalg.eigh(left)
        root = (vectors * np.sqrt(values)) @ vectors.T
        inverse = (vectors / np.sqrt(values)) @ vectors.T
        values, vectors = np.linalg.eigh(root @ phi @ root)
        adjust = inverse @ ((vectors * np.sqrt(values)) @ vectors.T) @ inverse
        rows.append(fit.cov @ X[inside].T @ np.linalg.inv(phi) @ adjust @ maker[inside])
    scores = np.array([row @ y for row in rows])
    assert_allclose(found.cov, scores.T @ scores, rtol=1e-8)
    for j, df in enumerate(found.df):
        form = sum(np.outer(row[j], row[j]) for row in rows) @ fit.covariance
        assert_allclose(np.trace(form), fit.cov[j, j], rtol=1e-8)
        assert_allclose(df, np.trace(form) ** 2 / np.trace(form @ form), rtol=1e-8)


# Invariance


def test_order_shift_and_unit_do_not_matter():
    y, v, study, _ = sample(2)
    there = np.random.default_rng(0).permutation(len(y))
    plain = nested_effects(y, v, study)
    moved = nested_effects((100 * y + 7)[there], (1e4 * v)[there], study[there])
    assert_allclose(moved.coef, 100 * plain.coef + 7, rtol=1e-8)
    assert_allclose(moved.outer_variance, 1e4 * plain.outer_variance, rtol=1e-6)
    assert_allclose(moved.inner_variance, 1e4 * plain.inner_variance, rtol=1e-6)
    assert_allclose(nested_covariance(moved).df, nested_covariance(plain).df, rtol=1e-6)


def test_inner_names_count_within_outer_ones():
    y, v, study, _ = sample(3)
    within = np.concatenate([np.arange(n) for n in np.bincount(study)])
    assert_allclose(
        nested_effects(y, v, study, within).covariance, nested_effects(y, v, study).covariance
    )


# Refusals


@pytest.mark.parametrize(
    ("outer", "inner", "said"),
    [
        (list("aaaa"), None, "two outer groups"),
        (list("abcd"), None, "two inner ones"),
        (list("aabb"), list("xxyy"), "two inner ones"),
        (list("aab"), None, "a group for each"),
    ],
)
def test_groups_that_do_not_tell_the_variances_apart_are_refused(outer, inner, said):
    with pytest.raises(MethodError, match=said):
        nested_effects([1.0, 2.0, 3.0, 5.0], [0.1] * 4, outer, inner)


def test_a_moderator_that_one_group_determines_has_no_robust_error():
    y, v, study, _ = sample(4)
    fit = nested_effects(y, v, study, X=np.column_stack([np.ones(len(y)), study == 0]))
    with pytest.raises(MethodError, match="alone determines"):
        nested_covariance(fit)


# Known truth


@pytest.mark.slow
def test_variances_are_nearly_unbiased_and_robust_intervals_cover():
    from scipy import stats

    found, hits = [], 0
    for task in range(300):
        rng = np.random.default_rng([41, task])
        study = np.repeat(np.arange(12), rng.integers(1, 6, 12))
        v = np.exp(rng.normal(-2, 0.5, len(study)))
        y = rng.normal(0, np.sqrt(0.3), 12)[study] + rng.normal(0, np.sqrt(v + 0.1))
        fit = nested_effects(y, v, study)
        robust = nested_covariance(fit)
        reach = stats.t.isf(0.025, robust.df[0]) * np.sqrt(robust.cov[0, 0])
        hits += abs(fit.coef[0]) <= reach
        found.append((fit.outer_variance, fit.inner_variance))
    noise = 3 * np.std(found, axis=0) / np.sqrt(300)
    assert (np.abs(np.mean(found, axis=0) - [0.3, 0.1]) < noise + 0.01).all()
    assert abs(hits / 300 - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 300)
