"""Agreement of coders: Krippendorff's alpha, kappas, Gwet's AC, Kendall's W.

Ratings are arrays of shape (n_units, n_coders) in which NaN is a rating that was not given.
Values of a nominal variable may be any numbers; they are only told apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse, stats

from lgpi_research.errors import MethodError, SpecError, listing, nearest

__all__ = [
    "CHANCE",
    "MEASUREMENTS",
    "WEIGHTS",
    "Corrected",
    "Tally",
    "agreement_weights",
    "chance_corrected",
    "krippendorff_alpha",
    "krippendorff_replicates",
    "tally",
]

Floats = npt.NDArray[np.float64]

MEASUREMENTS = ("nominal", "ordinal", "interval", "ratio")
"""What differences of values mean."""

WEIGHTS = ("identity", "ordinal", "linear", "quadratic", "ratio")
"""How much partial agreement counts."""

CHANCE = {
    "percent": "share of agreeing pairs",
    "fleiss": "Fleiss' kappa",
    "conger": "Conger's kappa",
    "gwet": "Gwet's AC",
    "brennan_prediger": "Brennan and Prediger's kappa",
    "krippendorff": "Krippendorff's alpha",
}
"""Coefficients of `chance_corrected`: what each takes to be agreement by chance."""

_MOST = 5000  # values from which a table of weights of all pairs is refused
_DENSE = 16  # values up to which counts are a full table
_CELLS = 1 << 21  # numbers in a block of a table of pairs of values


@dataclass(frozen=True, eq=False)
class Tally:
    """How often each unit was given each value.

    Attributes
    ----------
    counts : ndarray or sparse array of shape (n_units, n_values)
        Ratings of each value; sparse where there are many values.
    values : ndarray of shape (n_values,)
        The values, ascending.
    sizes : ndarray of shape (n_units,)
        Ratings of each unit.
    """

    counts: Any
    values: Floats
    sizes: Floats

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.sizes)


def tally(
    ratings: npt.ArrayLike, *, least: int = 1, categories: npt.ArrayLike | None = None
) -> Tally:
    """Count how often each unit was given each value.

    Parameters
    ----------
    ratings : array_like of shape (n_units, n_coders)
        NaN is a rating that was not given.
    least : int, default 1
        Units with fewer ratings are left out.
    categories : array_like or None
        Values that could be given; None takes those that were.

    Returns
    -------
    Tally

    Raises
    ------
    MethodError
        If ratings are not a table, a rating is infinite or none of `categories`, or no unit
        has `least` ratings.

    Examples
    --------
    >>> tally([[1, 1], [3, np.nan], [1, 3]], least=2).counts
    array([[2., 0.],
           [1., 1.]])
    """
    table = _table(ratings)
    given = ~np.isnan(table)
    sizes = given.sum(axis=1)
    kept = sizes >= least
    if not kept.any():
        raise MethodError(f"no unit has {least} or more ratings, so there is nothing to compare.")
    if not kept.all():
        table, given, sizes = table[kept], given[kept], sizes[kept]
    flat = table[given]
    found = np.unique(flat)
    values = found if categories is None else np.unique(np.asarray(categories, dtype=np.float64))
    strange = np.setdiff1d(found, values)
    if len(strange):
        raise MethodError(
            f"{len(strange)} values are not among the categories: {listing(strange.tolist())}."
        )
    if len(values) <= _DENSE:
        counts: Any = np.stack([(table == value).sum(axis=1) for value in values], axis=1)
        counts = counts.astype(np.float64)
    else:
        units, codes = np.repeat(np.arange(len(sizes)), sizes), np.searchsorted(values, flat)
        shape = (len(sizes), len(values))
        counts = sparse.coo_array((np.ones(len(flat)), (units, codes)), shape=shape).tocsr()
    return Tally(counts, values, sizes.astype(np.float64))


def krippendorff_alpha(ratings: npt.ArrayLike, measurement: str = "nominal") -> float:
    r"""Return Krippendorff's alpha.

    Parameters
    ----------
    ratings : array_like of shape (n_units, n_coders)
        NaN is a rating that was not given; units with fewer than two ratings do not count.
    measurement : {"nominal", "ordinal", "interval", "ratio"}, default "nominal"
        What differences of values mean.

    Returns
    -------
    float
        1 for perfect agreement, 0 for what chance gives, negative for less.

    Raises
    ------
    SpecError
        If the measurement is unknown.
    MethodError
        If no unit has two ratings, the ratings do not vary, or ratings of ratio measurement
        are negative.

    Notes
    -----
    With :math:`n` ratings, :math:`m_u` of unit :math:`u`, and differences :math:`\delta`,

    .. math::

        \alpha = 1 - (n-1)\,
        \frac{\sum_u \frac{1}{m_u-1}\sum_{i \ne j} \delta^2(v_{ui}, v_{uj})}
             {\sum_{(ui) \ne (wj)} \delta^2(v_{ui}, v_{wj})}

    [1]_. Differences are 1 for unlike nominal values, differences of values at interval
    measurement, of mean ranks at ordinal measurement, and :math:`(c-k)/(c+k)` at ratio
    measurement. Sums over pairs of squared differences are sums of squares, so time and memory
    grow with the number of ratings; at ratio measurement time grows with the square of the
    number of distinct values.

    Coders are taken to be exchangeable, and chance to be what all ratings together give.

    References
    ----------
    .. [1] Krippendorff, K. (2019). *Content Analysis: An Introduction to Its Methodology*,
       4th ed., ch. 12. Sage.

    Examples
    --------
    >>> ratings = [[1, 1, np.nan], [2, 2, 3], [3, 3, 3], [2, 2, 2], [1, 2, 3]]
    >>> round(krippendorff_alpha(ratings, "ordinal"), 3)
    0.505
    """
    _known(measurement, MEASUREMENTS, "measurement")
    counted = tally(ratings, least=2)
    if measurement == "ratio" and counted.values[0] < 0:
        raise MethodError(
            "ratio measurement has no negative values; use interval measurement, or turn them."
        )
    found = float(krippendorff_replicates(counted, measurement, np.ones((1, counted.n_units)))[0])
    if np.isnan(found):
        raise MethodError(
            "Krippendorff's alpha is undefined: the ratings do not vary, so that agreement cannot "
            "be told from chance."
        )
    return found


def krippendorff_replicates(counted: Tally, measurement: str, multipliers: npt.ArrayLike) -> Floats:
    """Return Krippendorff's alpha with units counted several times or not at all.

    Parameters
    ----------
    counted : Tally
        Of units with two or more ratings.
    measurement : {"nominal", "ordinal", "interval", "ratio"}
        What differences of values mean; ranks are taken anew in each replicate.
    multipliers : array_like of shape (n_replicates, n_units)
        How often each unit counts.

    Returns
    -------
    ndarray of shape (n_replicates,)
        Alpha; NaN for a replicate whose ratings do not vary.

    Examples
    --------
    >>> counted = tally([[1, 1], [2, 2], [1, 2]])
    >>> krippendorff_replicates(counted, "nominal", [[1, 1, 0], [1, 0, 0]])
    array([ 1., nan])
    """
    counts, sizes = counted.counts, counted.sizes[:, None]
    times = np.asarray(multipliers, dtype=np.float64).T
    totals = (counts.T @ times).T
    n = totals.sum(axis=1)
    if measurement == "nominal":
        within = sizes**2 - (counts**2).sum(axis=1)[:, None]
        overall = n**2 - (totals**2).sum(axis=1)
    elif measurement == "ratio":
        within, overall = _ratio_differences(counted, totals)
    else:
        if measurement == "ordinal":
            scores = (np.cumsum(totals, axis=1) - totals / 2 - n[:, None] / 2).T
        else:
            mean = float((counts.sum(axis=0) @ counted.values) / sizes.sum())
            scores = (counted.values - mean)[:, None]
        within = 2 * (sizes * (counts @ scores**2) - (counts @ scores) ** 2)
        squares, sums = (totals.T * scores**2).sum(axis=0), (totals.T * scores).sum(axis=0)
        overall = 2 * (n * squares - sums**2)
    observed = (times * (within / (sizes - 1))).sum(axis=0)
    varied = (totals > 0).sum(axis=1) > 1
    safe = np.where(varied, overall, 1.0)
    return np.where(varied, 1 - (n - 1) * observed / safe, np.nan)


def _ratio_differences(counted: Tally, totals: Floats) -> tuple[Floats, Floats]:
    """Return summed ratio differences of ordered pairs in each unit, and overall."""
    counts, values = counted.counts, counted.values
    within, overall = np.zeros(counted.n_units), np.zeros(len(totals))
    width = max(1, _CELLS // max(len(values), counted.n_units))
    for start in range(0, len(values), width):
        block = slice(start, start + width)
        difference = _ratio_distance(values, values[block])
        within += (counts[:, block] * (counts @ difference)).sum(axis=1)
        overall += (totals[:, block] * (totals @ difference)).sum(axis=1)
    return within[:, None], overall


def _ratio_distance(first: Floats, second: Floats) -> Floats:
    """Return squared differences relative to sums; 0 between zeros."""
    total = first[:, None] + second
    return ((first[:, None] - second) / np.where(total == 0, 1.0, total)) ** 2


def agreement_weights(values: npt.ArrayLike, weights: str = "identity") -> Floats:
    r"""Return how much two values count as agreement.

    Parameters
    ----------
    values : array_like of shape (q,)
        Distinct values, ascending.
    weights : {"identity", "ordinal", "linear", "quadratic", "ratio"}
        ``ordinal`` is :math:`1 - \binom{|i-j|+1}{2} / \binom{q}{2}` for values in places i and
        j; ``linear`` and ``quadratic`` are 1 less the absolute or squared difference, ``ratio``
        1 less the squared :math:`(c-k)/(c+k)`, each divided by its largest value [1]_.

    Returns
    -------
    ndarray of shape (q, q)
        1 on the diagonal; 0 for the values farthest apart, or for all that differ.

    Raises
    ------
    SpecError
        If the weights are unknown.
    MethodError
        If there are over 5,000 values, or negative values with ratio weights.

    References
    ----------
    .. [1] Gwet, K. L. (2014). *Handbook of Inter-Rater Reliability*, 4th ed., ch. 3.
       Advanced Analytics.

    Examples
    --------
    >>> agreement_weights([1, 2, 4], "linear").round(2)
    array([[1.  , 0.67, 0.  ],
           [0.67, 1.  , 0.33],
           [0.  , 0.33, 1.  ]])
    """
    _known(weights, WEIGHTS, "weights")
    points = np.asarray(values, dtype=np.float64)
    if len(points) > _MOST:
        raise MethodError(
            f"{len(points)} distinct values are too many for a table of weights (at most {_MOST}); "
            "use Krippendorff's alpha or an intraclass correlation."
        )
    if weights == "identity" or len(points) < 2:
        return np.eye(len(points))
    if weights == "ratio":
        if points[0] < 0:
            raise MethodError("ratio weights need values of at least 0.")
        distance = _ratio_distance(points, points)
    elif weights == "ordinal":
        gap = np.abs(np.subtract.outer(np.arange(len(points)), np.arange(len(points))))
        distance = gap * (gap + 1.0)
    else:
        power = 1 if weights == "linear" else 2
        distance = np.abs(np.subtract.outer(points, points)) ** power
    similar: Floats = 1 - distance / distance.max()
    return similar


@dataclass(frozen=True)
class Corrected:
    """Agreement corrected for chance.

    Attributes
    ----------
    estimate, std_error : float
        The coefficient, and its standard error for units drawn at random.
    observed, expected : float
        Agreement of pairs of ratings, and what chance would give.
    n_units : int
        Units that count.
    """

    estimate: float
    std_error: float
    observed: float
    expected: float
    n_units: int

    @property
    def p_value(self) -> float:
        """Two-sided p-value of no agreement beyond chance, by t with n_units - 1 df."""
        if self.std_error == 0:
            return 0.0 if self.estimate else 1.0
        ratio = abs(self.estimate) / self.std_error
        return float(2 * stats.t.sf(ratio, self.n_units - 1))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the t interval; its upper end is at most 1."""
        reach = float(stats.t.isf((1 - level) / 2, self.n_units - 1)) * self.std_error
        return self.estimate - reach, min(1.0, self.estimate + reach)


