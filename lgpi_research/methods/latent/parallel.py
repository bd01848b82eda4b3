"""Parallel analysis: roots beside those of items that do not correlate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import DataError, SpecError, listing, nearest
from lgpi_research.methods.latent.checks import usable_correlation
from lgpi_research.methods.polychoric import PairCounts, polychoric

__all__ = ["Parallel", "parallel_answers", "parallel_normal"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Parallel:
    """Roots of the items beside roots of items that do not correlate.

    Attributes
    ----------
    roots : ndarray of shape (k,)
        Of the analysed matrix, the largest first.
    reference : ndarray of shape (k,)
        Quantile of the same root over the draws.
    draws : ndarray of shape (draws, k)
        Every drawn root.
    """

    roots: Floats
    reference: Floats
    draws: Floats

    @property
    def dimensions(self) -> int:
        """How many first roots are larger than their references."""
        beaten = self.roots > self.reference
        return len(beaten) if beaten.all() else int(beaten.argmin())


def parallel_normal(
    matrix: npt.ArrayLike,
    n: int,
    rng: np.random.Generator,
    *,
    draws: int = 200,
    quantile: float = 0.95,
    of: str = "components",
) -> Parallel:
    r"""Compare roots with those of uncorrelated normal answers of as many respondents.

    Parameters
    ----------
    matrix : array_like of shape (k, k)
        Pearson correlations or covariances.
    n : int
        Respondents, more than items. With pairs of different numbers, the smallest is on
        the safe side.
    rng : Generator
        Draws the samples.
    draws : int, default 200
        Samples.
    quantile : float, default 0.95
        Of the drawn roots.
    of : {"components", "factors"}, default "components"
        Roots of the correlations, or of these with squared multiple correlations in the
        diagonal.

    Returns
    -------
    Parallel

    Raises
    ------
    DataError
        If the matrix is not a positive definite correlation matrix.
    SpecError
        If an option is out of range, or there are no more respondents than items.

    Notes
    -----
    Horn's test [1]_ with a quantile in place of the mean [2]_. The matrix of the draws is
    Wishart, so that it costs the same for any n. Roots of factors keep too many in large
    samples.

    References
    ----------
    .. [1] Horn, J. L. (1965). A rationale and test for the number of factors in factor
       analysis. *Psychometrika*, 30, 179-185.
    .. [2] Glorfeld, L. W. (1995). An improvement on Horn's parallel analysis methodology.
       *Educational and Psychological Measurement*, 55, 377-393.

    Examples
    --------
    >>> truth = np.full((6, 1), 0.7)
    >>> matrix = truth @ truth.T
    >>> np.fill_diagonal(matrix, 1)
    >>> parallel_normal(matrix, 300, np.random.default_rng(0)).dimensions
    1
    """
    measure = _measure(of)
    _check_draws(draws, quantile)
    whole = usable_correlation(matrix)
    k = len(whole)
    if n <= k + 1:
        raise SpecError(f"n: {n} respondents are too few for {k} items.")
    # Bartlett's decomposition: the triangle of a Wishart matrix.
    lower = np.tril(rng.normal(size=(draws, k, k)), -1)
    places = np.arange(k)
    lower[:, places, places] = np.sqrt(rng.chisquare(n - 1 - places, size=(draws, k)))
    drawn = lower @ lower.transpose(0, 2, 1)
    size = np.sqrt(np.diagonal(drawn, axis1=1, axis2=2))
    roots = measure(drawn / (size[:, :, None] * size[:, None, :]))
    return Parallel(measure(whole), np.quantile(roots, quantile, axis=0), roots)


def parallel_answers(
    answers: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    correlation: str = "polychoric",
    draws: int = 100,
    quantile: float = 0.95,
    of: str = "components",
) -> Parallel:
    r"""Compare roots with those of the same answers, each item shuffled among respondents.

    Parameters
    ----------
    answers : array_like of shape (n, k)
        Codes of ordered answers. NaN is missing and stays with its respondent, so that
        pairs keep their numbers.
    rng : Generator
        Shuffles.
    correlation : {"polychoric", "pearson"}, default "polychoric"
        Pearson's needs complete answers.
    draws : int, default 100
        Shuffled tables.
    quantile, of
        As for `parallel_normal`.

    Returns
    -------
    Parallel

    Raises
    ------
    DataError
        If the matrix of the answers is not a positive definite correlation matrix, or
        Pearson's correlations are asked of answers with gaps.
    SpecError
        If an option is out of range.
    MethodError
        If a polychoric correlation does not converge.

    Notes
    -----
    Shuffling keeps how often each answer was given, which the roots of ordered items depend
    on, and takes only the correlations away [1]_. Polychoric correlations vary more than
    Pearson's, so they need their own reference.

    References
    ----------
    .. [1] Buja, A., and Eyuboglu, N. (1992). Remarks on parallel analysis. *Multivariate
       Behavioral Research*, 27, 509-540.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> hidden = rng.normal(size=(300, 1)) + rng.normal(size=(300, 4))
    >>> answers = np.digitize(hidden, [-1.0, 1.0])
    >>> parallel_answers(answers, rng, draws=20).dimensions
    1
    """
    kinds: dict[str, Callable[[Floats], Floats]] = {"polychoric": _polychoric, "pearson": _pearson}
    if correlation not in kinds:
        raise SpecError(
            f"correlation must be one of {listing(map(repr, kinds))}, got {correlation!r}."
            f"{nearest(str(correlation), kinds)}"
        )
    measure = _measure(of)
    _check_draws(draws, quantile)
    given = np.asarray(answers, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] < 2:
        raise DataError(f"answers must be a table of at least 2 items, got shape {given.shape}.")
    if correlation == "pearson" and np.isnan(given).any():
        raise DataError("answers have gaps: use complete rows, or polychoric correlations.")
    roots = measure(usable_correlation(kinds[correlation](given)))
    present = [np.flatnonzero(~np.isnan(column)) for column in given.T]
    drawn = np.empty((draws, given.shape[1]))
    for b in range(draws):
        shuffled = given.copy()
        for j, rows in enumerate(present):
            shuffled[rows, j] = rng.permutation(given[rows, j])
        drawn[b] = measure(kinds[correlation](shuffled))
    return Parallel(roots, np.quantile(drawn, quantile, axis=0), drawn)


def _polychoric(answers: Floats) -> Floats:
    return polychoric(PairCounts.from_answers(answers)).correlation


def _pearson(answers: Floats) -> Floats:
    return np.asarray(np.corrcoef(answers.T), dtype=np.float64)


def _check_draws(draws: int, quantile: float) -> None:
    problems = []
    if draws < 1:
        problems.append(f"draws must be at least 1, got {draws}.")
    if not 0 < quantile < 1:
        problems.append(f"quantile must lie between 0 and 1, got {quantile}.")
    if problems:
        raise SpecError(" ".join(problems), problems)


def _measure(of: str) -> Callable[[Floats], Floats]:
    """Return the function that finds the roots of matrices, the largest first."""
    if of == "components":
        return lambda matrix: np.asarray(np.linalg.eigvalsh(matrix)[..., ::-1], dtype=np.float64)
    if of != "factors":
        raise SpecError(f"of must be 'components' or 'factors', got {of!r}.")

    def reduced(matrix: Floats) -> Floats:
        unique = 1 / np.diagonal(np.linalg.inv(matrix), axis1=-2, axis2=-1)
        held = matrix - unique[..., None] * np.eye(matrix.shape[-1])
        return np.asarray(np.linalg.eigvalsh(held)[..., ::-1])

    return reduced
