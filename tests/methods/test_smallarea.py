"""Area-level predictions: closed forms, limits, and mean squared errors against known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.meta import blups, random_effects
from lgpi_research.methods.smallarea import METHODS, fay_herriot

NA = float("nan")


def areas(seed: int, m: int = 20, p: int = 2):
    rng = np.random.default_rng([5, seed])
    v = np.exp(rng.normal(-0.5, 0.6, m))
    X = np.column_stack([np.ones(m), rng.normal(size=(m, p - 1))])
    y = X.sum(axis=1) + rng.normal(size=m) + np.sqrt(v) * rng.normal(size=m)
    return y, v, X


@pytest.mark.parametrize("method", ["reml", "fh", "pr"])
def test_equal_errors_have_a_closed_form(method):
    y, v = np.array([1.0, 2.0, 4.0, 7.0, 8.0, 9.5, 11.0]), 2.0
    m, total = len(y), y.var(ddof=1)
    found = fay_herriot(y, np.full(m, v), method=method)
    gamma = 1 - v / total
    assert_allclose(found.variance, total - v, rtol=1e-9)
    assert_allclose(found.eblup, gamma * y + (1 - gamma) * y.mean(), rtol=1e-9)
    # v gamma, then 1/m for the mean and 4/m for the variance, in units of v²/total.
    assert_allclose(found.mse, gamma * v + 5 / m * v**2 / total, rtol=1e-9)
    assert_allclose(found.shrinkage, gamma, rtol=1e-9)


def test_maximum_likelihood_with_equal_errors_corrects_for_its_bias():
    y, v = np.array([1.0, 2.0, 4.0, 7.0, 8.0, 9.5, 11.0]), 2.0
    m, total = len(y), y.var(ddof=0)
    found = fay_herriot(y, np.full(m, v), method="ml")
    gamma = 1 - v / total
    assert_allclose(found.variance, total - v, rtol=1e-9)
    # One more v²/total/m than restricted likelihood: the variance is too small by total/m.
    assert_allclose(found.mse, gamma * v + 6 / m * v**2 / total, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_predictions_are_those_of_a_meta_regression(method):
    y, v, X = areas(0)
    found = fay_herriot(y, v, X, method=method)
    fit = random_effects(y, v, X, method=METHODS[method], test="normal")
    predicted, error = blups(fit)
    assert_allclose(found.eblup, predicted, rtol=1e-12)
    assert (found.mse > error**2).all()
    assert_allclose(found.coef, fit.coef, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_a_place_without_an_estimate_is_one_with_a_worthless_estimate(method):
    y, v, X = areas(1, m=25)
    found = fay_herriot([*y, NA, 3.0], [*v, NA, NA], np.vstack([X, X[:2]]), method=method)
    assert_array_equal(np.flatnonzero(found.synthetic), [25, 26])
    assert (found.n_direct, found.n_synthetic) == (25, 2)
    assert_array_equal(found.shrinkage[25:], 0.0)
    assert_allclose(found.eblup[25:], X[:2] @ found.coef, rtol=1e-12)
    alone = fay_herriot(y, v, X, method=method)
    assert_allclose(found.mse[:25], alone.mse, rtol=1e-12)
    # As v grows, the mean squared error tends to that of the regression alone.
    coef, variance = alone.coef, alone.variance
    total = variance + v
    cov = np.linalg.inv((X / total[:, None]).T @ X)
    s1, s2 = (1 / total).sum(), (1 / total**2).sum()
    bias = {
        "reml": 0.0,
        "pr": 0.0,
        "ml": -np.trace(cov @ (X / total[:, None] ** 2).T @ X) / s2,
        "fh": 2 * (25 * s2 - s1**2) / s1**3,
    }[method]
    leverage = np.einsum("ij,jk,ik->i", X[:2], cov, X[:2])
    assert_allclose(found.mse[25:], variance - bias + leverage, rtol=1e-9)
    assert_allclose(found.coef, coef)


@pytest.mark.parametrize("method", METHODS)
def test_mean_squared_errors_by_whole_matrices(method):
    y, v, X = areas(2, m=18)
    found = fay_herriot(y, v, X, method=method)
    between, m = found.variance, 18
    sigma = np.diag(between + v)
    inverse = np.linalg.inv(sigma)
    cov = np.linalg.inv(X.T @ inverse @ X)
    t1, t2 = np.trace(inverse), np.trace(inverse @ inverse)
    spread = {"pr": 2 * np.trace(sigma @ sigma) / m**2, "fh": 2 * m / t1**2}.get(method, 2 / t2)
    bias = {
        "ml": -np.trace(cov @ X.T @ inverse @ inverse @ X) / t2,
        "fh": 2 * (m * t2 - t1**2) / t1**3,
    }.get(method, 0.0)
    gamma = between / (between + v)
    parts = gamma * v + (1 - gamma) ** 2 * np.diag(X @ cov @ X.T)
    parts += 2 * v**2 / (between + v) ** 3 * spread - bias * (1 - gamma) ** 2
    assert_allclose(found.mse, parts, rtol=1e-9)


@given(
    seed=st.integers(0, 300),
    size=st.floats(1e-3, 1e3),
    shift=st.floats(-50, 50),
    method=st.sampled_from(list(METHODS)),
)
def test_units_of_measurement_and_order_do_not_matter(seed, size, shift, method):
    y, v, X = areas(seed)
    one = fay_herriot(y, v, X, method=method)
    order = np.random.default_rng(seed).permutation(len(y))
    turned = X[order] @ np.array([[1.0, 3.0], [0.0, -7.0]])
    other = fay_herriot((shift + size * y)[order], size**2 * v[order], turned, method=method)
    assert_allclose(other.eblup, shift + size * one.eblup[order], rtol=1e-5, atol=1e-5 * size)
    assert_allclose(other.mse, size**2 * one.mse[order], rtol=1e-5)
    assert_allclose(other.shrinkage, one.shrinkage[order], rtol=1e-5, atol=1e-7)


def test_places_that_do_not_differ_get_the_regression():
    y = np.array([1.0, 1.1, 0.9, 1.05, 0.95])
    found = fay_herriot(y, np.full(5, 4.0))
    assert found.truncated
    assert found.variance == 0.0
    assert_allclose(found.eblup, y.mean())
    assert_array_equal(found.shrinkage, 0.0)
    assert (found.mse > 0).all()


def test_no_mean_squared_error_is_negative():
    # 29 errors of 1 and one of 0.01: b = 2 (30 s2 - s1²)/s1³ = 0.26 is more than all the rest.
    v = np.array([0.01] + [1.0] * 29 + [NA])
    y = np.append(np.tile([-0.3, 0.3], 15), NA)
    found = fay_herriot(y, v, method="fh")
    assert found.truncated
    assert found.n_uncorrected == 30
    total, two = 129.0, 10029.0
    bias = 2 * (30 * two - total**2) / total**3
    rest = 1 / total + 2 / v[:30] * 60 / total**2
    assert_allclose(found.mse, [rest[0] - bias, *rest[1:], 1 / total])
    assert fay_herriot(*areas(0), method="fh").n_uncorrected == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"v": [1.0, 0.0, 1.0, -1.0]}, "2 error variances that are 0, negative or infinite.*2, 4"),
        ({"y": [1.0, np.inf, 1.0, 2.0]}, "1 infinite direct estimates, at 2"),
        ({"X": [[1.0], [NA], [1.0], [1.0]]}, "1 rows of covariates that are missing"),
        ({"y": [1.0, NA, NA, NA]}, "1 of 4 places have a direct estimate.*at least 2"),
        ({"X": np.ones((4, 2))}, "a combination of others"),
        ({"X": np.ones((3, 1))}, r"covariates must have shape \(4, p\)"),
        ({"v": [1.0]}, "every place needs a direct estimate"),
    ],
)
def test_bad_places_are_refused(change, message):
    given = {"y": [1.0, 2.0, 3.0, 5.0], "v": [1.0, 1.0, 1.0, 1.0], "X": None, **change}
    with pytest.raises(MethodError, match=message):
        fay_herriot(given["y"], given["v"], given["X"])


def test_every_problem_is_said_at_once():
    with pytest.raises(MethodError) as caught:
        fay_herriot([np.inf, 1.0, 2.0], [1.0, 0.0, 1.0], [[1.0], [1.0], [NA]])
    assert len(caught.value.problems) == 3


def test_unknown_method():
    with pytest.raises(SpecError, match="Did you mean 'reml'"):
        fay_herriot([1.0, 2.0], [1.0, 1.0], method="rml")


def equal_errors(m: int, v: float, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return squared errors and their estimates, variance between places 1, means over places."""
    rng = np.random.default_rng([6, m])
    truth = rng.normal(size=(n_samples, m))
    y = truth + np.sqrt(v) * rng.normal(size=(n_samples, m))
    found = [fay_herriot(row, np.full(m, v)) for row in y]
    squares = np.array([(f.eblup - t) ** 2 for f, t in zip(found, truth, strict=True)])
    return squares.mean(axis=1), np.array([f.mse.mean() for f in found])


