"""Results: numbers, what was set aside, and how to get them again."""

from __future__ import annotations

import hashlib
import html
import json
import math
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lgpi_research import tables
from lgpi_research.errors import DataError, nearest
from lgpi_research.version import __version__

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "FORMAT",
    "SHOWN_ROWS",
    "Result",
    "kind_of",
    "load_result",
    "plain",
    "provenance",
    "read_parquet",
    "references",
    "write_parquet",
]

FORMAT = 1
"""Version of the files that results and moments are saved in."""

SHOWN_ROWS = 20
"""Rows of a long table that a notebook, the page and LaTeX show; CSV has them all."""

_kinds: dict[str, type[Result]] = {}


@cache
def _bibliography() -> dict[str, str]:
    """Entries of the bibliography that ships with the package, by citation key."""
    text = (resources.files("lgpi_research") / "references.bib").read_text("utf-8")
    entries = [entry.strip() for entry in re.split(r"\n(?=@)", text) if entry.strip()]
    found = {re.match(r"@\w+\{([^,]+),", entry): entry for entry in entries}
    return {match.group(1): entry for match, entry in found.items() if match}


def references(keys: tuple[str, ...]) -> str:
    """Return BibTeX for citation keys, in the order of the keys.

    Examples
    --------
    >>> references(("Cronbach1951",)).startswith("@article{Cronbach1951,")
    True
    """
    library = _bibliography()
    unknown = [key for key in keys if key not in library]
    if unknown:
        raise DataError(f"No bibliography entry for {', '.join(unknown)}.")
    return "\n\n".join(library[key] for key in dict.fromkeys(keys)) + "\n" * bool(keys)


def provenance(
    *,
    seed: int | None = None,
    specification: Mapping[str, Any] | None = None,
    data: Mapping[str, str] | None = None,
    **facts: Any,
) -> dict[str, Any]:
    """Return what it takes to get a result again: no clock time, no machine names.

    Parameters
    ----------
    seed : int or None
        The seed used, None for a method without randomness.
    specification : mapping or None
        The choices, as plain values.
    data : mapping of str to str or None
        Name to SHA-256 of each table used.
    **facts
        Anything else, as plain values.
    """
    return {
        "seed": seed,
        "specification": dict(specification or {}),
        "data": dict(data or {}),
        **facts,
        "versions": dict(_versions()),
    }


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    """Name and version of the package and of what its numbers rest on."""
    packages = ("numpy", "pandas", "scipy")
    return (
        ("lgpi_research", __version__),
        ("python", platform.python_version()),
        *((name, metadata.version(name)) for name in packages),
    )


