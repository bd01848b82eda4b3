"""Sensitivity: exact shares, the same bytes whatever the workers, and what is refused."""

from __future__ import annotations

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lgpi_research.codebook import Codebook, Indicator
from lgpi_research.errors import MethodError, SpecError
from lgpi_research.indicators import Indicators
from lgpi_research.methods.weights import draw_dirichlet
from lgpi_research.registry import use
from lgpi_research.scoring import score_index
from lgpi_research.sensitivity import assess_sensitivity
from lgpi_research.spec import IndexSpec, Variation
from lgpi_research.streams import BLOCK, stream
from tests.test_scoring import panel, simulated, tai_indicators


def flat_spec(data: Indicators, **choices) -> IndexSpec:
    return IndexSpec("index", {"all": data.codebook.names}, **choices)


def winning_share(x: np.ndarray, y: np.ndarray) -> float:
    """Share of uniform weights under which x beats y, for distinct differences, exactly."""
    d = x - y
    k = len(d)
    return sum(
        d[i] ** (k - 1) / np.prod([d[i] - d[j] for j in range(k) if j != i])
        for i in range(k)
        if d[i] > 0
    )


def test_two_units_first_share_is_the_closed_form_under_uniform_weights():
    # Dirichlet(k · 1/k) = Dirichlet(1, …, 1): uniform on the simplex.
    data = tai_indicators()
    spec = flat_spec(data, normalise=use("minmax", basis="sample"))
    rows = data.values.loc[["Finland", "United States"]]
    low, high = data.values.min(), data.values.max()
    scaled = ((rows - low) / (high - low)).to_numpy()
    exact = winning_share(scaled[0], scaled[1])
    assert_allclose(exact, 0.632, atol=0.0005)
    book = Codebook(tuple(Indicator(n, goalposts=(low[n], high[n])) for n in data.values))
    two = Indicators(rows, book)
    goal = spec.change(normalise=use("minmax", basis="goalposts"))
    n = 65_536
    found = assess_sensitivity(two, goal, Variation(8), n_draws=n, seed=0)
    error = np.sqrt(exact * (1 - exact) / n)
    assert abs(found.frame["share_first"][0] - exact) < 4 * error


def test_the_same_bytes_with_one_worker_two_and_more_draws_extend_fewer(tmp_path):
    data = simulated(n=40)
    spec = IndexSpec.from_codebook("i", data.codebook)
    varied = Variation(20, normalise=("rank",))
    one = assess_sensitivity(data, spec, varied, n_draws=3000, seed=0)
    two = assess_sensitivity(data, spec, varied, n_draws=3000, seed=0, n_jobs=2)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        three = assess_sensitivity(data, spec, varied, n_draws=3000, seed=0)
    assert one.digest() == two.digest() == three.digest()
    files = [r.save(tmp_path / f"{i}.parquet").read_bytes() for i, r in enumerate((one, two))]
    assert files[0] == files[1]
    other = assess_sensitivity(data, spec, varied, n_draws=3000, seed=1)
    assert other.digest() != one.digest()


def test_seed_zero_is_a_seed_and_none_is_recorded():
    data = simulated()
    spec = IndexSpec.from_codebook("i", data.codebook)
    assert assess_sensitivity(data, spec, n_draws=10, seed=0).provenance["seed"] == 0
    drawn = assess_sensitivity(data, spec, n_draws=10).provenance["seed"]
    again = assess_sensitivity(data, spec, n_draws=10, seed=drawn)
    assert again.provenance["seed"] == drawn
    with pytest.raises(SpecError, match="whole number"):
        assess_sensitivity(data, spec, n_draws=10, seed=-1)


