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
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pixelbayes.data import ImageDataset, data_remarks, describe, same_source
from pixelbayes.data.naming import whole_number
from pixelbayes.inference.memory import freed_memory_kept
from pixelbayes.io import plain
from pixelbayes.models import Model, load_model
from pixelbayes.models.base import amend, answers_digest
from pixelbayes.models.storage import weights_sha256
from pixelbayes.report import Report, save
from pixelbayes.switches import undisturbed
from pixelbayes.workflows.evaluation_data import (
    MADE_ANEW,
    NOT_AT_HAND,
    EvaluationError,
    data_for,
    data_trained_on,
    is_checkpoint,
    remarks_on_start,
    require_unchanged,
)
from pixelbayes.workflows.illustrations import illustrate
from pixelbayes.workflows.outputs import require_writable
from pixelbayes.workflows.provenance import provenance as measure_provenance
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

__all__ = [
    "DEFAULT_SPLITS",
    "EvaluationError",
    "evaluate",
    "evaluate_saved",
    "is_checkpoint",
]

DEFAULT_SPLITS = ("validation", "test")
OVERTAKEN = (
    "The training has written a better checkpoint since this one was read: the numbers are those "
    "of the earlier one, and the temperature was not stored; evaluate again when it is over."
)


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
    seed = whole_number(seed, "--seed is a whole number, 0 or more")  # before hours of measuring
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
    trained_on = model.metadata.provenance.get("data", {})
    shown = dataset
    if not same_source(trained_on.get("source", dataset.source), dataset.source):
        splits_shown = {name: it for name, it in dataset.splits.items() if name != "train"}
        shown = replace(dataset, splits=splits_shown)  # its training images are not the model's
    pictures = illustrate(
        model, shown, headline, per_class=samples_per_class, seed=seed, progress=progress
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
        model=plain({"kind": model.noun, **model.describe()}),
        data=describe(dataset),
        training={
            **(training or {}),
            **({"trained_on": _trained_on(trained_on)} if trained_on else {}),
        },
        provenance={
            **(measure_provenance() if provenance is None else provenance),
            "seed": seed,
            "seconds": round(time.monotonic() - started, 1),
        },
        notes=notes,
    )


@undisturbed()
@freed_memory_kept()
def evaluate_saved(
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
    """Measures the best model of a run, or a checkpoint of its own, and writes the report.

    The images of a split are those that the run recorded, whatever files were added, removed or
    renamed since: none that was trained on is measured as another.

    The temperature that was found is stored in the run's best checkpoint, so that later
    predictions are calibrated.  Neither that nor the run's report is touched where the report goes
    elsewhere (`output`), or where other data are measured than the run was trained on.  Of other
    data, images that the model was trained on are left out, and what comes without splits is
    measured whole, unless `splits` are asked for.  A checkpoint that is no run, a shipped model
    for one, says itself on which data it was trained.  It is read and never written.

    Args:
        path: Run directory or checkpoint folder.
        splits: As for `evaluate`.
        seed: As for `evaluate`.
        samples_per_class: As for `evaluate`.
        data: Source of the images; None: the one that the model was trained on.
        data_dir: Folder of the data; None: as in training.
        output: Folder of the report; None: the run directory, if the data are its own, and none
            otherwise.
        title: Of the report; None: made of the folder's name, the model and the data.
        device: Where the model runs.
        progress: See `Progress`.

    Raises:
        EvaluationError: If the data does not fit the model or is not known, or the run has no
            model yet.
        CheckpointError: If there is no usable checkpoint.
        DatasetError: If the data cannot be loaded.
    """
    folder = Path(path)
    run = None if is_checkpoint(folder) else Run.open(folder)
    if run is not None and not run.best.is_dir():
        raise EvaluationError(
            f"{folder} has no model yet: no epoch was finished (status "
            f"{run.info.get('status', 'unknown')}); 'pixelbayes train --resume {folder}' goes on"
        )
    checkpoint = folder if run is None else run.best
    weights, evaluated = weights_sha256(checkpoint), answers_digest(checkpoint)
    model = load_model(checkpoint, device)
    trained_on, record = data_trained_on(folder, run, model, data)
    own = data is None or same_source(data, trained_on.data)
    at_home = run is not None and own and output is None
    written = folder if at_home else output
    if written is not None:
        require_writable(Path(written))
    dataset, remarks = data_for(model, trained_on, record, data, data_dir, splits)
    if run is not None and own and record is None:
        require_unchanged(run, dataset)
    report = evaluate(
        model,
        dataset,
        splits=splits,
        seed=seed,
        samples_per_class=samples_per_class,
        current=1.0 if own else None,
        title=title or f"{folder.name}: {model.title} on {dataset.source}",
        curves=None if run is None else run.metrics(),
        training=model.metadata.provenance.get("config") if run is None else _training_of(run),
        provenance={**measure_provenance(), "weights_sha256": weights},
        progress=progress,
    )
    seen = [] if run is None or not own else remarks_on_start(run.info)
    report.notes.extend([*remarks, *seen])
    report.data["new_to_model"] = not seen and not {NOT_AT_HAND, MADE_ANEW} & {*remarks}
    if run is not None and at_home and report.temperature is not None:
        found = report.temperature
        kept = amend(run.best, evaluated, lambda stored: stored.with_temperature(found))
        report.notes.extend([] if kept else [OVERTAKEN])
    if written is not None:
        save(report, Path(written))
    return report


def _training_of(run: Run) -> dict[str, Any]:
    """How the model of a run was trained, for the report."""
    told = ("status", "best_epoch", "commit")
    return {
        "seed": run.config.seed,
        "optim": plain(run.config.optim),
        "training": plain(run.config.training),
        "run": {key: run.info[key] for key in told if key in run.info},
    }


def _trained_on(description: Mapping[str, Any]) -> dict[str, Any]:
    """Source and number of the training images, of what a training noted of its data."""
    images = description.get("splits", {}).get("train", {}).get("images")
    return {"source": description.get("source"), "images": images}


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
