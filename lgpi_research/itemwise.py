"""Items of scales: how each fits, what each adds, and how the scores of scales go together."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lgpi_research.coefficients import (
    consistent_scales,
    dimension_of,
    jackknife_t,
    replicate_coefficients,
)
from lgpi_research.errors import MethodError, listing
from lgpi_research.methods.attenuation import correlation_of_sums, disattenuate
from lgpi_research.methods.consistency import Spread, alpha, drop_one, item_rest_r
from lgpi_research.methods.formative import variance_inflation, variance_shares
from lgpi_research.methods.incomplete import pairwise_problem
from lgpi_research.methods.polychoric import polychoric
from lgpi_research.moments import Moments, Scale
from lgpi_research.survey import Survey, scales_of

__all__ = [
    "dimension_correlations",
    "formative_rows",
    "item_rows",
    "pair_tables",
    "scale_notes",
]

Floats = npt.NDArray[np.float64]

_FEW = 50  # clusters below which the percentile bootstrap is said to be too short
_UNEVEN = 10.0  # ratio of standard deviations from which a plain sum is one item's
_INFLATED = 5.0  # variance inflation from which indicators are said to repeat one another


def item_rows(moments: Moments) -> tuple[list[dict[str, Any]], list[str]]:
    """Return how each item fits its scale, and notes on those that do not."""
    rows: list[dict[str, Any]] = []
    notes = []
    for scale, matrix in _matrices(moments):
        rest = item_rest_r(matrix)
        k = len(scale.items)
        dropped = alpha(Spread.from_covariance(drop_one(matrix))) if k > 2 else np.full(k, np.nan)
        rows.extend(
            {
                "dimension": scale.name,
                "indicator": item,
                "std_dev": math.sqrt(matrix[i, i]),
                "item_rest_r": float(rest[i]),
                "alpha_if_dropped": float(dropped[i]),
            }
            for i, item in enumerate(scale.items)
        )
        against = [f"{item} ({r:.2f})" for item, r in zip(scale.items, rest, strict=True) if r < 0]
        if against:
            notes.append(
                f"{scale.name}: {listing(against)} correlate negatively with the sum of the other "
                "items. See if the codebook has their direction right."
            )
        sizes = np.sqrt(np.diagonal(matrix))
        if sizes.max() > _UNEVEN * sizes.min():
            notes.append(
                f"{scale.name}: the items' standard deviations differ by a factor of "
                f"{sizes.max() / sizes.min():.0f}, so that alpha and omega of their plain sum are "
                "those of few items; standardised_alpha and omega_total weigh them equally."
            )
    return rows, notes


def formative_rows(moments: Moments) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what each indicator of a formative scale adds to it, and shares with the others."""
    rows: list[dict[str, Any]] = []
    notes = []
    for scale, matrix in _matrices(moments):
        if scale.measurement != "formative":
            continue
        shares = variance_shares(matrix)
        try:
            inflation = variance_inflation(matrix)
        except MethodError as error:
            notes.append(f"{scale.name}: variance inflation is left out: {error}")
            inflation = np.full(len(scale.items), np.nan)
        rows.extend(
            {
                "dimension": scale.name,
                "indicator": item,
                "variance_share": float(shares[i]),
                "variance_inflation": float(inflation[i]),
            }
            for i, item in enumerate(scale.items)
        )
        mute = [
            f"{item} ({share:.2f})"
            for item, share in zip(scale.items, shares, strict=True)
            if share <= 0
        ]
        if mute:
            notes.append(
                f"{scale.name}: {listing(mute)} take no part in the variance of the standardised "
                "sum: their weight is one in name only."
            )
        repeated = [
            f"{item} ({value:.1f})"
            for item, value in zip(scale.items, inflation, strict=True)
            if value > _INFLATED
        ]
        if repeated:
            notes.append(
                f"{scale.name}: {listing(repeated)} have a variance inflation above "
                f"{_INFLATED:g}: they count what other indicators count already."
            )
    return rows, notes


def scale_notes(moments: Moments) -> list[str]:
    """Return what a reader must know of the scales as they are."""
    notes = []
    for scale in consistent_scales(moments):
        name = dimension_of(scale.name)
        lost = moments.n_dropped(scale.name)
        if lost:
            total = lost + moments.n_used(scale.name)
            why = "an item is missing" if scale.missing == "listwise" else "every item is missing"
            notes.append(f"{name}: {lost} of {total} respondents set aside because {why}.")
        if scale.measurement == "formative":
            notes.append(
                f"{name} is formative: its items make it up and need not agree, so internal "
                "consistency is no evidence for or against it. See what each item adds "
                "(formative()), the reliability of units, and stability over time."
            )
        clusters = int(moments.has_answers(scale.name).sum())
        if clusters < _FEW:
            notes.append(
                f"{name}: with {clusters} clusters the percentile bootstrap is too short; "
                "prefer the jackknife-t interval."
            )
        if scale.missing == "pairwise" and scale.needs == "covariance":
            notes.extend(_indefinite(moments, scale))
    return notes


