"""Labelled images in memory, and the promises a data set makes about them.

Whoever holds an `ImageDataset` need not check it: labels name classes, every class can be
learned, and no test image was seen in training.  These promises are tested on construction,
because each of them, broken, gives a wrong number rather than an error.

Shapes: N images, C channels (1 or 3), H x W pixels.  Levels are uint8, 0..255.
"""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixelbayes.data.errors import SHOWN, DatasetError, DatasetWarning, enumerate_offenders
from pixelbayes.data.records import SplitRecord
from pixelbayes.data.transforms import Resize

__all__ = ["SPLITS", "UNLABELLED", "ImageDataset", "LabelledImages", "data_remarks", "describe"]

SPLITS = ("train", "validation", "test")
UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images of one size, each with a label and a name.

    Arrays of NumPy are accepted too, labels of any integer type among them.

    Raises:
        TypeError: If the levels are not uint8 or the labels not int64.
        DatasetError: If shapes or lengths do not fit together.
    """

    levels: Tensor
    """uint8 (N, C, H, W)."""
    labels: Tensor
    """int64 (N,); -1 where the class is unknown."""
    names: tuple[str, ...]
    """Where each image came from, such as train/0000001.jpg or digits/17."""

    def __post_init__(self) -> None:
        for name in ("levels", "labels"):
            values: Any = getattr(self, name)
            if isinstance(values, np.ndarray):
                if name == "labels" and values.dtype.kind in "iu":
                    if (values > np.iinfo(np.int64).max).any():  # which would come out negative
                        raise DatasetError(f"labels are class numbers, got {values.max()}")
                    values = values.astype(np.int64)
                object.__setattr__(self, name, torch.from_numpy(np.array(values)))
        if self.levels.dtype != torch.uint8:
            raise TypeError(
                f"levels are torch.uint8, 0..255, got {self.levels.dtype}; pass images as loaded"
            )
        if self.labels.dtype != torch.int64:
            raise TypeError(f"labels are torch.int64, got {self.labels.dtype}")
        if self.levels.ndim != 4 or self.levels.shape[1] not in (1, 3):
            raise DatasetError(
                f"levels are (N, C, H, W) with C = 1 or 3, got {tuple(self.levels.shape)}"
            )
        if self.labels.shape != (len(self.levels),) or len(self.names) != len(self.levels):
            raise DatasetError(
                f"{len(self.levels)} images need as many labels and names, got labels of shape "
                f"{tuple(self.labels.shape)} and {len(self.names)} names"
            )
        object.__setattr__(self, "names", tuple(self.names))

    def __len__(self) -> int:
        return len(self.levels)

    def select(self, indices: Tensor | Sequence[int]) -> LabelledImages:
        """Returns the images at these positions, in this order."""
        chosen = torch.as_tensor(indices, dtype=torch.int64, device="cpu")
        return LabelledImages(
            self.levels[chosen], self.labels[chosen], tuple(self.names[i] for i in chosen.tolist())
        )


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images in splits, with the names of their classes and how they got their size.

    Training images may be larger than the others by a crop margin, the same in rows and
    columns; a random crop (`Augmentation`) brings them to `image_size`.

    Raises:
        DatasetError: If a label names no class, an image outside the test split has no label,
            a class has no training image, an image name occurs in two splits, or sizes differ.

    Warns:
        DatasetWarning: If images of two splits have identical pixels under different names.
            Only splits of the same size can be compared, so a crop margin exempts training
            images.
    """

    source: str
    """What the images were loaded from, such as cpen455 or folder:photos."""
    classes: tuple[str, ...]
    """Name of each label."""
    splits: Mapping[str, LabelledImages]
    """train, validation and test, or those of them that there are; data that are only measured
    have test alone."""
    resize: Resize
    """How the images were brought to their size (the training images: plus the crop margin)."""
    left_out: tuple[str, ...] = ()
    """Files of the source that are not used, each with the reason."""
    decided: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What neither the user nor the source said, such as the image size, and how it was taken."""
    record: SplitRecord | None = None
    """Which file went to which split; None where the images did not come from a source."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "left_out", tuple(self.left_out))
        object.__setattr__(self, "splits", dict(self.splits))
        object.__setattr__(self, "decided", dict(self.decided))
        self._check_splits()
        self._check_labels()
        self._check_names()
        self._warn_of_equal_pixels()

    @property
    def channels(self) -> int:
        """Colour channels: 1 (grey) or 3 (RGB)."""
        return next(iter(self.splits.values())).levels.shape[1]

    @property
    def image_size(self) -> tuple[int, int]:
        """Rows and columns that a model sees."""
        return self.resize.size

    @property
    def crop_margin(self) -> int:
        """Rows, and columns, that training images have beyond `image_size`."""
        if "train" not in self.splits:
            return 0
        return self.splits["train"].levels.shape[2] - self.resize.size[0]

    def split(self, name: str) -> LabelledImages:
        """Returns one split.

        Raises:
            DatasetError: If there is none of that name.
        """
        if name not in self.splits:
            raise DatasetError(
                f"{self.source} has no split {name!r}; it has: {', '.join(self.splits)}"
            )
        return self.splits[name]

    def _check_splits(self) -> None:
        unknown = [name for name in self.splits if name not in SPLITS]
        if unknown or not self.splits:
            raise DatasetError(
                f"{self.source}: splits are train, validation and test, one or more of them, "
                f"got: {', '.join(self.splits) or 'none'}"
            )
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise DatasetError(
                f"{self.source}: class names are one or more and all different, got: "
                + enumerate_offenders(self.classes)
            )
        rows, columns = self.resize.size
        margin = self.crop_margin
        for name, images in self.splits.items():
            extra = margin if name == "train" else 0
            expected = (self.channels, rows + extra, columns + extra)
            if len(images) == 0:
                raise DatasetError(f"{self.source}: the {name} split has no images")
            if margin < 0 or tuple(images.levels.shape[1:]) != expected:
                raise DatasetError(
                    f"{self.source}: images of {name} are {tuple(images.levels.shape[1:])} "
                    f"(C, H, W); the resize to {rows} x {columns} wants {expected}"
                )

    def _check_labels(self) -> None:
        for name, images in self.splits.items():
            labels = images.labels.tolist()
            wrong = [
                f"{image} ({label})"
                for image, label in zip(images.names, labels, strict=True)
                if label != UNLABELLED and not 0 <= label < len(self.classes)
            ]
            if wrong:
                raise DatasetError(
                    f"{self.source}: labels are 0..{len(self.classes) - 1} or {UNLABELLED} "
                    f"(unlabelled); {name} has others: {enumerate_offenders(wrong)}"
                )
            if name != "test" and UNLABELLED in labels:
                missing = [
                    image
                    for image, label in zip(images.names, labels, strict=True)
                    if label == UNLABELLED
                ]
                raise DatasetError(
                    f"{self.source}: only test images may be unlabelled ({UNLABELLED}); label or "
                    f"remove these of {name}: {enumerate_offenders(missing)}"
                )
        if "train" not in self.splits:
            return  # data that are measured and not learned
        present = set(self.splits["train"].labels.tolist())
        absent = [repr(name) for label, name in enumerate(self.classes) if label not in present]
        if absent:
            raise DatasetError(
                f"{self.source}: a class without training images cannot be learned; add some or "
                f"remove the class: {enumerate_offenders(absent)}"
            )

    def _check_names(self) -> None:
        home: dict[str, str] = {}
        shared = []
        for split, images in self.splits.items():
            for name in images.names:
                if home.setdefault(name, split) != split:
                    shared.append(f"{name} ({home[name]} and {split})")
        if shared:
            raise DatasetError(
                f"{self.source}: an image belongs to one split, or the test knows the answer; "
                f"remove it from the others: {enumerate_offenders(shared)}"
            )

    def _warn_of_equal_pixels(self) -> None:
        first: dict[tuple[int, bytes], tuple[str, str]] = {}
        twins = []
        for split, images in self.splits.items():
            pixels = images.levels.shape[2] * images.levels.shape[3]
            rows = images.levels.cpu().contiguous().numpy().reshape(len(images), -1)
            for name, row in zip(images.names, rows, strict=True):
                key = (pixels, hashlib.blake2b(row.tobytes(), digest_size=16).digest())
                earlier_split, earlier = first.setdefault(key, (split, name))
                if earlier_split != split:
                    twins.append(f"{earlier} ({earlier_split}) = {name} ({split})")
        if twins:
            warnings.warn(
                f"{self.source}: images of different splits have identical pixels, which flatters "
                f"what is measured on them: {enumerate_offenders(twins)}",
                DatasetWarning,
                stacklevel=4,  # the caller of ImageDataset(...)
            )


