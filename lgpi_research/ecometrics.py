"""Ecometrics: places measured by the answers of their people, item error and person apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research import plots
from lgpi_research.columns import to_numeric
from lgpi_research.errors import DataError, MethodError, Problems, SpecError, listing, nearest
from lgpi_research.methods.ecometrics import Ecometrics, ecometrics
from lgpi_research.methods.mixed_profile import variance_interval
from lgpi_research.results import Result, provenance
from lgpi_research.survey import Survey

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["EcometricScores", "assess_ecometrics"]

Floats = npt.NDArray[np.float64]

LEVELS = ("place", "person", "answer")
"""Where answers differ, from the outside in."""

_TIED = 1e-6  # share of the whole below which a variance counts as none


@dataclass(frozen=True, eq=False, repr=False)
class EcometricScores(Result, kind="ecometrics"):
    """Scores of places by a model of items within persons within places.

    ``frame`` has one row a place: ``unit``, ``score`` and its ``std_error`` in the units of
    the answers, ``reliability``, ``predicted`` (drawn towards the mean: for reporting, unfit
    for a regression), ``n_used`` (persons) and ``n_answers``. ``details`` has the variances of
    places, persons and answers with intervals and shares, both summaries of reliability, that
    of persons, and the items.
    """

    def headline(self) -> str:
        """Return the reliability of places and where answers differ, in a sentence."""
        told = self.details
        share = {level: 100 * part["share"] for level, part in told["variances"].items()}
        return (
            f"{told['dimension']}: scores of {len(self.frame):,} places have a reliability of "
            f"{told['squared_correlation']:.2f} (squared correlation with the truth); of the "
            f"variance of one answer {share['place']:.0f} % lies between places, "
            f"{share['person']:.0f} % between persons of a place, and {share['answer']:.0f} % "
            "between answers of a person."
        )

    def summary(self) -> pd.DataFrame:
        """Return the variances of places, persons and answers, with intervals and shares."""
        rows = [{"level": level, **part} for level, part in self.details["variances"].items()]
        return pd.DataFrame(rows)

    def items(self) -> pd.DataFrame:
        """Return how much higher each item is answered than all on average, with its error."""
        return pd.DataFrame(self.details["items"])

    def methods_text(self) -> str:
        """Return what was estimated and how, with citation keys."""
        adjusted = self.details["covariates"]
        given = f", adjusted for {listing(adjusted, 10)}" if adjusted else ""
        return (
            "Places were measured by a three-level model of items within persons within places"
            f"{given} [@RaudenbushSampson1999], with variances by restricted maximum likelihood. "
            "Intervals of standard deviations are those of the profile likelihood."
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the reliability of each place against its persons, and return the axes."""
        ax = plots.new_axes(ax)
        plots.scatter(
            ax, self.frame["n_used"].to_numpy(float), self.frame["reliability"].to_numpy()
        )
        plots.threshold(ax, 0.7)
        ax.set_ylim(0, 1.02)
        ax.set_xlim(left=0)
        title = f"Places: {self.details['dimension']}"
        return plots.describe(ax, title, "persons in the place", "reliability of its score")


def assess_ecometrics(
    survey: Survey,
    dimension: str | None = None,
    *,
    covariates: Sequence[str] = (),
    level: float = 0.95,
) -> EcometricScores:
    """Measure places by items within persons within places.

    Parameters
    ----------
    survey : Survey
        Its design names the places. Items of the direction "negative" are turned round within
        their scale; by their sign alone, which moves scores, where the codebook has no scale.
    dimension : str, optional
        Dimension of two items or more; not needed if there is one.
    covariates : sequence of str
        Numeric columns of persons whose composition is not to count as a difference between
        places (age, years of schooling).
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    EcometricScores

    Raises
    ------
    SpecError
        If the design names no places, the dimension is unknown, has one item or items of
        several scales, or the level is not valid.
    DataError
        If a covariate is missing or not numeric.
    MethodError
        If the model has no answer: one place, one person in every place, or no maximum.

    Notes
    -----
    The model, its assumptions and formulas are those of
    `lgpi_research.methods.ecometrics.ecometrics`. Answers are not weighted and persons count
    as drawn at random within places, without clusters: where they were drawn in clusters, the
    reliability is too high, and that of
    `lgpi_research.reliability.assess_reliability`, whose errors are those of the design, is
    the one for an index. What this model adds is the part of items: persons who answered few
    of them count for less, nobody is set aside for a missing answer, and it tells whether more
    items or more persons would help.

    Examples
    --------
    >>> from lgpi_research.simulate import simulate_survey
    >>> survey = simulate_survey(n_places=30, place_share=0.3, seed=0).survey
    >>> found = assess_ecometrics(survey)
    >>> found.summary()["level"].tolist()
    ['place', 'person', 'answer']
    """
    if survey.design.place is None:
        raise SpecError(
            "the design names no places: make it with SurveyDesign(…, place='<column>')."
        )
    if not 0 < level < 1:
        raise SpecError(f"level must lie between 0 and 1, got {level!r}.")
    name, items = _dimension(survey, dimension)
    answers = _answers(survey, name, items)
    extra = _covariates(survey, covariates)
    found = ecometrics(answers, survey.roles["place"].astype("str").to_numpy(), covariates=extra)
    frame = pd.DataFrame(
        {
            "unit": found.places,
            "score": found.score,
            "std_error": found.score_error,
            "reliability": found.place_reliability,
            "predicted": found.predicted,
            "n_used": found.n_persons,
            "n_answers": found.n_answers,
        }
    )
    variances, lacking = _variances(found, level)
    told: dict[str, Any] = {
        "dimension": name,
        "covariates": list(covariates),
        "level": level,
        "variances": variances,
        "mean_reliability": found.place_mean,
        "squared_correlation": found.place_squared_correlation,
        "person_reliability": found.person_mean,
        "mean": found.mean,
        "items": [
            {"indicator": item, "effect": float(effect), "std_error": float(error)}
            for item, effect, error in zip(
                items, found.item_effects, found.item_errors, strict=True
            )
        ],
        "covariate_effects": [
            {"covariate": column, "effect": float(effect), "std_error": float(error)}
            for column, effect, error in zip(
                covariates, found.covariate_effects, found.covariate_errors, strict=True
            )
        ],
    }
    specification = {key: told[key] for key in ("dimension", "covariates", "level")}
    return EcometricScores(
        frame,
        provenance(specification=specification, data={"survey": survey.digest}),
        (*survey.notes, *_notes(survey, found, name), *lacking),
        details=told,
    )


