"""Linear mixed models with any number of nested or crossed random terms, by profiled (RE)ML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import SpecError
from lgpi_research.methods.absorb import compact
from lgpi_research.methods.mixed_criterion import Point
from lgpi_research.methods.mixed_model import Prepared, RandomTerm, effects_of, prepare
from lgpi_research.methods.mixed_search import search
from lgpi_research.methods.mixed_system import of_term, square_of_term, term_blocks

__all__ = ["MixedFit", "RandomTerm", "fit_mixed"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MixedFit:
    """A fitted mixed model.

    Attributes
    ----------
    coef : ndarray of shape (p,)
        Fixed effects.
    cov : ndarray of shape (p, p)
        Their covariance if the variances were known (see `mixed_df.fixed_tests` for one that
        allows for their estimation).
    std_error : ndarray of shape (p,)
    covariances : tuple of ndarray of shape (q, q)
        Of each term, in squared units of the outcome per unit of its effects.
    residual_variance : float
        Of a row of weight 1.
    log_likelihood : float
        Restricted under REML.
    n : int
        Number of rows.
    n_groups : tuple of int
        Groups of each term.
    reml : bool
    singular : tuple of str
        Terms with a variance of 0 or a correlation of ±1, on the boundary of what is
        possible; empty if there is none.
    decrement : float
        How much deviance one more Newton step would gain: the distance from the optimum.
    steps : int
        Evaluations of the likelihood.
    theta : ndarray
        Free entries of the relative covariance factors, in the order and the units of
        ``given.model``.
    point : Point
        The criterion at the optimum.
    given : Prepared
        The data and the model made of them.
    """

    coef: Floats
    cov: Floats
    std_error: Floats
    covariances: tuple[Floats, ...]
    residual_variance: float
    log_likelihood: float
    n: int
    n_groups: tuple[int, ...]
    reml: bool
    singular: tuple[str, ...]
    decrement: float
    steps: int
    theta: Floats
    point: Point
    given: Prepared

    @property
    def deviance(self) -> float:
        """-2 log-likelihood, restricted under REML."""
        return -2 * self.log_likelihood

    @property
    def n_par(self) -> int:
        """Number of parameters: fixed effects, variances, covariances, residual variance."""
        return len(self.coef) + len(self.theta) + 1

    @property
    def aic(self) -> float:
        """Deviance plus twice the number of parameters; under REML only for equal X."""
        return self.deviance + 2 * self.n_par

    @property
    def bic(self) -> float:
        """Deviance plus log n for each parameter; under REML only for equal X."""
        return self.deviance + float(np.log(self.n)) * self.n_par

    def random_effects(self, term: int = 0) -> tuple[Floats, Floats]:
        """Return the predicted coefficients of each group of a term.

        Parameters
        ----------
        term : int, default 0
            Which of the terms, in the order given.

        Returns
        -------
        modes : ndarray of shape (n_groups, q)
            Best linear unbiased predictions, groups in the sorted order of their labels.
        covariances : ndarray of shape (n_groups, q, q)
            Their conditional covariances given the data, with fixed effects and variances
            taken as known.

        Raises
        ------
        SpecError
            If there is no such term.
        """
        if not 0 <= term < len(self.covariances):
            raise SpecError(
                f"there is no term {term}; the fit has {len(self.covariances)}, numbered from 0."
            )
        system, unit = self.given.model.system, self.given.model.units[term]
        k, i = term_blocks(system, term)
        home = system.blocks[k].parts[i].home
        against = np.append(-self.point.coef, 1.0)
        modes = of_term(system, term, self.point.told.effects)[home] @ against
        inner = square_of_term(system, term, self.point.told.covariance)[home]
        return (
            self.given.scale * modes @ unit.T,
            self.residual_variance * (unit @ inner @ unit.T),
        )

    def fitted(self) -> Floats:
        """Return the conditional expectation of each row: fixed effects and predictions."""
        value = self.given.X @ self.coef
        for t, term in enumerate(self.given.terms):
            groups, _ = compact(term.groups)
            modes = self.random_effects(t)[0][groups]
            effects = np.ones((self.n, 1)) if term.effects is None else effects_of(term.effects)
            value = value + np.einsum("nq,nq->n", effects, modes)
        return value


def fit_mixed(
    y: npt.ArrayLike,
    X: npt.ArrayLike,
    terms: Sequence[RandomTerm],
    *,
    weights: npt.ArrayLike | None = None,
    reml: bool = True,
    names: Sequence[str] | None = None,
) -> MixedFit:
    r"""Fit a linear mixed model by (restricted) maximum likelihood.

    Parameters
    ----------
    y : array_like of shape (n,)
        Outcome.
    X : array_like of shape (n, p)
        Columns of the fixed effects, with a column of ones for an intercept.
    terms : sequence of RandomTerm
        Random effects.
    weights : array_like of shape (n,), optional
        Positive: the residual variance of a row is that of weight 1 divided by its weight.
        These are not sampling weights.
    reml : bool, default True
        Whether the likelihood is the restricted one.
    names : sequence of str, optional
        Names of the fixed effects, for messages.

    Returns
    -------
    MixedFit

    Raises
    ------
    MethodError
        If numbers are missing; fixed effects or effects of a term are collinear; a term has
        one group, or one row in every group; variances cannot be told apart; nothing is left
        to explain; crossed factors are too large (`mixed_plan.MOST_CELLS`); or no maximum is
        found. A variance estimated as 0 is no error: it is named in ``singular``.

    Notes
    -----
    :math:`y = X\beta + \sum_t Z_t u_t + e`, with :math:`u_{tg} \sim N(0, \Sigma_t)` for each
    group g of term t and :math:`e_i \sim N(0, \sigma^2/w_i)`, all independent. Fixed effects
    and :math:`\sigma^2` are profiled out [1]_, [2]_; of what is left, the Cholesky factors
    of :math:`\Sigma_t/\sigma^2`, the deviance

    .. math::

        \log|V| + \log|X'V^{-1}X| + (n - p)\Bigl(1 + \log\frac{2\pi\,y'Py}{n - p}\Bigr)

    (its second term left out and n for n - p under maximum likelihood) is minimised from
    three starts with its exact gradient, and by Newton's steps at the end. The result is
    checked: no step gains deviance, and no variance at 0 would gain any by growing.

    Of the data only cross-products within groups are kept. Nested factors are eliminated
    level by level, in time proportional to the number of groups; of factors that cross, all
    but one should be small, since their levels become one dense matrix.

    References
    ----------
    .. [1] Bates, D., Mächler, M., Bolker, B., and Walker, S. (2015). Fitting linear
       mixed-effects models using lme4. *Journal of Statistical Software*, 67, 1-48.
    .. [2] Pinheiro, J. C., and Bates, D. M. (2000). *Mixed-Effects Models in S and S-PLUS*,
       ch. 2. Springer.

    Examples
    --------
    Balanced groups: the variance between is (MSB - MSW) / size = (50 - 2) / 2.

    >>> y = [0, 2, 5, 7, 10, 12]
    >>> fit = fit_mixed(y, np.ones((6, 1)), [RandomTerm(["a", "a", "b", "b", "c", "c"])])
    >>> round(fit.covariances[0].item(), 6), round(fit.residual_variance, 6)
    (24.0, 2.0)
    """
    given = prepare(y, X, terms, weights, reml, names)
    model, df, scale, rotation = given.model, given.model.df, given.scale, given.rotation
    found = search(model, [term.name for term in terms])
    point = found.point
    variance = point.rss / df * scale**2
    lowest = point.deviance + df * (1 + np.log(2 * np.pi / df) + 2 * np.log(scale))
    if given.weights is not None:
        lowest -= float(np.log(given.weights).sum())
    if reml:  # the basis is orthonormal, X is not
        lowest -= 2 * np.linalg.slogdet(rotation)[1]
    cov = variance * rotation @ point.inverse @ rotation.T
    covariances = [
        variance * unit @ factor @ factor.T @ unit.T
        for unit, factor in zip(model.units, point.factors, strict=True)
    ]
    return MixedFit(
        coef=rotation @ (given.least + scale * point.coef),
        cov=cov,
        std_error=np.sqrt(np.diag(cov)),
        covariances=tuple(covariances),
        residual_variance=variance,
        log_likelihood=-0.5 * float(lowest),
        n=len(given.y),
        n_groups=given.n_groups,
        reml=reml,
        singular=tuple(terms[t].name for t in found.singular),
        decrement=found.decrement,
        steps=found.steps,
        theta=found.theta,
        point=point,
        given=given,
    )
