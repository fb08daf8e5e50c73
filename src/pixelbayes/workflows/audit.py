"""Audit: which labels of a collection are doubtful?

Every image gets log p(y | x) from a model that was not trained on it: a given one, or small ones
that are trained on the other folds of the collection itself.  cleanlab ranks the labels by them
(`pixelbayes.evaluation.label_quality`).  What is doubtful is for people to look at: a rare but
right image is doubted like a wrong label.

Shapes: N images, K classes.
"""

from __future__ import annotations

import csv
import io
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixelbayes.core.config import SMALLEST_SIDE
from pixelbayes.data import (
    UNLABELLED,
    DatasetWarning,
    ImageDataset,
    LabelledImages,
    load_dataset,
    open_source,
)
from pixelbayes.errors import PixelBayesError
from pixelbayes.evaluation import held_out_temperatures
from pixelbayes.evaluation.label_quality import LabelQuality, label_quality
from pixelbayes.inference import class_posterior
from pixelbayes.inference.classification import uniform_log_prior
from pixelbayes.io import write_whole
from pixelbayes.models import Model, load_model
from pixelbayes.report import png_base64
from pixelbayes.report.render import Doubtful, audit_html
from pixelbayes.switches import undisturbed
from pixelbayes.training import OptimConfig, TrainingConfig
from pixelbayes.training.errors import interrupted_by_signals
from pixelbayes.workflows.config import DataConfig, NetworkConfig, RunConfig
from pixelbayes.workflows.evaluation_data import names_trained_on, training_record
from pixelbayes.workflows.loading import load_data_for
from pixelbayes.workflows.outputs import FILES_OF, Kind, filling
from pixelbayes.workflows.scoring import Progress
from pixelbayes.workflows.train import train

__all__ = [
    "SMALL",
    "Audit",
    "AuditError",
    "audit",
    "audit_by_folds",
    "audit_by_model",
    "labelled_images",
    "out_of_fold",
    "write_audit",
]

SMALL = RunConfig(
    network=NetworkConfig(features=24, blocks_per_stage=1, mixtures=5, dropout=0.2, fusion="gated"),
    optim=OptimConfig(lr=0.003, schedule="cosine"),
    training=TrainingConfig(epochs=12, patience=None, accuracy_images=0),
)
"""What is trained on each fold: a network that two slow cores can train."""
SIZE_OF_FILES = (32, 32)
"""Size of images of a folder or table, which have none of their own."""
FOLDS = 5
SMALLEST_CLASS = 2  # images; a class of one would be missing where its image is left out
HELD_BACK = 8  # one of so many of the others chooses the epoch


class AuditError(PixelBayesError):
    """A collection cannot be audited, with the reason and what to do."""


