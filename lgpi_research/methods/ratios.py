"""Ratios of fiscal autonomy: amounts of one budget in, one ratio out.

Every function takes arrays of equal shape in one currency, one price and one accounting
basis. A ratio is NaN where an amount is missing or its denominator is not positive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = [
    "RATIOS",
    "Ratio",
    "own_revenue_share",
    "self_financing",
    "tax_share",
    "transfer_dependence",
    "vertical_gap",
]


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, and NaN where the whole is not positive."""
    whole = np.asarray(whole, dtype=float)
    return np.asarray(part, dtype=float) / np.where(whole > 0, whole, np.nan)


def transfer_dependence(transfers: np.ndarray, revenue: np.ndarray) -> np.ndarray:
    """Return transfers received as a share of total revenue.

    Examples
    --------
    >>> transfer_dependence(np.array([30.0]), np.array([40.0]))
    array([0.75])
    """
    return _divide(transfers, revenue)


def own_revenue_share(own: np.ndarray, revenue: np.ndarray) -> np.ndarray:
    """Return own revenue (taxes, other current revenue, sales) as a share of total revenue.

    Examples
    --------
    >>> own_revenue_share(np.array([10.0]), np.array([40.0]))
    array([0.25])
    """
    return _divide(own, revenue)


def tax_share(taxes: np.ndarray, revenue: np.ndarray) -> np.ndarray:
    """Return own and shared taxes as a share of total revenue.

    Examples
    --------
    >>> tax_share(np.array([8.0]), np.array([40.0]))
    array([0.2])
    """
    return _divide(taxes, revenue)


def self_financing(own: np.ndarray, expenditure: np.ndarray) -> np.ndarray:
    """Return own revenue by expenditure; above 1 where more is raised than spent.

    Examples
    --------
    >>> self_financing(np.array([10.0, 10.0]), np.array([50.0, 0.0]))
    array([0.2, nan])
    """
    return _divide(own, expenditure)


def vertical_gap(own: np.ndarray, expenditure: np.ndarray) -> np.ndarray:
    """Return the share of expenditure that own revenue leaves uncovered.

    It is 1 less `self_financing`, so the two hold the same information.

    Examples
    --------
    >>> vertical_gap(np.array([10.0]), np.array([50.0]))
    array([0.8])
    """
    return 1.0 - self_financing(own, expenditure)


@dataclass(frozen=True)
class Ratio:
    """A ratio by name, with its definition and the two amounts it is made of."""

    label: str
    definition: str
    part: str
    whole: str
    function: Callable[[np.ndarray, np.ndarray], np.ndarray]


RATIOS = {
    "transfer_dependence": Ratio(
        "Transfer dependence",
        "transfers received / total revenue",
        "transfers",
        "revenue_total",
        transfer_dependence,
    ),
    "own_revenue_share": Ratio(
        "Own-revenue share",
        "own revenue / total revenue",
        "own_revenue",
        "revenue_total",
        own_revenue_share,
    ),
    "tax_share": Ratio(
        "Tax share", "tax revenue / total revenue", "own_tax", "revenue_total", tax_share
    ),
    "self_financing": Ratio(
        "Self-financing",
        "own revenue / expenditure",
        "own_revenue",
        "expenditure",
        self_financing,
    ),
    "vertical_gap": Ratio(
        "Vertical gap",
        "1 − own revenue / expenditure",
        "own_revenue",
        "expenditure",
        vertical_gap,
    ),
}
"""The ratios in reading order, by the name of their column."""
