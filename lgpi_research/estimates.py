"""Estimates of a population from a survey of it, with errors that the design implies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research import plots
from lgpi_research.errors import DataError, MethodError, Problems, SpecError, listing, nearest
from lgpi_research.methods import estimates, points
from lgpi_research.methods.design import Design
from lgpi_research.methods.replicate_estimates import replicate_covariance
from lgpi_research.methods.replication import ReplicateWeights, replicate_weights
from lgpi_research.results import Result, provenance
from lgpi_research.streams import BLOCK, root_seed, stream
from lgpi_research.survey import Survey

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Estimates", "estimate_survey"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

STATISTICS = {
    "mean": ("mean", "Means"),
    "total": ("total", "Totals"),
    "proportion": ("share", "Shares"),
    "ratio": ("ratio", "Ratios of totals"),
    "quantile": ("quantile", "Quantiles"),
    "variance": ("variance", "Variances"),
}
"""What can be estimated: what one is called, and several."""

VARIANCES = {
    "taylor": "Taylor linearisation over all stages [@Binder1983; @Sarndal1992]",
    "jackknife": "the jackknife that leaves out one PSU at a time [@Wolter2007]",
    "brr": "balanced repeated replication [@Wolter2007]",
    "fay": "balanced repeated replication with Fay's coefficient 0.5 [@Wolter2007]",
    "subbootstrap": "the rescaled bootstrap of PSUs [@RaoWu1988]",
    "bootstrap": "the bootstrap of as many PSUs as were drawn [@Wolter2007]",
}
"""How errors are estimated, as a result says it."""

RANDOM = ("subbootstrap", "bootstrap")

_CELLS = 1 << 22  # replicate weights that are held at a time
_FEW = 10  # degrees of freedom below which errors are said to be rough


@dataclass(frozen=True, eq=False, repr=False)
class Estimates(Result, kind="estimates"):
    """Estimates of a population.

    ``frame`` has one row for each item, category or quantile, and domain: ``statistic``,
    ``indicator``, ``label``, ``category`` (of shares), ``prob`` (of quantiles), ``domain`` (if
    domains were asked for), ``estimate``, ``std_error``, ``ci_low``, ``ci_high``, ``df``,
    ``deff`` (against a simple random sample of as many respondents: with replacement, or
    without it where the design states the population), ``n_used`` and ``n_dropped``
    respondents.
    """

    def headline(self) -> str:
        """Return the first estimate in a sentence."""
        first, told = self.frame.iloc[0], self.details
        what = STATISTICS[told["statistic"]][0]
        which = f" {first['category']}" if "category" in self.frame else ""
        which = f" at {first['prob']:g}" if "prob" in self.frame else which
        where = f" in {first['domain']}" if "domain" in self.frame else ""
        ends = ""
        if np.isfinite(first["ci_low"]) and np.isfinite(first["ci_high"]):
            level = f"{100 * told['level']:g} %"
            ends = f" ({level} interval {first['ci_low']:,.4g} to {first['ci_high']:,.4g})"
        more = f"; {len(self.frame)} estimates in all" if len(self.frame) > 1 else ""
        return (
            f"The {what}{which} of {first['label']}{where} is {first['estimate']:,.4g}{ends}, from "
            f"{first['n_used']:,} respondents{more}."
        )

    def summary(self) -> pd.DataFrame:
        """Return each estimate with its error, interval and design effect."""
        named = [c for c in ("label", "category", "prob", "domain") if c in self.frame]
        told = ["estimate", "std_error", "ci_low", "ci_high", "deff", "n_used"]
        return self.frame[[*named, *told]]

    def methods_text(self) -> str:
        """Return what was estimated and how, with citation keys."""
        told = self.details
        several = STATISTICS[told["statistic"]][1]
        stages = "" if told["n_stages"] == 1 else f", drawn in {told['n_stages']} stages"
        strata = f" in {told['n_strata']} strata" if told["n_strata"] > 1 else ""
        by = f", in the domains of {told['by']}," if told["by"] else ""
        ends = {
            "proportion": "t on the logit scale [@KornGraubard1998]",
            "quantile": "Woodruff's method [@Woodruff1952]",
        }.get(told["statistic"], "t")
        if told["variance"] != "taylor" and told["statistic"] == "quantile":
            ends = "t"
        finite = (
            " and finite-population corrections" if told["finite"] else ", PSUs counting as drawn "
            "with replacement"
        )  # fmt: skip
        return (
            f"{several} were estimated{by} from {told['n_psu']:,} PSUs{strata}{stages}, with "
            f"design weights. Standard errors come from {VARIANCES[told['variance']]}{finite}, and "
            f"{100 * told['level']:g} % intervals from {ends} with as many degrees of freedom as "
            "there are PSUs less strata. Respondents without an answer, or outside a domain, stay "
            "in the design."
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw each estimate with its interval, and return the axes."""
        ax = plots.new_axes(ax, (6.8, 1.4 + 0.34 * min(len(self.frame), plots.MANY)))
        parts = [c for c in ("label", "category", "prob", "domain") if c in self.frame]
        labels = self.frame[parts].astype(str).agg(", ".join, axis=1).tolist()
        middle, low, high = (
            self.frame[c].to_numpy(float) for c in ("estimate", "ci_low", "ci_high")
        )
        plots.intervals(ax, labels, middle, low, high)
        one, several = STATISTICS[self.details["statistic"]]
        level = f"{100 * self.details['level']:g} % interval"
        return plots.describe(ax, f"{several} of the population", f"{one}, {level}")


