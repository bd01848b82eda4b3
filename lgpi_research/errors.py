"""The errors a researcher can act on, and a list that collects problems before raising."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["DataError", "LGPIError", "MethodError", "Problems", "SpecError", "listing", "nearest"]


class LGPIError(Exception):
    """Base of every error that this package raises on purpose.

    Attributes
    ----------
    problems : tuple of str
        What is wrong, one problem each; the whole message where only one thing is said.
    """

    def __init__(self, message: str, problems: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems) or (message,)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.problems)


class DataError(LGPIError, ValueError):
    """The data are not what they were said to be."""


class SpecError(LGPIError, ValueError):
    """An option, a specification or a recipe asks for something that does not exist."""


class MethodError(LGPIError, ValueError):
    """A method has no valid answer for these numbers."""


class Problems:
    """A list of problems, raised together so that one run shows them all.

    Parameters
    ----------
    where : str
        What was being checked: a file, a table, a recipe.

    Examples
    --------
    >>> problems = Problems("round1.csv")
    >>> problems.add("psu: 3 answers have no cluster.")
    >>> problems.raise_any(DataError)
    Traceback (most recent call last):
    lgpi_research.errors.DataError: 1 problem in round1.csv
    - psu: 3 answers have no cluster.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.items: list[str] = []

    def add(self, problem: str) -> None:
        """Record one problem: what is wrong, where, how often, what is allowed, what to do."""
        self.items.append(problem)

    def extend(self, problems: Iterable[str]) -> None:
        """Record several problems."""
        self.items.extend(problems)

    def __bool__(self) -> bool:
        return bool(self.items)

    def raise_any(self, kind: type[LGPIError]) -> None:
        """Raise `kind` with every recorded problem, or do nothing if there is none."""
        if self.items:
            count = f"{len(self.items)} problem{'s' if len(self.items) > 1 else ''}"
            lines = "\n".join(f"- {item}" for item in self.items)
            raise kind(f"{count} in {self.where}\n{lines}", self.items)


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return ``' Did you mean …?'`` for the closest allowed spelling, or an empty string.

    Examples
    --------
    >>> nearest("populaton", ["population", "oblast"])
    " Did you mean 'population'?"
    """
    choices = list(allowed)
    found = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
    if not found:
        start = name.casefold()
        found = [choice for choice in choices if start and choice.casefold().startswith(start)]
    return f" Did you mean {found[0]!r}?" if found else ""


def listing(values: Iterable[object], most: int = 5) -> str:
    """Return values as short text, saying how many were left out.

    Examples
    --------
    >>> listing(range(7), most=3)
    '0, 1, 2 and 4 more'
    """
    every = [str(value) for value in values]
    shown = ", ".join(every[:most])
    return shown if len(every) <= most else f"{shown} and {len(every) - most} more"
