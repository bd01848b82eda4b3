"""Results into a folder: tables, figures, numbers, and a page that opens from disk."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lgpi_research import plots, tables
from lgpi_research.alignment import AlignedScales
from lgpi_research.citations import read_bibtex
from lgpi_research.dimensions import Dimensionality
from lgpi_research.errors import DataError, SpecError, listing
from lgpi_research.links import LinkResult
from lgpi_research.page import COMPACT, Block, Figure, render, setting
from lgpi_research.reliability import Reliability
from lgpi_research.results import FORMAT, SHOWN_ROWS, Result, plain
from lgpi_research.sensitivity import Sensitivity
from lgpi_research.study import StudyResults
from lgpi_research.version import __version__

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["check_output", "output_folder", "read_run", "summary_lines", "write_report"]

MADE_BY = "lgpi run"
MANIFEST = "manifest.json"
# Of a study in numbers.json.
FACTS = ("title", "short", "question", "rows", "order", "notes", "sources")
OVER = "comparison"  # what results over several recipes are filed under
TITLES = {
    OVER: "Every link of every setting",
    "reliability": "Reliability of the indicators",
    "stability": "Stability of the indicators over time",
    "scores": "Scores of the units",
    "sensitivity": "Ranks under other weights and methods",
    "specifications": "The main link under other choices of index and controls",
}
"""Headings of results that have no name of their own."""

MANY_PLACES = 20  # places of a dimension whose reliabilities are worth a picture
SMALL = 60  # rows of a table that the page and numbers.json still hold whole


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
    told = _manifest(target)
    if told is None:
        raise DataError(
            f"The folder {target.name!r} holds {len(present)} file(s) that lgpi did not write "
            f"({listing(p.name for p in present)}). Name another folder, or empty this one."
        )
    strange = _strange(target, told)
    if strange:
        raise DataError(
            f"In {target.name!r}, {len(strange)} file(s) were added or changed since lgpi wrote "
            f"the folder ({listing(strange)}). Move them, or name another folder."
        )
    return target


def read_run(folder: str | Path) -> dict[str, Any]:
    """Return the manifest of a folder of results, after making sure that it is as written.

    Raises
    ------
    DataError
        If there is no such folder, ``lgpi run`` did not write it, or a file in it was
        added, changed or taken away since.
    """
    source = Path(folder).absolute()
    again = "Write it with: lgpi run"
    if not source.is_dir():
        raise DataError(f"There is no folder {source.name!r} of results. {again}.")
    told = _manifest(source)
    if told is None:
        raise DataError(f"The folder {source.name!r} was not written by lgpi run. {again}.")
    gone = [name for name in told["files"] if not (source / name).is_file()]
    changed = [*_strange(source, told), *gone]
    if changed:
        raise DataError(
            f"In {source.name!r}, {len(changed)} file(s) were added, changed or taken away since "
            f"lgpi wrote the folder ({listing(changed)}), so its numbers cannot be relied on. "
            f"{again} --out {source.name}"
        )
    return told


def _manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a folder that ``lgpi run`` wrote, None if it is another."""
    try:
        told: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
        ours = told["made_by"] == MADE_BY and isinstance(told["files"], dict)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return told if ours else None


