from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research import plots
from lgpi_research.errors import SpecError
from lgpi_research.links import LinkResult, link_autonomy
from lgpi_research.methods.heterogeneity import tau2_interval
from lgpi_research.methods.meta import prediction_interval, random_effects
from lgpi_research.results import load_result
from lgpi_research.spec import LinkDesign
from lgpi_research.synthesis import Synthesis, synthesise

DESIGN = LinkDesign(
    "score ~ own_share | region",
    cluster="region",
    estimand_group="own revenue / total revenue, municipal, within",
    measure_label="own revenue share",
    measure_unit="share",
    outcome_label="governance",
)
SETTINGS = ("Atria", "Borea", "Cymra", "Doria", "Elgia", "Fenna")


def link(seed: int, slope: float = 2.0, design: LinkDesign = DESIGN, n: int = 150) -> LinkResult:
    rng = np.random.default_rng([50, seed])
    region = rng.integers(0, 10, n)
    share = rng.uniform(0, 1, n)
    score = slope * share + rng.normal(0, 0.3, 10)[region] + rng.normal(size=n)
    table = pd.DataFrame({"region": region.astype(str), "own_share": share, "score": score})
    return link_autonomy(table, design)


def told(made: LinkResult, **changes: object) -> LinkResult:
    return replace(made, details=made.details | changes)


@pytest.fixture(scope="module")
def links() -> dict[str, LinkResult]:
    slopes = np.random.default_rng(51).normal(2.0, 1.2, 6)
    return {name: link(i, slopes[i]) for i, name in enumerate(SETTINGS)}


def sources(links: dict[str, LinkResult]) -> dict[str, str]:
    return {name: f"finance ministry of {name}" for name in links}


@pytest.fixture(scope="module")
def pooled(links) -> Synthesis:
    return synthesise(links, sources=sources(links))


# What is found


@pytest.mark.parametrize("method", ["REML", "PM", "DL"])
@pytest.mark.parametrize("test", ["modified", "plain", "normal"])
def test_pools_slopes_in_sd_of_score_with_their_standard_errors(links, method, test):
    found = synthesise(links, sources=sources(links), method=method, test=test, level=0.9)
    slopes = np.array([each.details["slope"] for each in links.values()])
    errors = slopes / np.array([each.measure["t"] for each in links.values()])
    fit = random_effects(slopes, errors**2, method=method, test=test, level=0.9)
    details = found.details
    assert_allclose(found.frame["estimate"], slopes)
    assert_allclose(found.frame["std_error"], errors)
    assert_allclose(
        [details[name] for name in ("estimate", "std_error", "ci_low", "ci_high", "tau2", "i2")],
        [fit.coef[0], fit.std_error[0], *fit.ci[0], fit.tau2, fit.i2],
    )
    assert_allclose(
        [details["tau2_low"], details["tau2_high"]], tau2_interval(slopes, errors**2, level=0.9)
    )
    assert_allclose(
        [details["prediction_low"], details["prediction_high"]], prediction_interval(fit, df=4)
    )
    assert details["df"] == (np.inf if test == "normal" else 5)
    assert_allclose(found.frame["weight"].sum(), 1)


def test_intervals_of_settings_are_those_of_their_links(links, pooled):
    for end in ("low", "high"):
        expected = [each.details[f"slope_{end}"] for each in links.values()]
        assert_allclose(pooled.frame[f"ci_{end}"], expected)


def test_blups_lie_between_the_slope_and_the_pooled_one(pooled):
    frame, middle = pooled.frame, pooled.details["estimate"]
    drawn = (frame["blup"] - middle) / (frame["estimate"] - middle)
    assert drawn.between(0, 1).all()


def test_each_setting_is_left_out_in_turn(links, pooled):
    kept = [name != "Cymra" for name in SETTINGS]
    rest = random_effects(
        pooled.frame["estimate"][kept], np.square(pooled.frame["std_error"][kept])
    )
    assert_allclose(pooled.frame["without"][2], rest.coef[0])
    assert pooled.details["without_low"] == pooled.frame["without"].min()
    assert any("Left out one at a time" in note for note in pooled.notes)


