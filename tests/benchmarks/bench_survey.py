"""Bootstrap replicates of a survey and the means under them, beside R's survey if it is there."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from lgpi_research.methods.design import Design
from lgpi_research.methods.replicate_estimates import replicate_means, replicate_regression
from lgpi_research.methods.replication import replicate_weights

ROWS, STRATA, PSUS, ITEMS, DRAWS, TERMS = 24_000, 60, 1_200, 50, 500, 5

SET_UP = """
suppressPackageStartupMessages(library(survey))
x <- read.csv("{table}")
made <- svydesign(id = ~psu, strata = ~stratum, weights = ~weight, data = x)
means <- reformulate(paste0("q", 0:{last}))
line <- reformulate(paste0("q", 1:{terms}), "q0")
drawn <- function() as.svrepdesign(made, type = "subbootstrap", replicates = {draws})
kept <- drawn()
"""


class R:
    """One R session that keeps what it was told."""

    def __init__(self, lines: str) -> None:
        command = ["R", "--vanilla", "--no-echo"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.tell(lines)

    def tell(self, lines: str) -> None:
        """Have lines done, and wait until they are."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(lines, 'cat("done\\n")', sep="\n", file=self.process.stdin, flush=True)
        while (heard := self.process.stdout.readline()) != "done\n":
            if not heard:
                raise ImportError(name="survey")

    def close(self) -> None:
        """Let R go."""
        self.process.communicate("q()\n")


def benchmarks() -> Iterable[tuple[str, Callable[[], object], Callable[[], object], str]]:
    rng = np.random.default_rng(0)
    psu = np.arange(ROWS) * PSUS // ROWS
    stratum = psu * STRATA // PSUS
    weights = rng.uniform(0.5, 2.0, ROWS)
    answers = rng.integers(1, 6, (ROWS, ITEMS)).astype(float)
    design = Design.from_labels(ROWS, weights=weights, strata=stratum, stages=[psu])
    sums = rng.normal(size=(PSUS, ITEMS + 1))
    terms = np.column_stack([np.ones(ROWS), answers[:, 1 : 1 + TERMS]])

    kept = replicate_weights(design, "subbootstrap", rng=np.random.default_rng(0), size=DRAWS)

    def means() -> object:
        return replicate_means(answers, weights, kept)

    def both() -> object:
        made = replicate_weights(design, "subbootstrap", rng=np.random.default_rng(0), size=DRAWS)
        return replicate_means(answers, weights, made)

    def line() -> object:
        return replicate_regression(answers[:, 0], terms, weights, kept)

    def floor() -> object:
        return kept.multipliers @ sums

    size = f"{DRAWS} bootstrap replicates, {ROWS:,} rows in {PSUS:,} PSUs"
    yield f"{size}: weights and means of {ITEMS} items", both, floor, "one product, weights by PSU"
    yield f"{size}: means of {ITEMS} items", means, floor, "one product, weights by PSU"

    if not shutil.which("R"):
        return
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "answers.csv"
        head = ",".join(["psu", "stratum", "weight", *(f"q{item}" for item in range(ITEMS))])
        np.savetxt(
            table, np.column_stack([psu, stratum, weights, answers]),
            fmt="%.12g", delimiter=",", header=head, comments="",
        )  # fmt: skip
        told = SET_UP.format(table=table.as_posix(), last=ITEMS - 1, terms=TERMS, draws=DRAWS)
        r = R(told)
        try:
            pairs = {
                f"weights and means of {ITEMS} items": (both, "invisible(svymean(means, drawn()))"),
                f"means of {ITEMS} items": (means, "invisible(svymean(means, kept))"),
                f"regression of {TERMS + 1} terms": (line, "invisible(svyglm(line, kept))"),
            }
            for what, (ours, call) in pairs.items():
                yield f"{size}: {what}", ours, lambda call=call: r.tell(call), "R's survey"
        finally:
            r.close()
