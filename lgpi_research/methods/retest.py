"""Test and retest: what moves between occasions, and what a change must exceed to be one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.errors import MethodError, Problems, SpecError, listing, nearest
from lgpi_research.methods.heterogeneity import check_level
from lgpi_research.methods.icc import Intraclass, Squares, intraclass, mean_squares
from lgpi_research.methods.places import UnitReliability, unit_reliability

__all__ = [
    "ADJUSTMENTS",
    "Changes",
    "Limits",
    "Retest",
    "bland_altman",
    "changes_beyond_error",
    "compare_occasions",
    "detectable_change",
]

Floats = npt.NDArray[np.float64]

ADJUSTMENTS = ("none", "bh")
"""Tests of single places as they are, or with Benjamini and Hochberg's rate of false finds."""

INTERVALS = ("exact", "approximate")
"""Intervals of limits of agreement."""


@dataclass(frozen=True, eq=False)
class Retest:
    r"""How scores of the same units agree between occasions.

    Attributes
    ----------
    agreement, consistency : Intraclass
        ICC(A,1), which counts a shift of all units as disagreement, and ICC(C,1), which does
        not, with intervals.
    means : ndarray of shape (k,)
        Mean of each occasion, over the units used.
    shift, shift_std_error : float
        Mean of the last occasion less that of the first, and its standard error.
    shift_ci : (float, float)
    shift_p : float
        Probability of occasion means at least as different if none differs truly (F test).
    occasion_variance : float
        Variance that occasions share over all units; negative if they differ less than
        chance lets them, and then 0 in what follows.
    shift_share : float
        Share of it in the variance within units.
    sem_agreement, sem_consistency : float
        Standard error of measurement (typical error within units) with and without it.
    sem_consistency_ci : (float, float)
    squares : Squares
        Mean squares, units, occasions, and units set aside for a missing occasion.
    level : float
        Level of the intervals.
    """

    agreement: Intraclass
    consistency: Intraclass
    means: Floats
    shift: float
    shift_std_error: float
    shift_ci: tuple[float, float]
    shift_p: float
    occasion_variance: float
    shift_share: float
    sem_agreement: float
    sem_consistency: float
    sem_consistency_ci: tuple[float, float]
    squares: Squares
    level: float

    def smallest_detectable_change(self, *, definition: str = "agreement", group: int = 1) -> float:
        r"""Return the change that error alone exceeds with probability ``1 - level``.

        Parameters
        ----------
        definition : {"agreement", "consistency"}, default "agreement"
            Whether a shift between occasions counts as error.
        group : int, default 1
            Units whose mean change is judged; 1 for a single unit.

        Returns
        -------
        float
            In units of the scores.

        Raises
        ------
        SpecError
            If the definition does not exist or the group is below 1.
        """
        allowed = ("agreement", "consistency")
        if definition not in allowed:
            raise SpecError(
                f"definition: must be {' or '.join(allowed)}, got {definition!r}."
                f"{nearest(str(definition), allowed)}"
            )
        shared = max(self.occasion_variance, 0.0) if definition == "agreement" else 0.0
        return detectable_change(
            self.sem_consistency, float(np.sqrt(shared)), group=group, level=self.level
        )


