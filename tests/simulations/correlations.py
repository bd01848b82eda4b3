"""Correlations of two scales, as observed and corrected for attenuation, with their intervals."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.coefficients import INTERVALS
from lgpi_research.itemwise import dimension_correlations
from lgpi_research.methods.attenuation import correlation_of_sums, disattenuate
from lgpi_research.methods.consistency import Spread, alpha
from lgpi_research.survey import Survey, SurveyDesign
from tests.simulations.condition import LEVEL, Condition, Found
from tests.simulations.population import Population, even_cuts

LOADINGS = (0.8, 0.7, 0.6, 0.5)  # of each scale
TRAITS = 0.6  # correlation of the two
KINDS = ("observed", "corrected")


def conditions() -> Iterator[Condition]:
    """Yield the conditions: independent respondents, then clusters of 15."""
    yield condition("300 respondents", 300, 1)
    for psus in (20, 200):
        for share in (0.1, 0.4):
            yield condition(f"{psus} PSUs, share {share}", psus, 15, share)


def condition(name: str, psus: int, per_psu: int, share: float = 0.0) -> Condition:
    """Return a condition, in which the traits correlate alike between clusters and within."""
    k = len(LOADINGS)
    loadings = np.kron(np.eye(2), np.array(LOADINGS)[:, None])
    population = Population.of_traits(
        loadings, even_cuts(2 * k, 5), trait_correlation=TRAITS, share=share
    )
    return Condition(
        name,
        {
            "items": k,
            "loadings": "unequal",
            "points": 5,
            "cuts": "even",
            "share": share,
            "item_share": 0.0,
            "strata": 1,
            "weights": "equal",
            "psus": psus,
            "per_psu": per_psu,
        },
        partial(truth_of, population),
        [(kind, INTERVALS["jackknife"]) for kind in KINDS],
        partial(sample, population, psus, per_psu),
    )


def truth_of(population: Population) -> dict[str, float]:
    """Return the correlations of the two sums in the population."""
    matrix, k = population.covariance(), population.n_items // 2
    observed = correlation_of_sums(matrix, np.kron(np.eye(2), np.ones((k, 1))))
    alphas = [
        alpha(Spread.from_covariance(matrix[part, part])) for part in (slice(k), slice(k, 2 * k))
    ]
    corrected = disattenuate(observed, np.array(alphas))
    return {"observed": float(observed[0, 1]), "corrected": float(corrected[0, 1])}


def sample(
    population: Population, psus: int, per_psu: int, rng: np.random.Generator
) -> Iterator[Found]:
    """Yield the intervals of one sample."""
    answers = population.draw(rng, np.zeros(psus, dtype=int), per_psu)
    k = population.n_items // 2
    names = [f"{scale}{item}" for scale in "ab" for item in range(1, k + 1)]
    book = Codebook(
        tuple(
            Indicator(name, dimension=name[0], scale=(1.0, 5.0), measurement="reflective")
            for name in names
        )
    )
    frame = pd.DataFrame(answers, columns=names).assign(psu=np.repeat(np.arange(psus), per_psu))
    survey = Survey(frame, book, SurveyDesign(psu="psu"))
    rows, _ = dimension_correlations(survey, missing="listwise", level=LEVEL, n_jobs=1)
    for kind in KINDS:
        low, high = (rows[0][f"{kind}_ci_{end}"] for end in ("low", "high"))
        yield kind, INTERVALS["jackknife"], rows[0][kind], low, high
