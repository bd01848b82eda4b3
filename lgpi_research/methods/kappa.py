"""Kappas and Kendall's W with the tests of their authors, for ratings without gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.errors import MethodError
from lgpi_research.methods.agreement import agreement_weights

__all__ = [
    "Cohen",
    "Fleiss",
    "Kendall",
    "cohen_kappa",
    "complete_ratings",
    "fleiss_kappa",
    "kendall_w",
    "rank_correlations",
]

Floats = npt.NDArray[np.float64]


def complete_ratings(ratings: npt.ArrayLike, *, coders: int = 2, units: int = 2) -> Floats:
    """Return the units that every coder rated.

    Parameters
    ----------
    ratings : array_like of shape (n_units, n_coders)
        NaN is a rating that was not given.
    coders, units : int, default 2
        How many are needed.

    Returns
    -------
    ndarray of shape (n_complete, n_coders)

    Raises
    ------
    MethodError
        If there are fewer coders or complete units.

    Examples
    --------
    >>> complete_ratings([[1, 2], [1, np.nan], [3, 3]])
    array([[1., 2.],
           [3., 3.]])
    """
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < coders:
        raise MethodError(f"{coders} coders are needed, got ratings of shape {table.shape}.")
    complete = table[~np.isnan(table).any(axis=1)]
    if len(complete) < units:
        raise MethodError(
            f"{len(complete)} of {len(table)} units were rated by every coder; at least {units} "
            "are needed. Use a coefficient that takes missing ratings, such as Krippendorff's "
            "alpha."
        )
    return complete


@dataclass(frozen=True)
class Cohen:
    """Cohen's kappa.

    Attributes
    ----------
    estimate, std_error : float
        Kappa and its large-sample standard error.
    null_std_error : float
        Standard error if the coders agreed by chance only.
    observed, expected : float
        Weighted agreement, and what chance would give.
    n_units : int
        Units that both coders rated.
    """

    estimate: float
    std_error: float
    null_std_error: float
    observed: float
    expected: float
    n_units: int

    @property
    def z(self) -> float:
        """Kappa in null standard errors."""
        return self.estimate / self.null_std_error

    @property
    def p_value(self) -> float:
        """Two-sided p-value of agreement by chance only."""
        return float(2 * stats.norm.sf(abs(self.z)))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the normal interval, cut at -1 and 1."""
        reach = float(stats.norm.isf((1 - level) / 2)) * self.std_error
        return max(-1.0, self.estimate - reach), min(1.0, self.estimate + reach)


