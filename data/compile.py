"""Make the tidy tables and moment files of this folder from the published source files.

``python data/compile.py --raw DIR`` reads the sources that ``manifest.toml`` lists below
DIR, verifies each digest, writes one CSV table or Parquet file of moments for each data set,
and enters the digests and row counts in the manifest. The same sources give the same bytes;
those of Parquet also need the version of pyarrow that ``constraints.txt`` pins.

``--out OTHER`` writes tables and manifest to another folder; ``--check`` writes nothing
and fails if a table or the manifest would change.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

from lgpi_research import tables
from lgpi_research.datasets import load_dataset
from lgpi_research.errors import DataError, LGPIError, Problems
from lgpi_research.moments import Moments
from makers import MOMENTS, TABLES
from makers.common import MadeMoments

HERE = Path(__file__).resolve().parent


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


def as_bytes(made: MadeMoments) -> tuple[bytes, int]:
    """Return the moment file as bytes, and its number of clusters."""
    with tempfile.TemporaryDirectory() as aside:
        path = Path(aside) / "moments.parquet"
        made.moments.save(path, min_respondents=made.min_respondents, min_answers=made.min_answers)
        return path.read_bytes(), Moments.load(path).n_psu


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def compile_tables(raw: Path, out: Path, *, check: bool = False) -> list[str]:
    """Make every file and the manifest; write them to `out`, or compare them with it.

    Returns
    -------
    list of str
        The report, a line each.

    Raises
    ------
    DataError
        If sources are missing or not the recorded ones, if a file breaks its own
        description, or, with `check`, if a file in `out` is not what would be written.
    """
    manifest = (HERE / "manifest.toml").read_text("utf-8")
    told = tomllib.loads(manifest)
    problems = Problems(f"the source files below {raw}")
    sources: dict[str, str] = {}
    for name in (*TABLES, *MOMENTS):  # several may be made from one file
        sources |= told[name]["source_files"]
    problems.extend(verify_sources(raw, sources))
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
    for name, make_moments in MOMENTS.items():
        made = make_moments(raw)
        content, n_psu = as_bytes(made)
        digest = hashlib.sha256(content).hexdigest()
        files[told[name]["file"]] = content
        manifest = enter(manifest, name, digest, n_psu)
        report += [f"{name}: moments of {n_psu:,} clusters, {len(content):,} bytes, {digest}"]
        report += [f"  {note}" for note in made.notes]
    files["manifest.toml"] = manifest.encode()

    with tempfile.TemporaryDirectory() as aside:  # what breaks its description is no file
        write(Path(aside), files)
        for name in (*TABLES, *MOMENTS):
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
