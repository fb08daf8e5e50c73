"""What a study found about one model with one seed, as data: the source of all its tables.

A `ModelResult` is a tree of plain dataclasses, written as result.json beside the run it is
about.  Splits are named "train", "validation" and "test"; posteriors "raw" and "calibrated".
Images are PNGs in base64 (`pixelbayes.report.png_base64`) and hold exactly their levels.

JSON knows neither NaN nor infinity: an `Estimate` says beside a null what it was, elsewhere a
number that is not finite becomes null.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from pixelbayes.evaluation.accuracy import McNemar
from pixelbayes.evaluation.calibration import ReliabilityCurve
from pixelbayes.evaluation.estimate import Estimate
from pixelbayes.evaluation.fid import FIDScore
from pixelbayes.io import write_whole
from pixelbayes.models import MODELS
from pixelbayes.report.plain import finite, plain
from pixelbayes.report.report import ReportError

__all__ = [
    "Comparison",
    "EpochScore",
    "ModelResult",
    "Reason",
    "load_result",
    "save_result",
]

FORMAT = 1  # raised when a reader of the old result.json would misread the new one

Reason = Literal["epochs", "patience", "unfinished"]


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
    """FID of a checkpoint that was kept on the way (course protocol, 192 dimensions)."""

    epoch: int
    """Counted from 1."""
    fid: Estimate


@dataclass(frozen=True, kw_only=True)
class ModelResult:
    """Everything that a study measured on one model with one seed."""

    name: str
    """Name of the model in the study, e.g. "gated-long"."""
    kind: str
    """Of the model, as in `pixelbayes.models.MODELS`."""
    seed: int
    fusion: str | None = None
    """Where the label enters a PixelCNN++; None for a ResNet-18."""
    parameters: int
    """Number of trained weights."""
    epochs: int
    """Epochs done."""
    best_epoch: int
    """Epoch of the evaluated checkpoint, counted from 1."""
    reason: Reason
    """Why the training ended: all epochs done, no better for `patience` epochs, or not yet."""
    training_seconds: float | None = None
    accuracy: dict[str, Estimate] = field(default_factory=dict)
    """By split, in %; a split whose labels are withheld is absent."""
    bits_per_dim: dict[str, Estimate] = field(default_factory=dict)
    """By split; empty for a ResNet-18, which knows no p(image)."""
    log_loss: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    """By split and posterior, nats."""
    ece: dict[str, dict[str, float]] = field(default_factory=dict)
    """Expected calibration error in [0, 1] by split and posterior."""
    temperature: float | None = None
    """Of the calibrated posterior, fitted on validation."""
    reliability: dict[str, dict[str, ReliabilityCurve]] = field(default_factory=dict)
    """By split and posterior."""
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
    """With each ResNet-18 of the study."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The resolved configuration of the run."""
    notes: list[str] = field(default_factory=list)
    """What a reader must know about these numbers, a sentence each."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Command, commit, versions, machine, date, as `workflows.provenance` describes them."""

    def __post_init__(self) -> None:
        if self.kind not in MODELS:
            raise ReportError(
                f"kind of a result is one of {', '.join(sorted(MODELS))}, got {self.kind!r}"
            )
        if self.reason not in get_args(Reason):
            raise ReportError(
                f"reason of a result is one of {', '.join(get_args(Reason))}, got {self.reason!r}"
            )

    @property
    def finished(self) -> bool:
        """Whether the training went to its end."""
        return self.reason != "unfinished"

    def score(self, protocol: str, dims: int) -> FIDScore | None:
        """The score under one protocol and number of features, None where there is none."""
        found = (s for s in self.scores if (s.protocol, s.dims) == (protocol, dims))
        return next(found, None)

    def to_json(self) -> dict[str, Any]:
        """Describes the result in values that strict JSON can hold."""
        described: dict[str, Any] = {"format": FORMAT}
        for entry in fields(self):
            described[entry.name] = plain(getattr(self, entry.name))
        described["ece"] = {
            split: {key: finite(x) for key, x in errors.items()}
            for split, errors in self.ece.items()
        }
        described["curves"] = {
            name: [None if x is None else finite(x) for x in column]
            for name, column in self.curves.items()
        }
        described["scores"] = [score.to_json() for score in self.scores]
        described["epoch_scores"] = [
            {"epoch": score.epoch, "fid": score.fid.to_json()} for score in self.epoch_scores
        ]
        described["comparisons"] = [
            {
                "other": comparison.other,
                "split": comparison.split,
                "mcnemar": asdict(comparison.mcnemar),
                "difference": comparison.difference.to_json(),
            }
            for comparison in self.comparisons
        ]
        return described

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> "ModelResult":
        """Rebuilds what `to_json` described.

        Raises:
            ReportError: If the format is another one or a field is missing or malformed.
        """
        if described.get("format") != FORMAT:
            raise ReportError(
                f"this version reads results of format {FORMAT}, got {described.get('format')!r}; "
                "run the study again to evaluate the model anew"
            )
        try:
            content = {entry.name: described[entry.name] for entry in fields(cls)}
            return cls(**_rebuilt(content))
        except KeyError as error:
            raise ReportError(f"the result lacks the field {error}") from error
        except (TypeError, AttributeError, ValueError) as error:
            raise ReportError(f"the result is malformed: {error}") from error


def save_result(result: ModelResult, path: Path) -> None:
    """Writes a result as JSON; the file appears whole or not at all.

    Args:
        result: What to write.
        path: The file, by custom result.json in the run's directory; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(path, text + "\n")


def load_result(path: Path) -> ModelResult:
    """Reads a result back.

    Raises:
        FileNotFoundError: If there is no such file.
        ReportError: If it is not a result of this format; the message names the file.
    """
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(described, dict):
            raise ReportError(f"expected an object, got {type(described).__name__}")
        return ModelResult.from_json(described)
    except (UnicodeDecodeError, json.JSONDecodeError, ReportError) as error:
        raise ReportError(f"{path}: {error}") from error


def _rebuilt(content: dict[str, Any]) -> dict[str, Any]:
    for name in ("accuracy", "bits_per_dim"):
        content[name] = {k: Estimate.from_json(x) for k, x in content[name].items()}
    content["log_loss"] = {
        split: {key: Estimate.from_json(x) for key, x in losses.items()}
        for split, losses in content["log_loss"].items()
    }
    content["ece"] = {
        split: {key: math.nan if x is None else float(x) for key, x in errors.items()}
        for split, errors in content["ece"].items()
    }
    content["reliability"] = {
        split: {key: ReliabilityCurve(**x) for key, x in curves.items()}
        for split, curves in content["reliability"].items()
    }
    content["scores"] = [FIDScore.from_json(x) for x in content["scores"]]
    content["epoch_scores"] = [
        EpochScore(epoch=int(x["epoch"]), fid=Estimate.from_json(x["fid"]))
        for x in content["epoch_scores"]
    ]
    content["epoch_samples"] = {int(k): png for k, png in content["epoch_samples"].items()}
    content["comparisons"] = [
        Comparison(
            other=x["other"],
            split=x["split"],
            mcnemar=McNemar(**x["mcnemar"]),
            difference=Estimate.from_json(x["difference"]),
        )
        for x in content["comparisons"]
    ]
    return content
