"""Reliability of the mean scores of places with unequal numbers of answers, from answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
from scipy import special

from lgpi_research.moments import Moments
from lgpi_research.units import MEAN, SHARE, SQUARED, place_rows
from tests.simulations.condition import LEVEL, Condition, Found
from tests.simulations.population import cut, even_cuts, moments_of, pair_probabilities, root_of

LOADINGS = np.array([0.8, 0.7, 0.6, 0.5])
FEWEST, MOST = 5, 60  # answers in a place
WHO = {0: "respondents", 1: "1 PSU", 4: "4 PSUs", 20: "20 PSUs"}

Floats = npt.NDArray[np.float64]


def conditions() -> Iterator[Condition]:
    """Yield the conditions: 0 PSUs a place stands for respondents who are PSUs themselves."""
    yield condition(20, 0, 0.06)
    for share in (0.02, 0.06, 0.25):
        yield condition(60, 0, share)
    yield condition(60, 1, 0.06)
    for psus in (4, 20):
        for places in (20, 60, 200):
            yield condition(places, psus, 0.06)
    yield condition(200, 0, 0.06)


@dataclass(frozen=True, eq=False)
class Places:
    """A population of places, whose people answer items that cut normal variables.

    Attributes
    ----------
    place_share, psu_share : float
        Shares of the trait's variance between places, and between the clusters of a place.
    sizes : tuple of ndarray of int
        Of each place in the sample, the answers in each of its clusters.
    points : int
        Of the items.
    """

    place_share: float
    psu_share: float
    sizes: tuple[npt.NDArray[np.int64], ...]
    points: int = 5

    @cached_property
    def cuts(self) -> Floats:
        """Thresholds of the items."""
        return even_cuts(len(LOADINGS), self.points)

    @cached_property
    def within(self) -> Floats:
        """Covariance of the variables within a cluster of a place."""
        common = np.outer(LOADINGS, LOADINGS)
        own = np.diag(1 - np.square(LOADINGS))
        return np.asarray((1 - self.place_share - self.psu_share) * common + own)

    def means(self, trait: Floats, spread: float) -> Floats:
        """Return the mean score of people who share a trait, which else varies so much."""
        sizes = np.sqrt(np.diagonal(self.within) + spread * np.square(LOADINGS))
        above = (LOADINGS * trait[..., None])[..., None] - self.cuts
        return np.asarray(1 + special.ndtr(above / sizes[:, None]).sum(axis=-1).mean(axis=-1))

    def variances(self, trait: Floats) -> Floats:
        """Return the variance of the score within places of given effects, shape (n,)."""
        k = len(LOADINGS)
        covariance = self.within + self.psu_share * np.outer(LOADINGS, LOADINGS)
        matrices = [
            moments_of(pair_probabilities(LOADINGS * t, covariance, self.cuts), k)[1] for t in trait
        ]
        return np.array(matrices).sum(axis=(1, 2)) / k**2

    def truth(self) -> dict[str, float]:
        """Return the summaries of reliability and ICC(1), by quadrature over effects."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(21)
        weights = weights / weights.sum()
        effects = np.sqrt(self.place_share) * nodes
        means, variances = self.means(effects, self.psu_share), self.variances(effects)
        true = weights @ np.square(means - weights @ means)
        grid = effects[:, None] + np.sqrt(self.psu_share) * nodes
        of_clusters = self.means(grid, 0.0)
        between = np.square(of_clusters - means[:, None]) @ weights
        error = np.stack(
            [
                between * np.square(n / n.sum()).sum() + (variances - between) / n.sum()
                for n in self.sizes
            ]
        )
        average = error.mean(axis=0) @ weights
        return {
            MEAN: float((true / (true + error)).mean(axis=0) @ weights),
            SQUARED: float(true / (true + average)),
            SHARE: float(true / (true + weights @ variances)),
        }

    def moments(self, rng: np.random.Generator) -> Moments:
        """Return the sums of a sample of new places with the same numbers of answers."""
        per_psu = np.concatenate(self.sizes)
        place = np.repeat(np.arange(len(self.sizes)), [len(n) for n in self.sizes])
        effect = np.sqrt(self.place_share) * rng.standard_normal(len(self.sizes))
        shared = effect[place] + np.sqrt(self.psu_share) * rng.standard_normal(len(place))
        of_each = np.repeat(np.arange(len(place)), per_psu)
        noise = rng.standard_normal((len(of_each), len(LOADINGS))) @ root_of(self.within).T
        answers = cut(shared[of_each][:, None] * LOADINGS + noise, self.cuts)
        return Moments.from_answers(answers, psu=of_each, place=place[of_each], needs="covariance")


def spread_out(places: int, psus: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Return evenly spaced numbers of answers, divided as evenly as they go among clusters."""
    found = []
    for n in np.linspace(FEWEST, MOST, places).round().astype(int):
        a = min(psus, n) if psus else n
        found.append(n // a + (np.arange(a) < n % a))
    return tuple(found)


def condition(places: int, psus: int, share: float) -> Condition:
    """Return a condition; in clusters lies 0.05 of the trait's variance."""
    population = Places(share, 0.05 if psus else 0.0, spread_out(places, psus))
    return Condition(
        f"{places} places, {WHO[psus]}, share {share}",
        {
            "items": len(LOADINGS),
            "loadings": "unequal",
            "points": population.points,
            "cuts": "even",
            "share": population.psu_share,
            "item_share": 0.0,
            "strata": 1,
            "weights": "equal",
            "psus": psus or "respondents",
            "places": places,
            "answers": f"{FEWEST} to {MOST}",
            "place_share": share,
        },
        population.truth,
        [(coefficient, "Q-profile") for coefficient in (MEAN, SQUARED, SHARE)],
        partial(sample, population),
    )


def sample(population: Places, rng: np.random.Generator) -> list[Found]:
    """Return the intervals of one sample."""
    rows, _, _ = place_rows(population.moments(rng), LEVEL)
    names = ("coefficient", "interval", "estimate", "ci_low", "ci_high")
    return [tuple(row[name] for name in names) for row in rows]
