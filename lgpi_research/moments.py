"""Moments: a survey as sums over its clusters (PSUs), and the files that hold them.

A replicate of a survey multiplies each cluster by a number, so many replicates are one
product with these sums, and an estimator is a function of the sums it names. Answers
are read once, in chunks that add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research.answer_tables import answer_table, centres, infinite_answers
from lgpi_research.blocks import digest
from lgpi_research.clusters import as_labels, checked_weights, clusters
from lgpi_research.codebook import Codebook
from lgpi_research.disclosure import merge_small_clusters, small_differences
from lgpi_research.errors import DataError, Problems, SpecError, listing, nearest
from lgpi_research.indicators import Indicators
from lgpi_research.methods.consistency import Spread
from lgpi_research.methods.places import place_means
from lgpi_research.methods.polychoric import PairCounts
from lgpi_research.methods.sums import add_rows, one_hot, pair_counts_of
from lgpi_research.moment_files import FIELDS, read_fields, write_fields
from lgpi_research.scales import MOST_CATEGORIES, Scale, check_scales, with_categories

__all__ = [
    "MOST_CATEGORIES",
    "ROWS",
    "Moments",
    "Scale",
    "as_labels",
    "checked_weights",
    "clusters",
    "sum_moments",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

ROWS = 131_072
"""Answers that are summed by themselves before they are added to those before them.

