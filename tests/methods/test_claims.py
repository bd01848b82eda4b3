from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import integrate, optimize, stats

from lgpi_research.errors import MethodError
from lgpi_research.methods.claims import detectable_slope, equivalence, robustness_value
from lgpi_research.methods.regression import least_squares

# Equivalence


def test_the_two_one_sided_tests_agree_with_statsmodels():
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    rng = np.random.default_rng(0)
    for shift in (-0.4, 0.0, 0.1, 0.7):
        sample = rng.normal(shift, 1, 30)
        theirs = weightstats.DescrStatsW(sample).ttost_mean(-0.5, 0.5)[0]
        ours = equivalence(sample.mean(), sample.std(ddof=1) / math.sqrt(30), 29, 0.5)
        assert_allclose(ours.p_value, theirs)


finite = st.floats(-3, 3)
positive = st.floats(0.01, 3)


@given(finite, positive, st.floats(1.5, 200), positive, st.floats(0.6, 0.99))
def test_the_p_value_and_the_interval_give_one_verdict(estimate, std_error, df, bound, level):
    found = equivalence(estimate, std_error, df, bound, level)
    assume(abs(found.p_value - (1 - level)) > 1e-9)
    assert (found.verdict == "equivalent") == (found.p_value < 1 - level)
    assert (found.verdict == "larger") == (found.ci_low >= bound or found.ci_high <= -bound)


@given(finite, positive, st.floats(1.5, 200), positive)
def test_the_sign_and_the_unit_of_a_slope_do_not_matter_to_equivalence(estimate, error, df, bound):
    found = equivalence(estimate, error, df, bound)
    turned = equivalence(-estimate, error, df, bound)
    assert (turned.p_value, turned.verdict) == (found.p_value, found.verdict)
    assert (turned.ci_low, turned.ci_high) == (-found.ci_high, -found.ci_low)
    scaled = equivalence(8 * estimate, 8 * error, df, 8 * bound)
    assert (scaled.p_value, scaled.verdict) == (found.p_value, found.verdict)


def test_the_interval_of_equivalence_is_that_of_one_less_two_alpha():
    found = equivalence(0.3, 0.1, 12, 0.05, level=0.95)
    assert_allclose([found.ci_low, found.ci_high], stats.t.interval(0.90, 12, 0.3, 0.1))


def test_each_verdict_has_its_case():
    assert equivalence(0.0, 0.01, 30, 0.05).verdict == "equivalent"
    assert equivalence(0.0, 0.10, 30, 0.05).verdict == "undecided"
    assert equivalence(0.5, 0.01, 30, 0.05).verdict == "larger"
    assert equivalence(-0.5, 0.01, 30, 0.05).verdict == "larger"
    # Different from zero and still smaller than what matters: both are true at once.
    assert equivalence(0.02, 0.005, 30, 0.05).verdict == "equivalent"


def test_a_slope_at_the_bound_is_called_equivalent_in_one_case_of_twenty():
    rng = np.random.default_rng(0)
    n, draws = 12, 4000
    samples = rng.normal(0.05, 0.06, (draws, n))
    errors = samples.std(axis=1, ddof=1) / math.sqrt(n)
    wrong = sum(
        equivalence(mean, error, n - 1, 0.05).verdict == "equivalent"
        for mean, error in zip(samples.mean(axis=1), errors, strict=True)
    )
    assert wrong / draws <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)
    assert wrong / draws > 0.02


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0.1, 0.0, 5, 0.05), "std_error: must be a positive number, got 0.0"),
        ((0.1, math.nan, 5, 0.05), "std_error: must be a positive number, got nan"),
        ((0.1, 0.1, 0, 0.05), "df: must be positive, got 0"),
        ((0.1, 0.1, 5, 0.0), "the bound positive, got 0.1 and 0.0"),
        ((math.inf, 0.1, 5, 0.05), "the estimate must be finite"),
        ((0.1, 0.1, 5, 0.05, 95), "level: must lie between 0 and 1, got 95"),
    ],
)
def test_numbers_without_meaning_are_refused(numbers, message):
    with pytest.raises(MethodError, match=message):
        equivalence(*numbers)


# Detectable slope


