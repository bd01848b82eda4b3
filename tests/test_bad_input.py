"""Bad input, as a user meets it on the command line: each with its message and status."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lgpi_research.cli import app

GOOD = """place,district,voice,budget,exam,share
a,n,1,2,140,0.2
b,n,2,1,150,0.4
c,s,3,5,130,0.5
d,s,4,4,120,0.3
e,s,5,3,160,0.7
f,n,2,2,155,0.6
"""
ANSWERS = """psu,stratum,w,q1,q2,q3
1,n,1,1,2,2
1,n,1,2,2,3
2,n,2,4,5,4
2,n,1,5,4,4
3,s,1,3,3,2
3,s,1,2,1,1
4,s,1,4,4,5
4,s,1,3,4,4
"""
SCORE = (
    "score",
    "--unit",
    "place",
    "--dimension",
    "openness=voice,budget",
    "--dimension",
    "services=exam",
)
ITEMS = ("reliability", "--dimension", "trust=q1,q2,q3", "--psu", "psu", "--stratum", "stratum",
         "--weight", "w", "--scale", "1..5")  # fmt: skip


def lgpi(*words: object) -> tuple[int, str, str]:
    """Run the command line; return status, standard output and standard error."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


def refuse(table: str, command: tuple[str, ...], folder: Path, name: str = "table.csv") -> str:
    """Write a table, run a command on it, and return the message that it must end with."""
    path = folder / name
    path.write_text(table, encoding="utf-8")
    status, out, message = lgpi(command[0], path, *command[1:])
    assert status in (1, 2), (status, out, message)
    assert out == ""
    assert "Traceback" not in message
    return message


def test_the_good_tables_are_good(tmp_path):
    for text, command in ((GOOD, SCORE), (ANSWERS, ITEMS)):
        (tmp_path / "t.csv").write_text(text)
        status, out, message = lgpi(command[0], tmp_path / "t.csv", *command[1:])
        assert status == 0, message
        assert out


def test_missing_file_suggests_the_nearest_name(tmp_path):
    (tmp_path / "table.csv").write_text(GOOD)
    status, _, message = lgpi("score", tmp_path / "tabel.csv", *SCORE[1:])
    assert status == 2
    assert "tabel.csv" in message
    assert "Did you mean 'table.csv'?" in message


