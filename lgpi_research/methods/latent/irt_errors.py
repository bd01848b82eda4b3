"""Standard errors of item response models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from lgpi_research.errors import MethodError, SpecError, nearest
from lgpi_research.methods.latent.irt_fit import ResponseFit

__all__ = ["KINDS", "ResponseErrors", "response_errors"]

Floats = npt.NDArray[np.float64]

KINDS = ("observed", "crossproduct", "sandwich")


@dataclass(frozen=True, eq=False)
class ResponseErrors:
    """Standard errors; leading axes are the g groups. Fixed parameters have error 0.

    Attributes
    ----------
    kind : str
        How they were computed.
    slopes : ndarray of shape (g, k)
        Of the slopes.
    intercepts, difficulties : ndarray of shape (g, k, m - 1)
        Of the intercepts, and by the delta method of the difficulties.
    means, sds : ndarray of shape (g,)
        Of the traits' means and standard deviations.
    covariance : ndarray of shape (n_parameters, n_parameters)
        Of the free parameters; standard deviations enter by their logarithms.
    """

    kind: str
    slopes: Floats
    intercepts: Floats
    difficulties: Floats
    means: Floats
    sds: Floats
    covariance: Floats


def response_errors(
    fit: ResponseFit,
    *,
    kind: str = "observed",
    clusters: Sequence[object] | npt.NDArray[np.generic] | None = None,
) -> ResponseErrors:
    r"""Return standard errors of a fitted item response model.

    Parameters
    ----------
    fit : ResponseFit
        Of one group or several.
    kind : {"observed", "crossproduct", "sandwich"}, default "observed"
        From the observed information; from cross-products of the scores of patterns; or from
        both, which survey weights, clusters and wrong models need.
    clusters : sequence of length n, optional
        Cluster of each respondent, for the sandwich.

    Returns
    -------
    ResponseErrors

    Raises
    ------
    MethodError
        If the information is not positive definite: a parameter is not identified; or there
        are fewer than two clusters.
    SpecError
        If the kind is unknown, or clusters are given to another kind.

    Notes
    -----
    The observed information is exact, after Louis [1]_: the expected complete information
    less the variance of the complete score given the answers. With :math:`A` the information,
    :math:`w_i` weights and :math:`s_i` scores, the sandwich is
    :math:`A^{-1} (\sum_i w_i^2 s_i s_i') A^{-1}` [2]_; with :math:`C` clusters sums over
    clusters take the place of :math:`w_i s_i`, times :math:`C / (C - 1)`.

    References
    ----------
    .. [1] Louis, T. A. (1982). Finding the observed information matrix when using the EM
       algorithm. *Journal of the Royal Statistical Society B*, 44, 226-233.
    .. [2] White, H. (1982). Maximum likelihood estimation of misspecified models.
       *Econometrica*, 50, 1-25.

    Examples
    --------
    >>> from lgpi_research.methods.latent.irt_fit import fit_item_response
    >>> answers = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], [40, 10, 10, 40], axis=0)
    >>> errors = response_errors(fit_item_response(answers, model="rasch"))
    >>> errors.intercepts.round(2).ravel()
    array([0.5, 0.5])
    """
    if kind not in KINDS:
        raise SpecError(f"kind must be one of {', '.join(KINDS)}.{nearest(str(kind), KINDS)}")
    if clusters is not None and kind != "sandwich":
        raise SpecError("clusters need kind='sandwich'.")
    marginal, patterns = fit.marginal, fit.marginal.patterns
    scores = marginal.scores(fit.free) if kind != "observed" else np.empty((0, 0))
    if kind == "crossproduct":
        covariance = _inverse(scores.T @ (scores * patterns.weights[:, None]))
    else:
        covariance = _inverse(marginal.information(fit.free))
    if kind == "sandwich":
        if clusters is None:
            meat = scores.T @ (scores * patterns.squares[:, None])
        else:
            meat = _between(fit, scores, np.asarray(clusters))
        covariance = covariance @ meat @ covariance
    return _spread_out(fit, kind, covariance)


def _inverse(information: Floats) -> Floats:
    scale = np.sqrt(np.fmax(np.diag(information), 0.0))
    if (scale > 0).all():
        values = np.linalg.eigvalsh(information / np.outer(scale, scale))
        if values[0] > 1e-10:
            inverse: Floats = linalg.inv(information)
            return (inverse + inverse.T) / 2
    raise MethodError(
        "standard errors do not exist: the information matrix is not positive definite, so some "
        "parameter is not identified by these answers. Look for answers that few gave, or for "
        "fewer patterns of answers than parameters."
    )


def _between(fit: ResponseFit, scores: Floats, clusters: npt.NDArray[np.generic]) -> Floats:
    patterns = fit.marginal.patterns
    n = len(patterns.place)
    if clusters.shape != (n,):
        raise MethodError(f"{n} respondents need {n} clusters, got shape {clusters.shape}.")
    used = patterns.place >= 0
    names, codes = np.unique(clusters[used], return_inverse=True)
    count = len(names)
    if count < 2:
        raise MethodError("clustered standard errors need at least 2 clusters.")
    sums = sparse.csr_array(
        (patterns.respondent_weights[used], (codes.ravel(), patterns.place[used])),
        shape=(count, len(patterns.codes)),
    )
    totals = sums @ scores
    return np.asarray(totals.T @ totals * (count / (count - 1)))


def _spread_out(fit: ResponseFit, kind: str, covariance: Floats) -> ResponseErrors:
    """Return errors of all parameters in the shape of the items."""
    layout = fit.marginal.layout
    v, t, g = layout.n_versions, layout.n_intercepts, layout.n_groups
    free = layout.place >= 0
    errors = np.zeros(len(layout.place))
    errors[free] = np.sqrt(np.diag(covariance))[layout.place[free]]
    k, width = layout.version.shape[1], fit.items[0].intercepts.shape[1]
    intercepts, difficulties = np.full((2, g, k, width), np.nan)
    for group, versions in enumerate(layout.version):
        for item, version in enumerate(versions):
            a, first = fit.items[group].slopes[item], layout.start[version]
            for cut in range(layout.start[version + 1] - first):
                cell = v + first + cut
                d = fit.items[group].intercepts[item, cut]
                intercepts[group, item, cut] = errors[cell]
                ahead = np.zeros(layout.n_free)
                if free[cell]:
                    ahead[layout.place[cell]] -= 1 / a
                if free[version]:
                    ahead[layout.place[version]] += d / a**2
                difficulties[group, item, cut] = np.sqrt(ahead @ covariance @ ahead)
    return ResponseErrors(
        kind=kind,
        slopes=errors[layout.version],
        intercepts=intercepts,
        difficulties=difficulties,
        means=errors[v + t : v + t + g],
        sds=errors[v + t + g :] * fit.sds,
        covariance=covariance,
    )
