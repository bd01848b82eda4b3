"""Polyserial correlations: of a measured variable and the one imagined behind ordered answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from lgpi_research.errors import MethodError, Problems
from lgpi_research.methods.polychoric import bounded, thresholds_of

__all__ = ["Polyserial", "PolyserialFit", "fit_polyserial", "polyserial"]

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_LIMIT = 0.9999  # correlations beyond it are said to be at the limit
_MOST = 100


@dataclass(frozen=True, eq=False)
class Polyserial:
    """Polyserial correlations of k items with one variable.

    Attributes
    ----------
    correlation : ndarray of shape (k,)
    n : ndarray of int of shape (k,)
        Respondents who have both the answer and the value.
    at_limit : ndarray of bool of shape (k,)
        Whether the likelihood rises beyond ±0.9999: the correlation is given as ±1.
    """

    correlation: Floats
    n: npt.NDArray[np.int64]
    at_limit: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PolyserialFit:
    """Thresholds and correlation of an item and a variable, estimated together.

    Attributes
    ----------
    correlation, std_error : float
        Estimate, and its standard error from the expected information.
    thresholds : ndarray
        Where the variable behind the answers is cut.
    n : int
        Respondents who have both.
    """

    correlation: float
    std_error: float
    thresholds: Floats
    n: int


def polyserial(answers: npt.ArrayLike, values: npt.ArrayLike) -> Polyserial:
    r"""Return the polyserial correlation of each item with a variable, in two steps.

    Parameters
    ----------
    answers : array_like of shape (n, k)
        Ordered answers; NaN is a missing one.
    values : array_like of shape (n,)
        The measured variable; NaN is a missing value.

    Returns
    -------
    Polyserial

    Raises
    ------
    MethodError
        If the shapes do not agree, something is infinite, or, among those who have both,
        an item has fewer than two answers or the variable does not vary.

    Notes
    -----
    The variable, standardised to z, and the one behind the answers are taken to be
    bivariate normal; z has a standard deviation of 1 with divisor n. Thresholds
    :math:`\tau_a` follow from the margins; then :math:`\rho` maximises the likelihood of
    the answers given the values, with

    .. math::

        P(a \mid z) = \Phi\left(\frac{\tau_a - \rho z}{\sqrt{1 - \rho^2}}\right)
        - \Phi\left(\frac{\tau_{a-1} - \rho z}{\sqrt{1 - \rho^2}}\right)

    [1]_, where its slope is 0.

    References
    ----------
    .. [1] Olsson, U., Drasgow, F., and Dorans, N. J. (1982). The polyserial correlation
       coefficient. *Psychometrika*, 47, 337-347.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> hidden, value = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 4000).T
    >>> polyserial(np.digitize(hidden, [-1, 0.5])[:, None], value).correlation.round(2)
    array([0.6])
    """
    table, measured = _read(answers, values)
    limit = float(np.arcsin(_LIMIT))
    found, sizes, ended = [], [], []
    for place, z, counts in _pairs(table, measured):
        cuts = bounded(thresholds_of(counts))
        ends = np.concatenate([[-np.inf], cuts, [np.inf]])
        lower, upper = ends[place], ends[place + 1]

        def slope(
            angle: float, lower: Floats = lower, upper: Floats = upper, z: Floats = z
        ) -> float:
            return _slope(angle, lower, upper, z)

        down, up = slope(-limit), slope(limit)
        if down <= 0 or up >= 0:
            found.append(-1.0 if down <= 0 else 1.0)
        else:
            found.append(float(np.sin(optimize.brentq(slope, -limit, limit, xtol=1e-14))))
        ended.append(down <= 0 or up >= 0)
        sizes.append(len(z))
    return Polyserial(np.array(found), np.array(sizes, dtype=np.int64), np.array(ended, dtype=bool))


def _read(answers: npt.ArrayLike, values: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Return both as arrays of the same respondents."""
    table, measured = np.asarray(answers, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or measured.shape != table.shape[:1]:
        raise MethodError(
            "answers must have shape (n, k) and values (n,), got "
            f"{table.shape} and {measured.shape}."
        )
    endless = int(np.isinf(table).sum()), int(np.isinf(measured).sum())
    if any(endless):
        raise MethodError(f"{endless[0]} answers and {endless[1]} values are infinite.")
    return table, measured


def _pairs(table: Floats, measured: Floats) -> list[tuple[Places, Floats, Floats]]:
    """Return, of each item, the number of each answer, the standardised values, and counts."""
    problems = Problems("the items")
    found = []
    for item, column in enumerate(table.T):
        both = ~(np.isnan(column) | np.isnan(measured))
        kinds, place, counts = np.unique(column[both], return_inverse=True, return_counts=True)
        spread = measured[both].std() if both.any() else 0.0
        if len(kinds) < 2:
            problems.add(f"item {item + 1} has fewer than two different answers. Leave it out.")
        elif not spread > 0:
            problems.add(f"the variable does not vary among those who answered item {item + 1}.")
        else:
            z = (measured[both] - measured[both].mean()) / spread
            found.append((place, z, counts.astype(np.float64)))
    problems.raise_any(MethodError)
    return found


def _between(lower: Floats, upper: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the log chance between two limits, and the densities at both over that chance."""
    turned = lower > 0  # in the upper tail, chances are small differences of numbers near 1
    low, high = np.where(turned, -upper, lower), np.where(turned, -lower, upper)
    top, bottom = special.log_ndtr(high), special.log_ndtr(low)
    chance = top + np.log1p(-np.exp(bottom - top))
    half = 0.5 * np.log(2 * np.pi)
    at_lower = np.exp(-np.square(lower) / 2 - half - chance)
    at_upper = np.exp(-np.square(upper) / 2 - half - chance)
    return np.asarray(chance), np.asarray(at_lower), np.asarray(at_upper)


def _slope(angle: float, lower: Floats, upper: Floats, z: Floats) -> float:
    """Return the slope of the log-likelihood by the angle whose sine is the correlation."""
    rho, scale = np.sin(angle), np.cos(angle)
    _, at_lower, at_upper = _between((lower - rho * z) / scale, (upper - rho * z) / scale)
    pull = np.zeros(len(z))
    for density, cut, sign in ((at_upper, upper, 1.0), (at_lower, lower, -1.0)):
        real = np.isfinite(cut)
        pull[real] += sign * density[real] * (rho * cut[real] - z[real])
    return float(pull.sum() / scale**2)


def fit_polyserial(answers: npt.ArrayLike, values: npt.ArrayLike) -> PolyserialFit:
    r"""Fit thresholds and polyserial correlation of one item by full maximum likelihood.

    Parameters
    ----------
    answers : array_like of shape (n,)
        Ordered answers of independent respondents; NaN is a missing one.
    values : array_like of shape (n,)
        The measured variable; NaN is a missing value.

    Returns
    -------
    PolyserialFit

    Raises
    ------
    MethodError
        As `polyserial`; or if the values separate the answers, so that there is no
        maximum.

    Notes
    -----
    The joint likelihood factorises into that of the values, a normal sample, and that of
    the answers given them, an ordered probit model with free cuts :math:`\kappa_a` and
    slope :math:`\beta` on the values standardised with divisor n. So
    :math:`\rho = \beta/\sqrt{1 + \beta^2}` and
    :math:`\tau_a = \kappa_a/\sqrt{1 + \beta^2}` [1]_; the model is fitted by Newton steps,
    and the standard error allows for the estimated spread of the values.

    References
    ----------
    .. [1] Olsson, U., Drasgow, F., and Dorans, N. J. (1982). The polyserial correlation
       coefficient. *Psychometrika*, 47, 337-347.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> hidden, value = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 4000).T
    >>> fit = fit_polyserial(np.digitize(hidden, [-1, 0.5]), value)
    >>> round(fit.correlation, 2), round(fit.std_error, 3)
    (0.6, 0.012)
    """
    table, measured = _read(np.asarray(answers, dtype=np.float64).reshape(-1, 1), values)
    ((place, z, counts),) = _pairs(table, measured)
    here = np.append(thresholds_of(counts), 0.0)
    level, score, information = _probit(here, place, z)
    for _ in range(_MOST):
        step = np.linalg.solve(information, score)
        for _ in range(40):
            there = here + step
            found = _probit(there, place, z)
            if found[0] >= level - 1e-12 * abs(level):
                break
            step /= 2
        here, (level, score, information) = there, found
        size = float(np.abs(step).max())
        if size < 1e-10 or abs(here[-1]) > 1 / np.sqrt(1 - _LIMIT**2):
            break
    if not (size < 1e-10 and abs(here[-1]) < 1 / np.sqrt(1 - _LIMIT**2)):
        raise MethodError("the values separate the answers: the likelihood rises to ±1.")
    slope = here[-1]
    wide = np.sqrt(1 + slope**2)
    variance = np.linalg.inv(information)[-1, -1] + slope**2 / (2 * len(z))
    return PolyserialFit(
        correlation=float(slope / wide),
        std_error=float(np.sqrt(variance) / wide**3),
        thresholds=here[:-1] / wide,
        n=len(z),
    )


def _probit(at: Floats, place: Places, z: Floats) -> tuple[float, Floats, Floats]:
    """Return log-likelihood, slopes and expected information in cuts and slope."""
    cuts, slope = at[:-1], at[-1]
    if not (np.diff(cuts) > 0).all():
        return -np.inf, at, np.eye(len(at))
    limits = np.concatenate([[-np.inf], cuts, [np.inf]]) - slope * z[:, None]
    level = _between(limits[np.arange(len(z)), place], limits[np.arange(len(z)), place + 1])[0]
    chance, at_lower, at_upper = _between(limits[:, :-1], limits[:, 1:])
    answers = len(cuts) + 1
    pulls = np.zeros((len(z), answers, len(at)))  # derivatives of the log chance of each answer
    for cut in range(len(cuts)):
        pulls[:, cut, cut] = at_upper[:, cut]
        pulls[:, cut + 1, cut] = -at_lower[:, cut + 1]
    pulls[:, :, -1] = -z[:, None] * (at_upper - at_lower)
    score = pulls[np.arange(len(z)), place].sum(axis=0)
    information = np.einsum("na,nai,naj->ij", np.exp(chance), pulls, pulls, optimize=True)
    return float(level.sum()), score, information
