"""Scores: indicators and a specification into an index. A pure function of the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lgpi_research import plots
from lgpi_research.errors import LGPIError, MethodError, Problems, SpecError, listing, nearest
from lgpi_research.indicators import SMOOTHED, Indicators
from lgpi_research.methods.ranks import rank_scores
from lgpi_research.registry import Method, entry, resolve
from lgpi_research.results import Result, provenance
from lgpi_research.spec import IndexSpec, MethodLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "NodeWeights",
    "Plan",
    "Scores",
    "complete_units",
    "make_plan",
    "score_index",
    "unit_columns",
    "unit_names",
]

NodeWeights = Mapping[str, np.ndarray]
"""Name of each node to the weights of its children, shape (…, children)."""


def complete_units(indicators: Indicators, spec: IndexSpec) -> tuple[Indicators, list[str]]:
    """Return the units that have every indicator of the index, and notes on the others.

    Raises
    ------
    SpecError
        If the specification names indicators that are not there.
    MethodError
        If fewer than two units are complete.
    """
    problems = Problems(f"index {spec.name!r}")
    known = indicators.codebook.names
    for name in spec.indicators:
        if name not in known:
            problems.add(f"{name!r} is no indicator of the table.{nearest(name, known)}")
    problems.raise_any(SpecError)
    data, aside = indicators.select(spec.indicators).complete()
    if len(data.units) < 2:
        raise MethodError(
            f"index {spec.name!r}: {len(data.units)} of {len(indicators.units)} units have every "
            "indicator; an index needs 2."
        )
    return data, [*indicators.notes, *aside]


def unit_columns(indicators: Indicators) -> dict[str, Any]:
    """Return the columns that name the rows: ``unit``, ``period``, ``label`` where there are."""
    named: dict[str, Any] = {"unit": indicators.units.to_numpy()}
    if indicators.periods is not None:
        named["period"] = indicators.periods.to_numpy()
    if indicators.labels is not None:
        named["label"] = indicators.labels.to_numpy()
    return named


def unit_names(table: pd.DataFrame) -> list[str]:
    """Return what a reader calls the units of a table of results."""
    return table["label" if "label" in table else "unit"].astype(str).tolist()


def normalise_indicators(indicators: Indicators, spec: IndexSpec) -> tuple[np.ndarray, list[str]]:
    """Return the normalised table, shape (n, k) in the order of `spec.indicators`, and notes."""
    problems, notes = Problems(f"index {spec.name!r}"), []
    wanted = spec.normalise
    if isinstance(wanted, Method):
        wanted = Method(wanted.name, {k: v for k, v in wanted.options.items() if k != "basis"})
    function = resolve("normaliser", wanted)
    table = np.empty((len(indicators.units), len(spec.indicators)))
    for column, name in enumerate(spec.indicators):
        facts = indicators.codebook[name]
        x = facts.sign * indicators.values[name].to_numpy()
        reference = x
        if spec.basis == "goalposts":
            if facts.goalposts is None:
                problems.add(
                    f"{name}: has no goalposts in the codebook; give both, or use 'sample'."
                )
                continue
            reference = np.sort(facts.sign * np.asarray(facts.goalposts))
            beyond = int(((x < reference[0]) | (x > reference[1])).sum())
            if beyond:
                notes.append(f"{name}: {beyond} values lie beyond the goalposts.")
        try:
            table[:, column] = function(x, reference)
        except LGPIError as error:
            problems.add(f"{name}: {error}")
    problems.raise_any(MethodError)
    return table, notes


def node_weights(spec: IndexSpec, table: np.ndarray) -> dict[str, np.ndarray]:
    """Return the weights of the children of each node, each summing to 1."""
    if isinstance(spec.weights, Mapping):
        return {
            node: np.array([spec.weights.get(child, 1.0) for child in children])
            for node, children in spec.nodes()
        }
    function = resolve("weigher", spec.weights)
    place = {name: column for column, name in enumerate(spec.indicators)}
    weights: dict[str, np.ndarray] = {}
    means: dict[str, np.ndarray] = {name: table[:, column] for name, column in place.items()}
    for node, children in reversed(list(spec.nodes())):
        data = np.column_stack([means[child] for child in children])
        weights[node] = np.asarray(function(data), dtype=float)
        means[node] = data @ weights[node]
        if len(weights[node]) != len(children) or abs(weights[node].sum() - 1.0) > 1e-9:
            raise MethodError(f"The weights of {node} do not sum to 1: {weights[node]}.")
    return {node: weights[node] for node, _ in spec.nodes()}


@dataclass(frozen=True, eq=False)
class Plan:
    """One normalised table and its hierarchy, ready to be scored under many weights.

    Attributes
    ----------
    spec : IndexSpec
        The choices.
    table : ndarray of shape (n, k)
        Normalised values, in the order of `spec.indicators`.
    weights : mapping of str to ndarray
        The weights of the specification, node by node.
    """

    spec: IndexSpec
    table: np.ndarray
    weights: NodeWeights

    def leaf_weights(self, weights: NodeWeights) -> np.ndarray:
        """Return the weight of each indicator in the index: products down the hierarchy.

        Parameters
        ----------
        weights : mapping of str to ndarray of shape (…, children)
            Node by node.

        Returns
        -------
        ndarray of shape (…, k)
        """
        lead = np.broadcast_shapes(*(value.shape[:-1] for value in weights.values()))
        share: dict[str, np.ndarray] = {self.spec.name: np.ones(lead)}
        for node, children in self.spec.nodes():
            for column, child in enumerate(children):
                share[child] = share[node] * weights[node][..., column]
        return np.stack([share[name] for name in self.spec.indicators], axis=-1)

    def score(self, weights: NodeWeights) -> np.ndarray:
        """Return the scores of all units under one or many sets of weights.

        Parameters
        ----------
        weights : mapping of str to ndarray of shape (…, children)
            Node by node; leading axes are draws.

        Returns
        -------
        ndarray of shape (…, n)
        """
        link = self._link()
        if link is not None:
            forward, inverse = link
            return np.asarray(inverse(self.leaf_weights(weights) @ forward(self.table).T))
        return self.dimensions(weights)[self.spec.name]

    def dimensions(self, weights: NodeWeights) -> dict[str, np.ndarray]:
        """Return the aggregate at every node, each of shape (…, n)."""
        function = resolve("aggregator", self.spec.aggregate)
        values: dict[str, np.ndarray] = {
            name: self.table[:, column] for column, name in enumerate(self.spec.indicators)
        }
        for node, children in reversed(list(self.spec.nodes())):
            x = np.stack(np.broadcast_arrays(*(values[child] for child in children)), axis=-1)
            values[node] = _batched(function, self.spec.aggregate, x, weights[node])
        return {node: values[node] for node, _ in self.spec.nodes()}

    def _link(self) -> Any:
        method = self.spec.aggregate
        if not isinstance(method, str | Method):
            return None
        return entry("aggregator", method if isinstance(method, str) else method.name).facts["link"]


def _batched(
    function: Callable[..., np.ndarray], method: MethodLike, x: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Call an aggregator on all draws at once, or one by one if it says it must be."""
    name = method if isinstance(method, str) else getattr(method, "name", None)
    if name is None or entry("aggregator", name).facts["batched"]:
        return np.asarray(function(x, weights))
    lead = np.broadcast_shapes(x.shape[:-2], weights.shape[:-1])
    xs = np.broadcast_to(x, (*lead, *x.shape[-2:])).reshape(-1, *x.shape[-2:])
    ws = np.broadcast_to(weights, (*lead, weights.shape[-1])).reshape(-1, weights.shape[-1])
    scores = np.stack([function(a, b) for a, b in zip(xs, ws, strict=True)])
    return scores.reshape(*lead, -1)


