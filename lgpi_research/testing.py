"""The contracts of extensions: one check a kind, run over every built-in method too.

A check draws data, calls the function the way the package will, and raises with every
promise that is broken. It proves nothing about the statistics of a method: those need an
exact case, a reference and a simulation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lgpi_research.errors import MethodError, Problems
from lgpi_research.methods.consistency import Spread
from lgpi_research.methods.polychoric import PairCounts
from lgpi_research.registry import describe

__all__ = [
    "check_aggregator",
    "check_coefficient",
    "check_estimator",
    "check_normaliser",
    "check_weigher",
]

Function = Callable[..., Any]
_CLOSE = 1e-9


def _try(
    problems: Problems, what: str, function: Function, options: dict[str, Any], *arrays: np.ndarray
) -> np.ndarray | None:
    """Return the array that a call gives; record an error or a wrong type as a problem."""
    try:
        found = function(*arrays, **options)
    except Exception as error:  # whatever an extension raises is its problem
        problems.add(f"{what}: raised {type(error).__name__}: {error}")
        return None
    if not isinstance(found, np.ndarray):
        problems.add(f"{what}: must return an ndarray, got {type(found).__name__}.")
        return None
    return found


def _same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return True  # reported already
    return a.shape == b.shape and np.allclose(a, b, rtol=_CLOSE, atol=_CLOSE, equal_nan=True)


def check_normaliser(function: Function, *, batched: bool = True, **options: Any) -> None:
    """Check the contract of a normaliser.

    Parameters
    ----------
    function : callable
        ``(x (…, n), reference (…, m), *, …) -> (…, n)``.
    batched : bool, default True
        Whether it takes leading axes.
    **options
        Options to call it with.

    Raises
    ------
    MethodError
        With every broken promise: shape, missing values stay missing and touch no
        other, more is never worse, units may be permuted, draws do not touch each
        other, the input is not written to.

    Examples
    --------
    >>> from lgpi_research.methods.normalise import zscore
    >>> check_normaliser(zscore)
    """
    problems = Problems(f"normaliser {describe(function)}")
    rng = np.random.default_rng(0)
    x = rng.normal(size=40)
    kept = x.copy()
    found = _try(problems, "a plain call", function, options, x, x)
    if not np.array_equal(x, kept):
        problems.add("it writes to its input.")
    if found is not None and found.shape != x.shape:
        problems.add(f"x of shape {x.shape} became {found.shape}.")
    elif found is not None:
        if not np.isfinite(found).all():
            problems.add("finite values became infinite or missing.")
        order = np.argsort(x, kind="stable")
        if (np.diff(found[order]) < -_CLOSE).any():
            problems.add("it is not monotone: a higher value became a lower one.")
        mixed = rng.permutation(40)
        moved = _try(problems, "permuted units", function, options, x[mixed], x[mixed])
        if not _same(moved, found[mixed]):
            problems.add("the order of the units matters.")
        holes = x.copy()
        holes[::7] = np.nan
        torn = _try(problems, "missing values", function, options, holes, x)
        if torn is not None and not np.array_equal(np.isnan(torn), np.isnan(holes)):
            problems.add("missing values must stay missing, and no others become so.")
    if batched:
        many = rng.normal(size=(3, 2, 40))
        whole = _try(problems, "leading axes", function, options, many, many)
        if whole is not None and whole.shape != (3, 2, 40):
            problems.add(f"x of shape (3, 2, 40) became {whole.shape}: leading axes are draws.")
            whole = None
        for place in np.ndindex(3, 2):
            one = _try(problems, "one draw", function, options, many[place], many[place])
            if whole is not None and not _same(whole[place], one):
                problems.add("draws of leading axes touch each other.")
                break
    problems.raise_any(MethodError)


def check_aggregator(function: Function, *, batched: bool = True, **options: Any) -> None:
    """Check the contract of an aggregator.

    Parameters
    ----------
    function : callable
        ``(x (…, n, k), weights (…, k), *, …) -> (…, n)``.
    batched : bool, default True
        Whether it takes leading axes.
    **options
        Options to call it with.

    Raises
    ------
    MethodError
        With every broken promise: shape, equal values give that value, the score lies
        between the lowest and highest value, more is never worse, units and indicators
        may be permuted, draws do not touch each other, the input is not written to.

    Examples
    --------
    >>> from lgpi_research.methods.aggregate import geometric
    >>> check_aggregator(geometric)
    """
    problems = Problems(f"aggregator {describe(function)}")
    rng = np.random.default_rng(0)
    x, w = rng.uniform(0.5, 1.5, size=(30, 5)), rng.dirichlet(np.ones(5))
    kept = x.copy()
    found = _try(problems, "a plain call", function, options, x, w)
    if not np.array_equal(x, kept):
        problems.add("it writes to its input.")
    if found is not None and found.shape != (30,):
        problems.add(f"x of shape (30, 5) became {found.shape}, not (30,).")
    elif found is not None:
        if ((found < x.min(axis=1) - _CLOSE) | (found > x.max(axis=1) + _CLOSE)).any():
            problems.add("a score lies outside the values that it is made of.")
        level = _try(problems, "equal values", function, options, np.full((30, 5), 0.7), w)
        if level is not None and not np.allclose(level, 0.7):
            problems.add("equal values do not give that value.")
        for column in range(5):
            better = x + np.eye(5)[column] * 0.3
            higher = _try(problems, "a higher value", function, options, better, w)
            if higher is not None and (higher < found - _CLOSE).any():
                problems.add("it is not monotone: a higher value gave a lower score.")
                break
        rows, columns = rng.permutation(30), rng.permutation(5)
        mixed = x[np.ix_(rows, columns)]
        moved = _try(problems, "permuted table", function, options, mixed, w[columns])
        if not _same(moved, found[rows]):
            problems.add("the order of units or indicators matters.")
    if batched:
        many = rng.dirichlet(np.ones(5), size=(2, 3))
        whole = _try(problems, "leading axes", function, options, x, many)
        if whole is not None and whole.shape != (2, 3, 30):
            problems.add(f"weights of shape (2, 3, 5) gave {whole.shape}: leading axes are draws.")
            whole = None
        for place in np.ndindex(2, 3):
            one = _try(problems, "one draw", function, options, x, many[place])
            if whole is not None and not _same(whole[place], one):
                problems.add("draws of leading axes touch each other.")
                break
    problems.raise_any(MethodError)


def check_weigher(function: Function, **options: Any) -> None:
    """Check the contract of a weigher.

    Parameters
    ----------
    function : callable
        ``(data (n, k), *, …) -> weights (k,)``.
    **options
        Options to call it with.

    Raises
    ------
    MethodError
        With every broken promise: one weight an indicator, not negative, sum 1, the
        order of the units does not matter, the input is not written to.

    Examples
    --------
    >>> from lgpi_research.methods.weights import equal
    >>> check_weigher(equal)
    """
    problems = Problems(f"weigher {describe(function)}")
    rng = np.random.default_rng(0)
    data = rng.normal(size=(50, 4)) @ (np.eye(4) + 0.3)
    kept = data.copy()
    found = _try(problems, "a plain call", function, options, data)
    if not np.array_equal(data, kept):
        problems.add("it writes to its input.")
    if found is not None and found.shape != (4,):
        problems.add(f"4 indicators gave weights of shape {found.shape}, not (4,).")
    elif found is not None:
        if not (np.isfinite(found).all() and (found >= 0).all()):
            problems.add(f"weights must be finite and not negative, got {found}.")
        elif abs(found.sum() - 1) > _CLOSE:
            problems.add(f"weights must sum to 1, got {found.sum():.12g}.")
        moved = _try(problems, "permuted units", function, options, data[::-1].copy())
        if not _same(moved, found):
            problems.add("the order of the units matters.")
    problems.raise_any(MethodError)


def check_coefficient(function: Function, *, needs: str = "covariance", **options: Any) -> None:
    """Check the contract of a reliability coefficient.

    Parameters
    ----------
    function : callable
        ``(spread, *, …) -> estimates (…)``, or of `PairCounts`; their leading axes are
        replicates.
    needs : {"covariance", "variances", "pair counts"}
        What it is registered to need; with "variances" it gets no covariances, with
        "pair counts" how often ordered answers were given together.
    **options
        Options to call it with.

    Raises
    ------
    MethodError
        With every broken promise: one number a replicate, finite for well-behaved
        items, replicates do not touch each other, neither the order nor the common
        unit of the items matters, the input is not written to.

    Examples
    --------
    >>> from lgpi_research.methods.consistency import alpha
    >>> check_coefficient(alpha, needs="variances")
    """
    problems = Problems(f"coefficient {describe(function)}")
    rng = np.random.default_rng(0)
    loadings = rng.uniform(0.5, 0.9, size=(4, 6))
    unique = rng.uniform(0.3, 0.6, size=(4, 6))
    matrices = loadings[:, :, None] * loadings[:, None, :] + np.eye(6) * unique[:, None, :]
    size = 1  # rows of a matrix that belong to an item
    if needs == "pair counts":
        hidden = rng.normal(size=(400, 1)) * loadings[0] + rng.normal(size=(400, 6)) * unique[0]
        draws = rng.multinomial(400, np.full(400, 1 / 400), size=4)
        counted = PairCounts.from_answers(np.digitize(hidden, [-0.6, 0.0, 0.6]), weights=draws)
        matrices, size = counted.counts, counted.sizes[0]

    def given(of: np.ndarray) -> Spread | PairCounts:
        if needs == "pair counts":
            return PairCounts(of, (size,) * 6)
        whole = Spread.from_covariance(of)
        return whole if needs == "covariance" else Spread(whole.variances, whole.total)

    def call(of: np.ndarray) -> np.ndarray:
        return np.asarray(function(given(of), **options))

    kept = matrices.copy()
    found = _try(problems, "replicates", call, {}, matrices)
    if not np.array_equal(matrices, kept):
        problems.add("it writes to its input.")
    if found is not None and found.shape != (4,):
        problems.add(f"4 replicates gave estimates of shape {found.shape}, not (4,).")
    elif found is not None:
        if not np.isfinite(found).all():
            problems.add("well-behaved items gave estimates that are not finite.")
        for number, matrix in enumerate(matrices):
            if not _same(_try(problems, "one replicate", call, {}, matrix), found[number]):
                problems.add("replicates touch each other.")
                break
        order = (rng.permutation(6)[:, None] * size + np.arange(size)).ravel()
        mixed = matrices[:, order][:, :, order]
        if not _same(_try(problems, "permuted items", call, {}, mixed), found):
            problems.add("the order of the items matters.")
        if not _same(_try(problems, "another unit", call, {}, 9.0 * matrices), found):
            problems.add("the common unit of the items matters.")
    problems.raise_any(MethodError)


def check_estimator(function: Function, **options: Any) -> None:
    """Check the contract of an estimator of a link.

    Parameters
    ----------
    function : callable
        ``(y (n,), X (n, k), *, clusters, absorb, weights, …)`` that returns an object
        with ``coef (k,)``, ``cov (k, k)`` and ``df (k,)``.
    **options
        Options to call it with.

    Raises
    ------
    MethodError
        With every broken promise: shapes, a symmetric covariance without negative
        variances, positive degrees of freedom, neither the order of the rows nor the
        labels of the clusters matter, the inputs are not written to.

    Examples
    --------
    >>> from lgpi_research.methods.regression import ols
    >>> check_estimator(ols)
    """
    problems = Problems(f"estimator {describe(function)}")
    rng = np.random.default_rng(0)
    n, k = 120, 2
    clusters = np.repeat(np.arange(12), 10)
    X = rng.normal(size=(n, k))
    y = X @ np.array([1.0, -0.5]) + rng.normal(size=12)[clusters] + rng.normal(size=n)
    kept = y.copy(), X.copy()

    def call(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
        found = function(
            y[rows], X[rows], clusters=labels[rows], absorb=(labels[rows],), weights=None, **options
        )
        parts = (np.asarray(found.coef), np.asarray(found.cov), np.asarray(found.df))
        shapes = tuple(part.shape for part in parts)
        if shapes != ((k,), (k, k), (k,)):
            raise ValueError(f"coef, cov and df have shapes {shapes}, not {((k,), (k, k), (k,))}.")
        return np.concatenate([part.ravel() for part in parts])

    every = np.arange(n)
    found = _try(problems, "a plain call", call, {}, every, clusters)
    if not (np.array_equal(y, kept[0]) and np.array_equal(X, kept[1])):
        problems.add("it writes to its inputs.")
    if found is not None:
        cov, df = found[k : k + k * k].reshape(k, k), found[-k:]
        if not (np.allclose(cov, cov.T) and (np.linalg.eigvalsh(cov) > -_CLOSE).all()):
            problems.add("the covariance is not symmetric, or has negative variances.")
        if not (df > 0).all():
            problems.add(f"degrees of freedom must be positive, got {df}.")
        if not _same(
            _try(problems, "permuted rows", call, {}, rng.permutation(n), clusters), found
        ):
            problems.add("the order of the rows matters.")
        if not _same(_try(problems, "other labels", call, {}, every, 7 - 3 * clusters), found):
            problems.add("the labels of the clusters matter.")
    problems.raise_any(MethodError)
