"""Sampling, as it is defined: pixel after pixel in raster order.

Slow on purpose.  `pixelbayes.inference.cached` returns the very same levels for the same
generator and is what `pixelbayes.inference.sample` uses; these are the functions to read.

Shapes: B images, C colour channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from pixelbayes.core.likelihood import require_levels, standard_noise
from pixelbayes.core.network import PixelCNN

__all__ = ["RowCallback", "complete_naive", "draw_noise", "raster_order", "sample_naive"]

RowCallback = Callable[[int, Tensor], None]
"""Called after each finished row with its number and the levels so far, (B, C, H, W)."""


def raster_order(height: int, width: int, first_row: int = 0) -> Iterator[tuple[int, int]]:
    """Rows from top to bottom, in each row columns from left to right."""
    for row in range(first_row, height):
        for col in range(width):
            yield row, col


def draw_noise(model: PixelCNN, images: int, generator: torch.Generator) -> Tensor:
    """Uniform noise for whole images, image after image, (B, H, W, K + C), float64.

    The order makes image i of a generator the same however many images one batch holds.
    """
    config = model.config
    return torch.rand(
        (images, *config.image_size, config.mixtures + config.channels),
        generator=generator,
        device=generator.device,
        dtype=torch.float64,
    ).to(model.output.bias.device)


@torch.inference_mode()
def sample_naive(
    model: PixelCNN,
    labels: Tensor,
    *,
    generator: torch.Generator,
    on_row: RowCallback | None = None,
) -> Tensor:
    """Draws one image per label: one full forward pass per pixel.

    Args:
        model: A network in evaluation mode.
        labels: int64, (B,), on the model's device.
        generator: Source of all randomness, on any device.
        on_row: See `RowCallback`.

    Returns:
        Levels, uint8, (B, C, H, W).
    """
    config = model.config
    blank = torch.zeros(
        len(labels), config.channels, *config.image_size, dtype=torch.uint8, device=labels.device
    )
    return complete_naive(model, labels, blank, 0, generator=generator, on_row=on_row)


@torch.inference_mode()
def complete_naive(
    model: PixelCNN,
    labels: Tensor,
    levels: Tensor,
    rows: int,
    *,
    generator: torch.Generator,
    on_row: RowCallback | None = None,
) -> Tensor:
    """Keeps the first `rows` rows of each image and draws the rest.

    Args:
        model: A network in evaluation mode.
        labels: int64, (B,), on the model's device.
        levels: uint8, (B, C, H, W); what stands below the given rows does not matter.
        rows: How many rows are given, 0..H.
        generator: Source of all randomness, on any device.
        on_row: See `RowCallback`.

    Returns:
        Levels, uint8, (B, C, H, W).

    Raises:
        ValueError: If `rows` is not in 0..H or a shape does not fit.
    """
    check_given_rows(model, labels, levels, rows)
    height, width = model.config.image_size
    noise = standard_noise(draw_noise(model, len(labels), generator), model.config.mixtures)
    levels = levels.clone()
    levels[:, :, rows:] = 0
    for row, col in raster_order(height, width, first_row=rows):
        pixel = model(levels, labels).at(row, col)
        drawn = pixel.transport(noise[:, row : row + 1, col : col + 1])
        levels[:, :, row, col] = drawn[:, :, 0, 0]
        if on_row is not None and col == width - 1:
            on_row(row, levels)
    return levels


def check_given_rows(model: PixelCNN, labels: Tensor, levels: Tensor, rows: int) -> None:
    """Checks the arguments that all samplers share.

    Raises:
        RuntimeError: If the network is in training mode.
        TypeError: If the images are not uint8.
        ValueError: If `rows`, shapes or the number of labels do not fit.
    """
    if model.training:
        raise RuntimeError("sampling needs model.eval(): in training mode dropout is active")
    require_levels(levels, model.config.channels)
    if tuple(levels.shape[2:]) != model.config.image_size or len(levels) != len(labels):
        raise ValueError(
            f"got images {tuple(levels.shape)} for {len(labels)} labels and a model of "
            f"{model.config.image_size} pixels"
        )
    if not 0 <= rows <= model.config.image_size[0]:
        raise ValueError(f"rows is in 0..{model.config.image_size[0]}, got {rows}")
