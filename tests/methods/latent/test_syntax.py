from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lgpi_research.errors import MethodError, SpecError
from lgpi_research.methods.latent.expression import parse_expression
from lgpi_research.methods.latent.syntax import parse_model
from lgpi_research.methods.latent.table import build_table


def test_statements_lines_and_remarks():
    model = parse_model(
        """
        # two factors
        f =~ 1*x1 + a*x2 +
             NA*x3          ! goes on
        g =~ x4 + x5
           + c(b, d)*x6 ; f ~~ 0*g
        x1 ~ 1
        q := a^2 - 1
        """
    )
    said = {(s.lhs, s.op, s.rhs): s for s in model.statements}
    assert model.latents == ("f", "g")
    assert said["f", "=~", "x1"].fixed == (1.0,)
    assert math.isnan(said["f", "=~", "x3"].fixed[0])
    assert said["g", "=~", "x6"].labels == ("b", "d")
    assert said["f", "~~", "g"].fixed == (0.0,)
    assert ("x1", "~1", "") in said
    assert model.definitions[0].expression.names == ("a",)


def test_order_and_blanks_make_no_difference():
    one = parse_model("f=~x1+x2;f~~NA*f")
    other = parse_model("f  =~  x1  +\n  x2 \n f ~~ NA * f")
    strip = [[(s.lhs, s.op, s.rhs, repr(s.fixed)) for s in m.statements] for m in (one, other)]
    assert strip[0] == strip[1]


def test_all_faults_are_told_with_their_lines():
    with pytest.raises(SpecError) as caught:
        parse_model("f = x1\nf =~ 2x + x3\ng =~ g\nx1 ~~ \nq := a +\nr := evil(a)")
    assert len(caught.value.problems) == 6
    assert [p[:7] for p in caught.value.problems] == [f"line {i}:" for i in range(1, 7)]


def test_a_model_is_never_evaluated():
    for text in ("q := __import__(a)", "f =~ (lambda: 1)()*x1", "f =~ x[0]"):
        with pytest.raises(SpecError):
            parse_model(text)


def test_contradiction_and_empty_model():
    with pytest.raises(SpecError, match="was said otherwise in line 1"):
        parse_model("f =~ 1*x1 + 2*x1")
    with pytest.raises(SpecError, match="no statement"):
        parse_model("# nothing")


def test_unknown_names_options_and_lengths_are_all_told():
    model = parse_model("f =~ x1 + x22 + c(1, 2, 3)*x3\nq := a")
    with pytest.raises(SpecError) as caught:
        build_table(model, ["x1", "x2", "x3"], groups=2, equal=["loading"])
    text = str(caught.value)
    assert len(caught.value.problems) == 4
    assert "Did you mean 'x2'?" in text
    assert "3 entries" in text
    with pytest.raises(SpecError, match="no parameter"):
        build_table(parse_model("f =~ x1 + x2 + x3"), ["x1", "x2", "x3"], partial=["f =~ x9"])


def test_equal_labels_and_equal_groups_share_a_number():
    model = parse_model("f =~ x1 + a*x2 + a*x3")
    table = build_table(model, ["x1", "x2", "x3"], groups=2, equal=["intercepts"])
    rows = {(row.name, row.group): row for row in table.rows}
    numbers = {rows[f"f =~ {x}", g].free for x in ("x2", "x3") for g in (1, 2)}
    assert len(numbers) == 1
    assert rows["x1 ~1", 1].free == rows["x1 ~1", 2].free
    assert rows["f ~1", 1].free == -1
    assert rows["f ~1", 2].free >= 0
    partial = build_table(
        model, ["x1", "x2", "x3"], groups=2, equal=["intercepts"], partial=["x1 ~1"]
    )
    assert partial.n_free == table.n_free + 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a*b - b/a", 1.3 * 0.7 - 0.7 / 1.3),
        ("-a^2", -(1.3**2)),
        ("sqrt(a) + log(b)*exp(a)", np.sqrt(1.3) + np.log(0.7) * np.exp(1.3)),
        ("(a+b)^a", 2.0**1.3),
        ("abs(b-a)", 0.6),
        ("a - b - 1 + 2/4/2", 1.3 - 0.7 - 1 + 0.25),
    ],
)
def test_slopes_of_expressions_are_those_of_differences(text, expected):
    expression = parse_expression(text)

    def at(a, b):
        return expression.evaluate({"a": (a, np.array([1.0, 0])), "b": (b, np.array([0.0, 1]))})

    value, slope = at(1.3, 0.7)
    assert_allclose(value, expected)
    size = 1e-6
    numeric = [
        (at(1.3 + size, 0.7)[0] - at(1.3 - size, 0.7)[0]) / (2 * size),
        (at(1.3, 0.7 + size)[0] - at(1.3, 0.7 - size)[0]) / (2 * size),
    ]
    assert_allclose(slope, numeric, rtol=1e-7)


def test_a_value_that_is_not_finite_is_refused():
    with pytest.raises(MethodError, match="no finite value"):
        parse_expression("log(a)").evaluate({"a": (-1.0, np.zeros(1))})
