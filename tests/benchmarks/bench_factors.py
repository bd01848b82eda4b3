"""Factor models of 25 items on 5 factors, beside R's lavaan where it is installed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from r_peer import in_r

from lgpi_research.methods.latent.alignment import align_groups
from lgpi_research.methods.latent.dwls import fit_ordered
from lgpi_research.methods.latent.fit import fit_model

N, FACTORS, EACH, MISSING = 2436, 5, 5, 0.01
CUTS = [-1.8, -1.1, -0.4, 0.4, 1.2]
NAMES = [f"q{item}" for item in range(FACTORS * EACH)]
MODEL = "\n".join(
    f"f{f} =~ " + " + ".join(NAMES[f * EACH : (f + 1) * EACH]) for f in range(FACTORS)
)
GROUPS, ITEMS = 20, 12


def benchmarks() -> Iterable[tuple[str, Callable[[], object], Callable[[], object] | None, str]]:
    rng = np.random.default_rng(0)
    correlation = np.full((FACTORS, FACTORS), 0.3) + 0.7 * np.eye(FACTORS)
    traits = rng.multivariate_normal(np.zeros(FACTORS), correlation, size=N)
    load = rng.uniform(0.4, 0.8, FACTORS * EACH)
    latent = np.repeat(traits, EACH, axis=1) * load
    latent += rng.normal(size=latent.shape) * np.sqrt(1 - load**2)
    answers = np.digitize(latent, CUTS).astype(float)
    gaps = np.where(rng.uniform(size=answers.shape) < MISSING, np.nan, answers)

    fits: dict[str, tuple[np.ndarray, Callable[[], object], str]] = {
        "ML": (answers, lambda: fit_model(MODEL, answers, NAMES), "lavaan::cfa(m, x)"),
        "FIML": (
            gaps,
            lambda: fit_model(MODEL, gaps, NAMES, missing="fiml"),
            "lavaan::cfa(m, x, missing = 'fiml')",
        ),
        "WLSMV": (
            answers,
            lambda: fit_ordered(MODEL, answers, NAMES),
            "lavaan::cfa(m, x, ordered = TRUE)",
        ),
    }
    with tempfile.TemporaryDirectory() as folder:
        for estimator, (table, ours, call) in fits.items():
            name = f"{FACTORS} factors of {FACTORS * EACH} items, {N:,} respondents, {estimator}"
            if not shutil.which("R"):
                yield name, ours, None, "no peer: R is not installed"
            else:
                path = Path(folder) / f"{estimator}.csv"
                text = np.where(np.isnan(table), "NA", table.astype(str))
                path.write_text("\n".join([",".join(NAMES), *map(",".join, text)]) + "\n")
                model = MODEL.replace("\n", "; ")
                yield name, ours, in_r(call.replace("(m, ", f"('{model}', "), path), "R's lavaan"

    load = np.tile(rng.uniform(0.5, 0.9, ITEMS), (GROUPS, 1))
    mean, size = rng.normal(size=GROUPS) / 2, rng.uniform(0.8, 1.3, GROUPS)
    error = np.tile(np.eye(2 * ITEMS) / 1000, (GROUPS, 1, 1))
    noise = rng.normal(size=(2, GROUPS, ITEMS)) / np.sqrt(1000)
    first, second = np.triu_indices(GROUPS, 1)

    def align() -> object:
        return align_groups(
            load * size[:, None] + noise[0],
            load * mean[:, None] + noise[1],
            error,
            np.full(GROUPS, 1000.0),
        )

    def gaps_of_pairs() -> object:
        for _ in range(500):  # values of the loss
            made = np.sqrt(np.sqrt(np.square(noise[:, first] - noise[:, second]) + 1e-3)).sum()
        return made

    yield (
        f"alignment of {GROUPS} groups, {ITEMS} items",
        align,
        gaps_of_pairs,
        "the loss of 500 steps",
    )
