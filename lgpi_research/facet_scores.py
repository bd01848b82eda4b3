"""Scores with the facets they were made under, from tables and surveys."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research.codebook import Codebook
from lgpi_research.columns import to_numeric
from lgpi_research.errors import DataError, Problems, SpecError, listing, nearest
from lgpi_research.methods.facets import FacetDesign, parse_design
from lgpi_research.survey import Survey

__all__ = ["SURVEY_FACETS", "from_survey", "from_table", "usable_scores"]

SURVEY_FACETS = ("place", "psu", "person", "item", "dimension", "stratum")
"""What the design of a survey's answers may name."""


def from_survey(
    survey: Survey,
    value: str | Sequence[str] | None,
    design: str | None,
    object_: str | None,
    notes: list[str],
) -> tuple[pd.DataFrame, str, str]:
    """Return a row for each answer, the design, and the object of measurement.

    Parameters
    ----------
    survey : Survey
    value : str, sequence of str or None
        Items; None takes all, if they are of one dimension or the design names dimensions.
    design : str or None
        None takes persons in PSUs in places by items, as far as there are several of each.
    object_ : str or None
        None takes places, or PSUs where there are none.
    notes : list of str
        What was set aside is added.

    Returns
    -------
    table : DataFrame
        Columns "value", "item", "dimension", "person", "psu" and the survey's other roles.
        Items that run the other way are turned round within their scale.
    design, object : str

    Raises
    ------
    SpecError
        If the design names what is no facet of answers, items are unknown, of several
        dimensions or of several scales, or one cannot be turned round.
    """
    roles_ = survey.roles
    area = "place" if "place" in roles_ else "psu"
    if design is None:
        deep = area == "place" and (
            (roles_.groupby("place")["psu"].nunique() > 1).any()
            and roles_["psu"].duplicated().any()
        )
        design = f"(person : {'psu : place' if deep else area}) x item"
        notes.append(f"Design: {design}.")
    parsed = parse_design(design)
    known = [name for name in SURVEY_FACETS if name in roles_ or name not in ("place", "stratum")]
    problems = Problems("the design of the survey's answers")
    for name in parsed.facets:
        if name not in known:
            problems.add(
                f"{name}: answers of this survey have no such facet; there are "
                f"{', '.join(known)}.{nearest(name, known)}"
            )
    problems.raise_any(SpecError)
    book = _items(survey, value, "dimension" in parsed.facets)
    wide = survey.values[list(book.names)].copy()
    for item in book:
        if item.direction == "negative":
            if item.scale is None:
                raise SpecError(
                    f"{item.name}: runs the other way, and cannot be turned round without a scale. "
                    "Give its scale in the codebook."
                )
            wide[item.name] = sum(item.scale) - wide[item.name]
    n, k = wide.shape
    long = pd.DataFrame({name: np.repeat(roles_[name].to_numpy(), k) for name in roles_})
    long["person"] = np.repeat(np.arange(n), k)
    long["item"] = np.tile(np.array(book.names, dtype=np.object_), n)
    long["dimension"] = np.tile(np.array([item.dimension for item in book], dtype=np.object_), n)
    long["value"] = wide.to_numpy(float).ravel()
    notes.extend(survey.notes)
    if "weight" in roles_:
        notes.append("Weights of the survey are not used: components are of the persons asked.")
    return long, design, object_ or area


def _items(survey: Survey, value: str | Sequence[str] | None, by_dimension: bool) -> Codebook:
    """Return the items whose answers are scores, which must have one scale."""
    book = survey.codebook
    names = (value,) if isinstance(value, str) else book.names if value is None else tuple(value)
    unknown = [name for name in names if name not in book.names]
    problems = Problems("the items")
    for name in unknown:
        problems.add(f"value: no item {name!r}.{nearest(str(name), book.names)}")
    problems.raise_any(SpecError)
    chosen = book.select(names)
    if value is None and len(chosen.dimensions) > 1 and not by_dimension:
        problems.add(
            f"value: the codebook has {len(chosen.dimensions)} dimensions "
            f"({listing(chosen.dimensions)}). Name the items of one, or a design with dimensions, "
            "such as '(person : place) x (item : dimension)'."
        )
    scales = {item.scale for item in chosen if item.scale is not None}
    if len(scales) > 1:
        problems.add(
            f"value: the items have {len(scales)} scales "
            f"({listing(f'{low:g} to {high:g}' for low, high in sorted(scales))}), so their "
            "differences would count as variance. Name items of one scale."
        )
    problems.raise_any(SpecError)
    return chosen


