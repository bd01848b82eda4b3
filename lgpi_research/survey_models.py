"""Regressions in a population, estimated from a survey of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research import plots
from lgpi_research.blocks import digest
from lgpi_research.errors import MethodError, SpecError, listing, nearest
from lgpi_research.formula import design as design_table
from lgpi_research.formula import parse_formula
from lgpi_research.methods.survey_regression import FAMILIES, weighted_regression
from lgpi_research.results import Result, provenance
from lgpi_research.survey import Survey

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SurveyRegression", "regress_survey"]


@dataclass(frozen=True, eq=False, repr=False)
class SurveyRegression(Result, kind="survey_regression"):
    """A regression in a population, estimated from a survey of it.

    ``frame`` has one row for each coefficient: ``term``, ``estimate``, ``std_error``,
    ``ci_low``, ``ci_high``, ``t``, ``p_value``, ``df``, ``n_used`` and ``n_dropped``.
    """

    def headline(self) -> str:
        """Return what was regressed on how many respondents."""
        told = self.details
        return (
            f"{told['family'].capitalize()} regression {told['formula']} on "
            f"{self.frame['n_used'].iloc[0]:,} respondents in {told['n_psu']:,} PSUs."
        )

    def summary(self) -> pd.DataFrame:
        """Return each coefficient with its error, interval and p-value."""
        return self.frame[["term", "estimate", "std_error", "ci_low", "ci_high", "p_value"]]

    def methods_text(self) -> str:
        """Return what was estimated and how, with citation keys."""
        told = self.details
        how = {"linear": "least squares", "logistic": "logistic regression"}[told["family"]]
        return (
            f"{told['formula']} was estimated by weighted {how}; standard errors come from Taylor "
            "linearisation over all stages [@Binder1983; @Sarndal1992], and tests and "
            f"{100 * told['level']:g} % intervals from t with {self.frame['df'].iloc[0]} degrees "
            "of freedom: PSUs less strata plus 1 less coefficients."
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw each coefficient but the intercept with its interval, and return the axes."""
        rows = self.frame[self.frame["term"] != "intercept"]
        rows = rows if len(rows) else self.frame
        ax = plots.new_axes(ax, (6.8, 1.4 + 0.34 * len(rows)))
        middle, low, high = (rows[c].to_numpy(float) for c in ("estimate", "ci_low", "ci_high"))
        plots.intervals(ax, rows["term"].tolist(), middle, low, high)
        ax.axvline(0, color=plots.COLOURS["text"], linewidth=0.8)
        unit = "log odds" if self.details["family"] == "logistic" else "slope"
        return plots.describe(ax, self.details["formula"], unit)


def regress_survey(
    survey: Survey,
    formula: str,
    family: str = "linear",
    *,
    domain: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> SurveyRegression:
    """Estimate a regression in the population, with errors that the design implies.

    Parameters
    ----------
    survey : Survey
        Answers and design.
    formula : str
        As `lgpi_research.formula.parse_formula` reads it, without effects to absorb. Items are
        as the codebook says; other columns of the table as they are.
    family : {"linear", "logistic"}, default "linear"
        Least squares, or the log odds of an outcome from 0 to 1.
    domain : array_like of bool of shape (n_respondents,), optional
        Respondents that the regression is of; the others stay in the design. Functions and
        categories of the formula are those of the domain.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    SurveyRegression

    Raises
    ------
    SpecError
        If the formula or an option is wrong.
    DataError
        If a column holds what the formula cannot use.
    MethodError
        As `lgpi_research.methods.survey_regression.weighted_regression`; and if fewer PSUs than
        coefficients leave no degree of freedom.

    Examples
    --------
    >>> from lgpi_research.codebook import Codebook, Indicator
    >>> from lgpi_research.survey import SurveyDesign
    >>> table = pd.DataFrame({"village": [1, 1, 2, 2, 3, 3], "q1": [1, 2, 4, 3, 5, 3],
    ...                       "age": [20, 30, 40, 35, 60, 50]})
    >>> survey = Survey(table, Codebook((Indicator("q1"),)), SurveyDesign(psu="village"))
    >>> regress_survey(survey, "q1 ~ age").frame[["term", "estimate", "df"]].round(3)
            term  estimate  df
    0  intercept    -0.453   1
    1        age     0.088   1
    """
    if family not in FAMILIES:
        raise SpecError(
            f"family must be {' or '.join(FAMILIES)}, got {family!r}."
            f"{nearest(str(family), FAMILIES)}"
        )
    parsed = parse_formula(formula)
    if parsed.absorb:
        raise SpecError(
            f"formula: effects to absorb ({listing(parsed.absorb)}) are for panels; write them as "
            "C(…) among the terms."
        )
    table = survey.frame.copy()
    table[list(survey.codebook.names)] = survey.values
    design = survey.linear_design()
    rows = np.ones(len(table), dtype=bool) if domain is None else np.asarray(domain, dtype=bool)
    if rows.shape != (len(table),):
        raise SpecError(
            f"domain: one entry for each of {len(table)} respondents, got {rows.shape}."
        )
    # Categories and gaps are those of the domain, which need not have every category.
    inside = np.flatnonzero(rows & (design.weights > 0))
    made = design_table(parsed, table.iloc[inside])
    y, x = np.full(len(table), np.nan), np.full((len(table), made.X.shape[1]), np.nan)
    y[inside[made.used]], x[inside[made.used]] = made.y, made.X
    fit = weighted_regression(y, x, design, family=family, names=made.names, domain=rows)
    if fit.df_resid < 1:
        raise MethodError(
            f"{len(fit.coef)} coefficients leave no degree of freedom: PSUs less strata are "
            f"{fit.df_resid + len(fit.coef) - 1}. Use a shorter formula."
        )
    low, high = fit.interval(level)
    frame = pd.DataFrame(
        {
            "term": list(fit.names),
            "estimate": fit.coef,
            "std_error": fit.std_error,
            "ci_low": low,
            "ci_high": high,
            "t": fit.t,
            "p_value": fit.p_value,
            "df": fit.df_resid,
            "n_used": fit.n_used,
            "n_dropped": fit.n_dropped,
        }
    )
    dropped = [f"{name}: {count:,} respondents lack it." for name, count in made.dropped.items()]
    told = {"formula": formula, "family": family, "level": level}
    return SurveyRegression(
        frame,
        provenance(
            specification=told,
            data={"survey": survey.digest, "table": digest(y, x, rows)},
        ),
        (*survey.notes, *dropped),
        details={**told, "n_psu": design.n_psu, "n_strata": design.n_strata},
    )
