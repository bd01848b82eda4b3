"""Links of scores with fiscal autonomy: associations, with inference fit for few clusters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from lgpi_research import plots
from lgpi_research.blocks import digest
from lgpi_research.errors import MethodError, SpecError, listing, nearest
from lgpi_research.formula import Design, Formula, parse_formula, term_of
from lgpi_research.formula import design as make_design
from lgpi_research.indicators import SMOOTHED
from lgpi_research.mechanical import mechanical_reason
from lgpi_research.methods.absorb import is_nested
from lgpi_research.methods.claims import detectable_slope, equivalence, robustness_value
from lgpi_research.methods.regression import Fit, least_squares, leave_one_cluster_out, ols
from lgpi_research.registry import resolve
from lgpi_research.results import Result, provenance
from lgpi_research.rows import average_rows, choose_rows
from lgpi_research.spec import LinkDesign
from lgpi_research.tables import cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LinkResult", "link_autonomy"]

Floats = npt.NDArray[np.float64]

INDEPENDENT = "none"
FEWEST_CLUSTERS = 3
FEW_DF = 4.0  # below this the t approximation of small-sample tests is known to be poor
POWER = 0.8
EXACT = 1e-20  # share of the variance of an outcome that rounding alone can leave

_TOLD = (
    "role",
    "because",
    "average",
    "within",
    "basis",
    "outcome_unit",
    "estimator",
    "cluster",
    "measure",
    "measure_unit",
    "estimand_group",
    "per",
    "smallest_slope",
    "score_reliability",
    "score_unreliable",
)


@dataclass(frozen=True, eq=False, repr=False)
class LinkResult(Result, kind="link"):
    """Slopes of a score on a measure of fiscal autonomy and its controls.

    `frame` has one row a coefficient: ``term``, ``role`` (measure, control, intercept),
    ``estimate``, ``std_error``, ``t``, ``df``, ``p_value``, ``ci_low``, ``ci_high``; the
    same slope in standard deviations of score per standard deviation of the term, with
    its interval (``standardised``, ``standardised_low``, ``standardised_high``); and
    ``n_used``, ``n_dropped``, ``n_clusters``. `details` holds what is said of the measure
    alone.
    """

    @property
    def measure(self) -> pd.Series[Any]:
        """The row of the measure."""
        return self.frame.loc[self.frame["role"] == "measure"].iloc[0]

    def headline(self) -> str:
        """Return one plain sentence about the measure."""
        told, row = self.details, self.measure
        percent = f"{100 * told['level']:g} %"
        slope = (
            f"{cell(told['slope'])} SD per {told['per_label']} "
            f"({percent} interval {cell(told['slope_low'])} to {cell(told['slope_high'])}, "
            f"{cell(int(row['n_used']))} {_rows_of(told)}"
        )
        slope += f", {told['n_clusters']} clusters)" if told["clustered"] else ")"
        if told["role"] == "warning":
            return (
                f"A warning, not a finding: {told['outcome_label']} on {told['measure_label']} "
                f"would give {slope}. {told['because']}"
            ).rstrip()
        where = (
            f"at times when {told['measure_label']} is higher than usual in the same unit"
            if told["within"]
            else f"where {told['measure_label']} is higher"
        )
        if told["slope_low"] <= 0 <= told["slope_high"]:
            return (
                f"The data do not tell whether {told['outcome_label']} is higher or lower "
                f"{where}: {slope}; a slope of {cell(told['detectable'])} would be found in four "
                "of five such samples."
            )
        word = "higher" if told["slope"] > 0 else "lower"
        return (
            f"{where[0].upper()}{where[1:]}, {told['outcome_label']} tends to be {word}: {slope}. "
            "This is an association."
        )

    def summary(self) -> pd.DataFrame:
        """Return terms, slopes and intervals, the measure first and without the intercept."""
        order = self.frame["role"].map({"measure": 0, "control": 1, "intercept": 2})
        shown = self.frame.loc[order.sort_values(kind="stable").index]
        columns = ["term", "estimate", "std_error", "df", "p_value", "ci_low", "ci_high"]
        table = shown.loc[shown["role"] != "intercept", [*columns, "standardised"]]
        return table.reset_index(drop=True)

    def methods_text(self) -> str:
        """Return one paragraph that says what was done, with citation keys."""
        told = self.details
        effects = (
            f", with {' and '.join(told['absorb'])} effects projected out" if told["absorb"] else ""
        )
        groups = (
            f"clustered by {told['cluster']} ({told['n_clusters']} clusters)"
            if told["clustered"]
            else "with each unit its own cluster, which is HC2"
        )
        inference = (
            f"Standard errors are {groups}, with the CR2 adjustment computed from the full design "
            "[@BellMcCaffrey2002; @PustejovskyTipton2018] and Satterthwaite degrees of freedom, "
            "because large-sample cluster inference fails with few clusters [@CameronMiller2015]. "
            if told["estimator"] == "ols"
            else f"Standard errors are {groups}, as the estimator gives them. "
        )
        averaged = (
            f"Rows of each {told['average']} were averaged first. " if told["average"] else ""
        )
        noise = (
            f", corrected for error with the reliability {told['score_reliability']:g}"
            if told["score_reliability"] is not None
            else ""
        )
        return (
            f"{averaged}The outcome, {told['outcome']}, was regressed on "
            f"{', '.join(told['terms'])}{effects} (estimator {told['estimator']}, "
            f"{self.measure['n_used']} {_rows_of(told)}). {inference}"
            f"Readable slopes divide by the standard deviation of the score in the sample of "
            f"estimation{noise}, taken as fixed. The detectable slope is found with probability "
            f"{POWER:g} by a two-sided test at {100 * (1 - told['level']):g} %. Slopes are "
            "associations between units; they do not say what a change of the measure would bring."
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw each slope in standard deviations, with its interval, and return the axes."""
        rows = self.frame.loc[self.frame["role"] != "intercept"]
        rows = rows.sort_values("role", ascending=False, kind="stable")
        axes = plots.new_axes(ax, (6.4, 1.2 + 0.4 * len(rows)))
        label = self.details["measure_label"]
        names = [
            label if role == "measure" else term
            for term, role in zip(rows["term"], rows["role"], strict=True)
        ]
        values = (rows[f"standardised{end}"].to_numpy() for end in ("", "_low", "_high"))
        plots.intervals(axes, names, *values)
        axes.axvline(0.0, color=plots.COLOURS["quiet"], linewidth=0.8, zorder=0)
        outcome = self.details["outcome_label"]
        return plots.describe(
            axes, f"What {outcome} goes with", f"SD of {outcome} per SD of the term"
        )


