from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelbayes.data import (
    DatasetError,
    ImageFileError,
    Resize,
    grid,
    read_image,
    read_images,
    write_png,
)
from pixelbayes.data.files import temporary_file

SIZE = Resize((16, 16))
SavePhoto = Callable[..., Path]


def colour_of(path: Path, channels: int = 3) -> list[int]:
    """The colour of the central pixel."""
    return read_image(path, channels=channels, resize=SIZE)[:, 8, 8].tolist()


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def plain(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (16, 16), colour)  # type: ignore[arg-type]


class TestKindsOfPixels:
    def test_grey_becomes_three_equal_channels(self, tmp_path: Path) -> None:
        assert colour_of(saved(plain("L", 77), tmp_path / "a.png")) == [77, 77, 77]

    def test_colour_becomes_luma_for_a_grey_model(self, tmp_path: Path) -> None:
        path = saved(plain("RGB", (200, 100, 50)), tmp_path / "a.png")
        assert colour_of(path, channels=1) == [round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)]

    @pytest.mark.parametrize("level", range(0, 256, 51))
    def test_grey_survives_the_way_through_colour(self, tmp_path: Path, level: int) -> None:
        path = saved(plain("RGB", (level,) * 3), tmp_path / "a.png")
        assert colour_of(path, channels=1) == [level]

    def test_one_bit_is_black_or_white(self, tmp_path: Path) -> None:
        assert colour_of(saved(plain("1", 1), tmp_path / "a.png"), channels=1) == [255]

    def test_a_palette_is_looked_up(self, tmp_path: Path) -> None:
        image = plain("RGB", (10, 200, 30)).convert("P", palette=Image.Palette.ADAPTIVE)
        assert colour_of(saved(image, tmp_path / "a.gif")) == [10, 200, 30]

    def test_a_palette_is_looked_up_before_the_resize(self, tmp_path: Path) -> None:
        image = Image.new("P", (32, 32), 0)
        image.putpalette([0, 0, 0, 255, 0, 0, 200, 200, 200])
        image.paste(2, (0, 0, 32, 16))  # black below grey; red lies between them in the palette
        path = saved(image, tmp_path / "a.png")
        red, green, blue = read_image(path, channels=3, resize=SIZE)
        assert torch.equal(red, green)
        assert torch.equal(red, blue)

    @pytest.mark.parametrize(
        ("mode", "transparent", "solid", "colour"),
        [
            ("RGBA", (255, 0, 0, 0), (255, 0, 0, 255), [255, 0, 0]),
            ("LA", (9, 0), (9, 255), [9] * 3),
        ],
    )
    def test_transparency_is_laid_on_white(
        self, tmp_path: Path, mode: str, transparent: object, solid: object, colour: list[int]
    ) -> None:
        assert colour_of(saved(plain(mode, transparent), tmp_path / "a.png")) == [255, 255, 255]
        assert colour_of(saved(plain(mode, solid), tmp_path / "b.png")) == colour

    def test_half_transparent_black_is_grey(self, tmp_path: Path) -> None:
        path = saved(plain("RGBA", (0, 0, 0, 128)), tmp_path / "a.png")
        assert colour_of(path, channels=1) == [127]

    @pytest.mark.parametrize(("mode", "key"), [("P", 0), ("L", 0), ("RGB", (0, 0, 0))])
    def test_a_transparent_colour_is_laid_on_white(
        self, tmp_path: Path, mode: str, key: object
    ) -> None:
        path = saved(plain(mode, key), tmp_path / "a.png", transparency=key)
        assert colour_of(path) == [255, 255, 255]

    def test_transparency_of_each_palette_entry_is_laid_on_white(self, tmp_path: Path) -> None:
        image = plain("P", 1)
        image.putpalette([0, 0, 0, 0, 0, 0])
        path = saved(image, tmp_path / "a.png", transparency=bytes([255, 0]))
        assert colour_of(path) == [255, 255, 255]

    @pytest.mark.parametrize(
        ("wide", "level"), [(0, 0), (128, 0), (129, 1), (32896, 128), (65406, 254), (65535, 255)]
    )
    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_sixteen_bits_of_grey_are_rounded_to_eight(
        self, tmp_path: Path, wide: int, level: int, suffix: str
    ) -> None:
        image = Image.fromarray(np.full((16, 16), wide, dtype=np.uint16))
        assert colour_of(saved(image, tmp_path / f"a.{suffix}"), channels=1) == [level]

    def test_sixteen_bits_in_a_pgm_are_rounded_to_eight(self, tmp_path: Path) -> None:
        pixels = np.full((16, 16), 32896, dtype=">u2")
        (tmp_path / "a.pgm").write_bytes(b"P5 16 16 65535\n" + pixels.tobytes())
        assert colour_of(tmp_path / "a.pgm", channels=1) == [128]

    @pytest.mark.parametrize("mode", ["F", "I"])
    def test_pixels_without_a_fixed_range_are_refused(self, tmp_path: Path, mode: str) -> None:
        path = saved(plain(mode, 5), tmp_path / "a.tif")
        with pytest.raises(ImageFileError, match=rf"a\.tif: pixels of mode '{mode}'.*8 bits"):
            read_image(path, channels=1, resize=SIZE)

    def test_ink_colours_of_an_adobe_jpeg_are_not_inverted(self, tmp_path: Path) -> None:
        image = plain("RGB", (220, 40, 40)).convert("CMYK")
        red, green, blue = colour_of(saved(image, tmp_path / "a.jpg", quality=95))
        assert red > 200
        assert max(green, blue) < 60


