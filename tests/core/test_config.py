"""A configuration counts what the network that is built from it has."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelbayes.core import PixelCNN, PixelCNNConfig
from pixelbayes.core.blocks import TwoStreamBlock
from pixelbayes.core.config import STAGES, STREAMS


@given(
    size=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    widths=st.tuples(*[st.integers(1, 3)] * STAGES),
    depths=st.tuples(*[st.integers(1, 3)] * STAGES),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_the_blocks_that_are_counted_are_those_that_are_built(
    size: tuple[int, int], widths: tuple[int, int, int], depths: tuple[int, int, int]
) -> None:
    config = PixelCNNConfig(
        classes=2,
        image_size=size,
        channels=1,
        features=widths,
        blocks_per_stage=depths,
        mixtures=1,
        embedding=2,
    )
    network = PixelCNN(config)
    blocks = [module for module in network.modules() if isinstance(module, TwoStreamBlock)]
    # A block of each stream, and gates of 2 F channels.
    built = [block.u.conv_out.bias.numel() // 2 for block in blocks]
    assert [width for width in built for _ in STREAMS] == list(config.block_features)
    assert config.gated_blocks == len(STREAMS) * len(blocks)


@given(rows=st.integers(8, 40), columns=st.integers(8, 40))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_an_image_of_any_size_is_described_at_its_own_size(rows: int, columns: int) -> None:
    config = PixelCNNConfig(
        classes=2,
        image_size=(rows, columns),
        channels=1,
        features=2,
        blocks_per_stage=1,
        mixtures=1,
    )
    levels = torch.zeros(1, 1, rows, columns, dtype=torch.uint8)
    with torch.no_grad():
        described = PixelCNN(config).eval()(levels, torch.tensor([1]))
    assert described.log_prob_map(levels).shape == (1, rows, columns)
    assert config.stage_sizes[0] == (rows, columns)
    for finer, coarser in zip(config.stage_sizes, config.stage_sizes[1:], strict=False):
        assert all(2 * small - large in (0, 1) for small, large in zip(coarser, finer, strict=True))
    assert config.dims == rows * columns
