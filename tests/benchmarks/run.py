"""Time the package beside floors and peers that are measured in the same run.

``python tests/benchmarks/run.py [PATTERN]`` runs the benchmarks whose module or name contains
the pattern. Each ``bench_*.py`` beside this file defines ``benchmarks()``, which yields
``(name, ours, other, what the other is)``: two functions without arguments that do the same
work, or the least work that any program must do. `other` may be None.

The two are called in turn, after one call that does not count, on one BLAS thread. Shown are
the medians, the median ratio of neighbouring calls with its range, and the peak of memory that
one more call of ours allocates through NumPy and Python.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

# One thread for every BLAS, also for those that benchmarks load later.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

import numpy as np  # noqa: E402  after the variables, which NumPy reads once

SECONDS = 6.0  # for the calls of one pair
FEWEST, MOST = 3, 51

Call = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Seconds of the calls of ours and of the other, pair by pair; bytes of ours."""

    ours: list[float]
    other: list[float] | None
    peak: int

    def row(self) -> str:
        """Return the figures as the columns of the table."""
        ours = f"{1e3 * statistics.median(self.ours):10.2f}"
        if self.other is None:
            other, ratio = "-", "-"
        else:
            ratios = [a / b for a, b in zip(self.ours, self.other, strict=True)]
            other = f"{1e3 * statistics.median(self.other):.2f}"
            ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        return f"{ours}  {other:>10}  {ratio:>22}  {self.peak / 1e6:8.1f}"


HEAD = f"{'ours, ms':>10}  {'other, ms':>10}  {'ratio (least-most)':>22}  {'peak, MB':>8}"


def seconds_of(call: Call) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(ours: Call, other: Call | None, seconds: float) -> Timing:
    """Call both in turn for about so many seconds, then ours once more for its memory."""
    calls = [ours] if other is None else [ours, other]
    once = sum(seconds_of(call) for call in calls)
    repetitions = min(MOST, max(FEWEST, int(seconds / max(once, 1e-9))))
    pairs = [[seconds_of(call) for call in calls] for _ in range(repetitions)]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        ours()
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    columns = [list(column) for column in zip(*pairs, strict=True)]
    return Timing(columns[0], None if other is None else columns[1], peak)


def chosen(folder: Path, pattern: str) -> Iterator[tuple[str, Call, Call | None, str]]:
    """Yield the benchmarks whose module or name contains the pattern."""
    sys.path.insert(0, str(folder))
    for path in sorted(folder.glob("bench_*.py")):
        module = importlib.import_module(path.stem)
        try:
            for name, ours, other, what in module.benchmarks():
                if pattern.casefold() in f"{path.stem} {name}".casefold():
                    yield name, ours, other, what
        except ImportError as error:
            print(f"{path.name}: the rest is left out, {error.name} is not installed")


def machine() -> str:
    """Return one line about what the figures were measured on."""
    model = platform.processor() or platform.machine()
    described = Path("/proc/cpuinfo")
    if described.exists():
        lines = described.read_text("utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    return (
        f"{model}, {os.cpu_count()} cores, one BLAS thread; {platform.system()}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}"
    )


def main() -> int:
    """Run the benchmarks and print their table; 1 if none was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pattern", nargs="?", default="", help="part of a module or a name")
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each pair of calls")
    options = parser.parse_args()
    print(machine(), flush=True)
    print(f"{HEAD}  what, beside what", flush=True)
    found = 0
    for name, ours, other, what in chosen(options.folder, options.pattern):
        found += 1
        try:
            timing, note = measure(ours, other, options.seconds), what
        except ImportError as error:
            timing = measure(ours, None, options.seconds)
            note = f"{what} (left out: {error.name} is not installed)"
        print(f"{timing.row()}  {name}: {note}", flush=True)
    if not found:
        print(f"No benchmark contains {options.pattern!r}.", file=sys.stderr)
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