@dataclass(frozen=True, eq=False)
class _Task:
    """What is to be estimated: variables, and how each estimate is labelled."""

    statistic: str
    values: Floats
    bases: Floats | None
    probs: Floats
    labels: pd.DataFrame

    def estimate(self, design: Design, domain: Mask, level: float) -> dict[str, Any]:
        """Return the columns of the frame for one domain, by linearisation."""
        if self.statistic == "quantile":
            return self._quantiles(design, domain, level)
        if self.bases is not None:
            found = estimates.ratios(self.values, self.bases, design, domain=domain)
        else:
            method = _LINEAR[self.statistic]
            found = method(self.values, design, domain=domain)
        # Weights alone need not count the population: then there is no share to correct for.
        counted = design.populations[0] is not None
        deff = found.deff if counted else found.deff_replace
        told = {"estimate": found.estimate, "std_error": found.std_error}
        return told | self.ends(told, found.df, level) | {
            "df": found.df, "deff": deff, "n_used": found.n_used, "n_dropped": found.n_dropped,
        }  # fmt: skip

    def ends(self, told: dict[str, Any], df: npt.ArrayLike, level: float) -> dict[str, Any]:
        """Return the limits of intervals."""
        limits = estimates.logit_interval if self.statistic == "proportion" else estimates.t_limits
        low, high = limits(told["estimate"], told["std_error"], df, level)
        return {"ci_low": low, "ci_high": high}

    def _quantiles(self, design: Design, domain: Mask, level: float) -> dict[str, Any]:
        parts = [
            estimates.quantiles(y, self.probs, design, domain=domain, level=level)
            for y in self.values.T
        ]
        told = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("estimate", "std_error", "ci_low", "ci_high")
        }
        count = len(self.probs)
        facts = {
            name: np.repeat([getattr(part, name) for part in parts], count)
            for name in ("df", "n_used", "n_dropped")
        }
        return told | facts | {"deff": np.full(len(facts["df"]), np.nan)}

    def points(self, weights: Floats, rows: npt.NDArray[np.intp]) -> Floats:
        """Return the estimates under sets of weights (r, m) of some rows, shape (r, p)."""
        values = self.values[rows]
        if self.statistic == "quantile":
            parts = [points.point_quantiles(weights, y, self.probs) for y in values.T]
            return np.concatenate(parts, axis=-1)
        if self.bases is not None:
            return points.point_ratios(weights, values, self.bases[rows])
        found = _POINTS[self.statistic](weights, values)
        # Of a replicate that draws nobody there is no mean, but the total is 0.
        return np.nan_to_num(found) if self.statistic == "total" else found


_LINEAR: dict[str, Callable[..., estimates.SurveyEstimate]] = {
    "mean": estimates.means,
    "proportion": estimates.means,
    "total": estimates.totals,
    "variance": estimates.variances,
}
_POINTS: dict[str, Callable[[npt.ArrayLike, npt.ArrayLike], Floats]] = {
    "mean": points.point_means,
    "proportion": points.point_means,
    "total": points.point_totals,
    "variance": points.point_variances,
}


