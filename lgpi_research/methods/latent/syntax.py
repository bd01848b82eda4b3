"""The model syntax: lines of ``=~``, ``~``, ``~~``, ``|`` and ``:=``, parsed, never evaluated."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from lgpi_research.errors import Problems, SpecError
from lgpi_research.methods.latent.expression import Expression, parse_expression

__all__ = ["Definition", "ModelSyntax", "Statement", "parse_model"]

_OPERATOR = re.compile(r":=|=~|~~|~|\|")
_NAME = re.compile(r"[^\W\d][\w.]*")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_VECTOR = re.compile(r"c\s*\((.*)\)", re.DOTALL)
_CONTINUES = re.compile(r"(?:\+|\*|,|\(|=~|~~|:=|~|\|)\s*$")


@dataclass(frozen=True)
class Statement:
    """One parameter that a model names.

    Attributes
    ----------
    line : int
        Where it was written, from 1.
    lhs, op, rhs : str
        Left side, operator (``=~``, ``~``, ``~~``, ``~1`` or ``|``) and right side, which
        is empty for ``~1``.
    fixed : tuple of float
        Values it is fixed at, NaN where it is to be free (``NA*``): one for all groups, or
        one a group; empty if nothing is said.
    labels : tuple of str
        Its labels in the same manner; equal labels are one parameter.
    """

    line: int
    lhs: str
    op: str
    rhs: str
    fixed: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Definition:
    """A function of parameters: its name, and what defines it."""

    line: int
    name: str
    expression: Expression


@dataclass(frozen=True)
class ModelSyntax:
    """A parsed model."""

    statements: tuple[Statement, ...]
    definitions: tuple[Definition, ...]

    @property
    def latents(self) -> tuple[str, ...]:
        """The latent variables, in order of appearance."""
        return tuple(dict.fromkeys(s.lhs for s in self.statements if s.op == "=~"))


def parse_model(text: str) -> ModelSyntax:
    """Parse a model.

    Parameters
    ----------
    text : str
        Statements, one a line or divided by ``;``. A line that ends or begins with ``+``
        goes on; ``#`` and ``!`` begin a remark. ``f =~ x1 + x2``: f is measured by;
        ``y ~ x``: is regressed on; ``x ~~ y``: (co)variance; ``x ~ 1``: intercept;
        ``x | t1``: threshold; ``name := expression``: a function of labelled parameters.
        A factor before a variable: a number fixes the parameter, ``NA`` frees it, a name
        labels it, ``c(…)`` does either group by group.

    Returns
    -------
    ModelSyntax

    Raises
    ------
    SpecError
        With every statement that cannot be read.

    Examples
    --------
    >>> model = parse_model("f =~ 1*x1 + a*x2 ; f ~~ NA*f ; twice := 2*a")
    >>> [(s.lhs, s.op, s.rhs, s.fixed, s.labels) for s in model.statements[:2]]
    [('f', '=~', 'x1', (1.0,), ()), ('f', '=~', 'x2', (), ('a',))]
    >>> model.definitions[0].expression.names
    ('a',)
    """
    problems = Problems("the model")
    statements: dict[tuple[str, str, str], Statement] = {}
    definitions: list[Definition] = []
    for line, sentence in _sentences(text):
        found = _OPERATOR.search(sentence)
        if found is None:
            problems.add(
                f"line {line}: {sentence!r} has no operator; use =~, ~, ~~, | or := between "
                "its sides."
            )
            continue
        left, right = sentence[: found.start()].strip(), sentence[found.end() :].strip()
        try:
            if found.group() == ":=":
                if not _NAME.fullmatch(left):
                    raise SpecError(f"{left!r} is no name.")
                definitions.append(Definition(line, left, parse_expression(right)))
                continue
            for statement in _statements(line, left, found.group(), right):
                _merge(statements, statement)
        except SpecError as error:
            problems.add(f"line {line}: {error}")
    if not statements and not problems:
        problems.add("it has no statement. Write, for example, 'f =~ x1 + x2 + x3'.")
    problems.raise_any(SpecError)
    return ModelSyntax(tuple(statements.values()), tuple(definitions))


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """Yield each statement and the line it begins at."""
    held, begun = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        for part in re.split(r"[#!]", raw, maxsplit=1)[0].split(";"):
            piece = part.strip()
            if not piece:
                continue
            goes_on = _CONTINUES.search(held) or piece.startswith("+")
            if held and (_OPERATOR.search(piece) or not goes_on):
                yield begun, held
                held = ""
            begun = begun if held else number
            held = f"{held} {piece}".strip()
    if held:
        yield begun, held


def _split(text: str, mark: str) -> list[str]:
    """Split at a mark outside parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == mark and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _statements(line: int, left: str, op: str, right: str) -> Iterator[Statement]:
    names = _split(left, "+")
    for name in names:
        if not _NAME.fullmatch(name):
            raise SpecError(f"{name!r} left of {op} is no name.")
    for term in _split(right, "+"):
        *factors, rhs = _split(term, "*")
        fixed, labels = _factors(factors)
        constant = op == "~" and rhs == "1"
        if not constant and not _NAME.fullmatch(rhs):
            said = f"{rhs!r} is no name" if rhs else "a name is missing"
            raise SpecError(f"{said} right of {op}.")
        for name in names:
            if op == "=~" and name == rhs:
                raise SpecError(f"{name!r} cannot measure itself.")
            yield Statement(
                line, name, "~1" if constant else op, "" if constant else rhs, fixed, labels
            )


def _factors(factors: list[str]) -> tuple[tuple[float, ...], tuple[str, ...]]:
    fixed: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    for factor in factors:
        vector = _VECTOR.fullmatch(factor)
        parts = _split(vector.group(1), ",") if vector else [factor]
        if all(part == "NA" or _NUMBER.fullmatch(part) for part in parts):
            fixed = tuple(math.nan if part == "NA" else float(part) for part in parts)
        elif all(_NAME.fullmatch(part) for part in parts):
            labels = tuple("" if part == "NA" else part for part in parts)
        else:
            raise SpecError(
                f"{factor!r} before * is neither a number, NA, a label, nor c(…) of one kind."
            )
    return fixed, labels


def _merge(statements: dict[tuple[str, str, str], Statement], new: Statement) -> None:
    """Add a statement; what is said twice of a parameter must not differ."""
    key = (new.lhs, new.op, new.rhs)
    if new.op == "~~" and (new.rhs, new.op, new.lhs) in statements:
        key = (new.rhs, new.op, new.lhs)
    old = statements.get(key)
    if old is None:
        statements[key] = new
        return
    for ours, theirs in ((old.fixed, new.fixed), (old.labels, new.labels)):
        if ours and theirs and repr(ours) != repr(theirs):
            raise SpecError(f"{new.lhs} {new.op} {new.rhs} was said otherwise in line {old.line}.")
    statements[key] = Statement(
        old.line, *key, fixed=old.fixed or new.fixed, labels=old.labels or new.labels
    )
