"""Populations of ordered answers whose probabilities are known, and samples of their clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lgpi_research.methods.bivariate import bivariate_cdf
from lgpi_research.methods.polychoric import PairCounts

Floats = npt.NDArray[np.float64]

FAR = 38.0  # a threshold beyond which no probability is left
MANY = 1e6  # respondents: probabilities are given as counts of so many


def pair_probabilities(mean: Floats, covariance: Floats, cuts: Floats) -> Floats:
    """Return the probability of each pair of answers, as `PairCounts` holds counts.

    Parameters
    ----------
    mean : ndarray of shape (k,)
    covariance : ndarray of shape (k, k)
        Of the normal variables that are cut.
    cuts : ndarray of shape (k, points - 1)
        Where each is cut.

    Returns
    -------
    ndarray of shape (k * points, k * points)
    """
    k, sizes = len(cuts), np.sqrt(np.diagonal(covariance))
    inner = (cuts - mean[:, None]) / sizes[:, None]
    ends = np.pad(np.clip(inner, -FAR, FAR), ((0, 0), (1, 1)), constant_values=(-FAR, FAR))
    points = ends.shape[1] - 1
    rho = covariance / np.outer(sizes, sizes)
    first, second = np.triu_indices(k, 1)
    below = bivariate_cdf(
        ends[first][:, :, None], ends[second][:, None, :], rho[first, second][:, None, None]
    )
    cells = np.diff(np.diff(below, axis=1), axis=2)
    margins = np.diff(bivariate_cdf(ends, FAR, 0.0), axis=1)
    found = np.zeros((k, points, k, points))
    found[first, :, second, :] = cells
    found[second, :, first, :] = cells.transpose(0, 2, 1)
    items, answers = np.arange(k)[:, None], np.arange(points)
    found[items, answers, items, answers] = margins
    return found.reshape(k * points, k * points)


def moments_of(probabilities: Floats, k: int) -> tuple[Floats, Floats]:
    """Return mean and covariance of answers that are scored 1, 2, … from their probabilities."""
    points = len(probabilities) // k
    scores = np.kron(np.eye(k), np.arange(1.0, points + 1))
    mean = scores @ np.diagonal(probabilities)
    return mean, scores @ probabilities @ scores.T - np.outer(mean, mean)


def even_cuts(k: int, points: int) -> Floats:
    """Return thresholds from -1.5 to 1.5, the same for each of k items."""
    return np.tile(np.linspace(-1.5, 1.5, points - 1), (k, 1))


def skewed_cuts(k: int, points: int) -> Floats:
    """Return thresholds that put two answers of three at one end, in turn at either."""
    one_sided = np.linspace(-2.2, 0.4, points - 1)
    return np.array([one_sided if item % 3 else -one_sided[::-1] for item in range(k)])


@dataclass(frozen=True, eq=False)
class Population:
    """Clusters of people in strata, whose answers cut normal variables.

    The variables of a person are a mean of the stratum, an effect of the cluster and one of
    the person, both normal.

    Attributes
    ----------
    cuts : ndarray of shape (k, points - 1)
    between, within : ndarray of shape (k, k)
        Covariances of the effects of clusters and of people.
    shifts : ndarray of shape (n_strata, k)
        Mean of each variable in each stratum.
    shares : ndarray of shape (n_strata,)
        Share of the population in each stratum.
    """

    cuts: Floats
    between: Floats
    within: Floats
    shifts: Floats
    shares: Floats

    @classmethod
    def of_traits(
        cls,
        loadings: npt.ArrayLike,
        cuts: Floats,
        *,
        trait_correlation: float = 0.0,
        share: float = 0.0,
        item_share: float = 0.0,
        strata: tuple[tuple[float, float], ...] = ((0.0, 1.0),),
    ) -> Population:
        """Return the population of items that measure one or two traits.

        Parameters
        ----------
        loadings : array_like of shape (k,) or (k, 2)
            Correlations of the normal variables with the traits.
        cuts : ndarray of shape (k, points - 1)
        trait_correlation : float
            Of two traits, between clusters and within.
        share, item_share : float
            Share of the traits' variance, and of that of what is an item's own, that lies
            between clusters.
        strata : tuple of (float, float)
            Mean of the traits in each stratum, and the stratum's share of the population.
        """
        load = np.asarray(loadings, dtype=np.float64).reshape(len(cuts), -1)
        traits = np.full((load.shape[1],) * 2, trait_correlation)
        np.fill_diagonal(traits, 1.0)
        common = load @ traits @ load.T
        own = np.diag(1 - np.diagonal(common))
        means, shares = (np.array(column) for column in zip(*strata, strict=True))
        return cls(
            cuts,
            share * common + item_share * own,
            (1 - share) * common + (1 - item_share) * own,
            means[:, None] * load.sum(axis=1),
            shares,
        )

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.cuts)

    def probabilities(self) -> Floats:
        """Return the probabilities of pairs of answers, over all strata."""
        whole = self.between + self.within
        parts = [pair_probabilities(shift, whole, self.cuts) for shift in self.shifts]
        return np.einsum("h,hij->ij", self.shares, np.array(parts))

    def covariance(self) -> Floats:
        """Return the covariance of the answers."""
        return moments_of(self.probabilities(), self.n_items)[1]

    def pair_counts(self) -> PairCounts:
        """Return the pairs of answers of very many people who answer just as is probable."""
        points = self.cuts.shape[1] + 1
        return PairCounts(MANY * self.probabilities(), (points,) * self.n_items)

    def draw(
        self, rng: np.random.Generator, stratum: npt.NDArray[np.intp], per_psu: int
    ) -> npt.NDArray[np.int64]:
        """Return answers of people in clusters, one cluster after another.

        Parameters
        ----------
        rng : Generator
        stratum : ndarray of int of shape (n_psu,)
            Stratum of each cluster that is in the sample.
        per_psu : int
            People in each.

        Returns
        -------
        ndarray of shape (n_psu * per_psu, k)
            Answers 1, 2, …
        """
        k = self.n_items
        clusters = rng.standard_normal((len(stratum), k)) @ root_of(self.between).T
        people = rng.standard_normal((len(stratum), per_psu, k)) @ root_of(self.within).T
        latent = (people + (clusters + self.shifts[stratum])[:, None, :]).reshape(-1, k)
        return cut(latent, self.cuts)


def root_of(covariance: Floats) -> Floats:
    """Return a matrix whose product with its transpose is the covariance, singular or not."""
    roots, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.fmax(roots, 0.0)))


def cut(latent: Floats, cuts: Floats) -> npt.NDArray[np.int64]:
    """Return the answers 1, 2, … of normal variables, item by item."""
    columns = [np.searchsorted(edges, column) for edges, column in zip(cuts, latent.T, strict=True)]
    return np.stack(columns, axis=1) + 1
