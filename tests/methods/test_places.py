from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.places import (
    LONELY,
    answers_needed,
    expected_reliability,
    place_means,
    unit_reliability,
    within_reliability,
)


def test_balanced_places_have_the_intraclass_correlation_of_means():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 1)) + rng.normal(size=(40, 8)) * 1.5
    within = x.var(axis=1, ddof=1).mean()
    between = 8 * x.mean(axis=1).var(ddof=1)
    found = unit_reliability(x.mean(axis=1), np.full(40, np.sqrt(within / 8)))
    assert_allclose(found.mean, (between - within) / between, rtol=1e-9)
    assert_allclose(found.squared_correlation, found.mean, rtol=1e-9)
    assert_allclose(found.true_variance, found.moment_variance, rtol=1e-9)


@pytest.mark.parametrize(
    ("icc", "persons", "expected"),
    [(0.02, 16, 0.25), (0.02, 200, 0.80), (0.05, 23, 0.55), (0.10, 16, 0.64), (0.10, 21, 0.70)],
)
def test_reliability_of_means_by_intraclass_correlation(icc, persons, expected):
    # Scores whose variance is exactly that of true values and errors together.
    error = (1 - icc) / persons
    scores = np.array([-1.0, 1.0]) * np.sqrt((icc + error) / 2)
    found = unit_reliability(scores, np.full(2, np.sqrt(error)))
    assert_allclose(found.mean, expected, atol=0.005)


def test_equation_of_paule_and_mandel_holds():
    rng = np.random.default_rng(1)
    errors = rng.uniform(0.2, 1.5, 30)
    scores = rng.normal(size=30) + errors * rng.normal(size=30)
    found = unit_reliability(scores, errors)
    weight = 1 / (found.true_variance + errors**2)
    mean = (weight * scores).sum() / weight.sum()
    assert_allclose((weight * (scores - mean) ** 2).sum(), 29, rtol=1e-9)
    assert_allclose(found.each, found.true_variance * weight, rtol=1e-9)


@given(
    seed=st.integers(0, 500),
    shift=st.floats(-100, 100),
    size=st.floats(0.01, 100),
    grouped=st.booleans(),
)
def test_reliability_does_not_depend_on_unit_or_order(seed, shift, size, grouped):
    rng = np.random.default_rng(seed)
    errors = rng.uniform(0.2, 1.5, 12)
    scores = rng.normal(size=12) * 2 + errors * rng.normal(size=12)
    groups = np.repeat(["a", "b", "c"], 4) if grouped else None
    order = rng.permutation(12)
    one = unit_reliability(scores, errors, groups)
    other = unit_reliability(
        (shift + size * scores)[order], size * errors[order], groups[order] if grouped else None
    )
    assert_allclose(other.true_variance, size**2 * one.true_variance, rtol=1e-6, atol=1e-9)
    assert_allclose(other.mean, one.mean, rtol=1e-6, atol=1e-9)
    assert_allclose(other.mean_ci, one.mean_ci, rtol=1e-6, atol=1e-9)
    assert_allclose(other.each, one.each[order], rtol=1e-6, atol=1e-9)


def test_within_groups_only_what_differs_inside_them_counts():
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(10), 6)
    inside = rng.normal(size=60) + 0.5 * rng.normal(size=60)
    errors = np.full(60, 0.5)
    far = unit_reliability(inside + 100.0 * groups, errors, groups)
    near = unit_reliability(inside, errors, groups)
    assert far.df == near.df == 50
    assert_allclose(far.mean, near.mean, rtol=1e-9)
    assert unit_reliability(inside + 100.0 * groups, errors).mean > 0.999


