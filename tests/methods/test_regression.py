from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from lgpi_research.errors import MethodError
from lgpi_research.methods import regression
from lgpi_research.methods.absorb import absorb_effects
from lgpi_research.methods.regression import (
    cluster_covariance,
    compare_nested,
    fixed_effects,
    least_squares,
    leave_one_cluster_out,
    ols,
    wald_test,
)
from lgpi_research.registry import resolve

# The formulas of Pustejovsky and Tipton, written out with every dummy and every n × n matrix.


def dummies(ways) -> np.ndarray:
    return np.hstack([(np.asarray(c)[:, None] == np.unique(c)).astype(float) for c in ways])


def power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    kept = values > 1e-10
    return (vectors[:, kept] * values[kept] ** exponent) @ vectors[:, kept].T


class Brute:
    """Least squares on the full design, in rows multiplied by the root of their weights."""

    def __init__(self, y, X, ways, clusters, kind, weights=None):
        n, self.k = X.shape
        root = np.ones(n) if weights is None else np.sqrt(weights)
        W = (np.hstack([X, dummies(ways)]) if ways else X) * root[:, None]
        y = y * root
        inverse = np.linalg.pinv(W.T @ W, rcond=1e-12)
        rank = np.linalg.matrix_rank(W)
        maker = np.eye(n) - W @ inverse @ W.T
        self.coef = (inverse @ W.T @ y)[: self.k]
        rows = inverse[: self.k] @ W.T  # of the slopes: B X' with the effects projected out
        e = maker @ y
        names = np.unique(clusters)
        G = len(names)
        factor = {"CR1": G / (G - 1), "CR1S": G * (n - 1) / ((G - 1) * (n - rank))}.get(kind, 1.0)
        exponent = {"CR2": -0.5, "CR3": -1.0}.get(kind)
        self.parts = []  # for each cluster the k × n matrix that turns errors into its score
        self.v = np.zeros((self.k, self.k))
        for name in names:
            inside = np.asarray(clusters) == name
            block = maker[np.ix_(inside, inside)]
            A = np.eye(inside.sum()) if exponent is None else power(block, exponent)
            turn = rows[:, inside] @ A
            score = turn @ e[inside]
            self.v += factor * np.outer(score, score)
            self.parts.append(turn @ maker[inside])

    def df(self) -> np.ndarray:
        out = []
        for j in range(self.k):
            p = np.array([part[j] for part in self.parts])  # G × n
            omega = p @ p.T
            out.append(np.trace(omega) ** 2 / (omega**2).sum())
        return np.array(out)

    def htz(self, C) -> tuple[float, float]:
        q = len(C)
        omega = sum(C @ p @ p.T @ C.T for p in self.parts)
        half = power(omega, -0.5)
        parts = [half @ C @ p for p in self.parts]
        total = 0.0
        for s in range(q):
            for t in range(q):
                for p in parts:
                    for r in parts:
                        total += (p[s] @ r[s]) * (p[t] @ r[t]) + (p[s] @ r[t]) * (p[t] @ r[s])
        eta = q * (q + 1) / total
        wald = (C @ self.coef) @ np.linalg.solve(C @ self.v @ C.T, C @ self.coef)
        return (eta - q + 1) / (eta * q) * wald, eta - q + 1


def panel(seed: int = 0, n: int = 120):
    """Unbalanced: units in regions, years, some of which lie in one region only."""
    rng = np.random.default_rng(seed)
    unit = rng.integers(0, 18, n)
    year = rng.integers(0, 6, n)
    region = unit % 7
    year[region == 0] = 9
    X = np.column_stack([rng.normal(size=n) + unit / 9, rng.random(n) < 0.4]).astype(float)
    y = X @ [1.0, -0.5] + rng.normal(size=7)[region] + rng.normal(size=n)
    return {
        "y": y,
        "X": X,
        "unit": unit,
        "year": year,
        "region": region,
        "mixed": rng.integers(0, 8, n),
        "row": np.arange(n),
        "alone": np.where(np.arange(n) < 3, np.arange(n) + 50, region),
        "third": rng.integers(0, 4, n),
        "w": rng.uniform(0.3, 3.0, n),
    }