def compare_occasions(scores: npt.ArrayLike, *, level: float = 0.95) -> Retest:
    r"""Compare scores of the same units on two or more occasions.

    Parameters
    ----------
    scores : array_like of shape (n_units, k)
        A column for each occasion, in order of time. NaN is a missing occasion; such units
        are set aside and counted (``squares.n_dropped``).
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    Retest

    Raises
    ------
    MethodError
        If there are fewer than two occasions or two units with all of them, if a score is
        infinite, or if no score differs.
    SpecError
        If the level does not lie between 0 and 1.

    Notes
    -----
    Two-way analysis of variance with mean squares C of occasions and E of residuals: the
    variance that all units share on an occasion is :math:`\sigma_c^2 = (C - E)/n`, the typical
    error is :math:`\sqrt E` (consistency) or :math:`\sqrt{\sigma_c^2 + E}` (agreement) [1]_,
    [2]_. The interval of the first is that of the chi-squared distribution with
    :math:`(n-1)(k-1)` degrees of freedom. The shift is the mean change from the first to the
    last occasion, with Student's t over units. Coefficients are those of `intraclass`.

    Units are supposed to be as they were: whatever has truly changed counts as error, so over
    years the coefficients tell of stability, not of reliability alone. Errors are supposed
    independent between units and of one size. ICC(A,1) takes occasions as drawn from many;
    with two of them its interval says little about the shift.

    References
    ----------
    .. [1] Weir, J. P. (2005). Quantifying test-retest reliability using the intraclass
       correlation coefficient and the SEM. *Journal of Strength and Conditioning Research*,
       19, 231-240.
    .. [2] de Vet, H. C. W., Terwee, C. B., Knol, D. L., and Bouter, L. M. (2006). When to use
       agreement versus reliability measures. *Journal of Clinical Epidemiology*, 59,
       1033-1039.

    Examples
    --------
    Everybody is one point up, and keeps the same place:

    >>> found = compare_occasions([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]])
    >>> found.consistency.estimate, round(found.agreement.estimate, 3), found.shift
    (1.0, 0.667, 1.0)
    >>> found.sem_consistency, round(found.sem_agreement, 3), found.shift_share
    (0.0, 0.707, 1.0)
    """
    check_level(level)
    table = _occasions(scores)
    squares = mean_squares(table)
    n, k = squares.n_units, squares.n_coders
    forms = {form.name: form for form in intraclass(squares, level=level)}
    complete = table[~np.isnan(table).any(axis=1)]
    change = complete[:, -1] - complete[:, 0]
    shift, error = float(change.mean()), float(change.std(ddof=1) / np.sqrt(n))
    reach = float(stats.t.isf((1 - level) / 2, n - 1)) * error
    df = (n - 1) * (k - 1)
    shared = (squares.coders - squares.residual) / n
    within = max(shared, 0.0) + squares.residual
    tails = (float(stats.chi2.isf(t, df)) for t in ((1 - level) / 2, (1 + level) / 2))
    low, high = (float(np.sqrt(df * squares.residual / tail)) for tail in tails)
    f = squares.coders / squares.residual if squares.residual > 0 else np.inf
    return Retest(
        agreement=forms["ICC(A,1)"],
        consistency=forms["ICC(C,1)"],
        means=np.asarray(complete.mean(axis=0)),
        shift=shift,
        shift_std_error=error,
        shift_ci=(shift - reach, shift + reach),
        shift_p=float(stats.f.sf(f, k - 1, df)) if squares.coders > 0 else 1.0,
        occasion_variance=float(shared),
        shift_share=max(shared, 0.0) / within if within > 0 else 0.0,
        sem_agreement=float(np.sqrt(within)),
        sem_consistency=float(np.sqrt(squares.residual)),
        sem_consistency_ci=(low, high),
        squares=squares,
        level=level,
    )


def _occasions(scores: npt.ArrayLike) -> Floats:
    """Return scores as a table of which two units at least have every occasion."""
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise MethodError(
            "test and retest need a row for each unit and a column for each of two or more "
            f"occasions; got shape {table.shape}."
        )
    problems = Problems(f"{len(table)} units on {table.shape[1]} occasions")
    infinite = np.isinf(table).any(axis=1)
    if infinite.any():
        rows = listing(np.flatnonzero(infinite) + 1)
        problems.add(f"{infinite.sum()} units have infinite scores (at {rows}).")
    whole = ~np.isnan(table).any(axis=1)
    if whole.sum() < 2:
        problems.add(
            f"{whole.sum()} units have a score on every occasion; at least 2 are needed. Compare "
            "fewer occasions."
        )
    elif np.ptp(table[whole]) == 0:
        problems.add("every score is the same, so there is nothing to be stable.")
    problems.raise_any(MethodError)
    return table


