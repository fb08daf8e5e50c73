"""The file that `pixelbayes compress` writes, read and written in one pass.

    8 bytes              MAGIC, of which the fifth is the version
    n, n bytes           JSON: `Origin`
    n, n bytes           code of the first tile; as many as there are tiles
    0                    end of the tiles
    n, n bytes           JSON, deflated: the pictures, in the order of their patches
    4 bytes              CRC-32 of all before

n and the CRC are unsigned numbers of 4 bytes, the lowest first.  The CRC is checked before anything
is made of the rest, so a damaged byte or a missing end is a refusal and never another picture.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath, PurePosixPath
from typing import BinaryIO

from PIL import Image

from pixelbayes.inference.codec import CodecError
from pixelbayes.io import FormatError, Reading, plain, structure

__all__ = ["MAGIC", "MODES", "ArchiveReader", "ArchiveWriter", "Origin", "Picture"]

MAGIC = b"\x89PBZ\x01\r\n\x1a"
"""As PNG's: a transfer that takes it for text shows."""
NUMBER = 4
READ_AT_ONCE = 1 << 20
MODES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
"""Modes of a picture, as Pillow calls them, with their numbers of channels."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a decoder must have in common with the encoder."""

    model: str
    """Name or path by which the encoder knew the model."""
    weights: str
    """SHA-256 of the model's weights, hexadecimal."""
    arithmetic: str
    """`TileCodec.fingerprint`."""
    width: int
    """Patches of a tile."""
    label: int = -1
    """The class of all pictures; -1: each patch has its own in its code."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What is known of a picture besides its pixels."""

    name: str
    """Relative path of the file that it becomes, with slashes."""
    mode: str
    height: int
    width: int
    crc: int
    """CRC-32 of its levels, row by row, channels last."""

    def __post_init__(self) -> None:
        paths = (PurePosixPath(self.name), PurePath(self.name))  # as here, and as on this system
        if any(path.anchor or ".." in path.parts or not path.parts for path in paths):
            raise CodecError(f"a picture's name is a relative path, got {self.name!r}")
        limit = Image.MAX_IMAGE_PIXELS
        size = self.height * self.width
        if self.mode not in MODES or min(self.height, self.width) < 1 or (limit and size > limit):
            raise CodecError(
                f"{self.name}: no picture has {self.height} x {self.width} pixels of mode "
                f"{self.mode!r}; modes are {', '.join(MODES)}"
            )


class _Summed:
    """A file whose bytes are counted and summed while they pass."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.crc, self.count = file, 0, 0

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self.crc, self.count = zlib.crc32(data, self.crc), self.count + len(data)

    def write_part(self, data: bytes) -> None:
        self.write(len(data).to_bytes(NUMBER, "little"))
        self.write(data)


@dataclass
class ArchiveWriter:
    """Writes an archive; `finish` is the last call.

    Args:
        file: Open for writing bytes; need not be a file that can be gone back in.
        origin: See `Origin`.

    Attributes:
        payload: Bytes of all tiles so far.
    """

    file: BinaryIO
    origin: Origin
    payload: int = 0
    _out: _Summed = field(init=False)

    def __post_init__(self) -> None:
        self._out = _Summed(self.file)
        self._out.write(MAGIC)
        self._out.write_part(json.dumps(plain(self.origin)).encode())

    def add(self, code: bytes) -> None:
        """The next tile."""
        assert code, "an empty part is the end of the tiles"
        self._out.write_part(code)
        self.payload += len(code)

    def finish(self, pictures: Sequence[Picture]) -> int:
        """Writes what follows the tiles.

        Returns:
            Bytes of the whole file.
        """
        self._out.write((0).to_bytes(NUMBER, "little"))
        rows = [[item.name, item.mode, item.height, item.width, item.crc] for item in pictures]
        self._out.write_part(zlib.compress(json.dumps(rows).encode(), 9))
        self._out.write(self._out.crc.to_bytes(NUMBER, "little"))
        return self._out.count


class ArchiveReader:
    """Reads an archive, of which it makes sure that it is whole.

    Args:
        file: Open for reading bytes; one that can be gone back in.
        name: What it is called, for messages.

    Raises:
        CodecError: If it is not an archive of this version, or is damaged.

    Attributes:
        origin: See `Origin`.
        pictures: In the order of their patches.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name, self._file = name, file
        self._require_whole()
        self._end = self._file.seek(-NUMBER, 2)
        self._file.seek(len(MAGIC))
        try:
            origin = structure(
                Origin, json.loads(self._part()), f"the head of {name}", Reading.CURRENT
            )
            self._tiles = self._file.tell()
            while (length := self._number()) > 0:
                self._skip(length)
            rows = json.loads(zlib.decompress(self._part()))
            pictures = [
                Picture(name=row[0], mode=row[1], height=row[2], width=row[3], crc=row[4])
                for row in rows
            ]
        except (FormatError, ValueError, TypeError, IndexError, zlib.error) as error:
            if isinstance(error, CodecError):
                raise
            raise CodecError(f"{name} is not as this program writes it: {error}") from error
        self.origin, self.pictures = origin, pictures

    def tiles(self) -> Iterator[bytes]:
        """The codes of the tiles."""
        self._file.seek(self._tiles)
        while (length := self._number()) > 0:
            yield self._read(length)

    def _require_whole(self) -> None:
        self._file.seek(0)
        head = self._file.read(len(MAGIC))
        version = MAGIC[4]
        if head[:4] + head[5:] != MAGIC[:4] + MAGIC[5:]:
            raise CodecError(f"{self.name} is not a file of pixelbayes compress, or is damaged")
        crc, last = zlib.crc32(head), b""
        while data := self._file.read(READ_AT_ONCE):
            data = last + data
            last = data[-NUMBER:]
            crc = zlib.crc32(data[:-NUMBER], crc)
        if len(last) < NUMBER or crc != int.from_bytes(last, "little"):
            raise CodecError(
                f"{self.name} is damaged or truncated: its bytes have not the sum that was written"
            )
        if head[4] != version:
            raise CodecError(
                f"{self.name} has version {head[4]} of the format, this pixelbayes reads "
                f"{version}; install the pixelbayes that wrote it"
            )

    def _number(self) -> int:
        return int.from_bytes(self._read(NUMBER), "little")

    def _part(self) -> bytes:
        return self._read(self._number())

    def _read(self, length: int) -> bytes:
        if self._file.tell() + length > self._end:
            raise CodecError(f"{self.name} is not as this program writes it: a part has no end")
        return self._file.read(length)

    def _skip(self, length: int) -> None:
        if self._file.seek(length, 1) > self._end:
            raise CodecError(f"{self.name} is not as this program writes it: a part has no end")