def test_shares_add_up_and_a_dominating_unit_is_always_first():
    data = simulated(n=12)
    best = data.values.copy()
    best.iloc[3] = best.max() + 1
    data = Indicators(best, data.codebook)
    found = assess_sensitivity(
        data, IndexSpec.from_codebook("i", data.codebook), n_draws=2000, seed=0
    )
    shares = found.arrays["acceptability"]
    assert_allclose(shares.sum(axis=0), 1.0)
    assert_allclose(shares.sum(axis=1), 1.0)
    assert found.frame["share_first"][3] == 1.0
    assert found.frame["rank_worst"][3] == 1.0
    inside = found.frame[["rank_best", "rank_low", "rank_median", "rank_high", "rank_worst"]]
    assert (inside.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    assert_allclose(found.frame["rank_mean"], shares @ np.arange(1, 13))


def test_identical_units_tie_in_every_draw():
    data = simulated(n=8)
    values = data.values.copy()
    values.iloc[5] = values.iloc[2]
    found = assess_sensitivity(
        Indicators(values, data.codebook),
        IndexSpec.from_codebook("i", data.codebook),
        n_draws=1500,
        seed=0,
    )
    pair = found.frame.loc[[2, 5]].drop(columns="unit")
    assert_array_equal(pair.iloc[0], pair.iloc[1])
    shares = found.arrays["acceptability"]
    assert_array_equal(shares[2], shares[5])
    assert_allclose(shares.sum(axis=0), 1.0)
    assert_allclose(shares.sum(axis=1), 1.0)


def test_every_draw_is_that_of_its_stream_scored_alone():
    data = simulated(n=9, k=4)
    spec = IndexSpec.from_codebook("i", data.codebook)
    varied = Variation(10, normalise=("rank",))
    n = 1300  # a whole block and a part of one
    found = assess_sensitivity(data, spec, varied, n_draws=n, seed=0)
    ranks = np.empty((n, 9))
    scores = []
    for draw in range(n):
        block, place = divmod(draw, BLOCK)
        chosen = stream(0, "choices", block).integers(2, size=BLOCK)[place]
        rng = stream(0, "weights", block)
        weights = {}
        for _, children in spec.nodes():
            k = len(children)
            drawn = draw_dirichlet(rng, np.full(k, 1 / k), 10, BLOCK)[place]
            weights.update(zip(children, drawn, strict=True))
        one = spec.change(weights=weights, normalise=("zscore", "rank")[chosen])
        frame = score_index(data, one).frame
        ranks[draw] = frame["rank"]
        if chosen == 0:
            scores.append(frame["score"])
    for name, share in (("rank_low", 0.05), ("rank_median", 0.5), ("rank_high", 0.95)):
        by_hand = np.quantile(ranks, share, axis=0, method="inverted_cdf")
        assert_array_equal(found.frame[name], by_hand)
    assert_array_equal(found.frame["rank_best"], ranks.min(axis=0))
    assert_array_equal(found.frame["rank_worst"], ranks.max(axis=0))
    assert_allclose(found.frame["rank_mean"], ranks.mean(axis=0))
    assert_allclose(found.frame["score_sd"], np.std(scores, axis=0), rtol=1e-9)
    by_rank = (ranks[:, :, None] == np.arange(1, 10)).mean(axis=0)
    assert_allclose(found.arrays["acceptability"], by_rank)
    reference = score_index(data, spec).frame["rank"].to_numpy()
    assert_allclose(found.details["mean_rank_shift"], np.abs(ranks - reference).mean())


def test_one_draw_in_twenty_ends_the_interval():
    data = simulated(n=40)
    spec = IndexSpec.from_codebook("i", data.codebook)
    found = assess_sensitivity(data, spec, Variation(5), n_draws=20, seed=0)
    assert_array_equal(found.frame["rank_low"], found.frame["rank_best"])
    assert (found.frame["rank_high"] <= found.frame["rank_worst"]).all()
    assert (found.frame["rank_high"] < found.frame["rank_worst"]).any()


def test_a_score_varies_as_the_weights_do():
    # One node, arithmetic: Var(score) = x' Cov(w) x, with the Dirichlet's covariance.
    data = simulated(n=15, k=4)
    spec = flat_spec(data)
    found = assess_sensitivity(data, spec, Variation(30), n_draws=60_000, seed=0)
    w = np.full(4, 0.25)
    z = ((data.values - data.values.mean()) / data.values.std()).to_numpy()
    sd = np.sqrt(np.einsum("ni,ij,nj->n", z, (np.diag(w) - np.outer(w, w)) / 31, z))
    assert_allclose(found.frame["score_sd"], sd, rtol=0.02)


def test_without_variation_nothing_moves():
    data = simulated()
    spec = IndexSpec.from_codebook("i", data.codebook)
    found = assess_sensitivity(data, spec, Variation(None), n_draws=1100, seed=0)
    assert found.details["mean_rank_shift"] == 0.0
    assert found.details["narrow_share"] == 1.0
    assert_array_equal(found.frame["rank_low"], found.frame["rank"])
    assert_array_equal(found.frame["score_sd"], np.zeros(25))


def test_methods_that_cannot_be_scored_are_left_out_by_name_and_the_others_drawn():
    data = simulated()
    spec = IndexSpec.from_codebook("i", data.codebook)
    varied = Variation(50, normalise=("rank",), aggregate=("geometric",))
    found = assess_sensitivity(data, spec, varied, n_draws=6000, seed=0)
    assert found.details["choices"] == ["zscore, arithmetic", "rank, arithmetic", "rank, geometric"]
    left = [note for note in found.notes if note.startswith("left out")]
    assert len(left) == 1
    assert left[0].startswith("left out: zscore, geometric, which cannot be scored (")
    used = found.details["draws_of_choices"]
    assert sum(used) == 6000
    assert_allclose(used, 2000, atol=4 * np.sqrt(6000 * 2 / 9))


def test_a_specification_that_cannot_be_scored_is_refused():
    data = simulated()
    with pytest.raises(MethodError, match="positive"):
        assess_sensitivity(data, flat_spec(data, aggregate="geometric"), n_draws=10, seed=0)


@pytest.mark.parametrize("draws", [0, -5, 1.5, True])
def test_a_number_of_draws_that_is_none_is_refused(draws):
    data = simulated()
    with pytest.raises(SpecError, match="number of draws"):
        assess_sensitivity(data, flat_spec(data), n_draws=draws, seed=0)


def test_an_interrupted_run_goes_on_from_its_blocks(tmp_path, monkeypatch):
    from lgpi_research import sensitivity

    data = simulated(n=30)
    spec = IndexSpec.from_codebook("i", data.codebook)
    whole = assess_sensitivity(data, spec, n_draws=5000, seed=0)
    compute = sensitivity._Draws.__call__
    done: list[int] = []

    def killed(self, block, size):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(block)
        return compute(self, block, size)

    monkeypatch.setattr(sensitivity._Draws, "__call__", killed)
    with pytest.raises(KeyboardInterrupt):
        assess_sensitivity(data, spec, n_draws=5000, seed=0, checkpoint=tmp_path)
    done.clear()
    again = assess_sensitivity(data, spec, n_draws=5000, seed=0, checkpoint=tmp_path)
    assert done == [3, 4]
    assert again.digest() == whole.digest()
    done.clear()
    monkeypatch.setattr(sensitivity._Draws, "__call__", compute)
    changed = assess_sensitivity(
        data, spec, Variation(10), n_draws=2000, seed=0, checkpoint=tmp_path
    )
    assert (
        changed.digest()
        == assess_sensitivity(data, spec, Variation(10), n_draws=2000, seed=0).digest()
    )


def test_weights_around_which_are_drawn_are_printed_with_their_spread():
    data = simulated(k=4)
    notes = assess_sensitivity(data, flat_spec(data), n_draws=10, seed=0).notes
    assert any("x0 0.25 ± 0.061" in note and "concentration 50" in note for note in notes)
    frame = pd.DataFrame(assess_sensitivity(data, flat_spec(data), n_draws=10, seed=0).summary())
    assert frame["rank"].is_monotonic_increasing


def test_memory_does_not_grow_with_the_number_of_draws():
    import tracemalloc

    data = simulated(n=300)
    spec = IndexSpec.from_codebook("i", data.codebook)

    def peak(draws: int) -> int:
        tracemalloc.start()
        assess_sensitivity(data, spec, n_draws=draws, seed=0)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1024)
    assert peak(8 * 1024) < 1.1 * peak(2 * 1024)


def test_ranks_of_a_panel_are_those_of_its_last_period_or_of_the_one_asked_for():
    data = panel()
    spec = IndexSpec.from_codebook("i", data.codebook, normalise=use("minmax", basis="goalposts"))
    for period in (None, 2021):
        found = assess_sensitivity(data, spec, period=period, n_draws=2 * BLOCK, seed=0)
        # On goalposts nothing of other years enters, so the year alone gives the same.
        alone = assess_sensitivity(data.at(period or 2022), spec, n_draws=2 * BLOCK, seed=0)
        pd.testing.assert_frame_equal(found.frame, alone.frame)
        assert f"ranks are those of {period or 2022}" in " ".join(found.notes)


def test_a_panel_is_normalised_over_all_its_periods():
    data = panel()
    spec = IndexSpec.from_codebook("i", data.codebook)
    found = assess_sensitivity(data, spec, n_draws=BLOCK, seed=0)
    whole = score_index(data, spec).frame
    assert_allclose(found.frame["score"], whole.loc[whole["period"] == 2022, "score"])
