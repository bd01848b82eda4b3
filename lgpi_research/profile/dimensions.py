"""How many dimensions answers have, from shared moments."""

from __future__ import annotations

from lgpi_research.dimensions import Dimensionality, assess_dimensions
from lgpi_research.profile.common import Tables, take_moments

__all__ = ["describe_dimensions"]


def describe_dimensions(
    tables: Tables,
    *,
    table: str,
    correlation: str = "pearson",
    by: str = "",
    method: str = "minres",
    rotation: str = "oblimin",
    seed: int | None = None,
) -> Dimensionality:
    """Describe how many dimensions the scales of a moment file have.

    Parameters
    ----------
    tables : mapping of str to DataFrame or Moments
        Data by name.
    table : str
        The name of moments.
    correlation : str, default "pearson"
        Or "polychoric", of moments that hold pair counts.
    by : str, optional
        ``"stratum"`` or ``"place"`` of the moments: groups shown beside the whole.
    method, rotation : str
        As in `lgpi_research.dimensions.assess_dimensions`.
    seed : int or None
        Seed of parallel analysis.

    Returns
    -------
    Dimensionality

    Raises
    ------
    SpecError
        If there are no moments of that name.
    SpecError, DataError
        As `assess_dimensions`.
    """
    return assess_dimensions(
        take_moments(tables, table, "dimensions"),
        by=by or None,
        correlation=correlation,
        method=method,
        rotation=rotation,
        seed=seed,
    )
