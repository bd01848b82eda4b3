r"""Models of ordered answers by diagonally weighted least squares, with the adjusted test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError
from lgpi_research.methods.latent.fit_measures import Test, measure_fit, standardised_residual
from lgpi_research.methods.latent.model import GroupModel, State, group_models
from lgpi_research.methods.latent.ordered import OrderedMoments, ordered_moments
from lgpi_research.methods.latent.search import refuse_unidentified, scoring, start
from lgpi_research.methods.latent.solution import LatentFit, solution
from lgpi_research.methods.latent.syntax import parse_model
from lgpi_research.methods.latent.table import ParameterTable, build_table

__all__ = ["OrderedFit", "completed", "fit_ordered"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OrderedFit:
    """A model of ordered answers.

    Attributes
    ----------
    fit : LatentFit
        Loadings, paths and factor (co)variances. Free parameters do not include
        thresholds; ``fit.measures.n_free`` does.
    moments : tuple of OrderedMoments
        Thresholds and polychoric correlations of each group. The model leaves thresholds
        as they are.
    residual_variances : ndarray of shape (G, p)
        What is left of the variance 1 behind each answer.
    """

    fit: LatentFit
    moments: tuple[OrderedMoments, ...]
    residual_variances: Floats


def fit_ordered(
    model: str,
    answers: npt.ArrayLike,
    names: Sequence[str],
    *,
    groups: npt.ArrayLike | None = None,
    equal: Sequence[str] = (),
    partial: Sequence[str] = (),
    unit_factors: bool = False,
) -> OrderedFit:
    r"""Fit a factor model to ordered answers: WLSMV with the delta parameterisation.

    Parameters
    ----------
    model : str
        See `lgpi_research.methods.latent.syntax.parse_model`.
    answers : array_like of shape (n, k)
        Ordered answers; respondents with a missing one (NaN) are left out.
    names : sequence of str
        Names of the k items; those that the model does not name are left aside.
    groups : array_like of shape (n,), optional
        Group of each respondent. Thresholds and scales are those of each group.
    equal, partial, unit_factors
        See `lgpi_research.methods.latent.table.build_table`; only "loadings" and
        "regressions" can be equal.

    Returns
    -------
    OrderedFit

    Raises
    ------
    SpecError
        If the model or an option cannot be understood.
    MethodError
        If answers do not suffice (see
        `lgpi_research.methods.latent.ordered.ordered_moments`), or the model is not
        identified or did not converge.

    Notes
    -----
    Normal variables are imagined behind the answers, with variance 1. Their polychoric
    correlations r are explained by least squares weighted by the inverse variances W of
    their errors. With the asymptotic covariances :math:`\Gamma` and slopes
    :math:`\Delta`, estimates vary by
    :math:`E\Delta'W\Gamma W\Delta E/(n-1)`, :math:`E = (\Delta'W\Delta)^{-1}`; the statistic
    :math:`X = (n-1)(r-\rho)'W(r-\rho)` becomes :math:`aX + d - a\operatorname{tr}U\Gamma`
    with :math:`U = W - W\Delta E\Delta'W` and
    :math:`a^2 = d/\operatorname{tr}(U\Gamma)^2` [1]_. As thresholds are free, they
    explain themselves and drop out.

    References
    ----------
    .. [1] Asparouhov, T., and Muthén, B. (2010). Simple second order chi-square
       correction. Mplus technical appendix.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> trait = rng.normal(size=(2000, 1))
    >>> answers = np.digitize(trait + rng.normal(size=(2000, 4)), [-1, 1])
    >>> found = fit_ordered("f =~ a + b + c + d", answers, ["a", "b", "c", "d"])
    >>> found.fit.measures.test.df, found.fit.std_all[:4].round(1).tolist()
    (2, [0.7, 0.7, 0.7, 0.7])
    """
    whole = np.asarray(answers, dtype=np.float64)
    if whole.ndim != 2 or whole.shape[1] != len(names):
        raise MethodError(
            f"answers must have one column for each of {len(names)} names, got {whole.shape}."
        )
    side = np.zeros(len(whole)) if groups is None else np.asarray(groups)
    if side.shape != (len(whole),):
        raise MethodError(f"groups must be {len(whole)} values, got {side.shape}.")
    if set(equal) - {"loadings", "regressions"}:
        raise MethodError("with ordered items only loadings and regressions can be held equal.")
    levels = np.unique(side)
    table = build_table(
        parse_model(model),
        names,
        groups=len(levels),
        equal=equal,
        partial=partial,
        unit_factors=unit_factors,
        ordered=True,
    )
    used = whole[:, [list(names).index(name) for name in table.observed]]
    complete = ~np.isnan(used).any(axis=1)
    moments = []
    for level in levels:
        try:
            moments.append(ordered_moments(used[complete & (side == level)]))
        except MethodError as error:
            place = f"group {level}: " if len(levels) > 1 else ""
            raise MethodError(f"{place}{error}") from None
    return _fit(table, tuple(moments))


@dataclass(frozen=True, eq=False)
class _Pairs:
    """The correlations of one group, their weights and covariances."""

    model: GroupModel
    observed: Floats
    weights: Floats
    asymptotic: Floats
    n: int

    def at(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return residuals and slopes of the implied correlations, shapes (m,), (m, q)."""
        state = self.model.state(theta)
        upper = np.triu_indices(self.model.p, 1)
        slopes = self.model.jacobian(state)[0]
        return self.observed - state.covariance[upper], slopes[:, upper[0], upper[1]].T


