"""Modification indices: how much the test would fall if one restriction were dropped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.errors import MethodError
from lgpi_research.methods.latent.model import GroupModel, group_models, place_of, slopes
from lgpi_research.methods.latent.normal import weigh
from lgpi_research.methods.latent.patterns import Likelihood, Sample, likelihood, sample_of_moments
from lgpi_research.methods.latent.solution import LatentFit
from lgpi_research.methods.latent.table import Parameter

__all__ = ["Modification", "modification_indices"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Modification:
    """A restriction, and what dropping it would change.

    Attributes
    ----------
    lhs, op, rhs : str
        The parameter.
    group : int
        From 1.
    equality : bool
        Whether it is now equal to one of another group; else it is fixed.
    index : float
        Expected fall of the statistic (score test with one degree of freedom).
    p_value : float
    change : float
        Expected change of the parameter.
    """

    lhs: str
    op: str
    rhs: str
    group: int
    equality: bool
    index: float
    p_value: float
    change: float


def modification_indices(fit: LatentFit) -> tuple[Modification, ...]:
    r"""Return score tests of loadings and covariances at 0, and of equalities over groups.

    Parameters
    ----------
    fit : LatentFit
        By maximum likelihood from complete answers or covariances.

    Returns
    -------
    tuple of Modification
        In falling order of the index. Left out are parameters whose change the others
        would undo.

    Raises
    ------
    MethodError
        If items are ordered.

    Notes
    -----
    With the slope s of the log-likelihood in the parameter and the information I it would
    add to that of the free ones, the index is :math:`s^2 / I`, the expected change
    :math:`s / I` (Sörbom 1989). Many indices are looked at: what is large by chance will
    be among them.

    Examples
    --------
    >>> from lgpi_research.methods.latent.fit import fit_moments
    >>> load = np.array([0.8, 0.7, 0.6, 0.5])
    >>> matrix = np.outer(load, load) + np.diag(1 - load**2)
    >>> matrix[0, 1] = matrix[1, 0] = 0.7
    >>> fit = fit_moments("f =~ a + b + c + d", matrix, 500, ["a", "b", "c", "d"])
    >>> top = modification_indices(fit)[0]
    >>> top.lhs, top.op, top.rhs in ("b", "d")
    ('a', '~~', True)
    """
    if fit.table.ordered:
        raise MethodError("modification indices of ordered items are not supported.")
    found = []
    total = sum(fit.n)
    for group, model in enumerate(group_models(fit.table), 1):
        state = fit.states[group - 1]
        sample = sample_of_moments(*_moments(fit, group))
        mean = state.mean if fit.table.means else sample.means[0]
        here = likelihood(sample, state.covariance, mean)
        rows = list(_candidates(fit, group))
        if not rows:
            continue
        order = {name: i for i, name in enumerate((*fit.table.observed, *fit.table.latent))}
        tried = slopes(state, [place_of(row, order) for row in rows])
        index, change = _score_tests(fit, model, sample, here, tried)
        share = fit.n[group - 1] / total
        for row, one, epc in zip(rows, index, change, strict=True):
            if np.isfinite(one):
                value = float(one * share * share * total)
                found.append(
                    Modification(
                        row.lhs,
                        row.op,
                        row.rhs,
                        group,
                        row.free >= 0,
                        value,
                        float(stats.chi2.sf(value, 1)),
                        float(epc * share),
                    )
                )
    return tuple(sorted(found, key=lambda one: -one.index))


def _moments(fit: LatentFit, group: int) -> tuple[Floats, int, Floats]:
    covariance, mean = fit.moments[group - 1]
    return covariance, fit.n[group - 1], mean


def _score_tests(
    fit: LatentFit,
    model: GroupModel,
    sample: Sample,
    here: Likelihood,
    tried: tuple[Floats, Floats],
) -> tuple[Floats, Floats]:
    """Return s²/I and s/I, of slopes in this group alone."""
    state = model.state(fit.theta)
    own = model.jacobian(state)
    q = len(own[0])
    both = [np.concatenate([a, b]) for a, b in zip(own, tried, strict=True)]
    whole = weigh(sample, here.inverses, both[0], both[1] if fit.table.means else None)
    share = sample.n / sum(fit.n)
    cross = np.zeros((fit.table.n_free, len(tried[0])))
    cross[model.which] = share * whole[:q, q:]
    slope = -(tried[0].reshape(len(tried[0]), -1) @ here.covariance.reshape(-1))
    if fit.table.means:
        slope = slope - tried[1] @ here.mean
    alone = share * np.diag(whole)[q:]
    left = alone - np.einsum("ij,ij->j", cross, np.linalg.solve(fit.information, cross))
    left = np.where(left > 1e-8 * alone, left, np.nan)
    return slope**2 / left, slope / left


def _candidates(fit: LatentFit, group: int) -> Iterator[Parameter]:
    """Yield loadings and covariances that are fixed or absent, and equal parameters."""
    table = fit.table
    free = list(table.free_rows())
    rows = [row for row in table.rows if row.group == group]
    said = {(row.lhs, row.op, row.rhs): row for row in rows}
    for row in rows:
        if row.free >= 0 and free.count(row.free) > 1:
            yield row

    def absent(lhs: str, op: str, rhs: str) -> Iterator[Parameter]:
        row = said.get((lhs, op, rhs)) or (said.get((rhs, op, lhs)) if op == "~~" else None)
        if row is None:
            yield Parameter(lhs, op, rhs, group, "", 0.0, -1)
        elif row.free < 0 and not row.sampled and row.value == 0:
            yield row

    for factor in table.latent:
        for item in table.observed:
            if item not in table.causes:
                yield from absent(factor, "=~", item)
    for family in (table.observed, table.latent):
        for i, one in enumerate(family):
            for other in family[i + 1 :]:
                if one not in table.causes and other not in table.causes:
                    yield from absent(one, "~~", other)
