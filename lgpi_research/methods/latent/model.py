r"""What a model implies: covariances, means and their slopes in every parameter.

All variables, observed before latent, obey :math:`v = \alpha + A v + e` with residual
covariances S, so :math:`\Sigma = F B S B' F'` and :math:`\mu = F B \alpha` with
:math:`B = (I - A)^{-1}`, F taking the observed ones (McArdle and McDonald 1984).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lgpi_research.methods.latent.table import Parameter, ParameterTable

__all__ = ["GroupModel", "State", "group_models", "slopes"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class State:
    """A model of one group at some parameters; p observed of m variables.

    Attributes
    ----------
    paths, residuals, constants : ndarray of shape (m, m), (m, m), (m,)
        A, S and α.
    total : ndarray of shape (p, m)
        Effect of a change of each variable on each observed one, F B.
    everywhere : ndarray of shape (m, m)
        Covariances of all variables, B S B'.
    centre : ndarray of shape (m,)
        Means of all variables, B α.
    """

    paths: Floats
    residuals: Floats
    constants: Floats
    total: Floats
    everywhere: Floats
    centre: Floats

    @property
    def covariance(self) -> Floats:
        """Implied covariances of the observed variables, shape (p, p)."""
        p = len(self.total)
        return self.everywhere[:p, :p]

    @property
    def mean(self) -> Floats:
        """Implied means of the observed variables, shape (p,)."""
        return self.centre[: len(self.total)]


@dataclass(frozen=True, eq=False)
class GroupModel:
    """Where the parameters of one group stand.

    Attributes
    ----------
    places : tuple of (str, int, int)
        Matrix ("A", "S" or "M"), row and column of each parameter.
    free : ndarray of int of shape (r,)
        Its number among the free parameters, −1 if fixed.
    fixed : ndarray of shape (r,)
        Its value if fixed.
    which : ndarray of int of shape (q,)
        The free parameters of this group.
    p, m : int
        Numbers of observed and of all variables.
    """

    places: tuple[tuple[str, int, int], ...]
    free: Ints
    fixed: Floats
    which: Ints
    p: int
    m: int

    def state(self, theta: Floats) -> State:
        """Return the matrices at the free parameters `theta`."""
        a, s, c = np.zeros((self.m, self.m)), np.zeros((self.m, self.m)), np.zeros(self.m)
        values = np.where(self.free >= 0, theta[self.free], self.fixed)
        for (kind, i, j), value in zip(self.places, values, strict=True):
            if kind == "A":
                a[i, j] = value
            elif kind == "S":
                s[i, j] = s[j, i] = value
            else:
                c[i] = value
        inverse: Floats = np.asarray(np.linalg.inv(np.eye(self.m) - a), dtype=np.float64)
        everywhere = inverse @ s @ inverse.T
        everywhere = (everywhere + everywhere.T) / 2
        return State(a, s, c, inverse[: self.p], everywhere, inverse @ c)

    def jacobian(self, state: State) -> tuple[Floats, Floats]:
        """Return slopes of covariances and means, shapes (q, p, p) and (q, p)."""
        free = np.flatnonzero(self.free >= 0)
        by_row = slopes(state, [self.places[row] for row in free])
        numbers = np.searchsorted(self.which, self.free[free])
        if len(free) == len(self.which) and (numbers == np.arange(len(free))).all():
            return by_row
        covariance = np.zeros((len(self.which), self.p, self.p))
        mean = np.zeros((len(self.which), self.p))
        np.add.at(covariance, numbers, by_row[0])
        np.add.at(mean, numbers, by_row[1])
        return covariance, mean


def slopes(state: State, places: Sequence[tuple[str, int, int]]) -> tuple[Floats, Floats]:
    """Return slopes of implied covariances and means in entries of A, S and α.

    Parameters
    ----------
    state : State
        Of p observed variables.
    places : sequence of (str, int, int)
        q entries: matrix, row, column.

    Returns
    -------
    covariance, mean : ndarray of shape (q, p, p) and (q, p)
    """
    p = len(state.total)
    kinds = np.array([kind for kind, _, _ in places])
    i = np.array([row for _, row, _ in places], dtype=np.intp)
    j = np.array([column for _, _, column in places], dtype=np.intp)
    left = state.total[:, i].T
    right = np.where((kinds == "A")[:, None], state.everywhere[:p][:, j].T, state.total[:, j].T)
    right = np.where((kinds == "M")[:, None], 0.0, right)
    covariance = left[:, :, None] * right[:, None, :]
    covariance = covariance + covariance.transpose(0, 2, 1)
    covariance[(kinds == "S") & (i == j)] /= 2
    weight = np.where(kinds == "A", state.centre[j], np.where(kinds == "M", 1.0, 0.0))
    return covariance, left * weight[:, None]


def place_of(row: Parameter, order: dict[str, int]) -> tuple[str, int, int]:
    """Return the matrix, row and column of a parameter."""
    if row.op == "=~":
        return "A", order[row.rhs], order[row.lhs]
    if row.op == "~":
        return "A", order[row.lhs], order[row.rhs]
    if row.op == "~~":
        return "S", order[row.lhs], order[row.rhs]
    return "M", order[row.lhs], 0


def group_models(table: ParameterTable) -> tuple[GroupModel, ...]:
    """Return where the parameters of each group stand."""
    order = {name: i for i, name in enumerate((*table.observed, *table.latent))}
    models = []
    for group in range(1, table.n_groups + 1):
        rows = [row for row in table.rows if row.group == group]
        free = np.array([row.free for row in rows], dtype=np.intp)
        models.append(
            GroupModel(
                tuple(place_of(row, order) for row in rows),
                free,
                np.array([row.value for row in rows]),
                np.unique(free[free >= 0]),
                len(table.observed),
                len(order),
            )
        )
    return tuple(models)
