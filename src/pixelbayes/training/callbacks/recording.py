"""What a run leaves on disk after each epoch, in an order that a crash cannot spoil.

metrics.csv is written first, then the checkpoints, and the resumable state last.  A crash in
between leaves the state of the epoch before; resuming repeats the epoch, bit for bit, and
overwrites them with the same content.  So metrics.csv never has fewer rows than a checkpoint or
the state has epochs, or it was damaged.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.plugins.io import TorchCheckpointIO

from pixelbayes.io import write_whole
from pixelbayes.models import CheckpointError, Metadata
from pixelbayes.training.metrics import Criterion, Row, columns, read_metrics, write_metrics
from pixelbayes.training.task import TrainingTask

__all__ = ["BEST", "EPOCHS", "LAST", "METRICS", "RESUME", "RunRecorder", "SafeCheckpointIO"]

BEST, LAST, METRICS, RESUME = "best", "last", "metrics.csv", "resume.ckpt"
EPOCHS = "epochs"  # holds 0005/, 0010/, ...


class RunRecorder(Checkpoint):
    """Writes a run directory, and ends the run when it no longer improves.

    A `Checkpoint` to Lightning, which runs those after everything else at the end of an epoch.

    Args:
        folder: The run directory.
        criterion: What decides which epoch is best.
        metadata: Goes into all checkpoints, with the epoch and its results added.
        images: Training images of one epoch.
        patience: Epochs without a lower validation loss before the run ends; None: never.
        checkpoint_every: Epochs between two checkpoints that stay; None: none does.
        on_row: Called with each new row of metrics.csv, on the first process.

    Attributes:
        best: Lowest value of what decides, on validation images, so far.
        best_epoch: Where it was, counted from 1; 0 before the first.
    """

    def __init__(
        self,
        folder: Path,
        criterion: Criterion,
        metadata: Metadata,
        *,
        images: int,
        patience: int | None,
        checkpoint_every: int | None = None,
        on_row: Callable[[Row], None] = lambda _: None,
    ) -> None:
        self.folder = folder
        self.criterion = criterion
        self.metadata = metadata
        self.images = images
        self.patience = patience
        self.checkpoint_every = checkpoint_every
        self.on_row = on_row
        self.decisive = criterion.decisive
        self.best = math.inf
        self.best_epoch = 0
        self._rows: list[Row] = []
        self._seconds_before = 0.0  # of this epoch, in the process that was stopped
        self._began = self._trained = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """What the saved state holds of this."""
        seconds = self._seconds_before + time.monotonic() - self._began
        best = {"best": self.best, "best_epoch": self.best_epoch, "by": self.decisive}
        return {**best, "seconds": seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes back what `state_dict` returned."""
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]
        self.decisive = state_dict.get("by", self.criterion.val)  # of versions that knew no other
        self._seconds_before = state_dict["seconds"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes up the rows of the epochs that the resumed state has behind it.

        Raises:
            CheckpointError: If they are not there, so that this run would lose them for good.
        """
        self._began = time.monotonic()
        rows = read_metrics(self.folder / METRICS)
        self._rows = rows[: trainer.current_epoch]
        if len(self._rows) < trainer.current_epoch:
            raise CheckpointError(
                f"{self.folder / METRICS} is damaged: it has {len(self._rows)} rows, but "
                f"{self.folder / RESUME} has {trainer.current_epoch} epochs behind it; restore it "
                "from a copy"
            )

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Notes when the epoch's training was done."""
        self._trained = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes everything, and decides whether to go on."""
        assert isinstance(pl_module, TrainingTask)
        row = self._row(trainer, pl_module)
        if self.decisive != self.criterion.decisive:  # begun by a version that did not measure it
            row[self.criterion.decisive] = None
        self._rows.append(row)
        value = row[self.decisive]
        measured = math.inf if value is None else value
        improved = measured < self.best
        if improved:
            self.best, self.best_epoch = measured, trainer.current_epoch + 1
        if trainer.is_global_zero:
            self._write(trainer, pl_module, row, improved=improved)
        if self.patience is not None and value is not None:
            trainer.should_stop = trainer.current_epoch + 1 - self.best_epoch >= self.patience
        self._seconds_before, self._began = 0.0, time.monotonic()
        trainer.save_checkpoint(self.folder / RESUME)  # all processes, the first one writes

    def _row(self, trainer: pl.Trainer, task: TrainingTask) -> Row:
        training = self._seconds_before + self._trained - self._began
        return {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            **task.metrics,
            "images_per_s": self.images / max(training, 1e-9),
            "seconds": self._seconds_before + time.monotonic() - self._began,
        }

    def _write(self, trainer: pl.Trainer, task: TrainingTask, row: Row, *, improved: bool) -> None:
        results = {
            "epoch": row["epoch"],
            "step": row["step"],
            f"validation_{self.criterion.name}": row[self.criterion.val],
        }
        metadata = replace(self.metadata, provenance={**self.metadata.provenance, **results})
        names = [LAST, BEST] if improved else [LAST]
        epoch = trainer.current_epoch + 1
        if self.checkpoint_every is not None and epoch % self.checkpoint_every == 0:
            names.append(f"{EPOCHS}/{epoch:04}")
        write_metrics(self.folder / METRICS, self._rows, columns(self.criterion))
        for name in names:
            task.save(self.folder / name, metadata)
        measured = {name: value for name, value in row.items() if value is not None}
        for logger in trainer.loggers:
            logger.log_metrics(measured, step=trainer.global_step)
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.flush()
        self.on_row(row)


class SafeCheckpointIO(TorchCheckpointIO):
    """Writes whole files or none, and reads nothing that could run code."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Writes beside the file and replaces it."""
        # By way of memory: an error of torch's own writer says neither the file nor the cause.
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_whole(Path(path), buffer.getvalue())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Reads tensors and plain values only.

        Raises:
            CheckpointError: If the file is damaged or holds anything else.
        """
        try:
            loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, UnpicklingError) as error:
            raise CheckpointError(
                f"cannot continue from {path}: it is damaged or was not written by a training "
                f"run ({type(error).__name__}). The checkpoints beside it still work; train a new "
                "run to go on."
            ) from error
        return loaded
