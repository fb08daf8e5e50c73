"""Which model a command uses: the one that is named, or else the one that is shipped."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.device import Device, resolve
from pixelbayes.cli.options import UsageError

if TYPE_CHECKING:
    from pixelbayes.models import Model

__all__ = ["leading_model", "load_model", "model_and_image", "require_images"]

NAMED = 3  # models that a message offers


def load_model(
    model: str | None,
    device: Device,
    *,
    density: bool = False,
    verbose: bool = False,
    tell: bool = True,
) -> Model:
    """Loads the model that was named; a shipped one, with a note on stderr, if none was.

    Args:
        model: Run directory, checkpoint folder or name of a shipped model.
        device: Where it is to run.
        density: Whether the shipped model is the one for likelihoods, not the classifier.
        verbose: Whether to note which one it is and where it runs.
        tell: Whether to note anything.

    Raises:
        UsageError: If none was named and none is shipped.
        CheckpointError: If the model cannot be used.
    """
    from pixelbayes.models.hub import DEFAULT, DENSITY, find_model, load, shipped

    default = DENSITY if density else DEFAULT
    if model is None:
        if default not in shipped():
            others = ", ".join(shipped())
            there = f"shipped are: {others}" if others else "no trained model is shipped"
            raise UsageError(
                f"the default model, {default}, is not in this installation ({there}); name one "
                "with --model MODEL: 'pixelbayes demo' and 'pixelbayes train' make runs"
            )
        if tell:
            terminal.note(
                f"model: {default}, as shipped ('pixelbayes info {default}'; or use --model)"
            )
    named, running_on = default if model is None else model, resolve(device)
    if verbose and tell:
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


def model_and_image(model: str | None, given: Sequence[str], verb: str) -> tuple[str | None, Path]:
    """The model and the one image of a command, whose first argument may be the model.

    Args:
        model: Value of --model.
        given: Arguments of the command.
        verb: The command.

    Raises:
        UsageError: As `require_images`, or if there are several images, or it is standard input.
    """
    named, files = leading_model(model, given)
    require_images(files, named, verb)
    if len(files) > 1:
        raise UsageError(f"{verb} takes one image, got {', '.join(files)}")
    if files == ["-"]:
        raise UsageError(
            f"{verb} takes an image file; standard input is for predict, score and compress"
        )
    return named, Path(files[0])


def require_images(given: Sequence[str], model: str | None, verb: str) -> None:
    """Makes sure that the arguments after a model may be images.

    Where no model was named the first may have been meant for one; the shipped model is no answer
    to a mistyped name.

    Args:
        given: Arguments of the command after the model.
        model: The one that was named; None: none was.
        verb: The command.

    Raises:
        UsageError: If there are none, or the first one is no image and seems to mean a model.
    """
    from pixelbayes.models.hub import is_model, shipped

    if not given:
        after = "" if model is None else f" after the model {model}"
        raise UsageError(
            f"no images: give files, folders or CSV tables{after}; see pixelbayes {verb} --help"
        )
    first = Path(given[0])
    if model is not None or first == Path("-"):
        return
    if not first.exists():
        beside = first.parent.iterdir() if first.parent.is_dir() else ()
        models = [*shipped(), *(str(path) for path in beside if is_model(path))]
        close = difflib.get_close_matches(given[0], models, n=NAMED)
        meant = f"; did you mean the model {' or '.join(close)}?" if close else ""
        raise UsageError(
            f"{given[0]} does not exist; pass a model (a run directory, a checkpoint folder or "
            f"{', '.join(shipped()) or 'none is shipped'}), or images: files, folders or CSV "
            f"tables (relative paths start at {Path.cwd()}){meant}"
        )
    if first.is_dir():
        runs = sorted(str(path) for path in first.iterdir() if path.is_dir() and is_model(path))
        if runs:
            more = ", ..." if len(runs) > NAMED else ""
            raise UsageError(
                f"{first} holds models and not images; name one of them: "
                f"{', '.join(runs[:NAMED])}{more}"
            )
