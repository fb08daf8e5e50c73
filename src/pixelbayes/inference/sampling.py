"""Sampling, as it is defined: pixel after pixel in raster order.

Slow on purpose.  `pixelbayes.inference.cached` returns the very same levels for the same
generator and is what `pixelbayes.inference.sample` uses; these are the functions to read.

Shapes: B images, C colour channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from pixelbayes.core.labels import label_indices
from pixelbayes.core.likelihood import require_levels, standard_noise
from pixelbayes.core.network import PixelCNN
from pixelbayes.core.precision import isolated, require_wide_weights
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.classification import require_temperature

__all__ = [
    "RowCallback",
    "check_given",
    "complete_naive",
    "draw_noise",
    "first_rows",
    "nothing_given",
    "raster_order",
    "sample_naive",
]

RowCallback = Callable[[int, Tensor], None]
"""Called after each finished row with its number and the levels so far, (B, C, H, W)."""


def raster_order(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Rows from top to bottom, in each row columns from left to right."""
    for row in range(height):
        for col in range(width):
            yield row, col


def first_rows(model: PixelCNN, rows: int) -> Tensor:
    """The mask, bool (H, W), by which the first `rows` rows are given.

    Raises:
        ValueError: If `rows` is not in 0..H.
    """
    height, width = model.config.image_size
    if not 0 <= rows <= height:
        raise PixelBayesError(f"rows is in 0..{height}, got {rows}")
    return (torch.arange(height, device="cpu") < rows)[:, None].expand(height, width)


def nothing_given(model: PixelCNN, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Black images, uint8 (B, C, H, W), and a mask by which no pixel of them is given."""
    config = model.config
    shape = (len(labels), config.channels, *config.image_size)
    return torch.zeros(shape, dtype=torch.uint8, device=labels.device), first_rows(model, 0)


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


@isolated
def sample_naive(
    model: PixelCNN,
    labels: Tensor,
    *,
    generator: torch.Generator,
    on_row: RowCallback | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """Draws one image per label: one full forward pass per pixel.

    Args:
        model: A network in evaluation mode.
        labels: int64, (B,), on the model's device.
        generator: Source of all randomness, on any device.
        on_row: See `RowCallback`.
        temperature: See `complete_naive`.

    Returns:
        Levels, uint8, (B, C, H, W).
    """
    labels = label_indices(labels, model.config.classes)
    blank, nothing = nothing_given(model, labels)
    return complete_naive(
        model,
        labels,
        blank,
        nothing,
        generator=generator,
        on_row=on_row,
        temperature=temperature,
    )


@isolated
def complete_naive(
    model: PixelCNN,
    labels: Tensor,
    levels: Tensor,
    known: Tensor,
    *,
    generator: torch.Generator,
    on_row: RowCallback | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """Keeps the known pixels of each image and draws the others, given what precedes them.

    A drawn pixel does not know of known pixels that come later in raster order, as it would in
    a draw from p(unknown | known).  Where the known pixels are the first rows the two are the
    same; elsewhere `pixelbayes.inference.completion` weighs several draws to make up for it.

    Args:
        model: A network in evaluation mode.
        labels: int64, (B,), on the model's device.
        levels: uint8, (B, C, H, W); what stands at unknown pixels does not matter.
        known: bool, (H, W), true where a pixel is given; see `first_rows`.
        generator: Source of all randomness, on any device.
        on_row: See `RowCallback`; not called for rows that are known.
        temperature: Multiplies all noise, and so the scale of every logistic and the log-odds of
            mixture components by its inverse; 1 draws from p(x | y).

    Returns:
        Levels, uint8, (B, C, H, W).

    Raises:
        TypeError: If the images are not uint8 or the mask not bool.
        ValueError: If a shape does not fit, or the temperature is not positive and finite.
    """
    check_given(model, labels, levels, known)
    height, width = model.config.image_size
    noise = standard_noise(draw_noise(model, len(labels), generator), model.config.mixtures)
    noise = noise * require_temperature(temperature)
    levels = levels * known.to(levels.device)
    for row, col in raster_order(height, width):
        if not known[row, col]:
            pixel = model(levels, labels).at(row, col)
            drawn = pixel.transport(noise[:, row : row + 1, col : col + 1])
            levels[:, :, row, col] = drawn[:, :, 0, 0]
        if on_row is not None and col == width - 1 and not known[row].all():
            on_row(row, levels)
    return levels


def check_given(model: PixelCNN, labels: Tensor, levels: Tensor, known: Tensor) -> None:
    """Checks the arguments that all samplers share.

    Raises:
        RuntimeError: If the network is in training mode.
        TypeError: If the images are not uint8, the mask not bool, the labels not whole numbers, or
            the network's weights narrower than float32.
        ValueError: If shapes or the number of labels do not fit, or a label is no class.
    """
    if model.training:
        raise RuntimeError("sampling needs model.eval(): in training mode dropout is active")
    require_wide_weights(model)
    require_levels(levels, model.config.channels)
    label_indices(labels, model.config.classes)
    if tuple(levels.shape[2:]) != model.config.image_size or len(levels) != len(labels):
        raise PixelBayesError(
            f"got images {tuple(levels.shape)} for {len(labels)} labels and a model of "
            f"{model.config.image_size} pixels"
        )
    if known.dtype != torch.bool:
        raise TypeError(f"the mask of known pixels is bool, got {known.dtype}")
    if tuple(known.shape) != model.config.image_size:
        raise PixelBayesError(
            f"the mask of known pixels is {model.config.image_size} (rows, columns) like the "
            f"images, got {tuple(known.shape)}"
        )
