"""Intraclass correlations and agreement within groups: published values, exact cases."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from lgpi_research.errors import MethodError
from lgpi_research.methods.groups import (
    average_deviation,
    group_reliability,
    one_way,
    r_wg,
    uniform_variance,
)
from lgpi_research.methods.icc import (
    agreement_interval,
    intraclass,
    mean_squares,
    mixed_squares,
    spearman_brown,
)

# Shrout and Fleiss (1979): six units, four judges.
PUBLISHED = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]],
    dtype=float,
)


def by_name(table, level=0.95):
    return {form.name: form for form in intraclass(mean_squares(table), level=level)}


def simulate(rng, n, k, unit=1.0, coder=0.5, error=1.0):
    parts = (rng.normal(size=(n, 1)) * unit, rng.normal(size=(1, k)) * coder)
    return parts[0] + parts[1] + rng.normal(size=(n, k)) * error


def test_the_six_forms_are_those_that_shrout_and_fleiss_published():
    found = [round(form.estimate, 2) for form in intraclass(mean_squares(PUBLISHED))]
    assert found == [0.17, 0.29, 0.71, 0.44, 0.62, 0.91]
    names = [form.alias for form in intraclass(mean_squares(PUBLISHED))]
    assert names == ["ICC(1,1)", "ICC(2,1)", "ICC(3,1)", "ICC(1,k)", "ICC(2,k)", "ICC(3,k)"]


def test_mean_squares_are_those_of_a_regression_on_indicators():
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    unit, coder = np.indices(PUBLISHED.shape)
    data = pd.DataFrame({"y": PUBLISHED.ravel(), "u": unit.ravel(), "c": coder.ravel()})
    table = anova_lm(ols("y ~ C(u) + C(c)", data).fit())["mean_sq"]
    found = mean_squares(PUBLISHED)
    assert_allclose([found.units, found.coders, found.residual], table.to_numpy())


def test_consistency_of_the_mean_is_alpha():
    k = PUBLISHED.shape[1]
    total = PUBLISHED.sum(axis=1).var(ddof=1)
    alpha = k / (k - 1) * (1 - PUBLISHED.var(axis=0, ddof=1).sum() / total)
    assert_allclose(by_name(PUBLISHED)["ICC(C,k)"].estimate, alpha)


def test_a_coders_shift_changes_agreement_but_not_consistency():
    shifted = PUBLISHED + np.array([0, 0, 0, 5.0])
    before, after = by_name(PUBLISHED), by_name(shifted)
    assert_allclose(before["ICC(C,1)"].estimate, after["ICC(C,1)"].estimate)
    assert after["ICC(A,1)"].estimate < before["ICC(A,1)"].estimate
    changed = by_name(100 - 3 * PUBLISHED)
    for name, form in before.items():
        assert_allclose(
            [form.estimate, form.ci_low, form.ci_high, form.p_value],
            [changed[name].estimate, changed[name].ci_low, changed[name].ci_high,
             changed[name].p_value],
        )  # fmt: skip


def test_the_order_of_units_and_coders_does_not_matter():
    rng = np.random.default_rng(1)
    shuffled = rng.permutation(rng.permutation(PUBLISHED), axis=1)
    for one, other in zip(
        intraclass(mean_squares(PUBLISHED)), intraclass(mean_squares(shuffled)), strict=True
    ):
        assert_allclose([one.estimate, one.ci_low], [other.estimate, other.ci_low])


def test_full_agreement_is_one_with_certainty():
    for form in intraclass(mean_squares(np.repeat([[0.1], [0.2], [0.7]], 3, axis=1))):
        assert (form.estimate, form.ci_low, form.ci_high, form.p_value) == (1, 1, 1, 0)


def test_units_that_do_not_differ_have_no_correlation():
    for table in ([[1, 2], [1, 2], [1, 2]], [[1, 2], [2, 1]]):
        with pytest.raises(MethodError, match="units do not differ"):
            intraclass(mean_squares(table))


def test_a_mean_of_ratings_that_oppose_each_other_has_no_lowest_reliability():
    # One rating at or below -1/(k - 1) would give the mean a reliability of plus infinity and less.
    assert_allclose(
        spearman_brown([-0.6, -0.5, -0.4, 0.5, np.nan], 3), [-np.inf] * 2 + [-6, 0.75, np.nan]
    )
    opposed = [[1, 3.1, 3], [2, 2, 1], [3, 1, 2], [2, 2.2, 2]]
    crossed = [[1, 1], [2, 1], [1, 2], [2, 2]]
    flat = [[1, 3], [2, 2], [3, 1], [2, 2]]
    for table in (opposed, crossed, flat):
        for form in intraclass(mean_squares(table)):
            assert form.ci_low <= form.estimate <= form.ci_high, form.name


def test_an_interval_ends_where_the_test_is_just_significant():
    form = by_name(PUBLISHED, level=0.9)["ICC(1)"]
    k, n = 4, 6
    ratio = 1 + k * form.ci_low / (1 - form.ci_low)  # of expected mean squares at the lower end
    assert_allclose(stats.f.sf(form.f / ratio, n - 1, n * (k - 1)), 0.05)


def test_units_without_every_rating_are_set_aside_and_counted():
    table = PUBLISHED.copy()
    table[2, 1] = np.nan
    found = mean_squares(table)
    assert found.n_dropped == 1
    assert found.units == mean_squares(np.delete(PUBLISHED, 2, axis=0)).units


def test_restricted_likelihood_without_gaps_is_the_analysis_of_variance():
    table = simulate(np.random.default_rng(2), 30, 5)
    exact, found = mean_squares(table), mixed_squares(table)
    for name in ("units", "coders", "residual", "within"):
        assert_allclose(getattr(found, name), getattr(exact, name), rtol=1e-6)


def test_restricted_likelihood_with_gaps_is_at_its_maximum():
    rng = np.random.default_rng(3)
    table = simulate(rng, 15, 4, coder=2.0)
    table[rng.uniform(size=table.shape) < 0.25] = np.nan
    found = mixed_squares(table)
    n, k = found.n_units, found.n_coders
    best = np.array(
        [(found.units - found.residual) / k, (found.coders - found.residual) / n, found.residual]
    )
    unit, coder = (index[~np.isnan(table)] for index in np.indices(table.shape))
    y = table[~np.isnan(table)]

    def likelihood(variances):
        """Return the restricted likelihood, written with the whole covariance matrix."""
        a, b, c = variances
        matrix = a * (unit[:, None] == unit) + b * (coder[:, None] == coder) + c * np.eye(len(y))
        inverse = np.linalg.inv(matrix)
        mean = inverse.sum(axis=0) @ y / inverse.sum()
        rest = (y - mean) @ inverse @ (y - mean)
        return -0.5 * (np.linalg.slogdet(matrix)[1] + np.log(inverse.sum()) + rest)

    for i in range(3):
        for factor in (0.99, 1.01):
            moved = best.copy()
            moved[i] *= factor
            assert likelihood(moved) < likelihood(best)


def test_a_variance_may_be_estimated_as_zero():
    rng = np.random.default_rng(4)
    table = rng.normal(size=(20, 4))
    table -= table.mean(axis=0)  # coders do not differ at all
    found = mixed_squares(table)
    assert found.coders == pytest.approx(found.residual, rel=1e-6)


def test_groups_of_equal_size_have_the_one_way_icc():
    table = simulate(np.random.default_rng(5), 12, 4)
    found = one_way(table.ravel(), np.repeat(np.arange(12), 4))
    forms = by_name(table)
    assert_allclose(found.icc1, forms["ICC(1)"].estimate)
    assert_allclose(found.icc2, forms["ICC(k)"].estimate)
    assert_allclose(spearman_brown(found.icc1, 4), found.icc2)
    means = group_reliability(table.ravel(), np.repeat(np.arange(12), 4))
    assert_allclose(means.reliability, found.icc2, rtol=1e-6)
    reference = stats.f_oneway(*table)
    assert_allclose([found.f, found.p_value], [reference.statistic, reference.pvalue])


def test_the_size_of_an_average_group_by_hand():
    # Sizes 1, 2, 3: (6 - 14/6)/2 = 11/6. Means 1, 3 and 5 about 11/3; 4 within, on 3 df.
    values, groups = [1, 2, 4, 4, 5, 6], list("abbccc")
    between = (1 * (1 - 11 / 3) ** 2 + 2 * (3 - 11 / 3) ** 2 + 3 * (5 - 11 / 3) ** 2) / 2
    within = 4 / 3
    for size, m in (("mean", 2), ("unbiased", 11 / 6)):
        found = one_way(values, groups, size=size)
        assert_allclose(found.icc1, (between - within) / (between + (m - 1) * within))


def test_unequal_groups_are_recovered_from_simulation():
    rng = np.random.default_rng(6)
    sizes = rng.integers(2, 40, size=3000)
    groups = np.repeat(np.arange(3000), sizes)
    values = rng.normal(size=3000)[groups] * 0.5 + rng.normal(size=len(groups))
    assert group_reliability(values, groups).icc == pytest.approx(0.2, abs=0.02)
    assert one_way(values, groups, size="unbiased").icc1 == pytest.approx(0.2, abs=0.02)


def test_the_null_variance_of_a_scale_is_that_of_its_options():
    assert uniform_variance(7) == pytest.approx(np.arange(7).var())


def test_agreement_within_groups_by_hand():
    values = np.array([4, 4, 5, 1, 3, 5, 2.0])
    groups = np.array(["a", "a", "a", "b", "b", "b", "c"])
    found = r_wg(values, groups, null_variance=2)
    assert_allclose(found[:2], [1 - np.var([4, 4, 5], ddof=1) / 2, 0])
    assert np.isnan(found[2])
    spread = average_deviation(values, groups, centre="median")
    assert_allclose(spread[:2], [1 / 3, 4 / 3])
    items = np.column_stack([values, 6 - values])
    x = found[0]
    assert_allclose(r_wg(items, groups, null_variance=2)[0], 2 * x / (1 + x))


def test_members_with_a_missing_answer_are_set_aside():
    values, groups = np.array([1, 2, np.nan, 4, 5.0]), np.array([1, 1, 1, 2, 2])
    kept = ~np.isnan(values)
    assert one_way(values, groups).n_dropped == 1
    assert one_way(values, groups).icc1 == one_way(values[kept], groups[kept]).icc1
    assert_allclose(
        r_wg(values, groups, null_variance=2), r_wg(values[kept], groups[kept], null_variance=2)
    )


def test_what_has_no_answer_says_why():
    with pytest.raises(MethodError, match="do not vary"):
        mean_squares(np.ones((4, 3)))
    with pytest.raises(MethodError, match="do not vary"):
        mixed_squares(np.ones((4, 3)))
    with pytest.raises(MethodError, match="2 coders are needed"):
        mean_squares(np.ones((4, 1)))
    with pytest.raises(MethodError, match="need 2 of each"):
        mixed_squares([[1, np.nan], [np.nan, 2]])
    with pytest.raises(MethodError, match="one member each"):
        one_way([1, 2, 3], [1, 2, 3])
    with pytest.raises(MethodError, match="there is 1 with an answer"):
        one_way([1, 2, np.nan], [1, 1, 2])
    with pytest.raises(MethodError, match="do not vary"):
        group_reliability([1, 1, 1, 1], [1, 1, 2, 2])
    with pytest.raises(MethodError, match="above 0"):
        r_wg([1, 2], [1, 1], null_variance=0)
    with pytest.raises(MethodError, match="at least 2 options"):
        uniform_variance(1)


@pytest.mark.slow
def test_intervals_cover_the_true_correlation():
    """Coverage of 95 % intervals: 30 units, 6 coders, all variances known."""
    units, coders, error = 1.0, 0.5, 1.0
    whole = units**2 + coders**2 + error**2
    true = {
        "ICC(A,1)": units**2 / whole,
        "ICC(C,1)": units**2 / (units**2 + error**2),
        "ICC(A,k)": float(spearman_brown(units**2 / whole, 6)),
    }
    hits, runs = dict.fromkeys(true, 0), 2500
    for task in range(runs):
        forms = by_name(simulate(np.random.default_rng([8, task]), 30, 6, units, coders, error))
        for name, value in true.items():
            hits[name] += forms[name].ci_low <= value <= forms[name].ci_high
    for name, count in hits.items():
        assert 0.935 <= count / runs <= 0.965, name


def test_degrees_of_freedom_are_taken_at_the_estimate():
    squares = mean_squares(PUBLISHED)
    form = by_name(PUBLISHED)["ICC(A,1)"]
    assert agreement_interval(squares) == agreement_interval(squares, at=form.estimate)
    assert agreement_interval(squares) != agreement_interval(squares, at=0.9)
