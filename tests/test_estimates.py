"""Estimates as a researcher asks for them: surveys in, tables, notes and sentences out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.estimates import STATISTICS, VARIANCES, estimate_survey
from lgpi_research.methods import estimates as methods
from lgpi_research.plots import close
from lgpi_research.results import load_result
from lgpi_research.survey import Survey, SurveyDesign

BOOK = Codebook(
    (
        Indicator("trust", label="Trust in the council", scale=(1, 5), missing_codes=(-99,)),
        Indicator("wait"),
        Indicator("tax"),
    )
)
DESIGN = SurveyDesign(psu="village", stratum="region", weight="w", place="district")


def table(n: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    village = np.arange(n) % 12
    trust = np.clip(np.rint(3 + rng.normal(size=12)[village] + rng.normal(size=n)), 1, 5)
    frame = pd.DataFrame({"trust": trust, "wait": rng.gamma(2, 10, n), "tax": rng.gamma(3, 5, n)})
    frame.loc[[3, 9, 40], "trust"] = -99
    return frame.assign(
        village=village,
        region=np.array(["north", "south", "coast"])[village // 4],
        district=np.array(["a", "b", "c", "d", "e", "f"])[village // 2],
        sex=np.where(rng.random(n) < 0.5, "f", "m"),
        w=rng.uniform(5, 20, n),
        villages=np.array([40, 25, 9])[village // 4],
    )


@pytest.fixture
def survey():
    return Survey(table(), BOOK, DESIGN)


def test_design_effects_take_the_share_drawn_into_account_where_the_population_is_stated():
    counted = Survey(table(), BOOK, replace(DESIGN, population="villages"))
    found = methods.means(counted.values.to_numpy(float), counted.linear_design())
    assert_allclose(estimate_survey(counted).frame["deff"], found.deff)
    assert (found.deff != found.deff_replace).all()


def test_each_statistic_is_what_the_method_gives(survey):
    y, design = survey.values.to_numpy(float), survey.linear_design()
    expected = {
        "mean": methods.means(y, design),
        "total": methods.totals(y, design),
        "variance": methods.variances(y, design),
    }
    for statistic, found in expected.items():
        frame = estimate_survey(survey, statistic).frame
        assert frame["indicator"].tolist() == ["trust", "wait", "tax"]
        assert frame["label"].tolist() == ["Trust in the council", "wait", "tax"]
        for name in ("estimate", "std_error", "df", "n_used", "n_dropped"):
            assert_allclose(frame[name], getattr(found, name))
        assert_allclose(frame[["ci_low", "ci_high"]].T, found.interval())
        assert_allclose(frame["deff"], found.deff_replace)
    ratio = estimate_survey(survey, "ratio", denominator="tax").frame
    assert ratio["indicator"].tolist() == ["trust", "wait"]
    assert_allclose(ratio["std_error"], methods.ratios(y[:, :2], y[:, [2, 2]], design).std_error)
    median = estimate_survey(survey, "quantile", items=["wait", "tax"], probs=[0.5, 0.9]).frame
    assert median["prob"].tolist() == [0.5, 0.9, 0.5, 0.9]
    one = methods.quantiles(y[:, 2], [0.5, 0.9], design)
    assert_allclose(median["ci_high"][2:], one.ci_high)
    assert_allclose(median["std_error"][2:], one.std_error)


def test_shares_have_logit_intervals(survey):
    found = estimate_survey(survey, "proportion", items=["trust"])
    frame = found.frame
    assert frame["category"].tolist() == ["1", "2", "3", "4", "5"]
    assert_allclose(frame["estimate"].sum(), 1)
    assert (frame["ci_low"] > 0).all()
    low, high = methods.logit_interval(frame["estimate"], frame["std_error"], frame["df"])
    assert_allclose(frame["ci_low"], low)
    assert_allclose(frame["ci_high"], high)
    assert found.headline().startswith("The share 1 of Trust in the council is ")
    assert "logit scale [@KornGraubard1998]" in found.methods_text()


def test_domains_stay_in_the_design(survey):
    y, design = survey.values["wait"].to_numpy(float), survey.linear_design()
    found = estimate_survey(survey, items=["wait"], by="sex").frame
    assert found["domain"].tolist() == ["f", "m"]
    _, joint = methods.domain_means(y, survey.frame["sex"], design)
    assert_allclose(found["std_error"], joint.std_error)
    all_items = estimate_survey(survey, by="sex").frame
    assert len(all_items) == 6
    again = all_items[all_items["indicator"] == "wait"].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, found)


def test_respondents_without_a_domain_are_counted():
    frame = table()
    frame.loc[[0, 1], "sex"] = None
    found = estimate_survey(Survey(frame, BOOK, DESIGN), items=["wait"], by="sex")
    assert "sex: 2 respondents have none and are in no domain." in found.notes
    assert found.frame["n_used"].sum() == 118


def test_a_domain_of_one_psu_has_no_error(survey):
    found = estimate_survey(survey, items=["wait"], by="village")
    assert found.frame["estimate"].notna().all()
    assert found.frame[["std_error", "ci_low", "ci_high", "deff"]].isna().all(axis=None)
    assert any(note.startswith("12 of 12 estimates rest on one PSU") for note in found.notes)


def test_what_is_missing_is_noted(survey):
    found = estimate_survey(survey)
    assert "trust: missing codes set aside: -99 (3)." in found.notes
    assert "Answers missing, of 120 respondents: trust 3." in found.notes
    assert "3 of 3 estimates have fewer than 10 degrees of freedom: their errors are rough." in (
        found.notes
    )
    frame = table()
    frame.loc[:4, "w"] = 0.0
    idle = estimate_survey(Survey(frame, BOOK, DESIGN))
    assert "5 of 120 respondents have weight 0: they count in no estimate." in idle.notes
    assert idle.frame["n_used"].tolist() == [113, 115, 115]
    assert "Answers missing, of 115 respondents with a weight: trust 2." in idle.notes


def test_all_of_a_population_has_no_error():
    frame = table().assign(w=1.0, villages=4)
    design = SurveyDesign(psu="village", stratum="region", population="villages")
    found = estimate_survey(Survey(frame, BOOK, design))
    assert_allclose(found.frame["std_error"], 0.0, atol=1e-12)
    assert_allclose(found.frame["ci_low"], found.frame["estimate"])
    assert "finite-population corrections" in found.methods_text()


def test_populations_of_later_stages_alone_correct_nothing():
    frame = table().assign(house=np.arange(120) // 12, houses=50)
    design = replace(DESIGN, ssu="house", population=(None, "houses"))
    found, plain = (estimate_survey(Survey(frame, BOOK, d)) for d in (design, DESIGN))
    assert_allclose(found.frame["std_error"], plain.frame["std_error"])
    assert "PSUs counting as drawn with replacement" in found.methods_text()
    assert "finite-population" not in found.methods_text()


@pytest.mark.parametrize("variance", [v for v in VARIANCES if v != "taylor"])
def test_replicates_agree_with_linearisation(variance):
    frame = table()
    frame["region"] = [f"r{v // 2}" for v in frame["village"]]  # two villages each, as brr needs
    survey = Survey(frame, BOOK, DESIGN)
    for statistic in ("mean", "total", "ratio"):
        told = {"denominator": "tax"} if statistic == "ratio" else {}
        taylor = estimate_survey(survey, statistic, **told).frame
        found = estimate_survey(
            survey, statistic, variance=variance, n_replicates=2000, seed=0, **told
        )
        assert_allclose(found.frame["estimate"], taylor["estimate"])
        assert (found.frame["df"] == taylor["df"]).all()
        if variance != "bootstrap":
            near = 0.12 if "bootstrap" in variance else 0.05
            assert_allclose(found.frame["std_error"], taylor["std_error"], rtol=near)
            assert_allclose(found.frame["deff"], taylor["deff"], rtol=2.5 * near)
    assert found.provenance["seed"] == (0 if "bootstrap" in variance else None)
    assert VARIANCES[variance] in found.methods_text()


def test_the_jackknife_of_a_total_is_exact(survey):
    one, other = (
        estimate_survey(survey, "total", variance=v).frame for v in ("taylor", "jackknife")
    )
    pd.testing.assert_frame_equal(one, other)


def test_more_replicates_begin_with_the_same():
    from lgpi_research.estimates import _replicates

    design = Survey(table(), BOOK, DESIGN).linear_design()
    few, many = (_replicates(design, "subbootstrap", n, 7) for n in (10, 1500))
    assert (few.multipliers == many.multipliers[:10]).all()
    assert_allclose([few.scale, many.scale], [1 / 10, 1 / 1500])
    again = _replicates(design, "subbootstrap", 10, 8)
    assert (again.multipliers != few.multipliers).any()


def test_a_seed_is_drawn_recorded_and_gives_the_same_bytes(survey):
    first = estimate_survey(survey, variance="subbootstrap", n_replicates=50)
    again = estimate_survey(
        survey, variance="subbootstrap", n_replicates=50, seed=first.provenance["seed"]
    )
    assert first.digest() == again.digest()


def test_replicates_that_leave_a_domain_empty_are_said(survey):
    found = estimate_survey(survey, items=["wait"], by="district", variance="jackknife")
    assert found.frame["std_error"].notna().all()
    taylor = estimate_survey(survey, items=["wait"], by="district").frame
    assert found.frame["df"].tolist() == taylor["df"].tolist() == [1] * 6
    # With two of a stratum's four PSUs: 3/8 of the squared difference against 1/6.
    assert_allclose(found.frame["std_error"] / taylor["std_error"], 1.5, rtol=0.05)
    frame = table()
    frame["here"] = np.where(frame["village"] == 3, "only", "others")
    few = estimate_survey(
        Survey(frame, BOOK, DESIGN), items=["wait"], by="here", variance="jackknife"
    )
    assert few.frame["std_error"].isna().tolist() == [True, False]
    assert any(note.startswith("only: no error. ") for note in few.notes)


def test_the_total_of_a_domain_is_0_in_replicates_without_it(survey):
    """Two of four villages: one replicate in eight draws neither."""
    told = {"items": ["tax"], "by": "district"}
    taylor = estimate_survey(survey, "total", **told).frame
    found = estimate_survey(
        survey, "total", variance="subbootstrap", n_replicates=2000, seed=0, **told
    )
    assert_allclose(found.frame["std_error"], taylor["std_error"], rtol=0.12)
    assert not any("no error" in note for note in found.notes)


def test_an_item_that_replicates_leave_empty_takes_no_error_from_others():
    frame = table()
    frame.loc[frame["village"] != 3, "wait"] = np.nan
    short = Survey(frame, BOOK, DESIGN)
    found = estimate_survey(short, variance="jackknife")
    alone = estimate_survey(short, items=["trust", "tax"], variance="jackknife").frame
    assert found.frame["std_error"].isna().tolist() == [False, True, False]
    assert_allclose(found.frame["std_error"].dropna(), alone["std_error"])
    assert any(note.startswith("the survey, wait: no error. 1 of 12") for note in found.notes)
    with pytest.raises(MethodError, match="1 of 12 replicates have no estimate"):
        estimate_survey(short, items=["wait"], variance="jackknife")


def test_quantiles_by_replicates(survey):
    frame = table()
    frame["region"] = [f"r{v // 2}" for v in frame["village"]]
    paired = Survey(frame, BOOK, DESIGN)
    told = {"items": ["wait"], "probs": [0.5]}
    found = estimate_survey(paired, "quantile", variance="fay", **told).frame
    taylor = estimate_survey(paired, "quantile", **told).frame
    assert_allclose(found["estimate"], taylor["estimate"])
    assert 0.4 < found["std_error"][0] / taylor["std_error"][0] < 2.5
    with pytest.raises(SpecError, match="jackknife has no valid error for quantiles"):
        estimate_survey(survey, "quantile", variance="jackknife")


def test_the_unit_of_weights_matters_to_totals_alone(survey):
    scaled = Survey(table().assign(w=lambda t: 10 * t["w"]), BOOK, DESIGN)
    for statistic in ("mean", "quantile", "proportion"):
        one, other = (estimate_survey(s, statistic).frame for s in (survey, scaled))
        assert_allclose(one["std_error"], other["std_error"])
    one, other = (estimate_survey(s, "total").frame for s in (survey, scaled))
    assert_allclose(10 * one["std_error"], other["std_error"])


def test_words_files_and_pictures(survey, tmp_path):
    found = estimate_survey(survey, by="region", items=["trust"])
    assert found.headline().startswith("The mean of Trust in the council in coast is ")
    assert found.headline().endswith("; 3 estimates in all.")
    said = found.methods_text()
    assert "in the domains of region, from 12 PSUs in 3 strata, with design weights" in said
    assert "Binder1983" in found.references
    assert found.summary().columns[:2].tolist() == ["label", "domain"]
    loaded = load_result(found.save(tmp_path / "estimates.parquet"))
    pd.testing.assert_frame_equal(loaded.frame, found.frame)
    assert loaded.headline() == found.headline()
    assert json.loads(found.to_json())["frame"]
    axes = found.plot()
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [f"Trust in the council, {name}" for name in ("coast", "north", "south")]
    for statistic in STATISTICS:
        told = {"denominator": "tax"} if statistic == "ratio" else {}
        one = estimate_survey(survey, statistic, **told)
        assert STATISTICS[statistic][0] in one.headline()
        assert one.references
        close(one.plot())


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"statistic": "means"}, "Did you mean 'mean'"),
        ({"variance": "tailor"}, "Did you mean 'taylor'"),
        ({"items": ["trsut"]}, "trsut is no item of the codebook. Did you mean 'trust'"),
        ({"items": "trust"}, r"such as \['trust'\]"),
        ({"items": ["tax", "tax"]}, "one is named twice"),
        ({"items": []}, "items: there is none"),
        ({"statistic": "ratio"}, "'ratio' needs one"),
        ({"denominator": "tax"}, "nothing else does"),
        ({"statistic": "ratio", "denominator": "txa"}, "denominator: txa is no item"),
        ({"statistic": "quantile", "probs": [0.5, 1]}, "probs: one or more between 0 and 1"),
        ({"level": 95}, "level: must lie between 0 and 1"),
        ({"n_replicates": 1}, "at least 2"),
        ({"statistic": "means", "level": 2}, "2 problems"),
    ],
)
def test_options_that_make_no_sense(survey, told, message):
    with pytest.raises(SpecError, match=message):
        estimate_survey(survey, **told)


def test_domains_that_are_not_there(survey):
    with pytest.raises(DataError, match=r"no columns are called 'sexx'\. Did you mean 'sex'"):
        estimate_survey(survey, by="sexx")
    empty = Survey(table().assign(sex=None), BOOK, DESIGN)
    with pytest.raises(DataError, match="'sex' has no value"):
        estimate_survey(empty, by="sex")


def test_a_stratum_of_one_psu_says_what_to_do():
    frame = table()
    frame = frame[(frame["region"] != "coast") | (frame["village"] == 8)]
    with pytest.raises(MethodError, match=r"1 of 3 strata have one PSU \(coast\)"):
        estimate_survey(Survey(frame, BOOK, DESIGN))
    known = SurveyDesign(
        psu="village", stratum="region", weight="w", place="district", lonely="adjust"
    )
    found = estimate_survey(Survey(frame, BOOK, known))
    assert found.frame["std_error"].notna().all()
    with pytest.raises(SpecError, match="lonely: 'adjust' has no meaning for replicates"):
        estimate_survey(Survey(frame, BOOK, known), variance="jackknife")
