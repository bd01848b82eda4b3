"""Shipped tables: verified, typed, joined as stated, and honest about their traps."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import shutil
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from lgpi_research import datasets
from lgpi_research.datasets import (
    data_folder,
    list_datasets,
    list_recipes,
    load_dataset,
    load_eu_regions,
    load_moments,
    load_tai,
    load_ukraine_hromadas,
    recipe_path,
)
from lgpi_research.errors import DataError, SpecError
from lgpi_research.moments import Moments

NAMES = (
    "ukraine_hromadas",
    "eu_regions",
    "tai",
    "world_panel",
    "world_countries",
    "kazakhstan_regions",
    "kazakhstan_budgets",
    "kazakhstan_withdrawals",
    "kazakhstan_map",
    "vietnam_provinces",
    "burkina_faso_communes",
    "russia_cities",
    "afrobarometer_nonresponse",
)
MOMENTS = (
    "afrobarometer_r4",
    "afrobarometer_r4_unweighted",
    "afrobarometer_r4_pairs",
    "afrobarometer_r3",
    "afrobarometer_r3_pairs",
    "afrobarometer_tunisia",
)
RAW = Path(__file__).resolve().parents[2] / "shared" / "data" / "raw"
needs_raw = pytest.mark.skipif(not RAW.is_dir(), reason="the published source files are not here")


@pytest.fixture(scope="module")
def hromadas() -> pd.DataFrame:
    return load_ukraine_hromadas().frame


@pytest.fixture(scope="module")
def regions() -> pd.DataFrame:
    return load_eu_regions().frame


@pytest.fixture(scope="module")
def tai() -> pd.DataFrame:
    return load_tai().frame


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a folder with the manifest and tables, to damage."""
    for source in data_folder().iterdir():
        if source.suffix in (".csv", ".toml", ".parquet"):
            shutil.copyfile(source, tmp_path / source.name)
    return tmp_path


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """Return data/compile.py as a module, its makers importable as when it runs."""
    sys.path.insert(0, str(data_folder()))
    spec = importlib.util.spec_from_file_location("compile_data", data_folder() / "compile.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(data_folder()))
    return module


@pytest.fixture(scope="module")
def common(maker: ModuleType) -> ModuleType:
    """Return data/makers/common.py, as the makers use it."""
    return sys.modules["makers.common"]


def edit(folder: Path, old: str, new: str, file: str = "manifest.toml") -> None:
    text = (folder / file).read_text("utf-8")
    assert old in text
    (folder / file).write_bytes(text.replace(old, new, 1).encode())


def resign(folder: Path, name: str) -> None:
    """Enter the digest of a changed table, so that what it holds is looked at."""
    manifest = tomllib.loads((folder / "manifest.toml").read_text("utf-8"))
    content = (folder / manifest[name]["file"]).read_bytes()
    edit(folder, manifest[name]["sha256"], hashlib.sha256(content).hexdigest())


# Loading ------------------------------------------------------------------------------------


def test_the_list_names_every_data_set_with_its_terms():
    table = list_datasets()
    columns = ["name", "title", "kind", "rows", "columns", "licence", "citation"]
    assert list(table.columns) == columns
    assert tuple(table["name"]) == (*NAMES, *MOMENTS)
    assert set(table.loc[table["kind"] == "moments", "name"]) == set(MOMENTS)
    assert list(table["rows"])[:3] == [1469, 238, 23]
    for name, rows, columns in table[["name", "rows", "columns"]].itertuples(index=False):
        assert load_dataset(name).frame.shape == (rows, columns)


@pytest.mark.parametrize("name", NAMES)
def test_a_table_is_typed_as_described_and_its_digest_is_that_of_the_file(name):
    data = load_dataset(name)
    kinds = {"str": "str", "int": "int64", "float": "float64", "bool01": "int64"}
    assert data.frame.dtypes.astype(str).to_dict() == {
        column: kinds[told.type] for column, told in data.columns.items()
    }
    content = (data_folder() / f"{name}.csv").read_bytes()
    assert data.digest == hashlib.sha256(content).hexdigest()
    assert b"\r" not in content
    assert not data.frame.duplicated(list(data.key)).any()
    assert data.citation
    assert data.licence
    assert data.terms
    assert data.source
    assert len(data.caveats) >= 4
    for label, column in data.columns.items():
        assert column.label, label
        assert column.type == "str" or column.unit, label


@pytest.mark.parametrize("name", NAMES)
def test_no_text_stands_for_a_missing_value_and_no_number_is_infinite(name):
    frame = load_dataset(name).frame
    text = frame.select_dtypes("str")
    assert not text.isin(["NA", "NaN", "nan", "", "null", "None", "<NA>"]).any(axis=None)
    assert not text.isna().any(axis=None)
    assert not np.isinf(frame.select_dtypes("number").to_numpy()).any()


@pytest.mark.parametrize("name", NAMES)
def test_numbers_survive_writing_and_reading_to_the_last_bit(name):
    data = load_dataset(name)
    again = data.frame.to_csv(index=False, lineterminator="\n").encode()
    assert hashlib.sha256(again).hexdigest() == data.digest


@pytest.mark.parametrize("name", [*NAMES, *MOMENTS])
def test_bibliography_keys_are_found_and_can_be_cited(name):
    keys = load_dataset(name).citation_keys
    assert len(keys) == load_dataset(name).bibtex.count("@")
    assert all(key.isascii() and key[-4:].isdigit() for key in keys)


@pytest.mark.parametrize("name", MOMENTS)
def test_moments_are_verified_and_described(name, copy):
    data = load_dataset(name)
    path = data_folder() / f"{name}.parquet"
    assert data.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_size < 2_000_000
    assert isinstance(data.moments, Moments)
    assert load_moments(name).digest == data.moments.digest
    assert list(data.frame.columns) == ["psu", "stratum", "place"]
    assert data.key == ("psu",)
    assert len(data.caveats) >= 7
    assert "nobody's answers" in data.terms.casefold()
    held = {item for scale in data.moments.scales for item in scale.items}
    assert held == set(data.codebook.names)
    for item in data.codebook:
        assert item.label != item.name
        assert item.scale is not None
        assert item.unit
    assert "moments of" in repr(data)
    content = bytearray((copy / path.name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / path.name).write_bytes(content)
    with pytest.raises(DataError, match="is not the table that was compiled"):
        load_moments(name, folder=copy)


def test_a_table_is_no_moments():
    with pytest.raises(
        SpecError, match=r"'tai' is a table: load it with load_dataset\. Moments: af"
    ):
        load_moments("tai")
    with pytest.raises(SpecError, match="Did you mean 'afrobarometer_r4'"):
        load_moments("afrobarometer_r5")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "moments"', 'kind = "moment"', "kind 'moment' is not one of table, moments"),
        ("[afrobarometer_r4.items]", "[afrobarometer_r4.itms]", "lacks items, a table for each"),
        ("roads = { label", "roads = { lable", "item roads: unknown entry 'lable'"),
        ('measurement = "reflective"', 'measurement = "both"', "measurement: must be"),
        ("roads = { label", "streets = { label", "items differ from those of the manifest: roads"),
    ],
)
def test_slips_in_the_description_of_moments(copy, old, new, message):
    edit(copy, old, new)
    with pytest.raises(DataError, match=message):
        load_dataset("afrobarometer_r4", folder=copy)


