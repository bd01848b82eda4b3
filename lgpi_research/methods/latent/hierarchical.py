"""A general factor over group factors: Schmid and Leiman's solution and omega hierarchical."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.latent.checks import usable_correlation
from lgpi_research.methods.latent.efa import extract_factors
from lgpi_research.methods.latent.rotation import rotate_factors
from lgpi_research.methods.onefactor import one_factor

__all__ = ["Hierarchy", "hierarchical_omega"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """A general factor and m group factors of k items, all uncorrelated.

    Attributes
    ----------
    general : ndarray of shape (k,)
        Loadings on the general factor.
    groups : ndarray of shape (k, m)
        Loadings on the group factors.
    uniquenesses : ndarray of shape (k,)
        Share of each item's variance that no factor explains.
    correlation : ndarray of shape (m, m)
        Of the oblique group factors.
    group_of : ndarray of int of shape (k,)
        Number of the group factor on which the item loads most, from 0.
    omega_hierarchical : float
        Share of the variance of the sum score that is the general factor's.
    omega_total : float
        Share that all common factors explain.
    explained_common : float
        Share of the common variance that is the general factor's (ECV).
    group_general, group_own : ndarray of shape (m,)
        Shares of the variance of the sum of the items of each group that are the general
        factor's and the group factor's. NaN for a group without items.
    groups_share : float
        Share of the variance of the sum score that the group factors have in their own items.
    """

    general: Floats
    groups: Floats
    uniquenesses: Floats
    correlation: Floats
    group_of: Ints
    omega_hierarchical: float
    omega_total: float
    explained_common: float
    group_general: Floats
    group_own: Floats
    groups_share: float

    @property
    def general_share(self) -> Floats:
        """Share of each item's common variance that is the general factor's, shape (k,)."""
        return np.asarray(np.square(self.general) / (1 - self.uniquenesses))


def hierarchical_omega(
    matrix: npt.ArrayLike,
    factors: int = 3,
    *,
    method: str = "minres",
    rotation: str = "oblimin",
    starts: int = 0,
    rng: np.random.Generator | None = None,
    tolerance: float = 1e-8,
) -> Hierarchy:
    r"""Return omega hierarchical and omega total by Schmid and Leiman's solution.

    Parameters
    ----------
    matrix : array_like of shape (k, k)
        Pearson or polychoric correlations of items keyed in one direction.
    factors : int, default 3
        Group factors, at least 2. With two, the general factor is the same for both.
    method : {"minres", "ml", "principal_axis"}, default "minres"
        See `extract_factors`.
    rotation : {"oblimin", "promax"}, default "oblimin"
        See `rotate_factors`.
    starts : int, default 0
        Random starts of the rotation.
    rng : Generator, optional
        Draws the starts.
    tolerance : float, default 1e-8
        Of the rotation.

    Returns
    -------
    Hierarchy

    Raises
    ------
    DataError
        If the matrix is not a positive definite correlation matrix.
    SpecError
        If there are fewer than two group factors, more than the items can show, or the
        rotation leaves them uncorrelated.
    MethodError
        If the factors do not converge, there is a Heywood case on either level, or the
        factors correlate negatively, so that there is no general one.

    Notes
    -----
    With the pattern :math:`\Lambda` of oblique group factors and the loadings
    :math:`\gamma` of their correlations on one factor, the general loadings are
    :math:`g = \Lambda\gamma`, and those of the groups
    :math:`\Lambda\,\mathrm{diag}(1 - \gamma^2)^{1/2}` [1]_. Then
    :math:`\omega_h = (\sum g_i)^2/\sum r_{ij}` and
    :math:`\omega_t = 1 - \sum u_i^2/\sum r_{ij}` [2]_. The general loadings are proportional
    within a group, which a bifactor model need not be.

    References
    ----------
    .. [1] Schmid, J., and Leiman, J. M. (1957). The development of hierarchical factor
       solutions. *Psychometrika*, 22, 53-61.
    .. [2] Zinbarg, R. E., Revelle, W., Yovel, I., and Li, W. (2005). Cronbach's α,
       Revelle's β, and McDonald's ωH. *Psychometrika*, 70, 123-133.

    Examples
    --------
    >>> pattern = np.kron(np.eye(3), np.full((3, 1), 0.8))
    >>> matrix = pattern @ np.where(np.eye(3) > 0, 1, 0.25) @ pattern.T
    >>> np.fill_diagonal(matrix, 1)
    >>> found = hierarchical_omega(matrix)
    >>> found.general.round(6)
    array([0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4])
    >>> round(found.omega_hierarchical, 6), round(3.6**2 / float(matrix.sum()), 6)
    (0.444444, 0.444444)
    """
    problems = []
    if factors < 2:
        problems.append(f"factors: at least 2 group factors are needed, got {factors}.")
    if rotation not in ("oblimin", "promax"):
        problems.append(
            f"rotation must be 'oblimin' or 'promax', which let factors correlate, got "
            f"{rotation!r}."
        )
    if problems:
        raise SpecError(" ".join(problems), problems)
    whole = usable_correlation(matrix)
    extracted = extract_factors(whole, factors, method=method)
    rotated = rotate_factors(
        extracted.loadings, rotation, starts=starts, rng=rng, tolerance=tolerance
    )
    upper = _second_level(rotated.correlation)
    general = rotated.loadings @ upper
    groups = rotated.loadings * np.sqrt(1 - np.square(upper))
    unique = 1 - np.square(general) - np.square(groups).sum(axis=1)
    bad = np.flatnonzero(unique <= 0)
    if len(bad):
        raise MethodError(
            f"Heywood case: no positive uniqueness of item {bad[0] + 1} with a general factor and "
            f"{factors} group factors. Use fewer group factors."
        )
    group_of = groups.argmax(axis=1).astype(np.int64)
    variance = float(whole.sum())
    members = group_of[:, None] == np.arange(factors)
    sizes = np.einsum("ig,ij,jg->g", members, whole, members)
    safe = np.where(sizes > 0, sizes, np.nan)
    shared = np.square(general).sum()
    own = (groups * members).sum(axis=0)
    return Hierarchy(
        general=general,
        groups=groups,
        uniquenesses=unique,
        correlation=rotated.correlation,
        group_of=group_of,
        omega_hierarchical=float(general.sum() ** 2 / variance),
        omega_total=float(1 - unique.sum() / variance),
        explained_common=float(shared / (shared + np.square(groups).sum())),
        group_general=np.square(general @ members) / safe,
        group_own=np.square(own) / safe,
        groups_share=float(np.square(own).sum() / variance),
    )


def _second_level(phi: Floats) -> Floats:
    """Return the loadings of the group factors on the general one."""
    if len(phi) > 2:
        return one_factor(phi, method="minres").loadings
    if phi[0, 1] < 0:
        raise MethodError(
            f"the two group factors correlate {phi[0, 1]:.3f}: there is no general factor. Key "
            "all items in one direction, or report the groups apart."
        )
    return np.full(2, np.sqrt(phi[0, 1]))
