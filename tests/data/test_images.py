from __future__ import annotations

import json
import pickle
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from pixelbayes.data import (
    DatasetError,
    DatasetWarning,
    ImageDataset,
    LabelledImages,
    Resize,
    describe,
)


def images(
    labels: Sequence[int], prefix: str, *, size: tuple[int, int] = (8, 8), channels: int = 3
) -> LabelledImages:
    """Images of noise that differ wherever the prefix differs."""
    generator = torch.Generator().manual_seed(sum(prefix.encode()))
    levels = torch.randint(
        256, (len(labels), channels, *size), dtype=torch.uint8, generator=generator
    )
    names = tuple(f"{prefix}/{number}" for number in range(len(labels)))
    return LabelledImages(levels, torch.tensor(labels, dtype=torch.int64), names)


def dataset(classes: tuple[str, ...] = ("cat", "dog"), **splits: LabelledImages) -> ImageDataset:
    return ImageDataset("folder:pets", classes, splits, Resize((8, 8)))


class TestLabelledImages:
    def test_selection_keeps_levels_labels_and_names_together(self) -> None:
        whole = images([0, 1, 2], "train")
        part = whole.select([2, 0])
        assert part.names == ("train/2", "train/0")
        assert part.labels.tolist() == [2, 0]
        assert torch.equal(part.levels, whole.levels[[2, 0]])

    def test_float_images_are_refused(self) -> None:
        with pytest.raises(TypeError, match=r"torch\.uint8, 0\.\.255, got torch\.float32"):
            LabelledImages(torch.zeros(1, 3, 8, 8), torch.zeros(1, dtype=torch.int64), ("a",))

    def test_narrow_labels_are_refused(self) -> None:
        levels = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
        with pytest.raises(TypeError, match=r"torch\.int64, got torch\.int32"):
            LabelledImages(levels, torch.zeros(1, dtype=torch.int32), ("a",))

    def test_arrays_of_numpy_are_accepted(self) -> None:
        levels = np.arange(2 * 64, dtype=np.uint8).reshape(2, 1, 8, 8)
        for kind in (np.uint8, np.int32, np.int64):
            images = LabelledImages(levels, np.array([0, 1], dtype=kind), ("a", "b"))  # type: ignore[arg-type]
            assert images.labels.dtype == torch.int64
            assert images.labels.tolist() == [0, 1]
            assert torch.equal(images.levels, torch.from_numpy(levels))

    def test_labels_that_are_no_integers_are_refused(self) -> None:
        levels = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
        with pytest.raises(TypeError, match=r"torch\.int64, got torch\.float64"):
            LabelledImages(levels, np.array([1.7]), ("a",))  # type: ignore[arg-type]

    def test_channels_last_is_refused_with_the_shape(self) -> None:
        levels = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
        with pytest.raises(DatasetError, match=r"C = 1 or 3, got \(1, 8, 8, 3\)"):
            LabelledImages(levels, torch.zeros(1, dtype=torch.int64), ("a",))

    @pytest.mark.parametrize(("labels", "names"), [(1, 2), (2, 1)])
    def test_each_image_has_a_label_and_a_name(self, labels: int, names: int) -> None:
        levels = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
        with pytest.raises(DatasetError, match="2 images need as many labels and names"):
            LabelledImages(levels, torch.zeros(labels, dtype=torch.int64), ("a",) * names)