def detectable_change(
    sem: float, shift_sd: float = 0.0, *, group: int = 1, level: float = 0.95
) -> float:
    r"""Return the change that error alone exceeds with probability ``1 - level``.

    Parameters
    ----------
    sem : float
        Standard error of measurement of one unit, independent between units.
    shift_sd : float, default 0
        Standard deviation of what all units share on an occasion, if it counts as error.
    group : int, default 1
        Units whose mean change is judged.
    level : float, default 0.95

    Returns
    -------
    float
        In units of the scores.

    Raises
    ------
    SpecError
        If a standard deviation is negative, the group is below 1, or the level is not between
        0 and 1.

    Notes
    -----
    :math:`z\sqrt{2(\sigma_c^2 + \sigma_e^2/g)}` for the mean of g units. With g = 1 it is the
    usual :math:`1.96\sqrt 2\,SEM` [1]_. Dividing that by :math:`\sqrt g` would let a shift of
    all units average out, which it does not.

    References
    ----------
    .. [1] de Vet, H. C. W., Terwee, C. B., Knol, D. L., and Bouter, L. M. (2006). When to use
       agreement versus reliability measures. *Journal of Clinical Epidemiology*, 59,
       1033-1039.

    Examples
    --------
    >>> round(detectable_change(1.0), 3), round(detectable_change(1.0, group=100), 3)
    (2.772, 0.277)
    """
    check_level(level)
    problems = Problems("the change")
    if not (np.isfinite(sem) and sem >= 0 and np.isfinite(shift_sd) and shift_sd >= 0):
        problems.add(f"standard deviations must be at least 0, got {sem!r} and {shift_sd!r}.")
    if not (isinstance(group, int | np.integer) and group >= 1):
        problems.add(f"group: must be a whole number of at least 1, got {group!r}.")
    problems.raise_any(SpecError)
    z = float(stats.norm.isf((1 - level) / 2))
    return z * float(np.sqrt(2 * (shift_sd**2 + sem**2 / group)))


@dataclass(frozen=True)
class Limits:
    """Limits of agreement of two occasions.

    Attributes
    ----------
    shift, sd : float
        Mean and standard deviation of the differences, second less first.
    low, high : float
        Limits between which the wanted share of differences lies.
    low_ci, high_ci : (float, float)
        Their intervals.
    n_used, n_dropped : int
        Units with both scores, and without.
    """

    shift: float
    sd: float
    low: float
    high: float
    low_ci: tuple[float, float]
    high_ci: tuple[float, float]
    n_used: int
    n_dropped: int