A survey that is read in blocks of so many rows, in order, has the same bytes as one that is
read at once.
"""

LONELY = ("fail", "certainty")

_STEADY = 20  # PSUs a place from which its standard error is steady enough for a reliability


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over the answers of each PSU: what a survey's statistics are functions of.

    Make them with `from_answers` or `lgpi_research.survey.Survey.moments`, and of answers
    that do not fit in memory with `lgpi_research.chunks`. Parts of a survey add up with
    ``+`` and, many at once, with `sum_moments`.

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
        categories: Sequence[float] = (),
        scales: Sequence[Scale] | None = None,
        lonely: str = "fail",
        centre: npt.ArrayLike | None = None,
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
        needs, missing, reverse, categories
            Of the one scale of all items; see `Scale`.
        scales : sequence of Scale, optional
            Several scales at once, in place of `needs` and what follows it.
        lonely : {"fail", "certainty"}, default "fail"
            What estimators do with a stratum of one PSU.
        centre : array_like of shape (n_items over all scales,), optional
            What is subtracted before answers are squared, to be taken from moments of an
            earlier part of the survey; a middling answer among the first if None. Parts
            about one centre add up as they are.
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
        n − 1. Pairwise ones use, for each pair, the respondents who answered both. Pair
        counts are sums of w over the respondents who gave both answers.

        Rows are summed in blocks of `ROWS`, and blocks are added in order. Sums of whole
        numbers are exact in whatever order they are made.

        Examples
        --------
        >>> answers = [[1, 2], [2, 2], [4, 5], [5, 3]]
        >>> moments = Moments.from_answers(answers, psu=["a", "a", "b", "b"])
        >>> moments.spread().covariance.round(3)
        array([[3.333, 1.667],
               [1.667, 2.   ]])
        """
        table, names = answer_table(answers, items, where)
        if scales is None:
            scales = (
                Scale(
                    "all items",
                    names,
                    needs,
                    missing,
                    tuple(reverse),
                    categories=tuple(categories),
                ),
            )
        check_scales(scales, names)
        _check_lonely(lonely)
        columns = [[names.index(item) for item in scale.items] for scale in scales]
        n = len(table)
        problems = Problems(where)
        codes, psus = clusters(n, {"psu": psu, "stratum": stratum, "place": place}, problems)
        weights = checked_weights(n, weight, problems)
        problems.extend(infinite_answers(table, names, columns))
        scales = tuple(
            with_categories(scale, table, chosen, problems)
            for scale, chosen in zip(scales, columns, strict=True)
        )
        problems.raise_any(DataError)
        taking = weights > 0
        notes: tuple[str, ...] = ()
        if not taking.all():
            notes = (f"{int((~taking).sum())} of {n} respondents have weight 0 and are left out.",)
        if centre is None:
            about = centres(table[:ROWS][taking[:ROWS]], scales, columns)
        else:
            about = np.asarray(centre, dtype=np.float64)
            if about.shape != (sum(len(scale.items) for scale in scales),):
                raise SpecError(f"centre must be that of the same scales, got shape {about.shape}.")
        found = cls(
            psus,
            scales,
            about,
            np.zeros((len(psus), sum(scale.width for scale in scales))),
            np.zeros((len(psus), len(scales)), dtype=np.int64),
            lonely,
            notes,
        )
        for start in range(0, n, ROWS):
            rows: slice | npt.NDArray[np.intp] = slice(start, start + ROWS)
            if not taking[rows].all():
                rows = start + np.flatnonzero(taking[rows])
            found._add_block(table[rows], weights[rows], codes[rows], columns)
        return found

    def _add_block(
        self, table: npt.NDArray[Any], weights: Floats, codes: Ints, columns: list[list[int]]
    ) -> None:
        """Sum some answers by themselves, and add that to the sums, in place."""
        present, local = np.unique(codes, return_inverse=True)
        everywhere = len(present) == self.n_psu
        alone = everywhere and not self.sums.any()  # nothing is there yet to be added to
        block = self.sums if alone else np.zeros((len(present), self.sums.shape[1]))
        everyone = np.bincount(local, minlength=len(present))
        for number, (scale, chosen) in enumerate(zip(self.scales, columns, strict=True)):
            part, centre = block[:, self._columns(number)], self._centre(number)
            add_rows(scale.layout, part, table, chosen, scale.signs, centre, weights, local)
            self.dropped[present, number] += everyone - part[:, 0].astype(np.int64)
        if not alone:
            self.sums[slice(None) if everywhere else present] += block

    def __post_init__(self) -> None:
        _check_lonely(self.lonely)

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
        counts = self.sums[:, start : start + scale.layout.n_sets(len(scale.items))]
        return int(counts.sum(axis=0).min())

    def n_dropped(self, name: str | None = None) -> int:
        """Return how many respondents a scale could not use."""
        return int(self.dropped[:, self._number(name)].sum())

    def has_answers(self, name: str | None = None) -> npt.NDArray[np.bool_]:
        """Return which PSUs have a respondent that a scale uses, shape (n_psu,)."""
        return np.asarray(self.sums[:, self._columns(self._number(name)).start] > 0)

    def part(self, name: str | None = None) -> tuple[Floats, Floats]:
        """Return the sums of one scale, and the centre of its answers.

        Returns
        -------
        sums : ndarray of shape (n_psu, width)
            The columns of the scale's layout (`lgpi_research.methods.sums`).
        centre : ndarray of shape (k,)
        """
        number = self._number(name)
        return self.sums[:, self._columns(number)], self._centre(number)

    def among(self, kept: npt.ArrayLike) -> Moments:
        """Return the moments of some of the PSUs, a sample of its own.

        Parameters
        ----------
        kept : array_like of bool of shape (n_psu,)

        Raises
        ------
        DataError
            If no PSU is kept.
        """
        rows = np.asarray(kept, dtype=bool)
        if not rows.any():
            raise DataError("no PSU is among those to keep.")
        psus = self.psus[rows].reset_index(drop=True)
        return replace(self, psus=psus, sums=self.sums[rows], dropped=self.dropped[rows])

    def only(self, names: Sequence[str]) -> Moments:
        """Return the moments of some of the scales.

        Raises
        ------
        SpecError
            If none is named, or one is unknown.
        """
        if not names:
            raise SpecError(f"name a scale to keep: {listing([s.name for s in self.scales])}.")
        numbers = [self._number(name) for name in names]
        return replace(
            self,
            scales=tuple(self.scales[number] for number in numbers),
            centre=np.concatenate([self._centre(number) for number in numbers]),
            sums=np.concatenate([self.sums[:, self._columns(n)] for n in numbers], axis=1),
            dropped=self.dropped[:, numbers],
        )

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
            To be given to `spread` or `pair_counts`.
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
            If the scale is unknown, or holds means or pair counts only.
        """
        number = self._number(name)
        scale = self.scales[number]
        own = self.sums.sum(axis=0) if sums is None else sums
        if scale.layout.spread is None:
            raise SpecError(f"scale {scale.name!r} holds {scale.needs}; variances were not kept.")
        return scale.layout.spread(own[..., self._columns(number)], len(scale.items))

    def pair_counts(self, name: str | None = None, sums: Floats | None = None) -> PairCounts:
        """Return how often each pair of answers to each pair of items was given.

        Parameters
        ----------
        name : str, optional
            A scale with ``needs="pair counts"``; not needed if there is one.
        sums : ndarray of shape (…, n_columns), optional
            Sums of replicates from `replicate`; the survey's own if None.

        Returns
        -------
        PairCounts
            Sums of weights, with leading axes (…), over the categories of the scale.
            Those of reversed items run the other way.

        Raises
        ------
        SpecError
            If the scale is unknown or holds no pair counts.

        Examples
        --------
        >>> from lgpi_research.methods.ordinal import ordinal_alpha
        >>> answers = [[1, 2], [2, 2], [3, 3], [3, 2], [1, 1], [2, 3]]
        >>> moments = Moments.from_answers(answers, psu=range(6), needs="pair counts")
        >>> round(float(ordinal_alpha(moments.pair_counts())), 3)
        0.847
        """
        number = self._number(name)
        scale = self.scales[number]
        if scale.needs != "pair counts":
            raise SpecError(
                f"scale {scale.name!r} holds no pair counts; take some with needs='pair counts'."
            )
        own = self.sums.sum(axis=0) if sums is None else sums
        columns = own[..., self._columns(number)]
        return pair_counts_of(columns, len(scale.items), len(scale.categories))

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of both parts of a survey; see `sum_moments`."""
        return sum_moments([self, other])

    def _recentred(self, centre: Floats) -> Floats:
        """Return the sums about another centre."""
        if np.array_equal(centre, self.centre):
            return self.sums
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
            A scale that holds means, or sums over complete answers (listwise): the means are
            then those of respondents who answered every item. Not needed if there is one.
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
        if not scale.has_means:
            raise SpecError(
                f"scale {scale.name!r} holds no means; take some with needs='means', or listwise."
            )
        k = len(scale.items)
        table = self.sums[:, self._columns(number)]
        if scale.needs == "means":
            counts, weights, sums = (table[:, 1 + i * k : 1 + (i + 1) * k] for i in range(3))
        else:
            counts, weights = (np.repeat(table[:, [i]], k, axis=1) for i in range(2))
            sums = table[:, 2 : 2 + k]
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
            Means and errors, in the units and directions of the items: of scales that hold
            means, then of items in none of those, over complete answers to their scale.

        Raises
        ------
        SpecError
            If no scale holds means, an item is not in the codebook, or the design names
            no places.
        """
        holding = [scale for scale in self.scales if scale.has_means]
        holding.sort(key=lambda scale: scale.needs != "means")
        if not holding:
            raise SpecError("no scale holds means: take moments with needs='means'.")
        if (self.psus["place"] == "").all():
            raise SpecError("the design names no places: say which column does (place).")
        notes = list(self.notes)
        means, errors = pd.DataFrame(), pd.DataFrame()
        for scale in holding:
            of_scale, their_errors, _ = self.means(scale.name, pooled=pooled)
            new = [item for item in scale.items if item not in means]
            means, errors = (
                pd.concat([old, table[new]], axis=1)
                for old, table in ((means, of_scale), (errors, their_errors))
            )
            if new and scale.needs != "means":
                notes.append(
                    f"means of {listing(new, 20)} rest on the {self.n_used(scale.name):,} "
                    f"respondents who answered every item of {scale.name}."
                )
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

    def save(
        self, path: str | Path, *, min_respondents: int = 5, min_answers: int | None = None
    ) -> Path:
        """Write the moments as one Parquet file that holds nobody's answers.

        Parameters
        ----------
        path : str or Path
            The file.
        min_respondents : int, default 5
            Smallest number of respondents behind any stored sum. A PSU with fewer is
            merged with the next one, in the order of names, of its stratum and place;
            the last with the one before.
        min_answers : int, optional
            For pair counts: smallest number of respondents who gave any one answer to an
            item, if anybody did; `min_respondents` if None.

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
            If a minimum is not a whole number of at least 1.

        Notes
        -----
        Merging leaves every point estimate as it is, and makes sampling errors those of
        fewer clusters. Every count of answers to an item, and to a pair of items, is
        held to the minimum. Tables of pairs hold more of people than covariances do: of the
        only one who gave an answer they tell every other answer, which is what `min_answers`
        is for. With rare answers it merges many clusters, so that such tables are best kept
        of large ones.

        This keeps single answers from being read off one sum, which is less than
        anonymity: who knows all but one of a cluster can subtract, and products of many
        answers of few people may be solved for them. Sums over different respondents of a
        cluster can be subtracted too: means of items beside a scale of the same items, or
        pairwise covariances, tell the answers of those who answered one item and not
        another. A note of the file counts such differences that rest on too few
        respondents (`lgpi_research.disclosure.small_differences`). The same holds of two
        files of one survey, which no file can know. Before publishing, choose a larger
        minimum, ``needs="variances"``, or scales without items in common.
        """
        fewest = min_respondents if min_answers is None else min_answers
        for name, least in (("min_respondents", min_respondents), ("min_answers", fewest)):
            whole = isinstance(least, int | np.integer) and least >= 1
            if isinstance(least, bool) or not whole:
                raise SpecError(f"{name} must be a whole number >= 1, got {least}.")
        kept = self._merged(int(min_respondents), int(fewest))._warned(int(min_respondents))
        told = {"min_respondents": int(min_respondents), "min_answers": int(fewest)}
        return write_fields(path, {name: getattr(kept, name) for name in FIELDS}, told)

    @classmethod
    def load(cls, path: str | Path) -> Moments:
        """Read moments that `save` wrote.

        Raises
        ------
        DataError
            If the file is missing, damaged, or holds something else.
        """
        return cls(**read_fields(path))

    def _counts(self) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Return the respondents behind each sum, and which counts are of one answer each."""
        parts, of_answers = [], []
        for number, scale in enumerate(self.scales):
            start, layout, k = self._columns(number).start, scale.layout, len(scale.items)
            parts.append(self.sums[:, start : start + layout.n_counts(k)])
            of_answers.append(np.arange(layout.n_counts(k)) >= layout.n_sets(k))
        return np.concatenate(parts, axis=1), np.concatenate(of_answers)

    def _warned(self, minimum: int) -> Moments:
        """Return moments with a note on differences that rest on fewer than a minimum."""
        answered, counts = [], []
        for number, scale in enumerate(self.scales):
            sets = scale.answered
            end = self._columns(number).start + scale.layout.n_sets(len(scale.items))
            answered += sets
            counts.append(self.sums[:, end - len(sets) : end])
        few = small_differences(answered, np.concatenate(counts, axis=1), minimum)
        note = (
            f"Differences between sums of a cluster that rest on fewer than {minimum} respondents, "
            f"who answered an item and not another: {few:,}. Their answers can be computed."
        )
        if not few or note in self.notes:
            return self
        return replace(self, notes=(*self.notes, note))

    def _merged(self, minimum: int, fewest: int) -> Moments:
        """Return moments in which every count is 0 or at least the minimum of its kind."""
        counts, of_answers = self._counts()
        least = np.where(of_answers, fewest, minimum)
        codes, psus, names = merge_small_clusters(self.psus, counts, least)
        if not names:
            return self
        note = (
            f"{self.n_psu} PSUs became {len(psus)}, so that at least {minimum} respondents are "
            f"behind every sum; merged ({len(names)}): {listing(names, most=5)}."
        )
        gather = one_hot(codes, len(psus))
        dropped = np.rint(gather @ self.dropped).astype(np.int64)
        notes = (*self.notes, note)
        return replace(self, psus=psus, sums=gather @ self.sums, dropped=dropped, notes=notes)


