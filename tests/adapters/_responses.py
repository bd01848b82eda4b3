"""What the item response capabilities share: items as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research.methods.latent.irt_fit import ResponseFit
from lgpi_research.methods.latent.irt_model import GradedItems
from lgpi_research.methods.latent.irt_scores import eap_scores

Floats = npt.NDArray[np.float64]


def read_answers(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> pd.DataFrame:
    """Return the rows that are complete, if the case says so."""
    table = load(case["data"][0])
    complete = case["inputs"]["complete_on"]
    return table.dropna(subset=complete) if complete else table


def table_of(items: GradedItems, names: Sequence[str]) -> dict[str, Any]:
    """Return slopes and difficulties."""
    cuts = items.difficulties.shape[1]
    labels = ["b"] if cuts == 1 else [f"b{i + 1}" for i in range(cuts)]
    return {
        "rows": names,
        "cols": ["a", *labels],
        "values": np.column_stack([items.slopes, items.difficulties]),
    }


def head_of(fit: ResponseFit, rows: int) -> dict[str, Any]:
    """Return scores of the first respondents, with their standard errors."""
    scores = eap_scores(fit)
    return {
        "rows": [str(row + 1) for row in range(rows)],
        "cols": ["F1", "SE_F1"],
        "values": np.column_stack([scores.estimate, scores.std_error])[:rows],
    }
