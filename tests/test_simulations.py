"""Intervals hold the truth as often as they say: a short form of ``tests/simulations``."""

from __future__ import annotations

import importlib
import inspect

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research.coefficients import INTERVALS
from lgpi_research.methods.consistency import Spread, alpha
from lgpi_research.simulate import simulate_survey
from lgpi_research.units import MEAN, SHARE, SQUARED
from tests.simulations import run, tables
from tests.simulations.consistency import LOADINGS, STRATA
from tests.simulations.places import Places, spread_out
from tests.simulations.population import Population, even_cuts, moments_of, skewed_cuts

COLUMNS = ["topic", "condition", "coefficient", "interval"]

QUICK = (
    ("consistency", "20 PSUs, share 0.1, items 0.1", 40),
    ("correlations", "20 PSUs, share 0.1", 60),
    ("places", "20 places, respondents, share 0.06", 60),
)
LONG = (
    ("consistency", "20 PSUs, share 0.4, 7 points", 500),
    ("consistency", "pairs, 20 PSUs, share 0.4", 500),
    ("correlations", "20 PSUs, share 0.4", 1000),
    ("places", "60 places, 4 PSUs, share 0.06", 1000),
)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_csv(run.TABLE)


def test_covariance_of_the_population_is_that_of_the_simulated_survey():
    load = LOADINGS["unequal"]
    known = simulate_survey(n_places=3, n_items=6, points=7, loadings=load, seed=0)
    population = Population.of_traits(load, even_cuts(6, 7), share=0.4, item_share=0.2)
    assert_allclose(population.covariance(), known.covariance, atol=1e-13)
    assert_allclose(alpha(Spread.from_covariance(population.covariance())), known.alpha)


def test_probabilities_are_those_of_answers_that_are_drawn():
    population = Population.of_traits(
        LOADINGS["unequal"], skewed_cuts(6, 5), share=0.3, item_share=0.2, strata=STRATA
    )
    known, points, n = population.probabilities(), 5, 200_000
    assert_allclose(np.trace(known), 6, rtol=1e-12)
    rng = np.random.default_rng(0)
    # Strata in the sample as in the population, and clusters of one, which are independent.
    stratum = np.repeat(np.arange(4), (n * population.shares).astype(int))
    answers = population.draw(rng, stratum, 1)
    marks = (answers[:, :, None] == np.arange(1, points + 1)).reshape(n, -1).astype(float)
    error = np.sqrt(known * (1 - known) / n)
    assert (np.abs(marks.T @ marks / n - known) < 5 * error + 1e-12).all()
    mean, covariance = moments_of(known, 6)
    assert_allclose(answers.mean(axis=0), mean, atol=0.02)
    assert_allclose(np.cov(answers.T), covariance, atol=0.03)
    apart = population.draw(rng, np.zeros(4000, dtype=int), 2)
    between = np.cov(apart[::2, 0], apart[1::2, 0])[0, 1]  # of two people of a cluster
    assert 0.2 < between / apart[:, 0].var() < 0.45


def test_truth_of_places_is_what_many_places_show():
    population = Places(0.25, 0.1, spread_out(4000, 4))
    truth = population.truth()
    moments = population.moments(np.random.default_rng(0))
    k = len(moments.scale().items)
    sums = pd.DataFrame(moments.sums[:, : 2 + k]).groupby(moments.psus["place"].astype(int)).sum()
    scores = (sums.iloc[:, 2:].div(sums[1], axis=0) + moments.centre).mean(axis=1)
    # The same draws as the sample began with give the true means of its places.
    effects = np.sqrt(0.25) * np.random.default_rng(0).standard_normal(4000)
    true = population.means(effects, 0.1)
    realised = np.corrcoef(scores, true)[0, 1] ** 2
    assert_allclose(realised, truth[SQUARED], atol=0.015)
    error = np.square(scores - true)
    n = sums[0]
    few, many = error[n < 15].mean(), error[n > 50].mean()
    assert few > 1.8 * many
    assert truth[MEAN] > truth[SQUARED] > truth[SHARE]


def check_coverage(table: pd.DataFrame, topic: str, name: str, runs: int) -> None:
    """Compare other samples of a condition with what the table says of it."""
    known = table.set_index(COLUMNS)
    rows = run.measure(topic, name, runs, jobs=1, seed=1)
    assert len(rows) > 1
    for row in rows:
        told = known.loc[tuple(row[column] for column in COLUMNS)]
        share = told["coverage"]
        error = np.sqrt(share * (1 - share) * (1 / runs + 1 / told["runs"]))
        assert abs(row["coverage"] - share) < 3 * error + 1 / runs, row["coefficient"]
        assert abs(row["mean_width"] / told["mean_width"] - 1) < 4 / np.sqrt(runs)
        assert_allclose(row["truth"], told["truth"], rtol=1e-5)


