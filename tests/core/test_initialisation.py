"""First weights from data: standardised layers, and the least-squares prediction of each pixel."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pixelbayes.core import FUSIONS, PixelCNN, PixelCNNConfig
from pixelbayes.core.initialisation import (
    LARGEST_COEFFICIENT,
    SCALE_SPREAD,
    initialise_from_data,
)
from pixelbayes.core.likelihood import to_axis

COUNT = 24


def network(**changes: object) -> PixelCNN:
    settings: dict[str, object] = {
        "classes": 3,
        "image_size": (8, 8),
        "channels": 3,
        "features": 6,
        "blocks_per_stage": 1,
        "mixtures": 4,
        "dropout": 0.0,
        **changes,
    }
    torch.manual_seed(0)
    return PixelCNN(PixelCNNConfig(**settings)).eval()  # type: ignore[arg-type]


def smooth_images(channels: int = 3, seed: int = 1) -> Tensor:
    """A gradient of its own slope in each image, and a little noise."""
    generator = torch.Generator().manual_seed(seed)
    slope = torch.rand(COUNT, channels, 1, 1, generator=generator) * 14
    ramp = torch.arange(8.0).view(1, 1, 1, 8) * slope + 60
    noise = 2 * torch.randn(COUNT, channels, 8, 8, generator=generator)
    return (ramp + noise).clamp(0, 255).to(torch.uint8)


LABELS = torch.arange(COUNT) % 3


def mean_of_mixture(made: PixelCNN, levels: Tensor) -> Tensor:
    """The mean of each channel's mixture given the channels before, (B, C, H, W)."""
    described = made(levels, LABELS)
    x = to_axis(levels, described.means.dtype)[:, None]
    means = described._conditional_means(x)
    weights = described.logits.softmax(dim=1)[:, :, None]
    return (weights * means).sum(dim=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_first_prediction_is_no_worse_than_the_mean_of_each_channel(channels):
    """Least squares over features and a constant: a constant alone is among its candidates."""
    levels, made = smooth_images(channels), network(channels=channels)
    initialise_from_data(made, levels, LABELS)
    x = to_axis(levels)
    residual = (x - mean_of_mixture(made, levels)).square().mean(dim=(0, 2, 3))
    variance = x.var(dim=(0, 2, 3), correction=0)
    assert (residual <= variance * 1.01).all()
    assert (residual < 0.95 * variance).all()  # features of the pixels before do help


@pytest.mark.parametrize("channels", [1, 3])
def test_components_start_as_one_prediction_of_several_widths(channels):
    levels, made = smooth_images(channels), network(channels=channels)
    initialise_from_data(made, levels, LABELS)
    described = made(levels, LABELS)
    widths = described.log_scales.mean(dim=(0, 3, 4))
    steps = widths.diff(dim=0)
    low, high = SCALE_SPREAD
    assert steps.mean().item() == pytest.approx((high - low) / 3, abs=0.15)
    between = described.means.std(dim=1).mean() / to_axis(levels).std()
    assert between < 0.1


def test_the_middle_width_is_that_of_a_logistic_variable_with_the_residuals_deviation():
    levels, made = smooth_images(1), network(channels=1, mixtures=1)
    initialise_from_data(made, levels, LABELS)
    described = made(levels, LABELS)
    residual = (to_axis(levels) - mean_of_mixture(made, levels)).std().item()
    expected = math.log(residual * math.sqrt(3) / math.pi) + SCALE_SPREAD[0]
    assert described.log_scales.mean().item() == pytest.approx(expected, abs=0.15)


def test_channels_that_are_copies_start_leaning_on_each_other():
    grey = smooth_images(1)
    made = network()
    initialise_from_data(made, grey.expand(-1, 3, -1, -1).contiguous(), LABELS)
    leaning = made(grey.expand(-1, 3, -1, -1).contiguous(), LABELS).coeffs
    green_on_red = leaning[:, :, 0].mean()  # pixels vary around it: the last layer is not silent
    assert 0.8 < green_on_red <= LARGEST_COEFFICIENT


def test_independent_channels_start_leaning_on_none():
    generator = torch.Generator().manual_seed(5)
    levels = torch.randint(0, 256, (COUNT, 3, 8, 8), dtype=torch.uint8, generator=generator)
    made = network()
    initialise_from_data(made, levels, LABELS)
    assert made(levels, LABELS).coeffs.abs().mean() < 0.15


@pytest.mark.parametrize("level", [0, 128, 255])
def test_constant_images_give_finite_weights_and_likelihoods(level):
    made = network()
    levels = torch.full((COUNT, 3, 8, 8), level, dtype=torch.uint8)
    initialise_from_data(made, levels, LABELS)
    assert all(weight.isfinite().all() for weight in made.state_dict().values())
    log_prob = made(levels, LABELS).log_prob(levels)
    assert log_prob.isfinite().all()
    assert (log_prob > -made.config.dims * math.log(256)).all()  # better than uniform guessing


@pytest.mark.parametrize("fusion", FUSIONS)
def test_first_weights_do_not_depend_on_the_labels(fusion):
    """They only see images: every fusion starts without effect."""
    levels, states = smooth_images(), []
    for labels in (LABELS, torch.zeros_like(LABELS)):
        made = network(fusion=fusion)
        initialise_from_data(made, levels, labels)
        states.append(made.state_dict())
    for name, weight in states[0].items():
        torch.testing.assert_close(weight, states[1][name], rtol=1e-4, atol=1e-5)


def test_the_same_images_give_the_same_weights_bit_for_bit():
    states = []
    for _ in range(2):
        made = network()
        initialise_from_data(made, smooth_images(), LABELS)
        states.append(made.state_dict())
    assert all(weight.equal(states[1][name]) for name, weight in states[0].items())


@pytest.mark.parametrize("training", [False, True])
def test_a_network_keeps_its_mode_and_its_hooks(training):
    made = network().train(training)
    initialise_from_data(made, smooth_images(), LABELS)
    assert made.training is training
    assert not any(module._forward_hooks for module in made.modules())
    assert not any(module._forward_pre_hooks for module in made.modules())


def test_a_refused_batch_leaves_mode_and_hooks_as_they_were():
    made = network().train()
    with pytest.raises(TypeError, match="uint8"):
        initialise_from_data(made, smooth_images().float(), LABELS)
    assert made.training
    assert not any(module._forward_hooks for module in made.modules())
