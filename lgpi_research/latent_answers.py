"""Answers for a latent variable model: who answered what, in which group and cluster."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research.answer_tables import answer_table, infinite_answers
from lgpi_research.blocks import digest
from lgpi_research.clusters import as_labels
from lgpi_research.codebook import Codebook
from lgpi_research.columns import to_numeric
from lgpi_research.errors import DataError, MethodError, Problems, SpecError, listing, nearest
from lgpi_research.methods.latent.syntax import parse_model
from lgpi_research.survey import Survey

__all__ = ["ModelAnswers", "check_groups", "default_model", "model_answers"]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.str_]

_NAME = re.compile(r"[^\W\d][\w.]*")


@dataclass(frozen=True, eq=False)
class ModelAnswers:
    """What a model is fitted to.

    Attributes
    ----------
    model : str
        In the usual syntax.
    names : tuple of str
        Variables of the data that the model names.
    values : ndarray of shape (n, k)
        Items of the direction "negative" turned; NaN is missing.
    groups : ndarray of str of shape (n,) or None
        Group of each respondent.
    clusters : ndarray of int of shape (n,) or None
        Cluster of each respondent.
    n_given : int
        Respondents before those without a group were set aside.
    notes : tuple of str
        What a reader must know of the data.
    digest : str
        SHA-256 of the data.
    """

    model: str
    names: tuple[str, ...]
    values: Floats
    groups: Labels | None
    clusters: npt.NDArray[np.intp] | None
    n_given: int
    notes: tuple[str, ...]
    digest: str

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the groups in the order in which models number them."""
        return () if self.groups is None else tuple(np.unique(self.groups).tolist())

    def named(self, message: str) -> str:
        """Return a message about groups by number with their names."""
        levels = self.levels
        return re.sub(
            r"\bin group (\d+)\b",
            lambda found: f"in group {levels[int(found[1]) - 1]}" if levels else found[0],
            message,
        )


def default_model(book: Codebook) -> str:
    """Return the model of a codebook: a factor for each reflective dimension of three items.

    Raises
    ------
    SpecError
        If there is no such dimension, or an item has a name that models cannot hold.

    Examples
    --------
    >>> from lgpi_research.codebook import Indicator
    >>> items = [Indicator(q, dimension="my voice", measurement="reflective") for q in "abc"]
    >>> default_model(Codebook(tuple(items)))
    'my_voice =~ a + b + c'
    """
    chosen = {
        name: items
        for name, items in book.dimensions.items()
        if len(items) > 2 and all(book[item].measurement == "reflective" for item in items)
    }
    if not chosen:
        raise SpecError(
            "no dimension of the codebook has three items or more that are all reflective; "
            "give a model, such as 'voice =~ q1 + q2 + q3'."
        )
    odd = [item for items in chosen.values() for item in items if not _NAME.fullmatch(item)]
    if odd:
        raise SpecError(
            f"items {listing(map(repr, odd))} cannot be named in a model: names begin with a "
            "letter and hold letters, digits, '_' and '.'."
        )
    lines = []
    taken = set(book.names)
    for name, items in chosen.items():
        factor = re.sub(r"\W+", "_", name).strip("_") or "factor"
        factor = factor if _NAME.fullmatch(factor) else f"f_{factor}"
        while factor in taken:
            factor += "_"
        taken.add(factor)
        lines.append(f"{factor} =~ {' + '.join(items)}")
    return "\n".join(lines)


