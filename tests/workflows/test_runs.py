from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pixelbayes.errors import PixelBayesError
from pixelbayes.training import OptimConfig, TrainingConfig
from pixelbayes.training.metrics import write_metrics
from pixelbayes.workflows import DataConfig, NetworkConfig, Run, RunConfig, RunError
from pixelbayes.workflows.runs import locked
from pixelbayes.workflows.train import train

UNUSUAL = RunConfig(
    data=DataConfig(data="folder:photos/é", image_size=(24, 32), channels=1, limit=7),
    network=NetworkConfig(fusion="film", dropout=0.0),
    optim=OptimConfig(lr=1e-05, betas=(0.5, 0.75), gradient_clip=1.0, ema_decay=0.999),
    training=TrainingConfig(patience=None, max_time="01:00:00", precision="bf16-mixed"),
    seed=7,
)


@pytest.mark.parametrize("config", [RunConfig(), UNUSUAL], ids=["defaults", "unusual"])
def test_a_configuration_survives_yaml(config: RunConfig) -> None:
    assert RunConfig.from_yaml(config.to_yaml()) == config


def test_what_a_configuration_does_not_mention_has_its_default() -> None:
    config = RunConfig.from_yaml("network:\n  features: 8\ntraining:\n")

    assert config == RunConfig(network=NetworkConfig(features=8))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "netwrok: {}",
            r"unknown key netwrok; known: .*data, .*; did you mean network\? @ my\.yaml$",
        ),
        ("network: {feature: 8}", r"unknown key feature; .*mean features\? @ my\.yaml\.network"),
        (
            "optim: {lr: 1e-3}",
            r"a number is wanted, got '1e-3'; in YAML .* 1\.0e-3 @ my\.yaml\.optim\.lr",
        ),
        ("optim: {betas: 1}", r"betas is a list, got 1 @ my\.yaml\.optim"),
        ("network: 8", r"names and values \(features, .*got 8 @ my\.yaml\.network"),
        ("- 1", "my.yaml holds names and values"),
        ("a: [", "my.yaml is not YAML"),
        ("seed: -1", "--seed is a whole number, 0 or more, got -1"),
    ],
)
def test_a_mistaken_configuration_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        RunConfig.from_yaml(text, "my.yaml")


def test_a_missing_configuration_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot read the configuration .*lost\.yaml"):
        RunConfig.read(tmp_path / "lost.yaml")


def test_a_new_run_may_use_an_empty_directory(tmp_path: Path) -> None:
    run = Run.create(tmp_path, UNUSUAL)

    assert RunConfig.read(run.path / "config.yaml") == UNUSUAL


def test_a_new_run_does_not_use_a_directory_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()

    with pytest.raises(RunError, match=r"exists and is not empty; .*another --name or --output"):
        Run.create(tmp_path, RunConfig())


def test_a_new_run_does_not_overwrite_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(RunError, match="exists and is not empty"):
        Run.create(tmp_path / "file", RunConfig())


def test_an_opened_run_is_the_one_that_was_made(tmp_path: Path) -> None:
    Run.create(tmp_path / "run", UNUSUAL).update_info(status="running")

    run = Run.open(tmp_path / "run")

    assert run.config == UNUSUAL
    assert run.info["status"] == "running"


def test_opening_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no such directory"):
        Run.open(tmp_path / "run")
    with pytest.raises(RunError, match=r"config\.yaml and run\.json missing there"):
        Run.open(tmp_path)


def test_a_damaged_description_is_named(tmp_path: Path) -> None:
    run = Run.create(tmp_path, RunConfig())
    (tmp_path / "run.json").write_text("{")

    with pytest.raises(RunError, match=r"cannot read .*run\.json"):
        _ = run.info


def test_updates_keep_what_they_do_not_mention(tmp_path: Path) -> None:
    run = Run.create(tmp_path, RunConfig())

    run.update_info(status="running", seed=1)
    run.update_info(status="finished")

    assert run.info["status"] == "finished"
    assert run.info["seed"] == 1


def test_metrics_are_columns_with_gaps(tmp_path: Path) -> None:
    run = Run.create(tmp_path, RunConfig())
    assert run.metrics()["epoch"] == []

    write_metrics(
        tmp_path / "metrics.csv", [{"epoch": 1, "lr": 0.1}, {"epoch": 2, "val/accuracy": 0.5}]
    )

    metrics = run.metrics()
    assert metrics["epoch"] == [1, 2]
    assert metrics["val/accuracy"] == [None, 0.5]


def cut_in_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.yaml", "not the file that run.json was written with"),
        ("run.json", "cannot read"),
        ("metrics.csv", "not a table of numbers|damaged"),
    ],
)
def test_half_a_file_of_a_run_is_damage_and_not_other_settings(
    tmp_path: Path, name: str, message: str
) -> None:
    config = RunConfig(
        data=DataConfig(limit=20),
        network=NetworkConfig(features=2, mixtures=1, embedding=2),
        training=TrainingConfig(batch_size=10, epochs=4, accuracy_images=0, accuracy_every=4),
    )
    run = train(config, tmp_path / "run", progress=False)
    cut_in_half(run.path / name)
    with pytest.raises(PixelBayesError, match=message):
        Run.open(run.path)


@pytest.mark.parametrize("change", ["mkdir", "open"])
def test_a_directory_that_cannot_be_locked_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    pytest.importorskip("fcntl", reason="locks of POSIX systems")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, change, full)
    with pytest.raises(OSError, match="free some space") as raised, locked(tmp_path / "run"):
        pass
    assert raised.value.filename == str(tmp_path / "run")
