"""Profiles: a place described without a model. Series, budgets, rankings, maps, and gaps.

A describer is a function of tables by name and of plain options, so that a recipe can
name it. Nothing here estimates a relation between autonomy and scores.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable

from lgpi_research.errors import nearest
from lgpi_research.profile.budgets import describe_budgets
from lgpi_research.profile.gaps import Gaps, describe_missing
from lgpi_research.profile.maps import Choropleth, describe_map
from lgpi_research.profile.rankings import Rankings, describe_rankings
from lgpi_research.profile.series import Series, describe_series
from lgpi_research.results import Result

__all__ = [
    "DESCRIBERS",
    "Choropleth",
    "Gaps",
    "Rankings",
    "Series",
    "check_options",
    "describe_budgets",
    "describe_map",
    "describe_missing",
    "describe_rankings",
    "describe_series",
]

DESCRIBERS: dict[str, Callable[..., Result]] = {
    "series": describe_series,
    "budgets": describe_budgets,
    "rankings": describe_rankings,
    "map": describe_map,
    "missing": describe_missing,
}
"""Describers by the name that a recipe uses: functions of tables and plain options."""


def check_options(method: str, options: Iterable[str]) -> list[str]:
    """Return what is wrong with the name of a describer and the names of its options.

    Examples
    --------
    >>> check_options("map", ["table", "unit", "column", "outline", "title"])
    ["map: unknown option 'outline'. Did you mean 'outlines'?", 'map: outlines is missing.']
    """
    if method not in DESCRIBERS:
        known = ", ".join(DESCRIBERS)
        return [f"unknown description {method!r}.{nearest(method, DESCRIBERS)} Known: {known}."]
    parameters = inspect.signature(DESCRIBERS[method]).parameters
    allowed = {name: told for name, told in parameters.items() if name != "tables"}
    given = list(options)
    found = [
        f"{method}: unknown option {name!r}.{nearest(name, allowed)}"
        for name in given
        if name not in allowed
    ]
    needed = [name for name, told in allowed.items() if told.default is inspect.Parameter.empty]
    return [*found, *(f"{method}: {name} is missing." for name in needed if name not in given)]
