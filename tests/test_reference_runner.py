"""The reference runner finds differences: it must be able to fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import reference_runner as runner

EXPECTED = {
    "n": 12,
    "alpha": 0.75,
    "p": 3e-30,
    "std.alpha": 0.8,
    "drop": {"_row": ["1", "2"], "alpha": [0.7, 0.6], "S/N": [1.0, 2.0]},
    "matrix": {"rows": ["a", "b"], "cols": ["a", "b"], "values": [[1.0, 1e-17], [1e-17, 1.0]]},
    "test": "Feldt",
    "converged": True,
    "absent": None,
}


def case(**changes: Any) -> dict[str, Any]:
    told = {"case": "c", "rel_tol": 1e-8, "inputs": {}, "optional_expected": []}
    return {**told, "expected": EXPECTED, **changes}


def computed(**changes: Any) -> dict[str, Any]:
    same = {
        **EXPECTED,
        "drop": {"_row": [1, 2.0], "alpha": np.array([0.7, 0.6]), "S/N": (1.0, 2.0)},
        "matrix": {"rows": ["a", "b"], "cols": ["a", "b"], "values": np.eye(2)},
        "absent": float("nan"),
        "by_the_way": 3,
    }
    return {**same, **changes}


def test_the_same_numbers_agree() -> None:
    assert runner.differences(case(), computed()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 13}, "n: expected 12, computed 13"),
        ({"alpha": 0.75 * (1 + 1.1e-8)}, "alpha: expected 0.75"),
        ({"alpha": float("nan")}, "alpha: expected 0.75, computed nan"),
        ({"alpha": None}, "alpha: expected 0.75, computed None"),
        ({"alpha": "0.75"}, "alpha: expected 0.75, computed '0.75'"),
        ({"alpha": float("inf")}, "alpha: expected 0.75, computed inf"),
        ({"p": 0.0}, "p: expected 3e-30, computed 0.0"),
        ({"drop": {"_row": ["1", "2"], "alpha": [0.7, 0.6]}}, "drop.S/N: not computed"),
        ({"drop": 3}, "drop._row: not computed"),
        ({"drop": {**EXPECTED["drop"], "_row": ["2", "1"]}}, "drop._row: expected labels"),
        ({"drop": {**EXPECTED["drop"], "alpha": [0.7]}}, "drop.alpha: expected 2 values"),
        ({"drop": {**EXPECTED["drop"], "alpha": [0.7, 0.61]}}, "drop.alpha[1]: expected 0.6"),
        ({"test": "feldt"}, "test: expected 'Feldt'"),
        ({"converged": 1}, "converged: expected True"),
    ],
)
def test_another_value_is_a_difference(changes: dict[str, Any], message: str) -> None:
    found = runner.differences(case(), computed(**changes))
    assert found
    assert found[0].startswith(message)


def test_every_difference_is_listed() -> None:
    found = runner.differences(case(), computed(n=1, alpha=1.0, test=""))
    assert [line.split(":")[0] for line in found] == ["n", "alpha", "test"]


def test_optional_leaves_are_left_out_and_others_are_not() -> None:
    wrong = computed(alpha=1.0, drop={"_row": ["1", "2"], "alpha": [0.7, 0.6]})
    assert runner.differences(case(optional_expected=["alpha", "drop.S/N"]), wrong) == []
    assert len(runner.differences(case(optional_expected=["alph", "drop.S"]), wrong)) == 2


@pytest.mark.parametrize(
    ("pattern", "name", "answer"),
    [
        ("unidim", "unidim", True),
        ("unidim", "unidim.Unidim", True),
        ("unidim", "unidimensional", False),
        ("wald.*.test", "wald.CR1.test", True),
        ("*.ci", "a.b.ci", True),
        ("*.ci", "ci", False),
        ("*eights.Weight", "weights.Weight", True),
        ("total.S/N", "total.S/N", True),
        ("total.std.alpha", "total.stdxalpha", False),
    ],
)
def test_patterns(pattern: str, name: str, answer: bool) -> None:
    assert runner.covers(pattern, name) is answer


def test_the_longest_tolerance_counts() -> None:
    inputs = {"tolerances": {"drop": 0.5, "drop.alpha": 1e-3}}
    off = computed(drop={"_row": ["1", "2"], "alpha": [0.7, 0.601], "S/N": [1.4, 2.0]})
    found = runner.differences(case(inputs=inputs), off)
    assert [line.split(":")[0] for line in found] == ["drop.alpha[1]"]


@pytest.mark.parametrize(
    ("digits", "value", "agrees"),
    [
        ({"decimals": 2}, 0.7549, True),
        ({"decimals": 2}, 0.7551, False),
        ({"significant": 1}, 0.79, True),
        ({"significant": 1}, 0.81, False),
    ],
)
def test_rounded_references(digits: dict[str, int], value: float, agrees: bool) -> None:
    told = case(inputs={"rounding": {"alpha": digits}})
    assert (runner.differences(told, computed(alpha=value)) == []) is agrees


def write_folder(folder: Path) -> Path:
    """Write one case that agrees, one with a number that nobody computes, one of no adapter."""
    (folder / "cases").mkdir(parents=True)
    (folder / "data").mkdir()
    known, told = next(
        (path, told)
        for path in runner.find_cases([str(runner.OWN)], runner.ROOT)
        if runner.find_adapter((told := runner.read_case(path))["capability"])
    )
    for name in told["data"]:
        runner.loader(known)(name).to_csv(folder / "data" / name, index=False)
    (folder / "cases" / "known.json").write_text(json.dumps(told), encoding="utf-8")
    told["expected"]["extra"] = 1.5
    (folder / "cases" / "wrong.json").write_text(json.dumps(told), encoding="utf-8")
    told["capability"] = "of_another_world"
    (folder / "cases" / "unknown.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def test_a_wrong_number_fails_the_run_and_the_table_counts_it(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "cases of mine")
    options = ["-n", "2", "-pno:cacheprovider", "-pno:nbmake", "--reference", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/test_reference.py::test_reference", *options],
        cwd=runner.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "extra: not computed" in done.stdout
    rows = [line.split() for line in done.stdout.split("reference results")[1].splitlines()]
    assert ["of_another_world", "1", "0", "0", "1"] in rows
    assert ["total", "3", "1", "1", "1"] in rows


def test_a_folder_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no cases/\*\.json in .*nowhere"):
        runner.find_cases(["nowhere", str(runner.OWN)], tmp_path)


def test_cases_are_found_in_order_and_relative_to_where_pytest_was_called() -> None:
    own = runner.find_cases(["reference"], runner.OWN.parent)
    assert own == sorted(own)
    assert {path.parents[1] for path in own} == {runner.OWN}
    assert set(own) <= set(runner.find_cases(None, runner.ROOT))


def test_only_blanks_are_missing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("x,y\nNA,1\n,\n", encoding="utf-8")
    table = runner.loader(tmp_path / "cases" / "a.json")("a.csv")
    assert table["x"].isna().tolist() == [False, True]
    assert table["y"].isna().tolist() == [False, True]
    with pytest.raises(FileNotFoundError, match=r"a\.json: no table b\.csv"):
        runner.loader(tmp_path / "cases" / "a.json")("b.csv")


def test_the_cases_of_the_project_are_whole() -> None:
    for path in runner.find_cases([str(runner.OWN)], runner.ROOT):
        told = runner.read_case(path)
        assert told["case"] == path.stem
        assert 0 < told["rel_tol"] < 1e-3
        assert list(runner.leaves(told["expected"]))
        assert told["call"]
        assert told["package"]
        for name in told["data"]:
            assert len(runner.loader(path)(name))
