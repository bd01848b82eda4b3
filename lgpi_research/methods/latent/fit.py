"""Factor and structural equation models by maximum likelihood, in one or several groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.latent.fit_measures import (
    FitMeasures,
    Test,
    measure_fit,
    standardised_residual,
)
from lgpi_research.methods.latent.model import State, group_models
from lgpi_research.methods.latent.normal import NormalModel
from lgpi_research.methods.latent.patterns import (
    Sample,
    likelihood,
    sample_of_moments,
    sample_of_rows,
    saturate,
)
from lgpi_research.methods.latent.robust import (
    baseline_trace,
    group_scores,
    meat,
    saturated_trace,
    stacked,
)
from lgpi_research.methods.latent.search import refuse_unidentified, scoring, start
from lgpi_research.methods.latent.solution import LatentFit, solution
from lgpi_research.methods.latent.syntax import parse_model
from lgpi_research.methods.latent.table import ParameterTable, build_table

__all__ = ["fit_model", "fit_moments"]

Floats = npt.NDArray[np.float64]
Moments = tuple[tuple[Floats, Floats], ...]


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
    return _fit(table, tuple(samples), estimator, None if clusters is None else inside)


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
    return _fit(table, tuple(samples), "ML", None)


def _fit(
    table: ParameterTable,
    samples: tuple[Sample, ...],
    estimator: str,
    clusters: list[npt.NDArray[np.generic]] | None,
) -> LatentFit:
    moments = tuple(saturate(sample) for sample in samples)
    table = _with_causes(table, moments, samples)
    models = group_models(table)
    normal = NormalModel(models, samples, table.n_free, table.means)
    _, df_known = _known(table)
    refuse_unidentified(table, np.eye(table.n_free), df_known)
    theta, steps = scoring(normal.terms, start(table, moments))
    _, _, expected = normal.terms(theta)
    refuse_unidentified(table, expected, df_known)
    complete = all(sample.complete for sample in samples)
    bend = expected
    if estimator == "MLR" or not complete:
        bend = normal.observed_information(theta)
    covariance = np.linalg.inv(bend) / normal.n
    squares: Floats | None = None
    if estimator == "MLR":
        scores = stacked(
            [
                group_scores(model, sample, theta, means=table.means)
                for model, sample in zip(models, samples, strict=True)
            ],
            models,
            table.n_free,
        )
        squares = meat(scores, None if clusters is None else np.concatenate(clusters))
        covariance = covariance @ squares @ covariance
    if not (np.diag(covariance) > 0).all():
        raise MethodError(
            "the information at the solution is not positive definite: the solution is no "
            "maximum, and it has no standard errors."
        )
    states = tuple(model.state(theta) for model in models)
    trace = None if squares is None else float(np.trace(np.linalg.solve(bend, squares)) / normal.n)
    measures = _measures(table, samples, moments, states, trace, clusters)
    return solution(
        table,
        theta,
        covariance,
        expected,
        states,
        moments,
        measures,
        [sample.n for sample in samples],
        estimator,
        steps,
    )


def _known(table: ParameterTable) -> tuple[int, int]:
    """Return degrees of freedom of the baseline and the number of moments to explain."""
    p, c = len(table.observed), len(table.causes)
    moments = p * (p + 1) // 2 - c * (c + 1) // 2 + (p - c if table.means else 0)
    baseline = p * (p - 1) // 2 - c * (c - 1) // 2
    return baseline * table.n_groups, moments * table.n_groups


def _with_causes(
    table: ParameterTable, moments: Moments, samples: Sequence[Sample]
) -> ParameterTable:
    """Fix the moments of observed causes at those of the sample."""
    if not table.causes:
        return table
    position = {name: i for i, name in enumerate(table.observed)}
    held = [position[name] for name in table.causes]
    if not all(sample.seen[:, held].all() for sample in samples):
        raise MethodError(
            "observed causes have missing values; leave these respondents out, or give the "
            "causes variances (x ~~ x) to model them."
        )
    rows = []
    for row in table.rows:
        if row.sampled:
            covariance, mean = moments[row.group - 1]
            i = position[row.lhs]
            value = mean[i] if row.op == "~1" else covariance[i, position[row.rhs]]
            rows.append(replace(row, value=float(value)))
        else:
            rows.append(row)
    return replace(table, rows=tuple(rows))


def _measures(
    table: ParameterTable,
    samples: Sequence[Sample],
    moments: Moments,
    states: Sequence[State],
    trace: float | None,
    clusters: list[npt.NDArray[np.generic]] | None,
) -> FitMeasures:
    n = sum(sample.n for sample in samples)
    held = [table.observed.index(name) for name in table.causes]
    deviance = {"model": 0.0, "saturated": 0.0, "baseline": 0.0}
    constant, residual = 0.0, 0.0
    for sample, (covariance, mean), state in zip(samples, moments, states, strict=True):
        centre = state.mean if table.means else mean
        deviance["model"] += 2 * sample.n * likelihood(sample, state.covariance, centre).value
        deviance["saturated"] += 2 * sample.n * likelihood(sample, covariance, mean).value
        deviance["baseline"] += _baseline(sample, covariance, held)
        constant += float(sample.counts @ sample.seen.sum(axis=1)) * np.log(2 * np.pi)
        if held:
            block = covariance[np.ix_(held, held)]
            own = np.linalg.slogdet(block)[1] + len(held) * (1 + np.log(2 * np.pi))
            constant -= sample.n * float(own)
        residual += (
            sample.n
            / n
            * standardised_residual(
                (covariance, mean), (state.covariance, centre), means=table.means
            )
        )
    baseline_df, known = _known(table)
    test = Test(max(deviance["model"] - deviance["saturated"], 0.0), known - table.n_free)
    baseline = Test(deviance["baseline"] - deviance["saturated"], baseline_df)
    scaled: tuple[Test, Test] | None = None
    if trace is not None:
        scaled = _scaled(table, samples, moments, test, baseline, trace, clusters)
    return measure_fit(
        test,
        baseline,
        n=n,
        n_rmsea=n,
        groups=table.n_groups,
        n_free=table.n_free,
        srmr=residual,
        log_likelihood=-(deviance["model"] + constant) / 2,
        scaled=scaled,
    )


def _baseline(sample: Sample, covariance: Floats, held: list[int]) -> float:
    """Return −2 log-likelihood, less its constant, of unrelated variables."""
    own = sample.counts @ sample.seen
    mean = sample.counts @ sample.means / own
    apart = np.where(sample.seen, sample.means - mean, 0.0)
    squares = np.diagonal(sample.covariances, axis1=1, axis2=2) + apart**2
    parts = own * (np.log(sample.counts @ squares / own) + 1)
    total = float(np.delete(parts, held).sum())
    if held:
        block = covariance[np.ix_(held, held)]
        total += sample.n * (float(np.linalg.slogdet(block)[1]) + len(held))
    return total


def _scaled(
    table: ParameterTable,
    samples: Sequence[Sample],
    moments: Moments,
    test: Test,
    baseline: Test,
    trace: float,
    clusters: list[npt.NDArray[np.generic]] | None,
) -> tuple[Test, Test]:
    """Return both tests divided by their scales."""
    if table.causes:
        raise MethodError(
            "MLR does not support observed causes with moments of the data: give them variances "
            "(x ~~ x) to model them."
        )
    inside = [None] * len(samples) if clusters is None else clusters
    whole, apart = 0.0, 0.0
    for sample, own, held in zip(samples, moments, inside, strict=True):
        code = None if held is None else np.unique(held, return_inverse=True)[1].reshape(-1)
        whole += saturated_trace(sample, own, code)
        apart += baseline_trace(sample, code)
        if not table.means:
            trace += sample.seen.shape[1]  # free means of unclustered respondents: one each
    found = []
    for one, other in ((test, trace), (baseline, apart)):
        scale = (whole - other) / one.df if one.df else 1.0
        if scale <= 0:
            raise MethodError(f"the scale of the robust test is {scale:.3g}, so it has no test.")
        found.append(Test(one.statistic / scale, one.df, scale))
    return found[0], found[1]
