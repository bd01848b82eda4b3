from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.errors import DataError, SpecError
from lgpi_research.methods.consistency import alpha, average_r
from lgpi_research.methods.ordinal import omega_categorical, ordinal_alpha, ordinal_omega
from lgpi_research.methods.polychoric import PairCounts
from lgpi_research.methods.replicates import jackknife
from lgpi_research.moments import Moments, Scale, as_labels, sum_moments
from lgpi_research.results import write_parquet
from lgpi_research.survey import Survey, SurveyDesign

LAYOUTS = [("variances", "listwise"), ("covariance", "listwise"), ("covariance", "pairwise")]
ITEMS = ("q1", "q2", "q3", "q4")


def table(seed: int = 0, n: int = 120, missing: float = 0.0, whole: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    psu = rng.integers(0, 12, n)
    trait = rng.normal(size=12)[psu] + rng.normal(size=n)
    answers = 3 + trait[:, None] + rng.normal(size=(n, 4))
    if whole:
        answers = np.clip(np.rint(answers), 1, 5)
    answers[rng.random(answers.shape) < missing] = np.nan
    return pd.DataFrame(answers, columns=list(ITEMS)).assign(
        psu=psu, stratum=psu % 3, place=psu // 4, weight=rng.uniform(0.2, 3, n)
    )


def moments(frame: pd.DataFrame, weighted: bool = False, **options) -> Moments:
    return Moments.from_answers(
        frame[list(ITEMS)],
        psu=frame["psu"],
        stratum=frame["stratum"],
        place=frame["place"],
        weight=frame["weight"] if weighted else None,
        **options,
    )


@pytest.mark.parametrize(("needs", "missing"), LAYOUTS)
def test_complete_answers_have_the_usual_covariances(needs, missing):
    frame = table()
    found = moments(frame, needs=needs, missing=missing).spread()
    expected = frame[list(ITEMS)].cov().to_numpy()
    assert_allclose(found.variances, np.diag(expected), rtol=1e-12)
    assert_allclose(found.total, expected.sum(), rtol=1e-12)
    if needs == "covariance":
        assert_allclose(found.covariance, expected, rtol=1e-12)


@pytest.mark.parametrize("needs", ["variances", "covariance"])
def test_listwise_is_the_covariance_of_complete_respondents(needs):
    frame = table(missing=0.1)
    kept = frame.dropna(subset=list(ITEMS))
    found = moments(frame, needs=needs)
    assert_allclose(found.spread().variances, kept[list(ITEMS)].var(), rtol=1e-12)
    assert_allclose(found.spread().total, kept[list(ITEMS)].sum(axis=1).var(), rtol=1e-12)
    assert found.n_used() == len(kept)
    assert found.n_dropped() == len(frame) - len(kept)


@given(seed=st.integers(0, 1000), missing=st.floats(0, 0.5))
def test_pairwise_is_the_covariance_of_each_pair(seed, missing):
    frame = table(seed, missing=missing)
    found = moments(frame, missing="pairwise")
    assert_allclose(found.spread().covariance, frame[list(ITEMS)].cov(), rtol=1e-9, atol=1e-12)
    seen = frame[list(ITEMS)].notna()
    assert found.n_used() == seen.any(axis=1).sum()
    assert found.n_least() == (seen.T.astype(int) @ seen.astype(int)).to_numpy().min()


@pytest.mark.parametrize(("needs", "missing"), LAYOUTS)
def test_weighted_covariances(needs, missing):
    frame = table()
    x, w = frame[list(ITEMS)].to_numpy(), frame["weight"].to_numpy()
    centred = x - w @ x / w.sum()
    expected = (w[:, None] * centred).T @ centred / (w.sum() * (1 - 1 / len(x)))
    found = moments(frame, weighted=True, needs=needs, missing=missing).spread()
    assert_allclose(found.variances, np.diag(expected), rtol=1e-12)
    assert_allclose(found.total, expected.sum(), rtol=1e-12)


@pytest.mark.parametrize(("needs", "missing"), LAYOUTS)
def test_weights_of_whole_numbers_count_as_copies_do(needs, missing):
    frame = table().assign(weight=np.tile([1.0, 2.0, 3.0], 40))
    copied = frame.loc[frame.index.repeat(frame["weight"].astype(int))]
    one, other = (
        alpha(moments(part, weighted=weighted, needs=needs, missing=missing).spread())
        for part, weighted in ((frame, True), (copied, False))
    )
    assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize(("needs", "missing"), [*LAYOUTS, ("means", "listwise")])
@pytest.mark.parametrize("weighted", [False, True])
def test_chunks_add_up_wherever_they_are_cut(needs, missing, weighted):
    frame = table(missing=0.1)
    options = {"needs": needs, "missing": missing, "weighted": weighted, "reverse": ["q2"]}
    whole = moments(frame, **options)
    # The second part is far away, so that its centre is another one.
    order = frame["q1"].fillna(0).to_numpy().argsort()
    first, second = frame.iloc[order[:50]], frame.iloc[order[50:]]
    both = moments(first, **options) + moments(second, **options)
    pd.testing.assert_frame_equal(both.psus, whole.psus)
    assert_array_equal(both.dropped, whole.dropped)
    assert both.n_used() == whole.n_used()
    if needs == "means":
        for one, other in zip(both.means(), whole.means(), strict=True):
            pd.testing.assert_frame_equal(one, other, rtol=1e-10)
    else:
        assert_allclose(both.spread().variances, whole.spread().variances, rtol=1e-11)
        assert_allclose(both.spread().total, whole.spread().total, rtol=1e-11)


@pytest.mark.parametrize(("needs", "missing"), LAYOUTS)
def test_whole_numbers_give_the_same_bytes_in_any_order(needs, missing):
    frame = table(missing=0.1, whole=True)
    other = frame.sample(frac=1, random_state=1)
    found = [moments(part, needs=needs, missing=missing) for part in (frame, other)]
    assert_array_equal(found[0].spread().variances, found[1].spread().variances)
    pd.testing.assert_frame_equal(found[0].psus, found[1].psus)


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.float32, np.float64])
def test_numeric_types_are_the_same_numbers(kind):
    frame = table(whole=True)
    answers = frame[list(ITEMS)].to_numpy()
    expected = np.cov(answers.T)
    for needs in ("variances", "covariance"):
        found = Moments.from_answers(answers.astype(kind), psu=frame["psu"], needs=needs)
        assert_allclose(found.spread().variances, np.diag(expected), rtol=1e-13)


