"""Agreement of coders as a researcher asks for it: tables in, coefficients and notes out."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from typer.testing import CliRunner

from lgpi_research import agreement as stage
from lgpi_research.agreement import COEFFICIENTS, assess_agreement
from lgpi_research.cli import app
from lgpi_research.errors import DataError, MethodError, SpecError
from lgpi_research.methods.agreement import chance_corrected, krippendorff_alpha
from lgpi_research.methods.icc import intraclass, mean_squares
from lgpi_research.methods.kappa import cohen_kappa, kendall_w
from lgpi_research.results import load_result

CODERS = ["anna", "ben", "cleo"]
METRIC = ("icc_1", "icc_a1", "icc_c1", "icc_k", "icc_ak", "icc_ck")


@pytest.fixture
def wide():
    rng = np.random.default_rng(11)
    truth = rng.integers(1, 6, size=30)
    values = np.clip(truth[:, None] + rng.integers(-1, 2, size=(30, 3)), 1, 5).astype(float)
    values[2, 1] = values[7, 0] = values[8, 0] = values[8, 1] = np.nan
    return pd.DataFrame(values, columns=CODERS).assign(place=[f"p{i:02d}" for i in range(30)])


@pytest.fixture
def long(wide):
    return wide.melt("place", CODERS, var_name="coder", value_name="rating").dropna()


def test_each_row_is_what_the_method_gives(wide):
    table = wide[CODERS].to_numpy()
    names = ("krippendorff", "gwet", "conger", "kendall_w", "icc_a1")
    found = assess_agreement(
        wide, coders=CODERS, measurement="interval", coefficients=names, n_boot=50, seed=0
    ).frame.set_index("coefficient")
    complete = table[~np.isnan(table).any(axis=1)]
    form = intraclass(mean_squares(complete))[1]
    expected = [
        krippendorff_alpha(table, "interval"),
        chance_corrected(table, "gwet", weights="quadratic").estimate,
        chance_corrected(table, "conger", weights="quadratic").estimate,
        kendall_w(complete).estimate,
        form.estimate,
    ]
    assert found["estimate"].tolist() == expected
    assert (found.loc["icc_a1", ["ci_low", "ci_high"]] == [form.ci_low, form.ci_high]).all()
    assert found["n_units"].to_dict() == {
        "krippendorff": 29, "gwet": 30, "conger": 30, "kendall_w": 27, "icc_a1": 27
    }  # fmt: skip
    assert found["n_ratings"].to_dict() == {
        "krippendorff": 85, "gwet": 86, "conger": 86, "kendall_w": 81, "icc_a1": 81
    }  # fmt: skip
    assert (found["n_units"] + found["n_dropped"] == 30).all()


def test_long_and_wide_tables_give_the_same(wide, long):
    options = {"measurement": "ordinal", "n_boot": 200, "seed": 0}
    one = assess_agreement(wide, unit="place", coders=CODERS, **options)
    other = assess_agreement(
        long.sample(frac=1, random_state=1), unit="place", coder="coder", value="rating", **options
    )
    pd.testing.assert_frame_equal(one.frame, other.frame)


@pytest.mark.parametrize("seed", [0, 7])
def test_more_draws_extend_fewer_and_workers_change_nothing(wide, seed):
    options = {
        "coders": CODERS, "measurement": "ordinal", "coefficients": ["krippendorff"],
        "interval": "bootstrap",
    }  # fmt: skip
    one, two = (
        assess_agreement(wide, **options, n_boot=1500, seed=seed, n_jobs=jobs) for jobs in (1, 2)
    )
    assert one.digest() == two.digest()
    assert one.provenance["seed"] == seed
    table = stage.tally(wide[CODERS].to_numpy(), least=2)
    few, many = (
        stage.fold_blocks(
            stage._Replicates(table, "ordinal", "bootstrap", seed, n), n, n_jobs=1, label=""
        )["alpha"]
        for n in (300, 1500)
    )
    assert few.tolist() == many[:300].tolist()


def test_the_interval_holds_percentiles_of_the_draws(wide):
    found = assess_agreement(
        wide,
        coders=CODERS,
        coefficients=["krippendorff"],
        n_boot=4000,
        seed=3,
        level=0.9,
        interval="bootstrap",
    ).frame.iloc[0]
    table = wide[CODERS].to_numpy()
    table = table[(~np.isnan(table)).sum(axis=1) > 1]
    rng = np.random.default_rng(0)
    by_hand = [
        krippendorff_alpha(table[rng.integers(len(table), size=len(table))]) for _ in range(4000)
    ]
    assert found["std_error"] == pytest.approx(np.std(by_hand), rel=0.06)
    ends = np.quantile(by_hand, [0.05, 0.95])
    assert_allclose([found["ci_low"], found["ci_high"]], ends, atol=0.015)


def test_the_default_interval_is_the_jackknife_on_the_log_scale():
    rng = np.random.default_rng(12)
    truth = rng.integers(0, 4, size=1100)  # more units than a block has replicates
    table = np.where(
        rng.uniform(size=(1100, 2)) < 0.8, truth[:, None], rng.integers(0, 4, (1100, 2))
    )
    found = assess_agreement(pd.DataFrame(table, columns=["a", "b"]), coders=["a", "b"]).frame.iloc[
        0
    ]
    alpha = krippendorff_alpha(table)
    left = np.array([krippendorff_alpha(np.delete(table, i, axis=0)) for i in range(1100)])
    assert found["interval"] == "jackknife-t"
    assert_allclose(found["std_error"], np.sqrt(1099 / 1100 * ((left - left.mean()) ** 2).sum()))
    logs = np.log(1 - left)
    reach = stats.t.ppf(0.975, 1099) * np.sqrt(1099 / 1100 * ((logs - logs.mean()) ** 2).sum())
    ends = 1 - np.exp(np.log(1 - alpha) + np.array([reach, -reach]))
    assert_allclose([found["ci_low"], found["ci_high"]], ends)


@pytest.mark.parametrize("interval", ["jackknife", "bootstrap"])
def test_full_agreement_has_no_jackknife_interval_and_says_so(interval):
    table = pd.DataFrame({"a": [1, 2, 3, 1, 2], "b": [1, 2, 3, 1, 2]})
    found = assess_agreement(
        table, coders=["a", "b"], coefficients=["krippendorff"], interval=interval, seed=0
    )
    assert found.frame["estimate"][0] == 1
    said = any("has no interval" in note for note in found.notes)
    assert said == np.isnan(found.frame["ci_low"][0]) == (interval == "jackknife")


def test_text_is_told_apart_and_ordered_by_the_categories(wide):
    words = dict(enumerate(["none", "weak", "some", "good", "full"], start=1))
    text = wide[CODERS].apply(lambda column: column.map(words))
    plain, named = (
        assess_agreement(t, coders=CODERS, n_boot=20, seed=0).frame for t in (wide, text)
    )
    pd.testing.assert_frame_equal(plain, named)
    options = {"coders": CODERS, "measurement": "ordinal", "n_boot": 20, "seed": 0}
    ranked = assess_agreement(text, categories=list(words.values()), **options)
    assert_allclose(ranked.frame["estimate"], assess_agreement(wide, **options).frame["estimate"])
    kind = pd.CategoricalDtype(list(words.values()), ordered=True)
    declared = assess_agreement(text.astype(kind), **options)
    pd.testing.assert_frame_equal(ranked.frame, declared.frame)
    with pytest.raises(DataError, match=r"their order is not known\. Give categories="):
        assess_agreement(text, **options)
    with pytest.raises(DataError, match="86 of 86 ratings are no numbers"):
        assess_agreement(text, coders=CODERS, measurement="interval")


def test_cohen_takes_two_coders(wide):
    found = assess_agreement(
        wide, coders=CODERS[:2], measurement="ordinal", coefficients=["cohen"], weights="linear"
    )
    assert found.frame["estimate"][0] == cohen_kappa(wide[CODERS[:2]], "linear").estimate
    assert found.frame["label"][0] == "Cohen's kappa (linear weights)"
    assert found.provenance["seed"] is None
    with pytest.raises(SpecError, match="cohen compares two coders, and there are 3"):
        assess_agreement(wide, coders=CODERS, coefficients=["cohen"])


def test_notes_count_what_was_set_aside(wide):
    table = wide.assign(dora=np.nan)
    table.loc[len(table)] = [np.nan] * 3 + ["p99", np.nan]
    found = assess_agreement(
        table, unit="place", coders=[*CODERS, "dora"], measurement="interval", n_boot=20, seed=0
    )
    said = "\n".join(found.notes)
    assert "Coders set aside because they rated nothing: dora." in said
    assert "Units set aside because nobody rated them: 1." in said
    assert "Units with one rating, on which no pair of coders can be compared: 1." in said
    assert "icc_a1, icc_ak: 3 of 30 units set aside because a coder did not rate them." in said


def test_a_prevailing_value_and_few_units_are_said():
    table = pd.DataFrame(np.ones((15, 2)), columns=["a", "b"])
    table.iloc[0] = [0, 1]
    found = assess_agreement(table, coders=["a", "b"], n_boot=100, seed=0, interval="bootstrap")
    said = "\n".join(found.notes)
    assert "One value makes up 97 % of the ratings: fleiss are low" in said
    assert "With 15 units the intervals are rough." in said
    assert "bootstrap draws had ratings of one value only" in said


def test_a_coefficient_without_an_answer_is_left_out_by_name():
    table = pd.DataFrame([[1, 1, np.nan], [2, np.nan, 2], [3, 3, np.nan]], columns=CODERS)
    found = assess_agreement(table, coders=CODERS, measurement="interval", n_boot=20, seed=0)
    assert found.frame["coefficient"].tolist() == ["krippendorff"]
    assert any(note.startswith("icc_a1 is left out: 0 of 3 units") for note in found.notes)
    with pytest.raises(MethodError, match="icc_ak is left out"):
        assess_agreement(
            table, coders=CODERS, measurement="interval", coefficients=["icc_a1", "icc_ak"]
        )


def test_every_wrong_option_is_said_at_once(wide):
    with pytest.raises(SpecError) as caught:
        assess_agreement(
            wide, coders=CODERS, measurement="ordinall", coefficients=["krippendorf"],
            weights="square", interval="feldt", level=95, n_boot=1,
        )  # fmt: skip
    assert len(caught.value.problems) == 6
    assert "Did you mean 'ordinal'?" in str(caught.value)
    assert "Did you mean 'krippendorff'?" in str(caught.value)
    with pytest.raises(SpecError, match="icc_1 averages ratings"):
        assess_agreement(wide, coders=CODERS, coefficients=["icc_1"])
    with pytest.raises(SpecError, match="nominal ratings have no order"):
        assess_agreement(wide, coders=CODERS, coefficients=["kendall_w"])
    with pytest.raises(SpecError, match="linear needs an order"):
        assess_agreement(wide, coders=CODERS, weights="linear")
    with pytest.raises(SpecError, match="say how ratings are laid out"):
        assess_agreement(wide, unit="place")
    with pytest.raises(SpecError, match="name at least one"):
        assess_agreement(wide, coders=CODERS, coefficients=[])


def test_bad_ratings_are_refused_with_what_to_do(wide, long):
    with pytest.raises(DataError, match="bob: no such column"):
        assess_agreement(wide, coders=["anna", "bob"])
    with pytest.raises(DataError, match="1 coders rated something; agreement needs at least 2"):
        assess_agreement(wide, coders=["anna"])
    with pytest.raises(DataError, match="1 units have two or more ratings"):
        assess_agreement(wide.head(1), coders=CODERS)
    with pytest.raises(DataError, match="all 90 ratings are the same"):
        assess_agreement(wide.assign(anna=1, ben=1, cleo=1), coders=CODERS)
    with pytest.raises(DataError, match=r"none of the categories: 5\.0"):
        assess_agreement(wide, coders=CODERS, categories=[1, 2, 3, 4])
    with pytest.raises(DataError, match="86 ratings are negative"):
        assess_agreement(wide[CODERS] - 9, coders=CODERS, measurement="ratio")
    with pytest.raises(DataError, match="1 ratings are infinite"):
        assess_agreement(wide.replace({"anna": {wide["anna"][0]: np.inf}}).head(3), coders=CODERS)
    twice = pd.concat([long, long.head(2)])
    with pytest.raises(DataError, match="4 rows rate the same unit by the same coder"):
        assess_agreement(twice, unit="place", coder="coder", value="rating")
    nameless = long.assign(coder=long["coder"].mask(long["place"] == "p00"))
    found = assess_agreement(
        nameless, unit="place", coder="coder", value="rating", n_boot=10, seed=0
    )
    assert found.notes[0] == "3 rows set aside because place or coder is missing."


def test_the_result_tells_saves_and_draws(wide, tmp_path):
    found = assess_agreement(
        wide, coders=CODERS, measurement="interval", seed=0, n_boot=100,
        coefficients=[name for name in COEFFICIENTS if name != "cohen"],
    )  # fmt: skip
    assert found.headline().startswith("Krippendorff's alpha (interval) of 3 coders on 29 units is")
    assert found.references.count("@") == found.references.count("year = ")
    text = found.methods_text()
    for key in ("Krippendorff2019", "Gwet2008", "McGrawWong1996", "KendallBabington1939"):
        assert f"@{key}" in text
        assert key in found.references
    assert set(METRIC) < set(found.frame["coefficient"])
    copy = load_result(found.save(tmp_path / "agreement.parquet"))
    pd.testing.assert_frame_equal(copy.frame, found.frame)
    assert copy.headline() == found.headline()
    ax = found.plot()
    assert [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()] == found.frame[
        "label"
    ].tolist()


def lgpi(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


def test_agreement_of_a_users_table(long, wide, tmp_path):
    path = tmp_path / "ratings.csv"
    long.to_csv(path, index=False)
    words = ("agreement", path, "--unit", "place", "--coder", "coder", "--value", "rating")
    status, out, message = lgpi(*words, "--measurement", "ordinal", "--draws", 100)
    assert status == 0, message
    assert "Krippendorff's alpha (ordinal) of 3 coders on 29 units" in out
    told = json.loads(lgpi(*words, "--measurement", "ordinal", "--draws", 100, "--json")[1])
    assert told["frame"][0]["estimate"] == krippendorff_alpha(wide[CODERS], "ordinal")
    assert told["provenance"]["seed"] is None
    drawn = json.loads(lgpi(*words, "--interval", "bootstrap", "--json")[1])
    assert drawn["provenance"]["seed"] == 0
    status, out, message = lgpi(*words, "--coefficients", "kappa")
    assert (status, out) == (2, "")
    assert message.startswith("SpecError: ")


def test_missing_codes_of_a_users_table_are_blanked(wide, tmp_path):
    path = tmp_path / "wide.csv"
    wide.fillna(-99).to_csv(path, index=False)
    words = ("agreement", path, "--coders", ",".join(CODERS), "--missing-codes", "-99", "--json")
    told = json.loads(lgpi(*words, "--coefficients", "gwet")[1])
    expected = chance_corrected(wide[CODERS].to_numpy(), "gwet")
    assert told["frame"][0]["estimate"] == expected.estimate


@pytest.mark.slow
def test_the_jackknife_interval_covers_the_true_alpha():
    """Coverage at 20 units of 3 coders, missing at random, of what 200,000 units have."""

    def draw(rng, n):
        truth = rng.integers(0, 4, size=n)
        right = rng.uniform(size=(n, 3)) < 0.7
        table = np.where(right, truth[:, None], rng.integers(0, 4, size=(n, 3))).astype(float)
        table[rng.uniform(size=table.shape) < 0.1] = np.nan
        return table

    true = krippendorff_alpha(draw(np.random.default_rng(0), 200_000))
    hits, runs = 0, 1000
    for task in range(runs):
        table = pd.DataFrame(draw(np.random.default_rng([9, task]), 20), columns=CODERS)
        row = assess_agreement(table, coders=CODERS, coefficients=["krippendorff"]).frame.iloc[0]
        hits += row["ci_low"] <= true <= row["ci_high"]
    assert 0.93 <= hits / runs <= 0.975
