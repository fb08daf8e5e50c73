"""The data sets that the project knows by name.

References:
    [1] Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
    [2] Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
        https://www.cs.toronto.edu/~kriz/cifar.html
    [3] The CPEN455 starter repository.  https://github.com/DSL-Lab/CPEN455HW-2024W2
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pixelbayes.data.errors import DatasetError, enumerate_offenders
from pixelbayes.data.images import UNLABELLED
from pixelbayes.data.sources.base import Source
from pixelbayes.data.sources.downloads import cache_folder, fetch, tree_digest
from pixelbayes.data.sources.entries import UNSPLIT, ArrayEntries, Listing, named
from pixelbayes.data.sources.tables import entries_of, read_rows
from pixelbayes.errors import naming_extras

__all__ = ["Cifar10Source", "Cpen455Source", "DigitsSource"]

CPEN455_CLASSES = ("cheeseburger", "giant panda", "koala", "pizza")
CPEN455_COMMIT = "164cace"
CPEN455_URL = f"https://github.com/DSL-Lab/CPEN455HW-2024W2/archive/{CPEN455_COMMIT}.zip"
CPEN455_PARTS = ("train", "validation", "test", "train.csv", "validation.csv", "test.csv")
# tree_digest of these parts.  GitHub packs the archive anew from time to time, so that its own
# digest would not last.
CPEN455_DIGEST = "81d717797b5375163da7855d1e698971d43b021663b84cf9bef7ee92468bd496"

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_HASH = "md5:c32a1d4ab5d03f1284b67883e8d87530"  # published in [2]
CIFAR10_ARCHIVE = "cifar-10-binary.tar.gz"
CIFAR10_FOLDER = "cifar-10-batches-bin"
CIFAR10_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
CIFAR10_TEST = ("test_batch",)
CIFAR10_RECORD = 1 + 3 * 32 * 32  # one byte of label, then the planes red, green and blue
CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

DIGITS_MAXIMUM = 16  # the images of [1] count the black ones among 4 x 4 pixels


class DigitsSource(Source):
    """1,797 handwritten digits, 8 x 8 grey, that come with scikit-learn [1]."""

    @naming_extras()
    def listing(self) -> Listing:
        """Lists the images; see `Source.listing`."""
        levels, labels = _digits()
        entries = ArrayEntries(
            named("digits", len(levels)), torch.tensor(labels), torch.tensor(levels)[:, None]
        )
        classes = tuple(str(digit) for digit in range(10))
        return Listing("digits", classes, {UNSPLIT: entries}, (8, 8), 1)


@cache  # scikit-learn reads them from a table of text, in 20 ms
def _digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    levels = np.rint(digits.images * (255 / DIGITS_MAXIMUM)).astype(np.uint8)
    return levels, digits.target.astype(np.int64)


class Cpen455Source(Source):
    """The images of the CPEN455 course project [3]: four classes, 64 x 64, used at 32 x 32.

    Args:
        data_dir: A folder with train.csv, validation.csv and test.csv (`path,label`, no header)
            and the images, or the starter repository that has it as `data/`.  None downloads
            the starter repository at a fixed commit and checks what it holds.
    """

    def __init__(self, data_dir: Path | None = None) -> None:
        self.data_dir = data_dir

    def listing(self) -> Listing:
        """Lists the images; see `Source.listing`."""
        folder = _download_cpen455() if self.data_dir is None else self._find(self.data_dir)
        splits = {}
        for split in ("train", "validation", "test"):
            table = folder / f"{split}.csv"
            rows = read_rows(table)
            accepted = {str(label): label for label in range(len(CPEN455_CLASSES))}
            accepted[str(UNLABELLED)] = UNLABELLED
            wrong = [f"line {row.line} ({row.label})" for row in rows if row.label not in accepted]
            if wrong:
                raise DatasetError(
                    f"{table}: labels are 0..3 or -1, got: {enumerate_offenders(wrong)}"
                )
            splits[split] = entries_of(rows, folder, [accepted[row.label] for row in rows])
        return Listing("cpen455", CPEN455_CLASSES, splits, (32, 32), 3)

    @staticmethod
    def _find(data_dir: Path) -> Path:
        for folder in (data_dir, data_dir / "data", data_dir / "cpen455"):
            if (folder / "train.csv").is_file():
                return folder
        raise DatasetError(
            f"{data_dir} has no train.csv, nor data/train.csv or cpen455/train.csv; pass as "
            "--data-dir the starter repository or its folder data/, or leave it out to download "
            "the images"
        )


class Cifar10Source(Source):
    """CIFAR-10 in its binary version [2]; 5,000 training images become validation images.

    Args:
        data_dir: The archive cifar-10-binary.tar.gz, or a folder that has it or its unpacked
            files.  None downloads the archive.
    """

    def __init__(self, data_dir: Path | None = None) -> None:
        self.data_dir = data_dir

    def listing(self) -> Listing:
        """Lists the images; see `Source.listing`."""
        batches = self._batches()
        splits = {
            split: ArrayEntries(
                tuple(name for batch in members for name in named(batch, len(batches[batch][0]))),
                torch.cat([batches[batch][0] for batch in members]),
                torch.cat([batches[batch][1] for batch in members]),
            )
            for split, members in (("train", CIFAR10_TRAIN), ("test", CIFAR10_TEST))
        }
        return Listing("cifar10", CIFAR10_CLASSES, splits, (32, 32), 3)

    def _batches(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Labels (N,) and levels (N, 3, 32, 32) of each batch."""
        place = self.data_dir
        if place is None:
            place = fetch(
                CIFAR10_URL,
                known_hash=CIFAR10_HASH,
                file_name=CIFAR10_ARCHIVE,
                folder=cache_folder(),
            )
        for candidate in (place, place / CIFAR10_FOLDER, place / CIFAR10_ARCHIVE):
            if candidate.is_file():
                return _parse_batches(candidate, _read_archive(candidate))
            if (candidate / f"{CIFAR10_TRAIN[0]}.bin").is_file():
                return _parse_batches(candidate, _read_folder(candidate))
        raise DatasetError(
            f"{place} has neither {CIFAR10_ARCHIVE} nor {CIFAR10_TRAIN[0]}.bin; pass as --data-dir "
            "the archive or its unpacked folder, or leave it out to download the archive"
        )


