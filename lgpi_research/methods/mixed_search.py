"""The search for the optimum of a mixed model's likelihood, and the proof that it is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize

from lgpi_research.errors import MethodError
from lgpi_research.methods.mixed_criterion import Model, Point, evaluate, hessian, lower_factor

__all__ = ["Search", "search"]

Floats = npt.NDArray[np.float64]

STARTS = (1.0, 0.2, 4.0)  # standard deviation of each effect, relative to the residual one
LARGEST = 1e5  # relative standard deviation that stands for infinite
SMALLEST = 1e-4  # and for 0, if the deviance agrees
ROUNDS = 20
FLAT = 1e-6  # scaled curvature below which the parameters cannot be told apart
GAIN = 1e-7  # deviance that may be left to gain


@dataclass(frozen=True, eq=False)
class Search:
    """Where a search ended.

    Attributes
    ----------
    theta : ndarray
    point : Point
    singular : tuple of int
        Terms whose covariance is singular.
    decrement : float
        Deviance that one more Newton step would gain.
    steps : int
        Evaluations of the criterion.
    """

    theta: Floats
    point: Point
    singular: tuple[int, ...]
    decrement: float
    steps: int


class _Counter:
    """The criterion for an optimiser, counting its evaluations."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.steps = 0

    def __call__(self, theta: Floats) -> tuple[float, Floats]:
        point = self.point(theta)
        return point.deviance, point.gradient

    def point(self, theta: Floats) -> Point:
        self.steps += 1
        return evaluate(self.model, theta)


class _Scaled:
    """The criterion in parameters divided by their size."""

    def __init__(self, count: _Counter, size: Floats) -> None:
        self.count = count
        self.size = size

    def __call__(self, free: Floats) -> tuple[float, Floats]:
        deviance, gradient = self.count(free * self.size)
        return deviance, gradient * self.size


def search(model: Model, names: Sequence[str]) -> Search:
    """Return the optimum.

    Parameters
    ----------
    model : Model
    names : sequence of str
        Names of the terms, for messages.

    Returns
    -------
    Search

    Raises
    ------
    MethodError
        If there is no maximum, or variances cannot be told apart.

    Notes
    -----
    The deviance is an even function of each column of a factor, so that a factor of 0 is
    always stationary. Whether it is an optimum is seen from the derivative with respect to
    the covariance matrix, which must have no negative eigenvalue; if it has one, the search
    goes on in that direction.
    """
    count = _Counter(model)
    starts = [model.free([size * np.eye(len(unit)) for unit in model.units]) for size in STARTS]
    theta = min((_descend(count, start) for start in starts), key=lambda end: end[0])[1]
    decrement = np.inf
    for _ in range(ROUNDS):
        point, decrement, rising = _polish(count, theta, model, names)
        if rising is None and decrement <= GAIN:
            rising = _growing(model, point)
        if rising is None and decrement > GAIN:  # farther than steps of one curvature reach
            rising = model.free(point.factors)
        if rising is not None:
            theta, decrement = _descend_curved(count, rising), np.inf
            continue
        theta, changed = _snap(count, model, point)
        if not changed:
            break
        decrement = np.inf
    if decrement > GAIN:
        raise MethodError(
            f"the likelihood has no maximum within {count.steps} evaluations; the variances of "
            f"{', '.join(names)} may be too many for these data, or so much larger than the "
            "residual one that rounding hides it. Leave a random effect out."
        )
    final = count.point(theta)
    return Search(theta, final, _singular(final), float(decrement), count.steps)


def _descend(count: _Counter, start: Floats) -> tuple[float, Floats]:
    """Return the lowest point that a quasi-Newton search reaches."""
    lowest, theta = np.inf, start
    for _ in range(ROUNDS):
        size = np.maximum(np.abs(theta), 1.0)
        found = optimize.minimize(
            _Scaled(count, size),
            theta / size,
            method="L-BFGS-B",
            jac=True,
            bounds=[(-LARGEST / s, LARGEST / s) for s in size],
            options={"ftol": 1e-9, "gtol": 1e-6, "maxiter": 500},
        )
        theta, gain = found.x * size, lowest - float(found.fun)
        lowest = float(found.fun)
        # A parameter that has grown much was searched in the wrong unit.
        if gain < GAIN or (np.abs(theta) <= 2 * size).all():
            break
    return lowest, np.asarray(theta)


def _descend_curved(count: _Counter, start: Floats) -> Floats:
    """Return the lowest point that a search with second derivatives reaches.

    It passes saddles and narrow valleys, of which singular covariances have many.
    """
    size = np.maximum(np.abs(start), 1.0)

    def curvature(free: Floats) -> Floats:
        count.steps += 4 * len(free)
        return np.asarray(hessian(count.model, free * size) * np.outer(size, size))

    found = optimize.minimize(
        _Scaled(count, size),
        start / size,
        method="trust-exact",
        jac=True,
        hess=curvature,
        options={"gtol": 1e-7, "maxiter": 200, "initial_trust_radius": 0.3},
    )
    return np.asarray(found.x * size)


