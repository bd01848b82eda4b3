"""Scales: sets of items whose sums are kept together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import Problems, SpecError, listing, nearest
from lgpi_research.methods.sums import LAYOUTS, Layout, pair_counts_layout

__all__ = ["MOST_CATEGORIES", "Scale", "check_scales", "with_categories"]

Floats = npt.NDArray[np.float64]

NEEDS = ("means", "variances", "covariance", "pair counts")
MISSING = ("listwise", "pairwise")

MOST_CATEGORIES = 20
"""Different answers beyond which items are no ordered categories whose pairs are counted."""


@dataclass(frozen=True)
class Scale:
    """A set of items whose sums are kept together.

    Parameters
    ----------
    name : str
        What the scale is called, usually a dimension of the codebook.
    items : tuple of str
        Its items, in order.
    needs : {"covariance", "variances", "means", "pair counts"}, default "covariance"
        What can be had from the sums: item covariances; item variances and the
        variance of the sum score, which is what alpha needs; item means; or how often
        each pair of answers was given, which coefficients of ordered answers need.
    missing : {"listwise", "pairwise"}, default "listwise"
        Which answers count: those of respondents who answered every item of the scale,
        or, for each pair of items, those of respondents who answered both. Means use
        every answer to their item.
    reverse : tuple of str
        Items that count with the opposite sign, so that all point the same way.
    measurement : {"reflective", "formative"}, default "reflective"
        What the codebook says of the items.
    categories : tuple of float
        For pair counts: the answers that every item allows, at most 20, as they stand in
        the table, before items are reversed; they are put in order. If none are named,
        those that occur in the answers; name them where parts of a survey are to add up.

    Raises
    ------
    SpecError
        With every field that is not valid.
    """

    name: str
    items: tuple[str, ...]
    needs: str = "covariance"
    missing: str = "listwise"
    reverse: tuple[str, ...] = ()
    measurement: str = "reflective"
    categories: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(self.items))
        object.__setattr__(self, "reverse", tuple(self.reverse))
        object.__setattr__(self, "categories", tuple(sorted(map(float, self.categories))))
        problems = Problems(f"scale {self.name!r}")
        for name, allowed in (("needs", NEEDS), ("missing", MISSING)):
            value = getattr(self, name)
            if value not in allowed:
                hint = nearest(str(value), allowed)
                problems.add(f"{name}: must be one of {', '.join(allowed)}, got {value!r}.{hint}")
        if not self.items:
            problems.add("items: there is none.")
        if len(set(self.items)) < len(self.items):
            problems.add("items: one is named twice.")
        for name in self.reverse:
            if name not in self.items:
                problems.add(f"reverse: {name} is no item.{nearest(name, self.items)}")
        if self.needs == "variances" and self.missing == "pairwise":
            problems.add(
                "missing='pairwise' needs the covariances of the items: set needs='covariance'."
            )
        if self.categories and self.needs != "pair counts":
            problems.add(f"categories: are of pair counts, and the scale holds {self.needs}.")
        found = len(set(self.categories))
        if self.categories and not (
            2 <= found == len(self.categories) <= MOST_CATEGORIES
            and np.isfinite(self.categories).all()
        ):
            problems.add(
                f"categories: must be 2 to {MOST_CATEGORIES} different numbers, got "
                f"{listing([f'{value:g}' for value in self.categories])}."
            )
        problems.raise_any(SpecError)

    @property
    def layout(self) -> Layout:
        """Which sums are kept."""
        if self.needs == "pair counts":
            turned = [np.sort(sign * np.array(self.categories)) for sign in self.signs]
            return pair_counts_layout(np.array(turned), listwise=self.missing == "listwise")
        return LAYOUTS[self.missing if self.needs == "covariance" else self.needs]

    @property
    def signs(self) -> Floats:
        """-1.0 for reversed items, otherwise 1.0, shape (k,)."""
        return np.where([item in self.reverse for item in self.items], -1.0, 1.0)

    @property
    def has_means(self) -> bool:
        """Whether the sums have the means of items: not those of pairs."""
        return self.needs == "means" or (self.needs != "pair counts" and self.missing == "listwise")

    @property
    def width(self) -> int:
        """Number of sums for each PSU."""
        return self.layout.width(len(self.items))

    @property
    def answered(self) -> list[tuple[str, ...]]:
        """Items that those answered who stand behind each statistic, in the order of counts.

        The counts are the last of the layout's first `n_sets` columns.
        """
        if self.needs == "means":
            return [(item,) for item in self.items]
        if self.missing == "pairwise":
            return list(itertools.combinations_with_replacement(self.items, 2))
        return [self.items]


def check_scales(scales: Sequence[Scale], names: Sequence[str]) -> None:
    """Raise what is wrong with scales of a table whose items are named."""
    problems = Problems("the scales")
    if not scales:
        problems.add("there is none.")
    if len({scale.name for scale in scales}) < len(scales):
        problems.add("two have the same name.")
    for scale in scales:
        for item in scale.items:
            if item not in names:
                problems.add(f"{scale.name}: there is no item {item!r}.{nearest(item, names)}")
    problems.raise_any(SpecError)


def with_categories(
    scale: Scale, table: npt.NDArray[Any], columns: list[int], problems: Problems
) -> Scale:
    """Return a scale with its categories, and note answers that are none of them."""
    if scale.needs != "pair counts":
        return scale
    found = [np.unique(values[~np.isnan(values)]) for values in table[:, columns].T.astype(float)]
    if not scale.categories:
        every = np.unique(np.concatenate(found))
        if 2 <= len(every) <= MOST_CATEGORIES and np.isfinite(every).all():
            return replace(scale, categories=tuple(every.tolist()))
        problems.add(
            f"{scale.name}: {len(every)} different answers occur, and pairs are counted of 2 to "
            f"{MOST_CATEGORIES} ordered ones. Name the categories, or take covariances."
        )
    else:
        for item, column, values in zip(scale.items, columns, found, strict=True):
            odd = values[~np.isin(values, scale.categories)]
            if len(odd):
                n = int(np.isin(table[:, column], odd).sum())
                problems.add(
                    f"{item}: {n} of {len(table)} answers are none of the categories of "
                    f"{scale.name} ({listing([f'{value:g}' for value in odd])}). Add them to the "
                    "categories, or set them to missing."
                )
    # What is refused needs no layout.
    return scale
