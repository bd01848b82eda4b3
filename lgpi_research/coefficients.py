"""Coefficients of scales: estimated from the moments of a survey, intervals from its replicates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.blocks import fold_blocks
from lgpi_research.errors import DataError, MethodError, Problems, SpecError, listing
from lgpi_research.methods import guttman, onefactor, ordinal  # noqa: F401  register coefficients
from lgpi_research.methods.consistency import Spread, correlation, feldt_interval
from lgpi_research.methods.directional import directional_interval, stretch_of
from lgpi_research.methods.jackknife import jackknife_interval
from lgpi_research.methods.polychoric import PairCounts
from lgpi_research.methods.replicates import delete_one, rao_wu, strata_sizes
from lgpi_research.moments import Moments, Scale
from lgpi_research.registry import Function, Method, describe, entry, resolve
from lgpi_research.streams import BLOCK, stream

__all__ = [
    "INTERVALS",
    "PAIRS",
    "Coefficient",
    "check_items",
    "coefficient_rows",
    "consistent_scales",
    "dimension_of",
    "directional_t",
    "item_problems",
    "jackknife_t",
    "named_coefficients",
    "replicate_coefficients",
]

Floats = npt.NDArray[np.float64]

INTERVALS = {
    "jackknife": "jackknife-t",
    "directional": "directional bootstrap",
    "rao_wu": "Rao-Wu bootstrap-t",
    "bootstrap": "PSU percentile bootstrap",
    "feldt": "Feldt (assumes independent respondents)",
}
"""What the intervals are called in a result."""

PAIRS = " (pair counts)"
"""What follows the name of a dimension in the scale that holds its pair counts."""

_SLICE = 128  # replicates at a time: bounds memory, and fixes the shape of every product
_PAIR_SLICE = 16  # of tables of pairs, which are larger
_COPY = 1e-9  # items whose correlation is this near to 1 are copies of one another


@dataclass(frozen=True)
class Coefficient:
    """A coefficient by name, with what it is a function of.

    Attributes
    ----------
    name : str
        What it is called in a result.
    function : callable
        Takes a `Spread`, or `PairCounts`.
    needs : {"variances", "covariance", "pair counts"}
        What must have been kept of the answers.
    smooth : bool
        Whether the jackknife holds for it: not for the largest of several estimates, whose
        default interval is "directional".
    """

    name: str
    function: Function
    needs: str
    smooth: bool = True

    @property
    def default_interval(self) -> str:
        """Key of `INTERVALS`."""
        return "jackknife" if self.smooth else "directional"


def named_coefficients(methods: Sequence[str | Method]) -> list[Coefficient]:
    """Return coefficients by name, with their options bound; each once.

    A function that is not registered is taken to need covariances, and to be smooth.

    Raises
    ------
    SpecError
        With every name or option that is unknown.

    Examples
    --------
    >>> [(c.name, c.needs) for c in named_coefficients(["alpha", "ordinal_alpha"])]
    [('alpha', 'variances'), ('ordinal_alpha', 'pair counts')]
    """
    found: dict[str, Coefficient] = {}
    problems = Problems("the coefficients")
    for method in methods:
        try:
            function = resolve("coefficient", method)
        except SpecError as error:
            problems.add(str(error))
            continue
        facts: Mapping[str, Any] = {"needs": "covariance"}
        if isinstance(method, str | Method):
            facts = entry("coefficient", getattr(method, "name", str(method))).facts
        name = describe(method)
        found[name] = Coefficient(name, function, **facts)
    problems.raise_any(SpecError)
    return list(found.values())


def dimension_of(scale: str) -> str:
    """Return the dimension that a scale belongs to.

    Examples
    --------
    >>> dimension_of("voice (pair counts)")
    'voice'
    """
    return scale.removesuffix(PAIRS)


def consistent_scales(moments: Moments) -> list[Scale]:
    """Return the scales that have a consistency: two items or more, and more than means."""
    return [s for s in moments.scales if s.needs != "means" and len(s.items) > 1]


Wanted = Mapping[tuple[str, str], Function]
"""(scale, coefficient) to the function that estimates it."""


def replicate_coefficients(
    moments: Moments,
    wanted: Wanted,
    *,
    kind: str,
    n_draws: int = 0,
    stretch: float = 1.0,
    seed: int = 0,
    n_jobs: int | None = None,
) -> dict[tuple[str, str], Floats]:
    """Return coefficients in every replicate of a survey.

    Parameters
    ----------
    moments : Moments
        Sums of the survey.
    wanted : mapping of (scale, coefficient) to function
        What to estimate.
    kind : {"bootstrap", "jackknife"}
        Rescaled bootstrap of PSUs, or leaving out one PSU at a time.
    n_draws : int
        Draws of the bootstrap; more draws extend fewer.
    stretch : float, default 1
        How many times the deviations of the draws from the whole are stretched.
    seed : int
        Seed of the bootstrap.
    n_jobs : int or None
        Workers; None takes joblib's context.

    Returns
    -------
    dict of (scale, coefficient) to ndarray of shape (n_replicates,)
        NaN for a replicate without a valid answer.

    Raises
    ------
    MethodError
        If a stratum has one PSU and the moments refuse that.
    """
    if not wanted:
        return {}
    codes, sizes = strata_sizes(moments.strata, lonely=moments.lonely)
    n = n_draws if kind == "bootstrap" else int((sizes[codes] > 1).sum())
    work = _Replicates(moments, wanted, kind, stretch, seed, n)
    # Each block fills its own part of an array of zeros, so that adding blocks joins them.
    sums = fold_blocks(work, n, n_jobs=n_jobs, label=kind)
    return {key: sums[str(number)] for number, key in enumerate(wanted)}


@dataclass(frozen=True, eq=False)
class _Replicates:
    """The work of one block of replicates."""

    moments: Moments
    wanted: Wanted
    kind: str
    stretch: float
    seed: int
    n: int

    def __call__(self, block: int, size: int) -> dict[str, Floats]:
        first = block * BLOCK
        found = {str(number): np.zeros(self.n) for number in range(len(self.wanted))}
        strata, lonely = self.moments.strata, self.moments.lonely
        rng = stream(self.seed, "bootstrap", block)
        left_out = None
        if self.kind == "jackknife":
            rows = slice(first, first + size)
            left_out, _ = delete_one(self.moments.sums, strata, rows=rows, lonely=lonely)
        for start in range(0, size, _SLICE):
            end = min(start + _SLICE, size)
            if left_out is None:
                # Slices are drawn and multiplied whole, and cut afterwards.
                drawn = rao_wu(rng, strata, _SLICE, lonely=lonely)
                if self.stretch != 1:
                    drawn = 1 + self.stretch * (drawn - 1)
                sums = self.moments.replicate(drawn)
            else:
                sums = left_out[start:end]
            for key, values in self._estimates(sums).items():
                found[key][first + start : first + end] = values[: end - start]
        return found

    def _estimates(self, sums: Floats) -> dict[str, Floats]:
        """Return each coefficient in some replicates, those of a scale from the same data."""
        found = {str(number): np.empty(len(sums)) for number in range(len(self.wanted))}
        for scale in dict.fromkeys(scale for scale, _ in self.wanted):
            pairs = self.moments.scale(scale).needs == "pair counts"
            step = _PAIR_SLICE if pairs else _SLICE
            for start in range(0, len(sums), step):
                rows = slice(start, start + step)
                data: Spread | PairCounts
                data = (self.moments.pair_counts if pairs else self.moments.spread)(
                    scale, sums[rows]
                )
                for number, ((of, _), function) in enumerate(self.wanted.items()):
                    if of == scale:
                        found[str(number)][rows] = function(data)
        return found


def check_items(moments: Moments) -> None:
    """Raise every problem that leaves a scale without an answer that means something.

    Raises
    ------
    DataError
        With every problem: too few respondents, items that never vary, items that are
        copies of one another.
    """
    problems = Problems("the scales")
    for scale in consistent_scales(moments):
        problems.extend(item_problems(moments, scale))
    problems.raise_any(DataError)


def item_problems(moments: Moments, scale: Scale) -> list[str]:
    """Return what leaves a scale without an answer that means something."""
    name = dimension_of(scale.name)
    least = moments.n_least(scale.name)
    if least < 2:
        which = "every item" if scale.missing == "listwise" else "a pair of items"
        return [
            f"{name}: {least} respondents answered {which}; at least 2 are needed. Leave "
            "out items that few were asked."
        ]
    if scale.needs == "pair counts":
        given = (moments.pair_counts(scale.name).margins() > 0).sum(axis=-1)
        constant, matrix = given < 2, None
    else:
        spread = moments.spread(scale.name)
        constant, matrix = ~(spread.variances > 0), spread.covariance
    if constant.any() or matrix is None:
        return [
            f"{name}: {item} never varies among those whose answers are used. Leave it out."
            for item in np.array(scale.items)[constant]
        ]
    first, second = np.nonzero(np.triu(np.abs(correlation(matrix)) > 1 - _COPY, 1))
    return [
        f"{name}: {scale.items[i]} and {scale.items[j]} correlate perfectly: one is a copy of the "
        "other. Leave one out."
        for i, j in zip(first, second, strict=True)
    ]


def coefficient_rows(
    moments: Moments,
    coefficients: Sequence[Coefficient],
    *,
    level: float,
    n_draws: int,
    seed: int,
    n_jobs: int | None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Estimate coefficients of the scales that hold what they need, with every interval.

    Parameters
    ----------
    moments : Moments
        Sums of the survey.
    coefficients : sequence of Coefficient
        What to estimate; of a scale, those whose needs it holds.
    level : float
        Level of the intervals.
    n_draws : int
        Draws of the bootstrap.
    seed : int
        Its seed.
    n_jobs : int or None
        Workers; None takes joblib's context.

    Returns
    -------
    rows : list of dict
        One for each coefficient and interval.
    notes : list of str
        Coefficients without an answer, and replicates without one, by name and count.

    Raises
    ------
    MethodError
        If a stratum has one PSU and the moments refuse that.
    """
    wanted: dict[tuple[str, str], Function] = {}
    points: dict[tuple[str, str], float] = {}
    notes = []
    for scale in consistent_scales(moments):
        data: Spread | PairCounts
        pairs = scale.needs == "pair counts"
        data = moments.pair_counts(scale.name) if pairs else moments.spread(scale.name)
        for coefficient in coefficients:
            if (coefficient.needs == "pair counts") != pairs:
                continue
            name = coefficient.name
            try:
                points[scale.name, name] = float(coefficient.function(data))
            except MethodError as error:
                order = listing(scale.items, most=20)
                notes.append(
                    f"{dimension_of(scale.name)}: {name} is left out: {error} Items in order: "
                    f"{order}."
                )
            else:
                wanted[scale.name, name] = coefficient.function
                if name.startswith("lambda4") and len(scale.items) > guttman.EXACT:
                    notes.append(
                        f"{dimension_of(scale.name)}: {name} is that of the best split found; with "
                        f"more than {guttman.EXACT} items not every split is visited."
                    )
    if not wanted:
        return [], notes
    smooth = {c.name for c in coefficients if c.smooth}
    left_out = replicate_coefficients(moments, wanted, kind="jackknife", n_jobs=n_jobs)
    draws: dict[str, Any] = {"n_draws": n_draws, "seed": seed, "n_jobs": n_jobs}
    drawn = replicate_coefficients(moments, wanted, kind="bootstrap", **draws)
    stretched: dict[tuple[str, str], Floats] = {}
    for scale in consistent_scales(moments):
        of_scale = {
            key: function
            for key, function in wanted.items()
            if key[0] == scale.name and key[1] not in smooth
        }
        stretch = stretch_of(moments.n_least(scale.name))
        stretched |= replicate_coefficients(
            moments, of_scale, kind="bootstrap", stretch=stretch, **draws
        )
    rows: list[dict[str, Any]] = []
    for key, estimate in points.items():
        scale = moments.scale(key[0])
        found = {
            "rao_wu": _bootstrap_t(moments, key[0], estimate, drawn[key], level),
            "bootstrap": _percentiles(drawn[key], level),
        }
        ends = jackknife_t(moments, key[0], estimate, left_out[key], level)
        if key in stretched:
            ends = directional_t(moments, key[0], estimate, stretched[key], ends[3], level)
            found = {"directional": ends, **found}
        else:
            found = {"jackknife": ends, **found}
        if key[1] == "alpha":
            found["feldt"] = _feldt(moments, key[0], estimate, level)
        shared = {
            "n_used": moments.n_used(scale.name),
            "n_dropped": moments.n_dropped(scale.name),
            "n_clusters": int(moments.has_answers(scale.name).sum()),
            "measurement": scale.measurement,
        }
        rows.extend(
            {
                "dimension": dimension_of(scale.name),
                "coefficient": key[1],
                "scope": "overall",
                "estimate": estimate,
                "std_error": std_error,
                "ci_low": low,
                "ci_high": high,
                "interval": INTERVALS[kind],
                "df": df,
                **shared,
            }
            for kind, (std_error, low, high, df) in found.items()
        )
        notes.extend(_failures(key, left_out[key], drawn[key], stretched.get(key)))
    return rows, notes