def _strange(folder: Path, told: dict[str, Any]) -> list[str]:
    """List the files that are not, byte for byte, those of the manifest."""
    return [
        name
        for path in sorted(p for p in folder.rglob("*") if not p.is_dir())
        if (name := path.relative_to(folder).as_posix()) != MANIFEST
        and told["files"].get(name) != _sha256(path)
    ]


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
    studies: Sequence[StudyResults],
    out: str | Path,
    *,
    comparison: Mapping[str, Result] | None = None,
    facts: dict[str, Any] | None = None,
) -> Path:
    """Write the results of studies as a folder.

    Parameters
    ----------
    studies : sequence of StudyResults
        At least one.
    out : str or Path
        Folder to write; replaced only if an earlier call wrote it.
    comparison : mapping of str to Result, optional
        Results over several studies, by name; the page begins with them.
    facts : dict, optional
        What the manifest shall say of the run (seed, draws), as plain values.

    Returns
    -------
    Path
        The folder: ``index.html``, ``numbers.json``, ``references.bib``, ``manifest.json``,
        and ``tables/`` (CSV in full precision, LaTeX, HTML), ``figures/`` (PNG, PDF),
        ``results/`` (`load_result` reads them). Links whose role is robustness or warning
        have no figure of their own.

    Raises
    ------
    DataError
        If the folder holds anything that an earlier call did not write, or cannot be
        written; or if two sources give one citation key to different works.
    SpecError
        If a recipe has the name that the comparison is filed under.
    """
    over = dict(comparison or {})
    if over and any(study.study.recipe.name == OVER for study in studies):
        raise SpecError(
            f"A recipe is called {OVER!r}, which is the name that results over several "
            "recipes are filed under. Rename its file."
        )
    with output_folder(out) as folder:
        for name in ("tables", "figures", "results"):
            (folder / name).mkdir()
        first = {
            key: _block(stem, TITLES.get(key, key), over[key], folder)
            for key, stem in _stems(OVER, over)
        }
        parts = [(study, _study_blocks(study, folder)) for study in studies]
        bibtex = _bibliography([over, *studies], studies)
        numbers = {study.study.recipe.name: _study_numbers(study, found) for study, found in parts}
        if over:
            numbers[OVER] = {
                first[key].anchor.removeprefix(f"{OVER}-"): _numbers(over[key], first[key])
                for key in over
            }
        _write(folder / "numbers.json", _json(numbers))
        _write(folder / "references.bib", bibtex)
        settings = [setting(study, found) for study, found in parts]
        page = render(list(first.values()), settings, facts or {}, read_bibtex(bibtex))
        _write(folder / "index.html", page)
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


def _study_blocks(study: StudyResults, folder: Path) -> dict[str, Block]:
    """Write every result of a study; return what the page says of each, by its key."""
    # The main link is filed as "link"; its name is the one that no other key has.
    names = [name for name in study.study.recipe.links if f"link: {name}" not in study]
    titles = TITLES | ({"link": names[0]} if names else {})
    found = {}
    for key, stem in _stems(study.study.recipe.name, study):
        title = titles.get(key, key.removeprefix("link: "))
        found[key] = _block(stem, title, study[key], folder)
    return found


