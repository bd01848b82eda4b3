"""The page of a run: which result stands where, and the one template that shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lgpi_research.citations import Work, split_citations
from lgpi_research.study import StudyResults
from lgpi_research.version import __version__

__all__ = ["COMPACT", "Block", "Figure", "Setting", "by_setting", "render", "setting"]

INDEX = ("reliability", "stability", "scores", "sensitivity")
"""Kinds of results that belong to an index, where there is one."""

COMPACT = ("robustness", "warning")
"""Roles of links that are shown without a figure of their own."""

OPEN_ROWS = 12
"""Rows of a table that is shown without being opened."""

WIDE_PIXELS = 1200
"""Width of a figure that a phone shows in a box to be moved sideways."""


@dataclass(frozen=True)
class Figure:
    """A picture: its files, its size in pixels, and what it shows, in words."""

    png: str
    pdf: str
    width: int
    height: int
    alt: str

    @property
    def wide(self) -> bool:
        """Whether its letters would be too small on a phone."""
        return self.width > WIDE_PIXELS


@dataclass(frozen=True)
class Block:
    """One result on the page."""

    anchor: str
    title: str
    kind: str
    role: str  # of a link; empty for other results
    because: str
    headline: str
    findings: tuple[str, ...]
    table: str
    n_rows: int
    n_columns: int
    csv: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]
    methods: str

    @property
    def long(self) -> bool:
        """Whether the table is closed at first."""
        return self.n_rows > OPEN_ROWS

    @property
    def claim(self) -> str:
        """The headline without the reason, which stands above it."""
        return self.headline.removesuffix(self.because).strip()


@dataclass(frozen=True)
class Group:
    """Results of a setting that belong together."""

    anchor: str
    title: str
    lead: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Setting:
    """One study on the page."""

    anchor: str
    title: str
    short: str
    question: str
    findings: tuple[str, ...]
    groups: tuple[Group, ...]
    caveats: tuple[str, ...]
    citations: tuple[str, ...]


_GROUPS = (
    ("links", "The link with autonomy", ""),
    (
        "robustness",
        "The same link, estimated otherwise",
        "Each row changes the sample, the measure, the comparison or the controls.",
    ),
    (
        "warnings",
        "Not counted",
        "These rows would hold by construction, compare what cannot be compared, or hang on a "
        "choice of controls that settles the answer. Studies of this kind may report them, so they "
        "are shown, each with its reason; no count of findings includes them.",
    ),
    ("index", "The index, and how firm it is", ""),
    ("shown", "What the data show", ""),
)


def _place(block: Block, linked: bool, scored: bool) -> str:
    """Return the group that a result belongs to."""
    if block.role in COMPACT:
        return {"robustness": "robustness", "warning": "warnings"}[block.role]
    if block.role or (linked and block.kind in ("specifications", "synthesis")):
        return "links"
    return "index" if scored and block.kind in INDEX else "shown"


def setting(study: StudyResults, blocks: Mapping[str, Block]) -> Setting:
    """Return a study as the page shows it: its links first, then what they rest on.

    Parameters
    ----------
    study : StudyResults
        What was run.
    blocks : mapping of str to Block
        Its results, by the keys of the study.
    """
    recipe = study.study.recipe
    anchor = f"setting-{recipe.name}"
    linked = any(block.role for block in blocks.values())
    scored = any(block.kind == "scores" for block in blocks.values())
    groups = []
    for name, title, lead in _GROUPS:
        chosen = tuple(block for block in blocks.values() if _place(block, linked, scored) == name)
        if chosen:
            groups.append(Group(f"{anchor}-{name}", title, lead, chosen))
    main = [block.headline for block in blocks.values() if block.role == "main"]
    return Setting(
        anchor=anchor,
        title=recipe.title,
        short=recipe.short_title,
        question=recipe.question,
        findings=tuple(main or [block.headline for block in blocks.values()]),
        groups=tuple(groups),
        caveats=study.study.notes,
        citations=tuple(source.citation for source in recipe.sources if source.citation),
    )


def by_setting(findings: Sequence[str], titles: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return sentences under the settings whose titles they begin with; the others first.

    Examples
    --------
    >>> by_setting(["Two rows.", "Peru, 2020. Higher."], ["Peru, 2020", "Chile, 2021"])
    [('', ['Two rows.']), ('Peru, 2020', ['Higher.'])]
    """
    found: dict[str, list[str]] = {title: [] for title in ("", *titles)}
    for sentence in findings:
        title = next((name for name in titles if sentence.startswith(f"{name}. ")), "")
        found[title].append(sentence.removeprefix(f"{title}. ") if title else sentence)
    return [(title, sentences) for title, sentences in found.items() if sentences]


def render(
    comparison: Sequence[Block],
    settings: Sequence[Setting],
    facts: Mapping[str, Any],
    works: Mapping[str, Work],
) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    comparison : sequence of Block
        What is said over all settings; shown first.
    settings : sequence of Setting
        In the order of the page.
    facts : mapping
        Facts about the run, shown at the top.
    works : mapping of str to Work
        What the texts cite, by key.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lgpi_research", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    blocks = [*comparison, *(b for s in settings for group in s.groups for b in group.blocks)]
    cited = {key for block in blocks for _, key in split_citations(block.methods) if key}
    return environment.get_template("page.html").render(
        comparison=comparison,
        settings=settings,
        facts=facts,
        works=works,
        cited=sorted((works[key] for key in cited), key=lambda work: work.text.casefold()),
        pieces=split_citations,
        by_setting=partial(by_setting, titles=[setting.short for setting in settings]),
        version=__version__,
    )