def model_answers(
    data: Survey | pd.DataFrame,
    model: str | None,
    *,
    by: str | pd.Series | None = None,
    clusters: str | pd.Series | None = None,
) -> ModelAnswers:
    """Return the answers that a model names, with groups and clusters.

    Parameters
    ----------
    data : Survey or DataFrame
        Of a survey, PSUs that hold several respondents are the clusters.
    model : str or None
        None takes that of the codebook.
    by : str or Series, optional
        Column, or labels, of groups.
    clusters : str or Series, optional
        Of a table, the column, or labels, of clusters.

    Raises
    ------
    SpecError
        If the model, `by` or `clusters` cannot be understood.
    DataError
        If a column of the model is not numeric or has infinite values, there are no respondents,
        or one has no cluster.
    """
    if isinstance(data, Survey):
        if clusters is not None:
            raise SpecError("clusters: those of a Survey are the PSUs of its design.")
        text = default_model(data.codebook) if model is None else model
        names, values = _survey_values(data, text)
        psu = data.roles["psu"]
        cluster = pd.factorize(psu)[0] if psu.duplicated().any() else None
        frame, notes, key = data.frame, [*data.notes, *_design_notes(data)], data.digest
    elif isinstance(data, pd.DataFrame):
        if model is None:
            raise SpecError("a table needs a model, such as 'voice =~ q1 + q2 + q3'.")
        text, columns = model, [str(name) for name in data.columns]
        names = _named(text, columns)
        values = np.asarray(answer_table(data, names, "the table")[0], dtype=np.float64)
        problems = Problems("the table")
        if not len(data):
            problems.add("there are no respondents.")
        problems.extend(infinite_answers(values, tuple(names), [list(range(len(names)))]))
        problems.raise_any(DataError)
        cluster = None
        if clusters is not None:
            found = _labels(data, clusters, "clusters")
            if found.isna().any():
                raise DataError(
                    f"clusters: {int(found.isna().sum())} of {len(data)} respondents have none. "
                    "Every respondent needs one: fill it in, or leave those rows out."
                )
            cluster = pd.factorize(found)[0]
        frame, notes, key = data, [], digest(values, cluster)
    else:
        raise SpecError(f"data must be a Survey or a DataFrame, not {type(data).__name__}.")
    if by is None:
        return ModelAnswers(
            text, tuple(names), values, None, cluster, len(values), tuple(notes), key
        )
    labels = _labels(frame, by, "by")
    known = labels.notna().to_numpy(dtype=bool)
    if not known.any():
        raise DataError("by: no respondent has a group.")
    if not known.all():
        notes.append(f"{int((~known).sum())} respondents set aside because they have no group.")
    return ModelAnswers(
        text,
        tuple(names),
        values[known],
        labels.to_numpy()[known].astype(str),
        None if cluster is None else cluster[known],
        len(values),
        tuple(notes),
        digest(key, labels.to_numpy().astype(str)),
    )


def check_groups(given: ModelAnswers, missing: str) -> None:
    """Refuse groups with no more respondents than variables, naming all of them.

    Parameters
    ----------
    given : ModelAnswers
        What is to be fitted.
    missing : {"listwise", "fiml"}
        Whether complete respondents count, or all with an answer.

    Raises
    ------
    MethodError
        With the groups and their numbers of respondents.
    """
    if given.groups is None:
        return
    seen = ~np.isnan(given.values)
    usable = seen.any(axis=1) if missing == "fiml" else seen.all(axis=1)
    levels, code = np.unique(given.groups, return_inverse=True)
    counts = np.bincount(code.reshape(-1), weights=usable, minlength=len(levels)).astype(int)
    small = counts <= len(given.names)
    if small.any():
        told = listing(
            f"{level} ({count})" for level, count in zip(levels[small], counts[small], strict=True)
        )
        raise MethodError(
            f"{int(small.sum())} of {len(levels)} groups have no more usable respondents than the "
            f"model has variables ({len(given.names)}): {told}. Join groups, or leave these out."
        )


def _named(model: str, columns: Sequence[str]) -> list[str]:
    """Return the columns that a model names; what it names besides is told when it is built."""
    said = dict.fromkeys(v for s in parse_model(model).statements for v in (s.lhs, s.rhs))
    return [name for name in said if name in columns]


def _survey_values(survey: Survey, model: str) -> tuple[list[str], Floats]:
    """Return items turned within their scale, and other columns as numbers."""
    items = survey.codebook.names
    names = _named(model, [*items, *(str(name) for name in survey.frame.columns)])
    extra = [name for name in names if name not in items]
    others = to_numeric(survey.frame, extra, survey.where) if extra else pd.DataFrame()
    columns = []
    for name in names:
        if name in extra:
            columns.append(others[name].to_numpy(dtype=float))
            continue
        one = survey.codebook[name]
        ends = sum(one.scale or (0.0,)) if one.sign < 0 else 0.0
        columns.append(ends + one.sign * survey.values[name].to_numpy(dtype=float))
    return names, np.column_stack(columns) if columns else np.zeros((len(survey), 0))


def _labels(frame: pd.DataFrame, given: str | pd.Series, called: str) -> pd.Series:
    if isinstance(given, str):
        columns = [str(name) for name in frame.columns]
        if columns.count(given) != 1:
            found = columns.count(given) or "no"
            raise SpecError(
                f"{called}: {found} columns have the name {given!r}.{nearest(given, columns)}"
            )
        values = frame.iloc[:, columns.index(given)]
    else:
        values = pd.Series(np.asarray(given))
        if len(values) != len(frame):
            raise SpecError(f"{called}: {len(values)} labels for {len(frame)} rows.")
    labels = as_labels(values)
    return labels.mask(labels.str.strip() == "")


def _design_notes(survey: Survey) -> list[str]:
    """Return what models leave aside of a design."""
    notes = []
    if "weight" in survey.roles and survey.roles["weight"].nunique() > 1:
        notes.append("Answers are not weighted in this model.")
    if "stratum" in survey.roles and survey.roles["stratum"].nunique() > 1:
        notes.append("Strata are not used in this model; errors are rather too large for it.")
    return notes
