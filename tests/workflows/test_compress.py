"""Pictures of every kind come out of an archive as they went in, or not at all."""

from __future__ import annotations

import io
import itertools
import random
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("constriction")

from pixelbayes.data.files import read_exactly
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.codec import CodecError, TileCodec
from pixelbayes.models import PixelBayes
from pixelbayes.workflows.archive import MAGIC, ArchiveReader, ArchiveWriter, Origin, Picture
from pixelbayes.workflows.compress import compress, decompressed, sources_of

MODES = ("L", "LA", "RGB", "RGBA")


def picture(mode: str, height: int, width: int, seed: int = 0) -> Image.Image:
    shape = (height, width, {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}[mode])
    levels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return Image.fromarray(levels[..., 0] if mode == "L" else levels)


def grey_model(tiny_network, tiny_model) -> PixelBayes:
    return PixelBayes(tiny_network(channels=1), tiny_model.metadata)


def archive_of(model, folder, **options) -> bytes:
    images = sorted(path for path in folder.rglob("*") if path.is_file())
    file = io.BytesIO()
    compress(model, sources_of([str(folder)], images, {}), file, name="tiny", **options)
    return file.getvalue()


def pictures_in(model, content: bytes) -> dict[str, Image.Image]:
    reader = ArchiveReader(io.BytesIO(content), "archive")
    return {picture.name: image for picture, image in decompressed(model, reader)}


@pytest.mark.parametrize("grey", [False, True], ids=["colour model", "grey model"])
def test_pictures_of_every_mode_and_size_come_out_as_they_went_in(
    tiny_model, tiny_network, tmp_path, grey
):
    model = grey_model(tiny_network, tiny_model) if grey else tiny_model
    sizes = [(8, 8), (1, 1), (3, 17), (20, 5)]
    expected = {}
    for seed, (mode, size) in enumerate(itertools.product(MODES, sizes)):
        image = picture(mode, *size, seed=seed)
        name = f"{mode}/{size[0]}x{size[1]}.png"
        (tmp_path / mode).mkdir(exist_ok=True)
        image.save(tmp_path / name)
        expected[name] = image
    found = pictures_in(model, archive_of(model, tmp_path))
    assert found.keys() == expected.keys()
    for name, image in expected.items():
        assert found[name].mode == image.mode
        assert np.array_equal(np.asarray(found[name]), np.asarray(image)), name


def test_a_palette_a_photograph_and_a_bitmap_keep_their_pixels(tiny_model, tmp_path):
    colours = picture("RGB", 9, 9)
    colours.quantize(16).save(tmp_path / "palette.png")
    colours.save(tmp_path / "photo.jpg")
    picture("L", 9, 9).convert("1").save(tmp_path / "bitmap.bmp")
    found = pictures_in(tiny_model, archive_of(tiny_model, tmp_path))
    for name in ("palette.png", "photo.jpg", "bitmap.bmp"):
        with Image.open(tmp_path / name) as image:
            shown = np.asarray(image.convert("RGB"))
        out = found[name.rsplit(".", 1)[0] + ".png"]
        assert np.array_equal(np.asarray(out.convert("RGB")), shown)


def test_a_transparent_colour_becomes_transparency(tiny_model, tmp_path):
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "key.png", transparency=(1, 2, 3))
    found = pictures_in(tiny_model, archive_of(tiny_model, tmp_path))
    assert np.asarray(found["key.png"]).tolist() == [[[1, 2, 3, 0]] * 4] * 4


@pytest.mark.parametrize("wide", [False, True], ids=["16-bit grey", "ink"])
def test_what_a_png_file_of_eight_bits_cannot_hold_is_refused(tiny_model, tmp_path, wide):
    path = tmp_path / ("deep.png" if wide else "ink.jpg")
    if wide:
        Image.fromarray(np.full((8, 8), 300, np.uint16)).save(path)
    else:
        Image.new("CMYK", (8, 8)).save(path)
    with pytest.raises(PixelBayesError, match="not kept exactly"):
        archive_of(tiny_model, tmp_path)


def test_files_that_cannot_be_read_are_all_named_or_left_out_on_request(tiny_model, tmp_path):
    picture("RGB", 8, 8).save(tmp_path / "good.png")
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(PixelBayesError, match=r"2 images cannot be used.*a\.png.*b\.png"):
        archive_of(tiny_model, tmp_path)
    assert pictures_in(tiny_model, archive_of(tiny_model, tmp_path, skip_bad=True)).keys() == {
        "good.png"
    }


def test_a_class_that_is_given_is_kept_out_of_the_code(tiny_model, tmp_path):
    for number in range(4):
        picture("RGB", 8, 8, number).save(tmp_path / f"{number}.png")
    content = archive_of(tiny_model, tmp_path, label=2)
    assert ArchiveReader(io.BytesIO(content), "archive").origin.label == 2
    assert len(pictures_in(tiny_model, content)) == 4