class TestKindsOfFiles:
    def test_a_camera_held_sideways_gives_an_upright_image(self, tmp_path: Path) -> None:
        pixels = np.zeros((16, 16, 3), dtype=np.uint8)
        pixels[:, :8] = 255  # light on the left
        exif = Image.Exif()
        exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise to look right
        path = saved(Image.fromarray(pixels), tmp_path / "a.png", exif=exif)
        levels = read_image(path, channels=1, resize=SIZE)
        assert levels[0, :8].min() == 255, "light should now be on top"
        assert levels[0, 8:].max() == 0

    def test_an_animation_is_refused_with_its_number_of_frames(self, tmp_path: Path) -> None:
        frames = [plain("L", 10 * number) for number in range(3)]
        path = saved(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
        with pytest.raises(ImageFileError, match="animated, 3 frames"):
            read_image(path, channels=3, resize=SIZE)

    def test_the_photograph_of_a_camera_with_previews_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jpg"
        plain("L", 200).save(path, format="MPO", save_all=True, append_images=[plain("L", 3)])
        assert colour_of(path) == [200, 200, 200]

    @pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "tiff", "webp", "ppm"])
    def test_every_format_is_read(self, tmp_path: Path, suffix: str) -> None:
        levels = colour_of(saved(plain("RGB", (120, 120, 120)), tmp_path / f"a.{suffix}"))
        assert all(abs(level - 120) <= 1 for level in levels)

    def test_a_truncated_jpeg_is_named_in_the_error(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        path = tmp_path / "half.jpg"
        content = save_photo(path).read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(ImageFileError, match=r"half\.jpg: .*truncated") as caught:
            read_image(path, channels=3, resize=SIZE)
        assert caught.value.path == path

    def test_a_truncated_png_is_named_in_the_error(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        path = save_photo(tmp_path / "half.png")
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(ImageFileError, match=r"half\.png: "):
            read_image(path, channels=3, resize=SIZE)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [(b"", "the file is empty"), (b"<html>not found</html>", "not an image in one of")],
    )
    def test_a_file_that_is_no_image_is_named(
        self, tmp_path: Path, content: bytes, reason: str
    ) -> None:
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(ImageFileError, match=rf"a\.png: {reason}"):
            read_image(tmp_path / "a.png", channels=3, resize=SIZE)

    def test_postscript_is_not_run(self, tmp_path: Path) -> None:
        buffer = io.BytesIO()
        plain("RGB", "red").save(buffer, format="EPS")
        (tmp_path / "a.png").write_bytes(buffer.getvalue())
        with pytest.raises(ImageFileError, match="not an image in one of"):
            read_image(tmp_path / "a.png", channels=3, resize=SIZE)

    def test_a_missing_file_and_a_folder_are_told_apart(self, tmp_path: Path) -> None:
        with pytest.raises(ImageFileError, match=r"a\.png: no such file"):
            read_image(tmp_path / "a.png", channels=3, resize=SIZE)
        with pytest.raises(ImageFileError, match="a folder, not an image file"):
            read_image(tmp_path, channels=3, resize=SIZE)

    def test_bytes_are_a_file_while_they_are_read_and_errors_name_what_they_came_from(self) -> None:
        def read() -> None:
            with temporary_file(b"text", "stdin") as file:
                seen.append(file)
                assert file.read_bytes() == b"text"
                read_image(file, channels=3, resize=SIZE)

        seen: list[Path] = []
        with pytest.raises(ImageFileError, match=r"^stdin: not an image in one of"):
            read()
        assert not seen[0].parent.exists()

    @pytest.mark.parametrize("limit", [200, 100])  # Pillow warns above it, raises above twice it
    def test_a_decompression_bomb_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
    ) -> None:
        path = saved(plain("L", 0), tmp_path / "a.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(ImageFileError, match="decompression bomb"):
            read_image(path, channels=1, resize=SIZE)

    def test_reading_changes_nothing_for_other_threads(
        self, tmp_path: Path, save_photo: SavePhoto, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = save_photo(tmp_path / "a.png")

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("the filters of warnings belong to the whole process")

        for name in ("simplefilter", "filterwarnings", "resetwarnings"):
            monkeypatch.setattr(warnings, name, refuse)
        with ThreadPoolExecutor(4) as pool:
            read = list(pool.map(lambda _: read_image(path, channels=3, resize=SIZE), range(16)))
        assert all(torch.equal(levels, read[0]) for levels in read)

    def test_a_small_image_is_named(self, tmp_path: Path, save_photo: SavePhoto) -> None:
        path = save_photo(tmp_path / "small.png", rows=15)
        with pytest.raises(ImageFileError, match=r"small\.png: 15 x 48 .* smaller than 16 x 16"):
            read_image(path, channels=3, resize=SIZE)

    def test_two_channels_are_refused(self, tmp_path: Path) -> None:
        path = saved(plain("L", 0), tmp_path / "a.png")
        with pytest.raises(DatasetError, match=r"channels is 1 \(grey\) or 3 \(RGB\), got 2"):
            read_image(path, channels=2, resize=SIZE)

    def test_the_error_can_cross_to_another_process(self) -> None:
        error = pickle.loads(pickle.dumps(ImageFileError("a.png", "no such file")))
        assert (str(error), error.reason) == ("a.png: no such file", "no such file")


class TestManyFiles:
    def make(self, folder: Path, save_photo: SavePhoto, bad: int) -> list[Path]:
        good = [save_photo(folder / f"{number}.png") for number in range(2)]
        broken = [folder / f"bad{number:02}.png" for number in range(bad)]
        for path in broken:
            path.write_bytes(b"")
        return [good[0], *broken, good[1]]

    def test_the_first_ten_bad_files_are_listed_in_one_error(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        paths = self.make(tmp_path, save_photo, bad=12)
        with pytest.raises(DatasetError, match=r"12 images cannot be used.*--skip-bad") as caught:
            read_images(paths, channels=3, resize=SIZE)
        assert "bad09.png: the file is empty, ... (12 in all)" in str(caught.value)
        assert "bad10.png" not in str(caught.value)

    def test_what_helps_many_files_is_said_once(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        paths = self.make(tmp_path, save_photo, bad=1)
        with pytest.raises(DatasetError) as caught:
            read_images(paths, channels=3, resize=Resize((99, 99)))
        message = str(caught.value)
        assert message.startswith("3 images cannot be used (")
        assert message.count("is smaller than 99 x 99") == 2
        assert message.count("; use larger originals, or") == 1
        assert "the file is empty" in message

    def test_bad_files_can_be_left_out(self, tmp_path: Path, save_photo: SavePhoto) -> None:
        paths = self.make(tmp_path, save_photo, bad=1)
        levels, kept, bad = read_images(paths, channels=3, resize=SIZE, skip_bad=True)
        assert kept == [0, 2]
        assert [(file.path, file.reason) for file in bad] == [(paths[1], "the file is empty")]
        assert torch.equal(levels[1], read_image(paths[2], channels=3, resize=SIZE))

    def test_progress_counts_every_file(self, tmp_path: Path, save_photo: SavePhoto) -> None:
        seen: list[tuple[int, int]] = []
        read_images(
            self.make(tmp_path, save_photo, bad=0),
            channels=3,
            resize=SIZE,
            progress=lambda done, total: seen.append((done, total)),
        )
        assert seen == [(1, 2), (2, 2)]


class TestWriting:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_a_png_holds_exactly_the_levels(self, tmp_path: Path, channels: int) -> None:
        generator = torch.Generator().manual_seed(0)
        levels = torch.randint(256, (channels, 16, 16), dtype=torch.uint8, generator=generator)
        write_png(levels, tmp_path / "new" / "a.png")
        assert torch.equal(
            read_image(tmp_path / "new" / "a.png", channels=channels, resize=SIZE), levels
        )

    def test_float_images_are_not_written(self, tmp_path: Path) -> None:
        with pytest.raises(TypeError, match=r"got torch\.float32"):
            write_png(torch.zeros(3, 8, 8), tmp_path / "a.png")

    def test_a_batch_is_not_written_as_one_image(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"C = 1 or 3, got \(1, 3, 8, 8\)"):
            write_png(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), tmp_path / "a.png")

    def test_a_grid_places_images_row_by_row_on_white(self) -> None:
        levels = torch.arange(3, dtype=torch.uint8)[:, None, None, None].expand(3, 1, 2, 2)
        mosaic = grid(levels, columns=2, pad=1)[0]
        assert mosaic.tolist() == [
            [255, 255, 255, 255, 255, 255, 255],
            [255, 0, 0, 255, 1, 1, 255],
            [255, 0, 0, 255, 1, 1, 255],
            [255, 255, 255, 255, 255, 255, 255],
            [255, 2, 2, 255, 255, 255, 255],
            [255, 2, 2, 255, 255, 255, 255],
            [255, 255, 255, 255, 255, 255, 255],
        ]

    def test_a_grid_of_nothing_is_refused(self) -> None:
        with pytest.raises(DatasetError, match="N > 0"):
            grid(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), columns=2)
