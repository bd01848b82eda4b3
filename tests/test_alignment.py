"""Alignment of scales over groups: known means, invariances, clusters, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research import plots
from lgpi_research.alignment import AlignedScales, assess_alignment
from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.errors import DataError, SpecError
from lgpi_research.methods.latent.alignment import align_groups
from lgpi_research.methods.onefactor import one_factor
from lgpi_research.moments import Moments
from lgpi_research.results import load_result
from lgpi_research.survey import Survey, SurveyDesign

ITEMS = ("q1", "q2", "q3", "q4", "q5")
LOADINGS = np.array([0.9, 0.8, 0.7, 0.8, 0.6])
GROUPS = tuple("abcdefgh")
MEANS = np.array([0.0, 0.4, -0.3, 0.8, 0.2, -0.6, 0.5, 0.1])
SIZES = np.array([1.0, 1.2, 0.9, 1.1, 0.8, 1.0, 1.3, 0.9])  # standard deviations


def answers(
    rng: np.random.Generator, n: int = 500, per_psu: int = 10, share: float = 0.0
) -> pd.DataFrame:
    """One factor in eight groups; q5 has another intercept in c, q1 another loading in f."""
    parts = []
    for group, mean, size in zip(GROUPS, MEANS, SIZES, strict=True):
        cluster = np.repeat(rng.standard_normal(n // per_psu), per_psu)
        own = rng.standard_normal(n)
        trait = mean + size * (np.sqrt(share) * cluster + np.sqrt(1 - share) * own)
        load = LOADINGS - (0.4 * (np.arange(5) == 0) if group == "f" else 0)
        cut = 3 + (1.0 * (np.arange(5) == 4) if group == "c" else np.zeros(5))
        x = cut + trait[:, None] * load + 0.6 * rng.standard_normal((n, 5))
        parts.append(
            pd.DataFrame(x, columns=ITEMS).assign(
                land=group, psu=[f"{group}{i}" for i in np.arange(n) // per_psu]
            )
        )
    return pd.concat(parts, ignore_index=True)


def survey_of(frame: pd.DataFrame, negative: str = "") -> Survey:
    book = Codebook(
        tuple(
            Indicator(
                item,
                dimension="trait",
                measurement="reflective",
                direction="negative" if item == negative else "positive",
            )
            for item in ITEMS
        )
    )
    return Survey(frame, book, SurveyDesign(psu="psu", stratum="land"))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return answers(np.random.default_rng(0), n=2000)


@pytest.fixture(scope="module")
def found(frame: pd.DataFrame) -> AlignedScales:
    return assess_alignment(survey_of(frame), "land")


def test_known_means_and_what_differs_are_found(found):
    table = found.frame.set_index("group")
    assert_allclose(table["mean"], MEANS, atol=0.12)
    assert_allclose(table["variance"], SIZES**2, rtol=0.15)
    told = found.parameters()
    cut = told[told["intercept_differs"]]
    assert list(zip(cut["item"], cut["group"], strict=True)) == [("q5", "c")]
    load = told[told["loading_differs"]]
    assert list(zip(load["item"], load["group"], strict=True)) == [("q1", "f")]
    assert_allclose(found.details["noninvariant_share"]["trait"], 2 / 80)
    assert "3% of the loadings and intercepts of 8 groups differ" in found.headline()
    assert "means may be compared" in found.headline()
    assert "Lowest is f" in found.headline()
    items = found.items().set_index("item")
    assert items.loc["q5", "intercept_r2"] < items.loc["q2", "intercept_r2"]
    assert found.summary()["group"].iloc[0] == "d"


def test_units_order_and_direction_do_not_matter(frame, found):
    other = frame.sample(frac=1, random_state=1)
    other[list(ITEMS)] = 10 * other[list(ITEMS)] - 5
    moved = assess_alignment(survey_of(other), "land")
    columns = ["mean", "std_error", "variance"]
    assert_allclose(moved.frame[columns], found.frame[columns], rtol=1e-5, atol=1e-6)
    turned = assess_alignment(survey_of(frame.assign(q3=-frame["q3"]), negative="q3"), "land")
    assert_allclose(turned.frame[columns], found.frame[columns], rtol=1e-5, atol=1e-6)
    by_d = assess_alignment(survey_of(frame), "land", reference="d")
    gap = found.frame["mean"] - found.frame["mean"].iloc[3]
    size = np.sqrt(found.frame["variance"].iloc[3])
    # Where loadings differ, the reference matters a little.
    assert_allclose(by_d.frame["mean"], gap / size, atol=5e-3)


def test_moments_say_the_same(frame, found, tmp_path):
    path = survey_of(frame).moments().save(tmp_path / "m.parquet")
    from_file = assess_alignment(Moments.load(path), "stratum")
    assert_allclose(from_file.frame["mean"], found.frame["mean"], rtol=1e-8, atol=1e-10)
    assert_allclose(from_file.frame["std_error"], found.frame["std_error"], rtol=1e-8)


def test_errors_by_hand():
    few = answers(np.random.default_rng(5), n=200, per_psu=40)
    found = assess_alignment(survey_of(few), "land")
    parts = []
    for _, rows in few.groupby("land"):
        left = [rows[rows["psu"] != psu][list(ITEMS)] for psu in rows["psu"].unique()]
        made = np.array(
            [[*one_factor(x.cov().to_numpy()).loadings, *x.mean()] for x in (rows[[*ITEMS]], *left)]
        )
        moved = made[1:] - made[0]
        parts.append((made[0], 4 / 5 * moved.T @ moved, np.trace(rows[[*ITEMS]].cov()) / 5))
    first = np.array([part[0] for part in parts])
    cov, sizes = np.array([part[1] for part in parts]), [part[2] for part in parts]
    direct = align_groups(
        first[:, :5], first[:, 5:], cov, [200] * 8, smoothing=1e-3 * float(np.mean(sizes))
    )
    assert_allclose(found.frame["mean"], direct.means, atol=1e-6)
    assert_allclose(found.frame["std_error"], np.sqrt(np.diag(direct.cov)[:8]), rtol=1e-4)


def test_errors_allow_for_clusters():
    estimates, told = [], {"design": [], "normal": []}
    for seed in range(40):
        survey = survey_of(answers(np.random.default_rng(seed), share=0.4))
        for kind, errors in told.items():
            made = assess_alignment(survey, "land", errors=kind).frame
            errors.append(made["std_error"].to_numpy()[1:])
        estimates.append(made["mean"].to_numpy()[1:])
    spread = np.std(estimates, axis=0, ddof=1).mean()
    assert_allclose(np.mean(told["design"]) / spread, 1, atol=0.15)
    assert np.mean(told["normal"]) / spread < 0.75


def test_a_result_is_written_read_and_drawn(found, tmp_path):
    back = load_result(found.save(tmp_path / "a.parquet"))
    assert isinstance(back, AlignedScales)
    pd.testing.assert_frame_equal(back.parameters(), found.parameters())
    assert "[@AsparouhovMuthen2014]" in back.methods_text()
    for kind in ("means", "parameters"):
        plots.close(back.plot(kind=kind))
    with pytest.raises(SpecError, match="Did you mean 'means'"):
        found.plot(kind="mean")
    with pytest.raises(SpecError, match=r"No scale 'trai'\. Did you mean 'trait'"):
        found.plot(dimension="trai")


def test_groups_that_cannot_be_told_are_left_out_by_name(frame):
    other = frame.copy()
    other.loc[other["land"] == "b", "q2"] = 3.0
    other.loc[other["land"] == "g", "psu"] = "g0"
    found = assess_alignment(survey_of(other), "land", errors="normal")
    assert found.frame["group"].tolist() == [g for g in GROUPS if g != "b"]
    assert any("left out, b: trait: q2 never varies" in note for note in found.notes)
    again = assess_alignment(survey_of(other), "land")
    assert "g" not in again.frame["group"].tolist()
    assert any("left out, g: sampling error needs two PSUs" in note for note in again.notes)


def test_what_cannot_be_aligned_is_refused(frame):
    survey = survey_of(frame)
    with pytest.raises(SpecError, match=r"(?s)2 problems.*errors.*'normal'\?.*level"):
        assess_alignment(survey, "land", errors="norml", level=95)
    with pytest.raises(SpecError, match="no group 'z' that can be examined"):
        assess_alignment(survey, "land", reference="z")
    with pytest.raises(DataError, match="fewer than two"):
        assess_alignment(survey_of(frame[frame["land"] == "a"]), "land")
    with pytest.raises(SpecError, match="no reflective scale of 3 items"):
        assess_alignment(frame[["q1", "q2", "land"]], "land")
    with pytest.raises(SpecError, match="not of int"):
        assess_alignment(3, "land")