def test_a_table_has_no_items(copy):
    edit(copy, "[tai.source_files]", '[tai.items]\nx = { label = "x" }\n\n[tai.source_files]')
    with pytest.raises(DataError, match="items are described of kind"):
        load_dataset("tai", folder=copy)


def test_moments_signed_anew_are_still_looked_at(copy):
    file = copy / "afrobarometer_r3.parquet"
    file.write_bytes((copy / "afrobarometer_r4.parquet").read_bytes())
    resign(copy, "afrobarometer_r3")
    with pytest.raises(DataError, match="items differ from those of the manifest"):
        load_moments("afrobarometer_r3", folder=copy)


def test_a_data_set_is_frozen_and_its_columns_cannot_be_changed():
    data = load_tai()
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.name = "other"
    with pytest.raises(TypeError):
        data.columns["patents"] = data.columns["exports"]


def test_every_load_gives_a_fresh_table():
    first = load_tai()
    first.frame.loc[0, "patents"] = -1.0
    assert load_tai().frame.loc[0, "patents"] == 187


def test_it_shows_itself_with_licence_citation_and_caveats(copy):
    edit(copy, 'label = "Patents granted to residents"', 'label = "<script>x</script>"')
    edit(copy, "Figures are of the late 1990s.", "Figures < 2000 & older.")
    data = load_dataset("tai", folder=copy)
    assert repr(data).splitlines()[0] == (
        "Technology achievement, 23 countries: 23 rows, 9 columns, key country"
    )
    assert "Cite: OECD and Joint Research Centre (2008)" in repr(data)
    page = data._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "Figures &lt; 2000 &amp; older." in page


