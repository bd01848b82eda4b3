"""Standardised solutions: in units of the factors, or of all variables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lgpi_research.methods.latent.model import State
from lgpi_research.methods.latent.table import ParameterTable

__all__ = ["explained_variance", "standardised"]

Floats = npt.NDArray[np.float64]


def standardised(
    table: ParameterTable, values: Floats, states: Sequence[State], *, everything: bool
) -> Floats:
    """Return estimates after factors, or all variables, are scaled to variance 1.

    Parameters
    ----------
    table : ParameterTable
        The model.
    values : ndarray of shape (rows,)
        Its estimates.
    states : sequence of State
        One a group, at the estimates.
    everything : bool
        Scale observed variables too.

    Returns
    -------
    ndarray of shape (rows,)
        Covariances of residuals become their correlations. NaN where a variance is not
        positive.

    Notes
    -----
    A path to y from x is multiplied by the ratio of the standard deviations of x and y;
    an intercept is divided by that of y.
    """
    order = {name: i for i, name in enumerate((*table.observed, *table.latent))}
    scaled = np.ones(len(order), dtype=bool)
    if not everything:
        scaled[: len(table.observed)] = False
    found = np.empty(len(values))
    for number, row in enumerate(table.rows):
        state = states[row.group - 1]

        def size(name: str, matrix: Floats) -> float:
            i = order[name]
            if not scaled[i]:
                return 1.0
            return float(np.sqrt(matrix[i, i])) if matrix[i, i] > 0 else float("nan")

        everywhere = state.everywhere
        if row.op == "=~":
            factor = size(row.lhs, everywhere) / size(row.rhs, everywhere)
        elif row.op == "~":
            factor = size(row.rhs, everywhere) / size(row.lhs, everywhere)
        elif row.op == "~1":
            factor = 1 / size(row.lhs, everywhere)
        elif row.lhs == row.rhs:
            factor = 1 / size(row.lhs, everywhere) ** 2
        else:
            factor = 1 / (size(row.lhs, state.residuals) * size(row.rhs, state.residuals))
        found[number] = values[number] * factor
    return found


def explained_variance(table: ParameterTable, state: State) -> dict[str, float]:
    """Return the share of each dependent variable's variance that the model explains.

    Parameters
    ----------
    table : ParameterTable
        The model.
    state : State
        One group at the estimates.

    Returns
    -------
    dict of str to float
        Variables in the order observed, latent.
    """
    names = (*table.observed, *table.latent)
    reached = np.abs(state.paths).sum(axis=1) > 0
    return {
        name: 1 - float(state.residuals[i, i] / state.everywhere[i, i])
        for i, name in enumerate(names)
        if reached[i]
    }
