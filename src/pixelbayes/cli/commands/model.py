"""Which model a command uses: the one that is named, or else the one that is shipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.device import Device, resolve
from pixelbayes.cli.options import UsageError

if TYPE_CHECKING:
    from pixelbayes.models import Model

__all__ = ["leading_model", "load_model"]


def load_model(model: str | None, device: Device, *, verbose: bool = False) -> Model:
    """Loads the model that was named; the shipped one, with a note on stderr, if none was.

    Args:
        model: Run directory, checkpoint folder or name of a shipped model.
        device: Where it is to run.
        verbose: Whether to note which one it is and where it runs.

    Raises:
        UsageError: If none was named and none is shipped.
        CheckpointError: If the model cannot be used.
    """
    from pixelbayes.models.hub import DEFAULT, find_model, load, shipped

    if model is None:
        if DEFAULT not in shipped():
            others = ", ".join(shipped())
            there = f"shipped are: {others}" if others else "no trained model is shipped"
            raise UsageError(
                f"the default model, {DEFAULT}, is not in this installation ({there}); name one "
                "with --model MODEL: 'pixelbayes demo' and 'pixelbayes train' make runs"
            )
        terminal.note(f"model: {DEFAULT}, as shipped ('pixelbayes info {DEFAULT}'; or use --model)")
    named, running_on = DEFAULT if model is None else model, resolve(device)
    if verbose:
        terminal.note(f"model: {find_model(named)}, on {running_on}")
    return load(named, running_on)


def leading_model(model: str | None, rest: Sequence[str]) -> tuple[str | None, list[str]]:
    """Takes the first argument for the model, where that can only be one.

    Args:
        model: Value of --model; if it was given, no argument is taken.
        rest: Arguments of the command.

    Returns:
        The model and the arguments that are left.
    """
    from pixelbayes.models.hub import is_model

    if model is None and rest and is_model(rest[0]):
        return rest[0], list(rest[1:])
    return model, list(rest)
