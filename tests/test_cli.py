"""The command line as a user meets it: readable tables, JSON, status, messages."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from lgpi_research.cli import app
from lgpi_research.datasets import list_datasets, load_moments
from lgpi_research.loading import load_study


def lgpi(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def answers(tmp_path):
    rng = np.random.default_rng(3)
    town = np.repeat(np.arange(15), 12)
    trait = rng.normal(size=15)[town] + rng.normal(size=180)
    frame = pd.DataFrame(
        {f"q{i}": np.clip(np.round(3 + trait + rng.normal(size=180)), 1, 5) for i in range(4)}
    ).assign(town=town, region=town // 5, w=rng.uniform(0.5, 2, 180))
    path = tmp_path / "answers.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def places(tmp_path):
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(rng.uniform(size=(30, 4)), columns=["a", "b", "c", "share"])
    frame = frame.assign(place=[f"p{i}" for i in range(30)], oblast=np.arange(30) % 6)
    path = tmp_path / "places.parquet"
    frame.to_parquet(path)
    return path


INDEX = ("--unit", "place", "--dimension", "open=a,b", "--dimension", "served=c", "--negative", "c")


def test_every_command_explains_itself():
    for command in (
        (),
        ("run",),
        ("reliability",),
        ("score",),
        ("sensitivity",),
        ("link",),
        ("data",),
        ("paper",),
        ("agreement",),
        ("estimate",),
        ("nonresponse",),
        ("decompose",),
    ):
        status, out, _ = lgpi(*command, "--help")
        assert status == 0
        assert "Usage" in out
    for name in ("--seed", "--draws", "--jobs", "--out", "--json"):
        assert name in lgpi("sensitivity", "--help")[1]


def test_reliability_of_a_users_answers(answers):
    words = ("--dimension", "trust=q0,q1,q2,q3", "--reflective", "trust", "--psu", "town")
    status, out, message = lgpi(
        "reliability", answers, *words, "--stratum", "region", "--weight", "w"
    )
    assert status == 0, message
    assert "trust" in out
    assert "alpha" in out
    assert "omega" in out
    status, out, _ = lgpi("reliability", answers, *words, "--json")
    frame = pd.DataFrame(json.loads(out)["frame"])
    row = frame[(frame["coefficient"] == "alpha") & (frame["interval"] == "jackknife-t")].iloc[0]
    data = pd.read_csv(answers)[["q0", "q1", "q2", "q3"]]
    by_hand = 4 / 3 * (1 - data.var().sum() / data.sum(axis=1).var())
    assert row["estimate"] == pytest.approx(by_hand, rel=1e-12)
    assert row["n_clusters"] == 15
    assert row["ci_low"] < by_hand < row["ci_high"]


def test_coefficients_groups_and_places_by_name(answers):
    words = (
        "reliability", answers, "--dimension", "trust=q0,q1,q2,q3", "--reflective", "trust",
        "--psu", "town", "--place", "region", "--by", "region", "--coefficients",
        "lambda2,ordinal_alpha", "--interval", "rao_wu", "--level", "0.9", "--seed", "0",
    )  # fmt: skip
    told = json.loads(lgpi(*words, "--json")[1])
    frame = pd.DataFrame(told["frame"])
    assert frame["group"].unique().tolist() == ["all", "0", "1", "2"]
    inner = ~frame["coefficient"].str.startswith(("unit", "ICC"))
    assert set(frame.loc[inner, "coefficient"]) == {"lambda2", "ordinal_alpha"}
    assert told["details"]["level"] == 0.9
    assert "unit reliability (mean)" in set(frame["coefficient"])
    status, _, message = lgpi(*words[:4], "--coefficients", "lamda2")
    assert status == 2
    assert "Did you mean 'lambda2'" in message


def test_reliability_of_moments_that_ship_and_of_a_file(tmp_path):
    status, out, message = lgpi("reliability", "afrobarometer_r3", "--by", "stratum", "--seed", 0)
    assert status == 0, message
    assert "services" in out
    assert "Lesotho" in out
    path = load_moments("afrobarometer_r3").save(tmp_path / "shared.parquet")
    first, second = (
        json.loads(lgpi("reliability", source, "--seed", 0, "--json")[1])
        for source in ("afrobarometer_r3", path)
    )
    assert first["frame"] == second["frame"]
    status, _, message = lgpi("reliability", "afrobarometer_r3", "--psu", "town")
    assert status == 2
    assert "--psu describe a table of answers, and afrobarometer_r3 holds moments" in message
    status, _, message = lgpi("reliability", "afrobarometer_r3", "--by", "country")
    assert status == 2
    assert "by: there is no column 'country'" in message


ANSWERS = ("--dimension", "trust=q0,q1,q2,q3", "--psu", "town")


def test_estimates_of_the_population(answers):
    words = ("estimate", answers, *ANSWERS, "--stratum", "region", "--weight", "w")
    told = json.loads(lgpi(*words, "--by", "region", "--json")[1])
    data = pd.read_csv(answers)
    first = told["frame"][0]
    part = data[data["region"] == 0]
    assert first["domain"] == "0"
    assert first["estimate"] == pytest.approx(np.average(part["q0"], weights=part["w"]))
    status, out, _ = lgpi(*words, "--statistic", "proportion")
    assert status == 0
    assert "category" in out
    status, _, message = lgpi("estimate", answers, "--dimension", "trust=q0,q1")
    assert status == 2
    assert "name the column of the primary sampling unit (--psu)" in message


def test_nonresponse_and_its_bounds(answers, tmp_path):
    data = pd.read_csv(answers)
    data.loc[::9, "q1"] = 9
    path = tmp_path / "some.csv"
    data.to_csv(path, index=False)
    words = ("nonresponse", path, *ANSWERS, "--scale", "1..5", "--missing-codes", "9")
    rows = {row["indicator"]: row for row in json.loads(lgpi(*words, "--json")[1])["frame"]}
    share = 20 / 180
    assert rows["q1"]["response_rate"] == pytest.approx(1 - share)
    assert rows["q1"]["bound_high"] - rows["q1"]["bound_low"] == pytest.approx(4 * share)
    assert "whatever the others would have said" in lgpi(*words)[1]


def test_variance_by_source(answers, tmp_path):
    path = tmp_path / "people.csv"
    pd.read_csv(answers).assign(person=range(180)).to_csv(path, index=False)
    words = ("decompose", path, "--design", "(person : town) x item", "--value", "q0,q1,q2")
    status, out, message = lgpi(*words, "--object", "town", "--json")
    assert status == 0, message
    told = json.loads(out)
    components = [row["component"] for row in told["frame"]]
    assert components[:3] == ["town", "item", "person : town"]
    status, _, message = lgpi(*words, "--object", "twon")
    assert status == 2
    assert "twon" in message


def test_score_and_sensitivity_of_a_users_places(places):
    status, out, message = lgpi("score", places, *INDEX)
    assert status == 0, message
    assert len(out.splitlines()) >= 31
    told = json.loads(lgpi("score", places, *INDEX, "--normalise", "minmax", "--json")[1])
    frame = pd.read_parquet(places)
    scaled = (frame[["a", "b", "c"]] - frame[["a", "b", "c"]].min()) / np.ptp(
        frame[["a", "b", "c"]].to_numpy(), axis=0
    )
    by_hand = (scaled[["a", "b"]].mean(axis=1) + 1 - scaled["c"]) / 2
    assert [row["score"] for row in told["frame"]] == pytest.approx(by_hand.tolist())
    words = ("sensitivity", places, *INDEX, "--draws", 1500, "--seed", 0)
    first, second = (json.loads(lgpi(*words, "--json", *more)[1]) for more in ((), ("--jobs", 2)))
    assert first == second
    assert first["provenance"]["seed"] == 0
    assert first["provenance"]["n_draws"] == 1500


def test_link_of_a_users_table(places, tmp_path):
    words = ("link", places, *INDEX, "--formula", "score ~ share | oblast", "--cluster", "oblast")
    status, out, message = lgpi(*words, "--out", tmp_path / "out")
    assert status == 0, message
    assert "share" in out
    assert (tmp_path / "out" / "index.html").is_file()
    told = json.loads(lgpi(*words, "--json")[1])
    assert told["frame"][0]["term"] == "share"
    assert told["frame"][0]["n_clusters"] == 6


def test_a_link_without_clusters_names_candidates(places):
    status, _, message = lgpi("link", places, *INDEX, "--formula", "score ~ share | oblast")
    assert status == 2
    assert "oblast" in message


def test_a_method_without_a_valid_answer_has_status_one(places):
    status, _, message = lgpi("score", places, *INDEX, "--aggregate", "geometric")
    assert status == 1
    assert message.startswith("MethodError: ")


def test_recipes_take_no_options_of_tables():
    status, _, message = lgpi("score", "eu", "--unit", "region")
    assert status == 2
    assert "--unit describe a table, and eu is a recipe" in message


def test_step_commands_on_a_recipe_give_what_the_study_gives():
    told = json.loads(lgpi("score", "eu", "--json")[1])
    frame = load_study("eu").scores().frame
    assert [row["score"] for row in told["frame"]] == frame["score"].tolist()
    both = json.loads(lgpi("link", "eu", "--json")[1])
    assert len(both["results"]) == len(load_study("eu").recipe.links)


def test_data_are_listed_and_described():
    status, out, _ = lgpi("data")
    assert status == 0
    assert all(name in out for name in list_datasets()["name"])
    assert max(map(len, out.splitlines())) < 110
    assert len(json.loads(lgpi("data", "--json")[1])) == len(list_datasets())
    status, out, _ = lgpi("data", "eu_regions")
    assert status == 0
    assert "Licence" in out
    assert "margins of error" in out
    assert json.loads(lgpi("data", "tai", "--json")[1])["name"] == "tai"
    assert lgpi("data", "eu_region")[0] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--dimension", "open"), "must read name=column,column"),
        (("--dimension", "open=a", "--dimension", "open=b"), "'open' is given twice"),
        (("--dimension", "open=a,b", "--negative", "d"), "negative: 'd' is not among a, b"),
        (("--dimension", "open=a,b", "--scale", "one..5"), "must read low..high"),
        ((), "name the columns of at least one dimension"),
    ],
)
def test_options_that_do_not_fit_are_explained(places, words, message):
    status, _, told = lgpi("score", places, "--unit", "place", *words)
    assert status == 2
    assert message in told


def test_two_recipes_of_one_name_are_refused(tmp_path):
    status, _, message = lgpi("run", "eu", "eu", "--out", tmp_path / "out")
    assert status == 2
    assert "Two recipes have the same file name: eu" in message


def install(folder, value):
    """Put a package with an entry point where Python finds installed ones."""
    told = folder / "extra-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text(f"[lgpi_research.methods]\nextra = {value}\n")


def test_methods_of_installed_packages_are_known_by_name(places, tmp_path, monkeypatch):
    code = (
        "from lgpi_research import normaliser\n"
        "@normaliser('halved')\n"
        "def halved(x, reference):\n"
        "    return x / 2\n"
    )
    (tmp_path / "extra_methods.py").write_text(code)
    install(tmp_path, "extra_methods")
    monkeypatch.syspath_prepend(tmp_path)
    told = json.loads(lgpi("score", places, *INDEX[:4], "--normalise", "halved", "--json")[1])
    frame = pd.read_parquet(places)
    by_hand = frame[["a", "b"]].mean(axis=1) / 2
    assert [row["score"] for row in told["frame"]] == pytest.approx(by_hand.tolist())


def test_an_installed_package_that_cannot_be_imported_is_named(places, tmp_path, monkeypatch):
    install(tmp_path, "no_such_module")
    monkeypatch.syspath_prepend(tmp_path)
    status, _, message = lgpi("score", places, *INDEX)
    assert status == 2
    assert "extra (no_such_module)" in message


def test_missing_codes_that_a_file_declares_are_no_answers(answers, tmp_path):
    import pyreadstat

    frame = pd.read_csv(answers)
    frame.loc[:9, "q0"] = 9
    declared = {"q0": [9]}
    pyreadstat.write_sav(frame, tmp_path / "answers.sav", missing_ranges=declared)
    words = ("--dimension", "trust=q0,q1,q2,q3", "--psu", "town", "--scale", "1..5", "--json")
    told = json.loads(lgpi("reliability", tmp_path / "answers.sav", *words)[1])
    assert told["frame"][0]["n_used"] == 170
    assert "q0: missing codes set aside: 9 (10)." in told["notes"]
    (tmp_path / "own.toml").write_text(
        """
