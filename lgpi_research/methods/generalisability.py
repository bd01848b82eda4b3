"""Variance components of a generalisability study: where the differences of scores come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt
from scipy import linalg, stats

from lgpi_research.errors import DataError, MethodError, SpecError, nearest
from lgpi_research.methods.facets import FacetDesign, Layout, arrange
from lgpi_research.methods.mixed import MixedFit, RandomTerm, fit_mixed
from lgpi_research.methods.mixed_criterion import evaluate
from lgpi_research.methods.mixed_system import of_term

__all__ = [
    "METHODS",
    "Components",
    "combination_interval",
    "expected_squares",
    "mean_squares",
    "square_weights",
    "variance_components",
]

Floats = npt.NDArray[np.float64]

METHODS = ("auto", "anova", "reml")
"""Estimators: analysis of variance, restricted maximum likelihood, or the one that fits."""


@dataclass(frozen=True, eq=False)
class Components:
    """Variance components of a study.

    Attributes
    ----------
    design : FacetDesign
    method : {"anova", "reml"}
        What they were estimated by.
    estimates : ndarray of shape (n_effects,)
        In the order of the design's effects, in squared units of the scores, as estimated:
        by analysis of variance they may be negative.
    covariance : ndarray of shape (n_effects, n_effects)
        Of the estimates.
    ci_low, ci_high : ndarray of shape (n_effects,)
        Intervals, cut at 0.
    df : ndarray of shape (n_effects,)
        Degrees of freedom of the mean squares; by restricted likelihood Satterthwaite's.
    levels : tuple of int
        Levels of each effect.
    mean : float
        Mean of the scores; by restricted likelihood the estimate of it.
    squares : ndarray of shape (n_effects,)
        Mean squares; by restricted likelihood those that the estimates lead one to expect.
    expected : ndarray of shape (n_effects, n_effects)
        Coefficients of the components (columns) in the expected mean squares (rows).
    """

    design: FacetDesign
    method: str
    estimates: Floats
    covariance: Floats
    ci_low: Floats
    ci_high: Floats
    df: Floats
    levels: tuple[int, ...]
    mean: float
    squares: Floats
    expected: Floats

    @property
    def variances(self) -> Floats:
        """The estimates with negative ones set to 0, which decision studies rest on."""
        return np.maximum(self.estimates, 0.0)

    @property
    def std_errors(self) -> Floats:
        """Standard errors of the estimates."""
        return np.sqrt(np.diag(self.covariance))


def variance_components(
    y: npt.ArrayLike,
    labels: Sequence[npt.ArrayLike],
    design: FacetDesign,
    *,
    method: str = "auto",
    level: float = 0.95,
) -> Components:
    r"""Estimate the variance components of a generalisability study.

    Parameters
    ----------
    y : array_like of shape (n,)
        Scores, one for each cell of the design that was observed; none missing.
    labels : sequence of array_like of shape (n,)
        Level of each facet, in the order of the design.
    design : FacetDesign
        Of `lgpi_research.methods.facets.parse_design`. All facets are random here;
        fixed ones are averaged over in the decision study.
    method : {"auto", "anova", "reml"}, default "auto"
        Analysis of variance, for balanced scores; restricted maximum likelihood, for any.
        "auto" takes the first if scores are balanced and the second otherwise.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    Components

    Raises
    ------
    SpecError
        If the method is unknown or the level does not lie between 0 and 1.
    DataError
        If scores are missing or infinite, if they are unbalanced and "anova" was asked for,
        if they are not as many as labels, or as `arrange` says of labels.
    MethodError
        If the scores do not vary, or restricted likelihood has no answer.

    Notes
    -----
    A score is the sum of a mean and independent random effects, one for each effect of the
    design. **Analysis of variance**: the mean square of effect :math:`\alpha` is expected to be
    the sum over all effects :math:`\beta` that are indexed by every facet of :math:`\alpha`,

    .. math::

        E\,MS_\alpha = \sum_{\beta \supseteq \alpha} \pi_\beta\, \sigma^2_\beta,

    where :math:`\pi_\beta` is the product of the sizes of the facets that do not index
    :math:`\beta` (rules of Cornfield and Tukey [1]_). The estimates solve these equations and
    are unbiased without normality. They are linear in the mean squares,
    :math:`\hat\sigma^2_\alpha = \sum_\beta c_{\alpha\beta} MS_\beta`, which for normal effects
    gives the unbiased variance [2]_

    .. math::

        \sum_\beta \frac{2\,c_{\alpha\beta}^2\, MS_\beta^2}{\nu_\beta + 2}.

    Intervals are those of Ting et al. [3]_ (`combination_interval`), which suppose normal
    effects.

    **Restricted maximum likelihood** supposes normal effects and cells that are missing at
    random, keeps components at or above 0, and equals the analysis of variance if the scores
    are balanced and no component is negative there. The covariance is the inverse of the
    expected information,
    :math:`\tfrac12 \operatorname{tr}(P Z_\alpha Z_\alpha' P Z_\beta Z_\beta')`. Intervals take
    the mean squares that the components lead one to expect, with for
    :math:`\pi_\beta` the harmonic mean of the scores in a level of :math:`\beta` and
    Satterthwaite's degrees of freedom :math:`2 MS^2/\widehat{\operatorname{var}}(MS)`, as if
    they were independent, as they are if the scores are balanced.

    References
    ----------
    .. [1] Cornfield, J., and Tukey, J. W. (1956). Average values of mean squares in factorials.
       *Annals of Mathematical Statistics*, 27, 907-949.
    .. [2] Brennan, R. L. (2001). *Generalizability Theory*. Springer.
    .. [3] Ting, N., Burdick, R. K., Graybill, F. A., Jeyaratnam, S., and Lu, T.-F. C. (1990).
       Confidence intervals on linear combinations of variance components that are
       unrestricted in sign. *Journal of Statistical Computation and Simulation*, 35, 135-143.

    Examples
    --------
    Six targets rated by four judges (Shrout and Fleiss 1979):

    >>> from lgpi_research.methods.facets import parse_design
    >>> ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6],
    ...                     [10, 5, 6, 9], [6, 2, 4, 7]])
    >>> target, judge = np.indices(ratings.shape)
    >>> found = variance_components(ratings.ravel(), [target.ravel(), judge.ravel()],
    ...                             parse_design("target x judge"))
    >>> found.estimates.round(3).tolist()
    [2.556, 5.244, 1.019]
    """
    if method not in METHODS:
        raise SpecError(
            f"method must be one of {', '.join(METHODS)}, got {method!r}."
            f"{nearest(str(method), METHODS)}"
        )
    if not 0 < level < 1:
        raise SpecError(f"level must lie between 0 and 1, got {level!r}.")
    scores = np.asarray(y, dtype=np.float64)
    bad = int((~np.isfinite(scores)).sum())
    if bad:
        raise DataError(
            f"{bad} of {len(scores)} scores are missing or infinite. Set them aside first, and "
            "count them."
        )
    layout = arrange(labels, design)
    if scores.shape != layout.groups.shape[:1]:
        raise DataError(
            f"scores of shape {scores.shape} and labels of {len(layout.groups)}: there must be a "
            "label of each facet for each score."
        )
    if np.ptp(scores) == 0:
        raise MethodError("the scores do not vary: there is no variance to decompose.")
    if method == "anova" and not layout.balanced:
        raise DataError(
            f"{len(scores)} scores in {layout.n_cells} cells ({_sizes_told(layout)}): analysis of "
            "variance needs a score in every cell and as many levels in every nest. Use "
            "method='reml', or keep what is complete."
        )
    if layout.balanced and method != "reml":
        return _anova(scores, layout, level)
    return _reml(scores, layout, level)


def _sizes_told(layout: Layout) -> str:
    return " x ".join(
        f"{size} {name}" for name, size in zip(layout.design.facets, layout.sizes, strict=True)
    )


def mean_squares(table: npt.ArrayLike, design: FacetDesign) -> tuple[Floats, Floats]:
    """Return mean squares and degrees of freedom of the effects of a complete table.

    Parameters
    ----------
    table : array_like of shape (n_1, …, n_facets)
        Scores, an axis for each facet.
    design : FacetDesign

    Returns
    -------
    squares, df : ndarray of shape (n_effects,)
        In the order of the design's effects.

    Examples
    --------
    >>> from lgpi_research.methods.facets import parse_design
    >>> squares, df = mean_squares([[1, 2], [2, 3], [4, 5]], parse_design("unit x coder"))
    >>> squares.round(3).tolist(), df.tolist()
    ([4.667, 1.5, 0.0], [2.0, 1.0, 2.0])
    """
    values = np.asarray(table, dtype=np.float64)
    centred = values - values.mean()
    axes = {name: axis for axis, name in enumerate(design.facets)}
    # What rounding leaves of nothing would make a wild ratio of two zeros.
    tiny = 16 * np.finfo(float).eps ** 2 * float((values**2).sum()) * values.size
    parts: list[Floats] = []
    squares, df = [], []
    for number, effect in enumerate(design.effects):
        others = tuple(axes[name] for name in design.facets if name not in effect.facets)
        part = centred.mean(axis=others, keepdims=True) if others else centred
        for inner, known in zip(design.effects[:number], parts, strict=True):
            if inner.facets < effect.facets:
                part = part - known
        parts.append(part)
        total = float((part**2).sum()) * values.size / part.size
        free = prod(values.shape[axes[name]] - (name in effect.primary) for name in effect.facets)
        squares.append(total / free if total > tiny else 0.0)
        df.append(float(free))
    return np.array(squares), np.array(df)


def expected_squares(design: FacetDesign, repeats: Sequence[float]) -> Floats:
    """Return the coefficients of the components in the expected mean squares.

    Parameters
    ----------
    design : FacetDesign
    repeats : sequence of float
        Scores in one level of each effect, in the order of the design's effects.

    Returns
    -------
    ndarray of shape (n_effects, n_effects)
        Row: mean square; column: component.

    Examples
    --------
    >>> from lgpi_research.methods.facets import parse_design
    >>> expected_squares(parse_design("unit x coder"), [4, 6, 1]).tolist()
    [[4.0, 0.0, 1.0], [0.0, 6.0, 1.0], [0.0, 0.0, 1.0]]
    """
    return np.array(
        [
            [float(n) if row.facets <= column.facets else 0.0
             for column, n in zip(design.effects, repeats, strict=True)]
            for row in design.effects
        ]
    )  # fmt: skip


def square_weights(expected: Floats) -> Floats:
    """Return the weights of mean squares (columns) in the components (rows).

    Parameters
    ----------
    expected : ndarray of shape (n_effects, n_effects)
        Of `expected_squares`.

    Examples
    --------
    >>> square_weights(np.array([[4.0, 0.0, 1.0], [0.0, 5.0, 1.0], [0.0, 0.0, 1.0]])).tolist()
    [[0.25, 0.0, -0.25], [0.0, 0.2, -0.2], [0.0, 0.0, 1.0]]
    """
    found = np.zeros_like(expected)
    for row in range(len(expected) - 1, -1, -1):  # larger effects come later, and are known
        rest = -expected[row, row + 1 :] @ found[row + 1 :]
        rest[row] += 1
        found[row] = rest / expected[row, row]
    return found


def _anova(scores: Floats, layout: Layout, level: float) -> Components:
    design, n = layout.design, len(scores)
    squares, df = mean_squares(layout.table(scores), design)
    expected = expected_squares(design, [n / levels for levels in layout.levels])
    weights = square_weights(expected)
    covariance = (weights * (2 * squares**2 / (df + 2))) @ weights.T
    return _made(
        layout, "anova", weights @ squares, covariance, float(scores.mean()), squares, df,
        expected, level,
    )  # fmt: skip


def _reml(scores: Floats, layout: Layout, level: float) -> Components:
    design, n = layout.design, len(scores)
    terms = [
        RandomTerm(groups, name=effect.label)
        for groups, effect in zip(layout.groups.T[:-1], design.effects[:-1], strict=True)
    ]
    fit = fit_mixed(scores, np.ones((n, 1)), terms, names=["mean"])
    estimates = np.array([*(float(c[0, 0]) for c in fit.covariances), fit.residual_variance])
    try:
        factor = linalg.cho_factor(_information(fit))
    except linalg.LinAlgError as error:
        raise MethodError(
            "the scores say too little of the variance components: their information matrix is "
            "singular. Leave a facet out of the design, or add scores."
        ) from error
    inverse: Floats = linalg.cho_solve(factor, np.eye(len(estimates)))
    covariance = 2 * fit.residual_variance**2 * inverse
    repeats = [float(1 / np.mean(1 / np.bincount(groups))) for groups in layout.groups.T]
    expected = expected_squares(design, repeats)
    squares: Floats = expected @ estimates
    df = 2 * squares**2 / np.einsum("ij,jk,ik->i", expected, covariance, expected)
    return _made(
        layout, "reml", estimates, covariance, float(fit.coef[0]), squares, df, expected, level
    )


def _made(
    layout: Layout, method: str, estimates: Floats, covariance: Floats, mean: float,
    squares: Floats, df: Floats, expected: Floats, level: float,
) -> Components:  # fmt: skip
    """Return components with their intervals."""
    weights = square_weights(expected)
    ends = np.array([combination_interval(row, squares, df, level=level) for row in weights])
    low, high = np.maximum(ends, 0.0).T
    return Components(
        layout.design, method, estimates, covariance, low, high, df, layout.levels, mean,
        squares, expected,
    )  # fmt: skip


def _information(fit: MixedFit) -> Floats:
    r"""Return :math:`\operatorname{tr}(P V_i P V_j)`, P and V relative to the residual variance.

    :math:`V = \sum_i \rho_i V_i`, the last of which is the residual's, with
    :math:`\rho = 1`. The derivative of :math:`\operatorname{tr}(P V_i)` with respect to
    :math:`\rho_j` is :math:`-\operatorname{tr}(P V_i P V_j)`; what concerns the residual
    follows from :math:`PVP = P` and :math:`\operatorname{tr}(PV) = n - p`.
    """
    ratios = fit.theta**2

    def traces(at: Floats) -> Floats:
        point = evaluate(fit.given.model, np.sqrt(at))
        against = np.append(-point.coef, 1.0)
        kappa = fit.given.model.df / point.rss
        found = []
        for term, score in enumerate(point.scores):
            left = of_term(fit.given.model.system, term, point.told.cross) @ against
            found.append(float(score[0, 0] + kappa * (left**2).sum()))
        return np.array(found)

    here, k = traces(ratios), len(ratios)
    table = np.empty((k + 1, k + 1))
    for j in range(k):
        step = 1e-3 * max(ratios[j], 1e-3)
        # A ratio near 0 has no left side: then a forward difference of the same order.
        points, weights = (
            ((-1, 1), (-0.5, 0.5)) if ratios[j] >= step else ((0, 1, 2), (-1.5, 2, -0.5))
        )
        moved = [traces(ratios + step * at * (np.arange(k) == j)) for at in points]
        table[:k, j] = -sum(w * m for w, m in zip(weights, moved, strict=True)) / step
    table[:k, :k] = (table[:k, :k] + table[:k, :k].T) / 2
    table[:k, k] = table[k, :k] = here - table[:k, :k] @ ratios
    table[k, k] = fit.given.model.df - here @ ratios - table[k, :k] @ ratios
    return table


def combination_interval(
    weights: npt.ArrayLike, squares: npt.ArrayLike, df: npt.ArrayLike, *, level: float = 0.95
) -> tuple[float, float]:
    r"""Return the interval of a linear combination of expected mean squares.

    Parameters
    ----------
    weights, squares, df : array_like of shape (k,)
        Weight of each mean square, of any sign; the mean squares and degrees of freedom.
    level : float, default 0.95
        Level of the interval.

    Returns
    -------
    tuple of float
        Lower and upper end, not cut at 0.

    Notes
    -----
    Modified large-sample limits [1]_: with positive terms :math:`a_q` and negative
    :math:`-b_r`, each a weight times a mean square, the estimate less the root of

    .. math::

        \sum_q G_q^2 a_q^2 + \sum_r H_r^2 b_r^2 + \sum_{q,r} G_{qr} a_q b_r
            + \sum_{q<q'} G^*_{qq'} a_q a_{q'},

    where G and H make the limits exact if all other terms are 0; the upper end exchanges the
    signs. For one mean square it is the chi-squared interval, and it holds 0 exactly if the F
    test of two mean squares does not reject that they are equal.

    References
    ----------
    .. [1] Ting, N., Burdick, R. K., Graybill, F. A., Jeyaratnam, S., and Lu, T.-F. C. (1990).
       Confidence intervals on linear combinations of variance components that are
       unrestricted in sign. *Journal of Statistical Computation and Simulation*, 35, 135-143.

    Examples
    --------
    >>> low, high = combination_interval([1.0], [2.0], [10.0])
    >>> exact = 20 / stats.chi2.isf([0.025, 0.975], 10)
    >>> bool(np.allclose([low, high], exact))
    True
    """
    terms = np.asarray(weights, dtype=np.float64) * np.asarray(squares, dtype=np.float64)
    v = np.asarray(df, dtype=np.float64)
    tail, estimate = (1 - level) / 2, float(terms.sum())
    plus, minus = ((sign * terms[sign * terms > 0], v[sign * terms > 0]) for sign in (1, -1))
    return estimate - _reach(*plus, *minus, tail), estimate + _reach(*minus, *plus, tail)


def _reach(over: Floats, n: Floats, under: Floats, m: Floats, tail: float) -> float:
    """Return how far a limit lies off, if terms `over` are too large and `under` too small."""
    g = 1 - n / stats.chi2.isf(tail, n)
    h = m / stats.chi2.isf(1 - tail, m) - 1
    squared = float(((g * over) ** 2).sum() + ((h * under) ** 2).sum())
    if len(over) and len(under):
        f = stats.f.isf(tail, n[:, None], m)
        cross = ((f - 1) ** 2 - (g[:, None] * f) ** 2 - h**2) / f
        squared += float(over @ cross @ under)
    if len(over) > 1:
        one, other = np.triu_indices(len(over), 1)
        both, ratio = n[one] + n[other], n[one] / n[other]
        joint = (1 - both / stats.chi2.isf(tail, both)) ** 2 * both**2 / (n[one] * n[other])
        pair = (joint - g[one] ** 2 * ratio - g[other] ** 2 / ratio) / (len(over) - 1)
        squared += float((pair * over[one] * over[other]).sum())
    return float(np.sqrt(max(squared, 0.0)))
