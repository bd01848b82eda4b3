"""Reliability: whether answers, and the scores of units, measure anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research.answers import (
    ALL,
    group_moments,
    plain_survey,
    reason_of,
    scale_moments,
)
from lgpi_research.coefficients import (
    INTERVALS,
    Coefficient,
    check_items,
    coefficient_rows,
    consistent_scales,
    item_problems,
    named_coefficients,
)
from lgpi_research.errors import (
    DataError,
    LGPIError,
    MethodError,
    Problems,
    SpecError,
    listing,
    nearest,
)
from lgpi_research.indicators import Indicators
from lgpi_research.itemwise import (
    dimension_correlations,
    formative_rows,
    item_rows,
    pair_tables,
    scale_notes,
)
from lgpi_research.methods.guttman import Splits, split_halves
from lgpi_research.moments import Moments
from lgpi_research.registry import Method, names
from lgpi_research.reliability_plots import (
    KINDS,
    draw_coefficients,
    draw_pairs,
    draw_places,
    draw_splits,
)
from lgpi_research.results import Result, provenance
from lgpi_research.streams import root_seed, stream
from lgpi_research.survey import Survey
from lgpi_research.units import MEAN, PLACES, SHARE, SQUARED, indicator_rows, place_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Reliability", "assess_reliability", "check_options"]

Floats = npt.NDArray[np.float64]

_UNITS = (MEAN, SQUARED, SHARE)
ENOUGH = 0.7
"""Reliability of a place's score that pictures and tables mark."""


