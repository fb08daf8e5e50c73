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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixelbayes.core import bits_per_dim
from pixelbayes.data import (
    UNLABELLED,
    Augmentation,
    ImageDataset,
    LabelledImages,
    describe,
    load_dataset,
)
from pixelbayes.evaluation import (
    accuracy,
    confusion_matrix,
    expected_calibration_error,
    fit_temperature,
    log_loss,
    mean_estimate,
    per_class_accuracy,
    reliability_curve,
)
from pixelbayes.inference import PixelBayes, class_posterior
from pixelbayes.report import Report, SplitResult, WrongImage, png_base64, save
from pixelbayes.workflows.generate import generate
from pixelbayes.workflows.provenance import provenance as measure_provenance
from pixelbayes.workflows.runs import Run

__all__ = [
    "DEFAULT_SPLITS",
    "EvaluationError",
    "Progress",
    "describe_model",
    "evaluate",
    "evaluate_run",
    "load_data_for",
]

DEFAULT_SPLITS = ("validation", "test")
WRONG_IMAGES = 10  # as many as fit one row of the web page
SMALLEST_SPLIT = 2  # a standard error needs two images

Progress = Callable[[str, int, int], None]
"""Called with what is being done and the numbers done and in all."""


class EvaluationError(ValueError):
    """A model cannot be evaluated on this data, with the reason and what to do."""


@dataclass(frozen=True, eq=False)
class _Scored:
    """The images of a split with their table of log-likelihoods."""

    images: LabelledImages
    log_likelihood: Tensor
    """(N, K), float64, nats per image."""

    @property
    def labelled(self) -> Tensor:
        """Positions of the images that have a label."""
        return (self.images.labels != UNLABELLED).nonzero()[:, 0]


