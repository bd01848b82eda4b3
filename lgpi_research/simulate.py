"""Simulated surveys with known truth, for tests, teaching and planning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.errors import Problems, SpecError
from lgpi_research.methods.consistency import Spread, alpha
from lgpi_research.methods.onefactor import omega
from lgpi_research.streams import root_seed, stream
from lgpi_research.survey import Survey, SurveyDesign

__all__ = ["SimulatedSurvey", "simulate_survey"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SimulatedSurvey:
    """A survey whose truth is known.

    Attributes
    ----------
    survey : Survey
        Items "q1", "q2", …; columns "place", "psu", "stratum" and "weight".
    alpha, omega : float
        Of the population that the answers are drawn from; omega is NaN for two items.
    covariance : ndarray of shape (k, k)
        Of the items in that population.
    place_means : DataFrame of shape (n_places, k)
        True mean of each item in each place.
    seed : int
        The seed used.
    """

    survey: Survey
    alpha: float
    omega: float
    covariance: Floats
    place_means: pd.DataFrame
    seed: int


def simulate_survey(
    n_places: int = 20,
    psus_per_place: int = 4,
    persons_per_psu: int | tuple[int, int] = 15,
    n_items: int = 5,
    *,
    loadings: float | Sequence[float] = 0.7,
    points: int | None = 5,
    place_share: float = 0.05,
    psu_share: float = 0.05,
    n_strata: int = 1,
    unequal_weights: bool = False,
    missing: float = 0.0,
    seed: int | None = None,
) -> SimulatedSurvey:
    r"""Simulate answers to one scale in a clustered survey of places.

    Parameters
    ----------
    n_places : int, default 20
        Number of places, in turn of the strata.
    psus_per_place : int, default 4
        Clusters drawn in each place.
    persons_per_psu : int or (int, int), default 15
        Respondents in each cluster, or the smallest and largest number of them.
    n_items : int, default 5
        Number of items.
    loadings : float or sequence of float, default 0.7
        Correlation of each item with the trait, before it is cut into points.
    points : int or None, default 5
        Points of the answer scale, 1 to `points`; None keeps answers continuous.
    place_share, psu_share : float, default 0.05
        Shares of the trait's variance between places, and between clusters of a place.
    n_strata : int, default 1
        Number of strata.
    unequal_weights : bool, default False
        Whether weights vary (log-normal, standard deviation 0.5 of the logarithm),
        unrelated to the answers.
    missing : float, default 0.0
        Share of answers that are missing, at random.
    seed : int or None
        Seed; a fresh one is drawn and recorded if None.

    Returns
    -------
    SimulatedSurvey

    Raises
    ------
    SpecError
        With every argument that is not valid.

    Notes
    -----
    A person's trait is the sum of independent normal effects of place, cluster and
    person, with variance 1 in all; an item is
    :math:`\lambda_i \cdot \text{trait} + \sqrt{1-\lambda_i^2}\, e`, cut at equally
    spaced thresholds from -1.5 to 1.5 if it has points. The covariance of two cut items
    is the sum over their thresholds h, k of
    :math:`\Phi_2(h, k; \rho) - \Phi(h)\Phi(k)`, integrated by Gauss and Legendre's rule.

    Examples
    --------
    >>> found = simulate_survey(n_places=3, n_items=4, points=None, seed=0)
    >>> found.survey
    Survey of 180 respondents in 12 PSUs, 1 stratum, 3 places, 4 items
    >>> round(found.alpha, 6)  # k r / (1 + (k - 1) r) with r = 0.49
    0.793522
    """
    size = persons_per_psu if isinstance(persons_per_psu, tuple) else (persons_per_psu,) * 2
    load = np.atleast_1d(np.asarray(loadings, dtype=np.float64))
    _check(
        {
            "n_places": (n_places, 1),
            "psus_per_place": (psus_per_place, 1),
            "persons_per_psu": (size[0], 1),
            "n_items": (n_items, 2),
            "points": (2 if points is None else points, 2),
            "n_strata": (n_strata, 1),
        },
        {"place_share": place_share, "psu_share": psu_share, "missing": missing},
        load,
        size,
    )
    load = np.broadcast_to(load, (n_items,))
    root = root_seed(seed)
    rng = stream(root, "simulate", 0)
    n_psu = n_places * psus_per_place
    of_psu = np.repeat(np.arange(n_psu), rng.integers(size[0], size[1] + 1, size=n_psu))
    place = of_psu // psus_per_place
    effects = np.sqrt(place_share) * rng.standard_normal(n_places)
    shared = effects[place] + np.sqrt(psu_share) * rng.standard_normal(n_psu)[of_psu]
    own = np.sqrt(1 - place_share - psu_share)
    trait = shared + own * rng.standard_normal(len(of_psu))
    noise = rng.standard_normal((len(of_psu), n_items))
    answers = trait[:, None] * load + noise * np.sqrt(1 - load**2)
    weights = np.exp(0.5 * rng.standard_normal(len(of_psu))) if unequal_weights else 1.0
    lost = rng.random(answers.shape) < missing
    expected = np.outer(effects, load)
    if points is None:
        covariance = np.outer(load, load) + np.diag(1 - load**2)
    else:
        cuts = np.linspace(-1.5, 1.5, points - 1)
        answers = 1.0 + np.searchsorted(cuts, answers)
        spread = np.sqrt(1 - place_share * load**2)
        above = special.ndtr((expected[:, :, None] - cuts) / spread[:, None])
        expected = 1.0 + above.sum(axis=2)
        covariance = _cut_covariance(load, cuts)
    answers[lost] = np.nan
    items = [f"q{i + 1}" for i in range(n_items)]
    places = [f"place {i + 1:0{len(str(n_places))}}" for i in range(n_places)]
    frame = pd.DataFrame(answers, columns=items).assign(
        place=np.array(places)[place],
        psu=[f"psu {i + 1:0{len(str(n_psu))}}" for i in of_psu],
        stratum=[f"stratum {i + 1}" for i in place % n_strata],
        weight=weights,
    )
    scale = None if points is None else (1.0, float(points))
    book = Codebook(
        tuple(Indicator(q, dimension="scale", scale=scale, measurement="reflective") for q in items)
    )
    design = SurveyDesign(psu="psu", stratum="stratum", weight="weight", place="place")
    whole = Spread.from_covariance(covariance)
    return SimulatedSurvey(
        survey=Survey(frame, book, design),
        alpha=float(alpha(whole)),
        omega=float(omega(whole)) if n_items > 2 else float("nan"),
        covariance=covariance,
        place_means=pd.DataFrame(expected, pd.Index(places, name="place"), items),
        seed=root,
    )


def _check(
    counts: dict[str, tuple[object, int]],
    shares: dict[str, float],
    loadings: Floats,
    size: tuple[int, int],
) -> None:
    problems = Problems("the simulated survey")
    for name, (value, least) in counts.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            problems.add(f"{name}: must be a whole number >= {least}, got {value!r}.")
    if size[1] < size[0]:
        problems.add(f"persons_per_psu: the smaller number first, got {size}.")
    for name, share in shares.items():
        if not 0 <= share < 1:
            problems.add(f"{name}: must lie in [0, 1), got {share!r}.")
    if shares["place_share"] + shares["psu_share"] >= 1:
        problems.add("place_share and psu_share: must leave a part to persons, together below 1.")
    if len(loadings) not in (1, counts["n_items"][0]) or not (np.abs(loadings) < 1).all():
        problems.add("loadings: needs one number, or one for each item, between -1 and 1.")
    problems.raise_any(SpecError)


def _cut_covariance(loadings: Floats, cuts: Floats) -> Floats:
    """Return the covariances of standard normal items that are cut at the same thresholds."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    first, second = np.meshgrid(cuts, cuts)
    rho = np.outer(loadings, loadings)
    half = np.arcsin(rho)[..., None] / 2
    angle = (half * (nodes + 1))[..., None, None]
    height = first**2 - 2 * first * second * np.sin(angle) + second**2
    density = np.exp(-height / (2 * np.cos(angle) ** 2)).sum(axis=(-2, -1)) / (2 * np.pi)
    covariance = half[..., 0] * (density * weights).sum(axis=-1)
    above = special.ndtr(-np.maximum(first, second))
    variance = (above - special.ndtr(-first) * special.ndtr(-second)).sum()
    np.fill_diagonal(covariance, variance)
    return np.asarray(covariance)
