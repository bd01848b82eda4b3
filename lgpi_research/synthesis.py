"""Synthesis: what the slopes of independent settings say together, where they may be pooled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from lgpi_research import plots
from lgpi_research.errors import Problems, SpecError, listing, nearest
from lgpi_research.links import FEW_DF, LinkResult
from lgpi_research.methods.heterogeneity import tau2_interval
from lgpi_research.methods.meta import (
    TESTS,
    RandomEffects,
    blups,
    prediction_interval,
    random_effects,
)
from lgpi_research.results import Result, provenance
from lgpi_research.tables import cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FEWEST_SETTINGS", "Synthesis", "synthesise"]

FEWEST_SETTINGS = 5
"""Settings below which no slope is pooled: the variance between them would be a guess."""

METHODS = {
    "REML": "restricted maximum likelihood [@Viechtbauer2005]",
    "PM": "the method of Paule and Mandel [@PauleMandel1982]",
    "DL": "the method of moments [@DerSimonianLaird1986]",
}

_INFERENCE = {
    "modified": (
        "Its interval is that of Knapp and Hartung, from Student's t with {df:g} degrees of "
        "freedom [@KnappHartung2003], with the factor of the variance held at 1 or above "
        "[@Rover2015]. "
    ),
    "plain": (
        "Its interval is that of Knapp and Hartung, from Student's t with {df:g} degrees of "
        "freedom [@KnappHartung2003]. "
    ),
    "normal": (
        "Its interval is normal and takes the variance between settings as known, which is too "
        "sure with few settings [@KnappHartung2003]. "
    ),
}


@dataclass(frozen=True, eq=False, repr=False)
class Synthesis(Result, kind="synthesis"):
    """Slopes of independent settings, pooled.

    `frame` has one row a setting: ``setting``, ``outcome``, ``measure``; the slope in SD of
    score per `details["per"]` of the measure (``estimate``, ``std_error``, ``df``,
    ``ci_low``, ``ci_high``); its share of the ``weight``; ``blup`` and ``blup_std_error``,
    the slope drawn towards the others; ``without``, the pooled slope if the setting is left
    out; ``n_used`` and ``n_clusters``. `details` holds the pooled slope, the variance of
    true slopes, the interval of a further setting, and how they were found.
    """

    def headline(self) -> str:
        """Return one plain sentence."""
        told = self.details
        slope = (
            f"{cell(told['estimate'])} SD of score per {_step(told)} "
            f"({100 * told['level']:g} % interval {cell(told['ci_low'])} to "
            f"{cell(told['ci_high'])})"
        )
        further = (
            f"the slope of a further setting would lie between {cell(told['prediction_low'])} and "
            f"{cell(told['prediction_high'])}"
        )
        if told["ci_low"] <= 0 <= told["ci_high"]:
            return (
                f"{told['k']} settings together do not tell whether scores are higher or lower "
                f"where {told['measure_label']} is higher: {slope}; {further}."
            )
        word = "higher" if told["estimate"] > 0 else "lower"
        return (
            f"Over {told['k']} settings, scores tend to be {word} where {told['measure_label']} is "
            f"higher: {slope}; {further}. This is an association."
        )

    def summary(self) -> pd.DataFrame:
        """Return the settings, then the pooled slope and the slope of a further setting."""
        columns = ["setting", "estimate", "std_error", "df", "ci_low", "ci_high", "weight"]
        told = self.details
        pooled = {
            "setting": "Pooled",
            "weight": 1.0,
            **{name: told[name] for name in ("estimate", "std_error", "df", "ci_low", "ci_high")},
        }
        further = {
            "setting": "Further setting",
            "df": told["prediction_df"],
            "ci_low": told["prediction_low"],
            "ci_high": told["prediction_high"],
        }
        rows = [*self.frame[columns].to_dict("records"), pooled, further]
        return pd.DataFrame(rows, columns=columns)

    def methods_text(self) -> str:
        """Return one paragraph that says what was done, with citation keys."""
        told = self.details
        percent = f"{100 * told['level']:g} %"
        return (
            f"The slopes of {told['k']} settings of one estimand group "
            f"({told['estimand_group']}), in standard deviations of score per {_step(told)}, were "
            "pooled in a random-effects model. The variance of true slopes was estimated by "
            f"{METHODS[told['method']]}, its {percent} interval by inverting the generalised Q "
            "statistic [@Viechtbauer2007]; I² is its share of the variance of the slopes "
            "[@HigginsThompson2002]. The pooled slope weighs settings by the inverse of that "
            f"variance plus their squared standard error. {_INFERENCE[told['test']].format(**told)}"
            f"The {percent} prediction interval, of the true slope of a further setting of the "
            f"kind, uses Student's t with {told['prediction_df']:g} degrees of freedom "
            "[@Higgins2009; @IntHout2016]. Settings were declared to share no source of data. "
            "The pooled slope is an association; it does not say what a change of the measure "
            "would bring."
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw a forest of the settings, the pooled slope and the prediction, and return it."""
        told, k = self.details, len(self.frame)
        axes = plots.new_axes(ax, (6.8, 1.6 + 0.42 * (k + 2)))
        names = [
            f"{name} ({100 * weight:.0f} %)"
            for name, weight in zip(self.frame["setting"], self.frame["weight"], strict=True)
        ]
        ends = (
            np.append(self.frame[column].to_numpy(), [np.nan, np.nan])
            for column in ("estimate", "ci_low", "ci_high")
        )
        plots.intervals(
            axes, [*names, f"Pooled ({told['method']})", "Further setting (predicted)"], *ends
        )
        colour = plots.COLOURS["second"]
        with plots.styled():
            axes.fill(
                [told["ci_low"], told["estimate"], told["ci_high"], told["estimate"]],
                [k, k - 0.28, k, k + 0.28],
                color=colour,
                linewidth=0,
                zorder=3,
            )
            axes.hlines(
                k + 1, told["prediction_low"], told["prediction_high"], color=colour, linewidth=4
            )
            axes.axhline(k - 0.5, color=plots.COLOURS["quiet"], linewidth=0.8)
            axes.axvline(0.0, color=plots.COLOURS["quiet"], linewidth=0.8, zorder=0)
            axes.axvline(told["estimate"], color=colour, linewidth=0.8, linestyle=":", zorder=0)
        title = f"Slopes of {k} settings, with their weights, pooled"
        return plots.describe(axes, title, f"SD of score per {_step(told)} of the measure")


