"""Loading: a recipe or a table into a study, rows left out and tables joined with counts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.errors import DataError, Problems, SpecError, listing, nearest
from lgpi_research.readers import read_table
from lgpi_research.recipe import (
    Exclusion,
    Recipe,
    Source,
    read_recipe,
    with_score_columns,
)
from lgpi_research.registry import use
from lgpi_research.spec import IndexSpec, LinkDesign, Variation
from lgpi_research.study import Study
from lgpi_research.survey import Survey, SurveyDesign

__all__ = ["load_study", "study_from_table"]

_RELIABILITY = {"coefficients": ("alpha", "omega"), "by": None}


def load_study(recipe: str | Path) -> Study:
    """Read a recipe and its data.

    Parameters
    ----------
    recipe : str or Path
        The name of a recipe that ships with the project, or a path to a ``.toml`` file.

    Returns
    -------
    Study

    Raises
    ------
    SpecError
        With every problem of the recipe and its line.
    DataError
        If a table cannot be read or joined, or nothing is left after exclusions.

    Examples
    --------
    >>> load_study("ukraine")
    Study 'ukraine': Ukraine: hromadas, 2021
    1,438 rows; 9 indicators in 2 dimension(s); 3 link(s), first own revenue share
    """
    told = read_recipe(recipe)
    lead = told.sources[0]
    notes = [f"{source.name}: {caveat}" for source in told.sources for caveat in source.caveats]
    frame = lead.frame
    for item in told.exclusions:
        frame, note = _exclude(frame, item)
        notes.insert(0, note)
    if not len(frame):
        raise DataError(f"{told.name}: the exclusions leave no row.")
    survey = None
    if told.survey is not None and told.codebook is not None:
        survey = Survey(frame, told.codebook, told.survey, lead.name)
        frame = frame[[told.unit]].drop_duplicates().reset_index(drop=True)
    _check_periods(frame, told)
    for other in told.sources[1:] if told.spec is not None else ():
        frame, note = _join(frame, other, told.unit, told.period)
        notes.append(note)
    return Study(told, frame, survey, tuple(notes))


def study_from_table(
    path: str | Path,
    *,
    dimensions: Mapping[str, tuple[str, ...]],
    unit: str = "",
    negative: tuple[str, ...] = (),
    reflective: tuple[str, ...] = (),
    scale: tuple[float, float] | None = None,
    missing_codes: tuple[float | str, ...] = (),
    normalise: str = "zscore",
    aggregate: str = "arithmetic",
    concentration: float = 50.0,
    formula: str = "",
    cluster: str = "",
    survey: Mapping[str, str] | None = None,
    reliability: Mapping[str, Any] | None = None,
    reading: Mapping[str, Any] | None = None,
) -> Study:
    """Make a study of one table, as the step commands do.

    Parameters
    ----------
    path : str or Path
        CSV, Parquet, Excel, Stata or SPSS.
    dimensions : mapping of str to tuple of str
        Columns of each dimension; may be empty for a link of a column of the table.
    unit : str, optional
        Column that names the units; rows are numbered if it is empty.
    negative, reflective : tuple of str
        Columns in which more is worse; dimensions whose items should agree.
    scale : (float, float), optional
        Possible values of every item.
    missing_codes : tuple
        Values that stand for no answer, beside those that the file itself declares.
    normalise, aggregate, concentration
        Choices of the index and of its variation.
    formula, cluster : str, optional
        The link.
    survey : mapping, optional
        Columns of ``psu``, ``stratum``, ``weight`` and ``place``, if the rows are answers.
    reliability : mapping, optional
        Options of `assess_reliability`.
    reading : mapping, optional
        Options of `read_table`.

    Returns
    -------
    Study

    Raises
    ------
    DataError, SpecError
        With every problem of the table or the options.
    """
    table = read_table(path, **{k: v for k, v in (reading or {}).items() if v is not None})
    frame, name = table.frame, Path(path).stem
    if not unit:
        unit = "row"
        frame = frame.assign(row=np.arange(1, len(frame) + 1))
    problems = Problems(table.source)
    every = [column for columns in dimensions.values() for column in columns]
    for kind, given, known in (
        ("negative", negative, every),
        ("reflective", reflective, list(dimensions)),
    ):
        for column in given:
            if column not in known:
                hint = nearest(column, known)
                problems.add(f"{kind}: {column!r} is not among {listing(known) or 'none'}.{hint}")
    if not dimensions and not formula:
        problems.add("name the columns of at least one dimension: name=column,column,…")
    problems.raise_any(SpecError)
    codebook = spec = None
    if dimensions:
        codebook = Codebook(
            tuple(
                Indicator(
                    column,
                    dimension=dimension,
                    direction="negative" if column in negative else "positive",
                    scale=scale,
                    missing_codes=(*missing_codes, *table.missing_codes.get(column, ())),
                    measurement="reflective" if dimension in reflective else "formative",
                )
                for dimension, columns in dimensions.items()
                for column in columns
            )
        )
        method = use("minmax", basis="sample") if normalise == "minmax" else normalise
        spec = IndexSpec.from_codebook("index", codebook, normalise=method, aggregate=aggregate)
    links = {}
    if formula:
        design = LinkDesign(formula, cluster=cluster or None)
        links["link"] = with_score_columns(design, spec)
    told = Recipe(
        name=name,
        title=table.source,
        question="",
        unit=unit,
        cluster="" if cluster == "none" else cluster,
        unit_label=unit,
        sources=(Source(table.source, frame, table.digest),),
        exclusions=(),
        codebook=codebook,
        survey=None,
        spec=spec,
        variation=Variation(concentration),
        reliability=MappingProxyType({**_RELIABILITY, **(reliability or {})}),
        published=(),
        links=links,
    )
    answers = None
    roles = {role: column for role, column in (survey or {}).items() if column}
    if roles and codebook is not None:
        answers = Survey(frame, codebook, SurveyDesign(**roles), table.source)
    return Study(told, frame, answers, table.notes)


def _exclude(frame: pd.DataFrame, item: Exclusion) -> tuple[pd.DataFrame, str]:
    """Leave out rows where a column has a value; say how many."""
    if item.column not in frame.columns:
        raise DataError(f"exclude: the first table has no column {item.column!r}.")
    gone = frame[item.column] == item.equals
    note = f"{int(gone.sum())} of {len(frame)} rows left out: {item.reason}."
    return frame[~gone].reset_index(drop=True), note


def _check_periods(frame: pd.DataFrame, told: Recipe) -> None:
    """Refuse a table that lacks a period which the recipe declares, or has another."""
    if not told.periods:
        return
    there = sorted(frame[told.period].unique())
    absent = [period for period in told.periods if period not in there]
    more = [period for period in there if period not in told.periods]
    problems = Problems(f"{told.sources[0].name}, against the periods of the recipe {told.name}")
    if absent:
        problems.add(
            f"{told.period}: no row of {listing(absent)}; there are {listing(there, 12)}. Add the "
            "rows, or take the period out of periods."
        )
    if more:
        problems.add(f"{told.period}: {listing(more)} are not declared; add them, or exclude them.")
    problems.raise_any(DataError)


def _join(frame: pd.DataFrame, other: Source, unit: str, period: str) -> tuple[pd.DataFrame, str]:
    """Join a table to the first one; every unit (in a period) stands in it once at most."""
    if unit not in other.frame.columns:
        raise DataError(f"{other.name}: has no column {unit!r}, so it cannot be joined.")
    keys = [unit, *([period] if period in other.frame.columns else [])]
    rows = other.frame[keys]
    for key in keys:
        sides = [pd.api.types.is_numeric_dtype(column) for column in (frame[key], rows[key])]
        if sides[0] != sides[1]:
            told = [("text", "numbers")[side] for side in sides]
            raise DataError(
                f"{other.name}: {key} holds {told[1]}, and {told[0]} in the first table, so they "
                "cannot be joined. Write it one way in both."
            )
    twice = rows[unit][rows.duplicated()].unique()
    if len(twice):
        raise DataError(f"{other.name}: {len(twice)} units stand in two rows ({listing(twice)}).")
    both = [name for name in other.frame.columns if name in frame.columns and name not in keys]
    joined = frame.merge(other.frame, on=keys, how="left", validate="m:1", suffixes=("", "_other"))
    for name in both:  # a name or a code may stand in both tables, if they agree
        theirs = joined.pop(f"{name}_other")
        if (theirs.notna() & (theirs != joined[name])).any():
            raise DataError(f"{other.name}: {name} stands in another table too, with other values.")
    found = frame[keys].merge(rows.drop_duplicates(), on=keys, how="inner")
    unused = len(rows) - len(rows.merge(frame[keys].drop_duplicates(), on=keys, how="inner"))
    by = " and ".join(keys)
    note = (
        f"{other.name}: {len(found)} of {len(frame)} rows joined by {by}; {unused} rows not used."
    )
    return joined, note
