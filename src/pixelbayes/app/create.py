"""The tab Create: images drawn from p(x | y), row by row.

Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pixelbayes.app.limits import Limits
from pixelbayes.app.markup import render
from pixelbayes.core import bits_per_dim
from pixelbayes.data import grid
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference import class_posterior
from pixelbayes.inference.sampling import RowCallback
from pixelbayes.models import Model

__all__ = ["EACH", "TEMPERATURES", "Drawing", "draw", "drawing_html", "rows_html"]

EACH = "one of each class"
TEMPERATURES = (0.5, 1.2)  # below, plain colours; above, noise
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True, eq=False)
class Drawing:
    """Images that were drawn, and what the model makes of them."""

    levels: Tensor
    """uint8 (N, C, H, W)."""
    labels: tuple[int, ...]
    """Classes they were drawn as."""
    seed: int
    temperature: float
    bits: tuple[float, ...]
    """Code length of each under its class, bits/dim."""
    predicted: tuple[int, ...]
    """The class that Bayes' rule gives each."""
    confidence: tuple[float, ...]
    """Its probability."""


def labels_of(model: Model, label: str, count: int, limits: Limits) -> tuple[int, ...]:
    """Classes of the images to draw.

    Raises:
        PixelBayesError: If there is no such class, or more images than one drawing may have.
    """
    if label == EACH:
        return tuple(range(min(len(model.classes), limits.images)))
    if not 1 <= count <= limits.images:
        raise PixelBayesError(
            f"a drawing has 1 to {limits.images} images, got {count}; draw again for more"
        )
    return (model.class_index(label),) * count


def draw(
    model: Model,
    labels: tuple[int, ...],
    *,
    temperature: float,
    seed: int,
    on_row: RowCallback | None = None,
) -> Drawing:
    """Draws one image of each class given; the same seed draws the same images.

    Args:
        model: One that can draw.
        labels: Classes, from `labels_of`.
        temperature: Multiplies the spread of every pixel; 1 draws from p(x | y).
        seed: A whole number, 0 to 2^32 - 1.
        on_row: Called after each drawn row; may raise to end the drawing.

    Raises:
        PixelBayesError: If the model cannot draw, or a number is out of range.
    """
    low, high = TEMPERATURES
    if not low <= temperature <= high:
        raise PixelBayesError(f"the temperature is {low} to {high}, got {temperature}")
    if not 0 <= seed <= LARGEST_SEED:
        raise PixelBayesError(f"the seed is a whole number, 0 to {LARGEST_SEED}, got {seed}")
    classes = torch.tensor(labels, dtype=torch.int64)
    generator = torch.Generator().manual_seed(seed)
    levels = model.draw(classes, generator, on_row, temperature=temperature)
    table = model.log_likelihoods(levels)
    own = table.gather(1, classes[:, None])[:, 0]
    log_posterior = class_posterior(table, model.log_prior, model.temperature)
    best = log_posterior.max(dim=1)
    assert model.dims is not None  # what draws images is a density
    return Drawing(
        levels,
        labels,
        seed,
        temperature,
        tuple(bits_per_dim(own, model.dims).tolist()),
        tuple(best.indices.tolist()),
        tuple(best.values.exp().tolist()),
    )


def rows_html(model: Model, labels: tuple[int, ...], row: int, levels: Tensor) -> str:
    """The images as far as they are drawn.

    Args:
        model: Whose classes are named.
        labels: Classes that are drawn.
        row: The last finished row.
        levels: uint8 (N, C, H, W); what is below that row is not drawn yet.
    """
    return render(
        "rows.html.jinja",
        images=[(model.classes[y], image) for y, image in zip(labels, levels, strict=True)],
        done=row + 1,
        rows=levels.shape[2],
    )


def drawing_html(model: Model, drawn: Drawing) -> str:
    """The finished images, each to download, with what the model makes of it."""
    images = [
        {
            "levels": image,
            "label": model.classes[label],
            "file": _file_name(model.classes[label], drawn.seed, number),
            "bits": bits,
            "predicted": model.classes[predicted],
            "confidence": confidence,
        }
        for number, (image, label, bits, predicted, confidence) in enumerate(
            zip(
                drawn.levels,
                drawn.labels,
                drawn.bits,
                drawn.predicted,
                drawn.confidence,
                strict=True,
            ),
            start=1,
        )
    ]
    columns = min(4, len(images))
    return render(
        "drawing.html.jinja",
        images=images,
        exact=model.is_exact,
        seed=drawn.seed,
        temperature=drawn.temperature,
        mosaic=grid(drawn.levels, columns) if len(images) > 1 else None,
        mosaic_file=f"seed-{drawn.seed}-all.png",
        right=sum(a == b for a, b in zip(drawn.labels, drawn.predicted, strict=True)),
    )


def _file_name(label: str, seed: int, number: int) -> str:
    plain = "".join(character if character.isalnum() else "-" for character in label)
    return f"{plain}-seed-{seed}-{number}.png"
