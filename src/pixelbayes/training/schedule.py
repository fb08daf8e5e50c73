"""The learning rate as a function of the step.

A closed form, not a recursion, so that a resumed run has it without any state.
"""

from __future__ import annotations

import math

from pixelbayes.training.config import OptimConfig

__all__ = ["learning_rate_factor"]


def learning_rate_factor(optim: OptimConfig, step: int, total_steps: int) -> float:
    """What `optim.lr` is multiplied by at optimiser step `step`, counted from 0.

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
