"""What many groups have in common, and how they differ on it, from shared moments."""

from __future__ import annotations

from lgpi_research.alignment import AlignedScales, assess_alignment
from lgpi_research.profile.common import Tables, take_moments

__all__ = ["describe_alignment"]


def describe_alignment(
    tables: Tables, *, table: str, by: str = "stratum", reference: str = "", errors: str = "design"
) -> AlignedScales:
    """Describe the groups of a moment file by their aligned factor means.

    Parameters
    ----------
    tables : mapping of str to DataFrame or Moments
        Data by name.
    table : str
        The name of moments.
    by : str, default "stratum"
        Or "place".
    reference : str, optional
        Group whose factor has mean 0; the first if empty.
    errors : str, default "design"
        As in `lgpi_research.alignment.assess_alignment`.

    Returns
    -------
    AlignedScales

    Raises
    ------
    SpecError
        If there are no moments of that name.
    SpecError, DataError, MethodError
        As `assess_alignment`.
    """
    return assess_alignment(
        take_moments(tables, table, "alignment"), by, reference=reference or None, errors=errors
    )
