"""Decision studies: how well scores generalise, and how many conditions that takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.errors import MethodError, Problems, SpecError, listing, nearest
from lgpi_research.methods.facets import FacetDesign, parse_design
from lgpi_research.methods.generalisability import Components, square_weights

__all__ = [
    "COEFFICIENTS",
    "Decision",
    "coefficient_interval",
    "costs_of",
    "cut_score_dependability",
    "decide",
    "roles",
    "smallest",
]

Floats = npt.NDArray[np.float64]
Sizes = Mapping[str, npt.ArrayLike]

COEFFICIENTS = ("generalisability", "dependability")
"""Of relative decisions (who is higher), and of absolute ones (how high)."""

EPSILON = 1e-12  # what rounding may take from a coefficient that just reaches its target


@dataclass(frozen=True, eq=False)
class Decision:
    """What scores of one design, or of a grid of designs, are worth.

    Every attribute has the shape that the sizes have together.

    Attributes
    ----------
    universe_variance : ndarray
        Variance of the objects' universe scores.
    relative_error, absolute_error : ndarray
        Error variances of comparisons of objects, and of their scores as such.
    generalisability, dependability : ndarray
        Share of universe variance: of it and relative, or of it and absolute error.
    """

    universe_variance: Floats
    relative_error: Floats
    absolute_error: Floats
    generalisability: Floats
    dependability: Floats


def roles(design: FacetDesign, object_: str, fixed: Sequence[str] = ()) -> tuple[str, ...]:
    """Return what each effect is for scores of an object averaged over the facets.

    Parameters
    ----------
    design : FacetDesign
    object_ : str
        Facet whose levels are measured. If it is nested, objects are compared across all
        that they are nested in.
    fixed : sequence of str
        Facets whose conditions are all that scores speak of.

    Returns
    -------
    tuple of str
        For each effect ``"universe"``, ``"relative"`` (error of both kinds), ``"absolute"``
        (error of absolute decisions only) or ``"constant"``.

    Raises
    ------
    SpecError
        If a facet is unknown, the object is fixed, a fixed facet is nested in a random one
        or in the object, the object is nested in a fixed facet, or no facet is random.

    Examples
    --------
    >>> from lgpi_research.methods.facets import parse_design
    >>> design = parse_design("(person : place) x item")
    >>> roles(design, "place")
    ('universe', 'absolute', 'relative', 'relative', 'relative')
    >>> roles(design, "place", ["item"])
    ('universe', 'constant', 'relative', 'universe', 'relative')
    """
    _check_roles(design, object_, fixed)
    own = design.closure([object_])
    random = set(design.facets) - own - set(fixed)
    found = []
    for effect in design.effects:
        of_object, sampled = bool(effect.facets & own), bool(effect.facets & random)
        names = {
            (True, False): "universe",
            (True, True): "relative",
            (False, True): "absolute",
            (False, False): "constant",
        }
        found.append(names[of_object, sampled])
    return tuple(found)


def _check_roles(design: FacetDesign, object_: str, fixed: Sequence[str]) -> None:
    problems = Problems(f"the facets of the design {design.text!r}")
    for what, names in (("object", [object_]), ("fixed", fixed)):
        for name in names:
            if name not in design.facets:
                problems.add(
                    f"{what}: no facet {name!r}; there are {', '.join(design.facets)}."
                    f"{nearest(str(name), design.facets)}"
                )
    problems.raise_any(SpecError)
    own = design.closure([object_])
    for name in fixed:
        loose = design.nests[design.facets.index(name)] - set(fixed)
        if name == object_:
            problems.add(f"fixed: {name} is the object of measurement, whose levels must vary.")
        elif name in own:
            problems.add(
                f"fixed: {name} nests the object, whose levels are compared across it. Decompose "
                f"each {name} by itself to compare within."
            )
        elif loose:
            problems.add(
                f"fixed: {name} is nested in {listing(sorted(loose))}, which is not fixed, so its "
                "conditions change. Leave it random."
            )
    if not set(design.facets) - own - set(fixed):
        problems.add("fixed: no facet is left to generalise over. Leave one random.")
    problems.raise_any(SpecError)


def _divisors(design: FacetDesign, sizes: Sizes, object_: str) -> list[Floats]:
    """Return how many conditions each effect is averaged over for one object."""
    own = design.closure([object_])
    grids = {name: np.asarray(size, dtype=np.float64) for name, size in sizes.items()}
    return [
        prod((grids[f] for f in design.facets if f in e.facets - own), start=np.array(1.0))
        for e in design.effects
    ]


def decide(
    design: FacetDesign,
    variances: npt.ArrayLike,
    sizes: Sizes,
    object_: str,
    fixed: Sequence[str] = (),
) -> Decision:
    r"""Return error variances and coefficients of scores averaged over a design's facets.

    Parameters
    ----------
    design : FacetDesign
    variances : array_like of shape (n_effects,)
        Components, none negative, in the order of the design's effects.
    sizes : mapping of str to array_like
        Conditions of each facet but the object, within those it is nested in; arrays that
        broadcast give a grid. Sizes need not be whole.
    object_ : str
        The object of measurement.
    fixed : sequence of str
        Facets whose conditions are all that scores speak of.

    Returns
    -------
    Decision

    Raises
    ------
    SpecError
        If a facet is unknown or cannot have its role, or a size is missing or below 1.
    MethodError
        If a variance is negative, or all that count are 0.

    Notes
    -----
    The mean over the conditions divides each component by the number of them that an object
    meets, :math:`d_\alpha` [1]_. Effects of the object and fixed facets only make up the
    universe-score variance :math:`\sigma^2_\tau`; those of the object with random facets the
    relative error :math:`\sigma^2_\delta`; and all effects with random facets the absolute
    error :math:`\sigma^2_\Delta`:

    .. math::

        E\rho^2 = \frac{\sigma^2_\tau}{\sigma^2_\tau + \sigma^2_\delta}, \qquad
        \Phi = \frac{\sigma^2_\tau}{\sigma^2_\tau + \sigma^2_\Delta}.

    References
    ----------
    .. [1] Brennan, R. L. (2001). *Generalizability Theory*. Springer.

    Examples
    --------
    >>> from lgpi_research.methods.facets import parse_design
    >>> found = decide(parse_design("unit x coder"), [2.556, 5.244, 1.019], {"coder": [1, 4]},
    ...                "unit")
    >>> found.generalisability.round(3).tolist(), found.dependability.round(3).tolist()
    ([0.715, 0.909], [0.29, 0.62])
    """
    kinds = roles(design, object_, fixed)
    _check_sizes(design, sizes, object_)
    components = np.asarray(variances, dtype=np.float64)
    if (components < 0).any() or not np.isfinite(components).all():
        raise MethodError("variance components must be finite and not negative; set those to 0.")
    shares = [v / d for v, d in zip(components, _divisors(design, sizes, object_), strict=True)]
    shape = np.broadcast_shapes(*(np.shape(share) for share in shares))
    universe, relative, absolute = (
        np.broadcast_to(
            sum((s for s, k in zip(shares, kinds, strict=True) if k == kind), np.array(0.0)), shape
        )
        for kind in ("universe", "relative", "absolute")
    )
    if not (universe + relative > 0).all():
        raise MethodError(
            f"the scores of {object_} do not differ: neither universe scores nor relative errors "
            "have variance, so no coefficient is defined."
        )
    whole = relative + absolute
    return Decision(
        universe, relative, whole, universe / (universe + relative), universe / (universe + whole)
    )


def _check_sizes(design: FacetDesign, sizes: Sizes, object_: str) -> None:
    problems = Problems("the sizes")
    wanted = [f for f in design.facets if f not in design.closure([object_])]
    for name in wanted:
        if name not in sizes:
            problems.add(f"{name}: no size is given.")
    for name, size in sizes.items():
        if name not in design.facets:
            problems.add(
                f"{name}: no such facet; there are {', '.join(wanted)}.{nearest(name, wanted)}"
            )
        elif name not in wanted:
            problems.add(f"{name}: is the object of measurement or nests it, and has no size.")
        elif not _valid_sizes(size):
            shown = listing(np.ravel(np.asarray(size, dtype=np.object_)))
            problems.add(f"{name}: sizes must be numbers of at least 1, got {shown}.")
    problems.raise_any(SpecError)


def _valid_sizes(size: npt.ArrayLike) -> bool:
    try:
        numbers = np.asarray(size, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return bool(np.all(np.isfinite(numbers) & (numbers >= 1)))


def coefficient_interval(
    components: Components,
    sizes: Mapping[str, float],
    object_: str,
    fixed: Sequence[str] = (),
    *,
    kind: str = "generalisability",
    level: float = 0.95,
) -> tuple[float, float]:
    r"""Return the interval of a coefficient of generalisability or dependability.

    Parameters
    ----------
    components : Components
    sizes : mapping of str to float
        One size for each facet but the object.
    object_ : str
    fixed : sequence of str
    kind : {"generalisability", "dependability"}
    level : float, default 0.95

    Returns
    -------
    tuple of float
        Lower and upper end, in [0, 1].

    Raises
    ------
    SpecError
        As `decide`, or if the kind is unknown.
    MethodError
        As `decide`.

    Notes
    -----
    **An object that is not nested**: the object's mean square over the number of scores of an
    object, M, is expected to be :math:`\sigma^2_o + R`, with R the sum
    of the object's other components over their numbers of conditions in the study. If the
    coefficient were :math:`\rho`, then :math:`\sigma^2_o = \rho/(1-\rho)\,E - F`, with E the
    error variance and F what fixed facets add, so :math:`M / [\rho E/(1-\rho) - F + R]` has
    about the F distribution, Satterthwaite's degrees of freedom below [1]_, taken at the
    estimate. Its quantiles are solved for :math:`\rho`. For one facet this is Feldt's exact
    interval of coefficient alpha, and McGraw and Wong's of ICC(A, ·).

    **A nested object**: normal limits of :math:`\log(1 - \rho)` by the delta method.

    References
    ----------
    .. [1] Satterthwaite, F. E. (1946). An approximate distribution of estimates of variance
       components. *Biometrics Bulletin*, 2, 110-114.

    Examples
    --------
    >>> from lgpi_research.methods.facets import parse_design
    >>> from lgpi_research.methods.generalisability import variance_components
    >>> ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6],
    ...                     [10, 5, 6, 9], [6, 2, 4, 7]])
    >>> unit, coder = np.indices(ratings.shape).reshape(2, -1)
    >>> found = variance_components(ratings.ravel(), [unit, coder], parse_design("unit x coder"))
    >>> [round(end, 2) for end in coefficient_interval(found, {"coder": 4}, "unit")]
    [0.68, 0.99]
    """
    if kind not in COEFFICIENTS:
        raise SpecError(
            f"kind must be {' or '.join(COEFFICIENTS)}, got {kind!r}.{nearest(kind, COEFFICIENTS)}"
        )
    design = components.design
    decision = decide(design, components.variances, sizes, object_, fixed)
    error = float(
        decision.relative_error if kind == "generalisability" else decision.absolute_error
    )
    estimate = float(getattr(decision, kind))
    if error == 0:
        return 1.0, 1.0
    counted = {"generalisability": ("relative",), "dependability": ("relative", "absolute")}[kind]
    kinds = roles(design, object_, fixed)
    divided = np.array([1 / float(d) for d in _divisors(design, sizes, object_)])
    kept = divided * (components.estimates > 0)  # those set to 0 are taken to be absent
    of_error = kept * [k in counted for k in kinds]
    of_universe = kept * [k == "universe" for k in kinds]
    if len(design.closure([object_])) > 1:
        if estimate == 0:  # the components are at 0, but not known to be
            of_universe = divided * [k == "universe" for k in kinds]
        return _delta_interval(components, of_universe, of_error, estimate, level)
    return _f_interval(components, of_universe, of_error, object_, level)


def _delta_interval(
    components: Components, universe: Floats, error: Floats, estimate: float, level: float
) -> tuple[float, float]:
    """Return normal limits of log(1 - coefficient) = log error - log (universe + error)."""
    values = components.estimates
    whole = float(error @ values) + max(float(universe @ values), 0.0)
    slope = error / (error @ values) - (error + universe) / whole
    spread = float(np.sqrt(slope @ components.covariance @ slope))
    reach = float(np.exp(stats.norm.isf((1 - level) / 2) * spread))
    return max(1 - (1 - estimate) * reach, 0.0), 1 - (1 - estimate) / reach


def _f_interval(
    components: Components, universe: Floats, error: Floats, object_: str, level: float
) -> tuple[float, float]:
    """Return the ends at which the object's mean square is a quantile of its distribution."""
    squares, own = components.squares, _place(components.design, object_)
    weights = square_weights(components.expected)
    repeats = float(components.expected[own, own])
    middle = float(squares[own]) / repeats
    # R - F in mean squares: what the object's own mean square holds beside its component, less
    # what fixed facets add to the universe score.
    fixed = universe.copy()
    fixed[own] = 0
    rest = -weights[own] - fixed @ weights
    rest[own] += 1 / repeats
    errors = error @ weights
    known, unit = float(rest @ squares), float(errors @ squares)
    odds = max((middle - known) / unit, 0.0)
    below = (odds * errors + rest) * squares
    v = float(below.sum() ** 2 / (below**2 / components.df).sum())
    tail = (1 - level) / 2
    quantiles = stats.f.isf([tail, 1 - tail], components.df[own], v)
    low, high = np.maximum((middle / quantiles - known) / unit, 0.0)
    return float(low / (1 + low)), float(high / (1 + high))


