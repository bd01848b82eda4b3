"""What the cases of factor and structural equation models have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.methods.latent.fit import fit_model
from lgpi_research.methods.latent.solution import LatentFit

Load = Callable[[str], pd.DataFrame]


def frame_of(case: dict[str, Any], load: Load) -> pd.DataFrame:
    frame = load(case["data"][0])
    complete = case["inputs"].get("complete_on")
    return frame if complete is None else frame.dropna(subset=complete)


def fitted(case: dict[str, Any], load: Load, **options: Any) -> LatentFit:
    inputs = case["inputs"]
    items = inputs["items"]
    answers = frame_of(case, load)[items].to_numpy(dtype=float)
    return fit_model(inputs["model"], answers, items, missing=inputs["missing"], **options)


def measures_of(fit: LatentFit) -> dict[str, Any]:
    found = fit.measures
    leaves = {
        "npar": found.n_free,
        "chisq": found.test.statistic,
        "df": found.test.df,
        "pvalue": found.test.p_value,
        "baseline.chisq": found.baseline.statistic,
        "baseline.df": found.baseline.df,
        "cfi": found.cfi,
        "tli": found.tli,
        "logl": found.log_likelihood,
        "aic": found.aic,
        "bic": found.bic,
        "rmsea": found.rmsea,
        "rmsea.ci.lower": found.rmsea_low,
        "rmsea.ci.upper": found.rmsea_high,
        "rmsea.pvalue": found.rmsea_close,
        "srmr": found.srmr,
    }
    if found.scaled is not None:
        more = found.scaled
        leaves |= {
            "chisq.scaled": more.test.statistic,
            "df.scaled": more.test.df,
            "pvalue.scaled": more.test.p_value,
            "chisq.scaling.factor": more.test.scaling,
            "cfi.scaled": more.cfi,
            "tli.scaled": more.tli,
            "rmsea.scaled": more.rmsea,
            "cfi.robust": more.cfi_robust,
            "tli.robust": more.tli_robust,
            "rmsea.robust": more.rmsea_robust,
        }
    return leaves


def estimates_of(fit: LatentFit) -> dict[str, Any]:
    rows = fit.table.rows
    defined = list(fit.table.definitions)
    return {
        "lhs": [row.lhs for row in rows] + [one.name for one in defined],
        "op": [row.op for row in rows] + [":=" for _ in defined],
        "rhs": [row.rhs for row in rows] + [one.expression.text for one in defined],
        "est": fit.estimates,
        "se": fit.std_errors,
        "z": fit.z,
        "pvalue": fit.p_values,
        "std.lv": fit.std_lv,
        "std.all": fit.std_all,
    }


def table_of(values: np.ndarray, columns: tuple[str, ...]) -> dict[str, Any]:
    rows = [str(number) for number in range(1, len(values) + 1)]
    return {"rows": rows, "cols": list(columns), "values": values}
