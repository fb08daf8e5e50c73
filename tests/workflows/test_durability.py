"""A run survives a kill, a full disk and a damaged file: nothing is lost, and nothing is taken for
what it is not."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pixelbayes.cli.main import main
from pixelbayes.errors import PixelBayesError
from pixelbayes.models import CheckpointError, PixelBayes
from pixelbayes.models.storage import PENDING, read, write
from pixelbayes.training import TrainingConfig
from pixelbayes.training.task import TrainingTask
from pixelbayes.workflows import DataConfig, NetworkConfig, Run, RunConfig, RunError
from pixelbayes.workflows import train as module
from pixelbayes.workflows.train import train

CONFIG = RunConfig(
    data=DataConfig(limit=20),
    network=NetworkConfig(features=2, mixtures=1, embedding=2, blocks_per_stage=1),
    training=TrainingConfig(batch_size=20, epochs=2, accuracy_images=0),
)
LONGER = replace(CONFIG, training=replace(CONFIG.training, epochs=3))
DISK_FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Killed(BaseException):
    """As SIGKILL ends a process: nothing that would clean up after an error runs."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return train(CONFIG, tmp_path_factory.mktemp("runs") / "run", progress=False).path


@pytest.fixture
def run_dir(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


def without_ending(run_dir: Path) -> None:
    """The run as it is where its process was killed."""
    run = Run.open(run_dir)
    run.update_info(status="running", ended=None, epochs=0)


@pytest.mark.parametrize("moment", [1, 2])
def test_a_checkpoint_survives_a_kill_while_either_of_its_files_takes_its_place(
    tiny_model: PixelBayes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    older = tiny_model.with_temperature(2.0).to_stored()
    changed = {name: tensor + 1 for name, tensor in older.weights.items()}
    newer = replace(tiny_model.with_temperature(3.0).to_stored(), weights=changed)
    write(tmp_path, older)
    calls, original = [], os.replace

    def killed(source: str, target: str) -> None:
        calls.append(target)
        if len(calls) == moment:
            raise Killed
        original(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(Killed):
            write(tmp_path, newer)
    assert (tmp_path / PENDING).is_file()
    found, expected = read(tmp_path), older if moment == 1 else newer
    assert found.metadata.temperature == expected.metadata.temperature
    assert all(found.weights[name].equal(it) for name, it in expected.weights.items())
    write(tmp_path, newer)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_an_error_between_the_files_of_a_checkpoint_leaves_the_new_one(
    tiny_model: PixelBayes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, tiny_model.with_temperature(2.0).to_stored())
    original = os.replace

    def failing(source: str | Path, target: str | Path) -> None:
        if Path(target).suffix == ".json":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(source))
        original(source, target)

    changed = {name: it + 1 for name, it in tiny_model.to_stored().weights.items()}
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing)
        with pytest.raises(OSError, match="error") as error:
            write(tmp_path, replace(tiny_model.with_temperature(3.0).to_stored(), weights=changed))
    assert error.value.filename == str(tmp_path / "model.json")
    assert read(tmp_path).metadata.temperature == 3.0


@pytest.mark.parametrize("error", [DISK_FULL, KeyboardInterrupt(), MemoryError("no memory")])
@pytest.mark.parametrize("there", [True, False])
def test_what_fails_before_its_first_step_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, there: bool
) -> None:
    folder = tmp_path / "runs" / "mine"
    if there:
        folder.mkdir(parents=True)

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(TrainingTask, "training_step", fail)
        with pytest.raises(type(error)):
            train(CONFIG, folder, progress=False)
    assert [*tmp_path.rglob("*")] == ([folder.parent, folder] if there else [])


def test_a_device_that_is_missing_leaves_nothing_behind(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    wanted = replace(CONFIG, training=replace(CONFIG.training, accelerator="gpu"))
    with pytest.raises(RunError, match="a GPU is asked for, and PyTorch finds none"):
        train(wanted, tmp_path / "run", progress=False)
    assert [*tmp_path.iterdir()] == []


def test_a_file_of_somebody_else_stays_where_a_run_fails_before_its_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        (tmp_path / "run" / "notes.txt").write_text("mine")
        raise DISK_FULL

    monkeypatch.setattr(TrainingTask, "training_step", fail)
    with pytest.raises(OSError, match="space"):
        train(CONFIG, tmp_path / "run", progress=False)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_a_run_that_was_killed_before_its_training_began_is_trained_by_the_same_command(
    tmp_path: Path,
) -> None:
    Run.create(tmp_path / "run", LONGER)  # and then the process is gone
    with pytest.raises(RunError, match="its training has not begun"):
        Run.open(tmp_path / "run")
    assert train(CONFIG, tmp_path / "run", progress=False).info["status"] == "finished"


def test_a_run_that_was_killed_in_its_first_epoch_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Path
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, "_nothing_left", lambda *_, **__: _nothing())
        patch.setattr(TrainingTask, "training_step", killed)
        with pytest.raises(Killed):
            train(CONFIG, tmp_path / "run", progress=False)
    without_ending(tmp_path / "run")
    run = train(CONFIG, tmp_path / "run", resume=True, progress=False)
    assert (run.best / "model.safetensors").read_bytes() == (
        trained / "best" / "model.safetensors"
    ).read_bytes()


class _nothing:  # noqa: N801
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True)


