"""Errors: each is also a ValueError, and every problem is told at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lgpi_research.errors import (
    DataError,
    LGPIError,
    MethodError,
    Problems,
    SpecError,
    listing,
    nearest,
)


@pytest.mark.parametrize("kind", [DataError, SpecError, MethodError])
def test_each_error_can_be_caught_three_ways(kind: type[LGPIError]) -> None:
    for caught in (kind, LGPIError, ValueError):
        with pytest.raises(caught, match="what is wrong"):
            raise kind("what is wrong")


def test_no_problem_raises_nothing() -> None:
    problems = Problems("a.csv")
    problems.raise_any(DataError)
    assert not problems


def test_all_problems_are_raised_together_in_their_order() -> None:
    problems = Problems("a.csv")
    problems.add("psu: first.")
    problems.extend(["weight: second.", "place: third."])
    assert problems
    with pytest.raises(SpecError) as caught:
        problems.raise_any(SpecError)
    assert str(caught.value) == (
        "3 problems in a.csv\n- psu: first.\n- weight: second.\n- place: third."
    )


def test_one_problem_is_singular() -> None:
    problems = Problems("a.csv")
    problems.add("psu: first.")
    with pytest.raises(DataError, match=r"^1 problem in a\.csv\n- psu: first\.$"):
        problems.raise_any(DataError)


@pytest.mark.parametrize(
    ("name", "allowed", "found"),
    [
        ("populaton", ["oblast", "population"], "population"),
        ("POPULATION", ["oblast", "population"], "population"),
        ("Область", ["область", "регіон"], "область"),
        ("geometrc", ["arithmetic", "geometric"], "geometric"),
    ],
)
def test_the_nearest_spelling_is_named(name: str, allowed: list[str], found: str) -> None:
    assert nearest(name, allowed) == f" Did you mean {found!r}?"


def test_nothing_near_is_not_guessed() -> None:
    assert nearest("xyz", ["population", "oblast"]) == ""
    assert nearest("xyz", []) == ""
    assert nearest("income", ["population", "outcomes_of_all"]) == ""


def test_nearest_reads_an_iterator_once() -> None:
    assert nearest("OBLAST", iter(["population", "oblast"])) == " Did you mean 'oblast'?"


@given(st.lists(st.integers(), max_size=12), st.integers(min_value=1, max_value=6))
def test_a_listing_shows_or_counts_everything(values: list[int], most: int) -> None:
    text = listing(iter(values), most)
    shown, _, rest = text.partition(" and ")
    assert [int(part) for part in shown.split(", ") if part] == values[:most]
    assert (int(rest.split()[0]) if rest else 0) == max(0, len(values) - most)


def test_problems_travel_with_the_error_also_to_workers() -> None:
    import pickle

    problems = Problems("t.csv")
    problems.extend(["a: wrong.", "b: wrong."])
    with pytest.raises(DataError) as caught:
        problems.raise_any(DataError)
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):  # noqa: S301
        assert error.problems == ("a: wrong.", "b: wrong.")
        assert str(error).startswith("2 problems in t.csv")
    assert DataError("alone").problems == ("alone",)