def test_mean_squared_error_is_unbiased_with_equal_errors():
    # The exact error is v g + (3m - 5)/(m(m - 3)) v²/(1 + v), and so is its expected estimate.
    m, v = 30, 0.4
    exact = v / (1 + v) + (3 * m - 5) / (m * (m - 3)) * v**2 / (1 + v)
    squares, estimates = equal_errors(m, v, 600)
    for sample in (squares, estimates):
        error = sample.std(ddof=1) / np.sqrt(len(sample))
        assert abs(sample.mean() - exact) < 4 * error
    assert estimates.std(ddof=1) / np.sqrt(600) < 0.005 * exact


def relative_bias(m: int, method: str, n_samples: int, variance: float) -> tuple[float, float]:
    """Return the relative bias of mean squared errors over places, and coverage at 95 %."""
    rng = np.random.default_rng([7, m])
    v = 0.8 * np.exp(rng.normal(0, 0.6, m))
    X = np.column_stack([np.ones(m), rng.normal(size=m)])
    squares, estimates, hits = np.zeros(m), np.zeros(m), 0.0
    for _ in range(n_samples):
        truth = X.sum(axis=1) + np.sqrt(variance) * rng.normal(size=m)
        found = fay_herriot(truth + np.sqrt(v) * rng.normal(size=m), v, X, method=method)
        miss = (found.eblup - truth) ** 2
        squares += miss
        estimates += found.mse
        hits += (miss <= 1.959964**2 * found.mse).mean()
    return float(estimates.sum() / squares.sum() - 1), hits / n_samples


