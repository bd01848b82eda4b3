"""Who was asked: the checking of clusters (PSUs), strata, places and weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from lgpi_research.errors import Problems, listing

__all__ = ["as_labels", "checked_weights", "clusters", "sorted_clusters"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


def as_labels(values: pd.Series) -> pd.Series:
    """Return values as text; whole numbers lose their point, missing values stay missing.

    The text of a value depends on no other, so that parts of a table name things alike.

    Examples
    --------
    >>> as_labels(pd.Series([412.0, 0.5, None])).tolist()
    ['412', '0.5', nan]
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    labels, numbers = values.astype("str"), values
    if values.dtype == object:
        numbers = values.where(values.map(lambda value: isinstance(value, float | np.floating)))
        numbers = numbers.astype("float64")
    if pd.api.types.is_float_dtype(numbers):
        read = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
        whole = (read == np.round(read)) & (np.abs(read) < 2**53)
        without = pd.Series(np.where(whole, read, 0).astype(np.int64), index=values.index)
        labels = labels.mask(whole, without.astype("str"))
    return labels.mask(values.isna())


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
        problems.extend(_named_twice(names[role], text))
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
    order = sorted_clusters(psus)
    position = np.empty_like(order)
    position[order] = np.arange(n_psu)
    return position[psu], psus.iloc[order].reset_index(drop=True)


def _named_twice(role: str, labels: npt.NDArray[np.str_]) -> list[str]:
    """Say which labels differ only in the spaces around them: one thing under two names."""
    bare = np.char.strip(labels) if len(labels) else labels
    names, count = np.unique(bare, return_counts=True)
    twice = names[(count > 1) & (names != "")]
    if not len(twice):
        return []
    shown = [" and ".join(repr(str(x)) for x in labels[bare == name]) for name in twice[:3]]
    more = f" and {len(twice) - 3} more" if len(twice) > 3 else ""
    return [
        f"{role}: {len(twice)} named twice, with and without spaces around the name "
        f"({'; '.join(shown)}{more}). Write each one way."
    ]


def sorted_clusters(psus: pd.DataFrame) -> Ints:
    """Return the order of PSUs by stratum and name."""
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
