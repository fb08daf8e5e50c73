"""The moving average of the weights: smoother than the last step, better than any one step.

References:
    [1] Salimans et al., PixelCNN++, ICLR 2017; openai/pixel-cnn evaluates an average with
        decay 0.9995.  https://arxiv.org/abs/1701.05517
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

__all__ = ["MovingAverage"]


class MovingAverage(nn.Module):
    """Keeps average <- decay * average + (1 - decay) * weights, step by step.

    `torch.optim.swa_utils.AveragedModel` does the same, but keeps its own count on the
    accelerator and waits for it at every step; here the caller knows the step.

    Args:
        model: The network to follow; the average starts as a copy of it.
        decay: Decay per step, once the average is warm.

    Attributes:
        module: The network with the averaged weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay

    def decay_at(self, step: int) -> float:
        """Decay of the update after `step` others: small at first, so that the start is forgotten.

        min(decay, (1 + t) / (10 + t)), as in TensorFlow's ExponentialMovingAverage.
        """
        return min(self.decay, (1 + step) / (10 + step))

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Takes in the weights of `model` after `step` earlier updates.

        Running statistics (of batch normalisation) are averaged like weights, counts copied.
        """
        average = get_ema_multi_avg_fn(self.decay_at(step))
        average(list(self.module.parameters()), list(model.parameters()), step)
        buffers = list(zip(self.module.buffers(), model.buffers(), strict=True))
        if statistics := [pair for pair in buffers if pair[0].is_floating_point()]:
            average(*map(list, zip(*statistics, strict=True)), step)
        for count, current in buffers:
            if not count.is_floating_point():
                count.copy_(current)
