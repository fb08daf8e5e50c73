"""Generate: images drawn from p(x | y), or completed from what is known of them.

Randomness is one generator that runs through all images in order, and a batch is filled up to
whole tiles (`pixelbayes.inference.cached`), so that image i has the same noise and the same place
in its tile whatever the batch size: levels depend on the seed and the order of the labels, to the
last bit, and not on how many images are drawn at a time.  Among several candidates the choice goes
by weights of full passes over batches, whose last bits depend on the size of a batch.

Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pixelbayes.core import PixelCNN
from pixelbayes.data import read_image
from pixelbayes.data.masks import white_pixels
from pixelbayes.data.naming import whole_number
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference import complete, complete_weighted, first_rows
from pixelbayes.inference.cached import whole_tiles
from pixelbayes.models import Model, PixelBayes
from pixelbayes.switches import undisturbed
from pixelbayes.workflows.samples import Samples

__all__ = ["generate"]


@undisturbed()
def generate(
    model: Model,
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
        batch_size: Images drawn at a time, rounded up to whole tiles, which cost the same; None:
            as many as suit the device.
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
    above_0 = "is a number of images above 0"
    count = whole_number(count, f"--count {above_0}", least=1)
    candidates = whole_number(candidates, f"--candidates {above_0}", least=1)
    if batch_size is not None:
        batch_size = whole_number(batch_size, f"--batch-size {above_0}", least=1)
    seed = whole_number(seed, "--seed is a whole number, 0 or more")
    chosen = range(len(model.classes)) if classes is None else map(model.class_index, classes)
    labels = torch.tensor([index for index in chosen for _ in range(count)], dtype=torch.int64)
    if not len(labels):
        raise PixelBayesError(f"no class to draw; choose from: {', '.join(model.classes)}")
    given = _given(model, source, rows, mask, candidates)
    size = whole_tiles(batch_size or model.images_at_a_time(), model.device)
    generator = torch.Generator().manual_seed(seed)
    if given is not None and candidates > 1:
        levels = _chosen(labels, given, candidates, size, generator, progress)
    else:
        levels = _drawn(model, labels, given, size, generator, progress)
    return Samples(
        levels=levels,
        labels=labels,
        log_prob=-model.nats_in_parts(levels, labels),
        seed=seed,
        source=None if source is None else str(source),
        known=None if given is None else given.known,
        candidates=candidates,
    )


@dataclass(frozen=True, eq=False)
class _Given:
    """An image to complete."""

    network: PixelCNN
    levels: Tensor
    """uint8, (C, H, W)."""
    known: Tensor
    """bool, (H, W)."""


def _given(
    model: Model,
    source: str | Path | None,
    rows: int | None,
    mask: str | Path | None,
    candidates: int,
) -> _Given | None:
    if source is None:
        for flag, given in (("--rows", rows), ("--mask", mask)):
            if given is not None:
                raise PixelBayesError(
                    f"{flag} belongs to 'pixelbayes complete IMAGE'; sample draws all"
                )
        if candidates > 1:
            raise PixelBayesError(
                "--candidates chooses between completions; see 'pixelbayes complete'"
            )
        return None
    if not isinstance(model, PixelBayes):
        raise PixelBayesError(f"a {model.noun} cannot complete images; a PixelCNN can")
    if mask is not None:
        if rows is not None:
            raise PixelBayesError(
                "--rows and --mask both say which pixels are kept; give one of them"
            )
        known = ~white_pixels(mask, model.resize)
        if bool(known.all()):
            raise PixelBayesError(
                f"{mask} keeps every pixel; make it white where pixels are to be drawn"
            )
    else:
        height = model.image_size[0]
        kept = height // 2 if rows is None else rows
        if not 0 <= kept < height:
            raise PixelBayesError(
                f"--rows is the number of rows to keep, 0..{height - 1}, got {kept}"
            )
        known = first_rows(model.network, kept)
    levels = read_image(source, channels=model.channels, resize=model.resize)
    return _Given(model.network, levels, known)


def _drawn(
    model: Model,
    labels: Tensor,
    given: _Given | None,
    batch_size: int,
    generator: torch.Generator,
    progress: Callable[[str, int, int], None] | None,
) -> Tensor:
    """One draw for each label, (N, C, H, W), on the CPU."""
    batches, rows = labels.split(batch_size), model.image_size[0]
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
        if given is None:
            levels = model.draw(batch, generator, on_row)
        else:
            there = batch.to(model.device)
            start = given.levels.to(model.device).expand(len(batch), -1, -1, -1)
            levels = complete(
                given.network, there, start, given.known, generator=generator, on_row=on_row
            )
        drawn.append(levels.cpu())
    return torch.cat(drawn)


def _chosen(
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
            given.network,
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
