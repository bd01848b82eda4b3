"""The formula language: parsed, never evaluated.

``outcome ~ term + term | effect + effect`` names columns of a table, a short list of
functions of them, and after the bar the fixed effects to absorb. A formula is data: it
can come from a stranger's file, so nothing in it is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research.errors import DataError, Problems, SpecError, listing, nearest

__all__ = ["Design", "Factor", "Formula", "Term", "design", "parse_formula", "term_of"]

Floats = npt.NDArray[np.float64]

NUMERIC = ("log", "sqrt", "square", "standardise")
FUNCTIONS = (*NUMERIC, "C")
MOST_FACTORS = 4  # a*b*c*d is 15 terms; more is a slip, or an attempt to fill memory

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<name>[^\W\d]\w*)|`(?P<quoted>[^`]+)`|(?P<number>\d[\w.]*)"
    r"|(?P<string>'[^']*'|\"[^\"]*\")|(?P<mark>[~+:*|^()])|(?P<other>.)",
    re.DOTALL,
)
_INTERCEPT = "the intercept is always in the model (effects absorb it) and cannot be taken out"
_HINTS = {
    "-": f"nothing can be taken away; {_INTERCEPT}",
    ".": "a column name with a dot stands in backquotes, `like.this`",
    "/": "a ratio is a column: compute it first and say what it is made from",
    "`": "a backquote is not closed",
    "=": "the outcome is divided from its terms by ~",
    ",": "functions take one column, and terms are joined by +",
}


@dataclass(frozen=True)
class Factor:
    """A column, or functions of it: the smallest part of a term.

    Attributes
    ----------
    column : str
        Name of the column.
    functions : tuple of str
        Functions around it, the outermost first.
    """

    column: str
    functions: tuple[str, ...] = ()

    @property
    def categorical(self) -> bool:
        """Whether the factor stands for indicator columns, one a level."""
        return self.functions == ("C",)

    def __str__(self) -> str:
        opening = "".join(f"{name}(" for name in self.functions)
        return opening + _quote(self.column) + ")" * len(self.functions)


@dataclass(frozen=True)
class Term:
    """A product of factors; one factor is the common case."""

    factors: tuple[Factor, ...]

    def __str__(self) -> str:
        return ":".join(str(factor) for factor in self.factors)


@dataclass(frozen=True)
class Formula:
    """A formula that has been read.

    Attributes
    ----------
    text : str
        As it was written.
    outcome : Factor
        Left of the ``~``.
    terms : tuple of Term
        Between ``~`` and ``|``, products such as ``a*b`` written out.
    absorb : tuple of str
        Names of the absorbed effects, such as ``"oblast"`` or ``"oblast^year"``.
    absorb_columns : tuple of tuple of str
        The columns that make up each absorbed effect.
    """

    text: str
    outcome: Factor
    terms: tuple[Term, ...]
    absorb: tuple[str, ...] = ()
    absorb_columns: tuple[tuple[str, ...], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the formula names, in the order of first use."""
        named = [factor.column for term in self.terms for factor in term.factors]
        return tuple(dict.fromkeys([self.outcome.column, *named, *chain(*self.absorb_columns)]))


@dataclass(frozen=True, eq=False)
class Design:
    """Numbers made from a table by a formula, after rows with missing values were set aside.

    Attributes
    ----------
    outcome : str
        Name of the outcome.
    y : ndarray of shape (n,)
        The outcome.
    X : ndarray of shape (n, k)
        The regressors; a column of ones comes first if no effect is absorbed.
    names : tuple of str, length k
        Names of the columns of `X`; ``"intercept"`` is the column of ones.
    absorb : tuple of ndarray of shape (n,)
        For each absorbed effect the level of each row, as numbers from 0.
    absorb_names : tuple of str
        Names of the effects.
    codes : mapping of str to ndarray of shape (n,)
        Levels of the further columns asked for, as numbers from 0.
    levels : mapping of str to tuple of str
        What those numbers stand for, by effect or column.
    used : ndarray of bool, shape (rows of the table,)
        Rows that are in the design.
    dropped : mapping of str to int
        How many rows of the table lack a value, by column; a row may lack several.
    """

    outcome: str
    y: Floats
    X: Floats
    names: tuple[str, ...]
    absorb: tuple[npt.NDArray[np.intp], ...]
    absorb_names: tuple[str, ...]
    codes: Mapping[str, npt.NDArray[np.intp]]
    levels: Mapping[str, tuple[str, ...]]
    used: npt.NDArray[np.bool_]
    dropped: Mapping[str, int]

    @property
    def n_used(self) -> int:
        """Number of rows in the design."""
        return len(self.y)

    @property
    def n_dropped(self) -> int:
        """Number of rows of the table that lack a value."""
        return len(self.used) - len(self.y)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


