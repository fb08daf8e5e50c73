"""Measuring one trained model of a study: the numbers and images that its result is made of.

Everything that takes long is a piece on disk (`pixelbayes.workflows.study.cache`), so a
measurement that was stopped goes on where it was.

Shapes: N images, K classes, C channels, H x W pixels.
Units:  log-probabilities in nats per image.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixelbayes.data import SPLITS, ImageDataset, LabelledImages, grid
from pixelbayes.inference import class_posterior
from pixelbayes.io import replacing
from pixelbayes.models import Model, load_model
from pixelbayes.models.base import answers_digest
from pixelbayes.report import EpochScore, png_base64
from pixelbayes.training.seeds import derived_seed
from pixelbayes.workflows.generate import generate
from pixelbayes.workflows.scoring import (
    SMALLEST_SPLIT,
    Progress,
    ScoredSplit,
    notes_on,
    split_numbers,
    tempering_of,
)
from pixelbayes.workflows.study.cache import Cache, levels_digest
from pixelbayes.workflows.study.scores import Scorer
from pixelbayes.workflows.study.trial import Trial

__all__ = ["ANSWERS", "PREDICTIONS", "Measurement"]

BLOCK = 512  # images of one piece: seconds on a GPU, a minute or two on a slow processor
SHOWN = 8  # images of each class that a page shows
SHOWN_EPOCHS = 6  # epochs whose images are shown: as many as fit one row
ANSWERS = "answers"
"""Name of the piece that holds the predictions of all images."""
PREDICTIONS = "test_predictions.csv"


@dataclass
class Measurement:
    """Measures the best checkpoint of a run, and those kept on the way."""

    trial: Trial
    """Which run."""
    dataset: ImageDataset
    """The images, at the model's size and without a crop margin."""
    _: KW_ONLY
    scorer: Scorer | None
    """Scores generated images; None: they are only shown."""
    per_class: int
    """Images of each class to generate, at least."""
    device: str
    cache: Cache
    progress: Progress
    """May raise to stop between two pieces or within one."""

    def __post_init__(self) -> None:
        self.best = self.trial.path / "best"
        self.weights = answers_digest(self.best)
        self.model = load_model(self.best, self.device)

    def run(self, kept: Mapping[int, Path]) -> dict[str, Any]:
        """Measures everything.

        Args:
            kept: Checkpoints kept on the way, by epoch.

        Returns:
            Fields of a `ModelResult`.
        """
        scored = {name: self._scored(name) for name in SPLITS if name in self.dataset.splits}
        fields = self._evaluated(scored)
        fields |= self._generated()
        fields |= self._over_epochs(kept)
        fields["parameters"] = self.model.parameters
        withheld = {
            name: split for name, split in scored.items() if len(split.labelled) < SMALLEST_SPLIT
        }
        fields["notes"] = [
            *notes_on(self.model, withheld, self.dataset.splits),
            *fields.pop("remarks"),
        ]
        return fields

    @property
    def answers_key(self) -> dict[str, Any]:
        """What the predictions depend on: the key of the piece `ANSWERS`."""
        splits = self.dataset.splits
        levels = {
            name: levels_digest(images.levels, images.labels) for name, images in splits.items()
        }
        return {"weights": self.weights, "levels": levels}

    def _scored(self, name: str) -> ScoredSplit:
        """The table of log-likelihoods of a split, block by block."""
        images = self.dataset.split(name)
        blocks = [self._block(images, start, name) for start in range(0, len(images), BLOCK)]
        return ScoredSplit(images, torch.cat(blocks))

    def _block(self, images: LabelledImages, start: int, name: str) -> Tensor:
        levels = images.levels[start : start + BLOCK]

        def done(count: int) -> None:
            self._tell(f"scoring {name}", start + count, len(images))

        def table() -> dict[str, Tensor]:
            return {"table": self.model.log_likelihoods(levels, progress=done)}

        key = {"weights": self.weights, "levels": levels_digest(levels)}
        return self.cache.tensors(f"table-{name}", key, table)["table"]

    def _evaluated(self, scored: dict[str, ScoredSplit]) -> dict[str, Any]:
        """Accuracy, calibration and code length; predictions of all images."""
        prior, remarks = self.model.log_prior, []
        tempering = tempering_of(scored.get("validation"), prior, self.trial.temperature)
        temperature = tempering.temperature
        if tempering.decision is None:
            remarks.append("There are no labelled validation images to fit a temperature on.")
        else:  # for later predictions
            remarks.append(tempering.decision.sentence)
            self.model.with_temperature(temperature).save(self.best)
        answers = {}
        for name, split in scored.items():
            predicted = class_posterior(split.log_likelihood, prior, temperature).argmax(1)
            answers[name] = {
                "images": levels_digest(split.images.levels, split.images.labels),
                "labels": split.images.labels.tolist(),
                "predicted": predicted.tolist(),
            }
            if name == "test":
                write_predictions(self.trial.path / PREDICTIONS, split.images, predicted)
        self.cache.value(ANSWERS, self.answers_key, lambda: answers)
        return {
            "splits": {
                name: split_numbers(name, split, prior, tempering, self.model.dims)[0]
                for name, split in scored.items()
                if len(split.labelled) >= SMALLEST_SPLIT
            },
            "temperature": tempering.decision and temperature,
            "remarks": remarks,
        }

    def _generated(self) -> dict[str, Any]:
        """Images of the best checkpoint, and their scores."""
        first = self._draw(self.model, self.weights, 0)
        if first is None:
            return {}
        samples = {
            name: [png_base64(image) for image in images[:SHOWN]]
            for name, images in zip(self.model.classes, first, strict=True)
        }
        scores = []
        if self.scorer is not None:
            drawn = partial(self._first, self.model, self.weights)
            scores = self.scorer.score(drawn, self._key(self.weights), self.cache)
        return {"samples": samples, "scores": scores}

    def _over_epochs(self, kept: Mapping[int, Path]) -> dict[str, Any]:
        """FID and images of the checkpoints kept on the way."""
        scores: list[EpochScore] = []
        pictures: dict[int, str] = {}
        if not self.model.can_sample:
            return {}
        shown = spread(list(kept), SHOWN_EPOCHS)
        for number, (epoch, folder) in enumerate(kept.items()):
            if self.scorer is None and epoch not in shown:
                continue
            self._tell("scoring epochs", number, len(kept))
            weights = answers_digest(folder)
            model = load_model(folder, self.device)
            if self.scorer is not None:
                drawn = partial(self._first, model, weights)
                fid = self.scorer.epoch(drawn, self._key(weights), self.cache)
                if fid is not None:
                    scores.append(EpochScore(epoch=epoch, fid=fid))
            images = self._draw(model, weights, 0) if epoch in shown else None
            if images is not None:
                rows = images[:, :SHOWN]
                pictures[epoch] = png_base64(grid(rows.flatten(0, 1), columns=rows.shape[1]))
        return {"epoch_scores": scores, "epoch_samples": pictures}

    def _first(self, model: Model, weights: str, number: int) -> Tensor:
        """The first so many generated images of each class, (K, number, C, H, W)."""
        parts = []
        for part in range(-(-number // self.per_class)):
            drawn = self._draw(model, weights, part)
            assert drawn is not None
            parts.append(drawn)
        return torch.cat(parts, dim=1)[:, :number]

    def _draw(self, model: Model, weights: str, part: int) -> Tensor | None:
        """`per_class` generated images of each class; each part has a seed of its own."""
        if not model.can_sample:
            return None

        def draw() -> dict[str, Tensor]:
            seed = derived_seed("study samples", self.trial.seed, part)
            on_cpu = model.device.type == "cpu"
            drawn = generate(
                model,
                count=self.per_class,
                seed=seed,
                # Drawing waits for one pixel after the other: an accelerator takes all at once.
                batch_size=None if on_cpu else self.per_class * len(model.classes),
                progress=self._tell,
            )
            return {"levels": drawn.levels.unflatten(0, (len(model.classes), self.per_class))}

        return self.cache.tensors("samples", {**self._key(weights), "part": part}, draw)["levels"]

    def _key(self, weights: str) -> dict[str, Any]:
        """What generated images depend on."""
        return {"weights": weights, "per_class": self.per_class, "seed": self.trial.seed}

    def _tell(self, what: str, done: int, total: int) -> None:
        self.progress(f"{self.trial}: {what}", done, total)


def write_predictions(path: Path, images: LabelledImages, predicted: Tensor) -> None:
    """Writes a row path,label for each image, without a header, as the course's tables are."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        rows = zip(images.names, predicted.tolist(), strict=True)
        csv.writer(file, lineterminator="\n").writerows(rows)


def spread(values: Sequence[int], number: int) -> list[int]:
    """At most so many of the values, evenly spread, with the first and the last.

    >>> spread([1, 2, 3, 4, 5, 6, 7], 3)
    [1, 4, 7]
    """
    if len(values) <= number:
        return list(values)
    last = len(values) - 1
    return [values[round(i * last / (number - 1))] for i in range(number)]
