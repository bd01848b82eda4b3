"""Write the item response cases: ``python tests/reference/make_irt_cases.py``.

The likelihood is written out plainly, respondent by respondent over 81 Gauss-Hermite points,
and maximised by scipy without derivatives of ours. C2 and S-X2 are compared elsewhere only.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import optimize, stats

HERE = Path(__file__).parent
POINTS, WEIGHTS = np.polynomial.hermite_e.hermegauss(81)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
NAMES = ["q1", "q2", "q3", "q4"]


def simulate() -> pd.DataFrame:
    rng = np.random.default_rng(20)
    group = np.repeat([1, 2], 400)
    theta = rng.normal(np.where(group == 2, 0.4, 0.0), np.where(group == 2, 1.2, 1.0))
    slopes, cuts = np.array([1.0, 1.6, 0.8, 1.3]), np.array([-1.0, 0.2, 1.1])
    pull = slopes[:, None] * (theta[:, None, None] - cuts - np.array([[0.0], [0.2], [-0.3], [0.1]]))
    answers = (rng.uniform(size=(800, 4, 1)) < 1 / (1 + np.exp(-pull))).sum(axis=2) + 1
    return pd.DataFrame(answers, columns=NAMES).assign(group=group)


def chances(a: float, d: np.ndarray, theta: np.ndarray) -> np.ndarray:
    above = 1 / (1 + np.exp(-(a * theta[:, None] + d)))
    edges = np.column_stack([np.ones(len(theta)), above, np.zeros(len(theta))])
    return edges[:, :-1] - edges[:, 1:]


def patterns(codes: np.ndarray, slopes, intercepts, theta) -> np.ndarray:
    found = np.ones((len(codes), len(theta)))
    for j in range(codes.shape[1]):
        found *= chances(slopes[j], intercepts[j], theta)[:, codes[:, j]].T
    return found


def split(x: np.ndarray, m: int, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return slopes and falling intercepts: the first, and logarithms of the gaps."""
    rest = x[k:].reshape(k, m - 1)
    gaps = np.column_stack([np.zeros(k), np.cumsum(np.exp(rest[:, 1:]), axis=1)])
    return x[:k], rest[:, :1] - gaps


def start(m: int) -> np.ndarray:
    return np.concatenate([np.ones(4), np.tile([1.0, *np.zeros(m - 2)], 4)])


def best(function, x0: np.ndarray) -> optimize.OptimizeResult:
    x = x0
    for _ in range(3):
        x = optimize.minimize(function, x, method="BFGS", options={"gtol": 1e-5}).x
    return optimize.minimize(function, x, method="BFGS", options={"gtol": 1e-7})


