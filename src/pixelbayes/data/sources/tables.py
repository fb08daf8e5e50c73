"""Images that a CSV file lists: path, label and, if wanted, split."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pixelbayes.data.errors import DatasetError, enumerate_offenders
from pixelbayes.data.images import UNLABELLED
from pixelbayes.data.sources.base import (
    UNSPLIT,
    FileEntries,
    Listing,
    Source,
    labels_tensor,
    numbered,
)
from pixelbayes.data.sources.folders import FOLDER_NAMES, NATIVE_SIZE

__all__ = ["CsvSource", "Row", "entries_of", "read_rows"]

COLUMNS = ["path", "label", "split"]
WHOLE_NUMBER = re.compile(r"-?[0-9]+")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    line: int
    """Line in the file, from 1."""
    path: str
    """The image, relative to the table."""
    label: str
    """Name or number of the class; -1 is unlabelled."""
    split: str = ""
    """Name of the split, or nothing where the table does not say."""


class CsvSource(Source):
    """A table of image files.

    The columns are path, label and, if wanted, split (train, validation or test).  A first line
    with just these words is a header.  Paths are relative to the table.  Labels are the numbers
    0..K-1 or the names of classes; -1 marks a test image without label.

    Args:
        path: The CSV file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def listing(self) -> Listing:
        """Lists the images; see `Source.listing`."""
        rows = read_rows(self.path)
        _refuse(self.path, "list an image a second time", _repeated(rows))
        classes, label_of = _classes(self.path, rows)
        groups: dict[str, list[Row]] = {}
        unknown = []
        for row in rows:
            split = FOLDER_NAMES.get(row.split.lower()) if row.split else UNSPLIT
            if split is None:
                unknown.append(f"line {row.line} ({row.split})")
            else:
                groups.setdefault(split, []).append(row)
        _refuse(self.path, "name a split other than train, validation and test", unknown)
        unlabelled = [
            f"line {row.line} ({row.path})"
            for split, members in groups.items()
            for row in members
            if split != "test" and label_of[row.label] == UNLABELLED
        ]
        _refuse(self.path, "have no label (-1), which only the split test may lack", unlabelled)
        if UNSPLIT not in groups and "train" not in groups:
            raise DatasetError(f"{self.path}: no line has the split train")
        splits = {
            split: entries_of(members, self.path.parent, [label_of[row.label] for row in members])
            for split, members in groups.items()
        }
        return Listing(f"csv:{self.path}", classes, splits, NATIVE_SIZE, 3)


def read_rows(path: Path) -> list[Row]:
    """Reads a table of images.

    Raises:
        DatasetError: If the file is missing, is not text, has no rows, or a line does not have
            the columns path, label and, if the first line has it, split.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # -sig: spreadsheets add a mark
            reader = csv.reader(file, strict=True)
            lines = [
                (reader.line_num, [cell.strip() for cell in cells])
                for cells in reader
                if any(cell.strip() for cell in cells)
            ]
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be opened: {error.strerror}; pass a CSV file with the columns "
            "path,label[,split]"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} is not a CSV file in UTF-8: {error}") from error
    if lines and [cell.lower() for cell in lines[0][1]] in (COLUMNS, COLUMNS[:2]):
        width = len(lines.pop(0)[1])
    else:
        width = len(lines[0][1]) if lines and len(lines[0][1]) in (2, 3) else 2
    if not lines:
        raise DatasetError(f"{path} lists no images; its lines are path,label[,split]")
    malformed = [
        f"line {number} ({','.join(cells)})"
        for number, cells in lines
        if len(cells) != width or not all(cells)
    ]
    _refuse(path, f"do not have the {width} columns {','.join(COLUMNS[:width])}", malformed)
    return [Row(number, *cells) for number, cells in lines]


def entries_of(rows: Sequence[Row], folder: Path, labels: Sequence[int]) -> FileEntries:
    """Returns the files of these rows, with paths relative to `folder`."""
    return FileEntries(
        tuple(row.path for row in rows),
        labels_tensor(labels),
        tuple(folder / row.path for row in rows),
    )


def _classes(path: Path, rows: Sequence[Row]) -> tuple[tuple[str, ...], dict[str, int]]:
    """Names of the classes, and the label of each text in the label column."""
    texts = {row.label for row in rows}
    numbers = {text: int(text) for text in texts if WHOLE_NUMBER.fullmatch(text)}
    if len(numbers) < len(texts):  # at least one label is a name, so all are
        names = sorted(texts - {str(UNLABELLED)})
        label_of = {name: label for label, name in enumerate(names)}
        return tuple(names), {**label_of, str(UNLABELLED): UNLABELLED}
    negative = [f"line {row.line} ({row.label})" for row in rows if numbers[row.label] < UNLABELLED]
    _refuse(path, "have a label below -1", negative)
    return numbered(path, max(numbers.values())), numbers


def _repeated(rows: Sequence[Row]) -> list[str]:
    first: dict[str, int] = {}
    return [
        f"line {row.line} ({row.path}, first in line {first[row.path]})"
        for row in rows
        if first.setdefault(row.path, row.line) != row.line
    ]


def _refuse(path: Path, what: str, offenders: Sequence[str]) -> None:
    if offenders:
        raise DatasetError(f"{path}: lines that {what}: {enumerate_offenders(offenders)}")
