"""The two-parameter logistic model and Rasch's: items, scores, fit of items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from lgpi_research.methods.latent.irt_fit import fit_item_response
from lgpi_research.methods.latent.irt_itemfit import item_fit
from lgpi_research.methods.latent.irt_scores import eap_scores, empirical_reliability
from tests.adapters._responses import head_of, read_answers, table_of


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    names = inputs["items"]
    answers = read_answers(case, load)[names].to_numpy(float)
    if "right_from" in inputs:
        answers = (answers >= inputs["right_from"]).astype(float)
    fit = fit_item_response(answers, model="2pl")
    rasch = fit_item_response(answers, model="rasch")
    found = item_fit(fit)
    return {
        "n": fit.n_used,
        "ab_2pl": table_of(fit.items[0], names),
        "loglik_2pl": fit.log_likelihood,
        "rasch_d": dict(zip(names, rasch.items[0].intercepts[:, 0], strict=True)),
        "rasch_var": rasch.sds[0] ** 2,
        "loglik_rasch": rasch.log_likelihood,
        "eap_head": head_of(fit, inputs["head_rows"]),
        "empirical_rxx": empirical_reliability(eap_scores(fit)),
        "itemfit_2pl": {
            "item": names,
            "S_X2": found.statistic,
            "df.S_X2": found.df,
            "RMSEA.S_X2": found.rmsea,
            "p.S_X2": found.p_value,
        },
    }
