r"""Normal-theory estimation: likelihood, slopes, expected and observed information.

With a sample of one or several patterns per group, the function minimised is half the mean
of −2 log-likelihood. Slopes in a parameter :math:`\theta` are
:math:`\operatorname{tr}(G\,\partial\Sigma) + g'\partial\mu` (Jöreskog 1969).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lgpi_research.methods.latent.model import GroupModel
from lgpi_research.methods.latent.patterns import Likelihood, Sample, likelihood

__all__ = ["NormalModel", "weigh"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NormalModel:
    """A model and its samples, one a group.

    Attributes
    ----------
    models : tuple of GroupModel
        Where the parameters stand.
    samples : tuple of Sample
        Moments of the groups.
    n_free : int
        Number of free parameters.
    means : bool
        Whether means are modelled; if not, they are those of the sample.
    """

    models: tuple[GroupModel, ...]
    samples: tuple[Sample, ...]
    n_free: int
    means: bool

    @property
    def n(self) -> int:
        """Respondents of all groups."""
        return sum(sample.n for sample in self.samples)

    def _at(self, group: int, theta: Floats) -> tuple[Likelihood, Floats, Floats]:
        """Return likelihood and slopes of the moments in one group."""
        model, sample = self.models[group], self.samples[group]
        state = model.state(theta)
        mean = state.mean if self.means else sample.means[0]
        return likelihood(sample, state.covariance, mean), *model.jacobian(state)

    def slope(self, theta: Floats) -> Floats:
        """Return the slopes of the function minimised, shape (n_free,)."""
        total = np.zeros(self.n_free)
        for group, model in enumerate(self.models):
            total[model.which] += self._slope(group, theta)
        return total

    def _slope(self, group: int, theta: Floats) -> Floats:
        """Return what one group adds to the slopes in its own parameters."""
        here, covariance, mean = self._at(group, theta)
        return self.samples[group].n / self.n * _chain(here, covariance, mean, self.means)

    def terms(self, theta: Floats) -> tuple[float, Floats, Floats]:
        """Return value, slopes and expected information, per respondent."""
        value, slope = 0.0, np.zeros(self.n_free)
        information = np.zeros((self.n_free, self.n_free))
        for group, (model, sample) in enumerate(zip(self.models, self.samples, strict=True)):
            here, covariance, mean = self._at(group, theta)
            if not np.isfinite(here.value):
                return np.inf, slope, information
            share = sample.n / self.n
            value += share * here.value
            slope[model.which] += share * _chain(here, covariance, mean, self.means)
            part = weigh(sample, here.inverses, covariance, mean if self.means else None)
            information[np.ix_(model.which, model.which)] += share * part
        return value, slope, information

    def observed_information(self, theta: Floats) -> Floats:
        """Return second derivatives, per respondent, by central differences of the slopes."""
        found = np.zeros((self.n_free, self.n_free))
        sizes = 1e-4 / np.sqrt(np.diag(self.terms(theta)[2]))
        for group, model in enumerate(self.models):
            for k in model.which:
                ahead, behind = theta.copy(), theta.copy()
                ahead[k] += sizes[k]
                behind[k] -= sizes[k]
                apart = self._slope(group, ahead) - self._slope(group, behind)
                found[k, model.which] += apart / (2 * sizes[k])
        return (found + found.T) / 2


def _chain(here: Likelihood, covariance: Floats, mean: Floats, means: bool) -> Floats:
    q = len(covariance)
    slope = covariance.reshape(q, -1) @ here.covariance.reshape(-1)
    return slope + mean @ here.mean if means else slope


def weigh(sample: Sample, inverses: Floats, covariance: Floats, mean: Floats | None) -> Floats:
    """Return the expected information, per respondent, of parameters with these slopes.

    Parameters
    ----------
    sample : Sample
        Its patterns and their counts.
    inverses : ndarray of shape (P, p, p)
        Inverse covariances of each pattern.
    covariance : ndarray of shape (q, p, p)
        Slopes of the covariances.
    mean : ndarray of shape (q, p) or None
        Slopes of the means, if they are modelled.

    Returns
    -------
    ndarray of shape (q, q)
    """
    q, p = covariance.shape[:2]
    share = sample.counts / sample.n
    if len(share) == 1:
        product = inverses[0] @ covariance
        found = product.reshape(q, -1) @ product.transpose(0, 2, 1).reshape(q, -1).T / 2
    else:
        flat = inverses.reshape(len(share), p * p)
        kernel = (flat.T * share) @ flat  # over (i, j) and (k, l): P_ij P_kl
        kernel = kernel.reshape(p, p, p, p).transpose(1, 2, 0, 3).reshape(p * p, p * p)
        wide = covariance.reshape(q, p * p)
        found = (wide @ kernel) @ wide.T / 2
    if mean is not None:
        found = found + mean @ np.einsum("p,pij->ij", share, inverses) @ mean.T
    return np.asarray((found + found.T) / 2)