def test_the_description_counts_what_is_missing(hromadas):
    told = load_ukraine_hromadas().describe().set_index("name")
    assert told.loc["own_revenue_share", "missing"] == 2
    assert told.loc["area", "missing"] == 31
    assert told.loc["own_revenue_share", "made_from"] == "own_revenue, total_revenue"
    assert told.loc["travel_time", "highest"] == hromadas["travel_time"].max()
    assert np.isnan(told.loc["oblast", "lowest"])


# Refusals -----------------------------------------------------------------------------------


def test_an_unknown_name_gets_the_nearest_spelling():
    with pytest.raises(SpecError, match=r"Unknown data set 'ukraine_hromada'\. Did you mean 'ukr"):
        load_dataset("ukraine_hromada")


@pytest.mark.parametrize("name", ["../tai", "a/b", "a\\b", "/etc/passwd", "..", "C:tai"])
def test_a_path_is_no_name(name):
    with pytest.raises(SpecError, match="is a path"):
        load_dataset(name)
    with pytest.raises(SpecError, match="is a path"):
        recipe_path(name)


def test_an_altered_table_is_refused_and_told_how_to_restore(copy):
    edit(copy, "Finland,187.0", "Finland,188.0", "tai.csv")
    with pytest.raises(DataError, match=r"tai.csv is not the table that was compiled.*git check"):
        load_dataset("tai", folder=copy)
    assert load_dataset("eu_regions", folder=copy).frame.shape == (238, 16)


def test_windows_line_ends_are_named(copy):
    table = copy / "tai.csv"
    table.write_bytes(table.read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(DataError, match="Windows line ends"):
        load_dataset("tai", folder=copy)


def test_a_missing_table_is_told_how_to_get(copy):
    (copy / "tai.csv").unlink()
    with pytest.raises(DataError, match=r"Cannot read the table tai.csv.*Install the package"):
        load_dataset("tai", folder=copy)


def test_a_missing_manifest_says_so(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"Cannot read manifest\.toml"):
        load_dataset("tai", folder=tmp_path)
    package = tmp_path / "site" / "lgpi_research"
    package.mkdir(parents=True)
    monkeypatch.setattr(datasets.resources, "files", lambda _: package)
    with pytest.raises(DataError, match="Install the package again"):
        data_folder()


def test_an_installed_package_is_looked_in_before_the_clone(copy, tmp_path, monkeypatch):
    package = tmp_path / "site" / "lgpi_research"
    package.mkdir(parents=True)
    monkeypatch.setattr(datasets.resources, "files", lambda _: package)
    shutil.copytree(copy, package.parent / "data", ignore=shutil.ignore_patterns("site"))
    assert data_folder() == package.parent / "data"
    shutil.copytree(package.parent / "data", package / "_data")
    assert data_folder() == package / "_data"
    assert load_tai().frame.shape == (23, 9)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "Technology', 'tittle = "Technology', r"\[tai\] lacks title, as str"),
        ('file = "tai.csv"', 'file = "../tai.csv"', "must lie beside the manifest"),
        ('key = ["country"]', 'key = ["land"]', "key land is not among the columns"),
        ('label = "Internet', 'lable = "Internet', "unknown entry 'lable'. Did you mean 'label'"),
        ('unit = "years"\ntype = "float"', 'unit = "years"\ntype = "double"', "not one of str, in"),
        ("# What the tables", "version = 1\n# What the tables", r"\[version\] is not a table"),
        ('title = "Technology', 'title = Technology"', "not valid TOML"),
    ],
)
def test_a_manifest_that_is_being_edited_tells_its_slips(copy, old, new, message):
    edit(copy, old, new)
    with pytest.raises(DataError, match=message):
        load_dataset("tai", folder=copy)


