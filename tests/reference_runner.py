"""Reference results: find the cases, read their data, compare what an adapter computes.

A folder of references holds ``cases/*.json`` and ``data/*.csv``. A case names its
``capability``, the ``inputs``, the ``expected`` numbers of an established program and the
relative difference ``rel_tol`` up to which two correct programs agree.

A leaf is a value of ``expected`` that is not an object; its name is the keys that lead to
it, joined by dots. A pattern covers a leaf if it equals the name or a beginning of it up to
a dot; ``*`` stands for any characters. ``optional_expected`` lists patterns that are not
compared, ``inputs.tolerances`` relative differences that replace ``rel_tol``, and
``inputs.rounding`` leaves that were published with so many decimals or significant digits.
"""

from __future__ import annotations

import importlib
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
ADAPTERS = ROOT / "tests" / "adapters"
OWN = ROOT / "tests" / "reference"
SHARED = ROOT.parent / "shared" / "golden"

LABELS = {"_row", "rows", "cols"}
EPSILON = sys.float_info.epsilon

Load = Callable[[str], pd.DataFrame]


def find_cases(folders: Sequence[str] | None, relative_to: Path) -> list[Path]:
    """Return the case files of the folders, or of the default ones, in order of their names."""
    if folders:
        chosen = [relative_to / folder for folder in folders]
    else:
        chosen = [OWN, *([SHARED] if SHARED.is_dir() else [])]
    empty = [str(folder) for folder in chosen if not any((folder / "cases").glob("*.json"))]
    if empty:
        raise FileNotFoundError(f"no cases/*.json in {', '.join(empty)}")
    return [case for folder in chosen for case in sorted((folder / "cases").glob("*.json"))]


def read_case(path: Path) -> dict[str, Any]:
    """Return a case as it is written."""
    case: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return case


def loader(path: Path) -> Load:
    """Return the function that reads the data of the case at `path`.

    Tables lie in ``data/`` beside ``cases/``; a table that ships with the project is found
    there too. Only blanks are missing.
    """

    def load(name: str) -> pd.DataFrame:
        places = [path.parents[1] / "data" / name, ROOT / "data" / name]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise FileNotFoundError(f"{path.name}: no table {name} in {places[0].parent}")
        return pd.read_csv(found, keep_default_na=False, na_values=[""])

    return load


def find_adapter(capability: str) -> Callable[[dict[str, Any], Load], dict[str, Any]] | None:
    """Return the adapter of a capability, or None if there is none."""
    if not (ADAPTERS / f"{capability}.py").is_file():
        return None
    module = importlib.import_module(f"tests.adapters.{capability}")
    compute: Callable[[dict[str, Any], Load], dict[str, Any]] = module.compute
    return compute


def covers(pattern: str, name: str) -> bool:
    """Return whether a pattern covers the leaf called `name`."""
    text = re.escape(pattern).replace(r"\*", ".*")
    return re.fullmatch(rf"{text}(\..*)?", name, flags=re.DOTALL) is not None


@dataclass(frozen=True)
class Rule:
    """How far a number may lie from the expected one."""

    relative: float
    decimals: int | None = None
    significant: int | None = None

    def allowed(self, expected: float, scale: float) -> float:
        """Return the largest difference that is still agreement.

        `scale` is the largest number of a list; rounding errors of its size are no
        difference. A single number has none, so that 0 is no match for a p-value of 1e-30.
        """
        allowance = self.relative * abs(expected) + 4 * EPSILON * scale
        if self.significant is not None and expected != 0:
            decimals = self.significant - 1 - math.floor(math.log10(abs(expected)))
        else:
            decimals = self.decimals
        return allowance if decimals is None else allowance + 0.5 * 10.0**-decimals


def rule_for(case: Mapping[str, Any], name: str) -> Rule:
    """Return the rule of a leaf; of several patterns that cover it, the longest counts."""
    inputs = case["inputs"]

    def longest(key: str) -> Any:
        found = [pattern for pattern in inputs.get(key, {}) if covers(pattern, name)]
        return inputs[key][max(found, key=len)] if found else None

    relative = longest("tolerances")
    return Rule(case["rel_tol"] if relative is None else relative, **(longest("rounding") or {}))


def leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the keys that lead to each leaf."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic | pd.Series | pd.Index):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _label(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)


def _compare(where: str, expected: Any, computed: Any, rule: Rule, scale: float) -> Iterator[str]:
    if expected is None:  # the reference has no value here
        return
    if isinstance(expected, list):
        if not isinstance(computed, list):
            yield f"{where}: expected {len(expected)} values, computed {computed!r}"
        elif len(expected) != len(computed):
            yield f"{where}: expected {len(expected)} values, computed {len(computed)}"
        else:
            for i, pair in enumerate(zip(expected, computed, strict=True)):
                yield from _compare(f"{where}[{i}]", *pair, rule, scale)
        return
    if isinstance(computed, list) and len(computed) == 1:  # files hold one value as itself
        computed = computed[0]
    if not _is_number(expected):
        same = type(expected) is type(computed) and expected == computed
        if not same:
            yield f"{where}: expected {expected!r}, computed {computed!r}"
        return
    if not _is_number(computed):
        yield f"{where}: expected {expected!r}, computed {computed!r}"
        return
    difference, allowed = abs(computed - expected), rule.allowed(expected, scale)
    if not (difference <= allowed or computed == expected):
        yield (
            f"{where}: expected {expected!r}, computed {computed!r}, "
            f"difference {difference:.2g}, allowed {allowed:.2g}"
        )


def differences(case: Mapping[str, Any], computed: Mapping[str, Any]) -> list[str]:
    """Return one line for each difference between a case and what was computed for it.

    Numbers agree within the rule of their leaf, text and truth values if they are equal,
    labels (``_row``, ``rows``, ``cols``) if they read the same. A leaf that was not computed
    is a difference; null and what `expected` does not name are not compared.
    """
    found: list[str] = []
    for path in leaves(case["expected"]):
        name = ".".join(path)
        if any(covers(pattern, name) for pattern in case.get("optional_expected", ())):
            continue
        expected: Any = case["expected"]
        given: Any = computed
        for depth, key in enumerate(path):
            expected = expected[key]
            if not isinstance(given, Mapping) or key not in given:
                found.append(f"{name}: not computed ({'.'.join(path[: depth + 1])} is missing)")
                break
            given = given[key]
        else:
            given = _plain(given)
            if path[-1] in LABELS:
                told, got = ([_label(v) for v in _flat(side)] for side in (expected, given))
                if told != got:
                    found.append(f"{name}: expected labels {told}, computed {got}")
                continue
            numbers = [abs(v) for v in _flat(expected) if _is_number(v)]
            single = not isinstance(expected, list) and expected != 0
            scale = 0.0 if single else max([1.0, *numbers])
            found.extend(_compare(name, expected, given, rule_for(case, name), scale))
    return found
