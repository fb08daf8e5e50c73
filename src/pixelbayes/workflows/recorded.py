"""Training that keeps its record: a run directory says at every moment what is true of the run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pixelbayes.core.checkpoint import Metadata
from pixelbayes.data import ImageDataset, LabelledImages, describe, load_dataset
from pixelbayes.inference.classification import uniform_log_prior
from pixelbayes.training import RunStopped, TrainingConfig
from pixelbayes.workflows.configuration import DataConfig, RunError, TrainingRequest
from pixelbayes.workflows.provenance import now, provenance
from pixelbayes.workflows.runs import RunDirectory

if TYPE_CHECKING:
    from pixelbayes.training.tasks import TrainingTask

__all__ = ["MAY_CHANGE", "load_data", "train_recorded"]

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

Directory = TypeVar("Directory", bound="RunDirectory[Any]")


def train_recorded(
    kind: type[Directory],
    config: TrainingRequest,
    run_dir: Path,
    make_task: Callable[[ImageDataset], TrainingTask[Any]],
    *,
    resume: bool,
    progress: bool,
) -> Directory:
    """Trains what `make_task` returns and fills a run directory.

    Args:
        kind: Which kind of directory.
        config: What was asked for.
        run_dir: A new directory, or with `resume` that of the run to continue.
        make_task: From the images to the network and how it learns.
        resume: Continues a run that was stopped, failed or is to become longer.
        progress: Whether to show progress on stderr.

    Raises:
        RunError: If the directory does not fit, or the resumed run is complete already.
        DatasetError: If the data cannot be used.
        DivergedError: If the loss stopped being a number.
        RunStopped: If a signal or the time limit stopped it; `resume` continues.
    """
    from pixelbayes.training.engine import fit, is_first_process

    first = is_first_process()  # the other processes compute; this one also writes
    if resume:
        run = kind.open(run_dir)
        require_same_settings(run, config)
        require_unfinished(run, config.training)
    dataset = load_data(config.data, crop_margin=config.training.crop_margin)
    digest = data_digest(dataset)
    if resume and run.info.get("data_sha256", digest) != digest:
        raise RunError(
            f"the data are not those that {run_dir} was trained on: {config.data.data} has "
            "changed since; restore it, or train a new run"
        )
    task = make_task(dataset)
    if not resume:
        run = kind.create(run_dir, config) if first else kind(run_dir, config)
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
            task,
            dataset.split("train"),
            dataset.split("validation"),
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


def require_same_settings(run: RunDirectory[Any], config: TrainingRequest) -> None:
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


def require_unfinished(run: RunDirectory[Any], training: TrainingConfig) -> None:
    """Refuses to continue a run that has nothing left to do.

    Raises:
        RunError: If all epochs are done, or it ended for want of improvement.
    """
    info = run.info
    done, best = info.get("epochs", 0), info.get("best_epoch", 0)
    if info.get("status") != "finished":
        return
    if done >= training.epochs:
        raise RunError(
            f"{run.path} is finished: all {done} epochs are done; a larger --epochs continues it"
        )
    patience = training.patience
    if patience is not None and done - best >= patience:
        raise RunError(
            f"{run.path} is finished: validation {run.objective.words} has not improved in the "
            f"{done - best} epochs since epoch {best}; a --patience above {done - best} continues "
            "it"
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
    run: RunDirectory[Any],
    config: TrainingRequest,
    origin: dict[str, Any],
    digest: str,
    *,
    first: bool,
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
        kind=run.kind,
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


def progress_of(run: RunDirectory[Any]) -> dict[str, Any]:
    """Epochs done and the best of them, from metrics.csv."""
    columns = run.metrics()
    values = columns[run.objective.val]
    best = min(range(len(values)), key=lambda i: values[i] or 0.0, default=None)
    return {
        "epochs": len(values),
        "best_epoch": 0 if best is None else columns["epoch"][best],
        f"best_{run.objective.name}": None if best is None else values[best],
    }


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