def chance_corrected(
    ratings: npt.ArrayLike,
    coefficient: str = "gwet",
    *,
    weights: str = "identity",
    categories: npt.ArrayLike | None = None,
) -> Corrected:
    r"""Estimate agreement corrected for chance, of any number of coders.

    Parameters
    ----------
    ratings : array_like of shape (n_units, n_coders)
        NaN is a rating that was not given. Units with one rating tell what values are
        frequent, not what agrees (with Krippendorff's alpha they do not count).
    coefficient : str, default "gwet"
        One of `CHANCE`.
    weights : str, default "identity"
        One of `WEIGHTS`: how much partial agreement counts.
    categories : array_like or None
        Values that could be given. Gwet's and Brennan and Prediger's coefficients depend on
        their number; None takes those that were given.

    Returns
    -------
    Corrected

    Raises
    ------
    SpecError
        If the coefficient or the weights are unknown.
    MethodError
        If fewer than two units have two ratings, or the coefficient is undefined because
        chance alone would give perfect agreement.

    Notes
    -----
    A coefficient is :math:`(p_a - p_e)/(1 - p_e)`. Observed agreement :math:`p_a` is the mean
    over units of the weighted share of agreeing pairs. With :math:`\pi_k` the mean share of
    value k in a unit, and weights :math:`w_{kl}` with sum T, chance gives

    - ``fleiss`` [1]_: :math:`\sum_{kl} w_{kl}\pi_k\pi_l`;
    - ``conger`` [2]_: the mean of :math:`\sum_{kl} w_{kl} p_{gk} p_{hl}` over pairs of coders,
      with the shares :math:`p_{gk}` of each; Cohen's kappa if there are two;
    - ``gwet`` [3]_: :math:`T \sum_k \pi_k(1-\pi_k) / (q(q-1))`: AC1, and AC2 with weights;
    - ``brennan_prediger`` [4]_: :math:`T/q^2`;
    - ``krippendorff``: alpha, with its correction for small samples;
    - ``percent``: 0.

    Standard errors are Gwet's [3]_: what units add to the linearised coefficient, taken as a
    random sample of units rated by these coders. They treat the number of units with two
    ratings as given, and fit many units; with ten or so they are rough. That of
    ``krippendorff`` leaves out the factor :math:`1 - 1/n` of n ratings and is a little too large.

    References
    ----------
    .. [1] Fleiss, J. L. (1971). Measuring nominal scale agreement among many raters.
       *Psychological Bulletin*, 76, 378-382.
    .. [2] Conger, A. J. (1980). Integration and generalization of kappas for multiple raters.
       *Psychological Bulletin*, 88, 322-328.
    .. [3] Gwet, K. L. (2008). Computing inter-rater reliability and its variance in the
       presence of high agreement. *British Journal of Mathematical and Statistical
       Psychology*, 61, 29-48.
    .. [4] Brennan, R. L., and Prediger, D. J. (1981). Coefficient kappa: some uses, misuses,
       and alternatives. *Educational and Psychological Measurement*, 41, 687-699.

    Examples
    --------
    >>> ratings = [[1, 1, 1], [1, 2, 1], [2, 2, 2], [2, 2, 1], [1, 1, 1]]
    >>> found = chance_corrected(ratings, "fleiss")
    >>> round(found.estimate, 3), round(found.observed, 3)
    (0.444, 0.733)
    """
    _known(coefficient, CHANCE, "coefficient")
    _known(weights, WEIGHTS, "weights")
    least = 2 if coefficient == "krippendorff" else 1
    counted = tally(ratings, least=least, categories=categories)
    table = agreement_weights(counted.values, weights)
    counts, sizes = counted.counts, counted.sizes
    if int((sizes > 1).sum()) < 2:
        raise MethodError(
            f"{int((sizes > 1).sum())} units have two or more ratings; at least 2 are needed."
        )
    pairs = (counts * (counts if weights == "identity" else counts @ table)).sum(axis=1) - sizes
    if coefficient == "krippendorff":
        plain = _corrected(*_krippendorff_parts(counted, table, pairs))
        small = 1 / float(sizes.sum())
        return replace(
            plain,
            estimate=plain.estimate + small * (1 - plain.estimate),
            observed=plain.observed + small * (1 - plain.observed),
        )
    paired = sizes > 1
    share = len(sizes) / paired.sum()
    agreed = share * pairs / np.where(paired, sizes * (sizes - 1), 1.0)
    q, mean_share = len(counted.values), _over(counts, sizes).mean(axis=0)
    if coefficient in ("percent", "brennan_prediger"):
        expected = 0.0 if coefficient == "percent" else float(table.sum() / q**2)
        chance = np.full(len(sizes), expected)
    elif coefficient == "conger":
        expected, chance = _conger_chance(ratings, counted.values, table)
    else:
        price = table @ mean_share
        if coefficient == "gwet":
            price = (1 - mean_share) * (table.sum() / (q * (q - 1)) if q > 1 else np.nan)
        expected, chance = float(price @ mean_share), _over(counts, sizes) @ price
    return _corrected(agreed, share * paired, expected, chance)


