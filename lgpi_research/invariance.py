"""Measurement invariance: whether items measure the same in every group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from lgpi_research.errors import MethodError, SpecError, listing, nearest
from lgpi_research.invariance_plots import draw_changes, draw_means
from lgpi_research.invariance_steps import (
    DOUBT,
    FAILS,
    GUIDES,
    LEVELS,
    MANY_GROUPS,
    compare_steps,
    largest_releases,
    latent_means,
    loose_factors,
)
from lgpi_research.latent_answers import ModelAnswers, check_groups, model_answers
from lgpi_research.methods.latent.fit import fit_model
from lgpi_research.methods.latent.solution import LatentFit
from lgpi_research.methods.latent.syntax import parse_model
from lgpi_research.results import Result, provenance
from lgpi_research.survey import Survey

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Invariance", "assess_invariance"]

STEPS = tuple(LEVELS)
ESTIMATORS = ("ML", "MLR")
MISSING = ("listwise", "fiml")
PLOTS = ("changes", "means")


@dataclass(frozen=True, eq=False, repr=False)
class Invariance(Result, kind="invariance"):
    """Models of several groups with more and more held equal.

    ``frame`` has one row a step: ``step`` ("configural": the same model; "metric": equal
    loadings; "scalar": equal intercepts too; "residual": equal residual variances too),
    ``chi_squared``, ``df``, ``p_value``, ``cfi``, ``rmsea``, ``srmr``; against the step before
    ``difference`` (χ²), ``difference_df``, ``difference_p``, ``change_cfi``, ``change_rmsea``
    and ``change_srmr``; and the ``verdict``: "holds", "in doubt", "fails", or "cannot be
    judged" of a model without degrees of freedom. `latent_means` and `releases` have the rest;
    ``details`` the guides.
    """

    def headline(self) -> str:
        """Return whether the groups may be compared on means, in plain words."""
        told = self.details
        verdicts = dict(zip(self.frame["step"], self.frame["verdict"], strict=True))
        many = f"The {len(told['groups'])} groups"
        factors = listing(told["factors"], 6)
        free = f" (free: {listing(told['partial'], 6)})" if told["partial"] else ""
        if verdicts["configural"] == FAILS:
            return (
                f"{many} may not be compared: the model of {factors} does not fit even where "
                "nothing is held equal."
            )
        if "metric" in verdicts and verdicts["metric"] == FAILS:
            return (
                f"{many} may be compared on {factors} neither in means nor in relations: equal "
                f"loadings{free} do not fit."
            )
        if "scalar" not in verdicts:
            return (
                f"Nothing is known of whether {many.lower()} may be compared on means of "
                f"{factors}: equal intercepts were not tried."
            )
        if verdicts["scalar"] == FAILS:
            return (
                f"{many} may not be compared on means of {factors}: equal intercepts{free} do not "
                "fit. Variances and relations may be compared, as loadings are alike."
            )
        if told["loose"]:
            return (
                f"{many} may not be compared on means of {listing(told['loose'], 6)}: fewer than "
                f"two items of each are held equal{free}."
            )
        doubted = [step for step in ("configural", "metric", "scalar") if verdicts[step] == DOUBT]
        if doubted:
            return (
                f"{many} may be compared on means of {factors}{free} only with caution: "
                f"{listing(doubted)} invariance is in doubt by the guides."
            )
        if told["partial"]:
            return (
                f"{many} may be compared on latent means of {factors} under partial invariance"
                f"{free}; not on sums of answers, which hold the items that differ."
            )
        return (
            f"{many} may be compared on means of {factors}: equal loadings and intercepts fit "
            "by the guides."
        )

    def summary(self) -> pd.DataFrame:
        """Return fit, changes and verdict of each step."""
        columns = ["step", "chi_squared", "df", "cfi", "rmsea", "srmr", "change_cfi"]
        return self.frame[[*columns, "change_rmsea", "change_srmr", "difference_p", "verdict"]]

    def latent_means(self) -> pd.DataFrame:
        """Return means of factors under scalar invariance, one row a factor and group.

        ``estimate`` is in standard deviations of the factor in the first group, whose mean is
        0; ``std_deviation`` is that of the group in the same unit. Empty without that step.
        """
        columns = ["factor", "group", "estimate", "std_error", "ci_low", "ci_high"]
        table = pd.DataFrame(self.details["latent_means"], columns=[*columns, "std_deviation"])
        return table.astype(dict.fromkeys([*columns[2:], "std_deviation"], float))

    def releases(self, step: str | None = None) -> pd.DataFrame:
        """Return the equalities whose release would help most, for partial invariance.

        Parameters
        ----------
        step : {"metric", "scalar", "residual"}, optional
            All if None.

        Returns
        -------
        DataFrame
            ``step``, ``parameter`` (to be given to `assess_invariance` in ``partial``),
            ``group`` in which it would differ, ``index`` (expected fall of χ², not scaled),
            ``p_value`` and expected ``change``. Empty after FIML.

        Raises
        ------
        SpecError
            If the step was not taken.
        """
        columns = ["step", "parameter", "group", "index", "p_value", "change"]
        table = pd.DataFrame(self.details["releases"], columns=columns)
        if step is None:
            return table
        taken = self.frame["step"].tolist()[1:]
        if step not in taken:
            raise SpecError(f"step: no {step!r}.{nearest(step, taken)} Known: {listing(taken)}.")
        return table[table["step"] == step].reset_index(drop=True)

    def methods_text(self) -> str:
        """Return what was done and how it was judged, with citation keys."""
        told = self.details
        robust = told["estimator"] == "MLR"
        how = (
            "by maximum likelihood with robust errors and scaled tests [@YuanBentler2000]; "
            "differences of tests were scaled [@SatorraBentler2001]"
            if robust
            else "by maximum likelihood [@Joreskog1969]"
        )
        if told["guides"] == "many":
            guides = "guides for many groups [@RutkowskiSvetina2014]"
        else:
            guides = "guides for few groups [@Chen2007]"
        text = (
            f"The same factor model was fitted in {len(told['groups'])} groups {how}, with "
            f"{listing(told['steps'])} held equal step by step [@Meredith1993]. Changes of CFI and "
            f"RMSEA{', in their robust forms,' * (told['form'] == '_robust')} were judged by "
            f"{guides}."
        )
        if told["partial"]:
            text += (
                f" Under partial invariance [@Byrne1989], {listing(told['partial'], 10)} could "
                "differ."
            )
        return text

    def plot(
        self, ax: Axes | None = None, *, kind: str | None = None, factor: str | None = None
    ) -> Axes:
        """Draw latent means of the groups, or changes of fit, and return the axes.

        Parameters
        ----------
        ax : Axes or None
            Where to draw; new axes if None.
        kind : {"means", "changes"}, optional
            Latent means with their intervals; or each change of fit as a share of what its
            guide allows. None: means where equal intercepts do not fail.
        factor : str, optional
            Of which means are drawn; all if None.

        Raises
        ------
        SpecError
            If there is no such kind or factor, or intercepts were not held equal.
        """
        verdicts = dict(zip(self.frame["step"], self.frame["verdict"], strict=True))
        if kind is None:
            kind = "means" if verdicts.get("scalar", FAILS) != FAILS else "changes"
        if kind not in PLOTS:
            raise SpecError(
                f"kind: must be {' or '.join(PLOTS)}, got {kind!r}.{nearest(kind, PLOTS)}"
            )
        told = self.details
        if kind == "changes":
            return draw_changes(ax, self.frame, GUIDES[told["guides"]])
        if factor is not None and factor not in told["factors"]:
            raise SpecError(f"factor: no {factor!r}.{nearest(factor, told['factors'])}")
        table = self.latent_means()
        if table.empty:
            raise SpecError("latent means need the step 'intercepts'.")
        return draw_means(ax, table, told["factors"] if factor is None else [factor], told["level"])


def assess_invariance(
    data: Survey | pd.DataFrame,
    by: str | pd.Series,
    model: str | None = None,
    *,
    steps: Sequence[str] = ("loadings", "intercepts", "residuals"),
    partial: Sequence[str] = (),
    ordered: bool = False,
    estimator: str = "MLR",
    missing: str = "listwise",
    clusters: str | pd.Series | None = None,
    level: float = 0.95,
) -> Invariance:
    """Fit a factor model to several groups, with more and more of it held equal.

    Parameters
    ----------
    data : Survey or DataFrame
        As in `lgpi_research.measurement.fit_measurement_model`.
    by : str or Series
        Column, or labels, of groups. The first, in the order of their names, is the one whose
        factors have mean 0 and variance 1.
    model : str, optional
        Lines such as ``voice =~ q1 + q2 + q3``; of a Survey, None is a factor for each
        dimension of three reflective items or more.
    steps : sequence of str, default ("loadings", "intercepts", "residuals")
        What is held equal, one after the other; the first of these, in this order.
    partial : sequence of str
        Parameters that may differ all the same: a loading as ``"voice =~ q2"``, an intercept
        as ``"q2 ~1"``, a residual variance as ``"q2 ~~ q2"``. An item whose loading may differ
        should have a free intercept as well. Two items of a factor must stay equal for its
        means to be compared.
    ordered : bool, default False
        Equal thresholds of ordered items are not supported; True is refused.
    estimator : {"MLR", "ML"}, default "MLR"
        With robust errors and tests, or without.
    missing : {"listwise", "fiml"}, default "listwise"
        Respondents who answered everything, or the likelihood of all that was answered.
    clusters : str or Series, optional
        Of a DataFrame, column or labels of clusters. Those of a Survey are its PSUs.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    Invariance

    Raises
    ------
    SpecError
        If the model or an option cannot be understood, the model has regressions, or there is
        one group.
    DataError
        If a column is not numeric, or respondents lack a cluster or all lack a group.
    MethodError
        If a step is not identified or did not converge, or the answers of a group do not
        suffice; and if items are ordered.

    Notes
    -----
    A step fails if CFI falls beyond its guide, RMSEA or SRMR rises beyond its own, and the
    test of the difference has p at most 0.05. It is in doubt if CFI alone is beyond its guide,
    or the test does not tell the fall from chance, or RMSEA or SRMR alone is beyond and the
    test rejects. Guides for few groups are a change of CFI of
    -0.010, of RMSEA of 0.015, and of SRMR of 0.030 for loadings and 0.010 after [1]_; from
    10 groups on, -0.020 and 0.030 for loadings and -0.010 and 0.010 after, without SRMR [2]_.
    For residuals of many groups those of intercepts are taken. The model without equalities
    fails with a CFI below 0.90 and an RMSEA above 0.08 (or SRMR). These are conventions, found
    in simulations of other models than yours; the tests of differences, which reject small
    differences in large samples, stand beside them. CFI and RMSEA are robust ones where they
    are known.

    References
    ----------
    .. [1] Chen, F. F. (2007). Sensitivity of goodness of fit indexes to lack of measurement
       invariance. *Structural Equation Modeling*, 14, 464-504.
    .. [2] Rutkowski, L., and Svetina, D. (2014). Assessing the hypothesis of measurement
       invariance in the context of large-scale international surveys. *Educational and
       Psychological Measurement*, 74, 31-57.

    Examples
    --------
    >>> from lgpi_research.simulate import simulate_survey
    >>> table = simulate_survey(n_places=8, n_items=4, points=None, seed=0).survey.frame
    >>> half = pd.Series(["one", "other"] * (len(table) // 2))
    >>> found = assess_invariance(table, half, "voice =~ q1 + q2 + q3 + q4")
    >>> found.frame[["step", "df", "verdict"]]
             step  df verdict
    0  configural   4   holds
    1      metric   7   holds
    2      scalar  10   holds
    3    residual  14   holds
    """
    _check(steps, ordered, estimator, missing, level)
    if clusters is not None and estimator != "MLR":
        raise SpecError("clusters need estimator='MLR'.")
    given = model_answers(data, model, by=by, clusters=clusters)
    if len(given.levels) < 2:
        raise SpecError(f"by: all respondents are of the group {given.levels[0]!r}; give several.")
    check_groups(given, missing)
    syntax = parse_model(given.model)
    if any(statement.op == "~" for statement in syntax.statements):
        raise SpecError(
            "invariance is that of measurement: leave regressions (~) out of the model."
        )
    robust = estimator == "MLR"
    notes = [*given.notes, *(() if robust else _clustered(given))]
    fits: dict[str, LatentFit] = {}
    for count in range(len(steps) + 1):
        name = LEVELS[steps[count - 1]] if count else "configural"
        equal = list(steps[:count])
        try:
            fits[name] = fit_model(
                given.model,
                given.values,
                given.names,
                groups=given.groups,
                clusters=given.clusters if robust else None,
                estimator=estimator,
                missing=missing,
                equal=equal,
                partial=partial if count else (),
                means=True,
                unit_factors=True,
            )
        except MethodError as error:
            raise MethodError(f"{name} step: {given.named(str(error))}") from None
    kind = "many" if len(given.levels) >= MANY_GROUPS else "few"
    frame, form, more = compare_steps(fits, kind)
    lost = len(given.values) - sum(fits["configural"].n)
    if lost:
        why = "they answered nothing" if missing == "fiml" else "an answer is missing"
        notes.append(f"{lost} of {len(given.values)} respondents left out because {why}.")
    notes += more
    for name, fit in fits.items():
        notes += [f"{name} step: {given.named(text)}" for text in fit.improper]
    told: dict[str, Any] = {
        "model": given.model,
        "factors": list(syntax.latents),
        "groups": list(given.levels),
        "n_groups": dict(zip(given.levels, fits["configural"].n, strict=True)),
        "steps": list(steps),
        "partial": list(partial),
        "loose": loose_factors(syntax, partial),
        "estimator": estimator,
        "missing": missing,
        "level": level,
        "form": form,
        "guides": kind,
        "limits": GUIDES[kind],
        "n_used": sum(fits["configural"].n),
        "n_dropped": given.n_given - sum(fits["configural"].n),
        "releases": largest_releases(fits, given) if missing == "listwise" else [],
        "latent_means": latent_means(fits["scalar"], given, level) if "scalar" in fits else [],
    }
    specification = {
        key: told[key]
        for key in ("model", "groups", "steps", "partial", "estimator", "missing", "level")
    }
    return Invariance(
        frame,
        provenance(specification=specification, data={"answers": given.digest}),
        tuple(notes),
        details=told,
    )


def _check(steps: Sequence[str], ordered: bool, estimator: str, missing: str, level: float) -> None:
    if ordered:
        raise MethodError(
            "ordered=True: equal thresholds of ordered items, which come before equal loadings, "
            "are not supported, and no other step stands for them. With five categories or more "
            "the models of ordered=False are a usual approximation."
        )
    if not steps or tuple(steps) != STEPS[: len(steps)]:
        raise SpecError(
            f"steps: must be the first of {listing(map(repr, STEPS))} in this order, got "
            f"{list(steps)!r}."
        )
    for name, value, allowed in (
        ("estimator", estimator, ESTIMATORS),
        ("missing", missing, MISSING),
    ):
        if value not in allowed:
            hint = nearest(str(value), allowed)
            raise SpecError(f"{name}: must be {' or '.join(allowed)}, got {value!r}.{hint}")
    if not 0 < level < 1:
        raise SpecError(f"level must lie between 0 and 1, got {level!r}.")


def _clustered(given: ModelAnswers) -> list[str]:
    if given.clusters is None:
        return []
    return [
        "Respondents were drawn in clusters, which these errors and tests pass over; "
        "estimator='MLR' allows for them."
    ]