def test_order_of_settings_does_not_matter(links, pooled):
    turned = dict(reversed(links.items()))
    other = synthesise(turned, sources=sources(turned))
    for name in ("estimate", "ci_low", "tau2", "prediction_high"):
        assert_allclose(other.details[name], pooled.details[name])


def test_steps_are_brought_to_that_of_the_first_setting(links, pooled):
    changed = dict(links)
    changed["Doria"] = link(3, design=DESIGN.change(per=0.5))
    plain = dict(links, Doria=link(3))
    other, same = (synthesise(each, sources=sources(each)) for each in (changed, plain))
    assert_allclose(other.frame["estimate"], same.frame["estimate"])
    assert any("all slopes are given per 0.1" in note for note in other.notes)
    assert not any("steps" in note for note in pooled.notes)


def test_noise_corrected_and_observed_scores_together_are_noted(links, pooled):
    mixed = dict(links, Atria=link(0, design=DESIGN.change(score_reliability=0.8)))
    note = "The SD of score is without error in Atria and as observed"
    assert any(note in each for each in synthesise(mixed, sources=sources(mixed)).notes)
    assert not any(note in each for each in pooled.notes)


def test_slopes_that_agree_leave_no_variance_and_say_so():
    same = {name: link(9) for name in SETTINGS}
    same = {
        name: replace(each, provenance=each.provenance | {"data": {"table": name}})
        for name, each in same.items()
    }
    found = synthesise(same, sources=sources(same))
    assert found.details["tau2"] == 0
    assert any("estimated as 0" in note for note in found.notes)
    assert any("it was held at 1" in note for note in found.notes)
    assert_allclose(found.frame["weight"], 1 / 6)


def test_errors_from_few_clusters_are_said_to_be_used_as_known(links, pooled):
    low, high = pooled.frame["df"].min(), pooled.frame["df"].max()
    assert f"{low:.1f} to {high:.1f} degrees of freedom" in pooled.notes[0]
    frame = links["Borea"].frame.assign(df=2.5)
    few = dict(links, Borea=replace(links["Borea"], frame=frame))
    found = synthesise(few, sources=sources(few))
    assert any("Borea have fewer than 4" in note for note in found.notes)
    assert not any("fewer than 4" in note for note in pooled.notes)


def test_links_that_are_not_the_main_ones_are_named(links):
    other = dict(links, Elgia=told(links["Elgia"], role="robustness"))
    notes = synthesise(other, sources=sources(other)).notes
    assert any("(Elgia) come from a robustness link" in note for note in notes)


# What is refused


def refusal(links: dict[str, LinkResult], given: dict | None = None, **options: object) -> str:
    with pytest.raises(SpecError) as found:
        synthesise(links, sources=sources(links) if given is None else given, **options)
    return str(found.value)


def test_fewer_than_five_settings_are_refused(links):
    assert "4 settings cannot show" in refusal(dict(list(links.items())[:4]))
    assert "0 settings" in refusal({})


def test_different_or_unnamed_estimand_groups_are_refused(links):
    mixed = dict(links, Atria=told(links["Atria"], estimand_group="tax per head"))
    mixed["Borea"] = told(links["Borea"], estimand_group="")
    text = refusal(mixed)
    assert "2 estimand groups: 'tax per head' (Atria)" in text
    assert "Borea: no estimand_group" in text


def test_different_units_are_refused(links):
    mixed = dict(links, Atria=told(links["Atria"], measure_unit="percent"))
    assert "'percent' (Atria)" in refusal(mixed)


def test_settings_that_share_a_source_are_refused(links):
    given: dict = sources(links)
    given["Atria"] = ["EQI", " wgi "]
    given["Borea"] = "WGI"
    assert "Atria, Borea: all rest on wgi" in refusal(links, given)


def test_settings_that_name_no_source_are_refused(links):
    given: dict = sources(links)
    del given["Atria"]
    given["Borea"] = [" "]
    text = refusal(links, given | {"Cymro": "x"})
    assert "Atria, Borea name no source" in text
    assert "there is no setting 'Cymro'. Did you mean 'Cymra'?" in text


