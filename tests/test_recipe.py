"""Recipes: what a TOML file becomes, and where its problems are said to stand."""

from __future__ import annotations

import pytest

from lgpi_research.datasets import list_recipes
from lgpi_research.errors import SpecError
from lgpi_research.recipe import read_recipe
from lgpi_research.registry import use

TABLE = "place,oblast,a,b,c,share\np,x,1,2,3,0.1\nq,x,2,1,4,0.2\nr,y,3,5,1,0.4\n"
RECIPE = """\
[study]
title = "A study"
unit = "place"
cluster = "oblast"
sources = ["table.csv"]

[[indicator]]
name = "a"
dimension = "one"
goalposts = { low = 0, high = 10 }

[[indicator]]
name = "b"
dimension = "one"
direction = "negative"
goalposts = { low = 0, high = 10 }

[[indicator]]
name = "c"
dimension = "two"
goalposts = { low = 0, high = 10 }
made_from = ["transfers"]

[index]
normalise = { method = "minmax", basis = "goalposts", floor = 0.1 }
weights = { one = 0.6, two = 0.4, a = 0.5, b = 0.5 }

[sensitivity]
concentration = 20
alternatives = { normalise = ["rank"], aggregate = ["geometric"] }

[[link]]
formula = "score ~ share | oblast"
cluster = "oblast"
smallest_slope = 0.05
"""


@pytest.fixture
def write(tmp_path):
    (tmp_path / "table.csv").write_text(TABLE)

    def put(text: str):
        path = tmp_path / "study.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return put


def problems(path) -> str:
    with pytest.raises(SpecError) as error:
        read_recipe(path)
    return str(error.value)


def test_every_part_of_a_recipe_reaches_its_noun(write):
    told = read_recipe(write(RECIPE))
    assert told.codebook["b"].direction == "negative"
    assert told.codebook["a"].goalposts == (0.0, 10.0)
    assert told.spec.normalise == use("minmax", basis="goalposts", floor=0.1)
    assert told.spec.weights["one"] == 0.6
    assert told.variation.concentration == 20
    assert told.variation.aggregate == ("geometric",)
    design = told.links["link"]
    assert design.lineage["c"] == ("transfers",)
    assert design.score_columns == ("a", "b", "c")
    assert design.smallest_slope == 0.05


@pytest.mark.parametrize("name", list_recipes())
def test_every_shipped_recipe_reads(name):
    told = read_recipe(name)
    assert told.name == name
    assert told.links or told.describe
    for design in told.links.values():
        assert design.estimand_group
        assert design.smallest_slope == 0.05 or design.role == "warning"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "A study"\n', "", "line 1: study.title: is missing."),
        ('title = "A study"', "title = 3", "line 2: study.title: must be text."),
        ('direction = "negative"', 'direction = "bad"', "line 15: indicator[2].direction:"),
        ("goalposts = { low = 0, high = 10 }\nmade", "goalposts = { low = 9, high = 1 }\nmade",
         "line 18: indicator[3]: 1 problem in indicator 'c'"),
        ("high = 10 }\nmade", "hihg = 10 }\nmade", "is no key of a recipe. Did you mean 'high'"),
        ('"minmax"', '"minmx"', "Did you mean 'minmax'?"),
        ("floor = 0.1", "flor = 0.1", "unknown option 'flor'. Did you mean 'floor'?"),
        ("two = 0.4", "two = 0.5", "must sum to 1, got 1.1"),
        ("concentration = 20", "concentration = 0", "line 29: sensitivity.concentration:"),
        ('["rank"]', '["rnak"]', "Did you mean 'rank'"),
        ("score ~ share | oblast", "score ~ shares | oblast", "line 33: link[1].formula: there"),
        ("score ~ share | oblast", "score ~ share +", "line 32: link[1]:"),
        ('cluster = "oblast"\nsmallest', 'cluster = "oblas"\nsmallest', "line 34: link[1].cl"),
        ('["table.csv"]', '["tabel.csv"]', "Did you mean 'table.csv'"),
        ('["table.csv"]', '["ukrane_hromadas"]', "Did you mean 'ukraine_hromadas'"),
        ('["table.csv"]', "[]", "line 5: study.sources: must not be empty."),
    ],
)  # fmt: skip
def test_a_problem_is_said_with_its_line(write, old, new, said):
    assert old in RECIPE
    assert said in problems(write(RECIPE.replace(old, new)))


def test_two_links_need_names_of_their_own(write):
    second = '\n[[link]]\nformula = "c ~ share"\ncluster = "none"\n'
    assert "each needs a name of its own" in problems(write(RECIPE + second))


def test_problems_of_several_parts_come_together(write):
    text = RECIPE.replace('"minmax"', '"minmx"').replace("share | oblast", "shar | oblast")
    text = text.replace('name = "a"', 'name = "aa"')
    told = problems(write(text))
    assert told.count("\n- line ") == int(told.split()[0]) >= 3
    for part in ("minmx", "'shar'", "'aa'"):
        assert part in told


