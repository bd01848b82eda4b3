"""Profiles: a place described without a model. Series, budgets, rankings, maps, and gaps.

A describer is a function of tables by name and of plain options, so that a recipe can
name it. Nothing here estimates a relation between autonomy and scores.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lgpi_research.errors import nearest
from lgpi_research.profile.alignment import describe_alignment
from lgpi_research.profile.budgets import describe_budgets
from lgpi_research.profile.dimensions import describe_dimensions
from lgpi_research.profile.gaps import Gaps, describe_missing
from lgpi_research.profile.maps import Choropleth, describe_map
from lgpi_research.profile.rankings import Rankings, describe_rankings
from lgpi_research.profile.reliability import describe_reliability
from lgpi_research.profile.series import Series, describe_series
from lgpi_research.results import Result

__all__ = [
    "DESCRIBERS",
    "Choropleth",
    "Gaps",
    "Rankings",
    "Series",
    "check_options",
    "describe_alignment",
    "describe_budgets",
    "describe_dimensions",
    "describe_map",
    "describe_missing",
    "describe_rankings",
    "describe_reliability",
    "describe_series",
]

DESCRIBERS: dict[str, Callable[..., Result]] = {
    "series": describe_series,
    "budgets": describe_budgets,
    "rankings": describe_rankings,
    "map": describe_map,
    "missing": describe_missing,
    "reliability": describe_reliability,
    "dimensions": describe_dimensions,
    "alignment": describe_alignment,
}
"""Describers by the name that a recipe uses: functions of tables and plain options."""


RUN = ("tables", "seed", "n_jobs")
"""What a describer gets from the run, not from a recipe."""

_KINDS: dict[str, tuple[type, str]] = {
    "str": (str, "text"),
    "bool": (bool, "true or false"),
    "int": (int, "a whole number"),
    "Mapping": (Mapping, "a table"),
    "Sequence": (Sequence, "a list"),
}
"""How the annotation of an option begins, to what its value must be."""


def check_options(method: str, options: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the name of a describer and with its options.

    Examples
    --------
    >>> options = {"table": "a", "unit": "b", "column": "c", "outline": "d", "title": 3}
    >>> for problem in check_options("map", options):
    ...     print(problem)
    map: unknown option 'outline'. Did you mean 'outlines'?
    map: outlines is missing.
    map: title must be text, got 3.
    """
    if method not in DESCRIBERS:
        known = ", ".join(DESCRIBERS)
        return [f"unknown description {method!r}.{nearest(method, DESCRIBERS)} Known: {known}."]
    parameters = inspect.signature(DESCRIBERS[method]).parameters
    allowed = {name: told for name, told in parameters.items() if name not in RUN}
    given = list(options)
    found = [
        f"{method}: unknown option {name!r}.{nearest(name, allowed)}"
        for name in given
        if name not in allowed
    ]
    needed = [name for name, told in allowed.items() if told.default is inspect.Parameter.empty]
    found += [f"{method}: {name} is missing." for name in needed if name not in given]
    for name, value in options.items():
        if name in allowed:
            begins = re.split(r"\W", str(allowed[name].annotation))[0]
            kind, text = _KINDS.get(begins, (object, ""))
            if not isinstance(value, kind) or (kind is Sequence and isinstance(value, str)):
                found.append(f"{method}: {name} must be {text}, got {value!r}.")
    return found
