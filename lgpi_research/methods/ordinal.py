"""Coefficients of ordered answers: of the normal variables behind them, and of their sum.

A coefficient takes `PairCounts`, whose leading axes are replicates. One set of items without a
valid answer is an error; among many replicates it is a NaN.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from lgpi_research.errors import MethodError
from lgpi_research.methods.bivariate import bivariate_cdf
from lgpi_research.methods.consistency import Spread, standardised_alpha, whole_covariance
from lgpi_research.methods.onefactor import omega_total, one_factor
from lgpi_research.methods.polychoric import PairCounts, Polychoric, bounded, polychoric
from lgpi_research.registry import coefficient

__all__ = ["omega_categorical", "ordinal_alpha", "ordinal_omega"]

Floats = npt.NDArray[np.float64]


@coefficient("ordinal_alpha", needs="pair counts")
def ordinal_alpha(counts: PairCounts, *, empty_cell: float = 0.0) -> Floats:
    """Return alpha of the standardised normal variables behind ordered answers.

    Parameters
    ----------
    counts : PairCounts
        Of k ≥ 2 items, all scored in the same direction; leading axes are replicates.
    empty_cell : float, default 0
        See `polychoric`.

    Returns
    -------
    ndarray of shape (…)
        NaN for a replicate whose correlations are not positive definite.

    Raises
    ------
    MethodError
        As `polychoric`; or if the one set of correlations is not positive definite.

    Notes
    -----
    Standardised alpha of the polychoric correlations [1]_. It is the reliability of a sum
    of imagined continuous variables, not of the sum of the answers, which is lower: for
    that see `omega_categorical`, and name the two differently.

    References
    ----------
    .. [1] Zumbo, B. D., Gadermann, A. M., and Zeisser, C. (2007). Ordinal versions of
       coefficients alpha and theta for Likert rating scales. *Journal of Modern Applied
       Statistical Methods*, 6, 21-29.

    Examples
    --------
    Two questions that halve the respondents, with a polychoric correlation of 0.5:

    >>> counts = PairCounts(np.array([[60, 0, 40, 20], [0, 60, 20, 40],
    ...                               [40, 20, 60, 0], [20, 40, 0, 60]]), (2, 2))
    >>> round(float(ordinal_alpha(counts)), 12)
    0.666666666667
    """
    found, spread = _estimate(counts, empty_cell)
    return np.where(found.positive_definite, standardised_alpha(spread), np.nan)


@coefficient("ordinal_omega", needs="pair counts")
def ordinal_omega(counts: PairCounts, *, empty_cell: float = 0.0) -> Floats:
    """Return one-factor omega total (minres) of the normal variables behind ordered answers.

    Parameters
    ----------
    counts : PairCounts
        Of k ≥ 3 items, all scored in the same direction; leading axes are replicates.
    empty_cell : float, default 0
        See `polychoric`.

    Returns
    -------
    ndarray of shape (…)
        NaN for a replicate whose correlations are not positive definite, or have no
        proper factor.

    Raises
    ------
    MethodError
        As `ordinal_alpha` and `lgpi_research.methods.onefactor.omega_total`.

    Notes
    -----
    `omega_total` of the polychoric correlations. What is said of `ordinal_alpha` holds
    here too: it does not describe the sum of the answers.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> trait = rng.normal(size=(4000, 1))
    >>> answers = np.digitize(trait + rng.normal(size=(4000, 4)), [-1, 0, 1])
    >>> round(float(ordinal_omega(PairCounts.from_answers(answers))), 2)
    0.81
    """
    found, spread = _estimate(counts, empty_cell)
    return np.where(found.positive_definite, omega_total(spread), np.nan)


@coefficient("omega_categorical", needs="pair counts")
def omega_categorical(counts: PairCounts, *, empty_cell: float = 0.0) -> Floats:
    r"""Return the reliability of the sum of ordered answers under one normal factor.

    Parameters
    ----------
    counts : PairCounts
        Of k ≥ 3 items, all scored in the same direction; leading axes are replicates.
    empty_cell : float, default 0
        See `polychoric`.

    Returns
    -------
    ndarray of shape (…)
        NaN for a replicate whose correlations are not positive definite, or have no
        proper factor.

    Raises
    ------
    MethodError
        As `ordinal_alpha`; or if the factor is a Heywood case or was not found.

    Notes
    -----
    Answers are scored by consecutive whole numbers. With thresholds :math:`\tau`,
    polychoric correlations :math:`\rho` and loadings :math:`\lambda` of their minres
    factor, the covariance of the answers to items i and j is :math:`c_{ij}(\rho_{ij})`,

    .. math::

        c_{ij}(\rho) = \sum_{ab} \Phi_2(\tau_{ia}, \tau_{jb}; \rho)
        - \Phi(\tau_{ia}) \Phi(\tau_{jb}),

    with :math:`\rho_{ii} = 1`, and what they share through the factor
    :math:`c_{ij}(\lambda_i\lambda_j)`; the coefficient is the ratio of the two sums over
    all i and j [1]_.

    References
    ----------
    .. [1] Green, S. B., and Yang, Y. (2009). Reliability of summated item scores using
       structural equation modeling: an alternative to coefficient alpha.
       *Psychometrika*, 74, 155-167.

    Examples
    --------
    Lower than the reliability behind the answers, which is 0.8:

    >>> rng = np.random.default_rng(0)
    >>> trait = rng.normal(size=(4000, 1))
    >>> answers = np.digitize(trait + rng.normal(size=(4000, 4)), [0])
    >>> round(float(omega_categorical(PairCounts.from_answers(answers))), 2)
    0.68
    """
    found, spread = _estimate(counts, empty_cell)
    matrix = whole_covariance(spread, 3)
    loadings = one_factor(matrix, method="minres").loadings
    proper = np.asarray(np.isfinite(loadings).all(axis=-1))
    loadings = np.where(proper[..., None], loadings, 0.0)
    cuts = bounded(found.thresholds)
    first, second = np.triu_indices(cuts.shape[-2], 1)
    h, k = cuts[..., first, :, None], cuts[..., second, None, :]

    def shared(left: Floats, right: Floats, rho: Floats) -> Floats:
        apart = special.ndtr(left) * special.ndtr(right)
        return np.asarray((bivariate_cdf(left, right, rho) - apart).sum(axis=(-3, -2, -1)))

    own, across = cuts[..., :, None], cuts[..., None, :]
    alone = special.ndtr(np.fmin(own, across)) - special.ndtr(own) * special.ndtr(across)
    product = loadings[..., first] * loadings[..., second]
    common = 2 * shared(h, k, product[..., None, None])
    common += shared(own, across, np.square(loadings)[..., None, None])
    rho = np.where(found.at_limit | ~np.isfinite(matrix), 0.0, matrix)[..., first, second]
    total = 2 * shared(h, k, rho[..., None, None]) + alone.sum(axis=(-3, -2, -1))
    return np.where(found.positive_definite & proper, common / total, np.nan)


def _estimate(counts: PairCounts, empty_cell: float) -> tuple[Polychoric, Spread]:
    """Return the correlations, also as a spread that stands in where they are not one."""
    if not isinstance(counts, PairCounts):
        raise MethodError(
            "this coefficient needs counts of pairs of answers, which moments do not hold: call it "
            "with PairCounts.from_answers(answers)."
        )
    if empty_cell not in counts.fits:  # several coefficients rest on the same correlations
        counts.fits[empty_cell] = polychoric(counts, empty_cell=empty_cell)
    found = counts.fits[empty_cell]
    root = found.smallest_root
    if root.ndim == 0 and not found.positive_definite:
        raise MethodError(
            f"the polychoric correlations are not positive definite (smallest root {root:.3g}), so "
            "no variables have them. Merge rare answers, leave out items that nearly repeat "
            "another, or use complete answers."
        )
    good = np.asarray(found.positive_definite)[..., None, None]
    k = found.correlation.shape[-1]
    return found, Spread.from_covariance(np.where(good, found.correlation, np.eye(k)))
