"""Surveys: who was asked (`SurveyDesign`), and their answers, checked as a whole (`Survey`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from lgpi_research.blocks import digest
from lgpi_research.codebook import Codebook
from lgpi_research.columns import to_numeric
from lgpi_research.errors import DataError, Problems, SpecError, nearest
from lgpi_research.indicators import Indicators
from lgpi_research.methods.replicates import LONELY
from lgpi_research.moments import Moments, Scale, checked_weights, clusters

__all__ = ["Survey", "SurveyDesign", "scale_of", "scales_of"]


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
    lonely : {"fail", "certainty"}, default "fail"
        What to do with a stratum that has one PSU: refuse to estimate sampling error, or
        count the PSU as taken with certainty.

    Raises
    ------
    SpecError
        With everything that is not valid.

    Examples
    --------
    >>> SurveyDesign(psu="village", place="district").columns
    {'psu': 'village', 'place': 'district'}
    """

    psu: str
    stratum: str | None = None
    weight: str | None = None
    place: str | None = None
    lonely: str = "fail"

    def __post_init__(self) -> None:
        problems = Problems("the survey design")
        if not self.psu:
            problems.add("psu: name the column of the clusters, or of the respondents.")
        if self.lonely not in LONELY:
            hint = nearest(str(self.lonely), LONELY)
            problems.add(f"lonely: must be {' or '.join(LONELY)}, got {self.lonely!r}.{hint}")
        for one, other in (("weight", "psu"), ("weight", "stratum"), ("weight", "place")):
            column = getattr(self, one)
            if column and column == getattr(self, other):
                problems.add(f"{one}: column {column!r} is also the {other}.")
        if self.stratum and self.stratum == self.psu:
            problems.add("stratum: every PSU would be a stratum of its own.")
        problems.raise_any(SpecError)

    @property
    def columns(self) -> dict[str, str]:
        """The column of each role that has one."""
        roles = {name: getattr(self, name) for name in ("psu", "stratum", "weight", "place")}
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
        ``stratum``, ``place`` and ``weight``.
    notes : tuple of str
        What was set aside.

    Raises
    ------
    DataError
        With every problem: unknown and duplicate columns, text among numbers, infinite
        values, values outside their scale, items without an answer, respondents without
        a cluster, clusters in two strata or places, weights that are missing, negative
        or all 0.

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

        Items of the direction "negative" are reversed in scales.

        Parameters
        ----------
        items : sequence of str, optional
            The items of one scale. If None, there is a scale for each dimension of the
            codebook that has two items or more, and one called "means" of all items.
        needs : {"covariance", "variances", "means"}, default "covariance"
            What is wanted of the scales; with "means", only the means of all items.
        missing : {"listwise", "pairwise"}, default "listwise"
            Which answers a scale uses (`lgpi_research.moments.Scale`).

        Returns
        -------
        Moments

        Raises
        ------
        SpecError
            If an item or an option is unknown.
        """
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

    def indicators(self, *, pooled: bool = False) -> Indicators:
        """Return the places by the weighted means of their answers, with standard errors.

        Errors are those of the design: PSUs drawn within the strata of each place
        (`lgpi_research.methods.places.place_means`). A place with one PSU has none, and
        a note counts such places.

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
    return Scale(name, items, needs, missing, reverse, measurement)


def scales_of(
    codebook: Codebook, needs: str = "covariance", missing: str = "listwise"
) -> list[Scale]:
    """Return the scale of each dimension of a codebook that has two items or more."""
    return [
        scale_of(codebook, dimension or "all items", items, needs, missing)
        for dimension, items in codebook.dimensions.items()
        if len(items) > 1
    ]


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
    if "psu" in found:
        roles = {role: found.get(role) for role in ("psu", "stratum", "place")}
        clusters(len(frame), roles, problems, design.columns)
    return pd.DataFrame(found, index=frame.index)
