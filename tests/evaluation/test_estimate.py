"""Claims about numbers that carry their interval."""

import json
import math

import pytest
import scipy.stats
import torch

from pixelbayes.evaluation import estimate
from pixelbayes.evaluation.estimate import Estimate, bootstrap, mean_estimate


def test_a_percentage_is_printed_with_one_decimal_and_its_n() -> None:
    assert str(Estimate(83.43, 80.0, 86.39, 519, "%")) == "83.4 % [80.0, 86.4], n = 519"


def test_bits_per_dim_are_printed_with_three_decimals() -> None:
    assert str(Estimate(2.9204, 2.91, 2.93, 9, "bits/dim")).startswith("2.920 bits/dim [2.910")


def test_a_number_without_unit_is_printed_without_a_gap() -> None:
    assert Estimate(0.5, 0.4, 0.6, 7, "").brief == "0.500 [0.400, 0.600]"


@pytest.mark.parametrize("value", [1.25, math.inf, -math.inf])
def test_an_estimate_survives_strict_json(value: float) -> None:
    estimate = Estimate(value, 0.1, math.inf, 12, "nats")

    text = json.dumps(estimate.to_json(), allow_nan=False)

    assert Estimate.from_json(json.loads(text)) == estimate


def test_nan_is_null_in_json_and_nan_again_when_read() -> None:
    described = Estimate(math.nan, 0.0, 100.0, 0, "%").to_json()

    assert described["value"] is None
    assert math.isnan(Estimate.from_json(described).value)


def test_reading_an_estimate_without_n_says_what_is_needed() -> None:
    with pytest.raises(ValueError, match="needs the numbers value, low, high and n, and a unit"):
        Estimate.from_json({"value": 1.0, "low": 0.0, "high": 2.0, "unit": "%"})


def test_the_interval_of_a_mean_agrees_with_scipy() -> None:
    x = torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64)

    estimate = mean_estimate(x, "nats")

    expected = scipy.stats.ttest_1samp(x.numpy(), 0.0).confidence_interval(0.95)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("n", [2, 4, 50])
def test_the_interval_of_a_mean_covers_the_truth_about_95_times_in_100(n: int) -> None:
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(2000, n, generator=generator, dtype=torch.float64) + 3.0

    estimates = [mean_estimate(row, "nats") for row in draws]

    covered = sum(e.low <= 3.0 <= e.high for e in estimates) / len(estimates)
    assert 0.93 <= covered <= 0.96


def test_a_mean_of_float32_is_taken_in_float64() -> None:
    values = torch.full((1000,), 1e8, dtype=torch.float32)
    values[0] += 1024

    assert mean_estimate(values, "nats").value == pytest.approx(1e8 + 1.024, abs=1e-6)


def test_one_infinite_value_makes_the_mean_and_its_interval_infinite() -> None:
    estimate = mean_estimate(torch.tensor([1.0, math.inf]), "nats")

    assert (estimate.value, estimate.low, estimate.high) == (math.inf,) * 3


def test_a_nan_is_reported_not_dropped() -> None:
    assert math.isnan(mean_estimate(torch.tensor([1.0, math.nan]), "nats").value)


@pytest.mark.parametrize("n", [0, 1])
def test_a_mean_of_fewer_than_two_values_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=f"at least two values for an interval, got {n}"):
        mean_estimate(torch.ones(n), "nats")


def test_a_table_of_values_is_refused_with_its_shape() -> None:
    with pytest.raises(ValueError, match=r"one-dimensional.*\(2, 3\)"):
        mean_estimate(torch.ones(2, 3), "nats")


def test_the_bootstrap_of_a_mean_agrees_with_the_normal_interval() -> None:
    x = torch.randn(400, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    normal = mean_estimate(x, "nats")
    boot = bootstrap(lambda drawn: x[drawn].mean(dim=1), 400, seed=2, unit="nats")

    assert boot.value == pytest.approx(normal.value)
    assert boot.low == pytest.approx(normal.low, abs=0.02)
    assert boot.high == pytest.approx(normal.high, abs=0.02)


def test_the_same_seed_gives_the_same_bootstrap_and_another_seed_another() -> None:
    x = torch.arange(30.0)

    def run(seed: int) -> Estimate:
        return bootstrap(lambda drawn: x[drawn].mean(dim=1), 30, resamples=50, seed=seed, unit="")

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_the_bootstrap_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()

    bootstrap(lambda drawn: drawn.sum(dim=1), 10, resamples=3, seed=0, unit="")

    assert torch.equal(torch.get_rng_state(), before)


def test_a_bootstrap_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="got n = 0, resamples = 1000"):
        bootstrap(lambda drawn: drawn.sum(dim=1), 0, seed=0, unit="")


def test_a_statistic_that_is_not_one_number_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match=r"of indices \(9, 4\) is one number a row, \(9,\), got"):
        bootstrap(lambda drawn: drawn.sum(), 4, resamples=9, seed=0, unit="")


def test_resamples_are_the_same_however_many_are_drawn_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = torch.cat(list(estimate.with_replacement(7, 50, seed=3)))
    monkeypatch.setattr(estimate, "DRAWN_TOGETHER", 20)
    generator = torch.Generator().manual_seed(3)

    blocks = list(estimate.with_replacement(7, 50, seed=3))

    assert [len(block) for block in blocks] == [2] * 25
    assert torch.equal(torch.cat(blocks), together)
    one_by_one = [torch.randint(7, (7,), generator=generator) for _ in range(50)]
    assert torch.equal(torch.stack(one_by_one), together)
