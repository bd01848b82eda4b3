"""From a table of parameters and samples to a solution, by maximum likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError
from lgpi_research.methods.latent.fit_measures import (
    FitMeasures,
    Test,
    measure_fit,
    standardised_residual,
)
from lgpi_research.methods.latent.model import State, group_models
from lgpi_research.methods.latent.normal import NormalModel
from lgpi_research.methods.latent.patterns import Sample, likelihood, saturate
from lgpi_research.methods.latent.robust import (
    baseline_trace,
    group_scores,
    meat,
    saturated_trace,
    stacked,
)
from lgpi_research.methods.latent.search import refuse_unidentified, scoring, start
from lgpi_research.methods.latent.solution import LatentFit, solution
from lgpi_research.methods.latent.table import ParameterTable

__all__ = ["estimate"]

Floats = npt.NDArray[np.float64]
Moments = tuple[tuple[Floats, Floats], ...]


def estimate(
    table: ParameterTable,
    samples: tuple[Sample, ...],
    estimator: str,
    clusters: list[npt.NDArray[np.generic]] | None,
) -> LatentFit:
    """Return the fit of a model to samples, one a group.

    Parameters
    ----------
    table : ParameterTable
        The model.
    samples : tuple of Sample
        Their variables are those of the model, in its order.
    estimator : {"ML", "MLR"}
        MLR needs samples with rows.
    clusters : list of ndarray or None
        The cluster of each row, group by group.

    Returns
    -------
    LatentFit

    Raises
    ------
    MethodError
        If the model is not identified or did not converge.
    """
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
