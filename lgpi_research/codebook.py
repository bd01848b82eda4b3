"""Codebook: what was asked. Facts about indicators that no analysis may change."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lgpi_research.columns import to_numeric
from lgpi_research.errors import DataError, Problems, SpecError, listing, nearest

__all__ = ["CELLS", "KINDS", "Codebook", "Indicator", "plain_code"]

DIRECTIONS = ("positive", "negative")
MEASUREMENTS = ("reflective", "formative")

KINDS = ("don't know", "refused", "not asked", "other")
"""What a missing code may stand for; "not asked" is a question that was filtered out."""

CELLS = ("answered", *KINDS, "blank")
"""What a cell of an item may hold."""

_NUMERAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Indicator:
    """One indicator or survey item.

    Parameters
    ----------
    name : str
        Column of the table.
    label : str, optional
        What a reader sees; the name if empty.
    dimension : str, optional
        Dimension of governance that the indicator belongs to.
    direction : {"positive", "negative"}, default "positive"
        Whether more is better.
    scale : (float, float) or None
        Smallest and largest possible value; values outside are errors in the data.
    goalposts : (float, float) or None
        Fixed worst and best values for normalisation, in the indicator's unit;
        real values may lie beyond them.
    missing_codes : tuple or mapping
        Values that stand for no answer; or, by value, the kind of each: "don't know",
        "refused", "not asked" (filtered out) or "other". Kept as a tuple; text that reads
        as a number is that number.
    missing_kinds : tuple of str
        Kind of each of the codes, in their order, where `missing_codes` is a tuple. Empty if
        every kind is "other".
    measurement : {"formative", "reflective"}, default "formative"
        Reflective indicators are consequences of one trait, so they should agree;
        formative ones make the trait up, so they need not.
    unit : str, optional
        Unit of the values.
    made_from : tuple of str
        Quantities that the indicator is computed or paid from, for the check that
        an outcome does not contain what it is related to.

    Raises
    ------
    SpecError
        With every field that is not valid.

    Examples
    --------
    >>> Indicator("wait", direction="negative", scale=(1, 5), missing_codes=(-99,)).label
    'wait'
    >>> Indicator("wait", missing_codes={"8": "don't know", "9": "refused"}).kinds
    {8: "don't know", 9: 'refused'}
    """

    name: str
    label: str = ""
    dimension: str = ""
    direction: str = "positive"
    scale: tuple[float, float] | None = None
    goalposts: tuple[float, float] | None = None
    missing_codes: tuple[float | str, ...] | Mapping[float | str, str] = ()
    measurement: str = "formative"
    unit: str = ""
    made_from: tuple[str, ...] = ()
    missing_kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = Problems(f"indicator {self.name!r}")
        if not self.name:
            problems.add("name: an indicator needs the name of its column.")
        for field, allowed in (("direction", DIRECTIONS), ("measurement", MEASUREMENTS)):
            value = getattr(self, field)
            if value not in allowed:
                hint = nearest(str(value), allowed)
                problems.add(f"{field}: must be {' or '.join(allowed)}, got {value!r}.{hint}")
        for field in ("scale", "goalposts"):
            ends = getattr(self, field)
            if ends is None:
                continue
            if len(ends) != 2 or not all(math.isfinite(end) for end in ends) or ends[0] >= ends[1]:
                problems.add(f"{field}: needs two finite numbers, the lower first, got {ends}.")
        codes = _coded(self.missing_codes, self.missing_kinds, problems)
        problems.raise_any(SpecError)
        told = set(codes.values()) - {"other"}
        object.__setattr__(self, "label", self.label or self.name)
        object.__setattr__(self, "missing_codes", tuple(codes))
        object.__setattr__(self, "missing_kinds", tuple(codes.values()) if told else ())
        object.__setattr__(self, "made_from", tuple(self.made_from))

    @property
    def sign(self) -> float:
        """1.0 if more is better, otherwise -1.0."""
        return 1.0 if self.direction == "positive" else -1.0

    @property
    def kinds(self) -> dict[float | str, str]:
        """What each missing code stands for, one of `KINDS`."""
        kinds = self.missing_kinds or ("other",) * len(self.missing_codes)
        return dict(zip(self.missing_codes, kinds, strict=True))


@dataclass(frozen=True)
class Codebook:
    """The indicators of a study, in order.

    Parameters
    ----------
    indicators : tuple of Indicator
        With distinct names.

    Raises
    ------
    SpecError
        If there is none, or a name occurs twice.

    Examples
    --------
    >>> book = Codebook((Indicator("a", dimension="voice"), Indicator("b", dimension="voice")))
    >>> book.dimensions
    {'voice': ('a', 'b')}
    """

    indicators: tuple[Indicator, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "indicators", tuple(self.indicators))
        names = self.names
        problems = Problems("the codebook")
        if not names:
            problems.add("it has no indicator.")
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                problems.add(f"{name}: described {names.count(name)} times; keep one.")
        problems.raise_any(SpecError)

    def __iter__(self) -> Iterator[Indicator]:
        return iter(self.indicators)

    def __len__(self) -> int:
        return len(self.indicators)

    def __getitem__(self, name: str) -> Indicator:
        for indicator in self.indicators:
            if indicator.name == name:
                return indicator
        hint = nearest(name, self.names)
        raise SpecError(f"No indicator {name!r}.{hint} Known: {', '.join(self.names)}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the indicators, in order."""
        return tuple(indicator.name for indicator in self.indicators)

    @property
    def dimensions(self) -> dict[str, tuple[str, ...]]:
        """Names of the indicators of each dimension, in order of appearance."""
        found: dict[str, tuple[str, ...]] = {}
        for indicator in self.indicators:
            found[indicator.dimension] = (*found.get(indicator.dimension, ()), indicator.name)
        return found

    def select(self, names: tuple[str, ...]) -> Codebook:
        """Return the codebook of some indicators, in the order of `names`."""
        return Codebook(tuple(self[name] for name in names))

    def read(self, frame: pd.DataFrame, where: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Return the indicators as numbers, NaN where a missing code stands.

        Parameters
        ----------
        frame : DataFrame of shape (n_rows, …)
            Table with a column for each indicator.
        where : str
            What the table is called in messages.

        Returns
        -------
        values : DataFrame of shape (n_rows, n_indicators)
            float64, index of `frame`.
        notes : tuple of str
            How many values of each indicator were missing, by code.

        Raises
        ------
        DataError
            With every problem: a column that is absent or occurs twice, text among
            numbers, infinite values, values outside the scale, nothing but missing.
        """
        problems = Problems(where)
        self._check_columns(frame, where)
        notes: list[str] = []
        values: dict[str, pd.Series] = {}
        for indicator in self:
            column = frame[indicator.name]
            codes = tuple(indicator.missing_codes)
            found = {code: int(_matches(column, (code,)).sum()) for code in codes}
            told = ", ".join(f"{code} ({n})" for code, n in found.items() if n)
            if told:
                notes.append(f"{indicator.name}: missing codes set aside: {told}.")
            answered = column.mask(_matches(column, codes)).to_frame()
            try:
                read = to_numeric(answered, [indicator.name], where)[indicator.name]
            except DataError as error:
                problems.extend(error.problems)
                continue
            problems.extend(_problems(indicator, read.to_numpy()))
            values[indicator.name] = read
        problems.raise_any(DataError)
        return pd.DataFrame(values, index=frame.index), tuple(notes)

    def kinds(self, frame: pd.DataFrame, where: str = "the table") -> pd.DataFrame:
        """Return what each cell of the indicators holds: an answer, or why there is none.

        Parameters
        ----------
        frame : DataFrame of shape (n_rows, …)
            Table with a column for each indicator, with its missing codes.
        where : str, default "the table"
            What the table is called in messages.

        Returns
        -------
        DataFrame of shape (n_rows, n_indicators)
            Categories "answered", "don't know", "refused", "not asked", "other" (a code
            whose kind the codebook does not tell) and "blank" (an empty cell), in this
            order; index of `frame`.

        Raises
        ------
        DataError
            With every column that is absent or occurs twice.

        Notes
        -----
        A cell that is neither blank nor a missing code counts as answered; `read` checks
        that it is a valid answer.

        Examples
        --------
        >>> book = Codebook((Indicator("q", missing_codes={8: "don't know", 9: "refused"}),))
        >>> book.kinds(pd.DataFrame({"q": [1, 8, 9, None]}))["q"].tolist()
        ['answered', "don't know", 'refused', 'blank']
        """
        self._check_columns(frame, where)
        found: dict[str, pd.Categorical[str]] = {}
        for indicator in self:
            column = frame[indicator.name]
            cells = np.zeros(len(column), dtype=np.int8)
            blank = column.isna()
            if not pd.api.types.is_numeric_dtype(column):
                blank |= column.astype("str").str.strip() == ""
            cells[blank.to_numpy(bool)] = CELLS.index("blank")
            for kind in KINDS:
                codes = tuple(code for code, its in indicator.kinds.items() if its == kind)
                cells[_matches(column, codes).to_numpy(bool)] = CELLS.index(kind)
            names = pd.Index(list(CELLS))
            found[indicator.name] = pd.Categorical.from_codes(cells, categories=names)
        return pd.DataFrame(found, index=frame.index)

    def _check_columns(self, frame: pd.DataFrame, where: str) -> None:
        problems = Problems(where)
        columns = [str(name) for name in frame.columns]
        for name in self.names:
            if name not in columns:
                problems.add(f"{name}: there is no such column.{nearest(name, columns)}")
            elif columns.count(name) > 1:
                problems.add(f"{name}: {columns.count(name)} columns have this name; keep one.")
        problems.raise_any(DataError)


def plain_code(code: float | str) -> float | str:
    """Return a missing code as a number if it is one or reads as one, otherwise as text.

    Keys of a recipe are always text, and whole numbers may come as 9.0.

    Examples
    --------
    >>> plain_code("9"), plain_code(-99.0), plain_code(" refused ")
    (9, -99, 'refused')
    """
    if isinstance(code, str):
        text = code.strip()
        if not _NUMERAL.fullmatch(text):
            return text
        code = float(text)
    return int(code) if float(code).is_integer() else code


def _coded(
    codes: Iterable[float | str] | Mapping[float | str, str],
    kinds: tuple[str, ...],
    problems: Problems,
) -> dict[float | str, str]:
    """Return the kind of each code, and note what is wrong with them."""
    if isinstance(codes, str):
        problems.add(f"missing_codes: needs a tuple or a mapping, got the text {codes!r}.")
        return {}
    given = tuple(codes)
    if isinstance(codes, Mapping):
        kinds = tuple(codes.values())
    elif len(kinds) not in (0, len(given)):
        problems.add(
            f"missing_kinds: {len(kinds)} kinds for {len(given)} missing codes; give one for "
            "each, or a mapping of codes to kinds as missing_codes."
        )
        return {}
    found: dict[float | str, str] = {}
    for code, kind in zip(given, kinds or ("other",) * len(given), strict=True):
        plain = plain_code(code)
        if kind not in KINDS:
            problems.add(
                f"missing_codes: the kind of {plain} must be one of {', '.join(KINDS)}, got "
                f"{kind!r}.{nearest(str(kind), KINDS)}"
            )
        elif found.setdefault(plain, kind) != kind:
            problems.add(f"missing_codes: {plain} is both {found[plain]!r} and {kind!r}; keep one.")
    return found


def _matches(column: pd.Series, codes: tuple[float | str, ...]) -> pd.Series:
    """Return where a column holds one of the missing codes, as a number or as text."""
    if not codes:
        return pd.Series(data=False, index=column.index)
    found = column.isin(list(codes))
    if not pd.api.types.is_numeric_dtype(column):
        texts = column.astype("str").str.strip()
        found |= texts.isin({str(code) for code in codes})
        numbers = [code for code in codes if not isinstance(code, str)]
        if numbers:
            # A text cell may write the code 9 as "9.0" or "09".
            found |= pd.to_numeric(texts, errors="coerce").isin(numbers)
    return found


def _problems(indicator: Indicator, values: np.ndarray) -> list[str]:
    """Return what is wrong with the numbers of one indicator."""
    present = ~np.isnan(values)
    if not present.any():
        return [f"{indicator.name}: all {len(values)} values are missing."]
    if indicator.scale is None:
        return []
    low, high = indicator.scale
    outside = present & ((values < low) | (values > high))
    if not outside.any():
        return []
    odd = listing([f"{value:g}" for value in np.unique(values[outside])])
    rows = listing(np.flatnonzero(outside) + 1, most=3)
    return [
        f"{indicator.name}: {outside.sum()} of {present.sum()} values lie outside "
        f"{low:g}..{high:g} ({odd}; rows {rows}). List missing codes in the codebook "
        "(missing_codes), or correct the data or the scale."
    ]
