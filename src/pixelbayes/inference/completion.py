r"""Completion that listens to every known pixel, by weighing several draws.

`complete` draws an unknown pixel given what precedes it, so known pixels that come later in
raster order do not reach it.  A draw x of the unknown pixels therefore has the density

    q(x) = product over unknown i of p(x_i | x_<i, y)

where p(unknown | known, y) is wanted.  Their ratio is, up to a factor that all draws of one image
share, the probability of the known pixels,

    w(x) = product over known i of p(x_i | x_<i, y),

so draws weighted by w (importance sampling), or one chosen with probability proportional to w
(sampling-importance-resampling), tend to draws from p(unknown | known, y) as their number grows.

Shapes: D draws of one image, C channels, H x W pixels.
Units:  nats.

References:
    [1] Rubin, The calculation of posterior distributions by data augmentation: comment, JASA 1987.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelbayes.core.labels import label_indices
from pixelbayes.core.network import PixelCNN
from pixelbayes.core.precision import isolated
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.cached import complete_cached
from pixelbayes.inference.sampling import check_given

__all__ = ["WeightedDraws", "complete_weighted", "importance_weights"]


@dataclass(frozen=True, eq=False)
class WeightedDraws:
    """Completions of one image and how much each counts.

    Attributes:
        levels: uint8, (D, C, H, W), on the CPU.
        log_weights: (D,), float64; the weights sum to one.
    """

    levels: Tensor
    log_weights: Tensor

    @property
    def effective_number(self) -> float:
        """1 / sum of squared weights, in [1, D]: near 1, one draw decides and more are needed."""
        return float(torch.exp(-torch.logsumexp(2.0 * self.log_weights, dim=0)))

    def choose(self, count: int, generator: torch.Generator) -> Tensor:
        """Draws with probability proportional to weight, with replacement, (count, C, H, W)."""
        weights = self.log_weights.exp().to(generator.device)
        chosen = torch.multinomial(weights, count, replacement=True, generator=generator)
        return self.levels[chosen.to(self.levels.device)]


@isolated
def importance_weights(model: PixelCNN, labels: Tensor, levels: Tensor, known: Tensor) -> Tensor:
    """log w of completed images, not normalised, (B,), float64, on the CPU.

    Args:
        model: A network in evaluation mode.
        labels: int64, (B,), on the model's device, as the images.
        levels: uint8, (B, C, H, W), completed.
        known: bool, (H, W).
    """
    check_given(model, labels, levels, known)
    by_pixel: Tensor = model(levels, labels).log_prob_map(levels).double().cpu()
    return by_pixel[:, known].sum(dim=1)


@isolated
def complete_weighted(
    model: PixelCNN,
    label: int,
    levels: Tensor,
    known: Tensor,
    *,
    draws: int,
    generator: torch.Generator,
    batch_size: int = 64,
) -> WeightedDraws:
    """Draws the unknown pixels of one image several times and weighs the draws.

    Args:
        model: A network in evaluation mode.
        label: The class.
        levels: uint8, (C, H, W); what stands at unknown pixels does not matter.
        known: bool, (H, W), true where a pixel is given.
        draws: How many, D.
        generator: Source of all randomness.
        batch_size: Draws at a time.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If a number is less than 1, a shape does not fit or there is no such class.
    """
    draws, batch_size = operator.index(draws), operator.index(batch_size)
    if draws < 1 or batch_size < 1:
        raise PixelBayesError(f"draws and batch_size are at least 1, got {draws} and {batch_size}")
    device = model.output.bias.device
    indices = label_indices([label], model.config.classes).to(device)
    completed, weights = [], []
    for labels in indices.expand(draws).split(batch_size):
        given = levels.to(device).expand(len(labels), -1, -1, -1)
        drawn = complete_cached(model, labels, given, known, generator=generator)
        weights.append(importance_weights(model, labels, drawn, known))
        completed.append(drawn.cpu())
    return WeightedDraws(torch.cat(completed), torch.log_softmax(torch.cat(weights), dim=0))
