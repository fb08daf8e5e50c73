"""From the options of `study` to the workflow, and what the user is told."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from pixelbayes.cli.main import main
from pixelbayes.evaluation.features import FIDWeightsError
from pixelbayes.training import RunStopped
from pixelbayes.workflows.study import StudyOutcome

Capture = pytest.CaptureFixture[str]
TEXT = """
title: T
base:
  data: {data: digits}
  network: {features: 4}
models:
  early: {network: {fusion: early}}
  late: {network: {fusion: late}}
"""
WITH_FID = TEXT + "fid: {dims: [192]}\n"


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Replaces the workflow: what it was called with, and what it answers."""
    calls: dict[str, Any] = {"outcome": StudyOutcome([], [Path("x/index.html")], [], False)}
    workflow = importlib.import_module("pixelbayes.workflows.study")

    def study(config: Any, folder: Path, **options: Any) -> StudyOutcome:
        calls.update(config=config, folder=folder, **options)
        if error := calls.get("error"):
            raise error
        return calls["outcome"]  # type: ignore[no-any-return]

    def report_study(config: Any, folder: Path) -> StudyOutcome:
        calls.update(config=config, folder=folder, reported=True)
        return calls["outcome"]  # type: ignore[no-any-return]

    monkeypatch.setattr(workflow, "study", study)
    monkeypatch.setattr(workflow, "report_study", report_study)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-study.yaml").write_text(TEXT)
    return calls


def test_options_reach_the_study(called: dict[str, Any], capsys: Capture) -> None:
    arguments = ["study", "my-study.yaml", "--only", "late,early", "--seeds", "0,7", "--quiet"]
    arguments += ["--max-time", "90m", "--epochs", "3", "--precision", "bf16-mixed"]
    assert main([*arguments, "--device", "cpu"]) == 0
    assert called["folder"] == Path("runs/my-study")
    assert (called["only"], called["seconds"], called["device"]) == (["late", "early"], 5400, "cpu")
    assert called["show_training"] is False
    config = called["config"]
    assert config.seeds == (0, 7)
    training = config.model("late", 7).training
    assert (training.epochs, training.precision, training.accelerator) == (3, "bf16-mixed", "cpu")
    out, err = capsys.readouterr()
    assert out == "written: x/index.html\n"
    assert err == ""


def test_without_a_device_the_study_says_where_it_trains(called: dict[str, Any]) -> None:
    Path("my-study.yaml").write_text(TEXT.replace("base:", "base:\n  training: {accelerator: gpu}"))
    assert main(["study", "my-study.yaml"]) == 0
    assert called["config"].model("late", 0).training.accelerator == "gpu"


def test_the_old_name_of_the_device_works_for_trainings(
    called: dict[str, Any], capsys: Capture
) -> None:
    assert main(["study", "my-study.yaml", "--accelerator", "cpu"]) == 0
    assert called["config"].model("late", 0).training.accelerator == "cpu"
    assert "--accelerator cpu is now called --device cpu" in capsys.readouterr().err


def test_all_results_can_be_had_as_json(called: dict[str, Any], capsys: Capture) -> None:
    called["outcome"] = StudyOutcome([], [Path("x/index.html")], ["late: no time"], True)
    assert main(["study", "my-study.yaml", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "results": [],
        "missing": ["late: no time"],
        "files": ["x/index.html"],
    }


def test_report_only_trains_nothing(called: dict[str, Any]) -> None:
    assert main(["study", "my-study.yaml", "--report-only", "--output", "here"]) == 0
    assert (called["reported"], called["folder"]) == (True, Path("here"))


def test_what_is_missing_is_told_on_stderr_and_is_no_failure(
    called: dict[str, Any], capsys: Capture
) -> None:
    called["outcome"] = StudyOutcome([], [], ["late, seed 0: the time is over"], False)
    assert main(["study", "my-study.yaml"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "not done: late, seed 0: the time is over\nthe same command goes on\n"


def test_a_diverged_training_is_status_1(called: dict[str, Any]) -> None:
    called["outcome"] = StudyOutcome([], [], ["late, seed 0: training diverged"], True)
    assert main(["study", "my-study.yaml"]) == 1


@pytest.mark.parametrize("error", [RunStopped("signal", 5), KeyboardInterrupt()])
def test_an_interruption_is_status_130_and_says_how_to_go_on(
    error: BaseException, called: dict[str, Any], capsys: Capture
) -> None:
    called["error"] = error
    assert main(["study", "my-study.yaml"]) == 130
    assert "stopped; what is done is in runs/my-study" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.yaml"], "no study 'nowhere.yaml'"),
        (["my-study.yaml", "--only", "lat"], "no model 'lat' in this study; choose from: early"),
        (["my-study.yaml", "--epochs", "0"], "--epochs is a number above 0, got 0"),
        (["my-study.yaml", "--seeds", "a"], "--seeds are whole numbers, 0 or more, got 'a'"),
        (["my-study.yaml", "--max-time", "soon"], "--max-time is HH:MM:SS"),
        (
            ["my-study.yaml", "--precision", "8"],
            'Invalid value "8" for --precision. Choose',
        ),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: list[str], message: str, called: dict[str, Any], capsys: Capture
) -> None:
    assert main(["study", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"pixelbayes: error: {message}")
    assert err.count("\n") == 1
    assert "folder" not in called


def test_without_weights_scores_are_left_out_with_a_note(
    called: dict[str, Any], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(path: Path | None) -> None:
        raise FIDWeightsError("the FID feature network is not installed")

    monkeypatch.setattr("pixelbayes.evaluation.features.FIDInception.load", load)
    monkeypatch.delenv("PIXELBAYES_FID_WEIGHTS", raising=False)
    Path("my-study.yaml").write_text(WITH_FID)
    assert main(["study", "my-study.yaml"]) == 0
    assert called["network"] is None
    assert "FID and KID are left out: the FID feature network" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["option", "variable"])
def test_weights_that_were_named_are_never_ignored(
    how: str, called: dict[str, Any], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("my-study.yaml").write_text(WITH_FID)
    arguments = ["study", "my-study.yaml"]
    if how == "option":
        arguments += ["--fid-weights", "nowhere.npz"]
    else:
        monkeypatch.setenv("PIXELBAYES_FID_WEIGHTS", "nowhere.npz")
    assert main(arguments) == 2
    assert "there is no file nowhere.npz" in capsys.readouterr().err
    assert "folder" not in called
