from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pa_dataset
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research import chunks, moments
from lgpi_research.chunks import moments_from_dask, moments_from_file
from lgpi_research.errors import DataError, SpecError
from lgpi_research.moments import Moments, Scale, sum_moments

ITEMS = ["q1", "q2", "q3", "q4"]
DESIGN = {"psu": "village", "stratum": "zone", "place": "district", "weight": "weight"}
SCALES = (
    Scale("a", ("q1", "q2", "q3")),
    Scale("b", tuple(ITEMS), missing="pairwise", reverse=("q4",)),
    Scale("pairs", ("q3", "q4"), "pair counts", categories=(1, 2, 3, 4, 5)),
    Scale("means", tuple(ITEMS), "means"),
)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "ROWS", 128)
    monkeypatch.setattr(chunks, "ROWS", 128)


def table(n: int = 1000, *, missing: float = 0.03) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    village = rng.integers(0, 40, n)
    answers = np.clip(np.rint(rng.normal(3, 1, (n, 4)) + rng.normal(size=(n, 1))), 1, 5)
    answers[rng.random(answers.shape) < missing] = np.nan
    weight = rng.uniform(0.2, 3, n)
    weight[rng.random(n) < 0.02] = 0.0
    return pd.DataFrame(answers, columns=ITEMS).assign(
        village=[f"{v:03d}" for v in village],
        zone=village % 4,
        district=village // 10,
        weight=weight,
        other="unused",
    )


def at_once(frame: pd.DataFrame) -> Moments:
    roles = {role: frame[column] for role, column in DESIGN.items()}
    return Moments.from_answers(frame[ITEMS], scales=SCALES, **roles)


def parquet(frame: pd.DataFrame, folder: Path, rows: int = 300) -> Path:
    path = folder / "survey.parquet"
    frame.to_parquet(path, row_group_size=rows, index=False)
    return path


@pytest.mark.parametrize("rows", [7, 128, 300, 5000])
def test_a_file_in_blocks_is_the_survey_at_once(tmp_path, rows):
    frame = table()
    found = moments_from_file(parquet(frame, tmp_path, rows), scales=SCALES, **DESIGN)
    whole = at_once(frame)
    assert found.digest == whole.digest
    assert found.notes == whole.notes
    assert "respondents have weight 0" in found.notes[0]


def test_csv_folders_datasets_and_tables_are_the_same(tmp_path):
    frame = table()
    whole = at_once(frame)
    frame.to_csv(tmp_path / "survey.csv.gz", index=False)
    frame.to_csv(tmp_path / "survey.csv", index=False)
    folder = tmp_path / "parts"
    folder.mkdir()
    for number, start in enumerate(range(0, 1000, 270)):
        frame[start : start + 270].to_parquet(folder / f"part{number}.parquet")
    sources = [
        tmp_path / "survey.csv",
        str(tmp_path / "survey.csv.gz"),
        folder,
        pa_dataset.dataset(folder, format="parquet"),
        (frame[start : start + 90] for start in range(0, 1000, 90)),
        [frame[:1], frame[1:400], frame[400:400], frame[400:]],
        frame,
    ]
    for source in sources:
        assert moments_from_file(source, scales=SCALES, **DESIGN).digest == whole.digest


def test_folders_whose_names_hold_a_column(tmp_path):
    frame = table().sort_values("district", kind="stable", ignore_index=True)
    for district, part in frame.groupby("district"):
        folder = tmp_path / "parts" / f"district={district}"
        folder.mkdir(parents=True)
        part.drop(columns="district").to_parquet(folder / "part.parquet", index=False)
    parts = pa_dataset.dataset(tmp_path / "parts", format="parquet", partitioning="hive")
    found = moments_from_file(parts, scales=SCALES, **DESIGN)
    assert found.digest == at_once(frame).digest