ABSORBED = [
    (),
    ("unit",),
    ("year",),
    ("unit", "year"),
    ("region", "third"),
    ("unit", "year", "third"),
]
CLUSTERS = ["unit", "region", "mixed", "year", "row", "alone"]


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR1S", "CR2", "CR3"])
@pytest.mark.parametrize("clusters", CLUSTERS)
@pytest.mark.parametrize("absorbed", ABSORBED, ids="+".join)
def test_agrees_with_the_formulas_on_the_full_design(absorbed, clusters, kind):
    d = panel()
    ways = [d[name] for name in absorbed]
    X = d["X"] if ways else np.column_stack([np.ones(len(d["y"])), d["X"]])
    brute = Brute(d["y"], X, ways, d[clusters], kind)
    fit = least_squares(d["y"], X, ways)
    assert_allclose(fit.coef, brute.coef, rtol=1e-9)
    robust = cluster_covariance(fit, d[clusters], kind)
    assert_allclose(robust.cov, brute.v, rtol=1e-8, atol=1e-12)
    assert_allclose(robust.df, brute.df(), rtol=1e-8)
    assert robust.n_clusters == len(np.unique(d[clusters]))


@pytest.mark.parametrize("kind", ["CR1S", "CR2", "CR3"])
@pytest.mark.parametrize("clusters", ["region", "mixed", "row"])
@pytest.mark.parametrize("absorbed", [(), ("unit",), ("unit", "year")], ids="+".join)
def test_weights_are_inverse_variances(absorbed, clusters, kind):
    d = panel(1)
    ways = [d[name] for name in absorbed]
    X = d["X"] if ways else np.column_stack([np.ones(len(d["y"])), d["X"]])
    brute = Brute(d["y"], X, ways, d[clusters], kind, d["w"])
    fit = least_squares(d["y"], X, ways, d["w"])
    robust = cluster_covariance(fit, d[clusters], kind)
    assert_allclose(fit.coef, brute.coef, rtol=1e-9)
    assert_allclose(robust.cov, brute.v, rtol=1e-8)
    assert_allclose(robust.df, brute.df(), rtol=1e-8)


@pytest.mark.parametrize("kind", ["CR1", "CR2"])
@pytest.mark.parametrize("clusters", ["unit", "mixed"])
@pytest.mark.parametrize("absorbed", [(), ("unit", "year")], ids="+".join)
def test_joint_test_agrees_with_the_formulas(absorbed, clusters, kind):
    d = panel(2, 70)
    ways = [d[name] for name in absorbed]
    X = d["X"] if ways else np.column_stack([np.ones(70), d["X"]])
    C = np.eye(X.shape[1])[-2:] + 0.25 * np.eye(X.shape[1])[-2:, ::-1]
    value, df = Brute(d["y"], X, ways, d[clusters], kind).htz(C)
    found = wald_test(least_squares(d["y"], X, ways), d[clusters], kind, C)
    assert_allclose([found.statistic, found.df_denom], [value, df], rtol=1e-8)
    assert found.df_num == 2
    assert_allclose(found.p_value, stats.f.sf(value, 2, df), rtol=1e-8)


def test_the_joint_test_of_one_coefficient_is_its_t_test():
    d = panel(3)
    fit = least_squares(d["y"], d["X"], [d["unit"], d["year"]])
    robust = cluster_covariance(fit, d["region"])
    found = wald_test(fit, d["region"], constraints=np.array([[1.0, 0.0]]))
    assert_allclose(found.statistic, fit.coef[0] ** 2 / robust.cov[0, 0])
    assert_allclose(found.df_denom, robust.df[0])


# Exact cases and identities


def test_balanced_means_are_the_textbook_case():
    # One mean a cluster: CR2 is the variance of cluster means, and df is G - 1.
    rng = np.random.default_rng(4)
    y, clusters = rng.normal(size=60), np.repeat(np.arange(12), 5)
    means = y.reshape(12, 5).mean(axis=1)
    fit = least_squares(y, np.ones((60, 1)))
    robust = cluster_covariance(fit, clusters)
    assert_allclose(robust.cov[0, 0], means.var(ddof=1) / 12)
    assert_allclose(robust.df[0], 11)


