"""What a user may choose of a network, of each kind: the section `network` of a configuration.

Nothing here needs torch, so that the command line shows its help at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["DiffusionSettings", "NetworkConfig", "ResNetSettings"]

# As in pixelbayes.core, which needs torch; a test compares them.
FUSIONS = ("none", "early", "gated", "late", "head", "joint", "film", "gated-preact", "gated-gates")
ATTENTION = ("none", "lowest", "full")
LABEL_CHANNELS = ("divided", "undivided")
DROPOUT_OF = ("elements", "channels")


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """`PixelCNNConfig` without what the data decide; the defaults suit one processor.

    The values are checked when the network is built.
    """

    features: int | tuple[int, int, int] = 40
    """Channels of both streams; or of each resolution, as [40,80,160]."""
    blocks_per_stage: int | tuple[int, int, int] = 1
    """Gated blocks between two changes of resolution; or for each, as [1,1,2]."""
    mixtures: int = 5
    """Logistic components per pixel."""
    dropout: float = 0.5
    """Probability of dropping a feature inside a gated block, in [0, 1)."""
    fusion: str = field(default="gated", metadata={"choices": FUSIONS})
    """Where the label enters."""
    embedding: int = 32
    """Size of the label embedding."""
    views: int = 1
    """1, or 2: training images are mirrored at random and the network is told which are."""
    head_layers: int = 2
    """Gated 1x1 layers that read the label after the trunk; the fusion head only."""
    attention: str = field(default="none", metadata={"choices": ATTENTION})
    """Causal self-attention, at a quarter of the resolution or at the full one."""
    label_channels: str = field(default="divided", metadata={"choices": LABEL_CHANNELS})
    """Input channels of the label, divided by their number, or as published; early and joint
    fusion only."""
    dropout_of: str = field(default="elements", metadata={"choices": DROPOUT_OF})
    """What dropout drops: single elements, or whole feature maps."""


@dataclass(frozen=True, kw_only=True)
class ResNetSettings:
    """A ResNet-18 leaves nothing to choose."""


@dataclass(frozen=True, kw_only=True)
class DiffusionSettings:
    """The U-Net of a diffusion model, and how much of it an answer asks for."""

    features: tuple[int, int, int] = (32, 64, 64)
    """Channels at each of the three resolutions, the whole one first."""
    blocks_per_stage: int = 2
    """Residual blocks at each resolution."""
    dropout: float = 0.0
    """Probability of dropping a feature inside a residual block, in [0, 1)."""
    evaluations: int = 8
    """Passes for each class from which the bound on an image's likelihood is estimated."""
    steps: int = 250
    """Passes in which an image is drawn."""
