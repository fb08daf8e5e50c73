"""What a mask is: black where pixels are kept and white where they are drawn.

A photograph in its place would be thresholded without a word, so it is refused.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from pixelbayes.data.errors import DatasetError
from pixelbayes.data.files import naming_file
from pixelbayes.data.inputs import image_levels
from pixelbayes.data.pixels import decoded, open_image, plain
from pixelbayes.data.transforms import Resize

__all__ = ["white_pixels"]

OPAQUE = 255
WHITE_FROM = 128  # from this level on, a pixel of a mask is white
NEITHER = (64, 191)  # levels farther from black and white than JPEG's noise at an edge
SOFT_EDGES = 0.05  # share of a mask's pixels that may be neither: edges that a program smoothed


def white_pixels(mask: Any, resize: Resize) -> Tensor:
    """Where a mask is white, bool (H, W).

    Args:
        mask: An image file, a Pillow image, or an array of levels.
        resize: Size of the result.

    Raises:
        DatasetError: If it is several images, a pixel is transparent, or too many pixels are
            neither black nor white, as those of a photograph.
    """
    _require_opaque(mask)
    white = image_levels(mask, channels=1, resize=resize).levels
    if len(white) != 1:
        raise DatasetError(f"a mask is one image, got {len(white)}")
    _require_two_levels(mask)
    return white[0, 0] >= WHITE_FROM


def _require_opaque(mask: Any) -> None:
    """Refuses transparency, which one program means as white and another as black."""
    if isinstance(mask, (str, os.PathLike)):
        with naming_file(Path(mask)), open_image(Path(mask)) as image:
            return _require_opaque(decoded(image))
    if not (isinstance(mask, Image.Image) and mask.has_transparency_data):
        return None
    opaque = mask.convert("RGBA").getchannel("A").histogram()[OPAQUE]
    if opaque < mask.width * mask.height:
        raise DatasetError(
            "the mask is transparent in part, which can mean kept or drawn; save it without "
            "transparency, white where pixels are drawn and black where they are kept"
        )
    return None


def _require_two_levels(mask: Any) -> None:
    if isinstance(mask, (str, os.PathLike)):
        with naming_file(Path(mask)), open_image(Path(mask)) as image:
            _check(plain(decoded(image), "L").histogram())
    elif isinstance(mask, Image.Image):
        _check(plain(mask, "L").histogram())
    else:
        levels = np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask)
        if levels.dtype == np.uint8:
            _check(np.bincount(levels.ravel(), minlength=256).tolist())


def _check(histogram: Sequence[int]) -> None:
    share = sum(histogram[NEITHER[0] : NEITHER[1] + 1]) / sum(histogram)
    if share > SOFT_EDGES:
        raise DatasetError(
            f"{100 * share:.0f} % of the pixels are neither black nor white, so this is no "
            f"mask; a mask is white where pixels are drawn and black where they are kept, and "
            f"at most {100 * SOFT_EDGES:.0f} % may be levels {NEITHER[0]} to {NEITHER[1]}"
        )
