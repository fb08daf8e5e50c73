"""Tables that grow while they are computed, and go on where they were stopped.

What is being written is called NAME.partial and becomes NAME when it is whole, so that half a table
is never taken for a whole one.  A stop of any kind leaves it; `resumed` finds out what is there.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pixelbayes.errors import PixelBayesError
from pixelbayes.io import PARTIAL, naming
from pixelbayes.workflows.records import Format, Record, cells, read_record

__all__ = ["GoingOn", "ResumeError", "growing", "resumed", "unfinished"]

SAME = 1e-3  # relative: far above what another machine changes, far below another model
PATH = "path"


class ResumeError(PixelBayesError):
    """What an earlier call has written is no beginning of what is asked for now."""


@dataclass(frozen=True)
class GoingOn:
    """Where to go on."""

    rows: int = 0
    """Rows that are there."""
    chunk: int = 0
    """Number of the first chunk of files that is not written whole."""
    of_chunk: int = 0
    """Rows of that chunk that are there: a full disk or a crash may cut a chunk."""
    passed: tuple[Path, ...] = ()
    """Files before it that the earlier call left out."""
    whole: bool = False
    """Whether nothing is left to do."""


def unfinished(output: Path) -> Path:
    """What a table is called while it is written."""
    return output.with_name(output.name + PARTIAL)


@contextmanager
def growing(output: Path, *, keeps: bool) -> Iterator[TextIO]:
    """A text file to append rows to, which becomes `output` at the end.

    Args:
        output: The table; its folder is made.
        keeps: Whether rows stay where the work is stopped.

    Raises:
        OSError: If they cannot be written; it names `output`.
    """
    partial = unfinished(output)
    with naming(output, partial):
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            # surrogateescape: a file name need not be UTF-8, and is written as it is
            with partial.open("a", encoding="utf-8", errors="surrogateescape", newline="") as file:
                yield file
            os.replace(partial, output)
        except BaseException:
            if partial.is_file() and not (keeps and _has_rows(partial)):
                partial.unlink()
            raise


def resumed(
    output: Path,
    format_: Format,
    paths: Sequence[Path],
    *,
    chunk: int,
    skip_bad: bool,
    again: Callable[[Path], Record],
) -> GoingOn:
    """Finds what an earlier call has written, and takes away a half-written last row.

    Args:
        output: The table; it, or its unfinished form, is there or not.
        format_: Of the table.
        paths: All files, in order.
        chunk: Files of a chunk.
        skip_bad: Whether files may have been left out.
        again: Computes the record of one file, which must be the one that is there.

    Raises:
        ResumeError: If the rows are of other files, or made by another model or with other
            settings.
    """
    partial = unfinished(output)
    there = partial if partial.is_file() else output
    if not there.is_file():
        return GoingOn()
    found = _read(there, format_, paths, chunk, skip_bad, again)
    wanted = output if found.whole else partial
    if there != wanted:
        os.replace(there, wanted)
    return found


def _read(
    file: Path,
    format_: Format,
    paths: Sequence[Path],
    chunk: int,
    skip_bad: bool,
    again: Callable[[Path], Record],
) -> GoingOn:
    header: list[str] | None = None
    rows, position, of_chunk, end = 0, 0, 0, 0
    passed: list[Path] = []
    for text, end_of_row in _whole_rows(file, quoted=format_ is Format.CSV):
        if format_ is Format.CSV and header is None:
            header = next(csv.reader([text]))
            if PATH not in header:
                raise _other_format(file, format_)
        else:
            try:
                row = read_record(text, header)
            except ValueError:
                if header is None and not rows:
                    raise _other_format(file, format_) from None
                break  # the disk lost what follows
            before = position
            while position < len(paths) and row.get(PATH) != str(paths[position]):
                position += 1
            if position == len(paths) or (position > before and not skip_bad):
                raise ResumeError(
                    f"row {rows + 1} of {file} is of {row.get(PATH)}, and not of "
                    f"{paths[before] if before < len(paths) else 'any file that is left'}: it was "
                    "written for other files. Give the same ones in the same order, or pass "
                    "--overwrite to begin anew"
                )
            if rows == 0:
                _require_same(row, cells(again(paths[position])), file)
            of_chunk = of_chunk + 1 if rows and position // chunk == (before - 1) // chunk else 1
            passed += paths[before:position]
            rows, position = rows + 1, position + 1
        end = end_of_row
    if not rows:
        end = 0
    if end < file.stat().st_size:
        with file.open("r+b") as opened:
            opened.truncate(end)
    inside = position % chunk != 0
    return GoingOn(
        rows=rows,
        chunk=position // chunk,
        of_chunk=of_chunk if inside else 0,
        passed=tuple(passed),
        whole=position == len(paths),
    )


def _has_rows(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.readline().endswith(b"\n")


def _whole_rows(file: Path, *, quoted: bool) -> Iterator[tuple[str, int]]:
    """Each row that ends with a line break, and the number of bytes up to its end.

    Args:
        file: The table.
        quoted: Whether line breaks between quotes belong to a row.
    """
    with file.open("rb") as opened:
        row, end = b"", 0
        for line in opened:
            row += line
            if not line.endswith(b"\n") or (quoted and row.count(b'"') % 2):
                continue
            end += len(row)
            yield row.decode("utf-8", "surrogateescape"), end
            row = b""


def _other_format(file: Path, format_: Format) -> ResumeError:
    return ResumeError(
        f"{file} does not begin as a table of {format_.value}: give the --format that it was "
        "begun in, or pass --overwrite to begin anew"
    )


def _require_same(there: dict[str, str], now: dict[str, str], file: Path) -> None:
    """Refuses to go on with rows of another model or other settings.

    Raises:
        ResumeError: If the first row of a file is not what is computed now.
    """
    if [*there] != [*now]:
        names = sorted({*there} ^ {*now})
        differ = f"the columns {', '.join(names)}"
    else:
        changed = [name for name, text in now.items() if not _same(there[name], text)]
        if not changed:
            return
        differ = f"{changed[0]} of {there[PATH]} ({there[changed[0]]}, now {now[changed[0]]})"
    raise ResumeError(
        f"{file} was written by another model or with other settings: {differ}. Give the same "
        "ones, or pass --overwrite to begin anew"
    )


def _same(one: str, other: str) -> bool:
    try:
        return math.isclose(float(one), float(other), rel_tol=SAME, abs_tol=SAME)
    except ValueError:
        return one == other
