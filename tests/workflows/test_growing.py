"""A table that was stopped goes on: the same bytes, and nothing that is there is computed again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from torch import Tensor

from pixelbayes.cli.main import main
from pixelbayes.models import PixelBayes
from pixelbayes.workflows import stream
from pixelbayes.workflows.growing import unfinished

MakeFolder = Callable[[int], Path]
Capture = pytest.CaptureFixture[str]
CHUNK, IMAGES = 2, 7


@pytest.fixture
def command(
    tiny_model: PixelBayes,
    photo_folder: MakeFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> list[str]:
    """Predicts seven photographs, two at a time."""
    monkeypatch.setattr(stream, "CHUNK", CHUNK)
    tiny_model.save(tmp_path / "model")
    return ["predict", str(tmp_path / "model"), str(photo_folder(IMAGES)), "--quiet"]


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of images whose likelihoods were computed."""
    found: list[int] = []
    compute = PixelBayes.log_likelihoods

    def counted(
        self: PixelBayes, levels: Tensor, *, progress: Callable[[int], None] | None = None
    ) -> Tensor:
        found.append(len(levels))
        return compute(self, levels, progress=progress)

    monkeypatch.setattr(PixelBayes, "log_likelihoods", counted)
    return found


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes the next call stop before a chunk, as with Ctrl-C."""
    work = stream.ImageFiles._part

    def at(chunk: int) -> None:
        def part(
            self: stream.ImageFiles,
            paths: Sequence[Path],
            answer: stream.Answer[object],
            on_done: Callable[[int], None],
            start: int,
        ) -> stream.Part[object]:
            if start == chunk * CHUNK:
                monkeypatch.setattr(stream.ImageFiles, "_part", work)
                raise KeyboardInterrupt
            return work(self, paths, answer, on_done, start)

        monkeypatch.setattr(stream.ImageFiles, "_part", part)

    return at


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize("chunk", range(4))
def test_a_stopped_table_goes_on_to_the_same_bytes(
    command: list[str],
    stop: Callable[[int], None],
    scored: list[int],
    tmp_path: Path,
    capsys: Capture,
    suffix: str,
    chunk: int,
) -> None:
    whole, table = tmp_path / f"whole.{suffix}", tmp_path / f"t.{suffix}"
    assert main([*command, "-o", str(whole)]) == 0
    scored.clear()
    stop(chunk)
    assert main([*command, "-o", str(table)]) == 130
    assert not table.exists()
    assert unfinished(table).exists() == (chunk > 0)
    assert sum(scored) == chunk * CHUNK
    scored.clear()
    capsys.readouterr()
    assert main([*command, "-o", str(table), "--resume"]) == 0
    left = IMAGES - chunk * CHUNK
    assert f": {left} of {left} images need more than 8 bits/dim" in capsys.readouterr().err
    assert table.read_bytes() == whole.read_bytes()
    assert not unfinished(table).exists()
    one_to_compare = int(chunk > 0)
    assert sum(scored) == left + one_to_compare


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize("cut", [1, 10, 300, 600, 900])
def test_a_half_written_row_is_repaired_wherever_it_was_cut(
    command: list[str], tmp_path: Path, suffix: str, cut: int
) -> None:
    table = tmp_path / f"t.{suffix}"
    assert main([*command, "-o", str(table)]) == 0
    content = table.read_bytes()
    table.write_bytes(content[:-cut])
    assert main([*command, "-o", str(table), "--resume"]) == 0
    assert table.read_bytes() == content


def test_what_is_whole_is_left_as_it_is(
    command: list[str], scored: list[int], tmp_path: Path, capsys: Capture
) -> None:
    table = tmp_path / "t.csv"
    assert main([*command, "-o", str(table), "--resume"]) == 0
    content = table.read_bytes()
    scored.clear()
    assert main([*command, "-o", str(table), "--resume"]) == 0
    assert f"nothing is left to do: {table} has all 7 rows" in capsys.readouterr().err
    assert sum(scored) == 1
    assert table.read_bytes() == content


def test_files_that_were_left_out_stay_so(
    command: list[str], tmp_path: Path, stop: Callable[[int], None], capsys: Capture
) -> None:
    for name in ("00b.png", "03b.png", "zz.png"):
        (tmp_path / "photos" / name).write_bytes(b"no image")
    command.append("--skip-bad-files")
    whole, table = tmp_path / "whole.csv", tmp_path / "t.csv"
    assert main([*command, "-o", str(whole)]) == 0
    stop(2)
    assert main([*command, "-o", str(table)]) == 130
    capsys.readouterr()
    assert main([*command, "-o", str(table), "--resume"]) == 0
    assert table.read_bytes() == whole.read_bytes()
    assert "00b.png: left out before the stop" in capsys.readouterr().err


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_file_that_is_left_out_is_counted_once_also_in_a_chunk_that_is_read_again(
    command: list[str], tmp_path: Path, capsys: Capture, rows: int
) -> None:
    photos = sorted((tmp_path / "photos").iterdir())
    for number in (0, 3):  # the last of the second chunk among them
        photos[number].write_bytes(b"no image")
    command.append("--skip-bad-files")
    table = tmp_path / "t.csv"
    assert main([*command, "-o", str(table)]) == 0
    told = capsys.readouterr().err
    content = table.read_bytes()
    table.write_bytes(b"".join(content.splitlines(keepends=True)[: 1 + rows]))
    assert main([*command, "-o", str(table), "--resume"]) == 0
    again = capsys.readouterr().err
    assert table.read_bytes() == content
    for said in (told, again):
        assert said.count(photos[3].name) == said.count(photos[0].name) == 1


def test_a_first_file_that_was_damaged_meanwhile_is_refused_and_no_fault(
    command: list[str], tmp_path: Path, capsys: Capture
) -> None:
    command.append("--skip-bad-files")
    table = tmp_path / "t.csv"
    assert main([*command, "-o", str(table)]) == 0
    content = table.read_bytes()
    table.write_bytes(b"".join(content.splitlines(keepends=True)[:4]))
    min((tmp_path / "photos").iterdir()).write_bytes(b"no image")
    capsys.readouterr()
    assert main([*command, "-o", str(table), "--resume"]) == 2
    assert "another model or with other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--temperature", "3"], "another model or with other settings: temperature of"),
        (["--top-k", "2"], "other settings: the columns class_1, class_2, confidence_1"),
        (["--abstain-below", "0.5"], "other settings: the columns abstain_below"),
    ],
)
def test_rows_of_other_settings_are_not_mixed(
    command: list[str],
    stop: Callable[[int], None],
    tmp_path: Path,
    capsys: Capture,
    change: list[str],
    message: str,
) -> None:
    table = tmp_path / "t.csv"
    stop(2)
    assert main([*command, "-o", str(table)]) == 130
    before = unfinished(table).read_bytes()
    assert main([*command, "-o", str(table), "--resume", *change]) == 2
    assert message in capsys.readouterr().err
    assert unfinished(table).read_bytes() == before


def test_rows_of_other_files_or_of_another_model_are_not_mixed(
    command: list[str],
    stop: Callable[[int], None],
    tiny_model: PixelBayes,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    table = tmp_path / "t.csv"
    stop(2)
    assert main([*command, "-o", str(table)]) == 130
    (tmp_path / "photos" / "01.png").rename(tmp_path / "photos" / "zz.png")
    assert main([*command, "-o", str(table), "--resume"]) == 2
    assert "it was written for other files" in capsys.readouterr().err
    (tmp_path / "photos" / "zz.png").rename(tmp_path / "photos" / "01.png")
    for parameter in tiny_model.network.parameters():
        parameter.data *= 1.01
    tiny_model.save(tmp_path / "model")
    assert main([*command, "-o", str(table), "--resume"]) == 2
    assert "another model" in capsys.readouterr().err


def test_a_stopped_table_is_neither_forgotten_nor_replaced_unasked(
    command: list[str], stop: Callable[[int], None], tmp_path: Path, capsys: Capture
) -> None:
    table = tmp_path / "t.csv"
    stop(1)
    assert main([*command, "-o", str(table)]) == 130
    assert f"{table}.partial keeps what is done; add --resume" in capsys.readouterr().err
    assert main([*command, "-o", str(table)]) == 2
    assert "pass --resume to go on with it, or --overwrite" in capsys.readouterr().err
    assert main([*command, "-o", str(table), "--overwrite"]) == 0
    assert not unfinished(table).exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "--resume goes on with a file; name it with --output"),
        (["--resume", "-o", "t.json"], "--resume goes on with csv and jsonl"),
        (["--resume", "--overwrite", "-o", "t.csv"], "give one of them"),
        (["--json", "--format", "csv"], "--json and --format csv contradict each other"),
        (["--format", "table", "-o", "t.txt"], "a table for people goes to stdout"),
    ],
)
def test_options_that_contradict_each_other_are_a_mistake(
    command: list[str], capsys: Capture, arguments: list[str], message: str
) -> None:
    assert main([*command, *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("begun", "asked"), [("csv", "jsonl"), ("jsonl", "csv")])
@pytest.mark.parametrize("rows", [0, 1, IMAGES])
def test_a_table_begun_in_another_format_is_left_as_it_is(
    command: list[str], tmp_path: Path, capsys: Capture, begun: str, asked: str, rows: int
) -> None:
    table = tmp_path / "t.txt"
    assert main([*command, "-o", str(table), "--format", begun]) == 0
    lines = table.read_bytes().splitlines(keepends=True)
    header = int(begun == "csv")
    if header + rows == 0:
        return  # an empty file is of any format
    table.write_bytes(b"".join(lines[: header + rows]))
    before = table.read_bytes()
    capsys.readouterr()
    assert main([*command, "-o", str(table), "--format", asked, "--resume"]) == 2
    assert f"does not begin as a table of {asked}" in capsys.readouterr().err
    assert table.read_bytes() == before
