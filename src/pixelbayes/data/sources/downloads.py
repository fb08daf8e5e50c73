"""Downloads, and the digests that say they are what they should be."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from pixelbayes.data.errors import DatasetError
from pixelbayes.errors import naming_extras

__all__ = ["cache_folder", "fetch", "tree_digest"]

CACHE_VARIABLE = "PIXELBAYES_CACHE"
CAUSE = 200  # characters of what the system said; urllib3 nests its errors three deep


@naming_extras()
def cache_folder() -> Path:
    """Where downloads are kept: $PIXELBAYES_CACHE, or the platform's cache folder."""
    import pooch

    return Path(os.environ.get(CACHE_VARIABLE) or pooch.os_cache("pixelbayes"))


@naming_extras()
def fetch(url: str, *, known_hash: str | None, file_name: str, folder: Path) -> Path:
    """Downloads a file, unless it is there already.

    Args:
        url: Where it is.
        known_hash: Its digest as pooch writes it ("md5:..."), or None where its bytes may vary.
        file_name: What it is called here.
        folder: Where it goes.

    Raises:
        DatasetError: If it cannot be downloaded, or has another digest.
    """
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)  # pooch would print advice meant for this file's author
    try:
        return Path(
            pooch.retrieve(url, known_hash=known_hash, fname=file_name, path=os.fspath(folder))
        )
    except Exception as error:  # pooch passes on what requests, urllib3 and the system raise
        raise DatasetError(
            f"could not download {url} to {folder}. Without a network, get the file on another "
            "machine, unpack it, and pass its folder with --data-dir. The cause: "
            + str(error)[:CAUSE]
        ) from error
    finally:
        logger.setLevel(level)


def tree_digest(folder: Path, names: Iterable[str]) -> str:
    """SHA-256 of files and whole folders, independent of their order and their dates.

    Args:
        folder: Where the names are.
        names: Files, or folders that count with everything in them but hidden files.

    Returns:
        Hexadecimal digest over the sorted relative paths and the bytes of the files.
    """
    files: set[Path] = set()
    for name in names:
        path = folder / name
        files |= {path} if path.is_file() else {file for file in path.rglob("*") if file.is_file()}
    relative = {file.relative_to(folder).as_posix(): file for file in files}
    digest = hashlib.sha256()
    for name, file in sorted(relative.items()):
        if not any(part.startswith(".") for part in name.split("/")):
            # Lengths go first, so no two trees give the same stream of bytes.
            for part in (name.encode(), file.read_bytes()):
                digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
