"""From the text that names a source to its images."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pixelbayes.data.errors import DatasetError
from pixelbayes.data.images import ImageDataset
from pixelbayes.data.records import SplitRecord
from pixelbayes.data.sources.archives import NpzSource
from pixelbayes.data.sources.base import LoadOptions, Source
from pixelbayes.data.sources.builtin import Cifar10Source, Cpen455Source, DigitsSource
from pixelbayes.data.sources.folders import FolderSource
from pixelbayes.data.sources.tables import CsvSource
from pixelbayes.switches import undisturbed

__all__ = ["SOURCES", "load_dataset", "open_source", "same_source"]

DOWNLOADED: dict[str, Callable[[Path | None], Source]] = {
    "cpen455": Cpen455Source,
    "cifar10": Cifar10Source,
}
FROM_PATH: dict[str, Callable[[Path], Source]] = {
    "folder": FolderSource,
    "csv": CsvSource,
    "npz": NpzSource,
}
SOURCES = ("digits", *DOWNLOADED, *(f"{kind}:PATH" for kind in FROM_PATH))
"""What a source may be called."""


def open_source(spec: str, *, data_dir: str | Path | None = None) -> Source:
    """Returns the source of that name, without reading from it.

    Args:
        spec: digits, cpen455, cifar10, folder:PATH, csv:PATH or npz:PATH.
        data_dir: Where the files of cpen455 or cifar10 are; None downloads them.

    Raises:
        DatasetError: If there is no such source, a path is missing or not wanted, or `data_dir`
            is given to a source that has none.
    """
    kind, colon, path = spec.partition(":")
    if kind in DOWNLOADED and not colon:
        return DOWNLOADED[kind](Path(data_dir).expanduser() if data_dir is not None else None)
    if kind in FROM_PATH and not path:
        raise DatasetError(f"{kind} needs a path: {kind}:PATH")
    if kind not in FROM_PATH and spec != "digits":
        raise DatasetError(_unknown(spec))
    if data_dir is not None:
        raise DatasetError(
            f"--data-dir says where {' or '.join(DOWNLOADED)} is, and means nothing to {spec}; "
            "leave it out"
        )
    return FROM_PATH[kind](Path(path).expanduser()) if path else DigitsSource()


def load_dataset(
    spec: str,
    *,
    data_dir: str | Path | None = None,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    filter: str = "bilinear",  # noqa: A002
    geometry: str = "crop",
    allow_upscaling: bool = False,
    crop_margin: int = 0,
    fractions: Mapping[str, float] | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    limit: int | None = None,
    train_limit: int | None = None,
    set_aside: int | None = None,
    near_duplicates: str = "tell",
    record: SplitRecord | None = None,
    whole: Sequence[str] | None = None,
) -> ImageDataset:
    """Loads a data set.

    >>> digits = load_dataset("digits", limit=20)
    >>> digits.split("train").levels.shape, digits.classes[:3]
    (torch.Size([20, 1, 8, 8]), ('0', '1', '2'))

    Args:
        spec: As for `open_source`.
        data_dir: As for `open_source`.
        image_size: Rows and columns; None: the source's own.
        channels: 1 (grey) or 3 (RGB); None: the source's own.
        filter: As in `Resize`.
        geometry: As in `Resize`.
        allow_upscaling: As in `Resize`.
        crop_margin: Rows and columns that training images get beyond `image_size`.
        fractions: Share of each split; None: 70/15/15 of data in one piece, 90/10 of training
            images that come without validation images.
        seed: Decides every split and every choice of images.
        skip_bad: Leaves out files that cannot be read.
        limit: At most this many images of each split, in the proportions of the classes.
        train_limit: At most this many training images, in the proportions of the classes.
        set_aside: So many training images take the place of the validation images.
        near_duplicates: Of images of different splits: tell (a warning), keep-together (where the
            splits are made here, each group is in one of them), drop (leave them out of the
            training split, or of validation where the other is a test image), or ignore.
        record: Splits to keep to, such as `ImageDataset.record` of an earlier load; seed,
            fractions, limits and set_aside then decide nothing.
        whole: Classes, of which the images may have some only; what comes without splits is then
            one split, "test".

    Raises:
        DatasetError: If there is no such source, or its images cannot be used.
    """
    options = LoadOptions(
        image_size=image_size,
        channels=channels,
        filter=filter,
        geometry=geometry,
        allow_upscaling=allow_upscaling,
        crop_margin=crop_margin,
        fractions=fractions,
        seed=seed,
        skip_bad=skip_bad,
        limit=limit,
        train_limit=train_limit,
        set_aside=set_aside,
        near_duplicates=near_duplicates,
    )
    with undisturbed():
        return open_source(spec, data_dir=data_dir).load(options, record=record, whole=whole)


def same_source(first: str, second: str) -> bool:
    """Whether two names mean the same images: one path in two spellings does.

    >>> same_source("folder:photos", "folder:./photos/"), same_source("digits", "folder:digits")
    (True, False)
    """
    (kind, _, path), (other_kind, _, other_path) = first.partition(":"), second.partition(":")
    if kind != other_kind or bool(path) != bool(other_path):
        return False
    return Path(path).expanduser().resolve() == Path(other_path).expanduser().resolve()


def _unknown(spec: str) -> str:
    path, kind = Path(spec).expanduser(), spec.partition(":")[0]
    if path.is_dir():
        hint = f"; did you mean folder:{spec}?"
    elif path.is_file() and path.suffix.lower() in (".csv", ".npz"):
        hint = f"; did you mean {path.suffix.lower()[1:]}:{spec}?"
    else:
        known = {name.partition(":")[0]: name for name in SOURCES}
        close = difflib.get_close_matches(kind.lower(), known, n=1)
        hint = f"; did you mean {known[close[0]]}?" if close else ""
    return f"unknown data source {spec!r}; choose one of: {', '.join(SOURCES)}{hint}"