Ends = tuple[float, float, float, float]
"""Standard error, lower end, upper end, degrees of freedom; NaN where there is none."""

_NONE = (math.nan,) * 4


def jackknife_t(
    moments: Moments,
    scale: str,
    estimate: float,
    replicates: Floats,
    level: float,
    *,
    logs: bool = True,
) -> Ends:
    """Return standard error and interval of the jackknife over PSUs.

    The interval is that of `lgpi_research.methods.jackknife.jackknife_interval`: corrected
    for bias, with t.

    Parameters
    ----------
    moments : Moments
        Sums of the survey: their strata and clusters with answers give the most degrees of
        freedom, PSUs less strata.
    scale : str
        The scale that the coefficient is of.
    estimate : float
        The coefficient.
    replicates : ndarray of shape (n_replicates,)
        The coefficient without one PSU each (`replicate_coefficients`).
    level : float
        Level of the interval.
    logs : bool, default True
        Whether t is taken on the scale of log(1 - coefficient), as suits what is at most
        1; otherwise on that of the coefficient.

    Returns
    -------
    tuple of float
        Standard error, lower end, upper end, degrees of freedom; NaN if a replicate has
        no answer, or is 1 or more on the scale of logarithms.
    """
    if not np.isfinite(replicates).all() or (logs and max(estimate, replicates.max()) >= 1):
        return _NONE
    codes, sizes = strata_sizes(moments.strata, lonely=moments.lonely)
    of_each = sizes[codes]
    shrink = 1 - 1 / of_each[of_each > 1]
    error = math.sqrt((shrink * np.square(replicates - estimate)).sum())
    df = _answering_df(moments, scale)
    if df < 1:
        return _NONE
    if not logs:
        return jackknife_interval(estimate, replicates, shrink, df, level=level)
    _, low, high, used = jackknife_interval(
        math.log1p(-estimate), np.log1p(-replicates), shrink, df, level=level
    )
    return error, 1 - math.exp(high), 1 - math.exp(low), used


