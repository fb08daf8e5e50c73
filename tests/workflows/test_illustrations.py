"""The pictures of a report."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from PIL import Image

from pixelbayes.data import ImageDataset, LabelledImages, Resize
from pixelbayes.inference.evidence import evidence
from pixelbayes.models import PixelBayes
from pixelbayes.workflows.illustrations import (
    Illustrations,
    evidence_pictures,
    illustrate,
    nearest_images,
)

CLASSES = ("koala", "pizza", "sea lion")


def pixels(png: str) -> np.ndarray:
    """(H, W, C) or (H, W)."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))


def noise(split: str, count: int) -> LabelledImages:
    generator = torch.Generator().manual_seed(count)
    levels = torch.randint(0, 256, (count, 3, 8, 8), generator=generator).to(torch.uint8)
    names = tuple(f"{split}/{i}" for i in range(count))
    return LabelledImages(levels, torch.arange(count) % 3, names)


def dataset() -> ImageDataset:
    splits = {"train": noise("train", 6), "test": noise("test", 7)}
    return ImageDataset("noise", CLASSES, splits, Resize(size=(8, 8)))


def test_the_nearest_image_has_the_smallest_squared_distance() -> None:
    levels, among = noise("a", 5).levels, noise("b", 9).levels
    distances = ((levels[:, None].double() - among.double()) ** 2).flatten(2).sum(dim=2)
    assert torch.equal(nearest_images(levels, among), among[distances.argmin(dim=1)])
    assert torch.equal(nearest_images(among, among), among)


def test_every_sample_has_a_nearest_training_image(tiny_model: PixelBayes) -> None:
    found = illustrate(tiny_model, dataset(), "test", per_class=2, seed=0)
    train = [image.permute(1, 2, 0).numpy() for image in dataset().split("train").levels]
    assert list(found.samples) == list(found.nearest) == list(CLASSES)
    for pngs in found.nearest.values():
        assert len(pngs) == 2
        assert all(any((pixels(png) == other).all() for other in train) for png in pngs)


def test_completions_keep_the_upper_rows_of_the_first_image_of_each_class(
    tiny_model: PixelBayes,
) -> None:
    found = illustrate(tiny_model, dataset(), "test", per_class=1, seed=0).completions
    assert [one.true for one in found] == [0, 1, 2]
    for one in found:
        whole = pixels(one.image)
        assert len(set(one.completions)) == len(one.completions) == 3
        for png in one.completions:
            assert (pixels(png)[: one.known_rows] == whole[: one.known_rows]).all()
            assert (pixels(png)[one.known_rows :] != whole[one.known_rows :]).any()


def test_pictures_are_the_same_for_the_same_seed(tiny_model: PixelBayes) -> None:
    one, other = (illustrate(tiny_model, dataset(), "test", per_class=1, seed=3) for _ in "12")
    assert one == other


def test_without_samples_there_are_no_pictures(tiny_model: PixelBayes) -> None:
    assert illustrate(tiny_model, dataset(), "test", per_class=0, seed=0) == Illustrations()


def test_evidence_is_blue_where_a_pixel_speaks_for_the_answer_and_orange_for_the_truth(
    tiny_model: PixelBayes,
) -> None:
    levels = noise("test", 2).levels
    pictures = evidence_pictures(tiny_model, levels, [0, 2], [1, 0])
    for image, png, answer, truth in zip(levels, pictures, [0, 2], [1, 0], strict=True):
        shown = pixels(png).astype(int)
        map_ = evidence(tiny_model.classifier(), image, answer, truth).evidence.numpy()
        bright = shown.max(axis=2) > 20
        bluish = shown[..., 2] > shown[..., 0]
        assert bright.any()
        assert (bluish[bright] == (map_[bright] > 0)).all()