def _corrected(agreed: Floats, counted: Floats, expected: float, chance: Floats) -> Corrected:
    """Return a coefficient and its standard error from what each unit adds to its parts."""
    observed, n = float(agreed.mean()), len(agreed)
    if not expected < 1 - 1e-12:
        raise MethodError(
            "the coefficient is undefined: every rating has the same value, so that chance alone "
            "would give perfect agreement."
        )
    estimate = (observed - expected) / (1 - expected)
    added = agreed - expected * counted - 2 * (1 - estimate) * (chance - expected)
    spread = float(((added / (1 - expected) - estimate) ** 2).sum())
    error = float(np.sqrt(spread / (n * (n - 1))))
    # What rounding leaves of nothing would make a wild t of two zeros: kappa of a coder who
    # gives all units the same value is 0 whatever the sample.
    rounding = 64 * np.finfo(float).eps / (1 - expected)
    estimate, error = (x if abs(x) > rounding else 0.0 for x in (estimate, error))
    return Corrected(estimate, error, observed, expected, n)


def _krippendorff_parts(
    counted: Tally, table: Floats, pairs: Floats
) -> tuple[Floats, Floats, float, Floats]:
    """Return the parts of alpha before its small-sample term, relative to the mean unit."""
    size = counted.sizes.mean()
    extra = counted.sizes / size - 1  # units with more ratings make up more of each mean
    agreed = pairs / (size * (counted.sizes - 1))
    mean = agreed.mean()
    agreed = agreed - (mean + (1 - mean) / counted.sizes.sum()) * extra
    shares = counted.counts.mean(axis=0) / size
    price = table @ shares
    expected = float(price @ shares)
    chance = (counted.counts @ price) / size - expected * extra
    return agreed, np.ones(len(extra)), expected, chance


