"""Plausible values: draws of the trait given answers and regressors, for regressions on it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from lgpi_research.errors import MethodError, Problems, SpecError, listing
from lgpi_research.methods.latent.irt_fit import ResponseFit

__all__ = ["LatentRegression", "latent_regression", "plausible_values"]

Floats = npt.NDArray[np.float64]

_MOST = 200
_CLOSE = 1e-10
_CHUNK = 4096
_FINEST = 0.1  # step of the grid that values are drawn on; within it they are uniform
_BEYOND = 2.0  # how far the grid reaches beyond that of the fit


@dataclass(frozen=True, eq=False)
class LatentRegression:
    """Regression of the trait on regressors, at given items.

    Attributes
    ----------
    coef, std_error : ndarray of shape (p + 1,)
        Intercept and slopes, in units of the trait.
    sd : float
        Standard deviation of the trait given the regressors.
    covariance : ndarray of shape (p + 2, p + 2)
        Of the coefficients and the logarithm of `sd`.
    log_likelihood : float
        Of the answers given the regressors.
    n_used : int
        Respondents used.
    """

    coef: Floats
    std_error: Floats
    sd: float
    covariance: Floats
    log_likelihood: float
    n_used: int


@dataclass(frozen=True, eq=False)
class _Problem:
    """Respondents used, design with a constant, weights, and likelihoods of patterns."""

    used: npt.NDArray[np.bool_]
    design: Floats
    weights: Floats
    pattern: npt.NDArray[np.intp]
    level: Floats
    grid: Floats

    def posteriors(self, coef: Floats, sd: float) -> Iterator[tuple[slice, Floats, Floats, Floats]]:
        """Yield respondents, log-likelihoods, residuals over sd, and posteriors, in chunks."""
        step = self.grid[1] - self.grid[0]
        for first in range(0, len(self.design), _CHUNK):
            part = slice(first, min(first + _CHUNK, len(self.design)))
            z = (self.grid - (self.design[part] @ coef)[:, None]) / sd
            joint = self.level[self.pattern[part]] - np.square(z) / 2
            total = special.logsumexp(joint, axis=1, keepdims=True)
            constant = math.log(step / (sd * math.sqrt(2 * math.pi)))
            yield part, total[:, 0] + constant, z, np.exp(joint - total)


def latent_regression(
    fit: ResponseFit, regressors: npt.ArrayLike | None = None
) -> LatentRegression:
    r"""Regress the trait behind answers on regressors, without a score in between.

    Parameters
    ----------
    fit : ResponseFit
        Of the respondents; its items and weights are taken as they are.
    regressors : array_like of shape (n, p), optional
        One row a respondent that the fit was given, without missing values; a constant is
        added. Only the constant if not given.

    Returns
    -------
    LatentRegression

    Raises
    ------
    MethodError
        If the regressors have missing values or another number of rows, depend on each
        other, put respondents beyond the grid, or the search does not converge.

    Notes
    -----
    The trait is :math:`\theta_i = x_i'\gamma + \epsilon_i` with normal
    :math:`\epsilon`; given the items the likelihood of the answers is maximised over
    :math:`\gamma` and :math:`\sigma` [1]_, by Newton's steps with Louis' information, or
    where that is not positive definite by those of the EM algorithm. Errors do not hold the
    uncertainty of the items, and assume independent respondents.

    References
    ----------
    .. [1] Mislevy, R. J. (1984). Estimating latent distributions. *Psychometrika*, 49,
       359-381.

    Examples
    --------
    >>> from lgpi_research.methods.latent.irt_fit import fit_item_response
    >>> answers = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], [40, 10, 10, 40], axis=0)
    >>> fit = fit_item_response(answers, model="rasch")
    >>> found = latent_regression(fit)
    >>> round(found.sd - float(fit.sds[0]), 4), found.n_used
    (0.0, 100)
    """
    return _regress(_prepare(fit, regressors))


def plausible_values(
    fit: ResponseFit,
    rng: np.random.Generator,
    *,
    regressors: npt.ArrayLike | None = None,
    draws: int = 10,
) -> Floats:
    r"""Draw values of the trait that answers and regressors leave plausible.

    Parameters
    ----------
    fit : ResponseFit
        Of the respondents.
    rng : Generator
        Where random numbers come from; more draws begin with the same fewer.
    regressors : array_like of shape (n, p), optional
        Everything that the values will be related to. Without them the draws are
        unconditional: slopes on anything are drawn towards 0 by the reliability.
    draws : int, default 10
        Values for each respondent.

    Returns
    -------
    ndarray of shape (draws, n)
        NaN for respondents who were set aside.

    Raises
    ------
    MethodError
        As `latent_regression`.
    SpecError
        If `draws` is no whole number of at least 1.

    Notes
    -----
    Each draw takes coefficients from their normal distribution, and then for each respondent
    a value from the trait's posterior given answers and regressors [1]_. Analyse each draw as
    if it were the trait, and pool by Rubin's rules: the mean of the estimates, and the mean
    of their variances plus :math:`1 + 1/m` times the variance between them. The items are
    held at their estimates.

    References
    ----------
    .. [1] Mislevy, R. J. (1991). Randomization-based inference about latent variables from
       complex samples. *Psychometrika*, 56, 177-196.

    Examples
    --------
    >>> from lgpi_research.methods.latent.irt_fit import fit_item_response
    >>> answers = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], [40, 10, 10, 40], axis=0)
    >>> fit = fit_item_response(answers, model="rasch")
    >>> plausible_values(fit, np.random.default_rng(0), draws=3).shape
    (3, 100)
    """
    if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 1:
        raise SpecError(f"draws must be a whole number of at least 1, got {draws!r}.")
    problem = _prepare(fit, regressors)
    found = _regress(problem)
    root = np.linalg.cholesky(found.covariance)
    centre = np.append(found.coef, math.log(found.sd))
    step = float(problem.grid[1] - problem.grid[0])
    values = np.full((draws, len(problem.used)), np.nan)
    for draw in range(draws):
        at = centre + root @ rng.standard_normal(len(centre))
        uniform = rng.random((2, len(problem.design)))
        drawn = np.empty(len(problem.design))
        for part, _, _, posterior in problem.posteriors(at[:-1], math.exp(at[-1])):
            below = np.cumsum(posterior, axis=1)
            place = (below < uniform[0, part, None] * below[:, -1:]).sum(axis=1)
            drawn[part] = problem.grid[place] + step * (uniform[1, part] - 0.5)
        values[draw, problem.used] = drawn
    return values


def _prepare(fit: ResponseFit, regressors: npt.ArrayLike | None) -> _Problem:
    patterns, marginal = fit.marginal.patterns, fit.marginal
    n = len(patterns.place)
    used = patterns.place >= 0
    given = np.empty((n, 0)) if regressors is None else np.asarray(regressors, dtype=np.float64)
    given = given[:, None] if given.ndim == 1 else given
    problems = Problems("the regressors")
    if given.ndim != 2 or len(given) != n:
        raise MethodError(f"{n} respondents need {n} rows of regressors, got {given.shape}.")
    lacking = np.flatnonzero(~np.isfinite(given[used]).all(axis=0))
    if len(lacking):
        problems.add(
            f"missing values in columns {listing((lacking + 1).tolist())}. Impute them, or leave "
            "these respondents out of the fit too."
        )
    design = np.column_stack([np.ones(int(used.sum())), given[used]])
    if not problems and np.linalg.matrix_rank(design) < design.shape[1]:
        problems.add(
            f"the {given.shape[1]} columns and a constant depend on each other. Leave out a "
            "column that the others determine."
        )
    problems.raise_any(MethodError)
    step = min(float(fit.grid[1] - fit.grid[0]) / 2, _FINEST)
    low, high = float(fit.grid[0]) - _BEYOND, float(fit.grid[-1]) + _BEYOND
    grid = np.linspace(low, high, round((high - low) / step) + 1)
    rows = marginal.design.shape[1] - len(patterns.groups)
    table = marginal.regrid(grid).table(fit.free)
    level = marginal.design[:, :rows] @ table.log_chance[:rows]
    return _Problem(
        used, design, patterns.respondent_weights[used], patterns.place[used], level, grid
    )


def _regress(problem: _Problem) -> LatentRegression:
    coef = np.zeros(problem.design.shape[1])
    log_sd, before = 0.0, -math.inf
    for _ in range(_MOST):
        level, score, information, em = _terms(problem, coef, math.exp(log_sd))
        positive = np.linalg.eigvalsh(information)[0] > 0
        step = np.linalg.solve(information, score) if positive else em
        if level < before - 1e-9 * abs(level) or np.abs(step).max() > 1:
            step = em
        before = level
        coef, log_sd = coef + step[:-1], log_sd + float(step[-1])
        if positive and float(score @ step) < _CLOSE:
            break
    else:
        raise MethodError(
            "the regression of the trait did not converge. Look for regressors that determine "
            "the answers, or for fewer respondents than regressors."
        )
    sd = math.exp(log_sd)
    fitted = problem.design @ coef
    if fitted.min() - 5 * sd < problem.grid[0] or fitted.max() + 5 * sd > problem.grid[-1]:
        raise MethodError(
            "regressors put respondents beyond the grid of the trait "
            f"({problem.grid[0]:g} to {problem.grid[-1]:g}). Look for outlying values."
        )
    covariance = np.linalg.inv(information)
    return LatentRegression(
        coef=coef,
        std_error=np.sqrt(np.diag(covariance))[:-1],
        sd=sd,
        covariance=(covariance + covariance.T) / 2,
        log_likelihood=level,
        n_used=len(problem.design),
    )


def _terms(problem: _Problem, coef: Floats, sd: float) -> tuple[float, Floats, Floats, Floats]:
    """Return log-likelihood, score, information, and the step of the EM algorithm."""
    size = len(coef) + 1
    level, score, information = 0.0, np.zeros(size), np.zeros((size, size))
    gram = np.zeros((size - 1, size - 1))
    for part, total, z, posterior in problem.posteriors(coef, sd):
        x, w = problem.design[part], problem.weights[part]
        moments = []
        for _ in range(4):
            posterior *= z
            moments.append(posterior.sum(axis=1))
        first, second, third, fourth = moments
        level += float(w @ total)
        score[:-1] += x.T @ (w * first) / sd
        score[-1] += float(w @ (second - 1))
        information[:-1, :-1] += (x.T * (w * (1 - second + first**2))) @ x / sd**2
        crossed = x.T @ (w * (2 * first - third + first * second)) / sd
        information[:-1, -1] += crossed
        information[-1, :-1] += crossed
        information[-1, -1] += float(w @ (2 * second - fourth + second**2))
        gram += (x.T * w) @ x
    move = sd**2 * np.linalg.solve(gram, score[:-1])
    n = float(problem.weights.sum())
    variance = 1 + score[-1] / n - float(move @ gram @ move) / (n * sd**2)
    return level, score, information, np.append(move, 0.5 * math.log(max(variance, 1e-4)))