def test_large_means_cost_no_digits():
    frame = table()
    far = frame.assign(**{item: frame[item] + 1e8 for item in ITEMS})
    for needs, missing in LAYOUTS:
        options = {"needs": needs, "missing": missing, "reverse": ["q2"]}
        near, moved = (moments(f, **options).spread() for f in (frame, far))
        assert_allclose(moved.variances, near.variances, rtol=1e-6)
        assert_allclose(moved.total, near.total, rtol=1e-6)


def test_a_constant_item_has_a_variance_of_exactly_zero():
    frame = table().assign(q3=0.1)
    for needs, missing in LAYOUTS:
        for reverse in ([], ["q3"]):
            options = {"needs": needs, "missing": missing, "reverse": reverse}
            assert moments(frame, weighted=True, **options).spread().variances[2] == 0.0


def test_reversed_items_change_sign():
    frame = table()
    turned = frame.assign(q2=6 - frame["q2"])
    for needs, missing in LAYOUTS:
        plain = moments(frame, needs=needs, missing=missing).spread()
        back = moments(turned, needs=needs, missing=missing, reverse=["q2"]).spread()
        assert_allclose(back.total, plain.total, rtol=1e-12)
        assert_allclose(alpha(back), alpha(plain), rtol=1e-12)


@pytest.mark.parametrize(("needs", "missing"), LAYOUTS)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_replicate_is_the_survey_with_other_weights(needs, missing, weighted):
    frame = table(missing=0.05)
    found = moments(frame, weighted=weighted, needs=needs, missing=missing)
    multipliers, _ = jackknife(found.strata)
    together = alpha(found.spread(None, found.replicate(multipliers)))
    codes = found.psus["psu"].astype(int).to_numpy()
    for row in (0, 5, 11):
        factor = pd.Series(multipliers[row], codes)[frame["psu"]].to_numpy()
        base = frame["weight"] if weighted else 1.0
        other = moments(frame.assign(weight=base * factor), True, needs=needs, missing=missing)
        # Pairs differ by (n - 1)/n, in which n counts copies in a replicate, persons here.
        close = 1e-10 if missing == "listwise" else 1e-4
        assert_allclose(together[row], alpha(other.spread()), rtol=close)


def test_several_scales_at_once_are_each_alone():
    frame = table(missing=0.1)
    scales = [
        Scale("a", ("q1", "q2", "q3")),
        Scale("b", ("q4", "q1"), needs="variances", reverse=("q1",)),
        Scale("means", ITEMS, needs="means"),
        Scale("c", ITEMS, missing="pairwise"),
    ]
    every = moments(frame, scales=scales)
    for scale in scales:
        alone = moments(frame, scales=[scale])
        assert every.n_used(scale.name) == alone.n_used()
        assert every.n_dropped(scale.name) == alone.n_dropped()
        if scale.needs == "means":
            for one, other in zip(every.means("means"), alone.means(), strict=True):
                pd.testing.assert_frame_equal(one, other)
        else:
            assert_array_equal(every.spread(scale.name).variances, alone.spread().variances)
            assert_array_equal(every.spread(scale.name).total, alone.spread().total)
    assert every.scale("b").reverse == ("q1",)
    with pytest.raises(SpecError, match="Name one of the 4 scales"):
        every.spread()
    with pytest.raises(SpecError, match=r"No scale 'mean'\. Did you mean 'means'"):
        every.means("mean")
    with pytest.raises(SpecError, match="holds means"):
        every.spread("means")
    with pytest.raises(SpecError, match="holds no means"):
        every.means("c")


def test_place_means_are_weighted_means_of_the_answers():
    frame = table(missing=0.1)
    found = moments(frame, weighted=True, needs="means")
    means, errors, counts = found.means()
    for place, part in frame.groupby("place"):
        for item in ITEMS:
            seen = part[item].notna()
            expected = np.average(part.loc[seen, item], weights=part.loc[seen, "weight"])
            assert_allclose(means.loc[str(place), item], expected, rtol=1e-12)
            assert counts.loc[str(place), item] == seen.sum()
    assert (errors.isna() | (errors > 0)).all(axis=None)


def test_reversing_does_not_turn_the_means():
    frame = table()
    plain, turned = (moments(frame, needs="means", reverse=r).means()[0] for r in ((), ("q1",)))
    pd.testing.assert_frame_equal(plain, turned)


