"""What an evaluation or a study found, as data: everything that people read is made from it.

The numbers of a split are one open mapping from name to `Estimate`: "accuracy", "bits_per_dim",
"log_loss/raw".  What computes a number names it, and `pixelbayes.report.tables.COLUMNS` says how
it is shown.  Posteriors are named "raw" and "calibrated" (with the temperature); images are PNGs
in base64 (`png_base64`) and hold exactly their levels.
"""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pixelbayes.errors import PixelBayesError
from pixelbayes.evaluation.accuracy import McNemar, RiskCoverage
from pixelbayes.evaluation.calibration import ReliabilityCurve
from pixelbayes.evaluation.estimate import Estimate
from pixelbayes.evaluation.fid import FIDScore
from pixelbayes.evaluation.histogram import Histogram
from pixelbayes.evaluation.temperature import TemperatureDecision

__all__ = [
    "Comparison",
    "CompletedImage",
    "EpochScore",
    "ModelResult",
    "Reason",
    "Report",
    "ReportError",
    "SplitResult",
    "WrongImage",
    "decode_png",
    "png_base64",
    "share",
]

GENERATED = "generated"
"""The split that numbers of generated images are under, in `ModelResult.measures`."""

Reason = Literal["epochs", "patience", "unfinished"]


class ReportError(PixelBayesError):
    """A report or result that cannot be read, or that holds what it should not."""


def share(value: float, n: int) -> Estimate:
    """A share in [0, 1] of which no interval is known: its ends are infinite."""
    return Estimate(value, -math.inf, math.inf, n, "")


@dataclass(frozen=True)
class WrongImage:
    """An image that was put into the wrong class, with the confidence it was put there."""

    name: str
    """Where the image came from, e.g. "test/0000001.jpg"."""
    true: int
    """Index of its class."""
    predicted: int
    """Index of the class it was put into."""
    confidence: float
    """Posterior probability of the predicted class, in [0, 1]."""
    image: str
    """The image as PNG in base64 (`png_base64`)."""
    probabilities: list[float] = field(default_factory=list)
    """Of each class; empty in reports of version 0.1."""
    evidence: str = ""
    """Where the image speaks for the answer (blue) and for the truth (orange), PNG in base64."""
    bits_per_dim: float | None = None
    """Code length under p(x): how unusual the model finds the image, whatever its class."""


@dataclass(frozen=True)
class CompletedImage:
    """An image of which the model saw the upper rows only, and what it drew below them."""

    true: int
    """Index of its class, which the model was told."""
    known_rows: int
    """Rows that were given."""
    image: str
    """The whole image as PNG in base64."""
    completions: list[str]
    """Independent draws, PNG in base64."""