def _indefinite(moments: Moments, scale: Scale) -> list[str]:
    """Say if pairwise covariances are those of no variables."""
    matrix = moments.spread(scale.name).covariance
    if matrix is None or not np.isfinite(matrix).all():
        return []
    problem = pairwise_problem(matrix, scale.items)
    return [] if problem is None else [f"{scale.name}: {problem}"]


def _matrices(moments: Moments) -> list[tuple[Scale, Floats]]:
    """Return the scales whose covariances were kept, with these."""
    found = []
    for scale in consistent_scales(moments):
        if scale.needs == "covariance":
            matrix = moments.spread(scale.name).covariance
            if matrix is not None:
                found.append((scale, matrix))
    return found


def pair_tables(moments: Moments) -> dict[str, dict[str, Any]]:
    """Return the polychoric correlations of the scales that hold pair counts, by dimension."""
    found = {}
    for scale in consistent_scales(moments):
        if scale.needs != "pair counts":
            continue
        fit = polychoric(moments.pair_counts(scale.name))
        found[dimension_of(scale.name)] = {
            "items": list(scale.items),
            "correlation": fit.correlation.tolist(),
            "empty_cells": fit.empty_cells.tolist(),
            "smallest_root": float(fit.smallest_root),
        }
    return found


@dataclass(frozen=True, eq=False)
class _Corrected:
    """The correlation of two sums of items, corrected for their alphas, from a spread."""

    first: npt.NDArray[np.intp]
    second: npt.NDArray[np.intp]
    correct: bool

    def __call__(self, spread: Spread) -> Floats:
        matrix = spread.covariance
        assert matrix is not None  # noqa: S101 - the scale holds covariances
        members = np.zeros((spread.n_items, 2))
        members[self.first, 0] = members[self.second, 1] = 1.0
        observed = correlation_of_sums(matrix, members)
        if not self.correct:
            return np.asarray(observed[..., 0, 1])
        alphas = [
            alpha(Spread.from_covariance(matrix[..., part[:, None], part]))
            for part in (self.first, self.second)
        ]
        return np.asarray(disattenuate(observed, np.stack(alphas, axis=-1))[..., 0, 1])


def dimension_correlations(
    survey: Survey, *, missing: str, level: float, n_jobs: int | None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return how the scores of the dimensions correlate, as observed and free of error.

    Parameters
    ----------
    survey : Survey
        With two or more dimensions of two items.
    missing : {"listwise", "pairwise"}
        Which answers count, over the items of all dimensions.
    level : float
        Level of the jackknife intervals.
    n_jobs : int or None
        Workers.

    Returns
    -------
    rows : list of dict
        Of each pair: ``first``, ``second``, ``observed`` and ``corrected`` with their
        ``std_error`` and ends, ``n_used``.
    notes : list of str
    """
    scales = scales_of(survey.codebook, "covariance", missing)
    if len(scales) < 2:
        return [], []
    items = tuple(item for scale in scales for item in scale.items)
    reverse = tuple(item for scale in scales for item in scale.reverse)
    whole = replace(scales[0], name="all dimensions", items=items, reverse=reverse)
    moments = Moments.from_answers(
        survey.values,
        psu=survey.roles["psu"],
        stratum=survey.roles.get("stratum"),
        weight=survey.roles.get("weight"),
        scales=[whole],
        lonely=survey.design.lonely,
        where=survey.where,
    )
    if moments.n_least() < 2:
        return [], [
            f"dimensions are not correlated: {moments.n_least()} respondents answered the items of "
            "all of them."
        ]
    at = {scale.name: np.array([items.index(item) for item in scale.items]) for scale in scales}
    names = [scale.name for scale in scales]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    rows, notes = [], []
    spread = moments.spread()
    for first, second in pairs:
        found: dict[str, Any] = {"first": first, "second": second, "n_used": moments.n_used()}
        for label, correct in (("observed", False), ("corrected", True)):
            function = _Corrected(at[first], at[second], correct)
            try:
                estimate = float(function(spread))
            except MethodError as error:
                notes.append(f"{first} and {second}: no corrected correlation: {error}")
                estimate, ends = math.nan, (math.nan,) * 4
            else:
                key = (whole.name, label)
                made = replicate_coefficients(
                    moments, {key: function}, kind="jackknife", n_jobs=n_jobs
                )[key]
                ends = jackknife_t(moments, whole.name, estimate, made, level, logs=False)
            found |= {
                label: estimate,
                f"{label}_std_error": ends[0],
                f"{label}_ci_low": ends[1],
                f"{label}_ci_high": ends[2],
            }
        if found["corrected"] > 1:
            notes.append(
                f"{first} and {second}: the corrected correlation is {found['corrected']:.2f}, "
                "above 1: their alphas are too low, their errors go together, or they are one "
                "dimension."
            )
        rows.append(found)
    return rows, notes