@dataclass(frozen=True, eq=False)
class Audit:
    """Labels with the doubt about each."""

    images: LabelledImages
    classes: tuple[str, ...]
    log_proba: Tensor
    """log p(y | x) by a model that was not trained on the image, (N, K)."""
    quality: LabelQuality
    judged_by: str
    """What gave the probabilities, for people."""

    @property
    def suspected(self) -> int:
        """How many labels confident learning takes for wrong."""
        return int(self.quality.suspected.sum())

    def most_doubtful(self, count: int) -> list[Doubtful]:
        """The images to look at first, with what a page shows of each."""
        return [
            Doubtful(
                name=self.images.names[i],
                image=png_base64(self.images.levels[i]),
                given=self.classes[int(self.images.labels[i])],
                suggested=self.classes[int(self.quality.suggested[i])],
                of_given=float(self.quality.score[i]),
                of_suggested=float(self.log_proba[i].max().exp()),
                suspected=bool(self.quality.suspected[i]),
            )
            for i in self.quality.order[:count].tolist()
        ]

    def to_csv(self) -> str:
        """One row for each image, the most doubtful first."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label", "suggested", "p_label", "p_suggested", "suspected"])
        for i in self.quality.order.tolist():
            writer.writerow(
                [
                    self.images.names[i],
                    self.classes[int(self.images.labels[i])],
                    self.classes[int(self.quality.suggested[i])],
                    f"{float(self.quality.score[i]):.6g}",
                    f"{float(self.log_proba[i].max().exp()):.6g}",
                    "yes" if self.quality.suspected[i] else "no",
                ]
            )
        return file.getvalue()


def audit(
    images: LabelledImages, classes: Sequence[str], log_proba: Tensor, judged_by: str
) -> Audit:
    """Ranks labels by doubt.

    Args:
        images: Labelled images.
        classes: Names of the labels.
        log_proba: log p(y | x) by models that were not trained on the image, (N, K).
        judged_by: What gave them, for people.

    Raises:
        AuditError: If a class has no image.
        ImportError: If cleanlab is not installed.
    """
    counts = torch.bincount(images.labels, minlength=len(classes))
    absent = [name for name, count in zip(classes, counts, strict=True) if not count]
    if absent:
        raise AuditError(
            f"doubt is relative to the images of each class, and there is none of "
            f"{', '.join(absent)}; leave the class out, or use a model of the classes there are"
        )
    quality = label_quality(log_proba, images.labels)
    return Audit(images, tuple(classes), log_proba, quality, judged_by)


@undisturbed()
def audit_by_model(
    source: str,
    model: str | Path,
    *,
    data_dir: Path | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Audit:
    """Audits a collection by a trained model; images that it was trained on are left out.

    Args:
        source: As for `labelled_images`.
        model: Run directory or checkpoint folder.
        data_dir: Folder of the data.
        device: Where the model runs.
        progress: See `Progress`.

    Raises:
        AuditError: If the classes of the collection are not the model's, or it was trained on all
            of the images.

    Warns:
        DatasetWarning: If images were left out.
    """
    loaded = load_model(model, device)
    dataset = load_data_for(loaded, _spec(source), data_dir=data_dir)
    if dataset.classes != loaded.classes:
        raise AuditError(
            f"the model knows {', '.join(loaded.classes)}, and {source} has "
            f"{', '.join(dataset.classes)}; without --model small ones are trained on it"
        )
    images = labelled_images(dataset)
    known = {*names_trained_on(dataset, training_record(Path(model)))}
    if known:
        new = [place for place, name in enumerate(images.names) if name not in known]
        said = f"{Path(model).name} was trained on {len(images) - len(new)} of the {len(images)}"
        if not new:
            raise AuditError(
                f"{said} images, so it believes their labels; without --model small models are "
                "trained, each without the images that it judges"
            )
        warnings.warn(f"{said} images, which are left out", DatasetWarning, stacklevel=3)
        images = images.select(new)
    log_proba = class_posterior(
        _scores(loaded, images, progress, "scoring"), loaded.log_prior, loaded.temperature
    )
    return audit(images, loaded.classes, log_proba, f"the model {Path(model).name}")


@undisturbed()
def audit_by_folds(
    source: str,
    *,
    data_dir: Path | None = None,
    image_size: tuple[int, int] | None = None,
    folds: int = FOLDS,
    config: RunConfig = SMALL,
    progress: Progress | None = None,
) -> Audit:
    """Audits a collection by small models, each trained without the images that it scores.

    Args:
        source: As for `labelled_images`.
        data_dir: Folder of the data.
        image_size: Rows and columns; None: the source's own; of files the one that all share, or
            `SIZE_OF_FILES` where they do not, or it is larger or too small for a network.
        folds: In how many parts the images are left out.
        config: What is trained; its data are not used.
        progress: See `Progress`.

    Raises:
        AuditError: If there are too few images of a class, or fewer than two folds.
        KeyboardInterrupt: If a signal stopped a training.
        RunStopped: If the time limit of `config` did.
    """
    spec = _spec(source)
    if image_size is None and spec.startswith(("folder:", "csv:")):
        image_size = _size_of_files(spec)
    dataset = load_dataset(spec, data_dir=data_dir, image_size=image_size, allow_upscaling=True)
    images, (rows, columns) = labelled_images(dataset), dataset.image_size
    table = out_of_fold(images, dataset.classes, config, folds=folds, progress=progress)
    prior = uniform_log_prior(len(dataset.classes))
    temperatures = held_out_temperatures(table, prior, images.labels, seed=config.seed)
    return audit(
        images,
        dataset.classes,
        class_posterior(table, prior, temperatures),
        f"{folds} models of the kind {config.model}, each trained for {config.training.epochs} "
        f"epochs on the other images, at {rows} x {columns} pixels",
    )


def labelled_images(dataset: ImageDataset) -> LabelledImages:
    """All labelled images of all splits.

    Raises:
        AuditError: If there is none.
    """
    parts = [
        split.select((split.labels != UNLABELLED).nonzero()[:, 0])
        for split in dataset.splits.values()
    ]
    if not sum(map(len, parts)):
        raise AuditError(f"{dataset.source} has no labelled image, so there is nothing to audit")
    return LabelledImages(
        torch.cat([part.levels for part in parts]),
        torch.cat([part.labels for part in parts]),
        tuple(name for part in parts for name in part.names),
    )


def out_of_fold(
    images: LabelledImages,
    classes: Sequence[str],
    config: RunConfig,
    *,
    folds: int = FOLDS,
    progress: Progress | None = None,
) -> Tensor:
    """log p(x | y) of every image, up to a term of the image, by a model trained without it.

    Args:
        images: All labelled.
        classes: Names of the labels.
        config: What is trained; its seed divides the images and starts the weights.
        folds: Parts; classes are spread evenly over them.
        progress: Called with what is being done and the numbers of folds done and in all.

    Returns:
        (N, K), float64, nats.

    Raises:
        AuditError: If there are too few images of a class, or fewer than two folds.
    """
    counts = torch.bincount(images.labels, minlength=len(classes))
    few = [name for name, n in zip(classes, counts.tolist(), strict=True) if n < SMALLEST_CLASS]
    if folds < 2 or few:
        raise AuditError(
            f"images are left out in two folds or more (got {folds}), and each class needs "
            f"{SMALLEST_CLASS} images or more; too few of: {', '.join(few) or 'none'}"
        )
    fold = _folds(images.labels, folds, config.seed)
    table = torch.empty(len(images), len(classes), dtype=torch.float64)
    for number in range(folds):
        others = (fold != number).nonzero()[:, 0]
        left_out = (fold == number).nonzero()[:, 0]
        if progress is not None:
            progress("training without a fold", number, folds)
        with tempfile.TemporaryDirectory() as scratch:
            model = _trained(images.select(others), classes, config, Path(scratch))
        table[left_out] = model.log_likelihoods(images.levels[left_out])
    if progress is not None:
        progress("training without a fold", folds, folds)
    return table


def write_audit(folder: Path, found: Audit, *, shown: int) -> None:
    """Writes audit.csv, every image, and audit.html, the most doubtful.

    Raises:
        OSError: If the files cannot be written.
    """
    page = audit_html(
        title="Doubtful labels",
        judged_by=found.judged_by,
        images=len(found.images),
        suspected=found.suspected,
        doubtful=found.most_doubtful(shown),
    )
    with filling(folder, FILES_OF[Kind.AUDIT]) as staging:
        write_whole(staging / "audit.csv", found.to_csv())
        write_whole(staging / "audit.html", page)


def _size_of_files(spec: str) -> tuple[int, int]:
    """At which size small models see files."""
    splits = open_source(spec).listing().splits.values()
    sizes = {(rows, columns) for files in splits for rows, columns, _ in files.kinds()}
    own = sizes.pop() if len(sizes) == 1 else SIZE_OF_FILES
    fits = all(SMALLEST_SIDE <= side <= most for side, most in zip(own, SIZE_OF_FILES, strict=True))
    return own if fits else SIZE_OF_FILES


def _spec(source: str) -> str:
    """A folder may be given as it is."""
    return f"folder:{source}" if Path(source).is_dir() else source


def _folds(labels: Tensor, folds: int, seed: int) -> Tensor:
    """Which fold each image is in, (N,): of every class each fold has as many, give or take one."""
    draw = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=draw)
    by_class = order[labels[order].argsort(stable=True)]
    fold = torch.empty(len(labels), dtype=torch.int64)
    fold[by_class] = torch.arange(len(labels)) % folds
    return fold


def _trained(
    images: LabelledImages, classes: Sequence[str], config: RunConfig, scratch: Path
) -> Model:
    """The best of a run on these images, a few of which choose the epoch."""
    held_back = _folds(images.labels, HELD_BACK, config.seed + 1) == 0
    of_class = torch.bincount(images.labels)[images.labels]
    held_back &= of_class > SMALLEST_CLASS
    if not held_back.any():  # one image then, of a class that keeps another
        if of_class.max() < SMALLEST_CLASS:
            raise AuditError(
                "without a fold each class has one image, and one more is needed to choose the "
                f"epoch; add images, or give more than {len(images)} in --folds"
            )
        held_back[of_class.argmax()] = True
    arrays: dict[str, Any] = {}
    for name, chosen in (("train", ~held_back), ("val", held_back)):
        arrays[f"x_{name}"] = images.levels[chosen].permute(0, 2, 3, 1).numpy()
        arrays[f"y_{name}"] = images.labels[chosen].numpy()
    file = scratch / "images.npz"
    np.savez(file, classes=np.array([str(name) for name in classes]), **arrays)
    # Duplicates are the caller's to tell: here they have neither their names nor their place.
    data = DataConfig(data=f"npz:{file}", near_duplicates="ignore")
    with interrupted_by_signals():
        run = train(replace(config, data=data), scratch / "run", progress=False)
    return load_model(run.best)


def _scores(model: Model, images: LabelledImages, progress: Progress | None, what: str) -> Tensor:
    def done(count: int) -> None:
        if progress is not None:
            progress(what, count, len(images))

    return model.log_likelihoods(images.levels, progress=done)
