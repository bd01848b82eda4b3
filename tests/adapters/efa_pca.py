"""Exploratory factors and components, their fit, and what tells how many there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize

from lgpi_research.methods.consistency import correlation
from lgpi_research.methods.latent import dimensions
from lgpi_research.methods.latent.efa import Extraction, FactorFit, extract_factors, factor_fit
from lgpi_research.methods.latent.principal import principal_components
from lgpi_research.methods.latent.rotation import rotate_factors
from tests.adapters.guttman_lambdas import answers_of, covariance_of

PREFIX = {"minres": "MR", "ml": "ML", "principal_axis": "PA"}
OBLIQUE_TOLERANCE = 1e-5  # of the reference
AXES_TOLERANCE = 1e-3  # the reference ends principal axes at such a change of the communalities


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    items, m = inputs["items"], inputs["factors"]
    answers = answers_of(case, load)
    matrix = correlation(covariance_of(answers, inputs["missing"]).covariance)
    n = len(answers)
    level = inputs["rmsea_confidence"]
    adequacy = dimensions.sampling_adequacy(matrix)
    test = dimensions.bartlett_sphericity(matrix, n)
    fits = {method: extract_factors(matrix, m, method=method) for method in ("minres", "ml")}
    components = principal_components(matrix, m)
    found: dict[str, Any] = {
        "eigenvalues": np.linalg.eigvalsh(matrix)[::-1],
        "KMO": adequacy.overall,
        "MSA": dict(zip(items, adequacy.items, strict=True)),
        "bartlett": {"chisq": test.chi_square, "p": test.p_value, "df": test.df},
        "velicer_map": dimensions.minimum_average_partial(matrix, inputs["map_components"])[1:],
        "minres_fit": _fit(factor_fit(matrix, fits["minres"], n, level=level)),
        "ml_fit": _fit(factor_fit(matrix, fits["ml"], n, level=level)),
        "ml_uniqueness": dict(zip(items, fits["ml"].uniquenesses, strict=True)),
        "pca_communality": dict(zip(items, np.square(components).sum(axis=1), strict=True)),
    }
    for leaf, told in inputs["solutions"].items():
        loadings = _loadings(matrix, m, told, fits)
        if told["extraction"] == "ml" and not inputs.get("converged"):
            loadings = _stopped_likelihood(matrix, m)
        pattern, phi = _rotated(loadings, told["rotation"], bool(inputs.get("converged")))
        names = _names(told, None if inputs.get("converged") else loadings, pattern)
        found[leaf] = table(items, names, pattern)
        found[f"{leaf}_phi"] = table(names, names, phi)
    return found


def _loadings(
    matrix: np.ndarray, m: int, told: Mapping[str, str], fits: Mapping[str, Extraction]
) -> np.ndarray:
    method = told["extraction"]
    if method == "principal_components":
        return principal_components(matrix, m)
    if method == "principal_axis":
        fit = extract_factors(matrix, m, method=method, tolerance=AXES_TOLERANCE)
        return fit.loadings
    return fits[method].loadings


def _stopped_likelihood(matrix: np.ndarray, m: int) -> np.ndarray:
    """Return the loadings at which the reference ends its search, 1e-6 from the optimum.

    That matters for loadings near 0 alone. Uniquenesses and fit are the package's.
    """

    def axes(unique: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scale = np.sqrt(unique)
        roots, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
        strength = np.sqrt(np.fmax(roots[-m:] - 1, 0))
        return roots[:-m], (vectors[:, -m:] * strength * scale[:, None])[:, ::-1]

    def terms(scaled: np.ndarray) -> tuple[float, np.ndarray]:
        unique = scaled / 100
        small, loadings = axes(unique)
        slope = np.diag(loadings @ loadings.T + np.diag(unique) - matrix) / unique**2
        return float((small - np.log(small) - 1).sum()), slope / 100

    found = optimize.minimize(
        terms,
        100 / np.diag(np.linalg.inv(matrix)),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.5, 100.0)] * len(matrix),
        options={"maxcor": 5, "ftol": 1e7 * np.finfo(float).eps, "gtol": 0.0},
    )
    loadings = axes(found.x / 100)[1]
    return loadings * np.where(loadings.sum(axis=0) < 0, -1.0, 1.0)


def _rotated(loadings: np.ndarray, method: str, converged: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return pattern and correlations, as far as the reference goes unless it converged."""
    if method == "varimax" and not converged:
        return _stopped_varimax(loadings), np.eye(loadings.shape[1])
    rotated = rotate_factors(loadings, method, tolerance=1e-10 if converged else OBLIQUE_TOLERANCE)
    return rotated.loadings, rotated.correlation


def _stopped_varimax(loadings: np.ndarray) -> np.ndarray:
    """Return what the reference calls varimax: steps that end once they gain less than 1e-5.

    It is up to 0.003 from the optimum, which the package returns.
    """
    size = np.sqrt(np.square(loadings).sum(axis=1, keepdims=True))
    given = loadings / size
    turn, before = np.eye(loadings.shape[1]), 0.0
    while True:
        now = given @ turn
        left, roots, right = np.linalg.svd(given.T @ (now**3 - now * np.square(now).mean(axis=0)))
        turn = left @ right
        if roots.sum() < before * (1 + 1e-5):
            break
        before = roots.sum()
    rotated = size * (given @ turn)
    rotated *= np.where(rotated.sum(axis=0) < 0, -1.0, 1.0)
    return rotated[:, np.argsort(-np.square(rotated).sum(axis=0))]


def _names(told: Mapping[str, str], given: np.ndarray | None, pattern: np.ndarray) -> list[str]:
    """Return the names of factors: the unrotated one that each came from, or its place."""
    m = pattern.shape[1]
    if told["extraction"] == "principal_components":
        return [f"{'P' if told['rotation'] == 'none' else 'R'}C{j + 1}" for j in range(m)]
    if given is None:
        return [f"{PREFIX[told['extraction']]}{j + 1}" for j in range(m)]
    turn = np.abs(np.linalg.lstsq(given, pattern, rcond=None)[0])
    first = optimize.linear_sum_assignment(-turn.T)[1]
    return [f"{PREFIX[told['extraction']]}{j + 1}" for j in first]


def _fit(fit: FactorFit) -> dict[str, Any]:
    return {
        "chi": fit.chi_square,
        "dof": fit.df,
        "rms": fit.rmsr,
        "RMSEA": {"RMSEA": fit.rmsea, "lower": fit.rmsea_low, "upper": fit.rmsea_high},
        "TLI": fit.tli,
        "BIC": fit.bic,
    }


def table(rows: Sequence[Any], columns: Sequence[str], values: np.ndarray) -> dict[str, Any]:
    """Return a matrix as the references write it."""
    return {"rows": list(rows), "cols": list(columns), "values": values}
