"""The fast draw of a pixel is the distribution's own, in other units."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelbayes.core import PixelCNN, PixelCNNConfig
from pixelbayes.core.blocks import elu_projection
from pixelbayes.core.likelihood import DiscretizedLogisticMixture, standard_noise
from pixelbayes.inference.cached.output import OutputHead

BATCH = 200


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("late", [False, True], ids=["no label here", "late"])
def test_the_output_head_draws_what_the_distribution_draws(tiny_network, channels, late):
    network = tiny_network(channels=channels)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(BATCH, 6, generator=generator, dtype=torch.float64)
    of_label = torch.randn(BATCH, 6, generator=generator, dtype=torch.float64) if late else None
    numbers = network.config.mixtures + channels
    uniform = torch.rand(BATCH, numbers, generator=generator, dtype=torch.float64)
    noise = standard_noise(uniform, network.config.mixtures)

    last = features if of_label is None else features + of_label
    with torch.inference_mode():
        head = OutputHead(network, of_label, BATCH)
        head.draw(features, head.split_noise(noise[None])[0], col=3)
        parameters = elu_projection(last[:, :, None, None], network.output)
        described = DiscretizedLogisticMixture.from_parameters(parameters, channels)
        expected = described.transport(noise[:, None, None])[:, :, 0, 0]
    assert head.levels[3].equal(expected.double())
    assert len(expected.unique()) > 20, "hardly a draw between black and white"


@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 30.0))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_whatever_the_features_a_level_is_a_level(seed, scale):
    network = PixelCNN(
        PixelCNNConfig(classes=2, image_size=(8, 8), features=4, blocks_per_stage=1, mixtures=2)
    ).double()
    generator = torch.Generator().manual_seed(seed)
    features = scale * torch.randn(4, 4, generator=generator, dtype=torch.float64)
    noise = standard_noise(torch.rand(4, 5, generator=generator, dtype=torch.float64), 2)
    head = OutputHead(network, None, 4)
    with torch.inference_mode():
        head.draw(features, head.split_noise(noise[None])[0], col=0)
    drawn = head.levels[0]
    assert drawn.equal(drawn.round())
    assert 0.0 <= float(drawn.min()) <= float(drawn.max()) <= 255.0
