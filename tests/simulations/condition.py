"""What a simulation is: a population, a design, the truth, and how one sample is analysed."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["CHUNK", "LEVEL", "Condition", "Found", "Tally", "added"]

LEVEL = 0.95
"""Nominal coverage of every interval."""

CHUNK = 25
"""Runs that are made, and added up, together: so that the sums do not depend on the workers."""

Found = tuple[str, str, float, float, float]
"""Coefficient, interval, estimate, and the ends of the interval; NaN where there is none."""

Tally = dict[str, np.ndarray]
"""Sums over runs, each of shape (n_expected,)."""

_SUMS = ("estimates", "estimate", "intervals", "covered", "below", "above", "width")


@dataclass(frozen=True, eq=False)
class Condition:
    """A simulation.

    Attributes
    ----------
    name : str
        Names the condition, and seeds its runs.
    facts : mapping
        Columns of the table that say what the condition is.
    find_truth : callable
        Returns what each coefficient is in the population.
    expected : sequence of (str, str)
        The coefficients and intervals that a run gives.
    sample : callable
        Draws one sample and analyses it.
    """

    name: str
    facts: Mapping[str, object]
    find_truth: Callable[[], Mapping[str, float]]
    expected: Sequence[tuple[str, str]]
    sample: Callable[[np.random.Generator], Iterable[Found]]

    @functools.cached_property
    def truth(self) -> Mapping[str, float]:
        """What each coefficient is in the population."""
        return self.find_truth()

    def tally(self, seed: int, first: int, last: int) -> Tally:
        """Return sums over some runs, each of which has a seed of its own."""
        sums = {name: np.zeros(len(self.expected)) for name in _SUMS}
        at = {key: number for number, key in enumerate(self.expected)}
        for run in range(first, last):
            key = (zlib.crc32(self.name.encode()), run)
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
            for coefficient, interval, estimate, low, high in self.sample(rng):
                i, truth = at[coefficient, interval], self.truth[coefficient]
                if np.isfinite(estimate):
                    sums["estimates"][i] += 1
                    sums["estimate"][i] += estimate
                if np.isfinite(low) and np.isfinite(high):
                    sums["intervals"][i] += 1
                    sums["covered"][i] += low <= truth <= high
                    sums["below"][i] += high < truth
                    sums["above"][i] += low > truth
                    sums["width"][i] += high - low
        return sums

    def rows(self, runs: int, sums: Tally) -> list[dict[str, object]]:
        """Return a row of the table for each coefficient and interval."""
        rows: list[dict[str, object]] = []
        for i, (coefficient, interval) in enumerate(self.expected):
            told = {name: float(column[i]) for name, column in sums.items()}
            n = told["intervals"]
            share = _ratio(told["covered"], n)
            truth = self.truth[coefficient]
            rows.append(
                {
                    "condition": self.name,
                    "coefficient": coefficient,
                    "interval": interval,
                    **self.facts,
                    "runs": runs,
                    "truth": truth,
                    "bias": _ratio(told["estimate"], told["estimates"]) - truth,
                    "coverage": share,
                    "monte_carlo_error": _ratio(share * (1 - share), n) ** 0.5,
                    "below_truth": _ratio(told["below"], n),
                    "above_truth": _ratio(told["above"], n),
                    "mean_width": _ratio(told["width"], n),
                    "without_interval": 1 - n / runs,
                }
            )
        return rows


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def added(parts: Iterable[Tally]) -> Tally:
    """Return the sums of several parts, added in their order."""
    return functools.reduce(lambda a, b: {name: a[name] + b[name] for name in a}, parts)
