"""Fit of two-answer items by groups of equal sum scores: S-X2."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.errors import MethodError
from lgpi_research.methods.latent.irt_fit import ResponseFit
from lgpi_research.methods.latent.irt_model import response_probabilities

__all__ = ["ItemFit", "item_fit"]

Floats = npt.NDArray[np.float64]

_LEAST = 1.0  # expected answers in a cell; smaller ones are merged with a neighbour


@dataclass(frozen=True, eq=False)
class ItemFit:
    """S-X2 of k items: statistic, degrees of freedom, p-value, RMSEA, each of shape (k,).

    The p-value and RMSEA are NaN where no degree of freedom is left.
    """

    statistic: Floats
    df: npt.NDArray[np.intp]
    p_value: Floats
    rmsea: Floats


def item_fit(fit: ResponseFit) -> ItemFit:
    r"""Compare answers with what the model expects in groups of equal sum scores.

    Parameters
    ----------
    fit : ResponseFit
        Of one group, to complete answers to items with two answers.

    Returns
    -------
    ItemFit

    Raises
    ------
    MethodError
        If there are several groups, missing answers, or items with more than two answers.

    Notes
    -----
    Orlando and Thissen's statistic [1]_. The expected share in score group s is
    :math:`\int P_i S^{(-i)}_{s-1} \phi / \int S_s \phi`, with the distribution S of sum scores
    given the trait built up item by item. A group in which less than one right or wrong answer
    is expected is merged with the smaller neighbour. Slopes that are the item's own take one
    degree of freedom, as does the intercept.

    References
    ----------
    .. [1] Orlando, M., and Thissen, D. (2000). Likelihood-based item-fit indices for
       dichotomous item response theory models. *Applied Psychological Measurement*, 24, 50-64.

    Examples
    --------
    >>> from lgpi_research.methods.latent.irt_fit import fit_item_response
    >>> answers = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    >>> rows = np.repeat(answers, [30, 8, 8, 8, 8, 8, 8, 30], axis=0)
    >>> item_fit(fit_item_response(rows, model="rasch")).df
    array([1, 1, 1])
    """
    patterns = fit.marginal.patterns
    if len(patterns.groups) > 1 or (patterns.codes < 0).any() or (patterns.categories > 2).any():
        raise MethodError(
            "S-X2 is for one group, complete answers, and items with two answers each."
        )
    k = patterns.n_items
    prior = np.exp(fit.marginal.table(fit.free).log_chance[-1])
    right = response_probabilities(fit.items[0], fit.grid)[:, :, 1].T
    sums = patterns.codes.sum(axis=1)
    n_parameters = 1 if fit.model == "rasch" else 2
    statistic, df = np.zeros(k), np.zeros(k, dtype=np.intp)
    for item in range(k):
        rest = _sums(np.delete(right, item, axis=0))
        hit, missed = (rest * right[item]) @ prior, (rest * (1 - right[item])) @ prior
        expected, observed = np.zeros((2, k - 1, 2))
        for row, score in enumerate(range(1, k)):
            inside = sums == score
            answered = np.bincount(
                patterns.codes[inside, item], weights=patterns.weights[inside], minlength=2
            )
            share = hit[score - 1] / (hit[score - 1] + missed[score])
            observed[row] = answered
            expected[row] = answered.sum() * np.array([1 - share, share])
        some = observed.sum(axis=1) > 0
        merged, own = _merge(expected[some], observed[some])
        statistic[item] = float((np.square(own - merged) / merged).sum())
        df[item] = len(own) - n_parameters
    good = df > 0
    n = float(patterns.weights.sum())
    p_value, rmsea = np.full((2, k), np.nan)
    p_value[good] = stats.chi2.sf(statistic[good], df[good])
    over = np.fmax(statistic[good] - df[good], 0.0)
    rmsea[good] = np.sqrt(over / df[good]) / math.sqrt(n - 1)
    return ItemFit(statistic, df, p_value, rmsea)


def _sums(right: Floats) -> Floats:
    """Return the chance of each sum of right answers, of shape (items + 1, q)."""
    found = np.ones((1, right.shape[1]))
    for chance in right:
        wider = np.zeros((len(found) + 1, right.shape[1]))
        wider[:-1] += found * (1 - chance)
        wider[1:] += found * chance
        found = wider
    return found


def _merge(expected: Floats, observed: Floats) -> tuple[Floats, Floats]:
    """Merge score groups until no cell expects too few."""
    while len(expected) > 1 and (expected < _LEAST).any():
        row = int(np.flatnonzero((expected < _LEAST).any(axis=1))[0])
        if row in (0, len(expected) - 1):
            other = 1 if row == 0 else row - 1
        else:
            smaller = observed[row - 1].sum() <= observed[row + 1].sum()
            other = row - 1 if smaller else row + 1
        for table in (expected, observed):
            table[other] += table[row]
        expected, observed = np.delete(expected, row, axis=0), np.delete(observed, row, axis=0)
    return expected, observed
