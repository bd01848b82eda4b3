from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.methods.calibration import (
    Calibrated,
    calibrate,
    calibrated_covariance,
    kish_effect,
    poststratify,
    rake,
)
from lgpi_research.methods.design import Design, linearised_covariance
from lgpi_research.methods.margins import margin_columns, read_margins
from lgpi_research.methods.replicate_estimates import replicate_covariance
from lgpi_research.methods.replication import replicate_weights


@pytest.fixture
def people():
    rng = np.random.default_rng(3)
    n = 480
    kind = np.array(["city", "town", "village"])[rng.integers(0, 3, n)]
    size = rng.integers(1, 5, n)
    age = rng.integers(18, 80, n).astype(float)
    return rng.uniform(1, 5, n), kind, size, age


KIND = {"city": 500.0, "town": 300.0, "village": 200.0}
SIZE = {1: 150.0, 2: 250.0, 3: 350.0, 4: 250.0}


@pytest.fixture
def margins(people):
    _, kind, size, _ = people
    return read_margins({"kind": (kind, KIND), "size": (size, SIZE)})


def met(found: Calibrated, margins) -> None:
    for one in margins:
        assert_allclose(np.bincount(one.codes, found.weights), one.totals, rtol=1e-9)


def test_poststratified_weights_meet_each_category(people, margins):
    found = poststratify(people[0], margins[0])
    met(found, margins[:1])
    factor = found.weights / people[0]
    for code in range(3):
        assert np.ptp(factor[margins[0].codes == code]) < 1e-12


def test_raking_one_margin_is_poststratification(people, margins):
    once, raked = poststratify(people[0], margins[1]), rake(people[0], margins[1:])
    assert_allclose(raked.weights, once.weights, rtol=1e-12)
    assert raked.n_iter == 1


@pytest.mark.parametrize("method", ["rake", "linear", "raking", "logit"])
def test_totals_are_met_exactly(people, margins, method):
    if method == "rake":
        found = rake(people[0], margins)
    else:
        columns, totals, names = margin_columns(margins)
        start = people[0] * totals[:3].sum() / people[0].sum()
        bounds = (0.3, 3.0) if method == "logit" else None
        found = calibrate(start, columns, totals, distance=method, bounds=bounds, names=names)
        if method == "logit":
            factor = found.weights / start
            assert factor.min() > 0.3
            assert factor.max() < 3.0
    met(found, margins)


def test_raking_and_calibration_with_raking_distance_agree(people, margins):
    columns, totals, _ = margin_columns(margins)
    newton = calibrate(people[0], columns, totals, distance="raking")
    assert_allclose(newton.weights, rake(people[0], margins).weights, rtol=1e-8)


def test_raked_weights_are_products_of_a_factor_for_each_category(people, margins):
    factor = np.log(rake(people[0], margins).weights / people[0])
    columns = margin_columns(margins)[0]
    left = factor - columns @ np.linalg.lstsq(columns, factor, rcond=None)[0]
    assert_allclose(left, 0, atol=1e-9)


def test_linear_calibration_is_the_regression_estimator(people):
    w, _, _, age = people
    y = np.random.default_rng(0).normal(size=len(w)) + 0.1 * age
    columns, totals = np.column_stack([np.ones(len(w)), age]), np.array([500.0, 24_000.0])
    found = calibrate(w, columns, totals)
    slopes = np.linalg.solve(columns.T @ (columns * w[:, None]), columns.T @ (w * y))
    expected = w @ y + (totals - w @ columns) @ slopes
    assert_allclose(found.weights @ y, expected, rtol=1e-10)
    assert found.n_iter <= 2


@given(
    st.sampled_from(["linear", "raking", "logit"]), st.floats(1e-3, 1e4), st.floats(-1e3, 1e3),
    st.integers(0, 5),
)  # fmt: skip
@settings(max_examples=40)
def test_units_of_columns_and_order_of_rows_do_not_matter(distance, unit, shift, seed):
    rng = np.random.default_rng(seed)
    w, x = rng.uniform(1, 2, 50), rng.normal(size=50)
    total = w.sum()
    bounds = (0.2, 4.0) if distance == "logit" else None
    plain = calibrate(
        w, np.column_stack([np.ones(50), x]), [total, w @ x + 0.1 * total],
        distance=distance, bounds=bounds,
    )  # fmt: skip
    order = rng.permutation(50)
    moved = np.column_stack([unit * x + shift, np.full(50, unit)])[order]
    wanted = [unit * (w @ x + 0.1 * total) + shift * total, unit * total]
    other = calibrate(w[order], moved, wanted, distance=distance, bounds=bounds)
    tolerance = 1e-6 * (1 + abs(shift) / unit)
    assert_allclose(other.weights, plain.weights[order], rtol=min(tolerance, 1e-2))