def directional_t(
    moments: Moments, scale: str, estimate: float, replicates: Floats, df: float, level: float
) -> Ends:
    """Return standard error and interval of a coefficient that is a maximum.

    The interval is that of `lgpi_research.methods.directional.directional_interval`, on the
    scale of log(1 - coefficient).

    Parameters
    ----------
    moments : Moments
        Sums of the survey.
    scale : str
        The scale that the coefficient is of.
    estimate : float
        The coefficient.
    replicates : ndarray of shape (n_draws,)
        The coefficient in draws whose deviations are stretched as
        `lgpi_research.methods.directional.stretch_of` says of the respondents
        (`replicate_coefficients`).
    df : float
        Degrees of freedom, as those of the coefficient's jackknife (`jackknife_t`).
    level : float
        Level of the interval.

    Returns
    -------
    tuple of float
        Standard error, lower end, upper end, degrees of freedom; NaN if fewer than half of
        the draws have an answer below 1, or there are no degrees of freedom.
    """
    valid = np.where(replicates < 1, replicates, np.nan)
    if estimate >= 1 or not df >= 1 or np.isfinite(valid).sum() < max(2, len(valid) / 2):
        return _NONE
    stretch = stretch_of(moments.n_least(scale))
    _, low, high = directional_interval(
        math.log1p(-estimate), np.log1p(-valid), stretch, df, level=level
    )
    error = float(np.nanstd(valid, ddof=1)) / stretch
    return error, 1 - math.exp(high), 1 - math.exp(low), float(df)


