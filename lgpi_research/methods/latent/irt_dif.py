"""Items that work differently in groups of equal trait: tests by models of groups, and sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.errors import SpecError, listing
from lgpi_research.methods.latent.irt_answers import read_patterns
from lgpi_research.methods.latent.irt_fit import ResponseFit, check_model, maximise
from lgpi_research.methods.latent.irt_groups import layout_of_groups
from lgpi_research.methods.latent.irt_layout import Layout
from lgpi_research.methods.latent.irt_model import expected_scores

__all__ = ["ItemDifferences", "item_differences"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

_KINDS = ("all", "slopes", "intercepts")


@dataclass(frozen=True, eq=False)
class ItemDifferences:
    """Differential item functioning of the tested items, in the order of `items`.

    Attributes
    ----------
    items : ndarray of int of shape (t,)
        Tested items, from 0.
    statistic, p_value : ndarray of shape (t,)
        Likelihood-ratio test of equal parameters, and its p-value.
    df : ndarray of int of shape (t,)
        Parameters that were set free.
    holm : ndarray of shape (t,)
        p-values after Holm, for all tested items.
    signed, unsigned : ndarray of shape (t, g - 1)
        Expected score of the item in each later group less that in the first, at equal
        trait, averaged over the later group's trait: with its sign, and without. In units of
        the answers.
    standardised : ndarray of shape (t, g - 1)
        `signed` over the pooled standard deviation of the item's expected scores.
    equal : ResponseFit
        The model with all items equal.
    """

    items: Codes
    statistic: Floats
    p_value: Floats
    df: Codes
    holm: Floats
    signed: Floats
    unsigned: Floats
    standardised: Floats
    equal: ResponseFit


def item_differences(
    answers: npt.ArrayLike,
    groups: Sequence[object] | npt.NDArray[np.generic],
    *,
    model: str = "graded",
    items: Sequence[int] | None = None,
    free: str = "all",
    weights: npt.ArrayLike | None = None,
) -> ItemDifferences:
    r"""Test each item for parameters that differ between groups, and say by how much.

    Parameters
    ----------
    answers : array_like of shape (n, k)
        Ordered answers as whole numbers; NaN is a missing answer.
    groups : sequence of length n
        Group of each respondent; the first in rising order is the reference.
    model : {"graded", "2pl", "rasch"}, default "graded"
        As in `fit_item_response`.
    items : sequence of int, optional
        Items to test, from 0; all if not given. The others are anchors.
    free : {"all", "slopes", "intercepts"}, default "all"
        What is set free: intercepts test uniform DIF; slopes, beside intercepts that are free
        already, non-uniform DIF; all test both.
    weights : array_like of shape (n,), optional
        Weights; with survey weights the statistic is no chi-square, and sizes still hold.

    Returns
    -------
    ItemDifferences

    Raises
    ------
    MethodError
        As `fit_groups`.
    SpecError
        If an item or what to free does not exist.

    Notes
    -----
    One model holds all items equal, with free means and spreads of later groups; then one item
    at a time is set free, the others being its anchors [1]_. Sizes come from the freed models
    and are averaged over the later group's trait [2]_; a standardised difference of 0.2, 0.5
    and 0.8 may be read as Cohen's d. If many items differ, all-other anchors are biased; test
    again with those found left out of the anchors.

    References
    ----------
    .. [1] Thissen, D., Steinberg, L., and Wainer, H. (1993). Detection of differential item
       functioning using the parameters of item response models. In P. W. Holland and
       H. Wainer (eds), *Differential Item Functioning*. Erlbaum.
    .. [2] Meade, A. W. (2010). A taxonomy of effect size measures for the differential
       functioning of items and scales. *Journal of Applied Psychology*, 95, 728-743.

    Examples
    --------
    The second group answered as the first one did:

    >>> rows = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]
    >>> answers = np.repeat([*rows, [1, 1, 1]], [30, 8, 8, 8, 8, 8, 8, 30], axis=0)
    >>> found = item_differences(np.tile(answers, (2, 1)), np.repeat([1, 2], 108), model="2pl")
    >>> found.df, found.p_value.round(4)
    (array([2, 2, 2]), array([1., 1., 1.]))
    """
    check_model(model)
    if free not in _KINDS or (free == "slopes" and model == "rasch"):
        raise SpecError(
            f"free must be 'all', 'slopes' or 'intercepts', got {free!r} for model {model!r}; "
            "Rasch's model has no slopes to free."
        )
    width = np.asarray(answers).shape[-1] if np.asarray(answers).ndim else 0
    tested = list(range(width)) if items is None else [int(item) for item in items]
    strange = [item for item in tested if not 0 <= item < width]
    if strange or not tested:
        raise SpecError(f"items {listing(strange)} do not exist; items are 0 to {width - 1}.")
    patterns = read_patterns(answers, weights=weights, groups=groups, own=tuple(sorted({*tested})))
    equal = maximise(patterns, layout_of_groups(patterns, model, [], []), model)
    later = len(patterns.groups) - 1
    statistic, df = np.zeros(len(tested)), np.zeros(len(tested), dtype=np.intp)
    signed, unsigned, standardised = np.zeros((3, len(tested), later))
    for number, item in enumerate(tested):
        layout = layout_of_groups(patterns, model, [] if free == "intercepts" else [item], [item])
        fit = maximise(
            patterns, layout, model, start=_carried(equal, layout), grid=equal.marginal.grid
        )
        null = equal
        if free == "slopes":
            layout = layout_of_groups(patterns, model, [], [item])
            null = maximise(
                patterns, layout, model, start=_carried(equal, layout), grid=equal.marginal.grid
            )
        statistic[number] = max(2 * (fit.log_likelihood - null.log_likelihood), 0.0)
        df[number] = fit.n_parameters - null.n_parameters
        signed[number], unsigned[number], standardised[number] = _sizes(fit, item)
    p_value = np.asarray(stats.chi2.sf(statistic, df), dtype=np.float64)
    return ItemDifferences(
        items=np.array(tested, dtype=np.intp),
        statistic=statistic,
        p_value=p_value,
        df=df,
        holm=_holm(p_value),
        signed=signed,
        unsigned=unsigned,
        standardised=standardised,
        equal=equal,
    )


def _carried(equal: ResponseFit, layout: Layout) -> Floats:
    """Return the parameters of the equal model in a layout that frees some."""
    told = equal.marginal.layout
    old = told.whole(equal.free)
    v, t = told.n_versions, told.n_intercepts
    cuts = [
        old[v + told.start[item] : v + told.start[item + 1]] for item in layout.item
    ]  # the equal model has one version an item
    return layout.pick(np.concatenate([old[layout.item], *cuts, old[v + t :]]))


def _sizes(fit: ResponseFit, item: int) -> tuple[Floats, Floats, Floats]:
    """Return signed, unsigned and standardised differences of each later group."""
    z = np.linspace(-6.0, 6.0, 241)
    share = np.exp(-np.square(z) / 2)
    share /= share.sum()

    def curve(group: int, theta: Floats) -> Floats:
        return np.asarray(expected_scores(fit.items[group], theta)[:, item])

    def variance(values: Floats) -> float:
        return float(share @ np.square(values - share @ values))

    count = np.bincount(fit.marginal.patterns.group, weights=fit.marginal.patterns.weights)
    first = variance(curve(0, fit.means[0] + fit.sds[0] * z))
    found = np.zeros((3, len(fit.groups) - 1))
    for group in range(1, len(fit.groups)):
        theta = fit.means[group] + fit.sds[group] * z
        own = curve(group, theta)
        away = own - curve(0, theta)
        pooled = (count[0] * first + count[group] * variance(own)) / (count[0] + count[group])
        found[:, group - 1] = share @ away, share @ np.abs(away), share @ away / np.sqrt(pooled)
    return found[0], found[1], found[2]


def _holm(p_value: Floats) -> Floats:
    """Return p-values after Holm's step-down."""
    order = np.argsort(p_value, kind="stable")
    steps = p_value[order] * np.arange(len(p_value), 0, -1)
    found = np.empty_like(p_value)
    found[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return found
