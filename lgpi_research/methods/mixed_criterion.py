"""The likelihood of a mixed model as a function of its relative covariance factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

from lgpi_research.methods.mixed_system import (
    Elimination,
    Predictions,
    System,
    eliminate,
    of_term,
    predict,
    square_of_term,
)

__all__ = ["Model", "Point", "evaluate", "hessian", "lower_factor"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Model:
    """A mixed model in coordinates where everything is of order one.

    Attributes
    ----------
    system : System
        Cross-products of scaled effects, orthonormal fixed effects and the scaled residual of
        the outcome.
    entries : tuple of (ndarray, ndarray)
        For each term the rows and columns of its factor that are free.
    units : tuple of ndarray of shape (q, q)
        For each term the lower triangular matrix that turns the factor of the scaled effects
        into that of the given ones.
    reml : bool
    df : int
        n, or n less the number of fixed effects under REML.
    """

    system: System
    entries: tuple[tuple[Ints, Ints], ...]
    units: tuple[Floats, ...]
    reml: bool
    df: int

    @property
    def n_free(self) -> int:
        """Number of free entries of all factors."""
        return sum(len(rows) for rows, _ in self.entries)

    def factors(self, theta: Floats) -> list[Floats]:
        """Return each term's factor from the free entries."""
        made, at = list[Floats](), 0
        for (rows, columns), unit in zip(self.entries, self.units, strict=True):
            factor = np.zeros(unit.shape)
            factor[rows, columns] = theta[at : at + len(rows)]
            made.append(factor)
            at += len(rows)
        return made

    def free(self, factors: Sequence[Floats]) -> Floats:
        """Return the free entries of each term's factor, one after the other."""
        return np.concatenate(
            [factor[entry] for factor, entry in zip(factors, self.entries, strict=True)]
        )


@dataclass(frozen=True, eq=False)
class Point:
    """The criterion and all that follows from it at one value of the parameters.

    Attributes
    ----------
    deviance : float
        -2 log-likelihood up to a constant.
    gradient : ndarray of shape (n_free,)
        With respect to the free entries.
    slope : float
        Derivative with respect to the log of the residual variance; 0 where profiled out.
    scores : list of ndarray of shape (q, q)
        Derivative with respect to each term's relative covariance matrix.
    rss : float
        ``y'Py``: the generalised residual sum of squares.
    coef : ndarray of shape (p,)
    inverse : ndarray of shape (p, p)
        ``(X'V⁻¹X)⁻¹``.
    factors : list of ndarray
    done : Elimination
    told : Predictions
    """

    deviance: float
    gradient: Floats
    slope: float
    scores: list[Floats]
    rss: float
    coef: Floats
    inverse: Floats
    factors: list[Floats]
    done: Elimination
    told: Predictions


def _solve_fixed(done: Elimination) -> tuple[float, Floats, Floats, float]:
    """Return log|X'V⁻¹X|, its inverse, the coefficients and the residual sum of squares."""
    table = done.products
    root = linalg.cholesky(table[:-1, :-1], lower=True)
    half = linalg.solve_triangular(root, np.eye(len(root)), lower=True)
    turned = half @ table[:-1, -1]
    rss = float(table[-1, -1] - turned @ turned)
    return 2 * float(np.log(np.diag(root)).sum()), half.T @ half, half.T @ turned, rss


def deviance(model: Model, theta: Floats) -> float:
    """Return the criterion with the residual variance profiled out, up to a constant."""
    done = eliminate(model.system, model.factors(theta))
    log_fixed, _, _, rss = _solve_fixed(done)
    return done.log_det + log_fixed * model.reml + model.df * float(np.log(rss))