def _fit(table: ParameterTable, moments: tuple[OrderedMoments, ...]) -> OrderedFit:
    models = group_models(table)
    p = len(table.observed)
    upper = np.triu_indices(p, 1)
    pairs = []
    for model, own in zip(models, moments, strict=True):
        block = own.asymptotic[len(own.thresholds) :, len(own.thresholds) :]
        pairs.append(_Pairs(model, own.correlation[upper], 1 / np.diag(block), block, own.n))
    n = sum(own.n for own in moments)

    def terms(theta: Floats) -> tuple[float, Floats, Floats]:
        value, slope = 0.0, np.zeros(table.n_free)
        information = np.zeros((table.n_free, table.n_free))
        for one in pairs:
            apart, delta = one.at(theta)
            share, which = one.n / n, one.model.which
            value += share * float(one.weights @ apart**2) / 2
            slope[which] -= share * delta.T @ (one.weights * apart)
            information[np.ix_(which, which)] += share * (delta.T * one.weights) @ delta
        return value, slope, information

    known = len(pairs) * p * (p - 1) // 2
    refuse_unidentified(table, np.eye(table.n_free), known)
    first = start(table, [(own.correlation, np.zeros(p)) for own in moments])
    theta, steps = scoring(terms, first)
    information = terms(theta)[2]
    refuse_unidentified(table, information, known)
    inverse = np.asarray(np.linalg.inv(information), dtype=np.float64)
    deltas = [np.zeros((len(one.observed), table.n_free)) for one in pairs]
    for delta, one in zip(deltas, pairs, strict=True):
        delta[:, one.model.which] = one.at(theta)[1]
    middle = np.zeros_like(information)
    for delta, one in zip(deltas, pairs, strict=True):
        weighted = one.weights[:, None] * delta
        middle += one.n / n * weighted.T @ one.asymptotic @ weighted
    covariance = inverse @ middle @ inverse / (n - len(pairs))
    states = [completed(model.state(theta)) for model in models]
    statistic = sum((one.n - 1) * float(one.weights @ one.at(theta)[0] ** 2) for one in pairs)
    empty = sum((one.n - 1) * float(one.weights @ one.observed**2) for one in pairs)
    raw = Test(statistic, known - table.n_free)
    baseline = Test(empty, known)
    whole = [
        _adjusted(raw, _product(pairs, deltas, inverse, n)),
        _adjusted(baseline, _product(pairs, None, inverse, n)),
    ]
    residual = sum(
        own.n
        / n
        * standardised_residual(
            (own.correlation, np.zeros(p)), (state.covariance, np.zeros(p)), means=False
        )
        for own, state in zip(moments, states, strict=True)
    )
    measures = measure_fit(
        raw,
        baseline,
        n=n,
        n_rmsea=n - len(pairs),
        groups=len(pairs),
        n_free=table.n_free + sum(len(own.thresholds) for own in moments),
        srmr=residual,
        scaled=(whole[0], whole[1]),
        robust=False,
    )
    fit = solution(
        table,
        theta,
        covariance,
        information,
        states,
        [(own.correlation, np.zeros(p)) for own in moments],
        measures,
        [own.n for own in moments],
        "WLSMV",
        steps,
    )
    left = np.array([np.diag(state.residuals)[:p] for state in states])
    return OrderedFit(fit, moments, left)


def completed(state: State) -> State:
    """Return the state with residual variances that make each variance 1.

    Parameters
    ----------
    state : State
        Whose observed variables have no residual variances.

    Returns
    -------
    State
    """
    p = len(state.total)
    residuals, everywhere = state.residuals.copy(), state.everywhere.copy()
    at = np.arange(p)
    residuals[at, at] = 1 - everywhere[at, at]
    everywhere[at, at] = 1.0
    return State(state.paths, residuals, state.constants, state.total, everywhere, state.centre)


def _product(
    pairs: Sequence[_Pairs], deltas: Sequence[Floats] | None, inverse: Floats, n: int
) -> Floats:
    """Return UΓ over the correlations of all groups."""
    sizes = [len(one.observed) for one in pairs]
    ends = np.cumsum(sizes)
    gamma, weights = np.zeros((ends[-1], ends[-1])), np.zeros(ends[-1])
    for one, end, size in zip(pairs, ends, sizes, strict=True):
        own = slice(end - size, end)
        gamma[own, own] = one.asymptotic * n / one.n
        weights[own] = one.weights * one.n / n
    found = weights[:, None] * gamma
    if deltas is not None:
        weighted = weights[:, None] * np.concatenate(list(deltas))
        found = found - weighted @ (inverse @ (weighted.T @ gamma))
    return found


def _adjusted(test: Test, product: Floats) -> Test:
    """Return the statistic with mean and variance of chi-squared."""
    if test.df <= 0:
        return test
    factor = float(np.sqrt(test.df / np.einsum("ij,ji->", product, product)))
    shift = test.df - factor * float(np.trace(product))
    return Test(factor * test.statistic + shift, test.df, 1 / factor)
