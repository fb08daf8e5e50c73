"""Where the class label enters the network.

A fusion looks at labels only and returns plain vectors; the network adds them, multiplies by
them or concatenates them, the same at every pixel.  So no fusion can break causality, and the
vectors can be computed once for a whole batch, a whole image or a whole run.

Shapes: R labels, d embedding size, F features.

References:
    [1] R. Sharma, CPEN455 2024 W2 Course Project: Conditional PixelCNN++ for Image
        Classification, University of British Columbia (early, gated residual, late, joint).
    [2] van den Oord et al., Conditional Image Generation with PixelCNN Decoders, NeurIPS
        2016, section 2.3 (the label in the gates).  https://arxiv.org/abs/1606.05328
    [3] Perez et al., FiLM, AAAI 2018.  https://arxiv.org/abs/1709.07871
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "FUSIONS",
    "BlockConditioning",
    "Conditioning",
    "EarlyFusion",
    "FiLMFusion",
    "Fusion",
    "GateFusion",
    "GatedFusion",
    "JointFusion",
    "LateFusion",
    "PreActivationFusion",
    "Unconditional",
    "make_fusion",
]


@dataclass(frozen=True)
class BlockConditioning:
    """What one gated block receives from the label; None leaves the features alone.

    Attributes:
        images: Number of images B that the R labels meet; None if label r belongs to image r.
        scale: h * (1 + scale) before the block's second non-linearity, (R, F).
        shift: h + shift at the same place, (R, F).
        gates: Added to the 2 F pre-activations of the gate, (R, 2 F).
        result: Added to the block's output, (R, F).
    """

    images: int | None = None
    scale: Tensor | None = None
    shift: Tensor | None = None
    gates: Tensor | None = None
    result: Tensor | None = None

    def on_hidden(self, h: Tensor) -> Tensor:
        """Scales and shifts h."""
        if self.scale is not None:
            h = _combine(torch.mul, h, 1.0 + self.scale, self.images)
        return _add(h, self.shift, self.images)

    def on_gates(self, gates: Tensor) -> Tensor:
        """Shifts the pre-activations of the gate."""
        return _add(gates, self.gates, self.images)

    def on_result(self, out: Tensor) -> Tensor:
        """Shifts the block's output."""
        return _add(out, self.result, self.images)


@dataclass(frozen=True)
class Conditioning:
    """Everything the network receives from a batch of labels.

    Attributes:
        images: As in `BlockConditioning`.
        input: Extra input channels, the same at each pixel, (R, d).
        blocks: One entry per gated block.
        output: Added before the last projection, (R, F).
    """

    images: int | None
    input: Tensor | None
    blocks: tuple[BlockConditioning, ...]
    output: Tensor | None

    def on_output(self, h: Tensor) -> Tensor:
        """Shifts the features before the last projection."""
        return _add(h, self.output, self.images)


def _add(h: Tensor, value: Tensor | None, images: int | None) -> Tensor:
    return h if value is None else _combine(torch.add, h, value, images)


def _combine(
    operation: Callable[[Tensor, Tensor], Tensor], h: Tensor, value: Tensor, images: int | None
) -> Tensor:
    """Combines features with one vector per label, at each pixel.

    With `images` = B, h has batch B (no label has touched it yet) or B R, and the result has
    batch B R, the labels of an image side by side.
    """
    if images is None:
        return operation(h, value[:, :, None, None])
    per_image = h.view(images, -1, *h.shape[1:])
    return operation(per_image, value[None, :, :, None, None]).flatten(0, 1)


class Fusion(nn.Module):
    """One way of feeding the label; each hook returns None unless a subclass says otherwise."""

    input_channels = 0
    """How many channels `on_input` adds to the image."""

    def on_input(self, labels: Tensor) -> Tensor | None:
        """Input channels, (R, input_channels)."""
        return None

    def on_hidden(self, labels: Tensor, block: int) -> tuple[Tensor | None, Tensor] | None:
        """(scale or None, shift), each (R, F), before the second non-linearity of a block."""
        return None

    def on_gates(self, labels: Tensor, block: int) -> Tensor | None:
        """Added to the gate's pre-activations, (R, 2 F)."""
        return None

    def on_result(self, labels: Tensor, block: int) -> Tensor | None:
        """Added to the output of a block, (R, F)."""
        return None

    def on_output(self, labels: Tensor) -> Tensor | None:
        """Added before the last projection, (R, F)."""
        return None

    def forward(self, labels: Tensor, blocks: int, images: int | None = None) -> Conditioning:
        """Calls every hook once.

        Args:
            labels: int64, (R,).
            blocks: Number of gated blocks in the network.
            images: B, if each of B images is to meet each of the R labels.
        """
        per_block = []
        for block in range(blocks):
            scale, shift = self.on_hidden(labels, block) or (None, None)
            gates, result = self.on_gates(labels, block), self.on_result(labels, block)
            per_block.append(BlockConditioning(images, scale, shift, gates, result))
        return Conditioning(images, self.on_input(labels), tuple(per_block), self.on_output(labels))


class Unconditional(Fusion):
    """Ignores the label: the p(x) baseline every fusion is compared with."""


