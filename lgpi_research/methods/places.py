"""Means of places from sums over their clusters, and the reliability of such scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.roots import falling_root
from lgpi_research.methods.sums import one_hot

__all__ = ["UnitReliability", "place_means", "unit_reliability", "within_reliability"]

Floats = npt.NDArray[np.float64]


def place_means(
    counts: npt.ArrayLike,
    weights: npt.ArrayLike,
    sums: npt.ArrayLike,
    place: npt.ArrayLike,
    stratum: npt.ArrayLike,
    *,
    lonely: str = "fail",
    pooled: bool = False,
) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    r"""Return weighted means of places, and their design-based standard errors.

    Parameters
    ----------
    counts, weights, sums : array_like of shape (n_psu, k)
        Of each PSU and item: answers, sum of their weights, weighted sum of the answers.
    place, stratum : array_like of shape (n_psu,)
        Labels of the place and the stratum of each PSU.
    lonely : {"fail", "certainty"}, default "fail"
        Whether the error of a place is unknown if it has, in some stratum, one PSU with
        answers, or such a PSU adds nothing to it.
    pooled : bool, default False
        Whether to smooth the errors over places, as said below.

    Returns
    -------
    means : ndarray of shape (n_places, k)
        In the sorted order of the labels; NaN where nobody answered.
    std_errors : ndarray of shape (n_places, k)
        NaN where unknown, and where no stratum of the place has two PSUs with answers;
        pooled ones are known wherever anybody answered.
    answered : ndarray of int of shape (n_places, k)
        Answers behind each mean.

    Notes
    -----
    Places are taken as given, and PSUs as drawn with replacement within each stratum of
    a place. With weighted sums :math:`S_p, W_p` of PSU p,
    :math:`\bar y = \sum S_p/\sum W_p` and :math:`z_p = (S_p - \bar y W_p)/\sum W_p`,
    the variance by linearisation is

    .. math::

        \sum_h \frac{n_h}{n_h - 1} \sum_{p \in h} (z_p - \bar z_h)^2 ,

    over the PSUs with answers to the item [1]_. With few PSUs a place it is itself
    uncertain, by a relative standard error of about :math:`\sqrt{2/(n_h - 1)}`, and a
    reliability made from such errors is too high (`unit_reliability`). Pooled errors
    suppose that PSU means vary alike in all places: with shares
    :math:`a_p = W_p/\sum W_p` and the effective number of PSUs
    :math:`m_j = 1/\sum a_p^2`, the error of place j is :math:`\sqrt{c/m_j}`, where c
    is the mean of :math:`m_j v_j` over places, weighted by their degrees of freedom: a
    generalised variance function [2]_.

    References
    ----------
    .. [1] Binder, D. A. (1983). On the variances of asymptotically normal estimators
       from complex surveys. *International Statistical Review*, 51, 279-292.
    .. [2] Wolter, K. M. (2007). *Introduction to Variance Estimation*, 2nd ed., ch. 7.
       Springer.

    Examples
    --------
    Two clusters of two answers each, with means 2 and 6:

    >>> means, errors, _ = place_means([[2], [2]], [[2], [2]], [[4], [12]], ["x", "x"], [1, 1])
    >>> float(means[0, 0]), float(errors[0, 0])
    (4.0, 2.0)
    """
    n, w, s = (np.asarray(part, dtype=np.float64) for part in (counts, weights, sums))
    places, at = np.unique(np.asarray(place).astype(str), return_inverse=True)
    _, strata = np.unique(np.asarray(stratum).astype(str), return_inverse=True)
    cells, cell = np.unique(at * (strata.max() + 1) + strata, return_inverse=True)
    of_cell = cells // (strata.max() + 1)
    to_place, to_cell = one_hot(at, len(places)), one_hot(cell, len(cells))
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.asarray(to_place @ w)
        means = np.asarray(to_place @ s) / weight
        score = (s - means[at] * w) / weight[at]
    answering = n > 0
    score = np.where(answering, score, 0.0)
    size = np.asarray(to_cell @ answering.astype(float))
    middle = np.asarray(to_cell @ score) / np.fmax(size, 1)
    squares = np.asarray(to_cell @ np.where(answering, np.square(score - middle[cell]), 0.0))
    variance = np.where(size > 1, size / np.fmax(size - 1, 1) * squares, 0.0)
    gather = one_hot(of_cell, len(places))
    alone = np.asarray(gather @ (size == 1).astype(float)) > 0
    paired = np.asarray(gather @ (size > 1).astype(float)) > 0
    known = paired & (~alone | (lonely == "certainty"))
    squared = np.where(known, np.asarray(gather @ variance), np.nan)
    if pooled:
        df = np.where(known, np.asarray(gather @ np.fmax(size - 1, 0)), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            effective = np.square(weight) / np.asarray(to_place @ np.square(w))
            mean = np.where(known, df * effective * squared, 0.0).sum(axis=0) / df.sum(axis=0)
            squared = mean / effective
    answered = np.rint(np.asarray(to_place @ n)).astype(np.int64)
    return means, np.sqrt(squared), answered


@dataclass(frozen=True, eq=False)
class UnitReliability:
    """How much of the differences between units is not error.

    Attributes
    ----------
    true_variance : float
        Variance of the units' true values, in squared units of the scores; at least 0.
    true_variance_ci : (float, float)
        Its interval.
    moment_variance : float
        Variance of the scores less the mean squared standard error: a simpler estimate,
        which may be negative.
    each : ndarray of shape (n,)
        Reliability of each unit's score.
    mean : float
        Mean of `each`.
    mean_ci : (float, float)
    squared_correlation : float
        Squared correlation of scores with true values, what a regression needs.
    squared_correlation_ci : (float, float)
    df : int
        Units less groups.
    truncated : bool
        Whether the scores vary less than their errors alone would let them.
    """

    true_variance: float
    true_variance_ci: tuple[float, float]
    moment_variance: float
    each: Floats
    mean: float
    mean_ci: tuple[float, float]
    squared_correlation: float
    squared_correlation_ci: tuple[float, float]
    df: int
    truncated: bool


def unit_reliability(
    scores: npt.ArrayLike,
    std_errors: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> UnitReliability:
    r"""Estimate the reliability of the scores of units from their standard errors.

    Parameters
    ----------
    scores : array_like of shape (n,)
        Score of each unit.
    std_errors : array_like of shape (n,)
        Standard error of each score, in its units.
    groups : array_like of shape (n,), optional
        Group (country, region) of each unit: the reliability is then that of
        differences within groups.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    UnitReliability

    Raises
    ------
    MethodError
        If a score or standard error is missing or a standard error is not positive, if
        no group has two units, or if the scores do not vary (within groups).
    SpecError
        If the level does not lie between 0 and 1.

    Notes
    -----
    Scores :math:`y_j = \mu_g + u_j + e_j` with :math:`u_j` of variance :math:`\tau^2`
    and errors of known variance :math:`v_j`, independent of one another.
    :math:`\tau^2` is the estimate of Paule and Mandel [1]_, which supposes no normal
    distribution: it makes

    .. math::

        Q(\tau^2) = \sum_g \sum_{j \in g} \frac{(y_j - \bar y_g)^2}{\tau^2 + v_j}

    equal to its expectation, units less groups, with :math:`\bar y_g` the mean under
    the same weights, and 0 if :math:`Q(0)` is below that. With equal :math:`v_j` it is
    the variance of the scores less :math:`v`, as REML is. Its interval inverts
    :math:`Q` in the chi-squared distribution [2]_, which supposes normal scores; the
    intervals of the summaries, which rise with :math:`\tau^2`, are the summaries at its
    ends. Errors that rest on few clusters each are not known: in simulations of 300
    units of true reliability 0.50, with errors from 2, 4, 8 and 20 clusters, the mean
    was estimated as 0.71, 0.61, 0.56 and 0.52, the squared correlation as 0.59, 0.55,
    0.53 and 0.51; pool such errors first (`place_means`). The reliability of unit j is
    :math:`\lambda_j = \tau^2/(\tau^2 + v_j)` [3]_; reported are the mean of
    :math:`\lambda_j` and :math:`\tau^2/(\tau^2 + \bar v)`. They agree if the
    :math:`v_j` are equal, and are then the intraclass correlation of means, ICC(2).

    References
    ----------
    .. [1] Paule, R. C., and Mandel, J. (1982). Consensus values and weighting factors.
       *Journal of Research of the National Bureau of Standards*, 87, 377-385.
    .. [2] Viechtbauer, W. (2007). Confidence intervals for the amount of heterogeneity
       in meta-analysis. *Statistics in Medicine*, 26, 37-52.
    .. [3] Raudenbush, S. W., and Sampson, R. J. (1999). Ecometrics: toward a science of
       assessing ecological settings. *Sociological Methodology*, 29, 1-41.

    Examples
    --------
    Four scores of variance 5/3 and error variance 2/3 leave a true variance of 1:

    >>> found = unit_reliability([1.0, 2.0, 3.0, 4.0], [(2 / 3) ** 0.5] * 4)
    >>> round(found.true_variance, 9), round(found.mean, 9)
    (1.0, 0.6)
    """
    if not 0 < level < 1:
        raise SpecError(f"level must lie between 0 and 1, got {level!r}.")
    y, errors = np.asarray(scores, dtype=np.float64), np.asarray(std_errors, dtype=np.float64)
    group = np.zeros(len(y)) if groups is None else np.asarray(groups).astype(str)
    _, codes, sizes = np.unique(group, return_inverse=True, return_counts=True)
    df = len(y) - len(sizes)
    _check(y, errors, df, grouped=groups is not None)
    # Centred and in units of the spread, so that no unit of measurement is special.
    within = y - (np.bincount(codes, y) / sizes)[codes]
    scale = np.sqrt(np.square(within).sum() / df)
    if scale <= 1e-12 * np.abs(y).max():
        where = " within groups" if groups is not None else ""
        raise MethodError(f"the scores do not vary{where}: there is nothing to be reliable about.")
    z, v = within / scale, np.square(errors / scale)

    def spread(variance: float) -> float:
        weight = 1 / (variance + v)
        mean = np.bincount(codes, weight * z) / np.bincount(codes, weight)
        return float((weight * np.square(z - mean[codes])).sum())

    tail = (1 - level) / 2
    tau2 = falling_root(spread, float(df))
    ends = (falling_root(spread, float(stats.chi2.isf(t, df))) for t in (tail, 1 - tail))
    low, high = ends
    each = tau2 / (tau2 + v)

    def mean_of(variance: float) -> float:
        return float((variance / (variance + v)).mean())

    def squared(variance: float) -> float:
        return float(variance / (variance + v.mean()))

    size = float(scale**2)
    return UnitReliability(
        true_variance=tau2 * size,
        true_variance_ci=(low * size, high * size),
        moment_variance=float(size - np.square(errors).mean()),
        each=each,
        mean=mean_of(tau2),
        mean_ci=(mean_of(low), mean_of(high)),
        squared_correlation=squared(tau2),
        squared_correlation_ci=(squared(low), squared(high)),
        df=df,
        truncated=spread(0.0) <= df,
    )


def within_reliability(reliability: float, stability: float) -> float:
    r"""Return the reliability of the movements of a score within units.

    Parameters
    ----------
    reliability : float
        Share of the variance of the observed score, over units and periods, that is true.
    stability : float
        Correlation of the observed score between periods.

    Returns
    -------
    float
        At or below 0 where the score moves no more than its errors do.

    Raises
    ------
    MethodError
        If the stability is not in [-1, 1).

    Notes
    -----
    :math:`(\lambda - \rho)/(1 - \rho)` [1]_: a share :math:`\rho` of the variance
    stays and goes with the effects of units, all of it true if errors of different
    periods are independent. Errors that persist make the result too small.

    References
    ----------
    .. [1] Griliches, Z., and Hausman, J. A. (1986). Errors in variables in panel data.
       *Journal of Econometrics*, 31, 93-118.

    Examples
    --------
    >>> round(within_reliability(0.9, 0.8), 9)
    0.5
    """
    if not -1 <= stability < 1:
        raise MethodError(f"the stability must be in [-1, 1), got {stability!r}.")
    return (reliability - stability) / (1 - stability)


def _check(scores: Floats, errors: Floats, df: int, *, grouped: bool) -> None:
    if scores.ndim != 1 or scores.shape != errors.shape:
        raise MethodError(
            f"every unit needs one score and one standard error; got shapes {scores.shape} "
            f"and {errors.shape}."
        )
    bad = ~(np.isfinite(scores) & np.isfinite(errors) & (errors > 0))
    if bad.any():
        raise MethodError(
            f"{bad.sum()} of {len(scores)} units have no score or no positive standard error. "
            "Set them aside first, and count them."
        )
    if df < 1:
        raise MethodError(
            f"{len(scores)} units{' in as many groups' if grouped else ''}: "
            f"reliability needs two units{' in a group' if grouped else ''}."
        )
