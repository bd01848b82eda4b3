"""Merging of small clusters, and what differences of sums tell."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from lgpi_research.clusters import sorted_clusters
from lgpi_research.disclosure import merge_small_clusters, small_differences
from lgpi_research.errors import DataError


def design(psu: str, stratum: str, place: str) -> pd.DataFrame:
    names = {"psu": list(psu), "stratum": list(stratum), "place": list(place)}
    return pd.DataFrame(names, dtype="str")


def merged(psus: pd.DataFrame, counts: list[list[int]]) -> tuple[list[int], list[str], list[str]]:
    least = np.full(len(counts[0]), 5)
    codes, left, names = merge_small_clusters(psus, np.array(counts, dtype=float), least)
    return codes.tolist(), left["psu"].tolist(), names


def test_the_last_joins_as_many_as_it_takes():
    psus = design("abc", "sss", "xxx")
    assert merged(psus, [[5, 5], [5, 0], [2, 2]]) == ([0, 0, 0], ["a + b + c"], ["a + b + c"])
    assert merged(psus, [[5, 5], [5, 0], [2, 0]]) == ([0, 1, 1], ["a", "b + c"], ["b + c"])
    assert merged(psus, [[5, 5], [5, 0], [5, 0]]) == ([0, 1, 2], ["a", "b", "c"], [])


def test_clusters_of_another_stratum_or_place_are_no_neighbours():
    counts = [[9], [2], [9], [9]]
    assert merged(design("abcd", "rrss", "xxxx"), counts)[1] == ["a + b", "c", "d"]
    assert merged(design("abcd", "ssss", "xyyx"), counts)[1] == ["a", "b + c", "d"]
    for strata, places in (("rsss", "xyxx"), ("rstt", "xxxx")):
        with pytest.raises(DataError, match=r"1 of 4 PSUs are too small to be written \(b\)"):
            merged(design("abcd", strata, places), counts)


def test_a_merged_cluster_needs_a_name_of_its_own():
    psus = pd.DataFrame({"psu": ["a", "b", "a + b"], "stratum": ["r", "r", "s"], "place": "x"})
    with pytest.raises(DataError, match=r"1 merged PSUs would bear the name of another: a \+ b"):
        merged(psus, [[2], [9], [9]])
    assert merged(psus, [[9], [9], [9]])[1] == ["a", "b", "a + b"]


def test_codes_follow_the_order_of_the_merged():
    """Places come in another order than names, by which clusters are sorted."""
    psus = design("abcd", "ssss", "yxyx")
    counts = np.array([[9.0], [3.0], [8.0], [4.0]])
    codes, left, _ = merge_small_clusters(psus, counts, np.array([5]))
    assert left["psu"].tolist() == ["a", "b + d", "c"]
    assert codes.tolist() == [0, 1, 2, 1]
    assert left["place"].tolist() == ["y", "x", "y"]
    assert_array_equal(sorted_clusters(left), np.arange(3))


def test_differences_are_of_nested_groups_only():
    counts = np.array([[9.0, 8.0, 5.0], [9.0, 9.0, 9.0]])
    assert small_differences([("a",), ("b",), ("c",)], counts, 5) == 0
    assert small_differences([("a", "b"), ("b", "a"), ("c",)], counts, 5) == 0
    assert small_differences([("a",), ("a", "b"), ("a", "b", "c")], counts, 5) == 3
    assert small_differences([("a",), ("a", "b"), ("a", "b", "c")], counts, 4) == 2
    assert small_differences([("a", "a"), ("a", "b"), ("b", "b")], counts[:, [0, 2, 1]], 5) == 2
