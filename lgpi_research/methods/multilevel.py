"""Meta-analysis of effects nested in studies, with cluster-robust inference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, stats

from lgpi_research.errors import MethodError
from lgpi_research.methods.heterogeneity import check_effects
from lgpi_research.methods.regression import ClusterCovariance

__all__ = ["NestedEffects", "nested_covariance", "nested_effects"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

_MOST = 200  # Newton steps; regular cases take five to fifteen
_CLOSE = 1e-12  # a step below this share of the variance of an effect is none


@dataclass(frozen=True, eq=False)
class NestedEffects:
    """A fitted meta-analysis of effects within groups.

    Attributes
    ----------
    coef, std_error : ndarray of shape (p,)
        Coefficients, and their standard errors under the model.
    cov : ndarray of shape (p, p)
        Covariance of the coefficients.
    outer_variance, inner_variance : float
        Variance of true effects between outer groups, and between inner ones within them.
    log_likelihood : float
        Restricted log-likelihood of the effects.
    q, q_p : float
        Weighted sum of squares if effects do not differ, and its probability.
    df : int
        Effects less coefficients.
    y, v : ndarray of shape (n,)
        The effects and their error variances.
    X : ndarray of shape (n, p)
        The moderators.
    outer : ndarray of int of shape (n,)
        Outer group of each effect, from 0.
    covariance : ndarray of shape (n, n)
        Covariance of the effects under the model.
    """

    coef: Floats
    std_error: Floats
    cov: Floats
    outer_variance: float
    inner_variance: float
    log_likelihood: float
    q: float
    q_p: float
    df: int
    y: Floats
    v: Floats
    X: Floats
    outer: Codes
    covariance: Floats


@dataclass(frozen=True, eq=False)
class _State:
    """The restricted likelihood at two variances, in units of the spread of the effects."""

    theta: Floats
    likelihood: float
    score: Floats
    observed: Floats
    expected: Floats


def _state(theta: Floats, z: Floats, errors: Floats, kernels: Floats) -> _State:
    """Return likelihood and derivatives from contrasts z with kernels K'GK."""
    covariance = errors + np.tensordot(theta, kernels, 1)
    factor = linalg.cho_factor(covariance, lower=True)
    solved = linalg.cho_solve(factor, z)
    turned = np.array([linalg.cho_solve(factor, kernel) for kernel in kernels])
    pulls = kernels @ solved
    crossed = np.einsum("aij,bji->ab", turned, turned)
    average = pulls @ linalg.cho_solve(factor, pulls.T)
    likelihood = -np.log(np.diag(factor[0])).sum() - 0.5 * float(z @ solved)
    score = 0.5 * (pulls @ solved - np.trace(turned, axis1=1, axis2=2))
    return _State(theta, likelihood, score, average - 0.5 * crossed, 0.5 * crossed)


def _climb(start: Floats, z: Floats, errors: Floats, kernels: Floats) -> _State:
    """Return the maximum that Newton's steps reach from `start`, each variance at least 0."""
    now = _state(start, z, errors, kernels)
    for _ in range(_MOST):
        free = (now.theta > 0) | (now.score > 0)
        if not free.any():
            return now
        step = np.zeros(2)
        inside = np.ix_(free, free)
        curved = np.linalg.eigvalsh(now.observed[inside])[0] > 0
        information = (now.observed if curved else now.expected)[inside]
        step[free] = np.linalg.solve(information, now.score[free])
        size = 1.0
        # Halved until the likelihood does not fall by more than rounding.
        while True:
            theta = np.fmax(now.theta + size * step, 0.0)
            moved = float(np.abs(theta - now.theta).max())
            then = _state(theta, z, errors, kernels)
            slack = 1e-12 * max(1.0, abs(now.likelihood))
            if then.likelihood >= now.likelihood - slack or moved <= _CLOSE:
                break
            size /= 2
        if moved <= _CLOSE:
            return then if then.likelihood >= now.likelihood else now
        now = then
    raise MethodError(
        f"the restricted likelihood has no maximum within {_MOST} steps; the variances between "
        "and within groups may not be told apart."
    )


