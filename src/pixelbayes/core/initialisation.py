"""Initialisation from data: every layer starts with outputs of a chosen mean and deviation.

With PyTorch's default initialisation the likelihood spends its first epoch learning output
scales; one pass over some training images sets them instead (`docs/deviations.md` shows the
first 200 steps of both).

References:
    [1] Salimans & Kingma, Weight Normalization, NeurIPS 2016, section 3.
        https://arxiv.org/abs/1602.07868
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pixelbayes.core.layers import WeightNormConv2d
from pixelbayes.core.network import PixelCNN

__all__ = ["initialise_from_data"]

SMALLEST_STD = 1e-5  # below it a channel is constant on these images and is left as it is


@torch.no_grad()
def initialise_from_data(model: PixelCNN, levels: Tensor, labels: Tensor) -> None:
    """Sets gains and biases so that each convolution's outputs are standardised on `levels`.

    Layer by layer in the order of the forward pass: outputs get mean zero and standard
    deviation `init_scale` per channel, over images and positions.

    Args:
        model: A freshly built network; its directions are kept, its gains and biases replaced.
        levels: Training images, uint8, (B, C, H, W); some tens are enough.
        labels: Their labels, int64, (B,).

    Raises:
        TypeError: If the images are not uint8 or the labels not int64.
        ValueError: If shapes do not fit the configuration.
    """

    def standardise(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
        assert isinstance(module, WeightNormConv2d)
        std, mean = torch.std_mean(output.float(), dim=(0, 2, 3), correction=0)
        factor = torch.where(std > SMALLEST_STD, module.init_scale / std, 1.0).to(output.dtype)
        shift = -mean.to(output.dtype) * factor
        module.gain.mul_(factor)
        module.bias.mul_(factor).add_(shift)
        return output * factor[:, None, None] + shift[:, None, None]

    layers = [module for module in model.modules() if isinstance(module, WeightNormConv2d)]
    hooks = [layer.register_forward_hook(standardise) for layer in layers]
    training = model.training
    model.eval()
    try:
        model(levels, labels)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
