r"""How much effects with known errors differ: the variance of true effects.

The model is :math:`y_i = x_i'\beta + u_i + e_i` with :math:`u_i` of variance
:math:`\tau^2` and errors of known variance :math:`v_i`, all independent. What is said of
:math:`\tau^2` rests on contrasts of the estimates that are free of :math:`\beta` and
independent of one another whatever :math:`\tau^2` is: with K an orthonormal basis of what
is orthogonal to X, and :math:`K'VK = UDU'`, the contrasts :math:`z = U'K'y` have variances
:math:`d_c + \tau^2`. Every sum of squares and trace of the literature is then a sum over
them; so :math:`Q(\tau^2) = \sum_c z_c^2/(d_c + \tau^2)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, optimize, stats

from lgpi_research.errors import MethodError, Problems, SpecError, listing, nearest
from lgpi_research.methods.roots import falling_root

__all__ = [
    "METHODS",
    "BetweenVariance",
    "between_variance",
    "check_effects",
    "check_level",
    "tau2_interval",
]

Floats = npt.NDArray[np.float64]

METHODS = ("DL", "HE", "HS", "SJ", "ML", "REML", "EB", "PM")
"""Estimators of the variance between effects; ``"FE"`` takes it as 0."""

_GRID = 200  # points at which the derivative of a likelihood is looked at for maxima


@dataclass(frozen=True)
class BetweenVariance:
    r"""The variance of true effects.

    Attributes
    ----------
    tau2 : float
        In squared units of the effects; at least 0.
    std_error : float
        Its large-sample standard error, NaN where tau2 is taken as 0 or as given.
    typical : float
        Typical error variance, :math:`(k - p)/\sum_c d_c^{-1}`.
    q : float
        Weighted sum of squares if effects do not differ, :math:`Q(0)`.
    residual : float
        The same under the estimate, :math:`Q(\tau^2)`.
    df : int
        Effects less coefficients.
    """

    tau2: float
    std_error: float
    typical: float
    q: float
    residual: float
    df: int


@dataclass(frozen=True, eq=False)
class _Contrasts:
    """Squares and error variances of independent contrasts, in units of `unit`."""

    squares: Floats
    errors: Floats
    v: Floats
    unit: float
    total: float  # sum of squares of the effects about their plain mean

    def q(self, tau2: float) -> float:
        return float((self.squares / (self.errors + tau2)).sum())


def check_effects(
    y: npt.ArrayLike, v: npt.ArrayLike, X: npt.ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    """Return effects, variances and moderators as arrays, checked together.

    Parameters
    ----------
    y, v, X
        As in `between_variance`.

    Raises
    ------
    MethodError
        With every reason at once.

    Examples
    --------
    >>> check_effects([1.0, 2.0], [0.5, 0.0], None)
    Traceback (most recent call last):
    lgpi_research.errors.MethodError: 1 problem in 2 effects
    - 1 error variances that are not positive numbers (at 2); ...
    """
    effects, errors = np.asarray(y, dtype=np.float64), np.asarray(v, dtype=np.float64)
    if effects.ndim != 1 or effects.shape != errors.shape or len(effects) == 0:
        raise MethodError(
            "every effect needs one error variance: y and v must have one shape (k,) with "
            f"k > 0, got {effects.shape} and {errors.shape}."
        )
    design = np.ones((len(effects), 1)) if X is None else np.asarray(X, dtype=np.float64)
    if design.ndim != 2 or len(design) != len(effects) or design.shape[1] == 0:
        raise MethodError(
            f"moderators must have shape ({len(effects)}, p) with p > 0, got {design.shape}."
        )
    problems = Problems(f"{len(effects)} effects")
    _say(problems, ~np.isfinite(effects), "missing or infinite effects", "leave them out")
    _say(
        problems,
        np.asarray(~np.isfinite(errors) | (errors <= 0)),
        "error variances that are not positive numbers",
        "an effect without error would have all the weight; find its standard error",
    )
    _say(
        problems,
        ~np.isfinite(design).all(axis=1),
        "rows of moderators with missing or infinite values",
        "leave them out",
    )
    problems.raise_any(MethodError)
    lengths = np.sqrt(np.square(design).sum(axis=0))
    rank = np.linalg.matrix_rank(design / np.where(lengths > 0, lengths, 1.0))
    if rank < design.shape[1]:
        raise MethodError(
            f"{design.shape[1]} moderators (the constant is one) have rank {rank}: one is a "
            "combination of others. Leave it out."
        )
    return effects, errors, design


def _say(
    problems: Problems, wrong: npt.NDArray[np.bool_] | np.bool_, what: str, advice: str
) -> None:
    if wrong.any():
        rows = listing(np.flatnonzero(wrong) + 1)
        problems.add(f"{wrong.sum()} {what} (at {rows}); {advice}.")


def _contrasts(y: Floats, v: Floats, X: Floats) -> _Contrasts:
    p = X.shape[1]
    if len(y) <= p:
        raise MethodError(
            f"{len(y)} effect{'s' * (len(y) != 1)} cannot show how much effects differ around "
            f"{p} coefficient{'s' * (p != 1)}; at least {p + 1} are needed."
        )
    basis = np.linalg.qr(X / np.sqrt(np.square(X).sum(axis=0)), mode="complete")[0]
    inside, outside = basis[:, :p], basis[:, p:]
    centred = y - inside @ (inside.T @ y)
    unit = float(v.mean())
    errors, turn = linalg.eigh((outside.T * (v / unit)) @ outside)
    z = turn.T @ (outside.T @ centred)
    # No contrast is more certain than the most certain effect; rounding may say otherwise.
    errors = np.fmax(errors, v.min() / unit)
    total = float(np.square(y - y.mean()).sum()) / unit
    return _Contrasts(np.square(z) / unit, errors, v / unit, unit, total)


def _generalised(
    made: _Contrasts, base: float, constant: float, target: float
) -> tuple[float, float]:
    r"""Return tau2 and its standard error from the expectation of one sum of squares.

    With :math:`Q = \sum z_c^2/(d_c + b)`, the estimate is ``constant * (Q - target)``.
    """
    tau2 = max(0.0, constant * (made.q(base) - target))
    spread = (made.errors + tau2) / (made.errors + base)
    return tau2, constant * float(np.sqrt(2 * np.square(spread).sum()))


def _likelihood(made: _Contrasts, *, restricted: bool) -> float:
    """Return the tau2 of the largest (restricted) likelihood over all of [0, ∞).

    The derivative is negative wherever each z² is below d + tau2, because the d lie between
    the v in order; so every maximum is below the largest z² - d.
    """
    traces = made.errors if restricted else made.v

    def slope(tau2: npt.ArrayLike) -> Floats:
        at = np.asarray(tau2, dtype=np.float64)[..., None]
        squares = (made.squares / np.square(made.errors + at)).sum(axis=-1)
        return np.asarray(squares - (1 / (traces + at)).sum(axis=-1))

    def deviance(tau2: float) -> float:
        return made.q(tau2) + float(np.log(traces + tau2).sum())

    ceiling = float((made.squares - made.errors).max())
    if ceiling <= 0:
        return 0.0
    points = np.concatenate([[0.0], np.geomspace(1e-8 * ceiling, ceiling * (1 + 1e-9), _GRID)])
    rising = slope(points) > 0
    turns = np.flatnonzero(rising[:-1] & ~rising[1:])
    found = [
        float(
            optimize.brentq(
                lambda t: float(slope(t)), points[i], points[i + 1], xtol=1e-15, rtol=1e-14
            )
        )
        for i in turns
    ]
    return min([0.0, *found] if not rising[0] else found, key=deviance)


def between_variance(
    y: npt.ArrayLike,
    v: npt.ArrayLike,
    X: npt.ArrayLike | None = None,
    *,
    method: str = "REML",
    tau2: float | None = None,
) -> BetweenVariance:
    r"""Estimate the variance of true effects around their mean or regression.

    Parameters
    ----------
    y : array_like of shape (k,)
        Effects.
    v : array_like of shape (k,)
        Their error variances, taken as known; positive.
    X : array_like of shape (k, p), optional
        Moderators with a column of ones; by default the column of ones.
    method : str, default "REML"
        One of `METHODS`, or "FE", which takes the variance as 0.
    tau2 : float, optional
        A variance to take as given instead, to see what hangs on it.

    Returns
    -------
    BetweenVariance

    Raises
    ------
    MethodError
        If a number is missing or a variance is not positive, moderators are collinear, or
        there are no more effects than coefficients; for "SJ" also if all effects are equal.
    SpecError
        If the method does not exist, or the variance given is not a number of at least 0.

    Notes
    -----
    DL [1]_, HE [2]_, HS [3]_ and SJ [4]_ solve one equation of moments and are closed
    forms, set to 0 if negative. PM [5]_ makes :math:`Q(\tau^2)` equal to its expectation
    :math:`k - p`; EB [6]_ solves the same equation. ML and REML are the largest maximum of
    the likelihood of :math:`y`, and of its contrasts, in :math:`[0, \infty)` [7]_: all
    maxima are looked for, below a bound that none can exceed. Standard errors are those
    of the sum of squares for the first four; the expected information for ML and REML; and
    :math:`\sqrt{2k^2/(k-p)}\,/\sum_i (v_i + \tau^2)^{-1}` for PM and EB. If all :math:`v_i`
    equal v, then DL, HE, PM, EB and REML all are the variance of the effects less v.

    References
    ----------
    .. [1] DerSimonian, R., and Laird, N. (1986). Meta-analysis in clinical trials.
       *Controlled Clinical Trials*, 7, 177-188.
    .. [2] Hedges, L. V., and Olkin, I. (1985). *Statistical Methods for Meta-Analysis*.
       Academic Press.
    .. [3] Hunter, J. E., and Schmidt, F. L. (1990). *Methods of Meta-Analysis: Correcting
       Error and Bias in Research Findings*. Sage.
    .. [4] Sidik, K., and Jonkman, J. N. (2005). Simple heterogeneity variance estimation
       for meta-analysis. *Applied Statistics*, 54, 367-384.
    .. [5] Paule, R. C., and Mandel, J. (1982). Consensus values and weighting factors.
       *Journal of Research of the National Bureau of Standards*, 87, 377-385.
    .. [6] Morris, C. N. (1983). Parametric empirical Bayes inference: theory and
       applications. *Journal of the American Statistical Association*, 78, 47-55.
    .. [7] Viechtbauer, W. (2005). Bias and efficiency of meta-analytic variance estimators
       in the random-effects model. *Journal of Educational and Behavioral Statistics*, 30,
       261-293.

    Examples
    --------
    Effects of variance 5/3 and error variance 2/3 leave 1:

    >>> round(between_variance([1.0, 2.0, 3.0, 4.0], [2 / 3] * 4, method="PM").tau2, 9)
    1.0
    """
    if method != "FE" and method not in METHODS:
        allowed = ("FE", *METHODS)
        raise SpecError(
            f"method: there is no {method!r}.{nearest(str(method), allowed)} "
            f"Allowed: {', '.join(allowed)}."
        )
    if tau2 is not None and not (np.isfinite(tau2) and tau2 >= 0):
        raise SpecError(f"tau2 must be a number of at least 0, got {tau2!r}.")
    effects, errors, design = check_effects(y, v, X)
    if method == "FE" and tau2 is None and len(effects) == design.shape[1]:
        return BetweenVariance(0.0, float("nan"), float("nan"), 0.0, 0.0, 0)
    made = _contrasts(effects, errors, design)
    df = len(made.errors)
    inverse = float((1 / made.errors).sum())
    if tau2 is None:
        found, std_error = _estimate(made, method, inverse)
    else:
        found, std_error = tau2 / made.unit, float("nan")
    return BetweenVariance(
        tau2=found * made.unit,
        std_error=std_error * made.unit,
        typical=df / inverse * made.unit,
        q=made.q(0.0),
        residual=made.q(found),
        df=df,
    )


def _estimate(made: _Contrasts, method: str, inverse: float) -> tuple[float, float]:
    """Return tau2 and its standard error, in units of the contrasts."""
    df, k = len(made.errors), len(made.v)
    if method == "FE":
        return 0.0, float("nan")
    if method == "DL":
        return _generalised(made, 0.0, 1 / inverse, df)
    if method == "HS":
        return _generalised(made, 0.0, 1 / float((1 / made.v).sum()), k)
    if method == "HE":
        return _unweighted(made)
    if method == "SJ":
        start = made.total / k
        if start <= 1e-24 * float(made.v.max()):
            raise MethodError("SJ needs effects that differ; use another method, as REML.")
        return _generalised(made, start, start / df, 0.0)
    if method in ("EB", "PM"):
        tau2 = falling_root(made.q, float(df))
        return tau2, float(np.sqrt(2 * k**2 / df) / (1 / (made.v + tau2)).sum())
    tau2 = _likelihood(made, restricted=method == "REML")
    traces = made.errors if method == "REML" else made.v
    return tau2, float(np.sqrt(2 / np.square(1 / (traces + tau2)).sum()))


def _unweighted(made: _Contrasts) -> tuple[float, float]:
    """Return Hedges' estimate: the mean of z² - d, and its standard error."""
    df = len(made.errors)
    tau2 = max(0.0, float((made.squares - made.errors).mean()))
    return tau2, float(np.sqrt(2 * np.square(made.errors + tau2).sum())) / df