def estimate_survey(
    survey: Survey,
    statistic: str = "mean",
    *,
    items: Sequence[str] | None = None,
    by: str | None = None,
    denominator: str | None = None,
    probs: Sequence[float] = (0.25, 0.5, 0.75),
    variance: str = "taylor",
    level: float = 0.95,
    n_replicates: int = 500,
    seed: int | None = None,
) -> Estimates:
    r"""Estimate means, totals, shares, ratios, quantiles or variances in the population.

    Parameters
    ----------
    survey : Survey
        Answers and design.
    statistic : {"mean", "total", "proportion", "ratio", "quantile", "variance"}
        What to estimate of each item; "proportion" is the share of each answer.
    items : sequence of str, optional
        Items of the codebook; all by default (but the denominator).
    by : str, optional
        Column of the table whose values are domains, such as the place.
    denominator : str, optional
        The item that ratios are to; needed by "ratio".
    probs : sequence of float, default (0.25, 0.5, 0.75)
        Shares of the population at or below the quantiles.
    variance : {"taylor", "jackknife", "brr", "fay", "subbootstrap", "bootstrap"}
        Where errors come from. The jackknife has none for quantiles; "brr" and "fay" need two
        PSUs in each stratum. Replicates leave out what later stages add with a
        finite-population correction (`lgpi_research.methods.replication.replicate_weights`).
    level : float, default 0.95
        Level of the intervals.
    n_replicates : int, default 500
        Replicates of the two bootstraps.
    seed : int, optional
        Seed of the two bootstraps; a fresh one is drawn and recorded if None.

    Returns
    -------
    Estimates

    Raises
    ------
    SpecError
        With every option that is unknown or does not fit the others.
    DataError
        If the column of domains is missing or has more than one name.
    MethodError
        If a stratum has one PSU and the design says to fail, or no estimate has an error.

    Notes
    -----
    Domains are estimated with the whole design: respondents outside one count 0 and are never
    dropped, for its size is random. Where all respondents of a domain lie in one PSU of each
    stratum, no degree of freedom is left: there is an estimate without an error.

    Coverage in per cent of 95 % intervals of the mean of five-point answers, in 2,500 simulated
    samples each with 10 respondents a PSU, an intraclass correlation of 0.1 and weights that
    differ threefold between strata (Monte Carlo error 0.4 to 0.6); "normal" would take 1.96 for
    the quantile of t:

    ======  ===============  ====  ======
    strata  PSUs in each        t  normal
    ======  ===============  ====  ======
    30      2                95.0    94.2
    10      20               95.0    94.9
    4       3                94.1    90.6
    1       20               95.0    93.9
    ======  ===============  ====  ======

    In samples of 20 PSUs of 15 respondents without strata, shares of 10 % are covered in 94.1 %
    (93.5 % by a plain t interval), medians in 94.6, ratios in 94.5, variances in 93.0; of 200
    PSUs in 94.7, 94.6, 94.4 and 94.7 %.

    Examples
    --------
    >>> from lgpi_research.codebook import Codebook, Indicator
    >>> from lgpi_research.survey import SurveyDesign
    >>> table = pd.DataFrame({"village": [1, 1, 2, 2, 3, 3], "q1": [1, 2, 4, 3, 5, 3]})
    >>> survey = Survey(table, Codebook((Indicator("q1"),)), SurveyDesign(psu="village"))
    >>> found = estimate_survey(survey)
    >>> found.frame[["indicator", "estimate", "std_error", "df"]].round(3)
      indicator  estimate  std_error  df
    0        q1       3.0      0.764   2
    """
    chosen = _check_options(survey, statistic, items, denominator, probs, variance, level,
                            n_replicates)  # fmt: skip
    task = _task(survey, statistic, chosen, denominator, probs)
    design = survey.linear_design()
    domains, remarks = _domains(survey, by)
    seeded = variance in RANDOM
    root = root_seed(seed) if seeded else None
    reps = None if variance == "taylor" else _replicates(design, variance, n_replicates, root)
    frames, lacking = [], list[str]()
    for name, rows in domains:
        told = task.estimate(design, rows, level)
        if reps is not None:
            told |= _replicated(task, design, reps, rows, told, level, name, lacking)
        frame = pd.concat([task.labels, pd.DataFrame(told)], axis=1)
        if by is not None:
            frame.insert(len(task.labels.columns), "domain", name)
        frames.append(frame)
    frame = pd.concat(frames, ignore_index=True)
    if lacking and frame["std_error"].isna().all():
        raise MethodError(lacking[0])
    frame, more = _without_freedom(frame, design, by)
    details: dict[str, Any] = {
        "statistic": statistic,
        "items": list(chosen),
        "by": by,
        "denominator": denominator,
        "variance": variance,
        "level": level,
        "n_psu": design.n_psu,
        "n_strata": design.n_strata,
        "n_stages": len(design.stages),
        "finite": design.populations[0] is not None,
    }
    specification = {key: details[key] for key in list(details)[:6]}
    if statistic == "quantile":
        specification["probs"] = [float(p) for p in probs]
    if seeded:
        specification["n_replicates"] = int(n_replicates)
    idle = int((design.weights == 0).sum())
    if idle:
        remarks.append(
            f"{idle} of {len(survey)} respondents have weight 0: they count in no estimate."
        )
    return Estimates(
        frame,
        provenance(seed=root, specification=specification, data={"survey": survey.digest}),
        (*survey.notes, *remarks, *_missing(task, survey, design), *lacking, *more),
        details=details,
    )


