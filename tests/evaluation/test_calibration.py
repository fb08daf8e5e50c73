"""Claims about log-loss, calibration error, reliability and fitted temperatures."""

import math

import pytest
import torch
from torch import Tensor

from pixelbayes.evaluation.calibration import (
    adaptive_calibration_error,
    brier_score,
    calibrated_band,
    calibration_error_estimate,
    expected_calibration_error,
    log_loss,
    reliability_curve,
)
from pixelbayes.evaluation.temperature import (
    decide_temperature,
    fit_temperature,
    held_out_temperatures,
    temperature_estimate,
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


@pytest.mark.parametrize("temperature", [0.2, 1.0, 30.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    log_prior = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
    generator = torch.Generator().manual_seed(11)
    evidence = 2.0 * torch.randn(20_000, 3, generator=generator, dtype=torch.float64)
    labels = labels_drawn_from(torch.log_softmax(evidence + log_prior, dim=1), seed=12)

    fitted = fit_temperature(temperature * evidence, log_prior, labels)

    assert fitted == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_a_fitted_temperature_never_worsens_the_log_loss_it_was_fitted_on(seed: int) -> None:
    log_likelihood = random_posterior(50, 4, seed=seed, sharpness=10.0**seed)
    log_prior = torch.full((4,), 1 / 4, dtype=torch.float64).log()
    labels = labels_at_random(50, 4, seed=seed + 100)

    temperature = fit_temperature(log_likelihood, log_prior, labels)

    raw, fitted = (
        log_loss(torch.log_softmax(log_likelihood / t + log_prior, dim=1), labels).value
        for t in (1.0, temperature)
    )
    assert fitted <= raw


def test_a_likelihood_that_misleads_is_flattened_to_the_upper_bound() -> None:
    log_likelihood = 100.0 * torch.eye(2, dtype=torch.float64)

    temperature = fit_temperature(log_likelihood, torch.zeros(2), torch.tensor([1, 0]))

    assert temperature == pytest.approx(1e4, rel=1e-3)


def test_margins_too_wide_to_improve_keep_temperature_one() -> None:
    log_likelihood = 1e5 * torch.eye(2, dtype=torch.float64)

    assert fit_temperature(log_likelihood, torch.zeros(2), torch.tensor([0, 1])) == 1.0


def test_one_temperature_serves_log_likelihoods_that_differ_by_a_constant() -> None:
    log_likelihood, labels = random_posterior(200, 3, seed=13), labels_at_random(200, 3, seed=14)
    log_prior = torch.zeros(3)

    shifted = fit_temperature(log_likelihood - 7000.0, log_prior, labels)

    assert shifted == pytest.approx(fit_temperature(log_likelihood, log_prior, labels), rel=1e-4)


def test_a_diverged_model_is_named_instead_of_fitted() -> None:
    log_likelihood = torch.tensor([[math.nan, 0.0], [0.0, 0.0]])

    with pytest.raises(ValueError, match=r"not finite for 1 of 2 images.*diverge"):
        fit_temperature(log_likelihood, torch.zeros(2), torch.tensor([0, 1]))


def test_a_prior_of_another_number_of_classes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one entry per class, \(2,\), got shape \(3,\)"):
        fit_temperature(torch.zeros(4, 2), torch.zeros(3), torch.zeros(4).long())


def test_no_image_has_a_say_in_its_own_held_out_temperature() -> None:
    log_likelihood, log_prior = random_posterior(40, 3, seed=1, sharpness=20.0), torch.zeros(3)
    labels = labels_at_random(40, 3, seed=2)
    before = held_out_temperatures(log_likelihood, log_prior, labels)
    for image in range(40):
        other = labels.clone()
        other[image] = (other[image] + 1) % 3
        after = held_out_temperatures(log_likelihood, log_prior, other)
        assert after[image] == before[image]
        assert not after.equal(before)


def test_held_out_temperatures_of_many_images_are_near_the_common_one() -> None:
    log_prior = torch.zeros(3, dtype=torch.float64)
    evidence = random_posterior(20_000, 3, seed=3)
    labels = labels_drawn_from(evidence, seed=4)
    held_out = held_out_temperatures(7.0 * evidence, log_prior, labels)
    assert held_out.shape == (20_000, 1)
    assert held_out.unique().tolist() == pytest.approx([7.0] * 5, rel=0.05)


def test_a_single_image_cannot_be_held_out() -> None:
    with pytest.raises(ValueError, match="two images or more, got 5 folds of 1"):
        held_out_temperatures(torch.zeros(1, 2), torch.zeros(2), torch.zeros(1).long())


UNIFORM = torch.full((4,), 1 / 4, dtype=torch.float64).log()


def tempered(n: int, temperature: float, seed: int) -> tuple[Tensor, Tensor]:
    """Log-likelihoods that are calibrated at `temperature`, and labels."""
    evidence = random_posterior(n, 4, seed=seed, sharpness=3.0)
    return temperature * evidence, labels_drawn_from(evidence, seed=seed + 1000)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 25.0])
def test_the_interval_of_a_temperature_holds_the_true_one_about_95_times_in_100(
    temperature: float,
) -> None:
    found = [
        temperature_estimate(*_with_prior(tempered(200, temperature, seed=i))) for i in range(24)
    ]

    assert sum(e.low <= temperature <= e.high for e in found) >= 21
    assert all(e.low < e.value < e.high for e in found)
    assert {(e.n, e.unit) for e in found} == {(200, "")}


def _with_prior(drawn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    return drawn[0], UNIFORM, drawn[1]


def test_the_interval_of_a_temperature_does_not_depend_on_the_global_generator() -> None:
    drawn = _with_prior(tempered(50, 2.0, seed=0))
    first = temperature_estimate(*drawn)
    torch.manual_seed(99)
    assert temperature_estimate(*drawn) == first


@pytest.mark.parametrize("n", [25, 100, 500])
def test_a_calibrated_model_keeps_temperature_one(n: int) -> None:
    decisions = [decide_temperature(*_with_prior(tempered(n, 1.0, seed=i))) for i in range(10)]

    assert sum(decision.temperature != 1.0 for decision in decisions) <= 1
    assert all(
        decision.reason.startswith("temperature 1 stays")
        for decision in decisions
        if not decision.accepted
    )


def test_an_overconfident_model_gets_its_temperature_and_the_gain_is_told() -> None:
    decision = decide_temperature(*_with_prior(tempered(500, 25.0, seed=0)))

    assert decision.accepted
    assert decision.fitted.low <= 25.0 <= decision.fitted.high
    assert decision.temperature == decision.fitted.value
    assert decision.gain.low > 0
    assert "is used instead of 1: 500 images that it was not fitted on gain" in decision.reason


def test_thirteen_foreign_images_do_not_replace_a_temperature() -> None:
    # Calibrated at 13.32 on 13 images, in a model whose temperature is 24.77.
    decision = decide_temperature(*_with_prior(tempered(13, 13.32, seed=3)), current=24.77)

    assert (decision.accepted, decision.temperature) == (False, 24.77)
    assert "13 images are too few, 20 are the least" in decision.reason


def test_images_that_are_all_right_ask_for_certainty_and_do_not_get_it() -> None:
    log_likelihood = 2.0 * torch.eye(4, dtype=torch.float64).repeat(20, 1)
    labels = torch.arange(4).repeat(20)

    decision = decide_temperature(log_likelihood, UNIFORM, labels)

    # Every one of the 80 images gains, so the paired interval alone would let it pass.
    assert decision.gain.low > 0
    assert decision.temperature == 1.0
    assert "80 images do not determine a temperature" in decision.reason


def test_an_accepted_temperature_rarely_harms_new_images() -> None:
    harmed = 0
    for seed in range(20):
        decision = decide_temperature(*_with_prior(tempered(40, 1.3, seed=seed)))
        evidence, labels = tempered(5000, 1.3, seed=seed + 500)
        raw, used = (
            log_loss(torch.log_softmax(evidence / t, dim=1), labels).value
            for t in (1.0, decision.temperature)
        )
        harmed += used > raw
    assert harmed <= 1


def test_a_temperature_in_use_that_is_no_temperature_is_refused() -> None:
    with pytest.raises(ValueError, match="positive number, got current = 0"):
        decide_temperature(*_with_prior(tempered(30, 1.0, seed=0)), current=0)


@pytest.mark.parametrize("sharpness", [0.5, 2.0, 200.0])
def test_the_estimate_of_the_calibration_error_is_that_error_in_percent(sharpness: float) -> None:
    log_proba, labels = random_posterior(300, 4, 0, sharpness), labels_at_random(300, 4, seed=1)

    estimate = calibration_error_estimate(log_proba, labels)

    assert estimate.value == pytest.approx(100 * expected_calibration_error(log_proba, labels))
    assert estimate.low <= estimate.value <= estimate.high
    assert (estimate.n, estimate.unit) == (300, "%")


@pytest.mark.parametrize("temperature", [1.0, 1.5])
def test_the_interval_of_the_calibration_error_covers_that_of_endless_images(
    temperature: float,
) -> None:
    def predictions(n: int, seed: int) -> tuple[Tensor, Tensor]:
        evidence, labels = tempered(n, temperature, seed)
        return torch.log_softmax(evidence, dim=1), labels

    truth = 100 * expected_calibration_error(*predictions(200_000, seed=77))
    truth = 0.0 if temperature == 1.0 else truth
    found = [calibration_error_estimate(*predictions(300, seed=i)) for i in range(40)]

    assert sum(e.low <= truth <= e.high for e in found) >= 36


def test_the_band_holds_the_error_of_a_calibrated_model_95_times_in_100() -> None:
    inside = 0
    for seed in range(40):
        log_proba = random_posterior(300, 4, seed=seed)
        error = 100 * expected_calibration_error(log_proba, labels_drawn_from(log_proba, seed + 99))
        band = calibrated_band(log_proba)
        inside += band.low <= error <= band.high
    assert 35 <= inside <= 40


def test_the_band_shows_an_overconfident_model_for_what_it_is() -> None:
    evidence, labels = tempered(500, 3.0, seed=0)
    log_proba = torch.log_softmax(evidence, dim=1)

    assert 100 * expected_calibration_error(log_proba, labels) > calibrated_band(log_proba).high


def test_bins_of_equal_mass_give_the_mean_gap_of_sorted_groups() -> None:
    log_proba = torch.tensor([0.6, 0.7, 0.8, 0.9], dtype=torch.float64)
    log_proba = torch.stack([log_proba, 1 - log_proba], dim=1).log()

    error = adaptive_calibration_error(log_proba, torch.tensor([0, 1, 0, 0]), bins=2)

    # (0.6, 0.7): half right, 0.65 sure; (0.8, 0.9): both right, 0.85 sure.
    assert error.value == pytest.approx(100 * (0.15 + 0.15) / 2)


def test_equal_widths_and_equal_masses_agree_where_one_bin_holds_all() -> None:
    log_proba, labels = random_posterior(100, 3, seed=0), labels_at_random(100, 3, seed=1)
    adaptive = adaptive_calibration_error(log_proba, labels, bins=1)
    assert adaptive.value == pytest.approx(
        calibration_error_estimate(log_proba, labels, bins=1).value
    )
