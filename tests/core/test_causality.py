"""A pixel sees every earlier pixel and no other, for every fusion, colour and size.

The reach along a row is finite: odd rows see themselves at full resolution only, two columns
per block (docs/mathematics.md).  So wider images need more blocks here.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pixelbayes.core import FUSIONS, PixelCNN
from pixelbayes.core.layers import DownShiftedConv2d


def dependence(network: PixelCNN) -> Tensor:
    """Which input pixels reach the description of which: (output pixel, input pixel), bool.

    One copy of the image per output pixel, so that one backward pass serves them all.
    """
    config = network.config
    pixels = config.image_size[0] * config.image_size[1]
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(1, config.channels, *config.image_size, generator=generator).double()
    copies = (image * 2 - 1).repeat(pixels, 1, 1, 1).requires_grad_()
    labels = torch.zeros(pixels, dtype=torch.int64)

    described = network.describe(copies, network.conditioning(labels))
    parameters = torch.cat([part.flatten(1, -3).flatten(2) for part in vars(described).values()], 1)
    mixed = torch.rand(parameters.shape[1], generator=generator).double() @ parameters
    mixed.diagonal().sum().backward()
    assert copies.grad is not None
    return copies.grad.abs().sum(dim=1).flatten(1) > 0


def assert_causal(network: PixelCNN) -> None:
    seen = dependence(network)
    earlier = torch.ones_like(seen).tril(diagonal=-1)
    assert not (seen & ~earlier).any(), "leak: a pixel depends on itself or on a later pixel"
    assert not (earlier & ~seen).any(), "blind spot: an earlier pixel never reaches this one"


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("image_size", [(8, 8), (9, 11)])
def test_a_pixel_sees_every_earlier_pixel_and_no_other(tiny_network, fusion, channels, image_size):
    assert_causal(
        tiny_network(
            fusion=fusion, channels=channels, image_size=image_size, blocks_per_stage=2, features=4
        )
    )


@pytest.mark.parametrize("image_size", [(8, 8), (9, 11)])
def test_every_option_is_causal_and_without_blind_spot(tiny_network, option, image_size):
    settings = {"blocks_per_stage": 2, "features": 4, **option}
    assert_causal(tiny_network(image_size=image_size, **settings))


@pytest.mark.parametrize("image_size", [(10, 13), (11, 8), (13, 14)])
def test_sizes_that_four_does_not_divide_are_causal_too(tiny_network, image_size):
    assert_causal(tiny_network(image_size=image_size, blocks_per_stage=3, features=4))


def test_a_planted_leak_is_caught(tiny_network):
    network = tiny_network(blocks_per_stage=2)
    network.input_left.padding = (0, 0, 1, 0)
    network.input_left.forward = lambda *x: DownShiftedConv2d.forward(  # undoes the shift
        network.input_left, *(nn.functional.pad(part, (-1, 1, 0, 0)) for part in x)
    )
    with pytest.raises(AssertionError, match="leak"):
        assert_causal(network)


def test_a_planted_blind_spot_is_caught(tiny_network):
    network = tiny_network(blocks_per_stage=2)
    with torch.no_grad():  # the stream from above no longer reaches the other one
        for stages in (network.encoder, network.decoder):
            for stage in stages:
                for block in stage:
                    block.ul.skip.direction[:, : 2 * network.config.features] = 0.0
        network.input_row.gain.zero_()
    with pytest.raises(AssertionError, match="blind spot"):
        assert_causal(network)


def test_images_of_one_batch_are_not_mixed(tiny_network):
    network = tiny_network()
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    described = network.describe(images, network.conditioning(torch.tensor([0, 1])))
    described.means[0].sum().backward()
    assert images.grad is not None
    assert images.grad[0].abs().sum() > 0
    assert images.grad[1].abs().sum() == 0
