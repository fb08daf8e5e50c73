"""One image file becomes levels, and levels become one PNG file.

Whatever a file holds (a palette, transparency, sixteen bits, ink colours, a camera held
sideways), it is brought to 8-bit grey or RGB *before* it is resized, so that the filter
averages colours and not palette numbers, and so that levels are rounded once.  Transparent
images are laid on white.  What has no obvious reading, an animation or floating-point pixels,
is refused by name instead of guessed at.  Colour profiles are not applied, and colour files of
sixteen bits a channel lose their low byte, as in Pillow.

Shapes: N images, C channels (1: grey, 3: RGB), H x W pixels.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from pixelbayes.data.errors import DatasetError, enumerate_offenders
from pixelbayes.data.transforms import Resize

__all__ = [
    "IMAGE_SUFFIXES",
    "BadFile",
    "ImageFileError",
    "bad_files_error",
    "find_images",
    "grid",
    "image_to_levels",
    "read_image",
    "read_images",
    "write_png",
]

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# Named, because Pillow would also open formats that start other programs (EPS).
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
PLAIN_MODES = ("1", "L", "P", "PA", "LA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
# Mode I means 32 bits, but in these formats there are never more than sixteen.
SIXTEEN_BITS_AS_MODE_I = ("PNG", "PPM")
WHITE = 255


class ImageFileError(DatasetError):
    """An image file cannot be read.

    Attributes:
        path: The file.
        reason: What is wrong with it.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageFileError], tuple[Path, str]]:
        return type(self), (self.path, self.reason)


@dataclass(frozen=True)
class BadFile:
    """A file that was left out, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def read_image(path: str | Path, *, channels: int, resize: Resize) -> Tensor:
    """Reads one image file.

    Args:
        path: A PNG, JPEG, BMP, GIF, TIFF, WebP, PPM or PGM file; the content decides, not the
            suffix.
        channels: 1 turns colours into luma (ITU-R 601), 3 repeats grey in each channel.
        resize: Size of the result.

    Returns:
        Levels, uint8 (C, H, W).

    Raises:
        ImageFileError: If the file is missing, damaged, animated, too small or of a kind that
            has no 8-bit reading.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                return image_to_levels(_decoded(image), channels=channels, resize=resize)
    except DatasetError as error:
        raise ImageFileError(path, str(error)) from error
    except Exception as error:  # a damaged file makes Pillow raise almost any type
        raise ImageFileError(path, _reason(path, error)) from error


def read_images(
    paths: Sequence[str | Path],
    *,
    channels: int,
    resize: Resize,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Tensor, list[int], list[BadFile]]:
    """Reads many image files.

    Args:
        paths: The files.
        channels: As for `read_image`.
        resize: As for `read_image`.
        skip_bad: Leaves out files that cannot be read, instead of raising an error.
        progress: Called after each file with the numbers of files done and in all.

    Returns:
        Levels, uint8 (N, C, H, W), the positions in `paths` of these N images, and the files
        left out.

    Raises:
        DatasetError: If files cannot be read and `skip_bad` is off: one error for all of them.
    """
    levels = torch.empty((len(paths), channels, *resize.size), dtype=torch.uint8)
    kept: list[int] = []
    bad: list[BadFile] = []
    for position, path in enumerate(paths):
        try:
            levels[len(kept)] = read_image(path, channels=channels, resize=resize)
            kept.append(position)
        except ImageFileError as error:
            bad.append(BadFile(error.path, error.reason))
        if progress is not None:
            progress(position + 1, len(paths))
    if bad and not skip_bad:
        raise bad_files_error(bad)
    return levels[: len(kept)], kept, bad


def bad_files_error(bad: Sequence[BadFile]) -> DatasetError:
    """Returns one error that tells of all these files."""
    noun = "image" if len(bad) == 1 else "images"
    return DatasetError(
        f"{len(bad)} {noun} cannot be read (pass --skip-bad-files to go on without them): "
        + enumerate_offenders(bad)
    )


