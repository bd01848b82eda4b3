"""Choices as data: how an index is made, what of it is varied, and what a link claims."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import product
from types import MappingProxyType
from typing import Any

from lgpi_research.codebook import Codebook
from lgpi_research.errors import Problems, SpecError, listing, nearest
from lgpi_research.formula import parse_formula
from lgpi_research.registry import Method, describe, entry

__all__ = ["IndexSpec", "LinkDesign", "MethodLike", "Tree", "Variation", "native_ends"]

MethodLike = str | Method | Callable[..., Any]
Tree = Mapping[str, "tuple[str, ...] | Tree"]
"""Hierarchy: each name leads to its indicators, or to further names."""

BASES = ("sample", "goalposts")
RANGE = "range"
ROLES = ("main", "second", "robustness", "warning")


def _freeze(tree: Mapping[str, Any]) -> Tree:
    return MappingProxyType(
        {k: _freeze(v) if isinstance(v, Mapping) else tuple(v) for k, v in tree.items()}
    )


def _plain(method: MethodLike) -> MethodLike:
    """Return the name of a method that has no options, so that equal choices are equal."""
    return method.name if isinstance(method, Method) and not method.options else method


def _thaw(tree: Tree) -> dict[str, Any]:
    return {k: _thaw(v) if isinstance(v, Mapping) else list(v) for k, v in tree.items()}


@dataclass(frozen=True)
class IndexSpec:
    """Every choice behind an index.

    Parameters
    ----------
    name : str
        Name of the index; the root of its hierarchy.
    structure : mapping
        Dimension to its indicators, or to further dimensions: any number of levels.
    weights : str, Method, function or mapping, default "equal"
        A weigher, applied at every node of the hierarchy; or the weight of each
        dimension and indicator within its parent. Siblings sum to 1.
    normalise : str, Method or function, default "zscore"
        A normaliser. ``minmax`` must say ``basis="sample"`` or ``basis="goalposts"``:
        the two answer different questions.
    aggregate : str, Method or function, default "arithmetic"
        An aggregator, used at every node.

    Raises
    ------
    SpecError
        With every choice that is not valid.

    Examples
    --------
    >>> spec = IndexSpec("lgpi", {"voice": ("petitions", "budget"), "services": ("exam",)})
    >>> spec.indicators
    ('petitions', 'budget', 'exam')
    >>> spec.change(aggregate="geometric").aggregate
    'geometric'
    """

    name: str
    structure: Tree
    weights: MethodLike | Mapping[str, float] = "equal"
    normalise: MethodLike = "zscore"
    aggregate: MethodLike = "arithmetic"

    def __post_init__(self) -> None:
        object.__setattr__(self, "structure", _freeze(self.structure))
        object.__setattr__(self, "normalise", _plain(self.normalise))
        object.__setattr__(self, "aggregate", _plain(self.aggregate))
        if isinstance(self.weights, Mapping):
            given = {str(k): float(v) for k, v in self.weights.items()}
            object.__setattr__(self, "weights", MappingProxyType(given))
        problems = Problems(f"index {self.name!r}")
        problems.extend(self._structure_problems())
        problems.extend(self._method_problems())
        if not problems:
            problems.extend(self._weight_problems())
        problems.raise_any(SpecError)

    def __reduce__(self) -> tuple[Any, ...]:
        weights = dict(self.weights) if isinstance(self.weights, Mapping) else self.weights
        choices = (self.name, _thaw(self.structure), weights, self.normalise, self.aggregate)
        return IndexSpec, choices

    @classmethod
    def from_codebook(cls, name: str, codebook: Codebook, **choices: Any) -> IndexSpec:
        """Return a specification whose dimensions are those of the codebook.

        With ``weights="range"`` each indicator weighs as much as its goalposts are apart,
        so that on goalposts the index is the sum of the indicators, set to 0 and 1 at its
        ends: the way of indices that add points.

        Raises
        ------
        SpecError
            With every choice that is not valid; if weights by range are asked for and an
            indicator has no goalposts, or the normaliser is not min-max on goalposts.
        """
        spec = cls(name, codebook.dimensions, **{**choices, "weights": "equal"})
        weights = choices.get("weights", "equal")
        if weights == RANGE:
            weights = _weights_by_range(spec, codebook)
        return spec.change(weights=weights)

    def nodes(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield every node with its children, parents before children, the index first."""
        waiting: list[tuple[str, Any]] = [(self.name, self.structure)]
        while waiting:
            name, below = waiting.pop(0)
            if isinstance(below, Mapping):
                yield name, tuple(below)
                waiting.extend(below.items())
            else:
                yield name, below

    @property
    def indicators(self) -> tuple[str, ...]:
        """Names of the indicators, in the order of the hierarchy."""
        parents = {name for name, _ in self.nodes()}
        return tuple(
            child for _, children in self.nodes() for child in children if child not in parents
        )

    @property
    def basis(self) -> str:
        """What sets the scale of the normaliser: ``"sample"`` or ``"goalposts"``."""
        options = self.normalise.options if isinstance(self.normalise, Method) else {}
        return str(options.get("basis", "sample"))

    def change(self, **choices: Any) -> IndexSpec:
        """Return a copy with some choices changed; the copy is checked again."""
        return replace(self, **choices)

    def describe(self) -> dict[str, Any]:
        """Return the choices as plain values, for provenance."""
        weights: Any = (
            dict(self.weights) if isinstance(self.weights, Mapping) else describe(self.weights)
        )
        return {
            "name": self.name,
            "structure": _thaw(self.structure),
            "weights": weights,
            "normalise": describe(self.normalise),
            "aggregate": describe(self.aggregate),
        }

    def _structure_problems(self) -> Iterator[str]:
        seen: dict[str, str] = {self.name: "the index itself"}
        dimensions = {name for name, _ in self.nodes()}
        for parent, children in self.nodes():
            if not children:
                yield f"{parent}: a dimension needs at least one indicator."
            for child in children:
                if child in seen and child in dimensions:
                    yield f"{child!r} names a dimension and something else; rename the dimension."
                elif child in seen:
                    yield f"{child}: stands in {parent} and in {seen[child]}; keep one place."
                seen[child] = parent

    def _method_problems(self) -> Iterator[str]:
        for kind, method in (
            ("normaliser", self.normalise),
            ("aggregator", self.aggregate),
            ("weigher", self.weights),
        ):
            if isinstance(method, str | Method):
                try:
                    facts = entry(kind, method if isinstance(method, str) else method.name).facts
                except SpecError as error:
                    yield str(error)
                    continue
                if kind == "normaliser":
                    yield from self._basis_problems(facts.get("bases", ("sample",)))

    def _basis_problems(self, allowed: tuple[str, ...]) -> Iterator[str]:
        options = self.normalise.options if isinstance(self.normalise, Method) else {}
        name = self.normalise if isinstance(self.normalise, str) else describe(self.normalise)
        if "basis" not in options and len(allowed) > 1:
            yield (
                f"normalise: {name} needs basis = {' or '.join(map(repr, allowed))}: the sample "
                "moves old scores when a unit is added, goalposts do not."
            )
        elif options.get("basis", allowed[0]) not in allowed:
            yield f"normalise: basis must be {' or '.join(allowed)}, got {options['basis']!r}."

    def _weight_problems(self) -> Iterator[str]:
        if not isinstance(self.weights, Mapping):
            return
        known = [child for _, children in self.nodes() for child in children]
        for name in self.weights:
            if name not in known:
                yield f"weights: {name!r} is no part of the index.{nearest(name, known)}"
        for parent, children in self.nodes():
            absent = [child for child in children if child not in self.weights]
            if len(children) == 1 and absent:
                continue  # an only child has the whole weight
            if absent:
                yield f"weights: {listing(absent)} of {parent} have no weight."
                continue
            values = [self.weights.get(child, 1.0) for child in children]
            if any(not math.isfinite(value) or value < 0 for value in values):
                yield f"weights: those of {parent} must be finite and not negative, got {values}."
            elif not math.isclose(math.fsum(values), 1.0, abs_tol=1e-9):
                total = math.fsum(values)
                yield f"weights: those of {parent} must sum to 1, got {total:.6g}."


