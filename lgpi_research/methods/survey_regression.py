"""Regression on a complex sample: weighted least squares and logistic, linearised errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from lgpi_research.errors import MethodError, SpecError, listing, nearest
from lgpi_research.methods.design import Design, linearised_covariance
from lgpi_research.methods.estimates import rows_used, t_limits
from lgpi_research.methods.regression import TestResult, least_squares

__all__ = ["FAMILIES", "SurveyFit", "weighted_regression"]

FAMILIES = ("linear", "logistic")
"""What may be regressed: a number, or a share or event."""

Floats = npt.NDArray[np.float64]

_STEPS = 60  # Newton steps
_HALVINGS = 30  # of a step
_FLAT = 1e-11  # share of the likelihood that is rounding
_CLOSE = 1e-10  # change of the linear predictor, in logits, from which the fit is reached


@dataclass(frozen=True, eq=False)
class SurveyFit:
    """A regression on a complex sample.

    Attributes
    ----------
    names : tuple of str, length p
        Names of the coefficients.
    coef : ndarray of shape (p,)
        Coefficients; of a logistic regression, log odds ratios.
    cov : ndarray of shape (p, p)
        Linearised covariance.
    df_resid : int
        PSUs less strata among the rows used, plus 1, less p. Below 1 there is no t
        distribution, and intervals and p-values are NaN.
    family : {"linear", "logistic"}
        Kind of regression.
    n_used, n_dropped : int
        Rows with a positive weight that were used; that lack a value.
    """

    names: tuple[str, ...]
    coef: Floats
    cov: Floats
    df_resid: int
    family: str
    n_used: int
    n_dropped: int

    @property
    def std_error(self) -> Floats:
        """Standard errors, shape (p,)."""
        errors: Floats = np.sqrt(np.diagonal(self.cov))
        return errors

    @property
    def t(self) -> Floats:
        """Coefficients over their standard errors, shape (p,)."""
        return self.coef / self.std_error

    @property
    def p_value(self) -> Floats:
        """Two-sided p-values of t, shape (p,)."""
        df = self.df_resid if self.df_resid > 0 else np.nan
        return np.asarray(2 * stats.t.sf(np.abs(self.t), df))

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Return the limits of t intervals, each of shape (p,)."""
        return t_limits(self.coef, self.std_error, self.df_resid, level)

    def wald(self, which: Sequence[str]) -> TestResult:
        r"""Test whether several coefficients are all 0.

        Parameters
        ----------
        which : sequence of str
            Names of the coefficients.

        Returns
        -------
        TestResult
            :math:`F = b'V^{-1}b/q` with q and `df_resid` degrees of freedom.

        Raises
        ------
        SpecError
            If no coefficient is named, or one that there is not.
        MethodError
            If there are too few PSUs for so many coefficients.
        """
        wrong = [name for name in which if name not in self.names]
        if wrong or not which:
            hint = nearest(wrong[0], self.names) if wrong else ""
            raise SpecError(
                f"no coefficient {listing(wrong) or 'is named'}.{hint} There are: "
                f"{listing(self.names, 12)}."
            )
        at = [self.names.index(name) for name in dict.fromkeys(which)]
        cov, q = self.cov[np.ix_(at, at)], len(at)
        if self.df_resid < 1 or np.linalg.matrix_rank(cov) < q:
            raise MethodError(
                f"{q} coefficients cannot be tested together with {self.df_resid} degrees of "
                "freedom: there are too few PSUs. Test fewer at a time, or shorten the formula."
            )
        value = float(self.coef[at] @ np.linalg.solve(cov, self.coef[at]) / q)
        return TestResult(
            value, q, float(self.df_resid), float(stats.f.sf(value, q, self.df_resid))
        )


