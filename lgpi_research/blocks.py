"""Work in blocks of draws: workers, progress, checkpoints. The only user of joblib.

A block is always computed whole, with one BLAS thread, because the last bits of a
product change with its shape and its threads; what a run needs of it is cut
afterwards. Blocks are folded into sums in their order, so a result does not depend
on the number of workers, and a run that was interrupted goes on from its last block.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from threadpoolctl import ThreadpoolController
from tqdm import tqdm

from lgpi_research.errors import DataError, SpecError
from lgpi_research.streams import BLOCK

__all__ = ["BlockWork", "Checkpoint", "digest", "fold_blocks"]

logger = logging.getLogger(__name__)

_SEAL = hashlib.sha256().digest_size  # each stored block ends with the digest of the rest

Sums = dict[str, np.ndarray]
BlockWork = Callable[[int, int], Sums]
"""``work(block, size) -> sums``: the first `size` draws of a block, folded into additive arrays."""


def _plain(value: Any) -> Any:
    """Turn a value into what JSON can hold, arrays and frames as digests of their bytes."""
    if isinstance(value, pd.DataFrame):
        columns = {str(name): _plain(value[name].to_numpy()) for name in value.columns}
        return ["frame", len(value), columns]
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "OUSTV":
            return [_plain(item) for item in value.tolist()]
        array = np.ascontiguousarray(value)
        return [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
    if isinstance(value, np.generic):
        return value.item()
    if is_dataclass(value) and not isinstance(value, type):
        return {"type": type(value).__name__, **{k: _plain(v) for k, v in _shallow(value).items()}}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return ["set", *sorted(json.dumps(_plain(item), sort_keys=True) for item in value)]
    if isinstance(value, functools.partial):
        return ["partial", *map(_plain, (value.func, value.args, value.keywords))]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if callable(value):
        return f"{value.__module__}.{value.__qualname__}"
    raise SpecError(f"Cannot take the digest of a {type(value).__name__}.")


def _shallow(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def digest(*parts: Any) -> str:
    """Return the SHA-256 of values: text, numbers, mappings, dataclasses, arrays, frames.

    Examples
    --------
    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps([_plain(part) for part in parts], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Checkpoint:
    """A folder of finished blocks, one ``.npz`` each, named by what they belong to.

    Parameters
    ----------
    root : Path
        Folder that holds the checkpoints of any number of runs.
    key : str
        Digest of data, specification, seed, versions and format: blocks of another
        run are never taken up.
    """

    root: Path
    key: str

    def _path(self, block: int, size: int) -> Path:
        return self.root / self.key[:32] / f"block-{block:06d}-{size}.npz"

    def load(self, block: int, size: int) -> Sums | None:
        """Return a finished block, or None; a damaged one is reported and computed again."""
        path = self._path(block, size)
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        body, seal = content[:-_SEAL], content[-_SEAL:]
        if hashlib.sha256(body).digest() != seal:
            logger.warning("Block %d is damaged; it is computed again.", block)
            return None
        with np.load(io.BytesIO(body), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}

    def save(self, block: int, size: int, sums: Sums) -> None:
        """Write a block aside, then rename it, so that half a block is never seen.

        Raises
        ------
        DataError
            If the folder cannot be written, or the disk is full.
        """
        path = self._path(block, size)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **sums)
        body = buffer.getvalue()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                aside.write_bytes(body + hashlib.sha256(body).digest())
                aside.replace(path)
            finally:
                aside.unlink(missing_ok=True)
        except OSError as error:
            raise DataError(
                f"Cannot write the checkpoint {path.name}: {error.strerror or error}. "
                "Free some space or choose another folder; finished blocks are kept."
            ) from error


@functools.cache
def _threads() -> ThreadpoolController:
    """Return the process's BLAS libraries; looking for them takes longer than many a block."""
    return ThreadpoolController()


def _whole(work: BlockWork, block: int, size: int) -> Sums:
    with _threads().limit(limits=1):
        return work(block, size)


def _finished(
    work: BlockWork,
    tasks: list[tuple[int, int]],
    n_jobs: int | None,
) -> Iterator[Sums]:
    """Yield the sums of each task in order, from workers if there are any."""
    if not tasks:
        return
    options = {} if n_jobs is None else {"n_jobs": n_jobs}
    yield from Parallel(return_as="generator", **options)(
        delayed(_whole)(work, block, size) for block, size in tasks
    )


def fold_blocks(
    work: BlockWork,
    n_draws: int,
    *,
    n_jobs: int | None = None,
    checkpoint: Checkpoint | None = None,
    label: str = "draws",
) -> Sums:
    """Run `work` over all blocks of `n_draws` draws and add up what it returns.

    Parameters
    ----------
    work : callable
        ``work(block, size)`` returns named arrays that add over blocks. It must be
        picklable when there are workers, and depend on nothing but its arguments.
    n_draws : int
        Number of draws, at least 1.
    n_jobs : int or None, default None
        Workers. None takes joblib's context, so that
        ``with joblib.parallel_config(backend="dask"):`` chooses a cluster.
    checkpoint : Checkpoint or None, default None
        Where finished blocks are kept.
    label : str, default "draws"
        Shown beside the progress bar, which goes to standard error.

    Returns
    -------
    dict of str to ndarray
        Sums over blocks, added in the order of the blocks.

    Raises
    ------
    SpecError
        If `n_draws` is not a positive whole number.

    Examples
    --------
    >>> fold_blocks(lambda block, size: {"n": np.array(size)}, 1500)["n"]
    np.int64(1500)
    """
    if isinstance(n_draws, bool) or not isinstance(n_draws, int | np.integer) or n_draws < 1:
        raise SpecError(f"The number of draws must be a whole number >= 1, got {n_draws!r}.")
    if n_jobs == 0:
        raise SpecError("n_jobs must not be 0: use 1 for one worker, -1 for all cores.")
    tasks = [
        (block, min(BLOCK, int(n_draws) - block * BLOCK))
        for block in range(math.ceil(n_draws / BLOCK))
    ]
    # Every stored block is read twice, first to see that it is whole: holding them all would
    # make memory grow with the number of draws.
    missing = [task for task in tasks if not (checkpoint and checkpoint.load(*task))]
    if len(missing) < len(tasks):
        logger.info("%s: %d of %d blocks to do.", label, len(missing), len(tasks))
    fresh = _finished(work, missing, n_jobs)
    todo = set(missing)
    total: Sums = {}
    for task in tqdm(tasks, desc=label, unit="block", delay=2, disable=None, leave=False):
        sums = None if checkpoint is None or task in todo else checkpoint.load(*task)
        if sums is None:
            sums = next(fresh) if task in todo else _whole(work, *task)
            if checkpoint is not None:
                checkpoint.save(task[0], task[1], sums)
        for name, value in sums.items():
            wide = value.astype(np.int64) if value.dtype.kind in "iu" else value
            total[name] = total[name] + wide if name in total else wide
    return total