def _polish(
    count: _Counter, theta: Floats, model: Model, names: Sequence[str]
) -> tuple[Point, float, Floats | None]:
    """Return the point that Newton's steps reach, and how much is left to gain.

    At a saddle there is a third value, a start that leads down from it.
    """
    if np.abs(theta).max() > 0.1 * LARGEST:
        raise MethodError(
            "the residual variance is 0 beside the random effects; within the groups nothing "
            "is left to vary."
        )
    curvature = hessian(model, theta)
    count.steps += 4 * len(theta)
    size = np.maximum(np.abs(theta), 1.0)
    own = np.diag(curvature) * size**2
    noise = 1e-6 + 1e-11 * model.df
    unit = np.sqrt(np.maximum(np.abs(own), noise)) / size
    scaled = curvature / unit[:, None] / unit
    scaled[np.abs(own) < noise] = scaled[:, np.abs(own) < noise] = 0.0
    values, vectors = np.linalg.eigh(scaled)
    point = count.point(theta)
    if values[0] < -FLAT:
        way = vectors[:, 0] / unit
        return point, np.inf, theta + 0.1 * way / np.abs(way).max()
    curved = values > FLAT
    if not curved.all() and not _singular(point):
        weak = np.abs(vectors[:, 0]) > 0.1
        terms = np.repeat(np.arange(len(names)), [len(rows) for rows, _ in model.entries])
        found = [names[t] for t in np.unique(terms[weak])]
        raise MethodError(
            f"variances of {' and '.join(found if len(found) > 1 else [*found, 'the residual'])} "
            "cannot be told apart with these data. Leave a random effect out."
        )
    inverse = (vectors[:, curved] / values[curved]) @ vectors[:, curved].T / unit[:, None] / unit
    for _ in range(ROUNDS):
        step = -inverse @ point.gradient
        if np.abs(step).max() <= 1e-11 * max(1.0, float(np.abs(theta).max())):
            break
        # The residual sum of squares is a difference of sums of the size of df.
        rounding = 1e-12 * abs(point.deviance) + 1e-14 * model.df**2 / point.rss
        then = count.point(theta + step)
        while then.deviance > point.deviance + rounding and np.abs(step).max() > 1e-8:
            step = step / 4
            then = count.point(theta + step)
        if np.abs(then.gradient / unit).max() >= np.abs(point.gradient / unit).max():
            break
        theta, point = theta + step, then
    return point, float(point.gradient @ inverse @ point.gradient), None


def _growing(model: Model, point: Point) -> Floats | None:
    """Return a start from which a variance that is now 0 would grow, None if none would."""
    for term, (score, entry) in enumerate(zip(point.scores, model.entries, strict=True)):
        full = len(entry[0]) > len(score) or len(score) == 1
        values, vectors = np.linalg.eigh(score if full else np.diag(np.diag(score)))
        if values[0] < -1e-7 * model.df:
            way = vectors[:, 0]
            grown = point.factors[term] @ point.factors[term].T + 0.01 * np.outer(way, way)
            factors = list(point.factors)
            factors[term] = lower_factor(grown) if full else np.sqrt(np.diag(np.diag(grown)))
            return model.free(factors)
    return None


def _snap(count: _Counter, model: Model, point: Point) -> tuple[Floats, bool]:
    """Return the parameters in standard form, with what is as good as 0 set to it."""
    factors, lowered = list[Floats](), False
    for factor in point.factors:
        values, vectors = np.linalg.eigh(factor @ factor.T)
        small = (values < SMALLEST**2) & (values > 0)
        diagonal = (factor == np.diag(np.diag(factor))).all()
        if diagonal:
            clean = np.abs(np.diag(factor))
            lowered |= bool(((clean < SMALLEST) & (clean > 0)).any())
            factors.append(np.diag(np.where(clean < SMALLEST, 0.0, clean)))
            continue
        if small.any() and (values[small] > 1e-13 * values[-1]).any():
            lowered = True
        values = np.where(values < SMALLEST**2, 0.0, values)
        factors.append(lower_factor((vectors * values) @ vectors.T, rank=int((values > 0).sum())))
    theta = model.free(factors)
    if lowered and count(theta)[0] > point.deviance + GAIN:
        return model.free([f * np.where(np.diag(f) < 0, -1.0, 1.0) for f in point.factors]), False
    return theta, lowered


def _singular(point: Point) -> tuple[int, ...]:
    """Return the terms whose covariance is singular."""
    return tuple(
        term
        for term, factor in enumerate(point.factors)
        if np.linalg.eigvalsh(factor @ factor.T)[0] < SMALLEST**2
    )