def test_weights_that_meet_the_totals_stay_as_they_are(people):
    w, _, _, age = people
    columns = np.column_stack([np.ones(len(w)), age])
    for distance in ("linear", "raking"):
        found = calibrate(w, columns, w @ columns, distance=distance)
        assert_array_equal(found.weights, w)
        assert found.n_iter == 0


def test_negative_weights_are_counted():
    x = np.array([0.0, 1.0, 2.0, 10.0])
    columns = np.column_stack([np.ones(4), x])
    found = calibrate(np.ones(4), columns, [4.0, 1.0])
    assert_allclose(found.weights @ columns, [4.0, 1.0])
    assert found.n_negative == int((found.weights < 0).sum()) == 1
    assert calibrate(np.ones(4), columns, [4.0, 1.0], distance="raking").n_negative == 0


@pytest.mark.parametrize("distance", ["linear", "raking", "logit"])
def test_rows_of_weight_0_change_no_other_weight(distance):
    columns = np.array([[1, 0], [1, 1], [1, 2], [1, 1e6]])
    bounds = (0.2, 4.0) if distance == "logit" else None
    told = {"totals": [3, 3.5], "distance": distance, "bounds": bounds}
    found = calibrate([1, 1, 1, 0], columns, **told)
    assert_allclose(found.weights[:3], calibrate(np.ones(3), columns[:3], **told).weights)
    assert found.weights[3] == 0
    assert_array_equal(found.columns, columns)


def test_a_population_a_million_times_the_sample_is_reached():
    x = np.array([0.0, 1.0, 2.0, 3.0])
    columns, totals = np.column_stack([np.ones(4), x]), [4e6, 7e6]
    found = calibrate(np.ones(4), columns, totals, distance="raking")
    assert_allclose(found.weights @ columns, totals, rtol=1e-9)
    assert (found.weights > 0).all()


# Errors -------------------------------------------------------------------------------------


def test_what_cannot_be_met_is_named():
    codes = (["a", "a", "b", "b"], {"a": 10, "b": 10})
    same = (["x", "x", "y", "y"], {"x": 12, "y": 8})
    margins = read_margins({"kind": codes, "twin": same})
    with pytest.raises(MethodError, match="kind: b wanted 10, reached") as caught:
        rake(np.ones(4), margins, max_iter=50)
    assert "50 sweeps" in str(caught.value)
    columns, totals, names = margin_columns(margins)
    for distance, bounds in (("linear", None), ("raking", None), ("logit", (0.1, 9.0))):
        with pytest.raises(MethodError, match=r"wanted .*, reached"):
            calibrate(np.ones(4), columns, totals, distance=distance, bounds=bounds, names=names)
    with pytest.raises(MethodError, match="age wanted 100, reached"):
        calibrate(
            np.ones(3), [[1, 20], [1, 30], [1, 40]], [3, 100],
            distance="logit", bounds=(0.9, 1.1), names=["people", "age"],
        )  # fmt: skip
    with pytest.raises(MethodError, match="column 2 wanted 5, reached 0"):
        calibrate(np.ones(3), [[1, 0], [1, 0], [1, 0]], [3, 5])


def test_every_problem_of_margins_is_said_at_once():
    with pytest.raises(DataError) as caught:
        read_margins(
            {
                "kind": (["a", "b", None, "c"], {"a": 10, "b": 5, "d": 7}),
                "size": ([1.0, 2.0, 2.0, 1.0], {"1": 30, "2": 0}),
                "twice": ([1, 1, 1, 1], {1: 5, 1.0 + 1e-300: 5} | {"1": 22}),
            }
        )
    told = str(caught.value)
    assert "5 problems in the margins" in told
    assert "kind: 1 of 4 rows have no category (first rows 3)" in told
    assert "kind: 1 rows are in categories without a population (c); there are a, b, d" in told
    assert "kind: the population has categories without a respondent (d 7)" in told
    assert "size: populations must be positive, got 2 0" in told
    assert "twice: the population names 1 more than once" in told


