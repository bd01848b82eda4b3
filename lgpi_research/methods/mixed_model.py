"""A mixed model made ready to be fitted: checked, and brought to units of order one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

from lgpi_research.errors import MethodError, Problems
from lgpi_research.methods.absorb import check_weights, compact
from lgpi_research.methods.mixed_criterion import Model
from lgpi_research.methods.mixed_system import make_system

__all__ = ["Prepared", "RandomTerm", "effects_of", "prepare"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

COLLINEAR = 1e-8  # share of a column's length that others leave over


@dataclass(frozen=True, eq=False)
class RandomTerm:
    """Coefficients that vary from group to group.

    Attributes
    ----------
    groups : array_like of shape (n,)
        Label of each row's group. Terms may share groups, nest or cross; a group inside
        another needs labels of its own (person 1 of two places is two persons).
    effects : array_like of shape (n, q), optional
        Columns whose coefficients vary; by default a column of ones, the intercept.
    correlated : bool, default True
        Whether the q coefficients of a group may be correlated.
    name : str, default "group"
        For messages.
    """

    groups: npt.ArrayLike
    effects: npt.ArrayLike | None = None
    correlated: bool = True
    name: str = "group"


@dataclass(frozen=True, eq=False)
class Prepared:
    """A model, and the way back from its units.

    Attributes
    ----------
    model : Model
    y, X : ndarray of shape (n,) and (n, p)
    terms : tuple of RandomTerm
    weights : ndarray of shape (n,) or None
    n_groups : tuple of int
        Groups of each term.
    scale : float
        Root mean square of the least-squares residuals, the model's unit of the outcome.
    least : ndarray of shape (p,)
        Least-squares coefficients of the model's orthonormal columns.
    rotation : ndarray of shape (p, p)
        Turns coefficients of the orthonormal columns into those of X.
    """

    model: Model
    y: Floats
    X: Floats
    terms: tuple[RandomTerm, ...]
    weights: Floats | None
    n_groups: tuple[int, ...]
    scale: float
    least: Floats
    rotation: Floats


def effects_of(values: npt.ArrayLike) -> Floats:
    """Return effects as a table; a list of numbers is one column."""
    made = np.asarray(values, dtype=np.float64)
    return made[:, None] if made.ndim == 1 else made


def _check(
    y: Floats, X: Floats, terms: Sequence[RandomTerm], names: Sequence[str], weighted: bool
) -> tuple[list[Codes], list[Floats]]:
    """Return the groups and effects of each term, or say all that is wrong."""
    if y.ndim != 1 or X.ndim != 2 or len(y) != len(X) or X.shape[1] == 0:
        raise MethodError(
            f"y must have shape (n,) and X (n, p) with p > 0, got {y.shape} and {X.shape}."
        )
    n = len(y)
    problems = Problems("a mixed model")
    if len(names) != X.shape[1]:
        problems.add(f"{len(names)} names were given for {X.shape[1]} fixed effects.")
    if not terms:
        problems.add("no random term was given. Use least_squares().")
    wrong = ~(np.isfinite(y) & np.isfinite(X).all(axis=1))
    if wrong.any():
        problems.add(
            f"{wrong.sum()} of {n} rows hold missing or infinite numbers (first at row "
            f"{np.flatnonzero(wrong)[0] + 1}); leave such rows out."
        )
    codes, effects = list[Codes](), list[Floats]()
    for term in terms:
        values = np.ones((n, 1)) if term.effects is None else effects_of(term.effects)
        try:
            code, size = compact(term.groups)
        except MethodError as error:
            problems.add(f"{term.name}: {error}")
            continue
        if len(code) != n or values.ndim != 2 or len(values) != n or values.shape[1] == 0:
            problems.add(
                f"{term.name}: groups and effects must have {n} rows, got {len(code)} and "
                f"{values.shape}."
            )
            continue
        if not np.isfinite(values).all():
            problems.add(f"{term.name}: effects hold missing or infinite numbers.")
        if size < 2:
            problems.add(f"{term.name}: there is 1 group; a variance needs at least 2.")
        if size == n and term.effects is None and not weighted:
            problems.add(
                f"{term.name}: each of the {n} rows is a group of its own, which cannot be "
                "told apart from the residual."
            )
        codes.append(code)
        effects.append(values)
    problems.raise_any(MethodError)
    return codes, effects


def _units(effects: Floats, correlated: bool, name: str) -> Floats:
    """Return the matrix that makes effects orthonormal on average, lower triangular."""
    n = len(effects)
    lengths = np.sqrt(np.einsum("nq,nq->q", effects, effects) / n)
    if (lengths == 0).any():
        raise MethodError(
            f"{name}: effect {int(np.flatnonzero(lengths == 0)[0]) + 1} is 0 in every row."
        )
    scaled = effects / lengths
    # Of the columns in reverse order, so that the factor is lower triangular.
    upper = np.linalg.qr(scaled[:, ::-1] / np.sqrt(n), mode="r")
    if np.abs(np.diag(upper)).min() <= COLLINEAR:
        raise MethodError(
            f"{name}: the {effects.shape[1]} effects are collinear; leave one of them out, or "
            "centre them if they vary little about a large mean."
        )
    if not correlated:
        return np.diag(1 / lengths)
    lower = (upper * np.sign(np.diag(upper))[:, None])[::-1, ::-1]
    return np.asarray(linalg.solve_triangular(lower * lengths, np.eye(len(lower)), lower=True))


def _orthonormal(X: Floats, names: Sequence[str]) -> tuple[Floats, Floats]:
    """Return an orthonormal basis of the columns, and what turns its coefficients into theirs."""
    lengths = np.sqrt(np.einsum("np,np->p", X, X))
    problems = Problems("the fixed effects")
    for j in np.flatnonzero(lengths == 0).tolist():
        problems.add(f"{names[j]} is 0 in every row; leave it out.")
    problems.raise_any(MethodError)
    q, r = np.linalg.qr(X / lengths)
    for j in np.flatnonzero(np.abs(np.diag(r)) <= COLLINEAR).tolist():
        others, *_ = np.linalg.lstsq(X[:, :j] / lengths[:j], X[:, j] / lengths[j], rcond=None)
        sources = [names[i] for i in np.flatnonzero(np.abs(others) > 1e-6).tolist()]
        problems.add(
            f"{names[j]} is determined by {' and '.join(sources)}; leave one of them out, or "
            "merge categories."
        )
    problems.raise_any(MethodError)
    return q, linalg.solve_triangular(r, np.eye(len(r))) / lengths[:, None]


def prepare(
    y: npt.ArrayLike,
    X: npt.ArrayLike,
    terms: Sequence[RandomTerm],
    weights: npt.ArrayLike | None,
    reml: bool,
    names: Sequence[str] | None,
) -> Prepared:
    """Return a model ready to be fitted; arguments and errors are those of `mixed.fit_mixed`."""
    outcome, design = np.asarray(y, dtype=np.float64), np.asarray(X, dtype=np.float64)
    count = design.shape[1] if design.ndim == 2 else 0
    labels = [f"column {j + 1}" for j in range(count)] if names is None else list(names)
    codes, effects = _check(outcome, design, terms, labels, weights is not None)
    n = len(outcome)
    df = n - count if reml else n
    if n - count < 2:
        raise MethodError(f"{n} rows leave {n - count} degrees of freedom for the variances.")
    weighed = None if weights is None else np.asarray(weights, dtype=np.float64)
    if weighed is not None:
        check_weights(weighed, n)
    root = np.ones(n) if weighed is None else np.sqrt(weighed)
    basis, rotation = _orthonormal(design * root[:, None], labels)
    pulled = outcome * root
    least = basis.T @ pulled
    residual = pulled - basis @ least
    residual -= basis @ (basis.T @ residual)
    scale = float(np.sqrt(np.mean(residual**2)))
    if scale <= 1e-10 * float(np.sqrt(np.mean(pulled**2))):
        raise MethodError("the fixed effects explain the outcome exactly; no variance is left.")
    units = [
        _units(f * root[:, None], t.correlated, t.name) for f, t in zip(effects, terms, strict=True)
    ]
    system = make_system(
        codes,
        [f * root[:, None] @ unit for f, unit in zip(effects, units, strict=True)],
        [term.name for term in terms],
        np.column_stack([basis, residual / scale]),
    )
    entries = [
        np.tril_indices(len(unit)) if term.correlated else np.diag_indices(len(unit))
        for unit, term in zip(units, terms, strict=True)
    ]
    model = Model(system, tuple((e[0], e[1]) for e in entries), tuple(units), reml, df)
    return Prepared(
        model=model,
        y=outcome,
        X=design,
        terms=tuple(terms),
        weights=weighed,
        n_groups=tuple(int(code.max()) + 1 for code in codes),
        scale=scale,
        least=least,
        rotation=rotation,
    )
