from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import optimize

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.latent.fit import fit_model, fit_moments
from lgpi_research.methods.latent.model import group_models
from lgpi_research.methods.latent.modification import modification_indices
from lgpi_research.methods.latent.normal import NormalModel
from lgpi_research.methods.latent.patterns import likelihood, sample_of_rows, saturate
from lgpi_research.methods.latent.scores import factor_scores
from lgpi_research.methods.latent.solution import compare_fits
from lgpi_research.methods.latent.syntax import parse_model
from lgpi_research.methods.latent.table import build_table

NAMES = ["x1", "x2", "x3", "x4", "x5", "x6"]
TWO = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6"
LOAD = np.array([1.0, 0.8, 0.6, 1.0, 0.7, 0.9])


def answers(seed: int = 0, n: int = 400, heavy: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    factors = rng.multivariate_normal([0, 0], [[1, 0.4], [0.4, 0.8]], n)
    error = rng.normal(size=(n, 6))
    if heavy:
        factors, error = factors * rng.exponential(size=(n, 1)), error**3 / 3
    return factors[:, [0, 0, 0, 1, 1, 1]] * LOAD + error * 0.7 + [1, 2, 3, 4, 5, 6]


def gaps(seed: int = 0, n: int = 400) -> np.ndarray:
    table = answers(seed, n)
    rng = np.random.default_rng(seed + 1)
    table[(table[:, [0]] > 1.5) & (rng.random((n, 6)) < 0.3) & (np.arange(6) > 0)] = np.nan
    return table


def test_population_moments_are_recovered_exactly():
    load = np.zeros((6, 2))
    load[:3, 0], load[3:, 1] = LOAD[:3], LOAD[3:]
    matrix = load @ np.array([[1, 0.4], [0.4, 0.8]]) @ load.T + 0.5 * np.eye(6)
    fit = fit_moments(TWO, matrix, 300, NAMES)
    assert_allclose(fit.estimates[:6], LOAD, rtol=1e-7)
    assert_allclose(fit.value("f ~~ g"), 0.4, rtol=1e-7)
    assert fit.measures.test.statistic < 1e-8
    assert fit.measures.cfi == 1.0
    assert fit.improper == ()


@pytest.mark.parametrize("missing", ["listwise", "fiml"])
def test_slopes_and_information_are_those_of_differences(missing):
    sample = sample_of_rows(gaps(), missing=missing)
    model = TWO + "\nx1 ~~ x4\ng ~ f\nx3 ~ x6"
    table = build_table(parse_model(model), NAMES, means=True)
    normal = NormalModel(group_models(table), (sample,), table.n_free, True)
    theta = np.random.default_rng(3).uniform(0.4, 0.9, table.n_free)
    value, slope, information = normal.terms(theta)
    assert np.isfinite(value)
    assert_allclose(
        slope, optimize.approx_fprime(theta, lambda t: normal.terms(t)[0], 1e-7), atol=2e-5
    )
    assert np.linalg.eigvalsh(information)[0] > 0
    assert_allclose(slope, normal.slope(theta), rtol=1e-12)


def test_unit_order_and_identification_do_not_change_the_fit():
    table = answers()
    one = fit_model(TWO, table, NAMES)
    order = [4, 2, 0, 5, 3, 1]
    other = fit_model(TWO, table[::-1][:, order] * 10 + 3, [NAMES[i] for i in order])
    unit = fit_model(TWO, table, NAMES, unit_factors=True)
    for fit in (other, unit):
        assert_allclose(fit.measures.test.statistic, one.measures.test.statistic, rtol=1e-7)
        assert_allclose(fit.measures.srmr, one.measures.srmr, rtol=1e-5)
        assert_allclose(fit.std_all[:6], one.std_all[:6], rtol=1e-5)
    assert_allclose(unit.estimates[:6], one.std_lv[:6], rtol=1e-6)


@pytest.mark.parametrize("missing", ["listwise", "fiml"])
def test_very_different_units_make_no_difference(missing):
    size = 10.0 ** np.array([-4, 3, 0, 5, -2, 1])
    one = fit_model(TWO, gaps(), NAMES, missing=missing, estimator="MLR")
    other = fit_model(TWO, gaps() * size, NAMES, missing=missing, estimator="MLR")
    assert_allclose(other.std_all[:6], one.std_all[:6], rtol=1e-5)
    assert_allclose(other.z[1:3], one.z[1:3], rtol=1e-4)
    tests = [fit.measures.scaled.test for fit in (one, other)]
    assert_allclose(tests[1].statistic, tests[0].statistic, rtol=1e-5)


def test_moments_suffice_and_complete_answers_need_no_patterns():
    table = answers()
    rows = fit_model(TWO, table, NAMES, means=True)
    sums = fit_moments(
        TWO, np.cov(table.T, bias=True), len(table), NAMES, mean=table.mean(axis=0), means=True
    )
    full = fit_model(TWO, table, NAMES, missing="fiml")
    for other in (sums, full):
        assert_allclose(other.estimates, rows.estimates, rtol=1e-9, atol=1e-12)
        assert_allclose(other.measures.log_likelihood, rows.measures.log_likelihood, rtol=1e-12)


def test_incomplete_moments_are_a_maximum_of_the_likelihood():
    sample = sample_of_rows(gaps(), missing="fiml")
    covariance, mean = saturate(sample)
    here = likelihood(sample, covariance, mean)
    assert_allclose(here.covariance, 0, atol=1e-7)
    assert_allclose(here.mean, 0, atol=1e-7)


def test_fiml_removes_the_bias_of_answers_missing_by_what_is_seen():
    table = gaps(5, 20_000)
    full = fit_model(TWO, table, NAMES, missing="fiml")
    part = fit_model(TWO, table, NAMES, means=True)
    assert abs(full.value("x2 ~1") - 2) < 0.03
    assert abs(part.value("x2 ~1") - 2) > 0.05


def test_the_same_answers_in_two_groups_are_invariant():
    table = answers()
    twice, code = np.vstack([table, table]), np.repeat([0, 1], len(table))
    single = fit_model(TWO, table, NAMES, means=True)
    free = fit_model(TWO, twice, NAMES, groups=code)
    strict = fit_model(
        TWO, twice, NAMES, groups=code, equal=["loadings", "intercepts", "residuals"]
    )
    assert_allclose(free.measures.test.statistic, 2 * single.measures.test.statistic, rtol=1e-8)
    assert_allclose(strict.measures.test.statistic, free.measures.test.statistic, rtol=1e-8)
    assert_allclose(free.measures.rmsea, single.measures.rmsea, rtol=1e-8)
    assert_allclose(strict.value("f ~1", 2), 0, atol=1e-7)
    change = compare_fits(free, strict)
    assert change.df == 4 + 6 - 2 + 6
    assert change.statistic < 1e-6


def test_a_shift_of_a_factor_is_found_and_partial_invariance_keeps_it():
    rng = np.random.default_rng(2)
    a, b = answers(1, 3000), answers(2, 3000)
    b = b + 0.5 * (LOAD * [1, 1, 1, 0, 0, 0])
    b[:, 1] += 1.0  # one intercept differs
    table, code = np.vstack([a, b]), np.repeat([0, 1], 3000)
    del rng
    equal = ["loadings", "intercepts"]
    whole = fit_model(TWO, table, NAMES, groups=code, equal=equal)
    top = modification_indices(whole)
    assert next(m for m in top if m.op == "~1" and m.equality).lhs == "x2"
    part = fit_model(TWO, table, NAMES, groups=code, equal=equal, partial=["x2 ~1"])
    assert abs(part.value("f ~1", 2) - 0.5) < 3 * 0.04
    assert abs(whole.value("f ~1", 2) - 0.5) > 0.15
    assert compare_fits(part, whole).p_value < 1e-10


def test_modification_index_is_close_to_the_fall_of_the_statistic():
    table = answers(3, 2000)
    table[:, 0] += 0.1 * table[:, 4]
    fit = fit_model(TWO, table, NAMES)
    top = modification_indices(fit)[0]
    assert (top.lhs, top.op, top.rhs) in {("x1", "~~", "x5"), ("g", "=~", "x1")}
    wider = fit_model(f"{TWO}\n{top.lhs} {top.op} {top.rhs}", table, NAMES)
    assert_allclose(top.index, compare_fits(wider, fit).statistic, rtol=0.1)
    assert_allclose(top.change, wider.value(f"{top.lhs} {top.op} {top.rhs}"), rtol=0.15)


def test_single_respondents_as_clusters_are_no_clusters_and_copies_add_nothing():
    table = answers(4, 300, heavy=True)
    plain = fit_model(TWO, table, NAMES, estimator="MLR", means=True)
    alone = fit_model(TWO, table, NAMES, estimator="MLR", clusters=np.arange(300))
    few = np.sqrt(300 / 299)
    assert_allclose(alone.std_errors, few * plain.std_errors, rtol=1e-10)
    assert_allclose(
        alone.measures.scaled.test.scaling, few**2 * plain.measures.scaled.test.scaling, rtol=1e-8
    )
    twice = np.vstack([table, table])
    pairs = fit_model(TWO, twice, NAMES, estimator="MLR", clusters=np.tile(np.arange(300), 2))
    assert_allclose(pairs.std_errors, few * plain.std_errors, rtol=1e-5, atol=1e-12)
    assert_allclose(
        pairs.measures.scaled.test.statistic * few**2,
        plain.measures.scaled.test.statistic,
        rtol=1e-6,
    )


def test_normal_answers_need_no_scale():
    fit = fit_model(TWO, answers(0, 20_000), NAMES, estimator="MLR")
    plain = fit_model(TWO, answers(0, 20_000), NAMES)
    assert abs(fit.measures.scaled.test.scaling - 1) < 0.03
    assert_allclose(fit.std_errors, plain.std_errors, rtol=0.04)


def test_defined_parameters_and_their_errors():
    model = "f =~ x1 + a*x2 + b*x3\ng =~ x4 + x5 + x6\nratio := a / b\nsame := 2 * ratio"
    fit = fit_model(model, answers(), NAMES)
    a, b = fit.value("f =~ x2"), fit.value("f =~ x3")
    numbers = [next(r.free for r in fit.table.rows if r.label == name) for name in "ab"]
    slope = np.array([1 / b, -a / b**2])
    variance = slope @ fit.covariance[np.ix_(numbers, numbers)] @ slope
    assert_allclose(fit.value("ratio"), a / b)
    assert_allclose(fit.std_errors[-2:], np.sqrt(variance) * np.array([1, 2]))


def test_regression_on_observed_causes_is_least_squares():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    y = x @ [0.5, -0.3] + rng.normal(size=200)
    fit = fit_model("y ~ a + b", np.column_stack([y, x]), ["y", "a", "b"])
    centred = x - x.mean(axis=0)
    least = np.linalg.lstsq(centred, y - y.mean(), rcond=None)[0]
    assert_allclose(fit.estimates[:2], least, rtol=1e-8)
    assert fit.measures.n_free == 3
    left = y - y.mean() - centred @ least
    variance = np.mean(left**2)
    assert_allclose(fit.measures.log_likelihood, -100 * (np.log(2 * np.pi * variance) + 1))
    assert_allclose(fit.std_errors[:2] ** 2, np.diag(np.linalg.inv(centred.T @ centred)) * variance)


def test_scores_of_both_kinds():
    table = answers(0, 5000)
    fit = fit_model(TWO, table, NAMES, means=True)
    expected, unbiased = (factor_scores(fit, table, method=m) for m in ("regression", "bartlett"))
    assert_allclose(expected.mean(axis=0), 0, atol=1e-7)
    state = fit.states[0]
    load = state.paths[:6, 6:]
    exact = load @ np.array([[1.5, -0.5]]).T
    assert_allclose(
        factor_scores(fit, exact.T + state.mean, method="bartlett"), [[1.5, -0.5]], rtol=1e-9
    )
    assert (expected.var(axis=0) < np.diag(state.everywhere)[6:]).all()
    assert (unbiased.var(axis=0) > np.diag(state.everywhere)[6:]).all()
    holes = table[:2].copy()
    holes[0, 0] = holes[1, :] = np.nan
    found = factor_scores(fit, holes)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


def test_what_is_not_identified_is_named():
    with pytest.raises(MethodError, match="7 free parameters and the data only 6 moments"):
        fit_model("f =~ NA*x1 + x2 + x3", answers(), NAMES)
    with pytest.raises(MethodError, match="not identified") as caught:
        fit_model("f =~ NA*x1 + x2 + x3\ng =~ x4 + x5 + x6", answers(), NAMES)
    assert "f =~ x1" in str(caught.value)
    assert "g =~" not in str(caught.value)


def test_heywood_cases_are_named():
    matrix = np.array([[1.0, 0.9, 0.9], [0.9, 1.0, 0.7], [0.9, 0.7, 1.0]])
    fit = fit_moments("f =~ x1 + x2 + x3", matrix, 100, ["x1", "x2", "x3"])
    assert fit.improper[0].startswith("Heywood case: the variance x1 ~~ x1 is -0.157")


def test_bad_input():
    table = answers()
    with pytest.raises(SpecError, match="'ML' or 'MLR'"):
        fit_model(TWO, table, NAMES, estimator="GLS")
    with pytest.raises(SpecError, match="clusters need"):
        fit_model(TWO, table, NAMES, clusters=np.arange(400))
    with pytest.raises(MethodError, match="one cluster"):
        fit_model(TWO, table, NAMES, estimator="MLR", clusters=np.zeros(400))
    with pytest.raises(MethodError, match="5 respondents remain"):
        fit_model(TWO, table[:5], NAMES)
    with pytest.raises(MethodError, match="1 answers are infinite"):
        fit_model(TWO, np.where(table == table.max(), np.inf, table), NAMES)
    with pytest.raises(MethodError, match="do not vary: number 3 of 6"):
        fit_model(TWO, table * [1, 1, 0, 1, 1, 1], NAMES)
    copied = table.copy()
    copied[:, 1] = copied[:, 0]
    with pytest.raises(MethodError, match="not positive definite"):
        fit_model(TWO, copied, NAMES)
    apart = table.copy()
    apart[:200, 0] = apart[200:, 1] = np.nan
    with pytest.raises(MethodError, match="fewer than two respondents answered both"):
        fit_model(TWO, apart, NAMES, missing="fiml")
    with pytest.raises(MethodError, match="needs the means"):
        fit_moments("f =~ x1 + x2 + x3\nx1 ~ 1", np.eye(3), 100, ["x1", "x2", "x3"])
    unrelated = fit_model(TWO, table, NAMES)
    with pytest.raises(MethodError, match="same answers"):
        compare_fits(unrelated, fit_model(TWO, table[:300], NAMES))


def test_items_that_share_nothing_give_no_numbers():
    signs = np.array([[1.0, 0.5, 0.5], [0.5, 1.0, -0.5], [0.5, -0.5, 1.0]])
    with pytest.raises(MethodError):
        fit_moments(
            "f =~ x1 + x2 + x3",
            signs + np.eye(3) * 1e-3,
            200,
            ["x1", "x2", "x3"],
            unit_factors=True,
        )


@pytest.mark.slow
def test_intervals_hold_the_truth():
    hits = {"ML": 0, "MLR": 0}
    for task in range(300):
        for estimator in hits:
            fit = fit_model(
                TWO, answers(1000 + task, 300, heavy=estimator == "MLR"), NAMES, estimator=estimator
            )
            hits[estimator] += abs(fit.estimates[1] - 0.8) < 1.96 * fit.std_errors[1]
    assert 0.91 <= hits["ML"] / 300 <= 0.985
    assert 0.89 <= hits["MLR"] / 300 <= 0.985


def test_small_samples_end_at_a_maximum_or_give_no_numbers():
    names = [f"x{i}" for i in range(9)]
    model = "a =~ x0 + x1 + x2\nb =~ x3 + x4 + x5\nc =~ x6 + x7 + x8"
    ended = 0
    for seed in (9, 10, 20, 66, 81, 99, 102, 117):  # some need more than Fisher scoring
        rng = np.random.default_rng(seed)
        factors = rng.multivariate_normal(
            [0] * 3, [[1, 0.3, 0.5], [0.3, 1, 0.2], [0.5, 0.2, 1]], 50
        )
        load = rng.uniform(0.2, 0.9, 9)
        table = factors[:, np.repeat([0, 1, 2], 3)] * load
        table += rng.normal(size=(50, 9)) * np.sqrt(1 - load**2)
        try:
            fit = fit_model(model, table, names)
        except MethodError:
            continue
        ended += 1
        sample = sample_of_rows(table)
        normal = NormalModel(group_models(fit.table), (sample,), fit.table.n_free, False)
        slope = normal.slope(fit.theta)
        bend = normal.observed_information(fit.theta)
        assert np.linalg.eigvalsh(bend)[0] > 0
        assert slope @ np.linalg.solve(bend, slope) < 1e-12
    assert ended >= 4


def test_a_factor_of_factors_fits_like_three_factors():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(500, 1)) * 0.7 + rng.normal(size=(500, 3)) * 0.6
    table = np.repeat(factors, 3, axis=1) + rng.normal(size=(500, 9))
    names = [f"x{i}" for i in range(9)]
    first = "a =~ x0 + x1 + x2\nb =~ x3 + x4 + x5\nc =~ x6 + x7 + x8"
    one, other = (fit_model(m, table, names) for m in (first, f"{first}\ng =~ a + b + c"))
    assert_allclose(other.measures.test.statistic, one.measures.test.statistic, rtol=1e-7)
    assert other.measures.test.df == one.measures.test.df == 24


def test_index_of_an_equality_is_close_to_the_fall_of_the_statistic():
    a, b = answers(1, 2000), answers(2, 3000)
    b[:, 4] += 0.1
    table, code = np.vstack([a, b]), np.repeat([0, 1], [2000, 3000])
    equal = ["loadings", "intercepts"]
    whole = fit_model(TWO, table, NAMES, groups=code, equal=equal)
    found = [m for m in modification_indices(whole) if m.equality and (m.lhs, m.op) == ("x5", "~1")]
    part = fit_model(TWO, table, NAMES, groups=code, equal=equal, partial=["x5 ~1"])
    fall = compare_fits(part, whole).statistic
    assert fall > 10
    assert_allclose([m.index for m in found], fall, rtol=0.05)
    assert {m.group for m in found} == {1, 2}
