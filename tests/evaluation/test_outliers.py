"""Claims about scores of strangeness, their thresholds, and how they are measured."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pixelbayes.evaluation import outliers
from pixelbayes.evaluation.outliers import (
    average_precision,
    complexity_corrected,
    detection,
    fit_threshold,
    likelihood_ratio,
    png_bits,
    posterior_entropy,
    typicality,
)


def normal(n: int, seed: int, mean: float = 0.0) -> Tensor:
    return mean + torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def noise(n: int, size: int = 16, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8, generator=generator)


def test_an_image_that_the_background_explains_better_is_the_stranger() -> None:
    ratio = likelihood_ratio(torch.tensor([-100.0, -100.0]), torch.tensor([-120.0, -90.0]))
    assert ratio.tolist() == [-20.0, 10.0]


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_cannot_be_compressed_and_a_flat_image_can(channels: int) -> None:
    levels = noise(2, size=32, channels=channels)
    levels[1] = 7
    bits = png_bits(levels).tolist()
    raw = 8 * channels * 32 * 32
    assert raw < bits[0] < 1.1 * raw + 1000
    assert bits[1] < 0.15 * raw


def test_the_corrected_score_is_the_difference_of_two_code_lengths_in_bits() -> None:
    levels, log_prob = noise(2), torch.tensor([-700.0, -1400.0])
    expected = torch.tensor([700.0, 1400.0]).double() / math.log(2) - png_bits(levels)
    torch.testing.assert_close(complexity_corrected(log_prob, levels), expected)


def test_a_flat_image_is_likely_and_the_correction_makes_it_a_stranger() -> None:
    # A model of photographs: 3 bits/dim for what it knows, 1 for a flat image, 8 for noise.
    levels = noise(2, size=32)
    levels[1] = 7
    dims = 3 * 32 * 32
    log_prob = -dims * math.log(2) * torch.tensor([8.0, 1.0], dtype=torch.float64)
    corrected = complexity_corrected(log_prob, levels)
    assert -log_prob[1] < -log_prob[0]
    assert corrected[1] > corrected[0]


def test_likelihoods_of_both_sides_of_the_mean_are_untypical() -> None:
    assert typicality(torch.tensor([-5.0, -3.0, -1.0]), mean=-3.0).tolist() == [2.0, 0.0, 2.0]


def test_the_entropy_of_uniform_guessing_is_the_log_of_the_number_of_classes() -> None:
    entropy = posterior_entropy(torch.full((2, 5), 1 / 5, dtype=torch.float64).log())
    assert entropy.tolist() == pytest.approx([math.log(5)] * 2)


def test_a_class_of_probability_zero_adds_no_entropy() -> None:
    assert posterior_entropy(torch.tensor([[0.0, -math.inf]])).tolist() == [0.0]


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_a_threshold_raises_false_alarms_as_often_as_stated(rate: float) -> None:
    thresholds = [fit_threshold(normal(99, seed), rate) for seed in range(300)]
    # The share of standard normal scores above each.
    alarms = torch.tensor([t.value for t in thresholds], dtype=torch.float64)
    alarms = 50 * torch.special.erfc(alarms / math.sqrt(2))
    assert float(alarms.mean()) == pytest.approx(100 * rate, abs=0.5)
    stated = thresholds[0].false_alarms
    inside = ((alarms >= stated.low) & (alarms <= stated.high)).double().mean()
    assert float(inside) == pytest.approx(0.95, abs=0.04)
    assert stated.value == pytest.approx(100 * rate)


def test_too_few_images_for_a_false_alarm_rate_are_refused_with_the_number_needed() -> None:
    fit_threshold(normal(19, seed=0), 0.05)
    with pytest.raises(ValueError, match=r"0\.05 needs at least 19 images, got 18"):
        fit_threshold(normal(18, seed=0), 0.05)


@pytest.mark.parametrize("rate", [0.0, 1.0, 5])
def test_a_rate_that_is_no_probability_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="false-alarm rate lies between 0 and 1"):
        fit_threshold(normal(100, seed=0), rate)


def test_the_measures_of_four_scores_are_those_counted_by_hand() -> None:
    found = detection(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 4.0]))
    # Pairs: (1, 2), (1, 4) and (3, 4) of four are in order.  Precision 1 at the first stranger,
    # 2/3 at the second.  All strangers are found from 2 on, where one of two is familiar.
    assert found.auroc.value == pytest.approx(75)
    assert found.aupr.value == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert found.fpr95.value == pytest.approx(50)
    assert (found.auroc.n, found.auroc.unit) == (4, "%")


@pytest.mark.parametrize("digits", [1, 9])
def test_areas_equal_those_of_scikit_learn_also_with_ties(digits: int) -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    familiar = normal(50, seed=0).round(decimals=digits)
    strange = normal(30, seed=1, mean=1.0).round(decimals=digits)
    found = detection(familiar, strange)

    truth = torch.cat([torch.zeros(50), torch.ones(30)]), torch.cat([familiar, strange])
    assert found.aupr.value == pytest.approx(100 * average_precision_score(*truth))
    assert found.auroc.value == pytest.approx(100 * roc_auc_score(*truth))


def test_scores_that_say_nothing_are_at_chance() -> None:
    found = detection(normal(2000, seed=0), normal(2000, seed=1))
    assert found.auroc.low < 50 < found.auroc.high
    assert found.aupr.value == pytest.approx(50, abs=3)
    assert found.fpr95.value == pytest.approx(95, abs=2)


def test_perfect_separation_still_has_an_interval() -> None:
    found = detection(normal(30, seed=0), normal(20, seed=1, mean=50.0))
    assert (found.auroc.value, found.aupr.value, found.fpr95.value) == (100, 100, 0)
    assert 80 < found.auroc.low < 99.5
    assert 80 < found.aupr.low < 99.5
    assert 0.5 < found.fpr95.high < 15
    assert found.auroc.high == 100


def test_turned_scores_turn_the_area_and_its_interval() -> None:
    familiar, strange = normal(40, seed=0), normal(60, seed=1, mean=1.0)
    right, turned = detection(familiar, strange).auroc, detection(-familiar, -strange).auroc
    assert turned.value == pytest.approx(100 - right.value)
    assert turned.low == pytest.approx(100 - right.high, abs=1e-6)


@pytest.mark.parametrize("distance", [1.0, 2.5])
def test_intervals_cover_what_endless_images_have(
    distance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        context.setattr(outliers, "RESAMPLES", 1)
        endless = detection(normal(50_000, seed=98), normal(50_000, seed=99, mean=distance))
    exact = 50 * (1 + math.erf(distance / 2))
    assert endless.auroc.value == pytest.approx(exact, abs=0.3)

    found = [
        detection(normal(60, seed), normal(60, 1000 + seed, mean=distance)) for seed in range(40)
    ]

    for measure in ("auroc", "aupr", "fpr95"):
        truth = getattr(endless, measure).value
        covered = sum(getattr(f, measure).low <= truth <= getattr(f, measure).high for f in found)
        assert covered >= 36, measure


def test_average_precision_of_a_ranking_is_that_of_its_two_sides() -> None:
    scores = torch.tensor([1.0, 2.0, 3.0, 4.0])
    positive = torch.tensor([False, True, False, True])
    assert average_precision(scores, positive).value == pytest.approx(100 * (1 + 2 / 3) / 2)


def test_equal_scores_are_one_step_where_they_are_infinite_too() -> None:
    positive = torch.tensor([True, False, True, False])
    endless = torch.full((4,), torch.inf)
    assert average_precision(endless, positive).value == pytest.approx(50)
    assert average_precision(-endless, positive).value == pytest.approx(50)


def test_positives_alone_have_no_average_precision() -> None:
    with pytest.raises(ValueError, match="positives and negatives, got 3 positives of 3"):
        average_precision(torch.ones(3), torch.ones(3, dtype=torch.bool))


def test_a_score_that_is_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="no NaN"):
        detection(torch.tensor([math.nan]), torch.tensor([1.0]))
