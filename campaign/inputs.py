"""Images, folders, tables and archives from a seeded generator, which knows pixels and labels."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["FORMATS", "Collection", "Picture", "collection", "picture", "spoiled"]

Levels = np.ndarray
"""uint8, (rows, columns) grey or (rows, columns, 3)."""

FORMATS = {
    "png": ("L", "RGB", "P", "1", "LA", "RGBA", "I;16"),
    "tiff": ("L", "RGB", "1", "I;16"),
    "bmp": ("L", "RGB", "1"),
    "ppm": ("RGB",),
    "pgm": ("L",),
    "gif": ("L", "P"),
    "webp": ("RGB",),
}
"""Kinds of pixels that each format keeps without loss."""
ORIENTATIONS: dict[int, Callable[[Levels], Levels]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
    8: lambda x: np.rot90(x, 1),
}
"""How a viewer shows stored pixels whose EXIF has this orientation (EXIF 2.3, tag 274)."""
ORIENTATION = 274
NAMES = ("cat", "dog", "Müller", "sea lion", "ネコ", "a-b", "10", "x.y")
JUNK = ("Thumbs.db", ".DS_Store", "notes.txt", "@eaDir/a.png", "__MACOSX/b.png", ".hidden/c.png")


@dataclass(frozen=True)
class Picture:
    """A file and what a reader must see in it."""

    data: bytes
    suffix: str
    what: str
    """Format and kind of pixels."""
    levels: Levels

    def seen(self, channels: int) -> Levels:
        """Levels (channels, rows, columns) that a model with so many channels must get."""
        levels = self.levels
        if levels.ndim == 2:
            return np.repeat(levels[None], channels, axis=0)
        if channels == 3:
            return levels.transpose(2, 0, 1)
        return _luma(levels)[None]


def picture(rng: random.Random, size: tuple[int, int] | None = None, kind: str = "") -> Picture:
    """An image file.

    Args:
        rng: Decides everything else.
        size: Rows and columns as seen; None: any from 2 to 24.
        kind: One of `FORMATS`; "": any.
    """
    suffix = kind or rng.choice([*FORMATS])
    mode = rng.choice(FORMATS[suffix])
    rows, columns = size or (rng.randint(2, 24), rng.randint(2, 24))
    turned = rng.choice([*ORIENTATIONS]) if suffix in ("png", "tiff") and mode != "I;16" else 1
    if turned > 4:
        rows, columns = columns, rows
    stored = np.frombuffer(rng.randbytes(rows * columns * 3), np.uint8).reshape(rows, columns, 3)
    levels = stored if mode in ("RGB", "RGBA", "P") else stored[..., 0]
    image, levels = _pillow(rng, levels, mode)
    exif = Image.Exif()
    exif[ORIENTATION] = turned
    options = {"exif": exif} if turned > 1 else {}
    if suffix == "webp":
        options["lossless"] = True
        options["exact"] = True
    file = io.BytesIO()
    format_ = {"pgm": "PPM", "ppm": "PPM"}.get(suffix, suffix.upper())
    image.save(file, format=format_, **options)
    shown = np.ascontiguousarray(ORIENTATIONS[turned](levels))
    return Picture(file.getvalue(), suffix, f"{suffix} {mode}", shown)


def _pillow(rng: random.Random, levels: Levels, mode: str) -> tuple[Image.Image, Levels]:
    """The image that stores these levels in a mode, and the levels that it then stands for."""
    if mode == "1":
        levels = np.where(levels < 128, 0, 255).astype(np.uint8)
        return Image.fromarray(levels).convert("1", dither=Image.Dither.NONE), levels
    if mode == "I;16":  # 257 v is the same brightness in 16 bits
        return Image.fromarray(levels.astype(np.uint16) * 257), levels
    if mode == "P":
        palette = rng.randbytes(768)
        indices = levels[..., 0]
        image = Image.fromarray(indices).copy()
        image.putpalette(palette)
        return image, np.frombuffer(palette, np.uint8).reshape(256, 3)[indices]
    if mode in ("LA", "RGBA"):  # transparent pixels show white
        alpha = np.where(levels.reshape(*levels.shape[:2], -1)[..., 0] % 2 == 0, 0, 255)
        opaque = alpha.astype(np.uint8)
        stacked = np.dstack([levels, opaque])
        hidden = (opaque == 0) if levels.ndim == 2 else (opaque == 0)[..., None]
        return Image.fromarray(stacked, mode=mode), np.where(hidden, 255, levels).astype(np.uint8)
    return Image.fromarray(levels), levels


def _luma(levels: Levels) -> Levels:
    """ITU-R 601 in fixed point, rounded."""
    red, green, blue = (levels[..., channel].astype(np.int64) for channel in range(3))
    luma: Levels = ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)
    return luma


def spoiled(rng: random.Random, data: bytes, *, bits: bool = True) -> bytes:
    """The content of a file cut short, or (where `bits`) with a bit changed."""
    if bits and rng.random() < 0.5:
        place = rng.randrange(len(data))
        return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
    return data[: rng.randrange(len(data))]


@dataclass
class Collection:
    """A data set on disk, and the truth about it."""

    source: str
    """As for --data."""
    truth: dict[bytes, str] = field(default_factory=dict)
    """Class by pixels, as `key` makes them."""
    channels: int = 3
    size: tuple[int, int] = (8, 8)

    @staticmethod
    def key(levels: Levels) -> bytes:
        """What stands for an image (C, H, W)."""
        return np.ascontiguousarray(levels).tobytes()


def collection(rng: random.Random, folder: Path, kind: str, per_class: int = 6) -> Collection:
    """A labelled data set of images of one size.

    Args:
        rng: Decides everything else.
        folder: An empty one.
        kind: "folder", "table" or "archive".
        per_class: Images of each class.
    """
    size = (rng.randint(8, 9), rng.randint(8, 9))
    channels = rng.choice((1, 3))
    names = rng.sample(NAMES, rng.randint(2, 3))
    if kind == "archive":
        return _archive(rng, folder, names, size, channels, per_class)
    made = Collection(f"folder:{folder}", channels=channels, size=size)
    rows = []
    for name in names:
        for number, drawn in enumerate(_pictures(rng, size, channels, per_class, made, name)):
            path = Path(name) / f"{number}.{drawn.suffix}"
            (folder / name).mkdir(exist_ok=True)
            (folder / path).write_bytes(drawn.data)
            rows.append((path.as_posix(), name))
    for junk in rng.sample(JUNK, 3):
        (folder / junk).parent.mkdir(exist_ok=True)
        (folder / junk).write_bytes(picture(rng, size, "png").data)
    if kind == "table":
        made.source = f"csv:{_table(rng, folder, rows)}"
    return made


def _pictures(
    rng: random.Random,
    size: tuple[int, int],
    channels: int,
    number: int,
    made: Collection,
    name: str,
) -> Iterator[Picture]:
    """Pictures that differ from all before, which are added to the truth."""
    while number:
        drawn = picture(rng, size, "" if channels == 3 else "pgm")
        key = Collection.key(drawn.seen(channels))
        if key not in made.truth:
            made.truth[key] = name
            number -= 1
            yield drawn


def _table(rng: random.Random, folder: Path, rows: list[tuple[str, str]]) -> Path:
    """A table in one of the forms that spreadsheets and people write."""
    rng.shuffle(rows)
    form = rng.choice(("path,label", "label,path", "filename,class", "index", "backslash"))
    header, cells = ["path", "label"], [[path, label] for path, label in rows]
    if form == "label,path":
        header, cells = ["label", "path"], [[label, path] for path, label in rows]
    elif form == "filename,class":
        header = ["filename", "class"]
    elif form == "index":
        header, cells = ["", *header], [[str(i), *row] for i, row in enumerate(cells)]
    elif form == "backslash":
        cells = [[path.replace("/", "\\"), label] for path, label in rows]
    encoding = rng.choice(("utf-8", "utf-8-sig"))
    file = folder / "labels.csv"
    with file.open("w", newline="", encoding=encoding) as opened:
        quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
        ending = rng.choice(("\n", "\r\n"))
        csv.writer(opened, lineterminator=ending, quoting=quoting).writerows([header, *cells])
    return file


def _archive(
    rng: random.Random,
    folder: Path,
    names: list[str],
    size: tuple[int, int],
    channels: int,
    per_class: int,
) -> Collection:
    made = Collection(f"npz:{folder / 'data.npz'}", channels=channels, size=size)
    number = per_class * len(names)
    shape = (number, *size) if channels == 1 else (number, *size, 3)
    levels = np.frombuffer(rng.randbytes(int(np.prod(shape))), np.uint8).reshape(shape)
    labels = np.arange(number) % len(names)
    arrays: dict[str, np.ndarray] = {"classes": np.array(names)}
    thirds = {"train": slice(0, number // 2), "val": slice(number // 2, number * 3 // 4)}
    for split, part in {**thirds, "test": slice(number * 3 // 4, number)}.items():
        arrays[f"x_{split}"], arrays[f"y_{split}"] = levels[part], labels[part]
    np.savez(folder / "data.npz", **arrays)
    for image, label in zip(levels, labels, strict=True):
        seen = image[None] if channels == 1 else image.transpose(2, 0, 1)
        made.truth[Collection.key(seen)] = names[label]
    return made