def cohen_kappa(
    ratings: npt.ArrayLike,
    weights: str = "identity",
    *,
    categories: npt.ArrayLike | None = None,
) -> Cohen:
    r"""Estimate Cohen's kappa of two coders.

    Parameters
    ----------
    ratings : array_like of shape (n_units, 2)
        NaN is a rating that was not given; such units are set aside.
    weights : str, default "identity"
        One of `lgpi_research.methods.agreement.WEIGHTS`.
    categories : array_like or None
        Values that could be given; None takes those that were. They matter for ordinal
        weights, and for others if they are farther apart than those given.

    Returns
    -------
    Cohen

    Raises
    ------
    MethodError
        If there are not two coders and two units that both rated, or both coders used one
        and the same value.

    Notes
    -----
    With shares :math:`p_{kl}`, margins :math:`p_{k.}, p_{.l}` and weights :math:`w_{kl}` [1]_,

    .. math::

        \kappa = \frac{\sum w_{kl}p_{kl} - \sum w_{kl}p_{k.}p_{.l}}
                      {1 - \sum w_{kl}p_{k.}p_{.l}}.

    Both standard errors are those of Fleiss, Cohen and Everitt [2]_, for many independent
    units. Kappa depends on how frequent the values are: with one value prevailing it is low
    even where coders nearly always agree.

    References
    ----------
    .. [1] Cohen, J. (1968). Weighted kappa: nominal scale agreement with provision for scaled
       disagreement or partial credit. *Psychological Bulletin*, 70, 213-220.
    .. [2] Fleiss, J. L., Cohen, J., and Everitt, B. S. (1969). Large sample standard errors of
       kappa and weighted kappa. *Psychological Bulletin*, 72, 323-327.

    Examples
    --------
    >>> round(cohen_kappa([[1, 1], [2, 2], [1, 2], [1, 1], [2, 2], [2, 1]]).estimate, 3)
    0.333
    """
    table = complete_ratings(ratings)
    if table.shape[1] != 2:
        raise MethodError(
            f"Cohen's kappa compares two coders, got {table.shape[1]}; use Conger's or Fleiss' "
            "kappa."
        )
    values = np.unique(table if categories is None else np.asarray(categories, dtype=np.float64))
    if not np.isin(table, values).all():
        raise MethodError("some ratings are not among the categories.")
    w = agreement_weights(values, weights)
    n, q = len(table), len(values)
    codes = np.searchsorted(values, table)
    shares = np.bincount(codes[:, 0] * q + codes[:, 1], minlength=q * q).reshape(q, q) / n
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    observed, expected = float((w * shares).sum()), float(rows @ w @ columns)
    if not expected < 1 - 1e-12:
        raise MethodError("kappa is undefined: both coders used one and the same value.")
    kappa = (observed - expected) / (1 - expected)
    margins = (w @ columns)[:, None] + rows @ w
    # Both variances are mean squares less a squared mean: taken as one square they cannot be < 0.
    linear = w * (1 - expected) - margins * (1 - observed)
    mean = observed * expected - 2 * expected + observed
    variance = (shares * (linear - mean) ** 2).sum() / (n * (1 - expected) ** 4)
    by_chance = np.outer(rows, columns)
    null = (by_chance * (w - margins + expected) ** 2).sum() / (n * (1 - expected) ** 2)
    errors = float(np.sqrt(variance)), float(np.sqrt(null))
    return Cohen(float(kappa), *errors, observed, expected, n)


@dataclass(frozen=True, eq=False)
class Fleiss:
    """Fleiss' kappa, overall and of each value.

    Attributes
    ----------
    estimate, null_std_error : float
        Kappa, and its standard error if coders agreed by chance only.
    values : ndarray of shape (q,)
        Values that were given.
    by_value : ndarray of shape (q,)
        Kappa of each value against all others.
    by_value_null_std_error : float
        Standard error of each of them by chance only.
    n_units, n_coders : int
        Units that every coder rated, and coders.
    """

    estimate: float
    null_std_error: float
    values: Floats
    by_value: Floats
    by_value_null_std_error: float
    n_units: int
    n_coders: int

    @property
    def z(self) -> float:
        """Kappa in null standard errors."""
        return self.estimate / self.null_std_error

    @property
    def p_value(self) -> float:
        """Two-sided p-value of agreement by chance only."""
        return float(2 * stats.norm.sf(abs(self.z)))


def fleiss_kappa(ratings: npt.ArrayLike) -> Fleiss:
    r"""Estimate Fleiss' kappa with its test.

    Parameters
    ----------
    ratings : array_like of shape (n_units, n_coders)
        NaN is a rating that was not given; such units are set aside. With gaps use
        `lgpi_research.methods.agreement.chance_corrected`.

    Returns
    -------
    Fleiss

    Raises
    ------
    MethodError
        If there are not two coders and two complete units, or all ratings are the same.

    Notes
    -----
    With shares :math:`p_k` of the values, :math:`q_k = 1 - p_k`, n units and m coders, the
    variance by chance only is [1]_

    .. math::

        \frac{2}{nm(m-1)} \cdot
        \frac{(\sum p_k q_k)^2 - \sum p_k q_k (q_k - p_k)}{(\sum p_k q_k)^2}.

    References
    ----------
    .. [1] Fleiss, J. L., Nee, J. C. M., and Landis, J. R. (1979). Large sample variance of kappa
       in the case of different sets of raters. *Psychological Bulletin*, 86, 974-977.

    Examples
    --------
    >>> round(fleiss_kappa([[1, 1, 1], [1, 2, 1], [2, 2, 2], [2, 2, 1], [1, 1, 1]]).estimate, 3)
    0.444
    """
    table = complete_ratings(ratings)
    n, m = table.shape
    values = np.unique(table)
    if len(values) < 2:
        raise MethodError("kappa is undefined: every rating has the same value.")
    counts = np.stack([(table == value).sum(axis=1) for value in values], axis=1)
    p = counts.sum(axis=0) / (n * m)
    pq = p * (1 - p)
    apart = (counts * (m - counts)).sum(axis=0) / (n * m * (m - 1))
    base = 2 / (n * m * (m - 1))
    variance = base * (pq.sum() ** 2 - (pq * (1 - 2 * p)).sum()) / pq.sum() ** 2
    return Fleiss(
        float(1 - apart.sum() / pq.sum()),
        float(np.sqrt(variance)),
        values,
        1 - apart / pq,
        float(np.sqrt(base)),
        n,
        m,
    )


