"""Factor scores: where each respondent stands, given a fitted model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.latent.solution import LatentFit

__all__ = ["factor_scores"]

Floats = npt.NDArray[np.float64]


def factor_scores(
    fit: LatentFit, answers: npt.ArrayLike, *, group: int = 1, method: str = "regression"
) -> Floats:
    r"""Return factor scores of the respondents of one group.

    Parameters
    ----------
    fit : LatentFit
        By maximum likelihood.
    answers : array_like of shape (n, p)
        Columns in the order of ``fit.table.observed``. NaN is missing.
    group : int, default 1
        Number of their group.
    method : {"regression", "bartlett"}, default "regression"
        Expected factors given the answers, or the unbiased estimate of least error.

    Returns
    -------
    ndarray of shape (n, factors)
        In the order of ``fit.table.latent``. NaN for a respondent without answers; by
        Bartlett's method also for one whose answers do not determine every factor.

    Raises
    ------
    MethodError
        If items are ordered, the answers do not fit the model, or Bartlett's method is
        asked for a model in which observed variables act on factors.
    SpecError
        If the method is unknown.

    Notes
    -----
    With factor covariances :math:`\Phi`, loadings :math:`\Lambda`, residuals
    :math:`\Theta` and what is observed :math:`y`, regression scores are
    :math:`\kappa + \Phi\Lambda'\Sigma^{-1}(y - \mu)` (Thurstone 1935), Bartlett's
    :math:`(\Lambda'\Theta^{-1}\Lambda)^{-1}\Lambda'\Theta^{-1}(y - \nu)` (Bartlett 1937).
    Regression scores vary less than the factors; differences of groups shrink with them.

    Examples
    --------
    >>> from lgpi_research.methods.latent.fit import fit_moments
    >>> load = np.array([0.8, 0.7, 0.6])
    >>> matrix = np.outer(load, load) + np.diag(1 - load**2)
    >>> fit = fit_moments("f =~ a + b + c", matrix, 100, ["a", "b", "c"], unit_factors=True)
    >>> factor_scores(fit, [[0.8, 0.7, 0.6]], method="bartlett").round(6).tolist()
    [[1.0]]
    """
    if method not in ("regression", "bartlett"):
        raise SpecError(f"method must be 'regression' or 'bartlett', got {method!r}.")
    rows = np.asarray(answers, dtype=np.float64)
    p = len(fit.table.observed)
    if fit.table.ordered:
        raise MethodError("scores of ordered items need an item response model.")
    if rows.ndim != 2 or rows.shape[1] != p or not 1 <= group <= fit.table.n_groups:
        raise MethodError(
            f"answers must have {p} columns and group lie in 1..{fit.table.n_groups}, got shape "
            f"{rows.shape} and group {group}."
        )
    state = fit.states[group - 1]
    mean = state.mean if fit.table.means else fit.moments[group - 1][1]
    load, unique, base = np.zeros((p, 0)), np.zeros((p, p)), mean
    if method == "bartlett":
        if state.paths[p:, :p].any() or state.residuals[:p, p:].any():
            raise MethodError(
                "Bartlett's scores are not defined where observed variables act on factors; use "
                "method='regression'."
            )
        within = np.linalg.inv(np.eye(p) - state.paths[:p, :p])
        load = within @ state.paths[:p, p:]
        unique = within @ state.residuals[:p, :p] @ within.T
        base = mean - load @ state.centre[p:] if fit.table.means else mean
    scores = np.full((len(rows), len(fit.table.latent)), np.nan)
    seen, pattern = np.unique(~np.isnan(rows), axis=0, return_inverse=True)
    for number, held in enumerate(seen):
        own = pattern.reshape(-1) == number
        if not held.any():
            continue
        part = rows[np.ix_(own, held)]
        if method == "regression":
            pull = np.linalg.solve(
                state.covariance[np.ix_(held, held)], state.everywhere[p:, :p][:, held].T
            )
            scores[own] = state.centre[p:] + (part - mean[held]) @ pull
            continue
        weighted = np.linalg.solve(unique[np.ix_(held, held)], load[held])
        known = weighted.T @ load[held]
        if np.linalg.cond(known) < 1e12:
            scores[own] = np.linalg.solve(known, weighted.T @ (part - base[held]).T).T
    return scores
