"""Which parameters an item response model has, and which of them are the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Layout", "make_layout"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Layout:
    """Parameters of all versions of the items, and the free ones behind them.

    An item whose parameters are a group's own has one version a group, which the others
    did not answer. All parameters are: slopes of the v versions, their t intercepts in a
    row, means of the g groups, logarithms of their standard deviations.

    Attributes
    ----------
    version : ndarray of int of shape (g, k)
        Version of each item that a group answered.
    item : ndarray of int of shape (v,)
        Item of each version.
    start : ndarray of int of shape (v + 1,)
        Where the intercepts of each version begin.
    place : ndarray of int of shape (v + t + 2 g,)
        Free parameter that each parameter equals; -1 for a fixed one.
    fixed : ndarray of shape (v + t + 2 g,)
        Values of the fixed parameters.
    n_free : int
        Number of free parameters.
    """

    version: Codes
    item: Codes
    start: Codes
    place: Codes
    fixed: Floats
    n_free: int

    @property
    def n_versions(self) -> int:
        """Number of versions."""
        return len(self.item)

    @property
    def n_intercepts(self) -> int:
        """Number of intercepts of all versions."""
        return int(self.start[-1])

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.version)

    def whole(self, free: Floats) -> Floats:
        """Return all parameters from the free ones."""
        return np.where(self.place >= 0, free[self.place], self.fixed)

    def gather(self, whole: Floats) -> Floats:
        """Add up values of all parameters (last axis) for the free ones."""
        used = self.place >= 0
        found = np.zeros((self.n_free, *whole.shape[:-1]))
        np.add.at(found, self.place[used], np.moveaxis(whole, -1, 0)[used])
        return np.moveaxis(found, 0, -1)

    def pick(self, whole: Floats) -> Floats:
        """Return the free parameters from all; those that are the same take their mean."""
        counts = self.gather(np.ones(len(self.place)))
        return np.asarray(self.gather(whole) / counts)


def make_layout(
    categories: Codes,
    n_groups: int,
    *,
    own_slopes: Codes,
    own_intercepts: Codes,
    rasch: bool,
    free_means: Codes,
    free_spreads: Codes,
) -> Layout:
    """Lay out the parameters of k items in g groups.

    Parameters
    ----------
    categories : ndarray of int of shape (k,)
        Number of answers of each item.
    n_groups : int
        Number of groups g.
    own_slopes, own_intercepts : ndarray of int
        Items whose slope, or intercepts, are each group's own.
    rasch : bool
        Whether all slopes are fixed at 1.
    free_means, free_spreads : ndarray of int
        Groups whose mean, or standard deviation, is free; others have 0 and 1.

    Returns
    -------
    Layout
    """
    k = len(categories)
    own = np.zeros((2, k), dtype=bool)
    own[0, own_slopes] = not rasch
    own[1, own_intercepts] = True
    several = own[0] | own[1]
    version = np.zeros((n_groups, k), dtype=np.intp)
    item: list[int] = []
    for j in range(k):
        for g in range(n_groups):
            if g == 0 or several[j]:
                item.append(j)
            version[g, j] = len(item) - 1
    items = np.array(item, dtype=np.intp)
    start = np.concatenate([[0], np.cumsum(categories[items] - 1)]).astype(np.intp)
    v, t = len(items), int(start[-1])
    place = np.full(v + t + 2 * n_groups, -1, dtype=np.intp)
    fixed = np.zeros(len(place))
    fixed[:v] = 1.0
    count = 0
    for kind in (0, 1):
        if kind == 0 and rasch:
            continue
        for number, j in enumerate(items):
            cells = np.array([number]) if kind == 0 else v + np.arange(*start[number : number + 2])
            first = int(np.flatnonzero(items == j)[0])
            if number == first or own[kind, j]:
                place[cells] = count + np.arange(len(cells))
                count += len(cells)
            else:
                home = np.array([first]) if kind == 0 else v + np.arange(*start[first : first + 2])
                place[cells] = place[home]
    for offset, groups in ((v + t, free_means), (v + t + n_groups, free_spreads)):
        place[offset + groups] = count + np.arange(len(groups))
        count += len(groups)
    return Layout(version, items, start, place, fixed, count)
