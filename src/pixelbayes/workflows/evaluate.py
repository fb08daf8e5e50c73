"""Evaluate: what a model is worth, as one report.

Everything follows from one table: log p(x | y) of every image under every class.  The column of
the true class gives the code length, Bayes' rule the accuracy and the calibration.  The
temperature is fitted on validation images only, so it is fitted even where another split is
all that was asked for.

Shapes: N images, K classes.
Units:  log-probabilities in nats per image, code lengths in bits per dimension.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pixelbayes.data import (
    ImageDataset,
    SplitRecord,
    data_remarks,
    describe,
    load_dataset,
    same_source,
)
from pixelbayes.data.errors import enumerate_offenders
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.memory import freed_memory_kept
from pixelbayes.io import Reading, plain
from pixelbayes.models import Model, load_model
from pixelbayes.models.storage import DESCRIPTION
from pixelbayes.report import Report, save
from pixelbayes.switches import undisturbed
from pixelbayes.workflows.config import DataConfig
from pixelbayes.workflows.illustrations import illustrate
from pixelbayes.workflows.outputs import require_writable
from pixelbayes.workflows.provenance import provenance as measure_provenance
from pixelbayes.workflows.runs import INFO as RUN_JSON
from pixelbayes.workflows.runs import Run
from pixelbayes.workflows.scoring import (
    SMALLEST_SPLIT,
    Progress,
    notes_on,
    notes_on_classes,
    score_split,
    split_result,
    tempering_of,
)
from pixelbayes.workflows.train import data_digest

__all__ = [
    "DEFAULT_SPLITS",
    "FILES_OF_A_USER",
    "MADE_ANEW",
    "EvaluationError",
    "evaluate",
    "evaluate_checkpoint",
    "evaluate_run",
    "is_checkpoint",
    "load_data_for",
    "names_trained_on",
    "require_unchanged",
    "training_record",
    "without_trained",
]

DEFAULT_SPLITS = ("validation", "test")
FILES_OF_A_USER = ("folder:", "csv:")
"""Sources whose files come and go."""
MADE_ANEW = (
    "It is not recorded which file went to which split in the training: the splits were made "
    "anew, and are the same only if no file was added or removed since."
)


class EvaluationError(PixelBayesError):
    """A model cannot be evaluated on this data, with the reason and what to do."""


@undisturbed()
def evaluate(
    model: Model,
    dataset: ImageDataset,
    *,
    splits: Sequence[str] | None = None,
    seed: int = 0,
    samples_per_class: int = 4,
    title: str | None = None,
    curves: Mapping[str, Sequence[float | None]] | None = None,
    training: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    current: float | None = None,
    progress: Progress | None = None,
) -> Report:
    """Measures a model on the splits of a data set.

    Args:
        model: The trained model.
        dataset: Images at the model's size with the model's classes.
        splits: Names of the splits to report; None: validation and test, as far as there are.
        seed: Of the generated images.
        samples_per_class: Images to generate of each class; 0 leaves them out.
        title: Of the report.
        curves: Columns of the training log, see `Report.curves`.
        training: How the model was trained, for the report.
        provenance: Command, commit and versions; None: measured here.
        current: Temperature that stays unless validation images ask for another one and gain by
            it beyond the uncertainty (`decide_temperature`); None: the model's own.
        progress: See `Progress`.

    Returns:
        The report.  `report.temperature` is the temperature of its calibrated numbers, and
        `report.temperature_fit` what speaks for it; the model keeps its own.

    Raises:
        EvaluationError: If the classes or the size of the images are not the model's, or no
            split has labels.
        DatasetError: If the data set has no split of a given name.
    """
    started = time.monotonic()
    _check_fit(model, dataset)
    chosen = list(splits or (name for name in DEFAULT_SPLITS if name in dataset.splits))
    for name in chosen:
        dataset.split(name)
    needed = [*chosen, *(["validation"] if "validation" in dataset.splits else [])]
    scored = {name: score_split(model, dataset, name, progress) for name in dict.fromkeys(needed)}
    notes = notes_on(model, {name: scored[name] for name in chosen}, dataset.splits)
    labelled = [name for name in chosen if len(scored[name].labelled) >= SMALLEST_SPLIT]
    if not labelled:
        raise EvaluationError(
            f"none of the splits {', '.join(chosen)} of {dataset.source} has at least "
            f"{SMALLEST_SPLIT} labelled images, and accuracy needs labels; choose another --split "
            f"of: {', '.join(dataset.splits)}"
        )
    notes += notes_on_classes(model, {name: scored[name] for name in labelled})
    notes += data_remarks(describe(dataset))
    current = model.temperature if current is None else current
    tempering = tempering_of(scored.get("validation"), model.log_prior, current)
    results = {name: split_result(model, name, scored[name], tempering) for name in labelled}
    unfitted = tempering.decision is None and tempering.temperature == 1.0
    headline = "test" if "test" in results else labelled[0]
    pictures = illustrate(
        model, dataset, headline, per_class=samples_per_class, seed=seed, progress=progress
    )
    return Report(
        title=title or f"{model.title} on {dataset.source}",
        classes=list(model.classes),
        temperature=None if unfitted else tempering.temperature,
        temperature_fit=tempering.decision,
        headline_split=headline,
        splits=results,
        curves={name: list(column) for name, column in (curves or {}).items()},
        samples=pictures.samples,
        real_images=pictures.real,
        nearest_images=pictures.nearest,
        completions=pictures.completions,
        model=plain(model.describe()),
        data=describe(dataset),
        training=dict(training or {}),
        provenance={
            **(measure_provenance() if provenance is None else provenance),
            "seed": seed,
            "seconds": round(time.monotonic() - started, 1),
        },
        notes=notes,
    )


@undisturbed()
@freed_memory_kept()
def evaluate_run(
    path: str | Path,
    *,
    splits: Sequence[str] | None = None,
    seed: int = 0,
    samples_per_class: int = 4,
    data: str | None = None,
    data_dir: str | Path | None = None,
    output: str | Path | None = None,
    title: str | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Report:
    """Measures the best model of a run and writes the report.

    The images of a split are those that the run recorded, whatever files were added, removed or
    renamed since: none that was trained on is measured as another.

    The temperature that was found is stored in the run's best checkpoint, so that later
    predictions are calibrated.  Neither that nor the run's report is touched where the report goes
    elsewhere (`output`), or where other data are measured than the run was trained on.  Of other
    data, images that the run was trained on are left out, and what comes without splits is
    measured whole, unless `splits` are asked for.

    Args:
        path: A run directory.
        splits: As for `evaluate`.
        seed: As for `evaluate`.
        samples_per_class: As for `evaluate`.
        data: Source of the images; None: the one that the run was trained on.
        data_dir: Folder of the data; None: as in training.
        output: Folder of the report; None: the run directory, if the data are its own.
        title: Of the report; None: made of the run's name, the model and the data.
        device: Where the model runs.
        progress: See `Progress`.

    Raises:
        EvaluationError: If the data does not fit the model, or the run has no model yet.
        CheckpointError: If the run has no usable checkpoint.
        DatasetError: If the data cannot be loaded.
    """
    run = Run.open(Path(path))
    if not run.best.is_dir():
        raise EvaluationError(
            f"{run.path} has no model yet: no epoch was finished (status "
            f"{run.info.get('status', 'unknown')}); 'pixelbayes train --resume {run.path}' goes on"
        )
    model, config = load_model(run.best, device), run.config
    trained_on, record = config.data, run.split()
    if output is not None or data is None or same_source(data, trained_on.data):
        require_writable(Path(output or run.path))
    dataset, own, remarks = _data_for(model, trained_on, record, data, data_dir, splits)
    if own and record is None:
        require_unchanged(run, dataset)
    report = evaluate(
        model,
        dataset,
        splits=splits,
        seed=seed,
        samples_per_class=samples_per_class,
        current=1.0 if own else None,
        title=title or f"{run.path.name}: {model.title} on {dataset.source}",
        curves=run.metrics(),
        training={
            "seed": config.seed,
            "optim": plain(config.optim),
            "training": plain(config.training),
            "run": {
                key: run.info[key] for key in ("status", "best_epoch", "commit") if key in run.info
            },
        },
        progress=progress,
    )
    report.notes.extend(remarks)
    if output is not None:
        save(report, Path(output))
    elif own:
        save(report, run.path)
        if report.temperature is not None:
            model.with_temperature(report.temperature).save(run.best)
    return report


@undisturbed()
@freed_memory_kept()
def evaluate_checkpoint(
    folder: str | Path,
    *,
    splits: Sequence[str] | None = None,
    seed: int = 0,
    samples_per_class: int = 4,
    data: str | None = None,
    data_dir: str | Path | None = None,
    output: str | Path | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Report:
    """Measures a model that is no run directory: a checkpoint folder, or a shipped model.

    The checkpoint itself says on which data it was trained.  It is read and never written.

    Args:
        folder: Checkpoint folder.
        splits: As for `evaluate`.
        seed: As for `evaluate`.
        samples_per_class: As for `evaluate`.
        data: Source of the images; None: the one that the model was trained on.
        data_dir: Folder of the data; None: as in training.
        output: Folder of the report; None writes none.
        device: Where the model runs.
        progress: See `Progress`.

    Raises:
        CheckpointError: If there is no usable checkpoint.
        EvaluationError: If it is not known on which data to measure, or they do not fit.
        DatasetError: If the data cannot be loaded.
    """
    folder = Path(folder)
    if output is not None:
        require_writable(Path(output))
    model = load_model(folder, device)
    settings = model.metadata.provenance.get("config", {})
    recorded = settings.get("data", {})
    if data is None and "data" not in recorded:
        raise EvaluationError(
            f"{folder} does not say which data it was trained on; name a source with --data"
        )
    origin = f"provenance.config.data in {folder / DESCRIPTION}"
    trained_on = DataConfig.from_plain(recorded, origin, Reading.OLDER)
    record = training_record(folder)
    dataset, own, remarks = _data_for(model, trained_on, record, data, data_dir, splits)
    report = evaluate(
        model,
        dataset,
        splits=splits,
        seed=seed,
        samples_per_class=samples_per_class,
        current=1.0 if own else None,
        title=f"{folder.name}: {model.title} on {dataset.source}",
        training=settings,
        progress=progress,
    )
    report.notes.extend(remarks)
    if output is not None:
        save(report, Path(output))
    return report


def is_checkpoint(folder: str | Path) -> bool:
    """Whether the folder holds a checkpoint itself, as best/ of a run does."""
    return (Path(folder) / DESCRIPTION).is_file()


def training_record(model: Path) -> SplitRecord | None:
    """The splits of the training of a run, or of the run that a checkpoint lies in, if known.

    Checkpoints lie in a run as best/ and as epochs/0005/.
    """
    for folder in (model.resolve(), *model.resolve().parents[:2]):
        if (folder / RUN_JSON).is_file():
            return Run.open(folder).split()
    return None


def _data_for(
    model: Model,
    trained_on: DataConfig,
    record: SplitRecord | None,
    data: str | None,
    data_dir: str | Path | None,
    splits: Sequence[str] | None,
) -> tuple[ImageDataset, bool, list[str]]:
    """The data that a model was trained on, or others, the way the model wants its images.

    Returns:
        The images, whether they are those of the training, and what a reader must know of them.
    """
    if data is None or same_source(data, trained_on.data):
        dataset = load_data_for(
            model,
            trained_on.data,
            data_dir=data_dir or trained_on.data_dir,
            seed=trained_on.split_seed,
            skip_bad=trained_on.skip_bad_files,
            limit=trained_on.limit,
            record=record,
        )
        anew = record is None and trained_on.data.startswith(FILES_OF_A_USER)
        return dataset, True, [MADE_ANEW] if anew else []
    dataset = load_data_for(
        model,
        data,
        data_dir=data_dir,
        seed=trained_on.split_seed,
        skip_bad=trained_on.skip_bad_files,
        whole=splits is None,
    )
    remarks = []
    if "train" not in dataset.splits:
        remarks.append(
            f"{dataset.source} has no splits of its own and is measured whole, as the split test; "
            "--split cuts it into splits."
        )
    if record is not None:
        measured = [name for name in dataset.splits if name != "train" or name in (splits or ())]
        dataset, known = without_trained(dataset, record, measured)
        remarks += known
    return dataset, False, remarks


def without_trained(
    dataset: ImageDataset, record: SplitRecord, measured: Iterable[str]
) -> tuple[ImageDataset, list[str]]:
    """Other data without the images that a model was trained on, whatever their names are.

    Args:
        dataset: Data of another source.
        record: The splits of the model's training; images are known by their content.
        measured: Splits whose images must be new to the model.

    Returns:
        The data, and a sentence for each split from which images were left out.

    Raises:
        EvaluationError: If nothing is left of a split.
    """
    splits, remarks = dict(dataset.splits), []
    seen = {*names_trained_on(dataset, record)}
    for split in measured:
        images = dataset.split(split)
        known = [name for name in images.names if name in seen]
        if not known:
            continue
        if len(known) == len(images):
            raise EvaluationError(
                f"the model was trained on all {len(images)} images of {split} of "
                f"{dataset.source} (their content is the same), so they say nothing about new "
                "images; name others with --data"
            )
        kept = [index for index, name in enumerate(images.names) if name not in seen]
        splits[split] = images.select(kept)
        remarks.append(
            f"The model was trained on {len(known)} of the {len(images)} images of {split}, which "
            f"are left out: {enumerate_offenders(known)}."
        )
    return replace(dataset, splits=splits), remarks


def names_trained_on(dataset: ImageDataset, record: SplitRecord | None) -> list[str]:
    """Names of the images, in any split, on whose content a model was trained.

    Args:
        dataset: As it was loaded.
        record: The splits of the model's training; None: not known, so that none can be named.
    """
    if record is None or dataset.record is None:
        return []
    trained = set(record.splits["train"].values()) - {""}
    present = dataset.record.splits.values()
    return [name for files in present for name, digest in files.items() if digest in trained]


def require_unchanged(run: Run, dataset: ImageDataset) -> None:
    """Refuses splits made anew that are not those of the training.

    Raises:
        EvaluationError: If images that were trained on may be among those to measure on.
    """
    recorded = run.info.get("data_sha256")
    if run.config.training.crop_margin == 0 and recorded not in (None, data_digest(dataset)):
        raise EvaluationError(
            f"{run.path} does not record which image went to which split, and {dataset.source} has "
            "changed since the training, so images that were trained on may be in every split; "
            "restore the data, or name other ones with --data"
        )


def load_data_for(
    model: Model,
    data: str,
    *,
    data_dir: str | Path | None = None,
    image_size: tuple[int, int] | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    limit: int | None = None,
    record: SplitRecord | None = None,
    whole: bool = False,
) -> ImageDataset:
    """Loads a data set the way the model wants its images.

    Args:
        model: Decides size, filter, geometry and channels.
        data: Source, as for `pixelbayes.data.load_dataset`.
        data_dir: Folder of the data.
        image_size: Rows and columns; None: the model's.
        seed: Of the splits; the one of training, or training images turn up in the test.
        skip_bad: Leaves out files that cannot be read.
        limit: At most this many images of each split.
        record: Which file went to which split, which then seed and limit do not decide.
        whole: Takes what comes without splits as one split, "test", that need not have every
            class of the model.

    Raises:
        DatasetError: If the data cannot be loaded, or none of the recorded training files is there.
    """
    resize = model.resize
    return load_dataset(
        data,
        data_dir=data_dir,
        image_size=image_size or resize.size,
        channels=model.channels,
        filter=resize.filter,
        geometry=resize.geometry,
        allow_upscaling=resize.allow_upscaling,
        seed=seed,
        skip_bad=skip_bad,
        limit=limit,
        record=record,
        whole=model.classes if whole else None,
    )


def _check_fit(model: Model, dataset: ImageDataset) -> None:
    if dataset.classes != model.classes:
        raise EvaluationError(
            f"the model was trained on {len(model.classes)} classes ({_listed(model.classes)}), "
            f"but {dataset.source} has {len(dataset.classes)} ({_listed(dataset.classes)}); "
            "evaluate it on data with the same classes in the same order"
        )
    expected = (model.channels, *model.image_size)
    got = (dataset.channels, *dataset.image_size)
    if expected != got:
        raise EvaluationError(
            f"the model wants images of {expected} (channels, rows, columns), "
            f"{dataset.source} was loaded as {got}; load it with load_data_for(model, ...)"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:10])}, ... {names[-1]}"
