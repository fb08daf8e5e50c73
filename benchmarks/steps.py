"""One training step, as the baseline does it and as the package does it.

Both are bare loops without the engine around them: forward, bits/dim, backward, Adam.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.baseline import PlainPixelCNN
from benchmarks.subjects import images_and_labels, network
from pixelbayes.core import DiscretizedLogisticMixture, PixelCNN, PixelCNNConfig, bits_per_dim
from pixelbayes.inference.memory import keep_freed_memory

__all__ = [
    "LEARNING_RATE",
    "NO_BFLOAT16",
    "TrainingStep",
    "has_bfloat16",
    "own_step",
    "own_steps",
    "plain_step",
    "plain_steps",
    "step_flops",
]

LEARNING_RATE = 0.002  # of the study
NO_BFLOAT16 = (
    "This processor has no instructions for bfloat16 (AVX512_BF16, AMX or Arm's BF16), so bfloat16 "
    "is left out: imitated in float32, it is slower than float32."
)


class Describes(Protocol):
    """A network of either kind."""

    config: PixelCNNConfig

    def __call__(self, levels: Tensor, labels: Tensor) -> DiscretizedLogisticMixture: ...


class TrainingStep:
    """Takes one batch, changes the weights.

    Args:
        model: In training mode.
        optimizer: Over its weights.
        precision: float32, or bfloat16 for autocast inside the network.
    """

    def __init__(
        self, model: Describes, optimizer: torch.optim.Optimizer, precision: torch.dtype
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.precision = precision

    def __call__(self, levels: Tensor, labels: Tensor) -> Tensor:
        """Returns the loss of the batch before the step, bits/dim."""
        half = self.precision == torch.bfloat16
        with torch.autocast(levels.device.type, torch.bfloat16, enabled=half):
            described = self.model(levels, labels)
        log_prob = described.log_prob(levels)
        loss = bits_per_dim(log_prob, self.model.config.dims).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def plain_step(model: PixelCNN, dropout: type[nn.Module] = nn.Dropout2d) -> TrainingStep:
    """float32, channels first, Adam as one loop over the weights; starts as `model`."""
    like = model.output.bias
    plain = PlainPixelCNN(model.config, dropout).to(like.device, like.dtype)
    plain.load_from(model).train()
    optimizer = torch.optim.Adam(plain.parameters(), LEARNING_RATE, foreach=False, fused=False)
    return TrainingStep(plain, optimizer, torch.float32)


def own_step(model: PixelCNN, precision: torch.dtype = torch.float32) -> TrainingStep:
    """Layout, dropout and optimiser of `pixelbayes.training`; trains `model` itself."""
    optimizer = torch.optim.Adam(model.train().parameters(), LEARNING_RATE, fused=True)
    return TrainingStep(model, optimizer, precision)


def plain_steps(config: PixelCNNConfig, batch: int, steps: int) -> Callable[[], None]:
    """Work of some baseline steps, for `measuring.Isolated`."""
    return _repeated(plain_step(network(config)), batch, steps)


def own_steps(
    config: PixelCNNConfig, batch: int, steps: int, precision: torch.dtype
) -> Callable[[], None]:
    """Work of some of the package's steps; the whole process keeps freed memory."""
    keep_freed_memory()
    return _repeated(own_step(network(config), precision), batch, steps)


def _repeated(step: TrainingStep, batch: int, steps: int) -> Callable[[], None]:
    levels, labels = images_and_labels(step.model.config, batch)

    def work() -> None:
        for _ in range(steps):
            step(levels, labels)

    return work


def step_flops(config: PixelCNNConfig) -> int:
    """Floating-point operations of one image in one step, both ways, as PyTorch counts them.

    A multiplication and an addition are two.  Convolutions and matrix products only.
    """
    images = 2
    step = own_step(network(config))
    with FlopCounterMode(display=False) as counter:
        step(*images_and_labels(config, images))
    return int(counter.get_total_flops()) // images


def has_bfloat16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 itself, rather than imitating it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags))
