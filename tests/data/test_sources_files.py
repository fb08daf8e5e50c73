from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pixelbayes.data import (
    DatasetError,
    ImageDataset,
    Resize,
    load_dataset,
    open_source,
    read_image,
)

SavePhoto = Callable[..., Path]
ClassFolders = Callable[[Path, int], Path]


def sizes(dataset: ImageDataset) -> dict[str, int]:
    return {name: len(images) for name, images in dataset.splits.items()}


class TestFolder:
    def test_class_folders_are_split_70_15_15(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        pets = load_dataset(f"folder:{class_folders(tmp_path, 20)}")
        assert pets.classes == ("cat", "dog")
        assert sizes(pets) == {"train": 28, "validation": 6, "test": 6}
        assert (pets.image_size, pets.channels) == ((48, 48), 3)

    def test_levels_labels_and_names_belong_together(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        train = load_dataset(f"folder:{class_folders(tmp_path, 4)}").split("train")
        for levels, label, name in zip(train.levels, train.labels, train.names, strict=True):
            assert name.startswith(("cat/", "dog/")[int(label)])
            expected = read_image(tmp_path / name, channels=3, resize=Resize((48, 48)))
            assert torch.equal(levels, expected)

    def test_folders_that_are_named_as_splits_are_the_splits(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        for split, count in (("train", 4), ("val", 1), ("test", 2)):
            class_folders(tmp_path / split, count)
        assert sizes(load_dataset(f"folder:{tmp_path}")) == {"train": 8, "validation": 2, "test": 4}

    def test_a_train_folder_without_validation_gives_a_tenth(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        class_folders(tmp_path / "train", 20)
        class_folders(tmp_path / "test", 1)
        assert sizes(load_dataset(f"folder:{tmp_path}")) == {
            "train": 36,
            "validation": 4,
            "test": 2,
        }

    def test_given_fractions_decide_the_share_of_validation(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        class_folders(tmp_path / "train", 20)
        fractions = {"train": 0.6, "validation": 0.2, "test": 0.2}
        pets = load_dataset(f"folder:{tmp_path}", fractions=fractions)
        assert sizes(pets) == {"train": 30, "validation": 10}

    def test_a_flat_test_folder_is_unlabelled(
        self, tmp_path: Path, class_folders: ClassFolders, save_photo: SavePhoto
    ) -> None:
        class_folders(tmp_path / "train", 4)
        save_photo(tmp_path / "test" / "a.png")
        assert load_dataset(f"folder:{tmp_path}").split("test").labels.tolist() == [-1]

    def test_a_class_that_training_does_not_have_is_named(
        self, tmp_path: Path, class_folders: ClassFolders, save_photo: SavePhoto
    ) -> None:
        class_folders(tmp_path / "train", 4)
        save_photo(tmp_path / "test" / "fox" / "a.png")
        with pytest.raises(DatasetError, match=r"classes that the training .*fox.a\.png"):
            load_dataset(f"folder:{tmp_path}")

    def test_two_validation_folders_are_refused(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        for split in ("train", "val", "validation"):
            class_folders(tmp_path / split, 1)
        with pytest.raises(DatasetError, match="both validation/ and val/"):
            load_dataset(f"folder:{tmp_path}")

    def test_a_class_that_is_a_link_to_a_folder_is_read(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        class_folders(tmp_path / "elsewhere", 4)
        (tmp_path / "pets").mkdir()
        for name in ("cat", "dog"):
            (tmp_path / "pets" / name).symlink_to(tmp_path / "elsewhere" / name)
        assert sum(sizes(load_dataset(f"folder:{tmp_path}/pets")).values()) == 8

    def test_what_is_not_used_is_recorded(
        self, tmp_path: Path, class_folders: ClassFolders, save_photo: SavePhoto
    ) -> None:
        class_folders(tmp_path, 4)
        (tmp_path / "cat" / "photo.heic").touch()
        save_photo(tmp_path / "loose.png")
        left_out = load_dataset(f"folder:{tmp_path}").left_out
        assert [Path(text.split(": ")[0]).name for text in left_out] == ["photo.heic", "loose.png"]

    def test_a_folder_without_classes_says_what_is_expected(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        save_photo(tmp_path / "a.png")
        with pytest.raises(
            DatasetError, match="no sub-folders with images; pass a folder that has one"
        ):
            load_dataset(f"folder:{tmp_path}")

    def test_a_missing_folder_says_what_is_expected(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="nowhere is not a folder; pass a folder that has"):
            load_dataset(f"folder:{tmp_path}/nowhere")

    def test_damaged_files_of_all_splits_are_in_one_error(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        for split in ("train", "val"):
            (class_folders(tmp_path / split, 3) / "cat" / "00.png").write_bytes(b"")
        with pytest.raises(DatasetError, match="2 images cannot be used") as caught:
            load_dataset(f"folder:{tmp_path}")
        assert "train/cat/00.png" in str(caught.value)
        assert "val/cat/00.png" in str(caught.value)

    def test_damaged_files_can_be_left_out_and_are_recorded(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        (class_folders(tmp_path / "train", 4) / "cat" / "00.png").write_bytes(b"")
        class_folders(tmp_path / "val", 1)
        pets = load_dataset(f"folder:{tmp_path}", skip_bad=True)
        assert sizes(pets) == {"train": 7, "validation": 2}
        assert "train/cat/00.png" not in pets.split("train").names
        assert pets.left_out == (f"{tmp_path}/train/cat/00.png: the file is empty",)

    def test_only_training_images_get_the_margin(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        source = f"folder:{class_folders(tmp_path, 4)}"
        pets = load_dataset(source, crop_margin=4, image_size=(32, 32))
        assert pets.split("train").levels.shape[2:] == (36, 36)
        assert pets.split("test").levels.shape[2:] == (32, 32)
        assert pets.crop_margin == 4

    def test_a_margin_that_originals_do_not_have_is_refused_by_name(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        with pytest.raises(DatasetError, match=r"cat/0\d\.png: 48 x 48 .* smaller than 49 x 49"):
            load_dataset(f"folder:{class_folders(tmp_path, 4)}", image_size=(47, 47), crop_margin=2)

    def test_a_margin_of_originals_of_one_size_that_is_kept_is_a_border(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        pets = load_dataset(f"folder:{class_folders(tmp_path, 4)}", crop_margin=4)
        assert pets.split("train").levels.shape[2:] == (52, 52)
        assert pets.image_size == (48, 48)

    def test_a_limit_keeps_every_class_in_every_split(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        pets = load_dataset(f"folder:{class_folders(tmp_path, 20)}", limit=4)
        assert sizes(pets) == {"train": 4, "validation": 4, "test": 4}
        assert pets.split("test").labels.bincount().tolist() == [2, 2]

    def test_a_limit_of_training_images_leaves_the_other_splits_whole(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        source = f"folder:{class_folders(tmp_path, 20)}"
        whole, few = load_dataset(source), load_dataset(source, train_limit=4)
        assert sizes(few) == {**sizes(whole), "train": 4}
        assert set(few.split("train").names) < set(whole.split("train").names)
        assert few.split("test").names == whole.split("test").names
        assert sizes(load_dataset(source, train_limit=8, limit=4))["train"] == 4

    def test_images_set_aside_from_training_take_the_place_of_the_validation_images(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        source = f"folder:{class_folders(tmp_path, 20)}"
        whole, chosen_on = load_dataset(source), load_dataset(source, set_aside=6)
        train, aside = (set(chosen_on.split(name).names) for name in ("train", "validation"))
        assert train | aside == set(whole.split("train").names)
        assert not train & aside
        assert chosen_on.split("validation").labels.bincount().tolist() == [3, 3]
        assert chosen_on.split("test").names == whole.split("test").names
        assert chosen_on.record is not None
        assert set(whole.split("validation").names) <= set(chosen_on.record.unused)
        assert load_dataset(source, set_aside=6, record=chosen_on.record).record is not None

    def test_not_all_training_images_can_be_set_aside(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        with pytest.raises(DatasetError, match=r"set_aside 27 takes all .*, of 28; 26 leave"):
            load_dataset(f"folder:{class_folders(tmp_path, 20)}", set_aside=27)

    def test_a_class_of_one_training_image_keeps_it_when_others_are_set_aside(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        for name, count in (("many", 20), ("few", 3)):
            for number in range(count):
                save_photo(tmp_path / name / f"{number}.png")
        pets = load_dataset(f"folder:{tmp_path}", set_aside=6, near_duplicates="ignore")
        counts = {name: images.labels.bincount().tolist() for name, images in pets.splits.items()}
        assert counts["train"] == [1, 8]
        assert counts["validation"] == [0, 6]

    def test_grey_and_another_size_can_be_asked_for(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        pets = load_dataset(
            f"folder:{class_folders(tmp_path, 4)}", channels=1, image_size=(16, 24), filter="box"
        )
        assert pets.split("train").levels.shape[1:] == (1, 16, 24)
        assert pets.resize == Resize((16, 24), filter="box")


class TestCsv:
    def table(self, folder: Path, lines: Sequence[str], save_photo: SavePhoto) -> str:
        """Writes the table and the images that it lists."""
        for line in lines:
            if line.split(",")[0].endswith(".png"):
                save_photo(folder / line.split(",")[0])
        (folder / "table.csv").write_text("\n".join(lines), encoding="utf-8")
        return f"csv:{folder / 'table.csv'}"

    def test_names_become_classes_in_their_order(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        lines = [f"{n}.png,{('dog', 'cat')[n % 2]}" for n in range(8)]
        pets = load_dataset(self.table(tmp_path, lines, save_photo))
        assert pets.classes == ("cat", "dog")
        labels = dict(zip(pets.split("train").names, pets.split("train").labels, strict=True))
        assert all(int(label) == 1 - int(name[0]) % 2 for name, label in labels.items())

    def test_numbers_are_the_classes(self, tmp_path: Path, save_photo: SavePhoto) -> None:
        lines = [f"{n}.png,{n % 2}" for n in range(8)]
        assert load_dataset(self.table(tmp_path, lines, save_photo)).classes == ("0", "1")

    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    def test_a_header_is_recognised_even_after_a_byte_order_mark(
        self, tmp_path: Path, save_photo: SavePhoto, mark: str
    ) -> None:
        lines = [f"{mark}Path, Label", *(f"{n}.png,{n % 2}" for n in range(8))]
        assert sum(sizes(load_dataset(self.table(tmp_path, lines, save_photo))).values()) == 8

    def test_the_split_column_decides_and_test_images_may_be_unlabelled(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        lines = ["path,label,split", "a.png,x,train", "b.png,y,train", "c.png,x,val"]
        pets = load_dataset(self.table(tmp_path, [*lines, "d.png,-1,test"], save_photo))
        assert {name: images.names for name, images in pets.splits.items()} == {
            "train": ("a.png", "b.png"),
            "validation": ("c.png",),
            "test": ("d.png",),
        }
        assert pets.split("test").labels.tolist() == [-1]

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            (["a.png,0", "b.png"], r"do not have the 2 columns path,label: line 2 \(b\.png\)"),
            (["a.png,0", "b.png,"], r"do not have the 2 columns path,label: line 2"),
            (["a.png,0", "", "a.png,1"], r"second time: line 3 \(a\.png, first in line 1\)"),
            (["a.png,0", "b.png,-2"], r"a label below -1: line 2 \(-2\)"),
            (["a.png,0,train", "b.png,0,dev"], r"other than train, .*: line 2 \(dev\)"),
            (["a.png,0,test"], "no line has the split train"),
            (["a.png,0", "b.png,-1"], r"no label .* only the split test may lack: line 2"),
            (["a.png,-1,test"], r"highest label is -1; training needs labels"),
            (["a.png,999999999"], r"highest label is 999999999"),
            (["a.png,0", f"b.png,{'9' * 5000}"], r"label of more than 18 digits: line 2 \(9{18}\."),
            (["path,label"], "lists no images"),
            ([], "lists no images"),
        ],
    )
    def test_a_wrong_line_is_named(
        self, tmp_path: Path, save_photo: SavePhoto, lines: list[str], message: str
    ) -> None:
        with pytest.raises(DatasetError, match=message):
            load_dataset(self.table(tmp_path, lines, save_photo))

    def test_a_label_with_two_signs_is_a_name(self, tmp_path: Path, save_photo: SavePhoto) -> None:
        lines = [f"{n}.png,{('--5', '1')[n % 2]}" for n in range(8)]
        assert load_dataset(self.table(tmp_path, lines, save_photo)).classes == ("--5", "1")

    def test_a_class_number_that_is_skipped_is_named(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        lines = [f"{n}.png,{n % 2 * 2}" for n in range(8)]
        with pytest.raises(DatasetError, match=r"without training images .*: '1'"):
            load_dataset(self.table(tmp_path, lines, save_photo))

    def test_a_listed_file_that_is_missing_is_named(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        spec = self.table(tmp_path, [f"{n}.png,{n % 2}" for n in range(8)], save_photo)
        (tmp_path / "3.png").unlink()
        with pytest.raises(DatasetError, match=r"3\.png: no such file"):
            load_dataset(spec)

    def test_a_missing_table_says_what_to_pass(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"No such file.*columns path,label\[,split\]"):
            load_dataset(f"csv:{tmp_path}/nowhere.csv")

    def test_a_spreadsheet_is_not_taken_for_a_table(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_bytes(b"PK\x03\x04\xff\xfe")
        with pytest.raises(DatasetError, match="not a CSV file in UTF-8"):
            load_dataset(f"csv:{tmp_path}/a.csv")


class TestNpz:
    def arrays(self, count: int = 20, shape: tuple[int, ...] = (8, 8, 3)) -> dict[str, Any]:
        rng = np.random.default_rng(count)
        return {
            "x_train": rng.integers(0, 256, (count, *shape), dtype=np.uint8),
            "y_train": np.arange(count, dtype=np.uint8) % 2,
            "x_test": rng.integers(0, 256, (4, *shape), dtype=np.uint8),
            "y_test": np.arange(4) % 2,
        }

    def saved(self, path: Path, arrays: dict[str, Any]) -> str:
        np.savez(path / "a.npz", **arrays)
        return f"npz:{path / 'a.npz'}"

    def test_images_keep_their_size_and_their_levels(self, tmp_path: Path) -> None:
        arrays = self.arrays()
        dataset = load_dataset(self.saved(tmp_path, arrays))
        assert sizes(dataset) == {"train": 18, "validation": 2, "test": 4}
        test = dataset.split("test")
        assert np.array_equal(test.levels.permute(0, 2, 3, 1).numpy(), arrays["x_test"])
        assert test.names[3] == "x_test/3"

    def test_grey_images_have_one_channel(self, tmp_path: Path) -> None:
        dataset = load_dataset(self.saved(tmp_path, self.arrays(shape=(8, 9))))
        assert (dataset.channels, dataset.image_size) == (1, (8, 9))

    def test_the_names_and_the_label_columns_of_medmnist_are_understood(
        self, tmp_path: Path
    ) -> None:
        arrays: dict[str, Any] = {}
        for ours, theirs in (("train", "train"), ("val", "val"), ("test", "test")):
            source = self.arrays(20 + len(arrays))
            arrays[f"{theirs}_images"] = source["x_train"]
            arrays[f"{ours}_labels"] = source["y_train"][:, None]
        dataset = load_dataset(self.saved(tmp_path, arrays))
        assert sizes(dataset) == {"train": 20, "validation": 22, "test": 24}

    def test_class_names_are_read(self, tmp_path: Path) -> None:
        arrays = {**self.arrays(), "label_names": np.array(["cat", "dog"])}
        assert load_dataset(self.saved(tmp_path, arrays)).classes == ("cat", "dog")

    def test_test_labels_may_be_missing(self, tmp_path: Path) -> None:
        arrays = self.arrays()
        del arrays["y_test"]
        dataset = load_dataset(self.saved(tmp_path, arrays))
        assert dataset.split("test").labels.tolist() == [-1] * 4

    def test_another_size_and_grey_go_the_way_of_files(self, tmp_path: Path) -> None:
        arrays = self.arrays(shape=(16, 16, 3))
        dataset = load_dataset(self.saved(tmp_path, arrays), image_size=(8, 8), channels=1)
        assert dataset.split("train").levels.shape == (18, 1, 8, 8)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"x_train": None}, "no training images.*found: y_train, x_test, y_test"),
            ({"y_train": None}, "has x_train but not y_train; found: x_train, x_test, y_test"),
            ({"x_train": np.zeros((20, 8, 8, 3))}, "x_train holds float64; images are uint8"),
            ({"x_train": np.zeros((20, 3, 8, 8), np.uint8)}, r"shape \(20, 3, 8, 8\); images are"),
            ({"y_train": np.zeros(19, int)}, "x_train has 20 images, y_train has 19 labels"),
            ({"y_train": np.array([0, 1.7] * 10)}, r"no class numbers \(whole.*: 1\.7"),
            ({"y_train": np.array([0, np.nan] * 10)}, r"no class numbers.*: nan"),
            ({"y_train": np.full(20, 2**64 - 1, np.uint64)}, "no class numbers.*: 1844"),
            ({"y_train": np.array([b"cat"] * 20)}, "y_train is .S3"),
            ({"y_train": np.zeros((20, 14), int)}, r"shape \(20, 14\); labels are integers"),
            ({"x_test": np.zeros((4, 9, 9, 3), np.uint8)}, r"splits differ in \(C, H, W\)"),
            ({"classes": np.arange(2)}, "classes is a list of strings"),
            ({"y_train": np.full(20, 10**9)}, "no class numbers.*: 1000000000"),
            ({"y_train": np.array([0, 5] * 10)}, "without training images .*'1', '2', '3', '4'"),
            ({"y_train": np.array([object()] * 20)}, "archive .* of plain arrays: Object arrays"),
        ],
    )
    def test_a_wrong_array_is_named(
        self, tmp_path: Path, change: dict[str, Any], message: str
    ) -> None:
        arrays = {k: v for k, v in {**self.arrays(), **change}.items() if v is not None}
        with pytest.raises(DatasetError, match=message):
            load_dataset(self.saved(tmp_path, arrays))

    def test_an_array_of_somebody_else_is_not_unpickled(self, tmp_path: Path) -> None:
        arrays = {**self.arrays(), "notes": np.array([{"a": 1}], dtype=object)}
        assert len(load_dataset(self.saved(tmp_path, arrays)).split("train")) == 18

    def test_arrays_that_are_not_read_are_told_with_the_names_they_may_be_meant_for(
        self, tmp_path: Path
    ) -> None:
        arrays = self.arrays()
        more = {"X_test": arrays["x_train"], "x_valid": arrays["x_train"], "notes": np.arange(3)}
        left_out = load_dataset(self.saved(tmp_path, {**arrays, **more})).left_out
        assert [line.partition(";")[0].split(", ")[0] for line in left_out] == [
            "a.npz: the array X_test",
            "a.npz: the array x_valid",
            "a.npz: the array notes",
        ]
        assert left_out[0].endswith("; x_test is one")
        assert left_out[1].endswith("; x_val is one")
        assert not load_dataset(self.saved(tmp_path, arrays)).left_out

    def test_a_member_that_is_no_array_is_refused(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("x_train", "not an array")
            archive.writestr("y_train", "not an array")
        with pytest.raises(DatasetError, match=r"x_train is no NumPy array \(\.npy\)"):
            load_dataset(f"npz:{tmp_path}/a.npz")

    @pytest.mark.parametrize("content", [b"", b"x,y\n", b"PK\x03\x04 half an archive"])
    def test_a_file_of_another_kind_is_refused(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(DatasetError, match=r"a\.npz is not a NumPy archive"):
            load_dataset(f"npz:{tmp_path}/a.npz")

    def test_a_missing_file_says_what_to_pass(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="does not exist; pass a NumPy archive"):
            load_dataset(f"npz:{tmp_path}/a.npz")

    def test_a_margin_beyond_the_originals_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"train images: 8 x 8 .* smaller than 9 x 9"):
            load_dataset(self.saved(tmp_path, self.arrays()), image_size=(7, 7), crop_margin=2)

    def test_the_shared_cifar_archive_is_read(self, shared: Path) -> None:
        dataset = load_dataset(f"npz:{shared / 'cifar10-6k.npz'}")
        assert sizes(dataset) == {"train": 4500, "validation": 500, "test": 1000}


class TestNamingASource:
    @pytest.mark.parametrize(
        ("spec", "hint"),
        [
            ("cifar", r"choose one of: digits, cpen455, .*npz:PATH; did you mean cifar10\?"),
            ("Folder:x", r"did you mean folder:PATH\?"),
            ("digits:x", r"did you mean digits\?"),
            ("imagenet", r"npz:PATH$"),
        ],
    )
    def test_an_unknown_source_is_answered_with_the_known_ones(self, spec: str, hint: str) -> None:
        with pytest.raises(DatasetError, match=f"unknown data source '{spec}'.*{hint}"):
            open_source(spec)

    def test_a_bare_path_is_answered_with_its_source(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").touch()
        with pytest.raises(DatasetError, match=r"did you mean folder:"):
            open_source(str(tmp_path))
        with pytest.raises(DatasetError, match=r"did you mean csv:.*a\.csv\?"):
            open_source(f"{tmp_path}/a.csv")

    @pytest.mark.parametrize("spec", ["folder", "csv:", "npz"])
    def test_a_missing_path_is_asked_for(self, spec: str) -> None:
        with pytest.raises(DatasetError, match=r"needs a path: .*:PATH"):
            open_source(spec)

    def test_a_data_folder_without_meaning_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="where cpen455 or cifar10 is, and means nothing to"):
            open_source("digits", data_dir=tmp_path)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"channels": 2}, r"1 \(grey\) or 3 \(RGB\), got 2"),
            ({"crop_margin": -1}, "0 or more pixels, got -1"),
            ({"limit": 0}, "above 0, got 0"),
            ({"train_limit": 0}, "train_limit is a number of images above 0, got 0"),
            ({"set_aside": 1.5}, "set_aside is a number of images above 0, got 1.5"),
            ({"image_size": (8,)}, "two integers above 0"),
            ({"fractions": {"train": 1.0}}, "shares above 0 of train, validation"),
            ({"fractions": {"train": 1.0, "validation": 0.0}}, "shares above 0"),
            ({"fractions": {"train": 0.9, "validation": 0.1, "dev": 0.1}}, "'dev': 0.1"),
        ],
    )
    def test_a_wrong_option_is_named(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(DatasetError, match=message):
            load_dataset("digits", **options)