def evaluate(
    model: PixelBayes,
    dataset: ImageDataset,
    *,
    splits: Sequence[str] | None = None,
    seed: int = 0,
    samples_per_class: int = 4,
    title: str | None = None,
    curves: Mapping[str, Sequence[float | None]] | None = None,
    training: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
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
        progress: See `Progress`.

    Returns:
        The report.  `report.temperature` is the fitted temperature; the model keeps its own.

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
    scored = {name: _score(model, dataset, name, progress) for name in dict.fromkeys(needed)}
    notes = _notes(model, {name: scored[name] for name in chosen}, dataset.splits)
    labelled = [name for name in chosen if len(scored[name].labelled) >= SMALLEST_SPLIT]
    if not labelled:
        raise EvaluationError(
            f"none of the splits {', '.join(chosen)} of {dataset.source} has at least "
            f"{SMALLEST_SPLIT} labelled images, and accuracy needs labels; choose another --split "
            f"of: {', '.join(dataset.splits)}"
        )
    temperature = _temperature(model, scored.get("validation"))
    results = {name: _split_result(model, name, scored[name], temperature) for name in labelled}
    headline = "test" if "test" in results else labelled[0]
    return Report(
        title=title or f"{model.model.config.fusion} fusion on {dataset.source}",
        classes=list(model.classes),
        temperature=temperature,
        accuracy=results[headline].accuracy,
        headline_split=headline,
        splits=results,
        curves={name: list(column) for name, column in (curves or {}).items()},
        samples=_samples(model, samples_per_class, seed, progress),
        model=describe_model(model),
        data=describe(dataset),
        training=dict(training or {}),
        provenance={
            **(measure_provenance() if provenance is None else provenance),
            "seed": seed,
            "seconds": round(time.monotonic() - started, 1),
        },
        notes=notes,
    )


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

    The fitted temperature is stored in the run's best checkpoint, so that later predictions are
    calibrated.  Where the report goes elsewhere (`output`), the checkpoint stays as it is.

    Args:
        path: A run directory.
        splits: As for `evaluate`.
        seed: As for `evaluate`.
        samples_per_class: As for `evaluate`.
        data: Source of the images; None: the one that the run was trained on.
        data_dir: Folder of the data; None: as in training.
        output: Folder of the report; None: the run directory.
        title: Of the report; None: made of the run's name, the fusion and the data.
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
    model = PixelBayes.load(run.best, device)
    config = run.config
    if data is None:
        data, data_dir = config.data.data, data_dir or config.data.data_dir
    dataset = load_data_for(
        model,
        data,
        data_dir=data_dir,
        seed=config.data.split_seed,
        skip_bad=config.data.skip_bad_files,
        limit=config.data.limit,
    )
    report = evaluate(
        model,
        dataset,
        splits=splits,
        seed=seed,
        samples_per_class=samples_per_class,
        title=title or f"{run.path.name}: {model.model.config.fusion} fusion on {dataset.source}",
        curves=run.metrics(),
        training={
            "seed": config.seed,
            "optim": asdict(config.optim),
            "training": asdict(config.training),
            "run": {
                key: run.info[key] for key in ("status", "best_epoch", "commit") if key in run.info
            },
        },
        progress=progress,
    )
    save(report, run.path if output is None else Path(output))
    if report.temperature is not None and output is None:
        metadata = replace(model.metadata, temperature=report.temperature)
        PixelBayes(model.model, metadata).save(run.best)
    return report


def load_data_for(
    model: PixelBayes,
    data: str,
    *,
    data_dir: str | Path | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    limit: int | None = None,
) -> ImageDataset:
    """Loads a data set the way the model wants its images.

    Args:
        model: Decides size, filter, geometry and channels.
        data: Source, as for `pixelbayes.data.load_dataset`.
        data_dir: Folder of the data.
        seed: Of the splits; the one of training, or training images turn up in the test.
        skip_bad: Leaves out files that cannot be read.
        limit: At most this many images of each split.

    Raises:
        DatasetError: If the data cannot be loaded.
    """
    resize = model.resize
    return load_dataset(
        data,
        data_dir=data_dir,
        image_size=resize.size,
        channels=model.model.config.channels,
        filter=resize.filter,
        geometry=resize.geometry,
        allow_upscaling=resize.allow_upscaling,
        seed=seed,
        skip_bad=skip_bad,
        limit=limit,
    )


def describe_model(model: PixelBayes) -> dict[str, Any]:
    """The architecture in plain values: configuration and number of weights."""
    config = asdict(model.model.config)
    parameters = sum(weight.numel() for weight in model.model.parameters())
    return {**config, "image_size": list(config["image_size"]), "parameters": parameters}


def _check_fit(model: PixelBayes, dataset: ImageDataset) -> None:
    if dataset.classes != model.classes:
        raise EvaluationError(
            f"the model was trained on {len(model.classes)} classes ({_listed(model.classes)}), "
            f"but {dataset.source} has {len(dataset.classes)} ({_listed(dataset.classes)}); "
            "evaluate it on data with the same classes in the same order"
        )
    config = model.model.config
    expected, got = (config.channels, *config.image_size), (dataset.channels, *dataset.image_size)
    if expected != got:
        raise EvaluationError(
            f"the model wants images of {expected} (channels, rows, columns), "
            f"{dataset.source} was loaded as {got}; load it with load_data_for(model, ...)"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:10])}, ... {names[-1]}"


def _score(
    model: PixelBayes, dataset: ImageDataset, name: str, progress: Progress | None
) -> _Scored:
    images = dataset.split(name)
    levels = images.levels
    if name == "train" and dataset.crop_margin:
        levels = Augmentation(crop_margin=dataset.crop_margin).centre(levels)
        images = replace(images, levels=levels)

    def done(count: int) -> None:
        if progress is not None:
            progress(f"scoring {name}", count, len(images))

    return _Scored(images, model.classifier().log_likelihoods(levels, progress=done))


def _temperature(model: PixelBayes, validation: _Scored | None) -> float | None:
    if validation is None or len(validation.labelled) < SMALLEST_SPLIT:
        return None
    chosen = validation.labelled
    return fit_temperature(
        validation.log_likelihood[chosen], model.log_prior, validation.images.labels[chosen]
    )


