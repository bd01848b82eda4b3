"""Item response models, beside the least that one step of the search must do."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from lgpi_research.methods.latent.irt_errors import response_errors
from lgpi_research.methods.latent.irt_fit import fit_item_response

N, ITEMS, POINTS, STEPS = 2436, 25, 61, 15
CUTS = np.linspace(-1.8, 1.8, 5)


def benchmarks() -> Iterable[tuple[str, Callable[[], object], Callable[[], object], str]]:
    rng = np.random.default_rng(0)
    slopes = rng.uniform(0.6, 2, ITEMS)
    pull = slopes[:, None] * (rng.normal(size=(N, 1, 1)) - CUTS)
    answers = (rng.uniform(size=(N, ITEMS, 1)) < 1 / (1 + np.exp(-pull))).sum(axis=2).astype(float)
    marks = (answers[:, :, None] == np.arange(6)).reshape(N, -1).astype(float)
    table = rng.normal(size=(marks.shape[1], POINTS)) / ITEMS

    def ours() -> object:
        return fit_item_response(answers)

    def floor() -> object:
        for _ in range(STEPS):
            counts = marks.T @ np.exp(marks @ table)
        return counts

    name = f"graded response model, {N:,} × {ITEMS}"
    yield name, ours, floor, f"likelihoods and counts of {STEPS} steps"

    fit = fit_item_response(answers)

    def errors() -> object:
        return response_errors(fit)

    def pairs() -> object:
        for _ in range(POINTS):
            products = marks.T @ marks
        return products

    yield "their standard errors", errors, pairs, "counts of pairs at every point"
