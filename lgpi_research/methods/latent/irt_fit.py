"""Rasch, two-parameter logistic and graded response models by marginal maximum likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from lgpi_research.errors import MethodError, SpecError, nearest
from lgpi_research.methods.latent.irt_answers import Patterns, read_patterns
from lgpi_research.methods.latent.irt_layout import Layout, make_layout
from lgpi_research.methods.latent.irt_likelihood import Marginal, make_marginal
from lgpi_research.methods.latent.irt_model import GradedItems
from lgpi_research.methods.latent.irt_search import climb

__all__ = ["MODELS", "ResponseFit", "check_model", "fit_item_response", "maximise"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

MODELS = ("rasch", "2pl", "graded")
_REACH = 6.0  # the grid at first runs from -6 to 6
_FINE = 0.75  # the grid's step, in posterior standard deviations; half a digit is lost at 1
_WIDE = 5.0  # standard deviations of a group that the grid must hold
_MOST_POINTS = 2001
_ROUNDS = 6


@dataclass(frozen=True, eq=False)
class ResponseFit:
    """A fitted item response model of one group or several.

    Attributes
    ----------
    model : {"rasch", "2pl", "graded"}
        What was fitted.
    items : tuple of GradedItems
        Items of each group; one entry if there is one group.
    groups : tuple
        Names of the groups, in rising order; ``("all",)`` if none were given.
    means, sds : ndarray of shape (g,)
        Mean and standard deviation of the trait in each group.
    log_likelihood : float
        At the maximum; weighted if there are weights.
    n_parameters : int
        Free parameters.
    n_used, n_dropped : int
        Respondents who answered something, and those set aside because they did not.
    n_patterns : int
        Distinct patterns of answers.
    steps : int
        Steps of the search.
    free : ndarray of shape (n_parameters,)
        Free parameters as they were searched for.
    marginal : Marginal
        Data, layout and grid, for standard errors and scores.
    """

    model: str
    items: tuple[GradedItems, ...]
    groups: tuple[object, ...]
    means: Floats
    sds: Floats
    log_likelihood: float
    n_parameters: int
    n_used: int
    n_dropped: int
    n_patterns: int
    steps: int
    free: Floats
    marginal: Marginal

    @property
    def grid(self) -> Floats:
        """Points of the trait over which the likelihood was summed."""
        return self.marginal.grid

    @property
    def aic(self) -> float:
        """Akaike's criterion: -2 log-likelihood + 2 parameters."""
        return -2 * self.log_likelihood + 2 * self.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion, with the sum of the weights as the number of respondents."""
        n = float(self.marginal.patterns.weights.sum())
        return -2 * self.log_likelihood + self.n_parameters * math.log(n)


def check_model(model: str) -> None:
    """Raise a SpecError if the model is unknown."""
    if model not in MODELS:
        raise SpecError(
            f"model must be 'rasch', '2pl' or 'graded', got {model!r}.{nearest(str(model), MODELS)}"
        )


def fit_item_response(
    answers: npt.ArrayLike,
    *,
    model: str = "graded",
    weights: npt.ArrayLike | None = None,
    n_points: int = 61,
) -> ResponseFit:
    r"""Fit an item response model of one trait to answers of one group.

    Parameters
    ----------
    answers : array_like of shape (n, k)
        Ordered answers as whole numbers; NaN is a missing answer.
    model : {"graded", "2pl", "rasch"}, default "graded"
        Samejima's graded response model; the two-parameter logistic model of two answers;
        or Rasch's, whose slopes are 1 while the trait's standard deviation is free.
    weights : array_like of shape (n,), optional
        Taken as they are: a weight of 2 counts as two respondents. Scale survey weights to
        mean 1, and use sandwich standard errors.
    n_points : int, default 61
        Points of the grid on -6 to 6 at first. It is made wider or finer where the trait is
        spread wider, or the answers tell it more exactly, than the grid can show.

    Returns
    -------
    ResponseFit

    Raises
    ------
    MethodError
        If there are fewer than two items, an item does not vary or has an empty category,
        a two-answer model is asked of items with more answers, a slope grows without end, or
        the search does not converge.
    SpecError
        If the model is unknown, or the number of points is below 15.

    Notes
    -----
    The likelihood of a pattern of answers is the mean over a normal trait [1]_, here a sum
    over evenly spaced points, whose error falls faster than any power of their distance.
    Missing answers are skipped: this is valid if what is missing depends on nothing but the
    answers given (missing at random). The trait has mean 0 and standard deviation 1 (in the
    Rasch model free), and its direction is that in which the slopes add up to more than 0.
    The gradient is exact; steps start with cross-products of scores and go on as
    quasi-Newton steps. Answers of a respondent are independent given the trait.

    References
    ----------
    .. [1] Bock, R. D., and Aitkin, M. (1981). Marginal maximum likelihood estimation of item
       parameters: application of an EM algorithm. *Psychometrika*, 46, 443-459.

    Examples
    --------
    Two items answered alike by 80 of 100 persons:

    >>> answers = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], [40, 10, 10, 40], axis=0)
    >>> fit = fit_item_response(answers, model="rasch")
    >>> round(fit.log_likelihood, 3), round(float(fit.sds[0]), 2)  # 40 log .4 + 10 log .1, twice
    (-119.355, 3.58)
    """
    check_model(model)
    patterns = read_patterns(answers, weights=weights)
    none = np.array([], dtype=np.intp)
    layout = make_layout(
        patterns.categories,
        1,
        own_slopes=none,
        own_intercepts=none,
        rasch=model == "rasch",
        free_means=none,
        free_spreads=np.array([0] if model == "rasch" else [], dtype=np.intp),
    )
    return maximise(patterns, layout, model, n_points=n_points)


def maximise(
    patterns: Patterns,
    layout: Layout,
    model: str,
    *,
    n_points: int = 61,
    start: Floats | None = None,
    grid: Floats | None = None,
) -> ResponseFit:
    """Fit a layout to patterns, widening and refining the grid as needed.

    Parameters
    ----------
    patterns : Patterns
        Answers.
    layout : Layout
        Parameters.
    model : str
        One of `MODELS`.
    n_points : int, default 61
        Points on -6 to 6 at first.
    start : ndarray of shape (n_free,), optional
        Where to start.
    grid : ndarray, optional
        Grid to start with, instead of `n_points`.

    Returns
    -------
    ResponseFit

    Raises
    ------
    MethodError, SpecError
        As `fit_item_response`.
    """
    _check_items(patterns, model)
    if n_points < 15:
        raise SpecError(f"n_points must be at least 15, got {n_points!r}.")
    if grid is None:
        grid = np.linspace(-_REACH, _REACH, n_points)
    marginal = make_marginal(patterns, layout, grid)
    free = start_values(patterns, layout) if start is None else start
    steps = 0
    for _ in range(_ROUNDS):
        found = climb(marginal, free)
        free, steps = found.free, steps + found.steps
        wanted = _wanted_grid(marginal, free)
        if wanted is None:
            break
        marginal = marginal.regrid(wanted)
    else:
        raise MethodError(
            "no grid of the trait is wide and fine enough: its spread grows, or the answers tell "
            "it almost exactly. Look for items that nearly repeat each other."
        )
    free = _oriented(layout, free, model)
    means, sds = _traits(layout, free)
    return ResponseFit(
        model=model,
        items=_items(patterns, layout, free),
        groups=patterns.groups,
        means=means,
        sds=sds,
        log_likelihood=found.log_likelihood,
        n_parameters=layout.n_free,
        n_used=patterns.n_used,
        n_dropped=patterns.n_dropped,
        n_patterns=len(patterns.codes),
        steps=steps,
        free=free,
        marginal=marginal,
    )


def _check_items(patterns: Patterns, model: str) -> None:
    if patterns.n_items < 2:
        raise MethodError(f"an item response model needs at least 2 items, got {patterns.n_items}.")
    many = np.flatnonzero(patterns.categories > 2) + 1
    if model != "graded" and len(many):
        raise MethodError(
            f"model {model!r} is for items with two answers, but "
            f"{', '.join(f'item {item}' for item in many[:5])}"
            f"{' and others' if len(many) > 5 else ''} have more. Use model='graded'."
        )
    if model != "rasch" and patterns.n_items == 2:
        raise MethodError(
            "two items cannot tell their slopes apart: the model is not identified. Use 3 items "
            "or more, or model='rasch'."
        )


def start_values(patterns: Patterns, layout: Layout) -> Floats:
    """Return slopes from the first axis of the correlations, and intercepts from the shares."""
    codes, weights = patterns.codes, patterns.weights
    known = codes >= 0
    counted = weights[:, None] * known
    centred = codes - (counted * codes).sum(axis=0) / counted.sum(axis=0)
    centred = np.where(known, centred, 0.0)
    product = (centred * weights[:, None]).T @ centred
    scale = np.sqrt(np.diag(product))
    values, vectors = np.linalg.eigh(product / np.outer(scale, scale))
    load = vectors[:, -1] * math.sqrt(values[-1])
    load = np.clip(load * (-1.0 if load.sum() < 0 else 1.0), -0.8, 0.8)
    load = np.where(np.abs(load) < 0.15, np.where(load < 0, -0.15, 0.15), load)
    slopes = 1.702 * load / np.sqrt(1 - load**2)
    v, t = layout.n_versions, layout.n_intercepts
    whole = layout.fixed.copy()
    if (layout.place[:v] >= 0).all():
        whole[:v] = slopes[layout.item]
    for number, item in enumerate(layout.item):
        inside = known[:, item] & (layout.version[patterns.group, item] == number)
        share = np.bincount(
            codes[inside, item], weights=weights[inside], minlength=patterns.categories[item]
        )
        share = (share + 0.5) / (share.sum() + 0.5 * len(share))
        above = np.cumsum(share[::-1])[::-1][1:]
        flat = math.sqrt(1 + 0.346 * whole[number] ** 2)
        cells = slice(v + layout.start[number], v + layout.start[number + 1])
        whole[cells] = special.logit(above) * flat
    whole[v + t :][layout.place[v + t :] >= 0] = 0.0
    return layout.pick(whole)


def _wanted_grid(marginal: Marginal, free: Floats) -> Floats | None:
    """Return a wider or finer grid, or None if this one does."""
    means, sds = _traits(marginal.layout, free)
    grid = marginal.grid
    low, high, step = float(grid[0]), float(grid[-1]), float(grid[1] - grid[0])
    least, most = float((means - _WIDE * sds).min()), float((means + _WIDE * sds).max())
    sharpest = math.inf
    for _, _, posterior in marginal.posteriors(marginal.table(free)):
        centre = posterior @ grid
        spread = np.sqrt(np.fmax(posterior @ np.square(grid) - np.square(centre), 0.0))
        sharpest = min(sharpest, float(spread.min()))
    coarse = step * _FINE > sharpest
    if least >= low and most <= high and not coarse:
        return None
    low, high = min(low, least - 1), max(high, most + 1)
    points = round((high - low) / (step / 2 if coarse else step)) + 1
    return np.linspace(low, high, points) if points <= _MOST_POINTS else grid


def _oriented(layout: Layout, free: Floats, model: str) -> Floats:
    """Turn the trait so that slopes add up to more than 0; means turn with it."""
    v, t, g = layout.n_versions, layout.n_intercepts, layout.n_groups
    whole = layout.whole(free)
    if model == "rasch" or whole[:v].sum() >= 0:
        return free
    whole[:v] *= -1
    whole[v + t : v + t + g] *= -1
    return layout.pick(whole)


def _traits(layout: Layout, free: Floats) -> tuple[Floats, Floats]:
    """Return means and standard deviations of the groups."""
    v, t, g = layout.n_versions, layout.n_intercepts, layout.n_groups
    whole = layout.whole(free)
    return whole[v + t : v + t + g], np.exp(whole[v + t + g :])


def _items(patterns: Patterns, layout: Layout, free: Floats) -> tuple[GradedItems, ...]:
    whole = layout.whole(free)
    v, width = layout.n_versions, int(patterns.categories.max()) - 1
    intercepts = np.full((v, width), np.nan)
    for number in range(v):
        cells = slice(v + layout.start[number], v + layout.start[number + 1])
        intercepts[number, : cells.stop - cells.start] = whole[cells]
    return tuple(
        GradedItems(whole[versions], intercepts[versions], patterns.lowest)
        for versions in layout.version
    )