[study]
title = "Declared codes"
unit = "town"
sources = ["answers.sav"]
[survey]
psu = "town"
[[indicator]]
name = "q0"
dimension = "trust"
[[indicator]]
name = "q1"
dimension = "trust"
[index]
normalise = "zscore"
"""
    )
    told = json.loads(lgpi("reliability", tmp_path / "own.toml", "--json")[1])
    assert "q0: missing codes set aside: 9 (10)." in told["notes"]


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("score", "--normalise", "rank"),
        ("score", "--missing-codes", "-9"),
        ("reliability", "--psu", "country"),
        ("sensitivity", "--concentration", "10"),
        ("link", "--cluster", "country"),
    ],
)
def test_no_option_of_a_table_is_passed_over_on_a_recipe(command, option, value):
    status, _, message = lgpi(command, "eu", option, value)
    assert status == 2
    assert f"{option} describe a table, and eu is a recipe" in message


def test_a_misspelt_recipe_is_answered_with_the_nearest_name():
    status, _, message = lgpi("score", "ukrain")
    assert status == 2
    assert "Did you mean 'ukraine'?" in message


def test_a_stage_that_a_recipe_does_not_have_is_named():
    status, _, message = lgpi("link", "kazakhstan")
    assert status == 2
    assert "nothing to show for link" in message
