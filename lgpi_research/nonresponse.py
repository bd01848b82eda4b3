"""Item non-response: who did not answer, why, and between what the means lie all the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research import plots
from lgpi_research.blocks import digest
from lgpi_research.clusters import as_labels
from lgpi_research.codebook import CELLS
from lgpi_research.errors import DataError, MethodError, SpecError, listing, nearest
from lgpi_research.methods.design import Design
from lgpi_research.methods.incomplete import (
    FILLINGS,
    alphas,
    pairwise_covariance,
    pairwise_problem,
)
from lgpi_research.methods.mcar import little_test
from lgpi_research.methods.nonresponse import contrast, mean_bounds, pair_rates, rest_scores
from lgpi_research.results import Result, provenance
from lgpi_research.survey import Survey, scales_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Nonresponse", "assess_nonresponse"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.integer[Any]]

COLUMNS = {
    "answered": "answered",
    "don't know": "dont_know",
    "refused": "refused",
    "not asked": "not_asked",
    "other": "other",
    "blank": "blank",
}
"""Column of each kind of cell (`lgpi_research.codebook.CELLS`) in a result."""

_KINDS = ("don't know", "refused", "other", "blank")  # those who were asked and did not answer
_TOLD = {
    "other": "Missing codes whose kind the codebook does not tell count as no answer of people who "
    "were asked: {}. Give missing_codes as a mapping of codes to kinds.",
    "blank": "Blank cells count as no answer of people who were asked: {}.",
    "not asked": "Means and bounds are of those who were asked; not asked were: {}.",
}
"""What notes say of kinds of cells, with the items and how many there are."""

_LEAST = 10  # respondents without an answer from which they are compared with the others


@dataclass(frozen=True, eq=False, repr=False)
class Nonresponse(Result, kind="nonresponse"):
    """Response to each item by kind, and bounds of its mean.

    ``frame`` has one row for each item, in each ``group`` where groups were asked for:
    ``indicator``, ``label``; respondents with a positive weight, ``n``, of whom ``eligible``
    were asked, and how many ``answered``, ``dont_know``, ``refused``, ``not_asked``, or are
    missing by a code of an ``other`` kind or ``blank``; ``response_rate``, the weighted share
    of those asked who answered; ``share_…``, the weighted share of each kind among all;
    ``scale_low`` and ``scale_high``, the ends of the scale; ``mean`` and ``std_error`` of the
    answers; ``bound_low`` and ``bound_high``, between which
    the mean of all who were asked lies whatever the missing answers were; ``ci_low`` and
    ``ci_high``, its interval.
    """

    def headline(self) -> str:
        """Return the item that fewest answered, and the bounds of its mean, in a sentence."""
        rates = self.frame["response_rate"]
        n_items = self.frame["indicator"].nunique()
        if not (rates < 1).any():
            return f"Everyone who was asked answered all {n_items} items."
        row = self.frame.iloc[int(np.nanargmin(rates))]
        where = f" in {row['group']}" if "group" in row else ""
        bounds = ""
        if np.isfinite(row["bound_low"]):
            bounds = (
                "; whatever the others would have said, its mean lies between "
                f"{row['bound_low']:.2f} and {row['bound_high']:.2f}"
            )
        return (
            f"Of those asked{where}, {100 * row['response_rate']:.0f} % answered "
            f"{row['label']!r}, the fewest of {n_items} items{bounds}."
        )

    def summary(self) -> pd.DataFrame:
        """Return response rates, shares by kind, and bounds of the means."""
        by = ["group"] if "group" in self.frame else []
        shares = [f"share_{COLUMNS[kind]}" for kind in (*_KINDS, "not asked")]
        seen = [column for column in shares if (self.frame[column] > 0).any()]
        bounds = ["mean", "bound_low", "bound_high", "ci_low", "ci_high"]
        return self.frame[["label", *by, "eligible", "response_rate", *seen, *bounds]]

    def dependence(self) -> pd.DataFrame:
        """Return how those who did not answer an item differ in their other answers.

        Returns
        -------
        DataFrame
            For each item and kind of missing answer that at least 10 respondents gave:
            ``indicator``, ``kind``, ``n_answered``, ``n_missing``, ``difference`` of the mean
            of the other items (those without an answer less those with one, in standard
            deviations, items scored so that more is better), ``std_error``, ``ci_low``,
            ``ci_high``, ``p_value``. It is of the whole survey, not of groups.
        """
        names = ["indicator", "kind", "n_answered", "n_missing"]
        numbers = ["difference", "std_error", "ci_low", "ci_high", "p_value"]
        table = pd.DataFrame(self.details["dependence"], columns=[*names, *numbers])
        return table.astype(dict.fromkeys(numbers, float))

    def alphas(self) -> pd.DataFrame:
        """Return alpha of each dimension under different treatments of missing answers.

        Returns
        -------
        DataFrame
            ``dimension``, ``measurement``, ``n_used`` (respondents who were asked every item
            and answered one), ``listwise``, ``pairwise``, a column for each filling of
            `lgpi_research.methods.incomplete.FILLINGS`, and ``lowest`` and ``highest`` of the
            fillings: a range over stated fillings, no bounds.
        """
        numbers = ["listwise", "pairwise", *FILLINGS, "lowest", "highest"]
        columns = ["dimension", "measurement", "n_used", *numbers]
        table = pd.DataFrame(self.details["alphas"], columns=columns)
        return table.astype(dict.fromkeys(numbers, float))

    def mcar(self) -> pd.DataFrame:
        """Return Little's test that answers are missing completely at random.

        Returns
        -------
        DataFrame
            For each dimension: ``dimension``, ``n_items``, ``statistic``, ``df``, ``p_value``,
            ``n_patterns``, ``n_used``, ``n_dropped``. The test supposes independent
            respondents with equal weights.
        """
        columns = ["dimension", "n_items", "statistic", "df", "p_value", "n_patterns"]
        return pd.DataFrame(self.details["mcar"], columns=[*columns, "n_used", "n_dropped"])

    def pairs(self) -> pd.DataFrame:
        """Return the weighted share of those asked both items of a pair who answered both."""
        table = pd.DataFrame(self.details["pairs"], columns=["first", "second", "response_rate"])
        return table.astype({"response_rate": float})

    def methods_text(self) -> str:
        """Return what was estimated and how, with citation keys."""
        level = f"{100 * self.details['level']:g} %"
        said = [
            "Response rates are weighted shares of the respondents who were asked an item; those "
            "whom a filter spared it do not count. Worst-case bounds of each mean replace every "
            "missing answer by an end of the scale [@Manski1989; @Manski2003], and the "
            f"{level} intervals are those of Imbens and Manski for the mean between the bounds, "
            "with linearised standard errors of the sample design [@ImbensManski2004]."
        ]
        if self.details["dependence"]:
            said.append(
                "Those who did not answer an item were compared with the others by the mean of "
                "their remaining answers."
            )
        if self.details["mcar"]:
            said.append(
                "That answers are missing completely at random was tested by dimension with "
                "Little's test, which supposes independent respondents [@Little1988]."
            )
        if self.details["alphas"]:
            said.append(
                "Alpha is given over stated ways to fill missing answers in; its range over them "
                "is no bound."
            )
        return " ".join(said)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the weighted shares of each kind of answer by item, and return the axes."""
        ax = plots.new_axes(ax, (6.8, 1.8 + 0.3 * min(len(self.frame), plots.MANY)))
        shown = [k for k in CELLS if (self.frame[f"share_{COLUMNS[k]}"] > 0).any()]
        shares = self.frame[[f"share_{COLUMNS[kind]}" for kind in shown]].to_numpy()
        plots.stacked(ax, self._labels(), shares, shown)
        return plots.describe(ax, "Response by item", "weighted share of respondents")

    def plot_bounds(self, ax: Axes | None = None) -> Axes:
        """Draw the bounds of each mean, within its interval, and return the axes.

        Means are placed by their share of the way from the lowest to the highest possible
        answer. Items without a scale are left out.

        Raises
        ------
        DataError
            If no item has a scale.
        """
        known = np.isfinite(self.frame["bound_low"].to_numpy())
        if not known.any():
            raise DataError("no item has a scale, so there are no bounds; see summary().")
        rows = self.frame[known]
        low, high = (rows[f"scale_{end}"].to_numpy() for end in ("low", "high"))
        names = ("mean", "bound_low", "bound_high", "ci_low", "ci_high")
        mean, *ends = ((rows[name].to_numpy() - low) / (high - low) for name in names)
        labels = [text for text, keep in zip(self._labels(), known, strict=True) if keep]
        ax = plots.new_axes(ax, (6.8, 1.8 + 0.3 * min(len(rows), plots.MANY)))
        level = f"{100 * self.details['level']:g} % interval"
        plots.intervals(ax, labels, mean, ends[2], ends[3], colour="quiet")
        plots.intervals(ax, labels, mean, ends[0], ends[1])
        ax.set_xlim(0, 1)
        said = f"share of the way up the scale: mean of the answers, bounds (blue), {level} (grey)"
        return plots.describe(ax, "Bounds of the means", said)

    def _labels(self) -> list[str]:
        if "group" not in self.frame:
            return list(self.frame["label"])
        return (self.frame["label"] + ": " + self.frame["group"]).tolist()