def describe(dataset: ImageDataset) -> dict[str, Any]:
    """Summarises a data set in plain JSON types, for reports and checkpoints."""
    splits: dict[str, Any] = {}
    for name, images in dataset.splits.items():
        known = images.labels[images.labels != UNLABELLED]
        counts = torch.bincount(known, minlength=len(dataset.classes)).tolist()
        splits[name] = {
            "images": len(images),
            "unlabelled": len(images) - len(known),
            "per_class": dict(zip(dataset.classes, counts, strict=True)),
        }
    return {
        "source": dataset.source,
        "classes": list(dataset.classes),
        "channels": dataset.channels,
        "image_size": list(dataset.image_size),
        "crop_margin": dataset.crop_margin,
        "resize": {**dataclasses.asdict(dataset.resize), "size": list(dataset.resize.size)},
        "splits": splits,
        "left_out": len(dataset.left_out),
        "left_out_files": list(dataset.left_out[:SHOWN]),
        "decided": dict(dataset.decided),
    }


def data_remarks(description: Mapping[str, Any]) -> list[str]:
    """What was decided of a data set and what was left out of it, a sentence each.

    Args:
        description: As `describe` gives it, or an older version gave it.
    """
    sentences = [
        f"{name.replace('_', ' ').capitalize()}: {words}."
        for name, words in description.get("decided", {}).items()
    ]
    if count := description.get("left_out", 0):
        files = description.get("left_out_files", [])
        more = f", ... ({count} in all)" if count > len(files) else ""
        noun = "file or folder is" if count == 1 else "files and folders are"
        sentences.append(f"{count} {noun} not used: {'; '.join(map(str, files))}{more}.")
    return sentences
