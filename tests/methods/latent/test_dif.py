from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.latent.dif import logistic_differences
from lgpi_research.methods.latent.ordinal_logit import ordinal_logit
from tests.methods.latent.test_irt_groups import two_groups


def test_a_table_gives_the_log_odds_ratio_and_its_error():
    fit = ordinal_logit(
        np.repeat([0, 1, 0, 1], [30, 10, 15, 25]), np.repeat([[0], [1]], 40, axis=0)
    )
    assert_allclose(fit.coef[0], np.log(30 * 25 / (10 * 15)))
    assert_allclose(fit.std_error[0], np.sqrt(1 / 30 + 1 / 10 + 1 / 15 + 1 / 25))
    assert_allclose(fit.intercepts[0], np.log(10 / 30))


def test_agrees_with_statsmodels():
    ordinal = pytest.importorskip("statsmodels.miscmodels.ordinal_model")
    rng = np.random.default_rng(76)
    x = rng.normal(size=(300, 2)) * [1, 5] + [0, 3]
    y = np.digitize(x @ [0.8, -0.1] + rng.logistic(size=300), [-1, 0.3, 1.2])
    told = ordinal.OrderedModel(y, x, distr="logit").fit(method="bfgs", disp=False, gtol=1e-8)
    fit = ordinal_logit(y, x)
    assert_allclose(fit.log_likelihood, told.llf, rtol=1e-8)
    assert_allclose(fit.coef, told.params[:2], rtol=1e-4)
    assert_allclose(fit.std_error, told.bse[:2], rtol=1e-3)
    assert_allclose(fit.intercepts[0], -told.params[2], rtol=1e-3)


def test_weights_are_repeated_rows():
    rng = np.random.default_rng(77)
    x, y, w = rng.normal(size=(60, 1)), rng.integers(0, 3, 60), rng.integers(1, 4, 60)
    one, other = ordinal_logit(y, x, weights=w), ordinal_logit(np.repeat(y, w), np.repeat(x, w, 0))
    assert_allclose(one.coef, other.coef, rtol=1e-6)
    assert_allclose(one.std_error, other.std_error, rtol=1e-6)


def test_an_item_that_differs_is_found():
    answers, groups = two_groups(shift=0.8)
    found = logistic_differences(answers, groups)
    assert found.uniform.argmax() == 1
    assert found.p_uniform[1] < 1e-10
    assert found.nagelkerke_uniform[1] > 3 * np.delete(found.nagelkerke_uniform, 1).max()
    assert_allclose(found.both, found.uniform + found.nonuniform)
    assert found.df == 1


def test_a_slope_that_differs_is_not_uniform():
    answers, groups = two_groups(slope=0.3)
    found = logistic_differences((answers > 1).astype(float), groups)
    assert found.p_nonuniform[1] < 1e-6
    assert found.nonuniform.argmax() == 1


def test_invariances():
    answers, groups = two_groups(n=300, shift=0.5)
    one = logistic_differences(answers, groups)
    turned = logistic_differences(3 - answers, np.where(groups == "a", "z", groups))
    assert_allclose(turned.both, one.both, rtol=1e-6, atol=1e-8)
    rest = np.delete(answers, 1, axis=1).mean(axis=1)
    own = logistic_differences(answers, groups, match=7 + 2 * rest)
    assert_allclose(own.both[1], one.both[1], rtol=1e-6)
    answers[3, 1] = np.nan
    missing = logistic_differences(answers, groups)
    assert_array_equal(missing.n_used, [600, 599, 600, 600, 600, 600])


def test_bad_input_is_named():
    answers, groups = two_groups(n=100)
    with pytest.raises(SpecError, match="Did you mean 'rest'"):
        logistic_differences(answers, groups, match="rst")
    with pytest.raises(MethodError, match="got 1 and 6"):
        logistic_differences(answers, np.ones(200))
    with pytest.raises(MethodError, match="matching values"):
        logistic_differences(answers, groups, match=np.ones(3))
    with pytest.raises(
        MethodError, match="6 problems in the items\n- item 1: a regressor does not"
    ):
        logistic_differences(answers, groups, match=np.ones(200))
    answers[groups == "b", 2] = np.nan
    with pytest.raises(MethodError, match="item 3: no answers in b"):
        logistic_differences(answers, groups)
    with pytest.raises(MethodError, match=r"separate the answers|did not converge"):
        ordinal_logit(np.repeat([0, 1], 20), np.repeat([[0.0], [1.0]], 20, axis=0))
