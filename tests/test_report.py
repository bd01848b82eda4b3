"""The folder of results: the same bytes each time, whole or not at all, readable offline."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from lgpi_research import report
from lgpi_research.cli import app
from lgpi_research.datasets import list_recipes
from lgpi_research.results import load_result
from lgpi_research.study import load_study


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


pytestmark = pytest.mark.xdist_group("report")  # one run for all of them


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "results"
    found = CliRunner().invoke(app, ["run", "--out", str(out), "--draws", "1500", "--seed", "0"])
    assert found.exit_code == 0, found.stderr
    assert "Where the share of own revenue in total revenue is higher" in found.stdout
    assert len(found.stdout.splitlines()) == 2 * len(list_recipes()) + 1
    return out


def test_the_same_seed_gives_the_same_bytes_with_two_workers(folder, tmp_path):
    words = ["run", "--out", tmp_path / "results", "--draws", 1500, "--seed", 0, "--jobs", 2]
    assert CliRunner().invoke(app, [str(word) for word in words]).exit_code == 0
    assert digests(tmp_path / "results") == digests(folder)


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
        for kind in ("png", "pdf"):
            assert (folder / "figures" / f"{stem}.{kind}").stat().st_size > 0
        result = load_result(folder / "results" / f"{stem}.parquet")
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


def test_a_run_that_is_killed_and_started_again_gives_the_same_bytes(folder, tmp_path):
    out = tmp_path / "results"
    command = [sys.executable, "-m", "lgpi_research.cli", "run", "--out", str(out), "--draws",
               "1500", "--seed", "0"]  # fmt: skip
    environment = {**os.environ, "MPLBACKEND": "agg"}
    for seconds in (2.5, 5.0):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not out.exists() or digests(out) == digests(folder)
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert digests(out) == digests(folder)


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "out").mkdir()
    results = load_study("eu").run(stages=("scores",))
    report.write_report([results], tmp_path / "out")
    assert (tmp_path / "out" / "index.html").is_file()
