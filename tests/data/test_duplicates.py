from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from torch import Tensor

from pixelbayes.data import DatasetError, DatasetWarning, load_dataset
from pixelbayes.data.duplicates import fingerprints, near_duplicates
from pixelbayes.data.sources.together import kept_together, split_together


def scene(seed: int, size: int = 96) -> Image.Image:
    """Smooth noise: like a photograph, coarse forms in colours."""
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC)


def levels(*images: Image.Image, side: int = 32) -> torch.Tensor:
    small = [np.array(image.resize((side, side), Image.Resampling.BILINEAR)) for image in images]
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved again": lambda image: jpeg(image, 40),
    "half the size": lambda image: image.resize((48, 48), Image.Resampling.BICUBIC),
    "twice the size": lambda image: jpeg(image.resize((192, 192), Image.Resampling.LANCZOS), 80),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "mirrored and saved": lambda i: jpeg(i.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 60),
    "a little brighter": lambda image: image.point(lambda v: min(255, round(1.1 * v))),
    "a little blurred": lambda image: image.filter(ImageFilter.GaussianBlur(1)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_nothing_else(change: str) -> None:
    originals = [scene(seed) for seed in range(40)]
    copies = [CHANGES[change](image) for image in originals[:20]]
    others = [scene(seed) for seed in range(100, 140)]
    found = near_duplicates(levels(*originals), levels(*others, *copies))
    assert found == [(position, 40 + position) for position in range(20)]


def test_flat_images_are_not_alike() -> None:
    flat = torch.full((3, 3, 32, 32), 200, dtype=torch.uint8)
    assert near_duplicates(flat, flat) == []


def test_small_images_are_not_compared() -> None:
    small = levels(scene(0), side=15)
    assert near_duplicates(small, small) == []
    with pytest.raises(DatasetError, match="15 x 15 are too small"):
        fingerprints(small)


def test_grey_and_another_size_are_compared() -> None:
    image = scene(1).convert("L").convert("RGB")
    large, small = levels(image, side=36)[:, :1], levels(image, side=32)[:, :1]
    assert near_duplicates(large, small) == [(0, 0)]


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    """A test photograph is the mirror image of a training photograph."""
    for split, start in (("train", 0), ("val", 10), ("test", 20)):
        for name, offset in (("cat", 0), ("dog", 5)):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(3):
                scene(start + offset + number).save(tmp_path / split / name / f"{number}.png")
    mirror = scene(0).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    mirror.save(tmp_path / "test" / "cat" / "leak.png")
    return tmp_path


def test_a_leak_is_told(leaking: Path) -> None:
    with pytest.warns(DatasetWarning, match=r"train/cat/0\.png \(train\) ~ test/cat/leak\.png"):
        load_dataset(f"folder:{leaking}")


def test_a_leak_can_be_kept_on_the_side_of_the_test(leaking: Path) -> None:
    pets = load_dataset(f"folder:{leaking}", near_duplicates="drop")
    assert "train/cat/0.png" not in pets.split("train").names
    assert "test/cat/leak.png" in pets.split("test").names
    assert pets.left_out == (
        "train/cat/0.png (train): a near-duplicate of test/cat/leak.png (test)",
    )
    assert pets.record is not None
    assert pets.record.unused == ("train/cat/0.png",)


@pytest.mark.parametrize(("side", "flat"), [(8, False), (16, True), (32, False)])
def test_identical_images_are_dropped_at_any_size_and_of_any_content(
    tmp_path: Path, side: int, flat: bool
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, side, side), dtype=np.uint8)
    if flat:
        pixels[:] = pixels[:, :1, :1]
        pixels[:, 0, 0] = np.arange(40)  # all different
        pixels[:] = pixels[:, :1, :1]
    file, labels = tmp_path / "images.npz", np.arange(40) % 2
    np.savez(file, x_train=pixels, y_train=labels, x_val=pixels[5:15], y_val=labels[5:15])
    images = load_dataset(f"npz:{file}", near_duplicates="drop")
    assert len(images.split("train")) == 30
    assert len(images.split("validation")) == 10
    assert len(images.left_out) == 10


def test_a_leak_can_be_accepted(leaking: Path) -> None:
    assert len(load_dataset(f"folder:{leaking}", near_duplicates="ignore").split("train")) == 6