def _place(design: FacetDesign, object_: str) -> int:
    """Return which effect is that of the object."""
    return [effect.facets for effect in design.effects].index(design.closure([object_]))


def cut_score_dependability(
    components: Components,
    sizes: Mapping[str, float],
    object_: str,
    cut: float,
    fixed: Sequence[str] = (),
) -> float:
    r"""Return the dependability of decisions about which objects reach a cut score.

    Parameters
    ----------
    components : Components
    sizes : mapping of str to float
    object_ : str
    cut : float
        The cut score, in the units of the scores.
    fixed : sequence of str

    Returns
    -------
    float

    Raises
    ------
    SpecError
        As `decide`.
    MethodError
        As `decide`.

    Notes
    -----
    With the mean :math:`\bar X` of the study and its error variance [1]_,

    .. math::

        \Phi(\lambda) = \frac{\sigma^2_\tau + m^2}{\sigma^2_\tau + m^2 + \sigma^2_\Delta},
        \quad m^2 = \max\{(\bar X - \lambda)^2 - \hat\sigma^2(\bar X), 0\},

    where :math:`\hat\sigma^2(\bar X) = \sum_\alpha \sigma^2_\alpha / (d_\alpha n_\alpha)` over
    all effects but those of fixed facets only: :math:`d_\alpha` is the number of conditions
    given, as in `decide`, and :math:`n_\alpha` the number of levels in the study of what
    :math:`\alpha` shares with the object and its nests, 1 if nothing. For an object that is not
    nested this is :math:`(\sigma^2_\tau + \sigma^2_\delta)/n_o + \sigma^2_\Delta -
    \sigma^2_\delta`.

    References
    ----------
    .. [1] Brennan, R. L. (2001). *Generalizability Theory*. Springer.

    Examples
    --------
    >>> from lgpi_research.methods.facets import parse_design
    >>> from lgpi_research.methods.generalisability import variance_components
    >>> found = variance_components([1, 2, 2, 3, 4, 5, 6, 6], np.indices((4, 2)).reshape(2, -1),
    ...                             parse_design("unit x coder"))
    >>> low, high = (cut_score_dependability(found, {"coder": 2}, "unit", c) for c in (3.6, 9))
    >>> low < high
    True
    """
    design = components.design
    found = decide(design, components.variances, sizes, object_, fixed)
    own = design.closure([object_])
    levels = dict(zip([e.facets for e in design.effects], components.levels, strict=True))
    levels[frozenset()] = 1
    of_mean = sum(
        float(variance / met) / levels[effect.facets & own]
        for effect, variance, met, kind in zip(
            design.effects,
            components.variances,
            _divisors(design, sizes, object_),
            roles(design, object_, fixed),
            strict=True,
        )
        if kind != "constant"
    )
    universe = float(found.universe_variance) + max((components.mean - cut) ** 2 - of_mean, 0.0)
    return universe / (universe + float(found.absolute_error))


