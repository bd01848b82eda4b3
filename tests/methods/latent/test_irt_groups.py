from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.latent.irt_dif import item_differences
from lgpi_research.methods.latent.irt_errors import response_errors
from lgpi_research.methods.latent.irt_fit import fit_item_response
from lgpi_research.methods.latent.irt_groups import fit_groups
from tests.methods.latent.irt_population import DIFFICULTIES, SLOPES, draw_answers, sample


def two_groups(seed=0, n=1500, shift=0.0, slope=1.0):
    """Return answers of two groups; the second has mean 0.5, sd 1.3, and item 2 may differ."""
    rng = np.random.default_rng([72, seed])
    theta = np.concatenate([rng.normal(size=n), rng.normal(0.5, 1.3, n)])
    hard, steep = DIFFICULTIES.copy(), SLOPES.copy()
    hard[1] += shift
    steep[1] *= slope
    answers = np.vstack(
        [
            draw_answers(rng, theta[:n], SLOPES, DIFFICULTIES),
            draw_answers(rng, theta[n:], steep, hard),
        ]
    )
    return answers, np.repeat(["a", "b"], n)


def test_a_group_twice_is_one_group():
    answers = sample(n=400)
    one = fit_item_response(answers)
    both = fit_groups(np.vstack([answers, answers]), np.repeat([1, 2], 400))
    assert_allclose(both.log_likelihood, 2 * one.log_likelihood, rtol=1e-9)
    assert_allclose(both.means, 0, atol=1e-5)
    assert_allclose(both.sds, 1, atol=1e-5)
    assert_allclose(both.items[1].slopes, one.items[0].slopes, rtol=1e-4)


def test_gradient_and_information_with_groups():
    answers, groups = two_groups(n=150)
    fit = fit_groups(answers, groups, own_slopes=[1, 3], own_intercepts=[1])
    marginal = fit.marginal
    at = fit.free + 0.05 * np.cos(np.arange(len(fit.free)))
    steps = np.eye(len(at)) * 1e-5
    sides = [(marginal.evaluate(at + s), marginal.evaluate(at - s)) for s in steps]
    assert_allclose(marginal.evaluate(at)[1], [(u[0] - d[0]) / 2e-5 for u, d in sides], atol=1e-5)
    assert_allclose(-marginal.information(at), [(u[1] - d[1]) / 2e-5 for u, d in sides], atol=1e-5)


def test_groups_are_recovered_under_partial_invariance():
    answers, groups = two_groups(shift=0.8)
    fit = fit_groups(answers, groups, own_slopes=[1], own_intercepts=[1])
    errors = response_errors(fit)
    assert abs(fit.means[1] - 0.5) < 3.5 * errors.means[1]
    assert abs(fit.sds[1] - 1.3) < 3.5 * errors.sds[1]
    assert errors.means[0] == errors.sds[0] == 0
    assert_allclose((fit.items[1].difficulties - fit.items[0].difficulties)[1], 0.8, atol=0.3)
    assert_array_equal(fit.items[1].slopes[2:], fit.items[0].slopes[2:])


def test_an_item_that_differs_is_found_with_its_size():
    answers, groups = two_groups(shift=0.8)
    found = item_differences(answers, groups)
    assert found.holm[1] < 1e-10
    assert found.statistic.argmax() == 1
    assert_array_equal(found.df, 4)
    assert found.signed[1, 0] < -0.3
    assert_allclose(found.unsigned[1], -found.signed[1], rtol=0.05)
    assert np.abs(np.delete(found.standardised[:, 0], 1)).max() < abs(found.standardised[1, 0]) / 2


def test_slopes_alone_test_nonuniform_differences():
    answers, groups = two_groups(slope=0.4)
    found = item_differences(answers, groups, free="slopes", items=[1, 2])
    assert_array_equal(found.df, 1)
    assert found.p_value[0] < 1e-6 < found.p_value[1]
    shifted = item_differences(answers, groups, free="intercepts", items=[1])
    assert_array_equal(shifted.df, 3)


def test_the_order_of_groups_does_not_change_the_test():
    answers, groups = two_groups(n=400, shift=0.5)
    one = item_differences(answers, groups, items=[1])
    other = item_differences(answers, np.where(groups == "a", "z", groups), items=[1])
    assert_allclose(one.statistic, other.statistic, rtol=1e-5)


@pytest.mark.slow
def test_the_test_holds_its_level():
    rejected = np.concatenate(
        [item_differences(*two_groups(seed, n=500), items=[1, 3]).p_value for seed in range(150)]
    )
    assert 0.02 < (rejected < 0.05).mean() < 0.09


def test_bad_groups_are_named():
    answers, groups = two_groups(n=100)
    with pytest.raises(MethodError, match="one group only"):
        fit_groups(answers, np.ones(200))
    with pytest.raises(MethodError, match="no item is held equal"):
        fit_groups(answers, groups, own_slopes=range(6))
    with pytest.raises(SpecError, match="items 9 do not exist"):
        fit_groups(answers, groups, own_slopes=[9])
    with pytest.raises(MethodError, match="item 2: 100 of 100 groups have empty categories"):
        fit_groups(answers, np.repeat(np.arange(100), 2), own_slopes=[1])
    more = np.vstack([answers, np.tile([[0.0], [1], [2], [3]], (1, 6))])
    with pytest.raises(MethodError, match=r"1 of 3 groups have fewer respondents .*: c \(4\)"):
        fit_groups(more, [*groups, *"cccc"], own_intercepts=[1, 2])
    answers[(groups == "b") & (answers[:, 1] == 3), 1] = 2
    with pytest.raises(MethodError, match=r"empty categories.*: b \(answer 3\)"):
        fit_groups(answers, groups, own_intercepts=[1])
    fit_groups(answers, groups)
    with pytest.raises(SpecError, match="free must be"):
        item_differences(answers, groups, free="loadings")