def test_respondents_of_weight_zero_are_left_out_and_counted():
    frame = table()
    frame.loc[frame.index[:20], "weight"] = 0.0
    found = moments(frame, weighted=True)
    other = moments(frame.iloc[20:], weighted=True)
    assert found.n_used() == 100
    assert_allclose(found.spread().covariance, other.spread().covariance, rtol=1e-12)
    assert found.notes == ("20 of 120 respondents have weight 0 and are left out.",)


def test_the_centre_is_an_answer_that_counts():
    frame = table(whole=True)
    frame.loc[frame.index[:40], ["weight", *ITEMS]] = [0.0, 99.0, 99.0, 99.0, 99.0]
    found, other = moments(frame, weighted=True), moments(frame.iloc[40:], weighted=True)
    assert found.digest == other.digest


def test_parts_in_any_order_keep_the_sums_of_each_psu():
    frame = table(whole=True)
    parts = [frame[frame["psu"] % 4 == number] for number in (3, 0, 2, 1)]
    whole = moments(frame)
    found = sum_moments(moments(part, centre=whole.centre) for part in parts)
    assert found.digest == whole.digest


def test_labels_lose_the_point_of_whole_numbers():
    assert as_labels(pd.Series([412.0, 3.0])).tolist() == ["412", "3"]
    assert as_labels(pd.Series([0.5, 3.0])).tolist() == ["0.5", "3"]
    assert as_labels(pd.Series([0.5, 3.0]).astype("category")).tolist() == ["0.5", "3"]
    assert as_labels(pd.Series([0.5, 3.0, "3"], dtype=object)).tolist() == ["0.5", "3", "3"]
    assert as_labels(pd.Series([3.0, None], dtype="Float64")).isna().tolist() == [False, True]
    assert as_labels(pd.Series([2.0**60, np.inf, -0.0])).tolist() == [str(2.0**60), "inf", "0"]
    one = Moments.from_answers(np.eye(4), psu=[1.0, 1.0, 2.0, 2.0])
    two = Moments.from_answers(np.eye(4), psu=["1", "1", "2", "2"])
    mixed = Moments.from_answers(np.eye(4), psu=pd.Series([1, "1", 2, "2"], dtype=object))
    assert one.psus["psu"].tolist() == two.psus["psu"].tolist() == mixed.psus["psu"].tolist()
    assert one.digest == two.digest == mixed.digest


@pytest.mark.parametrize("kind", ["category", "string", "Int64", "int8", "float32", object])
def test_labels_of_any_type(kind):
    frame = table()
    plain = moments(frame)
    typed = moments(frame.assign(psu=frame["psu"].astype(kind), place=frame["place"].astype(kind)))
    assert typed.digest == plain.digest


def test_nullable_numbers_are_numbers():
    frame = table(whole=True, missing=0.1)
    typed = frame.astype(dict.fromkeys(ITEMS, "Int64")).astype({"weight": "Float64"})
    assert moments(typed, weighted=True).digest == moments(frame, weighted=True).digest


def test_every_problem_at_once():
    frame = table().assign(weight=1.0)
    frame["stratum"] = frame["stratum"].astype(str)
    frame.loc[3, "q1"] = np.inf
    frame.loc[[4, 5], "weight"] = -1.0
    frame.loc[6, "weight"] = np.nan
    frame.loc[frame.index[frame["psu"] == 7][0], "stratum"] = "elsewhere"
    with pytest.raises(DataError) as caught:
        Moments.from_answers(
            frame[list(ITEMS)],
            psu=frame["psu"],
            stratum=frame["stratum"],
            weight=frame["weight"],
            where="wave1.csv",
        )
    text = str(caught.value)
    assert text.startswith("4 problems in wave1.csv")
    assert "psu: 1 of 12 clusters found in more than one stratum (7 in " in text
    assert "'elsewhere'" in text
    assert "weight: 1 of 120 weights are missing (rows 7)." in text
    assert "weight: 2 of 120 weights are negative (rows 5, 6)." in text
    assert "q1: 1 of 120 answers are infinite." in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"psu": [1, 1]}, "psu: 2 values for 4 respondents"),
        ({"psu": [1, None, 2, 2]}, r"psu: 1 of 4 respondents have none \(rows 2\)"),
        ({"psu": ["a", " ", "b", "b"]}, r"psu: 1 of 4 respondents have none \(rows 2\)"),
        ({"psu": [1, 1, 2, 2], "place": ["x", "y", "z", "z"]}, "more than one place"),
        ({"psu": [1, 1, 2, 2], "weight": [0, 0, 0, 0]}, "all weights are 0"),
        ({"psu": [1, 1, 2, 2], "weight": ["a", 1, 1, 1]}, "weight: weights must be numbers"),
        ({"psu": [1, 1, 2, 2], "weight": [1, 1]}, "weight: 2 values for 4"),
        ({"psu": [1, 1, 2, 2], "weight": [1, 1, 1, np.inf]}, "1 of 4 weights are infinite"),
        ({"psu": [1, 1, 2, 2], "items": ["a"]}, "1 items are named, and the table has 4"),
    ],
)
def test_bad_designs(options, message):
    with pytest.raises(DataError, match=message):
        Moments.from_answers(np.eye(4), **options)


