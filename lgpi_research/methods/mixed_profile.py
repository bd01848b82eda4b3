"""Intervals of the standard deviations of a mixed model, from its profiled likelihood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.mixed import MixedFit
from lgpi_research.methods.mixed_criterion import Model, evaluate, lower_factor
from lgpi_research.methods.mixed_model import effects_of, prepare

__all__ = ["variance_interval"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

Criterion = Callable[[Floats], tuple[float, Floats]]
MOST_DOUBLINGS = 60

MOST_STARTS = 10

_CLOSE = 1e-4  # what a minimum of the deviance may lack
_NEAR = 0.03  # relative standard deviation so near to 0 that the deviance is flat about it
_AWAY = 0.1  # where a search begins that is to leave 0
_WIDEST = 12.0  # how far the log of the residual variance may go from where it is lowest


def variance_interval(
    fit: MixedFit, term: int | None = 0, *, effect: int = 0, level: float = 0.95
) -> tuple[float, float]:
    r"""Return the profile-likelihood interval of a standard deviation.

    Parameters
    ----------
    fit : MixedFit
    term : int or None, default 0
        Which term; None is the residual.
    effect : int, default 0
        Which of the term's effects.
    level : float, default 0.95

    Returns
    -------
    low, high : float
        In units of the outcome per unit of the effect. The lower end is 0 where the data do
        not speak against a variance of 0.

    Raises
    ------
    SpecError
        If there is no such term or effect, or the level lies outside (0, 1).
    MethodError
        If the likelihood does not fall on one side, so that the interval has no end.

    Notes
    -----
    The interval holds the values at which the deviance, minimised over all other parameters,
    lies above its minimum by no more than the quantile of :math:`\chi^2_1` [1]_. The deviance
    is that of the fit: restricted under REML, so its interval is wider with few groups than
    that of R's lme4, which always profiles the unrestricted one; lme4 also interpolates its
    profile, coarsely where a correlation reaches 1. It supposes normal random
    effects, and is too short if their distribution has heavy tails. An estimate of 0 lies on
    the boundary, where the interval is conservative. In 1,000 simulations of 4 to 11 rows in
    each of 10 or 20 groups, 95 % intervals under REML held the truth in 94.6 and 95.2 %, and
    under maximum likelihood in 92.9 and 94.5 %.

    References
    ----------
    .. [1] Bates, D., Mächler, M., Bolker, B., and Walker, S. (2015). Fitting linear
       mixed-effects models using lme4. *Journal of Statistical Software*, 67, 1-48.

    Examples
    --------
    >>> from lgpi_research.methods.mixed import RandomTerm, fit_mixed
    >>> y = [0, 2, 5, 7, 10, 12]
    >>> fit = fit_mixed(y, np.ones((6, 1)), [RandomTerm([1, 1, 2, 2, 3, 3])])
    >>> low, high = variance_interval(fit)
    >>> round(low, 2), round(high, 1)
    (2.01, 20.9)
    """
    if not 0 < level < 1:
        raise SpecError(f"level must lie between 0 and 1, got {level}.")
    count = len(fit.covariances)
    if term is not None and not 0 <= term < count:
        raise SpecError(f"there is no term {term}; the fit has {count}, numbered from 0.")
    if term is not None and not 0 <= effect < len(fit.covariances[term]):
        raise SpecError(
            f"term {term} has no effect {effect}; it has {len(fit.covariances[term])}, numbered "
            "from 0."
        )
    allowed = float(stats.chi2.isf(1 - level, 1))
    if term is None:
        return _residual_interval(fit, allowed)
    return _effect_interval(fit, term, effect, allowed)


def _lowest(
    criterion: Criterion, start: Floats, limits: list[tuple[float, float]]
) -> tuple[float, Floats] | None:
    """Return the minimum of the criterion near a start, None if there is none."""
    for _ in range(MOST_STARTS):
        try:
            found = optimize.minimize(
                criterion,
                start,
                jac=True,
                method="L-BFGS-B",
                bounds=limits,
                options={"ftol": 1e-12, "gtol": 1e-6, "maxiter": 500, "maxls": 40},
            )
        except np.linalg.LinAlgError:
            break
        start, slope = np.asarray(found.x), np.asarray(found.jac)
        # How far the deviance could still fall, by the curvature that the search has seen; it
        # has seen little where it ended at once, and begins again.
        if float(slope @ (found.hess_inv @ slope)) / 2 <= _CLOSE:
            return float(found.fun), start
    return None


class _Profile:
    """The deviance as a function of one parameter, each minimum the next one's start.

    A standard deviation of 0 is stationary wherever the others are, so that a search which
    begins there does not see that it should grow; `sizes` says which parameters these are.
    """

    def __init__(
        self, at: Callable[[float], Criterion], start: Floats, sizes: Bools, allowed: float
    ) -> None:
        self.at = at
        self.start = start
        self.sizes = sizes
        self.limits = [(-np.inf, np.inf)] * len(start)
        self.lowest = 0.0
        self.allowed = allowed

    def __call__(self, value: float) -> float:
        """Return the deviance above the minimum and what is allowed."""
        found = self._ends(self.at(value), self.start)
        if not found:
            raise MethodError("the profiled likelihood has no maximum at a value of the interval.")
        deviance, self.start = min(found, key=lambda end: end[0])
        return deviance - self.lowest - self.allowed

    def _ends(self, criterion: Criterion, start: Floats) -> list[tuple[float, Floats]]:
        """Return the minima near a start, and near it where nothing is almost 0."""
        starts = [start]
        small = self.sizes & (np.abs(start) < _NEAR)
        if small.any():
            starts.append(np.where(small, _AWAY, start))
        ends = [_lowest(criterion, begin, self.limits) for begin in starts]
        return [end for end in ends if end is not None]

    def end(self, inside: float, step: Callable[[float], float]) -> float:
        """Return where the deviance reaches what is allowed, going by `step` from `inside`."""
        begin = self.start
        for _ in range(MOST_DOUBLINGS):
            outside = step(inside)
            if self(outside) > 0:
                low, high = sorted((inside, outside))
                try:
                    root = optimize.brentq(self, low, high, xtol=1e-7 * high, rtol=1e-7)
                except ValueError:  # searches from other starts found other minima
                    raise MethodError(
                        "the profiled likelihood has several maxima near an end of the interval."
                    ) from None
                self.start = begin
                return float(root)
            inside = outside
        raise MethodError(
            "the likelihood does not fall far enough for the interval to end; the data say too "
            "little about this standard deviation."
        )


def _residual_interval(fit: MixedFit, allowed: float) -> tuple[float, float]:
    """Return the interval of the residual standard deviation."""
    model = fit.given.model

    def at(sd: float) -> Criterion:
        def criterion(theta: Floats) -> tuple[float, Floats]:
            point = evaluate(model, theta, 2 * float(np.log(sd)))
            return point.deviance, point.gradient

        return criterion

    sd = float(np.sqrt(fit.residual_variance)) / fit.given.scale
    profile = _Profile(at, fit.theta, _sizes(model), allowed)
    profile.lowest = evaluate(model, fit.theta, 2 * float(np.log(sd))).deviance
    ends = profile.end(sd, lambda x: x / 1.2), profile.end(sd, lambda x: x * 1.2)
    return ends[0] * fit.given.scale, ends[1] * fit.given.scale


def _effect_interval(fit: MixedFit, term: int, effect: int, allowed: float) -> tuple[float, float]:
    """Return the interval of a random effect's standard deviation.

    The effect is made the first of its term: then its standard deviation, relative to the
    residual one, is the first entry of the lower triangular factor.
    """
    given, chosen = fit.given, fit.given.terms[term]
    others = [i for i in range(len(fit.covariances[term])) if i != effect]
    order = [effect, *others]
    terms = list(given.terms)
    covariances = list(fit.covariances)
    if effect:
        assert chosen.effects is not None  # noqa: S101  an intercept has one effect
        terms[term] = replace(chosen, effects=effects_of(chosen.effects)[:, order])
        covariances[term] = covariances[term][np.ix_(order, order)]
        given = prepare(given.y, given.X, terms, given.weights, fit.reml, None)
    model = given.model
    variance = fit.residual_variance
    factors = []
    for cov, unit in zip(covariances, model.units, strict=True):
        back = np.linalg.inv(unit)
        factors.append(lower_factor(back @ cov @ back.T / variance))
    first = sum(len(rows) for rows, _ in model.entries[:term])
    theta = model.free(factors)
    size = float(model.units[term][0, 0]) * given.scale  # of a standard deviation of 1

    def at(sd: float) -> Criterion:
        return lambda free: _pinned(model, first, sd, free)

    log_variance = 2 * float(np.log(np.sqrt(variance) / given.scale))
    profile = _Profile(
        at,
        np.append(np.delete(theta, first), log_variance),
        np.append(np.delete(_sizes(model), first), False),
        allowed,
    )
    profile.limits[-1] = (log_variance - _WIDEST, max(log_variance, 0.0) + _WIDEST)
    profile.lowest = evaluate(model, theta, log_variance).deviance
    sd = float(np.sqrt(covariances[term][0, 0])) / size
    begin = profile.start
    low = 0.0
    if sd > 0 and profile(0.0) > 0:
        profile.start = begin
        low = float(optimize.brentq(profile, 0.0, sd, xtol=1e-7 * sd, rtol=1e-7))
    profile.start = begin
    least = 0.05 * float(np.exp(log_variance / 2))
    high = profile.end(sd, lambda x: max(x * 1.4, least))
    return low * size, high * size


def _sizes(model: Model) -> Bools:
    """Return which free entries of the factors stand on a diagonal."""
    return np.concatenate([rows == columns for rows, columns in model.entries])


def _pinned(model: Model, first: int, sd: float, free: Floats) -> tuple[float, Floats]:
    """Return the criterion with one standard deviation given, and the gradient of the rest.

    The last free parameter is the log of the residual variance, on which the entry of the
    factor depends: it is the standard deviation divided by the residual one.
    """
    relative = sd * float(np.exp(-free[-1] / 2))
    theta = np.insert(free[:-1], first, relative)
    point = evaluate(model, theta, float(free[-1]))
    slope = point.slope - relative * point.gradient[first] / 2
    return point.deviance, np.append(np.delete(point.gradient, first), slope)