def test_margins_of_different_populations():
    with pytest.raises(DataError, match=r"different populations \(kind 15, size 16\)"):
        read_margins({"kind": (["a", "b"], {"a": 10, "b": 5}), "size": ([1, 2], {1: 8, 2: 8})})


def test_rows_of_weight_0_need_no_category_and_keep_their_weight():
    (one,) = read_margins({"kind": (["a", "b", None], {"a": 10, "b": 5})}, weights=[1, 1, 0])
    assert_allclose(poststratify([1, 1, 0], one).weights, [10, 5, 0])
    with pytest.raises(MethodError, match=r"1 categories have no row of positive .* \(kind: b\)"):
        poststratify([1, 0, 1], one)
    with pytest.raises(MethodError, match="kind: b"):
        rake([1, 0, 1], [one])


def test_categories_are_the_same_if_they_read_the_same():
    (one,) = read_margins({"size": ([1, 2.0, "1"], {"1": 2, 2: 1})})
    assert_array_equal(one.codes, [0, 1, 0])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"distance": "liner"}, "Did you mean 'linear'"),
        ({"bounds": (0.5, 2)}, "'logit' needs them"),
        ({"distance": "logit"}, "'logit' needs them"),
        ({"distance": "logit", "bounds": (1.2, 2)}, r"must lie in \[0, 1\)"),
    ],
)
def test_options_that_do_not_fit(options, told):
    with pytest.raises(SpecError, match=told):
        calibrate(np.ones(2), np.ones((2, 1)), [2], **options)


def test_numbers_that_do_not_fit():
    with pytest.raises(DataError) as caught:
        calibrate([1, -1], [[1, np.nan], [1, 2]], [2, np.inf], names=["people", "age"])
    told = str(caught.value)
    assert "age: 1 of 2 rows have no value" in told
    assert "age: its total is missing" in told
    assert "weights: 1 of 2 are missing, infinite or negative" in told
    with pytest.raises(DataError, match="do not fit"):
        calibrate([1, 1], [[1], [1]], [2, 3])
    with pytest.raises(DataError, match="do not fit"):
        calibrate([1, 1], np.ones((2, 0)), [])
    with pytest.raises(DataError, match="all are 0"):
        calibrate([0, 0], [[1], [1]], [2])
    with pytest.raises(SpecError, match="name at least one"):
        rake([1, 1], [])


# Standard errors ------------------------------------------------------------------------------


