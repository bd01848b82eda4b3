"""The command line: ``lgpi …``. Readable tables on standard output, messages on standard error."""

from __future__ import annotations

import functools
import inspect
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="lgpi",
    help="Local-governance data into a defensible index, and into a claim with its limits stated.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SOURCE_HELP = (
    "A table (CSV, Parquet, Excel, Stata, SPSS), a recipe (.toml), or the name of a shipped "
    "recipe; for reliability also a file of moments, or the name of shipped ones."
)
Seed = Annotated[int | None, typer.Option(help="Seed; 0 for the same numbers each time.")]
Draws = Annotated[int, typer.Option(help="Draws of the weight sensitivity.")]
Jobs = Annotated[int | None, typer.Option(help="Workers; the numbers do not depend on them.")]
Out = Annotated[Path | None, typer.Option(help="Folder to write tables, figures and a page to.")]
Psu = Annotated[str, typer.Option(help="Column of the primary sampling unit.")]
Stratum = Annotated[str, typer.Option(help="Column of the stratum.")]
Weight = Annotated[str, typer.Option(help="Column of the sampling weight.")]
Groups = Annotated[str, typer.Option(help="Column of groups to assess one by one.")]
Level = Annotated[float, typer.Option(help="Level of the intervals.")]
Delimiter = Annotated[str | None, typer.Option(help="Delimiter of a text table.")]
Decimal = Annotated[str, typer.Option(help="Decimal mark of a text table.")]
Encoding = Annotated[str | None, typer.Option(help="Encoding of a text table.")]
Sheet = Annotated[str | None, typer.Option(help="Sheet of an Excel file.")]
CONCENTRATION = 50.0
LEVEL = 0.95
Json = Annotated[bool, typer.Option("--json", help="Write one JSON object in full precision.")]


def _table_options(
    source: Annotated[str, typer.Argument(metavar="TABLE|RECIPE", help=SOURCE_HELP)],
    unit: Annotated[str, typer.Option(help="Column that names the units; rows if absent.")] = "",
    dimension: Annotated[
        list[str] | None, typer.Option(help="name=column,column,… of a dimension; repeatable.")
    ] = None,
    negative: Annotated[str, typer.Option(help="Columns in which more is worse: a,b")] = "",
    scale: Annotated[str, typer.Option(help="Possible values of every item, as 1..5.")] = "",
    missing_codes: Annotated[str, typer.Option(help="Codes of no answer: -99,8")] = "",
    normalise: Annotated[str, typer.Option(help="zscore, rank, or minmax (sample).")] = "zscore",
    aggregate: Annotated[str, typer.Option(help="arithmetic or geometric.")] = "arithmetic",
    delimiter: Delimiter = None,
    decimal: Decimal = ".",
    thousands: Annotated[str | None, typer.Option(help="Thousands mark of a text table.")] = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
) -> None:
    """Hold the options that every command on a table shares; see `_on_table`."""


