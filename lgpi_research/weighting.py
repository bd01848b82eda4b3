"""Weighting: survey weights that meet what is known of the population."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research import plots
from lgpi_research.columns import to_numeric
from lgpi_research.errors import DataError, MethodError, Problems, SpecError, listing, nearest
from lgpi_research.methods.calibration import (
    Calibrated,
    calibrate,
    calibrated_covariance,
    kish_effect,
    poststratify,
    rake,
)
from lgpi_research.methods.estimates import t_limits
from lgpi_research.methods.margins import Margin, margin_columns, read_margins
from lgpi_research.methods.points import point_means
from lgpi_research.results import Result, provenance
from lgpi_research.survey import Survey

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["METHODS", "Calibration", "calibrate_survey"]

Floats = npt.NDArray[np.float64]
Known = Mapping[str | tuple[str, ...], Mapping[Any, float] | float]

METHODS = ("poststratify", "rake", "linear", "raking", "logit")
"""How weights may be made to meet totals."""

TOLD = {
    "poststratify": "post-stratification [@HoltSmith1979]",
    "rake": "raking (iterative proportional fitting) [@DemingStephan1940]",
    "linear": "linear calibration (generalised regression) [@DevilleSarndal1992]",
    "raking": "calibration with raking distance [@DevilleSarndal1992]",
    "logit": "calibration with bounded (logit) distance [@DevilleSarndal1992]",
}

_LARGE = 5.0  # factor of a weight from which it is said that few respondents stand for many
_COSTLY = 2.0  # inflation of variances by weights that is said


@dataclass(frozen=True, eq=False, repr=False)
class Calibration(Result, kind="calibration"):
    """Calibrated weights of a survey.

    ``frame`` has one row for each category of a margin, or for each number with a known
    total: ``margin``, ``category``, ``n`` (respondents), ``population``, ``before`` and
    ``after`` (weighted totals), ``share_population``, ``share_before`` and
    ``share_after`` (of the margin; NaN for numbers). ``details`` has the spread of the
    weights.

    Attributes
    ----------
    source : Survey or None
        The survey before; None in a result that was loaded: a file of results holds
        nobody's weight.
    calibrated : Calibrated or None
        Weights, and what their errors need.
    """

    source: Survey | None = None
    calibrated: Calibrated | None = None

    def headline(self) -> str:
        """Return what the weights meet, and what they cost, in a sentence."""
        told = self.details
        margins = self.frame["margin"].nunique()
        return (
            f"Weights of {told['n']:,} respondents meet {margins} "
            f"margin{'s' if margins > 1 else ''}; unequal weights inflate variances by "
            f"{told['kish_after']:.2f} (before: {told['kish_before']:.2f})."
        )

    def summary(self) -> pd.DataFrame:
        """Return the shares of each category before and in the population."""
        columns = ["margin", "category", "n", "population", "before", "after", "share_before"]
        return self.frame[[*columns, "share_population"]]

    def methods_text(self) -> str:
        """Return what was done, with citation keys."""
        told = self.details
        margins = ", ".join(dict.fromkeys(self.frame["margin"]))
        ends = ""
        if told["bounds"]:
            low, high = told["bounds"]
            ends = f" Weights changed by factors between {low:g} and {high:g}."
        return (
            f"Weights were made to meet population totals of {margins} by {TOLD[told['method']]}."
            f"{ends} Kish's approximate design effect of the weights [@Kish1992] is "
            f"{told['kish_after']:.2f}, before {told['kish_before']:.2f}. Standard errors are of "
            "the residuals of the regression on the calibration variables [@DevilleSarndal1992]."
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw how far each category's share was from the population's, and return the axes."""
        shown = self.frame[self.frame["share_population"].notna()]
        if shown.empty:
            raise DataError("There are no categories to draw: totals of numbers have no shares.")
        ax = plots.new_axes(ax, (6.8, 1.4 + 0.35 * len(shown)))
        names = (shown["margin"] + ": " + shown["category"]).tolist()
        before, after = (100 * shown[c].to_numpy(float) for c in ("share_before", "share_after"))
        low, high = np.fmin(before, after), np.fmax(before, after)
        plots.intervals(ax, names, after, low, high)
        return plots.describe(
            ax, "Shares with calibrated weights (points), and how far they moved", "per cent"
        )

    @property
    def weights(self) -> pd.Series:
        """Calibrated weights, by the rows of the survey."""
        source, made = self._held()
        return pd.Series(made.weights, source.frame.index, name=self.details["column"])

    @property
    def survey(self) -> Survey:
        """The survey with the calibrated weights.

        Errors that are estimated from it take the weights as those of the design: they
        leave out what the totals explain, and are then too large; `means` does not.
        """
        source, made = self._held()
        if made.n_negative:
            raise MethodError(
                f"{made.n_negative} of {len(made.weights)} calibrated weights are negative, and a "
                "survey has none such. Use method='raking', or 'logit' with bounds."
            )
        frame = source.frame.assign(**{self.details["column"]: made.weights})
        design = replace(source.design, weight=self.details["column"])
        return Survey(frame, source.codebook, design, source.where)

    def means(self, items: Sequence[str] | None = None, *, level: float = 0.95) -> pd.DataFrame:
        """Return means of items with errors that know of the calibration.

        Parameters
        ----------
        items : sequence of str, optional
            Items of the codebook; all if None.
        level : float, default 0.95
            Level of the intervals (t).

        Returns
        -------
        DataFrame
            ``item``, ``before`` (mean under the weights before), ``estimate``,
            ``std_error``, ``ci_low``, ``ci_high``, ``df`` (PSUs less strata that answered),
            ``n_used``, ``n_dropped``.

        Raises
        ------
        SpecError
            If an item is unknown, or the level not between 0 and 1.
        """
        source, made = self._held()
        names = list(source.codebook.names if items is None else items)
        unknown = [name for name in names if name not in source.codebook.names]
        if unknown:
            hint = nearest(unknown[0], source.codebook.names)
            raise SpecError(f"items: the codebook has no {listing(unknown)}.{hint}")
        y = source.values[names].to_numpy(float)
        used = ~np.isnan(y) & (made.weights != 0)[:, None]
        estimate = point_means(made.weights, y)
        scores = np.where(used, y - estimate, 0.0) * made.weights[:, None]
        design = source.linear_design()
        cov = calibrated_covariance(scores / (made.weights @ used), design, made)
        error = np.sqrt(np.diag(cov))
        df = [design.domain_df(column) for column in used.T]
        low, high = t_limits(estimate, error, df, level)
        n_used = used.sum(axis=0)
        return pd.DataFrame(
            {
                "item": names,
                "before": point_means(made.base, y),
                "estimate": estimate,
                "std_error": error,
                "ci_low": low,
                "ci_high": high,
                "df": df,
                "n_used": n_used,
                "n_dropped": int((made.weights != 0).sum()) - n_used,
            }
        )

    def _held(self) -> tuple[Survey, Calibrated]:
        if self.source is None or self.calibrated is None:
            raise DataError(
                "a loaded calibration holds its table, and no respondent's weight: run "
                "calibrate_survey again, or save the survey's frame."
            )
        return self.source, self.calibrated