def _conger_chance(ratings: npt.ArrayLike, values: Floats, table: Floats) -> tuple[float, Floats]:
    """Return agreement by chance over pairs of coders, and what each unit adds to it."""
    given = _table(ratings)
    given = given[~np.isnan(given).all(axis=1)]
    given = given[:, ~np.isnan(given).all(axis=0)]
    n, coders = given.shape
    if coders < 2:
        raise MethodError("Conger's kappa needs two coders who rated something, got one.")
    rated = ~np.isnan(given)
    codes = np.searchsorted(values, np.where(rated, given, values[0]))
    shares = np.array(
        [
            np.bincount(codes[rated[:, g], g], minlength=len(values)) / rated[:, g].sum()
            for g in range(coders)
        ]
    )
    price = (shares.sum(axis=0) - shares) @ table  # what the other coders make of each value
    own = (shares * price).sum(axis=1)
    expected = float(own.sum() / (coders * (coders - 1)))
    worth = price[np.arange(coders), codes] - own
    added = (rated * worth * (n / rated.sum(axis=0))).sum(axis=1)
    return expected, expected + added / (coders * (coders - 1))


def _over(counts: Any, sizes: Floats) -> Any:
    """Return counts divided by the size of their unit, sparse if they are."""
    return counts * (1 / sizes)[:, None]


def _table(ratings: npt.ArrayLike) -> Floats:
    """Return ratings as an array, refused if it is no table or holds infinite numbers."""
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2:
        raise MethodError(
            f"ratings must have units in rows and coders in columns, got {table.shape}."
        )
    infinite = int(np.isinf(table).sum())
    if infinite:
        raise MethodError(f"{infinite} ratings are infinite.")
    return table


def _known(name: str, allowed: Any, what: str) -> None:
    """Refuse a name that is not allowed."""
    if name not in allowed:
        raise SpecError(
            f"{what}: must be one of {', '.join(allowed)}, got {name!r}."
            f"{nearest(str(name), allowed)}"
        )
