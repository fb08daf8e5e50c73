"""The most that the machine gives: large matrix products and a large convolution.

Units: floating-point operations per second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

__all__ = ["Kernel", "kernels"]


@dataclass(frozen=True)
class Kernel:
    """One large operation.

    Attributes:
        name: Such as "matrix product 2048, float32".
        precision: Of its operands.
        flops: Operations of one call.
        work: The call.
    """

    name: str
    precision: torch.dtype
    flops: int
    work: Callable[[], object]


def kernels(
    precision: torch.dtype,
    device: torch.device | str = "cpu",
    sides: tuple[int, ...] = (1024, 2048),
) -> list[Kernel]:
    """Square matrix products, and a 3x3 convolution of 256 features in channels-last memory."""
    found = []
    for side in sides:
        a = torch.randn(side, side, device=device).to(precision)
        b = torch.randn(side, side, device=device).to(precision)

        def product(a: torch.Tensor = a, b: torch.Tensor = b) -> torch.Tensor:
            return a @ b

        found.append(Kernel(f"matrix product {side}", precision, 2 * side**3, product))
    batch, features, size = 16, 256, 32
    x = torch.randn(batch, features, size, size, device=device).to(precision)
    weight = torch.randn(features, features, 3, 3, device=device).to(precision)
    x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))

    @torch.no_grad()
    def convolution() -> torch.Tensor:
        return F.conv2d(x, weight, padding=1)

    flops = 2 * batch * features * features * 9 * size * size
    found.append(Kernel(f"3x3 convolution {features}", precision, flops, convolution))
    return found
