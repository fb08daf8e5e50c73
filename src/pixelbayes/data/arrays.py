"""What an array of numbers means as images: which axis has the channels, and which type it has.

An array that has two meanings, or whose numbers are no levels, is refused with the line that
says which meaning it has: a guess would be scored without a word.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from pixelbayes.data.errors import DatasetError

__all__ = ["COLOURS", "Array", "picture", "single_images", "whole_levels"]

Array: TypeAlias = npt.NDArray[Any]

COLOURS, COLOURS_AND_ALPHA = 3, 4
FIRST_AXIS = (1, COLOURS)  # what the axis of the channels may hold where it comes first
LAST_AXIS = (1, COLOURS, COLOURS_AND_ALPHA)
SMALL_RANGE = 1.0  # a float image up to here counts black to white in 0..1 or -1..1


def whole_levels(values: Array, *, tensor: bool, accepted: bool) -> Array:
    """Returns levels of another type as uint8.

    Args:
        values: Array of any type but uint8.
        tensor: Whether it came as a tensor; the message then speaks of torch.
        accepted: Accepts whole levels 0..255.

    Raises:
        TypeError: If they are not accepted or not whole levels; with the line that converts them.
    """
    if values.dtype.kind not in "biuf":
        raise TypeError(f"an array of {values.dtype} is no image; images are uint8 levels, 0..255")
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
            f"images are uint8 levels, 0..255, got {values.dtype} from {low:g} to {high:g}; undo "
            "the normalisation, or pass the images as they were before it"
        )
    raise TypeError(
        f"images are uint8 levels, 0..255, got {values.dtype} from {low:g} to {high:g}; "
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


def _two_meanings(shape: tuple[int, ...], x: str) -> str:
    last, first = f"PIL.Image.fromarray({x})", f"PIL.Image.fromarray({x}.transpose(1, 2, 0))"
    if len(shape) == 4:
        last, first = (f"[{line.replace(x, 'i')} for i in {x}]" for line in (last, first))
    return (
        f"an array of shape {shape} may have its channels in the last place or before rows and "
        f"columns; pass {last} for the one, {first} for the other"
    )
