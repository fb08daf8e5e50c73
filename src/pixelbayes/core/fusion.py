"""Where the condition (the class label, and the view of the image) enters the network.

A fusion looks at a condition only and returns plain vectors; the network adds them, multiplies by
them or concatenates them, the same at every pixel.  So no fusion can break causality, and the
vectors can be computed once for a whole batch, a whole image or a whole run.

Shapes: R conditions, d embedding size, F features.  Where each of B images has a view of its own
and meets R labels, (R, ...) becomes (B, R, ...).

References:
    [1] R. Sharma, CPEN455 2024 W2 Course Project: Conditional PixelCNN++ for Image
        Classification, University of British Columbia (early, gated residual, late, joint).
    [2] van den Oord et al., Conditional Image Generation with PixelCNN Decoders, NeurIPS
        2016, section 2.3 (the label in the gates).  https://arxiv.org/abs/1606.05328
    [3] Perez et al., FiLM, AAAI 2018.  https://arxiv.org/abs/1709.07871
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelbayes.core.conditioning import BlockConditioning, Condition, Conditioning
from pixelbayes.errors import PixelBayesError

__all__ = [
    "FUSIONS",
    "LABEL_CHANNELS",
    "ConditionEmbedding",
    "EarlyFusion",
    "Entrances",
    "FiLMFusion",
    "Fusion",
    "GateBiasFusion",
    "GatedFusion",
    "HeadFusion",
    "JointFusion",
    "LateFusion",
    "PreActivationFusion",
    "Unconditional",
    "make_fusion",
]


LABEL_CHANNELS = ("divided", "undivided")


class ConditionEmbedding(nn.Embedding):
    """e_y, plus a learned vector of the view where there is more than one.

    With one view this is the embedding of the label alone.  The vectors of views start at zero.

    Args:
        classes: Number of labels.
        embedding: d.
        views: Number of views.
    """

    def __init__(self, classes: int, embedding: int, views: int = 1) -> None:
        super().__init__(classes, embedding, dtype=torch.float32)
        self.views: nn.Parameter | None = None
        if views > 1:
            self.views = nn.Parameter(torch.zeros(views, embedding, dtype=torch.float32))

    def forward(self, condition: Condition) -> Tensor:  # type: ignore[override]
        """(R, d), or (B, R, d) for views of B images."""
        embedded = super().forward(condition.labels)
        return embedded if self.views is None else embedded + self.views[condition.views]


class Fusion(nn.Module):
    """One way of feeding the condition; each hook returns None unless a subclass says otherwise."""

    input_channels = 0
    """How many channels `on_input` adds to the image."""
    head_layers = 0
    """How many gated 1x1 layers after the trunk `on_head` is for."""

    def on_input(self, condition: Condition) -> Tensor | None:
        """Input channels, (R, input_channels)."""
        return None

    def on_hidden(self, condition: Condition, block: int) -> tuple[Tensor | None, Tensor] | None:
        """(scale or None, shift), each (R, F), before the second non-linearity of a block."""
        return None

    def on_gates(self, condition: Condition, block: int) -> Tensor | None:
        """Added to the gate's pre-activations, (R, 2 F)."""
        return None

    def on_result(self, condition: Condition, block: int) -> Tensor | None:
        """Added to the output of a block, (R, F)."""
        return None

    def on_output(self, condition: Condition) -> Tensor | None:
        """Added before the last projection, (R, F)."""
        return None

    def on_head(self, condition: Condition, layer: int) -> Tensor | None:
        """Added to the pre-activations of the gate of a head layer, (R, 2 F)."""
        return None

    def forward(
        self, condition: Condition, block_count: int, image_count: int | None = None
    ) -> Conditioning:
        """Calls every hook once.

        Args:
            condition: Of R labels.
            block_count: Gated blocks in the network.
            image_count: B, if each of B images is to meet each of the R labels.
        """
        per_block = []
        for block in range(block_count):
            scale, shift = self.on_hidden(condition, block) or (None, None)
            gates, result = self.on_gates(condition, block), self.on_result(condition, block)
            per_block.append(BlockConditioning(image_count, scale, shift, gates, result))
        head = tuple(
            BlockConditioning(image_count, gates=self.on_head(condition, layer))
            for layer in range(self.head_layers)
        )
        return Conditioning(
            image_count,
            self.on_input(condition),
            tuple(per_block),
            self.on_output(condition),
            head,
        )


