"""Sampling without recomputing what is finished: the same levels as `sample_naive`, fast.

The stream `u` depends on rows above only, so each of its rows is computed once, all columns
together.  In the stream `ul` only the kernel taps in the current row have to wait for a pixel:
the upper taps, the skips from `u` and the label are summed for a whole row before it starts.
A lower resolution has work only where a row (and column) of it is due: every second, every
fourth.  What remains per pixel are small matrix products into buffers that exist already.

Images are computed in tiles of one size, so that they do not depend on how many are drawn.

References:
    [1] Ramachandran et al., Fast Generation for Convolutional Autoregressive Models, 2017.
        https://arxiv.org/abs/1704.06001
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelbayes.core.likelihood import standard_noise
from pixelbayes.core.network import PixelCNN
from pixelbayes.core.precision import isolated
from pixelbayes.inference.cached.cache import RowCache
from pixelbayes.inference.cached.layers import kernels_of
from pixelbayes.inference.sampling import RowCallback, check_given, draw_noise, first_rows

__all__ = ["TILE", "TILE_ELSEWHERE", "RowCache", "complete_cached", "sample_cached", "tile_size"]

TILE = 16
TILE_ELSEWHERE = 256
"""Images that are always computed together, on a CPU and on other devices.

The order in which a matrix product adds depends on its number of rows, and whether the last
elements go through vector instructions on the size of the whole, so the same image in batches of
two sizes differs in last bits, sooner or later in a level, and then in all that follows.  In a
tile of one size an image depends on its noise, its label and its place alone.  Sixteen is a
compromise on two cores: 0.55 s for a tile of the course's small model (32 x 32) against 0.22 s
for a single image and 25 ms an image in tiles of 64 (docs/performance.md).
"""


def tile_size(device: torch.device) -> int:
    """How many images a device computes together; a last tile is filled up."""
    return TILE if device.type == "cpu" else TILE_ELSEWHERE


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
    config = model.config
    blank = torch.zeros(
        len(labels), config.channels, *config.image_size, dtype=torch.uint8, device=labels.device
    )
    nothing = first_rows(model, 0)
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
    images, components = len(labels), model.config.mixtures
    tile = tile_size(labels.device)
    filling = -images % tile
    uniform = F.pad(draw_noise(model, images, generator), [0] * 7 + [filling], value=0.5)
    given_levels = F.pad(levels, [0] * 7 + [filling]).split(tile)
    kernels = kernels_of(model)
    caches = [RowCache(model, part, kernels) for part in F.pad(labels, (0, filling)).split(tile)]

    def drawn() -> Tensor:
        return torch.cat([cache.levels for cache in caches] or [levels])[:images]

    for row, given in enumerate(known.tolist()):
        for cache, some, noise in zip(caches, given_levels, uniform.split(tile), strict=True):
            cache.begin_row(row)
            if all(given):
                cache.give_row(row, some[:, :, row])
                continue
            standard = standard_noise(noise[:, row], components) * temperature
            by_column = standard.to(cache.dtype).transpose(0, 1)
            if not any(given):
                cache.draw_row(row, by_column.contiguous())
                continue
            for col, column_noise in enumerate(by_column.contiguous().unbind(0)):
                if given[col]:
                    cache.give(row, col, some[:, :, row, col])
                else:
                    cache.draw(row, col, column_noise)
        if on_row is not None and not all(given):
            on_row(row, drawn())
    return drawn()
