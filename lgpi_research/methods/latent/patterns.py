r"""Samples by patterns of missing answers, and the normal likelihood of their moments.

A complete sample is one pattern, so maximum likelihood from a covariance matrix and full
information from incomplete answers are the same function.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError, listing

__all__ = ["Likelihood", "Sample", "likelihood", "sample_of_moments", "sample_of_rows", "saturate"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]

_MOST = 5000  # steps of the EM algorithm


@dataclass(frozen=True, eq=False)
class Sample:
    """One group: moments of what was answered, by pattern.

    Attributes
    ----------
    n : int
        Respondents with an answer.
    seen : ndarray of bool of shape (P, p)
        Which variables each pattern holds.
    counts : ndarray of shape (P,)
        Respondents of each pattern.
    means : ndarray of shape (P, p)
        Of each pattern; 0 where nothing was answered.
    covariances : ndarray of shape (P, p, p)
        With divisor n about the pattern's mean; 0 where nothing was answered.
    rows : ndarray of shape (n, p) or None
        The answers, where they were given: NaN is missing.
    pattern : ndarray of int of shape (n,)
        The pattern of each row; empty without rows.
    """

    n: int
    seen: Bools
    counts: Floats
    means: Floats
    covariances: Floats
    rows: Floats | None
    pattern: Ints

    @property
    def complete(self) -> bool:
        """Whether every answer was given."""
        return len(self.seen) == 1 and bool(self.seen.all())


@dataclass(frozen=True, eq=False)
class Likelihood:
    """Half the mean of −2 log-likelihood without its constant, and its slopes.

    Attributes
    ----------
    value : float
        Mean over respondents; infinite where the covariances are not positive definite.
    covariance, mean : ndarray of shape (p, p) and (p,)
        Slopes; of the covariances as if all entries were apart.
    inverses : ndarray of shape (P, p, p)
        Inverse covariances of what each pattern holds, 0 elsewhere.
    """

    value: float
    covariance: Floats
    mean: Floats
    inverses: Floats


def sample_of_moments(
    covariance: npt.ArrayLike, n: int, mean: npt.ArrayLike | None = None
) -> Sample:
    """Return a sample of which only moments are known.

    Parameters
    ----------
    covariance : array_like of shape (p, p)
        With divisor n.
    n : int
        Respondents.
    mean : array_like of shape (p,), optional
        By default 0.

    Returns
    -------
    Sample

    Raises
    ------
    MethodError
        If the covariances are not symmetric, finite and positive definite.

    Examples
    --------
    >>> sample_of_moments(np.eye(2), 50).complete
    True
    """
    matrix = np.asarray(covariance, dtype=np.float64)
    p = len(matrix)
    centre = np.zeros(p) if mean is None else np.asarray(mean, dtype=np.float64)
    if matrix.shape != (p, p) or centre.shape != (p,) or not np.isfinite(matrix).all():
        raise MethodError(
            f"covariances must be a finite square table and means fit it, got {matrix.shape} "
            f"and {centre.shape}."
        )
    if not np.allclose(matrix, matrix.T, rtol=1e-8, atol=1e-14 * np.abs(matrix).max()):
        raise MethodError("the covariances are not symmetric.")
    still = np.flatnonzero(~(np.diag(matrix) > 0))
    if len(still):
        raise MethodError(
            f"variables that do not vary: number {listing(still + 1)} of {p}. Leave them out."
        )
    scale = np.sqrt(np.diag(matrix))
    root = float(np.linalg.eigvalsh(matrix / np.outer(scale, scale))[0])
    if root <= 1e-10:
        raise MethodError(
            "the covariances are not positive definite (smallest root of the correlations "
            f"{root:.3g}): an item repeats others, or pairs rest on different respondents. Leave "
            "items out or use answers with missing='fiml'."
        )
    return Sample(
        n,
        np.ones((1, p), dtype=bool),
        np.array([float(n)]),
        centre[None],
        (matrix + matrix.T)[None] / 2,
        None,
        np.zeros(0, dtype=np.intp),
    )


def sample_of_rows(answers: npt.ArrayLike, *, missing: str = "listwise") -> Sample:
    """Return the sample of a table of answers.

    Parameters
    ----------
    answers : array_like of shape (n, p)
        NaN is missing.
    missing : {"listwise", "fiml"}, default "listwise"
        Keep complete rows only, or every row with an answer.

    Returns
    -------
    Sample

    Raises
    ------
    MethodError
        If too few respondents remain, or an item does not vary.

    Examples
    --------
    >>> rows = [[1.0, 2.0], [2.0, np.nan], [3.0, 1.0], [2.0, 4.0]]
    >>> sample_of_rows(rows).n, sample_of_rows(rows, missing="fiml").counts.tolist()
    (3, [1.0, 3.0])
    """
    table = np.asarray(answers, dtype=np.float64)
    if np.isinf(table).any():
        raise MethodError(f"{int(np.isinf(table).sum())} answers are infinite; make them NaN.")
    given = ~np.isnan(table)
    keep = given.all(axis=1) if missing == "listwise" else given.any(axis=1)
    table, given = table[keep], given[keep]
    n, p = table.shape
    if n <= p:
        raise MethodError(
            f"{n} respondents remain for {p} variables; a model needs more respondents than "
            "variables."
        )
    seen, pattern, counts = np.unique(given, axis=0, return_inverse=True, return_counts=True)
    pattern = pattern.reshape(-1)
    filled = np.where(given, table, 0.0)
    means = np.zeros(seen.shape)
    np.add.at(means, pattern, filled)
    means /= counts[:, None]
    apart = np.where(given, table - means[pattern], 0.0)
    order = np.argsort(pattern, kind="stable")
    ends = np.cumsum(counts)
    covariances = np.array(
        [
            part.T @ part / len(part)
            for part in (apart[order[e - c : e]] for e, c in zip(ends, counts, strict=True))
        ]
    )
    sample = Sample(n, seen, counts.astype(float), means, covariances, table, pattern)
    if sample.complete:
        sample_of_moments(covariances[0], n)
    return sample


def likelihood(sample: Sample, covariance: Floats, mean: Floats) -> Likelihood:
    """Return the likelihood of covariances and means, and its slopes."""
    seen = sample.seen
    both = seen[:, :, None] & seen[:, None, :]
    padded = np.where(both, covariance, 0.0)
    diagonal = np.arange(seen.shape[1])
    padded[:, diagonal, diagonal] += ~seen
    try:
        factors = np.linalg.cholesky(padded)
    except np.linalg.LinAlgError:
        empty = np.zeros_like(covariance)
        return Likelihood(np.inf, empty, np.zeros_like(mean), padded)
    logs = 2 * np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    inverses = np.linalg.inv(padded)
    inverses = (inverses + inverses.transpose(0, 2, 1)) / 2
    inverses[:, diagonal, diagonal] -= ~seen
    apart = np.where(seen, sample.means - mean, 0.0)
    spread = sample.covariances + apart[:, :, None] * apart[:, None, :]
    share = sample.counts / sample.n
    fits = logs + np.einsum("pij,pij->p", inverses, spread)
    core = inverses - inverses @ spread @ inverses
    slope = np.einsum("p,pij->ij", share, core) / 2
    pulled = (inverses @ apart[:, :, None])[:, :, 0]
    return Likelihood(float(share @ fits) / 2, slope, -(share @ pulled), inverses)


def saturate(sample: Sample) -> tuple[Floats, Floats]:
    """Return covariances and means of the greatest likelihood, by the EM algorithm.

    Parameters
    ----------
    sample : Sample
        Complete: its own moments.

    Returns
    -------
    covariance, mean : ndarray of shape (p, p) and (p,)

    Raises
    ------
    MethodError
        If a pair of items has no common respondent, or the steps do not end.
    """
    if sample.complete:
        return sample.covariances[0], sample.means[0]
    together = np.einsum("p,pi,pj->ij", sample.counts, sample.seen, sample.seen)
    if (together < 2).any():
        i, j = np.argwhere(together < 2)[0]
        raise MethodError(
            f"fewer than two respondents answered both variable {i + 1} and variable {j + 1}: "
            "their covariance cannot be known."
        )
    own = sample.counts @ sample.seen
    mean = sample.counts @ sample.means / own
    apart = np.where(sample.seen, sample.means - mean, 0.0)
    squares = np.diagonal(sample.covariances, axis1=1, axis2=2) + apart**2
    covariance = np.diag(sample.counts @ squares / own)
    if not (np.diag(covariance) > 0).all():
        raise MethodError(f"variable {int(np.diag(covariance).argmin()) + 1} does not vary.")
    for _ in range(_MOST):
        here = likelihood(sample, covariance, mean)
        move = -covariance @ here.mean
        change = -2 * covariance @ here.covariance @ covariance - np.outer(move, move)
        mean = mean + move
        covariance = covariance + (change + change.T) / 2
        scale = np.sqrt(np.diag(covariance))
        if not np.isfinite(scale).all():
            break
        size = max(np.abs(change / np.outer(scale, scale)).max(), np.abs(move / scale).max())
        if size < 1e-9:
            return covariance, mean
    raise MethodError("the moments of the incomplete answers did not converge.")