def calibrate_survey(
    survey: Survey,
    margins: Known,
    *,
    method: str = "rake",
    bounds: tuple[float, float] | None = None,
    column: str = "calibrated_weight",
) -> Calibration:
    r"""Make the weights of a survey meet totals of the population.

    Parameters
    ----------
    survey : Survey
        Its design weights, or equal ones if it has none, are where weights start.
    margins : mapping
        What is known: for a column of the survey's table, the population of each of its
        categories; for several columns, ``("sex", "age_group")``, that of each
        combination, ``("f", "18-34")``; for a column of numbers, its total in the
        population (not with "poststratify" and "rake").
    method : {"rake", "poststratify", "linear", "raking", "logit"}, default "rake"
        How: "poststratify" takes one margin; "rake" any number of margins; the others are
        distances of `lgpi_research.methods.calibration.calibrate`, which take numbers too.
    bounds : (float, float), optional
        Least and largest factor by which "logit" may change a weight, after all have been
        scaled to the population.
    column : str, default "calibrated_weight"
        Name of the new column of weights.

    Returns
    -------
    Calibration
        Its ``survey`` has the new weights; `Calibration.means` gives means of items with
        errors that know of the calibration.

    Raises
    ------
    SpecError
        With every option that does not fit.
    DataError
        With every problem: columns that are missing, respondents without a category,
        categories without a population, a population without a respondent, margins that
        add up to different populations.
    MethodError
        If the totals cannot be met: those that are not are named.

    Notes
    -----
    Calibration takes away error of what goes along with the margins, from sampling and
    from people who did not answer, as far as those who answered are like the others
    within the margins. It costs by unequal weights, which inflate the variance of
    what does not go along by about :math:`1 + cv^2(w)`.

    Examples
    --------
    >>> from lgpi_research.codebook import Codebook, Indicator
    >>> from lgpi_research.survey import SurveyDesign
    >>> table = pd.DataFrame({
    ...     "village": [1, 1, 2, 2, 3, 3], "sex": ["f", "m", "f", "f", "m", "f"],
    ...     "q1": [1, 2, 4, 5, 3, 3],
    ... })
    >>> survey = Survey(table, Codebook((Indicator("q1"),)), SurveyDesign(psu="village"))
    >>> found = calibrate_survey(survey, {"sex": {"f": 520, "m": 480}}, method="poststratify")
    >>> found.weights.round(9).tolist()
    [130.0, 240.0, 130.0, 130.0, 240.0, 130.0]
    >>> found.frame[["category", "share_before", "share_population"]].round(3)
      category  share_before  share_population
    0        f         0.667              0.52
    1        m         0.333              0.48
    """
    _check_options(survey, margins, method, bounds, column)
    base = survey.linear_design().weights
    categories, numbers = _known(survey, margins, base)
    size = float(categories[0].totals.sum()) if categories else float(base.sum())
    start = base * (size / base.sum())
    if method == "poststratify":
        made = poststratify(start, categories[0])
    elif method == "rake":
        made = rake(start, categories)
    else:
        blocks = [(values[:, None], np.array([total])) for values, total in numbers.values()]
        names = list(numbers)
        if categories:
            columns, totals, labels = margin_columns(categories)
            blocks, names = [(columns, totals), *blocks], [*labels, *names]
        made = calibrate(
            start,
            np.hstack([block for block, _ in blocks]),
            np.concatenate([total for _, total in blocks]),
            distance=method, bounds=bounds, names=names,
        )  # fmt: skip
    held = base > 0
    factor = made.weights[held] / start[held]
    new = made.weights[held]
    details = {
        "method": method,
        "bounds": None if bounds is None else [float(end) for end in bounds],
        "column": column,
        "n": int(held.sum()),
        "n_iter": made.n_iter,
        "n_negative": made.n_negative,
        "factor_min": float(factor.min()),
        "factor_max": float(factor.max()),
        "weight_min": float(new.min()),
        "weight_max": float(new.max()),
        "kish_before": kish_effect(base),
        "kish_after": kish_effect(made.weights),
    }
    told = {"method": method, "bounds": details["bounds"], "margins": _plain(margins)}
    return Calibration(
        _frame(categories, numbers, base, made.weights),
        provenance(specification=told, data={"survey": survey.digest}),
        (*survey.notes, *_notes(details, base)),
        details=details,
        source=survey,
        calibrated=made,
    )