def test_names_are_relative_to_the_folder_given_and_stay_apart(tmp_path):
    (tmp_path / "a").mkdir()
    images = [tmp_path / "a" / "x.jpg", tmp_path / "a" / "x.png", tmp_path / "a" / "y.jpg"]
    names = [source.name for source in sources_of([str(tmp_path)], images, {})]
    assert names == ["a/x.jpg.png", "a/x.png.png", "a/y.png"]
    assert [source.name for source in sources_of([], images[2:], {})] == ["y.png"]
    with pytest.raises(CodecError, match=r"would both be called x\.png"):
        sources_of([], [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"], {})


def test_a_picture_beside_the_folder_that_is_given_has_a_name_inside(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    images = [Path("a.png"), Path("../outside.png")]
    assert [source.name for source in sources_of(["."], images, {})] == ["a.png", "outside.png"]


def test_no_picture_is_called_as_the_folder_of_another(tmp_path):
    images = [tmp_path / "a.jpg", tmp_path / "a.png" / "b.png"]
    names = [source.name for source in sources_of([str(tmp_path)], images, {})]
    assert names == ["a.jpg.png", "a.png/b.png"]
    images = [tmp_path / "a.jpg", tmp_path / "a.png" / "b.png", tmp_path / "a.jpg.png" / "b.png"]
    with pytest.raises(CodecError, match=r"a\.jpg would be called a\.jpg\.png, as the folder of"):
        sources_of([str(tmp_path)], images, {})


@pytest.fixture
def content(tiny_model, tmp_path) -> bytes:
    for number in range(3):
        picture("RGB", 8, 8, number).save(tmp_path / f"{number}.png")
    return archive_of(tiny_model, tmp_path)


def test_no_damaged_byte_is_accepted(content):
    random_bytes = random.Random(0)
    for _ in range(2000):
        damaged = bytearray(content)
        damaged[random_bytes.randrange(len(content))] ^= random_bytes.randrange(1, 256)
        with pytest.raises(CodecError):
            ArchiveReader(io.BytesIO(bytes(damaged)), "archive")


def test_no_truncated_or_lengthened_file_is_accepted(content):
    for length in range(len(content)):
        with pytest.raises(CodecError):
            ArchiveReader(io.BytesIO(content[:length]), "archive")
    with pytest.raises(CodecError):
        ArchiveReader(io.BytesIO(content + b"\0"), "archive")


def test_another_model_is_refused_by_name(tiny_model, tiny_network, content):
    other = PixelBayes(tiny_network(seed=7), tiny_model.metadata)
    with pytest.raises(CodecError, match=r"another model, tiny .*--model"):
        pictures_in(other, content)


def test_other_arithmetic_is_refused(tiny_model, content, monkeypatch):
    monkeypatch.setattr(TileCodec, "fingerprint", lambda _: "of another machine")
    with pytest.raises(CodecError, match="other last digits"):
        pictures_in(tiny_model, content)


def test_a_picture_that_comes_out_otherwise_is_refused(tiny_model, content, monkeypatch):
    decode = TileCodec.decode

    def off_by_one(self, code, extents):
        return decode(self, code, extents) ^ 1

    monkeypatch.setattr(TileCodec, "decode", off_by_one)
    with pytest.raises(CodecError, match=r"0\.png of archive does not come out"):
        pictures_in(tiny_model, content)


def rewritten(content: bytes, pictures: list[Picture]) -> bytes:
    """The same tiles with another list of pictures and right sums."""
    reader, file = ArchiveReader(io.BytesIO(content), "archive"), io.BytesIO()
    writer = ArchiveWriter(file, reader.origin)
    for code in reader.tiles():
        writer.add(code)
    writer.finish(pictures)
    return file.getvalue()


def test_a_forged_list_of_pictures_is_refused(tiny_model, content):
    pictures = ArchiveReader(io.BytesIO(content), "archive").pictures
    for forged in (pictures[:2], [*pictures, *pictures], [*pictures[:2], pictures[0]]):
        with pytest.raises(CodecError):
            pictures_in(tiny_model, rewritten(content, forged))


@pytest.mark.parametrize("name", ["/etc/passwd", "../up.png", "a/../../b.png", ""])
def test_a_name_outside_of_the_folder_is_refused(name):
    with pytest.raises(CodecError, match="relative path"):
        Picture(name=name, mode="L", height=1, width=1, crc=0)


@pytest.mark.parametrize(("mode", "height"), [("CMYK", 8), ("L", 0), ("RGB", 10**9)])
def test_a_picture_that_cannot_be_is_refused(mode, height):
    with pytest.raises(CodecError, match="no picture has"):
        Picture(name="a.png", mode=mode, height=height, width=8, crc=0)


def test_an_archive_depends_on_neither_threads_nor_the_call(tiny_model, tmp_path, content):
    torch.set_num_threads(2)
    try:
        assert archive_of(tiny_model, tmp_path) == content
        found = pictures_in(tiny_model, content)
    finally:
        torch.set_num_threads(1)
    assert np.array_equal(np.asarray(found["1.png"]), np.asarray(picture("RGB", 8, 8, 1)))


def test_a_file_of_another_program_or_version_is_refused():
    with pytest.raises(CodecError, match="not a file of pixelbayes compress"):
        ArchiveReader(io.BytesIO(b"PK\3\4" + bytes(100)), "archive")
    file = io.BytesIO()
    ArchiveWriter(file, Origin(model="m", weights="", arithmetic="", width=4)).finish([])
    later = bytearray(file.getvalue()[:-4])
    later[4] += 1
    later += zlib.crc32(later).to_bytes(4, "little")
    with pytest.raises(CodecError, match="version 2 of the format"):
        ArchiveReader(io.BytesIO(bytes(later)), "archive")
    assert MAGIC[4] == 1


def test_the_pixels_of_a_file_are_read_upright(tmp_path):
    image, exif = picture("RGB", 4, 8), Image.Exif()
    exif[0x0112] = 6  # held sideways
    image.save(tmp_path / "turned.png", exif=exif)
    upright = read_exactly(tmp_path / "turned.png")
    assert np.array_equal(np.asarray(upright), np.rot90(np.asarray(image), -1))
