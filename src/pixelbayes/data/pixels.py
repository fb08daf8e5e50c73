"""What the pixels of a file mean: 8-bit grey or RGB, upright, or a refusal with the reason.

Pillow opens more than it reads rightly.  It leaves 16-bit TIFF files of the kind "white is
zero" inverted, takes signed bytes for unsigned ones, twelve bits for sixteen, drops the low byte
of colours, takes planes of 16 bits for planes of 8, and looks for the transparent colour of a
PNG file among pixels that it has scaled already.  Each is put right here or refused;
`tests/data/test_pixels.py` holds the table of all kinds against known pixels.

EXIF says how a camera was held, and nothing else of it is used.  It is read by a parser of our
own, because Pillow's refuses a sound photograph whose EXIF has a flaw.
"""

from __future__ import annotations

import io
import re
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pixelbayes.data.errors import DatasetError

__all__ = [
    "FORMATS",
    "WHITE",
    "decoded",
    "exact",
    "is_grey",
    "open_image",
    "orientation",
    "plain",
    "upright_size",
]

# Named, because Pillow would also open formats that start other programs (EPS).
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
PLAIN_MODES = ("1", "L", "P", "PA", "LA", "La", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
# Mode I means 32 bits, but in these formats there are never more than sixteen.
SIXTEEN_BITS_AS_MODE_I = ("PNG", "PPM")
GREY_MODES = ("1", "L", "LA", "La", "I", *SIXTEEN_BIT_MODES)
EXACT_MODES = {
    "1": "L",
    "L": "L",
    "LA": "LA",
    "P": "RGB",
    "PA": "RGBA",
    "RGB": "RGB",
    "RGBA": "RGBA",
}
"""Modes whose pixels a PNG file of 8 bits holds as they are, and its mode."""
WHITE = 255

# TIFF 6.0, section 8 and "SampleFormat"
BITS_PER_SAMPLE, COMPRESSION, PHOTOMETRIC, COLOR_MAP, SAMPLE_FORMAT = 258, 259, 262, 320, 339
SAMPLES_PER_PIXEL, PLANAR_CONFIGURATION = 277, 284
UNCOMPRESSED = 1
IN_PLANES = 2
WHITE_IS_ZERO, LUMA_AND_CHROMA = 0, 6
SIGNED, FLOATING = 2, 3

# Exif 2.32, section 4.6.4: tag and how to look at an image whose orientation has this number
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)
INTEGER_KINDS = {1: "B", 3: "H", 4: "I"}  # TIFF 6.0: BYTE, SHORT, LONG
XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')

# Pillow's ways to unpack the high byte of 16-bit colours, and the way that gives the low byte.
LOW_BYTE = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA", "RGBX", "CMYK")
    for order, other in (("L", "B"), ("B", "L"), ("N", "B" if sys.byteorder == "little" else "L"))
}

START_OF_IMAGE, APP1, START_OF_SCAN = b"\xff\xd8", 0xE1, 0xDA
EXIF_HEADER = b"Exif\0"


def open_image(path: Path) -> Image.Image:
    """Opens an image file of an accepted format by its content; pixels are not decoded yet.

    Raises:
        DatasetError: If it has too many pixels to be a photograph.
        OSError: If it cannot be read or identified.
    """
    with path.open("rb") as file:
        jpeg = file.read(len(START_OF_IMAGE)) == START_OF_IMAGE
    if jpeg:
        content, exif = _without_exif(path.read_bytes())
        image: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
        image.info["exif"] = exif
    else:
        image = Image.open(path, formats=FORMATS)
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        image.close()
        raise DatasetError(
            f"{image.height} x {image.width} pixels could be a decompression bomb; the limit is "
            f"{limit} pixels (PIL.Image.MAX_IMAGE_PIXELS)"
        )
    return image


def is_grey(image: Image.Image) -> bool:
    """Whether an opened file has no colours by its kind."""
    return image.mode in GREY_MODES


