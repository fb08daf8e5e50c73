"""What the page accepts, and reading an upload within that.

A page that several people use is protected by numbers: bytes and pixels of an upload, files of a
folder, images of one drawing, people who wait.  Whatever is wrong with a file becomes a sentence
that names it as its owner does, not by where the server keeps it.

Shapes: C channels, H x W pixels.  Levels are uint8, 0..255.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from pixelbayes.data import ImageFileError
from pixelbayes.data.files import image_to_levels, naming_file
from pixelbayes.data.pixels import decoded, open_image, plain
from pixelbayes.errors import PixelBayesError
from pixelbayes.models import Model

__all__ = ["Limits", "Photo", "read_photo"]

PREVIEW = 480  # pixels of the longer side: sharp on a telephone's screen


@dataclass(frozen=True)
class Limits:
    """What the page accepts; everything beyond gets a sentence."""

    upload_bytes: int = 25 << 20
    """Of one file."""
    pixels: int = 50_000_000
    """Of one image: three bytes each while it is read."""
    files: int = 300
    """Of one folder."""
    images: int = 16
    """Of one drawing: a tile of the sampler, which costs the same whether it is full."""
    at_once: int = 2
    """Computations at a time; the others wait."""
    waiting: int = 24
    """Requests that may wait."""


@dataclass(frozen=True, eq=False)
class Photo:
    """An image as a person sees it, and as the model does."""

    name: str
    levels: Tensor
    """uint8 (C, H, W), at the model's size."""
    size: tuple[int, int]
    """Rows and columns of the original."""
    preview: str
    """The original, made small, as a data URI."""


def read_photo(path: str | Path, model: Model, limits: Limits) -> Photo:
    """Reads an uploaded image.

    Args:
        path: Where the upload lies.
        model: Whose size and channels the levels get.
        limits: What is accepted.

    Raises:
        PixelBayesError: If it is too large or cannot be read: one sentence with the name.
    """
    path = Path(path)
    if path.is_file() and (size := path.stat().st_size) > limits.upload_bytes:
        raise PixelBayesError(
            f"{path.name}: the file has {size / (1 << 20):.0f} MB; this page takes up to "
            f"{limits.upload_bytes >> 20} MB. Save it smaller and try again."
        )
    try:
        with naming_file(path), open_image(path) as image:
            _require_fitting(image, limits)
            picture = decoded(image)
            levels = image_to_levels(picture, channels=model.channels, resize=model.resize)
            rows_columns = (picture.height, picture.width)
            return Photo(path.name, levels, rows_columns, _preview(picture))
    except ImageFileError as error:
        raise PixelBayesError(f"{path.name}: {error.reason}") from error


def _require_fitting(image: Image.Image, limits: Limits) -> None:
    """Looks at the header alone: nothing is decoded yet."""
    pixels = image.width * image.height
    if pixels > limits.pixels:
        raise PixelBayesError(
            f"{image.width} x {image.height} are {pixels / 1e6:.0f} million pixels; this page "
            f"takes up to {limits.pixels / 1e6:.0f} million. Save it smaller and try again."
        )


def _preview(picture: Image.Image) -> str:
    small = plain(picture, "RGB")
    small.thumbnail((PREVIEW, PREVIEW))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
