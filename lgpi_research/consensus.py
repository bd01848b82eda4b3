"""Consensus: whether respondents of one place see it alike, so that its mean stands for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from lgpi_research import plots
from lgpi_research.errors import DataError, MethodError, Problems, SpecError
from lgpi_research.methods.groups import OneWay, average_deviation, one_way, r_wg, uniform_variance
from lgpi_research.results import Result, provenance
from lgpi_research.survey import Survey

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Consensus", "assess_consensus"]

Floats = npt.NDArray[np.float64]

AGREED = 0.7
"""Within-group agreement that is commonly called enough."""


@dataclass(frozen=True, eq=False, repr=False)
class Consensus(Result, kind="consensus"):
    """Agreement of respondents within places, and how well places can be told apart.

    ``frame`` has one row for each item, and one for each dimension of two items or more
    (``item`` is then ""): ``dimension``, ``item``, ``r_wg`` (mean over places),
    ``r_wg_median``, ``share_agreed`` (places with at least 0.7), ``average_deviation``,
    ``deviation_limit`` (a sixth of the options), ``icc1`` with ``ci_low`` and ``ci_high``,
    ``icc2``, ``f``, ``p_value``, ``n_places``, ``n_used`` and ``n_dropped``.
    ``details["places"]`` holds r_wg of each place.
    """

    def headline(self) -> str:
        """Return what the dimensions, or else the items, show, in a sentence."""
        table = self.frame[self.frame["item"] == ""]
        table = self.frame if table.empty else table
        said = []
        for row in table.head(3).to_dict("records"):
            name = row["item"] or row["dimension"]
            said.append(
                f"{name}: within places, agreement (r_wg) is {row['r_wg']:.2f} on average; "
                f"{100 * max(row['icc1'], 0):.0f} % of the variance lies between places (ICC(1)), "
                f"and the mean of an average place has a reliability of {row['icc2']:.2f} (ICC(2))."
            )
        return " ".join(said)

    def summary(self) -> pd.DataFrame:
        """Return agreement and intraclass correlations of each item and dimension."""
        columns = ["dimension", "item", "r_wg", "share_agreed", "average_deviation"]
        return self.frame[[*columns, "icc1", "ci_low", "ci_high", "icc2", "n_places", "n_used"]]

    def methods_text(self) -> str:
        """Return what was estimated and how, with citation keys."""
        return (
            "Agreement of respondents within places is r_wg against answers spread evenly over "
            "the options [@James1984], beside the average deviation [@BurkeDunlap2002]. ICC(1) and "
            "ICC(2) come from an analysis of variance of unweighted answers [@Bliese2000]; the "
            f"{100 * self.details['level']:g} % interval of ICC(1) inverts its F test and supposes "
            "independent respondents with normal answers."
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw ICC(1) of each item and dimension with its interval, and return the axes."""
        table = self.frame
        ax = plots.new_axes(ax, (6.8, 1.2 + 0.3 * min(len(table), plots.MANY)))
        labels = np.where(table["item"] == "", table["dimension"] + " (all)", table["item"])
        middle, low, high = (table[c].to_numpy() for c in ("icc1", "ci_low", "ci_high"))
        plots.intervals(ax, labels.tolist(), middle, low, high)
        level = f"{100 * self.details['level']:g} % interval"
        return plots.describe(ax, "Variance between places", f"ICC(1), {level}")


