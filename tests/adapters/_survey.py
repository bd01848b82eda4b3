"""What the survey capabilities share: reading a design, formulas with dots, a model's table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research.formula import design as design_table
from lgpi_research.methods.design import Design
from lgpi_research.methods.estimates import SurveyEstimate, means, totals
from lgpi_research.methods.survey_regression import SurveyFit, weighted_regression

Floats = npt.NDArray[np.float64]

_WORD = re.compile(r"`[^`]+`|'[^']*'|\"[^\"]*\"|[^\W\d][\w.]*|\d[\w.]*|.", re.DOTALL)
_FUNCTIONS = {"C", "log", "sqrt", "square", "standardise", "standardize"}


def read_design(told: Mapping[str, Any], table: pd.DataFrame) -> Design:
    """Return the design that ``inputs.design`` describes for the rows of a table."""
    stages = told.get("stages") or []
    strata = told.get("strata")
    weights = told.get("weights")
    return Design.from_labels(
        len(table),
        weights=None if weights is None else table[weights].to_numpy(float),
        strata=None if strata is None else _labels(table, strata),
        stages=[None if s.get("unit") is None else _labels(table, s["unit"]) for s in stages],
        populations=[
            None if s.get("population") is None else table[s["population"]].to_numpy(float)
            for s in stages
        ],
        nested=bool(told.get("nested", False)),
        lonely=told.get("lonely", "fail"),
    )


def _labels(table: pd.DataFrame, names: str | Sequence[str]) -> npt.NDArray[Any]:
    """Return the labels of a column, or of the combinations of several."""
    if isinstance(names, str):
        return table[names].to_numpy()
    joined = table[list(names)].astype(str).agg("\x1f".join, axis=1)
    return joined.to_numpy()


def as_list(names: str | Sequence[str] | None) -> list[str]:
    """Return one name or several as a list."""
    if names is None:
        return []
    return [names] if isinstance(names, str) else list(names)


def rows_of(table: pd.DataFrame, query: str | None) -> npt.NDArray[np.bool_]:
    """Return which rows a query keeps; columns may have dots in their names."""
    if query is None:
        return np.ones(len(table), dtype=bool)
    kept = table.query(backquoted(query, table), engine="python").index
    return np.asarray(table.index.isin(kept))


def complete(
    table: pd.DataFrame, names: Sequence[str], domain: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.bool_]:
    """Return the rows that have a value of every column, within a domain."""
    full = table[list(names)].notna().all(axis=1).to_numpy()
    return full if domain is None else full & domain


def numbers(table: pd.DataFrame, names: Sequence[str]) -> Floats:
    """Return columns as numbers; truth values count 0 and 1."""
    return table[list(names)].astype(float).to_numpy()


def statistic(
    kind: str,
    names: str | Sequence[str],
    table: pd.DataFrame,
    design: Design,
    domain: npt.NDArray[np.bool_] | None = None,
) -> tuple[list[str], SurveyEstimate]:
    """Return the means or totals of variables over the rows that have all of them.

    A column of text stands for the indicators of its values, as in the reference.
    """
    columns = as_list(names)
    kept = complete(table, columns, domain)
    labels, parts = list[str](), list[Floats]()
    for name in columns:
        if pd.api.types.is_numeric_dtype(table[name]):
            labels.append(name)
            parts.append(numbers(table, [name]))
            continue
        levels = table[name].dropna()
        for level in pd.Categorical(levels).categories:  # of a factor in its own order
            labels.append(f"{name}{level}")
            parts.append((table[name] == level).to_numpy(float)[:, None])
    values = np.where(kept[:, None], np.hstack(parts), np.nan)
    estimate = (means if kind == "mean" else totals)(values, design, domain=kept)
    return labels, estimate


def leaf(labels: Sequence[str], found: SurveyEstimate) -> dict[str, Any]:
    """Return an estimate as the references write it."""
    return {
        "est": dict(zip(labels, found.estimate, strict=True)),
        "se": dict(zip(labels, found.std_error, strict=True)),
        "vcov": matrix(found.cov),
        "deff": found.deff,
    }


def matrix(values: Floats) -> dict[str, Any]:
    """Return a covariance matrix as the references write it."""
    count = range(1, len(values) + 1)
    return {
        "rows": [str(i) for i in count],
        "cols": [f"V{i}" for i in count],
        "values": values,
    }


def backquoted(text: str, table: pd.DataFrame) -> str:
    """Put column names that are no identifiers into backquotes."""
    columns = {str(name) for name in table.columns}
    return "".join(
        f"`{word}`" if word in columns and not word.isidentifier() else word
        for word in _WORD.findall(text)
    )


def formula_of(text: str, table: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """Turn one side of a formula in Wilkinson notation into the package's own.

    Names with dots go into backquotes, columns of text into ``C()``, and ``I()`` of
    arithmetic becomes a column of that name.
    """
    table = table.copy()
    terms = []
    for part in re.split(r"\+(?![^(]*\))", text.strip().removeprefix("~")):
        term = part.strip()
        if term in ("", "1"):
            continue
        for inner in re.findall(r"I\(((?:[^()]|\([^()]*\))*)\)", term):
            expression = backquoted(inner, table)
            table[f"I({inner})"] = table.eval(expression, engine="python").astype(float)
            term = term.replace(f"I({inner})", f"`I({inner})`")
        words = _WORD.findall(term)
        out = []
        for i, word in enumerate(words):
            rest = "".join(words[i + 1 :]).lstrip()
            if word.strip("`") not in table.columns or (word in _FUNCTIONS and rest[:1] == "("):
                out.append(word)
                continue
            name = word if word.startswith("`") or word.isidentifier() else f"`{word}`"
            inside = i > 1 and words[i - 1] == "("
            is_text = not pd.api.types.is_numeric_dtype(table[word.strip("`")])
            out.append(f"C({name})" if is_text and not inside else name)
        terms.append("".join(out))
    return " + ".join(terms), table


def name_of(term: str) -> str:
    """Return the name in Wilkinson notation of a coefficient, without its ``C()`` and ``T.``."""
    if term in ("Intercept", "intercept", "(Intercept)"):
        return "(Intercept)"
    return ":".join(
        re.sub(r"^C\((.*)\)(?=\[|$)", r"\1", part.replace("`", "")).replace("[T.", "[")
        for part in _split_product(term)
    )


def _split_product(term: str) -> list[str]:
    """Split an interaction at its colons, but not within brackets."""
    return re.split(r":(?![^\[(]*[\])])", term)


def regression(
    told: Mapping[str, Any] | str,
    table: pd.DataFrame,
    design: Design,
    *,
    family: str,
    categorical: Mapping[str, Sequence[str]] | None = None,
    domain: npt.NDArray[np.bool_] | None = None,
) -> SurveyFit:
    """Fit a regression of a case; names of coefficients are those of `name_of`."""
    table = table.copy()
    for column, levels in (categorical or {}).items():
        given = table[column]
        text = given.map(_text, na_action="ignore")
        # Codes keep the order that the case names; a letter before them makes them text.
        codes = text.map({str(level): f"{i:04d}\x1f{level}" for i, level in enumerate(levels)})
        table[column] = codes.where(given.notna())
    text = told if isinstance(told, str) else told["formula"]
    left, _, right = text.partition("~")
    outcome = None if isinstance(told, str) else told.get("outcome")
    if isinstance(outcome, Mapping):
        source = table[outcome["variable"]]
        matches = (source.map(_text, na_action="ignore") == _text(outcome["value"])).astype(float)
        table["outcome of the case"] = matches.where(source.notna())
        left = "`outcome of the case`"
    else:
        left = outcome or left.strip()
        if left.startswith("I("):
            table["outcome of the case"] = table.eval(
                backquoted(left[2:-1], table), engine="python"
            ).astype(float)
            left = "`outcome of the case`"
        elif not left.startswith("`") and not re.fullmatch(r"[^\W\d]\w*(\(.*\))?", left):
            left = f"`{left}`"
    rhs, table = formula_of(right, table)
    if rhs:
        made = design_table(f"{left} ~ {rhs}", table)
        used, y_used, x_used, given_names = made.used, made.y, made.X, made.names
    else:
        y = table[left.strip("`")].astype(float).to_numpy()
        used = ~np.isnan(y)
        y_used, x_used, given_names = y[used], np.ones((int(used.sum()), 1)), ("intercept",)
    y, x = np.full(len(table), np.nan), np.full((len(table), x_used.shape[1]), np.nan)
    y[used], x[used] = y_used, x_used
    names = [name_of(re.sub(r"\d{4}\x1f", "", name)) for name in given_names]
    return weighted_regression(y, x, design, family=family, names=names, domain=domain)


def _text(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)


def coefficients(fit: SurveyFit, terms: Mapping[str, str] | None) -> dict[str, Any]:
    """Return a fit as the references write it, in the order of the reference's terms."""
    wanted = _wanted(fit, terms)
    at = [fit.names.index(name) for name in wanted.values()]
    columns = {"coef": fit.coef, "se": fit.std_error, "t": fit.t, "p": fit.p_value}
    table: dict[str, Any] = {
        key: dict(zip(wanted, values[at], strict=True)) for key, values in columns.items()
    }
    return table | {"df_resid": fit.df_resid, "vcov": matrix(fit.cov[np.ix_(at, at)])}


def _wanted(fit: SurveyFit, terms: Mapping[str, str] | None) -> dict[str, str]:
    """Return the reference's name of each coefficient of this fit, and ours.

    The reference puts products behind what they are made of.
    """
    shown = {name_of(ours): name for name, ours in (terms or {}).items()}
    ordered = sorted(fit.names, key=lambda name: len(_split_product(name)))
    # R writes a level behind the name: stypeH for stype[H].
    return {shown.get(name, re.sub(r"\[([^\]]*\]?)\]", r"\1", name)): name for name in ordered}


def wald(fit: SurveyFit, which: Sequence[str], terms: Mapping[str, str] | None) -> dict[str, Any]:
    """Return the joint test of coefficients, or of all coefficients of a term, as written."""
    shown = _wanted(fit, terms)
    names: list[str] = []
    for name in which:
        own = shown.get(name, name_of(name))
        same = [n for n in fit.names if n == own]
        names += same or [n for n in fit.names if re.sub(r"\[[^:]*\]", "", n) == own]
    test = fit.wald(names)
    return {
        "F": test.statistic, "df": test.df_num, "ddf": test.df_denom, "p": test.p_value,
    }  # fmt: skip