def _check_options(
    survey: Survey,
    margins: Known,
    method: str,
    bounds: tuple[float, float] | None,
    column: str,
) -> None:
    """Raise every option that does not fit."""
    problems = Problems("the calibration")
    if method not in METHODS:
        problems.add(
            f"method: must be one of {', '.join(METHODS)}, got {method!r}."
            f"{nearest(str(method), METHODS)}"
        )
    if not margins:
        problems.add("margins: name at least one, as {column: {category: population}}.")
    if (bounds is None) == (method == "logit"):
        problems.add("bounds: method 'logit' needs them, and no other has them.")
    if column in survey.frame.columns:
        problems.add(f"column: the survey already has {column!r}; choose another name.")
    numbers = [name for name, known in margins.items() if not isinstance(known, Mapping)]
    if method in ("poststratify", "rake") and numbers:
        problems.add(
            f"margins: {listing(numbers)} are totals of numbers, and {method!r} needs categories; "
            "use 'linear' or 'raking', or group them."
        )
    if method == "poststratify" and len(margins) > 1:
        problems.add(
            f"margins: 'poststratify' takes one, got {len(margins)}. Use 'rake' for several, or "
            "one margin of their combinations, named by a tuple of columns."
        )
    several = [name for name in numbers if isinstance(name, tuple)]
    if several:
        problems.add(f"margins: {listing(several)} name several columns for one total.")
    problems.raise_any(SpecError)


