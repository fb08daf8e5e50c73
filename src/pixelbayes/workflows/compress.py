"""Pictures of any size and mode to an archive and back, through patches of a model's size.

A picture is cut into patches from left to right and from top to bottom, its colours first and then
its transparency.  What reaches over the right or lower edge is not coded.  A model of colours codes
grey (also transparency) by its first channel, as an image whose channels are equal; a grey model
codes red, green and blue as three grey pictures.

Shapes: C channels, H x W pixels of a patch.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath
from typing import BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from pixelbayes.data import BadFile, ImageFileError
from pixelbayes.data.files import bad_files_error, read_exactly, temporary_file
from pixelbayes.inference.cached.tiles import one_thread_each
from pixelbayes.inference.codec import CodecError, Extents, TileCodec, shortest_conditions
from pixelbayes.models import Model, PixelBayes
from pixelbayes.models.storage import bytes_of
from pixelbayes.workflows.archive import MODES, ArchiveReader, ArchiveWriter, Origin, Picture
from pixelbayes.workflows.stream import Progress

__all__ = ["Compressed", "Source", "compress", "decompressed", "require_coder", "sources_of"]

WIDTHS = (4, 16, 64)
"""Patches of a tile: wide ones are faster and waste less on their end."""

OTHER_ARITHMETIC = (
    "this machine computes other last digits than the one that compressed it; use the same kind of "
    "processor and the same version of PyTorch"
)

Pixels = npt.NDArray[np.uint8]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Source:
    """An image to compress.

    Attributes:
        name: Relative path that it gets when it is decompressed, with slashes.
        content: Its file.
    """

    name: str
    content: Path | bytes

    def read(self) -> Image.Image:
        """The picture, exactly.

        Raises:
            ImageFileError: If it cannot be read or kept exactly.
        """
        if isinstance(self.content, Path):
            return read_exactly(self.content)
        with temporary_file(self.content, self.name) as file:
            return read_exactly(file)


@dataclass(frozen=True)
class Compressed:
    """What became of some pictures.

    Attributes:
        pictures: How many.
        numbers: Levels of all their channels.
        payload: Bytes of the codes.
        total: Bytes of the file: with names, sizes and checks.
        bad: Files that were left out.
    """

    pictures: int
    numbers: int
    payload: int
    total: int
    bad: tuple[BadFile, ...] = ()

    @property
    def bits_per_dim(self) -> float:
        """Of the payload."""
        return 8 * self.payload / self.numbers


@dataclass(frozen=True)
class _Place:
    """Where a patch lies in its picture."""

    channels: slice
    rows: slice
    columns: slice

    @property
    def count(self) -> int:
        """Number of channels: those of the model, or one."""
        return int(self.channels.stop - self.channels.start)


def sources_of(
    given: Sequence[str], images: Sequence[Path], content: dict[Path, bytes]
) -> list[Source]:
    """Names for images, as they lie in the folders that were given, with the suffix .png.

    Args:
        given: Arguments of a command.
        images: The images that they stand for.
        content: Of those that are no files.

    Raises:
        CodecError: If two images would have the same name, or one that of another's folder.
    """
    folders = [Path(text) for text in given if Path(text).is_dir()]
    names: dict[str, Path] = {}
    plain = [_relative(path, folders) for path in images]
    shortened = [name.with_suffix(".png").as_posix() for name in plain]
    times, sources = Counter(shortened), []
    inside = {
        parent.as_posix(): path
        for path, name in zip(images, plain, strict=True)
        for parent in name.parents
    }
    for path, name, short in zip(images, plain, shortened, strict=True):
        own = times[short] == 1 and short not in inside
        unique = short if own else f"{name.as_posix()}.png"
        clash = None
        if unique in names:
            clash = f"{path} and {names[unique]} would both be called {unique}"
        elif unique in inside:
            clash = f"{path} would be called {unique}, as the folder of {inside[unique]}"
        if clash is not None:
            raise CodecError(
                f"{clash}; compress their common folder, or each into a file of its own"
            )
        names[unique] = path
        sources.append(Source(unique, content.get(path, path)))
    return sources


def _relative(path: Path, folders: Sequence[Path]) -> PurePath:
    inside = [
        folder
        for folder in folders
        if path.is_relative_to(folder) and ".." not in path.relative_to(folder).parts
    ]
    if inside:
        return path.relative_to(inside[0])
    return PurePath(path.name if path.name not in ("", "-") else "stdin")


def require_coder(model: Model) -> PixelBayes:
    """The model, if its likelihood can code images.

    Raises:
        CodecError: If it cannot.
    """
    if not isinstance(model, PixelBayes):
        raise CodecError(
            f"a {model.noun} has no likelihood to code pixel by pixel; name a PixelCNN with --model"
        )
    return model


def compress(
    model: PixelBayes,
    sources: Sequence[Source],
    file: BinaryIO,
    *,
    name: str,
    label: int | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Compressed:
    """Writes an archive.

    Memory holds some tiles and the picture at hand, whatever the number of pictures.

    Args:
        model: On the CPU.
        sources: The images.
        file: Open for writing bytes.
        name: Of the model, for the archive's head.
        label: The class of all images; None: the one that makes the shortest code, for each patch.
        skip_bad: Whether files that cannot be read are left out, instead of an error.
        progress: Called with what is being done and the numbers of patches done and in all.

    Raises:
        DatasetError: If files cannot be read, or not be kept exactly; before anything is written.
        CodecError: If there is nothing to compress.
    """
    kept, bad, patches = _checked(model, sources, progress)
    if bad and (not skip_bad or not kept):
        raise bad_files_error(bad)
    if not kept:
        raise CodecError("no images to compress")
    width = next((width for width in WIDTHS if width >= patches), WIDTHS[-1])
    codec = TileCodec(model.network, _log_prior(model, label), width)
    pictures: list[Picture] = []
    numbers = done = 0

    def cut() -> Iterator[tuple[Tensor, _Place]]:
        nonlocal numbers
        for source in kept:
            image = source.read()
            pixels = np.asarray(image).reshape(image.height, image.width, -1)
            picture = Picture(
                name=source.name,
                mode=image.mode,
                height=image.height,
                width=image.width,
                crc=zlib.crc32(pixels.tobytes()),
            )
            pictures.append(picture)
            numbers += pixels.size
            for place in _places(picture, model):
                yield _patch(pixels, place, model), place

    def coded(tile: list[tuple[Tensor, _Place]]) -> bytes:
        levels = torch.stack([patch for patch, _ in tile])
        extents = _extents([place for _, place in tile])
        if label is None:
            conditions = shortest_conditions(model.network, levels, extents, model.log_prior)
        else:
            conditions = torch.full((len(levels),), label)
        return codec.encode(levels, extents, conditions)

    with one_thread_each(torch.get_num_threads()) as each:
        (arithmetic,) = each(lambda _: codec.fingerprint(), [None])
        writer = ArchiveWriter(
            file,
            Origin(
                model=name,
                weights=weights_digest(model),
                arithmetic=arithmetic,
                width=width,
                label=-1 if label is None else label,
            ),
        )
        for tiles in _chunked(_chunked(cut(), width), torch.get_num_threads()):
            for code in each(coded, tiles):
                writer.add(code)
            done += sum(map(len, tiles))
            if progress is not None:
                progress("compressing", done, patches)
    total = writer.finish(pictures)
    return Compressed(len(pictures), numbers, writer.payload, total, tuple(bad))


def decompressed(
    model: PixelBayes, reader: ArchiveReader, progress: Progress | None = None
) -> Iterator[tuple[Picture, Image.Image]]:
    """The pictures of an archive, one by one, each compared with its sum.

    Args:
        model: The one that wrote the archive, on the CPU.
        reader: The archive.
        progress: As for `compress`.

    Raises:
        CodecError: If the model or this machine's arithmetic is another one, or a picture does not
            come out as it went in.
    """
    origin = reader.origin
    if origin.weights != weights_digest(model):
        raise CodecError(
            f"{reader.name} was compressed with another model, {origin.model} (SHA-256 of its "
            f"weights {origin.weights[:16]}...); name that one with --model"
        )
    if not (1 <= origin.width <= max(WIDTHS) and -1 <= origin.label < len(model.classes)):
        raise CodecError(f"{reader.name} is not as this program writes it: its head is {origin}")
    label = None if origin.label < 0 else origin.label
    codec = TileCodec(model.network, _log_prior(model, label), origin.width)
    patches = sum(1 for picture in reader.pictures for _ in _places(picture, model))
    decoded, done = _decoded(codec, model, reader), 0
    for picture in reader.pictures:
        pixels = np.zeros((picture.height, picture.width, MODES[picture.mode]), np.uint8)
        for place in _places(picture, model):
            rows, columns = pixels[place.rows, place.columns].shape[:2]
            patch = next(decoded)[:, :rows, :columns].permute(1, 2, 0).numpy()
            pixels[place.rows, place.columns, place.channels] = patch[..., : place.count]
            done += 1
            if progress is not None:
                progress("decompressing", done, patches)
        if zlib.crc32(pixels.tobytes()) != picture.crc:
            raise CodecError(
                f"{picture.name} of {reader.name} does not come out as it went in: "
                f"{OTHER_ARITHMETIC}"
            )
        yield picture, Image.fromarray(pixels[..., 0] if picture.mode == "L" else pixels)
    if next(decoded, None) is not None:
        raise CodecError(f"{reader.name} is not as this program writes it: it has tiles left")


def _decoded(codec: TileCodec, model: PixelBayes, reader: ArchiveReader) -> Iterator[Tensor]:
    """The patches of an archive in their order, (C, H, W), some tiles at once."""

    def decode(tile: tuple[list[_Place], bytes]) -> Tensor:
        places, code = tile
        return codec.decode(code, _extents(places))

    placed = (place for picture in reader.pictures for place in _places(picture, model))
    threads = torch.get_num_threads()
    with one_thread_each(threads) as each:
        if each(lambda _: codec.fingerprint(), [None]) != [reader.origin.arithmetic]:
            raise CodecError(f"{reader.name} cannot be decompressed here: {OTHER_ARITHMETIC}")
        try:
            tiles = zip(_chunked(placed, codec.width), reader.tiles(), strict=True)
            for group in _chunked(tiles, threads):
                for patches in each(decode, group):
                    yield from patches
        except ValueError as error:
            if isinstance(error, CodecError):
                raise
            raise CodecError(f"{reader.name} is not as this program writes it: {error}") from error


def weights_digest(model: PixelBayes) -> str:
    """SHA-256 of a model's weights, hexadecimal."""
    return hashlib.sha256(bytes_of(model.to_stored().weights)).hexdigest()


