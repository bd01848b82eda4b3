"""Measurement models: what items measure, how well, and whether the model fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research.errors import SpecError, listing, nearest
from lgpi_research.latent_answers import ModelAnswers, check_groups, model_answers
from lgpi_research.measurement_plots import draw_loadings, draw_paths
from lgpi_research.measurement_tables import composite_rows, modification_rows, parameter_frame
from lgpi_research.methods.latent.composite import composites
from lgpi_research.methods.latent.dwls import OrderedFit, fit_ordered
from lgpi_research.methods.latent.fit import fit_model
from lgpi_research.methods.latent.solution import LatentFit
from lgpi_research.model_fit import best_measure, measures_of
from lgpi_research.results import Result, provenance
from lgpi_research.survey import Survey

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MeasurementModel", "fit_measurement_model"]

Floats = npt.NDArray[np.float64]

ESTIMATORS = ("ML", "MLR", "WLSMV")
MISSING = ("listwise", "fiml")
PLOTS = ("loadings", "path")

_MANY_DROPPED = 0.05  # share of respondents left out from which it is said what to do


@dataclass(frozen=True, eq=False, repr=False)
class MeasurementModel(Result, kind="measurement model"):
    """A factor or structural equation model of answers.

    ``frame`` has one row a parameter of a group: ``lhs``, ``op``, ``rhs`` as in the model,
    ``group`` (name, "" if there is one), ``estimate``, ``std_error``, ``z``, ``p_value``,
    ``ci_low``, ``ci_high`` (missing where a parameter is fixed), ``std_all`` with
    ``std_all_error`` (all variables at variance 1). Defined parameters (``:=``) and thresholds
    (``|``) follow. ``details`` has the measures of fit, the composites, the largest
    modification indices, ``n_used`` and ``n_dropped``.
    """

    def headline(self) -> str:
        """Return how well the model fits, in a sentence."""
        told = self.details
        fit = told["measures"]
        factors = told["factors"]
        names = {"cfi": "CFI", "rmsea": "RMSEA", "srmr": "SRMR"}
        parts = [f"{shown} {best_measure(fit, name):.3f}" for name, shown in names.items()]
        whole = f"χ²({fit['df']}) = {best_measure(fit, 'chi_squared'):.1f}"
        of = f"{len(factors)} factor{'s' * (len(factors) != 1)} ({listing(factors, 6)})"
        groups = f" in {len(told['groups'])} groups" if told["groups"] else ""
        improper = (
            " The solution is improper and should not be interpreted." if told["improper"] else ""
        )
        return (
            f"A model of {of}{groups}, fitted to {told['n_used']:,} respondents by "
            f"{told['estimator']}: {whole}, {', '.join(parts)}.{improper}"
        )

    def summary(self) -> pd.DataFrame:
        """Return loadings, regressions and covariances of factors."""
        table, factors = self.frame, self.details["factors"]
        between = (table["op"] == "~~") & (table["lhs"] != table["rhs"])
        wanted = table["op"].isin(["=~", "~", ":="]) | (between & table["lhs"].isin(factors))
        columns = ["lhs", "op", "rhs", "estimate", "std_error", "ci_low", "ci_high", "std_all"]
        if self.details["groups"]:
            columns.insert(3, "group")
        return table.loc[wanted, columns].reset_index(drop=True)

    def fit_measures(self) -> pd.DataFrame:
        """Return the measures of fit, one a row."""
        measures = self.details["measures"]
        return pd.DataFrame({"measure": list(measures), "value": list(measures.values())}).astype(
            {"value": float}
        )

    def reliability(self) -> pd.DataFrame:
        """Return composite reliability and average variance extracted of each factor.

        ``composite_reliability`` is the share of the variance of the sum of the factor's items
        that the factor explains; ``average_variance`` the mean share of one item's. After
        WLSMV both are of the variables behind the answers, not of the answers.
        """
        table = pd.DataFrame(self.details["reliability"])
        return table.astype({"composite_reliability": float, "average_variance": float})

    def modifications(self) -> pd.DataFrame:
        """Return the largest modification indices: what would help most if it were freed.

        ``index`` is the expected fall of χ² and ``change`` that of the parameter. Empty after
        FIML and WLSMV.
        """
        columns = ["lhs", "op", "rhs", "group", "index", "p_value", "change"]
        return pd.DataFrame(self.details["modifications"], columns=columns)

    def methods_text(self) -> str:
        """Return what was estimated and how, with citation keys."""
        told = self.details
        how = {
            "ML": "maximum likelihood [@Joreskog1969]",
            "MLR": "maximum likelihood with robust standard errors and a scaled test "
            "[@YuanBentler2000]",
            "WLSMV": "diagonally weighted least squares on polychoric correlations [@Olsson1979] "
            "with a scaled and shifted test [@AsparouhovMuthen2010]",
        }[told["estimator"]]
        lost = (
            "all answers given were used (full-information likelihood), which asks that others "
            "are missing at random"
            if told["missing"] == "fiml"
            else "respondents with a missing answer were left out"
        )
        text = f"The model was fitted by {how}; {lost}."
        if told["clusters"]:
            text += (
                f" Standard errors and test allow for {told['clusters']:,} clusters of respondents."
            )
        return (
            f"{text} Fit is judged by CFI, RMSEA and SRMR [@HuBentler1999]; composite reliability "
            "and average variance extracted are computed from the solution [@FornellLarcker1981]."
        )

    def plot(
        self, ax: Axes | None = None, *, kind: str = "loadings", group: str | None = None
    ) -> Axes:
        """Draw the standardised solution, and return the axes.

        Parameters
        ----------
        ax : Axes or None
            Where to draw; new axes if None.
        kind : {"loadings", "path"}, default "loadings"
            Loadings with their intervals, or a path diagram.
        group : str or None
            Which group; the first if None.

        Raises
        ------
        SpecError
            If there is no such kind or group.
        """
        if kind not in PLOTS:
            raise SpecError(
                f"kind: must be {' or '.join(PLOTS)}, got {kind!r}.{nearest(kind, PLOTS)}"
            )
        groups = self.details["groups"] or [""]
        chosen = groups[0] if group is None else str(group)
        if chosen not in groups:
            raise SpecError(f"group: no {chosen!r}.{nearest(chosen, groups)}")
        table = self.frame[self.frame["group"] == chosen]
        if kind == "loadings":
            return draw_loadings(ax, table, self.details["level"], chosen)
        return draw_paths(ax, table, self.details["factors"], chosen)


def fit_measurement_model(
    data: Survey | pd.DataFrame,
    model: str | None = None,
    *,
    estimator: str = "MLR",
    missing: str = "listwise",
    by: str | pd.Series | None = None,
    clusters: str | pd.Series | None = None,
    equal: Sequence[str] = (),
    partial: Sequence[str] = (),
    unit_factors: bool = False,
    level: float = 0.95,
) -> MeasurementModel:
    """Fit a factor or structural equation model to answers.

    Parameters
    ----------
    data : Survey or DataFrame
        Items of a Survey with the direction "negative" are turned round within their scale; by
        their sign alone where the codebook has no scale. A DataFrame is taken as it is.
    model : str, optional
        Lines such as ``voice =~ q1 + q2 + q3``, ``trust ~ voice``, ``q1 ~~ q2``,
        ``a := b * c``; see `lgpi_research.methods.latent.syntax.parse_model`. Of a Survey,
        None is one factor for each dimension of three reflective items or more. It may name
        numeric columns besides the items.
    estimator : {"MLR", "ML", "WLSMV"}, default "MLR"
        Maximum likelihood with robust errors and test, or without; or, for ordered answers of
        few categories, weighted least squares on polychoric correlations.
    missing : {"listwise", "fiml"}, default "listwise"
        Respondents who answered everything, or the likelihood of all that was answered.
    by : str or Series, optional
        Column, or labels, of groups; the model is fitted in each.
    clusters : str or Series, optional
        Of a DataFrame, column or labels of clusters. Those of a Survey are its PSUs.
    equal, partial : sequence of str
        What is the same in all groups ("loadings", "intercepts", "residuals", "means",
        "regressions"), and parameters that may differ all the same, as ``"voice =~ q2"``.
    unit_factors : bool, default False
        Fix variances of factors at 1, not their first loading.
    level : float, default 0.95
        Level of the intervals, which are normal ones.

    Returns
    -------
    MeasurementModel

    Raises
    ------
    SpecError
        If the model or an option cannot be understood.
    DataError
        If a column is not numeric, or respondents lack a cluster or all lack a group.
    MethodError
        If the model is not identified (with the parameters), did not converge, or the answers
        do not suffice.

    Notes
    -----
    Formulas and assumptions are those of `lgpi_research.methods.latent.fit.fit_model` and
    `lgpi_research.methods.latent.dwls.fit_ordered`. Weights and strata of a design are not
    used, and clusters only by MLR; notes say so.

    Examples
    --------
    >>> from lgpi_research.simulate import simulate_survey
    >>> table = simulate_survey(n_places=5, n_items=4, points=None, seed=0).survey.frame
    >>> found = fit_measurement_model(table, "voice =~ q1 + q2 + q3 + q4")
    >>> found.frame.loc[:3, ["lhs", "op", "rhs", "std_all"]].round(2)
         lhs  op rhs  std_all
    0  voice  =~  q1     0.74
    1  voice  =~  q2     0.73
    2  voice  =~  q3     0.78
    3  voice  =~  q4     0.61
    """
    for name, value, allowed in (
        ("estimator", estimator, ESTIMATORS),
        ("missing", missing, MISSING),
    ):
        if value not in allowed:
            hint = nearest(str(value), allowed)
            raise SpecError(f"{name}: must be {' or '.join(allowed)}, got {value!r}.{hint}")
    if not 0 < level < 1:
        raise SpecError(f"level must lie between 0 and 1, got {level!r}.")
    if estimator == "WLSMV" and missing == "fiml":
        raise SpecError("missing='fiml' is for ML and MLR; WLSMV takes complete respondents.")
    if clusters is not None and estimator != "MLR":
        raise SpecError("clusters need estimator='MLR'.")
    given = model_answers(data, model, by=by, clusters=clusters)
    check_groups(given, missing)
    choices: dict[str, Any] = {"equal": equal, "partial": partial, "unit_factors": unit_factors}
    robust = estimator == "MLR"
    ordered: OrderedFit | None = None
    if estimator == "WLSMV":
        ordered = fit_ordered(
            given.model, given.values, given.names, groups=given.groups, **choices
        )
        fit = ordered.fit
    else:
        fit = fit_model(
            given.model,
            given.values,
            given.names,
            groups=given.groups,
            clusters=given.clusters if robust else None,
            estimator=estimator,
            missing=missing,
            **choices,
        )
    frame = parameter_frame(fit, ordered, given, level)
    n_clusters = 0
    if robust and given.clusters is not None:
        n_clusters = len(np.unique(given.clusters))
    told: dict[str, Any] = {
        "model": given.model,
        "estimator": estimator,
        "missing": missing,
        "level": level,
        "equal": list(equal),
        "partial": list(partial),
        "unit_factors": unit_factors,
        "factors": list(fit.table.latent),
        "groups": list(given.levels),
        "clusters": n_clusters,
        "n_used": sum(fit.n),
        "n_dropped": given.n_given - sum(fit.n),
        "n_groups": dict(zip(given.levels, fit.n, strict=False)),
        "measures": measures_of(fit.measures),
        "improper": [given.named(text) for text in fit.improper],
        "reliability": composite_rows(fit, given),
        "modifications": modification_rows(fit, given) if missing == "listwise" else [],
    }
    specification = {
        key: told[key]
        for key in ("model", "estimator", "missing", "equal", "partial", "unit_factors", "level")
    } | {"groups": told["groups"]}
    return MeasurementModel(
        frame,
        provenance(specification=specification, data={"answers": given.digest}),
        (*given.notes, *_notes(fit, given, told)),
        details=told,
    )


def _notes(fit: LatentFit, given: ModelAnswers, told: dict[str, Any]) -> list[str]:
    """Return what a reader must know of the solution."""
    notes = []
    n, lost = len(given.values), len(given.values) - sum(fit.n)
    if lost:
        fiml = told["missing"] == "fiml"
        why = "they answered nothing" if fiml else "an answer is missing"
        more = ""
        if not fiml and lost > _MANY_DROPPED * n and told["estimator"] != "WLSMV":
            more = " missing='fiml' would use what they answered."
        notes.append(f"{lost} of {n} respondents left out because {why}.{more}")
    notes += told["improper"]
    if fit.measures.test.df == 0:
        notes.append("The model has no degrees of freedom: it fits whatever the answers are.")
    if given.clusters is not None and told["estimator"] != "MLR":
        notes.append(
            "Respondents were drawn in clusters, which these errors and this test pass over; "
            "estimator='MLR' allows for them."
        )
    if 0 < told["clusters"] <= fit.table.n_free:
        notes.append(
            f"{told['clusters']} clusters are few for {fit.table.n_free} free parameters: robust "
            "errors and the scaled test are not to be trusted."
        )
    names = given.levels or ("",)
    for one in composites(fit):
        if one.opposed:
            place = f" in group {names[one.group - 1]}" if given.levels else ""
            notes.append(
                f"{one.factor}: {listing(one.opposed)} load{'s' * (len(one.opposed) == 1)} against "
                f"the other items{place}, so the reliability of their sum is low; turn them."
            )
    return notes
