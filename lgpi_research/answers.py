"""Answers as sums: of a survey, of a plain table, and of the groups they are split into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research.clusters import as_labels
from lgpi_research.codebook import MEASUREMENTS, Codebook, Indicator
from lgpi_research.coefficients import PAIRS, Coefficient
from lgpi_research.errors import LGPIError, SpecError, nearest
from lgpi_research.indicators import Indicators
from lgpi_research.moments import Moments
from lgpi_research.survey import Survey, SurveyDesign, scales_of

__all__ = [
    "ALL",
    "group_labels",
    "group_moments",
    "plain_survey",
    "reason_of",
    "scale_moments",
    "survey_moments",
]

ALL = "all"
"""What the group of all respondents is called."""


def plain_survey(
    frame: pd.DataFrame, measurement: str | None, by: str | pd.Series | None
) -> Survey:
    """Return the survey of a plain table: one scale, each row a respondent and a PSU."""
    if measurement not in MEASUREMENTS:
        raise SpecError(
            "measurement: say 'reflective' if the items are consequences of one trait, so that "
            "they should agree, or 'formative' if they make it up, so that they need not; got "
            f"{measurement!r}. A Survey says it, and clusters, strata and weights, for good."
        )
    items = [str(name) for name in frame.columns if not (isinstance(by, str) and name == by)]
    psu = "respondent"
    while psu in items:
        psu += "_"
    book = Codebook(
        tuple(Indicator(name, dimension="all items", measurement=measurement) for name in items)
    )
    table = frame.set_axis([str(name) for name in frame.columns], axis=1)
    rows = table.assign(**{psu: np.arange(1, len(table) + 1)})
    return Survey(rows, book, SurveyDesign(psu=psu), "the table")


def scale_moments(
    data: Survey | Moments | Indicators, wanted: Sequence[Coefficient], missing: str
) -> tuple[Moments | None, tuple[str, ...]]:
    """Return the sums of the scales, if there are any, and what was noted on the way."""
    if isinstance(data, Moments):
        return data, data.notes
    if isinstance(data, Survey):
        found = survey_moments(data, wanted, missing)
        return found, data.notes if found is None else (*data.notes, *found.notes)
    if not isinstance(data, Indicators):
        raise SpecError(
            "reliability is assessed of a Survey, Moments, Indicators or a table of answers, not "
            f"of {type(data).__name__}."
        )
    scales = scales_of(data.codebook, missing=missing)
    if not scales:
        return None, data.notes
    psu, what = pd.Series(data.units), "each unit is a cluster"
    if data.groups is not None and data.groups.nunique() > 1:
        psu, what = data.groups, f"the {data.groups.nunique()} groups are the clusters"
    found = Moments.from_answers(data.values, psu=psu, scales=scales, where="the indicators")
    return found, (*data.notes, f"Units stand for respondents; {what} of the intervals.")


def survey_moments(
    survey: Survey,
    wanted: Sequence[Coefficient],
    missing: str,
    kept: npt.NDArray[np.bool_] | None = None,
) -> Moments | None:
    """Return the sums of a survey's scales; of some respondents, with all PSUs of the design."""
    scales = scales_of(survey.codebook, "covariance", missing)
    if any(coefficient.needs == "pair counts" for coefficient in wanted):
        scales += [
            replace(scale, name=f"{scale.name}{PAIRS}")
            for scale in scales_of(survey.codebook, "pair counts", missing)
        ]
    if not scales:
        return None
    roles = survey.roles
    weight = roles["weight"].to_numpy(dtype=float) if "weight" in roles else np.ones(len(survey))
    if kept is not None:
        weight = weight * kept
    found = Moments.from_answers(
        survey.values,
        psu=roles["psu"],
        stratum=roles.get("stratum"),
        place=roles.get("place"),
        weight=weight,
        scales=scales,
        lonely=survey.design.lonely,
        where=survey.where,
    )
    return found if kept is None else replace(found, notes=())


def group_labels(data: Survey | Moments, by: str | pd.Series) -> pd.Series:
    """Return the group of each respondent, or of each PSU of moments, as text."""
    rows = data.psus if isinstance(data, Moments) else data.frame
    if isinstance(by, str):
        known = [str(name) for name in rows.columns]
        if by not in known:
            raise SpecError(f"by: there is no column {by!r}.{nearest(by, known)}")
        given = rows[by]
    else:
        given = pd.Series(np.asarray(by), name=by.name)
        if len(given) != len(rows):
            raise SpecError(f"by: {len(given)} labels for {len(rows)} rows.")
    labels = as_labels(given)
    taken = int((labels == ALL).sum())
    if taken:
        raise SpecError(
            f"by: {taken} of {len(labels)} rows are of a group called {ALL!r}, the name of the "
            "whole. Call it something else."
        )
    return labels.mask(labels.str.strip() == "")


def group_moments(
    data: Survey | Moments, by: str | pd.Series, wanted: Sequence[Coefficient], missing: str
) -> tuple[dict[str, Moments], list[str], list[str]]:
    """Return the sums of each group.

    Parameters
    ----------
    data : Survey or Moments
    by : str or Series
        See `group_labels`.
    wanted, missing
        What is to be estimated of a survey, and which of its answers count.

    Returns
    -------
    parts : dict of str to Moments
        In the order of the names; empty if there are no scales.
    notes : list of str
        How many have no group.
    refused : list of str
        Groups without sums, each with the reason.
    """
    labels = group_labels(data, by)
    parts: dict[str, Moments] = {}
    notes, refused = [], []
    blank = int(labels.isna().sum())
    if blank:
        what = "PSUs" if isinstance(data, Moments) else "respondents"
        notes.append(f"by: {blank} of {len(labels)} {what} have no group and are in none.")
    for label in sorted(labels.dropna().unique()):
        kept = (labels == label).to_numpy(dtype=bool, na_value=False)
        try:
            if isinstance(data, Moments):
                part: Moments | None = data.among(kept)
            else:
                part = survey_moments(data, wanted, missing, kept)
        except LGPIError as error:
            refused.append(f"{label}: {reason_of(error)}")
            continue
        if part is not None:
            parts[label] = part
    return parts, notes, refused


def reason_of(error: LGPIError) -> str:
    """Return an error in one line, for a list of those who were left out."""
    return " ".join(error.problems) if error.problems else str(error)
