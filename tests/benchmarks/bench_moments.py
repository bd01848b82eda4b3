"""Moments of a survey larger than memory: read in blocks, and by the workers of a cluster.

Each call is a process of its own, so that the peak of its memory is that of the whole program.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pa_dataset
import pyarrow.parquet as pq

from lgpi_research.chunks import moments_from_dask, moments_from_file
from lgpi_research.moments import ROWS

N, ITEMS, CLUSTERS = 2_000_000, 50, 4000
MOST = 1e9  # bytes
NAMES = [f"q{item + 1}" for item in range(ITEMS)]
OPTIONS = {"psu": "psu", "weight": "weight", "items": NAMES, "missing_codes": [9]}


def write(path: Path) -> None:
    """Write respondents in random order; about 1 in 200 answers is missing, coded 9."""
    rng = np.random.default_rng(0)
    effect = rng.normal(size=CLUSTERS) / 3
    writer = None
    for start in range(0, N, ROWS):
        n = min(ROWS, N - start)
        psu = rng.integers(0, CLUSTERS, n, dtype=np.int32)
        trait = effect[psu] + rng.normal(size=n)
        columns = {}
        for name in NAMES:
            answer = np.clip(np.rint(3 + trait + rng.normal(size=n)), 1, 5).astype(np.int8)
            answer[rng.random(n) < 0.005] = 9
            columns[name] = answer
        table = pa.table({**columns, "psu": psu, "weight": rng.uniform(0.2, 3, n)})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=ROWS)
    if writer is not None:
        writer.close()


def in_blocks(path: Path) -> str:
    return moments_from_file(path, **OPTIONS).digest


def floor(path: Path) -> str:
    total = 0
    for batch in pa_dataset.dataset(path).to_batches(columns=[*NAMES, "psu", "weight"]):
        total += sum(len(column) for column in batch.columns)
    return str(total)


def with_dask(path: Path) -> str:
    import dask.dataframe as dd
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        frame = dd.read_parquet(path, split_row_groups=1)
        return moments_from_dask(frame, **OPTIONS).digest


def in_a_process(what: str, path: Path) -> dict[str, float | str]:
    """Run one of the three in a process and return its seconds, peak of memory and digest."""
    done = subprocess.run(
        [sys.executable, __file__, what, str(path)], capture_output=True, text=True, check=True
    )
    found: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
    return found


def benchmarks() -> Iterable[tuple[str, Callable[[], object], Callable[[], object], str]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "survey.parquet"
        write(path)
        runs = {what: in_a_process(what, path) for what in ("in_blocks", "floor", "with_dask")}
        if runs["in_blocks"]["digest"] != runs["with_dask"]["digest"]:
            raise RuntimeError("two Dask workers give other moments than one process.")
        if float(runs["in_blocks"]["peak"]) > MOST:
            raise RuntimeError(f"reading in blocks took {runs['in_blocks']['peak']} bytes.")
        told = {what: f"{float(run['peak']) / 1e6:.0f} MB at most" for what, run in runs.items()}
        size = f"{N:,} respondents, {ITEMS} items, {CLUSTERS:,} clusters in random order"
        yield (
            f"covariances by cluster of a Parquet file, {size}; process of {told['in_blocks']}",
            lambda: in_a_process("in_blocks", path),
            lambda: in_a_process("floor", path),
            f"the file read by pyarrow alone, in a process of {told['floor']}",
        )
        yield (
            f"the same bytes with two Dask workers; the client, {told['with_dask']}",
            lambda: in_a_process("with_dask", path),
            lambda: in_a_process("in_blocks", path),
            "one process, without Dask",
        )


if __name__ == "__main__":
    call = {"in_blocks": in_blocks, "floor": floor, "with_dask": with_dask}[sys.argv[1]]
    begin = time.perf_counter()
    result = call(Path(sys.argv[2]))
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"digest": result, "seconds": seconds, "peak": peak}))
