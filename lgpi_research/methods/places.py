"""Means of places from sums over their clusters, and the reliability of such scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.errors import MethodError, Problems, SpecError, listing, nearest
from lgpi_research.methods.roots import falling_root
from lgpi_research.methods.sums import one_hot

__all__ = [
    "LONELY",
    "UnitReliability",
    "answers_needed",
    "expected_reliability",
    "place_means",
    "unit_reliability",
    "within_reliability",
]

Floats = npt.NDArray[np.float64]

LONELY = ("fail", "certainty", "adjust", "average")
"""What to do with a stratum of a place in which one PSU has answers."""


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
    lonely : {"fail", "certainty", "adjust", "average"}, default "fail"
        What a stratum of a place does in which one PSU has answers. It leaves the error of
        the place unknown ("fail"); adds nothing ("certainty"); is centred at the mean of the
        place instead of its own ("adjust", which Stata calls centered); or adds what the
        other strata of the place add on average ("average", Stata's scaled).
    pooled : bool, default False
        Whether to smooth the errors over places, as said below.

    Returns
    -------
    means : ndarray of shape (n_places, k)
        In the sorted order of the labels; NaN where nobody answered.
    std_errors : ndarray of shape (n_places, k)
        NaN where unknown, and where no stratum of the place has two PSUs with answers ("adjust"
        asks for two PSUs with answers in the place); pooled ones are known wherever anybody
        answered.
    answered : ndarray of int of shape (n_places, k)
        Answers behind each mean.

    Raises
    ------
    SpecError
        If `lonely` is none of the four.

    Notes
    -----
    Places are taken as given, and PSUs as drawn with replacement within each stratum of
    a place. With weighted sums :math:`S_p, W_p` of PSU p,
    :math:`\bar y = \sum S_p/\sum W_p` and :math:`z_p = (S_p - \bar y W_p)/\sum W_p`,
    the variance by linearisation is

    .. math::

        \sum_h \frac{n_h}{n_h - 1} \sum_{p \in h} (z_p - \bar z_h)^2 ,

    over the PSUs with answers to the item [1]_. A lonely PSU adds :math:`z_p^2` under
    "adjust"; under "average" the sum over the strata with two PSUs or more is multiplied by
    all strata over these. Certainty understates the error unless the PSU was certain to be
    taken; the other two are rough, and two lonely strata alone give under "adjust" half of
    what one stratum of the two PSUs would. With few PSUs a place it is itself
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
    if lonely not in LONELY:
        raise SpecError(
            f"lonely must be {', '.join(map(repr, LONELY[:-1]))} or {LONELY[-1]!r}, got "
            f"{lonely!r}.{nearest(str(lonely), LONELY)}"
        )
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
    if lonely == "adjust":
        # The scores of a place sum to 0, so a lonely one is already centred at its mean.
        own = np.asarray(to_cell @ np.square(score))
        variance = np.where(size == 1, own, variance)
    gather = one_hot(of_cell, len(places))
    alone = np.asarray(gather @ (size == 1).astype(float))
    paired = np.asarray(gather @ (size > 1).astype(float))
    if lonely == "adjust":
        known = alone + 2 * paired >= 2
    else:
        known = (paired > 0) & ((alone == 0) | (lonely != "fail"))
    squared = np.where(known, np.asarray(gather @ variance), np.nan)
    if lonely == "average":
        squared = squared * (alone + paired) / np.fmax(paired, 1)
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
    error_df: int | None = None,
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
    error_df : int, optional
        Degrees of freedom that pooled errors rest on (`pooled_errors` of
        `lgpi_research.methods.pooling`); None takes the errors as known.

    Returns
    -------
    UnitReliability

    Raises
    ------
    MethodError
        If a score or standard error is missing or a standard error is not positive, if
        no group has two units, or if the scores do not vary (within groups).
    SpecError
        If the level does not lie between 0 and 1, or `error_df` is below 1.

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
    ends. They are ratios to the errors: where these rest on f degrees of freedom, ends for
    them come from the F distribution of :math:`Q` over its own with f below, and with equal
    errors are those of ICC(1, k). Errors that rest on few clusters each are not known: in
    simulations of 300 units of true reliability 0.50, with errors from 2, 4, 8 and 20
    clusters, the mean was estimated as 0.71, 0.61, 0.56 and 0.52, the squared correlation as
    0.59, 0.55, 0.53 and 0.51; pool such errors first
    (`lgpi_research.methods.pooling.pooled_errors`). The reliability of unit j is
    :math:`\lambda_j = \tau^2/(\tau^2 + v_j)` [3]_; reported are the mean of
    :math:`\lambda_j` and :math:`\tau^2/(\tau^2 + \bar v)`. They agree if the
    :math:`v_j` are equal, and are then the intraclass correlation of means, ICC(2).

    In 4,000 simulated samples each of places with 5 to 60 answers, drawn independently, with
    pooled errors: estimates less truth of the two summaries, and coverage in per cent of 95 %
    intervals. With 5-point answers the true means of places are not normal.

    =====  ========  ====  ===========  ======  ========  ======  ========
    units  answers   ICC   mean (true)  error   squared   error   coverage
    =====  ========  ====  ===========  ======  ========  ======  ========
    20     normal    0.05  0.587        -0.039  0.536     -0.036  94.6
    20     5-point   0.05  0.565        -0.042  0.512     -0.038  94.4
    20     normal    0.20  0.855        -0.015  0.844     -0.017  95.1
    20     5-point   0.20  0.841        -0.015  0.828     -0.017  94.2
    60     normal    0.05  0.587        -0.013  0.533     -0.013  95.0
    60     5-point   0.05  0.565        -0.013  0.509     -0.013  94.7
    60     normal    0.20  0.855        -0.005  0.844     -0.006  94.9
    60     5-point   0.20  0.841        -0.004  0.827     -0.005  95.0
    200    normal    0.05  0.587        -0.004  0.532     -0.004  94.9
    200    5-point   0.05  0.565        -0.003  0.508     -0.003  95.0
    200    normal    0.20  0.855        -0.001  0.844     -0.002  94.7
    200    5-point   0.20  0.841        -0.001  0.827     -0.002  95.2
    =====  ========  ====  ===========  ======  ========  ======  ========

    The interval of :math:`\tau^2` itself covers 94.6 to 95.5 %, and up to 97.0 % with 5-point
    answers and an ICC of 0.20. With each place's own error instead of the pooled one (normal
    answers, ICC 0.05) the interval of the mean covers 92.5, 91.9 and 87.7 % at 20, 60 and 200
    units, and that of the squared correlation 92.0, 92.4 and 91.6 %.

    References
    ----------
    .. [1] Paule, R. C., and Mandel, J. (1982). Consensus values and weighting factors.
       *Journal of Research of the National Bureau of Standards*, 87, 377-385.
    .. [2] Viechtbauer, W. (2007). Confidence intervals for the amount of heterogeneity
       in meta-analysis. *Statistics in Medicine*, 26, 37-52.
    .. [3] Raudenbush, S. W., and Sampson, R. J. (1999). Ecometrics: toward a science of
       assessing ecological settings, with application to the systematic social observation
       of neighborhoods. *Sociological Methodology*, 29, 1-41.

    Examples
    --------
    Four scores of variance 5/3 and error variance 2/3 leave a true variance of 1:

    >>> found = unit_reliability([1.0, 2.0, 3.0, 4.0], [(2 / 3) ** 0.5] * 4)
    >>> round(found.true_variance, 9), round(found.mean, 9)
    (1.0, 0.6)
    """
    if not 0 < level < 1:
        raise SpecError(f"level must lie between 0 and 1, got {level!r}.")
    if error_df is not None and not error_df >= 1:
        raise SpecError(f"error_df must be at least 1, got {error_df!r}.")
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
    low, high = (falling_root(spread, float(stats.chi2.isf(t, df))) for t in (tail, 1 - tail))
    least, most = low, high
    if error_df is not None:
        law = stats.f(df, error_df, scale=df)
        least, most = (falling_root(spread, float(law.isf(t))) for t in (tail, 1 - tail))
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
        mean_ci=(mean_of(least), mean_of(most)),
        squared_correlation=squared(tau2),
        squared_correlation_ci=(squared(least), squared(most)),
        df=df,
        truncated=spread(0.0) <= df,
    )


