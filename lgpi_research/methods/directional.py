"""Intervals of maxima, such as the best of many splits: the numerical delta method."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.errors import MethodError, SpecError

__all__ = ["directional_interval", "stretch_of"]


def stretch_of(n: float) -> float:
    r"""Return how many times the deviations of bootstrap draws are stretched.

    Parameters
    ----------
    n : float
        Respondents.

    Returns
    -------
    float
        :math:`(n/20)^{1/4}`, at least 1. The theory wants that it grows, and more slowly than
        the root of n; the rest is what holds for the best of 10 to 6,435 splits of 6 to 16
        items, in simulations of 100 to 3,000 respondents.

    Examples
    --------
    >>> [round(stretch_of(n), 6) for n in (20, 320, 1620)]
    [1.0, 2.0, 3.0]
    """
    return float(max(1.0, (n / 20) ** 0.25))


def directional_interval(
    estimate: float,
    replicates: npt.ArrayLike,
    stretch: float,
    df: float,
    *,
    level: float = 0.95,
) -> tuple[float, float, float]:
    r"""Return the interval of an estimate that is a maximum of smooth ones.

    Parameters
    ----------
    estimate : float
        Of the whole sample, on a scale on which what it is the maximum of is about normal.
    replicates : array_like of shape (r,)
        Of bootstrap draws whose sums deviate `stretch` times as far as they were drawn, on
        the same scale. NaN where a draw has no answer.
    stretch : float
        At least 1 (`stretch_of`); 1 gives the basic bootstrap.
    df : float
        Degrees of freedom: PSUs less strata, or fewer if a few PSUs dominate
        (`lgpi_research.methods.jackknife.jackknife_interval`).
    level : float, default 0.95
        Level of the interval.

    Returns
    -------
    std_error, low, high : float

    Raises
    ------
    MethodError
        If fewer than two replicates, or fewer than half, have an answer, or the design has
        no degree of freedom.
    SpecError
        If the level does not lie between 0 and 1, or the stretch is below 1.

    Notes
    -----
    Where several splits of a scale are about equally good, the best of them is not a smooth
    function :math:`\phi` of the moments :math:`\theta`: it has a derivative in each direction,
    which is not linear. The estimate then leans upwards by a part of its standard error that
    does not vanish in large samples, no estimator is locally free of bias [1]_, and neither
    jackknife nor bootstrap is valid, with or without a correction. Valid is the law of the
    derivative in the direction in which the sample may have gone, which the draws show if
    they go a = `stretch` times as far [2]_:

    .. math::

        D_r = \frac{\phi(\hat\theta + a(\hat\theta^*_r - \hat\theta)) - \phi(\hat\theta)}{a},
        \qquad
        \bigl[\phi(\hat\theta) - c\,q_{(1+\gamma)/2}(D),\;
        \phi(\hat\theta) - c\,q_{(1-\gamma)/2}(D)\bigr],

    with level :math:`\gamma` and c the quantile of t over that of the normal distribution. The
    draws must go farther in larger samples (`stretch_of`); too far, they leave the region in
    which the derivative tells what happens. For an estimator that is linear in the PSUs the
    stretch changes nothing.

    No such interval is right for every population: of independent estimates that lie one or
    two standard errors apart, the largest is covered too seldom, by the upper end. The
    splits of a scale vary together, and theirs holds in the populations that were tried
    (`lgpi_research.methods.guttman.lambda4`).

    References
    ----------
    .. [1] Hirano, K., and Porter, J. R. (2012). Impossibility results for nondifferentiable
       functionals. *Econometrica*, 80, 1769-1790.
    .. [2] Hong, H., and Li, J. (2018). The numerical delta method. *Journal of Econometrics*,
       206, 379-394.

    Examples
    --------
    The larger of two means that are equal, with draws of both; the interval leans downwards:

    >>> means = np.random.default_rng(0).standard_normal((2000, 2))
    >>> error, low, high = directional_interval(0.0, 2 * means.max(axis=1), 2.0, np.inf)
    >>> round(low, 1), round(high, 1)
    (-2.2, 1.0)
    """
    drawn = np.asarray(replicates, dtype=np.float64)
    valid = drawn[np.isfinite(drawn)]
    if not 0 < level < 1 or not stretch >= 1:
        raise SpecError(
            "level must lie between 0 and 1, and stretch be at least 1; got "
            f"{level!r} and {stretch!r}."
        )
    if drawn.ndim != 1 or len(valid) < max(2, len(drawn) / 2) or not df >= 1:
        raise MethodError(
            "a directional interval needs two draws with an answer, and half of all, and a "
            f"degree of freedom; got {len(valid)} of shape {drawn.shape}, and {df:g}."
        )
    moved = (valid - estimate) / stretch
    tail = (1 - level) / 2
    wider = float(stats.t.isf(tail, df) / stats.norm.isf(tail))
    low, high = np.quantile(moved, [1 - tail, tail])
    return float(moved.std(ddof=1)), estimate - wider * float(low), estimate - wider * float(high)