DAMAGED: dict[str, Callable[[list[str]], list[str]]] = {
    "nothing left": lambda _: [],
    "the header only": lambda lines: lines[:1],
    "the last row lost": lambda lines: lines[:-1],
    "the first row lost": lambda lines: [lines[0], *lines[2:]],
    "the last row cut": lambda lines: [*lines[:-1], lines[-1][: len(lines[-1]) // 2]],
    "the last line break lost": lambda lines: [*lines[:-1], lines[-1].rstrip()],
    "a row twice": lambda lines: [*lines, lines[-1]],
    "no numbers": lambda lines: [*lines[:-1], lines[-1].replace(",", ",x")],
}


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_rows_that_are_lost_are_told_and_never_written_over(
    run_dir: Path, damage: Callable[[list[str]], list[str]], killed: bool
) -> None:
    if killed:
        without_ending(run_dir)
    metrics = run_dir / "metrics.csv"
    metrics.write_text("".join(damage(lines_of(metrics))))
    before = metrics.read_bytes()
    with pytest.raises(PixelBayesError, match=r"metrics\.csv is (damaged|not a table)"):
        Run.open(run_dir)
    with pytest.raises(PixelBayesError, match=r"metrics\.csv is (damaged|not a table)"):
        train(LONGER, run_dir, resume=True, progress=False)
    assert metrics.read_bytes() == before


def test_a_state_ahead_of_its_table_is_not_continued(run_dir: Path) -> None:
    without_ending(run_dir)
    shutil.rmtree(run_dir / "last")  # else it would know of the epochs
    (run_dir / "metrics.csv").unlink()
    with pytest.raises(CheckpointError, match=r"has 0 rows, but .*resume\.ckpt has 2 epochs"):
        train(LONGER, run_dir, resume=True, progress=False)


def test_half_a_configuration_is_damage_also_where_a_kill_left_it_without_a_digest(
    run_dir: Path,
) -> None:
    Run.open(run_dir).update_info(config_sha256=None)
    assert Run.open(run_dir).config == CONFIG
    lines = lines_of(run_dir / "config.yaml")
    for kept in range(len(lines)):
        (run_dir / "config.yaml").write_text("".join(lines[:kept]))
        with pytest.raises(RunError, match=r"damaged|holds names and values"):
            Run.open(run_dir)


def test_an_empty_description_of_a_run_is_damage(run_dir: Path) -> None:
    (run_dir / "run.json").write_text("{}")
    with pytest.raises(RunError, match=r"run\.json is empty, so it is damaged"):
        Run.open(run_dir)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a small disk in memory of so many bytes."""
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        place = tmp_path / f"disk-{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("a small disk can only be mounted by the administrator of a Linux system")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(it.relative_to(folder)): it.read_bytes() for it in folder.rglob("*") if it.is_file()
    }


WRITERS = {
    "train": ["--data", "digits", "--limit", "20", "--features", "2", "--mixtures", "1"],
    "resume": [],
    "evaluate": [],
    "predict": [],
    "sample": [],
}


@pytest.mark.parametrize("command", WRITERS)
@pytest.mark.parametrize("free", [0, 40_000])
def test_a_full_disk_is_named_and_what_was_written_stays_whole(
    command: str,
    free: int,
    disk: Callable[[int], Path],
    run_dir: Path,
    photo_folder: Callable[[int], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = disk(2_000_000)
    run = place / "run"
    arguments = {
        "train": ["train", *WRITERS["train"], "--epochs", "1", "--output", str(place / "new")],
        "resume": ["train", "--resume", str(run), "--epochs", "3"],
        "evaluate": ["evaluate", str(run), "--samples-per-class", "0"],
        "predict": ["predict", str(run), str(photo_folder(3)), "--output", str(place / "t.csv")],
        "sample": ["sample", str(run), "-n", "1", "--output", str(place / "new")],
    }[command]
    if command != "train":
        shutil.copytree(run_dir, run)
        checkpoint = files_in(run / "best")
    if free and command in ("predict", "sample"):
        free = 0  # what they write is small
    (place / "rest").write_bytes(bytes(max(os.statvfs(place).f_bavail * 4096 - free, 0)))
    capsys.readouterr()
    assert main(arguments) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith(f"pixelbayes: error: {place}")
    assert "No space left on device" in message
    assert ".partial" not in message
    if command in ("train", "resume", "evaluate"):
        assert "; it needs " in message
    assert not [*place.rglob("*.partial")]
    if command != "train":
        assert files_in(run / "best") == checkpoint
        assert main(["info", str(run)]) == 0
    (place / "rest").unlink()
    if command != "train" or not (place / "new").exists():
        assert main(arguments) == 0


@pytest.mark.parametrize("command", ["evaluate", "sample", "predict"])
def test_a_read_only_disk_is_found_before_the_work_is_done(
    command: str,
    disk: Callable[[int], Path],
    run_dir: Path,
    photo_folder: Callable[[int], Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = disk(2_000_000)
    run = shutil.copytree(run_dir, place / "run")
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    output = {"evaluate": run, "sample": place / "s", "predict": place / "t.csv"}[command]
    arguments = {
        "evaluate": ["evaluate", str(run), "--samples-per-class", "0"],
        "sample": ["sample", str(run), "--output", str(output)],
        "predict": ["predict", str(run), str(photo_folder(2)), "--output", str(output)],
    }[command]
    monkeypatch.delattr(PixelBayes, "log_likelihoods")  # nothing is computed
    assert main(arguments) == 2
    assert f"error: {output}: Read-only file system\n" in capsys.readouterr().err
