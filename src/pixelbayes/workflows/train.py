"""Training a model from a configuration: data, network, first weights, then the engine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pixelbayes.core import PixelCNN, PixelCNNConfig
from pixelbayes.core.checkpoint import KIND, read_version
from pixelbayes.core.initialisation import initialise_from_data
from pixelbayes.core.storage import DESCRIPTION
from pixelbayes.data import Augmentation, ImageDataset
from pixelbayes.inference.pretrained import load
from pixelbayes.training.seeds import derived_seed
from pixelbayes.training.warm_start import start_from
from pixelbayes.workflows.configuration import RunError
from pixelbayes.workflows.recorded import load_data, train_recorded
from pixelbayes.workflows.runs import Run, RunConfig

if TYPE_CHECKING:
    from pixelbayes.training.tasks import PixelCNNTask

__all__ = ["build_model", "load_data", "network_config", "train"]


def train(config: RunConfig, run_dir: Path, *, resume: bool = False, progress: bool = True) -> Run:
    """Trains a model and fills a run directory.

    On one processor a run that was stopped and resumed ends with the same weights, bit for bit,
    as one that was not.

    Args:
        config: What to train; for a resumed run, that run's configuration, of which only length
            and devices may differ.
        run_dir: A new directory, or with `resume` that of the run to continue.
        resume: Continues a run that was stopped, failed or is to become longer.
        progress: Whether to show progress on stderr.

    Raises:
        RunError: If the directory does not fit, or the resumed run is complete already.
        DatasetError: If the data cannot be used.
        DivergedError: If the loss stopped being a number.
        RunStopped: If a signal or the time limit stopped it; `resume` continues.
    """

    def task(dataset: ImageDataset) -> PixelCNNTask:
        from pixelbayes.training.tasks import PixelCNNTask

        return PixelCNNTask(
            build_model(config, dataset, resume=resume),
            config.optim,
            config.training,
            images=len(dataset.split("train")),
            seed=config.seed,
        )

    if resume:
        _require_current_version(Run.open(Path(run_dir)))
    return train_recorded(Run, config, Path(run_dir), task, resume=resume, progress=progress)


def _require_current_version(run: Run) -> None:
    """Refuses to continue a run whose state means something else in this version.

    Raises:
        RunError: If its last checkpoint is of an older version.
    """
    if (run.last / DESCRIPTION).is_file() and (version := read_version(run.last)) < KIND.version:
        raise RunError(
            f"{run.path} was begun by an older pixelbayes (checkpoint version {version}, now "
            f"{KIND.version}): its checkpoints can be used, its training cannot be continued. "
            "Train a new run."
        )


def network_config(config: RunConfig, dataset: ImageDataset) -> PixelCNNConfig:
    """The network for these data.

    Raises:
        ValueError: If a setting has a value that is not accepted.
    """
    return PixelCNNConfig(
        classes=len(dataset.classes),
        image_size=dataset.image_size,
        channels=dataset.channels,
        **asdict(config.network),
    )


def build_model(config: RunConfig, dataset: ImageDataset, *, resume: bool = False) -> PixelCNN:
    """The network with its first weights, a function of the seed, the data and `init_from`.

    Args:
        config: What was asked for.
        dataset: Its images.
        resume: Whether a saved state replaces the weights, so that none are read.

    Raises:
        ValueError: If a setting has a value that is not accepted.
        CheckpointError: If there is no model to start from.
        RunError: If the model to start from is of another shape.
    """
    described = network_config(config, dataset)
    with torch.random.fork_rng(devices=[]):  # layers and dropout draw from the global generator
        torch.manual_seed(derived_seed("weights", config.seed))
        model = PixelCNN(described)
        if config.training.init_from is None and config.training.initialisation == "data":
            initialise_from_data(model, *_first_images(config, dataset))
    if config.training.init_from is not None and not resume:
        source = load(config.training.init_from)
        try:
            start_from(model, dataset.classes, source.model, source.classes)
        except ValueError as error:
            raise RunError(f"--init-from {config.training.init_from}: {error}") from error
    return model


def _first_images(config: RunConfig, dataset: ImageDataset) -> tuple[Tensor, Tensor]:
    """Levels and labels of some training images, chosen by the seed."""
    images = dataset.split("train")
    generator = torch.Generator().manual_seed(derived_seed("initialisation", config.seed))
    chosen = torch.randperm(len(images), generator=generator)[: config.training.init_images]
    augmentation = Augmentation(crop_margin=config.training.crop_margin)
    return augmentation.centre(images.levels[chosen]), images.labels[chosen]