CASES = {
    "empty file": ("", SCORE, "empty"),
    "header without rows": ("place,voice\n", SCORE, "no row"),
    "wrong delimiter": (GOOD.replace(",", ";"), SCORE, "delimiter"),
    "text in a numeric column": (GOOD.replace("150", "high"), SCORE, "exam: text"),
    "unknown column": (GOOD.replace("exam", "exams"), SCORE, "Did you mean 'exams'?"),
    "constant indicator": (
        "place,voice,budget,exam\na,1,1,5\nb,2,1,4\nc,3,1,3\n",
        SCORE,
        "budget: every value is 1",
    ),
    "one unit": ("place,voice,budget,exam\na,1,2,5\n", SCORE, "one unit"),
    "all missing": (
        "place,voice,budget,exam\na,1,,5\nb,2,,4\nc,3,,3\n",
        SCORE,
        "budget: all 3 values are missing",
    ),
    "duplicated keys": (
        GOOD.replace("b,n", "a,n"),
        SCORE,
        r"table.csv\n- place: 1 units stand in more than one row \(a\)",
    ),
    "infinite value": (GOOD.replace("150", "inf"), SCORE, "infinite"),
    "duplicate column names": (
        GOOD.replace("budget", "voice", 1),
        SCORE,
        "voice",
    ),
    "totals row": (GOOD + "Total,,17,17,855,2.7\n", SCORE, "otal"),
    "PSU in two strata": (
        ANSWERS.replace("2,n,1,5,4,4", "2,s,1,5,4,4"),
        ITEMS,
        "more than one stratum|two strata|strata",
    ),
    "missing weight": (ANSWERS.replace("1,n,1,1,2,2", "1,n,,1,2,2"), ITEMS, "weight"),
    "negative weight": (ANSWERS.replace("2,n,2,", "2,n,-2,"), ITEMS, "negative"),
    "undeclared missing code": (
        ANSWERS.replace("3,s,1,3,3,2", "3,s,1,-99,3,2"),
        ITEMS,
        r"q1: 1 of 8 values lie outside 1..5 \(-99; rows 5\)",
    ),
    "value outside its scale": (
        ANSWERS.replace("3,s,1,3,3,2", "3,s,1,3,7,2"),
        ITEMS,
        "q2: 1 of 8 values lie outside",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_table_is_refused_with_its_message(case, tmp_path):
    import re

    table, command, wanted = CASES[case]
    message = refuse(table, command, tmp_path)
    assert re.search(wanted, message), message
    assert re.match(r"(DataError|MethodError|SpecError): ", message)


def test_an_unreadable_file_is_refused(tmp_path):
    (tmp_path / "table.csv").mkdir()
    status, _, message = lgpi("score", tmp_path / "table.csv", *SCORE[1:])
    assert status == 2
    assert "table.csv" in message
    (tmp_path / "t.parquet").write_bytes(b"PAR1 but not really")
    status, _, message = lgpi("score", tmp_path / "t.parquet", *SCORE[1:])
    assert status == 2
    assert "t.parquet" in message


FORMULAS = {
    "exam ~ shar": "Did you mean 'share'",
    "exam ~ __import__('os').system('id')": "__import__",
    "exam ~ exp(share)": "exp",
    "exam ~ share ** 2": r"\*",
    "exam ~ share + 1": "1",
    "exam = share": "~",
}


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_is_columns_and_listed_functions(formula, tmp_path):
    import re

    command = ("link", "--unit", "place", "--cluster", "district", "--formula", formula)
    message = refuse(GOOD, command, tmp_path)
    assert re.search(FORMULAS[formula], message), message


RECIPE = """
[study]
title = "A <script>alert(1)</script> study"
unit = "place"
cluster = "district"
sources = ["table.csv"]

[[indicator]]
name = "voice"
label = "<b>voice</b>"
dimension = "voice & <i>budget</i>"

[[indicator]]
name = "budget"
dimension = "voice & <i>budget</i>"

[[indicator]]
name = "exam"
dimension = "services"

[index]
normalise = "zscore"
"""


def recipe(folder: Path, text: str = RECIPE, table: str = GOOD) -> Path:
    (folder / "table.csv").write_text(table)
    path = folder / "study.toml"
    path.write_text(text)
    return path


def test_html_in_labels_is_escaped_on_the_page(tmp_path):
    table = GOOD.replace("a,n", "<img src=x onerror=alert(2)>,n")
    path = recipe(tmp_path, table=table)
    status, _, message = lgpi("run", path, "--out", tmp_path / "out", "--draws", 1024)
    assert status == 0, message
    pages = [tmp_path / "out" / "index.html", *sorted((tmp_path / "out" / "tables").glob("*.html"))]
    whole = "".join(page.read_text("utf-8") for page in pages)
    assert "&lt;script&gt;" in whole
    assert "&lt;img src=x" in whole
    for harm in ("<script", "<img src=x", "<b>voice", "<i>budget"):
        assert harm not in whole


@pytest.mark.parametrize("source", ["../table.csv", "sub/../../table.csv", "/etc/hosts.csv"])
def test_a_path_that_climbs_out_of_the_recipes_folder_is_refused(source, tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "table.csv").write_text(GOOD)
    path = recipe(tmp_path / "inner", RECIPE.replace("table.csv", source))
    status, _, message = lgpi("run", path, "--out", tmp_path / "out")
    assert status == 2
    assert "leaves the folder of the recipe" in message
    assert "line 6" in message


def test_a_link_out_of_the_folder_is_refused_too(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "secret.csv").write_text(GOOD)
    path = recipe(tmp_path / "inner", RECIPE.replace("table.csv", "linked.csv"))
    (tmp_path / "inner" / "linked.csv").symlink_to(tmp_path / "secret.csv")
    assert "leaves the folder" in lgpi("run", path, "--out", tmp_path / "out")[2]


def test_an_output_folder_that_lgpi_did_not_write_is_never_replaced(tmp_path):
    path = recipe(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.docx").write_text("years of work")
    status, _, message = lgpi("run", path, "--out", tmp_path / "out", "--draws", 1024)
    assert status == 2
    assert "1 file(s) that lgpi did not write (thesis.docx)" in message
    assert (tmp_path / "out" / "thesis.docx").read_text() == "years of work"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "study.toml", "table.csv"]


def test_files_that_were_added_or_changed_since_are_not_lost(tmp_path):
    path, out = recipe(tmp_path), tmp_path / "out"
    assert lgpi("run", path, "--out", out, "--draws", 1024)[0] == 0
    first = (out / "manifest.json").read_bytes()
    assert lgpi("run", path, "--out", out, "--draws", 1024)[0] == 0
    assert (out / "manifest.json").read_bytes() == first
    (out / "my-notes.txt").write_text("mine")
    (out / "numbers.json").write_text("{}")
    status, _, message = lgpi("run", path, "--out", out, "--draws", 1024)
    assert status == 2
    assert "my-notes.txt" in message
    assert "numbers.json" in message
    assert (out / "my-notes.txt").read_text() == "mine"


def test_an_unwritable_output_folder_is_said(tmp_path):
    path = recipe(tmp_path)
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "results"):
        status, _, message = lgpi("run", path, "--out", out, "--draws", 1024)
        assert status == 2
        assert message.splitlines()[-1].startswith("DataError")


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    path, out = recipe(tmp_path), tmp_path / "out"
    assert lgpi("run", path, "--out", out, "--draws", 1024, "--seed", 0)[0] == 0
    before = {p: p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}

    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        status, _, message = lgpi("run", path, "--out", out, "--draws", 1024, "--seed", 1)
    assert status == 2
    assert "No space left on device" in message
    assert {p: p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()} == before
    assert not (tmp_path / ".out.part").exists()


def test_a_mechanically_related_outcome_is_refused_by_name(tmp_path):
    text = (
        RECIPE
        + """
[[link]]
formula = "score ~ share | district"
cluster = "district"

[link.mechanical]
budget = "paid from the same revenue"
"""
    )
    status, _, message = lgpi("run", recipe(tmp_path, text), "--out", tmp_path / "out")
    assert status == 2
    assert "budget" in message
    assert "paid from the same revenue" in message


def test_every_problem_of_a_recipe_has_its_line(tmp_path):
    text = (
        RECIPE.replace('unit = "place"', 'unit = "plaec"')
        .replace('name = "exam"', 'name = "exma"')
        .replace('"zscore"', '"minmax"')
    )
    message = lgpi("run", recipe(tmp_path, text), "--out", tmp_path / "out")[2]
    assert "3 problems in study.toml" in message
    assert "line 4: study.unit: there is no column 'plaec'. Did you mean 'place'?" in message
    assert "line 18: indicator[3].name: there is no column 'exma'" in message
    assert "line 21: index: " in message
    assert "needs basis" in message


def test_unknown_keys_and_wrong_kinds_are_named_with_the_nearest_spelling(tmp_path):
    text = RECIPE.replace("cluster =", "clutser =").replace('"zscore"', "3")
    message = lgpi("run", recipe(tmp_path, text), "--out", tmp_path / "out")[2]
    assert "line 5: study.clutser: is no key of a recipe. Did you mean 'cluster'?" in message
    assert "line 22: index.normalise: must be" in message


@pytest.mark.parametrize(
    ("text", "wanted"), [("[study", "not valid TOML"), ("x = 1", "no key of a recipe")]
)
def test_text_that_is_no_recipe(text, wanted, tmp_path):
    assert wanted in lgpi("run", recipe(tmp_path, text), "--out", tmp_path / "out")[2]


def test_an_unknown_recipe_lists_the_shipped_ones(tmp_path):
    status, _, message = lgpi("run", "ukrane", "--out", tmp_path / "out")
    assert status == 2
    assert "Did you mean 'ukraine'?" in message


def test_interruption_has_its_own_status_and_leaves_no_half_folder(tmp_path, monkeypatch):
    from lgpi_research import report

    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "render", stop)
    status, _, message = lgpi("run", recipe(tmp_path), "--out", tmp_path / "out", "--draws", 1024)
    assert status == 130
    assert "Interrupted" in message
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / ".out.part").exists()


def test_json_is_one_object_in_full_precision(tmp_path):
    (tmp_path / "t.csv").write_text(GOOD)
    status, out, _ = lgpi(SCORE[0], tmp_path / "t.csv", *SCORE[1:], "--json")
    told = json.loads(out)
    assert status == 0
    assert {"frame", "notes", "provenance"} <= set(told)
    assert len(repr(told["frame"][0]["score"])) > 12
