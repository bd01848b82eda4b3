"""Alignment: factor means and variances of many groups whose measures differ in places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats
from scipy.sparse import csgraph

from lgpi_research.errors import DataError, MethodError, Problems, SpecError

__all__ = ["Alignment", "align_groups"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_CLOSE = 1e-7  # largest slope at a solution, for each unit of the loss
_EASIER = (1.0, 0.1, 0.01, 1e-3, 1e-4)  # smoothings before the one that is asked for
_CONNECT, _LEAVE = 0.01, 0.001  # levels of the pairwise test and of the test against the rest


@dataclass(frozen=True, eq=False)
class Alignment:
    """Factor means and variances of G groups, and which of 2k parameters are invariant.

    Attributes
    ----------
    means, variances : ndarray of shape (G,)
        Of the factor; the reference group has variance 1 and, if it is fixed, mean 0.
    loadings, intercepts : ndarray of shape (G, k)
        Aligned.
    cov : ndarray of shape (G + G, G + G)
        Of the means and the variances.
    loadings_invariant, intercepts_invariant : ndarray of bool of shape (G, k)
        Whether a group belongs to the invariant set of the parameter.
    loadings_r2, intercepts_r2 : ndarray of shape (k,)
        Share of the configural variation that factor means and variances explain; NaN where
        there is none.
    loss : float
        The value that was minimised.
    """

    means: Floats
    variances: Floats
    loadings: Floats
    intercepts: Floats
    cov: Floats
    loadings_invariant: Bools
    intercepts_invariant: Bools
    loadings_r2: Floats
    intercepts_r2: Floats
    loss: float

    @property
    def noninvariant_share(self) -> float:
        """Share of the loadings and intercepts of all groups that are not invariant."""
        both = np.concatenate([self.loadings_invariant, self.intercepts_invariant])
        return float(1 - both.mean())


def align_groups(
    loadings: npt.ArrayLike,
    intercepts: npt.ArrayLike,
    cov: npt.ArrayLike,
    n: npt.ArrayLike,
    *,
    fixed: bool = True,
    reference: int = 0,
    smoothing: float = 1e-3,
) -> Alignment:
    r"""Align the one-factor models of many groups.

    Parameters
    ----------
    loadings, intercepts : array_like of shape (G, k)
        Of the configural model, with factor mean 0 and variance 1 in each group
        (`configural_one_factor`).
    cov : array_like of shape (G, 2k, 2k)
        Of the loadings, then the intercepts, of each group.
    n : array_like of shape (G,)
        Respondents.
    fixed : bool, default True
        Whether the factor mean of the reference group is 0. If not, it is estimated too,
        which only differences in loadings make possible.
    reference : int, default 0
        Number of the reference group.
    smoothing : float, default 1e-3
        The ε of the loss.

    Returns
    -------
    Alignment

    Raises
    ------
    DataError
        If shapes do not agree, numbers are missing, there are fewer than two groups or a
        group has no respondents.
    SpecError
        If the reference is no group or the smoothing is not positive.
    MethodError
        If the search does not end, or its curvature shows that a mean or a variance is not
        identified.

    Notes
    -----
    With mean :math:`\alpha_g` and variance :math:`\psi_g`, the aligned parameters are
    :math:`\lambda_{g1} = \lambda_{g0}/\sqrt{\psi_g}` and
    :math:`\nu_{g1} = \nu_{g0} - \alpha_g\lambda_{g1}`. The loss is the sum over pairs of
    groups and parameters of :math:`\sqrt{n_g n_h}\,((x_g - x_h)^2 + \varepsilon)^{1/4}`, under
    :math:`\prod\psi_g = 1`; then the reference group gets variance 1 [1]_. It prefers few
    large differences to many small ones, and finds the truth only if most parameters are
    invariant. Smaller and smaller ε lead from a smooth loss to that one. Covariances follow
    from the implicit function theorem.

    For each parameter the largest set of groups connected by pairs that do not differ at
    p > 0.01 begins the invariant set. Groups are then compared with its mean, weighted by n,
    and belong to it at p > 0.001, until no group moves.

    References
    ----------
    .. [1] Asparouhov, T., and Muthén, B. (2014). Multiple-group factor analysis alignment.
       *Structural Equation Modeling*, 21, 495-508.

    Examples
    --------
    >>> load, mean, sd = np.array([0.8, 0.7, 0.6]), np.array([0.0, 0.5, -0.3]), [1.0, 1.2, 0.8]
    >>> cov = np.tile(np.eye(6) / 500, (3, 1, 1))
    >>> found = align_groups(np.outer(sd, load), np.outer(mean, load), cov, [500] * 3)
    >>> found.means.round(4), found.variances.round(4), found.noninvariant_share
    (array([ 0. ,  0.5, -0.3]), array([1.  , 1.44, 0.64]), 0.0)
    """
    load, cut, spread, size = _checked(loadings, intercepts, cov, n)
    groups = len(load)
    if not 0 <= reference < groups:
        raise SpecError(f"reference must lie between 0 and {groups - 1}, got {reference}.")
    if not smoothing > 0:
        raise SpecError(f"smoothing must be positive, got {smoothing}.")
    problem = _Problem(load, cut, size, fixed, reference)
    at, loss = _search(problem, smoothing)
    logs, means = problem.unpack(at)
    aligned_load = load * np.exp(-logs)[:, None]
    aligned_cut = cut - means[:, None] * aligned_load
    slopes = _slopes(problem, at, smoothing)
    scale = float(np.exp(logs[reference]))
    return _finish(
        problem, slopes, spread, (logs, means, aligned_load * scale, aligned_cut), scale, loss
    )


def _checked(
    loadings: npt.ArrayLike, intercepts: npt.ArrayLike, cov: npt.ArrayLike, n: npt.ArrayLike
) -> tuple[Floats, Floats, Floats, Floats]:
    load, cut, spread, size = (
        np.asarray(given, dtype=np.float64) for given in (loadings, intercepts, cov, n)
    )
    problems = Problems("the configural estimates")
    if load.ndim != 2 or len(load) < 2:
        problems.add(f"loadings must be of at least 2 groups, got shape {load.shape}.")
        problems.raise_any(DataError)
    groups, k = load.shape
    shapes = {
        "intercepts": (cut, (groups, k)),
        "cov": (spread, (groups, 2 * k, 2 * k)),
        "n": (size, (groups,)),
    }
    for name, (given, shape) in shapes.items():
        if given.shape != shape:
            problems.add(f"{name} must have shape {shape}, got {given.shape}.")
    for name, given in (("loadings", load), ("intercepts", cut), ("cov", spread), ("n", size)):
        if not np.isfinite(given).all():
            problems.add(f"{name}: numbers are missing or infinite.")
    if not (size > 0).all():
        problems.add("n: every group needs respondents.")
    problems.raise_any(DataError)
    return load, cut, spread, size


class _Problem:
    """The loss of alignment and its slope, as functions of log deviations and means."""

    def __init__(
        self, load: Floats, cut: Floats, size: Floats, fixed: bool, reference: int
    ) -> None:
        groups = len(load)
        self.load, self.cut, self.size = load, cut, size
        self.first, self.second = np.triu_indices(groups, 1)
        weights = np.sqrt(size[self.first] * size[self.second])
        self.weights = (weights / weights.sum())[:, None]
        self.reference = reference
        self.free = np.arange(groups) if not fixed else np.delete(np.arange(groups), reference)
        # Orthonormal contrasts: log deviations whose sum is 0.
        self.contrasts = np.linalg.svd(np.ones((1, groups)))[2][1:].T

    def unpack(self, at: Floats) -> tuple[Floats, Floats]:
        """Return the log standard deviations and the means of all groups."""
        groups = len(self.load)
        means = np.zeros(groups)
        means[self.free] = at[groups - 1 :]
        return np.asarray(self.contrasts @ at[: groups - 1]), means

    def pull(self, values: Floats, smoothing: float) -> tuple[float, Floats]:
        """Return the loss of one kind of parameter and its slopes, shape (G, k)."""
        gap = values[self.first] - values[self.second]
        inner = np.square(gap) + smoothing
        slope = self.weights * gap / (2 * inner**0.75)
        out = np.zeros_like(values)
        np.add.at(out, self.first, slope)
        np.subtract.at(out, self.second, slope)
        return float((self.weights * inner**0.25).sum()), out

    def bend(self, values: Floats, smoothing: float) -> Floats:
        """Return the second derivatives of the loss in one kind of parameter, (k, G, G)."""
        groups, k = values.shape
        gap = np.square(values[self.first] - values[self.second])
        inner = gap + smoothing
        second = self.weights * (0.5 * inner**-0.75 - 0.75 * gap * inner**-1.75)
        out = np.zeros((k, groups, groups))
        out[:, self.first, self.second] = out[:, self.second, self.first] = -second.T
        places = np.arange(groups)
        out[:, places, places] = -out.sum(axis=2)
        return out

    def loss(self, at: Floats, smoothing: float) -> tuple[float, Floats]:
        """Return the loss and its slope."""
        logs, means = self.unpack(at)
        load = self.load * np.exp(-logs)[:, None]
        cut = self.cut - means[:, None] * load
        value, by_load = self.pull(load, smoothing)
        more, by_cut = self.pull(cut, smoothing)
        by_logs = (load * (means[:, None] * by_cut - by_load)).sum(axis=1)
        by_means = -(load * by_cut).sum(axis=1)
        slope = np.concatenate([self.contrasts.T @ by_logs, by_means[self.free]])
        return value + more, slope


def _search(problem: _Problem, smoothing: float) -> tuple[Floats, float]:
    """Minimise the loss, from smooth to sharp."""
    groups = len(problem.load)
    strength = np.fmax(np.abs(problem.load).mean(axis=1), 1e-12)
    logs = np.log(strength) - np.log(strength).mean()
    typical = (problem.load * np.exp(-logs)[:, None]).mean(axis=0)
    level = problem.cut - problem.cut.mean(axis=0)
    means = level @ typical / max(float(typical @ typical), 1e-12)
    if len(problem.free) < groups:
        means = means - means[problem.reference]
    at = np.concatenate([problem.contrasts.T @ logs, means[problem.free]])
    for eps in [*(e for e in _EASIER if e > smoothing), smoothing]:
        found = optimize.minimize(
            problem.loss,
            at,
            args=(eps,),
            jac=True,
            method="BFGS",
            options={"gtol": _CLOSE, "maxiter": 5000},
        )
        at = found.x
    value, slope = problem.loss(at, smoothing)
    if not np.abs(slope).max() <= 100 * _CLOSE * max(value, 1.0):
        raise MethodError(
            f"the alignment did not converge: a slope of {np.abs(slope).max():.2g} is left. Fix "
            "the mean of the reference group, or use a larger smoothing."
        )
    return np.asarray(at), value


@dataclass(frozen=True, eq=False)
class _Slopes:
    """How log deviations and means answer to the configural estimates, shape (2G, G, 2k)."""

    logs: Floats
    means: Floats


def _slopes(problem: _Problem, at: Floats, smoothing: float) -> _Slopes:
    """Return the derivatives of the solution, by the implicit function theorem."""
    groups, k = problem.load.shape
    logs, means = problem.unpack(at)
    shrink = np.exp(-logs)
    load = problem.load * shrink[:, None]
    cut = problem.cut - means[:, None] * load
    _, by_load = problem.pull(load, smoothing)
    _, by_cut = problem.pull(cut, smoothing)
    bend_load, bend_cut = problem.bend(load, smoothing), problem.bend(cut, smoothing)
    spread = np.zeros((2 * groups, groups - 1 + len(problem.free)))
    spread[:groups, : groups - 1] = problem.contrasts
    spread[groups + problem.free, groups - 1 + np.arange(len(problem.free))] = 1.0
    # Slopes of the aligned parameters of a group in its own deviation and mean.
    d_load = np.stack([-load, np.zeros_like(load)])
    d_cut = np.stack([means[:, None] * load, -load])
    whole = np.einsum("agi,igh,bhi->agbh", d_load, bend_load, d_load)
    whole += np.einsum("agi,igh,bhi->agbh", d_cut, bend_cut, d_cut)
    own = np.arange(groups)
    mixed = (by_cut * load).sum(axis=1)
    whole[0, own, 0, own] += (by_load * load).sum(axis=1) - means * mixed
    whole[0, own, 1, own] += mixed
    whole[1, own, 0, own] += mixed
    curvature = spread.T @ whole.reshape(2 * groups, 2 * groups) @ spread
    roots = np.linalg.eigvalsh(curvature)
    if roots[0] <= 1e-9 * roots[-1]:
        raise MethodError(
            f"the alignment is not identified: the smallest root of its curvature is "
            f"{roots[0]:.2g}. Fix the mean of the reference group."
        )
    # The same slopes in the configural loading and intercept of a group and an item.
    cross = np.zeros((2, groups, groups, 2 * k))
    lean = np.einsum("agi,igh->aghi", d_cut, bend_cut)
    cross[..., :k] = np.einsum("agi,igh->aghi", d_load, bend_load) * shrink[:, None]
    cross[..., :k] -= lean * (means * shrink)[:, None]
    cross[..., k:] = lean
    cross[0, own, own, :k] += (means[:, None] * by_cut - by_load) * shrink[:, None]
    cross[1, own, own, :k] -= by_cut * shrink[:, None]
    right = spread.T @ cross.reshape(2 * groups, -1)
    answer = -spread @ np.linalg.solve(curvature, right)
    answer = answer.reshape(2, groups, groups, 2 * k)
    return _Slopes(answer[0], answer[1])


def _finish(
    problem: _Problem,
    slopes: _Slopes,
    spread: Floats,
    solution: tuple[Floats, Floats, Floats, Floats],
    scale: float,
    loss: float,
) -> Alignment:
    """Return the solution in the units of the reference group, with tests."""
    logs, means, load, cut = solution
    groups, k = load.shape
    d_scale = slopes.logs[problem.reference]
    variances = np.exp(2 * logs) / scale**2
    d_mean = (slopes.means - means[:, None, None] * d_scale) / scale
    d_variance = 2 * variances[:, None, None] * (slopes.logs - d_scale)
    both = np.concatenate([d_mean, d_variance])
    ratio = scale * np.exp(-logs)
    invariant = np.empty((2, groups, k), dtype=bool)
    own = np.arange(groups)
    for i in range(k):
        d_load = load[:, i, None, None] * (d_scale - slopes.logs)
        d_load[own, own, i] += ratio
        d_cut = -slopes.means * (load[:, i] / scale)[:, None, None]
        d_cut -= (means / scale)[:, None, None] * (d_load - load[:, i, None, None] * d_scale)
        d_cut[own, own, k + i] += 1.0
        for kind, (values, slope) in enumerate(((load[:, i], d_load), (cut[:, i], d_cut))):
            invariant[kind, :, i] = _invariant(values, _sandwich(slope, spread), problem.size)
    predicted = np.average(load, axis=0, weights=problem.size)
    level = np.average(cut, axis=0, weights=problem.size)
    given = np.stack([problem.load, problem.cut])
    left = np.stack(
        [
            problem.load - np.outer(1 / ratio, predicted),
            problem.cut - level - np.outer(means / scale, predicted),
        ]
    )
    total = given.var(axis=1)
    varies = total > 1e-20
    r2 = np.where(varies, 1 - left.var(axis=1) / np.where(varies, total, 1.0), np.nan)
    return Alignment(
        means=means / scale,
        variances=variances,
        loadings=load,
        intercepts=cut,
        cov=_sandwich(both, spread),
        loadings_invariant=invariant[0],
        intercepts_invariant=invariant[1],
        loadings_r2=r2[0],
        intercepts_r2=r2[1],
        loss=loss,
    )


def _sandwich(slope: Floats, spread: Floats) -> Floats:
    """Return the covariance of functions of independent groups."""
    return np.asarray(np.einsum("agi,gij,bgj->ab", slope, spread, slope, optimize=True))


def _invariant(values: Floats, cov: Floats, size: Floats) -> Bools:
    """Return which groups belong to the invariant set of a parameter."""
    groups = len(values)
    variance = np.diag(cov)
    error = np.sqrt(np.fmax(variance[:, None] + variance - 2 * cov, 1e-300))
    alike = 2 * stats.norm.sf(np.abs(values[:, None] - values) / error) > _CONNECT
    _, part = csgraph.connected_components(alike, directed=False)
    member = np.asarray(part == np.bincount(part).argmax())
    seen: set[bytes] = set()
    while member.any() and member.tobytes() not in seen:
        seen.add(member.tobytes())
        weights = np.where(member, size, 0.0) / size[member].sum()
        contrast = np.eye(groups) - weights
        error = np.sqrt(np.fmax(np.einsum("gi,ij,gj->g", contrast, cov, contrast), 1e-300))
        member = 2 * stats.norm.sf(np.abs(contrast @ values) / error) > _LEAVE
    return np.asarray(member)
