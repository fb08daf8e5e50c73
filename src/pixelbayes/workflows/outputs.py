"""What a command may write to: one rule for all of them.

* Nothing that is there is replaced, unless that is asked for.
* What is asked for replaces what this program wrote, which `Kind` can tell, and nothing else.
* What a command reads is never replaced.
"""

from __future__ import annotations

import csv
import errno
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from PIL import Image

from pixelbayes.data.files import SOFTWARE
from pixelbayes.errors import PixelBayesError
from pixelbayes.io import PARTIAL, naming
from pixelbayes.workflows.archive import MAGIC

__all__ = [
    "GRID",
    "INDEX",
    "Kind",
    "OutputExistsError",
    "appearing",
    "filling",
    "free_folder",
    "listed_in",
    "require_free",
    "require_writable",
]

INDEX, GRID = "samples.json", "grid.png"
PREDICTED = ["path", "class", "index", "bits_per_dim"]
"""First columns of a table of predictions."""
SCORED = ["path", "log_likelihood", "bits_per_dim"]
"""First columns of a table of scores."""
FIRST_RECORD = r'\[?\s*\{"path": "(?:[^"\\]|\\.)*", '
"""How a table in JSON or JSON Lines begins."""
DIAGRAM = '<title id="title">Architecture of a class-conditional PixelCNN++</title>'
LOOKED_AT = 4096  # characters of a file that are looked at
RUN_OR_MODEL = ("run.json", "model.json")
"""Files by which a folder is known as a run or a model."""
OF_A_RUN = ("run.json", "config.yaml", "model.json")


class OutputExistsError(PixelBayesError):
    """What was to be written would take the place of something that is there."""


class Kind(Enum):
    """What is written."""

    PREDICTIONS = "a table of predictions"
    SCORES = "a table of scores"
    COURSE_PREDICTIONS = "a table of predicted labels"
    DIAGRAM = "a diagram"
    SAMPLES = "a folder of samples"
    COURSE_SAMPLES = "a folder of generated images and nothing else"
    MODEL = "the folder of a model"
    EXPLANATION = "the folder of an explanation"
    AUDIT = "the folder of an audit"
    ARCHIVE = "a file of compressed images"
    DECOMPRESSED = "a folder of decompressed images"


FILES_OF = {
    Kind.MODEL: {"README.md", "model.json", "model.safetensors"},
    Kind.EXPLANATION: {"explanation.json", "explanation.png", "counterfactual.png"},
    Kind.AUDIT: {"audit.csv", "audit.html"},
}
"""All that is in a folder of a kind."""


def require_free(
    path: Path,
    kind: Kind,
    *,
    overwrite: bool,
    inputs: Iterable[Path] = (),
    option: str = "--output",
) -> None:
    """Makes sure that an output takes the place of nothing but what this program wrote.

    Args:
        path: File or folder to write.
        kind: What is written.
        overwrite: Whether something of this kind may be replaced.
        inputs: Files that the command reads.
        option: Which names the path, for messages.

    Raises:
        OutputExistsError: If something else is there.
        OSError: If nothing can be written there: told before hours of work, not after.
    """
    require_writable(path)
    if kind in (Kind.SAMPLES, Kind.EXPLANATION):
        for place in path.absolute().parents:
            if any((place / name).is_file() for name in RUN_OR_MODEL):
                raise OutputExistsError(
                    f"{path} is inside {place}, a run or a model, which keeps what belongs to it; "
                    f"choose another {option}"
                )
    is_folder = kind in (Kind.SAMPLES, Kind.COURSE_SAMPLES, Kind.DECOMPRESSED, *FILES_OF)
    if not path.exists() or (is_folder and path.is_dir() and not any(path.iterdir())):
        return
    if path.is_dir() != is_folder and (path.is_dir() or path.is_file()):
        there, wanted = ("a folder", "file") if path.is_dir() else ("a file", "folder")
        raise OutputExistsError(f"{path} is {there}; give a {wanted} with {option}")
    if not is_folder and not path.is_file():
        return  # a pipe or a device keeps nothing
    replaced = [path / name for name in listed_in(path)] if kind is Kind.SAMPLES else [path]
    for file in inputs:
        if any(there.exists() and file.exists() and there.samefile(file) for there in replaced):
            raise OutputExistsError(f"{file} is read, and is not replaced; choose another {option}")
    state = "is not empty" if is_folder else "exists"
    if kind is Kind.DECOMPRESSED:  # pictures like any others
        raise OutputExistsError(f"{path} {state}; choose a new folder with {option}")
    if not overwrite:
        raise OutputExistsError(
            f"{path} {state}; choose another {option}, or pass --overwrite to replace {kind.value} "
            "that this program wrote there"
        )
    reason = _foreign(path, kind)
    if reason is not None:
        raise OutputExistsError(
            f"{path} {state} and {reason}, so that it is not replaced; choose another {option}"
        )


