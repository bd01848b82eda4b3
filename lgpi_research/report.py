"""Results into a folder: tables, figures, numbers, and a page that opens from disk."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lgpi_research import plots, tables
from lgpi_research.errors import DataError, listing
from lgpi_research.results import FORMAT, SHOWN_ROWS, Result
from lgpi_research.sensitivity import Sensitivity
from lgpi_research.study import StudyResults
from lgpi_research.version import __version__

__all__ = ["check_output", "output_folder", "summary_lines", "write_report"]

MADE_BY = "lgpi run"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class _Section:
    """One result on the page."""

    title: str
    headline: str
    table: str
    rows: str
    csv: str
    figures: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    methods: str


def summary_lines(studies: Sequence[StudyResults]) -> list[str]:
    """Return each study's title and, beneath it, its main link or what it shows first."""
    lines = []
    for study in studies:
        first = study["link"].headline() if "link" in study else study.sentences()[0]
        lines += [study.study.recipe.title, f"- {first}"]
    return lines


def check_output(out: str | Path) -> Path:
    """Return the folder to write, after making sure that nothing of the user's is in it.

    Raises
    ------
    DataError
        If it is a file, a folder that ``lgpi run`` did not write, or one in which
        files were added or changed since.
    """
    target = Path(out).absolute()
    if not target.exists():
        return target
    if not target.is_dir():
        raise DataError(f"{target.name} is a file; name a folder to write results to.")
    present = sorted(p for p in target.rglob("*") if not p.is_dir())
    if not present:
        return target
    manifest = target / MANIFEST
    try:
        told = json.loads(manifest.read_text("utf-8"))
        ours = told["made_by"] == MADE_BY and isinstance(told["files"], dict)
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise DataError(
            f"The folder {target.name!r} holds {len(present)} file(s) that lgpi did not write "
            f"({listing(p.name for p in present)}). Name another folder, or empty this one."
        )
    strange = [
        path.relative_to(target).as_posix()
        for path in present
        if path != manifest
        and told["files"].get(path.relative_to(target).as_posix()) != _sha256(path)
    ]
    if strange:
        raise DataError(
            f"In {target.name!r}, {len(strange)} file(s) were added or changed since lgpi wrote "
            f"the folder ({listing(strange)}). Move them, or name another folder."
        )
    return target


@contextmanager
def output_folder(out: str | Path) -> Iterator[Path]:
    """Give a folder beside `out` to write into, and put it in its place if all went well.

    The folder is written whole or not at all: what was there before stays until the new
    one is complete.

    Raises
    ------
    DataError
        If the folder cannot be written, or the disk is full.
    """
    target = check_output(out)
    aside = target.with_name(f".{target.name}.part")
    old = target.with_name(f".{target.name}.old")
    try:
        for left in (aside, old):
            shutil.rmtree(left, ignore_errors=True)
        aside.mkdir(parents=True)
        yield aside
        if target.exists():
            target.replace(old)
        aside.replace(target)
    except OSError as error:
        raise DataError(
            f"Cannot write the folder {target.name!r}: {error.strerror or error}. Nothing was "
            "replaced; free some space or name another folder."
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_report(
    studies: Sequence[StudyResults], out: str | Path, *, facts: dict[str, Any] | None = None
) -> Path:
    """Write the results of studies as a folder.

    Parameters
    ----------
    studies : sequence of StudyResults
        At least one.
    out : str or Path
        Folder to write; replaced only if an earlier call wrote it.
    facts : dict, optional
        What the manifest shall say of the run (seed, draws), as plain values.

    Returns
    -------
    Path
        The folder: ``index.html``, ``numbers.json``, ``manifest.json``, and ``tables/``
        (CSV in full precision, LaTeX, HTML), ``figures/`` (PNG, PDF), ``results/``
        (`load_result` reads them).

    Raises
    ------
    DataError
        If the folder holds anything that an earlier call did not write, or cannot be
        written.
    """
    with output_folder(out) as folder:
        for name in ("tables", "figures", "results"):
            (folder / name).mkdir()
        parts = [(study, _sections(study, folder)) for study in studies]
        numbers = {study.study.recipe.name: _numbers(study) for study in studies}
        _write(folder / "numbers.json", _json(numbers))
        _write(folder / "index.html", _page(parts, facts or {}))
        files = {
            path.relative_to(folder).as_posix(): _sha256(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        told = {
            "made_by": MADE_BY,
            "format": FORMAT,
            "version": __version__,
            "run": facts or {},
            "recipes": [study.study.recipe.name for study in studies],
            "files": files,
        }
        _write(folder / MANIFEST, _json(told))
    return Path(out)


def _sections(study: StudyResults, folder: Path) -> list[_Section]:
    return [_section(study.study.recipe.name, key, study[key], folder) for key in study]


def _section(recipe: str, key: str, result: Result, folder: Path) -> _Section:
    """Write the files of one result, and return what the page says of it."""
    stem = f"{recipe}-{_slug(key)}"
    result.save(folder / "results" / f"{stem}.parquet")
    whole = result.summary()
    shown = whole.head(SHOWN_ROWS)
    table = tables.to_html(shown)
    _write(folder / "tables" / f"{stem}.csv", tables.to_csv(result.frame))
    _write(folder / "tables" / f"{stem}.html", table)
    _write(folder / "tables" / f"{stem}.tex", tables.to_latex(shown))
    pictures = {"": result.plot}
    if isinstance(result, Sensitivity):
        pictures["-acceptability"] = result.plot_acceptability
    figures = []
    for ending, draw in pictures.items():
        axes = draw()
        for suffix in (".png", ".pdf"):
            plots.save_figure(axes, folder / "figures" / f"{stem}{ending}{suffix}")
        figures.append((f"figures/{stem}{ending}.png", axes.get_title(loc="left")))
        plots.close(axes)
    rows = f"first {len(shown)} of {len(whole)} rows" if len(shown) < len(whole) else ""
    return _Section(
        title=key[:1].upper() + key[1:],
        headline=result.headline(),
        table=table,
        rows=rows,
        csv=f"tables/{stem}.csv",
        figures=tuple(figures),
        notes=result.notes,
        methods=result.methods_text(),
    )


def _numbers(study: StudyResults) -> dict[str, Any]:
    """Return what a paper quotes: every small table and every detail, unrounded."""
    found: dict[str, Any] = {"title": study.study.recipe.title, "rows": len(study.study.table)}
    for key, result in study.items():
        told = json.loads(result.to_json())
        found[_slug(key)] = {
            "headline": told["headline"],
            "details": told["details"],
            **({"rows": told["frame"]} if len(result.frame) <= 60 else {}),
        }
    return found


def _page(parts: list[tuple[StudyResults, list[_Section]]], facts: dict[str, Any]) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lgpi_research", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    studies = [
        {
            "anchor": _slug(study.study.recipe.name),
            "recipe": study.study.recipe,
            "sentences": study.sentences(),
            "sections": sections,
            "notes": study.study.notes,
            "sources": study.study.recipe.sources,
        }
        for study, sections in parts
    ]
    template = environment.get_template("page.html")
    return template.render(studies=studies, facts=facts, version=__version__)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