def test_bad_tables():
    with pytest.raises(DataError, match="no respondents"):
        Moments.from_answers(np.empty((0, 3)), psu=[])
    with pytest.raises(DataError, match="numbers in a table"):
        Moments.from_answers([["a", "b"]], psu=[1])
    with pytest.raises(DataError, match="numbers in a table"):
        Moments.from_answers([1.0, 2.0], psu=[1, 2])
    frame = table().astype({"q1": object})
    frame.loc[5, "q1"] = "often"
    with pytest.raises(DataError, match=r"q1: .*'often'"):
        moments(frame)
    with pytest.raises(DataError, match=r"wieght: no columns have this name\. Did you mean"):
        Moments.from_answers(table(), psu=table()["psu"], items=["q1", "wieght"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"needs": "covariances"}, "Did you mean 'covariance'"),
        ({"missing": "casewise"}, "missing: must be one of listwise, pairwise"),
        ({"needs": "variances", "missing": "pairwise"}, "set needs='covariance'"),
        ({"reverse": ["q9"]}, "reverse: q9 is no item"),
        ({"categories": [1, 2]}, "categories: are of pair counts, and the scale holds cov"),
        ({"needs": "pair counts", "categories": [1, 1, 2]}, "2 to 20 different numbers, got 1, 1"),
        ({"needs": "pair counts", "categories": range(30)}, "2 to 20 different numbers"),
        ({"needs": "pair counts", "categories": [1, np.inf]}, "2 to 20 different numbers"),
        ({"lonely": "adjust"}, "lonely must be fail or certainty"),
        ({"scales": []}, "there is none"),
        ({"scales": [Scale("a", ("q1",)), Scale("a", ("q2",))]}, "two have the same name"),
        ({"scales": [Scale("a", ("q1", "q7"))]}, "a: there is no item 'q7'"),
    ],
)
def test_bad_scales(options, message):
    with pytest.raises(SpecError, match=message):
        moments(table(), **options)


@pytest.mark.parametrize("items", [(), ("q1", "q1")])
def test_scales_check_their_items(items):
    with pytest.raises(SpecError, match="items: "):
        Scale("a", items)


def test_parts_that_do_not_fit():
    frame = table()
    with pytest.raises(DataError, match="same scales"):
        moments(frame) + moments(frame, needs="variances")
    with pytest.raises(DataError, match="more than one stratum"):
        moments(frame) + moments(frame.assign(stratum=(frame["psu"] + 1) % 3))


def test_parts_without_strata_or_places_add_up():
    frame = table()
    one, two = (
        Moments.from_answers(part[list(ITEMS)], psu=part["psu"])
        for part in (frame[:60], frame[60:])
    )
    whole = Moments.from_answers(frame[list(ITEMS)], psu=frame["psu"])
    assert_allclose((one + two).spread().covariance, whole.spread().covariance, rtol=1e-12)


CATEGORIES = (1.0, 2.0, 3.0, 4.0, 5.0)
ORDINAL = [ordinal_alpha, ordinal_omega, omega_categorical]


@pytest.mark.parametrize("missing", ["listwise", "pairwise"])
@pytest.mark.parametrize("weighted", [False, True])
def test_pair_counts_are_those_of_the_answers(missing, weighted):
    frame = table(missing=0.05, whole=True)
    kept = frame.dropna(subset=list(ITEMS)) if missing == "listwise" else frame
    expected = PairCounts.from_answers(
        kept[list(ITEMS)],
        weights=kept["weight"] if weighted else None,
        categories=CATEGORIES,
    )
    found = moments(frame, weighted=weighted, needs="pair counts", missing=missing)
    assert found.scale().categories == CATEGORIES
    counts = found.pair_counts()
    assert counts.sizes == expected.sizes
    assert_allclose(counts.counts, expected.counts, rtol=1e-12)
    assert (counts.counts == expected.counts).all() or weighted
    for coefficient in ORDINAL:
        assert_allclose(coefficient(counts), coefficient(expected), rtol=1e-10)
    seen = frame[list(ITEMS)].notna().astype(int)
    least = len(kept) if missing == "listwise" else (seen.T @ seen).to_numpy().min()
    assert found.n_least() == least
    assert found.n_used() + found.n_dropped() == len(frame)
    assert found.n_used() == (len(kept) if missing == "listwise" else seen.any(axis=1).sum())


def test_ordinal_alpha_is_the_same_from_answers_moments_file_and_parts(tmp_path):
    frame = table(n=600, missing=0.02, whole=True).assign(place="x")
    options = {"needs": "pair counts", "categories": CATEGORIES, "reverse": ["q2"]}
    whole = moments(frame, **options)
    parts = moments(frame[:250], **options) + moments(frame[250:], **options)
    back = Moments.load(whole.save(tmp_path / "m.parquet"))
    assert back.scales == whole.scales
    assert len(back.psus) < 12  # small counts were merged
    turned = frame.assign(q2=6 - frame["q2"]).dropna(subset=list(ITEMS))
    answers = PairCounts.from_answers(turned[list(ITEMS)], categories=CATEGORIES)
    for coefficient in ORDINAL:
        expected = coefficient(answers)
        for found in (whole, parts, back):
            assert_array_equal(coefficient(found.pair_counts()), expected)


