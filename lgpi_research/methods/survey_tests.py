"""Tests on a complex sample: the difference of two means, independence in a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from lgpi_research.errors import MethodError
from lgpi_research.methods.design import Design
from lgpi_research.methods.estimates import means, rows_used
from lgpi_research.methods.points import category_indicators
from lgpi_research.methods.survey_regression import weighted_regression

__all__ = ["Difference", "TableTest", "mean_difference", "table_test"]

_NONE = 1e-10  # sum of design effects, which are about 1, that is 0 but for rounding

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """The difference of the means of two groups, with its t test.

    Attributes
    ----------
    estimate, std_error, t, df, p_value
        Mean of the second group less that of the first; degrees of freedom are PSUs less
        strata less 1.
    n_used, n_dropped : int
        As in `SurveyEstimate`.
    """

    estimate: float
    std_error: float
    t: float
    df: int
    p_value: float
    n_used: int
    n_dropped: int


@dataclass(frozen=True, eq=False)
class TableTest:
    """Rao and Scott's test that rows and columns of a table are independent.

    Attributes
    ----------
    shares : ndarray of shape (r, c)
        Estimated proportions of the cells.
    statistic, df_num, df_denom, p_value : float
        The second-order F test.
    pearson : float
        Pearson's X² of n times the proportions, uncorrected.
    deff : float
        Mean generalised design effect, by which X² is too large.
    n_used, n_dropped : int
        As in `SurveyEstimate`.
    """

    shares: Floats
    statistic: float
    df_num: float
    df_denom: float
    p_value: float
    pearson: float
    deff: float
    n_used: int
    n_dropped: int


def mean_difference(
    values: npt.ArrayLike,
    second: npt.ArrayLike,
    design: Design,
    *,
    domain: npt.ArrayLike | None = None,
) -> Difference:
    """Test whether two groups have the same mean.

    Parameters
    ----------
    values : array_like of shape (n,)
        The variable; NaN is a missing value.
    second : array_like of shape (n,)
        1 in the second group, 0 in the first, NaN where the group is missing.
    design, domain
        As in `means`.

    Returns
    -------
    Difference

    Raises
    ------
    MethodError
        If a group has no value, there is no degree of freedom, or a stratum has one PSU and
        the design says to fail.

    Notes
    -----
    The test of the slope in a weighted regression on the group, which is the same as the
    difference of two domain means with their covariance.

    Examples
    --------
    >>> design = Design.from_labels(6)
    >>> found = mean_difference([1, 2, 3, 3, 4, 5], [0, 0, 0, 1, 1, 1], design)
    >>> found.estimate, found.df
    (2.0, 4)
    """
    y, group = np.asarray(values, dtype=float), np.asarray(second, dtype=float)
    if not np.isin(group[~np.isnan(group)], (0.0, 1.0)).all():
        raise MethodError("the groups of a difference are 0, 1 or missing.")
    _, used = rows_used(~np.isnan(y + group)[:, None], design, domain)
    if len(np.unique(group[used[:, 0]])) < 2:
        raise MethodError("a difference of means needs values in both groups.")
    fit = weighted_regression(y, np.column_stack([np.ones(len(y)), group]), design, domain=domain)
    if fit.df_resid < 1:
        raise MethodError(
            "a difference of means needs two degrees of freedom; PSUs less strata are "
            f"{fit.df_resid + 1}."
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        t, p_value = float(fit.t[1]), float(fit.p_value[1])
    return Difference(
        float(fit.coef[1]), float(fit.std_error[1]), t, fit.df_resid, p_value,
        fit.n_used, fit.n_dropped,
    )  # fmt: skip


def table_test(
    rows: npt.ArrayLike,
    columns: npt.ArrayLike,
    design: Design,
    *,
    domain: npt.ArrayLike | None = None,
    df: int | None = None,
) -> TableTest:
    r"""Test whether two categorical variables are independent, by Rao and Scott's F.

    Parameters
    ----------
    rows, columns : array_like of shape (n,)
        Categories of each row; None or NaN is a missing one.
    design, domain
        As in `means`.
    df : int, optional
        Degrees of freedom of the design; PSUs less strata among the rows used by default.

    Returns
    -------
    TableTest

    Raises
    ------
    MethodError
        If a variable has one category, there is no degree of freedom, the proportions have
        no error, or a stratum has one PSU and the design says to fail.

    Notes
    -----
    With the cells' proportions p, their covariance V, and C the contrasts of interaction,
    the generalised design effects are the eigenvalues of [1]_

    .. math::

        \Delta = n\,(C' D_p^{-1} C)^{-1} (C' D_p^{-1} V D_p^{-1} C) .

    Under independence :math:`X^2` is a sum of :math:`\chi^2_1` times them. Satterthwaite's
    second-order correction refers :math:`F = X^2/\operatorname{tr}\Delta` to F with
    :math:`\nu_1 = (\operatorname{tr}\Delta)^2/\operatorname{tr}\Delta^2` and
    :math:`\nu_1 \nu` degrees of freedom, :math:`\nu` being PSUs less strata [2]_. Design
    effects are those at the observed proportions; cells without a row count with 0.

    References
    ----------
    .. [1] Rao, J. N. K., and Scott, A. J. (1984). On chi-squared tests for multiway
       contingency tables with cell proportions estimated from survey data. *Annals of
       Statistics*, 12, 46-60.
    .. [2] Thomas, D. R., and Rao, J. N. K. (1987). Small-sample comparisons of level and
       power for simple goodness-of-fit statistics under cluster sampling. *Journal of the
       American Statistical Association*, 82, 630-636.

    Examples
    --------
    >>> r = ["a", "a", "b", "b"] * 10
    >>> c = ["x", "y", "x", "y"] * 10
    >>> table_test(r, c, Design.from_labels(40)).statistic
    0.0
    """
    _, r = category_indicators(rows)
    _, c = category_indicators(columns)
    absent = np.isnan(r[:, :1]) | np.isnan(c[:, :1])  # a row lacks all indicators or none
    inside, used = rows_used(~absent, design, domain)
    keep = [np.nan_to_num(part[used[:, 0]]).sum(axis=0) > 0 for part in (r, c)]
    r, c = r[:, keep[0]], c[:, keep[1]]
    shape = (r.shape[1], c.shape[1])
    if min(shape) < 2:
        raise MethodError(
            f"a test of independence needs two categories of each variable, got {shape[0]} of the "
            f"rows and {shape[1]} of the columns."
        )
    cells = (r[:, :, None] * c[:, None, :]).reshape(len(r), -1)
    found = means(cells, design, domain=domain)
    n, p = int(found.n_used[0]), found.estimate.reshape(shape)
    expected = np.outer(p.sum(axis=1), p.sum(axis=0))
    pearson = float(n * (np.square(p - expected) / expected).sum())
    inverse = np.divide(1.0, found.estimate, out=np.zeros(p.size), where=found.estimate > 0)
    # Contrasts of interaction: what is left of products of contrasts of rows and of columns.
    contrasts = np.kron(*(np.eye(size)[:, 1:] - 1.0 / size for size in shape))
    scaled = inverse[:, None] * contrasts
    delta = np.linalg.solve(contrasts.T @ scaled / n, scaled.T @ found.cov @ scaled)
    trace = float(np.trace(delta))
    nu = design.domain_df(used[:, 0]) if df is None else df
    if nu < 1 or not trace > _NONE:
        raise MethodError(
            "the test has no distribution: "
            + ("PSUs less strata are 0." if nu < 1 else "the proportions have no sampling error.")
        )
    df_num = trace**2 / float(np.trace(delta @ delta))
    statistic = pearson / trace
    return TableTest(
        p, statistic, df_num, df_num * nu, float(stats.f.sf(statistic, df_num, df_num * nu)),
        pearson, trace / contrasts.shape[1], n, int(inside.sum()) - n,
    )  # fmt: skip
