"""Replicates of a clustered sample: what each cluster (PSU) counts for in each of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError, SpecError, listing, nearest

__all__ = [
    "LONELY",
    "canty_davison",
    "delete_one",
    "design_df",
    "jackknife",
    "rao_wu",
    "strata_sizes",
]

LONELY = ("fail", "certainty")
"""What may be done with a stratum of one PSU."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def strata_sizes(strata: npt.ArrayLike, *, lonely: str = "fail") -> tuple[Ints, Ints]:
    """Return the stratum of each PSU as a number, and how many PSUs each stratum has.

    Parameters
    ----------
    strata : array_like of shape (n_psu,)
        Stratum of each PSU.
    lonely : {"fail", "certainty"}, default "fail"
        What to do with a stratum that has one PSU: refuse it, or count the PSU as
        taken with certainty, so that it adds nothing to the sampling error.

    Returns
    -------
    codes : ndarray of shape (n_psu,)
        0, 1, … in the sorted order of the labels.
    sizes : ndarray of shape (n_strata,)
        PSUs in each stratum.

    Raises
    ------
    SpecError
        If `lonely` is neither of the two.
    MethodError
        If a stratum has one PSU and `lonely` is "fail", or if no stratum has two.

    Examples
    --------
    >>> strata_sizes(["north", "coast", "north", "coast", "coast"])
    (array([1, 0, 1, 0, 0]), array([3, 2]))
    """
    if lonely not in LONELY:
        raise SpecError(
            f"lonely must be {' or '.join(map(repr, LONELY))}, got {lonely!r}."
            f"{nearest(str(lonely), LONELY)}"
        )
    labels, codes, sizes = np.unique(
        np.asarray(strata).astype(str), return_inverse=True, return_counts=True
    )
    if len(codes) < 2 or not (sizes > 1).any():
        raise MethodError(
            f"sampling error needs two PSUs in a stratum; there {_are(len(codes), 'PSU')} in "
            f"{len(sizes)} {'stratum' if len(sizes) == 1 else 'strata'}."
        )
    alone = labels[sizes == 1]
    if len(alone) and lonely == "fail":
        raise MethodError(
            f"{len(alone)} of {len(sizes)} strata have one PSU ({listing(alone)}), so the spread "
            "within them is unknown. Join each to the stratum most like it (collapse), or set "
            "lonely='certainty' if those PSUs were certain to be taken, which understates the "
            "error otherwise."
        )
    return codes.astype(np.int64), sizes.astype(np.int64)


def _are(count: int, noun: str) -> str:
    return f"is one {noun}" if count == 1 else f"are {count} {noun}s"


def design_df(strata: npt.ArrayLike, *, lonely: str = "fail") -> int:
    """Return the degrees of freedom of a design: PSUs less strata, without lonely ones.

    Examples
    --------
    >>> design_df([1, 1, 1, 2, 2])
    3
    """
    _, sizes = strata_sizes(strata, lonely=lonely)
    return int((sizes - 1).sum())


