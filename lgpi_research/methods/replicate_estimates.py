"""Estimates of a survey under replicate weights: many items and replicates at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, stats

from lgpi_research.errors import MethodError, SpecError, listing
from lgpi_research.methods.replication import ReplicateWeights
from lgpi_research.methods.sums import one_hot

__all__ = [
    "Replicated",
    "replicate_covariance",
    "replicate_means",
    "replicate_ratios",
    "replicate_regression",
    "replicate_sums",
    "replicate_totals",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_DEPENDENT = 1e-10  # share of its length that a column adds to those before it


@dataclass(frozen=True, eq=False)
class Replicated:
    """Estimates, with the covariance that their replicates give them.

    Attributes
    ----------
    estimate : ndarray of shape (p,)
        Of the full sample.
    replicates : ndarray of shape (r, p)
        Of each replicate.
    covariance : ndarray of shape (p, p)
    df : int
        Degrees of freedom of the covariance.
    n_used : ndarray of int of shape (p,)
        Rows with a positive weight behind each estimate.
    """

    estimate: Floats
    replicates: Floats
    covariance: Floats
    df: int
    n_used: Ints

    @property
    def std_error(self) -> Floats:
        """Standard errors, shape (p,)."""
        return np.sqrt(np.diag(self.covariance))

    def interval(self, level: float = 0.95) -> Floats:
        """Return intervals of shape (p, 2) by t with `df` degrees of freedom."""
        if not 0 < level < 1:
            raise SpecError(f"level must lie between 0 and 1, got {level!r}.")
        reach = stats.t.isf((1 - level) / 2, self.df) * self.std_error
        return np.column_stack([self.estimate - reach, self.estimate + reach])


def replicate_covariance(
    estimates: npt.ArrayLike,
    full: npt.ArrayLike,
    reps: ReplicateWeights,
    *,
    undefined: str = "fail",
) -> Floats:
    r"""Return the covariance of estimators from their replicates.

    Parameters
    ----------
    estimates : array_like of shape (r, p)
        Estimates of each replicate.
    full : array_like of shape (p,)
        Estimates of the full sample.
    reps : ReplicateWeights
        How replicates make a variance.
    undefined : {"fail", "drop"}, default "fail"
        What to do with replicates that have no estimate (NaN): refuse them, or leave them
        out as R's survey does, with the others at their usual scale. The latter is too
        small by what they would have added; in a jackknife, where each replicate stands
        for a PSU, it may be far too small.

    Returns
    -------
    ndarray of shape (p, p)

    Raises
    ------
    MethodError
        If replicates have no estimate and `undefined` is "fail", or none is left.
    SpecError
        If `undefined` is neither of the two.

    Notes
    -----
    :math:`V = s \sum_r c_r (\hat\theta_r - \theta_0)(\hat\theta_r - \theta_0)'`, with
    :math:`s` and :math:`c_r` the scales of `reps`.

    Examples
    --------
    The variance of a mean of 1, 2 and 6 is 7/3:

    >>> from lgpi_research.methods.design import Design
    >>> from lgpi_research.methods.replication import replicate_weights
    >>> made = replicate_weights(Design.from_labels(3), "jk1")
    >>> replicate_covariance([[4.0], [3.5], [1.5]], [3.0], made)
    array([[2.33333333]])
    """
    if undefined not in ("fail", "drop"):
        raise SpecError(f"undefined must be 'fail' or 'drop', got {undefined!r}.")
    table, middle = np.asarray(estimates, dtype=np.float64), np.asarray(full, dtype=np.float64)
    if table.shape != (len(reps), *middle.shape):
        raise MethodError(
            f"{len(reps)} replicates of {len(middle)} estimates are needed, got {table.shape}."
        )
    whole = np.isfinite(table).all(axis=1)
    lost = int((~whole).sum())
    if lost and (undefined == "fail" or lost == len(table)):
        which = np.flatnonzero(~np.isfinite(table).all(axis=0))
        raise MethodError(
            f"{lost} of {len(table)} replicates have no estimate of number {listing(which + 1)}: "
            "all that it rests on had weight 0. Join small groups, or use replicates that leave "
            "nobody out ('fay')."
        )
    coefficients = reps.rscales[whole]
    table = table[whole]
    if reps.centre == "mean":
        middle = table[coefficients > 0].mean(axis=0)
    centred = (table - middle) * np.sqrt(reps.scale * coefficients)[:, None]
    return np.asarray(centred.T @ centred)


def replicate_sums(
    values: npt.ArrayLike, weights: npt.ArrayLike, reps: ReplicateWeights
) -> tuple[Floats, Floats]:
    r"""Return weighted sums of columns, of the full sample and of each replicate.

    Parameters
    ----------
    values : array_like of shape (n, k)
        Without missing values.
    weights : array_like of shape (n,)
        Weights of the full sample.
    reps : ReplicateWeights
        Of the same rows.

    Returns
    -------
    full : ndarray of shape (k,)
    replicates : ndarray of shape (r, k)

    Raises
    ------
    MethodError
        If rows differ in number.

    Notes
    -----
    Replicates change what PSUs count for, not what is in them: rows are summed once by
    PSU, and all replicates are one product, :math:`R\,(r \times \text{PSU})\;
    S\,(\text{PSU} \times k)`.

    Examples
    --------
    >>> from lgpi_research.methods.design import Design
    >>> from lgpi_research.methods.replication import replicate_weights
    >>> made = replicate_weights(Design.from_labels(3, stages=[["a", "a", "b"]]), "jk1")
    >>> replicate_sums([[1.0], [2.0], [4.0]], [1, 1, 10], made)
    (array([43.]), array([[80.],
           [ 6.]]))
    """
    table, base = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    _check_rows(table, base, reps)
    by_psu = np.asarray(one_hot(reps.psu, reps.multipliers.shape[1], base) @ table)
    return by_psu.sum(axis=0), reps.multipliers @ by_psu


def replicate_totals(
    values: npt.ArrayLike,
    weights: npt.ArrayLike,
    reps: ReplicateWeights,
    *,
    undefined: str = "fail",
) -> Replicated:
    r"""Estimate totals of items.

    Parameters
    ----------
    values : array_like of shape (n, k)
        NaN is a missing value, or a row outside the domain: it adds nothing.
    weights : array_like of shape (n,)
        Weights of the full sample.
    reps : ReplicateWeights
        Of the same rows.
    undefined : {"fail", "drop"}, default "fail"
        See `replicate_covariance`.

    Returns
    -------
    Replicated

    Raises
    ------
    MethodError
        If rows differ in number.

    Notes
    -----
    :math:`\sum w y`, in each replicate with its own weights.

    Examples
    --------
    >>> from lgpi_research.methods.design import Design
    >>> from lgpi_research.methods.replication import replicate_weights
    >>> made = replicate_weights(Design.from_labels(3), "jk1")
    >>> found = replicate_totals([[1.0], [2.0], [6.0]], [1, 1, 1], made)
    >>> float(found.estimate[0]), round(float(found.covariance[0, 0]), 9)
    (9.0, 21.0)
    """
    table = _columns(values)
    seen = ~np.isnan(table)
    full, each = replicate_sums(np.where(seen, table, 0.0), weights, reps)
    return _replicated(full, each, reps, _n_used(seen, weights), undefined)


def replicate_means(
    values: npt.ArrayLike,
    weights: npt.ArrayLike,
    reps: ReplicateWeights,
    *,
    undefined: str = "fail",
) -> Replicated:
    """Estimate means of items, each over the rows that have a value.

    Parameters
    ----------
    values : array_like of shape (n, k)
        NaN is a missing value, or a row outside the domain whose mean is wanted.
    weights, reps, undefined
        As in `replicate_totals`.

    Returns
    -------
    Replicated

    Raises
    ------
    MethodError
        If an item has no value of positive weight, in the full sample or (see
        `undefined`) in a replicate; if rows differ in number.

    Examples
    --------
    >>> from lgpi_research.methods.design import Design
    >>> from lgpi_research.methods.replication import replicate_weights
    >>> made = replicate_weights(Design.from_labels(4), "jk1")
    >>> found = replicate_means([[1.0], [2.0], [6.0], [np.nan]], [1, 1, 1, 1], made)
    >>> float(found.estimate[0]), int(found.n_used[0])
    (3.0, 3)
    """
    table, base = _columns(values), np.asarray(weights, dtype=np.float64)
    _check_rows(table, base, reps)
    seen = ~np.isnan(table)
    whole, k = bool(seen.all()), table.shape[1]
    filled = table if whole else np.where(seen, table, 0.0)
    # About the mean, so that a large one costs no precision.
    size = base @ seen
    middle = (base @ filled) / np.where(size != 0, size, 1.0)
    last = np.ones((len(table), 1)) if whole else seen  # one count serves all full columns
    both = np.empty((len(table), k + last.shape[1]))
    np.subtract(filled, middle, out=both[:, :k])
    if not whole:
        both[:, :k] *= seen
    both[:, k:] = last
    full, each = replicate_sums(both, base, reps)
    n_used = _n_used(seen, base)
    return _quotients(full[:k], full[k:], each[:, :k], each[:, k:], reps, n_used, undefined, middle)


def replicate_ratios(
    numerators: npt.ArrayLike,
    denominators: npt.ArrayLike,
    weights: npt.ArrayLike,
    reps: ReplicateWeights,
    *,
    undefined: str = "fail",
) -> Replicated:
    """Estimate ratios of totals, each over the rows that have both values.

    Parameters
    ----------
    numerators, denominators : array_like of shape (n, k)
        NaN is a missing value, or a row outside the domain.
    weights, reps, undefined
        As in `replicate_totals`.

    Returns
    -------
    Replicated

    Raises
    ------
    MethodError
        If a total of denominators is 0, in the full sample or (see `undefined`) in a
        replicate; if shapes differ.

    Examples
    --------
    >>> from lgpi_research.methods.design import Design
    >>> from lgpi_research.methods.replication import replicate_weights
    >>> made = replicate_weights(Design.from_labels(3), "jk1")
    >>> found = replicate_ratios([[1.0], [2.0], [6.0]], [[2.0], [3.0], [13.0]], [1, 1, 1], made)
    >>> float(found.estimate[0])
    0.5
    """
    top, bottom = _columns(numerators), _columns(denominators)
    if top.shape != bottom.shape:
        raise MethodError(f"numerators {top.shape} and denominators {bottom.shape} do not fit.")
    seen = ~(np.isnan(top) | np.isnan(bottom))
    k = top.shape[1]
    both = np.where(np.hstack([seen, seen]), np.hstack([top, bottom]), 0.0)
    full, each = replicate_sums(both, weights, reps)
    n_used = _n_used(seen, weights)
    return _quotients(full[:k], full[k:], each[:, :k], each[:, k:], reps, n_used, undefined)


def replicate_regression(
    y: npt.ArrayLike,
    X: npt.ArrayLike,
    weights: npt.ArrayLike,
    reps: ReplicateWeights,
    *,
    undefined: str = "fail",
) -> Replicated:
    r"""Estimate the coefficients of a weighted linear regression.

    Parameters
    ----------
    y : array_like of shape (n,)
        Outcome; rows with NaN in it or in `X` are set aside.
    X : array_like of shape (n, p)
        Regressors, with the column of ones if there is one.
    weights, reps, undefined
        As in `replicate_totals`.

    Returns
    -------
    Replicated
        Tests of a coefficient usually take ``df + 1 - p`` degrees of freedom.

    Raises
    ------
    MethodError
        If columns depend on one another, in the full sample or (see `undefined`) in a
        replicate; if shapes differ.

    Notes
    -----
    :math:`\hat\beta_r = (\sum_i m_{ri} A_i)^{-1} \sum_i m_{ri} b_i` with the products
    :math:`A_i = X_i' W_i X_i` and :math:`b_i = X_i' W_i y_i` of PSU i, which are made
    once, of columns made orthogonal first, so that no precision is lost in squaring.

    Examples
    --------
    >>> from lgpi_research.methods.design import Design
    >>> from lgpi_research.methods.replication import replicate_weights
    >>> made = replicate_weights(Design.from_labels(4), "jk1")
    >>> X = np.column_stack([np.ones(4), [0, 1, 2, 3]])
    >>> replicate_regression([1.0, 3.0, 5.0, 7.0], X, np.ones(4), made).estimate.round(9)
    array([1., 2.])
    """
    outcome, table = np.asarray(y, dtype=np.float64), _columns(X)
    base = np.asarray(weights, dtype=np.float64)
    if outcome.shape != table.shape[:1] or base.shape != outcome.shape:
        raise MethodError(
            f"y {outcome.shape}, X {table.shape} and weights {base.shape} do not fit."
        )
    used = ~(np.isnan(outcome) | np.isnan(table).any(axis=1))
    outcome, table = np.where(used, outcome, 0.0), np.where(used[:, None], table, 0.0)
    base = np.where(used, base, 0.0)
    p = table.shape[1]
    triangle = linalg.qr(np.sqrt(base)[:, None] * table, mode="r")[0][:p]
    length = np.sqrt(np.square(triangle).sum(axis=0))
    own = np.zeros(p)
    own[: len(triangle)] = np.abs(np.diag(triangle))
    lost = np.flatnonzero(~(own > _DEPENDENT * length))
    if len(lost):
        raise MethodError(
            f"columns {listing(lost + 1)} of X are sums of the columns before them, or 0; leave "
            "them out."
        )
    straight = linalg.solve_triangular(triangle, table.T, trans="T").T
    rows, columns = np.triu_indices(p)
    products = np.column_stack(
        [straight[:, rows] * straight[:, columns], straight * outcome[:, None]]
    )
    full, each = replicate_sums(products, base, reps)
    every = np.vstack([full, each])
    number = np.zeros((p, p), dtype=np.intp)
    number[rows, columns] = number[columns, rows] = np.arange(len(rows))
    left, right = every[:, number], every[:, len(rows) :]
    singular = np.linalg.eigvalsh(left)[:, 0] <= _DEPENDENT
    left[singular] = np.eye(p)
    coefficients = np.linalg.solve(left, right[..., None])[..., 0]
    found = linalg.solve_triangular(triangle, coefficients.T).T
    found[singular] = np.nan
    n_used = np.full(p, int((base > 0).sum()))
    return _replicated(found[0], found[1:], reps, n_used, undefined)


def _columns(values: npt.ArrayLike) -> Floats:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise MethodError(f"values must be rows by columns, got shape {table.shape}.")
    return table


def _check_rows(table: Floats, base: Floats, reps: ReplicateWeights) -> None:
    if base.shape != reps.psu.shape or table.shape[:1] != base.shape:
        raise MethodError(
            f"replicates are of {len(reps.psu)} rows, weights of {base.shape}, values of "
            f"{table.shape[:1]}."
        )


def _n_used(seen: npt.NDArray[np.bool_], weights: npt.ArrayLike) -> Ints:
    """Return how many rows with a positive weight each column of `seen` has."""
    held = np.asarray(weights, dtype=np.float64) > 0
    return np.asarray(held.astype(np.float64) @ seen).astype(np.int64)


def _quotients(
    top: Floats,
    bottom: Floats,
    tops: Floats,
    bottoms: Floats,
    reps: ReplicateWeights,
    n_used: Ints,
    undefined: str,
    middle: Floats | float = 0.0,
) -> Replicated:
    """Return quotients of sums, of values less `middle`."""
    empty = np.flatnonzero(np.broadcast_to(bottom == 0, top.shape))
    if len(empty):
        raise MethodError(
            f"estimate {listing(empty + 1)}: no row that has the value counts for anything, so "
            "there is nothing to divide by."
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        each = middle + tops / bottoms
    each[np.broadcast_to(bottoms == 0, each.shape)] = np.nan
    return _replicated(middle + top / bottom, each, reps, n_used, undefined)


def _replicated(
    full: Floats, each: Floats, reps: ReplicateWeights, n_used: Ints, undefined: str
) -> Replicated:
    covariance = replicate_covariance(each, full, reps, undefined=undefined)
    return Replicated(full, each, covariance, reps.df, n_used)
