"""Mixed models: exact cases, what must not matter, lme4's numbers, and known truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import optimize

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods import mixed_plan, mixed_search
from lgpi_research.methods.absorb import compact
from lgpi_research.methods.mixed import RandomTerm, fit_mixed
from lgpi_research.methods.mixed_criterion import deviance, evaluate, hessian
from lgpi_research.methods.multilevel import nested_effects

DATA = Path(__file__).parents[1] / "reference" / "data"


def ones(n):
    return np.ones((n, 1))


def simulate(rng, groups=12, size=6, between=1.0, within=1.0):
    group = np.repeat(np.arange(groups), size)
    x = rng.normal(size=len(group))
    y = 1 + 0.5 * x + between * rng.normal(size=groups)[group] + within * rng.normal(size=len(x))
    return y, np.column_stack([np.ones(len(x)), x]), group


@pytest.fixture(scope="module")
def messy():
    """Rows in persons in places, crossed with items, nothing balanced."""
    rng = np.random.default_rng(3)
    n = 160
    place = rng.integers(0, 8, n)
    person = place * 10 + rng.integers(0, 5, n)
    item = rng.integers(0, 4, n)
    x = rng.normal(size=n)
    y = rng.normal(size=n) + rng.normal(size=8)[place] + 0.7 * rng.normal(size=90)[person]
    y += 0.6 * rng.normal(size=4)[item] + 0.5 * rng.normal(size=8)[place] * x
    return {
        "y": y,
        "X": np.column_stack([np.ones(n), x]),
        "place": place,
        "person": person,
        "item": item,
        "both": np.column_stack([np.ones(n), x + 3]),
        "weights": rng.uniform(0.5, 2, n),
    }


def designs(m):
    """Terms that are eliminated in every way there is."""
    place, person, item, both = m["place"], m["person"], m["item"], m["both"]
    occasion = person % 10
    return {
        "one": [RandomTerm(place, both)],
        "nested": [RandomTerm(place, both), RandomTerm(person)],
        "nested and crossed": [RandomTerm(place), RandomTerm(person, both), RandomTerm(item)],
        "widened": [
            RandomTerm(place),
            RandomTerm(person),
            RandomTerm(place * 10 + item, both),
            RandomTerm(item),
        ],
        "crossed slope": [RandomTerm(person), RandomTerm(item, both)],
        "all interactions": [
            RandomTerm(place),
            RandomTerm(item),
            RandomTerm(occasion),
            RandomTerm(place * 10 + item),
            RandomTerm(place * 100 + occasion),
            RandomTerm(item * 10 + occasion),
        ],
        "uncorrelated": [
            RandomTerm(place, both, correlated=False),
            RandomTerm(place, both[:, 1] ** 2),
        ],
    }


NAMES = list(designs({k: np.ones((2, 2), int) for k in ("place", "person", "item", "both")}))


def dense(m, terms, fit):
    """Return the covariance of all rows under a fit, and each term's columns."""
    n = len(m["y"])
    V = np.diag(fit.residual_variance / m["weights"])
    columns = []
    for term, cov in zip(terms, fit.covariances, strict=True):
        code, count = compact(term.groups)
        effects = ones(n) if term.effects is None else np.asarray(term.effects).reshape(n, -1)
        V += (code[:, None] == code) * (effects @ cov @ effects.T)
        columns.append([effects * (code == g)[:, None] for g in range(count)])
    return V, columns


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_everything_follows_from_the_covariance_of_all_rows(messy, name, reml):
    y, X, terms = messy["y"], messy["X"], designs(messy)[name]
    fit = fit_mixed(y, X, terms, weights=messy["weights"], reml=reml)
    V, columns = dense(messy, terms, fit)
    inner = np.linalg.inv(V)
    information = X.T @ inner @ X
    coef = np.linalg.solve(information, X.T @ inner @ y)
    residual = y - X @ coef
    pulled = inner @ residual
    log_likelihood = np.linalg.slogdet(V)[1] + residual @ pulled
    log_likelihood += (len(y) - 2 * reml) * np.log(2 * np.pi)
    log_likelihood += np.linalg.slogdet(information)[1] * reml
    assert_allclose(fit.log_likelihood, -log_likelihood / 2, rtol=1e-12)
    assert_allclose(fit.coef, coef, rtol=1e-9)
    assert_allclose(fit.cov, np.linalg.inv(information), rtol=1e-9)
    expected = X @ coef
    for t, groups in enumerate(columns):
        modes, spread = fit.random_effects(t)
        cov = fit.covariances[t]
        for g, Z in enumerate(groups):
            assert_allclose(modes[g], cov @ Z.T @ pulled, atol=1e-10)
            assert_allclose(spread[g], cov - cov @ Z.T @ inner @ Z @ cov, atol=1e-10)
            expected = expected + Z @ modes[g]
    assert_allclose(fit.fitted(), expected, rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_that_of_the_criterion(messy, name):
    fit = fit_mixed(messy["y"], messy["X"], designs(messy)[name])
    model = fit.given.model
    rng = np.random.default_rng(5)
    theta, width = rng.normal(size=model.n_free), 1e-5
    for log_variance in (None, 0.3):
        point = evaluate(model, theta, log_variance)
        found = [
            (
                evaluate(model, theta + step, log_variance).deviance
                - evaluate(model, theta - step, log_variance).deviance
            )
            / (2 * width)
            for step in width * np.eye(len(theta))
        ]
        assert_allclose(point.gradient, found, rtol=1e-6, atol=1e-6)
    assert_allclose(deviance(model, theta), evaluate(model, theta).deviance, rtol=1e-14)
    slope = evaluate(model, theta, 0.3 + width).deviance - evaluate(model, theta, 0.3).deviance
    assert_allclose(point.slope, slope / width, rtol=1e-3)
    full = hessian(model, theta, 0.3)
    assert_allclose(full, full.T, rtol=1e-5, atol=1e-5)


def test_no_other_parameters_are_better(messy):
    rng = np.random.default_rng(6)
    for terms in designs(messy).values():
        fit = fit_mixed(messy["y"], messy["X"], terms)
        for size in (1e-3, 1e-2, 0.1, 1.0):
            moved = fit.theta + size * rng.normal(size=len(fit.theta))
            assert deviance(fit.given.model, moved) >= fit.point.deviance - 1e-9
        assert fit.decrement < 1e-9


def test_balanced_groups_have_the_variances_of_analysis_of_variance():
    y, _, group = simulate(np.random.default_rng(1))
    table = y.reshape(12, 6)
    within = table.var(axis=1, ddof=1).mean()
    between = table.mean(axis=1).var(ddof=1) - within / 6
    fit = fit_mixed(y, ones(72), [RandomTerm(group)])
    assert_allclose([fit.covariances[0][0, 0], fit.residual_variance], [between, within], rtol=1e-9)
    assert_allclose(fit.std_error[0], np.sqrt((between + within / 6) / 12), rtol=1e-9)
    ml = fit_mixed(y, ones(72), [RandomTerm(group)], reml=False)
    squares = table.mean(axis=1).var() - within / 6
    assert_allclose([ml.covariances[0][0, 0], ml.residual_variance], [squares, within], rtol=1e-9)


def test_balanced_nested_and_crossed_variances_are_those_of_mean_squares():
    rng = np.random.default_rng(2)
    a, b, n = 7, 4, 3
    cube = (
        rng.normal(size=(a, 1, 1)) + 0.8 * rng.normal(size=(a, b, 1)) + rng.normal(size=(a, b, n))
    )
    outer, inner, _ = (index.ravel() for index in np.indices(cube.shape))
    fit = fit_mixed(
        cube.ravel(), ones(cube.size), [RandomTerm(outer), RandomTerm(outer * b + inner)]
    )
    within = cube.var(axis=2, ddof=1).mean()
    middle = n * cube.mean(axis=2).var(axis=1, ddof=1).mean()
    top = b * n * cube.mean(axis=(1, 2)).var(ddof=1)
    found = [*(c[0, 0] for c in fit.covariances), fit.residual_variance]
    assert_allclose(found, [(top - middle) / (b * n), (middle - within) / n, within], rtol=1e-8)

    table = rng.normal(size=(9, 1)) + rng.normal(size=(1, 5)) + rng.normal(size=(9, 5))
    rows, columns = (index.ravel() for index in np.indices(table.shape))
    fit = fit_mixed(table.ravel(), ones(45), [RandomTerm(rows), RandomTerm(columns)])
    centred = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    error = (centred**2).sum() / (8 * 4)
    expected = [
        table.mean(axis=1).var(ddof=1) - error / 5,
        table.mean(axis=0).var(ddof=1) - error / 9,
    ]
    found = [*(c[0, 0] for c in fit.covariances), fit.residual_variance]
    assert_allclose(found, [*expected, error], rtol=1e-8)


def test_groups_that_differ_less_than_chance_have_no_variance():
    y, X, group = simulate(np.random.default_rng(4), between=0.0)
    y = y - 0.8 * (np.bincount(group, y) / 6)[group]
    fit = fit_mixed(y, X, [RandomTerm(group, name="district")])
    assert fit.singular == ("district",)
    assert fit.covariances[0][0, 0] == 0
    least, *_ = np.linalg.lstsq(X, y, rcond=None)
    assert_allclose(fit.coef, least, rtol=1e-10)
    assert_allclose(fit.residual_variance, ((y - X @ least) ** 2).sum() / (len(y) - 2))
    assert_allclose(fit.random_effects()[0], 0)


def test_a_perfect_correlation_is_said():
    rng = np.random.default_rng(7)
    _, X, group = simulate(rng, groups=30, size=10)
    shift = rng.normal(size=30)[group]
    y = shift + 0.5 * shift * X[:, 1] + rng.normal(size=300)
    fit = fit_mixed(y, X, [RandomTerm(group, X, name="slopes")])
    cov = fit.covariances[0]
    if fit.singular:
        assert_allclose(cov[0, 1] ** 2, cov[0, 0] * cov[1, 1], rtol=1e-10)
    assert cov[0, 1] ** 2 >= 0.95 * cov[0, 0] * cov[1, 1]


def test_a_variance_of_zero_that_should_grow_is_noticed(monkeypatch):
    y, X, group = simulate(np.random.default_rng(17))
    terms = [RandomTerm(group, X)]
    fit = fit_mixed(y, X, terms)
    model = fit.given.model
    assert mixed_search._growing(model, fit.point) is None
    nothing = evaluate(model, np.zeros(3))  # stationary, as every point with no variance is
    assert_allclose(nothing.gradient, 0, atol=1e-12)
    start = mixed_search._growing(model, nothing)
    assert evaluate(model, start).deviance < nothing.deviance
    monkeypatch.setattr(mixed_search, "STARTS", (0.0,))
    again = fit_mixed(y, X, terms)
    assert_allclose(again.log_likelihood, fit.log_likelihood, rtol=1e-12)
    assert_allclose(again.covariances[0], fit.covariances[0], rtol=1e-6)


def test_an_uncentred_slope_of_small_variance_is_followed_to_the_boundary():
    rng = np.random.default_rng([7, 111])
    group, _, x = rng.integers(0, 9, 100), rng.integers(0, 7, 100), rng.normal(size=100)
    a, b = 10 ** rng.uniform(-3, 4, 2)
    X = np.column_stack([np.ones(100), 2000 + 5 * x])
    y = a * rng.normal(size=9)[group] + b * rng.normal(size=9)[group] * x + rng.normal(size=100)
    fit = fit_mixed(y, X, [RandomTerm(group, X)])
    centred = fit_mixed(y, X, [RandomTerm(group, np.column_stack([np.ones(100), x]))])
    assert fit.singular == centred.singular == ("group",)
    assert_allclose(fit.log_likelihood, centred.log_likelihood, rtol=1e-9)


def test_crossed_variances_far_above_the_residual_one_are_found():
    rng = np.random.default_rng(16)
    rows, columns = rng.integers(0, 9, 150), rng.integers(0, 7, 150)
    part = rng.normal(size=9)[rows], rng.normal(size=7)[columns], rng.normal(size=150)
    near = fit_mixed(30 * part[0] + 40 * part[1] + part[2], ones(150), terms_of(rows, columns))
    far = fit_mixed(3000 * part[0] + 4000 * part[1] + part[2], ones(150), terms_of(rows, columns))
    assert_allclose(far.residual_variance, near.residual_variance, rtol=1e-5)
    for small, large in zip(near.covariances, far.covariances, strict=True):
        assert_allclose(large, 1e4 * small, rtol=0.03)


def terms_of(*groups):
    return [RandomTerm(group) for group in groups]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-1e4, 1e4), st.floats(1e-2, 1e3), st.floats(-1e3, 1e3))
