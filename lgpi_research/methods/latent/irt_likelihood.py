"""The marginal likelihood of graded items on a grid of the trait, with exact derivatives.

Answers are a sparse matrix of zeros and ones: a row for each pattern, a column for each answer
to each version of an item, and one for each group. The logarithm of a pattern's likelihood at
a point of the grid is then a product with a table of logarithms, and the expected counts of
answers at the point are the product with the transpose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse, special

from lgpi_research.methods.latent.irt_answers import Patterns
from lgpi_research.methods.latent.irt_layout import Layout

__all__ = ["Marginal", "Table", "make_marginal"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

_CHUNK = 8192  # patterns whose posterior is held at once
_UNSEEN = 1e-12  # share of respondents at a point of the grid that adds nothing


@dataclass(frozen=True, eq=False)
class Table:
    """Logarithms of chances at the points of the grid, with slopes in up to three parameters.

    Attributes
    ----------
    log_chance : ndarray of shape (r + g, q)
        Of r answers given the trait, and of the trait in g groups.
    slopes : ndarray of shape (3, r + g, q)
        In the intercept below the answer (a group's mean), in the one above it (the logarithm
        of its standard deviation), and in the slope.
    curvature : ndarray of shape (6, r + g, q)
        Second derivatives 00, 11, 22, 01, 02, 12 in the same order.
    """

    log_chance: Floats
    slopes: Floats
    curvature: Floats


_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


@dataclass(frozen=True, eq=False)
class Marginal:
    """Patterns, layout and grid, ready to be evaluated at parameters.

    Attributes
    ----------
    patterns : Patterns
        Who gave which answers.
    layout : Layout
        Parameters.
    grid : ndarray of shape (q,)
        Points of the trait, evenly spaced.
    design : sparse array of shape (p, r + g)
        1 for what a pattern answered, and for its group.
    places : ndarray of int of shape (3, r + g)
        Parameter that each slope of `Table` belongs to; one behind the last for none.
    """

    patterns: Patterns
    layout: Layout
    grid: Floats
    design: sparse.csr_array
    places: Codes

    def regrid(self, grid: Floats) -> Marginal:
        """Return the same on another grid."""
        return Marginal(self.patterns, self.layout, grid, self.design, self.places)

    def feasible(self, free: Floats) -> bool:
        """Return whether intercepts of every version fall, so that every chance is positive."""
        whole = self.layout.whole(free)
        v, t, g = self._sizes()
        inner = np.ones(max(t - 1, 0), dtype=bool)
        inner[self.layout.start[1:-1] - 1] = False
        return bool(
            np.isfinite(whole).all()
            and (np.diff(whole[v : v + t])[inner] < 0).all()
            and np.abs(whole[v + t + g :]).max() < 5
        )

    def _sizes(self) -> tuple[int, int, int]:
        return self.layout.n_versions, self.layout.n_intercepts, self.layout.n_groups

    def table(self, free: Floats, *, curved: bool = False) -> Table:
        """Return chances and their derivatives at the points of the grid."""
        v, t, g = self._sizes()
        whole = self.layout.whole(free)
        rows, q = self.places.shape[1] - g, len(self.grid)
        edges = np.concatenate([whole[v : v + t], [np.inf, -np.inf]])
        below = np.where(self.places[0, :rows] < v + t, self.places[0, :rows] - v, t)
        above = np.where(self.places[1, :rows] < v + t, self.places[1, :rows] - v, t + 1)
        tilt = whole[self.places[2, :rows], None] * self.grid
        x, y = edges[below][:, None] + tilt, edges[above][:, None] + tilt
        gap = (edges[below] - edges[above])[:, None]
        odds = np.zeros_like(gap)
        inside = np.isfinite(gap)
        odds[inside] = 1 / np.expm1(gap[inside])
        level = special.log_expit(x) + special.log_expit(-y)
        level[inside[:, 0]] += np.log(-np.expm1(-gap[inside]))[:, None]
        from_x, from_y = special.expit(x), special.expit(y)
        slopes = np.empty((3, rows + g, q))
        slopes[0, :rows] = (1 - from_x) + odds
        slopes[1, :rows] = -from_y - odds
        slopes[2, :rows] = self.grid * (1 - from_x - from_y)
        mean, spread = whole[v + t : v + t + g, None], np.exp(whole[v + t + g :, None])
        z = (self.grid - mean) / spread
        prior = -np.square(z) / 2
        prior -= special.logsumexp(prior, axis=1, keepdims=True)
        share = np.exp(prior)
        to_mean, to_spread = z / spread, np.square(z)
        to_mean -= (share * to_mean).sum(axis=1, keepdims=True)
        to_spread -= (share * to_spread).sum(axis=1, keepdims=True)
        slopes[0, rows:], slopes[1, rows:], slopes[2, rows:] = to_mean, to_spread, 0.0
        curvature = np.zeros((6, rows + g, q) if curved else (0, 0, 0))
        if curved:
            bend = odds * (1 + odds)
            xx, yy = -from_x * (1 - from_x), -from_y * (1 - from_y)
            curvature[0, :rows], curvature[1, :rows] = xx - bend, yy - bend
            curvature[2, :rows] = np.square(self.grid) * (xx + yy)
            curvature[3, :rows] = bend
            curvature[4, :rows], curvature[5, :rows] = self.grid * xx, self.grid * yy
            curvature[0, rows:] = -(share * np.square(to_mean)).sum(axis=1, keepdims=True)
            curvature[1, rows:] = -2 * to_spread - (share * np.square(to_spread)).sum(
                axis=1, keepdims=True
            )
            curvature[3, rows:] = -2 * to_mean - (share * to_mean * to_spread).sum(
                axis=1, keepdims=True
            )
        return Table(np.concatenate([level, prior]), slopes, curvature)

    def posteriors(self, table: Table) -> Iterator[tuple[slice, Floats, Floats]]:
        """Yield patterns, their log-likelihoods, and their posteriors, some at a time."""
        for first in range(0, self.design.shape[0], _CHUNK):
            part = slice(first, min(first + _CHUNK, self.design.shape[0]))
            level = self.design[part] @ table.log_chance
            top = level.max(axis=1, keepdims=True)
            level -= top
            np.exp(level, out=level)
            total = level.sum(axis=1, keepdims=True)
            level /= total
            yield part, (np.log(total) + top)[:, 0], level

    def evaluate(self, free: Floats) -> tuple[float, Floats, Floats]:
        """Return the log-likelihood, its gradient, and expected counts (r + g, q)."""
        table = self.table(free)
        counts = np.zeros(table.log_chance.shape)
        total = 0.0
        for part, level, posterior in self.posteriors(table):
            weights = self.patterns.weights[part]
            total += float(weights @ level)
            posterior *= weights[:, None]
            counts += self.design[part].T @ posterior
        sums = np.einsum("crq,rq->cr", table.slopes, counts)
        gradient = np.zeros(len(self.layout.place) + 1)
        np.add.at(gradient, self.places, sums)
        return total, self.layout.gather(gradient[:-1]), counts

    def scores(self, free: Floats) -> Floats:
        """Return each pattern's slopes of its log-likelihood, of shape (p, n_free)."""
        table = self.table(free)
        found = np.zeros((self.design.shape[0], len(self.layout.place) + 1))
        for part, _, posterior in self.posteriors(table):
            here = self.design[part].tocsc()
            target = found[part]
            for row in range(here.shape[1]):
                members = here.indices[here.indptr[row] : here.indptr[row + 1]]
                if not len(members):
                    continue
                slopes = posterior[members] @ table.slopes[:, row].T
                for channel in range(3):
                    target[members, self.places[channel, row]] = slopes[:, channel]
        return self.layout.gather(found[:, :-1])

    def complete_information(self, free: Floats, counts: Floats) -> Floats:
        """Return the information if the trait were seen: expected, at expected counts."""
        table = self.table(free)
        rows = self.places.shape[1] - self.layout.n_groups
        version = self.places[2, :rows]
        asked = np.zeros((self.layout.n_versions, len(self.grid)))
        np.add.at(asked, version, counts[:rows])
        weight = counts.copy()
        weight[:rows] = asked[version] * np.exp(table.log_chance[:rows])
        size = len(self.layout.place) + 1
        found = np.zeros((size, size))
        for one in range(3):
            for other in range(3):
                terms = (weight * table.slopes[one] * table.slopes[other]).sum(axis=1)
                np.add.at(found, (self.places[one], self.places[other]), terms)
        return self._fold(found)

    def information(self, free: Floats) -> Floats:
        """Return the observed information: the negative matrix of second derivatives."""
        table = self.table(free, curved=True)
        width = table.log_chance.shape[0]
        size = len(self.layout.place) + 1
        spread = np.zeros((size, size))
        counts = np.zeros(table.log_chance.shape)
        pairs: dict[int, Floats] = {}
        for part, _, posterior in self.posteriors(table):
            weights = self.patterns.weights[part]
            posterior *= weights[:, None]
            counts += self.design[part].T @ posterior
            dense = self.design[part].toarray()
            share = posterior.sum(axis=0) / self.patterns.weights.sum()
            for point in np.flatnonzero(share > _UNSEEN).tolist():
                half = dense * np.sqrt(posterior[:, point])[:, None]
                pairs[point] = pairs.get(point, 0.0) + half.T @ half
        for point, table_of_pairs in pairs.items():
            ahead = np.zeros((size, width))
            for channel in range(3):
                ahead[self.places[channel], np.arange(width)] += table.slopes[channel, :, point]
            spread += ahead @ table_of_pairs @ ahead.T
        bend = np.zeros((size, size))
        for number, (one, other) in enumerate(_PAIRS):
            terms = (counts * table.curvature[number]).sum(axis=1)
            np.add.at(bend, (self.places[one], self.places[other]), terms)
            if one != other:
                np.add.at(bend, (self.places[other], self.places[one]), terms)
        scores = self.scores(free)
        within = scores.T @ (scores * self.patterns.weights[:, None])
        return -self._fold(bend) - self._fold(spread) + within

    def _fold(self, whole: Floats) -> Floats:
        """Add up a matrix over all parameters for the free ones."""
        half = self.layout.gather(whole[:-1, :-1])
        return self.layout.gather(np.ascontiguousarray(half.T)).T


