"""Stopping on request, between two steps, with everything saved.

Ctrl-C, SIGTERM (what schedulers and containers send) and a time limit all end in `RunStopped`.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch

from pixelbayes.training.errors import RunStopped
from pixelbayes.training.task import TrainingTask

__all__ = ["GracefulStop", "signals_restored"]

EVERY = 50  # steps between two looks at an accelerator, or between two agreements of processes
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class GracefulStop(pl.Callback):
    """Saves the state after the current step and raises `RunStopped`.

    A second Ctrl-C interrupts at once.  After the last step of an epoch the validation comes
    first, and the stop follows when the next epoch begins.

    Args:
        path: Where the state is saved.
        steps_per_epoch: Optimiser steps of one epoch.
        max_seconds: Time limit, counted from now; None: no limit.
        notify: Called, inside a signal handler, with a line for the user.
    """

    def __init__(
        self,
        path: Path,
        *,
        steps_per_epoch: int,
        max_seconds: float | None = None,
        notify: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.path = path
        self.steps_per_epoch = steps_per_epoch
        self.deadline = None if max_seconds is None else time.monotonic() + max_seconds
        self.notify = notify
        self.signalled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes over the signals, here because Lightning sets its own handlers just before."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._on_signal)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stops between two epochs."""
        self._stop_if_asked(trainer)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Stops inside an epoch; looks, now and then, for a loss that is no number."""
        step = trainer.global_step
        regular = step % EVERY == 0
        if step % self.steps_per_epoch == 0 or (trainer.world_size > 1 and not regular):
            return
        if regular:
            assert isinstance(pl_module, TrainingTask)
            pl_module.require_finite()
        self._stop_if_asked(trainer)

    def _stop_if_asked(self, trainer: pl.Trainer) -> None:
        late = self.deadline is not None and time.monotonic() >= self.deadline
        asked = (self.signalled, late)
        if trainer.world_size > 1:
            device = trainer.strategy.root_device
            votes = torch.tensor(asked, dtype=torch.int32, device=device)
            asked = tuple(trainer.strategy.reduce(votes, reduce_op="sum").bool().tolist())
        if not any(asked):
            return
        task = trainer.lightning_module
        assert isinstance(task, TrainingTask)
        task.require_finite()
        trainer.save_checkpoint(self.path)
        raise RunStopped("signal" if asked[0] else "max_time", trainer.global_step)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signalled = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.notify("stopping after this step; once more interrupts at once")


@contextmanager
def signals_restored() -> Iterator[None]:
    """Gives the signals back to whoever had them, and Ctrl-C its name.

    Lightning turns a KeyboardInterrupt into exit status 1; callers need to know which it was.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in SIGNALS} if in_main_thread else {}
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in handlers.items():
            if handler is not None:  # None: set outside of Python, and out of its reach
                signal.signal(number, handler)
