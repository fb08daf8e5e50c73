"""Claims about log-loss, calibration error and reliability."""

import math

import pytest
import torch
from torch import Tensor

from pixelbayes.evaluation.calibration import (
    brier_score,
    expected_calibration_error,
    log_loss,
    reliability_curve,
)


def random_posterior(n: int, classes: int, seed: int, sharpness: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    logits = sharpness * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    return torch.log_softmax(logits, dim=1)


def labels_drawn_from(log_proba: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.multinomial(log_proba.exp(), 1, generator=generator)[:, 0]


def labels_at_random(n: int, classes: int, seed: int) -> Tensor:
    return torch.randint(classes, (n,), generator=torch.Generator().manual_seed(seed))


def test_the_log_loss_of_uniform_guessing_is_the_log_of_the_number_of_classes() -> None:
    uniform = torch.full((6, 5), 1 / 5).log()

    loss = log_loss(uniform, torch.arange(6) % 5)

    assert loss.value == pytest.approx(math.log(5))
    assert (loss.unit, loss.n) == ("nats", 6)


def test_no_interval_of_a_loss_reaches_below_zero() -> None:
    log_proba = torch.tensor([[0.0, -9.0]] * 9 + [[-5.0, 0.0]]).log_softmax(dim=1)
    labels = torch.zeros(10, dtype=torch.int64)

    assert log_loss(log_proba, labels).low == 0.0
    assert brier_score(log_proba, labels).low == 0.0


def test_a_true_class_held_impossible_makes_the_log_loss_infinite() -> None:
    log_proba = torch.tensor([[0.0, -math.inf], [0.0, -math.inf]])

    assert log_loss(log_proba, torch.tensor([0, 1])).value == math.inf


def test_an_impossible_class_that_is_not_the_true_one_costs_nothing() -> None:
    log_proba = torch.tensor([[0.0, -math.inf], [0.0, -math.inf]])

    assert log_loss(log_proba, torch.tensor([0, 0])).value == 0.0


@pytest.mark.parametrize(("label", "score"), [(0, 0.0), (1, 2.0)])
def test_the_brier_score_of_certainty_is_0_if_right_and_2_if_wrong(
    label: int, score: float
) -> None:
    certain = torch.tensor([[0.0, -math.inf]] * 3)

    assert brier_score(certain, torch.full((3,), label)).value == score


@pytest.mark.parametrize("sharpness", [0.5, 2.0, 200.0])
def test_the_calibration_error_is_the_weighted_gap_of_the_reliability_curve(
    sharpness: float,
) -> None:
    log_proba = random_posterior(500, 4, seed=0, sharpness=sharpness)
    labels = labels_at_random(500, 4, seed=1)

    curve = reliability_curve(log_proba, labels)

    bins = zip(curve.confidence, curve.accuracy, curve.count, strict=True)
    gap = sum(count * abs(acc - conf) for conf, acc, count in bins) / 500
    assert expected_calibration_error(log_proba, labels) == pytest.approx(gap, abs=1e-12)


def test_the_calibration_error_is_the_multiclass_one_of_torchmetrics() -> None:
    from torchmetrics.classification import MulticlassCalibrationError

    log_proba, labels = random_posterior(300, 5, seed=2), labels_at_random(300, 5, seed=3)

    metric = MulticlassCalibrationError(num_classes=5, n_bins=15, norm="l1")

    assert expected_calibration_error(log_proba, labels) == pytest.approx(
        float(metric(log_proba.exp(), labels)), abs=1e-6
    )


def test_labels_drawn_from_the_posterior_are_calibrated() -> None:
    log_proba = random_posterior(20_000, 4, seed=4)

    assert expected_calibration_error(log_proba, labels_drawn_from(log_proba, seed=5)) < 0.015


def test_a_coin_that_is_always_sure_has_the_error_of_its_wrong_half() -> None:
    sure = torch.tensor([[0.0, -math.inf]] * 10)

    assert expected_calibration_error(sure, torch.arange(10) % 2) == pytest.approx(0.5)


def test_probabilities_that_round_above_one_are_not_taken_for_logits() -> None:
    log_proba = torch.tensor([[1e-6, -20.0]] * 4, dtype=torch.float32)

    assert expected_calibration_error(log_proba, torch.zeros(4).long()) < 1e-6


def test_a_single_class_is_always_right_and_calibrated() -> None:
    assert expected_calibration_error(torch.zeros(3, 1), torch.zeros(3).long()) < 1e-12


def test_empty_bins_are_left_out_of_the_reliability_curve() -> None:
    curve = reliability_curve(random_posterior(40, 3, seed=6), labels_at_random(40, 3, seed=7))

    assert all(count > 0 for count in curve.count)
    assert sum(curve.count) == 40
    assert curve.confidence == sorted(curve.confidence)


def test_the_order_of_the_images_changes_nothing() -> None:
    log_proba, labels = random_posterior(100, 3, seed=8), labels_at_random(100, 3, seed=9)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(10))

    shuffled = log_proba[order], labels[order]

    assert log_loss(*shuffled).value == pytest.approx(log_loss(log_proba, labels).value)
    assert brier_score(*shuffled).value == pytest.approx(brier_score(log_proba, labels).value)
    assert expected_calibration_error(*shuffled) == pytest.approx(
        expected_calibration_error(log_proba, labels)
    )
    assert reliability_curve(*shuffled).count == reliability_curve(log_proba, labels).count


@pytest.mark.parametrize("measure", [log_loss, brier_score, expected_calibration_error])
def test_logits_in_place_of_log_probabilities_are_refused(measure: object) -> None:
    assert callable(measure)
    with pytest.raises(ValueError, match="apply log_softmax to logits first"):
        measure(torch.tensor([[3.0, 1.0], [0.0, 0.0]]), torch.tensor([0, 1]))


def test_nan_probabilities_are_counted_in_the_error() -> None:
    with pytest.raises(ValueError, match="NaN for 1 of 2 images"):
        log_loss(torch.tensor([[math.nan, math.nan], [0.0, -math.inf]]), torch.tensor([0, 0]))


def test_unlabelled_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.\.1, got -1; leave unlabelled images"):
        log_loss(torch.full((2, 2), 0.5).log(), torch.tensor([0, -1]))


def test_labels_that_do_not_match_the_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2\) and \(3,\)"):
        log_loss(torch.full((2, 2), 0.5).log(), torch.zeros(3).long())


def test_zero_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="bins must be at least 1, got 0"):
        reliability_curve(torch.full((2, 2), 0.5).log(), torch.tensor([0, 1]), bins=0)