def expected_reliability(
    icc: npt.ArrayLike,
    answers: npt.ArrayLike,
    *,
    psu_icc: npt.ArrayLike = 0.0,
    per_psu: npt.ArrayLike = 1.0,
    psus: npt.ArrayLike | None = None,
    cv_weights: npt.ArrayLike = 0.0,
) -> Floats:
    r"""Return the reliability of a place's mean that its design leads one to expect.

    Parameters
    ----------
    icc : array_like
        ICC(1): share of the variance of an answer that lies between places. All arguments
        broadcast.
    answers : array_like
        Completed answers in a place.
    psu_icc : array_like, default 0
        Share of the variance *within* a place that lies between its PSUs.
    per_psu : array_like, default 1
        Answers in each PSU; not used if `psus` is given.
    psus : array_like, optional
        PSUs in each place, however many answers there are.
    cv_weights : array_like, default 0
        Standard deviation of the weights within a place, in shares of their mean.

    Returns
    -------
    ndarray
        Between 0 and 1.

    Raises
    ------
    SpecError
        With every argument that is out of its range; if there are fewer answers than one PSU
        holds, or than PSUs.

    Notes
    -----
    :math:`\lambda = \tau^2/(\tau^2 + \sigma^2 d/n)` with Kish's design effect
    :math:`d = (1 + c_w^2)(1 + (m - 1)\rho)` for m answers in a PSU [1]_; in units of the whole
    variance, :math:`\tau^2` is ICC(1) and :math:`\sigma^2` the rest.

    References
    ----------
    .. [1] Kish, L. (1987). Weighting in Deft². *The Survey Statistician*, June 1987, 26-30.

    Examples
    --------
    >>> expected_reliability([0.02, 0.05, 0.10], 23).round(2).tolist()
    [0.32, 0.55, 0.72]
    """
    n, share, rho, cv, unit = _planned(icc, psu_icc, cv_weights, per_psu, psus, answers=answers)
    size = unit if psus is None else n / unit
    deff = (1 + cv**2) * (1 + (size - 1) * rho)
    return np.asarray(share / (share + (1 - share) * deff / n))