def assess_nonresponse(survey: Survey, by: str | None = None, level: float = 0.95) -> Nonresponse:
    """Say who did not answer which item and why, and what follows for means and alpha.

    Parameters
    ----------
    survey : Survey
        Answers with missing codes as they were given; kinds of codes stand in the codebook
        (`Indicator.missing_codes` as a mapping). A blank cell, and a code whose kind the
        codebook does not tell, count as missing answers of people who were asked.
    by : str or None
        Column of the survey's table with groups of respondents, such as the place, to be
        shown one by one.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    Nonresponse

    Raises
    ------
    SpecError
        If the column of groups is unknown or occurs twice, or the level is not between 0
        and 1.
    DataError
        If no respondent has a group.
    MethodError
        If a stratum has one PSU and the design says to fail.

    Notes
    -----
    Bounds, their intervals and their assumptions: `mean_bounds` and `imbens_manski` in
    `lgpi_research.methods.nonresponse`. They rest on nothing but the scale of the item: a
    wide range says that the survey alone does not tell the mean. A question that was
    filtered out is not missing; the means are then of those who were asked.

    Coverage in per cent of the true mean by 95 % intervals, in 4,000 simulated surveys each of
    15 respondents a PSU, items of 5 points and a tenth of the variance between PSUs (Monte
    Carlo error up to 0.8): those of Imbens and Manski, and t intervals of the mean of those
    who answered, by who does not answer:

    ===============================  =======  ====  ======  =======
    no answer                        missing  PSUs  bounds  answers
    ===============================  =======  ====  ======  =======
    nobody                               0 %    20    94.8     94.8
    nobody                               0 %   200    95.2     95.2
    a few of the lowest answer         0.6 %    20    95.5     95.3
    a few of the lowest answer         0.6 %   200    95.5     93.7
    most of the lowest answer            7 %    20    95.4     67.7
    most of the lowest answer            7 %   200    94.8      0.1
    the more, the lower the answer      20 %    20   100.0     59.4
    the more, the lower the answer      20 %   200   100.0      0.0
    ===============================  =======  ====  ======  =======

    Where only people with the lowest answer are silent, the true mean is the lower bound
    itself: the interval has its nominal level there, and more in between.

    Examples
    --------
    >>> from lgpi_research.codebook import Codebook, Indicator
    >>> from lgpi_research.survey import SurveyDesign
    >>> codes = {8: "don't know", 9: "refused", -1: "not asked"}
    >>> book = Codebook((Indicator("trust", scale=(1, 4), missing_codes=codes),))
    >>> table = pd.DataFrame({"id": range(10), "trust": [1, 2, 2, 3, 4, 8, 8, 9, -1, -1]})
    >>> found = assess_nonresponse(Survey(table, book, SurveyDesign(psu="id")))
    >>> print(found.headline())
    Of those asked, 62 % answered 'trust', the fewest of 1 items; whatever the others would
    have said, its mean lies between 1.88 and 3.00.
    """
    if not 0 < level < 1:
        raise SpecError(f"level must lie between 0 and 1, got {level!r}.")
    groups = _groups(survey, by)
    cells = survey.codebook.kinds(survey.frame, survey.where)
    codes = np.column_stack([cells[name].cat.codes.to_numpy() for name in survey.codebook.names])
    design = survey.linear_design()
    asked = codes != CELLS.index("not asked")
    frames = []
    for label, inside in groups.items():
        rows = _rows(survey, codes, asked, design, inside, level)
        if by is not None:
            rows.insert(2, "group", label)
        frames.append(rows)
    dependence, few = _dependence(survey, codes, design, level)
    alpha_rows, remarks = _alphas(survey, asked, design.weights)
    tests, more = _mcar(survey, asked, design)
    told = {"by": by, "level": level}
    weighted = design.weights > 0
    return Nonresponse(
        pd.concat(frames, ignore_index=True),
        provenance(
            specification=told,
            data={
                "survey": survey.digest,
                "kinds": digest(codes),
                "groups": digest(dict(groups)),
            },
        ),
        (
            *_notes(survey, codes[weighted], int((~weighted).sum())),
            *_group_notes(by, groups, weighted),
            *few,
            *remarks,
            *more,
        ),
        details={
            **told,
            "dependence": dependence,
            "alphas": alpha_rows,
            "mcar": tests,
            "pairs": _pairs(survey, asked, design.weights),
        },
    )


