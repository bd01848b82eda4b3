"""Coefficients of internal consistency: every interval, of covariances and of pair counts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from lgpi_research.coefficients import (
    INTERVALS,
    Coefficient,
    coefficient_rows,
    directional_t,
    jackknife_t,
    named_coefficients,
    replicate_coefficients,
)
from lgpi_research.errors import MethodError
from lgpi_research.methods.consistency import Spread
from lgpi_research.methods.directional import stretch_of
from lgpi_research.moments import Moments
from tests.simulations.condition import LEVEL, Condition, Found
from tests.simulations.population import Population, even_cuts, skewed_cuts

LOADINGS = {"unequal": (0.8, 0.75, 0.7, 0.65, 0.6, 0.5), "equal": (0.7,) * 6}
DRAWS = 384  # of the bootstrap

BASIC = ("alpha", "omega")
OTHERS = (
    "standardised_alpha",
    "omega_total",
    "lambda1",
    "lambda2",
    "lambda4",
    "lambda5",
    "lambda6",
    "average_r",
)
PAIRS = ("ordinal_alpha", "ordinal_omega", "omega_categorical")
STRATA = ((0.5, 0.4), (0.0, 0.3), (-0.3, 0.2), (-0.8, 0.1))  # mean of the trait, population share


def conditions() -> Iterator[Condition]:
    """Yield the conditions: independent respondents, then clusters of 15."""
    yield condition("300 respondents", 300, 1, drawn=(*BASIC, *OTHERS), left_out=())
    yield condition("300 respondents, 7 points", 300, 1, points=7)
    for psus in (20, 200):
        yield condition(f"{psus} PSUs, share 0", psus)
    for psus in (20, 200):
        few = psus == 20
        for share in (0.1, 0.4):
            name = f"{psus} PSUs, share {share}"
            drawn, jackknifed = (*BASIC, *OTHERS), ()
            if few and share == 0.4:
                drawn = (*drawn, "glb")
            elif not few and share == 0.1:
                jackknifed = ("glb",)
            yield condition(name, psus, share=share, drawn=drawn, left_out=jackknifed)
            yield condition(f"{name}, 7 points", psus, share=share, points=7)
        share = 0.4 if few else 0.1
        yield condition(f"{psus} PSUs, share {share}, skewed", psus, share=share, skewed=True)
        yield condition(f"{psus} PSUs, share {share}, equal", psus, share=share, loadings="equal")
        yield condition(f"{psus} PSUs, share 0.1, items 0.1", psus, share=0.1, item_share=0.1)
        yield condition(f"{psus} PSUs, share 0.1, strata", psus, share=0.1, strata=STRATA)
    pairs = ((20, 0.0, 5), (20, 0.1, 5), (20, 0.4, 5), (20, 0.4, 7), (200, 0.4, 5))
    for psus, share, points in pairs:
        tail = ", 7 points" if points == 7 else ""
        name = f"pairs, {psus} PSUs, share {share:g}{tail}"
        yield condition(name, psus, share=share, points=points, drawn=(), left_out=PAIRS)


def condition(
    name: str,
    psus: int,
    per_psu: int = 15,
    *,
    loadings: str = "unequal",
    points: int = 5,
    share: float = 0.0,
    item_share: float = 0.0,
    skewed: bool = False,
    strata: tuple[tuple[float, float], ...] = ((0.0, 1.0),),
    drawn: tuple[str, ...] = BASIC,
    left_out: tuple[str, ...] | None = None,
) -> Condition:
    """Return a condition.

    Coefficients in `drawn` get every interval, those in `left_out` the default one only, which
    are by default the others of covariances.
    """
    k = len(LOADINGS[loadings])
    cuts = (skewed_cuts if skewed else even_cuts)(k, points)
    population = Population.of_traits(
        LOADINGS[loadings], cuts, share=share, item_share=item_share, strata=strata
    )
    others = tuple(c for c in OTHERS if c not in drawn) if left_out is None else left_out
    coefficients = named_coefficients((*drawn, *others))
    every = [
        (c.name, INTERVALS[kind])
        for c in coefficients[: len(drawn)]
        for kind in (c.default_interval, "rao_wu", "bootstrap")
    ]
    if "alpha" in drawn:
        every.append(("alpha", INTERVALS["feldt"]))
    return Condition(
        name,
        {
            "items": k,
            "loadings": loadings,
            "points": points,
            "cuts": "skewed" if skewed else "even",
            "share": share,
            "item_share": item_share,
            "strata": len(strata),
            "weights": "unequal" if len(strata) > 1 else "equal",
            "psus": psus,
            "per_psu": per_psu,
        },
        partial(truth_of, population, coefficients),
        [*every, *((c.name, INTERVALS[c.default_interval]) for c in coefficients[len(drawn) :])],
        partial(
            sample,
            population,
            psus,
            per_psu,
            coefficients[: len(drawn)],
            coefficients[len(drawn) :],
        ),
    )


def truth_of(population: Population, coefficients: list[Coefficient]) -> dict[str, float]:
    """Return the coefficients of the population: of its covariances, or of its pairs of answers."""
    spread, counts = Spread.from_covariance(population.covariance()), population.pair_counts()
    return {
        c.name: float(c.function(counts if c.needs == "pair counts" else spread))
        for c in coefficients
    }


def sample(
    population: Population,
    psus: int,
    per_psu: int,
    drawn: list[Coefficient],
    left_out: list[Coefficient],
    rng: np.random.Generator,
) -> list[Found]:
    """Return the intervals of one sample, in which strata have equally many clusters."""
    n_strata = len(population.shares)
    stratum = np.arange(psus) % n_strata
    answers = population.draw(rng, stratum, per_psu)
    of_each = np.repeat(np.arange(psus), per_psu)
    weights = np.ones(len(answers))
    if n_strata > 1:  # strata are drawn against their shares, and respond unevenly
        spread = np.exp(0.5 * rng.standard_normal(len(answers)))
        weights = population.shares[stratum[of_each]] * spread
    found: list[Found] = []

    def moments(needs: str) -> Moments:
        points = population.cuts.shape[1] + 1
        return Moments.from_answers(
            answers, psu=of_each, stratum=stratum[of_each], weight=weights, needs=needs,
            categories=range(1, points + 1) if needs == "pair counts" else (),
        )  # fmt: skip

    if drawn:
        rows, _ = coefficient_rows(
            moments("covariance"), drawn, level=LEVEL, n_draws=DRAWS,
            seed=int(rng.integers(2**32)), n_jobs=1,
        )  # fmt: skip
        names = ("coefficient", "interval", "estimate", "ci_low", "ci_high")
        found.extend(tuple(row[name] for name in names) for row in rows)
    for needs in ("covariance", "pair counts"):
        wanted = [c for c in left_out if (c.needs == "pair counts") == (needs == "pair counts")]
        if wanted:
            found.extend(by_default(moments(needs), wanted, rng))
    return found


def by_default(
    moments: Moments, coefficients: list[Coefficient], rng: np.random.Generator
) -> Iterator[Found]:
    """Yield the default intervals of those coefficients that have an answer."""
    scale = moments.scale()
    pairs = scale.needs == "pair counts"
    data = moments.pair_counts() if pairs else moments.spread()
    points = {}
    for coefficient in coefficients:
        try:
            points[coefficient.name] = float(coefficient.function(data))
        except MethodError:
            continue
    smooth = {c.name for c in coefficients if c.smooth}
    wanted = {(scale.name, c.name): c.function for c in coefficients if c.name in points}
    left_out = replicate_coefficients(moments, wanted, kind="jackknife", n_jobs=1)
    maxima = {key: function for key, function in wanted.items() if key[1] not in smooth}
    seed = int(rng.integers(2**32)) if maxima else 0
    stretched = replicate_coefficients(
        moments, maxima, kind="bootstrap", n_draws=DRAWS, seed=seed, n_jobs=1,
        stretch=stretch_of(moments.n_least(scale.name)),
    )  # fmt: skip
    for (_, name), replicates in left_out.items():
        point, kind = points[name], "jackknife"
        ends = jackknife_t(moments, scale.name, point, replicates, LEVEL)
        if (scale.name, name) in maxima:
            kind, draws = "directional", stretched[scale.name, name]
            ends = directional_t(moments, scale.name, point, draws, ends[3], LEVEL)
        yield name, INTERVALS[kind], point, ends[1], ends[2]
