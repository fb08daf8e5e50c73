"""Where a model runs, as an option."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from pixelbayes.cli import terminal
from pixelbayes.cli.options import UsageError

__all__ = ["Accelerator", "Device", "accelerator_of", "resolve"]

Device = Literal["auto", "cpu", "cuda"]
Accelerator = Annotated[Literal["auto", "cpu", "gpu"], Parameter(show=False)]
"""The old option of trainings, which help no longer shows."""
ACCELERATORS = {"auto": "auto", "cpu": "cpu", "cuda": "gpu"}
"""What Lightning calls a device."""


def resolve(device: Device) -> str:
    """Turns auto into cuda or cpu.

    Raises:
        UsageError: If cuda was asked for and there is none.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch finds no CUDA GPU here; use --device cpu")
    return device


def accelerator_of(device: Device | None, accelerator: str | None) -> str | None:
    """The setting `accelerator` of a training; None where neither option was given.

    Args:
        device: As in every command.
        accelerator: What was given as --accelerator, the option's old name in a training.

    Raises:
        UsageError: If both were given and differ, or as for `resolve`.
    """
    if device is not None:
        resolve(device)
        if accelerator not in (None, ACCELERATORS[device]):
            raise UsageError(
                f"--device {device} and --accelerator {accelerator} contradict each other; "
                "give --device alone"
            )
    if accelerator is not None:
        now = {old: new for new, old in ACCELERATORS.items()}[accelerator]
        terminal.note(f"pixelbayes: --accelerator {accelerator} is now called --device {now}")
        return accelerator
    return None if device is None else ACCELERATORS[device]
