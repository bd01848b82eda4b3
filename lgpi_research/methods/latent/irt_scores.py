"""Scores of respondents on the trait, and how reliable they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError
from lgpi_research.methods.latent.irt_fit import ResponseFit
from lgpi_research.methods.latent.irt_model import GradedItems, item_information

__all__ = [
    "TraitScores",
    "conditional_reliability",
    "eap_scores",
    "empirical_reliability",
    "information_of_test",
    "marginal_reliability",
]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TraitScores:
    """Expected a posteriori scores of n respondents.

    Attributes
    ----------
    estimate, std_error : ndarray of shape (n,)
        Mean and standard deviation of the trait given the answers; NaN for respondents who
        were set aside.
    """

    estimate: Floats
    std_error: Floats


def eap_scores(fit: ResponseFit) -> TraitScores:
    """Return expected a posteriori scores of the respondents that a model was fitted to.

    Parameters
    ----------
    fit : ResponseFit
        Of one group or several; each group has its own normal distribution of the trait.

    Returns
    -------
    TraitScores

    Notes
    -----
    Means of the posterior are drawn towards the mean of the group. They serve to describe
    respondents; as an outcome or regressor they bias slopes and understate spread. For that
    see `lgpi_research.methods.latent.irt_plausible` [1]_.

    References
    ----------
    .. [1] Mislevy, R. J. (1991). Randomization-based inference about latent variables from
       complex samples. *Psychometrika*, 56, 177-196.

    Examples
    --------
    >>> from lgpi_research.methods.latent.irt_fit import fit_item_response
    >>> answers = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], [40, 10, 10, 40], axis=0)
    >>> scores = eap_scores(fit_item_response(answers, model="rasch"))
    >>> scores.estimate[[0, 40, 99]].round(2) + 0.0
    array([-3.2,  0. ,  3.2])
    """
    marginal, grid = fit.marginal, fit.marginal.grid
    centre, spread = np.empty((2, len(marginal.patterns.codes)))
    for part, _, posterior in marginal.posteriors(marginal.table(fit.free)):
        centre[part] = posterior @ grid
        away = np.square(grid - centre[part][:, None])
        spread[part] = np.sqrt((posterior * away).sum(axis=1))
    return TraitScores(marginal.patterns.expand(centre), marginal.patterns.expand(spread))


def information_of_test(items: GradedItems, theta: npt.ArrayLike) -> Floats:
    """Return the information of all items together at points of the trait, of shape (q,).

    Examples
    --------
    >>> information_of_test(GradedItems(np.array([2.0, 2.0]), np.array([[0.0], [0.0]])), [0.0])
    array([2.])
    """
    return np.asarray(item_information(items, theta).sum(axis=1))


def conditional_reliability(items: GradedItems, theta: npt.ArrayLike, *, sd: float = 1.0) -> Floats:
    r"""Return the reliability of scores at points of the trait, of shape (q,).

    Parameters
    ----------
    items : GradedItems
        Of k items.
    theta : array_like of shape (q,)
        Points of the trait.
    sd : float, default 1
        Standard deviation of the trait.

    Raises
    ------
    MethodError
        If the standard deviation is not positive.

    Notes
    -----
    :math:`I(\theta) / \{I(\theta) + 1/\sigma^2\}`, with the test's information I [1]_.

    References
    ----------
    .. [1] Raju, N. S., Price, L. R., Oshima, T. C., and Nering, M. L. (2007). Standardized
       conditional SEM: a case for conditional reliability. *Applied Psychological
       Measurement*, 31, 169-180.

    Examples
    --------
    >>> conditional_reliability(GradedItems(np.array([2.0]), np.array([[0.0]])), [0.0])
    array([0.5])
    """
    if not sd > 0:
        raise MethodError(f"the standard deviation must be positive, got {sd!r}.")
    told = information_of_test(items, theta)
    return np.asarray(told / (told + 1 / sd**2))


def marginal_reliability(items: GradedItems, *, mean: float = 0.0, sd: float = 1.0) -> float:
    """Return the mean of the conditional reliability over a normal trait.

    Parameters
    ----------
    items : GradedItems
        Of k items.
    mean, sd : float, default 0 and 1
        Of the trait.

    Raises
    ------
    MethodError
        If the standard deviation is not positive.

    Examples
    --------
    >>> round(marginal_reliability(GradedItems(np.array([2.0]), np.array([[0.0]]))), 4)
    0.3502
    """
    z = np.linspace(-8.0, 8.0, 321)
    weights = np.exp(-np.square(z) / 2)
    found = conditional_reliability(items, mean + sd * z, sd=sd)
    return float(weights @ found / weights.sum())


def empirical_reliability(scores: TraitScores, *, weights: npt.ArrayLike | None = None) -> float:
    r"""Return the share of the trait's variance that scores show.

    Parameters
    ----------
    scores : TraitScores
        Of n respondents; those set aside are skipped.
    weights : array_like of shape (n,), optional
        Weights of the respondents.

    Raises
    ------
    MethodError
        If fewer than two respondents have scores.

    Notes
    -----
    :math:`\mathrm{var}(\hat\theta) / \{\mathrm{var}(\hat\theta) + \overline{se^2}\}`; without
    weights the variance is divided by n - 1.

    Examples
    --------
    >>> empirical_reliability(TraitScores(np.array([-1.0, 0.0, 1.0]), np.ones(3)))
    0.5
    """
    known = np.isfinite(scores.estimate)
    if known.sum() < 2:
        raise MethodError("empirical reliability needs at least 2 respondents with scores.")
    estimate, error = scores.estimate[known], scores.std_error[known]
    if weights is None:
        between, within = float(estimate.var(ddof=1)), float(np.square(error).mean())
    else:
        weight = np.asarray(weights, dtype=np.float64)[known]
        share = weight / weight.sum()
        between = float(share @ np.square(estimate - share @ estimate))
        within = float(share @ np.square(error))
    return between / (between + within)
