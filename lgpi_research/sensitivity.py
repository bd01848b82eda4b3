"""Weight sensitivity: which scores and ranks hold whatever weights and methods are chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lgpi_research import plots
from lgpi_research.blocks import Checkpoint, Sums, digest, fold_blocks
from lgpi_research.errors import LGPIError, SpecError
from lgpi_research.indicators import Indicators
from lgpi_research.methods.ranks import count_ranks, rank_scores
from lgpi_research.methods.weights import draw_dirichlet
from lgpi_research.registry import describe
from lgpi_research.results import FORMAT, Result, provenance
from lgpi_research.scoring import (
    NodeWeights,
    Plan,
    complete_units,
    make_plan,
    unit_columns,
    unit_names,
)
from lgpi_research.spec import IndexSpec, Variation
from lgpi_research.streams import BLOCK, root_seed, stream

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Sensitivity", "assess_sensitivity"]

NARROW = 0.05
"""A rank interval is narrow if it spans less than this share of the units."""

_CELLS = 1 << 22  # scores held at a time within a block: bounds memory, not the result


@dataclass(frozen=True, eq=False)
class _Draws:
    """The work of one block: draw choices and weights, score, rank, fold."""

    plans: tuple[Plan, ...]
    concentration: float | None
    seed: int

    def __call__(self, block: int, size: int) -> Sums:
        n = len(self.plans[0].table)
        chosen = stream(self.seed, "choices", block).integers(len(self.plans), size=BLOCK)
        sums: Sums = {
            "counts": np.zeros((n, 2 * n - 1), dtype=np.int64),
            "used": np.bincount(chosen[:size], minlength=len(self.plans)),
            "score_sum": np.zeros(n),
            "score_squares": np.zeros(n),
        }
        for number, plan in enumerate(self.plans):
            draws = np.flatnonzero(chosen == number)
            weights = self._weights(plan, block, draws)
            step = max(1, _CELLS // n)
            for start in range(0, len(draws), step):
                part = {node: value[start : start + step] for node, value in weights.items()}
                wanted = int((draws[start : start + step] < size).sum())
                # Scored whole and cut then: the last bits of a product change with its shape.
                scores = plan.score(part)[:wanted]
                sums["counts"] += count_ranks(scores)
                if number == 0:
                    centred = scores - plan.score(plan.weights)
                    sums["score_sum"] += centred.sum(axis=0)
                    sums["score_squares"] += np.square(centred).sum(axis=0)
        return {**sums, "counts": sums["counts"].astype(np.uint16)}

    def _weights(self, plan: Plan, block: int, draws: np.ndarray) -> NodeWeights:
        """Return this plan's weights for some draws of a block; draws are common to all plans."""
        if self.concentration is None:
            return {node: np.tile(value, (len(draws), 1)) for node, value in plan.weights.items()}
        rng = stream(self.seed, "weights", block)
        return {
            node: draw_dirichlet(rng, value, self.concentration, BLOCK)[draws]
            for node, value in plan.weights.items()
        }


