"""Study: a recipe with its data, run from answers or indicators to the link."""

from __future__ import annotations

import inspect
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lgpi_research.clusters import as_labels
from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.comparison import compare_settings
from lgpi_research.errors import DataError, SpecError, listing, nearest
from lgpi_research.formula import parse_formula
from lgpi_research.indicators import Indicators
from lgpi_research.links import LinkResult, link_autonomy
from lgpi_research.mechanical import check_mechanical
from lgpi_research.methods.places import within_reliability
from lgpi_research.profile import DESCRIBERS
from lgpi_research.recipe import (
    DIMENSION,
    SCORE,
    Recipe,
    outcome_of,
)
from lgpi_research.registry import describe
from lgpi_research.reliability import assess_reliability
from lgpi_research.results import Result
from lgpi_research.rows import average_rows, choose_rows
from lgpi_research.scoring import Scores, score_index
from lgpi_research.sensitivity import assess_sensitivity
from lgpi_research.spec import IndexSpec, LinkDesign, native_ends
from lgpi_research.specifications import SpecificationCurve, compare_specifications, control_subsets
from lgpi_research.stability import assess_stability
from lgpi_research.streams import root_seed
from lgpi_research.survey import Survey

__all__ = ["Study", "StudyResults", "compare_studies"]

logger = logging.getLogger(__name__)

STAGES = ("reliability", "scores", "sensitivity", "link", "specifications", "describe")
ERROR = "score_std_error"


