"""Intraclass correlations of coders: the six forms, from mean squares or variance components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, optimize, stats

from lgpi_research.errors import MethodError
from lgpi_research.methods.kappa import complete_ratings

__all__ = [
    "FORMS",
    "Intraclass",
    "Squares",
    "agreement_df",
    "agreement_interval",
    "intraclass",
    "mean_squares",
    "mixed_squares",
    "spearman_brown",
    "variance_ratios",
]

Floats = npt.NDArray[np.float64]

FORMS = {
    "ICC(1)": "ICC(1,1)",
    "ICC(A,1)": "ICC(2,1)",
    "ICC(C,1)": "ICC(3,1)",
    "ICC(k)": "ICC(1,k)",
    "ICC(A,k)": "ICC(2,k)",
    "ICC(C,k)": "ICC(3,k)",
}
"""Names of McGraw and Wong, and the same forms as Shrout and Fleiss call them."""


@dataclass(frozen=True)
class Squares:
    """Mean squares of a table of units and coders.

    Attributes
    ----------
    units, coders, residual : float
        Mean squares of the two-way table.
    within : float
        Mean square within units, coders and residual together.
    n_units, n_coders : int
        Size of the table.
    n_dropped : int
        Units set aside because a rating was missing.
    """

    units: float
    coders: float
    residual: float
    within: float
    n_units: int
    n_coders: int
    n_dropped: int = 0


@dataclass(frozen=True)
class Intraclass:
    """One intraclass correlation.

    Attributes
    ----------
    name, alias : str
        As McGraw and Wong, and as Shrout and Fleiss call it.
    estimate, ci_low, ci_high : float
        The correlation and its interval.
    f, df1, df2, p_value : float
        Test that units do not differ.
    """

    name: str
    alias: str
    estimate: float
    ci_low: float
    ci_high: float
    f: float
    df1: int
    df2: int
    p_value: float


def mean_squares(ratings: npt.ArrayLike) -> Squares:
    """Return the mean squares of the units that every coder rated.

    Parameters
    ----------
    ratings : array_like of shape (n_units, n_coders)
        NaN is a rating that was not given; such units are set aside and counted.

    Returns
    -------
    Squares

    Raises
    ------
    MethodError
        If there are fewer than two coders or two complete units, or no rating differs.

    Examples
    --------
    >>> mean_squares([[1, 2], [2, 3], [4, 5]]).residual
    0.0
    """
    table = complete_ratings(ratings)
    n, k = table.shape
    if np.ptp(table) == 0:
        raise MethodError("an intraclass correlation is undefined: the ratings do not vary.")
    centred = table - table.mean()
    rows, columns = centred.mean(axis=1), centred.mean(axis=0)
    left = centred - rows[:, None] - columns
    within = ((centred - rows[:, None]) ** 2).sum()
    # What rounding leaves of nothing would make a wild F of two zeros.
    tiny = 16 * np.finfo(float).eps ** 2 * (table**2).sum() * n * k
    sums = [k * (rows**2).sum(), n * (columns**2).sum(), (left**2).sum(), within]
    units, coders, residual, inner = (float(s) if s > tiny else 0.0 for s in sums)
    return Squares(
        units / (n - 1),
        coders / (k - 1),
        residual / ((n - 1) * (k - 1)),
        inner / (n * (k - 1)),
        n,
        k,
        len(np.asarray(ratings)) - n,
    )


def mixed_squares(ratings: npt.ArrayLike) -> Squares:
    r"""Return mean squares that restricted maximum likelihood expects, with ratings missing.

    Parameters
    ----------
    ratings : array_like of shape (n_units, n_coders)
        NaN is a rating that was not given; all that were given are used.

    Returns
    -------
    Squares
        With variances :math:`\sigma_u^2, \sigma_c^2, \sigma_e^2` of units, coders and
        residuals, k coders and n units: :math:`k\sigma_u^2 + \sigma_e^2`,
        :math:`n\sigma_c^2 + \sigma_e^2`, :math:`\sigma_e^2`, and
        :math:`\sigma_c^2 + \sigma_e^2` within units.

    Raises
    ------
    MethodError
        If there are fewer than two coders, two units or one degree of freedom left, or no
        rating differs.

    Notes
    -----
    Units and coders are crossed random effects, normal and independent; ratings are missing
    at random. Without gaps and with no variance at 0 the result is that of `mean_squares`.
    Intervals and tests made of it take the table for a full one, so with many gaps they are
    too short.

    Examples
    --------
    >>> ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6]]
    >>> round(mixed_squares(ratings).units / mean_squares(ratings).units, 4)
    1.0
    """
    table = np.asarray(ratings, dtype=np.float64)
    given = ~np.isnan(table)
    table = table[np.ix_(given.any(axis=1), given.any(axis=0))]
    given = ~np.isnan(table)
    n, k = table.shape
    if n < 2 or k < 2 or int(given.sum()) < n + k:
        raise MethodError(
            f"{int(given.sum())} ratings of {n} units by {k} coders: variances of units, coders "
            "and residuals need 2 of each and ratings that several coders share."
        )
    y = np.where(given, table, 0.0)
    if np.ptp(table[given]) == 0:
        raise MethodError("an intraclass correlation is undefined: the ratings do not vary.")
    y = np.where(given, table - y.sum() / given.sum(), 0.0)
    sums = np.column_stack([given, given.sum(axis=1), y.sum(axis=1)])
    products = np.zeros((k + 2, k + 2))
    columns = np.column_stack([given.sum(axis=0), y.sum(axis=0)])
    products[:k, :k] = np.diag(given.sum(axis=0))
    products[:k, k:], products[k:, :k] = columns, columns.T
    products[k:, k:] = [[given.sum(), y.sum()], [y.sum(), (y**2).sum()]]
    ratios, residual = variance_ratios(sums, products)
    unit, coder = ratios * residual
    return Squares(
        float(k * unit + residual),
        float(n * coder + residual),
        residual,
        float(coder + residual),
        n,
        k,
        len(np.asarray(ratings)) - n,
    )


def variance_ratios(sums: Floats, products: Floats) -> tuple[Floats, float]:
    r"""Return restricted maximum likelihood variances of units and of crossed coders.

    Parameters
    ----------
    sums : ndarray of shape (n_units, k + 2)
        Sums over each unit's ratings of: an indicator of each of k coders, 1, the rating.
        Without coders, k = 0, units are groups and the model has one way.
    products : ndarray of shape (k + 2, k + 2)
        Cross-products of the same columns over all ratings.

    Returns
    -------
    ratios : ndarray of shape (2,)
        Variances of units and of coders relative to the residual one; 0 is possible.
    residual : float
        The residual variance.

    Notes
    -----
    The restricted likelihood is profiled over mean and residual variance. Units are absorbed
    by :math:`(I + \theta 11')^{-1} = I - \theta 11'/(1 + \theta m)`, so each evaluation costs
    one product of size n × k.
    """
    k, sizes, n = products.shape[0] - 2, sums[:, -2], products[-2, -2]

    def parts(roots: Floats) -> tuple[float, float, float]:
        unit, coder = roots**2
        shrunk = sums * (unit / (1 + unit * sizes))[:, None]
        table = products - sums.T @ shrunk
        log_det = float(np.log1p(unit * sizes).sum())
        if k:
            factor = linalg.cho_factor(np.eye(k) + coder * table[:k, :k], lower=True)
            log_det += 2 * float(np.log(np.diag(factor[0])).sum())
            cross = table[:k, k:]
            table = table[k:, k:] - coder * cross.T @ linalg.cho_solve(factor, cross)
        return log_det, float(table[0, 0]), float(table[1, 1] - table[0, 1] ** 2 / table[0, 0])

    def deviance(free: Floats) -> float:
        log_det, weight, rest = parts(np.append(free, np.zeros(2 - len(free))))
        spread = np.log(max(rest, np.finfo(float).tiny))
        return float((n - 1) * spread + log_det + np.log(weight))

    free = 2 if k else 1
    bounds = [(0.0, None)] * free
    starts = [np.full(free, size) for size in (0.3, 1.0, 3.0)]
    tried = [optimize.minimize(deviance, s, method="L-BFGS-B", bounds=bounds) for s in starts]
    best = min(tried, key=lambda fit: float(fit.fun))
    polished = optimize.minimize(
        deviance,
        best.x,
        method="Nelder-Mead",
        bounds=bounds,
        options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 2000},
    )
    if not polished.success:
        raise MethodError(
            "restricted maximum likelihood did not converge; the variances of units, coders and "
            "residuals may not be told apart."
        )
    roots = np.append(polished.x, np.zeros(2 - free))
    return roots**2, parts(roots)[2] / (n - 1)


def intraclass(squares: Squares, *, level: float = 0.95) -> tuple[Intraclass, ...]:
    r"""Return the six intraclass correlations.

    Parameters
    ----------
    squares : Squares
        Of `mean_squares` or `mixed_squares`.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    tuple of Intraclass
        In the order of `FORMS`: one rating and the mean of k, each if coders differ from unit
        to unit (``ICC(1)``), if all are the same and must agree (``A``), and if only their
        differences between units must (``C``: consistency).

    Raises
    ------
    MethodError
        If a correlation is 0 over 0, as where every unit has the same ratings and only coders
        differ.

    Notes
    -----
    With mean squares R of units, C of coders, E of residuals and W within units [1]_, [2]_,

    .. math::

        \frac{R-W}{R+(k-1)W}, \quad
        \frac{R-E}{R+(k-1)E+k(C-E)/n}, \quad
        \frac{R-E}{R+(k-1)E}

    for one rating; `spearman_brown` gives those of the mean. Intervals are exact for ``ICC(1)``
    and ``C`` under normality, and Satterthwaite's for ``A`` (`agreement_interval`), which is
    short with few coders who differ much. The test is of no differences between units. All
    suppose units, and for ``A`` coders, drawn at random.

    References
    ----------
    .. [1] Shrout, P. E., and Fleiss, J. L. (1979). Intraclass correlations: uses in assessing
       rater reliability. *Psychological Bulletin*, 86, 420-428.
    .. [2] McGraw, K. O., and Wong, S. P. (1996). Forming inferences about some intraclass
       correlation coefficients. *Psychological Methods*, 1, 30-46.

    Examples
    --------
    >>> ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9],
    ...            [6, 2, 4, 7]]
    >>> [round(form.estimate, 2) for form in intraclass(mean_squares(ratings))]
    [0.17, 0.29, 0.71, 0.44, 0.62, 0.91]
    """
    n, k = squares.n_units, squares.n_coders
    df, free = n - 1, (n - 1) * (k - 1)
    single = {
        "ICC(1)": _ratio(squares.units, squares.within, k),
        "ICC(A,1)": agreement(squares),
        "ICC(C,1)": _ratio(squares.units, squares.residual, k),
    }
    ends = {
        "ICC(1)": _exact_interval(squares.units, squares.within, df, n * (k - 1), k, level),
        "ICC(A,1)": agreement_interval(squares, level=level),
        "ICC(C,1)": _exact_interval(squares.units, squares.residual, df, free, k, level),
    }
    found = []
    for (name, alias), base in zip(FORMS.items(), [*single, *single], strict=True):
        numbers = np.array([single[base], *ends[base]])
        estimate, low, high = numbers if name == base else spearman_brown(numbers, k)
        error, df2 = (squares.within, n * (k - 1)) if base == "ICC(1)" else (squares.residual, free)
        f = squares.units / error if error > 0 else np.inf
        p = float(stats.f.sf(f, df, df2))
        found.append(
            Intraclass(name, alias, float(estimate), float(low), float(high), f, df, df2, p)
        )
    return tuple(found)


def agreement(squares: Squares) -> float:
    """Return ICC(A,1): the share of variance that is of units, coders counted as error."""
    n, k = squares.n_units, squares.n_coders
    extra = k * (squares.coders - squares.residual) / n
    return _share(
        squares.units - squares.residual, squares.units + (k - 1) * squares.residual + extra
    )


def agreement_df(squares: Squares, at: float) -> float:
    """Return Satterthwaite's degrees of freedom of the error of ICC(A,1), if it is `at`."""
    n, k = squares.n_units, squares.n_coders
    first = k * at / n * squares.coders
    second = ((1 - at) + k * at * (n - 1) / n) * squares.residual
    below = first**2 / (k - 1) + second**2 / ((n - 1) * (k - 1))
    return float((first + second) ** 2 / below) if below > 0 else np.inf


