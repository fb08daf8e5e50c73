"""Views: the finitely many ways in which one image is looked at, each undone without loss.

A view moves pixels and changes none, so for each of them p(view of x | y) is a density of x too.
A network of several views is told which one it sees (`Condition`), and an image can be scored in
all of them.

Shapes: B images, C channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["VIEWS", "in_view"]


def _as_it_is(levels: Tensor) -> Tensor:
    return levels


def _mirrored(levels: Tensor) -> Tensor:
    return levels.flip(-1)


VIEWS: tuple[Callable[[Tensor], Tensor], ...] = (_as_it_is, _mirrored)
"""By number.  A network of V views knows the first V of them; all keep every pixel in its row."""


def in_view(levels: Tensor, view: int | Tensor) -> Tensor:
    """The images as one view shows them, or each as its own.

    Args:
        levels: (B, C, H, W).
        view: A number in range(len(VIEWS)), or one for each image, int64, (B,).
    """
    if isinstance(view, int):
        return VIEWS[view](levels)
    seen = levels
    for number in range(1, len(VIEWS)):
        seen = torch.where((view == number)[:, None, None, None], VIEWS[number](levels), seen)
    return seen
