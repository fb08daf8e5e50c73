from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from pixelbayes.data import DatasetError, find_images, load_dataset

SavePhoto = Callable[..., Path]


def names(paths: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_images_are_found_by_suffix_in_every_folder_and_the_rest_is_told(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/1.png", "a.TIFF", "notes.txt", ".hidden.png", ".cache/3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_images(tmp_path)
    assert names(found.images, tmp_path) == ["a.TIFF", "b/1.png", "b/2.JPG"]
    assert [(file.path.name, file.reason) for file in found.left_out] == [
        (".cache", "a folder hidden, with 1 files"),
        (".hidden.png", "hidden"),
        ("notes.txt", "not an image by its suffix or its content"),
    ]


@pytest.mark.parametrize("name", ["a.jfif", "a.jpe", "a.JPG", "a", "a.bin", "a.dat.old"])
def test_a_jpeg_is_an_image_whatever_it_is_called(
    tmp_path: Path, save_photo: SavePhoto, name: str
) -> None:
    photo = save_photo(tmp_path / "photo.png")
    Image.open(photo).save(tmp_path / "x.jpg")
    (tmp_path / "x.jpg").rename(tmp_path / name)
    photo.unlink()
    assert names(find_images(tmp_path).images, tmp_path) == [name]


@pytest.mark.parametrize("text", [b"BM is a car maker", b"P5 tyre pressure", b"GIF89a", b""])
def test_a_text_that_begins_like_an_image_is_none(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "notes").write_bytes(text)
    assert find_images(tmp_path).images == []


@pytest.mark.parametrize(
    "folder",
    [
        "@eaDir",
        "__MACOSX",
        "$RECYCLE.BIN",
        "System Volume Information",
        ".thumbnails",
        "Thumbnails",
    ],
)
def test_folders_of_systems_and_thumbnails_are_left_out_and_told(
    tmp_path: Path, class_folders: Callable[[Path, int], Path], save_photo: SavePhoto, folder: str
) -> None:
    class_folders(tmp_path, 4)
    for place in (tmp_path / folder, tmp_path / "cat" / folder):
        save_photo(place / "0.png")
        save_photo(place / "1.png")
    pets = load_dataset(f"folder:{tmp_path}")
    assert pets.classes == ("cat", "dog")
    assert sum(len(images) for images in pets.splits.values()) == 8
    assert len(pets.left_out) == 2
    assert all("with 2 files" in text for text in pets.left_out)


def test_a_folder_that_cannot_be_read_is_an_error(
    tmp_path: Path, save_photo: SavePhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_photo(tmp_path / "cat" / "0.png")
    (tmp_path / "secret").mkdir()
    scan = os.scandir

    def refuse(path: str) -> Iterator[os.DirEntry[str]]:
        if os.fspath(path).endswith("secret"):  # the mode of a folder does not stop root
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for root in (tmp_path, tmp_path / "secret"):
        with pytest.raises(DatasetError, match=r"secret cannot be read: Permission denied; make"):
            find_images(root)


def test_a_folder_wins_over_links_to_it_wherever_they_come_in_the_alphabet(
    tmp_path: Path, save_photo: SavePhoto
) -> None:
    for name in ("cat/1.png", "dog/1.png", "dog/2.png", "outside/5.png"):
        save_photo(tmp_path / "pets" / name if "/" in name else tmp_path / name)
    (tmp_path / "pets" / "outside").rename(tmp_path / "outside")
    for link, target in (("a_dog", "dog"), ("cat/see-also", "dog"), ("bird", "../outside")):
        place = tmp_path / "pets" / link
        place.symlink_to(os.path.relpath(tmp_path / "pets" / target, place.parent))
    found = find_images(tmp_path / "pets")
    assert names(found.images, tmp_path / "pets") == [
        "bird/5.png",
        "cat/1.png",
        "dog/1.png",
        "dog/2.png",
    ]
    assert names([file.path for file in found.left_out], tmp_path / "pets") == [
        "a_dog",
        "cat/see-also",
    ]


def test_a_link_to_a_folder_above_does_not_go_round_in_circles(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    found = find_images(tmp_path)
    assert found.images == [tmp_path / "a.png"]
    assert [str(file) for file in found.left_out] == [
        f"{tmp_path}/loop: a link to a folder that is read already"
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    assert find_images(tmp_path).images == []


def test_the_order_is_that_of_canonical_names(tmp_path: Path) -> None:
    written = ["b/0.png", "a-b/0.png", "a/1.png", "a/0.png", "Z.png", "e\u0301.png", "f.png"]
    for name in written:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [unicodedata.normalize("NFC", n) for n in names(find_images(tmp_path).images, tmp_path)]
    assert found == ["Z.png", "a/0.png", "a/1.png", "a-b/0.png", "b/0.png", "f.png", "\u00e9.png"]


def test_a_single_file_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert find_images(tmp_path / "a.png").images == [tmp_path / "a.png"]


def test_a_file_of_another_kind_is_refused_with_the_accepted_suffixes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(DatasetError, match=r"not an image file; accepted suffixes: \.bmp"):
        find_images(tmp_path / "a.txt")


def test_a_missing_path_says_what_to_pass(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist; pass an image file or a folder"):
        find_images(tmp_path / "nowhere")


def test_a_data_set_that_cannot_be_read_is_an_error(
    tmp_path: Path, class_folders: Callable[[Path, int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied", str(path))

    class_folders(tmp_path, 3)
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DatasetError, match="cannot be read: Permission denied"):
        load_dataset(f"folder:{tmp_path}")


def test_sheets_of_several_images_that_are_written_beside_them_are_told_and_not_read(
    tmp_path: Path, save_photo: SavePhoto
) -> None:
    for name in ("drawn/cat-0001.png", "drawn/grid.png", "own/grid.png"):
        save_photo(tmp_path / name)
    (tmp_path / "drawn/samples.json").write_text("{}")
    found = find_images(tmp_path)
    read = [file.relative_to(tmp_path).as_posix() for file in found.images]
    assert read == ["drawn/cat-0001.png", "own/grid.png"]
    assert "a sheet of several images, described in samples.json" in [
        file.reason for file in found.left_out
    ]
