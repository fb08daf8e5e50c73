"""A pixel sees every earlier pixel and no other, for every fusion, option, colour and size.

The reach along a row is finite: odd rows are seen at the full resolution only, two columns per
block (docs/mathematics.md).  So wider images need more blocks here, or attention.
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


def seen_from_row(network: PixelCNN, row: int) -> Tensor:
    """As `dependence`, of the pixels of one row only: (column, earlier and later rows, columns)."""
    config = network.config
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(1, config.channels, *config.image_size, generator=generator).double()
    copies = (image * 2 - 1).repeat(config.image_size[1], 1, 1, 1).requires_grad_()
    labels = torch.zeros(len(copies), dtype=torch.int64)
    described = network.describe(copies, network.conditioning(labels))
    parameters = torch.cat([part.flatten(1, -3) for part in vars(described).values()], 1)
    mixture = torch.rand(parameters.shape[1], generator=generator).double()
    mixed = torch.einsum("p,bpw->bw", mixture, parameters[:, :, row])
    mixed.diagonal().sum().backward()
    assert copies.grad is not None
    return copies.grad.abs().sum(dim=1) > 0


def unseen_from_row(network: PixelCNN, row: int) -> Tensor:
    """Which earlier pixels never arrive, (column, rows, columns)."""
    seen = seen_from_row(network, row)
    columns = torch.arange(len(seen))
    earlier = torch.zeros_like(seen)
    earlier[:, :row] = True
    earlier[:, row] = columns < columns[:, None]
    assert not (seen & ~earlier).any(), "leak"
    return earlier & ~seen


def reach(blocks: int) -> int:
    """Columns on an odd row, and on the row above it to the right (docs/mathematics.md)."""
    return 2 * (2 * blocks + 1)


@pytest.mark.parametrize(("blocks", "missed"), [(1, 325), (5, 45)])
def test_on_odd_rows_the_reach_is_two_columns_for_each_block(tiny_network, blocks, missed):
    """With the default number of blocks of the command line, and of the paper, at 32 x 32."""
    settings = {"channels": 1, "features": 2, "image_size": (32, 32), "blocks_per_stage": blocks}
    network = tiny_network(**settings)
    unseen = unseen_from_row(network, 17)
    distance = torch.arange(32)[:, None] - torch.arange(32)
    assert unseen[:, 17].equal(distance > reach(blocks)), "to the left, on the row itself"
    assert unseen[:, 16].equal(-distance > reach(blocks)), "to the right, on the row above"
    assert unseen[:, 17].sum() == missed
    assert not unseen[:, :16].any()


def test_the_shallow_default_misses_three_percent_of_the_earlier_pixels_at_32_x_32(tiny_network):
    """Rows repeat after four, as the lowest resolution does: the first, some inside, the last."""
    network = tiny_network(channels=1, features=2, image_size=(32, 32))
    missed = {row: int(unseen_from_row(network, row).sum()) for row in (*range(4), 17, 18, 30, 31)}
    of_four = (0, 650, 314, 964)
    assert missed == {row: of_four[row % 4] for row in missed}
    assert sum(of_four) * 32 // 4 == 15_424  # of 1024 * 1023 / 2


@pytest.mark.parametrize(("attention", "missed"), [("lowest", 650), ("full", 0)])
def test_only_attention_at_the_full_resolution_closes_the_gap(tiny_network, attention, missed):
    """At the lowest resolution no position holds the rest of an odd row."""
    network = tiny_network(
        channels=1, features=2, image_size=(32, 32), attention=attention, fusion="early"
    )
    assert unseen_from_row(network, 17).sum() == missed
    if attention == "full":
        assert not any(unseen_from_row(network, row).any() for row in (1, 18, 19, 31))


def test_early_fusion_says_nothing_of_the_first_pixel(tiny_network, random_levels):
    """Its label channels are shifted with the image."""
    network = tiny_network(fusion="early")
    levels = random_levels(1, network.config).expand(3, -1, -1, -1)
    by_pixel = network(levels, torch.tensor([0, 1, 2])).log_prob_map(levels)
    assert by_pixel[:, 0, 0].equal(by_pixel[:1, 0, 0].expand(3))
    assert len(set(by_pixel[:, 0, 1].tolist())) == 3
    for fusion in ("late", "head", "gated", "joint"):
        first = tiny_network(fusion=fusion)(levels, torch.tensor([0, 1, 2])).log_prob_map(levels)
        assert len(set(first[:, 0, 0].tolist())) == 3


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
