"""Polychoric correlations from answers, beside R's lavaan and psych where they are installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from lgpi_research.methods.ordinal import ordinal_alpha
from lgpi_research.methods.polychoric import PairCounts, polychoric

N, ITEMS, DRAWS = 2800, 25, 400
CUTS = [-1.8, -1.1, -0.4, 0.4, 1.2]

PEERS = {
    "lavaan": "lavaan::lavCor(x, ordered = names(x))",
    "psych": "psych::polychoric(x)",
}


def in_r(call: str, table: Path) -> Callable[[], object]:
    """Return a function that makes R, which has read the answers, do the call once."""
    started: list[subprocess.Popen[str]] = []

    def once() -> object:
        if not started:
            command = ["R", "--vanilla", "--no-echo"]
            r = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            started.append(r)
            tell(r, f'x <- read.csv("{table.as_posix()}")')
        return tell(started[0], f'invisible(tryCatch({call}, error = function(e) cat("none\\n")))')

    return once


def tell(r: subprocess.Popen[str], line: str) -> str:
    """Send R a line, and return what it says until it is done."""
    assert r.stdin is not None
    assert r.stdout is not None
    print(f'{line}; cat("done\\n")', file=r.stdin, flush=True)
    said = ""
    while (heard := r.stdout.readline()) != "done\n":
        if not heard or "none" in heard:
            raise ImportError(name=line.partition("::")[0].rpartition("(")[2])
        said += heard
    return said


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
