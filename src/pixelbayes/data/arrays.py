"""What an array of numbers means as images: which axis has the channels, and which type it has.

An array that has two meanings, or whose numbers are no levels, is refused with the line that
says which meaning it has: a guess would be scored without a word.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from pixelbayes.data.errors import DatasetError
from pixelbayes.data.naming import whole_number

__all__ = ["COLOURS", "Array", "ArrayForm", "picture", "single_images", "whole_levels"]

Array: TypeAlias = npt.NDArray[Any]

COLOURS, COLOURS_AND_ALPHA = 3, 4
FIRST_AXIS = (1, COLOURS)  # what the axis of the channels may hold where it comes first
LAST_AXIS = (1, COLOURS, COLOURS_AND_ALPHA)
SMALL_RANGE = 1.0  # a float image up to here counts black to white in 0..1 or -1..1


def whole_levels(
    values: Array, *, tensor: bool, accepted: bool, kind: object | None = None
) -> Array:
    """Returns levels of another type as uint8.

    Args:
        values: Array of any type but uint8.
        tensor: Whether it came as a tensor; the message then speaks of torch.
        accepted: Accepts whole levels 0..255.
        kind: The type that the message names; None: that of the array.

    Raises:
        TypeError: If they are not accepted or not whole levels; with the line that converts them.
    """
    kind = kind or values.dtype
    if values.dtype.kind not in "biuf":
        raise TypeError(f"an array of {kind} is no image; images are uint8 levels, 0..255")
    cast = "to(torch.uint8)" if tensor else "astype(np.uint8)"
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    whole = values.dtype.kind != "b" and low >= 0 and high <= 255
    if accepted and whole and bool((values == np.floor(values)).all()):
        return values.astype(np.uint8)
    if values.dtype.kind == "b":
        line = f"x.{cast} * 255"
    elif low >= 0 and high <= SMALL_RANGE:
        line = f"(x * 255).round().{cast}"
    elif low >= -SMALL_RANGE and high <= SMALL_RANGE:
        line = f"((x + 1) * 127.5).round().{cast}"
    elif low >= 0 and high <= 255:
        line = f"x.round().{cast}" if values.dtype.kind == "f" else f"x.{cast}"
    elif values.dtype == np.uint16:
        line = f"(x / 257).round().{cast}"
    else:
        raise TypeError(
            f"images are uint8 levels, 0..255, got {kind} from {low:g} to {high:g}; undo "
            "the normalisation, or pass the images as they were before it"
        )
    raise TypeError(
        f"images are uint8 levels, 0..255, got {kind} from {low:g} to {high:g}; "
        f"if these count black to white, pass {line}"
    )


def single_images(values: Array, *, tensor: bool, chw: bool) -> Iterable[Array]:
    """Returns the images of an array, each (H, W) or (H, W, C).

    Args:
        values: One image or many.
        tensor: Whether it came as a tensor; the message then speaks of torch.
        chw: Whether (3, H, W) is one colour image.

    Raises:
        DatasetError: If its shape has no meaning or more than one.
    """
    shape = values.shape
    if len(shape) in (3, 4) and shape[0] == 0:
        return []
    if 0 in shape or len(shape) not in (2, 3, 4):
        raise DatasetError(
            f"an array of shape {shape} is no image: (H, W), (H, W, C), (C, H, W), (N, H, W, C) or "
            "(N, C, H, W), with C = 1 or 3"
        )
    if len(shape) == 2:
        return [values]
    first, last = shape[-3] in FIRST_AXIS, shape[-1] in LAST_AXIS
    if first and last:
        raise DatasetError(_two_meanings(shape, "x.numpy()" if tensor else "x"))
    if len(shape) == 4:
        if not first and not last:
            raise DatasetError(
                f"an array of shape {shape} has no axis of 1 or 3 channels: images are "
                "(N, H, W, C) or (N, C, H, W)"
            )
        return values if last else values.transpose(0, 2, 3, 1)
    if last:
        return [values]
    if shape[0] == COLOURS and not chw:
        raise DatasetError(
            f"an array of shape {shape} may be one colour image (C, H, W) or three grey ones; pass "
            "x[None] for the one, x[:, None] for the three"
        )
    if first:
        return [values.transpose(1, 2, 0)]
    return values


def picture(values: Array) -> Image.Image:
    """An image (H, W) or (H, W, C) in Pillow's form."""
    grey = values[:, :, 0] if values.ndim == 3 and values.shape[2] == 1 else values
    return Image.fromarray(np.ascontiguousarray(grey))


