"""Which image files a user's paths stand for: files, folders, tables that list files, stdin."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from pixelbayes.data import DatasetError, find_images
from pixelbayes.data.finding import IMAGE_SUFFIXES
from pixelbayes.data.pixels import FORMATS
from pixelbayes.data.sources.tables import PATH_NAMES, located, read_cells
from pixelbayes.io import SURROGATE

__all__ = ["STDIN", "Inputs", "find_inputs"]

STDIN = Path("-")
OURS = (["path", "class", "index"], ["path", "log_likelihood", "bits_per_dim"])
"""How the tables of `predict` and of `score` begin."""


@dataclass(frozen=True)
class Inputs:
    """The files that a user's paths stand for."""

    images: tuple[Path, ...]
    """Image files, in the order given; those of a folder sorted."""
    others: tuple[Path, ...] = ()
    """What was found in folders and is not used: no images, hidden, or made by a system."""
    content: dict[Path, bytes] = field(default_factory=dict)
    """What is in an image that is no file: the one that came by standard input."""


def find_inputs(paths: Sequence[str | Path], stdin: BinaryIO | None = None) -> Inputs:
    """Expands folders, tables and standard input to image files.

    Args:
        paths: Image files; folders (searched with their sub-folders); CSV tables, relative to which
            their paths are; and "-", standard input: an image, or else a list of paths, one a line
            or, as `find -print0` writes them, ended by a zero byte.
        stdin: What is read for "-".

    Raises:
        DatasetError: If a path is empty, does not exist or is of another kind, or there is no
            image.
    """
    if "" in paths:  # of a variable that is not set; Path would make the current folder of it
        raise DatasetError("an empty path; the current folder is .")
    images: list[Path] = []
    others: list[Path] = []
    content: dict[Path, bytes] = {}
    if [*map(Path, paths)].count(STDIN) > 1:
        raise DatasetError("standard input (-) can be read only once")
    for path in map(Path, paths):
        if path == STDIN and stdin is not None:
            read = stdin.read()
            if _is_image(read):
                images.append(STDIN)
                content[STDIN] = read
                continue
            found = find_inputs(_lines(read)) if read.strip() else Inputs(())
            images += found.images
            others += found.others
        elif path.suffix.lower() in (".csv", ".tsv") and path.is_file():
            images += _listed(path)
        else:
            expanded = find_images(path)
            images += expanded.images
            others += [file.path for file in expanded.left_out]
    if not images:
        where = ", ".join("standard input" if Path(path) == STDIN else str(path) for path in paths)
        raise DatasetError(f"no images in {where}")
    return Inputs(tuple(images), tuple(others), content)


def _is_image(content: bytes) -> bool:
    try:
        Image.open(io.BytesIO(content), formats=FORMATS).close()
    except Exception:  # Pillow raises almost any type on what is no image
        return False
    return True


def _lines(content: bytes) -> list[Path]:
    """Paths of a list; of bytes that are no text Python makes the name that the system has."""
    ended = b"\0" if b"\0" in content else b"\n"
    lines = (line if ended == b"\0" else line.rstrip(b"\r") for line in content.split(ended))
    return [Path(os.fsdecode(line)) for line in lines if line.strip()]


def _listed(table: Path) -> list[Path]:
    """The files that a table names, relative to it.

    Those of a table of predictions are as they were given to `predict`: relative to the working
    folder, unless they lie beside the table.
    """
    header, rows = _read_table(table)
    names = [cell.strip().lower() for cell in header]
    ours = any(names[: len(columns)] == columns for columns in OURS)
    column = _path_column(table, names, rows)
    short = [str(number) for number, row in enumerate(rows, start=1) if len(row) <= column]
    if short:
        raise DatasetError(f"{table}: rows without a path: {', '.join(short[:10])}")
    if ours:
        given = [(table.parent / row[column], Path(row[column])) for row in rows]
        return [beside if beside.exists() else here for beside, here in given]
    files = [located(row[column].strip(), table.parent) for row in rows]
    for path in files:
        if SURROGATE.search(str(path)) and not path.exists():
            raise DatasetError(
                f"{table} is not a CSV file in UTF-8, and there is no file {str(path)!r}"
            )
    return files


def _read_table(table: Path) -> tuple[list[str], list[list[str]]]:
    """The header, empty where there is none, and the other rows that are not empty."""
    # surrogateescape: as predictions are written
    rows = [cells for _, cells in read_cells(table, errors="surrogateescape")]
    if rows and any(cell.strip().lower() in PATH_NAMES for cell in rows[0]):
        return rows[0], rows[1:]
    return [], rows


def _path_column(table: Path, names: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Which column has the paths: the header says so, else the suffixes of images do.

    Raises:
        DatasetError: If several columns may be meant.
    """
    found = [index for index, name in enumerate(names) if name in PATH_NAMES]
    usual = [index for index in found if names[index] == PATH_NAMES[0]]
    if not names:
        width = max(map(len, rows), default=0)
        found = [i for i in range(width) if _all(rows, i, _has_suffix)]
        if not found:
            found = [i for i in range(width) if _all(rows, i, partial(_is_file, table.parent))]
        if not found:
            return 0
    chosen = usual if len(usual) == 1 else found
    if len(chosen) != 1:
        which = ", ".join(names[i] if names else f"number {i + 1}" for i in chosen)
        raise DatasetError(
            f"{table}: more than one column may hold the paths ({which}); call the one that is "
            "meant path"
        )
    return chosen[0]


def _all(rows: Sequence[Sequence[str]], column: int, holds: Callable[[str], bool]) -> bool:
    return all(len(row) > column and holds(row[column].strip()) for row in rows)


def _is_file(folder: Path, cell: str) -> bool:
    return os.path.isfile(folder / cell)  # which knows no error of too long a name


def _has_suffix(cell: str) -> bool:
    return cell.lower().endswith(IMAGE_SUFFIXES)
