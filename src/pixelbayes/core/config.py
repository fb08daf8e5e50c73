"""What a network is built from, as it stands in a checkpoint.

References:
    [1] Salimans et al., PixelCNN++, ICLR 2017, section 2 and figure 2.
        https://arxiv.org/abs/1701.05517
"""

from __future__ import annotations

from dataclasses import dataclass

from pixelbayes.core.fusion import FUSIONS, LABEL_CHANNELS
from pixelbayes.core.views import VIEWS
from pixelbayes.errors import PixelBayesError

__all__ = ["ATTENTIONS", "DROPOUTS", "STAGES", "STREAMS", "PixelCNNConfig"]

STREAMS = ("u", "ul")  # from above; from above and from the left: section 2.1 of [1]
STAGES = 3  # resolutions H, H / 2 and H / 4, as in section 2.3 of [1]
ATTENTIONS = ("none", "lowest", "full")
DROPOUTS = ("elements", "channels")
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
    features: int | tuple[int, int, int] = 160
    """Channels of both streams (`nr_filters` there); or of each resolution, the highest first."""
    blocks_per_stage: int | tuple[int, int, int] = 5
    """Gated blocks between two changes of resolution (`nr_resnet` there); or for each resolution,
    the highest first."""
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
    head_layers: int = 2
    """Gated 1x1 layers that read the label after the trunk; the fusion `head` only."""
    attention: str = "none"
    """none, lowest (between the way in and the way out) or full (before the last layer); see
    `pixelbayes.core.attention`."""
    label_channels: str = "divided"
    """divided (by their number), or undivided as published; early and joint fusion only."""
    dropout_of: str = "elements"
    """elements, or channels: whole feature maps, as in public PyTorch code."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_size", tuple(self.image_size))
        for name in ("classes", "mixtures", "embedding", "views", "head_layers"):
            _require_positive(name, getattr(self, name))
        for name in ("features", "blocks_per_stage"):
            value = getattr(self, name)
            if isinstance(value, (tuple, list)):
                object.__setattr__(self, name, tuple(value))
                if len(value) != STAGES:
                    raise PixelBayesError(
                        f"{name} is one number, or one for each of {STAGES} resolutions, "
                        f"got {value!r}"
                    )
            for number in value if isinstance(value, (tuple, list)) else (value,):
                _require_positive(name, number)
        for name, choices in (
            ("fusion", FUSIONS),
            ("attention", ATTENTIONS),
            ("label_channels", LABEL_CHANNELS),
            ("dropout_of", DROPOUTS),
        ):
            if getattr(self, name) not in choices:
                raise PixelBayesError(
                    f"unknown {name} {getattr(self, name)!r}; choose one of: {', '.join(choices)}"
                )
        if self.channels not in (1, 3):
            raise PixelBayesError(
                f"channels is 1 (grey) or 3 (red, green, blue), got {self.channels!r}"
            )
        if len(self.image_size) != 2 or min(self.image_size) < SMALLEST_SIDE:
            raise PixelBayesError(
                f"image_size is (rows, columns), each at least {SMALLEST_SIDE}, "
                f"got {self.image_size!r}"
            )
        _require_dropout(self.dropout)
        if not 1 <= self.views <= len(VIEWS):
            raise PixelBayesError(f"views is a number in 1..{len(VIEWS)}, got {self.views!r}")
        if self.views > 1 and self.fusion == "none":
            raise PixelBayesError("several views need a fusion that says which is seen, got 'none'")

    @property
    def dims(self) -> int:
        """Numbers in one image: C H W."""
        return self.channels * self.image_size[0] * self.image_size[1]

    @property
    def stage_features(self) -> tuple[int, ...]:
        """F at each resolution, the highest first."""
        return self.features if isinstance(self.features, tuple) else (self.features,) * STAGES

    @property
    def stage_blocks(self) -> tuple[int, ...]:
        """Gated blocks of one stream on the way in, at each resolution, the highest first.

        The way out has one more at all but the lowest: one for each short cut.
        """
        blocks = self.blocks_per_stage
        return blocks if isinstance(blocks, tuple) else (blocks,) * STAGES

    @property
    def stage_sizes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns at each resolution, the highest first."""
        rows, columns = self.image_size
        return tuple((-(-rows // 2**s), -(-columns // 2**s)) for s in range(STAGES))

    @property
    def block_features(self) -> tuple[int, ...]:
        """F of each gated block of both streams, in the order of the network."""
        way_in = zip(self.stage_features, self.stage_blocks, strict=True)
        way_out = zip(self.stage_features, self.stage_blocks, (1, 1, 0), strict=True)
        one_stream = [width for width, blocks in way_in for _ in range(blocks)]
        for width, blocks, more in reversed(list(way_out)):
            one_stream += [width] * (blocks + more)
        return tuple(width for width in one_stream for _ in STREAMS)

    @property
    def gated_blocks(self) -> int:
        """Gated blocks of both streams, on the way in and the way out."""
        return len(self.block_features)


def _require_positive(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise PixelBayesError(f"{name} is a positive whole number, got {value!r}")


def _require_dropout(dropout: object) -> None:
    if isinstance(dropout, bool) or not isinstance(dropout, (int, float)):
        raise PixelBayesError(f"dropout is a probability in [0, 1), got {dropout!r}")
    if not 0.0 <= dropout < 1.0:
        percent = 1.0 <= dropout < 100.0
        hint = f"; did you mean {dropout / 100:g} (a percentage)?" if percent else ""
        raise PixelBayesError(f"dropout is a probability in [0, 1), got {dropout:g}{hint}")
