"""Surveys: who was asked (`SurveyDesign`), and their answers, checked as a whole (`Survey`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research.blocks import digest
from lgpi_research.codebook import Codebook
from lgpi_research.columns import to_numeric
from lgpi_research.errors import DataError, Problems, SpecError, nearest
from lgpi_research.indicators import Indicators
from lgpi_research.methods.design import LONELY_LINEAR, Design
from lgpi_research.methods.replicates import LONELY
from lgpi_research.moments import MOST_CATEGORIES, Moments, Scale, checked_weights, clusters

__all__ = ["Survey", "SurveyDesign", "scale_of", "scales_of"]

_SINGLE = ("psu", "stratum", "weight", "place")  # roles of one column


@dataclass(frozen=True)
class SurveyDesign:
    """Who was asked: the columns that say how respondents were drawn.

    Parameters
    ----------
    psu : str
        Column of the primary sampling unit: the cluster that was drawn first (village,
        enumeration area). In a sample without clusters, the respondent.
    stratum : str, optional
        Column of the stratum that PSUs were drawn within.
    weight : str, optional
        Column of the design weight; equal weights if None.
    place : str, optional
        Column of the place that scores are wanted for.
    lonely : {"fail", "certainty", "adjust", "average"}, default "fail"
        What to do with a stratum that has one PSU: refuse to estimate sampling error, count
        the PSU as taken with certainty, centre it at the mean of all PSUs, or give it the
        mean of what other strata add to the error
        (`lgpi_research.methods.design.linearised_covariance`). The last two are for
        linearised errors alone; moments and replicates refuse them.
    ssu : str or sequence of str, optional
        Columns of the units of the second and later stages, drawn within those of the stage
        before (a household in its village); their labels may repeat between such units.
    population : str or sequence of (str or None), optional
        Columns with the number of units that the population has of each stage, from the
        first: PSUs in the stratum, then units in the PSU, and so on. None: not known, so
        that the finite population is not allowed for from this stage on. If there is no
        `weight`, weights are the products of these numbers over those drawn.

    Raises
    ------
    SpecError
        With everything that is not valid.

    Examples
    --------
    >>> SurveyDesign(psu="village", place="district").columns
    {'psu': 'village', 'place': 'district'}
    >>> SurveyDesign(psu="village", ssu="household", population=("villages", None)).columns
    {'psu': 'village', 'stage 2': 'household', 'population 1': 'villages'}
    """

    psu: str
    stratum: str | None = None
    weight: str | None = None
    place: str | None = None
    lonely: str = "fail"
    ssu: str | Sequence[str] | None = None
    population: str | Sequence[str | None] | None = None

    def __post_init__(self) -> None:
        problems = Problems("the survey design")
        for name in ("ssu", "population"):
            given = getattr(self, name)
            if given is not None and not isinstance(given, str):
                object.__setattr__(self, name, tuple(given))
        if not self.psu:
            problems.add("psu: name the column of the clusters, or of the respondents.")
        if self.lonely not in LONELY_LINEAR:
            hint = nearest(str(self.lonely), LONELY_LINEAR)
            problems.add(
                f"lonely: must be one of {', '.join(LONELY_LINEAR)}, got {self.lonely!r}.{hint}"
            )
        for one, other in (("weight", "psu"), ("weight", "stratum"), ("weight", "place")):
            column = getattr(self, one)
            if column and column == getattr(self, other):
                problems.add(f"{one}: column {column!r} is also the {other}.")
        if self.stratum and self.stratum == self.psu:
            problems.add("stratum: every PSU would be a stratum of its own.")
        units, counts = self.stages, _several(self.population)
        if len(counts) > len(units):
            problems.add(
                f"population: {len(counts)} columns for {len(units)} stages; give one a stage, the "
                "first stage first."
            )
        taken = {column: role for role, column in self.columns.items() if role in _SINGLE}
        for role, column in self.columns.items():
            if role not in _SINGLE and column in taken:
                problems.add(f"{role}: column {column!r} is also the {taken[column]}.")
            taken.setdefault(column, role)
        problems.raise_any(SpecError)

    @property
    def stages(self) -> tuple[str, ...]:
        """The column of the units of each stage."""
        return (self.psu, *(column for column in _several(self.ssu) if column))

    @property
    def columns(self) -> dict[str, str]:
        """The column of each role that has one."""
        roles = {name: getattr(self, name) for name in _SINGLE}
        roles |= {f"stage {k}": column for k, column in enumerate(self.stages[1:], start=2)}
        counts = enumerate(_several(self.population), start=1)
        roles |= {f"population {k}": column for k, column in counts}
        return {role: column for role, column in roles.items() if column}


@dataclass(frozen=True, eq=False)
class Survey:
    """Answers of respondents, with what was asked and who was asked.

    The whole table is checked at once when the survey is made.

    Parameters
    ----------
    frame : DataFrame of shape (n_respondents, …)
        One row a respondent.
    codebook : Codebook
        The items.
    design : SurveyDesign
        The columns of the design.
    where : str, default "the survey"
        What the table is called in messages.

    Attributes
    ----------
    values : DataFrame of shape (n_respondents, n_items)
        Answers as numbers, NaN where missing, in the units and directions of the items.
    roles : DataFrame of shape (n_respondents, …)
        Columns of the design by role: ``psu`` and, where the design has them,
        ``stratum``, ``place``, ``weight``, ``stage 2``, … and ``population 1``, …
    notes : tuple of str
        What was set aside.

    Raises
    ------
    DataError
        With every problem: unknown and duplicate columns, text among numbers, infinite
        values, values outside their scale, items without an answer, respondents without
        a cluster or a unit of a later stage, clusters in two strata or places, weights that
        are missing, negative or all 0, numbers of units in the population that are missing,
        not positive, smaller than the sample or not the same within a stratum or unit.

    Examples
    --------
    >>> from lgpi_research.codebook import Indicator
    >>> table = pd.DataFrame({"village": [1, 1, 2, 2], "q1": [1, 2, 4, 9], "q2": [2, 2, 5, 3]})
    >>> book = Codebook((Indicator("q1", scale=(1, 5), missing_codes=(9,)), Indicator("q2")))
    >>> survey = Survey(table, book, SurveyDesign(psu="village"))
    >>> survey
    Survey of 4 respondents in 2 PSUs, 2 items
    >>> survey.notes
    ('q1: missing codes set aside: 9 (1).',)
    """

    frame: pd.DataFrame
    codebook: Codebook
    design: SurveyDesign
    where: str = "the survey"
    values: pd.DataFrame = field(init=False)
    roles: pd.DataFrame = field(init=False)
    notes: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        problems = Problems(self.where)
        roles = _roles(self.frame, self.design, self.where, problems)
        clash = set(self.design.columns.values()) & set(self.codebook.names)
        for column in sorted(clash):
            problems.add(f"{column}: is both an item of the codebook and a column of the design.")
        try:
            values, notes = self.codebook.read(self.frame, self.where)
        except DataError as error:
            problems.extend(error.problems)
        problems.raise_any(DataError)
        if "weight" not in roles and any(str(role).startswith("population") for role in roles):
            roles = roles.assign(weight=_linear(self.design, roles).weights)
            notes = (*notes, "Weights: units in the population over units drawn, by stage.")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "roles", roles)
        object.__setattr__(self, "notes", notes)

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        nouns = {
            "psu": ("PSU", "PSUs"),
            "stratum": ("stratum", "strata"),
            "place": ("place", "places"),
        }
        told = [_count(self.roles[r].nunique(), *nouns[r]) for r in nouns if r in self.roles]
        items = _count(len(self.codebook), "item", "items")
        people = _count(len(self), "respondent", "respondents")
        return f"Survey of {people} in {', '.join(told)}, {items}"

    @property
    def digest(self) -> str:
        """SHA-256 of answers and design."""
        return digest(self.values, self.roles, self.design.lonely)

    def moments(
        self,
        items: Sequence[str] | None = None,
        *,
        needs: str = "covariance",
        missing: str = "listwise",
    ) -> Moments:
        """Return the sums that the survey's statistics are functions of.

        Items of the direction "negative" are reversed in scales. Sampling errors from these
        sums count PSUs as drawn with replacement: with a stated `population` they are on the
        large side.

        Parameters
        ----------
        items : sequence of str, optional
            The items of one scale. If None, there is a scale for each dimension of the
            codebook that has two items or more, and one called "means" of all items.
        needs : {"covariance", "variances", "means", "pair counts"}, default "covariance"
            What is wanted of the scales; with "means", only the means of all items.
        missing : {"listwise", "pairwise"}, default "listwise"
            Which answers a scale uses (`lgpi_research.moments.Scale`).

        Returns
        -------
        Moments

        Raises
        ------
        SpecError
            If an item or an option is unknown, or the design treats lonely PSUs in a way that
            sums do not know.
        """
        if self.design.lonely not in LONELY:
            raise SpecError(
                f"lonely={self.design.lonely!r} is for linearised errors alone (estimate_survey): "
                "sums of PSUs and replicates know 'fail' and 'certainty'. Make the survey with one "
                "of these for reliability, indicators and replicates, or join strata with one PSU "
                "to their neighbours."
            )
        if items is not None:
            scales = [scale_of(self.codebook, "all items", tuple(items), needs, missing)]
        else:
            means = Scale("means", self.codebook.names, "means")
            kept = [] if needs == "means" else scales_of(self.codebook, needs, missing)
            scales = [*kept, means]
        found = Moments.from_answers(
            self.values,
            psu=self.roles["psu"],
            stratum=self.roles.get("stratum"),
            place=self.roles.get("place"),
            weight=self.roles.get("weight"),
            scales=scales,
            lonely=self.design.lonely,
            where=self.where,
        )
        return replace(found, notes=(*self.notes, *found.notes))

    def linear_design(self) -> Design:
        """Return the design as linearised errors need it: all stages, populations, weights.

        Returns
        -------
        lgpi_research.methods.design.Design

        Examples
        --------
        >>> from lgpi_research.codebook import Indicator
        >>> table = pd.DataFrame({"village": [1, 1, 2, 2], "villages": 8, "q1": [1, 2, 4, 9]})
        >>> asked = SurveyDesign(psu="village", population="villages")
        >>> design = Survey(table, Codebook((Indicator("q1"),)), asked).linear_design()
        >>> design.weights, design.df
        (array([4., 4., 4., 4.]), 1)
        """
        return _linear(self.design, self.roles)

    def indicators(self, *, pooled: bool = False) -> Indicators:
        """Return the places by the weighted means of their answers, with standard errors.

        Errors are those of the design: PSUs drawn within the strata of each place
        (`lgpi_research.methods.places.place_means`). A place with one PSU has none, and
        a note counts such places. PSUs count as drawn with replacement, also where the
        design states a `population`.

        Parameters
        ----------
        pooled : bool, default False
            Whether to smooth the errors over places, as one should with few PSUs a place;
            then places with one PSU have errors too.

        Returns
        -------
        Indicators

        Raises
        ------
        SpecError
            If the design names no column of places.
        """
        if self.design.place is None:
            raise SpecError(
                "the design names no places: make it with SurveyDesign(…, place='<column>')."
            )
        return self.moments(needs="means").indicators(self.codebook, pooled=pooled)


def scale_of(
    codebook: Codebook, name: str, items: tuple[str, ...], needs: str, missing: str
) -> Scale:
    """Return the scale of some items, with what the codebook says of them.

    Items of the direction "negative" are reversed; the scale is reflective if every item
    is.
    """
    book = codebook.select(items)
    kinds = {item.measurement for item in book}
    reverse = tuple(item.name for item in book if item.direction == "negative")
    measurement = "reflective" if kinds == {"reflective"} else "formative"
    categories = _categories(book) if needs == "pair counts" else ()
    return Scale(name, items, needs, missing, reverse, measurement, categories)


def _categories(book: Codebook) -> tuple[float, ...]:
    """Return the answers that all items allow: the whole numbers of the one scale they share.

    None, for those that occur, if items have different scales, or too many answers.
    """
    ends = {item.scale for item in book}
    low, high = next(iter(ends)) or (0.0, 0.0)
    if len(ends) > 1 or low % 1 or high % 1 or not 1 <= high - low < MOST_CATEGORIES:
        return ()
    return tuple(low + step for step in range(int(high - low) + 1))


def scales_of(
    codebook: Codebook, needs: str = "covariance", missing: str = "listwise"
) -> list[Scale]:
    """Return the scale of each dimension of a codebook that has two items or more."""
    return [
        scale_of(codebook, dimension or "all items", items, needs, missing)
        for dimension, items in codebook.dimensions.items()
        if len(items) > 1
    ]


def _several(columns: str | Sequence[str | None] | None) -> tuple[str | None, ...]:
    """Return one column, several or none as a tuple."""
    return (columns,) if columns is None or isinstance(columns, str) else tuple(columns)


def _linear(design: SurveyDesign, roles: pd.DataFrame) -> Design:
    """Return the design of the rows whose columns by role are given."""
    weights = roles.get("weight")
    units = ["psu", *(f"stage {k}" for k in range(2, len(design.stages) + 1))]
    counts = [f"population {k}" for k in range(1, len(units) + 1)]
    called = []
    for column, count in zip(design.stages, counts, strict=True):
        held = f" (population in {design.columns[count]})" if count in roles else ""
        called.append(f"{column}{held}")
    return Design.from_labels(
        len(roles),
        weights=None if weights is None else weights.to_numpy(float),
        strata=_labels(roles["stratum"]) if "stratum" in roles else None,
        stages=[_labels(roles[unit]) for unit in units],
        populations=[roles[name].to_numpy(float) if name in roles else None for name in counts],
        lonely=design.lonely,
        called=called,
    )


def _labels(column: pd.Series) -> npt.NDArray[np.object_]:
    """Return labels as text, None where there is none."""
    return column.astype(object).where(column.notna(), None).to_numpy(dtype=object)


def _count(n: int, one: str, several: str) -> str:
    return f"{n:,} {one if n == 1 else several}"


def _roles(
    frame: pd.DataFrame, design: SurveyDesign, where: str, problems: Problems
) -> pd.DataFrame:
    """Return the columns of the design by role, and note what is wrong with them."""
    columns = [str(name) for name in frame.columns]
    found: dict[str, pd.Series] = {}
    for role, column in design.columns.items():
        count = columns.count(column)
        if count == 1:
            found[role] = frame.iloc[:, columns.index(column)]
            continue
        what = f"{count} columns have this name; keep one." if count else "there is no such column."
        problems.add(f"{column} ({role}): {what}{'' if count else nearest(column, columns)}")
    if "weight" in found:
        column = str(design.weight)
        numbers = found.pop("weight").to_frame(column)
        try:
            found["weight"] = to_numeric(numbers, [column], where)[column]
        except DataError as error:
            problems.extend(error.problems)
        else:
            checked_weights(len(frame), found["weight"], problems, column)
    for role in [role for role in found if role.startswith("population")]:
        column = design.columns[role]
        try:
            found[role] = to_numeric(found[role].to_frame(column), [column], where)[column]
        except DataError as error:
            problems.extend(error.problems)
            del found[role]
    if "psu" not in found:
        return pd.DataFrame(found, index=frame.index)
    before = len(problems.items)
    roles = {role: found.get(role) for role in ("psu", "stratum", "place")}
    clusters(len(frame), roles, problems, design.columns)
    table = pd.DataFrame(found, index=frame.index)
    several = len(found) > len(set(found) & set(_SINGLE))
    if several and len(problems.items) == before and set(found) == set(design.columns):
        try:
            _linear(design, table.drop(columns="weight", errors="ignore"))
        except DataError as error:
            problems.extend(error.problems)
    return table
