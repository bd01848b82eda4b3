"""What a fitted model holds: estimates with errors, defined parameters, fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.errors import MethodError
from lgpi_research.methods.latent.fit_measures import FitMeasures
from lgpi_research.methods.latent.model import State
from lgpi_research.methods.latent.standardise import standardised
from lgpi_research.methods.latent.table import ParameterTable

__all__ = ["Comparison", "LatentFit", "compare_fits", "solution"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LatentFit:
    """A fitted model.

    Attributes
    ----------
    table : ParameterTable
        Its parameters. Estimates follow its rows, then its definitions.
    estimates, std_errors, z, p_values : ndarray of shape (rows + definitions,)
        Standard errors are 0, and z and p NaN, where a parameter is fixed.
    std_lv, std_all : ndarray of shape (rows + definitions,)
        Estimates with factors, and with all variables, at variance 1.
    theta, covariance : ndarray of shape (q,) and (q, q)
        Free parameters and the covariances of their errors.
    information : ndarray of shape (q, q)
        Expected, for one respondent.
    states : tuple of State
        Matrices of each group.
    moments : tuple of (ndarray, ndarray)
        Covariances and means of each group without restrictions.
    measures : FitMeasures
        Fit.
    n : tuple of int
        Respondents of each group.
    estimator : str
        How it was fitted.
    steps : int
        Iterations.
    improper : tuple of str
        Negative variances (Heywood cases) and correlations beyond 1, in words; the
        estimates should not be interpreted if there are any.
    """

    table: ParameterTable
    estimates: Floats
    std_errors: Floats
    z: Floats
    p_values: Floats
    std_lv: Floats
    std_all: Floats
    theta: Floats
    covariance: Floats
    information: Floats
    states: tuple[State, ...]
    moments: tuple[tuple[Floats, Floats], ...]
    measures: FitMeasures
    n: tuple[int, ...]
    estimator: str
    steps: int
    improper: tuple[str, ...]

    def value(self, name: str, group: int = 1) -> float:
        """Return the estimate of a parameter, by its name (``"f =~ x2"``) or definition."""
        for number, row in enumerate(self.table.rows):
            if row.name == " ".join(name.split()) and row.group == group:
                return float(self.estimates[number])
        names = [definition.name for definition in self.table.definitions]
        if name in names:
            return float(self.estimates[len(self.table.rows) + names.index(name)])
        raise MethodError(f"the model has no parameter {name!r} in group {group}.")


def solution(
    table: ParameterTable,
    theta: Floats,
    covariance: Floats,
    information: Floats,
    states: Sequence[State],
    moments: Sequence[tuple[Floats, Floats]],
    measures: FitMeasures,
    n: Sequence[int],
    estimator: str,
    steps: int,
) -> LatentFit:
    """Return estimates of all rows and definitions, with the delta method for the latter."""
    free = table.free_rows()
    fixed = np.array([row.value for row in table.rows])
    own = np.where(free >= 0, theta[free] if len(theta) else 0.0, fixed)
    slopes = np.where((free >= 0)[:, None], np.eye(len(theta))[free], 0.0)
    values, errors = _defined(table, own, slopes, covariance)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(errors > 0, values / errors, np.nan)
    scaled = [
        _defined(
            table,
            standardised(table, own, states, everything=everything),
            slopes,
            covariance,
        )[0]
        for everything in (False, True)
    ]
    return LatentFit(
        table,
        values,
        errors,
        z,
        2 * stats.norm.sf(np.abs(z)),
        scaled[0],
        scaled[1],
        theta,
        covariance,
        information,
        tuple(states),
        tuple(moments),
        measures,
        tuple(n),
        estimator,
        steps,
        tuple(_improper(table, own, states)),
    )


def _defined(
    table: ParameterTable, own: Floats, slopes: Floats, covariance: Floats
) -> tuple[Floats, Floats]:
    """Return values and standard errors of rows and definitions."""
    known = {
        row.label: (float(own[i]), slopes[i])
        for i, row in reversed(list(enumerate(table.rows)))  # the first of several counts
        if row.label and not row.label.startswith(".")
    }
    values, gradients = list(own), list(slopes)
    for definition in table.definitions:
        value, slope = definition.expression.evaluate(known)
        slope = np.broadcast_to(slope, (covariance.shape[0],))
        known[definition.name] = (value, slope)
        values.append(value)
        gradients.append(slope)
    stack = np.array(gradients).reshape(len(values), covariance.shape[0])
    variances = (stack @ covariance * stack).sum(axis=1)
    return np.array(values, dtype=float), np.sqrt(np.fmax(variances, 0.0))


def _improper(table: ParameterTable, own: Floats, states: Sequence[State]) -> list[str]:
    found = []
    names = (*table.observed, *table.latent)
    order = {name: i for i, name in enumerate(names)}
    for value, row in zip(own, table.rows, strict=True):
        place = "" if table.n_groups == 1 else f" in group {row.group}"
        if row.op != "~~":
            continue
        if row.lhs == row.rhs and value < 0:
            found.append(f"Heywood case: the variance {row.name} is {value:.3g}{place}.")
        elif row.lhs != row.rhs:
            s = states[row.group - 1].residuals
            i, j = order[row.lhs], order[row.rhs]
            if 0 < s[i, i] * s[j, j] < value**2:
                found.append(
                    f"{row.name} is a correlation of "
                    f"{value / np.sqrt(s[i, i] * s[j, j]):.3g}{place}."
                )
    if table.ordered:
        for group, state in enumerate(states, 1):
            place = "" if table.n_groups == 1 else f" in group {group}"
            for i, name in enumerate(table.observed):
                if state.residuals[i, i] < 0:
                    found.append(
                        f"Heywood case: the residual variance of {name} is "
                        f"{state.residuals[i, i]:.3g}{place}."
                    )
    return found


@dataclass(frozen=True)
class Comparison:
    """A test of restrictions: a model against one that contains it.

    Attributes
    ----------
    statistic : float
    df : int
    p_value : float
    change_cfi, change_rmsea : float
        Restricted model less the freer one.
    """

    statistic: float
    df: int
    p_value: float
    change_cfi: float
    change_rmsea: float


def compare_fits(freer: LatentFit, restricted: LatentFit) -> Comparison:
    r"""Test the restrictions of a model against a freer one by the likelihood ratio.

    Parameters
    ----------
    freer, restricted : LatentFit
        Of the same answers; the second is a special case of the first.

    Returns
    -------
    Comparison
        With scaled statistics (MLR), the difference is scaled by
        :math:`(d_0 c_0 - d_1 c_1)/(d_0 - d_1)` (Satorra and Bentler 2001).

    Raises
    ------
    MethodError
        If the first is not freer, the samples differ, the scale of the difference is not
        positive, or items are ordered, where differences need another correction.
    """
    if freer.n != restricted.n or freer.estimator != restricted.estimator:
        raise MethodError("both models must be fitted to the same answers in the same manner.")
    if freer.estimator == "WLSMV":
        raise MethodError("statistics of ordered items cannot be subtracted from each other.")
    one, other = freer.measures, restricted.measures
    df = other.test.df - one.test.df
    if df <= 0:
        raise MethodError(
            f"the restricted model has {other.test.df} degrees of freedom and the freer one "
            f"{one.test.df}: exchange them, or they are not nested."
        )
    statistic = other.test.statistic - one.test.statistic
    if one.scaled is not None and other.scaled is not None:
        weights = (other.test.df * other.scaled.test.scaling, one.test.df * one.scaled.test.scaling)
        scale = (weights[0] - weights[1]) / df
        if scale <= 0:
            raise MethodError(f"the scale of the difference is {scale:.3g}, so it has no test.")
        statistic /= scale
    return Comparison(
        statistic,
        df,
        float(stats.chi2.sf(statistic, df)),
        other.cfi - one.cfi,
        other.rmsea - one.rmsea,
    )
