"""Assessment of item non-response: counts by kind, bounds, comparisons, saved results."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal

from lgpi_research import plots
from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.methods.incomplete import FILLINGS, alphas
from lgpi_research.methods.mcar import little_test
from lgpi_research.methods.nonresponse import rest_scores
from lgpi_research.nonresponse import COLUMNS, Nonresponse, assess_nonresponse
from lgpi_research.results import load_result
from lgpi_research.survey import Survey, SurveyDesign

CODES = {8: "don't know", 9: "refused", -1: "not asked", 7: "other"}
BOOK = Codebook(
    (
        Indicator("trust", "Trust", "voice", scale=(1, 5), missing_codes=CODES),
        Indicator("wait", "Waiting", "voice", "negative", scale=(1, 5), missing_codes=CODES),
        Indicator("heard", "Heard", "voice", scale=(1, 5), missing_codes=CODES),
        Indicator("bribe", "Bribe", "filter", scale=(1, 5), missing_codes=CODES),
        Indicator("income", "Income", missing_codes=CODES),
    )
)
DESIGN = SurveyDesign(psu="psu", stratum="stratum", weight="w")


def table(n=480, seed=1):
    rng = np.random.default_rng(seed)
    psu = np.arange(n) % 24
    trait = 0.5 * rng.normal(size=24)[psu] + rng.normal(size=n)
    x = np.clip(np.rint(3 + trait[:, None] + rng.normal(size=(n, 5))), 1, 5)
    x[:, 1] = 6 - x[:, 1]
    x[:, 4] = np.exp(trait)
    frame = pd.DataFrame(x, columns=list(BOOK.names))
    silent = rng.random(n)
    # Those who trust little refuse.
    frame.loc[silent < 0.4 / (1 + np.exp(trait)), "trust"] = 9
    frame.loc[rng.random(n) < 0.05, "trust"] = 8
    frame.loc[rng.random(n) < 0.1, "wait"] = 8
    frame.loc[rng.random(n) < 0.05, "heard"] = np.nan
    frame.loc[rng.random(n) < 0.4, "bribe"] = -1
    frame.loc[rng.random(n) < 0.012, "bribe"] = 7
    return frame.assign(
        psu=psu,
        stratum=psu // 12,
        w=rng.uniform(0.5, 2, n),
        place=np.array(["a", "b", "c"])[psu % 3],
    )


@pytest.fixture(scope="module")
def survey():
    return Survey(table(), BOOK, DESIGN)


@pytest.fixture(scope="module")
def found(survey):
    return assess_nonresponse(survey)


def test_counts_and_shares_by_hand(survey, found):
    frame = survey.frame
    w = frame["w"]
    rows = found.frame.set_index("indicator")
    trust = rows.loc["trust"]
    assert trust["n"] == trust["eligible"] == 480
    assert trust["refused"] == (frame["trust"] == 9).sum() > 0
    assert trust["dont_know"] == (frame["trust"] == 8).sum() > 0
    assert rows.loc["heard", "blank"] == frame["heard"].isna().sum() > 0
    bribe = rows.loc["bribe"]
    assert bribe["eligible"] == (frame["bribe"] != -1).sum() < 480
    asked, answered = frame["bribe"] != -1, frame["bribe"].between(1, 5)
    assert_allclose(bribe["response_rate"], w[answered].sum() / w[asked].sum())
    assert_allclose(bribe["share_not_asked"], w[~asked].sum() / w.sum())
    assert_allclose(bribe["mean"], np.average(frame["bribe"][answered], weights=w[answered]))
    kinds = list(COLUMNS.values())
    assert (found.frame[kinds].sum(axis=1) == 480).all()
    assert_allclose(found.frame[[f"share_{kind}" for kind in kinds]].sum(axis=1), 1)
    rate = bribe["response_rate"]
    assert_allclose(bribe["bound_low"], rate * bribe["mean"] + (1 - rate) * 1)
    assert_allclose(bribe["bound_high"], rate * bribe["mean"] + (1 - rate) * 5)
    assert rows.loc["income", ["bound_low", "ci_high"]].isna().all()
    inner = rows.drop("income")
    assert (inner["ci_low"] < inner["bound_low"]).all()
    assert (inner["bound_high"] < inner["ci_high"]).all()


def test_notes_say_what_the_counts_leave_open(found):
    text = "\n".join(found.notes)
    other = int((table()["bribe"] == 7).sum())
    for said in (
        f"of people who were asked: bribe ({other}). Give missing_codes",
        "Blank cells count as no answer of people who were asked: heard (",
        "not asked were: bribe (",
        "income: no bounds",
        "clusters and unequal weights, so that its p-values are rough",
        f"fewer than 10 respondents gave no answer and have other ones: bribe other ({other})",
    ):
        assert said in text
    assert "74 % answered 'Trust', the fewest of 5 items; whatever" in found.headline()


def test_groups_are_those_of_a_survey_of_their_own_in_the_same_design(survey):
    found = assess_nonresponse(survey, by="place")
    assert list(found.frame["group"].unique()) == ["a", "b", "c"]
    part = found.frame[found.frame["group"] == "b"].set_index("indicator")
    rows = survey.frame[survey.frame["place"] == "b"]
    alone = assess_nonresponse(Survey(rows, BOOK, DESIGN)).frame.set_index("indicator")
    # Places are whole PSUs; errors differ by the number of PSUs in the strata only.
    same = ["n", "eligible", "refused", "response_rate", "share_blank", "mean", "bound_low"]
    assert_frame_equal(part[same], alone[same])
    fewest = found.frame.sort_values("response_rate").iloc[0]["group"]
    assert f"Of those asked in {fewest}, " in found.headline()


def test_respondents_without_a_group_or_weight_are_counted(survey):
    frame = survey.frame.copy()
    frame.loc[:4, "place"] = None
    frame.loc[10:12, "w"] = 0
    found = assess_nonresponse(Survey(frame, BOOK, DESIGN), by="place")
    assert "3 of 480 respondents have weight 0 and are left out." in found.notes
    assert "place: 5 respondents without a group are in none of the groups." in found.notes
    assert found.frame[found.frame["indicator"] == "trust"]["n"].sum() == 472


def test_those_who_refuse_are_seen_to_differ(survey, found):
    rows = found.dependence().set_index(["indicator", "kind"])
    refused = rows.loc[("trust", "refused")]
    assert refused["difference"] < -0.3
    assert refused["p_value"] < 0.01
    # As for everyone else, more is better: the answers about waiting are turned.
    turned = survey.values.to_numpy() * [1, -1, 1, 1, 1]
    weights = survey.roles["weight"].to_numpy()
    silent = (survey.frame["trust"] == 9).to_numpy()
    rest = rest_scores(turned, weights)[:, 0]
    answered = survey.values["trust"].notna().to_numpy()
    means = [np.average(rest[rows], weights=weights[rows]) for rows in (silent, answered)]
    assert_allclose(np.sign(means[0] - means[1]), -1)
    both = silent | answered
    spread = np.sqrt(np.cov(rest[both], aweights=weights[both], ddof=0))
    assert_allclose(refused["difference"], (means[0] - means[1]) / spread)
    assert ("bribe", "not asked") not in rows.index


def test_alphas_and_littles_test_are_those_of_the_dimension(survey, found):
    values = survey.values[["trust", "wait", "heard"]].to_numpy() * [1, -1, 1]
    some = ~np.isnan(values).all(axis=1)
    row = found.alphas().set_index("dimension").loc["voice"]
    weights = survey.roles["weight"].to_numpy()
    expected = alphas(values[some], weights[some], [1, -5, 1], [5, -1, 5])
    assert_allclose([row[name] for name in expected], list(expected.values()))
    assert row["lowest"] == min(expected[name] for name in FILLINGS)
    assert_allclose(row["listwise"], assess_alpha(survey))
    test = found.mcar().set_index("dimension").loc["voice"]
    assert_allclose(test["statistic"], little_test(values).statistic)
    assert list(found.mcar()["dimension"]) == ["voice"]


def assess_alpha(survey):
    from lgpi_research.methods.consistency import alpha

    return alpha(survey.moments(["trust", "wait", "heard"]).spread())


def test_pairs(survey, found):
    pairs = found.pairs().set_index(["first", "second"])["response_rate"]
    w, values = survey.frame["w"], survey.values
    asked = survey.frame["bribe"] != -1
    both = values["trust"].notna() & values["bribe"].notna()
    assert_allclose(pairs["trust", "bribe"], w[both].sum() / w[asked].sum())
    assert len(pairs) == 10


def test_filtered_items_are_left_out_of_what_would_fill_them():
    frame = table().drop(columns="income")
    book = Codebook(
        tuple(
            Indicator(name, dimension="all", scale=(1, 5), missing_codes=CODES)
            for name in ("trust", "wait", "heard", "bribe")
        )
    )
    found = assess_nonresponse(Survey(frame, book, DESIGN))
    spared = int((frame["bribe"] == -1).sum())
    assert found.alphas()["n_used"][0] <= 480 - spared
    text = "\n".join(found.notes)
    assert f"all: alpha under fillings leaves out {spared} respondents who were not asked" in text
    assert "all: Little's test leaves out bribe" in text
    assert found.mcar()["n_items"][0] == 3
    three = frame[["trust", "wait", "heard"]]
    three = three.where(three.isin(range(1, 6)))
    assert_allclose(found.mcar()["statistic"][0], little_test(three).statistic)


def test_complete_answers():
    frame = pd.DataFrame({"id": range(8), "a": [1, 2, 3, 4] * 2, "b": [1, 3, 3, 4, 2, 2, 3, 5]})
    book = Codebook((Indicator("a", scale=(1, 5)), Indicator("b", scale=(1, 5))))
    found = assess_nonresponse(Survey(frame, book, SurveyDesign(psu="id")))
    assert found.headline() == "Everyone who was asked answered all 2 items."
    row = found.frame.iloc[0]
    assert row["response_rate"] == 1
    assert_allclose([row["bound_low"], row["bound_high"]], 2.5)
    assert found.alphas().empty
    assert found.mcar().empty
    assert found.dependence().empty
    assert found.notes == ()
    assert found.references.count("@") == 3


def test_order_of_rows_does_not_matter(survey, found):
    mixed = survey.frame.sample(frac=1, random_state=3)
    again = assess_nonresponse(Survey(mixed, BOOK, DESIGN))
    assert_frame_equal(again.frame, found.frame)
    assert_frame_equal(again.dependence(), found.dependence())


def test_a_result_is_loaded_as_it_was_saved(found, tmp_path):
    loaded = load_result(found.save(tmp_path / "n.parquet"))
    assert isinstance(loaded, Nonresponse)
    assert_frame_equal(loaded.frame, found.frame)
    for part in ("dependence", "alphas", "mcar", "pairs", "summary"):
        assert_frame_equal(getattr(loaded, part)(), getattr(found, part)())
    assert loaded.headline() == found.headline()
    for key in ("Manski1989", "Manski2003", "ImbensManski2004", "Little1988"):
        assert f"{{{key}," in found.references


def test_a_picture_of_one_item_or_of_many_groups_can_be_read(survey):
    one = Survey(survey.frame, Codebook((BOOK["trust"],)), DESIGN)
    ax = assess_nonresponse(one).plot()
    ax.figure.draw_without_rendering()
    key, label = ax.figure.legends[0].get_window_extent(), ax.xaxis.label.get_window_extent()
    assert key.y1 <= label.y0
    plots.close(ax)
    frame = survey.frame.assign(street=[f"s{i % 80}" for i in range(len(survey))])
    result = assess_nonresponse(Survey(frame, survey.codebook, DESIGN), by="street")
    assert len(result.frame) > 3 * plots.MANY
    for draw in (result.plot, result.plot_bounds):
        ax = draw()
        assert ax.figure.get_size_inches()[1] < 0.4 * plots.MANY
        plots.close(ax)


def test_pictures(survey, found, tmp_path):
    for result in (found, assess_nonresponse(survey, by="place")):
        ax = result.plot()
        names = [text.get_text() for text in ax.figure.legends[0].get_texts()]
        assert names == ["answered", "don't know", "refused", "not asked", "other", "blank"]
        assert len(ax.patches) == 6 * len(result.frame)
        plots.save_figure(ax, tmp_path / "shares.png")
        plots.close(ax)
        ax = result.plot_bounds()
        assert len(ax.get_yticklabels()) == np.isfinite(result.frame["bound_low"]).sum()
        plots.save_figure(ax, tmp_path / "bounds.png")
        plots.close(ax)
    bare = Codebook((Indicator("income"),))
    with pytest.raises(DataError, match="no item has a scale"):
        assess_nonresponse(Survey(survey.frame, bare, DESIGN)).plot_bounds()


def test_what_is_wrong_is_said(survey):
    with pytest.raises(
        SpecError, match=r"by: the survey has no column 'plcae'\. Did you mean 'place'"
    ):
        assess_nonresponse(survey, by="plcae")
    with pytest.raises(SpecError, match="level must lie between 0 and 1"):
        assess_nonresponse(survey, level=95)
    with pytest.raises(DataError, match="empty: no respondent of the survey has a group"):
        assess_nonresponse(Survey(survey.frame.assign(empty=" "), BOOK, DESIGN), by="empty")
    lonely = survey.frame.assign(stratum=np.where(survey.frame["psu"] == 0, 5, 0))
    with pytest.raises(MethodError, match="one PSU"):
        assess_nonresponse(Survey(lonely, BOOK, DESIGN))
