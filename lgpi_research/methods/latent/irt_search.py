"""Climb to the maximum of a marginal likelihood by quasi-Newton steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

from lgpi_research.errors import MethodError
from lgpi_research.methods.latent.irt_likelihood import Marginal

__all__ = ["Found", "climb"]

Floats = npt.NDArray[np.float64]

_MOST = 300  # steps; regular cases take ten to forty
_RENEWED = (3, 7, 15, 40, 80)  # steps before which the curvature is measured anew
_CLOSE = 1e-12  # half of this is the gain in log-likelihood that a full step still promises
_FAR = 1.0  # largest change of a parameter in one step
_WILD = 40.0  # a slope beyond it grows without end


@dataclass(frozen=True, eq=False)
class Found:
    """Where the search ended: free parameters, log-likelihood, expected counts, steps."""

    free: Floats
    log_likelihood: float
    counts: Floats
    steps: int


def climb(marginal: Marginal, start: Floats, *, most: int = _MOST) -> Found:
    """Return the maximum that lies above `start`.

    The first steps use cross-products of the scores of patterns as the curvature, as does
    Fisher scoring; from there it is updated after Broyden, Fletcher, Goldfarb and Shanno.

    Raises
    ------
    MethodError
        If no maximum is found; the message names an item whose slope grows without end.
    """
    here = start.copy()
    value, gradient, counts = marginal.evaluate(here)
    inverse = _measure(marginal, here, counts)
    for steps in range(1, most + 1):
        if steps in _RENEWED:
            inverse = _measure(marginal, here, counts)
        step = inverse @ gradient
        promised = float(gradient @ step)
        if not promised > 0:
            inverse = _measure(marginal, here, counts)
            step = inverse @ gradient
            promised = float(gradient @ step)
        if promised < _CLOSE:
            return Found(here, value, counts, steps)
        step *= min(1.0, _FAR / float(np.abs(step).max()))
        slack = 1e-12 * abs(value)
        for _ in range(40):
            there = here + step
            if marginal.feasible(there):
                found = marginal.evaluate(there)
                if found[0] >= value + 1e-4 * float(gradient @ step) - slack:
                    break
            step = step / 2
        else:
            break
        turned = gradient - found[1]
        here, (value, gradient, counts) = there, found
        inverse = _update(inverse, step, turned)
        _check(marginal, here)
    raise MethodError(
        "the item response model did not converge: its likelihood has no maximum that "
        f"{most} steps could find. Look for items that hang together too little or too much, "
        "for answers that few gave, or for fewer respondents than parameters "
        f"({marginal.patterns.n_used} and {marginal.layout.n_free})."
    )


def _measure(marginal: Marginal, here: Floats, counts: Floats) -> Floats:
    """Return the inverse of cross-products of scores, and a little complete information.

    The little grows with the number of parameters for each respondent: with few respondents
    cross-products are singular.
    """
    scores = marginal.scores(here)
    weights = marginal.patterns.weights
    cross = scores.T @ (scores * weights[:, None])
    complete = marginal.complete_information(here, counts)
    share = min(1.0, marginal.layout.n_free / marginal.patterns.n_used)
    mixed = cross + share * complete
    mixed[np.diag_indices_from(mixed)] += 1e-8 * max(float(np.diag(mixed).max()), 1e-8)
    inverse: Floats = linalg.cho_solve(linalg.cho_factor(mixed), np.eye(len(mixed)))
    return inverse


def _update(inverse: Floats, step: Floats, turned: Floats) -> Floats:
    """Return the inverse curvature after a step that turned the gradient."""
    product = float(step @ turned)
    if not product > 1e-10 * float(np.linalg.norm(step) * np.linalg.norm(turned)):
        return inverse
    through = inverse @ turned
    scale = (1 + float(turned @ through) / product) / product
    mixed = np.outer(through, step) / product
    return inverse + scale * np.outer(step, step) - mixed - mixed.T


def _check(marginal: Marginal, here: Floats) -> None:
    """Raise the named error of a slope that grows without end."""
    slopes = marginal.layout.whole(here)[: marginal.layout.n_versions]
    worst = int(np.abs(slopes).argmax())
    if abs(slopes[worst]) > _WILD:
        raise MethodError(
            f"the slope of item {marginal.layout.item[worst] + 1} grows without end (beyond "
            f"{_WILD:g}): the model has no maximum, as in a Heywood case. Look for an item that "
            "nearly repeats another, for few respondents, or for more than one dimension."
        )
