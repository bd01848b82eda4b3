"""The package against the numbers of established programs: one test a case.

``pytest tests/test_reference.py --reference DIR`` compares with the cases of other folders.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import reference_runner as runner

SHOWN = 40


def test_reference(reference_case: Path, record_property: Callable[[str, object], None]) -> None:
    case = runner.read_case(reference_case)
    record_property("capability", case["capability"])
    compute = runner.find_adapter(case["capability"])
    if compute is None:
        pytest.skip("no adapter")
    found = runner.differences(case, compute(case, runner.loader(reference_case)))
    if found:
        lines = [f"{case['case']} ({case['package']}): {len(found)} differences", *found[:SHOWN]]
        more = [f"... and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        pytest.fail("\n".join([*lines, *more]), pytrace=False)


def test_every_adapter_has_a_case_in_the_project() -> None:
    covered = {
        runner.read_case(path)["capability"]
        for path in runner.find_cases(None, runner.OWN)
        if path.is_relative_to(runner.OWN)
    }
    adapters = {path.stem for path in runner.ADAPTERS.glob("[!_]*.py")}
    assert sorted(adapters - covered) == []
