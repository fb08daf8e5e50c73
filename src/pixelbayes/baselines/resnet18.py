"""ResNet-18 for small images: levels in, log p(y | x) out.

Shapes: B images, K classes, C channels, H x W pixels.
Units:  nats.

References:
    [1] He et al., Deep Residual Learning for Image Recognition, CVPR 2016, table 1 (the four
        stages) and section 4.2 (a 3x3 first layer for 32x32 images).
        https://arxiv.org/abs/1512.03385
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelbayes.baselines.errors import BaselineError

__all__ = ["ResNet18"]

HALF_RANGE = 127.5  # brings levels 0..255 to [-1, 1]
STRIDE = 8  # of the three stages that halve the resolution, together


class ResNet18(nn.Module):
    """The 18-layer residual network of [1] without the stem's two halvings of the resolution.

    ImageNet's 7x7 convolution of stride 2 and its max-pooling would leave one pixel of a 32x32
    image; here the stem is a 3x3 convolution of stride 1, and the last stage sees H/8 x W/8.

    Args:
        classes: K.
        channels: C, 1 (grey) or 3 (RGB).

    Raises:
        BaselineError: If monai is not installed.
        ValueError: If a number is not accepted.
    """

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        if classes < 1 or channels not in (1, 3):
            raise ValueError(
                f"a ResNet18 has 1 class or more and 1 or 3 channels, got {classes} and {channels}"
            )
        self.classes = classes
        self.channels = channels
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
            levels: uint8, (B, C, H, W).

        Returns:
            log p(y | x), (B, K), float32 or wider, normalised.

        Raises:
            ValueError: If these are no levels of images with C channels.
        """
        if levels.dtype != torch.uint8 or levels.ndim != 4 or levels.shape[1] != self.channels:
            raise ValueError(
                f"expected levels, uint8 (B, {self.channels}, H, W), got {levels.dtype} "
                f"{tuple(levels.shape)}"
            )
        logits: Tensor = self.network(levels.to(self._weight.dtype) / HALF_RANGE - 1.0)
        return F.log_softmax(logits.to(self._weight.dtype), dim=1)

    @property
    def _weight(self) -> Tensor:
        return next(self.network.parameters())


def smallest_batch(image_size: tuple[int, int]) -> int:
    """Images that batch normalisation needs to train on: 2 where the last stage is one pixel.

    >>> smallest_batch((32, 32)), smallest_batch((8, 8))
    (1, 2)
    """
    return 2 if max(image_size) <= STRIDE else 1


def _monai_resnet18() -> Any:
    try:
        from monai.networks.nets.resnet import resnet18
    except ModuleNotFoundError as error:
        raise BaselineError(
            f"the ResNet-18 needs monai, and {error.name} is not installed; "
            "pip install 'pixelbayes[baselines]'"
        ) from error
    return resnet18