def test_the_detectable_slope_of_a_known_variance_has_its_power():
    slope = detectable_slope(0.2, math.inf, level=0.9, power=0.7)
    other_side = stats.norm.cdf(-stats.norm.isf(0.05) - slope / 0.2)
    assert_allclose(stats.norm.sf(stats.norm.isf(0.05) - slope / 0.2), 0.7)
    assert other_side < 1e-3


@pytest.mark.parametrize("df", [4, 10, 60])
def test_the_detectable_slope_is_near_the_exact_noncentral_one(df):
    # The sum of two t quantiles approximates the root of the noncentral t distribution.
    def power(slope: float) -> float:
        def given_spread(chi: float) -> float:
            return float(
                stats.norm.sf(stats.t.isf(0.025, df) * chi / math.sqrt(df) - slope)
                * stats.chi.pdf(chi, df)
            )

        return integrate.quad(given_spread, 0, np.inf)[0]

    exact = optimize.brentq(lambda slope: power(slope) - 0.8, 1, 12)
    assert_allclose(detectable_slope(1.0, df), exact, rtol=0.06)


@given(positive, st.floats(1.5, 500))
def test_the_detectable_slope_grows_with_the_error_and_the_power(error, df):
    base = detectable_slope(error, df)
    assert_allclose(detectable_slope(2 * error, df), 2 * base)
    assert detectable_slope(error, df, power=0.9) > base
    assert detectable_slope(error, df, level=0.99) > base
    assert detectable_slope(error, 2 * df) < base


def test_a_power_beyond_one_is_refused():
    with pytest.raises(MethodError, match="power: must lie between 0 and 1, got 80"):
        detectable_slope(0.1, 10, power=80)


# Robustness value


def test_robustness_values_of_the_darfur_study_are_those_published():
    # Cinelli and Hazlett (2020), table 1: t = 4.18 on 783 degrees of freedom, partial R² of
    # 2.2 %, robustness values of 13.9 % and, at 5 %, of 7.6 %.
    t, df = 4.18, 783
    assert round(t**2 / (t**2 + df), 3) == 0.022
    assert round(robustness_value(t, df), 3) == 0.139
    assert round(robustness_value(t, df, alpha=0.05), 3) == 0.076


@given(st.floats(0.05, 40), st.floats(5, 2000), st.floats(0.1, 1))
def test_the_robustness_value_is_the_formula_of_the_paper(t, df, q):
    f2 = (q * t) ** 2 / df
    expected = 0.5 * (math.sqrt(f2**2 + 4 * f2) - f2)
    assert_allclose(robustness_value(t, df, q), expected, rtol=1e-6)
    assert robustness_value(-t, df, q) == robustness_value(t, df, q)


def test_a_slope_of_zero_needs_no_omitted_variable():
    assert robustness_value(0.0, 50) == 0.0
    assert robustness_value(1.5, 50, alpha=0.05) == 0.0


def test_the_robustness_value_lies_between_zero_and_one():
    assert 0 < robustness_value(1e-8, 1e6) < 1e-5
    assert 0.999 < robustness_value(1e6, 10) < 1


