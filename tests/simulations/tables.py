"""The tables of coverage that docstrings print, made from ``coverage.csv``.

``python tests/simulations/tables.py`` puts them where they belong, in the place of those with the
same head; a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import pandas as pd  # noqa: E402  after the path, for the modules below

from lgpi_research.coefficients import INTERVALS, named_coefficients  # noqa: E402
from lgpi_research.units import MEAN, SHARE, SQUARED  # noqa: E402

TABLE = Path(__file__).with_name("coverage.csv")

BOOTSTRAPPED = ("rao_wu", "bootstrap")
OF_BOUNDS = (
    "300 respondents",
    "20 PSUs, share 0.4",
    "200 PSUs, share 0.1",
    "20 PSUs, share 0.4, equal",
    "200 PSUs, share 0.1, equal",
)
OF_ALPHA = (
    "300 respondents",
    "300 respondents, 7 points",
    *(
        f"{psus} PSUs, share {share}{more}"
        for psus in (20, 200)
        for share, more in (
            ("0", ""),
            ("0.1", ""),
            ("0.1", ", 7 points"),
            ("0.1", ", items 0.1"),
            ("0.1", ", strata"),
            ("0.4", ""),
            ("0.4", ", 7 points"),
            ("0.4" if psus == 20 else "0.1", ", skewed"),
        )
    ),
)
OF_EVERY = (
    ("300 respondents", "300"),
    ("20 PSUs, share 0.1", "20, 0.1"),
    ("20 PSUs, share 0.4", "20, 0.4"),
    ("200 PSUs, share 0.1", "200, 0.1"),
    ("200 PSUs, share 0.4", "200, 0.4"),
)
COEFFICIENTS = (
    "alpha",
    "omega",
    "standardised_alpha",
    "omega_total",
    "lambda1",
    "lambda2",
    "lambda4",
    "lambda5",
    "lambda6",
    "glb",
    "average_r",
    "ordinal_alpha",
    "ordinal_omega",
    "omega_categorical",
)


@dataclass(frozen=True)
class Shown:
    """A table, the module that prints it, and the function in whose docstring it stands."""

    module: str
    function: str
    lines: tuple[str, ...]


def rst(head: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the lines of a simple table."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    body = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    return (rule, body[0], rule, *body[1:], rule)


class Coverage:
    """The figures of ``coverage.csv``, written as docstrings print them."""

    def __init__(self, path: Path = TABLE) -> None:
        keys = ["topic", "condition", "coefficient", "interval"]
        self.frame = pd.read_csv(path).set_index(keys)

    def cell(self, column: str, *key: str) -> str:
        """Return a figure, or a dash where there is none."""
        if key not in self.frame.index:
            return "-"
        value = self.frame.loc[key, column]
        if pd.isna(value):
            return "-"
        if column == "coverage":
            return f"{100 * value:.1f}"
        return f"{value:+.3f}" if column == "bias" else f"{value:.3f}"

    def shown(self) -> Iterator[Shown]:
        """Yield every table."""
        default, others = INTERVALS["jackknife"], [INTERVALS[kind] for kind in BOOTSTRAPPED]
        of_alpha = [
            [
                condition,
                *(
                    self.cell("coverage", "consistency", condition, "alpha", interval)
                    for interval in (default, *others)
                ),
                self.cell("coverage", "consistency", condition, "alpha", INTERVALS["feldt"]),
            ]
            for condition in OF_ALPHA
        ]
        short = ["Rao-Wu", "percentile"]
        yield Shown(
            "reliability",
            "assess_reliability",
            rst(["sample", "jackknife-t", *short, "Feldt"], of_alpha),
        )
        every = []
        for coefficient in named_coefficients(COEFFICIENTS):
            name, own = coefficient.name, INTERVALS[coefficient.default_interval]
            cells = [
                [
                    self.cell("coverage", "consistency", f"{part}{condition}", name, own)
                    for part in ("", "pairs, ")
                ]
                for condition, _ in OF_EVERY
            ]
            every.append([name, *(min(pair, key=lambda cell: cell == "-") for pair in cells)])
        for kind in ("observed", "corrected"):
            found = [
                self.cell("coverage", "correlations", condition, kind, default)
                for condition, _ in OF_EVERY
            ]
            every.append([f"r, {kind}", *found])
        head = ["default of", *(label for _, label in OF_EVERY)]
        yield Shown("reliability", "assess_reliability", rst(head, every))
        own = INTERVALS["directional"]
        for bound in ("lambda4", "lambda5", "glb"):
            rows = [
                [
                    condition,
                    self.cell("bias", "consistency", condition, bound, own),
                    *(
                        self.cell("coverage", "consistency", condition, bound, interval)
                        for interval in (own, *others)
                    ),
                ]
                for condition in OF_BOUNDS
                if ("consistency", condition, bound, own) in self.frame.index
            ]
            head = ["sample", "bias", "directional", *short]
            yield Shown("methods.guttman", bound, rst(head, rows))
        yield Shown("units", "place_rows", self._of_places())

    def _of_places(self) -> tuple[str, ...]:
        rows = []
        part = self.frame.loc["places"]
        for condition in part.index.unique("condition"):
            places, psus, share = str(condition).split(", ")
            key = ("places", str(condition))
            rows.append(
                [
                    places.split()[0],
                    psus,
                    share.split()[1],
                    *(
                        self.cell(column, *key, coefficient, "Q-profile")
                        for coefficient in (MEAN, SQUARED, SHARE)
                        for column in ("truth", "bias", "coverage")
                    ),
                ]
            )
        each = ["bias", "cover"]
        head = ["places", "PSUs", "share", "mean", *each, "squared", *each, "ICC(1)", *each]
        return rst(head, rows)


def replaced(text: str, function: str, lines: Sequence[str]) -> str:
    """Return a module in whose function the table with the same head is replaced.

    Raises
    ------
    ValueError
        If the function has no such table.
    """
    old = text.split("\n")
    start = next(i for i, line in enumerate(old) if line.startswith(f"def {function}("))
    head = lines[1].split()
    at = next((i for i in range(start, len(old)) if old[i].split() == head), None)
    if at is None:
        raise ValueError(f"{function} has no table whose head is {' '.join(head)!r}.")
    end = next(i for i in range(at + 2, len(old)) if old[i].strip().startswith("=="))
    indent = old[at][: len(old[at]) - len(old[at].lstrip())]
    return "\n".join([*old[: at - 1], *(indent + line for line in lines), *old[end + 1 :]])


def main() -> int:
    """Put every table in its docstring."""
    for shown in Coverage().shown():
        path = ROOT / "lgpi_research" / f"{shown.module.replace('.', '/')}.py"
        text = path.read_text("utf-8")
        new = replaced(text, shown.function, shown.lines)
        if new != text:
            path.write_text(new, encoding="utf-8")
            print(f"{shown.function}: {len(shown.lines)} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
