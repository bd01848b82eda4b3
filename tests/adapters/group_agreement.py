"""Within-group agreement, intraclass correlations of groups, reliability of their means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods.groups import group_reliability, one_way, r_wg


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    group, item, items = inputs["group"], inputs["item"], inputs["items"]
    null = inputs["null_variance"]
    table = load(case["data"][0]).dropna(subset=[group])
    # A row counts where it has all that a statistic is of.
    one, several = table.dropna(subset=[item]), table.dropna(subset=items)
    values, groups = one[item].to_numpy(float), one[group].to_numpy()
    alone = r_wg(values, groups, null_variance=null)
    joint = r_wg(several[items].to_numpy(float), several[group].to_numpy(), null_variance=null)
    variance, means = one_way(values, groups), group_reliability(values, groups)
    names, sizes = _sizes(groups)
    names_joint, sizes_joint = _sizes(several[group].to_numpy())
    return {
        "rwg_mean": np.nanmean(alone),
        "rwg": {"_row": names, "grpid": names, "rwg": alone, "gsize": sizes},
        "rwgj_mean": np.nanmean(joint),
        "rwgj": {"_row": names_joint, "grpid": names_joint, "rwg.j": joint, "gsize": sizes_joint},
        "ICC1": variance.icc1,
        "ICC2": variance.icc2,
        "gmeanrel_icc": means.icc,
        "gmeanrel": {"group": names, "size": sizes, "rel": means.reliability},
    }


def _sizes(groups: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the names of the groups in order, and how many rows each has."""
    found, sizes = np.unique(groups, return_counts=True)
    # A column of numbers with a blank is read with decimals.
    return [f"{name:.15g}" if isinstance(name, float) else str(name) for name in found], sizes
