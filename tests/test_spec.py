"""Specifications: choices that check themselves."""

from __future__ import annotations

import pickle

import pytest

from lgpi_research.errors import SpecError
from lgpi_research.registry import use
from lgpi_research.spec import IndexSpec, LinkDesign, Variation

TREE = {"voice": ("petitions", "budget"), "services": ("exam",)}


def test_a_hierarchy_of_any_depth_is_walked_parents_first():
    spec = IndexSpec("lgpi", {"voice": {"on_line": ("p", "q"), "councils": ("r",)}, "exam": ("s",)})
    assert [name for name, _ in spec.nodes()] == ["lgpi", "voice", "exam", "on_line", "councils"]
    assert spec.indicators == ("s", "p", "q", "r")


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"normalise": "zscor"}, "Did you mean 'zscore'"),
        ({"normalise": "minmax"}, "needs basis = 'sample' or 'goalposts'"),
        ({"normalise": use("minmax", basis="world")}, "basis must be sample or goalposts"),
        ({"normalise": use("zscore", basis="goalposts")}, "basis must be sample"),
        ({"aggregate": "arithmetik"}, "Did you mean 'arithmetic'"),
        ({"weights": {"voice": 0.5, "services": 0.6}}, "must sum to 1, got 1.1"),
        ({"weights": {"voice": 0.5, "services": 0.501}}, "must sum to 1, got 1.001"),
        ({"weights": {"voice": 0.5, "service": 0.5}}, "Did you mean 'services'"),
        ({"weights": {"voice": -0.5, "services": 1.5}}, "not negative"),
        ({"weights": {"voice": float("nan"), "services": 1.0}}, "finite"),
        ({"structure": {"voice": (), "services": ("exam",)}}, "at least one indicator"),
        ({"structure": {"voice": ("exam",), "services": ("exam",)}}, "keep one place"),
        ({"structure": {"exam": ("exam",)}}, "'exam' names a dimension and something else"),
        ({"structure": {"lgpi": ("exam",)}}, "'lgpi' names a dimension and something else"),
    ],
)
def test_choices_that_are_not_valid_are_refused(choices, message):
    with pytest.raises(SpecError, match=message):
        IndexSpec("lgpi", **{"structure": TREE, **choices})


def test_a_changed_copy_is_checked_again_and_the_first_is_kept():
    spec = IndexSpec("lgpi", TREE)
    assert spec.change(aggregate="geometric").aggregate == "geometric"
    assert spec.aggregate == "arithmetic"
    with pytest.raises(SpecError):
        spec.change(aggregate="none such")


def test_specifications_can_be_sent_to_workers():
    weights = {"voice": 0.5, "services": 0.5, "petitions": 0.25, "budget": 0.75, "exam": 1.0}
    spec = IndexSpec("lgpi", TREE, weights=weights, normalise=use("minmax", basis="sample"))
    assert pickle.loads(pickle.dumps(spec)).describe() == spec.describe()  # noqa: S301


def test_every_combination_of_alternatives_is_there_once_the_choice_first():
    spec = IndexSpec("lgpi", TREE)
    varied = Variation(normalise=("zscore", "rank"), aggregate=("geometric",))
    combinations = [(str(s.normalise), s.aggregate) for s in varied.specifications(spec)]
    assert combinations[0] == ("zscore", "arithmetic")
    assert sorted(combinations) == [
        ("rank", "arithmetic"),
        ("rank", "geometric"),
        ("zscore", "arithmetic"),
        ("zscore", "geometric"),
    ]


@pytest.mark.parametrize("concentration", [0, -1, float("nan"), float("inf")])
def test_a_concentration_that_means_nothing_is_refused(concentration):
    with pytest.raises(SpecError, match="positive number"):
        Variation(concentration)


def test_every_problem_of_a_link_design_is_named():
    with pytest.raises(SpecError) as error:
        LinkDesign("score ~ own_share", measure="own", per=0, score_reliability=-0.2)
    text = str(error.value)
    assert "Did you mean 'own_share'" in text
    assert "per: must be a positive number" in text
    assert "At or below 0 the score holds nothing but error" in text


def test_link_designs_can_be_sent_to_workers():
    design = LinkDesign(
        "score ~ share + area",
        cluster="oblast",
        where={"year": (2020, 2021)},
        mechanical={"grants": "a transfer"},
        lineage={"share": ("own",)},
    )
    assert pickle.loads(pickle.dumps(design)) == design  # noqa: S301


def test_a_changed_measure_takes_its_own_name_and_keeps_a_stated_label():
    design = LinkDesign("score ~ share + area", cluster="oblast")
    assert design.change(measure="area").measure_label == "area"
    assert design.change(measure_label="the share").change(measure="area").measure_label == (
        "the share"
    )