def _weights_by_range(spec: IndexSpec, codebook: Codebook) -> dict[str, float]:
    """Return weights in proportion to the ranges of the goalposts, sums going up the tree."""
    problems = Problems(f"index {spec.name!r}")
    if not describe(spec.normalise).startswith("minmax") or spec.basis != "goalposts":
        problems.add(
            f'weights: "{RANGE}" makes a sum of points, so it needs normalise = '
            '{ method = "minmax", basis = "goalposts" }.'
        )
    ranges: dict[str, float] = {}
    for name in spec.indicators:
        ends = codebook[name].goalposts
        if ends is None:
            problems.add(f'{name}: has no goalposts, and weights = "{RANGE}" needs them.')
        else:
            ranges[name] = ends[1] - ends[0]
    problems.raise_any(SpecError)
    weights: dict[str, float] = {}
    for node, children in reversed(list(spec.nodes())):
        ranges[node] = math.fsum(ranges[child] for child in children)
        weights |= {child: ranges[child] / ranges[node] for child in children}
    return weights


def native_ends(spec: IndexSpec, codebook: Codebook) -> dict[str, tuple[float, float]]:
    """Return what 0 and 1 of each node stand for in the units of its indicators.

    An arithmetic mean of indicators on goalposts is the sum of the indicators, if they are
    weighted by range, or their mean, if all have the same goalposts; other indices have no
    unit but their own.

    Returns
    -------
    dict of str to (float, float)
        Node to the values at 0 and 1; empty if the index has no such unit.

    Examples
    --------
    >>> from lgpi_research.codebook import Indicator
    >>> from lgpi_research.registry import use
    >>> ends = {"a": (0, 10), "b": (1, 5)}
    >>> book = Codebook(tuple(Indicator(q, "", "all", goalposts=e) for q, e in ends.items()))
    >>> spec = IndexSpec.from_codebook(
    ...     "i", book, weights="range", normalise=use("minmax", basis="goalposts"))
    >>> native_ends(spec, book)["i"]
    (1, 15)
    """
    options = spec.normalise.options if isinstance(spec.normalise, Method) else {}
    plain = describe(spec.normalise).startswith("minmax") and not options.get("floor")
    facts = [codebook[name] for name in spec.indicators]
    posts = {item.name: item.goalposts for item in facts if item.goalposts is not None}
    upward = all(item.sign > 0 for item in facts)
    linear = plain and spec.basis == "goalposts" and spec.aggregate == "arithmetic"
    if not linear or not upward or len(posts) < len(facts):
        return {}
    ends: dict[str, tuple[float, float]] = dict(posts)
    if spec.weights == _weights_by_range(spec, codebook):
        for node, children in reversed(list(spec.nodes())):
            low, high = (sum(ends[child][end] for child in children) for end in (0, 1))
            ends[node] = (low, high)
        return ends
    if len(set(posts.values())) == 1:
        return ends | {node: next(iter(posts.values())) for node, _ in spec.nodes()}
    return {}


