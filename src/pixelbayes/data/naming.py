"""One canonical form for names, labels and numbers, whatever system or program wrote them.

A split is decided by the order of names, and a class by its name, so the same files must have
the same names everywhere: forward slashes, Unicode in composed form (NFC, where macOS writes
NFD), no `./`, and 0 for the label that a spreadsheet turned into 0.0 or 00.
"""

from __future__ import annotations

import operator
import posixpath
import re
import unicodedata
from pathlib import PurePath

from pixelbayes.data.errors import DatasetError

__all__ = ["canonical_label", "canonical_name", "composed", "name_order", "whole_number"]

LARGEST = 2**63 - 1
WHOLE_NUMBER = re.compile(r"([+-]?)0*([0-9]+)(?:\.0*)?")


def composed(text: str) -> str:
    """Returns the text in Unicode's composed form, so that two that look alike are alike.

    >>> composed("e" + chr(0x301)) == chr(0xE9)
    True
    """
    return unicodedata.normalize("NFC", text)


def canonical_name(path: str | PurePath) -> str:
    """Returns the name of a file, relative to its data set, as it is on every system.

    >>> canonical_name("./cat//0.png"), canonical_name("cat/../dog/1.png")
    ('cat/0.png', 'dog/1.png')
    """
    text = path.as_posix() if isinstance(path, PurePath) else path
    return composed(posixpath.normpath(text))


def name_order(name: str) -> list[str]:
    """Sorting key of a canonical name: folder by folder, by code points."""
    return name.split("/")


def canonical_label(text: str) -> str:
    """Returns a label in its one spelling.

    >>> [canonical_label(text) for text in ("00", "0.0", "+7", "-1.0", "1.7", "cat")]
    ['0', '0', '7', '-1', '1.7', 'cat']
    """
    number = WHOLE_NUMBER.fullmatch(text)
    if number is None:
        return composed(text)
    sign = "-" if number[1] == "-" and number[2] != "0" else ""
    return sign + number[2]


def whole_number(value: object, what: str, *, least: int = 0) -> int:
    """Returns an integer of any library as an int.

    Raises:
        DatasetError: If it is not a whole number, below `least`, or more than 64 bits hold.
    """
    try:
        # True is an integer to Python, but no number of pixels
        number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or number < least:
        raise DatasetError(f"{what}, got {value!r}")
    if number > LARGEST:
        raise DatasetError(f"{what}, at most {LARGEST}, got {number}")
    return number