def make_marginal(patterns: Patterns, layout: Layout, grid: Floats) -> Marginal:
    """Bring patterns, layout and grid together.

    Parameters
    ----------
    patterns : Patterns
        Of k items and g groups.
    layout : Layout
        Of the same items and groups.
    grid : ndarray of shape (q,)
        Evenly spaced points of the trait.

    Returns
    -------
    Marginal
    """
    v, t, g = layout.n_versions, layout.n_intercepts, layout.n_groups
    none = len(layout.place)
    counts = np.diff(layout.start) + 1
    first = np.concatenate([[0], np.cumsum(counts)])
    rows = int(first[-1])
    places = np.full((3, rows + g), none, dtype=np.intp)
    for version in range(v):
        at = np.arange(first[version], first[version + 1])
        cuts = v + np.arange(layout.start[version], layout.start[version + 1])
        places[0, at[1:]], places[1, at[:-1]], places[2, at] = cuts, cuts, version
    places[0, rows:], places[1, rows:] = v + t + np.arange(g), v + t + g + np.arange(g)
    known = patterns.codes >= 0
    column = first[layout.version[patterns.group]] + patterns.codes
    lines = np.repeat(np.arange(len(known)), known.sum(axis=1))
    lines = np.concatenate([lines, np.arange(len(known))])
    columns = np.concatenate([column[known], rows + patterns.group])
    design = sparse.csr_array((np.ones(len(lines)), (lines, columns)), shape=(len(known), rows + g))
    design.sort_indices()
    return Marginal(patterns, layout, grid, design, places)
