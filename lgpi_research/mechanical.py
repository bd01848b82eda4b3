"""Mechanical relations: outcomes that are made from the measure, or paid from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lgpi_research.errors import Problems, SpecError
from lgpi_research.formula import parse_formula, term_of
from lgpi_research.spec import LinkDesign

__all__ = ["check_mechanical", "mechanical_reason"]


def _reach(name: str, lineage: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return every quantity behind a column, each with the one that was made from it."""
    found = {name: name}
    waiting = [name]
    while waiting:
        column = waiting.pop()
        for source in lineage.get(column, ()):
            if source not in found:
                found[source] = column
                waiting.append(source)
    return found


def _chain(source: str, found: Mapping[str, str]) -> str:
    """Say through which columns a quantity enters."""
    steps = [source]
    while found[steps[-1]] != steps[-1]:
        steps.append(found[steps[-1]])
    return " → ".join(steps)


def check_mechanical(design: LinkDesign, indicators: Iterable[str]) -> None:
    """Refuse an outcome that is tied to the measure by its construction.

    Parameters
    ----------
    design : LinkDesign
        With the measure, what is known of lineage, and what is mechanical by declaration.
    indicators : iterable of str
        The outcome and the indicators that make it up.

    Raises
    ------
    SpecError
        Naming each indicator that is the measure, is made from it, makes it up, shares a
        source with it at any depth, or is declared mechanical; with the shared quantity.

    Examples
    --------
    >>> claim = LinkDesign("score ~ own_share | oblast", cluster="oblast", lineage={
    ...     "own_share": ("own_revenue", "total_revenue"), "tax_points": ("own_revenue",)})
    >>> check_mechanical(claim, ["e_petitions", "tax_points"])
    Traceback (most recent call last):
    lgpi_research.errors.SpecError: 1 problem in the link of own_share
    - tax_points: shares own_revenue with the measure own_share
      (own_revenue → tax_points; own_revenue → own_share). ...
    """
    measured = {
        factor.column for factor in term_of(parse_formula(design.formula), design.measure).factors
    }
    behind: dict[str, str] = {}
    for column in sorted(measured):
        for source, made in _reach(column, design.lineage).items():
            behind.setdefault(source, made)
    advice = "The link would hold by construction: leave it out, or choose another measure."
    problems = Problems(f"the link of {design.measure}")
    for name in dict.fromkeys(indicators):
        own = _reach(name, design.lineage)
        shared = [source for source in own if source in behind]
        if name in design.mechanical:
            problems.add(f"{name}: {design.mechanical[name].rstrip('.')}. {advice}")
        elif name in measured:
            problems.add(f"{name}: is the measure itself. {advice}")
        elif shared:
            # The quantity nearest to the indicator is the one that a reader recognises.
            source = shared[0]
            ways = f"{_chain(source, own)}; {_chain(source, behind)}"
            problems.add(
                f"{name}: shares {source} with the measure {design.measure} ({ways}). {advice}"
            )
    problems.raise_any(SpecError)


def mechanical_reason(design: LinkDesign, outcome: Sequence[str]) -> str:
    """Return why a warning is mechanical, if it is; refuse any other link that is."""
    try:
        check_mechanical(design, outcome)
    except SpecError as error:
        if design.role != "warning":
            raise
        # Through which columns stands in the refusal of an ordinary link.
        short = [
            problem.partition(" The link would hold")[0].partition(" (")[0].rstrip(".")
            for problem in error.problems
        ]
        return " ".join(f"{text[:1].upper()}{text[1:]}.".replace("_", " ") for text in short)
    return ""
