r"""One score from several views of an image.

Each view moves pixels and changes none, so p_v(view v of x | y) is a density of x for every v, and
there are two ways to one number:

    log mean p   log (1/V) sum over v of p_v(x | y)      a mixture: again a normalised density
    mean log p   (1/V) sum over v of log p_v(x | y)      a decision rule; sums to less than one

The first is exact in bits/dim.  Over thousands of dimensions one view decides it almost alone; the
second lets every view take part in a decision, as members of an ensemble do.

Shapes: V views.
Units:  nats per image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pixelbayes.core.network import PixelCNN
from pixelbayes.core.views import VIEWS, in_view
from pixelbayes.errors import PixelBayesError

__all__ = [
    "OverViews",
    "log_mean_prob",
    "log_prob_over_views",
    "mean_log_prob",
    "told_view",
    "views_of",
]

OverViews = Callable[[Tensor], Tensor]
"""From log p under each view, (..., V), to one number, (...)."""


def log_mean_prob(by_view: Tensor) -> Tensor:
    """The logarithm of the mean of p: of a density, where each view's p is one."""
    return torch.logsumexp(by_view, dim=-1) - math.log(by_view.shape[-1])


def mean_log_prob(by_view: Tensor) -> Tensor:
    """The mean of log p: a decision rule, never above `log_mean_prob`."""
    return by_view.mean(dim=-1)


def views_of(model: PixelCNN, views: Sequence[int] | None = None) -> tuple[int, ...]:
    """The views to score: those asked for, or those that the network is told apart.

    Raises:
        ValueError: If there is no such view.
    """
    chosen = tuple(range(model.config.views) if views is None else views)
    if not chosen or not set(chosen) <= set(range(len(VIEWS))):
        raise PixelBayesError(
            f"views are numbers in 0..{len(VIEWS) - 1}, at least one, got {views!r}"
        )
    return chosen


def told_view(model: PixelCNN, view: int) -> int:
    """What the network is told of a view: its number, or nothing (0) where it knows but one.

    A network of one view that was trained on mirrored images too describes both alike.
    """
    return view if view < model.config.views else 0


def log_prob_over_views(model: PixelCNN, levels: Tensor, labels: Tensor) -> Tensor:
    """log p(x | y) of each image under its own label, all views as one density, (B,), float64."""
    by_view = [
        # A float32 sum over thousands of pixels would round by more than a pixel counts.
        model(seen, labels, told_view(model, view)).log_prob_map(seen).double().sum(dim=(1, 2))
        for view in views_of(model)
        for seen in (in_view(levels, view),)
    ]
    return log_mean_prob(torch.stack(by_view, dim=-1))