def simulated(seed: int, n: int, grouped: bool) -> tuple[float, float, bool]:
    """Estimate less truth of the two summaries, and whether the interval covers."""
    rng = np.random.default_rng([11, seed])
    errors = np.sqrt(1.0 / rng.integers(5, 60, n)) * 3.0
    groups = np.repeat(np.arange(n // 8), 8) if grouped else None
    centre = rng.normal(size=n // 8)[groups] * 3 if grouped else 0.0
    true = rng.normal(size=n)
    found = unit_reliability(centre + true + errors * rng.normal(size=n), errors, groups)
    mean = (1 / (1 + errors**2)).mean()
    squared = 1 / (1 + (errors**2).mean())
    covers = found.squared_correlation_ci[0] <= squared <= found.squared_correlation_ci[1]
    return found.mean - mean, found.squared_correlation - squared, covers


def check_known_truth(n_samples: int, grouped: bool) -> None:
    found = np.array([simulated(seed, 96, grouped) for seed in range(n_samples)])
    assert abs(found[:, 0].mean()) < 0.01
    assert abs(found[:, 1].mean()) < 0.01
    error = np.sqrt(0.95 * 0.05 / n_samples)
    assert abs(found[:, 2].mean() - 0.95) < 3 * error


@pytest.mark.parametrize("grouped", [False, True])
def test_known_truth_with_unequal_errors(grouped):
    check_known_truth(300, grouped)


@pytest.mark.slow
@pytest.mark.parametrize("grouped", [False, True])
def test_known_truth_with_unequal_errors_at_length(grouped):
    check_known_truth(10_000, grouped)


def test_scores_that_vary_less_than_their_errors():
    found = unit_reliability([1.0, 1.1, 0.9, 1.0], np.full(4, 2.0))
    assert found.truncated
    assert found.true_variance == found.mean == found.squared_correlation == 0.0
    assert_array_equal(found.each, 0.0)
    assert found.moment_variance < 0
    assert found.mean_ci[0] == 0.0


@pytest.mark.parametrize(
    ("scores", "errors", "message"),
    [
        ([1.0], [0.1], "needs two units"),
        ([1.0, 2.0, np.nan], [0.1, 0.0, 0.1], "2 of 3 units have no score or no positive"),
        ([1.0, 1.0], [0.1, 0.1], "scores do not vary"),
        ([1.0, 2.0], [0.1], "one score and one standard error"),
    ],
)
def test_bad_units(scores, errors, message):
    with pytest.raises(MethodError, match=message):
        unit_reliability(scores, errors)


def test_groups_of_one_unit_each():
    with pytest.raises(MethodError, match="two units in a group"):
        unit_reliability([1.0, 2.0], [0.1, 0.1], ["a", "b"])


def test_level():
    with pytest.raises(SpecError, match="between 0 and 1"):
        unit_reliability([1.0, 2.0], [0.1, 0.1], level=1.0)


def by_hand(counts, weights, sums, place, stratum):
    """Linearised variances, one place and item at a time."""
    means, errors = {}, {}
    for name in np.unique(place):
        inside = (place == name) & (counts > 0)
        mean = sums[inside].sum() / weights[inside].sum()
        score = (sums - mean * weights) / weights[inside].sum()
        variance = 0.0
        for part in np.unique(stratum[inside]):
            z = score[inside & (stratum == part)]
            variance += len(z) * z.var(ddof=1) if len(z) > 1 else np.nan
        means[name], errors[name] = mean, np.sqrt(variance)
    return means, errors


def test_place_means_and_errors_by_hand():
    rng = np.random.default_rng(3)
    place = np.repeat(["x", "y", "z"], [5, 4, 6])
    stratum = np.array(["u", "u", "r", "r", "r", "u", "u", "u", "r"] + ["u"] * 6)
    counts = rng.integers(1, 9, size=(15, 2)).astype(float)
    counts[2, 1] = 0.0
    weights = counts * rng.uniform(0.5, 2, size=(15, 2))
    sums = weights * rng.normal(5, 1, size=(15, 2))
    means, errors, answered = place_means(counts, weights, sums, place, stratum)
    for item in range(2):
        mean, error = by_hand(counts[:, item], weights[:, item], sums[:, item], place, stratum)
        assert_allclose(means[:, item], list(mean.values()), rtol=1e-12)
        assert_allclose(errors[:, item], list(error.values()), rtol=1e-10)
    assert np.isnan(errors[1]).all()  # one PSU of y lies alone in stratum r
    assert_array_equal(answered, [counts[place == p].sum(axis=0) for p in "xyz"])
    certain = place_means(counts, weights, sums, place, stratum, lonely="certainty")[1]
    assert np.isfinite(certain).all()


def test_simple_random_samples_have_the_usual_standard_error():
    x = np.random.default_rng(4).normal(size=20)
    ones = np.ones((20, 1))
    means, errors, _ = place_means(ones, ones, x[:, None], ["a"] * 20, [""] * 20)
    assert_allclose(means[0, 0], x.mean(), rtol=1e-12)
    assert_allclose(errors[0, 0], x.std(ddof=1) / np.sqrt(20), rtol=1e-12)


def test_pooled_errors_are_one_variance_over_the_effective_number_of_clusters():
    x = np.array([1.0, 3.0, 2.0, 6.0, 4.0, 9.0])
    ones = np.ones((6, 1))
    place = ["a", "a", "b", "b", "b", "c"]
    _, errors, _ = place_means(ones, ones, x[:, None], place, [""] * 6, pooled=True)
    pooled = (x[:2].var(ddof=1) + 2 * x[2:5].var(ddof=1)) / 3
    assert_allclose(errors[:, 0], np.sqrt(pooled / np.array([2, 3, 1])), rtol=1e-12)


def test_errors_from_few_clusters_inflate_reliability_and_pooling_mends_it():
    rng = np.random.default_rng(5)
    n, m = 2000, 4
    x = rng.normal(size=(n, 1)) + rng.normal(size=(n, m)) * 2.0  # true reliability 0.5
    sums = x.reshape(-1, 1)
    ones, place, stratum = np.ones_like(sums), np.repeat(np.arange(n), m), np.zeros(n * m)
    found = {}
    for pooled in (False, True):
        means, errors, _ = place_means(ones, ones, sums, place, stratum, pooled=pooled)
        found[pooled] = unit_reliability(means[:, 0], errors[:, 0]).mean
    assert found[False] > 0.56
    assert_allclose(found[True], 0.5, atol=0.04)


def test_true_variance_agrees_with_statsmodels_on_the_regions_of_the_eu():
    from statsmodels.stats.meta_analysis import combine_effects

    from lgpi_research.datasets import load_eu_regions

    frame = load_eu_regions().frame
    scores, errors = frame["eqi"].to_numpy(), frame["eqi_std_error"].to_numpy()
    peer = combine_effects(scores, errors**2, method_re="iterated", atol=1e-12)
    assert_allclose(unit_reliability(scores, errors).true_variance, peer.tau2, rtol=1e-9)


def test_true_variance_and_its_interval_agree_with_metafor():
    path = Path(__file__).resolve().parents[3] / "shared" / "golden" / "cases" / "meta-bcg.json"
    if not path.is_file():
        pytest.skip("the folder of reference results is not beside the clone")
    case = json.loads(path.read_text("utf-8"))
    told, stops_early = case["expected"], case["inputs"]["tolerances"]
    scores, errors = np.array(told["yi"]), np.sqrt(told["vi"])
    found = unit_reliability(scores, errors)
    tau2 = told["random"]["PM"]["tau2"]
    assert_allclose(found.true_variance, tau2, rtol=stops_early["random"])
    interval = told["q_profile_tau2"]
    assert_allclose(found.true_variance_ci, interval, rtol=stops_early["q_profile_tau2"])
    # metafor stops its search at 1e-4; ours solves the equations of the two ends.
    for end, tail in zip(found.true_variance_ci, (0.975, 0.025), strict=True):
        weight = 1 / (end + errors**2)
        mean = np.average(scores, weights=weight)
        q = np.sum(weight * (scores - mean) ** 2)
        assert_allclose(q, stats.chi2.ppf(tail, len(scores) - 1), rtol=1e-10)


def test_reliability_of_movements_is_the_share_of_true_variance_after_demeaning():
    # Truth = stable + moving, observed with independent errors: variances 0.7, 0.2, 0.1.
    stable, moving, error = 0.7, 0.2, 0.1
    reliability, stability = stable + moving, stable
    assert_allclose(within_reliability(reliability, stability), moving / (moving + error))
    assert within_reliability(0.8, 0.9) < 0
    with pytest.raises(MethodError, match=r"in \[-1, 1\), got 1"):
        within_reliability(0.9, 1.0)


def test_reliability_of_movements_of_simulated_units():
    rng = np.random.default_rng(0)
    units, years = 20_000, 4
    truth = rng.normal(0, 0.8, (units, 1)) + rng.normal(0, 0.5, (units, years))
    seen = truth + rng.normal(0, 0.4, (units, years))
    pairs = np.corrcoef(seen.T)[np.triu_indices(years, 1)]
    demeaned = [table - table.mean(axis=1, keepdims=True) for table in (truth, seen)]
    known = np.corrcoef(demeaned[0].ravel(), demeaned[1].ravel())[0, 1] ** 2
    assert_allclose(within_reliability(truth.var() / seen.var(), pairs.mean()), known, atol=0.01)


@pytest.mark.parametrize(
    ("icc", "at_16", "at_23", "at_200", "needed"),
    [(0.02, 0.25, 0.32, 0.80, 115), (0.05, 0.46, 0.55, 0.91, 45), (0.10, 0.64, 0.72, 0.96, 21)],
)
def test_table_of_answers_and_reliability(icc, at_16, at_23, at_200, needed):
    found = expected_reliability(icc, [16, 23, 200])
    assert_allclose(found, [at_16, at_23, at_200], atol=0.005)
    assert answers_needed(icc, 0.7) == needed


design_parts = {
    "icc": st.floats(0.005, 0.6),
    "target": st.floats(0.2, 0.95),
    "rho": st.floats(0, 0.9),
    "cv": st.floats(0, 1.5),
}


@given(**design_parts, per_psu=st.integers(1, 30))
def test_answers_needed_are_the_fewest_that_are_enough(icc, target, rho, cv, per_psu):
    options = {"psu_icc": rho, "per_psu": per_psu, "cv_weights": cv}
    n = int(answers_needed(icc, target, **options))
    assert expected_reliability(icc, n, **options) >= target - 1e-9
    if n > per_psu:
        assert expected_reliability(icc, n - 1, **options) < target


@given(**design_parts, psus=st.integers(2, 40))
def test_answers_in_a_given_number_of_psus(icc, target, rho, cv, psus):
    options = {"psu_icc": rho, "psus": psus, "cv_weights": cv}
    limit = expected_reliability(icc, 1e15, **options)
    if limit <= target:
        with pytest.raises(MethodError, match="Take more PSUs") as caught:
            answers_needed(icc, target, **options)
        assert f"stay below {limit:.3g}" in str(caught.value)
        return
    n = int(answers_needed(icc, target, **options))
    assert expected_reliability(icc, n, **options) >= target - 1e-9
    if n > psus:
        assert expected_reliability(icc, n - 1, **options) < target


def test_answers_needed_with_kish_by_hand():
    # (1 + 0.25)(1 + 7 · 0.05) · (0.95/0.05) · (0.7/0.3) = 74.8125
    assert answers_needed(0.05, 0.7, psu_icc=0.05, per_psu=8, cv_weights=0.5) == 75
    table = answers_needed([[0.02], [0.05]], [0.6, 0.7, 0.8])
    assert table.shape == (2, 3)
    assert table.tolist() == [[74, 115, 196], [29, 45, 76]]


def test_expected_reliability_is_that_of_simulated_places():
    rng = np.random.default_rng(6)
    n, m, size, share, rho = 4000, 4, 5, 0.2, 0.3
    truth = np.sqrt(share) * rng.normal(size=(n, 1, 1))
    psu = np.sqrt((1 - share) * rho) * rng.normal(size=(n, m, 1))
    person = np.sqrt((1 - share) * (1 - rho)) * rng.normal(size=(n, m, size))
    means = (truth + psu + person).mean(axis=(1, 2))
    known = np.corrcoef(means, truth[:, 0, 0])[0, 1] ** 2
    expected = expected_reliability(share, m * size, psu_icc=rho, per_psu=size)
    assert_allclose(known, expected, atol=0.03)
    assert expected == expected_reliability(share, m * size, psu_icc=rho, psus=m)


def test_designs_that_cannot_be_are_refused():
    with pytest.raises(SpecError) as caught:
        answers_needed([0.1, 0.0], 1.0, psu_icc=-0.1, per_psu=0.5, cv_weights=-1)
    assert len(caught.value.problems) == 5
    assert "icc: must be between 0 and 1, got 0.0" in str(caught.value)
    with pytest.raises(SpecError, match=r"1 of 2 designs have fewer answers .* psus says"):
        expected_reliability(0.1, [4, 40], psus=8)
    with pytest.raises(MethodError, match=r"1 of 2 designs cannot be reliable enough.*4 PSUs stay"):
        answers_needed([0.3, 0.02], 0.7, psu_icc=0.1, psus=4)


def lonely_errors(lonely: str, stratum: list[str], x: list[float]) -> float:
    sums = np.array(x)[:, None]
    ones = np.ones_like(sums)
    return float(place_means(ones, ones, sums, ["p"] * len(x), stratum, lonely=lonely)[1][0, 0])


def test_lonely_psus_by_hand():
    x, stratum = [1.0, 3.0, 2.0, 6.0], ["a", "a", "b", "c"]
    z = (np.array(x) - 3.0) / 4
    pair = 2 * np.square(z[:2] - z[:2].mean()).sum()
    assert np.isnan(lonely_errors("fail", stratum, x))
    assert_allclose(lonely_errors("certainty", stratum, x) ** 2, pair)
    adjusted = pair + z[2] ** 2 + z[3] ** 2
    assert_allclose(lonely_errors("adjust", stratum, x) ** 2, adjusted)
    assert_allclose(lonely_errors("average", stratum, x) ** 2, 3 * pair)


@pytest.mark.parametrize("lonely", LONELY)
def test_lonely_psus_decide_nothing_where_there_are_none(lonely):
    x, stratum = [1.0, 3.0, 2.0, 6.0], ["a", "a", "b", "b"]
    assert lonely_errors(lonely, stratum, x) == lonely_errors("fail", stratum, x)


@pytest.mark.parametrize("lonely", LONELY)
def test_one_psu_never_has_an_error_of_zero(lonely):
    assert np.isnan(lonely_errors(lonely, ["a"], [2.0]))


def test_two_lonely_strata_have_an_error_only_if_centred_at_the_place():
    assert_allclose(lonely_errors("adjust", ["a", "b"], [1.0, 3.0]) ** 2, 0.5)
    for lonely in ("fail", "certainty", "average"):
        assert np.isnan(lonely_errors(lonely, ["a", "b"], [1.0, 3.0]))


def test_a_lonely_psu_is_one_with_answers_to_the_item():
    ones = np.ones((3, 2))
    counts = ones.copy()
    counts[2, 1] = 0.0
    sums = np.array([[1.0, 1.0], [3.0, 3.0], [5.0, 0.0]]) * counts
    _, errors, _ = place_means(counts, counts, sums, ["p"] * 3, ["a", "b", "b"], lonely="average")
    assert np.isfinite(errors[0, 0])
    assert np.isnan(errors[0, 1])  # two lonely strata


def test_unknown_treatment_of_lonely_psus():
    with pytest.raises(SpecError, match=r"'adjust' or 'average', got 'averge'. Did you mean 'aver"):
        lonely_errors("averge", ["a", "a"], [1.0, 2.0])


EDGES = np.array([-1.2, -0.4, 0.3, 1.0])


def unequal(n_units: int, five_points: bool, seed: int, icc: float = 0.2) -> list[float]:
    """Return errors of the two summaries, and coverage, for places of 5 to 60 answers."""
    rng = np.random.default_rng([15, n_units, seed])
    persons = rng.integers(5, 61, n_units)
    x = np.repeat(rng.normal(size=n_units) * np.sqrt(icc / (1 - icc)), persons)
    x += rng.normal(size=len(x))
    between, within = icc / (1 - icc), 1.0
    if five_points:
        x = np.searchsorted(EDGES, x) + 1.0
        between, within = five_point_variances(between)
    sums = x[:, None]
    ones, place = np.ones_like(sums), np.repeat(np.arange(n_units), persons)
    order = np.unique(place.astype(str), return_index=True)[1]
    means, errors, _ = place_means(ones, ones, sums, place, np.zeros(len(x)), pooled=True)
    found = unit_reliability(means[:, 0], errors[:, 0])
    v = within / persons[place[order]]
    mean, squared = (between / (between + v)).mean(), between / (between + v.mean())
    covers = found.squared_correlation_ci[0] <= squared <= found.squared_correlation_ci[1]
    each = np.abs(found.each - between / (between + v)).max()
    return [found.mean - mean, found.squared_correlation - squared, covers, each]


def five_point_variances(between: float) -> tuple[float, float]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights /= weights.sum()
    cuts = np.concatenate([[-np.inf], EDGES, [np.inf]])
    shares = np.diff(stats.norm.cdf(cuts - np.sqrt(between) * nodes[:, None]), axis=1)
    mean, square = shares @ np.arange(1, 6), shares @ np.arange(1, 6) ** 2
    return weights @ mean**2 - (weights @ mean) ** 2, weights @ (square - mean**2)


def check_unequal(n_units: int, five_points: bool, n_samples: int) -> None:
    found = np.array([unequal(n_units, five_points, seed) for seed in range(n_samples)])
    # Four simulation errors beside a bias of about 0.3/units, which estimated ratios have.
    error = 4 * found.std(axis=0) / np.sqrt(n_samples) + 0.4 / n_units
    assert (np.abs(found[:, :2].mean(axis=0)) < error[:2]).all()
    assert abs(found[:, 2].mean() - 0.95) < 4 * np.sqrt(0.0475 / n_samples) + 0.01
    if n_units >= 200:
        assert np.median(found[:, 3]) < 0.05


@pytest.mark.parametrize("five_points", [False, True])
def test_known_truth_with_unequal_numbers_of_answers(five_points):
    check_unequal(60, five_points, 150)


@pytest.mark.slow
@pytest.mark.parametrize("n_units", [20, 60, 200])
@pytest.mark.parametrize("five_points", [False, True])
def test_known_truth_with_unequal_numbers_of_answers_at_length(n_units, five_points):
    check_unequal(n_units, five_points, 2500)