def require_writable(path: Path) -> None:
    """Makes sure, without writing, that a file or folder of this name could be written.

    Raises:
        OSError: If the disk is read-only, or its place belongs to somebody else.
    """
    place = next(there for there in (path, *path.absolute().parents) if there.exists())
    place = place if place.is_dir() else place.parent
    if not os.access(place, os.W_OK):
        read_only = hasattr(os, "statvfs") and os.statvfs(place).f_flag & os.ST_RDONLY
        code = errno.EROFS if read_only else errno.EACCES
        raise OSError(code, os.strerror(code), str(path))


def free_folder(folder: Path) -> Path:
    """The folder, or where it is not empty the first of FOLDER-2, FOLDER-3, ... that is free."""
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    for found in itertools.chain([folder], numbered):
        if not found.exists() or (found.is_dir() and not any(found.iterdir())):
            return found
    raise AssertionError("numbers do not end")


@contextmanager
def filling(folder: Path, replaced: Iterable[str]) -> Iterator[Path]:
    """A folder to write files into, which move to `folder` when all of them are written.

    If writing fails, `folder` is as it was before.

    Args:
        folder: Made if missing.
        replaced: Names of files in it whose place the new ones take, or which are removed.

    Raises:
        OSError: If files cannot be written; it names `folder`.
    """
    made = not folder.exists()
    staging = folder / f"new{PARTIAL}"
    try:
        with naming(folder, staging):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir()
            yield staging
            written = sorted(file.name for file in staging.iterdir())
            for name in {*replaced} - {*written}:
                (folder / name).unlink(missing_ok=True)
            for name in written:
                os.replace(staging / name, folder / name)
            staging.rmdir()
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        if made and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        raise


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A folder to fill, which is there as `folder` when all is written.

    If writing fails, `folder` is as it was before: not there, or empty.

    Args:
        folder: New, or empty; what it holds then appears in it, since it may be where somebody is.

    Raises:
        OSError: If files cannot be written; it names `folder`.
    """
    if folder.exists():
        with filling(folder, ()) as staging:
            yield staging
        return
    partial = folder.with_name(folder.name + PARTIAL)
    try:
        with naming(folder, partial):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            yield partial
            os.replace(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def listed_in(folder: Path) -> list[str]:
    """Names of the images that `samples.json` in a folder lists; empty where there is none."""
    try:
        entries = json.loads((folder / INDEX).read_text("utf-8"))["samples"]
        names = [str(entry["file"]) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [name for name in names if Path(name).name == name and name.endswith(".png")]


def _foreign(path: Path, kind: Kind) -> str | None:
    """Why this program did not write what is there; None where it did."""
    if kind is Kind.SAMPLES:
        run = [name for name in OF_A_RUN if (path / name).exists()]
        if run:
            return f"holds a run or a model ({', '.join(run)})"
        listed = listed_in(path)
        if not listed:
            return f"has no {INDEX} that lists samples"
        images = {file.name for file in path.glob("*-[0-9][0-9][0-9][0-9]*.png")} - {*listed}
        return f"holds {min(images)}, which {INDEX} does not list" if images else None
    if kind is Kind.COURSE_SAMPLES:
        others = sorted(file.name for file in path.iterdir() if not _is_our_png(file))
        return f"holds {others[0]}, which this program did not write" if others else None
    if kind in FILES_OF:
        others = sorted({file.name for file in path.iterdir()} - FILES_OF[kind])
        return f"holds {others[0]}, which is no part of {kind.value}" if others else None
    if kind is Kind.PREDICTIONS:
        ours = _is_table_of(PREDICTED, path)
    elif kind is Kind.SCORES:
        ours = _is_table_of(SCORED, path)
    elif kind is Kind.COURSE_PREDICTIONS:
        ours = _is_course_table(path)
    elif kind is Kind.ARCHIVE:
        with path.open("rb") as file:
            ours = file.read(len(MAGIC)) == MAGIC
    else:
        ours = DIAGRAM in _first_characters(path)
    return None if ours else f"is not {kind.value} of this program"


def _first_characters(file: Path) -> str:
    with file.open(encoding="utf-8", errors="replace", newline="") as opened:
        return opened.read(LOOKED_AT)


def _is_table_of(columns: list[str], file: Path) -> bool:
    text = _first_characters(file)
    header = next(csv.reader(text.splitlines()[:1]), [])
    as_json = re.match(f'{FIRST_RECORD}"{columns[1]}": ', text)
    return header[: len(columns)] == columns or as_json is not None


def _is_course_table(file: Path) -> bool:
    """Whether each row is a path and a label that is known: the course's own test.csv has -1."""
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            rows = list(csv.reader(opened))
    except (ValueError, csv.Error):
        return False
    return all(len(row) == 2 and row[1].isdecimal() for row in rows)


def _is_our_png(file: Path) -> bool:
    try:
        with Image.open(file) as image:
            return image.format == "PNG" and image.info.get("Software") == SOFTWARE
    except (OSError, ValueError):
        return False
