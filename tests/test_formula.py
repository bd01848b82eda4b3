from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.errors import DataError, SpecError
from lgpi_research.formula import Factor, Term, design, parse_formula


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "score": [1.0, 2.0, 4.0, 3.0, 6.0, 5.0],
            "tax": [1.0, 2.0, 3.0, 4.0, 5.0, 7.0],
            "people": [10, 20, 30, 40, 50, 60],
            "kind": ["b", "a", "c", "a", "b", "c"],
            "oblast": ["x", "x", "y", "y", "z", "z"],
            "year": [1, 2, 1, 2, 1, 2],
        }
    )


# What is read


def test_parts_of_a_formula():
    formula = parse_formula("log(score) ~ tax + log(sqrt(people)) + C(kind) | oblast + a^b")
    assert formula.outcome == Factor("score", ("log",))
    assert [str(term) for term in formula.terms] == ["tax", "log(sqrt(people))", "C(kind)"]
    assert formula.terms[1] == Term((Factor("people", ("log", "sqrt")),))
    assert formula.absorb == ("oblast", "a^b")
    assert formula.absorb_columns == (("oblast",), ("a", "b"))
    assert formula.columns == ("score", "tax", "people", "kind", "oblast", "a", "b")


def test_a_star_stands_for_its_parts_and_their_product():
    terms = [str(term) for term in parse_formula("y ~ a*b*C(c) + d").terms]
    assert terms == ["a", "b", "C(c)", "a:b", "a:C(c)", "b:C(c)", "a:b:C(c)", "d"]


def test_a_star_does_not_repeat_terms_that_stand_alone():
    assert [str(term) for term in parse_formula("y ~ b + a*b").terms] == ["b", "a", "a:b"]


def test_colon_binds_tighter_than_star():
    assert [str(t) for t in parse_formula("y ~ a*b:c").terms] == ["a", "b:c", "a:b:c"]


def test_backquotes_hold_any_name():
    formula = parse_formula("`my score` ~ log(`a.b`) + `C(x)` | `two words`^year")
    assert formula.columns == ("my score", "a.b", "C(x)", "two words", "year")
    assert [str(term) for term in formula.terms] == ["log(`a.b`)", "`C(x)`"]
    assert formula.absorb == ("`two words`^year",)


def test_names_in_any_alphabet():
    assert parse_formula("оценка ~ доля_доходов").columns == ("оценка", "доля_доходов")


def test_words_of_python_are_columns_like_any_other():
    assert parse_formula("score ~ lambda:tax").columns == ("score", "lambda", "tax")


def test_a_term_reads_back_as_itself():
    text = "y ~ log(sqrt(`x y`)) + C(k) + x:z"
    terms = parse_formula(text).terms
    assert parse_formula("y ~ " + " + ".join(map(str, terms))).terms == terms


def test_deep_nesting_is_read_without_recursion():
    deep = "log(" * 5000 + "x" + ")" * 5000
    assert len(parse_formula(f"y ~ {deep}").terms[0].factors[0].functions) == 5000


# What is refused, and where


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("score ~ lgo(people)", 9, "unknown function 'lgo'. Did you mean 'log'?"),
        ("score ~ __import__('os')", 20, "quoted text is no part"),
        ("score ~ __import__(os)", 9, "unknown function '__import__'"),
        ("score ~ tax - 1", 13, "the intercept is always in the model"),
        ("score ~ tax + 0", 15, "the intercept is always in the model"),
        ("score ~ a.b", 10, "`like.this`"),
        ("score ~ tax.__class__", 12, "`like.this`"),
        ("score ~ tax / people", 13, "a ratio is a column"),
        ("score ~ tax ** people", 14, "a column or function is expected here"),
        ("score ~ tax^people", 12, "write square(x)"),
        ("score ~ log(tax", 16, "log( takes one column"),
        ("score ~ log(tax, people)", 16, "functions take one column"),
        ("score ~ log(tax + people)", 17, "log( takes one column"),
        ("score ~ log()", 13, "a column is expected"),
        ("score ~ (tax)", 9, "a column or function is expected"),
        ("score ~ tax)", 12, "')' is not expected here"),
        ("score ~ tax people", 13, "'people' is not expected here"),
        ("score ~ tax +", 14, "a column or function is expected"),
        ("score ~ + tax", 9, "a column or function is expected"),
        ("score ~ ", 9, "a column or function is expected"),
        ("score ~ | oblast", 9, "a column or function is expected"),
        ("score ~ tax |", 14, "a column is expected"),
        ("~ tax", 1, "a column or function is expected"),
        ("score", 6, "a formula has one ~"),
        ("score ~ tax ~ people", 13, "a formula has one ~"),
        ("score ~ tax | a | b", 17, "one | at most"),
        ("a | score ~ tax", 3, "one | at most"),
        ("score + tax ~ people", 7, "the outcome is one column"),
        ("C(score) ~ tax", 1, "the outcome is a number"),
        ("score ~ log(C(kind))", 9, "C() stands alone"),
        ("score ~ C(log(tax))", 9, "C() stands alone"),
        ("score ~ tax + tax", 15, "stands in the formula twice"),
        ("score ~ a:b + b:a", 15, "stands in the formula twice"),
        ("score ~ tax:tax", 9, "write square(tax)"),
        ("score ~ tax + score", 9, "cannot explain itself"),
        ("score ~ C(kind):tax", 9, "needs tax as a term of its own"),
        ("score ~ a*b*c*d*e", 9, "at most 4 factors"),
        ("score ~ tax | C(kind)", 16, "after | stand columns"),
        ("score ~ tax | a*b", 16, "combine effects by ^"),
        ("score ~ tax | a + a", 19, "absorbed twice"),
        ("score ~ tax | a^b + b^a", 21, "absorbed twice"),
        ("score ~ `tax", 9, "a backquote is not closed"),
        ("score ~ tax; import os", 12, "';' is no part of a formula"),
        ("score = tax", 7, "divided from its terms by ~"),
    ],
)
def test_what_is_no_formula_is_refused_at_its_place(text: str, at: int, message: str):
    with pytest.raises(SpecError) as caught:
        parse_formula(text)
    assert message in str(caught.value)
    assert f"character {at}:" in str(caught.value)
    lines = str(caught.value).splitlines()
    caret = next(i for i, line in enumerate(lines) if line.strip() == "^")
    assert lines[caret].index("^") - 4 == at - 1
    assert lines[caret - 1] == f"    {text}"