class Unconditional(Fusion):
    """Ignores the label: the p(x) baseline every fusion is compared with."""


class EarlyFusion(Fusion):
    """Spreads e_y over the image as extra input channels: x~ = concat(x, 1, e_y / d).

    The network starts with zero weights on these channels, so as the unconditional model.  The
    division bounds a step of Adam, which moves the weights of all d constant channels the same
    way: undivided, one step shifts each feature by more than its standard deviation
    (docs/deviations.md has the effect).  The publication [1] does not divide.

    The first layer's output is shifted with the image, so nothing of the label reaches the first
    pixel: log p(x_00 | y) is the same for all y.

    Args:
        embedding: Of the condition.
        label_channels: divided or undivided.
    """

    def __init__(self, embedding: ConditionEmbedding, label_channels: str = "divided") -> None:
        super().__init__()
        self.embedding = embedding
        self.input_channels = embedding.embedding_dim
        self.divisor = self.input_channels if label_channels == "divided" else 1

    def on_input(self, condition: Condition) -> Tensor:
        """e_y / d, or e_y, (R, d)."""
        embedded: Tensor = self.embedding(condition)
        return embedded / self.divisor


class _BlockProjections(Fusion):
    """NIN(phi(e_y)) for every block, phi an ELU; zero weights, so it starts without effect.

    Args:
        embedding: Of the condition.
        features: F of each gated block, in the order of the network.
    """

    per_feature = 1
    """Numbers that a block needs for each of its features."""

    def __init__(self, embedding: ConditionEmbedding, features: Sequence[int]) -> None:
        super().__init__()
        self.embedding = embedding
        self.projections = nn.ModuleList(
            nn.Linear(embedding.embedding_dim, self.per_feature * width, dtype=torch.float32)
            for width in features
        )
        for projection in self.projections.parameters():
            nn.init.zeros_(projection)

    def project(self, condition: Condition, block: int) -> Tensor:
        """(R, per_feature F)."""
        projected: Tensor = self.projections[block](F.elu(self.embedding(condition)))
        return projected


class GatedFusion(_BlockProjections):
    """h = Block(h_in) + NIN(phi(e_y)) in each gated residual block ("gated residual" in [1])."""

    def on_result(self, condition: Condition, block: int) -> Tensor:
        """NIN(phi(e_y)), (R, F)."""
        return self.project(condition, block)


class PreActivationFusion(_BlockProjections):
    """The same vector, added before the block's second non-linearity instead."""

    def on_hidden(self, condition: Condition, block: int) -> tuple[None, Tensor]:
        """(None, NIN(phi(e_y))), (R, F)."""
        return None, self.project(condition, block)


class GateBiasFusion(_BlockProjections):
    """The label in both halves of the gate, as in the conditional PixelCNN [2]."""

    per_feature = 2

    def on_gates(self, condition: Condition, block: int) -> Tensor:
        """(R, 2 F)."""
        return self.project(condition, block)


class LateFusion(Fusion):
    """h_out = h_out + W e_y before the output layer; W starts at zero."""

    def __init__(self, embedding: ConditionEmbedding, features: Sequence[int]) -> None:
        super().__init__()
        self.embedding = embedding
        self.projection = nn.Linear(
            embedding.embedding_dim, features[-1], bias=False, dtype=torch.float32
        )
        nn.init.zeros_(self.projection.weight)

    def on_output(self, condition: Condition) -> Tensor:
        """W e_y, (R, F)."""
        projected: Tensor = self.projection(self.embedding(condition))
        return projected