def agreement_interval(
    squares: Squares, *, level: float = 0.95, at: float | None = None
) -> tuple[float, float]:
    """Return Satterthwaite's interval of ICC(A,1).

    Parameters
    ----------
    squares : Squares
        Of the table.
    level : float, default 0.95
        Level of the interval.
    at : float or None
        Value at which the degrees of freedom are taken; None takes the estimate.

    Returns
    -------
    tuple of float
        Lower and upper end. For the mean of k ratings `spearman_brown` turns them into the
        ends for ICC(A,k), whose degrees of freedom are the same.

    Examples
    --------
    >>> squares = mean_squares([[9, 2, 5], [6, 1, 3], [8, 4, 6], [7, 1, 2]])
    >>> low, high = agreement_interval(squares)
    >>> low < agreement(squares) < high
    True
    """
    n, k = squares.n_units, squares.n_coders
    estimate = agreement(squares)
    v = agreement_df(squares, estimate if at is None else at)
    if np.isinf(v):  # coders agree fully, or neither they nor units differ in the mean
        return estimate, estimate
    tail = (1 - level) / 2
    rest = k * squares.coders + (k * n - k - n) * squares.residual
    low, high = stats.f.isf(tail, n - 1, v), stats.f.isf(tail, v, n - 1)
    return (
        float(n * (squares.units - low * squares.residual) / (low * rest + n * squares.units)),
        float(n * (high * squares.units - squares.residual) / (rest + n * high * squares.units)),
    )


