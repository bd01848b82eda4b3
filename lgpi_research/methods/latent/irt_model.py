"""Items of the graded response model: chances of answers, expected scores, information."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from lgpi_research.errors import MethodError, Problems, listing

__all__ = ["GradedItems", "expected_scores", "item_information", "response_probabilities"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class GradedItems:
    r"""Slopes and intercepts of k items in the graded response model.

    Parameters
    ----------
    slopes : ndarray of shape (k,)
        Discriminations a, in logits per unit of the trait.
    intercepts : ndarray of shape (k, m - 1)
        Falling intercepts d of each item's answers above the lowest; NaN at the end of the
        row of an item with fewer than m answers.
    lowest : ndarray of shape (k,), optional
        Lowest answer of each item; answers rise from it by ones. Default 0.

    Raises
    ------
    MethodError
        If shapes do not fit, an item has fewer than two answers, or its intercepts do not
        fall.

    Notes
    -----
    The chance of answer c or a higher one is [1]_

    .. math::

        P(Y \ge c \mid \theta) = \frac{1}{1 + \exp\{-(a\theta + d_c)\}},

    without the factor 1.7. The difficulty of the answer is :math:`b_c = -d_c / a`. With two
    answers this is the two-parameter logistic model, and with a common slope Rasch's.

    References
    ----------
    .. [1] Samejima, F. (1969). Estimation of latent ability using a response pattern of
       graded scores. *Psychometrika*, 34, Monograph 17.

    Examples
    --------
    >>> items = GradedItems(np.array([1.0, 2.0]), np.array([[1.0, -1.0], [0.5, np.nan]]))
    >>> items.difficulties
    array([[-1.  ,  1.  ], [-0.25,   nan]])
    >>> items.categories
    array([3, 2])
    """

    slopes: Floats
    intercepts: Floats
    lowest: Floats | None = None

    def __post_init__(self) -> None:
        slopes = np.array(self.slopes, dtype=np.float64)
        intercepts = np.array(self.intercepts, dtype=np.float64)
        lowest = np.zeros(slopes.shape) if self.lowest is None else np.array(self.lowest, float)
        if slopes.ndim != 1 or intercepts.shape[:1] != slopes.shape or intercepts.ndim != 2:
            raise MethodError(
                "items need k slopes and k rows of intercepts, "
                f"got shapes {slopes.shape} and {intercepts.shape}."
            )
        if lowest.shape != slopes.shape:
            raise MethodError(f"items need k lowest answers, got shape {lowest.shape}.")
        problems = Problems("the items")
        given = np.isfinite(intercepts)
        count = given.sum(axis=1)
        for item in range(len(slopes)):
            row = intercepts[item, : count[item]]
            if count[item] == 0 or not given[item, : count[item]].all():
                problems.add(f"item {item + 1}: no intercepts, or a gap between them.")
            elif not (np.diff(row) < 0).all():
                problems.add(f"item {item + 1}: intercepts must fall, got {listing(row)}.")
            if not np.isfinite(slopes[item]):
                problems.add(f"item {item + 1}: the slope is not a number.")
        problems.raise_any(MethodError)
        for name, value in (("slopes", slopes), ("intercepts", intercepts), ("lowest", lowest)):
            object.__setattr__(self, name, value)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.slopes)

    @property
    def categories(self) -> Codes:
        """Number of answers of each item."""
        return np.asarray(np.isfinite(self.intercepts).sum(axis=1) + 1, dtype=np.intp)

    @property
    def difficulties(self) -> Floats:
        """Where on the trait an answer or a higher one has an even chance, of shape (k, m - 1)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(-self.intercepts / self.slopes[:, None])

    @property
    def loadings(self) -> Floats:
        r"""Loadings of normal variables behind the answers: :math:`a / \sqrt{a^2 + 1.702^2}`."""
        return np.asarray(self.slopes / np.hypot(self.slopes, 1.702))

    @property
    def scores(self) -> Floats:
        """Answers as numbers, of shape (k, m); NaN behind the highest."""
        steps = np.arange(self.intercepts.shape[1] + 1)
        scores = np.asarray(self.lowest)[:, None] + steps
        return np.where(steps < self.categories[:, None], scores, np.nan)


