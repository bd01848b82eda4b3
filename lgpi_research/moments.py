"""Moments: a survey as sums over its clusters (PSUs), and the files that hold them.

A replicate of a survey multiplies each cluster by a number, so many replicates are one
product with these sums, and an estimator is a function of the sums it names. Answers
are read once, in chunks that add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research.blocks import digest
from lgpi_research.codebook import Codebook
from lgpi_research.columns import to_numeric
from lgpi_research.errors import DataError, Problems, SpecError, listing, nearest
from lgpi_research.indicators import Indicators
from lgpi_research.methods.consistency import Spread
from lgpi_research.methods.places import place_means
from lgpi_research.methods.replicates import LONELY
from lgpi_research.methods.sums import LAYOUTS, Layout, add_rows, one_hot
from lgpi_research.results import read_parquet, write_parquet

__all__ = ["Moments", "Scale", "as_labels", "checked_weights", "clusters"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

NEEDS = ("means", "variances", "covariance")
MISSING = ("listwise", "pairwise")

_STEADY = 20  # PSUs a place from which its standard error is steady enough for a reliability


@dataclass(frozen=True)
class Scale:
    """A set of items whose sums are kept together.

    Parameters
    ----------
    name : str
        What the scale is called, usually a dimension of the codebook.
    items : tuple of str
        Its items, in order.
    needs : {"covariance", "variances", "means"}, default "covariance"
        What can be had from the sums: item covariances; item variances and the
        variance of the sum score, which is what alpha needs; or item means.
    missing : {"listwise", "pairwise"}, default "listwise"
        Which answers count: those of respondents who answered every item of the scale,
        or, for each pair of items, those of respondents who answered both. Means use
        every answer to their item.
    reverse : tuple of str
        Items that count with the opposite sign, so that all point the same way.
    measurement : {"reflective", "formative"}, default "reflective"
        What the codebook says of the items.

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

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(self.items))
        object.__setattr__(self, "reverse", tuple(self.reverse))
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
        problems.raise_any(SpecError)

    @property
    def layout(self) -> Layout:
        """Which sums are kept."""
        return LAYOUTS[self.missing if self.needs == "covariance" else self.needs]

    @property
    def signs(self) -> Floats:
        """-1.0 for reversed items, otherwise 1.0, shape (k,)."""
        return np.where([item in self.reverse for item in self.items], -1.0, 1.0)

    @property
    def width(self) -> int:
        """Number of sums for each PSU."""
        return self.layout.width(len(self.items))


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over the answers of each PSU: what a survey's statistics are functions of.

    Make them with `from_answers` or `lgpi_research.survey.Survey.moments`; chunks of
    answers add up with ``+``.

    Attributes
    ----------
    psus : DataFrame of shape (n_psu, 3)
        ``psu``, ``stratum`` and ``place`` of each PSU as text, sorted by stratum and PSU;
        a design without strata or places has one, called "".
    scales : tuple of Scale
        The sets of items.
    centre : ndarray of shape (n_items over all scales,)
        What was subtracted from the answers (after reversing) before they were
        squared, so that no digits are lost; one of the answers itself.
    sums : ndarray of shape (n_psu, n_columns)
        The columns of the scales side by side.
    dropped : ndarray of int of shape (n_psu, n_scales)
        Respondents with a positive weight whose answers a scale could not use.
    lonely : {"fail", "certainty"}
        What is done with a stratum of one PSU
        (`lgpi_research.methods.replicates.strata_sizes`).
    notes : tuple of str
        What was set aside.
    """

    psus: pd.DataFrame
    scales: tuple[Scale, ...]
    centre: Floats
    sums: Floats
    dropped: npt.NDArray[np.int64]
    lonely: str = "fail"
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def from_answers(
        cls,
        answers: npt.ArrayLike | pd.DataFrame,
        *,
        psu: npt.ArrayLike | pd.Series,
        stratum: npt.ArrayLike | pd.Series | None = None,
        place: npt.ArrayLike | pd.Series | None = None,
        weight: npt.ArrayLike | pd.Series | None = None,
        items: Sequence[str] | None = None,
        needs: str = "covariance",
        missing: str = "listwise",
        reverse: Sequence[str] = (),
        scales: Sequence[Scale] | None = None,
        lonely: str = "fail",
        where: str = "the answers",
    ) -> Moments:
        r"""Read answers once and keep their sums for each PSU.

        Parameters
        ----------
        answers : array_like or DataFrame of shape (n, k)
            Answers as numbers; NaN is a missing one.
        psu : array_like of shape (n,)
            Primary sampling unit of each respondent.
        stratum : array_like of shape (n,), optional
            Stratum of the PSU.
        place : array_like of shape (n,), optional
            Place that the PSU lies in.
        weight : array_like of shape (n,), optional
            Design weight, at least 0; 1 if None.
        items : sequence of str, optional
            Names of the columns of an array, or the columns to take of a DataFrame.
        needs, missing, reverse
            Of the one scale of all items; see `Scale`.
        scales : sequence of Scale, optional
            Several scales at once, in place of `needs`, `missing` and `reverse`.
        lonely : {"fail", "certainty"}, default "fail"
            What estimators do with a stratum of one PSU.
        where : str, default "the answers"
            What the answers are called in messages.

        Returns
        -------
        Moments

        Raises
        ------
        DataError
            With every problem: lengths that differ, missing PSUs, a PSU in two strata or
            places, weights that are missing, negative or all zero, infinite answers.
        SpecError
            If a scale is not valid or names an unknown item.

        Notes
        -----
        For each PSU and scale with items x, weights w and centre c the sums are of 1,
        w, :math:`w(x-c)`, and :math:`w(x-c)(x-c)'`, or of its diagonal and of the
        squared sum score if only variances are needed. Covariances have the divisor
        :math:`\sum w\,(n-1)/n`, so that without weights they are the usual ones, with
        n − 1. Pairwise ones use, for each pair, the respondents who answered both.

        Examples
        --------
        >>> answers = [[1, 2], [2, 2], [4, 5], [5, 3]]
        >>> moments = Moments.from_answers(answers, psu=["a", "a", "b", "b"])
        >>> moments.spread().covariance.round(3)
        array([[3.333, 1.667],
               [1.667, 2.   ]])
        """
        table, names = _table(answers, items, where)
        if scales is None:
            scales = (Scale("all items", names, needs, missing, tuple(reverse)),)
        _check_scales(scales, names, lonely)
        columns = [[names.index(item) for item in scale.items] for scale in scales]
        n = len(table)
        problems = Problems(where)
        codes, psus = clusters(n, {"psu": psu, "stratum": stratum, "place": place}, problems)
        weights = checked_weights(n, weight, problems)
        problems.extend(_infinite(table, names, columns))
        problems.raise_any(DataError)
        taking = weights > 0
        notes: tuple[str, ...] = ()
        if not taking.all():
            notes = (f"{int((~taking).sum())} of {n} respondents have weight 0 and are left out.",)
            table, weights, codes = table[taking], weights[taking], codes[taking]
        sums = np.zeros((len(psus), sum(scale.width for scale in scales)))
        dropped = np.zeros((len(psus), len(scales)), dtype=np.int64)
        centres, start = [], 0
        everyone = np.bincount(codes, minlength=len(psus))
        for number, (scale, chosen) in enumerate(zip(scales, columns, strict=True)):
            centre = _centre(table, chosen) * scale.signs
            block = sums[:, start : start + scale.width]
            add_rows(scale.layout, block, table, chosen, scale.signs, centre, weights, codes)
            dropped[:, number] = everyone - block[:, 0].astype(np.int64)
            centres.append(centre)
            start += scale.width
        return cls(psus, tuple(scales), np.concatenate(centres), sums, dropped, lonely, notes)

    def __post_init__(self) -> None:
        if self.lonely not in LONELY:
            raise SpecError(f"lonely must be {' or '.join(LONELY)}, got {self.lonely!r}.")

    def __repr__(self) -> str:
        scales = ", ".join(f"{s.name} ({len(s.items)} items)" for s in self.scales)
        return f"Moments of {self.n_psu} PSUs: {scales}"

    @property
    def n_psu(self) -> int:
        """Number of PSUs."""
        return len(self.psus)

    @property
    def strata(self) -> npt.NDArray[Any]:
        """Stratum of each PSU, shape (n_psu,)."""
        return self.psus["stratum"].to_numpy()

    @property
    def digest(self) -> str:
        """SHA-256 of design, scales and sums."""
        scales = [asdict(scale) for scale in self.scales]
        return digest(self.psus, scales, self.centre, self.sums, self.dropped, self.lonely)

    def scale(self, name: str | None = None) -> Scale:
        """Return a scale by name; without a name, the only one.

        Raises
        ------
        SpecError
            If there is no such scale, or there are several and none is named.
        """
        return self.scales[self._number(name)]

    def _number(self, name: str | None) -> int:
        names = [scale.name for scale in self.scales]
        if name is None and len(names) == 1:
            return 0
        if name is None:
            raise SpecError(f"Name one of the {len(names)} scales: {listing(names)}.")
        if name not in names:
            raise SpecError(f"No scale {name!r}.{nearest(name, names)} Known: {listing(names)}.")
        return names.index(name)

    def _columns(self, number: int) -> slice:
        start = sum(scale.width for scale in self.scales[:number])
        return slice(start, start + self.scales[number].width)

    def _centre(self, number: int) -> Floats:
        start = sum(len(scale.items) for scale in self.scales[:number])
        return self.centre[start : start + len(self.scales[number].items)]

    def n_used(self, name: str | None = None) -> int:
        """Return how many respondents a scale rests on."""
        return int(self.sums[:, self._columns(self._number(name)).start].sum())

    def n_least(self, name: str | None = None) -> int:
        """Return the smallest number of respondents behind a covariance of a scale."""
        number = self._number(name)
        scale, start = self.scales[number], self._columns(number).start
        counts = self.sums[:, start : start + scale.layout.n_counts(len(scale.items))]
        return int(counts.sum(axis=0).min())

    def n_dropped(self, name: str | None = None) -> int:
        """Return how many respondents a scale could not use."""
        return int(self.dropped[:, self._number(name)].sum())

    def has_answers(self, name: str | None = None) -> npt.NDArray[np.bool_]:
        """Return which PSUs have a respondent that a scale uses, shape (n_psu,)."""
        return np.asarray(self.sums[:, self._columns(self._number(name)).start] > 0)

    def replicate(self, multipliers: npt.ArrayLike) -> Floats:
        """Return the sums of replicates of the survey.

        Parameters
        ----------
        multipliers : array_like of shape (n_replicates, n_psu)
            What each PSU counts for in each replicate
            (`lgpi_research.methods.replicates`).

        Returns
        -------
        ndarray of shape (n_replicates, n_columns)
            To be given to `spread` or `means`.
        """
        return np.asarray(np.asarray(multipliers, dtype=np.float64) @ self.sums)

    def spread(self, name: str | None = None, sums: Floats | None = None) -> Spread:
        """Return variances and covariances of the items of a scale.

        Parameters
        ----------
        name : str, optional
            The scale; not needed if there is one.
        sums : ndarray of shape (…, n_columns), optional
            Sums of replicates from `replicate`; the survey's own if None.

        Returns
        -------
        Spread
            With leading axes (…); NaN where fewer than two respondents are left.

        Raises
        ------
        SpecError
            If the scale is unknown or holds means only.
        """
        number = self._number(name)
        scale = self.scales[number]
        own = self.sums.sum(axis=0) if sums is None else sums
        if scale.layout.spread is None:
            raise SpecError(f"scale {scale.name!r} holds means; variances were not kept.")
        return scale.layout.spread(own[..., self._columns(number)], len(scale.items))

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of both parts of a survey.

        Raises
        ------
        DataError
            If the scales differ, or a PSU lies in another stratum or place there.
        """
        if self.scales != other.scales or self.lonely != other.lonely:
            raise DataError(
                "moments add up only if they hold the same scales, with the same items, needs "
                "and treatment of missing answers and of strata with one PSU."
            )
        sums = np.concatenate([self.sums, other._recentred(self.centre)])
        dropped = np.concatenate([self.dropped, other.dropped])
        joined = pd.concat([self.psus, other.psus], ignore_index=True)
        problems = Problems("the two parts")
        # A design without strata or places calls the one it has "".
        roles = {str(r): joined[r] if (joined[r] != "").any() else None for r in joined}
        codes, psus = clusters(len(joined), roles, problems)
        problems.raise_any(DataError)
        notes = tuple(dict.fromkeys((*self.notes, *other.notes)))
        both = replace(self, psus=psus, notes=notes)
        return both._grouped(codes, psus, sums, dropped)

    def _grouped(
        self, codes: Ints, psus: pd.DataFrame, sums: Floats, dropped: npt.NDArray[np.int64]
    ) -> Moments:
        """Return moments whose PSU number `codes[i]` holds row i, among others."""
        gather = one_hot(codes, len(psus))
        counts = np.rint(gather @ dropped).astype(np.int64)
        return replace(self, psus=psus, sums=gather @ sums, dropped=counts)

    def _recentred(self, centre: Floats) -> Floats:
        """Return the sums about another centre."""
        moved = self.sums.copy()
        start = 0
        for number, scale in enumerate(self.scales):
            k = len(scale.items)
            shift = centre[start : start + k] - self._centre(number)
            start += k
            if shift.any():
                scale.layout.shift(moved[:, self._columns(number)], shift)
        return moved

    def means(
        self, name: str | None = None, *, pooled: bool = False
    ) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Return the mean of each item in each place, with its design-based standard error.

        Parameters
        ----------
        name : str, optional
            A scale with ``needs="means"``; not needed if there is one.
        pooled : bool, default False
            Whether to smooth the errors over places.

        Returns
        -------
        means, std_errors : DataFrame of shape (n_places, k)
            In the units of the items; the index is the place. For the errors, and when
            they are NaN, see `lgpi_research.methods.places.place_means`.
        counts : DataFrame of shape (n_places, k)
            Answers that each mean rests on.

        Raises
        ------
        SpecError
            If there is no such scale, or it holds no means.

        Examples
        --------
        >>> moments = Moments.from_answers(
        ...     [[1.0], [3.0], [4.0], [8.0]], psu=[1, 1, 2, 2], place=["x"] * 4, needs="means"
        ... )
        >>> means, errors, counts = moments.means()
        >>> float(means.iloc[0, 0]), float(errors.iloc[0, 0]), int(counts.iloc[0, 0])
        (4.0, 2.0, 4)
        """
        number = self._number(name)
        scale = self.scales[number]
        if scale.needs != "means":
            raise SpecError(f"scale {scale.name!r} holds no means; take some with needs='means'.")
        k = len(scale.items)
        table = self.sums[:, self._columns(number)]
        counts, weights, sums = (table[:, 1 + i * k : 1 + (i + 1) * k] for i in range(3))
        mean, error, answered = place_means(
            counts,
            weights,
            sums,
            self.psus["place"].to_numpy(),
            self.strata,
            lonely=self.lonely,
            pooled=pooled,
        )
        values = (mean + self._centre(number)) * scale.signs
        index = pd.Index(np.unique(self.psus["place"].to_numpy().astype(str)), name="place")
        columns = list(scale.items)
        return (
            pd.DataFrame(values, index, columns),
            pd.DataFrame(error, index, columns),
            pd.DataFrame(answered, index, columns),
        )

    def indicators(self, codebook: Codebook, *, pooled: bool = False) -> Indicators:
        """Return the places by the means of their items, with standard errors.

        Parameters
        ----------
        codebook : Codebook
            Describes the items; may hold more than were measured.
        pooled : bool, default False
            Whether to smooth the errors over places, as one should with few PSUs a place
            (`lgpi_research.methods.places.place_means`).

        Returns
        -------
        Indicators
            Means and errors of the first scale that holds means, in the units and
            directions of the items.

        Raises
        ------
        SpecError
            If no scale holds means, an item is not in the codebook, or the design names
            no places.
        """
        holding = [scale.name for scale in self.scales if scale.needs == "means"]
        if not holding:
            raise SpecError("no scale holds means: take moments with needs='means'.")
        if (self.psus["place"] == "").all():
            raise SpecError("the design names no places: say which column does (place).")
        means, errors, _ = self.means(holding[0], pooled=pooled)
        notes = list(self.notes)
        unknown = (errors.isna() & means.notna()).sum()
        if unknown.any():
            told = ", ".join(f"{item} {n}" for item, n in unknown[unknown > 0].items())
            notes.append(
                "standard errors are unknown (NaN) where a place has, in some stratum, one PSU "
                f"with answers: {told} of {len(means)} places."
            )
        typical = float(self.psus.groupby("place").size().median())
        if not pooled and typical < _STEADY:
            notes.append(
                f"standard errors rest on {typical:g} PSUs a place (median), so they are noisy, "
                "and a reliability made from them is too high; pooled=True smooths them."
            )
        if pooled:
            notes.append("standard errors are pooled over places: PSU means vary alike in all.")
        book = codebook.select(tuple(means.columns))
        return Indicators(means, book, std_errors=errors, notes=tuple(notes))

    def save(self, path: str | Path, *, min_respondents: int = 5) -> Path:
        """Write the moments as one Parquet file that holds nobody's answers.

        Parameters
        ----------
        path : str or Path
            The file.
        min_respondents : int, default 5
            Smallest number of respondents behind any stored sum. A PSU with fewer is
            merged with the next one, in the order of names, of its stratum and place;
            the last with the one before.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        DataError
            If a PSU is too small and has no neighbour to be merged with, or the file
            cannot be written.
        SpecError
            If the minimum is not a whole number of at least 1.

        Notes
        -----
        Merging leaves every point estimate as it is, and makes sampling errors those of
        fewer clusters. Every count of answers to an item, and to a pair of items, is
        held to the minimum. This keeps single answers from being read off, which is
        less than anonymity: who knows all but one of a cluster can subtract, and
        products of many answers of few people may be solved for them. Before
        publishing, choose a larger minimum, or ``needs="variances"``.
        """
        whole = isinstance(min_respondents, int | np.integer) and min_respondents >= 1
        if isinstance(min_respondents, bool) or not whole:
            raise SpecError(f"min_respondents must be a whole number >= 1, got {min_respondents}.")
        kept = self._merged(int(min_respondents))
        told = {
            "kind": "moments",
            "scales": [asdict(scale) for scale in kept.scales],
            "centre": kept.centre,
            "lonely": kept.lonely,
            "min_respondents": int(min_respondents),
            "notes": list(kept.notes),
        }
        return write_parquet(path, kept.psus, told, {"sums": kept.sums, "dropped": kept.dropped})

    @classmethod
    def load(cls, path: str | Path) -> Moments:
        """Read moments that `save` wrote.

        Raises
        ------
        DataError
            If the file is missing, damaged, or holds something else.
        """
        psus, told, arrays = read_parquet(path, ("moments",))
        scales = tuple(
            Scale(**{**scale, "items": tuple(scale["items"]), "reverse": tuple(scale["reverse"])})
            for scale in told["scales"]
        )
        centre = np.asarray(told["centre"], dtype=np.float64)
        sums, dropped = arrays["sums"], arrays["dropped"]
        return cls(psus, scales, centre, sums, dropped, told["lonely"], tuple(told["notes"]))

    def _merged(self, minimum: int) -> Moments:
        """Return moments in which every count is 0 or at least `minimum`."""
        starts = [self._columns(number).start for number in range(len(self.scales))]
        counts = np.concatenate(
            [
                self.sums[:, start : start + scale.layout.n_counts(len(scale.items))]
                for start, scale in zip(starts, self.scales, strict=True)
            ],
            axis=1,
        )
        groups: list[list[int]] = []
        refused: list[str] = []
        for _, rows in self.psus.groupby(["stratum", "place"], sort=True).indices.items():
            found = _merge(counts, np.asarray(rows), minimum)
            groups.extend(found)
            if _small(counts[found[-1]].sum(axis=0), minimum):
                refused.extend(self.psus["psu"].iloc[found[-1]])
        if refused:
            raise DataError(
                f"{len(refused)} of {self.n_psu} PSUs are too small to be written "
                f"({listing(refused)}): fewer than {minimum} respondents stand behind some sum, "
                "and there is no neighbour in the same stratum and place to merge with. "
                "Join strata or places, keep fewer items or sums, or lower min_respondents."
            )
        if len(groups) == self.n_psu:
            return self
        labels = self.psus["psu"].to_numpy()
        merged = [" + ".join(labels[rows]) for rows in groups]
        codes = np.empty(self.n_psu, dtype=np.intp)
        for number, rows in enumerate(groups):
            codes[rows] = number
        first = [rows[0] for rows in groups]
        psus = self.psus.iloc[first].assign(psu=merged).reset_index(drop=True)
        order = _sorted(psus)
        place_of = np.empty_like(order)
        place_of[order] = np.arange(len(order))
        names = [name for name, rows in zip(merged, groups, strict=True) if len(rows) > 1]
        note = (
            f"{self.n_psu} PSUs became {len(groups)}, so that at least {minimum} respondents are "
            f"behind every sum; merged: {listing(names, most=20)}."
        )
        kept = replace(self, notes=(*self.notes, note))
        ordered = psus.iloc[order].reset_index(drop=True)
        return kept._grouped(place_of[codes], ordered, self.sums, self.dropped)


def as_labels(values: pd.Series) -> pd.Series:
    """Return values as text; whole numbers lose their point, missing values stay missing.

    Examples
    --------
    >>> as_labels(pd.Series([412.0, None])).tolist()
    ['412', nan]
    """
    if pd.api.types.is_float_dtype(values):
        known = values.dropna()
        if (known == known.round()).all() and (known.abs() < 2**53).all():
            values = values.astype("Int64")
    return values.astype("str").mask(values.isna())


def _table(
    answers: npt.ArrayLike | pd.DataFrame, items: Sequence[str] | None, where: str
) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Return answers as an array, and the names of its columns."""
    if isinstance(answers, pd.DataFrame):
        columns = [str(name) for name in answers.columns]
        names = tuple(columns if items is None else items)
        problems = Problems(where)
        for name in dict.fromkeys(names):
            if columns.count(name) != 1:
                found = columns.count(name)
                hint = nearest(name, columns) if not found else ""
                problems.add(f"{name}: {found or 'no'} columns have this name.{hint}")
        problems.raise_any(DataError)
        chosen = [columns.index(name) for name in names]
        whole = chosen == list(range(len(columns)))
        frame = answers if whole else answers.iloc[:, chosen]
        try:
            return frame.to_numpy(dtype=np.float64, na_value=np.nan), names
        except (TypeError, ValueError):  # text, dates: said, or read as the numbers they are
            return to_numeric(frame, names, where).to_numpy(), names
    table = np.asarray(answers)
    if table.ndim != 2 or table.dtype.kind not in "fiub":
        raise DataError(
            f"answers must be numbers in a table of respondents by items, got {table.dtype} of "
            f"shape {table.shape}."
        )
    names = tuple(items or (f"item {i + 1}" for i in range(table.shape[1])))
    if len(names) != table.shape[1]:
        raise DataError(f"{len(names)} items are named, and the table has {table.shape[1]}.")
    return table, names


