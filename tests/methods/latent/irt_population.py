"""Simulated answers with known parameters."""

from __future__ import annotations

import numpy as np


def draw_answers(rng, theta, slopes, difficulties):
    """Return graded answers from 0 of respondents with traits `theta`."""
    pull = slopes[:, None] * (theta[:, None, None] - difficulties)
    uniform = rng.uniform(size=(len(theta), len(slopes), 1))
    return (uniform < 1 / (1 + np.exp(-pull))).sum(axis=2).astype(float)


SLOPES = np.array([1.0, 1.5, 0.7, 2.0, 1.2, 0.9])
DIFFICULTIES = np.linspace(-1.2, 1.2, 3) + np.linspace(-0.4, 0.4, 6)[:, None]


def sample(seed=0, n=600, theta=None):
    rng = np.random.default_rng([71, seed])
    theta = rng.normal(size=n) if theta is None else theta
    return draw_answers(rng, theta, SLOPES, DIFFICULTIES)
