"""Balanced half-samples: Hadamard matrices, and what each PSU counts for under them."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError, SpecError, listing

__all__ = ["balanced_halves", "hadamard", "hadamard_order"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def hadamard(order: int) -> Ints:
    r"""Return a Hadamard matrix: entries 1 and -1, rows orthogonal to one another.

    Parameters
    ----------
    order : int
        1, 2, or a multiple of 4 that one of the constructions below reaches.

    Returns
    -------
    ndarray of int of shape (order, order)
        With a first row and a first column of ones.

    Raises
    ------
    MethodError
        If no construction reaches the order; `hadamard_order` says which one does.

    Notes
    -----
    :math:`H H' = n I`. Constructed are, for H of order m, the order :math:`2m` by
    Sylvester's doubling [1]_, and from the quadratic residues of a prime q by Paley [2]_
    the order :math:`q + 1` if q leaves 3 when divided by 4, :math:`2(q + 1)` if it
    leaves 1. Of the multiples of 4 up to 200 these miss 52, 92, 100, 116, 156, 172, 184
    and 188.

    References
    ----------
    .. [1] Sylvester, J. J. (1867). Thoughts on inverse orthogonal matrices.
       *Philosophical Magazine*, 34, 461-475.
    .. [2] Paley, R. E. A. C. (1933). On orthogonal matrices. *Journal of Mathematics and
       Physics*, 12, 311-320.

    Examples
    --------
    >>> hadamard(4)
    array([[ 1,  1,  1,  1],
           [ 1, -1,  1, -1],
           [ 1,  1, -1, -1],
           [ 1, -1, -1,  1]])
    """
    if not _reached(order):
        raise MethodError(
            f"no Hadamard matrix of order {order} is constructed here; the next one up has order "
            f"{hadamard_order(max(order, 1))}."
        )
    if order == 1:
        return np.ones((1, 1), dtype=np.int64)
    if _reached(order // 2) and order % 2 == 0:
        return np.kron(np.array([[1, 1], [1, -1]]), hadamard(order // 2))
    if _is_prime(order - 1):
        q = order - 1
        core = np.zeros((order, order), dtype=np.int64)
        core[0, 1:], core[1:, 0], core[1:, 1:] = 1, -1, _residues(q)
        matrix = core + np.eye(order, dtype=np.int64)
    else:
        q = order // 2 - 1
        core = np.zeros((q + 1, q + 1), dtype=np.int64)
        core[0, 1:], core[1:, 0], core[1:, 1:] = 1, 1, _residues(q)
        matrix = np.kron(core, np.array([[1, 1], [1, -1]]))
        matrix += np.kron(np.eye(q + 1, dtype=np.int64), np.array([[1, -1], [-1, -1]]))
    matrix = matrix * matrix[0]
    return np.asarray(matrix * matrix[:, :1])


def hadamard_order(least: int) -> int:
    """Return the smallest order of at least `least` that `hadamard` reaches.

    Examples
    --------
    >>> hadamard_order(61), hadamard_order(89)
    (64, 96)
    """
    order = max(int(least), 1)
    while not _reached(order):
        order += 1
    return order


@cache
def _reached(order: int) -> bool:
    """Return whether a construction reaches an order."""
    if order in (1, 2):
        return True
    if order < 4 or order % 4:
        return False
    half = order // 2
    return _is_prime(order - 1) or _reached(half) or (half % 4 == 2 and _is_prime(half - 1))


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % factor for factor in range(2, int(number**0.5) + 1))


def _residues(q: int) -> Ints:
    """Return the matrix of Legendre symbols of (i - j) modulo a prime q."""
    symbol = np.full(q, -1, dtype=np.int64)
    symbol[np.arange(1, q) ** 2 % q] = 1
    symbol[0] = 0
    return np.asarray(symbol[np.subtract.outer(np.arange(q), np.arange(q)) % q])


def balanced_halves(
    cell: npt.ArrayLike,
    *,
    rho: float = 0.0,
    matrix: npt.ArrayLike | None = None,
    names: npt.ArrayLike | None = None,
) -> Floats:
    r"""Return the multipliers of balanced repeated replication.

    Parameters
    ----------
    cell : array_like of int of shape (n_psu,)
        Stratum of each PSU, from 0; -1 for PSUs that always count once.
    rho : float, default 0.0
        Fay's coefficient, in [0, 1): what the half that is left out counts for.
    matrix : array_like of shape (r, n_columns), optional
        Two values, orthogonal columns: a row for each replicate; the first column is
        left, the next ones belong to the strata in their order. If None, the smallest
        Hadamard matrix with a column for each stratum besides the one that is constant.
    names : array_like of shape (n_strata,), optional
        Names of the strata, for messages.

    Returns
    -------
    ndarray of shape (r, n_psu)
        :math:`2 - \rho` for the PSU of a stratum that a replicate takes, :math:`\rho`
        for the other; where the matrix has its larger value, the first PSU is taken.

    Raises
    ------
    MethodError
        If a stratum does not have two PSUs.
    SpecError
        If `rho` is outside [0, 1), or `matrix` has too few columns, other than two
        values, or columns that are not orthogonal.

    Notes
    -----
    Each replicate takes one PSU of each stratum. Because columns are orthogonal to one
    another and to ones, the mean of the replicates of a linear estimator is the
    estimator, and :math:`\sum_r (\hat\theta_r - \hat\theta)^2 / \{R (1 - \rho)^2\}` is
    its usual variance under sampling of PSUs with replacement, exactly, from few
    replicates [1]_. With :math:`\rho > 0`, say 0.3 or 0.5, no PSU is lost from a
    replicate, so that ratios of small domains and logistic models exist in each [2]_.

    References
    ----------
    .. [1] McCarthy, P. J. (1969). Pseudo-replication: half samples. *Review of the
       International Statistical Institute*, 37, 239-264.
    .. [2] Judkins, D. R. (1990). Fay's method for variance estimation. *Journal of
       Official Statistics*, 6, 223-239.

    Examples
    --------
    >>> balanced_halves([0, 0, 1, 1])
    array([[2., 0., 2., 0.],
           [0., 2., 2., 0.],
           [2., 0., 0., 2.],
           [0., 2., 0., 2.]])
    """
    if not 0 <= rho < 1:
        raise SpecError(f"rho must be at least 0 and below 1, got {rho!r}.")
    codes = np.asarray(cell, dtype=np.int64)
    n_strata = int(codes.max(initial=-1)) + 1
    sizes = np.bincount(codes[codes >= 0], minlength=n_strata)
    wrong = np.flatnonzero(sizes != 2)
    if len(wrong) or not n_strata:
        labels = np.arange(n_strata) if names is None else np.asarray(names)
        told = listing([f"{labels[h]} with {sizes[h]}" for h in wrong])
        raise MethodError(
            f"balanced repeated replication needs two PSUs a stratum, and {len(wrong)} of "
            f"{n_strata} strata have another number ({told}). Pair the PSUs of a larger stratum "
            "into strata of two in the order in which they were drawn, join a stratum of one to "
            "the one most like it, or use 'jkn' or 'subbootstrap', which take any number."
        )
    signs = _signs(matrix, n_strata)
    order = np.argsort(codes, kind="stable")
    paired = order[codes[order] >= 0]
    multipliers = np.ones((len(signs), len(codes)))
    multipliers[:, paired[::2]] = 1 + (1 - rho) * signs
    multipliers[:, paired[1::2]] = 1 - (1 - rho) * signs
    return multipliers


def _signs(matrix: npt.ArrayLike | None, n_strata: int) -> Floats:
    """Return the columns of the strata, as 1 and -1."""
    if matrix is None:
        found = hadamard(hadamard_order(n_strata + 1))
        return found[:, 1 : n_strata + 1].astype(np.float64)
    given = np.asarray(matrix, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] < n_strata + 1:
        raise SpecError(
            f"matrix must have {n_strata + 1} columns or more, one a stratum and the first, got "
            f"shape {given.shape}."
        )
    if len(np.unique(given)) != 2:
        raise SpecError(f"matrix must hold two values, got {len(np.unique(given))}.")
    signs = np.where(given == given.max(), 1.0, -1.0)[:, 1 : n_strata + 1]
    if not np.array_equal(signs.T @ signs, len(signs) * np.eye(n_strata)):
        raise SpecError("matrix: its columns are not orthogonal, so half-samples are not balanced.")
    return signs
