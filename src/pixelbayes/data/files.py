"""One image file becomes levels, and levels become one PNG file.

Whatever a file holds (a palette, transparency, sixteen bits, ink colours, a camera held
sideways), it is brought to 8-bit grey or RGB *before* it is resized, so that the filter
averages colours and not palette numbers, and so that levels are rounded once.  Transparent
images are laid on white.  What has no obvious reading, an animation or floating-point pixels,
is refused by name instead of guessed at (`pixelbayes.data.pixels`).  Colour profiles are not
applied.

Shapes: N images, C channels (1: grey, 3: RGB), H x W pixels.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from pixelbayes.data.errors import DatasetError, enumerate_offenders
from pixelbayes.data.finding import BadFile
from pixelbayes.data.pixels import FORMATS, WHITE, decoded, exact, open_image, plain
from pixelbayes.data.transforms import Resize

__all__ = [
    "ImageFileError",
    "bad_files_error",
    "grid",
    "image_to_levels",
    "naming_file",
    "read_exactly",
    "read_image",
    "read_images",
    "save_png",
    "temporary_file",
    "write_png",
]

SOFTWARE = "pixelbayes"
"""What an image file that is written says of its origin, so that it can be told from others."""
TIFF_HEADERS = (b"II*\0", b"MM\0*")


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


def read_image(path: str | Path, *, channels: int, resize: Resize) -> Tensor:
    """Reads one image file.

    Args:
        path: A PNG, JPEG, BMP, GIF, TIFF, WebP, PPM, PGM or PBM file; the content decides, not
            the suffix.
        channels: 1 turns colours into luma (ITU-R 601), 3 repeats grey in each channel.
        resize: Size of the result.

    Returns:
        Levels, uint8 (C, H, W).

    Raises:
        ImageFileError: If the file is missing, damaged, animated, too small or of a kind that
            has no 8-bit reading.
    """
    path = Path(path)
    with naming_file(path), open_image(path) as image:
        return image_to_levels(decoded(image), channels=channels, resize=resize)


def read_exactly(path: str | Path) -> Image.Image:
    """Reads one image file without changing a pixel: mode L, LA, RGB or RGBA, upright.

    Raises:
        ImageFileError: If it cannot be read, or a PNG file of 8 bits a channel cannot hold it.
    """
    path = Path(path)
    with naming_file(path), open_image(path) as image:
        return exact(image)


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Turns whatever goes wrong with a file into an error that names it.

    Raises:
        ImageFileError: Instead of any other exception.
    """
    try:
        yield
    except DatasetError as error:
        raise ImageFileError(path, str(error)) from error
    except Exception as error:  # a damaged file makes Pillow raise almost any type
        raise ImageFileError(path, _reason(path, error)) from error


@contextmanager
def temporary_file(content: bytes, name: str | Path) -> Iterator[Path]:
    """A file of an image that is none, such as one from a pipe, for as long as it is read.

    Args:
        content: Of the file.
        name: What errors call it.

    Raises:
        ImageFileError: With that name, instead of one with the file's.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "image")
        file.write_bytes(content)
        try:
            yield file
        except ImageFileError as error:
            raise ImageFileError(name, error.reason) from error


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
    """Returns one error that tells of all these files, and once what helps many of them."""
    noun = "image" if len(bad) == 1 else "images"
    told = [(file.path, *file.reason.partition("; ")) for file in bad]
    advice = "".join(f"; {words}" for words in dict.fromkeys(after for *_, after in told) if words)
    return DatasetError(
        f"{len(bad)} {noun} cannot be used (mend or remove them; train, predict, score and "
        "compress go on without them with --skip-bad-files): "
        + enumerate_offenders(f"{path}: {reason}" for path, reason, *_ in told)
        + advice
    )


def image_to_levels(image: Image.Image, *, channels: int, resize: Resize) -> Tensor:
    """Converts a Pillow image to levels: colours first, then size.

    Returns:
        uint8 (C, H, W).

    Raises:
        DatasetError: If the pixels have no 8-bit reading, or the image is too small.
    """
    if channels not in (1, 3):
        raise DatasetError(f"channels is 1 (grey) or 3 (RGB), got {channels}")
    pixels = np.array(resize(plain(image, "L" if channels == 1 else "RGB")))
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
    save_png(Image.fromarray(pixels[:, :, 0] if levels.shape[0] == 1 else pixels), path)


def save_png(image: Image.Image, path: str | Path) -> None:
    """Writes a Pillow image as a PNG file that says what wrote it; missing folders are made."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    origin = PngInfo()
    origin.add_text("Software", SOFTWARE)
    image.save(path, format="PNG", pnginfo=origin)


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


def _reason(path: Path, error: Exception) -> str:
    """Says what is wrong with a file that Pillow failed to read."""
    if path.is_dir():
        return "a folder, not an image file"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnidentifiedImageError):
        return _reason_unidentified(path.read_bytes()[:4])
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _reason_unidentified(header: bytes) -> str:
    if not header:
        return "the file is empty"
    if header in TIFF_HEADERS:
        return (
            "a TIFF file whose kind of samples cannot be read; save the image with 8 bits a "
            "channel, or 16 bits of grey, unsigned"
        )
    return f"not an image in one of the formats {', '.join(FORMATS)}"