def _check_options(
    survey: Survey,
    statistic: str,
    items: Sequence[str] | None,
    denominator: str | None,
    probs: Sequence[float],
    variance: str,
    level: float,
    n_replicates: int,
) -> tuple[str, ...]:
    """Return the items, or raise every option that is unknown or does not fit."""
    problems = Problems("the options")
    for name, value, allowed in (
        ("statistic", statistic, tuple(STATISTICS)), ("variance", variance, tuple(VARIANCES))
    ):  # fmt: skip
        if value not in allowed:
            problems.add(
                f"{name}: must be one of {', '.join(allowed)}, got {value!r}."
                f"{nearest(str(value), allowed)}"
            )
    names = survey.codebook.names
    chosen = tuple(names if items is None else items)
    if isinstance(items, str):
        problems.add(f"items: a sequence of names, such as [{items!r}].")
        chosen = ()
    for name in chosen:
        if name not in names:
            problems.add(f"items: {name} is no item of the codebook.{nearest(name, names)}")
    if len(set(chosen)) < len(chosen):
        problems.add("items: one is named twice.")
    if (statistic == "ratio") != (denominator is not None):
        problems.add("denominator: 'ratio' needs one, and nothing else does.")
    elif denominator is not None and denominator not in names:
        problems.add(
            f"denominator: {denominator} is no item of the codebook.{nearest(denominator, names)}"
        )
    if items is None and denominator is not None:
        chosen = tuple(name for name in chosen if name != denominator)
    if not chosen and not problems:
        problems.add("items: there is none.")
    if statistic == "quantile":
        if not len(probs) or not all(0 < p < 1 for p in probs):
            problems.add(f"probs: one or more between 0 and 1, got {listing(probs) or 'none'}.")
        if variance == "jackknife":
            problems.add(
                "variance: the jackknife has no valid error for quantiles; use 'taylor', 'brr' or "
                "'subbootstrap'."
            )
    if not 0 < level < 1:
        problems.add(f"level: must lie between 0 and 1, got {level!r}.")
    if not (isinstance(n_replicates, int | np.integer) and n_replicates >= 2):
        problems.add(f"n_replicates: must be a whole number of at least 2, got {n_replicates!r}.")
    problems.raise_any(SpecError)
    return chosen


def _task(
    survey: Survey,
    statistic: str,
    items: tuple[str, ...],
    denominator: str | None,
    probs: Sequence[float],
) -> _Task:
    """Return what is to be estimated, with the labels of the rows."""
    book = {item.name: item for item in survey.codebook}
    shares = np.asarray(probs, dtype=float)
    columns, rows = list[Floats](), list[dict[str, Any]]()
    for name in items:
        y = survey.values[name].to_numpy(float)
        row = {"statistic": statistic, "indicator": name, "label": book[name].label or name}
        if statistic == "proportion":
            levels, indicators = points.category_indicators(y)
            columns.append(indicators)
            rows += [{**row, "category": level} for level in levels.tolist()]
            continue
        columns.append(y[:, None])
        rows += [{**row, "prob": p} for p in shares] if statistic == "quantile" else [row]
    values = np.hstack(columns)
    bases = None
    if denominator is not None:
        base = survey.values[denominator].to_numpy(float)
        bases = np.repeat(base[:, None], values.shape[1], axis=1)
    return _Task(statistic, values, bases, shares, pd.DataFrame(rows))


def _domains(survey: Survey, by: str | None) -> tuple[list[tuple[str, Mask]], list[str]]:
    """Return the name and the rows of each domain, and how many rows are in none."""
    if by is None:
        return [("", np.ones(len(survey), dtype=bool))], []
    columns = [str(name) for name in survey.frame.columns]
    if columns.count(by) != 1:
        found = columns.count(by)
        hint = "" if found else nearest(by, columns)
        raise DataError(f"by: {found or 'no'} columns are called {by!r}.{hint}")
    column = survey.frame.iloc[:, columns.index(by)]
    column = survey.values.get(by, column)
    levels, parts = points.category_indicators(
        column.astype(object).where(column.notna(), None).to_numpy()
    )
    outside = int(np.isnan(parts).all(axis=1).sum()) if len(levels) else len(survey)
    if not len(levels):
        raise DataError(f"by: {by!r} has no value.")
    notes = [f"{by}: {outside:,} respondents have none and are in no domain."] if outside else []
    return [(str(level), part == 1) for level, part in zip(levels, parts.T, strict=True)], notes


def _replicates(
    design: Design, variance: str, n_replicates: int, root: int | None
) -> ReplicateWeights:
    """Return the replicates of a design; bootstraps come in whole blocks that are cut."""
    if variance not in RANDOM:
        whole = "jk1" if len(np.unique(design.strata)) == 1 else "jkn"
        return replicate_weights(design, whole if variance == "jackknife" else variance)
    parts = [
        replicate_weights(design, variance, rng=stream(root or 0, "bootstrap", block), size=BLOCK)
        for block in range(-(-n_replicates // BLOCK))
    ]
    multipliers = np.concatenate([part.multipliers for part in parts])[:n_replicates]
    return replace(
        parts[0],
        multipliers=multipliers,
        rscales=np.ones(n_replicates),
        scale=parts[0].scale * BLOCK / n_replicates,
    )


def _replicated(
    task: _Task,
    design: Design,
    reps: ReplicateWeights,
    rows: Mask,
    told: dict[str, Any],
    level: float,
    name: str,
    lacking: list[str],
) -> dict[str, Any]:
    """Return the columns of the frame that replicates change."""
    at = np.flatnonzero(rows & (design.weights > 0))
    weights, psu = design.weights[at], reps.psu[at]
    step = max(1, _CELLS // max(1, len(at)))
    parts = [
        task.points(block[:, psu] * weights, at)
        for block in np.split(reps.multipliers, range(step, len(reps), step))
    ]
    each, full = np.concatenate(parts), np.asarray(told["estimate"])
    lost = (~np.isfinite(each)).sum(axis=0)
    known, sound = ~np.isnan(full), ~np.isnan(full) & (lost == 0)
    error = np.full(len(full), np.nan)
    if sound.any():
        cov = replicate_covariance(each[:, sound], full[sound], reps)
        error[sound] = np.sqrt(np.diagonal(cov))
    if (known & ~sound).any():
        which = listing(dict.fromkeys(task.labels.loc[known & ~sound, "indicator"]))
        lacking.append(
            f"{name or 'the survey'}{f', {which}' if sound.any() else ''}: no error. "
            f"{lost[known].max()} of {len(reps)} replicates have no estimate: all that it rests on "
            "had weight 0. Join small groups, or use replicates that leave nobody out ('fay')."
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        deff = told["deff"] * np.square(error / told["std_error"])
    df = np.minimum(told["df"], reps.df)
    changed = {"estimate": full, "std_error": error, "df": df, "deff": deff}
    return changed | task.ends(changed, df, level)


def _without_freedom(
    frame: pd.DataFrame, design: Design, by: str | None
) -> tuple[pd.DataFrame, list[str]]:
    """Blank errors that rest on no degree of freedom, and say which are rough."""
    notes = []
    empty = frame["n_used"] == 0
    if empty.any():
        notes.append(f"{int(empty.sum())} of {len(frame)} estimates have no respondent: blank.")
    whole = bool((design.levels[0].fraction == 1).all())
    free = frame["df"] > 0
    if not whole and not (free | empty).all():
        blank = ["std_error", "ci_low", "ci_high", "deff"]
        frame.loc[~free, blank] = np.nan
        which = listing(dict.fromkeys(frame.loc[~free & ~empty, "domain" if by else "indicator"]))
        notes.append(
            f"{int((~free & ~empty).sum())} of {len(frame)} estimates rest on one PSU in each "
            f"stratum and have no error: {which}."
        )
    rough = free & (frame["df"] < _FEW)
    if rough.any():
        notes.append(
            f"{int(rough.sum())} of {len(frame)} estimates have fewer than {_FEW} degrees of "
            "freedom: their errors are rough."
        )
    return frame, notes


def _missing(task: _Task, survey: Survey, design: Design) -> list[str]:
    """Say how many answers each item lacks."""
    lost = survey.values[list(dict.fromkeys(task.labels["indicator"]))].isna()
    held = design.weights > 0
    counts = lost[held].sum()
    told = [f"{name} {int(count):,}" for name, count in counts.items() if count]
    if not told:
        return []
    weighted = "" if held.all() else " with a weight"
    return [f"Answers missing, of {held.sum():,} respondents{weighted}: {listing(told, 12)}."]