def answers_needed(
    icc: npt.ArrayLike,
    target: npt.ArrayLike = 0.7,
    *,
    psu_icc: npt.ArrayLike = 0.0,
    per_psu: npt.ArrayLike = 1.0,
    psus: npt.ArrayLike | None = None,
    cv_weights: npt.ArrayLike = 0.0,
) -> npt.NDArray[np.int64]:
    r"""Return how many answers a place needs for a wanted reliability of its mean.

    Parameters
    ----------
    icc, psu_icc, per_psu, psus, cv_weights
        As in `expected_reliability`; all arguments broadcast.
    target : array_like, default 0.7
        The reliability wanted.

    Returns
    -------
    ndarray of int
        Completed answers in a place: at least those of one PSU, or one in each of `psus`.

    Raises
    ------
    MethodError
        If the number of PSUs is given and no number of answers in them is enough; the
        reliability that they stay below is said.
    SpecError
        With every argument that is out of its range.

    Notes
    -----
    With `per_psu` answers in each PSU, the smallest whole
    :math:`n \ge d\,\frac{\sigma^2}{\tau^2}\,\frac{\lambda}{1 - \lambda}`. With a PSUs,
    :math:`v = \sigma^2(1 + c_w^2)\{(1 - \rho)/n + \rho/a\}` does not fall below its last part,
    and :math:`\lambda` stays below :math:`\tau^2/\{\tau^2 + \sigma^2(1 + c_w^2)\rho/a\}`: beyond
    it only more PSUs help.

    Examples
    --------
    >>> answers_needed([0.02, 0.05, 0.10]).tolist()
    [115, 45, 21]
    >>> int(answers_needed(0.05, 0.7, psu_icc=0.05, per_psu=8))
    60
    """
    wanted, share, rho, cv, unit = _planned(icc, psu_icc, cv_weights, per_psu, psus, target=target)
    # Error variance that is allowed, in multiples of that of one answer drawn at random.
    allowed = share / (1 - share) * (1 - wanted) / wanted / (1 + cv**2)
    if psus is None:
        needed = (1 + (unit - 1) * rho) / allowed
    else:
        left = allowed - rho / unit
        beyond = left <= 0
        if beyond.any():
            limit = share / (share + (1 - share) * (1 + cv**2) * rho / unit)
            told = (
                f"{a:g} PSUs stay below {most:.3g} where the ICC is {one:g}, and {goal:g} is wanted"
                for a, most, one, goal in zip(
                    *(part[beyond] for part in (unit, limit, share, wanted)), strict=True
                )
            )
            raise MethodError(
                f"{beyond.sum()} of {beyond.size} designs cannot be reliable enough, however many "
                f"answers they take: {listing(told, 3)}. Take more PSUs in a place."
            )
        needed = (1 - rho) / left
    # A whole number that rounding has lifted a little is still that number.
    return np.asarray(np.ceil(np.fmax(needed * (1 - 1e-12), unit)), dtype=np.int64)


def _planned(
    icc: npt.ArrayLike,
    psu_icc: npt.ArrayLike,
    cv_weights: npt.ArrayLike,
    per_psu: npt.ArrayLike,
    psus: npt.ArrayLike | None,
    **wanted: npt.ArrayLike,
) -> list[Floats]:
    """Return what is wanted, ICC, PSU ICC, cv, and PSUs or answers in each, of one shape."""
    unit = {"per_psu": per_psu} if psus is None else {"psus": psus}
    given = {**wanted, "icc": icc, "psu_icc": psu_icc, "cv_weights": cv_weights, **unit}
    arrays = {name: np.asarray(value, dtype=np.float64) for name, value in given.items()}
    problems = Problems("the design")
    for name, array in arrays.items():
        if name in ("icc", "target"):
            good, allowed = (array > 0) & (array < 1), "between 0 and 1"
        elif name == "psu_icc":
            good, allowed = (array >= 0) & (array <= 1), "in [0, 1]"
        else:
            least = 0 if name == "cv_weights" else 1
            good, allowed = np.isfinite(array) & (array >= least), f"at least {least}"
        if not good.all():
            problems.add(f"{name}: must be {allowed}, got {listing(array[~good])}.")
    problems.raise_any(SpecError)
    every: list[Floats] = list(np.broadcast_arrays(*arrays.values()))
    short = every[0] < every[-1]
    if "answers" in wanted and short.any():
        name = next(iter(unit))
        raise SpecError(
            f"answers: {short.sum()} of {short.size} designs have fewer answers in a place than "
            f"{name} says ({listing(every[0][short])} and {listing(every[-1][short])})."
        )
    return every


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
