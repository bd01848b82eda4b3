"""Roots of monotone functions of a variance."""

from __future__ import annotations

from collections.abc import Callable

from scipy import optimize

__all__ = ["falling_root"]


def falling_root(falling: Callable[[float], float], target: float) -> float:
    """Return where a falling function reaches a target, 0 if it begins below.

    Parameters
    ----------
    falling : callable
        A continuous function of a number ≥ 0 that falls below the target in the end. The
        root is exact to 1e-15, so the argument should be in units of its usual size.
    target : float
        Value to reach.

    Returns
    -------
    float

    Examples
    --------
    >>> round(falling_root(lambda x: 6 / (1 + x), 2.0), 12)
    2.0
    >>> falling_root(lambda x: 6 / (1 + x), 7.0)
    0.0
    """
    if falling(0.0) <= target:
        return 0.0
    high = 1.0
    while falling(high) > target:
        high *= 2
    root = optimize.brentq(lambda x: falling(x) - target, 0.0, high, xtol=1e-15, rtol=1e-14)
    return float(root)
