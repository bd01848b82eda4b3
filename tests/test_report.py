"""The folder of results: the same bytes each time, whole or not at all, readable offline."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from lgpi_research import plots, report
from lgpi_research.cli import app
from lgpi_research.datasets import list_recipes
from lgpi_research.errors import DataError, SpecError
from lgpi_research.links import LinkResult
from lgpi_research.loading import load_study, study_from_table
from lgpi_research.page import COMPACT
from lgpi_research.results import Result, load_result
from lgpi_research.study import StudyResults


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "results"
    found = CliRunner().invoke(app, ["run", "--out", str(out), "--draws", "1500", "--seed", "0"])
    assert found.exit_code == 0, found.stderr
    assert "Where the share of own revenue in total revenue is higher" in found.stdout
    assert len(found.stdout.splitlines()) == 2 * len(list_recipes()) + 1
    return out


FEW = ("run", "eu", "ukraine", "--draws", "1500", "--seed", "0", "--out")


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    """The folder of two recipes, for what must be run again."""
    out = tmp_path_factory.mktemp("few") / "results"
    assert CliRunner().invoke(app, [*FEW, str(out)]).exit_code == 0
    return out


def test_the_same_seed_gives_the_same_bytes_with_two_workers(few, tmp_path):
    out = tmp_path / "results"
    assert CliRunner().invoke(app, [*FEW, str(out), "--jobs", "2"]).exit_code == 0
    assert digests(out) == digests(few)


def test_the_manifest_lists_every_file_and_nothing_of_the_machine(folder):
    told = json.loads((folder / "manifest.json").read_text("utf-8"))
    files = digests(folder)
    files.pop("manifest.json")
    assert told["files"] == files
    assert told["run"] == {"seed": 0, "draws": 1500}
    text = "".join((folder / name).read_text("utf-8") for name in ("manifest.json", "numbers.json"))
    assert not re.search(r"20\d\d-\d\d-\d\dT", text)
    for place in (Path.home(), Path(tempfile.gettempdir()), Path.cwd()):
        assert place.as_posix() not in text


def test_tables_figures_and_results_are_there_for_every_result(folder):
    stems = {path.stem for path in (folder / "results").iterdir()}
    assert {"eu-reliability", "eu-scores", "eu-sensitivity", "ukraine-link"} <= stems
    for stem in stems:
        for kind in ("csv", "tex", "html"):
            assert (folder / "tables" / f"{stem}.{kind}").stat().st_size > 0
        result = load_result(folder / "results" / f"{stem}.parquet")
        compact = isinstance(result, LinkResult) and result.details.get("role") in COMPACT
        for kind in ("png", "pdf") if not compact else ():
            assert (folder / "figures" / f"{stem}.{kind}").stat().st_size > 0
        table = pd.read_csv(folder / "tables" / f"{stem}.csv")
        assert list(table.columns) == list(result.frame.columns)
        numbers = result.frame.select_dtypes("number")
        pd.testing.assert_frame_equal(
            table[numbers.columns], numbers, check_dtype=False, rtol=1e-14
        )


class Page(HTMLParser):
    """Collect the addresses that a page asks for, and see that its tags are closed."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self.addresses += [told[name] for name in ("src", "href") if name in told]
        if "id" in told:
            self.ids.add(told["id"])
        if tag == "img":
            assert told.get("alt")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_opens_from_disk_without_a_network(folder):
    text = (folder / "index.html").read_text("utf-8")
    page = Page()
    page.feed(text)
    assert not page.open
    for address in page.addresses:
        if address.startswith("#"):
            assert address[1:] in page.ids
        else:
            assert (folder / address).is_file(), address
    assert "://" not in "".join(page.addresses)
    assert "association" in text.lower()
    for word in ("impact", "leads to", "effect of"):
        assert word not in text.lower()


def test_numbers_for_the_paper_are_those_of_the_results(folder):
    numbers = json.loads((folder / "numbers.json").read_text("utf-8"))
    link = load_result(folder / "results" / "ukraine-link.parquet")
    assert numbers["ukraine"]["link"]["details"]["slope"] == link.details["slope"]
    assert numbers["ukraine"]["link"]["rows"][0]["estimate"] == link.frame["estimate"][0]


def test_nothing_is_left_beside_a_finished_run(folder):
    assert [path.name for path in folder.parent.iterdir()] == ["results"]


def test_a_run_that_is_killed_and_started_again_gives_the_same_bytes(few, tmp_path):
    out = tmp_path / "results"
    command = [sys.executable, "-m", "lgpi_research.cli", *FEW, str(out)]
    environment = {**os.environ, "MPLBACKEND": "agg"}
    for seconds in (2.5, 5.0):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not out.exists() or digests(out) == digests(few)
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert digests(out) == digests(few)


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "out").mkdir()
    results = load_study("eu").run(stages=("scores",))
    report.write_report([results], tmp_path / "out")
    assert (tmp_path / "out" / "index.html").is_file()


