"""Outputs take the place of nothing but what this program wrote, and are whole or not there."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pixelbayes.cli.main import main
from pixelbayes.data import write_png
from pixelbayes.models import PixelBayes
from pixelbayes.workflows.generate import generate
from pixelbayes.workflows.outputs import Kind, OutputExistsError, free_folder, require_free
from pixelbayes.workflows.records import Record, RecordWriter
from pixelbayes.workflows.samples import save_samples

MakeFolder = Callable[[int], Path]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def model_dir(tiny_model: PixelBayes, tmp_path: Path) -> str:
    tiny_model.save(tmp_path / "model")
    return str(tmp_path / "model")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_predict_never_replaces_a_photo_that_it_reads(
    model_dir: str, photo_folder: MakeFolder, capsys: Capture, overwrite: list[str]
) -> None:
    folder = photo_folder(2)
    before, photo = contents(folder), str(folder / "00.png")
    for given in (photo, str(folder)):
        assert main(["predict", model_dir, given, "--output", photo, *overwrite]) == 2
        assert f"{photo} is read, and is not replaced" in capsys.readouterr().err
    assert contents(folder) == before


def test_predict_never_replaces_the_table_that_lists_its_images(
    model_dir: str, photo_folder: MakeFolder, tmp_path: Path, capsys: Capture
) -> None:
    table = str(tmp_path / "t.csv")
    assert main(["predict", model_dir, str(photo_folder(2)), "--output", table]) == 0
    before = Path(table).read_bytes()
    assert main(["predict", model_dir, table, "--output", table, "--overwrite"]) == 2
    assert "is read, and is not replaced" in capsys.readouterr().err
    assert Path(table).read_bytes() == before


def test_predict_replaces_a_table_of_predictions_when_asked_and_nothing_else(
    model_dir: str, photo_folder: MakeFolder, tmp_path: Path, capsys: Capture
) -> None:
    folder, table, mine = photo_folder(2), tmp_path / "t.csv", tmp_path / "mine.csv"
    mine.write_text("path,label\na.png,cat\n")
    arguments = ["predict", model_dir, str(folder), "--output"]
    assert main([*arguments, str(table)]) == 0
    table.write_text(table.read_text() + "last\n")
    assert main([*arguments, str(table)]) == 2
    assert f"{table} exists; choose another --output, or pass --overw" in capsys.readouterr().err
    assert table.read_text().endswith("last\n")
    assert main([*arguments, str(table), "--overwrite"]) == 0
    assert len(table.read_text().splitlines()) == 3
    assert main([*arguments, str(mine), "--overwrite"]) == 2
    assert "is not a table of predictions of this program" in capsys.readouterr().err
    assert mine.read_text() == "path,label\na.png,cat\n"


@pytest.mark.skipif(os.name != "posix", reason="devices are files on POSIX only")
def test_predict_writes_to_a_device_that_is_there(model_dir: str, photo_folder: MakeFolder) -> None:
    assert main(["predict", model_dir, str(photo_folder(1)), "--output", os.devnull]) == 0


def test_a_second_sample_with_defaults_takes_a_numbered_folder(
    model_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(["samples", "samples-2", "samples-3"]):
        assert (
            main(["sample", model_dir, "--class", "koala", "-n", "1", "--seed", str(number)]) == 0
        )
        assert f"samples.json in {name}\n" in capsys.readouterr().out
        assert json.loads((tmp_path / name / "samples.json").read_text())["seed"] == number


def test_a_folder_that_is_named_is_not_replaced_without_being_asked(
    model_dir: str, tmp_path: Path, capsys: Capture
) -> None:
    arguments = ["sample", model_dir, "-n", "1", "--output", str(tmp_path / "samples")]
    assert main(arguments) == 0
    assert main(arguments) == 2
    assert "is not empty; choose another --output, or pass --overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


def test_sample_never_writes_into_a_run_or_a_model(model_dir: str, capsys: Capture) -> None:
    folder = Path(model_dir)
    (folder / "samples.json").write_text('{"samples": [{"file": "koala-0001.png"}]}')
    before = contents(folder)
    assert main(["sample", model_dir, "--output", model_dir, "--overwrite"]) == 2
    assert "holds a run or a model (model.json), so that it is not" in capsys.readouterr().err
    assert contents(folder) == before


def test_overwriting_samples_touches_no_other_file(tiny_model: PixelBayes, tmp_path: Path) -> None:
    samples = generate(tiny_model, ["koala"])
    photos = tmp_path / "photos"
    write_png(samples.levels[0], photos / "mine.png")
    with pytest.raises(OutputExistsError, match=r"has no samples\.json that lists samples"):
        save_samples(samples, tiny_model, photos, overwrite=True)
    drawn = tmp_path / "drawn"
    save_samples(samples, tiny_model, drawn)
    (drawn / "koala-0002.png").write_text("mine")
    before = contents(drawn)
    with pytest.raises(OutputExistsError, match=r"koala-0002\.png, which samples\.json does not"):
        save_samples(generate(tiny_model, count=2), tiny_model, drawn, overwrite=True)
    assert contents(drawn) == before


def test_an_index_that_lists_a_file_elsewhere_removes_nothing(
    tiny_model: PixelBayes, tmp_path: Path
) -> None:
    (tmp_path / "precious.png").write_text("mine")
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    (drawn / "notes.txt").write_text("mine")
    names = ["../precious.png", str(tmp_path / "precious.png"), "notes.txt", "koala-0001.png"]
    (drawn / "samples.json").write_text(json.dumps({"samples": [{"file": x} for x in names]}))
    save_samples(generate(tiny_model, ["pizza"]), tiny_model, drawn, overwrite=True)
    assert (tmp_path / "precious.png").read_text() == "mine"
    assert (drawn / "notes.txt").read_text() == "mine"


def test_a_sample_that_is_completed_is_not_replaced_by_its_completion(
    model_dir: str, tmp_path: Path, capsys: Capture
) -> None:
    arguments = ["sample", model_dir, "-n", "1", "--output", str(tmp_path / "s")]
    assert main(arguments) == 0
    before, source = contents(tmp_path / "s"), tmp_path / "s" / "koala-0001.png"
    assert main([*arguments, "--overwrite", "--complete", str(source)]) == 2
    assert f"{source} is read, and is not replaced" in capsys.readouterr().err
    assert contents(tmp_path / "s") == before


def test_info_replaces_an_earlier_diagram_when_asked_and_nothing_else(
    model_dir: str, tmp_path: Path, capsys: Capture
) -> None:
    diagram, mine = tmp_path / "net.svg", tmp_path / "mine.svg"
    mine.write_text("<svg/>")
    assert main(["info", model_dir, "--diagram", str(diagram)]) == 0
    assert main(["info", model_dir, "--diagram", str(diagram)]) == 2
    assert main(["info", model_dir, "--diagram", str(diagram), "--overwrite"]) == 0
    assert main(["info", model_dir, "--diagram", str(mine), "--overwrite"]) == 2
    assert "mine.svg exists and is not a diagram of this program" in capsys.readouterr().err
    assert mine.read_text() == "<svg/>"


@pytest.mark.parametrize(
    ("kind", "there", "message"),
    [
        (Kind.PREDICTIONS, "folder", "is a folder; give a file with --output"),
        (Kind.DIAGRAM, "folder", "is a folder; give a file with --output"),
        (Kind.SAMPLES, "file", "is a file; give a folder with --output"),
        (Kind.MODEL, "file", "is a file; give a folder with --output"),
    ],
)
def test_a_file_is_no_folder_and_a_folder_no_file(
    tmp_path: Path, kind: Kind, there: str, message: str
) -> None:
    path = tmp_path / "there"
    path.mkdir() if there == "folder" else path.touch()
    with pytest.raises(OutputExistsError, match=message):
        require_free(path, kind, overwrite=True)


def test_what_is_missing_or_empty_is_free(tmp_path: Path) -> None:
    for kind in Kind:
        require_free(tmp_path / "nothing", kind, overwrite=False)
    for kind in (Kind.SAMPLES, Kind.COURSE_SAMPLES, Kind.MODEL):
        require_free(tmp_path, kind, overwrite=False)
    assert free_folder(tmp_path) == tmp_path


def test_a_course_folder_is_replaced_only_where_all_of_it_was_written_here(tmp_path: Path) -> None:
    write_png(torch.zeros(3, 8, 8, dtype=torch.uint8), tmp_path / "pizza-01.png")
    require_free(tmp_path, Kind.COURSE_SAMPLES, overwrite=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "pizza-02.png")
    with pytest.raises(OutputExistsError, match=r"holds pizza-02\.png, which this program did not"):
        require_free(tmp_path, Kind.COURSE_SAMPLES, overwrite=True)


@pytest.mark.parametrize("text", ["a.png,-1\n", "a.png,cat\n", "one\n", "path,label\n"])
def test_a_table_of_the_course_is_not_taken_for_predictions(tmp_path: Path, text: str) -> None:
    table = tmp_path / "t.csv"
    table.write_text(text)
    with pytest.raises(OutputExistsError, match="is not a table of predicted labels"):
        require_free(table, Kind.COURSE_PREDICTIONS, overwrite=True)
    table.write_text("a.png,0\nb.png,3\n")
    require_free(table, Kind.COURSE_PREDICTIONS, overwrite=True)
    with pytest.raises(OutputExistsError, match="is read, and is not replaced"):
        require_free(table, Kind.COURSE_PREDICTIONS, overwrite=True, inputs=[table])


def failing(number: int, wrapped: Callable[..., Any], code: int) -> Callable[..., Any]:
    """Fails as a disk does, without a file's name, in the call of this number."""
    calls = 0

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            raise OSError(code, os.strerror(code))
        return wrapped(*arguments, **options)

    return call


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("earlier", [True, False])
def test_a_full_disk_while_samples_are_written_leaves_the_earlier_ones_whole(
    tiny_model: PixelBayes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    code: int,
    earlier: bool,
) -> None:
    folder = tmp_path / "drawn"
    if earlier:
        save_samples(generate(tiny_model, ["koala"]), tiny_model, folder)
    before = contents(tmp_path)
    samples = generate(tiny_model, ["pizza"], count=3)
    monkeypatch.setattr(Image.Image, "save", failing(number, Image.Image.save, code))
    with pytest.raises(OSError, match=os.strerror(code)) as error:
        save_samples(samples, tiny_model, folder, overwrite=True)
    assert error.value.filename == str(folder)
    assert contents(tmp_path) == before
    assert folder.exists() == earlier


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_full_disk_names_the_table_that_was_asked_for_and_leaves_the_earlier_one(
    model_dir: str,
    photo_folder: MakeFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    number: int,
) -> None:
    folder, table = photo_folder(2), tmp_path / "t.csv"
    arguments = ["predict", model_dir, str(folder), "--output", str(table)]
    assert main(arguments) == 0
    before = contents(tmp_path)
    capsys.readouterr()
    write = RecordWriter.write

    def full(self: RecordWriter, records: Iterable[Record]) -> None:
        write(self, [*records][:number])
        self.file.write("path,cl")
        self.file.flush()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(RecordWriter, "write", full)
    assert main([*arguments, "--overwrite"]) == 2
    *_, error = capsys.readouterr().err.splitlines()
    assert error.startswith(f"pixelbayes: error: {table}: No space left on device; ")
    assert "partial" not in error
    kept = contents(tmp_path)
    partial = {name for name in kept if name.endswith("t.csv.partial")}
    assert {name: it for name, it in kept.items() if name not in partial} == before
    assert len(partial) == (number > 0)
    monkeypatch.setattr(RecordWriter, "write", write)
    assert main([*arguments, "--resume" if partial else "--overwrite"]) == 0
    assert contents(tmp_path) == before


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named_by_the_path_that_was_asked_for(
    model_dir: str, photo_folder: MakeFolder, tmp_path: Path, capsys: Capture
) -> None:
    folder, closed = photo_folder(1), tmp_path / "closed"
    closed.mkdir(mode=0o500)
    table = closed / "t.csv"
    assert main(["predict", model_dir, str(folder), "--output", str(table)]) == 2
    assert f"pixelbayes: error: {table}: Permission denied\n" in capsys.readouterr().err


@pytest.mark.parametrize("mark", ["run.json", "model.json"])
@pytest.mark.parametrize("kind", [Kind.SAMPLES, Kind.EXPLANATION])
def test_nothing_is_written_inside_a_run(tmp_path: Path, kind: Kind, mark: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / mark).touch()
    for place in ("new", "deep/er/new"):
        with pytest.raises(OutputExistsError, match=r"is inside .*run, a run or a model"):
            require_free(tmp_path / "run" / place, kind, overwrite=True)
    require_free(tmp_path / "beside", kind, overwrite=False)