def rao_wu(
    rng: np.random.Generator, strata: npt.ArrayLike, size: int, *, lonely: str = "fail"
) -> Floats:
    r"""Draw the multipliers of Rao and Wu's rescaled bootstrap of PSUs.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    strata : array_like of shape (n_psu,)
        Stratum of each PSU.
    size : int
        Number of replicates.
    lonely : {"fail", "certainty"}, default "fail"
        See `strata_sizes`; a PSU taken with certainty always counts once.

    Returns
    -------
    ndarray of shape (size, n_psu)
        What each PSU, and so each weight in it, is multiplied with.

    Raises
    ------
    MethodError
        If a stratum has one PSU and `lonely` is "fail".

    Notes
    -----
    In a stratum of :math:`n_h` PSUs, :math:`n_h - 1` are drawn with replacement, and a
    PSU drawn r times counts :math:`r\, n_h/(n_h - 1)` [1]_. The variance over
    replicates of a weighted total is then its usual estimator under sampling of PSUs
    with replacement; drawing :math:`n_h` would shrink it by :math:`(n_h - 1)/n_h`.

    References
    ----------
    .. [1] Rao, J. N. K., and Wu, C. F. J. (1988). Resampling inference with complex
       survey data. *Journal of the American Statistical Association*, 83, 231-241.

    Examples
    --------
    >>> rao_wu(np.random.default_rng(0), [1, 1, 2, 2], 2)
    array([[0., 2., 0., 2.],
           [0., 2., 2., 0.]])
    """
    codes, sizes = strata_sizes(strata, lonely=lonely)
    order = np.argsort(codes, kind="stable")
    n_psu = len(codes)
    # Whole rows of the replicates are counted at once: cell r * n_psu + p is PSU p of row r.
    cells = np.empty((size, int((sizes - 1).sum())), dtype=np.int64)
    rows = np.arange(0, size * n_psu, n_psu)[:, None]
    start = filled = 0
    for n in sizes.tolist():
        drawn = rng.integers(n, size=(size, n - 1))
        np.add(drawn, rows + start, out=cells[:, filled : filled + n - 1])
        start, filled = start + n, filled + n - 1
    counts = np.bincount(cells.ravel(), minlength=size * n_psu).reshape(size, n_psu)
    of_each = sizes[codes[order]]
    multipliers = counts * (of_each / np.fmax(of_each - 1, 1))
    multipliers[:, of_each == 1] = 1.0
    if (np.diff(order) == 1).all():
        return multipliers
    found = np.empty_like(multipliers)
    found[:, order] = multipliers
    return found


def jackknife(strata: npt.ArrayLike, *, lonely: str = "fail") -> tuple[Floats, Floats]:
    r"""Return the multipliers of the jackknife that leaves out one PSU at a time.

    Parameters
    ----------
    strata : array_like of shape (n_psu,)
        Stratum of each PSU: one stratum gives JK1, several give JKn.
    lonely : {"fail", "certainty"}, default "fail"
        See `strata_sizes`; a PSU taken with certainty is never left out.

    Returns
    -------
    multipliers : ndarray of shape (n_replicates, n_psu)
        0 for the PSU left out, :math:`n_h/(n_h - 1)` for the others of its stratum, 1
        elsewhere; one replicate for each PSU whose stratum has two or more.
    coefficients : ndarray of shape (n_replicates,)
        :math:`(n_h - 1)/n_h`: the variance of an estimator is
        :math:`\sum_r c_r (\hat\theta_r - \hat\theta)^2` [1]_.

    Raises
    ------
    MethodError
        If a stratum has one PSU and `lonely` is "fail".

    References
    ----------
    .. [1] Rust, K. F., and Rao, J. N. K. (1996). Variance estimation for complex
       surveys using replication techniques. *Statistical Methods in Medical
       Research*, 5, 283-310.

    Examples
    --------
    >>> jackknife([1, 1, 2, 2])[0]
    array([[0., 2., 1., 1.],
           [2., 0., 1., 1.],
           [1., 1., 0., 2.],
           [1., 1., 2., 0.]])
    """
    codes, _ = strata_sizes(strata, lonely=lonely)
    return delete_one(np.eye(len(codes)), strata, lonely=lonely)


