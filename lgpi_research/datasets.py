"""The data that ship with the project: loaded, verified, and described.

A data set is a CSV table, or a file of moments (the sums of a survey by cluster, without
anybody's answers), and an entry of ``data/manifest.toml`` that says what its columns or
items are, where they come from, on what terms, and which traps they hold. They are made
from published sources by ``data/compile.py``; loading one verifies that it is still what
was made.
"""

from __future__ import annotations

import hashlib
import html
import io
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from lgpi_research import tables
from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.errors import DataError, LGPIError, Problems, SpecError, listing, nearest
from lgpi_research.moments import Moments

__all__ = [
    "Column",
    "Dataset",
    "data_folder",
    "list_datasets",
    "list_recipes",
    "load_dataset",
    "load_eu_regions",
    "load_moments",
    "load_tai",
    "load_ukraine_hromadas",
    "recipe_path",
]

_DTYPES = {"str": "str", "int": "int64", "float": "float64", "bool01": "int64"}

BASES = ("", "plan", "outturn")
KINDS = ("table", "moments")

_TEXTS = (
    "title", "description", "file", "sha256", "provider", "citation", "bibtex", "licence",
    "terms", "source",
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """What one column of a data set holds.

    Attributes
    ----------
    label : str
        What it is, in words.
    unit : str
        Unit of the values; empty for names and codes.
    type : {"str", "int", "float", "bool01"}
        Kind of values; ``bool01`` is 0 for no and 1 for yes.
    low, high : float or None
        Ends of the scale: a value beyond them is an error.
    goalposts : tuple of float or None
        Fixed points that an index puts at 0 and 1. Values may lie beyond them.
    made_from : tuple of str
        Quantities that the column is computed from or paid from: columns of the
        table, or other quantities by name. Two columns that share one are
        mechanically related.
    basis : {"", "plan", "outturn"}
        For amounts of a budget: as planned, or as it came out. The two do not mix.
    source : str
        What the provider calls it.
    """

    label: str
    unit: str
    type: str
    low: float | None = None
    high: float | None = None
    goalposts: tuple[float, float] | None = None
    made_from: tuple[str, ...] = ()
    basis: str = ""
    source: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A table, or moments of a survey, with its description, its terms and its traps.

    Attributes
    ----------
    name, title, description : str
        What it is.
    frame : DataFrame of shape (rows, columns)
        One row for each unit, in columns of type ``str``, ``int64`` or ``float64``; of
        moments, one for each cluster.
    key : tuple of str
        Columns that name a row.
    columns : mapping of str to Column
        Label, unit, scale and origin of each column, in the order of the table.
    provider, source : str
        Who published the data, and the version used.
    citation, bibtex : str
        How to cite them, as text and as BibTeX entries.
    licence, terms : str
        On what terms they may be used.
    caveats : tuple of str
        What a user must know before trusting a number.
    digest : str
        SHA-256 of the file.
    moments : Moments or None
        The sums of a survey by cluster, where the data set holds those.
    codebook : Codebook or None
        The items that the sums are of.
    """

    name: str
    title: str
    description: str
    frame: pd.DataFrame
    key: tuple[str, ...]
    columns: Mapping[str, Column]
    provider: str
    source: str
    citation: str
    bibtex: str
    licence: str
    terms: str
    caveats: tuple[str, ...]
    digest: str
    moments: Moments | None = None
    codebook: Codebook | None = None

    @property
    def citation_keys(self) -> tuple[str, ...]:
        """Keys of the BibTeX entries, in their order."""
        return tuple(re.findall(r"^@\w+\{([^,\s]+),", self.bibtex, flags=re.MULTILINE))

    def describe(self) -> pd.DataFrame:
        """Return one row for each column: label, unit, type, range found, missing, origin.

        Examples
        --------
        >>> told = load_tai().describe()
        >>> print(told.loc[:2, ["name", "unit", "highest"]].to_string(index=False))
             name                       unit  highest
          country                                 NaN
          patents         per million people    994.0
        royalties US dollars per 1,000 people    156.6
        """
        numbers = self.frame.select_dtypes("number")
        found = pd.DataFrame({"lowest": numbers.min(), "highest": numbers.max()}, dtype="float64")
        told = [
            {"name": name, "label": column.label, "unit": column.unit, "type": column.type}
            for name, column in self.columns.items()
        ]
        origin = [", ".join(column.made_from) for column in self.columns.values()]
        return (
            pd.DataFrame(told)
            .join(found, on="name")
            .assign(missing=self.frame.isna().sum().to_numpy(), made_from=origin)
        )

    def _headline(self) -> str:
        rows, columns = self.frame.shape
        if self.moments is not None:
            scales = listing(scale.name for scale in self.moments.scales)
            return f"{self.title}: moments of {rows:,} clusters, {scales}"
        return f"{self.title}: {rows:,} rows, {columns} columns, key {', '.join(self.key)}"

    def __repr__(self) -> str:
        return "\n".join(
            [
                self._headline(),
                f"Licence: {self.licence}",
                f"Cite: {self.citation}",
                f"Read the {len(self.caveats)} caveats; describe() lists the columns.",
            ]
        )

    def _repr_html_(self) -> str:
        caveats = "".join(f"<li>{html.escape(caveat)}</li>" for caveat in self.caveats)
        return (
            f"<p><b>{html.escape(self._headline())}</b></p>"
            f"{tables.to_html(self.describe())}"
            f"<ul>{caveats}</ul>"
            f"<p>Licence: {html.escape(self.licence)}</p>"
            f"<p>Cite: {html.escape(self.citation)}</p>"
        )


def data_folder() -> Path:
    """Return the folder of tables, manifest and recipes.

    It is ``lgpi_research/_data`` in an installed package, and ``data`` in a clone.

    Raises
    ------
    DataError
        If neither is there.
    """
    package = Path(str(resources.files("lgpi_research")))
    for folder in (package / "_data", package.parent / "data"):
        if (folder / "manifest.toml").is_file():
            return folder
    raise DataError(
        "The data of the package are not there: no manifest.toml in lgpi_research/_data, and "
        "none in data/ of a clone. Install the package again, or run it from a whole clone."
    )


def list_datasets() -> pd.DataFrame:
    """List the data sets that ship with the project.

    Returns
    -------
    DataFrame
        Columns ``name, title, kind, rows, columns, licence, citation``. The kind is
        "table" or "moments"; moments have a row for each cluster.

    Raises
    ------
    DataError
        If the manifest is missing or damaged.

    Examples
    --------
    >>> list_datasets()[["name", "rows"]].values.tolist()[:2]
    [['ukraine_hromadas', 1469], ['eu_regions', 238]]
    """
    return pd.DataFrame(
        [
            {
                "name": name,
                "title": entry["title"],
                "kind": entry.get("kind", "table"),
                "rows": entry["rows"],
                "columns": len(entry["columns"]),
                "licence": entry["licence"],
                "citation": entry["citation"],
            }
            for name, entry in _read_manifest(data_folder()).items()
        ]
    )


def load_dataset(name: str, *, folder: str | Path | None = None) -> Dataset:
    """Load a data set and verify that it is what was compiled.

    Parameters
    ----------
    name : str
        A name that `list_datasets` gives.
    folder : str, Path or None
        Folder with a ``manifest.toml`` of the same form; None for the one that ships
        with the project.

    Returns
    -------
    Dataset
        Blank cells are missing; every other text, "NA" included, is a value.

    Raises
    ------
    SpecError
        If no data set has the name; the message gives the nearest spelling.
    DataError
        If the table or the manifest is missing, damaged or altered.

    Examples
    --------
    >>> tai = load_dataset("tai")
    >>> tai.frame.shape, tai.columns["schooling"].goalposts
    ((23, 9), (0.8, 12.0))
    """
    home = data_folder() if folder is None else Path(folder)
    manifest = _read_manifest(home)
    entry = manifest[_choose(name, manifest, "data set")]
    content = _read_verified(home, entry["file"], entry["sha256"])
    columns = {label: _column(told) for label, told in entry["columns"].items()}
    moments = codebook = None
    if entry.get("kind") == "moments":
        moments = Moments.load(home / entry["file"])
        codebook = _codebook(entry["items"])
        frame = moments.psus.copy()
        _check_items(moments, codebook, entry["file"])
    else:
        frame = _parse(content, entry["file"], columns)
    _check(frame, entry, columns)
    return Dataset(
        name=name,
        frame=frame,
        key=tuple(entry["key"]),
        columns=MappingProxyType(columns),
        caveats=tuple(entry["caveats"]),
        digest=entry["sha256"],
        moments=moments,
        codebook=codebook,
        **{text: entry[text].strip() for text in _TEXTS if text not in ("file", "sha256")},
    )


def load_moments(name: str, *, folder: str | Path | None = None) -> Moments:
    """Load the moments of a survey that ship with the project, after verifying them.

    What the items are, the terms and the caveats are in the `Dataset` that `load_dataset`
    returns for the same name.

    Parameters
    ----------
    name : str
        A name that `list_datasets` gives, of kind "moments".
    folder : str, Path or None
        As of `load_dataset`.

    Raises
    ------
    SpecError
        If no data set has the name, or it is a table.
    DataError
        If the file or the manifest is missing, damaged or altered.

    Examples
    --------
    >>> from lgpi_research.methods.consistency import alpha
    >>> moments = load_moments("afrobarometer_r4_unweighted")
    >>> for name in ("services", "council practice"):
    ...     print(moments.n_used(name), round(float(alpha(moments.spread(name))), 4))
    16314 0.8678
    19206 0.9251
    """
    found = load_dataset(name, folder=folder)
    if found.moments is None:
        manifest = _read_manifest(data_folder() if folder is None else Path(folder))
        known = [key for key, entry in manifest.items() if entry.get("kind") == "moments"]
        raise SpecError(
            f"{name!r} is a table: load it with load_dataset. Moments: {listing(known) or 'none'}."
        )
    return found.moments


def load_ukraine_hromadas() -> Dataset:
    """Load own revenue, e-democracy tools and exams of 1,469 Ukrainian hromadas, 2021.

    The 31 communities that were occupied before 2022 are in the table and flagged in
    ``occupied_before_2022``; leave them out of comparisons.

    Raises
    ------
    DataError
        If the table is missing or altered.

    Examples
    --------
    >>> hromadas = load_ukraine_hromadas().frame
    >>> held = hromadas[hromadas["occupied_before_2022"] == 0]
    >>> print(len(held), round(held["own_revenue_share"].mean(), 3))
    1438 0.543
    """
    return load_dataset("ukraine_hromadas")


def load_eu_regions() -> Dataset:
    """Load quality of government, income and autonomy of 238 regions of the EU, 2021.

    Raises
    ------
    DataError
        If the table is missing or altered.

    Examples
    --------
    >>> regions = load_eu_regions().frame
    >>> regions.loc[regions["eqi"].idxmax(), "region"]
    'Åland'
    """
    return load_dataset("eu_regions")


def load_tai() -> Dataset:
    """Load the technology achievement table of 23 countries, with its goalposts.

    Raises
    ------
    DataError
        If the table is missing or altered.

    Examples
    --------
    >>> load_tai().frame["country"].head(3).tolist()
    ['Finland', 'United States', 'Sweden']
    """
    return load_dataset("tai")


def list_recipes() -> tuple[str, ...]:
    """Return the names of the recipes that ship with the project, sorted.

    Raises
    ------
    DataError
        If the package's data are not there.
    """
    return tuple(sorted(path.stem for path in (data_folder() / "recipes").glob("*.toml")))


def recipe_path(name: str) -> Path:
    """Return the file of a recipe that ships with the project.

    Parameters
    ----------
    name : str
        A name that `list_recipes` gives, without folder and ending.

    Raises
    ------
    SpecError
        If no recipe has the name, or if it is a path.
    DataError
        If the package's data are not there.
    """
    return data_folder() / "recipes" / f"{_choose(name, list_recipes(), 'recipe')}.toml"


def _choose(name: str, known: Collection[str], what: str) -> str:
    if name in known:
        return name
    names = f"Known: {', '.join(known) or 'none'}."
    if re.search(r"[/\\:]", name) or name in (".", ".."):
        raise SpecError(f"A {what} is asked for by its name, and {name!r} is a path. {names}")
    raise SpecError(f"Unknown {what} {name!r}.{nearest(name, known)} {names}")


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Read and check the manifest; a shipped one is fine, one that is being edited may not be."""
    try:
        manifest = tomllib.loads((folder / "manifest.toml").read_text("utf-8"))
    except OSError as error:
        raise DataError(f"Cannot read manifest.toml: {error.strerror or error}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"manifest.toml is not valid TOML: {error}.") from error
    problems = Problems("manifest.toml")
    for name, entry in manifest.items():
        problems.extend(f"[{name}] {problem}" for problem in _entry_problems(entry))
    problems.raise_any(DataError)
    return manifest


def _entry_problems(entry: Any) -> list[str]:
    needed: dict[str, type] = dict.fromkeys(_TEXTS, str)
    needed |= {"rows": int, "key": list, "caveats": list, "columns": dict}
    if not isinstance(entry, dict):
        return ["is not a table; each data set has one."]
    wrong = [name for name, kind in needed.items() if not isinstance(entry.get(name), kind)]
    if wrong:
        return [f"lacks {name}, as {needed[name].__name__}." for name in wrong]
    found = []
    if entry.get("kind", "table") not in KINDS:
        found.append(f"kind {entry['kind']!r} is not one of {', '.join(KINDS)}.")
    elif entry.get("kind") == "moments":
        found += _item_problems(entry.get("items"))
    elif "items" in entry:
        found.append('items are described of kind = "moments" only.')
    if Path(entry["file"]).name != entry["file"] or "\\" in entry["file"]:
        found.append(f"file {entry['file']!r} must lie beside the manifest, without folders.")
    if unknown := [name for name in entry["key"] if name not in entry["columns"]]:
        found.append(f"key {', '.join(unknown)} is not among the columns.")
    allowed = [field.name for field in fields(Column)]
    for name, told in entry["columns"].items():
        found += [
            f"column {name}: unknown entry {word!r}.{nearest(word, allowed)}"
            for word in told
            if word not in allowed
        ]
        found += [f"column {name} lacks {word}." for word in ("label", "unit") if word not in told]
        if told.get("type") not in _DTYPES:
            found.append(
                f"column {name}: type {told.get('type')!r} is not one of {', '.join(_DTYPES)}."
            )
        if told.get("basis", "") not in BASES:
            found.append(
                f"column {name}: basis {told['basis']!r} is not one of {', '.join(BASES)}."
            )
    return found


def _item_problems(items: Any) -> list[str]:
    if not isinstance(items, dict) or not all(isinstance(told, dict) for told in items.values()):
        return ["lacks items, a table for each item of the moments."]
    allowed = [field.name for field in fields(Indicator) if field.name != "name"]
    found = [
        f"item {name}: unknown entry {word!r}.{nearest(word, allowed)}"
        for name, told in items.items()
        for word in told
        if word not in allowed
    ]
    if not found:
        try:
            _codebook(items)
        except LGPIError as error:
            found += list(error.problems) or [str(error)]
    return found


def _codebook(items: Mapping[str, Any]) -> Codebook:
    found = []
    for name, told in items.items():
        words: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
        found.append(Indicator(name, **words))
    return Codebook(tuple(found))


def _check_items(moments: Moments, codebook: Codebook, file: str) -> None:
    """Compare the items of moments with their description."""
    held = {item for scale in moments.scales for item in scale.items}
    odd = sorted(held.symmetric_difference(codebook.names))
    if odd:
        raise DataError(f"{file}: its items differ from those of the manifest: {listing(odd)}.")


def _column(told: Mapping[str, Any]) -> Column:
    lists = {name: tuple(told[name]) for name in ("made_from", "goalposts") if name in told}
    ends = {name: float(told[name]) for name in ("low", "high") if name in told}
    return Column(**{**told, **lists, **ends})


def _read_verified(folder: Path, file: str, digest: str) -> bytes:
    """Return the bytes of a file after comparing their digest."""
    try:
        content = (folder / file).read_bytes()
    except OSError as error:
        raise DataError(
            f"Cannot read the table {file}: {error.strerror or error}. Install the package again, "
            "or make the table with data/compile.py."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        converted = b"\r\n" in content
        raise DataError(
            f"{file} is not the table that was compiled: its SHA-256 is {found}, and the manifest "
            f"says {digest}.{' It has been given Windows line ends.' if converted else ''} Restore "
            "the file (git checkout, or install again); if the change is wanted, make it in "
            "data/compile.py and run that."
        )
    return content


def _parse(content: bytes, file: str, columns: Mapping[str, Column]) -> pd.DataFrame:
    """Read a table as its description types it; only a blank number is missing."""
    try:
        frame = pd.read_csv(io.BytesIO(content), dtype="str", keep_default_na=False)
        for name in frame.columns.intersection(list(columns)):
            dtype = _DTYPES[columns[name].type]
            if dtype == "float64":
                frame[name] = frame[name].replace("", "nan")
            if dtype != "str":  # Python parses every decimal exactly, as not all pandas do
                frame[name] = frame[name].to_numpy("object").astype(dtype)
    except ValueError as error:
        raise DataError(
            f"{file} does not hold what the manifest says of its columns: {error}."
        ) from error
    return frame


def _check(frame: pd.DataFrame, entry: Mapping[str, Any], columns: Mapping[str, Column]) -> None:
    """Compare a table with its description, all differences at once."""
    problems = Problems(entry["file"])
    if list(frame.columns) != list(columns):
        odd = listing(sorted(set(frame.columns).symmetric_difference(columns))) or "their order"
        problems.add(f"columns differ from those of the manifest: {odd}.")
    elif frame.duplicated(entry["key"]).any():
        twice = frame.loc[frame.duplicated(entry["key"]), entry["key"]]
        problems.add(f"key {', '.join(entry['key'])} is not unique: {listing(twice.to_numpy())}.")
    if len(frame) != entry["rows"]:
        problems.add(f"{len(frame)} rows, and the manifest says {entry['rows']}.")
    for name in frame.columns.intersection(list(columns)):
        column, values = columns[name], frame[name]
        if column.type == "str":
            blank = values == ""
            if blank.any():
                problems.add(f"{name}: {int(blank.sum())} blank texts.")
            continue
        low, high = (0.0, 1.0) if column.type == "bool01" else (column.low, column.high)
        beyond = pd.Series(False, index=values.index)
        if low is not None:
            beyond |= values < low
        if high is not None:
            beyond |= values > high
        if beyond.any():
            shown = listing(sorted(set(values[beyond])))
            problems.add(f"{name}: {int(beyond.sum())} values beyond {low}..{high}: {shown}.")
    problems.raise_any(DataError)
