"""Whether a run that was stopped may go on, and as what it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pixelbayes.io import plain
from pixelbayes.models.storage import DESCRIPTION, VERSION, read_description
from pixelbayes.training import TrainingConfig
from pixelbayes.workflows.config import DataConfig, RunConfig, RunError
from pixelbayes.workflows.runs import Run

__all__ = [
    "as_begun",
    "require_resumable",
    "require_same_schedule",
    "require_same_settings",
    "require_unfinished",
]

MAY_CHANGE = (
    "data.data_dir",  # the digest of the data says whether they are the same
    "training.checkpoint_every",
    "training.epochs",
    "training.max_time",
    "training.patience",
    "training.accelerator",
    "training.devices",
    "training.num_nodes",
)
"""Settings that another part of a run may have; they change how long and where, not what."""

NEW_SCHEDULE = "a new run with --init-from {}"
"""What trains the weights of a run further where its schedule has ended."""

FIRST_RESUMABLE = 2
"""Checkpoint version from which on a training's state means what it means today: in version 1
early and joint fusion read e_y undivided."""


def require_resumable(run: Run) -> None:
    """Refuses to continue a run whose state means something else in this version.

    Raises:
        RunError: If its last checkpoint is of such an older version.
    """
    if not (run.last / DESCRIPTION).is_file():
        return
    version = read_description(run.last)["version"]
    if run.config.kind.is_density and version < FIRST_RESUMABLE:
        raise RunError(
            f"{run.path} was begun by an older pixelbayes (checkpoint version {version}, now "
            f"{VERSION}): its checkpoints can be used, its training cannot be continued. Train a "
            "new run."
        )


def require_same_settings(
    run: Run,
    config: RunConfig,
    advice: str = "leave them out to continue it, or train a new run",
) -> None:
    """Refuses to continue a run under settings that would make it another one.

    Args:
        run: The run.
        config: The settings asked for.
        advice: What to do about others, for the error message.

    Raises:
        RunError: If any differ, with a list of them.
    """
    before, after = _flat(plain(run.config)), _flat(plain(config))
    different = [
        f"{name}: {before.get(name)!r} there, {after.get(name)!r} now"
        for name in {**before, **after}
        if before.get(name) != after.get(name) and name not in MAY_CHANGE
    ]
    if different:
        raise RunError(
            f"{run.path} was trained with other settings; {advice}: {'; '.join(different)}"
        )


def require_unfinished(run: Run, training: TrainingConfig) -> None:
    """Refuses to continue a run that has nothing left to do.

    Raises:
        RunError: If all epochs are done, or more than are asked for, or it ended for want of
            improvement.
    """
    info = run.info
    done, best = info.get("epochs", 0), info.get("best_epoch", 0)
    if done > training.epochs:
        raise RunError(
            f"{run.path} has trained {done} epochs, more than the {training.epochs} asked for; "
            "leave out --epochs, or ask for more"
        )
    if info.get("status") != "finished":
        return
    if done >= training.epochs:
        longer = NEW_SCHEDULE.format(run.path) if _is_scheduled(run) else "a larger --epochs"
        raise RunError(f"{run.path} is finished: all {done} epochs are done; {longer} continues it")
    patience = training.patience
    if patience is not None and done - best >= patience:
        raise RunError(
            f"{run.path} is finished: validation {run.criterion.by or run.criterion.words} has not "
            f"improved in the {done - best} epochs since epoch {best}; a --patience above "
            f"{done - best} continues it"
        )


def require_same_schedule(run: Run, training: TrainingConfig) -> None:
    """Refuses another length where the length decides what was done so far.

    Raises:
        RunError: If the learning rate or the strength of the objective would jump.
    """
    before, wanted = run.config.training.epochs, training.epochs
    if run.metrics()["epoch"] and before != wanted and _is_scheduled(run):
        raise RunError(
            f"{run.path} is on a schedule that ends at epoch {before}, but {wanted} epochs are "
            f"asked for; leave out --epochs: afterwards {NEW_SCHEDULE.format(run.path)} goes on"
        )


def _is_scheduled(run: Run) -> bool:
    """Whether a setting changes over the whole length of the training."""
    training = run.config.training
    rising = training.objective == "hybrid" and any(training.strength_rise)
    return run.config.optim.schedule == "cosine" or rising


def as_begun(info: Mapping[str, Any], data: DataConfig) -> DataConfig:
    """The data at the size that a run began with, where it was not asked for but decided."""
    begun = info.get("data", {})
    if data.image_size is None and "image_size" in begun:
        data = replace(data, image_size=tuple(begun["image_size"]))
    if data.channels is None and "channels" in begun:
        data = replace(data, channels=begun["channels"])
    return data


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
