"""Small-study asymmetry of a meta-analysis: Egger's test, trim and fill."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.heterogeneity import check_effects
from lgpi_research.methods.meta import RandomEffects, random_effects

__all__ = ["TrimAndFill", "egger_regression", "trim_and_fill"]

_MOST = 100  # rounds of trimming; a handful is usual


def egger_regression(
    y: npt.ArrayLike,
    v: npt.ArrayLike,
    *,
    method: str = "REML",
    test: str = "modified",
    level: float = 0.95,
) -> RandomEffects:
    r"""Regress effects on their standard errors.

    Parameters
    ----------
    y, v, method, test, level
        As in `random_effects`.

    Returns
    -------
    RandomEffects
        The second coefficient is the slope on the standard error; its test is the test of
        asymmetry. The first is the effect of a study without error.

    Raises
    ------
    MethodError
        As in `random_effects`; also if all variances are equal.

    Notes
    -----
    A slope other than 0 says that small studies find other effects than large ones [1]_.
    Unpublished results are one reason among several; and where the standard error depends
    on the effect, as for ratios, the test is too liberal. With fewer than ten effects it
    finds little.

    References
    ----------
    .. [1] Egger, M., Davey Smith, G., Schneider, M., and Minder, C. (1997). Bias in
       meta-analysis detected by a simple, graphical test. *BMJ*, 315, 629-634.

    Examples
    --------
    >>> fit = egger_regression([0.1, 0.3, 0.2, 0.6, 0.9], [0.01, 0.02, 0.01, 0.09, 0.16])
    >>> bool(fit.coef[1] > 0)
    True
    """
    effects, errors, _ = check_effects(y, v, None)
    if np.ptp(errors) <= 1e-12 * errors.max():
        raise MethodError(
            "all effects have the same error variance, so small and large studies "
            "cannot be compared."
        )
    moderators = np.column_stack([np.ones(len(effects)), np.sqrt(errors)])
    return random_effects(effects, errors, moderators, method=method, test=test, level=level)


@dataclass(frozen=True, eq=False)
class TrimAndFill:
    """A meta-analysis after mirror images of its most extreme effects were added.

    Attributes
    ----------
    filled : int
        How many effects were added.
    side : str
        Where they were added: ``"left"`` or ``"right"``.
    fit : RandomEffects
        Of the effects and those added, which come last.
    """

    filled: int
    side: str
    fit: RandomEffects


def trim_and_fill(
    y: npt.ArrayLike,
    v: npt.ArrayLike,
    *,
    side: str | None = None,
    method: str = "REML",
    test: str = "modified",
    level: float = 0.95,
) -> TrimAndFill:
    r"""Fill a lopsided funnel with mirror images of its extreme effects.

    Parameters
    ----------
    y, v, method, test, level
        As in `random_effects`.
    side : {"left", "right"}, optional
        Side on which effects may be lacking; by default the one that the slope of
        `egger_regression` points to: the left if small studies have higher effects.

    Returns
    -------
    TrimAndFill

    Raises
    ------
    MethodError
        As in `random_effects`; if trimming does not settle, or leaves fewer than 2 effects.
    SpecError
        If the side does not exist.

    Notes
    -----
    Effects, turned so that those lacking are on the left, are trimmed from the right until
    their number agrees with

    .. math::

        L_0 = \frac{4 T - k(k+1)}{2k - 1} ,

    rounded and at least 0, where T sums the ranks of the absolute distances from the
    pooled effect of those left, over effects above it [1]_. It supposes that effects were
    suppressed for being low, and is a check of sensitivity, not a correction.

    References
    ----------
    .. [1] Duval, S., and Tweedie, R. (2000). Trim and fill: a simple funnel-plot-based
       method of testing and adjusting for publication bias in meta-analysis.
       *Biometrics*, 56, 455-463.

    Examples
    --------
    A funnel that is its own mirror image lacks nothing:

    >>> trim_and_fill([-1.0, -0.5, 0.0, 0.5, 1.0], [1, 0.5, 0.1, 0.5, 1], side="left").filled
    0
    """
    if side not in (None, "left", "right"):
        raise SpecError(f"side must be 'left', 'right' or None, got {side!r}.")
    effects, errors, _ = check_effects(y, v, None)
    if side is None:
        slope = egger_regression(effects, errors, method=method, test="normal").coef[1]
        side = "right" if slope < 0 else "left"
    turn = 1.0 if side == "left" else -1.0
    order = np.argsort(turn * effects, kind="stable")
    turned, k = turn * effects[order], len(effects)
    trimmed = -1
    lacking = 0
    for _ in range(_MOST):
        if lacking == trimmed:
            break
        trimmed, kept = lacking, k - lacking
        if kept < 2:
            raise MethodError(f"trimming leaves {kept} of {k} effects; the funnel says nothing.")
        some = random_effects(
            turned[:kept], errors[order][:kept], method=method, test="normal", level=level
        )
        # In units of the largest and without the last digits, so that ties are ties.
        distance = turned - some.coef[0]
        distance = np.round(distance / max(np.abs(distance).max(), np.finfo(float).tiny), 12)
        ranks = stats.rankdata(np.abs(distance))
        above = float(ranks[distance > 0].sum())
        lacking = max(0, round((4 * above - k * (k + 1)) / (2 * k - 1)))
    else:
        raise MethodError("the number of effects to trim does not settle; name no filled funnel.")
    chosen = order[k - lacking :]
    mirrored = 2 * turn * some.coef[0] - effects[chosen]
    fit = random_effects(
        np.concatenate([effects, mirrored]),
        np.concatenate([errors, errors[chosen]]),
        method=method,
        test=test,
        level=level,
    )
    return TrimAndFill(lacking, side, fit)
