"""The example of the README runs as it is printed, and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from lgpi_research.results import Result

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102
    plt.close("all")
    results = names["results"]
    for name in re.findall(r'results\["(\w+)"\]', code):
        assert isinstance(results[name], Result), name
    assert capsys.readouterr().out.strip()


def test_the_commands_of_make_exist() -> None:
    rules = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"make (\w+) +#", README))
    assert {"study", "test"} <= named
    assert named <= rules


def test_the_modules_it_names_exist() -> None:
    table = README.split("## What answers what")[1].split("##")[0]
    cells = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ")][1:]
    modules = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert len(modules) > 10
    package = ROOT / "lgpi_research"
    missing = [
        name
        for name in modules
        if not (package / f"{name}.py").is_file() and not (package / name / "__init__.py").is_file()
    ]
    assert missing == []


def test_the_paper_cites_what_the_bibliography_holds() -> None:
    text = (ROOT / "paper" / "paper.md").read_text("utf-8")
    library = (ROOT / "lgpi_research" / "references.bib").read_text("utf-8")
    cited = set(re.findall(r"@([A-Za-z]+\d{4})", text))
    assert len(cited) > 5
    assert cited <= set(re.findall(r"^@\w+\{([^,]+),", library, flags=re.MULTILINE))
