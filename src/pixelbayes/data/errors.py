"""What goes wrong with data, told so that it can be mended.

A data set has thousands of files, and one mistake often repeats in many of them.  So every
message here names the first ten offenders and says how many there are.
"""

from __future__ import annotations

from collections.abc import Iterable

from pixelbayes.errors import PixelBayesError

__all__ = ["SHOWN", "DatasetError", "DatasetWarning", "enumerate_offenders"]

SHOWN = 10  # enough to see a pattern, few enough to read


class DatasetError(PixelBayesError):
    """A data set, or a file of it, cannot be used as it is."""


class DatasetWarning(UserWarning):
    """A data set can be used, but a number measured on it may not mean what it seems to."""


def enumerate_offenders(offenders: Iterable[object]) -> str:
    """Returns the first ten offenders, and the total where there are more.

    >>> enumerate_offenders(["a.png", "b.png"])
    'a.png, b.png'
    >>> enumerate_offenders(range(12))
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... (12 in all)'
    """
    texts = [str(offender) for offender in offenders]
    shown = ", ".join(texts[:SHOWN])
    return shown if len(texts) <= SHOWN else f"{shown}, ... ({len(texts)} in all)"