def test_without_clusters_cr2_and_cr3_are_hc2_and_hc3():
    sm = pytest.importorskip("statsmodels.api")
    d = panel(5)
    X = np.column_stack([np.ones(len(d["y"])), d["X"]])
    fit = least_squares(d["y"], X)
    for kind, name in (("CR2", "HC2"), ("CR3", "HC3")):
        theirs = sm.OLS(d["y"], X).fit(cov_type=name)
        assert_allclose(cluster_covariance(fit, d["row"], kind).cov, theirs.cov_params())


def test_leaving_clusters_out_is_fitting_again():
    d = panel(6)
    fit = least_squares(d["y"], d["X"], [d["unit"], d["year"]])
    for clusters in (d["region"], d["mixed"], d["row"]):
        without = leave_one_cluster_out(fit, clusters)
        for name, row in zip(np.unique(clusters), without, strict=True):
            kept = clusters != name
            again = least_squares(d["y"][kept], d["X"][kept], [d["unit"][kept], d["year"][kept]])
            assert_allclose(row, again.coef, rtol=1e-8)


def test_leaving_clusters_out_of_a_weighted_fit():
    d = panel(7)
    fit = least_squares(d["y"], d["X"], [d["unit"]], d["w"])
    kept = d["mixed"] != 0
    again = least_squares(d["y"][kept], d["X"][kept], [d["unit"][kept]], d["w"][kept])
    assert_allclose(leave_one_cluster_out(fit, d["mixed"])[0], again.coef, rtol=1e-8)


@pytest.mark.parametrize("wide", [False, True], ids=["large clusters", "small clusters"])
def test_a_coefficient_that_one_cluster_identifies(wide):
    rng = np.random.default_rng(8)
    size = 2 if wide else 20
    clusters = np.repeat(np.arange(8), size)
    n = len(clusters)
    X = np.column_stack([rng.normal(size=(n, 3)), np.where(clusters == 3, rng.normal(size=n), 0)])
    y = rng.normal(size=n)
    fit = least_squares(y, X, [clusters])
    without = leave_one_cluster_out(fit, clusters)
    assert np.isnan(without[3]).all()
    assert not np.isnan(np.delete(without, 3, axis=0)).any()
    with pytest.raises(MethodError, match="CR3 is undefined: without 1 of the 8 clusters"):
        cluster_covariance(fit, clusters, "CR3")
    brute = Brute(y, X, [clusters], clusters, "CR2")
    assert_allclose(cluster_covariance(fit, clusters).cov, brute.v, rtol=1e-7, atol=1e-12)


def test_effects_nested_in_clusters_need_no_dummies():
    d = panel(9)
    fit = least_squares(d["y"], d["X"], [d["unit"]])
    demeaned = least_squares(
        *(
            x - dummies([d["unit"]]) @ np.linalg.lstsq(dummies([d["unit"]]), x, rcond=None)[0]
            for x in (d["y"], d["X"])
        )
    )
    a, b = cluster_covariance(fit, d["region"]), cluster_covariance(demeaned, d["region"])
    assert_allclose(a.cov, b.cov)
    assert_allclose(a.df, b.df)


# Invariances


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_rows_and_names_of_clusters_do_not_matter(seed):
    d, rng = panel(10, 60), np.random.default_rng(seed)
    order, labels = rng.permutation(60), rng.permutation(50)
    fit = least_squares(d["y"], d["X"], [d["unit"], d["year"]])
    moved = least_squares(
        d["y"][order], d["X"][order], [labels[d["year"][order]], labels[d["unit"][order]]]
    )
    a, b = (
        cluster_covariance(fit, d["region"]),
        cluster_covariance(moved, labels[d["region"]][order]),
    )
    assert_allclose(moved.coef, fit.coef, rtol=1e-9)
    assert_allclose(b.cov, a.cov, rtol=1e-8)
    assert_allclose(b.df, a.df, rtol=1e-8)


