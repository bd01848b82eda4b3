"""Rotation of factors by gradient projection: varimax, oblimin; and promax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import DataError, MethodError, SpecError, listing, nearest

__all__ = ["Rotation", "rotate_factors"]

Floats = npt.NDArray[np.float64]
Criterion = Callable[[Floats], tuple[float, Floats]]

_MOST = 5000  # steps; usual cases take 10 to 100
_HALVINGS = 30
_NEAR = 1e-6  # a gradient of this length is near its end


@dataclass(frozen=True, eq=False)
class Rotation:
    """Rotated factors, in order of the variance they explain; sums of loadings are positive.

    Attributes
    ----------
    loadings : ndarray of shape (k, m)
        Pattern of the items on the factors.
    correlation : ndarray of shape (m, m)
        Of the factors.
    criterion : float
        The value that was minimised; NaN for promax and without a rotation.
    """

    loadings: Floats
    correlation: Floats
    criterion: float

    @property
    def structure(self) -> Floats:
        """Correlations of the items with the factors, shape (k, m)."""
        return np.asarray(self.loadings @ self.correlation)


def rotate_factors(
    loadings: npt.ArrayLike,
    method: str = "oblimin",
    *,
    normalise: bool | None = None,
    power: float = 4.0,
    starts: int = 0,
    rng: np.random.Generator | None = None,
    tolerance: float = 1e-8,
) -> Rotation:
    r"""Rotate uncorrelated factors to simple structure.

    Parameters
    ----------
    loadings : array_like of shape (k, m)
        Of uncorrelated factors.
    method : {"oblimin", "varimax", "promax", "none"}, default "oblimin"
        Oblimin and promax let the factors correlate.
    normalise : bool, optional
        Whether items count alike, whatever their communality (Kaiser). By default for
        varimax and promax, not for oblimin.
    power : float, default 4
        Of promax: the target is the varimax solution raised to it.
    starts : int, default 0
        Random starts besides the given axes and a fixed one, as rotations can end at a
        local optimum.
    rng : Generator, optional
        Draws the starts.
    tolerance : float, default 1e-8
        Length of the projected gradient at a solution.

    Returns
    -------
    Rotation

    Raises
    ------
    DataError
        If loadings are missing, or an item that is to be normalised has none.
    SpecError
        If the method is unknown, or there are starts without a generator.
    MethodError
        If the iterations do not end.

    Notes
    -----
    Varimax maximises the variance of the squared loadings within factors [1]_; oblimin is
    the direct one with :math:`\gamma = 0` (quartimin), which minimises
    :math:`\tfrac14\sum_{j\ne l}\sum_i\lambda_{ij}^2\lambda_{il}^2` [2]_. Both go downhill
    along the gradient, projected on the orthogonal or the normal matrices [3]_. Promax
    regresses the varimax solution raised to a power on that solution [4]_.

    References
    ----------
    .. [1] Kaiser, H. F. (1958). The varimax criterion for analytic rotation in factor
       analysis. *Psychometrika*, 23, 187-200.
    .. [2] Jennrich, R. I., and Sampson, P. F. (1966). Rotation for simple loadings.
       *Psychometrika*, 31, 313-323.
    .. [3] Jennrich, R. I. (2002). A simple general method for oblique rotation.
       *Psychometrika*, 67, 7-19.
    .. [4] Hendrickson, A. E., and White, P. O. (1964). Promax: a quick method for rotation
       to oblique simple structure. *British Journal of Statistical Psychology*, 17, 65-70.

    Examples
    --------
    >>> simple = np.array([[0.8, 0], [0.7, 0], [0.6, 0], [0, 0.7], [0, 0.6], [0, 0.5]])
    >>> turn = np.array([[0.8, 0.6], [-0.6, 0.8]])
    >>> np.abs(rotate_factors(simple @ turn, "varimax").loadings).round(6)[:2]
    array([[0.8, 0. ],
           [0.7, 0. ]])
    """
    methods = ("oblimin", "varimax", "promax", "none")
    if method not in methods:
        raise SpecError(
            f"method must be one of {listing(map(repr, methods))}, got {method!r}."
            f"{nearest(str(method), methods)}"
        )
    if starts and rng is None:
        raise SpecError("rng: random starts are drawn, so they need a generator.")
    given = np.asarray(loadings, dtype=np.float64)
    if given.ndim != 2 or not np.isfinite(given).all():
        raise DataError("loadings must be a matrix of items by factors, without gaps.")
    m = given.shape[1]
    if method == "none" or m == 1:
        return _ordered(given, np.eye(m), np.nan)
    scale = np.ones((len(given), 1))
    if normalise if normalise is not None else method != "oblimin":
        scale = np.sqrt(np.square(given).sum(axis=1, keepdims=True))
        empty = np.flatnonzero(scale[:, 0] == 0)
        if len(empty):
            raise DataError(
                f"items {listing(empty + 1)} load on no factor, so they cannot be normalised."
            )
    a = given / scale
    # Given axes can lie on a saddle, where symmetric items leave them: a skew start does not.
    begin = [
        np.eye(m),
        np.linalg.qr(np.cos(np.arange(1.0, m * m + 1)).reshape(m, m) + np.eye(m))[0],
    ]
    if rng is not None:
        begin += [np.linalg.qr(rng.normal(size=(m, m)))[0] for _ in range(starts)]
    oblique = method == "oblimin"
    criterion = _quartimin if oblique else _varimax
    found = [_project(a, turn, criterion, oblique, tolerance) for turn in begin]
    # A later start counts only if it is better by more than the error of a solution.
    best = found[0]
    for other in found[1:]:
        if other[0] < best[0] - 1e-8:
            best = other
    value, turn = best
    rotated = scale * (a @ np.linalg.inv(turn).T)
    if method != "promax":
        return _ordered(rotated, turn.T @ turn, value)
    weights = np.linalg.lstsq(rotated, rotated * np.abs(rotated) ** (power - 1), rcond=None)[0]
    inverse = np.linalg.inv(weights.T @ weights)
    size = np.sqrt(np.diag(inverse))
    return _ordered(rotated @ (weights * size), inverse / np.outer(size, size), np.nan)


def _ordered(loadings: Floats, phi: Floats, value: float) -> Rotation:
    """Turn factors to positive sums, the strongest first."""
    signs = np.where(loadings.sum(axis=0) < 0, -1.0, 1.0)
    phi = phi * np.outer(signs, signs)
    loadings = loadings * signs
    strength = np.diag(phi @ loadings.T @ loadings)
    order = np.argsort(-strength.round(12), kind="stable")
    phi = (phi + phi.T) / 2
    np.fill_diagonal(phi, 1.0)
    return Rotation(loadings[:, order], phi[np.ix_(order, order)], value)


def _varimax(loadings: Floats) -> tuple[float, Floats]:
    squares = np.square(loadings)
    centred = squares - squares.mean(axis=0)
    return -float(np.square(centred).sum()) / 4, -loadings * centred


def _quartimin(loadings: Floats) -> tuple[float, Floats]:
    squares = np.square(loadings)
    others = squares.sum(axis=1, keepdims=True) - squares
    return float((squares * others).sum()) / 4, loadings * others


def _project(
    a: Floats, turn: Floats, criterion: Criterion, oblique: bool, tolerance: float
) -> tuple[float, Floats]:
    """Minimise a criterion over rotations; return its value and the matrix of the axes."""

    def at(t: Floats) -> tuple[float, Floats]:
        """Return the criterion and its gradient, projected."""
        inverse = np.linalg.inv(t)
        loadings = a @ inverse.T
        value, slope = criterion(loadings)
        gradient = -(loadings.T @ slope @ inverse).T if oblique else a.T @ slope
        if oblique:
            return value, np.asarray(gradient - t * (t * gradient).sum(axis=0))
        inner = t.T @ gradient
        return value, np.asarray(gradient - t @ (inner + inner.T) / 2)

    def moved(t: Floats, change: Floats) -> Floats:
        there = t - change
        if oblique:
            return np.asarray(there / np.sqrt(np.square(there).sum(axis=0)))
        left, _roots, right = np.linalg.svd(there)
        return np.asarray(left @ right)

    value, direction = at(turn)
    size, step = float(np.linalg.norm(direction)), 1.0
    for _ in range(_MOST):
        if size < tolerance:
            return value, turn
        step *= 2
        for _ in range(_HALVINGS):
            there = moved(turn, step * direction)
            new = at(there)
            shorter = float(np.linalg.norm(new[1]))
            # Near the end the value no longer tells steps apart, but the gradient does.
            gains = value - new[0] > 0.5 * size**2 * step
            if shorter < size if size < _NEAR else gains:
                break
            step /= 2
        else:
            break
        turn, (value, direction), size = there, new, shorter
    raise MethodError(
        f"the rotation did not converge in {_MOST} steps. Extract fewer factors, or use varimax: "
        "factors that are nearly the same can be told apart in many ways."
    )