def test_units_orders_and_labels_do_not_matter(seed, shift, scale, centre):
    rng = np.random.default_rng(seed)
    y, X, group = simulate(rng)
    base = fit_mixed(y, X, [RandomTerm(group, X)])
    order = rng.permutation(len(y))
    labels = np.array([f"g{i}" for i in rng.permutation(12)])
    tilted = np.column_stack([np.ones(len(y)), X[:, 1] * scale + centre])
    turned = np.array([[2.0, 1.0], [0.5, -1.0]])
    moved = fit_mixed(
        (shift + scale * y)[order],
        (X @ turned)[order],
        [RandomTerm(labels[group][order], X[order])],
    )
    back = turned @ moved.coef - [shift, 0]
    tight = {"rtol": 1e-5, "atol": 1e-6}
    assert_allclose(back / scale, base.coef, rtol=1e-5, atol=1e-5 * (1 + abs(shift) / scale))
    assert_allclose(moved.covariances[0] / scale**2, base.covariances[0], **tight)
    assert_allclose(moved.residual_variance / scale**2, base.residual_variance, rtol=1e-6)
    modes = moved.random_effects()[0][np.argsort(np.argsort(labels))]
    assert_allclose(modes / scale, base.random_effects()[0], **tight)
    other = fit_mixed(y, X, [RandomTerm(group, tilted)])  # the same space of slopes
    assert_allclose(other.log_likelihood, base.log_likelihood, rtol=1e-9)
    into = np.array([[1.0, 0.0], [centre, scale]])
    close = 1e-5 * np.abs(base.covariances[0]).max()
    assert_allclose(into.T @ other.covariances[0] @ into, base.covariances[0], atol=close)


