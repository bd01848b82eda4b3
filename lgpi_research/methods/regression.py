"""Least squares with absorbed effects, and cluster-robust inference for few clusters.

The covariance is adjusted from the full design, all dummies of the absorbed effects
included, so it equals that of a regression with the dummies written out. Only effects
that are nested in clusters can simply be projected out first [1]_.

References
----------
.. [1] Pustejovsky, J. E., and Tipton, E. (2018). Small-sample methods for cluster-robust
   variance estimation and hypothesis testing in fixed effects models. *Journal of Business
   and Economic Statistics*, 36, 672-683; with the correction of 2023,
   doi:10.1080/07350015.2023.2174123.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, stats

from lgpi_research.errors import MethodError, Problems, listing, nearest
from lgpi_research.methods.absorb import (
    Effects,
    absorb_effects,
    check_weights,
    compact,
    effect_levels,
    is_nested,
    project,
)
from lgpi_research.registry import estimator

__all__ = [
    "ClusterCovariance",
    "Estimate",
    "Fit",
    "TestResult",
    "cluster_covariance",
    "compare_nested",
    "fixed_effects",
    "least_squares",
    "leave_one_cluster_out",
    "ols",
    "wald_test",
]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

KINDS = ("CR0", "CR1", "CR1S", "CR2", "CR3")
POWERS = {"CR2": -0.5, "CR3": -1.0}
COLLINEAR = 1e-8  # share of a column's length that others leave over
SINGULAR = 1e-10  # eigenvalues of I - H below this are zero
MOST_CELLS = 30_000_000  # three arrays of this size fit in a gigabyte


@dataclass(frozen=True, eq=False)
class Fit:
    """A least-squares fit.

    Attributes
    ----------
    coef : ndarray of shape (k,)
        Coefficients.
    within : ndarray of shape (n, k)
        Regressors after the effects were projected out.
    residuals : ndarray of shape (n,)
        Residuals, in the unit of the outcome.
    bread : ndarray of shape (k, k)
        Inverse of the cross-product of `within`.
    df_resid : int
        Rows less coefficients less the rank of the effects.
    rss, tss : float
        (Weighted) residual and total sum of squares; the total is what the effects
        leave, or that about the mean where there is an intercept.
    effects : Effects or None
        What was absorbed.
    weights : ndarray of shape (n,) or None
        Weights of the rows.
    """

    coef: Floats
    within: Floats
    residuals: Floats
    bread: Floats
    df_resid: int
    rss: float
    tss: float
    effects: Effects | None
    weights: Floats | None

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.residuals)

    @property
    def n_parameters(self) -> int:
        """Number of coefficients, those of the absorbed dummies included."""
        return len(self.coef) + (self.effects.rank if self.effects else 0)

    @property
    def sigma2(self) -> float:
        """Residual variance."""
        return self.rss / self.df_resid

    @property
    def cov(self) -> Floats:
        """Classical covariance of the coefficients: independent errors of equal variance."""
        return self.sigma2 * self.bread

    @property
    def r2(self) -> float:
        """Share of the total sum of squares that the regressors explain."""
        return 1.0 - self.rss / self.tss

    @property
    def r2_adjusted(self) -> float:
        """R² with the n − 1 degrees of freedom of the outcome and those of the residuals."""
        return 1.0 - (1.0 - self.r2) * (self.n - 1) / self.df_resid


@dataclass(frozen=True, eq=False)
class ClusterCovariance:
    """A cluster-robust covariance and its degrees of freedom.

    Attributes
    ----------
    cov : ndarray of shape (k, k)
        Covariance of the coefficients.
    df : ndarray of shape (k,)
        Satterthwaite degrees of freedom of each coefficient.
    kind : str
        CR0, CR1, CR1S, CR2 or CR3.
    n_clusters : int
        Number of clusters.
    """

    cov: Floats
    df: Floats
    kind: str
    n_clusters: int


@dataclass(frozen=True)
class TestResult:
    """An F test."""

    __test__ = False  # not a test class of pytest

    statistic: float
    df_num: float
    df_denom: float
    p_value: float


@dataclass(frozen=True, eq=False)
class Estimate:
    """What an estimator returns.

    Attributes
    ----------
    coef : ndarray of shape (k,)
        Coefficients.
    cov : ndarray of shape (k, k)
        Their covariance.
    df : ndarray of shape (k,)
        Degrees of freedom of their t statistics.
    """

    coef: Floats
    cov: Floats
    df: Floats


def _check_arrays(y: Floats, X: Floats) -> None:
    if y.ndim != 1 or X.ndim != 2 or len(y) != len(X) or X.shape[1] == 0:
        raise MethodError(
            f"y must have shape (n,) and X (n, k) with k > 0, got {y.shape} and {X.shape}."
        )
    wrong = ~(np.isfinite(y) & np.isfinite(X).all(axis=1))
    if wrong.any():
        raise MethodError(
            f"{wrong.sum()} of {len(y)} rows hold missing or infinite numbers (first at row "
            f"{np.flatnonzero(wrong)[0] + 1}); leave such rows out."
        )


def _names(given: Sequence[str] | None, count: int, what: str) -> list[str]:
    names = [f"{what} {i + 1}" for i in range(count)] if given is None else list(given)
    if len(names) != count:
        raise MethodError(f"{len(names)} names were given for {count} {what}s.")
    return names


def _norms(columns: Floats) -> Floats:
    lengths: Floats = np.sqrt(np.einsum("ij,ij->j", columns, columns))
    return lengths


def _orthonormal(unit: Floats) -> tuple[Floats, Floats]:
    """Return Q and R of columns of length one.

    Two Cholesky steps are as exact as Householder reflections while the columns are far
    from collinear, and four times as fast on long ones.
    """
    r = np.eye(unit.shape[1])
    q = unit
    for _ in range(2):
        try:
            step = linalg.cholesky(q.T @ q, check_finite=False)
        except linalg.LinAlgError:
            return np.linalg.qr(unit)
        if np.diag(step).min() < 1e-3:
            return np.linalg.qr(unit)
        inverse = linalg.solve_triangular(step, np.eye(len(step)), check_finite=False)
        q = (inverse.T @ q.T).T  # columns stay contiguous
        r = step @ r
    return q, r


def _absorbed(
    X: Floats, within: Floats, effects: Effects, names: Sequence[str], effect_names: Sequence[str]
) -> Iterator[str]:
    """Say which regressors the effects explain, and which effect alone does so."""
    after, whole = _norms(within), _norms(X)
    for j in map(int, np.flatnonzero(after <= COLLINEAR * whole)):
        before = float(np.linalg.norm(X[:, j] - X[:, j].mean()))
        rounding = 1e-13 * whole[j]
        if after[j] > max(COLLINEAR * before, rounding):
            continue  # little is left because the mean is large, not because effects took it
        if before <= rounding:
            yield f"{names[j]} does not vary in the {len(X)} rows used; leave it out."
            continue
        alone = [
            label
            for label, codes in zip(effect_names, effects.codes, strict=True)
            if _norms(project(absorb_effects([codes], effects.weights), X[:, [j]]))[0]
            <= max(COLLINEAR * before, rounding)
        ]
        by = listing(alone) if alone else f"{' and '.join(effect_names)} together"
        yield (
            f"{names[j]} does not vary within {by}, so the absorbed effects explain all of it; "
            "leave it out, or absorb other effects."
        )


def _collinear(columns: Floats, names: Sequence[str]) -> Iterator[str]:
    """Say which columns, of length one each, depend on those before them."""
    kept = list[int]()
    for j in range(columns.shape[1]):
        if not kept:
            kept.append(j)
            continue
        combination, *_ = np.linalg.lstsq(columns[:, kept], columns[:, j], rcond=None)
        if np.linalg.norm(columns[:, j] - columns[:, kept] @ combination) > COLLINEAR:
            kept.append(j)
            continue
        sources = [names[i] for i, c in zip(kept, combination, strict=True) if abs(c) > 1e-6]
        yield (
            f"{names[j]} is determined by {' and '.join(sources)}; "
            "leave one of them out, or merge categories."
        )


def least_squares(
    y: npt.NDArray[np.float64],
    X: npt.NDArray[np.float64],
    absorb: Effects | Sequence[npt.ArrayLike] = (),
    weights: npt.NDArray[np.float64] | None = None,
    *,
    names: Sequence[str] | None = None,
    effect_names: Sequence[str] | None = None,
) -> Fit:
    r"""Fit a linear regression by (weighted) least squares, effects projected out.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Outcome.
    X : ndarray of shape (n, k)
        Regressors, with a column of ones if there is an intercept and nothing is absorbed.
    absorb : Effects or sequence of array_like of shape (n,)
        For each way of fixed effects the level of each row; or effects made ready, whose
        weights then count.
    weights : ndarray of shape (n,), optional
        Positive weights, proportional to the inverse variances of the errors.
    names : sequence of str, optional
        Names of the regressors, for messages.
    effect_names : sequence of str, optional
        Names of the effects, for messages.

    Returns
    -------
    Fit

    Raises
    ------
    MethodError
        If shapes differ, numbers are missing, regressors are collinear or absorbed by the
        effects (each is named), or no degree of freedom is left.

    Notes
    -----
    By the theorem of Frisch, Waugh and Lovell [1]_ the coefficients are those of

    .. math::

        \hat\beta = (\tilde X'W\tilde X)^{-1}\tilde X'W\tilde y, \qquad \tilde X = M_D X,

    where :math:`M_D` projects out the dummies.

    References
    ----------
    .. [1] Lovell, M. C. (1963). Seasonal adjustment of economic time series and multiple
       regression analysis. *Journal of the American Statistical Association*, 58, 993-1010.

    Examples
    --------
    >>> y = np.array([1.0, 3.0, 4.0, 8.0])
    >>> fit = least_squares(y, np.array([[0.0], [1.0], [0.0], [2.0]]), [["a", "a", "b", "b"]])
    >>> fit.coef.round(3), fit.df_resid
    (array([2.]), 1)
    """
    _check_arrays(y, X)
    n, k = X.shape
    labels = _names(names, k, "column")
    problems = Problems("the regression")
    if isinstance(absorb, Effects):
        effects: Effects | None = absorb
        weights = absorb.weights
    else:
        effects = absorb_effects(absorb, weights) if len(absorb) else None
    if weights is not None:
        check_weights(weights, n)
    if effects is None:
        within, outcome = X.astype(np.float64), y.astype(np.float64)
    else:
        if len(effects.codes[0]) != n:
            raise MethodError(f"the effects have {len(effects.codes[0])} rows, the outcome {n}.")
        ways = _names(effect_names, len(effects.codes), "effect")
        both = project(effects, np.vstack([X.T, y]).T)
        within, outcome = both[:, :-1], both[:, -1]
        problems.extend(_absorbed(X, within, effects, labels, ways))
        problems.raise_any(MethodError)

    root = None if weights is None else np.sqrt(weights)[:, None]
    scaled = within if root is None else within * root
    lengths = _norms(scaled)
    for j in map(int, np.flatnonzero(lengths == 0)):
        problems.add(f"{labels[j]} is zero in all rows; leave it out.")
    problems.raise_any(MethodError)
    unit = scaled / lengths
    q, r = _orthonormal(unit)
    if k > n or np.abs(np.diag(r)).min() <= COLLINEAR:
        problems.extend(_collinear(unit, labels))
        problems.raise_any(MethodError)
    df_resid = n - k - (effects.rank if effects else 0)
    if df_resid < 1:
        absorbed = f" and {effects.rank} absorbed effects" if effects else ""
        raise MethodError(
            f"{n} rows cannot carry {k} coefficients{absorbed}: {df_resid} degrees of freedom "
            "are left. Use more rows, or a shorter formula."
        )
    target = outcome if root is None else outcome * root[:, 0]
    inverse = linalg.solve_triangular(r, np.eye(k), check_finite=False) / lengths[:, None]
    coef = inverse @ (q.T @ target)
    residuals = outcome - within @ coef
    w = np.ones(n) if weights is None else weights
    centre = 0.0
    if effects is None and (np.ptp(X, axis=0) == 0).any():
        centre = float(np.average(outcome, weights=w))
    return Fit(
        coef,
        within,
        residuals,
        inverse @ inverse.T,
        df_resid,
        float(w @ residuals**2),
        float(w @ (outcome - centre) ** 2),
        effects,
        weights,
    )


def fixed_effects(
    fit: Fit, y: npt.NDArray[np.float64], X: npt.NDArray[np.float64]
) -> list[npt.NDArray[np.float64]]:
    """Return the estimated levels of the absorbed effects.

    Parameters
    ----------
    fit : Fit
        With absorbed effects.
    y, X : ndarray
        What it was fitted to.

    Returns
    -------
    list of ndarray of shape (levels,)
        For one way the intercept of each level. For more, the first way carries the
        level and each other way has mean zero over the rows.

    Raises
    ------
    MethodError
        If the fit absorbed nothing.

    Examples
    --------
    >>> y, X = np.array([1.0, 3.0, 4.0, 8.0]), np.array([[0.0], [1.0], [0.0], [2.0]])
    >>> fixed_effects(least_squares(y, X, [[0, 0, 1, 1]]), y, X)
    [array([1., 4.])]
    """
    if fit.effects is None:
        raise MethodError("the fit has no absorbed effects.")
    return effect_levels(fit.effects, y - X @ fit.coef)


def compare_nested(restricted: Fit, full: Fit) -> TestResult:
    r"""Test the restrictions of one fit against another that contains it, by F.

    Parameters
    ----------
    restricted, full : Fit
        Fits to the same outcome; the first is a special case of the second, such as
        pooled least squares of fixed effects.

    Returns
    -------
    TestResult

    Raises
    ------
    MethodError
        If the fits have different rows, or the second is not larger than the first.

    Notes
    -----
    .. math::

        F = \frac{(RSS_0 - RSS_1)/(df_0 - df_1)}{RSS_1/df_1},

    which holds for independent errors of equal variance.

    Examples
    --------
    >>> y, x = np.array([1.0, 3.0, 4.0, 8.0, 9.0]), np.array([0.0, 1.0, 0.0, 2.0, 2.0])
    >>> pooled = least_squares(y, np.column_stack([np.ones(5), x]))
    >>> within = least_squares(y, x[:, None], [[0, 0, 1, 1, 1]])
    >>> round(compare_nested(pooled, within).statistic, 3)
    36.0
    """
    extra = restricted.df_resid - full.df_resid
    if restricted.n != full.n or extra < 1:
        raise MethodError(
            f"the fits are not nested: {restricted.n} and {full.n} rows, "
            f"{restricted.df_resid} and {full.df_resid} residual degrees of freedom."
        )
    value = (restricted.rss - full.rss) / extra / full.sigma2
    return TestResult(
        float(value), extra, full.df_resid, float(stats.f.sf(value, extra, full.df_resid))
    )


@dataclass(frozen=True, eq=False)
class _Scores:
    """What each cluster adds to the coefficients, and what its working variance is made of.

    With a_g = A_g X_g B, the sum over clusters of a_g'e_g e_g'a_g is the covariance, and if
    errors are independent with variance one, a_g'e_g and a_h'e_h have the covariance
    [g = h] a_g'a_g - (U_g'a_g)'(U_h'a_h).
    """

    score: Floats  # (G, k): a_g'e_g
    square: Floats  # (G, k, k): a_g'a_g
    shared: Floats  # (G, r, k): U_g'a_g
    estimable: npt.NDArray[np.bool_]  # (G,): whether the rest identifies the coefficients


def _basis(fit: Fit, clusters: Codes) -> tuple[Floats, Floats]:
    """Return weighted within regressors, and a basis of all that spans several clusters.

    Effects nested in clusters are left out of the basis: they are orthogonal to the
    regressors cluster by cluster, so they commute with every adjustment.
    """
    root = None if fit.weights is None else np.sqrt(fit.weights)[:, None]
    scaled = fit.within if root is None else fit.within * root
    lengths = _norms(scaled)
    q, _ = _orthonormal(scaled / lengths)
    effects = fit.effects
    if effects is None:
        return scaled, q
    nested = [is_nested(codes, clusters) for codes in effects.codes]
    if all(nested):
        return scaled, q
    crossed = [i for i, inside in enumerate(nested) if not inside]
    levels = sum(effects.sizes[i] for i in crossed)
    if fit.n * (levels + q.shape[1]) > MOST_CELLS:
        raise MethodError(
            f"{levels:,} effects reach over several clusters, and {fit.n:,} rows times these do "
            "not fit in memory. Choose clusters that contain whole effects, or absorb fewer."
        )
    dummies = np.zeros((fit.n, levels))
    start = 0
    for i in crossed:
        dummies[np.arange(fit.n), start + effects.codes[i]] = 1.0
        start += effects.sizes[i]
    rank = effects.rank
    if any(nested):
        inner = absorb_effects(
            [c for c, inside in zip(effects.codes, nested, strict=True) if inside], fit.weights
        )
        dummies, rank = project(inner, dummies), rank - inner.rank
    if root is not None:
        dummies = dummies * root
    values, vectors = linalg.eigh(dummies.T @ dummies, check_finite=False)
    # The rank is known exactly, so nothing hangs on a tolerance.
    top = slice(len(values) - rank, None)
    return scaled, np.hstack([q, dummies @ (vectors[:, top] / np.sqrt(values[top]))])


def _adjusted(
    x: Floats, u: Floats, power: float | None
) -> tuple[Floats, npt.NDArray[np.bool_] | None]:
    """Return (I - U U')^power x for clusters of one size, and where x meets the null space.

    `x` has shape (g, m, k) and `u` (g, m, r). The power is of the pseudo-inverse; the
    smaller of U U' and U'U is decomposed.
    """
    if power is None:
        return x, None
    ut = u.transpose(0, 2, 1)
    if u.shape[1] <= u.shape[2]:
        values, vectors = np.linalg.eigh(u @ ut)
        turned = vectors.transpose(0, 2, 1) @ x
        left = 1.0 - values
        null = left <= SINGULAR
        factor = np.where(null, 0.0, np.where(null, 1.0, left) ** power)
        lost = np.where(null[..., None], turned, 0.0)
        return vectors @ (factor[..., None] * turned), lost
    values, vectors = np.linalg.eigh(ut @ u)
    values = np.clip(values, 0.0, 1.0)
    turned = vectors.transpose(0, 2, 1) @ (ut @ x)
    left = 1.0 - values
    null = left <= SINGULAR
    safe = np.where(null | (values < 1e-14), 0.5, values)
    gain = np.expm1(power * np.log1p(-safe)) / safe
    gain = np.where(null, -1.0, np.where(values < 1e-14, -power, gain))
    lost = np.where(null[..., None], turned, 0.0)
    return x + u @ (vectors @ (gain[..., None] * turned)), lost


def _scores(fit: Fit, clusters: npt.ArrayLike, kind: str) -> _Scores:
    if kind not in KINDS:
        raise MethodError(
            f"unknown covariance {kind!r}.{nearest(str(kind), KINDS)} Known: {', '.join(KINDS)}."
        )
    codes, count = compact(clusters)
    if len(codes) != fit.n:
        raise MethodError(f"clusters have {len(codes)} rows, the fit {fit.n}.")
    if count < 2:
        raise MethodError(
            "all rows lie in one cluster, and one cluster says nothing about how clusters vary; "
            "name the clusters that were sampled, or that share shocks."
        )
    x, u = _basis(fit, codes)
    error = fit.residuals if fit.weights is None else fit.residuals * np.sqrt(fit.weights)
    sizes = np.bincount(codes)
    order = np.argsort(codes, kind="stable")
    starts = np.cumsum(sizes) - sizes
    k, r = x.shape[1], u.shape[1]
    score, square = np.empty((count, k)), np.empty((count, k, k))
    shared, estimable = np.empty((count, r, k)), np.ones(count, dtype=bool)
    longest = np.sqrt(np.diag(fit.bread))
    for size in np.unique(sizes):
        group = np.flatnonzero(sizes == size)
        rows = order[starts[group][:, None] + np.arange(size)]
        a, lost = _adjusted(x[rows], u[rows], POWERS.get(kind))
        a = a @ fit.bread
        at = a.transpose(0, 2, 1)
        score[group] = (at @ error[rows][..., None])[..., 0]
        square[group] = at @ a
        shared[group] = u[rows].transpose(0, 2, 1) @ a
        if lost is not None:
            met = np.sqrt(((lost @ fit.bread) ** 2).sum(axis=1)) > 1e-7 * longest
            estimable[group] = ~met.any(axis=1)
    return _Scores(score, square, shared, estimable)


def _small_sample(fit: Fit, count: int, kind: str) -> float:
    """Return the factor of the covariance for its kind."""
    if kind == "CR1":
        return count / (count - 1)
    if kind == "CR1S":
        return count * (fit.n - 1) / ((count - 1) * (fit.n - fit.n_parameters))
    return 1.0


def _satterthwaite(scores: _Scores) -> Floats:
    """Return 2 E(v)²/Var(v) of each variance estimate v, if errors are independent."""
    own = np.einsum("gkk->gk", scores.square)
    overlap = np.einsum("grk,grk->gk", scores.shared, scores.shared)
    b = scores.shared.transpose(2, 0, 1)
    bt = b.transpose(0, 2, 1)
    product = b @ bt if b.shape[1] < b.shape[2] else bt @ b  # the same norm, in fewer numbers
    mean = (own - overlap).sum(axis=0)
    spread = (own**2 - 2 * own * overlap).sum(axis=0) + (product**2).sum(axis=(1, 2))
    df: Floats = mean**2 / spread
    return df


def cluster_covariance(fit: Fit, clusters: npt.ArrayLike, kind: str = "CR2") -> ClusterCovariance:
    r"""Estimate a covariance that is robust to any dependence within clusters.

    Parameters
    ----------
    fit : Fit
        From `least_squares`.
    clusters : array_like of shape (n,)
        Cluster of each row. With each row its own cluster, CR2 is HC2 and CR3 is HC3.
    kind : {"CR2", "CR0", "CR1", "CR1S", "CR3"}
        Adjustment: none (CR0); the factor G/(G−1) (CR1) or G(n−1)/((G−1)(n−p)), p counting
        absorbed dummies (CR1S); CR2, unbiased if errors are independent with variances
        inverse to the weights; CR3, the jackknife that leaves one cluster out.

    Returns
    -------
    ClusterCovariance

    Raises
    ------
    MethodError
        If there are fewer than two clusters, the kind is unknown, the effects that reach
        over several clusters are too many to adjust for, or (CR3) a coefficient cannot be
        estimated without some cluster.

    Notes
    -----
    With residuals :math:`e_g`, hat matrix :math:`H` of the full design and its block
    :math:`H_{gg}`, rows multiplied by the root of their weights,

    .. math::

        V = B \Big(\sum_g \tilde X_g'A_g e_g e_g'A_g \tilde X_g\Big) B,
        \qquad A_g = (I - H_{gg})^{-1/2} \text{ (CR2)},

    with the Moore-Penrose inverse where a block is singular [1]_, [2]_. Degrees of
    freedom match mean and variance of V to a scaled chi-square, for independent errors.
    Weighted fits are adjusted in their transformed rows, where effects nested in clusters
    drop out as they do without weights.

    References
    ----------
    .. [1] Bell, R. M., and McCaffrey, D. F. (2002). Bias reduction in standard errors for
       linear regression with multi-stage samples. *Survey Methodology*, 28, 169-181.
    .. [2] Pustejovsky, J. E., and Tipton, E. (2018). Small-sample methods for
       cluster-robust variance estimation and hypothesis testing in fixed effects models.
       *Journal of Business and Economic Statistics*, 36, 672-683.

    Examples
    --------
    >>> x = np.array([0.0, 1.0, 2.0, 3.0, 5.0, 8.0])
    >>> y = np.array([1.0, 2.0, 2.0, 5.0, 6.0, 8.0])
    >>> fit = least_squares(y, np.column_stack([np.ones(6), x]))
    >>> robust = cluster_covariance(fit, ["a", "a", "b", "b", "c", "c"])
    >>> np.sqrt(np.diag(robust.cov)).round(3), robust.df.round(2)
    (array([0.189, 0.092]), array([1.14, 1.14]))
    """
    scores = _scores(fit, clusters, kind)
    count = len(scores.score)
    if kind == "CR3" and not scores.estimable.all():
        raise MethodError(
            f"CR3 is undefined: without {(~scores.estimable).sum()} of the {count} clusters some "
            "coefficient cannot be estimated. Use CR2, or leave the column out that varies in "
            "one cluster only."
        )
    cov = _small_sample(fit, count, kind) * (scores.score.T @ scores.score)
    return ClusterCovariance(cov, _satterthwaite(scores), kind, count)


def leave_one_cluster_out(fit: Fit, clusters: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the coefficients without each cluster in turn, from one fit.

    Parameters
    ----------
    fit : Fit
        From `least_squares`.
    clusters : array_like of shape (n,)
        Cluster of each row.

    Returns
    -------
    ndarray of shape (G, k)
        Clusters in sorted order; NaN where the rest does not identify the coefficients.

    Raises
    ------
    MethodError
        If there are fewer than two clusters.

    Examples
    --------
    >>> x, y = np.array([0.0, 1.0, 2.0, 4.0]), np.array([0.0, 1.0, 3.0, 4.0])
    >>> fit = least_squares(y, np.column_stack([np.ones(4), x]))
    >>> leave_one_cluster_out(fit, [0, 1, 2, 2])[0].round(3)  # without the first row
    array([0.5  , 0.929])
    """
    scores = _scores(fit, clusters, "CR3")
    without = fit.coef - scores.score
    without[~scores.estimable] = np.nan
    return without


def wald_test(
    fit: Fit,
    clusters: npt.ArrayLike,
    kind: str = "CR2",
    constraints: npt.NDArray[np.float64] | None = None,
) -> TestResult:
    r"""Test several coefficients jointly by the approximate Hotelling T² test.

    Parameters
    ----------
    fit : Fit
        From `least_squares`.
    clusters : array_like of shape (n,)
        Cluster of each row.
    kind : {"CR2", "CR0", "CR1", "CR1S", "CR3"}
        Covariance, as in `cluster_covariance`.
    constraints : ndarray of shape (q, k), optional
        The hypothesis is ``constraints @ coef == 0``; by default all coefficients are 0.

    Returns
    -------
    TestResult

    Raises
    ------
    MethodError
        If the constraints have the wrong shape, or there are too few clusters for them.

    Notes
    -----
    ``HTZ`` of [1]_: with :math:`Q` the Wald statistic of q constraints and :math:`\eta`
    matched to the total variance of the normalised covariance under independent errors,

    .. math::

        F = \frac{\eta - q + 1}{\eta q} Q \sim F(q, \eta - q + 1).

    References
    ----------
    .. [1] Pustejovsky, J. E., and Tipton, E. (2018). Small-sample methods for
       cluster-robust variance estimation and hypothesis testing in fixed effects models.
       *Journal of Business and Economic Statistics*, 36, 672-683.

    Examples
    --------
    >>> x = np.array([0.0, 1.0, 2.0, 3.0, 5.0, 8.0])
    >>> y = np.array([1.0, 2.0, 2.0, 5.0, 6.0, 8.0])
    >>> fit = least_squares(y, np.column_stack([np.ones(6), x]))
    >>> slope = np.array([[0.0, 1.0]])  # of one coefficient: the square of its t
    >>> round(wald_test(fit, [0, 0, 1, 1, 2, 2], constraints=slope).df_denom, 2)
    1.14
    """
    k = len(fit.coef)
    c = np.eye(k) if constraints is None else np.asarray(constraints, dtype=np.float64)
    if c.ndim != 2 or c.shape[1] != k or not 0 < np.linalg.matrix_rank(c) == len(c):
        raise MethodError(f"constraints must be q independent rows of {k} numbers, got {c.shape}.")
    q = len(c)
    scores = _scores(fit, clusters, kind)
    count = len(scores.score)
    v = _small_sample(fit, count, kind) * (scores.score.T @ scores.score)
    expected = c @ (scores.square - scores.shared.transpose(0, 2, 1) @ scores.shared).sum(0) @ c.T
    values, vectors = linalg.eigh(expected)
    if values.min() <= 1e-12 * values.max() or np.linalg.matrix_rank(c @ v @ c.T) < q:
        raise MethodError(
            f"{count} clusters cannot test {q} coefficients together: their covariance is "
            "singular. Test fewer at a time."
        )
    m = c.T @ (vectors / np.sqrt(values))
    square, b = m.T @ scores.square @ m, scores.shared @ m
    total = _total_variance(square, b)
    eta = q * (q + 1) / total
    if eta <= q - 1:
        raise MethodError(
            f"{count} clusters carry {eta:.2g} degrees of freedom, too few to test {q} "
            "coefficients together. Test fewer at a time."
        )
    estimate = c @ fit.coef
    wald = estimate @ np.linalg.solve(c @ v @ c.T, estimate)
    denominator = eta - q + 1
    value = denominator / eta * wald / q
    return TestResult(float(value), q, float(denominator), float(stats.f.sf(value, q, denominator)))


def _total_variance(square: Floats, b: Floats) -> float:
    """Sum the variances of all entries of the normalised covariance, for normal errors.

    With blocks W_gh = [g = h] square_g - b_g'b_h, this is the sum over g and h of
    tr(W_gh)² + tr(W_gh W_gh).
    """
    own = b.transpose(0, 2, 1) @ b
    trace, trace_own = np.einsum("gss->g", square), np.einsum("gss->g", own)
    total = (trace**2 - 2 * trace * trace_own).sum()
    total += np.einsum("gst,gts->", square, square) - 2 * np.einsum("gst,gts->", square, own)
    flat = np.ascontiguousarray(b.transpose(0, 2, 1)).reshape(len(b), -1)
    q, r = b.shape[2], b.shape[1]
    sums = (flat.T @ flat).reshape(q, r, q, r)
    total += (sums**2).sum() + np.einsum("tisj,tjsi->", sums, sums)
    return float(total)


@estimator("ols")
def ols(
    y: npt.NDArray[np.float64],
    X: npt.NDArray[np.float64],
    *,
    clusters: npt.ArrayLike,
    absorb: Effects | Sequence[npt.ArrayLike] = (),
    weights: npt.NDArray[np.float64] | None = None,
    kind: str = "CR2",
) -> Estimate:
    """Estimate by least squares, with cluster-robust covariance and degrees of freedom.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Outcome.
    X : ndarray of shape (n, k)
        Regressors.
    clusters : array_like of shape (n,)
        Cluster of each row; each row its own where rows are independent.
    absorb : Effects or sequence of array_like of shape (n,)
        Fixed effects to project out.
    weights : ndarray of shape (n,), optional
        Positive weights.
    kind : {"CR2", "CR0", "CR1", "CR1S", "CR3"}
        Covariance.

    Returns
    -------
    Estimate

    Raises
    ------
    MethodError
        As `least_squares` and `cluster_covariance`.

    Examples
    --------
    >>> x, y = np.array([0.0, 1.0, 2.0, 4.0, 5.0]), np.array([0.0, 1.0, 3.0, 4.0, 4.0])
    >>> ols(y, x[:, None], clusters=[0, 0, 1, 1, 2]).coef.round(3)
    array([0.935])
    """
    fit = least_squares(y, X, absorb, weights)
    robust = cluster_covariance(fit, clusters, kind)
    return Estimate(fit.coef, robust.cov, robust.df)