def test_files_of_other_columns_or_types(tmp_path):
    frame = table().fillna(3.0)
    frame[:400].to_parquet(tmp_path / "a.parquet", index=False)
    frame[400:].astype(dict.fromkeys(ITEMS, "int8"))[frame.columns[::-1]].to_parquet(
        tmp_path / "b.parquet", index=False
    )
    found = moments_from_file(tmp_path, scales=SCALES, **DESIGN)
    assert found.digest == at_once(frame).digest
    frame[400:].drop(columns="q3").to_parquet(tmp_path / "b.parquet", index=False)
    with pytest.raises(DataError, match=r"cannot be read, and may be damaged: .*q3"):
        moments_from_file(tmp_path, scales=SCALES, **DESIGN)


def test_names_in_csv_are_text_and_blanks_are_none(tmp_path):
    frame = table(300)
    frame["village"] = frame["village"].replace({"000": "NA", "001": "null"})
    frame.to_csv(tmp_path / "survey.csv", index=False)
    found = moments_from_file(tmp_path / "survey.csv", scales=SCALES, **DESIGN)
    assert found.digest == at_once(frame).digest
    frame.loc[3, "village"] = ""
    frame.to_csv(tmp_path / "survey.csv", index=False)
    with pytest.raises(DataError, match=r"psu: 1 of 128 respondents have none \(rows 4\)"):
        moments_from_file(tmp_path / "survey.csv", scales=SCALES, **DESIGN)


def test_clusters_with_numbers_that_are_not_whole():
    frame = table(300).assign(village=np.repeat([1.5, 2.0, 3.0], 100))
    found = moments_from_file(frame, psu="village", items=ITEMS)  # the last block has only 3.0
    whole = Moments.from_answers(frame[ITEMS], psu=frame["village"])
    assert found.psus["psu"].tolist() == ["1.5", "2", "3"]
    assert found.digest == whole.digest


def test_codes_and_weights_that_are_text():
    frame = table(300)
    text = frame.fillna({"q1": 9}).astype({"q1": int, "weight": str}).astype({"q1": str})
    options = {"psu": "village", "items": ITEMS, "weight": "weight", "missing_codes": [9]}
    found = moments_from_file(text, **options)
    numbers = moments_from_file(frame.fillna({"q1": 9}), **options)
    assert found.digest == numbers.digest
    assert found.notes == numbers.notes
    assert "q1: missing codes set aside: 9 (" in found.notes[0]
    text.loc[4, "q1"] = "often"
    with pytest.raises(DataError, match="rows from 1\n- q1: text in 1 of 128 values"):
        moments_from_file(text, **options)
    text.loc[4, ["q1", "weight"]] = "1", "heavy"
    with pytest.raises(DataError, match="weight: weights must be numbers"):
        moments_from_file(text, **options)


def test_small_integers_with_codes_of_missing_answers(tmp_path):
    frame = table()
    coded = frame.fillna({"q1": 9, "q2": 9, "q3": 98, "q4": 9}).astype(dict.fromkeys(ITEMS, "int8"))
    path = parquet(coded, tmp_path)
    found = moments_from_file(path, scales=SCALES, missing_codes=[9, 98], **DESIGN)
    assert found.digest == at_once(frame).digest
    n = {item: int(frame[item].isna().sum()) for item in ITEMS}
    assert found.notes[:4] == tuple(
        f"{item}: missing codes set aside: {98 if item == 'q3' else 9} ({n[item]})."
        for item in ITEMS
    )
    with pytest.raises(DataError, match=r"q3: \d+ of 128 answers are none of the categories"):
        moments_from_file(path, scales=SCALES, missing_codes=[9], **DESIGN)


def test_one_scale_of_items(tmp_path):
    frame = table()
    found = moments_from_file(
        parquet(frame, tmp_path), psu="village", items=ITEMS, needs="variances", reverse=["q2"]
    )
    expected = Moments.from_answers(
        frame[ITEMS], psu=frame["village"], needs="variances", reverse=["q2"]
    )
    assert found.digest == expected.digest


def test_blocks_in_which_nobody_has_a_weight(tmp_path):
    frame = table()
    frame.loc[:255, "weight"] = 0.0
    found = moments_from_file(parquet(frame, tmp_path), scales=SCALES, **DESIGN)
    assert found.digest == at_once(frame).digest
    frame["weight"] = 0.0
    with pytest.raises(DataError, match="weight: all weights are 0"):
        moments_from_file(parquet(frame, tmp_path), scales=SCALES, **DESIGN)


def test_problems_say_in_which_rows(tmp_path):
    frame = table()
    frame.loc[300, "weight"] = -1.0
    frame.loc[301, "village"] = None
    with pytest.raises(DataError) as caught:
        moments_from_file(parquet(frame, tmp_path), scales=SCALES, **DESIGN)
    text = str(caught.value)
    assert text.startswith("2 problems in survey.parquet, rows from 257")
    assert "(rows 45)" in text
    assert "(rows 46)" in text
    moved = table()
    moved.loc[900:, "zone"] = 7
    with pytest.raises(DataError, match="more than one stratum"):
        moments_from_file(parquet(moved, tmp_path), scales=SCALES, **DESIGN)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"psu": "vilage"}, DataError, r"vilage: no columns have this name\. Did you mean 'vill"),
        ({"items": ["q1", "q7"]}, DataError, "q7: no columns have this name"),
        ({"items": []}, SpecError, "name the items of the scale"),
        ({"needs": "pair counts"}, SpecError, "all items: name the categories"),
        ({"lonely": "average"}, SpecError, "join the stratum with its neighbour"),
        ({"missing_codes": [9, "no"]}, SpecError, "missing_codes: must be numbers, got 'no'"),
        ({"stratum": "q1"}, SpecError, "q1: is both an item and the stratum"),
    ],
)
def test_bad_options(tmp_path, options, error, message):
    path = parquet(table(), tmp_path)
    with pytest.raises(error, match=message):
        moments_from_file(path, **{"psu": "village", "items": ITEMS, **options})


def test_files_that_cannot_be_read(tmp_path):
    options = {"psu": "village", "items": ITEMS}
    with pytest.raises(DataError, match=r"none\.parquet: there is no such file"):
        moments_from_file(tmp_path / "none.parquet", **options)
    (tmp_path / "survey.xlsx").write_bytes(b"x")
    with pytest.raises(DataError, match="only Parquet and CSV are read in blocks"):
        moments_from_file(tmp_path / "survey.xlsx", **options)
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"damaged\.parquet cannot be read"):
        moments_from_file(tmp_path / "damaged.parquet", **options)
    text = table().astype({"q1": object})
    text.loc[600, "q1"] = "often"
    text.to_csv(tmp_path / "text.csv", index=False)
    with pytest.raises(DataError, match="often"):
        moments_from_file(tmp_path / "text.csv", **options)
    path = tmp_path / "torn.parquet"
    pq.write_table(pa.Table.from_pandas(table()), path, write_page_checksum=True)
    whole = path.read_bytes()
    path.write_bytes(whole[:3000] + bytes(200) + whole[3200:])
    with pytest.raises(DataError, match=r"torn\.parquet cannot be read"):
        moments_from_file(path, **options)
    with pytest.raises(DataError, match="there are no respondents"):
        moments_from_file(parquet(table()[:0], tmp_path), **options)
    with pytest.raises(DataError, match="there are no respondents"):
        moments_from_file([], **options)
    with pytest.raises(DataError, match="part 1 is a ndarray, no table"):
        moments_from_file([np.eye(3)], **options)


def test_many_parts_take_time_in_proportion():
    """Adding n parts looks at each once: the sums of earlier ones are not copied each time."""
    one = Moments.from_answers(np.eye(4), psu=["a", "a", "b", "b"])
    parts = [
        Moments(
            one.psus.assign(psu=[f"{number}a", f"{number}b"]),
            one.scales,
            one.centre,
            one.sums,
            one.dropped,
        )
        for number in range(300)
    ]
    held = []

    def passing() -> Iterator[Moments]:
        for part in parts:
            held.append(part)
            yield part

    found = sum_moments(passing())
    assert found.n_psu == 600
    assert len(held) == 300
    assert_array_equal(found.sums.sum(axis=0), 300 * one.sums.sum(axis=0))
    folded = parts[0]
    for part in parts[1:20]:
        folded = folded + part
    assert folded.digest == sum_moments(parts[:20]).digest


