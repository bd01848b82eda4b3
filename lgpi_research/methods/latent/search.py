"""Starting values and Fisher scoring for a model of covariances and means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize

from lgpi_research.errors import MethodError, listing
from lgpi_research.methods.latent.table import ParameterTable

__all__ = ["refuse_unidentified", "scoring", "start"]

Floats = npt.NDArray[np.float64]
Terms = tuple[float, Floats, Floats]  # value, slopes, information

_MOST = 100
_STILL = 1e-17  # a step that promises less has arrived
_HUGE = 1e10
_APART = 1e-4  # of parameters at which slopes are compared, in units of their scale
_FLAT = 1e-9  # a root of the scaled information below it is none


def start(
    table: ParameterTable,
    moments: Sequence[tuple[Floats, Floats]],
) -> Floats:
    """Return starting values from the first axis of each factor's own items.

    Parameters
    ----------
    table : ParameterTable
        The model.
    moments : sequence of (ndarray, ndarray)
        Sample covariances and means of each group.

    Returns
    -------
    ndarray of shape (n_free,)
    """
    values: list[list[float]] = [[] for _ in range(table.n_free)]
    position = {name: i for i, name in enumerate(table.observed)}
    for group, (covariance, mean) in enumerate(moments, 1):
        scale = np.sqrt(np.diag(covariance))
        rows = [row for row in table.rows if row.group == group]
        axes: dict[tuple[str, str], float] = {}
        sizes: dict[str, float] = {}
        for factor in table.latent:
            own = [row for row in rows if row.op == "=~" and row.lhs == factor]
            items = [row.rhs for row in own if row.rhs in position]
            if not items:
                continue
            at = [position[item] for item in items]
            part = covariance[np.ix_(at, at)] / np.outer(scale[at], scale[at])
            roots, vectors = np.linalg.eigh(part)
            axis = vectors[:, -1] * np.sqrt(roots[-1]) * 0.85
            axis *= np.sign(axis[0]) or 1.0
            axis[0] = max(axis[0], 0.3)
            fixed = next((row.value for row in own if row.free < 0 and row.value != 0), 0.0)
            marked = items[0] if fixed else ""
            unit = axis[0] * scale[at[0]] / fixed if marked else 1.0
            sizes[factor] = unit**2
            for item, weight, size in zip(items, axis, scale[at], strict=True):
                axes[factor, item] = float(weight * size / unit)
        for row in rows:
            if row.free < 0:
                continue
            guess = 0.0
            if row.op == "=~":
                guess = axes.get((row.lhs, row.rhs), 1.0)
            elif row.op == "~~" and row.lhs == row.rhs:
                if row.lhs in position:
                    guess = 0.5 * covariance[position[row.lhs], position[row.lhs]]
                else:
                    guess = sizes.get(row.lhs, 0.5)
            elif row.op == "~1" and row.lhs in position:
                guess = mean[position[row.lhs]]
            values[row.free].append(float(guess))
    return np.array([np.mean(guesses) for guesses in values])


def scoring(terms: Callable[[Floats], Terms], theta: Floats) -> tuple[Floats, int]:
    """Minimise by Fisher scoring, and by a quasi-Newton method where that does not end.

    Parameters
    ----------
    terms : callable
        Takes parameters, returns the value, its slopes and the expected information.
    theta : ndarray of shape (q,)
        Where to start.

    Returns
    -------
    theta : ndarray of shape (q,)
        A point where a step would no longer change the parameters.
    steps : int

    Raises
    ------
    MethodError
        If the steps do not end, or end where the value has no minimum.
    """
    if not len(theta):
        return theta, 0
    found = _score(terms, theta)
    if found is None:
        found = _quasi_newton(terms, theta)
    if found is None:
        raise MethodError(
            "the model did not converge, so it has no estimates. Look for items that hardly vary "
            "or hardly correlate with their factor, for too few respondents, or for a model that "
            "the data do not identify."
        )
    return found


def _score(terms: Callable[[Floats], Terms], theta: Floats) -> tuple[Floats, int] | None:
    """Take damped and halved steps of Fisher scoring; None if they do not end."""
    value, slope, information = terms(theta)
    damping = 0.0
    for count in range(1, _MOST + 1):
        scale = _scale(information)
        scaled = information / np.outer(scale, scale)
        if damping == 0.0:
            roots = np.linalg.eigvalsh(scaled)
            damping = 1e-8 if roots[0] < 1e-12 * roots[-1] else 0.0
        step = -np.linalg.solve(scaled + damping * np.eye(len(theta)), slope / scale) / scale
        if -float(slope @ step) < _STILL:
            return theta, count
        for _ in range(30):
            there = theta + step
            found = terms(there)
            if found[0] <= value + 1e-12 * max(1.0, abs(value)):
                break
            step = step / 2
            damping = max(damping * 4, 1e-6)
        else:
            return None
        damping = damping / 4 if damping > 1e-10 else 0.0
        theta, (value, slope, information) = there, found
        if not np.abs(theta).max() < _HUGE:
            return None
    return None


def _quasi_newton(terms: Callable[[Floats], Terms], theta: Floats) -> tuple[Floats, int] | None:
    """Minimise by BFGS, then by Newton steps with second derivatives by differences."""
    information = terms(theta)[2]
    scale = _scale(information)

    def plain(at: Floats) -> tuple[float, Floats]:
        value, slope, _ = terms(at / scale)
        return (value, slope / scale) if np.isfinite(value) else (_HUGE, np.zeros_like(at))

    inverse = np.linalg.inv(information / np.outer(scale, scale) + 1e-3 * np.eye(len(theta)))
    options: Any = {"gtol": 1e-8, "maxiter": 10 * _MOST, "hess_inv0": (inverse + inverse.T) / 2}
    near = optimize.minimize(plain, theta * scale, jac=True, method="BFGS", options=options)
    here = np.asarray(near.x, dtype=np.float64)
    value = float(near.fun)
    for count in range(_MOST):
        if not np.abs(here).max() < _HUGE:
            return None
        bend = np.empty((len(here), len(here)))
        for k in range(len(here)):
            move = np.zeros_like(here)
            move[k] = _APART
            bend[k] = (plain(here + move)[1] - plain(here - move)[1]) / (2 * _APART)
        roots, axes = np.linalg.eigh((bend + bend.T) / 2)
        slope = plain(here)[1]
        if roots[0] <= 0:
            return None
        step = -axes @ ((axes.T @ slope) / roots)
        if -float(slope @ step) < _STILL:
            return here / scale, int(near.nit) + count
        there = plain(here + step)[0]
        if not there <= value + 1e-12 * max(1.0, abs(value)):
            return None
        here, value = here + step, there
    return None


def _scale(information: Floats) -> Floats:
    """Return what makes the parameters comparable: the root of their information."""
    own = np.diag(information)
    return np.sqrt(np.where(own > 0, own, 1.0))


def refuse_unidentified(table: ParameterTable, information: Floats, moments_known: int) -> None:
    """Raise if parameters can change together without changing the fit.

    Raises
    ------
    MethodError
        With the parameters by name.
    """
    if table.n_free > moments_known:
        raise MethodError(
            f"the model has {table.n_free} free parameters and the data only {moments_known} "
            "moments: fix or equate parameters, or add items."
        )
    scale = np.sqrt(np.diag(information))
    dead = np.flatnonzero(~(scale > 0))
    if len(dead):
        names = listing([repr(table.name_of(int(k))) for k in dead], 8)
        raise MethodError(f"the model is not identified: nothing depends on {names}.")
    roots, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    if len(roots) and roots[0] < _FLAT:
        moving = np.abs(vectors[:, 0]) / scale
        part = np.abs(vectors[:, 0]) > 0.1
        order = [int(k) for k in np.argsort(-moving) if part[k]]
        names = listing([repr(table.name_of(k)) for k in order], 8)
        raise MethodError(
            "the model is not identified: these parameters can change together without changing "
            f"the fit: {names}. Fix one of them, or add items or constraints."
        )
