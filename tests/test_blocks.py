"""Blocks: the same bytes whatever the workers, and interrupted work goes on."""

from __future__ import annotations

import functools
import logging
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_info

from lgpi_research.blocks import Checkpoint, digest, fold_blocks
from lgpi_research.errors import DataError, SpecError
from lgpi_research.streams import BLOCK, stream
from tests.full_disk import full_disk

ROOT = Path(__file__).resolve().parents[1]


def draw_sums(block: int, size: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Fold one block of a product whose last bits depend on shape and threads."""
    draws = stream(seed, "weights", block).dirichlet(np.ones(30), size=BLOCK)
    scores = (draws @ np.linspace(-1, 1, 30 * 40).reshape(30, 40))[:size]
    return {
        "n": np.array(size),
        "sum": scores.sum(axis=0),
        "best": np.bincount(scores.argmax(axis=1), minlength=40),
    }


def as_bytes(sums: dict[str, np.ndarray]) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in sums.items()}


class Counted:
    """Work that remembers which blocks it was asked for, and can be stopped at one."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.blocks: list[int] = []
        self.stop_at = stop_at

    def __call__(self, block: int, size: int) -> dict[str, np.ndarray]:
        if block == self.stop_at:
            raise KeyboardInterrupt
        self.blocks.append(block)
        return draw_sums(block, size)


def test_blocks_cover_every_draw_once() -> None:
    for n_draws, sizes in [(1, [1]), (1024, [1024]), (1025, [1024, 1]), (3000, [1024, 1024, 952])]:
        seen: list[tuple[int, int]] = []

        def work(block: int, size: int, seen: list[tuple[int, int]] = seen) -> dict[str, Any]:
            seen.append((block, size))
            return {"n": np.array(size)}

        assert fold_blocks(work, n_draws, n_jobs=1)["n"] == n_draws
        assert seen == list(enumerate(sizes))


def test_small_counts_do_not_overflow() -> None:
    total = fold_blocks(lambda *_: {"n": np.array([200], np.uint8)}, 3 * BLOCK)["n"]
    assert total.dtype == np.int64
    assert total == [600]


def test_the_same_bytes_with_one_worker_and_two() -> None:
    one, two = (as_bytes(fold_blocks(draw_sums, 5000, n_jobs=n_jobs)) for n_jobs in (1, 2))
    assert one == two


def test_more_draws_begin_with_the_same() -> None:
    blocks: dict[int, list[bytes]] = {2048: [], 4096: []}
    for n_draws, kept in blocks.items():

        def work(block: int, size: int, kept: list[bytes] = kept) -> dict[str, np.ndarray]:
            sums = draw_sums(block, size)
            kept.append(sums["sum"].tobytes())
            return sums

        fold_blocks(work, n_draws)
    assert blocks[4096][:2] == blocks[2048]


def test_a_block_runs_with_one_blas_thread() -> None:
    def work(block: int, size: int) -> dict[str, np.ndarray]:
        threads = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        assert threads
        return {"threads": np.array(max(threads)), "n": np.array(size)}

    assert fold_blocks(work, 10)["threads"] == 1


@pytest.mark.parametrize("n_draws", [0, -1, 1.5, "10", True, None, np.float64(3)])
def test_a_number_of_draws_that_is_none(n_draws: object) -> None:
    with pytest.raises(SpecError, match="number of draws must be a whole number >= 1, got"):
        fold_blocks(draw_sums, n_draws)


def test_no_workers() -> None:
    with pytest.raises(SpecError, match="n_jobs must not be 0"):
        fold_blocks(draw_sums, 10, n_jobs=0)


def test_an_error_in_a_block_is_raised() -> None:
    def work(block: int, size: int) -> dict[str, np.ndarray]:
        raise DataError(f"block {block}")

    with pytest.raises(DataError, match="block 0"):
        fold_blocks(work, 3000)


# Checkpoints


def test_interrupted_work_goes_on_from_its_last_block(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, digest("run"))
    with pytest.raises(KeyboardInterrupt):
        fold_blocks(Counted(stop_at=3), 5000, n_jobs=1, checkpoint=checkpoint)
    again = Counted()
    resumed = fold_blocks(again, 5000, n_jobs=1, checkpoint=checkpoint)
    assert again.blocks == [3, 4]
    assert as_bytes(resumed) == as_bytes(fold_blocks(draw_sums, 5000))
    third = Counted()
    assert as_bytes(fold_blocks(third, 5000, checkpoint=checkpoint)) == as_bytes(resumed)
    assert third.blocks == []


def kill_at(block: int, size: int, fatal: int) -> dict[str, np.ndarray]:
    """Die without a word at one block, as when the machine stops."""
    if block == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    return draw_sums(block, size)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
def test_a_killed_run_leaves_whole_blocks(tmp_path: Path) -> None:
    program = (
        "import functools; from pathlib import Path\n"
        "from lgpi_research.blocks import Checkpoint, digest, fold_blocks\n"
        "from tests.test_blocks import kill_at\n"
        f"fold_blocks(functools.partial(kill_at, fatal=2), 5000, n_jobs=1,\n"
        f"            checkpoint=Checkpoint(Path({str(tmp_path)!r}), digest('run')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    again = Counted()
    checkpoint = Checkpoint(tmp_path, digest("run"))
    resumed = fold_blocks(again, 5000, n_jobs=1, checkpoint=checkpoint)
    assert again.blocks == [2, 3, 4]
    assert as_bytes(resumed) == as_bytes(fold_blocks(draw_sums, 5000))


def test_more_draws_take_up_the_whole_blocks_of_fewer(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, digest("run"))
    fold_blocks(draw_sums, 2500, checkpoint=checkpoint)
    again = Counted()
    more = fold_blocks(again, 5000, n_jobs=1, checkpoint=checkpoint)
    assert again.blocks == [2, 3, 4]  # the third block was cut
    assert as_bytes(more) == as_bytes(fold_blocks(draw_sums, 5000))


def stored(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "middle", "end", "everywhere"])
def test_a_damaged_block_is_computed_again_and_said_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    checkpoint = Checkpoint(tmp_path, digest("run"))
    whole = as_bytes(fold_blocks(draw_sums, 3000, checkpoint=checkpoint))
    victim = stored(tmp_path)[1]
    content = bytearray(victim.read_bytes())
    places = {
        "middle": [len(content) // 2],
        "end": [-30],
        "everywhere": range(0, len(content), 7),
    }
    for place in places.get(damage, ()):
        content[place] ^= 0xFF
    changed = {"cut": bytes(content[: len(content) // 2]), "empty": b"", "text": b"no archive"}
    victim.write_bytes(changed.get(damage, bytes(content)))
    again = Counted()
    with caplog.at_level(logging.WARNING):
        resumed = fold_blocks(again, 3000, n_jobs=1, checkpoint=checkpoint)
    assert as_bytes(resumed) == whole
    assert again.blocks == [1]
    assert "Block 1 is damaged" in caplog.text
    assert "computed again" in caplog.text
    silent = Counted()
    fold_blocks(silent, 3000, checkpoint=checkpoint)
    assert silent.blocks == []


def test_any_single_damaged_byte_is_noticed(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, digest("run"))
    sums = {"n": np.arange(6), "x": np.linspace(0, 1, 5)}
    checkpoint.save(0, 1024, sums)
    (path,) = stored(tmp_path)
    content = path.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 0x55
        path.write_bytes(bytes(damaged))
        assert checkpoint.load(0, 1024) is None, place
    path.write_bytes(content)
    found = checkpoint.load(0, 1024)
    assert found is not None
    assert as_bytes(found) == as_bytes(sums)


def test_checkpoints_of_another_run_are_not_taken_up(tmp_path: Path) -> None:
    fold_blocks(draw_sums, 3000, checkpoint=Checkpoint(tmp_path, digest("seed", 0)))
    other = Counted()
    fold_blocks(other, 3000, n_jobs=1, checkpoint=Checkpoint(tmp_path, digest("seed", 1)))
    assert other.blocks == [0, 1, 2]


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    fold_blocks(draw_sums, 3000, checkpoint=Checkpoint(tmp_path, digest("run")))
    assert [path.suffix for path in stored(tmp_path)] == [".npz"] * 3


def test_a_full_disk_is_one_message_and_the_run_can_go_on(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, digest("run"))
    fold_blocks(draw_sums, 2048, checkpoint=checkpoint)
    with (
        full_disk(),
        pytest.raises(DataError, match=r"Cannot write the checkpoint .*large") as told,
    ):
        fold_blocks(draw_sums, 5000, n_jobs=1, checkpoint=checkpoint)
    assert "finished blocks are kept" in str(told.value)
    assert str(tmp_path) not in str(told.value)
    assert len(stored(tmp_path)) == 2
    again = Counted()
    resumed = fold_blocks(again, 5000, n_jobs=1, checkpoint=checkpoint)
    assert again.blocks == [2, 3, 4]
    assert as_bytes(resumed) == as_bytes(fold_blocks(draw_sums, 5000))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("in the way")
    with pytest.raises(DataError, match="Cannot write the checkpoint"):
        fold_blocks(draw_sums, 10, checkpoint=Checkpoint(occupied, digest("run")))
    assert occupied.read_text() == "in the way"


# Digests


@dataclass(frozen=True)
class Choice:
    name: str
    weights: dict[str, float]


@dataclass(frozen=True)
class OtherChoice:
    name: str
    weights: dict[str, float]


def test_digests_depend_on_content_alone() -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan], "b": ["x", "ї"]})
    assert digest(frame) == digest(frame.copy())
    assert digest({"a": 1, "b": [2, (3,)]}) == digest({"b": [2, [3]], "a": 1})
    wide = np.arange(12.0).reshape(3, 4)
    assert digest(wide[:, ::2]) == digest(wide[:, ::2].copy())
    assert digest(np.float64(1.5)) == digest(1.5)
    assert digest(Choice("a", {"x": 1.0})) == digest(Choice("a", {"x": 1.0}))
    assert digest(draw_sums) == digest(draw_sums)


def test_every_difference_changes_the_digest() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    values: list[Any] = [
        None,
        0,
        1,
        True,
        1.5,
        np.nan,
        np.inf,
        -np.inf,
        "",
        "1",
        [],
        [1],
        [[1]],
        [1, 2],
        {"a": 1},
        {"a": 2},
        {"b": 1},
        np.array([1.0, 2.0]),
        np.array([[1.0, 2.0]]),
        np.array([1, 2], np.int64),
        np.zeros(2),
        np.zeros(2, np.int64),
        np.array([1, 2], np.int32),
        np.array(["1", "2"]),
        frame,
        frame.rename(columns={"a": "c"}),
        frame.assign(a=[1.0, 2.0 + 1e-15]),
        frame.assign(b=["x", "z"]),
        frame.iloc[:1],
        Choice("a", {"x": 1.0}),
        Choice("b", {"x": 1.0}),
        OtherChoice("a", {"x": 1.0}),
        draw_sums,
        as_bytes,
        functools.partial(draw_sums, seed=1),
        functools.partial(draw_sums, seed=2),
    ]
    digests = [digest(value) for value in values]
    for i, one in enumerate(digests):
        for j in range(i):
            assert one != digests[j], (values[j], values[i])


def test_a_digest_is_the_same_in_another_process() -> None:
    program = (
        "import pandas as pd, numpy as np\n"
        "from lgpi_research.blocks import digest\n"
        "from tests.test_blocks import Choice, draw_sums\n"
        "print(digest(Choice('a', {'x': 1.0}), np.arange(3), pd.DataFrame({'b': ['ї']}),\n"
        "             draw_sums, {'s', 't', 'u'}))\n"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] != ""


# A cluster


@pytest.mark.usefixtures("two_dask_workers")
def test_a_dask_cluster_gives_the_same_bytes(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, digest("run"))
    with joblib.parallel_config(backend="dask"):
        there = fold_blocks(draw_sums, 5000, checkpoint=checkpoint)
    assert as_bytes(there) == as_bytes(fold_blocks(draw_sums, 5000))
    assert len(stored(tmp_path)) == 5
