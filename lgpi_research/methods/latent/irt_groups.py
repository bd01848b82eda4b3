"""Item response models of several groups: equal items, or a group's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError, Problems, SpecError, listing
from lgpi_research.methods.latent.irt_answers import Patterns, read_patterns
from lgpi_research.methods.latent.irt_fit import ResponseFit, check_model, maximise
from lgpi_research.methods.latent.irt_layout import Layout, make_layout

__all__ = ["fit_groups", "layout_of_groups"]

Floats = npt.NDArray[np.float64]


def fit_groups(
    answers: npt.ArrayLike,
    groups: Sequence[object] | npt.NDArray[np.generic],
    *,
    model: str = "graded",
    own_slopes: Sequence[int] = (),
    own_intercepts: Sequence[int] = (),
    weights: npt.ArrayLike | None = None,
    n_points: int = 61,
) -> ResponseFit:
    """Fit an item response model to several groups.

    Parameters
    ----------
    answers : array_like of shape (n, k)
        Ordered answers as whole numbers; NaN is a missing answer.
    groups : sequence of length n
        Group of each respondent.
    model : {"graded", "2pl", "rasch"}, default "graded"
        As in `fit_item_response`.
    own_slopes, own_intercepts : sequence of int, default ()
        Items, from 0, whose slope or intercepts are each group's own. All others are equal
        in every group.
    weights : array_like of shape (n,), optional
        Weights, as in `fit_item_response`.
    n_points : int, default 61
        Points of the grid at first.

    Returns
    -------
    ResponseFit

    Raises
    ------
    MethodError
        As `fit_item_response`; or if there is one group only, no item is held equal, a group
        has fewer respondents than parameters of its own, or a group did not give all answers
        to an item of its own (empty categories).
    SpecError
        If an item does not exist, or the model is unknown.

    Notes
    -----
    The first group has a standard normal trait (in the Rasch model its standard deviation is
    free); the others' means and standard deviations are free. They are identified by the
    items that are held equal [1]_.

    References
    ----------
    .. [1] Bock, R. D., and Zimowski, M. F. (1997). Multiple group IRT. In W. J. van der Linden
       and R. K. Hambleton (eds), *Handbook of Modern Item Response Theory*. Springer.

    Examples
    --------
    The second group answered as the first one did:

    >>> rows = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]
    >>> answers = np.repeat([*rows, [1, 1, 1]], [30, 8, 8, 8, 8, 8, 8, 30], axis=0)
    >>> fit = fit_groups(np.tile(answers, (2, 1)), np.repeat([1, 2], 108), model="2pl")
    >>> abs(fit.means.round(4)), fit.sds.round(4)
    (array([0., 0.]), array([1., 1.]))
    """
    check_model(model)
    slopes, intercepts = _items(own_slopes), _items(own_intercepts)
    width = np.asarray(answers).shape[-1] if np.asarray(answers).ndim else 0
    strange = [i for i in (*slopes, *intercepts) if not 0 <= i < width]
    if strange:
        raise SpecError(f"items {listing(strange)} do not exist; items are 0 to {width - 1}.")
    patterns = read_patterns(
        answers, weights=weights, groups=groups, own=tuple(sorted({*slopes, *intercepts}))
    )
    layout = layout_of_groups(patterns, model, slopes, intercepts)
    return maximise(patterns, layout, model, n_points=n_points)


def _items(given: Sequence[int]) -> list[int]:
    return sorted({int(item) for item in given})


def layout_of_groups(
    patterns: Patterns, model: str, own_slopes: Sequence[int], own_intercepts: Sequence[int]
) -> Layout:
    """Return the parameters of a model of groups, or raise what keeps it from being identified.

    Parameters
    ----------
    patterns : Patterns
        Answers of g groups.
    model : str
        As in `fit_groups`.
    own_slopes, own_intercepts : sequence of int
        Items whose slope or intercepts are each group's own.

    Raises
    ------
    MethodError
        As `fit_groups`.
    """
    n_groups = len(patterns.groups)
    problems = Problems("the groups")
    if n_groups < 2:
        problems.add("there is one group only; use fit_item_response.")
    free = len(own_slopes) * (model != "rasch")
    free += int(sum(patterns.categories[item] - 1 for item in own_intercepts))
    if len({*own_slopes, *own_intercepts}) == patterns.n_items:
        problems.add(
            "no item is held equal, so means and spreads of the groups are not identified. Hold "
            "at least one item equal."
        )
    used = patterns.place[patterns.place >= 0]
    counts = np.bincount(patterns.group[used], minlength=n_groups)
    few = np.flatnonzero(counts < free + 2)
    if len(few):
        told = listing(f"{patterns.groups[g]} ({counts[g]})" for g in few)
        problems.add(
            f"{len(few)} of {n_groups} groups have fewer respondents than the {free + 2} "
            f"parameters of their own: {told}. Leave them out, merge them, or hold more equal."
        )
    problems.raise_any(MethodError)
    others = np.arange(1, n_groups)
    return make_layout(
        patterns.categories,
        n_groups,
        own_slopes=np.array(own_slopes, dtype=np.intp),
        own_intercepts=np.array(own_intercepts, dtype=np.intp),
        rasch=model == "rasch",
        free_means=others,
        free_spreads=np.arange(n_groups) if model == "rasch" else others,
    )
