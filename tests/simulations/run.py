"""Measure how often intervals hold the truth, in samples from populations that are known.

``python tests/simulations/run.py [PATTERN] [--runs N] [--jobs N] [--out FILE]`` runs the
conditions whose topic or name contains the pattern, prints their coverage, and writes it to the
table (``coverage.csv`` beside this file), whose rows of other conditions stay. Each run has a
seed of its own, and runs are added up in their order: the table does not depend on the number of
jobs.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

# One thread for every BLAS: the last bits of a product change with their number.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pandas as pd  # noqa: E402  after the variables, which NumPy reads once

from tests.simulations.condition import CHUNK, Condition, Tally, added  # noqa: E402

TOPICS = ("consistency", "correlations", "places")
TABLE = Path(__file__).with_name("coverage.csv")
DIGITS = 6  # that other machines agree on

COLUMNS = (
    "topic", "condition", "coefficient", "interval", "items", "loadings", "points", "cuts", "share",
    "item_share", "strata", "weights", "psus", "per_psu", "places", "answers", "place_share",
    "runs", "truth", "bias", "coverage", "monte_carlo_error", "below_truth", "above_truth",
    "mean_width", "without_interval",
)  # fmt: skip


@cache
def conditions(topic: str) -> dict[str, Condition]:
    """Return the conditions of a topic by name."""
    module = importlib.import_module(f"tests.simulations.{topic}")
    return {condition.name: condition for condition in module.conditions()}


def tally(job: tuple[str, str, int, int, int]) -> Tally:
    """Return the sums of some runs of a condition."""
    topic, name, seed, first, last = job
    return conditions(topic)[name].tally(seed, first, last)


def measure(topic: str, name: str, runs: int, jobs: int, seed: int) -> list[dict[str, object]]:
    """Return the rows of a condition."""
    starts = range(0, runs, CHUNK)
    work = [(topic, name, seed, start, min(start + CHUNK, runs)) for start in starts]
    if jobs == 1:
        whole = added(map(tally, work))
    else:
        with ProcessPoolExecutor(jobs) as workers:
            whole = added(workers.map(tally, work))
    return [{"topic": topic, **row} for row in conditions(topic)[name].rows(runs, whole)]


def chosen(pattern: str) -> Iterator[tuple[str, str]]:
    """Yield the topics and names of conditions that contain the pattern."""
    for topic in TOPICS:
        for name in conditions(topic):
            if pattern.casefold() in f"{topic}: {name}".casefold():
                yield topic, name


def write(rows: list[dict[str, object]], out: Path) -> None:
    """Put rows in the table, in the place of those of the same conditions, and sort it."""
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    if out.exists():
        old = pd.read_csv(out)
        mine = set(zip(table["topic"], table["condition"], strict=True))
        kept = [key not in mine for key in zip(old["topic"], old["condition"], strict=True)]
        table = pd.concat([old[kept].astype(object), table.astype(object)])
    order = {key: number for number, key in enumerate(chosen(""))}
    keys = list(zip(table["topic"], table["condition"], strict=True))
    table = table[[key in order for key in keys]]
    place = [order[key] for key in keys if key in order]
    table = table.assign(place=place).sort_values("place", kind="stable").drop(columns="place")
    table = table.infer_objects()  # numbers that stood in columns of objects are rounded too
    table.to_csv(out, index=False, float_format=f"%.{DIGITS}g", lineterminator="\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulations, print and write their table; 1 if none was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pattern", nargs="?", default="", help="part of a topic or a name")
    parser.add_argument("--runs", type=int, default=2500, help="samples of each condition")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--missing", action="store_true", help="those the table does not have")
    parser.add_argument("--out", type=Path, default=TABLE, help="the table to write")
    options = parser.parse_args(arguments)
    wanted = list(chosen(options.pattern))
    if options.missing and options.out.exists():
        old = pd.read_csv(options.out)
        had = set(zip(old["topic"], old["condition"], strict=True))
        wanted = [key for key in wanted if key not in had]
    for topic, name in wanted:
        rows = measure(topic, name, options.runs, options.jobs, options.seed)
        print(f"{topic}: {name}", flush=True)
        for row in rows:
            print(
                f"  {row['coefficient']:<38} {row['interval']:<42} {row['coverage']:6.1%} "
                f"+- {row['monte_carlo_error']:.1%}  bias {row['bias']:+.4f}",
                flush=True,
            )
        write(rows, options.out)
    if not wanted:
        print(f"No condition to run contains {options.pattern!r}.", file=sys.stderr)
    return 0 if wanted else 1


if __name__ == "__main__":
    sys.exit(main())