def _rows_of(told: Mapping[str, Any]) -> str:
    """Return what the rows of a link are called."""
    return "units in a period" if told["within"] else "units"


def _check_cluster(claim: LinkDesign, formula: Formula, table: pd.DataFrame) -> None:
    """Refuse a link whose clusters are not named, and list what could be meant."""
    if claim.cluster is not None and claim.cluster != INDEPENDENT:
        columns = [str(name) for name in table.columns]
        if claim.cluster not in columns:
            raise SpecError(
                f"cluster: there is no column {claim.cluster!r}."
                f"{nearest(claim.cluster, columns)} Candidates: {_candidates(formula, table)}."
            )
        return
    if formula.absorb:
        raise SpecError(
            f"cluster: the formula absorbs {' and '.join(formula.absorb)}, so the units are "
            f"grouped; name the column of the clusters. Candidates: {_candidates(formula, table)}."
        )
    if claim.cluster is None:
        raise SpecError(
            "cluster: no clusters are named. Name the column of the groups that were sampled or "
            f"that share shocks. Candidates: {_candidates(formula, table)}. Only if no units "
            f'belong together, write cluster = "{INDEPENDENT}".'
        )


def _candidates(formula: Formula, table: pd.DataFrame) -> str:
    """List columns that group the rows: those absorbed, then text that repeats itself."""
    named = dict.fromkeys(c for parts in formula.absorb_columns for c in parts)
    grouping = [
        str(name)
        for name, column in table.items()
        if pd.api.types.is_string_dtype(column) and 2 <= column.nunique() <= len(table) / 2
    ]
    return listing(dict.fromkeys([*named, *grouping]), 8) or "none in the table"