@dataclass(frozen=True, eq=False, repr=False)
class Reliability(Result, kind="reliability"):
    """Coefficients of internal consistency, and the reliability of units' scores.

    ``frame`` has one row for each coefficient and kind of interval: ``dimension``,
    ``group`` ("all", or one of the groups asked for), ``coefficient``, ``scope``
    ("overall" or "within groups"), ``estimate``, ``std_error``, ``ci_low``, ``ci_high``,
    ``interval``, ``df``, ``n_used``, ``n_dropped``, ``n_clusters`` and ``measurement``.
    ``details["reliability"]`` is the squared correlation of scores with true values,
    overall, if there is one score with known errors, and otherwise None.
    """

    def headline(self) -> str:
        """Return the first coefficient of the dimensions, and of the scores, in a sentence."""
        table = self.summary()
        level = f"{100 * self.details['level']:.0f} %"
        said = []
        of_units = table["coefficient"].isin(_UNITS)
        inner = table[~of_units & (table["group"] == ALL)]
        if len(inner):
            # Consistency is evidence for reflective dimensions only: they go first, if any.
            reflective = inner["measurement"] == "reflective"
            inner = inner[reflective] if reflective.any() else inner
            rows = inner[inner["coefficient"] == inner["coefficient"].iloc[0]]
            name = rows["coefficient"].iloc[0].replace("_", " ")
            first = rows.iloc[0]
            if len(rows) == 1:
                ends = ""
                if np.isfinite(first["ci_low"]):
                    ends = (
                        f" ({level} interval {first['ci_low']:.2f} to {first['ci_high']:.2f}, "
                        f"{first['interval']})"
                    )
                said.append(f"{first['dimension']}: {name} is {first['estimate']:.2f}{ends}.")
            else:
                low, high = (rows.loc[rows["estimate"].agg(f)] for f in ("idxmin", "idxmax"))
                said.append(
                    f"{name.capitalize()} ranges from {low['estimate']:.2f} "
                    f"({low['dimension']}) to {high['estimate']:.2f} ({high['dimension']}) over "
                    f"{len(rows)} dimensions."
                )
            if not (inner["measurement"] == "reflective").any():
                said.append("The dimensions are formative, so that this is no criterion for them.")
        outer = table[(table["coefficient"] == SQUARED) & (table["group"] == ALL)]
        for dimension, rows in outer.groupby("dimension", sort=False):
            by_scope = rows.set_index("scope")["estimate"]
            within = ""
            if "within groups" in by_scope:
                within = f", {by_scope['within groups']:.2f} within groups"
            said.append(
                f"{dimension}: reliability of the units' scores is {by_scope['overall']:.2f}"
                f"{within}."
            )
        return " ".join([*said, *self._over_groups()])

    def _over_groups(self) -> list[str]:
        """Say how the first coefficient of the first dimension differs between groups."""
        table = self.summary()
        rows = table[(table["group"] != ALL) & (table["scope"] == "overall")]
        if rows.empty:
            return []
        first = rows.iloc[0]
        same = rows["dimension"].eq(first["dimension"]) & rows["coefficient"].eq(
            first["coefficient"]
        )
        rows = rows[same]
        low, high = (rows.loc[rows["estimate"].agg(f)] for f in ("idxmin", "idxmax"))
        return [
            f"By {self.details['by']}, {first['coefficient']} of {first['dimension']} ranges from "
            f"{low['estimate']:.2f} ({low['group']}) to {high['estimate']:.2f} ({high['group']})."
        ]

    def summary(self) -> pd.DataFrame:
        """Return each coefficient once, with the interval that was asked for where it has it.

        ``evidence`` says whether the coefficient speaks for or against the dimension: the
        internal consistency of a formative one does not.
        """
        wanted = INTERVALS[self.details["interval"]]
        order = self.frame.assign(other=self.frame["interval"] != wanted)
        keys = ["dimension", "group", "coefficient", "scope"]
        first = order.sort_values("other", kind="stable").drop_duplicates(keys).sort_index()
        columns = ["estimate", "ci_low", "ci_high", "interval", "n_used", "n_clusters"]
        table = first[[*keys, *columns, "measurement"]].reset_index(drop=True)
        speaks = table["coefficient"].isin(_UNITS) | (table["measurement"] == "reflective")
        return table.assign(evidence=np.where(speaks, "yes", "no: formative"))

    def items(self) -> pd.DataFrame:
        """Return how each item fits its scale.

        Returns
        -------
        DataFrame
            ``dimension``, ``indicator``, ``std_dev``, ``item_rest_r`` (correlation with
            the sum of the other items, all scored in one direction) and
            ``alpha_if_dropped``; empty if only variances were kept.
        """
        return self._table("items", ["std_dev", "item_rest_r", "alpha_if_dropped"])

    def formative(self) -> pd.DataFrame:
        """Return what each indicator of a formative dimension adds, and shares with others.

        Returns
        -------
        DataFrame
            ``dimension``, ``indicator``, ``variance_share`` (of the standardised sum) and
            ``variance_inflation``; see `lgpi_research.methods.formative`.
        """
        return self._table("formative", ["variance_share", "variance_inflation"])

    def _table(self, name: str, numbers: list[str]) -> pd.DataFrame:
        table = pd.DataFrame(self.details[name], columns=["dimension", "indicator", *numbers])
        return table.astype(dict.fromkeys(numbers, float))

    def correlations(self) -> pd.DataFrame:
        """Return the correlations of the dimensions' scores, as observed and free of error.

        Returns
        -------
        DataFrame
            ``first``, ``second``, ``observed`` and ``corrected`` (for attenuation, by
            alpha), each with ``…_std_error``, ``…_ci_low`` and ``…_ci_high`` (jackknife
            with t), and ``n_used``; empty unless answers of two dimensions are at hand.
        """
        return pd.DataFrame(self.details["correlations"])

    def places(self) -> pd.DataFrame:
        """Return the places with their mean scores and the reliability of each.

        Returns
        -------
        DataFrame
            ``dimension``, ``unit``, ``group``, ``n_used``, ``n_psu``, ``score``,
            ``std_error`` and ``reliability``; empty unless the answers name places.
        """
        tables = [
            pd.DataFrame(told["table"]).assign(dimension=dimension)
            for dimension, told in self.details["places"].items()
        ]
        columns = ["dimension", *PLACES]
        if not tables:
            return pd.DataFrame(columns=columns)
        return pd.concat(tables, ignore_index=True)[columns]

    def answers_needed(self, target: float = ENOUGH) -> pd.DataFrame:
        r"""Return how many answers a place needs for its score to be as reliable as wanted.

        Parameters
        ----------
        target : float, default 0.7
            Reliability that is wanted.

        Returns
        -------
        DataFrame
            ``dimension``, ``target``, ``answers`` and ``answers_now`` (median a place).

        Raises
        ------
        SpecError
            If the target does not lie between 0 and 1.

        Notes
        -----
        An answer adds :math:`c = \operatorname{mean}(n_j v_j)` to the squared error of a
        place as the survey was drawn, clustering and weights included, so that
        :math:`n = \lambda/(1-\lambda) \cdot c/\tau^2`. More answers from the same PSUs buy
        less than this says; see `lgpi_research.methods.places.answers_needed`.
        """
        if not 0 < target < 1:
            raise SpecError(f"target must lie between 0 and 1, got {target!r}.")
        rows = [
            {
                "dimension": dimension,
                "target": target,
                "answers": (
                    np.ceil(target / (1 - target) * told["answer_variance"] / told["true_variance"])
                    if told["true_variance"] > 0
                    else np.inf
                ),
                "answers_now": float(np.median(told["table"]["n_used"])),
            }
            for dimension, told in self.details["places"].items()
        ]
        return pd.DataFrame(rows, columns=["dimension", "target", "answers", "answers_now"])

    def split_halves(
        self, dimension: str | None = None, *, draws: int = 10_000, seed: int = 0
    ) -> Splits:
        """Return the reliabilities of the split halves of a dimension.

        Parameters
        ----------
        dimension : str, optional
            Not needed if there is one.
        draws : int, default 10,000
            Splits drawn of more than 20 items; of fewer, all are visited.
        seed : int, default 0
            Seed of the draws.

        Returns
        -------
        lgpi_research.methods.guttman.Splits
            Of the plain sum of the items.

        Raises
        ------
        SpecError
            If there is no such dimension, or its covariances were not kept.
        """
        matrix = np.array(self._of_dimension("covariance", dimension)[1])
        return split_halves(matrix, rng=stream(root_seed(seed), "splits", 0), draws=draws)

    def _of_dimension(self, what: str, dimension: str | None) -> tuple[str, Any]:
        """Return a dimension, by its name or the only one, and a detail of it."""
        known: dict[str, Any] = self.details[what]
        name = next(iter(known)) if dimension is None and len(known) == 1 else dimension
        if name in known:
            return str(name), known[str(name)]
        if known:
            hint = nearest(str(name), known) if name else ""
            raise SpecError(f"Name a dimension: {listing(known, 20)}.{hint}")
        why = {
            "covariance": "covariances of the items were not kept of it",
            "polychoric": "no coefficient of pair counts was asked for",
            "places": "the answers name no places",
        }[what]
        raise SpecError(f"There is no dimension to show: {why}.")

    def methods_text(self) -> str:
        """Return what was estimated and how, with citation keys."""
        told = self.details
        said = []
        if told["coefficients"]:
            cited = {
                "alpha": "alpha [@Cronbach1951]",
                "standardised_alpha": "standardised alpha",
                "average_r": "the average correlation",
                "omega": "omega [@McDonald1999]",
                "omega_total": "omega of the standardised items [@McDonald1999]",
                "ordinal_alpha": "ordinal alpha, which describes imagined continuous answers "
                "[@Zumbo2007]",
                "ordinal_omega": "ordinal omega",
                "omega_categorical": "omega of the sum of ordered answers [@GreenYang2009]",
                **{f"lambda{i}": f"lambda {i} [@Guttman1945]" for i in range(1, 7)},
                "ten_berge": "the bound of ten Berge and Zegers [@TenBergeZegers1978]",
                "glb": "the greatest lower bound [@JacksonAgunwamba1977]",
            }
            listed = ", ".join(cited.get(name, name) for name in told["coefficients"])
            used = "complete" if told["missing"] == "listwise" else "pairwise complete"
            maxima = ""
            if (self.frame["interval"] == INTERVALS["directional"]).any():
                maxima = (
                    ", and, of coefficients that are the largest of several values, those of the "
                    "numerical delta method with bootstrap draws of clusters [@HongLi2018]"
                )
            if told["polychoric"]:
                listed += "; correlations of ordered answers are polychoric [@Olsson1979]"
            said.append(
                f"Internal consistency was estimated from {used} answers by {listed}. Intervals "
                f"at {100 * told['level']:.0f} % are those of the jackknife that leaves out one "
                "cluster at a time, corrected for bias, with t on the scale of "
                "log(1 - coefficient) and no more degrees of freedom than the clusters that matter "
                f"[@JohnsonRust1992]{maxima}; beside them stand t intervals with the standard "
                f"error of {told['n_draws']:,} rescaled bootstrap draws of clusters [@RaoWu1988], "
                "their percentiles and, for alpha, Feldt's interval, which supposes independent "
                "respondents [@Feldt1987]."
            )
        shown = set(self.frame["coefficient"])
        if MEAN in shown:
            said.append(
                "The reliability of the units' scores follows from their standard errors "
                "[@RaudenbushSampson1999], with the variance of the true values by the method of "
                "Paule and Mandel [@PauleMandel1982], and intervals by inverting the statistic "
                "that it equates [@Viechtbauer2007]."
            )
        if told["correlations"]:
            said.append(
                "Correlations of dimensions were corrected for attenuation [@Spearman1904] by "
                "alpha, with jackknife intervals."
            )
        return " ".join(said)

    def plot(
        self, ax: Axes | None = None, *, kind: str = "coefficients", dimension: str | None = None
    ) -> Axes:
        """Draw the result, and return the axes.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; a new figure if None.
        kind : {"coefficients", "places", "polychoric", "split halves"}
            Each coefficient with its interval, by dimension and group; the reliability of
            each place against its answers; the polychoric correlations; the distribution
            of split halves.
        dimension : str, optional
            Which dimension; not needed if there is one, and for coefficients all if None.

        Raises
        ------
        SpecError
            If the kind or the dimension is unknown, or the result has nothing of it.
        """
        if kind not in KINDS:
            raise SpecError(
                f"kind must be one of {', '.join(KINDS)}, got {kind!r}.{nearest(kind, KINDS)}"
            )
        if kind == "coefficients":
            return draw_coefficients(ax, self.summary(), self.details["level"], dimension)
        if kind == "places":
            name, told = self._of_dimension("places", dimension)
            return draw_places(ax, name, pd.DataFrame(told["table"]), ENOUGH)
        if kind == "polychoric":
            name, told = self._of_dimension("polychoric", dimension)
            return draw_pairs(ax, name, told["items"], np.array(told["correlation"], dtype=float))
        name, _ = self._of_dimension("covariance", dimension)
        return draw_splits(ax, name, self.split_halves(name))


