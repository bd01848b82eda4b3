"""Bootstrap of coefficient alpha over clusters, from answers to replicates."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from lgpi_research.methods.consistency import alpha
from lgpi_research.methods.replicates import rao_wu
from lgpi_research.moments import Moments
from lgpi_research.registry import resolve
from lgpi_research.reliability import replicate_coefficients

N, ITEMS, CLUSTERS, DRAWS = 24_000, 50, 400, 1000


def benchmarks() -> Iterable[tuple[str, Callable[[], object], Callable[[], object], str]]:
    rng = np.random.default_rng(0)
    clusters = rng.permutation(np.repeat(np.arange(CLUSTERS), N // CLUSTERS))
    trait = rng.normal(size=CLUSTERS)[clusters] / 3 + rng.normal(size=N)
    answers = np.clip(np.rint(3 + trait[:, None] + rng.normal(size=(N, ITEMS))), 1, 5)
    shape = Moments.from_answers(answers, psu=clusters, needs="variances").sums.shape
    kept = rng.normal(size=shape)

    def ours() -> object:
        moments = Moments.from_answers(answers, psu=clusters, needs="variances")
        wanted = {("all items", "alpha"): alpha}
        return replicate_coefficients(moments, wanted, kind="bootstrap", n_draws=DRAWS)

    def floor() -> object:
        centred = answers - 3.0
        squares = np.einsum("ij,ij->j", centred, centred)
        total = np.square(centred.sum(axis=1)).sum()
        draws = rao_wu(rng, np.zeros(CLUSTERS, dtype=int), DRAWS)
        return centred.sum(axis=0), squares, total, draws @ kept

    yield (
        f"alpha, {DRAWS:,} bootstrap draws of {CLUSTERS} clusters, {N:,} × {ITEMS}",
        ours,
        floor,
        "the answers read once for their sums and squares, the draws drawn and multiplied",
    )

    few = Moments.from_answers(answers[:, :10], psu=clusters)

    def omega() -> object:
        wanted = {("all items", "omega"): resolve("coefficient", "omega")}
        return replicate_coefficients(few, wanted, kind="bootstrap", n_draws=DRAWS)

    def one_by_one() -> object:
        draws = rng.multinomial(CLUSTERS - 1, np.full(CLUSTERS, 1 / CLUSTERS), size=DRAWS)
        spread = few.spread(None, few.replicate(draws))
        assert spread.covariance is not None
        return [np.linalg.eigh(matrix) for matrix in spread.covariance]

    yield (
        f"omega, {DRAWS:,} bootstrap draws of {CLUSTERS} clusters, 10 items",
        omega,
        one_by_one,
        "the draws drawn and multiplied, and one eigendecomposition a draw",
    )