class HeadFusion(Fusion):
    """The label in the gates of a head of 1x1 layers after the trunk, and late.

    As with late fusion all labels share the trunk, but the head is not linear in the label: it may
    read the same features otherwise for each class.
    """

    def __init__(
        self, embedding: ConditionEmbedding, features: Sequence[int], head_layers: int
    ) -> None:
        super().__init__()
        self.head_layers = head_layers
        self.gates = GateBiasFusion(embedding, [features[-1]] * head_layers)
        self.late = LateFusion(embedding, features)

    def on_head(self, condition: Condition, layer: int) -> Tensor:
        """(R, 2 F), as `GateBiasFusion` has them in a block."""
        return self.gates.on_gates(condition, layer)

    def on_output(self, condition: Condition) -> Tensor:
        """W e_y, (R, F)."""
        return self.late.on_output(condition)


class JointFusion(Fusion):
    """Early, gated and late at once, with one embedding."""

    def __init__(
        self,
        embedding: ConditionEmbedding,
        features: Sequence[int],
        label_channels: str = "divided",
    ) -> None:
        super().__init__()
        self.early = EarlyFusion(embedding, label_channels)
        self.gated = GatedFusion(embedding, features)
        self.late = LateFusion(embedding, features)
        self.input_channels = self.early.input_channels

    def on_input(self, condition: Condition) -> Tensor:
        """e_y / d, or e_y, (R, d)."""
        return self.early.on_input(condition)

    def on_result(self, condition: Condition, block: int) -> Tensor:
        """NIN(phi(e_y)), (R, F)."""
        return self.gated.on_result(condition, block)

    def on_output(self, condition: Condition) -> Tensor:
        """W e_y, (R, F)."""
        return self.late.on_output(condition)


class _ScaleAndShift(_BlockProjections):
    per_feature = 2


class FiLMFusion(Fusion):
    """Scales and shifts the features of every block per class [3], and shifts the last ones."""

    def __init__(self, embedding: ConditionEmbedding, features: Sequence[int]) -> None:
        super().__init__()
        self.modulation = _ScaleAndShift(embedding, features)
        self.late = LateFusion(embedding, features)

    def on_hidden(self, condition: Condition, block: int) -> tuple[Tensor, Tensor]:
        """(scale, shift), each (R, F); 1 + scale multiplies, so a zero table is the identity."""
        scale, shift = self.modulation.project(condition, block).chunk(2, dim=-1)
        return scale, shift

    def on_output(self, condition: Condition) -> Tensor:
        """W e_y, (R, F)."""
        return self.late.on_output(condition)


@dataclass(frozen=True)
class Entrances:
    """Where a network lets the condition in, and how wide it is there.

    Attributes:
        features: F of each gated block, in the order of the network; the last is that of the
            features before the last projection.
        head_layers: Layers of the head, where the fusion has one.
        label_channels: See `EarlyFusion`.
    """

    features: tuple[int, ...]
    head_layers: int = 2
    label_channels: str = "divided"


FUSIONS: dict[str, Callable[[ConditionEmbedding, Entrances], Fusion]] = {
    "none": lambda embedding, into: Unconditional(),
    "early": lambda embedding, into: EarlyFusion(embedding, into.label_channels),
    "gated": lambda embedding, into: GatedFusion(embedding, into.features),
    "late": lambda embedding, into: LateFusion(embedding, into.features),
    "head": lambda embedding, into: HeadFusion(embedding, into.features, into.head_layers),
    "joint": lambda embedding, into: JointFusion(embedding, into.features, into.label_channels),
    "film": lambda embedding, into: FiLMFusion(embedding, into.features),
    "gated-preact": lambda embedding, into: PreActivationFusion(embedding, into.features),
    "gated-gates": lambda embedding, into: GateBiasFusion(embedding, into.features),
}


def make_fusion(
    name: str, into: Entrances, *, classes: int, embedding: int, views: int = 1
) -> Fusion:
    """Builds the fusion called `name`.

    Args:
        name: A key of `FUSIONS`.
        into: The network's entrances.
        classes: Number of labels.
        embedding: d.
        views: Number of views.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in FUSIONS:
        raise PixelBayesError(f"unknown fusion {name!r}; choose one of: {', '.join(FUSIONS)}")
    return FUSIONS[name](ConditionEmbedding(classes, embedding, views), into)
