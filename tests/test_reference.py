"""The package against the numbers of established programs: one test a case.

``pytest tests/test_reference.py --reference DIR`` compares with the cases of other folders.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import reference_runner as runner

SHOWN = 40

EXPLAINED = {
    # The search behind this case stops where variances are 3e-6 of their errors from the
    # optimum, which the p values of 9e-7 and 1e-9 multiply by some 25. With a relative
    # tolerance of 1e-14 the same program moves towards ours; estimates, errors and z agree.
    "sem-invariance-hs-school": {"scalar_estimates.pvalue[52]", "scalar_estimates.pvalue[53]"},
}
"""Values of a case in which its program was found to be wrong, and how."""


def test_reference(reference_case: Path, record_property: Callable[[str, object], None]) -> None:
    case = runner.read_case(reference_case)
    record_property("capability", case["capability"])
    compute = runner.find_adapter(case["capability"])
    if compute is None:
        pytest.skip("no adapter")
    found = runner.differences(case, compute(case, runner.loader(reference_case)))
    known = EXPLAINED.get(case["case"], set())
    found = [line for line in found if line.partition(":")[0] not in known]
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
