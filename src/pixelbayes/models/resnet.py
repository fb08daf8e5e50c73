"""ResNet-18 for small images, the discriminative opponent: levels in, log p(y | x) out.

The network is monai's, which is imported when one is built (extra `baselines`).

Shapes: N images, K classes, C channels, H x W pixels.
Units:  nats.

References:
    [1] He et al., Deep Residual Learning for Image Recognition, CVPR 2016, table 1 (the four
        stages) and section 4.2 (a 3x3 first layer for 32x32 images).
        https://arxiv.org/abs/1512.03385
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelbayes.core.precision import isolated, require_finite
from pixelbayes.errors import PixelBayesError, naming_extras
from pixelbayes.inference.classification import uniform_log_prior
from pixelbayes.models.base import TrainedNetwork, register
from pixelbayes.models.settings import ResNetSettings
from pixelbayes.models.storage import Stored, structured_config

__all__ = ["ResNet18", "ResNetClassifier"]

HALF_RANGE = 127.5  # brings levels 0..255 to [-1, 1]
STRIDE = 8  # of the three stages that halve the resolution, together
CHUNK = 256  # images of one pass: 64 features of 32x32 pixels are 64 MiB of float32


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """What a ResNet-18 is built from."""

    classes: int
    channels: int

    def __post_init__(self) -> None:
        if self.classes < 1 or self.channels not in (1, 3):
            raise PixelBayesError(
                "a ResNet18 has 1 class or more and 1 or 3 channels, got "
                f"{self.classes} and {self.channels}"
            )


class ResNet18(nn.Module):
    """The 18-layer residual network of [1] without the stem's two halvings of the resolution.

    ImageNet's 7x7 convolution of stride 2 and its max-pooling would leave one pixel of a 32x32
    image; here the stem is a 3x3 convolution of stride 1, and the last stage sees H/8 x W/8.

    Args:
        classes: K.
        channels: C, 1 (grey) or 3 (RGB).

    Raises:
        MissingPackageError: If monai is not installed.
        PixelBayesError: If a number is not accepted.
    """

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.config = ResNetConfig(classes=classes, channels=channels)
        self.network: nn.Module = _monai_resnet18()(
            spatial_dims=2,
            n_input_channels=channels,
            num_classes=classes,
            conv1_t_size=3,
            conv1_t_stride=1,
            no_max_pool=True,
            bias_downsample=False,  # batch normalisation follows, which takes a bias away again
        )
        # Trains a third faster on one core, float32, 32x32.
        for weight in self.network.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._weight.device

    def forward(self, levels: Tensor) -> Tensor:
        """Classifies images.

        Args:
            levels: uint8, (N, C, H, W).

        Returns:
            log p(y | x), (N, K), float32 or wider, normalised.

        Raises:
            PixelBayesError: If these are no levels of images with C channels.
        """
        channels = self.config.channels
        if levels.dtype != torch.uint8 or levels.ndim != 4 or levels.shape[1] != channels:
            raise PixelBayesError(
                f"expected levels, uint8 (B, {channels}, H, W), got {levels.dtype} "
                f"{tuple(levels.shape)}"
            )
        logits: Tensor = self.network(levels.to(self._weight.dtype) / HALF_RANGE - 1.0)
        return F.log_softmax(logits.to(self._weight.dtype), dim=1)

    @property
    def _weight(self) -> Tensor:
        return next(self.network.parameters())


@register
class ResNetClassifier(TrainedNetwork[ResNet18]):
    """A `ResNet18` together with what its user must know: class names, resizing, prior.

    It learned log p(y | x) under the classes of its training images.  Dividing by the prior
    leaves log p(x | y) up to a term that is the same for every class, which is what Bayes'
    rule, another prior and a temperature need.
    """

    kind = "resnet18"
    noun = "ResNet-18"
    settings = ResNetSettings
    is_density = False

    @classmethod
    def build(
        cls,
        settings: Any,
        *,
        classes: int,
        channels: int = 3,
        image_size: tuple[int, int] = (32, 32),
    ) -> ResNet18:
        """See `TrainedNetwork.build`; the first weights are He's."""
        return ResNet18(classes, channels)

    @staticmethod
    def smallest_batch(image_size: tuple[int, int]) -> int:
        """Images that batch normalisation needs: 2 where the last stage is one pixel.

        >>> ResNetClassifier.smallest_batch((32, 32)), ResNetClassifier.smallest_batch((8, 8))
        (1, 2)
        """
        return 2 if max(image_size) <= STRIDE else 1

    @property
    def channels(self) -> int:
        """C of the first convolution."""
        return self.network.config.channels

    def to_stored(self) -> Stored:
        """Its classes, its channels and every weight."""
        return Stored(
            kind=self.kind,
            config={"classes": self.network.config.classes, "channels": self.channels},
            metadata=self.metadata,
            weights=self.network.state_dict(),
        )

    @classmethod
    def from_stored(cls, stored: Stored) -> ResNetClassifier:
        """The same network, of the weights as they are stored."""
        config = structured_config(ResNetConfig, stored)
        network = ResNet18(config.classes, config.channels)
        stored.fill(network, "monai's ResNet-18")
        return cls(network, stored.metadata)

    @isolated
    def log_likelihoods(
        self, levels: Tensor, *, progress: Callable[[int], None] | None = None
    ) -> Tensor:
        """log p(y | x) - log p(y): log p(x | y) up to a term that all classes share.

        The prior is that of the training, in which the classes are taken as equally frequent.
        Differences between classes mean what they mean for a density; the sum over classes is no
        code length.
        """
        result = torch.empty(len(levels), len(self.classes), dtype=torch.float64)
        for start in range(0, len(levels), CHUNK):
            chunk = levels[start : start + CHUNK].to(self.device)
            result[start : start + CHUNK] = self.network(chunk).double().cpu()
            if progress is not None:
                progress(min(start + CHUNK, len(levels)))
        return require_finite(result) - uniform_log_prior(len(self.classes))


@naming_extras()
def _monai_resnet18() -> Any:
    from monai.networks.nets.resnet import resnet18

    return resnet18
