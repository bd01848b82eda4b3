"""Proportional-odds regression of an ordered answer, for tests of nested models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from lgpi_research.errors import MethodError

__all__ = ["OrdinalFit", "ordinal_logit"]

Floats = npt.NDArray[np.float64]

_MOST = 100
_CLOSE = 1e-12  # half of it is the gain in log-likelihood that a step still promises
_WILD = 30.0  # a linear predictor beyond it means that answers are separated


@dataclass(frozen=True, eq=False)
class OrdinalFit:
    """A fitted proportional-odds model.

    Attributes
    ----------
    intercepts : ndarray of shape (m - 1,)
        Falling, for each answer above the lowest.
    coef, std_error : ndarray of shape (p,)
        Logits for each unit of a regressor.
    log_likelihood, null_log_likelihood : float
        Of this model, and of intercepts alone.
    """

    intercepts: Floats
    coef: Floats
    std_error: Floats
    log_likelihood: float
    null_log_likelihood: float


def ordinal_logit(
    answers: npt.ArrayLike, regressors: npt.ArrayLike, *, weights: npt.ArrayLike | None = None
) -> OrdinalFit:
    r"""Fit a proportional-odds model.

    Parameters
    ----------
    answers : array_like of shape (n,)
        Ordered answers; values that occur are the answers.
    regressors : array_like of shape (n, p)
        Without a constant.
    weights : array_like of shape (n,), optional
        Frequency weights.

    Returns
    -------
    OrdinalFit

    Raises
    ------
    MethodError
        If a value is missing, the answers do not vary, the regressors depend on each other,
        or separate the answers, so that no maximum exists.

    Notes
    -----
    :math:`\mathrm{logit}\, P(Y \ge c) = d_c + x'\beta` [1]_, by Newton's steps; the
    log-likelihood is concave.

    References
    ----------
    .. [1] McCullagh, P. (1980). Regression models for ordinal data. *Journal of the Royal
       Statistical Society B*, 42, 109-142.

    Examples
    --------
    Of a 2 x 2 table the coefficient is the log odds ratio:

    >>> fit = ordinal_logit(np.repeat([0, 1, 0, 1], [30, 10, 10, 30]), np.repeat([[0], [1]], 40, 0))
    >>> bool(np.isclose(fit.coef[0], np.log(9)))
    True
    """
    y, x = np.asarray(answers, dtype=np.float64), np.asarray(regressors, dtype=np.float64)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    if y.ndim != 1 or x.ndim != 2 or len(x) != len(y) or w.shape != y.shape:
        raise MethodError(f"n answers need n rows of regressors, got {y.shape} and {x.shape}.")
    if not (np.isfinite(y).all() and np.isfinite(x).all() and np.isfinite(w).all()):
        raise MethodError("a proportional-odds model needs complete rows.")
    names, codes = np.unique(y, return_inverse=True)
    cuts = len(names) - 1
    if cuts < 1:
        raise MethodError("the answers do not vary.")
    centre = w @ x / w.sum()
    spread = np.sqrt(w @ np.square(x - centre) / w.sum())
    if not (spread > 0).all():
        raise MethodError("a regressor does not vary.")
    z = (x - centre) / spread
    if np.linalg.matrix_rank(z) < z.shape[1]:
        raise MethodError("regressors depend on each other; leave out what others determine.")
    share = np.bincount(codes.ravel(), weights=w) / w.sum()
    here = np.concatenate([special.logit(np.cumsum(share[::-1])[::-1][1:]), np.zeros(z.shape[1])])
    null = float(w.sum() * special.xlogy(share, share).sum())
    level, score, information = _terms(codes.ravel(), z, w, here, cuts)
    for _ in range(_MOST):
        step = np.linalg.solve(information, score)
        if float(score @ step) < _CLOSE:
            break
        for _ in range(50):
            there = here + step
            if (np.diff(there[:cuts]) < 0).all():
                found = _terms(codes.ravel(), z, w, there, cuts)
                if found[0] >= level - 1e-12 * abs(level):
                    break
            step = step / 2
        else:
            raise MethodError("the proportional-odds model did not converge.")
        here, (level, score, information) = there, found
        if np.abs(z @ here[cuts:]).max() > _WILD:
            raise MethodError(
                "regressors separate the answers, so that coefficients grow without end."
            )
    else:
        raise MethodError("the proportional-odds model did not converge.")
    error = np.sqrt(np.diag(np.linalg.inv(information)))[cuts:]
    coef = here[cuts:] / spread
    return OrdinalFit(here[:cuts] - centre @ coef, coef, error / spread, level, null)


def _terms(
    codes: npt.NDArray[np.intp], x: Floats, w: Floats, at: Floats, cuts: int
) -> tuple[float, Floats, Floats]:
    """Return log-likelihood, slopes, and observed information."""
    edges = np.concatenate([[np.inf], at[:cuts], [-np.inf]])
    tilt = x @ at[cuts:]
    upper, lower = edges[codes], edges[codes + 1]
    gap = upper - lower
    odds = np.zeros_like(gap)
    inside = np.isfinite(gap)
    odds[inside] = 1 / np.expm1(gap[inside])
    level = special.log_expit(upper + tilt) + special.log_expit(-(lower + tilt))
    level[inside] += np.log(-np.expm1(-gap[inside]))
    from_x, from_y = special.expit(upper + tilt), special.expit(lower + tilt)
    n, size = len(codes), len(at)
    to_x, to_y = np.zeros((2, n, size))  # slopes of the two linear predictors
    rows = np.arange(n)
    above, below = codes > 0, codes < cuts
    to_x[rows[above], codes[above] - 1] = 1.0
    to_y[rows[below], codes[below]] = 1.0
    to_x[:, cuts:], to_y[:, cuts:] = x, x
    slope_x, slope_y = 1 - from_x + odds, -from_y - odds
    bend = odds * (1 + odds)
    score = to_x.T @ (w * slope_x) + to_y.T @ (w * slope_y)
    mixed = (to_x.T * (w * bend)) @ to_y
    information = (to_x.T * (w * (from_x * (1 - from_x) + bend))) @ to_x
    information += (to_y.T * (w * (from_y * (1 - from_y) + bend))) @ to_y
    return float(w @ level), score, information - mixed - mixed.T
