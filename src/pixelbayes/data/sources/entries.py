"""What a source lists: images of each split that are not read yet."""

from __future__ import annotations

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pixelbayes.data.errors import DatasetError
from pixelbayes.data.files import image_to_levels, read_images
from pixelbayes.data.finding import BadFile
from pixelbayes.data.pixels import is_grey, open_image, upright_size
from pixelbayes.data.transforms import Resize

__all__ = [
    "LARGEST_CLASS_COUNT",
    "UNSPLIT",
    "ArrayEntries",
    "Entries",
    "FileEntries",
    "Listing",
    "labels_tensor",
    "named",
    "numbered",
]

UNSPLIT = "all"
"""Key of a listing's images where the source does not say which of them are for testing."""
LARGEST_CLASS_COUNT = 100_000  # beyond it, labels are surely something else than class numbers
DIGEST_BYTES = 16


@dataclass(frozen=True, eq=False)
class Entries(ABC):
    """Images of a split that are not read yet."""

    names: tuple[str, ...]
    """Name of each image."""
    labels: Tensor
    """int64 (N,)."""

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def select(self, indices: Tensor) -> Entries:
        """Returns the entries at these positions."""

    @abstractmethod
    def joined(self, others: Sequence[Any]) -> Entries:
        """Returns these entries and those of others of the same kind, in this order."""

    @abstractmethod
    def digests(self) -> list[str]:
        """BLAKE2b (128 bits) of each original: the bytes of a file, the levels of an array.

        Empty for a file that cannot be read.
        """

    @abstractmethod
    def kinds(self) -> set[tuple[int, int, bool]]:
        """Rows, columns and whether it is grey, of all originals that can be opened."""

    @abstractmethod
    def read(self, channels: int, resize: Resize) -> tuple[Tensor, list[int], list[BadFile]]:
        """Returns levels (N, C, H, W), the positions that they belong to, and the rest.

        Raises:
            DatasetError: If images that all have one size cannot be brought to that of `resize`.
        """


@dataclass(frozen=True, eq=False)
class FileEntries(Entries):
    """Images in files, one each."""

    paths: tuple[Path, ...]
    """The files."""

    def select(self, indices: Tensor) -> FileEntries:
        """Returns the entries at these positions."""
        chosen = indices.tolist()
        return FileEntries(
            tuple(self.names[i] for i in chosen),
            self.labels[indices],
            tuple(self.paths[i] for i in chosen),
        )

    def joined(self, others: Sequence[FileEntries]) -> FileEntries:
        """Returns all these entries; see `Entries.joined`."""
        every = (self, *others)
        return FileEntries(
            tuple(name for entries in every for name in entries.names),
            torch.cat([entries.labels for entries in every]),
            tuple(path for entries in every for path in entries.paths),
        )

    def digests(self) -> list[str]:
        """Digests of the files; see `Entries.digests`."""
        return [_file_digest(path) for path in self.paths]

    def kinds(self) -> set[tuple[int, int, bool]]:
        """Sizes by the headers of the files; see `Entries.kinds`."""
        kinds = set()
        for path in self.paths:
            try:
                with open_image(path) as image:
                    kinds.add((*upright_size(image), is_grey(image)))
            except Exception:  # noqa: S112  # reading it will say what is wrong
                continue
        return kinds

    def read(self, channels: int, resize: Resize) -> tuple[Tensor, list[int], list[BadFile]]:
        """Reads the files; see `Entries.read`."""
        return read_images(self.paths, channels=channels, resize=resize, skip_bad=True)


@dataclass(frozen=True, eq=False)
class ArrayEntries(Entries):
    """Images in memory, all of one size."""

    levels: Tensor
    """uint8 (N, C, H, W)."""

    def select(self, indices: Tensor) -> ArrayEntries:
        """Returns the entries at these positions."""
        chosen = tuple(self.names[i] for i in indices.tolist())
        return ArrayEntries(chosen, self.labels[indices], self.levels[indices])

    def joined(self, others: Sequence[ArrayEntries]) -> ArrayEntries:
        """Returns all these entries; see `Entries.joined`."""
        every = (self, *others)
        return ArrayEntries(
            tuple(name for entries in every for name in entries.names),
            torch.cat([entries.labels for entries in every]),
            torch.cat([entries.levels for entries in every]),
        )

    def digests(self) -> list[str]:
        """Digests of shape and levels; see `Entries.digests`."""
        shape = str(tuple(self.levels.shape[1:])).encode()
        levels = self.levels.contiguous().numpy()
        return [_digest(shape + image.tobytes()) for image in levels]

    def kinds(self) -> set[tuple[int, int, bool]]:
        """The one size; see `Entries.kinds`."""
        channels, rows, columns = self.levels.shape[1:]
        return {(rows, columns, channels == 1)}

    def read(self, channels: int, resize: Resize) -> tuple[Tensor, list[int], list[BadFile]]:
        """Converts what has another size or another number of channels; see `Entries.read`."""
        everything = list(range(len(self)))
        if self.levels.shape[1:] == (channels, *resize.size):
            return self.levels, everything, []
        resize.check_original(*self.levels.shape[2:])
        levels = torch.empty((len(self), channels, *resize.size), dtype=torch.uint8)
        for position, original in enumerate(self.levels):
            image = _to_pillow(original)
            levels[position] = image_to_levels(image, channels=channels, resize=resize)
        return levels, everything, []


@dataclass(frozen=True, eq=False)
class Listing:
    """What a source has."""

    source: str
    """The source as the user named it."""
    classes: tuple[str, ...]
    """Name of each label."""
    splits: Mapping[str, Entries]
    """Images by split, or all of them under `UNSPLIT`."""
    native_size: tuple[int, int] | None = None
    """Rows and columns where nobody asks for others; None: that of the images."""
    native_channels: int | None = None
    """1 (grey) or 3 (RGB) where nobody asks for the other; None: as the images have."""
    left_out: tuple[str, ...] = ()
    """What is there but is not used, each with the reason."""
    decided: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What the source did not say and how it was taken."""


def _to_pillow(levels: Tensor) -> Image.Image:
    pixels = np.ascontiguousarray(levels.permute(1, 2, 0).numpy())
    return Image.fromarray(pixels[:, :, 0] if levels.shape[0] == 1 else pixels)


def named(origin: str, count: int) -> tuple[str, ...]:
    """Names images that have no names of their own: origin/0, origin/1, ..."""
    return tuple(f"{origin}/{position}" for position in range(count))


def numbered(source: Path, highest: int) -> tuple[str, ...]:
    """Names of classes that have only numbers: "0" up to the highest label.

    Raises:
        DatasetError: If no label is 0 or more, or the labels are too large for class numbers.
    """
    if not 0 <= highest < LARGEST_CLASS_COUNT:
        raise DatasetError(
            f"{source}: the highest label is {highest}; training needs labels 0..K-1, with K at "
            f"most {LARGEST_CLASS_COUNT}"
        )
    return tuple(str(label) for label in range(highest + 1))


def labels_tensor(labels: Sequence[int]) -> Tensor:
    """Returns labels as int64 (N,)."""
    return torch.tensor(labels, dtype=torch.int64)


def _file_digest(path: Path) -> str:
    try:
        return _digest(path.read_bytes())
    except OSError:
        return ""


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).hexdigest()
