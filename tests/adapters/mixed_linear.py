"""Linear mixed models by restricted and by maximum likelihood."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import patsy

from lgpi_research.methods.mixed import MixedFit, RandomTerm, fit_mixed
from lgpi_research.methods.mixed_df import fixed_tests
from tests.adapters._survey import backquoted

Floats = npt.NDArray[np.float64]

FUNCTIONS = patsy.EvalEnvironment([{"log": np.log, "exp": np.exp, "sqrt": np.sqrt}])


def compute(case: dict[str, Any], load: Callable[[str], pd.DataFrame]) -> dict[str, Any]:
    inputs = case["inputs"]
    data = Data(inputs, load(case["data"][0]))
    found: dict[str, Any] = {}
    for kind in inputs["methods"]:
        fit = fit_mixed(
            data.y, data.X, [term for _, term in data.terms], reml=kind == "reml", names=data.names
        )
        found[kind] = {
            "fixed": {
                "est": dict(zip(data.names, fit.coef, strict=True)),
                "se": dict(zip(data.names, fit.std_error, strict=True)),
            },
            "varcorr": data.variances(fit),
            f"deviance_{kind}": fit.deviance,
            "loglik": fit.log_likelihood,
            "aic": fit.aic,
            "bic": fit.bic,
            "vcov_fixed": matrix(fit.cov),
            "fitted_head": fit.fitted()[: inputs.get("fitted_rows", 10)],
            **data.predictions(fit),
        }
        for leaf, method in (inputs.get("df") or {}).items():
            if method == "kenward_roger" and kind == "ml":
                continue
            tests = fixed_tests(fit, method=method or "satterthwaite")
            table = {"est": tests.coef, "se": tests.std_error, "t": tests.statistic}
            if method:
                table |= {"df": tests.df, "p": tests.p_value}
            found[kind][leaf] = data.by_name(table)
    return found


class Data:
    """The rows that a case uses, and its names for what is made of them."""

    def __init__(self, inputs: dict[str, Any], frame: pd.DataFrame) -> None:
        for name, expression in (inputs.get("derive") or {}).items():
            frame[name] = frame.eval(backquoted(expression, frame), engine="python")
        if inputs.get("rows"):
            frame = frame.query(backquoted(inputs["rows"], frame), engine="python")
        # In formulas a column needs a name that Python and patsy leave alone.
        plain = {
            name: name if usable(name) else f"column_{i}_" for i, name in enumerate(frame.columns)
        }
        self.given = {short: name for name, short in plain.items()}

        def told(text: str) -> str:
            for name in sorted((n for n in plain if n != plain[n]), key=len, reverse=True):
                text = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w.(])", plain[name], text)
            return text

        self.levels = {
            name: [label(value) for value in levels]
            for name, levels in (inputs.get("categorical") or {}).items()
        }
        for name, levels in self.levels.items():
            frame[name] = pd.Categorical(frame[name].map(label, na_action="ignore"), levels)
        random = [
            {**term, "group": [term["group"]] if isinstance(term["group"], str) else term["group"]}
            for term in inputs["random"]
        ]
        formulas = [told(inputs["formula"]), *(told(term["formula"]) for term in random)]
        words = set(re.findall(r"\w+", " ".join(formulas)))
        used = [name for name in plain if plain[name] in words]
        used += [name for term in random for name in term["group"] if name not in used]
        self.frame = frame.dropna(subset=used).reset_index(drop=True)
        safe = self.frame.rename(columns=plain)
        outcome, design = patsy.dmatrices(formulas[0], safe, FUNCTIONS, return_type="dataframe")
        self.coefficients = {told(name): shown for shown, name in inputs.get("terms", {}).items()}
        order = [name for name in self.coefficients if name in design.columns]
        design = design[[*order, *(name for name in design.columns if name not in order)]]
        self.y, self.X = outcome.to_numpy()[:, 0], design.to_numpy()
        self.names = [self.shown(name) for name in design.columns]
        self.rows_of_head = inputs.get("head_rows", 30)
        wanted = inputs.get("random_effects_of")
        self.wanted = [wanted] if isinstance(wanted, str) else wanted
        self.groups, self.effects = list[list[str]](), list[list[str]]()
        self.terms = list[tuple[list[str], RandomTerm]]()
        for term, formula in zip(random, formulas[1:], strict=True):
            made = patsy.dmatrix(formula, safe, FUNCTIONS, return_type="dataframe")
            codes, labels = self.combine(term["group"])
            columns = [self.shown(name) for name in made.columns]
            # Uncorrelated effects are terms of their own, as the reference counts them.
            apart = len(columns) > 1 and not term.get("correlated", True)
            for chosen in [[j] for j in range(len(columns))] if apart else [range(len(columns))]:
                values = made.to_numpy()[:, list(chosen)]
                self.terms.append((labels, RandomTerm(codes, values, name=":".join(term["group"]))))
                self.groups.append(term["group"])
                self.effects.append([columns[j] for j in chosen])

    def combine(self, columns: list[str]) -> tuple[npt.NDArray[np.intp], list[str]]:
        """Return the combination of columns that each row has, and their names in order."""
        parts, names = [], []
        for name in columns:
            values = self.frame[name]
            if name in self.levels:
                parts.append(values.cat.codes.to_numpy().astype(int))
                names.append(self.levels[name])
            else:
                codes, found = pd.factorize(values, sort=True)
                parts.append(codes)
                names.append([label(value) for value in found])
        found, codes = np.unique(np.column_stack(parts), axis=0, return_inverse=True)
        labels = [":".join(named[i] for named, i in zip(names, row, strict=True)) for row in found]
        return codes.ravel(), labels

    def shown(self, name: str) -> str:
        """Return a column of a design as the case calls it."""
        if name in self.coefficients:
            return self.coefficients[name]
        text = re.sub(r"column_\d+_", lambda found: self.given[found[0]], name)
        text = "(Intercept)" if text == "Intercept" else text
        return re.sub(r"C\(([^)]*)\)\[(?:T\.)?([^]]*)\]", r"\1\2", text)

    def by_name(self, table: dict[str, Floats]) -> dict[str, Any]:
        """Return numbers by coefficient, one number where there is one coefficient."""
        single = len(self.names) == 1
        return {
            key: float(values[0]) if single else dict(zip(self.names, values, strict=True))
            for key, values in table.items()
        }

    def order(self, fit: MixedFit) -> list[int]:
        """Return the terms as the reference orders them: most groups first."""
        sizes = np.array(fit.n_groups)
        falling = (np.diff(sizes) <= 0).all()
        return (
            list(range(len(sizes))) if falling else np.argsort(sizes, kind="stable")[::-1].tolist()
        )

    def variances(self, fit: MixedFit) -> dict[str, Any]:
        """Return variances, covariances, their roots and correlations as one table."""
        rows = list[tuple[str, str | None, str | None, float, float]]()
        seen = dict[str, int]()
        for t in self.order(fit):
            name = ":".join(self.groups[t])
            number = seen[name] = seen.get(name, -1) + 1
            group, cov, effects = (
                name + (f".{number}" if number else ""),
                fit.covariances[t],
                self.effects[t],
            )
            sd = np.sqrt(np.diag(cov))
            rows += [(group, e, None, cov[i, i], sd[i]) for i, e in enumerate(effects)]
            rows += [
                (group, effects[j], effects[i], cov[i, j], cov[i, j] / (sd[i] * sd[j]))
                for j in range(len(sd))
                for i in range(j + 1, len(sd))
            ]
        residual = fit.residual_variance
        rows.append(("Residual", None, None, residual, np.sqrt(residual)))
        keys = ("grp", "var1", "var2", "vcov", "sdcor")
        return {
            key: list(column) for key, column in zip(keys, zip(*rows, strict=True), strict=True)
        }

    def predictions(self, fit: MixedFit) -> dict[str, Any]:
        """Return conditional modes of the wanted factor, and the first group's covariance."""
        if not self.wanted:
            return {}
        chosen = [t for t in self.order(fit) if self.groups[t] == self.wanted]
        labels = self.terms[chosen[0]][0]
        values: dict[str, Any] = {"_row": labels[: self.rows_of_head]}
        told = {}
        for t in chosen:
            modes, covariances = fit.random_effects(t)
            values |= dict(zip(self.effects[t], modes[: self.rows_of_head].T, strict=True))
            told[t] = covariances[0]
        if len(chosen) == 1:
            condvar: dict[str, Any] = matrix(told[chosen[0]])
        else:
            condvar = {
                self.effects[t][0]: float(cov[0, 0]) if cov.size == 1 else matrix(cov)
                for t, cov in told.items()
            }
        return {
            "ranef_first_factor": {"levels": labels[: self.rows_of_head], "values": values},
            "condvar_first_unit": condvar,
        }


def usable(name: str) -> bool:
    """Return whether a column can stand in a formula under its own name."""
    return name.isidentifier() and not keyword.iskeyword(name) and name not in ("C", "I", "Q")


def label(value: object) -> str:
    """Return a level as text; whole numbers without a point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def matrix(values: Floats) -> dict[str, Any]:
    """Return a matrix without names as the reference writes one."""
    return {
        "rows": [str(i + 1) for i in range(len(values))],
        "cols": [f"V{j + 1}" for j in range(values.shape[1])],
        "values": values,
    }
