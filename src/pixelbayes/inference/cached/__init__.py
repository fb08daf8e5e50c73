"""Sampling without recomputing what is finished: the same levels as `sample_naive`, fast.

The stream `u` depends on rows above only, so each of its rows is computed once, all columns
together.  In the stream `ul` only the kernel taps in the current row have to wait for a pixel:
the upper taps, the skips from `u` and the label are summed for a whole row before it starts.
A lower resolution has work only where a row (and column) of it is due: every second, every
fourth.  What remains per pixel are small matrix products into buffers that exist already.

Images are computed in tiles of one arithmetic (`pixelbayes.inference.cached.tiles`), so that they
do not depend on how many are drawn.

References:
    [1] Ramachandran et al., Fast Generation for Convolutional Autoregressive Models, 2017.
        https://arxiv.org/abs/1704.06001
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelbayes.core.labels import label_indices
from pixelbayes.core.network import PixelCNN
from pixelbayes.core.precision import isolated
from pixelbayes.inference.cached.cache import RowCache
from pixelbayes.inference.cached.layers import kernels_of
from pixelbayes.inference.cached.tiles import Tile, tile_size, tiling, whole_tiles
from pixelbayes.inference.classification import require_temperature
from pixelbayes.inference.sampling import RowCallback, check_given, draw_noise, nothing_given

__all__ = ["RowCache", "complete_cached", "sample_cached", "tile_size", "whole_tiles"]


@isolated
def sample_cached(
    model: PixelCNN,
    labels: Tensor,
    *,
    generator: torch.Generator,
    on_row: RowCallback | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """Same levels as `sample_naive`, without recomputing finished rows and columns.

    Arguments, result and errors are those of `sample_naive`.
    """
    labels = label_indices(labels, model.config.classes)
    blank, nothing = nothing_given(model, labels)
    return complete_cached(
        model,
        labels,
        blank,
        nothing,
        generator=generator,
        on_row=on_row,
        temperature=temperature,
    )


@isolated
def complete_cached(
    model: PixelCNN,
    labels: Tensor,
    levels: Tensor,
    known: Tensor,
    *,
    generator: torch.Generator,
    on_row: RowCallback | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """Same levels as `complete_naive`; a row that is known costs one vectorised pass.

    Arguments, result and errors are those of `complete_naive`.
    """
    check_given(model, labels, levels, known)
    temperature = require_temperature(temperature)
    uniform = draw_noise(model, len(labels), generator)
    with tiling(model, len(labels)) as (width, each):
        filling = -len(labels) % width
        labels = F.pad(labels, (0, filling))
        given_levels = F.pad(levels, [0] * 7 + [filling])
        uniform = F.pad(uniform, [0] * 7 + [filling], value=0.5)
        (kernels,) = each(kernels_of, [model])

        def tile(i: slice) -> Tile:
            return Tile(model, labels[i], given_levels[i], uniform[i], kernels, temperature)

        tiles = each(tile, [slice(i, i + width) for i in range(0, len(labels), width)])
        for row, given in enumerate(known.tolist()):
            each(partial(Tile.advance, row=row, given=given), tiles)
            if on_row is not None and not all(given):
                on_row(row, _drawn(tiles, levels))
        return _drawn(tiles, levels)


def _drawn(tiles: Sequence[Tile], levels: Tensor) -> Tensor:
    """What the tiles hold so far, of as many images as there are levels given."""
    return torch.cat([tile.cache.levels for tile in tiles] or [levels])[: len(levels)]