def assess_reliability(
    data: Survey | Moments | Indicators | pd.DataFrame,
    *,
    coefficients: Sequence[str | Method] = ("alpha", "omega"),
    by: str | pd.Series | None = None,
    interval: str = "jackknife",
    level: float = 0.95,
    n_draws: int = 1000,
    missing: str = "listwise",
    measurement: str | None = None,
    seed: int | None = None,
    n_jobs: int | None = None,
) -> Reliability:
    r"""Estimate how reliable scales are, and how reliable the scores of units.

    Parameters
    ----------
    data : Survey, Moments, Indicators or DataFrame
        Answers, their sums, a table of units, or a plain table of answers whose columns
        are the items of one scale and whose rows are independent respondents. There is a
        scale for each dimension of two items or more. Units count as respondents, and
        their groups, if there are two or more, as clusters; otherwise each unit is a
        cluster.
    coefficients : sequence of str or Method, default ("alpha", "omega")
        Registered coefficients: also ``"standardised_alpha"`` and ``"omega_total"`` for
        items in different units, ``"lambda1"`` … ``"lambda6"``, ``"glb"``, ``"average_r"``,
        and, from ordered answers, ``"ordinal_alpha"``, ``"ordinal_omega"`` and
        ``"omega_categorical"``.
    by : str or Series, optional
        Groups to assess one by one beside the whole: a column of the survey, ``"place"``
        or ``"stratum"`` of Moments, or a label for each respondent (PSU of Moments). Those
        that cannot be assessed are left out by name.
    interval : {"jackknife", "directional", "rao_wu", "bootstrap", "feldt"}
        Which of the intervals, which are all computed, the summary shows; by default
        "jackknife". Coefficients that are maxima have "directional" in its place.
    level : float, default 0.95
        Level of the intervals.
    n_draws : int, default 1000
        Draws of the bootstrap; more draws extend fewer.
    missing : {"listwise", "pairwise"}, default "listwise"
        Which answers count (`lgpi_research.moments.Scale`); of Moments it is what they
        were taken with.
    measurement : {"reflective", "formative"}, optional
        Of a plain table, which has no codebook: whether its items are consequences of one
        trait, so that they should agree, or make it up, so that they need not.
    seed : int or None
        Seed; a fresh one is drawn and recorded if None.
    n_jobs : int or None
        Workers; None takes joblib's context. The result does not depend on them.

    Returns
    -------
    Reliability

    Raises
    ------
    SpecError
        If an option or coefficient is unknown, or there is nothing to assess: no
        dimension of two items, and no standard errors.
    DataError
        With every problem: items that never vary, items that are copies of one another,
        scales that nobody answered.
    MethodError
        If there are fewer than two clusters in a stratum, or no coefficient has an
        answer. A coefficient that has none beside others that do, such as a Heywood
        case, is left out and named in the notes.

    Notes
    -----
    For coefficient c, the **jackknife-t** interval is
    :math:`1 - \exp(\log(1-\hat c) - b \pm t_\nu\, s)`, with s the jackknife standard
    error of :math:`\log(1-\hat c)` over PSUs within strata, b its bias, and :math:`\nu` at
    most PSUs less strata, fewer if a few PSUs dominate
    (`lgpi_research.methods.jackknife.jackknife_interval`). Lambda 4, lambda 5 and the greatest
    lower bound are the largest of several values, for which the jackknife is not valid; their
    default is the **directional bootstrap**
    (`lgpi_research.methods.directional.directional_interval`). The **Rao-Wu bootstrap-t** has no
    correction, takes s from the rescaled bootstrap of PSUs [1]_ and PSUs less strata as
    degrees of freedom; the **PSU percentile bootstrap** takes quantiles. **Feldt**'s interval
    of alpha [2]_ supposes independent respondents with equal weights; with pairwise covariances
    it uses the smallest number of respondents behind one. No finite-population correction is
    made, so intervals are wide where a large share of the PSUs was drawn.

    Coverage in per cent of 95 % intervals of alpha, in 2,500 simulated surveys each of 6
    items cut to 5 points (loadings 0.5 to 0.8, or all 0.7: "equal"), 15 respondents a PSU and
    384 draws (Monte Carlo error 0.4 to 0.9), by the share of the trait's variance between
    PSUs ("items": also of each item alone):

    ==============================  ===========  ======  ==========  =====
    sample                          jackknife-t  Rao-Wu  percentile  Feldt
    ==============================  ===========  ======  ==========  =====
    300 respondents                 94.9         94.5    93.8        95.2
    300 respondents, 7 points       95.1         94.8    94.1        95.6
    20 PSUs, share 0                95.4         95.1    93.6        95.8
    20 PSUs, share 0.1              95.4         94.8    92.6        94.9
    20 PSUs, share 0.1, 7 points    95.2         94.8    92.6        94.3
    20 PSUs, share 0.1, items 0.1   95.4         95.2    93.2        94.4
    20 PSUs, share 0.1, strata      93.7         93.4    90.4        86.9
    20 PSUs, share 0.4              93.5         92.5    89.2        82.3
    20 PSUs, share 0.4, 7 points    94.1         91.9    87.9        82.5
    20 PSUs, share 0.4, skewed      95.1         93.7    90.2        86.0
    200 PSUs, share 0               95.4         95.4    94.8        95.8
    200 PSUs, share 0.1             95.2         95.1    94.8        94.6
    200 PSUs, share 0.1, 7 points   95.1         95.0    94.6        94.7
    200 PSUs, share 0.1, items 0.1  93.9         93.7    93.3        93.0
    200 PSUs, share 0.1, strata     95.3         95.2    94.7        88.2
    200 PSUs, share 0.4             94.6         94.2    93.5        83.2
    200 PSUs, share 0.4, 7 points   94.8         94.3    93.8        83.3
    200 PSUs, share 0.1, skewed     95.6         95.4    94.8        96.3
    ==============================  ===========  ======  ==========  =====

    The percentile bootstrap falls short with few PSUs, Feldt's interval with strong
    clustering however many there are. The default interval of other coefficients, and of the
    correlations of dimensions, by PSUs (300: independent respondents) and share:

    ==================  ====  =======  =======  ========  ========
    default of          300   20, 0.1  20, 0.4  200, 0.1  200, 0.4
    ==================  ====  =======  =======  ========  ========
    alpha               94.9  95.4     93.5     95.2      94.6
    omega               94.9  95.0     93.5     95.1      94.4
    standardised_alpha  94.9  95.4     93.4     95.1      94.3
    omega_total         94.9  95.2     93.6     95.1      94.5
    lambda1             95.0  95.4     94.2     95.0      94.5
    lambda2             94.6  95.2     93.5     95.2      94.4
    lambda4             94.5  96.0     95.0     94.9      95.0
    lambda5             94.7  94.8     93.2     94.8      94.6
    lambda6             94.8  94.9     93.4     94.9      94.5
    glb                 -     -        94.3     94.8      -
    average_r           94.7  95.1     93.0     95.3      94.3
    ordinal_alpha       -     95.6     94.2     -         95.1
    ordinal_omega       -     95.2     94.1     -         94.9
    omega_categorical   -     95.3     94.0     -         95.0
    r, observed         94.8  95.4     94.7     94.6      95.1
    r, corrected        95.1  95.9     94.2     94.8      95.0
    ==================  ====  =======  =======  ========  ========

    The estimates of lambda 4 and the greatest lower bound are too high in samples, so that
    they lie near the upper end of their default intervals, and the others fall short.
    `tests/simulations` makes these figures.

    For units with known standard errors, the reliability of their scores is estimated
    overall and within groups, as its mean over units and as the squared correlation of
    scores with true values (`lgpi_research.methods.places.unit_reliability`). Of answers
    that name places, it is that of the places' mean scores, with design-based errors
    (`lgpi_research.units.place_rows`). Internal consistency of answers says nothing about
    it.

    References
    ----------
    .. [1] Rao, J. N. K., and Wu, C. F. J. (1988). Resampling inference with complex
       survey data. *Journal of the American Statistical Association*, 83, 231-241.
    .. [2] Feldt, L. S., Woodruff, D. J., and Salih, F. A. (1987). Statistical inference
       for coefficient alpha. *Applied Psychological Measurement*, 11, 93-103.

    Examples
    --------
    >>> from lgpi_research.simulate import simulate_survey
    >>> survey = simulate_survey(n_places=10, seed=0).survey
    >>> found = assess_reliability(survey, n_draws=200, seed=0)
    >>> found.summary()[["dimension", "coefficient", "estimate"]].round(2).head(2)
      dimension coefficient  estimate
    0     scale       alpha      0.79
    1     scale       omega      0.79
    """
    check_options(interval, level)
    root = root_seed(seed)
    wanted = named_coefficients(coefficients)
    if isinstance(data, pd.DataFrame):
        data = plain_survey(data, measurement, by)
    elif measurement is not None:
        raise SpecError("measurement is of a plain table; otherwise the codebook says it.")
    moments, notes = scale_moments(data, wanted, missing)
    options: dict[str, Any] = {"level": level, "n_draws": n_draws, "seed": root, "n_jobs": n_jobs}
    rows: list[dict[str, Any]] = []
    tables: dict[str, Any] = dict(_NOTHING)
    if moments is not None and wanted and consistent_scales(moments):
        check_items(moments)
        rows, remarks = _assess(moments, wanted, options)
        tables, more = _item_tables(moments)
        notes = (*notes, *remarks, *scale_notes(moments), *more)
    assessed = bool(rows)
    single = None
    if isinstance(data, Indicators):
        more_rows, more, single = indicator_rows(data, level)
        rows, notes = [*rows, *more_rows], (*notes, *more)
    elif moments is not None:
        more_rows, more, tables["places"] = place_rows(moments, level)
        rows, notes = [*rows, *more_rows], (*notes, *more)
    if isinstance(data, Survey) and assessed:
        tables["correlations"], more = dimension_correlations(
            data, missing=missing, level=level, n_jobs=n_jobs
        )
        notes = (*notes, *more)
    if not rows:
        raise SpecError(_nothing(moments, wanted))
    rows = [{**row, "group": ALL} for row in rows]
    if by is not None:
        more_rows, remarks = _by_group(data, by, wanted, missing, options)
        rows, notes = [*rows, *more_rows], (*notes, *remarks)
    specification = {
        "coefficients": [coefficient.name for coefficient in wanted] if assessed else [],
        "interval": interval,
        "level": level,
        "missing": missing,
        "n_draws": int(n_draws),
        "by": None if by is None else by if isinstance(by, str) else str(by.name or "group"),
    }
    digests = {type(data).__name__.lower(): data.digest}
    frame = pd.DataFrame(rows)
    frame.insert(1, "group", frame.pop("group"))
    return Reliability(
        frame,
        provenance(seed=root if assessed else None, specification=specification, data=digests),
        tuple(dict.fromkeys(notes)),
        details={**specification, **tables, "reliability": single},
    )


