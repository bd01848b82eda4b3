"""The only writer of text, HTML, LaTeX and CSV tables.

Numbers are rounded here, when they are shown, and nowhere else; CSV is never rounded.
"""

from __future__ import annotations

import html
import math
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["cell", "to_csv", "to_html", "to_latex", "to_text"]

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "–": "--",
}


TIMES = ("year", "period", "first_period", "last_period")
"""Columns whose whole numbers are points in time."""


def cell(value: Any, column: str = "", digits: int = 3) -> str:
    """Return one value as a reader sees it.

    Whole numbers and ranks stay whole, years have no thousands mark, degrees of freedom
    have one digit, p-values below the last shown digit become ``<0.001``, very large and
    very small numbers keep `digits` significant digits, and a missing value is a dash.

    Examples
    --------
    >>> cell(0.12345), cell(3), cell(float("nan")), cell(1e-9, "p_value"), cell(28499.97)
    ('0.123', '3', '–', '<0.001', '28,500')
    >>> cell(3.0, "rank"), cell(2.5, "rank_low")
    ('3', '2.5')
    >>> cell(2016, "period"), cell(2016, "units")
    ('2016', '2,016')
    """
    if not isinstance(value, str) and pd.isna(value):
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return str(value) if column in TIMES else f"{int(value):,}"
    if isinstance(value, float | np.floating):
        number = float(value)
        if column == "df":
            return f"{number:,.1f}"
        if column.startswith("rank"):
            return f"{number:,.1f}".removesuffix(".0")
        if column == "p_value" and number < 10**-digits:
            return f"<{10**-digits:.{digits}f}"
        if math.isinf(number):
            return "∞" if number > 0 else "−∞"
        size = abs(number)
        if size >= 10_000:
            return f"{number:,.0f}"
        if size >= 1000:
            return f"{number:,.1f}"
        if 0 < size < 10**-digits:
            return f"{number:.{digits - 1}e}"
        return f"{number:.{digits}f}"
    return str(value)


def _cells(frame: pd.DataFrame, digits: int) -> tuple[list[str], list[list[str]], list[bool]]:
    heads = [str(name).replace("_", " ") for name in frame.columns]
    columns = [[cell(v, str(name), digits) for v in frame[name]] for name in frame.columns]
    numeric = [pd.api.types.is_numeric_dtype(frame[name]) for name in frame.columns]
    rows = [list(row) for row in zip(*columns, strict=True)] if columns else []
    return heads, rows, numeric


def to_text(frame: pd.DataFrame, digits: int = 3) -> str:
    """Return a table as aligned plain text.

    Examples
    --------
    >>> print(to_text(pd.DataFrame({"unit": ["a", "bb"], "score": [0.5, 10.25]})))
    unit   score
    a      0.500
    bb    10.250
    """
    heads, rows, numeric = _cells(frame, digits)
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    lines = [
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in [heads, *rows]
    ]
    return "\n".join(lines)


def to_html(frame: pd.DataFrame, digits: int = 3, caption: str = "") -> str:
    """Return a table as HTML; every label and value is escaped.

    Examples
    --------
    >>> "&lt;b&gt;" in to_html(pd.DataFrame({"unit": ["<b>"]}))
    True
    """
    heads, rows, numeric = _cells(frame, digits)
    kinds = [' class="number"' if right else "" for right in numeric]
    lines = ['<table class="lgpi">']
    if caption:
        lines.append(f"<caption>{html.escape(caption)}</caption>")
    head = "".join(
        f'<th scope="col"{k}>{html.escape(t)}</th>' for t, k in zip(heads, kinds, strict=True)
    )
    lines.append(f"<thead><tr>{head}</tr></thead>\n<tbody>")
    for row in rows:
        body = "".join(
            f"<td{kind}>{html.escape(text)}</td>" for text, kind in zip(row, kinds, strict=True)
        )
        lines.append(f"<tr>{body}</tr>")
    return "\n".join([*lines, "</tbody></table>\n"])


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def to_latex(frame: pd.DataFrame, digits: int = 3) -> str:
    r"""Return a table as a booktabs ``tabular``, everything escaped.

    Examples
    --------
    >>> print(to_latex(pd.DataFrame({"unit": ["a_b"], "score": [0.5]})))
    \begin{tabular}{lr}
    \toprule
    unit & score \\
    \midrule
    a\_b & 0.500 \\
    \bottomrule
    \end{tabular}
    """
    heads, rows, numeric = _cells(frame, digits)
    layout = "".join("r" if right else "l" for right in numeric)
    lines = [rf"\begin{{tabular}}{{{layout}}}", r"\toprule"]
    lines += [" & ".join(_latex(head) for head in heads) + r" \\", r"\midrule"]
    lines += [" & ".join(_latex(text) for text in row) + r" \\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def to_csv(frame: pd.DataFrame) -> str:
    r"""Return a table as CSV with full precision, ``\n`` line ends and blanks for missing.

    Examples
    --------
    >>> to_csv(pd.DataFrame({"unit": ["a"], "score": [0.1]}))
    'unit,score\na,0.1\n'
    """
    return str(frame.to_csv(index=False, lineterminator="\n"))
