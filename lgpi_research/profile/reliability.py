"""How reliable answers are, and the places they make up, from shared moments."""

from __future__ import annotations

from collections.abc import Sequence

from lgpi_research.profile.common import Tables, take_moments
from lgpi_research.reliability import Reliability, assess_reliability

__all__ = ["describe_reliability"]


def describe_reliability(
    tables: Tables,
    *,
    table: str,
    coefficients: Sequence[str] = ("alpha", "omega"),
    by: str = "",
    interval: str = "jackknife",
    seed: int | None = None,
    n_jobs: int | None = None,
) -> Reliability:
    """Describe the reliability of the scales of a moment file, and of its places.

    Parameters
    ----------
    tables : mapping of str to DataFrame or Moments
        Data by name.
    table : str
        The name of moments.
    coefficients : sequence of str, default ("alpha", "omega")
        Coefficients by name.
    by : str, optional
        ``"stratum"`` or ``"place"`` of the moments: groups shown beside the whole.
    interval : str, default "jackknife"
        Interval that is shown.
    seed, n_jobs : int or None
        As in `lgpi_research.reliability.assess_reliability`.

    Returns
    -------
    Reliability

    Raises
    ------
    SpecError
        If there are no moments of that name.
    SpecError, DataError, MethodError
        As `assess_reliability`.
    """
    return assess_reliability(
        take_moments(tables, table, "reliability"),
        coefficients=coefficients,
        by=by or None,
        interval=interval,
        seed=seed,
        n_jobs=n_jobs,
    )
