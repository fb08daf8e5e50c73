"""What a trained model's scores owe to how images are made and tails are computed.

The same weights and the same originals, scored seven ways: reduced by Pillow, which antialiases
and rounds after the rows and after the columns, or in floating point with or without
antialiasing, rounded to levels or not; with exact tails or with the approximation of the paper's
code.  The weights have learned from the first row's images, so a difference is of the score as
well as of what the model is used to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from benchmarks.records import Column, Record, Table, origin
from benchmarks.subjects import describe
from pixelbayes.core import PixelCNN, bits_per_dim
from pixelbayes.core.likelihood import HALF_BIN, LEVELS, log_logistic_bin, to_axis
from pixelbayes.data import ImageDataset, Resize
from pixelbayes.evaluation import accuracy, mean_estimate, paired_difference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "FULL",
    "QUICK",
    "Plan",
    "draw",
    "log_likelihoods_on_axis",
    "measure",
    "paper_log_bin",
]

SMALLEST_PROBABILITY = 1e-5  # openai/pixel-cnn, nn.py: below it the density stands in
NEVER_LOGGED = 1e-12  # as there: keeps the logarithm that is not chosen finite
OUTERMOST = 0.999  # as there: beyond it a level is the first or the last

LogBin = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        images: Of the validation split, at most.
        chunk: Images in one pass.
        seed: Of the bootstrap.
    """

    images: int = 10_000
    chunk: int = 16
    seed: int = 0


FULL = Plan()
QUICK = Plan(images=32)


def measure(plan: Plan, network: PixelCNN, originals: ImageDataset) -> Record:
    """Scores validation images every way.

    Args:
        plan: How many.
        network: In evaluation mode.
        originals: Images at their own size, a multiple of the network's.
    """
    validation = originals.split("validation")
    levels, labels = validation.levels[: plan.images], validation.labels[: plan.images]
    size = network.config.image_size
    ours = _by_pillow(levels, size)
    antialiased, plain = (_reduced(levels, size, antialias=on) for on in (True, False))
    ways: dict[str, tuple[Tensor, LogBin]] = {
        "Pillow, exact (as here)": (ours, log_logistic_bin),
        "antialiased, rounded, exact": (_rounded(antialiased), log_logistic_bin),
        "antialiased, not rounded, exact": (antialiased, log_logistic_bin),
        "not antialiased, rounded, exact": (_rounded(plain), log_logistic_bin),
        "not antialiased, not rounded, exact": (plain, log_logistic_bin),
        "Pillow, approximate": (ours, paper_log_bin),
        "not antialiased, not rounded, approximate (ports)": (plain, paper_log_bin),
    }
    tables = {
        name: _log_likelihoods(network, x, log_bin, plan.chunk)
        for name, (x, log_bin) in ways.items()
    }
    first = next(iter(tables.values()))
    return Record(
        name=f"scoring-{network.config.fusion}",
        title=f"What scores depend on, {network.config.fusion} fusion",
        settings={
            "network": describe(network.config),
            "data": originals.source,
            "plan": asdict(plan),
        },
        tables=(
            Table(
                f"{len(labels)} validation images scored by the same weights",
                (
                    Column("way", "images and likelihood"),
                    Column("bits", "bits/dim"),
                    Column("more", "more than the first row, bits/dim"),
                    Column("accuracy", "accuracy"),
                    Column("gain", "more than the first row"),
                    Column("same", "same class as the first row, %"),
                ),
                tuple(
                    _row(name, table, first, labels, network.config.dims, plan.seed)
                    for name, table in tables.items()
                ),
            ),
        ),
        provenance=origin(),
        brackets="[low, high] are 95 % intervals over images; differences are of the same image.",
    )


def draw(record: Record) -> dict[str, Figure]:
    """Nothing: the table says it all."""
    return {}


def paper_log_bin(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """`log_logistic_bin` as the paper's code computes it, with its density in the tails."""
    inverse = torch.exp(-log_scale)
    upper, lower = inverse * (x - mean + HALF_BIN), inverse * (x - mean - HALF_BIN)
    middle = inverse * (x - mean)
    probability = torch.sigmoid(upper) - torch.sigmoid(lower)
    log_density = middle - log_scale - 2.0 * F.softplus(middle)
    inside = torch.where(
        probability > SMALLEST_PROBABILITY,
        probability.clamp(min=NEVER_LOGGED).log(),
        log_density - math.log((LEVELS - 1) / 2),
    )
    first, last = F.logsigmoid(upper), F.logsigmoid(-lower)
    return torch.where(x < -OUTERMOST, first, torch.where(x > OUTERMOST, last, inside))


def _by_pillow(levels: Tensor, size: tuple[int, int]) -> Tensor:
    """As the package reads image files, on the [-1, 1] axis."""
    resize = Resize(size)
    images = (Image.fromarray(one.permute(1, 2, 0).squeeze(2).numpy()) for one in levels)
    reduced = [torch.from_numpy(np.array(resize(image))) for image in images]
    pixels = torch.stack(reduced).view(len(levels), *size, -1)
    return to_axis(pixels.movedim(-1, 1), torch.float32)


def _reduced(levels: Tensor, size: tuple[int, int], *, antialias: bool) -> Tensor:
    """Bilinear, on the [-1, 1] axis, not rounded."""
    x = levels.float() / ((LEVELS - 1) / 2) - 1.0
    return F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=antialias)


def _rounded(x: Tensor) -> Tensor:
    half = (LEVELS - 1) / 2
    return ((x + 1.0) * half).round() / half - 1.0


@torch.inference_mode()
def _log_likelihoods(network: PixelCNN, x: Tensor, log_bin: LogBin, chunk: int) -> Tensor:
    """(N, R), nats, float64."""
    axis = x.to(network.output.direction.dtype)
    return torch.cat([log_likelihoods_on_axis(network, it, log_bin) for it in axis.split(chunk)])


def log_likelihoods_on_axis(network: PixelCNN, x: Tensor, log_bin: LogBin) -> Tensor:
    """(N, K), nats, float64; the steps of `log_prob_map` for numbers that are no levels."""
    classes = torch.arange(network.config.classes)
    mixture = network.describe(x, network.conditioning(classes, image_count=len(x)))
    repeats = len(mixture.logits) // len(x)
    values = x.repeat_interleave(repeats, dim=0)[:, None]
    of_channels = log_bin(values, mixture._conditional_means(values), mixture.log_scales)
    of_components = of_channels.sum(dim=2) + F.log_softmax(mixture.logits, dim=1)
    of_images = torch.logsumexp(of_components, dim=1).double().sum(dim=(1, 2))
    return of_images.view(len(x), -1).expand(-1, len(classes))


def _row(
    name: str, table: Tensor, ours: Tensor, labels: Tensor, dims: int, seed: int
) -> dict[str, object]:
    predicted, before = table.argmax(dim=1), ours.argmax(dim=1)
    right = predicted == labels
    bits, bits_before = (
        bits_per_dim(one.gather(1, labels[:, None])[:, 0], dims) for one in (table, ours)
    )
    row: dict[str, object] = {
        "way": name,
        "bits": mean_estimate(bits, "").brief,
        "accuracy": accuracy(int(right.sum()), len(right)).brief,
    }
    if table is not ours:
        row |= {
            "more": mean_estimate(bits - bits_before, "").brief,
            "gain": paired_difference(right, before == labels, seed=seed).brief,
            "same": 100.0 * (predicted == before).double().mean().item(),
        }
    return row