@dataclass(frozen=True, eq=False, repr=False)
class Findings(Result, kind="findings of a test"):
    """A result over settings that says in words what was found."""

    def headline(self) -> str:
        return "Two settings were compared."

    def findings(self) -> list[str]:
        return ["Nothing is pooled.", "Places <b>. Higher where it is higher."]

    def methods_text(self) -> str:
        return "They were put side by side [@CameronMiller2015]."

    def plot(self, ax=None):
        return plots.describe(plots.new_axes(ax), "Settings side by side")


def study_with_links(path: Path, title: str = "Places", **links: dict) -> StudyResults:
    """A small study whose one link is shown under several names with details of their own."""
    rng = np.random.default_rng(8)
    frame = pd.DataFrame({"place": [f"p{i}" for i in range(80)], "region": np.arange(80) % 10})
    frame["share"] = rng.uniform(size=80)
    frame["open"] = frame["share"] + rng.normal(size=80)
    frame["served"] = rng.normal(size=80)
    frame.to_csv(path / "places.csv", index=False)
    study = study_from_table(
        path / "places.csv",
        unit="place",
        dimensions={"governance": ("open", "served")},
        formula="score ~ share",
        cluster="region",
    )
    study = replace(study, recipe=replace(study.recipe, title=title))
    found = study.run(stages=("scores", "link"))
    link = found["link"]
    more = {
        f"link: {name.replace('_', ' ')}": replace(link, details=link.details | details)
        for name, details in links.items()
    }
    return StudyResults(study, {**found.results, **more}, 0)


ROLES = {
    "other_sample": {"role": "robustness", "because": "Other places."},
    "budget": {"role": "warning", "because": "It is part of the <same> budget."},
}