def orientation(image: Image.Image) -> int:
    """How the camera was held, 1 (upright) to 8, as EXIF counts; 1 where nobody can tell."""
    if image.format == "TIFF":  # Pillow turns these itself while it decodes them
        return 1
    number = _exif_orientation(_exif_bytes(image))
    if number is None:
        for key in ("xmp", "XML:com.adobe.xmp"):
            packet = image.info.get(key)
            packet = packet.encode("utf-8", "replace") if isinstance(packet, str) else packet
            if isinstance(packet, bytes) and (found := XMP_ORIENTATION.search(packet)):
                return int(found[1])
    return number or 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Rows and columns of an opened file as one looks at it, without decoding it."""
    if orientation(image) in SIDEWAYS:
        return image.width, image.height
    return image.height, image.width


def decoded(image: Image.Image) -> Image.Image:
    """The only picture of an open file, upright, and in 8 bits where it is grey.

    Raises:
        DatasetError: If it is animated, or of a kind whose pixels Pillow reads wrongly.
    """
    frames = getattr(image, "n_frames", 1)
    # A camera's MPO file holds the photograph first and then its previews: not an animation.
    if frames > 1 and image.format != "MPO":
        raise DatasetError(f"animated, {frames} frames; save the frame that is meant as one image")
    if image.format == "PNG":
        _mend_transparent_colour(image)
    tags = dict(image.tag_v2) if image.format == "TIFF" else {}  # type: ignore[attr-defined]
    _refuse_unusual_samples(image, tags)
    turn, kind = UPRIGHT.get(orientation(image)), image.format
    low = _low_bytes(image)
    if image.format == "TIFF":  # Pillow 12 swaps the sides of grey ones that it maps
        image.filename = ""  # type: ignore[attr-defined]  # without a name it does not map them
    image.load()
    exact = image if low is None else _rounded(image, low)
    upright = exact if turn is None else exact.transpose(turn)
    if upright.mode in SIXTEEN_BIT_MODES or (
        upright.mode == "I" and kind in SIXTEEN_BITS_AS_MODE_I
    ):
        bits = _numbers(tags.get(BITS_PER_SAMPLE, 16))[0]
        return _narrowed(upright, bits, inverted=tags.get(PHOTOMETRIC) == WHITE_IS_ZERO)
    return upright


def plain(image: Image.Image, mode: str) -> Image.Image:
    """The image in mode L or RGB, transparency laid on white.

    Raises:
        DatasetError: If its pixels have no 8-bit reading.
    """
    if image.mode not in PLAIN_MODES:
        raise DatasetError(
            f"pixels of mode {image.mode!r} have no fixed range; save the image with 8 bits a "
            "channel, or 16 bits of grey"
        )
    if image.mode in ("RGBa", "La"):  # colours already multiplied by their opacity
        image = image.convert({"RGBa": "RGBA", "La": "LA"}[image.mode])
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        backdrop = Image.new("RGBA", image.size, (WHITE, WHITE, WHITE, WHITE))
        image = Image.alpha_composite(backdrop, coloured).convert("RGB")
    if image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def exact(image: Image.Image) -> Image.Image:
    """The only picture of an open file, upright, in mode L, LA, RGB or RGBA, no pixel changed.

    Raises:
        DatasetError: If a PNG file of 8 bits a channel cannot hold it, or as `decoded`.
    """
    mode = EXACT_MODES.get(image.mode)
    if mode is None or _unpacked_as(image) in LOW_BYTE:
        bits = "16-bit colours" if mode else f"mode {image.mode!r}"
        raise DatasetError(
            f"pixels of {bits} are not kept exactly; save the image as grey or RGB with 8 bits a "
            "channel"
        )
    if image.has_transparency_data:
        mode = {"LA": "LA"}.get(image.mode, "RGBA")
    upright = decoded(image)
    return upright if upright.mode == mode else upright.convert(mode)


def _unpacked_as(image: Image.Image) -> str | None:
    """How Pillow unpacks the pixels of an open file; None where it does not say."""
    tiles = getattr(image, "tile", ())
    layout = tiles[0][3] if tiles else None  # a name, or a tuple that begins with it
    return layout if isinstance(layout, str) else layout[0] if layout else None


def _low_bytes(image: Image.Image) -> Image.Image | None:
    """The low bytes of 16-bit colours, of which Pillow gives only the high ones."""
    file, kind = getattr(image, "fp", None), _unpacked_as(image)
    if file is None or kind not in LOW_BYTE:
        return None
    position = file.tell()
    file.seek(0)
    again: Any = Image.open(io.BytesIO(file.read()), formats=FORMATS)
    file.seek(position)
    again.tile = [
        tile._replace(args=low) if hasattr(tile, "_replace") else (*tile[:3], low)
        for tile in again.tile
        for low in [_renamed(tile[3], LOW_BYTE[kind])]
    ]
    again.load()
    return Image.Image.copy(again)


def _renamed(layout: Any, name: str) -> Any:
    """How the pixels of a tile are unpacked, by another name; its other arguments are its own."""
    return name if isinstance(layout, str) else (name, *layout[1:])


def _rounded(high: Image.Image, low: Image.Image) -> Image.Image:
    """16 bits a channel, rounded to the nearest of 256 levels."""
    wide = 256 * np.asarray(high).astype(np.int64) + np.asarray(low)
    levels = ((510 * wide + 65535) // 131070).astype(np.uint8)
    return Image.frombytes(high.mode, high.size, levels.tobytes())


def _narrowed(image: Image.Image, bits: int, *, inverted: bool) -> Image.Image:
    """Grey of more than 8 bits, rounded to the nearest of 256 levels; its key colour is white."""
    wide, top = np.asarray(image).astype(np.int64), 2**bits - 1
    levels = (510 * wide + top) // (2 * top)  # round(255 wide / top)
    if inverted:
        levels = WHITE - levels
    key = image.info.get("transparency")
    if isinstance(key, int):
        levels[wide == key & top] = WHITE
    return Image.fromarray(levels.astype(np.uint8))


def _mend_transparent_colour(image: Image.Image) -> None:
    """Scales the key of a PNG file like its pixels; Pillow leaves it as it stands in the file."""
    key, tiles = image.info.get("transparency"), getattr(image, "tile", ())
    if key is None or not tiles:
        return
    layout = tiles[0][3]  # how Pillow unpacks the pixels
    if layout == "RGB;16B":
        raise DatasetError(
            "16 bits a channel with a transparent colour cannot be read exactly; save the image "
            "with 8 bits a channel or with an alpha channel"
        )
    if layout in ("L;2", "L;4") and isinstance(key, int):
        top = 2 ** int(layout[2:]) - 1
        image.info["transparency"] = (key & top) * (WHITE // top)


def _refuse_unusual_samples(image: Image.Image, tags: dict[int, object]) -> None:
    """Refuses TIFF samples that Pillow takes for something else."""
    formats = _numbers(tags.get(SAMPLE_FORMAT, 1))
    if SIGNED in formats or FLOATING in formats:
        kind = "signed" if SIGNED in formats else "floating-point"
        raise DatasetError(
            f"pixels of mode {image.mode!r} from {kind} samples have no fixed range; save the "
            "image with 8 bits a channel, or 16 bits of grey, unsigned"
        )
    in_planes = tags.get(PLANAR_CONFIGURATION) == IN_PLANES and tags.get(SAMPLES_PER_PIXEL, 1) != 1
    if in_planes and (max(_numbers(tags.get(BITS_PER_SAMPLE, 1))) > 8 or image.mode == "LA"):
        raise DatasetError(
            "channels of 16 bits, or of grey and alpha, in planes of their own are not read "
            "rightly; save the image with the channels of a pixel side by side"
        )
    if tags.get(PHOTOMETRIC) == LUMA_AND_CHROMA and tags.get(COMPRESSION) == UNCOMPRESSED:
        raise DatasetError(
            "luma and chroma without compression are not read rightly by every Pillow; save the "
            "image as RGB"
        )
    if image.mode == "P" and 0 < max(_numbers(tags.get(COLOR_MAP, WHITE + 1))) <= WHITE:
        raise DatasetError(
            "a palette of 16 bits whose entries are all below 256 was probably written as 8 bits; "
            "save the image as RGB"
        )


def _numbers(value: object) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple) else (value,)  # type: ignore[return-value]


def _without_exif(content: bytes) -> tuple[bytes, bytes]:
    """A JPEG file without its EXIF segments, and the first of these."""
    kept, exif, start = [START_OF_IMAGE], b"", len(START_OF_IMAGE)
    while start + 4 <= len(content) and content[start] == 0xFF:
        marker = content[start + 1]
        length = int.from_bytes(content[start + 2 : start + 4], "big")
        if marker == START_OF_SCAN or marker < 0xC0 or 0xD0 <= marker <= 0xD9 or length < 2:
            break  # what follows is not a plain row of segments
        segment = content[start : start + 2 + length]
        if marker == APP1 and segment[4:].startswith(EXIF_HEADER):
            exif = exif or segment[4:]
        else:
            kept.append(segment)
        start += 2 + length
    return b"".join(kept) + content[start:], exif


def _exif_bytes(image: Image.Image) -> bytes:
    exif = image.info.get("exif")
    if isinstance(exif, bytes):
        return exif
    profile = image.info.get("Raw profile type exif")  # ImageMagick's way to put it into PNG
    try:
        return bytes.fromhex("".join(profile.split("\n")[3:])) if profile else b""
    except (ValueError, AttributeError):
        return b""


def _exif_orientation(exif: bytes) -> int | None:
    """Orientation in EXIF, or None where it has none that can be read."""
    body = exif[6:] if exif.startswith(EXIF_HEADER) else exif
    order = {b"II": "<", b"MM": ">"}.get(body[:2])
    if order is None:
        return None
    try:
        (first,) = struct.unpack_from(f"{order}I", body, 4)
        (count,) = struct.unpack_from(f"{order}H", body, first)
        for position in range(first + 2, first + 2 + 12 * count, 12):
            tag, kind, _ = struct.unpack_from(f"{order}HHI", body, position)
            if tag == ORIENTATION:
                (number,) = struct.unpack_from(order + INTEGER_KINDS[kind], body, position + 8)
                return number if 1 <= number <= 8 else None
    except (struct.error, KeyError):
        pass
    return None