@dataclass(frozen=True)
class Kendall:
    """Kendall's W.

    Attributes
    ----------
    estimate : float
        W, from 0 (ranks have nothing in common) to 1 (all coders rank alike).
    chi_square, df, p_value : float, int, float
        Friedman's test that ranks have nothing in common.
    n_units, n_coders : int
        Units that every coder rated, and coders.
    """

    estimate: float
    chi_square: float
    df: int
    p_value: float
    n_units: int
    n_coders: int


def kendall_w(ratings: npt.ArrayLike, *, ties: bool = True) -> Kendall:
    r"""Estimate Kendall's coefficient of concordance.

    Parameters
    ----------
    ratings : array_like of shape (n_units, n_coders)
        Each coder's ratings are ranked. NaN is a rating that was not given; such units are
        set aside.
    ties : bool, default True
        Whether to correct for ties; without, W stays below 1 even if all coders rank alike.

    Returns
    -------
    Kendall

    Raises
    ------
    MethodError
        If there are not two coders and two complete units, or every coder gave all units the
        same value.

    Notes
    -----
    With rank sums :math:`R_i` of n units, m coders, and groups of t tied ranks [1]_,

    .. math::

        W = \frac{12 \sum_i (R_i - \bar R)^2}{m^2(n^3 - n) - m\sum(t^3 - t)},
        \qquad \chi^2 = m(n-1)W

    with n - 1 degrees of freedom; the test is rough below about 8 units. The mean rank
    correlation of pairs of coders is :math:`(mW-1)/(m-1)` without ties.

    References
    ----------
    .. [1] Kendall, M. G., and Babington Smith, B. (1939). The problem of m rankings.
       *Annals of Mathematical Statistics*, 10, 275-287.

    Examples
    --------
    >>> kendall_w([[1, 2, 1], [2, 1, 2], [3, 3, 3]]).estimate.__round__(3)
    0.778
    """
    table = complete_ratings(ratings)
    n, m = table.shape
    ranks = stats.rankdata(table, axis=0)
    # A coder's ranks without ties have the sum of squares (n^3 - n) / 12; each tie takes away.
    own = ((ranks - (n + 1) / 2) ** 2).sum()
    largest = m * own if ties else m**2 * (n**3 - n) / 12
    if own == 0:
        raise MethodError("W is undefined: every coder gave all units the same value.")
    spread = ((ranks.sum(axis=1) - m * (n + 1) / 2) ** 2).sum()
    w = float(spread / largest)
    chi_square = m * (n - 1) * w
    return Kendall(w, chi_square, n - 1, float(stats.chi2.sf(chi_square, n - 1)), n, m)


def rank_correlations(ratings: npt.ArrayLike) -> Floats:
    """Return Spearman's correlation of each pair of coders.

    Parameters
    ----------
    ratings : array_like of shape (n_units, n_coders)
        NaN is a rating that was not given; such units are set aside.

    Returns
    -------
    ndarray of shape (n_coders, n_coders)

    Raises
    ------
    MethodError
        If there are not two coders and two complete units, or a coder's ratings do not vary.

    Examples
    --------
    >>> rank_correlations([[1, 2], [2, 1], [3, 3]])
    array([[1. , 0.5],
           [0.5, 1. ]])
    """
    ranks = stats.rankdata(complete_ratings(ratings), axis=0)
    constant = int((np.ptp(ranks, axis=0) == 0).sum())
    if constant:
        raise MethodError(f"{constant} coders gave all units the same value: no correlation.")
    correlations: Floats = np.asarray(np.corrcoef(ranks, rowvar=False), dtype=np.float64)
    return correlations
