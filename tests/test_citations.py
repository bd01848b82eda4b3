"""Works cited: plain letters from BibTeX, labels of authors, citations in a text."""

from __future__ import annotations

import re
import unicodedata
from importlib import resources

import pytest

from lgpi_research.citations import read_bibtex, split_citations
from lgpi_research.errors import DataError


def work(author: str, **fields: str):
    told = {"title": "A title", "year": "2001"} | fields
    body = ",\n".join(f"{name} = {{{value}}}" for name, value in told.items())
    return read_bibtex(f"@article{{Key2001,\n author = {{{author}}},\n{body}\n}}")["Key2001"]


@pytest.mark.parametrize(
    ("author", "label"),
    [
        ("Ann Lee", "Lee 2001"),
        ("Lee, Ann and van der Ploeg, Rick", "Lee and van der Ploeg 2001"),
        ("Lee, Ann and Li, Bo and Wu, Cy", "Lee et al. 2001"),
        ("{World Bank and Partners}", "World Bank and Partners 2001"),
        ("{OECD} and {Joint Research Centre}", "OECD and Joint Research Centre 2001"),
        (r"R{\"o}ver, A. and Lled{\'o}, B.", "Röver and Lledó 2001"),
        (r"S{\o}rensen, A. and Ko{\v{c}}i, B. and X, C.", "Sørensen et al. 2001"),
    ],
)
def test_authors_are_named_as_in_a_sentence(author, label):
    assert work(author).label == label


def test_braces_and_dashes_of_bibtex_are_not_shown():
    told = work("Lee, Ann", title="The {EU} in 2001--2004", doi="10.1/x_y")
    assert told.text == "Lee, Ann (2001). The EU in 2001–2004. doi:10.1/x_y"


def test_a_text_is_whole_again_when_its_pieces_are_joined():
    text = "As [@Lee2001; @Wu1999b] say, and @Bo2010 too; write a@b.org."
    pieces = split_citations(text)
    assert [key for _, key in pieces if key] == ["Lee2001", "Wu1999b", "Bo2010"]
    joined = "".join(plain or f"@{key}" for plain, key in pieces)
    assert joined == "As (@Lee2001; @Wu1999b) say, and @Bo2010 too; write a@b.org."


def test_every_entry_of_the_bibliography_reads_without_signs_of_latex():
    text = (resources.files("lgpi_research") / "references.bib").read_text("utf-8")
    works = read_bibtex(text)
    assert len(works) == len(re.findall(r"^@", text, re.MULTILINE))
    for told in works.values():
        assert not set(told.text) & set("\\{}$")
        assert re.search(r" (\d{4}|no year)$", told.label)


def test_every_entry_of_the_bibliography_is_closed():
    text = (resources.files("lgpi_research") / "references.bib").read_text("utf-8")
    for entry in re.split(r"\n(?=@)", text):
        assert entry.count("{") == entry.count("}"), entry


def test_every_key_names_the_first_author_and_the_year_of_its_entry():
    text = (resources.files("lgpi_research") / "references.bib").read_text("utf-8")
    for key, told in read_bibtex(text).items():
        plain = unicodedata.normalize("NFD", told.text)
        surname = re.sub(r"[^A-Za-z]", "", re.split(r",| and ", plain)[0])
        assert key.lower().startswith(surname.lower()), told.text
        assert told.label.endswith(f" {key[-4:]}")


def test_an_entry_that_is_not_closed_is_refused():
    entries = "@book{A2001,\n title = {One}\n}\n@book{B2002,\n title = {Two}\n"
    with pytest.raises(DataError, match="the brace in line 4 is never closed"):
        read_bibtex(entries)