@pytest.mark.parametrize("method", METHODS)
def test_mean_squared_errors_against_known_truth(method):
    bias, coverage = relative_bias(30, method, 300, variance=1.0)
    assert abs(bias) < 0.06
    assert 0.92 < coverage < 0.97


def variance_bias(method: str, n_samples: int) -> tuple[float, float, float]:
    """Return the mean error of the variance, its simulation error, and the bias it should have.

    The bias of theory is what the mean squared error of a synthetic place corrects for.
    """
    rng, m = np.random.default_rng(16), 30
    v = 0.8 * np.exp(rng.normal(0, 0.6, m))
    X = np.column_stack([np.ones(m), rng.normal(size=m)])
    noise = np.sqrt(1 + v) * rng.normal(size=(n_samples, m))
    found = np.array([fay_herriot(row, v, X, method=method).variance for row in noise])
    root = X / np.sqrt(1 + v)[:, None]
    leverage = np.einsum("ij,jk,ik->i", root, np.linalg.inv(root.T @ root), root)
    s1, s2 = (1 / (1 + v)).sum(), (1 / (1 + v) ** 2).sum()
    theory = {"ml": -(leverage / (1 + v)).sum() / s2, "fh": 2 * (m * s2 - s1**2) / s1**3}
    error = found.std(ddof=1) / np.sqrt(n_samples)
    return found.mean() - 1, error, theory.get(method, 0.0)


def test_maximum_likelihood_is_as_biased_as_its_correction_says():
    bias, error, theory = variance_bias("ml", 600)
    assert abs(bias - theory) < 3 * error + 0.02
    assert bias < -4 * error  # the correction corrects for something


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_variances_are_as_biased_as_the_corrections_say(method):
    bias, error, theory = variance_bias(method, 10_000)
    assert abs(bias - theory) < 3 * error + 0.02


@pytest.mark.slow
@pytest.mark.parametrize("m", [30, 60])
@pytest.mark.parametrize("method", METHODS)
def test_mean_squared_errors_against_known_truth_at_length(method, m):
    bias, coverage = relative_bias(m, method, 5000, variance=1.0)
    # Of higher order than the formulas: up to 2.6 % over seven designs of 30 places (ml), and
    # half of that with 60; simulation error 0.4 %.
    assert abs(bias) < (0.04 if m == 30 else 0.025)
    assert 0.93 < coverage < 0.96
