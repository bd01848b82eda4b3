"""Moments of Afrobarometer: the known coefficients, their caveats, and nobody's answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.datasets import data_folder, load_dataset, load_moments
from lgpi_research.methods.consistency import alpha
from lgpi_research.methods.onefactor import omega_total
from lgpi_research.methods.ordinal import omega_categorical, ordinal_alpha, ordinal_omega
from lgpi_research.methods.polychoric import PairCounts

RAW = Path(__file__).resolve().parents[3] / "shared" / "data" / "raw"
needs_raw = pytest.mark.skipif(not RAW.is_dir(), reason="the published source files are not here")

SERVICES = [f"Q59{letter}" for letter in "ABCDEF"]
COUNCIL = [f"Q60{letter}" for letter in "ABCDEF"]
NAMES = (
    "afrobarometer_r4",
    "afrobarometer_r4_unweighted",
    "afrobarometer_r4_pairs",
    "afrobarometer_r3",
    "afrobarometer_r3_pairs",
    "afrobarometer_tunisia",
)


def round_4() -> pd.DataFrame:
    path = RAW / "afrobarometer-r4" / "afrobarometer_r4_local_government.csv.gz"
    return pd.read_csv(path, low_memory=False, keep_default_na=False)


def valid(frame: pd.DataFrame, items: list[str], low: int = 1, high: int = 4) -> pd.DataFrame:
    """Return answers as the codebook lists them; everything else is none."""
    return frame[items].where((frame[items] >= low) & (frame[items] <= high)).astype(float)


def plain_alpha(answers: pd.DataFrame, weights: pd.Series | None = None) -> float:
    complete = answers.dropna()
    if weights is None:
        matrix = complete.cov().to_numpy()
    else:
        w = weights[complete.index]
        centred = complete - np.average(complete, axis=0, weights=w)
        matrix = (centred.mul(w, axis=0).T @ centred).to_numpy()
    k = len(matrix)
    return k / (k - 1) * (1 - np.trace(matrix) / matrix.sum())


def test_alpha_of_the_two_batteries_is_the_known_one():
    moments = load_moments("afrobarometer_r4_unweighted")
    assert moments.n_used("services") == 16_314
    assert moments.n_used("council practice") == 19_206
    assert round(float(alpha(moments.spread("services"))), 2) == 0.87
    assert round(float(alpha(moments.spread("council practice"))), 2) == 0.93
    assert moments.n_used("services") + moments.n_dropped("services") == 27_713
    weighted = load_moments("afrobarometer_r4")
    assert weighted.n_used("services") == 16_314
    assert round(float(alpha(weighted.spread("services"))), 3) == 0.866
    assert round(float(alpha(weighted.spread("council practice"))), 3) == 0.923


@pytest.mark.parametrize("name", NAMES)
def test_at_least_five_respondents_stand_behind_every_sum(name):
    moments = load_moments(name)
    for number, scale in enumerate(moments.scales):
        k, layout = len(scale.items), scale.layout
        start = sum(other.width for other in moments.scales[:number])
        counts = moments.sums[:, start : start + layout.n_sets(k)]
        least = 30 if scale.needs == "pair counts" else 5
        assert ((counts == 0) | (counts >= least)).all()
    joined = moments.psus["psu"][moments.psus["psu"].str.contains(" + ", regex=False)]
    assert len(joined) > 0
    assert any(f"merged ({len(joined)})" in note for note in moments.notes)
    # A description, three labels and sums for each cluster: there is no row for a person.
    columns = pq.read_schema(data_folder() / f"{name}.parquet").names
    assert columns == ["psu", "stratum", "place", "sums", "dropped"]


def test_the_clusters_are_those_that_the_caveats_count():
    facts = {
        "afrobarometer_r4": (20, 245, 1300),
        "afrobarometer_r4_unweighted": (20, 245, 1300),
        "afrobarometer_r4_pairs": (20, 20, 196),
        "afrobarometer_r3": (18, 201, 1092),
        "afrobarometer_r3_pairs": (18, 18, 169),
        "afrobarometer_tunisia": (5, 35, 119),
    }
    for name, expected in facts.items():
        psus = load_moments(name).psus
        assert (psus["stratum"].nunique(), psus["place"].nunique(), len(psus)) == expected, name
        assert psus.groupby("stratum").size().min() >= 2, name  # no stratum is lonely
    sizes = load_moments("afrobarometer_r4").psus.groupby("place").size()
    assert (sizes.median(), sizes.min()) == (4, 1)


def test_countries_and_regions_are_two_views_of_one_file():
    data = load_dataset("afrobarometer_r4")
    regions = data.moments.indicators(data.codebook, pooled=True)
    assert regions.values.shape == (245, 16)
    assert regions.std_errors.notna().to_numpy().mean() > 0.99
    countries = replace(
        data.moments, psus=data.moments.psus.assign(place=data.moments.psus["stratum"])
    )
    table = countries.indicators(data.codebook)
    assert table.values.shape == (20, 16)
    assert (table.std_errors > 0).all(axis=None)
    assert {i.name for i in data.codebook if i.direction == "negative"} == {"corruption"}
    for item in data.codebook:
        low, high = item.scale
        assert table.values[item.name].between(low, high).all()


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("afrobarometer_r4", "afrobarometer_r4_pairs"),
        ("afrobarometer_r3", "afrobarometer_r3_pairs"),
    ],
)
def test_pairs_and_covariances_are_of_the_same_answers(name, other):
    moments, pairs = load_moments(name), load_moments(other)
    for scale in pairs.scales:
        plain = scale.name.removesuffix(" (pair counts)")
        spread = moments.spread(plain)
        counts = pairs.pair_counts(scale.name)
        assert pairs.n_used(scale.name) == moments.n_used(plain)
        k, scores = len(scale.items), np.array(scale.categories)
        table = counts.counts.reshape(k, 4, k, 4)
        means = np.einsum("iaia,a->i", table, scores) / np.trace(counts.counts) * k
        centred = scores - means[:, None]
        product = np.einsum("iajb,ia,jb->ij", table, centred, centred)
        assert_allclose(product / product[0, 0], spread.covariance / spread.covariance[0, 0], 1e-9)
        assert alpha(spread) < ordinal_alpha(counts) < 0.97
        assert ordinal_omega(counts) > omega_total(spread)
        assert np.isfinite(omega_categorical(counts))


def test_kinds_of_no_answer_add_up():
    data = load_dataset("afrobarometer_nonresponse")
    table = data.frame
    assert len(table) == 20 * 16
    kinds = table[["answered", "dont_know", "refused", "not_asked", "missing"]]
    assert_array_equal(kinds.sum(axis=1), table["respondents"])
    assert table.groupby("item")["respondents"].sum().eq(27_713).all()
    assert kinds.sum().tolist() == [372_714, 70_453, 0, 0, 241]
    assert (
        sum("are 0 throughout" in caveat or "is 0 throughout" in caveat for caveat in data.caveats)
        == 2
    )
    valid_share = table.groupby("country")["answered"].sum() / (
        16 * table.groupby("country")["respondents"].first()
    )
    for country, share in (
        ("Malawi", 0.62),
        ("Madagascar", 0.67),
        ("Cape Verde", 0.71),
        ("Liberia", 0.96),
    ):
        assert round(valid_share[country], 2) == share
    answered = table.groupby("item")["answered"].sum() / 27_713
    assert [round(1 - answered[item], 2) for item in ("licence_fees", "house_rates")] == [
        0.31,
        0.33,
    ]
    moments = load_moments("afrobarometer_r4")
    _, _, counts = moments.means("means")
    assert list(counts.columns) == ["trust", "corruption", "listening", "performance"]
    each = table.groupby("item")["answered"].sum()
    assert_array_equal(counts.sum(), each[counts.columns])
    for name in ("services", "council practice"):
        assert moments.n_used(name) <= each[list(moments.scale(name).items)].min()


@pytest.mark.parametrize("name", NAMES)
def test_no_difference_of_sums_is_of_a_few(name):
    moments = load_moments(name)
    assert not any("can be computed" in note for note in moments.notes)
    in_scales = [item for scale in moments.scales for item in scale.items]
    assert len(in_scales) == len(set(in_scales))


def test_files_of_one_survey_have_the_same_clusters():
    weighted, plain = (load_moments(f"afrobarometer_r4{end}") for end in ("", "_unweighted"))
    pd.testing.assert_frame_equal(weighted.psus, plain.psus)
    assert [scale.name for scale in weighted.scales] == [scale.name for scale in plain.scales]


def test_the_rounds_of_tunisia():
    data = load_dataset("afrobarometer_tunisia")
    moments = data.moments
    per_round = moments.psus.groupby("stratum").size()
    assert list(per_round.index) == [
        "round 5 (2013)",
        "round 6 (2015)",
        "round 7 (2018)",
        "round 8 (2020)",
        "round 9 (2022)",
    ]
    assert per_round.tolist()[2:] == [14, 14, 14]
    used = {scale.name: moments.n_used(scale.name) for scale in moments.scales}
    assert used == {
        "standing": 3517,
        "services": 849,
        "means": 5993,
    }
    rounds = replace(moments, psus=moments.psus.assign(place=moments.psus["stratum"]))
    means, _, counts = rounds.means("means")
    assert counts["budget_access"].gt(0).tolist() == [False, False, True, False, True]
    assert means["contact"].between(0, 3).all()
    answering = moments.has_answers("services")
    assert set(moments.strata[answering]) == {"round 5 (2013)"}
    assert moments.scale("standing").reverse == ("corruption",)


# Beside the published files


@needs_raw
def test_the_merged_file_gives_exactly_the_alpha_of_the_answers():
    frame = round_4()
    plain, weighted = load_moments("afrobarometer_r4_unweighted"), load_moments("afrobarometer_r4")
    for name, items in (("services", SERVICES), ("council practice", COUNCIL)):
        answers = valid(frame, items)
        assert plain.n_used(name) == len(answers.dropna())
        # Sums of whole numbers are exact, merged or not.
        covariance = plain.spread(name).covariance
        assert_allclose(covariance, answers.dropna().cov(), rtol=1e-12)
        assert_allclose(alpha(plain.spread(name)), plain_alpha(answers), rtol=1e-13)
        assert_allclose(
            alpha(weighted.spread(name)), plain_alpha(answers, frame["Withinwt"]), rtol=1e-12
        )


@needs_raw
def test_pair_counts_are_those_of_the_answers():
    frame = round_4()
    pairs = load_moments("afrobarometer_r4_pairs")
    for name, items in (("services", SERVICES), ("council practice", COUNCIL)):
        answers = valid(frame, items).dropna()
        expected = PairCounts.from_answers(
            answers, weights=frame.loc[answers.index, "Withinwt"], categories=(1, 2, 3, 4)
        )
        found = pairs.pair_counts(f"{name} (pair counts)")
        assert_allclose(found.counts, expected.counts, rtol=1e-11)
        assert_allclose(ordinal_alpha(found), ordinal_alpha(expected), rtol=1e-9)


@needs_raw
def test_means_of_countries_are_those_of_the_answers():
    frame = round_4()
    data = load_dataset("afrobarometer_r4")
    by_country = data.moments.psus.assign(place=data.moments.psus["stratum"])
    means, _, counts = replace(data.moments, psus=by_country).means("means")
    for ours, source, ends in (("trust", "Q49D", (0, 3)), ("performance", "Q70C", (1, 4))):
        answers = valid(frame, [source], *ends)[source]
        for country, part in answers.groupby(frame["country_name"]):
            seen = part.dropna()
            weights = frame.loc[seen.index, "Withinwt"]
            assert_allclose(means.loc[country, ours], np.average(seen, weights=weights), rtol=1e-11)
            assert counts.loc[country, ours] == len(seen)
    no_district = frame["DISTRICT"] == ""
    assert set(frame.loc[no_district, "country_name"]) == {"Lesotho"}
    named = frame[~no_district].groupby(["COUNTRY", "REGION", "DISTRICT"]).ngroups
    assert named == 1687
    items = [*SERVICES, *COUNCIL, "Q70C"]
    others = valid(frame, ["Q49D", "Q50C", "Q54B"], 0, 3)
    whole = pd.concat([valid(frame, items), others], axis=1).dropna()
    assert len(whole) == 11_818


@needs_raw
def test_round_3_is_that_of_the_answers():
    path = RAW / "afrobarometer-r3" / "afrobarometer_r3_local_government.csv.gz"
    frame = pd.read_csv(path, low_memory=False, keep_default_na=False)
    moments = load_moments("afrobarometer_r3")
    answers = valid(frame, ["q67a", "q67b", "q67c", "q67d"])
    assert moments.n_used("services") == len(answers.dropna()) == 16_710
    assert_allclose(
        alpha(moments.spread("services")), plain_alpha(answers, frame["withinwt"]), rtol=1e-12
    )
    weights = frame.groupby("country_name")["withinwt"].mean()
    odd = weights[(weights - 1).abs() > 0.001].round(2).to_dict()
    assert odd == {"Cape Verde": 0.89, "Lesotho": 1.03, "Nigeria": 0.93, "Tanzania": 0.96}
    assert int((frame["q67d"] == 9).sum()) == 7711


@needs_raw
def test_tunisia_is_that_of_the_answers():
    frame = pd.read_csv(RAW / "afrobarometer-tunisia" / "tunisia_local_government_r5_r9.csv")
    moments = load_moments("afrobarometer_tunisia")
    rounds = replace(moments, psus=moments.psus.assign(place=moments.psus["stratum"]))
    means, _, _ = rounds.means("means")
    for number, part in frame.groupby("round"):
        seen = part.dropna(subset=["contact_local"])
        weights = seen["withinwt"].fillna(1.0)
        expected = np.average(seen["contact_local"], weights=weights)
        label = next(place for place in means.index if place.startswith(f"round {number} "))
        assert_allclose(means.loc[label, "contact"], expected, rtol=1e-12)
    answered = frame.groupby("round")[["trust_local", "perform_local"]].count()
    assert answered["perform_local"].tolist() == [812, 970, 721, 891, 929]
    assert answered["trust_local"].tolist() == [1028, 1107, 982, 1074, 1119]
    assert set(frame.loc[frame["withinwt"].isna(), "round"]) == {8, 9}
    areas = frame.assign(name=frame["region_name"].str.strip()).groupby("round")["name"].nunique()
    assert areas.tolist() == [24, 24, 7, 7, 7]
