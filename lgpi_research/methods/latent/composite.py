"""Composites: how much of the sum of a factor's items is the factor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lgpi_research.methods.latent.solution import LatentFit

__all__ = ["Composite", "composites"]


@dataclass(frozen=True)
class Composite:
    """The items of a factor, summed.

    Attributes
    ----------
    factor : str
    group : int
        From 1.
    items : tuple of str
        Observed variables that measure the factor.
    reliability : float
        Share of the variance of their sum that the factor explains.
    average_variance : float
        Mean share of the variance of one item that the factor explains.
    opposed : tuple of str
        Items whose loading has another sign than most; sums should not hold them so.
    """

    factor: str
    group: int
    items: tuple[str, ...]
    reliability: float
    average_variance: float
    opposed: tuple[str, ...]


def composites(fit: LatentFit) -> tuple[Composite, ...]:
    r"""Return composite reliability and average variance extracted of each factor.

    Parameters
    ----------
    fit : LatentFit
        A fitted model.

    Returns
    -------
    tuple of Composite
        Factors of two observed variables or more, group after group.

    Notes
    -----
    With loadings :math:`\lambda`, the variance :math:`\varphi` of the factor and implied
    covariances :math:`\Sigma` of its items, reliability is
    :math:`(1'\lambda)^2\varphi / 1'\Sigma 1` and the average variance extracted the mean of
    :math:`\lambda_i^2\varphi / \sigma_{ii}` [1]_. What other factors and correlated residuals
    add to the sum counts as error. For ordered items the sum is that of the variables
    behind the answers, which nobody observes: it is no reliability of a sum of answers.

    References
    ----------
    .. [1] Fornell, C., and Larcker, D. F. (1981). Evaluating structural equation models with
       unobservable variables and measurement error. *Journal of Marketing Research*, 18,
       39-50.

    Examples
    --------
    >>> from lgpi_research.methods.latent.fit import fit_moments
    >>> load = np.array([0.8, 0.7, 0.6, 0.5])
    >>> matrix = np.outer(load, load) + np.diag(1 - load**2)
    >>> found = composites(fit_moments("f =~ a + b + c + d", matrix, 100, list("abcd")))[0]
    >>> round(found.reliability, 6), round(found.average_variance, 6)
    (0.749446, 0.435)
    """
    table = fit.table
    p = len(table.observed)
    found = []
    for group, state in enumerate(fit.states, 1):
        for number, factor in enumerate(table.latent, p):
            items = np.array(
                [
                    table.observed.index(row.rhs)
                    for row in table.rows
                    if (row.lhs, row.op, row.group) == (factor, "=~", group)
                    and row.rhs in table.observed
                ],
                dtype=np.intp,
            )
            if len(items) < 2:
                continue
            loadings = state.paths[items, number]
            explained = loadings * np.sqrt(max(float(state.everywhere[number, number]), 0.0))
            whole = state.covariance[np.ix_(items, items)]
            most = 1.0 if loadings.sum() >= 0 else -1.0
            found.append(
                Composite(
                    factor,
                    group,
                    tuple(table.observed[i] for i in items),
                    float(explained.sum() ** 2 / whole.sum()),
                    float(np.mean(explained**2 / np.diag(whole))),
                    tuple(table.observed[i] for i in items[loadings * most < 0]),
                )
            )
    return tuple(found)