def _check_direct(table: pd.DataFrame, outcome: Sequence[str]) -> None:
    """Refuse an outcome that is made of smoothed indicators."""
    smoothed = [name for name in dict.fromkeys(outcome) if name in table.attrs.get(SMOOTHED, ())]
    if smoothed:
        raise SpecError(
            f"{listing(smoothed)}: made of smoothed place scores, which are no outcome of a "
            "regression: smoothing draws places together, so slopes come out too small. Use the "
            "direct estimates, and their standard errors for the reliability of the score "
            "(score_reliability)."
        )


def _check_clusters(claim: LinkDesign, count: int, parameters: int) -> None:
    if count < max(FEWEST_CLUSTERS, parameters):
        raise MethodError(
            f"{claim.cluster}: {count} cluster{'s' * (count != 1)} cannot carry the inference on "
            f"{parameters} coefficients; at least {max(FEWEST_CLUSTERS, parameters)} are needed. "
            "Use a shorter formula or a finer cluster that still contains what is shared."
        )


def _row_notes(made: Design, claim: LinkDesign) -> Iterator[str]:
    if made.n_dropped:
        counts = ", ".join(f"{name} {count}" for name, count in made.dropped.items())
        yield (
            f"{made.n_dropped} of {len(made.used)} {_rows_of(vars(claim))} were left out because a "
            f"value is missing (by column: {counts}); {made.n_used} were used."
        )
    if claim.cluster == INDEPENDENT:
        yield (
            "Units are taken as independent: each is its own cluster (HC2 with Satterthwaite "
            "degrees of freedom). If units share shocks, intervals are too short."
        )


def _fit_notes(made: Design, fit: Fit, clusters: npt.NDArray[np.intp]) -> Iterator[str]:
    if fit.effects is None:
        return
    crossing = [
        name
        for name, codes in zip(made.absorb_names, fit.effects.codes, strict=True)
        if not is_nested(codes, clusters)
    ]
    if crossing:
        yield (
            f"Effects of {' and '.join(crossing)} reach over several clusters; the covariance is "
            "adjusted from the full design with their dummies."
        )
    if fit.effects.singletons:
        yield (
            f"Alone in a level of {' or '.join(made.absorb_names)}: {fit.effects.singletons} of "
            f"{made.n_used} rows. They are kept, count as used, and say nothing about the slope."
        )


def _without_clusters(
    claim: LinkDesign, fit: Fit, clusters: npt.NDArray[np.intp], names: Sequence[str], j: int
) -> tuple[dict[str, Any], list[str]]:
    """Return the range of the least-squares slope when each cluster is left out in turn."""
    function = resolve("estimator", claim.estimator)
    if getattr(function, "func", function) is not ols:
        return {}, []
    slopes = leave_one_cluster_out(fit, clusters)[:, j]
    notes = []
    if np.isnan(slopes).any():
        lost = [name for name, slope in zip(names, slopes, strict=True) if np.isnan(slope)]
        notes.append(
            f"Without {listing(lost)} the coefficients cannot be estimated at all; the range "
            "over left-out clusters covers the others."
        )
    if np.isnan(slopes).all():
        return dict.fromkeys(("without_low", "without_high"), None), notes
    low, high = int(np.nanargmin(slopes)), int(np.nanargmax(slopes))
    return {
        "without_low": float(slopes[low]),
        "without_high": float(slopes[high]),
        "without_low_cluster": names[low],
        "without_high_cluster": names[high],
    }, notes