def test_every_problem_is_reported_at_once():
    with pytest.raises(SpecError, match="4 problems in the formula") as caught:
        parse_formula("score ~ lgo(a) + sqr(b) + log(c | d*e")
    assert str(caught.value).count("^\n") >= 3


def test_a_formula_is_text():
    with pytest.raises(SpecError, match="A formula is text, got int"):
        parse_formula(3)


@given(st.text(alphabet="ab ~+:*|^()`'-.1,C\n", max_size=30))
def test_any_text_is_read_or_refused(text: str):
    try:
        formula = parse_formula(text)
    except SpecError:
        return
    assert formula.terms
    again = f"{formula.outcome} ~ " + " + ".join(map(str, formula.terms))
    assert parse_formula(again + (" | " + " + ".join(formula.absorb)) * bool(formula.absorb))


# Numbers


def test_design_holds_the_columns(table):
    made = design("score ~ tax + log(people) + square(tax)", table)
    assert made.names == ("intercept", "tax", "log(people)", "square(tax)")
    expected = [np.ones(6), table.tax, np.log(table.people), table.tax**2]
    assert_allclose(made.X, np.column_stack(expected))
    assert_array_equal(made.y, table.score)
    assert made.used.all()
    assert made.n_dropped == 0


def test_categories_leave_out_the_first_level_and_effects_the_intercept(table):
    made = design("score ~ C(kind) + tax:year | oblast + oblast^year", table)
    assert made.names == ("C(kind)[b]", "C(kind)[c]", "tax:year")
    assert_array_equal(made.X[:, 0], [1, 0, 0, 0, 1, 0])
    assert_array_equal(made.X[:, 2], table.tax * table.year)
    assert made.absorb_names == ("oblast", "oblast^year")
    assert_array_equal(made.absorb[0], [0, 0, 1, 1, 2, 2])
    assert made.levels["oblast^year"] == ("x^1", "x^2", "y^1", "y^2", "z^1", "z^2")


def test_interactions_with_categories(table):
    made = design("score ~ tax*C(kind)", table)
    assert made.names[-2:] == ("tax:C(kind)[b]", "tax:C(kind)[c]")
    assert_array_equal(made.X[:, -1], table.tax * (table.kind == "c"))


def test_a_category_may_be_absorbed_instead_of_a_term():
    assert parse_formula("y ~ C(a):C(b) | a + b").terms
    with pytest.raises(SpecError, match=r"C\(a\):C\(b\) needs C\(b\)"):
        parse_formula("y ~ C(a):C(b) | b^c + a")


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (pd.Series([2.0, 10.0, 2.0]), ("2", "10")),
        (pd.Series([True, False, True]), ("False", "True")),
        (pd.Series(["10", "2", "10"]), ("10", "2")),
        (pd.Series(["u", "v", "u"], dtype=object), ("u", "v")),
        (pd.Series([3, 1, 3], dtype="Int64"), ("1", "3")),
        (pd.Categorical(["lo", "hi", "lo"], categories=["lo", "hi"]), ("lo", "hi")),
    ],
)
def test_levels_are_sorted_whatever_their_type(values, labels):
    table = pd.DataFrame({"y": [1.0, 2.0, 3.0], "g": values})
    made = design("y ~ C(g)", table, also=["g"])
    assert made.names[1] == f"C(g)[{labels[1]}]"
    assert made.levels["g"] == labels


def test_standardise_sees_the_rows_used(table):
    table.loc[5, "score"] = np.nan
    made = design("score ~ standardise(tax)", table)
    assert_allclose(made.X[:, 1], (table.tax[:5] - 3) / np.sqrt(2.5))


