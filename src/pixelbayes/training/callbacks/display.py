"""How a run looks to the person who waits for it: on stderr, never on stdout."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pixelbayes.training.metrics import Criterion, Row
from pixelbayes.training.task import TrainingTask

__all__ = ["RunDisplay"]

REFRESH = 0.5  # seconds between two looks at the loss, which waits for the device
SPEED_WINDOW = 600.0  # seconds that the time left is estimated from; validation is part of them


class RunDisplay(pl.Callback):
    """A progress bar for the whole run on a terminal, a line per epoch in a log file.

    Use it as a context manager around the run; the terminal is restored at the end.

    Args:
        criterion: What is shown of the loss.
        epochs: Epochs of the whole run.
        steps_per_epoch: Optimiser steps of one epoch.
        enabled: Whether anything is shown.
    """

    def __init__(
        self, criterion: Criterion, *, epochs: int, steps_per_epoch: int, enabled: bool
    ) -> None:
        self.criterion = criterion
        self.epochs = epochs
        self.total = epochs * steps_per_epoch
        self.enabled = enabled
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress: Progress | None = None
        self._bar = TaskID(0)
        self._next_look = 0.0

    def __enter__(self) -> RunDisplay:
        if self.enabled and self.console.is_terminal:
            self._progress = Progress(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(),
                TextColumn(f"{{task.fields[loss]}} {self.criterion.unit}"),
                TimeRemainingColumn(),
                console=self.console,
                speed_estimate_period=SPEED_WINDOW,
                transient=True,
            )
            self._bar = self._progress.add_task(
                "", total=self.total, epoch=f"0/{self.epochs}", loss="-", start=False
            )
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def say(self, line: str) -> None:
        """Shows a line for the user."""
        if self.enabled:
            self.console.print(line, markup=False)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock at the step that a resumed run has reached."""
        if self._progress is not None:
            self._progress.start_task(self._bar)
            self._progress.update(self._bar, completed=trainer.global_step)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Moves the bar."""
        if self._progress is None or time.monotonic() < self._next_look:
            return
        assert isinstance(pl_module, TrainingTask)
        self._progress.update(
            self._bar,
            completed=trainer.global_step,
            epoch=f"{trainer.current_epoch + 1}/{self.epochs}",
            loss=f"{pl_module.so_far():.3f}",
        )
        self._next_look = time.monotonic() + REFRESH

    def show(self, row: Row) -> None:
        """One line per epoch."""
        parts = [f"epoch {row['epoch']}/{self.epochs}"]
        for name, column in (("train", self.criterion.train), ("val", self.criterion.val)):
            parts.append(f"{name} {row[column]:.3f} {self.criterion.unit}")
        if self.criterion.by is not None and (loss := row[self.criterion.decisive]) is not None:
            parts.append(f"val {self.criterion.by} {loss:.3f}")
        for name in ("train", "val"):
            if (share := row[f"{name}/accuracy"]) is not None:
                parts.append(f"{name} accuracy {100 * share:.1f} %")
        parts.append(f"{row['seconds']:.0f} s")
        self.say("  ".join(parts))