def from_table(
    table: pd.DataFrame, value: str | Sequence[str], design: FacetDesign
) -> tuple[pd.DataFrame, str]:
    """Return a row for each score of a long or wide table, and the name of their column.

    Parameters
    ----------
    table : DataFrame
    value : str or sequence of str
        Column of a long table; columns of a wide one, levels of the facet that is no column.
    design : FacetDesign

    Returns
    -------
    table : DataFrame
    column : str

    Raises
    ------
    DataError
        With every column that is missing, named twice or no number.
    """
    spread = [] if isinstance(value, str) else list(value)
    absent = [name for name in design.facets if name not in table.columns]
    problems = Problems("the table")
    for name in [value] if isinstance(value, str) else spread:
        if name not in table.columns:
            problems.add(
                f"value: no column {name!r}.{nearest(str(name), map(str, table.columns))} There "
                f"are {listing(table.columns, 10)}."
            )
        elif list(table.columns).count(name) > 1:
            problems.add(f"{name}: several columns have this name; keep one.")
        elif name in design.facets:
            problems.add(f"{name}: is both a facet and a column of scores.")
    for name in design.facets:
        if list(table.columns).count(name) > 1:
            problems.add(f"{name}: several columns have this name; keep one.")
    if len(set(spread)) < len(spread):
        problems.add("value: a column is named twice.")
    if isinstance(value, str):
        for name in absent:
            problems.add(
                f"{name}: no such column.{nearest(name, map(str, table.columns))} There are "
                f"{listing(table.columns, 10)}."
            )
    elif len(absent) != 1:
        problems.add(
            f"value: the columns of a wide table are the levels of the one facet that is no "
            f"column, and {len(absent)} are none ({listing(absent) or 'all are columns'})."
        )
    problems.raise_any(DataError)
    if isinstance(value, str):
        return table[[*design.facets, value]], value
    keys = [name for name in design.facets if name in table.columns]
    numbers = to_numeric(table, spread, "the table")
    n, k = numbers.shape
    long = pd.DataFrame({name: np.repeat(table[name].to_numpy(), k) for name in keys})
    long[absent[0]] = np.tile(np.array([str(name) for name in spread], dtype=np.object_), n)
    column = next(name for name in ("value", "score", "_value") if name not in long.columns)
    long[column] = numbers.to_numpy(float).ravel()
    return long, column


def usable_scores(
    long: pd.DataFrame, column: str, design: FacetDesign
) -> tuple[npt.NDArray[np.float64], list[npt.NDArray[np.int64]], list[str]]:
    """Return the scores that can be used, and notes on rows set aside.

    Parameters
    ----------
    long : DataFrame
        A row for each score.
    column : str
        Column of the scores.
    design : FacetDesign

    Returns
    -------
    y : ndarray of shape (n,)
    labels : list of ndarray of shape (n,)
        Level of each facet, as codes.
    notes : list of str

    Raises
    ------
    DataError
        If scores are no numbers or fewer than two are left.
    """
    long = long.reset_index(drop=True)
    numbers = to_numeric(long, [column], "the scores")[column]
    nameless = long[list(design.facets)].isna().any(axis=1)
    blank = numbers.isna() & ~nameless
    notes = []
    if nameless.any():
        notes.append(
            f"{int(nameless.sum())} rows set aside because the level of a facet is missing."
        )
    if blank.any():
        notes.append(f"{int(blank.sum())} missing scores set aside.")
    kept = long[~(nameless | blank)]
    if len(kept) < 2:
        raise DataError(f"{len(kept)} of {len(long)} rows have a score and a level of each facet.")
    labels = [pd.factorize(kept[name])[0].astype(np.int64) for name in design.facets]
    return numbers[kept.index].to_numpy(float), labels, notes
