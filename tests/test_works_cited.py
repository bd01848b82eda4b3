"""Works in docstrings, in the bibliography and in the texts of results are the same works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lgpi_research.citations import Work, read_bibtex

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "lgpi_research"
WORKS = read_bibtex((PACKAGE / "references.bib").read_text("utf-8"))


def docstrings() -> Iterator[tuple[str, str]]:
    """Return every docstring of the package that has references, and where it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text("utf-8")
        for found in re.finditer(r'"""(.*?)"""', text, re.DOTALL):
            if "\n.. [" in re.sub(r"\n +", "\n", found[1]):
                line = text.count("\n", 0, found.start()) + 1
                yield f"{path.relative_to(ROOT)}:{line}", found[1]


def cited(docstring: str) -> dict[str, str]:
    """Return the references of a docstring by their number, each on one line."""
    pattern = r"^( *)\.\. \[(\d+)\] (.*(?:\n\1 +\S.*)*)"
    return {
        found[2]: " ".join(found[3].split())
        for found in re.finditer(pattern, docstring, re.MULTILINE)
    }


def with_initials(work: Work) -> str:
    """Return a work as docstrings write it, first names by their initials."""
    whole, rest = re.match(r"(.*?)( \(\d{4}\)\. .*)", work.text).groups()
    parts = re.split(r", (?:and )?", whole)
    parts[1::2] = [re.sub(r"(\w)\w*\.?", r"\1.", given) for given in parts[1::2]]
    people = [", ".join(parts[place : place + 2]) for place in range(0, len(parts), 2)]
    last = f", and {people[-1]}" if people[1:] else people[-1]
    return ", ".join(people[:-1]) + last + rest.split(" doi:")[0].replace("–", "-")


def without_place(text: str) -> str:
    """Return a reference without the page, chapter or correction it points to."""
    text = re.sub(r", (p\.|ch\.|section) [\d.]*\d|; with the correction .*", "", text)
    return text.replace("ed..", "ed.").rstrip(".")


def without_signs(text: str) -> str:
    """Return a reference of a docstring as `read_bibtex` writes it: no signs, places, editors."""
    text = re.sub(r":math:`(.*?)`", r"\1", without_place(text)).replace("*", "")
    text = re.sub(r"In [^()]* \(eds\.\), (.*), (\d+-\d+)\. (.*)$", r"\1, \3, \2", text)
    return re.sub(r", \d\w\w ed(?=\.)", "", text) + "."


def first(text: str) -> tuple[str, str]:
    """Return the first author and the year of a reference."""
    surname, year = re.match(r"([^,(]+).*?\((\d{4})\)", text).groups()
    return surname.strip(), year


KNOWN = {first(work.text): work for work in WORKS.values()}
CITED = [(place, text) for place, doc in docstrings() for text in cited(doc).values()]


def test_first_author_and_year_tell_the_works_apart():
    assert len(KNOWN) == len(WORKS)
    assert len(CITED) > 100


def test_a_work_in_a_docstring_is_that_of_the_bibliography():
    both = [(place, text) for place, text in CITED if first(text) in KNOWN]
    assert len(both) > 50
    for place, text in both:
        assert without_signs(text) == with_initials(KNOWN[first(text)]), place


def test_a_work_is_cited_in_one_form():
    forms: dict[tuple[str, str], set[str]] = {}
    for _, text in CITED:
        forms.setdefault(first(text), set()).add(without_place(text))
    assert [told for told in forms.values() if len(told) > 1] == []


def test_references_of_a_docstring_are_those_it_names():
    for place, doc in docstrings():
        body = re.split(r"\n *References\n", doc)[0]
        assert set(re.findall(r"\[(\d+)\]_", body)) == set(cited(doc)), place


def test_every_entry_of_the_bibliography_is_cited_by_a_text():
    texts = [path.read_text("utf-8") for path in PACKAGE.rglob("*.py")]
    texts.append((ROOT / "paper" / "paper.md").read_text("utf-8"))
    used = set(re.findall(r"@([A-Za-z]+\d{4})", "\n".join(texts)))
    assert set(WORKS) - used == set()