def test_all_slips_of_a_manifest_are_told_at_once(copy):
    edit(copy, 'label = "Internet', 'lable = "Internet')
    edit(copy, 'key = ["region_code"]', 'key = ["code"]')
    with pytest.raises(DataError, match=r"3 problems in manifest\.toml"):
        load_dataset("tai", folder=copy)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Finland,187.0", "Finland,many", "tai.csv does not hold what the manifest says"),
        ("Finland,187.0", ",187.0", "country: 1 blank texts"),
        ("Sweden,", "Finland,", "key country is not unique"),
        ("50.7", "150.7", r"exports: 1 values beyond 0.0..100.0: 150.7"),
        ("Finland,187.0", "Finland,-187.0", "patents: 1 values beyond 0.0..None: -187.0"),
        ("patents,", "patent,", "columns differ from those of the manifest: patent, patents"),
        ("country,patents,royalties", "country,royalties,patents", "columns differ.*their order"),
    ],
)
def test_a_table_that_breaks_its_description_is_refused(copy, old, new, message):
    edit(copy, old, new, "tai.csv")
    resign(copy, "tai")
    with pytest.raises(DataError, match=message):
        load_dataset("tai", folder=copy)


def test_a_flag_that_is_no_flag_and_a_wrong_row_count_are_told_together(copy):
    lines = (copy / "ukraine_hromadas.csv").read_text("utf-8").splitlines(keepends=True)
    first = lines[1].split(",")
    lines[1] = ",".join([*first[:4], "2", *first[5:]])
    (copy / "ukraine_hromadas.csv").write_bytes("".join(lines[:-1]).encode())
    resign(copy, "ukraine_hromadas")
    with pytest.raises(DataError, match="2 problems") as caught:
        load_dataset("ukraine_hromadas", folder=copy)
    assert "1468 rows, and the manifest says 1469" in str(caught.value)
    assert "occupied_before_2022: 1 values beyond 0.0..1.0: 2" in str(caught.value)


def test_recipes_are_found_by_name(copy, monkeypatch):
    monkeypatch.setattr(datasets, "data_folder", lambda: copy)
    assert list_recipes() == ()
    with pytest.raises(SpecError, match="Known: none"):
        recipe_path("ukraine")
    (copy / "recipes").mkdir()
    for name in ("ukraine", "eu"):
        (copy / "recipes" / f"{name}.toml").write_bytes(b"")
    assert list_recipes() == ("eu", "ukraine")
    assert recipe_path("eu") == copy / "recipes" / "eu.toml"
    with pytest.raises(SpecError, match=r"Unknown recipe 'ukrain'\. Did you mean 'ukraine'\?"):
        recipe_path("ukrain")


# Ukraine ------------------------------------------------------------------------------------


def test_hromadas_join_as_counted(hromadas):
    assert len(hromadas) == 1469
    assert (hromadas["total_revenue"] > 0).sum() == 1467
    assert hromadas["oblast"].nunique() == 24
    assert hromadas["type"].value_counts().to_dict() == {
        "rural": 625,
        "settlement": 435,
        "city": 409,
    }
    exams = ["exam_ukrainian", "exam_uml", "exam_mathematics", "exam_history"]
    assert hromadas[exams].notna().sum().tolist() == [1431, 1430, 1429, 1431]
    assert hromadas[exams].notna().all(axis=1).sum() == 1428


def test_the_share_is_of_a_full_year_and_not_a_sum_of_months(hromadas):
    share = hromadas["own_revenue_share"]
    assert share.between(0, 1).sum() == 1467
    assert share.mean() == pytest.approx(0.553, abs=0.001)
    assert share.min() == pytest.approx(0.1305, abs=1e-4)
    held = hromadas["total_revenue"] > 0
    assert_allclose(share[held], (hromadas["own_revenue"] / hromadas["total_revenue"])[held])
    assert share[~held].isna().all()


def test_occupied_communities_are_kept_flagged_and_told(hromadas):
    occupied = hromadas[hromadas["occupied_before_2022"] == 1]
    assert len(occupied) == 31
    assert set(occupied["oblast"]) == {"Donetsk", "Luhansk"}
    assert (occupied["own_revenue_share"].dropna() == 1).all()
    assert occupied.filter(like="exam_").isna().all(axis=None)
    assert (occupied["total_revenue"] <= 0).sum() == 2
    assert sum("31 communities" in caveat for caveat in load_ukraine_hromadas().caveats) == 1


