"""Moments of answers larger than memory: read in blocks, or made by the workers of a cluster.

Answers are summed in blocks of `lgpi_research.moments.ROWS` rows, in their order and about
the centre of the first, so that the result has the bytes of a survey that is read at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.dataset as pa_dataset
import pyarrow.parquet as pq

from lgpi_research.answer_tables import answer_table
from lgpi_research.codebook import plain_code
from lgpi_research.errors import DataError, Problems, SpecError, listing, nearest
from lgpi_research.moments import ROWS, Moments, sum_moments
from lgpi_research.scales import Scale, check_scales

__all__ = ["moments_from_dask", "moments_from_file"]

_ENDINGS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}

_WAITING = 2**28  # bytes of sums that workers make before they are added to the others


def moments_from_file(
    source: str | Path | pa_dataset.Dataset | Iterable[pd.DataFrame],
    *,
    psu: str,
    stratum: str | None = None,
    place: str | None = None,
    weight: str | None = None,
    items: Sequence[str] = (),
    needs: str = "covariance",
    missing: str = "listwise",
    reverse: Sequence[str] = (),
    categories: Sequence[float] = (),
    scales: Sequence[Scale] | None = None,
    missing_codes: Sequence[float] = (),
    lonely: str = "fail",
) -> Moments:
    """Read answers in blocks and keep their sums for each PSU.

    Parameters
    ----------
    source : str, Path, pyarrow Dataset, or iterable of DataFrame
        A Parquet or CSV file (comma, UTF-8; also ``.csv.gz``), or a folder of Parquet
        files, which are read in the order of their names; a dataset; or tables one after
        another, such as a generator that cleans them.
    psu : str
        Column of the primary sampling unit.
    stratum, place, weight : str, optional
        Columns of the design.
    items : sequence of str
        The items of one scale, if `scales` are not given.
    needs, missing, reverse, categories
        Of the one scale; see `Scale`. Pair counts need their categories.
    scales : sequence of Scale, optional
        Several scales at once.
    missing_codes : sequence of float
        Values of items that stand for no answer, such as 9 and 98.
    lonely : {"fail", "certainty"}, default "fail"
        What estimators do with a stratum of one PSU.

    Returns
    -------
    Moments
        The same bytes as `Moments.from_answers` of the whole table, however the source
        is cut.

    Raises
    ------
    DataError
        If the source cannot be read, columns are absent, or with every problem of the
        first block that has one.
    SpecError
        If scales are not valid, no items are named, or pair counts lack categories.

    Notes
    -----
    Memory is that of one block (`lgpi_research.moments.ROWS` rows of the columns used, as
    8-byte numbers, twice) and of the sums: PSUs times columns of the scales, twice.

    Examples
    --------
    >>> table = pd.DataFrame({"village": [1, 1, 2, 2], "q1": [1, 2, 4, 9], "q2": [2, 2, 5, 3]})
    >>> parts = (table[start : start + 3] for start in (0, 3))
    >>> moments_from_file(parts, psu="village", items=["q1", "q2"], missing_codes=[9]).notes
    ('q1: missing codes set aside: 9 (1).',)
    """
    plan = _plan(
        {"psu": psu, "stratum": stratum, "place": place, "weight": weight},
        items,
        (needs, missing, reverse, categories),
        scales,
        missing_codes,
        lonely,
    )
    where, frames = _frames(source, plan)
    tally = _Tally(plan)

    def parts() -> Iterator[Moments]:
        centre = None
        for block in _blocks(frames, plan, where):
            made = _sums(block, plan, centre, f"{where}, rows from {tally.rows + 1:,}")
            centre = made.moments.centre
            tally.count(made)
            yield made.moments

    return tally.noted(sum_moments(_some(parts(), where)))


def moments_from_dask(
    frame: Any,
    *,
    psu: str,
    stratum: str | None = None,
    place: str | None = None,
    weight: str | None = None,
    items: Sequence[str] = (),
    needs: str = "covariance",
    missing: str = "listwise",
    reverse: Sequence[str] = (),
    categories: Sequence[float] = (),
    scales: Sequence[Scale] | None = None,
    missing_codes: Sequence[float] = (),
    lonely: str = "fail",
) -> Moments:
    """Keep the sums of a Dask table, which workers make where its parts are.

    Parameters
    ----------
    frame : dask DataFrame, or sequence of delayed DataFrame
        Its partitions, in order. They are computed by Dask's scheduler: a cluster, if a
        client is connected.
    psu, stratum, place, weight, items, needs, missing, reverse, categories, scales
        As of `moments_from_file`.
    missing_codes, lonely
        As of `moments_from_file`.

    Returns
    -------
    Moments
        Independent of workers. The same bytes as `moments_from_file` if every partition but
        the last has a multiple of `lgpi_research.moments.ROWS` rows; or if sums are exact,
        which those of whole numbers with whole weights are, and the first partition with
        rows holds 255 respondents with a weight, about whose answers sums are taken.
        Otherwise what is made of the sums is the same up to rounding.

    Raises
    ------
    DataError, SpecError
        As `moments_from_file`.

    Examples
    --------
    >>> import dask
    >>> table = pd.DataFrame({"village": [1, 1, 2, 2], "q1": [1, 2, 4, 3], "q2": [2, 2, 5, 3]})
    >>> parts = [dask.delayed(table[:2]), dask.delayed(table[2:])]
    >>> moments_from_dask(parts, psu="village", items=["q1", "q2"])
    Moments of 2 PSUs: all items (2 items)
    """
    from dask.base import compute
    from dask.delayed import delayed

    plan = _plan(
        {"psu": psu, "stratum": stratum, "place": place, "weight": weight},
        items,
        (needs, missing, reverse, categories),
        scales,
        missing_codes,
        lonely,
    )
    where = "the Dask table"
    if hasattr(frame, "to_delayed"):
        _check_columns(plan, [str(name) for name in frame.columns], where)
        frame = frame[plan.columns].to_delayed()
    waiting = list(frame)
    tally = _Tally(plan)
    work = delayed(_partition, pure=False)

    def parts() -> Iterator[Moments]:
        centre, number, most = None, 0, 1
        # Parts are made one by one until one has rows: the others need its centre.
        while number < len(waiting):
            group = waiting[number : number + most]
            tasks = [
                work(part, plan, centre, f"{where}, partition {number + i + 1}")
                for i, part in enumerate(group)
            ]
            number += len(group)
            for blocks in compute(*tasks):  # type: ignore[no-untyped-call]
                size = sum(made.moments.sums.nbytes for made in blocks)
                most = max(2, _WAITING // size) if size else most
                for made in blocks:
                    centre = made.moments.centre
                    tally.count(made)
                    yield made.moments

    return tally.noted(sum_moments(_some(parts(), where)))


@dataclass(frozen=True)
class _Plan:
    """What is to be read and summed."""

    roles: dict[str, str]
    items: tuple[str, ...]
    scales: tuple[Scale, ...]
    missing_codes: tuple[float, ...]
    lonely: str

    @property
    def columns(self) -> list[str]:
        """Columns that are read, each once."""
        return list(dict.fromkeys((*self.roles.values(), *self.items)))


@dataclass(frozen=True, eq=False)
class _Made:
    """The sums of one block, and what was set aside on the way."""

    moments: Moments
    rows: int
    unweighted: int
    codes: npt.NDArray[np.int64]  # (n_items, n_missing_codes)


class _Tally:
    """What was set aside in all blocks."""

    def __init__(self, plan: _Plan) -> None:
        self.plan, self.rows, self.unweighted = plan, 0, 0
        self.codes = np.zeros((len(plan.items), len(plan.missing_codes)), dtype=np.int64)

    def count(self, made: _Made) -> None:
        self.rows += made.rows
        self.unweighted += made.unweighted
        self.codes += made.codes

    def noted(self, moments: Moments) -> Moments:
        """Return moments with notes on the whole of the source."""
        if self.unweighted == self.rows:
            raise DataError(f"{self.plan.roles['weight']}: all weights are 0.")
        notes = []
        for item, counts in zip(self.plan.items, self.codes.tolist(), strict=True):
            told = zip(self.plan.missing_codes, counts, strict=True)
            listed = ", ".join(f"{code:g} ({n})" for code, n in told if n)
            if listed:
                notes.append(f"{item}: missing codes set aside: {listed}.")
        if self.unweighted:
            notes.append(
                f"{self.unweighted} of {self.rows} respondents have weight 0 and are left out."
            )
        return replace(moments, notes=tuple(notes))


def _plan(
    roles: dict[str, str | None],
    items: Sequence[str],
    options: tuple[str, str, Sequence[str], Sequence[float]],
    scales: Sequence[Scale] | None,
    missing_codes: Sequence[float],
    lonely: str,
) -> _Plan:
    if scales is None:
        if not items:
            raise SpecError("name the items of the scale (items), or give scales.")
        needs, missing, reverse, categories = options
        names = tuple(items)
        scales = (
            Scale("all items", names, needs, missing, tuple(reverse), categories=tuple(categories)),
        )
    used = tuple(dict.fromkeys(item for scale in scales for item in scale.items))
    check_scales(scales, used)
    problems = Problems("the scales")
    for scale in scales:
        if scale.needs == "pair counts" and not scale.categories:
            problems.add(
                f"{scale.name}: name the categories, which the first rows need not show all."
            )
    named = {role: column for role, column in roles.items() if column is not None}
    for role, column in named.items():
        if column in used:
            problems.add(f"{column}: is both an item and the {role} of the design.")
    codes = [plain_code(code) for code in missing_codes]
    if texts := [code for code in codes if isinstance(code, str)]:
        problems.add(f"missing_codes: must be numbers, got {listing(map(repr, texts))}.")
    problems.raise_any(SpecError)
    return _Plan(named, used, tuple(scales), tuple(map(float, codes)), lonely)


def _check_columns(plan: _Plan, names: Sequence[str], where: str) -> None:
    problems = Problems(where)
    for column in plan.columns:
        if names.count(column) != 1:
            found = names.count(column)
            hint = nearest(column, names) if not found else ""
            problems.add(f"{column}: {found or 'no'} columns have this name.{hint}")
    problems.raise_any(DataError)


def _frames(
    source: str | Path | pa_dataset.Dataset | Iterable[pd.DataFrame], plan: _Plan
) -> tuple[str, Iterator[pd.DataFrame]]:
    """Return what the source is called, and its tables."""
    if isinstance(source, str | Path):
        path = Path(source)
        return path.name, _batches(_dataset(path, plan), plan, path.name)
    if isinstance(source, pa_dataset.Dataset):
        return "the dataset", _batches(source, plan, "the dataset")
    if isinstance(source, pd.DataFrame):
        return "the table", iter([source])
    return "the tables", iter(source)


def _dataset(path: Path, plan: _Plan) -> pa_dataset.Dataset:
    """Open a file or folder. In CSV, names of clusters are text: 007 is not 7, NA a name."""
    ending = next((e for e in path.suffixes[::-1] if e != ".gz"), "")
    kind = "parquet" if path.is_dir() else _ENDINGS.get(ending.lower())
    if not path.exists():
        raise DataError(f"{path.name}: there is no such file.")
    if kind is None:
        raise DataError(
            f"{path.name}: only Parquet and CSV are read in blocks. Convert the file, or give its "
            "tables one after another."
        )
    form: pa_dataset.FileFormat = pa_dataset.ParquetFileFormat()
    if kind == "csv":
        labels = {plan.roles[r] for r in ("psu", "stratum", "place") if r in plan.roles}
        types = {c: pa.string() if c in labels else pa.float64() for c in plan.columns}
        form = pa_dataset.CsvFileFormat(convert_options=pa_csv.ConvertOptions(column_types=types))
    try:
        return pa_dataset.dataset(path, format=form)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path.name, error) from error


def _batches(dataset: pa_dataset.Dataset, plan: _Plan, where: str) -> Iterator[pd.DataFrame]:
    """Return tables of `ROWS` rows, so that each block has one type a column."""
    _check_columns(plan, dataset.schema.names, where)
    waiting: list[pa.RecordBatch] = []
    held = 0
    schema = pa.schema([dataset.schema.field(column) for column in plan.columns])
    try:
        for batch in _stream(dataset, plan):
            waiting.append(batch.select(plan.columns).cast(schema))
            held += len(batch)
            while held >= ROWS:
                table = pa.Table.from_batches(waiting)
                yield table.slice(0, ROWS).to_pandas()
                waiting = table.slice(ROWS).to_batches()
                held -= ROWS
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _unreadable(where, error) from error
    if held:
        yield pa.Table.from_batches(waiting).to_pandas()


def _stream(dataset: pa_dataset.Dataset, plan: _Plan) -> Iterator[pa.RecordBatch]:
    """Read batches one after another, in order; a scan of the dataset would run far ahead."""
    files: list[str] = []
    if isinstance(getattr(dataset, "format", None), pa_dataset.ParquetFileFormat):
        files = dataset.files
    inside = [pq.read_schema(file, filesystem=dataset.filesystem).names for file in files[:1]]
    if not inside or not set(plan.columns) <= set(inside[0]):  # some stand in names of folders
        yield from dataset.to_batches(columns=plan.columns, batch_size=ROWS, batch_readahead=1)
        return
    for file in files:
        with pq.ParquetFile(
            file,
            filesystem=dataset.filesystem,
            page_checksum_verification=True,  # where the file has checksums
        ) as opened:
            yield from opened.iter_batches(batch_size=ROWS, columns=plan.columns)


def _unreadable(where: str, error: Exception) -> DataError:
    return DataError(f"{where} cannot be read, and may be damaged: {error}")


def _blocks(frames: Iterable[pd.DataFrame], plan: _Plan, where: str) -> Iterator[pd.DataFrame]:
    """Return the rows of tables in blocks of `ROWS`, the last shorter."""
    waiting: list[pd.DataFrame] = []
    held = 0
    for number, frame in enumerate(frames):
        if not isinstance(frame, pd.DataFrame):
            raise DataError(f"{where}: part {number + 1} is a {type(frame).__name__}, no table.")
        _check_columns(plan, [str(name) for name in frame.columns], where)
        part = frame.set_axis([str(name) for name in frame.columns], axis=1)[plan.columns]
        waiting.append(part)
        held += len(part)
        if held >= ROWS:
            whole = pd.concat(waiting, ignore_index=True) if len(waiting) > 1 else part
            cuts = range(0, held - held % ROWS, ROWS)
            yield from (whole.iloc[cut : cut + ROWS] for cut in cuts)
            waiting, held = [whole.iloc[held - held % ROWS :]], held % ROWS
    if held:
        yield pd.concat(waiting, ignore_index=True)


def _some(parts: Iterator[Moments], where: str) -> Iterator[Moments]:
    """Pass parts on, and refuse a source without any."""
    first = next(parts, None)
    if first is None:
        raise DataError(f"{where}: there are no respondents.")
    yield first
    yield from parts


def _sums(
    frame: pd.DataFrame, plan: _Plan, centre: npt.NDArray[np.float64] | None, where: str
) -> _Made:
    """Return the sums of one block."""
    answers = frame[list(plan.items)]
    codes = np.zeros((len(plan.items), len(plan.missing_codes)), dtype=np.int64)
    if plan.missing_codes:  # which may be text, as the answers that they stand among
        numbers, _ = answer_table(answers, plan.items, where)
        for number, code in enumerate(plan.missing_codes):
            codes[:, number] = (numbers == code).sum(axis=0)
        numbers = np.where(np.isin(numbers, plan.missing_codes), np.nan, numbers)
        answers = pd.DataFrame(numbers, columns=list(plan.items))
    roles = {role: frame[column] for role, column in plan.roles.items()}
    weight = roles.get("weight")
    unweighted = 0
    if weight is not None:
        unweighted = int((pd.to_numeric(weight, errors="coerce") == 0).sum())
    nobody = unweighted == len(frame)
    found = Moments.from_answers(
        answers,
        psu=roles["psu"],
        stratum=roles.get("stratum"),
        place=roles.get("place"),
        weight=None if nobody else weight,
        scales=plan.scales,
        lonely=plan.lonely,
        centre=centre,
        where=where,
    )
    if nobody:  # in this block, which is no error unless it is so in all
        nothing = np.zeros_like(found.sums), np.zeros_like(found.dropped)
        about = np.zeros_like(found.centre) if centre is None else centre
        found = replace(found, sums=nothing[0], dropped=nothing[1], centre=about)
    return _Made(found, len(frame), unweighted, codes)


def _partition(
    frame: pd.DataFrame, plan: _Plan, centre: npt.NDArray[np.float64] | None, where: str
) -> list[_Made]:
    """Return the sums of a partition's blocks, on a worker."""
    found: list[_Made] = []
    rows = 0
    for block in _blocks([frame], plan, where):
        made = _sums(block, plan, centre, f"{where}, rows from {rows + 1:,}")
        centre, rows = made.moments.centre, rows + len(block)
        found.append(made)
    return found