def design_of(people) -> Design:
    w = people[0]
    psu = np.arange(len(w)) // 4
    return Design.from_labels(len(w), weights=w, strata=psu // 10, stages=[psu])


def test_what_the_totals_explain_has_no_error(people, margins):
    w, _, _, age = people
    columns, totals, _ = margin_columns(margins)
    columns, totals = np.column_stack([columns, age]), np.append(totals, 1000 * age.mean())
    for distance in ("linear", "raking"):
        found = calibrate(w, columns, totals, distance=distance)
        explained = columns @ np.arange(1, columns.shape[1] + 1)
        cov = calibrated_covariance(found.weights * explained, design_of(people), found)
        assert_allclose(cov / (found.weights @ explained) ** 2, 0, atol=1e-20)


def test_an_intercept_alone_is_a_ratio_estimator(people):
    """Weights scaled to a known population: the total is N times the mean."""
    w, _, _, age = people
    design = design_of(people)
    found = calibrate(w, np.ones((len(w), 1)), [1000.0])
    cov = calibrated_covariance(found.weights * age, design, found)
    mean = w @ age / w.sum()
    expected = linearised_covariance(w * (age - mean) / w.sum(), design) * 1000**2
    assert_allclose(cov, expected, rtol=1e-10)


@pytest.mark.parametrize("method", ["poststratify", "rake", "linear", "raking"])
def test_errors_are_near_those_of_the_jackknife_that_calibrates_each_replicate(
    people, margins, method
):
    w, _, _, age = people
    design = design_of(people)
    y = age + 10 * margins[0].codes + 5 * margins[1].codes

    def weights(base):
        if method == "poststratify":
            return poststratify(base, margins[0])
        if method == "rake":
            return rake(base, margins)
        columns, totals, _ = margin_columns(margins)
        return calibrate(base, columns, totals, distance=method)

    found = weights(w)
    cov = calibrated_covariance(found.weights * y, design, found)
    reps = replicate_weights(design, "jkn")
    each = [[weights(w * m[reps.psu]).weights @ y] for m in reps.multipliers]
    jackknife = replicate_covariance(each, [found.weights @ y], reps)
    assert_allclose(cov, jackknife, rtol=0.06)
    assert cov < 0.5 * linearised_covariance(found.weights * y, design)


def test_residuals_of_margin_means_belong_to_raking(people, margins):
    raked, posted = rake(people[0], margins), poststratify(people[0], margins[0])
    with pytest.raises(SpecError, match="for raked weights"):
        posted.residuals(people[3], method="margin_means")
    with pytest.raises(SpecError, match="Did you mean 'regression'"):
        raked.residuals(people[3], method="regresion")


def test_both_kinds_of_residuals_agree_if_weights_were_equal(people, margins):
    raked = rake(np.ones(len(people[0])), margins)
    scores = raked.weights * people[3]
    found = raked.residuals(scores)
    assert_allclose(raked.residuals(scores, method="margin_means"), found, atol=1e-6)
    other = rake(people[0], margins)
    one, two = (other.residuals(other.weights * people[3], method=m) for m in
                ("regression", "margin_means"))  # fmt: skip
    assert np.abs(one - two).max() > 0.1


def stratified_errors(runs: int, n: tuple[int, int]) -> tuple[float, float]:
    """Mean standard errors over the true one, by regression and by margin means.

    Weights are in the ratio of 1 to 9, and categories differ in ways that the two strata do
    not share.
    """
    rng = np.random.default_rng(1)
    size = 20_000
    stratum = (rng.random(size) < 0.5).astype(int)
    a = (rng.random(size) < np.where(stratum == 0, 0.35, 0.6)).astype(int)
    b = rng.integers(0, 3, size)
    y = np.where(stratum == 0, 8 * a + b, 5 * b - 4 * a) + rng.normal(size=size) * 3
    inside = [np.flatnonzero(stratum == h) for h in (0, 1)]
    counts = [{k: float((x == k).sum()) for k in np.unique(x)} for x in (a, b)]
    base = np.repeat([len(inside[h]) / n[h] for h in (0, 1)], n)
    design = Design.from_labels(sum(n), weights=base, strata=np.repeat([0, 1], n))
    estimates, errors = [], []
    for _ in range(runs):
        rows = np.concatenate([rng.choice(inside[h], n[h], replace=False) for h in (0, 1)])
        margins = read_margins({"a": (a[rows], counts[0]), "b": (b[rows], counts[1])})
        found = rake(base, margins)
        mean = found.weights @ y[rows] / size
        scores = found.weights * (y[rows] - mean) / size
        estimates.append(mean)
        errors.append(
            [
                calibrated_covariance(scores, design, found, method=method)[0, 0] ** 0.5
                for method in ("regression", "margin_means")
            ]
        )
    first, second = np.mean(errors, axis=0) / np.std(estimates)
    return float(first), float(second)


def test_errors_after_raking_are_right_where_those_of_margin_means_are_not():
    ours, margin_means = stratified_errors(300, (540, 60))
    assert abs(ours - 1) < 0.13  # three simulation errors of a standard deviation
    assert margin_means > 1.25


@pytest.mark.slow
def test_errors_after_raking_in_many_samples():
    ours, margin_means = stratified_errors(4000, (540, 60))
    assert abs(ours - 1) < 0.04
    assert 1.4 < margin_means < 1.53


def test_effect_of_unequal_weights():
    w = np.random.default_rng(0).uniform(1, 5, 50)
    assert_allclose(kish_effect(w), 1 + w.var() / w.mean() ** 2)
    assert kish_effect(np.append(w, 0.0)) == kish_effect(w)
    with pytest.raises(MethodError, match="sum to 0"):
        kish_effect([0.0, 0.0])
