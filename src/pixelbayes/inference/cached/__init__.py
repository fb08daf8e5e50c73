"""Sampling without recomputing what is finished: the same levels as `sample_naive`, fast.

The stream `u` depends on rows above only, so each of its rows is computed once, all columns
together.  In the stream `ul` only the kernel taps in the current row have to wait for a pixel:
the upper taps, the skips from `u` and the label are summed for a whole row before it starts.
A lower resolution has work only where a row (and column) of it is due: every second, every
fourth.  What remains per pixel are small matrix products into buffers that exist already.

References:
    [1] Ramachandran et al., Fast Generation for Convolutional Autoregressive Models, 2017.
        https://arxiv.org/abs/1704.06001
"""

from __future__ import annotations

import torch
from torch import Tensor

from pixelbayes.core.likelihood import standard_noise
from pixelbayes.core.network import PixelCNN
from pixelbayes.core.precision import isolated
from pixelbayes.inference.cached.cache import RowCache
from pixelbayes.inference.sampling import RowCallback, check_given, draw_noise, first_rows

__all__ = ["RowCache", "complete_cached", "sample_cached"]


@isolated
def sample_cached(
    model: PixelCNN,
    labels: Tensor,
    *,
    generator: torch.Generator,
    on_row: RowCallback | None = None,
) -> Tensor:
    """Same levels as `sample_naive`, without recomputing finished rows and columns.

    Arguments, result and errors are those of `sample_naive`.
    """
    config = model.config
    blank = torch.zeros(
        len(labels), config.channels, *config.image_size, dtype=torch.uint8, device=labels.device
    )
    nothing = first_rows(model, 0)
    return complete_cached(model, labels, blank, nothing, generator=generator, on_row=on_row)


@isolated
def complete_cached(
    model: PixelCNN,
    labels: Tensor,
    levels: Tensor,
    known: Tensor,
    *,
    generator: torch.Generator,
    on_row: RowCallback | None = None,
) -> Tensor:
    """Same levels as `complete_naive`; a row that is known costs one vectorised pass.

    Arguments, result and errors are those of `complete_naive`.
    """
    check_given(model, labels, levels, known)
    uniform = draw_noise(model, len(labels), generator)
    cache = RowCache(model, labels)
    for row, given in enumerate(known.tolist()):
        cache.begin_row(row)
        if all(given):
            cache.give_row(row, levels[:, :, row])
            continue
        noise = standard_noise(uniform[:, row], model.config.mixtures)
        by_column = noise.to(cache.dtype).transpose(0, 1).contiguous()
        if not any(given):
            cache.draw_row(row, by_column)
        else:
            for col, column_noise in enumerate(by_column.unbind(0)):
                if given[col]:
                    cache.give(row, col, levels[:, :, row, col])
                else:
                    cache.draw(row, col, column_noise)
        if on_row is not None:
            on_row(row, cache.levels)
    return cache.levels