def _split_result(
    model: PixelBayes, name: str, scored: _Scored, temperature: float | None
) -> SplitResult:
    images = scored.images.select(scored.labelled)
    log_likelihood, labels = scored.log_likelihood[scored.labelled], images.labels
    posteriors = {"raw": class_posterior(log_likelihood, model.log_prior)}
    if temperature is not None:
        posteriors["calibrated"] = class_posterior(log_likelihood, model.log_prior, temperature)
    answer = posteriors.get("calibrated", posteriors["raw"])
    predicted = answer.argmax(dim=1)
    confusion = confusion_matrix(predicted, labels, len(model.classes))
    of_truth = log_likelihood.gather(1, labels[:, None])[:, 0]
    dims = model.model.config.dims
    return SplitResult(
        split=name,
        n=len(labels),
        accuracy=accuracy(int(confusion.diagonal().sum()), len(labels)),
        bits_per_dim=mean_estimate(bits_per_dim(of_truth, dims), "bits/dim"),
        confusion=confusion.tolist(),
        per_class=per_class_accuracy(confusion),
        log_loss={key: log_loss(posterior, labels) for key, posterior in posteriors.items()},
        ece={
            key: expected_calibration_error(posterior, labels)
            for key, posterior in posteriors.items()
        },
        reliability={
            key: reliability_curve(posterior, labels) for key, posterior in posteriors.items()
        },
        most_confidently_wrong=_most_confidently_wrong(images, answer),
    )


def _most_confidently_wrong(images: LabelledImages, log_posterior: Tensor) -> list[WrongImage]:
    confidence, predicted = log_posterior.max(dim=1)
    wrong = (predicted != images.labels).nonzero()[:, 0]
    order = wrong[confidence[wrong].argsort(descending=True, stable=True)]
    return [
        WrongImage(
            name=images.names[i],
            true=int(images.labels[i]),
            predicted=int(predicted[i]),
            confidence=float(confidence[i].exp()),
            image=png_base64(images.levels[i]),
        )
        for i in order[:WRONG_IMAGES].tolist()
    ]


def _samples(
    model: PixelBayes, per_class: int, seed: int, progress: Progress | None
) -> dict[str, list[str]]:
    if per_class == 0:
        return {}
    drawn = generate(model, count=per_class, seed=seed, progress=progress)
    pictures: dict[str, list[str]] = {name: [] for name in model.classes}
    for levels, label in zip(drawn.levels, drawn.labels.tolist(), strict=True):
        pictures[model.classes[label]].append(png_base64(levels))
    return pictures


def _notes(
    model: PixelBayes, scored: Mapping[str, _Scored], available: Mapping[str, LabelledImages]
) -> list[str]:
    """What the numbers do not say: marginal code lengths, missing labels, a missing split."""
    notes = []
    for name, split in scored.items():
        marginal = torch.logsumexp(split.log_likelihood + model.log_prior, dim=1)
        known, n = len(split.labelled), len(marginal)
        if n >= SMALLEST_SPLIT:
            code_length = bits_per_dim(marginal, model.model.config.dims)
            notes.append(
                f"Code length of {name} under p(x), the mixture of all classes: "
                f"{mean_estimate(code_length, 'bits/dim')}."
            )
        if known < SMALLEST_SPLIT:
            notes.append(
                f"{n - known} of the {n} images of {name} have no label: it has predictions and "
                "the code length under p(x), but no accuracy and no calibration."
            )
        elif known < n:
            notes.append(
                f"{n - known} of the {n} images of {name} have no label and count only in the "
                "code length under p(x)."
            )
    if "validation" not in available:
        notes.append("There is no validation split, so no temperature was fitted.")
    if model.model.config.fusion == "none":
        notes.append("The model ignores the label (fusion none), so its accuracy is chance.")
    return notes
