"""What an estimate lets one claim: equivalence, detectable slopes, omitted variables."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from lgpi_research.errors import MethodError, Problems

__all__ = ["Equivalence", "detectable_slope", "equivalence", "robustness_value"]


@dataclass(frozen=True)
class Equivalence:
    """Whether an estimate is shown to be smaller than what matters.

    Attributes
    ----------
    p_value : float
        Of the hypothesis that the slope is at least as large as the bound, either way.
    ci_low, ci_high : float
        The interval of level 1 − 2α that decides.
    verdict : str
        ``"equivalent"``: the interval lies inside ±bound. ``"larger"``: it lies outside,
        on one side. ``"undecided"``: it contains an end.
    """

    p_value: float
    ci_low: float
    ci_high: float
    verdict: str


def _check(std_error: float, df: float, **shares: float) -> None:
    """Refuse a standard error or degrees of freedom without meaning, and shares outside 0..1."""
    problems = Problems("the claim")
    if not (math.isfinite(std_error) and std_error > 0):
        problems.add(f"std_error: must be a positive number, got {std_error!r}.")
    if not df > 0:
        problems.add(f"df: must be positive, got {df!r}.")
    for name, value in shares.items():
        if not 0 < value < 1:
            problems.add(f"{name}: must lie between 0 and 1, got {value!r}.")
    problems.raise_any(MethodError)


def equivalence(
    estimate: float, std_error: float, df: float, bound: float, level: float = 0.95
) -> Equivalence:
    r"""Test whether a slope is smaller than a bound by two one-sided t tests.

    Parameters
    ----------
    estimate, std_error : float
        The slope and its standard error, in one unit.
    df : float
        Degrees of freedom of the standard error; infinite for a normal test.
    bound : float
        Smallest slope of interest, positive, in the same unit.
    level : float, default 0.95
        One less α, the size of each one-sided test.

    Returns
    -------
    Equivalence

    Raises
    ------
    MethodError
        If a number is not finite, or the standard error, the degrees of freedom or the
        bound is not positive, or the level not between 0 and 1.

    Notes
    -----
    The p-value is the larger one of the tests of :math:`\beta \le -\delta` and of
    :math:`\beta \ge \delta` [1]_. It is below α if and only if the interval

    .. math::

        \hat\beta \pm t_{1-\alpha,\nu}\, se

    of level 1 − 2α lies inside :math:`(-\delta, \delta)`. The bound must be stated before
    the estimate is seen. An interval that contains both zero and the bound shows neither
    a link nor its absence.

    References
    ----------
    .. [1] Schuirmann, D. J. (1987). A comparison of the two one-sided tests procedure and
       the power approach for assessing the equivalence of average bioavailability.
       *Journal of Pharmacokinetics and Biopharmaceutics*, 15, 657-680.

    Examples
    --------
    >>> equivalence(0.01, 0.02, 20, bound=0.05).verdict
    'equivalent'
    >>> equivalence(0.01, 0.05, 20, bound=0.05).verdict
    'undecided'
    """
    _check(std_error, df, level=level)
    if not (math.isfinite(estimate) and math.isfinite(bound) and bound > 0):
        raise MethodError(
            f"the estimate must be finite and the bound positive, got {estimate!r} and {bound!r}."
        )
    p_value = float(stats.t.sf((bound - abs(estimate)) / std_error, df))
    reach = float(stats.t.isf(1 - level, df)) * std_error
    low, high = estimate - reach, estimate + reach
    if -bound < low and high < bound:
        verdict = "equivalent"
    elif low >= bound or high <= -bound:
        verdict = "larger"
    else:
        verdict = "undecided"
    return Equivalence(p_value, low, high, verdict)


def detectable_slope(std_error: float, df: float, level: float = 0.95, power: float = 0.8) -> float:
    r"""Return the slope that a two-sided t test would find with a given probability.

    Parameters
    ----------
    std_error : float
        Standard error of the slope.
    df : float
        Its degrees of freedom.
    level : float, default 0.95
        One less the size of the test.
    power : float, default 0.8
        The probability.

    Returns
    -------
    float
        In the unit of the standard error.

    Raises
    ------
    MethodError
        If the standard error or the degrees of freedom are not positive, or level or
        power not between 0 and 1.

    Notes
    -----
    :math:`(t_{1-\alpha/2,\nu} + t_{p,\nu})\,se` [1]_, taking the standard error as that of
    the design: it does not depend on the estimate, unlike power at the observed slope.

    References
    ----------
    .. [1] Bloom, H. S. (1995). Minimum detectable effects: a simple way to report the
       statistical power of experimental designs. *Evaluation Review*, 19, 547-556.

    Examples
    --------
    >>> round(detectable_slope(1.0, float("inf")), 2)
    2.8
    """
    _check(std_error, df, level=level, power=power)
    reach = stats.t.isf((1 - level) / 2, df) + stats.t.isf(1 - power, df)
    return float(reach * std_error)


def robustness_value(t: float, df: float, q: float = 1.0, alpha: float | None = None) -> float:
    r"""Return how strong an omitted variable must be to change a slope.

    Parameters
    ----------
    t : float
        Classical t statistic of least squares, not a cluster-robust one: it carries the
        partial R².
    df : float
        Residual degrees of freedom of the regression, more than 1.
    q : float, default 1
        Share of the estimate that is to be explained away.
    alpha : float or None
        If given, the slope is to lose its significance at this level against
        :math:`(1 - q)\hat\beta`; if None, its size alone.

    Returns
    -------
    float
        Share, from 0 to 1, of the residual variance of the score and of that of the
        measure. An omitted variable that explains less of both cannot reduce the slope
        so far; one that explains this share of both can. It is 0 if nothing is needed.

    Raises
    ------
    MethodError
        If t is not finite, df is not above 1, q not positive, or alpha not between 0 and 1.

    Notes
    -----
    With :math:`f = q|t|/\sqrt{\nu}` and, for significance,
    :math:`f^* = t_{1-\alpha/2,\nu-1}/\sqrt{\nu-1}` (zero otherwise), an omitted variable
    with partial :math:`R^2_D` with the measure and :math:`R^2_Y` with the score leaves
    nothing if [1]_

    .. math::

        f\sqrt{1 - R^2_D} \le \sqrt{R^2_Y R^2_D} + f^*\sqrt{1 - R^2_Y}.

    Where both shares equal r and :math:`g = f - f^* > 0`, this is
    :math:`r = \frac{1}{2}\left(\sqrt{g^4 + 4g^2} - g^2\right)`. If :math:`f f^* > 1`, less of
    the score does more harm, because explaining the score also shortens the interval; then
    the bound is :math:`r = (f^2 - f^{*2})/(1 + f^2)` [2]_.

    References
    ----------
    .. [1] Cinelli, C., and Hazlett, C. (2020). Making sense of sensitivity: extending
       omitted variable bias. *Journal of the Royal Statistical Society: Series B*, 82,
       39-67.
    .. [2] Cinelli, C., and Hazlett, C. (2025). An omitted variable bias framework for
       sensitivity analysis of instrumental variables. *Biometrika*, 112, asaf004.

    Examples
    --------
    The link of exposure to violence with attitudes to peace in Darfur [1]_:

    >>> round(robustness_value(4.18, 783), 3)
    0.139
    >>> round(robustness_value(4.18, 783, alpha=0.05), 3)
    0.076
    """
    problems = Problems("the robustness value")
    if not math.isfinite(t):
        problems.add(f"t: must be finite, got {t!r}.")
    if not (math.isfinite(df) and df > 1):
        problems.add(f"df: must be finite and above 1, got {df!r}.")
    if not (math.isfinite(q) and q > 0):
        problems.add(f"q: must be a positive number, got {q!r}.")
    if alpha is not None and not 0 < alpha < 1:
        problems.add(f"alpha: must lie between 0 and 1, or be None, got {alpha!r}.")
    problems.raise_any(MethodError)
    f = q * abs(t) / math.sqrt(df)
    critical = 0.0
    if alpha is not None:
        critical = float(stats.t.isf(alpha / 2, df - 1)) / math.sqrt(df - 1)
    g = f - critical
    if g <= 0:
        return 0.0
    if f * critical > 1:
        return (f**2 - critical**2) / (1 + f**2)
    return 2 / (1 + math.sqrt(1 + 4 / g**2))  # ½(√(g⁴ + 4g²) − g²) without cancellation
