"""Replicate weights: of a design, or as a data file holds them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

from lgpi_research.errors import DataError, MethodError, Problems, SpecError, nearest
from lgpi_research.methods.balanced import balanced_halves
from lgpi_research.methods.design import Design
from lgpi_research.methods.replicates import LONELY, canty_davison, jackknife, rao_wu, strata_sizes

__all__ = [
    "CENTRES",
    "REPLICATIONS",
    "ReplicateWeights",
    "given_replicates",
    "replicate_weights",
]

REPLICATIONS = ("jk1", "jkn", "brr", "fay", "subbootstrap", "bootstrap")
"""How replicates may be made of a design."""

CENTRES = ("estimate", "mean")
"""What the estimates of replicates may be compared with."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_DRAWS = 500  # replicates of a bootstrap if nobody says how many
_BYTES = 1 << 30  # of multipliers; more would not fit beside the data of a small machine
_WHOLE = 1e-7  # a stratum of which less than this share is left was taken as a whole
_ALIKE = 1e-9  # multipliers nearer than this are the same
_RANK = 1e-5  # published replicate weights are rounded: below this a column adds nothing


@dataclass(frozen=True, eq=False)
class ReplicateWeights:
    r"""What each PSU counts for in each replicate, and how replicates make a variance.

    Attributes
    ----------
    multipliers : ndarray of shape (r, n_psu)
        Of each replicate and PSU: what the weights of its rows are multiplied with.
    psu : ndarray of int of shape (n,)
        PSU of each row, from 0.
    scale : float
    rscales : ndarray of shape (r,)
        The variance is ``scale * sum(rscales * (replicates - centre) ** 2)``.
    centre : {"estimate", "mean"}
        What the replicates are compared with: the estimate of the full sample (R's
        ``mse=TRUE``), or the mean of the replicates whose `rscales` are not 0.
    df : int
        Degrees of freedom.

    Raises
    ------
    DataError
        With every part that does not fit the others, is missing or negative.
    SpecError
        If `centre` is neither of the two.
    """

    multipliers: Floats
    psu: Ints
    scale: float
    rscales: Floats
    centre: str
    df: int

    def __post_init__(self) -> None:
        if self.centre not in CENTRES:
            raise SpecError(
                f"centre must be {' or '.join(map(repr, CENTRES))}, got {self.centre!r}."
                f"{nearest(str(self.centre), CENTRES)}"
            )
        problems = Problems("the replicates")
        if self.multipliers.ndim != 2 or not len(self.multipliers):
            problems.add(f"multipliers: replicates by PSUs, got shape {self.multipliers.shape}.")
        elif self.rscales.shape != self.multipliers.shape[:1]:
            problems.add(
                f"rscales: one for each of {len(self.multipliers)} replicates, got shape "
                f"{self.rscales.shape}."
            )
        wrong = int((~np.isfinite(self.multipliers)).sum())
        if wrong:
            problems.add(f"multipliers: {wrong} of {self.multipliers.size} are missing.")
        if not (np.isfinite(self.rscales).all() and (self.rscales >= 0).all()):
            problems.add("rscales: every one must be a number of at least 0.")
        if not (np.isfinite(self.scale) and self.scale >= 0):
            problems.add(f"scale: must be a number of at least 0, got {self.scale!r}.")
        problems.raise_any(DataError)

    def __len__(self) -> int:
        return len(self.multipliers)


