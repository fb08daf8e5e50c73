"""The tab Complete: a part is painted away, and the model draws it anew.

As many candidates are drawn as the sampler computes together anyway, and weighed by how likely
they make the known pixels that come after the drawn ones; the best few are shown.

Shapes: N candidates, C channels, H x W pixels.
Units:  nats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pixelbayes.app.markup import render
from pixelbayes.core import bits_per_dim
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.cached import tile_size
from pixelbayes.inference.completion import importance_weights
from pixelbayes.inference.sampling import RowCallback
from pixelbayes.models import Model, PixelBayes

__all__ = [
    "PAINTED",
    "PARTS",
    "Completion",
    "canvas",
    "complete",
    "completion_html",
    "enlarged",
    "hidden_part",
    "opacity",
    "painted_part",
    "progress_html",
]

SHOWN = 4
EDITOR_SIDE = 384  # pixels of the painting: a whole multiple of 32, and fits a telephone
PAINTED_SHARE = 0.25  # of a pixel's square
NOT_DRAWN = 128  # grey where a pixel waits, or is no pixel of the image
PAINTED = "what I paint"
PARTS: dict[str, Callable[[int, int], tuple[slice, slice]]] = {
    "the lower half": lambda rows, columns: (slice(rows // 2, rows), slice(None)),
    "the right half": lambda rows, columns: (slice(None), slice(columns // 2, columns)),
    "the middle": lambda rows, columns: (
        slice(rows // 4, rows - rows // 4),
        slice(columns // 4, columns - columns // 4),
    ),
}
"""Parts that can be chosen without a brush: rows and columns of the part."""


@dataclass(frozen=True, eq=False)
class Completion:
    """The best completions, the most likely image first."""

    levels: Tensor
    """uint8 (N, C, H, W)."""
    log_prob: tuple[float, ...]
    """log p(x | y) of each whole image."""
    label: int
    unknown: Tensor
    """bool (H, W), true where pixels were drawn."""
    candidates: int


def enlarged(levels: Tensor) -> npt.NDArray[np.uint8]:
    """The image as RGB, its pixels squares, (H', W', 3).

    Args:
        levels: uint8 (C, H, W).
    """
    factor = max(1, EDITOR_SIDE // max(levels.shape[1:]))
    large = levels.repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2)
    picture: npt.NDArray[np.uint8] = large.expand(3, -1, -1).permute(1, 2, 0).numpy()
    return np.ascontiguousarray(picture)


def canvas(levels: Tensor) -> npt.NDArray[np.uint8]:
    """The image to paint on, (S, S, 3): a square, as the editor's canvas is, which fits others in.

    What the image lacks in height or width is grey, below it or beside it.

    Args:
        levels: uint8 (C, H, W).
    """
    side = max(levels.shape[1:])
    square = torch.full((len(levels), side, side), NOT_DRAWN, dtype=torch.uint8)
    square[:, : levels.shape[1], : levels.shape[2]] = levels
    return enlarged(square)


def hidden_part(part: str, size: tuple[int, int]) -> Tensor:
    """A part of `PARTS` as a mask, bool (H, W), true where pixels are to be drawn.

    Raises:
        PixelBayesError: If there is no such part.
    """
    if part not in PARTS:
        raise PixelBayesError(f"no part {part!r}; choose one of: {', '.join(PARTS)}")
    unknown = torch.zeros(size, dtype=torch.bool)
    unknown[PARTS[part](*size)] = True
    return unknown


def opacity(painting: Mapping[str, Any] | None, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """How opaque the layers of a painting are, 0 to 255, (H', W'); zeros where nothing is painted.

    Args:
        painting: What `gradio.ImageEditor` gives: RGBA layers over a background.
        size: H and W, where there is no layer.
    """
    layers = (painting or {}).get("layers") or []
    alphas = [np.asarray(layer)[..., 3] for layer in layers]
    return np.maximum.reduce(alphas) if alphas else np.zeros(size, dtype=np.uint8)


def painted_part(opacity: npt.NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """What a brush has covered, as a mask, bool (H, W), true where pixels are to be drawn.

    A pixel counts where at least a quarter of its square is painted.

    Args:
        opacity: Of the layer that was painted on, 0 to 255, a square of any size, as of `canvas`.
        size: H and W.
    """
    side = max(size)
    rows, columns = (
        round(length * part / side) for length, part in zip(opacity.shape, size, strict=True)
    )
    covered = torch.from_numpy((opacity[:rows, :columns] > 127).astype(np.float32))[None, None]
    return F.adaptive_avg_pool2d(covered, size)[0, 0] >= PAINTED_SHARE


def complete(
    model: Model,
    label: int,
    levels: Tensor,
    unknown: Tensor,
    *,
    seed: int,
    on_row: RowCallback | None = None,
) -> Completion:
    """Draws the unknown pixels several times and keeps the best.

    Args:
        model: A PixelCNN.
        label: The class to draw as.
        levels: uint8 (C, H, W).
        unknown: bool (H, W), true where pixels are to be drawn.
        seed: The same seed draws the same pixels.
        on_row: Called after each drawn row; may raise to end the drawing.

    Raises:
        PixelBayesError: If the model cannot complete images, or nothing is unknown.
    """
    if not isinstance(model, PixelBayes):
        raise PixelBayesError(f"a {model.noun} cannot complete images; a PixelCNN can")
    if not unknown.any():
        raise PixelBayesError(
            "nothing is painted away yet: paint over a part of the image, or choose one below it"
        )
    network, known = model.network, ~unknown
    candidates = tile_size(model.device) if model.device.type == "cpu" else 4 * SHOWN
    labels, given = torch.full((candidates,), label), levels.expand(candidates, -1, -1, -1)
    generator = torch.Generator().manual_seed(seed)
    drawn = model.draw_given(labels, given, known, generator, on_row)
    device = model.device
    weights = importance_weights(
        network, labels.to(device), drawn.to(device), known & _after(unknown)
    )
    best = weights.argsort(descending=True, stable=True)[:SHOWN]
    log_prob = -model.nats(drawn[best], labels[:SHOWN])
    order = log_prob.argsort(descending=True, stable=True)
    return Completion(
        drawn[best[order]], tuple(log_prob[order].tolist()), label, unknown, candidates
    )


def progress_html(row: int, levels: Tensor, unknown: Tensor) -> str:
    """All candidates as far as they are drawn.

    Args:
        row: The last finished row.
        levels: uint8 (N, C, H, W).
        unknown: bool (H, W).
    """
    by_row = unknown.any(dim=1)
    waiting = unknown & (torch.arange(len(by_row)) > row)[:, None]
    shown = levels.cpu().masked_fill(waiting, NOT_DRAWN)
    return render(
        "completing.html.jinja",
        images=list(shown),
        done=int(by_row[: row + 1].sum()),
        rows=int(by_row.sum()),
        shown=SHOWN,
    )


def completion_html(model: Model, done: Completion, original: Tensor) -> str:
    """The completions beside what was known, with the likelihood of each."""
    assert model.dims is not None  # what completes images is a density
    bits = bits_per_dim(torch.tensor(done.log_prob, dtype=torch.float64), model.dims).tolist()
    original_bits = float(
        bits_per_dim(-model.nats(original[None], torch.tensor([done.label])), model.dims)[0]
    )
    images = [
        {"levels": image, "bits": bit, "behind": done.log_prob[0] - log_prob}
        for image, bit, log_prob in zip(done.levels, bits, done.log_prob, strict=True)
    ]
    return render(
        "completion.html.jinja",
        images=images,
        original=original,
        original_bits=original_bits,
        drawn=int(done.unknown.sum()),
        pixels_in_all=done.unknown.numel(),
        label=model.classes[done.label],
        candidates=done.candidates,
    )


def _after(unknown: Tensor) -> Tensor:
    """Pixels that come after the first unknown one in raster order, bool (H, W)."""
    return (unknown.flatten().cumsum(dim=0) > 0).view(unknown.shape)