def make_plan(indicators: Indicators, spec: IndexSpec) -> tuple[Plan, list[str]]:
    """Normalise complete indicators and find the weights; return the plan and notes.

    Raises
    ------
    MethodError
        If a method has no valid answer: a constant indicator, values that a
        geometric mean cannot take.
    """
    table, notes = normalise_indicators(indicators, spec)
    plan = Plan(spec, table, node_weights(spec, table))
    plan.score(plan.weights)
    return plan, notes


@dataclass(frozen=True, eq=False, repr=False)
class Scores(Result, kind="scores"):
    """Scores and ranks of units under one specification.

    ``frame`` has the columns ``unit`` (``period``, ``label``), ``score``, ``rank`` (1 best,
    within a period) and one ``dimension_…`` column for each node below the index;
    ``arrays["normalised"]`` holds the normalised indicators, ``details["weights"]`` the
    weights at every node and ``details["leaf_weights"]`` those of the indicators.
    ``details["smoothed"]``, if it is there, lists the columns of ``frame`` that are made of
    smoothed indicators, which `link_autonomy` refuses as outcomes.
    """

    def __post_init__(self) -> None:
        # On the table itself, so that it goes where the scores go, also out of a file.
        if self.details.get(SMOOTHED):
            self.frame.attrs[SMOOTHED] = list(self.details[SMOOTHED])

    @property
    def normalised(self) -> pd.DataFrame:
        """Normalised indicators, one row a unit."""
        units = pd.Index(self.frame["unit"], name="unit")
        columns = list(self.details["leaf_weights"])
        return pd.DataFrame(self.arrays["normalised"], index=units, columns=columns)

    def headline(self) -> str:
        """Return the leaders in one sentence."""
        leaders = ", ".join(unit_names(self.summary().head(3)))
        of = f"{len(self.frame):,} units"
        when = ""
        if "period" in self.frame:
            units, periods = (self.frame[name].nunique() for name in ("unit", "period"))
            of = f"{units:,} units in {periods} periods"
            when = f" in {self.details['period']}"
        return (
            f"{self.details['label']}: {of} scored on "
            f"{len(self.details['leaf_weights'])} indicators; the highest{when} are {leaders}."
        )

    def summary(self) -> pd.DataFrame:
        """Return the units in the order of their ranks, those of the shown period only."""
        table = self.frame
        if "period" in table:
            # Compared as text: a date comes back from a file as a date, its name as text.
            table = table[table["period"].map(str) == str(self.details["period"])]
        return table.sort_values(["rank", "unit"], kind="stable").reset_index(drop=True)

    def methods_text(self) -> str:
        """Return how the index was made, with citation keys."""
        spec = self.provenance["specification"]
        return (
            f"The index {spec['name']} was made from {len(self.details['leaf_weights'])} "
            f"indicators of {len(self.frame)} {self._rows()}, normalised by {spec['normalise']}, "
            f"weighted by {_weights_text(spec['weights'])} and aggregated by the "
            f"{spec['aggregate']} mean [@OECD2008]."
        )

    def _rows(self) -> str:
        return "units in a period" if "period" in self.frame else "units"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw scores in the order of their ranks, and return the axes."""
        table = self.summary()
        when = f", {self.details['period']}" if "period" in table else ""
        many = len(table) > plots.MANY
        ax = plots.new_axes(ax, (6.4, 4.2 if many else 1.2 + 0.22 * len(table)))
        score = table["score"].to_numpy()
        title = f"{self.details['label']}: scores{when}"
        if many:
            plots.curve(ax, table["rank"].to_numpy(), score)
            return plots.describe(ax, title, "rank (1 is best)", "score")
        plots.intervals(ax, unit_names(table), score, score, score)
        return plots.describe(ax, title, "score")


def _weights_text(weights: Any) -> str:
    return f"the {weights} weights" if isinstance(weights, str) else "given weights"


def _score_errors(data: Indicators, plan: Plan, leaf: np.ndarray, correlation: float) -> np.ndarray:
    """Return standard errors of scores that are linear in indicators with known errors."""
    if not 0 <= correlation <= 1:
        raise SpecError(f"error_correlation must be in [0, 1], got {correlation!r}.")
    if plan.spec.aggregate != "arithmetic":
        raise MethodError(
            f"the {plan.spec.aggregate} mean is not linear in its indicators, so their standard "
            "errors do not give that of the score."
        )
    x = data.values.to_numpy()
    centred, normalised = x - x.mean(axis=0), plan.table - plan.table.mean(axis=0)
    slope = (centred * normalised).sum(axis=0) / np.square(centred).sum(axis=0)
    bent = np.abs(normalised - slope * centred).max(axis=0) > 1e-9 * np.ptp(plan.table, axis=0)
    errors = None if data.std_errors is None else data.std_errors.to_numpy()
    if errors is None or np.isnan(errors).any() or bent.any():
        raise MethodError(
            "the standard error of a score needs those of every indicator, and a normaliser "
            "that is linear (zscore, or minmax without clipping)."
        )
    parts = np.abs(slope * leaf) * errors
    together, apart = parts.sum(axis=1) ** 2, np.square(parts).sum(axis=1)
    return np.asarray(np.sqrt(correlation * together + (1 - correlation) * apart))


def _shown(periods: pd.Series, wanted: Any) -> Any:
    """Return the period whose ranking is shown, as a plain value."""
    there = sorted(periods.unique().tolist())
    if wanted is not None and wanted not in there:
        raise SpecError(f"period {wanted!r}: no unit is scored in it; there are {listing(there)}.")
    return there[-1] if wanted is None else wanted


def _ranks(score: np.ndarray, periods: pd.Series | None) -> np.ndarray:
    """Return ranks, within each period where there are several."""
    if periods is None:
        return rank_scores(score)
    rank = np.empty(len(score))
    for period in periods.unique():
        there = (periods == period).to_numpy()
        rank[there] = rank_scores(score[there])
    return rank


def _smoothed_columns(data: Indicators, spec: IndexSpec) -> list[str]:
    """Return the columns of scores into which a smoothed indicator enters."""
    made = set(data.smoothed)
    for node, children in reversed(list(spec.nodes())):
        if made & set(children):
            made.add(node)
    below = [f"dimension_{node}" for node, _ in spec.nodes() if node != spec.name and node in made]
    return ["score", *below] if spec.name in made else []


def score_index(
    indicators: Indicators,
    spec: IndexSpec,
    *,
    label: str = "",
    error_correlation: float | None = None,
    period: Any = None,
) -> Scores:
    r"""Score units by a specification.

    Parameters
    ----------
    indicators : Indicators
        Units by indicators. Units that lack an indicator of the index are set aside
        and counted in the notes.
    spec : IndexSpec
        Every choice: hierarchy, normalisation, weights, aggregation.
    label : str, optional
        What the index is called in text; the name of the specification if empty.
    error_correlation : float in [0, 1], optional
        Correlation between the errors of a unit's indicators. If given, the standard
        errors of the indicators make that of the score, in the column ``std_error``.
        With 1 it is as large as it can be.
    period : optional
        Period whose ranking is shown first, if there are several; the last if None.
        Every period is scored.

    Returns
    -------
    Scores

    Raises
    ------
    SpecError
        If the specification names indicators that are not there.
    MethodError
        If a method has no valid answer, or fewer than two units are complete.

    Notes
    -----
    Indicators whose high values are bad are turned round, each is normalised, and
    children are aggregated node by node up the hierarchy [1]_. The standard error of a
    score that is linear in its indicators is :math:`\sqrt{a' R a}`, where :math:`a_q` is
    the weight of an indicator times the slope of its normaliser times its standard
    error, and :math:`R` has the error correlation off its diagonal.

    References
    ----------
    .. [1] OECD and Joint Research Centre (2008). *Handbook on Constructing Composite
       Indicators: Methodology and User Guide*. OECD Publishing.

    Examples
    --------
    >>> from lgpi_research.codebook import Codebook, Indicator
    >>> table = pd.DataFrame({"place": ["a", "b", "c"], "x": [1, 2, 3], "y": [30, 10, 20]})
    >>> book = Codebook((Indicator("x"), Indicator("y", direction="negative")))
    >>> data = Indicators.from_table(table, book, unit="place")
    >>> spec = IndexSpec("lgpi", {"all": ("x", "y")})
    >>> score_index(data, spec).summary()[["unit", "score", "rank"]]
      unit  score  rank
    0    b    0.5   1.5
    1    c    0.5   1.5
    2    a   -1.0   3.0
    """
    data, aside = complete_units(indicators, spec)
    plan, notes = make_plan(data, spec)
    nodes = plan.dimensions(plan.weights)
    score = nodes.pop(spec.name)
    rank = _ranks(score, data.periods)
    columns = {**unit_columns(data), "score": score, "rank": rank}
    columns.update({f"dimension_{node}": value for node, value in nodes.items()})
    leaf = plan.leaf_weights(plan.weights)
    if error_correlation is not None:
        columns["std_error"] = _score_errors(data, plan, leaf, error_correlation)
    details = {
        "label": label or spec.name,
        "weights": {
            node: dict(zip(children, plan.weights[node].tolist(), strict=True))
            for node, children in spec.nodes()
        },
        "leaf_weights": dict(zip(spec.indicators, leaf.tolist(), strict=True)),
    }
    made_of = _smoothed_columns(data, spec)
    if made_of:
        details[SMOOTHED] = made_of
        notes.append(
            f"Made of smoothed indicators ({listing(data.smoothed)}): fit to report and to rank, "
            "unfit as the outcome of a regression."
        )
    if data.periods is not None:
        details["period"] = _shown(data.periods, period)
    origin = provenance(specification=spec.describe(), data={"indicators": indicators.digest})
    return Scores(
        pd.DataFrame(columns), origin, (*aside, *notes), {"normalised": plan.table}, details
    )
