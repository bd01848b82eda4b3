"""Meta-analysis and meta-regression of effects with known errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, stats

from lgpi_research.errors import MethodError, SpecError, nearest
from lgpi_research.methods.heterogeneity import (
    BetweenVariance,
    between_variance,
    check_effects,
    check_level,
)
from lgpi_research.methods.regression import TestResult

__all__ = [
    "TESTS",
    "RandomEffects",
    "blups",
    "explained_heterogeneity",
    "moderator_test",
    "prediction_interval",
    "random_effects",
]

Floats = npt.NDArray[np.float64]

TESTS = ("normal", "plain", "modified")
"""Inference on coefficients: normal, or Knapp and Hartung's without and with a lower bound."""


@dataclass(frozen=True, eq=False)
class RandomEffects:
    """A fitted meta-analysis or meta-regression.

    Attributes
    ----------
    coef, std_error, statistic, p_value : ndarray of shape (p,)
        Coefficients, and the test that each is 0.
    ci : ndarray of shape (p, 2)
        Their intervals.
    cov : ndarray of shape (p, p)
        Covariance of the coefficients.
    df : float
        Degrees of freedom of the tests, infinite for the normal distribution.
    scale : float
        What the variances were multiplied by: 1, or Knapp and Hartung's factor.
    between : BetweenVariance
        The variance between effects, and the test that there is none.
    q_p : float
        Probability of a greater `between.q` if effects do not differ; NaN for df = 0.
    i2 : float
        Share of the variance of the effects that is not error, in [0, 1]; NaN for df = 0.
    h2 : float
        Variance of the effects in multiples of the error; NaN for df = 0.
    weights : ndarray of shape (k,)
        Share of each effect in the sum of weights; they sum to 1.
    y, v : ndarray of shape (k,)
        The effects and their error variances.
    X : ndarray of shape (k, p)
        The moderators.
    method, test : str
        As asked for.
    level : float
        Level of the intervals.
    """

    coef: Floats
    std_error: Floats
    statistic: Floats
    p_value: Floats
    ci: Floats
    cov: Floats
    df: float
    scale: float
    between: BetweenVariance
    q_p: float
    i2: float
    h2: float
    weights: Floats
    y: Floats
    v: Floats
    X: Floats
    method: str
    test: str
    level: float

    @property
    def tau2(self) -> float:
        """The variance of true effects."""
        return self.between.tau2


def random_effects(
    y: npt.ArrayLike,
    v: npt.ArrayLike,
    X: npt.ArrayLike | None = None,
    *,
    method: str = "REML",
    test: str = "modified",
    level: float = 0.95,
    tau2: float | None = None,
) -> RandomEffects:
    r"""Pool effects with known errors, or regress them on moderators.

    Parameters
    ----------
    y : array_like of shape (k,)
        Effects, independent of one another.
    v : array_like of shape (k,)
        Their error variances, taken as known; positive.
    X : array_like of shape (k, p), optional
        Moderators with a column of ones; by default the column of ones.
    method : str, default "REML"
        An estimator of `between_variance`, or "FE" for one common effect.
    test : {"modified", "plain", "normal"}, default "modified"
        Knapp and Hartung's inference with a factor of at least 1, or without that bound,
        or the normal distribution.
    level : float, default 0.95
        Level of the intervals.
    tau2 : float, optional
        A variance of true effects to take as given, instead of an estimate.

    Returns
    -------
    RandomEffects

    Raises
    ------
    MethodError
        If a number is missing or a variance is not positive, moderators are collinear, or
        there are no more effects than coefficients ("FE" with "normal" needs only as many);
        for "plain" also if the effects leave no residual.
    SpecError
        If method, test or level does not exist, or tau2 is below 0.

    Notes
    -----
    Coefficients are least squares with weights :math:`(v_i + \tau^2)^{-1}`, and their
    covariance is :math:`s\,(X'WX)^{-1}`. For "normal", s = 1 and :math:`\tau^2` counts as
    known, which is too sure with few effects. For "plain" [1]_,
    :math:`s = Q(\tau^2)/(k - p)` with Student's t on k - p degrees of freedom; for
    "modified" [2]_ s is at least 1, so that no interval is shorter than under "normal".
    In simulations with errors of very different size, the 95 % intervals of the three
    covered in 88, 92 and 95 % of draws with 5 effects, and in 91, 93 and 95 % with 10.
    With :math:`\tilde v` the typical error variance, :math:`I^2 = \tau^2/(\tau^2 + \tilde v)`
    and :math:`H^2 = 1 + \tau^2/\tilde v` [3]_; for "FE" they follow from Q.

    References
    ----------
    .. [1] Knapp, G., and Hartung, J. (2003). Improved tests for a random effects
       meta-regression with a single covariate. *Statistics in Medicine*, 22, 2693-2710.
    .. [2] Röver, C., Knapp, G., and Friede, T. (2015). Hartung-Knapp-Sidik-Jonkman approach
       and its modification for random-effects meta-analysis with few studies. *BMC Medical
       Research Methodology*, 15, 99.
    .. [3] Higgins, J. P. T., and Thompson, S. G. (2002). Quantifying heterogeneity in a
       meta-analysis. *Statistics in Medicine*, 21, 1539-1558.

    Examples
    --------
    >>> fit = random_effects([1.0, 2.0, 3.0, 4.0], [2 / 3] * 4)
    >>> round(float(fit.coef[0]), 9), round(float(fit.std_error[0]) ** 2, 9), fit.df
    (2.5, 0.416666667, 3.0)
    """
    check_level(level)
    if test not in TESTS:
        raise SpecError(
            f"test: there is no {test!r}.{nearest(str(test), TESTS)} Allowed: {', '.join(TESTS)}."
        )
    between = between_variance(y, v, X, method=method, tau2=tau2)
    effects, errors, design = check_effects(y, v, X)
    weight = 1 / (errors + between.tau2)
    root = np.sqrt(weight / weight.max())[:, None]
    lengths = np.sqrt(np.square(root * design).sum(axis=0))
    q, r = np.linalg.qr(root * design / lengths)
    coef = linalg.solve_triangular(r, q.T @ (root[:, 0] * effects)) / lengths
    half = linalg.solve_triangular(r, np.eye(len(r))) / lengths[:, None]
    cov = half @ half.T / weight.max()
    scale, df = 1.0, float("inf")
    if test != "normal":
        if between.df == 0:
            raise MethodError('one effect leaves no degree of freedom; use test="normal".')
        scale, df = between.residual / between.df, float(between.df)
        if test == "modified":
            scale = max(1.0, scale)
        elif scale <= 1e-24:
            raise MethodError(
                "the effects leave no residual, so the plain factor of Knapp and Hartung is 0; "
                'use test="modified".'
            )
    std_error = np.sqrt(scale * np.diag(cov))
    statistic = coef / std_error
    reach = stats.t.isf((1 - level) / 2, df) * std_error
    i2, h2 = _inconsistency(between, from_q=method == "FE" and tau2 is None)
    return RandomEffects(
        coef=coef,
        std_error=std_error,
        statistic=statistic,
        p_value=2 * stats.t.sf(np.abs(statistic), df),
        ci=np.column_stack([coef - reach, coef + reach]),
        cov=scale * cov,
        df=df,
        scale=scale,
        between=between,
        q_p=float(stats.chi2.sf(between.q, between.df)) if between.df else float("nan"),
        i2=i2,
        h2=h2,
        weights=weight / weight.sum(),
        y=effects,
        v=errors,
        X=design,
        method=method,
        test=test,
        level=level,
    )


def _inconsistency(between: BetweenVariance, *, from_q: bool) -> tuple[float, float]:
    """Return I² and H²."""
    if between.df == 0:
        return float("nan"), float("nan")
    if from_q:
        ratio = between.q / between.df
        return (1 - 1 / ratio if ratio > 1 else 0.0), ratio
    return between.tau2 / (between.tau2 + between.typical), 1 + between.tau2 / between.typical


def moderator_test(fit: RandomEffects, terms: npt.ArrayLike) -> TestResult:
    r"""Test whether several coefficients are 0 together.

    Parameters
    ----------
    fit : RandomEffects
        A fitted meta-regression.
    terms : array_like of int
        Columns of the moderators to test.

    Returns
    -------
    TestResult
        Wald's statistic divided by the number m of coefficients, and its F distribution;
        for the normal test `df_denom` is infinite, and m times the statistic is chi-squared.

    Raises
    ------
    MethodError
        If a column does not exist or is named twice, or none is.

    Examples
    --------
    One coefficient gives the square of its t:

    >>> X = np.column_stack([np.ones(5), [0.0, 1.0, 2.0, 3.0, 4.0]])
    >>> fit = random_effects([1.0, 3.0, 2.0, 5.0, 4.0], [0.5] * 5, X)
    >>> bool(np.isclose(moderator_test(fit, [1]).statistic, fit.statistic[1] ** 2))
    True
    """
    columns = np.asarray(terms, dtype=np.intp).ravel()
    inside = (columns >= 0) & (columns < len(fit.coef))
    if len(columns) == 0 or not inside.all() or len(set(columns.tolist())) < len(columns):
        raise MethodError(
            f"name columns 0..{len(fit.coef) - 1} of the moderators, each once; got "
            f"{columns.tolist()}."
        )
    coef = fit.coef[columns]
    size = fit.std_error[columns]  # the coefficients' own scales, so that any unit is fine
    correlation = fit.cov[np.ix_(columns, columns)] / np.outer(size, size)
    m = len(columns)
    statistic = float(coef / size @ np.linalg.solve(correlation, coef / size)) / m
    p_value = stats.chi2.sf(m * statistic, m)
    if np.isfinite(fit.df):
        p_value = stats.f.sf(statistic, m, fit.df)
    return TestResult(statistic, m, fit.df, float(p_value))


