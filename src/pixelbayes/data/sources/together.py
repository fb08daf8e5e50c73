"""Splits that have each group of near-duplicates on one side.

A photograph and its mirror image in training and test flatter the test.  Leaving one of them
out costs images; here the whole group goes where its first image went, which keeps every image
and changes the shares of the splits by the size of the groups only.

Shapes: N images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from pixelbayes.data.duplicates import near_duplicates
from pixelbayes.data.errors import DatasetError
from pixelbayes.data.sources.entries import Entries
from pixelbayes.data.transforms import Resize

__all__ = ["groups_of", "kept_together", "split_together"]


def groups_of(entries: Entries, channels: int, resize: Resize) -> Tensor:
    """Finds the group of near-duplicates, or of identical pixels, that each image is in.

    Args:
        entries: Images that are not read yet.
        channels: 1 or 3.
        resize: Size at which they are compared.

    Returns:
        For each image the position of the first of its group, int64 (N,); that of an image that
        is like no other, or cannot be read, is its own.
    """
    levels, positions, _ = entries.read(channels, resize)
    pairs = near_duplicates(levels, levels)
    first: dict[bytes, int] = {}
    for index, image in enumerate(levels):
        digest = hashlib.blake2b(image.contiguous().numpy().tobytes(), digest_size=16).digest()
        pairs.append((first.setdefault(digest, index), index))
    root = list(range(len(entries)))

    def root_of(position: int) -> int:
        while root[position] != position:
            root[position] = root[root[position]]
            position = root[position]
        return position

    for left, right in pairs:
        one, other = sorted((root_of(positions[left]), root_of(positions[right])))
        root[other] = one
    return torch.tensor([root_of(position) for position in range(len(entries))])


def kept_together(parts: Mapping[str, Tensor], groups: Tensor) -> dict[str, Tensor]:
    """Moves each image to the split of the first image of its group.

    >>> kept_together({"train": torch.tensor([0, 2]), "test": torch.tensor([1, 3])},
    ...               torch.tensor([0, 1, 2, 0]))
    {'train': tensor([0, 2, 3]), 'test': tensor([1])}

    Args:
        parts: Positions of the images of each split.
        groups: As `groups_of` gives them.

    Returns:
        Positions of the images of each split, ascending.
    """
    split_of = torch.empty(len(groups), dtype=torch.int64)
    for number, positions in enumerate(parts.values()):
        split_of[positions] = number
    moved = split_of[groups]
    return {name: (moved == number).nonzero()[:, 0] for number, name in enumerate(parts)}


def split_together(
    labels: Tensor, groups: Tensor, divide: Callable[[Tensor], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Divides images such that each group is in one split and no split lacks a class.

    Args:
        labels: int64 (N,).
        groups: As `groups_of` gives them.
        divide: Positions of the images of each split, for the labels of images.  It is asked for
            all images; where a split then loses a class to the groups, for one image of each.

    Raises:
        DatasetError: If there are too few groups of a class.
    """
    classes = set(labels.tolist())
    parts = kept_together(divide(labels), groups)
    if all(set(labels[part].tolist()) == classes for part in parts.values()):
        return parts
    firsts = groups.unique()
    try:
        of_firsts = divide(labels[firsts])
    except DatasetError as error:
        raise DatasetError(
            f"{error}; near-duplicates count as one image where they are kept together"
        ) from error
    return {
        name: torch.isin(groups, firsts[part]).nonzero()[:, 0] for name, part in of_firsts.items()
    }