def test_an_oblast_is_one_code_and_one_name(hromadas):
    pairs = hromadas.assign(code=hromadas["hromada_code"].str[:4])[["code", "oblast"]]
    assert len(pairs.drop_duplicates()) == 24
    assert not {"Vonyn", "Donetks", "Driproptrovska"} & set(hromadas["oblast"])


def test_facts_of_the_ukrainian_caveats(hromadas):
    assert (hromadas["travel_time"] == 0).sum() == 23
    assert hromadas["area"].isna().sum() == 31
    assert (hromadas.groupby("hromada").size() > 1).sum() == 96
    both = hromadas[["exam_ukrainian", "exam_uml"]].corr().iloc[0, 1]
    assert both == pytest.approx(0.94, abs=0.005)


def test_one_budget_identity_is_recognised_through_its_parts():
    columns = load_ukraine_hromadas().columns

    def origins(name: str) -> set[str]:
        parts = columns[name].made_from if name in columns else ()
        return {name}.union(*(origins(part) for part in parts))

    assert {"own_revenue", "total_revenue", "transfers"} <= origins("own_revenue_share")
    measure = origins("own_revenue_share")
    outcomes = ["e_petitions", "participatory_budget", "youth_council", "exam_mathematics"]
    assert not any(measure & origins(name) for name in outcomes)


def test_the_licence_of_the_hromadas_goes_with_them():
    notice = (data_folder() / "licences" / "ukraine_hromadas.txt").read_text("utf-8")
    assert "\nMIT License\n\nCopyright (c) 2021 Andriy V. Koval\n" in notice
    assert load_ukraine_hromadas().licence == "MIT, Copyright (c) 2021 Andriy V. Koval"


# European Union -----------------------------------------------------------------------------


def test_regions_join_as_counted(regions):
    assert len(regions) == 238
    assert regions["iso3"].nunique() == regions["country"].nunique() == 27
    assert regions[["local_autonomy", "tax_share"]].notna().all(axis=1).sum() == 238
    assert regions.dropna().shape[0] == 231
    within = regions.groupby("iso3")[["local_autonomy", "tax_share", "tax_share_years"]]
    assert (within.nunique() == 1).all(axis=None)
    assert regions.loc[regions["tax_share_years"] < 5, "iso3"].unique().tolist() == ["HRV"]


def test_the_published_index_follows_from_its_pillars(regions):
    mean = regions[["quality", "impartiality", "corruption"]].mean(axis=1)
    assert np.corrcoef(mean, regions["eqi"])[0, 1] > 0.9999999
    slope = np.polyfit(mean, regions["eqi"], 1)[0]
    assert slope == pytest.approx(1.03834635, abs=1e-7)
    assert (regions[["quality", "impartiality", "corruption"]].corrwith(regions["eqi"]) > 0).all()


def test_the_index_has_its_published_extremes_and_scale(regions):
    eqi = regions.set_index("region")["eqi"]
    assert (eqi.idxmax(), eqi.max()) == ("Åland", 2.197)
    assert eqi.min() == -2.313
    assert eqi.mean() == pytest.approx(0, abs=1e-4)
    assert eqi.std() == pytest.approx(1, abs=1e-4)
    ties = eqi.value_counts()
    assert (ties[ties > 1].sum(), (ties > 1).sum()) == (17, 8)


def test_standard_errors_are_the_margins_taken_at_95_per_cent(regions):
    assert_allclose(regions["eqi"] - regions["eqi_low"], 1.96 * regions["eqi_std_error"])
    assert_allclose(regions["eqi_high"] - regions["eqi"], 1.96 * regions["eqi_std_error"])
    assert (regions["eqi_std_error"] > 0).all()


def test_income_per_head_is_not_the_wrong_column(regions):
    gdp = regions["gdp_per_head"].dropna()
    assert (round(gdp.min()), round(gdp.max()), len(gdp)) == (5824, 96881, 231)
    assert gdp.mean() == pytest.approx(28_500, abs=1)
    poor = set(regions.loc[regions["gdp_per_head"].isna(), "region_code"])
    assert poor == {"CY", "EE", "LU", "LV", "MT", "FRY5", "HR04"}
    assert "population" not in regions


# Technology achievement ---------------------------------------------------------------------


