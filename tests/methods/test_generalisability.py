"""Variance components: tables worked by hand, likelihood against analysis of variance, truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.methods import icc
from lgpi_research.methods.facets import parse_design
from lgpi_research.methods.generalisability import (
    combination_interval,
    expected_squares,
    mean_squares,
    square_weights,
    variance_components,
)

# Shrout and Fleiss (1979): six targets, four judges.
PUBLISHED = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]],
    dtype=float,
)


def study(table, text, **options):
    """Components of a complete table, an axis for each facet."""
    table = np.asarray(table, dtype=float)
    labels = [axis.ravel() for axis in np.indices(table.shape)]
    return variance_components(table.ravel(), labels, parse_design(text), **options)


def simulate(rng, text, sizes, variances):
    design = parse_design(text)
    table = np.zeros(sizes)
    for effect, variance in zip(design.effects, variances, strict=True):
        shape = [n if f in effect.facets else 1 for f, n in zip(design.facets, sizes, strict=True)]
        table = table + np.sqrt(variance) * rng.normal(size=shape)
    return table


def test_a_crossed_table_has_the_mean_squares_of_the_intraclass_correlations():
    found, squares = study(PUBLISHED, "target x judge"), icc.mean_squares(PUBLISHED)
    assert_allclose(found.squares, [squares.units, squares.coders, squares.residual])
    assert found.df.tolist() == [5, 3, 15]
    target = (squares.units - squares.residual) / 4
    judge = (squares.coders - squares.residual) / 6
    assert_allclose(found.estimates, [target, judge, squares.residual])
    variances = [2 * squares.units**2 / 7, 2 * squares.coders**2 / 5, 2 * squares.residual**2 / 17]
    by_hand = [(variances[0] + variances[2]) / 16, (variances[1] + variances[2]) / 36, variances[2]]
    assert_allclose(found.std_errors, np.sqrt(by_hand))
    assert_allclose(found.covariance[0, 1], variances[2] / 24)


def test_nested_persons_by_hand():
    # Two places, two persons in each, two items. Place means 2 and 6, person means 1, 3, 5, 7;
    # items differ by 2 everywhere but for one half more in the first cell.
    table = np.zeros((2, 2, 2))  # person, place, item
    table[:, 0] = [[0, 2], [2, 4]]
    table[:, 1] = [[4, 6], [6, 8]]
    table[0, 0] += [0.5, -0.5]
    found = study(table, "(person : place) x item")
    # Effects of the interaction: the 0.5 spreads as (1/4, 1/4, 1/2) of it.
    by_hand = {"place": 32.0, "item": 6.125, "person : place": 4.0,
               "place x item": 0.125, "(person x item) : place": 0.125}  # fmt: skip
    assert [e.label for e in found.design.effects] == list(by_hand)
    assert_allclose(found.squares, list(by_hand.values()))
    assert found.df.tolist() == [1, 1, 2, 1, 2]
    person = (4.0 - 0.125) / 2
    both = (0.125 - 0.125) / 2
    place = (32.0 - 4.0 - 0.125 + 0.125) / 4
    item = (6.125 - 0.125) / 4
    assert_allclose(found.estimates, [place, item, person, both, 0.125], atol=1e-14)


def test_expected_mean_squares_follow_the_rules_of_cornfield_and_tukey():
    design = parse_design("p x (i : d)")  # effects p, d, pd, i:d, pi:d
    p, i, d = 7, 3, 2
    repeats = [i * d, p * i, i, p, 1]
    expected = expected_squares(design, repeats)
    assert [e.label for e in design.effects] == ["p", "d", "p x d", "i : d", "(p x i) : d"]
    assert expected.tolist() == [
        [i * d, 0, i, 0, 1],
        [0, p * i, i, p, 1],
        [0, 0, i, 0, 1],
        [0, 0, 0, p, 1],
        [0, 0, 0, 0, 1],
    ]
    assert_allclose(square_weights(expected), np.linalg.inv(expected), atol=1e-15)


def test_mean_squares_add_up_and_are_those_of_a_regression():
    rng = np.random.default_rng(1)
    table = rng.normal(size=(3, 4, 2, 2))
    for text in ("a x b x c x d", "(a : b) x (c : d)", "a : (b x c) x d", "a : b : c : d"):
        squares, df = mean_squares(table, parse_design(text))
        assert df.sum() == table.size - 1
        assert_allclose(squares @ df, ((table - table.mean()) ** 2).sum())
    place = np.kron(np.eye(4), np.ones((3, 1)))  # persons in places, by least squares
    y = table[:, :, 0, 0].T.ravel()
    left = y - place @ np.linalg.lstsq(place, y, rcond=None)[0]
    squares, df = mean_squares(table[:, :, 0, 0], parse_design("person : place"))
    assert_allclose(squares[1], left @ left / 8)


def test_what_rounding_leaves_of_an_additive_table_is_no_variance():
    table = np.add.outer([0.1, 0.7, 1.3, 2.9], [0.0, 0.3, 1.1])
    found = study(table, "unit x coder")
    assert found.squares[2] == 0
    assert_allclose(found.estimates[0], np.var([0.1, 0.7, 1.3, 2.9], ddof=1))


def test_a_negative_estimate_is_reported_as_it_is():
    table = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]])
    found = study(table, "unit x coder")
    assert found.estimates[0] < 0
    assert found.variances[0] == 0
    assert (found.ci_low >= 0).all()
    assert study(table, "unit x coder", method="reml").estimates[0] == 0


@given(
    st.integers(0, 10_000), st.floats(-1e4, 1e4), st.floats(0.01, 100),
    st.sampled_from(["p x i x o", "(p : i) x o", "p : (i x o)", "p : i : o"]),
)  # fmt: skip
def test_order_labels_and_units_do_not_matter(seed, shift, scale, text):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(4, 3, 2))
    labels = [axis.ravel() for axis in np.indices(table.shape)]
    design, order = parse_design(text), rng.permutation(table.size)
    one = variance_components(table.ravel(), labels, design)
    names = [np.array([f"{7 - v}{'ab'[v % 2]}" for v in label])[order] for label in labels]
    other = variance_components(shift - scale * table.ravel()[order], names, design)
    size = scale**2
    assert_allclose(other.estimates, size * one.estimates, rtol=1e-6, atol=1e-9 * size)
    assert_allclose(other.ci_high, size * one.ci_high, rtol=1e-6)
    assert_allclose(other.covariance, size**2 * one.covariance, rtol=1e-6, atol=1e-9 * size**2)


@pytest.mark.parametrize(
    ("text", "sizes", "variances"),
    [
        ("p x i", (20, 4), [1, 0.5, 1]),
        ("(q : p) x i", (8, 12, 4), [0.5, 0.3, 0.5, 0.3, 1]),
        ("q : p", (5, 12), [0.7, 1]),
    ],
)
def test_restricted_likelihood_of_balanced_scores_is_the_analysis_of_variance(
    text, sizes, variances
):
    table = simulate(np.random.default_rng(5), text, sizes, variances)
    exact, found = study(table, text), study(table, text, method="reml")
    assert (exact.estimates > 0).all()
    assert (exact.method, found.method) == ("anova", "reml")
    for name in ("estimates", "squares", "df", "ci_low", "ci_high", "mean"):
        assert_allclose(getattr(found, name), getattr(exact, name), rtol=1e-5, err_msg=name)
    information = exact.expected @ found.covariance @ exact.expected.T  # of the mean squares
    assert_allclose(information, np.diag(2 * exact.squares**2 / exact.df), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("both", [0.3, 0.0])
def test_information_with_gaps_is_that_of_dense_matrices(both):
    rng = np.random.default_rng(8)
    table = simulate(rng, "(q : p) x i", (5, 6, 3), [0.5, 0.3, 0.5, both, 1])
    if not both:  # take out what places and items share by chance
        table -= 0.999 * (
            table.mean(axis=0)
            - table.mean(axis=(0, 1))
            - table.mean(axis=(0, 2))[:, None]
            + table.mean()
        )
    kept = rng.uniform(size=table.shape) < 0.8
    labels = [axis[kept] for axis in np.indices(table.shape)]
    found = variance_components(table[kept], labels, parse_design("(q : p) x i"))
    assert (found.estimates[3] == 0) == (not both)
    q, p, i = labels
    sizes = np.unique(p, return_counts=True)[1]
    assert_allclose(found.expected[0, 0], 1 / np.mean(1 / sizes))
    groups = [p, i, 10 * p + q, 10 * p + i]
    parts = [np.equal.outer(g, g).astype(float) for g in groups] + [np.eye(len(p))]
    inverse = np.linalg.inv(sum(v * part for v, part in zip(found.estimates, parts, strict=True)))
    ones = inverse.sum(axis=1)
    project = inverse - np.outer(ones, ones) / ones.sum()
    moved = [project @ part for part in parts]
    information = [[np.sum(a * b.T) / 2 for b in moved] for a in moved]
    assert_allclose(found.covariance, np.linalg.inv(information), rtol=1e-5, atol=1e-7)
    y = table[kept]
    score = [y @ project @ part @ project @ y - np.trace(project @ part) for part in parts]
    flat = found.estimates > 0
    assert_allclose(np.array(score)[flat], 0, atol=1e-4)  # the restricted likelihood is flat
    assert (np.array(score)[~flat] < 0).all()  # and would fall


def test_unbalanced_scores_take_the_likelihood_and_refuse_the_analysis_of_variance():
    labels = [axis.ravel()[1:] for axis in np.indices(PUBLISHED.shape)]
    y, design = PUBLISHED.ravel()[1:], parse_design("target x judge")
    found = variance_components(y, labels, design)
    assert found.method == "reml"
    gaps = PUBLISHED.copy()
    gaps[0, 0] = np.nan
    squares = icc.mixed_squares(gaps)
    unit = (squares.units - squares.residual) / 4
    coder = squares.within - squares.residual
    assert_allclose(found.estimates, [unit, coder, squares.residual], rtol=1e-5)
    with pytest.raises(DataError, match=r"23 scores in 24 cells \(6 target x 4 judge\)"):
        variance_components(y, labels, design, method="anova")


def test_an_interval_of_one_mean_square_is_exact_and_of_two_agrees_with_the_f_test():
    low, high = combination_interval([0.5], [4.0], [9], level=0.9)
    assert_allclose([low, high], 18 / stats.chi2.isf([0.05, 0.95], 9))
    ratio = stats.f.isf(0.025, 11, 40)  # just significant
    low, _ = combination_interval([0.25, -0.25], [ratio, 1.0], [11, 40])
    assert_allclose(low, 0, atol=1e-12)
    _, high = combination_interval([0.25, -0.25], [stats.f.isf(0.975, 11, 40), 1.0], [11, 40])
    assert_allclose(high, 0, atol=1e-12)
    # Mean squares that are equal, weighed by their degrees of freedom, pool into one.
    low, _ = combination_interval([4, 9], [1.5, 1.5], [4, 9])
    assert_allclose(low, 13 * 13 * 1.5 / stats.chi2.isf(0.025, 13))
    low, _ = combination_interval([1, 1, 1], [2.0, 2.0, 2.0], [5, 5, 5])
    assert_allclose(6 - low, np.sqrt(6) * 2 * (1 - 10 / stats.chi2.isf(0.025, 10)))
    low, high = combination_interval([1, 1], [2.0, 3.0], [1e7, 1e7])
    assert_allclose([low, high], 5 + np.array([-1, 1]) * 1.96 * np.sqrt(26 / 1e7), rtol=1e-5)


def test_what_has_no_answer_is_refused():
    labels = [[0, 0, 1, 1], [0, 1, 0, 1]]
    design = parse_design("unit x coder")
    with pytest.raises(MethodError, match="do not vary"):
        variance_components([2.0] * 4, labels, design)
    with pytest.raises(DataError, match="1 of 4 scores are missing"):
        variance_components([1, 2, np.nan, 3], labels, design)
    with pytest.raises(SpecError, match="Did you mean 'anova'"):
        variance_components([1, 2, 3, 4], labels, design, method="anovva")
    with pytest.raises(DataError, match=r"scores of shape \(3,\) and labels of 4"):
        variance_components([1, 2, 3], labels, design)
    with pytest.raises(DataError, match=r"scores of shape \(2, 2\) and labels of 4"):
        variance_components([[1, 2], [3, 5]], labels, design)
    with pytest.raises(SpecError, match="level must lie"):
        variance_components([1, 2, 3, 4], labels, design, level=95)


def coverage(text, sizes, variances, runs, seed, drop=0.0):
    """Bias in standard errors, and shares of intervals that hold the truth."""
    rng = np.random.default_rng(seed)
    design, truth = parse_design(text), np.array(variances)
    hits, estimates = np.zeros(len(truth)), []
    for _ in range(runs):
        table = simulate(rng, text, sizes, variances)
        kept = rng.uniform(size=sizes) >= drop
        labels = [axis[kept] for axis in np.indices(sizes)]
        found = variance_components(table[kept], labels, design)
        hits += (found.ci_low <= truth) & (truth <= found.ci_high)
        estimates.append(found.estimates)
    spread = np.std(estimates, axis=0) / np.sqrt(runs)
    return (np.mean(estimates, axis=0) - truth) / spread, hits / runs


def test_components_are_unbiased_and_intervals_cover():
    bias, covered = coverage("(q : p) x i", (4, 15, 4), [0.5, 0.4, 0.5, 0.3, 1], 250, 1)
    assert (np.abs(bias) < 3.5).all()
    assert (covered > 0.91).all()
    assert (covered < 0.99).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "sizes", "variances", "drop"),
    [
        ("p x i", (50, 6), [1, 0.3, 2], 0),
        ("p x i x o", (30, 4, 3), [1, 0.2, 0.2, 0.4, 0.3, 0.1, 1], 0),
        ("(q : p) x i", (10, 40, 6), [0.2, 0.3, 0.5, 0.1, 1], 0),
        ("p x i", (30, 5), [1, 0.4, 1], 0.2),
        ("(q : p) x i", (6, 20, 5), [0.3, 0.2, 0.5, 0.2, 1], 0.15),
    ],
)
def test_components_are_unbiased_and_intervals_cover_in_many_studies(text, sizes, variances, drop):
    bias, covered = coverage(text, sizes, variances, 2500 if not drop else 1000, 2, drop)
    assert (np.abs(bias) < 4).all()
    assert (covered > 0.93).all()
    assert (covered < 0.97).all()
