"""Initialisation from data: standardised layers, and a last layer that already predicts.

With PyTorch's default initialisation the likelihood spends its first epoch finding out where
pixel values lie.  Two passes over some training images tell it: the first standardises every
layer [1], the second solves the last layer for the least-squares prediction of each pixel
from its (random, causal) features (`docs/deviations.md` shows the first 200 steps).

References:
    [1] Salimans & Kingma, Weight Normalization, NeurIPS 2016, section 3.
        https://arxiv.org/abs/1602.07868
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pixelbayes.core.layers import WeightNormConv2d
from pixelbayes.core.likelihood import parameters_per_component, to_axis
from pixelbayes.core.network import PixelCNN

__all__ = ["initialise_from_data"]

SMALLEST_STD = 1e-5  # below it a channel is constant on these images and is left as it is
RIDGE = 1e-4  # relative to the number of pixels: keeps the normal equations solvable
LARGEST_COEFFICIENT = 0.95  # coefficients pass through tanh, which must not start saturated
SCALE_SPREAD = (-1.5, 0.7)  # log-scales of the components around the residual's: peak to tails
QUIET = 0.1  # of the remaining outputs, which distinguish the components


@torch.no_grad()
def initialise_from_data(model: PixelCNN, levels: Tensor, labels: Tensor) -> None:
    """Standardises each convolution on `levels`, then solves the last one for the pixels.

    Args:
        model: A freshly built network; gains, biases and the last layer are replaced.
        levels: Training images, uint8, (B, C, H, W); some tens are enough.
        labels: Their labels, int64, (B,).

    Raises:
        TypeError: If the images are not uint8 or the labels not int64.
        ValueError: If shapes do not fit the configuration.
    """
    training = model.training
    try:
        _standardise(model.eval(), levels, labels)
        _solve_output(model.train(), levels, labels)  # with the dropout it will train under
    finally:
        model.train(training)


def _standardise(model: PixelCNN, levels: Tensor, labels: Tensor) -> None:
    """Outputs of each layer get mean zero and deviation `init_scale`, in forward order."""

    def standardise(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
        assert isinstance(module, WeightNormConv2d)
        std, mean = torch.std_mean(output.float(), dim=(0, 2, 3), correction=0)
        factor = torch.where(std > SMALLEST_STD, module.init_scale / std, 1.0).to(output.dtype)
        shift = -mean.to(output.dtype) * factor
        module.gain.mul_(factor)
        module.bias.mul_(factor).add_(shift)
        return output * factor[:, None, None] + shift[:, None, None]

    layers = [module for module in model.modules() if isinstance(module, WeightNormConv2d)]
    hooks = [layer.register_forward_hook(standardise) for layer in layers]
    try:
        model(levels, labels)
    finally:
        for hook in hooks:
            hook.remove()


def _solve_output(model: PixelCNN, levels: Tensor, labels: Tensor) -> None:
    """Every component's mean becomes the linear prediction of the pixel, with its residual."""
    config, layer = model.config, model.output
    features = _last_features(model, levels, labels)
    pixels = to_axis(levels, torch.float64).movedim(1, -1).reshape(-1, config.channels)
    one = torch.ones_like(features[:, :1])
    known = torch.cat([features, one], dim=1)

    weight = layer.weight()[:, :, 0, 0].double() * QUIET
    bias = torch.zeros_like(layer.bias, dtype=torch.float64)
    per_component = parameters_per_component(config.channels) - 1
    rows = weight[config.mixtures :].view(config.mixtures, per_component, -1)
    biases = bias[config.mixtures :].view(config.mixtures, per_component)
    spread = torch.linspace(*SCALE_SPREAD, config.mixtures, dtype=torch.float64, device=bias.device)
    for channel in range(config.channels):
        earlier, target = pixels[:, :channel], pixels[:, channel]
        leaning = _least_squares(torch.cat([known, earlier], dim=1), target)[known.shape[1] :]
        leaning = leaning.clamp(-LARGEST_COEFFICIENT, LARGEST_COEFFICIENT)
        target = target - earlier @ leaning
        solution = _least_squares(known, target)
        residual = (target - known @ solution).std().clamp(min=SMALLEST_STD)
        rows[:, channel], biases[:, channel] = solution[:-1], solution[-1]
        # A logistic variable of scale s has deviation pi s / sqrt(3).
        biases[:, config.channels + channel] = torch.log(residual * math.sqrt(3) / math.pi) + spread
        first = 2 * config.channels + channel * (channel - 1) // 2
        biases[:, first : first + channel] = torch.atanh(leaning)

    length = weight.norm(dim=1)
    previous = layer.direction.flatten(1).norm(dim=1)
    layer.direction.copy_((weight * (previous / length)[:, None])[:, :, None, None])
    layer.gain.copy_(length)
    layer.bias.copy_(bias)


def _last_features(model: PixelCNN, levels: Tensor, labels: Tensor) -> Tensor:
    """What enters the last layer, one row per pixel, (B H W, F), float64."""
    seen: list[Tensor] = []
    hook = model.output.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        model(levels, labels)
    finally:
        hook.remove()
    return seen[0].movedim(1, -1).reshape(-1, seen[0].shape[1]).double()


def _least_squares(known: Tensor, target: Tensor) -> Tensor:
    """Ridge regression by the normal equations: there are few features and many pixels."""
    gram = known.T @ known
    ridge = RIDGE * len(known) * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    solution: Tensor = torch.linalg.solve(gram + ridge, known.T @ target)
    return solution
