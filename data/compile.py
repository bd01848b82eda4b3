"""Make the tidy tables of this folder from the published source files.

``python data/compile.py --raw DIR`` reads the sources that ``manifest.toml`` lists below
DIR, verifies each digest, writes one CSV table for each data set, and enters the digests
and row counts of the tables in the manifest. The same sources give the same bytes.

``--out OTHER`` writes tables and manifest to another folder; ``--check`` writes nothing
and fails if a table or the manifest would change.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from lgpi_research import tables
from lgpi_research.datasets import load_dataset
from lgpi_research.errors import DataError, LGPIError, Problems, listing

HERE = Path(__file__).resolve().parent

TYPES = {"міська": "city", "селищна": "settlement", "сільська": "rural"}

# The source's English names hold misspellings and blanks; its codes are complete.
OBLASTS = {
    "UA05": "Vinnytsia",
    "UA07": "Volyn",
    "UA12": "Dnipropetrovsk",
    "UA14": "Donetsk",
    "UA18": "Zhytomyr",
    "UA21": "Zakarpattia",
    "UA23": "Zaporizhzhia",
    "UA26": "Ivano-Frankivsk",
    "UA32": "Kyiv",
    "UA35": "Kirovohrad",
    "UA44": "Luhansk",
    "UA46": "Lviv",
    "UA48": "Mykolaiv",
    "UA51": "Odesa",
    "UA53": "Poltava",
    "UA56": "Rivne",
    "UA59": "Sumy",
    "UA61": "Ternopil",
    "UA63": "Kharkiv",
    "UA65": "Kherson",
    "UA68": "Khmelnytskyi",
    "UA71": "Cherkasy",
    "UA73": "Chernivtsi",
    "UA74": "Chernihiv",
}

EXAMS = {
    "Ukr": "exam_ukrainian",
    "UML": "exam_uml",
    "Math": "exam_mathematics",
    "Hist": "exam_history",
}

# Member states as the three providers write them.
ISO3 = {
    "Austria": "AUT",
    "Belgium": "BEL",
    "Bulgaria": "BGR",
    "Croatia": "HRV",
    "Cyprus": "CYP",
    "Czech Republic": "CZE",
    "Denmark": "DNK",
    "Estonia": "EST",
    "Finland": "FIN",
    "France": "FRA",
    "Germany": "DEU",
    "Greece": "GRC",
    "Hungary": "HUN",
    "Ireland": "IRL",
    "Italy": "ITA",
    "Latvia": "LVA",
    "Lithuania": "LTU",
    "Luxembourg": "LUX",
    "Malta": "MLT",
    "Netherlands": "NLD",
    "Poland": "POL",
    "Portugal": "PRT",
    "Romania": "ROU",
    "Slovak Republic": "SVK",
    "Slovakia": "SVK",
    "Slovenia": "SVN",
    "Spain": "ESP",
    "Sweden": "SWE",
}

TAX_YEARS = ["2012", "2013", "2014", "2015", "2016"]

# OECD and JRC (2008), Handbook on Constructing Composite Indicators, after UNDP (2001).
TAI = """\
country,patents,royalties,internet,exports,telephones,electricity,schooling,university
Finland,187,125.6,200.2,50.7,3.08,4.15,10,27.4
United States,289,130,179.1,66.2,3.00,4.07,12,13.9
Sweden,271,156.6,125.8,59.7,3.10,4.14,11.4,15.3
Japan,994,64.6,49,80.8,3.00,3.86,9.5,10
Korea,779,9.8,4.8,66.7,2.97,3.65,10.8,23.2
Netherlands,189,151.2,136,50.9,3.02,3.77,9.4,9.5
United Kingdom,82,134,57.4,61.9,3.02,3.73,9.4,14.9
Canada,31,38.6,108,48.7,2.94,4.18,11.6,14.2
Australia,75,18.2,125.9,16.2,2.94,3.94,10.9,25.3
Singapore,8,25.5,72.3,74.9,2.95,3.83,7.1,24.2
Germany,235,36.8,41.2,64.2,2.94,3.75,10.2,14.4
Norway,103,20.2,193.6,19,3.12,4.39,11.9,11.2
Ireland,106,110.3,48.6,53.6,2.97,3.68,9.4,12.3
Belgium,72,73.9,58.9,47.6,2.91,3.86,9.3,13.6
New Zealand,103,13,146.7,15.4,2.86,3.91,11.7,13.1
Austria,165,14.8,84.2,50.3,2.99,3.79,8.4,13.6
France,205,33.6,36.4,58.9,2.97,3.80,7.9,12.6
Israel,74,43.6,43.2,45,2.96,3.74,9.6,11
Spain,42,8.6,21,53.4,2.86,3.62,7.3,15.6
Italy,13,9.8,30.4,51,3.00,3.65,7.2,13
Czech Republic,28,4.2,25,51.7,2.75,3.68,9.5,8.2
Hungary,26,6.2,21.6,63.5,2.73,3.46,9.1,7.7
Slovenia,105,4,20.3,49.5,2.84,3.71,7.1,10.6
"""

Made = tuple[pd.DataFrame, list[str]]
"""A table, and what the maker should know of how it came about."""


def read(path: Path, texts: list[str], numbers: list[str]) -> pd.DataFrame:
    """Read columns of a source table; in numbers, "NA" and blanks are missing."""
    frame = pd.read_csv(
        path,
        usecols=[*texts, *numbers],
        dtype="str",
        encoding="utf-8-sig",
        keep_default_na=False,
    )
    for name in numbers:  # Python parses every decimal exactly, as not all pandas do
        values = frame[name].replace({"": "nan", "NA": "nan"})
        frame[name] = values.to_numpy("object").astype("float64")
    return frame


def whole(values: pd.Series) -> pd.Series:
    """Return counts and flags as integers."""
    if (values % 1 != 0).any():
        raise DataError(f"{values.name} holds missing or broken numbers; whole ones are needed.")
    return values.astype("int64")


def translate(values: pd.Series, words: Mapping[str, str], what: str) -> pd.Series:
    """Map values by an explicit list, and refuse those that are not on it."""
    found = values.map(words)
    if found.isna().any():
        unknown = listing(sorted(set(values[found.isna()].astype(str))))
        raise DataError(f"{what}: {int(found.isna().sum())} values are not on the list: {unknown}.")
    return found


def printed(values: pd.Series, decimals: int) -> pd.Series:
    """Return decimals as the provider printed them, without the noise of binary sums."""
    rounded = values.round(decimals)
    if ((values - rounded).abs() > 10.0 ** -(decimals + 2)).any():
        raise DataError(f"{values.name} has more than {decimals} decimals; nothing was rounded.")
    return rounded


def ukraine_hromadas(raw: Path) -> Made:
    """Join hromadas with their full-year budgets of 2021 and exam means."""
    folder = raw / "ukraine-hromadas-kse"
    flags = ["occipied_before_2022", "edem_petitions", "edem_consultations",
             "edem_participatory_budget", "edem_open_hromada"]  # fmt: skip
    source = read(
        folder / "full_dataset.csv",
        ["hromada_code", "hromada_name", "oblast_code", "oblast_name_en", "type"],
        ["total_popultaion_2022", "urban_pct", "travel_time", "square", "youth_councils", *flags],
    )
    budgets = read(
        folder / "hromada_budget_2020_2022.csv",
        ["hromada_code", "year"],
        ["income_own", "income_transfert", "income_total", "own_income_prop_full_year"],
    )
    exams = read(folder / "zno-2022-aggragated.csv", ["hromada_code", "subject"], ["mean_score"])

    budgets = budgets[budgets["year"] == "2021"]
    joined = source.merge(
        budgets, on="hromada_code", how="left", validate="one_to_one", indicator=True
    )
    if not (joined["_merge"] == "both").all() or len(budgets) != len(source):
        raise DataError("Budgets of 2021 and hromadas do not match one to one.")
    own, total = printed(joined["income_own"], 2), printed(joined["income_total"], 2)
    if ((own + joined["income_transfert"] - total).abs() > 0.005).any():
        raise DataError("Own revenue and transfers of 2021 do not add up to total revenue.")
    share = (own / total).where(total > 0)
    if ((share - joined["own_income_prop_full_year"]).abs() > 1e-9).any():
        raise DataError("The provider's full-year share is not own by total revenue.")

    wide = exams.pivot(index="hromada_code", columns="subject", values="mean_score")
    homeless = sorted(set(wide.index) - set(source["hromada_code"]))
    means = wide[list(EXAMS)].rename(columns=EXAMS).reindex(source["hromada_code"])

    frame = pd.DataFrame(
        {
            "hromada_code": source["hromada_code"],
            "hromada": source["hromada_name"],
            "oblast": translate(source["oblast_code"].str[:4], OBLASTS, "oblast_code"),
            "type": translate(source["type"], TYPES, "type"),
            "occupied_before_2022": whole(source["occipied_before_2022"]),
            "own_revenue_share": share,
            "own_revenue": own,
            "total_revenue": total,
            "population": whole(source["total_popultaion_2022"]),
            "urban_share": source["urban_pct"],
            "travel_time": source["travel_time"],
            "area": source["square"],
            "e_petitions": whole(source["edem_petitions"]),
            "e_consultations": whole(source["edem_consultations"]),
            "participatory_budget": whole(source["edem_participatory_budget"]),
            "open_hromada": whole(source["edem_open_hromada"]),
            "youth_council": (whole(source["youth_councils"]) > 0).astype("int64"),
            **{name: means[name].to_numpy() for name in EXAMS.values()},
        }
    ).sort_values("hromada_code")
    blank = source["oblast_name_en"] == "NA"
    held = source["occipied_before_2022"] == 0
    return frame, [
        f"{len(frame):,} hromadas, all with a budget of 2021; total revenue is positive in "
        f"{int((total > 0).sum()):,}, elsewhere the share is missing.",
        f"{int(blank.sum())} blank English oblast names resolved from the oblast code, all in "
        f"{listing(sorted(set(frame.loc[blank, 'oblast'])))}; misspelt ones replaced.",
        f"{int((~held).sum())} communities occupied before 2022 kept and flagged.",
        f"All four exam means in {int(means.notna().all(axis=1).sum()):,} hromadas; exams of "
        f"{listing(homeless)} (the city of Kyiv, no hromada) set aside; English not taken.",
        f"{int((source['youth_councils'] > 1).sum())} hromadas with more than one youth council "
        "count as having one.",
    ]


def eu_regions(raw: Path) -> Made:
    """Join the regional index with income per head and two national measures."""
    source = read(
        raw / "eqi-2021-regions" / "EQI_goth.csv",
        ["region_code", "name", "cname"],
        ["eqi21_n2", "eqi21_n2_lowME", "eqi21_n2_highME",
         "qualityp21_n2", "impartialityp21_n2", "corruptionp21_n2"],
    )  # fmt: skip
    controls = read(
        raw / "eqi-2021-regions" / "data_TER.csv", ["geo"], ["pib_par_reg", "nbPop_1erJanv"]
    )
    autonomy = read(raw / "local-autonomy-index" / "LAI_2014.csv", ["country_name"], ["D_LAI_2014"])
    taxes = read(
        raw / "imf-fiscal-decentralization" / "time_series.csv",
        ["Country Name", "Indicator Code", "Sector Code"],
        TAX_YEARS,
    )

    joined = source.merge(
        controls,
        left_on="region_code", right_on="geo", how="left", validate="one_to_one", indicator=True,
    )  # fmt: skip
    if not (joined["_merge"] == "both").all():
        raise DataError("Regions of the index and of the controls do not match one to one.")

    autonomy = autonomy[autonomy["country_name"].isin(ISO3)]
    index = autonomy.set_index(autonomy["country_name"].map(ISO3))["D_LAI_2014"]
    taxes = taxes[
        (taxes["Indicator Code"] == "taxd")
        & (taxes["Sector Code"] == "SNG")
        & taxes["Country Name"].isin(ISO3)
    ]
    years = taxes.set_index(taxes["Country Name"].map(ISO3))[TAX_YEARS]
    iso3 = translate(source["cname"], ISO3, "cname")
    for what, table in (("Local Autonomy Index", index), ("tax share", years)):
        absent = sorted(set(iso3) - set(table.index))
        if absent or not table.index.is_unique:
            raise DataError(f"{what}: countries missing or listed twice: {listing(absent)}.")

    low, high = printed(source["eqi21_n2_lowME"], 6), printed(source["eqi21_n2_highME"], 6)
    frame = pd.DataFrame(
        {
            "region_code": source["region_code"],
            "region": source["name"],
            "country": source["cname"],
            "iso3": iso3,
            "eqi": printed(source["eqi21_n2"], 3),
            "eqi_low": low,
            "eqi_high": high,
            "eqi_std_error": (high - low) / 2 / 1.96,
            "quality": printed(source["qualityp21_n2"], 3),
            "impartiality": printed(source["impartialityp21_n2"], 3),
            "corruption": printed(source["corruptionp21_n2"], 3),
            "gdp_per_head": joined["pib_par_reg"] * 1e6 / joined["nbPop_1erJanv"],
            "local_autonomy": iso3.map(index),
            "tax_share": iso3.map(years.mean(axis=1)),
            "tax_share_years": iso3.map(years.notna().sum(axis=1)),
        }
    ).sort_values("region_code")
    poor = frame.loc[frame["gdp_per_head"].isna(), "region_code"]
    short = frame.loc[frame["tax_share_years"] < len(TAX_YEARS), "country"]
    return frame, [
        f"{len(frame)} regions of {iso3.nunique()} countries, all with both national measures.",
        f"GDP per head for {len(frame) - len(poor)}; missing for {listing(poor, 10)}.",
        f"Tax share over fewer than {len(TAX_YEARS)} years: {listing(sorted(set(short)))}.",
    ]


def tai(raw: Path) -> Made:  # noqa: ARG001 - typed from print, there is no source file
    """Return the printed table of technology achievement."""
    frame = pd.read_csv(io.StringIO(TAI), dtype="str")
    for name in frame.columns.drop("country"):
        frame[name] = frame[name].to_numpy("object").astype("float64")
    return frame, [f"{len(frame)} countries, as printed."]


TABLES: dict[str, Callable[[Path], Made]] = {
    "ukraine_hromadas": ukraine_hromadas,
    "eu_regions": eu_regions,
    "tai": tai,
}


def verify_sources(raw: Path, files: Mapping[str, str]) -> list[str]:
    """Return what is wrong with source files, given the digest each must have."""
    found = []
    for name, digest in files.items():
        try:
            actual = hashlib.sha256((raw / name).read_bytes()).hexdigest()
        except OSError as error:
            found.append(f"{name}: cannot be read ({error.strerror or error}).")
            continue
        if actual != digest:
            found.append(f"{name}: SHA-256 is {actual}, and the manifest says {digest}.")
    return found


def enter(manifest: str, name: str, digest: str, rows: int) -> str:
    """Return the manifest's text with the digest and row count of one table filled in."""
    section = re.compile(rf"^\[{name}\]$.*?(?=^\[|\Z)", re.MULTILINE | re.DOTALL)
    found = section.search(manifest)
    if found is None:
        raise DataError(f"manifest.toml has no section [{name}].")
    text, digests = re.subn(r'(?m)^sha256 = ".*"$', f'sha256 = "{digest}"', found[0])
    text, counts = re.subn(r"(?m)^rows = \d+$", f"rows = {rows}", text)
    if (digests, counts) != (1, 1):
        raise DataError(f"manifest.toml: [{name}] needs one line sha256 = and one line rows =.")
    return manifest[: found.start()] + text + manifest[found.end() :]


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def compile_tables(raw: Path, out: Path, *, check: bool = False) -> list[str]:
    """Make every table and the manifest; write them to `out`, or compare them with it.

    Returns
    -------
    list of str
        The report, a line each.

    Raises
    ------
    DataError
        If sources are missing or not the recorded ones, if a table breaks its own
        description, or, with `check`, if a file in `out` is not what would be written.
    """
    manifest = (HERE / "manifest.toml").read_text("utf-8")
    told = tomllib.loads(manifest)
    problems = Problems(f"the source files below {raw}")
    for name in TABLES:
        problems.extend(verify_sources(raw, told[name]["source_files"]))
    problems.raise_any(DataError)

    report, files = [], {}
    for name, make in TABLES.items():
        frame, notes = make(raw)
        content = tables.to_csv(frame).encode()
        digest = hashlib.sha256(content).hexdigest()
        files[told[name]["file"]] = content
        manifest = enter(manifest, name, digest, len(frame))
        report += [f"{name}: {len(frame):,} x {frame.shape[1]}, {digest}"]
        report += [f"  {note}" for note in notes]
    files["manifest.toml"] = manifest.encode()

    with tempfile.TemporaryDirectory() as aside:  # a table that breaks its description is no file
        write(Path(aside), files)
        for name in TABLES:
            load_dataset(name, folder=aside)
    if check:
        problems = Problems(f"{out}: not what the sources give")
        for file, content in files.items():
            if not (out / file).is_file() or (out / file).read_bytes() != content:
                problems.add(f"{file} differs or is missing. Run without --check.")
        problems.raise_any(DataError)
    else:
        write(out, files)
    return [*report, "Nothing would change." if check else f"Written to {out}."]


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Make the tables of data/ from their sources.")
    parser.add_argument("--raw", type=Path, required=True, help="folder of the source files")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to")
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    options = parser.parse_args(arguments)
    try:
        report = compile_tables(options.raw, options.out, check=options.check)
    except LGPIError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