def assess_consensus(
    survey: Survey, *, null_variance: float | None = None, level: float = 0.95
) -> Consensus:
    r"""Ask whether respondents of one place agree, and whether places differ.

    Parameters
    ----------
    survey : Survey
        Its design names the places.
    null_variance : float, optional
        Variance of an answer if respondents did not agree at all. If None, that of answers
        spread evenly over the whole numbers of each item's scale, which the codebook must
        state; smaller if answers lean to one side, so that agreement is then too high.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    Consensus

    Raises
    ------
    SpecError
        If the design names no places, or the level or the null variance is not valid.
    DataError
        With every item whose scale is needed and not stated, or not of whole numbers.
    MethodError
        If no item has an answer: one place, or one respondent in each.

    Notes
    -----
    Agreement within places and reliability of their means are two things: places can be of
    one mind each and all of the same (high r_wg, ICC(1) of 0), or be told apart by many
    respondents who disagree (low r_wg, high ICC(2)). Both are of unweighted answers, as in
    the literature that uses them; with clusters within places, ICC(2) is too high, and the
    reliability of `lgpi_research.reliability.assess_reliability`, whose errors are those of
    the design, is the one to use for an index.

    With mean squares B and W of places and respondents, :math:`m` respondents in an average
    place, :math:`F = B/W` and F quantiles,

    .. math::

        \mathrm{ICC}(1) = \frac{B - W}{B + (m - 1) W}, \quad
        \mathrm{ICC}(2) = \frac{B - W}{B}

    [1]_, and the ends of the interval of ICC(1) are :math:`(F/q - 1)/(F/q + m - 1)` [2]_.
    With places of unequal size it is approximate.

    References
    ----------
    .. [1] Bliese, P. D. (2000). Within-group agreement, non-independence, and reliability:
       implications for data aggregation and analysis. In K. J. Klein and S. W. J. Kozlowski
       (eds.), *Multilevel Theory, Research, and Methods in Organizations*, 349-381.
       Jossey-Bass.
    .. [2] Shrout, P. E., and Fleiss, J. L. (1979). Intraclass correlations: uses in assessing
       rater reliability. *Psychological Bulletin*, 86, 420-428.

    Examples
    --------
    >>> from lgpi_research.simulate import simulate_survey
    >>> made = simulate_survey(n_places=20, place_share=0.3, seed=0)
    >>> found = assess_consensus(made.survey, null_variance=2.0)
    >>> found.frame["item"].tolist()
    ['q1', 'q2', 'q3', 'q4', 'q5', '']
    """
    _check(survey, null_variance, level)
    places = survey.roles["place"].astype("str").to_numpy()
    rows: list[dict[str, Any]] = []
    lacking: list[str] = []
    of_places: dict[str, Any] = {}
    for dimension, items in survey.codebook.dimensions.items():
        parts: list[tuple[str, tuple[str, ...]]] = [(item, (item,)) for item in items]
        if len(items) > 1:
            parts.append(("", items))
        for item, members in parts:
            signs = [survey.codebook[name].sign for name in members]  # all in one direction
            values = survey.values[list(members)].to_numpy() * signs
            complete = ~np.isnan(values).any(axis=1)
            spread = null_variance or float(np.mean([_null(survey, name) for name in members]))
            try:
                found = one_way(values.mean(axis=1), places)
            except MethodError as error:
                lacking.append(f"{item or dimension}: left out: {error}")
                continue
            agreed = r_wg(values, places, null_variance=spread)
            known = agreed[~np.isnan(agreed)]
            low, high = _ends(found, int(complete.sum()), level)
            rows.append(
                {
                    "dimension": dimension,
                    "item": item,
                    "r_wg": float(known.mean()),
                    "r_wg_median": float(np.median(known)),
                    "share_agreed": float((known >= AGREED).mean()),
                    "average_deviation": float(np.nanmean(average_deviation(values, places))),
                    "deviation_limit": math.sqrt(12 * spread + 1) / 6,
                    "icc1": found.icc1,
                    "ci_low": low,
                    "ci_high": high,
                    "icc2": found.icc2,
                    "f": found.f,
                    "p_value": found.p_value,
                    "n_places": len(found.groups),
                    "n_used": int(complete.sum()),
                    "n_dropped": int((~complete).sum()),
                }
            )
            names = np.unique(places)
            of_places[item or dimension] = {
                "unit": names.tolist(),
                "r_wg": agreed.tolist(),
                "n_used": np.bincount(
                    np.searchsorted(names, places[complete]), minlength=len(names)
                ).tolist(),
            }
    if not rows:
        problems = Problems("the items")
        problems.extend(lacking)
        problems.raise_any(MethodError)
    told = {"null_variance": null_variance, "level": level}
    notes = list(lacking)
    if "weight" in survey.roles and survey.roles["weight"].nunique() > 1:
        notes.append("Answers are not weighted here: agreement is that of those who were asked.")
    return Consensus(
        pd.DataFrame(rows),
        provenance(specification=told, data={"survey": survey.digest}),
        (*survey.notes, *notes),
        details={**told, "places": of_places},
    )


def _check(survey: Survey, null_variance: float | None, level: float) -> None:
    if survey.design.place is None:
        raise SpecError(
            "the design names no places: make it with SurveyDesign(…, place='<column>')."
        )
    options = Problems("the options")
    if not 0 < level < 1:
        options.add(f"level: must lie between 0 and 1, got {level!r}.")
    if null_variance is not None and not null_variance > 0:
        options.add(f"null_variance: must be above 0, got {null_variance!r}.")
    options.raise_any(SpecError)
    if null_variance is not None:
        return
    problems = Problems("the scales of the items")
    for item in survey.codebook:
        ends = item.scale
        if ends is None or ends[0] % 1 or ends[1] % 1:
            stated = "no scale is stated" if ends is None else f"its scale is {ends}"
            problems.add(
                f"{item.name}: {stated}; agreement needs the whole numbers that could be answered. "
                "State scale = (low, high) in the codebook, or give null_variance."
            )
    problems.raise_any(DataError)


def _null(survey: Survey, item: str) -> float:
    """Return the variance of answers spread evenly over the whole numbers of a scale."""
    ends = survey.codebook[item].scale
    return math.nan if ends is None else uniform_variance(int(ends[1] - ends[0]) + 1)


def _ends(found: OneWay, n: int, level: float) -> tuple[float, float]:
    """Return the interval of ICC(1) by the F distribution; 1 if nobody differs within places."""
    if np.isinf(found.f):
        return 1.0, 1.0
    j = int((found.sizes > 0).sum())
    size, tail = n / j, (1 - level) / 2
    low, high = (
        (found.f / q - 1) / (found.f / q + size - 1)
        for q in (stats.f.isf(tail, j - 1, n - j), stats.f.ppf(tail, j - 1, n - j))
    )
    return float(low), float(high)