def test_settings_made_from_one_table_are_refused(links):
    assert "Atria, Fenna: are made from the same table" in refusal(
        dict(links, Fenna=links["Atria"])
    )


def test_links_shown_as_a_warning_are_refused(links):
    assert "Fenna: shown as a warning" in refusal(
        dict(links, Fenna=told(links["Fenna"], role="warning"))
    )


def test_what_is_no_link_is_refused(links):
    assert "Fenna: no result of link_autonomy()" in refusal(dict(links, Fenna=links))


def test_every_reason_is_given_at_once(links):
    few = {name: told(links[name], role="warning") for name in ("Atria", "Borea")}
    text = refusal(few, {"Atria": "one"}, method="remle", test="hk", level=95)
    assert text.startswith("6 problems in the synthesis")
    for reason in ("method:", "test:", "level", "2 settings", "warning", "Borea name no source"):
        assert reason in text


# How it is shown


def test_headline_speaks_of_an_association(pooled, links):
    assert "tend to be higher where own revenue share is higher" in pooled.headline()
    turned = {name: link(i, -3.0) for i, name in enumerate(SETTINGS)}
    assert "tend to be lower" in synthesise(turned, sources=sources(turned)).headline()
    none = {name: link(i, 0.0) for i, name in enumerate(SETTINGS)}
    found = synthesise(none, sources=sources(none))
    assert found.details["ci_low"] < 0 < found.details["ci_high"]
    assert "do not tell whether" in found.headline()
    for result in (pooled, found):
        text = " ".join([result.headline(), result.methods_text(), *result.notes]).lower()
        for word in ("impact", "leads to", "effect of"):
            assert word not in text


def test_methods_text_cites_what_was_used(links):
    keys = {
        ("REML", "modified"): ("Viechtbauer2005", "Rover2015", "IntHout2016"),
        ("PM", "plain"): ("PauleMandel1982", "KnappHartung2003"),
        ("DL", "normal"): ("DerSimonianLaird1986", "Viechtbauer2007"),
    }
    for (method, test), cited in keys.items():
        found = synthesise(links, sources=sources(links), method=method, test=test)
        for key in cited:
            assert f"@{key}" in found.methods_text()
            assert f"{{{key}," in found.references
    assert "Rover2015" not in found.references


def test_summary_ends_with_the_pooled_slope_and_a_further_setting(pooled):
    table = pooled.summary()
    assert table["setting"].tolist() == [*SETTINGS, "Pooled", "Further setting"]
    assert table["estimate"].iloc[-2] == pooled.details["estimate"]
    assert table["df"].iloc[-1] == 4


@pytest.mark.parametrize("test", ["modified", "normal"])
def test_saved_results_come_back(links, tmp_path, test):
    made = synthesise(links, sources=sources(links), test=test)
    back = load_result(made.save(tmp_path / "pooled.parquet"))
    assert isinstance(back, Synthesis)
    assert back.headline() == made.headline()
    assert back.methods_text() == made.methods_text()
    assert json.loads(made.to_json())["details"]["k"] == 6
    pd.testing.assert_frame_equal(back.frame, made.frame)
    assert "Pooled" in repr(back)
    plots.close(back.plot())


def test_forest_shows_settings_diamond_and_prediction(pooled):
    axes = pooled.plot()
    labels = [text.get_text().replace("\n", " ") for text in axes.get_yticklabels()]
    assert labels[-2:] == ["Pooled (REML)", "Further setting (predicted)"]
    assert len(labels) == 8
    assert labels[0] == f"Atria ({100 * pooled.frame['weight'][0]:.0f} %)"
    corners = axes.patches[0].get_path().vertices
    details = pooled.details
    assert_allclose(
        [corners[:, 0].min(), corners[:, 0].max()], [details["ci_low"], details["ci_high"]]
    )
    bar = axes.collections[-1].get_segments()[0]
    assert_allclose(bar[:, 0], [details["prediction_low"], details["prediction_high"]])
    plots.close(axes)
