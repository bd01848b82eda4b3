"""Files of moments: what they hold, and whether they hold it still."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.blocks import digest
from lgpi_research.errors import DataError, Problems, listing
from lgpi_research.results import plain, read_parquet, write_parquet
from lgpi_research.scales import Scale

__all__ = ["FIELDS", "read_fields", "write_fields"]

FIELDS = ("psus", "scales", "centre", "sums", "dropped", "lonely", "notes")
"""The fields of Moments, which a file holds."""

PSUS = ["psu", "stratum", "place"]


def write_fields(path: str | Path, fields: Mapping[str, Any], told: Mapping[str, Any]) -> Path:
    """Write the fields of moments, and what else is told of them, as one Parquet file.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    description = {
        "kind": "moments",
        "scales": [asdict(scale) for scale in fields["scales"]],
        "centre": fields["centre"],
        "lonely": fields["lonely"],
        **told,
        "notes": list(fields["notes"]),
        "content": _content(fields),
    }
    description["seal"] = _seal(plain(description))
    arrays = {name: fields[name] for name in ("sums", "dropped")}
    return write_parquet(path, fields["psus"], description, arrays)


def read_fields(path: str | Path) -> dict[str, Any]:
    """Read the fields of moments that `write_fields` wrote.

    Raises
    ------
    DataError
        If the file is missing, damaged, of another format, or holds something else.
    """
    psus, told, arrays = read_parquet(path, ("moments",))
    name = Path(path).name
    try:
        fields = {
            "psus": psus,
            "scales": tuple(_scale(scale) for scale in told["scales"]),
            "centre": np.asarray(told["centre"], dtype=np.float64),
            "sums": arrays["sums"],
            "dropped": arrays["dropped"],
            "lonely": told["lonely"],
            "notes": tuple(told["notes"]),
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{name} is damaged: it does not say what it holds ({type(error).__name__}: {error}). "
            "Save the moments again."
        ) from error
    problems = Problems(f"{name}, which is damaged; save the moments again")
    problems.extend(_flaws(fields))
    if not problems.items and told.get("content") != _content(fields):
        problems.add("its numbers are not those that were written.")
    if not problems.items and told.get("seal", _seal(told)) != _seal(told):
        problems.add("its scales or notes are not those that were written.")
    problems.raise_any(DataError)
    return fields


def _scale(told: Mapping[str, Any]) -> Scale:
    words: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
    return Scale(**words)


def _content(fields: Mapping[str, Any]) -> str:
    """Return the SHA-256 of PSUs and sums, whatever later versions know of scales."""
    return digest(*(fields[name] for name in ("psus", "centre", "sums", "dropped", "lonely")))


def _seal(told: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a description, as the file has it; older files do not say theirs."""
    return digest({key: told[key] for key in told if key not in ("format", "seal")})


def _flaws(fields: Mapping[str, Any]) -> list[str]:
    """Say how the fields contradict each other."""
    psus: pd.DataFrame = fields["psus"]
    scales: tuple[Scale, ...] = fields["scales"]
    wanted = {
        "sums": (len(psus), sum(scale.width for scale in scales)),
        "dropped": (len(psus), len(scales)),
        "centre": (sum(len(scale.items) for scale in scales),),
    }
    flaws = [
        f"{name} has shape {fields[name].shape}, and its scales and PSUs need {shape}."
        for name, shape in wanted.items()
        if fields[name].shape != shape
    ]
    if list(psus.columns) != PSUS:
        return [*flaws, f"columns are {listing(psus.columns)}, not {', '.join(PSUS)}."]
    twice = psus["psu"][psus["psu"].duplicated()]
    if len(twice):
        flaws.append(f"{len(twice)} PSUs occur twice: {listing(twice)}.")
    if fields["sums"].dtype != np.float64 or fields["dropped"].dtype != np.int64:
        kinds = ", ".join(f"{name} {fields[name].dtype}" for name in ("sums", "dropped"))
        return [*flaws, f"sums must be float64 and dropped int64, got {kinds}."]
    if not (np.isfinite(fields["sums"]).all() and np.isfinite(fields["centre"]).all()):
        flaws.append("some sums are missing or infinite.")
    return flaws