def sum_moments(parts: Iterable[Moments]) -> Moments:
    """Return the moments of a survey from those of its parts, added in their order.

    Time and memory grow with what the parts hold in all, and with the PSUs of the whole;
    parts may come from a generator, and are not kept.

    Parameters
    ----------
    parts : iterable of Moments
        One or more, of the same scales. A PSU may lie in several parts.

    Returns
    -------
    Moments
        About the centre of the first part. Whole numbers add up exactly; others as far
        as floating point does, in the given order.

    Raises
    ------
    DataError
        If there is no part, scales differ, some parts have strata or places and others
        none, or a PSU lies in another stratum or place in another part.

    Examples
    --------
    >>> parts = [Moments.from_answers([[1, 2], [3, 3]], psu=[name, "b"]) for name in "ac"]
    >>> sum_moments(parts).psus["psu"].tolist()
    ['a', 'b', 'c']
    """
    rows: dict[tuple[str, str, str], int] = {}
    first: Moments | None = None
    notes: dict[str, None] = {}
    sums, dropped = np.zeros((0, 0)), np.zeros((0, 0), dtype=np.int64)
    for part in parts:
        if first is None:
            first = part
            sums, dropped = np.zeros((0, part.sums.shape[1])), part.dropped[:0]
        elif part.scales != first.scales or part.lonely != first.lonely:
            raise DataError(
                "moments add up only if they hold the same scales, with the same items, needs, "
                "categories, and treatment of missing answers and of strata with one PSU."
            )
        notes |= dict.fromkeys(part.notes)
        keys = zip(*(part.psus[role] for role in ("psu", "stratum", "place")), strict=True)
        where = np.array([rows.setdefault(key, len(rows)) for key in keys], dtype=np.intp)
        if len(rows) > len(sums):  # room for twice as many, so that growing costs little
            room = 2 * len(rows) - len(sums)
            sums = np.concatenate([sums, np.zeros((room, sums.shape[1]))])
            dropped = np.concatenate([dropped, np.zeros((room, dropped.shape[1]), np.int64)])
        at: slice | Ints = where
        if (np.diff(where) == 1).all():
            at = slice(int(where[0]), int(where[-1]) + 1)  # which costs no copies
        sums[at] += part._recentred(first.centre)
        dropped[at] += part.dropped
    if first is None:
        raise DataError("there are no moments to be added: the list of parts is empty.")
    joined = pd.DataFrame(list(rows), columns=["psu", "stratum", "place"], dtype="str")
    problems = Problems("the parts of the survey")
    for role in ("stratum", "place"):
        without = joined[role] == ""
        if without.any() and not without.all():
            what = {"stratum": "strata"}.get(role, "places")
            problems.add(f"{role}: some parts have {what} and others none.")
    problems.raise_any(DataError)
    # A design without strata or places calls the one it has "".
    roles = {str(r): joined[r] if (joined[r] != "").any() else None for r in joined}
    codes, psus = clusters(len(joined), roles, problems)
    problems.raise_any(DataError)
    order = np.argsort(codes)
    return replace(first, psus=psus, sums=sums[order], dropped=dropped[order], notes=tuple(notes))


def _check_lonely(lonely: str) -> None:
    if lonely not in LONELY:
        raise SpecError(
            f"lonely must be {' or '.join(LONELY)}, got {lonely!r}. Sums know two ways with a "
            "stratum of one PSU: to refuse sampling errors ('fail'), or to count the PSU as taken "
            "with certainty ('certainty'). For another, join the stratum with its neighbour."
        )
