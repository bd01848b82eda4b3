"""The paper: the same bytes, the numbers of the run and no others, refusals that say why."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from lgpi_research import paper, report
from lgpi_research.cli import app
from lgpi_research.errors import DataError, SpecError
from lgpi_research.loading import load_study
from lgpi_research.study import StudyResults
from tests.test_report import ROLES, Findings, study_with_links

WEIRD = "Places: *a* _b_ #c $d @e [f] 100 % <g>"


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("paper")
    study = study_with_links(place, WEIRD, **ROLES)
    return report.write_report([study], place / "results", facts={"seed": 0})


@pytest.fixture
def changed(results, tmp_path):
    """A copy of the results whose numbers were changed, and listed again as they are now."""

    def make(change) -> Path:
        copy = tmp_path / "changed"
        shutil.copytree(results, copy)
        numbers = json.loads((copy / "numbers.json").read_text("utf-8"))
        change(numbers)
        (copy / "numbers.json").write_text(json.dumps(numbers), "utf-8")
        manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
        digest = hashlib.sha256((copy / "numbers.json").read_bytes()).hexdigest()
        manifest["files"]["numbers.json"] = digest
        (copy / "manifest.json").write_text(json.dumps(manifest), "utf-8")
        return copy

    return make


@pytest.fixture
def typst():
    return pytest.importorskip("typst", reason="the paper is set by typst (extra: paper)")


def text_of(pdf: Path) -> str:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext, which reads the text of a PDF, is not on this machine")
    told = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, check=True)
    return " ".join(told.stdout.decode("utf-8").split())


def test_the_same_results_give_the_same_bytes_without_a_date(results, tmp_path, typst):
    first = paper.build_paper(results, tmp_path / "a.pdf").read_bytes()
    assert paper.build_paper(results, tmp_path / "b.pdf").read_bytes() == first
    assert first.startswith(b"%PDF-")
    assert b"CreationDate" not in first
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".pdf"] == []


def test_the_slope_of_the_run_stands_in_the_paper(results, tmp_path, typst):
    details = json.loads((results / "numbers.json").read_text("utf-8"))["places"]["link"]["details"]
    text = text_of(paper.build_paper(results, tmp_path / "a.pdf"))
    ends = (f"{details[f'slope{end}']:.3f}".replace("-", "−") for end in ("", "_low", "_high"))
    assert "{} [{}, {}]".format(*ends) in text.replace("\u00a0", " ")
    assert "Cameron and Miller 2015" in text


def test_another_number_in_the_results_is_another_number_in_the_paper(changed, tmp_path, typst):
    def change(numbers):
        numbers["places"]["link"]["details"]["slope"] = -7.0625

    text = text_of(paper.build_paper(changed(change), tmp_path / "a.pdf"))
    assert "−7.063" in text or "−7.062" in text


def test_signs_of_the_typesetter_in_a_title_are_shown_as_they_are(results, tmp_path, typst):
    assert WEIRD in text_of(paper.build_paper(results, tmp_path / "a.pdf"))


def test_figures_are_referred_to_and_numbers_below_zero_have_a_minus(tmp_path, typst):
    run = load_study("kazakhstan").run()
    out = report.write_report([run], tmp_path / "results")
    text = text_of(paper.build_paper(out, tmp_path / "a.pdf"))
    numbers = json.loads((out / "numbers.json").read_text("utf-8"))["kazakhstan"]
    for place, key in enumerate(numbers["order"], start=1):
        assert f"(Figure {place}.)" in text
        assert f"Figure {place}: Kazakhstan. {numbers[key]['title']}." in text
    described = " ".join(numbers[key]["headline"] for key in numbers["order"])
    below = re.findall(r" (-\d\.\d+)", described)
    assert below
    for number in below:
        assert number.replace("-", "−") in text
        assert f" {number}" not in text


def test_a_number_that_is_missing_is_named(changed, tmp_path, typst):
    def change(numbers):
        del numbers["places"]["link"]["details"]

    with pytest.raises(DataError, match=r"numbers\.json has no places\.link\.details"):
        paper.build_paper(changed(change), tmp_path / "a.pdf")
    assert not (tmp_path / "a.pdf").exists()


def test_a_paper_can_be_set_of_a_setting_without_links(tmp_path, typst):
    run = load_study("eu").run(stages=("scores",))
    out = report.write_report([run], tmp_path / "results")
    text = text_of(paper.build_paper(out, tmp_path / "a.pdf"))
    assert "in 0 settings" in text
    assert run["scores"].headline() in text


def test_comparison_and_its_findings_stand_in_the_paper(tmp_path, typst):
    study = study_with_links(tmp_path, "Places <b>", **ROLES)
    over = {"comparison": Findings(pd.DataFrame({"setting": list("ab")}), {})}
    out = report.write_report([study], tmp_path / "results", comparison=over)
    text = text_of(paper.build_paper(out, tmp_path / "a.pdf"))
    assert "Two settings were compared." in text
    assert "Nothing is pooled." in text
    assert "• Higher where it is higher." in text
    assert "Figure 1:" in text


def test_sources_are_cited_in_the_paper(tmp_path, typst):
    study = study_with_links(tmp_path)
    entry = "@misc{Census2020,\n  author = {{Office}},\n  title = {Census},\n  year = {2020}\n}"
    sources = (replace(study.study.recipe.sources[0], bibtex=entry, citation="Office (2020)."),)
    told = replace(study.study, recipe=replace(study.study.recipe, sources=sources))
    out = report.write_report([StudyResults(told, study.results, 0)], tmp_path / "results")
    text = text_of(paper.build_paper(out, tmp_path / "a.pdf"))
    assert "Office (2020)" in text
    assert "Office. 2020." in text


def test_results_that_were_changed_or_are_not_ours_are_refused(results, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(results, copy)
    (copy / "numbers.json").write_text("{}")
    with pytest.raises(DataError, match=r"numbers\.json"):
        paper.build_paper(copy, tmp_path / "a.pdf")
    (tmp_path / "mine").mkdir()
    with pytest.raises(DataError, match="was not written by lgpi run"):
        paper.build_paper(tmp_path / "mine", tmp_path / "a.pdf")
    assert not (tmp_path / "a.pdf").exists()


def test_a_place_that_is_no_pdf_or_lies_in_the_results_is_refused(results, tmp_path):
    with pytest.raises(SpecError, match=r"must end in \.pdf"):
        paper.build_paper(results, tmp_path / "paper.doc")
    with pytest.raises(SpecError, match="outside"):
        paper.build_paper(results, results / "paper.pdf")
    assert not (results / "paper.pdf").exists()


def test_without_typst_the_command_says_how_to_install_it(results, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "typst", None)
    words = ["paper", "--results", str(results), "--out", str(tmp_path / "a.pdf")]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 2
    assert 'pip install "lgpi-research[paper]"' in found.stderr
    assert not (tmp_path / "a.pdf").exists()


def test_the_command_writes_the_paper(results, tmp_path, typst):
    words = ["paper", "--results", str(results), "--out", str(tmp_path / "a.pdf")]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.stderr
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF-")
    assert "a.pdf" in found.stdout


def test_a_package_without_the_manuscript_says_so(results, tmp_path, monkeypatch):
    monkeypatch.setattr(paper.resources, "files", lambda name: tmp_path / "package")
    with pytest.raises(DataError, match="The manuscript is not there"):
        paper.build_paper(results, tmp_path / "a.pdf")
