"""The demo: train on 8 x 8 digits, evaluate, write a report, in a few minutes on a laptop."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from pixelbayes.errors import PixelBayesError
from pixelbayes.report import Report
from pixelbayes.training import OptimConfig, RunStopped, TrainingConfig
from pixelbayes.workflows.evaluate import evaluate_saved
from pixelbayes.workflows.runs import DataConfig, NetworkConfig, Run, RunConfig

__all__ = ["DEMO", "DEMO_DIR", "DemoError", "demo"]

DEMO_DIR = Path("runs/demo")

DEMO = RunConfig(
    data=DataConfig(data="digits"),
    network=NetworkConfig(
        features=24,
        blocks_per_stage=1,
        mixtures=5,
        dropout=0.2,
        fusion="gated",
    ),
    optim=OptimConfig(lr=0.003, schedule="cosine"),
    training=TrainingConfig(
        batch_size=32,
        epochs=16,
        patience=None,
        max_time="150s",  # a safety for slow machines: what is trained by then is evaluated
        accuracy_images=0,
        accuracy_every=4,  # one measurement costs as much as half an epoch of training
    ),
)
"""What the demo trains: the digits of scikit-learn, a network that two slow cores can train."""


SAMPLES_PER_CLASS = 8
MARK = ".pixelbayes-demo"
"""File that marks a directory as made by the demo: only such a one is ever replaced."""


class DemoError(PixelBayesError):
    """The demo's directory holds something else."""


def demo(
    folder: str | Path = DEMO_DIR,
    *,
    config: RunConfig = DEMO,
    show_training: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Trains and evaluates a small model, and writes the report into `folder`.

    A new demo is made beside an earlier one and takes its place when it is complete, so an
    interrupted repetition loses nothing.

    Args:
        folder: The run directory; an earlier demo in it is replaced.
        config: What to train.
        show_training: Shows the progress of the training on stderr.
        progress: Called with what is being evaluated and the numbers done and in all.

    Raises:
        DemoError: If the folder holds something that the demo did not make, or the time was not
            enough for one epoch.
    """
    from pixelbayes.workflows.train import train

    folder = Path(folder).absolute()
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    for place in (folder, unfinished):
        _check_replaceable(place)
    _remove(unfinished)
    try:
        train(config, unfinished, progress=show_training)
    except RunStopped as stopped:
        if stopped.reason != "max_time":
            raise
    finally:  # also where it was interrupted: the next demo may start over
        if unfinished.is_dir():
            (unfinished / MARK).touch()
    if not Run.open(unfinished).best.is_dir():
        raise DemoError(
            f"no epoch was finished within {config.training.max_time}: this machine is very slow "
            "or busy with other work; try again when it is idle"
        )
    report = evaluate_saved(
        unfinished,
        samples_per_class=SAMPLES_PER_CLASS,
        title="The pixelbayes demo: handwritten digits",
        progress=progress,
    )
    _remove(folder)
    unfinished.rename(folder)
    return report


def _check_replaceable(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise DemoError(f"{folder} is not a folder of its own; remove it or give another --output")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise DemoError(
            f"{folder} holds files that the demo did not make; move them or give another --output"
        )


def _remove(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