def study(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An outcome, a measure, and controls with their intercept."""
    rng = np.random.default_rng(seed)
    controls = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    measure = controls @ [0.3, 1.0, -0.5] + rng.normal(size=n)
    outcome = 0.6 * measure + controls @ [1.0, 0.4, 0.2] + rng.normal(size=n)
    return outcome, measure, controls


def left(y: np.ndarray, X: np.ndarray) -> np.ndarray:
    return y - X @ np.linalg.lstsq(X, y, rcond=None)[0]


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def confounder(
    outcome: np.ndarray, measure: np.ndarray, controls: np.ndarray, share_d: float, share_y: float
) -> np.ndarray:
    """A variable with exactly these partial R² with measure and outcome, against the slope."""
    d = left(measure, controls)
    e = left(outcome, np.column_stack([measure, controls]))
    free = np.random.default_rng(99).normal(size=len(d))
    u = unit(left(free, np.column_stack([d, e, controls])))
    sign = np.sign(d @ left(outcome, controls))
    along = math.sqrt((1 - share_d) * share_y)
    rest = math.sqrt((1 - share_d) * (1 - share_y))
    return math.sqrt(share_d) * unit(d) + sign * along * unit(e) + rest * u


def partial_r2(y: np.ndarray, z: np.ndarray, X: np.ndarray) -> float:
    return float(np.corrcoef(left(y, X), left(z, X))[0, 1] ** 2)


@pytest.mark.parametrize("q", [0.25, 1.0, 1.5])
def test_a_confounder_of_that_strength_takes_away_just_that_share_of_the_slope(q):
    y, d, X = study(3)
    fit = least_squares(y, np.column_stack([d, X]))
    t = fit.coef[0] / math.sqrt(fit.cov[0, 0])
    share = robustness_value(t, fit.df_resid, q)
    z = confounder(y, d, X, share, share)
    assert_allclose(partial_r2(d, z, X), share)
    assert_allclose(partial_r2(y, z, np.column_stack([d, X])), share)
    adjusted = least_squares(y, np.column_stack([d, z, X]))
    assert_allclose(adjusted.coef[0], (1 - q) * fit.coef[0], atol=1e-12)


def test_a_weaker_confounder_leaves_something_of_the_slope():
    y, d, X = study(3)
    fit = least_squares(y, np.column_stack([d, X]))
    share = robustness_value(fit.coef[0] / math.sqrt(fit.cov[0, 0]), fit.df_resid)
    rng = np.random.default_rng(0)
    for _ in range(50):
        z = confounder(y, d, X, *rng.uniform(0, share, 2))
        assert least_squares(y, np.column_stack([d, z, X])).coef[0] * fit.coef[0] > 0


def test_a_confounder_of_that_strength_takes_the_interval_just_to_zero():
    y, d, X = study(3)
    fit = least_squares(y, np.column_stack([d, X]))
    t = fit.coef[0] / math.sqrt(fit.cov[0, 0])
    share = robustness_value(t, fit.df_resid, alpha=0.05)
    assert 0 < share < robustness_value(t, fit.df_resid)
    z = confounder(y, d, X, share, share)
    adjusted = least_squares(y, np.column_stack([d, z, X]))
    p_value = 2 * stats.t.sf(
        abs(adjusted.coef[0]) / math.sqrt(adjusted.cov[0, 0]), adjusted.df_resid
    )
    assert_allclose(p_value, 0.05, rtol=1e-9)


@settings(max_examples=40)
@given(st.floats(2, 60), st.floats(4, 60), st.floats(0.001, 0.3))
def test_no_confounder_within_the_robustness_value_makes_the_slope_insignificant(t, df, alpha):
    share = robustness_value(t, df, alpha=alpha)
    assume(share > 0)
    f = t / math.sqrt(df)
    critical = stats.t.isf(alpha / 2, df - 1) / math.sqrt(df - 1)
    r = np.linspace(0, share, 201)
    # What is left of the lower end of the interval, for every pair of shares on a grid.
    end = (
        f * np.sqrt(1 - r[:, None])
        - np.sqrt(r[:, None] * r[None, :])
        - critical * np.sqrt(1 - r[None, :])
    )
    assert end.min() >= -1e-9
    assert end[-1].min() <= 1e-3 * f  # and on the edge of the square one reaches zero


def test_with_few_units_a_confounder_does_more_harm_by_explaining_less_of_the_score():
    t, df, alpha = 12.0, 5, 0.05
    f = t / math.sqrt(df)
    critical = stats.t.isf(alpha / 2, df - 1) / math.sqrt(df - 1)
    assert f * critical > 1
    share = robustness_value(t, df, alpha=alpha)
    of_score = share / (share + critical**2)
    assert of_score < share
    harm = math.sqrt(share * of_score) + critical * math.sqrt(1 - of_score)
    assert_allclose(harm, f * math.sqrt(1 - share))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((math.nan, 50), "t: must be finite, got nan"),
        ((2.0, 1), "df: must be finite and above 1, got 1"),
        ((2.0, 50, 0.0), "q: must be a positive number, got 0.0"),
        ((2.0, 50, 1.0, 5), "alpha: must lie between 0 and 1, or be None, got 5"),
    ],
)
def test_arguments_without_meaning_are_refused(numbers, message):
    with pytest.raises(MethodError, match=message):
        robustness_value(*numbers)


def test_every_wrong_argument_is_named_at_once():
    with pytest.raises(MethodError, match="4 problems in the robustness value"):
        robustness_value(math.inf, -1, 0.0, 2.0)
