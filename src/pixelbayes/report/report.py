"""What an evaluation found, as data; everything that is read by people is made from it.

A `Report` is a tree of plain dataclasses.  `save` writes it as `report.json` and generates
`report.md` and `report.html` beside it; `load` reads the JSON back.  Images are PNGs in base64
and hold exactly their levels, so the report needs no other file.

JSON knows neither NaN nor infinity.  Where such a number occurs it becomes null (an `Estimate`
says beside it what it was) or, in the free-form tables, its name as text.
"""

import base64
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pixelbayes.errors import PixelBayesError
from pixelbayes.evaluation.calibration import ReliabilityCurve
from pixelbayes.evaluation.estimate import Estimate
from pixelbayes.io import write_whole
from pixelbayes.report.plain import finite, plain

__all__ = [
    "Report",
    "ReportError",
    "SplitResult",
    "WrongImage",
    "from_json",
    "load",
    "png_base64",
    "save",
    "to_json",
]

FORMAT = 1  # raised when a reader of the old report.json would misread the new one


class ReportError(PixelBayesError):
    """A report.json that cannot be read, or was written by another version."""


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


@dataclass(frozen=True)
class SplitResult:
    """Everything measured on one labelled split."""

    split: str
    n: int
    accuracy: Estimate
    bits_per_dim: Estimate | None
    """None where the model is no density."""
    confusion: list[list[int]]
    """Counts (true, predicted)."""
    per_class: list[Estimate]
    """Accuracy of each class, in the order of `Report.classes`."""
    log_loss: dict[str, Estimate]
    """By posterior: "raw", "calibrated"."""
    ece: dict[str, float]
    """Expected calibration error in [0, 1], same keys."""
    reliability: dict[str, ReliabilityCurve]
    """Same keys."""
    most_confidently_wrong: list[WrongImage]
    """Most confident first."""


@dataclass(frozen=True)
class Report:
    """One evaluation of one model, complete enough to be believed and repeated."""

    title: str
    classes: list[str]
    temperature: float | None
    """Fitted on validation; None where the posterior is raw only."""
    accuracy: Estimate
    """Of the headline split: what `report.json` answers first."""
    headline_split: str
    """"test" where it is labelled, else "validation"; a key of `splits`."""
    splits: dict[str, SplitResult]
    curves: dict[str, list[float | None]]
    """Columns of the training log, one entry per epoch: "epoch", "train/bits_per_dim", ..."""
    samples: dict[str, list[str]]
    """Class name to generated images, PNG in base64."""
    model: dict[str, Any]
    data: dict[str, Any]
    training: dict[str, Any]
    provenance: dict[str, Any]
    """Command, commit, seed, versions, date, seconds."""
    notes: list[str]

    def __post_init__(self) -> None:
        if self.headline_split not in self.splits:
            raise ReportError(
                f"the headline split {self.headline_split!r} is not among the evaluated ones: "
                f"{', '.join(self.splits) or 'none'}"
            )


def to_json(report: Report) -> dict[str, Any]:
    """Describes a report in values that strict JSON can hold; `from_json` reads it back."""
    described: dict[str, Any] = {"format": FORMAT}
    for field in fields(report):
        described[field.name] = plain(getattr(report, field.name))
    described["splits"] = {name: _split_to_json(split) for name, split in report.splits.items()}
    described["curves"] = {
        name: [None if x is None else finite(x) for x in column]
        for name, column in report.curves.items()
    }
    return described


def from_json(described: Mapping[str, Any]) -> Report:
    """Rebuilds a report from what `to_json` returned.

    Raises:
        ReportError: If the format is another one or a field is missing or malformed.
    """
    if described.get("format") != FORMAT:
        raise ReportError(
            f"this version reads reports of format {FORMAT}, got {described.get('format')!r}; "
            "evaluate the model again to write a new report"
        )
    try:
        content = {field.name: described[field.name] for field in fields(Report)}
        content["accuracy"] = Estimate.from_json(content["accuracy"])
        content["splits"] = {k: _split_from_json(v) for k, v in content["splits"].items()}
        return Report(**content)
    except KeyError as error:
        raise ReportError(f"the report lacks the field {error}") from error
    except (TypeError, AttributeError, ValueError) as error:
        raise ReportError(f"the report is malformed: {error}") from error


def save(report: Report, folder: Path) -> tuple[Path, Path, Path]:
    """Writes `report.json`, `report.md` and `report.html` into a folder.

    Each file appears whole or not at all: a reader never sees half of one.

    Args:
        report: What to write.
        folder: Created if missing; reports in it are replaced.

    Returns:
        The paths of the JSON, the Markdown and the web page.
    """
    from pixelbayes.report.html import html
    from pixelbayes.report.markdown import markdown

    folder.mkdir(parents=True, exist_ok=True)
    paths = (folder / "report.json", folder / "report.md", folder / "report.html")
    text = json.dumps(to_json(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(paths[0], text)
    write_whole(paths[1], markdown(report))
    write_whole(paths[2], html(report))
    return paths


def load(path: Path) -> Report:
    """Reads a report back.

    Args:
        path: A `report.json`, or the folder that holds it.

    Raises:
        FileNotFoundError: If there is no such file.
        ReportError: If it is not a report of this format; the message names the file.
    """
    path = path / "report.json" if path.is_dir() else path
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(described, dict):
            raise ReportError(f"expected an object, got {type(described).__name__}")
        return from_json(described)
    except (UnicodeDecodeError, json.JSONDecodeError, ReportError) as error:
        raise ReportError(f"{path}: {error}") from error


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


def _split_to_json(split: SplitResult) -> dict[str, Any]:
    described = {field.name: plain(getattr(split, field.name)) for field in fields(split)}
    described["ece"] = {name: finite(x) for name, x in split.ece.items()}
    return described


def _split_from_json(described: Mapping[str, Any]) -> SplitResult:
    content = {field.name: described[field.name] for field in fields(SplitResult)}
    for name in ("accuracy", "bits_per_dim"):
        content[name] = Estimate.from_json(content[name])
    content["per_class"] = [Estimate.from_json(x) for x in content["per_class"]]
    content["log_loss"] = {k: Estimate.from_json(v) for k, v in content["log_loss"].items()}
    content["ece"] = {k: math.nan if v is None else float(v) for k, v in content["ece"].items()}
    content["reliability"] = {k: ReliabilityCurve(**v) for k, v in content["reliability"].items()}
    content["most_confidently_wrong"] = [WrongImage(**x) for x in content["most_confidently_wrong"]]
    return SplitResult(**content)