def weighted_regression(
    y: npt.ArrayLike,
    X: npt.ArrayLike,
    design: Design,
    *,
    family: str = "linear",
    names: Sequence[str] | None = None,
    domain: npt.ArrayLike | None = None,
) -> SurveyFit:
    r"""Fit a weighted regression with design-based errors.

    Parameters
    ----------
    y : array_like of shape (n,)
        Outcome, of a logistic regression between 0 and 1; NaN is a missing value.
    X : array_like of shape (n, p)
        Regressors, with a column of ones for an intercept; NaN is a missing value. Rows
        that lack one stay in the design, and add nothing.
    design : Design
        How rows were drawn.
    family : {"linear", "logistic"}, default "linear"
        Least squares, or the log odds of the outcome.
    names : sequence of str, optional
        Names of the regressors; x1, x2, … by default.
    domain : array_like of bool of shape (n,), optional
        Rows that the regression is of; the others stay in the design.

    Returns
    -------
    SurveyFit

    Raises
    ------
    SpecError
        If `family` is unknown.
    MethodError
        If shapes differ, no row has all values, regressors are collinear (each is named), an
        outcome of a logistic regression lies outside 0 to 1 or does not vary, regressors
        separate the outcome (they are named) or the fit does not converge, or a stratum has one
        PSU and the design says to fail.

    Notes
    -----
    Coefficients solve :math:`\sum w\,x\,(y - \mu) = 0`, with :math:`\mu = x'\beta` or
    :math:`1/(1 + e^{-x'\beta})`: they estimate what the same regression on the whole
    population would give, whether or not its model holds. Scores are
    :math:`A^{-1} w\,x\,(y - \mu)` with :math:`A = \sum w\,v\,x x'` and v 1 or
    :math:`\mu(1 - \mu)`, and their covariance is that of `linearised_covariance` [1]_. With p
    coefficients t has :math:`\text{PSUs} - \text{strata} + 1 - p` degrees of freedom.

    Newton's steps end when no linear predictor moves by 1e-10. If regressors predict some
    outcomes perfectly, coefficients grow without bound: each step still moves predictors by
    about 1 when the likelihood has reached its limit. That is separation, and has no answer.

    References
    ----------
    .. [1] Binder, D. A. (1983). On the variances of asymptotically normal estimators from
       complex surveys. *International Statistical Review*, 51, 279-292.

    Examples
    --------
    >>> design = Design.from_labels(6, stages=[[1, 1, 2, 2, 3, 3]])
    >>> x = np.column_stack([np.ones(6), [0, 1, 2, 3, 4, 5]])
    >>> fit = weighted_regression([1, 3, 2, 5, 4, 6], x, design, names=["intercept", "x"])
    >>> fit.coef.round(3), fit.df_resid
    (array([1.286, 0.886]), 1)
    """
    if family not in FAMILIES:
        raise SpecError(
            f"family must be {' or '.join(FAMILIES)}, got {family!r}.{nearest(family, FAMILIES)}"
        )
    outcome, table = np.asarray(y, dtype=float), np.asarray(X, dtype=float)
    if outcome.ndim != 1 or table.ndim != 2 or len(table) != len(outcome):
        raise MethodError(f"outcome {outcome.shape} and regressors {table.shape} do not match.")
    labels = tuple(names or (f"x{j + 1}" for j in range(table.shape[1])))
    present = ~(np.isnan(outcome) | np.isnan(table).any(axis=1))
    inside, used = rows_used(present[:, None], design, domain)
    rows = used[:, 0]
    if not rows.any():
        raise MethodError("no row of the domain has the outcome and every regressor.")
    w, target, x = design.weights[rows], outcome[rows], table[rows]
    weights = w / w.mean()
    fit = least_squares(target, x, weights=weights, names=labels)
    coef, bread, residuals = fit.coef, fit.bread, fit.residuals
    if family == "logistic":
        coef, bread, residuals = _logistic(target, x, weights, labels)
    scores = np.zeros_like(table)
    scores[rows] = (weights * residuals)[:, None] * (x @ bread)
    n = int(rows.sum())
    return SurveyFit(
        labels,
        coef,
        linearised_covariance(scores, design, domain=rows),
        design.domain_df(rows) + 1 - len(coef),
        family,
        n,
        int(inside.sum()) - n,
    )


def _logistic(
    y: Floats, x: Floats, weights: Floats, names: tuple[str, ...]
) -> tuple[Floats, Floats, Floats]:
    """Return coefficients, inverse information and residuals of a weighted logistic fit."""
    outside = int(((y < 0) | (y > 1)).sum())
    if outside:
        raise MethodError(
            f"a logistic regression needs outcomes from 0 to 1; {outside} of {len(y)} lie outside. "
            "Recode the outcome, or use family='linear'."
        )
    if not 0 < float(weights @ y) < float(weights.sum()):
        raise MethodError(f"a logistic regression needs both outcomes; all {len(y)} are {y[0]:g}.")
    coef: Floats = np.zeros(x.shape[1])
    eta: Floats = np.zeros(len(y))
    likelihood = _likelihood(eta, y, weights)
    farthest = np.inf
    for _ in range(_STEPS):
        share = special.expit(eta)
        information = (x.T * (weights * share * (1 - share))) @ x
        try:
            gradient = x.T @ (weights * (y - share))
            step = np.asarray(np.linalg.solve(information, gradient), dtype=np.float64)
        except np.linalg.LinAlgError:
            break
        move = x @ step
        # A step that overshoots is halved; near the optimum rounding alone may lower it.
        slack = _FLAT * (1.0 + abs(likelihood))
        new = _likelihood(eta + move, y, weights)
        for _ in range(_HALVINGS):
            if new >= likelihood - slack:
                break
            step, move = step / 2, move / 2
            new = _likelihood(eta + move, y, weights)
        farthest = float(np.abs(move).max())
        gain, likelihood = new - likelihood, new
        coef, eta = coef + step, eta + move
        if farthest < _CLOSE:
            share = special.expit(eta)
            information = (x.T * (weights * share * (1 - share))) @ x
            return coef, np.asarray(np.linalg.inv(information), dtype=np.float64), y - share
        # The likelihood has its limit and predictors still move: they have none.
        if gain < slack and farthest > 0.1:
            moved = np.abs(step) * np.ptp(x, axis=0)
            guilty = [name for name, far in zip(names, moved, strict=True) if far > 0.1]
            raise MethodError(
                "the logistic regression has no answer: "
                f"{listing(guilty or names)} predict some outcomes perfectly (separation), so "
                "that coefficients grow without bound. Leave such a regressor out, or join its "
                "categories."
            )
    raise MethodError(
        f"the logistic regression did not converge in {_STEPS} steps: the last moved a linear "
        f"predictor by {farthest:.2g}. Rescale or leave out regressors."
    )


def _likelihood(eta: Floats, y: Floats, weights: Floats) -> float:
    return float(weights @ (y * eta - np.logaddexp(0.0, eta)))
