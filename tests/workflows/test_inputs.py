"""Which files paths, folders, tables and standard input stand for."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from pixelbayes.data import DatasetError
from pixelbayes.workflows.inputs import STDIN, find_inputs

MakeFolder = Callable[[int], Path]


def test_other_files_of_a_folder_are_told_apart_from_images(photo_folder: MakeFolder) -> None:
    folder = photo_folder(1)
    (folder / "notes.txt").write_text("hello")
    inputs = find_inputs([folder])
    assert [path.name for path in inputs.images] == ["00.png"]
    assert [path.name for path in inputs.others] == ["notes.txt"]


def test_an_empty_path_is_not_taken_for_the_current_folder() -> None:
    with pytest.raises(DatasetError, match=r"an empty path; the current folder is \."):
        find_inputs(["photo.png", ""])


@pytest.mark.parametrize(
    "table", ["label,path\nx,photos/01.png\ny,photos/00.png\n", "photos/01.png,x\nphotos/00.png\n"]
)
def test_a_table_gives_paths_in_its_order(
    tmp_path: Path, photo_folder: MakeFolder, table: str
) -> None:
    folder = photo_folder(2)
    (tmp_path / "list.csv").write_text(table)
    assert find_inputs([tmp_path / "list.csv"]).images == (folder / "01.png", folder / "00.png")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "no images in"),
        (b"\xff\xfe\x00", "not a CSV file in UTF-8"),
        (b"label,path\nx\n", "rows without a path: 1"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, content: bytes, match: str) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=match):
        find_inputs([tmp_path / "list.csv"])


@pytest.mark.parametrize(
    "table",
    [
        "path,label,taken,split\nphotos/01.png,x,1999,test\nphotos/00.png,y,2001,train\n",
        "label,path\nx,photos/01.png\ny,photos/00.png\n",
        "x,photos/01.png\ny,photos/00.png\n",
        ",path,label\n0,photos/01.png,x\n1,photos/00.png,y\n",
        "0,photos/01.png,x\n1,photos/00.png,y\n",
        "filename,class\nphotos/01.png,x\nphotos/00.png,y\n",
        "image;label\nphotos\\01.png;x\nphotos\\00.png;y\n",
        "file_name\tlabel\nphotos/01.png\tx\nphotos/00.png\ty\n",
        "\ufeffPath , Label\n photos/01.png , x\n photos/00.png , y\n",
        "photos\\01.png\nphotos\\00.png\n",
    ],
)
def test_tables_are_read_as_programs_write_them(
    tmp_path: Path, photo_folder: MakeFolder, table: str
) -> None:
    folder = photo_folder(2)
    (tmp_path / "list.csv").write_text(table, encoding="utf-8")
    assert find_inputs([tmp_path / "list.csv"]).images == (folder / "01.png", folder / "00.png")


def test_two_columns_of_paths_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("image,filename\na.png,b.png\n")
    with pytest.raises(DatasetError, match=r"\(image, filename\); call the one that is meant path"):
        find_inputs([tmp_path / "list.csv"])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\0"])
def test_standard_input_is_a_list_of_paths(photo_folder: MakeFolder, end: str) -> None:
    folder = photo_folder(3)
    names = [str(folder / "02.png"), str(folder / "00.png")]
    stdin = io.BytesIO("".join(name + end for name in names).encode())
    assert [*map(str, find_inputs(["-"], stdin).images)] == names


def test_standard_input_is_an_image_where_its_content_is_one(photo_folder: MakeFolder) -> None:
    content = (photo_folder(1) / "00.png").read_bytes()
    inputs = find_inputs(["-"], io.BytesIO(content))
    assert inputs.images == (STDIN,)
    assert inputs.content == {STDIN: content}


@pytest.mark.parametrize("paths", [["-"], ["-", "-"]])
def test_standard_input_without_images_is_a_mistake(paths: list[str]) -> None:
    with pytest.raises(DatasetError, match=r"no images in standard input|only once"):
        find_inputs(paths, io.BytesIO(b"\n"))
