from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from pixelbayes.data import (
    Conversions,
    DatasetError,
    ImageFileError,
    Resize,
    image_batches,
    image_levels,
    load_dataset,
    read_image,
    write_png,
)

SMALL = Resize((32, 32))
EXACT = Resize((12, 16))
SavePhoto = Callable[..., Path]
PROPERTY = settings(derandomize=True, deadline=None, max_examples=40)


def noise(*shape: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


class Samples(Dataset[Any]):
    """A map-style data set of what it is given."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class Stream(IterableDataset[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


def forms(path: Path) -> dict[str, Any]:
    """One photograph in every form that a colour model accepts."""
    image = Image.open(path).convert("RGB")
    array = np.array(image)
    chw = array.transpose(2, 0, 1)
    tensor = torch.from_numpy(chw.copy())
    return {
        "text": str(path),
        "path": path,
        "pillow": image,
        "file opened by Pillow": Image.open(path),
        "HWC": array,
        "NHWC": array[None],
        "CHW": chw,
        "NCHW": chw[None],
        "tensor CHW": tensor,
        "tensor NCHW": tensor[None],
        "tensor HWC": torch.from_numpy(array),
        "RGBA": np.dstack([array, np.full(array.shape[:2], 255, np.uint8)]),
        "array not contiguous": np.asfortranarray(array),
        "whole floats": array.astype(np.float32),
        "whole integers": array.astype(np.int64),
        "list": [array],
        "tuple": (image,),
        "generator": (item for item in [path]),
        "array of paths": np.array([str(path)]),
        "pair with a label": [(path, 3)],
        "pair with a label of NumPy": [(array, np.int64(3))],
        "data set": Samples([(tensor, 3)]),
        "data set of mappings": Samples([{"image": image, "label": 3}]),
        "data set of tensors": TensorDataset(tensor[None], torch.tensor([3])),
        "stream": Stream([tensor]),
        "loader": DataLoader(TensorDataset(tensor[None], torch.tensor([3])), batch_size=1),
        "loader of mappings": DataLoader(Samples([{"image": tensor, "label": 3}]), batch_size=1),
    }


@pytest.mark.parametrize("resize", [SMALL, Resize((48, 64))], ids=["resized", "as it is"])
def test_a_photograph_gives_the_same_levels_in_every_form(
    tmp_path: Path, save_photo: SavePhoto, resize: Resize
) -> None:
    path = save_photo(tmp_path / "a.png", rows=48, columns=64)
    expected = read_image(path, channels=3, resize=resize)
    for form, images in forms(path).items():
        batch = image_levels(images, channels=3, resize=resize, whole_levels=True)
        assert batch.levels.dtype == torch.uint8, form
        assert torch.equal(batch.levels, expected[None]), form
        resized = {} if resize is not SMALL else {"48 x 64 -> 32 x 32": 1}
        assert batch.conversions.resized == resized, form
        assert batch.conversions.retyped == ("whole" in form), form


@pytest.mark.parametrize("shape", [(12, 16), (12, 16, 1), (1, 12, 16), (1, 12, 16, 1)])
def test_grey_comes_with_and_without_an_axis_of_channels(shape: tuple[int, ...]) -> None:
    values = noise(*shape)
    for images in (values, torch.from_numpy(values), [values]):
        batch = image_levels(images, channels=1, resize=EXACT)
        assert torch.equal(batch.levels, torch.from_numpy(values).view(1, 1, 12, 16))
        assert batch.conversions == Conversions(1)


def test_many_grey_images_are_known_by_their_axes() -> None:
    values = noise(5, 12, 16)
    for images in (values, values[:, None], values[..., None], torch.from_numpy(values)):
        batch = image_levels(images, channels=1, resize=EXACT)
        assert torch.equal(batch.levels, torch.from_numpy(values)[:, None])
        assert batch.names == ("0", "1", "2", "3", "4")


@PROPERTY
@given(st.integers(1, 20), st.integers(1, 7), st.sampled_from([1, 3]))
def test_batches_hold_every_image_once_and_in_order(
    count: int, batch_size: int, channels: int
) -> None:
    levels = torch.from_numpy(noise(count, channels, 12, 16))
    batches = list(image_batches(levels, channels=channels, resize=EXACT, batch_size=batch_size))
    assert torch.equal(torch.cat([batch.levels for batch in batches]), levels)
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert [n for batch in batches for n in batch.names] == [str(n) for n in range(count)]
    assert sum(batch.conversions.images for batch in batches) == count


@PROPERTY
@given(st.sampled_from([1, 3]), st.integers(0, 9))
def test_levels_survive_a_file_and_every_array(
    tmp_path_factory: pytest.TempPathFactory, channels: int, seed: int
) -> None:
    levels = torch.from_numpy(noise(channels, 12, 16, seed=seed))
    path = tmp_path_factory.getbasetemp() / "levels.png"
    write_png(levels, path)
    for images in (path, levels, levels.numpy()[None], levels.permute(1, 2, 0).numpy()):
        assert torch.equal(image_levels(images, channels=channels, resize=EXACT).levels[0], levels)


def test_batches_are_made_as_they_are_asked_for() -> None:
    drawn = []

    def images() -> Iterator[Any]:
        for number in range(100):
            drawn.append(number)
            yield noise(12, 16, 3)

    next(image_batches(images(), channels=3, resize=EXACT, batch_size=4))
    assert drawn == [0, 1, 2, 3]


def test_a_folder_stands_for_its_images(tmp_path: Path, save_photo: SavePhoto) -> None:
    for name in ("b/1.png", "a.png"):
        save_photo(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    batch = image_levels(tmp_path, channels=3, resize=SMALL)
    assert batch.names == (f"{tmp_path}/a.png", f"{tmp_path}/b/1.png")


def test_a_split_of_ours_keeps_its_names() -> None:
    test = load_dataset("digits", limit=20).split("test")
    batch = image_levels(test, channels=1, resize=Resize((8, 8)))
    assert batch.names == test.names
    assert torch.equal(batch.levels, test.levels)


def test_nothing_gives_a_batch_of_nothing() -> None:
    for images in ([], np.zeros((0, 12, 16, 3), np.uint8), torch.zeros(0, 3, 12, 16).byte()):
        assert image_levels(images, channels=3, resize=EXACT).levels.shape == (0, 3, 12, 16)


class TestConversions:
    def test_colour_for_a_grey_model_is_luma_and_told(self) -> None:
        colour = np.zeros((12, 16, 3), np.uint8) + np.array([200, 100, 50], np.uint8)
        batch = image_levels(colour, channels=1, resize=EXACT)
        assert (batch.levels == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)).all()
        assert batch.conversions.sentences() == ["1 of 1 colour images made grey"]

    def test_grey_for_a_colour_model_is_repeated_and_told(self) -> None:
        batch = image_levels(noise(12, 16), channels=3, resize=EXACT)
        assert torch.equal(batch.levels[:, 0], batch.levels[:, 2])
        assert batch.conversions.sentences() == ["1 of 1 grey images made three equal channels"]

    def test_counts_of_batches_add_up(self) -> None:
        images = [noise(12, 16, 3), noise(24, 32, 3), noise(24, 32, 3), noise(40, 40)]
        parts = image_batches(images, channels=3, resize=EXACT, batch_size=2)
        total = sum((batch.conversions for batch in parts), Conversions())
        assert total == Conversions(
            4, {"24 x 32 -> 12 x 16": 2, "40 x 40 -> 12 x 16": 1}, to_colour=1
        )
        assert total.sentences()[0] == (
            "3 of 4 images resized (24 x 32 -> 12 x 16, 40 x 40 -> 12 x 16)"
        )


class TestRefusals:
    @pytest.mark.parametrize(
        ("low", "high", "line"),
        [
            (0.0, 1.0, "(x * 255).round().astype(np.uint8)"),
            (-1.0, 1.0, "((x + 1) * 127.5).round().astype(np.uint8)"),
            (0.0, 255.0, "x.round().astype(np.uint8)"),
        ],
    )
    def test_floats_are_refused_with_the_line_that_converts_them(
        self, low: float, high: float, line: str
    ) -> None:
        levels = noise(12, 16, 3)
        levels[0, 0] = (0, 255, 128)
        x = low + levels.astype(np.float64) / 255 * (high - low)
        with pytest.raises(TypeError, match=r"uint8 levels, 0\.\.255, got float64") as caught:
            image_levels(x, channels=3, resize=EXACT)
        assert str(caught.value).endswith(f"pass {line}")
        assert np.array_equal(eval(line, {"x": x, "np": np}), levels), "the line must be right"

        tensor = torch.from_numpy(x).permute(2, 0, 1)
        with pytest.raises(TypeError) as caught:
            image_levels(tensor, channels=3, resize=EXACT)
        converted = eval(str(caught.value).rpartition("pass ")[2], {"x": tensor, "torch": torch})
        assert np.array_equal(converted.permute(1, 2, 0).numpy(), levels)

    def test_normalised_floats_are_refused(self) -> None:
        x = np.linspace(-2.1, 2.6, 12 * 16 * 3).reshape(12, 16, 3)
        with pytest.raises(TypeError, match=r"from -2\.1 to 2\.6; undo the normalisation"):
            image_levels(x, channels=3, resize=EXACT, whole_levels=True)

    @pytest.mark.parametrize("x", [0.5, np.nan, 256.0, -1.0])
    def test_floats_that_are_no_levels_are_refused_where_whole_ones_are_accepted(
        self, x: float
    ) -> None:
        with pytest.raises(TypeError, match="uint8 levels"):
            image_levels(np.full((12, 16), x), channels=1, resize=EXACT, whole_levels=True)

    def test_bits_and_sixteen_bits_are_refused_with_their_lines(self) -> None:
        with pytest.raises(TypeError, match=r"pass x\.astype\(np\.uint8\) \* 255$"):
            image_levels(np.ones((12, 16), bool), channels=1, resize=EXACT, whole_levels=True)
        with pytest.raises(TypeError, match=r"pass \(x / 257\)\.round\(\)\.astype"):
            image_levels(np.full((12, 16), 65535, np.uint16), channels=1, resize=EXACT)

    @pytest.mark.parametrize("shape", [(3, 16, 3), (1, 16, 3), (3, 16, 1), (3, 16, 4)])
    def test_a_shape_with_two_meanings_is_refused_with_a_line_for_each(
        self, shape: tuple[int, ...]
    ) -> None:
        with pytest.raises(DatasetError, match=r"last place or before .*fromarray\(x\) for the"):
            image_levels(noise(*shape), channels=3, resize=EXACT)
        with pytest.raises(DatasetError, match=r"fromarray\(i\) for i in x\] for the one"):
            image_levels(noise(2, *shape), channels=3, resize=EXACT)

    def test_three_grey_images_and_one_of_colour_are_told_apart(self) -> None:
        x = noise(3, 12, 16)
        with pytest.raises(DatasetError, match=r"pass x\[None\] for the one, x\[:, None\] for"):
            image_levels(x, channels=1, resize=EXACT)
        assert len(image_levels(x[None], channels=1, resize=EXACT)) == 1
        assert len(image_levels(x[:, None], channels=1, resize=EXACT)) == 3
        assert len(image_levels(x, channels=3, resize=EXACT)) == 1
        assert len(image_levels(torch.from_numpy(x), channels=1, resize=EXACT)) == 1

    @pytest.mark.parametrize("shape", [(), (5,), (2, 12, 16, 5), (1, 1, 1, 12, 16), (12, 0), (0,)])
    def test_a_shape_without_meaning_is_refused(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(DatasetError, match=r"shape .*(is no image|no axis of 1 or 3)"):
            image_levels(np.zeros(shape, np.uint8), channels=3, resize=EXACT)

    @pytest.mark.parametrize(
        ("images", "message"),
        [
            (None, "NoneType is no image; pass a path, a PIL image"),
            (7, "int is no image"),
            ([[1, 2], [3, 4]], r"np\.array\(x, dtype=np\.uint8\)"),
            (b"\x89PNG", r"PIL\.Image\.open\(io\.BytesIO\(x\)\)"),
            ({"label": 1}, "the keys label has no image; call it image"),
            (Samples([{"pixels": 1}]), "the keys pixels has no image"),
            (np.zeros((12, 16), np.complex64), "complex64 is no image"),
            (torch.zeros(3, 12, 16).to_sparse(), r"layout torch\.sparse_coo is no image; .*dense"),
            (
                torch.zeros(3, 12, 16, device="meta"),
                "the device meta has no levels; pass a path",
            ),
        ],
    )
    def test_what_is_no_image_is_answered_with_what_is(self, images: Any, message: str) -> None:
        with pytest.raises(TypeError, match=message):
            image_levels(images, channels=3, resize=EXACT)

    def test_a_type_that_numpy_lacks_is_an_image_like_other_floats(self) -> None:
        levels = torch.from_numpy(noise(3, 12, 16))
        x = levels.bfloat16()
        read = image_levels(x, channels=3, resize=EXACT, whole_levels=True).levels[0]
        assert torch.equal(read, levels)
        with pytest.raises(TypeError, match=r"got torch\.bfloat16 from 0 to 255; .* pass x\.round"):
            image_levels(x, channels=3, resize=EXACT)

    @pytest.mark.parametrize("images", ["", [""]])
    def test_an_empty_path_is_not_the_current_folder(self, images: Any) -> None:
        with pytest.raises(
            DatasetError, match=r'an empty path names no image; "\." is the current'
        ):
            image_levels(images, channels=3, resize=EXACT)

    def test_a_whole_data_set_is_answered_with_a_split(self) -> None:
        with pytest.raises(TypeError, match=r"pass one of them, such as dataset\.split"):
            image_levels(load_dataset("digits", limit=20), channels=1, resize=Resize((8, 8)))  # type: ignore[arg-type]

    def test_a_file_that_is_missing_or_damaged_is_named(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        with pytest.raises(ImageFileError, match=r"a\.png: no such file"):
            image_levels([tmp_path / "a.png"], channels=3, resize=SMALL)
        photo = save_photo(tmp_path / "half.png")
        photo.write_bytes(photo.read_bytes()[:900])
        with pytest.raises(ImageFileError, match=r"half\.png: "):
            image_levels(str(photo), channels=3, resize=SMALL)

    def test_a_small_image_is_named_by_its_number_or_its_path(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        with pytest.raises(DatasetError, match=r"^image 1: 9 x 16 .* smaller than 12 x 16"):
            image_levels([noise(12, 16), noise(9, 16)], channels=1, resize=EXACT)
        with pytest.raises(ImageFileError, match=r"a\.png: 9 x 16"):
            image_levels(
                save_photo(tmp_path / "a.png", rows=9, columns=16), channels=1, resize=EXACT
            )

    def test_an_animation_in_memory_is_refused(self) -> None:
        buffer = io.BytesIO()
        frames = [Image.new("L", (16, 16), level) for level in (0, 99)]
        frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
        with pytest.raises(DatasetError, match="animated, 2 frames"):
            image_levels(Image.open(buffer), channels=1, resize=EXACT)

    def test_wrong_sizes_of_batches_are_found_at_once(self) -> None:
        with pytest.raises(DatasetError, match="above 0, got 0"):
            image_batches([], channels=3, resize=EXACT, batch_size=0)
        with pytest.raises(DatasetError, match=r"channels is 1 \(grey\) or 3"):
            image_batches([], channels=4, resize=EXACT)