def test_a_weight_counts_as_so_many_rows_whose_mean_is_given():
    rng = np.random.default_rng(8)
    y, X, group = simulate(rng)
    counts = rng.integers(1, 4, len(y))
    fit = fit_mixed(y, X, [RandomTerm(group)], weights=counts)
    twice = fit_mixed(y, X, [RandomTerm(group)], weights=2 * counts)
    assert_allclose(twice.covariances[0], fit.covariances[0], rtol=1e-8)
    assert_allclose(twice.residual_variance, 2 * fit.residual_variance, rtol=1e-8)
    assert_allclose(twice.log_likelihood, fit.log_likelihood, rtol=1e-10)


def test_rows_of_known_precision_may_each_be_a_group():
    rng = np.random.default_rng(14)
    weights = np.exp(1.5 * rng.normal(size=300))
    y = rng.normal(size=300) + rng.normal(size=300) / np.sqrt(weights)
    fit = fit_mixed(y, ones(300), [RandomTerm(np.arange(300))], weights=weights, reml=False)

    def deviance(logs):
        spread = np.exp(logs[0]) + np.exp(logs[1]) / weights
        centre = np.average(y, weights=1 / spread)
        return float((np.log(spread) + (y - centre) ** 2 / spread).sum())

    told = optimize.minimize(deviance, [0, 0], method="Nelder-Mead", options={"fatol": 1e-13})
    found = [fit.covariances[0][0, 0], fit.residual_variance]
    assert_allclose(found, np.exp(told.x), rtol=1e-3)
    assert_allclose(fit.deviance, told.fun + 300 * np.log(2 * np.pi), rtol=1e-10)
    with pytest.raises(MethodError, match="group and the residual cannot be told apart"):
        fit_mixed(y, ones(300), [RandomTerm(np.arange(300))], weights=np.full(300, 2.0))


