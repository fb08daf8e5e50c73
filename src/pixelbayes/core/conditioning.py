"""What a description depends on besides pixels, and the vectors that the network makes of it.

Shapes: R conditions, F features, d embedding size.  Where each of B images has a view of its own
and meets R labels, (R, ...) becomes (B, R, ...).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["BlockConditioning", "Condition", "Conditioning"]


@dataclass(frozen=True)
class Condition:
    """What a description depends on besides pixels.

    Attributes:
        labels: int64, (R,).
        views: Which view of the image is seen (`pixelbayes.core.views`): one number for all, one
            for each label, (R,), or one for each of B images that meet each label, (B, 1).
    """

    labels: Tensor
    views: int | Tensor = 0


@dataclass(frozen=True)
class BlockConditioning:
    """What one gated block receives from the condition; None leaves the features alone.

    Attributes:
        image_count: Number of images B that the R conditions meet; None if condition r belongs to
            image r.
        scale: h * (1 + scale) before the block's second non-linearity, (R, F).
        shift: h + shift at the same place, (R, F).
        gates: Added to the 2 F pre-activations of the gate, (R, 2 F).
        result: Added to the block's output, (R, F).
    """

    image_count: int | None = None
    scale: Tensor | None = None
    shift: Tensor | None = None
    gates: Tensor | None = None
    result: Tensor | None = None

    def on_hidden(self, h: Tensor) -> Tensor:
        """Scales and shifts h."""
        if self.scale is not None:
            h = _combine(torch.mul, h, 1.0 + self.scale, self.image_count)
        return _add(h, self.shift, self.image_count)

    def on_gates(self, gates: Tensor) -> Tensor:
        """Shifts the pre-activations of the gate."""
        return _add(gates, self.gates, self.image_count)

    def on_result(self, out: Tensor) -> Tensor:
        """Shifts the block's output."""
        return _add(out, self.result, self.image_count)


@dataclass(frozen=True)
class Conditioning:
    """Everything the network receives from a batch of conditions.

    Attributes:
        image_count: As in `BlockConditioning`.
        input: Extra input channels, the same at each pixel, (R, d).
        blocks: One entry per gated block.
        output: Added before the last projection, (R, F).
        head: One entry per layer of the head.
    """

    image_count: int | None
    input: Tensor | None
    blocks: tuple[BlockConditioning, ...]
    output: Tensor | None
    head: tuple[BlockConditioning, ...] = ()

    def on_output(self, h: Tensor) -> Tensor:
        """Shifts the features before the last projection."""
        return _add(h, self.output, self.image_count)


def _add(h: Tensor, value: Tensor | None, image_count: int | None) -> Tensor:
    return h if value is None else _combine(torch.add, h, value, image_count)


def _combine(
    operation: Callable[[Tensor, Tensor], Tensor], h: Tensor, value: Tensor, image_count: int | None
) -> Tensor:
    """Combines features with one vector per condition, at each pixel.

    With `image_count` = B, h has batch B (no label has touched it yet) or B R, and the result has
    batch B R, the labels of an image side by side.
    """
    if image_count is None:
        return operation(h, value[:, :, None, None])
    per_image = h.view(image_count, -1, *h.shape[1:])
    return operation(per_image, value[..., None, None]).flatten(0, 1)