def costs_of(
    design: FacetDesign, unit_costs: Mapping[str, float], sizes: Sizes, object_: str
) -> Floats:
    """Return what the scores of one object cost.

    Parameters
    ----------
    design : FacetDesign
    unit_costs : mapping of str to float
        Cost of one condition of a facet, or of one combination, such as ``"person x item"``
        for an answer. A nested facet is paid for in each level it is nested in.
    sizes : mapping of str to array_like
        As for `decide`.
    object_ : str

    Returns
    -------
    ndarray
        Of the shape that the sizes have together.

    Raises
    ------
    SpecError
        If a cost is negative or of something that is no combination of facets.

    Examples
    --------
    >>> from lgpi_research.methods.facets import parse_design
    >>> design = parse_design("(person : place) x item")
    >>> costs_of(design, {"person": 10, "person x item": 0.5}, {"person": 20, "item": [4, 8]},
    ...          "place").tolist()
    [240.0, 280.0]
    """
    problems = Problems("the costs")
    own = design.closure([object_])
    paid: list[tuple[frozenset[str], float]] = []
    for text, cost in unit_costs.items():
        try:
            names = (text,) if text in design.facets else parse_design(text).facets
        except SpecError:
            problems.add(
                f"{text}: is no facet, and no combination such as 'person x item'; there are "
                f"{', '.join(design.facets)}.{nearest(text, design.facets)}"
            )
            continue
        strange = [name for name in names if name not in design.facets]
        if strange:
            problems.add(
                f"{text}: no facet {listing(strange)}; there are {', '.join(design.facets)}."
            )
        elif not (np.isfinite(cost) and cost >= 0):
            problems.add(f"{text}: a cost must be a number of at least 0, got {cost!r}.")
        else:
            paid.append((design.closure(names) - own, float(cost)))
    problems.raise_any(SpecError)
    grids = {name: np.asarray(size, dtype=np.float64) for name, size in sizes.items()}
    shape = np.broadcast_shapes(*(grid.shape for grid in grids.values()))
    total = np.zeros(shape)
    for met, cost in paid:
        counts = (grids[name] for name in design.facets if name in met)
        total = total + cost * prod(counts, start=np.array(1.0))
    return total


def smallest(reached: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Return which designs of a grid reach a target while none that is smaller does.

    Parameters
    ----------
    reached : array_like of bool, with an axis for each facet, sizes rising
        Whether each design reaches the target.

    Returns
    -------
    ndarray of bool, of the same shape
        True where the target is reached, and by no other design of at most the same size in
        every facet.

    Examples
    --------
    >>> smallest([[False, False, True], [False, True, True]]).tolist()
    [[False, False, True], [False, True, False]]
    """
    given = np.asarray(reached, dtype=bool)
    known = given.copy()
    for axis in range(given.ndim):
        known = np.logical_or.accumulate(known, axis=axis)
    before = np.zeros_like(given)
    for axis in range(given.ndim):
        shifted = np.roll(known, 1, axis=axis)
        shifted[(slice(None),) * axis + (0,)] = False
        before |= shifted
    return np.asarray(given & ~before)
