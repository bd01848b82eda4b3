"""Registry: names become functions, and a wrong name says which are right."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lgpi_research import registry
from lgpi_research.errors import SpecError


@pytest.fixture(autouse=True)
def own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test register what it likes, and forget it afterwards."""
    copies = {kind: dict(entries) for kind, entries in registry._entries.items()}
    monkeypatch.setattr(registry, "_entries", copies)


def halves(
    x: np.ndarray, reference: np.ndarray, *, by: float = 2.0, shift: float = 0
) -> np.ndarray:
    return (x - reference.mean() - shift) / by


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_kind_has_its_decorator(kind: str) -> None:
    needed = {"needs": "variances"} if kind == "coefficient" else {}
    decorate: Callable[..., registry.Decorator] = getattr(registry, kind)
    assert decorate("of_test", **needed)(halves) is halves
    assert "of_test" in registry.names(kind)
    assert registry.names(kind) == tuple(sorted(registry.names(kind)))
    found = registry.entry(kind, "of_test")
    assert (found.kind, found.name, found.function) == (kind, "of_test", halves)
    assert found.options == ("by", "shift")
    assert registry.resolve(kind, "of_test") is halves


def test_facts_are_kept_and_fixed() -> None:
    registry.normaliser("of_test", batched=False, bases=("sample", "goalposts"))(halves)
    facts = registry.entry("normaliser", "of_test").facts
    assert dict(facts) == {"batched": False, "bases": ("sample", "goalposts")}
    with pytest.raises(TypeError):
        facts["batched"] = True
    registry.coefficient("of_test", needs="covariance")(halves)
    assert dict(registry.entry("coefficient", "of_test").facts) == {
        "needs": "covariance",
        "smooth": True,
    }


def test_a_name_belongs_to_one_function() -> None:
    registry.normaliser("of_test")(halves)
    registry.normaliser("of_test")(halves)  # the same function again, as when a module is reloaded

    def other(x: np.ndarray, reference: np.ndarray) -> np.ndarray:
        return x + reference.mean()

    with pytest.raises(SpecError, match="normaliser 'of_test' is already registered by tests"):
        registry.normaliser("of_test")(other)
    assert registry.resolve("normaliser", "of_test") is halves
    registry.weigher("of_test")(other)  # another kind has names of its own


def test_options_are_bound() -> None:
    registry.normaliser("of_test")(halves)
    x = np.array([1.0, 3.0])
    method = registry.resolve("normaliser", registry.use("of_test", by=4, shift=1))
    assert isinstance(method, functools.partial)
    np.testing.assert_array_equal(method(x, x), (x - 3) / 4)


def test_a_function_is_taken_as_it_is() -> None:
    assert registry.resolve("normaliser", halves) is halves


def test_an_unknown_name_names_the_nearest_and_all() -> None:
    registry.normaliser("goalpost_of_test")(halves)
    with pytest.raises(SpecError) as caught:
        registry.resolve("normaliser", "goalposts_of_test")
    message = str(caught.value)
    assert message.startswith("Unknown normaliser 'goalposts_of_test'.")
    assert "Did you mean 'goalpost_of_test'?" in message
    assert all(name in message for name in registry.names("normaliser"))
    assert caught.value.__suppress_context__


def test_all_unknown_options_are_named_at_once() -> None:
    registry.normaliser("of_test")(halves)
    with pytest.raises(SpecError) as caught:
        registry.resolve("normaliser", registry.use("of_test", shft=1, low=0))
    message = str(caught.value)
    assert "2 problems in normaliser 'of_test'" in message
    assert "unknown option 'shft'. Did you mean 'shift'? Options: by, shift." in message
    assert "unknown option 'low'." in message


def test_positional_parameters_are_no_options() -> None:
    registry.normaliser("of_test")(halves)
    with pytest.raises(SpecError, match="unknown option 'reference'"):
        registry.resolve("normaliser", registry.use("of_test", reference=np.ones(2)))


def test_a_method_is_a_value() -> None:
    one, same = registry.use("rank", low=1, high=5), registry.use("rank", high=5, low=1)
    assert one == same
    assert hash(one) == hash(same)
    assert one != registry.use("rank", low=1)
    assert str(one) == "rank(high=5, low=1)"
    assert str(registry.use("rank")) == "rank"
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301
    with pytest.raises(TypeError):
        one.options["low"] = 2


def test_a_method_keeps_its_options_when_the_mapping_changes() -> None:
    options: dict[str, Any] = {"low": 1}
    method = registry.Method("rank", options)
    options["low"] = 2
    assert method.options["low"] == 1


def test_description() -> None:
    assert registry.describe("rank") == "rank"
    assert registry.describe(registry.use("rank", low=1)) == "rank(low=1)"
    assert registry.describe(halves) == "halves"


def test_a_resolved_method_can_be_sent_to_a_worker() -> None:
    registry.normaliser("of_test")(halves)
    method = registry.resolve("normaliser", registry.use("of_test", by=4))
    again = pickle.loads(pickle.dumps(method))  # noqa: S301
    x = np.array([1.0, 3.0])
    np.testing.assert_array_equal(again(x, x), method(x, x))
