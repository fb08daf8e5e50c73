"""Generate: images drawn from p(x | y), or completed from what is known of them.

Randomness is one generator that runs through all images in order, so the result depends on
the seed and on the order of the labels, but not on how many images are drawn at a time.

Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pixelbayes.core import PixelCNNConfig
from pixelbayes.core.precision import isolated
from pixelbayes.data import read_image
from pixelbayes.inference import PixelBayes, complete, complete_weighted, first_rows, sample
from pixelbayes.inference.memory import feature_budget
from pixelbayes.workflows.samples import Samples

__all__ = ["automatic_batch_size", "generate"]

ROWS_PER_BLOCK = 10
"""Rows of F channels that the cached sampler keeps for one image in each gated block."""
SCORED_AT_A_TIME = 32  # images of one full pass, which keeps whole maps
WHITE = 128  # from this level on, a pixel of a mask is white


def generate(
    model: PixelBayes,
    classes: Sequence[str | int] | None = None,
    *,
    count: int = 1,
    seed: int = 0,
    batch_size: int | None = None,
    source: str | Path | None = None,
    rows: int | None = None,
    mask: str | Path | None = None,
    candidates: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> Samples:
    """Draws images of some classes, or completes one image file as each of them.

    Args:
        model: The trained model.
        classes: Names or indices; None: all classes.
        count: Images of each class.
        seed: The same seed draws the same images, whatever the batch size.
        batch_size: Images drawn at a time; None: as many as suit the device.
        source: An image file to complete.
        rows: How many of its first rows are kept; None: half of them, unless there is a mask.
        mask: An image file, white where pixels are drawn and black where they are kept.
        candidates: Draws from which one is chosen for each image, by the likelihood of known
            pixels that come after drawn ones (`pixelbayes.inference.completion`).
        progress: Called with what is being done and the numbers done and in all.

    Raises:
        ValueError: If a class is unknown, a number is out of range, or something is said about
            completing without a `source`.
        DatasetError: If a file cannot be read.
    """
    for flag, number in (("--count", count), ("--candidates", candidates)):
        if number < 1:
            raise ValueError(f"{flag} is a number of images above 0, got {number}")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"--batch-size is a number of images above 0, got {batch_size}")
    chosen = range(len(model.classes)) if classes is None else map(model.class_index, classes)
    labels = torch.tensor([index for index in chosen for _ in range(count)], dtype=torch.int64)
    if not len(labels):
        raise ValueError(f"no class to draw; choose from: {', '.join(model.classes)}")
    given = _given(model, source, rows, mask, candidates)
    size = batch_size or automatic_batch_size(model.model.config, model.device)
    generator = torch.Generator().manual_seed(seed)
    if given is not None and candidates > 1:
        levels = _chosen(model, labels, given, candidates, size, generator, progress)
    else:
        levels = _drawn(model, labels, given, size, generator, progress)
    return Samples(
        levels=levels,
        labels=labels,
        log_prob=_log_prob(model, levels, labels),
        seed=seed,
        source=None if source is None else str(source),
        known=None if given is None else given.known,
        candidates=candidates,
    )


@dataclass(frozen=True, eq=False)
class _Given:
    """An image to complete: uint8 (C, H, W), and bool (H, W)."""

    levels: Tensor
    known: Tensor


def _given(
    model: PixelBayes,
    source: str | Path | None,
    rows: int | None,
    mask: str | Path | None,
    candidates: int,
) -> _Given | None:
    config = model.model.config
    if source is None:
        for flag, given in (("--rows", rows), ("--mask", mask)):
            if given is not None:
                raise ValueError(f"{flag} says how much of --complete FILE is kept; give both")
        if candidates > 1:
            raise ValueError("--candidates chooses between completions; give --complete FILE")
        return None
    if mask is not None:
        if rows is not None:
            raise ValueError("--rows and --mask both say which pixels are kept; give one of them")
        known = read_image(mask, channels=1, resize=model.resize)[0] < WHITE
        if bool(known.all()):
            raise ValueError(
                f"{mask} keeps every pixel; make it white where pixels are to be drawn"
            )
    else:
        height = config.image_size[0]
        kept = height // 2 if rows is None else rows
        if not 0 <= kept < height:
            raise ValueError(f"--rows is the number of rows to keep, 0..{height - 1}, got {kept}")
        known = first_rows(model.model, kept)
    return _Given(read_image(source, channels=config.channels, resize=model.resize), known)


def _drawn(
    model: PixelBayes,
    labels: Tensor,
    given: _Given | None,
    batch_size: int,
    generator: torch.Generator,
    progress: Callable[[str, int, int], None] | None,
) -> Tensor:
    """One draw for each label, (N, C, H, W), on the CPU."""
    network, batches = model.model, labels.split(batch_size)
    rows = network.config.image_size[0]
    if given is not None:
        rows = int((~given.known).any(dim=1).sum())
    finished = 0

    def on_row(_: int, __: Tensor) -> None:
        nonlocal finished
        finished += 1
        if progress is not None:
            progress("drawing rows", finished, rows * len(batches))

    drawn = []
    for batch in batches:
        there = batch.to(model.device)
        if given is None:
            levels = sample(network, there, generator=generator, on_row=on_row)
        else:
            start = given.levels.to(model.device).expand(len(batch), -1, -1, -1)
            levels = complete(
                network, there, start, given.known, generator=generator, on_row=on_row
            )
        drawn.append(levels.cpu())
    return torch.cat(drawn)


def _chosen(
    model: PixelBayes,
    labels: Tensor,
    given: _Given,
    candidates: int,
    batch_size: int,
    generator: torch.Generator,
    progress: Callable[[str, int, int], None] | None,
) -> Tensor:
    """For each label one of several draws, by weight, (N, C, H, W), on the CPU."""
    pictures = []
    for number, label in enumerate(labels.tolist(), start=1):
        draws = complete_weighted(
            model.model,
            label,
            given.levels,
            given.known,
            draws=candidates,
            generator=generator,
            batch_size=batch_size,
        )
        pictures.append(draws.choose(1, generator))
        if progress is not None:
            progress("completing images", number, len(labels))
    return torch.cat(pictures)


@isolated
def _log_prob(model: PixelBayes, levels: Tensor, labels: Tensor) -> Tensor:
    """log p(x | y), (N,), float64, nats, on the CPU."""
    scored = []
    batches = zip(levels.split(SCORED_AT_A_TIME), labels.split(SCORED_AT_A_TIME), strict=True)
    for batch, batch_labels in batches:
        there = batch.to(model.device)
        scored.append(model.model(there, batch_labels.to(model.device)).log_prob(there).cpu())
    return torch.cat(scored).double()


def automatic_batch_size(config: PixelCNNConfig, device: str | torch.device = "cpu") -> int:
    """How many images can be drawn at a time within the memory budget of a device.

    >>> automatic_batch_size(PixelCNNConfig(classes=10))
    20
    """
    height, width = config.image_size
    features = ROWS_PER_BLOCK * config.gated_blocks * config.features * width
    noise = height * width * (config.mixtures + config.channels)
    float32, float64 = 4, 8
    return max(1, feature_budget(torch.device(device)) // (features * float32 + noise * float64))
