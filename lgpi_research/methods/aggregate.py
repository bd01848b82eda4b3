"""Aggregators: normalised indicators and their weights into one score.

``x`` has shape (…, n, k) and ``weights`` (…, k); leading axes are draws. Weights are
not negative and sum to 1 over the last axis.
"""

from __future__ import annotations

import numpy as np

from lgpi_research.errors import MethodError
from lgpi_research.registry import aggregator

__all__ = ["arithmetic", "geometric"]


def _identity(x: np.ndarray) -> np.ndarray:
    return x


def _log(x: np.ndarray) -> np.ndarray:
    bad = ~(x > 0)
    if bad.any():
        raise MethodError(
            f"a geometric mean needs positive values; {int(bad.sum())} of {x.size} normalised "
            "values are zero, negative or missing. Normalise above zero (minmax with floor, "
            "rank) or use the arithmetic mean."
        )
    return np.asarray(np.log(x))


@aggregator("arithmetic", link=(_identity, _identity))
def arithmetic(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    r"""Return the weighted arithmetic mean :math:`\sum_q w_q x_q` over the last axis.

    Parameters
    ----------
    x : ndarray of shape (…, n, k)
        Normalised values.
    weights : ndarray of shape (…, k)
        Weights that sum to 1.

    Returns
    -------
    ndarray of shape (…, n)

    Notes
    -----
    Fully compensatory: a deficit in one indicator is made good by a surplus in
    another at the ratio of their weights [1]_.

    References
    ----------
    .. [1] OECD and Joint Research Centre (2008). *Handbook on Constructing Composite
       Indicators: Methodology and User Guide*, p. 103. OECD Publishing.

    Examples
    --------
    >>> arithmetic(np.array([[1.0, 3.0]]), np.array([0.5, 0.5]))
    array([2.])
    """
    return np.asarray(np.einsum("...nk,...k->...n", x, weights))


@aggregator("geometric", link=(_log, np.exp))
def geometric(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    r"""Return the weighted geometric mean :math:`\prod_q x_q^{w_q}` over the last axis.

    Parameters
    ----------
    x : ndarray of shape (…, n, k)
        Normalised values, all positive.
    weights : ndarray of shape (…, k)
        Weights that sum to 1.

    Returns
    -------
    ndarray of shape (…, n)

    Raises
    ------
    MethodError
        If a value is zero, negative or missing; the message counts them.

    Notes
    -----
    Partly compensatory: a unit gains most where it is weakest [1]_.

    References
    ----------
    .. [1] OECD and Joint Research Centre (2008). *Handbook on Constructing Composite
       Indicators: Methodology and User Guide*, p. 104. OECD Publishing.

    Examples
    --------
    The handbook's two units with the same arithmetic mean:

    >>> geometric(np.array([[21.0, 1, 1, 1], [6.0, 6, 6, 6]]), np.full(4, 0.25)).round(2)
    array([2.14, 6.  ])
    """
    return np.asarray(np.exp(np.einsum("...nk,...k->...n", _log(x), weights)))
