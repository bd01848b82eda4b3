"""Krippendorff's alpha, beside the Python package of that name where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from lgpi_research.methods.agreement import krippendorff_alpha, krippendorff_replicates, tally

UNITS, CODERS, VALUES, MANY = 10_000, 20, 5, 1000


def benchmarks() -> Iterable[tuple[str, Callable[[], object], Callable[[], object], str]]:
    rng = np.random.default_rng(0)
    true = rng.integers(VALUES, size=(UNITS, 1))
    noise = rng.integers(VALUES, size=(UNITS, CODERS))
    few = np.where(rng.random((UNITS, CODERS)) < 0.6, true, noise).astype(float)
    few[rng.random(few.shape) < 0.1] = np.nan
    many = np.rint(MANY / 2 + 120 * true + 90 * rng.normal(size=(UNITS, CODERS)))

    def package(level: str) -> Callable[[], object]:
        def once() -> object:
            import krippendorff

            return krippendorff.alpha(few.T, level_of_measurement=level)

        return once

    for level in ("nominal", "ordinal", "interval"):
        yield (
            f"Krippendorff's alpha, {level}, {UNITS:,} units × {CODERS} coders, {VALUES} values",
            lambda level=level: krippendorff_alpha(few, level),
            package(level),
            "the package krippendorff",
        )

    def sort() -> object:
        return np.sort(many, axis=1)

    yield (
        f"Krippendorff's alpha, ordinal, {len(np.unique(many)):,} distinct values",
        lambda: krippendorff_alpha(many, "ordinal"),
        sort,
        "each unit's ratings sorted once; a table of coincidences of all units is never formed",
    )

    counted = tally(few, least=2)

    def bootstrap() -> object:
        draws = rng.multinomial(
            counted.n_units, np.full(counted.n_units, 1 / counted.n_units), size=128
        )
        return krippendorff_replicates(counted, "ordinal", draws)

    def product() -> object:
        draws = rng.multinomial(
            counted.n_units, np.full(counted.n_units, 1 / counted.n_units), size=128
        )
        return draws.astype(float) @ np.ones((counted.n_units, VALUES * VALUES))

    yield (
        "Krippendorff's alpha, ordinal, 128 bootstrap draws of units",
        bootstrap,
        product,
        "the draws drawn, and one product with a column for each pair of values",
    )