def _stems(prefix: str, keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each key with the name of its files, numbered where two would be the same."""
    taken = {f"{prefix}-{name}": 1 for name in FACTS}
    for key in keys:
        slug = _slug(key)
        stem = slug if slug == prefix else f"{prefix}-{slug}".rstrip("-")
        taken[stem] = taken.get(stem, 0) + 1
        yield key, stem if taken[stem] == 1 else f"{stem}-{taken[stem]}"


def _block(stem: str, title: str, result: Result, folder: Path) -> Block:
    """Write the files of one result, and return what the page says of it."""
    result.save(folder / "results" / f"{stem}.parquet")
    whole = result.summary()
    shown = whole if len(whole) <= SMALL else whole.head(SHOWN_ROWS)
    title = title[:1].upper() + title[1:]
    rows = f"first {len(shown)} of {len(whole):,} rows" if len(shown) < len(whole) else ""
    _write(folder / "tables" / f"{stem}.csv", tables.to_csv(result.frame))
    _write(folder / "tables" / f"{stem}.html", tables.to_html(shown))
    _write(folder / "tables" / f"{stem}.tex", tables.to_latex(shown))
    role = result.details.get("role", "main") if isinstance(result, LinkResult) else ""
    return Block(
        anchor=stem,
        title=title,
        kind=result.kind,
        role=role,
        because=str(result.details.get("because") or ""),
        headline=result.headline(),
        findings=tuple(getattr(result, "findings", list)()),
        table=tables.to_html(shown, caption=f"{title}: {rows}" if rows else title),
        n_rows=len(shown),
        n_columns=len(shown.columns),
        csv=f"tables/{stem}.csv",
        figures=() if role in COMPACT else tuple(_figures(stem, result, folder)),
        notes=result.notes,
        methods=result.methods_text(),
    )


def _figures(stem: str, result: Result, folder: Path) -> Iterator[Figure]:
    """Draw the pictures of a result, each as PNG and PDF, and say what each shows."""
    if type(result).plot is Result.plot:
        return
    pictures: dict[str, Callable[[], Axes]] = {"": result.plot}
    if isinstance(result, Reliability):
        counted = result.places()["dimension"].value_counts(sort=False)
        for number, name in enumerate(counted.index[counted >= MANY_PLACES], start=1):
            pictures[f"-places-{number}"] = partial(result.plot, kind="places", dimension=name)
        for number, name in enumerate(result.details["polychoric"], start=1):
            pictures[f"-pairs-{number}"] = partial(result.plot, kind="polychoric", dimension=name)
    if isinstance(result, Dimensionality):
        for kind, of in (("scree", "roots"), ("loadings", "solutions")):
            for number, name in enumerate(result.details[of], start=1):
                ending = "" if kind == "scree" and number == 1 else f"-{kind}-{number}"
                pictures[ending] = partial(result.plot, kind=kind, dimension=name)
    if isinstance(result, AlignedScales):
        for number, name in enumerate(result.details["noninvariant_share"], start=1):
            for kind in ("means", "parameters"):
                ending = "" if kind == "means" and number == 1 else f"-{kind}-{number}"
                pictures[ending] = partial(result.plot, kind=kind, dimension=name)
    if isinstance(result, Sensitivity):
        pictures["-acceptability"] = result.plot_acceptability
    for ending, draw in pictures.items():
        axes = draw()
        name = f"figures/{stem}{ending}"
        for suffix in (".png", ".pdf"):
            plots.save_figure(axes, folder / f"{name}{suffix}")
        labels = [axes.get_title(loc="left") or axes.get_title(), axes.get_xlabel()]
        plots.close(axes)
        width, height = _pixels(folder / f"{name}.png")
        alt = ". ".join(text for text in [*labels, result.headline()] if text)
        yield Figure(f"{name}.png", f"{name}.pdf", width, height, " ".join(alt.split()))


def _pixels(path: Path) -> tuple[int, int]:
    """Return width and height of a PNG file, from its header."""
    with path.open("rb") as file:
        head = file.read(24)
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def _study_numbers(study: StudyResults, blocks: Mapping[str, Block]) -> dict[str, Any]:
    """Return what a paper quotes of a study, unrounded."""
    recipe = study.study.recipe
    prefix = f"{recipe.name}-"
    names = {key: blocks[key].anchor.removeprefix(prefix) for key in study}
    found: dict[str, Any] = {names[key]: _numbers(study[key], blocks[key]) for key in study}
    return found | {
        "title": recipe.title,
        "short": recipe.short_title,
        "question": recipe.question,
        "rows": len(study.study.table),
        "order": list(names.values()),
        "notes": list(study.study.notes),
        "sources": [
            {"citation": source.citation, "keys": list(read_bibtex(source.bibtex))}
            for source in recipe.sources
        ],
    }


def _numbers(result: Result, block: Block) -> dict[str, Any]:
    """Return the small table and every detail of a result, its words and its files."""
    told = json.loads(result.to_json())
    small = len(result.frame) <= SMALL
    rows = told["frame"] if small else plain(result.summary().head(SHOWN_ROWS).to_dict("records"))
    return {
        "kind": told["kind"],
        "title": block.title,
        "headline": told["headline"],
        "findings": list(block.findings),
        "details": told["details"],
        "methods": block.methods,
        "figures": [figure.pdf for figure in block.figures],
        "rows" if small else "first_rows": rows,
    }


def _bibliography(groups: Sequence[Mapping[str, Result]], studies: Sequence[StudyResults]) -> str:
    """Return BibTeX of every work that a result cites and of every source, by key."""
    texts = [result.references for group in groups for result in group.values()]
    texts += [source.bibtex for study in studies for source in study.study.recipe.sources]
    found: dict[str, str] = {}
    for text in texts:
        for entry in re.split(r"\n(?=@)", text):
            match = re.match(r"@\w+\{([^,\s]+),", entry.strip())
            if match is None:
                continue
            key, same = match.group(1), found.get(match.group(1), entry)
            if same.split() != entry.split():
                raise DataError(
                    f"The citation key {key} stands for two different entries. Give one of them "
                    "another key, or make them the same."
                )
            found[key] = entry.strip()
    return "".join(f"{found[key]}\n\n" for key in sorted(found))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