def _step(told: Mapping[str, Any]) -> str:
    return str(told["per_label"])


def _sources(given: Mapping[str, str | Iterable[str]]) -> dict[str, dict[str, str]]:
    """Return each setting's sources, spelt alike, with the spelling given."""
    found = {}
    for setting, names in given.items():
        each = [names] if isinstance(names, str) else list(names)
        found[setting] = {name.strip().casefold(): name.strip() for name in each if name.strip()}
    return found


def _dependence(
    links: Mapping[str, LinkResult], given: Mapping[str, str | Iterable[str]]
) -> Iterator[str]:
    """Say which settings rest on the same data, or do not say what they rest on."""
    sources = _sources(given)
    for name in given:
        if name not in links:
            yield f"sources: there is no setting {name!r}.{nearest(name, links)}"
    silent = [name for name in links if not sources.get(name)]
    if silent:
        yield (
            f"sources: {listing(silent)} name no source. Independence is declared, not supposed: "
            "name where outcome and measure of each setting come from."
        )
    users: dict[str, list[str]] = {}
    spelt: dict[str, str] = {}
    for setting in links:
        for key, name in sources.get(setting, {}).items():
            users.setdefault(key, []).append(setting)
            spelt.setdefault(key, name)
    for key, settings in users.items():
        if len(settings) > 1:
            yield (
                f"{', '.join(settings)}: all rest on {spelt[key]}, so their errors are not "
                "independent. Keep one of them."
            )
    tables: dict[str, list[str]] = {}
    for setting, link in links.items():
        digest = link.provenance.get("data", {}).get("table")
        if digest is not None:
            tables.setdefault(digest, []).append(setting)
    for settings in tables.values():
        if len(settings) > 1:
            yield f"{', '.join(settings)}: are made from the same table. Keep one of them."