def check_options(interval: str, level: float) -> None:
    """Raise `SpecError` with what is wrong with the options of an assessment."""
    problems = Problems("the options")
    if interval not in INTERVALS:
        problems.add(
            f"interval: must be one of {', '.join(INTERVALS)}, got {interval!r}."
            f"{nearest(str(interval), INTERVALS)}"
        )
    if not 0 < level < 1:
        problems.add(f"level: must lie between 0 and 1, got {level!r}.")
    problems.raise_any(SpecError)


def _nothing(moments: Moments | None, wanted: Sequence[Coefficient]) -> str:
    """Say why there is nothing to assess."""
    held = {scale.needs for scale in consistent_scales(moments)} if moments else set()
    if held and wanted:
        able = [name for name in names("coefficient") if _needs(name) in held]
        return (
            f"there is nothing to assess: the moments hold {listing(sorted(held))}, and "
            f"{listing([c.name for c in wanted])} {'need' if len(wanted) > 1 else 'needs'} "
            f"something else. From what they hold: {listing(able, 20)}."
        )
    return (
        "there is nothing to assess: no dimension of the codebook has two items (and a "
        "coefficient is named), and no indicator has standard errors."
    )


def _needs(name: str) -> str:
    return named_coefficients([name])[0].needs


_NOTHING: dict[str, Any] = {
    "items": [],
    "formative": [],
    "covariance": {},
    "polychoric": {},
    "correlations": [],
    "places": {},
}
"""Tables of a result, where there is nothing to put in them."""