@settings(max_examples=30)
@given(st.floats(1e-6, 1e6), st.floats(-1e3, 1e3), st.floats(1e-4, 1e4))
def test_units_of_measurement_do_not_matter(scale, shift, spread):
    d = panel(11, 60)
    fit = least_squares(d["y"], d["X"], [d["unit"]])
    moved = least_squares(spread * d["y"] + shift, scale * d["X"] + shift, [d["unit"]])
    a, b = cluster_covariance(fit, d["mixed"]), cluster_covariance(moved, d["mixed"])
    ratio = spread / scale
    assert_allclose(moved.coef, ratio * fit.coef, rtol=1e-5)
    assert_allclose(b.cov, ratio**2 * a.cov, rtol=1e-5)
    assert_allclose(b.df, a.df, rtol=1e-5)


def test_equal_weights_are_no_weights():
    d = panel(12)
    ways = [d["unit"], d["year"]]
    a, b = (
        least_squares(d["y"], d["X"], ways),
        least_squares(d["y"], d["X"], ways, 3 * np.ones(120)),
    )
    assert_allclose(b.coef, a.coef)
    assert_allclose(b.cov, a.cov)
    assert_allclose((b.r2, b.rss), (a.r2, 3 * a.rss))


# Other programs


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    d = panel(13, 200)
    d["year"] = np.random.default_rng(0).integers(0, 6, 200)  # connected: others count no islands
    table = pd.DataFrame({k: v for k, v in d.items() if k not in ("X", "y")})
    return table.assign(y=d["y"], x1=d["X"][:, 0], x2=d["X"][:, 1])


def test_statsmodels_with_dummies_is_cr1s(frame):
    smf = pytest.importorskip("statsmodels.formula.api")
    theirs = smf.ols("y ~ x1 + x2 + C(unit) + C(year)", frame).fit(
        cov_type="cluster", cov_kwds={"groups": frame["unit"]}
    )
    X = frame[["x1", "x2"]].to_numpy()
    fit = least_squares(frame["y"].to_numpy(), X, [frame["unit"], frame["year"]])
    ours = cluster_covariance(fit, frame["unit"], "CR1S")
    assert_allclose(fit.coef, theirs.params[["x1", "x2"]])
    assert_allclose(ours.cov, theirs.cov_params().loc[["x1", "x2"], ["x1", "x2"]])


def test_linearmodels_with_group_debias_is_cr1s(frame):
    panels = pytest.importorskip("linearmodels.panel")
    table = frame.assign(seq=np.arange(len(frame)))
    data = table.set_index(["unit", "seq"])
    model = panels.PanelOLS(
        data["y"], data[["x1", "x2"]], entity_effects=True, other_effects=data[["year"]]
    )
    theirs = model.fit(cov_type="clustered", cluster_entity=True, group_debias=True)
    X = frame[["x1", "x2"]].to_numpy()
    fit = least_squares(frame["y"].to_numpy(), X, [frame["unit"], frame["year"]])
    ours = cluster_covariance(fit, frame["unit"], "CR1S")
    assert_allclose(fit.coef, theirs.params)
    assert_allclose(fit.r2, theirs.rsquared)
    assert_allclose(ours.cov, theirs.cov, rtol=1e-6)


def test_pyfixest_with_full_effects_is_cr1s(frame):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pyfixest = pytest.importorskip("pyfixest")
        theirs = pyfixest.feols(
            "y ~ x1 + x2 | unit + year",
            frame,
            vcov={"CRV1": "unit"},
            ssc=pyfixest.ssc(k_fixef="full"),
            fixef_rm="none",
        )
    X = frame[["x1", "x2"]].to_numpy()
    fit = least_squares(frame["y"].to_numpy(), X, [frame["unit"], frame["year"]])
    ours = cluster_covariance(fit, frame["unit"], "CR1S")
    assert_allclose(fit.coef, theirs.coef().to_numpy(), rtol=1e-6)
    assert_allclose(np.sqrt(np.diag(ours.cov)), theirs.se().to_numpy(), rtol=1e-5)


