"""Claims about fitted temperatures."""

import math

import pytest
import torch
from torch import Tensor

from pixelbayes.evaluation import log_loss
from pixelbayes.evaluation.temperature import fit_temperature, held_out_temperatures


def random_posterior(n: int, classes: int, seed: int, sharpness: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    logits = sharpness * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    return torch.log_softmax(logits, dim=1)


def labels_drawn_from(log_proba: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.multinomial(log_proba.exp(), 1, generator=generator)[:, 0]


def labels_at_random(n: int, classes: int, seed: int) -> Tensor:
    return torch.randint(classes, (n,), generator=torch.Generator().manual_seed(seed))


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
    with pytest.raises(ValueError, match="two or more, got 1"):
        held_out_temperatures(torch.zeros(1, 2), torch.zeros(2), torch.zeros(1).long())
