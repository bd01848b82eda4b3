"""R as a peer: one process that has read a table, and does a call each time it is asked.

It runs on one core, as ours does: some packages fork by default.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path


def in_r(call: str, table: Path) -> Callable[[], object]:
    """Return a function that makes R, which has read the answers, do the call once."""
    started: list[subprocess.Popen[str]] = []

    def once() -> object:
        if not started:
            command = ["R", "--vanilla", "--no-echo"]
            r = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            started.append(r)
            tell(r, f'options(mc.cores = 1); x <- read.csv("{table.as_posix()}")')
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
