"""Autonomy: what budget tables by role and tier say of own revenue and transfers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from lgpi_research import plots
from lgpi_research.columns import to_numeric
from lgpi_research.errors import DataError, Problems, SpecError, listing, nearest
from lgpi_research.methods.ratios import RATIOS
from lgpi_research.results import Result, provenance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ROLES", "BudgetProfile", "assess_budgets"]

ROLES = {
    "own_tax": "tax revenue, shared taxes included",
    "own_nontax": "other current own revenue",
    "capital_sales": "sales of fixed capital and land",
    "transfers": "transfers received",
    "other": "receipts that are neither own revenue nor transfers",
    "revenue_total": "total revenue",
    "expenditure": "expenditure",
    "withdrawals": "what the budget pays upwards",
}
"""Roles that a column of amounts can have."""

OWN = ("own_tax", "own_nontax", "capital_sales")
PARTS = (*OWN, "transfers", "other")
NEEDED = ("own_tax", "transfers", "revenue_total")
SIGNED = ("own_nontax", "capital_sales", "other")  # repayments can make them negative


@dataclass(frozen=True, eq=False, repr=False)
class BudgetProfile(Result, kind="budget_profile"):
    """Ratios of fiscal autonomy of single budgets, summarised tier by tier.

    ``frame`` has one row a budget: ``unit``, ``tier``, ``period`` (where given), the
    amounts by role, ``own_revenue``, ``difference`` (total less parts) and the ratios of
    `lgpi_research.methods.ratios.RATIOS` that the roles allow. ``details["tiers"]`` lists
    the tiers in the order of the table, ``details["basis"]`` the accounting basis.
    """

    @property
    def ratios(self) -> list[str]:
        """Names of the ratios that could be computed."""
        return list(self.details["ratios"])

    def headline(self) -> str:
        """Return the median transfer dependence of each tier in one sentence."""
        table = self.summary()
        table = table[table["measure"] == "transfer_dependence"]
        tiers = "; ".join(
            f"{row.tier} {row.median:.2f} ({row.lowest:.2f} to {row.highest:.2f}, {row.n_used})"
            for row in table.itertuples()
        )
        return (
            f"Transfers as a share of total revenue, {self.details['basis']} budgets, median "
            f"(range, budgets): {tiers}. Described within tiers, not estimated."
        )

    def summary(self) -> pd.DataFrame:
        """Return, for each tier and ratio, how many budgets have it and how it is spread."""
        rows = []
        for tier in self.details["tiers"]:
            group = self.frame[self.frame["tier"] == tier]
            for name in self.ratios:
                values = group[name].dropna()
                rows.append(
                    {
                        "tier": tier,
                        "measure": name,
                        "n_used": len(values),
                        "n_missing": len(group) - len(values),
                        "mean": values.mean(),
                        "median": values.median(),
                        "lowest": values.min(),
                        "highest": values.max(),
                    }
                )
        return pd.DataFrame(rows)

    def methods_text(self) -> str:
        """Return the definitions of the ratios and the rules of comparison."""
        told = "; ".join(f"{RATIOS[name].label.lower()} = {RATIOS[name].definition}"
                         for name in self.ratios)  # fmt: skip
        own = ", ".join(ROLES[role] for role in OWN if role in self.details["roles"])
        return (
            f"Ratios were computed for each of {len(self.frame)} budgets ({self.details['basis']} "
            f"figures): {told}. Own revenue is {own}. Ratios are summarised within a tier, each "
            "budget counting once: the budget of a tier is not consolidated with those below it, "
            "and a transfer between two tiers is revenue of both. Payments to a higher tier are "
            "no transfers received and are not netted against them. The power to set a tax is not "
            "measured. Nothing is inferred to budgets outside the table."
        )

    def plot(self, ax: Axes | None = None, *, measure: str = "transfer_dependence") -> Axes:
        """Draw one ratio of each budget, tier by tier, and return the axes."""
        if measure not in self.ratios:
            raise SpecError(
                f"{measure!r} is no ratio of this profile.{nearest(measure, self.ratios)} "
                f"Ratios: {listing(self.ratios)}."
            )
        frame = self.frame.dropna(subset=[measure])
        tiers = [tier for tier in self.details["tiers"] if (frame["tier"] == tier).any()]
        many = len(frame) > plots.MANY
        height = 1.4 + (0.4 * len(tiers) if many else 0.2 * (len(frame) + len(tiers)))
        ax = plots.new_axes(ax, (6.8, height))
        place, ticks, labels = 0.0, [], []
        with plots.styled():
            for tier in tiers:
                rows = frame[frame["tier"] == tier].sort_values(measure, kind="stable")
                values = rows[measure].to_numpy()
                spots = place + (np.zeros(len(rows)) if many else 1.0 + np.arange(len(rows)))
                ticks.append(place)
                labels.append(f"{tier} ({len(rows)})")
                if not many:
                    ax.hlines(spots, 0.0, values, color="#D5D9DE", linewidth=0.9, zorder=1)
                    ticks += spots.tolist()
                    labels += _row_names(rows)
                look: Any = {"s": 22, "alpha": 0.35 if many else 1.0, "linewidths": 0, "zorder": 3}
                ax.scatter(values, spots, color=plots.COLOURS["main"], **look)
                ends = spots[0] - 0.4, spots[-1] + 0.4
                ax.vlines(float(np.median(values)), *ends, color=plots.COLOURS["second"])
                place = spots[-1] + (1.0 if many else 1.6)
            heads = {f"{tier} ({int((frame['tier'] == tier).sum())})" for tier in tiers}
            ax.set_yticks(ticks, labels, fontsize=8.5)
            for tick in ax.get_yticklabels():
                tick.set_fontweight("bold" if tick.get_text() in heads else "normal")
            ax.tick_params(axis="y", length=0)
            ax.grid(visible=False, axis="y")
            ax.set_ylim(place - 0.6, -0.8)
            low, high = float(frame[measure].min()), float(frame[measure].max())
            ax.set_xlim(min(0.0, low) - 0.02, max(1.0, high) + 0.02)
        told = RATIOS[measure]
        foot = f"{told.definition}\n({self.details['basis']} budgets; bar: median of the tier)"
        return plots.describe(ax, f"{told.label}, tier by tier", foot)


def _row_names(rows: pd.DataFrame) -> list[str]:
    """Return what a reader calls each budget: its unit and, where there is one, its period."""
    names = rows["unit"].astype("str").tolist()
    if "period" not in rows:
        return names
    return [f"{name}, {period}" for name, period in zip(names, rows["period"], strict=True)]


def assess_budgets(
    table: pd.DataFrame,
    roles: Mapping[str, str],
    *,
    unit: str,
    tier: str,
    basis: str,
    period: str | None = None,
    tiers: Sequence[str] = (),
    by: Literal["tier", "all"] = "tier",
    tolerance: float = 0.5,
) -> BudgetProfile:
    """Compute ratios of fiscal autonomy from budgets, without mixing tiers or bases.

    Parameters
    ----------
    table : DataFrame
        One row for each budget, or for each budget and period. Amounts in one unit of
        account; NaN is missing and stays so.
    roles : mapping of str to str
        A role of `ROLES` to the column that has it. ``own_tax``, ``transfers`` and
        ``revenue_total`` are needed. A kind of revenue that a country does not have is
        left out; a column that holds it is never taken as zero where it is missing.
    unit, tier, basis : str
        Columns that name the budget, its tier of government, and its accounting basis
        (plan or outturn, say).
    period : str, optional
        Column of the budget period.
    tiers : sequence of str, optional
        Tiers to keep; all if empty.
    by : {"tier", "all"}, default "tier"
        Summarise each tier, or all budgets in one row; the latter is refused unless one
        tier is left.
    tolerance : float, default 0.5
        Largest difference of total revenue from the sum of its parts that passes as
        rounding, in the unit of the amounts. Beyond it a row is named in the notes.

    Returns
    -------
    BudgetProfile

    Raises
    ------
    SpecError
        If a role or column is unknown or needed and not given, if bases are mixed, or if
        tiers would be pooled.
    DataError
        If amounts are no numbers, received transfers, taxes, expenditure or withdrawals
        are negative, a budget stands twice, or a tier or basis is blank.

    Notes
    -----
    Own revenue is tax, other current revenue and sales of capital. With transfers T,
    total revenue R, own revenue W, taxes X and expenditure E: transfer dependence T/R,
    own-revenue share W/R, tax share X/R, self-financing W/E, vertical gap 1 − W/E. A
    ratio is NaN where an amount is missing or its denominator is not positive.

    Two tiers are not pooled because the budget of a region is not consolidated with
    those of its districts: a transfer from one to the other is revenue of both, and the
    same money would be counted twice.

    Examples
    --------
    >>> budgets = pd.DataFrame({
    ...     "place": ["A", "B"], "level": "district", "kind": "plan",
    ...     "taxes": [20.0, 60.0], "grants": [80.0, 40.0], "total": [100.0, 100.0],
    ... })
    >>> roles = {"own_tax": "taxes", "transfers": "grants", "revenue_total": "total"}
    >>> found = assess_budgets(budgets, roles, unit="place", tier="level", basis="kind")
    >>> found.frame[["unit", "transfer_dependence", "own_revenue_share"]]
      unit  transfer_dependence  own_revenue_share
    0    A                  0.8                0.2
    1    B                  0.4                0.6
    """
    _check_choices(table, roles, (unit, tier, basis, *((period,) if period else ())), by, tolerance)
    labels = {"unit": unit, "tier": tier, "basis": basis, **({"period": period} if period else {})}
    frame = pd.DataFrame({name: table[column] for name, column in labels.items()})
    blank = Problems("the budgets")
    for name, column in labels.items():
        gone = frame[name].isna() | (frame[name].astype("str").str.strip() == "")
        if gone.any():
            blank.add(f"{column}: blank in {int(gone.sum())} of {len(frame)} rows; fill it in.")
    blank.raise_any(DataError)
    amounts = to_numeric(table, list(roles.values()), "the budgets")
    for role in ROLES:
        if role in roles:
            frame[role] = amounts[roles[role]]
    known = list(dict.fromkeys(frame["tier"]))
    if unknown := [name for name in tiers if name not in known]:
        hint = nearest(str(unknown[0]), [str(name) for name in known])
        raise SpecError(
            f"tiers: no budget is of {listing(unknown)}.{hint} Tiers: {listing(known)}."
        )
    if tiers:
        frame = frame[frame["tier"].isin(list(tiers))]
    left = len(table) - len(frame)
    frame = frame.reset_index(drop=True)
    _check_budgets(frame, by)

    own = [role for role in OWN if role in roles]
    frame["own_revenue"] = frame[own].sum(axis=1, skipna=False)
    parts = [role for role in PARTS if role in roles]
    frame["difference"] = frame["revenue_total"] - frame[parts].sum(axis=1, skipna=False)
    ratios = [name for name, told in RATIOS.items() if {told.part, told.whole} <= set(frame)]
    for name in ratios:
        told = RATIOS[name]
        frame[name] = told.function(frame[told.part].to_numpy(), frame[told.whole].to_numpy())
    used = [name for name in known if (frame["tier"] == name).any()]
    basis_name = str(frame["basis"].iloc[0])
    notes = _notes(frame, roles, tolerance, ratios)
    if left:
        notes.insert(0, f"{left} of {len(table)} budgets are of other tiers and left out.")
    details = {
        "tiers": used,
        "basis": basis_name,
        "roles": dict(roles),
        "ratios": ratios,
    }
    chosen = {**labels, "roles": dict(roles), "tiers": list(tiers), "by": by}
    origin = provenance(specification={**chosen, "tolerance": tolerance})
    return BudgetProfile(frame.drop(columns="basis"), origin, tuple(notes), details=details)


def _check_choices(
    table: pd.DataFrame, roles: Mapping[str, str], labels: Sequence[str], by: str, tolerance: float
) -> None:
    """Refuse unknown roles and columns, roles that are missing, and a column with two roles."""
    problems = Problems("the choices for the budgets")
    columns = [str(name) for name in table.columns]
    for role in roles:
        if role not in ROLES:
            problems.add(f"unknown role {role!r}.{nearest(role, ROLES)} Roles: {', '.join(ROLES)}.")
    problems.extend(
        f"the role {role} ({ROLES[role]}) is needed; name its column."
        for role in NEEDED
        if role not in roles
    )
    given = [*labels, *roles.values()]
    for name in dict.fromkeys(given):
        if name not in columns:
            problems.add(f"there is no column {name!r}.{nearest(name, columns)}")
        if given.count(name) > 1:
            problems.add(
                f"the column {name!r} is named {given.count(name)} times; once is allowed."
            )
    if by not in ("tier", "all"):
        problems.add(f"by must be 'tier' or 'all', got {by!r}.")
    if not tolerance >= 0:
        problems.add(f"tolerance must be 0 or more, got {tolerance!r}.")
    problems.raise_any(SpecError)


def _check_budgets(frame: pd.DataFrame, by: str) -> None:
    """Refuse mixed bases, pooled tiers, budgets that stand twice, and impossible signs."""
    problems = Problems("the budgets")
    if frame.empty:
        raise DataError("There are no budgets to assess.")
    bases = frame["basis"].value_counts(sort=False)
    if len(bases) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in bases.items())
        problems.add(
            f"accounting bases are mixed ({shown}): a plan is not comparable with an outturn. "
            "Keep the rows of one basis."
        )
    found = frame["tier"].value_counts(sort=False)
    if by == "all" and len(found) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in found.items())
        problems.add(
            f"one summary over {len(found)} tiers ({shown}) is refused: the budget of a region is "
            "not consolidated with those of its districts, and the same money would be counted "
            "twice. Use by='tier', or name one tier in tiers=."
        )
    problems.raise_any(SpecError)
    keys = [name for name in ("unit", "tier", "period") if name in frame]
    twice = frame[frame.duplicated(keys)]
    if len(twice):
        problems.add(
            f"{len(twice)} rows repeat {', '.join(keys)} of another row "
            f"({listing(twice['unit'])}). Keep one, or name the period."
        )
    for role in (role for role in ROLES if role in frame and role not in SIGNED):
        wrong = frame[frame[role] < 0]
        if len(wrong):
            advice = (
                "What a budget pays upwards is a withdrawal, not a negative transfer; put it "
                "in the role 'withdrawals'."
                if role == "transfers"
                else "Correct them."
            )
            problems.add(
                f"{role}: {len(wrong)} of {len(frame)} amounts are negative "
                f"({listing(wrong['unit'])}). {advice}"
            )
    problems.raise_any(DataError)


def _notes(
    frame: pd.DataFrame, roles: Mapping[str, str], tolerance: float, ratios: Sequence[str]
) -> list[str]:
    """Return what does not add up, what is missing, and what donors pay."""
    notes = []
    off = frame[frame["difference"].abs() > tolerance]
    if len(off):
        shown = listing(
            f"{row.unit} by {row.difference:+,.6g}" for row in off.itertuples(index=False)
        )
        notes.append(
            f"Total revenue is not the sum of its parts in {len(off)} of {len(frame)} budgets: "
            f"{shown}. Ratios use the stated total."
        )
    unknown = int(frame["difference"].isna().sum())
    if unknown:
        notes.append(
            f"In {unknown} of {len(frame)} budgets a part of revenue or the total is missing, so "
            "that the sum cannot be checked."
        )
    for role in (role for role in ROLES if role in roles):
        gone = frame.loc[frame[role].isna(), "unit"]
        if len(gone):
            notes.append(
                f"{role} is missing in {len(gone)} of {len(frame)} budgets ({listing(gone)}); "
                "ratios that need it are missing there."
            )
    for whole in dict.fromkeys(RATIOS[name].whole for name in ratios):
        nothing = frame.loc[frame[whole] <= 0, "unit"]
        if len(nothing):
            notes.append(
                f"{whole} is not positive in {len(nothing)} budgets ({listing(nothing)}); ratios "
                "by it are missing there."
            )
    extra = frame[frame["other"].abs() > 0] if "other" in roles else frame.head(0)
    if len(extra):
        notes.append(
            f"{len(extra)} of {len(frame)} budgets have receipts that are neither own revenue nor "
            f"transfers ({listing(extra['unit'])}); there the two shares do not add up to 1."
        )
    if "withdrawals" in roles:
        donors = frame[frame["withdrawals"] > 0]
        notes.append(
            f"{len(donors)} of {len(frame)} budgets pay withdrawals upwards; what a donor pays is "
            "no transfer received, and is not netted against one."
        )
    several = frame["tier"].nunique()
    if several > 1:
        notes.append(
            f"The {several} tiers are not comparable with one another: a budget is not "
            "consolidated with those below it, and no number is given over tiers."
        )
    if "period" in frame and frame["period"].nunique() > 1:
        notes.append(
            f"Periods differ, from {frame['period'].min()} to {frame['period'].max()}: shares are "
            "compared, never amounts."
        )
    return notes
