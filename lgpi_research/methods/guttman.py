"""Lower bounds of reliability: Guttman's lambdas, ten Berge's series, the greatest, split halves.

Coefficients are those of standardised items, as lambda 6 in `consistency` is, unless they are
called with ``standardise=False``: then they are those of the plain sum. Lambda 3 is alpha.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.consistency import Spread, correlation, defined, whole_covariance
from lgpi_research.registry import coefficient

__all__ = [
    "EXACT",
    "Splits",
    "glb",
    "lambda1",
    "lambda2",
    "lambda4",
    "lambda5",
    "split_halves",
    "ten_berge",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

EXACT = 20
"""Most items of which all split halves are visited."""

_ROWS = 4096  # splits at a time: bounds memory, and fixes the shape of every product
_FLAT = "an item or the sum of the items does not vary: the coefficient is undefined."


def _usable(spread: Spread, standardise: bool) -> tuple[Floats, Floats, Bools]:
    """Return matrices, variances of their sums, and which are usable; the others stand in."""
    matrix = whole_covariance(spread)
    if standardise:
        matrix = correlation(matrix)
    total = matrix.sum(axis=(-2, -1))
    good = np.asarray(np.isfinite(matrix).all(axis=(-2, -1)) & (total > 0))
    k = spread.n_items
    return np.where(good[..., None, None], matrix, np.eye(k)), np.where(good, total, k), good


def _hollow(matrix: Floats) -> Floats:
    """Return matrices with zeros on the diagonal."""
    return np.asarray(matrix * (1 - np.eye(matrix.shape[-1])))


@coefficient("lambda1", needs="covariance")
def lambda1(spread: Spread, *, standardise: bool = True) -> Floats:
    r"""Return Guttman's lambda 1, :math:`1 - \operatorname{tr} S/V`, shape (…).

    With covariance matrix S and :math:`V = 1'S1`. The lowest of the bounds [1]_.

    Parameters
    ----------
    spread : Spread
        Of k items with their covariances; leading axes are replicates.
    standardise : bool, default True
        Whether the items are standardised first.

    Raises
    ------
    MethodError
        If there are fewer than two items, or, in a single set, an item or the sum does
        not vary.

    References
    ----------
    .. [1] Guttman, L. (1945). A basis for analyzing test-retest reliability.
       *Psychometrika*, 10, 255-282.

    Examples
    --------
    >>> round(float(lambda1(Spread.from_covariance([[1.0, 0.6], [0.6, 1.0]]))), 12)
    0.375
    """
    matrix, total, good = _usable(spread, standardise)
    return defined(_hollow(matrix).sum(axis=(-2, -1)) / total, good, _FLAT)


@coefficient("lambda2", needs="covariance")
def lambda2(spread: Spread, *, standardise: bool = True) -> Floats:
    r"""Return Guttman's lambda 2.

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
        If there are fewer than two items, or, in a single set, an item or the sum does
        not vary.

    Notes
    -----
    :math:`\lambda_2 = \lambda_1 + \sqrt{\frac{k}{k-1}\sum_{i \ne j} s_{ij}^2}\,/\,V` [1]_.
    Never below alpha, and equal to it if all covariances are equal.

    References
    ----------
    .. [1] Guttman, L. (1945). A basis for analyzing test-retest reliability.
       *Psychometrika*, 10, 255-282.

    Examples
    --------
    >>> round(float(lambda2(Spread.from_covariance([[1.0, 0.6], [0.6, 1.0]]))), 12)
    0.75
    """
    return np.asarray(ten_berge(spread, order=1, standardise=standardise), dtype=np.float64)


@coefficient("lambda5", needs="covariance", smooth=False)
def lambda5(spread: Spread, *, standardise: bool = True) -> Floats:
    r"""Return Guttman's lambda 5, :math:`\lambda_1 + 2\sqrt{\max_j\sum_{i\ne j}s_{ij}^2}/V`.

    Of shape (…). Above lambda 2 where one item has high covariances with the others, which
    have low ones among themselves [1]_.

    Raises
    ------
    MethodError
        If there are fewer than two items, or, in a single set, an item or the sum does
        not vary.

    Notes
    -----
    Of equal items the best column is chosen by chance, and the bound is then a little high:
    it has the interval of a maximum
    (`lgpi_research.methods.directional.directional_interval`).

    Bias, and coverage in per cent of 95 % intervals, in 2,500 simulated surveys each
    (`lgpi_research.reliability.assess_reliability`):

    ==========================  ======  ===========  ======  ==========
    sample                      bias    directional  Rao-Wu  percentile
    ==========================  ======  ===========  ======  ==========
    300 respondents             -0.000  94.7         94.8    94.4
    20 PSUs, share 0.4          -0.004  93.2         92.5    89.7
    200 PSUs, share 0.1         -0.000  94.8         94.9    94.6
    20 PSUs, share 0.4, equal   +0.002  94.1         -       -
    200 PSUs, share 0.1, equal  +0.002  95.0         -       -
    ==========================  ======  ===========  ======  ==========

    References
    ----------
    .. [1] Guttman, L. (1945). A basis for analyzing test-retest reliability.
       *Psychometrika*, 10, 255-282.

    Examples
    --------
    >>> round(float(lambda5(Spread.from_covariance([[1.0, 0.6], [0.6, 1.0]]))), 12)
    0.75
    """
    matrix, total, good = _usable(spread, standardise)
    hollow = _hollow(matrix)
    strongest = np.sqrt(np.square(hollow).sum(axis=-1).max(axis=-1))
    return defined((hollow.sum(axis=(-2, -1)) + 2 * strongest) / total, good, _FLAT)


@coefficient("ten_berge", needs="covariance")
def ten_berge(spread: Spread, *, order: int = 3, standardise: bool = True) -> Floats:
    r"""Return a bound of ten Berge and Zegers' series.

    Parameters
    ----------
    spread : Spread
        Of k items with their covariances; leading axes are replicates.
    order : int, default 3
        Place r in the series: 0 is alpha, 1 is lambda 2; the bound never falls with it,
        and gains little beyond 3.
    standardise : bool, default True
        Whether the items are standardised first.

    Returns
    -------
    ndarray of shape (…)

    Raises
    ------
    MethodError
        If there are fewer than two items, or, in a single set, an item or the sum does
        not vary.
    SpecError
        If the order is not a whole number from 0 to 8.

    Notes
    -----
    With :math:`p_h = \sum_{i\ne j} s_{ij}^{2^h}` [1]_,

    .. math::

        \mu_r = \frac{1}{V}\left(p_0 + \sqrt{p_1 + \sqrt{p_2 + \dots
        \sqrt{p_{r-1} + \sqrt{\tfrac{k}{k-1} p_r}}}}\right), \qquad
        \mu_0 = \frac{k}{k-1}\frac{p_0}{V}.

    References
    ----------
    .. [1] ten Berge, J. M. F., and Zegers, F. E. (1978). A series of lower bounds to the
       reliability of a test. *Psychometrika*, 43, 575-579.

    Examples
    --------
    >>> round(float(ten_berge(Spread.from_covariance([[1.0, 0.6], [0.6, 1.0]]))), 12)
    0.75
    """
    if isinstance(order, bool) or not isinstance(order, int | np.integer) or not 0 <= order <= 8:
        raise SpecError(f"order must be a whole number from 0 to 8, got {order!r}.")
    matrix, total, good = _usable(spread, standardise)
    k = spread.n_items
    unit = np.abs(matrix).max(axis=(-2, -1))  # high powers neither vanish nor overflow
    hollow = _hollow(matrix) / unit[..., None, None]
    inner = k / (k - 1) * np.power(hollow, 2**order).sum(axis=(-2, -1))
    for power in range(order - 1, -1, -1):
        inner = np.power(hollow, 2**power).sum(axis=(-2, -1)) + np.sqrt(inner)
    return defined(inner * unit / total, good, _FLAT)


@coefficient("lambda4", needs="covariance", smooth=False)
def lambda4(spread: Spread, *, standardise: bool = True) -> Floats:
    r"""Return Guttman's lambda 4, the reliability of the best split into halves.

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
        If there are fewer than two items, or, in a single set, an item or the sum does
        not vary.

    Notes
    -----
    The largest :math:`4 c_{AB}/V` over splits into halves A and B of the items, where
    :math:`c_{AB}` is the covariance of their sums [1]_; with an odd number of items one
    half has one item more. Up to 20 items every split is visited. Beyond, it is the best
    that exchanges of items find from 2k starts, and may be lower than the best there is:
    `split_halves` says which.

    The maximum of many estimates lies above the best split of the population, the more
    so the fewer the respondents and the more the items: in small samples this bound can
    exceed the reliability. Its interval, which is that of a maximum
    (`lgpi_research.methods.directional.directional_interval`), has it near the upper end.

    Bias, and coverage in per cent of 95 % intervals, in 2,500 simulated surveys each
    (`lgpi_research.reliability.assess_reliability`):

    ==========================  ======  ===========  ======  ==========
    sample                      bias    directional  Rao-Wu  percentile
    ==========================  ======  ===========  ======  ==========
    300 respondents             +0.019  94.5         82.8    64.9
    20 PSUs, share 0.4          +0.015  95.0         91.5    85.9
    200 PSUs, share 0.1         +0.005  94.9         88.9    77.3
    20 PSUs, share 0.4, equal   +0.016  94.6         -       -
    200 PSUs, share 0.1, equal  +0.006  95.2         -       -
    ==========================  ======  ===========  ======  ==========

    References
    ----------
    .. [1] Guttman, L. (1945). A basis for analyzing test-retest reliability.
       *Psychometrika*, 10, 255-282.

    Examples
    --------
    Of two pairs of near copies, the halves that hold one of each pair are the most alike:

    >>> matrix = np.full((4, 4), 0.2) + 0.6 * np.kron(np.eye(2), np.ones((2, 2)))
    >>> np.fill_diagonal(matrix, 1.0)
    >>> round(float(lambda4(Spread.from_covariance(matrix))), 12), round(4 * 2.0 / 8.8, 12)
    (0.909090909091, 0.909090909091)
    """
    matrix, total, good = _usable(spread, standardise)
    k = spread.n_items
    many = matrix.reshape(-1, k, k)
    least = _least_exact(many) if k <= EXACT else _least_found(many)[0]
    return defined(1 - least.reshape(total.shape) / total, good, _FLAT)


@dataclass(frozen=True, eq=False)
class Splits:
    """Reliability of a sum by its split halves.

    Attributes
    ----------
    values : ndarray
        :math:`4 c_{AB}/V` of the splits, ascending.
    exact : bool
        Whether these are all splits; if not, they are a random sample of them.
    n_splits : int
        Number of splits that there are.
    best : float
        Lambda 4: the largest value of all, or the largest that was found.
    best_half : tuple of int
        The items of one half of the best split, from 0.
    """

    values: Floats
    exact: bool
    n_splits: int
    best: float
    best_half: tuple[int, ...]


def split_halves(
    matrix: npt.ArrayLike, *, rng: np.random.Generator | None = None, draws: int = 10_000
) -> Splits:
    r"""Return the reliabilities of all split halves of a set of items.

    Parameters
    ----------
    matrix : array_like of shape (k, k)
        Covariance matrix of the items, or their correlations for standardised items.
    rng : Generator, optional
        Draws the splits of more than 20 items; not used for fewer.
    draws : int, default 10,000
        Number of splits to draw.

    Returns
    -------
    Splits

    Raises
    ------
    MethodError
        If there are fewer than two items, one does not vary, or their sum does not.
    SpecError
        If there are more than 20 items and no generator, or fewer than one draw.

    Notes
    -----
    A split of an even number of items is counted once, so that there are
    :math:`\binom{k}{k/2}/2`; of an odd number there are :math:`\binom{k}{(k-1)/2}`. With
    an even number of items the mean over all splits is alpha [1]_; with an odd number it
    is :math:`1 - 1/k^2` of it.

    References
    ----------
    .. [1] Cronbach, L. J. (1951). Coefficient alpha and the internal structure of
       tests. *Psychometrika*, 16, 297-334.

    Examples
    --------
    >>> found = split_halves(np.full((4, 4), 0.5) + 0.5 * np.eye(4))
    >>> found.values.round(12), found.n_splits
    (array([0.8, 0.8, 0.8]), 3)
    """
    whole = np.asarray(matrix, dtype=np.float64)
    k = whole.shape[-1]
    if whole.shape != (k, k) or k < 2:
        raise MethodError(f"a matrix of at least 2 items is needed, got shape {whole.shape}.")
    total = whole.sum()
    if not (np.isfinite(whole).all() and (np.diagonal(whole) > 0).all() and total > 0):
        raise MethodError(_FLAT)
    number = math.comb(k, k // 2) // (1 if k % 2 else 2)
    if k <= EXACT:
        signs = np.concatenate(list(_halves(k)))
        squares = np.concatenate([_squares(whole[None], part)[:, 0] for part in _halves(k)])
        half, least = signs[squares.argmin()], squares.min()
    else:
        if rng is None:
            raise SpecError(
                f"{k} items have {number:,} split halves, too many to visit: give a generator "
                "as rng to draw some."
            )
        if draws < 1:
            raise SpecError(f"draws must be at least 1, got {draws!r}.")
        pattern = np.where(np.arange(k) < k // 2, 1.0, -1.0)
        signs = rng.permuted(np.tile(pattern, (draws, 1)), axis=1)
        parts = [signs[start : start + _ROWS] for start in range(0, draws, _ROWS)]
        squares = np.concatenate([_squares(whole[None], part)[:, 0] for part in parts])
        searched, halves = _least_found(whole[None])
        least, half = float(searched[0]), halves[0]
        if squares.min() < least:
            least, half = squares.min(), signs[squares.argmin()]
    return Splits(
        values=np.sort(1 - squares / total),
        exact=k <= EXACT,
        n_splits=number,
        best=float(1 - least / total),
        best_half=tuple(int(item) for item in np.flatnonzero(half > 0)),
    )


def _halves(k: int) -> Iterator[Floats]:
    """Yield each split of k items once, as rows of signs, some thousands at a time."""
    if k % 2:
        chosen: Iterator[tuple[int, ...]] = combinations(range(k), k // 2)
    else:  # the first item stays on one side
        chosen = ((0, *rest) for rest in combinations(range(1, k), k // 2 - 1))
    while part := list(islice(chosen, _ROWS)):
        signs = np.full((len(part), k), -1.0)
        np.put_along_axis(signs, np.array(part, dtype=np.intp).reshape(len(part), -1), 1.0, axis=1)
        yield signs


def _squares(many: Floats, signs: Floats) -> Floats:
    """Return the variance of the difference of the halves, shape (splits, matrices)."""
    first, second = np.triu_indices(many.shape[-1], 1)
    pairs = 2 * (signs[:, first] * signs[:, second]) @ many[:, first, second].T
    return np.asarray(pairs + np.trace(many, axis1=1, axis2=2))


def _least_exact(many: Floats) -> Floats:
    """Return the least variance of the difference of halves, over all splits."""
    least = np.full(len(many), np.inf)
    for signs in _halves(many.shape[-1]):
        np.fmin(least, _squares(many, signs).min(axis=0), out=least)
    return least


def _least_found(many: Floats) -> tuple[Floats, Floats]:
    """Return the least variance that exchanges of two items find, and the signs of its halves."""
    k = many.shape[-1]
    least, best = np.empty(len(many)), np.empty((len(many), k))
    ranks = np.arange(k)
    patterns = np.where(ranks % 2 == 1, 1.0, -1.0), np.where(ranks < k // 2, 1.0, -1.0)
    for number, matrix in enumerate(many):
        order = np.argsort(np.linalg.eigh(matrix)[1].T, axis=1, kind="stable")
        signs = np.empty((2 * k, k))
        for half, pattern in enumerate(patterns):
            np.put_along_axis(signs[half * k : (half + 1) * k], order, pattern[None], axis=1)
        size = np.diagonal(matrix)
        apart = size[:, None] + size - 2 * matrix
        for _ in range(k * k):
            pull = signs @ matrix
            gain = 4 * (pull[:, None, :] - pull[:, :, None] + apart)
            gain[(signs[:, :, None] < 0) | (signs[:, None, :] > 0)] = np.inf
            flat = gain.reshape(2 * k, -1)
            swap = flat.argmin(axis=1)
            better = np.flatnonzero(flat[np.arange(2 * k), swap] < -1e-12 * size.max())
            if not len(better):
                break
            signs[better, swap[better] // k] = -1.0
            signs[better, swap[better] % k] = 1.0
        squares = np.einsum("si,ij,sj->s", signs, matrix, signs, optimize=True)
        least[number], best[number] = squares.min(), signs[squares.argmin()]
    return least, best


@coefficient("glb", needs="covariance", smooth=False)
def glb(spread: Spread, *, standardise: bool = True) -> Floats:
    r"""Return the greatest lower bound of the reliability.

    Parameters
    ----------
    spread : Spread
        Of k items with their covariances; leading axes are replicates.
    standardise : bool, default True
        Whether the items are standardised first.

    Returns
    -------
    ndarray of shape (…)
        NaN for a replicate whose covariance matrix is not positive definite.

    Raises
    ------
    MethodError
        If there are fewer than two items, or the one covariance matrix is not positive
        definite.

    Notes
    -----
    Of all diagonal matrices :math:`\Theta \ge 0` of error variances that leave
    :math:`S - \Theta` positive semidefinite, it takes the one of largest trace:
    :math:`1 - \operatorname{tr}\Theta/V` [1]_. With uncorrelated errors no reliability of
    the population is below it. It is found by Newton steps on a logarithmic barrier,
    whose last weight leaves a gap below 1e-9 of the mean variance of an item.

    The bound of a sample is above that of the population, by several hundredths with few
    hundred respondents: it is no lower bound in small samples. Its interval is that of a
    maximum (`lgpi_research.methods.directional.directional_interval`).

    Bias, and coverage in per cent of 95 % intervals, in 2,500 simulated surveys each
    (`lgpi_research.reliability.assess_reliability`):

    ===================  ======  ===========  ======  ==========
    sample               bias    directional  Rao-Wu  percentile
    ===================  ======  ===========  ======  ==========
    20 PSUs, share 0.4   +0.019  94.3         89.0    79.6
    200 PSUs, share 0.1  +0.007  94.8         -       -
    ===================  ======  ===========  ======  ==========

    References
    ----------
    .. [1] Jackson, P. H., and Agunwamba, C. C. (1977). Lower bounds for the reliability
       of the total score on a test composed of non-homogeneous items: I. Algebraic lower
       bounds. *Psychometrika*, 42, 567-578.

    Examples
    --------
    Items with one factor and uncorrelated errors reach their reliability:

    >>> load = np.array([0.8, 0.7, 0.6, 0.5])
    >>> matrix = np.outer(load, load) + np.diag(1 - load**2)
    >>> round(float(glb(Spread.from_covariance(matrix))), 6), round(2.6**2 / 9.02, 6)
    (0.749446, 0.749446)
    """
    matrix, total, good = _usable(spread, standardise)
    k = spread.n_items
    many = matrix.reshape(-1, k, k)
    roots = np.linalg.eigvalsh(many)
    definite = roots[:, 0] > k * np.finfo(float).eps * roots[:, -1]
    errors = _largest_errors(np.where(definite[:, None, None], many, np.eye(k)))
    value = 1 - errors.sum(axis=1).reshape(total.shape) / total
    why = "the covariance matrix is not positive definite; no greatest lower bound."
    valid = good & definite.reshape(total.shape)
    defined(value, valid, why)
    return defined(value, valid & np.isfinite(value), "the greatest lower bound was not found.")


def _largest_errors(many: Floats) -> Floats:
    """Return the error variances of largest sum that leave each matrix semidefinite."""
    k = many.shape[-1]
    unit = np.trace(many, axis1=1, axis2=2) / k
    scaled = many / unit[:, None, None]
    eye = np.eye(k)
    errors = np.repeat(np.linalg.eigvalsh(scaled)[:, :1] / 2, k, axis=1)
    weight = 1.0
    while weight > 1e-10 / k:
        weight /= 5
        for _ in range(50):
            inverse = np.linalg.inv(scaled - errors[:, :, None] * eye)
            slope = 1 / weight - np.diagonal(inverse, axis1=1, axis2=2) + 1 / errors
            bend = np.square(inverse) + np.square(1 / errors)[:, :, None] * eye
            step = np.linalg.solve(bend, slope[:, :, None])[:, :, 0]
            size = np.sqrt(np.fmax(np.einsum("bi,bi->b", step, slope), 0.0))[:, None]
            errors = errors + step / np.where(size > 0.25, 1 + size, 1.0)
            if size.max() < 1e-3:
                break
    return np.where(size < 0.25, errors * unit[:, None], np.nan)
