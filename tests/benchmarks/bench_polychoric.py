"""Polychoric correlations from answers, beside R's lavaan and psych where they are installed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from r_peer import in_r

from lgpi_research.methods.ordinal import ordinal_alpha
from lgpi_research.methods.polychoric import PairCounts, polychoric

N, ITEMS, DRAWS = 2800, 25, 400
CUTS = [-1.8, -1.1, -0.4, 0.4, 1.2]

PEERS = {
    "lavaan": "lavaan::lavCor(x, ordered = names(x))",
    "psych": "psych::polychoric(x)",
}


def benchmarks() -> Iterable[tuple[str, Callable[[], object], Callable[[], object], str]]:
    rng = np.random.default_rng(0)
    load = rng.uniform(0.4, 0.8, ITEMS)
    noise = rng.normal(size=(N, ITEMS)) * np.sqrt(1 - load**2)
    answers = np.digitize(rng.normal(size=(N, 1)) * load + noise, CUTS).astype(float)
    marks = (answers[:, :, None] == np.arange(6)).reshape(N, -1).astype(float)
    points = rng.normal(size=(ITEMS * (ITEMS - 1) // 2, 5, 5))

    def ours() -> object:
        return polychoric(PairCounts.from_answers(answers))

    def floor() -> object:
        for _ in range(20 * 4):  # nodes of the quadrature, Newton steps
            np.exp(points)
        return marks.T @ marks

    name = f"polychoric correlations, {N:,} × {ITEMS}"
    yield name, ours, floor, "the answers counted, and the exponentials of four Newton steps"

    if shutil.which("R"):
        with tempfile.TemporaryDirectory() as folder:
            head = ",".join(f"q{item}" for item in range(ITEMS))
            table = Path(folder) / "answers.csv"
            np.savetxt(table, answers, fmt="%d", delimiter=",", header=head, comments="")
            for package, call in PEERS.items():
                yield name, ours, in_r(call, table), f"R's {package}"

    few = answers[:, :6]
    draws = rng.multinomial(N, np.full(N, 1 / N), size=DRAWS)
    counts = PairCounts.from_answers(few, weights=draws)

    def replicates() -> object:
        return ordinal_alpha(counts)

    def one_by_one() -> object:
        return [ordinal_alpha(PairCounts(table, counts.sizes)) for table in counts.counts]

    yield (
        f"ordinal alpha, {DRAWS} replicates of 6 items from their counts",
        replicates,
        one_by_one,
        "one replicate after the other",
    )
