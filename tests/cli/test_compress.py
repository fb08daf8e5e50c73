"""`pixelbayes compress`, `decompress` and `test`."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("constriction")

from pixelbayes.cli.main import main
from pixelbayes.workflows.archive import ArchiveReader


@pytest.fixture
def model(tiny_model, tmp_path) -> str:
    tiny_model.save(tmp_path / "model")
    return str(tmp_path / "model")


@pytest.fixture
def archive(model, photo_folder, tmp_path) -> str:
    output = tmp_path / "photos.pbz"
    assert main(["compress", model, str(photo_folder(3)), "--output", str(output)]) == 0
    return str(output)


def test_a_folder_goes_in_and_out_in_two_processes(archive, model, tmp_path):
    out = tmp_path / "out"
    program = [sys.executable, "-m", "pixelbayes", "decompress", archive]
    subprocess.run([*program, "--model", model, "--output", out], check=True)
    assert sorted(path.name for path in out.iterdir()) == ["00.png", "01.png", "02.png"]
    for path in out.iterdir():
        with Image.open(path) as found, Image.open(tmp_path / "photos" / path.name) as image:
            assert np.array_equal(np.asarray(found), np.asarray(image))


def test_numbers_and_names_can_be_had_as_json(model, photo_folder, tmp_path, capsys):
    output = tmp_path / "photos.pbz"
    arguments = ["compress", model, str(photo_folder(2)), "--output", str(output), "--json"]
    assert main(arguments) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["pictures"] == 2
    assert numbers["numbers"] == 2 * 3 * 12 * 10
    assert numbers["bytes"] == output.stat().st_size > numbers["payload_bytes"]
    assert main(["test", str(output), "--model", model, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[1] == {"name": "01.png", "height": 12, "width": 10, "mode": "RGB"}


def test_pipes_carry_an_archive(model, photo_folder, tmp_path):
    program = [sys.executable, "-m", "pixelbayes"]
    written = subprocess.run(
        [*program, "compress", model, str(photo_folder(1)), "--output", "-", "--class", "pizza"],
        check=True,
        capture_output=True,
    ).stdout
    arguments = [*program, "decompress", "-", "--model", model, "--output", str(tmp_path / "out")]
    subprocess.run(arguments, input=written, check=True)
    assert (tmp_path / "out" / "00.png").is_file()


def test_what_is_there_is_not_replaced(archive, model, photo_folder, tmp_path, capsys):
    photos = str(tmp_path / "photos")
    assert main(["compress", model, photos, "--output", archive]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["compress", model, photos, "--output", archive, "--overwrite"]) == 0
    photo = str(tmp_path / "photos" / "00.png")
    assert main(["compress", model, photos, "--output", photo, "--overwrite"]) == 2
    capsys.readouterr()
    assert main(["decompress", archive, "--model", model, "--output", photos]) == 2
    assert "is not empty; choose a new folder with --output" in capsys.readouterr().err
    assert main(["test", archive, "--model", model]) == 0


def test_an_empty_folder_is_filled_the_current_one_too(archive, model, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["decompress", archive, "--model", model, "--output", "."]) == 0
    assert sorted(path.name for path in tmp_path.glob("here/*")) == ["00.png", "01.png", "02.png"]


def test_folders_of_the_output_are_made(model, photo_folder, tmp_path):
    output = tmp_path / "new" / "folder" / "photos.pbz"
    assert main(["compress", model, str(photo_folder(1)), "--output", str(output)]) == 0
    out = tmp_path / "other" / "out"
    assert main(["decompress", str(output), "--model", model, "--output", str(out)]) == 0
    assert [path.name for path in out.iterdir()] == ["00.png"]


def test_names_that_are_one_on_this_disk_are_refused(archive, model, tmp_path, monkeypatch, capsys):
    read = ArchiveReader.__init__

    def one_name(self, *args):
        read(self, *args)
        self.pictures = [replace(it, name=self.pictures[0].name) for it in self.pictures]

    monkeypatch.setattr(ArchiveReader, "__init__", one_name)
    out = tmp_path / "out"
    assert main(["decompress", archive, "--model", model, "--output", str(out)]) == 2
    assert "names that are one here, 00.png" in capsys.readouterr().err
    assert not out.exists()


def test_a_damaged_file_leaves_nothing(archive, model, tmp_path, capsys):
    with open(archive, "r+b") as file:
        file.seek(-20, 2)
        file.write(b"\0")
    out = tmp_path / "out"
    assert main(["decompress", archive, "--model", model, "--output", str(out)]) == 2
    assert "damaged" in capsys.readouterr().err
    assert not out.exists()
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".partial"]


def test_a_model_that_is_not_shipped_has_to_be_named(archive, tmp_path, capsys):
    assert main(["decompress", archive, "--output", str(tmp_path / "out")]) == 2
    assert "--model" in capsys.readouterr().err