@dataclass(frozen=True)
class Variation:
    """What of an index is varied, and how much.

    Parameters
    ----------
    concentration : float or None, default 50
        Weights of each node are drawn from Dirichlet(concentration · weights), so
        that a weight w has the standard deviation sqrt(w(1 − w)/(concentration + 1)).
        None keeps the weights.
    normalise, aggregate : tuple
        Alternatives beside the choice of the specification, each as likely.

    Raises
    ------
    SpecError
        If the concentration is not positive.

    Examples
    --------
    >>> round(Variation(50).weight_sd(0.5), 3)
    0.07
    """

    concentration: float | None = 50.0
    normalise: tuple[MethodLike, ...] = ()
    aggregate: tuple[MethodLike, ...] = ()

    def __post_init__(self) -> None:
        value = self.concentration
        if value is not None and not (math.isfinite(value) and value > 0):
            raise SpecError(f"concentration must be a positive number or None, got {value!r}.")
        object.__setattr__(self, "normalise", tuple(map(_plain, self.normalise)))
        object.__setattr__(self, "aggregate", tuple(map(_plain, self.aggregate)))

    def weight_sd(self, weight: float) -> float:
        """Return the standard deviation of a weight under this variation."""
        if self.concentration is None:
            return 0.0
        return math.sqrt(weight * (1.0 - weight) / (self.concentration + 1.0))

    def specifications(self, spec: IndexSpec) -> tuple[IndexSpec, ...]:
        """Return `spec` and every combination of its alternatives, `spec` first."""
        return tuple(
            spec.change(normalise=normalise, aggregate=aggregate)
            for normalise, aggregate in product(
                dict.fromkeys((spec.normalise, *self.normalise)),
                dict.fromkeys((spec.aggregate, *self.aggregate)),
            )
        )

    def describe(self) -> dict[str, Any]:
        """Return the variation as plain values, for provenance."""
        return {
            "concentration": self.concentration,
            "normalise": [describe(method) for method in self.normalise],
            "aggregate": [describe(method) for method in self.aggregate],
        }


