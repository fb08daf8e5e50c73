from __future__ import annotations

from dataclasses import asdict
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch

from pixelbayes.core import FUSIONS, PixelCNN, PixelCNNConfig, bits_per_dim
from pixelbayes.data import LabelledImages, Resize
from pixelbayes.inference import BayesClassifier
from pixelbayes.models import Metadata, PixelBayes
from pixelbayes.training import OptimConfig, TrainingConfig
from pixelbayes.training.callbacks.recording import RunRecorder
from pixelbayes.training.config import OPTIMIZERS, PRECISIONS
from pixelbayes.training.datamodule import LevelsDataModule
from pixelbayes.training.engine import Outcome, fit
from pixelbayes.training.metrics import Row, best_epoch, columns, read_metrics
from pixelbayes.training.objectives import Hybrid
from pixelbayes.training.task import TrainingTask

CLASSES = 3


def images(count: int, seed: int) -> LabelledImages:
    """Images whose brightness tells their class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    noise = torch.randint(0, 40, (count, 1, 8, 8), generator=generator)
    levels = (noise + 80 * labels[:, None, None, None]).to(torch.uint8)
    return LabelledImages(levels, labels, tuple(f"{seed}/{i}" for i in range(count)))


TRAIN, VALIDATION = images(40, seed=0), images(11, seed=1)
METADATA = Metadata(
    classes=("dark", "grey", "bright"),
    resize=asdict(Resize(size=(8, 8))),
    log_prior=(-log(CLASSES),) * CLASSES,
)


def network(**changes: Any) -> PixelCNN:
    settings = {"image_size": (8, 8), "channels": 1, "features": 6, "blocks_per_stage": 1}
    torch.manual_seed(0)
    return PixelCNN(
        PixelCNNConfig(**{**settings, "classes": CLASSES, "mixtures": 2, "embedding": 4, **changes})
    )


def run(
    folder: Path, *, optim: OptimConfig | None = None, **training: Any
) -> tuple[Outcome, list[Row]]:
    task = TrainingTask(
        PixelBayes(network(dropout=0.1), METADATA),
        optim or OptimConfig(lr=0.01),
        TrainingConfig(**{"batch_size": 16, "epochs": 2, **training}),
        images=len(TRAIN),
        seed=0,
    )
    outcome = fit(
        task,
        TRAIN,
        VALIDATION,
        folder=folder,
        progress=False,
    )
    return outcome, read_metrics(folder / "metrics.csv")


def test_precision_32_trains_in_float32_whatever_the_default_type(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "wide").mkdir()
    plain, _ = run(tmp_path / "plain")
    torch.set_default_dtype(torch.float64)
    try:
        wide, _ = run(tmp_path / "wide")
    finally:
        torch.set_default_dtype(torch.float32)

    assert wide.best == plain.best
    weights = PixelBayes.load(tmp_path / "wide" / "last").network.state_dict()
    expected = PixelBayes.load(tmp_path / "plain" / "last").network.state_dict()
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert all(weights[name].equal(weight) for name, weight in expected.items())


def test_training_learns_what_there_is_to_learn(tmp_path: Path) -> None:
    outcome, rows = run(tmp_path, epochs=12)

    assert outcome.best < 7.0
    assert rows[0]["val/bits_per_dim"] > outcome.best
    assert rows[-1]["val/accuracy"] > 0.9


def test_validation_bits_per_dim_is_the_mean_over_images(tmp_path: Path) -> None:
    _, rows = run(tmp_path, epochs=1)

    model = PixelBayes.load(tmp_path / "last").network
    with torch.no_grad():
        log_prob = model(VALIDATION.levels, VALIDATION.labels).log_prob(VALIDATION.levels)
    bits = bits_per_dim(log_prob, model.config.dims).mean().item()
    assert rows[0]["val/bits_per_dim"] == pytest.approx(bits, rel=1e-5)


def test_accuracy_is_that_of_bayes_rule_on_the_checkpoint(tmp_path: Path) -> None:
    _, rows = run(tmp_path, epochs=1, accuracy_images=9)

    model = PixelBayes.load(tmp_path / "last").network
    subset = TRAIN.select(
        LevelsDataModule(TRAIN, VALIDATION, TrainingConfig(accuracy_images=9), 0).accuracy_subset()
    )
    assert len(subset) == 9
    for name, split in (("train", subset), ("val", VALIDATION)):
        right = BayesClassifier(model).predict(split.levels) == split.labels
        assert rows[0][f"{name}/accuracy"] == pytest.approx(right.double().mean().item())


def test_accuracy_is_measured_as_often_as_asked_and_at_the_end(tmp_path: Path) -> None:
    _, rows = run(tmp_path, epochs=3, accuracy_every=2)

    assert [row["val/accuracy"] is None for row in rows] == [True, False, False]


def test_the_checkpoint_holds_the_moving_average_where_there_is_one(tmp_path: Path) -> None:
    run(tmp_path, epochs=1, optim=OptimConfig(lr=0.01, ema_decay=0.999))

    saved = PixelBayes.load(tmp_path / "last").network.state_dict()
    state = torch.load(tmp_path / "resume.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(saved["output.bias"], state["ema.module.output.bias"])
    assert not torch.equal(saved["output.bias"], state["model.output.bias"])


@pytest.mark.parametrize("decay", [None, 0.9])
def test_keeping_a_checkpoint_does_not_end_the_training_mode(
    tmp_path: Path, decay: float | None
) -> None:
    task = TrainingTask(
        PixelBayes(network(), METADATA),
        OptimConfig(ema_decay=decay),
        TrainingConfig(),
        images=len(TRAIN),
        seed=0,
    )
    task.save(tmp_path, METADATA)

    assert all(module.training for module in task.model.modules())


def test_the_best_checkpoint_is_that_of_the_best_epoch(tmp_path: Path) -> None:
    outcome, rows = run(tmp_path, epochs=3, optim=OptimConfig(lr=1e-30))

    assert outcome.best == min(row["val/bits_per_dim"] for row in rows)
    assert outcome.best_epoch == 1, "nothing is learned, so no later epoch is better"
    assert PixelBayes.load(tmp_path / "best").metadata.provenance["epoch"] == 1
    assert PixelBayes.load(tmp_path / "last").metadata.provenance["epoch"] == 3


def test_checkpoints_are_kept_as_often_as_asked(tmp_path: Path) -> None:
    run(tmp_path, epochs=5, checkpoint_every=2, accuracy_images=0)

    kept = sorted(path.name for path in (tmp_path / "epochs").iterdir())
    assert kept == ["0002", "0004"]
    for name in kept:
        assert PixelBayes.load(tmp_path / "epochs" / name).metadata.provenance["epoch"] == int(name)


def test_the_learning_rate_follows_the_step(tmp_path: Path) -> None:
    optim = OptimConfig(lr=0.01, schedule="exponential", lr_decay_per_step=0.9)

    _, rows = run(tmp_path, optim=optim)

    assert [row["step"] for row in rows] == [3, 6]
    assert [row["lr"] for row in rows] == pytest.approx([0.01 * 0.9**2, 0.01 * 0.9**5])


def test_a_batch_larger_than_the_data_is_the_data(tmp_path: Path) -> None:
    _, rows = run(tmp_path, batch_size=100, epochs=1)

    assert rows[0]["step"] == 1


@pytest.mark.parametrize("fusion", ["late", "gated"])
def test_a_hybrid_trains_its_temperature_and_logs_its_parts(tmp_path: Path, fusion: str) -> None:
    task = TrainingTask(
        PixelBayes(network(fusion=fusion, dropout=0.0), METADATA),
        OptimConfig(lr=0.01),
        TrainingConfig(
            batch_size=16,
            epochs=2,
            objective="hybrid",
            strength=20.0,
            strength_rise=(0.0, 0.5),
            negatives=1 if fusion == "gated" else None,
            learn_temperature=True,
        ),
        images=len(TRAIN),
        seed=0,
    )
    fit(task, TRAIN, VALIDATION, folder=tmp_path, progress=False)

    first, last = read_metrics(tmp_path / "metrics.csv")
    assert isinstance(task.objective, Hybrid)
    assert torch.as_tensor(task.objective.temperature).item() != 10.0
    for row in (first, last):
        loss, bits, nats = row["train/loss"], row["train/bits_per_dim"], row["train/cross_entropy"]
        assert loss is not None
        assert bits is not None
        assert nats is not None
        assert loss > bits
        assert nats > 0.0


def hybrid_task(epochs: int = 5, accuracy_every: int = 2) -> TrainingTask:
    """So strong that bits/dim rise while the loss falls."""
    return TrainingTask(
        PixelBayes(network(fusion="late", dropout=0.0), METADATA),
        OptimConfig(lr=0.003),
        TrainingConfig(
            batch_size=16,
            epochs=epochs,
            accuracy_every=accuracy_every,
            objective="hybrid",
            strength=2000.0,
        ),
        images=len(TRAIN),
        seed=0,
    )


def test_the_best_epoch_of_a_hybrid_is_that_with_the_lowest_loss_on_validation_images(
    tmp_path: Path,
) -> None:
    task = hybrid_task()
    outcome = fit(task, TRAIN, VALIDATION, folder=tmp_path, progress=False)
    rows = read_metrics(tmp_path / "metrics.csv")
    # Measured first, last and each second epoch.
    losses = {row["epoch"]: row["val/loss"] for row in rows if row["val/loss"] is not None}
    assert [*losses] == [1, 2, 4, 5]
    assert outcome.best == min(losses.values())
    assert losses[outcome.best_epoch] == outcome.best
    bits = [row["val/bits_per_dim"] for row in rows]
    assert bits.index(min(bits)) + 1 != outcome.best_epoch  # or this test shows nothing
    best = PixelBayes.load(tmp_path / "best")
    assert best.metadata.provenance["epoch"] == outcome.best_epoch
    table = best.log_likelihoods(VALIDATION.levels)
    assert isinstance(task.objective, Hybrid)
    by_hand = task.objective.measured(table, VALIDATION.labels, best.dims)
    assert outcome.best == pytest.approx(by_hand.mean().item(), rel=1e-6)
    curves = {name: [row.get(name) for row in rows] for name in columns(task.criterion)}
    assert best_epoch(curves, task.criterion) == outcome.best_epoch


def test_the_line_of_an_epoch_has_the_loss_that_decides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(hybrid_task(epochs=3, accuracy_every=3), TRAIN, VALIDATION, folder=tmp_path)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch")]
    assert ["val loss" in line for line in lines] == [True, False, True]
    loss = read_metrics(tmp_path / "metrics.csv")[-1]["val/loss"]
    assert f"val loss {loss:.3f}" in lines[-1]


def test_a_hybrid_that_was_begun_by_bits_per_dim_goes_on_by_them(tmp_path: Path) -> None:
    task = hybrid_task()
    recorder = RunRecorder(tmp_path, task.criterion, METADATA, images=1, patience=None)
    assert recorder.decisive == "val/loss"
    state = recorder.state_dict()
    recorder.load_state_dict({name: state[name] for name in ("best", "best_epoch", "seconds")})
    assert recorder.decisive == "val/bits_per_dim"
    before = {"epoch": [1, 2], "val/loss": [None, None], "val/bits_per_dim": [3.5, 3.4]}
    assert best_epoch(before, task.criterion) == 2


def test_a_network_of_two_views_is_judged_by_the_mean_of_their_densities(tmp_path: Path) -> None:
    task = TrainingTask(
        PixelBayes(network(views=2, dropout=0.0), METADATA),
        OptimConfig(lr=0.01),
        TrainingConfig(batch_size=16, epochs=2, accuracy_every=2, precision="64"),
        images=len(TRAIN),
        seed=0,
    )
    fit(task, TRAIN, VALIDATION, folder=tmp_path, progress=False)

    model = PixelBayes.load(tmp_path / "last").network
    table = BayesClassifier(model).log_likelihoods(VALIDATION.levels)
    own = table.gather(1, VALIDATION.labels[:, None])
    rows = read_metrics(tmp_path / "metrics.csv")
    bits = bits_per_dim(own, model.config.dims).mean().item()
    assert rows[-1]["val/bits_per_dim"] == pytest.approx(bits, rel=1e-9)
    assert model.fusion.embedding.views.abs().sum() > 0


def test_a_hybrid_of_a_model_without_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a --fusion"):
        TrainingTask(
            PixelBayes(network(fusion="none"), METADATA),
            OptimConfig(),
            TrainingConfig(objective="hybrid"),
            images=9,
            seed=0,
        )


def test_mirroring_without_telling_a_network_of_views_is_refused() -> None:
    with pytest.raises(ValueError, match="leave out --flip or --views"):
        TrainingTask(
            PixelBayes(network(views=2), METADATA),
            OptimConfig(),
            TrainingConfig(flip=True),
            images=9,
            seed=0,
        )


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("clip", [None, 1.0])
def test_training_works_in_every_precision(
    precision: str, clip: float | None, tmp_path: Path
) -> None:
    optim = OptimConfig(lr=0.01, gradient_clip=clip)
    _, rows = run(tmp_path, precision=precision, epochs=1, optim=optim)

    assert 0.0 < rows[0]["val/bits_per_dim"] < 20.0


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_works_with_every_optimizer(optimizer: str, tmp_path: Path) -> None:
    _, rows = run(tmp_path, epochs=1, optim=OptimConfig(optimizer=optimizer, weight_decay=0.01))

    assert rows[0]["val/bits_per_dim"] is not None


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_weight_has_a_gradient_as_distributed_training_demands(fusion: str) -> None:
    model = network(fusion=fusion)

    model(TRAIN.levels, TRAIN.labels).log_prob(TRAIN.levels).sum().backward()

    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []
