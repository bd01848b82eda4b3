"""Recipes: one TOML file into the nouns of a study, every problem with its line.

A recipe is data, not code: it is parsed and checked, paths stay inside its own folder,
and formulas name columns and a short list of functions.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lgpi_research import datasets, profile
from lgpi_research.codebook import Codebook, Indicator, plain_code
from lgpi_research.errors import DataError, LGPIError, Problems, SpecError, listing, nearest
from lgpi_research.formula import parse_formula
from lgpi_research.moments import Moments
from lgpi_research.readers import read_table
from lgpi_research.registry import Method, resolve
from lgpi_research.reliability import check_options
from lgpi_research.spec import IndexSpec, LinkDesign, Variation
from lgpi_research.survey import SurveyDesign

__all__ = [
    "Description",
    "Exclusion",
    "PublishedScore",
    "Recipe",
    "Source",
    "find_recipe",
    "outcome_of",
    "read_recipe",
    "with_score_columns",
]

SCORE = "score"
"""Name of the index score in the formula of a link."""

DIMENSION = "dimension_"
"""What precedes the name of a dimension, where its score is the outcome of a link."""


@dataclass(frozen=True, eq=False)
class Source:
    """A table or moments that a recipe names, with what is known of them."""

    name: str
    frame: pd.DataFrame
    digest: str
    columns: Mapping[str, datasets.Column] = field(default_factory=dict)
    missing_codes: Mapping[str, tuple[float | str, ...]] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()
    citation: str = ""
    bibtex: str = ""
    moments: Moments | None = None


@dataclass(frozen=True)
class Exclusion:
    """Rows that a study leaves out, and why."""

    column: str
    equals: float | str
    reason: str


@dataclass(frozen=True)
class PublishedScore:
    """A score that comes with standard errors, and their columns."""

    score: str
    std_error: str


@dataclass(frozen=True)
class Description:
    """What a study shows without an index: a describer and its options."""

    name: str
    method: str
    options: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Recipe:
    """A recipe that has been read: the nouns of a study, and its tables.

    Attributes
    ----------
    name : str
        Name of the file without its ending.
    title, question : str
        What is studied, and in which words.
    unit, cluster : str
        Columns of the unit and of the cluster that it lies in (empty if none).
    unit_label : str
        Column whose text names a unit for readers; the unit if empty.
    sources : tuple of Source
        The tables; the first one leads, the others describe its units.
    exclusions : tuple of Exclusion
        Rows to be left out.
    codebook : Codebook or None
        What was asked; None if only columns of a table are linked.
    survey : SurveyDesign or None
        Who was asked, if the first table holds answers.
    spec : IndexSpec or None
        What the analyst chose.
    variation : Variation
        What of it is varied.
    reliability : mapping of str
        Options of `assess_reliability`: coefficients, by, interval, level, missing.
    published : tuple of PublishedScore
        Scores whose reliability follows from their standard errors.
    links : mapping of str to LinkDesign
        What is claimed, by name.
    period : str
        Column of the period, where units are seen more than once (empty if they are not).
    periods : tuple
        Periods that the first table must have.
    show_period : optional
        Period whose reliability and ranks are shown; the last if None.
    std_errors : mapping of str to str
        Indicator to the column of its standard errors.
    error_correlation : float or None
        Correlation of the errors of a unit's indicators, for the error of its score.
    describe : tuple of Description
        What is described, in order.
    """

    name: str
    title: str
    question: str
    unit: str
    cluster: str
    unit_label: str
    sources: tuple[Source, ...]
    exclusions: tuple[Exclusion, ...]
    codebook: Codebook | None
    survey: SurveyDesign | None
    spec: IndexSpec | None
    variation: Variation
    reliability: Mapping[str, Any]
    published: tuple[PublishedScore, ...]
    links: Mapping[str, LinkDesign]
    period: str = ""
    periods: tuple[Any, ...] = ()
    show_period: Any = None
    std_errors: Mapping[str, str] = field(default_factory=dict)
    error_correlation: float | None = None
    describe: tuple[Description, ...] = ()

    @property
    def short_title(self) -> str:
        """What stands before the first colon or comma of the title."""
        return re.split("[:,]", self.title)[0]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Ends(_Part):
    low: float
    high: float


class _Method(_Part):
    model_config = ConfigDict(extra="allow", frozen=True)

    method: str


class _Exclude(_Part):
    column: str
    equals: float | str
    reason: Annotated[str, Field(min_length=1)]


class _Study(_Part):
    title: Annotated[str, Field(min_length=1)]
    question: str = ""
    unit: str
    unit_label: str = ""
    cluster: str = ""
    period: str = ""
    periods: list[int | str] = []
    show_period: int | str | None = None
    sources: Annotated[list[str], Field(min_length=1)]
    exclude: list[_Exclude] = []


class _Indicator(_Part):
    name: str
    label: str = ""
    dimension: Annotated[str, Field(min_length=1)]
    direction: Literal["positive", "negative"] = "positive"
    scale: _Ends | None = None
    goalposts: _Ends | None = None
    missing_codes: list[float | str] | dict[str, str] = []
    measurement: Literal["reflective", "formative"] = "formative"
    unit: str = ""
    made_from: list[str] = []
    std_error: str = ""


class _Survey(_Part):
    psu: str
    stratum: str | None = None
    weight: str | None = None
    ssu: str | list[str] | None = None
    population: str | list[str] | None = None  # "" for a stage whose population is not known
    lonely: str = "fail"


class _Index(_Part):
    name: str = "index"
    label: str = ""
    unit: str = ""
    normalise: str | _Method
    weights: str | dict[str, float] = "equal"
    aggregate: str | _Method = "arithmetic"


class _Published(_Part):
    score: str
    std_error: str


class _Reliability(_Part):
    coefficients: list[str | _Method] = ["alpha", "omega"]
    by: str = ""
    interval: str = "jackknife"
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    missing: Literal["listwise", "pairwise"] = "listwise"
    published: list[_Published] = []
    error_correlation: Annotated[float, Field(ge=0, le=1)] | None = None


class _Alternatives(_Part):
    normalise: list[str | _Method] = []
    aggregate: list[str | _Method] = []


class _Sensitivity(_Part):
    concentration: Annotated[float, Field(gt=0)] | None = 50.0
    alternatives: _Alternatives = _Alternatives()


class _Link(_Part):
    name: str = ""
    formula: str
    cluster: str
    estimator: str = "ols"
    role: str = "main"
    because: str = ""
    where: dict[str, bool | int | float | str | list[bool | int | float | str]] = {}
    average: str = ""
    measure: str = ""
    outcome_label: str = ""
    outcome_unit: str = ""
    measure_label: str = ""
    measure_unit: str = ""
    per: Annotated[float, Field(gt=0)] = 0.1
    per_label: str = ""
    smallest_slope: Annotated[float, Field(gt=0)] | None = None
    estimand_group: str = ""
    mechanical: dict[str, str] = {}


class _Describe(_Part):
    model_config = ConfigDict(extra="allow", frozen=True)

    name: Annotated[str, Field(min_length=1)]
    method: str


class _File(_Part):
    study: _Study
    indicator: list[_Indicator] = []
    survey: _Survey | None = None
    index: _Index | None = None
    reliability: _Reliability = _Reliability()
    sensitivity: _Sensitivity = _Sensitivity()
    link: list[_Link] = []
    describe: list[_Describe] = []

    @model_validator(mode="after")
    def _whole(self) -> _File:
        absent = [key for key in ("indicator", "index") if not getattr(self, key)]
        if absent and not (len(absent) == 2 and self.describe and not self.link):
            raise ValueError(
                f"{' and '.join(absent)}: missing; a recipe scores an index of indicators, or "
                "only describes ([[describe]])"
            )
        names = [item.name for item in self.describe]
        if len(set(names)) < len(names):
            raise ValueError("describe: each needs a name of its own")
        return self

    @model_validator(mode="after")
    def _periods(self) -> _File:
        study = self.study
        told = [key for key in ("periods", "show_period") if getattr(study, key) not in ([], None)]
        if told and not study.period:
            raise ValueError(f"study: {' and '.join(told)} without period; name its column")
        if study.period and self.survey is not None:
            raise ValueError(
                "survey: answers are of one period, so they cannot go with study.period; make one "
                "recipe a period"
            )
        if study.periods and study.show_period not in (None, *study.periods):
            raise ValueError(f"study: show_period {study.show_period!r} is not among periods")
        errors = [item.name for item in self.indicator if item.std_error]
        if errors and self.survey is not None:
            raise ValueError(
                f"indicator: std_error of {listing(errors)}; with a survey, errors come from the "
                "answers"
            )
        return self

    @model_validator(mode="after")
    def _names(self) -> _File:
        names = [link.name for link in self.link]
        if len(names) > 1 and (len(set(names)) < len(names) or "" in names):
            raise ValueError("link: with more than one link, each needs a name of its own")
        return self


def outcome_of(design: LinkDesign) -> str:
    """Return the column that is left of the ``~``."""
    return parse_formula(design.formula).outcome.column


def with_score_columns(design: LinkDesign, spec: IndexSpec | None) -> LinkDesign:
    """Return the design with the indicators of its outcome, if that is a score."""
    if spec is None:
        return design
    outcome = outcome_of(design)
    if outcome == SCORE:
        return design.change(score_columns=spec.indicators)
    below = dict(spec.nodes())
    wanted = [outcome.removeprefix(DIMENSION)] if outcome.startswith(DIMENSION) else []
    if not wanted or wanted[0] not in below:
        return design
    while any(name in below for name in wanted):
        wanted = [child for name in wanted for child in below.get(name, (name,))]
    return design.change(score_columns=tuple(wanted))


def find_recipe(recipe: str | Path) -> Path:
    """Return the file of a recipe: a path, or the name of one that ships with the project.

    Raises
    ------
    SpecError
        If there is neither; the message lists the shipped names.
    """
    text = str(recipe)
    if text.endswith(".toml"):
        path = Path(text)
        if path.is_dir():
            raise SpecError(f"{path.name} is a folder; a recipe is a TOML file.")
        if not path.is_file():
            beside = [p.name for p in path.parent.glob("*.toml")] if path.parent.is_dir() else []
            raise SpecError(f"There is no recipe {path.name!r}.{nearest(path.name, beside)}")
        return path
    return datasets.recipe_path(text)


def read_recipe(recipe: str | Path) -> Recipe:
    """Read a recipe and its tables, and check the whole.

    Parameters
    ----------
    recipe : str or Path
        A path that ends in ``.toml``, or the name of a shipped recipe.

    Returns
    -------
    Recipe

    Raises
    ------
    SpecError
        With every problem and its line, of the first of these that has one: its keys
        (unknown ones with the nearest spelling, values of the wrong kind); its sources
        (unknown ones, those that cannot be read, paths that leave the recipe's folder); what
        it says of them (methods or columns that do not exist, formulas that cannot be read).
    DataError
        If a shipped data set is missing or altered.

    Examples
    --------
    >>> read_recipe("ukraine").spec.indicators[:2]
    ('e_petitions', 'e_consultations')
    """
    path = find_recipe(recipe)
    try:
        text = path.read_bytes().decode("utf-8-sig")
        raw = tomllib.loads(text)
    except OSError as error:
        raise SpecError(f"Cannot read {path.name}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path.name} is not UTF-8 text (byte {error.start}).") from error
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path.name} is not valid TOML: {error}.") from error
    lines = _lines(text)
    problems = Problems(path.name)
    try:
        told = _File.model_validate(raw)
    except ValidationError as error:
        problems.extend(_explain(item, lines) for item in error.errors(include_url=False))
        problems.raise_any(SpecError)
        raise
    sources = _sources(told.study.sources, path.parent, lines, problems)
    problems.raise_any(SpecError)
    return _build(path.stem, told, sources, lines, problems)


def _build(
    name: str, told: _File, sources: tuple[Source, ...], lines: _Lines, problems: Problems
) -> Recipe:
    """Make the nouns, collecting what each of them refuses."""
    facts: dict[str, datasets.Column] = {}
    codes: dict[str, tuple[float | str, ...]] = {}
    for source in reversed(sources):
        facts.update(source.columns)
        codes.update(source.missing_codes)
    indicators = []
    for number, entry in enumerate(told.indicator):
        with _collect(problems, lines, ("indicator", number)):
            declared = codes.get(entry.name, ())
            indicators.append(_indicator(entry, facts.get(entry.name), declared))
    codebook = spec = survey = None
    variation = Variation()
    with _collect(problems, lines, ("indicator", 0)):
        codebook = Codebook(tuple(indicators)) if indicators else None
    if told.index and codebook is not None and len(indicators) == len(told.indicator):
        with _collect(problems, lines, ("index",)):
            spec = IndexSpec.from_codebook(
                told.index.name,
                codebook,
                normalise=_method(told.index.normalise),
                weights=told.index.weights,
                aggregate=_method(told.index.aggregate),
            )
            resolve("normaliser", _without_basis(spec.normalise))
    alternatives = told.sensitivity.alternatives
    with _collect(problems, lines, ("sensitivity",)):
        variation = Variation(
            told.sensitivity.concentration,
            tuple(_method(item) for item in alternatives.normalise),
            tuple(_method(item) for item in alternatives.aggregate),
        )
        if spec is not None:
            variation.specifications(spec)
    if told.survey is not None:
        with _collect(problems, lines, ("survey",)):
            survey = SurveyDesign(place=told.study.unit, **_design(told.survey))
    for number, coefficient in enumerate(told.reliability.coefficients):
        with _collect(problems, lines, ("reliability", "coefficients", number)):
            resolve("coefficient", _method(coefficient))
    with _collect(problems, lines, ("reliability", "interval")):
        check_options(told.reliability.interval, told.reliability.level)
    lineage = {column: fact.made_from for column, fact in facts.items()}
    lineage |= {item.name: item.made_from for item in indicators if item.made_from}
    links: dict[str, LinkDesign] = {}
    for number, claim in enumerate(told.link):
        with _collect(problems, lines, ("link", number)):
            design = LinkDesign(**claim.model_dump(exclude={"name"}), lineage=lineage)
            if told.index and outcome_of(design) == SCORE:
                design = design.change(
                    outcome_label=design.outcome_label or told.index.label,
                    outcome_unit=design.outcome_unit or told.index.unit,
                )
            design = _placed(design, told.study, facts)
            links[claim.name or "link"] = with_score_columns(design, spec)
            _check_bases(links[claim.name or "link"], facts)
    for number, item in enumerate(told.describe):
        where = lines.find(("describe", number))
        problems.extend(
            f"line {where}: describe[{number + 1}]: {problem}"
            for problem in profile.check_options(item.method, item.model_extra or {})
        )
    problems.extend(_column_problems(told, sources, lines))
    problems.raise_any(SpecError)
    study = told.study
    return Recipe(
        name=name,
        title=study.title,
        question=study.question,
        unit=study.unit,
        cluster=study.cluster,
        unit_label=study.unit_label or study.unit,
        sources=sources,
        exclusions=tuple(Exclusion(**item.model_dump()) for item in study.exclude),
        codebook=codebook,
        survey=survey,
        spec=spec,
        variation=variation,
        reliability=MappingProxyType(
            {
                "coefficients": tuple(_method(one) for one in told.reliability.coefficients),
                "by": told.reliability.by or None,
                "interval": told.reliability.interval,
                "level": told.reliability.level,
                "missing": told.reliability.missing,
            }
        ),
        published=tuple(PublishedScore(**p.model_dump()) for p in told.reliability.published),
        links=MappingProxyType(links),
        period=study.period,
        periods=tuple(study.periods),
        show_period=study.show_period,
        std_errors={item.name: item.std_error for item in told.indicator if item.std_error},
        error_correlation=told.reliability.error_correlation,
        describe=tuple(
            Description(item.name, item.method, dict(item.model_extra or {}))
            for item in told.describe
        ),
    )


def _design(told: _Survey) -> dict[str, Any]:
    """Return the fields of a survey design: lists as tuples, blank populations as None."""
    fields: dict[str, Any] = told.model_dump()
    for name in ("ssu", "population"):
        if isinstance(fields[name], list):
            fields[name] = tuple(column or None for column in fields[name])
    return fields


def _placed(design: LinkDesign, study: _Study, facts: Mapping[str, datasets.Column]) -> LinkDesign:
    """Return the design with what the tables say of it: its basis, and whether it is within."""
    formula = parse_formula(design.formula)
    absorbed = {name for names in formula.absorb_columns for name in names}
    columns = [
        factor.column
        for term in formula.terms
        if str(term) == design.measure
        for factor in term.factors
    ]
    bases = {facts[name].basis for name in columns if name in facts} - {""}
    return design.change(
        within=bool(study.period)
        and not design.average
        and bool(absorbed & {study.unit, study.unit_label}),
        basis=" and ".join(sorted(bases)),
    )


def _check_bases(design: LinkDesign, facts: Mapping[str, datasets.Column]) -> None:
    """Refuse a link that mixes amounts of a plan with amounts of an outturn."""
    used = [*parse_formula(design.formula).columns, *design.score_columns]
    by: dict[str, list[str]] = {}
    for name in dict.fromkeys(used):
        if name in facts and facts[name].basis:
            by.setdefault(facts[name].basis, []).append(name)
    if len(by) > 1:
        told = "; ".join(f"{basis}: {listing(names)}" for basis, names in by.items())
        raise SpecError(
            f"the link mixes budgets as planned with budgets as they came out ({told}). A plan "
            "and an outturn are two measures: make one link of each."
        )


def _method(told: str | _Method) -> str | Method:
    if isinstance(told, str):
        return told
    return Method(told.method, told.model_extra or {})


def _without_basis(method: Any) -> Any:
    if isinstance(method, Method):
        return Method(method.name, {k: v for k, v in method.options.items() if k != "basis"})
    return method


def _indicator(
    told: _Indicator, fact: datasets.Column | None, declared: tuple[float | str, ...]
) -> Indicator:
    """Return an indicator; what the recipe leaves open is taken from the data's manifest.

    Missing codes are those of the recipe and those that the file itself declares; only the
    recipe tells their kinds.
    """

    def ends(given: _Ends | None, known: tuple[float, float] | None) -> tuple[float, float] | None:
        return known if given is None else (given.low, given.high)

    scale = None
    if fact is not None and fact.low is not None and fact.high is not None:
        scale = (fact.low, fact.high)
    given = told.missing_codes
    codes: dict[float | str, str] = dict.fromkeys(given, "other")
    if isinstance(given, dict):
        codes.update(given)
    known = {plain_code(code) for code in codes}
    codes.update({code: "other" for code in declared if plain_code(code) not in known})
    return Indicator(
        name=told.name,
        label=told.label or (fact.label if fact else ""),
        dimension=told.dimension,
        direction=told.direction,
        scale=ends(told.scale, scale),
        goalposts=ends(told.goalposts, fact.goalposts if fact else None),
        missing_codes=codes,
        measurement=told.measurement,
        unit=told.unit or (fact.unit if fact else ""),
        made_from=tuple(told.made_from) or (fact.made_from if fact else ()),
    )


def _sources(
    names: list[str], folder: Path, lines: _Lines, problems: Problems
) -> tuple[Source, ...]:
    """Load shipped data sets by name, and tables that lie in the recipe's folder."""
    found = []
    known = datasets.list_datasets()["name"].tolist()
    for name in names:
        where = lines.find(("study", "sources"))
        if name in known:
            data = datasets.load_dataset(name)
            facts = {
                key: getattr(data, key)
                for key in ("columns", "caveats", "citation", "bibtex", "moments")
            }
            found.append(Source(name, data.frame, data.digest, **facts))
            continue
        if not re.search(r"\.\w+$", name):
            problems.add(
                f"line {where}: study.sources: {name!r} is neither a shipped data set nor a file "
                f"with an ending.{nearest(name, known)} Shipped: {', '.join(known)}."
            )
            continue
        home = folder.resolve()
        target = (home / name).resolve()
        if not target.is_relative_to(home):
            problems.add(
                f"line {where}: study.sources: {name!r} leaves the folder of the recipe. "
                "Put the table beside the recipe."
            )
            continue
        try:
            table = read_table(target)
        except DataError as error:
            problems.add(f"line {where}: study.sources: {_indent(error)}")
            continue
        codes = table.missing_codes
        found.append(
            Source(name, table.frame, table.digest, missing_codes=codes, caveats=table.notes)
        )
    return tuple(found)


def _column_problems(told: _File, sources: tuple[Source, ...], lines: _Lines) -> list[str]:
    """Return, with lines, every column that the recipe names and no table has."""
    columns = [str(name) for source in sources for name in source.frame.columns]
    wanted: list[tuple[tuple[str | int, ...], str]] = [(("study", "unit"), told.study.unit)]
    for key in ("unit_label", "cluster", "period"):
        wanted.append((("study", key), getattr(told.study, key)))
    for number, item in enumerate(told.study.exclude):
        wanted.append((("study", "exclude", number, "column"), item.column))
    for number, entry in enumerate(told.indicator):
        wanted.append((("indicator", number, "name"), entry.name))
        wanted.append((("indicator", number, "std_error"), entry.std_error))
    for number, pair in enumerate(told.reliability.published):
        wanted.append((("reliability", "published", number), pair.score))
        wanted.append((("reliability", "published", number), pair.std_error))
    if told.survey is not None:
        for key in ("psu", "stratum", "weight", "ssu", "population"):
            columns_of = getattr(told.survey, key) or ""
            named = columns_of if isinstance(columns_of, list) else [columns_of]
            wanted += [(("survey", key), name) for name in named]
    for number, link in enumerate(told.link):
        try:
            parsed = parse_formula(link.formula)
        except SpecError:
            continue  # reported by the link design
        scores = {SCORE, *(DIMENSION + entry.dimension for entry in told.indicator)}
        used = [name for name in parsed.columns if name not in scores]
        wanted += [(("link", number, "where"), name) for name in link.where]
        wanted.append((("link", number, "average"), link.average))
        wanted += [  # what no table has may be declared too, unless it is a slip of the pen
            (("link", number, "mechanical"), name)
            for name in link.mechanical
            if name not in scores and nearest(name, columns)
        ]
        wanted += [(("link", number, "formula"), name) for name in used]
        if link.cluster != "none":
            wanted.append((("link", number, "cluster"), link.cluster))
    return [
        f"line {lines.find(place)}: {_dotted(place)}: there is no column {name!r}."
        f"{nearest(name, columns)}"
        for place, name in wanted
        if name and name not in columns
    ]


class _collect:
    """Turn an error raised inside into problems with the line of a part of the recipe."""

    def __init__(self, problems: Problems, lines: _Lines, place: tuple[str | int, ...]) -> None:
        self.problems, self.lines, self.place = problems, lines, place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if not isinstance(error, LGPIError):
            return False
        where = self.lines.find(self.place)
        self.problems.add(f"line {where}: {_dotted(self.place)}: {_indent(error)}")
        return True


def _indent(error: Exception) -> str:
    return str(error).replace("\n", "\n    ")


def _dotted(place: tuple[str | int, ...]) -> str:
    text = ""
    for part in place:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class _Lines:
    """Where the tables and keys of a TOML text stand."""

    def __init__(self, places: dict[tuple[str | int, ...], int]) -> None:
        self.places = places

    def find(self, place: tuple[str | int, ...]) -> int:
        """Return the line of a place, or of the nearest thing around it."""
        for end in range(len(place), 0, -1):
            if place[:end] in self.places:
                return self.places[place[:end]]
        return 1


_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*[A-Za-z0-9_-]+)*)\s*=")