def test_classical_fit_is_statsmodels(frame):
    sm = pytest.importorskip("statsmodels.api")
    X = np.column_stack([np.ones(len(frame)), frame[["x1", "x2"]]])
    for weights in (None, frame["w"].to_numpy()):
        fit = least_squares(frame["y"].to_numpy(), X, weights=weights)
        theirs = sm.WLS(frame["y"], X, weights=1.0 if weights is None else weights).fit()
        assert_allclose(fit.coef, theirs.params)
        assert_allclose(fit.cov, theirs.cov_params())
        assert_allclose((fit.r2, fit.r2_adjusted), (theirs.rsquared, theirs.rsquared_adj))
        assert fit.df_resid == theirs.df_resid


def test_two_way_intercepts_are_those_of_dummies(frame):
    y, X = frame["y"].to_numpy(), frame[["x1", "x2"]].to_numpy()
    fit = least_squares(y, X, [frame["unit"], frame["year"]])
    units, years = fixed_effects(fit, y, X)
    fitted = (
        X @ fit.coef
        + units[frame["unit"]]
        + years[np.unique(frame["year"], return_inverse=True)[1]]
    )
    assert_allclose(y - fitted, fit.residuals, atol=1e-10)


def test_pooling_test_is_the_f_test_of_statsmodels(frame):
    smf = pytest.importorskip("statsmodels.formula.api")
    full = smf.ols("y ~ x1 + x2 + C(unit)", frame).fit()
    theirs = full.compare_f_test(smf.ols("y ~ x1 + x2", frame).fit())
    y, X = frame["y"].to_numpy(), frame[["x1", "x2"]].to_numpy()
    pooled = least_squares(y, np.column_stack([np.ones(len(y)), X]))
    ours = compare_nested(pooled, least_squares(y, X, [frame["unit"]]))
    assert_allclose((ours.statistic, ours.p_value, ours.df_num), theirs)


# What is refused


def test_collinear_columns_are_named():
    rng = np.random.default_rng(14)
    a, b = rng.normal(size=(2, 40))
    X = np.column_stack([np.ones(40), a, b, 2 * a - b + 1])
    with pytest.raises(MethodError, match="twice is determined by one and a and b"):
        least_squares(a, X, names=["one", "a", "b", "twice"])


def test_nearly_collinear_columns_are_not_refused():
    rng = np.random.default_rng(15)
    a, b = rng.normal(size=(2, 400))
    X = np.column_stack([np.ones(400), a, a + 1e-6 * b])
    y = X @ [1.0, 2.0, 3.0]
    assert_allclose(least_squares(y + rng.normal(0, 1e-9, 400), X).coef, [1, 2, 3], atol=1e-3)


def test_what_the_effects_explain_is_named_with_the_effect():
    d = panel(16)
    X = np.column_stack(
        [d["X"], d["region"] ** 2, d["year"] * 3.0, d["unit"] + d["year"], np.full(120, 7.0)]
    )
    names = ["a", "b", "size", "trend", "both", "flat"]
    with pytest.raises(MethodError, match="4 problems in the regression") as caught:
        least_squares(d["y"], X, [d["unit"], d["year"]], names=names, effect_names=["unit", "year"])
    message = str(caught.value)
    assert "size does not vary within unit, so the absorbed effects explain all of it" in message
    assert "trend does not vary within year" in message
    assert "both does not vary within unit and year together" in message
    assert "flat does not vary in the 120 rows used" in message


def test_more_coefficients_than_rows():
    rng = np.random.default_rng(17)
    with pytest.raises(MethodError, match="is determined by"):
        least_squares(rng.normal(size=3), rng.normal(size=(3, 5)))
    with pytest.raises(MethodError, match="4 rows cannot carry 2 coefficients and 2 absorbed"):
        least_squares(rng.normal(size=4), rng.normal(size=(4, 2)), [[0, 0, 1, 1]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.ones(3)}, r"got \(3,\) and \(6, 1\)"),
        ({"X": np.ones((6, 0))}, "k > 0"),
        ({"y": np.array([1.0, np.nan, 2, 3, 4, 5])}, "1 of 6 rows .* row 2"),
        ({"weights": -np.ones(6)}, "6 of 6 weights"),
        ({"absorb": [[0, 1]]}, "the effects have 2 rows, the outcome 6"),
        ({"X": np.zeros((6, 1))}, "column 1 is zero in all rows"),
        ({"names": ["a", "b"]}, "2 names were given for 1 columns"),
    ],
)
def test_bad_arrays_are_refused(change, message):
    given_ = {"y": np.arange(6.0), "X": np.arange(6.0)[:, None]} | change
    with pytest.raises(MethodError, match=message):
        least_squares(**given_)


