"""The precision of what is measured, on hardware that would round more than it was asked to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["ieee_float32"]


@contextmanager
def ieee_float32() -> Iterator[None]:
    """Convolutions of float32 numbers inside are those of float32; also a decorator.

    PyTorch's default on a GPU is TensorFloat-32, with ten bits of mantissa: enough to train with,
    but classes differ by tenths of nats in a sum over thousands of dimensions, and the naive and
    the cached sampler compute the same features in different ways.
    """
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield
