from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from pixelbayes.models import CheckpointError, PixelBayes, ResNetClassifier
from pixelbayes.training import OptimConfig, RunStopped, TrainingConfig
from pixelbayes.training.optim import learning_rate_factor
from pixelbayes.training.task import TrainingTask
from pixelbayes.workflows import DataConfig, Run, RunConfig, RunError
from pixelbayes.workflows.loading import load_data
from pixelbayes.workflows.shipped import find_shipped
from pixelbayes.workflows.train import build_network, train

pytestmark = pytest.mark.skipif(
    find_spec("monai") is None, reason="the extra baselines is not installed"
)

TUNED = RunConfig.read(find_shipped("train", "resnet18"))
STEPS = 3  # of an epoch: 40 images in batches of 16, the last one with 8


def config(**training: Any) -> RunConfig:
    """A small run with everything on that a tuned one has: augmentation, momentum, warm-up."""
    settings = {"batch_size": 16, "epochs": 2, "flip": True, "crop_margin": 1, "patience": None}
    return RunConfig(
        model="resnet18",
        data=DataConfig(limit=40, allow_upscaling=True),
        optim=replace(TUNED.optim, warmup_steps=2, ema_decay=0.9),
        training=TrainingConfig(
            **{**settings, "accuracy_images": 10, "label_smoothing": 0.1, **training}
        ),
        seed=3,
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return train(config(checkpoint_every=2), folder, progress=False)


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[], None]) -> None:
    original = TrainingTask.training_step

    def step_with_action(task: TrainingTask, batch: Any, index: int) -> torch.Tensor:
        if task.trainer.global_step + 1 == step:
            action()
        return original(task, batch, index)

    monkeypatch.setattr(TrainingTask, "training_step", step_with_action)


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    tmp_path: Path, uninterrupted: Run
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, STEPS + 2, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(RunStopped):
            train(config(), tmp_path / "run", progress=False)

    resumed = train(config(), tmp_path / "run", resume=True, progress=False)

    for name in ("best", "last"):
        files = [run.path / name / "model.safetensors" for run in (resumed, uninterrupted)]
        assert files[0].read_bytes() == files[1].read_bytes(), name
    state, expected = (
        torch.load(run.resume_state, weights_only=True)["optimizer_states"][0]["state"]
        for run in (resumed, uninterrupted)
    )
    for index, moments in expected.items():
        assert torch.equal(state[index]["momentum_buffer"], moments["momentum_buffer"])
    columns = uninterrupted.metrics()
    for name in ("train/log_loss", "val/log_loss", "train/accuracy", "val/accuracy", "lr"):
        assert resumed.metrics()[name] == columns[name], name


def test_a_run_of_a_baseline_is_a_run_directory(uninterrupted: Run) -> None:
    run = Run.open(uninterrupted.path)

    assert run.config == config(checkpoint_every=2)
    assert (run.info["kind"], run.info["status"], run.info["epochs"]) == ("resnet18", "finished", 2)
    losses = run.metrics()["val/log_loss"]
    assert run.info["best_log_loss"] == min(losses) == losses[run.info["best_epoch"] - 1]
    assert list(run.kept) == [2]
    best = ResNetClassifier.load(run.path)
    assert best.metadata.provenance["config"]["training"]["label_smoothing"] == 0.1
    assert best.classes == tuple(str(digit) for digit in range(10))


def test_a_run_of_a_baseline_is_not_taken_for_that_of_a_pixelcnn(
    uninterrupted: Run,
) -> None:
    with pytest.raises(CheckpointError, match=r"another kind \(ResNet-18\) than the PixelCNN"):
        PixelBayes.load(uninterrupted.path)
    with pytest.raises(RunError, match="model: 'resnet18' there, 'pixelcnn' now"):
        train(replace(config(), model="pixelcnn", network=None), uninterrupted.path, resume=True)


def test_other_settings_do_not_continue_a_run(uninterrupted: Run) -> None:
    other = config(epochs=3, label_smoothing=0.0)

    with pytest.raises(RunError, match=r"label_smoothing: 0\.1 there, 0\.0 now"):
        train(other, uninterrupted.path, resume=True, progress=False)


def test_a_finished_run_is_not_resumed(uninterrupted: Run) -> None:
    with pytest.raises(RunError, match="all 2 epochs are done"):
        train(config(), uninterrupted.path, resume=True, progress=False)


@pytest.mark.parametrize("settings", [RunConfig(model="resnet18"), config(), TUNED])
def test_a_configuration_survives_yaml(settings: RunConfig) -> None:
    assert RunConfig.from_yaml(settings.to_yaml()) == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("network: {features: 8}", "unknown key features.* @ my.yaml.network"),
        ("baseline: resnet50", "my.yaml has model and baseline, which is its old name; keep one"),
        ("label_smoothing: 1", "--label-smoothing is a number at least 0 and below 1, got 1"),
        ("seed: -1", "--seed is a whole number, 0 or more, got -1"),
        ("optim: {momentum: 1}", "--momentum is a number .* @ my.yaml.optim"),
    ],
)
def test_a_mistaken_configuration_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        RunConfig.from_yaml(f"model: resnet18\n{text}", "my.yaml")


def test_an_unknown_baseline_is_answered_with_the_known_kinds() -> None:
    with pytest.raises(RunError, match=r"model is one of: .*resnet18; got 'resnet50' @ my.yaml"):
        RunConfig.from_yaml("baseline: resnet50", "my.yaml")


def test_the_defaults_are_the_published_setting() -> None:
    """R. Sharma, CPEN455 course project: Adam, 0.002, batch 32, at most 75 epochs, as they are."""
    published = RunConfig(model="resnet18")
    assert published.optim == OptimConfig(optimizer="adam", lr=0.002)
    assert (published.training.batch_size, published.training.epochs) == (32, 75)
    assert published.training.patience == 10
    assert (published.training.flip, published.training.crop_margin) == (False, 0)


def test_the_tuned_learning_rate_warms_up_for_five_epochs_and_ends_at_zero() -> None:
    steps = -(-4159 // TUNED.training.batch_size)  # the cpen455 training images
    total = TUNED.training.epochs * steps

    factors = [learning_rate_factor(TUNED.optim, step, total) for step in (5 * steps - 1, total)]

    assert factors == [1.0, 0.0]
    assert learning_rate_factor(TUNED.optim, 5 * steps - 2, total) < 1.0


def test_a_last_batch_that_cannot_be_normalised_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        RunError, match=r"--batch-size 39 leaves 40 .* last batch of 1.*--batch-size 40"
    ):
        train(config(batch_size=39), tmp_path / "run", progress=False)

    assert not (tmp_path / "run").exists()


def test_first_weights_depend_on_the_seed_only() -> None:
    dataset = load_data(config().data, crop_margin=1)
    one, same, other = (
        build_network(replace(config(), seed=seed), dataset).network.fc.weight for seed in (3, 3, 4)
    )

    assert torch.equal(one, same)
    assert not torch.equal(one, other)