class _Fault(Exception):
    """A problem at a place of the text; caught by the parser, never seen by a user."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at, self.message = at, message


def _quote(name: str) -> str:
    return name if re.fullmatch(r"[^\W\d]\w*", name) else f"`{name}`"


def _show(text: str, at: int, message: str) -> str:
    line = re.sub(r"\s", " ", text)
    return f"character {at + 1}: {message}\n    {line}\n    {' ' * at}^"


def _tokens(text: str) -> tuple[list[_Token], list[_Fault]]:
    """Split the text into tokens, and collect what can be no part of a formula."""
    tokens, faults = [], []
    for match in _TOKEN.finditer(text):
        kind, at = str(match.lastgroup), match.start()
        found = match.group(kind)
        if kind == "number":
            faults.append(_Fault(at, f"numbers are no part of a formula; {_INTERCEPT}."))
        elif kind == "string":
            faults.append(_Fault(at, "quoted text is no part of a formula; columns are bare."))
        elif kind == "other":
            hint = f"; {_HINTS[found]}" if found in _HINTS else ""
            faults.append(_Fault(at, f"{found!r} is no part of a formula{hint}."))
        elif kind != "space":
            tokens.append(_Token("name" if kind == "quoted" else kind, found, at))
    return tokens, faults


def _split(tokens: Sequence[_Token], end: int) -> Iterator[_Reader]:
    """Yield a reader for each run of tokens between plus signs outside parentheses."""
    depth, piece = 0, list[_Token]()
    for token in tokens:
        if token.kind == "mark":
            depth += (token.text == "(") - (token.text == ")")
            if token.text == "+" and depth == 0:
                yield _Reader(piece, token.at)
                piece = []
                continue
        piece.append(token)
    yield _Reader(piece, end)


class _Reader:
    """Reads one term from its tokens, from left to right."""

    def __init__(self, tokens: Sequence[_Token], end: int) -> None:
        self.tokens, self.end, self.next = tokens, end, 0

    @property
    def at(self) -> int:
        return self.tokens[self.next].at if self.next < len(self.tokens) else self.end

    def taken(self, mark: str) -> bool:
        """Step over a mark if it comes next."""
        found = self.next < len(self.tokens) and (
            (self.tokens[self.next].kind, self.tokens[self.next].text) == ("mark", mark)
        )
        self.next += found
        return found

    def name(self, what: str) -> _Token:
        if self.next >= len(self.tokens) or self.tokens[self.next].kind != "name":
            raise _Fault(self.at, f"{what} is expected here.")
        self.next += 1
        return self.tokens[self.next - 1]

    def finish(self) -> None:
        if self.next < len(self.tokens):
            token = self.tokens[self.next]
            if token.text == "^":
                raise _Fault(
                    token.at,
                    "^ combines absorbed effects, after |; write square(x) for a power, "
                    "a:b for an interaction.",
                )
            raise _Fault(token.at, f"{token.text!r} is not expected here; join terms by +.")

    def factor(self) -> Factor:
        functions: list[str] = []
        word = self.name("a column or function")
        start = word.at
        while self.taken("("):
            if word.text not in FUNCTIONS:
                raise _Fault(
                    word.at,
                    f"unknown function {word.text!r}.{nearest(word.text, FUNCTIONS)} "
                    f"Functions: {', '.join(FUNCTIONS)}.",
                )
            functions.append(word.text)
            word = self.name("a column")
        for name in reversed(functions):
            if not self.taken(")"):
                raise _Fault(self.at, f"{name}( takes one column and is closed by ).")
        if "C" in functions and len(functions) > 1:
            raise _Fault(start, "C() stands alone: categories have no logarithm or other function.")
        return Factor(word.text, tuple(functions))

    def product(self) -> list[Term]:
        """Read ``a``, ``a:b`` or ``a*b``; a star stands for the parts and their product."""
        start = self.at
        parts = [self.interaction()]
        while self.taken("*"):
            parts.append(self.interaction())
        if sum(len(part) for part in parts) > MOST_FACTORS:
            raise _Fault(start, f"at most {MOST_FACTORS} factors can be multiplied.")
        subsets = chain.from_iterable(combinations(parts, r) for r in range(1, len(parts) + 1))
        terms = [Term(tuple(chain(*subset))) for subset in subsets]
        for factor in terms[-1].factors:
            if terms[-1].factors.count(factor) > 1:
                raise _Fault(start, f"{factor} is multiplied by itself; write square({factor}).")
        return terms

    def interaction(self) -> tuple[Factor, ...]:
        factors = [self.factor()]
        while self.taken(":"):
            factors.append(self.factor())
        return tuple(factors)

    def effect(self) -> tuple[str, ...]:
        """Read ``a`` or ``a^b``."""
        columns = [self.name("a column").text]
        while self.taken("^"):
            columns.append(self.name("a column").text)
        if self.next < len(self.tokens):
            token = self.tokens[self.next]
            hint = "combine effects by ^" if token.text in ":*" else "join effects by +"
            raise _Fault(
                token.at, f"{token.text!r} is not expected here: after | stand columns; {hint}."
            )
        return tuple(columns)


def _terms(tokens: Sequence[_Token], end: int, faults: list[_Fault]) -> list[Term]:
    """Read the terms, in the order written, each once."""
    found: dict[frozenset[Factor], Term] = {}
    for reader in _split(tokens, end):
        at = reader.at
        try:
            terms = reader.product()
            reader.finish()
        except _Fault as fault:
            faults.append(fault)
            continue
        whole = frozenset(terms[-1].factors)
        if whole in found:
            faults.append(_Fault(at, f"{terms[-1]} stands in the formula twice."))
        for term in terms:
            found.setdefault(frozenset(term.factors), term)
    return list(found.values())


def _margins(terms: Sequence[Term], absorb: set[str]) -> Iterator[tuple[Term, str]]:
    """Yield interactions of categories whose margins are absent.

    Categories enter without their first level. If the rest of the product is not a term of
    its own, its slope in that level would silently be held at zero.
    """
    known = {frozenset(term.factors) for term in terms}
    for term in terms:
        for factor in term.factors:
            rest = frozenset(term.factors) - {factor}
            if not factor.categorical or not rest or rest in known:
                continue
            (other, *more) = rest
            if not more and other.categorical and other.column in absorb:
                continue
            yield term, ":".join(str(part) for part in term.factors if part != factor)


def parse_formula(text: str) -> Formula:
    """Read a formula.

    Parameters
    ----------
    text : str
        ``outcome ~ term + term | effect + effect``. A term is a column; ``log(x)``,
        ``sqrt(x)``, ``square(x)`` or ``standardise(x)``, which may be nested; ``C(x)`` for
        categories; or a product ``a:b``, or ``a*b`` for ``a + b + a:b``. An effect is a
        column, or ``a^b`` for each combination. Names other than letters, digits and
        underscores stand in backquotes. The intercept is always in the model.

    Returns
    -------
    Formula

    Raises
    ------
    SpecError
        With every problem and its place in the text.

    Examples
    --------
    >>> formula = parse_formula("score ~ share * log(population) | oblast^year")
    >>> [str(term) for term in formula.terms]
    ['share', 'log(population)', 'share:log(population)']
    >>> formula.absorb, formula.columns
    (('oblast^year',), ('score', 'share', 'population', 'oblast', 'year'))
    >>> parse_formula("score ~ lgo(population)")
    Traceback (most recent call last):
    lgpi_research.errors.SpecError: 1 problem in the formula
    - character 9: unknown function 'lgo'. Did you mean 'log'? Functions: log, sqrt, ...
        score ~ lgo(population)
                ^
    """
    if not isinstance(text, str):
        raise SpecError(f"A formula is text, got {type(text).__name__}.")
    tokens, faults = _tokens(text)
    if not faults:
        formula = _read(text, tokens, faults)
    if faults:
        problems = Problems("the formula")
        ordered = sorted(faults, key=lambda fault: fault.at)
        problems.extend(_show(text, fault.at, fault.message) for fault in ordered)
        problems.raise_any(SpecError)
    return formula


def _read(text: str, tokens: list[_Token], faults: list[_Fault]) -> Formula:
    """Read outcome, terms and effects; what is wrong goes to `faults`."""
    nothing = Formula(text, Factor(""), ())
    tildes = [token.at for token in tokens if token.text == "~" and token.kind == "mark"]
    bars = [token.at for token in tokens if token.text == "|" and token.kind == "mark"]
    if len(tildes) != 1:
        shape = "a formula has one ~, as in: outcome ~ term + term | effect + effect."
        faults.append(_Fault(tildes[1] if tildes else len(text), shape))
        return nothing
    if len(bars) > 1 or (bars and bars[0] < tildes[0]):
        wrong = bars[1] if len(bars) > 1 else bars[0]
        faults.append(_Fault(wrong, "one | at most, after the terms, begins the effects."))
        return nothing
    middle, bar = tildes[0], bars[0] if bars else len(text)
    left = [token for token in tokens if token.at < middle]
    right = [token for token in tokens if middle < token.at < bar]
    effects = [token for token in tokens if token.at > bar]

    outcome = _outcome(left, middle, faults)
    terms = _terms(right, bar, faults)
    absorb = _effects(effects, len(text), faults) if bars else []
    at = right[0].at if right else middle
    for term in terms:
        if outcome in term.factors:
            faults.append(_Fault(at, f"the outcome {outcome} cannot explain itself."))
    single = {effect[0] for effect in absorb if len(effect) == 1}
    for term, rest in _margins(terms, single):
        message = f"{term} needs {rest} as a term of its own; write a*b instead of a:b."
        faults.append(_Fault(at, message))
    names = tuple("^".join(_quote(name) for name in effect) for effect in absorb)
    return Formula(text, outcome, tuple(terms), names, tuple(absorb))


def _outcome(tokens: list[_Token], end: int, faults: list[_Fault]) -> Factor:
    reader = _Reader(tokens, end)
    try:
        outcome = reader.factor()
        if reader.next < len(tokens):
            raise _Fault(reader.at, "the outcome is one column, or a function of one.")
        if outcome.categorical:
            raise _Fault(tokens[0].at, "the outcome is a number, not categories.")
    except _Fault as fault:
        faults.append(fault)
        return Factor("")
    return outcome


def _effects(tokens: Sequence[_Token], end: int, faults: list[_Fault]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for reader in _split(tokens, end):
        at = reader.at
        try:
            effect = reader.effect()
        except _Fault as fault:
            faults.append(fault)
            continue
        if any(set(effect) == set(other) for other in found):
            faults.append(_Fault(at, f"{'^'.join(effect)} is absorbed twice."))
        found.append(effect)
    return found


def _standardise(x: Floats) -> Floats:
    # Numbers that differ by rounding alone do not vary.
    spread = float(x.std(ddof=1)) if len(x) > 1 else 0.0
    if spread <= 1e-12 * float(np.abs(x).max(initial=0.0)):
        raise DataError("does not vary, so it cannot be standardised")
    scaled: Floats = (x - x.mean()) / spread
    return scaled


_DOMAIN: Mapping[str, tuple[Callable[[Floats], Floats], str, Callable[[Floats], npt.ArrayLike]]]
_DOMAIN = {
    "log": (np.log, "zero or below", lambda x: x <= 0),
    "sqrt": (np.sqrt, "below zero", lambda x: x < 0),
    "square": (np.square, "", np.zeros_like),
    "standardise": (_standardise, "", np.zeros_like),
}


def _rows(mask: npt.NDArray[np.bool_]) -> str:
    """Describe the rows of the table, counted from 1, where `mask` holds."""
    rows = np.flatnonzero(mask) + 1
    return f"{len(rows)} of {len(mask)} rows (first rows {listing(rows, 3)})"


def _level(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _levels(values: pd.Series) -> tuple[npt.NDArray[np.intp], tuple[str, ...]]:
    """Return the level of each complete value, as numbers from 0, and the sorted levels."""
    if values.dtype == object:
        values = values.astype(str)
    codes, found = pd.factorize(values, sort=True)
    return codes.astype(np.intp), tuple(_level(level) for level in found.tolist())


def _as_numbers(values: pd.Series) -> Floats:
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def _type_problem(factor: Factor, values: pd.Series) -> str | None:
    """Say why a column cannot be used as a number."""
    kind = values.dtype
    if pd.api.types.is_bool_dtype(kind) or (
        pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_complex_dtype(kind)
    ):
        return None
    if pd.api.types.is_datetime64_any_dtype(kind) or pd.api.types.is_timedelta64_dtype(kind):
        return f"{factor.column}: holds dates; make a column of numbers, such as the year."
    shown = listing((repr(value) for value in values.dropna().unique()), 3)
    name = _quote(factor.column)
    return (
        f"{factor.column}: holds text ({shown}). Write C({name}) for categories, "
        "or turn the column into numbers."
    )


def _evaluate(factor: Factor, frame: pd.DataFrame, used: npt.NDArray[np.bool_]) -> Floats:
    """Return a numeric factor on the used rows; DataError says what is outside its domain."""
    values = _as_numbers(frame[factor.column])[used]
    for depth in range(len(factor.functions) - 1, -1, -1):
        function, outside, test = _DOMAIN[factor.functions[depth]]
        wrong = np.zeros(len(used), dtype=bool)
        wrong[used] = test(values)
        if wrong.any():
            inner = Factor(factor.column, factor.functions[depth + 1 :])
            raise DataError(
                f"{factor}: {inner} is {outside} in {_rows(wrong)}. "
                "Leave these rows out or transform the column in another way."
            )
        try:
            with np.errstate(over="ignore"):  # what overflows is reported by design()
                values = function(values)
        except DataError as error:
            raise DataError(f"{factor}: {factor.column} {error}.") from None
    return values


def _check_columns(formula: Formula, frame: pd.DataFrame, also: Sequence[str]) -> None:
    columns = [str(name) for name in frame.columns]
    problems = Problems("the formula")
    for name in dict.fromkeys([*formula.columns, *also]):
        if name not in columns:
            hint = nearest(name, columns)
            problems.add(f"{name}: there is no such column.{hint} Columns: {listing(columns, 12)}.")
        elif columns.count(name) > 1:
            problems.add(f"{name}: {columns.count(name)} columns have this name; keep one.")
    problems.raise_any(SpecError)


def _check_values(formula: Formula, frame: pd.DataFrame) -> None:
    problems = Problems("the table")
    factors = [formula.outcome, *chain(*(term.factors for term in formula.terms))]
    for factor in {f.column: f for f in factors if not f.categorical}.values():
        trouble = _type_problem(factor, frame[factor.column])
        if trouble:
            problems.add(trouble)
            continue
        infinite = np.isinf(_as_numbers(frame[factor.column]))
        if infinite.any():
            problems.add(f"{factor.column}: infinite in {_rows(infinite)}; correct or blank them.")
    problems.raise_any(DataError)


def design(formula: Formula | str, frame: pd.DataFrame, also: Sequence[str] = ()) -> Design:
    """Make the numbers of a regression from a table.

    Rows that lack a value in any column that the formula names, or in a column of `also`,
    are set aside and counted. Functions see only the rows that remain, so that
    ``standardise(x)`` has mean 0 and standard deviation 1 (divisor n − 1) among them.

    Parameters
    ----------
    formula : Formula or str
        What to make.
    frame : DataFrame of shape (rows, …)
        The table.
    also : sequence of str
        Further columns that a row must have, such as the cluster; their levels are in
        ``codes``.

    Returns
    -------
    Design
        ``C(x)`` becomes one column a level but the first, in sorted order, named
        ``C(x)[level]``.

    Raises
    ------
    SpecError
        If the formula is wrong or names a column that the table does not have.
    DataError
        If a column holds text or infinite values, a logarithm or root has no value, a
        category has one level, or no row is complete.

    Examples
    --------
    >>> table = pd.DataFrame({"score": [1.0, 2.0, 4.0], "tax": [1.0, None, 3.0],
    ...                       "kind": ["city", "city", "village"]})
    >>> made = design("score ~ tax + C(kind)", table)
    >>> made.names, made.n_used, dict(made.dropped)
    (('intercept', 'tax', 'C(kind)[village]'), 2, {'tax': 1})
    """
    formula = parse_formula(formula) if isinstance(formula, str) else formula
    _check_columns(formula, frame, also)
    _check_values(formula, frame)
    columns = tuple(dict.fromkeys([*formula.columns, *also]))
    missing = {name: frame[name].isna().to_numpy() for name in columns}
    used = ~np.logical_or.reduce(list(missing.values()))
    dropped = {name: int(gone.sum()) for name, gone in missing.items() if gone.any()}
    if not used.any():
        counts = ", ".join(f"{name} {count}" for name, count in dropped.items()) or "no row at all"
        raise DataError(
            f"No row of {len(used)} has every value that {formula.text!r} needs "
            f"(missing: {counts})."
        )

    complete = frame.loc[used]
    absorb, levels = [], dict[str, tuple[str, ...]]()
    for name, parts in zip(formula.absorb, formula.absorb_columns, strict=True):
        codes, levels[name] = _combined(complete, parts)
        absorb.append(codes)
    keys = {}
    for name in also:
        keys[name], levels[name] = _levels(complete[name])

    problems = Problems("the table")
    y, blocks, names = np.empty(0), list[Floats](), list[str]()
    try:
        y = _evaluate(formula.outcome, frame, used)
    except DataError as error:
        problems.add(str(error))
    cache: dict[Factor, tuple[list[str], Floats]] = {}
    for factor in dict.fromkeys(chain(*(term.factors for term in formula.terms))):
        try:
            cache[factor] = _columns(factor, frame, used)
        except DataError as error:
            problems.add(str(error))
    problems.raise_any(DataError)
    if not formula.absorb:
        blocks.append(np.ones((len(y), 1)))
        names.append("intercept")
    for term in formula.terms:
        made = [cache[factor] for factor in term.factors]
        for choice in product(*(range(len(labels)) for labels, _ in made)):
            picked = [values[:, j] for (_, values), j in zip(made, choice, strict=True)]
            with np.errstate(over="ignore"):
                blocks.append(np.multiply.reduce(picked)[:, None])
            names.append(":".join(m[0][j] for m, j in zip(made, choice, strict=True)))
    X = np.hstack(blocks)
    huge = [name for name, column in zip(names, X.T, strict=True) if not np.isfinite(column).all()]
    if huge or not np.isfinite(y).all():
        raise DataError(
            f"{listing(huge or [formula.outcome])}: numbers too large to compute with; "
            "express the columns in a larger unit."
        )
    return Design(
        str(formula.outcome),
        y,
        X,
        tuple(names),
        tuple(absorb),
        formula.absorb,
        MappingProxyType(keys),
        MappingProxyType(levels),
        used,
        MappingProxyType(dropped),
    )


def _combined(
    frame: pd.DataFrame, columns: tuple[str, ...]
) -> tuple[npt.NDArray[np.intp], tuple[str, ...]]:
    """Return the combination of columns that each row has, as numbers from 0, and their names."""
    codes, labels = _levels(frame[columns[0]])
    for name in columns[1:]:
        more, names = _levels(frame[name])
        found, codes = np.unique(codes * len(names) + more, return_inverse=True)
        labels = tuple(f"{labels[i // len(names)]}^{names[i % len(names)]}" for i in found)
    return codes.astype(np.intp), labels


def _columns(
    factor: Factor, frame: pd.DataFrame, used: npt.NDArray[np.bool_]
) -> tuple[list[str], Floats]:
    """Return the columns of a factor on the used rows: one, or one a level but the first."""
    if not factor.categorical:
        return [str(factor)], _evaluate(factor, frame, used)[:, None]
    codes, labels = _levels(frame.loc[used, factor.column])
    if len(labels) < 2:
        raise DataError(f"{factor}: all rows used are {labels[0]!r}; a category needs two levels.")
    dummies = (codes[:, None] == np.arange(1, len(labels))).astype(np.float64)
    return [f"{factor}[{label}]" for label in labels[1:]], dummies


def term_of(formula: Formula, name: str) -> Term:
    """Return the term of a formula by its name."""
    return next(term for term in formula.terms if str(term) == name)
