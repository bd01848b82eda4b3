"""Factor and structural equation models by maximum likelihood, in one or several groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.latent.estimation import estimate
from lgpi_research.methods.latent.patterns import sample_of_moments, sample_of_rows
from lgpi_research.methods.latent.solution import LatentFit
from lgpi_research.methods.latent.syntax import parse_model
from lgpi_research.methods.latent.table import build_table

__all__ = ["fit_model", "fit_moments"]


def fit_model(
    model: str,
    answers: npt.ArrayLike,
    names: Sequence[str],
    *,
    groups: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    estimator: str = "ML",
    missing: str = "listwise",
    equal: Sequence[str] = (),
    partial: Sequence[str] = (),
    means: bool = False,
    unit_factors: bool = False,
) -> LatentFit:
    r"""Fit a factor or structural equation model to answers.

    Parameters
    ----------
    model : str
        See `lgpi_research.methods.latent.syntax.parse_model`.
    answers : array_like of shape (n, k)
        NaN is missing.
    names : sequence of str
        Names of the k variables; those that the model does not name are left aside.
    groups : array_like of shape (n,), optional
        Group of each respondent; groups are numbered in sorted order.
    clusters : array_like of shape (n,), optional
        Cluster of each respondent: errors and test allow for likeness within it. Needs
        ``estimator="MLR"``.
    estimator : {"ML", "MLR"}, default "ML"
        Maximum likelihood; MLR with sandwich standard errors and a scaled test.
    missing : {"listwise", "fiml"}, default "listwise"
        Complete respondents only, or the likelihood of all that was answered, which asks
        that answers are missing at random.
    equal, partial, means, unit_factors
        See `lgpi_research.methods.latent.table.build_table`. FIML and clusters
        make means part of the model.

    Returns
    -------
    LatentFit

    Raises
    ------
    SpecError
        If the model or an option cannot be understood.
    MethodError
        If the model is not identified (with the parameters), did not converge, or the
        answers do not suffice.

    Notes
    -----
    Covariances have divisor n. Standard errors of ML rest on the expected information, of
    FIML and MLR on the observed one. With F half the mean deviance, found by Fisher
    scoring, the test is :math:`2n(F - F_1)`, index 1 being the model without restrictions
    [1]_. Tests and standard errors of ML assume normal variables and independent
    respondents; MLR only the latter, or independent clusters [2]_.

    References
    ----------
    .. [1] Jöreskog, K. G. (1969). A general approach to confirmatory maximum likelihood
       factor analysis. *Psychometrika*, 34, 183-202.
    .. [2] Yuan, K.-H., and Bentler, P. M. (2000). Three likelihood-based methods for mean
       and covariance structure analysis with nonnormal missing data. *Sociological
       Methodology*, 30, 165-200.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> trait = rng.normal(size=(500, 1))
    >>> answers = trait * [1.0, 0.8, 0.6, 0.7] + rng.normal(size=(500, 4))
    >>> fit = fit_model("f =~ x1 + x2 + x3 + x4", answers, ["x1", "x2", "x3", "x4"])
    >>> fit.measures.test.df, round(fit.value("f =~ x2"), 1)
    (2, 0.8)
    """
    table_of = np.asarray(answers, dtype=np.float64)
    if estimator not in ("ML", "MLR"):
        raise SpecError(f"estimator must be 'ML' or 'MLR', got {estimator!r}.")
    if missing not in ("listwise", "fiml"):
        raise SpecError(f"missing must be 'listwise' or 'fiml', got {missing!r}.")
    if clusters is not None and estimator != "MLR":
        raise SpecError("clusters need estimator='MLR'.")
    if table_of.ndim != 2 or table_of.shape[1] != len(names):
        raise MethodError(
            f"answers must have one column for each of {len(names)} names, got {table_of.shape}."
        )
    n = len(table_of)
    given = {"groups": groups, "clusters": clusters}
    sides = {key: np.zeros(n) if v is None else np.asarray(v) for key, v in given.items()}
    for key, side in sides.items():
        if side.shape != (n,):
            raise MethodError(f"{key} must be {n} values, one a respondent; got {side.shape}.")
    if clusters is not None and len(np.unique(sides["clusters"])) < 2:
        raise MethodError("all respondents are of one cluster; errors need at least two.")
    levels, code = np.unique(sides["groups"], return_inverse=True)
    table = build_table(
        parse_model(model),
        names,
        groups=len(levels),
        equal=equal,
        partial=partial,
        means=means or missing == "fiml" or clusters is not None,
        unit_factors=unit_factors,
    )
    columns = [list(names).index(name) for name in table.observed]
    used = table_of[:, columns]
    samples, inside = [], []
    for number, level in enumerate(levels):
        own = code.reshape(-1) == number
        seen = ~np.isnan(used[own])
        keep = seen.all(axis=1) if missing == "listwise" else seen.any(axis=1)
        try:
            samples.append(sample_of_rows(used[own], missing=missing))
        except MethodError as error:
            place = f"group {level}: " if len(levels) > 1 else ""
            raise MethodError(f"{place}{error}") from None
        inside.append(sides["clusters"][own][keep])
    return estimate(table, tuple(samples), estimator, None if clusters is None else inside)


def fit_moments(
    model: str,
    covariances: Sequence[npt.ArrayLike] | npt.ArrayLike,
    n: Sequence[int] | int,
    names: Sequence[str],
    *,
    mean: Sequence[npt.ArrayLike] | npt.ArrayLike | None = None,
    equal: Sequence[str] = (),
    partial: Sequence[str] = (),
    means: bool = False,
    unit_factors: bool = False,
) -> LatentFit:
    """Fit a model to covariances by maximum likelihood, without answers.

    Parameters
    ----------
    model : str
        See `lgpi_research.methods.latent.syntax.parse_model`.
    covariances : array_like of shape (k, k) or (G, k, k)
        Of one or several groups, with divisor n.
    n : int or sequence of int
        Respondents of each group.
    names : sequence of str
        Names of the k variables.
    mean : array_like of shape (k,) or (G, k), optional
        Means; several groups, and a model of means, need them.
    equal, partial, means, unit_factors
        See `fit_model`.

    Returns
    -------
    LatentFit

    Raises
    ------
    SpecError, MethodError
        As `fit_model`; and if covariances are not positive definite.

    Examples
    --------
    >>> load = np.array([0.8, 0.7, 0.6])
    >>> matrix = np.outer(load, load) + np.diag(1 - load**2)
    >>> fit = fit_moments("f =~ a + b + c", matrix, 100, ["a", "b", "c"], unit_factors=True)
    >>> fit.estimates[:3].round(6).tolist()
    [0.8, 0.7, 0.6]
    """
    many = np.asarray(covariances, dtype=np.float64)
    many = many[None] if many.ndim == 2 else many
    counts = np.atleast_1d(np.asarray(n))
    table = build_table(
        parse_model(model),
        names,
        groups=len(many),
        equal=equal,
        partial=partial,
        means=means,
        unit_factors=unit_factors,
    )
    if table.means and mean is None:
        raise MethodError("this model needs the means of the variables: give mean=.")
    centres = np.zeros(many.shape[:2]) if mean is None else np.atleast_2d(np.asarray(mean))
    if len(counts) != len(many) or centres.shape != many.shape[:2]:
        raise MethodError(
            f"{len(many)} tables of covariances need as many n and rows of means, got "
            f"{len(counts)} and {len(centres)}."
        )
    at = [list(names).index(name) for name in table.observed]
    samples = [
        sample_of_moments(part[np.ix_(at, at)], int(count), centre[at])
        for part, count, centre in zip(many, counts, centres, strict=True)
    ]
    return estimate(table, tuple(samples), "ML", None)
