"""Smoothing: scores of places that borrow strength from all places, after Fay and Herriot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from lgpi_research import plots
from lgpi_research.blocks import digest
from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.errors import DataError, MethodError, Problems, SpecError, listing, nearest
from lgpi_research.indicators import SMOOTHED, Indicators
from lgpi_research.methods.smallarea import METHODS, FayHerriot, fay_herriot
from lgpi_research.results import Result, provenance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PlaceScores", "smooth_places"]

Floats = npt.NDArray[np.float64]

CITED = {
    "reml": "restricted maximum likelihood, with the mean squared errors of Datta and Lahiri "
    "[@DattaLahiri2000]",
    "ml": "maximum likelihood, with the mean squared errors of Datta and Lahiri [@DattaLahiri2000]",
    "fh": "Fay and Herriot's equation of moments, with the mean squared errors of Datta, Rao and "
    "Smith [@DattaRaoSmith2005]",
    "pr": "Prasad and Rao's moment estimate, with their mean squared errors [@PrasadRao1990]",
}

UNFIT = (
    "Smoothed scores are for reporting and ranking places. Do not use them as the outcome of a "
    "regression, nor as a regressor: smoothing has drawn places together, so that slopes on "
    "whatever the smoothing did not know come out too small, by about the mean of shrinkage, and "
    "their errors are not those that a regression supposes. Use the direct estimates there, with "
    "their standard errors."
)
"""What every smoothed score says of itself."""


@dataclass(frozen=True, eq=False, repr=False)
class PlaceScores(Result, kind="place_scores"):
    """Direct and smoothed scores of places.

    ``frame`` has one row for each indicator and place: ``unit``, ``label`` and ``group`` where
    places have them, ``indicator``, ``direct`` and ``std_error`` (as they came), ``eblup`` (the
    smoothed score), ``rmse`` (the root of its mean squared error), ``shrinkage`` (weight of the
    direct estimate), ``synthetic`` (whether it has none), ``ci_low``, ``ci_high``.
    ``details["models"]`` holds, of each indicator, coefficients,
    the variance between places, and how many places are direct and synthetic.
    """

    def headline(self) -> str:
        """Return what was smoothed, and how much is left of the direct estimates."""
        models = self.details["models"]
        weights = self.frame.loc[~self.frame["synthetic"], "shrinkage"]
        return (
            f"{self.frame['unit'].nunique():,} places smoothed on {len(models)} "
            f"indicator{'s' * (len(models) != 1)}; direct estimates keep "
            f"{100 * weights.mean():.0f} % of the weight on average."
        )

    def summary(self) -> pd.DataFrame:
        """Return one row an indicator: its model, and what smoothing gains."""
        rows = []
        for name, model in self.details["models"].items():
            part = self.frame[(self.frame["indicator"] == name) & ~self.frame["synthetic"]]
            rows.append(
                {
                    "indicator": name,
                    "true_variance": model["variance"],
                    "shrinkage": part["shrinkage"].mean(),
                    "std_error": part["std_error"].mean(),
                    "rmse": part["rmse"].mean(),
                    "n_direct": model["n_direct"],
                    "n_synthetic": model["n_synthetic"],
                }
            )
        return pd.DataFrame(rows)

    def indicators(self) -> Indicators:
        """Return the smoothed scores as indicators, marked as smoothed.

        Their standard errors are the roots of mean squared errors. `score_index` keeps the
        mark, and `link_autonomy` refuses outcomes that carry it.
        """
        told = self.details
        names = list(told["models"])
        table = self.frame.set_index("unit")
        units = pd.Index(self.frame["unit"].unique(), name=told["unit"])

        def wide(column: str) -> pd.DataFrame:
            parts = {n: table.loc[table["indicator"] == n, column].to_numpy() for n in names}
            return pd.DataFrame(parts, index=units)

        book = Codebook(tuple(_indicator(item) for item in told["codebook"]))
        values = wide("eblup")
        values.attrs[SMOOTHED] = names
        first = self.frame[self.frame["indicator"] == names[0]]
        groups, labels = (
            pd.Series(first[column].to_numpy(), index=units) if column in first else None
            for column in ("group", "label")
        )
        return Indicators(
            values,
            book,
            wide("rmse"),
            groups,
            labels,
            self.notes,
            smoothed=tuple(names),
        )

    def methods_text(self) -> str:
        """Return how places were smoothed, with citation keys."""
        told = self.details
        on = (
            f"a regression on {', '.join(told['covariates'])}"
            if told["covariates"]
            else "their common mean"
        )
        return (
            f"Direct estimates of places were combined with {on} in Fay and Herriot's area-level "
            f"model [@FayHerriot1979; @RaoMolina2015], the variance between places by "
            f"{CITED[told['method']]}. Intervals of {100 * told['level']:g} % are normal, of "
            "prediction. Smoothed scores are for reporting and ranking; they are used in no "
            "regression."
        )

    def plot(self, ax: Axes | None = None, *, indicator: str | None = None) -> Axes:
        """Draw smoothed scores against direct ones, and return the axes.

        Parameters
        ----------
        ax : Axes or None
            Where to draw; new axes if None.
        indicator : str or None
            Which indicator; the first if None.

        Raises
        ------
        SpecError
            If there is no such indicator.
        """
        names = list(self.details["models"])
        chosen = names[0] if indicator is None else indicator
        if chosen not in names:
            raise SpecError(f"indicator: no {chosen!r}.{nearest(chosen, names)}")
        part = self.frame[(self.frame["indicator"] == chosen) & ~self.frame["synthetic"]]
        direct, eblup = part["direct"].to_numpy(), part["eblup"].to_numpy()
        ax = plots.new_axes(ax, (5.4, 4.6))
        ends = np.array([direct.min(), direct.max()])
        plots.curve(ax, ends, ends, colour="quiet")
        plots.scatter(ax, direct, eblup)
        return plots.describe(
            ax,
            f"{chosen}: smoothed and direct scores of {len(part):,} places",
            "direct estimate (line: no smoothing)",
            "smoothed score",
        )


def _indicator(fields: Mapping[str, Any]) -> Indicator:
    """Return an indicator from its fields, where a file has made lists of tuples."""
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    return Indicator(**plain)


def smooth_places(
    indicators: Indicators,
    covariates: pd.DataFrame | None = None,
    *,
    method: str = "reml",
    level: float = 0.95,
) -> PlaceScores:
    r"""Draw the scores of places towards what all places, and covariates, lead one to expect.

    Parameters
    ----------
    indicators : Indicators
        Places with standard errors. A value without a standard error is not used.
    covariates : DataFrame of shape (n_places, p), optional
        What is known of every place without error (a census, a budget), as numbers; the index
        names the places. Further rows are places without a survey, which get a score from
        the regression alone. By default places are drawn towards their mean.
    method : {"reml", "ml", "fh", "pr"}, default "reml"
        Estimator of the variance between places
        (`lgpi_research.methods.smallarea.fay_herriot`, with formulas and simulations).
    level : float, default 0.95
        Level of the intervals, :math:`\pm z` roots of the mean squared error.

    Returns
    -------
    PlaceScores

    Raises
    ------
    SpecError
        If an option does not exist, the places are in several periods, or they have been
        smoothed before.
    DataError
        With every problem: indicators without standard errors, standard errors of 0, places
        that the covariates lack, covariates that are no numbers or missing.
    MethodError
        If an indicator has too few places with a direct estimate, or covariates are collinear.

    Examples
    --------
    >>> table = pd.DataFrame({"place": list("abcd"), "voice": [1.0, 2, 3, 4], "se": 0.8})
    >>> book = Codebook((Indicator("voice"),))
    >>> data = Indicators.from_table(table, book, unit="place", std_errors={"voice": "se"})
    >>> smooth_places(data).frame[["unit", "direct", "eblup", "shrinkage"]].round(2)
      unit  direct  eblup  shrinkage
    0    a     1.0   1.58       0.62
    1    b     2.0   2.19       0.62
    2    c     3.0   2.81       0.62
    3    d     4.0   3.42       0.62
    """
    _check_options(indicators, method, level)
    values, errors = _direct(indicators)
    design, names, extra = _design(indicators, covariates)
    units = pd.Index([*indicators.units, *extra], name=indicators.units.name)
    values, errors = (table.reindex(units) for table in (values, errors))
    z = float(stats.norm.isf((1 - level) / 2))
    problems = Problems("smoothing")
    frames: list[pd.DataFrame] = []
    models: dict[str, FayHerriot] = {}
    for name in indicators.codebook.names:
        direct, error = values[name].to_numpy(), errors[name].to_numpy()
        try:
            found = fay_herriot(direct, np.square(error), design, method=method)
        except MethodError as failed:
            problems.add(f"{name}: {failed}")
            continue
        models[name] = found
        rmse = np.sqrt(found.mse)
        columns: dict[str, Any] = {"unit": units.to_numpy()}
        for column, given in (("label", indicators.labels), ("group", indicators.groups)):
            if given is not None:
                columns[column] = given.reindex(units).to_numpy()
        columns |= {
            "indicator": np.repeat(name, len(units)),
            "direct": direct,
            "std_error": error,
            "eblup": found.eblup,
            "rmse": rmse,
            "shrinkage": found.shrinkage,
            "synthetic": found.synthetic,
            "ci_low": found.eblup - z * rmse,
            "ci_high": found.eblup + z * rmse,
        }
        frames.append(pd.DataFrame(columns))
    problems.raise_any(MethodError)
    frame = pd.concat(frames, ignore_index=True)
    told = {"method": method, "level": level, "covariates": names[1:]}
    data = {"indicators": indicators.digest}
    if covariates is not None:
        data["covariates"] = digest([str(unit) for unit in units], design)
    return PlaceScores(
        frame,
        provenance(specification=told, data=data),
        (UNFIT, *indicators.notes, *_notes(indicators, frame, models, extra)),
        details={
            **told,
            "unit": str(indicators.units.name or "unit"),
            "codebook": [asdict(item) for item in indicators.codebook],
            "models": {name: _told(model, names) for name, model in models.items()},
        },
    )


def _check_options(indicators: Indicators, method: str, level: float) -> None:
    """Raise every option that does not exist or does not fit the data."""
    problems = Problems("the options")
    if method not in METHODS:
        problems.add(
            f"method: must be one of {', '.join(METHODS)}, got {method!r}."
            f"{nearest(str(method), METHODS)}"
        )
    if not 0 < level < 1:
        problems.add(f"level: must lie between 0 and 1, got {level!r}.")
    if indicators.periods is not None:
        there = listing(sorted(indicators.periods.unique()))
        problems.add(
            f"indicators: places are in several periods ({there}), whose errors may go together; "
            "smooth one at a time, with indicators.at(period)."
        )
    if indicators.smoothed:
        problems.add(
            f"indicators: {listing(indicators.smoothed)} are smoothed already; smooth the direct "
            "estimates."
        )
    problems.raise_any(SpecError)


def _direct(indicators: Indicators) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return values and standard errors, once they can be used."""
    if indicators.std_errors is None:
        raise DataError(
            "the indicators have no standard errors, so how far to trust each place is unknown. "
            "Take them from a survey (Survey.indicators), or name their columns."
        )
    problems = Problems("the indicators")
    for name in indicators.codebook.names:
        error = indicators.std_errors[name]
        if error.isna().all():
            problems.add(f"{name}: no place has a standard error. Leave it out, or find them.")
        exact = error.index[error == 0]
        if len(exact):
            problems.add(
                f"{name}: the standard error is 0 in {len(exact)} places ({listing(exact)}), which "
                "says that answers did not differ there and not that the place is known exactly. "
                "Pool the errors of places: Survey.indicators(pooled=True)."
            )
    problems.raise_any(DataError)
    return indicators.values, indicators.std_errors


