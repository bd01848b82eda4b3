"""Scales with missing answers: pairwise covariances, and what alpha makes of fillings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError, listing
from lgpi_research.methods.consistency import Spread, alpha
from lgpi_research.methods.sums import LAYOUTS, add_rows

__all__ = ["FILLINGS", "alphas", "pairwise_covariance", "pairwise_problem"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

FILLINGS = (
    "lowest answer",
    "highest answer",
    "item mean",
    "person mean",
    "with the person",
    "against the person",
)
"""What missing answers are filled with to see how far alpha depends on them (`alphas`)."""

_ZERO = 1e-10  # eigenvalue of the correlations of k items, over k, that counts as 0


def pairwise_covariance(x: npt.ArrayLike, weights: npt.ArrayLike) -> Floats:
    """Return covariances each of which rests on the respondents who answered both items.

    Parameters
    ----------
    x : array_like of shape (n, k)
        Answers; NaN is a missing one.
    weights : array_like of shape (n,)
        Positive weights.

    Returns
    -------
    ndarray of shape (k, k)
        With divisor sum of weights times (n - 1)/n; NaN where fewer than two answered both.

    Examples
    --------
    >>> pairwise_covariance([[1, 2], [3, 6], [5, np.nan]], np.ones(3))
    array([[4., 4.],
           [4., 8.]])
    """
    answers = np.asarray(x, dtype=np.float64)
    found = _spread(answers, np.asarray(weights, dtype=np.float64), "pairwise").covariance
    return np.full((answers.shape[1],) * 2, np.nan) if found is None else found


def pairwise_problem(covariance: npt.ArrayLike, names: Sequence[str]) -> str | None:
    """Say what keeps a pairwise covariance matrix from being one, or return None.

    Parameters
    ----------
    covariance : array_like of shape (k, k)
        Each entry from the respondents who answered both items; NaN where there are fewer
        than two.
    names : sequence of str, length k
        The items.

    Returns
    -------
    str or None
        What is wrong, which items break the matrix, and what to do.

    Notes
    -----
    Entries that rest on different respondents need not be the covariances of anything: some
    combination of the items may have a negative variance, and coefficients then have no
    meaning. The matrix is judged by the smallest eigenvalue of its correlations. The items
    named are those that weigh most in its eigenvector, taken away one at a time until the
    rest is positive definite; other sets may do as well.

    Examples
    --------
    >>> r = [[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]]
    >>> print(pairwise_problem(r, ["a", "b", "c"]))  # doctest: +ELLIPSIS
    the pairwise covariance matrix of 3 items is not positive definite: the smallest eigenvalue
    of its correlations is -0.8, ... it is without b. ...
    """
    matrix = np.asarray(covariance, dtype=np.float64)
    unknown = np.isnan(matrix)
    if unknown.any():
        rows, columns = np.nonzero(np.triu(unknown))
        pairs = [
            names[i] if i == j else f"{names[i]} and {names[j]}"
            for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
        ]
        return (
            f"{len(pairs)} entries of the pairwise covariance matrix are unknown, because fewer "
            f"than two respondents answered {listing(pairs)}. Leave items out that were not "
            "asked together."
        )
    spread = np.sqrt(np.diag(matrix).clip(0.0))
    if (spread <= 0).any():
        still = [name for name, size in zip(names, spread, strict=True) if size <= 0]
        return f"{listing(still)} never varies among those who answered; leave it out."
    correlation = matrix / np.outer(spread, spread)
    left = list(range(len(names)))
    smallest = None
    while len(left) > 1:
        values, vectors = np.linalg.eigh(correlation[np.ix_(left, left)])
        smallest = values[0] if smallest is None else smallest
        if values[0] > _ZERO * len(left):
            break
        del left[int(np.argmax(np.abs(vectors[:, 0])))]
    if smallest is None or len(left) == len(names):
        return None
    out = [name for number, name in enumerate(names) if number not in left]
    if smallest >= -_ZERO * len(names):
        return (
            f"the pairwise covariance matrix of {len(names)} items is singular: "
            f"{listing(out)} follows from the other items. Leave it out."
        )
    return (
        f"the pairwise covariance matrix of {len(names)} items is not positive definite: the "
        f"smallest eigenvalue of its correlations is {smallest:.2g}, because its entries rest on "
        f"different respondents; it is without {listing(out)}. Leave items out that few answered, "
        "or use missing='listwise'."
    )


def alphas(
    x: npt.ArrayLike, weights: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike
) -> dict[str, float]:
    r"""Return alpha under different treatments of missing answers.

    Parameters
    ----------
    x : array_like of shape (n, k)
        Answers to the items of one scale, all scored in the same direction; NaN is a missing
        one. Respondents who were not asked an item must be left out before: nothing is to be
        put in its place.
    weights : array_like of shape (n,)
        Weights, at least 0.
    low, high : array_like of shape (k,)
        Smallest and largest possible answer, NaN where there is none.

    Returns
    -------
    dict of str to float
        "listwise" and "pairwise", then `FILLINGS`; NaN where alpha has no answer, as where a
        filling needs ends of the scale that are not known, or the sum score does not vary.

    Raises
    ------
    MethodError
        If there are fewer than two items.

    Notes
    -----
    Fillings are of respondents who answered at least one item. "item mean" is that of the
    answers given, and makes items vary too little. "person mean" places an item as far up
    its scale as the person's answers lie on average, which on a common scale is their mean,
    and makes items agree too well. "with the person" fills an item with the end of its scale on the
    side where the person's other answers lie, from the item means, in units of the range;
    "against the person" with the other end.

    The lowest and the highest of these are a **range over stated fillings**. They are no
    bounds: alpha is not monotone in the answers, and other answers may give a lower or a
    higher alpha.

    Examples
    --------
    >>> x = [[1, 2], [2, 2], [4, 5], [5, np.nan]]
    >>> found = alphas(x, np.ones(4), [1, 1], [5, 5])
    >>> {name: round(value, 2) for name, value in found.items()}
    {'listwise': 0.97, 'pairwise': 0.88, 'lowest answer': 0.19, 'highest answer': 0.97,
     'item mean': 0.77, 'person mean': 0.97, 'with the person': 0.97, 'against the person': 0.19}
    """
    answers, weight = np.asarray(x, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    ends = [np.asarray(end, dtype=np.float64) for end in (low, high)]
    if answers.shape[1] < 2:
        raise MethodError(f"at least 2 items are needed, got {answers.shape[1]}.")
    keep = (~np.isnan(answers)).any(axis=1) & (weight > 0)
    answers, weight = answers[keep], weight[keep]
    lacking = np.isnan(answers)
    found = {name: _alpha(answers, weight, name) for name in ("listwise", "pairwise")}
    for name in FILLINGS:
        filling = _filling(name, answers, lacking, weight, ends)
        found[name] = _alpha(np.where(lacking, filling, answers), weight, "complete")
    return found


def _filling(
    name: str, answers: Floats, lacking: Mask, weights: Floats, ends: list[Floats]
) -> Floats:
    """Return what missing answers are filled with, of shape (n, k) or (k,)."""
    low, high = ends
    if name == "lowest answer":
        return low
    if name == "highest answer":
        return high
    given = np.where(lacking, 0.0, 1.0)
    known = np.where(lacking, 0.0, answers)
    with np.errstate(divide="ignore", invalid="ignore"):
        item = (weights @ known) / (weights @ given)
        if name == "item mean":
            return np.asarray(item)
        if name == "person mean":
            way = np.where(lacking, 0.0, (answers - low) / (high - low)).sum(axis=1)
            return np.asarray(low + (high - low) * (way / given.sum(axis=1))[:, None])
        side = np.where(lacking, 0.0, (answers - item) / (high - low)).sum(axis=1)[:, None]
    above = side >= 0 if name == "with the person" else side < 0
    return np.where(np.isnan(side), np.nan, np.where(above, high, low))


def _alpha(x: Floats, weights: Floats, missing: str) -> float:
    """Return alpha, NaN where it has no answer."""
    if missing == "complete":
        if np.isnan(x).any():
            return float("nan")
        missing = "listwise"
    try:
        return float(alpha(_spread(x, weights, missing)))
    except MethodError:
        return float("nan")


def _spread(x: Floats, weights: Floats, missing: str) -> Spread:
    """Return how items vary over listwise or pairwise complete answers."""
    k, layout = x.shape[1], LAYOUTS[missing]
    given = ~np.isnan(x)
    centre = np.where(given, x, 0.0).sum(axis=0) / np.fmax(given.sum(axis=0), 1)
    block = np.zeros((1, layout.width(k)))
    codes = np.zeros(len(x), dtype=np.intp)
    add_rows(layout, block, x, list(range(k)), np.ones(k), centre, weights, codes)
    if layout.spread is None:
        raise MethodError(f"sums of {missing} answers hold no variances.")
    return layout.spread(block[0], k)