def test_missing_values_are_set_aside_and_counted_by_column(table):
    table.loc[0, "tax"] = np.nan
    table.loc[[0, 1], "oblast"] = None
    table.loc[2, "kind"] = None
    table["unused"] = np.nan
    made = design("score ~ tax | oblast", table, also=["kind"])
    assert (made.n_used, made.n_dropped) == (3, 3)
    assert dict(made.dropped) == {"tax": 1, "oblast": 2, "kind": 1}
    assert_array_equal(made.used, [False, False, False, True, True, True])
    assert_array_equal(made.codes["kind"], [0, 1, 2])


def test_numbers_of_pandas_own_types(table):
    table["tax"] = table.tax.astype("Float64")
    table.loc[1, "tax"] = pd.NA
    table["big"] = pd.array([True, False, True, None, True, False], dtype="boolean")
    made = design("score ~ tax + big", table)
    assert_array_equal(made.X[:, 2], [1, 1, 1, 0])


def test_the_table_is_left_as_it_was(table):
    before = table.copy(deep=True)
    design("log(score) ~ standardise(tax) + C(kind) | oblast", table)
    pd.testing.assert_frame_equal(table, before)


@given(st.permutations(range(6)))
def test_the_order_of_rows_does_not_matter(order):
    table = pd.DataFrame(
        {"y": [1.0, 5, 2, 8, 3, 9], "x": [3.0, 1, np.nan, 2, 5, 8], "g": list("babcca")}
    )
    made, shuffled = design("y ~ x + C(g)", table), design("y ~ x + C(g)", table.iloc[order])
    assert made.names == shuffled.names
    back = np.argsort([row for row in order if row != 2])
    assert_array_equal(shuffled.X[back], made.X)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("score ~ peopel", "peopel: there is no such column. Did you mean 'people'?"),
        ("score ~ tax | oblats", "oblats: there is no such column. Did you mean 'oblast'?"),
    ],
)
def test_unknown_columns_get_the_nearest_spelling(table, formula, message):
    with pytest.raises(SpecError) as caught:
        design(formula, table)
    assert message in str(caught.value)


def test_all_unknown_columns_are_named_at_once(table):
    with pytest.raises(SpecError, match="3 problems"):
        design("scor ~ taks", table, also=["clstr"])


def test_text_needs_C(table):
    with pytest.raises(DataError, match=r"kind: holds text \('b', 'a', 'c'\). Write C\(kind\)"):
        design("score ~ kind", table)


def test_dates_are_refused(table):
    table["day"] = pd.to_datetime("2021-01-01")
    with pytest.raises(DataError, match="day: holds dates"):
        design("score ~ day", table)


def test_infinite_values_are_refused_with_their_rows(table):
    table["tax"] = [1, np.inf, 2, -np.inf, 3, 4]
    with pytest.raises(DataError, match=r"tax: infinite in 2 of 6 rows \(first rows 2, 4\)"):
        design("score ~ tax", table)


def test_logarithms_and_roots_outside_their_domain(table):
    table["tax"] = [1, 0, -2, np.nan, 3, 4]
    with pytest.raises(DataError) as caught:
        design("score ~ log(tax) + sqrt(tax) + log(log(people))", table)
    assert "2 problems in the table" in str(caught.value)
    assert "log(tax): tax is zero or below in 2 of 6 rows (first rows 2, 3)" in str(caught.value)
    assert "sqrt(tax): tax is below zero in 1 of 6 rows (first rows 3)" in str(caught.value)


def test_the_inner_function_is_named_when_the_outer_has_no_value(table):
    table["tax"] = [1, 2, 3, 4, 5, 0.5]
    with pytest.raises(DataError, match=r"log\(log\(tax\)\): log\(tax\) is zero or below in 2"):
        design("score ~ log(log(tax))", table)


def test_rows_that_are_set_aside_need_no_logarithm(table):
    table["tax"] = [0.0, 1, 2, 3, 4, 5]
    table.loc[0, "score"] = np.nan
    assert design("score ~ log(tax)", table).n_used == 5


def test_a_constant_cannot_be_standardised(table):
    table["flat"] = 0.1
    with pytest.raises(DataError, match=r"standardise\(flat\): flat does not vary"):
        design("score ~ standardise(flat)", table)


def test_a_category_needs_two_levels(table):
    with pytest.raises(DataError, match=r"C\(kind\): all rows used are 'a'"):
        design("score ~ C(kind)", table[table.kind == "a"])


def test_no_complete_row(table):
    table["tax"] = np.nan
    with pytest.raises(DataError, match=r"No row of 6 .* \(missing: tax 6\)"):
        design("score ~ tax", table)
    with pytest.raises(DataError, match="no row at all"):
        design("score ~ people", table.iloc[:0])


def test_numbers_that_overflow(table):
    table["tax"] *= 1e200
    with pytest.raises(DataError, match=r"square\(tax\), tax:people.*too large"):
        design("score ~ square(tax) + tax:people", table.assign(people=1e200))


def test_two_columns_of_one_name(table):
    twice = pd.concat([table, table[["tax"]]], axis=1)
    with pytest.raises(SpecError, match="tax: 2 columns have this name"):
        design("score ~ tax", twice)