class EarlyFusion(Fusion):
    """Spreads e_y over the image as extra input channels: x~ = concat(x, 1, e_y / d).

    The network starts with zero weights on these channels, so as the unconditional model.  The
    division bounds a step of Adam, which moves the weights of all d constant channels the same
    way: undivided, one step shifts each feature by more than its standard deviation
    (docs/deviations.md has the effect).
    """

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.embedding = embedding
        self.input_channels = embedding.embedding_dim

    def on_input(self, labels: Tensor) -> Tensor:
        """e_y / d, (R, d)."""
        embedded: Tensor = self.embedding(labels)
        return embedded / self.input_channels


class _BlockProjections(Fusion):
    """NIN(phi(e_y)) for every block, phi an ELU; zero weights, so it starts without effect."""

    def __init__(self, embedding: nn.Embedding, width: int, blocks: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.projections = nn.ModuleList(
            nn.Linear(embedding.embedding_dim, width, dtype=torch.float32) for _ in range(blocks)
        )
        for projection in self.projections.parameters():
            nn.init.zeros_(projection)

    def project(self, labels: Tensor, block: int) -> Tensor:
        """(R, width)."""
        projected: Tensor = self.projections[block](F.elu(self.embedding(labels)))
        return projected


class GatedFusion(_BlockProjections):
    """h = Block(h_in) + NIN(phi(e_y)) in each gated residual block ("gated residual" in [1])."""

    def on_result(self, labels: Tensor, block: int) -> Tensor:
        """NIN(phi(e_y)), (R, F)."""
        return self.project(labels, block)


class PreActivationFusion(_BlockProjections):
    """The same vector, added before the block's second non-linearity instead."""

    def on_hidden(self, labels: Tensor, block: int) -> tuple[None, Tensor]:
        """(None, NIN(phi(e_y))), (R, F)."""
        return None, self.project(labels, block)


class GateFusion(_BlockProjections):
    """The label in both halves of the gate, as in the conditional PixelCNN [2]."""

    def on_gates(self, labels: Tensor, block: int) -> Tensor:
        """(R, 2 F)."""
        return self.project(labels, block)


class LateFusion(Fusion):
    """h_out = h_out + W e_y before the output layer; W starts at zero."""

    def __init__(self, embedding: nn.Embedding, features: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.projection = nn.Linear(
            embedding.embedding_dim, features, bias=False, dtype=torch.float32
        )
        nn.init.zeros_(self.projection.weight)

    def on_output(self, labels: Tensor) -> Tensor:
        """W e_y, (R, F)."""
        projected: Tensor = self.projection(self.embedding(labels))
        return projected


class JointFusion(Fusion):
    """Early, gated and late at once, with one embedding."""

    def __init__(self, embedding: nn.Embedding, features: int, blocks: int) -> None:
        super().__init__()
        self.early = EarlyFusion(embedding)
        self.gated = GatedFusion(embedding, features, blocks)
        self.late = LateFusion(embedding, features)
        self.input_channels = self.early.input_channels

    def on_input(self, labels: Tensor) -> Tensor:
        """As `EarlyFusion`."""
        return self.early.on_input(labels)

    def on_result(self, labels: Tensor, block: int) -> Tensor:
        """As `GatedFusion`."""
        return self.gated.on_result(labels, block)

    def on_output(self, labels: Tensor) -> Tensor:
        """As `LateFusion`."""
        return self.late.on_output(labels)


class FiLMFusion(Fusion):
    """Scales and shifts the features of every block per class [3], and shifts the last ones."""

    def __init__(self, embedding: nn.Embedding, features: int, blocks: int) -> None:
        super().__init__()
        self.modulation = _BlockProjections(embedding, 2 * features, blocks)
        self.late = LateFusion(embedding, features)

    def on_hidden(self, labels: Tensor, block: int) -> tuple[Tensor, Tensor]:
        """(scale, shift), each (R, F); 1 + scale multiplies, so a zero table is the identity."""
        scale, shift = self.modulation.project(labels, block).chunk(2, dim=1)
        return scale, shift

    def on_output(self, labels: Tensor) -> Tensor:
        """As `LateFusion`."""
        return self.late.on_output(labels)


FUSIONS: dict[str, Callable[[nn.Embedding, int, int], Fusion]] = {
    "none": lambda embedding, features, blocks: Unconditional(),
    "early": lambda embedding, features, blocks: EarlyFusion(embedding),
    "gated": GatedFusion,
    "late": lambda embedding, features, blocks: LateFusion(embedding, features),
    "joint": JointFusion,
    "film": FiLMFusion,
    "gated-preact": PreActivationFusion,
    "gated-gates": lambda embedding, features, blocks: GateFusion(embedding, 2 * features, blocks),
}


def make_fusion(name: str, *, classes: int, embedding: int, features: int, blocks: int) -> Fusion:
    """Builds the fusion called `name`.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in FUSIONS:
        raise ValueError(f"unknown fusion {name!r}; choose one of: {', '.join(FUSIONS)}")
    return FUSIONS[name](nn.Embedding(classes, embedding, dtype=torch.float32), features, blocks)