class Outline(HTMLParser):
    """Collect the headings, and each block's tags, text and alternative texts."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.blocks: dict[str, list[str]] = {}
        self.pictures: list[dict[str, str]] = []
        self.sections: list[str] = []

    def _note(self, text: str) -> None:
        for name in self.sections:
            self.blocks.setdefault(name, []).append(text)

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        if tag == "section":
            self.sections.append(told.get("id", ""))
        if re.fullmatch(r"h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if tag == "img":
            self.pictures.append(told)
        self._note(f"<{tag}>")

    def handle_endtag(self, tag):
        if tag == "section":
            self.sections.pop()

    def handle_data(self, data):
        self._note(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> tuple[Outline, Path]:
    place = tmp_path_factory.mktemp("page")
    study = study_with_links(place, "Places <b>", **ROLES)
    over = {"comparison": Findings(pd.DataFrame({"setting": list("ab")}), {})}
    out = report.write_report([study], place / "out", comparison=over)
    outline = Outline()
    outline.feed((out / "index.html").read_text("utf-8"))
    return outline, out


def test_a_page_has_one_title_and_no_heading_skips_a_level(page):
    levels = page[0].levels
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))


def test_results_over_settings_come_first_with_their_findings_in_words(page):
    outline, out = page
    names = list(outline.blocks)
    assert names.index("comparison") < names.index("setting-places")
    text = "".join(outline.blocks["comparison"])
    assert "What was found, in words" in text
    assert "Nothing is pooled." in text
    assert "Places <b>. " not in text  # the setting is a heading, its sentences stand below it
    assert "Higher where it is higher." in text
    numbers = json.loads((out / "numbers.json").read_text("utf-8"))
    told = numbers["comparison"]["comparison"]
    assert told["headline"] == "Two settings were compared."
    assert [row["setting"] for row in told["rows"]] == ["a", "b"]
    assert isinstance(load_result(out / "results" / "comparison.parquet"), Findings)


def test_only_main_and_second_links_have_a_figure_of_their_own(page):
    outline, out = page
    assert "<img>" in outline.blocks["places-link"]
    assert (out / "figures" / "places-link.pdf").is_file()
    for name in ("places-link-other-sample", "places-link-budget"):
        assert "<img>" not in outline.blocks[name]
        assert "<table>" in outline.blocks[name]
        assert not (out / "figures" / f"{name}.png").exists()


def test_a_warning_says_once_why_it_is_not_counted(page):
    text = "".join(page[0].blocks["places-link-budget"])
    assert "not counted" in text
    assert text.count("It is part of the <same> budget.") == 1
    assert "not counted" not in "".join(page[0].blocks["places-link"])


def test_long_tables_are_closed_and_short_ones_open(page):
    blocks = page[0].blocks
    scores, link = blocks["places-scores"], blocks["places-link"]
    assert scores.index("<details>") < scores.index("<table>")
    assert link.index("<table>") < link.index("<details>")
    assert "<caption>" in scores
    assert "<caption>" in link


def test_each_picture_has_its_size_and_says_what_it_shows(page):
    from matplotlib.image import imread

    outline, out = page
    assert outline.pictures
    for picture in outline.pictures:
        height, width = imread(out / picture["src"]).shape[:2]
        assert (picture["width"], picture["height"]) == (str(width), str(height))
    headline = load_result(out / "results" / "places-link.parquet").headline()
    assert any(headline in picture["alt"] for picture in outline.pictures)


def test_text_of_data_and_recipes_is_escaped(page):
    html = (page[1] / "index.html").read_text("utf-8")
    assert "Places &lt;b&gt;" in html
    assert "Places <b>" not in html
    assert "<same>" not in html


def test_what_texts_cite_is_listed_and_can_be_cited_again(page):
    outline, out = page
    text = "".join(outline.blocks["comparison"]).replace("<a>", "")
    assert "side by side (Cameron and Miller 2015)." in text
    assert "practitioner's guide" in "".join(outline.blocks["references"])
    html = (out / "index.html").read_text("utf-8")
    assert 'id="work-CameronMiller2015"' in html
    assert "@Cameron" not in html
    assert "@article{CameronMiller2015," in (out / "references.bib").read_text("utf-8")


def test_the_page_of_a_whole_run_is_light(folder):
    assert (folder / "index.html").stat().st_size < 3_000_000


def test_links_whose_names_have_the_same_letters_get_files_of_their_own(tmp_path):
    study = study_with_links(tmp_path, доходи={"role": "second"}, податки={"role": "second"})
    out = report.write_report([study], tmp_path / "out")
    stems = sorted(path.stem for path in (out / "results").iterdir())
    assert stems == ["places-link", "places-link-2", "places-link-3", "places-scores"]
    numbers = json.loads((out / "numbers.json").read_text("utf-8"))["places"]
    assert numbers["order"] == ["scores", "link", "link-2", "link-3"]
    assert [numbers[key]["title"] for key in numbers["order"][2:]] == ["Доходи", "Податки"]


def test_a_result_with_the_name_of_a_fact_does_not_hide_it(tmp_path):
    study = study_with_links(tmp_path)
    named = StudyResults(study.study, {"notes": study["scores"]}, 0)
    out = report.write_report([named], tmp_path / "out")
    numbers = json.loads((out / "numbers.json").read_text("utf-8"))["places"]
    assert numbers["notes"] == list(study.study.notes)
    assert numbers["order"] == ["notes-2"]
    assert numbers["notes-2"]["headline"] == study["scores"].headline()


def test_a_recipe_cannot_take_the_name_of_the_comparison(tmp_path):
    study = study_with_links(tmp_path)
    named = replace(study.study, recipe=replace(study.study.recipe, name="comparison"))
    over = {"comparison": Findings(pd.DataFrame({"setting": ["a"]}), {})}
    with pytest.raises(SpecError, match="Rename its file"):
        report.write_report(
            [StudyResults(named, study.results, 0)], tmp_path / "out", comparison=over
        )


def test_one_citation_key_for_two_works_is_refused(tmp_path):
    study = study_with_links(tmp_path)
    other = "@book{CameronMiller2015,\n  title = {Another},\n  year = {2015}\n}"
    sources = (replace(study.study.recipe.sources[0], bibtex=other),)
    told = replace(study.study, recipe=replace(study.study.recipe, sources=sources))
    with pytest.raises(DataError, match="CameronMiller2015 stands for two different entries"):
        report.write_report([StudyResults(told, study.results, 0)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_results_without_a_name_of_their_own_have_a_heading_in_words(page, few):
    numbers = json.loads((few / "numbers.json").read_text("utf-8"))
    titles = {numbers["eu"][key]["title"] for key in numbers["eu"]["order"]}
    # None of the three studies declares periods, so none has a stability.
    elsewhere = {report.TITLES["comparison"], report.TITLES["stability"]}
    assert set(report.TITLES.values()) - titles == elsewhere
    assert numbers["comparison"]["comparison"]["title"] == report.TITLES["comparison"]
    assert "How to read this" in (page[1] / "index.html").read_text("utf-8")


def test_a_run_is_read_only_if_it_is_as_it_was_written(page, tmp_path):
    source = page[1]
    assert report.read_run(source)["recipes"] == ["places"]
    copy = tmp_path / "copy"
    shutil.copytree(source, copy)
    (copy / "numbers.json").write_text("{}")
    (copy / "references.bib").unlink()
    with pytest.raises(DataError, match=r"2 file\(s\).*numbers\.json, references\.bib"):
        report.read_run(copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(DataError, match="was not written by lgpi run"):
        report.read_run(copy)
    with pytest.raises(DataError, match="There is no folder"):
        report.read_run(tmp_path / "nowhere")


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_of_text_stand_out_from_their_grounds_by_night_and_day():
    style = (Path(report.__file__).parent / "templates" / "page.css").read_text("utf-8")
    palettes = [dict(re.findall(r"--([\w-]+): (#\w{6})", p)) for p in style.split(":root {")[1:]]
    assert len(palettes) == 3  # screen by day, by night, and paper
    for palette in palettes:
        for text in ("ink", "quiet", "link", "warn"):
            for ground in ("paper", "soft", "warn-soft"):
                pair = sorted((luminance(palette[text]), luminance(palette[ground])))
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (text, ground)
