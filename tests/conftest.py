"""Options and settings of the test run, and the table of reference results at its end."""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterator

os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
from hypothesis import settings

from tests import reference_runner

# Programs and generators, not tests: they are not imported in search of doctests.
collect_ignore = ["benchmarks", "reference", "simulations"]

settings.register_profile("ci", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "explore")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lgpi_research")
    group.addoption("--slow", action="store_true", help="Also run the long simulations.")
    group.addoption(
        "--reference",
        action="append",
        metavar="DIR",
        help="Folder with cases/ and data/ to compare with; may be given several times. "
        "Default: tests/reference, and ../shared/golden where it exists.",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in set(slow)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "reference_case" in metafunc.fixturenames:
        given = metafunc.config.getoption("--reference")
        try:
            cases = reference_runner.find_cases(given, metafunc.config.invocation_params.dir)
        except FileNotFoundError as error:
            raise pytest.UsageError(str(error)) from error
        names = [case.stem for case in cases]
        ids = [
            name if names.count(name) == 1 else f"{case.parents[1].name}/{name}"
            for case, name in zip(cases, names, strict=True)
        ]
        metafunc.parametrize("reference_case", cases, ids=ids)


@pytest.fixture
def two_dask_workers() -> Iterator[None]:
    """Make a Dask cluster of two workers the default of a test."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.ERROR
        ) as cluster,
        distributed.Client(cluster),
    ):
        yield


OUTCOMES = {"passed": "agree", "failed": "differ", "skipped": "no adapter"}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many cases of each capability agree, from the reports of all workers."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for reports in terminalreporter.stats.values():
        for report in reports:
            properties = dict(getattr(report, "user_properties", ()))
            if "capability" in properties and getattr(report, "when", "") == "call":
                counts[properties["capability"]][OUTCOMES[report.outcome]] += 1
    if not counts:
        return
    columns = tuple(OUTCOMES.values())
    width = max(map(len, counts))
    head = f"{'capability':<{width}}  cases  " + "  ".join(columns)
    terminalreporter.section("reference results")
    terminalreporter.line(head)
    for name, found in [*sorted(counts.items()), ("total", sum(counts.values(), Counter()))]:
        cells = "  ".join(str(found[column]).rjust(len(column)) for column in columns)
        terminalreporter.line(f"{name:<{width}}  {found.total():>5}  {cells}")
