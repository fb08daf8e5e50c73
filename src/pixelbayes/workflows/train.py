"""Training a model from a configuration: data, network, first weights, then the engine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixelbayes.core import PixelCNN, PixelCNNConfig
from pixelbayes.core.checkpoint import Metadata
from pixelbayes.core.initialisation import initialise_from_data
from pixelbayes.data import Augmentation, ImageDataset, LabelledImages, describe, load_dataset
from pixelbayes.inference.classification import uniform_log_prior
from pixelbayes.training import RunStopped
from pixelbayes.training.seeds import derived_seed
from pixelbayes.workflows.provenance import now, provenance
from pixelbayes.workflows.runs import DataConfig, Run, RunConfig, RunError

__all__ = ["build_model", "load_data", "network_config", "train"]

MAY_CHANGE = (
    "training.epochs",
    "training.max_time",
    "training.patience",
    "training.accelerator",
    "training.devices",
    "training.num_nodes",
)
"""Settings that another part of a run may have; they change how long and where, not what."""


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
    from pixelbayes.training.engine import fit, is_first_process

    run_dir = Path(run_dir)
    first = is_first_process()  # the other processes compute; this one also writes
    if resume:
        run = Run.open(run_dir)
        require_same_settings(run, config)
        require_unfinished(run, config)
    dataset = load_data(config.data, crop_margin=config.training.crop_margin)
    digest = data_digest(dataset)
    if resume and run.info.get("data_sha256", digest) != digest:
        raise RunError(
            f"the data are not those that {run_dir} was trained on: {config.data.data} has "
            "changed since; restore it, or train a new run"
        )
    model = build_model(config, dataset)
    if not resume:
        run = Run.create(run_dir, config) if first else Run(run_dir, config)
    origin = {
        **provenance(),
        "config": asdict(config),
        "data": describe(dataset),
        "seed": config.seed,
    }
    metadata = Metadata(
        classes=dataset.classes,
        resize=asdict(dataset.resize),
        log_prior=tuple(uniform_log_prior(len(dataset.classes)).tolist()),
        provenance=origin,
    )
    with _recorded(run, config, origin, digest, first=first) as ending:
        outcome = fit(
            model,
            dataset.split("train"),
            dataset.split("validation"),
            optim=config.optim,
            training=config.training,
            seed=config.seed,
            folder=run_dir,
            metadata=metadata,
            resume=resume,
            progress=progress,
        )
        ending["reason"] = outcome.reason
    return run


def load_data(config: DataConfig, *, crop_margin: int = 0) -> ImageDataset:
    """Loads the images of a run.

    Args:
        config: Which ones.
        crop_margin: Pixels that training images have beyond the model's size.

    Raises:
        DatasetError: If they cannot be used.
    """
    return load_dataset(
        config.data,
        data_dir=config.data_dir,
        image_size=config.image_size,
        channels=config.channels,
        filter=config.filter,
        geometry=config.geometry,
        allow_upscaling=config.allow_upscaling,
        crop_margin=crop_margin,
        fractions=None,
        seed=config.split_seed,
        skip_bad=config.skip_bad_files,
        limit=config.limit,
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


def build_model(config: RunConfig, dataset: ImageDataset) -> PixelCNN:
    """The network with its first weights, a function of the seed and the data.

    Raises:
        ValueError: If a setting has a value that is not accepted.
    """
    described = network_config(config, dataset)
    with torch.random.fork_rng(devices=[]):  # layers and dropout draw from the global generator
        torch.manual_seed(derived_seed("weights", config.seed))
        model = PixelCNN(described)
        if config.training.initialisation == "data":
            initialise_from_data(model, *_first_images(config, dataset))
    return model


def _first_images(config: RunConfig, dataset: ImageDataset) -> tuple[Tensor, Tensor]:
    """Levels and labels of some training images, chosen by the seed."""
    images = dataset.split("train")
    generator = torch.Generator().manual_seed(derived_seed("initialisation", config.seed))
    chosen = torch.randperm(len(images), generator=generator)[: config.training.init_images]
    augmentation = Augmentation(crop_margin=config.training.crop_margin)
    return augmentation.centre(images.levels[chosen]), images.labels[chosen]


def require_same_settings(run: Run, config: RunConfig) -> None:
    """Refuses to continue a run under settings that would make it another one.

    Raises:
        RunError: If any differ, with a list of them.
    """
    before, after = _flat(asdict(run.config)), _flat(asdict(config))
    different = [
        f"{name}: {before[name]!r} there, {after[name]!r} now"
        for name in before
        if before[name] != after[name] and name not in MAY_CHANGE
    ]
    if different:
        raise RunError(
            f"{run.path} was trained with other settings; leave them out to continue it, or train "
            f"a new run: {'; '.join(different)}"
        )


def require_unfinished(run: Run, config: RunConfig) -> None:
    """Refuses to continue a run that has nothing left to do.

    Raises:
        RunError: If all epochs are done, or it ended for want of improvement.
    """
    info = run.info
    done, best = info.get("epochs", 0), info.get("best_epoch", 0)
    if info.get("status") != "finished":
        return
    if done >= config.training.epochs:
        raise RunError(
            f"{run.path} is finished: all {done} epochs are done; a larger --epochs continues it"
        )
    patience = config.training.patience
    if patience is not None and done - best >= patience:
        raise RunError(
            f"{run.path} is finished: validation bits/dim has not improved in the {done - best} "
            f"epochs since epoch {best}; a --patience above {done - best} continues it"
        )


def data_digest(dataset: ImageDataset) -> str:
    """SHA-256 of the training and validation images and their labels, as hexadecimal digits."""
    digest = hashlib.sha256()
    for name in ("train", "validation"):
        images: LabelledImages = dataset.split(name)
        for tensor in (images.levels, images.labels):
            digest.update(f"{name} {tuple(tensor.shape)} ".encode())
            digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


@contextmanager
def _recorded(
    run: Run, config: RunConfig, origin: dict[str, Any], digest: str, *, first: bool
) -> Iterator[dict[str, Any]]:
    """Keeps run.json true: running now, and afterwards how it ended.  First process only."""
    ending: dict[str, Any] = {"reason": None}
    if not first:
        try:
            yield ending
        except RunStopped:
            # The first process reports; a status other than 0 would make Lightning kill it.
            raise SystemExit(0) from None
        return
    run.write_config(config)
    run.update_info(
        status="running",
        reason=None,
        seed=config.seed,
        classes=origin["data"]["classes"],
        started=run.info.get("started", origin["date"]),
        resumed=origin["date"] if "started" in run.info else None,
        ended=None,
        data_sha256=digest,
        **{name: origin[name] for name in ("versions", "commit", "command", "machine", "data")},
    )
    status = "failed"
    try:
        yield ending
        status = "finished"
    except RunStopped as stopped:
        status, ending["reason"] = "stopped", stopped.reason
        raise
    except KeyboardInterrupt:
        status, ending["reason"] = "stopped", "interrupted"
        raise
    except BaseException as error:
        ending["reason"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        run.update_info(status=status, ended=now(), **ending, **progress_of(run))


def progress_of(run: Run) -> dict[str, Any]:
    """Epochs done and the best of them, from metrics.csv."""
    columns = run.metrics()
    bits = columns["val/bits_per_dim"]
    best = min(range(len(bits)), key=lambda i: bits[i] or 0.0, default=None)
    return {
        "epochs": len(bits),
        "best_epoch": 0 if best is None else columns["epoch"][best],
        "best_bits_per_dim": None if best is None else bits[best],
    }


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
