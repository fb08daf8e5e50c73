"""The last layer and the draw of a pixel, in as few operations as possible."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelbayes.core.likelihood import (
    HALF_BIN,
    LEVELS,
    MAX_LOG_SCALE,
    MIN_LOG_SCALE,
    parameters_per_component,
)
from pixelbayes.core.network import PixelCNN

__all__ = ["STEP", "OutputHead"]

STEP = 2.0 * HALF_BIN  # between two levels on the [-1, 1] axis
CENTRE = (LEVELS - 1) / 2  # the level, between two whole ones, at 0 on that axis


class OutputHead:
    """The last layer and the draw from it, one pixel at a time, in units of levels.

    Means, deviations and drawn values are scaled by half the number of steps, which the last
    layer's weights take in; otherwise this is `DiscretizedLogisticMixture.transport`.
    """

    def __init__(self, model: PixelCNN, late: Tensor | None, batch: int) -> None:
        config = model.config
        channels, components = config.channels, config.mixtures
        per_component = parameters_per_component(channels) - 1
        weight = model.output.weight()[:, :, 0, 0].clone()
        bias = model.output.bias.detach().clone()
        rows = weight[components:].view(components, per_component, -1)
        biases = bias[components:].view(components, per_component)
        rows[:, :channels] /= STEP
        biases[:, :channels] = biases[:, :channels] / STEP + CENTRE
        biases[:, channels : 2 * channels] -= math.log(STEP)
        self.smallest = MIN_LOG_SCALE - math.log(STEP)
        self.largest = MAX_LOG_SCALE - math.log(STEP)
        self.weight, self.bias, self.late = weight.T.contiguous(), bias, late
        self.components = components

        self.row = bias.new_empty(batch, config.image_size[1], channels)
        self.levels = [self.row[:, col] for col in range(config.image_size[1])]
        self.single = [level.split(1, dim=1) for level in self.levels]
        self.activated = bias.new_empty(batch, config.stage_features[0])
        self.parameters = bias.new_empty(batch, len(bias))
        self.logits = self.parameters[:, :components]
        self.described = self.parameters[:, components:].view(batch, components, per_component)
        self.chosen = torch.empty(batch, 1, dtype=torch.int64, device=bias.device)
        self.index = self.chosen[:, :, None].expand(-1, -1, per_component)
        picked = bias.new_empty(batch, 1, per_component)
        self.picked, flat = picked, picked[:, 0]
        self.means, self.scales = flat[:, :channels], flat[:, channels : 2 * channels]
        self.coeffs = flat[:, 2 * channels :]
        self.coeff = self.coeffs.split(1, dim=1)
        # A tensor: a number would become one at each use, at twice the time of the operation.
        self.centre, self.centred = bias.new_tensor(CENTRE), bias.new_empty(batch, 1)

    def split_noise(self, noise: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For each column what is added to the logits, and what the deviations multiply.

        Args:
            noise: From `standard_noise`, (columns, B, K + C).
        """
        logits, values = noise[..., : self.components], noise[..., self.components :]
        return list(zip(logits.unbind(0), values.unbind(0), strict=True))

    def draw(self, features: Tensor, noise: tuple[Tensor, Tensor], col: int) -> None:
        """Draws one pixel into `levels[col]`; features: (B, F), noise: of `split_noise`."""
        if self.late is None:
            self.activated.copy_(features)
        else:
            torch.add(features, self.late, out=self.activated)
        torch.addmm(self.bias, F.elu_(self.activated), self.weight, out=self.parameters)
        self.logits.add_(noise[0])
        torch.argmax(self.logits, 1, keepdim=True, out=self.chosen)
        torch.gather(self.described, 1, self.index, out=self.picked)
        self.scales.clamp_(self.smallest, self.largest).exp_()
        torch.addcmul(self.means, self.scales, noise[1], out=self.levels[col])
        self.coeffs.tanh_()
        level = self.single[col]
        level[0].round_().clamp_(0, LEVELS - 1)
        for channel in range(1, len(level)):
            first = channel * (channel - 1) // 2
            for earlier in range(channel):
                torch.sub(level[earlier], self.centre, out=self.centred)
                level[channel].addcmul_(self.coeff[first + earlier], self.centred)
            level[channel].round_().clamp_(0, LEVELS - 1)
