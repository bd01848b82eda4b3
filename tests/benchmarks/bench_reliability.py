"""Bootstrap of coefficients over clusters and respondents, from answers to replicates."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from r_peer import in_r

from lgpi_research.coefficients import replicate_coefficients
from lgpi_research.methods.consistency import alpha
from lgpi_research.methods.replicates import rao_wu
from lgpi_research.moments import Moments
from lgpi_research.registry import resolve

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

    respondents = answers_of_respondents(rng)

    def of_respondents() -> object:
        n = len(respondents)
        moments = Moments.from_answers(respondents, psu=np.arange(n), needs="variances")
        wanted = {("all items", "alpha"): alpha}
        return replicate_coefficients(moments, wanted, kind="bootstrap", n_draws=DRAWS)

    def draws_only() -> object:
        n = len(respondents)
        counts = rng.multinomial(n, np.full(n, 1 / n), size=DRAWS)
        return counts.astype(float) @ np.column_stack([respondents**2, respondents])

    name = f"alpha, {DRAWS:,} bootstrap draws of respondents, 2,800 × 25"
    yield name, of_respondents, draws_only, "the draws drawn, and one product"
    if shutil.which("R"):
        with tempfile.TemporaryDirectory() as folder:
            head = ",".join(f"q{item}" for item in range(25))
            table = Path(folder) / "answers.csv"
            np.savetxt(table, respondents, fmt="%d", delimiter=",", header=head, comments="")
            call = f"psych::alpha(x, check.keys = FALSE, n.iter = {DRAWS}, warnings = FALSE)"
            yield name, of_respondents, in_r(call, table), "R's psych"


def answers_of_respondents(rng: np.random.Generator) -> np.ndarray:
    """Return complete answers of 2,800 respondents to 25 items of six points."""
    trait = rng.normal(size=(2800, 1))
    return np.clip(np.rint(3.5 + 0.8 * trait + rng.normal(size=(2800, 25))), 1, 6)
