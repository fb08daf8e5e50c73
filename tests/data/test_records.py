from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelbayes.data import DatasetError, ImageDataset, SplitRecord, load_dataset, open_source

SavePhoto = Callable[..., Path]
ClassFolders = Callable[[Path, int], Path]
PROPERTY = settings(derandomize=True, deadline=None, max_examples=60)


def record_of(dataset: ImageDataset) -> SplitRecord:
    """The record, after a way through JSON."""
    assert dataset.record is not None
    record = SplitRecord.from_dict(json.loads(json.dumps(dataset.record.to_dict())))
    assert record == dataset.record
    return record


def test_a_record_names_every_file_of_every_split(
    tmp_path: Path, class_folders: ClassFolders
) -> None:
    pets = load_dataset(f"folder:{class_folders(tmp_path, 10)}")
    record = record_of(pets)
    assert {split: tuple(files) for split, files in record.splits.items()} == {
        name: images.names for name, images in pets.splits.items()
    }
    assert record.classes == ("cat", "dog")
    assert record.unused == ()


def test_files_added_later_move_no_image_between_splits(
    tmp_path: Path, class_folders: ClassFolders, save_photo: SavePhoto
) -> None:
    spec = f"folder:{class_folders(tmp_path, 10)}"
    before = load_dataset(spec)
    for number in range(8):
        save_photo(tmp_path / "cat" / f"0{number}b.png")
    again = load_dataset(spec)
    trained_on = set(before.split("train").names)
    assert trained_on & set(again.split("test").names), "a split made anew is not honest"

    kept = load_dataset(spec, record=record_of(before))
    for name, images in before.splits.items():
        assert kept.split(name).names == images.names
        assert torch.equal(kept.split(name).levels, images.levels)
        assert torch.equal(kept.split(name).labels, images.labels)
    assert len(kept.left_out) == 8
    assert kept.decided["splits"].startswith("as recorded; new, in no split: cat/00b.png")


def test_new_missing_changed_and_renamed_files_are_told_apart(
    tmp_path: Path, class_folders: ClassFolders, save_photo: SavePhoto
) -> None:
    source = open_source(f"folder:{class_folders(tmp_path, 10)}")
    record = record_of(source.load())
    assert source.changes(record).none
    (tmp_path / "cat" / "00.png").unlink()
    save_photo(tmp_path / "cat" / "other.png").rename(tmp_path / "cat" / "01.png")
    (tmp_path / "cat" / "02.png").rename(tmp_path / "cat" / "renamed.png")
    save_photo(tmp_path / "dog" / "new.png")
    changes = source.changes(record)
    assert changes.new == ("dog/new.png",)
    assert [name for names in changes.missing.values() for name in names] == ["cat/00.png"]
    assert [name for names in changes.changed.values() for name in names] == ["cat/01.png"]
    assert changes.renamed == {"cat/02.png": "cat/renamed.png"}
    assert not changes.none
    assert len(changes.sentences()) == 4

    pets = source.load(record=record)
    assert sum(len(images) for images in pets.splits.values()) == 18
    assert {text.split(": ")[0] for text in pets.left_out} == {"cat/01.png", "dog/new.png"}


def test_a_new_class_does_not_renumber_the_recorded_ones(
    tmp_path: Path, class_folders: ClassFolders, save_photo: SavePhoto
) -> None:
    spec = f"folder:{class_folders(tmp_path, 6)}"
    before = load_dataset(spec)
    for number in range(4):
        save_photo(tmp_path / "ape" / f"{number}.png")
    after = load_dataset(spec, record=record_of(before))
    assert after.classes == ("cat", "dog")
    assert torch.equal(after.split("train").labels, before.split("train").labels)


def test_a_recorded_image_that_moved_to_an_unknown_class_is_an_error(
    tmp_path: Path, class_folders: ClassFolders
) -> None:
    spec = f"folder:{class_folders(tmp_path, 6)}"
    record = record_of(load_dataset(spec))
    (tmp_path / "ape").mkdir()
    (tmp_path / "cat" / "00.png").rename(tmp_path / "ape" / "00.png")
    with pytest.raises(DatasetError, match=r"classes that the record does not have .*ape/00\.png"):
        load_dataset(spec, record=record)


def test_images_beyond_a_limit_are_not_new(tmp_path: Path, class_folders: ClassFolders) -> None:
    source = f"folder:{class_folders(tmp_path, 10)}"
    pets = load_dataset(source, limit=4)
    record = record_of(pets)
    assert len(record.unused) == 8 + 2  # training keeps 4 of 14, the other two 3 of 3
    assert open_source(source).changes(record).none
    assert load_dataset(source, record=record).split("train").names == pets.split("train").names


def test_other_data_do_not_pass_for_the_recorded_ones(
    tmp_path: Path, class_folders: ClassFolders
) -> None:
    record = record_of(load_dataset(f"folder:{class_folders(tmp_path / 'a', 4)}"))
    with pytest.raises(DatasetError, match="none of the recorded training images is there"):
        load_dataset(f"folder:{class_folders(tmp_path / 'b', 4)}", record=record)


def test_images_in_memory_are_recorded_too() -> None:
    digits = load_dataset("digits", limit=50)
    kept = load_dataset("digits", record=record_of(digits), seed=9)
    for name, images in digits.splits.items():
        assert torch.equal(kept.split(name).levels, images.levels)


@pytest.mark.parametrize("fields", [{}, {"format": 9}, {"format": 1}, {"format": 1, "splits": []}])
def test_something_else_is_no_record(fields: dict[str, object]) -> None:
    with pytest.raises(DatasetError, match="record of splits"):
        SplitRecord.from_dict(fields)


NAMES = st.text("abc", min_size=1, max_size=2)
FILES = st.dictionaries(
    st.text("abc", min_size=1, max_size=2), st.text("xyz", max_size=1), max_size=6
)


@PROPERTY
@given(FILES, FILES, st.sets(NAMES))
def test_every_recorded_file_is_kept_missing_or_changed_and_every_present_one_once(
    recorded: dict[str, str], present: dict[str, str], unused: set[str]
) -> None:
    names = sorted(recorded)
    splits = {
        "train": {name: recorded[name] for name in names[::2]},
        "test": {name: recorded[name] for name in names[1::2]},
    }
    changes = SplitRecord("x", ("a",), splits, tuple(unused - set(recorded))).compare(present)
    for split, files in splits.items():
        parts = [*changes.kept[split], *changes.missing[split], *changes.changed[split]]
        assert sorted(parts) == sorted(files)
    now = [now for kept in changes.kept.values() for now in kept.values()]
    assert len(set(now)) == len(now), "one file stands for two recorded ones"
    for split, kept in changes.kept.items():
        assert all(present[name] == splits[split][before] != "" for before, name in kept.items())
    assert set(changes.new) <= set(present) - set(now)