def _comparability(links: Mapping[str, LinkResult]) -> Iterator[str]:
    """Say which settings do not answer one question."""
    groups: dict[str, list[str]] = {}
    units: dict[str, list[str]] = {}
    for setting, link in links.items():
        groups.setdefault(link.details["estimand_group"], []).append(setting)
        units.setdefault(link.details["measure_unit"], []).append(setting)
    if "" in groups:
        yield (
            f"{listing(groups.pop(''))}: no estimand_group. Name measure, level and contrast in "
            "the link design."
        )
    if len(groups) > 1:
        told = "; ".join(f"{name!r} ({listing(settings)})" for name, settings in groups.items())
        yield (
            f"{len(groups)} estimand groups: {told}. Slopes on different measures, levels or "
            "contrasts have no common value; show them side by side."
        )
    if len(units) > 1:
        told = "; ".join(f"{name!r} ({listing(settings)})" for name, settings in units.items())
        yield f"the measure has {len(units)} units: {told}. Give it in one unit in every setting."
    warned = [name for name, link in links.items() if link.details.get("role") == "warning"]
    if warned:
        yield (
            f"{listing(warned)}: shown as a warning of what a construction would give, and no "
            "evidence. Leave out."
        )


def _slopes(links: Mapping[str, LinkResult], level: float) -> pd.DataFrame:
    """Return the slope of each setting in SD of score per step of the first setting."""
    per = next(iter(links.values())).details["per"]
    rows = []
    for setting, link in links.items():
        told, row = link.details, link.measure
        step = per / told["sd_score"]
        estimate, error = float(row["estimate"]) * step, float(row["std_error"]) * step
        reach = float(stats.t.isf((1 - level) / 2, row["df"])) * error
        rows.append(
            {
                "setting": setting,
                "outcome": told["outcome_label"],
                "measure": told["measure_label"],
                "estimate": estimate,
                "std_error": error,
                "df": float(row["df"]),
                "ci_low": estimate - reach,
                "ci_high": estimate + reach,
                "n_used": int(row["n_used"]),
                "n_clusters": int(row["n_clusters"]),
            }
        )
    return pd.DataFrame(rows)


def _notes(
    links: Mapping[str, LinkResult], frame: pd.DataFrame, fit: RandomEffects
) -> Iterator[str]:
    yield (
        "Standard errors are taken as known, though they rest on "
        f"{cell(frame['df'].min(), 'df')} to {cell(frame['df'].max(), 'df')} degrees of freedom, "
        "and so are the weights made from them."
    )
    few = frame.loc[frame["df"] < FEW_DF, "setting"]
    if len(few):
        yield (
            f"The standard errors of {listing(few)} have fewer than {FEW_DF:g} degrees of freedom: "
            "their weights are rough. See the pooled slope without them."
        )
    yield (
        "A slope is in SD of its own setting's score: where places differ less, one SD is a "
        "smaller gap."
    )
    corrected = [n for n, link in links.items() if link.details["score_reliability"] is not None]
    if corrected and len(corrected) < len(links):
        yield (
            f"The SD of score is without error in {listing(corrected)} and as observed in the "
            "others, whose slopes are therefore nearer to 0."
        )
    roles = {name: link.details.get("role", "main") for name, link in links.items()}
    for role, count in Counter(roles.values()).items():
        if role != "main":
            named = listing(name for name, value in roles.items() if value == role)
            yield f"{count} of {len(links)} slopes ({named}) come from a {role} link."
    steps = {link.details["per"] for link in links.values()}
    if len(steps) > 1:
        first = next(iter(links.values())).details["per"]
        yield (
            f"Settings state steps of {listing(f'{step:g}' for step in sorted(steps))}; all slopes "
            f"are given per {first:g}."
        )
    heaviest = frame.iloc[int(frame["weight"].to_numpy().argmax())]
    if heaviest["weight"] > 0.5:
        yield f"{heaviest['setting']} has {100 * heaviest['weight']:.0f} % of the weight."
    if fit.tau2 == 0:
        yield (
            "The slopes differ no more than their errors let them, so the variance between "
            "settings is estimated as 0; its interval says what cannot be excluded."
        )
    factor = fit.between.residual / fit.between.df
    if fit.test == "modified" and factor < 1:
        yield f"The factor of Knapp and Hartung would be {cell(factor)}; it was held at 1."
    order = frame["without"].to_numpy().argsort(kind="stable")
    low, high = (frame.iloc[int(row)] for row in order[[0, -1]])
    yield (
        "Left out one at a time, settings move the pooled slope between "
        f"{cell(low['without'])} (without {low['setting']}) and "
        f"{cell(high['without'])} (without {high['setting']})."
    )


