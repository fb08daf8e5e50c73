"""From the options of `train` and `evaluate` to a run."""

from __future__ import annotations

import importlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pixelbayes.cli.main import main
from pixelbayes.training import RunStopped
from pixelbayes.workflows.config import trainable
from pixelbayes.workflows.runs import DataConfig, Run, RunConfig

Capture = pytest.CaptureFixture[str]


def made(path: Path, config: RunConfig) -> Run:
    run = Run.create(path, config)
    run.update_info(status="stopped")
    return run


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Replaces training: what it was called with, instead of a model."""
    called: dict[str, Any] = {}

    def train(config: RunConfig, run_dir: Path, **options: Any) -> Run:
        called.update(config=config, run_dir=run_dir, **options)
        if error := called.get("error"):
            raise error
        return Run.open(run_dir) if options["resume"] else made(run_dir, config)

    monkeypatch.setattr(importlib.import_module("pixelbayes.workflows.train"), "train", train)
    monkeypatch.chdir(tmp_path)
    return called


def test_options_reach_their_part_of_the_configuration(trained: dict[str, Any]) -> None:
    arguments = ["train", "--data", "folder:x y", "--image-size", "16x24", "--fusion", "film"]
    arguments += ["--lr", "0.01", "--betas", "0.9", "0.99", "--epochs", "2", "--flip"]
    assert main([*arguments, "--max-time", "01:00:00", "--seed", "3", "--quiet"]) == 0
    config = trained["config"]
    assert (config.data.data, config.data.image_size) == ("folder:x y", (16, 24))
    assert config.network.fusion == "film"
    assert (config.optim.lr, config.optim.betas) == (0.01, (0.9, 0.99))
    assert (config.training.epochs, config.training.flip) == (2, True)
    assert config.training.max_time == "01:00:00"
    assert (config.seed, trained["progress"]) == (3, False)


def test_the_directory_is_named_after_data_fusion_and_seed(trained: dict[str, Any]) -> None:
    assert main(["train", "--data", "folder:a/b c", "--fusion", "late"]) == 0
    assert trained["run_dir"] == Path("runs/folder-a-b-c-late-0")


@pytest.mark.parametrize(
    ("option", "expected"), [(["--name", "x"], "runs/x"), (["--output", "here/x"], "here/x")]
)
def test_the_directory_can_be_chosen(
    trained: dict[str, Any], option: list[str], expected: str
) -> None:
    assert main(["train", *option]) == 0
    assert trained["run_dir"] == Path(expected)


def test_a_run_is_repeated_from_its_configuration_and_options_come_first(
    trained: dict[str, Any],
) -> None:
    assert main(["train", "--features", "8", "--flip", "--seed", "4", "--output", "a"]) == 0
    first = trained["config"]
    assert main(["train", "--config", "a/config.yaml", "--no-flip", "--output", "b"]) == 0
    again = trained["config"]
    assert again.network == first.network
    assert again.seed == 4
    assert (first.training.flip, again.training.flip) == (True, False)


def test_resume_takes_the_configuration_of_the_run(trained: dict[str, Any]) -> None:
    made(Path("runs/a"), RunConfig(data=DataConfig(data="digits", limit=5), seed=2))
    assert main(["train", "--resume", "runs/a", "--epochs", "99"]) == 0
    assert trained["resume"] is True
    assert trained["config"].data.limit == 5
    assert (trained["config"].seed, trained["config"].training.epochs) == (2, 99)


@pytest.mark.parametrize(
    ("arguments", "accelerator", "notice"),
    [
        (["--device", "cpu"], "cpu", ""),
        (["--device", "auto"], "auto", ""),
        ([], "auto", ""),
        (["--accelerator", "cpu"], "cpu", "--accelerator cpu is now called --device cpu"),
        (["--accelerator", "gpu"], "gpu", "--accelerator gpu is now called --device cuda"),
        (["--accelerator", "cpu", "--device", "cpu"], "cpu", "is now called"),
    ],
)
def test_the_device_is_where_the_training_runs_and_its_old_name_works(
    trained: dict[str, Any], arguments: list[str], accelerator: str, notice: str, capsys: Capture
) -> None:
    assert main(["train", *arguments]) == 0
    assert trained["config"].training.accelerator == accelerator
    err = capsys.readouterr().err
    assert notice in err
    assert err.count("\n") == bool(notice)


def test_a_device_comes_before_that_of_the_configuration(trained: dict[str, Any]) -> None:
    Path("a.yaml").write_text("training: {accelerator: gpu}")
    assert main(["train", "--config", "a.yaml", "--device", "cpu"]) == 0
    assert trained["config"].training.accelerator == "cpu"


def test_a_model_to_begin_with_reaches_the_training(trained: dict[str, Any]) -> None:
    assert main(["train", "--init-from", "cpen455-gated"]) == 0
    assert trained["config"].training.init_from == "cpen455-gated"


def test_what_was_written_can_be_had_as_json(trained: dict[str, Any], capsys: Capture) -> None:
    assert main(["train", "--output", "a", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert written == {
        "run": "a",
        "best": None,  # the training is none here
        "last": None,
        "status": "stopped",
    }


def test_verbose_shows_the_whole_configuration(trained: dict[str, Any], capsys: Capture) -> None:
    assert main(["train", "--output", "a", "--verbose", "--lr", "0.25"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("run: a\n")
    assert RunConfig.from_yaml(err.partition("\n")[2]) == trained["config"]


@pytest.mark.parametrize(("reason", "status"), [("signal", 130), ("max_time", 0)])
def test_a_stopped_run_says_how_to_resume(
    trained: dict[str, Any], reason: str, status: int, capsys: Capture
) -> None:
    trained["error"] = RunStopped(reason, 12)
    assert main(["train", "--output", "my run"]) == status
    assert capsys.readouterr().err == (
        "stopped after step 12; to resume: pixelbayes train --resume 'my run'\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fusion", "flim"], 'for --fusion. Choose from: "none", "early", "gated"'),
        (["--dropout", "50"], "did you mean 0.5 (a percentage)?"),
        (["--schedule", "cosin"], 'Did you mean "cosine"?'),
        (["--lr", "-1"], "--lr is a number above 0, got -1"),
        (["--max-time", "soon"], "--max-time is HH:MM:SS"),
        (["--epoch", "3"], "Unknown option: --epoch. Did you mean --epochs?"),
        (["--name", "a/b"], "--name is one word, got 'a/b'"),
        (["--name", ".."], "--name is one word"),
        (["--name", ""], "--name is one word, got ''"),
        (["--name", "a", "--output", "b"], "give one"),
        (["--resume", "nowhere"], "nowhere"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--resume", "a", "--name", "b"], "leave out --name"),
        (["--device", "gpu"], 'Choose from: "auto", "cpu", "cuda"'),
        (["--device", "auto", "--accelerator", "cpu"], "give --device alone"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_made(
    arguments: list[str],
    message: str,
    capsys: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("pixelbayes: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_exists_is_not_trained_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.txt").touch()
    assert main(["train", "--output", "photos", "--limit", "20"]) == 2
    err = capsys.readouterr().err
    assert "photos" in err
    assert "--resume" in err
    assert err.count("\n") == 1


def test_evaluate_without_a_run_is_told(tmp_path: Path, capsys: Capture) -> None:
    assert main(["evaluate", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert str(tmp_path) in err
    assert err.count("\n") == 1


def test_help_names_every_kind_of_model_that_can_be_trained(capsys: Capture) -> None:
    with suppress(SystemExit):
        main(["train", "--help"])
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    help_of_kind = told.partition("--model-kind")[2].partition("--seed")[0]
    assert trainable()
    assert all(name in help_of_kind for name in trainable())


def test_an_interrupted_training_says_what_is_kept(
    trained: dict[str, Any], tmp_path: Path, capsys: Capture
) -> None:
    trained["error"] = KeyboardInterrupt()
    assert main(["train", "--data", "digits", "--name", "a"]) == 130
    assert capsys.readouterr().err == "interrupted; it had not begun, and nothing is kept\n"
    run = made(tmp_path / "runs" / "b", RunConfig())
    assert main(["train", "--resume", str(run.path)]) == 130
    advice = f"on, to resume: pixelbayes train --resume {run.path}\n"
    assert capsys.readouterr().err == f"interrupted; from the start {advice}"
    (run.path / "resume.ckpt").touch()
    assert main(["train", "--resume", str(run.path)]) == 130
    said = capsys.readouterr().err
    assert said == f"interrupted; from the last state that was saved {advice}"
