"""Compare: trained models side by side on images that none of them was trained on.

A run measures itself on the images of its own splits, as it recorded them.  Compared are those that
stand in the same split of every model, so that each answers about images that are new to it, and
differences are taken image by image.  Of other data, those are left out that a model was trained
on.

Shapes: N images, K classes.
Units:  log-probabilities in nats per image, code lengths in bits per dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from pixelbayes.core import bits_per_dim
from pixelbayes.data import UNLABELLED, ImageDataset, SplitRecord
from pixelbayes.errors import PixelBayesError
from pixelbayes.evaluation import Estimate, mean_estimate
from pixelbayes.inference import class_posterior
from pixelbayes.inference.memory import freed_memory_kept
from pixelbayes.models import Model
from pixelbayes.models.hub import find_model, load
from pixelbayes.report import Comparison
from pixelbayes.switches import undisturbed
from pixelbayes.workflows.evaluation_data import (
    NOT_AT_HAND,
    training_data,
    whole_remarks,
    without_trained,
)
from pixelbayes.workflows.scoring import SMALLEST_SPLIT, Progress, measures, score_split
from pixelbayes.workflows.study.comparisons import comparison

__all__ = ["Contrast", "Contrasts", "ModelNumbers", "compare"]

HEADLINES = ("test", "validation")
"""Splits to answer with, the first of which all models have labels."""


@dataclass(frozen=True)
class ModelNumbers:
    """One model, measured on the shared images."""

    name: str
    title: str
    """What it is, in a few words."""
    temperature: float
    """That of its probabilities."""
    measures: dict[str, Estimate]
    """By the names of `pixelbayes.report.tables.COLUMNS`."""


@dataclass(frozen=True)
class Contrast:
    """The first of two models against the second, image by image."""

    first: str
    comparison: Comparison
    """Accuracy: the paired difference in points, and McNemar's test."""
    bits_per_dim: Estimate | None
    """Code length of the first minus that of the second; None unless both are densities and see the
    same levels: of one size and by one filter."""


@dataclass(frozen=True)
class Contrasts:
    """What a comparison found."""

    data: str
    split: str
    n: int
    """Images that all models were measured on."""
    models: list[ModelNumbers]
    contrasts: list[Contrast]
    notes: list[str]


@dataclass(frozen=True, eq=False)
class _Measured:
    """A model and its answers about the images of a split, in their order."""

    name: str
    model: Model
    source: str
    places: dict[str, int]
    """Position of each labelled image by its name."""
    levels: Tensor
    labels: Tensor
    """(N,)."""
    table: Tensor
    """log p(x | y), (N, K)."""

    def rows(self, names: Sequence[str]) -> Tensor:
        """Positions of these images."""
        return torch.tensor([self.places[name] for name in names])

    def posterior(self, rows: Tensor) -> Tensor:
        """log p(y | x) at the model's temperature."""
        return class_posterior(self.table[rows], self.model.log_prior, self.model.temperature)

    def correct(self, rows: Tensor) -> Tensor:
        """Which of these images it put into their class."""
        return self.posterior(rows).argmax(dim=1) == self.labels[rows]

    def of_truth(self, rows: Tensor) -> Tensor:
        """log p(x | true class)."""
        return self.table[rows].gather(1, self.labels[rows][:, None])[:, 0]