PERIODS = TABLE.replace("place,", "year,place,").replace("\n", "\n2020,").removesuffix("2020,")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[[indicator]]", "periods = [2020]\n[[indicator]]", "study: periods without period"),
        ("[[indicator]]", "show_period = 2020\n[[indicator]]", "study: show_period without period"),
        (
            "[[indicator]]",
            'period = "year"\nperiods = [2020]\nshow_period = 2021\n[[indicator]]',
            "study: show_period 2021 is not among periods",
        ),
        (
            "[sensitivity]",
            '[survey]\npsu = "place"\n[sensitivity]',
            "indicator: std_error of a; with a survey, errors come from the answers",
        ),
        (
            "smallest_slope = 0.05",
            'mechanical = { oblasts = "paid from it" }',
            "link[1].mechanical: there is no column 'oblasts'. Did you mean 'oblast'?",
        ),
    ],
)
def test_what_a_recipe_says_in_vain_is_refused(write, old, new, said):
    text = RECIPE.replace(old, new, 1)
    if "survey" in new:
        text = text.replace('dimension = "one"', 'dimension = "one"\nstd_error = "b"', 1)
    assert said in problems(write(text))


def test_a_survey_has_no_periods(write, tmp_path):
    path = write(
        RECIPE.replace('unit = "place"', 'unit = "place"\nperiod = "year"')
        + '[survey]\npsu = "oblast"\n'
    )
    (tmp_path / "table.csv").write_text(PERIODS)
    assert "survey: answers are of one period" in problems(path)


def test_rows_may_be_chosen_by_a_truth_value(write):
    text = RECIPE.replace("smallest_slope = 0.05", "where = { share = true, a = [1, false] }")
    where = read_recipe(write(text)).links["link"].where
    assert dict(where) == {"share": (True,), "a": (1, False)}


def test_a_link_of_means_of_units_is_not_within_them(write, tmp_path):
    text = RECIPE.replace('unit = "place"', 'unit = "place"\nperiod = "year"')
    text = text.replace("share | oblast", "share | place")
    path = write(text)
    (tmp_path / "table.csv").write_text(PERIODS)
    assert read_recipe(path).links["link"].within
    averaged = text.replace("smallest_slope", 'average = "place"\nsmallest_slope')
    assert not read_recipe(write(averaged)).links["link"].within


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ('columns = ["share"]', "describe[1]: series: columns must be a table, got ['share']."),
        ("highlight = 3", "describe[1]: series: highlight must be text, got 3."),
    ],
)
def test_an_option_of_a_description_is_of_its_kind(write, option, said):
    options = {
        "table": '"table.csv"',
        "unit": '"place"',
        "period": '"a"',
        "columns": '{ share = "Share" }',
        "highlight": '"p"',
        "peers": '"b"',
    }
    options |= dict([option.split(" = ")])
    told = "".join(f"{name} = {value}\n" for name, value in options.items())
    assert said in problems(write(f'{RECIPE}[[describe]]\nname = "d"\nmethod = "series"\n{told}'))


def test_kinds_of_missing_codes_come_as_a_table(write):
    codes = 'dimension = "one"\nmissing_codes = { "9" = "don\'t know", "-1.0" = "not asked" }\ngo'
    told = read_recipe(write(RECIPE.replace('dimension = "one"\ngo', codes, 1)))
    assert told.codebook["a"].kinds == {9: "don't know", -1: "not asked"}
    said = problems(
        write(RECIPE.replace('dimension = "one"\ngo', codes.replace("don't know", "dont know"), 1))
    )
    assert "line 7: indicator[1]: 1 problem in indicator 'a'" in said
    assert 'Did you mean "don\'t know"?' in said
    for wrong in ("{ 9 = 3 }", '[9, true, "x"]'):
        said = problems(
            write(RECIPE.replace('"one"\ngo', f'"one"\nmissing_codes = {wrong}\ngo', 1))
        )
        assert "line 10: indicator[1].missing_codes" in said


def test_codes_that_the_file_declares_join_those_of_the_recipe(write, tmp_path):
    import pandas as pd
    import pyreadstat

    frame = pd.read_csv(tmp_path / "table.csv")
    frame.loc[0, "a"] = 9
    pyreadstat.write_sav(frame, tmp_path / "t.sav", missing_ranges={"a": [8, 9], "b": [7]})
    text = RECIPE.replace("table.csv", "t.sav")
    codes = 'dimension = "one"\nmissing_codes = { "9" = "refused" }\ngo'
    told = read_recipe(write(text.replace('dimension = "one"\ngo', codes, 1)))
    assert told.codebook["a"].kinds == {9: "refused", 8: "other"}
    assert told.codebook["b"].kinds == {7: "other"}


def test_budgets_as_planned_and_as_they_came_out_do_not_mix(write):
    text = RECIPE.replace('sources = ["table.csv"]', 'sources = ["vietnam_provinces"]')
    text = text.replace("share |", "own_ratio_plan + own_ratio_final |")
    said = problems(write(text))
    assert "link[1]: the link mixes budgets as planned with budgets as they came out" in said
    assert "(plan: own_ratio_plan; outturn: own_ratio_final)" in said
    assert "mixes" not in problems(write(text.replace(" + own_ratio_final", "")))
