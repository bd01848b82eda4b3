"""Mixed models, beside R's lme4 where it is installed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from r_peer import in_r

from lgpi_research.methods.ecometrics import ecometrics
from lgpi_research.methods.mixed import RandomTerm, fit_mixed

ROWS, GROUPS = 100_000, 5_000
PLACES, PERSONS, ITEMS = 1_700, 27_000, 6

Benchmark = tuple[str, Callable[[], object], Callable[[], object], str]


def benchmarks() -> Iterable[Benchmark]:
    rng = np.random.default_rng(0)
    group = rng.integers(0, GROUPS, ROWS)
    x, z = rng.normal(size=(2, ROWS))
    X = np.column_stack([np.ones(ROWS), x, z])
    effects = rng.normal(size=(GROUPS, 2)) @ [[1.0, 0.3], [0.0, 0.5]]
    y = X @ [1.0, 0.5, -0.5] + (effects[group] * X[:, :2]).sum(axis=1) + rng.normal(size=ROWS)

    place = rng.integers(0, PLACES, PERSONS)
    level = 0.4 * rng.normal(size=PLACES)[place] + 0.6 * rng.normal(size=PERSONS)
    answers = level[:, None] + 0.7 * rng.normal(size=(PERSONS, ITEMS))
    answers[rng.random(answers.shape) < 0.15] = np.nan

    def slope() -> object:
        return fit_mixed(y, X, [RandomTerm(group, X[:, :2])])

    def intercept() -> object:
        return fit_mixed(y, X, [RandomTerm(group)])

    def places() -> object:
        return ecometrics(answers, place)

    def floor() -> object:
        return np.bincount(group, x), X.T @ X

    fits = [
        (f"random intercept and slope, {ROWS:,} rows, {GROUPS:,} groups", slope),
        (f"random intercept, {ROWS:,} rows, {GROUPS:,} groups", intercept),
        (f"ecometrics, {ITEMS} items, {PERSONS:,} persons, {PLACES:,} places", places),
    ]
    if not shutil.which("R"):
        for name, ours in fits:
            yield name, ours, floor, "a sum by group and a product of 100,000 rows"
        return
    persons, items = np.nonzero(~np.isnan(answers))
    long = np.column_stack([answers[persons, items], items, place[persons], persons])
    with tempfile.TemporaryDirectory() as folder:
        rows, told = Path(folder) / "rows.csv", Path(folder) / "answers.csv"
        for path, head, table in (
            (rows, "y,a,b,group", np.column_stack([y, x, z, group])),
            (told, "answer,item,place,person", long),
        ):
            np.savetxt(path, table, delimiter=",", header=head, comments="")
        calls = [
            ("lme4::lmer(y ~ a + b + (a | group), x)", rows),
            ("lme4::lmer(y ~ a + b + (1 | group), x)", rows),
            ("lme4::lmer(answer ~ factor(item) + (1 | place) + (1 | person), x)", told),
        ]
        for (name, ours), (call, path) in zip(fits, calls, strict=True):
            yield name, ours, in_r(call, path), "R's lme4"
