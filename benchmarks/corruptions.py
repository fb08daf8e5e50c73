"""Accuracy on photographs that were spoilt: the shipped models beside a ResNet-18.

    python -m benchmarks.corruptions --data-dir DIR --resnet RUN

Six corruptions in three strengths each of the course's validation images, at the models' size, in
the manner of Hendrycks and Dietterich (ICLR 2019, arXiv 1903.12261); no model was trained on any.
"""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from benchmarks.figures import new_figure
from benchmarks.records import Column, Record, Table, origin, write
from benchmarks.running import options, run
from pixelbayes.data import load_dataset
from pixelbayes.evaluation import accuracy
from pixelbayes.evaluation.accuracy import paired_difference
from pixelbayes.models import load_model
from pixelbayes.models.hub import DEFAULT, DENSITY, find_model

COMMAND = ["python", "-m", "benchmarks.corruptions"]
GREY = 128
Generator = np.random.Generator
Pixels = np.ndarray[Any, np.dtype[np.uint8]]
"""One image, (H, W, C)."""


def noise(pixels: Pixels, deviation: float, random: Generator) -> Pixels:
    """Adds normal noise of a standard deviation in levels."""
    return _levels(pixels + random.normal(0.0, deviation, pixels.shape))


def blur(pixels: Pixels, radius: float, random: Generator) -> Pixels:
    """Convolves with a Gaussian of a standard deviation in pixels."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def contrast(pixels: Pixels, factor: float, random: Generator) -> Pixels:
    """Moves all levels towards their mean."""
    mean = pixels.mean()
    return _levels(mean + factor * (pixels - mean))


def jpeg(pixels: Pixels, quality: float, random: Generator) -> Pixels:
    """Stores and reads as JPEG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=int(quality))
    return np.asarray(Image.open(file))


def occlusion(pixels: Pixels, side: float, random: Generator) -> Pixels:
    """Covers a square of so many pixels, anywhere inside, with grey."""
    height, width, _ = pixels.shape
    top, left = (int(random.integers(0, size - int(side) + 1)) for size in (height, width))
    covered = pixels.copy()
    covered[top : top + int(side), left : left + int(side)] = GREY
    return covered


def shift(pixels: Pixels, distance: float, random: Generator) -> Pixels:
    """Moves by so many pixels along both axes, either way; the border is repeated."""
    reach = int(distance)
    padded = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    top, left = (int(random.choice([0, 2 * reach])) for _ in range(2))
    return padded[top : top + pixels.shape[0], left : left + pixels.shape[1]]


def _levels(values: np.ndarray[Any, Any]) -> Pixels:
    levels: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return levels


@dataclass(frozen=True)
class Corruption:
    """What is done to each image, and how strongly."""

    apply: Callable[[Pixels, float, Generator], Pixels]
    unit: str
    strengths: tuple[float, ...]

    def to(self, levels: Tensor, strength: float) -> Tensor:
        """The images spoilt; the same ones for the same images and strength.

        Args:
            levels: uint8, (N, C, H, W).
            strength: One of `strengths`.
        """
        random = np.random.default_rng(0)
        spoilt = [self.apply(image.permute(1, 2, 0).numpy(), strength, random) for image in levels]
        return torch.from_numpy(np.stack(spoilt)).permute(0, 3, 1, 2).contiguous()


CORRUPTIONS = {
    "noise": Corruption(noise, "levels", (8, 16, 32)),
    "blur": Corruption(blur, "pixels", (0.5, 1.0, 1.5)),
    "contrast": Corruption(contrast, "of the contrast", (0.75, 0.5, 0.25)),
    "JPEG": Corruption(jpeg, "quality", (80, 50, 20)),
    "occlusion": Corruption(occlusion, "pixels", (8, 12, 16)),
    "shift": Corruption(shift, "pixels", (1, 2, 4)),
}


def main() -> None:
    """Measures, and writes corruptions.json, corruptions.md and the figure."""
    parser = options("Accuracy on photographs that were spoilt.")
    parser.add_argument("--resnet", type=Path, required=True, help="run of a ResNet-18")
    given = parser.parse_args()
    validation = load_dataset("cpen455", data_dir=given.data_dir).split("validation")
    models = {name: load_model(find_model(name)) for name in (DEFAULT, DENSITY)}
    models["resnet18"] = load_model(given.resnet)
    sets = {("none", ""): validation.levels} | {
        (name, f"{strength:g} {it.unit}"): it.to(validation.levels, strength)
        for name, it in CORRUPTIONS.items()
        for strength in it.strengths
    }
    rows, points = [], []
    for (name, strength), levels in sets.items():
        print(f"{name} {strength}", file=sys.stderr)
        right = {
            key: (model.log_likelihoods(levels) + model.log_prior).argmax(dim=1)
            == validation.labels
            for key, model in models.items()
        }
        row: dict[str, Any] = {"corruption": name, "strength": strength}
        for key, correct in right.items():
            row[key] = accuracy(int(correct.sum()), len(correct)).brief
            if key != "resnet18":
                row[f"{key}-more"] = paired_difference(correct, right["resnet18"], seed=0).brief
        points.append(
            {"corruption": name, "strength": strength}
            | {key: 100 * correct.double().mean().item() for key, correct in right.items()}
        )
        rows.append(row)
    record = Record(
        name="corruptions",
        title="Photographs that were spoilt",
        settings={
            "corruptions": {name: list(it.strengths) for name, it in CORRUPTIONS.items()},
            "resnet18": dict(models["resnet18"].metadata.provenance.get("training", {})),
        },
        tables=(
            Table(
                f"Accuracy on {len(validation.labels)} validation images",
                (
                    Column("corruption", "corruption"),
                    Column("strength", "strength"),
                    *(Column(key, key) for key in models),
                    *(
                        Column(f"{key}-more", f"{key} minus resnet18")
                        for key in models
                        if key != "resnet18"
                    ),
                ),
                tuple(rows),
            ),
        ),
        provenance=origin() | {"command": shlex.join(COMMAND + sys.argv[1:])},
        curves={"points": points},
        brackets="95 %: Wilson's of an accuracy, the paired bootstrap's of a difference.",
    )
    print(record.to_markdown())
    print("wrote", *write(record, given.output, {"accuracy": _drawn(record)}), file=sys.stderr)


def _drawn(record: Record) -> Any:
    figure, axes = new_figure(len(CORRUPTIONS) // 2)
    names = [column.key for column in record.tables[0].columns[2:5]]
    points = record.curves["points"]
    kinds = list(CORRUPTIONS)
    for axis, pair in zip(axes, (kinds[:2], kinds[2:4], kinds[4:]), strict=True):
        for style, kind in zip(("-", "--"), pair, strict=True):
            some = [points[0], *(point for point in points if point["corruption"] == kind)]
            for color, name in enumerate(names):
                axis.plot(
                    range(len(some)),
                    [point[name] for point in some],
                    style,
                    color=f"C{color}",
                    label=f"{name}, {kind}",
                )
        axis.set(xlabel="strength", xticks=range(4), ylim=(0, 100))
        axis.legend(fontsize="x-small")
    axes[0].set_ylabel("accuracy, %")
    return figure


if __name__ == "__main__":
    run(main)
