"""Designs of generalisability studies: a notation that is parsed, and scores placed in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import prod

import numpy as np
import numpy.typing as npt

from lgpi_research.errors import DataError, Problems, SpecError, listing

__all__ = ["Effect", "FacetDesign", "Layout", "arrange", "parse_design"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

MOST_FACETS = 6  # 63 effects if all cross; more is a slip
CROSSES = ("x", "×", "*")

_TOKEN = re.compile(r"\s+|(?P<name>\w[\w.]*)|`(?P<quoted>[^`]+)`|(?P<mark>[():*×])|(?P<other>.)")


@dataclass(frozen=True)
class Effect:
    """One source of variance: a facet, or facets together.

    Attributes
    ----------
    label : str
        In the notation of designs: ``person : place``, ``place x item``.
    facets : frozenset of str
        Every facet that indexes the effect, those it is nested in included.
    primary : tuple of str
        The facets that are not nested in another of the effect.
    """

    label: str
    facets: frozenset[str]
    primary: tuple[str, ...]


@dataclass(frozen=True)
class FacetDesign:
    """Facets of a study, crossed and nested.

    Attributes
    ----------
    text : str
        As it was written.
    facets : tuple of str
        In the order of the text.
    nests : tuple of frozenset of str
        Of each facet, all those that it is nested in.
    """

    text: str
    facets: tuple[str, ...]
    nests: tuple[frozenset[str], ...]

    def closure(self, facets: Sequence[str] | frozenset[str]) -> frozenset[str]:
        """Return facets together with all that they are nested in."""
        found = frozenset(facets)
        return found.union(*(self._nests(name) for name in found))

    @cached_property
    def effects(self) -> tuple[Effect, ...]:
        """Every source of variance, those of fewest facets first; the last is the residual."""
        found: list[Effect] = []
        for size in range(1, len(self.facets) + 1):
            for chosen in combinations(self.facets, size):
                inner = self.closure(chosen)
                outer = frozenset[str]().union(*(self._nests(name) for name in chosen))
                if not outer & set(chosen):
                    found.append(Effect(self._label(inner), inner, chosen))
        place = {name: number for number, name in enumerate(self.facets)}
        order = [(len(e.facets), sorted(place[f] for f in e.facets)) for e in found]
        return tuple(found[i] for i in sorted(range(len(found)), key=order.__getitem__))

    def effect(self, facets: Sequence[str] | frozenset[str]) -> Effect:
        """Return the effect of facets that do not nest one another."""
        wanted = self.closure(facets)
        return next(effect for effect in self.effects if effect.facets == wanted)

    def _nests(self, name: str) -> frozenset[str]:
        return self.nests[self.facets.index(name)]

    def _label(self, facets: frozenset[str]) -> str:
        """Return the notation of an effect; `facets` holds all that its facets nest in."""
        outer = frozenset[str]().union(*(self._nests(name) for name in facets))
        inner = [_quoted(name) for name in self.facets if name in facets - outer]
        label = " x ".join(inner)
        if not outer:
            return label
        around = self._label(outer)
        if len(outer) > 1 and not any(self._nests(name) for name in outer):
            around = f"({around})"
        return f"({label}) : {around}" if len(inner) > 1 else f"{label} : {around}"


def _quoted(name: str) -> str:
    plain = re.fullmatch(r"\w[\w.]*", name) and name.casefold() not in CROSSES
    return name if plain else f"`{name}`"


def parse_design(text: str) -> FacetDesign:
    """Read the design of a generalisability study.

    Parameters
    ----------
    text : str
        Facets, joined by ``x`` (also ``×`` or ``*``) if they cross and by ``:`` if those on
        its left are nested within those on its right. ``:`` binds closer than ``x``, and
        ``a : b : c`` is a within b within c; brackets group. A facet whose name holds other
        signs than letters, digits, ``_`` and dots, or is ``x``, stands in backquotes.

    Returns
    -------
    FacetDesign

    Raises
    ------
    SpecError
        If the text is no design: what stands where, and what is allowed there.

    Notes
    -----
    The text is data: it is parsed and never evaluated.

    Examples
    --------
    >>> [effect.label for effect in parse_design("(person : place) x item").effects]
    ['place', 'item', 'person : place', 'place x item', '(person x item) : place']
    >>> parse_design("place x item x coder").effects[-1].label
    'place x item x coder'
    """
    tokens = list(_tokens(text))
    nests: dict[str, set[str]] = {}
    order: list[str] = []
    _, rest = _crossed(tokens, text, nests, order)
    if rest:
        raise SpecError(_misplaced(text, rest, "x, : or the end"))
    problems = Problems(f"the design {text!r}")
    twice = [name for name in nests if order.count(name) > 1]
    if twice:
        problems.add(f"{listing(twice)}: named more than once; each facet stands in one place.")
    if not 2 <= len(nests) <= MOST_FACETS:
        problems.add(
            f"{len(nests)} facets; there must be 2 to {MOST_FACETS}, the object of measurement "
            "among them, such as 'place x item'."
        )
    problems.raise_any(SpecError)
    return FacetDesign(text, tuple(nests), tuple(frozenset(outer) for outer in nests.values()))


_Token = tuple[str, str, int]  # kind (name or the sign itself), text, place


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        name, place = match["name"], match.start() + 1
        if match["other"]:
            raise SpecError(
                f"design {text!r}: {match['other']!r} at position {place} has no meaning. A design "
                "joins names of facets by x (crossed) and : (nested within), with brackets; other "
                "names stand in `backquotes`."
            )
        if match["quoted"]:
            yield "name", match["quoted"], place
        elif match["mark"] in CROSSES or (name is not None and name.casefold() == "x"):
            yield "x", match.group(), place
        elif match["mark"]:
            yield match["mark"], match["mark"], place
        elif name is not None:
            yield "name", name, place


def _crossed(
    tokens: list[_Token], text: str, nests: dict[str, set[str]], order: list[str]
) -> tuple[set[str], list[_Token]]:
    """Read facets that cross, and return their names and what follows them."""
    found, rest = _nested(tokens, text, nests, order)
    while rest and rest[0][0] == "x":
        more, rest = _nested(rest[1:], text, nests, order)
        found = found | more
    return found, rest


def _nested(
    tokens: list[_Token], text: str, nests: dict[str, set[str]], order: list[str]
) -> tuple[set[str], list[_Token]]:
    """Read a name or a bracket, and what it is nested in."""
    if not tokens or tokens[0][0] not in ("name", "("):
        raise SpecError(_misplaced(text, tokens, "a facet or ("))
    if tokens[0][0] == "name":
        inner, rest = {tokens[0][1]}, tokens[1:]
        nests.setdefault(tokens[0][1], set())
        order.append(tokens[0][1])
    else:
        inner, rest = _crossed(tokens[1:], text, nests, order)
        if not rest or rest[0][0] != ")":
            raise SpecError(_misplaced(text, rest, "x, : or )"))
        rest = rest[1:]
    if not rest or rest[0][0] != ":":
        return inner, rest
    outer, rest = _nested(rest[1:], text, nests, order)
    for name in inner:
        nests[name] |= outer
    return inner | outer, rest


def _misplaced(text: str, rest: list[_Token], allowed: str) -> str:
    where = f"{rest[0][1]!r} stands at position {rest[0][2]}" if rest else "the text ends"
    return (
        f"design {text!r}: {where} where {allowed} is expected. Examples: 'place x item', "
        "'(person : place) x item', 'place x (item : dimension) x coder'."
    )


@dataclass(frozen=True, eq=False)
class Layout:
    """Scores placed in a design.

    Attributes
    ----------
    design : FacetDesign
    groups : ndarray of shape (n, n_effects)
        Of each score, its level of each effect: 0, 1, …
    levels : tuple of int
        Levels of each effect.
    sizes : tuple of int
        Of each facet, its most levels within one combination of those it is nested in.
    positions : ndarray of shape (n, n_facets)
        Of each score, its level of each facet, counted within those it is nested in.
    """

    design: FacetDesign
    groups: Codes
    levels: tuple[int, ...]
    sizes: tuple[int, ...]
    positions: Codes

    @property
    def n_cells(self) -> int:
        """Scores that a complete study of these sizes would have."""
        return prod(self.sizes)

    @property
    def balanced(self) -> bool:
        """Whether every cell has its score and every nest as many levels."""
        return len(self.groups) == self.n_cells

    def table(self, y: Floats) -> Floats:
        """Return scores as an array with an axis for each facet; the layout is balanced."""
        found = np.empty(self.sizes)
        found[tuple(self.positions.T)] = y
        return found

    def typical_sizes(self, object_: str) -> dict[str, float]:
        """Return how many levels of each facet a level of the object meets, harmonic mean.

        Facets are counted within what they are nested in. In a balanced study these are the
        numbers of levels; the object and what it is nested in have size 1.
        """
        design = self.design
        own = design.closure([object_])
        found: dict[str, float] = {}
        for place, name in enumerate(design.facets):
            if name in own:
                found[name] = 1.0
                continue
            within = design.nests[place] | own
            outer = self._combined(within)
            pairs = np.unique(np.column_stack([outer, self._combined(within | {name})]), axis=0)
            counts = np.bincount(pairs[:, 0])
            found[name] = float(counts[0] if np.ptp(counts) == 0 else 1 / np.mean(1 / counts))
        return found

    def _combined(self, facets: frozenset[str]) -> Codes:
        """Return one code for each combination of levels of facets."""
        columns = [
            self.groups[:, number]
            for number, effect in enumerate(self.design.effects)
            if effect.facets <= facets
        ]
        return _joint(columns)


def arrange(labels: Sequence[npt.ArrayLike], design: FacetDesign) -> Layout:
    """Place scores in a design.

    Parameters
    ----------
    labels : sequence of array_like of shape (n,)
        Level of each facet, in the order of the design; levels of a nested facet may be
        labelled within what they are nested in or throughout.
    design : FacetDesign
        Of `parse_design`.

    Returns
    -------
    Layout

    Raises
    ------
    DataError
        With every problem: labels of the wrong number or missing, a cell with several scores,
        a facet without two levels, facets said to cross that are nested in the data, effects
        that cannot be told apart.

    Examples
    --------
    >>> labels = [["a", "b", "a", "b"], ["kyiv", "kyiv", "lviv", "lviv"]]
    >>> arrange(labels, parse_design("person : place")).balanced
    True
    """
    coded = _codes(labels, design)
    place = {name: number for number, name in enumerate(design.facets)}
    groups = np.column_stack(
        [
            _joint([coded[place[f]] for f in sorted(e.facets, key=place.__getitem__)])
            for e in design.effects
        ]
    )
    levels = tuple(int(column.max()) + 1 for column in groups.T)
    positions, sizes = [], []
    for name, outer in zip(design.facets, design.nests, strict=True):
        above = _joint([coded[place[f]] for f in design.facets if f in outer] or [0 * coded[0]])
        own = _joint([above, coded[place[name]]])
        first = np.full(above.max() + 1, len(own))
        np.minimum.at(first, above, own)
        positions.append(own - first[above])
        sizes.append(int(positions[-1].max()) + 1)
    layout = Layout(design, groups, levels, tuple(sizes), np.column_stack(positions))
    _check(layout, coded)
    return layout


def _codes(labels: Sequence[npt.ArrayLike], design: FacetDesign) -> list[Codes]:
    """Return the labels of each facet as codes, in sorted order."""
    columns = [np.asarray(column) for column in labels]
    problems = Problems(f"the labels of the design {design.text!r}")
    if len(columns) != len(design.facets):
        problems.add(f"{len(columns)} columns of labels for {len(design.facets)} facets.")
    shapes = {column.shape for column in columns}
    if len(shapes) > 1 or any(len(shape) != 1 or shape[0] == 0 for shape in shapes):
        told = " and ".join(str(column.shape) for column in columns)
        problems.add(f"labels must have shape (n,), n > 0, alike for all facets, got {told}.")
    problems.raise_any(DataError)
    coded = list[Codes]()
    for name, column in zip(design.facets, columns, strict=True):
        try:
            lacking = int((column != column).sum())  # NaN alone is not itself
            coded.append(np.unique(column, return_inverse=True)[1].astype(np.int64))
        except TypeError:
            problems.add(f"{name}: labels are missing or of kinds that cannot be sorted.")
            continue
        if lacking:
            problems.add(f"{name}: {lacking} of {len(column)} labels are missing.")
    problems.raise_any(DataError)
    return coded


def _joint(columns: Sequence[Codes]) -> Codes:
    """Return codes of combinations, in the order of the columns: the first varies slowest."""
    found: Codes = np.unique(columns[0], return_inverse=True)[1].astype(np.int64)
    for column in columns[1:]:
        width = int(column.max()) + 1
        found = np.unique(found * width + column, return_inverse=True)[1].astype(np.int64)
    return found


def _check(layout: Layout, coded: Sequence[Codes]) -> None:
    """Refuse scores in which the design's effects cannot be told apart."""
    design, n = layout.design, len(layout.groups)
    problems = Problems(f"the scores of the design {design.text!r}")
    if layout.levels[-1] < n:
        cells = np.bincount(layout.groups[:, -1])
        problems.add(
            f"{int((cells > 1).sum())} of {len(cells)} cells hold several scores ({n} in all). "
            "Average them, or name what tells them apart as a further facet, such as "
            f"'occasion : ({design.text})' for repetitions."
        )
    for name, size, outer in zip(design.facets, layout.sizes, design.nests, strict=True):
        if size < 2:
            each = f" within each {' by '.join(sorted(outer))}" if outer else ""
            problems.add(
                f"{name}: one level{each}, and its variance needs two. Leave the facet out of the "
                "design; what it adds is then part of the other variances."
            )
    for inner, around in _hidden_nests(layout, coded):
        problems.add(
            f"{inner}: each level occurs with one level of {around} only, so the facets are "
            f"nested, not crossed. Write '{inner} : {around}', or give the same conditions the "
            "same labels."
        )
    if not problems:
        for one, other in combinations(range(len(design.effects)), 2):
            if (
                layout.levels[one]
                == layout.levels[other]
                == int(_joint([layout.groups[:, one], layout.groups[:, other]]).max()) + 1
            ):
                problems.add(
                    f"{design.effects[one].label} and {design.effects[other].label}: the scores "
                    "that share one share the other, so their variances cannot be told apart. "
                    "Leave a facet out of the design, or add scores."
                )
    problems.raise_any(DataError)


def _hidden_nests(layout: Layout, coded: Sequence[Codes]) -> Iterator[tuple[str, str]]:
    """Yield facets said to cross of which one is nested in the other."""
    design = layout.design
    for one, other in combinations(design.facets, 2):
        place = [design.facets.index(name) for name in (one, other)]
        if design.nests[place[0]] != design.nests[place[1]]:
            continue
        shared = [coded[design.facets.index(f)] for f in design.nests[place[0]]]
        first, second = (_joint([*shared, coded[p]]) for p in place)
        both = int(_joint([first, second]).max()) + 1
        if both == int(first.max()) + 1 and min(layout.sizes[p] for p in place) > 1:
            yield one, other
        elif both == int(second.max()) + 1 and min(layout.sizes[p] for p in place) > 1:
            yield other, one
