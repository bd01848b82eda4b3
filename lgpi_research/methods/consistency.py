"""Internal consistency: alpha and its relatives as functions of item covariances.

A coefficient takes a `Spread`, whose leading axes are replicates. One set of items
without a valid answer is an error; among many replicates it is a NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.registry import coefficient

__all__ = [
    "Spread",
    "alpha",
    "alpha_std_error",
    "average_r",
    "correlation",
    "drop_one",
    "feldt_interval",
    "inter_item",
    "item_mean_r",
    "item_rest_r",
    "item_total_r",
    "lambda6",
    "standardised_alpha",
]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spread:
    """How items vary: what a coefficient is a function of. Leading axes are replicates.

    Attributes
    ----------
    variances : ndarray of shape (…, k)
        Variance of each item.
    total : ndarray of shape (…)
        Variance of the sum of the items.
    covariance : ndarray of shape (…, k, k) or None
        Covariance matrix of the items, None if only variances were kept.
    """

    variances: Floats
    total: Floats
    covariance: Floats | None = None

    @classmethod
    def from_covariance(cls, covariance: npt.ArrayLike) -> Spread:
        """Return the spread of items whose covariance matrices have shape (…, k, k).

        Examples
        --------
        >>> float(alpha(Spread.from_covariance([[1.0, 0.6], [0.6, 1.0]])))
        0.75
        """
        matrix = np.asarray(covariance, dtype=np.float64)
        variances = np.diagonal(matrix, axis1=-2, axis2=-1)
        return cls(variances, matrix.sum(axis=(-2, -1)), matrix)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return int(self.variances.shape[-1])


def whole_covariance(spread: Spread, least: int = 2) -> Floats:
    """Return the covariance matrices of a spread, or say why there are none.

    Raises
    ------
    MethodError
        If the covariances were not kept, or there are fewer than `least` items.
    """
    at_least(spread, least)
    if spread.covariance is None:
        raise MethodError(
            "this coefficient needs the covariances of the items, and only their variances were "
            "kept. Take the moments again with needs='covariance'."
        )
    return spread.covariance


def at_least(spread: Spread, least: int) -> None:
    """Raise `MethodError` if there are fewer than `least` items."""
    if spread.n_items < least:
        raise MethodError(f"at least {least} items are needed, got {spread.n_items}.")


def defined(values: npt.ArrayLike, valid: npt.ArrayLike, why: str) -> Floats:
    """Return NaN where not valid; for a single value that is not valid, raise `MethodError`."""
    good = np.asarray(valid)
    if good.ndim == 0 and not good:
        raise MethodError(why)
    return np.where(good, values, np.nan)


@coefficient("alpha", needs="variances")
def alpha(spread: Spread) -> Floats:
    r"""Return coefficient alpha.

    Parameters
    ----------
    spread : Spread
        Of k items, all scored in the same direction; leading axes are replicates.

    Returns
    -------
    ndarray of shape (…)
        Alpha; NaN for a replicate whose sum score does not vary.

    Raises
    ------
    MethodError
        If there are fewer than two items, or the one sum score does not vary.

    Notes
    -----
    With :math:`k` items of variance :math:`\sigma_i^2` and a sum score of variance
    :math:`\sigma_X^2` [1]_,

    .. math::

        \alpha = \frac{k}{k-1}\left(1 - \frac{\sum_i \sigma_i^2}{\sigma_X^2}\right).

    Alpha equals the reliability of the sum score only if all items measure one trait
    equally well and their errors are uncorrelated; with unequal loadings it is lower,
    with positively correlated errors higher.

    References
    ----------
    .. [1] Cronbach, L. J. (1951). Coefficient alpha and the internal structure of
       tests. *Psychometrika*, 16, 297-334.

    Examples
    --------
    Two items that correlate 0.6 have the Spearman-Brown value 2 · 0.6 / 1.6:

    >>> float(alpha(Spread.from_covariance([[1.0, 0.6], [0.6, 1.0]])))
    0.75
    """
    at_least(spread, 2)
    k, total = spread.n_items, spread.total
    varies = total > 0
    share = np.divide(
        spread.variances.sum(axis=-1), total, out=np.ones_like(total, dtype=float), where=varies
    )
    return defined(
        k / (k - 1) * (1 - share), varies, "alpha is undefined: the sum score does not vary."
    )


def correlation(covariance: npt.ArrayLike) -> Floats:
    """Return correlation matrices; NaN in the rows of an item that does not vary.

    Parameters
    ----------
    covariance : array_like of shape (…, k, k)
        Covariance matrices.

    Returns
    -------
    ndarray of shape (…, k, k)

    Examples
    --------
    >>> correlation([[4.0, 1.0], [1.0, 1.0]])
    array([[1. , 0.5],
           [0.5, 1. ]])
    """
    matrix = np.asarray(covariance, dtype=np.float64)
    variances = np.diagonal(matrix, axis1=-2, axis2=-1)
    scale = np.sqrt(np.where(variances > 0, variances, np.nan))
    found = np.asarray(matrix / scale[..., :, None] / scale[..., None, :])
    items = np.arange(matrix.shape[-1])
    found[..., items, items] = np.where(np.isnan(scale), np.nan, 1.0)
    return found


def inter_item(covariance: npt.ArrayLike) -> Floats:
    """Return the correlations of all pairs of items, shape (…, k(k − 1)/2)."""
    matrix = correlation(covariance)
    first, second = np.triu_indices(matrix.shape[-1], 1)
    return np.asarray(matrix[..., first, second])


@coefficient("average_r", needs="covariance")
def average_r(spread: Spread) -> Floats:
    """Return the mean correlation of pairs of items, shape (…).

    Raises
    ------
    MethodError
        If there are fewer than two items, or an item does not vary.

    Examples
    --------
    >>> float(average_r(Spread.from_covariance([[4.0, 1.0], [1.0, 1.0]])))
    0.5
    """
    mean = inter_item(whole_covariance(spread)).mean(axis=-1)
    return defined(mean, np.isfinite(mean), "an item does not vary, so it has no correlation.")


@coefficient("standardised_alpha", needs="covariance")
def standardised_alpha(spread: Spread) -> Floats:
    r"""Return alpha of standardised items, :math:`k \bar r/(1 + (k-1)\bar r)`, shape (…).

    For items in different units, which are added after standardising them.

    Raises
    ------
    MethodError
        If there are fewer than two items, an item does not vary, or the sum of the
        standardised items does not.

    Examples
    --------
    >>> float(standardised_alpha(Spread.from_covariance([[4.0, 1.0], [1.0, 1.0]])))
    0.666...
    """
    k, mean = spread.n_items, average_r(spread)
    total = 1 + (k - 1) * mean
    value = np.divide(k * mean, total, out=np.full_like(total, np.nan), where=total > 0)
    return defined(value, total > 0, "alpha is undefined: the sum score does not vary.")


@coefficient("lambda6", needs="covariance")
def lambda6(spread: Spread, *, standardise: bool = True) -> Floats:
    r"""Return Guttman's lambda 6.

    Parameters
    ----------
    spread : Spread
        Of k items with their covariances; leading axes are replicates.
    standardise : bool, default True
        Whether the items are standardised first.

    Returns
    -------
    ndarray of shape (…)

    Raises
    ------
    MethodError
        If there are fewer than two items, an item does not vary, or the items are
        linearly dependent.

    Notes
    -----
    :math:`\lambda_6 = 1 - \sum_i \sigma_i^2 (1 - R_i^2)/\sum_{ij} \sigma_{ij}`, where
    :math:`R_i^2` is the squared multiple correlation of item i with the others [1]_. A lower
    bound of reliability, above alpha where items form lumps.

    References
    ----------
    .. [1] Guttman, L. (1945). A basis for analyzing test-retest reliability.
       *Psychometrika*, 10, 255-282.

    Examples
    --------
    >>> round(float(lambda6(Spread.from_covariance([[1.0, 0.6], [0.6, 1.0]]))), 3)
    0.6
    """
    whole = whole_covariance(spread)
    matrix = correlation(whole)
    k = spread.n_items
    finite = np.asarray(np.isfinite(matrix).all(axis=(-2, -1)))
    roots, vectors = np.linalg.eigh(np.where(finite[..., None, None], matrix, np.eye(k)))
    regular = finite & (roots[..., 0] > k * np.finfo(float).eps * roots[..., -1])
    roots = np.where(regular[..., None], roots, 1.0)
    residual = 1 / np.square(vectors / np.sqrt(roots)[..., None, :]).sum(axis=-1)
    used = matrix if standardise else whole
    own = np.diagonal(used, axis1=-2, axis2=-1)
    value = 1 - (own * residual).sum(axis=-1) / used.sum(axis=(-2, -1))
    why = "an item does not vary, or the items are linearly dependent; lambda 6 is undefined."
    return defined(value, regular, why)


def alpha_std_error(spread: Spread, n: npt.ArrayLike) -> Floats:
    r"""Return the standard error of alpha for independent, normal answers.

    Parameters
    ----------
    spread : Spread
        Of k items with their covariances; leading axes are replicates.
    n : array_like of shape (…)
        Number of respondents.

    Returns
    -------
    ndarray of shape (…)

    Raises
    ------
    MethodError
        If there are fewer than two items, or the one sum score does not vary.

    Notes
    -----
    With covariance matrix S and :math:`V = 1'S1`, the squared error is [1]_

    .. math::

        \frac{2k^2}{n(k-1)^2V^3}\left[V(\operatorname{tr} S^2 + \operatorname{tr}^2 S)
        - 2 \operatorname{tr}(S)\, 1'S^2 1\right].

    It does not allow for clusters of respondents or for ordered answers.

    References
    ----------
    .. [1] Duhachek, A., and Iacobucci, D. (2004). Alpha's standard error (ASE): an
       accurate and precise confidence interval estimate. *Journal of Applied
       Psychology*, 89, 792-808.

    Examples
    --------
    >>> round(float(alpha_std_error(Spread.from_covariance([[1.0, 0.6], [0.6, 1.0]]), 100)), 4)
    0.05
    """
    matrix, k = whole_covariance(spread), spread.n_items
    trace, total = spread.variances.sum(axis=-1), spread.total
    varies = total > 0
    safe = np.where(varies, total, 1.0)
    squares = np.square(matrix).sum(axis=(-2, -1))
    product = np.square(matrix.sum(axis=-1)).sum(axis=-1)
    core = safe * (squares + trace**2) - 2 * trace * product
    size = np.asarray(n, dtype=np.float64)
    value = np.sqrt(np.fmax(2 * k**2 / ((k - 1) ** 2 * safe**3) * core, 0) / size)
    return defined(value, varies, "alpha is undefined: the sum score does not vary.")


def feldt_interval(
    estimate: npt.ArrayLike, n: npt.ArrayLike, k: int, level: float = 0.95
) -> tuple[Floats, Floats]:
    r"""Return Feldt's interval of alpha.

    Parameters
    ----------
    estimate : array_like of shape (…)
        Alpha.
    n : array_like of shape (…)
        Number of respondents.
    k : int
        Number of items.
    level : float, default 0.95
        Level of the interval.

    Returns
    -------
    low, high : ndarray of shape (…)

    Raises
    ------
    MethodError
        If there are fewer than two respondents or items.
    SpecError
        If the level does not lie between 0 and 1.

    Notes
    -----
    With F on :math:`n-1` and :math:`(n-1)(k-1)` degrees of freedom and
    :math:`\gamma` = 1 − level [1]_, the limits are
    :math:`1 - (1-\hat\alpha) F_{1-\gamma/2}` and
    :math:`1 - (1-\hat\alpha) F_{\gamma/2}`. Exact for independent respondents whose
    answers are normal with equal covariances. In a clustered sample it is too short:
    see `lgpi_research.reliability.assess_reliability`.

    References
    ----------
    .. [1] Feldt, L. S., Woodruff, D. J., and Salih, F. A. (1987). Statistical inference
       for coefficient alpha. *Applied Psychological Measurement*, 11, 93-103.

    Examples
    --------
    >>> low, high = feldt_interval(0.8, 100, 5)
    >>> round(float(low), 3), round(float(high), 3)
    (0.731, 0.856)
    """
    size = np.asarray(n, dtype=np.float64)
    if k < 2 or (size < 2).any():
        raise MethodError("Feldt's interval needs two items and two respondents.")
    if not 0 < level < 1:
        raise SpecError(f"level must lie between 0 and 1, got {level!r}.")
    tail, between, within = (1 - level) / 2, size - 1, (size - 1) * (k - 1)
    lack = 1 - np.asarray(estimate, dtype=np.float64)
    low = 1 - lack * stats.f.isf(tail, between, within)
    high = 1 - lack * stats.f.ppf(tail, between, within)
    return np.asarray(low), np.asarray(high)


def drop_one(covariance: npt.ArrayLike) -> Floats:
    """Return the covariance matrices that leave out one item each.

    Parameters
    ----------
    covariance : array_like of shape (…, k, k)
        Covariance matrices.

    Returns
    -------
    ndarray of shape (…, k, k − 1, k − 1)
        The third axis from the end is the item left out, so that any coefficient of
        the result is that coefficient "if dropped".

    Examples
    --------
    >>> drop_one([[1.0, 2.0], [2.0, 5.0]]).ravel()
    array([5., 1.])
    """
    matrix = np.asarray(covariance, dtype=np.float64)
    k = matrix.shape[-1]
    kept = np.array([[j for j in range(k) if j != i] for i in range(k)], dtype=np.intp)
    return np.asarray(matrix[..., kept[:, :, None], kept[:, None, :]])


def item_total_r(covariance: npt.ArrayLike) -> Floats:
    """Return the correlation of each item with the sum of all, itself included, shape (…, k)."""
    matrix = np.asarray(covariance, dtype=np.float64)
    variances = np.diagonal(matrix, axis1=-2, axis2=-1)
    total = matrix.sum(axis=(-2, -1))[..., None]
    return _ratio(matrix.sum(axis=-1), variances * total)


def item_rest_r(covariance: npt.ArrayLike) -> Floats:
    """Return the correlation of each item with the sum of the others.

    Parameters
    ----------
    covariance : array_like of shape (…, k, k)
        Covariance matrices.

    Returns
    -------
    ndarray of shape (…, k)
        NaN where the item or the rest does not vary. A negative one says that the item
        is scored in the wrong direction, or measures something else.

    Examples
    --------
    >>> item_rest_r([[1.0, 0.6], [0.6, 1.0]])
    array([0.6, 0.6])
    """
    matrix = np.asarray(covariance, dtype=np.float64)
    variances = np.diagonal(matrix, axis1=-2, axis2=-1)
    with_sum = matrix.sum(axis=-1)
    rest = matrix.sum(axis=(-2, -1))[..., None] - 2 * with_sum + variances
    return _ratio(with_sum - variances, variances * rest)


def _ratio(covariance: Floats, product: Floats) -> Floats:
    """Return covariances over the root of products of variances, NaN where one is 0."""
    positive = product > 0
    out = np.full(np.broadcast_shapes(covariance.shape, product.shape), np.nan)
    np.divide(covariance, np.sqrt(np.where(positive, product, 1)), out=out, where=positive)
    return out


def item_mean_r(answers: npt.ArrayLike) -> Floats:
    """Return the correlation of each item with the mean of the items a person answered.

    Parameters
    ----------
    answers : array_like of shape (n, k)
        Answers; NaN is a missing one.

    Returns
    -------
    ndarray of shape (k,)
        Over the persons who answered the item; NaN where it does not vary. With
        complete answers this is `item_total_r`.

    Examples
    --------
    >>> item_mean_r([[1.0, 2.0], [2.0, np.nan], [3.0, 3.0], [4.0, 6.0]]).round(3)
    array([0.959, 0.98 ])
    """
    table = np.asarray(answers, dtype=np.float64)
    seen = ~np.isnan(table)
    counts = seen.sum(axis=1, keepdims=True)
    means = np.where(seen, table, 0).sum(axis=1, keepdims=True) / np.fmax(counts, 1)
    n = np.fmax(seen.sum(axis=0), 1)
    centred = np.where(seen, table, 0)
    centred = np.where(seen, centred - centred.sum(axis=0) / n, 0)
    score = np.where(seen, means - np.where(seen, means, 0).sum(axis=0) / n, 0)
    product = np.square(centred).sum(axis=0) * np.square(score).sum(axis=0)
    return _ratio((centred * score).sum(axis=0), product)
