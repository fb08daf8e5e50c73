"""What every data source does alike, so that a source only lists what it has.

A source returns a `Listing`: the images of each split, not yet read.  From there on the way is
one for all sources: divide what came without splits, keep at most `limit` images, read and
resize, gather every unreadable file into one error, look for near-duplicates, and record which
file went where.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelbayes.data.duplicates import SMALLEST_SIDE, across_splits
from pixelbayes.data.errors import DatasetError, DatasetWarning, enumerate_offenders
from pixelbayes.data.files import bad_files_error
from pixelbayes.data.finding import BadFile
from pixelbayes.data.images import SPLITS, ImageDataset, LabelledImages
from pixelbayes.data.naming import whole_number
from pixelbayes.data.records import SplitChanges, SplitRecord
from pixelbayes.data.sources.entries import UNSPLIT, Entries, Listing
from pixelbayes.data.sources.from_record import as_recorded, in_classes, present_files
from pixelbayes.data.sources.together import groups_of, kept_together, split_together
from pixelbayes.data.splits import (
    DEFAULT_FRACTIONS,
    HOLD_OUT_FRACTIONS,
    stratified_part,
    stratified_split,
    stratified_subset,
)
from pixelbayes.data.transforms import Resize, with_border

__all__ = ["NEAR_DUPLICATES", "LoadOptions", "Source"]

NEAR_DUPLICATES = ("tell", "keep-together", "drop", "ignore")
STUDY_SIZE = (32, 32)  # rows and columns where images have no one size of their own
LARGEST_OWN_SIZE = 64  # rows or columns; a photograph's own size would take days to learn


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
    """Rows and columns that training images get beyond `image_size`: they are resized to the larger
    size, or, where all of them have `image_size` itself, get a border of mirrored edges."""
    fractions: Mapping[str, float] | None = None
    """Share of each split; None: 70/15/15 of data in one piece, 90/10 of training images that
    come without validation images."""
    seed: int = 0
    """Decides every split and every choice of images."""
    skip_bad: bool = False
    """Leaves out files that cannot be read, and says so in `ImageDataset.left_out`."""
    limit: int | None = None
    """At most this many images of each split, in the proportions of the classes."""
    train_limit: int | None = None
    """At most this many training images, in the proportions of the classes; the other splits stay
    whole."""
    set_aside: int | None = None
    """So many training images, in the proportions of the classes, take the place of the validation
    images, on which settings that are chosen are then not measured."""
    near_duplicates: str = "tell"
    """Of images of different splits: tell (a warning), keep-together (where the splits are made
    here, each group is in one of them), drop (leave them out of the training split, or of
    validation where the other is a test image), or ignore."""

    def __post_init__(self) -> None:
        if self.channels not in (None, 1, 3):
            raise DatasetError(f"channels is 1 (grey) or 3 (RGB), got {self.channels}")
        for field, least, what in (
            ("crop_margin", 0, "crop_margin is 0 or more pixels"),
            ("seed", 0, "seed is a whole number, 0 or more"),
            ("limit", 1, "limit is a number of images above 0"),
            ("train_limit", 1, "train_limit is a number of images above 0"),
            ("set_aside", 1, "set_aside is a number of images above 0"),
        ):
            if (value := getattr(self, field)) is not None:
                object.__setattr__(self, field, whole_number(value, what, least=least))
        if self.near_duplicates not in NEAR_DUPLICATES:
            raise DatasetError(
                f"unknown near_duplicates {self.near_duplicates!r}; choose one of: "
                + ", ".join(NEAR_DUPLICATES)
            )
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


class Source(ABC):
    """Where images come from.  A new kind of source is a subclass with one method."""

    @abstractmethod
    def listing(self) -> Listing:
        """Lists the images.

        Raises:
            DatasetError: If what is there does not have the source's layout.
        """

    def load(
        self,
        options: LoadOptions | None = None,
        *,
        record: SplitRecord | None = None,
        whole: Sequence[str] | None = None,
    ) -> ImageDataset:
        """Reads the images.

        Args:
            options: What to make of them.
            record: Splits to keep to, from `ImageDataset.record`: each file goes where it went
                then, and files that are new or have changed are left out and told.  None:
                splits are made by `options`.
            whole: Classes of a model that is to be measured on the images, which may have some of
                them only: what comes without splits is one split, "test".

        Raises:
            DatasetError: If the source cannot be listed or read, or breaks a promise of
                `ImageDataset`, none of the training files of the record is there, or an image is
                of none of the classes of `whole`.
        """
        options, listing = options or LoadOptions(), self.listing()
        if whole is not None and UNSPLIT in listing.splits:
            listing = in_classes(listing, whole)
            return _load(listing, {"test": listing.splits[UNSPLIT]}, options)
        if record is None:
            listing, divided = _set_aside(listing, _divided(listing, options), options)
            return _load(listing, _limited(divided, options), options)
        return _load(*as_recorded(listing, record), options, given=record)

    def changes(self, record: SplitRecord) -> SplitChanges:
        """Finds how the files differ from those of a record, without decoding them.

        Raises:
            DatasetError: If the source cannot be listed.
        """
        listing = self.listing()
        return record.compare(present_files(listing.splits.values(), record))


def _load(
    listing: Listing,
    divided: Mapping[str, Entries],
    options: LoadOptions,
    given: SplitRecord | None = None,
) -> ImageDataset:
    size, channels, decided = _form(listing, divided, options)
    resize = options.resize(size)
    splits: dict[str, LabelledImages] = {}
    digests: dict[str, str] = {}
    bad: list[BadFile] = []
    for name, entries in divided.items():
        margin = options.crop_margin if name == "train" else 0
        rows, columns = resize.size
        bordered = margin > 0 and {kind[:2] for kind in entries.kinds()} == {resize.size}
        larger = dataclasses.replace(resize, size=(rows + margin, columns + margin))
        try:
            levels, kept, unread = entries.read(channels, resize if bordered else larger)
        except DatasetError as error:
            raise DatasetError(f"{listing.source}, {name} images: {error}") from error
        if bordered:
            levels = with_border(levels, margin)
            decided["crop_margin"] = (
                f"{margin}, a border of mirrored edges, because the training images have the size "
                f"of the network, {rows} x {columns}"
            )
        bad += unread
        splits[name] = LabelledImages(
            levels, entries.labels[kept], tuple(entries.names[i] for i in kept)
        )
        digests.update(zip(entries.names, entries.digests(), strict=True))
    if bad and not options.skip_bad:
        raise bad_files_error(bad)
    left_out = [*listing.left_out, *(str(file) for file in bad)]
    if options.near_duplicates != "tell" and given is None and min(size) < SMALLEST_SIDE:
        decided["near_duplicates"] = (
            f"only images with identical pixels are found, because {size[0]} x {size[1]} pixels "
            f"are too few to tell alike from different; {SMALLEST_SIDE} x {SMALLEST_SIDE} are the "
            "least"
        )
    if options.near_duplicates != "ignore" and given is None:
        pairs = across_splits({name: images.levels for name, images in splits.items()})
        if options.near_duplicates == "drop":
            left_out += _drop(splits, [*pairs, *_identical(splits)])
        elif pairs:
            _warn_of_near_duplicates(listing.source, splits, pairs)
    used = {
        name: {image: digests[image] for image in images.names} for name, images in splits.items()
    }
    chosen = {image for images in used.values() for image in images}
    unused = (n for entries in listing.splits.values() for n in entries.names if n not in chosen)
    return ImageDataset(
        listing.source,
        listing.classes,
        splits,
        resize,
        tuple(left_out),
        decided={**listing.decided, **decided},
        record=SplitRecord(listing.source, listing.classes, used, tuple(unused)),
    )


def _form(
    listing: Listing, divided: Mapping[str, Entries], options: LoadOptions
) -> tuple[tuple[int, int], int, dict[str, str]]:
    """Rows and columns, channels, and what of these was decided here and why."""
    decided: dict[str, str] = {}
    size, channels = options.image_size or listing.native_size, options.channels
    channels = channels or listing.native_channels
    if size is not None and channels is not None:
        return size, channels, decided
    kinds = {kind for entries in divided.values() for kind in entries.kinds()}
    if size is None:
        sizes = sorted({(rows, columns) for rows, columns, _ in kinds})
        size, words = STUDY_SIZE, "no image can be opened"
        if len(sizes) == 1 and max(sizes[0]) <= LARGEST_OWN_SIZE:
            size, words = sizes[0], "the size of every image"
        elif sizes:
            words = "the study's size, because the images are " + _range_of(sizes)
        decided["image_size"] = f"{size[0]} x {size[1]}, {words}"
    if channels is None:
        grey = bool(kinds) and all(kind[2] for kind in kinds)
        channels = 1 if grey else 3
        decided["channels"] = "1, every image is grey" if grey else "3, there are colour images"
    return size, channels, decided


def _range_of(sizes: Sequence[tuple[int, int]]) -> str:
    smallest, largest = min(sizes, key=math.prod), max(sizes, key=math.prod)
    if len(sizes) == 1:
        return f"{largest[0]} x {largest[1]}, above {LARGEST_OWN_SIZE}"
    return f"from {smallest[0]} x {smallest[1]} to {largest[0]} x {largest[1]}"


def _limited(splits: Mapping[str, Entries], options: LoadOptions) -> dict[str, Entries]:
    limited = {}
    for name, entries in splits.items():
        limits = [(options.limit, "limit")]
        limits += [(options.train_limit, "train_limit")] * (name == "train")
        given = [(limit, option) for limit, option in limits if limit is not None]
        if not given:
            limited[name] = entries
            continue
        limit, option = min(given)
        chosen = stratified_subset(entries.labels, limit, options.seed, option=option)
        limited[name] = entries.select(chosen)
    return limited


def _set_aside(
    listing: Listing, splits: Mapping[str, Entries], options: LoadOptions
) -> tuple[Listing, dict[str, Entries]]:
    """The splits with some of the training images in the place of the validation images."""
    wanted = options.set_aside
    if wanted is None:
        return listing, dict(splits)
    train = splits["train"]
    chosen = stratified_part(train.labels, wanted, options.seed)
    kept = torch.ones(len(train), dtype=torch.bool)
    kept[chosen] = False
    parts = {"train": kept.nonzero()[:, 0], "validation": chosen}
    if options.near_duplicates == "keep-together":
        parts = kept_together(parts, _groups(listing, train, options))
    if (taken := len(parts["validation"])) != wanted:
        words = f"{taken} images, not {wanted}, because near-duplicates are kept together"
        listing = dataclasses.replace(listing, decided={**listing.decided, "set_aside": words})
    return listing, {**splits, **{name: train.select(its) for name, its in parts.items()}}


def _identical(splits: Mapping[str, LabelledImages]) -> Iterator[tuple[str, int, str, int]]:
    """Images of different splits with equal pixels, whatever their size, as `across_splits`."""
    places: dict[bytes, list[tuple[str, int]]] = {}
    for name, images in splits.items():
        for index, image in enumerate(images.levels):
            pixels = image.contiguous().numpy().tobytes()
            earlier = places.setdefault(hashlib.blake2b(pixels, digest_size=16).digest(), [])
            yield from ((*place, name, index) for place in earlier if place[0] != name)
            earlier.append((name, index))


def _drop(
    splits: dict[str, LabelledImages], pairs: Sequence[tuple[str, int, str, int]]
) -> list[str]:
    """Removes the earlier image of each pair from its split; returns what was removed and why."""
    reasons = {
        (earlier, left): (
            f"{splits[earlier].names[left]} ({earlier}): a near-duplicate of "
            f"{splits[later].names[right]} ({later})"
        )
        for earlier, left, later, right in pairs
    }
    for split, images in list(splits.items()):
        kept = [index for index in range(len(images)) if (split, index) not in reasons]
        if len(kept) < len(images):
            splits[split] = images.select(kept)
    return list(reasons.values())


def _warn_of_near_duplicates(
    source: str,
    splits: Mapping[str, LabelledImages],
    pairs: Sequence[tuple[str, int, str, int]],
) -> None:
    different = [
        f"{splits[earlier].names[left]} ({earlier}) ~ {splits[later].names[right]} ({later})"
        for earlier, left, later, right in pairs
        if not torch.equal(splits[earlier].levels[left], splits[later].levels[right])
    ]
    if different:  # equal ones are told by `ImageDataset`
        warnings.warn(
            f"{source}: images of different splits are nearly the same (saved again, another "
            "size, mirrored), which flatters what is measured on them; near_duplicates 'drop' "
            "leaves them out of training, 'keep-together' has each group in one split: "
            + enumerate_offenders(different),
            DatasetWarning,
            stacklevel=5,  # the caller of load_dataset
        )


def _divided(listing: Listing, options: LoadOptions) -> dict[str, Entries]:
    """The splits of a listing, made where the source does not say."""
    splits = dict(listing.splits)
    if UNSPLIT in splits:
        whole, fractions = splits.pop(UNSPLIT), options.fractions or DEFAULT_FRACTIONS
    elif "validation" not in splits:
        whole, fractions = splits.pop("train"), _without_test(options.fractions)
    else:
        return splits

    def divide(labels: Tensor) -> dict[str, Tensor]:
        return stratified_split(labels, fractions, options.seed, classes=listing.classes)

    try:
        if options.near_duplicates == "keep-together":
            parts = split_together(whole.labels, _groups(listing, whole, options), divide)
        else:
            parts = divide(whole.labels)
    except DatasetError as error:
        raise DatasetError(f"{listing.source}: {error}") from error
    return {**{name: whole.select(indices) for name, indices in parts.items()}, **splits}


def _groups(listing: Listing, entries: Entries, options: LoadOptions) -> Tensor:
    size, channels, _ = _form(listing, {"train": entries}, options)
    return groups_of(entries, channels, options.resize(size))


def _without_test(fractions: Mapping[str, float] | None) -> Mapping[str, float]:
    if fractions is None:
        return HOLD_OUT_FRACTIONS
    total = fractions["train"] + fractions["validation"]
    return {name: fractions[name] / total for name in ("train", "validation")}