def find_images(path: str | Path) -> tuple[list[Path], list[Path]]:
    """Finds the image files of a folder and of the folders in it.

    Hidden files and folders (a name that starts with a dot) are passed over.

    Args:
        path: A folder, or a single image file.

    Returns:
        Image files, recognised by suffix, and the other files; both sorted.

    Raises:
        DatasetError: If the path does not exist, or is a file without an image suffix.
    """
    path = Path(path)
    if path.is_file():
        if not _has_image_suffix(path):
            raise DatasetError(
                f"{path} is not an image file; accepted suffixes: {', '.join(IMAGE_SUFFIXES)}"
            )
        return [path], []
    if not path.is_dir():
        raise DatasetError(
            f"{path} does not exist; pass an image file or a folder of images "
            f"(relative paths start at {Path.cwd()})"
        )
    images: list[Path] = []
    others: list[Path] = []
    seen: set[str] = set()  # a link may lead back to a folder above it
    for folder, subfolders, files in os.walk(path, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                file = Path(folder, name)
                (images if _has_image_suffix(file) else others).append(file)
    return sorted(images), sorted(others)


def image_to_levels(image: Image.Image, *, channels: int, resize: Resize) -> Tensor:
    """Converts a Pillow image to levels: colours first, then size.

    Returns:
        uint8 (C, H, W).

    Raises:
        DatasetError: If the pixels have no 8-bit reading, or the image is too small.
    """
    if channels not in (1, 3):
        raise DatasetError(f"channels is 1 (grey) or 3 (RGB), got {channels}")
    pixels = np.array(resize(_plain(image, "L" if channels == 1 else "RGB")))
    # (H, W) of a grey image becomes (H, W, 1)
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels)).permute(2, 0, 1)


def write_png(levels: Tensor, path: str | Path) -> None:
    """Writes an image as a PNG file that holds exactly these levels.

    Args:
        levels: uint8 (C, H, W), C = 1 or 3.
        path: The file; missing folders are made.

    Raises:
        TypeError: If the levels are not uint8.
        DatasetError: If the shape is another one.
    """
    if levels.dtype != torch.uint8:
        raise TypeError(f"levels are torch.uint8, 0..255, got {levels.dtype}")
    if levels.ndim != 3 or levels.shape[0] not in (1, 3):
        raise DatasetError(f"an image is (C, H, W) with C = 1 or 3, got {tuple(levels.shape)}")
    pixels = levels.detach().cpu().permute(1, 2, 0).contiguous().numpy()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[:, :, 0] if levels.shape[0] == 1 else pixels).save(path, format="PNG")


def grid(levels: Tensor, columns: int, pad: int = 2) -> Tensor:
    """Lays images out row by row on white.

    >>> grid(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), columns=2).shape
    torch.Size([1, 22, 22])

    Args:
        levels: uint8 (N, C, H, W).
        columns: Images in a row.
        pad: White pixels between images and around them.

    Returns:
        uint8 (C, H', W'), with H' = rows (H + pad) + pad, and likewise W'.

    Raises:
        DatasetError: If there are no images, no columns, or a negative pad.
    """
    if levels.ndim != 4 or len(levels) == 0 or columns < 1 or pad < 0:
        raise DatasetError(
            "a grid needs images (N, C, H, W) with N > 0, columns > 0 and pad >= 0, got "
            f"{tuple(levels.shape)}, columns={columns}, pad={pad}"
        )
    count, channels, height, width = levels.shape
    rows = -(-count // columns)
    mosaic = levels.new_full(
        (channels, rows * (height + pad) + pad, columns * (width + pad) + pad), WHITE
    )
    for position, image in enumerate(levels):
        top = pad + position // columns * (height + pad)
        left = pad + position % columns * (width + pad)
        mosaic[:, top : top + height, left : left + width] = image
    return mosaic


def _decoded(image: Image.Image) -> Image.Image:
    """The only picture of an open file, turned the way the camera was held."""
    frames = getattr(image, "n_frames", 1)
    # A camera's MPO file holds the photograph first and then its previews: not an animation.
    if frames > 1 and image.format != "MPO":
        raise DatasetError(f"animated, {frames} frames; save the frame that is meant as one image")
    image.load()
    file_format = image.format
    upright = ImageOps.exif_transpose(image)
    if upright.mode in SIXTEEN_BIT_MODES or (
        upright.mode == "I" and file_format in SIXTEEN_BITS_AS_MODE_I
    ):
        wide = np.asarray(upright).astype(np.uint32)
        # round(v / 257), because 65535 = 257 * 255; 257 is odd, so there are no ties
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    return upright


def _plain(image: Image.Image, mode: str) -> Image.Image:
    """The image in mode L or RGB, transparency laid on white."""
    if image.mode not in PLAIN_MODES:
        raise DatasetError(
            f"pixels of mode {image.mode!r} have no fixed range; save the image with 8 bits a "
            "channel, or 16 bits of grey"
        )
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        backdrop = Image.new("RGBA", image.size, (WHITE, WHITE, WHITE, WHITE))
        image = Image.alpha_composite(backdrop, coloured).convert("RGB")
    if image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _reason(path: Path, error: Exception) -> str:
    """Says what is wrong with a file that Pillow failed to read."""
    if path.is_dir():
        return "a folder, not an image file"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnidentifiedImageError):
        if path.stat().st_size == 0:
            return "the file is empty"
        return f"not an image in one of the formats {', '.join(FORMATS)}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _has_image_suffix(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES
