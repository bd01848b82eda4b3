"""Results: what is saved comes back, and what cannot be read is refused by name."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal

from lgpi_research import __version__
from lgpi_research.errors import DataError
from lgpi_research.results import (
    FORMAT,
    Result,
    kind_of,
    load_result,
    provenance,
    read_parquet,
    references,
    write_parquet,
)
from tests.full_disk import full_disk

KIND = "table_of_test"


@dataclass(frozen=True, eq=False, repr=False)
class TableOfTest(Result, kind=KIND):
    """A kind of its own, with a headline and a text that cites."""

    def headline(self) -> str:
        return f"{len(self.frame)} <units> & more."

    def methods_text(self) -> str:
        return "Alpha [@Cronbach1951] with Feldt's interval [@Feldt1987; @Cronbach1951]."


def make(n: int = 3, **changes: Any) -> TableOfTest:
    rng = np.random.default_rng(0)
    score = rng.normal(size=n)
    score[:1] = np.nan
    told: dict[str, Any] = {
        "frame": pd.DataFrame(
            {
                "unit": ["Гостомель", "<b>Łódź</b>", "a,b\n\"c'"][:n],
                "score": score,
                "n_used": np.arange(n),
                "inside": np.arange(n) % 2 == 0,
                "label": ["x", None, "z"][:n],
            }
        ),
        "provenance": provenance(seed=0, specification={"weights": "equal"}, data={"t": "ab"}),
        "notes": ("3 rows were set aside – «why».", "Second note with <i>tags</i>."),
        "arrays": {"ranks": rng.normal(size=(n, 4)), "counts": np.arange(n * 2).reshape(n, 2)},
        "details": {"n_draws": 1024, "names": ["a", "б"], "share": 0.1 + 0.2, "none": None},
    }
    return TableOfTest(**{**told, **changes})


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    told = make()
    again = load_result(told.save(tmp_path / "deep" / "result.parquet"))
    assert type(again) is TableOfTest
    assert_frame_equal(again.frame, told.frame, check_exact=True)
    assert list(again.frame.columns) == list(told.frame.columns)
    assert again.notes == told.notes
    assert again.details == told.details
    assert again.provenance == told.provenance
    assert set(again.arrays) == set(told.arrays)
    for name, array in told.arrays.items():
        assert_array_equal(again.arrays[name], array)
        assert again.arrays[name].dtype == array.dtype
    assert again.digest() == told.digest()
    assert repr(again) == repr(told)


def test_arrays_keep_nan_and_infinities_but_columns_tell_missing(tmp_path: Path) -> None:
    draws = np.array([[np.nan, np.inf], [-np.inf, -0.0], [1e-320, 1.0]])
    again = load_result(make(arrays={"draws": draws}).save(tmp_path / "a.parquet"))
    assert again.arrays["draws"].tobytes() == draws.tobytes()


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 2, 2)])
def test_arrays_keep_their_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=float).reshape(shape)
    again = load_result(make(arrays={"draws": array}).save(tmp_path / "a.parquet"))
    assert_array_equal(again.arrays["draws"], array, strict=True)


def test_a_result_without_rows_or_arrays(tmp_path: Path) -> None:
    told = make(0, arrays={"draws": np.empty((0, 4))}, notes=())
    again = load_result(told.save(tmp_path / "a.parquet"))
    assert list(again.frame.columns) == list(told.frame.columns)
    assert again.arrays["draws"].shape == (0, 4)
    assert again.notes == ()
    assert load_result(make(arrays={}).save(tmp_path / "b.parquet")).arrays == {}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
            st.floats(allow_nan=True, allow_infinity=True),
            st.integers(-(2**63), 2**63 - 1),
        ),
        min_size=1,
        max_size=6,
    ),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=3),
)
def test_any_numbers_and_letters_come_back(
    tmp_path: Path, rows: list[tuple[str, float, int]], notes: list[str]
) -> None:
    frame = pd.DataFrame(rows, columns=["unit", "score", "n_used"])
    told = make(frame=frame, notes=tuple(notes), arrays={})
    again = load_result(told.save(tmp_path / "a.parquet"))
    assert_frame_equal(again.frame, frame, check_exact=True)
    assert again.notes == tuple(notes)


def test_the_same_result_is_the_same_bytes(tmp_path: Path) -> None:
    one, two = (make().save(tmp_path / name).read_bytes() for name in ("a", "b"))
    assert one == two
    told = json.loads(pq.read_schema(tmp_path / "a").metadata[b"lgpi"])
    assert set(told) == {"format", "kind", "notes", "details", "provenance", "arrays"}
    assert (told["format"], told["kind"]) == (FORMAT, KIND)


def test_saving_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    make(2).save(tmp_path / "a.parquet")
    make(3).save(tmp_path / "a.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]
    assert len(load_result(tmp_path / "a.parquet").frame) == 3


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    path = make(2).save(tmp_path / "a.parquet")
    with full_disk(), pytest.raises(DataError, match=r"Cannot write a\.parquet: .*large"):
        make(3).save(path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]
    assert len(load_result(path).frame) == 2


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"Cannot write a\.parquet"):
        make().save(tmp_path / "file" / "a.parquet")


# Files that cannot be read


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.parquet: there is no such file"):
        load_result(tmp_path / "a.parquet")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not a table", b"PAR1" + b"\0" * 99 + b"PAR1"])
def test_what_is_no_parquet_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet is damaged or no Parquet file"):
        load_result(path)


def test_a_file_that_was_cut(tmp_path: Path) -> None:
    path = make().save(tmp_path / "a.parquet")
    content = path.read_bytes()
    for length in range(1, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"a\.parquet is damaged"):
            load_result(path)


def test_a_parquet_file_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": [1.0]}), path)
    with pytest.raises(DataError, match="this package did not write"):
        load_result(path)


def rewrite(path: Path, **changes: Any) -> Path:
    table = pq.read_table(path)
    told = {**json.loads(table.schema.metadata[b"lgpi"]), **changes}
    pq.write_table(table.replace_schema_metadata({b"lgpi": json.dumps(told).encode()}), path)
    return path


@pytest.mark.parametrize("found", [0, FORMAT + 1, "1", None])
def test_an_unknown_format_is_named(tmp_path: Path, found: object) -> None:
    path = rewrite(make().save(tmp_path / "a.parquet"), format=found)
    with pytest.raises(DataError) as caught:
        load_result(path)
    message = f"a.parquet has format {found!r}; this version ({__version__}) reads format {FORMAT}"
    assert message in str(caught.value)


def test_an_unknown_kind_names_the_nearest(tmp_path: Path) -> None:
    path = rewrite(make().save(tmp_path / "a.parquet"), kind="table_of_tests")
    with pytest.raises(DataError) as caught:
        load_result(path)
    assert "result of unknown kind 'table_of_tests'" in str(caught.value)
    assert f"Did you mean {KIND!r}?" in str(caught.value)


def test_another_kind_than_wanted(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.0]})
    path = write_parquet(tmp_path / "a.parquet", frame, {"kind": "moments"})
    found, told, arrays = read_parquet(path, kinds=("moments",))
    assert_frame_equal(found, frame)
    assert told["kind"] == "moments"
    assert arrays == {}
    with pytest.raises(DataError, match=r"a\.parquet holds a 'moments', not scores or links"):
        read_parquet(path, kinds=("scores", "links"))


# What a reader sees


def test_text_shows_headline_table_and_notes() -> None:
    told = make()
    lines = repr(told).splitlines()
    assert lines[0] == "3 <units> & more."
    assert lines[-2:] == list(told.notes)


def test_html_escapes_headline_labels_and_notes() -> None:
    page = make()._repr_html_()
    assert "3 &lt;units&gt; &amp; more." in page
    assert "&lt;b&gt;Łódź&lt;/b&gt;" in page
    assert "&lt;i&gt;tags&lt;/i&gt;" in page
    assert "<i>" not in page
    assert page.count("<b>") == 1  # the headline's own


def test_latex_is_the_summary() -> None:
    text = make().to_latex(digits=1)
    assert text.startswith(r"\begin{tabular}")
    assert r"a,b" in text


def test_json_is_strict_complete_and_unrounded() -> None:
    told = make()
    found = json.loads(told.to_json(), parse_constant=pytest.fail)
    assert set(found) == {"kind", "headline", "frame", "notes", "details", "provenance"}
    assert [row["score"] for row in found["frame"][1:]] == told.frame["score"].tolist()[1:]
    assert found["frame"][0]["score"] is None
    assert found["frame"][1]["label"] is None
    assert found["details"]["share"] == 0.1 + 0.2
    assert found["notes"] == list(told.notes)


def test_the_digest_covers_numbers_notes_and_arrays() -> None:
    told = make()
    changed = told.frame.assign(score=told.frame["score"] + 1e-15)
    others = [
        make(frame=changed),
        make(notes=told.notes[:1]),
        make(arrays={**told.arrays, "ranks": told.arrays["ranks"] + 1}),
        make(details={}),
        make(provenance={}),
    ]
    assert len({told.digest(), *(other.digest() for other in others)}) == len(others) + 1
    assert make().digest() == told.digest()


def test_references_are_those_that_the_text_cites_once() -> None:
    text = make().references
    assert text.count("@article{") == 2
    assert text.index("{Cronbach1951,") < text.index("{Feldt1987,")
    assert Result(pd.DataFrame(), {}).references == ""


def test_an_unknown_reference_is_named() -> None:
    with pytest.raises(DataError, match="No bibliography entry for Nobody1900, None1901"):
        references(("Cronbach1951", "Nobody1900", "None1901"))


def test_a_kind_without_a_picture_says_so() -> None:
    with pytest.raises(DataError, match=f"A {KIND} result has no picture"):
        make().plot()


def test_provenance_holds_no_clock_and_no_machine() -> None:
    told = provenance(seed=3, specification={"a": 1}, data={"t": "ab"}, extra="x")
    assert told["seed"] == 3
    assert told["extra"] == "x"
    assert told["versions"]["lgpi_research"] == __version__
    assert {"numpy", "pandas", "scipy", "python"} <= set(told["versions"])
    assert told == provenance(seed=3, specification={"a": 1}, data={"t": "ab"}, extra="x")
    assert (platform.node() or "a nameless machine") not in json.dumps(told)


def test_the_kind_of_a_file_is_told_from_its_head(tmp_path):
    frame = pd.DataFrame({"a": [1.0]})
    path = write_parquet(tmp_path / "own.parquet", frame, {"kind": "moments"})
    assert kind_of(path) == "moments"
    frame.to_parquet(tmp_path / "other.parquet")
    assert kind_of(tmp_path / "other.parquet") is None
    (tmp_path / "none.parquet").write_bytes(b"PAR1")
    assert kind_of(tmp_path / "none.parquet") is None


def test_a_damaged_page_is_refused(tmp_path):
    frame = pd.DataFrame({"a": np.arange(4000.0) * np.pi})
    path = write_parquet(tmp_path / "own.parquet", frame, {"kind": "moments"})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="is damaged or no Parquet file"):
        read_parquet(path)
