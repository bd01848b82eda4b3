"""What is installed is what was meant, and works away from the clone and the network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import lgpi_research
from tests import public_names

ROOT = Path(__file__).resolve().parents[1]

# One worker builds once for all of these.


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def sdist(built: Path) -> Path:
    (found,) = built.glob("*.tar.gz")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    options = ["--no-deps", "--no-index", "--no-compile", "--target", folder]
    done = run(sys.executable, "-m", "pip", "install", *options, wheel)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def tables() -> set[str]:
    return {path.name for path in (ROOT / "data").glob("*.csv")}


def recipes() -> set[str]:
    return {f"recipes/{path.name}" for path in (ROOT / "data" / "recipes").glob("*.toml")}


def is_rubbish(name: str) -> bool:
    return bool(re.search(r"__pycache__|\.py[co]$|\.DS_Store|_cache/|\.ipynb_checkpoints", name))


def test_the_wheel_holds_the_package_and_its_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    info = f"lgpi_research-{lgpi_research.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"lgpi_research", info}
    assert not [name for name in names if is_rubbish(name)]
    assert len(names) == len(set(names))
    wanted = {"manifest.toml", *tables(), *recipes()}
    assert {f"lgpi_research/_data/{name}" for name in wanted} <= set(names)
    modules = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "lgpi_research").rglob("*")
        if path.is_file() and not is_rubbish(path.as_posix())
    }
    assert modules <= set(names)
    assert f"{info}/licenses/LICENSE" in names
    entry = zipfile.ZipFile(wheel).read(f"{info}/entry_points.txt").decode()
    assert "lgpi = lgpi_research.cli:main" in entry


def test_the_sdist_holds_what_a_reader_needs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert not [name for name in names if is_rubbish(name)]
    assert {
        "pyproject.toml",
        "constraints.txt",
        "Makefile",
        "README.md",
        "LICENSE",
        "CITATION.cff",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "data/compile.py",
        "data/makers/common.py",
        "data/manifest.toml",
        "tests/conftest.py",
        "tests/reference/make_cases.R",
    } <= names
    assert {f"data/{name}" for name in tables() | recipes()} <= names
    assert not [name for name in names if name.startswith((".venv", "results/", "dist/"))]


def test_the_sdist_builds_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    assert run(sys.executable, "-m", "tarfile", "-e", sdist, tmp_path / "source").returncode == 0
    (source,) = (tmp_path / "source").iterdir()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    done = run(*command, cwd=source)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


NO_NETWORK = """
import socket


def refuse(*args):
    raise OSError("the network was used")


socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""


def test_the_study_runs_from_the_wheel_outside_the_clone_without_a_network(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(NO_NETWORK, encoding="utf-8")
    here = tmp_path / "elsewhere"
    here.mkdir()
    path = os.pathsep.join([str(tmp_path / "guard"), str(installed)])
    options = {"cwd": here, "env": {**os.environ, "PYTHONPATH": path}}
    where = run(sys.executable, "-c", "import lgpi_research as p; print(p.__file__)", **options)
    assert Path(where.stdout.strip()).is_relative_to(installed)
    command = [sys.executable, "-m", "lgpi_research.cli", "run", "world", "eu", "kazakhstan"]
    done = run(*command, "--out", "results", "--draws", "1024", "--seed", "0", **options)
    assert done.returncode == 0, done.stdout + done.stderr
    out = here / "results"
    assert (out / "index.html").stat().st_size > 1000
    assert json.loads((out / "numbers.json").read_text("utf-8"))
    assert json.loads((out / "manifest.json").read_text("utf-8"))
    written = [path for path in out.rglob("*") if path.suffix in {".html", ".json", ".csv", ".tex"}]
    for path in written:
        text = path.read_text("utf-8")
        assert str(installed) not in text, path
        assert str(tmp_path) not in text, path
    assert [path.name for path in here.iterdir()] == ["results"]


def test_the_public_names_are_those_of_the_committed_file() -> None:
    written = public_names.FILE.read_text("utf-8")
    assert public_names.listing() == written, (
        "The public names or signatures changed: `python -m tests.public_names` writes the file; "
        "a removed name needs a warning for one minor release, a changed one a changelog line."
    )


def test_every_public_name_is_documented_and_typed() -> None:
    for name in lgpi_research.__all__:
        value = getattr(lgpi_research, name)
        if callable(value):
            assert (value.__doc__ or "").strip(), name
    assert (ROOT / "lgpi_research" / "py.typed").exists()


def test_importing_the_package_is_light() -> None:
    heavy = ["statsmodels", "linearmodels", "matplotlib", "dask", "distributed", "jinja2", "typer"]
    code = f"import sys, lgpi_research; print([n for n in {heavy} if n in sys.modules])"
    done = run(sys.executable, "-c", code, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_versions_agree() -> None:
    version = lgpi_research.__version__
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text("utf-8")
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def tracked() -> list[Path]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git clone")
    done = run(git, "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_machine_or_a_package_registry() -> None:
    folder = r"(?:/(?:home|root|work|Users|tmp|opt)/|C:\\\\)\w"
    registry = r"https?://[^\s\"']*(?:pypi\.org|files\.pythonhosted|/(?:simple|packages)/)"
    option = "--(?:find|index|extra-index)-(?:links|url)"
    pattern = re.compile("|".join([folder, registry, option]))
    found = []
    for path in tracked():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # a picture or a table in binary form
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []
