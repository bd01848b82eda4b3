"""Exploratory factors: extraction by minres, maximum likelihood and principal axes; fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from lgpi_research.errors import MethodError, SpecError, listing, nearest
from lgpi_research.methods.latent.checks import usable_correlation

__all__ = ["Extraction", "FactorFit", "extract_factors", "factor_fit"]

Floats = npt.NDArray[np.float64]

_MOST = 200  # Newton steps; regular cases take four to ten
_CLOSE = 1e-9  # largest slope at a solution
_HEYWOOD = 1e-5  # a uniqueness below this share of the item's variance is none
_AXES = 20_000  # steps of principal axes, each of which is cheap and small


@dataclass(frozen=True, eq=False)
class Extraction:
    """Unrotated factors of k items.

    Attributes
    ----------
    loadings : ndarray of shape (k, m)
        Of standardised items on uncorrelated factors, in order of the variance they
        explain; the sum of each column is positive.
    uniquenesses : ndarray of shape (k,)
        Share of each item's variance that the factors do not explain.
    iterations : int
        Steps taken.
    """

    loadings: Floats
    uniquenesses: Floats
    iterations: int


@dataclass(frozen=True)
class FactorFit:
    """How well m factors fit the correlations of n respondents.

    Attributes
    ----------
    discrepancy : float
        Of maximum likelihood.
    chi_square, df, p_value : float
        Test of m factors, with Bartlett's correction.
    rmsr : float
        Root mean square of the residual correlations.
    rmsea, rmsea_low, rmsea_high : float
        Root mean square error of approximation and its interval.
    tli : float
        Tucker and Lewis' index.
    bic : float
        Of the test against the saturated model: chi-square less df · log n.
    """

    discrepancy: float
    chi_square: float
    df: int
    p_value: float
    rmsr: float
    rmsea: float
    rmsea_low: float
    rmsea_high: float
    tli: float
    bic: float


def extract_factors(
    matrix: npt.ArrayLike,
    factors: int,
    *,
    method: str = "minres",
    tolerance: float | None = None,
) -> Extraction:
    r"""Extract m uncorrelated factors from a correlation matrix.

    Parameters
    ----------
    matrix : array_like of shape (k, k)
        Pearson or polychoric correlations, or covariances, which are standardised.
    factors : int
        Number m of factors; the model must have at least 0 degrees of freedom.
    method : {"minres", "ml", "principal_axis"}, default "minres"
        Smallest residual correlations, maximum likelihood, or repeated principal axes,
        whose limit is minres.
    tolerance : float, optional
        Of principal axes only: stop where a step changes the sum of the communalities by
        less. Default 1e-10; older programs use 1e-3.

    Returns
    -------
    Extraction

    Raises
    ------
    DataError
        If the matrix is not positive definite, or not a correlation matrix.
    SpecError
        If the method is unknown or there are more factors than the items can show.
    MethodError
        If the iterations do not end, or at a Heywood case, whose items are named.

    Notes
    -----
    The model is :math:`R = \Lambda\Lambda' + \Psi`. For given :math:`\Psi` the best
    loadings are known, so that only :math:`\Psi` is searched, by Newton steps with the exact
    second derivatives. With :math:`\lambda_j` the roots of :math:`R - \Psi` minres minimises
    :math:`\tfrac12\sum_{j>m}\lambda_j^2` [1]_; with :math:`\theta_j` those of
    :math:`\Psi^{-1/2}R\Psi^{-1/2}` maximum likelihood minimises
    :math:`\sum_{j>m}(\theta_j - \log\theta_j - 1)` over :math:`\log\Psi` [2]_.

    References
    ----------
    .. [1] Harman, H. H., and Jones, W. H. (1966). Factor analysis by minimizing
       residuals (minres). *Psychometrika*, 31, 351-368.
    .. [2] Jöreskog, K. G. (1967). Some contributions to maximum likelihood factor
       analysis. *Psychometrika*, 32, 443-482.

    Examples
    --------
    >>> truth = np.array([[8, 3], [7, 4], [6, 2], [5, -5], [6, -4], [7, -3]]) / 10
    >>> matrix = truth @ truth.T
    >>> np.fill_diagonal(matrix, 1)
    >>> extract_factors(matrix, 2, method="ml").uniquenesses.round(6)
    array([0.27, 0.35, 0.6 , 0.5 , 0.48, 0.42])
    """
    methods: dict[str, Callable[[Floats, int], tuple[Floats, Floats, int]]] = {
        "minres": _minres,
        "ml": _maximum_likelihood,
        "principal_axis": lambda r, m: _principal_axis(r, m, tolerance or 1e-10),
    }
    if method not in methods:
        raise SpecError(
            f"method must be one of {listing(map(repr, methods))}, got {method!r}."
            f"{nearest(str(method), methods)}"
        )
    whole = usable_correlation(matrix, least=3)
    k = len(whole)
    if factors < 1 or degrees_of_freedom(k, factors) < 0:
        most = max(m for m in range(k) if degrees_of_freedom(k, m) >= 0)
        raise SpecError(f"{k} items can show 1 to {most} factors, got {factors}.")
    loadings, unique, steps = methods[method](whole, factors)
    _name_heywood(unique)
    return Extraction(_signed(loadings), unique, steps)


def degrees_of_freedom(k: int, m: int) -> int:
    """Return the degrees of freedom of m factors of k items.

    Examples
    --------
    >>> degrees_of_freedom(10, 2)
    26
    """
    return ((k - m) ** 2 - k - m) // 2


def _signed(loadings: Floats) -> Floats:
    return np.asarray(loadings * np.where(loadings.sum(axis=0) < 0, -1.0, 1.0))


def _name_heywood(unique: Floats) -> None:
    """Raise the named error of items without a positive uniqueness."""
    bad = np.flatnonzero(unique <= _HEYWOOD)
    if len(bad):
        worst = ", ".join(f"item {i + 1} ({unique[i]:.3g})" for i in bad)
        raise MethodError(
            f"Heywood case: no positive uniqueness of {worst}. Extract fewer factors, look for an "
            "item that nearly repeats another, or for few respondents."
        )


def _start(matrix: Floats, m: int) -> Floats:
    """Return uniquenesses to begin with, after Jöreskog."""
    unique = (1 - m / (2 * len(matrix))) / np.diag(np.linalg.inv(matrix))
    return np.asarray(np.clip(unique, 0.05, 0.95))


def _newton(
    at: Floats,
    terms: Callable[[Floats], tuple[float, Floats, Floats]],
    uniqueness: Callable[[Floats], Floats],
) -> tuple[Floats, int]:
    """Minimise by Newton steps, on positive curvature only, halved until the value falls.

    `terms` returns value, slope and curvature. Ends early where a uniqueness is no longer
    positive, so that the caller can name it.
    """
    value, slope, curvature = terms(at)
    for taken in range(1, _MOST + 1):
        roots, axes = np.linalg.eigh(curvature)
        size = np.fmax(np.abs(roots), 1e-10 * np.abs(roots).max())
        step = -axes @ (axes.T @ slope / size)
        step *= min(1.0, 1.0 / max(float(np.abs(step).max()), 1e-300))
        for _ in range(40):
            there = terms(at + step)
            if there[0] <= value + 1e-14 * max(1.0, abs(value)):
                break
            step /= 2
        else:
            break
        at = at + step
        value, slope, curvature = there
        small = np.abs(slope).max() <= _CLOSE
        if (small and np.linalg.eigvalsh(curvature)[0] > 0) or uniqueness(at).min() <= _HEYWOOD:
            return at, taken
    raise MethodError(
        "the factors did not converge: no smallest discrepancy was found. Extract fewer factors; "
        "the correlations may not tell the last ones apart."
    )


def _cross(inner: Floats, outer: Floats, weights: Floats) -> Floats:
    """Return sums over pairs of axes j, l of w_jl u_ij u_kj v_il v_kl, shape (k, k)."""
    pairs = inner[:, None, :] * inner[None, :, :]
    others = outer[:, None, :] * outer[None, :, :]
    return np.asarray(np.einsum("ikj,jl,ikl->ik", pairs, weights, others, optimize=True))


def _minres(matrix: Floats, m: int) -> tuple[Floats, Floats, int]:
    def terms(unique: Floats) -> tuple[float, Floats, Floats]:
        roots, axes = np.linalg.eigh(matrix - np.diag(unique))
        small, large, rest, kept = roots[:-m], roots[-m:], axes[:, :-m], axes[:, -m:]
        slope = -np.square(rest) @ small
        weights = small[:, None] / np.fmin(small[:, None] - large, -1e-12)
        curvature = np.square(rest @ rest.T) + 2 * _cross(rest, kept, weights)
        return float(small @ small) / 2, slope, curvature

    unique, steps = _newton(_start(matrix, m), terms, lambda at: at)
    return _axes(matrix - np.diag(unique), m), unique, steps


def _maximum_likelihood(matrix: Floats, m: int) -> tuple[Floats, Floats, int]:
    def terms(logs: Floats) -> tuple[float, Floats, Floats]:
        scale = np.exp(-logs / 2)
        roots, axes = np.linalg.eigh(matrix * scale[:, None] * scale)
        small, large, rest, kept = roots[:-m], roots[-m:], axes[:, :-m], axes[:, -m:]
        slope = np.square(rest) @ (1 - small)
        weights = (small - 1)[:, None] * (small[:, None] + large)
        weights /= np.fmin(small[:, None] - large, -1e-12)
        curvature = (rest @ rest.T) * ((rest * small) @ rest.T) + _cross(rest, kept, weights)
        return float((small - np.log(small) - 1).sum()), slope, curvature

    logs, steps = _newton(np.log(_start(matrix, m)), terms, np.exp)
    unique = np.exp(logs)
    scale = np.sqrt(unique)
    found = _axes(matrix / scale[:, None] / scale - np.eye(len(matrix)), m)
    return scale[:, None] * found, unique, steps


def _axes(matrix: Floats, m: int) -> Floats:
    """Return the m largest principal axes, scaled to the square roots of their roots."""
    roots, axes = np.linalg.eigh(matrix)
    return np.asarray((axes[:, -m:] * np.sqrt(np.fmax(roots[-m:], 0.0)))[:, ::-1])


def _principal_axis(matrix: Floats, m: int, tolerance: float) -> tuple[Floats, Floats, int]:
    shared = 1 - 1 / np.diag(np.linalg.inv(matrix))
    reduced = matrix.copy()
    for taken in range(1, _AXES + 1):
        np.fill_diagonal(reduced, shared)
        loadings = _axes(reduced, m)
        before, shared = shared, np.square(loadings).sum(axis=1)
        if shared.max() >= 1 - _HEYWOOD or abs(shared.sum() - before.sum()) <= tolerance:
            return loadings, 1 - shared, taken
    raise MethodError(
        f"principal axes did not converge in {_AXES} steps. Use minres, which has the same limit, "
        "or extract fewer factors."
    )


def factor_fit(
    matrix: npt.ArrayLike, extraction: Extraction, n: int, *, level: float = 0.90
) -> FactorFit:
    r"""Return how well extracted factors fit.

    Parameters
    ----------
    matrix : array_like of shape (k, k)
        The correlations that were analysed.
    extraction : Extraction
        Of these.
    n : int
        Respondents. With pairs of different numbers, the smallest is on the safe side.
    level : float, default 0.90
        Level of the interval of the RMSEA.

    Returns
    -------
    FactorFit

    Raises
    ------
    SpecError
        If the level is not between 0 and 1.
    MethodError
        If there are too few respondents, or no degrees of freedom to test with.

    Notes
    -----
    With the discrepancy
    :math:`F = \log|\hat\Sigma| - \log|R| + \mathrm{tr}(R\hat\Sigma^{-1}) - k`, the test is
    :math:`\chi^2 = (n - 1 - (2k + 5)/6 - 2m/3)F` [1]_. The RMSEA is
    :math:`\sqrt{\max(\chi^2/(n\,df) - 1/(n-1), 0)}`, and its limits are
    :math:`\sqrt{\lambda/((n-1)\,df)}` where the noncentrality :math:`\lambda` puts the statistic
    at the tails. The baseline of the TLI is the model without correlations. With polychoric
    correlations the test is too large; it is then only a description.

    References
    ----------
    .. [1] Bartlett, M. S. (1951). The effect of standardization on a χ² approximation in
       factor analysis. *Biometrika*, 38, 337-344.

    Examples
    --------
    >>> truth = np.array([0.8, 0.7, 0.6, 0.5])
    >>> matrix = np.outer(truth, truth) + np.diag(1 - truth**2)
    >>> fit = factor_fit(matrix, extract_factors(matrix, 1, method="ml"), 300)
    >>> fit.df, round(fit.chi_square, 6), fit.rmsea
    (2, 0.0, 0.0)
    """
    if not 0 < level < 1:
        raise SpecError(f"level must lie between 0 and 1, got {level}.")
    whole = usable_correlation(matrix)
    k, m = extraction.loadings.shape
    df = degrees_of_freedom(k, m)
    scale = n - 1 - (2 * k + 5) / 6 - 2 * m / 3
    if df < 1:
        raise MethodError(f"{m} factors of {k} items leave no degrees of freedom to test with.")
    if scale <= 0:
        raise MethodError(f"{n} respondents are too few to test {m} factors of {k} items.")
    shared = extraction.loadings @ extraction.loadings.T
    model = shared + np.diag(1 - np.diag(shared))
    logs = np.linalg.slogdet(model)[1] - np.linalg.slogdet(whole)[1]
    discrepancy = max(float(logs + np.trace(np.linalg.solve(model, whole)) - k), 0.0)
    chi = scale * discrepancy
    residual = whole - model
    baseline = -np.linalg.slogdet(whole)[1] * (n - 1 - (2 * k + 5) / 6) / (k * (k - 1) / 2)
    rmsea = float(np.sqrt(max(chi / (df * n) - 1 / (n - 1), 0.0)))
    low, high = _noncentrality(chi, df, (1 - level) / 2)
    return FactorFit(
        discrepancy=discrepancy,
        chi_square=chi,
        df=df,
        p_value=float(stats.chi2.sf(chi, df)),
        rmsr=float(np.sqrt(np.square(residual).sum() / (k * (k - 1)))),
        rmsea=rmsea,
        rmsea_low=min(float(np.sqrt(low / ((n - 1) * df))), rmsea),
        rmsea_high=float(np.sqrt(high / ((n - 1) * df))),
        tli=float((baseline - chi / df) / (baseline - 1)),
        bic=float(chi - df * np.log(n)),
    )


def _noncentrality(chi: float, df: int, tail: float) -> tuple[float, float]:
    """Return the noncentralities that put a statistic at its upper and its lower tail."""
    if chi == 0:
        return 0.0, 0.0

    def solve(target: float) -> float:
        if stats.chi2.cdf(chi, df) <= target:
            return 0.0
        high = chi + 10.0
        while stats.ncx2.cdf(chi, df, high) > target:
            high *= 2

        def excess(size: float) -> float:
            return float(stats.ncx2.cdf(chi, df, size)) - target if size else 1 - target

        return float(optimize.brentq(excess, 0.0, high, xtol=1e-10))

    return solve(1 - tail), solve(tail)
