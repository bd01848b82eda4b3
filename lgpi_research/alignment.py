"""Alignment: the same trait in many groups whose measures differ in places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from lgpi_research import plots
from lgpi_research.answers import group_moments, plain_survey, reason_of
from lgpi_research.coefficients import consistent_scales, item_problems, named_coefficients
from lgpi_research.errors import (
    DataError,
    LGPIError,
    MethodError,
    Problems,
    SpecError,
    listing,
    nearest,
)
from lgpi_research.methods.latent.alignment import Alignment, align_groups
from lgpi_research.methods.latent.configural import configural_one_factor
from lgpi_research.methods.onefactor import one_factor
from lgpi_research.methods.replicates import delete_one
from lgpi_research.moments import Moments, Scale
from lgpi_research.results import Result, provenance
from lgpi_research.survey import Survey

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["AlignedScales", "assess_alignment"]

Floats = npt.NDArray[np.float64]

TRUSTED = 0.25
"""Share of parameters that differ up to which aligned means are commonly trusted."""

KINDS = ("means", "parameters")
"""Pictures by name."""

ERRORS = ("design", "normal")

_SMOOTHING = 1e-3  # of the loss, for each unit of the items' variance


@dataclass(frozen=True, eq=False, repr=False)
class AlignedScales(Result, kind="alignment"):
    """Factor means of groups by alignment, and the items that measure differently in some.

    ``frame`` has one row for each scale and group: ``dimension``, ``group``, ``n_used``,
    ``mean`` of the factor (in standard deviations of the reference group, whose mean is 0) with
    ``std_error``, ``ci_low`` and ``ci_high``, ``variance``, and ``n_different``, how many of the
    group's loadings and intercepts are not those of the others. `parameters` has these.
    """

    def headline(self) -> str:
        """Return how much differs, and whether means may be compared, in a sentence."""
        said = []
        for dimension, share in self.details["noninvariant_share"].items():
            rows = self.frame[self.frame["dimension"] == dimension]
            low, high = (rows.loc[rows["mean"].agg(f)] for f in ("idxmin", "idxmax"))
            verdict = (
                "so that their means may be compared"
                if share <= TRUSTED
                else f"more than the {TRUSTED:.0%} up to which means are commonly compared"
            )
            said.append(
                f"{dimension}: {share:.0%} of the loadings and intercepts of {len(rows)} groups "
                f"differ, {verdict}. Lowest is {low['group']} ({low['mean']:.2f}), highest "
                f"{high['group']} ({high['mean']:.2f})."
            )
        return " ".join(said)

    def summary(self) -> pd.DataFrame:
        """Return the factor means of each scale, the highest first."""
        order = self.frame["dimension"].map(
            {name: i for i, name in enumerate(dict.fromkeys(self.frame["dimension"]))}
        )
        table = self.frame.assign(order=order).sort_values(
            ["order", "mean"], ascending=[True, False], kind="stable"
        )
        columns = ["dimension", "group", "n_used", "mean", "ci_low", "ci_high", "n_different"]
        return table[columns].reset_index(drop=True)

    def parameters(self) -> pd.DataFrame:
        """Return how each item measures in each group.

        Returns
        -------
        DataFrame
            ``dimension``, ``item``, ``group``, ``loading``, ``intercept`` (aligned),
            ``loading_differs`` and ``intercept_differs``.
        """
        return pd.DataFrame(self.details["parameters"])

    def items(self) -> pd.DataFrame:
        """Return how invariant each item is.

        Returns
        -------
        DataFrame
            ``dimension``, ``item``, ``loading_r2`` and ``intercept_r2`` (share of the
            variation over groups that factor means and variances explain),
            ``loadings_different`` and ``intercepts_different`` (groups).
        """
        return pd.DataFrame(self.details["items"])

    def methods_text(self) -> str:
        """Return what was estimated and how, with citation keys."""
        errors = {
            "design": "of the jackknife that leaves out one cluster at a time",
            "normal": "of independent normal answers",
        }[self.details["errors"]]
        return (
            "One factor was fitted by maximum likelihood in every group, and the groups aligned: "
            "factor means and variances are those that leave few large instead of many small "
            "differences of loadings and intercepts [@AsparouhovMuthen2014]. Errors are those "
            f"{errors}; intervals, at {100 * self.details['level']:g} %, are normal."
        )

    def plot(
        self, ax: Axes | None = None, *, kind: str = "means", dimension: str | None = None
    ) -> Axes:
        """Draw the result of a scale, and return the axes.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; a new figure if None.
        kind : {"means", "parameters"}
            Factor means with intervals, or what differs: of each item and group nothing (0),
            loading or intercept (1), or both (2).
        dimension : str, optional
            Which scale; the first if None.

        Raises
        ------
        SpecError
            If the kind or the scale is unknown.
        """
        known = list(self.details["noninvariant_share"])
        name = known[0] if dimension is None else dimension
        if kind not in KINDS:
            raise SpecError(
                f"kind must be one of {', '.join(KINDS)}, got {kind!r}.{nearest(kind, KINDS)}"
            )
        if name not in known:
            raise SpecError(f"No scale {name!r}.{nearest(name, known)} Known: {listing(known)}.")
        if kind == "means":
            table = self.summary()
            table = table[table["dimension"] == name]
            ax = plots.new_axes(ax, (6.8, 1.2 + 0.26 * min(len(table), plots.MANY)))
            middle, low, high = (table[c].to_numpy(float) for c in ("mean", "ci_low", "ci_high"))
            plots.intervals(ax, table["group"].tolist(), middle, low, high)
            level = f"{100 * self.details['level']:g} % interval"
            return plots.describe(ax, f"Aligned means: {name}", f"factor mean, {level}")
        table = self.parameters()
        table = table[table["dimension"] == name]
        count = table["loading_differs"].astype(int) + table["intercept_differs"].astype(int)
        wide = count.set_axis(pd.MultiIndex.from_frame(table[["group", "item"]])).unstack("item")
        wide = wide[list(dict.fromkeys(table["item"]))]
        ax = plots.new_axes(ax, (3.2 + 0.75 * wide.shape[1], 1.8 + 0.26 * len(wide)))
        plots.counts(ax, wide.to_numpy(), wide.index.tolist(), wide.columns.tolist(), most=2)
        return plots.describe(ax, f"What differs: {name}")


def assess_alignment(
    data: Survey | Moments | pd.DataFrame,
    by: str | pd.Series,
    *,
    reference: str | None = None,
    errors: str = "design",
    missing: str = "listwise",
    level: float = 0.95,
) -> AlignedScales:
    r"""Compare many groups on what the items of each reflective scale measure.

    Parameters
    ----------
    data : Survey, Moments or DataFrame
        Answers, their sums, or a plain table whose columns are the items of one scale. Scales
        of three items or more are aligned one by one; items point in one direction, as the
        codebook says.
    by : str or Series
        Groups, as in `lgpi_research.reliability.assess_reliability`.
    reference : str, optional
        Group whose factor has mean 0 and variance 1; the first in sorted order if None.
    errors : {"design", "normal"}, default "design"
        Whether errors of loadings and intercepts come from the jackknife over the PSUs of each
        group, which must be two in a stratum, or suppose independent normal answers.
    missing : {"listwise", "pairwise"}, default "listwise"
        Which answers count; of Moments it is what they were taken with. Means need listwise.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    AlignedScales

    Raises
    ------
    SpecError
        If an option is unknown, or there is no reflective scale of three items.
    DataError
        If fewer than two groups can be examined, with the reason of each.
    MethodError
        If the search does not end, or a factor mean is not identified.

    Notes
    -----
    See `lgpi_research.methods.latent.alignment.align_groups`. Answers are taken as numbers, and
    the items of a scale in their own units, which should be the same.
    Groups in which one factor has no proper solution, an item never varies, or errors cannot
    be told are left out by name. A rule of thumb trusts means if at most a quarter of the
    parameters differ [1]_; with two or three groups and much that differs, alignment can
    settle on the wrong ones.

    References
    ----------
    .. [1] Muthén, B., and Asparouhov, T. (2014). IRT studies of many groups: the alignment
       method. *Frontiers in Psychology*, 5, 978.

    Examples
    --------
    >>> from lgpi_research.datasets import load_moments
    >>> found = assess_alignment(load_moments("afrobarometer_r3"), "stratum")
    >>> found.frame["dimension"].unique().tolist(), len(found.frame)
    (['services'], 18)
    """
    problems = Problems("the options")
    for name, value, allowed in (
        ("errors", errors, ERRORS),
        ("missing", missing, ("listwise",)),
    ):
        if value not in allowed:
            hint = nearest(str(value), allowed)
            problems.add(f"{name}: must be one of {', '.join(allowed)}, got {value!r}.{hint}")
    if not 0 < level < 1:
        problems.add(f"level: must lie between 0 and 1, got {level!r}.")
    problems.raise_any(SpecError)
    if isinstance(data, pd.DataFrame):
        data = plain_survey(data, "reflective", by)
    if not isinstance(data, Survey | Moments):
        raise SpecError(
            f"alignment is of a Survey, Moments or a table, not of {type(data).__name__}."
        )
    parts, notes, without = group_moments(data, by, named_coefficients(["omega"]), missing)
    notes.extend(f"left out, {reason}" for reason in without)
    names = [scale.name for part in parts.values() for scale in _scales(part)]
    if not names:
        raise SpecError(
            "there is no reflective scale of 3 items or more with listwise covariances."
        )
    rows: list[dict[str, Any]] = []
    details: dict[str, Any] = {"noninvariant_share": {}, "parameters": [], "items": []}
    for name in dict.fromkeys(names):
        groups, refused = _groups(parts, name, errors)
        notes.extend(f"{name}: left out, {reason}" for reason in refused)
        if len(groups) < 2:
            lacking = Problems(f"the groups of {name}")
            lacking.extend(refused or ["there are fewer than two."])
            lacking.raise_any(DataError)
        first = reference or next(iter(groups))
        if first not in groups:
            known = list(groups)
            raise SpecError(
                f"reference: no group {first!r} that can be examined.{nearest(first, known)} "
                f"There are {listing(known, 20)}."
            )
        every = list(groups.values())
        found = align_groups(
            np.array([one.loadings for one in every]),
            np.array([one.intercepts for one in every]),
            np.array([one.cov for one in every]),
            np.array([one.n for one in every], dtype=float),
            reference=list(groups).index(first),
            smoothing=_SMOOTHING * float(np.mean([one.size for one in every])),
        )
        items = next(scale for part in parts.values() for scale in _scales(part)
                     if scale.name == name).items  # fmt: skip
        rows.extend(_rows(name, groups, found, level))
        details["noninvariant_share"][name] = found.noninvariant_share
        details["parameters"].extend(_parameters(name, list(groups), items, found))
        details["items"].extend(_items(name, items, found))
    told = {"errors": errors, "missing": missing, "level": level, "reference": reference}
    by_name = by if isinstance(by, str) else str(by.name or "group")
    return AlignedScales(
        pd.DataFrame(rows),
        provenance(
            specification={**told, "by": by_name},
            data={type(data).__name__.lower(): data.digest},
        ),
        (*data.notes, *notes),
        details={**told, "by": by_name, **details},
    )


@dataclass(frozen=True, eq=False)
class _Group:
    """One factor of a group: loadings and intercepts (k,), their covariance, respondents.

    `size` is the mean variance of the items.
    """

    loadings: Floats
    intercepts: Floats
    cov: Floats
    n: int
    size: float


def _scales(moments: Moments) -> list[Scale]:
    return [
        scale
        for scale in consistent_scales(moments)
        if scale.needs == "covariance"
        and scale.missing == "listwise"
        and len(scale.items) > 2
        and scale.measurement == "reflective"
    ]


def _groups(
    parts: dict[str, Moments], name: str, errors: str
) -> tuple[dict[str, _Group], list[str]]:
    """Return the factor of each group that has one, and why others have not."""
    found: dict[str, _Group] = {}
    refused: list[str] = []
    for label, part in parts.items():
        try:
            scale = part.scale(name)
            flaws = item_problems(part, scale)
            if flaws:
                raise DataError(" ".join(flaws))
            found[label] = _one_group(part, scale, errors)
        except LGPIError as error:
            refused.append(f"{label}: {reason_of(error)}")
    return found, refused


def _one_group(part: Moments, scale: Scale, errors: str) -> _Group:
    """Return the factor of one group with the errors that were asked for."""
    alone, k = part.only([scale.name]), len(scale.items)
    # Strata in which nobody of the group answered add nothing, and may have one PSU.
    alone = alone.among(np.isin(alone.strata, np.unique(alone.strata[alone.has_answers()])))

    def both(sums: Floats | None) -> tuple[Floats, Floats]:
        """Return means and covariances of the items, all in one direction."""
        rows = alone.sums.sum(axis=0) if sums is None else sums
        covariance = alone.spread(None, sums).covariance
        assert covariance is not None  # noqa: S101 - the scale holds covariances
        return rows[..., 2 : 2 + k] / rows[..., [1]] + alone.centre, covariance

    mean, covariance = both(None)
    n = alone.n_least()
    fit = configural_one_factor(mean[None], covariance[None], [n])
    load, cut = fit.loadings[0], fit.intercepts[0]
    size = float(np.trace(covariance)) / k
    if errors == "normal":
        return _Group(load, cut, fit.cov[0], n, size)
    sums, shrink = delete_one(alone.sums, alone.strata, lonely=alone.lonely)
    means, left = both(sums)
    known = np.asarray(np.isfinite(left).all(axis=(-2, -1)))
    made = one_factor(np.where(known[:, None, None], left, covariance))
    lost = int(np.logical_not(known & np.asarray(made.proper)).sum())
    if lost:
        raise MethodError(
            f"one factor has no proper solution in {lost} of {len(left)} samples without one PSU; "
            "errors='normal' needs none of them."
        )
    moved = np.hstack([made.loadings - load, means - cut])
    return _Group(load, cut, (moved * shrink[:, None]).T @ moved, n, size)


def _rows(
    name: str, groups: dict[str, _Group], found: Alignment, level: float
) -> list[dict[str, Any]]:
    error = np.sqrt(np.diagonal(found.cov)[: len(groups)])
    reach = float(stats.norm.isf((1 - level) / 2)) * error
    same = np.stack([found.loadings_invariant, found.intercepts_invariant])
    different = np.logical_not(same).sum(axis=(0, 2))
    return [
        {
            "dimension": name,
            "group": label,
            "n_used": one.n,
            "mean": float(found.means[g]),
            "std_error": float(error[g]),
            "ci_low": float(found.means[g] - reach[g]),
            "ci_high": float(found.means[g] + reach[g]),
            "variance": float(found.variances[g]),
            "n_different": int(different[g]),
        }
        for g, (label, one) in enumerate(groups.items())
    ]


def _parameters(
    name: str, groups: list[str], items: tuple[str, ...], found: Alignment
) -> list[dict[str, Any]]:
    return [
        {
            "dimension": name,
            "item": item,
            "group": group,
            "loading": float(found.loadings[g, i]),
            "intercept": float(found.intercepts[g, i]),
            "loading_differs": not found.loadings_invariant[g, i],
            "intercept_differs": not found.intercepts_invariant[g, i],
        }
        for i, item in enumerate(items)
        for g, group in enumerate(groups)
    ]


def _items(name: str, items: tuple[str, ...], found: Alignment) -> list[dict[str, Any]]:
    return [
        {
            "dimension": name,
            "item": item,
            "loading_r2": float(found.loadings_r2[i]),
            "intercept_r2": float(found.intercepts_r2[i]),
            "loadings_different": int(np.logical_not(found.loadings_invariant[:, i]).sum()),
            "intercepts_different": int(np.logical_not(found.intercepts_invariant[:, i]).sum()),
        }
        for i, item in enumerate(items)
    ]