def _check_measure(formula: Formula, measure: str) -> list[str]:
    """Refuse a measure without one slope, and return the other terms that it stands in."""
    term = term_of(formula, measure)
    if any(factor.categorical for factor in term.factors):
        raise SpecError(
            f"measure: {measure} stands for categories, which have no one slope. "
            "Put the measure of autonomy first, or name it with measure=."
        )
    columns = {factor.column for factor in term.factors}
    return [
        str(other)
        for other in formula.terms
        if other != term and columns & {factor.column for factor in other.factors}
    ]


def _slopes(
    estimate: Floats, cov: Floats, df: Floats, names: Sequence[str], measure: str, level: float
) -> pd.DataFrame:
    """Return one row a coefficient, with its test and interval."""
    error = np.sqrt(np.diag(cov))
    if not (np.isfinite(error).all() and (error > 0).all() and (df > 0).all()):
        wrong = [n for n, e in zip(names, error, strict=True) if not (np.isfinite(e) and e > 0)]
        raise MethodError(
            f"the standard error of {listing(wrong or names)} is zero or unknown; a coefficient "
            "may rest on one cluster. Leave it out, or choose other clusters."
        )
    t = estimate / error
    reach = stats.t.isf((1 - level) / 2, df) * error
    roles = {measure: "measure", "intercept": "intercept"}
    return pd.DataFrame(
        {
            "term": list(names),
            "role": [roles.get(name, "control") for name in names],
            "estimate": estimate,
            "std_error": error,
            "t": t,
            "df": df,
            "p_value": 2 * stats.t.sf(np.abs(t), df),
            "ci_low": estimate - reach,
            "ci_high": estimate + reach,
        }
    )


