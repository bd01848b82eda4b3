"""A factor model of ordered answers by diagonally weighted least squares."""

from __future__ import annotations

from typing import Any

import numpy as np

from lgpi_research.methods.bivariate import bivariate_cdf
from lgpi_research.methods.latent.dwls import OrderedFit, fit_ordered
from tests.adapters._latent import Load, frame_of, measures_of


def compute(case: dict[str, Any], load: Load) -> dict[str, Any]:
    inputs = case["inputs"]
    items = inputs["items"]
    answers = frame_of(case, load)[items].to_numpy(dtype=float)
    found = fit_ordered(inputs["model"], answers, items)
    own = found.moments[0]
    names = found.fit.table.observed
    numbers = [f"t{np.sum(own.item[: i + 1] == own.item[i])}" for i in range(len(own.item))]
    cuts = list(zip([names[i] for i in own.item], numbers, strict=True))
    return {
        "nobs": own.n,
        "fit": measures_of(found.fit),
        "estimates": _estimates(found, cuts),
        "thresholds": {
            f"{item}|{number}": value
            for (item, number), value in zip(cuts, own.thresholds, strict=True)
        },
        "polychoric": {"rows": items, "cols": items, "values": own.correlation},
        **_reliability(found),
    }


def _estimates(found: OrderedFit, cuts: list[tuple[str, str]]) -> dict[str, Any]:
    fit, own = found.fit, found.moments[0]
    errors = np.sqrt(np.diag(own.asymptotic)[: len(cuts)] / (own.n - 1))
    rows = [
        (row.lhs, row.op, row.rhs, *values)
        for row, *values in zip(
            fit.table.rows, fit.estimates, fit.std_errors, fit.std_lv, fit.std_all, strict=True
        )
    ]
    loadings = [row for row in rows if row[1] == "=~"]
    rest = [row for row in rows if row[1] != "=~"]
    thresholds = [
        (item, "|", number, value, error, value, value)
        for (item, number), value, error in zip(cuts, own.thresholds, errors, strict=True)
    ]
    left = [
        (name, "~~", name, value, 0.0, value, value)
        for name, value in zip(fit.table.observed, found.residual_variances[0], strict=True)
    ]
    scales = [(name, "~*~", name, 1.0, 0.0, 1.0, 1.0) for name in fit.table.observed]
    means = [
        (name, "~1", "", 0.0, 0.0, 0.0, 0.0) for name in (*fit.table.observed, *fit.table.latent)
    ]
    whole = [*loadings, *thresholds, *left, *rest, *scales, *means]
    keys = ("lhs", "op", "rhs", "est", "se", "std.lv", "std.all")
    return {key: [row[i] for row in whole] for i, key in enumerate(keys)}


def _reliability(found: OrderedFit) -> dict[str, Any]:
    """Return omega of the variables behind the answers, and Green and Yang's of their sum."""
    state, own = found.fit.states[0], found.moments[0]
    p = len(found.fit.table.observed)
    result: dict[str, dict[str, float]] = {"reliability_ordinal": {}, "reliability_green_yang": {}}
    for number, factor in enumerate(found.fit.table.latent, p):
        loadings = state.paths[:p, number] * np.sqrt(state.everywhere[number, number])
        items = np.flatnonzero(loadings)
        total = own.correlation[np.ix_(items, items)].sum()
        result["reliability_ordinal"][factor] = loadings.sum() ** 2 / total
        common = whole = 0.0
        for i in items:
            for j in items:
                h, g = (own.thresholds[own.item == one] for one in (i, j))
                apart = bivariate_cdf(h[:, None], g, 0.0).sum()
                share = bivariate_cdf(h[:, None], g, loadings[i] * loadings[j]).sum() - apart
                if i == j:
                    lower = bivariate_cdf(np.minimum(h[:, None], g), 38.0, 0.0).sum()
                    whole += lower - apart
                else:
                    whole += bivariate_cdf(h[:, None], g, own.correlation[i, j]).sum() - apart
                common += share
        result["reliability_green_yang"][factor] = common / whole
    return result