def delete_one(
    sums: npt.ArrayLike,
    strata: npt.ArrayLike,
    *,
    rows: slice = slice(None),
    lonely: str = "fail",
) -> tuple[Floats, Floats]:
    """Return the jackknife replicates of sums over PSUs, without forming the multipliers.

    Parameters
    ----------
    sums : array_like of shape (n_psu, n_columns)
        What each PSU adds to each sum.
    strata : array_like of shape (n_psu,)
        Stratum of each PSU.
    rows : slice, optional
        Which replicates to return; all by default.
    lonely : {"fail", "certainty"}, default "fail"
        See `strata_sizes`.

    Returns
    -------
    replicates : ndarray of shape (n_replicates, n_columns)
        ``jackknife(strata)[0] @ sums``, in time proportional to the size of the result.
    coefficients : ndarray of shape (n_replicates,)
        As `jackknife` returns.

    Raises
    ------
    MethodError
        If a stratum has one PSU and `lonely` is "fail".

    Examples
    --------
    >>> delete_one([[1.0], [2.0], [6.0]], ["a", "a", "a"])[0].ravel()
    array([12. , 10.5,  4.5])
    """
    codes, sizes = strata_sizes(strata, lonely=lonely)
    table = np.asarray(sums, dtype=np.float64)
    order = np.argsort(codes, kind="stable")
    within = np.add.reduceat(table[order], np.cumsum(sizes) - sizes, axis=0)
    left_out = np.flatnonzero(sizes[codes] > 1)[rows]
    stratum = codes[left_out]
    n = sizes[stratum].astype(float)
    change = (within[stratum] - n[:, None] * table[left_out]) / (n - 1)[:, None]
    return within.sum(axis=0) + change, (n - 1) / n


def canty_davison(
    rng: np.random.Generator,
    strata: npt.ArrayLike,
    size: int,
    *,
    populations: npt.ArrayLike | None = None,
    lonely: str = "fail",
) -> Floats:
    r"""Draw the multipliers of Canty and Davison's bootstrap of PSUs.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    strata : array_like of shape (n_psu,)
        Stratum of each PSU.
    size : int
        Number of replicates.
    populations : array_like of shape (n_psu,), optional
        PSUs in the population of the stratum of each PSU, rounded to whole numbers;
        NaN or None: infinitely many.
    lonely : {"fail", "certainty"}, default "fail"
        See `strata_sizes`; a PSU taken with certainty always counts once.

    Returns
    -------
    ndarray of shape (size, n_psu)
        How often each PSU was drawn.

    Raises
    ------
    MethodError
        If a stratum has one PSU and `lonely` is "fail", or fewer PSUs in the population
        than in the sample.

    Notes
    -----
    In a stratum of :math:`n_h` PSUs as many are drawn: with replacement, or without from
    a population of :math:`N_h` that repeats the sample, in which PSUs drawn at random
    for each replicate have one copy more if :math:`n_h` does not divide :math:`N_h`
    [1]_. The variance over replicates of a weighted total is
    :math:`(1 - f_h)\,(n_h - 1)/n_h` times its usual estimator (times
    :math:`N_h/(N_h - 1)` where finite), which one factor for all strata cannot put
    right where they differ in size: see `replicate_weights`.

    References
    ----------
    .. [1] Canty, A. J., and Davison, A. C. (1999). Resampling-based variance estimation
       for labour force surveys. *The Statistician*, 48, 379-391.

    Examples
    --------
    Of a population of two both are always drawn:

    >>> canty_davison(np.random.default_rng(0), [1, 1, 2, 2], 2, populations=[2, 2, 4, 4])
    array([[1., 1., 2., 0.],
           [1., 1., 1., 1.]])
    """
    codes, sizes = strata_sizes(strata, lonely=lonely)
    given = np.full(len(codes), np.nan) if populations is None else np.asarray(populations, float)
    multipliers = np.ones((size, len(codes)))
    for stratum, n in enumerate(sizes.tolist()):
        if n < 2:
            continue
        inside = np.flatnonzero(codes == stratum)
        whole = given[inside[0]]
        if not np.isfinite(whole):
            drawn = rng.multinomial(n, np.full(n, 1 / n), size=size)
        else:
            copies, more = divmod(round(float(whole)), n)
            if copies < 1:
                raise MethodError(
                    f"a stratum has {n} PSUs in the sample and {whole:g} in the population."
                )
            colours = np.full(n, copies) + (np.arange(n) < more)
            drawn = rng.multivariate_hypergeometric(colours, n, size=size, method="marginals")
            drawn = rng.permuted(drawn, axis=1)
        multipliers[:, inside] = drawn
    return multipliers
