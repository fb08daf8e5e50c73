"""One canonical form for names and labels, and what a table may look like."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelbayes.data import DatasetError, ImageDataset, LoadOptions, Resize, describe, load_dataset
from pixelbayes.data.naming import canonical_label, canonical_name
from pixelbayes.data.sources import FileEntries, FolderSource

SavePhoto = Callable[..., Path]
ClassFolders = Callable[[Path, int], Path]
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
PROPERTY = settings(derandomize=True, deadline=None, max_examples=60)


def files_of(dataset: ImageDataset) -> dict[str, tuple[str, ...]]:
    return {name: images.names for name, images in dataset.splits.items()}


class TestNames:
    @PROPERTY
    @given(st.text(min_size=1).filter(lambda text: "\0" not in text))
    def test_the_canonical_name_of_a_canonical_name_is_itself(self, text: str) -> None:
        assert canonical_name(canonical_name(text)) == canonical_name(text)

    @PROPERTY
    @given(st.text(min_size=1))
    def test_composed_and_decomposed_names_are_one(self, text: str) -> None:
        names = {
            canonical_name(unicodedata.normalize(form, text).replace("/", "").replace("\0", ""))
            for form in ("NFC", "NFD")
        }
        assert len(names) == 1

    @PROPERTY
    @given(st.integers(-(10**6), 10**6), st.integers(0, 3), st.integers(0, 3))
    def test_every_spelling_of_a_whole_number_is_one_label(
        self, number: int, zeros: int, decimals: int
    ) -> None:
        digits = "0" * zeros + str(abs(number)) + ("." + "0" * decimals if decimals else "")
        assert canonical_label(("-" if number < 0 else "") + digits) == str(number)

    @pytest.mark.parametrize("text", ["1.7", "1e3", "0x1", "1.0.0", "one", "1 0"])
    def test_what_is_no_whole_number_stays_as_it_is(self, text: str) -> None:
        assert canonical_label(text) == text


class TestFolders:
    def test_the_split_does_not_depend_on_the_folder_nor_on_the_order_of_listing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save_photo: SavePhoto
    ) -> None:
        for root in ("a", "b/long name"):
            for name in ("cat", "dog"):
                for number in range(12):
                    save_photo(tmp_path / root / name / "sub" / f"{number}.png")
        first = load_dataset(f"folder:{tmp_path}/a", seed=3)
        walk = os.walk

        def backwards(top: str, **options: object):  # type: ignore[no-untyped-def]
            for folder, subfolders, files in walk(top, **options):  # type: ignore[call-overload]
                subfolders.reverse()
                yield folder, subfolders, files[::-1]

        monkeypatch.setattr(os, "walk", backwards)
        second = load_dataset(f"folder:{tmp_path}/b/long name", seed=3)
        assert files_of(first) == files_of(second)
        assert "cat/sub/0.png" in {name for names in files_of(first).values() for name in names}

    @pytest.mark.skipif(COMPOSED == DECOMPOSED, reason="one form only")
    def test_two_spellings_of_an_accent_are_one_class(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        for number in range(8):
            save_photo(tmp_path / (COMPOSED if number % 2 else DECOMPOSED) / f"{number}.png")
            save_photo(tmp_path / "dog" / f"{number}.png")
        pets = load_dataset(f"folder:{tmp_path}")
        assert pets.classes == (COMPOSED, "dog")
        assert all(unicodedata.is_normalized("NFC", n) for s in files_of(pets).values() for n in s)

    def test_two_files_that_look_alike_by_name_are_an_error(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        for name in (COMPOSED, DECOMPOSED):
            save_photo(tmp_path / "cat" / f"{name}.png")
        if len(list((tmp_path / "cat").iterdir())) == 2:  # not so on macOS
            with pytest.raises(DatasetError, match="only in the way that Unicode writes them"):
                load_dataset(f"folder:{tmp_path}")

    def test_a_folder_without_images_is_no_class_and_is_named(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        class_folders(tmp_path, 4)
        (tmp_path / "bird").mkdir()
        (tmp_path / "docs").mkdir()
        (tmp_path / "docs" / "notes.txt").touch()
        pets = load_dataset(f"folder:{tmp_path}")
        assert pets.classes == ("cat", "dog")
        assert {Path(text.split(": ")[0]).name for text in pets.left_out} == {
            "bird",
            "docs",
            "notes.txt",
        }
        assert f"{tmp_path}/bird: a folder without images, so no class" in pets.left_out

    @pytest.mark.parametrize("names", [("Train", "Val", "TEST"), ("training", "valid", "testing")])
    def test_splits_are_known_by_their_usual_names(
        self, tmp_path: Path, class_folders: ClassFolders, names: Sequence[str]
    ) -> None:
        for name, count in zip(names, (4, 1, 2), strict=True):
            class_folders(tmp_path / name, count)
        (tmp_path / "extra").mkdir()
        (tmp_path / "extra" / "a.txt").touch()
        pets = load_dataset(f"folder:{tmp_path}")
        assert {k: len(v) for k, v in files_of(pets).items()} == {
            "train": 8,
            "validation": 2,
            "test": 4,
        }
        assert pets.left_out == (f"{tmp_path}/extra: not in the folder of a split, with 1 files",)

    def test_a_name_that_is_not_utf_8_survives(
        self, tmp_path: Path, class_folders: ClassFolders, save_photo: SavePhoto
    ) -> None:
        photo = save_photo(class_folders(tmp_path, 4) / "cat" / "x.png")
        try:
            os.rename(photo, os.fsencode(photo)[:-5] + b"\xff.png")
        except OSError:
            pytest.skip("this file system has Unicode names only")
        pets = load_dataset(f"folder:{tmp_path}")
        assert "cat/\udcff.png" in {name for names in files_of(pets).values() for name in names}


class TestTables:
    def table(
        self, folder: Path, lines: Sequence[str], save_photo: SavePhoto, count: int = 8
    ) -> str:
        for number in range(count):
            save_photo(folder / "photos" / f"{number}.png")
        (folder / "table.csv").write_text("\n".join(lines), encoding="utf-8")
        return f"csv:{folder / 'table.csv'}"

    @pytest.mark.parametrize(
        ("header", "line"),
        [
            ("path,label", "photos/{n}.png,{c}"),
            (None, "photos/{n}.png,{c}"),
            (None, "{c},photos/{n}.png"),
            ("label,path", "{c},photos/{n}.png"),
            ("filename,class", "photos/{n}.png,{c}"),
            ("File_Name,width,Category,height", "photos/{n}.png,64,{c},64"),
            (",path,label", "{n},photos/{n}.png,{c}"),
            ("id,path,label", "x{n},photos/{n}.png,{c}"),
            (None, "{n},photos/{n}.png,{c}"),
            ("path;label", "photos/{n}.png;{c}"),
            ("\npath;label", "photos/{n}.png;{c}"),
            ("path\tlabel", "photos/{n}.png\t{c}"),
            ("path,label", "photos\\{n}.png,{c}"),
            ("path,label", "./photos//{n}.png,{c}"),
        ],
    )
    def test_a_table_is_read_however_its_columns_stand(
        self, tmp_path: Path, save_photo: SavePhoto, header: str | None, line: str
    ) -> None:
        lines = [line.format(n=n, c=("cat", "dog")[n % 2]) for n in range(8)]
        spec = self.table(tmp_path, [header, *lines] if header else lines, save_photo)
        pets = load_dataset(spec)
        assert pets.classes == ("cat", "dog")
        labels = {
            name: int(label)
            for images in pets.splits.values()
            for name, label in zip(images.names, images.labels, strict=True)
        }
        assert labels == {f"photos/{n}.png": n % 2 for n in range(8)}

    def test_how_columns_were_understood_is_in_the_description(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        lines = ["id,filename,class", *(f"x{n},photos/{n}.png,{n % 2}" for n in range(8))]
        pets = load_dataset(self.table(tmp_path, lines, save_photo))
        assert describe(pets)["decided"]["columns"] == "path: filename, label: class; not used: id"

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            (["photos/0.png,cat,1,2"], r"4 columns and no header .* first line"),
            (["photos/0.png,nan", "photos/1.png,cat"], r"have no label; write -1 .*line 1 \(nan\)"),
            (["photos/0.png,NaN", "photos/1.png,0"], r"have no label; .*line 1 \(NaN\)"),
            (["photos/0.png,1.7", "photos/1.png,0"], r"not a whole one: line 1 \(1\.7\)"),
            (["photos/0.png,0", "./photos/0.png,1"], r"second time: line 2 \(photos/0\.png, first"),
            (["photos/0.png,0", "photos\\0.png,1"], r"second time: line 2 \(photos/0\.png, first"),
            (["img_id,breed", "photos/0.png,0"], r"line 1 \(img_id,breed\) names no image; if it"),
            (
                ["path,class,category", "photos/0.png,0,0"],
                r"more than one .*class, category",
            ),
        ],
    )
    def test_what_has_two_meanings_is_refused(
        self, tmp_path: Path, save_photo: SavePhoto, lines: Sequence[str], message: str
    ) -> None:
        with pytest.raises(DatasetError, match=message):
            load_dataset(self.table(tmp_path, lines, save_photo, count=2))

    def test_every_spelling_of_a_number_is_one_class(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        spellings = ["0", "00", "0.0", "0.", "1", "01", "1.00", "+1"]
        lines = [f"photos/{n}.png,{text}" for n, text in enumerate(spellings)]
        pets = load_dataset(self.table(tmp_path, lines, save_photo))
        assert pets.classes == ("0", "1")
        assert sum(images.labels.sum() for images in pets.splits.values()) == 4

    def test_names_in_two_forms_of_unicode_are_one_class(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        lines = [f"photos/{n}.png,{(COMPOSED, DECOMPOSED, 'dog')[n % 3]}" for n in range(9)]
        pets = load_dataset(self.table(tmp_path, lines, save_photo, count=9))
        assert pets.classes == (COMPOSED, "dog")

    @pytest.mark.parametrize(
        ("in_table", "on_disk"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)]
    )
    def test_a_file_is_found_in_either_form_of_unicode(
        self, tmp_path: Path, save_photo: SavePhoto, in_table: str, on_disk: str
    ) -> None:
        for number in range(6):
            save_photo(tmp_path / f"{on_disk}{number}.png")
        lines = [f"{in_table}{number}.png,{number % 2}" for number in range(6)]
        (tmp_path / "table.csv").write_text("\n".join(lines), encoding="utf-8")
        pets = load_dataset(f"csv:{tmp_path}/table.csv")
        names = {name for names in files_of(pets).values() for name in names}
        assert names == {f"{COMPOSED}{number}.png" for number in range(6)}


class TestOwnSize:
    def test_images_of_one_size_keep_it_and_the_description_says_so(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        for name in ("cat", "dog"):
            for number in range(4):
                save_photo(tmp_path / name / f"{number}.png", rows=40, columns=56, mode="L")
        pets = load_dataset(f"folder:{tmp_path}")
        assert (pets.image_size, pets.channels) == ((40, 56), 1)
        assert describe(pets)["decided"] == {
            "image_size": "40 x 56, the size of every image",
            "channels": "1, every image is grey",
        }

    def test_images_of_many_sizes_get_the_size_of_the_study_and_are_told(
        self, tmp_path: Path, class_folders: ClassFolders, save_photo: SavePhoto
    ) -> None:
        save_photo(class_folders(tmp_path, 4) / "cat" / "large.png", rows=200, columns=300)
        pets = load_dataset(f"folder:{tmp_path}")
        assert pets.image_size == (32, 32)
        words = "32 x 32, the study's size, because the images are from 48 x 48 to 200 x 300"
        assert pets.decided["image_size"] == words

    def test_photographs_do_not_keep_their_size(
        self, tmp_path: Path, save_photo: SavePhoto
    ) -> None:
        for name in ("cat", "dog"):
            for number in range(3):
                save_photo(tmp_path / name / f"{number}.png", rows=65, columns=64)
        pets = load_dataset(f"folder:{tmp_path}")
        assert "the images are 65 x 64, above 64" in pets.decided["image_size"]

    def test_nothing_is_decided_that_was_asked_for(
        self, tmp_path: Path, class_folders: ClassFolders
    ) -> None:
        pets = load_dataset(f"folder:{class_folders(tmp_path, 4)}", image_size=(16, 16), channels=1)
        assert pets.decided == {}


class TestNumbers:
    def test_integers_of_numpy_are_integers(self) -> None:
        resize = Resize(tuple(np.array([8, 9])))  # type: ignore[arg-type]
        assert [type(side) for side in resize.size] == [int, int]
        options = LoadOptions(seed=np.int64(3), limit=np.uint8(9), crop_margin=np.int32(1))
        assert [type(v) for v in (options.seed, options.limit, options.crop_margin)] == [int] * 3

    @pytest.mark.parametrize("wrong", [{"seed": 0.0}, {"limit": 1.5}, {"crop_margin": True}])
    def test_what_is_no_whole_number_is_refused(self, wrong: dict[str, object]) -> None:
        with pytest.raises(DatasetError, match=rf"{next(iter(wrong))} is .*, got "):
            LoadOptions(**wrong)  # type: ignore[arg-type]

    def test_a_side_that_is_no_whole_number_is_refused(self) -> None:
        with pytest.raises(DatasetError, match="two integers above 0"):
            Resize((8.0, 8))  # type: ignore[arg-type]


def test_a_source_lists_files_and_not_pixels(tmp_path: Path, class_folders: ClassFolders) -> None:
    listing = FolderSource(class_folders(tmp_path, 3)).listing()
    (entries,) = listing.splits.values()
    assert isinstance(entries, FileEntries)
    assert entries.names[:2] == ("cat/00.png", "cat/01.png")
