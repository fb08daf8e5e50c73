"""Training a model of any kind from a configuration, into a run directory that keeps its record."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pixelbayes.data import (
    Augmentation,
    ImageDataset,
    LabelledImages,
    SplitRecord,
    data_remarks,
    describe,
)
from pixelbayes.data.errors import enumerate_offenders
from pixelbayes.errors import PixelBayesError, naming_extras
from pixelbayes.inference.classification import uniform_log_prior
from pixelbayes.io import plain
from pixelbayes.models import Metadata
from pixelbayes.models.hub import load
from pixelbayes.switches import training_alone, undisturbed
from pixelbayes.training import RunStopped, TrainingConfig
from pixelbayes.training.metrics import best_epoch
from pixelbayes.training.seeds import derived_seed
from pixelbayes.workflows.config import RunConfig, RunError
from pixelbayes.workflows.evaluation_data import remarks_on_start, seen_before
from pixelbayes.workflows.loading import data_digest, load_data
from pixelbayes.workflows.provenance import now, provenance
from pixelbayes.workflows.resuming import (
    as_begun,
    require_resumable,
    require_same_schedule,
    require_same_settings,
    require_unfinished,
)
from pixelbayes.workflows.runs import BEFORE_TRAINING, Run, locked, require_free_for_run
from pixelbayes.workflows.teaching import soft_labels, teacher_digest
from pixelbayes.workflows.unused import unused_settings

__all__ = ["build_network", "first_network", "train"]


@undisturbed()
@training_alone()
@naming_extras()
def train(
    config: RunConfig,
    run_dir: str | Path,
    *,
    resume: bool = False,
    progress: bool = True,
    record: SplitRecord | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Run:
    """Trains a model and fills a run directory.

    On one processor a run that was stopped and resumed ends with the same weights, bit for bit,
    as one that was not.

    Args:
        config: What to train; for a resumed run, that run's configuration, of which only length
            and devices may differ.
        run_dir: A new directory, or with `resume` that of the run to continue.
        resume: Continues a run that was stopped, failed or is to become longer, on the images,
            and at the size, that it recorded.
        progress: Whether to show progress on stderr.
        record: Splits that a new run keeps to, such as those of another run; None: made anew.
        note: Called with a line for the user: what was decided of the data, and what is not used.

    Raises:
        RunError: If the directory or the batch size does not fit, or the resumed run is complete.
        MissingPackageError: If the kind of model needs a package that is not installed.
        DatasetError: If the data cannot be used.
        CheckpointError: If there is no model to start from, or to learn from.
        DivergedError: If the loss stopped being a number.
        RunStopped: If a signal or the time limit stopped it; `resume` continues.
    """
    from pixelbayes.training.engine import fit, is_first_process
    from pixelbayes.training.task import TrainingTask

    run_dir, first = Path(run_dir), is_first_process()  # other processes compute; this also writes
    if resume:
        run = Run.open(run_dir)
        require_resumable(run)
        require_same_settings(run, config)
        require_unfinished(run, config.training)
        require_same_schedule(run, config.training)
        record = run.split()
    elif first:
        require_free_for_run(run_dir)
    images = as_begun(run.info, config.data) if resume else config.data
    dataset = load_data(images, crop_margin=config.training.crop_margin, record=record)
    _require_classes(config, dataset, note)
    for sentence in [*data_remarks(describe(dataset)), *unused_settings(config)] if first else ():
        note(sentence)
    _require_batch(config, dataset)
    _require_window(config, dataset)
    _require_device(config.training)
    origin = {
        **provenance(),
        "config": plain(config),
        "data": describe(dataset),
        "seed": config.seed,
    }
    metadata = Metadata(
        classes=dataset.classes,
        resize=asdict(dataset.resize),
        log_prior=tuple(uniform_log_prior(len(dataset.classes)).tolist()),
        provenance=origin,
    )
    told = note if first else lambda _: None
    network = build_network(config, dataset, resume=resume, note=told)
    task = TrainingTask(
        config.kind(network, metadata),
        config.optim,
        config.training,
        images=len(dataset.split("train")),
        seed=config.seed,
    )
    noted: dict[str, Any] = {"data_sha256": data_digest(dataset)}
    if config.training.teacher is not None:
        noted["teacher_sha256"] = teacher_digest(config.training.teacher)
    for name, digest in noted.items() if resume else ():
        if run.info.get(name, digest) != digest:
            what, source = {
                "data_sha256": ("the data are not those", config.data.data),
                "teacher_sha256": ("the teacher is not the one", config.training.teacher),
            }[name]
            raise RunError(
                f"{what} that {run_dir} was trained on: {source} has changed since; restore it, "
                "or train a new run"
            )
    taught = soft_labels(config, dataset)
    if not resume:
        sources = filter(None, (config.training.init_from, config.training.teacher))
        noted["seen_before"] = {name: seen_before(name, dataset, config.data) for name in sources}
        for sentence in remarks_on_start(noted) if first else ():
            note(sentence)
    with ExitStack() as stack:
        if resume and first:
            stack.enter_context(locked(run_dir))
        if not resume:
            run = Run(run_dir, config)
            if first:
                begun = lambda: task.global_step > 0 or run.resume_state.exists()  # noqa: E731
                stack.enter_context(_nothing_left(run_dir, unless=begun))
                Run.create(run_dir, config)
                if dataset.record is not None:
                    run.write_split(dataset.record)
        ending = stack.enter_context(_record_kept(run, config, origin, noted, first=first))
        outcome = fit(
            task,
            dataset.split("train"),
            dataset.split("validation"),
            folder=run_dir,
            resume=resume,
            progress=progress,
            soft_labels=taught,
        )
        ending["reason"] = outcome.reason
    return run


def build_network(
    config: RunConfig,
    dataset: ImageDataset,
    *,
    resume: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> nn.Module:
    """The network with its first weights, a function of the seed, the data and `init_from`.

    Args:
        config: What was asked for.
        dataset: Its images.
        resume: Whether a saved state replaces the weights, so that none are read.
        note: Called with what begins anew beside a model to start from.

    Raises:
        PixelBayesError: If a setting has a value that is not accepted.
        CheckpointError: If there is no model to start from.
        RunError: If the model to start from is of another shape or kind.
    """
    kind = config.kind
    network = first_network(
        config, dataset.split("train"), len(dataset.classes), dataset.image_size
    )
    if config.training.init_from is not None and not resume:
        source = load(config.training.init_from)
        try:
            fresh = kind.take_over(network, dataset.classes, source)
        except PixelBayesError as error:
            raise RunError(f"--init-from {config.training.init_from}: {error}") from error
        if fresh:
            note(
                f"not in {config.training.init_from}, and begun anew: {enumerate_offenders(fresh)}"
            )
    return network


def first_network(
    config: RunConfig, images: LabelledImages, classes: int, image_size: tuple[int, int]
) -> nn.Module:
    """The network with its first weights, a function of the seed and the training images.

    Args:
        config: What was asked for.
        images: Training images, larger than the model's by the crop margin.
        classes: K.
        image_size: Rows and columns that the model sees.

    Raises:
        PixelBayesError: If a setting has a value that is not accepted.
    """
    kind = config.kind
    with torch.random.fork_rng(devices=[]):  # layers and dropout draw from the global generator
        torch.manual_seed(derived_seed("weights", config.seed))
        network: nn.Module = kind.build(
            config.network,
            classes=classes,
            channels=images.levels.shape[1],
            image_size=image_size,
        )
        if config.training.init_from is None and config.training.initialisation == "data":
            generator = torch.Generator()
            generator.manual_seed(derived_seed("initialisation", config.seed))
            chosen = torch.randperm(len(images), generator=generator)
            chosen = chosen[: config.training.init_images]
            augmentation = Augmentation(crop_margin=config.training.crop_margin)
            kind.initialise(
                network, augmentation.centre(images.levels[chosen]), images.labels[chosen]
            )
    return network


def _require_classes(config: RunConfig, dataset: ImageDataset, note: Callable[[str], None]) -> None:
    """Refuses to train a mere classifier on one class, and says what a density of it is not.

    Raises:
        RunError: If so.
    """
    if len(dataset.classes) > 1:
        return
    only = f"{dataset.source} has one class only, {dataset.classes[0]}"
    if not config.kind.is_density:
        raise RunError(
            f"{only}, and a {config.kind.noun} learns to tell classes apart; add a class, or train "
            "a PixelCNN++, which learns p(image) of one class too"
        )
    note(f"{only}: every answer is right, so accuracy means nothing; bits/dim does.")


def _require_window(config: RunConfig, dataset: ImageDataset) -> None:
    """Refuses windows whose step no image has room for.

    Raises:
        RunError: If so.
    """
    step, (rows, columns) = config.training.window_step, dataset.image_size
    if step is not None and step > min(rows, columns):
        raise RunError(
            f"--window-step {step} does not fit into images of {rows} x {columns} pixels; pass a "
            f"step of {min(rows, columns)} or less"
        )


def _require_batch(config: RunConfig, dataset: ImageDataset) -> None:
    """Refuses a batch size whose last batch is too small for the kind of network.

    Raises:
        RunError: If so, with a batch size that works.
    """
    training = config.training
    world = training.devices * training.num_nodes
    images, least = len(dataset.split("train")), config.kind.smallest_batch(dataset.image_size)

    def smallest_share(batch_size: int) -> int:
        return -(-(images % batch_size or batch_size) // world)

    if smallest_share(training.batch_size) < least:
        larger = range(training.batch_size + 1, images + world + 1)
        works = next((size for size in larger if smallest_share(size) >= least), None)
        advice = "more training images" if works is None else f"--batch-size {works}"
        raise RunError(
            f"--batch-size {training.batch_size} leaves {images} training images a last batch of "
            f"{images % training.batch_size or training.batch_size}, and at "
            f"{dataset.image_size[0]}x{dataset.image_size[1]} pixels batch normalisation needs "
            f"{least} per device; pass {advice}"
        )


def _require_device(training: TrainingConfig) -> None:
    """Refuses a device that this machine lacks, before anything is made.

    Raises:
        RunError: If so.
    """
    if training.accelerator == "gpu" and not torch.cuda.is_available():
        raise RunError(
            "a GPU is asked for, and PyTorch finds none here; leave out --device, or pass "
            "--device cpu"
        )


@contextmanager
def _nothing_left(folder: Path, *, unless: Callable[[], bool]) -> Iterator[None]:
    """If what is inside fails, the directory of a new run is as it was: not there, or empty.

    It is locked meanwhile.

    Args:
        folder: The directory.
        unless: Whether a step has been done by now, which is kept.
    """
    made = [path for path in (folder, *folder.absolute().parents) if not path.exists()]
    with locked(folder):
        try:
            yield
        except BaseException:
            if not unless():
                for name in BEFORE_TRAINING:
                    path = folder / name
                    with suppress(OSError):
                        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
                with suppress(OSError):  # it holds something else
                    for path in made:
                        path.rmdir()
            raise


@contextmanager
def _record_kept(
    run: Run, config: RunConfig, origin: dict[str, Any], noted: dict[str, Any], *, first: bool
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
    run.update_info(
        kind=run.kind,
        status="running",
        reason=None,
        seed=config.seed,
        classes=origin["data"]["classes"],
        started=run.info.get("started", origin["date"]),
        resumed=origin["date"] if "started" in run.info else None,
        ended=None,
        **noted,
        split_sha256=run.split_digest(),
        **{name: origin[name] for name in ("versions", "commit", "command", "machine", "data")},
    )
    run.write_config(config)
    status = "failed"
    try:
        yield ending
    except BaseException as error:
        if isinstance(error, RunStopped):
            status, ending["reason"] = "stopped", error.reason
        elif isinstance(error, KeyboardInterrupt):
            status, ending["reason"] = "stopped", "interrupted"
        else:
            ending["reason"] = f"{type(error).__name__}: {error}"
        with suppress(OSError, PixelBayesError):  # the first error is the one to tell
            run.update_info(status=status, ended=now(), **ending, **_progress_of(run))
        raise
    run.update_info(status="finished", ended=now(), **ending, **_progress_of(run))


def _progress_of(run: Run) -> dict[str, Any]:
    """Epochs done and the best of them, from metrics.csv."""
    columns = run.metrics()
    best = best_epoch(columns, run.criterion)
    return {
        "epochs": len(columns["epoch"]),
        "best_epoch": best,
        f"best_{run.criterion.name}": columns[run.criterion.val][best - 1] if best else None,
    }
