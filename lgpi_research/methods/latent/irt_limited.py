"""Fit of an item response model to the means and products of pairs of answers: C2."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from lgpi_research.errors import MethodError
from lgpi_research.methods.latent.irt_fit import ResponseFit
from lgpi_research.methods.latent.irt_model import GradedItems, response_probabilities

__all__ = ["LimitedFit", "limited_information"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LimitedFit:
    """Limited-information test and measures of fit.

    Attributes
    ----------
    statistic, df, p_value : float
        C2, and its chi-square test.
    rmsea, rmsea_low, rmsea_high : float
        Misfit for each degree of freedom, with 90 % limits.
    srmsr : float
        Root mean squared difference of observed and expected correlations.
    tli, cfi : float
        Against the model of independent items.
    """

    statistic: float
    df: int
    p_value: float
    rmsea: float
    rmsea_low: float
    rmsea_high: float
    srmsr: float
    tli: float
    cfi: float


def limited_information(fit: ResponseFit) -> LimitedFit:
    r"""Test a fitted model of one group by the means and products of its answers.

    Parameters
    ----------
    fit : ResponseFit
        Of one group, to complete answers.

    Returns
    -------
    LimitedFit

    Raises
    ------
    MethodError
        If there are several groups, an answer is missing, or no degree of freedom is left.

    Notes
    -----
    The moments are the share of each answer or a higher one, and the mean product of each
    pair of items; e is their distance from the model, :math:`\Xi` their covariance matrix
    under the model, and :math:`\Delta` their slopes in the parameters. Then [1]_, [2]_

    .. math::

        C_2 = n e' \{\Xi^{-1} - \Xi^{-1}\Delta(\Delta'\Xi^{-1}\Delta)^{-1}\Delta'\Xi^{-1}\} e

    is chi-square with as many degrees of freedom as moments less parameters. Unlike
    tests of all patterns it holds with sparse tables. It assumes independent respondents.

    References
    ----------
    .. [1] Maydeu-Olivares, A., and Joe, H. (2006). Limited information goodness-of-fit testing
       in multidimensional contingency tables. *Psychometrika*, 71, 713-732.
    .. [2] Cai, L., and Monroe, S. (2014). *A New Statistic for Evaluating Item Response Theory
       Models for Ordinal Data*. CRESST Report 839.

    Examples
    --------
    >>> from lgpi_research.methods.latent.irt_fit import fit_item_response
    >>> answers = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    >>> rows = np.repeat(answers, [30, 8, 8, 8, 8, 8, 8, 30], axis=0)
    >>> limited_information(fit_item_response(rows, model="rasch")).df
    2
    """
    patterns, layout = fit.marginal.patterns, fit.marginal.layout
    if len(patterns.groups) > 1:
        raise MethodError("limited-information tests are for one group; fit groups one by one.")
    if (patterns.codes < 0).any():
        raise MethodError(
            "limited-information tests need complete answers: fit the respondents who answered "
            "every item."
        )
    n = float(patterns.weights.sum())
    items, k = fit.items[0], patterns.n_items
    share = patterns.weights / n
    above = [patterns.codes >= cut for cut in range(1, int(patterns.categories.max()))]
    first = np.concatenate(
        [[share @ above[c][:, j] for c in range(patterns.categories[j] - 1)] for j in range(k)]
    )
    one, other = np.triu_indices(k, 1)
    products = (patterns.codes.T * share) @ patterns.codes
    observed = np.concatenate([first, products[one, other]])
    table = fit.marginal.table(fit.free)
    grid, prior = fit.marginal.grid, np.exp(table.log_chance[-1])
    expected, spread, slopes, second = _moments(items, grid, prior)
    by_trait = table.slopes[:2, -1] * prior @ _means(items, grid).T
    delta = layout.gather(np.column_stack([slopes, by_trait.T]))
    statistic, df = _quadratic(observed - expected, spread, delta, n)
    if df < 1:
        raise MethodError(
            f"{len(observed)} moments and {layout.n_free} parameters leave no degree of freedom "
            "for a limited-information test."
        )
    flat = GradedItems(np.zeros(k), _logits(first, items), items.lowest)
    level, null_spread, null_slopes, _ = _moments(flat, np.zeros(1), np.ones(1))
    null, null_df = _quadratic(observed - level, null_spread, null_slopes[:, k:], n)
    low, high = _limits(statistic, df)
    scale = df * (n - 1)
    mean = share @ patterns.codes
    own = _correlations(products - np.outer(mean, mean))
    apart = (own - _correlations(second))[one, other]
    return LimitedFit(
        statistic=statistic,
        df=df,
        p_value=float(stats.chi2.sf(statistic, df)),
        rmsea=math.sqrt(max(statistic - df, 0.0) / scale),
        rmsea_low=math.sqrt(low / scale),
        rmsea_high=math.sqrt(high / scale),
        srmsr=float(np.sqrt(np.square(apart).mean())),
        tli=(null / null_df - statistic / df) / (null / null_df - 1),
        cfi=1 - max(statistic - df, 0.0) / max(null - null_df, statistic - df, 1e-300),
    )


def _curves(items: GradedItems, grid: Floats) -> list[Floats]:
    """Return for each item the chance of each answer or a higher one, of shape (m - 1, q)."""
    chance = response_probabilities(items, grid)
    above = np.cumsum(chance[:, :, ::-1], axis=2)[:, :, ::-1]
    return [above[:, j, 1 : items.categories[j]].T for j in range(items.n_items)]


def _means(items: GradedItems, grid: Floats) -> Floats:
    """Return the moments at points of the trait, of shape (moments, q)."""
    curves = _curves(items, grid)
    mean = np.stack([curve.sum(axis=0) for curve in curves])
    one, other = np.triu_indices(items.n_items, 1)
    return np.concatenate([*curves, mean[one] * mean[other]])


def _moments(
    items: GradedItems, grid: Floats, prior: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return moments, their covariances, slopes in items, and covariances of the items."""
    k = items.n_items
    curves = _curves(items, grid)
    starts = np.concatenate([[0], np.cumsum(items.categories - 1)])
    total = int(starts[-1])
    mean = np.stack([curve.sum(axis=0) for curve in curves])
    one, other = np.triu_indices(k, 1)
    inside = _means(items, grid)
    level = inside @ prior
    spread = (inside * prior) @ inside.T - np.outer(level, level)
    slopes = np.zeros((len(level), k + total))
    variance = np.empty_like(mean)
    for j, curve in enumerate(curves):
        cells = np.arange(starts[j], starts[j + 1])
        number = np.arange(len(curve))
        both = curve[np.maximum.outer(number, number)] - curve[:, None] * curve
        variance[j] = both.sum(axis=(0, 1))
        spread[np.ix_(cells, cells)] += both @ prior
        mine = np.flatnonzero((one == j) | (other == j))
        partner = mean[np.where(one[mine] == j, other[mine], one[mine])]
        crossed = (both.sum(axis=0) * prior) @ partner.T
        spread[np.ix_(cells, total + mine)] += crossed
        spread[np.ix_(total + mine, cells)] += crossed.T
        spread[np.ix_(total + mine, total + mine)] += (partner * variance[j] * prior) @ partner.T
        steep = curve * (1 - curve)
        slopes[cells, k + cells] = steep @ prior
        slopes[cells, j] = (steep * grid) @ prior
        slopes[np.ix_(total + mine, k + cells)] = partner @ (steep * prior).T
        slopes[total + mine, j] = partner @ (steep.sum(axis=0) * grid * prior)
    pairs = total + np.arange(len(one))
    spread[pairs, pairs] += (variance[one] * variance[other]) @ prior
    centre = mean @ prior
    second = (mean * prior) @ mean.T - np.outer(centre, centre) + np.diag(variance @ prior)
    return level, spread, slopes, second


def _quadratic(away: Floats, spread: Floats, delta: Floats, n: float) -> tuple[float, int]:
    scaled = np.linalg.solve(spread, np.column_stack([away, delta]))
    inner = np.linalg.solve(delta.T @ scaled[:, 1:], delta.T @ scaled[:, 0])
    return float(n * away @ (scaled[:, 0] - scaled[:, 1:] @ inner)), len(away) - delta.shape[1]


def _logits(first: Floats, items: GradedItems) -> Floats:
    found = np.full_like(items.intercepts, np.nan)
    found[np.isfinite(items.intercepts)] = np.log(first / (1 - first))
    return found


def _correlations(covariance: Floats) -> Floats:
    scale = np.sqrt(np.diag(covariance))
    return np.asarray(covariance / np.outer(scale, scale))


def _limits(statistic: float, df: int) -> tuple[float, float]:
    """Return 90 % limits of the non-centrality."""

    def at(level: float) -> float:
        def miss(centre: float) -> float:
            return float(stats.ncx2.cdf(statistic, df, centre)) - level

        if miss(1e-12) <= 0:
            return 0.0
        return float(optimize.brentq(miss, 1e-12, 10 * statistic + 100, xtol=1e-10))

    return at(0.95), at(0.05)
