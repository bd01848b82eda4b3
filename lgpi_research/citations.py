"""Works cited: BibTeX as a reader sees it, and the citations in a text told apart."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from lgpi_research.errors import DataError

__all__ = ["Work", "read_bibtex", "split_citations"]

_ACCENTS = {
    '"': "\u0308", "'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303", "=": "\u0304",
    ".": "\u0307", "c": "\u0327", "v": "\u030c", "u": "\u0306", "H": "\u030b", "k": "\u0328",
    "r": "\u030a",
}  # fmt: skip
_LETTERS = {r"\ss": "ß", r"\o": "ø", r"\O": "Ø", r"\ae": "æ", r"\AE": "Æ", r"\l": "ł", r"\L": "Ł",
            r"\aa": "å", r"\AA": "Å", r"\i": "ı", r"\&": "&", r"\%": "%", r"\_": "_"}  # fmt: skip
_CITATION = re.compile(r"@([A-Za-z]+\d{4}[a-z]?)")
_GROUP = re.compile(r"\[((?:@[A-Za-z]+\d{4}[a-z]?)(?:; @[A-Za-z]+\d{4}[a-z]?)*)\]")
_CONTAINERS = ("journal", "booktitle", "publisher", "institution", "howpublished", "note")
MANY_AUTHORS = 3
"""Authors from which a citation in the text names only the first."""


@dataclass(frozen=True)
class Work:
    """One entry of a bibliography.

    Attributes
    ----------
    key : str
        What texts cite it by.
    label : str
        Authors and year, as within a sentence.
    text : str
        The whole reference.
    """

    key: str
    label: str
    text: str


def read_bibtex(text: str) -> dict[str, Work]:
    r"""Return the entries of a bibliography by key, in plain letters.

    Parameters
    ----------
    text : str
        BibTeX whose values stand in braces. Accents may be written as LaTeX.

    Raises
    ------
    DataError
        If the braces of an entry are not closed.

    Examples
    --------
    >>> work = read_bibtex(r'''@article{Rover2015,
    ...     author = {R{\"o}ver, Christian and Knapp, Guido}, title = {Modified tests},
    ...     journal = {BMC}, volume = {15}, pages = {1--9}, year = {2015}}''')["Rover2015"]
    >>> work.label
    'Röver and Knapp 2015'
    >>> work.text
    'Röver, Christian, and Knapp, Guido (2015). Modified tests. BMC, 15, 1–9.'
    """
    found = {}
    for match in re.finditer(r"@\w+\{([^,\s]+),", text):
        body, _ = _braced(text, text.index("{", match.start()))
        found[match.group(1)] = _work(match.group(1), dict(_fields(body)))
    return found


def split_citations(text: str) -> list[tuple[str, str]]:
    """Return a text in pieces: plain ones with an empty key, citations as their keys.

    Examples
    --------
    >>> split_citations("known to fail [@CameronMiller2015].")
    [('known to fail (', ''), ('', 'CameronMiller2015'), (').', '')]
    """
    plain = _GROUP.sub(r"(\1)", text)
    pieces = _CITATION.split(plain)
    return [
        ("", piece) if number % 2 else (piece, "") for number, piece in enumerate(pieces) if piece
    ]


def _braced(text: str, start: int) -> tuple[str, int]:
    """Return what the brace at `start` encloses, and where it closes."""
    depth = 0
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start + 1 : place], place
    line = text.count("\n", 0, start) + 1
    raise DataError(f"BibTeX: the brace in line {line} is never closed.")


def _fields(body: str) -> Iterator[tuple[str, str]]:
    place = 0
    pattern = re.compile(r"(\w+)\s*=\s*(?=\{)")
    while match := pattern.search(body, place):
        value, place = _braced(body, match.end())
        yield match.group(1).lower(), " ".join(value.split())


def _plain(text: str) -> str:
    """Turn LaTeX into letters, and drop its braces and dollars."""
    for command, letter in _LETTERS.items():
        text = re.sub(re.escape(command) + r"(?![A-Za-z])\s?", letter, text)
    text = re.sub(
        r"\\([\"'`^~=.]|[cvuHkr](?![A-Za-z]))\s*\{?([A-Za-zı])\}?",
        lambda m: unicodedata.normalize("NFC", m.group(2) + _ACCENTS[m.group(1)]),
        text,
    )
    return re.sub(r"[{}$]", "", text).replace("--", "–").strip()


def _authors(text: str) -> list[tuple[str, str]]:
    """Return the name that a citation uses, and the whole name, of each author."""
    found = []
    for name in re.split(r"\s+and\s+(?![^{]*\})", text):
        if name.startswith("{") and name.endswith("}"):
            found.append((_plain(name), _plain(name)))
        elif "," in name:
            found.append((_plain(name.split(",")[0]), _plain(name)))
        else:
            found.append((_plain(name.split()[-1]), _plain(name)))
    return found


def _joined(names: list[str], comma: str) -> str:
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])}{comma} and {names[-1]}"


def _work(key: str, told: dict[str, str]) -> Work:
    authors = _authors(told.get("author", told.get("editor", "{Anonymous}")))
    short = [name for name, _ in authors]
    named = f"{short[0]} et al." if len(short) >= MANY_AUTHORS else _joined(short, "")
    year = _plain(told.get("year", "no year"))
    container = [_plain(told[name]) for name in _CONTAINERS if name in told]
    where = ", ".join(
        [*container, *(_plain(told[name]) for name in ("volume", "pages") if name in told)]
    )
    whole = [name for _, name in authors]
    comma = "," if any("," in name for name in whole) else ""
    parts = [f"{_joined(whole, comma)} ({year})", _plain(told.get("title", "")), where]
    doi = f" doi:{told['doi']}" if "doi" in told else ""
    return Work(key, f"{named} {year}", f"{'. '.join(filter(None, parts)).rstrip('.')}.{doi}")
