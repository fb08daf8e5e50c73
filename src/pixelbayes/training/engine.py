"""The training engine: Lightning, set up so that a resumed run equals an uninterrupted one.

Lightning owns the loop, devices, processes and precision.  Everything that depends on where in
the run a step is (batches, augmentation, dropout, learning rate) is a function of the step
number, so resuming needs the weights, the optimiser's moments and that one number.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from pixelbayes.data import LabelledImages
from pixelbayes.inference.memory import freed_memory_kept
from pixelbayes.io import naming
from pixelbayes.switches import training_alone, warnings_held_back
from pixelbayes.training.callbacks.display import RunDisplay
from pixelbayes.training.callbacks.recording import RESUME, RunRecorder, SafeCheckpointIO
from pixelbayes.training.callbacks.stopping import GracefulStop, signals_restored
from pixelbayes.training.config import OptimConfig, TrainingConfig
from pixelbayes.training.datamodule import LevelsDataModule
from pixelbayes.training.task import TrainingTask

__all__ = ["Outcome", "fit", "is_first_process"]

PRECISION_NAMES: dict[str, Any] = {
    "32": "32-true",
    "bf16-mixed": "bf16-mixed",
    "64": "64-true",
}

NO_NEWS = (
    "GPU available but not used",  # it was asked for
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning 2.6 with torch >= 2.9
    "Grad strides do not match bucket view strides",  # a 1x1 kernel has two layouts, both right
)


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        epochs: Epochs done.
        best_epoch: The one with the lowest validation loss, counted from 1.
        best: That loss, in the unit of the criterion.
        reason: "epochs" (all are done) or "patience" (no more improvement).
    """

    epochs: int
    best_epoch: int
    best: float
    reason: str


@training_alone()
@freed_memory_kept()
def fit(
    task: TrainingTask,
    train: LabelledImages,
    validation: LabelledImages,
    *,
    folder: Path,
    resume: bool = False,
    progress: bool = True,
    soft_labels: Tensor | None = None,
) -> Outcome:
    """Trains the task's network in place and fills the run directory `folder`.

    Args:
        task: The network with its first weights, which a resumed run replaces, and how it learns.
        train: Training images, larger than the model's by the crop margin.
        validation: Validation images.
        folder: An existing folder.
        resume: Goes on from `folder / "resume.ckpt"`, where there is one.
        progress: Whether to show progress on stderr.
        soft_labels: Probabilities of the classes of each training image, (N, K), for the
            cross-entropy; None: the labels.

    Raises:
        DivergedError: If the loss stops being a number.
        RunStopped: If a signal or the time limit stopped the run; its state is saved.
    """
    training = task.training_config
    data = LevelsDataModule(train, validation, training, task.seed, task.views, soft_labels)
    display = RunDisplay(
        task.criterion,
        epochs=training.epochs,
        steps_per_epoch=data.steps_per_epoch,
        enabled=progress and is_first_process(),
    )
    recorder = RunRecorder(
        folder,
        task.criterion,
        task.start.metadata,
        images=len(train),
        patience=training.patience,
        checkpoint_every=training.checkpoint_every,
        on_row=display.show,
    )
    stop = GracefulStop(
        folder / RESUME,
        steps_per_epoch=data.steps_per_epoch,
        max_seconds=training.max_seconds,
        notify=display.say,
    )
    state = folder / RESUME if resume and (folder / RESUME).exists() else None
    rng_restored = torch.random.fork_rng(devices=[])
    # TensorBoard's errors name no file.
    named = naming(folder, folder)
    with processes_left(), signals_restored(), quiet_lightning(), rng_restored, display, named:
        trainer = make_trainer(training, task.optim, folder, [display, stop, recorder])
        trainer.fit(task, datamodule=data, ckpt_path=state)
    return Outcome(
        epochs=trainer.current_epoch,
        best_epoch=recorder.best_epoch,
        best=recorder.best,
        reason="epochs" if trainer.current_epoch >= training.epochs else "patience",
    )


def make_trainer(
    training: TrainingConfig, optim: OptimConfig, folder: Path, callbacks: list[pl.Callback]
) -> pl.Trainer:
    """Lightning's trainer, with everything off that this package does itself."""
    world = training.devices * training.num_nodes
    accelerator = training.accelerator
    if accelerator == "auto":  # Lightning's own auto would take Apple's GPU, which has no float64
        accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    return pl.Trainer(
        accelerator=accelerator,
        devices=training.devices,
        num_nodes=training.num_nodes,
        strategy=DDPStrategy() if world > 1 else "auto",
        # Batch normalisation over the global batch; torch has none over CPU processes.
        sync_batchnorm=world > 1 and accelerator == "gpu",
        precision=PRECISION_NAMES[training.precision],
        max_epochs=training.epochs,
        gradient_clip_val=optim.gradient_clip,
        plugins=[SafeCheckpointIO()],
        logger=TensorBoardLogger(folder, name="tensorboard", version=""),
        callbacks=callbacks,
        default_root_dir=folder,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


@contextmanager
def processes_left() -> Iterator[None]:
    """Leaves the group of processes that is formed inside, however that ends.

    A process that ends as a member may be aborted by the threads of its group.
    """
    member = dist.is_available() and dist.is_initialized()
    try:
        yield
    finally:
        if not member and dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()


def is_first_process() -> bool:
    """Whether this process is the one that writes files; true where there is only one."""
    rank: int = getattr(rank_zero_only, "rank", 0)
    return rank == 0 and int(os.environ.get("NODE_RANK", "0")) == 0


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Holds back Lightning's announcements; its warnings stay, but for those listed here."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    with warnings_held_back(*NO_NEWS):
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