def _infinite(
    table: npt.NDArray[Any], names: tuple[str, ...], columns: list[list[int]]
) -> list[str]:
    """Say which items have infinite answers; one sum tells if there can be any."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(table.sum(dtype=np.float64)):
            return []
    odd = np.isinf(table).sum(axis=0)
    used = sorted({column for chosen in columns for column in chosen if odd[column]})
    return [f"{names[i]}: {odd[i]} of {len(table)} answers are infinite." for i in used]


def _check_scales(scales: Sequence[Scale], names: tuple[str, ...], lonely: str) -> None:
    problems = Problems("the scales")
    if not scales:
        problems.add("there is none.")
    if len({scale.name for scale in scales}) < len(scales):
        problems.add("two have the same name.")
    if lonely not in LONELY:
        problems.add(f"lonely must be {' or '.join(LONELY)}, got {lonely!r}.")
    for scale in scales:
        for item in scale.items:
            if item not in names:
                problems.add(f"{scale.name}: there is no item {item!r}.{nearest(item, names)}")
    problems.raise_any(SpecError)


def clusters(
    n: int,
    roles: Mapping[str, npt.ArrayLike | pd.Series | None],
    problems: Problems,
    called: Mapping[str, str] | None = None,
) -> tuple[Ints, pd.DataFrame]:
    """Return the PSU of each row as a number, and the PSUs with their stratum and place.

    Parameters
    ----------
    n : int
        Number of respondents.
    roles : mapping of str to array_like of shape (n,) or None
        ``psu``, ``stratum`` and ``place``; None where the design has none.
    problems : Problems
        What is wrong is added here; if anything is, do not use what is returned.
    called : mapping of str to str, optional
        What to call a role in messages, such as its column.

    Returns
    -------
    codes : ndarray of shape (n,)
        Row of each respondent's PSU in `psus`.
    psus : DataFrame of shape (n_psu, 3)
        Sorted by stratum and PSU, as text.
    """
    names = {role: (called or {}).get(role, role) for role in roles}
    codes, labels, lacking = {}, {}, n == 0
    if n == 0:
        problems.add("there are no respondents.")
    for role, values in roles.items():
        if values is None:
            codes[role], labels[role] = np.zeros(n, dtype=np.intp), np.array([""])
            continue
        given = pd.Series(values)
        if len(given) != n:
            problems.add(f"{names[role]}: {len(given)} values for {n} respondents.")
            lacking = True
            continue
        found, unique = pd.factorize(given)
        text, again = np.unique(
            as_labels(pd.Series(unique)).to_numpy().astype(str), return_inverse=True
        )
        blank = found < 0
        if len(text):
            found = again[found]
            blank |= (np.char.strip(text) == "")[found]
        if blank.any():
            rows = listing(np.flatnonzero(blank) + 1, most=3)
            problems.add(
                f"{names[role]}: {blank.sum()} of {n} respondents have none (rows {rows}). "
                "Every respondent needs one: fill it in, or leave those rows out."
            )
            lacking = True
        codes[role], labels[role] = found, text
    if lacking:
        return np.zeros(0, dtype=np.intp), pd.DataFrame()
    psu, n_psu = codes["psu"], len(labels["psu"])
    first = np.full(n_psu, n)
    np.minimum.at(first, psu, np.arange(n))
    of = {"psu": labels["psu"]}
    for role in ("stratum", "place"):
        of[role] = labels[role][codes[role][first]]
        differs = codes[role] != codes[role][first][psu]
        if differs.any():
            several = np.unique(psu[differs])
            pairs = zip(labels["psu"][psu], labels[role][codes[role]], strict=True)
            where: dict[str, list[str]] = {name: [] for name in labels["psu"][several[:3]]}
            for name, label in dict.fromkeys(pairs):
                if name in where:
                    where[name].append(repr(str(label)))
            shown = [f"{name} in {listing(found)}" for name, found in where.items()]
            more = f" and {len(several) - 3} more" if len(several) > 3 else ""
            problems.add(
                f"{names['psu']}: {len(several)} of {n_psu} clusters found in more than one {role} "
                f"({'; '.join(shown)}{more}). Each cluster needs one {role}; if numbers start "
                f"again in each {role}, join the two into one name."
            )
    psus = pd.DataFrame(of, dtype="str")
    order = _sorted(psus)
    position = np.empty_like(order)
    position[order] = np.arange(n_psu)
    return position[psu], psus.iloc[order].reset_index(drop=True)


def _sorted(psus: pd.DataFrame) -> Ints:
    return np.asarray(np.lexsort([psus["psu"].to_numpy(), psus["stratum"].to_numpy()]))


def checked_weights(
    n: int,
    weight: npt.ArrayLike | pd.Series | None,
    problems: Problems,
    called: str = "weight",
) -> Floats:
    """Return n weights, 1 if there are none, and add what is wrong with them to `problems`."""
    if weight is None:
        return np.ones(n)
    try:
        weights = pd.Series(weight).to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        problems.add(f"{called}: weights must be numbers.")
        return np.ones(n)
    if weights.shape != (n,):
        problems.add(f"{called}: {weights.size} values for {n} respondents.")
        return np.ones(n)
    found = len(problems.items)
    for bad, what in (
        (np.isnan(weights), "missing"),
        (weights < 0, "negative"),
        (np.isinf(weights), "infinite"),
    ):
        if bad.any():
            rows = listing(np.flatnonzero(bad) + 1, most=3)
            problems.add(f"{called}: {bad.sum()} of {n} weights are {what} (rows {rows}).")
    if n and len(problems.items) == found and not (weights > 0).any():
        problems.add(f"{called}: all weights are 0.")
    return weights


def _centre(table: npt.NDArray[Any], columns: list[int]) -> Floats:
    """Return a middling answer to each item among the first, 0 if there is none.

    An answer that was given keeps whole numbers whole, so that their sums are exact.
    """
    head = np.sort(table[:255, columns].astype(np.float64), axis=0)  # NaN go last
    known = (~np.isnan(head)).sum(axis=0)
    middle = head[np.maximum(known - 1, 0) // 2, np.arange(len(columns))]
    return np.where(known > 0, middle, 0.0)


def _small(counts: Floats, minimum: int) -> bool:
    return bool(((counts > 0) & (counts < minimum)).any())


def _merge(counts: Floats, rows: Ints, minimum: int) -> list[list[int]]:
    """Join neighbouring rows until none of their counts is small; the last may stay small."""
    groups: list[list[int]] = []
    current: list[int] = []
    for row in rows.tolist():
        current.append(row)
        if not _small(counts[current].sum(axis=0), minimum):
            groups.append(current)
            current = []
    if current:
        groups.append(current)
    while len(groups) > 1 and _small(counts[groups[-1]].sum(axis=0), minimum):
        last = groups.pop()
        groups[-1] = groups[-1] + last
    return groups