@undisturbed()
@freed_memory_kept()
def compare(
    paths: Sequence[str | Path],
    *,
    split: str | None = None,
    data: str | None = None,
    data_dir: str | Path | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Contrasts:
    """Measures models on the same images and tests each pair of them.

    Args:
        paths: Run directories, checkpoint folders or names of shipped models, two or more.
        split: Images to measure on; None: test where all models have labels there, else validation.
        data: Source of the images; None: the one that the models were trained on.
        data_dir: Folder of the data; None: as in training.
        device: Where the models run.
        progress: See `Progress`.

    Raises:
        PixelBayesError: If there are fewer than two models, they have different classes or data, or
            no labelled images are in the same split of all.
        EvaluationError: If a model was trained on all of these images.
        CheckpointError: If there is no usable model.
        DatasetError: If the data cannot be loaded.
    """
    names = _names(paths)
    loaded: list[tuple[str, Model, ImageDataset]] = []
    records: list[SplitRecord | None] = []
    notes = []
    for name, path in zip(names, paths, strict=True):
        folder = find_model(path)
        model = load(path, device)
        dataset, own, record = training_data(folder, model, data, data_dir, whole=split is None)
        loaded.append((name, model, dataset))
        records.append(None if own else record)
        if not own and record is None:
            notes.append(f"{name}: {NOT_AT_HAND}")
        notes += [note for note in whole_remarks(dataset) if not own and note not in notes]
    _require_alike(loaded)
    chosen = split or _headline([dataset for _, _, dataset in loaded])
    for place, record in enumerate(records):
        if record is not None:
            name, model, dataset = loaded[place]
            dataset, left_out = without_trained(dataset, record, [chosen])
            loaded[place] = (name, model, dataset)
            notes += [f"{name}: {sentence}" for sentence in left_out]
    measured = [_measured(*one, chosen, progress) for one in loaded]
    shared = [
        name for name in measured[0].places if all(name in other.places for other in measured[1:])
    ]
    if len(shared) < SMALLEST_SPLIT:
        raise PixelBayesError(
            f"the models share {len(shared)} labelled images of the split {chosen}, since their "
            "splits differ; name images that none was trained on with --data"
        )
    _require_same_content(measured, shared)
    largest = max(len(one.labels) for one in measured)
    if len(shared) < largest:
        notes.append(
            f"The splits of the models differ: {len(shared)} of up to {largest} images are in the "
            f"split {chosen} of all of them."
        )
    return Contrasts(
        data=measured[0].source,
        split=chosen,
        n=len(shared),
        models=[_numbers(one, shared) for one in measured],
        contrasts=[_contrast(*pair, chosen, shared) for pair in combinations(measured, 2)],
        notes=notes,
    )


def _names(paths: Sequence[str | Path]) -> list[str]:
    """What to call each model: the last part of its path, where that tells all apart."""
    if len(paths) < 2:
        raise PixelBayesError(f"two models or more are compared, got {len(paths)}")
    given = [str(path) for path in paths]
    doubles = sorted({path for path in given if given.count(path) > 1})
    if doubles:
        raise PixelBayesError(f"{', '.join(doubles)} is given more than once")
    short = [Path(path).name for path in given]
    return short if len(set(short)) == len(short) else given


def _require_alike(loaded: Sequence[tuple[str, Model, ImageDataset]]) -> None:
    first, model, dataset = loaded[0]
    for name, other, images in loaded:
        if images.classes != other.classes:
            raise PixelBayesError(
                f"{name} tells {', '.join(other.classes)} apart, and {images.source} has other "
                f"classes ({', '.join(images.classes)}); name images of its classes with --data"
            )
        if other.classes != model.classes:
            raise PixelBayesError(
                f"{first} and {name} tell other classes apart ({', '.join(model.classes)}; "
                f"{', '.join(other.classes)}), so their answers cannot be compared"
            )
        if images.source != dataset.source:
            raise PixelBayesError(
                f"{first} was trained on {dataset.source} and {name} on {images.source}; name "
                "images for both with --data"
            )


def _headline(datasets: Sequence[ImageDataset]) -> str:
    for name in HEADLINES:
        splits = [dataset.splits.get(name) for dataset in datasets]
        if all(
            images is not None and int((images.labels != UNLABELLED).sum()) >= SMALLEST_SPLIT
            for images in splits
        ):
            return name
    raise PixelBayesError("no split has labels for all models; choose one with --split")


def _measured(
    name: str, model: Model, dataset: ImageDataset, split: str, progress: Progress | None
) -> _Measured:
    def show(what: str, done: int, total: int) -> None:
        if progress is not None:
            progress(f"{name}: {what}", done, total)

    scored = score_split(model, dataset, split, show)
    images = scored.images.select(scored.labelled)
    return _Measured(
        name=name,
        model=model,
        source=dataset.source,
        places={one: place for place, one in enumerate(images.names)},
        levels=images.levels,
        labels=images.labels,
        table=scored.log_likelihood[scored.labelled],
    )


def _require_same_content(measured: Sequence[_Measured], shared: Sequence[str]) -> None:
    """Refuses images that are called alike and are not.

    Raises:
        PixelBayesError: If a label differs, or levels that should not.
    """
    first = measured[0]
    mine = first.rows(shared)
    for other in measured[1:]:
        theirs = other.rows(shared)
        same = torch.equal(first.labels[mine], other.labels[theirs])
        forms = [(one.model.resize, one.model.channels) for one in (first, other)]
        if same and forms[0] == forms[1]:
            same = torch.equal(first.levels[mine], other.levels[theirs])
        if not same:
            raise PixelBayesError(
                f"{first.name} and {other.name} have other images or labels under the same names; "
                "name images for both with --data"
            )


def _numbers(one: _Measured, shared: Sequence[str]) -> ModelNumbers:
    rows = one.rows(shared)
    found = measures(
        {"": one.posterior(rows)}, one.labels[rows], one.of_truth(rows), one.model.dims
    )
    return ModelNumbers(
        name=one.name,
        title=one.model.title,
        temperature=one.model.temperature,
        measures={name.rstrip("/"): number for name, number in found.items()},
    )


def _contrast(first: _Measured, second: _Measured, split: str, shared: Sequence[str]) -> Contrast:
    mine, theirs = first.rows(shared), second.rows(shared)
    code_length = None
    dims, other_dims = first.model.dims, second.model.dims
    same = first.levels[mine].equal(second.levels[theirs])
    if same and dims is not None and other_dims is not None:
        lengths = [
            bits_per_dim(one.of_truth(rows), dims)
            for one, rows in ((first, mine), (second, theirs))
        ]
        code_length = mean_estimate(lengths[0] - lengths[1], "bits/dim")
    return Contrast(
        first=first.name,
        comparison=comparison(second.name, split, first.correct(mine), second.correct(theirs)),
        bits_per_dim=code_length,
    )
