"""Smoothed place scores, the mark that they carry, and what refuses it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.indicators import SMOOTHED, Indicators
from lgpi_research.links import link_autonomy
from lgpi_research.methods.smallarea import fay_herriot
from lgpi_research.results import load_result
from lgpi_research.scoring import score_index
from lgpi_research.smoothing import smooth_places
from lgpi_research.spec import IndexSpec, LinkDesign

BOOK = Codebook(
    (
        Indicator("voice", dimension="process", scale=(0, 10)),
        Indicator("bribes", dimension="process", direction="negative"),
        Indicator("roads", dimension="services"),
    )
)


@pytest.fixture
def places():
    rng = np.random.default_rng(21)
    n = 30
    frame = pd.DataFrame({"place": [f"p{i:02d}" for i in range(n)], "oblast": list("abcdef") * 5})
    frame["name"] = "Place " + frame["place"]
    frame["own_share"] = rng.uniform(size=n)
    for name in BOOK.names:
        frame[f"{name}_se"] = rng.uniform(0.3, 1.2, n)
        truth = 5 + frame["own_share"] + rng.normal(size=n)
        frame[name] = truth + frame[f"{name}_se"] * rng.normal(size=n)
    return frame


def taken(frame, **more):
    errors = {name: f"{name}_se" for name in BOOK.names}
    return Indicators.from_table(
        frame, BOOK, unit="place", std_errors=errors, group="oblast", label="name", **more
    )


def test_each_indicator_is_what_the_method_gives(places):
    covariates = places.set_index("place")[["own_share"]]
    found = smooth_places(taken(places), covariates.sample(frac=1, random_state=1), method="fh")
    X = np.column_stack([np.ones(30), places["own_share"]])
    assert found.frame["indicator"].tolist() == np.repeat(BOOK.names, 30).tolist()
    for name in BOOK.names:
        model = fay_herriot(places[name], places[f"{name}_se"] ** 2, X, method="fh")
        part = found.frame[found.frame["indicator"] == name]
        assert_array_equal(part["eblup"], model.eblup)
        assert_array_equal(part["rmse"], np.sqrt(model.mse))
        assert_array_equal(part["direct"], places[name])
        assert_allclose(part["ci_high"] - part["eblup"], 1.959964 * part["rmse"], rtol=1e-6)
        told = found.details["models"][name]
        assert list(told["coefficients"].values()) == model.coef.tolist()
        assert told["variance"] == model.variance
    assert (found.frame["label"] == "Place " + found.frame["unit"]).all()


def test_places_without_estimates_are_counted_and_synthetic(places):
    places.loc[3, "voice"] = places.loc[3, "voice_se"] = np.nan
    places.loc[[5, 6], "voice_se"] = np.nan
    covariates = places.set_index("place")[["own_share"]]
    covariates.loc["elsewhere"] = 0.5
    found = smooth_places(taken(places), covariates)
    voice = found.frame[found.frame["indicator"] == "voice"].set_index("unit")
    assert voice.index[voice["synthetic"]].tolist() == ["p03", "p05", "p06", "elsewhere"]
    assert voice["eblup"].notna().all()
    intercept, slope = found.details["models"]["voice"]["coefficients"].values()
    assert_allclose(voice.loc["elsewhere", "eblup"], intercept + slope / 2)
    text = " ".join(found.notes)
    assert "1 places stand only in the covariates" in text
    assert "voice: 1 places have no direct estimate" in text
    assert "voice: 2 direct estimates have no standard error and are not used" in text
    assert "(p05, p06)" in text
    assert "bribes:" not in text
    made = found.indicators()
    assert made.units[-1] == "elsewhere"
    assert made.groups.isna().tolist() == [False] * 30 + [True]


def test_smoothed_indicators_are_marked_and_keep_the_mark(places, tmp_path):
    found = smooth_places(taken(places))
    copy = load_result(found.save(tmp_path / "places.parquet"))
    for made in (found.indicators(), copy.indicators()):
        assert made.smoothed == BOOK.names
        assert made.codebook == BOOK
        assert made.units.name == "place"
        wide = found.frame.pivot(index="unit", columns="indicator", values="eblup")
        assert_array_equal(made.values, wide[list(BOOK.names)])
        assert made.labels.iloc[0] == "Place p00"
        assert made.select(("roads",)).smoothed == ("roads",)
        assert made.complete()[0].smoothed == BOOK.names
        assert made.at(2020).smoothed == BOOK.names
        assert made._rows(pd.Series([True] * 2 + [False] * 28)).smoothed == BOOK.names
        assert any("Smoothed scores are for reporting and ranking" in note for note in made.notes)
        with pytest.raises(SpecError, match="voice, bribes, roads are smoothed already"):
            smooth_places(made)
    assert copy.headline() == found.headline()


def test_the_mark_changes_the_digest_and_must_name_indicators(places):
    data = taken(places)
    marked = Indicators(data.values, BOOK, data.std_errors, smoothed=("voice",))
    plain = Indicators(data.values, BOOK, data.std_errors)
    assert marked.digest != plain.digest == data.digest
    with pytest.raises(DataError, match=r"smoothed: voce is no indicator.*Did you mean 'voice'"):
        Indicators(data.values, BOOK, smoothed=("voce",))


SPEC = IndexSpec(
    "index", {"process": ("voice", "bribes"), "services": ("roads",)}, normalise="zscore"
)


def test_scores_of_smoothed_indicators_are_no_outcome(places, tmp_path):
    smoothed = smooth_places(taken(places)).indicators()
    scores = score_index(smoothed, SPEC)
    assert scores.details[SMOOTHED] == ["score", "dimension_process", "dimension_services"]
    assert "unfit as the outcome of a regression" in scores.notes[-1]
    again = load_result(scores.save(tmp_path / "scores.parquet"))
    for made in (scores, again):
        table = made.frame.assign(own_share=places["own_share"], oblast=places["oblast"])
        for outcome in ("score", "dimension_process"):
            design = LinkDesign(f"{outcome} ~ own_share", cluster="oblast")
            with pytest.raises(SpecError, match=f"{outcome}: made of smoothed.*direct estimates"):
                link_autonomy(table, design)
    table = smoothed.values.assign(
        own_share=places["own_share"].to_numpy(), oblast=places["oblast"].to_numpy(), score=1.0
    )
    made_of = LinkDesign("score ~ own_share", cluster="oblast", score_columns=("voice", "bribes"))
    with pytest.raises(SpecError, match="voice, bribes: made of smoothed"):
        link_autonomy(table, made_of)


def test_only_what_is_made_of_smoothed_indicators_is_marked(places):
    data = taken(places)
    partly = Indicators(data.values, BOOK, smoothed=("roads",))
    scores = score_index(partly, SPEC)
    assert scores.details[SMOOTHED] == ["score", "dimension_services"]
    table = scores.frame.assign(own_share=places["own_share"], oblast=places["oblast"])
    design = LinkDesign("dimension_process ~ own_share", cluster="oblast")
    assert len(link_autonomy(table, design).frame) == 2
    direct = score_index(data, SPEC)
    assert SMOOTHED not in direct.details
    table = direct.frame.assign(own_share=places["own_share"], oblast=places["oblast"])
    assert len(link_autonomy(table, LinkDesign("score ~ own_share", cluster="oblast")).frame) == 2


def test_smoothing_takes_its_shrinkage_out_of_slopes():
    # What the note says: a slope on what the smoothing did not know is too small by the mean
    # of shrinkage.
    rng = np.random.default_rng(22)
    n, slopes = 300, []
    for _ in range(60):
        x, errors = rng.normal(size=n), rng.uniform(0.5, 1.5, n)
        y = 0.5 * x + rng.normal(size=n) + errors * rng.normal(size=n)
        found = fay_herriot(y, errors**2)
        told = np.polyfit(x, y, 1)[0], np.polyfit(x, found.eblup, 1)[0]
        slopes.append([*told, 0.5 * found.shrinkage.mean()])
    direct, smoothed, expected = np.mean(slopes, axis=0)
    assert_allclose(direct, 0.5, atol=0.03)
    assert_allclose(smoothed, expected, atol=0.02)
    assert smoothed < 0.35


def test_notes_on_what_a_reader_must_know(places):
    same = places.assign(voice=5 + 0.01 * np.arange(30) % 3, roads_se=0.4)
    found = smooth_places(taken(same))
    assert "voice: the variance between places is 0" in " ".join(found.notes)
    beyond = places.assign(voice=np.where(places.index < 15, 0.0, 10.0))
    covariates = (beyond["voice"] + np.where(places.index == 3, 4.0, 0)).to_frame("x")
    covariates = pd.concat(
        [covariates.set_axis(places["place"]), pd.DataFrame({"x": [40.0]}, ["q"])]
    )
    found = smooth_places(taken(beyond), covariates)
    assert any("smoothed scores lie outside the scale 0..10" in note for note in found.notes)
    one_sure = places.assign(voice=5 + 0.1 * (-1.0) ** places.index, voice_se=1.0)
    one_sure.loc[0, "voice_se"] = 0.1
    found = smooth_places(taken(one_sure), method="fh")
    assert (found.frame["rmse"] > 0).all()
    assert any("errors of 29 places leave out the bias" in note for note in found.notes)


def test_bad_input_is_refused_all_at_once(places):
    data = taken(places)
    covariates = places.set_index("place")[["own_share"]]
    with pytest.raises(SpecError) as caught:
        smooth_places(data, method="rml", level=95)
    assert len(caught.value.problems) == 2
    with pytest.raises(DataError, match="no standard errors"):
        smooth_places(Indicators.from_table(places, BOOK, unit="place"))
    with pytest.raises(DataError, match=r"voice: the standard error is 0 in 1 places \(p02\)"):
        smooth_places(taken(places.assign(voice_se=places["voice_se"].where(places.index != 2, 0))))
    with pytest.raises(DataError, match="voice: no place has a standard error"):
        smooth_places(taken(places.assign(voice_se=np.nan)))
    with pytest.raises(DataError) as refused:
        smooth_places(
            data,
            covariates.assign(name="x", size=np.nan).drop(index="p04").rename({"p05": "p5"}),
        )
    assert "2 of 30 places are not in the index (p04, p05)" in str(refused.value)
    assert "name: is not numeric" in str(refused.value)
    assert "size: 29 values are missing or infinite" in str(refused.value)
    with pytest.raises(DataError, match="1 places stand in more than one row"):
        smooth_places(data, pd.concat([covariates, covariates.head(1)]))
    with pytest.raises(MethodError) as failed:
        smooth_places(data, covariates.assign(twice=2 * covariates["own_share"]))
    assert len(failed.value.problems) == 3
    waves = pd.concat([places.assign(year=2020), places.assign(year=2021)])
    with pytest.raises(SpecError, match=r"several periods \(2020, 2021\).*at\(period\)"):
        smooth_places(taken(waves, period="year"))
    with pytest.raises(SpecError, match="Did you mean 'voice'"):
        smooth_places(data).plot(indicator="voce")


def test_the_result_tells_and_draws(places):
    found = smooth_places(taken(places), places.set_index("place")[["own_share"]])
    assert found.headline().startswith("30 places smoothed on 3 indicators; direct estimates keep")
    assert found.summary()["indicator"].tolist() == list(BOOK.names)
    assert (found.summary()["rmse"] < found.summary()["std_error"]).all()
    text = found.methods_text()
    assert "a regression on own_share" in text
    for key in ("FayHerriot1979", "RaoMolina2015", "DattaLahiri2000"):
        assert key in found.references
    for method in ("ml", "fh", "pr"):
        assert smooth_places(taken(places), method=method).references.count("@") == 3
    ax = found.plot(indicator="roads")
    points = ax.collections[0].get_offsets()
    part = found.frame[found.frame["indicator"] == "roads"]
    assert_array_equal(points, part[["direct", "eblup"]])