@dataclass(frozen=True, eq=False)
class Study:
    """A recipe and its data.

    Make one with `load_study`.

    Attributes
    ----------
    recipe : Recipe
        The nouns: codebook, survey design, specification, variation, links.
    table : DataFrame of shape (n_units, …)
        Units after exclusions, with every column that the links need.
    survey : Survey or None
        Answers, if the first table holds them.
    notes : tuple of str
        What was left out and joined, with counts, and the caveats of the data.
    """

    recipe: Recipe
    table: pd.DataFrame
    survey: Survey | None
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        told = self.recipe
        parts = [f"{len(self.table):,} rows"]
        if told.codebook is not None:
            dimensions = len(told.codebook.dimensions)
            parts.append(f"{len(told.codebook)} indicators in {dimensions} dimension(s)")
        if told.links:
            parts.append(
                f"{len(told.links)} link(s), first {self.main_link or next(iter(told.links))}"
            )
        if told.describe:
            parts.append(f"described: {', '.join(item.name for item in told.describe)}")
        return f"Study {told.name!r}: {told.title}\n{'; '.join(parts)}"

    @property
    def spec(self) -> IndexSpec:
        """The specification of the index.

        Raises
        ------
        SpecError
            If the study has no index, only columns that are linked.
        """
        if self.recipe.spec is None:
            raise SpecError(f"{self.recipe.name}: no dimension is named, so there is no index.")
        return self.recipe.spec

    def indicators(self) -> Indicators:
        """Return the units (in each period) by indicators of the index.

        Raises
        ------
        SpecError
            If the study has no index.
        DataError
            With every problem of the columns.
        """
        if self.survey is not None:
            return self.survey.indicators()
        if self.recipe.codebook is None:
            raise SpecError(f"{self.recipe.name}: no dimension is named, so there is no index.")
        told = self.recipe
        return Indicators.from_table(
            self.table,
            self.recipe.codebook,
            unit=told.unit,
            std_errors=told.std_errors or None,
            group=told.cluster or None,
            label=told.unit_label if told.unit_label != told.unit else None,
            period=told.period or None,
            where=told.sources[0].name,
        )

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that the recipe has something for."""
        told = self.recipe
        able = {
            "reliability": told.spec is not None,
            "scores": told.spec is not None,
            "sensitivity": told.spec is not None,
            "link": bool(told.links),
            "specifications": bool(self.main_link)
            and outcome_of(told.links[self.main_link]) == SCORE,
            "describe": bool(told.describe),
        }
        return tuple(stage for stage in STAGES if able[stage])

    @property
    def shown_period(self) -> Any:
        """The period whose reliability and ranks are shown; None without periods."""
        if not self.recipe.period:
            return None
        told = self.recipe.show_period
        return self.table[self.recipe.period].max() if told is None else told

    def reliability(
        self, *, seed: int | None = None, n_jobs: int | None = None
    ) -> dict[str, Result]:
        """Return the reliability of answers or indicators, over time, and of published scores."""
        data = self.survey or self.indicators().at(self.shown_period)
        found: dict[str, Result] = {}
        dimensions = self.recipe.codebook.dimensions if self.recipe.codebook else {}
        if any(len(names) > 1 for names in dimensions.values()):
            found["reliability"] = assess_reliability(
                data, **self.recipe.reliability, seed=seed, n_jobs=n_jobs
            )
        told = self.recipe
        if len(told.periods) > 1:  # declared, so that units are meant to be seen in all of them
            found["stability"] = assess_stability(self.indicators())
        table = self.table
        if told.error_correlation is not None:
            table = self.link_table(self.scores())
        if told.period:
            table = table[table[told.period] == self.shown_period]
        return found | self._published(table, told.cluster, self._errors)

    @property
    def _errors(self) -> list[tuple[str, str]]:
        """Scores that come with standard errors, and the columns of these."""
        pairs = [(pair.score, pair.std_error) for pair in self.recipe.published]
        computed = self.recipe.error_correlation is not None
        return [*pairs, (SCORE, ERROR)] if computed else pairs

    def _published(
        self, table: pd.DataFrame, cluster: str, pairs: Sequence[tuple[str, str]]
    ) -> dict[str, Result]:
        """Return the reliability, among some units, of scores that come with standard errors."""
        found: dict[str, Result] = {}
        for score, std_error in pairs:
            # Rows are the units here, each unit in a period one of its own.
            rows = table[table[score].notna() & table[std_error].notna()].reset_index(drop=True)
            scores = Indicators.from_table(
                rows.assign(row=np.arange(len(rows))),
                Codebook((Indicator(score),)),
                unit="row",
                std_errors={score: std_error},
                group=cluster or None,
                where=self.recipe.sources[0].name,
            )
            found[f"reliability of {score}"] = assess_reliability(scores, coefficients=())
        return found

    def scores(self) -> Scores:
        """Return the index of the recipe."""
        return score_index(
            self.indicators(),
            self.spec,
            label=self.recipe.title,
            error_correlation=self.recipe.error_correlation,
            period=self.shown_period,
        )

    def link_table(self, scores: Scores | None) -> pd.DataFrame:
        """Return the table of the units with their scores, missing where a unit has none.

        Scores stand in the unit of their indicators where the index is a sum or a mean of
        them (`native_ends`).
        """
        if scores is None:
            return self.table
        # Units are matched as labels: a survey names its places so, whatever the table holds.
        keys = {"unit": self.recipe.unit}
        if "period" in scores.frame:
            keys["period"] = self.recipe.period
        named = {SCORE: SCORE, "std_error": ERROR}
        columns = [str(name) for name in scores.frame]
        named |= {name: name for name in columns if name.startswith(DIMENSION)}
        found = scores.frame[[*keys, *(name for name in named if name in columns)]]
        found = found.rename(columns=named).assign(unit=as_labels(found["unit"]))
        units = pd.DataFrame({key: self.table[column] for key, column in keys.items()})
        matched = units.assign(unit=as_labels(units["unit"])).merge(
            found, on=list(keys), how="left", validate="m:1"
        )
        made = {name: matched[name].to_numpy() for name in named.values() if name in matched}
        taken = [name for name in made if name in self.table]
        if taken:
            raise DataError(
                f"{self.recipe.name}: the table has a column {listing(taken)} of its own, which "
                "the index would overwrite. Rename it."
            )
        return self.table.assign(**self._in_native_units(made))

    def _in_native_units(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return scores in the unit of the indicators, where the index of the recipe has one."""
        if self.recipe.codebook is None:
            return columns
        ends = native_ends(self.spec, self.recipe.codebook)
        nodes = {SCORE: self.spec.name} | {
            name: name.removeprefix(DIMENSION) for name in columns if name.startswith(DIMENSION)
        }
        for name, node in nodes.items():
            if name in columns and node in ends:
                low, high = ends[node]
                columns[name] = low + columns[name] * (high - low)
        if ERROR in columns and self.spec.name in ends:
            low, high = ends[self.spec.name]
            columns[ERROR] = columns[ERROR] * (high - low)
        return columns

    @property
    def main_link(self) -> str:
        """Name of the first link whose role is main; empty if there is none."""
        names = [name for name, design in self.recipe.links.items() if design.role == "main"]
        return names[0] if names else ""

    def describe(self, *, seed: int | None = None, n_jobs: int | None = None) -> dict[str, Result]:
        """Return what the recipe describes, by name."""
        tables = {
            source.name: source.frame if source.moments is None else source.moments
            for source in self.recipe.sources
        }
        found = {}
        for item in self.recipe.describe:
            function = DESCRIBERS[item.method]
            taken = inspect.signature(function).parameters
            run = {"seed": seed, "n_jobs": n_jobs}
            given = {name: value for name, value in run.items() if name in taken}
            found[item.name] = function(tables, **item.options, **given)
        return found

    def specifications(self) -> SpecificationCurve:
        """Return the main link under other scores and other controls.

        The scores are those of every combination of methods that the recipe varies, and
        each dimension alone; the controls all, all but one, and none.

        Raises
        ------
        SpecError
            If there is no main link of the score.
        """
        name = self.main_link
        if not name or outcome_of(self.recipe.links[name]) != SCORE:
            raise SpecError(f"{self.recipe.name}: no main link has the score as its outcome.")
        first, *others = self.recipe.variation.specifications(self.spec)
        table = self.link_table(self.scores())
        tables = {"as in the recipe": table}
        data = self.indicators()
        for spec in others:
            changed = [
                describe(getattr(spec, part))
                for part in ("normalise", "aggregate")
                if getattr(spec, part) != getattr(first, part)
            ]
            tables[", ".join(changed)] = self.link_table(score_index(data, spec))
        dimensions = [node for node, _ in self.spec.nodes()][1:]
        for node in dimensions if len(dimensions) > 1 else ():
            tables[f"{node} alone"] = table.assign(**{SCORE: table[DIMENSION + node]})
        curve = compare_specifications(tables, control_subsets(self.recipe.links[name]))
        reliability = self._informed(self.recipe.links[name], table).score_reliability
        if reliability is None:
            return curve
        note = (
            f"Slopes are in SD of score as observed. The link itself corrects it for error "
            f"(reliability {reliability:.3g}), which is not known of the other constructions: its "
            f"slope in SD is {1 / reliability**0.5:.3g} times the one shown here."
        )
        return replace(curve, notes=(*curve.notes, note))

    def run(
        self,
        *,
        n_draws: int = 16_384,
        seed: int | None = None,
        n_jobs: int | None = None,
        checkpoint: str | Path | None = None,
        stages: tuple[str, ...] | None = None,
    ) -> StudyResults:
        """Run the recipe.

        Parameters
        ----------
        n_draws : int, default 16384
            Draws of the weight sensitivity.
        seed : int or None
            Seed of everything random; a fresh one is drawn and recorded if None.
        n_jobs : int or None
            Workers; None takes joblib's context. Results do not depend on them.
        checkpoint : path, optional
            Folder that keeps finished blocks, so that an interrupted run goes on.
        stages : tuple of str, optional
            Which stages to run: ``reliability``, ``scores``, ``sensitivity``, ``link``,
            ``specifications``, ``describe``; all that the recipe has if None.

        Returns
        -------
        StudyResults

        Raises
        ------
        DataError, SpecError, MethodError
            From the stage that cannot go on.

        Examples
        --------
        >>> from lgpi_research.loading import load_study
        >>> results = load_study("eu").run(stages=("scores",))
        >>> results["scores"].frame["unit"].iloc[0]
        'AT11'
        """
        stages = self.stages if stages is None else stages
        for stage in stages:
            if stage not in STAGES:
                known = ", ".join(STAGES)
                raise SpecError(f"Unknown stage {stage!r}.{nearest(stage, STAGES)} Known: {known}.")
        root = root_seed(seed)
        found: dict[str, Result] = {}
        say = self._say
        links = self.recipe.links if "link" in stages else {}
        for design in links.values():  # refused before anything that takes time
            if design.role != "warning":
                check_mechanical(design, [*design.score_columns, outcome_of(design)])
        if "reliability" in stages:
            say("reliability")
            found |= self.reliability(seed=root, n_jobs=n_jobs)
        scores = None
        if "scores" in stages or (self.recipe.spec is not None and "link" in stages):
            say("index")
            scores = self.scores()
        if scores is not None and "scores" in stages:
            found["scores"] = scores
        if "sensitivity" in stages:
            say("weight sensitivity")
            found["sensitivity"] = assess_sensitivity(
                self.indicators(),
                self.spec,
                self.recipe.variation,
                period=self.shown_period,
                n_draws=n_draws,
                seed=root,
                n_jobs=n_jobs,
                checkpoint=checkpoint,
                label=self.recipe.title,
            )
        table = self.link_table(scores) if links else self.table
        for name, design in links.items():
            say(f"link: {name}")
            key = "link" if name == self.main_link else f"link: {name}"
            found[key] = link_autonomy(table, self._informed(design, table))
        if "describe" in stages:
            say("description")
            found |= self.describe(seed=root, n_jobs=n_jobs)
        if "specifications" in stages:
            say("specifications")
            found["specifications"] = self.specifications()
        return StudyResults(self, found, root)

    def _informed(self, design: LinkDesign, table: pd.DataFrame) -> LinkDesign:
        """Return the design with the reliability of its score, where the study knows it.

        It is that of the first published score, or of the score itself, among the rows
        that the link uses: reliability is a share of variance, so it belongs to a sample.
        """
        told = self.recipe
        if outcome_of(design) != SCORE or not self._errors:
            return design
        formula = parse_formula(design.formula)
        errors = self._errors[0]
        rows, _ = choose_rows(table, design)
        rows, _ = average_rows(rows, design, [*formula.columns, *errors])
        used = rows[rows[list(formula.columns)].notna().all(axis=1)]
        if len(used) < 2:
            return design  # the link itself says what is missing
        if (known := int(used[list(errors)].notna().all(axis=1).sum())) < 2:
            reason = f"the error of the score is known in {known} of {len(used)} rows."
            return design.change(score_unreliable=reason)
        first = self._published(used, "", [errors])[f"reliability of {errors[0]}"]
        reliability = first.details["reliability"]
        if reliability <= 0:
            reason = f"the scores of the {len(used)} rows differ no more than their errors do."
            return design.change(score_unreliable=reason)
        if design.within:
            stability = _stability(used, told.unit, told.period)
            if np.isnan(stability):
                reason = (
                    f"no two periods share three {told.unit}, so that nothing tells movements "
                    "from errors."
                )
                return design.change(score_unreliable=reason)
            within = within_reliability(reliability, stability)
            if within <= 0:
                reason = (
                    f"within {told.unit} the score moves no more than its errors do (reliability "
                    f"{reliability:.3f} over all rows, correlation between years {stability:.3f}, "
                    f"so {within:.2f} within, if errors were independent over time)."
                )
                return design.change(score_unreliable=reason)
        return design.change(score_reliability=reliability)

    def _say(self, stage: str) -> None:
        logger.info("%s: %s", self.recipe.name, stage)


