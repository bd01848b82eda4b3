"""How many dimensions a scale has: known answers, invariances, groups, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research import plots
from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.dimensions import Dimensionality, assess_dimensions
from lgpi_research.errors import DataError, SpecError
from lgpi_research.results import load_result
from lgpi_research.survey import Survey, SurveyDesign

ITEMS = [f"q{i}" for i in range(1, 7)]


def answers(n: int = 1200, correlation: float = 0.2, seed: int = 0) -> pd.DataFrame:
    """Six items, three of each of two traits, cut to five answers."""
    rng = np.random.default_rng(seed)
    traits = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], size=n)
    latent = np.repeat(traits, 3, axis=1) * 0.8 + 0.6 * rng.standard_normal((n, 6))
    cut = np.digitize(latent, [-1.5, -0.5, 0.5, 1.5]) + 1.0
    return pd.DataFrame(cut, columns=ITEMS)


def survey_of(frame: pd.DataFrame) -> Survey:
    book = Codebook(
        (
            *(Indicator(i, dimension="all six", measurement="reflective") for i in ITEMS[:6]),
            *(Indicator(f"f{i}", dimension="made of", measurement="formative") for i in range(3)),
        )
    )
    rng = np.random.default_rng(1)
    extra = {f"f{i}": rng.integers(1, 6, len(frame)) for i in range(3)}
    rows = frame.assign(
        **extra, psu=np.arange(len(frame)) // 10, land=np.arange(len(frame)) // 10 % 3
    )
    return Survey(rows, book, SurveyDesign(psu="psu"))


@pytest.mark.parametrize("correlation", ["pearson", "polychoric"])
@pytest.mark.parametrize("method", ["minres", "ml", "principal_axis"])
def test_two_traits_are_found_and_told_apart(correlation, method):
    found = assess_dimensions(answers(), correlation=correlation, method=method, seed=0)
    (row,) = found.frame.to_dict("records")
    assert (row["parallel"], row["map"], row["scree"], row["factors"]) == (2, 2, 2, 2)
    table = found.loadings()
    loads = table[["factor_1", "factor_2"]].abs().to_numpy()
    own = loads[:3].mean(axis=0).argmax()
    assert (loads[:3, own] > 0.6).all()
    assert (loads[3:, 1 - own] > 0.6).all()
    assert (np.delete(loads[:3], own, axis=1) < 0.1).all()
    assert row["rmsr"] < 0.02
    assert 0.1 < row["omega_hierarchical"] < row["omega_total"] < 1


def test_one_trait_is_one_dimension_and_its_loadings_are_known():
    frame = answers(n=20_000, correlation=1.0)
    found = assess_dimensions(frame, correlation="polychoric", seed=0)
    assert found.frame["parallel"].tolist() == [1]
    # Of the normal variables behind the answers: 0.8 and 0.6, whose squares add up to 1.
    assert_allclose(found.loadings()["factor_1"], 0.8, atol=0.02)
    assert found.frame["omega_hierarchical"].isna().all()
    assert "finds 1 dimension in 6 items" in found.headline()


def test_order_of_respondents_and_units_of_items_do_not_matter():
    frame = answers()
    one = assess_dimensions(frame, seed=0)
    other = assess_dimensions(frame.sample(frac=1, random_state=3) * 10 - 7, seed=0)
    columns = ["kmo", "chi_square", "root_1", "rmsr", "omega_hierarchical", "parallel"]
    assert_allclose(one.frame[columns], other.frame[columns], rtol=1e-7)
    again = assess_dimensions(frame, seed=0)
    assert again.digest() == one.digest()


def test_roots_and_adequacy_by_hand():
    frame = answers()
    (row,) = assess_dimensions(frame, seed=0).frame.to_dict("records")
    matrix = frame.corr().to_numpy()
    assert_allclose([row["root_1"], row["root_2"]], np.linalg.eigvalsh(matrix)[::-1][:2])
    inverse = np.linalg.inv(matrix)
    partial = inverse / np.sqrt(np.outer(np.diag(inverse), np.diag(inverse)))
    off = ~np.eye(6, dtype=bool)
    square, rest = (matrix[off] ** 2).sum(), (partial[off] ** 2).sum()
    assert_allclose(row["kmo"], square / (square + rest))
    statistic = -(1200 - 1 - 17 / 6) * np.log(np.linalg.det(matrix))
    assert_allclose(row["chi_square"], statistic)


def test_moments_and_their_file_say_the_same(tmp_path):
    survey = survey_of(answers())
    whole = assess_dimensions(survey, seed=0)
    assert whole.frame["dimension"].tolist() == ["all six"]
    path = survey.moments().save(tmp_path / "m.parquet")
    from_file = assess_dimensions(type(survey.moments()).load(path), seed=0)
    pd.testing.assert_frame_equal(whole.frame, from_file.frame, rtol=1e-9)
    pairs = survey.moments(ITEMS, needs="pair counts")
    counted = assess_dimensions(pairs, correlation="polychoric", seed=0)
    direct = assess_dimensions(survey, correlation="polychoric", seed=0)
    assert_allclose(counted.frame["rmsr"], direct.frame["rmsr"], rtol=1e-9)
    # Parallel analysis is of Pearson correlations, whichever are factored.
    assert_allclose(counted.details["roots"]["all items"]["roots"],
                    whole.details["roots"]["all six"]["roots"], rtol=1e-9)  # fmt: skip


def test_groups_stand_beside_the_whole():
    found = assess_dimensions(survey_of(answers()), by="land", seed=0)
    assert found.frame["group"].tolist() == ["all", "0", "1", "2"]
    assert found.frame["n_used"].tolist() == [1200, 400, 400, 400]
    alone = assess_dimensions(answers().iloc[np.arange(1200) // 10 % 3 == 1], seed=0)
    assert_allclose(found.frame["kmo"].iloc[2], alone.frame["kmo"].iloc[0])
    assert "one dimension in 0 of 3 groups" in found.headline()
    frame = answers()
    frame.loc[np.arange(1200) // 10 % 3 == 2, "q1"] = 3.0
    left = assess_dimensions(survey_of(frame), by="land", seed=0)
    assert left.frame["group"].tolist() == ["all", "0", "1"]
    assert any("Left out, 2: all six: q1 never varies" in note for note in left.notes)


def test_a_result_is_written_and_read(tmp_path):
    found = assess_dimensions(answers(), seed=0)
    back = load_result(found.save(tmp_path / "d.parquet"))
    assert isinstance(back, Dimensionality)
    pd.testing.assert_frame_equal(back.frame, found.frame)
    pd.testing.assert_frame_equal(back.loadings(), found.loadings())
    assert "[@Horn1965]" in back.methods_text()
    assert list(back.summary().columns)[:2] == ["dimension", "group"]
    for kind in ("scree", "loadings"):
        plots.close(back.plot(kind=kind))


def test_factors_that_are_no_solution_are_named():
    rng = np.random.default_rng(0)
    noise = pd.DataFrame(rng.integers(1, 6, (60, 6)), columns=ITEMS)
    found = assess_dimensions(noise, factors=3, seed=0)
    assert found.loadings().empty
    assert any("no loadings of 3 factors" in note for note in found.notes)
    assert any("little is shared" in note for note in found.notes)
    assert found.frame["rmsr"].isna().all()
    with pytest.raises(SpecError, match="none has factors"):
        found.plot(kind="loadings")
    many = assess_dimensions(answers(), factors=5, seed=0)
    assert any("6 items have 3 factors at most; 5 were wanted" in note for note in many.notes)


def test_what_cannot_be_examined_is_refused():
    frame = answers()
    with pytest.raises(SpecError, match=r"(?s)3 problems.*correlation.*method.*'minres'\?.*draws"):
        assess_dimensions(frame, correlation="kendall", method="minrs", draws=3)
    with pytest.raises(SpecError, match="no reflective scale of 3 items"):
        assess_dimensions(frame[ITEMS[:2]])
    with pytest.raises(SpecError, match="there are covariance"):
        assess_dimensions(survey_of(frame).moments(), correlation="polychoric")
    with pytest.raises(DataError, match="q2 and q7 correlate perfectly"):
        assess_dimensions(frame.assign(q7=frame["q2"] * 2))
    with pytest.raises(DataError, match="not positive definite"):
        assess_dimensions(frame.assign(q7=frame["q1"] + frame["q2"]))
    with pytest.raises(SpecError, match="not of list"):
        assess_dimensions([1, 2, 3])
    groups = pd.Series(np.where(np.arange(1200) < 600, "all", "none"))
    with pytest.raises(SpecError, match="600 of 1200 rows are of a group called 'all'"):
        assess_dimensions(survey_of(frame), by=groups)
    found = assess_dimensions(frame, seed=0)
    with pytest.raises(SpecError, match="Did you mean 'scree'"):
        found.plot(kind="scre")
    with pytest.raises(SpecError, match="Name a scale: all items"):
        found.plot(dimension="other")