def spearman_brown(reliability: npt.ArrayLike, k: float) -> Floats:
    r"""Return the reliability of the mean of k ratings from that of one.

    Parameters
    ----------
    reliability : array_like of shape (…)
        Of one rating, at most 1.
    k : float
        How many ratings are averaged, above 0.

    Returns
    -------
    ndarray of shape (…)
        :math:`k\rho/(1 + (k - 1)\rho)`, which falls without limit towards
        :math:`\rho = -1/(k - 1)`; minus infinity there and below, where the formula would turn
        to large positive numbers.

    Examples
    --------
    >>> float(spearman_brown(0.5, 2).round(3))
    0.667
    """
    one = np.asarray(reliability, dtype=np.float64)
    below = 1 + (k - 1) * one
    lost = below <= 0
    return np.where(lost, -np.inf, k * one / np.where(lost, 1.0, below))


def _ratio(units: float, error: float, k: int) -> float:
    """Return the correlation of one rating from the mean squares of units and of error."""
    return _share(units - error, units + (k - 1) * error)


def _share(part: float, whole: float) -> float:
    """Return a part of the variance, refused if there is none."""
    if whole == 0:
        raise MethodError(
            "an intraclass correlation is undefined: units do not differ, so nothing tells how "
            "well they are told apart."
        )
    return part / whole


def _exact_interval(
    units: float, error: float, df1: int, df2: int, k: int, level: float
) -> tuple[float, float]:
    """Return the interval by the F distribution of the ratio of two mean squares."""
    tail = (1 - level) / 2
    low, high = stats.f.isf(tail, df1, df2), stats.f.isf(tail, df2, df1)
    return _ratio(units, low * error, k), _ratio(high * units, error, k)
