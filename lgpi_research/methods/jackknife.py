"""Intervals from the jackknife: corrected for bias, with as many degrees of freedom as it has."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.errors import MethodError, SpecError

__all__ = ["jackknife_interval"]


def jackknife_interval(
    estimate: float,
    replicates: npt.ArrayLike,
    coefficients: npt.ArrayLike,
    df: float,
    *,
    level: float = 0.95,
) -> tuple[float, float, float, float]:
    r"""Return the t interval of the jackknife.

    Parameters
    ----------
    estimate : float
        Of the whole sample, on a scale on which it is about normal.
    replicates : array_like of shape (r,)
        Without one PSU each, on the same scale.
    coefficients : array_like of shape (r,)
        :math:`(n_h - 1)/n_h`, for a PSU of a stratum of :math:`n_h`
        (`lgpi_research.methods.replicates.jackknife`).
    df : float
        Degrees of freedom of the design: PSUs less strata.
    level : float, default 0.95
        Level of the interval.

    Returns
    -------
    std_error, low, high, df : float
        The degrees of freedom are those used.

    Raises
    ------
    MethodError
        If there are fewer than two replicates, one is not finite, or the design has no
        degree of freedom.
    SpecError
        If the level does not lie between 0 and 1.

    Notes
    -----
    With :math:`u_r = \hat\theta_r - \hat\theta` and coefficients :math:`c_r`, the squared
    standard error is :math:`v = \sum_r c_r u_r^2`, and the interval is centred at
    :math:`\hat\theta - \sum_r c_r u_r`, the estimate less its bias [1]_. Squares that a few
    PSUs dominate have fewer degrees of freedom than the design: with r PSUs [2]_

    .. math::

        \nu = \Bigl(3.16 - \frac{2.77}{\sqrt r}\Bigr)
        \frac{\bigl(\sum c_r u_r^2\bigr)^2}{\sum \bigl(c_r u_r^2\bigr)^2},

    and the smaller of both is used. For an estimator that is linear in the PSUs the bias is 0.

    References
    ----------
    .. [1] Shao, J., and Tu, D. (1995). *The Jackknife and Bootstrap*. Springer.
    .. [2] Johnson, E. G., and Rust, K. F. (1992). Population inferences and variance
       estimation for NAEP data. *Journal of Educational Statistics*, 17, 175-190.

    Examples
    --------
    The mean of 1, 2, 3 and 6, whose replicates are the means of the other three:

    >>> replicates = [11 / 3, 10 / 3, 3.0, 2.0]
    >>> error, low, high, df = jackknife_interval(3.0, replicates, [0.75] * 4, 3)
    >>> round(error, 4), round((low + high) / 2, 12), round(df, 2)  # of the mean: sd / 2
    (1.0801, 3.0, 3.0)
    """
    moved = np.asarray(replicates, dtype=np.float64) - estimate
    shrink = np.asarray(coefficients, dtype=np.float64)
    if moved.ndim != 1 or moved.shape != shrink.shape or len(moved) < 2 or df < 1:
        raise MethodError(
            "a jackknife interval needs two replicates, a coefficient of each, and a degree of "
            f"freedom; got shapes {moved.shape} and {shrink.shape}, and {df:g}."
        )
    if not np.isfinite(moved).all():
        raise MethodError(
            f"{int((~np.isfinite(moved)).sum())} of {len(moved)} replicates have no answer."
        )
    if not 0 < level < 1:
        raise SpecError(f"level must lie between 0 and 1, got {level!r}.")
    squares = shrink * np.square(moved)
    variance = float(squares.sum())
    if variance == 0:
        return 0.0, float(estimate), float(estimate), float(df)
    r = int((moved != 0).sum())  # PSUs without answers move nothing
    dominated = (3.16 - 2.77 / math.sqrt(r)) * variance**2 / float(np.square(squares).sum())
    used = min(float(df), max(dominated, 1.0))
    middle = estimate - float((shrink * moved).sum())
    error = math.sqrt(variance)
    reach = float(stats.t.isf((1 - level) / 2, used)) * error
    return error, middle - reach, middle + reach, used