def test_correlation_eigenvalue_shares_and_alpha_are_those_printed(tai):
    correlation = tai.set_index("country").corr()
    assert correlation.loc["internet", "electricity"] == pytest.approx(0.84, abs=0.005)
    shares = 100 * np.linalg.eigvalsh(correlation)[::-1] / 8
    # The rounding of the printed table alone moves a share by up to 0.2.
    assert_allclose(shares, [41.9, 21.8, 12.3, 11.1, 6.0, 3.7, 2.2, 0.9], atol=0.12)

    def alpha(table: pd.DataFrame) -> float:
        k = len(table)
        mean = (table.to_numpy().sum() - k) / (k * (k - 1))
        return k * mean / (1 + (k - 1) * mean)

    assert alpha(correlation) == pytest.approx(0.70, abs=0.005)
    dropped = [alpha(correlation.drop(index=name, columns=name)) for name in correlation]
    printed = [0.704, 0.645, 0.636, 0.774, 0.603, 0.624, 0.662, 0.706]
    assert_allclose(dropped, printed, atol=0.0015)


def test_equal_weights_on_the_goalposts_give_the_printed_ranks(tai):
    data = load_tai()
    posts = {name: told.goalposts for name, told in data.columns.items() if told.goalposts}
    assert len(posts) == 8
    scaled = pd.DataFrame(
        {name: ((tai[name] - low) / (high - low)).clip(0, 1) for name, (low, high) in posts.items()}
    )
    found = scaled.mean(axis=1).rank(ascending=False).astype(int).tolist()
    printed = dict(zip(tai["country"], range(1, 24), strict=True))
    printed |= {"Singapore": 8, "Canada": 9, "Australia": 10}
    assert found == list(printed.values())


def test_goalposts_are_no_limits_of_the_values(tai):
    high = load_tai().columns["telephones"].goalposts[1]
    assert high == pytest.approx(np.log10(901))
    assert (tai["telephones"] > high).any()
    assert load_tai().columns["electricity"].goalposts == pytest.approx(np.log10([22, 6969]))


# Compiling ----------------------------------------------------------------------------------


def test_missing_sources_are_all_named_and_nothing_is_written(maker, tmp_path, capsys):
    out = tmp_path / "out"
    assert maker.main(["--raw", str(tmp_path), "--out", str(out)]) == 2
    told = capsys.readouterr().err
    manifest = tomllib.loads((data_folder() / "manifest.toml").read_text("utf-8"))
    files = {file for entry in manifest.values() for file in entry["source_files"]}
    assert told.startswith(f"{len(files)} problems in the source files")
    assert "zno-2022-aggragated.csv: cannot be read" in told
    assert not out.exists()


def test_a_source_of_another_version_is_refused(maker, tmp_path):
    (tmp_path / "a.csv").write_bytes(b"x\n1\n")
    good = hashlib.sha256(b"x\n1\n").hexdigest()
    assert maker.verify_sources(tmp_path, {"a.csv": good}) == []
    (problem,) = maker.verify_sources(tmp_path, {"a.csv": "0" * 64})
    assert problem == f"a.csv: SHA-256 is {good}, and the manifest says {'0' * 64}."


def test_digest_and_rows_are_entered_in_their_own_section_only(maker):
    text = '[a]\nsha256 = ""\nrows = 0\n[a.columns.x]\nlow = 1\n[b]\nsha256 = "old"\nrows = 7\n'
    filled = maker.enter(maker.enter(text, "b", "new", 8), "a", "first", 3)
    assert filled == (
        '[a]\nsha256 = "first"\nrows = 3\n[a.columns.x]\nlow = 1\n[b]\nsha256 = "new"\nrows = 8\n'
    )
    with pytest.raises(DataError, match=r"no section \[c\]"):
        maker.enter(text, "c", "new", 1)
    with pytest.raises(DataError, match="needs one line"):
        maker.enter("[a]\nrows = 1\n", "a", "new", 1)


def test_values_off_the_list_and_lost_decimals_are_refused(common):
    with pytest.raises(DataError, match=r"type: 1 values are not on the list: village"):
        common.translate(pd.Series(["city", "village"]), {"city": "city"}, "type")
    assert common.printed(pd.Series([0.9830329999999999]), 6)[0] == 0.983033
    with pytest.raises(DataError, match="x has more than 2 decimals"):
        common.printed(pd.Series([0.125], name="x"), 2)
    assert common.whole(pd.Series([1.0, 0.0])).tolist() == [1, 0]
    with pytest.raises(DataError, match="whole ones are needed"):
        common.whole(pd.Series([1.0, np.nan], name="x"))


