"""How an image gets its size: once when it is read, and at random while training.

`Resize` turns an original of any size into levels of one size.  It is part of what a trained
model means, because bits per dimension depend on the filter, so a checkpoint records it.
`Augmentation` and `Windows` work on whole batches of levels that are already read.  Neither ever
interpolates: they only move, mirror and drop pixels, so their outputs are levels too.

Shapes: B images, C channels, H x W pixels, m the crop margin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pixelbayes.data.errors import DatasetError
from pixelbayes.data.naming import whole_number

__all__ = ["FILTERS", "GEOMETRIES", "Augmentation", "Resize", "Windows", "with_border"]

# Pillow widens these by the scale factor when it shrinks an image, which is what antialiases.
FILTERS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
GEOMETRIES = ("crop", "stretch")


@dataclass(frozen=True)
class Resize:
    """Brings an image to a fixed size in levels.

    Pillow rounds to levels after the rows and again after the columns.

    The fields survive JSON, so a checkpoint can hold `dataclasses.asdict(resize)` and
    `Resize(**fields)` gives the same object back.

    >>> Resize(size=(32, 32))(Image.new("RGB", (100, 64))).size
    (32, 32)

    Raises:
        DatasetError: On construction, if a field has a value that is not accepted.
    """

    size: tuple[int, int]
    """Rows and columns of the result."""
    filter: str = "bilinear"
    """Antialiasing filter: box, bilinear (the study's), bicubic or lanczos."""
    geometry: str = "crop"
    """crop: the largest centred part with the result's aspect; stretch: ignores the aspect."""
    allow_upscaling: bool = False
    """Accepts originals that are smaller than `size`; their detail is then made up."""

    def __post_init__(self) -> None:
        expected = f"size is (rows, columns), two integers above 0; {self.size!r} has a side"
        size = tuple(self.size)  # JSON has lists only
        if len(size) != 2:
            raise DatasetError(f"size is (rows, columns), two integers above 0, got {self.size!r}")
        sides = tuple(whole_number(side, expected, least=1) for side in size)
        object.__setattr__(self, "size", sides)
        if self.filter not in FILTERS:
            raise DatasetError(
                f"unknown filter {self.filter!r}; choose one of: {', '.join(FILTERS)}"
            )
        if self.geometry not in GEOMETRIES:
            raise DatasetError(
                f"unknown geometry {self.geometry!r}; choose one of: {', '.join(GEOMETRIES)}"
            )

    def __call__(self, image: Image.Image) -> Image.Image:
        """Returns the image at `size`; one that has that size already is returned as it is.

        Args:
            image: In mode L or RGB.  Pillow would resize other modes without a filter.

        Raises:
            DatasetError: If the mode is another one, or the image is smaller than `size` and
                `allow_upscaling` is off.
        """
        rows, columns = self.size
        if image.mode not in ("L", "RGB"):
            raise DatasetError(f"Resize expects an image of mode L or RGB, got {image.mode!r}")
        if image.size == (columns, rows):
            return image
        self.check_original(image.height, image.width)
        # Cropped first: given a box, Pillow's filters would also look at pixels outside of it.
        return self._cropped(image).resize((columns, rows), FILTERS[self.filter])

    def check_original(self, height: int, width: int) -> None:
        """Refuses originals that would have to be enlarged.

        Raises:
            DatasetError: If a side is shorter than the result's and `allow_upscaling` is off.
        """
        rows, columns = self.size
        if not self.allow_upscaling and (height < rows or width < columns):
            raise DatasetError(
                f"{height} x {width} (rows x columns) is smaller than {rows} x {columns}; "
                "use larger originals, or 'pixelbayes train' with a smaller --image-size or "
                "--crop-margin, or with --allow-upscaling"
            )

    def _cropped(self, image: Image.Image) -> Image.Image:
        """The largest centred part that has the result's aspect, to the nearest pixel."""
        rows, columns = self.size
        scale = min(image.height / rows, image.width / columns)
        height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
        if self.geometry == "stretch" or (height, width) == (image.height, image.width):
            return image
        upper, left = (image.height - height) // 2, (image.width - width) // 2
        return image.crop((left, upper, left + width, upper + height))


def with_border(levels: Tensor, margin: int) -> Tensor:
    """Mirrors the edges outwards, so that a random crop has something to drop.

    >>> with_border(torch.tensor([[[[1, 2, 3]]]]).expand(1, 1, 3, 3), 2)[0, 0, 0]
    tensor([2, 1, 2, 3, 2])

    Args:
        levels: (N, C, H, W).
        margin: Rows and columns to add, half of them, rounded down, above and at the left.

    Returns:
        (N, C, H + margin, W + margin), whose centre (`Augmentation.centre`) is `levels`.
    """
    before = margin // 2
    sides = (before, margin - before)
    return torch.from_numpy(np.pad(levels.numpy(), ((0, 0), (0, 0), sides, sides), mode="reflect"))


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random mirror images and random crops of a batch of training images.

    Vectorised over the batch and free of interpolation, so it can run on an accelerator, in
    the training step, without waiting for it.

    >>> augment = Augmentation(flip=True, crop_margin=2)
    >>> batch = torch.zeros(5, 3, 34, 34, dtype=torch.uint8)
    >>> augment(batch, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([5, 3, 32, 32])
    """

    flip: bool = False
    """Mirrors left and right, each image with probability 1/2."""
    crop_margin: int = 0
    """Rows and columns that training images have beyond the model's; a random crop drops them."""

    def __post_init__(self) -> None:
        margin = whole_number(self.crop_margin, "crop_margin is a number of pixels, 0 or more")
        object.__setattr__(self, "crop_margin", margin)

    def __call__(self, levels: Tensor, *, generator: torch.Generator) -> Tensor:
        """Returns an independently cropped and mirrored version of each image.

        Args:
            levels: uint8 (B, C, H + m, W + m).
            generator: Source of the random numbers, on the device of `levels`.

        Returns:
            uint8 (B, C, H, W).

        Raises:
            DatasetError: If the images are not larger than the margin, or the generator lives
                on another device.
        """
        height, width = self._cropped_size(levels)
        if generator.device.type != levels.device.type:
            raise DatasetError(
                f"the generator is on {generator.device}, the images are on {levels.device}; "
                "make it with torch.Generator(device=levels.device)"
            )
        if not self.flip and self.crop_margin == 0:
            return levels
        batch, channels, device = levels.shape[0], levels.shape[1], levels.device
        rows = torch.arange(height, device=device).expand(batch, height)
        columns = torch.arange(width, device=device).expand(batch, width)
        if self.flip:
            mirrored = torch.randint(2, (batch, 1), generator=generator, device=device).bool()
            columns = torch.where(mirrored, columns.flip(1), columns)
        if self.crop_margin:
            corner = torch.randint(
                self.crop_margin + 1, (2, batch, 1), generator=generator, device=device
            )
            rows, columns = rows + corner[0], columns + corner[1]
        image = torch.arange(batch, device=device)[:, None, None, None]
        channel = torch.arange(channels, device=device)[None, :, None, None]
        return levels[image, channel, rows[:, None, :, None], columns[:, None, None, :]]

    def centre(self, levels: Tensor) -> Tensor:
        """Returns the central (B, C, H, W) of (B, C, H + m, W + m), without chance."""
        height, width = self._cropped_size(levels)
        start = self.crop_margin // 2
        return levels[:, :, start : start + height, start : start + width]

    def _cropped_size(self, levels: Tensor) -> tuple[int, int]:
        height, width = levels.shape[-2] - self.crop_margin, levels.shape[-1] - self.crop_margin
        if levels.ndim != 4 or height < 1 or width < 1:
            raise DatasetError(
                f"augmentation expects (B, C, H + {self.crop_margin}, W + {self.crop_margin}), "
                f"got {tuple(levels.shape)}"
            )
        return height, width


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Random parts of a batch of images, all of one size, at corners on a grid.

    A JPEG file describes its pixels in blocks, and a likelihood learns where they begin: parts
    whose corners lie anywhere look unlike the images.  On a grid of whole blocks they look alike.

    >>> parts = Windows(step=8)(torch.zeros(5, 3, 32, 32), generator=torch.Generator())
    >>> [side % 8 for side in parts.shape[2:]]
    [0, 0]
    """

    step: int
    """Corners and sides are multiples of this, in pixels; sides are half of the image's or more."""
    share: float = 0.5
    """Probability that a batch is cut; else it stays as it is."""

    def __post_init__(self) -> None:
        step = whole_number(self.step, "step is a number of pixels, 1 or more", least=1)
        object.__setattr__(self, "step", step)

    def __call__(self, levels: Tensor, *, generator: torch.Generator) -> Tensor:
        """Returns a part of each image, each from a place of its own.

        Args:
            levels: (B, C, H, W).
            generator: On the CPU, wherever the images are: the size of a batch is known at once.

        Returns:
            (B, C, h, w), the same h and w for the batch.
        """
        if torch.rand((), generator=generator) >= self.share:
            return levels
        batch, channels = levels.shape[:2]
        rows, columns = (
            self._positions(side, batch, generator).to(levels.device) for side in levels.shape[2:]
        )
        image = torch.arange(batch, device=levels.device)[:, None, None, None]
        channel = torch.arange(channels, device=levels.device)[None, :, None, None]
        return levels[image, channel, rows[:, None, :, None], columns[:, None, None, :]]

    def _positions(self, side: int, batch: int, generator: torch.Generator) -> Tensor:
        """Which rows, or columns, each image keeps, int64, (B, length)."""
        steps = side // self.step
        least = -(-side // (2 * self.step))
        if steps == 0:
            raise DatasetError(f"windows in steps of {self.step} do not fit into {side} pixels")
        length = int(torch.randint(least, steps + 1, (), generator=generator))
        corner = torch.randint(steps - length + 1, (batch, 1), generator=generator) * self.step
        return corner + torch.arange(length * self.step)