def _codes(outer: npt.ArrayLike, inner: npt.ArrayLike | None, n: int) -> tuple[Codes, Codes]:
    """Return the outer group of each effect, and its inner one within it."""
    groups = np.asarray(outer).astype(str)
    parts = np.arange(n).astype(str) if inner is None else np.asarray(inner).astype(str)
    if groups.shape != (n,) or parts.shape != (n,):
        raise MethodError(
            f"outer and inner must name a group for each of {n} effects, got shapes "
            f"{groups.shape} and {parts.shape}."
        )
    _, first = np.unique(groups, return_inverse=True)
    _, second = np.unique(parts, return_inverse=True)
    _, within = np.unique(first * (second.max() + 1) + second, return_inverse=True)
    count, cells = int(first.max()) + 1, int(within.max()) + 1
    if count < 2 or cells == count:
        raise MethodError(
            f"{n} effects in {count} outer and {cells} inner groups: variances between and "
            "within groups need two outer groups, one of them with two inner ones. "
            "Use random_effects()."
        )
    return first, within


def nested_effects(
    y: npt.ArrayLike,
    v: npt.ArrayLike,
    outer: npt.ArrayLike,
    inner: npt.ArrayLike | None = None,
    X: npt.ArrayLike | None = None,
) -> NestedEffects:
    r"""Pool effects that are nested in studies, by restricted maximum likelihood.

    Parameters
    ----------
    y : array_like of shape (n,)
        Effects.
    v : array_like of shape (n,)
        Their error variances, taken as known; positive. Errors are independent.
    outer : array_like of shape (n,)
        Outer group (study, country) of each effect.
    inner : array_like of shape (n,), optional
        Inner group, counted within the outer one; by default each effect is its own.
    X : array_like of shape (n, p), optional
        Moderators with a column of ones; by default the column of ones.

    Returns
    -------
    NestedEffects

    Raises
    ------
    MethodError
        If a number is missing or a variance is not positive, moderators are collinear,
        groups do not tell the two variances apart, or no maximum is found.

    Notes
    -----
    Effect i of inner group h in outer group g is
    :math:`x_i'\beta + u_g + w_{gh} + e_i` with variances :math:`\sigma_1^2`,
    :math:`\sigma_2^2` and :math:`v_i` [1]_. The likelihood is that of n - p orthonormal
    contrasts free of :math:`\beta`, with the usual constant of half the log-determinant
    of :math:`X'X` left in; its maximum is climbed from three points by Newton's method
    (scoring where the surface is not concave), and the highest is kept. Time grows with
    the cube of the number of effects.

    References
    ----------
    .. [1] Konstantopoulos, S. (2011). Fixed effects and variance components estimation in
       three-level meta-analysis. *Research Synthesis Methods*, 2, 61-76.

    Examples
    --------
    >>> fit = nested_effects([0.1, 0.3, 0.8, 1.2, 0.4, 0.9], [0.05] * 6, list("aabbcc"))
    >>> round(fit.outer_variance, 3), round(fit.inner_variance, 3)
    (0.123, 0.025)
    """
    effects, errors, design = check_effects(y, v, X)
    n, p = design.shape
    first, within = _codes(outer, inner, n)
    if n - p < 2:
        raise MethodError(f"{n} effects leave {n - p} degrees of freedom for two variances.")
    basis = np.linalg.qr(design / np.sqrt(np.square(design).sum(axis=0)), mode="complete")[0]
    contrasts = basis[:, p:]
    residual = contrasts.T @ (effects - basis[:, :p] @ (basis[:, :p].T @ effects))
    unit = float(np.square(residual).mean() + errors.mean())
    groups = [(code[:, None] == code[None, :]).astype(float) for code in (first, within)]
    kernels = np.array([contrasts.T @ group @ contrasts for group in groups])
    lengths = np.sqrt(np.einsum("aij,aij->a", kernels, kernels))
    if (kernels[0] * kernels[1]).sum() >= (1 - 1e-12) * lengths.prod():
        raise MethodError(
            "moderators leave no contrast between groups or within them, so the two variances "
            "cannot be told apart."
        )
    known = (contrasts.T * (errors / unit)) @ contrasts
    z = residual / np.sqrt(unit)
    starts = np.array([[0.5, 0.5], [0.9, 0.1], [0.1, 0.9]])
    best = max(
        (_climb(start, z, known, kernels) for start in starts), key=lambda found: found.likelihood
    )
    variances = best.theta * unit
    covariance = np.diag(errors) + sum(
        variance * group for variance, group in zip(variances, groups, strict=True)
    )
    coef, cov = _generalised(effects, design, covariance)
    fixed, _ = _generalised(effects, design, np.diag(errors))
    q = float((np.square(effects - design @ fixed) / errors).sum())
    constant = -0.5 * (n - p) * (np.log(2 * np.pi) + np.log(unit))
    return NestedEffects(
        coef=coef,
        std_error=np.sqrt(np.diag(cov)),
        cov=cov,
        outer_variance=float(variances[0]),
        inner_variance=float(variances[1]),
        log_likelihood=float(best.likelihood + constant),
        q=q,
        q_p=float(stats.chi2.sf(q, n - p)),
        df=n - p,
        y=effects,
        v=errors,
        X=design,
        outer=first,
        covariance=covariance,
    )