@dataclass(frozen=True, kw_only=True)
class SplitResult:
    """Everything measured on one labelled split."""

    split: str
    n: int
    """Labelled images."""
    measures: dict[str, Estimate]
    """By name; that of "accuracy" is always there."""
    reliability: dict[str, ReliabilityCurve] = field(default_factory=dict)
    """By posterior."""
    confusion: list[list[int]] = field(default_factory=list)
    """Counts (true, predicted)."""
    per_class: list[Estimate] = field(default_factory=list)
    """Accuracy of each class."""
    most_confidently_wrong: list[WrongImage] = field(default_factory=list)
    """Most confident first."""
    risk_coverage: RiskCoverage | None = None
    """Errors among the images of which the model is surest, in steps of one percent of them."""
    code_lengths: Histogram | None = None
    """Of the images under p(x), bits/dim."""

    @property
    def accuracy(self) -> Estimate:
        """Share of right answers, in %."""
        return self.measures["accuracy"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """One evaluation of one model, complete enough to be believed and repeated."""

    title: str
    classes: list[str]
    temperature: float | None
    """Of the posterior that answers: fitted on validation, or 1 or the model's own where that was
    not better; None where nothing was fitted."""
    headline_split: str
    """"test" where it is labelled, else "validation"; a key of `splits`."""
    splits: dict[str, SplitResult]
    curves: dict[str, list[float | None]]
    """Columns of the training log, one entry per epoch: "epoch", "train/bits_per_dim", ..."""
    samples: dict[str, list[str]]
    """Class name to generated images, PNG in base64."""
    real_images: dict[str, list[str]] = field(default_factory=dict)
    """Class name to training images, to show beside the generated ones."""
    nearest_images: dict[str, list[str]] = field(default_factory=dict)
    """Class name to the training image that is nearest to each of `samples`."""
    completions: list[CompletedImage] = field(default_factory=list)
    """Of images that the model was not trained on."""
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    """Command, commit, seed, versions, date, seconds."""
    notes: list[str] = field(default_factory=list)
    temperature_fit: TemperatureDecision | None = None
    """What the validation images said of the temperature; None where there were none."""

    def __post_init__(self) -> None:
        if self.headline_split not in self.splits:
            raise ReportError(
                f"the headline split {self.headline_split!r} is not among the evaluated ones: "
                f"{', '.join(self.splits) or 'none'}"
            )

    @property
    def headline(self) -> SplitResult:
        """The split that answers first."""
        return self.splits[self.headline_split]

    @property
    def accuracy(self) -> Estimate:
        """Of the headline split: what `report.json` answers first."""
        return self.headline.accuracy


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A model against another one, on the same images of one split."""

    other: str
    """Name of the other model."""
    split: str
    mcnemar: McNemar
    """`b`: only this model was right; `c`: only the other one."""
    difference: Estimate
    """Accuracy of this model minus that of the other, in points."""


@dataclass(frozen=True, kw_only=True)
class EpochScore:
    """FID of a checkpoint that was kept on the way, measured as the result's first score was."""

    epoch: int
    """Counted from 1."""
    fid: Estimate


@dataclass(frozen=True, kw_only=True)
class ModelResult:
    """Everything that a study measured on one model with one seed."""

    name: str
    """Name of the model in the study, e.g. "gated-long"."""
    kind: str
    """"pixelcnn": classifies by Bayes' rule; "resnet18": the discriminative opponent."""
    seed: int
    fusion: str | None = None
    """Where the label enters a PixelCNN++; None for another kind."""
    parameters: int
    """Number of trained weights."""
    epochs: int
    """Epochs done."""
    best_epoch: int
    """Epoch of the evaluated checkpoint, counted from 1."""
    reason: Reason
    """Why the training ended: all epochs done, no better for `patience` epochs, or not yet."""
    training_seconds: float | None = None
    splits: dict[str, SplitResult] = field(default_factory=dict)
    """By name; a split whose labels are withheld is absent."""
    temperature: float | None = None
    """Of the calibrated posterior, fitted on validation."""
    scores: list[FIDScore] = field(default_factory=list)
    """FID and KID under each protocol and number of features, with their floors."""
    curves: dict[str, list[float | None]] = field(default_factory=dict)
    """Columns of metrics.csv, one entry per epoch: "epoch", "val/accuracy" (a share), ..."""
    epoch_scores: list[EpochScore] = field(default_factory=list)
    """FID over the epochs."""
    epoch_samples: dict[int, str] = field(default_factory=dict)
    """Epoch to one grid of generated images, a row per class, PNG in base64."""
    samples: dict[str, list[str]] = field(default_factory=dict)
    """Class name to its first generated images, PNG in base64."""
    comparisons: list[Comparison] = field(default_factory=list)
    """With each ResNet-18 of the study, and each PixelCNN++ before it."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The resolved configuration of the run."""
    notes: list[str] = field(default_factory=list)
    """What a reader must know about these numbers, a sentence each."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Command, commit, versions, machine, date, as `workflows.provenance` describes them."""

    def __post_init__(self) -> None:
        if self.reason not in get_args(Reason):
            raise ReportError(
                f"reason of a result is one of {', '.join(get_args(Reason))}, got {self.reason!r}"
            )

    @property
    def finished(self) -> bool:
        """Whether the training went to its end."""
        return self.reason != "unfinished"

    @property
    def generative(self) -> bool:
        """Whether the model describes images, so that they have a code length."""
        return self.fusion is not None or any(
            "bits_per_dim" in result.measures for result in self.splits.values()
        )

    @property
    def discriminative(self) -> bool:
        """Whether it only tells classes apart; an ensemble may be of both sorts, and is neither."""
        return not self.generative and self.kind != "ensemble"

    def score(self, protocol: str, dims: int) -> FIDScore | None:
        """The score under one protocol and number of features, None where there is none."""
        found = (s for s in self.scores if (s.protocol, s.dims) == (protocol, dims))
        return next(found, None)

    @property
    def measures(self) -> dict[tuple[str, str], Estimate]:
        """Every number by split and name, also of scores and comparisons.

        Names of scores end with their protocol ("fid/matched-64", "kid_floor/matched-64"), those
        of differences with the other model ("difference/resnet18").
        """
        found = {
            (split, name): x
            for split, result in self.splits.items()
            for name, x in result.measures.items()
        }
        for score in self.scores:
            for name in ("fid", "fid_floor", "kid", "kid_floor"):
                if (estimate := getattr(score, name)) is not None:
                    found[GENERATED, f"{name}/{score.protocol}-{score.dims}"] = estimate
        for comparison in self.comparisons:
            found[comparison.split, f"difference/{comparison.other}"] = comparison.difference
        return found

    def measure(self, split: str, name: str) -> Estimate | None:
        """One of `measures`, None where there is none."""
        return self.measures.get((split, name))


def png_base64(levels: Tensor) -> str:
    """Encodes one image as PNG in base64; decoding returns exactly the same levels.

    >>> png_base64(torch.zeros(1, 8, 8, dtype=torch.uint8))[:8]
    'iVBORw0K'

    Args:
        levels: uint8, (C, H, W) with C = 1 (grey) or 3 (RGB).

    Raises:
        TypeError: If `levels` is not uint8.
        ValueError: If the shape is another one.
    """
    if levels.dtype != torch.uint8:
        raise TypeError(f"an image is made of levels (torch.uint8, 0..255), got {levels.dtype}")
    if levels.ndim != 3 or levels.shape[0] not in (1, 3):
        raise PixelBayesError(
            f"expected one image, (1, H, W) or (3, H, W), got shape {tuple(levels.shape)}"
        )
    pixels = levels.detach().cpu().permute(1, 2, 0).numpy()
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if len(levels) == 1 else pixels))
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def decode_png(encoded: str) -> bytes:
    """The bytes of a PNG in base64.

    Raises:
        ReportError: If it is none.
    """
    try:
        content = base64.b64decode(encoded, validate=True)
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            image.verify()
    except (ValueError, OSError, SyntaxError) as error:  # Pillow says SyntaxError to broken PNGs
        raise ReportError(
            f"an image is not a PNG in base64 ({error}); make it with png_base64"
        ) from error
    return content