def _dimension(survey: Survey, dimension: str | None) -> tuple[str, tuple[str, ...]]:
    """Return a dimension of two items or more, by name or the only one."""
    known = {name: items for name, items in survey.codebook.dimensions.items() if len(items) > 1}
    if not known:
        raise SpecError("no dimension of the codebook has two items, which the model needs.")
    name = next(iter(known)) if dimension is None and len(known) == 1 else dimension
    if name is None or name not in known:
        hint = nearest(str(name), known) if name else ""
        raise SpecError(f"name a dimension of two items or more: {listing(known, 20)}.{hint}")
    return name, known[name]


def _answers(survey: Survey, dimension: str, items: tuple[str, ...]) -> Floats:
    """Return the answers to items of one scale, all in one direction."""
    scales = {survey.codebook[item].scale for item in items} - {None}
    if len(scales) > 1:
        shown = listing(f"{low:g} to {high:g}" for low, high in sorted(filter(None, scales)))
        raise SpecError(
            f"{dimension}: its items have {len(scales)} scales ({shown}), so their differences "
            "would count as variance. Give items of one scale a dimension of their own."
        )
    values = survey.values[list(items)].to_numpy(dtype=float)
    signs = np.array([survey.codebook[item].sign for item in items])
    ends = np.array([sum(survey.codebook[item].scale or (0.0,)) for item in items])
    return np.asarray(values * signs + np.where(signs < 0, ends, 0.0))


def _covariates(survey: Survey, covariates: Sequence[str]) -> Floats | None:
    """Return columns of persons as numbers."""
    columns = [str(name) for name in survey.frame.columns]
    problems = Problems("the covariates")
    for name in covariates:
        if name not in columns:
            problems.add(f"{name}: there is no such column.{nearest(name, columns)}")
    problems.raise_any(DataError)
    if not covariates:
        return None
    return to_numeric(survey.frame, list(covariates), survey.where).to_numpy(dtype=float)


def _variances(found: Ecometrics, level: float) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Return variances with profile intervals, their shares, and notes on what has none."""
    sizes = (found.place_variance, found.person_variance, found.item_variance)
    terms: tuple[int | None, ...] = (0, 1, None)
    made: dict[str, dict[str, float]] = {}
    lacking: list[str] = []
    for name, variance, share, term in zip(LEVELS, sizes, found.shares, terms, strict=True):
        try:
            low, high = variance_interval(found.fit, term, level=level)
        except MethodError as error:
            low = high = math.nan
            lacking.append(f"the variance of {name}s has no interval: {error}")
        made[name] = {
            "variance": variance,
            "ci_low": low**2,
            "ci_high": high**2,
            "share": float(share),
        }
    return made, lacking


def _notes(survey: Survey, found: Ecometrics, name: str) -> list[str]:
    """Return what a reader must know."""
    notes = []
    if found.n_dropped:
        notes.append(f"{name}: {found.n_dropped} persons set aside because they answered nothing.")
    if found.place_variance <= _TIED * (found.person_variance + found.item_variance):
        notes.append(
            f"{name}: places do not differ by more than their people do; the reliability is 0."
        )
    clusters = survey.roles.groupby("psu").size()
    if clusters.max() > 1:
        notes.append(
            "Persons count as drawn at random within places; they were drawn in clusters, so the "
            "reliability is too high. assess_reliability has that of the design."
        )
    if "weight" in survey.roles and survey.roles["weight"].nunique() > 1:
        notes.append("Answers are not weighted in this model.")
    return notes
