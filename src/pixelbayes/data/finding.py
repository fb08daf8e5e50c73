"""Which files of a folder are images, and what is left out of it, each with its reason.

Images are recognised by suffix, or else by content.  What a system or a photo program puts
beside them (thumbnails, bins, previews in an archive) is left out, because a thumbnail in
the test set of a photograph in the training set is a leak that no number shows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NoReturn

from pixelbayes.data.errors import DatasetError
from pixelbayes.data.naming import canonical_name, composed, name_order
from pixelbayes.data.pixels import open_image

__all__ = [
    "IMAGE_SUFFIXES",
    "BadFile",
    "FoundImages",
    "count_files",
    "find_images",
    "is_set_aside",
    "refuse_unreadable",
]

IMAGE_SUFFIXES = (
    ".bmp",
    ".gif",
    ".jfif",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".pbm",
    ".pgm",
    ".png",
    ".pnm",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)
# Written by Synology, QNAP, macOS, Windows, Linux file systems and Python, in lower case.
SYSTEM_FOLDERS = {
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "@eadir",
    "@recently-snapshot",
    "@recycle",
    "@tmp",
    "__macosx",
    "__pycache__",
    "lost+found",
    "recycler",
    "system volume information",
    "thumbnails",
}


SHEETS = {
    "grid.png": "samples.json",
    "explanation.png": "explanation.json",
    "counterfactual.png": "explanation.json",
}
"""Pictures of several images that this program writes, and the index that lies beside each."""


@dataclass(frozen=True)
class BadFile:
    """A file that was left out, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class FoundImages:
    """What a folder has, in the order of canonical names."""

    images: list[Path]
    left_out: list[BadFile]
    """Files and folders that are not used."""


def find_images(path: str | Path) -> FoundImages:
    """Finds the image files of a folder and of the folders in it.

    Left out, and told: hidden files and folders (a name that starts with a dot), folders that
    systems and photo programs make, files that are no images by suffix nor by content, and
    `SHEETS`.

    Args:
        path: A folder, or a single image file.

    Raises:
        DatasetError: If the path does not exist, is a file that is no image, or has a folder
            that cannot be read.
    """
    path = Path(path)
    if path.is_file():
        if not _is_image(path):
            raise DatasetError(
                f"{path} is not an image file; accepted suffixes: {', '.join(IMAGE_SUFFIXES)}"
            )
        return FoundImages([path], [])
    if not path.is_dir():
        raise DatasetError(
            f"{path} does not exist; pass an image file or a folder of images "
            f"(relative paths start at {Path.cwd()})"
        )
    images: list[Path] = []
    left_out: list[BadFile] = []
    links: list[Path] = []  # to folders: read at the end, so that a folder wins over links to it
    seen: set[str] = set()
    for top in chain([path], _taken_from(links)):
        if os.path.realpath(top) in seen:
            left_out.append(BadFile(top, "a link to a folder that is read already"))
            continue
        for folder, subfolders, files in os.walk(top, onerror=refuse_unreadable):
            if (real := os.path.realpath(folder)) in seen:  # a link led to a folder above it
                subfolders.clear()
                continue
            seen.add(real)
            for name in subfolders:
                if is_set_aside(name):
                    left_out.append(BadFile(Path(folder, name), _why_set_aside(Path(folder, name))))
            # In one order on every system, so that the same link wins.
            used = sorted((n for n in subfolders if not is_set_aside(n)), key=composed)
            links += [link for name in used if (link := Path(folder, name)).is_symlink()]
            subfolders[:] = [name for name in used if not Path(folder, name).is_symlink()]
            for file in (Path(folder, name) for name in files):
                if (reason := _why_not(file)) is None:
                    images.append(file)
                else:
                    left_out.append(BadFile(file, reason))
    return FoundImages(
        sorted(images, key=lambda file: name_order(canonical_name(file.relative_to(path)))),
        sorted(left_out, key=lambda file: name_order(canonical_name(file.path.relative_to(path)))),
    )


def _why_not(file: Path) -> str | None:
    """Why a file is left out; None where it is an image."""
    if file.name.startswith("."):
        return "hidden"
    index = SHEETS.get(file.name)
    if index is not None and file.with_name(index).is_file():
        return f"a sheet of several images, described in {index}"
    return None if _is_image(file) else "not an image by its suffix or its content"


def _taken_from(queue: list[Path]) -> Iterator[Path]:
    """What is in a queue, also what comes into it meanwhile."""
    while queue:
        yield queue.pop(0)


def is_set_aside(folder: str) -> bool:
    """Whether a folder of this name holds nothing that its owner put there."""
    return folder.startswith(".") or folder.lower() in SYSTEM_FOLDERS


def count_files(folder: Path) -> int:
    """Number of files in a folder and the folders in it."""
    return sum(len(files) for _, _, files in os.walk(folder))


def _why_set_aside(folder: Path) -> str:
    kind = "hidden" if folder.name.startswith(".") else "made by a system or a photo program"
    return f"a folder {kind}, with {count_files(folder)} files"


def refuse_unreadable(error: OSError) -> NoReturn:
    """Says that a folder cannot be read.

    Raises:
        DatasetError: Always.
    """
    raise DatasetError(
        f"the folder {error.filename} cannot be read: {error.strerror}; make it readable or move "
        "it away"
    ) from error


def _is_image(path: Path) -> bool:
    if path.exists() and not path.is_file():  # a pipe would never end
        return False
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        open_image(path).close()
    except Exception:  # Pillow raises almost any type on what is no image
        return False
    return True