def evaluate(model: Model, theta: Floats, log_variance: float | None = None) -> Point:
    r"""Return the criterion, its gradient, and what the model predicts.

    Parameters
    ----------
    model : Model
    theta : ndarray of shape (n_free,)
    log_variance : float, optional
        Log of the residual variance; by default it is profiled out.

    Returns
    -------
    Point

    Notes
    -----
    With P the projection :math:`V^{-1} - V^{-1}X(X'V^{-1}X)^{-1}X'V^{-1}`, the derivative of
    the restricted criterion with respect to the relative covariance of a term is

    .. math::

        F = \sum_g Z_g'PZ_g - \kappa \sum_g Z_g'Py\,y'PZ_g,

    :math:`\kappa` the inverse of the residual variance (where profiled out, df / y'Py), and
    :math:`2F\Lambda` with respect to the factor. Without restriction :math:`V^{-1}` stands
    for the first P.
    """
    system = model.system
    factors = model.factors(theta)
    done = eliminate(system, factors)
    told = predict(system, done)
    log_fixed, inverse, coef, rss = _solve_fixed(done)
    if log_variance is None:
        fit, kappa, slope = model.df * float(np.log(rss)), model.df / rss, 0.0
    else:
        kappa = float(np.exp(-log_variance))
        fit, slope = model.df * log_variance + kappa * rss, model.df - kappa * rss
    against = np.append(-coef, 1.0)
    scores, gradient = list[Floats](), list[Floats]()
    for term, (factor, entry) in enumerate(zip(factors, model.entries, strict=True)):
        score = square_of_term(system, term, told.information).sum(axis=0)
        cross = of_term(system, term, told.cross)
        if model.reml:
            flat = cross[:, :, :-1]
            score = score - np.tensordot(flat @ inverse, flat, axes=((0, 2), (0, 2)))
        left = cross @ against
        score = score - kappa * left.T @ left
        scores.append((score + score.T) / 2)
        gradient.append(2 * (scores[-1] @ factor)[entry])
    return Point(
        deviance=done.log_det + log_fixed * model.reml + fit,
        gradient=np.concatenate(gradient),
        slope=slope,
        scores=scores,
        rss=rss,
        coef=coef,
        inverse=inverse,
        factors=factors,
        done=done,
        told=told,
    )


def hessian(model: Model, theta: Floats, log_variance: float | None = None) -> Floats:
    """Return second derivatives of the criterion, by differences of its exact gradient.

    Parameters
    ----------
    model : Model
    theta : ndarray of shape (n_free,)
    log_variance : float, optional
        If given, its derivatives come last; those with respect to it are exact.

    Returns
    -------
    ndarray of shape (n_free, n_free) or (n_free + 1, n_free + 1)

    Notes
    -----
    Central differences of two widths, extrapolated: the error is of fourth order.
    """
    full = log_variance is not None  # with the residual variance
    size = len(theta)
    made = np.zeros((size + full, size + full))
    for i in range(size):
        width = 1e-3 * max(abs(theta[i]), 0.03)
        found = []
        for step in (width, 2 * width):
            sides = []
            for sign in (1, -1):
                moved = theta.copy()
                moved[i] += sign * step
                point = evaluate(model, moved, log_variance)
                sides.append(np.append(point.gradient, point.slope) if full else point.gradient)
            found.append((sides[0] - sides[1]) / (2 * step))
        made[:, i] = (4 * found[0] - found[1]) / 3
    if log_variance is not None:
        made[:size, size] = made[size, :size]
        made[size, size] = np.exp(-log_variance) * evaluate(model, theta, log_variance).rss
    else:
        made = (made + made.T) / 2
    return made


def lower_factor(covariance: Floats, rank: int | None = None) -> Floats:
    """Return the lower triangular factor of a covariance matrix that may be singular.

    Parameters
    ----------
    covariance : ndarray of shape (q, q)
    rank : int, optional
        How many of the largest eigenvalues count; by default all that are positive.

    Returns
    -------
    ndarray of shape (q, q)
        Its diagonal is at least 0; its last columns are 0 if the rank is less than q.

    Examples
    --------
    >>> lower_factor(np.array([[4.0, 2.0], [2.0, 1.0]]), rank=1).round(6) + 0.0
    array([[2., 0.],
           [1., 0.]])
    """
    values, vectors = np.linalg.eigh(covariance)
    first = 0 if rank is None else len(values) - rank
    half = vectors[:, first:] * np.sqrt(np.maximum(values[first:], 0))
    made = np.zeros(covariance.shape)
    if half.size:
        lower = np.asarray(np.linalg.qr(half.T, mode="r")).T
        made[:, : len(values) - first] = lower * np.where(np.diag(lower) < 0, -1.0, 1.0)
    return made