def _check_options(method: str, test: str, level: float) -> Iterator[str]:
    if method not in METHODS:
        hint = nearest(str(method), METHODS)
        yield f"method: there is no {method!r}.{hint} Allowed: {', '.join(METHODS)}."
    if test not in TESTS:
        hint = nearest(str(test), TESTS)
        yield f"test: there is no {test!r}.{hint} Allowed: {', '.join(TESTS)}."
    if not 0 < level < 1:
        yield f"level must lie between 0 and 1, got {level!r}."


def synthesise(
    links: Mapping[str, LinkResult],
    *,
    sources: Mapping[str, str | Iterable[str]],
    method: str = "REML",
    test: str = "modified",
    level: float = 0.95,
) -> Synthesis:
    r"""Pool the slopes of independent settings that answer one question.

    Parameters
    ----------
    links : mapping of str to LinkResult
        Name of each setting to its link; at least five, all of one estimand group.
    sources : mapping of str to str or iterable of str
        Name of each setting to the sources that its outcome and measure come from. Settings
        that name one source are dependent. A source that follows another closely names that
        one too, as country means of a regional index that are anchored to a world index.
    method : {"REML", "PM", "DL"}, default "REML"
        Estimator of the variance of true slopes.
    test : {"modified", "plain", "normal"}, default "modified"
        Knapp and Hartung's inference with a factor of at least 1, or without that bound,
        or the normal distribution.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    Synthesis
        ``details`` says of the pooled slope ``estimate``, ``std_error``, ``df``,
        ``p_value``, ``ci_low`` and ``ci_high``; of the differences ``tau2`` and ``i2`` with
        their Q-profile intervals, ``q``, ``q_df``, ``q_p``; and of a further setting
        ``prediction_low``, ``prediction_high`` and ``prediction_df``.

    Raises
    ------
    SpecError
        With every reason why the slopes cannot be pooled: fewer than five settings,
        estimand groups that differ or are not named, units that differ, sources that are
        shared or not named, a link shown as a warning; or an option that does not exist.

    Notes
    -----
    Pooled is the coefficient of the measure in SD of score per step of the measure. Within
    an estimand group the measure, its level and its contrast are the same, so its native
    unit is common and stays; scores are not measured alike, so each is in its own
    (noise-corrected) SD, taken as fixed. Slopes per SD of the measure would differ between
    settings with the spread of the measure alone, and are not pooled. Slopes
    :math:`b_i = \beta + u_i + e_i` have true parts of variance :math:`\tau^2` and errors of
    known variance; standard errors from few clusters are used as if they were known, and
    the notes say on how many degrees of freedom they rest. The prediction interval is
    :math:`\hat\beta \pm t_{k-2}\sqrt{\hat\tau^2 + se^2}` [1]_. See `random_effects` for the
    other formulas and their sources.

    References
    ----------
    .. [1] IntHout, J., Ioannidis, J. P. A., Rovers, M. M., and Goeman, J. J. (2016). Plea
       for routinely presenting prediction intervals in meta-analysis. *BMJ Open*, 6,
       e010247.

    Examples
    --------
    >>> from lgpi_research.links import link_autonomy
    >>> from lgpi_research.spec import LinkDesign
    >>> claim = LinkDesign("score ~ own_share", cluster="none", estimand_group="own share")
    >>> links = {}
    >>> for seed, country in enumerate("ABCDEF"):
    ...     rng = np.random.default_rng(seed)
    ...     places = pd.DataFrame({"own_share": rng.uniform(0, 1, 80)})
    ...     places["score"] = 2 * places["own_share"] + rng.normal(0, 1, 80)
    ...     links[country] = link_autonomy(places, claim)
    >>> pooled = synthesise(links, sources={name: f"survey of {name}" for name in links})
    >>> pooled.details["k"], bool(pooled.details["ci_low"] > 0)
    (6, True)
    """
    problems = Problems("the synthesis")
    problems.extend(_check_options(method, test, level))
    strange = [name for name, link in links.items() if not isinstance(link, LinkResult)]
    if strange:
        problems.add(f"{listing(strange)}: no result of link_autonomy().")
    if len(links) < FEWEST_SETTINGS:
        problems.add(
            f"{len(links)} setting{'s' * (len(links) != 1)} cannot show how much slopes differ; "
            f"at least {FEWEST_SETTINGS} are needed. Show them side by side."
        )
    known = {name: link for name, link in links.items() if name not in strange}
    problems.extend(_comparability(known))
    problems.extend(_dependence(links if not strange else known, sources))
    problems.raise_any(SpecError)

    frame = _slopes(links, level)
    slopes, variances = frame["estimate"].to_numpy(), np.square(frame["std_error"].to_numpy())
    fit = random_effects(slopes, variances, method=method, test=test, level=level)
    frame["weight"] = fit.weights
    frame["blup"], frame["blup_std_error"] = blups(fit)
    others = ~np.eye(len(frame), dtype=bool)
    frame["without"] = [
        float(random_effects(slopes[kept], variances[kept], method=method, test="normal").coef[0])
        for kept in others
    ]
    first = next(iter(links.values())).details
    labels = {link.details["measure_label"] for link in links.values()}
    details = {
        "k": len(frame),
        "estimand_group": first["estimand_group"],
        "measure_label": labels.pop() if len(labels) == 1 else "the measure",
        "measure_unit": first["measure_unit"],
        "per": first["per"],
        "per_label": first["per_label"],
        "method": method,
        "test": test,
        "level": level,
        **_pooled(fit),
        "without_low": float(frame["without"].min()),
        "without_high": float(frame["without"].max()),
    }
    told = provenance(
        specification={
            "method": method,
            "test": test,
            "level": level,
            "sources": {name: sorted(each.values()) for name, each in _sources(sources).items()},
        },
        data={name: link.digest() for name, link in links.items()},
    )
    return Synthesis(frame, told, tuple(_notes(links, frame, fit)), {}, details)


def _pooled(fit: RandomEffects) -> dict[str, float]:
    """Return the pooled slope, how much slopes differ, and where a further one would lie."""
    low, high = tau2_interval(fit.y, fit.v, level=fit.level)
    typical = fit.between.typical
    prediction_df = float(len(fit.y) - 2)
    further = prediction_interval(fit, df=prediction_df)
    return {
        "estimate": float(fit.coef[0]),
        "std_error": float(fit.std_error[0]),
        "df": fit.df,
        "p_value": float(fit.p_value[0]),
        "ci_low": float(fit.ci[0, 0]),
        "ci_high": float(fit.ci[0, 1]),
        "factor": fit.scale,
        "tau2": fit.tau2,
        "tau2_std_error": fit.between.std_error,
        "tau2_low": low,
        "tau2_high": high,
        "i2": fit.i2,
        "i2_low": low / (low + typical),
        "i2_high": high / (high + typical),
        "q": fit.between.q,
        "q_df": float(fit.between.df),
        "q_p": fit.q_p,
        "prediction_low": further[0],
        "prediction_high": further[1],
        "prediction_df": prediction_df,
    }
