"""Steps of measurement invariance: their fit compared, their verdicts, and what they tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from lgpi_research.errors import MethodError
from lgpi_research.latent_answers import ModelAnswers
from lgpi_research.methods.latent.modification import modification_indices
from lgpi_research.methods.latent.solution import LatentFit, compare_fits
from lgpi_research.methods.latent.syntax import ModelSyntax
from lgpi_research.model_fit import measures_of

__all__ = ["compare_steps", "largest_releases", "latent_means", "loose_factors", "verdict"]

LEVELS = {"loadings": "metric", "intercepts": "scalar", "residuals": "residual"}

MANY_GROUPS = 10
"""Groups from which the guides for many groups are used."""

FIT = {"cfi": 0.90, "rmsea": 0.08, "srmr": 0.08}
"""What the model without equalities should reach: CFI at least, the others at most."""

GUIDES: dict[str, dict[str, dict[str, float]]] = {
    "few": {
        "metric": {"cfi": -0.010, "rmsea": 0.015, "srmr": 0.030},
        "scalar": {"cfi": -0.010, "rmsea": 0.015, "srmr": 0.010},
        "residual": {"cfi": -0.010, "rmsea": 0.015, "srmr": 0.010},
    },
    "many": {
        "metric": {"cfi": -0.020, "rmsea": 0.030},
        "scalar": {"cfi": -0.010, "rmsea": 0.010},
        "residual": {"cfi": -0.010, "rmsea": 0.010},
    },
}
"""Changes up to which equality is said to hold, for few and for many groups."""

CHANCE = 0.05
"""p-value above which chance explains a change of fit."""

HOLDS, DOUBT, FAILS = "holds", "in doubt", "fails"
UNKNOWN = "cannot be judged"

_LARGEST = 10  # releases of each step that are kept


def compare_steps(fits: Mapping[str, LatentFit], kind: str) -> tuple[pd.DataFrame, str, list[str]]:
    """Return the steps with their verdicts, the form of the measures, and notes."""
    measures = {name: measures_of(fit.measures) for name, fit in fits.items()}
    form = next(
        form
        for form in ("_robust", "_scaled", "")
        if all(f"cfi{form}" in own and f"rmsea{form}" in own for own in measures.values())
    )
    scaled = "_scaled" if all("chi_squared_scaled" in own for own in measures.values()) else ""
    rows: list[dict[str, Any]] = []
    for name, own in measures.items():
        rows.append(
            {
                "step": name,
                "chi_squared": own[f"chi_squared{scaled}"],
                "df": fits[name].measures.test.df,
                "p_value": own.get(f"p_value{scaled}", np.nan),
                "cfi": own[f"cfi{form}"],
                "rmsea": own[f"rmsea{form}"],
                "srmr": own["srmr"],
            }
        )
    rows[0] |= dict.fromkeys(("difference", "difference_df", "difference_p"), np.nan)
    rows[0] |= {f"change_{name}": np.nan for name in FIT}
    notes: list[str] = []
    if rows[0]["df"] == 0:
        rows[0]["verdict"] = UNKNOWN
        notes.append("The model without equalities fits whatever the answers are.")
    else:
        beyond = {
            name: rows[0][name] < limit if name == "cfi" else rows[0][name] > limit
            for name, limit in FIT.items()
        }
        rows[0]["verdict"] = verdict(beyond, rows[0]["p_value"])
    for before, row in pairwise(rows):
        change = {name: row[name] - before[name] for name in FIT}
        row |= _difference(fits[before["step"]], fits[row["step"]], row["step"], notes)
        row |= {f"change_{name}": value for name, value in change.items()}
        limits = GUIDES[kind][row["step"]]
        beyond = {
            name: change[name] < limit if name == "cfi" else change[name] > limit
            for name, limit in limits.items()
        }
        row["verdict"] = verdict(beyond, row["difference_p"])
    return pd.DataFrame(rows), form, notes


def _difference(
    freer: LatentFit, restricted: LatentFit, step: str, notes: list[str]
) -> dict[str, float]:
    """Return the test of a step; without one, a note says why."""
    try:
        found = compare_fits(freer, restricted)
    except MethodError as error:
        notes.append(f"{step} step: no test of the difference: {error}")
        return dict.fromkeys(("difference", "difference_df", "difference_p"), np.nan)
    return {
        "difference": found.statistic,
        "difference_df": float(found.df),
        "difference_p": found.p_value,
    }


def verdict(beyond: Mapping[str, bool], p_value: float) -> str:
    """Return the verdict from which measures are beyond their limits, and the test.

    What chance explains is no reason to doubt, unless CFI says so too.
    """
    others = any(value for name, value in beyond.items() if name != "cfi")
    by_chance = p_value > CHANCE
    if beyond["cfi"] and others and not by_chance:
        return FAILS
    return DOUBT if beyond["cfi"] or (others and not by_chance) else HOLDS


def largest_releases(fits: Mapping[str, LatentFit], given: ModelAnswers) -> list[dict[str, Any]]:
    """Return, for each step, equalities it added with the largest modification indices."""
    found: list[dict[str, Any]] = []
    for name, fit in fits.items():
        if name == "configural":
            continue
        op = {"metric": "=~", "scalar": "~1", "residual": "~~"}[name]
        latent = fit.table.latent
        own = [
            one
            for one in modification_indices(fit)
            if one.equality
            and one.op == op
            and (op == "=~" or one.lhs not in latent)
            and (len(given.levels) > 2 or one.group == 2)  # of two, one release frees both
        ]
        found += [
            {
                "step": name,
                "parameter": f"{one.lhs} {one.op} {one.rhs}".strip(),
                "group": given.levels[one.group - 1],
                "index": one.index,
                "p_value": one.p_value,
                "change": one.change,
            }
            for one in own[:_LARGEST]
        ]
    return found


def loose_factors(model: ModelSyntax, partial: Sequence[str]) -> list[str]:
    """Return factors of which fewer than two items have an equal loading and intercept.

    Examples
    --------
    >>> from lgpi_research.methods.latent.syntax import parse_model
    >>> loose_factors(parse_model("f =~ a + b + c"), ["f =~ a", "b ~1"])
    ['f']
    """
    free = {" ".join(text.split()) for text in partial}
    held = dict.fromkeys(model.latents, 0)
    for one in model.statements:
        if one.op == "=~":
            own = {f"{one.lhs} =~ {one.rhs}", f"{one.rhs} ~1"}
            held[one.lhs] += not own & free
    return [factor for factor, count in held.items() if count < 2]


def latent_means(fit: LatentFit, given: ModelAnswers, level: float) -> list[dict[str, Any]]:
    """Return mean, interval and standard deviation of each factor in each group."""
    reach = float(stats.norm.isf((1 - level) / 2))
    found = []
    latent = fit.table.latent
    p = len(fit.table.observed)
    rows = [
        (row, float(value), float(error))
        for row, value, error in zip(fit.table.rows, fit.estimates, fit.std_errors, strict=False)
        if row.op == "~1" and row.lhs in latent
    ]
    for factor in latent:
        for row, value, error in rows:
            if row.lhs != factor:
                continue
            at = p + latent.index(factor)
            known = error if error > 0 else np.nan
            variance = float(fit.states[row.group - 1].everywhere[at, at])
            found.append(
                {
                    "factor": factor,
                    "group": given.levels[row.group - 1],
                    "estimate": value,
                    "std_error": known,
                    "ci_low": value - reach * known,
                    "ci_high": value + reach * known,
                    "std_deviation": float(np.sqrt(variance)) if variance > 0 else np.nan,
                }
            )
    return found