def _groups(survey: Survey, by: str | None) -> dict[str, Mask]:
    """Return the respondents of each group, all in one without groups."""
    if by is None:
        return {"": np.ones(len(survey), dtype=bool)}
    columns = [str(name) for name in survey.frame.columns]
    if columns.count(by) != 1:
        what = f"{columns.count(by)} columns of {survey.where} have the name {by!r}; keep one."
        if by not in columns:
            what = f"{survey.where} has no column {by!r}.{nearest(by, columns)}"
        raise SpecError(f"by: {what}")
    labels = as_labels(survey.frame[by])
    labels = labels.mask(labels.str.strip() == "")
    if labels.isna().all():
        raise DataError(f"{by}: no respondent of {survey.where} has a group.")
    return {
        str(label): (labels == label).to_numpy(bool) for label in sorted(labels.dropna().unique())
    }


def _group_notes(by: str | None, groups: dict[str, Mask], weighted: Mask) -> list[str]:
    if by is None:
        return []
    outside = ~np.any(list(groups.values()), axis=0) & weighted
    if not outside.any():
        return []
    return [f"{by}: {outside.sum()} respondents without a group are in none of the groups."]


def _rows(
    survey: Survey, codes: Codes, asked: Mask, design: Design, inside: Mask,
    level: float,
) -> pd.DataFrame:  # fmt: skip
    """Return the rows of the items among some respondents."""
    book = survey.codebook
    ends = np.array([item.scale or (np.nan, np.nan) for item in book], dtype=np.float64)
    found = mean_bounds(
        survey.values.to_numpy(), asked, ends[:, 0], ends[:, 1], design, domain=inside, level=level
    )
    within = inside & (design.weights > 0)
    own, weights = codes[within], design.weights[within]
    counts = {kind: (own == CELLS.index(kind)) for kind in CELLS}
    total = weights.sum()
    return pd.DataFrame(
        {
            "indicator": list(book.names),
            "label": [item.label for item in book],
            "n": int(within.sum()),
            "eligible": asked[within].sum(axis=0),
            **{COLUMNS[kind]: table.sum(axis=0) for kind, table in counts.items()},
            "response_rate": found.rate,
            **{
                f"share_{COLUMNS[kind]}": (weights @ table) / total if total > 0 else np.nan
                for kind, table in counts.items()
            },
            "scale_low": ends[:, 0],
            "scale_high": ends[:, 1],
            "mean": found.mean,
            "std_error": found.std_error,
            "bound_low": found.low,
            "bound_high": found.high,
            "ci_low": found.ci_low,
            "ci_high": found.ci_high,
        }
    )


