"""Images in one NumPy archive: `x_train`, `y_train`, ..., or the names that MedMNIST uses.

References:
    [1] Yang et al., MedMNIST v2, Scientific Data 2023.  https://medmnist.com
"""

from __future__ import annotations

import difflib
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixelbayes.data.errors import DatasetError, enumerate_offenders
from pixelbayes.data.images import UNLABELLED
from pixelbayes.data.naming import composed
from pixelbayes.data.sources.base import Source
from pixelbayes.data.sources.entries import (
    LARGEST_CLASS_COUNT,
    ArrayEntries,
    Listing,
    named,
    numbered,
)

__all__ = ["NpzSource"]

# For each split the names that its images and its labels may have.
KEYS = {
    "train": [("x_train", "y_train"), ("train_images", "train_labels")],
    "validation": [
        ("x_val", "y_val"),
        ("x_validation", "y_validation"),
        ("val_images", "val_labels"),
    ],
    "test": [("x_test", "y_test"), ("test_images", "test_labels")],
}
CLASS_KEYS = ("classes", "label_names")


class NpzSource(Source):
    """A NumPy archive (.npz) of uint8 images (N, H, W) or (N, H, W, C) and their labels.

    Test labels may be missing.  Names of the classes may stand in an array of strings called
    `classes` or `label_names`.

    Args:
        path: The archive.  Nothing in it is unpickled, so it cannot run code.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def listing(self) -> Listing:
        """Lists the images; see `Source.listing`."""
        arrays = self._arrays()
        splits: dict[str, ArrayEntries] = {}
        used = {*CLASS_KEYS}
        for split, pairs in KEYS.items():
            for images_key, labels_key in pairs:
                if images_key in arrays and split not in splits:
                    splits[split] = self._entries(arrays, split, images_key, labels_key)
                    used |= {images_key, labels_key}
        if "train" not in splits:
            raise DatasetError(
                f"{self.path} has no training images: expected x_train and y_train, or "
                f"train_images and train_labels; found: {', '.join(arrays) or 'nothing'}"
            )
        shapes = {name: tuple(entries.levels.shape[1:]) for name, entries in splits.items()}
        if len(set(shapes.values())) > 1:
            raise DatasetError(f"{self.path}: images of the splits differ in (C, H, W): {shapes}")
        channels, height, width = shapes["train"]
        return Listing(
            f"npz:{self.path}",
            self._classes(arrays, splits),
            splits,
            (height, width),
            channels,
            left_out=tuple(
                f"{self.path.name}: {_unused(key)}" for key in arrays if key not in used
            ),
        )

    def _arrays(self) -> dict[str, Any]:
        if self.path.is_file() and not zipfile.is_zipfile(self.path):
            raise DatasetError(f"{self.path} is not a NumPy archive (.npz), or only a part of one")
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                known = {key for pairs in KEYS.values() for pair in pairs for key in pair}
                # A key that is not ours is listed but not read: it may be large, or pickled.
                arrays = {
                    key: archive[key] if key in known or key in CLASS_KEYS else None
                    for key in archive.files
                }
        except FileNotFoundError as error:
            raise DatasetError(
                f"{self.path} does not exist; pass a NumPy archive (.npz)"
            ) from error
        except (
            OSError,
            ValueError,
            EOFError,
            AttributeError,
            TypeError,
            RuntimeError,  # an entry is encrypted, or damaged: then it may ask for any compression
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise DatasetError(
                f"{self.path} is not a NumPy archive (.npz) of plain arrays: {error}"
            ) from error
        for key, array in arrays.items():
            if array is not None and not isinstance(array, np.ndarray):
                raise DatasetError(
                    f"{self.path}: {key} is no NumPy array (.npy), but other content"
                )
        return arrays

    def _entries(
        self, arrays: dict[str, Any], split: str, images_key: str, labels_key: str
    ) -> ArrayEntries:
        levels = self._levels(arrays[images_key], images_key)
        if labels_key in arrays:
            labels = self._labels(arrays[labels_key], labels_key)
        elif split == "test":
            labels = torch.full((len(levels),), UNLABELLED)
        else:
            raise DatasetError(
                f"{self.path} has {images_key} but not {labels_key}; found: {', '.join(arrays)}"
            )
        if len(labels) != len(levels):
            raise DatasetError(
                f"{self.path}: {images_key} has {len(levels)} images, {labels_key} has "
                f"{len(labels)} labels"
            )
        return ArrayEntries(named(images_key, len(levels)), labels, levels)

    def _levels(self, images: Any, key: str) -> Tensor:
        if images.dtype != np.uint8:
            raise DatasetError(
                f"{self.path}: {key} holds {images.dtype}; images are uint8 levels, 0..255"
            )
        if images.ndim == 3:
            images = images[..., None]
        if images.ndim != 4 or images.shape[-1] not in (1, 3):
            raise DatasetError(
                f"{self.path}: {key} has the shape {images.shape}; images are (N, H, W) or "
                "(N, H, W, C) with C = 1 or 3"
            )
        return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))

    def _labels(self, labels: Any, key: str) -> Tensor:
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1 or labels.dtype.kind not in "iuf":
            raise DatasetError(
                f"{self.path}: {key} is {labels.dtype} of the shape {labels.shape}; labels are "
                "integers (N,) or (N, 1), one class for each image"
            )
        within = (labels >= UNLABELLED) & (labels < LARGEST_CLASS_COUNT)
        wrong = labels[~(within & (labels == np.floor(labels)))].tolist()
        if wrong:
            raise DatasetError(
                f"{self.path}: {key} has labels that are no class numbers (whole, 0 to "
                f"{LARGEST_CLASS_COUNT - 1}, or {UNLABELLED}): {enumerate_offenders(wrong)}"
            )
        return torch.from_numpy(labels.astype(np.int64))

    def _classes(self, arrays: dict[str, Any], splits: dict[str, ArrayEntries]) -> tuple[str, ...]:
        for key in CLASS_KEYS:
            if key in arrays:
                if arrays[key].ndim != 1 or arrays[key].dtype.kind != "U":
                    raise DatasetError(f"{self.path}: {key} is a list of strings, one for a class")
                return tuple(composed(str(name)) for name in arrays[key])
        labels = splits["train"].labels
        return numbered(self.path, int(labels.max()) if len(labels) else UNLABELLED)


def _unused(key: str) -> str:
    known = [name for pairs in KEYS.values() for pair in pairs for name in pair]
    near = difflib.get_close_matches(key.lower(), known, 1)
    hint = f"; {near[0]} is one" if near and near[0] != key else ""
    return f"the array {key}, which is none of those that are read{hint}"