def tau2_interval(
    y: npt.ArrayLike, v: npt.ArrayLike, X: npt.ArrayLike | None = None, *, level: float = 0.95
) -> tuple[float, float]:
    r"""Return the Q-profile interval of the variance of true effects.

    Parameters
    ----------
    y, v, X
        As in `between_variance`.
    level : float, default 0.95
        Level of the interval.

    Returns
    -------
    low, high : float
        In squared units of the effects. Both are 0 if the effects differ even less than
        errors alone allow.

    Raises
    ------
    MethodError, SpecError
        As in `between_variance`; or if the level does not lie between 0 and 1.

    Notes
    -----
    The ends make :math:`Q(\tau^2)` the upper and lower quantile of the chi-squared
    distribution with k - p degrees of freedom [1]_; exact if effects and errors are normal.

    References
    ----------
    .. [1] Viechtbauer, W. (2007). Confidence intervals for the amount of heterogeneity in
       meta-analysis. *Statistics in Medicine*, 26, 37-52.

    Examples
    --------
    >>> low, high = tau2_interval([1.0, 2.0, 3.0, 4.0], [2 / 3] * 4)
    >>> round(low, 6), round(high, 4)
    (0.0, 22.5034)
    """
    check_level(level)
    made = _contrasts(*check_effects(y, v, X))
    df = len(made.errors)
    tails = (float(stats.chi2.isf(tail, df)) for tail in ((1 - level) / 2, (1 + level) / 2))
    low, high = (falling_root(made.q, tail) * made.unit for tail in tails)
    return low, high


def check_level(level: float) -> None:
    """Raise SpecError if the level of an interval does not lie between 0 and 1."""
    if not 0 < level < 1:
        raise SpecError(f"level must lie between 0 and 1, got {level!r}.")