def _lines(text: str) -> _Lines:
    """Find the line of each header and key; TOML that parses needs no more than this."""
    places: dict[tuple[str | int, ...], int] = {}
    counts: dict[tuple[str, ...], int] = {}
    prefix: tuple[str | int, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            names = tuple(part.strip().strip("\"'") for part in header.group(2).split("."))
            if header.group(1) == "[[":
                counts[names] = counts.get(names, -1) + 1
            prefix = ()
            for end in range(1, len(names) + 1):
                prefix += (names[end - 1],)
                if names[:end] in counts:
                    prefix += (counts[names[:end]],)
            places.setdefault(prefix, number)
            places.setdefault(prefix[:1], number)
        elif key := _KEY.match(line):
            parts = tuple(part.strip().strip("\"'") for part in key.group(1).split("."))
            places.setdefault((*prefix, *parts), number)
    return _Lines(places)


_MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "is no key of a recipe",
    "string_type": "must be text",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}


def _explain(error: Any, lines: _Lines) -> str:
    """Return one line for one finding of the validator, in the words of this package."""
    place = tuple(part for part in error["loc"] if not _is_branch(part))
    kind = error["type"]
    message = _MESSAGES.get(kind, "")
    if kind == "extra_forbidden":
        allowed = _keys(place[:-1])
        message += f".{nearest(str(place[-1]), allowed)} Keys: {', '.join(allowed)}"
    elif not message:
        message = str(error["msg"]).removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
    where = f"{_dotted(place)}: " if place else ""
    return f"line {lines.find(place)}: {where}{message}."


def _is_branch(part: str | int) -> bool:
    """Return whether a part of an error's place names a branch of a union, not a key."""
    return isinstance(part, str) and part in {
        "str", "float", "_Method", "dict[str,float]", "dict[str,str]", "list[union[float,str]]",
    }  # fmt: skip


def _keys(place: tuple[str | int, ...]) -> tuple[str, ...]:
    """Return the keys that are allowed in a part of a recipe."""
    parts: dict[tuple[str, ...], type[_Part]] = {
        (): _File,
        ("study",): _Study,
        ("study", "exclude"): _Exclude,
        ("indicator",): _Indicator,
        ("indicator", "scale"): _Ends,
        ("indicator", "goalposts"): _Ends,
        ("survey",): _Survey,
        ("index",): _Index,
        ("reliability",): _Reliability,
        ("reliability", "published"): _Published,
        ("sensitivity",): _Sensitivity,
        ("sensitivity", "alternatives"): _Alternatives,
        ("link",): _Link,
        ("describe",): _Describe,
    }
    names = tuple(part for part in place if isinstance(part, str))
    return tuple(parts[names].model_fields) if names in parts else ()