@pytest.mark.parametrize(("topic", "name", "runs"), QUICK)
def test_coverage_in_short(table, topic, name, runs):
    check_coverage(table, topic, name, runs)


@pytest.mark.slow
@pytest.mark.parametrize(("topic", "name", "runs"), LONG)
def test_coverage_at_length(table, topic, name, runs):
    check_coverage(table, topic, name, runs)


def test_the_table_does_not_depend_on_the_number_of_jobs(tmp_path, capsys):
    name = "60 places, 4 PSUs, share 0.06"
    written = []
    for jobs in ("1", "2"):
        out = tmp_path / f"{jobs}.csv"
        assert run.main([name, "--runs", "60", "--jobs", jobs, "--out", str(out)]) == 0
        written.append(out.read_bytes())
    assert written[0] == written[1]
    assert "ICC(1)" in capsys.readouterr().out


def test_conditions_that_are_not_chosen_stay_in_the_table(tmp_path, capsys):
    out = tmp_path / "coverage.csv"
    names = ["20 places, respondents", "60 places, 1 PSU"]
    for name in reversed(names):
        assert run.main([name, "--runs", "2", "--out", str(out)]) == 0
    found = pd.read_csv(out)
    assert [name.rpartition(",")[0] for name in found["condition"].unique()] == names
    alone = found[found["condition"].str.startswith(names[1])]
    assert (alone["without_interval"] == 1).all()  # one PSU tells nothing of the error
    assert alone["coverage"].isna().all()
    assert run.main([names[0], "--missing", "--out", str(out)]) == 1
    assert run.main(["nothing like it", "--out", str(out)]) == 1
    assert "No condition to run" in capsys.readouterr().err
    assert_allclose(pd.read_csv(out)["truth"], found["truth"])
    texts = pd.read_csv(out, dtype=str)["truth"]
    assert (texts.str.replace(r"^0\.0*", "", regex=True).str.len() <= run.DIGITS).all()


def test_every_condition_is_in_the_table(table):
    had = table.groupby(["topic", "condition"], sort=False)
    assert set(had.groups) == set(run.chosen(""))
    assert (table["runs"] >= 2500).all()
    for (topic, name), rows in had:
        expected = run.conditions(topic)[name].expected
        assert list(zip(rows["coefficient"], rows["interval"], strict=True)) == list(expected)


def test_default_intervals_hold_the_truth_as_often_as_they_say(table):
    kinds = [INTERVALS["jackknife"], INTERVALS["directional"]]
    default = table[table["interval"].isin(kinds)]
    assert not default.duplicated(["topic", "condition", "coefficient"]).any()
    assert len(default) > 200
    outside = default[~default["coverage"].between(0.93, 0.97)]
    assert outside.empty, outside[[*COLUMNS, "coverage"]].to_string()
    assert (default["without_interval"] < 0.001).all()


def test_intervals_of_places_hold_the_truth_as_often_as_they_say(table):
    places = table[(table["interval"] == "Q-profile") & (table["without_interval"] == 0)]
    assert set(places["coefficient"]) == {MEAN, SQUARED, SHARE}
    assert places["coverage"].between(0.93, 0.97).all()
    large = places[places["places"] == 200]
    assert (np.abs(large["bias"]) < 0.01).all()


def test_docstrings_print_the_table():
    shown = list(tables.Coverage().shown())
    assert len(shown) > 3
    for part in shown:
        module = importlib.import_module(f"lgpi_research.{part.module}")
        told = inspect.getdoc(getattr(module, part.function))
        assert "\n".join(part.lines) in told, f"{part.function}: run tests/simulations/tables.py"


def test_a_table_is_replaced_where_it_stands():
    lines = tables.rst(["sample", "a b"], [["x", "1"], ["longer", "2"]])
    assert lines == (
        "======  ===",
        "sample  a b",
        "======  ===",
        "x       1",
        "longer  2",
        "======  ===",
    )
    old = [*lines[:3], "x       9", lines[0]]
    around = [
        "def other():",
        *old,
        "def function(",
        "    r'''",
        *("    " + line for line in old),
        "'",
    ]
    text = "\n".join(around)
    found = tables.replaced(text, "function", lines)
    assert found == text.replace("    x       9", "    x       1\n    longer  2")
    with pytest.raises(ValueError, match="function has no table whose head is 'sample c'"):
        tables.replaced(text, "function", tables.rst(["sample", "c"], [["x", "1"]]))
