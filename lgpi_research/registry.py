"""Named methods: one function, one decorator, usable by name everywhere.

A kind of method (``normaliser``, ``weigher``, ``aggregator``, ``coefficient``,
``estimator``) is a shape of function; `lgpi_research.testing` holds its contract.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from types import MappingProxyType
from typing import Any

import numpy as np

from lgpi_research.errors import Problems, SpecError, nearest

__all__ = [
    "Entry",
    "Method",
    "aggregator",
    "coefficient",
    "describe",
    "entry",
    "estimator",
    "load_installed",
    "names",
    "normaliser",
    "resolve",
    "use",
    "weigher",
]

Function = Callable[..., Any]
Decorator = Callable[[Function], Function]
Link = tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]

ENTRY_POINT = "lgpi_research.methods"

KINDS = ("normaliser", "weigher", "aggregator", "coefficient", "estimator")


@dataclass(frozen=True)
class Entry:
    """A registered function and what is known about it."""

    kind: str
    name: str
    function: Callable[..., Any]
    facts: Mapping[str, Any]

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the keyword-only parameters that a user may set."""
        parameters = inspect.signature(self.function).parameters.values()
        return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Method:
    """A registered method by name, with the options it is to be called with."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Method, (self.name, dict(self.options))

    def __hash__(self) -> int:
        return hash((self.name, repr(sorted(self.options.items()))))

    def __str__(self) -> str:
        options = ", ".join(f"{key}={value!r}" for key, value in sorted(self.options.items()))
        return f"{self.name}({options})" if options else self.name


_entries: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}


def use(name: str, **options: Any) -> Method:
    """Name a method together with its options.

    Examples
    --------
    >>> str(use("goalposts", low=1, high=5))
    'goalposts(high=5, low=1)'
    """
    return Method(name, options)


def _register(kind: str, name: str, **facts: Any) -> Decorator:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        known = _entries[kind].get(name)
        same = known is not None and (
            (known.function.__module__, known.function.__qualname__)
            == (function.__module__, function.__qualname__)
        )
        if known is not None and not same:
            raise SpecError(
                f"{kind} {name!r} is already registered by {known.function.__module__}; "
                "choose another name."
            )
        _entries[kind][name] = Entry(kind, name, function, MappingProxyType(facts))
        return function

    return decorate


def normaliser(
    name: str, *, batched: bool = True, bases: tuple[str, ...] = ("sample",)
) -> Decorator:
    """Register ``(x (…, n), reference (…, m), *, …) -> (…, n)`` under `name`.

    `bases` are what may set the scale, so be passed as `reference`: the sample, or the
    goalposts of the codebook. Where there is more than one, a specification must say
    which.
    """
    return _register("normaliser", name, batched=batched, bases=bases)


def weigher(name: str) -> Decorator:
    """Register ``(data (n, k), *, …) -> weights (k,)`` that sum to 1 under `name`."""
    return _register("weigher", name)


def aggregator(name: str, *, batched: bool = True, link: Link | None = None) -> Decorator:
    """Register ``(x (…, n, k), weights (…, k), *, …) -> (…, n)`` under `name`.

    ``link=(f, g)`` states that the aggregate is a quasi-arithmetic mean,
    ``g(f(x) @ weights)`` with g the inverse of an increasing f: then nested levels
    collapse into one product, and many weight draws are one matrix product.
    """
    return _register("aggregator", name, batched=batched, link=link)


def coefficient(name: str, *, needs: str, smooth: bool = True) -> Decorator:
    """Register ``(sums, *, …) -> estimates (…)`` under `name`.

    `needs` is ``"variances"`` or ``"covariance"``, the sums that the coefficient is a
    function of (`lgpi_research.moments.Moments`), or ``"pair counts"``, how often ordered
    answers were given together (`lgpi_research.methods.polychoric.PairCounts`). One that is
    the largest of several estimates is not `smooth`: it gets the interval of maxima
    (`lgpi_research.methods.directional`) in the place of the jackknife's.
    """
    return _register("coefficient", name, needs=needs, smooth=smooth)


def estimator(name: str) -> Decorator:
    """Register ``(y (n,), X (n, k), *, absorb, clusters, weights) -> fit`` under `name`."""
    return _register("estimator", name)


def load_installed() -> tuple[str, ...]:
    """Import what installed packages name under the entry point ``lgpi_research.methods``.

    Importing such a module registers its methods; in Python an import of one's own does
    the same.

    Returns
    -------
    tuple of str
        Names of the entry points, sorted.

    Raises
    ------
    SpecError
        With every module that cannot be imported.
    """
    found = sorted(metadata.entry_points(group=ENTRY_POINT), key=lambda point: point.name)
    problems = Problems(f"the installed entry points {ENTRY_POINT!r}")
    for point in found:
        try:
            point.load()
        except (ImportError, AttributeError, SpecError) as error:
            problems.add(f"{point.name} ({point.value}): {error}")
    problems.raise_any(SpecError)
    return tuple(point.name for point in found)


def names(kind: str) -> tuple[str, ...]:
    """Return the registered names of a kind, sorted."""
    return tuple(sorted(_entries[kind]))


def entry(kind: str, name: str) -> Entry:
    """Return a registered method.

    Raises
    ------
    SpecError
        If no method of this kind has the name; the message lists those that exist.
    """
    try:
        return _entries[kind][name]
    except KeyError:
        known = ", ".join(names(kind))
        raise SpecError(
            f"Unknown {kind} {name!r}.{nearest(name, names(kind))} Known: {known}."
        ) from None


def resolve(kind: str, method: str | Method | Callable[..., Any]) -> Callable[..., Any]:
    """Turn a name, a `Method` or a function into a function with its options bound.

    Raises
    ------
    SpecError
        If the name or an option is unknown.
    """
    if callable(method) and not isinstance(method, Method):
        return method
    wanted = Method(method) if isinstance(method, str) else method
    found = entry(kind, wanted.name)
    problems = Problems(f"{kind} {wanted.name!r}")
    for option in wanted.options:
        if option not in found.options:
            allowed = ", ".join(found.options) or "none"
            problems.add(
                f"unknown option {option!r}.{nearest(option, found.options)} Options: {allowed}."
            )
    problems.raise_any(SpecError)
    if not wanted.options:
        return found.function
    return functools.partial(found.function, **wanted.options)


def describe(method: str | Method | Callable[..., Any]) -> str:
    """Return the text that stands for a method in provenance and notes."""
    if isinstance(method, str | Method):
        return str(method)
    return getattr(method, "__qualname__", repr(method))