def _on_table(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared options of tables, which it gets as one mapping."""
    shared = inspect.signature(_table_options, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True).parameters
    keyword = inspect.Parameter.KEYWORD_ONLY
    joined = [p for name, p in (shared | own).items() if name != "options"]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        command({name: given.pop(name) for name in shared}, **given)

    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p.replace(kind=keyword) for p in joined]
    )
    run.__annotations__ = {p.name: p.annotation for p in joined}
    return run


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Turn the package's errors into one readable block and an exit status."""

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> None:
        from lgpi_research.errors import LGPIError, MethodError
        from lgpi_research.registry import load_installed

        logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
        logging.getLogger("lgpi_research").setLevel(logging.INFO)
        try:
            load_installed()
            command(*args, **options)
        except LGPIError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            raise typer.Exit(1 if isinstance(error, MethodError) else 2) from None
        except KeyboardInterrupt:
            print("Interrupted; finished blocks are kept for the next run.", file=sys.stderr)
            raise typer.Exit(130) from None

    return run


@app.command()
@_guarded
def run(
    recipes: Annotated[
        list[str] | None, typer.Argument(metavar="[RECIPE]…", help="All shipped recipes if absent.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write results to.")] = Path("results"),
    seed: Seed = 0,
    draws: Draws = 16_384,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Run recipes whole, and write tables, figures and a page."""
    from lgpi_research import report
    from lgpi_research.datasets import list_recipes
    from lgpi_research.loading import load_study
    from lgpi_research.streams import root_seed
    from lgpi_research.study import compare_studies

    report.check_output(out)
    studies = [load_study(name) for name in recipes or list_recipes()]
    studies.sort(key=lambda study: study.recipe.spec is None)  # what is described comes last
    _one_of_each([study.recipe.name for study in studies])
    used = root_seed(seed)
    kept = _checkpoints(out)
    found = [study.run(n_draws=draws, seed=used, n_jobs=jobs, checkpoint=kept) for study in studies]
    over = compare_studies(found)
    report.write_report(found, out, comparison=over, facts={"seed": used, "draws": draws})
    shutil.rmtree(kept, ignore_errors=True)
    if as_json:
        told = {"out": out.as_posix(), "seed": used, "findings": report.summary_lines(found)}
        print(json.dumps(told, ensure_ascii=False, indent=1))
        return
    for line in report.summary_lines(found):
        print(line)
    print(f"Written to {out.as_posix()}: open {(out / 'index.html').as_posix()}")


@app.command()
@_guarded
@_on_table
def reliability(
    options: dict[str, Any],
    reflective: Annotated[str, typer.Option(help="Dimensions whose items should agree: a,b")] = "",
    psu: Psu = "",
    stratum: Stratum = "",
    weight: Weight = "",
    place: Annotated[str, typer.Option(help="Column of the places that scores are of.")] = "",
    by: Groups = "",
    coefficients: Annotated[
        str, typer.Option(help="alpha,omega,lambda2,ordinal_alpha,… ; alpha,omega if absent.")
    ] = "",
    interval: Annotated[
        str, typer.Option(help="Shown: jackknife, directional, rao_wu, bootstrap or feldt.")
    ] = "jackknife",
    level: Level = LEVEL,
    missing: Annotated[
        str, typer.Option(help="Answers that count: listwise or pairwise.")
    ] = "listwise",
    seed: Seed = 0,
    jobs: Jobs = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Reliability of the items of each dimension, of answers, of places or of units."""
    survey = {"psu": psu, "stratum": stratum, "weight": weight, "place": place}
    chosen = {
        "coefficients": _names(coefficients),
        "by": by,
        "interval": interval if interval != "jackknife" else "",
        "level": level if level != LEVEL else "",
        "missing": missing if missing != "listwise" else "",
    }
    told = {name: value for name, value in chosen.items() if value}
    moments = _moments(options["source"])
    if moments is not None:
        given = _given(options | survey | {"reflective": reflective, "out": out})
        _of_moments(moments, options["source"], given, told, as_json, seed=seed, n_jobs=jobs)
        return
    study = _study(options, reflective=_names(reflective), survey=survey, reliability=told)
    _show(study, "reliability", out, as_json, seed=seed, n_jobs=jobs)


@app.command()
@_guarded
@_on_table
def estimate(
    options: dict[str, Any],
    psu: Psu = "",
    stratum: Stratum = "",
    weight: Weight = "",
    statistic: Annotated[
        str, typer.Option(help="mean, total, proportion, ratio, quantile or variance.")
    ] = "mean",
    denominator: Annotated[str, typer.Option(help="Item that ratios are to.")] = "",
    by: Annotated[str, typer.Option(help="Column whose values are domains.")] = "",
    variance: Annotated[
        str, typer.Option(help="taylor, jackknife, brr, fay, subbootstrap or bootstrap.")
    ] = "taylor",
    level: Level = LEVEL,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Means, totals, shares, ratios or quantiles in the population, with design-based errors."""
    from lgpi_research.estimates import estimate_survey

    study = _survey(options, psu, stratum, weight)
    found = estimate_survey(
        study.survey,
        statistic,
        denominator=denominator or None,
        by=by or None,
        variance=variance,
        level=level,
        seed=seed,
    )
    _print(found, as_json)


@app.command()
@_guarded
@_on_table
def nonresponse(
    options: dict[str, Any],
    psu: Psu = "",
    stratum: Stratum = "",
    weight: Weight = "",
    by: Groups = "",
    level: Level = LEVEL,
    as_json: Json = False,
) -> None:
    """Answers and kinds of none, item by item, and bounds of means whatever was not said."""
    from lgpi_research.nonresponse import assess_nonresponse

    study = _survey(options, psu, stratum, weight)
    _print(assess_nonresponse(study.survey, by=by or None, level=level), as_json)


@app.command()
@_guarded
def decompose(
    source: Annotated[
        str, typer.Argument(metavar="TABLE", help="A table (CSV, Parquet, Excel, Stata, SPSS).")
    ],
    design: Annotated[
        str, typer.Option(help="Facets that cross (x) and nest (:): '(person : place) x item'.")
    ],
    value: Annotated[str, typer.Option(help="Column of the scores; columns of a wide table: a,b")],
    target: Annotated[str, typer.Option("--object", help="Facet whose levels are told apart.")],
    fixed: Annotated[str, typer.Option(help="Facets that scores do not go beyond: a,b")] = "",
    method: Annotated[str, typer.Option(help="auto, anova or reml.")] = "auto",
    level: Level = LEVEL,
    delimiter: Delimiter = None,
    decimal: Decimal = ".",
    encoding: Encoding = None,
    sheet: Sheet = None,
    as_json: Json = False,
) -> None:
    """Split the variance of scores by source, and say how far the scores generalise."""
    from lgpi_research.decomposition import decompose_variance
    from lgpi_research.readers import read_table

    table = read_table(source, delimiter=delimiter, decimal=decimal, encoding=encoding, sheet=sheet)
    columns = _names(value)
    found = decompose_variance(
        table.frame,
        design=design,
        object=target,
        value=columns[0] if len(columns) == 1 else columns,
        fixed=_names(fixed),
        method=method,
        level=level,
    )
    _print(found, as_json, table.notes)


@app.command()
@_guarded
@_on_table
def score(options: dict[str, Any], out: Out = None, as_json: Json = False) -> None:
    """Score units: normalise, weight, aggregate, rank."""
    _show(_study(options), "scores", out, as_json)


@app.command()
@_guarded
@_on_table
def sensitivity(
    options: dict[str, Any],
    concentration: Annotated[float, typer.Option(help="Dirichlet concentration.")] = CONCENTRATION,
    draws: Draws = 16_384,
    seed: Seed = 0,
    jobs: Jobs = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Rank units under many weights: which ranks hold."""
    study = _study(options, concentration=concentration)
    _show(study, "sensitivity", out, as_json, n_draws=draws, seed=seed, n_jobs=jobs)


@app.command()
@_guarded
@_on_table
def link(
    options: dict[str, Any],
    formula: Annotated[str, typer.Option(help="outcome ~ measure + control | effect")] = "",
    cluster: Annotated[str, typer.Option(help="Column of the clusters; none: no groups.")] = "",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Relate a score or another outcome to a measure of fiscal autonomy."""
    _show(_study(options, formula=formula, cluster=cluster), "link", out, as_json)


@app.command()
@_guarded
def agreement(
    source: Annotated[
        str, typer.Argument(metavar="TABLE", help="A table (CSV, Parquet, Excel, Stata, SPSS).")
    ],
    unit: Annotated[str, typer.Option(help="Column of the units that were rated.")] = "",
    coder: Annotated[str, typer.Option(help="Column of the coders, one rating a row.")] = "",
    value: Annotated[str, typer.Option(help="Column of the ratings, one a row.")] = "",
    coders: Annotated[str, typer.Option(help="Columns of the coders, one unit a row: a,b")] = "",
    measurement: Annotated[
        str, typer.Option(help="nominal, ordinal, interval or ratio.")
    ] = "nominal",
    coefficients: Annotated[
        str, typer.Option(help="krippendorff,gwet,… ; those usual for the measurement if absent.")
    ] = "",
    weights: Annotated[
        str, typer.Option(help="identity, ordinal, linear, quadratic or ratio.")
    ] = "",
    categories: Annotated[str, typer.Option(help="Possible values in order: low,middle,high")] = "",
    missing_codes: Annotated[str, typer.Option(help="Codes of no rating: -99,8")] = "",
    interval: Annotated[
        str, typer.Option(help="Krippendorff's interval: jackknife or bootstrap.")
    ] = "jackknife",
    level: Level = LEVEL,
    draws: Annotated[int, typer.Option(help="Bootstrap draws of units.")] = 1000,
    delimiter: Delimiter = None,
    decimal: Decimal = ".",
    encoding: Encoding = None,
    sheet: Sheet = None,
    seed: Seed = 0,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Agreement of coders or experts who rated the same units."""
    from lgpi_research.agreement import assess_agreement
    from lgpi_research.codebook import plain_code
    from lgpi_research.readers import read_table

    table = read_table(source, delimiter=delimiter, decimal=decimal, encoding=encoding, sheet=sheet)
    frame = table.frame
    if missing_codes:
        rated = [name for name in (value, *_names(coders)) if name in frame.columns]
        codes = [plain_code(code) for code in _names(missing_codes)]
        frame = frame.assign(**{name: frame[name].mask(frame[name].isin(codes)) for name in rated})
    found = assess_agreement(
        frame,
        unit=unit or None,
        coder=coder or None,
        value=value or None,
        coders=_names(coders) or None,
        measurement=measurement,
        coefficients=_names(coefficients) or None,
        weights=weights or None,
        categories=[plain_code(one) for one in _names(categories)] or None,
        interval=interval,
        level=level,
        n_boot=draws,
        seed=seed,
        n_jobs=jobs,
    )
    _print(found, as_json, table.notes)


@app.command()
@_guarded
def data(
    name: Annotated[
        str, typer.Argument(help="A data set to describe; all are listed if absent.")
    ] = "",
    as_json: Json = False,
) -> None:
    """List the data sets that ship with the project, or describe one."""
    from lgpi_research import tables
    from lgpi_research.datasets import list_datasets, load_dataset

    if not name:
        frame = list_datasets()
        if as_json:
            print(frame.to_json(orient="records", indent=1))
            return
        print(tables.to_text(frame[["name", "title", "rows", "columns"]]))
        print("Licence, citation, columns and caveats of one: lgpi data NAME")
        return
    found = load_dataset(name)
    if as_json:
        told = {
            "name": found.name,
            "citation": found.citation,
            "licence": found.licence,
            "terms": found.terms,
            "caveats": list(found.caveats),
            "columns": json.loads(found.describe().to_json(orient="records")),
        }
        print(json.dumps(told, ensure_ascii=False, indent=1))
        return
    print(found)
    print(tables.to_text(found.describe()))
    for caveat in found.caveats:
        print(f"- {caveat}")


@app.command()
@_guarded
def paper(
    results: Annotated[Path, typer.Option(help="Folder that lgpi run wrote.")] = Path("results"),
    out: Annotated[Path, typer.Option(help="The PDF to write.")] = Path("paper.pdf"),
) -> None:
    """Set the manuscript from the numbers of a run."""
    from lgpi_research.paper import build_paper

    print(f"Written to {build_paper(results, out).as_posix()}")


def _study(options: dict[str, Any], **more: Any) -> Any:
    """Return the study of a recipe, or one made of a table and options."""
    from lgpi_research.datasets import list_recipes
    from lgpi_research.errors import SpecError
    from lgpi_research.loading import load_study, study_from_table

    source = options["source"]
    is_name = not Path(source).suffix and not Path(source).exists()
    if source.endswith(".toml") or is_name or source in list_recipes():
        given = _given(options | more)
        if given:
            raise SpecError(
                f"{', '.join(given)} describe a table, and {source} is a "
                "recipe, which says these things itself. Leave them out, or change the recipe."
            )
        return load_study(source)
    reading = ("delimiter", "decimal", "thousands", "encoding", "sheet")
    return study_from_table(
        source,
        unit=options["unit"],
        dimensions=_dimensions(options["dimension"] or []),
        negative=_names(options["negative"]),
        scale=_scale(options["scale"]),
        missing_codes=_names(options["missing_codes"]),
        normalise=options["normalise"],
        aggregate=options["aggregate"],
        reading={name: options[name] for name in reading},
        **more,
    )


def _given(told: dict[str, Any]) -> list[str]:
    """Return the options that were given, as they are written, without the source."""
    told = told | told.get("survey", {}) | told.get("reliability", {})
    plain = {p.name: p.default for p in inspect.signature(_table_options).parameters.values()}
    plain["concentration"] = CONCENTRATION
    return [
        f"--{name.replace('_', '-')}"
        for name, value in told.items()
        if name not in ("source", "survey", "reliability") and value and value != plain.get(name)
    ]


def _show(study: Any, stage: str, out: Path | None, as_json: bool, **options: Any) -> None:
    """Run one stage and show its results."""
    from lgpi_research import report, tables
    from lgpi_research.errors import SpecError

    if out is not None:
        report.check_output(out)
    found = study.run(stages=(stage,), **options)
    if not found:
        raise SpecError(
            f"{study.recipe.name}: there is nothing to show for {stage}. What the recipe has is "
            "written by: lgpi run."
        )
    if out is not None:
        report.write_report([found], out, facts={"stage": stage})
    if as_json:
        texts = [json.loads(result.to_json()) for result in found.values()]
        whole = texts[0] if len(texts) == 1 else {"results": texts}
        print(json.dumps(whole, ensure_ascii=False, allow_nan=False, indent=1))
        return
    for result in found.values():
        print(result.headline(), tables.to_text(result.summary()), *result.notes, "", sep="\n")
    for note in study.notes:
        print(note)


def _moments(source: str) -> Any:
    """Return the moments of a file, or those that ship under a name; None if there are none."""
    from lgpi_research.datasets import list_datasets, load_moments
    from lgpi_research.moments import Moments
    from lgpi_research.results import kind_of

    shipped = list_datasets()
    if source in set(shipped.loc[shipped["kind"] == "moments", "name"]):
        return load_moments(source)
    if Path(source).suffix == ".parquet" and kind_of(source) == "moments":
        return Moments.load(source)
    return None


def _of_moments(
    moments: Any, source: str, given: list[str], told: dict[str, Any], as_json: bool, **run: Any
) -> None:
    """Show the reliability of moments, which say of the answers what options say of a table."""
    from lgpi_research.errors import SpecError
    from lgpi_research.reliability import assess_reliability

    if given:
        raise SpecError(
            f"{', '.join(given)} describe a table of answers, and {source} holds moments, which "
            "say these things themselves. Leave them out."
        )
    _print(assess_reliability(moments, **told, **run), as_json)


def _survey(options: dict[str, Any], psu: str, stratum: str, weight: str) -> Any:
    """Return the study of a table of answers, or of a recipe that holds some."""
    from lgpi_research.errors import SpecError

    study = _study(options, survey={"psu": psu, "stratum": stratum, "weight": weight})
    if study.survey is None:
        raise SpecError(
            "answers of a survey are needed: name the column of the primary sampling unit (--psu); "
            "without clusters, that of the respondents."
        )
    return study


def _print(result: Any, as_json: bool, notes: Iterable[str] = ()) -> None:
    """Write a result readably, or as JSON in full precision."""
    from lgpi_research import tables

    if as_json:
        print(result.to_json(), end="")
        return
    print(result.headline(), tables.to_text(result.summary()), *notes, *result.notes, sep="\n")


def _checkpoints(out: Path) -> Path:
    return out.absolute().with_name(f".{out.absolute().name}.checkpoints")


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _dimensions(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    from lgpi_research.errors import Problems, SpecError

    found: dict[str, tuple[str, ...]] = {}
    problems = Problems("--dimension")
    for text in texts:
        name, mark, columns = text.partition("=")
        if not (mark and name.strip() and _names(columns)):
            problems.add(f"{text!r} must read name=column,column,…")
        elif name.strip() in found:
            problems.add(f"{name.strip()!r} is given twice.")
        found[name.strip()] = _names(columns)
    problems.raise_any(SpecError)
    return found


def _scale(text: str) -> tuple[float, float] | None:
    from lgpi_research.errors import SpecError

    if not text:
        return None
    low, _, high = text.partition("..")
    try:
        return (float(low), float(high))
    except ValueError:
        raise SpecError(f"--scale {text!r} must read low..high, such as 1..5.") from None


def _one_of_each(names: list[str]) -> None:
    from lgpi_research.errors import SpecError

    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SpecError(f"Two recipes have the same file name: {', '.join(twice)}. Rename one.")


def main() -> None:
    """Run the command line."""
    os.environ.setdefault("MPLBACKEND", "agg")
    app()


if __name__ == "__main__":
    main()