def replicate_weights(
    design: Design,
    method: str,
    *,
    rng: np.random.Generator | None = None,
    size: int | None = None,
    rho: float | None = None,
    matrix: npt.ArrayLike | None = None,
    fpc: bool = True,
    centre: str = "estimate",
) -> ReplicateWeights:
    r"""Make the replicate weights of a design.

    Parameters
    ----------
    design : Design
        How rows were drawn. The first stage is replicated, with its finite-population
        correction; what later stages add is then left out, as it is by R's survey.
    method : {"jk1", "jkn", "brr", "fay", "subbootstrap", "bootstrap"}
        See Notes.
    rng : Generator, optional
        Source of randomness of the two bootstraps.
    size : int, optional
        Replicates of the two bootstraps; 500 if None.
    rho : float, optional
        Fay's coefficient, in (0, 1), of "fay"; 0.5 if None.
    matrix : array_like, optional
        Hadamard matrix of "brr" and "fay" (`methods.balanced.balanced_halves`).
    fpc : bool, default True
        Whether the finite populations of the design count.
    centre : {"estimate", "mean"}, default "estimate"
        See `ReplicateWeights`.

    Returns
    -------
    ReplicateWeights

    Raises
    ------
    SpecError
        If an option is unknown or does not belong to the method, "jk1" is asked for a
        sample with strata, or the design treats lonely PSUs in a way that replicates
        cannot.
    MethodError
        If a stratum has one PSU that was not certain to be taken, "brr" meets a stratum
        of other than two, or the replicates would need more than 1 GiB.

    Notes
    -----
    With :math:`n_h` PSUs sampled of :math:`N_h` in stratum h and :math:`f_h = n_h/N_h`:

    ================  =========================================  =========================
    method            a replicate                                scale, rscales
    ================  =========================================  =========================
    ``jk1``, ``jkn``  leaves out one PSU (`jackknife`)           :math:`(1 - f_h)(n_h - 1)/n_h`
    ``brr``, ``fay``  takes one of two PSUs (`balanced_halves`)  :math:`1/\{R(1-\rho)^2\}`
    ``subbootstrap``  draws :math:`n_h - 1` PSUs (`rao_wu`)      :math:`1/R`
    ``bootstrap``     draws :math:`n_h` PSUs (`canty_davison`)   :math:`\tilde n/\{(\tilde n-1)R\}`
    ================  =========================================  =========================

    :math:`\tilde n` is the harmonic mean of the :math:`n_h`; bootstraps that are centred
    at their mean have :math:`R - 1` in place of :math:`R`. Of a linear estimator all but
    the last give the variance by linearisation: jackknife and balanced replicates
    exactly, "subbootstrap" on average [1]_ [2]_. "bootstrap" does so only if strata have
    equally many PSUs or add equally much: of strata of 2 and as many of 20 PSUs, it makes
    the variance in the former 31 % too small and that in the latter 31 % too large. It is
    here because it is in use; "subbootstrap" has no such error.

    Finite populations enter balanced replicates and "subbootstrap" by drawing multipliers
    towards 1 by :math:`\sqrt{1 - f_h}` [1]_. R's survey leaves the correction out there;
    so does ``fpc=False``.

    Strata that were taken as a whole add nothing, and neither do PSUs taken with
    certainty (``lonely="certainty"``).

    References
    ----------
    .. [1] Rao, J. N. K., and Wu, C. F. J. (1988). Resampling inference with complex
       survey data. *Journal of the American Statistical Association*, 83, 231-241.
    .. [2] Wolter, K. M. (2007). *Introduction to Variance Estimation*, 2nd ed. Springer.

    Examples
    --------
    >>> design = Design.from_labels(4, strata=["n", "n", "s", "s"])
    >>> made = replicate_weights(design, "jkn")
    >>> made.multipliers[0], made.rscales
    (array([0., 2., 1., 1.]), array([0.5, 0.5, 0.5, 0.5]))
    """
    _check_options(design, method, size, rho, matrix)
    stage = design.levels[0]
    cell, sampled = stage.cell, stage.sampled
    names = np.asarray(design.names or np.arange(design.strata.max() + 1)).astype(str)
    names = names[np.unique(design.strata)]
    left = 1.0 - (stage.fraction if fpc else np.zeros(len(sampled)))
    left[left < _WHOLE] = 0.0
    open_ = left[cell] > 0
    if design.lonely == "fail":
        if not open_.any():
            raise MethodError(
                "every stratum was taken as a whole: there is no sampling error to replicate."
            )
        strata_sizes(names[cell[open_]])
    several = open_ & (sampled[cell] > 1)
    if not several.any():
        raise MethodError("no stratum has two PSUs, so the spread within strata is unknown.")
    # Strata whose PSUs always count once are split into strata of one PSU each.
    strata = np.where(several, cell, len(sampled) + np.arange(len(cell)))
    scale, shrink = 1.0, True
    if method in ("jk1", "jkn"):
        _check_bytes(int(several.sum()), len(cell), method)
        multipliers, rscales = jackknife(strata, lonely="certainty")
        rscales, shrink = rscales * left[cell[several]], False
        if method == "jk1":
            scale, rscales = float(rscales[0]), np.ones(len(rscales))
    elif method in ("brr", "fay"):
        kept, among = np.unique(cell[several], return_inverse=True)
        halves = np.full(len(cell), -1)
        halves[several] = among
        share = 0.0 if method == "brr" else 0.5 if rho is None else rho
        multipliers = balanced_halves(halves, rho=share, matrix=matrix, names=names[kept])
        rscales, scale = np.ones(len(multipliers)), 1 / (len(multipliers) * (1 - share) ** 2)
    else:
        draws = _DRAWS if size is None else int(size)
        if rng is None:
            raise SpecError(f"rng: {method!r} draws, so it needs a generator.")
        _check_bytes(draws, len(cell), method)
        scale, rscales = 1 / (draws if centre == "estimate" else draws - 1), np.ones(draws)
        if method == "subbootstrap":
            multipliers = rao_wu(rng, strata, draws, lonely="certainty")
        else:
            share_of = stage.fraction[cell]
            finite = fpc & (share_of > 0)
            whole = np.where(finite, sampled[cell] / np.where(finite, share_of, 1.0), np.nan)
            multipliers = canty_davison(rng, strata, draws, populations=whole, lonely="certainty")
            usual, shrink = float(1 / np.mean(1 / sampled[np.unique(cell[several])])), False
            scale *= usual / (usual - 1)
    if shrink and (left < 1).any():
        multipliers = 1 + np.sqrt(left)[cell] * (multipliers - 1)
    return ReplicateWeights(multipliers, stage.unit, scale, rscales, centre, design.df)