@dataclass(frozen=True, eq=False, repr=False)
class Sensitivity(Result, kind="sensitivity"):
    """How scores and ranks move when weights and methods do.

    ``frame`` has one row a unit: ``unit``, ``score`` and ``rank`` under the
    specification, ``score_sd`` over the weight draws under its methods, ``rank_mean``,
    the interval ``rank_low`` to ``rank_high`` at ``details["level"]``, ``rank_best`` and
    ``rank_worst`` seen, and ``share_first``. ``arrays["acceptability"]`` has shape
    (n, n): the share of draws in which unit i has rank r.
    """

    def headline(self) -> str:
        """Return how many ranks hold, in one sentence."""
        told = self.details
        return (
            f"{told['label']}: over {told['n_draws']:,} draws of weights"
            f"{' and methods' if len(told['choices']) > 1 else ''} a unit's rank moves by "
            f"{told['mean_rank_shift']:.1f} places on average; {100 * told['narrow_share']:.0f} % "
            f"of {len(self.frame):,} units have a rank interval of fewer than "
            f"{NARROW * len(self.frame):.0f} places, {100 * NARROW:.0f} % of the ranking."
        )

    def summary(self) -> pd.DataFrame:
        """Return rank intervals in the order of the ranks."""
        ordered = self.frame.sort_values(["rank", "unit"], kind="stable")
        wanted = ["rank", "rank_low", "rank_high", "rank_best", "rank_worst", "share_first"]
        named = [name for name in ("unit", "label") if name in ordered]
        return ordered[[*named, *wanted]].reset_index(drop=True)

    def methods_text(self) -> str:
        """Return what was varied, with citation keys."""
        told = self.details
        concentration = told["concentration"]
        weights = (
            "weights were kept"
            if concentration is None
            else f"the weights of each node were drawn from Dirichlet({concentration:g} w)"
        )
        return (
            f"In {told['n_draws']:,} draws {weights}, over {len(told['choices'])} combination(s) "
            f"of methods ({'; '.join(told['choices'])}); ranks are reported with "
            f"{100 * told['level']:.0f} % intervals and rank acceptability "
            "[@Saisana2005; @LahdelmaSalminen2001]."
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw rank intervals in the order of the ranks, and return the axes."""
        table = self.summary()
        height = 4.2 if len(table) > plots.MANY else 1.2 + 0.2 * len(table)
        ax = plots.new_axes(ax, (6.4, height))
        middle, low, high = (table[c].to_numpy() for c in ("rank", "rank_low", "rank_high"))
        plots.intervals(ax, unit_names(table), middle, low, high)
        return plots.describe(
            ax,
            f"{self.details['label']}: ranks under other weights",
            f"rank (1 is best), {100 * self.details['level']:.0f} % of draws",
            "units, by rank" if len(table) > plots.MANY else "",
        )

    def plot_acceptability(self, ax: Axes | None = None, *, most: int = 20) -> Axes:
        """Draw the share of draws at each rank, for the first `most` units and ranks."""
        ordered = self.frame.sort_values(["rank", "unit"], kind="stable")
        order = ordered.index[:most]
        ax = plots.new_axes(ax, (6.8, 1.4 + 0.24 * len(order)))
        shares = self.arrays["acceptability"][order, :most]
        plots.heat(
            ax, shares, unit_names(ordered.head(most)), [str(r + 1) for r in range(shares.shape[1])]
        )
        return plots.describe(ax, f"{self.details['label']}: rank acceptability", "rank")


def assess_sensitivity(
    indicators: Indicators,
    spec: IndexSpec,
    variation: Variation | None = None,
    *,
    n_draws: int = 16_384,
    level: float = 0.90,
    period: Any = None,
    seed: int | None = None,
    n_jobs: int | None = None,
    checkpoint: str | Path | None = None,
    label: str = "",
) -> Sensitivity:
    r"""Score and rank units under many weights, and under other methods if asked.

    Parameters
    ----------
    indicators : Indicators
        Units by indicators; units that lack an indicator are set aside and counted.
    spec : IndexSpec
        The choices that are varied around.
    variation : Variation, optional
        What is varied; Dirichlet weights with concentration 50 if None.
    n_draws : int, default 16384
        Number of draws; more draws extend fewer.
    level : float, default 0.90
        Level of the rank intervals: their ends are the smallest ranks that at least
        (1 − level)/2 and 1 − (1 − level)/2 of the draws do not exceed.
    period : optional
        Period whose units are ranked, if the indicators have periods; the last if None.
        Normalisation is that of all periods.
    seed : int or None
        Seed; a fresh one is drawn and recorded if None.
    n_jobs : int or None
        Workers; None takes joblib's context. The result does not depend on them.
    checkpoint : path, optional
        Folder that keeps finished blocks, so that an interrupted run goes on.
    label : str, optional
        What the index is called in text.

    Returns
    -------
    Sensitivity

    Raises
    ------
    SpecError
        If an option is not valid or the specification names unknown indicators.
    MethodError
        If the specification itself cannot be scored. Alternatives that cannot are
        left out, and named in the notes.

    Notes
    -----
    The weights of the children of each node are drawn from
    :math:`\text{Dirichlet}(\kappa w)`; combinations of methods are equally likely
    [1]_. The acceptability of rank r is the share of draws in which a unit has it
    [2]_; a mean rank between two counts half to each. A share p has the Monte Carlo
    error :math:`\sqrt{p(1-p)/N}`.

    References
    ----------
    .. [1] Saisana, M., Saltelli, A., and Tarantola, S. (2005). Uncertainty and sensitivity
       analysis techniques as tools for the quality assessment of composite indicators.
       *Journal of the Royal Statistical Society: Series A*, 168, 307-323.
    .. [2] Lahdelma, R., and Salminen, P. (2001). SMAA-2: stochastic multicriteria
       acceptability analysis for group decision making. *Operations Research*, 49, 444-454.

    Examples
    --------
    >>> from lgpi_research.codebook import Codebook, Indicator
    >>> table = pd.DataFrame({"place": ["a", "b", "c"], "x": [1, 2, 3], "y": [1, 3, 2]})
    >>> book = Codebook((Indicator("x"), Indicator("y")))
    >>> data = Indicators.from_table(table, book, unit="place")
    >>> spec = IndexSpec("lgpi", {"all": ("x", "y")})
    >>> found = assess_sensitivity(data, spec, n_draws=1024, seed=0)
    >>> found.frame[["unit", "rank", "rank_best", "rank_worst"]]
      unit  rank  rank_best  rank_worst
    0    a   3.0        3.0         3.0
    1    b   1.5        1.0         2.0
    2    c   1.5        1.0         2.0
    """
    if not 0 < level < 1:
        raise SpecError(f"level must lie between 0 and 1, got {level!r}.")
    variation = variation or Variation()
    root = root_seed(seed)
    data, notes = complete_units(indicators, spec)
    plans, texts, more = _plans(data, spec, variation)
    described = {"index": spec.describe(), "variation": variation.describe(), "level": level}
    if data.periods is not None:
        period = max(data.periods) if period is None else period
        there = (data.periods == period).to_numpy()
        data = data.at(period)
        plans = tuple(replace(plan, table=plan.table[there]) for plan in plans)
        described["period"] = str(period)
        more.append(f"ranks are those of {period}, normalised over all periods.")
    origin = provenance(
        seed=root,
        specification=described,
        data={"indicators": indicators.digest},
        n_draws=int(n_draws),
    )
    kept = None
    if checkpoint is not None:
        identity = digest(origin["data"], described, root, origin["versions"], FORMAT)
        kept = Checkpoint(Path(checkpoint), identity)
    sums = fold_blocks(
        _Draws(plans, variation.concentration, root),
        n_draws,
        n_jobs=n_jobs,
        checkpoint=kept,
        label=label or spec.name,
    )
    frame, acceptability = _tabulate(plans[0], data, sums, level)
    width = frame["rank_high"] - frame["rank_low"]
    details = {
        "label": label or spec.name,
        "n_draws": int(n_draws),
        "level": level,
        "concentration": variation.concentration,
        "choices": texts,
        "draws_of_choices": sums["used"].tolist(),
        "mean_rank_shift": float(frame.pop("rank_shift").mean()),
        "narrow_share": float((width < NARROW * len(frame)).mean()),
        "share_error": 0.5 / float(np.sqrt(n_draws)),
    }
    every = (*notes, *more, *_weight_notes(spec, plans[0], variation))
    return Sensitivity(frame, origin, every, {"acceptability": acceptability}, details)


def _plans(
    data: Indicators, spec: IndexSpec, variation: Variation
) -> tuple[tuple[Plan, ...], list[str], list[str]]:
    """Try every combination of methods; return those that work, their names, and notes."""
    plans, texts, notes = [], [], []
    for candidate in variation.specifications(spec):
        text = f"{describe(candidate.normalise)}, {describe(candidate.aggregate)}"
        try:
            plan, told = make_plan(data, candidate)
        except LGPIError as error:
            if candidate == spec:
                raise
            reason = " ".join(str(error).split())
            notes.append(f"left out: {text}, which cannot be scored ({reason})")
            continue
        plans.append(plan)
        texts.append(text)
        notes.extend(note for note in told if note not in notes)
    return tuple(plans), texts, notes


def _tabulate(
    plan: Plan, data: Indicators, sums: Sums, level: float
) -> tuple[pd.DataFrame, np.ndarray]:
    """Turn counts of ranks into the table of units and the acceptability matrix."""
    counts = sums["counts"]
    n, draws = len(counts), counts[0].sum()
    places = 1 + np.arange(counts.shape[1]) / 2
    score = plan.score(plan.weights)
    ranks = rank_scores(score)
    upto = counts.cumsum(axis=1)
    tail = (1 - level) / 2

    def quantile(share: float) -> np.ndarray:
        return np.asarray(places[(upto >= share * draws - 1e-9).argmax(axis=1)])

    used = max(int(sums["used"][0]), 1)
    mean = sums["score_sum"] / used
    acceptability = counts[:, ::2].astype(float)
    acceptability[:, :-1] += counts[:, 1::2] / 2
    acceptability[:, 1:] += counts[:, 1::2] / 2
    acceptability /= draws
    frame = pd.DataFrame(
        {
            **unit_columns(data),
            "score": score,
            "score_sd": np.sqrt(np.maximum(sums["score_squares"] / used - mean**2, 0.0)),
            "rank": ranks,
            "rank_mean": counts @ places / draws,
            "rank_low": quantile(tail),
            "rank_median": quantile(0.5),
            "rank_high": quantile(1 - tail),
            "rank_best": places[(counts > 0).argmax(axis=1)],
            "rank_worst": places[::-1][(counts > 0)[:, ::-1].argmax(axis=1)],
            "share_first": acceptability[:, 0],
            "rank_shift": (counts * np.abs(places - ranks[:, None])).sum(axis=1) / draws,
        }
    )
    return frame, acceptability.reshape(n, n)


def _weight_notes(spec: IndexSpec, plan: Plan, variation: Variation) -> list[str]:
    """Return, for each node, how far a weight strays at this concentration."""
    if variation.concentration is None:
        return ["weights were not varied."]
    return [
        f"{node}: weights "
        + ", ".join(
            f"{child} {weight:.3g} ± {variation.weight_sd(float(weight)):.2g}"
            for child, weight in zip(children, plan.weights[node], strict=True)
        )
        + f" (mean ± standard deviation, Dirichlet with concentration {variation.concentration:g})."
        for node, children in spec.nodes()
        if len(children) > 1
    ]
