"""The contract checks: every registered method passes, and a broken one is told how."""

from __future__ import annotations

import numpy as np
import pytest

import lgpi_research.methods  # registers the built-in methods
from lgpi_research import testing
from lgpi_research.errors import MethodError
from lgpi_research.methods.regression import Estimate, ols
from lgpi_research.registry import entry, names


@pytest.mark.parametrize("name", names("coefficient"))
def test_every_registered_coefficient_keeps_its_contract(name):
    found = entry("coefficient", name)
    testing.check_coefficient(found.function, needs=found.facts["needs"])


@pytest.mark.parametrize("name", names("estimator"))
def test_every_registered_estimator_keeps_its_contract(name):
    testing.check_estimator(entry("estimator", name).function)


def writes(x, reference):
    x[0] = 0.0
    return x


def wrong_estimator(y, X, *, clusters, absorb, weights):
    found = ols(y, X, clusters=clusters, absorb=absorb)
    return Estimate(found.coef + 1e-3 * y[0], found.cov - np.eye(2), -found.df)


BROKEN = [
    (testing.check_normaliser, writes, "writes to its input"),
    (testing.check_normaliser, lambda x, r: -x, "not monotone"),
    (testing.check_normaliser, lambda x, r: x + np.arange(x.shape[-1]), "order of the units"),
    (testing.check_normaliser, lambda x, r: np.nan_to_num(x), "must stay missing"),
    (testing.check_normaliser, lambda x, r: x - np.nanmean(r), "draws of leading axes"),
    (testing.check_normaliser, lambda x, r: x[1:], r"became \(39,\)"),
    (testing.check_normaliser, lambda x, r: x.tolist(), "must return an ndarray, got list"),
    (testing.check_normaliser, lambda x: x, "raised TypeError"),
    (testing.check_aggregator, lambda x, w: x.sum(axis=-1), "outside the values"),
    (testing.check_aggregator, lambda x, w: x[..., 0], "order of units or indicators"),
    (testing.check_aggregator, lambda x, w: x.mean(axis=-1) ** 2, "equal values"),
    (testing.check_aggregator, lambda x, w: 2 * x.min(axis=-1) - x.max(axis=-1), "not monotone"),
    (testing.check_weigher, lambda d: np.ones(d.shape[1]), "must sum to 1"),
    (testing.check_weigher, lambda d: np.array([2.0, -1, 0, 0]), "not negative"),
    (testing.check_weigher, lambda d: np.abs(d[0]) / np.abs(d[0]).sum(), "order of the units"),
    (testing.check_coefficient, lambda s: s.total, "common unit"),
    (testing.check_coefficient, lambda s: s.variances[..., 0] / s.total, "order of the items"),
    (testing.check_coefficient, lambda s: s.variances, "not (4,)"),
    (testing.check_estimator, wrong_estimator, "negative variances"),
    (testing.check_estimator, wrong_estimator, "degrees of freedom must be positive"),
    (testing.check_estimator, wrong_estimator, "order of the rows"),
]


@pytest.mark.parametrize(("check", "function", "message"), BROKEN)
def test_what_is_broken_is_named(check, function, message):
    import re

    with pytest.raises(MethodError) as error:
        check(function)
    assert re.search(message, str(error.value)) or message in str(error.value)


def test_the_folder_of_methods_is_registered_by_importing_it():
    assert lgpi_research.methods.__path__
    assert {"minmax", "rank", "zscore"} <= set(names("normaliser"))
    assert {"alpha", "omega"} <= set(names("coefficient"))