def _check_options(
    design: Design,
    method: str,
    size: int | None,
    rho: float | None,
    matrix: npt.ArrayLike | None,
) -> None:
    """Raise every option that is unknown or does not belong to the method."""
    problems = Problems("the replicates")
    random = method in ("subbootstrap", "bootstrap")
    if method not in REPLICATIONS:
        problems.add(
            f"method: must be one of {', '.join(REPLICATIONS)}, got {method!r}."
            f"{nearest(str(method).lower(), REPLICATIONS)}"
        )
    else:
        if not random and size is not None:
            problems.add(f"size: the design says how many replicates {method!r} has; leave it.")
        if rho is not None and (method != "fay" or not 0 < rho < 1):
            problems.add(f"rho: a number between 0 and 1 for 'fay' only, got {rho!r}.")
        if matrix is not None and method not in ("brr", "fay"):
            problems.add(f"matrix: {method!r} has none; it belongs to 'brr' and 'fay'.")
    if size is not None and not (isinstance(size, int | np.integer) and size >= 2):
        problems.add(f"size: must be a whole number of at least 2, got {size!r}.")
    if method == "jk1" and len(design.levels[0].sampled) > 1:
        problems.add(
            f"method: 'jk1' is for a sample without strata, and there are "
            f"{len(design.levels[0].sampled)}; use 'jkn'."
        )
    if design.lonely not in LONELY:
        problems.add(
            f"lonely: {design.lonely!r} has no meaning for replicates, which show no spread of a "
            "stratum with one PSU. Join such strata to those most like them (collapse), use "
            "'certainty' if those PSUs were certain to be taken, or linearise instead "
            "(methods.design.linearised_covariance)."
        )
    problems.raise_any(SpecError)


def _check_bytes(replicates: int, n_psu: int, method: str) -> None:
    if 8 * replicates * n_psu > _BYTES:
        raise MethodError(
            f"{method!r} makes {replicates:,} replicates of {n_psu:,} PSUs, more than 1 GiB of "
            "multipliers. Use 'subbootstrap' with fewer replicates, linearise, or join PSUs of a "
            "stratum into random groups first."
        )