@pytest.mark.parametrize("missing", ["listwise", "pairwise"])
def test_replicates_of_pair_counts_are_surveys_with_other_weights(missing):
    frame = table(n=300, missing=0.03, whole=True)
    found = moments(frame, weighted=True, needs="pair counts", missing=missing)
    multipliers, _ = jackknife(found.strata)
    together = found.pair_counts(None, found.replicate(multipliers))
    assert together.counts.shape == (12, 20, 20)
    codes = found.psus["psu"].astype(int).to_numpy()
    for row in (0, 7):
        factor = pd.Series(multipliers[row], codes)[frame["psu"]].to_numpy()
        weights = frame["weight"] * factor
        other = moments(
            frame.assign(weight=weights),
            True,
            needs="pair counts",
            missing=missing,
            categories=CATEGORIES,
        )
        assert_allclose(together.counts[row], other.pair_counts().counts, rtol=1e-9)
        assert_allclose(ordinal_alpha(together)[row], ordinal_alpha(other.pair_counts()), rtol=1e-9)


def test_pairs_are_counted_beside_other_sums_and_wherever_centres_lie():
    frame = table(whole=True)
    far = frame.assign(**{item: frame[item] + 100 for item in ITEMS})
    scales = [Scale("a", ITEMS), Scale("pairs", ITEMS, "pair counts", reverse=("q1",))]
    near, moved = (moments(part, scales=scales) for part in (frame, far))
    assert_array_equal(near.pair_counts("pairs").counts, moved.pair_counts("pairs").counts)
    assert_allclose(near.spread("a").covariance, moved.spread("a").covariance, rtol=1e-12)
    with pytest.raises(SpecError, match="'a' holds no pair counts; take some with needs='pair co"):
        near.pair_counts("a")
    with pytest.raises(SpecError, match="'pairs' holds pair counts; variances were not kept"):
        near.spread("pairs")


def test_few_answers_of_a_kind_are_few(tmp_path):
    answers = np.tile([[1.0, 2.0], [2.0, 1.0]], (20, 1))
    answers[3, 0] = 3.0  # one person in PSU a, whose other answer the counts would tell
    found = Moments.from_answers(
        answers, psu=np.repeat(["a", "b"], 20), needs="pair counts", categories=[1, 2, 3]
    )
    with pytest.raises(DataError, match="2 of 2 PSUs are too small"):
        found.save(tmp_path / "m.parquet")
    answers[23:27, 0] = 3.0
    found = Moments.from_answers(answers, psu=np.repeat(["a", "b"], 20), needs="pair counts")
    back = Moments.load(found.save(tmp_path / "m.parquet"))
    assert back.psus["psu"].tolist() == ["a + b"]


def test_rare_answers_may_be_let_through_where_tables_are_large(tmp_path):
    answers = np.tile([[1.0, 2.0], [2.0, 1.0]], (20, 1))
    answers[3, 0] = 3.0
    found = Moments.from_answers(answers, psu=np.repeat(["a", "b"], 20), needs="pair counts")
    path = found.save(tmp_path / "m.parquet", min_respondents=20, min_answers=1)
    assert Moments.load(path).n_psu == 2
    with pytest.raises(DataError, match="fewer than 21 respondents"):
        Moments.from_answers(
            answers[:20], psu=["a"] * 20, needs="pair counts", categories=[1, 2, 3]
        ).save(path, min_respondents=21, min_answers=1)
    with pytest.raises(SpecError, match="min_answers must be a whole number >= 1, got 0"):
        found.save(path, min_answers=0)


def test_answers_that_are_no_category_are_named():
    frame = table(whole=True)
    with pytest.raises(DataError) as caught:
        moments(frame, needs="pair counts", categories=[1, 2, 3, 4])
    assert "q1: " in str(caught.value)
    assert "answers are none of the categories of all items (5)" in str(caught.value)
    with pytest.raises(DataError, match="different answers occur, and pairs are counted of 2 to"):
        moments(table(), needs="pair counts")
    scale = Scale("a", ("q1",), "pair counts")
    with pytest.raises(DataError, match="a: 0 different answers occur"):
        Moments.from_answers([[np.nan], [np.nan]], psu=[1, 2], items=["q1"], scales=[scale])


SCALES = (
    Scale("a", ("q1", "q2", "q3")),
    Scale("b", ITEMS, missing="pairwise", reverse=("q4",), measurement="formative"),
    Scale("c", ("q2", "q3"), needs="variances"),
    Scale("means", ITEMS, needs="means"),
)


def test_a_file_brings_everything_back(tmp_path):
    found = moments(table(missing=0.02, n=400), weighted=True, scales=SCALES, lonely="certainty")
    path = found.save(tmp_path / "wave1.parquet", min_respondents=1)
    back = Moments.load(path)
    pd.testing.assert_frame_equal(back.psus, found.psus)
    assert back.scales == found.scales
    assert back.lonely == "certainty"
    assert back.notes == found.notes
    assert back.digest == found.digest
    for name in ("a", "b", "c"):
        assert_array_equal(back.spread(name).variances, found.spread(name).variances)
        assert back.n_dropped(name) == found.n_dropped(name)
    again = found.save(tmp_path / "again.parquet", min_respondents=1)
    assert path.read_bytes() == again.read_bytes()