@dataclass(frozen=True)
class ArrayForm:
    """How an array X holds n images of one size, as tables of numbers for an estimator do."""

    shape: tuple[int, int, int]
    """(H, W, C) of each image."""
    axes: str
    """"flat" (n, H W C), "nhw" (n, H, W), "nhwc" or "nchw"."""

    @classmethod
    def of(cls, shape: Sequence[int], image_shape: Sequence[int] | None = None) -> ArrayForm:
        """Finds out what an array of this shape holds.

        >>> ArrayForm.of((100, 64)), ArrayForm.of((100, 3, 32, 32)).axes
        (ArrayForm(shape=(8, 8, 1), axes='flat'), 'nchw')

        Args:
            shape: Of X: two, three or four axes.
            image_shape: (H, W) or (H, W, C) of the images of a flat X; None: square, grey or RGB.

        Raises:
            DatasetError: If these are no images, or may be two kinds of images.
        """
        if len(shape) == 3:
            return cls((shape[1], shape[2], 1), "nhw")
        if len(shape) == 4:
            first, last = shape[1] in FIRST_AXIS, shape[3] in FIRST_AXIS
            if first == last:
                raise DatasetError(
                    f"X of shape {tuple(shape)} is (n, H, W, C) or (n, C, H, W) with C = 1 or 3, "
                    "and here it cannot be told which"
                )
            if last:
                return cls((shape[1], shape[2], shape[3]), "nhwc")
            return cls((shape[2], shape[3], shape[1]), "nchw")
        features = shape[1]
        if image_shape is None:
            for channels in FIRST_AXIS:
                side = math.isqrt(features // channels)
                if side * side * channels == features:
                    return cls((side, side, channels), "flat")
            raise DatasetError(
                f"X has {features} features, which are no square image of 1 or 3 channels; set "
                "image_shape=(H, W) or (H, W, C)"
            )
        try:
            sides = [whole_number(side, "image_shape", least=1) for side in image_shape]
        except (TypeError, DatasetError):
            sides = []
        height, width, channels = (*sides, 1)[:3] if len(sides) in (2, 3) else (0, 0, 0)
        if channels not in FIRST_AXIS or height * width * channels != features:
            raise DatasetError(
                f"image_shape is (H, W) or (H, W, C) with C = 1 or 3 and H W C = {features}, the "
                f"features of X; got {image_shape!r}"
            )
        return cls((height, width, channels), "flat")

    def flat(self, values: Array) -> Array:
        """X as (n, H W C)."""
        if self.axes == "nchw":
            values = values.transpose(0, 2, 3, 1)
        return values.reshape(len(values), -1)

    def unflat(self, values: Array) -> Array:
        """The inverse of `flat`."""
        if self.axes == "flat":
            return values
        images = values.reshape(len(values), *self.shape)
        if self.axes == "nchw":
            return images.transpose(0, 3, 1, 2)
        return images[..., 0] if self.axes == "nhw" else images


def _two_meanings(shape: tuple[int, ...], x: str) -> str:
    last, first = f"PIL.Image.fromarray({x})", f"PIL.Image.fromarray({x}.transpose(1, 2, 0))"
    if len(shape) == 4:
        last, first = (f"[{line.replace(x, 'i')} for i in {x}]" for line in (last, first))
    return (
        f"an array of shape {shape} may have its channels in the last place or before rows and "
        f"columns; pass {last} for the one, {first} for the other"
    )
