"""The benchmark runner: ratios of calls in turn, memory, and what is said of a missing peer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).parent / "benchmarks" / "run.py"

MODULE = """
import time
import numpy as np


def peerless():
    import a_package_that_nobody_has


def benchmarks():
    yield "waiting", lambda: time.sleep(0.03), lambda: time.sleep(0.01), "a third of it"
    yield "alone", lambda: np.ones(5_000_000).sum(), None, "nothing"
    yield "without its peer", lambda: time.sleep(0.001), peerless, "a peer"
    import another_package_that_nobody_has
"""


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RUN), "--folder", str(folder), "--seconds", "0.2", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_table(tmp_path: Path) -> None:
    (tmp_path / "bench_of_test.py").write_text(MODULE, encoding="utf-8")
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    machine, head, waiting, alone, peer, rest = done.stdout.splitlines()
    assert "one BLAS thread" in machine
    assert head.split()[:2] == ["ours,", "ms"]
    ours, other, ratio = waiting.split()[:3]
    assert float(ours) >= 30
    assert float(other) >= 10
    assert float(ratio) > 1
    assert waiting.endswith("waiting: a third of it")
    assert alone.split()[1:3] == ["-", "-"]
    assert 40 <= float(alone.split()[3]) < 42  # five million doubles
    assert "left out: a_package_that_nobody_has is not installed" in peer
    assert "the rest is left out, another_package_that_nobody_has is not installed" in rest


def test_a_pattern_chooses_and_nothing_found_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bench_of_test.py").write_text(MODULE, encoding="utf-8")
    done = run(tmp_path, "ALONE")
    assert done.returncode == 0
    assert "waiting" not in done.stdout
    none = run(tmp_path, "nothing like it")
    assert none.returncode == 1
    assert "No benchmark contains 'nothing like it'" in none.stderr