def test_a_file_merges_small_psus_within_stratum_and_place(tmp_path):
    rng = np.random.default_rng(0)
    sizes = np.array([2, 9, 3, 3, 12, 8, 1, 30])
    psu = np.repeat(np.arange(8), sizes)
    place = np.array(["x", "x", "x", "x", "x", "y", "y", "y"])[psu]
    frame = pd.DataFrame(np.rint(rng.normal(3, 1, (len(psu), 4))), columns=list(ITEMS)).assign(
        psu=psu, stratum="s", place=place
    )
    found = moments(frame, scales=(SCALES[0], SCALES[3]))
    back = Moments.load(found.save(tmp_path / "m.parquet"))
    assert back.psus["psu"].tolist() == ["0 + 1", "2 + 3", "4", "5", "6 + 7"]
    assert back.psus["place"].tolist() == ["x", "x", "x", "y", "y"]
    assert "8 PSUs became 5" in back.notes[-1]
    assert "2 + 3" in back.notes[-1]
    assert_array_equal(back.sums.sum(axis=0), found.sums.sum(axis=0))
    assert_array_equal(alpha(back.spread("a")), alpha(found.spread("a")))
    merged = moments(frame.assign(psu=np.array([0, 0, 2, 2, 4, 5, 6, 6])[psu]), scales=found.scales)
    assert_array_equal(back.sums, merged.sums)
    pd.testing.assert_frame_equal(back.means("means")[1], merged.means("means")[1])


def test_a_last_small_psu_joins_the_one_before(tmp_path):
    psu = np.repeat(["a", "b", "c"], [9, 8, 2])
    found = Moments.from_answers(np.arange(57.0).reshape(19, 3), psu=psu)
    back = Moments.load(found.save(tmp_path / "m.parquet"))
    assert back.psus["psu"].tolist() == ["a", "b + c"]


def test_few_answers_to_one_item_are_few(tmp_path):
    answers = np.arange(60.0).reshape(20, 3)
    answers[3:10, 1] = np.nan
    psu = np.repeat(["a", "b"], 10)
    for options in ({"needs": "means"}, {"missing": "pairwise"}):
        found = Moments.from_answers(answers, psu=psu, **options)
        back = Moments.load(found.save(tmp_path / "m.parquet"))
        assert back.psus["psu"].tolist() == ["a + b"]


def test_a_small_psu_without_neighbours_is_refused(tmp_path):
    psu = np.repeat(["a", "b", "c"], [9, 3, 8])
    found = Moments.from_answers(
        np.arange(60.0).reshape(20, 3), psu=psu, place=np.repeat(["x", "y", "x"], [9, 3, 8])
    )
    with pytest.raises(
        DataError, match=r"1 of 3 PSUs are too small to be written \(b\): fewer than 5 "
    ) as caught:
        found.save(tmp_path / "m.parquet")
    assert "lower min_respondents" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_answers_that_differences_tell_are_noted(tmp_path):
    answers = np.tile([[1.0, 2.0], [3.0, 2.0]], (10, 1))
    answers[4] = 4.0, np.nan  # the only one who answered the first item and not the second
    both, psu = ("one", "two"), np.repeat(["a", "b"], 10)
    scales = {
        "means": Scale("means", both, "means"),
        "first": Scale("first", ("one",), "means"),
        "listwise": Scale("listwise", both),
        "variances": Scale("variances", both, "variances"),
        "pairwise": Scale("pairwise", both, missing="pairwise"),
    }

    def notes(*names: str) -> tuple[str, ...]:
        found = Moments.from_answers(
            answers, psu=psu, items=both, scales=[scales[name] for name in names]
        )
        file = found.save(tmp_path / "m.parquet", min_respondents=5)
        return Moments.load(file).notes

    for names in (["means", "listwise"], ["variances", "first"], ["pairwise"]):
        (note,) = notes(*names)
        assert note.endswith("answered an item and not another: 1. Their answers can be computed.")
    for names in (["means"], ["listwise", "variances"], ["variances"]):
        assert notes(*names) == ()
    # Indeed, the answer of the one is what is left.
    found = Moments.from_answers(
        answers, psu=psu, items=both, scales=[scales["means"], scales["listwise"]]
    )
    (means, about), (products, centre) = found.part("means"), found.part("listwise")
    rest = means[:, 5] + about[0] * means[:, 3] - products[:, 2] - centre[0] * products[:, 1]
    assert rest[0] == 4.0
    answers[14:18] = answers[4]
    answers[4] = 1.0, 2.0
    assert "not another: 1." in notes("means", "listwise")[0]
    answers[18] = answers[14]
    assert notes("means", "listwise") == ()


@pytest.mark.parametrize("minimum", [0, 2.5, True, "5"])
def test_bad_minimum(tmp_path, minimum):
    with pytest.raises(SpecError, match="whole number >= 1"):
        moments(table()).save(tmp_path / "m.parquet", min_respondents=minimum)


def test_files_that_are_no_moments(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        Moments.load(tmp_path / "none.parquet")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="damaged"):
        Moments.load(tmp_path / "damaged.parquet")
    other = write_parquet(tmp_path / "o.parquet", pd.DataFrame({"a": [1]}), {"kind": "scores"})
    with pytest.raises(DataError, match="holds a 'scores', not moments"):
        Moments.load(other)