def test_a_term_that_does_not_exist_is_said():
    y, X, group = simulate(np.random.default_rng(15))
    with pytest.raises(SpecError, match="no term 1; the fit has 1"):
        fit_mixed(y, X, [RandomTerm(group)]).random_effects(1)


def test_weighted_rows_agree_with_lme4():
    table = pd.read_csv(DATA / "weighted_groups.csv")
    told = pd.read_csv(DATA / "weighted_groups_fit.csv", index_col=0)["value"]
    X = np.column_stack([np.ones(len(table)), table["x"]])
    fit = fit_mixed(table["y"], X, [RandomTerm(table["group"])], weights=table["weight"])
    found = [*fit.coef, fit.std_error[1], fit.covariances[0][0, 0], fit.residual_variance]
    assert_allclose([*found, fit.log_likelihood], told, rtol=1e-6)


def test_effects_without_errors_are_those_of_a_nested_meta_analysis():
    rng = np.random.default_rng(9)
    outer, inner = np.repeat(np.arange(8), 4), np.arange(32) // 2
    y = rng.normal(size=8)[outer] + 0.6 * rng.normal(size=16)[inner] + 0.5 * rng.normal(size=32)
    fit = fit_mixed(y, ones(32), [RandomTerm(outer), RandomTerm(inner)])
    known = nested_effects(y, np.full(32, fit.residual_variance), outer, inner)
    assert_allclose(known.outer_variance, fit.covariances[0][0, 0], rtol=1e-5)
    assert_allclose(known.inner_variance, fit.covariances[1][0, 0], rtol=1e-5)