class TestImageDataset:
    def test_a_split_that_is_missing_is_answered_with_those_that_exist(self) -> None:
        with pytest.raises(DatasetError, match=r"no split 'test'; it has: train, validation"):
            dataset(train=images([0, 1], "t"), validation=images([0], "v")).split("test")

    def test_a_class_without_training_images_is_named(self) -> None:
        with pytest.raises(DatasetError, match=r"cannot be learned.*'dog'$"):
            dataset(train=images([0, 0], "t"), validation=images([1], "v"))

    def test_an_unlabelled_training_image_is_named(self) -> None:
        with pytest.raises(DatasetError, match=r"only test images may be unlabelled.*: t/2$"):
            dataset(train=images([0, 1, -1], "t"))

    def test_unlabelled_test_images_are_welcome(self) -> None:
        assert (
            len(dataset(train=images([0, 1], "t"), test=images([-1, -1], "s")).split("test")) == 2
        )

    def test_a_label_beyond_the_classes_is_named_with_its_image(self) -> None:
        with pytest.raises(DatasetError, match=r"labels are 0\.\.1 or -1.*validation.*v/1 \(2\)"):
            dataset(train=images([0, 1], "t"), validation=images([0, 2], "v"))

    def test_an_image_in_two_splits_is_an_error(self) -> None:
        with pytest.raises(DatasetError, match=r"one split.*t/0 \(train and test\)"):
            dataset(train=images([0, 1], "t"), test=images([0], "t"))

    def test_the_first_ten_offenders_are_listed_and_all_are_counted(self) -> None:
        with pytest.raises(DatasetError, match=r"t/10 \(10\), \.\.\. \(12 in all\)") as caught:
            dataset(classes=("cat",), train=images([0, *range(1, 13)], "t"))
        assert "t/11" not in str(caught.value)

    def test_equal_pixels_under_two_names_give_a_warning(self) -> None:
        train = images([0, 1], "t")
        twin = LabelledImages(train.levels[1:], train.labels[1:], ("s/0",))
        with pytest.warns(DatasetWarning, match=r"identical pixels.*t/1 \(train\) = s/0 \(test\)"):
            dataset(train=train, test=twin)

    def test_equal_pixels_within_a_split_are_no_concern(self) -> None:
        train = images([0, 1], "t")
        twice = LabelledImages(
            train.levels.repeat(2, 1, 1, 1), train.labels.repeat(2), ("a", "b", "c", "d")
        )
        assert len(dataset(train=twice).split("train")) == 4

    def test_training_images_may_have_a_margin(self) -> None:
        pets = dataset(train=images([0, 1], "t", size=(12, 12)), test=images([0], "s"))
        assert (pets.crop_margin, pets.image_size, pets.channels) == (4, (8, 8), 3)

    @pytest.mark.parametrize("size", [(12, 10), (6, 6)])
    def test_a_margin_is_the_same_in_rows_and_columns_and_not_negative(
        self, size: tuple[int, int]
    ) -> None:
        with pytest.raises(DatasetError, match="images of train are"):
            dataset(train=images([0, 1], "t", size=size))

    def test_test_images_have_no_margin(self) -> None:
        with pytest.raises(DatasetError, match=r"images of test are \(3, 12, 12\)"):
            dataset(train=images([0, 1], "t"), test=images([0], "s", size=(12, 12)))

    def test_splits_have_the_same_channels(self) -> None:
        with pytest.raises(DatasetError, match=r"images of test are \(1, 8, 8\)"):
            dataset(train=images([0, 1], "t"), test=images([0], "s", channels=1))

    def test_an_empty_split_is_refused(self) -> None:
        with pytest.raises(DatasetError, match="the test split has no images"):
            dataset(train=images([0, 1], "t"), test=images([], "s"))

    def test_an_unknown_split_is_refused(self) -> None:
        with pytest.raises(DatasetError, match=r"splits are train.* got: train, dev"):
            dataset(train=images([0, 1], "t"), dev=images([0], "d"))

    def test_images_that_are_only_measured_need_no_training_images_and_not_every_class(
        self,
    ) -> None:
        measured = dataset(test=images([0], "t"))
        assert (list(measured.splits), measured.channels, measured.crop_margin) == (["test"], 3, 0)
        with pytest.raises(DatasetError, match="has no split 'train'; it has: test"):
            measured.split("train")

    def test_no_split_at_all_is_refused(self) -> None:
        with pytest.raises(DatasetError, match="splits are train"):
            dataset()

    def test_class_names_differ(self) -> None:
        with pytest.raises(DatasetError, match="all different, got: cat, cat"):
            dataset(classes=("cat", "cat"), train=images([0, 1], "t"))

    def test_it_can_be_sent_to_another_process(self) -> None:
        pets = dataset(train=images([0, 1], "t"))
        copy = pickle.loads(pickle.dumps(pets))
        assert torch.equal(copy.split("train").levels, pets.split("train").levels)


def test_a_description_is_json_and_counts_each_class() -> None:
    pets = dataset(train=images([0, 1, 1], "t"), test=images([0, -1], "s"))
    description = describe(pets)
    assert json.loads(json.dumps(description)) == description
    assert description["splits"] == {
        "train": {"images": 3, "unlabelled": 0, "per_class": {"cat": 1, "dog": 2}},
        "test": {"images": 2, "unlabelled": 1, "per_class": {"cat": 1, "dog": 0}},
    }
    assert description["resize"]["size"] == [8, 8]