def given_replicates(
    replicates: npt.ArrayLike,
    weights: npt.ArrayLike,
    *,
    scale: float,
    rscales: npt.ArrayLike = 1.0,
    centre: str = "estimate",
    combined: bool = True,
    df: int | None = None,
) -> ReplicateWeights:
    r"""Take replicate weights as a data file holds them.

    Parameters
    ----------
    replicates : array_like of shape (n, r)
        Replicate weights, one column a replicate.
    weights : array_like of shape (n,)
        Weights of the full sample.
    scale : float
    rscales : array_like of shape (r,) or a number, default 1.0
    centre : {"estimate", "mean"}, default "estimate"
        See `ReplicateWeights`; the documentation of the file says which. Usual are, with
        ``rscales=1``: JK1 ``scale=(r-1)/r``; BRR ``1/r``; Fay ``1/(r (1-rho)**2)``;
        bootstrap ``1/r``; successive differences (American Community Survey) ``4/r``;
        and JK2 ``scale=1``.
    combined : bool, default True
        Whether `replicates` are weights; False: what weights are multiplied with.
    df : int, optional
        Degrees of freedom; the rank of the replicate weights less 1 if None.

    Returns
    -------
    ReplicateWeights
        Rows that count for the same in every replicate are one PSU.

    Raises
    ------
    DataError
        With every problem: shapes that differ, weights that are missing, infinite or
        negative, rows of weight 0 with positive replicate weights.
    SpecError
        If `centre` is none of its options.

    Examples
    --------
    >>> made = given_replicates([[0, 2], [0, 2], [6, 0]], [1, 1, 3], scale=0.5)
    >>> made.psu, made.df
    (array([0, 0, 1]), 1)
    """
    table, base = np.asarray(replicates, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    problems = Problems("the replicate weights")
    if table.ndim != 2 or base.shape != table.shape[:1] or not table.size:
        problems.add(f"replicates by rows: shapes {table.shape} and {base.shape} do not fit.")
        problems.raise_any(DataError)
    for what, values in (("weights", base), ("replicates", table)):
        wrong = int((~np.isfinite(values) | (values < 0)).sum())
        if wrong:
            problems.add(f"{what}: {wrong} of {values.size} are missing, infinite or negative.")
    idle = base == 0
    lost = int((idle & (table > 0).any(axis=1)).sum())
    if combined and lost:
        problems.add(
            f"weights: {lost} rows have weight 0 but positive replicate weights. Give the weights "
            "of the full sample that belong to the file."
        )
    problems.raise_any(DataError)
    each = table / np.where(idle, 1.0, base)[:, None] if combined else table
    psu, first = _alike(each)
    multipliers = np.ascontiguousarray(each[first].T)
    coefficients = np.asarray(rscales, dtype=np.float64)
    if coefficients.ndim == 0:
        coefficients = np.full(len(multipliers), coefficients)
    found = _rank(multipliers) - 1 if df is None else int(df)
    return ReplicateWeights(multipliers, psu, float(scale), coefficients, centre, found)


def _alike(rows: Floats) -> tuple[Ints, Ints]:
    """Return the group of each row, rows of a group being the same, and a row of each group."""
    own = np.arange(len(rows), dtype=np.int64)
    # Rows that differ have different products with a random vector, but for rounding.
    direction = np.random.default_rng(0).normal(size=rows.shape[1])
    key = rows @ direction
    key = np.round(key / max(float(np.abs(key).max()), 1e-300), 11)
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    same = np.abs(rows - rows[first][group]).max() <= _ALIKE * max(float(np.abs(rows).max()), 1.0)
    return (group.astype(np.int64), first.astype(np.int64)) if same else (own, own)


def _rank(matrix: Floats) -> int:
    """Return the rank of a matrix, to the precision of published weights."""
    length = np.sqrt(np.square(matrix).sum(axis=1, keepdims=True))
    triangle = linalg.qr((matrix / np.where(length > 0, length, 1.0)).T, mode="r", pivoting=True)[0]
    size = np.abs(np.diag(triangle))
    return int((size > _RANK * size[0]).sum())
