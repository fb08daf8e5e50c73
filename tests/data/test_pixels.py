"""Every kind of pixel of the accepted formats, against pixels that are known because the files
are written here byte by byte, from the specifications of the formats and not by Pillow."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelbayes.data import DatasetError, Resize, image_levels, read_image

AS_IT_IS = Resize((1, 2))
WHITE = 255
Pixels = tuple[tuple[int, int, int], tuple[int, int, int]]


def grey(*levels: int) -> Pixels:
    first, second = ((level, level, level) for level in levels)
    return first, second


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(kind: int, bits: int, row: bytes, *chunks: bytes) -> bytes:
    """A PNG file of one row of two pixels."""
    header = struct.pack(">IIBBBBB", 2, 1, bits, kind, 0, 0, 0)
    image = png_chunk(b"IDAT", zlib.compress(b"\0" + row))
    ends = png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + b"".join(chunks) + image + ends


def key(*values: int) -> bytes:
    """The transparent colour."""
    return png_chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))


PALETTE = png_chunk(b"PLTE", bytes([10, 20, 30, 200, 100, 50]))
SECOND_CLEAR = png_chunk(b"tRNS", bytes([255, 0]))
COLOURS = ((10, 20, 30), (200, 100, 50))


def wide(*values: int, order: str = ">") -> bytes:
    return struct.pack(f"{order}{len(values)}H", *values)


def tiff(
    data: bytes,
    bits: Sequence[int],
    photometric: int,
    order: str,
    *,
    sample_format: int | None = None,
    extra: int | None = None,
    colors: Sequence[int] = (),
    compression: int = 1,
    planar: int | None = None,
) -> bytes:
    """A TIFF file of one row of two pixels."""
    count = len(bits)
    tags: list[tuple[int, str, Sequence[int]]] = [
        (256, "H", (2,)),
        (257, "H", (1,)),
        (258, "H", bits),
        (259, "H", (compression,)),
        (262, "H", (photometric,)),
        (273, "I", (0,)),  # where the data are, known below
        (277, "H", (count,)),
        (278, "H", (1,)),
        (279, "I", (len(data),)),
        (284, "H", () if planar is None else (planar,)),
        (320, "H", colors),
        (338, "H", () if extra is None else (extra,)),
        (339, "H", () if sample_format is None else (sample_format,) * count),
    ]
    tags = [tag for tag in tags if tag[2]]
    start = 8 + 2 + 12 * len(tags) + 4
    packed = {tag: struct.pack(f"{order}{len(v)}{kind}", *v) for tag, kind, v in tags}
    long = b"".join(value for value in packed.values() if len(value) > 4)
    packed[273] = struct.pack(f"{order}I", start + len(long))
    directory, offset = b"", start
    for tag, kind, values in tags:
        value = packed[tag]
        if len(value) > 4:
            value, offset = struct.pack(f"{order}I", offset), offset + len(value)
        directory += struct.pack(f"{order}HHI", tag, 3 if kind == "H" else 4, len(values))
        directory += value.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    return head + directory + b"\0\0\0\0" + long + data


def bmp(bits: int, row: bytes, *, palette: bytes = b"", masks: Sequence[int] = ()) -> bytes:
    """A BMP file of one row of two pixels."""
    packed = struct.pack(f"<{len(masks)}I", *masks)
    size, compression = (108, 3) if len(masks) == 4 else (40, 3 if masks else 0)
    head = struct.pack("<IiiHHIIiiII", size, 2, 1, 1, bits, compression, 0, 0, 0, 0, 0)
    head += packed.ljust(68, b"\0") if size == 108 else packed
    head += palette
    start = 14 + len(head)
    return b"BM" + struct.pack("<IHHI", start + len(row), 0, 0, start) + head + row


def map16(colours: Sequence[Sequence[int]], scale: int) -> list[int]:
    return [v * scale for channel in range(3) for v in (*(c[channel] for c in colours), *[0] * 254)]


PNG_FILES: dict[str, tuple[bytes, Pixels]] = {
    "grey 1": (png(0, 1, b"\x40"), grey(0, 255)),
    "grey 1, black is clear": (png(0, 1, b"\x40", key(0)), grey(WHITE, 255)),
    "grey 2": (png(0, 2, b"\x10"), grey(0, 85)),
    "grey 2, level 1 is clear": (png(0, 2, b"\x60", key(1)), grey(WHITE, 170)),
    "grey 4": (png(0, 4, b"\x1f"), grey(17, 255)),
    "grey 4, level 1 is clear": (png(0, 4, b"\x13", key(1)), grey(WHITE, 51)),
    "grey 8": (png(0, 8, b"\x19\xff"), grey(25, 255)),
    "grey 8, 25 is clear": (png(0, 8, b"\x19\x1a", key(25)), grey(WHITE, 26)),
    "grey 16": (png(0, 16, wide(25 * 257, 65535)), grey(25, 255)),
    "grey 16, rounded": (png(0, 16, wide(25 * 257 + 128, 25 * 257 + 129)), grey(25, 26)),
    "grey 16, 6425 is clear": (png(0, 16, wide(6425, 6426), key(6425)), grey(WHITE, 25)),
    "grey and alpha 8": (png(4, 8, bytes([10, 255, 20, 0])), grey(10, WHITE)),
    "grey and alpha 16": (png(4, 16, wide(2570, 65535, 5140, 0)), grey(10, WHITE)),
    "RGB 8": (png(2, 8, bytes([10, 20, 30, 200, 100, 50])), COLOURS),
    "RGB 8, a clear colour": (
        png(2, 8, bytes([10, 20, 30, 200, 100, 50]), key(10, 20, 30)),
        ((WHITE,) * 3, COLOURS[1]),
    ),
    "RGB 16": (png(2, 16, wide(*(257 * v for c in COLOURS for v in c))), COLOURS),
    "RGBA 8": (png(6, 8, bytes([10, 20, 30, 255, 1, 2, 3, 0])), (COLOURS[0], (WHITE,) * 3)),
    "RGBA 16": (
        png(6, 16, wide(2570, 5140, 7710, 65535, 1, 2, 3, 0)),
        (COLOURS[0], (WHITE,) * 3),
    ),
    **{
        f"palette {bits}": (png(3, bits, row, PALETTE), COLOURS)
        for bits, row in ((1, b"\x40"), (2, b"\x10"), (4, b"\x01"), (8, b"\0\1"))
    },
    "palette, an entry is clear": (
        png(3, 4, b"\x01", PALETTE, SECOND_CLEAR),
        (COLOURS[0], (WHITE,) * 3),
    ),
}


def tiff_files(order: str) -> dict[str, tuple[bytes, Pixels]]:
    rgb = bytes([10, 20, 30, 200, 100, 50])
    clear = bytes([10, 20, 30, 255, 0, 0, 0, 0])
    half = bytes([10, 20, 30, 255, 0, 0, 0, 128])  # black, already multiplied by its opacity
    named = {
        "grey 1": (tiff(b"\x40", (1,), 1, order), grey(0, 255)),
        "grey 1, white is zero": (tiff(b"\x40", (1,), 0, order), grey(255, 0)),
        "grey 2": (tiff(b"\x10", (2,), 1, order), grey(0, 85)),
        "grey 2, white is zero": (tiff(b"\x10", (2,), 0, order), grey(255, 170)),
        "grey 4": (tiff(b"\x1f", (4,), 1, order), grey(17, 255)),
        "grey 4, white is zero": (tiff(b"\x1f", (4,), 0, order), grey(238, 0)),
        "grey 8": (tiff(b"\x19\xff", (8,), 1, order), grey(25, 255)),
        "grey 8, white is zero": (tiff(b"\x19\xff", (8,), 0, order), grey(230, 0)),
        "grey 16": (tiff(wide(6425, 65535, order=order), (16,), 1, order), grey(25, 255)),
        "grey and alpha": (tiff(bytes([10, 255, 0, 0]), (8, 8), 1, order, extra=2), grey(10, 255)),
        "RGB 8": (tiff(rgb, (8,) * 3, 2, order), COLOURS),
        "RGB 16": (tiff(wide(*(257 * v for v in rgb), order=order), (16,) * 3, 2, order), COLOURS),
        "RGBA": (tiff(clear, (8,) * 4, 2, order, extra=2), (COLOURS[0], (WHITE,) * 3)),
        "RGB times alpha": (tiff(half, (8,) * 4, 2, order, extra=1), (COLOURS[0], (127,) * 3)),
        "RGB and something": (tiff(clear, (8,) * 4, 2, order, extra=0), (COLOURS[0], (0,) * 3)),
        "CMYK": (
            tiff(bytes([0, 0, 0, 0, 0, 255, 255, 0]), (8,) * 4, 5, order),
            ((255, 255, 255), (255, 0, 0)),
        ),
        "palette": (tiff(b"\0\1", (8,), 3, order, colors=map16(COLOURS, 257)), COLOURS),
    }
    if order == "<":  # Pillow does not open these in the other order
        named["grey 16, white is zero"] = (
            tiff(wide(6425, 65535, order="<"), (16,), 0, "<"),
            grey(230, 0),
        )
        named["grey 12"] = (tiff(b"\x01\x9f\xff", (12,), 1, "<"), grey(2, 255))
    return {f"{name}, {order}": file for name, file in named.items()}


TIFF_FILES = {**tiff_files("<"), **tiff_files(">")}

BMP_PALETTE = bytes([30, 20, 10, 0, 50, 100, 200, 0]).ljust(1024, b"\0")
BMP_FILES: dict[str, tuple[bytes, Pixels]] = {
    "palette 1": (bmp(1, b"\x40\0\0\0", palette=BMP_PALETTE[:8]), COLOURS),
    "palette 4": (bmp(4, b"\x01\0\0\0", palette=BMP_PALETTE[:64]), COLOURS),
    "palette 8": (bmp(8, b"\0\1\0\0", palette=BMP_PALETTE), COLOURS),
    "RGB 555": (bmp(16, struct.pack("<HH", 0x7C00, 0x7FFF)), ((255, 0, 0), (255, 255, 255))),
    "RGB 565": (
        bmp(16, struct.pack("<HH", 0xF800, 0xFFFF), masks=(0xF800, 0x07E0, 0x001F)),
        ((255, 0, 0), (255, 255, 255)),
    ),
    "RGB 24": (bmp(24, bytes([30, 20, 10, 50, 100, 200, 0, 0])), COLOURS),
    "RGB 32": (bmp(32, bytes([30, 20, 10, 0, 50, 100, 200, 0])), COLOURS),
    "RGBA 32": (
        bmp(
            32,
            bytes([30, 20, 10, 255, 50, 100, 200, 0]),
            masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        ),
        (COLOURS[0], (WHITE,) * 3),
    ),
}


def netpbm_files() -> dict[str, tuple[bytes, Pixels]]:
    files = {
        "bits": (b"P4 2 1\n\x40", grey(255, 0)),
        "bits in text": (b"P1 2 1\n0 1\n", grey(255, 0)),
    }
    for top in (1, 2, 15, 100, 255, 256, 1000, 4095, 65535):
        some = top // 3
        level = round(255 * some / top)
        packed = wide(some, top) if top > 255 else bytes([some, top])
        colours = wide(*[some] * 3, *[top] * 3) if top > 255 else bytes([some] * 3 + [top] * 3)
        files[f"grey up to {top}"] = (b"P5 2 1 %d\n" % top + packed, grey(level, 255))
        files[f"grey in text up to {top}"] = (
            b"P2 2 1 %d\n%d %d\n" % (top, some, top),
            grey(level, 255),
        )
        files[f"RGB up to {top}"] = (b"P6 2 1 %d\n" % top + colours, grey(level, 255))
    return files


TABLE = {
    f"{suffix} {name}": (suffix, content, pixels)
    for suffix, files in (
        ("png", PNG_FILES),
        ("tif", TIFF_FILES),
        ("bmp", BMP_FILES),
        ("ppm", netpbm_files()),
    )
    for name, (content, pixels) in files.items()
}


@pytest.mark.parametrize("name", TABLE)
def test_every_kind_of_pixel_is_read_as_it_was_written(tmp_path: Path, name: str) -> None:
    suffix, content, pixels = TABLE[name]
    (tmp_path / f"a.{suffix}").write_bytes(content)
    levels = read_image(tmp_path / f"a.{suffix}", channels=3, resize=AS_IT_IS)
    assert tuple(map(tuple, levels[:, 0].T.tolist())) == pixels


def wide_files(values: Sequence[int]) -> dict[str, bytes]:
    """Two pixels of 16-bit colours in every form that holds them."""
    alpha = [*values[:3], 65535, *values[3:], 65535]
    files = {"png": png(2, 16, wide(*values)), "png alpha": png(6, 16, wide(*alpha))}
    for order in "<>":
        data = wide(*values, order=order)
        files[f"tiff {order}"] = tiff(data, (16,) * 3, 2, order)
        files[f"tiff {order} deflated"] = tiff(
            zlib.compress(data), (16,) * 3, 2, order, compression=8
        )
        four = wide(*alpha, order=order)
        files[f"tiff {order} alpha"] = tiff(four, (16,) * 4, 2, order, extra=2)
        files[f"tiff {order} and something"] = tiff(four, (16,) * 4, 2, order, extra=0)
    return files


@pytest.mark.parametrize("form", wide_files([0] * 6))
def test_sixteen_bits_of_colour_are_rounded_to_the_nearest_level(tmp_path: Path, form: str) -> None:
    chance = random.Random(0)
    for _ in range(40):
        values = [
            chance.choice([0, 127, 129, 2698, 64378, chance.randrange(65536)]) for _ in range(6)
        ]
        (tmp_path / "a").write_bytes(wide_files(values)[form])
        levels = read_image(tmp_path / "a", channels=3, resize=AS_IT_IS)
        assert levels[:, 0].T.flatten().tolist() == [round(value / 257) for value in values]
        with Image.open(tmp_path / "a") as image:
            batch = image_levels(image, channels=3, resize=AS_IT_IS)
        assert torch.equal(batch.levels[0], levels)


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiles_of_sixteen_bits_are_rounded_as_a_strip_is(tmp_path: Path, order: str) -> None:
    chance = random.Random(0)
    rows, columns, side = 24, 40, 16  # no side is a multiple of the tiles' in columns
    values = [[[chance.randrange(65536) for _ in range(3)] for _ in range(48)] for _ in range(32)]
    tiles = [
        wide(
            *(v for row in values[top : top + side] for p in row[left : left + side] for v in p),
            order=order,
        )
        for top in range(0, rows, side)
        for left in range(0, columns, side)
    ]
    (tmp_path / "a.tif").write_bytes(tiled(tiles, (rows, columns), side, order))
    levels = read_image(tmp_path / "a.tif", channels=3, resize=Resize((rows, columns)))
    expected = [[[round(v / 257) for v in p] for p in row[:columns]] for row in values[:rows]]
    assert levels.permute(1, 2, 0).tolist() == expected


def tiled(tiles: Sequence[bytes], size: tuple[int, int], side: int, order: str) -> bytes:
    """A TIFF file of 16-bit RGB in tiles; TIFF 6.0, section 15."""
    n, start = len(tiles), 8 + 2 + 12 * 9 + 4
    bits, offsets = start, start + 6
    data = offsets + 8 * n
    places = [data + sum(map(len, tiles[:i])) for i in range(n)]
    tags = [
        (256, "I", 1, size[1]),
        (257, "I", 1, size[0]),
        (258, "H", 3, bits),
        (262, "I", 1, 2),
        (277, "I", 1, 3),
        (322, "I", 1, side),
        (323, "I", 1, side),
        (324, "I", n, offsets),
        (325, "I", n, offsets + 4 * n),
    ]
    directory = b"".join(
        struct.pack(f"{order}HHII", tag, {"H": 3, "I": 4}[kind], count, value)
        for tag, kind, count, value in tags
    )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    long = wide(16, 16, 16, order=order)
    long += struct.pack(f"{order}{2 * n}I", *places, *map(len, tiles))
    return head + directory + b"\0\0\0\0" + long + b"".join(tiles)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 129, 2698, 64378, 65407, 65535])
def test_sixteen_bits_of_grey_with_alpha_are_at_most_one_level_off(
    tmp_path: Path, value: int
) -> None:
    (tmp_path / "a.png").write_bytes(png(4, 16, wide(value, 65535, value, 65535)))
    levels = read_image(tmp_path / "a.png", channels=3, resize=AS_IT_IS)
    assert (levels.long() - round(value / 257)).abs().max() <= 1


REFUSED = {
    **{
        f"{kind} {bits}, {order}, {photometric}": tiff(
            bytes(bits // 4), (bits,), photometric, order, sample_format=sample_format
        )
        for order in "<>"
        for photometric in (0, 1)
        for kind, sample_format, depths in (("signed", 2, (8, 16, 32)), ("float", 3, (16, 32, 64)))
        for bits in depths
    },
    "signed RGB": tiff(bytes(6), (8,) * 3, 2, "<", sample_format=2),
    "32 bits": tiff(bytes(8), (32,), 1, "<"),
    "Lab": tiff(bytes(6), (8,) * 3, 8, "<"),
    "luma and chroma, not compressed": tiff(bytes(6), (8,) * 3, 6, "<"),
    "a palette of 8 bits in 16": tiff(b"\0\1", (8,), 3, "<", colors=map16(COLOURS, 1)),
    **{
        f"planes of {name}{', deflated' * deflated}, {order}": tiff(
            zlib.compress(data) if deflated else data,
            (bits,) * (8 * len(data) // bits // 2),
            photometric,
            order,
            extra=extra,
            planar=2,
            compression=8 if deflated else 1,
        )
        for order in "<>"
        for deflated in (False, True)
        for name, bits, data, photometric, extra in (
            ("RGB of 16 bits", 16, bytes(12), 2, None),
            ("RGB of 16 bits and alpha", 16, bytes(16), 2, 2),
            ("CMYK of 16 bits", 16, bytes(16), 5, None),
            ("grey and alpha", 8, bytes(4), 1, 2),
        )
    },
    "RGB of 16 bits with a clear colour": png(2, 16, wide(*[2573] * 6), key(2570, 2570, 2570)),
    "floats of a PFM": b"Pf\n2 1\n-1.0\n" + struct.pack("<ff", 0.5, 1.0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_rightly_is_refused_with_advice(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.bin").write_bytes(REFUSED[name])
    with pytest.raises(DatasetError, match=r"a\.bin: .*(save the image|not an image)"):
        read_image(tmp_path / "a.bin", channels=3, resize=AS_IT_IS)


@pytest.mark.parametrize("quality", [75, 95])
def test_luma_and_chroma_of_a_compressed_file_become_rgb(tmp_path: Path, quality: int) -> None:
    photo = Image.new("RGB", (16, 16), (220, 40, 40))
    photo.save(tmp_path / "a.tif", compression="jpeg", quality=quality)
    photo.save(tmp_path / "b.jpg", quality=quality)
    photo.convert("CMYK").save(tmp_path / "c.jpg", quality=quality)
    for name in ("a.tif", "b.jpg", "c.jpg"):
        levels = read_image(tmp_path / name, channels=3, resize=Resize((16, 16)))
        expected = torch.tensor([220, 40, 40])[:, None, None]
        assert (levels.long() - expected).abs().max() <= 6, name


# What is white on top after turning; EXIF 2.32, section 4.6.4: row 0 and column 0 of the file
# are the visual (top, left), (top, right), (bottom, right), (bottom, left), (left, top), ...
CORNER = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}


def marked() -> Image.Image:
    """Black, with its upper left quarter white."""
    image = Image.new("L", (16, 16), 0)
    image.paste(255, (0, 0, 8, 8))
    return image


def exif(orientation: int, order: str = "<", kind: int = 3, count: int = 1) -> bytes:
    """EXIF with one entry."""
    value = struct.pack(order + {3: "H", 4: "I"}[kind], orientation).ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, 1)
    return head + struct.pack(f"{order}HHI", 0x0112, kind, count) + value + b"\0\0\0\0"


def with_exif(image: Image.Image, body: bytes, suffix: str) -> bytes:
    buffer = io.BytesIO()
    if suffix == "jpg":
        image.save(buffer, "JPEG", quality=95)
        content, segment = buffer.getvalue(), b"Exif\0\0" + body
        size = struct.pack(">H", len(segment) + 2)
        return content[:2] + b"\xff\xe1" + size + segment + content[2:]
    image.save(buffer, "PNG")
    content = buffer.getvalue()
    return content[:33] + png_chunk(b"eXIf", body) + content[33:]  # after IHDR


def corner_of(path: Path) -> tuple[int, int]:
    quarters = read_image(path, channels=1, resize=Resize((16, 16)))[0, 4::8, 4::8]
    return divmod(int(quarters.flatten().argmax()), 2)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", CORNER)
def test_a_camera_held_in_any_way_gives_an_upright_image(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    path = tmp_path / "a"
    for order in "<>":
        for kind in (3, 4):
            path.write_bytes(with_exif(marked(), exif(orientation, order, kind), suffix))
            assert corner_of(path) == CORNER[orientation]


def test_a_tiff_is_turned_once(tmp_path: Path) -> None:
    marked().save(tmp_path / "a.tif", tiffinfo={0x0112: 6})
    assert corner_of(tmp_path / "a.tif") == CORNER[6]


def test_an_orientation_that_only_xmp_has_is_read(tmp_path: Path) -> None:
    marked().save(tmp_path / "a.jpg", xmp=b'<rdf:Description tiff:Orientation="6"/>')
    assert corner_of(tmp_path / "a.jpg") == CORNER[6]


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"II",
        b"MM\0*\0\0",
        b"II*\0\xff\xff\xff\xff",
        b"<html>",
        exif(0),
        exif(9),
        exif(65535),
        exif(6)[:-8],
        b"II*\0" + struct.pack("<IHHHI4s", 8, 1, 0x0112, 2, 2, b"6\0\0\0"),  # text, not a number
        b"II*\0" + struct.pack("<IHHHI4s", 8, 9999, 0x0100, 3, 1, b"\1\0\0\0"),
    ],
)
def test_broken_exif_never_refuses_a_sound_image(tmp_path: Path, body: bytes, suffix: str) -> None:
    (tmp_path / "a").write_bytes(with_exif(marked(), body, suffix))
    assert corner_of(tmp_path / "a") == CORNER[1]


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_damaged_exif_of_a_camera_never_refuses_nor_warns(tmp_path: Path, suffix: str) -> None:
    camera = Image.Exif()
    camera[0x0112], camera[0x011A], camera[0x010F] = 6, 72.0, "maker"
    camera[0x8769] = {0x9000: b"0220", 0x829A: 0.1}
    body, chance = camera.tobytes()[6:], random.Random(0)
    for _ in range(200):
        damaged = bytearray(body)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.choice([0, 1, 255, 0x12])
        part = bytes(damaged[: chance.randint(0, len(damaged))])
        for content in (bytes(damaged), part):
            (tmp_path / "a").write_bytes(with_exif(marked(), content, suffix))
            corner_of(tmp_path / "a")


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "I;16"])
@pytest.mark.parametrize("number", range(1, 9))
def test_a_tiff_that_lies_on_its_side_is_read_upright(
    tmp_path: Path, mode: str, number: int
) -> None:
    stored = np.random.default_rng(number).integers(0, 2, (5, 9), dtype=np.uint8) * 255
    turned = {5: stored.T, 6: np.rot90(stored, -1), 7: np.rot90(stored, 2).T, 8: np.rot90(stored)}
    flipped = {2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1]}
    expected = {1: stored, **flipped, **turned}[number]
    tag = Image.Exif()
    tag[0x0112] = number
    grey = Image.fromarray(stored)
    image = Image.fromarray(stored.astype(np.uint16) * 257) if mode == "I;16" else grey
    image = image if mode == "I;16" else image.convert(mode)
    image.save(tmp_path / "a.tif", exif=tag)
    levels = read_image(tmp_path / "a.tif", channels=1, resize=Resize(expected.shape))
    assert np.array_equal(levels[0].numpy(), expected)
