from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pixelbayes.core.diffusion import (
    GAMMA_0,
    GAMMA_1,
    HALF_RANGE,
    NoisePredictor,
    code_length_of_ends,
    diffuse,
    draw_backwards,
    fourier_features,
    gamma_at,
)
from pixelbayes.core.likelihood import to_axis

FOUR = torch.tensor([0, 85, 170, 255], dtype=torch.uint8)


def ideal(values: Tensor) -> NoisePredictor:
    """The best predictor of the noise where every number is one of some values, equally often."""

    def predict(noisy: Tensor, time: Tensor) -> Tensor:
        gamma = gamma_at(time)[:, None, None, None].to(noisy.dtype)
        signal, noise = (-gamma).sigmoid().sqrt(), gamma.sigmoid().sqrt()
        distance = (noisy[..., None] - signal[..., None] * values) / noise[..., None]
        image = (torch.softmax(-distance.square() / 2.0, dim=-1) * values).sum(dim=-1)
        return (noisy - signal * image) / noise

    return predict


def test_signal_and_noise_keep_the_variance_of_one() -> None:
    time = torch.linspace(0.0, 1.0, 11, dtype=torch.float64)
    ones, none = torch.ones(11, 1, 1, 1, dtype=torch.float64), torch.zeros(11, 1, 1, 1)

    signal, noise = diffuse(ones, time, none), diffuse(none, time, ones)

    torch.testing.assert_close(signal.square() + noise.square(), ones)
    torch.testing.assert_close((noise / signal).square().log().flatten(), gamma_at(time))
    assert (gamma_at(time)[0], gamma_at(time)[-1]) == (GAMMA_0, GAMMA_1)


def test_what_no_network_can_change_costs_next_to_nothing() -> None:
    """KL(q(z_1 | x) || N(0, 1)) at the brightest level is at most alpha^2 / 2, and so on."""
    levels = torch.tensor([0, 128, 255], dtype=torch.uint8)[:, None, None, None]
    signal = 1.0 / (1.0 + math.exp(GAMMA_1))
    apart = math.exp(-GAMMA_0 / 2.0) / 127.5  # standard deviations between two levels

    ends = code_length_of_ends(levels)

    # -log p(x | z_0) <= sum of the neighbours' shares, whose mean is that of a log-normal number.
    near = sum(math.exp(-((apart * k) ** 2) / 8.0) for k in (1, 2))
    assert (ends > 0.0).all()
    assert (ends < signal + 2 * near).all()
    assert ends[1] > ends[0] - signal  # neighbours on two sides


def test_of_an_image_that_is_known_the_bound_is_the_ends() -> None:
    levels = torch.tensor([85], dtype=torch.uint8).view(1, 1, 1, 1)
    images, time = to_axis(levels).double(), torch.tensor([0.3], dtype=torch.float64)
    noise = torch.full_like(images, 0.7)

    predicted = ideal(images.flatten())(diffuse(images, time, noise), time)

    torch.testing.assert_close(predicted, noise)
    assert code_length_of_ends(levels).item() < 0.02


def test_with_the_ideal_predictor_the_bound_is_the_code_length() -> None:
    """Four levels, equally often: log 4 nats, by quadrature over times and noise."""
    images = to_axis(FOUR).double().view(4, 1, 1, 1)
    noise = torch.linspace(-6.0, 6.0, 201, dtype=torch.float64)
    weights = torch.softmax(-noise.square() / 2.0, dim=0)
    times = (torch.arange(400, dtype=torch.float64) + 0.5) / 400
    predict = ideal(images.flatten())
    mean = 0.0
    for image in images:
        at = times.repeat_interleave(len(noise))
        drawn = noise.repeat(len(times)).view(-1, 1, 1, 1)
        predicted = predict(diffuse(image.expand(len(at), -1, -1, -1), at, drawn), at)
        errors = (predicted - drawn).square().view(len(times), len(noise))
        mean += (errors @ weights).mean().item() / len(images)

    bound = HALF_RANGE * mean + code_length_of_ends(FOUR.view(4, 1, 1, 1)).mean().item()

    assert bound == pytest.approx(math.log(4), abs=2e-2)
    assert bound > math.log(4)


def test_drawing_with_the_ideal_predictor_gives_the_levels_as_often_as_they_are() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = 2000

    def noise() -> Tensor:
        return torch.randn(draws, 1, 1, 1, generator=generator)

    drawn = draw_backwards(ideal(to_axis(FOUR)), noise, steps=100)

    levels, counts = drawn.unique(return_counts=True)
    assert levels.tolist() == FOUR.tolist()
    spread = math.sqrt(draws * 0.25 * 0.75)
    assert (counts - draws / 4).abs().max() < 4 * spread


def test_each_step_is_told_with_the_image_as_it_is_guessed() -> None:
    image = torch.tensor([[10, 200]], dtype=torch.uint8).view(1, 1, 1, 2)
    told: list[int] = []

    def known(noisy: Tensor, time: Tensor) -> Tensor:
        gamma = gamma_at(time)[:, None, None, None]
        return (noisy - (-gamma).sigmoid().sqrt() * to_axis(image)) / gamma.sigmoid().sqrt()

    def tell(done: int, levels: Tensor) -> None:
        told.append(done)
        assert torch.equal(levels, image)

    generator = torch.Generator().manual_seed(1)
    drawn = draw_backwards(known, lambda: torch.randn(1, 1, 1, 2, generator=generator), 5, tell)

    assert torch.equal(drawn, image)
    assert told == [1, 2, 3, 4, 5]


def test_fourier_features_tell_neighbouring_levels_apart() -> None:
    """Half a wave, and a whole one, from level to level: 2^7 pi 2/255 and twice that."""
    levels = torch.tensor([100, 101], dtype=torch.uint8).view(2, 1, 1, 1)

    features = fourier_features(to_axis(levels))

    assert features.shape == (2, 5, 1, 1)
    x = to_axis(levels).flatten().tolist()
    expected = [
        [v, *(w(2**k * math.pi * v) for k in (7, 8) for w in (math.sin, math.cos))] for v in x
    ]
    torch.testing.assert_close(features[:, :, 0, 0], torch.tensor(expected), atol=1e-4, rtol=0)
    assert (features[0, 1:3] - features[1, 1:3]).norm() > 1.9
