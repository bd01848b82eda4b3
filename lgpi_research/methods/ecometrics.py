"""Ecometrics: how reliably items answered by persons measure the places they live in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import MethodError, Problems, SpecError, listing
from lgpi_research.methods.absorb import compact
from lgpi_research.methods.mixed import MixedFit, RandomTerm, fit_mixed

__all__ = ["Ecometrics", "ecometrics", "planned_reliability"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ecometrics:
    """Items within persons within places.

    Attributes
    ----------
    places : ndarray of shape (n_places,)
        Labels of the places where anybody answered, sorted.
    place_variance, person_variance, item_variance : float
        Variances of places, of persons within a place, and of answers within a person, in
        squared units of the answers.
    shares : ndarray of shape (3,)
        The three as shares of their sum, places first: intraclass correlations.
    mean : float
        Mean over items of the average answer, at average covariates.
    item_effects, item_errors : ndarray of shape (k,)
        How much higher an item is answered than the mean of all, and its standard error. They
        sum to 0; a severe item has a low one.
    covariate_effects, covariate_errors : ndarray of shape (c,)
        Slopes of the covariates and their standard errors.
    score : ndarray of shape (n_places,)
        Generalised least squares mean of each place, adjusted for the items that were
        answered and for covariates.
    score_error : ndarray of shape (n_places,)
        Its standard error, item and covariate effects taken as known.
    predicted : ndarray of shape (n_places,)
        The score drawn towards `mean` by its reliability: the best guess for the place, but
        unfit as the outcome of a regression, which it biases towards 0.
    place_reliability : ndarray of shape (n_places,)
        Of each place's score.
    place_mean : float
        Mean of `place_reliability`.
    place_squared_correlation : float
        Squared correlation of scores with true values, from the mean squared error.
    person_reliability : ndarray of shape (n_persons,)
        Of each person's mean answer as a measure of the person within a place; 0 for a person
        without answers.
    person_mean : float
        Its mean over persons with answers.
    n_persons, n_answers : ndarray of int of shape (n_places,)
        Persons who answered, and their answers.
    n_dropped : int
        Persons set aside because they answered nothing.
    fit : MixedFit
        Term 0 is the place, term 1 the person; the first k fixed effects are the items.
    """

    places: npt.NDArray[Any]
    place_variance: float
    person_variance: float
    item_variance: float
    shares: Floats
    mean: float
    item_effects: Floats
    item_errors: Floats
    covariate_effects: Floats
    covariate_errors: Floats
    score: Floats
    score_error: Floats
    predicted: Floats
    place_reliability: Floats
    place_mean: float
    place_squared_correlation: float
    person_reliability: Floats
    person_mean: float
    n_persons: Ints
    n_answers: Ints
    n_dropped: int
    fit: MixedFit


def ecometrics(
    answers: npt.ArrayLike,
    place: npt.ArrayLike,
    *,
    covariates: npt.ArrayLike | None = None,
    reml: bool = True,
) -> Ecometrics:
    r"""Measure places by the answers of persons to several items.

    Parameters
    ----------
    answers : array_like of shape (n_persons, k)
        All items scored in the same direction, in the same units; NaN is no answer. Whoever
        answered at least one item counts.
    place : array_like of shape (n_persons,)
        Place of each person.
    covariates : array_like of shape (n_persons, c), optional
        Characteristics of persons, whose composition is not to count as a difference between
        places. Centred here, so that scores are those at average covariates of the answers.
    reml : bool, default True
        Whether variances are estimated by restricted maximum likelihood.

    Returns
    -------
    Ecometrics

    Raises
    ------
    MethodError
        If there are fewer than two items or places, an item without answers, a missing place
        or covariate, nobody with two answers, one person in every place, or no maximum of the
        likelihood.

    Notes
    -----
    Answer i of person j in place k [1]_:

    .. math::

        y_{ijk} = \alpha_i + x_{jk}'\beta + u_k + v_{jk} + e_{ijk}, \quad
        u \sim N(0, \tau^2),\; v \sim N(0, \sigma_p^2),\; e \sim N(0, \sigma_e^2).

    With :math:`m_{jk}` answers of person j, the error variance of a place's score and its
    reliability are

    .. math::

        v_k = \Bigl\{\sum_j (\sigma_p^2 + \sigma_e^2/m_{jk})^{-1}\Bigr\}^{-1}, \quad
        \lambda_k = \frac{\tau^2}{\tau^2 + v_k},

    which for J persons who all answer m items is
    :math:`\tau^2/(\tau^2 + \sigma_p^2/J + \sigma_e^2/(Jm))`. Within a place a person's mean has
    reliability :math:`\sigma_p^2/(\sigma_p^2 + \sigma_e^2/m_{jk})`.

    Assumed are: items that are exchangeable apart from their level :math:`\alpha_i`, that is,
    of equal error variance and equally related to the trait, whose errors are independent
    within a person; persons drawn at random within places, without weights; answers missing
    at random given those present; and normality for the standard errors and the likelihood.
    Items that measure unequally well are for a factor model. Variances are taken as known in
    errors and reliabilities.

    References
    ----------
    .. [1] Raudenbush, S. W., and Sampson, R. J. (1999). Ecometrics: toward a science of
       assessing ecological settings, with application to the systematic social observation of
       neighborhoods. *Sociological Methodology*, 29, 1-41.

    Examples
    --------
    Three places, two persons each, two items; one answer is missing:

    >>> answers = [[3, 4], [2, 4], [6, 7], [5, np.nan], [1, 1], [2, 3]]
    >>> found = ecometrics(answers, ["a", "a", "b", "b", "c", "c"])
    >>> found.n_answers.tolist(), round(float(found.item_effects.sum()), 12) + 0.0
    ([4, 3, 4], 0.0)
    >>> bool(found.place_reliability[1] < found.place_reliability[0])
    True
    """
    table, extra = _check(answers, place, covariates)
    given = ~np.isnan(table)
    persons, items = np.nonzero(given)
    code, size = compact(np.asarray(place)[given.any(axis=1)])
    home = np.full(len(table), -1)
    home[given.any(axis=1)] = code
    y, at = table[persons, items], home[persons]
    k = table.shape[1]
    centred = extra[persons] - extra[persons].mean(axis=0)
    X = np.column_stack([items[:, None] == np.arange(k), centred]).astype(np.float64)
    names = [f"item {i + 1}" for i in range(k)]
    names += [f"covariate {i + 1}" for i in range(extra.shape[1])]
    fit = fit_mixed(
        y,
        X,
        [RandomTerm(at, name="place"), RandomTerm(persons, name="person")],
        reml=reml,
        names=names,
    )
    tau, between = (float(cov[0, 0]) for cov in fit.covariances)
    within = fit.residual_variance

    counts = given.sum(axis=1)
    left = np.bincount(persons, y - X @ fit.coef, len(table)) / np.maximum(counts, 1)
    weight = np.where(counts > 0, 1 / (between + within / np.maximum(counts, 1)), 0.0)
    seen = counts > 0
    total = np.bincount(code, weight[seen], size)
    gap = np.bincount(code, (weight * left)[seen], size) / total
    reliability = tau / (tau + 1 / total)
    person = np.where(seen, between * weight, 0.0)
    mean = float(fit.coef[:k].mean())
    centre = np.eye(k) - 1 / k
    return Ecometrics(
        places=np.unique(np.asarray(place)[seen]),
        place_variance=tau,
        person_variance=between,
        item_variance=within,
        shares=np.array([tau, between, within]) / (tau + between + within),
        mean=mean,
        item_effects=centre @ fit.coef[:k],
        item_errors=np.sqrt(np.diag(centre @ fit.cov[:k, :k] @ centre)),
        covariate_effects=fit.coef[k:],
        covariate_errors=fit.std_error[k:],
        score=mean + gap,
        score_error=1 / np.sqrt(total),
        predicted=mean + reliability * gap,
        place_reliability=reliability,
        place_mean=float(reliability.mean()),
        place_squared_correlation=tau / (tau + float((1 / total).mean())),
        person_reliability=person,
        person_mean=float(person[seen].mean()),
        n_persons=np.bincount(code, minlength=size).astype(np.int64),
        n_answers=np.bincount(at, minlength=size).astype(np.int64),
        n_dropped=int((~seen).sum()),
        fit=fit,
    )


def _check(
    answers: npt.ArrayLike, place: npt.ArrayLike, covariates: npt.ArrayLike | None
) -> tuple[Floats, Floats]:
    """Return answers and covariates as tables, or say all that is wrong."""
    table = np.asarray(answers, dtype=np.float64)
    if table.ndim != 2 or np.asarray(place).shape != table.shape[:1]:
        raise MethodError(
            "answers must have shape (n_persons, k) and place (n_persons,), got "
            f"{table.shape} and {np.asarray(place).shape}."
        )
    n, k = table.shape
    extra = np.empty((n, 0)) if covariates is None else np.asarray(covariates, dtype=np.float64)
    extra = extra[:, None] if extra.ndim == 1 else extra
    if len(extra) != n:
        raise MethodError(f"covariates must have a row for each of {n} persons, got {extra.shape}.")
    if extra.ndim != 2:
        raise MethodError(f"covariates must have shape (n_persons, c), got {extra.shape}.")
    given = ~np.isnan(table)
    counts = given.sum(axis=1)
    problems = Problems("the answers")
    if k < 2:
        problems.add(f"there is {k} item; persons and errors need at least 2 to be told apart.")
    empty = np.flatnonzero(~given.any(axis=0)) + 1
    if empty.size:
        problems.add(f"nobody answered item {listing(empty)}; leave it out.")
    if np.isinf(table).any():
        problems.add(f"{int(np.isinf(table).sum())} answers are infinite.")
    if k > 1 and not (counts > 1).any():
        problems.add(
            "nobody answered two items, so persons cannot be told apart from errors. Use the "
            "reliability of places from one answer each."
        )
    unknown = ~np.isfinite(extra).all(axis=1) & (counts > 0)
    if unknown.any():
        problems.add(
            f"{int(unknown.sum())} of {n} persons lack a covariate (first at row "
            f"{np.flatnonzero(unknown)[0] + 1}); leave them out or fill the covariate in."
        )
    try:
        homes, size = compact(np.asarray(place)[counts > 0]) if counts.any() else (counts[:0], 0)
    except MethodError as error:
        problems.add(f"places: {error}")
        problems.raise_any(MethodError)
    if size < 2:
        problems.add(f"{size} place has answers; differences between places need at least 2.")
    elif len(homes) == size:
        problems.add("each place has one person, so places cannot be told apart from persons.")
    problems.raise_any(MethodError)
    return table, extra


def planned_reliability(
    found: Ecometrics, n_persons: npt.ArrayLike, n_items: npt.ArrayLike
) -> Floats:
    r"""Return the reliability of a place's score for a number of persons and items.

    Parameters
    ----------
    found : Ecometrics
        Whose variances are taken.
    n_persons, n_items : array_like
        Persons per place, and items that each answers; they broadcast.

    Returns
    -------
    ndarray
        Of the shape that the two numbers have together.

    Raises
    ------
    SpecError
        If a number is below 1.

    Notes
    -----
    :math:`\tau^2/(\tau^2 + \sigma_p^2/J + \sigma_e^2/(Jm))` for J persons and m items, as in
    `ecometrics`.

    Examples
    --------
    >>> answers = [[3, 4], [2, 4], [6, 7], [5, 6], [1, 1], [2, 3]]
    >>> found = ecometrics(answers, ["a", "a", "b", "b", "c", "c"])
    >>> bool(np.isclose(planned_reliability(found, 2, 2), found.place_reliability[0]))
    True
    """
    j, m = np.asarray(n_persons, dtype=np.float64), np.asarray(n_items, dtype=np.float64)
    if not ((j >= 1).all() and (m >= 1).all()):
        raise SpecError("the numbers of persons and items must be at least 1.")
    error = found.person_variance / j + found.item_variance / (j * m)
    return np.asarray(found.place_variance / (found.place_variance + error))