def test_bad_clusters_are_refused(monkeypatch):
    d = panel(18)
    fit = least_squares(d["y"], d["X"], [d["unit"], d["year"]])
    with pytest.raises(MethodError, match="all rows lie in one cluster"):
        cluster_covariance(fit, np.zeros(120))
    with pytest.raises(MethodError, match="clusters have 3 rows, the fit 120"):
        cluster_covariance(fit, [1, 2, 3])
    with pytest.raises(MethodError, match=r"unknown covariance 'CR4'.*Known: CR0, CR1, CR1S, CR2"):
        cluster_covariance(fit, d["unit"], "CR4")
    monkeypatch.setattr(regression, "MOST_CELLS", 100)
    with pytest.raises(MethodError, match="7 effects reach over several clusters"):
        cluster_covariance(fit, d["unit"])


def test_bad_constraints_are_refused():
    d = panel(19)
    fit = least_squares(d["y"], d["X"])
    with pytest.raises(MethodError, match="rows of 2 numbers, got"):
        wald_test(fit, d["unit"], constraints=np.eye(3))
    with pytest.raises(MethodError, match="independent rows"):
        wald_test(fit, d["unit"], constraints=np.ones((2, 2)))
    with pytest.raises(MethodError, match="2 clusters"):
        wald_test(least_squares(d["y"], np.column_stack([d["X"], d["w"]])), d["region"] > 2)


def test_fits_that_are_not_nested():
    d = panel(20)
    fit = least_squares(d["y"], d["X"], [d["unit"]])
    with pytest.raises(MethodError, match="the fits are not nested: 120 and 120 rows"):
        compare_nested(fit, fit)
    with pytest.raises(MethodError, match="no absorbed effects"):
        fixed_effects(least_squares(d["y"], d["X"]), d["y"], d["X"])


# The named estimator


def test_ols_is_registered_and_takes_effects_made_ready():
    d = panel(21)
    estimate = resolve("estimator", "ols")(
        d["y"], d["X"], clusters=d["region"], absorb=[d["unit"], d["year"]], weights=d["w"]
    )
    ready = absorb_effects([d["unit"], d["year"]], d["w"])
    fit = least_squares(d["y"], d["X"], ready)
    robust = cluster_covariance(fit, d["region"])
    assert_allclose(estimate.coef, fit.coef)
    assert_allclose(estimate.cov, robust.cov)
    assert_allclose(ols(d["y"], d["X"], clusters=d["region"], absorb=ready).df, robust.df)


# Known truth


def rejections(runs: int, clusters: int, seed: int) -> float:
    """Share of 5 % tests that reject a true slope of zero, errors and regressor clustered."""
    rng = np.random.default_rng(seed)
    codes, years = np.repeat(np.arange(clusters), 10), np.tile(np.arange(10), clusters)
    count = 0
    for _ in range(runs):
        shared = rng.normal(size=(2, clusters))[:, codes]
        drift = 0.3 * rng.normal(size=(2, clusters))[:, codes] * years
        x, y = shared + drift + rng.normal(size=(2, len(codes)))
        fit = least_squares(y, x[:, None], [codes, years])
        robust = cluster_covariance(fit, codes)
        t = abs(fit.coef[0]) / np.sqrt(robust.cov[0, 0])
        count += 2 * stats.t.sf(t, robust.df[0]) < 0.05
    return count / runs


def test_size_of_the_test_with_twelve_clusters():
    assert 0.01 <= rejections(300, 12, 22) <= 0.09


@pytest.mark.slow
def test_size_of_the_test_with_twelve_clusters_at_length():
    assert 0.03 <= rejections(8000, 12, 23) <= 0.07
