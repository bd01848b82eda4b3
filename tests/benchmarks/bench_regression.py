"""Fixed effects of a million rows, and CR2 with Satterthwaite degrees of freedom."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from lgpi_research.methods.regression import cluster_covariance, least_squares

ROWS = 1_000_000
UNITS, PERIODS = 200, 20
Timed = tuple[str, Callable[[], object], Callable[[], object], str]
Shape = tuple[str, np.ndarray, np.ndarray]


def shapes(rng: np.random.Generator) -> Iterator[Shape]:
    """Yield (name, first way, second way) of three shapes of two-way effects."""
    units = ROWS // 10
    yield "100,000 × 10 periods", np.repeat(np.arange(units), 10), np.tile(np.arange(10), units)
    yield "2,000 × 500", rng.integers(0, 2_000, ROWS), rng.integers(0, 500, ROWS)
    yield "100,000 × 10,000", rng.integers(0, units, ROWS), rng.integers(0, 10_000, ROWS)


def two_way(rng: np.random.Generator) -> Iterator[Timed]:
    X = rng.normal(size=(ROWS, 2))
    y = X @ [1.0, -0.5] + rng.normal(size=ROWS)
    for shape, first, second in shapes(rng):

        def ours(a: np.ndarray = first, b: np.ndarray = second) -> object:
            return least_squares(y, X, [a, b])

        def means(a: np.ndarray = first, b: np.ndarray = second) -> None:
            # Each column once to each way's sums and back: what any exact method must do.
            for column in (y, *np.ascontiguousarray(X.T)):
                for codes in (a, b):
                    column - np.bincount(codes, column)[codes]

        def peer(a: np.ndarray = first, b: np.ndarray = second) -> object:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import pyfixest

                table = pd.DataFrame({"y": y, "x1": X[:, 0], "x2": X[:, 1], "a": a, "b": b})
                return pyfixest.feols("y ~ x1 + x2 | a + b", table, vcov="iid")

        name = f"two-way effects, {ROWS:,} rows, {shape}"
        yield name, ours, means, "one pass of level means a way and column"
        yield name, ours, peer, "pyfixest"


def cr2(rng: np.random.Generator) -> Iterator[Timed]:
    unit, period = np.repeat(np.arange(UNITS), PERIODS), np.tile(np.arange(PERIODS), UNITS)
    X = rng.normal(size=(UNITS * PERIODS, 2))
    y = X @ [1.0, -0.5] + rng.normal(size=len(X))
    full = np.column_stack(
        [X, unit[:, None] == np.arange(UNITS), period[:, None] == np.arange(1, PERIODS)]
    )
    full = full.astype(np.float64)

    def ours() -> object:
        return cluster_covariance(least_squares(y, X, [unit, period]), unit)

    def written_out() -> object:
        """The same from the full design, with G × n matrices."""
        inverse = np.linalg.inv(full.T @ full)
        error = y - full @ (inverse @ (full.T @ y))
        score, turned = np.empty((UNITS, 2)), np.empty((2, UNITS, len(y)))
        for g in range(UNITS):
            inside = slice(g * PERIODS, (g + 1) * PERIODS)
            block = np.eye(PERIODS) - full[inside] @ inverse @ full[inside].T
            values, vectors = np.linalg.eigh(block)
            kept = values > 1e-10
            adjust = (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T
            turn = inverse[:2] @ full[inside].T @ adjust
            score[g] = turn @ error[inside]
            turned[:, g] = -(turn @ full[inside] @ inverse) @ full.T
            turned[:, g, inside] += turn
        omega = turned @ turned.transpose(0, 2, 1)
        df = np.trace(omega, axis1=1, axis2=2) ** 2 / (omega**2).sum(axis=(1, 2))
        return score.T @ score, df

    blocks = rng.normal(size=(UNITS, PERIODS, PERIODS))
    blocks = blocks @ blocks.transpose(0, 2, 1)

    def eigen() -> object:
        return np.linalg.eigh(blocks)

    name = f"CR2 and its df, {len(y):,} rows, {UNITS} clusters, two-way dummies"
    yield name, ours, eigen, "eigh of a block a cluster"
    yield name, ours, written_out, "the formulas on the full design"


def benchmarks() -> Iterator[Timed]:
    """Yield (name, ours, floor or peer, what that is)."""
    rng = np.random.default_rng(0)
    yield from cr2(rng)
    yield from two_way(rng)