def test_terms_of_the_same_groups_are_one_factor():
    y, X, group = simulate(np.random.default_rng(10))
    apart = fit_mixed(y, X, [RandomTerm(group), RandomTerm(group, X[:, 1])])
    together = fit_mixed(y, X, [RandomTerm(group, X, correlated=False)])
    assert_allclose(apart.log_likelihood, together.log_likelihood, rtol=1e-12)
    assert_allclose(
        together.covariances[0].diagonal(), [c[0, 0] for c in apart.covariances], rtol=1e-6
    )
    assert together.covariances[0][0, 1] == 0
    assert apart.n_par == together.n_par == 5
    assert_allclose(apart.aic, apart.deviance + 10)
    assert_allclose(apart.bic, apart.deviance + 5 * np.log(72))


def bad_inputs():
    y, X, group = simulate(np.random.default_rng(11))
    term = RandomTerm(group, name="district")
    holes = y.copy()
    holes[[2, 7]] = np.nan
    same = np.column_stack([X, X[:, 0] - 2 * X[:, 1]])
    steps = np.repeat([0.0, 3, 5], 24)
    return {
        "2 of 72 rows hold missing .*first at row 3": (holes, X, [term], {}),
        "tilt is determined by one and x": (y, same, [term], {"names": ["one", "x", "tilt"]}),
        "zero is 0 in every row": (y, X * [1, 0], [term], {"names": ["one", "zero"]}),
        "region: there is 1 group": (y, X, [RandomTerm(group * 0, name="region")], {}),
        "each of the 72 rows is a group": (y, X, [RandomTerm(np.arange(72))], {}),
        "no random term": (y, X, [], {}),
        "must have 72 rows, got 71": (y, X, [RandomTerm(group[1:])], {}),
        "effects are collinear": (y, X, [RandomTerm(group, np.column_stack([X, X[:, 1]]))], {}),
        "effect 2 is 0 in every row": (y, X, [RandomTerm(group, X * [1, 0])], {}),
        "effects hold missing": (y, X, [RandomTerm(group, np.where(X > 1.2, np.nan, X))], {}),
        "weights are not positive": (y, X, [term], {"weights": np.zeros(72)}),
        "1 names were given for 2": (y, X, [term], {"names": ["x"]}),
        "explain the outcome exactly": (X @ [1, 2], X, [term], {}),
        "nothing is left to vary": (steps, X, [RandomTerm(steps)], {}),
        "cannot be told apart": (
            y,
            X,
            [term, RandomTerm(np.arange(72), X[:, :1], name="row")],
            {},
        ),
        "2 problems": (holes, X, [RandomTerm(group * 0)], {}),
        "must have shape": (y[1:], X, [term], {}),
        "degrees of freedom": (y[:3], X[:3], [RandomTerm([1, 1, 2])], {}),
        "cannot be sorted": (y, X, [RandomTerm([None, 1] * 36)], {}),
        "groups are missing in 1": (
            y,
            X,
            [RandomTerm(np.where(np.arange(72) == 3, np.nan, group))],
            {},
        ),
    }


@pytest.mark.parametrize("message", bad_inputs())
def test_what_has_no_answer_is_said(message):
    y, X, terms, options = bad_inputs()[message]
    with pytest.raises(MethodError, match=message):
        fit_mixed(y, X, terms, **options)


