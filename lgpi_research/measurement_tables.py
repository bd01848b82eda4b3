"""Tables of a measurement model: parameters, composites, modification indices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from lgpi_research.latent_answers import ModelAnswers
from lgpi_research.methods.latent.composite import composites
from lgpi_research.methods.latent.dwls import OrderedFit
from lgpi_research.methods.latent.modification import modification_indices
from lgpi_research.methods.latent.solution import LatentFit
from lgpi_research.methods.latent.standard_errors import standardised_errors

__all__ = ["composite_rows", "modification_rows", "parameter_frame"]

_LARGEST = 10  # modification indices that are kept


def parameter_frame(
    fit: LatentFit, ordered: OrderedFit | None, given: ModelAnswers, level: float
) -> pd.DataFrame:
    """Return one row a parameter, with its interval; thresholds of ordered items follow."""
    rows = fit.table.rows
    names = given.levels or ("",)
    defined = fit.table.definitions
    table = pd.DataFrame(
        {
            "lhs": [row.lhs for row in rows] + [one.name for one in defined],
            "op": [row.op for row in rows] + [":=" for _ in defined],
            "rhs": [row.rhs for row in rows] + [one.expression.text for one in defined],
            "group": [names[row.group - 1] for row in rows] + [names[0] for _ in defined],
            "estimate": fit.estimates,
            "std_error": fit.std_errors,
            "std_all": fit.std_all,
            "std_all_error": [*standardised_errors(fit), *[np.nan] * len(defined)],
        }
    )
    if ordered is not None:
        table = pd.concat([table, *_ordered_rows(ordered, names)], ignore_index=True)
    error = table["std_error"].where(table["std_error"] > 0)
    reach = float(stats.norm.isf((1 - level) / 2)) * error
    z = table["estimate"] / error
    columns: dict[str, pd.Series] = {
        "std_error": error,
        "z": z,
        "p_value": pd.Series(2 * stats.norm.sf(z.abs()), table.index),
        "ci_low": table["estimate"] - reach,
        "ci_high": table["estimate"] + reach,
    }
    order = ["lhs", "op", "rhs", "group", "estimate", *columns, "std_all", "std_all_error"]
    return table.assign(**columns)[order]


def _ordered_rows(ordered: OrderedFit, names: Sequence[str]) -> list[pd.DataFrame]:
    """Return thresholds, and what is left of the variance 1 behind each answer."""
    found = []
    items = ordered.fit.table.observed
    parts = zip(names, ordered.moments, ordered.residual_variances, strict=True)
    for group, own, left in parts:
        count = len(own.thresholds)
        number = [int((own.item[: i + 1] == own.item[i]).sum()) for i in range(count)]
        errors = np.sqrt(np.diag(own.asymptotic)[:count] / (own.n - 1))
        cuts = {
            "lhs": [items[i] for i in own.item],
            "op": "|",
            "rhs": [f"t{i}" for i in number],
            "group": group,
            "estimate": own.thresholds,
            "std_error": errors,
            "std_all": own.thresholds,
            "std_all_error": errors,
        }
        rest = {
            "lhs": items,
            "op": "~~",
            "rhs": items,
            "group": group,
            "estimate": left,
            "std_error": np.nan,
            "std_all": left,
            "std_all_error": np.nan,
        }
        found += [pd.DataFrame(rest), pd.DataFrame(cuts)]
    return found


def composite_rows(fit: LatentFit, given: ModelAnswers) -> list[dict[str, Any]]:
    """Return composite reliability and average variance extracted of each factor and group."""
    names = given.levels or ("",)
    return [
        {
            "factor": one.factor,
            "group": names[one.group - 1],
            "n_items": len(one.items),
            "composite_reliability": one.reliability,
            "average_variance": one.average_variance,
        }
        for one in composites(fit)
    ]


def modification_rows(fit: LatentFit, given: ModelAnswers) -> list[dict[str, Any]]:
    """Return the largest modification indices; none of ordered items or without freedom."""
    if fit.table.ordered or fit.measures.test.df == 0:
        return []
    names = given.levels or ("",)
    return [
        {
            "lhs": one.lhs,
            "op": one.op,
            "rhs": one.rhs,
            "group": names[one.group - 1],
            "index": one.index,
            "p_value": one.p_value,
            "change": one.change,
        }
        for one in modification_indices(fit)[:_LARGEST]
    ]