def _edges(items: GradedItems) -> tuple[Floats, Floats]:
    """Return intercepts below and above each answer, of shape (k, m), ±inf at the ends."""
    k = items.n_items
    filled = np.where(np.isfinite(items.intercepts), items.intercepts, -np.inf)
    upper = np.concatenate([np.full((k, 1), np.inf), filled], axis=1)
    return upper, np.concatenate([filled, np.full((k, 1), -np.inf)], axis=1)


def response_probabilities(items: GradedItems, theta: npt.ArrayLike) -> Floats:
    r"""Return the chance of each answer at points of the trait.

    Parameters
    ----------
    items : GradedItems
        Of k items with at most m answers.
    theta : array_like of shape (q,)
        Points of the trait.

    Returns
    -------
    ndarray of shape (q, k, m)
        Sums to 1 over the last axis; 0 for answers that an item does not have.

    Notes
    -----
    The difference of two logistic curves :math:`F(x) - F(y)` is computed as
    :math:`F(x) F(-y) (1 - e^{y - x})`, which loses no digits in the tails.

    Examples
    --------
    >>> items = GradedItems(np.array([1.0]), np.array([[1.0, -1.0]]))
    >>> response_probabilities(items, [0.0]).round(4)
    array([[[0.2689, 0.4621, 0.2689]]])
    """
    points = np.atleast_1d(np.asarray(theta, dtype=np.float64))
    upper, lower = _edges(items)
    present = np.isfinite(upper)
    present[:, 0] = True
    tilt = points[:, None, None] * items.slopes[:, None]
    with np.errstate(invalid="ignore"):
        gap = np.where(present, upper - lower, 0.0)
    chance = special.expit(tilt + upper) * special.expit(-(tilt + lower)) * -np.expm1(-gap)
    return np.asarray(np.where(present, chance, 0.0))


def expected_scores(items: GradedItems, theta: npt.ArrayLike) -> Floats:
    """Return the mean answer to each item at points of the trait, of shape (q, k).

    Parameters
    ----------
    items : GradedItems
        Of k items; their lowest answers set the scale.
    theta : array_like of shape (q,)
        Points of the trait.

    Examples
    --------
    >>> items = GradedItems(np.array([1.0]), np.array([[1.0, -1.0]]), lowest=np.array([1.0]))
    >>> expected_scores(items, [0.0])
    array([[2.]])
    """
    chance = response_probabilities(items, theta)
    return np.asarray((chance * np.nan_to_num(items.scores)).sum(axis=2))


def item_information(items: GradedItems, theta: npt.ArrayLike) -> Floats:
    r"""Return the information that each item gives at points of the trait.

    Parameters
    ----------
    items : GradedItems
        Of k items.
    theta : array_like of shape (q,)
        Points of the trait.

    Returns
    -------
    ndarray of shape (q, k)
        Per squared unit of the trait; the sum over items is the test's information.

    Notes
    -----
    With :math:`P_c` the chance of answer c, the expected information is
    :math:`\sum_c (\partial P_c/\partial\theta)^2 / P_c` [1]_. Because
    :math:`\partial \log P_c/\partial\theta = a\{1 - F(x) - F(y)\}` for an answer between the
    curves :math:`F(x)` and :math:`F(y)`, no division is needed.

    References
    ----------
    .. [1] Samejima, F. (1969). Estimation of latent ability using a response pattern of
       graded scores. *Psychometrika*, 34, Monograph 17.

    Examples
    --------
    Of a two-answer item it is :math:`a^2 P (1 - P)`:

    >>> item_information(GradedItems(np.array([2.0]), np.array([[0.0]])), [0.0])
    array([[1.]])
    """
    points = np.atleast_1d(np.asarray(theta, dtype=np.float64))
    chance = response_probabilities(items, points)
    upper, lower = _edges(items)
    tilt = points[:, None, None] * items.slopes[:, None]
    slope = items.slopes[:, None] * (1 - special.expit(tilt + upper) - special.expit(tilt + lower))
    return np.asarray((chance * np.square(slope)).sum(axis=2))