def _item_tables(moments: Moments) -> tuple[dict[str, Any], list[str]]:
    """Return what is shown of the items of each scale, and notes on them."""
    items, fitting = item_rows(moments)
    formative, repeated = formative_rows(moments)
    kept = {
        scale.name: spread.covariance.tolist()
        for scale in consistent_scales(moments)
        if scale.needs == "covariance"
        for spread in [moments.spread(scale.name)]
        if spread.covariance is not None
    }
    tables = {
        "items": items,
        "formative": formative,
        "covariance": kept,
        "polychoric": pair_tables(moments),
    }
    return {**_NOTHING, **tables}, [*fitting, *repeated]


def _assess(
    moments: Moments, wanted: Sequence[Coefficient], options: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of every scale, by dimension and in the order of the coefficients."""
    rows, notes = coefficient_rows(moments, wanted, **options)
    if not rows and notes:
        problems = Problems("the coefficients")
        problems.extend(notes)
        problems.raise_any(MethodError)
    dimensions = list(dict.fromkeys(row["dimension"] for row in rows))
    order = [coefficient.name for coefficient in wanted]
    rows.sort(key=lambda row: (dimensions.index(row["dimension"]), order.index(row["coefficient"])))
    return rows, notes


def _by_group(
    data: Survey | Moments | Indicators,
    by: str | pd.Series,
    wanted: Sequence[Coefficient],
    missing: str,
    options: Mapping[str, Any],
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of each group, and notes on those that have no answer."""
    if isinstance(data, Indicators):
        raise SpecError(
            "by: groups are of answers (a Survey or Moments); units show what lies within their "
            "groups anyway."
        )
    parts, notes, refused = group_moments(data, by, wanted, missing)
    rows: list[dict[str, Any]] = []
    said: dict[str, list[str]] = {}  # a note, and the groups that it is said of
    for label, part in parts.items():
        try:
            flaws = {scale.name: item_problems(part, scale) for scale in consistent_scales(part)}
            able = [name for name, problems in flaws.items() if not problems]
            lacking = [problem for problems in flaws.values() for problem in problems]
            refused.extend(f"{label}: {problem}" for problem in lacking)
            if not able:
                continue
            sound = part.only(able)
            found, remarks = _assess(sound, wanted, options)
            more, told, _ = place_rows(sound, options["level"], say_pooled=False)
        except LGPIError as error:
            refused.append(f"{label}: {reason_of(error)}")
            continue
        rows.extend({**row, "group": label} for row in [*found, *more])
        for note in [*remarks, *told]:
            said.setdefault(note, []).append(label)
    if not rows:
        problems = Problems(f"the {len(refused)} groups")
        problems.extend(refused)
        problems.raise_any(DataError)
    notes.extend(f"{listing(labels, most=20)}: {note}" for note, labels in said.items())
    notes.extend(f"Left out, {reason}" for reason in refused)
    return rows, notes