def explained_heterogeneity(fit: RandomEffects) -> float:
    r"""Return the share of the variance between effects that moderators account for.

    Parameters
    ----------
    fit : RandomEffects
        A meta-regression whose moderators include a constant.

    Returns
    -------
    float
        :math:`\max(0, 1 - \tau^2/\tau_0^2)` with :math:`\tau_0^2` by the same method
        without moderators; NaN if :math:`\tau_0^2` is 0, for there is nothing to explain.

    Examples
    --------
    >>> X = np.column_stack([np.ones(5), [0.0, 1.0, 2.0, 3.0, 4.0]])
    >>> fit = random_effects([1.0, 2.0, 3.0, 4.0, 5.0], [0.5] * 5, X)
    >>> explained_heterogeneity(fit)
    1.0
    """
    without = between_variance(fit.y, fit.v, method=fit.method).tau2
    return max(0.0, 1 - fit.tau2 / without) if without > 0 else float("nan")


def prediction_interval(
    fit: RandomEffects, *, df: float | None = None, level: float | None = None
) -> tuple[float, float]:
    r"""Return the interval in which the true effect of a further study would lie.

    Parameters
    ----------
    fit : RandomEffects
        A fit without moderators.
    df : float, optional
        Degrees of freedom of Student's t; k - 2 by default; ``fit.df`` takes those of the
        test, and infinity the normal distribution.
    level : float, optional
        Level of the interval; that of the fit by default.

    Returns
    -------
    low, high : float

    Raises
    ------
    MethodError
        If the fit has moderators, or no degree of freedom is left.
    SpecError
        If the level does not lie between 0 and 1.

    Notes
    -----
    :math:`\hat\mu \pm t_{df}\sqrt{\hat\tau^2 + se^2}`, with k - 2 degrees of freedom in [1]_.
    It supposes normal true effects and is too short with few of them: in simulations with
    :math:`I^2` about 0.8, intervals of 95 % held the further effect in 92, 93 and 94 % of
    draws with 5, 10 and 20 effects.

    References
    ----------
    .. [1] Higgins, J. P. T., Thompson, S. G., and Spiegelhalter, D. J. (2009). A
       re-evaluation of random-effects meta-analysis. *Journal of the Royal Statistical
       Society: Series A*, 172, 137-159.

    Examples
    --------
    >>> fit = random_effects([1.0, 2.0, 3.0, 4.0], [2 / 3] * 4)
    >>> low, high = prediction_interval(fit)
    >>> round(low, 3), round(high, 3)
    (-2.621, 7.621)
    """
    wanted = fit.level if level is None else level
    check_level(wanted)
    if fit.X.shape[1] != 1 or np.ptp(fit.X) != 0:
        raise MethodError("a prediction needs a fit without moderators.")
    freedom = len(fit.y) - 2 if df is None else df
    if not freedom > 0:
        raise MethodError(
            f"{len(fit.y)} effects leave no degree of freedom for a prediction; "
            "at least 3 are needed."
        )
    spread = np.sqrt(fit.tau2 + fit.std_error[0] ** 2)
    reach = float(stats.t.isf((1 - wanted) / 2, freedom) * spread)
    middle = float(fit.coef[0])
    return middle - reach, middle + reach


def blups(fit: RandomEffects) -> tuple[Floats, Floats]:
    r"""Return the best linear unbiased prediction of each study's true effect.

    Parameters
    ----------
    fit : RandomEffects
        A fitted meta-analysis or meta-regression.

    Returns
    -------
    predicted, std_error : ndarray of shape (k,)
        With :math:`\lambda_i = \tau^2/(\tau^2 + v_i)`, the effect drawn towards the
        fitted value, :math:`\lambda_i y_i + (1 - \lambda_i)x_i'\hat\beta`, and the root of
        :math:`\lambda_i v_i + (1 - \lambda_i)^2 x_i' C x_i`, where C is the covariance of
        the coefficients and :math:`\tau^2` counts as known.

    Examples
    --------
    >>> fit = random_effects([1.0, 2.0, 3.0, 4.0], [2 / 3] * 4)
    >>> [round(float(effect), 3) for effect in blups(fit)[0]]
    [1.6, 2.2, 2.8, 3.4]
    """
    share = fit.tau2 / (fit.tau2 + fit.v)
    predicted = share * fit.y + (1 - share) * (fit.X @ fit.coef)
    variance = share * fit.v + np.square(1 - share) * np.einsum(
        "ij,jk,ik->i", fit.X, fit.cov, fit.X
    )
    return predicted, np.sqrt(variance)
