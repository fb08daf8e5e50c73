"""How weights follow gradients: the optimiser, its learning rate, the average of the weights.

References:
    [1] Salimans et al., PixelCNN++, ICLR 2017; openai/pixel-cnn evaluates an average with
        decay 0.9995.  https://arxiv.org/abs/1701.05517
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pixelbayes.training.config import OptimConfig
from pixelbayes.training.objectives import TrainingObjective

__all__ = ["MovingAverage", "learning_rate_factor", "make_optimizer"]


def learning_rate_factor(optim: OptimConfig, step: int, total_steps: int) -> float:
    """What `optim.lr` is multiplied by at optimiser step `step`, counted from 0.

    A closed form, not a recursion, so that a resumed run has it without any state.

    >>> learning_rate_factor(OptimConfig(schedule="cosine"), 50, total_steps=100)
    0.5

    Args:
        optim: Schedule and warm-up.
        step: The step.
        total_steps: Steps of the whole run, where a cosine reaches 0.
    """
    warm = min(1.0, (step + 1) / optim.warmup_steps) if optim.warmup_steps else 1.0
    if optim.schedule == "exponential":
        factor: float = optim.lr_decay_per_step**step
    elif optim.schedule == "cosine":
        after_warmup = max(1, total_steps - optim.warmup_steps)
        share = min(1.0, max(0, step - optim.warmup_steps) / after_warmup)
        factor = round(0.5 * (1.0 + math.cos(math.pi * share)), 15)
    else:
        factor = 1.0
    return warm * factor


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


def make_optimizer(
    optim: OptimConfig, model: nn.Module, objective: TrainingObjective
) -> torch.optim.Optimizer:
    """The optimiser over a network's weights, and over what the objective learns beside them."""
    common: dict[str, Any] = {"lr": optim.lr, "weight_decay": optim.weight_decay, "fused": True}
    weights: list[dict[str, Any]] = [{"params": list(model.parameters())}]
    if learned := list(objective.parameters()):  # a temperature is not to shrink towards 1
        weights.append({"params": learned, "weight_decay": 0.0})
    if optim.optimizer == "sgd":
        nesterov = optim.momentum > 0.0  # torch refuses it without momentum
        return torch.optim.SGD(weights, momentum=optim.momentum, nesterov=nesterov, **common)
    if optim.optimizer == "adamw":
        return torch.optim.AdamW(weights, betas=optim.betas, **common)
    return torch.optim.Adam(weights, betas=optim.betas, **common)
