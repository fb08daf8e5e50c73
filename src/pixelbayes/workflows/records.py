r"""Rows of results as CSV, JSON or JSON Lines, written as they are known.

A record is a mapping of names to plain values, lists and mappings; all records of a table have the
same names.  JSON has a record as it is.  In CSV a mapping becomes a column for each of its names, a
list of mappings numbered columns:

>>> cells({"path": "a.png", "p": {"cat": 0.25, "dog": 0.75}, "top": [{"class": "dog"}]})
{'path': 'a.png', 'p[cat]': '0.25', 'p[dog]': '0.75', 'class_1': 'dog'}
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, TextIO

from pixelbayes.errors import PixelBayesError
from pixelbayes.io import SURROGATE

__all__ = ["Format", "Record", "RecordWriter", "cells", "read_record"]

Record = Mapping[str, Any]

DIGITS = 9  # significant digits of a number in CSV: more than float32 carries


class Format(Enum):
    """How records are written."""

    CSV = "csv"
    JSON = "json"
    """One list."""
    JSONL = "jsonl"
    """A record in each line."""

    @property
    def goes_on(self) -> bool:
        """Whether what is there of a file is good without the rest."""
        return self is not Format.JSON


def cells(record: Record) -> dict[str, str]:
    """The columns of a record and their texts in CSV."""
    return dict(_cells(record))


def _cells(record: Record) -> Iterator[tuple[str, str]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}[{key}]", _text(item)) for key, item in value.items())
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for number, item in enumerate(value, start=1):
                yield from ((f"{key}_{number}", _text(inner)) for key, inner in item.items())
        else:
            yield name, _text(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (bool, list)):
        return json.dumps(value, ensure_ascii=False)
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


class RecordWriter:
    """Writes records to a text file, many at a time: a stop leaves whole lots of rows.

    Nothing is written before the first of them.

    Args:
        file: Opened with newline="", an encoding of UTF-8 and errors="surrogateescape", since a
            file name need not be UTF-8 and is written as it is.
        format_: How.
        rows: Records that are there already.
    """

    def __init__(self, file: TextIO, format_: Format, rows: int = 0) -> None:
        self.file = file
        self.format = format_
        self.rows = rows

    def write(self, records: Iterable[Record]) -> None:
        """Writes records after those that are there."""
        text = io.StringIO(newline="")
        for record in records:
            self._write(text, record)
            self.rows += 1
        self.file.write(text.getvalue())
        self.file.flush()

    def end(self) -> None:
        """Writes what follows the last record."""
        if self.format is Format.JSON:
            self.file.write("\n]\n" if self.rows else "[]\n")
            self.file.flush()

    def _write(self, text: TextIO, record: Record) -> None:
        if self.format is Format.CSV:
            row = cells(record)
            writer = csv.writer(text, lineterminator="\n")
            if not self.rows:
                writer.writerow(row)
            writer.writerow(row.values())
            return
        try:
            line = json.dumps(record, ensure_ascii=False, allow_nan=False)
        except ValueError as error:  # JSON has no word for it
            raise PixelBayesError(f"{record['path']}: an answer is not finite: {record}") from error
        line = SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)
        if self.format is Format.JSONL:
            text.write(line + "\n")
        else:
            text.write((",\n" if self.rows else "[\n") + line)


def read_record(text: str, header: Iterable[str] | None) -> dict[str, str]:
    """The cells of a row of CSV under a header, or of a line of JSON.

    Raises:
        ValueError: If it is none.
    """
    if header is None:
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("no record")
        return cells(content)
    (row,) = csv.reader(io.StringIO(text, newline=""), strict=True)
    return dict(zip(header, row, strict=True))