@dataclass(frozen=True)
class LinkDesign:
    """What is claimed about a score and a measure of fiscal autonomy.

    Parameters
    ----------
    formula : str
        ``"score ~ own_revenue_share + log(population) | oblast"``: outcome, terms,
        and after the bar the effects to absorb.
    role : {"main", "second", "robustness", "warning"}, default "main"
        What the link is for. A warning shows what a wrong choice would have claimed: it
        may be mechanical, and is never part of a finding.
    because : str
        Why a link that is not the main one is there.
    where : mapping of str to value or tuple of values
        Rows that the link is about: column to the values that stay.
    average : str
        Column of the unit whose rows are averaged first, so that units are compared and
        not years; every row stays if it is empty.
    cluster : str or None
        Column of the clusters of the standard errors; ``"none"`` where units are not
        grouped, which is then said; None is an error if the data are grouped.
    estimator : str, default "ols"
        A registered estimator.
    measure : str, default: the first term
        The term that the claim is about.
    within : bool, default False
        Whether units are compared with themselves over time.
    basis : str
        Whether the measure is of budgets as planned or as they came out, if it is either.
    outcome_label, outcome_unit, measure_label, measure_unit : str
        What a reader sees.
    per : float, default 0.1
        Step of the measure that a readable slope is given for (ten points of a share).
    per_label : str
        What that step is called ("ten points", "doubling"); the number and unit if empty.
    smallest_slope : float or None
        Smallest slope of interest, in SD of score per `per` of the measure.
    estimand_group : str
        Slopes are comparable only within a group: measure, level, contrast.
    score_reliability : float or None
        Share of the variance of the score, within the sample, that is not error.
    score_unreliable : str
        Why no slope corrected for error is given, though errors of the score are known.
    score_columns : tuple of str
        Indicators that the score is made from.
    mechanical : mapping of str to str
        Column to the reason why it may not be part of the outcome.
    lineage : mapping of str to tuple of str
        Column to the quantities that it is computed or paid from.

    Raises
    ------
    SpecError
        With every field that is not valid.

    Examples
    --------
    >>> LinkDesign("score ~ own_share + log(population) | oblast", cluster="oblast").measure
    'own_share'
    """

    formula: str
    cluster: str | None = None
    estimator: MethodLike = "ols"
    measure: str = ""
    role: str = "main"
    because: str = ""
    where: Mapping[str, Any] = field(default_factory=dict)
    average: str = ""
    within: bool = False
    basis: str = ""
    outcome_label: str = ""
    outcome_unit: str = ""
    measure_label: str = ""
    measure_unit: str = ""
    per: float = 0.1
    per_label: str = ""
    smallest_slope: float | None = None
    estimand_group: str = ""
    score_reliability: float | None = None
    score_unreliable: str = ""
    score_columns: tuple[str, ...] = ()
    mechanical: Mapping[str, str] = field(default_factory=dict)
    lineage: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = Problems("the link design")
        parsed = parse_formula(self.formula)
        terms = [str(term) for term in parsed.terms]
        if not terms:
            problems.add(f"formula: {self.formula!r} has no term, so nothing is linked.")
        elif self.measure and self.measure not in terms:
            hint = nearest(self.measure, terms)
            problems.add(f"measure: {self.measure!r} is no term of the formula.{hint}")
        if self.role not in ROLES:
            hint = nearest(self.role, ROLES)
            problems.add(f"role: must be {' or '.join(ROLES)}, got {self.role!r}.{hint}")
        if not (math.isfinite(self.per) and self.per > 0):
            problems.add(f"per: must be a positive number, got {self.per!r}.")
        slope = self.smallest_slope
        if slope is not None and not (math.isfinite(slope) and slope > 0):
            problems.add(f"smallest_slope: must be a positive number or None, got {slope!r}.")
        share = self.score_reliability
        if share is not None and not 0 < share <= 1:
            problems.add(
                f"score_reliability: must be in (0, 1] or None, got {share!r}. "
                "At or below 0 the score holds nothing but error."
            )
        problems.raise_any(SpecError)
        first = self.measure or terms[0]
        object.__setattr__(self, "measure", first)
        object.__setattr__(self, "measure_label", self.measure_label or first)
        kept = {name: _values(value) for name, value in self.where.items()}
        object.__setattr__(self, "where", MappingProxyType(kept))
        object.__setattr__(self, "mechanical", MappingProxyType(dict(self.mechanical)))
        lineage = {name: tuple(parts) for name, parts in self.lineage.items()}
        object.__setattr__(self, "lineage", MappingProxyType(lineage))

    def __reduce__(self) -> tuple[Any, ...]:
        choices = {item.name: getattr(self, item.name) for item in fields(self)}
        plain = {k: dict(v) if isinstance(v, Mapping) else v for k, v in choices.items()}
        return _link_design, (plain,)

    def change(self, **choices: Any) -> LinkDesign:
        """Return a copy with some choices changed; the copy is checked again."""
        if "measure" in choices and self.measure_label == self.measure:
            choices = {"measure_label": "", **choices}  # it was the name of the old measure
        return replace(self, **choices)

    def describe(self) -> dict[str, Any]:
        """Return the design as plain values, for provenance."""
        return {
            "formula": self.formula,
            "cluster": self.cluster,
            "estimator": describe(self.estimator),
            "measure": self.measure,
            "role": self.role,
            "because": self.because,
            "where": {name: list(values) for name, values in self.where.items()},
            "average": self.average,
            "within": self.within,
            "basis": self.basis,
            "outcome_unit": self.outcome_unit,
            "measure_unit": self.measure_unit,
            "per": self.per,
            "per_label": self.per_label,
            "smallest_slope": self.smallest_slope,
            "estimand_group": self.estimand_group,
            "score_reliability": self.score_reliability,
            "score_unreliable": self.score_unreliable,
            "score_columns": list(self.score_columns),
            "mechanical": dict(self.mechanical),
        }


def _link_design(choices: Mapping[str, Any]) -> LinkDesign:
    """Return a design from its choices, as a worker receives it."""
    return LinkDesign(**choices)


def _values(value: Any) -> tuple[Any, ...]:
    """Return one value or several as a tuple."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return (value,)
    return tuple(sorted(value, key=str) if isinstance(value, set | frozenset) else value)