def rewritten(path: Path, change: Callable[[dict, pa.Table], pa.Table | None]) -> Path:
    """Write a moment file anew, with another description or another table."""
    read = pq.read_table(path)
    told = json.loads(read.schema.metadata[b"lgpi"])
    other = change(told, read)
    kept = read if other is None else other
    pq.write_table(kept.replace_schema_metadata({b"lgpi": json.dumps(told).encode()}), path)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told, _: told.update(format=99), "has format 99; this version"),
        (lambda told, _: told.pop("scales"), "damaged: it does not say what it holds"),
        (lambda told, _: told.update(lonely="adjust"), "not those that were written"),
        (lambda told, _: told["scales"][0].update(items=["q1"]), "sums has shape"),
        (lambda told, _: told.update(centre=[1.0]), "centre has shape"),
        (lambda told, _: told["scales"][0].update(needs="everything"), "needs: must be one of"),
        (lambda told, _: told["scales"][0].update(colour="red"), "damaged: it does not say"),
        (lambda told, _: told.update(centre=[0.0, 0.0, 1.0]), "not those that were written"),
        (lambda told, _: told["scales"][0].update(reverse=["q2"]), "its scales or notes are not"),
        (lambda told, _: told["scales"][0].update(items=["q1", "q3", "q2"]), "scales or notes"),
        (lambda told, _: told.update(notes=[]) or told.update(min_respondents=9), "or notes are"),
        (lambda told, _: told.update(scales=["a"]), "damaged: it does not say what it holds"),
        (lambda told, _: told.pop("arrays"), r"damaged: it does not hold .* \(KeyError\)"),
        (lambda told, _: told["arrays"].update(sums=[5, 5]), "does not hold what it says"),
        (lambda _, table: table.drop_columns("dropped"), "does not hold what it says"),
        (
            lambda _, table: table.set_column(
                3, "sums", table["sums"].cast(pa.list_(pa.float32(), 11)).combine_chunks()
            ),
            "sums must be float64 and dropped int64, got sums float32, dropped int64",
        ),
        (lambda _, table: table.set_column(0, "psu", pa.array(["x"] * 12)), "11 PSUs occur twice"),
        (lambda _, table: table.rename_columns(["who", *table.column_names[1:]]), "columns are "),
    ],
)
def test_damaged_files_say_what_is_wrong(tmp_path, change, message):
    found = moments(table(n=400), scales=SCALES[:1])
    path = found.save(tmp_path / "m.parquet", min_respondents=1)

    def changed(told: dict, read: pa.Table) -> pa.Table | None:
        result = change(told, read)
        return result if isinstance(result, pa.Table) else None

    with pytest.raises(DataError, match=message) as caught:
        Moments.load(rewritten(path, changed))
    assert "m.parquet" in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"\xff{}", b"[1]", b'"moments"', b"{"])
def test_descriptions_that_cannot_be_read(tmp_path, text):
    path = moments(table(n=400)).save(tmp_path / "m.parquet")
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"lgpi": text}), path)
    with pytest.raises(DataError, match=r"m\.parquet is damaged"):
        Moments.load(path)


def test_one_damaged_bit_is_found_or_changes_nothing(tmp_path):
    scales = [Scale("a", ("q1", "q2"), reverse=("q2",)), Scale("means", ("q1", "q2"), "means")]
    found = moments(table(n=400), scales=scales)
    path = found.save(tmp_path / "m.parquet")
    found = Moments.load(path)
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            back = Moments.load(path)
        except DataError:
            refused += 1
            continue
        assert (back.digest, back.notes) == (found.digest, found.notes)
    assert refused > len(whole) / 10


def test_a_file_of_an_earlier_version_has_no_seal(tmp_path):
    found = moments(table(n=400), scales=SCALES[:1])
    path = found.save(tmp_path / "m.parquet", min_respondents=1)
    back = Moments.load(rewritten(path, lambda told, _: told.pop("seal") and None))
    assert back.digest == found.digest


def test_files_with_impossible_sums(tmp_path):
    found = moments(table(n=400), scales=SCALES[:1])
    found.sums[3, 5] = np.nan
    write = {"sums": found.sums, "dropped": found.dropped}
    path = found.save(tmp_path / "good.parquet", min_respondents=1)
    told = json.loads(pq.read_schema(path).metadata[b"lgpi"])
    write_parquet(tmp_path / "m.parquet", found.psus, told, write)
    with pytest.raises(DataError, match="some sums are missing or infinite"):
        Moments.load(tmp_path / "m.parquet")


def test_labels_that_differ_in_spaces_are_one_thing_named_twice():
    frame = table().astype({"stratum": str, "psu": str})
    frame.loc[frame["psu"] == "4", "stratum"] = " 1"
    with pytest.raises(DataError, match="stratum: 1 named twice, with and without spaces"):
        moments(frame)
    frame = table().astype({"psu": str})
    frame.loc[frame.index[frame["psu"] == "4"][0], "psu"] = "4 "
    with pytest.raises(DataError, match=r"psu: 1 named twice.*\('4' and '4 '\)\. Write each one"):
        moments(frame)


def test_centres_of_other_scales_are_refused():
    frame = table()
    first = moments(frame[:60])
    second = moments(frame[60:], centre=first.centre)
    assert_array_equal(second.centre, first.centre)
    with pytest.raises(SpecError, match="centre must be that of the same scales"):
        moments(frame, centre=[1.0])


def test_a_survey_takes_categories_from_the_codebook():
    frame = table(whole=True)
    frame = frame[(frame[list(ITEMS)] > 1).all(axis=1)]  # nobody says 1
    design = SurveyDesign(psu="psu")
    for scales, expected in (
        ([(1, 5)] * 4, CATEGORIES),
        ([(1, 5), (1, 5), (1, 5), (1, 7)], CATEGORIES[1:]),
        ([(1, 100)] * 4, CATEGORIES[1:]),
        ([(0.5, 5)] * 4, CATEGORIES[1:]),
        ([None] * 4, CATEGORIES[1:]),
    ):
        book = Codebook(
            tuple(
                Indicator(item, scale=scale, direction="negative" if item == "q2" else "positive")
                for item, scale in zip(ITEMS, scales, strict=True)
            )
        )
        found = Survey(frame, book, design).moments(ITEMS, needs="pair counts")
        assert found.scale().categories == expected
        assert found.scale().reverse == ("q2",)
        assert np.isfinite(ordinal_alpha(found.pair_counts()))


