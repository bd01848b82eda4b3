from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize, stats

from lgpi_research.errors import MethodError
from lgpi_research.methods.polychoric import thresholds_of
from lgpi_research.methods.polyserial import fit_polyserial, polyserial

CUTS = [-1.0, 0.3, 1.1]


def sample(seed: int, rho: float, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    hidden, value = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], n).T
    return np.digitize(hidden, CUTS).astype(float), 50 + 7 * value


@pytest.mark.parametrize("rho", [-0.8, 0.0, 0.3, 0.95])
def test_two_steps_reach_the_maximum_of_the_plain_formula(rho):
    x, y = sample(0, rho)
    z = (y - y.mean()) / y.std()
    ends = np.concatenate([[-np.inf], thresholds_of(np.bincount(x.astype(int))), [np.inf]])

    def loss(at: float) -> float:
        scale = np.sqrt(1 - at**2)
        below = stats.norm.cdf((ends[:, None] - at * z) / scale)
        place = x.astype(int)
        chance = below[place + 1, np.arange(len(z))] - below[place, np.arange(len(z))]
        return -float(np.log(np.fmax(chance, 1e-300)).sum())

    other = optimize.minimize_scalar(
        loss, bounds=(rho - 0.2, min(rho + 0.2, 0.999)), method="bounded", options={"xatol": 1e-9}
    )
    assert_allclose(polyserial(x[:, None], y).correlation, [other.x], atol=1e-6)


def test_full_likelihood_is_the_ordered_probit_of_statsmodels():
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    x, y = sample(1, 0.6)
    z = (y - y.mean()) / y.std()
    model = OrderedModel(x.astype(int), z[:, None], distr="probit")
    other = model.fit(method="newton", disp=False, maxiter=100)
    slope = other.params[0]
    fit = fit_polyserial(x, y)
    assert_allclose(fit.correlation, slope / np.sqrt(1 + slope**2), rtol=1e-7)
    cuts = model.transform_threshold_params(other.params)[1:-1]
    assert_allclose(fit.thresholds, cuts / np.sqrt(1 + slope**2), rtol=1e-6)


def test_items_are_each_alone_and_both_may_be_turned_round():
    x, y = sample(2, 0.5)
    other, _ = sample(3, 0.2)
    x[:5], y[-7:] = np.nan, np.nan
    both = polyserial(np.column_stack([x, other]), y)
    alone = [polyserial(item[:, None], y).correlation[0] for item in (x, other)]
    assert_allclose(both.correlation, alone, rtol=1e-12)
    assert_array_equal(both.n, [388, 393])
    assert_allclose(polyserial((3 - x)[:, None], y).correlation[0], -alone[0], rtol=0, atol=1e-10)
    assert_allclose(polyserial(x[:, None], -2 * y).correlation[0], -alone[0], rtol=0, atol=1e-10)
    assert_allclose(fit_polyserial(3 - x, y).correlation, -fit_polyserial(x, y).correlation)


def test_correlation_recovers_the_truth():
    x, y = sample(4, 0.6, n=100_000)
    fit = fit_polyserial(x, y)
    assert abs(fit.correlation - 0.6) < 4 * fit.std_error
    assert np.abs(fit.thresholds - CUTS).max() < 0.02
    assert abs(polyserial(x[:, None], y).correlation[0] - fit.correlation) < fit.std_error


@pytest.mark.slow
def test_standard_error_is_the_spread_of_the_estimate():
    fits = [fit_polyserial(*sample(seed, 0.6, n=200)) for seed in range(2000)]
    found = np.array([fit.correlation for fit in fits])
    assert_allclose(np.mean([fit.std_error for fit in fits]), found.std(), rtol=0.06)
    assert abs(found.mean() - 0.6) < 0.01


def test_values_that_separate_the_answers_are_at_the_limit():
    y = np.linspace(-1, 1, 100)
    x = (y > 0).astype(float)
    found = polyserial(np.column_stack([x, 1 - x]), y)
    assert_array_equal(found.at_limit, [True, True])
    assert_array_equal(found.correlation, [1, -1])
    with pytest.raises(MethodError, match="separate the answers"):
        fit_polyserial(x, y)


def test_what_cannot_be_correlated_is_said_at_once():
    x = np.array([[1, 1], [2, 1], [1, 1]])
    with pytest.raises(MethodError) as caught:
        polyserial(x, [3.0, 3.0, 3.0])
    assert "the variable does not vary among those who answered item 1" in str(caught.value)
    assert "item 2 has fewer than two different answers" in str(caught.value)
    with pytest.raises(MethodError, match=r"got \(3, 2\) and \(2,\)"):
        polyserial(x, [1.0, 2.0])
    with pytest.raises(MethodError, match="0 answers and 1 values are infinite"):
        polyserial(x, [1.0, 2.0, np.inf])
