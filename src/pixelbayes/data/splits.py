"""Which image goes where: seeded, stratified, and the same on every machine.

The order within a class comes from SHA-256 of (seed, position), not from a library's random
numbers, whose streams may change between versions: a split that moved would silently mix
training and test images of an old checkpoint.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pixelbayes.data.errors import DatasetError, enumerate_offenders
from pixelbayes.data.naming import whole_number

__all__ = [
    "DEFAULT_FRACTIONS",
    "HOLD_OUT_FRACTIONS",
    "stratified_part",
    "stratified_split",
    "stratified_subset",
]

DEFAULT_FRACTIONS: Mapping[str, float] = {"train": 0.7, "validation": 0.15, "test": 0.15}
"""For data that comes in one piece."""
HOLD_OUT_FRACTIONS: Mapping[str, float] = {"train": 0.9, "validation": 0.1}
"""For training images that come without validation images; CIFAR-10 becomes 45,000 + 5,000."""

SEED = "seed is a whole number, 0 or more"


def stratified_split(
    labels: Tensor,
    fractions: Mapping[str, float],
    seed: int,
    *,
    classes: Sequence[str] | None = None,
) -> dict[str, Tensor]:
    """Divides images among splits, each class in the same proportions.

    Within a class the counts are rounded by largest remainder, and no split is left without an
    image of the class.

    >>> split = stratified_split(
    ...     torch.arange(4).repeat(25), {"train": 0.8, "validation": 0.2}, seed=0
    ... )
    >>> {name: len(indices) for name, indices in split.items()}
    {'train': 80, 'validation': 20}

    Args:
        labels: int64 (N,), each 0 or more.
        fractions: Share of each split, above 0; together 1.
        seed: Another seed gives another division.
        classes: Names of the classes, for the error message.

    Returns:
        For each split the positions of its images, int64, ascending.

    Raises:
        DatasetError: If the fractions do not add up, a label is negative, or a class has fewer
            images than there are splits.
    """
    seed = whole_number(seed, SEED)
    shares = list(fractions.values())
    if not all(share > 0 for share in shares) or not math.isclose(sum(shares), 1.0, abs_tol=1e-6):
        raise DatasetError(f"fractions are above 0 and add up to 1, got {dict(fractions)}")
    groups = _positions_by_label(labels)
    unlabelled = [position for label, group in groups.items() if label < 0 for position in group]
    if unlabelled:
        raise DatasetError(
            "images without a label cannot be divided among splits by class; their positions: "
            + enumerate_offenders(unlabelled)
        )
    scarce = [
        f"{classes[label] if classes else label!r} ({len(group)})"
        for label, group in groups.items()
        if len(group) < len(shares)
    ]
    if scarce:
        raise DatasetError(
            f"each class needs at least {len(shares)} images, one for each of "
            f"{', '.join(fractions)}; too few in: {enumerate_offenders(scarce)}"
        )
    parts: dict[str, list[int]] = {name: [] for name in fractions}
    for group in groups.values():
        ordered, start = _shuffled(group, seed), 0
        for name, count in zip(fractions, _apportion(len(group), shares), strict=True):
            parts[name] += ordered[start : start + count]
            start += count
    return {name: torch.tensor(sorted(part), dtype=torch.int64) for name, part in parts.items()}


def stratified_subset(labels: Tensor, size: int, seed: int, *, option: str = "limit") -> Tensor:
    """Chooses at most `size` images, each class in its proportion and at least once.

    Args:
        labels: int64 (N,); -1 counts as a class of its own.
        size: Number of images to keep.
        seed: Another seed gives another choice.
        option: What asked for so many, for the error message.

    Returns:
        Positions of the chosen images, int64, ascending.

    Raises:
        DatasetError: If `size` is smaller than the number of classes.
    """
    if size >= len(labels):
        return torch.arange(len(labels))
    groups = _positions_by_label(labels)
    if size < len(groups):
        raise DatasetError(
            f"{option} {size} leaves some of the {len(groups)} classes without images; "
            f"{len(groups)} are the least"
        )
    counts = _apportion(size, [len(group) / len(labels) for group in groups.values()])
    return _chosen(groups, counts, seed)


def stratified_part(labels: Tensor, size: int, seed: int) -> Tensor:
    """Chooses `size` images to take away, each class in its proportion and never all of it.

    >>> stratified_part(torch.tensor([0, 0, 0, 0, 0, 1]), 4, seed=0)
    tensor([0, 1, 2, 4])

    Args:
        labels: int64 (N,).
        size: Number of images to take.
        seed: Another seed gives another choice.

    Returns:
        Positions of the chosen images, int64, ascending.

    Raises:
        DatasetError: If a class would lose all its images.
    """
    groups = _positions_by_label(labels)
    most = [len(group) - 1 for group in groups.values()]
    if size > sum(most):
        raise DatasetError(
            f"set_aside {size} takes all images of a class, of {len(labels)}; {sum(most)} leave "
            "one of each"
        )
    shares = [len(group) / len(labels) for group in groups.values()]
    return _chosen(groups, _apportion(size, shares, least=0, most=most), seed)


def _chosen(groups: Mapping[int, list[int]], counts: Sequence[int], seed: int) -> Tensor:
    """So many positions of each group, ascending."""
    seed = whole_number(seed, SEED)
    chosen = [
        position
        for group, count in zip(groups.values(), counts, strict=True)
        for position in _shuffled(group, seed)[:count]
    ]
    return torch.tensor(sorted(chosen), dtype=torch.int64)


def _positions_by_label(labels: Tensor) -> dict[int, list[int]]:
    groups: dict[int, list[int]] = {}
    for position, label in enumerate(labels.tolist()):
        groups.setdefault(label, []).append(position)
    return dict(sorted(groups.items()))


def _shuffled(positions: list[int], seed: int) -> list[int]:
    return sorted(
        positions, key=lambda position: hashlib.sha256(f"{seed}/{position}".encode()).digest()
    )


def _apportion(
    total: int, shares: Sequence[float], *, least: int = 1, most: Sequence[int] | None = None
) -> list[int]:
    """Whole numbers in proportion to `shares` that add up to `total`, none below `least`.

    Args:
        total: Their sum, which the bounds allow.
        shares: Adding up to 1.
        least: The same for all.
        most: For each; None: without a bound.
    """
    exact = [total * share for share in shares]
    bounds = [total] * len(exact) if most is None else most
    # The tolerance keeps 0.1 * 5000 = 500.00000000000006 and its like from losing a unit.
    counts = [
        min(bound, max(least, math.floor(number + 1e-9)))
        for number, bound in zip(exact, bounds, strict=True)
    ]
    while sum(counts) != total:
        step = 1 if sum(counts) < total else -1
        open_to_change = [
            i
            for i, (count, bound) in enumerate(zip(counts, bounds, strict=True))
            if (count < bound if step > 0 else count > least)
        ]
        furthest = max(open_to_change, key=lambda i: step * (exact[i] - counts[i]))
        counts[furthest] += step
    return counts