def test_indicators_from_a_file(tmp_path):
    frame = table(n=400)
    book = Codebook(tuple(Indicator(item) for item in ITEMS))
    found = moments(frame, scales=SCALES)
    back = Moments.load(found.save(tmp_path / "m.parquet", min_respondents=1)).indicators(book)
    direct = found.indicators(book)
    pd.testing.assert_frame_equal(back.values, direct.values)
    pd.testing.assert_frame_equal(back.std_errors, direct.std_errors)
    assert any("one PSU with answers" in note for note in direct.notes)
    with pytest.raises(SpecError, match="no scale holds means"):
        moments(frame, missing="pairwise").indicators(book)
    with pytest.raises(SpecError, match="names no places"):
        Moments.from_answers(frame[list(ITEMS)], psu=frame["psu"], needs="means").indicators(book)


@pytest.mark.parametrize("needs", ["covariance", "variances"])
def test_means_of_complete_answers_come_from_their_sums(needs):
    frame = table(n=400)
    frame.loc[::7, "q2"] = np.nan
    book = Codebook(tuple(Indicator(item) for item in ITEMS))
    scales = [Scale("pair", ("q1", "q2"), needs, reverse=("q2",)), Scale("rest", ("q3",), "means")]
    found = moments(frame, weighted=True, scales=scales)
    means, errors, counts = found.means("pair")
    complete = frame.dropna(subset=["q1", "q2"])
    alone = moments(complete, weighted=True, scales=[Scale("pair", ("q1", "q2"), "means")])
    for ours, theirs in zip((means, errors, counts), alone.means(), strict=True):
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-12)
    assert (counts["q1"] < frame.groupby("place")["q1"].count().to_numpy()).any()
    told = found.indicators(book)
    assert list(told.values.columns) == ["q3", "q1", "q2"]
    pd.testing.assert_series_equal(told.values["q2"], means["q2"], check_names=False)
    assert any("q1, q2 rest on the" in note for note in told.notes)


def test_pooled_errors_are_known_for_places_of_one_psu():
    frame = table(n=400)
    frame["place"] = np.where(frame["psu"] == 11, 9, frame["psu"] // 4)
    frame["stratum"] = 0
    book = Codebook(tuple(Indicator(item) for item in ITEMS))
    design, pooled = (moments(frame, needs="means").indicators(book, pooled=p) for p in (0, 1))
    assert design.std_errors.loc["9"].isna().all()
    assert pooled.std_errors.notna().all(axis=None)
    assert any("pooled=True smooths them" in note for note in design.notes)
    assert any("pooled over places" in note for note in pooled.notes)


def test_a_replicate_that_leaves_too_few_respondents_has_no_answer():
    found = Moments.from_answers([[1.0, 2.0, 3.0], [2.0, 2.0, 5.0]], psu=[1, 2])
    spread = found.spread(None, found.replicate([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]))
    assert_array_equal(np.isnan(alpha(spread)), [True, False, True])
    assert np.isnan(average_r(spread)[[0, 2]]).all()


@pytest.mark.parametrize(("needs", "missing"), LAYOUTS)
def test_one_respondent_has_no_variance_whatever_the_rounding(needs, missing):
    answers, weight = [[0.1, 0.7, 1.3], [2.2, 0.9, 3.1]], [0.3, 1.7]
    found = Moments.from_answers(answers, psu=[1, 2], weight=weight, needs=needs, missing=missing)
    spread = found.spread(None, found.replicate([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    assert np.isnan(spread.variances[:2]).all()
    assert np.isnan(spread.total[:2]).all()
    assert np.isfinite(spread.variances[2]).all()


def test_repr_tells_what_is_held():
    assert repr(moments(table())) == "Moments of 12 PSUs: all items (4 items)"


def test_some_psus_and_some_scales():
    rng = np.random.default_rng(5)
    table = pd.DataFrame(rng.normal(size=(40, 4)), columns=list("abcd"))
    psu = np.repeat(np.arange(8), 5)
    scales = [Scale("first", ("a", "b")), Scale("second", ("c", "d", "a"), "variances")]
    whole = Moments.from_answers(table, psu=psu, scales=scales)
    kept = psu < 3
    part = whole.among(whole.psus["psu"].astype(int) < 3)
    alone = Moments.from_answers(table[kept], psu=psu[kept], scales=scales)
    assert_allclose(part.spread("first").covariance, alone.spread("first").covariance)
    assert part.n_psu == 3
    second = whole.only(["second"])
    assert [scale.name for scale in second.scales] == ["second"]
    assert_allclose(second.spread().total, whole.spread("second").total)
    sums, centre = whole.part("second")
    assert sums.shape == (8, 9)
    assert centre.shape == (3,)
    assert_allclose(sums[:, 2:5].sum(axis=0) + 40 * centre, table[["c", "d", "a"]].sum())
    with pytest.raises(DataError, match="no PSU is among those to keep"):
        whole.among(np.zeros(8, dtype=bool))
    with pytest.raises(SpecError, match="name a scale to keep: first, second"):
        whole.only([])
