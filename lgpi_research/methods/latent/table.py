"""The parameter table: every parameter of a model in every group, free, fixed or shared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import Problems, SpecError, listing, nearest
from lgpi_research.methods.latent.syntax import Definition, ModelSyntax

__all__ = ["EQUAL", "Parameter", "ParameterTable", "build_table"]

Key = tuple[str, str, str]
_T = TypeVar("_T")

EQUAL = ("loadings", "intercepts", "residuals", "means", "regressions")


@dataclass(frozen=True)
class Parameter:
    """A row of the table.

    Attributes
    ----------
    lhs, op, rhs : str
        As in `lgpi_research.methods.latent.syntax.Statement`.
    group : int
        From 1.
    label : str
        Empty if it has none.
    value : float
        What it is fixed at; NaN if it is free.
    free : int
        Its number among the free parameters, from 0; rows that share a number are equal.
        −1 if it is fixed.
    sampled : bool
        Whether it is fixed at a moment of the data (observed causes).
    """

    lhs: str
    op: str
    rhs: str
    group: int
    label: str
    value: float
    free: int
    sampled: bool = False

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.lhs} {self.op} {self.rhs}".strip()


@dataclass(frozen=True)
class ParameterTable:
    """The parameters of a model.

    Attributes
    ----------
    rows : tuple of Parameter
        Group after group.
    observed, latent : tuple of str
        Names of the variables.
    causes : tuple of str
        Observed variables that others are regressed on and nothing explains; their
        moments are those of the data.
    n_groups, n_free : int
        Numbers of groups and of free parameters.
    means : bool
        Whether means are modelled.
    ordered : bool
        Whether answers are ordered: variances of items are those that make the variance
        of what lies behind each answer 1.
    definitions : tuple of Definition
        Functions of parameters.
    """

    rows: tuple[Parameter, ...]
    observed: tuple[str, ...]
    latent: tuple[str, ...]
    causes: tuple[str, ...]
    n_groups: int
    n_free: int
    means: bool
    ordered: bool
    definitions: tuple[Definition, ...]

    def free_rows(self) -> npt.NDArray[np.intp]:
        """Return the free number of every row, −1 where it is fixed."""
        return np.array([row.free for row in self.rows], dtype=np.intp)

    def name_of(self, free: int) -> str:
        """Return how messages call a free parameter."""
        row = next(row for row in self.rows if row.free == free)
        shared = sum(other.free == free for other in self.rows) > 1
        place = "" if self.n_groups == 1 or shared else f" in group {row.group}"
        return row.name + place


@dataclass
class _Draft:
    """Parameters of one group while they are put together."""

    rows: dict[Key, tuple[tuple[float, ...], tuple[str, ...]]] = field(default_factory=dict)

    def has(self, lhs: str, op: str, rhs: str) -> bool:
        return (lhs, op, rhs) in self.rows or (op == "~~" and (rhs, op, lhs) in self.rows)

    def add(self, lhs: str, op: str, rhs: str, fixed: tuple[float, ...] = ()) -> None:
        if not self.has(lhs, op, rhs):
            self.rows[lhs, op, rhs] = (fixed, ())


def build_table(
    model: ModelSyntax,
    names: Sequence[str],
    *,
    groups: int = 1,
    equal: Sequence[str] = (),
    partial: Sequence[str] = (),
    means: bool = False,
    unit_factors: bool = False,
    ordered: bool = False,
) -> ParameterTable:
    """Complete a model with what is usual, and number its free parameters.

    Parameters
    ----------
    model : ModelSyntax
        From `lgpi_research.methods.latent.syntax.parse_model`.
    names : sequence of str
        Names of the variables in the data.
    groups : int, default 1
        Number of groups; more than one makes means part of the model.
    equal : sequence of str
        What is the same in every group: of "loadings", "intercepts", "residuals",
        "means", "regressions". Equal intercepts free the factor means of the later groups.
    partial : sequence of str
        Parameters that may differ all the same, as ``"f =~ x2"``.
    means : bool, default False
        Whether means are modelled.
    unit_factors : bool, default False
        Fix factor variances at 1, not the first loading.
    ordered : bool, default False
        Items are ordered answers.

    Returns
    -------
    ParameterTable

    Raises
    ------
    SpecError
        With every unknown variable, label, option and length that does not fit.

    Notes
    -----
    Added are: variances of all variables, covariances of factors that nothing explains and
    of the residuals of variables that explain nothing, the first loading 1, intercepts of
    observed variables, factor means 0.

    Examples
    --------
    >>> from lgpi_research.methods.latent.syntax import parse_model
    >>> table = build_table(parse_model("f =~ x1 + x2 + x3"), ["x1", "x2", "x3"])
    >>> [(row.name, row.free) for row in table.rows[:4]]
    [('f =~ x1', -1), ('f =~ x2', 0), ('f =~ x3', 1), ('x1 ~~ x1', 2)]
    """
    latent = model.latents
    said = model.statements
    means = means or groups > 1 or any(s.op == "~1" for s in said)
    indicators = [s.rhs for s in said if s.op == "=~"]
    mentioned = dict.fromkeys(
        [*indicators, *(v for s in said if s.op not in ("=~", "|") for v in (s.lhs, s.rhs) if v)]
    )
    observed = tuple(v for v in mentioned if v not in latent)
    explained = {s.lhs for s in said if s.op == "~"} | set(indicators)
    causal = {s.rhs for s in said if s.op == "~"}
    varied = {v for s in said if s.op == "~~" for v in (s.lhs, s.rhs)}
    causes = tuple(v for v in observed if v in causal and v not in explained and v not in varied)
    _check(model, names, observed, groups, equal, ordered, causes)

    draft = _Draft()
    for statement in said:
        fixed = statement.fixed
        marker = statement.op == "=~" and statement == next(
            s for s in said if s.op == "=~" and s.lhs == statement.lhs
        )
        if marker and not fixed and not unit_factors:
            fixed = (1.0,)
        draft.rows[statement.lhs, statement.op, statement.rhs] = (fixed, statement.labels)
    scale_free = unit_factors and "loadings" in equal and groups > 1
    unit = (1.0, *[math.nan] * (groups - 1)) if scale_free else (1.0,)
    for v in observed:
        if v not in causes and not ordered:
            draft.add(v, "~~", v)
    for v in latent:
        draft.add(v, "~~", v, unit if unit_factors else ())
    roots = [v for v in latent if v not in explained]
    ends = [v for v in (*latent, *observed) if v in {s.lhs for s in said if s.op == "~"}]
    ends = [v for v in ends if v not in causal and v not in indicators]
    for family in (roots, ends, list(causes)):
        for i, v in enumerate(family):
            for w in family[i:] if family == list(causes) else family[i + 1 :]:
                draft.add(v, "~~", w)
    if means:
        for v in observed:
            draft.add(v, "~1", "", (0.0,) if ordered else ())
        later = (0.0, *[math.nan] * (groups - 1)) if "intercepts" in equal else (0.0,)
        for v in latent:
            draft.add(v, "~1", "", later)
    return _number(draft, model, observed, latent, causes, groups, equal, partial, means, ordered)


def _check(
    model: ModelSyntax,
    names: Sequence[str],
    observed: tuple[str, ...],
    groups: int,
    equal: Sequence[str],
    ordered: bool,
    causes: tuple[str, ...],
) -> None:
    problems = Problems("the model")
    for v in observed:
        if v not in names:
            lines = [s.line for s in model.statements if v in (s.lhs, s.rhs)]
            problems.add(
                f"line {min(lines)}: {v!r} is neither a variable of the data nor measured by "
                f"=~.{nearest(v, [*names, *model.latents])}"
            )
    for v in model.latents:
        if v in names:
            problems.add(f"{v!r} is a variable of the data and cannot be a factor as well.")
    for kind in equal:
        if kind not in EQUAL:
            problems.add(f"equal: {kind!r} is unknown; allowed: {listing(EQUAL)}.")
    for s in model.statements:
        for values in (s.fixed, s.labels):
            if len(values) > 1 and len(values) != groups:
                problems.add(
                    f"line {s.line}: c(…) has {len(values)} entries before {s.rhs or 1!r}, "
                    f"but there are {groups} groups."
                )
    labels = {label for s in model.statements for label in s.labels if label}
    for number, definition in enumerate(model.definitions):
        known = labels | {d.name for d in model.definitions[:number]}
        for name in definition.expression.names:
            if name not in known:
                problems.add(
                    f"line {definition.line}: {name!r} is no label of a parameter."
                    f"{nearest(name, known)}"
                )
    if ordered and (causes or any(s.op == "~" and s.rhs in observed for s in model.statements)):
        problems.add("observed causes are not supported where items are ordered.")
    if ordered and any(s.op == "~~" and s.lhs == s.rhs in observed for s in model.statements):
        problems.add("variances of ordered items are not free; leave them out.")
    if any(s.op == "|" and (s.fixed or s.labels) for s in model.statements):
        problems.add("thresholds cannot be fixed or labelled; they follow from the margins.")
    problems.raise_any(SpecError)


def _kind(key: Key, latent: tuple[str, ...]) -> str:
    lhs, op, rhs = key
    if op == "=~":
        return "loadings"
    if op == "~":
        return "regressions"
    if op == "~1":
        return "means" if lhs in latent else "intercepts"
    return "residuals" if lhs == rhs and lhs not in latent else ""


def _number(
    draft: _Draft,
    model: ModelSyntax,
    observed: tuple[str, ...],
    latent: tuple[str, ...],
    causes: tuple[str, ...],
    groups: int,
    equal: Sequence[str],
    partial: Sequence[str],
    means: bool,
    ordered: bool,
) -> ParameterTable:
    exempt = {" ".join(text.split()) for text in partial}
    known = {" ".join(key).strip() for key in draft.rows}
    problems = Problems("partial")
    for text in sorted(exempt - known):
        problems.add(f"{text!r} is no parameter.{nearest(text, known)}")
    problems.raise_any(SpecError)
    rows: list[Parameter] = []
    numbers: dict[str, int] = {}
    fixed_labels: dict[str, float] = {}
    count = 0
    for group in range(1, groups + 1):
        for key, (fixed, labels) in draft.rows.items():
            lhs, op, rhs = key
            if op == "|":
                continue
            value = _entry(fixed, group, math.nan)
            label = _entry(labels, group, "")
            sampled = lhs in causes and (op == "~1" or (op == "~~" and rhs in causes))
            if sampled and not fixed:
                rows.append(Parameter(lhs, op, rhs, group, label, math.nan, -1, True))
                continue
            if not math.isnan(value):
                fixed_labels[label] = value
                rows.append(Parameter(lhs, op, rhs, group, label, value, -1))
                continue
            share = _kind(key, latent) in equal and " ".join(key).strip() not in exempt
            if share and not label:
                freed = fixed and any(math.isnan(v) for v in fixed) and len(fixed) > 1
                label = "" if freed else "." + "".join(key) + "."
            if label and label in fixed_labels:
                rows.append(Parameter(lhs, op, rhs, group, label, fixed_labels[label], -1))
                continue
            number = numbers.get(label, count) if label else count
            if number == count:
                count += 1
                if label:
                    numbers[label] = number
            rows.append(Parameter(lhs, op, rhs, group, label, math.nan, number))
    return ParameterTable(
        tuple(rows), observed, latent, causes, groups, count, means, ordered, model.definitions
    )


def _entry(values: tuple[_T, ...], group: int, default: _T) -> _T:
    if not values:
        return default
    return values[0] if len(values) == 1 else values[group - 1]
