"""Images that a CSV file lists: path, label and, if wanted, split."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pixelbayes.data.errors import DatasetError, enumerate_offenders
from pixelbayes.data.finding import IMAGE_SUFFIXES
from pixelbayes.data.images import UNLABELLED
from pixelbayes.data.naming import canonical_label, canonical_name
from pixelbayes.data.sources.base import Source
from pixelbayes.data.sources.entries import (
    UNSPLIT,
    FileEntries,
    Listing,
    labels_tensor,
    numbered,
)
from pixelbayes.data.sources.folders import SPLIT_NAMES

__all__ = [
    "PATH_NAMES",
    "CsvSource",
    "Row",
    "entries_of",
    "located",
    "read_cells",
    "read_rows",
    "read_table",
]

# What a header may call each column, in lower case; the first of each is the usual one.
PATH_NAMES = (
    "path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path",
    "image_name", "img",
)  # fmt: skip
LABEL_NAMES = (
    "label", "class", "target", "category", "class_name", "class_id", "label_name", "classes",
)  # fmt: skip
SPLIT_COLUMNS = ("split", "set", "subset", "partition")
COLUMNS = ("path", "label", "split")
MISSING = ("nan", "<na>", "nat")
"""How table programs write a value that is not there."""
BACKSLASH = "\\"
WHOLE = re.compile(r"-?\d+")
LONGEST = 18  # digits of a label that certainly fit 64 bits


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    line: int
    """Line in the file, from 1."""
    path: str
    """Canonical name of the image, relative to the table."""
    label: str
    """Name or number of the class in its one spelling; -1 is unlabelled."""
    split: str = ""
    """Name of the split, or nothing where the table does not say."""
    written: str = ""
    """The path as the table has it."""


@dataclass(frozen=True)
class Table:
    """The lines of a table and how its columns were understood."""

    rows: tuple[Row, ...]
    decided: dict[str, str]


class CsvSource(Source):
    """A table of image files.

    The columns are path, label and, if wanted, split (train, validation or test).  A first line
    with these words, or others that are usual for them (filename, class, ...), is a header: it
    decides the order, and other columns are not used.  Without one, the column with the suffixes
    of images has the paths.  Paths are relative to the table, with slashes or backslashes.
    Labels are the numbers 0..K-1 or the names of classes; -1 marks a test image without label.

    Args:
        path: The CSV file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def listing(self) -> Listing:
        """Lists the images; see `Source.listing`."""
        table = read_table(self.path)
        rows = table.rows
        _refuse(self.path, "list an image a second time", _repeated(rows))
        classes, label_of = _classes(self.path, rows)
        groups: dict[str, list[Row]] = {}
        unknown = []
        for row in rows:
            split = SPLIT_NAMES.get(row.split.lower()) if row.split else UNSPLIT
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
        return Listing(f"csv:{self.path}", classes, splits, decided=table.decided)


def read_rows(path: Path) -> tuple[Row, ...]:
    """Reads the lines of a table; see `read_table`."""
    return read_table(path).rows


def read_table(path: Path) -> Table:
    """Reads a table of images.

    Raises:
        DatasetError: If the file is missing, is not text, has no rows, or a line does not have
            the columns path, label and, if the first line has it, split.
    """
    lines = [(number, [cell.strip() for cell in cells]) for number, cells in read_cells(path)]
    columns = _columns_of_header(path, lines[0][1]) if lines else None
    decided: dict[str, str] = {}
    width = 2
    if columns is not None:
        names = lines.pop(0)[1]
        width = len(names)
        unused = [name or f"number {i + 1}" for i, name in enumerate(names) if i not in columns]
        if [name.lower() for name in names] != list(COLUMNS[:width]):
            decided["columns"] = ", ".join(
                f"{meaning}: {names[i]}" for meaning, i in zip(COLUMNS, columns, strict=False)
            ) + (f"; not used: {', '.join(unused)}" if unused else "")
    if not lines:
        raise DatasetError(f"{path} lists no images; its lines are path,label[,split]")
    if columns is None:
        width = len(lines[0][1]) if len(lines[0][1]) > 2 else 2
        columns, words = _columns_of_content(path, lines, width)
        if words:
            decided["columns"] = words
    malformed = [
        f"line {number} ({','.join(cells)})"
        for number, cells in lines
        if len(cells) != width or not all(cells[i] for i in columns)
    ]
    shape = f"{width} columns" + (f" {','.join(COLUMNS[:width])}" if width == len(columns) else "")
    _refuse(path, f"do not have the {shape}", malformed)
    rows = []
    for number, cells in lines:
        written, label = cells[columns[0]], cells[columns[1]]
        split = cells[columns[2]] if len(columns) > 2 else ""
        name = _name(written, path.parent)
        rows.append(Row(number, name, canonical_label(label), split, written))
    missing = [f"line {row.line} ({row.label})" for row in rows if row.label.lower() in MISSING]
    _refuse(
        path,
        "have no label; write -1 for a test image without one, and another name for a class that "
        "is called so",
        missing,
    )
    return Table(tuple(rows), decided)


