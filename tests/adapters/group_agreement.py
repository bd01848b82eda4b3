"""Within-group agreement, intraclass correlations of groups, reliability of their means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods.groups import group_reliability, one_way, r_wg


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    table = load(case["data"][0])
    groups, item = table[inputs["group"]].to_numpy(), table[inputs["item"]].to_numpy(float)
    null = inputs["null_variance"]
    one = r_wg(item, groups, null_variance=null)
    several = r_wg(table[inputs["items"]].to_numpy(float), groups, null_variance=null)
    variance, means = one_way(item, groups), group_reliability(item, groups)
    names = [str(name) for name in variance.groups]
    sizes = variance.sizes.astype(int)
    return {
        "rwg_mean": np.nanmean(one),
        "rwg": {"_row": names, "grpid": names, "rwg": one, "gsize": sizes},
        "rwgj_mean": np.nanmean(several),
        "rwgj": {"_row": names, "grpid": names, "rwg.j": several, "gsize": sizes},
        "ICC1": variance.icc1,
        "ICC2": variance.icc2,
        "gmeanrel_icc": means.icc,
        "gmeanrel": {"group": names, "size": sizes, "rel": means.reliability},
    }