def _design(
    indicators: Indicators, covariates: pd.DataFrame | None
) -> tuple[Floats, list[str], list[Any]]:
    """Return the regressors of every place, their names, and the places without a survey."""
    units = indicators.units
    if covariates is None:
        return np.ones((len(units), 1)), ["intercept"], []
    problems = Problems("the covariates")
    names = [str(name) for name in covariates.columns]
    if not names:
        problems.add("there is no column.")
    index = covariates.index
    if index.has_duplicates:
        twice = index[index.duplicated()].unique()
        problems.add(f"{len(twice)} places stand in more than one row ({listing(twice)}).")
    absent = units[~units.isin(index)]
    if len(absent):
        problems.add(
            f"{len(absent)} of {len(units)} places are not in the index ({listing(absent)})."
            f"{nearest(str(absent[0]), map(str, index))} Set the index to the names of places."
        )
    for name, column in zip(names, covariates.items(), strict=True):
        numbers = column[1]
        if not pd.api.types.is_numeric_dtype(numbers):
            problems.add(f"{name}: is not numeric. Make a column of 0 and 1 for each category.")
            continue
        bad = index[~np.isfinite(numbers.to_numpy(dtype=float, na_value=np.nan))]
        if len(bad):
            problems.add(f"{name}: {len(bad)} values are missing or infinite ({listing(bad)}).")
    problems.raise_any(DataError)
    extra = index[~index.isin(units)].tolist()
    table = covariates.loc[[*units, *extra]].to_numpy(dtype=float)
    return np.column_stack([np.ones(len(table)), table]), ["intercept", *names], extra