def scores(like: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    posterior = like * WEIGHTS
    posterior /= posterior.sum(axis=1, keepdims=True)
    mean = posterior @ theta
    return mean, np.sqrt(posterior @ theta**2 - mean**2)


def table(rows, cols, values) -> dict:
    return {"rows": rows, "cols": cols, "values": np.asarray(values).tolist()}


def write(name: str, capability: str, inputs: dict, expected: dict, optional=()) -> None:
    case = {
        "case": name,
        "capability": capability,
        "data": ["graded_items.csv"],
        "inputs": inputs,
        "optional_expected": list(optional),
        "call": "scipy.optimize.minimize of the likelihood over 81 Gauss-Hermite points",
        "package": "scipy",
        "kind": "iterative",
        "rel_tol": 5e-4,
        "notes": "Written by make_irt_cases.py from a likelihood that is written out plainly.",
        "expected": expected,
    }
    path = HERE / "cases" / f"{name}.json"
    path.write_text(json.dumps(case, indent=1) + "\n", encoding="utf-8")


def graded(codes: np.ndarray) -> None:
    def loss(x):
        return -np.log(patterns(codes, *split(x, 4), POINTS) @ WEIGHTS).sum()

    found = best(loss, start(4))
    a, d = split(found.x, 4)
    mean, error = scores(patterns(codes, a, d, POINTS), POINTS)
    theta = np.linspace(-2, 2, 5)
    step = 1e-5
    told = np.zeros(5)
    for j in range(4):
        slope = (chances(a[j], d[j], theta + step) - chances(a[j], d[j], theta - step)) / (2 * step)
        told += (slope**2 / chances(a[j], d[j], theta)).sum(axis=1)
    expected = {
        "n": len(codes),
        "mirt_ab": table(NAMES, ["a", "b1", "b2", "b3"], np.column_stack([a, -d / a[:, None]])),
        "mirt_slope_intercept": table(NAMES, ["a1", "d1", "d2", "d3"], np.column_stack([a, d])),
        "mirt_loglik": -found.fun,
        "mirt_aic": 2 * found.fun + 32,
        "mirt_bic": 2 * found.fun + 16 * np.log(len(codes)),
        "eap_head": table(
            [str(i + 1) for i in range(10)], ["F1", "SE_F1"], np.column_stack([mean, error])[:10]
        ),
        "empirical_rxx": mean.var(ddof=1) / (mean.var(ddof=1) + np.mean(error**2)),
        "theta": theta.tolist(),
        "test_information": told.tolist(),
    }
    inputs = {"items": NAMES, "complete_on": NAMES, "head_rows": 10, "theta": theta.tolist()}
    write("irt-graded-simulated", "irt_graded", inputs, expected)


def two_answers(codes: np.ndarray) -> None:
    def loss(x):
        return -np.log(patterns(codes, *split(x, 2), POINTS) @ WEIGHTS).sum()

    def rasch(x):
        like = patterns(codes, np.ones(4), x[:4, None], np.exp(x[4]) * POINTS)
        return -np.log(like @ WEIGHTS).sum()

    found, one = best(loss, start(2)), best(rasch, np.zeros(5))
    a, d = split(found.x, 2)
    mean, error = scores(patterns(codes, a, d, POINTS), POINTS)
    expected = {
        "n": len(codes),
        "ab_2pl": table(NAMES, ["a", "b"], np.column_stack([a, -d / a[:, None]])),
        "loglik_2pl": -found.fun,
        "rasch_d": dict(zip(NAMES, one.x[:4].tolist(), strict=True)),
        "rasch_var": float(np.exp(2 * one.x[4])),
        "loglik_rasch": -one.fun,
        "eap_head": table(
            [str(i + 1) for i in range(10)], ["F1", "SE_F1"], np.column_stack([mean, error])[:10]
        ),
        "empirical_rxx": mean.var(ddof=1) / (mean.var(ddof=1) + np.mean(error**2)),
    }
    inputs = {"items": NAMES, "complete_on": NAMES, "head_rows": 10, "right_from": 3}
    write("irt-2pl-simulated", "irt_2pl", inputs, expected)


def differences(codes: np.ndarray, group: np.ndarray) -> None:
    first, second = codes[group == 1], codes[group == 2]

    def loss(x, item=None):
        a, d = split(x[:16], 4)
        others = a.copy(), d.copy()
        if item is not None:
            own = np.concatenate([np.ones(4), np.tile(x[19:], 4)])
            others[0][item], others[1][item] = x[18], split(own, 4)[1][0]
        theta = x[16] + np.exp(x[17]) * POINTS
        one = np.log(patterns(first, a, d, POINTS) @ WEIGHTS).sum()
        return -one - np.log(patterns(second, *others, theta) @ WEIGHTS).sum()

    base = best(loss, np.concatenate([start(4), np.zeros(2)]))
    statistics = []
    for item in range(4):
        own = np.concatenate([base.x[[item]], base.x[4 + 3 * item : 7 + 3 * item]])
        free = best(lambda x, item=item: loss(x, item), np.concatenate([base.x, own]))
        statistics.append(2 * (base.fun - free.fun))
    expected = {
        "loglik_constrained": -base.fun,
        "group2_mean": base.x[16],
        "group2_var": float(np.exp(2 * base.x[17])),
        "dif": {
            "_row": NAMES,
            "X2": statistics,
            "df": [4] * 4,
            "p": stats.chi2.sf(statistics, 4).tolist(),
        },
    }
    inputs = {"items": NAMES, "group": "group", "complete_on": NAMES, "model": "graded"}
    write("irt-dif-simulated", "irt_dif", inputs, expected)


if __name__ == "__main__":
    data = simulate()
    data.to_csv(HERE / "data" / "graded_items.csv", index=False, lineterminator="\n")
    answers = data[NAMES].to_numpy() - 1
    graded(answers)
    two_answers((answers >= 2).astype(int))
    differences(answers, data["group"].to_numpy())