def bland_altman(
    first: npt.ArrayLike, second: npt.ArrayLike, *, level: float = 0.95, interval: str = "exact"
) -> Limits:
    r"""Return the limits of agreement of two occasions, with intervals.

    Parameters
    ----------
    first, second : array_like of shape (n_units,)
        NaN is missing; units without both are set aside and counted.
    level : float, default 0.95
        Share of differences between the limits, and level of their intervals.
    interval : {"exact", "approximate"}, default "exact"
        Which intervals.

    Returns
    -------
    Limits

    Raises
    ------
    MethodError
        If fewer than two units have both scores, or a score is infinite.
    SpecError
        If level or interval do not exist.

    Notes
    -----
    Limits are :math:`\bar d \pm z s` [1]_, which supposes differences that are normal and of
    one spread over the range of scores. With :math:`T` noncentral t with n - 1 degrees of
    freedom and noncentrality :math:`z\sqrt n`, the upper limit :math:`\mu + z\sigma` has the
    exact interval :math:`\bar d + s\,T_{\alpha/2}/\sqrt n` to
    :math:`\bar d + s\,T_{1-\alpha/2}/\sqrt n` [2]_, and the lower its mirror image. The
    approximate one is :math:`t_{n-1} s \sqrt{1/n + z^2/(2(n-1))}` on either side, and with
    few units too short above and too long below.

    References
    ----------
    .. [1] Bland, J. M., and Altman, D. G. (1986). Statistical methods for assessing agreement
       between two methods of clinical measurement. *Lancet*, 327, 307-310.
    .. [2] Carkeet, A. (2015). Exact parametric confidence intervals for Bland-Altman limits
       of agreement. *Optometry and Vision Science*, 92, e71-e80.

    Examples
    --------
    >>> limits = bland_altman([1.0, 2.0, 3.0, 4.0], [1.5, 2.0, 3.5, 5.0])
    >>> round(limits.shift, 3), round(limits.low, 3), round(limits.high, 3)
    (0.5, -0.3, 1.3)
    """
    check_level(level)
    if interval not in INTERVALS:
        raise SpecError(
            f"interval: must be {' or '.join(INTERVALS)}, got {interval!r}."
            f"{nearest(str(interval), INTERVALS)}"
        )
    change = _change(first, second)
    used = change[~np.isnan(change)]
    n = len(used)
    if n < 2:
        raise MethodError(f"{n} of {len(change)} units have both scores; limits need 2.")
    tail = (1 - level) / 2
    z = float(stats.norm.isf(tail))
    shift, sd = float(used.mean()), float(used.std(ddof=1))
    if interval == "exact":
        near, far = (
            float(stats.nct.ppf(q, n - 1, z * np.sqrt(n)) / np.sqrt(n)) for q in (tail, 1 - tail)
        )
    else:
        reach = float(stats.t.isf(tail, n - 1) * np.sqrt(1 / n + z**2 / (2 * (n - 1))))
        near, far = z - reach, z + reach
    return Limits(
        shift=shift,
        sd=sd,
        low=shift - z * sd,
        high=shift + z * sd,
        low_ci=(shift - far * sd, shift - near * sd),
        high_ci=(shift + near * sd, shift + far * sd),
        n_used=n,
        n_dropped=len(change) - n,
    )


@dataclass(frozen=True, eq=False)
class Changes:
    """Changes of places whose scores have known errors.

    Attributes
    ----------
    change, std_error, smallest_detectable, p_value : ndarray of shape (n,)
        Second less first, its standard error, what it must exceed, and the test that the
        place has not changed; NaN where a score or an error is missing.
    beyond : ndarray of bool of shape (n,)
        Whether the change is beyond error, after adjustment if one was asked for.
    reliability : UnitReliability or None
        How much of the differences between changes is true; None with fewer than two places
        or changes that do not differ.
    n_used, n_dropped : int
        Places judged, and set aside.
    adjust : str
    """

    change: Floats
    std_error: Floats
    smallest_detectable: Floats
    p_value: Floats
    beyond: npt.NDArray[np.bool_]
    reliability: UnitReliability | None
    n_used: int
    n_dropped: int
    adjust: str


