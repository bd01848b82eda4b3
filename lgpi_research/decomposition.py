"""Generalisability: where the differences of scores come from, and how far to trust them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research import plots
from lgpi_research.blocks import digest
from lgpi_research.errors import Problems, SpecError, listing, nearest
from lgpi_research.facet_scores import from_survey, from_table, usable_scores
from lgpi_research.methods.decision import (
    COEFFICIENTS,
    EPSILON,
    coefficient_interval,
    costs_of,
    cut_score_dependability,
    decide,
    roles,
    smallest,
)
from lgpi_research.methods.facets import FacetDesign, Layout, arrange, parse_design
from lgpi_research.methods.generalisability import Components, variance_components
from lgpi_research.results import Result, provenance
from lgpi_research.survey import Survey

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["VarianceDecomposition", "decompose_variance"]

Size = float | Iterable[float]

MOST_DESIGNS = 1_000_000  # of a decision study: a grid, not a search
_LINES = 6  # of a picture of a decision study
_FEW = 5  # levels of a random facet below which its variance is said to be hardly known


@dataclass(frozen=True, eq=False, repr=False)
class VarianceDecomposition(Result, kind="variance_decomposition"):
    """Variance components of scores, and how far the scores generalise.

    ``frame`` has one row for each component: ``component`` (the last also holds all other
    error), ``estimate`` as estimated, ``variance`` (0 where the estimate is ``negative``),
    ``std_error``, ``ci_low``, ``ci_high``, ``share`` of the variance of a single score,
    ``df``, ``n_levels``, ``mean_square`` (NaN by restricted likelihood) and ``role``:
    "universe" (what scores are meant to measure), "relative" (error of any comparison),
    "absolute" (error of the level only) or "constant".
    """

    def headline(self) -> str:
        """Return the object's share of a single score, and the coefficients of its mean."""
        told = self.details
        share = 100 * self.frame.loc[self.frame["role"] == "universe", "share"].sum()
        relative, absolute = (told["coefficients"][name] for name in COEFFICIENTS)
        over = ", ".join(f"{_number(size)} × {name}" for name, size in told["sizes"].items())
        return (
            f"{share:.0f} % of the variance of a single score is of {told['object']}; means over "
            f"{over} have a generalisability of {_estimate(relative, told['level'])} and a "
            f"dependability of {_estimate(absolute)}."
        )

    def summary(self) -> pd.DataFrame:
        """Return each component with its interval and share."""
        return self.frame[["component", "variance", "ci_low", "ci_high", "share", "n_levels"]]

    def methods_text(self) -> str:
        """Return what was estimated and how, with citation keys."""
        told = self.details
        how = (
            "analysis of variance"
            if told["method"] == "anova"
            else "restricted maximum likelihood, because scores were not balanced"
            if told["unbalanced"]
            else "restricted maximum likelihood"
        )
        fixed = f", with {', '.join(told['fixed'])} fixed" if told["fixed"] else ""
        return (
            f"A generalisability study [@Cronbach1972; @Brennan2001] of the design "
            f"{told['design']} took {told['object']} as the object of measurement [@Cardinet1976]"
            f"{fixed}. Its variance components were estimated by {how}, with "
            f"{100 * told['level']:g} % modified large-sample intervals [@Ting1990]; negative "
            "estimates count as 0. Coefficients of generalisability (relative decisions) and of "
            "dependability (absolute decisions) follow from them for any number of conditions "
            "[@ShavelsonWebb1991]."
        )

    @property
    def design(self) -> FacetDesign:
        """The design, as it was read."""
        return parse_design(self.details["design"])

    def decision(
        self,
        sizes: Mapping[str, Size] | None = None,
        *,
        target: float | None = None,
        coefficient: str = "generalisability",
        costs: Mapping[str, float] | None = None,
    ) -> pd.DataFrame:
        """Return what scores of other sizes would be worth: the decision study.

        Parameters
        ----------
        sizes : mapping of str to number or sequence of numbers, optional
            Conditions of a facet, within those it is nested in: every combination is a
            design. Facets that are not named keep the sizes of the study.
        target : float, optional
            The coefficient wanted.
        coefficient : {"generalisability", "dependability"}, default "generalisability"
            Which coefficient is to reach the target.
        costs : mapping of str to float, optional
            Cost of one condition of a facet, such as ``{"person": 10}``, or of a
            combination, such as ``{"person x item": 0.2}`` for an answer. What is crossed
            with the object is counted once for each object.

        Returns
        -------
        DataFrame
            A row for each design: its sizes, ``universe_variance``, ``relative_error``,
            ``absolute_error``, their roots ``relative_sem`` and ``absolute_sem``, and both
            coefficients. With a target ``reached``, and ``smallest`` where no design of at
            most the same sizes reaches it. With costs ``cost`` for one object, and with
            both ``cheapest``, which holds for all designs of the least cost. If no design
            of the grid reaches the target, these are all False.

        Raises
        ------
        SpecError
            With every facet, size, cost or option that does not exist or is not valid.
        """
        design, told = self.design, self.details
        grid = _grid(told["sizes"], sizes or {})
        _check_decision(grid, told["sizes"], target, coefficient)
        axes = dict(zip(grid, np.meshgrid(*grid.values(), indexing="ij"), strict=True))
        variances = self.frame["variance"].to_numpy(float)
        found = decide(design, variances, axes, told["object"], told["fixed"])
        columns = {**axes, "universe_variance": found.universe_variance}
        for name in ("relative", "absolute"):
            columns[f"{name}_error"] = getattr(found, f"{name}_error")
            columns[f"{name}_sem"] = np.sqrt(columns[f"{name}_error"])
        columns |= {name: getattr(found, name) for name in COEFFICIENTS}
        reached = None
        if target is not None:
            reached = columns[coefficient] >= target - EPSILON
            columns |= {"reached": reached, "smallest": smallest(reached)}
        if costs is not None:
            columns["cost"] = costs_of(design, costs, axes, told["object"])
            if reached is not None:
                least = columns["cost"][reached].min() if reached.any() else np.nan
                near = np.isclose(columns["cost"], least, rtol=EPSILON, atol=0)
                columns["cheapest"] = reached & near
        return pd.DataFrame({name: np.ravel(column) for name, column in columns.items()})

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the share of each component in the variance of a single score."""
        ax = plots.new_axes(ax, (6.8, 1.4 + 0.4 * len(self.frame)))
        colours = {"universe": "third", "relative": "second", "absolute": "main"}
        labels = {
            "universe": f"universe score of {self.details['object']}",
            "relative": "error of any comparison",
            "absolute": "error of the level only",
            "constant": "constant",
        }
        with plots.styled():
            for role, label in labels.items():
                of_role = (self.frame["role"] == role).to_numpy()
                if of_role.any():
                    rows, share = np.flatnonzero(of_role), 100 * self.frame["share"][of_role]
                    colour = plots.COLOURS[colours.get(role, "quiet")]
                    ax.barh(rows, share, height=0.6, color=colour, label=label)
            ax.set_yticks(np.arange(len(self.frame)), self.frame["component"].tolist())
            ax.set_ylim(len(self.frame) - 0.4, -0.6)
            ax.grid(visible=False, axis="y")
            ax.legend(fontsize=8.5)
        return plots.describe(
            ax, "Where the differences of scores come from", "% of the variance of a single score"
        )

    def plot_decision(
        self,
        sizes: Mapping[str, Size],
        *,
        target: float | None = None,
        coefficient: str = "generalisability",
        ax: Axes | None = None,
    ) -> Axes:
        """Draw a coefficient against the sizes of the first facet, a line for each of a second.

        Parameters
        ----------
        sizes : mapping of str to number or sequence of numbers
            As for `decision`; at most two facets with several sizes. Of more than six sizes
            of the second, six are drawn.
        target : float, optional
            Drawn as a line.
        coefficient : {"generalisability", "dependability"}, default "generalisability"
        ax : Axes, optional

        Returns
        -------
        Axes

        Raises
        ------
        SpecError
            As `decision`, or if more than two facets have several sizes.
        """
        table = self.decision(sizes, target=target, coefficient=coefficient)
        several = [name for name in sizes if table[name].nunique() > 1]
        if not 1 <= len(several) <= 2:
            raise SpecError(
                f"{len(several)} facets have several sizes ({listing(several)}); a picture takes "
                "one or two. Give the others one size each."
            )
        ax = plots.new_axes(ax)
        first, *second = several
        if not second:
            plots.curve(ax, table[first].to_numpy(float), table[coefficient].to_numpy(float))
        else:
            every = np.sort(table[second[0]].unique())
            places = np.unique(np.linspace(0, len(every) - 1, _LINES).round().astype(int))
            with plots.styled():
                for number, size in enumerate(every[places]):
                    rows = table[table[second[0]] == size].sort_values(first)
                    shade = 0.25 + 0.75 * (number + 1) / len(places)
                    ax.plot(
                        rows[first], rows[coefficient], color=plots.COLOURS["main"], alpha=shade,
                        linewidth=1.6, label=f"{second[0]}: {_number(size)}",
                    )  # fmt: skip
                ax.legend()
        if target is not None:
            with plots.styled():
                ax.axhline(target, color=plots.COLOURS["second"], linewidth=1.2, linestyle="--")
        ax.set_ylim(0, 1)
        return plots.describe(
            ax, f"{coefficient.capitalize()} of {self.details['object']}", first, coefficient
        )


def decompose_variance(
    data: pd.DataFrame | Survey,
    *,
    design: str | None = None,
    object: str | None = None,  # noqa: A002 - the field's term is object of measurement
    value: str | Sequence[str] | None = None,
    fixed: str | Sequence[str] = (),
    sizes: Mapping[str, float] | None = None,
    cut: float | None = None,
    method: str = "auto",
    level: float = 0.95,
) -> VarianceDecomposition:
    """Split the variance of scores by source, and say how far the scores generalise.

    Parameters
    ----------
    data : DataFrame or Survey
        Long: a row for each score, with a column for each facet. Wide: columns that are the
        levels of one facet, such as coders or items. Or a survey.
    design : str, optional
        Facets that cross (``x``) and nest (``:``), such as ``"place x coder"`` or
        ``"(person : place) x item"``
        (`lgpi_research.methods.facets.parse_design`). A survey has the facets "place", "psu",
        "person", "item", "dimension" and "stratum", and by default the design
        "(person : psu : place) x item", or "(person : place) x item" where no place has two
        PSUs or no PSU two persons; without places, PSUs stand for them.
    object : str, optional
        The object of measurement: the facet whose levels are to be told apart. A survey's is
        by default its place, or PSU.
    value : str or sequence of str, optional
        Column of the scores of a long table; columns of a wide one, which are the levels of
        the one facet of the design that is no column. Items of a survey; by default all, if
        they are of one dimension or the design names "dimension".
    fixed : str or sequence of str
        Facets whose conditions are all that scores speak of: averaged over, so that what they
        add to the differences of objects is part of the universe score.
    sizes : mapping of str to number, optional
        Conditions of facets that the coefficients are for; by default those of the study: how
        many an object meets, harmonic mean.
    cut : float, optional
        A score that objects are to reach; the dependability of that decision is then in
        ``details["cut_dependability"]``.
    method : {"auto", "anova", "reml"}, default "auto"
        Analysis of variance for balanced scores, otherwise restricted maximum likelihood; or
        the one that is named.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    VarianceDecomposition
        ``details`` holds the coefficients with their intervals, error variances and standard
        errors of measurement.

    Raises
    ------
    SpecError
        With every option that is unknown or does not fit the others or the design.
    DataError
        With every problem: columns that are missing, scores that are no numbers, a cell with
        several scores, facets with one level, facets said to cross that are nested, effects
        that cannot be told apart, unbalanced scores for "anova".
    MethodError
        If the scores do not vary, or restricted likelihood has no answer.

    Notes
    -----
    Formulas are in `lgpi_research.methods.generalisability.variance_components` and
    `lgpi_research.methods.decision.decide` [1]_, [2]_. Conditions of random facets are taken to
    be drawn from many; every score counts once, and weights of a survey are not used.

    Coverage of 95 % intervals, in per cent, of 2,500 simulated balanced studies each (Monte
    Carlo error 0.4), objects first: components, generalisability, dependability.

    ========================  =================  ==========  ================  =============
    design                    sizes              components  generalisability  dependability
    ========================  =================  ==========  ================  =============
    p x i                     50 x 6             95.2-95.4   94.8              95.4
    p x i, coders differ      30 x 3             95.3-95.5   95.5              92.2
    (q : p) x i               40, 10 each, x 6   94.4-95.7   94.2              94.0
    p x i x o                 30 x 4 x 3         94.6-96.1   95.1              96.1
    p x (i : d), d fixed      30 x 3, 4 each     94.9-95.6   95.8              95.3
    ========================  =================  ==========  ================  =============

    Dependability with few conditions that differ much has intervals that are short. In 600
    studies each of 16 places with 4 to 16 persons, 5 items and a tenth of the answers missing,
    and of 30 x 5 with a fifth missing, intervals by restricted likelihood cover 93.8 to 95.5
    (components) and 95.2 to 96.2 (coefficients; Monte Carlo error 0.9); if a component is so
    small that it is often estimated as 0, its interval and those of coefficients are wide, with
    98 to 99.

    References
    ----------
    .. [1] Brennan, R. L. (2001). *Generalizability Theory*. Springer.
    .. [2] Shavelson, R. J., and Webb, N. M. (1991). *Generalizability Theory: A Primer*. Sage.

    Examples
    --------
    >>> table = pd.DataFrame({"town": list("abcdef"), "anna": [9, 6, 8, 7, 10, 6],
    ...                       "ben": [2, 1, 4, 1, 5, 2], "cleo": [5, 3, 6, 2, 6, 4]})
    >>> found = decompose_variance(table, value=["anna", "ben", "cleo"],
    ...                            design="town x coder", object="town")
    >>> found.frame[["component", "variance", "share"]].round(2)
                 component  variance  share
    0                 town      2.11   0.22
    1                coder      6.77   0.72
    2  town x coder, error      0.57   0.06
    >>> found.decision({"coder": [1, 3, 10]})[["coder", "generalisability"]].round(3)
       coder  generalisability
    0    1.0             0.788
    1    3.0             0.918
    2   10.0             0.974
    """
    _check_options(sizes or {}, cut)
    notes: list[str] = []
    fixed = (fixed,) if isinstance(fixed, str) else tuple(fixed)
    if isinstance(data, Survey):
        long, text, measured = from_survey(data, value, design, object, notes)
        column = "value"
    else:
        if design is None or object is None or value is None:
            raise SpecError(
                "a table needs design= (such as 'place x coder'), object= (the facet that is "
                "measured) and value= (the column of the scores, or the columns of a wide table)."
            )
        text, measured = design, object
        parsed = parse_design(text)
        long, column = from_table(data, value, parsed)
    parsed = parse_design(text)
    kinds = roles(parsed, measured, fixed)
    y, labels, told = usable_scores(long, column, parsed)
    notes.extend(told)
    layout = arrange(labels, parsed)
    components = variance_components(y, labels, parsed, method=method, level=level)
    own = parsed.closure([measured])
    typical = layout.typical_sizes(measured)
    chosen = {name: size for name, size in typical.items() if name not in own} | dict(sizes or {})
    decision = decide(parsed, components.variances, chosen, measured, fixed)
    frame = _frame(components, kinds)
    notes.extend(_remarks(layout, components, frame, measured, fixed, sizes or {}))
    options = {
        "design": text,
        "object": measured,
        "fixed": list(fixed),
        "method": components.method,
        "level": level,
        "sizes": {name: float(chosen[name]) for name in parsed.facets if name in chosen},
    }
    coefficients = {}
    for name in COEFFICIENTS:
        low, high = coefficient_interval(
            components, chosen, measured, fixed, kind=name, level=level
        )
        estimate = float(getattr(decision, name))
        coefficients[name] = {"estimate": estimate, "ci_low": low, "ci_high": high}
    facts = {
        "coefficients": coefficients,
        "universe_variance": float(decision.universe_variance),
        "relative_error": float(decision.relative_error),
        "absolute_error": float(decision.absolute_error),
        "relative_sem": float(np.sqrt(decision.relative_error)),
        "absolute_sem": float(np.sqrt(decision.absolute_error)),
        "mean": components.mean,
        "n_used": len(y),
        "n_dropped": len(long) - len(y),
        "unbalanced": not layout.balanced,
    }
    if cut is not None:
        options["cut"] = float(cut)
        facts["cut_dependability"] = cut_score_dependability(
            components, chosen, measured, cut, fixed
        )
    return VarianceDecomposition(
        frame,
        provenance(specification=options, data={"scores": digest(y, *labels)}),
        tuple(notes),
        details={**options, **facts},
    )


def _check_options(sizes: Mapping[str, float], cut: float | None) -> None:
    """Refuse several sizes of a facet, and a cut score that is no number."""
    problems = Problems("the study")
    for name, size in sizes.items():
        if np.ndim(size):
            problems.add(f"sizes: {name} takes one number here; decision() takes several.")
    if cut is not None and not (isinstance(cut, Real) and np.isfinite(float(cut))):
        problems.add(f"cut: must be a number, got {cut!r}.")
    problems.raise_any(SpecError)


def _frame(components: Components, kinds: tuple[str, ...]) -> pd.DataFrame:
    """Return a row for each component."""
    names = [effect.label for effect in components.design.effects]
    variances = components.variances
    squares = components.squares if components.method == "anova" else np.nan
    return pd.DataFrame(
        {
            "component": [*names[:-1], f"{names[-1]}, error"],
            "estimate": components.estimates,
            "variance": variances,
            "std_error": components.std_errors,
            "ci_low": components.ci_low,
            "ci_high": components.ci_high,
            "share": variances / variances.sum(),
            "df": components.df,
            "n_levels": components.levels,
            "mean_square": squares,
            "negative": components.estimates < 0,
            "role": kinds,
        }
    )


def _remarks(
    layout: Layout,
    components: Components,
    frame: pd.DataFrame,
    object_: str,
    fixed: Sequence[str],
    chosen: Mapping[str, float],
) -> list[str]:
    """Return what a reader must know of the estimates."""
    design, notes = components.design, []
    if not layout.balanced:
        sizes = zip(design.facets, layout.sizes, strict=True)
        notes.append(
            f"Unbalanced: {len(layout.groups):,} scores, where a balanced study of the largest "
            f"sizes ({', '.join(f'{n} {name}' for name, n in sizes)}) has {layout.n_cells:,} "
            f"cells, {layout.n_cells - len(layout.groups):,} of which are empty. Components are "
            "estimated by restricted maximum likelihood."
        )
        if len(chosen) < len(design.facets) - len(design.closure([object_])):
            notes.append("Sizes of the study are harmonic means of what objects meet.")
    negative = frame[frame["negative"]]
    if len(negative):
        shown = listing(
            f"{name} ({estimate:.3g})"
            for name, estimate in zip(negative["component"], negative["estimate"], strict=True)
        )
        notes.append(f"Negative estimates, set to 0 in shares and coefficients: {shown}.")
    zero = frame[(frame["estimate"] == 0) & ~frame["negative"]]
    if len(zero):
        notes.append(f"Estimated as 0: {listing(zero['component'])}.")
    typical = layout.typical_sizes(object_)
    other = [
        f"{name} ({chosen[name]:g} for {typical[name]:g})"
        for name in fixed
        if name in chosen and abs(chosen[name] - typical[name]) > 1e-9 * typical[name]
    ]
    if other:
        notes.append(
            f"Sizes of fixed facets are not those of the study: {', '.join(other)}. Scores speak "
            "of the conditions studied alone, so the coefficients are those of another universe."
        )
    few = [
        f"{name} ({size})"
        for name, size, nests in zip(design.facets, layout.sizes, design.nests, strict=True)
        if size < _FEW and not nests and name not in fixed and name != object_
    ]
    if few:
        notes.append(
            f"Few levels of a random facet: {', '.join(few)}. Its variance is hardly known; see "
            "the interval."
        )
    return notes


def _grid(study: Mapping[str, float], sizes: Mapping[str, Size]) -> dict[str, npt.NDArray[Any]]:
    """Return the sizes of each facet, in rising order; those of the study where none are given."""
    found, problems = {}, Problems("the decision study")
    for name in [*study, *(name for name in sizes if name not in study)]:
        given: Any = sizes.get(name, study.get(name))
        values = list(given) if isinstance(given, Iterable) else [given]
        try:
            found[name] = np.unique(np.asarray(values, dtype=np.float64))
        except (TypeError, ValueError):
            problems.add(f"sizes: {name} must have numbers, got {listing(map(repr, values))}.")
    problems.raise_any(SpecError)
    return found


def _check_decision(
    grid: Mapping[str, npt.NDArray[Any]],
    study: Mapping[str, float],
    target: float | None,
    coefficient: str,
) -> None:
    """Refuse a decision study that asks for what does not exist."""
    problems = Problems("the decision study")
    for name, values in grid.items():
        if name not in study:
            problems.add(
                f"sizes: no facet {name!r} to have sizes; there are {', '.join(study)}."
                f"{nearest(str(name), study)}"
            )
        elif not len(values):
            problems.add(f"sizes: {name} has no size.")
    if coefficient not in COEFFICIENTS:
        problems.add(
            f"coefficient: must be {' or '.join(COEFFICIENTS)}, got {coefficient!r}."
            f"{nearest(str(coefficient), COEFFICIENTS)}"
        )
    if target is not None and not 0 < target < 1:
        problems.add(f"target: must lie between 0 and 1, got {target!r}.")
    designs = int(np.prod([len(values) for values in grid.values()], dtype=float))
    if designs > MOST_DESIGNS:
        problems.add(f"sizes: {designs:,} designs are more than {MOST_DESIGNS:,}; take fewer.")
    problems.raise_any(SpecError)


def _number(size: float) -> str:
    return f"{size:.1f}".removesuffix(".0")


def _estimate(told: Mapping[str, float], level: float | None = None) -> str:
    named = f"{100 * level:g} % interval " if level is not None else ""
    return f"{told['estimate']:.2f} ({named}{told['ci_low']:.2f} to {told['ci_high']:.2f})"