def _known(
    survey: Survey, margins: Known, base: Floats
) -> tuple[tuple[Margin, ...], dict[str, tuple[Floats, float]]]:
    """Return margins of categories, and numbers with their totals."""
    problems = Problems(survey.where)
    frame = survey.frame
    there = [str(name) for name in frame.columns]
    wanted = [c for name in margins for c in (name if isinstance(name, tuple) else (name,))]
    for column in dict.fromkeys(wanted):
        if there.count(column) != 1:
            count = there.count(column)
            told = f"{count} columns have this name" if count else "there is no such column"
            problems.add(f"{column} (margin): {told}.{'' if count else nearest(column, there)}")
    problems.raise_any(DataError)
    texts: dict[str, tuple[list[object], Mapping[object, float]]] = {}
    numbers: dict[str, tuple[Floats, float]] = {}
    for name, known in margins.items():
        if isinstance(known, Mapping):
            parts = name if isinstance(name, tuple) else (name,)
            cells = frame[list(parts)].astype(object)
            rows = [
                None if pd.isna(list(row)).any() else _joined(row)
                for row in cells.itertuples(index=False, name=None)
            ]
            counts: dict[object, float] = {
                _joined(cell if isinstance(cell, tuple) else (cell,)): count
                for cell, count in known.items()
            }
            if len(counts) < len(known):
                problems.add(f"{name}: two categories of the population read the same.")
            texts[" by ".join(parts)] = (list(rows), counts)
        else:
            column = str(name)
            try:
                values = to_numeric(frame[[column]], [column], survey.where)[column]
            except DataError as error:
                problems.extend(error.problems)
                continue
            filled = values.to_numpy(float)
            lost = int((np.isnan(filled) & (base > 0)).sum())
            if lost:
                problems.add(
                    f"{column}: {lost} respondents have no value, so that its total cannot be met. "
                    "Impute them first."
                )
            numbers[column] = (np.where(base > 0, filled, 0.0), float(known))
    try:
        found = read_margins(texts, base)
    except DataError as error:
        problems.extend(error.problems)
    problems.raise_any(DataError)
    return found, numbers


def _joined(parts: Sequence[object]) -> str:
    """Return how a category, or a combination of them, reads."""
    return " × ".join(
        str(int(part)) if isinstance(part, float) and part.is_integer() else str(part)
        for part in parts
    )


def _frame(
    categories: Sequence[Margin],
    numbers: Mapping[str, tuple[Floats, float]],
    before: Floats,
    after: Floats,
) -> pd.DataFrame:
    """Return totals before and after beside those of the population."""
    rows: list[tuple[Any, ...]] = []
    for one in categories:
        held = before > 0
        first, second = (np.bincount(one.codes, w, len(one.totals)) for w in (before, after))
        counts = np.bincount(one.codes[held], minlength=len(one.totals))
        for code, label in enumerate(one.labels):
            total = float(one.totals[code])
            rows.append(
                (one.name, label, int(counts[code]), total, first[code], second[code],
                 total / one.totals.sum(), first[code] / first.sum(), second[code] / second.sum())
            )  # fmt: skip
    for name, (values, total) in numbers.items():
        n = int((before > 0).sum())
        rows.append((name, "", n, total, before @ values, after @ values, *([np.nan] * 3)))
    columns = ["margin", "category", "n", "population", "before", "after"]
    shares = ["share_population", "share_before", "share_after"]
    return pd.DataFrame(rows, columns=[*columns, *shares])


def _notes(details: Mapping[str, Any], base: Floats) -> list[str]:
    """Return what a reader must know of the weights."""
    notes = []
    idle = int((base == 0).sum())
    if idle:
        notes.append(f"{idle} respondents of weight 0 keep it.")
    if details["n_negative"]:
        notes.append(
            f"{details['n_negative']} of {details['n']} calibrated weights are negative: no survey "
            "can be made with them. Use method='raking', or 'logit' with bounds."
        )
    if details["factor_max"] > _LARGE:
        notes.append(
            f"The largest factor of a weight is {details['factor_max']:.1f}: few respondents stand "
            "for many. Join small categories, or use method='logit' with bounds."
        )
    if details["kish_after"] > _COSTLY:
        notes.append(
            f"Unequal weights inflate variances by about {details['kish_after']:.1f}: a mean that "
            f"does not go along with them is as exact as one of "
            f"{details['n'] / details['kish_after']:.0f} respondents."
        )
    return notes


def _plain(margins: Known) -> dict[str, Any]:
    """Return margins as plain values, for the record."""
    return {
        " by ".join(name) if isinstance(name, tuple) else name: (
            {_joined(c if isinstance(c, tuple) else (c,)): float(n) for c, n in known.items()}
            if isinstance(known, Mapping)
            else float(known)
        )
        for name, known in margins.items()
    }