def entries_of(rows: Sequence[Row], folder: Path, labels: Sequence[int]) -> FileEntries:
    """Returns the files of these rows, with paths relative to `folder`."""
    return FileEntries(
        tuple(row.path for row in rows),
        labels_tensor(labels),
        tuple(located(row.written or row.path, folder) for row in rows),
    )


def read_cells(path: Path, *, errors: str = "strict") -> list[tuple[int, list[str]]]:
    """Number and cells of each line that is not empty, between commas, semicolons or tabs.

    Args:
        path: A text file in UTF-8, with or without the mark that spreadsheets add.
        errors: What is made of other bytes, as for `open`.

    Raises:
        DatasetError: If it is no such file.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig", errors=errors) as file:
            first = next((line for line in file if line.strip()), "")
            file.seek(0)
            delimiter = next((mark for mark in ",;\t" if mark in first), ",")
            reader = csv.reader(file, strict=True, delimiter=delimiter)
            return [
                (reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)
            ]
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be opened: {error.strerror}; pass a CSV file, for a data set with the "
            "columns path,label[,split]"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} is not a CSV file in UTF-8: {error}") from error


def _columns_of_header(path: Path, cells: Sequence[str]) -> list[int] | None:
    """Positions of path, label and, if there, split; None where the line is no header."""
    lowered = [cell.lower() for cell in cells]
    columns = []
    for names in (PATH_NAMES, LABEL_NAMES, SPLIT_COLUMNS):
        found = [index for index, cell in enumerate(lowered) if cell in names]
        usual = [index for index in found if lowered[index] == names[0]]
        columns.append(usual if len(usual) == 1 else found)
    if not columns[0] or not columns[1]:
        return None
    doubtful = [", ".join(cells[i] for i in found) for found in columns if len(found) > 1]
    if doubtful:
        raise DatasetError(
            f"{path}: more than one column may be meant by the header ({'; '.join(doubtful)}); "
            "call the ones to use path, label and split, and the others something else"
        )
    return [found[0] for found in columns if found]


def _columns_of_content(
    path: Path, lines: Sequence[tuple[int, list[str]]], width: int
) -> tuple[list[int], str]:
    """Positions of path, label and split of a table without header, and what was decided."""
    full = [cells for _, cells in lines if len(cells) == width]
    images = [
        index
        for index in range(width)
        if full and all(cells[index].lower().endswith(IMAGE_SUFFIXES) for cells in full)
    ]
    if images in ([0], []) and width <= len(COLUMNS):
        rest = [cells for cells in full[1:] if cells[0].lower().endswith(IMAGE_SUFFIXES)]
        if not images and rest and len(rest) == len(full) - 1:  # all lines but the first
            raise DatasetError(
                f"{path}: line {lines[0][0]} ({','.join(full[0])}) names no image; if it is a "
                "header, call its columns path, label and, if there, split"
            )
        return list(range(width)), ""
    if images == [1] and width == 2:
        return [1, 0], "label, path, because the second column names images"
    if images == [1] and width == 3 and _counts_lines(full):
        return [1, 2], "path, label; not used: the first, which numbers the lines"
    raise DatasetError(
        f"{path} has {width} columns and no header that says what they are; write "
        "path,label[,split] and names for the others into a first line"
    )


def _counts_lines(lines: Sequence[Sequence[str]]) -> bool:
    return any(
        [cells[0] for cells in lines] == [str(number + start) for number in range(len(lines))]
        for start in (0, 1)
    )


def _name(written: str, folder: Path) -> str:
    path = located(written, folder)
    return canonical_name(path.relative_to(folder) if path.is_relative_to(folder) else path)


def located(written: str, folder: Path) -> Path:
    """The file that a path in a table means, however a system writes slashes and accents."""
    slashes = written.replace(BACKSLASH, "/")
    spellings = [written, slashes, *(unicodedata.normalize(f, slashes) for f in ("NFC", "NFD"))]
    for spelling in dict.fromkeys(spellings):
        if (folder / spelling).exists():
            return folder / spelling
    return folder / slashes


def _classes(path: Path, rows: Sequence[Row]) -> tuple[tuple[str, ...], dict[str, int]]:
    """Names of the classes, and the label of each text in the label column."""
    texts = {row.label for row in rows}
    whole = {text for text in texts if WHOLE.fullmatch(text)}
    if whole < texts and all(_is_number(text) for text in texts):
        broken = [f"line {row.line} ({row.label})" for row in rows if row.label not in whole]
        _refuse(path, "have a label that is a number but not a whole one", broken)
    if whole < texts:  # at least one label is a name, so all are
        names = sorted(texts - {str(UNLABELLED)})
        label_of = {name: label for label, name in enumerate(names)}
        return tuple(names), {**label_of, str(UNLABELLED): UNLABELLED}
    long = [
        f"line {row.line} ({row.label[:LONGEST]}...)" for row in rows if len(row.label) > LONGEST
    ]
    _refuse(path, f"have a label of more than {LONGEST} digits", long)
    numbers = {text: int(text) for text in whole}
    negative = [f"line {row.line} ({row.label})" for row in rows if numbers[row.label] < UNLABELLED]
    _refuse(path, "have a label below -1", negative)
    return numbered(path, max(numbers.values())), numbers


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # which Python reads within numbers, and people write in names


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
