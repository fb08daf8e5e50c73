from __future__ import annotations

from dataclasses import asdict
from importlib.util import find_spec
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from pixelbayes.data import LabelledImages, Resize
from pixelbayes.evaluation.calibration import log_loss
from pixelbayes.models import Metadata, ResNetClassifier
from pixelbayes.models.resnet import ResNet18
from pixelbayes.training import OptimConfig, TrainingConfig
from pixelbayes.training.batches import Batch
from pixelbayes.training.engine import fit
from pixelbayes.training.metrics import Row, read_metrics
from pixelbayes.training.task import TrainingTask

pytestmark = pytest.mark.skipif(
    find_spec("monai") is None, reason="the extra baselines is not installed"
)

CLASSES = 3


def images(count: int, seed: int) -> LabelledImages:
    """Images whose brightness tells their class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    noise = torch.randint(0, 40, (count, 1, 8, 8), generator=generator)
    levels = (noise + 80 * labels[:, None, None, None]).to(torch.uint8)
    return LabelledImages(levels, labels, tuple(f"{seed}/{i}" for i in range(count)))


TRAIN, VALIDATION = images(40, seed=0), images(11, seed=1)


def task(optim: OptimConfig | None = None, **training: Any) -> TrainingTask:
    torch.manual_seed(0)
    metadata = Metadata(
        classes=("dark", "grey", "bright"),
        resize=asdict(Resize(size=(8, 8))),
        log_prior=(-log(CLASSES),) * CLASSES,
    )
    return TrainingTask(
        ResNetClassifier(ResNet18(classes=CLASSES, channels=1), metadata),
        optim or OptimConfig(lr=0.001),
        TrainingConfig(**{"batch_size": 16, "accuracy_images": 9, **training}),
        images=len(TRAIN),
        seed=0,
    )


def run(folder: Path, *args: Any, **kwargs: Any) -> list[Row]:
    fit(task(*args, **kwargs), TRAIN, VALIDATION, folder=folder, progress=False)
    return read_metrics(folder / "metrics.csv")


def whole_batch() -> Batch:
    return Batch(TRAIN.levels, TRAIN.labels, torch.ones(len(TRAIN)), len(TRAIN))


def test_smoothed_cross_entropy_is_that_of_torch() -> None:
    smoothed = task(label_smoothing=0.1)

    loss = smoothed.loss(whole_batch(), 0)

    logits = smoothed.model(TRAIN.levels)
    expected = F.cross_entropy(logits, TRAIN.labels, reduction="sum", label_smoothing=0.1)
    torch.testing.assert_close(loss.total, expected)
    torch.testing.assert_close(loss.nats, F.cross_entropy(logits, TRAIN.labels, reduction="sum"))
    assert not loss.nats.requires_grad


def test_images_that_fill_up_a_share_do_not_count() -> None:
    plain = task()
    batch = whole_batch()
    weights = batch.weights.clone()
    weights[0] = 0.0

    everything = plain.loss(batch, 0)
    rest = plain.loss(batch._replace(weights=weights), 0)

    first = -plain.model(TRAIN.levels)[0, TRAIN.labels[0]]
    torch.testing.assert_close(everything.total - rest.total, first)
    torch.testing.assert_close(everything.nats - rest.nats, first)


def test_what_is_measured_is_what_the_checkpoint_gives(tmp_path: Path) -> None:
    optim = OptimConfig(optimizer="sgd", lr=0.02, schedule="cosine", ema_decay=0.5)

    rows = run(tmp_path, optim, label_smoothing=0.1, epochs=4, precision="64")

    classifier = ResNetClassifier.load(tmp_path / "last")
    log_proba = classifier.predict_log_proba(VALIDATION.levels)
    loss = log_loss(log_proba, VALIDATION.labels).value
    right = log_proba.argmax(dim=1) == VALIDATION.labels
    assert rows[-1]["val/log_loss"] == pytest.approx(loss, rel=1e-9)
    assert rows[-1]["val/accuracy"] == pytest.approx(right.double().mean().item())
    assert rows[-1]["train/accuracy"] is not None
    assert rows[-1]["train/log_loss"] < rows[0]["train/log_loss"] / 2, "brightness is easy to learn"


def test_the_run_ends_when_the_validation_loss_no_longer_falls(tmp_path: Path) -> None:
    stuck = OptimConfig(optimizer="sgd", lr=1e-30, momentum=0.0)

    rows = run(tmp_path, stuck, epochs=9, patience=1, precision="bf16-mixed")

    best = min(rows, key=lambda row: row["val/log_loss"] or 0.0)["epoch"]
    assert len(rows) < 9
    assert ResNetClassifier.load(tmp_path / "best").metadata.provenance["epoch"] == best