def _checked(
    model: PixelBayes, sources: Sequence[Source], progress: Progress | None
) -> tuple[list[Source], list[BadFile], int]:
    """Which images can be read, which cannot, and the number of patches of the first."""
    kept, bad, patches = [], [], 0
    for number, source in enumerate(sources, start=1):
        try:
            image = source.read()
        except ImageFileError as error:
            bad.append(BadFile(error.path, error.reason))
        else:
            kept.append(source)
            picture = Picture(
                name=source.name, mode=image.mode, height=image.height, width=image.width, crc=0
            )
            patches += sum(1 for _ in _places(picture, model))
        if progress is not None:
            progress("checking", number, len(sources))
    return kept, bad, patches


def _log_prior(model: PixelBayes, label: int | None) -> Tensor:
    if label is None:
        return model.log_prior
    return torch.where(torch.arange(len(model.classes)) == label, 0.0, -torch.inf).double()


def _places(picture: Picture, model: PixelBayes) -> Iterator[_Place]:
    """The patches of a picture in the order of an archive."""
    channels = MODES[picture.mode]
    colours = channels - 1 if picture.mode.endswith("A") else channels
    groups = [slice(channel, channel + 1) for channel in range(channels)]
    if model.channels == colours:
        groups = [slice(0, colours), *groups[colours:]]
    height, width = model.image_size
    for group in groups:
        for top in range(0, picture.height, height):
            for left in range(0, picture.width, width):
                yield _Place(
                    group,
                    slice(top, min(top + height, picture.height)),
                    slice(left, min(left + width, picture.width)),
                )


def _patch(pixels: Pixels, place: _Place, model: PixelBayes) -> Tensor:
    """What lies at a place, uint8, (C, H, W), zero where the picture has ended."""
    height, width = model.image_size
    there = pixels[place.rows, place.columns, place.channels]
    patch = np.zeros((height, width, place.count), np.uint8)
    patch[: there.shape[0], : there.shape[1]] = there
    levels = torch.from_numpy(patch).permute(2, 0, 1)
    return levels.expand(model.channels, -1, -1)


def _extents(places: Sequence[_Place]) -> Extents:
    return Extents(
        torch.tensor([place.rows.stop - place.rows.start for place in places]),
        torch.tensor([place.columns.stop - place.columns.start for place in places]),
        torch.tensor([place.count == 1 for place in places]),
    )


def _chunked(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