def _answering_df(moments: Moments, scale: str) -> int:
    """Return PSUs less strata, counting those PSUs that have answers and company."""
    codes, sizes = strata_sizes(moments.strata, lonely=moments.lonely)
    answering = (sizes[codes] > 1) & moments.has_answers(scale)
    return int(answering.sum()) - len(np.unique(codes[answering]))


def _on_logs(
    moments: Moments, scale: str, estimate: float, spread: float, level: float
) -> tuple[float, float, float]:
    """Return ends and df of t on the scale of log(1 - coefficient)."""
    df = _answering_df(moments, scale)
    if df < 1:
        return math.nan, math.nan, math.nan
    middle, reach = math.log1p(-estimate), float(stats.t.isf((1 - level) / 2, df)) * spread
    return 1 - math.exp(middle + reach), 1 - math.exp(middle - reach), float(df)


def _bootstrap_t(
    moments: Moments, scale: str, estimate: float, replicates: Floats, level: float
) -> Ends:
    """Return the interval of the rescaled bootstrap's standard error, with t on logarithms."""
    valid = replicates[np.isfinite(replicates) & (replicates < 1)]
    if estimate >= 1 or len(valid) < max(2, len(replicates) / 2):
        return _NONE
    spread = float(np.log1p(-valid).std(ddof=1))
    return float(valid.std(ddof=1)), *_on_logs(moments, scale, estimate, spread, level)


def _percentiles(replicates: Floats, level: float) -> Ends:
    """Return the percentile interval of the replicates that have an answer."""
    valid = replicates[np.isfinite(replicates)]
    if len(valid) < max(2, len(replicates) / 2):
        return _NONE
    low, high = np.quantile(valid, [(1 - level) / 2, (1 + level) / 2])
    return float(valid.std(ddof=1)), float(low), float(high), math.nan


def _feldt(moments: Moments, scale: str, estimate: float, level: float) -> Ends:
    """Return Feldt's interval."""
    n, k = moments.n_least(scale), len(moments.scale(scale).items)
    low, high = feldt_interval(estimate, n, k, level)
    return math.nan, float(low), float(high), float(n - 1)


def _failures(
    key: tuple[str, str], left_out: Floats, drawn: Floats, stretched: Floats | None
) -> list[str]:
    """Say how many replicates had no answer, and what that means."""
    notes, name = [], f"{dimension_of(key[0])}: {key[1]}"
    missing = int((~(left_out < 1)).sum())
    if missing:
        kind = "jackknife" if stretched is None else "directional"
        notes.append(
            f"{name} has no {kind} interval: {missing} of {len(left_out)} samples without one "
            "cluster have no proper solution."
        )
    for kind, draws in (("bootstrap", drawn), ("stretched bootstrap", stretched)):
        missing = 0 if draws is None else int((~np.isfinite(draws)).sum())
        if draws is None or not missing:
            continue
        rest = "the interval rests on the others"
        if missing > len(draws) / 2:
            rest = "too many for an interval"
        notes.append(
            f"{name} has no proper solution in {missing} of {len(draws)} {kind} draws; {rest}."
        )
    return notes
