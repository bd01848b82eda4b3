"""Standard errors of a standardised solution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lgpi_research.methods.latent.dwls import completed
from lgpi_research.methods.latent.model import group_models
from lgpi_research.methods.latent.solution import LatentFit
from lgpi_research.methods.latent.standardise import standardised

__all__ = ["standardised_errors"]

Floats = npt.NDArray[np.float64]

_STEP = 1e-5


def standardised_errors(fit: LatentFit) -> Floats:
    r"""Return standard errors of the estimates with all variables at variance 1.

    Parameters
    ----------
    fit : LatentFit
        A fitted model.

    Returns
    -------
    ndarray of shape (rows,)
        In the order of ``fit.table.rows``, without definitions. 0 where a value is the same
        whatever the free parameters are; NaN where a variance is not positive.

    Notes
    -----
    The delta method: with slopes :math:`g` of a standardised value in the free parameters,
    by central differences, and their covariances V, its variance is :math:`g'Vg`. A loading
    that is fixed at 1 to set a unit has an error here, as the unit is then another. The
    error supposes a value well within its limits.

    Examples
    --------
    >>> from lgpi_research.methods.latent.fit import fit_moments
    >>> load = np.array([0.8, 0.7, 0.6])
    >>> matrix = np.outer(load, load) + np.diag(1 - load**2)
    >>> fits = [
    ...     fit_moments("f =~ a + b + c", matrix, 100, ["a", "b", "c"], unit_factors=unit)
    ...     for unit in (False, True)
    ... ]
    >>> [standardised_errors(fit)[:3].round(3).tolist() for fit in fits]
    [[0.082, 0.083, 0.085], [0.082, 0.083, 0.085]]
    """
    table = fit.table
    fixed = np.array([row.value for row in table.rows])
    sampled = np.array([row.sampled for row in table.rows])
    fixed[sampled] = fit.estimates[: len(table.rows)][sampled]
    groups = np.array([row.group for row in table.rows])
    found = np.zeros(len(table.rows))
    for number, model in enumerate(group_models(table), 1):
        at = np.flatnonzero(groups == number)
        part = replace(table, rows=tuple(table.rows[i] for i in at))
        free = part.free_rows()

        def values(theta: Floats) -> Floats:
            state = model.state(theta)  # noqa: B023
            own = np.where(free >= 0, theta[free], fixed[at])  # noqa: B023
            states = [completed(state) if table.ordered else state] * number  # noqa: B023
            return standardised(part, own, states, everything=True)  # noqa: B023

        slopes = np.zeros((len(at), len(model.which)))
        for column, parameter in enumerate(model.which):
            step = _STEP * max(1.0, abs(float(fit.theta[parameter])))
            ends = []
            for sign in (1.0, -1.0):
                moved = fit.theta.copy()
                moved[parameter] += sign * step
                ends.append(values(moved))
            slopes[:, column] = (ends[0] - ends[1]) / (2 * step)
        own = fit.covariance[np.ix_(model.which, model.which)]
        variances = (slopes @ own * slopes).sum(axis=1)
        found[at] = np.sqrt(np.where(variances < 1e-16, 0.0, variances))
    return found
