"""What a network is built from, as it stands in a checkpoint.

References:
    [1] Salimans et al., PixelCNN++, ICLR 2017, section 2 and figure 2.
        https://arxiv.org/abs/1701.05517
"""

from __future__ import annotations

from dataclasses import dataclass

from pixelbayes.core.fusion import FUSIONS
from pixelbayes.core.views import VIEWS

__all__ = ["STAGES", "PixelCNNConfig"]

STAGES = 3  # resolutions H, H / 2 and H / 4, as in section 2.3 of [1]
SMALLEST_SIDE = 8  # below it the third resolution has no structure left


@dataclass(frozen=True, kw_only=True)
class PixelCNNConfig:
    """Everything needed to rebuild a network from a checkpoint.

    The defaults are those of the openai/pixel-cnn CIFAR-10 script, not a small model: a test
    or a demo says so where it asks for less.
    """

    classes: int
    """Number of labels the network conditions on."""
    image_size: tuple[int, int] = (32, 32)
    """Rows and columns, each at least 8; odd sizes work."""
    channels: int = 3
    """Colour channels: 3 or 1."""
    features: int = 160
    """Channels of both streams (`nr_filters` there)."""
    blocks_per_stage: int = 5
    """Gated blocks between two changes of resolution (`nr_resnet` there)."""
    mixtures: int = 10
    """Logistic components per pixel."""
    dropout: float = 0.5
    """Probability of dropping a feature inside a gated block, in [0, 1)."""
    fusion: str = "gated"
    """Where the label enters; see `pixelbayes.core.fusion`."""
    embedding: int = 32
    """Size d of the label embedding."""
    views: int = 1
    """How many views of an image the network is told apart; see `pixelbayes.core.views`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_size", tuple(self.image_size))
        counts = ("classes", "features", "blocks_per_stage", "mixtures", "embedding", "views")
        for name in counts:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is a positive whole number, got {value!r}")
        if self.channels not in (1, 3):
            raise ValueError(f"channels is 1 (grey) or 3 (red, green, blue), got {self.channels!r}")
        if len(self.image_size) != 2 or min(self.image_size) < SMALLEST_SIDE:
            raise ValueError(
                f"image_size is (rows, columns), each at least {SMALLEST_SIDE}, "
                f"got {self.image_size!r}"
            )
        if not 0.0 <= self.dropout < 1.0:
            percent = 1.0 <= self.dropout < 100.0
            hint = f"; did you mean {self.dropout / 100:g} (a percentage)?" if percent else ""
            raise ValueError(f"dropout is a probability in [0, 1), got {self.dropout:g}{hint}")
        if self.fusion not in FUSIONS:
            raise ValueError(f"unknown fusion {self.fusion!r}; choose one of: {', '.join(FUSIONS)}")
        if not 1 <= self.views <= len(VIEWS):
            raise ValueError(f"views is a number in 1..{len(VIEWS)}, got {self.views!r}")
        if self.views > 1 and self.fusion == "none":
            raise ValueError("several views need a fusion that says which is seen, got 'none'")

    @property
    def dims(self) -> int:
        """Numbers in one image: C H W."""
        return self.channels * self.image_size[0] * self.image_size[1]

    @property
    def gated_blocks(self) -> int:
        """Gated blocks of both streams, on the way in and the way out."""
        encoder = STAGES * self.blocks_per_stage
        return 2 * (encoder + encoder + STAGES - 1)

    @property
    def block_features(self) -> tuple[int, ...]:
        """F of each gated block, in the order of the network."""
        return (self.features,) * self.gated_blocks
