"""What every data source does alike, so that a source only lists what it has.

A source returns a `Listing`: the images of each split, not yet read.  From there on the way is
one for all sources: divide what came without splits, keep at most `limit` images, read and
resize, and gather every unreadable file into one error.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pixelbayes.data.errors import DatasetError
from pixelbayes.data.files import BadFile, bad_files_error, image_to_levels, read_images
from pixelbayes.data.images import SPLITS, ImageDataset, LabelledImages
from pixelbayes.data.splits import (
    DEFAULT_FRACTIONS,
    HOLD_OUT_FRACTIONS,
    stratified_split,
    stratified_subset,
)
from pixelbayes.data.transforms import Resize

__all__ = [
    "UNSPLIT",
    "ArrayEntries",
    "Entries",
    "FileEntries",
    "Listing",
    "LoadOptions",
    "Source",
    "labels_tensor",
    "named",
    "numbered",
]

UNSPLIT = "all"
"""Key of a listing's images where the source does not say which of them are for testing."""
LARGEST_CLASS_COUNT = 100_000  # beyond it, labels are surely something else than class numbers


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """What to make of a source's images; the same for every source.

    Raises:
        DatasetError: On construction, if a field has a value that is not accepted.
    """

    image_size: tuple[int, int] | None = None
    """Rows and columns; None: the source's own."""
    channels: int | None = None
    """1 (grey) or 3 (RGB); None: the source's own."""
    filter: str = "bilinear"
    """As in `Resize`."""
    geometry: str = "crop"
    """As in `Resize`."""
    allow_upscaling: bool = False
    """As in `Resize`."""
    crop_margin: int = 0
    """Rows and columns that training images get beyond `image_size`."""
    fractions: Mapping[str, float] | None = None
    """Share of each split; None: 70/15/15 of data in one piece, 90/10 of training images that
    come without validation images."""
    seed: int = 0
    """Decides every split and every choice of images."""
    skip_bad: bool = False
    """Leaves out files that cannot be read, and says so in `ImageDataset.left_out`."""
    limit: int | None = None
    """At most this many images of each split, in the proportions of the classes."""

    def __post_init__(self) -> None:
        if self.channels not in (None, 1, 3):
            raise DatasetError(f"channels is 1 (grey) or 3 (RGB), got {self.channels}")
        if self.crop_margin < 0:
            raise DatasetError(f"crop_margin is 0 or more pixels, got {self.crop_margin}")
        if self.limit is not None and self.limit < 1:
            raise DatasetError(f"limit is a number of images above 0, got {self.limit}")
        fractions = DEFAULT_FRACTIONS if self.fractions is None else self.fractions
        known = {"train", "validation"} <= set(fractions) <= set(SPLITS)
        if not known or min(fractions.values()) <= 0:
            raise DatasetError(
                "fractions are shares above 0 of train, validation and, if wanted, test; "
                f"got {dict(fractions)}"
            )

    def resize(self, native_size: tuple[int, int]) -> Resize:
        """How images get their size, where a source's own is `native_size`."""
        return Resize(
            size=native_size if self.image_size is None else self.image_size,
            filter=self.filter,
            geometry=self.geometry,
            allow_upscaling=self.allow_upscaling,
        )


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
    native_size: tuple[int, int]
    """Rows and columns where nobody asks for others."""
    native_channels: int
    """1 (grey) or 3 (RGB) where nobody asks for the other."""
    left_out: tuple[str, ...] = ()
    """What is there but is not used, each with the reason."""


class Source(ABC):
    """Where images come from.  A new kind of source is a subclass with one method."""

    @abstractmethod
    def listing(self) -> Listing:
        """Lists the images.

        Raises:
            DatasetError: If what is there does not have the source's layout.
        """

    def load(self, options: LoadOptions | None = None) -> ImageDataset:
        """Reads the images.

        Raises:
            DatasetError: If the source cannot be listed or read, or breaks a promise of
                `ImageDataset`.
        """
        options = options or LoadOptions()
        return _load(self.listing(), options)


def _load(listing: Listing, options: LoadOptions) -> ImageDataset:
    channels = options.channels or listing.native_channels
    resize = options.resize(listing.native_size)
    splits: dict[str, LabelledImages] = {}
    bad: list[BadFile] = []
    for name, entries in _divided(listing, options).items():
        if options.limit is not None:
            entries = entries.select(  # noqa: PLW2901
                stratified_subset(entries.labels, options.limit, options.seed)
            )
        margin = options.crop_margin if name == "train" else 0
        larger = dataclasses.replace(
            resize, size=(resize.size[0] + margin, resize.size[1] + margin)
        )
        try:
            levels, kept, unread = entries.read(channels, larger)
        except DatasetError as error:
            raise DatasetError(f"{listing.source}, {name} images: {error}") from error
        bad += unread
        splits[name] = LabelledImages(
            levels, entries.labels[kept], tuple(entries.names[i] for i in kept)
        )
    if bad and not options.skip_bad:
        raise bad_files_error(bad)
    left_out = (*listing.left_out, *(str(file) for file in bad))
    return ImageDataset(listing.source, listing.classes, splits, resize, left_out)


def _divided(listing: Listing, options: LoadOptions) -> dict[str, Entries]:
    """The splits of a listing, made where the source does not say."""
    splits = dict(listing.splits)
    if UNSPLIT in splits:
        whole, fractions = splits.pop(UNSPLIT), options.fractions or DEFAULT_FRACTIONS
    elif "validation" not in splits:
        whole, fractions = splits.pop("train"), _without_test(options.fractions)
    else:
        return splits
    try:
        parts = stratified_split(whole.labels, fractions, options.seed, classes=listing.classes)
    except DatasetError as error:
        raise DatasetError(f"{listing.source}: {error}") from error
    return {**{name: whole.select(indices) for name, indices in parts.items()}, **splits}


def _without_test(fractions: Mapping[str, float] | None) -> Mapping[str, float]:
    if fractions is None:
        return HOLD_OUT_FRACTIONS
    total = fractions["train"] + fractions["validation"]
    return {name: fractions[name] / total for name in ("train", "validation")}


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
