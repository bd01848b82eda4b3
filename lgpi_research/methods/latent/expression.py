"""Arithmetic of parameters: parsed into a tree, evaluated with exact slopes, never as Python."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError, SpecError, listing

__all__ = ["Expression", "parse_expression"]

Floats = npt.NDArray[np.float64]
Dual = tuple[float, Floats]  # a value and its slopes

_TOKEN = re.compile(r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|([^\W\d][\w.]*)|([-+*/^(),]))")
_FUNCTIONS = ("abs", "exp", "log", "sqrt")


@dataclass(frozen=True)
class Node:
    """A number, a name, or an operation on other nodes."""

    kind: str
    value: float = 0.0
    name: str = ""
    parts: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Expression:
    """A parsed expression.

    Attributes
    ----------
    text : str
        As it was written.
    tree : Node
        Its operations.
    names : tuple of str
        The parameters in it, in order of appearance.
    """

    text: str
    tree: Node
    names: tuple[str, ...]

    def evaluate(self, values: Mapping[str, Dual]) -> Dual:
        """Return the value and its slopes, given those of every name.

        Raises
        ------
        MethodError
            If the value is not finite: a root or logarithm of a negative number, or a
            division by 0.
        """
        try:
            value, slopes = _evaluate(self.tree, values)
        except (ValueError, ZeroDivisionError, OverflowError):
            value, slopes = math.nan, np.zeros(0)
        if not math.isfinite(value):
            raise MethodError(f"{self.text!r} has no finite value at the estimates.")
        return value, slopes


def parse_expression(text: str) -> Expression:
    """Parse an expression of numbers, names, ``+ - * / ^`` and a few functions.

    Parameters
    ----------
    text : str
        For example ``a*b + sqrt(c)``. Functions: abs, exp, log, sqrt.

    Returns
    -------
    Expression

    Raises
    ------
    SpecError
        If it is no such expression.

    Examples
    --------
    >>> one = parse_expression("a * b^2")
    >>> slopes = np.eye(2)
    >>> value, slope = one.evaluate({"a": (2.0, slopes[0]), "b": (3.0, slopes[1])})
    >>> float(value), slope.tolist()
    (18.0, [9.0, 12.0])
    """
    tokens: list[str] = []
    at = 0
    stripped = text.strip()
    while at < len(stripped):
        found = _TOKEN.match(stripped, at)
        if found is None:
            raise SpecError(f"{text!r}: {stripped[at]!r} has no place in an expression.")
        tokens.append(found.group().strip())
        at = found.end()
    names: list[str] = []
    tree, left = _sum(tokens, names, text)
    if left:
        raise SpecError(f"{text!r}: {left[0]!r} is not expected there.")
    return Expression(stripped, tree, tuple(dict.fromkeys(names)))


def _sum(tokens: list[str], names: list[str], text: str) -> tuple[Node, list[str]]:
    here, tokens = _product(tokens, names, text)
    while tokens and tokens[0] in "+-":
        kind = tokens[0]
        other, tokens = _product(tokens[1:], names, text)
        here = Node(kind, parts=(here, other))
    return here, tokens


def _product(tokens: list[str], names: list[str], text: str) -> tuple[Node, list[str]]:
    here, tokens = _signed(tokens, names, text)
    while tokens and tokens[0] in "*/":
        kind = tokens[0]
        other, tokens = _signed(tokens[1:], names, text)
        here = Node(kind, parts=(here, other))
    return here, tokens


def _signed(tokens: list[str], names: list[str], text: str) -> tuple[Node, list[str]]:
    if tokens and tokens[0] in "+-":
        inner, left = _signed(tokens[1:], names, text)
        return (Node("-", parts=(Node("number"), inner)) if tokens[0] == "-" else inner), left
    base, left = _atom(tokens, names, text)
    if left and left[0] == "^":
        power, left = _signed(left[1:], names, text)
        return Node("^", parts=(base, power)), left
    return base, left


def _atom(tokens: list[str], names: list[str], text: str) -> tuple[Node, list[str]]:
    if not tokens:
        raise SpecError(f"{text!r} ends where a number or a name is expected.")
    first, left = tokens[0], tokens[1:]
    if first == "(" or (left and left[0] == "(" and first not in "-+*/^(),"):
        if first != "(" and first not in _FUNCTIONS:
            raise SpecError(f"{text!r}: no function {first!r}; allowed: {listing(_FUNCTIONS)}.")
        inner, left = _sum(left if first == "(" else left[1:], names, text)
        if not left or left[0] != ")":
            raise SpecError(f"{text!r}: a parenthesis is not closed.")
        return (inner if first == "(" else Node(first, parts=(inner,))), left[1:]
    if first in "-+*/^(),":
        raise SpecError(f"{text!r}: {first!r} is not expected there.")
    if first[0].isdigit() or first[0] == ".":
        return Node("number", value=float(first)), left
    names.append(first)
    return Node("name", name=first), left


def _evaluate(node: Node, values: Mapping[str, Dual]) -> Dual:
    if node.kind == "number":
        return node.value, np.zeros(())
    if node.kind == "name":
        return values[node.name]
    a, da = _evaluate(node.parts[0], values)
    if node.kind == "abs":
        return abs(a), np.sign(a) * da
    if node.kind == "exp":
        return math.exp(a), math.exp(a) * da
    if node.kind == "log":
        return math.log(a), da / a
    if node.kind == "sqrt":
        return math.sqrt(a), da / (2 * math.sqrt(a))
    b, db = _evaluate(node.parts[1], values)
    if node.kind == "+":
        return a + b, da + db
    if node.kind == "-":
        return a - b, da - db
    if node.kind == "*":
        return a * b, a * db + b * da
    if node.kind == "/":
        return a / b, (da - a / b * db) / b
    value = math.pow(a, b)
    slope = b * math.pow(a, b - 1) * da
    if np.any(db != 0):
        slope = slope + math.log(a) * value * db
    return value, slope
