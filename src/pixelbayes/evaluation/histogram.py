"""A histogram whose bins have one width everywhere, so that two of them lie on each other.

Shapes: N values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelbayes.errors import PixelBayesError

__all__ = ["Histogram", "histogram"]

MOST_BINS = 400
"""Far more than anybody sees; what would need more of them is no distribution to look at."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts in bins [start + i width, start + (i + 1) width)."""

    start: float
    width: float
    count: list[int]


def histogram(values: Tensor, width: float) -> Histogram | None:
    """Counts values in bins whose edges are whole multiples of a width.

    >>> histogram(torch.tensor([0.31, 0.38, 0.52]), 0.1).count
    [2, 0, 1]

    Args:
        values: (N,); those that are not finite are not counted.
        width: Of each bin, above 0.

    Returns:
        None where there is no finite value, or they lie too far apart for bins of this width.

    Raises:
        ValueError: If the width is not positive and finite.
    """
    if not 0 < width < math.inf:
        raise PixelBayesError(f"a bin has a width above 0, got {width}")
    finite = values.double()[values.isfinite()]
    if not len(finite):
        return None
    bins = torch.floor(finite / width)
    first, last = float(bins.min()), float(bins.max())
    if last - first >= MOST_BINS:
        return None
    counts = torch.bincount((bins - first).long()).tolist()
    return Histogram(first * width, width, counts)