def plain(value: Any) -> Any:
    """Return a value as strict JSON has it: NaN and infinities become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if isinstance(value, str | int | float | bool) else str(value)


def write_parquet(
    path: str | Path,
    frame: pd.DataFrame,
    description: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write a table, arrays aligned with its rows, and a JSON description as one file.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    target = Path(path)
    columns = {str(name): pa.array(frame[name], from_pandas=True) for name in frame.columns}
    for name, array in (arrays or {}).items():
        width = math.prod(array.shape[1:])
        flat = pa.array(np.ascontiguousarray(array).reshape(-1))
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, width)
    shapes = {name: list(array.shape) for name, array in (arrays or {}).items()}
    described = {"format": FORMAT, **plain(description), "arrays": shapes}
    text = json.dumps(described, ensure_ascii=False, allow_nan=False)
    table = pa.table(columns).replace_schema_metadata({b"lgpi": text.encode()})
    aside = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            pq.write_table(table, aside, write_page_checksum=True)
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"Cannot write {target.name}: {error.strerror or error}.") from error
    return target


def read_parquet(
    path: str | Path, kinds: tuple[str, ...] = ()
) -> tuple[pd.DataFrame, dict[str, Any], dict[str, np.ndarray]]:
    """Read what `write_parquet` wrote: table, description, arrays.

    Raises
    ------
    DataError
        If the file is missing, damaged, of another program, of a format that this
        version does not know, or of a kind other than `kinds`.
    """
    source = Path(path)
    if not source.is_file():
        raise DataError(f"{source.name}: there is no such file.")
    try:
        table = pq.read_table(source, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{source.name} is damaged or no Parquet file ({type(error).__name__}). "
            "Save the result again."
        ) from error
    text = (table.schema.metadata or {}).get(b"lgpi")
    if text is None:
        raise DataError(
            f"{source.name} is a Parquet file that this package did not write. "
            "Read tables with read_table()."
        )
    damaged = (
        f"{source.name} is damaged: it does not hold what it says it holds ({{}}). "
        "Save the result again."
    )
    try:
        description = json.loads(text)
        told_format, kind = description.get("format"), description.get("kind")
    except (AttributeError, ValueError) as error:
        raise DataError(damaged.format(type(error).__name__)) from error
    if told_format != FORMAT:
        raise DataError(
            f"{source.name} has format {told_format!r}; "
            f"this version ({__version__}) reads format {FORMAT}."
        )
    if kinds and kind not in kinds:
        raise DataError(f"{source.name} holds a {kind!r}, not {' or '.join(kinds)}.")
    try:
        shapes = description.pop("arrays")
        arrays = {
            name: table.column(name)
            .combine_chunks()
            .flatten()
            .to_numpy(zero_copy_only=False)
            .reshape(shape)
            for name, shape in shapes.items()
        }
        frame = table.drop_columns(list(shapes)).replace_schema_metadata(None).to_pandas()
    except (AttributeError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise DataError(damaged.format(type(error).__name__)) from error
    return frame, description, arrays


def kind_of(path: str | Path) -> str | None:
    """Return the kind of what this package wrote into a Parquet file; None if it wrote it not.

    Only the head of the file is read.
    """
    try:
        metadata = pq.read_schema(Path(path)).metadata or {}
        return str(json.loads(metadata[b"lgpi"])["kind"])
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError):
        return None


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """Numbers, what was set aside, and how to get them again.

    Attributes
    ----------
    frame : DataFrame
        Tidy and unrounded, snake_case columns.
    provenance : dict
        Seed, specification, digests of data, versions; no clock time.
    notes : tuple of str
        What was set aside, with counts, and what a reader must know.
    arrays : dict of str to ndarray
        Arrays whose first axis is the rows of `frame`.
    details : dict
        Small facts about the whole, as plain values.
    """

    frame: pd.DataFrame
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    kind: ClassVar[str] = "result"

    def __init_subclass__(cls, kind: str, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.kind = kind
        _kinds[kind] = cls

    def headline(self) -> str:
        """Return one plain sentence."""
        return f"{type(self).__name__} with {len(self.frame)} rows"

    def summary(self) -> pd.DataFrame:
        """Return the small table that a reader wants, unrounded."""
        return self.frame

    def methods_text(self) -> str:
        """Return one paragraph that says what was done, with citation keys."""
        return self.headline()

    def plot(self, ax: Axes | None = None) -> Axes:  # noqa: ARG002
        """Draw the result and return the axes."""
        raise DataError(f"A {self.kind} result has no picture; see its summary().")

    @property
    def references(self) -> str:
        """BibTeX of the works that `methods_text` cites."""
        return references(tuple(re.findall(r"@([A-Za-z]+\d{4}[a-z]?)", self.methods_text())))

    def _shown(self) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Return the top of the summary, and the notes with a word on the rows left out."""
        whole = self.summary()
        left = len(whole) - SHOWN_ROWS
        more = (f"… {left:,} more rows in summary().",) if left > 0 else ()
        return whole.head(SHOWN_ROWS), (*more, *self.notes)

    def __repr__(self) -> str:
        table, notes = self._shown()
        return "\n".join([self.headline(), tables.to_text(table), *notes])

    def _repr_html_(self) -> str:
        table, notes = self._shown()
        head = f"<p><b>{html.escape(self.headline())}</b></p>"
        foot = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
        return f"{head}{tables.to_html(table)}{foot}"

    def to_latex(self, digits: int = 2) -> str:
        """Return the summary as a LaTeX table."""
        return tables.to_latex(self.summary(), digits)

    def to_json(self) -> str:
        """Return frame, notes, details and provenance as JSON in full precision."""
        frame = plain(self.frame.to_dict("records"))
        whole = {
            "kind": self.kind,
            "headline": self.headline(),
            "frame": frame,
            "notes": list(self.notes),
            "details": plain(self.details),
            "provenance": plain(self.provenance),
        }
        return json.dumps(whole, ensure_ascii=False, allow_nan=False, indent=1) + "\n"

    def save(self, path: str | Path) -> Path:
        """Write the result as one Parquet file; `load_result` reads it back.

        Raises
        ------
        DataError
            If the file cannot be written.
        """
        description = {
            "kind": self.kind,
            "notes": list(self.notes),
            "details": self.details,
            "provenance": self.provenance,
        }
        return write_parquet(path, self.frame, description, self.arrays)

    @classmethod
    def _restore(
        cls, frame: pd.DataFrame, told: Mapping[str, Any], arrays: dict[str, np.ndarray]
    ) -> Self:
        notes = tuple(told["notes"])
        return cls(frame, told["provenance"], notes, arrays, told["details"])

    def digest(self) -> str:
        """Return the SHA-256 of the numbers and notes."""
        content = hashlib.sha256(self.to_json().encode())
        for name in sorted(self.arrays):
            content.update(np.ascontiguousarray(self.arrays[name]).tobytes())
        return content.hexdigest()


def load_result(path: str | Path) -> Result:
    """Load a result that `Result.save` wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    Result
        Of the kind that was saved.

    Raises
    ------
    DataError
        If the file is missing, damaged, or of an unknown kind or format.
    """
    frame, told, arrays = read_parquet(path)
    kind = told["kind"]
    if kind not in _kinds:
        raise DataError(
            f"{Path(path).name} holds a result of unknown kind {kind!r}."
            f"{nearest(kind, _kinds)} Known: {', '.join(sorted(_kinds))}."
        )
    return _kinds[kind]._restore(frame, told, arrays)