@dataclass(frozen=True, eq=False)
class StudyResults(Mapping[str, Result]):
    """The results of a study, by name, in the order of the stages."""

    study: Study
    results: Mapping[str, Result]
    seed: int

    def __getitem__(self, name: str) -> Result:
        try:
            return self.results[name]
        except KeyError:
            raise KeyError(f"No result {name!r}; there are {', '.join(self.results)}.") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __repr__(self) -> str:
        return "\n".join([self.study.recipe.title, *self.sentences()])

    @property
    def links(self) -> dict[str, LinkResult]:
        """The links by their names in the recipe."""
        found = {}
        for name in self.study.recipe.links:
            key = "link" if name == self.study.main_link else f"link: {name}"
            if isinstance(link := self.results.get(key), LinkResult):
                found[name] = link
        return found

    def sentences(self) -> list[str]:
        """Return what was found, one plain sentence a result."""
        return [result.headline() for result in self.results.values()]


def compare_studies(studies: Sequence[StudyResults]) -> dict[str, Result]:
    """Return what is said over several studies; nothing if fewer than two have links.

    Parameters
    ----------
    studies : sequence of StudyResults
        With different recipes.

    Returns
    -------
    dict of str to Result
        ``comparison`` of the links, as `compare_settings` makes it.

    Raises
    ------
    SpecError
        If two studies have one name, or their links cannot be compared.
    """
    names = Counter(study.study.recipe.name for study in studies)
    if twice := [name for name, count in names.items() if count > 1]:
        raise SpecError(f"{listing(twice)}: several studies have this name; rename a recipe.")
    linked = {study.study.recipe.name: study for study in studies if study.links}
    if len(linked) < 2:
        return {}
    titles = {name: study.study.recipe.short_title for name, study in linked.items()}
    links = {name: study.links for name, study in linked.items()}
    return {"comparison": compare_settings(links, titles=titles)}


def _stability(rows: pd.DataFrame, unit: str, period: str) -> float:
    """Return the mean correlation of the score over all pairs of periods; NaN if none has it."""
    wide = rows.pivot(index=unit, columns=period, values=SCORE)
    table = wide.corr(min_periods=3).to_numpy()
    pairs = table[np.triu_indices(len(table), 1)]
    known = pairs[~np.isnan(pairs)]
    return float(known.mean()) if len(known) else float("nan")
