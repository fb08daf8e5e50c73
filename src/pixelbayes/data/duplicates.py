"""Near-duplicates: the same photograph saved again, at another size, or mirrored.

One of them in training and the other in the test flatters every number of the test, and no
comparison of bytes finds it.  Found here by a difference hash (which of two neighbouring cells
of a coarse image is lighter): images are compared where hashes share one of eight
pieces, and are near-duplicates where their coarse colours correlate.

Shapes: N images, C channels, H x W pixels.

References:
    [1] Krawetz, Kind of Like That, 2013.
        http://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from pixelbayes.data.errors import DatasetError

__all__ = ["SMALLEST_SIDE", "Fingerprints", "across_splits", "fingerprints", "near_duplicates"]

SMALLEST_SIDE = 16
"""Rows and columns below which two different images look too much alike to be told apart."""
CELLS = 8  # a hash has 8 x 8 bits for neighbours in a row and as many for those in a column
# Of the coarse colours.  Of 400 photographs (cpen455) saved again as JPEG of quality 30 or 60, at
# half or twice their size, mirrored, or both, 98.8 to 100 % are found, and of the two million pairs
# of different ones in its splits none; of digits enlarged to 28 x 28, 3 pairs of 337,000.
CORRELATION = 0.99
NO_EDGES = 0  # a piece of a hash over an even background, which says nothing
CHUNK = 256  # images compared at a time
SMALLEST_CONTRAST = 8.0  # levels of standard deviation; a flatter image has no features
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """What is compared of each image."""

    bands: npt.NDArray[np.uint16]
    """Difference hash in pieces of 16 bits, (N, 8)."""
    coarse: npt.NDArray[np.float32]
    """Colours of 16 x 16 cells, mean 0 and norm 1; zero where the image is flat.  (N, C 256)."""


def fingerprints(levels: Tensor) -> Fingerprints:
    """Returns what is compared of images.

    Args:
        levels: uint8 (N, C, H, W), at least 16 x 16.

    Raises:
        DatasetError: If the images are smaller.
    """
    if min(levels.shape[2:]) < SMALLEST_SIDE:
        raise DatasetError(
            f"images of {levels.shape[2]} x {levels.shape[3]} are too small for near-duplicates; "
            f"at least {SMALLEST_SIDE} x {SMALLEST_SIDE} can be told apart"
        )
    bands, coarse = [], []
    for chunk in levels.split(16 * CHUNK):
        colours = F.adaptive_avg_pool2d(chunk.to(torch.float32), SMALLEST_SIDE)
        luma = colours
        if colours.shape[1] == 3:
            luma = (colours * torch.tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)
        rows = F.adaptive_avg_pool2d(luma, (CELLS, CELLS + 1))
        columns = F.adaptive_avg_pool2d(luma, (CELLS + 1, CELLS))
        bits = torch.cat(
            [
                (rows[..., 1:] > rows[..., :-1]).flatten(1),
                (columns[..., 1:, :] > columns[..., :-1, :]).flatten(1),
            ],
            dim=1,
        )
        bands.append(np.packbits(bits.numpy(), axis=1).view(np.uint16))
        flat = colours.flatten(1)
        centred = flat - flat.mean(dim=1, keepdim=True)
        contrast = centred.square().mean(dim=1, keepdim=True).sqrt()
        unit = F.normalize(centred, dim=1)
        coarse.append(torch.where(contrast < SMALLEST_CONTRAST, 0.0, unit).numpy())
    return Fingerprints(np.concatenate(bands), np.concatenate(coarse))


def near_duplicates(first: Tensor, second: Tensor) -> list[tuple[int, int]]:
    """Finds images of one set that are near-duplicates of images of another.

    Args:
        first: uint8 (N, C, H, W).
        second: uint8 (M, C, H', W').

    Returns:
        Pairs of positions in `first` and `second`, ascending; none where images are smaller than
        16 x 16.
    """
    if min(*first.shape[2:], *second.shape[2:]) < SMALLEST_SIDE:
        return []
    known = fingerprints(first)
    return sorted(_matches(known, fingerprints(second)) | _matches(known, mirrored(second)))


def across_splits(splits: Mapping[str, Tensor]) -> list[tuple[str, int, str, int]]:
    """Finds near-duplicates between splits.

    Args:
        splits: uint8 (N, C, H, W) of each split.

    Returns:
        Earlier split, position in it, later split, position in it, in the order of `splits`.
    """
    large = {
        name: levels for name, levels in splits.items() if min(levels.shape[2:]) >= SMALLEST_SIDE
    }
    names = list(large)
    straight = {name: fingerprints(levels) for name, levels in large.items()}
    turned = {name: mirrored(large[name]) for name in names[1:]}
    return [
        (earlier, left, later, right)
        for position, later in enumerate(names)
        for earlier in names[:position]
        for left, right in sorted(
            _matches(straight[earlier], straight[later])
            | _matches(straight[earlier], turned[later])
        )
    ]


def mirrored(levels: Tensor) -> Fingerprints:
    """Returns the fingerprints of the mirror images; see `fingerprints`."""
    return fingerprints(levels.flip(3))


def _matches(first: Fingerprints, second: Fingerprints) -> set[tuple[int, int]]:
    found: set[tuple[int, int]] = set()
    for band in range(first.bands.shape[1]):
        members, others = _by_hash(first.bands[:, band]), _by_hash(second.bands[:, band])
        for key in members.keys() & others.keys() - {NO_EDGES}:
            left, right = members[key], others[key]
            known = first.coarse[left]
            for start in range(0, len(right), CHUNK):
                some = right[start : start + CHUNK]
                rows, columns = np.nonzero(known @ second.coarse[some].T >= CORRELATION)
                found.update(zip(left[rows].tolist(), some[columns].tolist(), strict=True))
    return found


def _by_hash(keys: npt.NDArray[np.uint16]) -> dict[int, Integers]:
    """Positions of each key."""
    order = np.argsort(keys, kind="stable")
    values, starts = np.unique(keys[order], return_index=True)
    return dict(zip(values.tolist(), np.split(order, starts)[1:], strict=True))