def _generalised(y: Floats, X: Floats, covariance: Floats) -> tuple[Floats, Floats]:
    """Return generalised least squares and its covariance."""
    root = linalg.cholesky(covariance, lower=True)
    white = linalg.solve_triangular(root, X, lower=True)
    lengths = np.sqrt(np.square(white).sum(axis=0))
    q, r = np.linalg.qr(white / lengths)
    half = linalg.solve_triangular(r, np.eye(len(r))) / lengths[:, None]
    return half @ (q.T @ linalg.solve_triangular(root, y, lower=True)), half @ half.T


def nested_covariance(fit: NestedEffects) -> ClusterCovariance:
    r"""Return the CR2 covariance of the coefficients, clustered by outer group.

    Parameters
    ----------
    fit : NestedEffects

    Returns
    -------
    ClusterCovariance
        With Satterthwaite degrees of freedom.

    Raises
    ------
    MethodError
        If an outer group alone determines a coefficient.

    Notes
    -----
    With :math:`\Phi` the covariance of the effects under the model, C that of the
    coefficients and residuals :math:`r_g` of group g, the covariance is
    :math:`C (\sum_g s_g s_g') C` with :math:`s_g = X_g'\Phi_g^{-1}A_g r_g`; :math:`A_g` is
    the symmetric matrix that makes the expectation of :math:`A_g r_g r_g' A_g` equal
    :math:`\Phi_g` if the model is right [1]_, [2]_. Degrees of freedom suppose normal
    effects of that covariance. Unlike the standard errors of the model, it is valid if
    errors within a group are dependent in another way than supposed.

    References
    ----------
    .. [1] Tipton, E. (2015). Small sample adjustments for robust variance estimation with
       meta-regression. *Psychological Methods*, 20, 375-393.
    .. [2] Pustejovsky, J. E., and Tipton, E. (2018). Small-sample methods for
       cluster-robust variance estimation and hypothesis testing in fixed effects models.
       *Journal of Business and Economic Statistics*, 36, 672-683.

    Examples
    --------
    >>> fit = nested_effects([0.1, 0.3, 0.8, 1.2, 0.4, 0.9], [0.05] * 6, list("aabbcc"))
    >>> found = nested_covariance(fit)
    >>> round(float(found.df[0]), 6)  # groups of one shape: one less than their number
    2.0
    """
    residual = fit.y - fit.X @ fit.coef
    left = fit.covariance - fit.X @ fit.cov @ fit.X.T  # covariance of the residuals
    turns = []  # of each group, (p, n): its score is that times the effects
    scores = []
    for group in range(int(fit.outer.max()) + 1):
        rows = np.flatnonzero(fit.outer == group)
        inside = np.ix_(rows, rows)
        root = linalg.cholesky(fit.covariance[inside], lower=False)
        values, vectors = np.linalg.eigh(root @ left[inside] @ root.T)
        if values[0] <= 1e-10 * values[-1]:
            raise MethodError(
                "one outer group alone determines a coefficient, so its robust error is "
                "unknown. Leave the moderator out, or choose other groups."
            )
        adjusted = root.T @ (vectors / np.sqrt(values)) @ vectors.T @ root
        pulled = fit.X[rows].T @ linalg.solve(fit.covariance[inside], adjusted, assume_a="pos")
        scores.append(fit.cov @ (pulled @ residual[rows]))
        turns.append(fit.cov @ pulled @ left[rows])
    spread = np.array(turns)  # group × coefficient × effect; residuals are left·Φ⁻¹·y
    solved = np.linalg.solve(fit.covariance, spread.transpose(2, 0, 1).reshape(len(left), -1))
    solved = solved.reshape(len(left), *spread.shape[:2])
    omega = np.einsum("gjn,nhj->jgh", spread, solved)
    trace = np.trace(omega, axis1=1, axis2=2)
    total = np.array(scores)
    return ClusterCovariance(
        total.T @ total, np.square(trace) / np.square(omega).sum(axis=(1, 2)), "CR2", len(total)
    )