def _notes(survey: Survey, codes: Codes, unweighted: int) -> list[str]:
    """Say what the counts leave open."""
    notes = []
    if unweighted:
        notes.append(f"{unweighted} of {len(survey)} respondents have weight 0 and are left out.")
    book = survey.codebook
    for kind, said in _TOLD.items():
        counts = (codes == CELLS.index(kind)).sum(axis=0)
        which = [f"{name} ({n})" for name, n in zip(book.names, counts, strict=True) if n]
        if which:
            notes.append(said.format(listing(which)))
    endless = [item.name for item in book if item.scale is None]
    if endless:
        notes.append(
            f"{listing(endless)}: no bounds, because the codebook has no scale (lowest and highest "
            "possible answer)."
        )
    return notes


def _dependence(
    survey: Survey, codes: Codes, design: Design, level: float
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return comparisons of the rest scores of those without an answer, and notes."""
    signs = np.array([item.sign for item in survey.codebook])
    rest = rest_scores(survey.values.to_numpy() * signs, design.weights)
    weighted = design.weights > 0
    rows: list[dict[str, Any]] = []
    rare, lacking = [], []
    for number, name in enumerate(survey.codebook.names):
        answered = codes[:, number] == CELLS.index("answered")
        for kind in _KINDS:
            missing = codes[:, number] == CELLS.index(kind)
            count = int((missing & weighted).sum())
            if not count:
                continue
            if int((missing & weighted & ~np.isnan(rest[:, number])).sum()) < _LEAST:
                rare.append(f"{name} {kind} ({count})")
                continue
            try:
                found = contrast(rest[:, number], answered, missing, design, level=level)
            except MethodError as error:
                lacking.append(f"{name}: {kind} is not compared with answers: {error}")
                continue
            rows.append(
                {
                    "indicator": name,
                    "kind": kind,
                    "n_answered": found.n_first,
                    "n_missing": found.n_second,
                    "difference": found.difference,
                    "std_error": found.std_error,
                    "ci_low": found.ci_low,
                    "ci_high": found.ci_high,
                    "p_value": found.p_value,
                }
            )
    if rare:
        lacking.append(
            f"Not compared, because fewer than {_LEAST} respondents gave no answer and have other "
            f"ones: {listing(rare)}."
        )
    return rows, lacking


def _alphas(survey: Survey, asked: Mask, weights: Floats) -> tuple[list[dict[str, Any]], list[str]]:
    """Return alpha of each dimension under stated fillings, and notes."""
    rows, notes = [], []
    for scale in scales_of(survey.codebook):
        at = _columns(survey, scale.items)
        x, signs = survey.values.to_numpy()[:, at] * scale.signs, scale.signs
        ends = [survey.codebook[name].scale or (np.nan, np.nan) for name in scale.items]
        turned = np.sort(np.array(ends) * signs[:, None], axis=1)
        everyone = asked[:, at].all(axis=1) & (weights > 0)
        some = ~np.isnan(x).all(axis=1)
        if not (np.isnan(x) & asked[:, at])[weights > 0].any():
            continue
        spared = int((~everyone & (weights > 0)).sum())
        if spared:
            notes.append(
                f"{scale.name}: alpha under fillings leaves out {spared} respondents who were not "
                "asked every item."
            )
        silent = int((everyone & ~some).sum())
        if silent:
            notes.append(
                f"{scale.name}: alpha under fillings leaves out {silent} respondents who answered "
                "no item."
            )
        used = everyone & some
        problem = pairwise_problem(
            pairwise_covariance(x[weights > 0], weights[weights > 0]), scale.items
        )
        if problem:
            notes.append(f"{scale.name}: {problem}")
        found = alphas(x[used], weights[used], turned[:, 0], turned[:, 1])
        filled = np.array([found[name] for name in FILLINGS])
        known = filled[np.isfinite(filled)]
        rows.append(
            {
                "dimension": scale.name,
                "measurement": scale.measurement,
                "n_used": int(used.sum()),
                **found,
                "lowest": float(known.min()) if len(known) else np.nan,
                "highest": float(known.max()) if len(known) else np.nan,
            }
        )
    return rows, notes


def _mcar(survey: Survey, asked: Mask, design: Design) -> tuple[list[dict[str, Any]], list[str]]:
    """Return Little's test of each dimension, and notes."""
    rows, notes = [], []
    weighted = design.weights > 0
    for scale in scales_of(survey.codebook):
        at = _columns(survey, scale.items)
        kept = [i for i in at if asked[weighted, i].all()]
        if len(kept) < len(at):
            spared = [survey.codebook.names[i] for i in at if i not in kept]
            notes.append(
                f"{scale.name}: Little's test leaves out {listing(spared)}, which some were not "
                "asked."
            )
        x = survey.values.to_numpy()[weighted][:, kept]
        if len(kept) < 2 or not np.isnan(x).any():
            continue
        try:
            found = little_test(x)
        except MethodError as error:
            notes.append(f"{scale.name}: Little's test is left out: {error}")
            continue
        rows.append(
            {
                "dimension": scale.name,
                "n_items": len(kept),
                "statistic": found.statistic,
                "df": found.df,
                "p_value": found.p_value,
                "n_patterns": found.n_patterns,
                "n_used": found.n_used,
                "n_dropped": found.n_dropped,
            }
        )
    clustered = design.n_psu < weighted.sum()
    uneven = np.ptp(design.weights[weighted]) > 0
    if rows and (clustered or uneven):
        why = " and ".join(
            text for text, holds in (("clusters", clustered), ("unequal weights", uneven)) if holds
        )
        notes.append(
            f"Little's test supposes independent respondents with equal weights; this survey has "
            f"{why}, so that its p-values are rough, and too small if clusters differ."
        )
    return rows, notes


def _pairs(survey: Survey, asked: Mask, weights: Floats) -> list[dict[str, Any]]:
    """Return the response rate of each pair of items."""
    names = survey.codebook.names
    rates = pair_rates(survey.values.notna().to_numpy(), asked, weights)
    first, second = np.triu_indices(len(names), 1)
    return [
        {"first": names[i], "second": names[j], "response_rate": float(rates[i, j])}
        for i, j in zip(first.tolist(), second.tolist(), strict=True)
    ]


def _columns(survey: Survey, items: Sequence[str]) -> list[int]:
    return [survey.codebook.names.index(name) for name in items]
