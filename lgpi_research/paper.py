"""The paper: a manuscript whose numbers are read from a folder that ``lgpi run`` wrote."""

from __future__ import annotations

import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from lgpi_research.errors import DataError, SpecError
from lgpi_research.report import MANIFEST, read_run

__all__ = ["build_paper"]

_READ = ("numbers.json", "references.bib", MANIFEST)


def build_paper(results: str | Path, out: str | Path) -> Path:
    """Set the manuscript with the numbers, figures and references of a run.

    Parameters
    ----------
    results : str or Path
        Folder that ``lgpi run`` wrote, unchanged since.
    out : str or Path
        The PDF to write. The same results give the same bytes.

    Returns
    -------
    Path
        The PDF.

    Raises
    ------
    DataError
        If the folder was not written by ``lgpi run`` or was changed since, lacks a number
        that the manuscript quotes, or the PDF cannot be written.
    SpecError
        If `out` is no ``.pdf`` or lies in the folder of results, or the program that sets
        the manuscript is not installed.
    """
    source, target = Path(results), Path(out)
    if target.suffix.lower() != ".pdf":
        raise SpecError(f"The paper is a PDF, so {target.name!r} must end in .pdf.")
    if target.absolute().is_relative_to(source.absolute()):
        raise SpecError(
            f"{target.name} would lie in the folder of results, whose files are listed and "
            "verified. Name a place outside it."
        )
    told = read_run(source)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        shutil.copytree(_manuscript(), root, dirs_exist_ok=True)
        figures = [name for name in told["files"] if name.startswith("figures/")]
        for name in (*_READ, *(name for name in figures if name.endswith(".pdf"))):
            copy = root / "results" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, copy)
        content = _typeset(root)
    aside = target.with_name(f".{target.name}.part")
    try:
        try:
            aside.write_bytes(content)
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"Cannot write {target.name}: {error.strerror or error}.") from error
    return target


def _manuscript() -> Path:
    """Return the folder of the manuscript: in the installed package, or in the clone."""
    package = Path(str(resources.files("lgpi_research")))
    for folder in (package / "_paper", package.parent / "paper"):
        if (folder / "main.typ").is_file():
            return folder
    raise DataError(
        "The manuscript is not there: neither lgpi_research/_paper nor paper/main.typ beside the "
        "package exists. Install lgpi-research again, or work in a clone of it."
    )


def _typeset(root: Path) -> bytes:
    """Return the PDF of ``main.typ`` in `root`, with built-in fonts only and no date."""
    try:
        import typst
    except ImportError:
        raise SpecError(
            "The paper is set by typst, which is not installed. Install it with: "
            'pip install "lgpi-research[paper]"'
        ) from None
    try:
        compiler = typst.Compiler(str(root / "main.typ"), root=str(root), ignore_system_fonts=True)
        content: Any = compiler.compile(format="pdf")
    except typst.TypstError as error:
        raise DataError(
            f"The paper cannot be set from these results: {error.message}. They may be of another "
            "version; run lgpi run again."
        ) from None
    return bytes(content)