def _read_folder(folder: Path) -> dict[str, bytes]:
    return {file.stem: file.read_bytes() for file in sorted(folder.glob("*_batch*.bin"))}


def _read_archive(archive: Path) -> dict[str, bytes]:
    """Reads the batches straight from the archive: nothing is unpacked, so no path can escape."""
    contents = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                if member.isfile() and name.stem in (*CIFAR10_TRAIN, *CIFAR10_TEST):
                    stream = tar.extractfile(member)
                    contents[name.stem] = stream.read() if stream else b""
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{archive} is not a complete tar archive: {error}") from error
    return contents


def _parse_batches(place: Path, contents: dict[str, bytes]) -> dict[str, tuple[Tensor, Tensor]]:
    batches = {}
    for name in (*CIFAR10_TRAIN, *CIFAR10_TEST):
        if name not in contents:
            raise DatasetError(f"{place} lacks {name}.bin; is it the binary version of CIFAR-10?")
        content = contents[name]
        if not content or len(content) % CIFAR10_RECORD:
            raise DatasetError(
                f"{place}, {name}.bin: {len(content)} bytes are not a multiple of "
                f"{CIFAR10_RECORD}, the size of one image; is the file complete?"
            )
        records = torch.frombuffer(bytearray(content), dtype=torch.uint8).view(-1, CIFAR10_RECORD)
        labels, levels = records[:, 0].long(), records[:, 1:].reshape(-1, 3, 32, 32)
        batches[name] = (labels, levels)
    return batches


def _download_cpen455() -> Path:
    """The folder of the downloaded images; it exists only if its digest was right."""
    folder = cache_folder() / f"cpen455-{CPEN455_COMMIT}"
    if folder.is_dir():
        return folder
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
        archive = fetch(CPEN455_URL, known_hash=None, file_name="starter.zip", folder=Path(scratch))
        unpacked = Path(scratch) / "data"
        _unpack_data(archive, unpacked)
        digest = tree_digest(unpacked, CPEN455_PARTS)
        if digest != CPEN455_DIGEST:
            raise DatasetError(
                f"{CPEN455_URL} holds other files than expected: their digest is {digest}, not "
                f"{CPEN455_DIGEST}. If you trust them, unpack them and pass --data-dir"
            )
        try:
            os.replace(unpacked, folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster, with the same files
                raise
    return folder


def _unpack_data(archive: Path, target: Path) -> None:
    """Unpacks the images and tables of the starter repository, and nothing else."""
    try:
        with zipfile.ZipFile(archive) as zipped:
            for member in zipped.infolist():
                inside = PurePosixPath(member.filename).parts[1:]  # the first is the repository
                wanted = inside[:1] == ("data",) and inside[1:2] and inside[1] in CPEN455_PARTS
                if member.is_dir() or not wanted or ".." in inside:
                    continue
                file = target.joinpath(*inside[1:])
                file.parent.mkdir(parents=True, exist_ok=True)
                with zipped.open(member) as packed, file.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise DatasetError(f"{CPEN455_URL} did not give a complete zip archive: {error}") from error