def test_parts_that_do_not_add_up():
    with pytest.raises(DataError, match="there are no moments to be added"):
        sum_moments([])
    frame = table()
    one = Moments.from_answers(frame[ITEMS], psu=frame["village"])
    other = Moments.from_answers(frame[ITEMS], psu=frame["village"], stratum=frame["zone"])
    with pytest.raises(DataError, match="stratum: some parts have strata and others none"):
        one + other


# Dask


def partitions(frame: pd.DataFrame, rows: int) -> list[object]:
    dask = pytest.importorskip("dask")
    return [dask.delayed(frame[start : start + rows]) for start in range(0, len(frame), rows)]


def test_partitions_of_whole_blocks_give_the_same_bytes():
    frame = table(2000)
    whole = at_once(frame)
    for rows in (128, 384):
        found = moments_from_dask(partitions(frame, rows), scales=SCALES, **DESIGN)
        assert found.digest == whole.digest
        assert found.notes == whole.notes
    plain = {**DESIGN, "weight": None}
    exact = moments_from_file(frame, scales=SCALES, **plain)
    found = moments_from_dask(partitions(frame, 301), scales=SCALES, **plain)
    assert found.digest == exact.digest  # whole numbers
    odd = moments_from_dask(partitions(frame, 301), scales=SCALES, **DESIGN)
    assert_allclose(odd.sums, whole.sums, rtol=1e-12, atol=1e-10)


def test_partitions_without_rows():
    frame = table()
    parts = partitions(frame, 384)
    none = [frame[:0]]
    found = moments_from_dask([*none, *parts[:1], *none, *parts[1:]], scales=SCALES, **DESIGN)
    assert found.digest == at_once(frame).digest
    with pytest.raises(DataError, match="the Dask table: there are no respondents"):
        moments_from_dask(none, scales=SCALES, **DESIGN)


def test_a_small_first_partition_moves_the_centre_and_nothing_else():
    frame = table().assign(q1=np.r_[np.ones(40), np.full(960, 5.0)])
    plain = {**DESIGN, "weight": None}
    whole = moments_from_file(frame, scales=SCALES, **plain)
    found = moments_from_dask(partitions(frame, 40), scales=SCALES, **plain)
    assert found.centre[0] != whole.centre[0]
    assert_allclose(found.spread("b").covariance, whole.spread("b").covariance, rtol=1e-12)
    assert_array_equal(found.pair_counts("pairs").counts, whole.pair_counts("pairs").counts)
    pd.testing.assert_frame_equal(found.means("means")[0], whole.means("means")[0], rtol=1e-12)


def test_a_dask_table_and_its_problems(tmp_path):
    dd = pytest.importorskip("dask.dataframe")
    frame = table()
    ddf = dd.from_pandas(frame, npartitions=3)
    found = moments_from_dask(ddf, psu="village", items=ITEMS)
    assert found.digest == moments_from_file(frame, psu="village", items=ITEMS).digest
    with pytest.raises(DataError, match="Did you mean 'village'"):
        moments_from_dask(ddf, psu="vilage", items=ITEMS)
    bad = frame.copy()
    bad.loc[700, "q2"] = np.inf
    with pytest.raises(DataError, match=r"the Dask table, partition 3, rows from 1\n- q2: 1 of"):
        moments_from_dask(partitions(bad, 300), psu="village", items=ITEMS)


@pytest.mark.usefixtures("two_dask_workers")
def test_two_workers_give_the_same_bytes(monkeypatch):
    monkeypatch.undo()  # workers have blocks of the usual size
    frame = table(2000)
    dd = pytest.importorskip("dask.dataframe")
    plain = {**DESIGN, "weight": None}
    found = moments_from_dask(dd.from_pandas(frame, npartitions=5), scales=SCALES, **plain)
    assert found.digest == moments_from_file(frame, scales=SCALES, **plain).digest


def test_row_groups_of_another_size_are_cut_anew(tmp_path):
    frame = table()
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "big.parquet", row_group_size=1000)
    found = moments_from_file(tmp_path / "big.parquet", scales=SCALES, **DESIGN)
    assert found.digest == at_once(frame).digest