def test_an_unknown_wish_is_answered_with_the_known_ones(leaking: Path) -> None:
    with pytest.raises(DatasetError, match="'keep'; choose one of: tell, keep-together, drop"):
        load_dataset(f"folder:{leaking}", near_duplicates="keep")


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """Twelve photographs of each class; four of them have a mirrored or a smaller copy."""
    for name, start in (("cat", 0), ("dog", 50)):
        folder = tmp_path / "pets" / name
        folder.mkdir(parents=True)
        for number in range(12):
            scene(start + number).save(folder / f"{number:02}.png")
        for number in range(2):
            mirror = scene(start + number).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            mirror.save(folder / f"mirror-{number:02}.png")
            scene(start + 2 + number, size=64).save(folder / f"small-{number + 2:02}.png")
    return tmp_path / "pets"


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10_000))
@example(seed=254)  # where all that validation would get are copies of training images
def test_whatever_the_seed_each_photograph_and_its_copies_are_in_one_split(
    copies: Path, seed: int
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is left to warn of
        pets = load_dataset(f"folder:{copies}", near_duplicates="keep-together", seed=seed)
    home = {name: split for split, images in pets.splits.items() for name in images.names}
    assert len(home) == 32
    for name in ("cat", "dog"):
        for kind, numbers in (("mirror", (0, 1)), ("small", (2, 3))):
            for number in numbers:
                original, copy = f"{name}/{number:02}.png", f"{name}/{kind}-{number:02}.png"
                assert home[original] == home[copy]


def test_no_split_loses_a_class_to_groups_that_are_kept_together() -> None:
    """Two classes of six images, of which four are one group; the split by images empties two."""
    labels = torch.tensor([0] * 6 + [1] * 6)
    groups = torch.tensor([0, 1, 2, 0, 0, 0, 6, 7, 8, 6, 6, 6])

    def divide(some: Tensor) -> dict[str, Tensor]:
        names, counts = ("train", "validation", "test"), len(some) // 2 // 3
        positions = torch.arange(len(some)).view(2, 3, counts)
        return {name: positions[:, number].flatten() for number, name in enumerate(names)}

    assert kept_together(divide(labels), groups)["test"].tolist() == []
    parts = split_together(labels, groups, divide)

    assert {name: part.tolist() for name, part in parts.items()} == {
        "train": [0, 3, 4, 5, 6, 9, 10, 11],
        "validation": [1, 7],
        "test": [2, 8],
    }


def test_too_few_groups_are_told_as_such(tmp_path: Path) -> None:
    for name, start in (("cat", 0), ("dog", 50)):
        (tmp_path / name).mkdir()
        for number in range(2):
            for copy in "abc":
                scene(start + number).save(tmp_path / name / f"{number}{copy}.png")
    with pytest.raises(
        DatasetError, match=r"too few in: 'cat' \(2\), 'dog' \(2\); near-duplicates"
    ):
        load_dataset(f"folder:{tmp_path}", near_duplicates="keep-together")


def test_no_image_is_like_an_image_of_an_empty_set() -> None:
    images = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)
    assert near_duplicates(images, images[:0]) == []


def test_copies_of_images_that_are_set_aside_are_set_aside_too(tmp_path: Path) -> None:
    for name, start in (("cat", 0), ("dog", 50)):
        for split in ("train", "validation"):
            (tmp_path / split / name).mkdir(parents=True)
        scene(start + 90).save(tmp_path / "validation" / name / "0.png")
        for number in range(8):
            for copy in ("", "-again"):
                scene(start + number).save(tmp_path / "train" / name / f"{number}{copy}.png")
    pets = load_dataset(f"folder:{tmp_path}", near_duplicates="keep-together", set_aside=8)
    train, aside = (
        {name.replace("-again", "") for name in pets.split(split).names}
        for split in ("train", "validation")
    )
    assert not train & aside
    assert len(aside) >= 4
    taken = len(pets.split("validation"))
    said = f"{taken} images, not 8, because near-duplicates are kept together"
    assert pets.decided.get("set_aside") == (None if taken == 8 else said)


def test_identical_pixels_are_kept_together_at_any_size(tmp_path: Path) -> None:
    for name, start in (("cat", 0), ("dog", 50)):
        (tmp_path / name).mkdir()
        for number in range(8):
            for copy in ("", "-again"):
                small = scene(start + number).resize((8, 8))
                small.save(tmp_path / name / f"{number}{copy}.png")
    pets = load_dataset(f"folder:{tmp_path}", near_duplicates="keep-together")
    home = {name: split for split, images in pets.splits.items() for name in images.names}
    assert len(home) == 32
    assert all(
        home[name] == home[name.replace(".png", "-again.png")]
        for name in home
        if "again" not in name
    )
    assert "8 x 8 pixels are too few to tell alike" in pets.decided["near_duplicates"]


def test_a_split_that_the_source_gives_is_not_changed_but_what_it_leaks_is_told(
    leaking: Path,
) -> None:
    with pytest.warns(DatasetWarning, match=r"train/cat/0\.png \(train\) ~ test/cat/leak\.png"):
        pets = load_dataset(f"folder:{leaking}", near_duplicates="keep-together")
    assert "test/cat/leak.png" in pets.split("test").names