def changes_beyond_error(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    first_error: npt.ArrayLike,
    second_error: npt.ArrayLike,
    *,
    covariance: npt.ArrayLike = 0.0,
    level: float = 0.95,
    adjust: str = "none",
) -> Changes:
    r"""Judge each place's change against the errors of its two scores.

    Parameters
    ----------
    first, second : array_like of shape (n,)
        Scores; NaN is missing.
    first_error, second_error : array_like of shape (n,)
        Their standard errors; NaN is unknown.
    covariance : float or array_like of shape (n,), default 0
        Covariance of the two errors of a place, above 0 if the same clusters or people were
        asked again.
    level : float, default 0.95
        One less it is the probability that a place without change is found beyond error, or
        with "bh" the share of such places among those found.
    adjust : {"none", "bh"}, default "none"
        Whether many places are tested as if each were alone.

    Returns
    -------
    Changes

    Raises
    ------
    MethodError
        If shapes differ, a number is infinite, an error is not positive, or covariances do not
        fit the errors.
    SpecError
        If level or adjustment do not exist.

    Notes
    -----
    A change is beyond error if it exceeds
    :math:`z\sqrt{v_{j1} + v_{j2} - 2c_j}`; with "bh", if its p-value is among those that
    Benjamini and Hochberg's step-up procedure [1]_ finds, and ``smallest_detectable`` remains
    that of a single place. Reliability is that of `unit_reliability` for the changes: the part
    of their variance that is true, with a shift of all places taken out.

    References
    ----------
    .. [1] Benjamini, Y., and Hochberg, Y. (1995). Controlling the false discovery rate: a
       practical and powerful approach to multiple testing. *Journal of the Royal Statistical
       Society: Series B*, 57, 289-300.

    Examples
    --------
    >>> found = changes_beyond_error([0.0, 0.0], [1.0, 3.0], [0.6, 0.6], [0.8, 0.8])
    >>> found.beyond.tolist(), [round(float(s), 2) for s in found.smallest_detectable]
    ([False, True], [1.96, 1.96])
    """
    check_level(level)
    if adjust not in ADJUSTMENTS:
        raise SpecError(
            f"adjust: must be {' or '.join(ADJUSTMENTS)}, got {adjust!r}."
            f"{nearest(str(adjust), ADJUSTMENTS)}"
        )
    change = _change(first, second)
    variance = _change_variance(change.shape, first_error, second_error, covariance)
    known = ~(np.isnan(change) | np.isnan(variance))
    change, error = np.where(known, change, np.nan), np.sqrt(np.where(known, variance, np.nan))
    p_value = 2 * stats.norm.sf(np.abs(change) / error)
    beyond = np.zeros(len(change), dtype=np.bool_)
    judged = p_value[known]
    if adjust == "bh" and known.any():
        judged = stats.false_discovery_control(judged)
    beyond[known] = judged < 1 - level
    moved, noise = change[known], error[known]
    differ = len(moved) > 1 and np.ptp(moved) > 1e-12 * np.abs(moved).max()
    return Changes(
        change=change,
        std_error=error,
        smallest_detectable=float(stats.norm.isf((1 - level) / 2)) * error,
        p_value=np.asarray(p_value),
        beyond=beyond,
        reliability=unit_reliability(moved, noise, level=level) if differ else None,
        n_used=int(known.sum()),
        n_dropped=int((~known).sum()),
        adjust=adjust,
    )


def _change(first: npt.ArrayLike, second: npt.ArrayLike) -> Floats:
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.ndim != 1 or one.shape != two.shape:
        raise MethodError(
            f"both occasions need one score a unit, NaN where missing; got shapes {one.shape} "
            f"and {two.shape}."
        )
    infinite = np.isinf(one) | np.isinf(two)
    if infinite.any():
        raise MethodError(
            f"{infinite.sum()} units have infinite scores (at "
            f"{listing(np.flatnonzero(infinite) + 1)})."
        )
    return np.asarray(two - one)


def _change_variance(
    shape: tuple[int, ...],
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    covariance: npt.ArrayLike,
) -> Floats:
    """Return the error variance of each change, with what makes it impossible said."""
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    shared = np.asarray(covariance, dtype=np.float64)
    if one.shape != shape or two.shape != shape or shared.shape not in ((), shape):
        raise MethodError(
            f"every place needs two standard errors, and one covariance if any; got shapes "
            f"{one.shape}, {two.shape} and {shared.shape} for {shape[0]} places."
        )
    problems = Problems(f"the errors of {shape[0]} places")
    for name, errors in (("first", one), ("second", two)):
        bad = np.isinf(errors) | (errors <= 0)
        if bad.any():
            problems.add(
                f"{bad.sum()} standard errors of the {name} occasion are 0, negative or infinite "
                f"(at {listing(np.flatnonzero(bad) + 1)})."
            )
    shared = np.broadcast_to(shared, shape)
    wide = np.isinf(shared) | (np.abs(shared) >= one * two)
    if wide.any():
        problems.add(
            f"{wide.sum()} covariances are as large as the product of the standard errors or "
            f"larger (at {listing(np.flatnonzero(wide) + 1)}), so errors would correlate fully."
        )
    problems.raise_any(MethodError)
    return np.asarray(np.square(one) + np.square(two) - 2 * shared)
