"""Ways in which training ends early."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["DivergedError", "RunStopped", "interrupted_by_signals"]


class DivergedError(RuntimeError):
    """The loss is no longer a finite number; the last good checkpoint is kept."""

    def __init__(self, step: int, lr: float, *more: str) -> None:
        ways = [f"a lower --lr (such as {lr / 4:.2g})", *more]
        super().__init__(
            f"training diverged: the loss is not finite after step {step} (learning rate {lr:g}). "
            f"Try {' or '.join(ways)}. The checkpoints of earlier epochs are kept."
        )
        self.step = step
        self.lr = lr
        self.more = more
        """Further options that this training did not have."""

    def __reduce__(self) -> tuple[type[DivergedError], tuple[int | float | str, ...]]:
        return type(self), (self.step, self.lr, *self.more)


class RunStopped(Exception):  # noqa: N818 (not an error: it was asked for)
    """Training was asked to stop; its state is saved and can be resumed.

    Attributes:
        reason: "signal" (Ctrl-C or a request of the system) or "max_time".
        step: Optimiser steps done.
    """

    def __init__(self, reason: str, step: int) -> None:
        what = {"signal": "stopped by a signal", "max_time": "--max-time is over"}[reason]
        super().__init__(f"{what} after step {step}; the state is saved, --resume continues it")
        self.reason = reason
        self.step = step

    def __reduce__(self) -> tuple[type[RunStopped], tuple[str, int]]:
        return type(self), (self.reason, self.step)


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Where the state of a training is kept by nobody, a signal ends it as Ctrl-C ends others.

    Raises:
        KeyboardInterrupt: In place of `RunStopped` by a signal.
    """
    try:
        yield
    except RunStopped as stopped:
        if stopped.reason != "signal":
            raise
        raise KeyboardInterrupt from None