def link_autonomy(table: pd.DataFrame, design: LinkDesign, *, level: float = 0.95) -> LinkResult:
    r"""Relate a score to a measure of fiscal autonomy, as an association.

    Parameters
    ----------
    table : DataFrame of shape (n_units, …)
        One row a unit (or unit and period), with every column that the design names.
    design : LinkDesign
        Formula, clusters, measure, and what is mechanically related.
    level : float, default 0.95
        Level of the intervals; one less it is the size of the test that the detectable
        slope refers to.

    Returns
    -------
    LinkResult
        ``details`` says of the measure: ``slope`` in SD of score per ``per`` units, with
        its interval; ``slope_sd`` in SD of score per SD of the measure; ``detectable``,
        the slope (SD per ``per``) found with probability 0.8; ``without_low`` and
        ``without_high``, the range of the coefficient when each cluster is left out, and
        which (least squares only); ``t_classical``, for measures of omitted-variable bias.

    Raises
    ------
    SpecError
        If no cluster is named, a column does not exist, or the outcome is tied to the
        measure by its construction, or is made of smoothed place scores.
    DataError
        If the table holds text for numbers, infinite values, or no complete row.
    MethodError
        If a regressor is collinear, or the effects explain all of it, or there are fewer
        clusters than three or than coefficients.

    Notes
    -----
    Slopes are least squares with the effects projected out; standard errors are CR2 with
    Satterthwaite degrees of freedom :math:`\nu`, adjusted from the full design [1]_, [2]_.
    The standard deviation of the score is :math:`\sqrt{\lambda}\,s` where its
    reliability :math:`\lambda` is known, in the sample of estimation, and is taken as
    fixed. The detectable slope is :math:`(t_{1-\alpha/2,\nu} + t_{0.8,\nu})\,se`. Smoothed
    place scores are known by the mark in the ``attrs`` of tables of this package, which
    pandas keeps when rows, columns or an index are chosen and drops in a merge or join.

    References
    ----------
    .. [1] Bell, R. M., and McCaffrey, D. F. (2002). Bias reduction in standard errors for
       linear regression with multi-stage samples. *Survey Methodology*, 28, 169-181.
    .. [2] Pustejovsky, J. E., and Tipton, E. (2018). Small-sample methods for
       cluster-robust variance estimation and hypothesis testing in fixed effects models.
       *Journal of Business and Economic Statistics*, 36, 672-683.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> places = pd.DataFrame({"oblast": np.repeat(list("abcdefgh"), 20),
    ...                        "own_share": rng.uniform(0.1, 0.9, 160)})
    >>> places["score"] = 2 * places["own_share"] + rng.normal(0, 1, 160)
    >>> link = link_autonomy(places, LinkDesign("score ~ own_share | oblast", cluster="oblast"))
    >>> bool(link.measure["ci_low"] < 2 < link.measure["ci_high"])
    True
    """
    if not 0 < level < 1:
        raise SpecError(f"level must lie between 0 and 1, got {level!r}.")
    formula = parse_formula(design.formula)
    others = _check_measure(formula, design.measure)
    made_of = [formula.outcome.column, *design.score_columns]
    because = mechanical_reason(design, made_of)
    _check_direct(table, made_of)
    _check_cluster(design, formula, table)
    clustered = design.cluster != INDEPENDENT
    also = [str(design.cluster)] if clustered else []
    table, chosen = choose_rows(table.reset_index(drop=True), design)
    table, averaged = average_rows(table, design, [*formula.columns, *also])
    made = make_design(formula, table, also)
    if clustered:
        clusters, groups = made.codes[also[0]], made.levels[also[0]]
        _check_clusters(design, len(groups), len(made.names))
    else:
        clusters = np.arange(made.n_used)
        kept = table[made.used]
        groups = tuple(
            kept[design.average].astype(str)
            if design.average
            else (f"row {row + 1}" for row in kept.index)
        )

    fit = least_squares(
        made.y, made.X, made.absorb, names=made.names, effect_names=made.absorb_names
    )
    if fit.rss <= EXACT * fit.tss:
        raise MethodError(
            f"the terms determine {made.outcome} without error, so it is made from them or "
            "there is nothing to estimate. Check how the outcome was computed."
        )
    estimate = resolve("estimator", design.estimator)(
        made.y, made.X, clusters=clusters, absorb=made.absorb, weights=None
    )
    frame = _slopes(estimate.coef, estimate.cov, estimate.df, made.names, design.measure, level)
    reliability = 1.0 if design.score_reliability is None else design.score_reliability
    observed = float(made.y.std(ddof=1))
    sd_score = float(np.sqrt(reliability)) * observed
    sd = np.where(frame["role"] == "intercept", np.nan, made.X.std(axis=0, ddof=1))
    for end, source in (("", "estimate"), ("_low", "ci_low"), ("_high", "ci_high")):
        frame[f"standardised{end}"] = frame[source] * sd / sd_score
    frame["n_used"], frame["n_dropped"] = made.n_used, made.n_dropped
    frame["n_clusters"] = len(groups)

    j = made.names.index(design.measure)
    unit = f" ({design.measure_unit})" if design.measure_unit else ""
    row = {str(name): value for name, value in frame.iloc[j].to_dict().items()}
    found, lost = _without_clusters(design, fit, clusters, groups, j)
    details = {
        "outcome": made.outcome,
        "outcome_label": design.outcome_label or made.outcome,
        "terms": [str(term) for term in formula.terms],
        "absorb": list(made.absorb_names),
        "clustered": clustered,
        "n_clusters": len(groups),
        "measure_label": design.measure_label,
        "level": level,
        **{name: design.describe()[name] for name in _TOLD},
        "per_label": design.per_label or f"{design.per:g}{unit}",
        **_readable(row, design.per / sd_score, level),
        "sd_score": sd_score,
        "sd_score_observed": observed,
        "sd_measure": float(sd[j]),
        "t_classical": float(fit.coef[j] / np.sqrt(fit.cov[j, j])),
        "df_classical": fit.df_resid,
        "r2_within": fit.r2,
        **found,
    }
    details |= _strength(row, details)
    details["mechanical"] = bool(because)
    if because:
        details["because"] = " ".join(filter(None, (design.because, because)))
    notes = (
        *chosen,
        *averaged,
        *_row_notes(made, design),
        *_fit_notes(made, fit, clusters),
        *lost,
        *_measure_notes(details, row["df"], others),
    )
    used = table.loc[:, list(dict.fromkeys([*formula.columns, *also]))]
    told = provenance(
        specification=design.describe() | {"level": level}, data={"table": digest(used)}
    )
    return LinkResult(frame, told, notes, {}, details)


def _readable(row: Mapping[str, Any], step: float, level: float) -> dict[str, float]:
    """Return the slope of the measure in SD of score, and the slope that would be found."""
    reach = detectable_slope(row["std_error"], row["df"], level, POWER)
    return {
        "slope": float(row["estimate"] * step),
        "slope_low": float(row["ci_low"] * step),
        "slope_high": float(row["ci_high"] * step),
        "slope_sd": float(row["standardised"]),
        "slope_sd_low": float(row["standardised_low"]),
        "slope_sd_high": float(row["standardised_high"]),
        "detectable": float(reach * step),
    }


def _strength(row: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether a slope that matters is ruled out, and what could hide behind the slope."""
    step = told["per"] / told["sd_score"]
    bound, level = told["smallest_slope"], told["level"]
    found: dict[str, Any] = {"equivalence": None, "equivalence_p": None}
    if bound is not None:
        test = equivalence(row["estimate"] * step, row["std_error"] * step, row["df"], bound, level)
        found = {"equivalence": test.verdict, "equivalence_p": test.p_value}
    t, df = told["t_classical"], told["df_classical"]
    values = {
        name: robustness_value(t, df, alpha=alpha) if df > 1 else None
        for name, alpha in (("robustness_value", None), ("robustness_value_alpha", 1 - level))
    }
    return found | values


def _measure_notes(told: Mapping[str, Any], df: float, others: Sequence[str]) -> Iterator[str]:
    if df < FEW_DF:
        advice = " Rely on the range over left-out clusters." if told["clustered"] else ""
        carried = "clusters" if told["clustered"] else "units"
        yield (
            f"The slope has {df:.1f} degrees of freedom: few {carried} carry it, and below "
            f"{FEW_DF:g} the p-value is rough.{advice}"
        )
    if others:
        yield (
            f"{told['measure']} also stands in {' and '.join(others)}; the slope given is that "
            "where these are zero."
        )
    if told["score_reliability"] is not None:
        yield (
            f"Slopes in SD of score use its SD without error, {cell(told['sd_score'])} (observed "
            f"{cell(told['sd_score_observed'])}, reliability {cell(told['score_reliability'])})."
        )
    if told["score_unreliable"]:
        yield f"No slope corrected for error: {told['score_unreliable']}"
    if told.get("without_low") is not None and (told["clustered"] or told["average"]):
        yield (
            f"Left out one at a time, {'clusters' if told['clustered'] else 'units'} move the "
            f"coefficient of {told['measure']} between {cell(told['without_low'])} (without "
            f"{told['without_low_cluster']}) and {cell(told['without_high'])} (without "
            f"{told['without_high_cluster']})."
        )
    smallest = told["smallest_slope"]
    if smallest is not None:
        size = f"{smallest:g} SD per {told['per_label']}"
        p_value = cell(told["equivalence_p"], "p_value")
        test = f"(two one-sided tests, p {p_value})"
        beyond = f"(its {100 * (2 * told['level'] - 1):g} % interval lies beyond)"
        matters = "the smallest of interest"
        said = {
            "equivalent": f"Slopes of {size} or more, {matters}, are ruled out {test}",
            "larger": f"The slope is further from zero than {matters}, {size} {beyond}",
            "undecided": f"Slopes of {size}, {matters}, cannot be ruled out {test}",
        }[told["equivalence"]]
        yield f"{said}; this sample would find {cell(told['detectable'])} in four of five cases."
    if told["robustness_value"] is None:
        yield "No robustness value: the classical fit leaves one degree of freedom."
        return
    yield (
        f"A variable left out would take the slope to zero if it explained "
        f"{100 * told['robustness_value']:.1f} % of what remains of both outcome and measure "
        "(robustness value; classical, without clusters)."
    )