def test_crossed_factors_beyond_memory_are_refused(monkeypatch):
    monkeypatch.setattr(mixed_plan, "MOST_CELLS", 1000)
    rng = np.random.default_rng(12)
    rows, columns = rng.integers(0, 40, 400), rng.integers(0, 40, 400)
    terms = [RandomTerm(rows, name="person"), RandomTerm(columns, name="item")]
    with pytest.raises(MethodError, match=r"person \(40\), item \(40\)"):
        fit_mixed(rng.normal(size=400), ones(400), terms)


def test_children_are_summed_in_slices(messy, monkeypatch):
    whole = fit_mixed(messy["y"], messy["X"], designs(messy)["widened"])
    monkeypatch.setattr("lgpi_research.methods.mixed_system._SLICE", 7)
    sliced = fit_mixed(messy["y"], messy["X"], designs(messy)["widened"])
    assert_allclose(sliced.log_likelihood, whole.log_likelihood, rtol=1e-12)


def estimates(runs, groups=10, size=8):
    found = []
    for run in range(runs):
        rng = np.random.default_rng([13, run])
        _, X, group = simulate(rng, groups, size)
        effects = rng.normal(size=(groups, 2)) @ [[1.0, 0.3], [0.0, 0.4]]
        y = X @ [1.0, 2.0] + (effects[group] * X).sum(axis=1) + rng.normal(size=len(group))
        fit = fit_mixed(y, X, [RandomTerm(group, X)])
        cov = fit.covariances[0]
        found.append([*fit.coef, cov[0, 0], cov[0, 1], cov[1, 1], fit.residual_variance])
    return np.array(found)


TRUTH = [1.0, 2.0, 1.0, 0.3, 0.25, 1.0]


def test_estimates_are_near_the_truth():
    found = estimates(30, groups=40)
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - TRUTH) < 4 * error).all()


@pytest.mark.slow
def test_restricted_likelihood_has_little_bias_with_ten_groups():
    found = estimates(2500)
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    # Setting negative estimates to 0 biases small variances upwards by a little.
    assert (np.abs(found.mean(axis=0) - TRUTH) < 4 * error + [0, 0, 0.02, 0.02, 0.02, 0.01]).all()


def test_of_two_optima_the_higher_likelihood_is_found(monkeypatch):
    rng = np.random.default_rng(391)
    n = int(rng.integers(15, 60))
    group, other = rng.integers(0, 6, n), rng.integers(0, 5, n)
    x = rng.normal(size=n)
    size = 10 ** rng.uniform(-2, 3, 3)
    y = size[0] * rng.normal(size=6)[group] + size[1] * rng.normal(size=5)[other]
    y = y + size[2] * x * rng.normal(size=6)[group] + rng.normal(size=n)
    X = np.column_stack([np.ones(n), x])
    terms = [RandomTerm(group, X), RandomTerm(other)]
    best = fit_mixed(y, X, terms).deviance
    monkeypatch.setattr(mixed_search, "STARTS", (1.0,))
    assert fit_mixed(y, X, terms).deviance > best + 0.1


def test_a_search_that_does_not_end_is_no_answer(monkeypatch):
    monkeypatch.setattr(mixed_search, "GAIN", -1.0)  # no step gains so little
    group = np.repeat(np.arange(6), 4)
    y = np.random.default_rng(0).normal(size=24) + group
    with pytest.raises(MethodError, match=r"no maximum within \d+ evaluations; .* region"):
        fit_mixed(y, np.ones((24, 1)), [RandomTerm(group, name="region")])


def test_a_small_variance_is_not_called_0():
    # Of 2,000 groups of 100, the means vary by a hundredth more than the rows would make them.
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2000, 100))
    noise -= noise.mean(axis=1, keepdims=True)
    means = rng.normal(size=2000)
    means = (means - means.mean()) / means.std(ddof=1)
    within = (noise**2).sum() / (2000 * 99)
    y = (noise + np.sqrt(1.01 * within / 100) * means[:, None]).ravel()
    fit = fit_mixed(y, np.ones((len(y), 1)), [RandomTerm(np.repeat(np.arange(2000), 100))])
    assert fit.singular == ()
    assert_allclose(fit.covariances[0], 1e-4 * within, rtol=1e-4)
