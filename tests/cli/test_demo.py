"""The demo's directory: what it replaces and what it leaves alone."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import asdict
from math import log
from pathlib import Path

import pytest

from pixelbayes.cli.main import main
from pixelbayes.core import PixelCNN
from pixelbayes.data import Resize
from pixelbayes.models import Metadata, PixelBayes
from pixelbayes.report import load
from pixelbayes.training import RunStopped
from pixelbayes.workflows.demo import DEMO
from pixelbayes.workflows.runs import Run, RunConfig

Capture = pytest.CaptureFixture[str]


class FakeTraining:
    """Saves a random model instead of training one, then ends as it is told."""

    def __init__(self, model: PixelBayes) -> None:
        self.model = model
        self.ending: Exception | None = None
        self.saves = True
        self.config: RunConfig | None = None

    def __call__(self, config: RunConfig, run_dir: Path, *, progress: bool) -> Run:
        self.config = config
        run = Run.create(run_dir, config)
        run.update_info(status="finished")
        if self.saves:
            self.model.save(run.best)
        if self.ending is not None:
            raise self.ending
        return run


@pytest.fixture
def training(
    tiny_network: Callable[..., PixelCNN], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> FakeTraining:
    metadata = Metadata(
        classes=tuple(map(str, range(10))),
        resize=asdict(Resize(size=(8, 8))),
        log_prior=(log(0.1),) * 10,
    )
    network = tiny_network(classes=10, channels=1, features=2, embedding=2, mixtures=1)
    fake = FakeTraining(PixelBayes(network, metadata))
    monkeypatch.setattr(importlib.import_module("pixelbayes.workflows.train"), "train", fake)
    monkeypatch.setattr(
        importlib.import_module("pixelbayes.workflows.demo"), "SAMPLES_PER_CLASS", 0
    )
    monkeypatch.chdir(tmp_path)
    return fake


def test_the_demo_trains_its_own_configuration_and_shows_the_report(
    training: FakeTraining, capsys: Capture
) -> None:
    assert main(["demo"]) == 0
    assert training.config == DEMO
    shown = capsys.readouterr().out
    assert "accuracy" in shown
    assert shown.endswith("\nOpen runs/demo/report.html in a browser.\n")
    assert load(Path("runs/demo")).headline_split == "test"


def test_a_second_demo_replaces_the_first(training: FakeTraining) -> None:
    assert main(["demo"]) == 0
    Path("runs/demo/old.txt").touch()
    assert main(["demo"]) == 0
    assert not Path("runs/demo/old.txt").exists()
    assert [path.name for path in Path("runs").iterdir()] == ["demo"]


def test_an_interrupted_demo_keeps_the_earlier_one_and_can_be_started_again(
    training: FakeTraining,
) -> None:
    assert main(["demo"]) == 0
    before = Path("runs/demo/report.json").read_bytes()
    training.ending = RunStopped("signal", 3)
    assert main(["demo"]) == 130
    assert Path("runs/demo/report.json").read_bytes() == before
    training.ending = None
    assert main(["demo"]) == 0


def test_a_demo_whose_time_is_over_is_evaluated_all_the_same(training: FakeTraining) -> None:
    training.ending = RunStopped("max_time", 3)
    assert main(["demo", "--output", "mine"]) == 0
    assert Path("mine/report.html").is_file()


def test_a_directory_of_someone_else_is_left_alone(training: FakeTraining, capsys: Capture) -> None:
    Run.create(Path("runs/demo"), RunConfig())
    assert main(["demo"]) == 2
    err = capsys.readouterr().err
    assert "holds files that the demo did not make" in err
    assert err.count("\n") == 1
    assert training.config is None


def test_the_run_of_the_demo_can_be_evaluated_again_as_json(
    training: FakeTraining, capsys: Capture
) -> None:
    assert main(["demo"]) == 0
    capsys.readouterr()
    arguments = ["evaluate", "runs/demo", "--split", "test,train", "--json"]
    assert main([*arguments, "--samples-per-class", "0"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report["splits"]) == ["test", "train"]
    assert report["temperature"] is not None


def test_a_demo_without_time_for_one_epoch_says_so(training: FakeTraining, capsys: Capture) -> None:
    training.ending, training.saves = RunStopped("max_time", 3), False
    assert main(["demo"]) == 2
    assert "no epoch was finished within 150s" in capsys.readouterr().err
