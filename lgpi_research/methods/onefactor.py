"""One common factor by minres and by maximum likelihood, many matrices at once; omega."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError, SpecError, nearest
from lgpi_research.methods.consistency import Spread, correlation, defined, whole_covariance
from lgpi_research.registry import coefficient

__all__ = ["OneFactor", "average_variance_extracted", "omega", "omega_total", "one_factor"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_MOST = 200  # iterations; regular cases take four to fifteen
_NEAR = 1e-5  # changes of a loading below this are taken whole: the merit cannot tell them apart
_CLOSE = 1e-9  # a Newton step of this size leaves an error at the limit of precision
_STEPS = 500  # of the EM algorithm, where Newton's fail from the minres solution
_HEYWOOD = 1e-6  # a uniqueness below this share of the item's variance is none


@dataclass(frozen=True, eq=False)
class OneFactor:
    """One factor of k items. Leading axes are matrices.

    Attributes
    ----------
    loadings : ndarray of shape (…, k)
        In the units of the matrix; their sum is positive. NaN where there is no solution.
    uniquenesses : ndarray of shape (…, k)
        Variance of each item that the factor does not explain.
    converged : ndarray of bool of shape (…)
        Whether the iterations ended at a stationary point.
    proper : ndarray of bool of shape (…)
        Whether they also ended at positive uniquenesses; if not, it is a Heywood case.
    """

    loadings: Floats
    uniquenesses: Floats
    converged: Bools
    proper: Bools


def one_factor(matrix: npt.ArrayLike, *, method: str = "ml") -> OneFactor:
    r"""Fit one common factor to covariance or correlation matrices.

    Parameters
    ----------
    matrix : array_like of shape (…, k, k)
        Covariance or correlation matrices of k ≥ 3 items; leading axes are matrices
        that are fitted at once.
    method : {"ml", "minres"}, default "ml"
        Maximum likelihood, or the smallest residual correlations.

    Returns
    -------
    OneFactor

    Raises
    ------
    MethodError
        If there are fewer than three items, or, for a single matrix, if an item does
        not vary, the iterations do not end, or a uniqueness is not positive (a Heywood
        case). Among many matrices these are marked, and their loadings are NaN.
    SpecError
        If the method is unknown.

    Notes
    -----
    The model is :math:`\Sigma = \lambda\lambda' + \Psi` with :math:`\Psi` diagonal.
    Minres minimises the squared off-diagonal residuals of the correlation matrix [1]_,
    by Newton steps. Maximum likelihood solves
    :math:`R\Psi^{-1}\lambda = (1 + \lambda'\Psi^{-1}\lambda)\lambda` with
    :math:`\psi_i = 1 - \lambda_i^2` by Newton steps from the minres solution, or, if
    those fail, from where 500 steps of the EM algorithm lead [2]_, [3]_. A solution is
    taken only if :math:`1 + \lambda'\Psi^{-1}\lambda` is the largest root of
    :math:`\Psi^{-1/2}R\Psi^{-1/2}`, which makes the factor the best one for
    :math:`\Psi`. Both fit correlations and give loadings in the units of the matrix;
    for maximum likelihood this is the same as fitting covariances. In small samples the
    likelihood can have several maxima, and the one found is then near minres.

    References
    ----------
    .. [1] Harman, H. H., and Jones, W. H. (1966). Factor analysis by minimizing
       residuals (minres). *Psychometrika*, 31, 351-368.
    .. [2] Jöreskog, K. G. (1967). Some contributions to maximum likelihood factor
       analysis. *Psychometrika*, 32, 443-482.
    .. [3] Rubin, D. B., and Thayer, D. T. (1982). EM algorithms for ML factor analysis.
       *Psychometrika*, 47, 69-76.

    Examples
    --------
    >>> truth = np.array([0.8, 0.7, 0.6, 0.5])
    >>> matrix = np.outer(truth, truth) + np.diag(1 - truth**2)
    >>> one_factor(matrix).loadings.round(6)
    array([0.8, 0.7, 0.6, 0.5])
    """
    solvers: dict[str, Callable[[Floats], tuple[Floats, Bools]]] = {
        "ml": _maximum_likelihood,
        "minres": _minres,
    }
    if method not in solvers:
        raise SpecError(
            f"method must be 'ml' or 'minres', got {method!r}.{nearest(str(method), solvers)}"
        )
    whole = np.asarray(matrix, dtype=np.float64)
    k = whole.shape[-1]
    if k < 3:
        raise MethodError(f"one factor needs at least 3 items, got {k}.")
    shape = whole.shape[:-2]
    many = whole.reshape(-1, k, k)
    variances = np.diagonal(many, axis1=1, axis2=2)
    varying: Bools = np.asarray((variances > 0).all(axis=1) & np.isfinite(many).all(axis=(1, 2)))
    safe = correlation(np.where(varying[:, None, None], many, np.eye(k)))
    found, converged = solvers[method](safe)
    found *= np.where(found.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    converged &= varying
    proper = converged & np.asarray((1 - found**2 > _HEYWOOD).all(axis=1))
    if not shape:
        _explain(found[0], varying[0], converged[0], proper[0])
    scale = np.sqrt(np.where(varying[:, None], variances, 1.0))
    loadings = np.where(proper[:, None], found * scale, np.nan)
    return OneFactor(
        loadings.reshape(*shape, k),
        (scale**2 - loadings**2).reshape(*shape, k),
        converged.reshape(shape),
        proper.reshape(shape),
    )


def _explain(loadings: Floats, varying: bool, converged: bool, proper: bool) -> None:
    """Raise the named error of a single matrix without a proper solution."""
    if not varying:
        raise MethodError("an item does not vary, or a covariance is missing: no factor.")
    lacking = 1 - loadings**2
    worst = int(lacking.argmin())
    if (converged and not proper) or lacking[worst] <= 1e-3:
        raise MethodError(
            f"Heywood case: the uniqueness of item {worst + 1} is {lacking[worst]:.3g} of its "
            "variance, so one factor is no valid model of these items. Look for an item that "
            "nearly repeats another, for few respondents, or for more than one dimension."
        )
    if not converged:
        raise MethodError(
            "the one-factor solution did not converge: no factor with positive uniquenesses was "
            "found. Either the items share no factor that these data can show, or one nearly "
            "repeats another; look at their correlations."
        )


def _start(matrix: Floats) -> Floats:
    """Return loadings along the first principal axis that fit the off-diagonal best."""
    heaviest = np.square(matrix).sum(axis=2).argmax(axis=1)
    axis = matrix[np.arange(len(matrix)), :, heaviest]
    for _ in range(8):
        axis = _times(matrix, axis)
        axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    squares = axis**2
    fitted = np.einsum("bi,bi->b", axis, _times(matrix, axis)) - 1.0
    size = fitted / np.fmax(1 - np.square(squares).sum(axis=1), 1e-9)
    return np.asarray(np.clip(axis * np.sqrt(np.fmax(size, 0.05))[:, None], -0.95, 0.95))


def _times(matrix: Floats, vector: Floats) -> Floats:
    return np.asarray((matrix @ vector[:, :, None])[:, :, 0])


def _solve(matrix: Floats, right: Floats) -> Floats:
    """Solve many small systems; zero where a matrix is singular."""
    try:
        return np.asarray(np.linalg.solve(matrix, right[:, :, None])[:, :, 0])
    except np.linalg.LinAlgError:
        regular = np.linalg.slogdet(matrix)[0] != 0
        found = np.zeros_like(right)
        if regular.any():
            found[regular] = np.linalg.solve(matrix[regular], right[regular][:, :, None])[:, :, 0]
        return found


def _descend(
    loadings: Floats,
    step: Callable[[Floats, npt.NDArray[np.intp]], Floats],
    merit: Callable[[Floats, npt.NDArray[np.intp]], Floats],
) -> tuple[Floats, Bools]:
    """Take Newton steps, halved until the merit falls, until loadings no longer move.

    `step` and `merit` take the loadings of the matrices that are still moving, and
    their numbers. A matrix whose merit cannot be lowered has not converged.
    """
    converged = np.zeros(len(loadings), dtype=bool)
    moving = np.arange(len(loadings))
    for _ in range(_MOST):
        here = loadings[moving]
        change = step(here, moving)
        size = np.abs(change).max(axis=1)
        change *= np.fmin(1.0, 0.5 / np.fmax(size, 0.5))[:, None]
        there = here + change
        before = merit(here, moving)
        stuck = (size > _NEAR) & ~(merit(there, moving) <= before)
        for _ in range(30):
            if not stuck.any():
                break
            change[stuck] /= 2
            there[stuck] = here[stuck] + change[stuck]
            stuck[stuck] = ~(merit(there[stuck], moving[stuck]) <= before[stuck])
        loadings[moving] = there
        done = size < _CLOSE
        converged[moving[done]] = True
        moving = moving[~(done | stuck)]
        if not len(moving):
            break
    return loadings, converged


def _minres(matrix: Floats) -> tuple[Floats, Bools]:
    """Minimise the squared off-diagonal residuals."""
    k = matrix.shape[1]
    diagonal = np.arange(k)
    hollow = matrix.copy()
    hollow[:, diagonal, diagonal] = 0.0

    def residual(loadings: Floats, moving: npt.NDArray[np.intp]) -> Floats:
        found = hollow[moving] - loadings[:, :, None] * loadings[:, None, :]
        found[:, diagonal, diagonal] = 0.0
        return found

    def merit(loadings: Floats, moving: npt.NDArray[np.intp]) -> Floats:
        return np.asarray(np.square(residual(loadings, moving)).sum(axis=(1, 2)))

    def step(loadings: Floats, moving: npt.NDArray[np.intp]) -> Floats:
        outer = loadings[:, :, None] * loadings[:, None, :]
        downhill = _times(residual(loadings, moving), loadings)
        curvature = 2 * outer - hollow[moving]
        squares = np.square(loadings)
        curvature[:, diagonal, diagonal] = squares.sum(axis=1, keepdims=True) - squares
        change = _solve(curvature, downhill)
        # Where the curvature is not positive, Gauss and Newton's is, and leads downhill.
        uphill = ~(np.einsum("bi,bi->b", change, downhill) > 0)
        if uphill.any():
            outer[:, diagonal, diagonal] = curvature[:, diagonal, diagonal] + 1e-8
            change[uphill] = _solve(outer[uphill], downhill[uphill])
        return change

    return _descend(_start(matrix), step, merit)


def _maximum_likelihood(matrix: Floats) -> tuple[Floats, Bools]:
    """Maximise the likelihood, from the minres solution and, where that fails, by EM first."""
    start, _ = _minres(matrix)
    found, converged = _solve_likelihood(matrix, np.clip(start, -0.99, 0.99))
    again = np.flatnonzero(~converged)
    if len(again):
        slow = _climb(matrix[again], np.clip(start[again], -0.9, 0.9))
        found[again], converged[again] = _solve_likelihood(matrix[again], slow)
    # What did not converge and began beyond 1 is a Heywood case: the start shows by how much.
    beyond = ~converged & (np.abs(start) >= 1).any(axis=1)
    return np.where(beyond[:, None], start, found), converged


def _climb(matrix: Floats, loadings: Floats) -> Floats:
    """Take steps of the EM algorithm: slow, but each raises the likelihood."""
    lacking = 1 - np.square(loadings)
    for _ in range(_STEPS):
        scaled = loadings / lacking
        strength = np.einsum("bi,bi->b", loadings, scaled)[:, None]
        weights = scaled / (1 + strength)
        shared = _times(matrix, weights)
        score = 1 / (1 + strength) + np.einsum("bi,bi->b", weights, shared)[:, None]
        loadings = shared / score
        lacking = np.fmax(1 - loadings * shared, _HEYWOOD)
    return np.clip(loadings, -0.9999, 0.9999)


def _solve_likelihood(matrix: Floats, start: Floats) -> tuple[Floats, Bools]:
    """Solve the likelihood equations by Newton steps, and keep solutions that are maxima."""
    k = matrix.shape[1]
    diagonal = np.arange(k)

    def weighted(loadings: Floats) -> tuple[Floats, Floats, Floats]:
        lacking = 1 - np.square(loadings)
        scaled = loadings / lacking
        return lacking, scaled, np.einsum("bi,bi->b", loadings, scaled)[:, None]

    def equations(loadings: Floats, moving: npt.NDArray[np.intp]) -> Floats:
        _, scaled, strength = weighted(loadings)
        return np.asarray(_times(matrix[moving], scaled) - (1 + strength) * loadings)

    def merit(loadings: Floats, moving: npt.NDArray[np.intp]) -> Floats:
        inside = np.asarray((np.abs(loadings) < 1).all(axis=1))
        held = np.where(inside[:, None], loadings, 0.5)
        size = np.square(equations(held, moving)).sum(axis=1)
        return np.where(inside, size, np.inf)

    def step(loadings: Floats, moving: npt.NDArray[np.intp]) -> Floats:
        lacking, _, strength = weighted(loadings)
        slope = (2 - lacking) / np.square(lacking)
        jacobian = matrix[moving] * slope[:, None, :]
        jacobian -= loadings[:, :, None] * (2 * loadings / np.square(lacking))[:, None, :]
        jacobian[:, diagonal, diagonal] -= 1 + strength
        return -_solve(jacobian, equations(loadings, moving))

    found, converged = _descend(start.copy(), step, merit)
    inside = np.asarray((1 - np.square(found) > _HEYWOOD).all(axis=1))
    lacking, _, strength = weighted(np.where(inside[:, None], found, 0.5))
    scale = 1 / np.sqrt(lacking)
    roots = np.linalg.eigvalsh(matrix * scale[:, :, None] * scale[:, None, :])
    converged &= inside & (np.abs(roots[:, -1] - 1 - strength[:, 0]) <= 1e-6 * roots[:, -1])
    return found, converged


@coefficient("omega", needs="covariance")
def omega(spread: Spread) -> Floats:
    r"""Return omega, the reliability of the sum score under one factor (ML).

    Parameters
    ----------
    spread : Spread
        Of k ≥ 3 items with their covariances; leading axes are replicates.

    Returns
    -------
    ndarray of shape (…)
        NaN for a replicate without a proper solution.

    Raises
    ------
    MethodError
        If there are fewer than three items, or the one solution did not converge or is
        a Heywood case.

    Notes
    -----
    :math:`\omega = (\sum\lambda_i)^2 / ((\sum\lambda_i)^2 + \sum\psi_i)` with loadings
    and error variances of the one-factor model of the covariances by maximum likelihood
    (`one_factor`) [1]_. Alpha without its assumption that all items measure equally
    well; still that of one factor and uncorrelated errors.

    References
    ----------
    .. [1] McDonald, R. P. (1999). *Test Theory: A Unified Treatment*. Lawrence Erlbaum.

    Examples
    --------
    >>> truth = np.array([0.8, 0.7, 0.6, 0.5])
    >>> matrix = np.outer(truth, truth) + np.diag(1 - truth**2)
    >>> round(float(omega(Spread.from_covariance(matrix))), 6), round(2.6**2 / 9.02, 6)
    (0.749446, 0.749446)
    """
    fit = one_factor(whole_covariance(spread, 3))
    common = np.square(fit.loadings.sum(axis=-1))
    return np.asarray(common / (common + fit.uniquenesses.sum(axis=-1)))


@coefficient("omega_total", needs="covariance")
def omega_total(spread: Spread) -> Floats:
    r"""Return omega total of standardised items under one factor (minres).

    Parameters
    ----------
    spread : Spread
        Of k ≥ 3 items with their covariances; leading axes are replicates.

    Returns
    -------
    ndarray of shape (…)
        NaN for a replicate without a proper solution.

    Raises
    ------
    MethodError
        If there are fewer than three items, or the one solution did not converge or is
        a Heywood case.

    Notes
    -----
    :math:`\omega_t = 1 - \sum u_i^2 / \sum_{ij} r_{ij}` with the uniquenesses of the
    minres factor of the correlations (`one_factor`) and the observed variance of the
    sum of the standardised items [1]_. For items in different units.

    References
    ----------
    .. [1] McDonald, R. P. (1999). *Test Theory: A Unified Treatment*. Lawrence Erlbaum.

    Examples
    --------
    >>> truth = np.array([0.8, 0.7, 0.6, 0.5])
    >>> matrix = np.outer(truth, truth) + np.diag(1 - truth**2)
    >>> round(float(omega_total(Spread.from_covariance(matrix))), 3)
    0.749
    """
    matrix = correlation(whole_covariance(spread, 3))
    unique = one_factor(matrix, method="minres").uniquenesses.sum(axis=-1)
    total = matrix.sum(axis=(-2, -1))
    varies = total > 0
    value = 1 - unique / np.where(varies, total, 1.0)
    return defined(value, varies, "omega is undefined: the sum score does not vary.")


def average_variance_extracted(fit: OneFactor) -> Floats:
    """Return the mean share of item variance that the factor explains, shape (…).

    Examples
    --------
    >>> truth = np.array([0.8, 0.7, 0.6, 0.5])
    >>> fit = one_factor(np.outer(truth, truth) + np.diag(1 - truth**2))
    >>> round(float(average_variance_extracted(fit)), 6)
    0.435
    """
    squares = np.square(fit.loadings)
    return np.asarray((squares / (squares + fit.uniquenesses)).mean(axis=-1))
