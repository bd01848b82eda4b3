"""Measures of fit from a test statistic and that of the model without relations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

__all__ = ["FitMeasures", "Scaled", "Test", "measure_fit", "standardised_residual"]

Floats = npt.NDArray[np.float64]
_NAN = float("nan")


@dataclass(frozen=True)
class Test:
    """A statistic that follows chi-squared if the model holds.

    Attributes
    ----------
    statistic : float
    df : int
    scaling : float
        What the unscaled statistic was divided by; 1 for an unscaled one.
    """

    __test__ = False  # no test of pytest

    statistic: float
    df: int
    scaling: float = 1.0

    @property
    def p_value(self) -> float:
        """Chance of so large a statistic if the model holds; NaN without freedom."""
        return float(stats.chi2.sf(self.statistic, self.df)) if self.df > 0 else _NAN


@dataclass(frozen=True)
class Scaled:
    """Measures of a statistic corrected for answers that are not normal.

    Attributes
    ----------
    test, baseline : Test
        Of the model, and of the model without relations.
    cfi, tli, rmsea : float
        From the corrected statistics as they are.
    cfi_robust, tli_robust, rmsea_robust : float
        Estimates of what normal answers would show (Brosseau-Liard and Savalei 2014);
        NaN for ordered items.
    """

    test: Test
    baseline: Test
    cfi: float
    tli: float
    rmsea: float
    cfi_robust: float = _NAN
    tli_robust: float = _NAN
    rmsea_robust: float = _NAN


@dataclass(frozen=True)
class FitMeasures:
    """How well a model fits.

    Attributes
    ----------
    test, baseline : Test
        Of the model, and of the model without relations between variables.
    cfi, tli : float
        Comparative fit index and Tucker-Lewis index.
    rmsea, rmsea_low, rmsea_high : float
        Root mean square error of approximation and its 90 % limits.
    rmsea_close : float
        p-value of an RMSEA of at most 0.05.
    srmr : float
        Standardised root mean square residual.
    log_likelihood, aic, bic : float
        NaN where no likelihood is maximised.
    n_free : int
        Free parameters.
    scaled : Scaled or None
        The same with a corrected statistic.
    """

    test: Test
    baseline: Test
    cfi: float
    tli: float
    rmsea: float
    rmsea_low: float
    rmsea_high: float
    rmsea_close: float
    srmr: float
    log_likelihood: float
    aic: float
    bic: float
    n_free: int
    scaled: Scaled | None = None


def measure_fit(
    test: Test,
    baseline: Test,
    *,
    n: int,
    n_rmsea: int,
    groups: int,
    n_free: int,
    srmr: float,
    log_likelihood: float = _NAN,
    scaled: tuple[Test, Test] | None = None,
    robust: bool = True,
) -> FitMeasures:
    r"""Return the measures of fit of a test.

    Parameters
    ----------
    test, baseline : Test
        Of the model, and of the model without relations.
    n, n_rmsea : int
        Respondents, and the number that RMSEA takes for it.
    groups, n_free : int
        Numbers of groups and of free parameters.
    srmr, log_likelihood : float
        Passed on.
    scaled : tuple of Test, optional
        Both tests corrected.
    robust : bool, default True
        Whether robust measures are defined for the correction.

    Returns
    -------
    FitMeasures

    Notes
    -----
    CFI is :math:`1 - \max(X - d, 0)/\max(X - d, X_0 - d_0, 0)`, TLI
    :math:`(X_0/d_0 - X/d)/(X_0/d_0 - 1)`, RMSEA
    :math:`\sqrt{G \max(X - d, 0)/(dn)}`; its limits are the noncentralities at which X is
    the 95th and the 5th percentile (Steiger 1990).

    Examples
    --------
    >>> found = measure_fit(Test(85.306, 24), Test(918.852, 36), n=301, n_rmsea=301,
    ...                     groups=1, n_free=21, srmr=0.065)
    >>> [round(x, 3) for x in (found.cfi, found.tli, found.rmsea, found.rmsea_low)]
    [0.931, 0.896, 0.092, 0.071]
    """
    cfi, tli, rmsea = _indices(test, baseline, n_rmsea, groups)
    low, high = _limits(test, n_rmsea, groups)
    close = _NAN
    if test.df > 0:
        allowed = n_rmsea * test.df * 0.05**2 / groups
        close = float(stats.ncx2.sf(test.statistic, test.df, allowed))
    more: Scaled | None = None
    if scaled is not None:
        indices = _indices(*scaled, n_rmsea, groups)
        corrected = (_NAN, _NAN, _NAN)
        if robust:
            excess = [
                Test(raw.statistic - raw.df * (other.scaling - 1), raw.df)
                for raw, other in zip((test, baseline), scaled, strict=True)
            ]
            corrected = _indices(excess[0], excess[1], n_rmsea, groups)
        more = Scaled(*scaled, *indices, *corrected)
    return FitMeasures(
        test,
        baseline,
        cfi,
        tli,
        rmsea,
        low,
        high,
        close,
        srmr,
        log_likelihood,
        -2 * log_likelihood + 2 * n_free,
        -2 * log_likelihood + n_free * float(np.log(n)),
        n_free,
        more,
    )


def _indices(test: Test, baseline: Test, n: int, groups: int) -> tuple[float, float, float]:
    excess = test.statistic - test.df
    worst = baseline.statistic - baseline.df
    top = max(excess, worst, 0.0)
    cfi = 1 - max(excess, 0.0) / top if top > 0 else 1.0
    if test.df == 0:
        return cfi, 1.0, 0.0
    tli = 1 - excess * baseline.df / (worst * test.df) if worst * test.df != 0 else _NAN
    return cfi, tli, float(np.sqrt(groups * max(excess, 0.0) / (test.df * n)))


def _limits(test: Test, n: int, groups: int) -> tuple[float, float]:
    """Return the 90 % limits of RMSEA."""
    if test.df == 0:
        return 0.0, 0.0

    def limit(level: float) -> float:
        if stats.chi2.cdf(test.statistic, test.df) < level:
            return 0.0
        gap: Callable[[float], float] = lambda size: (  # noqa: E731
            float(stats.ncx2.cdf(test.statistic, test.df, size)) - level
        )
        top = max(test.statistic, 10.0)
        while gap(top) > 0:
            top *= 2
        found = optimize.brentq(gap, 1e-12, top, xtol=1e-12, rtol=1e-13)
        return float(np.sqrt(groups * found / (n * test.df)))

    return limit(0.95), limit(0.05)


def standardised_residual(
    observed: tuple[Floats, Floats], implied: tuple[Floats, Floats], *, means: bool
) -> float:
    """Return the standardised root mean square residual of one group (Bentler 1995).

    Parameters
    ----------
    observed, implied : tuple of ndarray of shape (p, p) and (p,)
        Covariances and means.
    means : bool
        Whether the means count.

    Returns
    -------
    float
    """
    scale = np.sqrt(np.diag(observed[0]))
    apart = (observed[0] - implied[0]) / np.outer(scale, scale)
    lower = apart[np.tril_indices(len(scale))]
    if means:
        lower = np.concatenate([lower, (observed[1] - implied[1]) / scale])
    return float(np.sqrt(np.mean(np.square(lower))))