def _told(model: FayHerriot, names: list[str]) -> dict[str, Any]:
    """Return what is worth knowing of a model, as plain values."""
    return {
        "coefficients": dict(zip(names, model.coef.tolist(), strict=True)),
        "std_errors": dict(zip(names, model.std_error.tolist(), strict=True)),
        "variance": model.variance,
        "variance_std_error": model.variance_std_error,
        "n_direct": model.n_direct,
        "n_synthetic": model.n_synthetic,
        "truncated": model.truncated,
    }


def _notes(
    indicators: Indicators,
    frame: pd.DataFrame,
    models: dict[str, FayHerriot],
    extra: list[Any],
) -> Iterator[str]:
    """Yield what happened on the way, with counts."""
    if extra:
        yield (
            f"{len(extra)} places stand only in the covariates and have synthetic scores: those "
            f"of the regression alone ({listing(extra)})."
        )
    for name, model in models.items():
        part = frame[frame["indicator"] == name]
        unknown = part.loc[part["direct"].notna() & part["std_error"].isna(), "unit"]
        blank = model.n_synthetic - len(unknown) - len(extra)
        if blank:
            yield f"{name}: {blank} places have no direct estimate; their scores are synthetic."
        if len(unknown):
            yield (
                f"{name}: {len(unknown)} direct estimates have no standard error and are not used; "
                f"the scores of these places are synthetic ({listing(unknown)})."
            )
        if model.truncated:
            yield (
                f"{name}: the variance between places is 0: they differ no more than their errors "
                "and the regression explain, so every score is that of the regression and ranks "
                "mean nothing else."
            )
        if model.n_uncorrected:
            yield (
                f"{name}: the mean squared errors of {model.n_uncorrected} places leave out the "
                "bias of the variance between places, which would have made them negative; they "
                "are rough. Compare method='reml'."
            )
        ends = indicators.codebook[name].scale
        if ends is not None:
            beyond = int(((part["eblup"] < ends[0]) | (part["eblup"] > ends[1])).sum())
            if beyond:
                yield (
                    f"{name}: {beyond} smoothed scores lie outside the scale "
                    f"{ends[0]:g}..{ends[1]:g}, because the model is linear; they are left so."
                )