def test_missing_codes_are_read_in_numbers_only(common, tmp_path):
    (tmp_path / "a.csv").write_bytes("\ufeffname,x,other\nNA,1.5,q\nb,NA,q\nc,,q\n".encode())
    frame = common.read(tmp_path / "a.csv", ["name"], ["x"])
    assert frame["name"].tolist() == ["NA", "b", "c"]
    assert_allclose(frame["x"], [1.5, np.nan, np.nan])


@needs_raw
def test_compiling_again_gives_the_same_bytes(maker, tmp_path, capsys):
    assert maker.main(["--raw", str(RAW), "--out", str(tmp_path)]) == 0
    assert "1,467" in capsys.readouterr().out
    files = [*(f"{name}.csv" for name in NAMES), *(f"{name}.parquet" for name in MOMENTS)]
    for name in [*files, "manifest.toml"]:
        assert (tmp_path / name).read_bytes() == (data_folder() / name).read_bytes(), name
    assert maker.main(["--raw", str(RAW), "--out", str(tmp_path), "--check"]) == 0
    (tmp_path / "tai.csv").write_bytes(b"altered")
    assert maker.main(["--raw", str(RAW), "--out", str(tmp_path), "--check"]) == 2
    assert "tai.csv differs or is missing" in capsys.readouterr().err
    assert (tmp_path / "tai.csv").read_bytes() == b"altered"


@needs_raw
def test_no_table_is_a_copy_of_a_source_file():
    published = {hashlib.sha256(path.read_bytes()).hexdigest() for path in RAW.rglob("*.csv")}
    assert published
    assert not published & {load_dataset(name).digest for name in NAMES}


@needs_raw
def test_shares_and_national_measures_agree_with_the_providers_own_columns(hromadas, regions):
    budgets = pd.read_csv(RAW / "ukraine-hromadas-kse" / "hromada_budget_2020_2022.csv")
    budgets = budgets[budgets["year"] == 2021].set_index("hromada_code")
    share = hromadas.set_index("hromada_code")["own_revenue_share"].dropna()
    assert_allclose(share, budgets["own_income_prop_full_year"][share.index], rtol=1e-12)
    months = pd.read_csv(RAW / "ukraine-hromadas-kse" / "full_dataset.csv")["own_income_prop_2021"]
    assert months.max() == pytest.approx(4.62)

    taxes = pd.read_csv(RAW / "imf-fiscal-decentralization" / "imf_fd_subnational_wide.csv")
    taxes = taxes[(taxes["sector"] == "SNG") & taxes["year"].between(2012, 2016)]
    wanted = taxes.groupby("iso3")["taxd"].agg(["mean", "count"]).loc[regions["iso3"]]
    assert_allclose(regions["tax_share"], wanted["mean"], atol=1e-6)
    assert (regions["tax_share_years"].to_numpy() == wanted["count"].to_numpy()).all()
    autonomy = pd.read_csv(RAW / "local-autonomy-index" / "lai_tidy.csv").set_index("iso3")
    assert (regions["local_autonomy"] == autonomy["D_LAI_2014"][regions["iso3"]].to_numpy()).all()


@needs_raw
def test_facts_of_the_caveats_on_exams():
    exams = pd.read_csv(RAW / "ukraine-hromadas-kse" / "zno-2022-aggragated.csv")
    exams = exams[exams["hromada_code"] != "UA80000000000093317"]
    sums = exams.groupby("subject")[["n", "n_didnt_pass"]].sum()
    failed = sums["n_didnt_pass"] / sums["n"]
    assert (round(failed["Math"], 2), round(failed["Hist"], 2)) == (0.26, 0.15)
    few = exams[exams["n"] < 10].groupby("subject").size()
    assert few[["Ukr", "UML", "Math", "Hist"]].tolist() == [69, 106, 106, 106]
    assert exams.loc[exams["mean_score"].isna(), "pct_didnt_pass"].eq(1).all()


@needs_raw
def test_the_licence_notice_is_the_providers():
    name = "LICENSE-source.txt"
    notice = (data_folder() / "licences" / "ukraine_hromadas.txt").read_text("utf-8")
    assert notice.endswith((RAW / "ukraine-hromadas-kse" / name).read_text("utf-8"))
