from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.latent.dwls import fit_ordered
from lgpi_research.methods.latent.modification import modification_indices
from lgpi_research.methods.latent.ordered import ordered_moments
from lgpi_research.methods.polychoric import fit_pair

NAMES = ["x1", "x2", "x3", "x4", "x5", "x6"]
TWO = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6"
LOAD = np.array([0.8, 0.7, 0.6, 0.8, 0.5, 0.7])


def answers(seed: int = 0, n: int = 1000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    factors = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], n)
    behind = factors[:, [0, 0, 0, 1, 1, 1]] * LOAD
    behind += rng.normal(size=(n, 6)) * np.sqrt(1 - LOAD**2)
    return np.digitize(behind, [-0.8, 0.2, 1.0]).astype(float)


def test_loadings_thresholds_and_correlation_are_recovered():
    found = fit_ordered(TWO, answers(0, 20_000), NAMES, unit_factors=True)
    fit = found.fit
    assert_allclose(fit.estimates[:6], LOAD, atol=0.025)
    assert_allclose(fit.value("f ~~ g"), 0.5, atol=0.03)
    assert_allclose(found.moments[0].thresholds.reshape(6, 3), [[-0.8, 0.2, 1.0]] * 6, atol=0.03)
    assert_allclose(found.residual_variances[0], 1 - fit.estimates[:6] ** 2, rtol=1e-12)
    assert fit.measures.scaled.test.p_value > 0.001


def test_values_of_categories_and_order_do_not_matter():
    table = answers()
    one = fit_ordered(TWO, table, NAMES).fit
    order = [5, 3, 1, 0, 2, 4]
    other = fit_ordered(TWO, table[:, order] ** 2 + 7, [NAMES[i] for i in order]).fit
    assert_allclose(other.estimates, one.estimates, rtol=1e-6)
    assert_allclose(other.std_errors, one.std_errors, rtol=1e-6)
    assert_allclose(
        other.measures.scaled.test.statistic, one.measures.scaled.test.statistic, rtol=1e-6
    )


def test_errors_of_a_correlation_are_close_to_those_of_full_likelihood():
    table = answers(1, 3000)[:, :2]
    found = ordered_moments(table)
    counts = np.histogram2d(table[:, 0], table[:, 1], bins=[4, 4])[0]
    pair = fit_pair(counts)
    assert_allclose(np.sqrt(found.asymptotic[-1, -1] / 3000), pair.std_error, rtol=0.03)
    share = (table[:, 0] == 0).mean()
    density = np.exp(-(found.thresholds[0] ** 2) / 2) / np.sqrt(2 * np.pi)
    assert_allclose(found.asymptotic[0, 0], share * (1 - share) / density**2, rtol=1e-9)


def test_two_groups_of_the_same_answers():
    table = answers()
    twice, code = np.vstack([table, table]), np.repeat([0, 1], len(table))
    one = fit_ordered(TWO, table, NAMES).fit.measures
    free = fit_ordered(TWO, twice, NAMES, groups=code).fit.measures
    assert_allclose(free.test.statistic, 2 * one.test.statistic, rtol=1e-8)
    assert_allclose(free.scaled.test.scaling, one.scaled.test.scaling, rtol=1e-8)
    equal = fit_ordered(TWO, twice, NAMES, groups=code, equal=["loadings"]).fit
    assert equal.measures.test.df == free.test.df + 4
    assert_allclose(equal.measures.test.statistic, free.test.statistic, rtol=1e-6)


def test_bad_input():
    table = answers()
    with pytest.raises(MethodError, match="fewer than two different answers"):
        fit_ordered(TWO, np.where(np.arange(6) == 2, 1.0, table), NAMES)
    same = table.copy()
    same[:, 1] = same[:, 0]
    with pytest.raises(MethodError, match="items 1 and 2 is at ±1"):
        fit_ordered(TWO, same, NAMES)
    with pytest.raises(MethodError, match="only loadings"):
        fit_ordered(TWO, table, NAMES, equal=["intercepts"])
    with pytest.raises(SpecError, match="observed causes"):
        fit_ordered(TWO.replace("+ x6", "") + "\ng ~ x6", table, NAMES)
    with pytest.raises(MethodError, match="not supported"):
        modification_indices(fit_ordered(TWO, table, NAMES).fit)


@pytest.mark.slow
def test_the_adjusted_test_rejects_as_often_as_it_says():
    found = [
        fit_ordered(TWO, answers(task, 400), NAMES).fit.measures.scaled.test.p_value
        for task in range(300)
    ]
    assert 0.02 <= np.mean(np.array(found) < 0.05) <= 0.09
